"""The contract every store keeps: inherit `StoreContract` and give it a `store` fixture."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from triage.errors import StaleProblem
from triage.mirrors import Mirror, MirrorStatus, Tracker, tracker_id
from triage.model import LogLine, LogStatus, Occurrence, Raised, Signature, TaskTry
from triage.query import EVERYTHING, FACETS, Field, Members, parse
from triage.records import (
    Change,
    Codeowners,
    Comparison,
    ComparisonStatus,
    Dag,
    DagVersion,
    Deploy,
    Escalation,
    Good,
    Membership,
    Move,
    MoveKind,
    Moving,
    Outcomes,
    Problem,
    Ran,
    Regroup,
    SavedSearch,
    Split,
    Stand,
    TriageState,
)
from triage.store import Put, Store
from triage.watched import Cursor, DeploymentHealth, Lease, Trouble, Worker

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def occurrence(
    n: int = 1, *, deployment: str = "prod", dag: str = "orders", task: str = "load", map_index: int = -1, at: datetime = NOW,
    fingerprint: str = "1:aa", title: str = "KeyError: 'amount'", log: LogStatus = LogStatus.WHOLE, text: str = "boom", **more: object,
) -> Occurrence:  # fmt: skip
    signed = Signature(1, fingerprint, title, "code error", "KeyError") if fingerprint else None
    fact = Occurrence(
        key=TaskTry(deployment, dag, f"run_{n}", task, map_index, 1), ended_at=at, seen_at=at, started_at=at - timedelta(seconds=5),
        is_final=True, log=log, signature=signed, kept=(LogLine(1, text),) if log is not LogStatus.PENDING else None, log_bytes=len(text),
    )  # fmt: skip
    return replace(fact, **more)  # type: ignore[arg-type]


def problem(id: str = "p1", **more: object) -> Problem:
    fact = Problem(id, "prod", "1:aa", "KeyError", "code error", TriageState.NEW, NOW, NOW)
    return replace(fact, **more)  # type: ignore[arg-type]


def comparison(run: str = "run_1", **more: object) -> Comparison:
    return replace(Comparison(TaskTry("prod", "orders", run, "load"), "p1", NOW, NOW, "ann"), **more)  # type: ignore[arg-type]


class StoreContract:
    # --- records

    def test_a_record_is_read_back_as_it_was_saved(self, store: Store) -> None:
        records = [
            problem(
                wake_at=NOW,
                before=TriageState.MUTED,
                muted_until_count=3,
                muted_dags=("a",),
                quiet_for=timedelta(days=7),
                deploy=Deploy((DagVersion("prod", "orders", 14),), ("9ab1e0d",)),
                told=Change("p1", NOW, "ann", "muted"),
                undo=Stand(
                    "muted",
                    TriageState.NEW,
                    NOW,
                    "airtriage",
                    "first seen",
                    owner="ann",
                    decided_by="ann",
                    decided_at=NOW,
                ),
            ),
            Membership("prod", "1:aa", "p1", ("m1",), is_bound=True),
            (
                move := Move(
                    "m1", "prod", MoveKind.SPLIT, "p1", "p2", NOW, "ann", other=problem(), was=problem("p2"), tries=3
                )
            ),
            Moving("prod", (move,)),
            Split("prod", "1:aa", "orders", "", "m1", NOW),
            Change("p1", NOW, "ann", "resolved", "fixed ✓", "page"),
            Cursor("prod", "prod", NOW, None),
            Lease("pass/prod", "host:1", NOW),
            Worker(
                "host:1:2",
                "worker",
                NOW,
                NOW,
                ("airtriage",),
                4,
                1,
                10**8,
                {"airtriage": 3},
                Trouble("It is away.", "Start it."),
            ),
            Regroup("2.c0ffee00", NOW, ("1", "2"), tries=3, done_at=NOW),
            DeploymentHealth("prod", "http://x", NOW, poll=2.5),
            Outcomes("p1", "prod", "orders", "load", NOW, NOW, NOW, NOW, succeeded=3, healed=2, last_success_at=NOW),
            Dag("prod", "orders", ("nightly",), "/dags/orders.py", at=NOW),
            Codeowners("https://gitlab.example.com/data/dags", "CODEOWNERS", "* @data\n", NOW),
            Escalation("p1", NOW, "41 tries in the last 3 hours", 4.5, 9, 24, NOW, NOW),
            comparison(status=ComparisonStatus.SHOWN, new=(1, 4), good=Good(TaskTry("prod", "d", "r", "t"), NOW, 3)),
            Mirror(
                "p1", "https://g", "data/airflow", MirrorStatus.INTENDED, NOW, comments=("regressed",), updated_at=NOW
            ),
            Tracker("https://g", "data/airflow", troubles=(Trouble("It is away.", "Wait."),)),
            SavedSearch("s1", "Nächtliche <b>", 'dag:"a b" AND NOT (x OR "y*")', "ann", NOW, is_mine=True),
        ]
        for record in records:
            assert store.save(record, None) == 1
            (found, revision) = store.records(type(record))[0]
            assert found == record
            assert revision == 1

    def test_saving_against_an_old_revision_is_refused(self, store: Store) -> None:
        store.save(problem(), None)
        assert store.save(problem(title="new"), 1) == 2
        with pytest.raises(StaleProblem):
            store.save(problem(title="lost"), 1)
        found = store.get(Problem, "p1")
        assert found is not None
        assert (found[0].title, found[1]) == ("new", 2)

    def test_a_record_that_exists_cannot_be_made_again(self, store: Store) -> None:
        store.save(problem(), None)
        with pytest.raises(StaleProblem):
            store.save(problem(), None)

    def test_what_is_not_there_is_none(self, store: Store) -> None:
        assert store.get(Problem, "nope") is None
        assert store.occurrence("nope") is None
        assert store.tally([("prod", "1:zz")]) is None

    def test_deleting_needs_the_revision_read_and_may_be_repeated(self, store: Store) -> None:
        store.save(problem(), None)
        with pytest.raises(StaleProblem):
            store.delete(Problem, "p1", 7)
        store.delete(Problem, "p1", 1)
        store.delete(Problem, "p1", 1)
        assert store.get(Problem, "p1") is None

    def test_records_are_listed_by_parent_and_by_when_they_wake(self, store: Store) -> None:
        store.save(problem("a", wake_at=NOW), None)
        store.save(problem("b", scope="dev", wake_at=NOW + timedelta(hours=1)), None)
        store.save(problem("c"), None)
        assert [p.id for p, _ in store.records(Problem)] == ["a", "b", "c"]
        assert [p.id for p, _ in store.records(Problem, parent="dev")] == ["b"]
        assert [p.id for p, _ in store.records(Problem, wake_before=NOW)] == ["a"]

    def test_mirrors_are_listed_by_their_tracker_and_by_when_something_is_next(self, store: Store) -> None:
        here = Mirror("p1", "https://g", "data/airflow", MirrorStatus.LINKED, NOW, iid=7)
        store.save(here, None)
        store.save(replace(here, problem="p2", project="data/other", next_at=NOW), None)
        assert [m.problem for m, _ in store.records(Mirror, parent=tracker_id("https://g", "data/airflow"))] == ["p1"]
        assert [m.problem for m, _ in store.records(Mirror, wake_before=NOW)] == ["p2"]

    def test_a_wish_is_due_until_it_is_answered_and_outcomes_when_they_are_to_be_asked_again(
        self, store: Store
    ) -> None:
        wish = comparison(wanted_at=NOW)
        store.save(wish, None)
        assert store.records(Comparison, wake_before=NOW - timedelta(seconds=1)) == []
        assert store.records(Comparison, wake_before=NOW) == [(wish, 1)]
        store.save(replace(wish, status=ComparisonStatus.NONE), 1)
        assert store.records(Comparison, wake_before=NOW) == []
        assert len(store.records(Comparison, parent="p1")) == 1
        outcomes = Outcomes("p1", "prod", "orders", "load", NOW, NOW, NOW, NOW + timedelta(hours=1))
        store.save(outcomes, None)
        store.save(replace(outcomes, task_id="other"), None)
        assert len(store.records(Outcomes, parent="p1")) == 2
        assert store.records(Outcomes, wake_before=NOW) == []

    # --- occurrences

    def test_putting_twice_changes_nothing(self, store: Store) -> None:
        facts = [occurrence(n) for n in range(5)]
        assert store.put(facts) == Put(new=5)
        revision_of = [o.key for o in store.search(EVERYTHING, 10)]
        assert store.put(facts) == Put()
        assert [o.key for o in store.search(EVERYTHING, 10)] == revision_of

    def test_a_better_fact_replaces_a_lesser_one_and_never_the_other_way(self, store: Store) -> None:
        pending = occurrence(fingerprint="", log=LogStatus.PENDING, log_bytes=0)
        whole = occurrence()
        assert store.put([pending]) == Put(new=1)
        assert store.put([whole]) == Put(better=1)
        assert store.put([pending]) == Put()
        found = store.occurrence(whole.key.id)
        assert found is not None
        assert found.log is LogStatus.WHOLE
        assert found.kept == whole.kept

    def test_the_kept_log_survives_as_it_was(self, store: Store) -> None:
        lines = (
            LogLine(1, "plain"),
            LogLine(
                7,
                "raised",
                "error",
                "task",
                NOW,
                (Raised("KeyError", "'a'", notes=("n",), parts=((Raised("X"),),)),),
                3,
                "SIGKILL",
            ),
        )
        store.put([occurrence(kept=lines)])
        found = store.occurrence(occurrence().key.id)
        assert found is not None
        assert found.kept == lines
        assert store.search(EVERYTHING, 1)[0].kept is None

    def test_due_is_newest_failure_first_and_only_what_is_due(self, store: Store) -> None:
        for n, wait in enumerate((0, 0, 60)):
            at = NOW + timedelta(seconds=n)
            store.put(
                [
                    occurrence(
                        n, fingerprint="", log=LogStatus.PENDING, at=at, next_fetch_at=NOW + timedelta(seconds=wait)
                    )
                ]
            )
        assert [o.key.run_id for o in store.due("prod", NOW, 10)] == ["run_1", "run_0"]
        assert store.due("dev", NOW, 10) == []
        backlog = store.backlog("prod", NOW)
        assert (backlog.waiting, backlog.due, backlog.oldest) == (3, 2, NOW)

    def test_search_pages_newest_first_without_gap_or_double(self, store: Store) -> None:
        store.put([occurrence(n, at=NOW + timedelta(seconds=n // 3)) for n in range(20)])
        seen: list[str] = []
        after = None
        while page := store.search(EVERYTHING, 3, after):
            seen += [o.key.id for o in page]
            after = (page[-1].ended_at, page[-1].key.id)
        assert len(seen) == len(set(seen)) == 20
        assert [o.key.id for o in store.search(EVERYTHING, 50)] == seen

    @pytest.mark.parametrize(
        ("text", "runs"),
        [
            ("*", "0123"),
            ("boom", "02"),
            ("boom disk", "2"),
            ("boom OR quiet", "0123"),
            ("-boom", "13"),
            ("NOT boom", "13"),
            ('"no space left"', "2"),
            ('"space no left"', ""),
            ("spac*", "2"),
            ("grüße", "1"),
            ("snake_case", "3"),
            ("dag:orders", "01"),
            ("dag:ord*", "01"),
            ("dag:ORDERS", "01"),
            ("dag:o[rd]*", ""),
            ("task:load AND dag:billing", "23"),
            ("title:keyerror*", "013"),
            ("exception:KeyError", "0123"),
            ("owner:data", "1"),
            ("owner:\"ärzte, BOB\"", "3"),
            ("tag:nightly", "2"),
            ("tag:night*", "2"),
            ("map:3", "3"),
            ("map:[0 TO *]", "3"),
            ("try:1", "0123"),
            ("try:2", ""),
            ("at:[2026-11-24 TO 2026-11-25]", "0123"),
            ("at:[now-30m TO now]", "0123"),
            ("at:2026-11-23", ""),
            ("log:whole", "0123"),
            ("cause:\"code error\" (boom OR quiet)", "0123"),
            ("dag:(orders OR billing) -quiet", "02"),
            ("host:w-7", "0"),
            ("fingerprint:\"1:bb\"", "2"),
        ],
    )  # fmt: skip
    def test_a_query_finds(self, store: Store, text: str, runs: str) -> None:
        store.put([
            occurrence(0, text="boom here", host="w-7"),
            occurrence(1, text="quiet grüße", owner="data"),
            occurrence(2, dag="billing", text="boom: no space left on disk", fingerprint="1:bb", title="OSError", tags=("nightly", "x")),
            occurrence(3, dag="billing", text="quiet snake_case.py", map_index=3, owner="ÄRZTE, Bob"),
        ])  # fmt: skip
        query = parse(text, NOW + timedelta(minutes=10))
        assert sorted(o.key.run_id[-1] for o in store.search(query, 10)) == list(runs)
        assert store.count(query) == len(runs)
        assert sum(store.histogram(query).values()) == len(runs)

    def test_a_histogram_counts_by_steps_since_1970(self, store: Store) -> None:
        ends = [NOW, NOW + timedelta(minutes=9), NOW + timedelta(minutes=61), NOW + timedelta(days=2)]
        store.put([occurrence(n, at=at) for n, at in enumerate(ends)])
        assert store.histogram(EVERYTHING) == {NOW.replace(hour=0): 3, NOW.replace(hour=0) + timedelta(days=2): 1}
        hours = store.histogram(Field("dag", "orders"), timedelta(hours=1))
        assert list(hours.items()) == [(NOW, 2), (NOW + timedelta(hours=1), 1), (NOW + timedelta(days=2), 1)]
        week = datetime(2026, 11, 19, tzinfo=UTC)  # a Thursday, as the first day of 1970 was
        assert store.histogram(EVERYTHING, timedelta(days=7)) == {week: 3, week + timedelta(days=7): 1}
        assert store.histogram(parse("nothing", NOW)) == {}

    def test_facets_count_values_as_they_are_stored_most_first_then_by_value(self, store: Store) -> None:
        store.put([
            occurrence(1, dag="b", owner="Ärzte", tags=("x", "y")), occurrence(2, dag="B", tags=("x", "x")), occurrence(3, dag="a"),
            occurrence(4, dag="a", fingerprint="", log=LogStatus.PENDING), occurrence(5, dag="c", deployment="dev"),
        ])  # fmt: skip
        found = store.facets(EVERYTHING, ["dag", "owner", "tag", "cause", "pool"], 3)
        assert found == {
            "dag": [("a", 2), ("B", 1), ("b", 1)],
            "owner": [("Ärzte", 1)],
            "tag": [("x", 2), ("y", 1)],
            "cause": [("code error", 4)],
            "pool": [],
        }
        assert store.facets(parse("dag:b", NOW), ["dag"], 10) == {"dag": [("B", 1), ("b", 1)]}
        every = store.facets(EVERYTHING, FACETS, 1)
        assert list(every) == list(FACETS)

    def test_a_try_whose_log_is_awaited_is_found_by_its_names_and_later_by_its_log(self, store: Store) -> None:
        pending = occurrence(1, fingerprint="", log=LogStatus.PENDING, host="worker-9")
        store.put([replace(pending, host="")])
        assert store.count(parse('"orders load run_1" -boom', NOW)) == 1
        store.put([pending])
        assert store.count(parse("worker-9", NOW)) == 1
        store.put([occurrence(1, host="worker-9")])
        assert store.count(parse("orders boom worker-9 title:amount", NOW)) == 1
        assert store.count(parse("title:boom", NOW)) == 0

    def test_a_field_with_a_star_alone_has_a_value(self, store: Store) -> None:
        store.put([occurrence(1, owner="ann"), occurrence(2, tags=("x",)), occurrence(3, fingerprint="")])
        for text, runs in (
            ("owner:*", "1"),
            ("-owner:*", "23"),
            ("tag:*", "2"),
            ("NOT tag:*", "13"),
            ("title:*", "12"),
        ):
            assert sorted(o.key.run_id[-1] for o in store.search(parse(text, NOW), 9)) == list(runs), text

    def test_members_are_found_by_deployment_and_fingerprint(self, store: Store) -> None:
        store.put([occurrence(1), occurrence(2, deployment="dev"), occurrence(3, fingerprint="1:bb")])
        found = store.search(Members(frozenset({("dev", "1:aa"), ("prod", "1:bb")})), 10)
        assert sorted(o.key.run_id for o in found) == ["run_2", "run_3"]
        assert store.matching(parse("boom", NOW)) == {("prod", "1:aa"), ("dev", "1:aa"), ("prod", "1:bb")}

    def test_an_example_is_the_first_by_day_and_id_of_each_pair_that_has_any(self, store: Store) -> None:
        early = [occurrence(n, at=NOW - timedelta(days=2)) for n in range(4)]
        store.put([occurrence(9), *early, occurrence(7, deployment="dev"), occurrence(8, fingerprint="1:bb")])
        found = store.examples([("prod", "1:aa"), ("dev", "1:aa"), ("dev", "1:bb"), ("prod", "1:bb")])
        assert found.keys() == {("prod", "1:aa"), ("dev", "1:aa"), ("prod", "1:bb")}
        assert found["prod", "1:aa"] == replace(min(early, key=lambda fact: fact.key.id), kept=None)
        assert store.examples([]) == {}

    # --- summaries

    def test_hours_are_counted_from_the_facts_for_many_pairs_at_once(self, store: Store) -> None:
        hour = int(NOW.timestamp()) // 3600
        facts = [occurrence(n, at=NOW - timedelta(minutes=40 * n)) for n in range(4)]
        store.put([*facts, occurrence(9, fingerprint="1:bb"), occurrence(10, deployment="dev", fingerprint="")])
        for _ in range(2):
            store.summarise(store.touched(10))
        pairs = [("prod", "1:aa"), ("prod", "1:bb"), ("prod", "1:zz"), ("dev", "1:aa")]
        assert store.hourly(pairs, hour - 2) == {
            ("prod", "1:aa"): {hour: 1, hour - 1: 1, hour - 2: 2},
            ("prod", "1:bb"): {hour: 1},
        }
        assert store.hourly(pairs, hour) == {("prod", "1:aa"): {hour: 1}, ("prod", "1:bb"): {hour: 1}}
        store.put([replace(facts[0], log_bytes=9, signature=replace(facts[0].signature, fingerprint="1:cc"))])  # type: ignore[type-var]
        store.summarise(store.touched(10))
        assert store.hourly([("prod", "1:aa"), ("prod", "1:cc")], hour) == {("prod", "1:cc"): {hour: 1}}

    def test_summaries_are_absolute_and_may_be_repeated(self, store: Store) -> None:
        store.put([occurrence(n, at=NOW - timedelta(days=n % 2), owner=f"a, b {n % 2}") for n in range(6)])
        touched = store.touched(10)
        assert {t.day for t in touched} == {"2026-11-24", "2026-11-23"}
        for _ in range(3):
            store.summarise(touched)
        (summary,) = store.summaries()
        assert (summary.total, summary.final) == (6, 6)
        assert summary.daily == {"2026-11-24": 3, "2026-11-23": 3}
        assert summary.tasks == {("orders", "load"): 6}
        assert summary.spans == {("orders", "load"): (NOW - timedelta(days=1), NOW)}
        assert sorted(summary.owners) == ["a, b 0", "a, b 1"]
        assert list(summary.owned["orders", "load"]) == ["a, b 0", "a, b 1"]
        assert store.summaries(since="2026-11-24")[0].daily == {"2026-11-24": 3}
        assert store.summaries(members=[("dev", "1:aa"), ("prod", "1:bb")]) == []
        assert store.summaries(members=[("prod", "1:aa")]) == [summary]

    def test_a_fingerprint_that_an_occurrence_has_left_is_counted_again(self, store: Store) -> None:
        store.put([occurrence(1, log=LogStatus.MISSING, fingerprint="1:none"), occurrence(2, fingerprint="1:none")])
        store.summarise(store.touched(10))
        store.put([occurrence(1)])
        touched = store.touched(10)
        assert {t.fingerprint for t in touched} == {"1:none", "1:aa"}
        store.summarise(touched)
        assert {s.fingerprint: s.total for s in store.summaries()} == {"1:none": 1, "1:aa": 1}

    def test_a_touch_stays_until_it_is_cleared_as_it_was_seen(self, store: Store) -> None:
        store.put([occurrence(1)])
        seen = store.touched(10)
        store.put([occurrence(2)])
        store.clear(seen)
        again = store.touched(10)
        assert len(again) == 1
        store.clear(again)
        assert list(store.touched(10)) == []

    def test_many_records_are_read_in_one_look_with_their_revisions(self, store: Store) -> None:
        for name in ("prod", "dev", "it's"):
            store.save(Cursor(name), None)
        store.save(Cursor("dev", events_until=NOW), 1)
        found = {name: store.get(Cursor, name) for name in ("dev", "it's")}
        assert found["dev"] == (Cursor("dev", events_until=NOW), 2)
        assert store.many(Cursor, iter(["dev", "it's", "dev", "unknown"])) == found
        assert store.many(Membership, ["dev"]) == store.many(Cursor, []) == {}

    def test_what_was_stored_by_a_revision_is_found_as_of_it(self, store: Store) -> None:
        for number in range(3):
            store.put([occurrence(number)])
            as_of = store.revision()
            for _ in range(2):
                assert len(store.search(EVERYTHING, 9, as_of=as_of)) == number + 1
                assert sum(store.histogram(EVERYTHING, as_of=as_of).values()) == number + 1
                assert store.facets(EVERYTHING, ["dag"], 9, as_of=as_of) == {"dag": [("orders", number + 1)]}

    def test_many_occurrences_are_read_in_one_look_with_their_logs(self, store: Store) -> None:
        some = [occurrence(1, text="überall"), occurrence(2, log=LogStatus.PENDING), occurrence(3, deployment="dev")]
        store.put(some)
        ids = [fact.key.id for fact in some]
        assert store.occurrences([*ids, ids[0], "unknown", "it's \u2028"]) == dict(zip(ids, some, strict=True))
        assert store.occurrences(iter(ids[1:])) == {id: store.occurrence(id) for id in ids[1:]}
        assert store.occurrences([]) == {}

    def test_an_unsigned_occurrence_touches_nothing(self, store: Store) -> None:
        store.put([occurrence(fingerprint="", log=LogStatus.PENDING)])
        assert list(store.touched(10)) == []

    def test_a_tally_counts_over_deployments_and_fingerprints(self, store: Store) -> None:
        store.put([
            occurrence(1, at=NOW - timedelta(days=3), title="first"), occurrence(2, deployment="dev"),
            occurrence(3, fingerprint="1:bb", is_final=False), occurrence(4, fingerprint="1:cc"),
        ])  # fmt: skip
        store.summarise(store.touched(10))
        tally = store.tally([("prod", "1:aa"), ("dev", "1:aa"), ("prod", "1:bb")])
        assert tally is not None
        assert (tally.occurrences, tally.final, tally.title) == (3, 2, "first")
        assert (tally.first_seen, tally.last_seen) == (NOW - timedelta(days=3), NOW)
        assert tally.last_started == NOW - timedelta(seconds=5)

    def test_a_tally_is_parted_by_task_and_by_what_was_run_and_counts_what_ended_since(self, store: Store) -> None:
        hour = timedelta(hours=1)
        store.put([
            occurrence(1, at=NOW - 30 * hour, dag_version=1), occurrence(2, at=NOW - 2 * hour, dag_version=1, fingerprint="1:bb"),
            occurrence(3, at=NOW - hour, dag_version=2, bundle_version="9ab1e0d"), occurrence(4, dag="billing", started_at=None),
        ])  # fmt: skip
        store.summarise(store.touched(10))
        pairs = [("prod", "1:aa"), ("prod", "1:bb")]
        tally = store.tally(pairs, NOW - 2 * hour)
        assert tally is not None
        second = timedelta(seconds=5)
        assert tally.ran == (
            Ran("prod", "billing", "load", None, "", NOW, NOW),
            Ran("prod", "orders", "load", 1, "", NOW - 2 * hour - second, NOW - 2 * hour),
            Ran("prod", "orders", "load", 2, "9ab1e0d", NOW - hour - second, NOW - hour),
        )
        assert (tally.occurrences, tally.newer, tally.dags) == (4, 2, {"orders", "billing"})
        newer = [store.tally(pairs, NOW - ago * hour) for ago in (0, 31)]
        assert [it.newer for it in newer if it] == [0, 4]
        without = store.tally(pairs)
        assert without is not None
        assert without.newer == 0

    def test_a_rewritten_occurrence_is_found_by_its_new_words_alone_and_counts_as_before(self, store: Store) -> None:
        store.put([occurrence(1, text="the old secret", title="old secret"), occurrence(2)])
        store.summarise(store.touched(10))

        def change(fact: Occurrence) -> Occurrence:
            assert fact.signature is not None
            assert fact.kept is not None
            kept = tuple(LogLine(line.number, line.text.replace("secret", "word")) for line in fact.kept)
            return replace(fact, signature=replace(fact.signature, title="new"), kept=kept)

        ids = [fact.key.id for fact in store.search(EVERYTHING, 10)]
        assert store.rewrite([*ids, "nobody"], change) == 2
        assert store.rewrite(ids, change) == 0
        store.purge()
        assert store.search(parse("secret", NOW), 10) == []
        (found,) = store.search(parse('"old word"', NOW), 10)
        rewritten = store.occurrence(found.key.id)
        assert rewritten is not None
        assert (rewritten.kept, rewritten.fingerprint) == ((LogLine(1, "the old word"),), "1:aa")
        tally = store.tally([("prod", "1:aa")])
        assert tally is not None
        assert (tally.occurrences, tally.title) == (2, "new")

    def test_a_rewriting_that_fails_in_its_middle_leaves_everything_as_it_was(self, store: Store) -> None:
        store.put([occurrence(1), occurrence(2)])
        ids = [fact.key.id for fact in store.search(EVERYTHING, 10)]
        seen: list[str] = []

        def change(fact: Occurrence) -> Occurrence:
            seen.append(fact.key.id)
            if len(seen) == 2:
                raise ValueError("no")
            return replace(fact, map_label="changed")

        with pytest.raises(ValueError, match="no"):
            store.rewrite(ids, change)
        assert not any(fact.map_label for fact in store.search(EVERYTHING, 10))

    def test_a_rewriting_that_changes_a_fingerprint_is_counted_at_once_and_touches_both(self, store: Store) -> None:
        store.put([occurrence(n) for n in range(3)])
        touched = store.touched(10)
        store.summarise(touched)
        store.clear(touched)
        moved, *_ = store.search(EVERYTHING, 10)
        signed = Signature(2, "2:bb", "KeyError: 'amount'", "code error", "KeyError")
        assert store.rewrite([moved.key.id], lambda fact: replace(fact, signature=signed)) == 1
        assert {one.fingerprint: one.total for one in store.summaries()} == {"1:aa": 2, "2:bb": 1}
        assert sorted(touch.fingerprint for touch in store.touched(10)) == ["1:aa", "2:bb"]
        assert store.search(Members(frozenset([("prod", "2:bb")])), 10) == [
            replace(moved, signature=signed),
        ]
        assert store.count(parse("boom", NOW)) == 3

    def test_a_rewriting_of_texts_alone_touches_nothing(self, store: Store) -> None:
        store.put([occurrence(1)])
        store.clear(store.touched(10))
        (fact,) = store.search(EVERYTHING, 10)
        store.rewrite([fact.key.id], lambda fact: replace(fact, map_label="changed"))
        assert store.touched(10) == []

    def test_the_editions_are_what_stands_before_the_colon(self, store: Store) -> None:
        assert store.editions() == []
        prints = ("1:aa", "1:bb", "1.c0ffee00:aa", "2:aa", "10:aa", "2.0ddba11:zz", "")
        store.put([occurrence(n, fingerprint=print_) for n, print_ in enumerate(prints)])
        assert sorted(store.editions()) == ["1", "1.c0ffee00", "10", "2", "2.0ddba11"]

    def test_what_was_signed_in_an_edition_comes_in_pages_with_its_log(self, store: Store) -> None:
        facts = [occurrence(n, fingerprint=f"1:{n % 3}", at=NOW - timedelta(days=n % 4)) for n in range(20)]
        others = [occurrence(n, fingerprint=print_) for n, print_ in enumerate(("1.0ddba11:1", "10:1", "2:1"), 30)]
        store.put([*facts, *others, replace(occurrence(40), kept=None)])
        found: list[Occurrence] = []
        while page := store.signed("1", 7, found[-1] if found else None):
            assert len(page) <= 7
            found += page
        assert sorted(found, key=lambda fact: fact.key) == sorted(facts, key=lambda fact: fact.key)
        order = [(fact.fingerprint, fact.key.deployment, fact.day, fact.key.id) for fact in found]
        assert order == sorted(order)
        assert [fact.fingerprint for fact in store.signed("1.0ddba11", 9)] == ["1.0ddba11:1"]

    def test_the_revision_moves_with_every_change(self, store: Store) -> None:
        before = store.revision()
        store.put([occurrence(1)])
        middle = store.revision()
        store.save(problem(), None)
        after = store.revision()
        assert before < middle < after
        store.put([occurrence(1)])
        store.delete(Problem, "nope", 1)
        assert store.revision() == after
