"""The limit of logs in flight over several worker processes, counted by a proxy, while workers are killed."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.readers import IN_FLIGHT
from tests.airflow_stub import fail, serving
from tests.fault_proxy import fault_proxy
from tests.place import Account, place, wait_for
from tests.processes import redis_server
from triage.query import parse
from triage.service import Service
from triage.watched import Lease

TRIES, KILLS = 160, 4
WHOLE = parse("log:whole", datetime.now(UTC))


def holder(service: Service) -> int:
    """Return the process that holds the lease of the pass; 0 where none does."""
    found = service.store.get(Lease, "pass/prod")
    return int(found[0].holder.split(":")[1]) if found else 0


@pytest.mark.redis
def test_at_most_four_logs_are_in_flight_however_many_workers_run_and_die(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stub = stack.enter_context(serving())
        proxy = stack.enter_context(fault_proxy(stub.url))
        broker = stack.enter_context(redis_server(tmp_path))
        for n in range(1, TRIES + 1):
            fail(stub, n)
        proxy.hold = 0.3
        where = place(
            tmp_path / "data", Account(proxy.url, "triage", "right"), BROKER=broker, DEPLOYMENTS__PROD__POLL="1s"
        )
        service = where.service()
        stack.enter_context(where.running("beat"))
        workers = {w.pid: w for w in (stack.enter_context(where.running("worker")) for _ in range(3))}
        for _ in range(KILLS):
            known = service.store.count(WHOLE)
            wait_for(lambda known=known: service.store.count(WHOLE) > known + 8 and proxy.in_flight > 0, 60)  # type: ignore[misc]
            wait_for(lambda: holder(service) in workers, 30)
            victim = holder(service)
            os.kill(victim, signal.SIGKILL)
            workers.pop(victim).wait()
            another = stack.enter_context(where.running("worker"))
            workers[another.pid] = another
        assert service.store.count(WHOLE) < TRIES, "all was read before the last one was killed: this shows nothing"
        wait_for(lambda: service.store.count(WHOLE) == TRIES, 120)
    assert proxy.most == IN_FLIGHT
    assert service.store.backlog("prod", datetime.now(UTC)).waiting == 0
