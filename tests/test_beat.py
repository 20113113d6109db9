"""One beat among several: who ticks, who takes over and when, and that nobody ticks who cannot know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.beat import Beat
from collector.ticks import Lane, Tick, bound, ticks
from tests.place import wait_for
from triage.errors import StoreError
from triage.lease import LEASE
from triage.settings import Settings
from triage.store import Store, open_store
from triage.watched import Lease

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
QUICK, SLOW = Tick("quick", 0.05), Tick("slow", 3600.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:///{tmp_path / 'a.db'}")
    yield made
    made.close()


class Clock:
    at = START

    def __call__(self) -> datetime:
        return self.at


@contextmanager
def ticking(store: Store, send: Callable[[Tick], bool], clock: Clock) -> Iterator[threading.Event]:
    over = threading.Event()
    beat = Beat(store, (QUICK, SLOW), send, clock, over, timedelta(milliseconds=20))
    thread = threading.Thread(target=beat.run)
    thread.start()
    try:
        yield over
    finally:
        over.set()
        thread.join(10)
        assert not thread.is_alive()


def taking(sent: list[Tick]) -> Callable[[Tick], bool]:
    def send(tick: Tick) -> bool:
        sent.append(tick)
        return True

    return send


def test_of_two_beats_one_ticks_and_the_other_takes_over_when_it_ends(store: Store) -> None:
    first: list[Tick] = []
    second: list[Tick] = []
    with ticking(store, taking(first), Clock()) as over:
        wait_for(lambda: len(first) > 2, 20)
        with ticking(store, taking(second), Clock()):
            known = len(first)
            wait_for(lambda: len(first) > known + 3, 20)
            assert second == []
            over.set()
            wait_for(lambda: len(second) > 2, 20)
    assert first.count(SLOW) == second.count(SLOW) == 1, "whoever takes over sends everything at once"
    assert store.get(Lease, "beat") is None, "and gives the lease back"


def test_the_beat_of_a_machine_that_died_is_taken_over_when_its_minute_is_over(store: Store) -> None:
    store.save(Lease("beat", "elsewhere:1:1:x", START + LEASE), None)
    clock, sent = Clock(), list[Tick]()
    with ticking(store, taking(sent), clock):
        clock.at = START + LEASE - timedelta(seconds=1)
        time.sleep(0.3)
        assert sent == []
        clock.at = START + LEASE
        wait_for(lambda: len(sent) > 2, 20)


def test_a_beat_that_was_stopped_for_long_and_goes_on_sends_nothing(store: Store) -> None:
    clock, sent = Clock(), list[Tick]()
    with ticking(store, taking(sent), clock):
        wait_for(lambda: len(sent) > 2, 20)
        found = store.get(Lease, "beat")
        assert found is not None
        store.save(Lease("beat", "elsewhere:1:1:x", START + timedelta(hours=1, minutes=1)), found[1])
        clock.at = START + timedelta(hours=1)
        known = len(sent)
        time.sleep(0.4)
        assert len(sent) <= known + 1, "one may have been under way"


def test_no_beat_ticks_while_the_store_is_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, sent, real = Clock(), list[Tick](), type(store).save

    def away(*_: object) -> int:
        raise StoreError("The store is away.")

    with ticking(store, taking(sent), clock):
        wait_for(lambda: len(sent) > 2, 20)
        monkeypatch.setattr(type(store), "save", away)
        clock.at += timedelta(seconds=11)  # the lease is to be renewed
        time.sleep(0.2)
        known = len(sent)
        time.sleep(0.4)
        assert len(sent) == known
        monkeypatch.setattr(type(store), "save", real)
        wait_for(lambda: len(sent) > known, 20)


def test_a_tick_that_the_broker_did_not_take_stays_due(store: Store) -> None:
    answers = iter([False])
    sent: list[Tick] = []

    def send(tick: Tick) -> bool:
        if not next(answers, True):
            return False
        sent.append(tick)
        return True

    with ticking(store, send, Clock()):
        wait_for(lambda: SLOW in sent, 20)
        assert sent[0] == QUICK


def test_live_work_and_long_work_go_different_ways() -> None:
    prod = {"url": "http://a", "token": "x"}
    its = Settings.model_validate({"deployments": {"prod": prod, "test": prod}})
    lanes = {tick.task: tick.lane for tick in ticks(its)}
    assert {task for task, lane in lanes.items() if lane is Lane.BULK} == {
        "airtriage.backfill",
        "airtriage.regroup",
        "airtriage.retire",
    }
    assert {lanes["airtriage.pass"], lanes["airtriage.settle"], lanes["airtriage.errands"]} == {Lane.LIVE}
    assert bound(its) > len(ticks(its))
