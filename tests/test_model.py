"""How two facts about one try merge: always towards the better, in any order."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from triage.model import Circumstance, CircumstanceKind, LogLine, LogStatus, Occurrence, Signature, TaskTry, merge

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEY = TaskTry("prod", "orders", "run", "load", 3, 2)


def fact(**more: object) -> Occurrence:
    return replace(Occurrence(KEY, NOW, NOW), **more)  # type: ignore[arg-type]


@st.composite
def facts(draw: st.DrawFn) -> Occurrence:
    log = draw(st.sampled_from(LogStatus))
    fetches = 0 if log is LogStatus.PENDING else draw(st.integers(1, 4))
    size = draw(st.integers(1, 3)) if fetches else 0
    unread = draw(st.integers(0, 2)) if fetches else 0
    marked = Circumstance(CircumstanceKind.MARKED, "marked failed by maria")
    circumstance = draw(st.sampled_from([None, marked]))
    return fact(
        ended_at=NOW + timedelta(seconds=draw(st.integers(0, 3))),
        is_event_time=draw(st.booleans()),
        circumstance=circumstance,
        signed_knowing=circumstance is not None and log is not LogStatus.PENDING,
        log=log,
        log_bytes=size + unread,
        log_unread=unread,
        fetches=fetches,
        next_fetch_at=None if log is LogStatus.WHOLE else NOW + timedelta(minutes=fetches),
        signature=Signature(1, f"1:{log}{size}{unread}{circumstance is None}", "t", "c")
        if log is not LogStatus.PENDING
        else None,
        kept=(LogLine(1, f"{log}{size}{unread}"),) if log is not LogStatus.PENDING else None,
        is_final=draw(st.sampled_from([None, True, False])),
        operator=draw(st.sampled_from(["", "BashOperator"])),
    )


def test_the_id_is_the_same_everywhere_and_tells_keys_apart() -> None:
    assert KEY.id == "316e923d57a583ebeb54c401385d018d"
    ids = {
        replace(KEY, **{name: value}).id
        for name, value in [("map_index", -1), ("try_number", 1), ("run_id", "r"), ("deployment", "dev")]
    }  # type: ignore[arg-type]
    assert len(ids | {KEY.id}) == 5


@given(st.lists(facts(), min_size=1, max_size=4))
def test_merging_gives_the_same_reading_in_any_order_and_however_often(several: list[Occurrence]) -> None:
    results = []
    for order in itertools.permutations(several):
        merged = order[0]
        for other in order[1:]:
            merged = merge(merged, other)
        assert all(merge(merged, other) is merged for other in order), "a fact merged before changes nothing"
        results.append(
            (
                merged.log,
                merged.log_bytes,
                merged.log_unread,
                merged.signature,
                merged.kept,
                merged.is_final,
                merged.operator,
                merged.ended_at,
            )
        )
    assert all(result == results[0] for result in results)


def test_a_signature_made_before_the_circumstance_was_known_is_made_again() -> None:
    marking = Circumstance(CircumstanceKind.MARKED, "marked failed by maria")
    blind = fact(log=LogStatus.WHOLE, fetches=1, signature=Signature(1, "1:a", "t", "c"))
    knowing = replace(
        blind, circumstance=marking, signature=Signature(1, "1:b", "t", "c"), signed_knowing=True, fetches=2
    )
    learned = fact(circumstance=marking, seen_at=NOW + timedelta(minutes=1))
    for merged in (merge(blind, learned), merge(learned, blind)):
        assert merged.next_fetch_at is not None
        again = merge(merged, knowing)
        assert (again.fingerprint, again.next_fetch_at) == ("1:b", None)
        assert merge(again, blind) is again
        assert merge(again, learned) is again


def test_the_surer_time_of_the_end_wins() -> None:
    worker, event = fact(ended_at=NOW - timedelta(hours=1)), fact(ended_at=NOW, is_event_time=True)
    marking = Circumstance(CircumstanceKind.MARKED, "marked failed by maria")
    marked = fact(ended_at=NOW + timedelta(hours=2), circumstance=marking)
    assert merge(worker, event).ended_at == merge(event, worker).ended_at == event.ended_at
    assert (
        merge(merge(marked, worker), event).ended_at == merge(merge(event, worker), marked).ended_at == marked.ended_at
    )


def test_the_bundle_of_the_better_reading_counts_in_any_order() -> None:
    listed = fact(bundle_version="a", bundle_url="https://g/a")
    read = fact(log=LogStatus.WHOLE, fetches=1, log_bytes=9, bundle_version="b", bundle_url="https://g/b")
    for merged in (merge(listed, read), merge(read, listed), merge(merge(listed, read), listed)):
        assert (merged.bundle_version, merged.bundle_url) == ("b", "https://g/b")


def test_a_later_lesser_reading_never_replaces_a_better_one() -> None:
    whole = fact(
        log=LogStatus.WHOLE, fetches=1, log_bytes=9, signature=Signature(1, "1:a", "t", "c"), kept=(LogLine(1, "x"),)
    )
    for status in (LogStatus.PENDING, LogStatus.MISSING, LogStatus.PARTIAL):
        merged = merge(whole, fact(log=status, fetches=5, next_fetch_at=NOW))
        assert (merged.log, merged.kept, merged.next_fetch_at) == (LogStatus.WHOLE, whole.kept, None)


def test_once_retried_always_retried() -> None:
    assert merge(fact(is_final=True), fact(is_final=False)).is_final is False
    assert merge(fact(is_final=False), fact(is_final=True)).is_final is False


def test_a_circumstance_learned_late_makes_a_log_that_is_not_whole_due_again() -> None:
    lost = Circumstance(CircumstanceKind.HEARTBEAT_LOST, "no heartbeat")
    later = NOW + timedelta(minutes=1)
    settled = fact(log=LogStatus.MISSING, fetches=4, signature=Signature(1, "1:a", "t", "c"))
    merged = merge(settled, fact(circumstance=lost, seen_at=later))
    assert (merged.circumstance, merged.next_fetch_at) == (lost, later)
    assert merge(fact(log=LogStatus.WHOLE, fetches=1), fact(circumstance=lost)).next_fetch_at is None


def test_a_failure_marked_by_hand_is_dated_by_its_marking() -> None:
    later = NOW + timedelta(hours=1)
    marked = fact(circumstance=Circumstance(CircumstanceKind.MARKED, by="ann", at=later), ended_at=later)
    assert merge(fact(), marked).ended_at == later
