"""The contract of a store as a whole: what lies behind the horizon, and all of it read and written as it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.store_contract import NOW, occurrence, problem
from triage.model import LogLine, LogStatus, Signature
from triage.query import EVERYTHING, Members, parse
from triage.records import Change, Dag, Horizon, Membership, Problem, Tally
from triage.store import HORIZON, Day, DeadLetter, Part, Put, Store, Thing, Touched, thing_id
from triage.watched import Cursor

PAIR = [("prod", "1:aa")]
OLD, DAY = NOW - timedelta(days=200), timedelta(days=1)
BEFORE = (NOW - 180 * DAY).date().isoformat()


def settled(store: Store) -> None:
    touched = store.touched(100)
    store.summarise(touched)
    store.clear(touched)


def filled(store: Store) -> None:
    """Keep six old failures of one fingerprint on three days, two new ones, and a pending old one."""
    store.put([
        *(occurrence(n, at=OLD - (n % 3) * DAY, text=f"elderly {n}", dag_version=4, title="first") for n in range(6)),
        *(occurrence(n, at=NOW - timedelta(minutes=n), text=f"young {n}", title="later") for n in range(6, 8)),
        occurrence(9, at=OLD, fingerprint="", log=LogStatus.PENDING, next_fetch_at=NOW),
    ])  # fmt: skip


def retired(store: Store, before: str = BEFORE, limit: int = 100) -> list[int]:
    gone = []
    while count := store.retire(before, limit):
        gone.append(count)
    return gone


def counted(store: Store) -> tuple[object, ...]:
    """Return all that is counted of the pair, but for the title, which comes from a failed try."""
    tally = store.tally(PAIR, OLD - 9 * DAY)
    assert tally is not None
    hours = store.hourly(PAIR, 0)
    return replace(tally, title="", cause=""), store.summaries(members=PAIR), hours


class WholeContract:
    def test_what_is_retired_is_gone_in_slices_and_stays_counted(self, store: Store) -> None:
        filled(store)
        settled(store)
        before = counted(store)
        assert retired(store, limit=3) == [3, 3, 1]
        assert counted(store) == before
        assert store.count(EVERYTHING) == 2
        assert [fact.key.run_id for fact in store.search(EVERYTHING, 10)] == ["run_6", "run_7"]
        assert store.occurrence(occurrence(0).key.id) is None
        found = store.get(Horizon, HORIZON)
        assert found is not None
        assert found[0] == Horizon(BEFORE, 7)

    def test_what_was_touched_is_counted_before_it_is_retired_and_is_told_of_once_more(self, store: Store) -> None:
        filled(store)
        retired(store)
        assert {touch.day for touch in store.touched(10)} > {OLD.date().isoformat()}
        settled(store)
        tally = store.tally(PAIR)
        assert tally is not None
        assert (tally.occurrences, tally.first_seen) == (8, OLD - 2 * DAY)

    def test_summaries_behind_the_horizon_are_left_alone(self, store: Store) -> None:
        filled(store)
        settled(store)
        before = counted(store)
        assert store.retire(BEFORE, 2) == 2  # some of the tries of these days are there still
        store.summarise([Touched("prod", "1:aa", (OLD - n * DAY).date().isoformat(), 1) for n in range(3)])
        assert counted(store) == before

    def test_a_try_of_a_day_behind_the_horizon_is_not_kept_again_nor_made_better(self, store: Store) -> None:
        filled(store)
        settled(store)
        store.retire(BEFORE, 4)
        left = [fact for fact in store.search(EVERYTHING, 10) if fact.ended_at < NOW - 180 * DAY]
        assert len(left) == 3
        late = [replace(left[0], log_bytes=999), occurrence(0, at=OLD), occurrence(50, at=OLD)]
        moved = replace(left[1], ended_at=NOW, is_event_time=True)  # another day, but its own was counted already
        assert store.put([*late, moved, occurrence(51)]) == Put(new=1)
        assert store.count(EVERYTHING) == 6
        retired(store)
        assert store.count(EVERYTHING) == 3

    def test_the_first_day_that_is_kept_is_kept_whole(self, store: Store) -> None:
        midnight = NOW.replace(hour=0)
        store.put([occurrence(1, at=midnight), occurrence(2, at=midnight - timedelta(microseconds=1))])
        assert retired(store, midnight.date().isoformat()) == [1]
        assert [fact.key.run_id for fact in store.search(EVERYTHING, 9)] == ["run_1"]
        assert store.put([occurrence(3, at=midnight)]) == Put(new=1)

    def test_the_horizon_never_moves_back(self, store: Store) -> None:
        filled(store)
        retired(store)
        assert store.retire("2020-01-01", 10) == 0
        found = store.get(Horizon, HORIZON)
        assert found is not None
        assert found[0].day == BEFORE
        assert store.put([occurrence(20, at=OLD)]) == Put()

    def test_words_and_logs_of_what_is_retired_are_found_no_more(self, store: Store) -> None:
        filled(store)
        assert store.count(parse("elderly", NOW)) == 6
        retired(store)
        assert store.count(parse("elderly", NOW)) == 0
        assert store.matching(parse("young", NOW)) == set(PAIR)
        assert store.count(parse("young", NOW)) == 2
        store.put([occurrence(30, text="newcomer")])
        assert store.count(parse("elderly", NOW)) == 0
        assert store.count(parse("newcomer", NOW)) == 1

    def test_an_example_is_one_that_is_left_and_a_tally_has_no_title_where_none_is(self, store: Store) -> None:
        filled(store)
        settled(store)
        retired(store)
        left = store.examples(PAIR)["prod", "1:aa"]
        assert left.key.run_id in ("run_6", "run_7")
        tally = store.tally(PAIR)
        assert tally is not None
        assert tally.title == "later"
        retired(store, (NOW + DAY).date().isoformat())
        assert store.examples(PAIR) == {}
        emptied = store.tally(PAIR)
        assert isinstance(emptied, Tally)
        assert (emptied.occurrences, emptied.title, emptied.cause, len(emptied.ran)) == (8, "", "", 2)
        assert store.editions() == []
        assert store.due("prod", NOW, 9) == []

    def test_what_ended_since_is_counted_in_whole_hours_behind_the_horizon(self, store: Store) -> None:
        hour = timedelta(hours=1)
        store.put([occurrence(n, at=OLD + n * hour) for n in range(8)])
        settled(store)
        retired(store)
        newer = [store.tally(PAIR, OLD + timedelta(minutes=minutes)) for minutes in (-61, -1, 1, 119, 480)]
        assert [tally.newer for tally in newer if tally] == [8, 8, 7, 6, 0]

    def test_what_waits_to_be_deleted_is_not_signed_anew_nor_moved(self, store: Store) -> None:
        filled(store)
        settled(store)
        store.retire(BEFORE, 1)
        before = store.summaries()
        assert sorted(fact.key.run_id for fact in store.signed("1", 10)) == ["run_6", "run_7"]
        old = [fact for fact in store.search(Members(frozenset(PAIR)), 10) if fact.ended_at <= OLD]
        other = Signature(1, "1:bb", "another", "code error")
        assert store.rewrite([fact.key.id for fact in old], lambda fact: replace(fact, signature=other)) == 0
        assert store.summaries() == before
        masked = store.rewrite([old[0].key.id], lambda fact: replace(fact, kept=(LogLine(1, "masked"),)))
        assert masked == 1  # a secret is masked wherever it stands

    def test_retiring_nothing_changes_nothing(self, store: Store) -> None:
        store.put([occurrence(1)])
        retired(store)
        revision = store.revision()
        assert store.retire(BEFORE, 10) == 0
        assert store.revision() == revision

    # --- all there is

    def test_everything_comes_in_pages_in_order_of_id(self, store: Store) -> None:
        filled(store)
        settled(store)
        store.put([occurrence(40, deployment="dev"), occurrence(41, fingerprint="1:aa/c0ffee")])
        for number in range(5):
            store.save(Dag("prod", f"orders {number}/ü"), None)
        for kind, number in ((Dag, 5), (Day, 6), (Touched, 2)):
            found: list[Thing] = []
            while page := store.everything(kind, 2, thing_id(found[-1]) if found else ""):
                assert len(page) <= 2
                found += page
            ids = [thing_id(thing) for thing in found]
            assert ids == sorted(set(ids)), kind
            assert len(ids) >= number - 2
            assert all(isinstance(thing, kind) for thing in found)
        facts = store.everything(type(occurrence()), 100)
        assert [fact.key.id for fact in facts] == sorted(fact.key.id for fact in facts)
        assert sorted(fact.kept[0].text for fact in facts if fact.kept) == sorted(
            [*(f"elderly {n}" for n in range(6)), "young 6", "young 7", "boom", "boom"]
        )
        assert [fact.kept for fact in facts if fact.log is LogStatus.PENDING] == [None]

    def test_what_is_written_as_it_is_stands_so_behind_the_horizon_too(self, store: Store) -> None:
        retired(store)
        fact, record = occurrence(1, at=OLD, text="restored"), problem(title="Ä")
        part = Part("orders", "load", "ann", 0, "", 3, 2, 1, 2, 1)
        day = Day("prod", "1:aa", OLD.date().isoformat(), (part,), ((int(OLD.timestamp()) // 3600, 3),))
        for _ in range(2):
            store.overwrite([fact])
            store.overwrite([record])
            store.overwrite([day])
        assert list(store.touched(9)) == []
        assert store.everything(type(fact), 9) == [fact]
        assert store.everything(Day, 9) == [day]
        assert store.get(Problem, "p1") == (record, 1)
        assert store.count(parse("restored", NOW)) == 1
        tally = store.tally(PAIR)
        assert tally is not None
        assert (tally.occurrences, tally.final) == (3, 2)
        store.overwrite([replace(fact, kept=None, log=LogStatus.PENDING, signature=None)])
        assert store.count(parse("restored", NOW)) == 0
        found = store.occurrence(fact.key.id)
        assert found is not None
        assert found.kept is None

    def test_records_are_found_as_before_once_written_as_they_are(self, store: Store) -> None:
        store.save(problem(title="old"), None)
        store.save(problem(title="older"), 1)
        waking = problem(wake_at=NOW, scope="dev")
        store.overwrite([waking])
        store.overwrite([Membership("dev", "1:aa", "p1"), Membership("dev", "1:bb", "p1")])
        store.overwrite([Cursor("prod", events_until=NOW)])
        assert store.records(Problem, wake_before=NOW) == [(waking, 1)]
        assert store.records(Problem, parent="dev") == [(waking, 1)]
        assert len(store.records(Membership, parent="p1")) == 2
        assert store.save(replace(waking, title="newer"), 1) == 2

    def test_what_is_touched_as_it_is_is_touched(self, store: Store) -> None:
        store.put([occurrence(1)])
        (touch,) = store.touched(9)
        store.clear([touch])
        store.overwrite([replace(touch, stamp=0)])
        (again,) = store.touched(9)
        assert thing_id(again) == thing_id(touch)
        store.summarise([again])
        store.clear([again])
        assert list(store.touched(9)) == []

    def test_what_is_erased_is_gone_with_all_that_belongs_to_it(self, store: Store) -> None:
        filled(store)
        settled(store)
        store.put([occurrence(40, fingerprint="1:bb")])
        store.save(Change("p1", NOW, "ann", "muted"), None)
        for kind in (type(occurrence()), Day, Touched, Change):
            ids = [thing_id(thing) for thing in store.everything(kind, 100)]
            assert ids
            store.erase(kind, [*ids, *ids[:1]])
            assert store.everything(kind, 100) == []
        assert store.tally(PAIR) is None
        assert store.hourly(PAIR, 0) == {}
        assert store.count(parse("elderly OR young", NOW)) == 0

    # --- what the storage refused

    def test_dead_letters_are_counted_listed_with_their_reason_and_dropped(self, store: Store) -> None:
        letters = [DeadLetter(occurrence(n, text=f"odd {n}"), f"because {n}") for n in range(3)]
        store.overwrite([*letters, letters[0]])
        assert store.dead() == 3
        assert store.count(EVERYTHING) == 0
        ordered = sorted(letters, key=thing_id)
        assert store.everything(DeadLetter, 2) == ordered[:2]
        assert store.everything(DeadLetter, 2, thing_id(ordered[1])) == ordered[2:]
        store.erase(DeadLetter, [thing_id(ordered[0])])
        assert store.everything(DeadLetter, 9) == ordered[1:]
        assert store.dead() == 2

    def test_dead_letters_that_are_tried_again_are_kept_and_counted(self, store: Store) -> None:
        store.overwrite([DeadLetter(occurrence(n, text="odd"), "no room") for n in range(2)])
        assert store.revive() == 2
        assert (store.dead(), store.revive()) == (0, 0)
        settled(store)
        assert store.count(parse("odd", NOW)) == 2
        tally = store.tally(PAIR)
        assert tally is not None
        assert tally.occurrences == 2
