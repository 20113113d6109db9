"""Merge and split by people: every failure has one problem, whatever is killed, replayed, upgraded or undone."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.mid_move import ANN, DOING, LATER, A, B, C
from tests.second_edition import SECOND, clock, ruled
from tests.store_contract import NOW, occurrence
from tests.test_regroup import failure, signed
from triage import belonging, merging
from triage.complaint import complaint
from triage.editions import SIGNERS, Signers, base
from triage.elsewhere import elsewhere
from triage.errors import InputError
from triage.model import Occurrence
from triage.query import EVERYTHING, parse
from triage.records import Change, Membership, Move, MoveKind, Moving, Problem, Split, TriageState, mark, problem_id
from triage.regroup import Regrouping
from triage.service import Service
from triage.store import Store, open_store

ROOT = Path(__file__).parents[1]
FACTS = [
    occurrence(place, fingerprint=print_, dag=dag, task=task, text=f"boom {place}")
    for place, (print_, dag, task) in enumerate(
        (print_, dag, task) for print_ in ("1:aa", "1:bb", "1:cc") for dag in ("orders", "bills") for task in ("load", "store")
    )
]  # fmt: skip


@pytest.fixture
def service() -> Iterator[Service]:
    store = open_store("sqlite://")
    yield kept(Service(store), FACTS)
    store.close()


def kept(service: Service, facts: list[Occurrence]) -> Service:
    service.record(facts)
    service.settle(NOW)
    return service


def owners(service: Service) -> dict[str, str]:
    return {fact.key.id: service.problem_of(fact) for fact in service.store.search(EVERYTHING, 10_000)}


def problems(store: Store) -> dict[str, Problem]:
    return {problem.id: problem for problem, _ in store.records(Problem)}


def stand(store: Store) -> dict[str, Problem]:
    """Return all problems, alarms to the second: the history keeps two entries of one moment a microsecond apart."""
    known = problems(store).items()
    return {id: replace(it, wake_at=it.wake_at and it.wake_at.replace(microsecond=0)) for id, it in known}


def totals(service: Service) -> dict[str, int]:
    return {row.problem.id: row.total for row in service.queue(NOW)}


def everything(service: Service) -> tuple[Any, ...]:
    """All that is kept of who owns what, and why."""
    kinds = (Problem, Membership, Split, Move, Moving, Change)
    records = [[record for record, _ in service.store.records(kind)] for kind in kinds]  # type: ignore[type-var]
    return owners(service), totals(service), sorted(service.store.summaries(), key=lambda one: one.fingerprint), records


def whole(service: Service) -> None:
    """Every failure belongs to one problem, and the counts are those of the failures."""
    owned = owners(service)
    assert totals(service) == Counter(owned.values())
    known = problems(service.store)
    assert all(not known[id].merged_into for id in owned.values())
    for id, total in totals(service).items():
        assert len(service.problem(id, NOW, 1000).occurrences) == total
        assert sum(service.store.histogram(parse_members(service, id)).values()) == total


def parse_members(service: Service, id: str) -> Any:
    return service.resolve_terms(parse(f"problem:{id}", NOW), NOW)


# --- merge


def test_a_merge_moves_all_failures_and_new_ones_follow(service: Service) -> None:
    (move,) = merging.merge(service, [A], ANN, LATER, B)
    assert (move.tries, totals(service)) == (4, {B: 8, C: 4})
    kept(service, [occurrence(99, fingerprint="1:aa", dag="new")])
    assert totals(service) == {B: 9, C: 4}
    assert service.find(A).id == B
    assert service.problem(A[:8], NOW).row.problem.id == B
    assert {fact.fingerprint for fact in service.search(parse(f"problem:{A}", NOW), NOW, 50)} == {"1:aa", "1:bb"}
    told = {(change.problem, change.what, change.who, change.why) for change, _ in service.store.records(Change)}
    assert {(A, f"merged into {B}", "ann", "one cause"), (B, f"took over {A}", "ann", "one cause")} <= told
    whole(service)


def test_an_undone_merge_leaves_everything_as_it_was(service: Service) -> None:
    service.mute(A, "bob", NOW, more=3)
    service.resolve(B, "bob", NOW)
    before = problems(service.store), owners(service), service.store.records(Membership)
    merging.merge(service, [A, C], ANN, LATER, B)
    assert service.find(B).state is TriageState.MUTED
    assert totals(service) == {B: 12}
    merging.undo(service, MoveKind.MERGE, C, ANN, LATER)
    undone = merging.undo(service, MoveKind.MERGE, A, replace(ANN, why="two causes"), LATER)
    assert undone.undone_why == "two causes"
    assert problems(service.store) == before[0]
    assert owners(service) == before[1]
    assert [one for one, _ in service.store.records(Membership)] == [one for one, _ in before[2]]
    assert {change.what for change in service.problem(A, NOW).history} >= {f"merged into {B}", f"merge into {B} undone"}


def test_without_a_target_the_one_that_goes_before_the_others_keeps_the_failures(service: Service) -> None:
    service.resolve(A, "bob", NOW)
    service.mute(C, "bob", NOW)
    assert {move.into for move in merging.merge(service, [A, B, C], ANN, LATER)} == {C}


def test_a_chain_leads_to_its_end_and_is_undone_from_there(service: Service) -> None:
    merging.merge(service, [A], ANN, LATER, B)
    merging.merge(service, [B], ANN, LATER, C)
    assert (service.find(A).id, totals(service)) == (C, {C: 12})
    with pytest.raises(InputError, match=rf"merged into {C} since.*airtriage merge {B} --undo"):
        merging.undo(service, MoveKind.MERGE, A, ANN, LATER)
    merging.undo(service, MoveKind.MERGE, B, ANN, LATER)
    assert totals(service) == {B: 8, C: 4}
    merging.undo(service, MoveKind.MERGE, B, ANN, LATER)  # the one that took over names it too
    assert totals(service) == {A: 4, B: 4, C: 4}


def test_a_circle_is_refused(service: Service) -> None:
    merging.merge(service, [A], ANN, LATER, B)
    revision = service.store.revision()
    with pytest.raises(InputError, match=rf"{B} already|one problem"):
        merging.merge(service, [B], ANN, LATER, A)
    assert service.store.revision() == revision


@pytest.mark.parametrize(
    ("ids", "into", "said"),
    [
        ([A], "", "takes two"),
        ([A, A], A, "takes two"),
        ([A, "nope"], "", "no problem 'nope'"),
        ([A], "nope", "no problem"),
    ],
)
def test_a_merge_that_cannot_be_changes_nothing(service: Service, ids: list[str], into: str, said: str) -> None:
    before = everything(service)
    with pytest.raises(InputError, match=said):
        merging.merge(service, ids, ANN, LATER, into)
    assert everything(service) == before


def test_problems_of_two_scopes_are_never_merged(service: Service) -> None:
    kept(service, [occurrence(1, deployment="staging")])
    other = problem_id("staging", "1:aa")
    with pytest.raises(InputError, match=r"Problem .* is of scope staging, not prod\."):
        merging.merge(service, [A, B, other], ANN, LATER)
    assert totals(service) == {A: 4, B: 4, C: 4, other: 1}


def test_the_numbers_of_a_mute_count_its_own_failures_only(service: Service) -> None:
    service.mute(B, "bob", NOW, more=2, spread=True)
    new = [occurrence(n, fingerprint="1:aa", at=LATER, dag="more") for n in (60, 61, 62)]
    kept(service, new)
    merging.merge(service, [A], ANN, LATER, B)
    kept(service, [occurrence(50, fingerprint="1:aa", at=LATER)])
    # Of the seven that it took over three ended after the muting.
    muted = service.find(B)
    assert (muted.state, muted.muted_until_count) == (TriageState.MUTED, 5)
    assert muted.muted_dags == ("bills", "more", "orders")
    merging.undo(service, MoveKind.MERGE, A, ANN, LATER)
    assert (service.find(B).muted_until_count, service.find(B).muted_dags) == (2, ("bills", "orders"))
    kept(service, [occurrence(51, fingerprint="1:bb", at=LATER), occurrence(52, fingerprint="1:bb", at=LATER)])
    assert service.find(B).state is TriageState.ONGOING


def problem(state: TriageState, **more: Any) -> Problem:
    return Problem("p", "prod", "1:aa", "t", "c", state, NOW, more.pop("state_at", NOW), **more)


NEW, RESOLVED, MUTED = (
    problem(TriageState.NEW),
    problem(TriageState.RESOLVED, resolved_at=NOW),
    problem(TriageState.MUTED),
)


@pytest.mark.parametrize(
    ("into", "other", "state"),
    [
        (NEW, RESOLVED, "NEW"), (NEW, MUTED, "NEW"), (MUTED, NEW, "MUTED"), (MUTED, RESOLVED, "MUTED"),
        (RESOLVED, NEW, "NEW"), (RESOLVED, MUTED, "MUTED"), (RESOLVED, RESOLVED, "RESOLVED"),
        (problem(TriageState.REGRESSED), NEW, "REGRESSED"),
    ],
)  # fmt: skip
def test_a_merge_hides_no_failure_behind_a_resolution(into: Problem, other: Problem, state: str) -> None:
    move = Move("m", "prod", MoveKind.MERGE, other.id, into.id, LATER, "ann", other=other, was=into, had=1, counted=1)
    assert belonging.merged(into, move).state == state


def test_of_two_resolutions_the_later_one_counts(service: Service) -> None:
    service.resolve(A, "bob", NOW)
    service.resolve(B, "cyd", LATER)
    for id, into in ((A, B), (B, A)):
        merging.merge(service, [id], ANN, LATER, into)
        assert (service.find(into).resolved_at, service.find(into).state_by) == (LATER, "cyd")
        merging.undo(service, MoveKind.MERGE, id, ANN, LATER)
        assert [service.find(one).state_by for one in (A, B)] == ["bob", "cyd"]


@pytest.mark.parametrize(("id", "into"), [(A, B), (B, A)])
@pytest.mark.parametrize("is_next", [True, False])
def test_what_one_resolution_let_fail_is_no_regression_of_the_other(
    service: Service, id: str, into: str, is_next: bool
) -> None:
    kept(service, [occurrence(n, fingerprint=print_, dag_version=3) for n, print_ in ((40, "1:aa"), (41, "1:bb"))])
    service.resolve(A, "bob", NOW, next_deploy=True)
    service.resolve(B, "cyd", NOW + timedelta(minutes=1), next_deploy=is_next)
    kept(service, [occurrence(42, dag_version=3, at=NOW + timedelta(minutes=5))])
    before = stand(service.store)
    merging.merge(service, [id], ANN, LATER, into)
    assert service.find(into).state is TriageState.RESOLVED
    merging.undo(service, MoveKind.MERGE, id, ANN, LATER)
    assert stand(service.store) == before
    merging.merge(service, [id], ANN, LATER, into)
    kept(service, [occurrence(43, dag_version=3, at=LATER + timedelta(minutes=5))])
    # Both wait for a deploy still; where one of them was fixed at once, what fails later is back.
    assert service.find(into).state is (TriageState.RESOLVED if is_next else TriageState.REGRESSED)


def test_two_resolutions_in_a_deploy_know_what_both_did(service: Service) -> None:
    bills = [occurrence(n, fingerprint=print_, dag="bills", dag_version=n) for n, print_ in ((5, "1:aa"), (9, "1:bb"))]
    kept(service, [*bills, occurrence(40, dag_version=3, bundle_version="9ab1e0d42c" * 4)])
    service.resolve(A, "bob", NOW, next_deploy=True)
    service.resolve(B, "cyd", NOW + timedelta(minutes=1), next_deploy=True)
    merging.merge(service, [A], ANN, LATER, B)
    known = service.find(B).deploy
    assert known is not None
    assert {one.dag_id: one.number for one in known.dags} == {"bills": 9, "orders": 3}
    assert known.bundles == ("9ab1e0d42c" * 4,)
    kept(service, [occurrence(44, dag="bills", dag_version=10, at=LATER + timedelta(minutes=5))])
    assert service.find(B).state is TriageState.REGRESSED


def test_a_mute_until_it_spreads_knows_the_dags_of_the_resolved_problem_that_takes_it_over(service: Service) -> None:
    service.mute(A, "bob", NOW, spread=True)
    kept(service, [occurrence(50, fingerprint="1:bb", dag="new", at=NOW + timedelta(minutes=1))])
    service.resolve(B, "bob", NOW + timedelta(minutes=2))
    merging.merge(service, [C, A], ANN, LATER, B)
    merging.undo(service, MoveKind.MERGE, A, ANN, LATER)
    merging.undo(service, MoveKind.MERGE, C, ANN, LATER)
    merging.merge(service, [A], ANN, LATER, B)
    assert service.find(B).state is TriageState.MUTED
    assert service.find(B).muted_dags == ("bills", "new", "orders")
    kept(service, [occurrence(51, fingerprint="1:bb", dag="newer", at=LATER + timedelta(minutes=1))])
    assert service.find(B).reason == "it spread to newer"


def test_what_was_decided_after_a_merge_outlives_its_undo(service: Service) -> None:
    service.resolve(B, "bob", NOW)
    merging.merge(service, [A], ANN, LATER, B)
    service.mute(B, "cyd", LATER, why="known")
    merging.undo(service, MoveKind.MERGE, A, ANN, LATER)
    assert (service.find(B).state, service.find(B).state_by) == (TriageState.MUTED, "cyd")


def test_an_assignment_after_a_merge_that_changed_the_state_outlives_its_undo(service: Service) -> None:
    service.resolve(B, "bob", NOW)
    merging.merge(service, [A], ANN, LATER, B)
    service.assign(B, "carl", "cyd", LATER)
    merging.undo(service, MoveKind.MERGE, A, ANN, LATER)
    assert (service.find(B).state, service.find(B).owner) == (TriageState.RESOLVED, "carl")
    with pytest.raises(InputError, match="cannot be undone"):
        service.undo(B, "bob", LATER)


def test_an_undo_of_a_merge_takes_back_no_other(service: Service) -> None:
    (first,) = merging.merge(service, [A], ANN, LATER, B)
    merging.undo(service, MoveKind.MERGE, A, ANN, LATER)
    (second,) = merging.merge(service, [A], replace(ANN, who="bob"), LATER, B)
    with pytest.raises(InputError, match=f"This merge of problem {A} was undone since, and bob made another one"):
        merging.undo(service, MoveKind.MERGE, A, ANN, LATER, first.id)
    assert service.find(A).id == B
    merging.undo(service, MoveKind.MERGE, A, ANN, LATER, second.id)
    assert service.find(A).id == A


def test_a_decision_from_before_a_merge_that_changed_the_state_is_not_taken_back_by_itself(service: Service) -> None:
    service.resolve(B, "bob", NOW)
    merging.merge(service, [A], ANN, LATER, B)
    with pytest.raises(InputError, match="cannot be undone"):
        service.undo(B, "bob", LATER)
    assert service.find(B).state is TriageState.NEW
    merging.undo(service, MoveKind.MERGE, A, ANN, LATER)
    assert service.undo(B, "bob", LATER).state is TriageState.NEW


def test_every_field_of_a_problem_is_its_own_or_its_state() -> None:
    """A new field belongs into one of the two: a merge takes over the state, and an undo gives it back."""
    state = {
        "state", "state_at", "state_by", "reason", "before", "resolved_at", "muted_until", "muted_until_count", "wake_at",
        "muted_from", "muted_dags", "muted_until_closed", "deploy", "quiet_for",
    }  # fmt: skip
    assert {field.name for field in fields(Problem)} == state | belonging.IDENTITY


def test_a_problem_that_was_merged_away_sleeps_and_wakes_with_the_undo(service: Service) -> None:
    service.mute(A, "bob", NOW, lasting=timedelta(hours=2))
    merging.merge(service, [A], ANN, LATER, B)
    service.settle(NOW + timedelta(days=1))
    assert problems(service.store)[A].state is TriageState.MUTED
    assert not service.store.records(Problem, wake_before=NOW + timedelta(hours=3))
    merging.undo(service, MoveKind.MERGE, A, ANN, NOW + timedelta(days=1))
    service.settle(NOW + timedelta(days=1))
    assert service.find(A).state is TriageState.ONGOING


# --- split


def test_a_split_by_a_dag_takes_its_failures_and_the_new_ones(service: Service) -> None:
    merging.merge(service, [A], ANN, LATER, B)
    move = merging.split(service, B, ANN, LATER, dag="orders")
    assert (move.tries, totals(service)) == (4, {B: 4, C: 4, move.into: 4})
    assert move.into == problem_id("prod", f"1:bb/{mark('orders', '')}")
    kept(
        service,
        [occurrence(60 + n, fingerprint="1:aa", dag=dag) for n, dag in enumerate(("orders", "orders", "bills"))],
    )
    assert totals(service) == {B: 5, C: 4, move.into: 6}
    whole(service)
    merging.undo(service, MoveKind.SPLIT, move.into, ANN, LATER)
    assert totals(service) == {B: 11, C: 4}
    assert {base(fact.fingerprint) == fact.fingerprint for fact in service.store.search(EVERYTHING, 50)} == {True}
    assert service.find(move.into).id == B
    whole(service)


def test_a_split_by_a_task_or_a_fingerprint(service: Service) -> None:
    by_task = merging.split(service, A, ANN, LATER, dag="orders", task="load")
    assert totals(service) == {A: 3, B: 4, C: 4, by_task.into: 1}
    merging.merge(service, [A], ANN, LATER, B)
    back = merging.split(service, B, ANN, LATER, fingerprint="1:aa")
    assert (back.into, totals(service)) == (A, {A: 3, B: 4, C: 4, by_task.into: 1})
    assert service.find(A).id == A
    merging.undo(service, MoveKind.SPLIT, A, ANN, LATER)
    assert (service.find(A).id, totals(service)) == (B, {B: 7, C: 4, by_task.into: 1})
    merging.undo(service, MoveKind.MERGE, A, ANN, LATER)
    merging.merge(service, [B], ANN, LATER, A)
    apart = merging.split(service, A, ANN, LATER, fingerprint="1:aa")
    assert apart.into not in (A, B)
    assert totals(service) == {A: 4, C: 4, by_task.into: 1, apart.into: 3}
    merging.undo(service, MoveKind.MERGE, B, ANN, LATER)
    assert totals(service) == {B: 4, C: 4, by_task.into: 1, apart.into: 3}
    merging.undo(service, MoveKind.SPLIT, apart.into, ANN, LATER)
    assert totals(service) == {A: 3, B: 4, C: 4, by_task.into: 1}
    whole(service)


def test_a_split_of_a_split_and_their_undo_from_the_end(service: Service) -> None:
    first = merging.split(service, A, ANN, LATER, dag="orders")
    second = merging.split(service, first.into, ANN, LATER, dag="orders", task="load")
    assert totals(service) == {A: 2, first.into: 1, second.into: 1, B: 4, C: 4}
    with pytest.raises(InputError, match="split off since"):
        merging.undo(service, MoveKind.SPLIT, first.into, ANN, LATER)
    merging.undo(service, MoveKind.SPLIT, second.into, ANN, LATER)
    merging.undo(service, MoveKind.SPLIT, first.into, ANN, LATER)
    assert totals(service) == {A: 4, B: 4, C: 4}
    again = merging.split(service, A, ANN, LATER, dag="orders")
    assert (again.into, totals(service)) == (first.into, {A: 2, first.into: 2, B: 4, C: 4})


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"dag": "nope"}, r"no failed try in DAG nope.*It has bills, orders\."),
        ({"dag": "orders", "task": "nope"}, r"no failed try in orders\.nope.*It has load, store\."),
        ({"fingerprint": "1:bb"}, "no fingerprint '1:bb'"), ({"fingerprint": "1:aa"}, "All failed tries"),
        ({}, "A split needs"), ({"task": "load"}, "A split needs"), ({"dag": "orders", "fingerprint": "1:aa"}, "A split needs"),
    ],
)  # fmt: skip
def test_a_split_that_cannot_be_changes_nothing(service: Service, how: dict[str, str], said: str) -> None:
    before = everything(service)
    with pytest.raises(InputError, match=said):
        merging.split(service, A, ANN, LATER, **how)
    assert everything(service) == before


@pytest.mark.parametrize(
    ("state", "part"), [("mute", TriageState.NEW), ("resolve", TriageState.RESOLVED), ("", TriageState.NEW)]
)
def test_what_is_split_off_is_never_muted_and_stays_resolved(service: Service, state: str, part: TriageState) -> None:
    if state == "mute":
        service.mute(A, "bob", NOW, more=3)
    elif state:
        service.resolve(A, "bob", NOW)
    before = service.find(A)
    made = merging.split(service, A, ANN, LATER, dag="orders")
    assert service.find(made.into).state is part
    assert service.find(A).state is before.state
    if state == "mute":
        assert service.find(A).muted_until_count == 3, "none of those split off ended after the muting"
        merging.undo(service, MoveKind.SPLIT, made.into, ANN, LATER)
        assert service.find(A) == before


def test_what_was_split_off_is_found_by_its_fingerprint_and_makes_the_same_case() -> None:
    service = kept(Service(open_store("sqlite://")), KIND)
    made = merging.split(service, problem_id("prod", KIND[0].fingerprint), ANN, LATER, dag="orders", task="store")
    (print_,) = service.problem(made.into, NOW).fingerprints
    for text in (f'fingerprint:"{print_}"', f"problem:{made.into}"):
        assert [fact.key.task_id for fact in service.search(parse(text, NOW), NOW, 9)] == ["store"]
    cases = complaint(service, made.into, NOW)
    assert cases.is_whole
    assert [(case.fingerprint, case.note) for case in cases.cases] == [(base(print_), "")]


# --- durable


def test_replayed_failures_change_nothing(service: Service) -> None:
    merging.merge(service, [A], ANN, LATER, B)
    made = merging.split(service, B, ANN, LATER, dag="orders", task="load")
    service.settle(LATER)
    before, revision = everything(service), service.store.revision()
    assert service.record(FACTS) == service.record(reversed(FACTS))
    assert service.settle(LATER) == 0
    assert (everything(service), service.store.revision()) == (before, revision)
    worse = [replace(fact, log_bytes=1, kept=None) for fact in FACTS]
    better = [replace(fact, log_bytes=99) for fact in FACTS]
    kept(service, [*worse, *better, *worse])
    assert everything(service)[:2] == before[:2]
    merging.undo(service, MoveKind.SPLIT, made.into, ANN, LATER)
    merging.undo(service, MoveKind.MERGE, A, ANN, LATER)
    before = everything(service)
    kept(service, FACTS)
    assert everything(service) == before


def test_a_worker_that_knows_of_no_split_is_put_right(service: Service) -> None:
    made = merging.split(service, A, ANN, LATER, dag="orders")
    service.store.put([occurrence(70, fingerprint="1:aa"), occurrence(71, fingerprint="1:aa", dag="bills")])
    service.settle(LATER)
    assert totals(service) == {A: 3, made.into: 3, B: 4, C: 4}
    merging.undo(service, MoveKind.SPLIT, made.into, ANN, LATER)
    late = occurrence(72, fingerprint=f"1:aa/{mark('orders', '')}")
    service.store.put([late])
    service.settle(LATER)
    assert totals(service) == {A: 7, B: 4, C: 4}
    whole(service)


@pytest.mark.parametrize("doing", DOING)
def test_killed_anywhere_it_is_finished_by_the_next_tick(tmp_path: Path, doing: str) -> None:
    many = [
        occurrence(n, fingerprint="1:aa", text=f"boom {n}") for n in range(1000, 1120)
    ]  # rewritten in several batches
    prepared = kept(Service(open_store(f"sqlite:///{tmp_path / 'prepared.db'}")), [*FACTS, *many])
    prepared.mute(B, "bob", NOW, more=5)
    prepared.resolve(C, "bob", NOW)
    for before in {"part": ["merge"], "split": ["merge"], "take": ["merge"], "join": ["merge", "split"]}.get(doing, []):
        DOING[before](prepared)
    prepared.store.close()
    command = [sys.executable, "-m", "tests.mid_move", str(tmp_path / "prepared.db"), str(tmp_path), doing]
    subprocess.run(command, cwd=ROOT, check=True)
    *killed, done = sorted(tmp_path.glob("[0-9]*.db"), key=lambda path: int(path.stem))
    expected = everything(Service(open_store(f"sqlite:///{done}")))
    assert len(killed) > 5
    for path in killed[1:]:  # before its first write nothing was asked for
        service = Service(open_store(f"sqlite:///{path}"))
        assert len(owners(service)) == len(FACTS) + len(many)
        service.settle(LATER)
        assert everything(service) == expected, path
        whole(service)
        service.store.close()


class Crash(Exception):
    """Stands for a kill."""


class Done:
    """A store that crashes as soon as an intent is noted as carried out, before anything is decided about its problems."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, record: Any, revision: int | None) -> int:
        saved = self._store.save(record, revision)
        if isinstance(record, Moving) and not record.moves:
            raise Crash
        return saved

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_kill_before_a_split_is_decided_about_hides_no_regression(service: Service) -> None:
    """Nothing is signed or read anew where a whole fingerprint goes, so only an alarm brings its problem up again."""
    service.resolve(A, "bob", NOW)
    merging.merge(service, [A], ANN, LATER, B)
    kept(service, [occurrence(60, fingerprint="1:aa", at=LATER)])
    dying = Service(Done(service.store))  # type: ignore[arg-type]
    with pytest.raises(Crash):
        merging.split(dying, B, ANN, LATER, fingerprint="1:aa")
    assert service.find(A).state is TriageState.RESOLVED
    service.settle(LATER)
    assert service.find(A).state is TriageState.REGRESSED
    service.resolve(B, "bob", NOW)
    with pytest.raises(Crash):
        merging.undo(dying, MoveKind.SPLIT, A, ANN, LATER)
    assert service.find(B).state is TriageState.RESOLVED
    service.settle(LATER)
    assert service.find(B).state is TriageState.REGRESSED


