"""Which comments the GitLab issue of a problem deserves now: few, each once, never one per failure.

Pure. Owns the occasions (closed or reopened by us, growth, spread, quiet, merged away) and what makes two of them the same. Says nothing
itself: `report` has the words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from triage import lifecycle
from triage.mirrors import Mirror
from triage.queue import QueueRow
from triage.records import Problem, TriageState
from triage.report import CommentKind, comment_key

# After this long without a failure an issue is told once that it is quiet: two of a queue's weeks.
QUIET = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment to be made once: its kind, the event it tells of (the same whenever it is told), why, and where it leads."""

    kind: CommentKind
    problem: str
    event: str
    why: str
    heir_url: str | None = None

    @property
    def key(self) -> str:
        """What stands hidden in the comment, by which it is found again."""
        return comment_key(self.kind, self.problem, self.event)


def wanted(problem: Problem, mirror: Mirror) -> bool:
    """Say whether a problem's issue is to be open; one that is muted or merged away leaves it as it is.

    A mute until the issue closes needs an open one: by a closed one (closed by us for a merge that was undone, or before
    the muting was decided) it would never end.
    """
    if problem.state is TriageState.MUTED and problem.muted_until_closed and not problem.merged_into:
        return True
    if problem.state is TriageState.MUTED or problem.merged_into:
        return mirror.is_open
    return problem.state is not TriageState.RESOLVED


def due(row: QueueRow, mirror: Mirror, now: datetime) -> list[Remark]:
    """Return the comments that are due, those that were made already left out."""
    return [
        one
        for one in (_turn(row, mirror), _growth(row), _spread(row, mirror), _quiet(row, now))
        if one and one.key not in mirror.comments
    ]


def merged(problem: Problem, heir: Problem) -> Remark:
    """Return the comment for the issue of a problem that was merged away into another one."""
    return Remark(
        CommentKind.MERGED,
        problem.id,
        problem.merged_by or problem.merged_into,
        "Its failures belong to another problem from now on.",
        heir.gitlab_url,
    )


def _turn(row: QueueRow, mirror: Mirror) -> Remark | None:
    its = row.problem
    if wanted(its, mirror) == mirror.is_open:
        return None
    if its.state is TriageState.RESOLVED:
        kind, why = CommentKind.RESOLVED, _decided(its, "resolved")
    elif its.state is TriageState.REGRESSED:
        kind, why = CommentKind.REGRESSED, its.reason
    else:
        kind, why = CommentKind.REOPENED, _decided(its, "reopened")
    return Remark(kind, its.id, its.state_at.isoformat(), why)


def _decided(problem: Problem, what: str) -> str:
    """Say by whom and why, without the word that stands before it: `By ann.`, `In the next deploy of DAG orders, by ann.`"""
    if problem.reason in ("", what):
        return f"By {problem.state_by}."
    if problem.reason.startswith(f"{what} "):
        return f"{problem.reason.removeprefix(what).strip()}, by {problem.state_by}."
    return f"By {problem.state_by}: {problem.reason}"


def _growth(row: QueueRow) -> Remark | None:
    if row.growth is None or row.problem.state not in lifecycle.OPEN:
        return None
    day = row.growth.since.date().isoformat()  # one that comes and goes is told of once a day
    return Remark(CommentKind.ESCALATED, row.problem.id, day, row.growth.why)


def _spread(row: QueueRow, mirror: Mirror) -> Remark | None:
    """Tell that a problem is in twice as many DAGs as when that was last told, or the issue opened."""
    if not mirror.dags or len(row.dags) < 2 * mirror.dags or row.problem.state not in lifecycle.OPEN:
        return None
    names = ", ".join(name for name, _ in row.dags[:5]) + (
        f" and {len(row.dags) - 5} more" if len(row.dags) > 5 else ""
    )
    return Remark(
        CommentKind.SPREAD,
        row.problem.id,
        f"twice {mirror.dags}",
        f"From {mirror.dags} to {len(row.dags)} DAGs: {names}.",
    )


def _quiet(row: QueueRow, now: datetime) -> Remark | None:
    if row.problem.state not in lifecycle.OPEN or now - row.last_seen < QUIET:
        return None
    why = f"No failure since {row.last_seen:%Y-%m-%d}. Closing this issue resolves the problem."
    return Remark(CommentKind.QUIET, row.problem.id, row.last_seen.isoformat(), why)
