"""The gaps of a cursor as people see them: joined over both listings, parts that are passed by apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from triage.missed import join
from triage.watched import Gap, Listing

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def gap(listing: Listing, since: int, until: int, left: int, **more: object) -> Gap:
    """A gap in hours ago."""
    return Gap(listing, NOW - since * HOUR, NOW - until * HOUR, NOW - left * HOUR, **more)  # type: ignore[arg-type]


def test_one_stretch_of_both_listings_is_read_as_far_as_the_slower_one() -> None:
    (one,) = join([gap(Listing.EVENTS, 48, 1, 30), gap(Listing.INSTANCES, 48, 1, 20)])
    assert (one.since, one.until, one.left, one.is_open) == (NOW - 48 * HOUR, NOW - HOUR, NOW - 20 * HOUR, True)


def test_a_stretch_is_closed_when_both_listings_are() -> None:
    closed = gap(Listing.EVENTS, 48, 1, 48, closed_at=NOW)
    (one,) = join([closed, gap(Listing.INSTANCES, 48, 1, 20)])
    assert (one.is_open, one.left) == (True, NOW - 20 * HOUR)
    (one,) = join([closed, gap(Listing.INSTANCES, 48, 1, 48, closed_at=NOW)])
    assert not one.is_open


def test_first_contact_an_absence_and_a_broken_part_stay_apart() -> None:
    gaps = [
        gap(Listing.EVENTS, 168, 100, 120, is_first=True),
        gap(Listing.EVENTS, 48, 1, 20),
        gap(Listing.EVENTS, 12, 11, 11, retry_at=NOW + HOUR),
        gap(Listing.EVENTS, 90, 80, 85),
    ]
    assert [(one.is_first, one.retry_at is not None) for one in join(gaps)] == [
        (False, False), (False, False), (False, True), (True, False),
    ]  # fmt: skip


def test_a_broken_part_that_was_read_in_the_end_joins_the_rest() -> None:
    gaps = [gap(Listing.EVENTS, 48, 1, 48, closed_at=NOW), gap(Listing.EVENTS, 12, 11, 12, retry_at=NOW, closed_at=NOW)]
    (one,) = join(gaps)
    assert not one.is_open