def test_a_kill_before_an_undone_merge_is_decided_about_hides_no_regression(service: Service) -> None:
    for id in (A, B):
        service.resolve(id, "bob", NOW)
    merging.merge(service, [A], ANN, LATER, B)
    merging.merge(service, [C], ANN, LATER, B)  # which makes it open, so that what fails now is no regression yet
    kept(service, [occurrence(n, fingerprint=print_, at=LATER) for n, print_ in ((60, "1:aa"), (61, "1:bb"))])
    for id in (C, A):
        with pytest.raises(Crash):
            merging.undo(Service(Done(service.store)), MoveKind.MERGE, id, ANN, LATER)  # type: ignore[arg-type]
        assert service.find(id).state is not TriageState.REGRESSED
        service.settle(LATER)
        assert service.find(B).state is TriageState.REGRESSED
    assert service.find(A).state is TriageState.REGRESSED


def test_an_alarm_that_rang_since_is_no_decision_that_outlives_an_undo(service: Service) -> None:
    service.resolve(A, "ann", NOW, quiet_for=timedelta(days=1))
    service.resolve(B, "bob", NOW)
    merging.merge(service, [A], ANN, LATER, B)
    before = service.find(B)
    service.settle(NOW + timedelta(days=2))
    assert service.find(B).state is not TriageState.RESOLVED
    assert service.find(B).wake_at != before.wake_at
    merging.undo(service, MoveKind.MERGE, A, ANN, NOW + timedelta(days=2))
    assert (service.find(B).state, service.find(B).quiet_for) == (TriageState.RESOLVED, None)


