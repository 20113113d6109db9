"""The life of a problem: every way between the states, and none besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage import deploys, lifecycle, quiet
from triage.errors import InputError
from triage.issues import Fix
from triage.lifecycle import SETTLES_AFTER, Actor
from triage.records import Outcomes, Problem, Ran, Tally, TriageState
from triage.ways import WAYS, Event

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def tally(occurrences: int = 1, started: datetime = NOW - HOUR, *ran: Ran, newer: int = 0) -> Tally:
    ran = ran or (ran_(started),)
    return Tally(occurrences, 1, NOW - HOUR, started, started, "KeyError", "code error", ran, newer)


def ran_(
    started: datetime, version: int | None = None, bundle: str = "", dag: str = "orders", task: str = "load"
) -> Ran:
    return Ran("prod", dag, task, version, bundle, started, started)


def opened() -> Problem:
    return lifecycle.open_problem("prod", "1:aa", tally(), NOW).problem


def test_a_problem_is_born_new_with_an_id_from_scope_and_fingerprint() -> None:
    problem = opened()
    assert problem.state is TriageState.NEW
    assert problem.id == opened().id
    assert problem.id != lifecycle.open_problem("dev", "1:aa", tally(), NOW).problem.id


def test_a_week_makes_a_new_problem_ongoing() -> None:
    assert lifecycle.observe(opened(), tally(), NOW + SETTLES_AFTER - HOUR) is None
    decision = lifecycle.observe(opened(), tally(), NOW + SETTLES_AFTER)
    assert decision is not None
    assert decision.problem.state is TriageState.ONGOING
    assert decision.problem.wake_at is None


def test_a_try_that_started_after_the_resolution_is_a_regression() -> None:
    problem = lifecycle.resolve(opened(), "ann", NOW).problem
    decision = lifecycle.observe(problem, tally(2, NOW + HOUR), NOW + 2 * HOUR)
    assert decision is not None
    assert decision.problem.state is TriageState.REGRESSED
    assert decision.problem.resolved_at is None
    assert lifecycle.observe(decision.problem, tally(2, NOW + HOUR), NOW + 2 * HOUR) is None


def test_an_old_failure_that_arrives_late_changes_no_state() -> None:
    problem = lifecycle.resolve(opened(), "ann", NOW).problem
    assert lifecycle.observe(problem, tally(5, NOW - HOUR), NOW + HOUR) is None
    assert lifecycle.observe(problem, tally(5, NOW), NOW + HOUR) is None


def test_a_mute_ends_at_its_time() -> None:
    problem = lifecycle.mute(opened(), "ann", NOW, until=NOW + HOUR).problem
    assert problem.wake_at == NOW + HOUR
    assert lifecycle.observe(problem, tally(99), NOW + HOUR / 2) is None
    decision = lifecycle.observe(problem, tally(99), NOW + HOUR)
    assert decision is not None
    assert (decision.problem.state, decision.problem.muted_until) == (TriageState.ONGOING, None)


def test_a_mute_ends_after_so_many_more() -> None:
    problem = lifecycle.mute(opened(), "ann", NOW, more=3, tally=tally(4)).problem
    assert problem.muted_from == NOW
    assert lifecycle.observe(problem, tally(99, newer=2), NOW) is None, "old failures that arrive late do not count"
    decision = lifecycle.observe(problem, tally(7, newer=3), NOW)
    assert decision is not None
    assert decision.problem.state is TriageState.ONGOING


def test_a_mute_for_good_ends_only_by_a_person() -> None:
    problem = lifecycle.mute(opened(), "ann", NOW).problem
    assert lifecycle.observe(problem, tally(10_000, NOW + HOUR), NOW + timedelta(days=900)) is None


def test_undo_goes_back_to_what_it_was() -> None:
    regressed = lifecycle.observe(lifecycle.resolve(opened(), "ann", NOW).problem, tally(2, NOW + HOUR), NOW + HOUR)
    assert regressed is not None
    for problem in (opened(), regressed.problem):
        assert lifecycle.unmute(lifecycle.mute(problem, "ann", NOW).problem, "ann", NOW).problem.state is problem.state
        assert (
            lifecycle.reopen(lifecycle.resolve(problem, "ann", NOW).problem, "ann", NOW).problem.state is problem.state
        )


def test_a_mute_may_be_prolonged_and_still_be_undone() -> None:
    once = lifecycle.mute(opened(), "ann", NOW, until=NOW + HOUR).problem
    twice = lifecycle.mute(once, "ann", NOW, until=NOW + 8 * HOUR).problem
    assert twice.muted_until == NOW + 8 * HOUR
    assert lifecycle.unmute(twice, "ann", NOW).problem.state is TriageState.NEW


def test_what_makes_no_sense_is_refused() -> None:
    resolved = lifecycle.resolve(opened(), "ann", NOW).problem
    for wrong in (
        lambda: lifecycle.resolve(resolved, "ann", NOW),
        lambda: lifecycle.mute(resolved, "ann", NOW),
        lambda: lifecycle.unmute(opened(), "ann", NOW),
        lambda: lifecycle.reopen(opened(), "ann", NOW),
        lambda: lifecycle.mute(opened(), "ann", NOW, until=NOW - HOUR),
        lambda: lifecycle.mute(opened(), "ann", NOW, more=0),
    ):
        with pytest.raises(InputError):
            wrong()


BY = Actor("ann", NOW)
DAY = timedelta(days=1)


def resolved_next(*ran: Ran) -> Problem:
    return lifecycle.resolve_in_deploy(opened(), BY, tally(2, NOW - HOUR, *ran)).problem


def seen_by(problem: Problem, *ran: Ran, now: datetime = NOW + DAY, answers: Sequence[Outcomes] = ()) -> Problem:
    started = max(part.last_started for part in ran)
    decision = lifecycle.observe(problem, tally(9, started, *ran), now, answers)
    return decision.problem if decision else problem


def answer(task: str = "load", since: datetime = NOW - HOUR, **more: object) -> Outcomes:
    asked = NOW + 7 * DAY
    fact = Outcomes("p", "prod", "orders", task, since, since, asked, asked + HOUR)
    return replace(fact, **more)  # type: ignore[arg-type]


OLD = ran_(NOW - HOUR, 14, "aaaaaaaaaa")
LATER = NOW + HOUR


@pytest.mark.parametrize(
    ("part", "is_regression"),
    [
        (ran_(LATER, 14, "aaaaaaaaaa"), False),  # the code known then fails still
        (ran_(LATER, 13, "9999999999"), False),  # an older run, cleared
        (ran_(LATER, 15, "bbbbbbbbbb"), True),
        (ran_(LATER, 14, "bbbbbbbbbb"), True),  # a fix inside a task: Airflow keeps the version's number
        (ran_(NOW - HOUR / 2, 15, "bbbbbbbbbb"), False),  # it was there before the resolution
        (ran_(LATER, None, ""), True),  # nothing known of it: it started later
        (ran_(LATER, 1, "aaaaaaaaaa", dag="billing"), False),  # the same old bundle in another DAG
        (ran_(LATER, 1, "bbbbbbbbbb", dag="billing"), True),
        (ran_(LATER, 1, "", dag="billing"), True),
    ],
)
def test_resolved_in_the_next_deploy_only_a_failure_of_newer_code_is_a_regression(
    part: Ran, *, is_regression: bool
) -> None:
    problem = seen_by(resolved_next(OLD), OLD, part)
    assert (problem.state is TriageState.REGRESSED) is is_regression
    assert (problem.deploy is None) is is_regression


@pytest.mark.parametrize(
    ("holds", "is_regression"),
    [({}, False), ({"bbbbbbbbbb": False}, False), ({"bbbbbbbbbb": True}, True), ({"bbbbbbbbbb": None}, True)],
)
def test_where_a_fix_is_waited_for_only_what_holds_it_or_cannot_be_told_is_newer(
    holds: dict[str, bool | None], *, is_regression: bool
) -> None:
    fix = Fix(7, "", "anna", NOW - HOUR / 2, "f" * 40, 1)
    by = lifecycle.Actor("anna", NOW)
    problem = lifecycle.resolve_in_deploy(opened(), by, tally(1, NOW - HOUR, OLD), fix=fix).problem
    failed = tally(2, LATER, OLD, ran_(LATER, 15, "bbbbbbbbbb"))
    told = lifecycle.judge_bundles(problem, failed, (), holds)
    problem = told.problem if told else problem
    seen = seen_by(problem, *failed.ran)
    assert (seen.state is TriageState.REGRESSED) is is_regression
    late = NOW + deploys.WITHIN + HOUR
    overdue = seen_by(problem, OLD, ran_(late, 15, "bbbbbbbbbb"), now=late)
    assert overdue.state is TriageState.REGRESSED


def test_what_ran_after_a_fix_was_merged_is_not_taken_for_older_code_unasked() -> None:
    fix = Fix(7, "", "anna", NOW - 2 * HOUR, "f" * 40, 1)
    by = lifecycle.Actor("anna", NOW)
    problem = lifecycle.resolve_in_deploy(opened(), by, tally(1, NOW - HOUR, OLD), fix=fix).problem
    assert problem.deploy is not None
    assert deploys.unjudged(problem.deploy, tally(1, NOW - HOUR, OLD), ()) == ["aaaaaaaaaa"]


def test_without_bundles_the_number_of_the_dag_version_tells_the_next_deploy() -> None:
    problem = resolved_next(ran_(NOW - HOUR, 14))
    assert seen_by(problem, ran_(LATER, 14)).state is TriageState.RESOLVED
    again = seen_by(problem, ran_(LATER, 14), ran_(LATER, 15))
    assert (again.state, "DAG version 15 of orders" in again.reason) == (TriageState.REGRESSED, True)


def test_a_deploy_that_does_not_come_hides_no_failure_for_longer_than_two_weeks() -> None:
    problem = resolved_next(ran_(NOW - HOUR, 14))
    late = NOW + deploys.WITHIN + HOUR
    assert seen_by(problem, ran_(late - 2 * HOUR, 14), now=late).state is TriageState.RESOLVED
    overdue = seen_by(problem, ran_(late, 14), now=late)
    assert overdue.state is TriageState.REGRESSED
    assert "was not seen" in overdue.reason


def test_a_deploy_is_seen_by_a_success_in_it_and_older_code_may_fail_for_good() -> None:
    problem = resolved_next(ran_(NOW - HOUR, 14))
    assert lifecycle.awaits_answers(problem)
    assert seen_by(problem, OLD, answers=[answer(last_success_at=LATER, dag_version=14)]) == problem
    well = answer(last_success_at=LATER, dag_version=15)
    seen = seen_by(problem, ran_(NOW - HOUR, 14), answers=[well])
    assert seen.deploy is not None
    assert (seen.state, seen.deploy.seen_at, seen.state_at) == (TriageState.RESOLVED, LATER, NOW)
    assert "orders.load in DAG version 15" in seen.deploy.seen
    assert not lifecycle.awaits_answers(seen)
    both = seen_by(problem, ran_(NOW + deploys.WITHIN + DAY, 14), now=NOW + deploys.WITHIN + DAY, answers=[well])
    assert both.state is TriageState.RESOLVED, "old code that fails late, in the same look as the deploy is seen"
    late = NOW + deploys.WITHIN + DAY
    assert seen_by(seen, ran_(late, 14), now=late, answers=[well]) == seen
    assert seen_by(seen, ran_(late, 15), now=late).state is TriageState.REGRESSED


@pytest.mark.parametrize(
    ("given", "deployed_at", "part", "is_regression"),
    [
        ("bbbbbbb", None, ran_(LATER, 14, "bbbbbbbbbb"), True),
        ("bbbbbbb", None, ran_(LATER, 14, "cccccccccc"), False),  # some other deploy, before the one waited for
        ("bbbbbbb", NOW - 2 * HOUR, ran_(LATER, 14, "cccccccccc"), True),  # a later one than the fix
        ("bbbbbbb", NOW - 2 * HOUR, ran_(NOW - HOUR / 2, 14, "bbbbbbbbbb"), True),  # began before we heard of the fix
        ("bbbbbbb", None, ran_(NOW - HOUR / 2, 14, "bbbbbbbbbb"), False),
        ("bbbbbbb", NOW - 2 * HOUR, ran_(LATER, 14, "aaaaaaaaaa"), False),
        ("orders@15", None, ran_(NOW - HOUR / 2, 15), True),  # a version's number never moves
        ("orders@15", None, ran_(LATER, 14), False),
        ("orders@15", None, ran_(LATER, 16), True),
    ],
)
def test_resolved_in_a_given_deploy_a_failure_of_it_is_a_regression_whenever_it_arrives(
    given: str, deployed_at: datetime | None, part: Ran, *, is_regression: bool
) -> None:
    decision = lifecycle.resolve_in_deploy(
        opened(), BY, tally(1, NOW - HOUR, OLD), given=given, deployed_at=deployed_at
    )
    assert (seen_by(decision.problem, OLD, part).state is TriageState.REGRESSED) is is_regression


@pytest.mark.parametrize(
    ("given", "ran", "words"),
    [
        ("", ran_(NOW - HOUR), "Airflow 2 has neither"),
        ("orders@14", OLD, "failed in DAG version 14 of orders already"),
        ("aaaaaaa", OLD, "failed in commit aaaaaaa already"),
        ("billing@3", OLD, "not seen in the DAG billing"),
        ("v2; DROP", OLD, "is no deploy"),
        ("orders@0", OLD, "is no deploy"),
    ],
)
def test_a_deploy_that_cannot_be_told_or_failed_already_is_refused(given: str, ran: Ran, words: str) -> None:
    with pytest.raises(InputError, match=words):
        lifecycle.resolve_in_deploy(opened(), BY, tally(1, NOW - HOUR, ran), given=given)


WELL: dict[str, object] = {"succeeded": 3}


@pytest.mark.parametrize(
    ("answers", "waits"),
    [
        ([answer(**WELL), answer("store", **WELL)], ""),
        ([answer(**WELL)], "orders.store (not asked yet)"),
        ([answer(**WELL), answer("store", is_paused=True)], "orders.store (its DAG is paused)"),
        ([answer(**WELL), answer("store", is_gone=True)], "orders.store (its DAG is gone)"),
        ([answer(**WELL), answer("store")], "orders.store (not run)"),
        ([answer(**WELL), answer("store", failed=2)], "orders.store (fails of something else)"),
        ([answer(**WELL), answer("store", NOW - 9 * HOUR, **WELL)], "orders.store (not asked yet)"),
    ],
)
def test_quiet_means_that_every_task_ran_and_succeeded_since(answers: list[Outcomes], waits: str) -> None:
    known = tally(2, NOW - HOUR, ran_(NOW - HOUR), ran_(NOW - HOUR, task="store"))
    problem = lifecycle.resolve_when_quiet(opened(), BY, 7 * DAY, known).problem
    assert (problem.state, problem.quiet_for, problem.wake_at) == (TriageState.NEW, 7 * DAY, NOW + 7 * DAY - HOUR)
    assert lifecycle.observe(problem, known, NOW + 6 * DAY, answers) is None
    decision = lifecycle.observe(problem, known, NOW + 7 * DAY - HOUR, answers)
    assert decision is not None
    assert quiet.waits(7 * DAY, known, answers, NOW + 7 * DAY) == (
        waits and f"1 of its 2 tasks has not succeeded since: {waits}"
    )
    if waits:
        assert (decision.change, decision.problem.state) == (None, TriageState.NEW)
        assert lifecycle.observe(decision.problem, known, NOW + 7 * DAY - HOUR, answers) is None
        settled = lifecycle.observe(decision.problem, known, NOW + 7 * DAY, answers)
        assert settled is not None
        assert (settled.problem.state, settled.problem.quiet_for) == (TriageState.ONGOING, 7 * DAY)
    else:
        assert (decision.problem.state, decision.problem.quiet_for) == (TriageState.RESOLVED, None)
        assert decision.problem.state_by == "airtriage"


def test_what_airflow_said_before_it_was_away_makes_nobody_quiet() -> None:
    known = tally(2, NOW - HOUR, ran_(NOW - HOUR))
    early = answer(as_of=NOW + DAY, **WELL)
    waits = "how its tasks fare is known up to 2026-11-25 12:00 UTC only"
    assert quiet.waits(7 * DAY, known, [early], NOW + 8 * DAY) == waits
    assert quiet.waits(7 * DAY, known, [replace(early, as_of=NOW + 7 * DAY - HOUR)], NOW + 8 * DAY) == ""


def test_a_failure_while_it_is_to_be_quiet_begins_the_time_anew_and_a_mute_keeps_the_wish() -> None:
    problem = lifecycle.resolve_when_quiet(opened(), BY, DAY, tally()).problem
    muted = lifecycle.mute(problem, "ann", NOW, until=NOW + 9 * DAY).problem
    assert (muted.quiet_for, muted.state) == (DAY, TriageState.MUTED)
    failed = tally(2, NOW + 20 * HOUR)
    assert muted.wake_at is not None
    decision = lifecycle.observe(muted, failed, NOW + DAY, [answer(**WELL)])
    assert decision is not None
    assert (decision.change, decision.problem.wake_at) == (None, NOW + 44 * HOUR)
    late = lifecycle.observe(decision.problem, failed, NOW + 44 * HOUR, [answer(since=NOW + 20 * HOUR, **WELL)])
    assert late is not None
    assert (late.problem.state, late.problem.muted_until) == (TriageState.RESOLVED, None)
    assert lifecycle.disarm(problem, BY).problem.wake_at == NOW + SETTLES_AFTER


def test_a_mute_ends_when_it_spreads_to_a_dag_that_was_not_known_then() -> None:
    problem = lifecycle.mute(opened(), "ann", NOW, spread=True, tally=tally()).problem
    assert problem.muted_dags == ("orders",)
    assert seen_by(problem, ran_(LATER)) == problem
    assert seen_by(problem, ran_(NOW - HOUR, dag="billing")) == problem, "an old failure that arrives late"
    spread = seen_by(problem, ran_(LATER), ran_(LATER, dag="billing"))
    assert (spread.state, spread.reason, spread.muted_dags) == (TriageState.ONGOING, "it spread to billing", ())


def test_a_closed_gitlab_issue_resolves_all_but_what_is_muted_otherwise() -> None:
    linked = replace(opened(), gitlab_url="https://gitlab.example.com/data/dags/-/issues/7")
    by = Actor("maria", NOW, "closed", "GitLab")
    muted = lifecycle.mute(linked, "ann", NOW, closed=True).problem
    for problem in (linked, muted):
        decision = lifecycle.close(problem, by)
        assert decision is not None
        assert (decision.problem.state, decision.problem.muted_until_closed) == (TriageState.RESOLVED, False)
        assert decision.problem.gitlab_url == linked.gitlab_url
        assert lifecycle.close(decision.problem, by) is None
    assert lifecycle.close(lifecycle.mute(linked, "ann", NOW).problem, by) is None
    unlinked = lifecycle.observe(replace(muted, gitlab_url=""), tally(), NOW)
    assert unlinked is not None
    assert (unlinked.problem.state, unlinked.problem.muted_until_closed) == (TriageState.ONGOING, False)
    with pytest.raises(InputError, match="has no GitLab issue"):
        lifecycle.mute(opened(), "ann", NOW, closed=True)


def test_undo_puts_back_exactly_what_stood_until_something_else_was_decided() -> None:
    armed = lifecycle.resolve_when_quiet(opened(), BY, DAY, tally()).problem
    muted = lifecycle.mute(armed, "ann", NOW + HOUR, more=3, spread=True, tally=tally()).problem
    resolved = lifecycle.resolve(muted, "bob", NOW + 2 * HOUR).problem
    undone = lifecycle.undo(resolved, "bob", NOW + 3 * HOUR)
    assert undone.problem == replace(muted, undo=None, wake_at=NOW + 3 * HOUR)
    woken = lifecycle.observe(undone.problem, tally(), NOW + 3 * HOUR)
    assert woken is not None
    assert (woken.problem, woken.change) == (replace(muted, undo=None, wake_at=NOW + 23 * HOUR), None)
    assert undone.change is not None
    assert undone.change.what == "took back: resolved"
    again = lifecycle.observe(resolved, tally(2, NOW + 3 * HOUR), NOW + 4 * HOUR)
    assert again is not None
    for problem in (undone.problem, again.problem, opened()):
        with pytest.raises(InputError, match="cannot be undone"):
            lifecycle.undo(problem, "bob", NOW)


def test_taking_failures_over_changes_no_state() -> None:
    moved = tally(6, NOW - HOUR / 2, ran_(NOW - HOUR / 2, 15, "bbbbbbbbbb", dag="billing"), newer=4)
    muted = lifecycle.mute(opened(), "ann", NOW - 2 * HOUR, more=3, spread=True, tally=tally()).problem
    ready = lifecycle.taking_over(muted, moved)
    assert (ready.muted_until_count, ready.muted_dags, ready.undo) == (7, ("billing", "orders"), None)
    old = replace(muted, muted_from=None, muted_dags=())
    assert lifecycle.taking_over(old, moved).muted_until_count == 9
    at = NOW - 2 * HOUR
    for problem in (
        lifecycle.resolve(opened(), "ann", at).problem,
        lifecycle.resolve_in_deploy(opened(), Actor("ann", at), tally(1, at - HOUR, OLD)).problem,
    ):
        assert seen_by(problem, *moved.ran).state is TriageState.REGRESSED
        assert seen_by(lifecycle.taking_over(problem, moved), *moved.ran).state is TriageState.RESOLVED
    assert lifecycle.taking_over(opened(), moved) == opened()


def test_a_problem_kept_by_an_older_version_is_read_and_its_mute_counts_as_it_did() -> None:
    body = (
        b'{"id":"p","scope":"prod","fingerprint":"1:aa","title":"t","cause":"c","state":"MUTED",'
        b'"opened_at":"2026-11-24T12:00:00Z","state_at":"2026-11-24T12:00:00Z","state_by":"ann","reason":"",'
        b'"before":"NEW","resolved_at":null,"muted_until":null,"muted_until_count":7,"wake_at":null,"owner":"","gitlab_url":""}'
    )
    problem = msgspec.json.decode(body, type=Problem)
    assert lifecycle.observe(problem, tally(6), NOW) is None
    decision = lifecycle.observe(problem, tally(7), NOW)
    assert decision is not None
    assert decision.problem.state is TriageState.ONGOING


def test_every_way_is_gone_by_the_code_and_starts_where_it_says() -> None:
    code = (Path(lifecycle.__file__)).read_text("utf-8")
    assert [event.name for event in Event if event is not Event.OPENED and f"Event.{event.name}" not in code] == []
    assert set(WAYS) == set(Event)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["resolve", "mute", "mute time", "mute count", "unmute", "reopen", "fail", "wait"]),
        st.integers(0, 200),
    )
)


@given(ACTIONS)
def test_no_sequence_reaches_an_impossible_state(actions: list[tuple[str, int]]) -> None:
    problem, now, count = opened(), NOW, 1
    started = NOW - HOUR
    for action, n in actions:
        now += timedelta(minutes=n)
        known = tally(count, started, newer=count)
        try:
            match action:
                case "resolve":
                    problem = lifecycle.resolve(problem, "ann", now).problem
                case "mute":
                    problem = lifecycle.mute(problem, "ann", now, tally=known).problem
                case "mute time":
                    problem = lifecycle.mute(problem, "ann", now, until=now + HOUR, tally=known).problem
                case "mute count":
                    problem = lifecycle.mute(problem, "ann", now, more=n, tally=known).problem
                case "unmute":
                    problem = lifecycle.unmute(problem, "ann", now).problem
                    assert problem.state in lifecycle.OPEN
                case "reopen":
                    problem = lifecycle.reopen(problem, "ann", now).problem
                    assert problem.state in lifecycle.OPEN
                case "fail":
                    count, started = count + 1, now
                case "wait":
                    now += timedelta(hours=n)
        except InputError:
            pass
        decision = lifecycle.observe(problem, tally(count, started), now)
        problem = decision.problem if decision else problem
        assert lifecycle.observe(problem, tally(count, started), now) is None, "deciding twice decides the same"
        assert (problem.resolved_at is not None) == (problem.state is TriageState.RESOLVED)
        assert problem.state is TriageState.MUTED or (problem.muted_until, problem.muted_until_count) == (None, None)
        assert problem.state is not TriageState.RESOLVED or started <= problem.resolved_at  # type: ignore[operator]
        assert problem.id == opened().id
