"""What was missed at first, as people see it: the gaps of a cursor joined into stretches of time. Pure.

Owns how the gaps of two listings, and the parts of one, make one stretch with one place up to which all of it was read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from triage.watched import Gap


@dataclass(frozen=True, slots=True)
class Missed:
    """A stretch of the server's time that was read afterwards, or still is, from its end to its start.

    What lies after `left` was read in every listing; `left` is `since` once all of it was. `found` counts the failed
    tries known after `left`. `retry_at` (our clock) is set where Airflow gives no answer for this part; the rest goes on.
    """

    since: datetime
    until: datetime
    left: datetime
    is_first: bool
    retry_at: datetime | None = None
    found: int = 0

    @property
    def is_open(self) -> bool:
        return self.left > self.since


def join(gaps: Iterable[Gap]) -> list[Missed]:
    """Join gaps of one kind that overlap, oldest first; a part that is passed by stands alone."""
    found: list[Missed] = []
    for gap in sorted(gaps, key=lambda gap: (gap.is_first, gap.retry_at is not None, gap.since)):
        one = Missed(gap.since, gap.until, gap.left, gap.is_first, None if gap.closed_at else gap.retry_at)
        last = found[-1] if found else None
        is_same = last and (last.is_first, last.retry_at is None) == (one.is_first, one.retry_at is None)
        if last and is_same and one.since < last.until:
            found[-1] = _joined(last, one)
        else:
            found.append(one)
    return found


def _joined(one: Missed, other: Missed) -> Missed:
    left = max((part.left for part in (one, other) if part.is_open), default=one.since)
    return replace(one, until=max(one.until, other.until), left=left)
