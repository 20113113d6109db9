"""Have we seen this before? A log is pasted; the problems it belongs to or looks like, and tries with its words, follow.

What is pasted stays in the visitor's session: it is masked before anything looks at it, and kept nowhere.
"""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from triage.hits import wanted
from triage.query import EVERYTHING, parse
from triage.records import Problem
from triage.seen import Seen, seen
from triage.similar import Similar
from ui.format import many, one_line, size
from ui.front import sheet
from ui.front.components import columns, tries
from ui.front.components import sheet as show
from ui.front.desk import desk
from ui.front.trying import hit_rows

TEXT = "seen_text"
_LONGEST = 1_000_000  # characters that a browser sends at once


def block() -> None:
    """Draw the field for a log and what is known of it."""
    show(
        "seen_head",
        [
            sheet.headline("Have we seen this before?"),
            sheet.p(
                "Paste a log, or the line of it that matters. Secrets in it are masked before anything looks at it, and it is "
                "not kept. ",
                sheet.link("Back to search", "search"),
                tone="quiet",
            ),
        ],
    )
    text = st.text_area(
        "A log, or a line of one", key=TEXT, height=200, max_chars=_LONGEST, label_visibility="collapsed",
        placeholder="Traceback (most recent call last): …",
    )  # fmt: skip
    st.button("Have we seen this?", type="primary", key="seen_ask")
    if not text.strip():
        return
    found = seen(desk().known, [text.encode("utf-8", "replace")], desk().now())
    if found is None:
        show("seen", [sheet.p("There is no word in this. Paste a log, or a line of one.", tone="warn")])
        return
    _answer(found)


def _answer(found: Seen) -> None:
    signed = found.signature
    left_out = f" {size(found.unread)} in the middle were not looked at." if found.unread else ""
    blocks = [
        sheet.label("What it says", many(found.lines, "line"), left_out),
        sheet.p(sheet.strong(one_line(signed.title)), "  ", sheet.chip(signed.cause or "cause unknown"), "  ", sheet.code(signed.fingerprint)),
    ]  # fmt: skip
    if found.same:
        blocks += [
            sheet.label("The very same failure"),
            sheet.table(("State", "Problem", "Where"), map(_same, found.same)),
        ]
    if found.near:
        blocks += [
            sheet.label("Looks alike", "nearest first"),
            sheet.table(("Score", "State", "Problem", "Why"), map(_near, found.near)),
        ]
    if not (found.same or found.near or found.tries):
        blocks.append(_nothing())
    elif not found.same:
        blocks.insert(2, sheet.p("This very failure is not known.", tone="quiet"))
    if found.tries:
        query = " ".join(found.words)
        link = sheet.link("all in Search", "search?" + urlencode({"q": query}))
        blocks.append(sheet.label("Failed tries with its words", f"{query} · ", link))
    show("seen", blocks)
    if found.tries:
        words = wanted(parse(" ".join(found.words), desk().now()))
        tries("seen_tries", {"titles": True, "shown": ""}, columns({"tries": hit_rows(found.tries, words)}))


def _same(problem: Problem) -> list[sheet.Run | list[sheet.Run]]:
    return [
        sheet.state(problem.state),
        sheet.link(one_line(problem.title), f"problem?id={problem.id}"),
        f"in {problem.scope}",
    ]


def _near(one: Similar) -> list[sheet.Run | list[sheet.Run]]:
    problem = one.problem
    named = sheet.link(one_line(problem.title), f"problem?id={problem.id}")
    return [f"{one.score:.2f}", sheet.state(problem.state), named, one.why]


def _nothing() -> sheet.Block:
    if not desk().service.store.count(EVERYTHING):
        return sheet.empty(
            "Nothing is known yet",
            [
                "No failed try has been read so far. ",
                sheet.link("Health", "health"),
                " says when airtriage last looked.",
            ],
        )
    return sheet.empty(
        "We have not seen this",
        ["No problem looks like it, and no kept log holds its words together."],
        [
            "If it failed just now, it shows in the queue as soon as a pass has read it: ",
            sheet.link("Health", "health"), " says how fresh each deployment is. A shorter part of the log, the line with the error "
            "alone, may find more.",
        ],
    )  # fmt: skip
