"""Does a problem grow, measured against its own past? Pure: hourly counts of failed tries in, a verdict with its reason out.

Two questions are asked. A *jump*: do the last three hours, day or week hold far more than the most that was ever seen at
this hour (or in a day, a week) within six weeks? A *ramp*: do the last days rise steadily to at least the double? The
most that was seen is taken for the level, so a job that fails each night, or on Mondays alone, is not growing then.
`follow` decides when growth begins and ends. Times are on the Airflow server's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate
from math import sqrt

from triage.records import Change, Escalation, Problem, TriageState

DAY = 24
WEEK = 7 * DAY
# How far back a problem's own past reaches: six of every weekday, and any job that runs once a month.
PAST = 6 * WEEK
# Sentry's forecast asks for 168 hours of past too (escalating_issues_alg.py). Whole weeks are compared once there are two
# former ones. What is younger is judged only where somebody has taken note of it, and only after a day.
KNOWN_FOR, WEEKS_KNOWN_FOR = WEEK, 3 * WEEK
# Fewer tries than this are no growth, whatever they were before: one mapped task of ten that fails once.
LEAST = 10
# A jump is at least this many times the most seen before: the least that Sentry multiplies a bursty issue's peak by.
JUMP = 2.0
# Of a problem not known for a week the hours of the day and the weekdays are not known either, so it is measured against
# the most of any hours, by far more: with these, simulated first weeks raise less than one alarm in 200 (bench escalation).
YOUNG_JUMP, YOUNG_APART = 5.0, 4.0
# Square roots of Poisson counts spread by a half whatever their mean (Bartlett 1936; Anscombe 1948): 2 apart is four
# standard deviations. Where counts spread more than chance alone makes them, the distance grows alike (`_spread`).
APART = 2.0
# A jump of three hours must show in the whole day too, by half of that: else a burst at any new hour would be one.
APART_DAY = 1.0
# A job that starts later today than it did is compared with its own hour: hours to either side, summer time among them.
SHIFT = 2
# Days over which a ramp is looked for, the shortest first, and how sure Mann and Kendall's test must be of each: three
# standard deviations, which seven days that rise without exception just reach.
RAMPS = (7, 10, 14, 21)
SURE = 3.0
# Growth that has not gone on for so long is the problem's level from now on: Sentry's week from escalating to ongoing.
SETTLES_AFTER = timedelta(days=7)
# How long growth is left unlooked at where no failure comes in.
LOOK = timedelta(hours=1)
BEGUN = "escalated"  # what the history calls its beginning
# States in which somebody knows of a problem and may look away: the others stand in "Needs triage" anyway.
_NOTED = (TriageState.ONGOING, TriageState.MUTED)


@dataclass(frozen=True, slots=True)
class Growth:
    """That a problem grows: the reason in words, how many times its former level it is at, and when it is back.

    It is back once the last `hours` hold at most `level` failed tries.
    """

    why: str
    times: float
    level: int
    hours: int


def hour_of(at: datetime) -> int:
    """Return the hours from 1970 to the hour that a time lies in."""
    return int(at.timestamp() // 3600)


def first_hour(now: datetime) -> int:
    """Return the hour from which counts are needed to judge at `now`: six weeks, and the window that ends there."""
    return hour_of(now) - PAST - WEEK - SHIFT


class Past:
    """A problem's failed tries by hour up to now, the hour that runs included.

    `hours` maps hours (`hour_of`) to counts and reaches back to `first_hour`; hours without any may be left out.
    """

    def __init__(self, hours: Mapping[int, int], first_seen: datetime, now: datetime) -> None:
        last, start = hour_of(now), first_hour(now)
        self._sums = list(accumulate((hours.get(hour, 0) for hour in range(start, last + 1)), initial=0))
        self._age = min(last - hour_of(first_seen), PAST)  # what lies before is no past of this problem

    def last(self, length: int, ago: int = 0) -> int:
        """Return the failed tries of so many hours, which ended so many hours ago."""
        end = len(self._sums) - 1 - ago
        return self._sums[max(end, 0)] - self._sums[max(end - length, 0)]

    def growth(self, is_noted: bool = False) -> Growth | None:
        """Say whether the problem grows now; None where it does not, or is not known for long enough.

        That is a week; a day where somebody has taken note of it.
        """
        if self.last(WEEK) < LEAST:
            return None
        if self._age < KNOWN_FOR:
            return self._young_jump() if is_noted else None
        return self._jump() or self._ramp()

    def _young_jump(self) -> Growth | None:
        for length, window in ((3, "3 hours"), (DAY, "24 hours")):
            if self._age < length + DAY:
                return None
            before = range(length, self._age + 1)
            most, day = (max(self.last(span, ago) for ago in before) for span in (length, DAY))
            count = self.last(length)
            if count >= max(LEAST, YOUNG_JUMP * most, JUMP * day) and _is_beyond(count, _Level(most, 1.0), YOUNG_APART):
                before_it = self._age + 1 - length
                daily, days = _short(self.last(before_it, length) * DAY / before_it), round(self._age / DAY)
                began = f"{days} days" if days > 1 else "a day"
                why = f"{count} tries in the last {window}; {daily} a day since it began {began} ago"
                return Growth(why, count / max(most, 1), day, DAY)
        return None

    def _jump(self) -> Growth | None:
        day = self._level(DAY)
        if (count := self.last(3)) >= LEAST and _is_beyond(self.last(DAY), day, APART_DAY):
            level = self._level(3)
            if _is_jump(count, level):
                why = self._words(count, "3 hours", "at this hour of the day", level)
                return Growth(why, count / max(level.most, 1), day.most, DAY)
        if _is_jump(count := self.last(DAY), day):
            return Growth(self._words(count, "24 hours", "in a day", day), count / max(day.most, 1), day.most, DAY)
        if self._age < WEEKS_KNOWN_FOR:
            return None
        week, count = self._level(WEEK), self.last(WEEK)
        burst = max(self.last(DAY, ago) for ago in range(WEEK - DAY + 1))
        if _is_jump(count - burst, week):  # without its worst day too: a burst that is over is no growth of the week
            return Growth(self._words(count, "7 days", "in a week", week), count / max(week.most, 1), week.most, WEEK)
        return None

    def _level(self, length: int) -> _Level:
        """Return what windows of this many hours held that end at this hour on each day before the one up to now."""
        days = range(-(-length // DAY), self._age // DAY + 2)
        whole = [self.last(length, DAY * day) for day in days if DAY * day + length <= self._age]
        most = max(self.last(length, DAY * day + by) for day in days for by in range(-SHIFT, SHIFT + 1))
        return _Level(most, _spread(whole), max(1.0, WEEKS_KNOWN_FOR / self._age))

    def _words(self, count: int, window: str, when: str, level: _Level) -> str:
        weeks = self._age // WEEK
        known = f"{weeks} weeks" if weeks > 1 else "the week before"
        was = f"it was {level.most} at most" if level.most else "there was none"
        return f"{count} tries in the last {window}; {when} {was} in {known}"

    def _ramp(self) -> Growth | None:
        for length in RAMPS:
            if length * DAY > self._age:
                return None
            days = [self.last(DAY, DAY * ago) for ago in reversed(range(length))]
            third = max(length // 3, 2)
            then, now = sum(days[:third]), sum(days[-third:])
            if now < LEAST or now < JUMP * then or _trend(days) < SURE:
                continue
            before = [self.last(DAY * third, DAY * ago) for ago in range(length, self._age // DAY - third + 1)]
            if _is_beyond(now, _Level(max(before, default=0), _spread(before)), APART_DAY):
                why = f"rises for {length} days: {_short(then / third)} a day then, {_short(now / third)} now"
                return Growth(why, now / max(then, 1), third * max(days[:third]), third * DAY)
        return None


@dataclass(frozen=True, slots=True)
class _Level:
    """The most that former windows held, how wide they spread, and how much more is asked for while they are few."""

    most: int
    spread: float
    doubt: float = 1.0


def _is_jump(count: int, level: _Level) -> bool:
    return count >= max(LEAST, JUMP * level.most) and _is_beyond(count, level, APART * level.doubt)


def _is_beyond(count: int, level: _Level, apart: float) -> bool:
    return sqrt(count) >= sqrt(level.most) + apart * sqrt(level.spread)


def _spread(counts: Sequence[int]) -> float:
    """Return how many times wider than chance alone (Poisson) daily values spread around their mean, at least 1.

    Around the mean of each weekday, where there are three of each.
    """
    groups = [counts[day::7] for day in range(7)] if len(counts) >= 21 else [counts]
    mean = sum(counts) / max(len(counts), 1)
    if not mean or len(counts) <= len(groups):
        return 1.0
    squares = sum((count - sum(group) / len(group)) ** 2 for group in groups for count in group)
    return max(squares / (len(counts) - len(groups)) / mean, 1.0)


def _trend(counts: Sequence[int]) -> float:
    """Return Mann and Kendall's statistic: by how many standard deviations the rises outnumber the falls, ties allowed for."""
    size = len(counts)
    pairs = ((earlier, later) for place, earlier in enumerate(counts) for later in counts[place + 1 :])
    rises = sum((later > earlier) - (later < earlier) for earlier, later in pairs)
    ties = [counts.count(value) for value in set(counts)]
    variance = (size * (size - 1) * (2 * size + 5) - sum(tie * (tie - 1) * (2 * tie + 5) for tie in ties)) / 18
    return (rises - 1) / sqrt(variance) if rises > 0 else 0.0