def test_the_histories_of_both_tell_of_a_split_and_of_each_undo(service: Service) -> None:
    merging.merge(service, [A], ANN, LATER, B)
    merging.split(service, B, ANN, LATER, fingerprint="1:aa")
    merging.undo(service, MoveKind.SPLIT, A, replace(ANN, who="cyd"), LATER)
    merging.undo(service, MoveKind.MERGE, A, replace(ANN, who="dan"), LATER)
    told = {(one.problem, one.who, one.what) for one, _ in service.store.records(Change) if one.what != "opened"}
    assert told == {
        (A, "ann", f"merged into {B}"), (B, "ann", f"took over {A}"),
        (A, "ann", f"split off from {B}"), (B, "ann", f"split off {A}"),
        (A, "cyd", f"split from {B} undone"), (B, "cyd", f"took back {A}"),
        (A, "dan", f"merge into {B} undone"), (B, "dan", f"gave back {A}"),
    }  # fmt: skip


def test_an_undo_hides_nothing_that_a_later_merge_brought(service: Service) -> None:
    service.resolve(B, "bob", NOW)
    merging.merge(service, [A], ANN, LATER, B)
    merging.merge(service, [C], ANN, LATER, B)
    merging.undo(service, MoveKind.MERGE, A, ANN, LATER)
    assert totals(service) == {A: 4, B: 8}
    assert service.find(B).state is TriageState.NEW


