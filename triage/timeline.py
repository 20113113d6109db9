"""The bars of a histogram: a span of time as an address writes it, the step that suits it, and the counts in between.

Owns that a narrower span gets finer bars, from a second to four weeks, and never more than a screen is wide. Asks a store
only through the function it is given. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)
# What a person reads off a clock or a calendar; each is a multiple of the one before.
STEPS = (
    timedelta(seconds=1), timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1),
    timedelta(hours=6), DAY, WEEK, 4 * WEEK,
)  # fmt: skip
MOST = 100  # bars that can be told apart, and hit, at 768 pixels
_LEAST = timedelta(days=14)  # shown where nobody asked for a span, however short the time with failures is
_LARGEST = 800  # bars drawn at most, the newest; more is one failed try dated far from all others
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AT = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?)?Z?\Z")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, `until` excluded."""

    since: datetime
    until: datetime

    @property
    def first(self) -> str:
        """How an address writes its beginning."""
        return _written(self.since)

    @property
    def last(self) -> str:
        """How an address writes its end, which is excluded: always with a time of day."""
        return _exact(self.until)

    @property
    def words(self) -> str:
        """For people, in UTC: `24 Nov`, `24 Nov to 3 Dec`, `24 Nov, 10:00 to 11:30`; whole days without times."""
        last = self.until - timedelta(microseconds=1)
        if self.since.time() == self.until.time() == _EPOCH.time():
            return _day(self.since) if self.since.date() == last.date() else f"{_day(self.since)} to {_day(last)}"
        end = (
            _time(self.until) if self.since.date() == self.until.date() else f"{_day(self.until)}, {_time(self.until)}"
        )
        return f"{_day(self.since)}, {_time(self.since)} to {end} UTC"

    @property
    def wider(self) -> Span:
        """The span around it, of twice the length on each side of its middle; within what a calendar knows."""
        half = (self.until - self.since) / 2
        try:
            return Span(self.since - half, self.until + half)
        except OverflowError:
            return self


@dataclass(frozen=True, slots=True)
class Timeline:
    """Counts by steps of time from `start` on; `total` counts what lies before it too, far off from all others."""

    start: datetime
    step: timedelta
    counts: tuple[int, ...]
    total: int


def span(first: str, last: str) -> Span | None:
    """Read a span from an address: dates, whose last is included, or times in UTC, whose last is not; None for no span."""
    if not _AT.match(first) or not _AT.match(last or first):
        return None
    try:
        since, until = (datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=UTC) for text in (first, last or first))
        if len(last or first) == len("2026-11-24"):
            until += DAY
    except (ValueError, OverflowError):
        return None
    return Span(since, until) if since < until else None


def step_of(length: timedelta) -> timedelta:
    """Return the finest step that parts a span of this length into no more than `MOST` bars."""
    return next((step for step in STEPS if length <= MOST * step), STEPS[-1])


def timeline(
    count: Callable[[timedelta], Mapping[datetime, int]], within: Span | None = None, *, finest: timedelta = STEPS[0]
) -> Timeline | None:
    """Return the bars of a span, or of all there is; None where nothing is counted.

    `count` counts by steps of time as `Store.histogram` does, `within` already taken into account; none is below `finest`.
    """
    if within is not None:
        return _bars(count, within, max(step_of(within.until - within.since), finest))
    by_day = count(DAY)
    if not by_day:
        return None
    last = max(by_day) + DAY
    whole = Span(min(min(by_day), last - _LEAST), last)
    step = max(step_of(whole.until - whole.since), finest)
    return _bars(count if step < DAY else lambda _: by_day, whole, step, is_open=True)


def _bars(
    count: Callable[[timedelta], Mapping[datetime, int]], whole: Span, step: timedelta, *, is_open: bool = False
) -> Timeline | None:
    """Bars from the beginning of a span to its end, or, where that is open, to the last that counts something."""
    # Stores count weeks from a Thursday, the first of January 1970; people from Monday on.
    found: Counter[datetime] = Counter()
    for at, number in count(min(step, DAY)).items():
        found[_start(at, step)] += number
    if not found:
        return None
    start, end = _start(whole.since, step), max(found) + step if is_open else whole.until
    if end - start > _LARGEST * step:
        end = min(end, max(found) + step)
        start = max(start, end - _LARGEST * step)
    size = -((start - end) // step)
    return Timeline(start, step, tuple(found[start + step * place] for place in range(size)), found.total())


def _start(at: datetime, step: timedelta) -> datetime:
    since = _MONDAY if step >= WEEK else _EPOCH
    try:
        return since + (at - since) // step * step
    except OverflowError:
        return at


def _written(at: datetime) -> str:
    if at.time() == _EPOCH.time():
        return f"{at:%Y-%m-%d}"
    return _exact(at)


def _exact(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="seconds" if at.second else "minutes")


def _day(at: datetime) -> str:
    return f"{at.day} {at:%b %Y}"


def _time(at: datetime) -> str:
    return f"{at:%H:%M:%S}".removesuffix(":00")
