"""What of a text a query found: its words marked, and the few lines of a log that hold most of them. Pure.

Goes by the tokens of `triage.tokens`, as the stores do, so what is marked is what was found. What a query rules out is
not marked, and neither are its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from triage.model import LogLine
from triage.query import Both, Either, Query, Words
from triage.tokens import cut, placed, said

Part = tuple[str, bool]  # a piece of a text, and whether the query found it
_WIDE = 400  # characters shown of a line
_LEAD = 120  # of them at most before the first hit
_AROUND = 1  # lines shown before and behind the line with the hit


@dataclass(frozen=True, slots=True)
class Snippet:
    """Lines of a log, each with its number and in parts; `number` is that of the line with most of the words."""

    number: int
    lines: tuple[tuple[int, tuple[Part, ...]], ...]


def wanted(query: Query) -> tuple[Words, ...]:
    """Return the words that what the query finds holds."""
    return tuple(dict.fromkeys(_wanted(query)))


def _wanted(query: Query) -> Iterator[Words]:
    match query:
        case Words():
            yield query
        case Both(parts) | Either(parts):
            for part in parts:
                yield from _wanted(part)
        case _:
            pass


def parts(text: str, words: Iterable[Words]) -> tuple[Part, ...]:
    """Return a text in parts, those that hold the words marked; joined they are the text."""
    found = sorted(span for spans_ in _found(text, words) for span in spans_)
    pieces: list[Part] = []
    at = 0
    for begin, end in found:
        if end <= at:
            continue
        begin = max(begin, at)
        pieces += [(text[at:begin], False)] if begin > at else []
        pieces.append((text[begin:end], True))
        at = end
    return (*pieces, (text[at:], False)) if at < len(text) else tuple(pieces)


def snippet(lines: Sequence[LogLine], words: Sequence[Words], clean: Callable[[str], str]) -> Snippet | None:
    """Return the lines around the first one that holds most of the words; None where none does.

    `clean` makes a text fit to be shown, before it is marked. Words of titles are looked for in none.
    """
    words = [one for one in words if one.field != "title"]
    best, most = -1, 0
    for place, line in enumerate(lines):
        tokens = cut(" ".join(said(line)))
        count = sum(_holds(tokens, one) for one in words)
        if count > most:
            best, most = place, count
            if most == len(words):
                break
    if best < 0:
        return None
    around = range(max(best - _AROUND, 0), min(best + _AROUND + 1, len(lines)))
    shown = tuple(
        (lines[place].number, _cut(clean(_told(lines[place], its)), its))
        for place in around
        for its in (words if place == best else (),)
    )
    return Snippet(lines[best].number, shown)


def _told(line: LogLine, words: Sequence[Words]) -> str:
    """A line, the exceptions it raised, and those of their frames and notes that hold one of the words."""
    raised = {f"{one.type}: {one.value}" for one in line.raised}
    own, *others = said(line)
    return " ".join([own, *(text for text in others if text in raised or any(_holds(cut(text), one) for one in words))])


def _cut(text: str, words: Sequence[Words]) -> tuple[Part, ...]:
    """A line in parts, a long one around its first hit."""
    first = min((begin for spans_ in _found(text, words) for begin, _ in spans_), default=0)
    start = first - _LEAD if first > _WIDE // 2 else 0
    shown = ("…" if start else "") + text[start : start + _WIDE] + ("…" if start + _WIDE < len(text) else "")
    return parts(" ".join(shown.split()), words)


def _found(text: str, words: Iterable[Words]) -> list[list[tuple[int, int]]]:
    """The places of each of the words in a text."""
    held = placed(text)
    tokens = [token for _, _, token in held]
    return [[(held[at][0], held[at + len(one.tokens) - 1][1]) for at in _at(tokens, one)] for one in words]


def _holds(tokens: Sequence[str], words: Words) -> bool:
    return next(_at(tokens, words), None) is not None


def _at(tokens: Sequence[str], words: Words) -> Iterator[int]:
    """The tokens of a text with which the words begin, by number."""
    *first, last = words.tokens
    size = len(first)
    for at in range(len(tokens) - size):
        said = tokens[at + size]
        if (said == last or (words.prefix and said.startswith(last))) and list(tokens[at : at + size]) == first:
            yield at
