"""Many workers in processes of their own on one store and a real Redis, while everything that may befall them does."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.broker import Broker
from collector.ticks import Lane, bound, ticks
from tests.airflow_stub import serving
from tests.place import wait_for
from tests.worker_trial import BEFALLS, alive, trial
from triage import presence
from triage.settings import load
from triage.watched import Lease

pytestmark = [pytest.mark.redis, pytest.mark.xdist_group("workers")]


def test_nothing_is_lost_or_doubled_whatever_befalls_workers_and_redis(tmp_path: Path) -> None:
    with trial(tmp_path, seed=6, workers=3) as its:
        service = its.where.service()
        its.fail(10)
        wait_for(lambda: its.is_done(service), 60)
        for what in its.draw.sample(BEFALLS, len(BEFALLS)):
            its.fail(5)
            its.befall(what, service)
            its.recover(service, 60)
            assert its.client.llen("airtriage") < 20  # type: ignore[operator]
            assert not its.client.exists("unacked"), "nothing is kept for later in Redis"
        wait_for(lambda: its.is_done(service), 60)
        assert len(service.store.records(Lease)) <= 2, "the beat's, and that of a pass under way"
        service.store.close()


def test_a_worker_that_is_told_to_stop_gives_back_what_it_holds_though_airflow_hangs(tmp_path: Path) -> None:
    with trial(tmp_path, seed=1, workers=1) as its:
        service = its.where.service()
        its.recover(service, 60)
        hanging: list[str] = []

        def hang(_: object, path: str) -> bool:
            hanging.append(path)
            time.sleep(20)
            return False

        its.stub.fault = hang  # type: ignore[assignment]
        wait_for(lambda: bool(hanging) and service.store.get(Lease, "pass/prod") is not None, 30)
        (process,) = its.workers.values()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert service.store.records(Lease) == []
        assert presence.workers(service.store) == []
        service.store.close()


def test_one_of_three_beats_ticks_and_workers_and_lanes_are_known_to_the_store(tmp_path: Path) -> None:
    with trial(tmp_path, seed=2, workers=2) as its:
        service = its.where.service()
        wait_for(lambda: alive(service) == 2, 30)
        its.recover(service, 60)
        holder = presence.ticking(service.store, datetime.now(UTC))
        assert int(holder.split(":")[1]) in its.workers
        told = presence.workers(service.store)
        assert all(one.waiting.keys() == {*Lane} and one.memory > 1e7 and one.threads == 4 for one in told)
        (found,) = [row for row in its.where.run("doctor", "--json", code=0) if row["name"] == "workers"]
        assert found["text"] == f"2 at work; the beat is held by {holder}"
        os.kill(int(holder.split(":")[1]), signal.SIGKILL)
        wait_for(lambda: presence.ticking(service.store, datetime.now(UTC)) not in ("", holder), 30)
        service.store.close()


def test_a_deployment_that_hangs_and_a_back_fill_keep_no_other_from_being_read(tmp_path: Path) -> None:
    """Two threads for three deployments: one hangs, one has much to read, the news of the third come all the same."""
    with serving() as hung, trial(tmp_path, seed=3, workers=0, DEPLOYMENTS__HUNG__URL="") as its:
        del its.where.environ["AIRTRIAGE_DEPLOYMENTS__HUNG__URL"]
        hung.fault = lambda handler, path: bool(time.sleep(30)) or False
        for name, url in (("HUNG", hung.url), ("MANY", its.stub.url)):
            its.where.environ |= {
                f"AIRTRIAGE_DEPLOYMENTS__{name}__URL": url,
                f"AIRTRIAGE_DEPLOYMENTS__{name}__USERNAME": "triage",
                f"AIRTRIAGE_DEPLOYMENTS__{name}__PASSWORD": "right",
            }
        its.start()
        service = its.where.service()
        its.recover(service, 60)
        its.recover(service, 60)
        service.store.close()


def test_a_day_without_a_worker_leaves_little_in_redis_and_costs_the_next_one_a_turn(tmp_path: Path) -> None:
    with trial(tmp_path, seed=4, workers=0) as its:
        service = its.where.service()
        settings = load(environ=its.where.environ)
        broker = Broker(settings)
        for _ in range(20):
            assert all(broker.send(tick) for tick in ticks(settings))
        assert broker.waiting(Lane.LIVE) == bound(settings)
        time.sleep(max(tick.every for tick in ticks(settings) if tick.every < 10))
        its.start()
        its.recover(service, 60)
        wait_for(lambda: broker.waiting(Lane.LIVE) < bound(settings), 30)
        service.store.close()


def test_a_worker_waits_for_a_redis_that_starts_after_it(tmp_path: Path) -> None:
    with trial(tmp_path, seed=5, workers=0) as its:
        its.server.close()
        its.start()
        service = its.where.service()
        log = its.where.folder / "log.txt"
        wait_for(lambda: "nothing listens there. Start it" in log.read_text("utf-8"), 30)
        (found,) = [row for row in its.where.run("doctor", "--json", code=1) if row["name"] == "broker"]
        assert "does not answer: nothing listens there." in str(found["text"])
        its.serve()
        its.recover(service, 90)
        assert "Traceback" not in log.read_text("utf-8")
        service.store.close()
