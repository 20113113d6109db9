"""What a linked issue is told: closed or reopened as its problem is, our block kept true, and few comments.

Owns when something is told and that each comment is made once. Touches nothing of a description but our own block, reads
it right before, and gives up where a person edits meanwhile. A comment that comes back by its key is not made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from triage.errors import GitLabError, GitLabUnsure
from triage.hearing import Hearing, is_outdated
from triage.issues import Draft, Issues
from triage.ledger import Ledger
from triage.mirrors import Mirror
from triage.opening import WAIT
from triage.outcomes import OutcomeKind
from triage.policy import Judgement
from triage.queue import Beside, QueueRow, row_of
from triage.records import Problem
from triage.remarks import Remark, due, merged, wanted
from triage.report import CommentKind

# Our block is written anew at most so often, however often a problem fails: each edit shows in the issue's activity.
REFRESH = timedelta(hours=1)


# An issue is closed and reopened by us so often within an hour at most, each time with a comment: whatever closes it again
# and again (another program, another airtriage) would make us talk without end.
TURNS, _TURNED = 6, timedelta(hours=1)


class Words(Protocol):
    """What an issue says; `words` makes it of what is known, tests of little."""

    def edition(self, problem: str) -> str:
        """Return what its text depends on beside the problem: another one where all is to be said anew. Cheap."""

    def now(self, problem: str) -> QueueRow | None:
        """Return a problem as it is by now; None where it has no failures of its own any more."""

    def draft(self, row: QueueRow, judged: Judgement) -> Draft:
        """Return the issue to be opened, all but the assignee; its description holds the marker."""

    def storm(self, id: str, waiting: Sequence[QueueRow], labels: tuple[str, ...]) -> Draft:
        """Return the issue that sums up a storm; what waits may be nothing any more."""

    def marked(self, description: str) -> str | None:
        """Return the id of the problem that an issue is the mirror of, by its description."""

    def block(self, row: QueueRow) -> str:
        """Return our part of the description; the same as long as nothing new is to be said."""

    def retitled(self, title: str, sent: str) -> str | None:
        """Return a title of ours, `sent` as such, without what must not leave any more; None where nothing is to be done."""

    def refreshed(self, description: str, block: str) -> str | None:
        """Return a description with our part replaced; None where there is nothing to replace."""

    def comment(self, row: QueueRow, remark: Remark) -> str:
        """Return a comment, its key hidden in it."""

    def is_said(self, text: str, remark: Remark) -> bool:
        """Say whether a comment that was read is this one, by its key."""


@dataclass(slots=True)
class Telling:
    """Tells the issues of one project; `written` are the problems whose issues were changed by it, not only looked at."""

    ledger: Ledger
    issues: Issues
    hearing: Hearing
    words: Words
    clock: Callable[[], datetime]
    written: set[str] = field(default_factory=set)

    @property
    def _project(self) -> str:
        return self.hearing.tracker.project

    def is_due(self, mirror: Mirror, row: QueueRow, now: datetime) -> bool:
        """Say whether an issue is to be told anything now; cheap, as it is asked for every problem at every round."""
        if mirror.next_at is not None and now < mirror.next_at:
            return False
        if wanted(row.problem, mirror) != mirror.is_open or mirror.saying or due(row, mirror, now):
            return True
        return stamp(row, self.words.edition(row.problem.id)) != mirror.told and (
            mirror.written_at is None or now - mirror.written_at >= REFRESH
        )

    def tell(self, mirror: Mirror, row: QueueRow) -> None:
        """Bring an issue up to its problem; what a person did there meanwhile is heard first, and goes before."""
        issue = self.issues.issue(self._project, mirror.iid)
        mirror = self.hearing.hear(mirror, issue)
        if issue.id != mirror.issue_id or issue.moved_to is not None:
            return
        found = self.words.now(mirror.problem)
        if found is None:
            return
        row = found
        if (until := self._held(mirror.problem, row)) is not None:
            self._save(mirror.problem, next_at=until)
            return
        remarks = due(row, self._mirror(mirror.problem)[0], self.clock())
        for remark in remarks:
            self._remark(row, remark)
        if self._mirror(mirror.problem)[0].saying not in {remark.key for remark in remarks}:
            self._save(mirror.problem, saying="", saying_at=None)  # it was not to be said any more
        self._turn(mirror.problem, row)
        if mirror.title and (title := self.words.retitled(issue.title, mirror.title)) is not None:
            self._edit(mirror, title=title)
            self._save(mirror.problem, title=title)
        self._refresh(mirror.problem, row)

    def _held(self, problem: str, row: QueueRow) -> datetime | None:
        """Return until when an issue is not turned, as we turned it too often; None where nothing holds it back."""
        mirror, _ = self._mirror(problem)
        if wanted(row.problem, mirror) == mirror.is_open or len(mirror.turned) < TURNS:
            return None
        until = mirror.turned[0] + _TURNED
        return until if until > self.clock() else None

    def _turn(self, problem: str, row: QueueRow) -> None:
        mirror, _ = self._mirror(problem)
        if (is_open := wanted(row.problem, mirror)) != mirror.is_open:
            self._edit(mirror, is_open=is_open)
            self._save(problem, is_open=is_open, turned=(*mirror.turned, self.clock())[-TURNS:])

    def _refresh(self, problem: str, row: QueueRow) -> None:
        """Write our block anew, if it says something else than when it was last written."""
        mirror, _ = self._mirror(problem)
        block = self.words.block(row)
        digest = hashlib.sha256(block.encode()).hexdigest()[:16]
        if digest != mirror.block:
            issue = self.issues.issue(self._project, mirror.iid)  # right before: GitLab has no If-Match
            if is_outdated(mirror, issue):
                return  # else what a person wrote since would go
            text = self.words.refreshed(issue.description, block)
            if text is not None and text != issue.description:
                self._edit(mirror, description=text)
        self._save(
            problem,
            block=digest,
            told=stamp(row, self.words.edition(problem)),
            written_at=self.clock(),
            attempts=0,
            next_at=None,
            said="" if mirror.attempts else mirror.said,  # what was refused is done now
            dags=mirror.dags or len(row.dags),
        )

    def _remark(self, row: QueueRow, remark: Remark) -> None:
        """Make a comment, once: looked for by its key before, and after a lost answer only once it was done and would show."""
        problem, now = remark.problem, self.clock()
        mirror, _ = self._mirror(problem)
        if mirror.saying == remark.key and mirror.saying_at is not None and now - mirror.saying_at < 2 * WAIT:
            return
        if any(self.words.is_said(note.body, remark) for note in self.issues.notes(self._project, mirror.iid)):
            self._said(row, remark)
            return
        self._save(problem, saying=remark.key, saying_at=now)
        try:
            self.issues.comment(self._project, mirror.iid, self.words.comment(row, remark))
            self.written.add(problem)
        except GitLabUnsure:
            raise
        except GitLabError:
            self._save(problem, saying="", saying_at=None)
            raise
        self._said(row, remark)

    def _said(self, row: QueueRow, remark: Remark) -> None:
        mirror, _ = self._mirror(remark.problem)
        dags = len(row.dags) if remark.kind is CommentKind.SPREAD else mirror.dags
        self._save(remark.problem, comments=(*mirror.comments, remark.key), saying="", saying_at=None, dags=dags)

    def merged(self, mirror: Mirror, problem: Problem, heir: Problem) -> None:
        """Close the issue of a problem that was merged away, once, with a word; whoever reopens it has a reason."""
        remark = merged(problem, heir)
        if remark.key in mirror.comments:
            return
        self._remark(row_of(problem, [], Beside(), self.clock()), remark)
        mirror, _ = self._mirror(problem.id)
        if remark.key in mirror.comments and mirror.is_open:
            self._edit(mirror, is_open=False)
            self._save(problem.id, is_open=False)

    def _edit(self, mirror: Mirror, **changes: Any) -> None:
        self.issues.edit(self._project, mirror.iid, **changes)
        self.written.add(mirror.problem)

    def _mirror(self, problem: str) -> tuple[Mirror, int]:
        found = self.ledger.mirror(problem)
        assert found is not None
        return found

    def _save(self, problem: str, **changes: object) -> None:
        mirror, revision = self._mirror(problem)
        changed = replace(mirror, **changes)  # type: ignore[arg-type]
        if changed != mirror:
            self.ledger.save(changed, revision)


def stamp(row: QueueRow, edition: str) -> str:
    """Return a digest of what an issue says of a problem, without making its text; `edition` is that of its words."""
    its = row.problem
    heals = row.outcome is not None and row.outcome.kind is OutcomeKind.HEALS  # all that is said of how its tasks fared
    said = (
        edition,
        row.total,
        row.final,
        row.dags,
        row.owner,
        its.state,
        its.state_at,
        its.reason,
        its.title,
        row.outcome.said if row.outcome is not None and heals else "",
    )
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]
