"""How often growth is found where there is none, and how soon where there is: on simulated histories, hour by hour.

The patterns are what failing jobs look like: steady, each night, on Mondays, in working hours, in bursts, with rates that
wander. Beside ours stands Sentry's forecast as its code was read (the last hour above the larger of twice the week's peak hour and
six times its mean, its most sensitive constants; ten times the peak before a week is known). Run it as `python -m tests.bench escalation`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from tests.bench.table import Figure, say, show
from tests.store_contract import occurrence
from triage import escalation
from triage.growth import DAY, WEEK, Past, hour_of
from triage.service import Service
from triage.store import open_store

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
FIRST = hour_of(START)
Counts = NDArray[np.int64]
Pattern = Callable[[Generator, int], Counts]
Rule = Callable[[Counts, int], bool]
QUIET_FOR = DAY  # alarms nearer to each other than this are one


def steady(per_day: float) -> Pattern:
    return lambda rng, days: rng.poisson(np.full(days * DAY, per_day / DAY))


def each(days_apart: int, count: int, hour: int = 6, late: int = 1) -> Pattern:
    """A job that fails so often, begun up to `late` hours later than planned."""

    def made(rng: Generator, days: int) -> Counts:
        counts = np.zeros(days * DAY, np.int64)
        for day in range(0, days, days_apart):
            counts[day * DAY + hour + rng.integers(0, late + 1)] += rng.poisson(count)
        return counts

    return made


def office(per_day: float) -> Pattern:
    hours = np.arange(WEEK)
    busy = (hours % DAY >= 8) & (hours % DAY < 18) & (hours < 5 * DAY)
    rate = np.where(busy, per_day / 10, per_day / 240)
    return lambda rng, days: rng.poisson(np.resize(rate, days * DAY))


def bursts(a_week: float, size: float, spread: float) -> Pattern:
    """Bursts at random hours, their sizes log-normal."""

    def made(rng: Generator, days: int) -> Counts:
        counts = np.zeros(days * DAY, np.int64)
        for _ in range(rng.poisson(a_week * days / 7)):
            at = rng.integers(0, days * DAY) + rng.exponential(1, int(rng.lognormal(np.log(size), spread))).astype(int)
            np.add.at(counts, np.minimum(at, days * DAY - 1), 1)
        return counts

    return made


def wandering(per_day: float, spread: float, memory: float) -> Pattern:
    """A rate that wanders from day to day: it does rise now and then, for no reason."""

    def made(rng: Generator, days: int) -> Counts:
        steps = rng.normal(0, spread, days)
        for day in range(1, days):
            steps[day] = memory * steps[day - 1] + np.sqrt(1 - memory**2) * steps[day]
        return rng.poisson(np.repeat(per_day / DAY * np.exp(steps), DAY))

    return made


REGULAR: dict[str, Pattern] = {
    "steady, 0.3 a day": steady(0.3), "steady, 5 a day": steady(5), "steady, 300 a day": steady(300),
    "each night, 30": each(1, 30, 2, 2), "each night, 3": each(1, 3, 2, 2), "on Mondays, 100": each(7, 100),
    "each month, 60": each(30, 60), "working hours, 60 a day": office(60),
}  # fmt: skip
IRREGULAR: dict[str, Pattern] = {
    "bursts of 20, 2 a week": bursts(2, 20, 1.0), "bursts of 5, each day": bursts(7, 5, 0.7),
    "bursts of 40, one in 3 weeks": bursts(0.3, 40, 0.7), "10 a day, half to double": wandering(10, 0.7, 0.5),
    "50 a day, wandering": wandering(50, 0.5, 0.8),
}  # fmt: skip
Shape = Callable[[NDArray[np.float64]], NDArray[np.float64]]
CHANGES: tuple[tuple[str, float, Shape, float], ...] = (
    ("from 300 a day at once to the tenfold", 300, lambda day: 0 * day + 10, 0.5),
    ("from 300 a day at once to the threefold", 300, lambda day: 0 * day + 3, 2),
    ("from 30 a day at once to the tenfold", 30, lambda day: 0 * day + 10, 1),
    ("from 30 a day at once to the threefold", 30, lambda day: 0 * day + 3, 7),
    ("from 5 a day at once to the tenfold", 5, lambda day: 0 * day + 10, 2),
    ("from 5 a day at once to the threefold", 5, lambda day: 0 * day + 3, 7),
    ("from 1 a day at once to the tenfold", 1, lambda day: 0 * day + 10, 7),
    ("30 a day, 10 % more each day for 14 days", 30, lambda day: 1.1 ** np.minimum(day, 14), 14),
    ("3 a day, 10 % more each day for 14 days", 3, lambda day: 1.1 ** np.minimum(day, 14), 14),
    ("30 a day, 5 % more each day for 28 days", 30, lambda day: 1.05 ** np.minimum(day, 28), 28),
)


def ours(counts: Counts, hour: int) -> bool:
    """Judge at the end of an hour of the history."""
    known = np.flatnonzero(counts[: hour + 1])
    hours = {FIRST + int(at): int(counts[at]) for at in known}
    first = START + timedelta(hours=int(known[0]))
    return Past(hours, first, START + timedelta(hours=hour, minutes=59)).growth(is_noted=True) is not None


def sentrys(counts: Counts, hour: int) -> bool:
    begun = int(np.flatnonzero(counts)[0])
    week = counts[max(hour - WEEK, begun) : hour]
    if len(week) < WEEK:
        return len(week) > 0 and bool(counts[hour] > 10 * week.max())
    return bool(counts[hour] > max(2 * week.max(), 6 * week.mean()))


RULES: dict[str, Rule] = {"ours": ours, "peer": sentrys}


def alarms(rule: Rule, counts: Counts, since: int) -> int:
    """Count the alarms from an hour on; those within a day of the last are one."""
    found, last = 0, -WEEK
    for hour in np.flatnonzero(counts):
        if hour >= since and rule(counts, int(hour)):
            found += hour - last > QUIET_FOR
            last = hour
    return found


def false_alarms(patterns: dict[str, Pattern], histories: int, weeks: range, most: float) -> list[Figure]:
    """Return a row a pattern: alarms in a thousand of these weeks of a problem."""
    figures, total = [], dict.fromkeys(RULES, 0)
    for name, pattern in patterns.items():
        say(f"  {name} …")
        rng = default_rng(7)
        made = [pattern(rng, 7 * weeks.stop) for _ in range(histories)]
        found = {who: sum(alarms(rule, counts, weeks.start * WEEK) for counts in made) for who, rule in RULES.items()}
        total = {who: total[who] + found[who] for who in RULES}
        each_ = {who: 1000 * found[who] / (histories * len(weeks)) for who in RULES}
        figures.append(Figure(name, f"{each_['ours']:.1f}", f"{each_['peer']:.1f}"))
    all_ = {who: 1000 * total[who] / (histories * len(weeks) * len(patterns)) for who in RULES}
    words = f"all, {histories * len(weeks) * len(patterns):,} weeks"
    return [*figures, Figure(words, f"{all_['ours']:.1f}", f"{all_['peer']:.1f}", "", f"at most {most:g}", all_["ours"] <= most)]  # fmt: skip


def delays(histories: int) -> list[Figure]:
    """Return a row a change: how many are found, and after how long (median), within four weeks of it."""
    figures = []
    for name, per_day, shape, goal in CHANGES:
        say(f"  {name} …")
        told = {}
        for who, rule in RULES.items():
            rng = default_rng(11)
            found = [_delay(rule, rng, per_day, shape) for _ in range(histories)]
            seen = sorted(hours for hours in found if hours is not None)
            told[who] = (len(seen), seen[len(seen) // 2] / DAY if seen else None)
        many, median = told["ours"]
        is_met = many == histories and median is not None and median <= goal
        figures.append(Figure(name, _words(*told["ours"], histories), _words(*told["peer"], histories), "", f"all, {_span(goal)}", is_met))  # fmt: skip
    return figures


def _delay(rule: Rule, rng: Generator, per_day: float, shape: Shape) -> int | None:
    before, after = 6 * WEEK, 5 * WEEK
    rates = np.full(before + after, per_day / DAY)
    rates[before:] *= shape(np.arange(after) / DAY)
    counts = rng.poisson(rates)
    late = (int(hour) for hour in np.flatnonzero(counts) if hour >= before)
    return next((hour - before + 1 for hour in late if rule(counts, hour)), None)


def _words(found: int, median: float | None, of: int) -> str:
    return f"{found} of {of}" + (f", {_span(median)}" if median is not None else "")


def _span(days: float) -> str:
    return f"{days:.1f} d" if days >= 1 else f"{days * DAY:.0f} h"


def cost(problems: int) -> list[Figure]:
    """Return what a look at so many open problems costs, all of which had failures at once."""
    store = open_store("sqlite://")
    service = Service(store)
    now = START + timedelta(weeks=8)
    for day in range(0, 50, 5):
        at = now - timedelta(days=day, hours=1)
        service.record(
            occurrence(day + again, fingerprint=f"1:{n:04x}", at=at, dag=f"dag_{n % 300}", map_index=n)
            for n in range(problems)
            for again in (0, 1)
        )
    service.settle(now)
    pairs = [("prod", f"1:{n:04x}") for n in range(problems)]
    began = time.process_time()
    found = escalation.look(service, pairs, now)
    took = time.process_time() - began
    began, rounds = time.process_time(), 2_000
    hours = {FIRST + hour: 12 for hour in range(8 * WEEK)}
    for _ in range(rounds):
        Past(hours, START, now).growth()
    alone = (time.process_time() - began) / rounds
    store.close()
    return [
        Figure(f"a look at {problems:,} problems, {found} of which grow", f"{took:.1f} s", "", f"{1000 * took / problems:.2f} ms each"),
        Figure("the judgement alone, 300 tries a day for six weeks", f"{1000 * alone:.2f} ms"),
    ]  # fmt: skip


def main(histories: int = 25, weeks: int = 9, problems: int = 5_000) -> int:
    """Measure and print the tables; 1 where a goal is missed."""
    say("false alarms …")
    missed = show(
        "Alarms in 1,000 weeks of a problem that follows its pattern",
        false_alarms(REGULAR, histories, range(1, weeks), 2),
    )
    missed |= show("The same, of patterns without a pattern", false_alarms(IRREGULAR, histories, range(1, weeks), 60))
    young = REGULAR | IRREGULAR
    missed |= show(
        "The same, in the first week of one that somebody took note of",
        false_alarms(young, 8 * histories, range(1), 20),
    )
    say("delays …")
    missed |= show("Found within five weeks, and the median delay", delays(histories))
    return missed | show("What it costs, CPU time", cost(problems))


if __name__ == "__main__":
    sys.exit(main())
