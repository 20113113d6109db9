"""The bars of a histogram: spans in addresses, steps that suit them, nothing counted twice or left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from triage.timeline import DAY, MOST, STEPS, Span, span, step_of, timeline


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "last", "since", "until"),
    [
        ("2026-11-24", "", "2026-11-24", "2026-11-25"),
        ("2026-11-24", "2026-11-26", "2026-11-24", "2026-11-27"),
        ("2026-11-24T10:00", "2026-11-24T10:05", "2026-11-24T10:00", "2026-11-24T10:05"),
        ("2026-11-24T10:00:30Z", "2026-11-24T10:05Z", "2026-11-24T10:00:30", "2026-11-24T10:05"),
        ("2026-11-24", "2026-11-24T06:00", "2026-11-24", "2026-11-24T06:00"),
    ],
)
def test_a_span_is_read_as_it_is_written(first: str, last: str, since: str, until: str) -> None:
    found = span(first, last)
    assert found == Span(at(since), at(until))
    assert span(found.first, found.last) == found


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("", ""),
        ("x", ""),
        ("2026-13-01", ""),
        ("2026-11-24", "2026-11-20"),
        ("9999-12-31", ""),
        ("2026-11-24T10:00", "2026-11-24T10:00"),
    ],
)
def test_what_is_no_span_is_none(first: str, last: str) -> None:
    assert span(first, last) is None


@pytest.mark.parametrize(
    ("length", "step"),
    [
        (timedelta(seconds=60), "0:00:01"), (timedelta(hours=1), "0:01:00"), (timedelta(hours=6), "0:05:00"),
        (DAY, "0:15:00"), (4 * DAY, "1:00:00"), (14 * DAY, "6:00:00"), (90 * DAY, "1 day, 0:00:00"), (365 * DAY, "7 days, 0:00:00"),
    ],
)  # fmt: skip
def test_a_narrower_span_has_a_finer_step(length: timedelta, step: str) -> None:
    assert str(step_of(length)) == step
    assert length / step_of(length) <= MOST


def test_zooming_into_any_bar_ends_at_seconds() -> None:
    length, passed = 2_000 * DAY, []
    while (step := step_of(length)) > STEPS[0]:
        passed.append(step)
        length = step
    assert passed == sorted(passed, reverse=True)
    assert len(set(passed)) == len(passed)


def test_every_step_of_a_span_has_a_bar() -> None:
    whole = Span(at("2026-11-24T10:00"), at("2026-11-24T11:00"))
    found = timeline(lambda step: {at("2026-11-24T10:07"): 3, at("2026-11-24T10:59"): 1}, whole)
    assert found is not None
    assert (found.start, found.step, len(found.counts), found.total) == (whole.since, timedelta(minutes=1), 60, 4)
    assert (found.counts[7], found.counts[59]) == (3, 1)


def test_weeks_begin_on_monday_and_hold_their_days() -> None:
    days = {at("2025-11-24") + n * DAY: n + 1 for n in range(370)}
    found = timeline(lambda step: days)
    assert found is not None
    assert found.start.weekday() == 0
    assert found.step == timedelta(weeks=1)
    assert found.total == sum(days.values())
    assert found.counts[0] == 1 + 2 + 3 + 4 + 5 + 6 + 7


def test_one_try_dated_far_off_does_not_draw_thousands_of_bars() -> None:
    found = timeline(lambda step: {at("0001-01-01"): 1, at("2026-11-24"): 2}, Span(at("0001-01-01"), at("9999-12-30")))
    assert found is not None
    assert (found.total, sum(found.counts), len(found.counts)) == (3, 2, 800)
    assert timeline(lambda step: {}) is None


def test_a_span_is_told_and_widened() -> None:
    assert span("2026-11-24", "2026-11-26").words == "24 Nov 2026 to 26 Nov 2026"  # type: ignore[union-attr]
    assert span("2026-11-24", "").words == "24 Nov 2026"  # type: ignore[union-attr]
    day = Span(at("2026-11-24T10:00"), at("2026-11-24T12:00"))
    assert day.words == "24 Nov 2026, 10:00 to 12:00 UTC"
    assert day.wider == Span(at("2026-11-24T09:00"), at("2026-11-24T13:00"))
    far = Span(at("0001-01-01"), at("9999-12-30"))
    assert far.wider == far
