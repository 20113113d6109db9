"""Exactly one issue for a problem: the protocol by which one is opened, or found again, in one project of a GitLab.

GitLab takes no key that would make opening an issue idempotent. So an intent is saved before anything is sent; issues are
looked for by the marker that each carries before one is opened; one is sent once, never again by itself; and where the
answer is lost, nothing is sent before two looks, a minute apart, found none. Whoever runs this holds the project's lease.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from triage.errors import GitLabError, GitLabGone, GitLabRefused, StaleProblem, TriageError
from triage.issues import Draft, Issue, Issues
from triage.ledger import Ledger
from triage.mirrors import Mirror, MirrorStatus, Tracker

# How long a sent issue may take to be made and to show in a list: a GitLab server gives a request up after 60 s
# (puma's worker time-out as its documentation has it), and replicas lag by seconds.
WAIT = timedelta(seconds=61)
# A store restored from a copy has lost what it knew since; who was silent for longer than four ticks may be on one.
SILENCE = timedelta(minutes=2)
# Between the save of "now it is sent" and the sending; later than this it is left to the look for it.
_SOON = timedelta(seconds=10)
# How far behind the newest issue seen is looked again: lists of replicas that lag, and clocks of several servers.
_MARGIN = timedelta(minutes=10)
# Where GitLab refuses and does not say for how long (facts of its rate limits: headers may be missing).
_PAUSE = timedelta(seconds=60)
_LONGEST_PAUSE = timedelta(minutes=10)
_LONGEST_SAID = 3600.0  # seconds that GitLab may ask for at once, whatever a proxy writes into Retry-After


@dataclass(slots=True)
class Opening:
    """The protocol on one project. `marked` says which problem an issue is the mirror of, by its description.

    `renew` raises once the lease is lost. `labels` are those that an issue of ours may be found by.
    """

    ledger: Ledger
    issues: Issues
    tracker: Tracker
    clock: Callable[[], datetime]
    renew: Callable[[], None]
    marked: Callable[[str], str | None]
    labels: Sequence[str]
    looked_at: datetime | None = field(default=None, init=False)

    def look(self) -> list[tuple[Mirror, Issue]]:
        """Find the issues that were made since the last look, and link each to its problem, known here or not yet.

        Returns the links that are new: what happened to those issues since they were opened is still to be heard.
        """
        self.renew()
        at, project, tracker = self.clock(), self.tracker.project, self.tracker
        since = tracker.found_until and tracker.found_until - _MARGIN
        # A token made anew is another user's: what the former ones opened is found by their names, or else by the labels.
        ours = [one for bot in (tracker.bot_id, *tracker.bots) for one in self.issues.made(project, since, by=bot)]
        labelled = [one for label in self.labels for one in self.issues.made(project, since, label=label)]
        strays = [issue for issue in ours if self.marked(issue.description) is None]
        linked = {
            one.issue_id: one.problem for one in self.ledger.mirrors(self.tracker) if one.status is MirrorStatus.LINKED
        }
        found: dict[str, dict[int, Issue]] = {}
        for issue in (*ours, *labelled):
            problem = self.marked(issue.description)
            if problem and linked.get(issue.id, problem) == problem:  # people copy our block into another's issue
                found.setdefault(problem, {})[issue.iid] = issue
        adopted = [new for problem, its in sorted(found.items()) if (new := self._adopt(problem, its))]
        adopted += self._recognised(strays)
        # GitLab lets an owner date an issue, into the future too: behind that we would never look again.
        newest = max((min(issue.created_at, at) for issue in (*ours, *labelled)), default=tracker.found_until)
        self.tracker = replace(tracker, found_until=max(filter(None, (newest, tracker.found_until)), default=None))
        self.looked_at = at
        return adopted

    def _adopt(self, problem: str, found: dict[int, Issue]) -> tuple[Mirror, Issue] | None:
        """Link the oldest of the issues of a problem, and close the others of ours; the link in the store goes before."""
        mirror, revision = self.ledger.mirror(problem) or (None, None)
        if mirror is not None and mirror.status in (MirrorStatus.LOST, MirrorStatus.UNLINKED):
            return None
        adopted = None
        if mirror is None or mirror.status is MirrorStatus.INTENDED:
            first = min(found.values(), key=lambda issue: (not self.tracker.is_ours(issue.author_id), issue.iid))
            mirror = self.link(mirror or self._intent(problem, first.created_at), revision, first)
            adopted = mirror, first
        for issue in found.values():
            is_ours = self.tracker.is_ours(issue.author_id) and issue.moved_to is None
            if issue.id != mirror.issue_id and is_ours and issue.is_open:
                self._close_extra(problem, issue)
        return adopted

    def _close_extra(self, problem: str, issue: Issue) -> None:
        """Close an issue that was opened twice, once: whoever reopens it has a reason."""
        found = self.ledger.mirror(problem)
        key = extra_key(issue.id)
        if found is None or key in found[0].comments:
            return
        self.issues.edit(self.tracker.project, issue.iid, is_open=False)
        self.ledger.save(replace(found[0], comments=(*found[0].comments, key)), found[1])
        text = f"This problem had an issue already, {found[0].web_url}, so airtriage closes this one."
        self.issues.comment(self.tracker.project, issue.iid, text)

    def _intent(self, problem: str, at: datetime) -> Mirror:
        return Mirror(problem, self.tracker.gitlab, self.tracker.project, MirrorStatus.INTENDED, at)

    def intend(self, problem: str) -> bool:
        """Save the intent to open an issue; False where there is one, or a link."""
        try:
            self.ledger.save(self._intent(problem, self.clock()), None)
        except StaleProblem:
            return False
        return True

    def is_steady(self, now: datetime) -> bool:
        """Say whether this project was asked long enough without a silence, so that nothing made before is unknown."""
        since = self.tracker.steady_at
        return since is not None and now - since >= WAIT

    def proceed(self, problem: str, draft: Callable[[], Draft | None]) -> bool:
        """Go one step on with an intent, and say whether its issue was opened.

        `draft` returns None where the problem deserves no issue any more. Raises what GitLab answered where it is not to be asked on; the intent says by then what is known.
        """
        found = self.ledger.mirror(problem)
        now = self.clock()
        if found is None or found[0].status is not MirrorStatus.INTENDED or self.looked_at is None:
            return False
        mirror, revision = found
        if mirror.next_at is not None and now < mirror.next_at:
            return False
        if mirror.sent_at is not None:
            reckoned = self._reckon(mirror, self.looked_at)
            revision = self.ledger.save(reckoned, revision)
            mirror = reckoned
        if mirror.sent_at is None and (mirror.next_at is None or now >= mirror.next_at) and self.is_steady(now):
            said = draft()
            if said is None:
                self.ledger.forget(mirror, revision)
            else:
                return self._send(mirror, revision, said)
        return False

    def _recognised(self, strays: Iterable[Issue]) -> list[tuple[Mirror, Issue]]:
        """Link the issues that were sent, though a person took their marker out before that was known.

        By the title, or the problem's id in the text (that of the link to our page).
        """
        mirrors = self.ledger.mirrors(self.tracker)
        linked = {one.issue_id for one in mirrors}
        links = []
        for mirror in mirrors:
            if mirror.status is not MirrorStatus.INTENDED or mirror.sent_at is None:
                continue
            since, revision = mirror.sent_at - _MARGIN, self._revision(mirror)
            recent = [one for one in strays if one.created_at >= since and one.id not in linked]
            same = [one for one in recent if one.title == mirror.title or mirror.problem in one.description]
            if same and revision is not None:
                first = min(same, key=lambda one: one.iid)
                links.append((self.link(mirror, revision, first), first))
                linked.add(first.id)
        return links

    def _revision(self, mirror: Mirror) -> int | None:
        found = self.ledger.mirror(mirror.problem)
        return found[1] if found is not None and found[0] == mirror else None

    @staticmethod
    def _reckon(mirror: Mirror, looked: datetime) -> Mirror:
        """Judge a look that found nothing: the second one a minute after the first says that nothing was made."""
        assert mirror.sent_at is not None
        if looked - mirror.sent_at < WAIT:
            return replace(mirror, next_at=mirror.sent_at + WAIT)
        if mirror.looked_at is None or looked - mirror.looked_at < WAIT:
            first = mirror.looked_at or looked
            return replace(mirror, looked_at=first, next_at=first + WAIT)
        return replace(mirror, sent_at=None, looked_at=None, next_at=None)

    def _send(self, mirror: Mirror, revision: int, draft: Draft) -> bool:
        at = self.clock()
        sent = replace(
            mirror,
            sent_at=at,
            looked_at=None,
            attempts=mirror.attempts + 1,
            next_at=at + WAIT,
            said="",
            title=draft.title,
        )
        revision = self.ledger.save(sent, revision)  # whoever else had the same intent is refused here
        self.renew()
        if self.clock() - at > _SOON:
            return False
        try:
            issue = self.issues.open(self.tracker.project, draft)
        except (GitLabRefused, GitLabGone) as exc:  # nothing was made
            now = self.clock()
            self.ledger.save(
                replace(sent, sent_at=None, next_at=now + pause(exc, sent.attempts), said=str(exc)), revision
            )
            raise
        except GitLabError as exc:
            self.ledger.save(replace(sent, said=str(exc)), revision)
            raise
        self.link(sent, revision, issue, draft)
        return True

    def link(self, mirror: Mirror, revision: int | None, issue: Issue, draft: Draft | None = None) -> Mirror:
        """Keep that an issue is a problem's. Its state counts as open, so that one closed meanwhile is heard as closed."""
        linked = replace(
            mirror, status=MirrorStatus.LINKED, gitlab=self.tracker.gitlab, project=self.tracker.project,
            project_id=issue.project_id, issue_id=issue.id, iid=issue.iid, web_url=issue.web_url, is_open=True,
            assignee=issue.assignee, labels=issue.labels, updated_at=issue.created_at, linked_at=self.clock(),
            sent_at=None, looked_at=None, next_at=None, attempts=0, said=_dropped(draft, issue) if draft else "",
        )  # fmt: skip
        self.ledger.save(linked, revision)
        self.ledger.linked(linked, self.clock())
        return linked


