"""Growth against a problem's own past: what is a jump, what a ramp, what neither, and when it is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.store_contract import NOW, problem
from triage.growth import DAY, LEAST, WEEK, Past, first_hour, follow, hour_of
from triage.records import Escalation, TriageState

LAST = hour_of(NOW)  # a Tuesday, 12:00


def counts(*parts: Callable[[int], int], days: int = 60) -> dict[int, int]:
    """Return hourly counts of so many days up to now, each part a function from the hours ago to a count."""
    hours = {LAST - ago: sum(part(ago) for part in parts) for ago in range(days * DAY)}
    return {hour: count for hour, count in hours.items() if count}


def past(hours: dict[int, int], at: datetime = NOW) -> Past:
    first = NOW - timedelta(hours=LAST - min(hours, default=LAST))
    return Past({hour: n for hour, n in hours.items() if hour <= hour_of(at)}, first, at)


def steady(count: int, every: int = 1) -> Callable[[int], int]:
    return lambda ago: count if ago % every == 0 else 0


def lately(count: int, hours: int) -> Callable[[int], int]:
    return lambda ago: count if ago < hours else 0


def at_noon(count: int, days: int = 1) -> Callable[[int], int]:
    return lambda ago: count if ago % (DAY * days) == 0 else 0


@pytest.mark.parametrize(
    ("hours", "why"),
    [
        (counts(steady(1)), None),
        (counts(steady(1), lately(19, 3)), "60 tries in the last 3 hours; at this hour of the day it was 3 at most in 6 weeks"),
        (counts(at_noon(40)), None),
        (counts(at_noon(40, days=7)), None),
        (counts(at_noon(60, days=30)), None),
        (counts(lambda ago: 40 if ago % DAY == 6 else 0, lately(30, 3)), "90 tries in the last 3 hours; at this hour of the day there was none in 6 weeks"),
        (counts(at_noon(40), lately(50, 1)), "90 tries in the last 3 hours; at this hour of the day it was 40 at most in 6 weeks"),
        (counts(steady(1, DAY), lambda ago: (ago in (3, 9, 14, 20) and 5) or 0), "21 tries in the last 24 hours; in a day it was 1 at most in 6 weeks"),
        (counts(steady(1, DAY), lambda ago: (ago < WEEK and ago % DAY in (5, 15, 20, 22) and 1) or 0), "35 tries in the last 7 days; in a week it was 8 at most in 6 weeks"),
        (counts(steady(1, DAY), lambda ago: 60 if ago == 40 else 0), None),
        (counts(lately(3, 3), days=40), None),
        (counts(lately(300, 3), steady(1), days=5), None),
        (counts(lately(300, 3), steady(1), days=9), "903 tries in the last 3 hours; at this hour of the day it was 3 at most in the week before"),
    ],
    ids=["steady", "step", "each day", "each Tuesday", "each month", "at night until now", "more than at noon", "in a day", "in a week", "a burst that is over", "few", "young", "known for a week"],
)  # fmt: skip
def test_a_jump_is_told_from_what_was_always_so(hours: dict[int, int], why: str | None) -> None:
    found = past(hours).growth()
    assert (found.why if found else None) == why


@pytest.mark.parametrize(
    ("hours", "why"),
    [
        (counts(steady(1, 8), lately(13, 3), days=4), "40 tries in the last 3 hours; 3 a day since it began 4 days ago"),
        (counts(steady(1, 8), lately(300, 1), days=4), "301 tries in the last 3 hours; 3 a day since it began 4 days ago"),
        (counts(steady(1), lately(6, DAY), days=3), "168 tries in the last 24 hours; 24 a day since it began 3 days ago"),
        (counts(steady(1, 8), lately(300, 1), days=1), None),
        (counts(at_noon(40), days=5), None),
        (counts(lambda ago: 40 if ago % DAY in (0, 25) else 0, days=5), None),
        (counts(steady(300, 84), days=6), None),
        (counts(steady(1, 8), lately(2, 3), days=4), None),
        (counts(steady(3), lately(9, 3), days=5), None),
        (counts(lambda ago: round(5 * 1.4 ** (4 - ago // DAY)) if ago % DAY == 2 else 0, days=5), None),
    ],
    ids=["tenfold", "an explosion", "in a day", "not known for a day", "each day", "each day, later", "twice a week", "few", "threefold", "a ramp of days"],
)  # fmt: skip
def test_what_is_known_for_days_grows_if_somebody_took_note_of_it_and_by_far(
    hours: dict[int, int], why: str | None
) -> None:
    found = past(hours).growth(is_noted=True)
    assert (found.why if found else None) == why
    assert past(hours).growth() is None


@pytest.mark.parametrize("state", TriageState)
def test_what_is_new_or_regressed_stands_in_needs_triage_anyway(state: TriageState) -> None:
    hours = counts(steady(1, 8), lately(300, 1), days=4)
    begun, _ = follow(replace(problem(), state=state), None, past(hours), NOW, is_over=state is TriageState.RESOLVED)
    assert (begun is not None) == (state in (TriageState.MUTED, TriageState.ONGOING))


def test_growth_that_late_failures_show_to_be_none_is_taken_back() -> None:
    """Off for three weeks, airtriage reads the newest failures first: they look like a jump until the others are there."""
    known = counts(steady(1, DAY), days=60)
    gap = dict.fromkeys(range(LAST - 21 * DAY, LAST), 12)
    first = past(known | {LAST: 12, LAST - 1: 12})
    begun, _ = follow(problem(), None, first, NOW, is_over=False)
    assert begun is not None
    late = past(known | gap | {LAST: 12})
    assert follow(problem(), begun, late, NOW, is_over=False, then=first)[0] is not None
    found, change = follow(problem(), begun, late, NOW, is_over=False, then=late)
    assert (found, change and (change.what, change.why)) == (
        None, ("no longer grows", "failures that came in later show that it was so before")
    )  # fmt: skip


def test_a_slow_rise_is_a_ramp_before_it_is_a_jump() -> None:
    def ramp(ago: int) -> int:
        day = 13 - ago // DAY
        return round(3 * 1.1**day) if ago % DAY == 2 and day >= 0 else 0

    found = past(counts(ramp, lambda ago: 3 if ago % DAY == 2 and ago > 14 * DAY else 0)).growth()
    assert found is not None
    assert found.why.startswith("rises for ")
    assert found.why.endswith(" now")
    assert found.times >= 2


def test_a_job_of_working_days_does_not_rise_on_mondays() -> None:
    hours = counts(lambda ago: 4 if (LAST - ago) // DAY % 7 not in (2, 3) and (LAST - ago) % DAY in (8, 9, 10) else 0)
    for ago in range(7 * DAY):
        assert past(hours, NOW - timedelta(hours=ago)).growth() is None


def test_what_came_before_the_first_hour_asked_for_does_not_count() -> None:
    early = {first_hour(NOW) - 1: 1_000}
    grown = past(counts(steady(1), lately(19, 3)) | early).growth()
    assert grown == past(counts(steady(1), lately(19, 3))).growth()


def test_growth_begins_goes_on_and_ends_when_the_day_is_as_it_was() -> None:
    hours = counts(steady(1), lately(19, 3))
    begun, told = follow(problem(), None, past(hours), NOW, is_over=False)
    assert begun is not None
    assert told is not None
    assert (told.what, told.why, begun.since) == ("escalated", begun.why, NOW)

    def later(hours_on: int, by_turns: int = 1) -> tuple[Escalation | None, str]:
        at = NOW + timedelta(hours=hours_on)
        then = hours | {LAST + n: by_turns if n % 2 else 1 for n in range(1, hours_on + 1)}
        assert begun is not None
        known, change = follow(problem(), begun, Past(then, NOW - timedelta(days=60), at), at, is_over=False)
        return known, change.what if change else ""

    goes_on = later(1)[0]
    assert goes_on is not None
    assert (goes_on.since, goes_on.found_at, goes_on.why[:8]) == (NOW, NOW + timedelta(hours=1), "41 tries")
    assert later(23)[1] == ""
    assert later(26) == (None, "no longer grows")
    higher = later(7 * DAY - 2, by_turns=2)[0]
    at = NOW + timedelta(days=7, hours=-2)
    assert higher == replace(begun, look_at=at + timedelta(hours=1))  # no jump any more, and not what it was either
    assert later(7 * DAY, by_turns=2)[1] == "no longer grows"  # it is more than it was, but has been so for a week


def test_growth_of_a_resolved_problem_is_forgotten_without_a_word() -> None:
    begun, _ = follow(problem(), None, past(counts(steady(1), lately(19, 3))), NOW, is_over=False)
    assert follow(problem(), begun, past(counts(steady(1))), NOW, is_over=True) == (None, None)


def test_fewer_than_ten_tries_are_never_growth() -> None:
    assert past(counts(lately(LEAST - 1, 1), lambda ago: ago == 40 * DAY)).growth() is None
