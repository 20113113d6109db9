"""Words to airtriage in a comment of GitLab: every form, what is no order, and where none counts."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.orders import WORDS, Misread, Order, Verb, parse

DAY = timedelta(days=1)
READ: tuple[tuple[str, Order], ...] = (
    ("mute", Order(Verb.MUTE)),
    ("mute for good", Order(Verb.MUTE)),
    ("mute 7d", Order(Verb.MUTE, lasting=7 * DAY)),
    ("mute for 30m", Order(Verb.MUTE, lasting=timedelta(minutes=30))),
    ("mute 12 hours", Order(Verb.MUTE, lasting=DAY / 2)),
    ("mute 2w because the vendor is down", Order(Verb.MUTE, lasting=14 * DAY, why="the vendor is down")),
    ("mute until 10 more", Order(Verb.MUTE, more=10)),
    ("mute until 1 more failure", Order(Verb.MUTE, more=1)),
    ("mute until spread", Order(Verb.MUTE, spread=True)),
    ("mute until closed because Known", Order(Verb.MUTE, closed=True, why="Known")),
    ("unmute", Order(Verb.UNMUTE)),
    ("resolve", Order(Verb.RESOLVE)),
    ("resolve because fixed in !12", Order(Verb.RESOLVE, why="fixed in !12")),
    ("resolve next deploy", Order(Verb.RESOLVE, next_deploy=True)),
    ("resolve in the next deploy", Order(Verb.RESOLVE, next_deploy=True)),
    ("resolve when quiet 7d", Order(Verb.RESOLVE, quiet=7 * DAY)),
    ("resolve when quiet for 1 day", Order(Verb.RESOLVE, quiet=DAY)),
    ("reopen", Order(Verb.REOPEN)),
    ("assign @Anna.S", Order(Verb.ASSIGN, to="Anna.S")),
    ("assign me", Order(Verb.ASSIGN, to="me")),
    ("assign nobody", Order(Verb.ASSIGN)),
    ("note It is the vendor's TLS, see !12", Order(Verb.NOTE, text="It is the vendor's TLS, see !12")),
    ("help", Order(Verb.HELP)),
    ("MUTE  7D", Order(Verb.MUTE, lasting=7 * DAY)),
)


@pytest.mark.parametrize(("words", "order"), READ, ids=[words for words, _ in READ])
@pytest.mark.parametrize("name", ["/airtriage ", "@project_7_bot_ab12 ", "/airtriage: ", "@project_7_bot_ab12, "])
def test_an_order_is_read_in_every_form(name: str, words: str, order: Order) -> None:
    assert parse(name + words, "project_7_bot_ab12") == [order]


def test_every_form_that_help_names_is_an_order() -> None:
    for form, _ in WORDS:
        assert all(isinstance(found, Order) for found in parse(f"/airtriage {form}")), form
        assert parse(f"/airtriage {form}"), form


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("", "It was not said what to do."),
        ("mutee", "`mutee` is not a word it knows."),
        ("mute 7", "`7` does not follow `mute`; a time is written 30m, 12h, 7d or 2w."),
        ("mute 0d", "`0d` does not follow `mute`; a time is written 30m, 12h, 7d or 2w."),
        ("mute until 0 more", "`0 more` does not follow `mute`; a time is written 30m, 12h, 7d or 2w."),
        ("mute 999999w", "`999999w` is longer than ten years."),
        ("unmute now", "`now` does not follow `unmute`."),
        ("resolve soon", "`soon` does not follow `resolve`."),
        ("resolve when quiet", "`when quiet` does not follow `resolve`."),
        ("assign", "It was not said to whom, as in `assign @name`, `assign me` or `assign nobody`."),
        ("assign @a @b", "It was not said to whom, as in `assign @name`, `assign me` or `assign nobody`."),
        ("note", "The note has no text."),
        ("x`y<img src=//e> /close", "`x?y?img` is not a word it knows."),
    ],
)
def test_what_is_no_order_is_said_in_one_sentence(words: str, why: str) -> None:
    assert parse(f"/airtriage {words}") == [Misread(words, why)]


def test_several_orders_of_one_comment_are_followed_in_order_and_at_most_ten() -> None:
    comment = "Thanks!\n/airtriage assign me\nand then\r\n/airtriage mute 7d\n\n/close"
    assert [one.verb for one in parse(comment) if isinstance(one, Order)] == [Verb.ASSIGN, Verb.MUTE]
    assert len(parse("/airtriage unmute\n" * 50)) == 10


@pytest.mark.parametrize(
    "comment",
    [
        "please /airtriage resolve",
        " /airtriage resolve",
        "    /airtriage resolve",
        "/airtriaged resolve",
        "/airtriage-bot resolve",
        "//airtriage resolve",
        "@somebody resolve",
        "\u2028/airtriage resolve",
        "Log:\u2028/airtriage resolve",
        "Log:\x0b/airtriage resolve\x0c/airtriage resolve\x85/airtriage resolve",
        "```\n/airtriage resolve\n```",
        "```text\n/airtriage resolve",
        "````\n```\n/airtriage resolve\n````",
        "~~~\n/airtriage resolve\n~~~",
        "   ```\n/airtriage resolve\n   ```",
        "> /airtriage resolve",
        "> they said\n/airtriage resolve",
        ">>>\nthey said\n\n/airtriage resolve\n>>>",
        "`a\n/airtriage resolve\nb`",
        "``a ` b\n/airtriage resolve\nb``",
        "<pre>\n\n/airtriage resolve\n</pre>",
        "<!--\n\n/airtriage resolve\n-->",
        "<details><summary>Log</summary>\n/airtriage resolve\n</details>",
        "<!-- airtriage:begin -->\n\n/airtriage resolve\n\n<!-- airtriage:end -->",
        "<!-- airtriage:begin -->\n\n/airtriage resolve",
    ],
)
def test_nothing_is_ordered_in_code_quotes_html_our_own_block_or_within_a_line(comment: str) -> None:
    assert parse(comment, "airtriage-bot") == []


@pytest.mark.parametrize(
    "comment",
    [
        "```\nlog\n```\n/airtriage resolve",
        "```\nlog\n`````\n/airtriage resolve",
        "> quoted\n\n/airtriage resolve",
        ">>>\nquoted\n>>>\n/airtriage resolve",
        "It is `one` thing\n/airtriage resolve\nof `two`",
        "An odd ` tick\n/airtriage resolve",
        "<!-- note --> to self\n/airtriage resolve",
        "<!-- airtriage:begin -->\nx\n<!-- airtriage:end -->\n/airtriage resolve",
        "/airtriage resolve   ",
        "``` `not a fence` ```\n/airtriage resolve",
    ],
)
def test_what_stands_after_code_or_a_quote_is_an_order_again(comment: str) -> None:
    assert parse(comment) == [Order(Verb.RESOLVE)]


def test_our_name_is_matched_as_it_is_and_its_absence_is_no_name() -> None:
    assert parse("@abot mute", "a.ot") == []
    assert parse("@ mute", "") == []


@given(st.text(alphabet="/airtge `~>\n<-!|mu", max_size=300))
def test_no_comment_is_too_odd_to_be_read(comment: str) -> None:
    for found in parse(comment):
        assert isinstance(found, Order | Misread)


@given(st.text(max_size=200).filter(lambda text: "```" not in text))
def test_nothing_in_a_fence_is_ever_an_order(log: str) -> None:
    hostile = re.sub(r"(?m)^", "/airtriage resolve ", log)
    assert parse(f"See:\n\n```text\n{hostile}\n```\n") == []


def test_a_comment_as_long_as_gitlab_takes_is_read_in_linear_time() -> None:
    # Quadratic reading of these would take minutes, and this test would be ended by its time-out.
    for hostile in ("` `` ", "`a\n", "/airtriage x\n", "<!-- airtriage:begin -->", "<a>\n\n", "> \n\n"):
        parse(hostile * (1_000_000 // len(hostile)))
