"""Several deployments side by side: one that hangs, or sends a byte now and then, delays no other."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.airflow_stub import Stub, fail, serving
from tests.place import Account, Place, place, wait_for
from tests.test_airflow import trickle
from triage.query import parse

SICK = ("hangs", "trickles", "silent")


class Neighbours:
    """One deployment that is well, and some that are not, for as long as `over` is not set."""

    def __init__(self, well: Stub, sick: dict[str, Stub]) -> None:
        self.well, self.sick = well, sick
        self.over = threading.Event()
        sick["hangs"].fault = lambda handler, path: self.over.wait(120) or True
        sick["trickles"].fault = lambda handler, path: trickle(handler, "application/json")
        # This one answers until a log is asked for, then hangs: all of its readers are stuck.
        sick["silent"].fault = lambda handler, path: "/logs/" in path and (self.over.wait(120) or True)
        for n in range(1, 20):
            fail(sick["silent"], n)

    def place(self, folder: Path) -> Place:
        """Point airtriage at all of them."""
        its = {f"DEPLOYMENTS__{name.upper()}__URL": stub.url for name, stub in self.sick.items()}
        its |= {f"DEPLOYMENTS__{name.upper()}__{what}": value for name in self.sick for what, value in (
            ("USERNAME", "triage"), ("PASSWORD", "right"), ("TIMEOUT", "60s"), ("POLL", "1s"),
        )}  # fmt: skip
        return place(folder, Account(self.well.url, "triage", "right"), DEPLOYMENTS__PROD__POLL="1s", **its)


@pytest.fixture
def neighbours() -> Iterator[Neighbours]:
    with ExitStack() as stack:
        well, *sick = [stack.enter_context(serving()) for _ in range(1 + len(SICK))]
        made = Neighbours(well, dict(zip(SICK, sick, strict=True)))
        stack.callback(made.over.set)
        yield made


def test_deployments_that_hang_delay_no_other_in_a_worker(tmp_path: Path, neighbours: Neighbours) -> None:
    where = neighbours.place(tmp_path)
    service = where.service()
    whole = parse("deployment:prod log:whole", datetime.now(UTC))
    with where.running("worker", "--beat"):
        for n in range(1, 6):
            fail(neighbours.well, n)
            wait_for(lambda n=n: service.store.count(whole) == n, 20)  # type: ignore[misc]
        wait_for(lambda: sum(row.total for row in service.queue(datetime.now(UTC))) == 5, 20)
        assert all(stub.asked for stub in neighbours.sick.values())
        assert sum(neighbours.sick["hangs"].asked.values()) < 5, "the same thread still waits: it takes no second one"


def test_deployments_that_hang_delay_no_other_in_collect_which_ends_at_ctrl_c(
    tmp_path: Path, neighbours: Neighbours
) -> None:
    where = neighbours.place(tmp_path)
    service = where.service()
    fail(neighbours.well, 1)
    with where.running("collect") as process:
        wait_for(lambda: any(row.deployments == ("prod",) for row in service.queue(datetime.now(UTC))), 20)
        wait_for(lambda: all(stub.asked for stub in neighbours.sick.values()), 20)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