def test_of_two_at_once_the_second_is_decided_on_what_the_first_made(service: Service) -> None:
    """One person's intent is noted while the other's is decided: it is finished first, and the other sees what it made."""
    second = Meanwhile(service.store, lambda: merging.merge(Service(service.store), [A], ANN, LATER, B))
    with pytest.raises(InputError, match="two to merge"):
        merging.merge(Service(second), [B], ANN, LATER, A)  # type: ignore[arg-type]
    assert totals(service) == {B: 8, C: 4}


class Meanwhile:
    """A store on which somebody does something just before an intent is saved, once."""

    def __init__(self, store: Store, doing: Any) -> None:
        self._store, self._doing = store, doing

    def save(self, record: Any, revision: int | None) -> int:
        if isinstance(record, Moving) and self._doing:
            doing, self._doing = self._doing, None
            doing()
        return self._store.save(record, revision)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_merges_splits_and_failures_at_the_same_time_leave_each_failure_one_problem(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'airtriage.db'}"
    first = kept(Service(open_store(url)), FACTS)

    def move(seed: int) -> int:
        its, chance, done = Service(open_store(url)), Random(seed), 0
        for _ in range(12):
            doing = chance.choice((
                lambda: merging.merge(its, chance.sample([A, B, C], 2), ANN, LATER),
                lambda: merging.split(its, chance.choice([A, B, C]), ANN, LATER, dag="orders"),
                lambda: merging.undo(its, chance.choice(list(MoveKind)), chance.choice([A, B, C]), ANN, LATER),
            ))  # fmt: skip
            with suppress(InputError):
                doing()
                done += 1
        its.store.close()
        return done

    def fail(seed: int) -> int:
        its, chance = Service(open_store(url)), Random(seed)
        for n in range(30):
            fact = replace(chance.choice(FACTS), log_bytes=1000 + n)
            its.record([replace(fact, key=replace(fact.key, run_id=f"new {seed} {n}")), fact])
            its.settle(LATER)
        its.store.close()
        return 30

    with ThreadPoolExecutor(5) as pool:
        done = list(pool.map(lambda work: work[0](work[1]), [(move, 1), (move, 2), (move, 3), (fail, 4), (fail, 5)]))
    assert sum(done[:3]) > 3
    first.settle(LATER)
    assert len(owners(first)) == len(FACTS) + 60
    whole(first)
    assert not [moving for moving, _ in first.store.records(Moving) if moving.moves]
    first.store.close()


