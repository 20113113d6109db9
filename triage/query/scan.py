"""A person's text cut into the pieces of a query, or refused in one sentence that names the place.

Owns how words, quotes, ranges, signs and brackets are written (as Lucene has them), and which of them would cost a store
too much. What people paste (`KeyError: 0`, `[2024-01-01 10:00]`) is met with the quoted text they may have meant. Says
nothing about what a piece means.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import NoReturn

from triage.errors import WrongQuery
from triage.query.fields import FIELDS
from triage.tokens import cut

# What every store can take, and answer soon: SQLite's parser stack of 100 and Elasticsearch's 1,024 clauses are the nearest limits.
LONGEST = 1_000  # characters
MOST = 100  # terms
DEEPEST = 12  # levels

_WORD = re.compile(r"(?:\\[\s\S]|[^\s()])+")
_OPERATOR = re.compile(r"(AND|OR|NOT|&&|\|\||!)(?=[\s()]|\Z)")
_NAME = re.compile(r"([^\W\d][\w.$-]*):")
_APART = re.compile(r"([a-z_]+)(?:\s*(>=|<=|>|<)|\s+(:))\s*(?=[^\s)])")  # as Kibana's own language has it
_RANGE = re.compile(r'([\[{])\s*("[^"]*"|[^\s"\[\]{}]+)\s+TO\s+("[^"]*"|[^\s"\[\]{}]+)\s*([\]}])')
_SIGN = re.compile(r"(>=|<=|>|<)\s*")
_STARS = re.compile(r"\\[\s\S]|([*?])")
_FUZZY = re.compile(r"(?<=[^\\])~(\d+(\.\d+)?)?\Z")
_BOOST = re.compile(r"(?<=[^\\])\^\d+(\.\d+)?\Z")
_QUOTES = {'"': '"', "“": "”", "„": "“”"}
_JOINED = {"AND": "AND", "&&": "AND", "OR": "OR", "||": "OR", "NOT": "NOT", "!": "NOT"}


class Kind(Enum):
    """What a piece is in luqum's grammar."""

    OPEN = auto()
    CLOSE = auto()
    AND = auto()
    OR = auto()
    NOT = auto()
    PLUS = auto()
    FIELD = auto()  # of a group in brackets, which follow
    TERM = auto()


@dataclass(frozen=True, slots=True)
class Word:
    """A word or a value without quotes, unescaped; with `prefix` a star stood behind it. A star alone is empty."""

    text: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Quoted:
    """A text in quotes, unescaped."""

    text: str


@dataclass(frozen=True, slots=True)
class Range:
    """`[low TO high]`, an end of `*` is open; `{` and `}` leave the end itself out."""

    low: str
    high: str
    has_low: bool = True
    has_high: bool = True


