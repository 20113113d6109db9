"""Tokens: what a word is, for a query and for what is kept."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.store_contract import occurrence
from triage import tokens
from triage.model import Frame, LogLine, Raised
from triage.tokens import cut, fold, placed


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" -- /:.,_ ", []),
        ("KeyError: 'amount'", ["keyerror", "amount"]),
        ("snake_case.py", ["snake", "case", "py"]),
        ("s3://bucket/a-b.csv?x=1", ["s3", "bucket", "a", "b", "csv", "x", "1"]),
        ("[2024-01-01 10:00]", ["2024", "01", "01", "10", "00"]),
        ("Größe STRASSE Straße", ["grosse", "strasse", "strasse"]),
        ("İstanbul ISTANBUL ı", ["istanbul", "istanbul", "ı"]),
        ("cafe\u0301 café ﬁle ＡＢ", ["cafe", "cafe", "file", "ab"]),
        ("データ量abc", ["デ", "ー", "タ", "量", "abc"]),
        ("ガ ｶﾞ カ", ["ガ", "ガ", "カ"]),
        ("데이터를", ["데", "이", "터", "를"]),
        ("مُحَمَّد أحمد", ["محمد", "احمد"]),
        ("ключ Ёлка", ["ключ", "елка"]),
        ("हिन्दी", ["हिनदी"]),
        ("👍🏽ok 👩\u200d💻 ✅", ["👍", "ok", "👩", "💻", "✅"]),
        ("می\u200cخواهم soft\u00adhyphen", ["میخواهم", "softhyphen"]),
        ("a\0b\ud800c ─│►", ["a", "b", "c"]),
        ("x" * 300, ["x" * 100]),
    ],
)
def test_a_text_is_cut_into_tokens(text: str, found: list[str]) -> None:
    assert cut(text) == found


@pytest.mark.parametrize(
    ("value", "folded"),
    [
        ("Team_Data-2", "team_data-2"),
        ("Ärzte, Bob", "arzte, bob"),
        ("straße", "strasse"),
        ("a\0b\n", "a b "),
        ("ＤＡＧ", "dag"),
        ("y" * 700, "y" * 500),
    ],
)
def test_a_value_is_compared_without_case_accents_and_width(value: str, folded: str) -> None:
    assert fold(value) == folded


@given(st.text())
def test_what_is_cut_stays_as_it_is_and_is_parted_by_spaces_alone(text: str) -> None:
    found = cut(text)
    assert cut(" ".join(found)) == found == " ".join(found).split()
    assert all(0 < len(token) <= tokens.LONGEST for token in found)
    "".join(found).encode()
    assert fold(fold(text)) == fold(text)


@given(st.text(), st.text())
def test_words_parted_by_a_space_are_cut_each_for_itself(one: str, other: str) -> None:
    assert cut(f"{one} {other}") == cut(one) + cut(other)


def test_title_ids_host_log_and_exceptions_are_searched_and_what_is_written_in_a_line_once() -> None:
    frames = (Frame("/dags/orders.py", 12, "load"), Frame("<frozen>", None, "run"))
    inner = Raised("OSError", "no disk", notes=("see wiki",))
    lines = [
        LogLine(1, "failed", raised=(Raised("ValueError", "bad", frames, parts=((inner,),)),)),
        LogLine(2, 'Traceback: File "/a.py", line 3, in f; KeyError: 1', raised=(Raised("KeyError", "1"),)),
    ]
    said = tokens.of(occurrence(1, host="w-7"), lines)
    assert said == (
        "keyerror amount orders load run 1 w 7 failed file dags orders py line 12 in load file frozen line in run "
        "valueerror bad oserror no disk see wiki traceback file a py line 3 in f keyerror 1"
    )


LETTERS = st.text(alphabet="aB1_ .éßİ\u0301ｶﾞガ日한\u1112\u1161\u11ab👍🏽\u200dﬁ½ि", max_size=12)


@given(st.one_of(st.text(max_size=30), LETTERS))
@example("한")
@example("a\u0301\u200db")
def test_the_tokens_of_a_text_are_found_where_they_stand(text: str) -> None:
    found = placed(text)
    assert [token for _, _, token in found] == cut(text)
    assert found == sorted(found, key=lambda one: one[0])
    for first, last, token in found:
        assert token in cut(text[first:last]) or last - first == 1


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Disk: full!", ["Disk", "full"]),
        ("die GRO\u0308SSE ﬁle", ["die", "GRO\u0308SSE", "ﬁle"]),
        ("大データ ｶﾞ", ["大", "デ", "ー", "タ", "ｶﾞ"]),
        ("ok 👍🏽!", ["ok", "👍🏽"]),
        ("x" * 120 + " y", ["x" * 120, "y"]),
    ],
)
def test_a_place_holds_a_word_as_it_is_shown(text: str, pieces: list[str]) -> None:
    assert [text[first:last] for first, last, _ in placed(text)] == pieces