def test_a_late_step_of_a_finished_move_changes_nothing(service: Service) -> None:
    """Whoever was slow over a merge, done and undone by others since, does not carry it out again."""
    moving = tuple(merging.merge(service, [A], ANN, LATER, B))
    merging.undo(service, MoveKind.MERGE, A, ANN, LATER)
    before = everything(service)

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(service.store, name)

        def get(self, kind: Any, id: str) -> Any:
            found = service.store.get(kind, id)
            if kind is Moving and self.asked == 0:
                self.asked += 1
                return Moving("prod", moving), found[1] if found else 0
            return found

        asked = 0

    Service(Slow()).mover.finish_in("prod")  # type: ignore[arg-type]
    assert everything(service) == before


# --- editions


def upgrade(store: Store, signers: Signers = SECOND) -> Service:
    service = Service(store, signers=signers)
    assert Regrouping(service, clock, clock()).run() is not None
    return service


KIND = [failure(n, kind, place, task) for n, (kind, place, task) in enumerate([
    ("OSError", "a", "load"), ("OSError", "b", "load"), ("ValueError", "c", "load"), ("ValueError", "c", "store"),
    ("KeyError", "d", "load"), ("KeyError", "e", "load"), ("OSError", "a", "store"),
])]  # fmt: skip


def by_place(service: Service) -> dict[str, str]:
    return {row.problem.title.split()[-1].strip("'"): row.problem.id for row in service.queue(NOW)}