Term = Word | Quoted | Range


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the text, at `start` up to `end`; `field` as it is called in short, empty where none was written."""

    kind: Kind
    start: int
    end: int
    field: str = ""
    term: Term | None = None


def clean(text: str) -> str:
    """Return a text as it may be searched, of the same length: NUL and half characters are spaces."""
    return "".join(" " if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in text)


def quoted(text: str) -> str:
    """Put a text into quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Scanner:
    """The pieces of one text, found from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pieces: list[Piece] = []

    def scan(self) -> list[Piece]:
        """Return the pieces; WrongQuery where there is none."""
        if len(self.text) > LONGEST:
            what = f"The query has {len(self.text)} characters."
            raise WrongQuery(what, f"Use at most {LONGEST}.", self.text, LONGEST, len(self.text))
        place = 0
        while (place := self._skip(place)) < len(self.text):
            place = self._piece(place)
        terms = [piece for piece in self.pieces if piece.kind is Kind.TERM]
        if len(terms) > MOST:
            self.wrong(f"The query has {len(terms)} terms.", terms[MOST].start, len(self.text), f"Use at most {MOST}.")
        return self.pieces

    def wrong(
        self,
        what: str,
        start: int,
        end: int,
        fix: str = "",
        instead: str | None = None,
        of: tuple[int, int] | None = None,
    ) -> NoReturn:
        """Refuse the query for what stands at a place; `instead` is what may have been meant there, or in place of `of`."""
        better = ""
        if instead is not None:
            first, last = of or (start, end)
            better = self.text[:first] + instead + self.text[last:]
            meant = instead.strip()
            fix = f"Did you mean {meant if len(meant) > 1 else better.strip()}? {fix}".strip()
        raise WrongQuery(what, fix, self.text, start, end, better)

    def wrong_text(self, what: str, start: int, end: int, fix: str = "", *, back: bool = False) -> NoReturn:
        """Refuse what looks like a text that was pasted: what may have been meant is all of it, in quotes."""
        first, last = self._plain(start, end, back=back)
        if not cut(self.text[first:last]):
            raise WrongQuery(what, fix or "Write at least one letter or digit.", self.text, start, end)
        self.wrong(what, start, end, fix, quoted(self.text[first:last]), (first, last))

    # --- one piece

    def _piece(self, place: int) -> int:
        char = self.text[place]
        if char == "(":
            return self._add(Kind.OPEN, place, place + 1)
        if char == ")":
            end = self._add(Kind.CLOSE, place, place + 1)
            if boost := re.compile(r"\^\d+(\.\d+)?").match(self.text, end):
                self._boosted(place, boost.end())
            return end
        if match := _OPERATOR.match(self.text, place):
            return self._add(Kind[_JOINED[match[1]]], place, match.end())
        if char in "+-!":
            return self._signed(place)
        if match := _NAME.match(self.text, place):
            name, end = match[1], match.end()
            if name == "_exists_":
                return self._exists(place, end)
            if name in FIELDS:
                return self._value(place, FIELDS[name], end)
            if self.text[end : end + 1] != ":" and not self.text.startswith("//", end):
                self._unknown(place, name, end)
        if (match := _APART.match(self.text, place)) and match[1] in FIELDS:
            what = f"The field {match[1]} needs a colon right behind it."
            self.wrong(what, place, match.end(), "", f"{match[1]}:{match[2] or ''}")
        if char in "[{":
            self.wrong_text(
                "A range needs a field before it.", place, place + 1, "A range is written at:[now-7d TO now]."
            )
        return self._term(place, place, "")

    def _signed(self, place: int) -> int:
        sign, rest = self.text[place], self.text[place + 1 : place + 2]
        if not rest or rest.isspace() or rest == ")":
            what = f"The {sign} stands alone."
            self.wrong_text(what, place, place + 1, f"To use it as a sign, write {sign}word.", back=True)
        if rest in "-+>=" or (sign == "!" and rest in "!="):
            word = _WORD.match(self.text, place)
            assert word is not None
            self.wrong_text(f"There is no word behind {sign}.", place, word.end(), back=True)
        return self._add(Kind.PLUS if sign == "+" else Kind.NOT, place, place + 1)

    def _exists(self, start: int, place: int) -> int:
        word = _WORD.match(self.text, place)
        name = word[0] if word else ""
        if name not in FIELDS:
            self.wrong(f"There is no field {name!r} to search.", place, place + len(name), self._fields(name))
        self.pieces.append(Piece(Kind.TERM, start, place + len(name), FIELDS[name], Word("", prefix=True)))
        return place + len(name)

    def _unknown(self, place: int, name: str, end: int) -> NoReturn:
        what = f"There is no field {name!r} to search."
        close = difflib.get_close_matches(name.lower(), FIELDS, n=1, cutoff=0.65)
        if close and (name.islower() or name.lower() in FIELDS):
            first, last = self._plain(place, end)
            self.wrong(what, place, end, f"Or {quoted(self.text[first:last])}?", f"{close[0]}:")
        self.wrong_text(what, place, end, self._fields(name) if name.islower() and name.isidentifier() else "")

    def _fields(self, name: str) -> str:
        close = difflib.get_close_matches(name.lower(), FIELDS, n=1)
        return f"Did you mean {close[0]}?" if close else f"The fields are {', '.join(sorted(set(FIELDS.values())))}."

    def _value(self, start: int, field: str, place: int) -> int:
        place = self._skip(place)
        char = self.text[place : place + 1]
        if not char or char == ")" or _OPERATOR.match(self.text, place):
            self.wrong(f"{field}: has no value.", start, place or start, f"Write {field}:value, or {field}:* for any.")
        if char == "(":
            self.pieces.append(Piece(Kind.FIELD, start, place, field))
            return place
        if char in "[{":
            return self._range(start, field, place)
        if sign := _SIGN.match(self.text, place):
            return self._compared(start, field, sign)
        return self._term(start, place, field)

    def _range(self, start: int, field: str, place: int) -> int:
        match = _RANGE.match(self.text, place)
        if match is None:
            end = self.text.find("]", place) + 1 or len(self.text)
            loose = re.compile(r"([\[{])\s*(\S+?)\s*(?:\bto\b|,|\.\.)\s*(\S+?)\s*([\]}])", re.I).match(self.text, place)
            if loose:
                open_, low, high, close = loose.groups()
                self.wrong("A range has its ends around TO.", place, loose.end(), "", f"{open_}{low} TO {high}{close}")
            self.wrong("This is no range.", place, end, f"Write {field}:[a TO b], or put the value into quotes.")
        low, high = (end.strip('"') for end in (match[2], match[3]))
        term = Range(low, high, match[1] == "[", match[4] == "]")
        self.pieces.append(Piece(Kind.TERM, start, match.end(), field, term))
        return match.end()

    def _compared(self, start: int, field: str, sign: re.Match[str]) -> int:
        value = re.compile(r'"([^"]*)"|([^\s()]+)').match(self.text, sign.end())
        if value is None:
            self.wrong(f"{field}:{sign[1]} has no value.", start, sign.end(), f"Write {field}:{sign[1]}value.")
        bound, has_it = value[1] or value[2] or "", "=" in sign[1]
        term = Range(bound, "*", has_it) if ">" in sign[1] else Range("*", bound, True, has_it)
        self.pieces.append(Piece(Kind.TERM, start, value.end(), field, term))
        return value.end()

    # --- words and quotes

    def _term(self, start: int, place: int, field: str) -> int:
        char = self.text[place]
        if char in _QUOTES:
            return self._quote(start, place, field)
        word = _WORD.match(self.text, place)
        assert word is not None
        raw, end = word[0], word.end()
        self._refuse(raw, place, end)
        prefix = raw.endswith("*") and (len(raw) - len(raw[:-1].rstrip("\\"))) % 2 == 1
        text = re.sub(r"\\([\s\S])", r"\1", raw[:-1] if prefix else raw)
        self.pieces.append(Piece(Kind.TERM, start, end, field, Word(text, prefix)))
        return end

    def _quote(self, start: int, place: int, field: str) -> int:
        closing = _QUOTES[self.text[place]]
        end = place + 1
        while end < len(self.text) and self.text[end] not in closing:
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            rest = self.text[place:].rstrip()
            of = place, len(self.text)
            self.wrong("The quote is not closed.", place, place + 1, "", rest + closing[0], of)
        inner = re.sub(r"\\([\s\S])", r"\1", self.text[place + 1 : end])
        self._behind_quote(place, end + 1)
        self.pieces.append(Piece(Kind.TERM, start, end + 1, field, Quoted(inner)))
        return end + 1

    def _behind_quote(self, start: int, place: int) -> None:
        match = re.compile(r"[~^*][^\s()]*").match(self.text, place)
        if match is None:
            return
        of = start, match.end()
        what = {
            "~": "Words near each other (a ~ behind quotes) are not searched: it would read every log with all of them.",
            "^": "A boost (^) does nothing here: the order is by time, never by relevance.",
            "*": "A * behind quotes finds nothing more: what is quoted is searched as it stands.",
        }[match[0][0]]
        self.wrong(what, place, match.end(), "", self.text[start:place], of)

    def _boosted(self, place: int, end: int) -> NoReturn:
        what = "A boost (^) does nothing here: the order is by time, never by relevance."
        self.wrong(what, place + 1, end, "", ")", (place, end))

    def _refuse(self, raw: str, start: int, end: int) -> None:
        """Refuse what Lucene has and would cost a store too much, or does nothing, each by its name."""
        if len(raw) > 1 and raw[0] == raw[-1] == "/":
            self.wrong_text(
                "Regular expressions (/…/) are not searched: each would read every word there is.", start, end
            )
        if match := _BOOST.search(raw):
            what = "A boost (^) does nothing here: the order is by time, never by relevance."
            self.wrong(what, start + match.start(), end, "", raw[: match.start()], (start, end))
        if match := _FUZZY.search(raw):
            what = "Fuzzy words (~) are not searched: each would be compared with every word there is."
            self.wrong(what, start + match.start(), end, "", raw[: match.start()] + "*", (start, end))
        for match in _STARS.finditer(raw):
            place = match.start(1)
            if place < 0 or raw == "*" or (match[1] == "*" and place == len(raw) - 1 and place > 0):
                continue
            if place == 0:
                what = f"A word cannot begin with {match[1]}: every word there is would be read."
                self.wrong(what, start, start + 1, "", raw.lstrip("*?") or None, (start, end))
            if match[1] == "?":
                what = "A ? does not stand for a letter here."
                self.wrong(what, start + place, start + place + 1, "", quoted(raw), (start, end))
            self.wrong(
                "A * stands only at the end of a word.",
                start + place,
                start + place + 1,
                "",
                raw[: place + 1],
                (start, end),
            )

    # --- places

    def _add(self, kind: Kind, start: int, end: int) -> int:
        self.pieces.append(Piece(kind, start, end))
        return end

    def _skip(self, place: int) -> int:
        while place < len(self.text) and self.text[place].isspace():
            place += 1
        return place

    def _plain(self, start: int, end: int, *, back: bool = False) -> tuple[int, int]:
        """Return where the text around a place begins and ends that has no operators and no known fields."""
        chunks = [match.span() for match in re.finditer(r"\S+", self.text)]
        inside = [place for place, (first, last) in enumerate(chunks) if first < end and last > start]
        first = last = inside[0] if inside else 0
        while last + 1 < len(chunks) and not self._is_known(*chunks[last + 1]):
            last += 1
        while back and first > 0 and not self._is_known(*chunks[first - 1]):
            first -= 1
        begin, stop = chunks[first][0] if back else start, chunks[last][1]
        while self.text[begin] == "(" and begin < start:
            begin += 1
        surplus = self.text.count(")", begin, stop) - self.text.count("(", begin, stop)
        while surplus > 0 and self.text[stop - 1] == ")" and stop > end:
            stop, surplus = stop - 1, surplus - 1
        return begin, stop

    def _is_known(self, start: int, end: int) -> bool:
        """Say whether a chunk is an operator or begins with a field."""
        chunk = self.text[start:end].lstrip("+-!(")
        field = _NAME.match(chunk)
        return chunk in _JOINED or (field is not None and field[1] in FIELDS and len(chunk) > field.end())
