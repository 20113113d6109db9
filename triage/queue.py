"""A problem as the queue shows it: counts over its fingerprints, the judgement of its outcomes, its tab and its rank.

Pure but for the store's `Summary`, which it counts from. Decides what is flaky and what is urgent; reads nothing itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from triage import lifecycle, outcomes
from triage.outcomes import Outcome, OutcomeKind
from triage.owners import NO_RULES, Owner, Ownership, Task
from triage.records import Escalation, Outcomes, Problem, TriageState
from triage.store import Summary

# Days of the sparkline in the queue.
SPARK_DAYS = 14


class Pill(StrEnum):
    """The queue's tabs."""

    NEEDS = "needs triage"
    ONGOING = "ongoing"
    FLAKY = "flaky"
    MUTED = "muted"
    RESOLVED = "resolved"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A problem as the queue shows it.

    `recent` counts the range asked for, `daily` the last 14 days, oldest first; everything else is of all time.
    `dags` and `tasks` (as `dag.task`) come with their counts, most first. `outcome` says how its tasks fared since, None
    while that is not known or the problem is not open; `growth` that it grows, None where it does not; `owned`
    who owns it and who says so. `rank` sorts by
    urgency, smallest first.
    """

    problem: Problem
    total: int
    final: int
    recent: int
    first_seen: datetime
    last_seen: datetime
    daily: tuple[int, ...]
    deployments: tuple[str, ...]
    dags: tuple[tuple[str, int], ...]
    tasks: tuple[tuple[str, int], ...]
    owned: Owner
    why: str
    rank: tuple[int, ...]
    outcome: Outcome | None = None
    growth: Escalation | None = None

    @property
    def owner(self) -> str:
        """The names of its owners, empty where nobody is known to own it."""
        return ", ".join(self.owned.names)

    @property
    def is_flaky(self) -> bool:
        """Say whether the open problem heals by retry, as its task instances ended.

        While that is not known: whether every failure so far was one that Airflow tries again.
        """
        return self.problem.state in lifecycle.OPEN and _is_flaky(self.final, self.outcome)

    @property
    def pill(self) -> Pill:
        match self.problem.state:
            case TriageState.MUTED:
                return Pill.MUTED
            case TriageState.RESOLVED:
                return Pill.RESOLVED
            case _ if self.growth:
                return Pill.NEEDS
            case TriageState.NEW | TriageState.REGRESSED if not self.is_flaky:
                return Pill.NEEDS
            case _:
                return Pill.FLAKY if self.is_flaky else Pill.ONGOING


def open_row(row: QueueRow) -> bool:
    """Say whether a row's problem is open: neither muted nor resolved."""
    return row.problem.state in lifecycle.OPEN


def first_day(now: datetime, since: datetime | None = None) -> str:
    """Return the ISO day from which daily counts are needed: the sparkline's first, or an earlier one asked for."""
    spark = now - timedelta(days=SPARK_DAYS - 1)
    return min(spark, since or spark).date().isoformat()


@dataclass(frozen=True, slots=True)
class Beside:
    """What a row is made of beside counts: the answers about a problem's tasks, its growth, and what tells the owners."""

    answers: Iterable[Outcomes] = ()
    growth: Escalation | None = None
    owning: Ownership = NO_RULES