def extra_key(issue: int) -> str:
    """Return what is kept among the keys of comments of an issue that is left alone, though it has our marker."""
    return f"twice:{issue}"


def _dropped(draft: Draft, issue: Issue) -> str:
    """Say what GitLab left out of an issue without a word; empty where nothing."""
    left = [f"the label {label}" for label in draft.labels if label not in issue.labels]
    if draft.assignee_id is not None and not issue.assignee:
        left.append("the assignee")
    if draft.confidential and not issue.confidential:
        left.append("that it is confidential")
    return f"GitLab left out {', '.join(left)}." if left else ""


def pause(exc: TriageError, failures: int) -> timedelta:
    """Return how long GitLab is left alone after a refusal: as it says, else a minute and longer, never at one time for all."""
    if isinstance(exc, GitLabRefused) and exc.retry_after is not None:
        said = timedelta(seconds=min(exc.retry_after, _LONGEST_SAID))
        return said + timedelta(seconds=random.uniform(0, 5))
    longer = min(_LONGEST_PAUSE, _PAUSE * 2 ** min(max(failures - 1, 0), 10)).total_seconds()
    return timedelta(seconds=longer * random.uniform(1, 1.25))


def due(mirrors: Iterable[Mirror], now: datetime) -> list[Mirror]:
    """Return the intents with which something is to be done now, the oldest first."""
    intended = (one for one in mirrors if one.status is MirrorStatus.INTENDED)
    return sorted(
        (one for one in intended if one.next_at is None or one.next_at <= now), key=lambda one: one.intended_at
    )
