"""The lease of a pass: kept by a thread of its own, lost, and taken over."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from tests.place import wait_for
from triage import lease as lease_
from triage.errors import StaleProblem
from triage.lease import LEASE, LeaseLost, lease
from triage.store import Store, open_store
from triage.watched import Lease

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Clock:
    """A clock that a test sets, or that runs on by a second at every look."""

    def __init__(self, step: float = 0.0) -> None:
        self.at, self.step = START, timedelta(seconds=step)

    def __call__(self) -> datetime:
        self.at += self.step
        return self.at


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:///{tmp_path / 'a.db'}")
    yield made
    made.close()


def revision(store: Store) -> int:
    found = store.get(Lease, "a")
    assert found is not None
    return found[1]


def test_a_lease_is_kept_while_its_holder_is_busy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_, "_BEAT", timedelta(milliseconds=5))
    with lease(store, "a", Clock(step=1)) as renew:
        assert renew is not None
        wait_for(lambda: revision(store) > 5, 20)  # nobody calls renew
    assert store.get(Lease, "a") is None


def test_a_beat_that_finds_the_lease_taken_tells_its_holder(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_, "_BEAT", timedelta(milliseconds=5))
    clock = Clock(step=1)
    with lease(store, "a", clock) as renew:
        assert renew is not None
        found = store.get(Lease, "a")
        while found is not None:  # the beat may be quicker
            try:
                store.save(Lease("a", "elsewhere:1:1:x", clock() + LEASE), found[1])
                break
            except StaleProblem:
                found = store.get(Lease, "a")
        with pytest.raises(LeaseLost):
            wait_for(lambda: renew() is not None, 20)
    kept = store.get(Lease, "a")
    assert kept is not None
    assert kept[0].holder == "elsewhere:1:1:x", "what is another's stays"


def test_a_lease_of_a_clock_that_was_set_back_since_stops_nobody(store: Store) -> None:
    store.save(Lease("a", "elsewhere:1:1:x", START + timedelta(days=365)), None)
    with lease(store, "a", Clock()) as renew:
        assert renew is not None


def test_of_two_that_take_an_expired_lease_one_gets_it(store: Store) -> None:
    store.save(Lease("a", "elsewhere:1:1:x", START - timedelta(seconds=1)), None)
    with lease(store, "a", Clock()) as first, lease(store, "a", Clock()) as second:
        assert (first is None, second is None) == (False, True)


def test_the_lease_of_a_process_that_was_killed_and_not_looked_after_is_taken_over_at_once(store: Store) -> None:
    with subprocess.Popen(["sleep", "60"]) as gone:
        started = psutil.Process(gone.pid).create_time() - psutil.boot_time()
        held = Lease("a", f"{socket.gethostname()}:{gone.pid}:{started:.0f}:x", START + timedelta(seconds=30))
        store.save(held, None)
        with lease(store, "a", Clock()) as renew:
            assert renew is None, "it lives"
        gone.kill()
        wait_for(lambda: psutil.Process(gone.pid).status() == psutil.STATUS_ZOMBIE, 20)
        with lease(store, "a", Clock()) as renew:
            assert renew is not None
