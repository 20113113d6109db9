"""Highlights: which parts of a shown text a query found."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.naive_search import _stand
from triage.highlight import _placed, marked, sought, spans
from triage.query import Words, parse
from triage.tokens import cut

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "text", "shown"),
    [
        ("disk", "Disk full, disk.", "|Disk| full, |disk|."),
        ('"disk full"', "disk: full disk", "|disk: full| disk"),
        ("refus*", "was Refused!", "was |Refused|!"),
        ("snake_case", "a snake_case b", "a |snake_case| b"),
        ("-disk full", "disk full", "disk |full|"),
        ("disk OR full", "disk full", "|disk| |full|"),
        ("größe", "die GRO\u0308SSE ist Größe", "die |GRO\u0308SSE| ist |Größe|"),
        ("cafe", "cafe\u0301s cafe\u0301 café", "cafe\u0301s |cafe\u0301| |café|"),
        ("データ", "大データ量", "大|データ|量"),
        ("👍", "ok 👍🏽!", "ok |👍🏽|!"),
        ("title:boom", "boom", "boom"),
        ("dag:disk", "disk", "disk"),
        ("aa bb", "aa aa bb", "|aa| |aa| |bb|"),
        ('"aa bb" OR "bb cc"', "aa bb cc", "|aa bb cc|"),
        ("file", "ﬁle", "|ﬁle|"),
        ("*", "all of it", "all of it"),
    ],
)
def test_what_a_query_found_is_marked(query: str, text: str, shown: str) -> None:
    parts = marked(text, sought(parse(query, NOW)))
    assert "|".join(parts) == shown
    assert "".join(parts) == text


def test_a_title_shows_what_is_sought_in_titles_alone() -> None:
    words = sought(parse("title:boom text", NOW))
    assert marked("boom text", words, is_title=True) == ["", "boom", " ", "text", ""]


LETTERS = st.text(alphabet="aB1_ .éßİ\u0301ｶﾞガ日한\u1112\u1161\u11ab👍🏽\u200dﬁ½ि", max_size=12)


@given(st.one_of(st.text(max_size=30), LETTERS))
@example("한")
@example("a\u0301\u200db")
def test_the_tokens_of_a_text_are_found_where_they_stand(text: str) -> None:
    placed = _placed(text)
    assert [token for token, _, _ in placed] == cut(text)
    for token, first, last in placed:
        assert token in cut(text[first:last]) or last - first == 1
    assert placed == sorted(placed, key=lambda one: one[1])


@given(st.one_of(st.text(max_size=30), LETTERS), st.data())
def test_what_is_marked_is_what_a_store_would_find(text: str, data: st.DataObject) -> None:
    tokens = cut(text)
    if not tokens:
        return
    place = data.draw(st.integers(0, len(tokens) - 1))
    words = Words(tuple(tokens[place : place + data.draw(st.integers(1, 3))]))
    assert spans(text, (words,)) != []
    other = Words(("zz", *words.tokens))
    assert bool(spans(text, (other,))) == _stand(tokens, other.tokens, False)
