"""What one term means: a word, a quoted text or a range, for the field it was written behind.

Owns how the value of each kind of field is read, and the refusal of a value that the field cannot have. Bounds become
inclusive here.
"""

from __future__ import annotations

import difflib
import re
from datetime import datetime
from typing import NoReturn

from triage.query import dates
from triage.query.fields import KNOWN, Kind, Known
from triage.query.scan import Piece, Quoted, Range, Scanner, Term, Word, quoted
from triage.query.tree import EVERYTHING, Between, Field, Never, Query, Words
from triage.tokens import cut, fold

LEAST = 2  # characters of a word's beginning: all words that begin with one letter would be read
_LARGEST = 2**63 - 1
_SOON = {"today": "now/d", "yesterday": "now-1d/d", "week": "now-7d", "month": "now-1M", "hour": "now-1h"}


class Terms:
    """Reads the terms of one scanned text as of `now`."""

    def __init__(self, scanner: Scanner, now: datetime) -> None:
        self._scanner = scanner
        self._now = now

    def read(self, piece: Piece, group: str) -> Query:
        """Return what a term means; `group` is the field of the brackets around it."""
        known, term = KNOWN[piece.field or group or "text"], piece.term
        assert term is not None
        if term in (Word("", prefix=True), Range("*", "*")) or (
            isinstance(term, Range) and term.low == term.high == "*"
        ):
            return _any(known)
        match known.kind:
            case Kind.NUMBER:
                return self._number(known, term, piece)
            case Kind.TIME:
                return self._time(known, term, piece)
        if isinstance(term, Range):
            self._wrong_range(known, piece)
        return self._words(known, term, piece) if known.kind is Kind.WORDS else self._name(known, term, piece)

    # --- words and names

    def _words(self, known: Known, term: Word | Quoted, piece: Piece) -> Query:
        tokens = cut(term.text)
        if not tokens:
            what = f"There is no letter or digit in {self._shown(piece)}, so no word to search for."
            self._scanner.wrong_text(what, piece.start, piece.end, back=True)
        prefix = isinstance(term, Word) and term.prefix
        # Behind a character that is a word by itself, or none, the last token is whole.
        if prefix and len(cut(term.text + "x")) > len(tokens):
            prefix = False
        if prefix and len(tokens[-1]) < LEAST:
            what = f"The beginning {tokens[-1]}* would find too many words."
            self._wrong(what, piece, f"Write at least {LEAST} characters before the *.")
        return Words(tuple(tokens), prefix, known.name)

    def _name(self, known: Known, term: Word | Quoted, piece: Piece) -> Query:
        prefix = isinstance(term, Word) and term.prefix
        if isinstance(term, Word) and term.text[:1] in ("-", "!") and len(term.text) > 1:
            fix = f"The value itself begins so: {known.name}:{quoted(term.text)}"
            self._scanner.wrong(
                f"The {term.text[0]} stands behind the field.",
                piece.start,
                piece.end,
                fix,
                f"-{known.name}:{term.text[1:]}",
            )
        value = fold(term.text)
        if known.choices and not any(one == value or (prefix and one.startswith(value)) for one in known.choices):
            close = difflib.get_close_matches(value, known.choices, n=1)
            meant = f"{known.name}:{close[0]}" if close else None
            what = f"{known.name}:{self._value(piece)} is not known."
            self._scanner.wrong(what, piece.start, piece.end, f"There is {', '.join(known.choices)}.", meant)
        return Field(known.name, value, prefix)

    # --- numbers and times

    def _number(self, known: Known, term: Term, piece: Piece) -> Query:
        if isinstance(term, Range):
            low = self._integer(known, term.low, piece)
            high = self._integer(known, term.high, piece)
            self._ordered(low, high, term, known, piece)
            return Between(
                known.name,
                low if low is None or term.has_low else low + 1,
                high if high is None or term.has_high else high - 1,
            )
        number = self._integer(known, term.text + ("*" if isinstance(term, Word) and term.prefix else ""), piece, False)
        return Between(known.name, number, number)

    def _integer(self, known: Known, text: str, piece: Piece, may_be_open: bool = True) -> int | None:
        if may_be_open and text == "*":
            return None
        # One less than the largest, as an end that is left out is one more.
        if not re.fullmatch(r"-?[0-9]{1,19}", text) or abs(int(text)) >= _LARGEST:
            self._wrong(
                f"{known.name}:{text} is not a whole number.", piece, f"Write {known.name}:2 or {known.name}:>=2."
            )
        return int(text)

    def _time(self, known: Known, term: Term, piece: Piece) -> Query:
        if isinstance(term, Range):
            return self._stretch(known, term, piece)
        span = self._span(known, term.text + ("*" if isinstance(term, Word) and term.prefix else ""), piece, False)
        assert span is not None
        return Between(known.name, span.first, None if span.is_since else span.last)

    def _stretch(self, known: Known, term: Range, piece: Piece) -> Query:
        low, high = self._span(known, term.low, piece), self._span(known, term.high, piece)
        self._ordered(low.first if low else None, high.first if high else None, term, known, piece)
        first = last = None
        if low:
            first = low.first if term.has_low else dates.after(low.last)
        if high:
            last = high.last if term.has_high else dates.before(high.first)
        return Between(known.name, first, last)

    def _span(self, known: Known, text: str, piece: Piece, may_be_open: bool = True) -> dates.Span | None:
        if may_be_open and text == "*":
            return None
        found = dates.span(text, self._now)
        if found is None:
            meant = _SOON.get(text.casefold())
            what, fix = (
                f"{known.name}:{text} is not a date.",
                "Write 2026-11-24, 2026-11, 2026-11-24T10:00, now-7d or now/d.",
            )
            place = self._scanner.text.find(text, piece.start, piece.end) if text else piece.start
            place, end = (place, place + len(text)) if place >= 0 else (piece.start, piece.end)
            self._scanner.wrong(what, place, end, fix, meant)
        return found

    def _ordered(self, low: object, high: object, term: Range, known: Known, piece: Piece) -> None:
        if low is None or high is None or low <= high:  # type: ignore[operator]
            return
        open_, close = "[" if term.has_high else "{", "]" if term.has_low else "}"
        meant = f"{known.name}:{open_}{term.high} TO {term.low}{close}"
        self._scanner.wrong("The range ends before it begins.", piece.start, piece.end, "", meant)

    # --- refusals

    def _wrong_range(self, known: Known, piece: Piece) -> NoReturn:
        ranged = ", ".join(sorted(one.name for one in KNOWN.values() if one.kind in (Kind.NUMBER, Kind.TIME)))
        what = f"A range needs one of the fields {ranged}, not {known.name}."
        self._wrong(what, piece, f"A beginning is written {known.name}:a*.")

    def _wrong(self, what: str, piece: Piece, fix: str) -> NoReturn:
        self._scanner.wrong(what, piece.start, piece.end, fix)

    def _shown(self, piece: Piece) -> str:
        return self._scanner.text[piece.start : piece.end]

    def _value(self, piece: Piece) -> str:
        return self._shown(piece).partition(":")[2].strip() if piece.field else self._shown(piece)


def _any(known: Known) -> Query:
    """Return what finds those with any value: mapped ones, those that belong to a problem."""
    if known.name == "map":
        return Between("map", 0, None)
    if known.of_problem and known.kind is not Kind.NAME:
        return Field("problem", "", prefix=True)
    if known.of_problem:
        return Field(known.name, "", prefix=True)
    return EVERYTHING if known.name in ("text", "at", "try") else Never(Field(known.name, ""))
