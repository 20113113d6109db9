"""Text cut into the tokens that a search goes by, the same for every store, for a query and for a page's highlights.

Owns what a word is. Both stores get tokens joined by a space, never raw text, so their own analyzers decide nothing.
Case, accents and width do not count; a run of letters and digits is one token, so `snake_case`, dotted names and paths
are several; what is written without spaces (Chinese, Japanese, Korean) and emoji are one token a character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import chain, groupby

from triage.model import LogLine, Occurrence, Raised

LONGEST = 100  # characters of a token; more of a longer one (a key, a checksum, base64) is looked at by nobody
LONGEST_VALUE = 500  # characters of a field's value that count; Airflow's own names end at 250

_PLAIN = re.compile("[0-9a-z]+")
# The same of a whole text at once, in a fifth of the time: each ASCII byte as it counts, a space for what is no letter.
_BYTES = bytes(ord(chr(code).lower()) if chr(code).isalnum() else 32 for code in range(128)) + b" " * 128
_SELF = (  # letters that stand for a word or a syllable each: Han, kana, bopomofo, Hangul
    (0x1100, 0x11FF), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x312F), (0x3131, 0x318E), (0x31A0, 0x31FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA960, 0xA97C), (0xAC00, 0xD7FB), (0xF900, 0xFAFF), (0x1AFF0, 0x1B2FF), (0x20000, 0x3FFFF),
)  # fmt: skip
_EMOJI = ((0x2300, 0x23FF), (0x2600, 0x27BF), (0x2B00, 0x2BFF), (0x1F000, 0x1FAFF))
_JOINS = ((0x1160, 0x11FF), (0xFF9E, 0xFF9F), (0x1F3FB, 0x1F3FF))  # Hangul's vowels and endings, voiced marks, skin
_VOICED = "\u3099\u309a"  # makes ga of ka: another syllable, not an accent


class _Cuts(dict[int, str | None]):
    """What becomes of a character of folded text: kept, kept with spaces around it, dropped, or a space."""

    def __missing__(self, code: int) -> str | None:
        bare = _bare(chr(code))
        kind = unicodedata.category(chr(code))
        if not bare or kind == "Cf":
            said = None
        elif _within(code, _SELF) or (kind == "So" and _within(code, _EMOJI)):
            said = f" {bare} "
        else:
            said = bare if bare.isalnum() or kind in ("Mn", "Mc") else " "
        self[code] = said
        return said


class _Folds(dict[int, str | None]):
    """What becomes of a character of a value: its accents go, control characters are spaces."""

    def __missing__(self, code: int) -> str | None:
        kind = unicodedata.category(chr(code))
        self[code] = " " if kind in ("Cc", "Cs") else _bare(chr(code)) or None
        return self[code]


_CUTS, _FOLDS = _Cuts(), _Folds()


def cut(text: str) -> list[str]:
    """Return the tokens of a text, in its order, each at most `LONGEST` characters."""
    plain = text.encode().translate(_BYTES).decode() if text.isascii() else _normal(text).translate(_CUTS)
    found = plain.split()
    return found if max(map(len, found), default=0) <= LONGEST else [token[:LONGEST] for token in found]


def placed(text: str) -> list[tuple[int, int, str]]:
    """Return the tokens of a text, each behind where it begins and ends in it: to mark in a shown text what was found."""
    if text.isascii():
        return [(*match.span(), match[0][:LONGEST]) for match in _PLAIN.finditer(text.lower())]
    found: list[tuple[int, int, str]] = []
    is_open = False  # the last token goes on if a letter follows
    place = 0
    while place < len(text):
        end = place + 1
        while end < len(text) and _joins(text[end]):
            end += 1
        is_open = _take(found, text[place:end], place, end, is_open)
        place = end
    return [(first, last, token[:LONGEST]) for first, last, token in found]


def fold(value: str) -> str:
    """Return what a field's value is compared by: without case, accents and width, at most `LONGEST_VALUE` characters."""
    folded = value.lower() if value.isascii() else _normal(value)
    return folded.translate(_FOLDS)[:LONGEST_VALUE]


def names(exception: str) -> list[str]:
    """Return what an exception's type is found by, folded: as it stands in the log, and without its module."""
    return list(dict.fromkeys((fold(exception), bare(exception))))


def bare(exception: str) -> str:
    """Return an exception's type without its module, folded."""
    return fold(exception.rpartition(".")[2] or exception)


def of(fact: Occurrence, lines: Sequence[LogLine]) -> str:
    """Return the tokens that a search for words looks at: title, ids, host, and the kept log with its exceptions."""
    key = fact.key
    parts = [fact.signature.title if fact.signature else "", key.dag_id, key.task_id, key.run_id, fact.host]
    for line in lines:
        parts += said(line) if line.raised else (line.text,)
    runs = (["\n".join(run)] if is_plain else run for is_plain, run in groupby(parts, str.isascii))
    return " ".join(chain.from_iterable(map(cut, chain.from_iterable(runs))))


def said(line: LogLine) -> list[str]:
    """Return the texts of a line: its own, and of what it raised the frames, exceptions and notes that are not in it already."""
    return [line.text, *(text for raised in line.raised for text in _said(raised) if text not in line.text)]


def _said(raised: Raised) -> Iterator[str]:
    for frame in raised.frames:
        yield f'File "{frame.file}", line {frame.line or ""}, in {frame.function}'
    yield f"{raised.type}: {raised.value}"
    yield from raised.notes
    for part in raised.parts:
        for one in part:
            yield from _said(one)


def _take(found: list[tuple[int, int, str]], cluster: str, first: int, last: int, is_open: bool) -> bool:
    """Add what one letter with its marks gives to the tokens; say whether the last one may go on."""
    if not cut(f"a{cluster}a")[1:]:  # it stands within a word: a letter, or nothing at all
        letters = cut(f"a{cluster}a")[0][1:-1]
        if letters and is_open:
            found[-1] = found[-1][0], last, found[-1][2] + letters
        elif letters:
            found.append((first, last, letters))
        return is_open or bool(letters)
    pieces = cut(cluster)
    begins, goes_on = cut("a" + cluster)[0] != "a", len(cut(cluster + "a")) == len(pieces)
    for number, piece in enumerate(pieces):
        if number == 0 and begins and is_open:
            found[-1] = found[-1][0], last, found[-1][2] + piece
        else:
            found.append((first, last, piece))
    return bool(pieces) and goes_on


def _joins(char: str) -> bool:
    """Say whether a character belongs to the one before it."""
    return unicodedata.category(char)[0] == "M" or _within(ord(char), _JOINS)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _bare(char: str) -> str:
    """Return a character without its accents; nothing where it is one."""
    parts = unicodedata.normalize("NFD", char)
    kept = (c for c in parts if c in _VOICED or not (unicodedata.combining(c) or _is_mark(c)))
    return unicodedata.normalize("NFC", "".join(kept))


def _is_mark(char: str) -> bool:
    """Say whether a character only changes how another is drawn: emoji's and ideographs' variants, enclosing marks."""
    code = ord(char)
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or unicodedata.category(char) == "Me"


def _within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= code <= high for low, high in ranges)
