"""Which parts of a shown text a query found: tokens back to where they stand. Pure.

The tokens of `triage.tokens` are found again in a text as it is, by the same cutting, so what is marked is what a store
went by, on any of them. For the hits of one page; a store highlights nothing.
"""

from __future__ import annotations

import re
import unicodedata

from triage.query import Both, Either, Query, Words
from triage.tokens import LONGEST, cut

_PLAIN = re.compile("[0-9A-Za-z]+")
_JOINS = ((0x1160, 0x11FF), (0xFF9E, 0xFF9F), (0x1F3FB, 0x1F3FF))  # Hangul's vowels and endings, voiced marks, skin


def sought(query: Query) -> tuple[Words, ...]:
    """Return the words that a query asks for; not those it wants to be absent."""
    match query:
        case Words():
            return (query,)
        case Both(parts) | Either(parts):
            return tuple(dict.fromkeys(words for part in parts for words in sought(part)))
        case _:
            return ()


def marked(text: str, words: tuple[Words, ...], *, is_title: bool = False) -> list[str]:
    """Return the text in parts, by turns plain and found; the first is plain, and may be empty.

    Words sought in the title alone are marked in a title.
    """
    parts, end = [], 0
    for first, last in spans(text, words, is_title=is_title):
        parts += [text[end:first], text[first:last]]
        end = last
    return [*parts, text[end:]]


def spans(text: str, words: tuple[Words, ...], *, is_title: bool = False) -> list[tuple[int, int]]:
    """Return where the words stand in a text, in order, without overlaps."""
    placed = _placed(text)
    marks: list[tuple[int, int]] = []
    for one in words:
        if one.field == "title" and not is_title:
            continue
        for at in range(len(placed) - len(one.tokens) + 1):
            here = [token for token, _, _ in placed[at : at + len(one.tokens)]]
            ends = here[-1].startswith(one.tokens[-1]) if one.prefix else here[-1] == one.tokens[-1]
            if ends and here[:-1] == list(one.tokens[:-1]):
                marks.append((placed[at][1], placed[at + len(one.tokens) - 1][2]))
    united: list[tuple[int, int]] = []
    for first, last in sorted(marks):
        if united and first <= united[-1][1]:
            united[-1] = united[-1][0], max(last, united[-1][1])
        else:
            united.append((first, last))
    return united


def _placed(text: str) -> list[tuple[str, int, int]]:
    """Return the tokens of a text, each with where it begins and ends in it."""
    if text.isascii():
        return [(match[0].lower()[:LONGEST], *match.span()) for match in _PLAIN.finditer(text)]
    found: list[tuple[str, int, int]] = []
    is_open = False  # the last token goes on if a letter follows
    place = 0
    while place < len(text):
        end = place + 1
        while end < len(text) and _joins(text[end]):
            end += 1
        is_open = _take(found, text[place:end], place, end, is_open)
        place = end
    return [(token[:LONGEST], first, last) for token, first, last in found]


def _take(found: list[tuple[str, int, int]], cluster: str, first: int, last: int, is_open: bool) -> bool:
    """Add what one letter with its marks gives to the tokens; say whether the last one may go on."""
    if not cut(f"a{cluster}a")[1:]:  # it stands within a word: a letter, or nothing at all
        letters = cut(f"a{cluster}a")[0][1:-1]
        if letters and is_open:
            found[-1] = found[-1][0] + letters, found[-1][1], last
        elif letters:
            found.append((letters, first, last))
        return is_open or bool(letters)
    pieces = cut(cluster)
    begins, goes_on = cut("a" + cluster)[0] != "a", len(cut(cluster + "a")) == len(pieces)
    for number, piece in enumerate(pieces):
        if number == 0 and begins and is_open:
            found[-1] = found[-1][0] + piece, found[-1][1], last
        else:
            found.append((piece, first, last))
    return bool(pieces) and goes_on


def _joins(char: str) -> bool:
    """Say whether a character belongs to the one before it."""
    return unicodedata.category(char)[0] == "M" or any(low <= ord(char) <= high for low, high in _JOINS)
