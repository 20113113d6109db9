"""Dates as Kibana's users write them: `2026-11-24`, `2026-11`, `now-7d`, `now/d`, `2026-11-24||-1M/d`.

What is written names a span: a day, a month, an instant. The rules of rounding are Elasticsearch's: a lower bound is
the span's first instant, an upper one its last. Everything is UTC unless it says otherwise.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

INSTANT = timedelta(microseconds=1)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[T ](\d\d?)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?(Z|[+-]\d\d:?\d\d)?)?)?)?\Z"
)
_STEP = re.compile(r"([+-])(\d{1,6})([smhHdwMy])|/([smhHdwMy])")
_FIXED = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "H": timedelta(hours=1)}
_FIXED |= {"d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class Span:
    """The first and the last instant of what was written; `is_since`: an instant counted back from now."""

    first: datetime
    last: datetime
    is_since: bool = False


def span(text: str, now: datetime) -> Span | None:
    """Return what a date names, None where it is none or beyond what a calendar holds."""
    try:
        if text.startswith("now"):
            found = _stepped(Span(now, now), text[3:])
            return found and Span(found.first, found.last, is_since=found.first == found.last)
        date, _, steps = text.partition("||")
        written = _written(date)
        return written and _stepped(written, steps)
    except (ValueError, OverflowError):
        return None


def _written(text: str) -> Span | None:
    match = _DATE.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    parts = [int(part) if part else least for part, least in zip((year, month, day, hour, minute, second), (1, 1, 1, 0, 0, 0), strict=True)]  # fmt: skip
    first = datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]
    if zone and zone != "Z":
        away = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        first = first - away if zone[0] == "+" else first + away
    if fraction:
        first += int(fraction[:6].ljust(6, "0")) * INSTANT
        return Span(first, first + 10 ** (6 - len(fraction[:6])) * INSTANT - INSTANT)
    unit = "s" if second else "m" if minute else "h" if hour else "d" if day else "M" if month else "y"
    return Span(first, _end(first, unit))


def _stepped(of: Span, steps: str) -> Span | None:
    place = 0
    while place < len(steps):
        match = _STEP.match(steps, place)
        if match is None:
            return None
        sign, count, unit, rounded = match.groups()
        if rounded:
            of = Span(_floor(of.first, rounded), _end(_floor(of.last, rounded), rounded))
        else:
            by = int(sign + count)
            of = Span(_moved(of.first, by, unit), _moved(of.last, by, unit))
        place = match.end()
    return of


def _floor(when: datetime, unit: str) -> datetime:
    match unit:
        case "y":
            return when.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
        case "M":
            return when.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        case "w":
            return _floor(when, "d") - timedelta(days=when.weekday())
        case "d":
            return when.replace(hour=0, minute=0, second=0, microsecond=0)
        case "h" | "H":
            return when.replace(minute=0, second=0, microsecond=0)
        case "m":
            return when.replace(second=0, microsecond=0)
        case _:
            return when.replace(microsecond=0)


def _end(first: datetime, unit: str) -> datetime:
    """Return the last instant of the unit that begins here; of the last one there is, the end of the calendar."""
    try:
        return _moved(first, 1, unit) - INSTANT
    except (ValueError, OverflowError):
        return _LAST


def _moved(when: datetime, count: int, unit: str) -> datetime:
    if unit not in "My":
        return when + count * _FIXED[unit]
    months = when.year * 12 + when.month - 1 + count * (12 if unit == "y" else 1)
    year, month = months // 12, months % 12 + 1
    if not 1 <= year <= 9999:
        raise OverflowError
    return when.replace(year=year, month=month, day=min(when.day, calendar.monthrange(year, month)[1]))


def after(when: datetime) -> datetime:
    """Return the instant behind one; the last there is stays."""
    return when if when == _LAST else when + INSTANT


def before(when: datetime) -> datetime:
    """Return the instant before one; the first there is stays."""
    return when if when == _FIRST else when - INSTANT
