"""What a query found in a text: marked by the tokens that found it, wherever they stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store_contract import NOW
from triage.hits import parts, snippet, wanted
from triage.model import Frame, LogLine, Raised
from triage.query import parse
from triage.tokens import cut


def marked(text: str, query: str) -> list[str]:
    found = parts(text, wanted(parse(query, NOW)))
    assert "".join(piece for piece, _ in found) == text
    return [piece for piece, is_hit in found if is_hit]


@pytest.mark.parametrize(
    ("text", "query", "hits"),
    [
        ("Disk full on /var", "disk full", ["Disk", "full"]),
        ("Disk full, disk_full", '"disk full"', ["Disk full", "disk_full"]),
        ("refused, refusing", "refus*", ["refused", "refusing"]),
        ("refused", "ref", []),
        ("a load of load", "load -disk dag:load", ["load", "load"]),
        ("Größe überschritten", "grosse", ["Größe"]),
        ("数据库连接失败: timeout", "连接", ["连接"]),
        ("boom 🚀🚀", "🚀", ["🚀", "🚀"]),
        ("a<b> <img src=x>", "img", ["img"]),
        ("ab cd", "(ab OR cd) -ab", ["ab", "cd"]),
    ],
)
def test_words_are_marked_where_they_stand(text: str, query: str, hits: list[str]) -> None:
    assert marked(text, query) == hits


@given(st.text(max_size=60), st.text(max_size=6))
def test_any_text_is_its_parts(text: str, word: str) -> None:
    if cut(word):
        parts_ = parts(text, wanted(parse(f'"{" ".join(cut(word))}"', NOW)))
        assert "".join(piece for piece, _ in parts_) == text


def test_the_first_line_with_most_of_the_words_is_shown_between_its_neighbours() -> None:
    lines = [LogLine(n, text) for n, text in enumerate(("disk ok", "x", "disk is full", "y", "disk full"), 1)]
    found = snippet(lines, wanted(parse("disk full", NOW)), str)
    assert found is not None
    assert found.number == 3
    assert [number for number, _ in found.lines] == [2, 3, 4]
    assert found.lines[1][1] == (("disk", True), (" is ", False), ("full", True))
    assert snippet(lines, wanted(parse("nothing", NOW)), str) is None


def test_a_long_line_is_cut_around_its_hit_and_what_it_raised_is_searched() -> None:
    lines = [LogLine(-2, "x " * 5_000 + "needle " + "y " * 5_000, raised=(Raised("KeyError", "'thorn'", ()),))]
    found = snippet(lines, wanted(parse("needle", NOW)), str)
    assert found is not None
    assert found.number == -2
    assert ("needle", True) in found.lines[0][1]
    assert len("".join(piece for piece, _ in found.lines[0][1])) < 500
    assert snippet(lines, wanted(parse("thorn", NOW)), str) is not None


def test_a_hit_in_a_frame_or_a_note_alone_is_shown_and_no_other_frame() -> None:
    frames = (Frame("/dags/orders.py", 7, "load"), Frame("/dags/deep.py", 9, "pull"))
    lines = [LogLine(4, "Task failed", raised=(Raised("KeyError", "'a'", frames, notes=("row 12 of brambles",)),))]
    for query, shown in (
        ("deep pull", "Task failed File \"/dags/deep.py\", line 9, in pull KeyError: 'a'"),
        ("brambles", "Task failed KeyError: 'a' row 12 of brambles"),
    ):
        found = snippet(lines, wanted(parse(query, NOW)), str)
        assert found is not None
        ((number, pieces),) = found.lines
        assert (number, "".join(piece for piece, _ in pieces)) == (4, shown)
        assert [piece for piece, is_hit in pieces if is_hit] == query.split()