def row_of(
    problem: Problem, parts: list[Summary], beside: Beside, now: datetime, since: datetime | None = None
) -> QueueRow:
    """Return the row of a problem from the summaries of what it owns and what is known beside them."""
    dags: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    daily: Counter[str] = Counter()
    for part in parts:
        daily.update(part.daily)
        for (dag, task), count in part.tasks.items():
            dags[dag] += count
            tasks[f"{dag}.{task}"] += count
    total = sum(part.total for part in parts)
    final = sum(part.final for part in parts)
    last = max((part.last_seen for part in parts), default=problem.opened_at)
    outcome = outcomes.judge(beside.answers, _latest(parts)) if problem.state in lifecycle.OPEN else None
    is_flaky = _is_flaky(final, outcome)
    growth = beside.growth if problem.state is not TriageState.RESOLVED else None  # kept until it is next looked at
    return QueueRow(
        problem=problem,
        total=total,
        final=final,
        recent=sum(n for day, n in daily.items() if day >= since.date().isoformat()) if since else total,
        first_seen=min((part.first_seen for part in parts), default=problem.opened_at),
        last_seen=last,
        daily=tuple(daily[day] for day in _spark(now.date())),
        deployments=tuple(sorted({part.deployment for part in parts})),
        dags=_most(dags),
        tasks=_most(tasks),
        owned=beside.owning.of(problem, _tasks(parts)),
        why=_why(problem, final, outcome, len(dags), growth),
        rank=_rank(problem, is_flaky, len(dags), last, growth),
        outcome=outcome,
        growth=growth,
    )


@lru_cache(maxsize=4)
def _spark(today: date) -> tuple[str, ...]:
    return tuple((today - timedelta(days=ago)).isoformat() for ago in reversed(range(SPARK_DAYS)))


def _tasks(parts: Iterable[Summary]) -> list[Task]:
    """Return the tasks that a problem failed in, with what Airflow says of their owners, most failures first."""
    every = [
        (count, Task(part.deployment, dag, task, part.owned.get((dag, task), ())))
        for part in parts
        for (dag, task), count in part.tasks.items()
    ]
    return [
        task for _, task in sorted(every, key=lambda one: (-one[0], one[1].deployment, one[1].dag_id, one[1].task_id))
    ]


def _latest(parts: Iterable[Summary]) -> dict[tuple[str, str, str], datetime]:
    latest: dict[tuple[str, str, str], datetime] = {}
    for part in parts:
        for (dag, task), (_, last) in part.spans.items():
            key = (part.deployment, dag, task)
            latest[key] = max(last, latest.get(key, last))
    return latest


def _is_flaky(final: int, outcome: Outcome | None) -> bool:
    if outcome is not None and (outcome.kind is OutcomeKind.HEALS or outcome.broken):
        return outcome.kind is OutcomeKind.HEALS
    return final == 0


def _most(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _decided(problem: Problem) -> str:
    """Say what was decided, by whom and why, each once: `muted for 7 days, by ann`, `resolved by ann: fixed in !12`."""
    state = problem.state.lower()
    if problem.reason.startswith(f"{state} "):
        return f"{problem.reason}, by {problem.state_by}"
    why = f": {problem.reason}" if problem.reason not in ("", state) else ""
    return f"{state} by {problem.state_by}{why}"


def _why(problem: Problem, final: int, outcome: Outcome | None, dags: int, growth: Escalation | None) -> str:
    """Say in words why a problem stands where it stands."""
    grows = f"growing: {growth.why}" if growth else ""
    match problem.state:
        case TriageState.REGRESSED:
            return f"regressed: {problem.reason}" + (f"; {grows}" if grows else "")
        case TriageState.MUTED | TriageState.RESOLVED:
            by = _decided(problem)
            return f"{grows}; {by}" if grows else by
    if grows:
        return grows
    if _is_flaky(final, outcome):
        is_known = outcome is not None and outcome.healed
        return "flaky" if is_known else "every failed try so far is one that Airflow tries again"
    if not final:
        return "its retries fail in the end, of something else"
    spread = f", spread over {dags} DAGs" if dags > 1 else ""
    return ("new, with final failures" if problem.state is TriageState.NEW else "ongoing") + spread


def _rank(problem: Problem, is_flaky: bool, dags: int, last: datetime, growth: Escalation | None) -> tuple[int, ...]:
    order = [TriageState.REGRESSED, TriageState.NEW, TriageState.ONGOING, TriageState.MUTED, TriageState.RESOLVED]
    # One that grows stands among the new ones, before them; those that grow most first.
    is_known = growth and problem.state is TriageState.ONGOING
    place = order.index(TriageState.NEW if is_known else problem.state)
    grows = -round(growth.times * 10) if growth else 0
    return (place, is_flaky and not growth, grows, -dags, -int(last.timestamp()))
