"""The one issue that sums up a storm: more problems than a project may have new issues within an hour.

Its id is made of the project, so there is one a project, opened by the same protocol as any; each storm opens it again, and
its end closes it. Written anew every ten minutes at most, never commented on. Whoever closes it has peace until the next storm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from triage.hearing import Hearing, is_outdated
from triage.issues import Draft, Issues
from triage.ledger import Ledger
from triage.mirrors import MirrorStatus
from triage.queue import QueueRow
from triage.records import storm_id
from triage.telling import Words

_REFRESH = timedelta(minutes=10)


@dataclass(slots=True)
class Storm:
    """The storm over one project: the problems that wait for room under its cap."""

    ledger: Ledger
    issues: Issues
    hearing: Hearing
    words: Words
    clock: Callable[[], datetime]
    waiting: Sequence[QueueRow]
    labels: tuple[str, ...]

    @property
    def id(self) -> str:
        return storm_id(self.hearing.tracker.id)

    def draft(self) -> Draft | None:
        """Return the issue; None once nothing waits."""
        return self.words.storm(self.id, self.waiting, self.labels) if self.waiting else None

    def tell(self) -> None:
        """Bring the issue up to what waits, if there is one."""
        found = self.ledger.mirror(self.id)
        if found is None or found[0].status is not MirrorStatus.LINKED:
            return
        if found[0].project != self.hearing.tracker.project:
            return  # moved away by people: it is theirs, and its number is another issue's here
        mirror, now = found[0], self.clock()
        told = _digest(self.waiting)
        is_new, is_over = bool(told and not mirror.told), not told
        is_early = mirror.written_at is not None and now - mirror.written_at < _REFRESH
        if told == mirror.told or (is_early and not is_new and not is_over):
            return
        project = self.hearing.tracker.project
        known, mirror = mirror, self.hearing.hear(mirror, self.issues.issue(project, mirror.iid))
        if (mirror.status, mirror.issue_id) != (known.status, known.issue_id):
            return  # moved right now
        block = self.words.storm(self.id, self.waiting, self.labels).description.rstrip("\n")
        issue = self.issues.issue(project, mirror.iid)  # right before: GitLab has no If-Match
        if is_outdated(mirror, issue):
            return
        is_open = True if is_new and not issue.is_open else False if is_over and issue.is_open else None
        text = self.words.refreshed(issue.description, block)
        if is_open is not None or (text is not None and text != issue.description):
            self.issues.edit(project, mirror.iid, is_open=is_open, description=text)
        again = self.ledger.mirror(self.id)
        assert again is not None
        is_open_now = issue.is_open if is_open is None else is_open
        self.ledger.save(replace(again[0], told=told, written_at=now, is_open=is_open_now), again[1])


def _digest(waiting: Sequence[QueueRow]) -> str:
    ids = ",".join(sorted(row.problem.id for row in waiting))
    return hashlib.sha256(ids.encode()).hexdigest()[:16] if ids else ""
