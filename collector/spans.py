"""Which stretches of time a pass reads next: the news first, then what was missed, newest first, in slices. Pure.

Owns how a cursor moves, when a gap opens, shrinks and closes, and how long a slice is. All times are the Airflow
server's unless they are called ours; nothing here reads a clock, a store or a server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from triage.watched import Cursor, Gap, Listing

# Events become visible up to 1 s after their time; clocks of several schedulers differ by more, by how much is the hourly
# sweep's. What overlaps is listed again at every pass, four times at the default pace: of a burst of 33 failures a second
# 4,000 rows. Slices overlap by the same, so that what Airflow states of a try is read together with the try's end.
OVERLAP = timedelta(minutes=2)
# The news reach back this far at most (or three polls): what is older is a gap, read in slices behind the news.
FRESH = timedelta(hours=1)
# Once an hour three hours are read again: a part of Airflow on a host whose clock is behind writes into the past.
SWEEP_EVERY, SWEEP = timedelta(hours=1), timedelta(hours=3)
# A slice holds some hundred failures, so that a kill costs little and the news are never far. Its time says nothing: a
# slow server takes as long for an empty hour as for an empty month.
FIRST_SLICE, SHORTEST_SLICE, LONGEST_SLICE = timedelta(hours=1), timedelta(minutes=1), timedelta(days=90)
_FEW, _MANY = 200, 1000  # failed tries in a slice
# A minute that breaks off so often in a row is passed by and tried again later: the rest does not wait for it.
PATIENCE, RETRY_EVERY = 10, timedelta(hours=1)
# A gap is said for this long after it was closed.
SAID = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a gap, down to `since`, and the window to ask for, which overlaps its neighbours.

    The last part of a time in which nobody looked reaches further: nobody swept then, and what a part of Airflow whose
    clock is behind wrote in that time lies before it. What is read anew at first contact, or apart, has no such edge.
    """

    gap: Gap
    since: datetime

    @property
    def window(self) -> tuple[datetime, datetime]:
        is_edge = self.since <= self.gap.since and not self.gap.is_first and self.gap.retry_at is None
        return self.since - (SWEEP if is_edge else OVERLAP), self.gap.left + OVERLAP


def reach(cursor: Cursor, listing: Listing, offset: float, now: datetime, lookback: timedelta) -> datetime:
    """Return from when on a listing has to be read: where the last pass ended, less the overlap, or `lookback` ago.

    A clock that was set since, the server's or ours, is made good by the change of the offset between them; of two
    possible times the earlier one is right: to read something twice changes nothing.
    """
    until = cursor.until(listing)
    if until is None:
        return now - lookback
    shift = timedelta(seconds=offset - cursor.offset) if cursor.offset is not None else timedelta()
    return min(until, until + shift, now) - OVERLAP


def news(oldest: datetime, now: datetime, poll: timedelta, *, sweep: bool) -> datetime:
    """Return from when on the news are read, given how far back a listing was not read yet."""
    fresh = now - max(FRESH, 3 * poll)
    if oldest < fresh:
        return fresh
    return min(oldest, now - SWEEP) if sweep else oldest


def is_sweep_due(cursor: Cursor, our_now: datetime) -> bool:
    """Say whether it is time to read more than the news again."""
    return cursor.swept_at is None or not timedelta() <= our_now - cursor.swept_at < SWEEP_EVERY


def moved(cursor: Cursor, listing: Listing, oldest: datetime, since: datetime, now: datetime) -> Cursor:
    """Move the cursor to `now` after all since `since` was read; what lies before, back to `oldest`, becomes a gap."""
    if oldest < since:
        gap = Gap(listing, oldest, since, since, is_first=cursor.until(listing) is None)
        cursor = replace(cursor, gaps=(*cursor.gaps, gap))
    if listing is Listing.EVENTS:
        return replace(cursor, events_until=now)
    return replace(cursor, list_until=now)


def pick(cursor: Cursor, our_now: datetime, besides: set[Listing], length: timedelta) -> Slice | None:
    """Choose the slice to read next, the newest that is unread and may be tried; None when there is none."""
    gaps = [
        gap
        for gap in cursor.gaps
        if gap.closed_at is None
        and gap.listing not in besides
        and (gap.retry_at is None or gap.retry_at <= our_now or gap.retry_at > our_now + RETRY_EVERY)
    ]
    if not gaps:
        return None
    gap = max(gaps, key=lambda gap: gap.left)
    halved = max(length / 2 ** min(gap.failures, 20), SHORTEST_SLICE)
    return Slice(gap, max(gap.since, gap.left - halved))


def read(cursor: Cursor, part: Slice, our_now: datetime) -> Cursor:
    """Note that a slice was read."""
    closed = our_now if part.since <= part.gap.since else None
    return _replaced(cursor, part.gap, replace(part.gap, left=part.since, failures=0, closed_at=closed))


def broken(cursor: Cursor, part: Slice, our_now: datetime) -> Cursor:
    """Note that a slice broke off: the next attempt is at half of it; one that stays broken is left for later."""
    gap = part.gap
    if gap.retry_at is not None:
        return _replaced(cursor, gap, replace(gap, retry_at=our_now + RETRY_EVERY))
    if gap.failures + 1 < PATIENCE:
        return _replaced(cursor, gap, replace(gap, failures=gap.failures + 1))
    hole = Gap(gap.listing, part.since, gap.left, gap.left, gap.is_first, retry_at=our_now + RETRY_EVERY)
    if part.since <= gap.since:
        return _replaced(cursor, gap, hole)
    return _replaced(cursor, gap, replace(gap, left=part.since, failures=0), hole)


def tidy(cursor: Cursor, our_now: datetime) -> Cursor:
    """Drop what was closed and said for long enough."""
    return replace(cursor, gaps=tuple(g for g in cursor.gaps if g.closed_at is None or our_now - g.closed_at < SAID))


def next_length(length: timedelta, found: int) -> timedelta:
    """Return how long the next slice is to be, after how many failed tries this one held."""
    if found < _FEW:
        return min(2 * length, LONGEST_SLICE)
    return max(length / 2, SHORTEST_SLICE) if found > _MANY else length


def _replaced(cursor: Cursor, gap: Gap, *by: Gap) -> Cursor:
    gaps = [new for old in cursor.gaps for new in (by if old == gap else (old,))]
    return replace(cursor, gaps=tuple(gaps))
