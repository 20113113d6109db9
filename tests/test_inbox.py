"""What webhooks told, kept until it is looked at: repeated, mixed up, too much, too old."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from triage import inbox
from triage.mirrors import Heard, HeardKind
from triage.store import Store, open_store

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ONE = Heard("https://g.example", 7, HeardKind.ISSUE, 41, NOW, by=9, keys=("a",))


@pytest.fixture
def store() -> Iterator[Store]:
    made = open_store("sqlite://")
    yield made
    made.close()


def _waiting(store: Store, now: datetime = NOW + timedelta(hours=1)) -> list[Heard]:
    return [told for told, _ in inbox.waiting(store, now)]


def test_a_delivery_that_comes_twice_waits_once(store: Store) -> None:
    assert inbox.keep(store, ONE)
    assert not inbox.keep(store, replace(ONE, at=NOW + timedelta(minutes=1)))
    assert _waiting(store) == [ONE]


def test_several_deliveries_about_one_thing_are_one_look_at_it(store: Store) -> None:
    inbox.keep(store, ONE)
    assert inbox.keep(store, replace(ONE, keys=("b",), by=8, at=NOW + timedelta(minutes=1)))
    assert _waiting(store) == [replace(ONE, keys=("a", "b"), by=0)]


def test_what_was_looked_at_waits_no_more_and_its_deliveries_are_known_when_they_come_late(store: Store) -> None:
    inbox.keep(store, ONE)
    inbox.looked_at(store, *inbox.waiting(store, NOW)[0])
    assert _waiting(store) == []
    assert not inbox.keep(store, ONE)
    assert _waiting(store) == []
    assert inbox.keep(store, replace(ONE, keys=("b",), by=8))
    assert [told.by for told in _waiting(store)] == [8]


def test_what_was_told_while_it_was_looked_at_is_looked_at_again(store: Store) -> None:
    inbox.keep(store, ONE)
    told, revision = inbox.waiting(store, NOW)[0]
    inbox.keep(store, replace(ONE, keys=("b",)))
    inbox.looked_at(store, told, revision)
    assert [told.keys for told in _waiting(store)] == [("a", "b")]


def test_what_was_told_first_is_handed_out_first(store: Store) -> None:
    for minutes, number in ((2, 1), (0, 2), (1, 3)):
        inbox.keep(store, replace(ONE, number=number, at=NOW + timedelta(minutes=minutes)))
    assert [told.number for told in _waiting(store)] == [2, 3, 1]


def test_it_holds_so_many_things_and_no_more_until_they_are_old(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MOST", 3)
    for number in range(3):
        assert inbox.keep(store, replace(ONE, number=number + 1))
    assert not inbox.keep(store, replace(ONE, number=4))
    assert inbox.keep(store, replace(ONE, number=3, keys=("b",))), "what is known takes no more room"
    assert inbox.keep(store, replace(ONE, number=4, at=NOW + inbox.LASTS + timedelta(seconds=1)))
    assert [told.number for told in _waiting(store, NOW + timedelta(days=2))] == [4]


def test_what_was_looked_at_makes_room_for_what_is_new(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy project would fill it within the day, and be heard no more."""
    monkeypatch.setattr(inbox, "MOST", 4)
    for number in range(4):
        inbox.keep(store, replace(ONE, number=number + 1, at=NOW + timedelta(minutes=number)))
    for told, revision in inbox.waiting(store, NOW + timedelta(hours=1))[:3]:
        inbox.looked_at(store, told, revision)
    assert inbox.keep(store, replace(ONE, number=5))
    assert sorted(told.number for told, _ in store.records(Heard)) == [3, 4, 5]


def test_what_concerns_another_project_waits_no_more_after_a_round(store: Store) -> None:
    inbox.keep(store, ONE)
    inbox.keep(store, replace(ONE, project=ONE.project + 1))
    inbox.pass_over(store, NOW, {(ONE.gitlab, ONE.project)})
    assert [told.project for told in _waiting(store)] == [ONE.project]


def test_of_one_thing_so_many_deliveries_are_known_and_no_more(store: Store) -> None:
    for number in range(50):
        inbox.keep(store, replace(ONE, keys=(str(number),)))
    assert _waiting(store)[0].keys == tuple(str(number) for number in range(30, 50))


def test_what_is_older_than_a_day_is_forgotten(store: Store) -> None:
    inbox.keep(store, ONE)
    assert inbox.forget(store, NOW + timedelta(days=1)) == 0
    assert inbox.forget(store, NOW + timedelta(days=1, seconds=1)) == 1
    assert _waiting(store, NOW + timedelta(days=2)) == []
