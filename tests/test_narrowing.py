"""A query's text, edited: what a click on a value adds, and what its chip takes out again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store_contract import NOW
from triage.narrowing import FACETED, added, chosen, term
from triage.query import Both, Either, Field, parse
from triage.tokens import fold

HOSTILE = (
    "a b", 'say "x"', "c:\\dags\\", "star*", "*", "a:b", "(x)", "[1 TO 2]", "{y}", "AND", "not", "OR", "-lead", "+plus", "~", "/re/", "<b>x</b>",
    "**bold** [l](javascript:1)", "x\ny", "tab\tx", "日本 語", "🚀", "ﬁ", "Größe", "\\", '"', '\\"', "a\\", "x^2", "a&&b", "!", "?", "$x$", "#", "\u202ex",
)  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", FACETED)
def test_a_term_finds_its_very_value(field: str, value: str) -> None:
    assert parse(term(field, value), NOW) == Field(field, fold(value))


@given(st.text(min_size=1, max_size=300).filter(lambda text: fold(text).strip() and "\0" not in text))
def test_any_value_can_be_written_as_a_term_added_and_taken_out(value: str) -> None:
    text = added("disk full", term("dag", value))
    assert Field("dag", fold(value)) in parse(text, NOW).parts  # type: ignore[union-attr]
    (one,) = chosen(text)
    assert (one.field, fold(one.value), one.rest) == ("dag", fold(value), "disk full")


@pytest.mark.parametrize(
    ("text", "more", "result"),
    [
        ("", "dag:a", "dag:a"),
        ("*", "dag:a", "dag:a"),
        ("disk", "dag:a", "disk dag:a"),
        ("disk dag:a", "dag:a", "disk dag:a"),
        ("a OR b", "dag:a", "(a OR b) dag:a"),
        ("(a OR b) c", "dag:a", "(a OR b) c dag:a"),
        ('"a OR b"', "dag:a", '"a OR b" dag:a'),
        ("NOT a", "dag:a", "NOT a dag:a"),
        (r"a\ OR b", "dag:a", r"a\ OR b dag:a"),
    ],
)
def test_a_term_is_added_to_all_of_the_query(text: str, more: str, result: str) -> None:
    assert added(text, more) == result


def test_what_was_an_alternative_stays_one() -> None:
    found = parse(added("a OR b", "dag:x"), NOW)
    assert isinstance(found, Both)
    assert isinstance(found.parts[0], Either)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("disk dag:a task:b", [("dag", "a", "disk task:b"), ("task", "b", "disk dag:a")]),
        ("disk AND dag_id:a", [("dag", "a", "disk")]),
        ('cause:"rate limit"', [("cause", "rate limit", "")]),
        ("-dag:a NOT task:b dag:c*", []),
        ("dag:a OR dag:b", []),
        ("(dag:a) title:x", []),
        ('dag:"open', []),
        ("dag:a)", []),
    ],
)
def test_only_what_must_hold_of_every_try_is_chosen(text: str, found: list[tuple[str, str, str]]) -> None:
    assert [(one.field, one.value, one.rest) for one in chosen(text)] == found
