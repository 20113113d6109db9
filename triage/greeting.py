"""Who we are in a GitLab project, and what the project is called by now.

A token may be made anew, a project renamed, moved away, or made anew under the same path. Owns what that does to what is
known of it: links hold by the project's number, and names that lead to one number are one. Whoever runs this holds the
project's lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from triage.errors import GitLabGone
from triage.issues import PLANNER, Desk, Issues
from triage.lease import lease
from triage.ledger import Ledger
from triage.mirrors import MirrorStatus, Tracker
from triage.places import Place
from triage.watched import Trouble

_GREET = timedelta(hours=1)  # how often is asked anew who we are in a project
FORMER = 5  # users of former tokens, and labels, that issues are looked for by


@dataclass(frozen=True, slots=True)
class Greeting:
    """Introduces us to one project; `names` maps every name of a project to the one that stands for all."""

    ledger: Ledger
    issues: Issues
    names: Mapping[Place, Place]
    clock: Callable[[], datetime]

    def greet(self, tracker: Tracker, *, anew: bool) -> Tracker:
        """Ask who we are: once an hour, after a trouble, and where `anew` is said, as the token may be another by now.

        Says what our role there does not allow.
        """
        now, asked = self.clock(), tracker.greeted_at
        if asked is not None and now - asked < _GREET and not tracker.failures and not anew:
            self.issues.know(tracker.project, tracker.project_id)
            return tracker
        desk, troubles = self._desk(tracker)
        if tracker.project_id not in (0, desk.project_id):
            tracker = self._part(tracker)
        self.issues.know(tracker.project, desk.project_id)
        if tracker.bot_id not in (0, desk.bot_id):
            former = [tracker.bot_id, *(one for one in tracker.bots if one != desk.bot_id)]
            tracker = replace(tracker, bots=tuple(former[:FORMER]))
        if desk.role is not None and desk.role < PLANNER:
            what = f"{desk.bot} is a Guest in {tracker.project}: GitLab leaves labels and assignee out without a word."
            troubles += (Trouble(what, "Give the token's user the role Reporter."),)
        return replace(
            tracker, project_id=desk.project_id, web_url=desk.web_url, bot=desk.bot, bot_id=desk.bot_id,
            greeted_at=now, troubles=troubles,
        )  # fmt: skip

    def _desk(self, tracker: Tracker) -> tuple[Desk, tuple[Trouble, ...]]:
        """Ask for the project by its name; by its number, where it had the name and nothing has it any more."""
        try:
            return self.issues.desk(tracker.project), ()
        except GitLabGone:
            if not tracker.project_id:
                raise
            with suppress(GitLabGone):
                desk = self.issues.desk(str(tracker.project_id))
                told = Trouble(f"{tracker.project} is {desk.web_url} by now.", "Correct gitlab.project or the route.")
                return desk, (told,)
            raise

    def _part(self, tracker: Tracker) -> Tracker:
        """Leave what is known of another project, which had this name, to its number; of this one nothing is known yet."""
        for mirror in self.ledger.mirrors(tracker):
            found = self.ledger.mirror(mirror.problem)
            if found is not None and (mirror.status is not MirrorStatus.INTENDED or mirror.sent_at is not None):
                self.ledger.save(replace(found[0], project=str(tracker.project_id)), found[1])
        return Tracker(tracker.gitlab, tracker.project, steady_at=self.clock(), labels=tracker.labels)

    def gather(self, tracker: Tracker) -> Tracker:
        """Take over what stands under other names of the project, unless another process works by such a name just now."""
        here = (tracker.gitlab, tracker.project)
        for gitlab, project in [name for name, stands in self.names.items() if stands == here and name != here]:
            other, _ = self.ledger.tracker(gitlab, project)
            mirrors = self.ledger.mirrors(other)
            if not mirrors:
                continue
            with lease(self.ledger.service.store, other.id, self.clock) as renew:
                if renew is None:
                    continue
                for mirror in mirrors:
                    found = self.ledger.mirror(mirror.problem)
                    if found is not None and found[0].project == project:
                        self.ledger.save(replace(found[0], project=tracker.project), found[1])
            heard = [at for at in (tracker.read_until, other.read_until) if at is not None]
            tracker = replace(tracker, read_until=min(heard, default=None))
        return tracker