def test_an_upgrade_keeps_merges_and_splits_and_their_undo() -> None:
    service = kept(Service(open_store("sqlite://")), KIND)
    a, b, c = (problem_id("prod", KIND[place].fingerprint) for place in (0, 1, 2))
    merging.merge(service, [a, c], ANN, NOW, b)
    part = merging.split(service, b, ANN, NOW, dag="orders", task="store")
    before, counted = owners(service), totals(service)
    assert counted[b] == 3
    assert counted[part.into] == 2
    # A failure of the new edition comes before what is kept was signed anew, of the part and of the rest.
    new = signed([failure(20, "ValueError", "c", "store"), failure(21, "ValueError", "c", "load")])
    second = kept(Service(service.store, signers=SECOND), new)
    assert [second.problem_of(second.store.occurrence(fact.key.id) or fact) for fact in new] == [part.into, b]
    second = upgrade(service.store)
    after = {id: owner for id, owner in owners(second).items() if id in before}
    keys = {fact.key.id for fact in KIND[4:6]}  # KeyErrors are one cause in the second edition
    assert {id: owner for id, owner in after.items() if id not in keys} == {
        id: owner for id, owner in before.items() if id not in keys
    }
    assert second.store.editions() == ["2"]
    kept(second, signed([failure(30, "OSError", "a", "store")]))
    assert totals(second)[part.into] == 4
    whole(second)
    merging.undo(second, MoveKind.SPLIT, part.into, ANN, NOW)
    merging.undo(second, MoveKind.MERGE, a, ANN, NOW)
    merging.undo(second, MoveKind.MERGE, c, ANN, NOW)
    ids = {place: fact.key.id for place, fact in enumerate(KIND)}
    assert [owners(second)[ids[place]] for place in (0, 6, 1, 2, 3)] == [a, a, b, c, c]
    whole(second)


