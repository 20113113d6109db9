"""What pages and API remember of the queue: made once for all who wait, kept while nothing changed, never old."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from tests import made_up
from triage.errors import StoreError
from triage.query import parse
from triage.records import Escalation
from triage.service import Service
from ui.front.desk import RANGES, Desk

NOW = made_up.NOW


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    service = made_up.service(tmp_path)
    made_up.fill(service)
    yield Desk(service, made_up.settings(tmp_path, "prod"), lambda: NOW)
    service.store.close()


def _touch(service: Service) -> None:
    """Change the store in a way that no row shows."""
    before = service.store.revision()
    service.note(service.queue(NOW)[0].problem.id, "me", NOW, "seen")
    assert service.store.revision() > before


def test_the_rows_are_the_same_objects_until_something_they_show_changes(at: Desk) -> None:
    first = at.rows()
    assert at.rows() is first
    _touch(at.service)
    assert at.rows() is first
    id = first[3].problem.id
    at.service.assign(id, "maria", "me", NOW)
    second = at.rows()
    kept, now = {row.problem.id: row for row in first}, {row.problem.id: row for row in second}
    assert now[id].owner == "maria"
    assert {other for other in kept if now[other] is not kept[other]} == {id}
    assert second == at.service.queue(NOW)


def test_remembered_rows_follow_every_kind_of_change(at: Desk) -> None:
    at.rows(NOW - timedelta(days=7))
    changes = (
        lambda: at.service.mute(at.rows()[0].problem.id, "me", NOW),
        lambda: at.service.record(made_up.neighbours()) and at.service.settle(NOW),
        lambda: at.service.store.save(Escalation(at.rows()[1].problem.id, NOW, "5 times", 5.0, 1, 24, NOW, NOW), None),
    )
    for change in changes:
        before = at.rows()
        change()
        assert at.rows() != before
        assert at.rows() == at.service.queue(NOW)
        since = NOW - timedelta(days=7)
        assert at.rows(since) == at.service.queue(NOW, since=since)


def test_another_day_counts_anew(at: Desk) -> None:
    before = at.rows()
    at.now = lambda: NOW + timedelta(days=1)
    assert at.rows() == at.service.queue(at.now())
    assert [row.daily[:-1] for row in at.rows()] == [row.daily[1:] for row in before]


def test_what_a_filter_by_the_clock_finds_ends_with_its_span_though_nothing_is_stored(at: Desk) -> None:
    text = "at:[now-1d TO now]"
    assert at.matching(text, parse(text, at.now()))
    at.now = lambda: NOW + timedelta(days=90)
    assert at.matching(text, parse(text, at.now())) == set()


def test_rows_of_many_ranges_do_not_pile_up(at: Desk) -> None:
    for days in range(20):
        at.rows(NOW - timedelta(days=days))
    assert len(at.service.picture._ranges) < 2 * len(RANGES)


def test_what_many_wait_for_at_once_is_made_once(at: Desk) -> None:
    made, ready = [], threading.Barrier(8)

    def make() -> int:
        made.append(1)
        time.sleep(0.1)
        return len(made)

    def ask(_: int) -> int:
        ready.wait()
        return at.remembered("slow", 1, make)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {1}
    assert at.remembered("slow", 2, make) == 2


def test_one_that_cannot_be_made_fails_for_itself_and_is_tried_again(at: Desk) -> None:
    def fail() -> int:
        raise StoreError("The store does not answer.", "Start it.")

    with pytest.raises(StoreError):
        at.remembered("x", 1, fail)
    assert at.remembered("x", 1, lambda: 7) == 7


def test_warming_up_makes_what_the_first_visitor_waits_for_and_bears_a_store_that_is_away(
    at: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.warm()
    with monkeypatch.context() as patch:
        patch.setattr(type(at.service.store), "summaries", None)
        assert at.rows(NOW - timedelta(days=7))

    def away(self: object) -> int:
        raise StoreError("The store does not answer.", "Start it.")

    monkeypatch.setattr(type(at.service.store), "revision", away)
    at.warm()
