"""The life of a problem: every way between the states, and none besides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage import lifecycle
from triage.errors import InputError
from triage.lifecycle import SETTLES_AFTER
from triage.records import Problem, Tally, TriageState

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def tally(occurrences: int = 1, started: datetime = NOW - HOUR) -> Tally:
    return Tally(occurrences, 1, NOW - HOUR, started, started, "KeyError", "code error")


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
    assert lifecycle.observe(problem, tally(6), NOW) is None
    decision = lifecycle.observe(problem, tally(7), NOW)
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
        known = tally(count, started)
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