def test_an_upgrade_that_finds_one_cause_leaves_to_a_person_what_a_person_said() -> None:
    service = kept(Service(open_store("sqlite://")), KIND)
    d, e, b = (problem_id("prod", KIND[place].fingerprint) for place in (4, 5, 1))
    service.mute(e, "bob", NOW)  # by precedence it would keep the failures of both
    merging.merge(service, [d], ANN, NOW, b)
    second = upgrade(service.store)
    assert {owners(second)[KIND[place].key.id] for place in (4, 5, 1)} == {b}
    whole(second)


def test_rules_of_a_user_come_and_go_and_a_split_stays() -> None:
    service = kept(Service(open_store("sqlite://")), KIND)
    a = problem_id("prod", KIND[0].fingerprint)
    part = merging.split(service, a, ANN, NOW, dag="orders", task="store")
    for signers in (ruled("one"), ruled("other"), SIGNERS):
        service = upgrade(service.store, signers)
        kept(service, [failure(1, "OSError", "a", "store", signers)])
        assert totals(service)[part.into] >= 2
        assert service.find(part.into).id == part.into
        whole(service)
    merging.undo(service, MoveKind.SPLIT, part.into, ANN, NOW)
    assert part.into not in totals(service)


def test_a_deployment_that_changes_its_scope_takes_merges_and_splits_along() -> None:
    store = open_store("sqlite://")
    service = kept(Service(store, {"prod": "prod"}), FACTS)
    merging.merge(service, [A], ANN, LATER, B)
    part = merging.split(service, B, ANN, LATER, dag="orders")
    moved = Service(store, {"prod": "eu"})
    moved.adopt("prod", "prod", LATER)
    kept(moved, [occurrence(80, fingerprint="1:aa"), occurrence(81, fingerprint="1:aa", dag="bills")])
    assert totals(moved) == {B: 5, C: 4, part.into: 5}
    merging.undo(moved, MoveKind.SPLIT, part.into, ANN, LATER)
    assert totals(moved) == {B: 10, C: 4}
    merging.undo(moved, MoveKind.MERGE, A, ANN, LATER)
    assert totals(moved) == {A: 6, B: 4, C: 4}


# --- in other scopes


