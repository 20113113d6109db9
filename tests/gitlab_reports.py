"""Reports whose every foreign part is given: benign words, or attacks; and what a report must look like whatever they say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache

from tests.gitlab_attacks import PLACES
from tests.gitlab_rules import effects, parser, title_effects
from triage.model import (
    Circumstance,
    CircumstanceKind,
    Evidence,
    Frame,
    LogLine,
    Occurrence,
    Raised,
    Signature,
    TaskTry,
)
from triage.records import Problem, TriageState
from triage.report import CommentKind, Elsewhere, Facts, block, comment, title
from triage.suspects import Commit, MergeRequest, Source, Span, Suspect, Suspects

AT = datetime(2026, 11, 25, 20, 41, tzinfo=UTC)
ID = "0123456789ab"
OURS = ("https://airtriage.example.com/", "https://airflow.example.com/", "https://gitlab.example.com/data/dags/")
HIDDEN = re.compile(
    rf"<!-- airtriage:(?:begin|end|wrote [a-z2-7 ]+|v1 problem={ID}|v1 comment=regressed:{ID}:[0-9a-f]{{12}}) -->"
)
_SHA = "b" * 40
_STRUCTURE = tuple(
    f"{name}_{side}"
    for name in ("table", "thead", "tbody", "tr", "th", "td", "bullet_list", "ordered_list", "list_item", "heading", "link", "strong")
    for side in ("open", "close")
)  # fmt: skip


def facts_of(said: Callable[[str], str]) -> Facts:
    """A problem of which everything is known; `said` gives the text of each of `PLACES`."""
    url = OURS[2] + "-"
    problem = Problem(
        ID, said("deployment"), "1:f", said("title"), "code error", TriageState.REGRESSED, AT, AT, reason=said("state's reason")
    )  # fmt: skip
    key = TaskTry(said("deployment"), said("dag id"), said("run id"), said("task id"), -1, 2)
    signed = Signature(
        1,
        "1:f",
        said("title"),
        "code error",
        said("exception"),
        (Evidence(3, said("evidence")), Evidence(4, said("exception"))),
    )
    raised = Raised(said("exception"), said("evidence"), (Frame(said("file name"), 12, said("task id")),))
    fact = Occurrence(
        key, AT, AT, AT, True, Circumstance(CircumstanceKind.MARKED, said("circumstance")), "PythonOperator", said("owner"),
        host=said("host"), map_label=said("map label"), signature=signed, kept=(LogLine(3, said("evidence"), raised=(raised,)),),
    )  # fmt: skip
    commit = Commit(_SHA, said("commit title"), said("commit author"), AT, f"{url}/commit/{_SHA}")
    other = Commit("c" * 40, said("commit title"), said("commit author"), AT, f"{url}/commit/{'c' * 40}")
    request = MergeRequest(7, said("merge request title"), f"{url}/merge_requests/7", said("commit author"))
    changes = Suspects(
        Span(OURS[2], said("file name"), "a" * 40, _SHA), (Suspect((commit,), request), Suspect((other,))), 2
    )
    return Facts(
        problem, 1203, 40, AT, AT, (said("deployment"), "blue"), ((said("dag id"), 9),), ((key.task, 9), (said("task id"), 2)),
        (("2026-11-25", 9),), said("owner"), "", fact, fact, f"{OURS[0]}problem?id={ID}", f"{OURS[1]}dags/a", f"{OURS[1]}dags/b",
        Source(said("file name"), 12, _SHA, OURS[2], f"{url}/blob/{_SHA}/a.py#L12"), changes,
        (Elsewhere(said("other scope"), "NEW", 2, f"{OURS[0]}problem"),), said("next step"),
    )  # fmt: skip


def spoken(text: str) -> Callable[[str], str]:
    """Say the same text in every place."""
    return lambda place: text


def turned(texts: list[str], turn: int) -> Callable[[str], str]:
    """Say another of the texts in each place; over all turns every text stands in every place."""
    return lambda place: texts[(turn + PLACES.index(place)) % len(texts)]


def skeleton(text: str) -> list[str]:
    """The structure of a rendered text without its words: what a reader sees as blocks, cells, links, code."""
    found = []
    for token in parser().parse(text):
        found.append(token.type)
        found += [child.type for child in token.children or [] if child.type not in ("text", "text_special")]
    return found


def doings(facts: Facts) -> Iterator[str]:
    """Everything that the title, the block and a comment made of these facts would do beside being read."""
    yield from (f"title: {effect}" for effect in title_effects(title(facts)))
    for text, few in ((block(facts), 4), (comment(CommentKind.REGRESSED, facts, "an event", facts.problem.reason), 1)):
        lines = text.split("\n")
        hidden = [line for line in lines if HIDDEN.fullmatch(line)]
        yield from effects(text, allowed=(*_STRUCTURE, "html_inline", *hidden))
        yield from (
            f"a line of ours forged: {line!r}" for line in lines if line.startswith("<!--") and line not in hidden
        )
        if len(hidden) != few:
            yield f"hidden lines: {hidden}"
        if few == 4 and skeleton(text) != _shape():
            yield "another structure"
        yield from _foreign(text)


@cache
def _shape() -> list[str]:
    return skeleton(block(facts_of(spoken("words"))))


def _foreign(text: str) -> Iterator[str]:
    for token in parser().parse(text):
        for child in token.children or []:
            if child.type == "link_open" and not str(child.attrs["href"]).startswith(OURS):
                yield f"link: {child.attrs['href']}"
            if child.type == "html_inline" and child.content not in ("<sub>", "</sub>"):
                yield f"HTML: {child.content}"
