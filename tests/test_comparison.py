"""Which lines of a failed log are new against a good one, in tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage import comparison
from triage.comparison import Difference
from triage.model import Frame, LogLine, Raised

BAD, GOOD = "scheduled__2026-11-25T06:00:00+00:00", "scheduled__2026-11-24T06:00:00+00:00"


def lines(*texts: str) -> list[LogLine]:
    return [LogLine(number, text) for number, text in enumerate(texts, 1)]


def new(failed: list[LogLine], good: list[LogLine]) -> tuple[int, ...]:
    difference = Difference(failed, BAD, GOOD)
    assert list(difference.good(good)) == good
    return difference.new


@pytest.mark.parametrize(
    ("failed", "good"),
    [
        ("wrote 512 rows in 3.2s", "wrote 7 rows in 12.9s"),
        ("loaded on 2026-11-25 06:00:03", "loaded on 2026-11-24 06:00:09"),
        ("job 1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed began", "job 00000000-0000-4b2d-9b5d-ab8dfbbd4bed began"),
        ("reading /data/2026-11-25/orders_17.csv", "reading /data/2026-11-24/orders_3.csv"),
        (f"run {BAD} of orders", f"run {GOOD} of orders"),
        ("GET https://api.example.com/v1/orders/81723?page=2", "GET https://api.example.com/v1/orders/99001?page=7"),
        ("connected as svc, password=hunter2", "connected as svc, password=***"),
        ("  indented   text ", "indented text"),
        ("x" * 9000 + "1", "x" * 9000 + "2"),
    ],
)
def test_lines_that_differ_in_what_varies_are_the_same(failed: str, good: str) -> None:
    assert new(lines(failed), lines("something else", good)) == ()


@pytest.mark.parametrize(
    ("failed", "good"),
    [
        ("KeyError: 'customer_id'", "customer_id is there"),
        ("the API answered status 503", "the API answered status 200"),
        ("no such column: vat_rate", "no such column: total"),
        ("exit code 3", "exit code 0"),
    ],
)
def test_lines_that_differ_in_what_names_a_cause_are_new(failed: str, good: str) -> None:
    assert new(lines("same", failed), lines("same", good)) == (2,)


def test_a_status_is_told_from_an_earlier_one_of_the_same_shape() -> None:
    assert new(lines("status 404"), lines("status 200", "status 500", "status 404")) == ()


def test_every_repetition_of_a_new_line_is_new_and_a_blank_line_never_is() -> None:
    assert new(lines("begin", "", "retrying in 3 s", "  ", "retrying in 9 s"), lines("begin")) == (3, 5)


def test_against_an_empty_log_everything_is_new_and_against_itself_nothing() -> None:
    every = lines("a b", "c d", "")
    assert new(every, []) == (1, 2)
    assert new(every, every) == ()


def test_the_same_words_with_another_exception_are_new() -> None:
    def raising(kind: str, value: str, line: int) -> LogLine:
        return LogLine(1, "Task failed with exception", raised=(Raised(kind, value, (Frame("a.py", line, "f"),)),))

    assert new([raising("KeyError", "'a'", 3)], [raising("ValueError", "a", 3)]) == (1,)
    assert new([raising("KeyError", "row 17", 3)], [raising("KeyError", "row 4", 9)]) == ()


def test_a_run_id_that_is_part_of_any_word_is_no_run_id() -> None:
    difference = Difference(lines("a cat sat"), "a", "cat")
    list(difference.good(lines("a cat sat")))
    assert difference.new == ()


def test_a_good_log_that_is_too_long_is_looked_at_in_part_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_MASKED", 2)
    difference = Difference(lines("late"), BAD, GOOD)
    list(difference.good(lines("first of all", "second to none", "late")))
    assert difference.is_cut
    assert difference.new == (1,)
    whole = Difference(lines("late"), BAD, GOOD)
    list(whole.good(lines("late")))
    assert not whole.is_cut


def test_a_log_that_repeats_itself_is_masked_once_a_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_MASKED", 3)
    difference = Difference(lines("the end"), BAD, GOOD)
    list(difference.good(lines(*[f"batch {n} of 512 written" for n in range(1000)], "the end")))
    assert difference.new == ()


@given(st.lists(st.text(max_size=40), max_size=8), st.lists(st.text(max_size=40), max_size=8))
def test_whatever_the_lines_hold_only_numbers_of_the_failed_log_come_out(failed: list[str], good: list[str]) -> None:
    found = new(lines(*failed), lines(*good))
    assert list(found) == sorted(set(found))
    assert set(found) <= set(range(1, len(failed) + 1))
    assert new(lines(*failed), lines(*good, *failed)) == ()