def _short(mean: float) -> str:
    return f"{mean:.0f}" if mean >= 2 or mean == round(mean) else f"{mean:.1f}"


def follow(
    problem: Problem, known: Escalation | None, past: Past, now: datetime, *, is_over: bool, then: Past | None = None
) -> tuple[Escalation | None, Change | None]:
    """Decide from what is known of a problem's growth what is known of it next, and the entry for its history.

    Growth begins at once, and ends when the problem is back to what it was for a day (a week, where a week showed it),
    has been where it is for a week, or is over itself: resolved, or merged into another. `then` is the past up to when
    growth began, as it is known now: where failures that came in since show that it was none, it was taken for that while
    airtriage had not caught up.
    """
    found = None if is_over else past.growth(is_noted=problem.state in _NOTED)
    if found is not None:
        if known is None:
            begun = Escalation(problem.id, now, found.why, found.times, found.level, found.hours, now, now + LOOK)
            return begun, Change(problem.id, now, "airtriage", BEGUN, found.why)
        return replace(known, why=found.why, times=found.times, found_at=now, look_at=now + LOOK), None
    if known is None or is_over:
        return None, None
    count = past.last(known.hours)
    span = "24 hours" if known.hours == DAY else f"{known.hours // DAY} days"
    if count <= known.level:
        why = f"{count} tries in the last {span}, {known.level} at most before it grew"
    elif now >= known.found_at + SETTLES_AFTER:
        why = f"{count} tries in the last {span}, and for a week no more than that"
    elif then is not None and then.growth(is_noted=True) is None:
        why = "failures that came in later show that it was so before"
    else:
        return replace(known, look_at=now + LOOK), None
    return None, Change(problem.id, now, "airtriage", "no longer grows", why)
