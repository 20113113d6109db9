"""Which stretches of time are read next: reach, gaps, slices, and clocks that were set."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import spans
from triage.watched import Cursor, Gap, Listing

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MIN, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
POLL = timedelta(seconds=30)


def moved(cursor: Cursor, now: datetime = NOW, *, offset: float = 0.0, lookback: timedelta = 7 * DAY) -> Cursor:
    """The cursor after a pass that read the news of the event log."""
    oldest = spans.reach(cursor, Listing.EVENTS, offset, now, lookback)
    since = spans.news(oldest, now, POLL, sweep=False)
    return replace(spans.moved(cursor, Listing.EVENTS, oldest, since, now), offset=offset)


def test_first_contact_reads_the_last_hour_at_once_and_the_rest_behind_it() -> None:
    (gap,) = moved(Cursor("prod")).gaps
    assert (gap.since, gap.until, gap.left, gap.is_first) == (NOW - 7 * DAY, NOW - HOUR, NOW - HOUR, True)


def test_a_lookback_within_the_news_leaves_no_gap() -> None:
    assert moved(Cursor("prod"), lookback=10 * MIN).gaps == ()


@pytest.mark.parametrize("lookback", [timedelta(days=3650), timedelta(days=36_500)])
def test_a_lookback_of_decades_is_a_gap_like_any_other(lookback: timedelta) -> None:
    cursor, length, slices = moved(Cursor("prod"), lookback=lookback), spans.FIRST_SLICE, 0
    while part := spans.pick(cursor, NOW, set(), length):
        cursor = spans.read(cursor, part, NOW)
        length = spans.next_length(length, 0)
        slices += 1
    assert slices < 450
    assert cursor.gaps[0].closed_at == NOW


def test_a_month_without_airtriage_is_a_gap_even_beyond_the_lookback() -> None:
    cursor = moved(Cursor("prod", events_until=NOW - 30 * DAY, offset=0.0))
    (gap,) = cursor.gaps
    assert (gap.since, gap.until, gap.is_first) == (NOW - 30 * DAY - spans.OVERLAP, NOW - HOUR, False)


@pytest.mark.parametrize("away", [timedelta(), 10 * MIN, 50 * MIN])
def test_a_short_absence_is_read_as_news(away: timedelta) -> None:
    cursor = Cursor("prod", events_until=NOW - away, offset=0.0)
    assert moved(cursor).gaps == ()
    assert spans.reach(cursor, Listing.EVENTS, 0.0, NOW, 7 * DAY) == NOW - away - spans.OVERLAP


def test_with_a_poll_of_hours_a_missed_tick_is_no_gap() -> None:
    assert spans.news(NOW - 5 * HOUR, NOW, 2 * HOUR, sweep=False) == NOW - 5 * HOUR


def test_a_cursor_in_the_future_is_read_from_now() -> None:
    cursor = Cursor("prod", events_until=NOW + 365 * DAY)
    assert spans.reach(cursor, Listing.EVENTS, 0.0, NOW, 7 * DAY) == NOW - spans.OVERLAP


@pytest.mark.parametrize(("then", "now"), [(3600.0, 0.0), (0.0, -3600.0), (0.0, 3600.0), (-3600.0, 0.0)])
def test_a_clock_that_was_set_while_nobody_looked_hides_nothing(then: float, now: float) -> None:
    # The last pass ended two hours ago by our clock; what failed since has times of either clock.
    cursor = Cursor("prod", events_until=NOW - 2 * HOUR + timedelta(seconds=then), offset=then)
    server_now = NOW + timedelta(seconds=now)
    oldest = spans.reach(cursor, Listing.EVENTS, now, server_now, 7 * DAY)
    assert oldest <= NOW - 2 * HOUR + timedelta(seconds=min(then, now)) - spans.OVERLAP


def test_once_an_hour_more_than_the_news_is_read() -> None:
    cursor = Cursor("prod", swept_at=NOW)
    assert not spans.is_sweep_due(cursor, NOW + 59 * MIN)
    assert spans.is_sweep_due(cursor, NOW + HOUR)
    assert spans.is_sweep_due(cursor, NOW - 2 * DAY), "our clock was set back"
    assert spans.news(NOW - 10 * MIN, NOW, POLL, sweep=True) == NOW - spans.SWEEP


@given(
    days=st.floats(0.1, 400),
    several=st.lists(st.tuples(st.booleans(), st.integers(0, 3000)), max_size=60),
)
def test_slices_read_a_gap_without_a_hole_newest_first(days: float, several: list[tuple[bool, int]]) -> None:
    cursor, length = moved(Cursor("prod"), lookback=timedelta(days=days)), spans.FIRST_SLICE
    left, now = NOW - HOUR, NOW
    turns = [*several, *[(True, 0)] * 10_000]
    while part := spans.pick(cursor, now, set(), length):
        works, found = turns.pop(0)
        assert part.gap.left - part.since >= min(spans.SHORTEST_SLICE, part.gap.left - part.gap.since)
        assert part.window == (part.since - spans.OVERLAP, part.gap.left + spans.OVERLAP)
        if works:
            assert part.gap.retry_at is not None or part.gap.left == left
            cursor = spans.read(cursor, part, now)
            left = part.since if part.gap.retry_at is None else left
            length = spans.next_length(length, found)
        else:
            cursor = spans.broken(cursor, part, now)
            if cursor.gaps and (hole := next((g for g in cursor.gaps if g.retry_at and g.closed_at is None), None)):
                left = min(left, hole.since)
                now = hole.retry_at or now
    assert all(gap.closed_at for gap in cursor.gaps)
    assert cursor.gaps == () or min(gap.since for gap in cursor.gaps) == NOW - timedelta(days=days)


def test_a_minute_that_stays_broken_is_passed_by_and_tried_again_an_hour_later() -> None:
    cursor = moved(Cursor("prod"), lookback=DAY)
    for _ in range(spans.PATIENCE):
        part = spans.pick(cursor, NOW, set(), HOUR)
        assert part is not None
        cursor = spans.broken(cursor, part, NOW)
    rest, hole = cursor.gaps
    assert hole.left - hole.since <= timedelta(seconds=61)
    assert rest.left == hole.since
    length = DAY
    while part := spans.pick(cursor, NOW, set(), length):
        cursor = spans.read(cursor, part, NOW)
    assert [gap.closed_at for gap in cursor.gaps] == [NOW, None]
    part = spans.pick(cursor, NOW + HOUR, set(), length)
    assert part is not None
    assert part.since == hole.since


def test_a_listing_that_broke_off_leaves_the_other_one_going() -> None:
    gaps = tuple(Gap(listing, NOW - DAY, NOW - HOUR, NOW - HOUR) for listing in Listing)
    cursor = Cursor("prod", gaps=gaps)
    part = spans.pick(cursor, NOW, {Listing.EVENTS}, HOUR)
    assert part is not None
    assert part.gap.listing is Listing.INSTANCES
    assert spans.pick(cursor, NOW, set(Listing), HOUR) is None


def test_both_listings_go_back_side_by_side() -> None:
    cursor = Cursor("prod", gaps=tuple(Gap(listing, NOW - DAY, NOW, NOW) for listing in Listing))
    for _ in range(6):
        part = spans.pick(cursor, NOW, set(), HOUR)
        assert part is not None
        cursor = spans.read(cursor, part, NOW)
    assert {gap.left for gap in cursor.gaps} == {NOW - 3 * HOUR}


@pytest.mark.parametrize(("found", "factor"), [(0, 2), (199, 2), (200, 1), (1000, 1), (1001, 0.5)])
def test_a_slice_is_as_long_as_some_hundred_failures(found: int, factor: float) -> None:
    assert spans.next_length(HOUR, found) == HOUR * factor


def test_a_closed_gap_is_said_for_a_day() -> None:
    cursor = Cursor("prod", gaps=(Gap(Listing.EVENTS, NOW - DAY, NOW, NOW - DAY, closed_at=NOW),))
    assert spans.tidy(cursor, NOW + DAY / 2).gaps
    assert spans.tidy(cursor, NOW + 2 * DAY).gaps == ()
