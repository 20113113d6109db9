"""What a template printed, put where it stays what it is: a block of code by itself, code in a line never within HTML.

Owns the marks around what is not the template's own words, and the proof, by a parser of CommonMark, that each block and
each piece of code is one in the place where the template put it; else it is written as plain words. What a template did to
it after it was printed makes it foreign again. Knows nothing of an issue.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from triage import markdown
from triage.markdown import JOINER, Safe

# Noncharacters of Unicode: in no text, and shown by name in what is made harmless.
_BEGIN, _END = "\ufdd0", "\ufdd1"
_MARK = re.compile(f"([{_BEGIN}{_END}])")
# A sign that stands for itself, or code in a line; a parser takes one space from both sides of it.
_CODES = re.compile(r"\\.|(?P<ticks>`+)(?: (?P<said>.*?) |(?P<all>.*?[^`]))(?P=ticks)(?!`)")
# How what is left open by a template may end: comments, raw HTML, the fence itself.
_ENDINGS = ("-->", "</pre>", "</script>", "</style>", "</textarea>", "?>", "]]>", ">")


def marked(text: Safe) -> str:
    """Return a harmless text as a template prints it, marked as not the template's own."""
    return f"{_BEGIN}{text}{_END}"


def unmarked(text: str) -> str:
    """Return a text without any marks."""
    return _MARK.sub("", text)


@dataclass(slots=True)
class _Piece:
    """A part of what was printed; a foreign one knows the line at which it came to stand."""

    text: str
    is_foreign: bool
    line: int = 0

    @property
    def is_block(self) -> bool:
        return self.is_foreign and "\n" in self.text

    @property
    def codes(self) -> list[tuple[str, str]]:
        """What of it is to be code in a line: the backticks around it, and what they show."""
        found = _CODES.finditer(self.text) if self.is_foreign and not self.is_block else ()
        return [(its["ticks"], its["said"] or its["all"]) for its in found if its["ticks"]]


def placed(printed: str, written: Collection[str]) -> str:
    """Return what a template printed, without its marks, harmless in every place. `written` is all that was marked in it.

    A line of a paragraph that begins with a slash, indented or not, gets a backslash: it is no quick action.
    """
    pieces = list(_pieces(printed, written))
    while True:
        text = _joined(pieces)
        tokens = _parser().parse(text)
        shown = Counter(
            (its.markup, its.content) for token in tokens for its in token.children or () if its.type == "code_inline"
        )
        lost = Counter(code for piece in pieces for code in piece.codes) - shown
        wrong = [piece for piece in pieces if not lost.keys().isdisjoint(piece.codes) or not _stands(piece, tokens)]
        if not wrong:
            return closed(_without_actions(text, tokens))
        for piece in wrong:
            piece.text = markdown.again(piece.text)


def closed(text: str) -> str:
    """Return Markdown in which nothing is left open, so that what follows it is none of its code or HTML."""
    fences = [token.markup for token in _parser().parse(text) if token.type == "fence" and not token.level]
    for ending in ("", *(f"\n{markup}" for markup in fences[-1:]), *(f"\n{each}" for each in _ENDINGS)):
        tokens = _parser().parse(f"{text}{ending}\n\nx")
        if [token.type for token in tokens[-3:]] == ["paragraph_open", "inline", "paragraph_close"] and tokens[
            -2
        ].content == "x":
            return text + ending
    return text


def _pieces(printed: str, written: Collection[str]) -> Iterator[_Piece]:
    """Part what was printed at its marks; what lies otherwise than we marked it is not the template's word either."""
    known, inside = set(written), False
    parts = _MARK.split(printed)
    for place in range(0, len(parts), 2):
        text, mark = parts[place], (parts[place + 1] if place + 1 < len(parts) else "")
        is_own = not inside and mark in (_BEGIN, "")
        is_known = inside and mark == _END and text in known
        if text:
            yield _Piece(text if is_own or is_known else markdown.again(text), not is_own)
        inside = mark == _BEGIN


def _joined(pieces: list[_Piece]) -> str:
    """Join the pieces, each block between blank lines, so that it is in no list, quote, table or HTML; note their lines."""
    text, lines, is_block = "", 0, False
    for piece in pieces:
        before = ""
        if piece.is_block:
            before = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        elif is_block and not piece.text.startswith("\n"):
            before = "\n\n"
        elif piece.is_foreign and markdown.is_trigger(text, piece.text):
            before = JOINER
        is_block = piece.is_block
        lines += before.count("\n")
        piece.line = lines
        lines += piece.text.count("\n")
        text += before + piece.text
    return text


def _stands(piece: _Piece, tokens: list[Token]) -> bool:
    """Say whether a block is one, by itself, where it came to stand."""
    if not piece.is_block:
        return True
    lines = piece.text.split("\n")
    place = [piece.line, piece.line + len(lines)]
    return any(
        token.type == "fence" and not token.level and token.map == place and token.markup == lines[-1].strip()
        for token in tokens
    )


def _without_actions(text: str, tokens: list[Token]) -> str:
    lines = text.split("\n")
    for token in tokens:
        for number in range(*(token.map or (0, 0))) if token.type == "paragraph_open" else ():
            bare = lines[number].lstrip()
            if bare.startswith("/"):
                lines[number] = f"{lines[number][: -len(bare)]}\\{bare}"
    return "\n".join(lines)


@lru_cache(1)
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])
