"""How a problem's tasks fared since: when they are asked about, how an instance is judged, and the sentence over all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from triage.model import Occurrence, TaskTry
from triage.outcomes import (
    FIRST,
    INSTANCES,
    LONGEST,
    Healing,
    Outcome,
    OutcomeKind,
    Retried,
    Standing,
    due_at,
    healing,
    judge,
    next_ask,
    unsettled,
)
from triage.records import Outcomes

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def answer(task: str = "load", **more: object) -> Outcomes:
    values: dict[str, object] = {
        "problem": "p", "deployment": "prod", "dag_id": "orders", "task_id": task, "began": NOW - 24 * HOUR,
        "since": NOW - 2 * HOUR, "as_of": NOW, "next_ask_at": NOW + HOUR,
    }  # fmt: skip
    return Outcomes(**(values | more))  # type: ignore[arg-type]


def failed(run: str, attempt: int = 1, final: bool | None = False, index: int = -1, hours: float = 1) -> Occurrence:
    ended = NOW - timedelta(hours=hours)
    return Occurrence(TaskTry("prod", "orders", run, "load", index, attempt), ended, NOW, is_final=final)


def judged(*answers: Outcomes, latest: datetime | None = None) -> Outcome:
    of = {(one.deployment, one.dag_id, one.task_id): latest for one in answers} if latest else {}
    outcome = judge(answers, of)
    assert outcome is not None
    return outcome


# --- when


def test_a_task_is_asked_about_two_minutes_after_it_failed_and_after_a_newer_failure_anew() -> None:
    known = answer()
    assert due_at(None, NOW) == NOW + FIRST
    assert due_at(known, known.since) == known.next_ask_at
    assert due_at(known, NOW) == NOW + FIRST


@pytest.mark.parametrize(
    ("age", "pause"),
    [(timedelta(0), FIRST), (timedelta(minutes=5), FIRST), (HOUR, HOUR / 5), (timedelta(days=30), LONGEST)],
)
def test_the_longer_a_task_is_quiet_the_less_it_is_asked_about(age: timedelta, pause: timedelta) -> None:
    assert next_ask(NOW - age, NOW) == NOW + pause


def test_the_first_day_takes_about_30_questions_and_a_later_one_four() -> None:
    asked, at = 0, NOW + FIRST
    while at < NOW + timedelta(days=1):
        asked, at = asked + 1, next_ask(NOW, at)
    assert 25 <= asked <= 35
    later, end = 0, at + timedelta(days=1)
    while at < end:
        later, at = later + 1, next_ask(NOW, at)
    assert later <= 5


# --- one task instance


@pytest.mark.parametrize(
    ("tries", "standings", "expected"),
    [
        ([], [], Healing()),
        ([failed("a")], [Standing("a", -1, "success", 2)], Healing(healed=1, on=2)),
        ([failed("a", 2), failed("a", 1)], [Standing("a", -1, "success", 3)], Healing(healed=1, on=3)),
        ([failed("a")], [Standing("a", -1, "failed", 2)], Healing(broken=1)),
        ([failed("a")], [Standing("a", -1, "running", 2)], Healing(waiting=1)),
        ([failed("a")], [Standing("a", -1, "", 2)], Healing(waiting=1)),
        ([failed("a")], [Standing("b", -1, "success", 2)], Healing(waiting=1)),
        ([failed("a")], [], Healing(waiting=1)),
        # marked as a success by hand, no try of its own: neither healed nor broken
        ([failed("a", 2)], [Standing("a", -1, "success", 2)], Healing()),
        # over for good, cleared by a person, then a success: no healing
        ([failed("a", final=True)], [Standing("a", -1, "success", 2)], Healing(broken=1)),
        ([failed("a", 2, final=True), failed("a", 1)], [], Healing(broken=1)),
        (
            [failed("a", index=0), failed("a", index=1), failed("a", index=2)],
            [Standing("a", 0, "success", 2), Standing("a", 1, "failed", 2)],
            Healing(healed=1, broken=1, waiting=1, on=2),
        ),
        (
            [failed("a"), failed("b"), failed("c", 2)],
            [Standing("a", -1, "success", 2), Standing("b", -1, "success", 2), Standing("c", -1, "success", 3)],
            Healing(healed=3, on=2, apart=True),
        ),
    ],
)
def test_a_task_instance_is_judged_by_how_it_stands(
    tries: list[Occurrence], standings: Sequence[Standing], expected: Healing
) -> None:
    assert healing(tries, Retried(tuple(standings)), NOW) == expected


def test_what_lies_beyond_the_reach_of_the_answer_is_not_judged() -> None:
    reached = Retried((Standing("x", -1, "success", 2),), reach=NOW - 3 * HOUR)
    assert healing([failed("new", hours=1), failed("old", hours=9)], reached, NOW) == Healing(waiting=1)


def test_a_retry_that_has_not_come_after_two_days_is_not_awaited_any_more() -> None:
    assert healing([failed("new", hours=47), failed("old", hours=49)], Retried(), NOW) == Healing(waiting=1)


def test_only_the_newest_task_instances_are_judged() -> None:
    tries = [failed(f"run {n}", final=True) for n in range(INSTANCES + 30)]
    assert healing(tries, Retried(), NOW).broken == INSTANCES


def test_only_a_task_instance_with_a_retry_left_is_asked_about() -> None:
    tries = [failed("a", 2, final=True), failed("a", 1), failed("b", 2), failed("b", 1), failed("c", final=None)]
    assert [(one.key.run_id, one.key.try_number) for one in unsettled(tries)] == [("b", 2), ("c", 1)]


# --- the sentence


@pytest.mark.parametrize(
    ("answers", "kind", "said", "brief"),
    [
        ([answer(healed=9, broken=1, healed_on=2, succeeded=3)], OutcomeKind.HEALS, "Heals by itself 9 of 10 times, on the second try.", "heals by retry 9 of 10"),
        ([answer(healed=1, healed_on=3, succeeded=1)], OutcomeKind.HEALS, "Heals by itself the one time so far, on the third try.", "heals by retry 1 of 1"),
        ([answer(healed=4, healed_on=2, waiting=1)], OutcomeKind.HEALS, "Heals by itself every time, 4 of 4, on the second try.", "heals by retry 4 of 4"),
        ([answer(succeeded=14)], OutcomeKind.WELL, "Ran 14 times since the last failure, all succeeded.", "ran well since, 14 times"),
        ([answer(succeeded=1)], OutcomeKind.WELL, "Ran once since the last failure and succeeded.", "ran well since, once"),
        ([answer(succeeded=12, failed=2)], OutcomeKind.MIXED, "Ran 14 times since the last failure: 12 succeeded, 2 failed of something else.", "since then 12 well, 2 not"),
        ([answer(failed=2)], OutcomeKind.OTHER, "Has not succeeded since: it failed twice more, of something else.", "fails of something else since"),
        ([answer(waiting=1)], OutcomeKind.RETRYING, "Its retry is still to come.", "retry to come"),
        ([answer(is_paused=True, broken=3)], OutcomeKind.PAUSED, "Has not run since: its DAG is paused.", "not run since: paused"),
        ([answer(is_gone=True, is_paused=True)], OutcomeKind.GONE, "Has not run since: its DAG is gone.", "not run since: DAG gone"),
        ([answer(broken=12)], OutcomeKind.ALWAYS, "Fails every time: its task has not succeeded since the problem began.", "fails every time"),
        ([answer("a", broken=1), answer("b", broken=1)], OutcomeKind.ALWAYS, "Fails every time: none of its tasks has succeeded since the problem began.", "fails every time"),
        ([answer(broken=1)], OutcomeKind.IDLE, "Has not run since.", "not run since"),
        ([answer(broken=3, between=40)], OutcomeKind.SOMETIMES, "Fails now and then: 40 successes between its failures; not run since the last one.", "fails now and then"),
        ([answer(broken=3, between=1)], OutcomeKind.SOMETIMES, "Fails now and then: one success between its failures; not run since the last one.", "fails now and then"),
        # healed half of the time: that is not to be relied on
        ([answer(healed=5, broken=5, succeeded=2)], OutcomeKind.WELL, "Ran twice since the last failure, all succeeded.", "ran well since, twice"),
        # mostly healed, but the last one stands as failed
        ([answer(healed=9, broken=1, between=9)], OutcomeKind.SOMETIMES, "Fails now and then: 9 successes between its failures; not run since the last one.", "fails now and then"),
        # so does another task of it, which never healed, though the rest does
        ([answer("a", healed=9, healed_on=2, succeeded=3), answer("b", broken=1)], OutcomeKind.WELL, "Ran 3 times since the last failure, all succeeded; 1 of its 2 tasks has not run since.", "ran well since, 3 times"),
        ([answer(healed=8, broken=2)], OutcomeKind.SOMETIMES, "Fails now and then: 8 successes between its failures; not run since the last one.", "fails now and then"),
        # not all on one try
        ([answer("a", healed=5, healed_on=2), answer("b", healed=4, healed_on=3)], OutcomeKind.HEALS, "Heals by itself every time, 9 of 9, mostly on the second try.", "heals by retry 9 of 9"),
        ([answer(healed=5, healed_on=2, is_apart=True)], OutcomeKind.HEALS, "Heals by itself every time, 5 of 5, mostly on the second try.", "heals by retry 5 of 5"),
        ([answer("a", succeeded=3), answer("b")], OutcomeKind.WELL, "Ran 3 times since the last failure, all succeeded; 1 of its 2 tasks has not run since.", "ran well since, 3 times"),
        ([answer("a", succeeded=3), answer("b", is_paused=True), answer("c", is_paused=True)], OutcomeKind.WELL, "Ran 3 times since the last failure, all succeeded; 2 of its 3 tasks have not run since, as their DAGs are paused.", "ran well since, 3 times"),
        ([answer("a", is_paused=True), answer("b", dag_id="billing", is_paused=True)], OutcomeKind.PAUSED, "Has not run since: the DAGs of all its tasks are paused.", "not run since: paused"),
    ],
)  # fmt: skip
def test_the_sentence_over_all_tasks(answers: list[Outcomes], kind: OutcomeKind, said: str, brief: str) -> None:
    outcome = judged(*answers)
    assert (outcome.kind, outcome.said, outcome.brief) == (kind, said, brief)


def test_nothing_is_said_while_nothing_was_answered() -> None:
    assert judge([], {}) is None


def test_an_answer_from_before_the_newest_failure_says_nothing_of_what_came_after_it() -> None:
    outcome = judged(answer(succeeded=7, failed=1, broken=2), latest=NOW - timedelta(minutes=1))
    assert (outcome.kind, outcome.succeeded, outcome.failed) == (OutcomeKind.SOMETIMES, 0, 0)
    assert judged(answer(succeeded=7), latest=NOW - 2 * HOUR).succeeded == 7
    # One more failure of what heals as a rule is no incident before it is known how it ended.
    assert judged(answer(healed=9, broken=1, healed_on=2, succeeded=3), latest=NOW).kind is OutcomeKind.HEALS


def test_the_next_run_is_told_only_where_nothing_ran_since() -> None:
    due = NOW + HOUR
    assert judged(answer(next_run_at=due)).next_run_at == due
    assert judged(answer("a", next_run_at=due), answer("b", next_run_at=due + HOUR)).next_run_at == due
    assert judged(answer(succeeded=1, next_run_at=due)).next_run_at is None


def test_the_counts_are_over_all_tasks_and_as_old_as_the_oldest_answer() -> None:
    newest = NOW - timedelta(minutes=3)
    outcome = judged(
        answer("a", succeeded=2, healed=1, last_success_at=newest),
        replace(answer("b", succeeded=3, broken=1, last_success_at=NOW - HOUR), as_of=NOW - 5 * HOUR),
    )
    assert (outcome.tasks, outcome.succeeded, outcome.healed, outcome.broken) == (2, 5, 1, 1)
    assert (outcome.last_success_at, outcome.as_of) == (newest, NOW - 5 * HOUR)