def test_the_same_failure_in_another_scope_is_shown_and_never_touched() -> None:
    service = kept(Service(open_store("sqlite://"), {"prod": "prod", "staging": "staging"}), FACTS)
    kept(service, [occurrence(1, deployment="staging"), occurrence(2, deployment="staging", fingerprint="1:zz")])
    there = problem_id("staging", "1:aa")
    before = service.find(there)
    assert [(one.problem.id, one.deployments, one.total) for one in look(service, A)] == [(there, ("staging",), 1)]
    assert not look(service, B)
    merging.merge(service, [A], ANN, LATER, B)
    part = merging.split(service, B, ANN, LATER, dag="orders")
    service.resolve(B, "ann", LATER)
    assert [one.problem.id for one in look(service, part.into)] == [there]
    kept(service, [occurrence(3, deployment="staging", at=LATER)])
    assert service.find(there) == before
    assert totals(service)[there] == 2
    assert service.find(B).state is TriageState.RESOLVED


def look(service: Service, id: str) -> list[Any]:
    view = service.problem(id, NOW)
    return elsewhere(service, view.row.problem, view.fingerprints)


# --- any order of everything

MOMENT = timedelta(seconds=1)  # entries of one moment stand microseconds apart, and so do the alarms that they set


class Belonging(RuleBasedStateMachine):
    """Merges, splits, undos and failures in any order, beside a list of what holds, applied to each failure in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.service = Service(open_store("sqlite://"))
        self.facts: dict[str, Occurrence] = {}
        self.moves: list[Move] = []

    def teardown(self) -> None:
        self.service.store.close()

    prints, dags, tasks = st.sampled_from(("1:aa", "1:bb", "1:cc")), st.sampled_from("xy"), st.sampled_from("tu")

    @rule(n=st.integers(0, 30), print_=prints, dag=dags, task=tasks, knowing=st.booleans())
    def fail(self, n: int, print_: str, dag: str, task: str, knowing: bool) -> None:
        fact = occurrence(n, fingerprint=print_, dag=dag, task=task)
        if self.facts.setdefault(fact.key.id, fact) != fact:
            return
        self.service.record([fact]) if knowing else self.service.store.put([fact])
        self.service.settle(NOW)

    def pick(self, n: int) -> str:
        ids = sorted(totals(self.service))
        return ids[n % len(ids)] if ids else "none"

    @rule(n=st.integers(0, 9), m=st.integers(0, 9))
    def merge(self, n: int, m: int) -> None:
        self.do(lambda: merging.merge(self.service, [self.pick(n)], ANN, NOW, self.pick(m)))

    @rule(n=st.integers(0, 9), dag=dags, task=st.sampled_from(["", "t", "u"]))
    def split(self, n: int, dag: str, task: str) -> None:
        self.do(lambda: [merging.split(self.service, self.pick(n), ANN, NOW, dag=dag, task=task)])

    @rule(n=st.integers(0, 9), m=st.integers(0, 9))
    def take(self, n: int, m: int) -> None:
        def split() -> list[Move]:
            id = self.pick(n)
            prints = self.service.problem(id, NOW).fingerprints
            return [merging.split(self.service, id, ANN, NOW, fingerprint=prints[m % len(prints)])]

        self.do(split)

    def do(self, doing: Any) -> None:
        before = everything(self.service)
        try:
            self.moves += doing()
        except InputError:
            assert everything(self.service) == before

    @precondition(lambda self: self.moves)
    @rule(n=st.integers(0, 9))
    def undo(self, n: int) -> None:
        move = self.moves[n % len(self.moves)]
        before = everything(self.service)
        named = move.problem if move.kind is MoveKind.MERGE else move.into
        try:
            undone = merging.undo(self.service, move.kind, named, ANN, NOW)
        except InputError:
            assert everything(self.service) == before
            return
        self.moves = [one for one in self.moves if one.id != undone.id]

    @rule(n=st.integers(0, 9), m=st.integers(0, 9))
    def there_and_back(self, n: int, m: int) -> None:
        self.service.settle(NOW + MOMENT)  # what an earlier move woke is awake
        before = owners(self.service), totals(self.service), stand(self.service.store)
        try:
            (move,) = merging.merge(self.service, [self.pick(n)], ANN, NOW, self.pick(m))
        except InputError:
            return
        merging.undo(self.service, MoveKind.MERGE, move.problem, ANN, NOW)
        self.service.settle(NOW + MOMENT)
        assert (owners(self.service), totals(self.service), stand(self.service.store)) == before

    @rule(n=st.integers(0, 9), verb=st.sampled_from(["mute", "resolve", "unmute", "reopen"]))
    def decide(self, n: int, verb: str) -> None:
        try:
            getattr(self.service, verb)(self.pick(n), "bob", NOW)
        except InputError:
            return

    @invariant()
    def each_failure_belongs_to_one_problem(self) -> None:
        whole(self.service)
        assert owners(self.service) == {id: self.expected(fact) for id, fact in self.facts.items()}

    def expected(self, fact: Occurrence) -> str:
        print_, owner = fact.fingerprint, problem_id("prod", fact.fingerprint)
        for move in self.moves:
            if owner != move.problem:
                continue
            if move.kind is MoveKind.MERGE or move.fingerprint == print_:
                owner = move.into
            elif move.dag == fact.key.dag_id and move.task in ("", fact.key.task_id):
                print_, owner = belonging.marked(print_, move.dag, move.task), move.into
        return owner


TestBelonging = Belonging.TestCase
TestBelonging.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
