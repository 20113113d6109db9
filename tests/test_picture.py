"""What is kept in memory of the queue, against what a fresh look at the store says, whatever happens to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store_contract import NOW, occurrence
from triage import merging
from triage.errors import InputError, StaleProblem, StoreError
from triage.merging import Person
from triage.mirrors import Mirror, MirrorStatus
from triage.model import Occurrence
from triage.owners import Ownership, Repository, Rule
from triage.picture import Member
from triage.query import EVERYTHING, parse
from triage.records import Codeowners, Escalation, Membership, MoveKind, Outcomes, Record
from triage.service import Service
from triage.store import FOLLOWED, Day, Store, Summary, open_store, record_keys, thing_id
from triage.store.sqlite import SqliteStore
from triage.store.sqlite.migrations import NOTED

SCOPES = {"prod": "main", "eu": "main"}
OWNING = Ownership((Rule("ml", ("@ml",), dag="dag_2"),), {"prod": Repository("https://gitlab.example/dags", "/dags")})
ME = Person("me")
QUERIES = (
    "state:new",
    "is:needs",
    "owner:data",
    "owner:ada",
    "has:gitlab",
    "occurrences:>2",
    "dag:dag_1",
    "-dag:dag_0",
)


def _service(store: Store) -> Service:
    return Service(store, SCOPES, owning=OWNING)


class World:
    """A store, somebody who writes to it, and somebody who looked before and only reads what has changed since."""

    def __init__(self) -> None:
        self.store = open_store("sqlite://")
        self.writer, self.reader = _service(self.store), _service(self.store)
        self.now = NOW
        self.step = 0
        for number in range(30):
            _fail(self, number * 17)
        self.writer.settle(NOW)
        self.reader.queue(NOW)

    def ids(self) -> list[str]:
        return [row.problem.id for row in _service(self.store).queue(self.now)]

    def one(self, number: int) -> str:
        ids = self.ids()
        return ids[number % len(ids)] if ids else "none"

    def keep(self, record: Record) -> None:
        found = self.store.get(type(record), record_keys(record)[0])
        self.store.save(record, found[1] if found else None)

    def drop(self, kind: type[Record], id: str) -> None:
        if found := self.store.get(kind, id):
            self.store.delete(kind, id, found[1])


def _fail(world: World, n: int) -> None:
    world.step += 1
    fact = occurrence(
        world.step, deployment=("prod", "eu", "lab")[n % 3], dag=f"dag_{n // 3 % 3}", task=f"task_{n // 9 % 2}", fingerprint=f"1:{n // 18 % 4}",
        at=world.now - timedelta(days=n % 40), is_final=n % 5 > 0, owner=("data", "crm", "")[n // 7 % 3], file=f"/dags/{n % 4}.py", tags=(f"owner:{n % 2}",),
    )  # fmt: skip
    world.writer.record([fact])


def _decide(world: World, n: int) -> None:
    service, id, now = world.writer, world.one(n), world.now
    verbs: tuple[Callable[[], object], ...] = (
        lambda: service.mute(id, "me", now, lasting=timedelta(days=1)), lambda: service.resolve(id, "me", now), lambda: service.reopen(id, "me", now),
        lambda: service.unmute(id, "me", now), lambda: service.assign(id, ("ada", "nobody")[n % 2], "me", now), lambda: service.undo(id, "me", now),
        lambda: service.mirrored(id, "https://gitlab.example/-/issues/7", now), lambda: service.note(id, "me", now, "seen"),
    )  # fmt: skip
    verbs[n % len(verbs)]()


def _merge(world: World, n: int) -> None:
    merging.merge(world.writer, [world.one(n), world.one(n // 7)], ME, world.now)


def _split(world: World, n: int) -> None:
    merging.split(world.writer, world.one(n), ME, world.now, dag=f"dag_{n % 3}")


def _undo_move(world: World, n: int) -> None:
    merging.undo(world.writer, (MoveKind.MERGE, MoveKind.SPLIT)[n % 2], world.one(n), ME, world.now)


def _answer(world: World, n: int) -> None:
    answer = Outcomes(
        world.one(n), "prod", f"dag_{n % 3}", "task_0", NOW, NOW, world.now, world.now, healed=n % 4, broken=n % 3
    )
    world.keep(answer) if n % 5 else world.drop(Outcomes, record_keys(answer)[0])


def _grow(world: World, n: int) -> None:
    id = world.one(n)
    world.keep(Escalation(id, NOW, "5 times", 1 + n % 9, 1, 24, NOW, NOW)) if n % 3 else world.drop(Escalation, id)


def _link(world: World, n: int) -> None:
    mirror = Mirror(world.one(n), "https://gitlab.example", "data/airflow", MirrorStatus.LINKED, NOW, iid=n)
    world.keep(mirror) if n % 4 else world.drop(Mirror, mirror.problem)


def _own(world: World, n: int) -> None:
    world.keep(Codeowners("https://gitlab.example/dags", "CODEOWNERS", f"/{n % 4}.py @team{n % 3}", world.now))


def _regroup(world: World, n: int) -> None:
    def change(fact: Occurrence) -> Occurrence:
        assert fact.signature is not None
        return replace(fact, signature=replace(fact.signature, fingerprint=f"2:{n % 5}"))

    facts = world.store.search(EVERYTHING, 1 + n % 3)
    world.store.rewrite([fact.key.id for fact in facts], change)
    if n % 2:
        with suppress(StaleProblem):
            world.store.save(Membership("main", f"2:{n % 5}", world.one(n)), None)


def _whole(world: World, n: int) -> None:
    days = world.store.everything(Day, 50)
    if days and (day := days[n % len(days)]):
        parts = tuple(replace(part, occurrences=part.occurrences + 1) for part in day.parts)
        world.store.erase(Day, [thing_id(day)]) if n % 2 else world.store.overwrite([replace(day, parts=parts)])


STEPS: tuple[Callable[[World, int], object], ...] = (
    _fail, _fail, _fail, _decide, _decide, _merge, _split, _undo_move, _answer, _grow, _link, _own, _regroup, _whole,
    lambda world, n: world.writer.settle(world.now), lambda world, n: world.writer.settle(world.now),
    lambda world, n: world.store.retire((NOW - timedelta(days=45 - n % 20)).date().isoformat(), 1 + n % 5),
    lambda world, n: setattr(world, "now", world.now + timedelta(hours=n % 30)),
)  # fmt: skip


def _check(world: World) -> None:
    fresh, reader, now = _service(world.store), world.reader, world.now
    for days in (None, 1, 7, 30):
        since = now - timedelta(days=days) if days else None
        assert reader.queue(now, since=since) == fresh.queue(now, since=since)
    for text in QUERIES:
        assert reader.queue(now, parse(text, now)) == fresh.queue(now, parse(text, now)), text
    assert reader.picture.owned(now) == {
        (m.scope, m.fingerprint): m.problem for m, _ in world.store.records(Membership)
    }
    assert reader.picture.mirrors(now) == {mirror.problem: mirror for mirror, _ in world.store.records(Mirror)}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(range(len(STEPS))), st.integers(0, 5_000), st.booleans()), min_size=5, max_size=40
    )
)
def test_what_changed_makes_of_the_former_rows_what_a_fresh_look_sees(steps: list[tuple[int, int, bool]]) -> None:
    world = World()
    try:
        for which, number, is_looked_at in steps:
            with suppress(InputError, StaleProblem):
                STEPS[which](world, number)
            if is_looked_at:
                _check(world)
        _check(world)
    finally:
        world.store.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.store.close()


def test_one_failure_costs_the_rows_of_one_problem(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = world.reader.queue(NOW)
    asked: list[object] = []
    summaries = SqliteStore.summaries

    def counted(self: SqliteStore, since: str | None = None, members: object = None) -> object:
        asked.append(members)
        return summaries(self, since, members)  # type: ignore[arg-type]

    monkeypatch.setattr(SqliteStore, "summaries", counted)
    monkeypatch.setattr(SqliteStore, "records", None)
    world.store.put([occurrence(1, fingerprint="1:0", at=NOW)])
    world.store.summarise(world.store.touched(10))
    after = world.reader.queue(NOW)
    assert asked == [{("prod", "1:0")}]
    kept = {row.problem.id: row for row in before}
    assert len([row for row in after if row is not kept[row.problem.id]]) == 1


def test_a_change_that_no_row_shows_leaves_the_very_same_list(world: World) -> None:
    before = world.reader.queue(NOW)
    world.writer.note(before[0].problem.id, "me", NOW, "seen")
    assert world.reader.queue(NOW) is before


def test_a_store_that_cannot_tell_what_changed_is_read_whole_and_equal_rows_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.reader.queue(NOW)
    monkeypatch.setattr(SqliteStore, "changed", lambda self, since: None)
    world.writer.assign(before[3].problem.id, "maria", "me", NOW)
    after = world.reader.queue(NOW)
    assert after == _service(world.store).queue(NOW)
    kept = {row.problem.id: row for row in before}
    assert [row.problem.id for row in after if row is not kept[row.problem.id]] == [before[3].problem.id]


def test_a_store_that_fails_in_the_middle_is_read_again_and_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.writer.record([occurrence(99, fingerprint="1:new", at=NOW)])
    world.writer.settle(NOW)

    def away(self: object, since: object = None, members: object = None) -> object:
        raise StoreError("The store does not answer.", "Start it.")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "summaries", away)
        with pytest.raises(StoreError):
            world.reader.queue(NOW)
    assert world.reader.queue(NOW) == _service(world.store).queue(NOW)


def test_a_longer_range_than_was_counted_is_read(world: World) -> None:
    since = NOW - timedelta(days=39)
    assert world.reader.queue(NOW, since=since) == _service(world.store).queue(NOW, since=since)
    assert sum(row.recent for row in world.reader.queue(NOW, since=since)) == 30


def test_who_asks_for_no_range_first_keeps_no_more_days_than_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    read = SqliteStore.summaries

    def noted(self: SqliteStore, since: str | None = None, members: Iterable[Member] | None = None) -> list[Summary]:
        asked.append(since)
        return read(self, since, members)

    monkeypatch.setattr(SqliteStore, "summaries", noted)
    _service(world.store).queue(NOW)
    _service(world.store).picture.owned(NOW)
    assert asked == [(NOW - timedelta(days=31)).date().isoformat()] * 2


def test_who_wrote_reads_it_at_once_while_others_read(world: World) -> None:
    def write(number: int) -> bool:
        id = world.reader.queue(NOW)[number].problem.id
        world.reader.assign(id, f"person {number}", "me", NOW)
        return any(row.problem.id == id and row.owner == f"person {number}" for row in world.reader.queue(NOW))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(write, range(4)))


def test_the_file_notes_changes_of_every_record_that_is_followed() -> None:
    assert {kind.__name__ for kind in FOLLOWED} == set(NOTED)
