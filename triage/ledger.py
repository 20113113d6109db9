"""What the store holds of GitLab issues: mirrors and trackers, read and saved by their revision, and a problem's link.

The thin shell that opening, hearing and telling share. Decides nothing; a lost race is StaleProblem, and is for whoever
asked to give up, as the winner goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from triage.mirrors import Mirror, MirrorStatus, Tracker
from triage.redact import facts
from triage.service import Service


@dataclass(frozen=True, slots=True)
class Ledger:
    """The records of one store about GitLab issues."""

    service: Service

    def mirror(self, problem: str) -> tuple[Mirror, int] | None:
        """Return what is known of a problem's issue, and the revision; None where nothing is."""
        return self.service.store.get(Mirror, problem)

    def mirrors(self, tracker: Tracker) -> list[Mirror]:
        """Return the mirrors in one project."""
        return [mirror for mirror, _ in self.service.store.records(Mirror, parent=tracker.id)]

    def save(self, mirror: Mirror, revision: int | None) -> int:
        """Save against the revision read and return the new one; StaleProblem where somebody else did."""
        return self.service.store.save(facts.record(self.service.redactor, mirror), revision)

    def forget(self, mirror: Mirror, revision: int) -> None:
        """Forget an intent of which nothing was sent."""
        self.service.store.delete(Mirror, mirror.problem, revision)

    def linked(self, mirror: Mirror, now: datetime) -> None:
        """Keep the issue's address with the problem, and in its history; may be repeated."""
        if mirror.status is MirrorStatus.LINKED:
            self.service.mirrored(mirror.problem, mirror.web_url, now, mirror.asked_by or "airtriage")

    def tracker(self, gitlab: str, project: str) -> tuple[Tracker, int | None]:
        """Return what is known of a project, and the revision; None for one that is not stored yet."""
        fresh = Tracker(gitlab, project)
        return self.service.store.get(Tracker, fresh.id) or (fresh, None)

    def save_tracker(self, tracker: Tracker, revision: int | None) -> int:
        """Save against the revision read and return the new one; StaleProblem where somebody else did."""
        return self.service.store.save(facts.record(self.service.redactor, tracker), revision)
