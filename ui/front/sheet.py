"""Builders for the `sheet` component: headlines, sentences, facts, tables and folds whose every text is drawn as text.

A *run* is a string or one of the small dicts made here; a *block* is a dict with the kind `k`. Times travel as epoch
seconds, so that the browser shows them in the reader's zone and keeps them fresh.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from ui.format import printable, web_address

Run = str | dict[str, Any]
Block = dict[str, Any]


def when(at: datetime | None, none: str = "never") -> Run:
    """A time, relative, the absolute one on hover."""
    return {"t": "time", "at": at.timestamp()} if at else none


def count(number: int, noun: str = "", plural: str = "") -> Run:
    """A short number with the whole one on hover, and its noun."""
    return {"t": "num", "n": number, "noun": noun if number == 1 else plural or (noun + "s" if noun else "")}


def link(text: str, href: str) -> Run:
    """A link inside the page."""
    return {"t": "link", "text": printable(text), "href": href}


def away(text: str, url: str) -> Run:
    """A link to another site, in a new tab; its text alone where the address is not http(s)."""
    return {"t": "away", "text": printable(text), "href": url} if web_address(url) else printable(text)


def file(text: str, href: str) -> Run:
    """A link that downloads."""
    return {"t": "file", "text": printable(text), "href": href}


def strong(text: str) -> Run:
    """Text that stands out."""
    return {"t": "b", "text": printable(text)}


def quiet(text: str) -> Run:
    """Text that stands back."""
    return {"t": "quiet", "text": printable(text)}


def code(text: str) -> Run:
    """Text as a program has it."""
    return {"t": "code", "text": printable(text)}


def state(name: str) -> Run:
    """A triage state: word, shape and colour."""
    return {"t": "state", "state": name}


def dot(tone: str, word: str) -> Run:
    """A word with a shape in front: `good`, `warn`, `bad` or `quiet`."""
    return {"t": "dot", "tone": tone, "text": printable(word)}


def chip(text: str) -> Run:
    """A small label."""
    return {"t": "chip", "text": printable(text)}


def headline(title: str, *runs: Run) -> Block:
    """The page's headline, with marks above it."""
    return {"k": "headline", "title": printable(title), "c": _text(runs)}


def label(text: str, *runs: Run) -> Block:
    """A section's name."""
    return {"k": "label", "text": text, "c": _text(runs)}


def p(*runs: Run, tone: str = "") -> Block:
    """A sentence; `tone` is empty, `quiet`, `good`, `warn` or `bad`."""
    return {"k": "p", "c": _text(runs), "tone": tone}


def facts(rows: Iterable[tuple[str, Sequence[Run]]]) -> Block:
    """Names and values; rows without a value are left out."""
    return {"k": "facts", "rows": [[name, _text(runs)] for name, runs in rows if any(runs)]}


def steps(items: Iterable[str]) -> Block:
    """Numbered steps."""
    return {"k": "steps", "items": [printable(item) for item in items]}


def entries(items: Iterable[tuple[Sequence[Run], Sequence[Run]]]) -> Block:
    """A history: each entry a line, and a quieter one below."""
    return {"k": "entries", "items": [[_text(head), _text(below)] for head, below in items]}


def fold(head: Sequence[Run], blocks: Sequence[Block], open: bool = False) -> Block:
    """Blocks that show when their head is clicked."""
    return {"k": "fold", "head": _text(head), "blocks": list(blocks), "open": open}


def table(head: Sequence[str], rows: Iterable[Sequence[Run | Sequence[Run]]]) -> Block:
    """A plain table."""
    cells = [[_text([cell] if isinstance(cell, (str, dict)) else cell) for cell in row] for row in rows]
    return {"k": "table", "head": list(head), "rows": cells}


def pre(text: str) -> Block:
    """Lines as they are, monospace."""
    return {"k": "pre", "text": printable(text)}


def empty(title: str, *paragraphs: Sequence[Run], lines: str = "") -> Block:
    """An empty state: what it means, what to do next, and lines to copy."""
    return {"k": "empty", "title": title, "c": [_text(runs) for runs in paragraphs], "lines": lines}


def _text(runs: Sequence[Run]) -> list[Run]:
    return [printable(run) if isinstance(run, str) else run for run in runs]
