"""What a pass did, for whoever started it: counts, what is still to be done, and what went wrong in sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from triage.errors import SourceError
from triage.store import Backlog
from triage.watched import Gap, Trouble


@dataclass(slots=True)
class Report:
    """What a pass did, or has done so far.

    `skipped`: another pass over the deployment was under way. `is_listed`: at least one of the two listings was read up
    to now. `gaps` is what was missed, `backlog` the logs that still wait afterwards.
    """

    deployment: str
    skipped: bool = False
    listed: int = 0
    new: int = 0
    fetched: int = 0
    is_listed: bool = False
    gaps: tuple[Gap, ...] = ()
    backlog: Backlog = field(default_factory=lambda: Backlog(0, 0, None))
    troubles: list[Trouble] = field(default_factory=list)

    def trouble(self, exc: SourceError) -> None:
        """Note an error an operator can fix, once."""
        trouble = Trouble(exc.what, exc.fix)
        if trouble not in self.troubles:
            self.troubles.append(trouble)


Progress = Callable[[Report], None]
