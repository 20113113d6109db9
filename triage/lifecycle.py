"""The life of a problem: pure functions from a problem and what was counted to the next problem.

Owns the five states and every way between them. `observe` works on absolute counts, never on increments, so that a
repeated pass decides the same. Times are compared on the Airflow server's clock; `now` is on that clock too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from triage.errors import InputError
from triage.records import Change, Problem, Tally, TriageState, problem_id

# After this long without a decision a new or regressed problem is ongoing: Sentry's week.
SETTLES_AFTER = timedelta(days=7)
OPEN = frozenset({TriageState.NEW, TriageState.ONGOING, TriageState.REGRESSED})


@dataclass(frozen=True, slots=True)
class Decision:
    """A problem as decided, and the entry for its history."""

    problem: Problem
    change: Change


def open_problem(scope: str, fingerprint: str, tally: Tally, now: datetime) -> Decision:
    """Open the problem that `fingerprint` is born with in `scope`."""
    problem = Problem(
        id=problem_id(scope, fingerprint),
        scope=scope,
        fingerprint=fingerprint,
        title=tally.title,
        cause=tally.cause,
        state=TriageState.NEW,
        opened_at=now,
        state_at=now,
        reason="first seen",
        wake_at=now + SETTLES_AFTER,
    )
    return Decision(
        problem, Change(problem.id, now, "airtriage", "opened", f"first seen {tally.first_seen:%Y-%m-%d %H:%M} UTC")
    )


def observe(problem: Problem, tally: Tally | None, now: datetime) -> Decision | None:
    """Decide what time and the occurrences counted so far do to a problem; None when nothing changes."""
    if problem.merged_into:
        return None
    if tally is not None:
        if problem.state is TriageState.RESOLVED and problem.resolved_at and tally.last_started > problem.resolved_at:
            why = f"failed again in a try that started {tally.last_started:%Y-%m-%d %H:%M} UTC, after it was resolved"
            return _by_itself(problem, TriageState.REGRESSED, "regressed", why, now)
        if problem.muted_until_count is not None and tally.occurrences >= problem.muted_until_count:
            return _by_itself(
                problem, TriageState.ONGOING, "unmuted", "the number of failures it was muted for is reached", now
            )
    if problem.muted_until is not None and now >= problem.muted_until:
        return _by_itself(problem, TriageState.ONGOING, "unmuted", "the time it was muted for is over", now)
    if problem.state in (TriageState.NEW, TriageState.REGRESSED) and now >= problem.state_at + SETTLES_AFTER:
        return _by_itself(problem, TriageState.ONGOING, "ongoing", "known for a week", now)
    return None


def precedence(problem: Problem) -> tuple[bool, bool, bool, float, datetime, str]:
    """Rank the problems whose failures turn out to be of one cause: the smallest keeps them.

    One that is not resolved first, so that no failure is hidden, and none comes back as a regression that is none; of
    resolved ones the one resolved last. Then what was decided most about: mirrored, by a person; then the older.
    """
    is_resolved = problem.state is TriageState.RESOLVED
    resolved = -problem.resolved_at.timestamp() if is_resolved and problem.resolved_at else 0.0
    is_untouched = problem.state_by == "airtriage" and not problem.owner
    return is_resolved, not problem.gitlab_url, is_untouched, resolved, problem.opened_at, problem.id


def resolve(problem: Problem, who: str, now: datetime, why: str = "", origin: str = "command") -> Decision:
    """Resolve now: a try that starts later is a regression. InputError if it is resolved already."""
    if problem.state is TriageState.RESOLVED:
        raise InputError(f"Problem {problem.id} is resolved already.")
    return _decide(problem, TriageState.RESOLVED, "resolved", who, now, why, origin, resolved_at=now)


def mute(
    problem: Problem,
    who: str,
    now: datetime,
    *,
    until: datetime | None = None,
    more: int | None = None,
    tally: Tally | None = None,
    why: str = "",
    origin: str = "command",
) -> Decision:
    """Mute for good, until a time, or until `more` further occurrences. InputError if resolved, or the end is past."""
    if problem.state is TriageState.RESOLVED:
        raise InputError(f"Problem {problem.id} is resolved.", "Reopen it before muting it.")
    if until is not None and until <= now:
        raise InputError("The time to mute until is in the past.", "Give a later one.")
    if more is not None and more < 1:
        raise InputError("The number of further failures to mute for must be at least 1.")
    end = f"until {until:%Y-%m-%d %H:%M} UTC" if until else f"until {more} more failures" if more else "for good"
    known = tally.occurrences if tally else 0
    return _decide(
        problem, TriageState.MUTED, f"muted {end}", who, now, why, origin,
        muted_until=until, muted_until_count=known + more if more else None, wake_at=until,
    )  # fmt: skip


def unmute(problem: Problem, who: str, now: datetime, why: str = "", origin: str = "command") -> Decision:
    """Undo a mute: the problem is what it was before. InputError if it is not muted."""
    if problem.state is not TriageState.MUTED:
        raise InputError(f"Problem {problem.id} is not muted.")
    return _decide(problem, problem.before or TriageState.ONGOING, "unmuted", who, now, why, origin)


def reopen(problem: Problem, who: str, now: datetime, why: str = "", origin: str = "command") -> Decision:
    """Undo a resolution: the problem is what it was before. InputError if it is not resolved."""
    if problem.state is not TriageState.RESOLVED:
        raise InputError(f"Problem {problem.id} is not resolved.")
    state = problem.before if problem.before in OPEN else TriageState.ONGOING
    return _decide(problem, state, "reopened", who, now, why, origin)


def _by_itself(problem: Problem, state: TriageState, what: str, why: str, now: datetime) -> Decision:
    return _decide(problem, state, what, "airtriage", now, why, "airtriage")


def _decide(
    problem: Problem, state: TriageState, what: str, who: str, now: datetime, why: str, origin: str,
    *, resolved_at: datetime | None = None, muted_until: datetime | None = None,
    muted_until_count: int | None = None, wake_at: datetime | None = None,
) -> Decision:  # fmt: skip
    if state in (TriageState.NEW, TriageState.REGRESSED):
        wake_at = now + SETTLES_AFTER
    changed = replace(
        problem, state=state, before=problem.before if problem.state is state else problem.state, state_at=now, state_by=who, reason=why or what,
        resolved_at=resolved_at, muted_until=muted_until, muted_until_count=muted_until_count, wake_at=wake_at,
    )  # fmt: skip
    return Decision(changed, Change(problem.id, now, who, what, why, origin))
