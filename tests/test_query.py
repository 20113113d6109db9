"""The search language: what a person types, and the tree it becomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.errors import InputError
from triage.query import EVERYTHING, Between, Both, Either, Field, Never, Words, parse

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", EVERYTHING),
        (" * ", EVERYTHING),
        ("disk full", Both((Words(("disk",)), Words(("full",))))),
        ('"disk full"', Words(("disk", "full"))),
        ("disk OR full", Either((Words(("disk",)), Words(("full",))))),
        ("-disk", Never(Words(("disk",)))),
        ("dag_id:orders", Field("dag", "orders")),
        ("dag:Orders*", Field("dag", "orders", prefix=True)),
        ("try:2", Between("try", 2, 2)),
        ("map:[1 TO *]", Between("map", 1, None)),
        ("at:[now-7d TO now]", Between("at", NOW - timedelta(days=7), NOW)),
        ("at:2026-11-24", Between("at", datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC))),
        ("dag:(a OR b)", Either((Field("dag", "a"), Field("dag", "b")))),
        (r"a\:b", Words(("a", "b"))),
    ],
)
def test_a_query_becomes_a_tree(text: str, tree: object) -> None:
    assert parse(text, NOW) == tree


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dga:x", "Did you mean 'dag'?"),
        ("try:two", "not a whole number"),
        ("at:yesterday", "not a date"),
        ("title:[a TO b]", "A range needs one of the fields"),
        ("(a", "cannot be read"),
        ("a~2", "does not know"),
        ("try:99999999999999999999", "not a whole number"),
        ("at:[now-999999w TO now]", "not a date"),
        ("NOT " * 150 + "a", "nested too deeply"),
        (" OR ".join(["dag:x"] * 1100), "has 9896 characters"),
    ],
)
def test_a_wrong_query_gets_one_sentence(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says.replace("?", r"\?")):
        parse(text, NOW)


@given(st.text(max_size=60))
def test_any_text_is_a_query_or_one_sentence(text: str) -> None:
    try:
        parse(text, NOW)
    except InputError as exc:
        assert "\n" not in exc.what
