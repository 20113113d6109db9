"""What comes back from GitLab: an issue that people closed, reopened, assigned, labelled, moved or deleted.

Owns how both sides agree. Each remembers what they last agreed on, so the side that differs from that has changed since;
where people decided on both, who did so last counts. What our own user did never counts as a person's. Decides about
problems through the service alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from triage import lifecycle
from triage.errors import GitLabGone, GitLabRefused, InputError, StaleProblem
from triage.issues import Issue, Issues, Note, Turn
from triage.ledger import Ledger
from triage.mirrors import Mirror, MirrorStatus, Tracker
from triage.owners import NOBODY
from triage.records import Problem, TriageState
from triage.remarks import wanted

ORIGIN = "GitLab"
# The reason of a problem that is as it is because a person turned its issue, as `Hearing` writes it.
_FROM_THERE = re.compile(r"(?:closed|reopened) #\d+ in GitLab on ")
# How a history tells that a problem opened, or opened again.
_OPENING = ("opened", "regressed", "reopened")
# How long the history of an issue may lag behind the issue itself; an imported issue has none at all.
_BEHIND = timedelta(minutes=5)
# A webhook is quicker than a replica: the comment that it told of may not be in a list yet.
_FRESH = timedelta(minutes=1)
Listen = Callable[[Problem, Issue, Note], None]


@dataclass(slots=True)
class Hearing:
    """Listens to the issues of one project. `listen` is told of each new comment by a person, the oldest first."""

    ledger: Ledger
    issues: Issues
    tracker: Tracker
    clock: Callable[[], datetime]
    listen: Listen | None = None

    def hear(self, mirror: Mirror, issue: Issue) -> Mirror:
        """Bring a problem up to its issue as it was answered now, and return the mirror as it is then saved."""
        if is_outdated(mirror, issue):
            return mirror
        if issue.id != mirror.issue_id:  # an owner may give the number of a deleted one to another
            return self.lose(mirror, f"#{mirror.iid} of {self.tracker.project} is another issue by now")
        if issue.moved_to is not None:
            return self._follow(mirror, issue)
        mirror = self.agree(mirror, issue)
        if issue.assignee != mirror.assignee or issue.labels != mirror.labels:
            mirror = self._assigned(mirror, issue)
        if issue.updated_at != mirror.updated_at or mirror.is_fresh:
            mirror = self._commented(mirror, issue)
        return mirror

    def agree(self, mirror: Mirror, issue: Issue) -> Mirror:
        """Take a person's closing or reopening over to the problem, unless both sides say the same already."""
        problem = self._problem(mirror)
        if problem is not None and wanted(problem, mirror) != mirror.is_open and self._came_from_there(problem):
            mirror = self._saved(mirror, is_open=wanted(problem, mirror))  # broken off before this was kept
        if issue.is_open == mirror.is_open:
            if (
                problem is not None
                and not problem.merged_into
                and wanted(problem, mirror) != issue.is_open
                and (undid := self._undid(mirror, issue))
            ):
                self._decide(problem, issue, undid)
            return mirror
        if problem is not None and not problem.merged_into and wanted(problem, mirror) != issue.is_open:
            turn = self._turn(issue)
            if not self.tracker.is_ours(turn.who_id):  # our own, and the problem changed since: it is told
                self._decide(problem, issue, turn)
        return self._saved(mirror, is_open=issue.is_open)

    def _came_from_there(self, problem: Problem) -> bool:
        """Say whether a problem is as it is because of its issue: then the issue is never turned for that."""
        return _FROM_THERE.match(problem.reason) is not None

    def _turn(self, issue: Issue) -> Turn:
        if not issue.is_open and issue.closed_at is not None and issue.closed_by:
            return Turn(False, issue.closed_by, issue.closed_at, issue.closed_by_id)
        turns = self._turns(issue)
        if turns and turns[-1].is_open == issue.is_open:
            return turns[-1]
        if turns and self.clock() - issue.updated_at < _BEHIND:
            raise StaleProblem(issue.web_url)  # who did it shows as soon as the history does not lag any more
        return Turn(issue.is_open, "somebody", issue.updated_at)

    def _undid(self, mirror: Mirror, issue: Issue) -> Turn | None:
        """Return a person's turning back of what they or we turned unheard; None where there is none.

        A turn that was heard may be dated right behind what was heard of its issue; it decides nothing twice.
        """
        if mirror.updated_at is None or issue.updated_at <= mirror.updated_at:
            return None
        unheard = [turn for turn in self._turns(issue) if turn.at > mirror.updated_at]
        if not unheard or self.tracker.is_ours(unheard[-1].who_id):
            return None
        if unheard[-1].is_open != issue.is_open:
            raise StaleProblem(issue.web_url)  # the history lags
        return unheard[-1]

    def _turns(self, issue: Issue) -> list[Turn]:
        return self.issues.turns(self.tracker.project, issue.iid)

    def _decide(self, problem: Problem, issue: Issue, turn: Turn) -> None:
        """Resolve or reopen as the person did, as of when they did; done once, whatever breaks off in between.

        What a person decided here since stands.
        """
        by_person = problem.state_by != lifecycle.AIRTRIAGE
        if by_person and self.ledger.service.server_now(problem.scope, turn.at) < problem.state_at:
            return
        done = "reopened" if turn.is_open else "closed"
        why = f"{done} #{issue.iid} in GitLab on {turn.at:%Y-%m-%d %H:%M:%S} UTC"
        history = self.ledger.service.history(problem)
        if any(change.origin == ORIGIN and change.why.startswith(why) for change in history):
            return
        service, who, at = self.ledger.service, turn.who or "somebody", min(self.clock(), turn.at)
        try:
            if turn.is_open:
                service.reopen(problem.id, who, at, why, ORIGIN)
            elif not self._fixed(problem, issue, who, at, why):
                service.closed(problem.id, who, at, why, ORIGIN)
        except InputError:
            return  # somebody was faster, with the same
        service.wake(problem.id, self.clock())

    def _fixed(self, problem: Problem, issue: Issue, who: str, at: datetime, why: str) -> bool:
        """Resolve a problem in the next deploy, if a merge request that closes its issue was merged; else say False.

        What is merged is not deployed yet: until then older code fails still, which is no regression. False too where no try
        names a deploy (Airflow 2), and for what is muted with another end.
        """
        if problem.state is TriageState.MUTED:
            return False
        try:
            fixes = self.issues.fixes(self.tracker.project, issue.iid)
        except (GitLabGone, GitLabRefused) as exc:
            if isinstance(exc, GitLabRefused) and exc.status != 403:
                raise
            return False  # a project may have issues and no merge requests, or not for us
        fix = fixes[-1] if fixes else None
        if fix is None or fix.merged_at <= self._open_since(problem):
            return False  # what was merged before it failed again fixed it no more than that
        why = f"{why} by merge request !{fix.iid}, merged by {fix.merged_by or 'somebody'}"
        try:
            self.ledger.service.resolve(problem.id, who, at, why, ORIGIN, next_deploy=True, fix=fix)
        except InputError:
            return False
        return True

    def _open_since(self, problem: Problem) -> datetime:
        """Return when a problem was opened, came back or was reopened, whichever was last."""
        history = self.ledger.service.history(problem)
        return next((one.at for one in history if one.what in _OPENING), problem.opened_at)

    def _assigned(self, mirror: Mirror, issue: Issue) -> Mirror:
        """Take over whom a person gave the issue to, and that nobody has it any more who had it so."""
        problem, given = self._problem(mirror), issue.assignee != mirror.assignee
        is_theirs = problem is not None and problem.owner == f"@{mirror.assignee}"
        if problem is not None and given and (issue.assignee or is_theirs):
            name = f"@{issue.assignee}" if issue.assignee else NOBODY
            with suppress(InputError):  # it stands so already
                service, at = self.ledger.service, self.clock()
                service.assign(problem.id, name, "somebody", at, f"as #{issue.iid} in GitLab is", ORIGIN)
        return self._saved(mirror, assignee=issue.assignee, labels=issue.labels)

    def _commented(self, mirror: Mirror, issue: Issue) -> Mirror:
        """Listen to what people wrote since; then the issue counts as heard."""
        heard = self._listened(mirror, issue)
        is_fresh = self.clock() - issue.updated_at < _FRESH
        return self._saved(mirror, heard=heard, updated_at=issue.updated_at, is_fresh=is_fresh)

    def _listened(self, mirror: Mirror, issue: Issue) -> int:
        """Listen to what people wrote since, and return the id of the newest comment."""
        heard = mirror.heard
        problem = self._problem(mirror)
        if self.listen is not None and problem is not None:
            for note in self.issues.notes(self.tracker.project, mirror.iid, after=mirror.heard):
                if not note.is_system and not self.tracker.is_ours(note.author_id):
                    self.listen(problem, issue, note)
                heard = max(heard, note.id)
        return heard

    def _follow(self, mirror: Mirror, issue: Issue) -> Mirror:
        """Go where an issue was moved to; where we may not look, it is lost."""
        assert issue.moved_to is not None
        target = self.issues.moved(issue)
        if target is None and self.clock() - issue.updated_at < _BEHIND:
            return mirror  # a replica may not show it yet; it is listened to again
        if target is None:
            return self.lose(mirror, f"#{mirror.iid} was moved to a project that the token may not see")
        written = self._written(self.tracker.project, mirror.iid)
        came = _copies(written, self._written(str(target.project_id), target.iid))
        if len(came) < len(written) and self.clock() - issue.updated_at < _BEHIND:
            return mirror  # the same of its comments
        self._listened(mirror, issue)  # to what was said until then; there each has another number
        moved = self._saved(
            mirror, project=str(target.project_id), project_id=target.project_id, issue_id=target.id, iid=target.iid,
            web_url=target.web_url, updated_at=target.created_at, heard=max(came, default=0),
        )  # fmt: skip
        self.ledger.linked(moved, self.clock())
        return moved

    def _written(self, project: str, iid: int) -> list[Note]:
        return [note for note in self.issues.notes(project, iid) if not note.is_system]

    def lose(self, mirror: Mirror, why: str) -> Mirror:
        """Keep that an issue is gone: no other is opened for its problem, unless a person says so."""
        fix = f"airtriage link {mirror.problem} URL names another, airtriage unlink {mirror.problem} parts them."
        return self._saved(mirror, status=MirrorStatus.LOST, said=f"{why}. {fix}")

    def gone(self, mirror: Mirror) -> Mirror:
        """Judge an issue that was answered with 404: it is gone, if its project is still there."""
        try:
            self.issues.desk(str(self.tracker.project_id or self.tracker.project))
            issue = self.issues.issue(self.tracker.project, mirror.iid)
        except GitLabGone as exc:
            if "project" in exc.what and "issue" not in exc.what:
                raise
            return self.lose(mirror, f"#{mirror.iid} is gone from {self.tracker.project}, or the token may not see it")
        return self.hear(mirror, issue)

    def _problem(self, mirror: Mirror) -> Problem | None:
        found = self.ledger.service.store.get(Problem, mirror.problem)
        return found[0] if found else None

    def _saved(self, mirror: Mirror, **changes: object) -> Mirror:
        found = self.ledger.mirror(mirror.problem)
        assert found is not None
        changed = replace(found[0], **changes)  # type: ignore[arg-type]
        if changed != found[0]:
            self.ledger.save(changed, found[1])
        return changed


def _copies(written: list[Note], found: list[Note]) -> list[int]:
    """Return the ids of the comments that came along with an issue, of those found where it is now.

    By author, and time or text: a reference in one is written anew, and whether the time stays was not tried.
    """
    times = {(note.author_id, note.created_at) for note in written}
    texts = Counter((note.author_id, note.body) for note in written)
    copies = []
    for note in found:
        if (note.author_id, note.created_at) in times or texts[note.author_id, note.body] > 0:
            texts[note.author_id, note.body] -= 1
            copies.append(note.id)
    return copies


def is_outdated(mirror: Mirror, issue: Issue) -> bool:
    """Say whether an issue is as it was before what is known of it: the answer of a replica that lags."""
    return mirror.updated_at is not None and issue.updated_at < mirror.updated_at
