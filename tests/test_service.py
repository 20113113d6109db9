"""The service on a real store: problems opened, decided, found again after any crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store_contract import NOW, occurrence
from triage import merging
from triage.errors import InputError
from triage.model import LogStatus
from triage.query import KNOWN, parse
from triage.queue import Pill
from triage.records import Change, Escalation, Membership, Problem, TriageState
from triage.redact import Redactor
from triage.service import Service
from triage.store import Store, open_store
from triage.watched import DeploymentHealth

HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path / 'airtriage.db'}")
    yield store
    store.close()


@pytest.fixture
def service(store: Store) -> Service:
    return Service(store)


def test_recurrences_of_one_cause_are_one_problem_over_dags(service: Service) -> None:
    service.record([occurrence(n, dag=f"dag_{n % 3}") for n in range(9)])
    assert service.settle(NOW) == 1
    (row,) = service.queue(NOW)
    assert (row.total, row.final, row.recent) == (9, 9, 9)
    assert row.dags == (("dag_0", 3), ("dag_1", 3), ("dag_2", 3))
    assert row.daily[-1] == 9
    assert row.pill is Pill.NEEDS
    assert "3 DAGs" in row.why


def test_a_failure_of_one_deployment_never_touches_another_ones_problem(service: Service) -> None:
    service.record([occurrence(1), occurrence(2, deployment="dev")])
    service.settle(NOW)
    assert len(service.queue(NOW)) == 2
    prod = next(row for row in service.queue(NOW) if row.deployments == ("prod",))
    service.resolve(prod.problem.id, "ann", NOW)
    service.record([occurrence(3, deployment="dev", at=NOW + timedelta(hours=1))])
    service.settle(NOW + timedelta(hours=1))
    assert service.find(prod.problem.id).state is TriageState.RESOLVED


def test_deployments_of_one_scope_share_their_problems(store: Store) -> None:
    service = Service(store, {"blue": "prod", "green": "prod"})
    service.record([occurrence(1, deployment="blue"), occurrence(2, deployment="green")])
    service.settle(NOW)
    (row,) = service.queue(NOW)
    assert (row.total, row.deployments) == (2, ("blue", "green"))
    assert len(service.problem(row.problem.id, NOW).occurrences) == 2


def test_a_deployment_that_changes_its_scope_takes_its_problems_along(store: Store) -> None:
    before = Service(store, {"blue": "blue", "green": "green"})
    before.record(
        [
            occurrence(1, deployment="blue"),
            occurrence(2, deployment="green"),
            occurrence(3, deployment="blue", fingerprint="1:bb"),
        ]
    )
    before.settle(NOW)
    known = {(*row.deployments, row.problem.fingerprint): row.problem.id for row in before.queue(NOW)}
    before.mute(known["blue", "1:bb"], "ann", NOW)
    after = Service(store, {"blue": "prod", "green": "prod"})
    for _ in range(2):
        after.adopt("blue", "blue", NOW)
        after.adopt("green", "green", NOW)
    rows = {row.problem.fingerprint: row for row in after.queue(NOW)}
    assert {fingerprint: row.total for fingerprint, row in rows.items()} == {"1:aa": 2, "1:bb": 1}
    assert rows["1:aa"].problem.id == known["blue", "1:aa"]
    assert rows["1:bb"].problem.state is TriageState.MUTED


def test_a_deployment_that_leaves_a_shared_scope_opens_its_own_problems(store: Store) -> None:
    shared = Service(store, {"blue": "prod", "green": "prod"})
    shared.record([occurrence(1, deployment="blue"), occurrence(2, deployment="green")])
    shared.settle(NOW)
    apart = Service(store, {"blue": "prod", "green": "green"})
    apart.adopt("green", "prod", NOW)
    assert sorted((row.problem.scope, row.total) for row in apart.queue(NOW)) == [("green", 1), ("prod", 1)]


def test_an_occurrence_that_waits_for_its_log_opens_nothing(service: Service) -> None:
    service.record([occurrence(fingerprint="", log=LogStatus.PENDING)])
    assert service.settle(NOW) == 0
    assert service.queue(NOW) == []
    assert len(service.search(parse("log:pending", NOW), NOW, 10)) == 1


def test_a_problem_whose_last_occurrence_turned_out_otherwise_leaves_the_queue(service: Service) -> None:
    service.record([occurrence(1, fingerprint="1:none", title="No log", log=LogStatus.MISSING)])
    service.settle(NOW)
    service.record([occurrence(1)])
    service.settle(NOW)
    assert [row.problem.title for row in service.queue(NOW)] == ["KeyError: 'amount'"]


def test_a_regression_is_a_try_that_started_after_the_resolution_on_airflows_clock(service: Service) -> None:
    service.store.save(
        DeploymentHealth("prod", "http://x", NOW, offset=3600.0), None
    )  # Airflow's clock is an hour ahead
    service.record([occurrence(1, at=NOW + timedelta(minutes=59))])
    service.settle(NOW)
    (row,) = service.queue(NOW)
    service.resolve(row.problem.id, "ann", NOW)
    service.record([occurrence(2, at=NOW + timedelta(minutes=60))])  # it started five seconds before the resolution
    service.settle(NOW + timedelta(minutes=1))
    assert service.find(row.problem.id).state is TriageState.RESOLVED
    service.record([occurrence(3, at=NOW + timedelta(minutes=61))])
    service.settle(NOW + timedelta(minutes=2))
    assert service.find(row.problem.id).state is TriageState.REGRESSED
    assert [c.what for c in service.problem(row.problem.id, NOW).history][:2] == ["regressed", "resolved"]


def test_a_mute_wakes_by_itself(service: Service) -> None:
    service.record([occurrence(1)])
    service.settle(NOW)
    id = service.queue(NOW)[0].problem.id
    service.mute(id, "ann", NOW, lasting=timedelta(hours=8), why="known outage")
    assert service.settle(NOW + timedelta(hours=7)) == 0
    assert service.settle(NOW + timedelta(hours=8)) == 1
    assert service.find(id).state is TriageState.ONGOING


def test_a_mute_ends_after_so_many_more_failures(service: Service) -> None:
    service.record([occurrence(1)])
    service.settle(NOW)
    id = service.queue(NOW)[0].problem.id
    service.mute(id, "ann", NOW, more=2)
    later = NOW + timedelta(minutes=5)
    service.record([occurrence(2, at=later), *(occurrence(n, at=NOW - timedelta(days=n)) for n in range(10, 20))])
    service.settle(later)
    assert service.find(id).state is TriageState.MUTED, "old failures that arrive late do not count"
    service.record([occurrence(3, at=later)])
    service.settle(later)
    assert service.find(id).state is TriageState.ONGOING


def test_only_tries_that_airflow_repeats_are_flaky(service: Service) -> None:
    service.record([occurrence(1, is_final=False)])
    service.settle(NOW)
    assert service.queue(NOW)[0].pill is Pill.FLAKY
    service.record([occurrence(2)])
    service.settle(NOW)
    assert service.queue(NOW)[0].pill is Pill.NEEDS


def test_a_problem_is_found_by_the_beginning_of_its_id(service: Service) -> None:
    service.record([occurrence(1), occurrence(2, fingerprint="1:bb")])
    service.settle(NOW)
    id = service.queue(NOW)[0].problem.id
    assert service.find(id[:6]).id == id
    for wrong in ("", "zzzz"):
        with pytest.raises(InputError):
            service.find(wrong)


def test_terms_about_problems_find_their_occurrences(service: Service) -> None:
    service.record([occurrence(1), occurrence(2, fingerprint="1:bb", title="Other")])
    service.settle(NOW)
    id = next(row.problem.id for row in service.queue(NOW) if row.problem.title == "Other")
    service.mute(id, "ann", NOW)

    def runs(text: str) -> list[str]:
        return sorted(o.key.run_id for o in service.search(parse(text, NOW), NOW, 10))

    assert runs("state:muted") == ["run_2"]
    assert runs("is:needs") == ["run_1"]
    assert runs(f"problem:{id[:6]}*") == ["run_2"]
    assert runs("NOT state:MUTED AND dag:orders") == ["run_1"]
    service.mirrored(id, "https://gitlab.example.com/a/b/-/issues/41", NOW)
    assert runs("has:gitlab") == ["run_2"]
    with pytest.raises(InputError, match="There is gitlab, owner, team"):
        runs("has:jira")
    assert [row.problem.id for row in service.queue(NOW, parse("title:other", NOW))] == [id]
    with pytest.raises(InputError, match="state:happy is not known"):
        runs("state:happy")
    assert (
        runs("gitlab:41")
        == runs("gitlab:a/b*")
        == runs('gitlab:"a/b#41"')
        == runs("first_seen:* gitlab:*")
        == ["run_2"]
    )
    assert runs("-gitlab:* occurrences:1") == runs('gitlab:""') == ["run_1"]
    assert runs("last_seen:<=now-1s") == runs("team:*") == runs("is:growing") == []
    assert runs("state:*") == runs("first_seen:[now-1h TO now]") == ["run_1", "run_2"]
    tabs = {pill.partition(" ")[0] for pill in Pill} | {state.lower() for state in TriageState} | {"open", "growing"}
    assert set(KNOWN["is"].choices) == tabs
    service.assign(id, "@data", "ann", NOW)
    assert runs("team:data") == runs("team:@da*") == runs("has:team") == ["run_2"]
    assert [row.problem.id for row in service.queue(NOW, parse("owner:@da* -owner:nobody", NOW))] == [id]
    # A problem is found by one try that satisfies the whole query, not by several that do together.
    service.record([occurrence(3, fingerprint="1:bb", title="Other", text="quiet")])
    service.settle(NOW)
    assert service.queue(NOW, parse("boom quiet", NOW)) == []
    assert [row.problem.id for row in service.queue(NOW, parse("quiet -boom has:gitlab", NOW))] == [id]


def test_search_names_the_problem_of_each_try(service: Service) -> None:
    service.record([occurrence(1)])
    service.settle(NOW)
    (row,) = service.queue(NOW)
    (found,) = service.search(parse("*", NOW), NOW, 10)
    assert service.problem_of(found) == row.problem.id
    assert service.problem_of(occurrence(9, fingerprint="", log=LogStatus.PENDING)) == ""


def test_two_people_at_once_both_get_their_way_or_a_sentence(store: Store) -> None:
    import threading

    service = Service(store)
    service.record([occurrence(1)])
    service.settle(NOW)
    id = service.queue(NOW)[0].problem.id
    outcomes: list[str] = []

    def toggle(n: int) -> None:
        for _ in range(10):
            try:
                outcomes.append(service.mute(id, f"p{n}", NOW).state)
                outcomes.append(service.unmute(id, f"p{n}", NOW).state)
            except InputError:
                outcomes.append("refused")

    threads = [threading.Thread(target=toggle, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) >= 40
    assert service.find(id).state in (TriageState.NEW, TriageState.MUTED)


def test_of_two_processes_that_decide_at_once_one_gets_a_sentence_and_the_history_holds_all(tmp_path: Path) -> None:
    import threading

    url = f"sqlite:///{tmp_path / 'airtriage.db'}"
    service = Service(open_store(url))
    service.record([occurrence(n, fingerprint=f"1:{n:02x}") for n in range(5)])
    service.settle(NOW)
    ids = [row.problem.id for row in service.queue(NOW)]
    refused, at_once = list[str](), threading.Barrier(2, timeout=30)

    def decide(who: str) -> None:
        mine = Service(open_store(url))
        for id in ids:
            at_once.wait()
            try:
                mine.resolve(id, who, NOW)
            except InputError as exc:
                refused.append(str(exc))
            at_once.wait()
            mine.assign(id, who, who, NOW)
            mine.note(id, who, NOW, f"seen by {who}")

    people = ("ann", "bob")
    threads = [threading.Thread(target=decide, args=(who,)) for who in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == [f"Problem {id} is resolved already." for id in ids]
    for id in ids:
        told = [change.what for change in service.problem(id, NOW).history if change.who in people]
        assert sorted(told) == ["assigned it to ann", "assigned it to bob", "noted", "noted", "resolved"]
        assert service.find(id).owner in people


def test_an_open_problem_that_grows_needs_triage_until_it_is_back_for_a_day(service: Service) -> None:
    daily = [occurrence(n, at=NOW - timedelta(days=n, minutes=30)) for n in range(1, 30)]
    service.record([*daily, occurrence(90, fingerprint="1:bb", at=NOW - timedelta(days=20))])
    service.settle(NOW - timedelta(days=9))
    service.settle(NOW)
    row = service.queue(NOW)[0]
    assert (row.growth, row.pill, row.problem.state) == (None, Pill.ONGOING, TriageState.ONGOING)

    for at in (NOW, NOW):  # again, as a pass repeats itself
        service.record([occurrence(n, at=NOW - timedelta(minutes=n % 50)) for n in range(100, 140)])
        service.settle(at)
    row = service.queue(NOW)[0]
    assert row.growth is not None
    assert row.pill is Pill.NEEDS
    assert row.why == "growing: 40 tries in the last 3 hours; at this hour of the day it was 1 at most in 4 weeks"
    assert service.problem(row.problem.id, NOW).row == row
    told = [change.what for change in service.problem(row.problem.id, NOW).history]
    assert sorted(told) == ["escalated", "ongoing", "opened"]
    assert [len(service.search(parse(f"is:{word}", NOW), NOW, 100)) for word in ("growing", "needs", "ongoing")] == [
        69,
        69,
        1,
    ]

    service.resolve(row.problem.id, "ann", NOW)
    assert service.problem(row.problem.id, NOW).row.growth is None
    service.reopen(row.problem.id, "ann", NOW)
    service.mute(row.problem.id, "ann", NOW)
    (muted, _) = service.queue(NOW)[::-1]
    assert muted.pill is Pill.MUTED
    assert muted.why.startswith("growing: 40 tries")
    later = NOW + timedelta(hours=26)
    service.settle(later)
    assert [one.growth for one in service.queue(later)] == [None, None]
    assert service.problem(muted.problem.id, later).history[0].what == "no longer grows"
    assert service.settle(later + timedelta(days=1)) == 0


def test_a_problem_of_four_days_that_was_muted_and_explodes_is_told(service: Service) -> None:
    service.record([occurrence(n, at=NOW - timedelta(hours=8 * n)) for n in range(1, 12)])
    service.settle(NOW - timedelta(hours=2))
    id = service.queue(NOW)[0].problem.id
    assert service.mute(id, "ann", NOW - timedelta(hours=1)).state is TriageState.MUTED
    service.record([occurrence(n, at=NOW - timedelta(minutes=n % 50)) for n in range(100, 400)])
    service.settle(NOW)
    row = service.problem(id, NOW).row
    assert (row.pill, row.why) == (
        Pill.MUTED, "growing: 300 tries in the last 3 hours; 3 a day since it began 4 days ago; muted for good, by ann"
    )  # fmt: skip


def test_a_note_is_redacted_kept_and_can_be_taken_back(store: Store) -> None:
    service = Service(store, redactor=Redactor(["hunter2secret"]))
    service.record([occurrence(1)])
    service.settle(NOW)
    id = service.queue(NOW)[0].problem.id
    notes = [service.note(id[:6], "ann", NOW, "the password is hunter2secret", "page") for _ in range(3)]
    assert len({note.at for note in notes}) == 3
    assert not any("hunter2secret" in entry.why for entry in service.problem(id, NOW).history)
    service.unnote(id, "bob", NOW, notes[1].at, "page")
    whats = [entry.what for entry in service.problem(id, NOW).history]
    assert sorted(whats) == ["noted", "noted", "opened", "took back a note of ann"]
    for wrong in (
        lambda: service.unnote(id, "bob", NOW, notes[1].at),
        lambda: service.note(id, "bob", NOW, "x" * 4001),
    ):
        with pytest.raises(InputError):
            wrong()


def test_undo_puts_back_what_stood_and_the_history_tells_both(service: Service) -> None:
    service.record([occurrence(1, dag_version=3)])
    service.settle(NOW)
    id = service.queue(NOW)[0].problem.id
    service.resolve(id, "ann", NOW, next_deploy=True, why="merged")
    service.reopen(id, "bob", NOW, origin="page")
    undone = service.undo(id, "bob", NOW, origin="page")
    assert (undone.state, undone.deploy is None, undone.state_by) == (TriageState.RESOLVED, False, "ann")
    entries = [(entry.who, entry.what, entry.origin) for entry in service.problem(id, NOW).history]
    assert entries == [
        ("bob", "took back: reopened", "page"), ("bob", "reopened", "page"),
        ("ann", "resolved in the next deploy of DAG orders", "command"), ("airtriage", "opened", "airtriage"),
    ]  # fmt: skip


def test_an_undo_of_a_decision_takes_back_no_other(service: Service) -> None:
    service.record([occurrence(1)])
    service.settle(NOW)
    id = service.queue(NOW)[0].problem.id
    first = service.resolve(id, "ann", NOW).undo
    assert first is not None
    assert first.decided_by == "ann"
    service.reopen(id, "bob", NOW)
    second = service.resolve(id, "bob", NOW).undo  # all in one moment, and of the same words
    assert second is not None
    with pytest.raises(InputError, match=r"was decided about since \(bob resolved, .* UTC\), so this cannot be undone"):
        service.undo(id, "ann", NOW, of=first.decided_at)
    assert service.find(id).state is TriageState.RESOLVED
    assert service.undo(id, "bob", NOW, of=second.decided_at).state is TriageState.NEW
    with pytest.raises(InputError, match=r"since \(bob took back: resolved, .* UTC\), so this cannot be undone"):
        service.undo(id, "bob", NOW, of=second.decided_at)
    mute = service.mute(id, "ann", NOW, lasting=HOUR).undo
    assert mute is not None
    service.settle(NOW + HOUR)
    with pytest.raises(InputError, match=r"since \(airtriage unmuted, .* UTC\), so this cannot be undone"):
        service.undo(id, "ann", NOW + HOUR, of=mute.decided_at)


def test_what_failed_while_something_else_stood_counts_once_that_is_undone(service: Service) -> None:
    service.record([occurrence(1, at=NOW), occurrence(2, at=NOW, fingerprint="1:bb")])
    service.settle(NOW)
    fixed, accepted = (row.problem.id for row in service.queue(NOW))
    service.resolve(fixed, "ann", NOW)
    service.reopen(fixed, "bob", NOW)
    service.mute(accepted, "ann", NOW, spread=True)
    service.mute(accepted, "bob", NOW)
    later = NOW + timedelta(hours=1)
    prints = [service.find(id).fingerprint for id in (fixed, accepted)]
    service.record([occurrence(n, at=later, fingerprint=prints[n - 3], dag="billing") for n in (3, 4)])
    service.settle(later)
    assert service.undo(fixed, "bob", later).state is TriageState.REGRESSED
    assert service.undo(accepted, "bob", later).state is TriageState.ONGOING


def test_a_kill_between_a_decision_and_its_entry_loses_no_entry(store: Store) -> None:
    service = Service(store)
    service.record([occurrence(1)])
    service.settle(NOW)
    id = service.queue(NOW)[0].problem.id
    for left in range(4):
        with suppress(Crash):
            Service(Crashing(store, left)).mute(id, f"ann{left}", NOW)  # type: ignore[arg-type]
    # The first two were killed before the problem was saved, the third between that and its entry.
    done = [entry.who for entry in service.problem(id, NOW).history if entry.what == "muted for good"]
    assert done == ["ann3", "ann2"]
    service.unmute(id, "bob", NOW)
    assert {entry.who for entry, _ in store.records(Change, parent=id)} >= {*done, "bob"}


def test_a_problem_wakes_by_the_clock_of_its_own_servers(service: Service) -> None:
    service.store.save(DeploymentHealth("prod", "http://x", NOW, offset=3600.0), None)
    service.record([occurrence(1)])
    service.settle(NOW)
    id = service.queue(NOW)[0].problem.id
    service.mute(id, "ann", NOW, lasting=timedelta(hours=8))
    assert service.settle(NOW + timedelta(hours=7, minutes=59)) == 0
    assert service.settle(NOW + timedelta(hours=8)) == 1


def test_a_kill_loses_neither_the_beginning_nor_the_end_of_growth_in_the_history(store: Store) -> None:
    service = Service(store)
    service.record([occurrence(n, at=NOW - timedelta(days=n, minutes=30)) for n in range(1, 30)])
    service.settle(NOW)
    service.record([occurrence(n, at=NOW - timedelta(minutes=n % 50)) for n in range(100, 140)])
    id = service.queue(NOW)[0].problem.id
    for at, told in ((NOW, "escalated"), (NOW + timedelta(hours=26), "no longer grows")):
        for left in range(6):
            with suppress(Crash):
                Service(Crashing(store, left)).settle(at + timedelta(seconds=left))  # type: ignore[arg-type]
        service.settle(at + timedelta(hours=2))
        assert told in [change.what for change in service.problem(id, NOW).history]


def test_the_growth_of_a_problem_that_was_merged_into_another_is_forgotten(service: Service) -> None:
    service.record([occurrence(n, at=NOW - timedelta(days=n, minutes=30)) for n in range(1, 30)])
    service.record([occurrence(n, at=NOW - timedelta(minutes=n % 50)) for n in range(100, 140)])
    service.record([occurrence(200, fingerprint="1:bb", at=NOW - timedelta(days=20))])
    service.settle(NOW)
    grown, other = (row.problem.id for row in service.queue(NOW))
    assert service.store.get(Escalation, grown) is not None
    merging.merge(service, [grown], merging.Person("ann"), NOW, other)
    service.settle(NOW + timedelta(hours=2))
    assert service.store.get(Escalation, grown) is None


class Crash(Exception):
    """Stands for a kill between two steps."""


class Crashing:
    """A store that crashes at the write after the first `left` ones."""

    def __init__(self, store: Store, left: int) -> None:
        self._store = store
        self._left = left

    def __getattr__(self, name: str) -> object:
        if name in ("put", "summarise", "clear", "save"):
            self._left -= 1
            if self._left < 0:
                raise Crash
        return getattr(self._store, name)


def snapshot(store: Store) -> object:
    """Everything a user could see of a store."""
    return (
        sorted((p.id, p.state, p.title) for p, _ in store.records(Problem)),
        sorted((m.fingerprint, m.problem) for m, _ in store.records(Membership)),
        sorted((c.problem, c.what) for c, _ in store.records(Change)),
        sorted(
            (s.fingerprint, s.total, s.final, tuple(s.daily.items()), tuple(s.tasks.items())) for s in store.summaries()
        ),
        sorted(o.key.id for o in store.search(parse("*", NOW), 1000)),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from(list(LogStatus)[1:])), min_size=1, max_size=12),
    st.data(),
)
def test_passes_that_crash_anywhere_and_run_again_end_as_one_that_did_not(
    facts: list[tuple[int, LogStatus]], data: st.DataObject
) -> None:
    tries = [occurrence(n, fingerprint=f"1:{n % 3}{log}", log=log, log_bytes=log.rank) for n, log in facts]
    straight, crashing = open_store("sqlite://"), open_store("sqlite://")
    Service(straight).record(tries)
    Service(straight).settle(NOW)

    for _ in range(data.draw(st.integers(1, 4))):
        service = Service(Crashing(crashing, data.draw(st.integers(0, 12))))  # type: ignore[arg-type]
        try:
            for fact in data.draw(st.permutations(tries)):
                service.record([fact])
            service.settle(NOW)
        except Crash:
            pass
    Service(crashing).record(tries)
    Service(crashing).settle(NOW)
    # A try that was read as missing first may have opened a problem that it left again: compare what the queue shows.
    assert [r.problem.id for r in Service(straight).queue(NOW)] == [r.problem.id for r in Service(crashing).queue(NOW)]
    assert snapshot(straight)[3:] == snapshot(crashing)[3:]  # type: ignore[index]
    straight.close(), crashing.close()


def test_what_failed_before_an_undo_decides_about_what_is_put_back(service: Service) -> None:
    service.record([occurrence(1), occurrence(2, fingerprint="1:bb")])
    service.settle(NOW)
    first, second = (service.problem_by("prod", print_) for print_ in ("1:aa", "1:bb"))
    service.resolve(first, "ann", NOW + HOUR)
    service.reopen(first, "bob", NOW + 2 * HOUR)
    service.mute(second, "ann", NOW + HOUR, more=1)
    service.unmute(second, "bob", NOW + 2 * HOUR)
    service.record([occurrence(3, at=NOW + 3 * HOUR), occurrence(4, at=NOW + 3 * HOUR, fingerprint="1:bb")])
    service.settle(NOW + 3 * HOUR)
    assert service.undo(first, "bob", NOW + 4 * HOUR).state is TriageState.REGRESSED
    assert service.undo(second, "bob", NOW + 4 * HOUR).state is TriageState.ONGOING
    told = [change.what for change in service.history(service.find(first))]
    assert told[:2] == ["regressed", "took back: reopened"]
    assert service.settle(NOW + 4 * HOUR) == 0
