"""Foreign text in GitLab's Markdown: 2,656 attacks in every place of an issue, and any text at all; nothing comes to life."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.gitlab_attacks import ATTACKS, FORMS, PLACES
from tests.gitlab_reports import doings, facts_of, spoken, turned
from tests.gitlab_rules import effects, parser, title_effects
from triage.markdown import EVIDENCE_MAX, JOINER, TITLE_MAX, Safe, code, cut, fence, link, plain, shown, title

# Any text, and texts made of what means something to GitLab.
SIGNS = "`~/\\*_[]<>!@#$%^&|:;-+= \n\r\t\u2028\u2029\x00\u200b\u202e"
TEXTS = st.one_of(
    st.text(), st.text(st.sampled_from(SIGNS + "ab1"), max_size=60),
    st.lists(st.sampled_from([text for form in FORMS for text in form.texts]), max_size=4).map("\n".join),
)  # fmt: skip
CELLS = ("table_open", "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close", "tr_open", "tr_close",
         "th_open", "th_close", "td_open", "td_close", "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close")  # fmt: skip


def test_most_attacks_do_something_where_nobody_makes_them_harmless() -> None:
    """Else the rules would find nothing whatever the text was."""
    live = [attack for attack in ATTACKS if effects(attack.text) or title_effects(attack.text)]
    assert len(ATTACKS) >= 1000
    assert len(live) > 2_300
    names = {form.name for form in FORMS} - {"backticks that pair with ours", "backslash"}
    assert names <= {attack.form for attack in live}


@pytest.mark.parametrize("part", range(3))
def test_no_attack_takes_effect_in_any_place_of_an_issue(part: int) -> None:
    """Each of the texts stands in six of the eighteen places, and each place holds each form; all at once hold others."""
    texts = [attack.text for attack in ATTACKS]
    for turn in range(3 * part, len(texts), 9):
        assert list(doings(facts_of(turned(texts, turn)))) == [], f"turn {turn}"


@pytest.mark.parametrize(
    "text",
    [
        "words",
        "",
        " ",
        "\n",
        "x" * 1_000_000,
        "@root #1 " * 110_000,
        "[" * 100_000,
        "`" * 100_000,
        "> " * 50_000,
        "<b>" * 50_000,
    ],
)
def test_a_text_of_any_length_stays_words_everywhere(text: str) -> None:
    said = (
        spoken(text)
        if text.strip()
        else (lambda place: text if place in ("evidence", "exception", "owner") else "words")
    )
    assert [found for found in doings(facts_of(said)) if found != "another structure"] == []


@given(TEXTS)
@example("\n\n>>>\n/close\n>>>\n\n")
@example("````\n/close\n````text")
@example("<!-- airtriage:end -->\n/close")
@example("0:TASK")
def test_any_text_is_harmless_in_any_line(text: str) -> None:
    body = (
        f"Words {code(text)} and {plain(text)}\n{plain(text)} {code(text)}\n\n{plain(text)}\n\n{fence(text)}\n\n| a | b |\n|---|---|\n"
        f"| {code(text)} | {plain(text)} |\n\n- {plain(text)}\n- {code(text)}\n"
    )  # fmt: skip
    assert effects(body, allowed=CELLS) == []
    assert sum(token.type == "fence" for token in parser().parse(body)) == 1
    assert sum(token.type == "td_open" for token in parser().parse(body)) == 2


@given(TEXTS)
def test_any_text_is_a_title(text: str) -> None:
    assert title_effects(title(text)) == []


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]) | st.sampled_from(" \n`~/<>#"), max_size=200))
def test_a_fence_shows_the_text_itself(text: str) -> None:
    (token,) = [token for token in parser().parse(fence(text)) if token.type == "fence"]
    told = token.content.removesuffix("\n").replace(f">>>{JOINER}", ">>>").replace(f"<!--{JOINER}", "<!--")
    assert told == text.strip("\n")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=100))
def test_code_shows_the_text_itself(text: str) -> None:
    (token,) = parser().parseInline(f"a {code(text)} b")
    (found,) = [child for child in token.children or [] if child.type == "code_inline"]
    assert found.content.replace(JOINER, "").replace("\u2502", "|") == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=100))
def test_words_show_the_text_itself(text: str) -> None:
    (token,) = parser().parseInline(plain(text))
    assert "".join(child.content for child in token.children or []).replace(JOINER, "") == text


def test_a_fence_is_longer_than_what_it_holds_and_its_lines_start_with_a_space() -> None:
    made = fence("a\n`````\n/close\n\nb")
    assert made.split("\n") == [" ``````text", " a", " `````", " /close", "", " b", " ``````"]


def test_control_characters_are_shown() -> None:
    assert shown("a\x1b[31mb\x1b[0m\x00\u202ec\r\nd\re") == "ab<U+0000><U+202E>c\nd\ne"
    assert fence("a\u2028/close").split("\n")[1] == " a<U+2028>/close"


def test_a_title_has_255_characters_at_most_joiners_included() -> None:
    assert title("x" * 300) == "x" * 254 + "…"
    made = title("#1 " * 300)
    assert len(made) <= TITLE_MAX
    assert made.endswith("…")
    assert len(made) > 200
    assert title("KeyError: 'id' in load() (etl.load)") == "KeyError: 'id' in load() (etl.load)"


def test_a_long_text_keeps_its_beginning_and_more_of_its_end() -> None:
    text = "\n".join(f"line {n}" for n in range(20_000))
    made = fence(text)
    assert len(made.encode()) < EVIDENCE_MAX + 5_000
    assert made.split("\n")[1] == " line 0"
    assert made.split("\n")[-2] == " line 19999"
    assert "bytes left out here" in made


@given(st.text(), st.integers(0, 40))
def test_a_cut_is_whole_characters_and_never_too_long(text: str, size: int) -> None:
    made = cut(text.encode("utf-8", "replace").decode(), size)
    assert len(made.encode()) <= size
    assert text.encode("utf-8", "replace").decode().startswith(made)


def test_only_web_addresses_become_links() -> None:
    assert link("a", "https://x.example/a b(c)<d>&lt;?q=`") == "[a](https://x.example/a%20b%28c%29%3Cd%3E&lt%3B?q=%60)"
    for url in ("javascript:alert(1)", "data:text/html,x", "//evil", "https://u:p@x.example/", "https://[", ""):
        assert link("a", url) == "a"


def test_what_is_done_to_safe_text_is_not_safe_any_more() -> None:
    assert isinstance(code("a"), Safe)
    assert not isinstance(code("a") + "b", Safe)
    assert not isinstance(code("a")[1:], Safe)


def test_every_place_of_a_report_is_said() -> None:
    asked: list[str] = []
    facts_of(lambda place: asked.append(place) or "words")
    assert set(asked) == set(PLACES)
