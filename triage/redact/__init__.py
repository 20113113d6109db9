"""Secrets masked to `***` in whatever leaves: kept lines, evidence, titles, pages, alerts, our own log and crash reports.

A `Redactor` is a value: the rules, what a deployment's settings add to them, what they allow. Airflow masks what it knows
to be secret; this masks what looks like one. Idempotent, linear in the length, and pure. Ordinary words stay.

The rules are ours. detect-secrets 1.5.0 (May 2024), the best kept library for it in Python, was measured first: with its
plugins for tokens and names it leaves 410 of the 500 secrets of tests/secrets_seeded.py standing and takes 8.8 ms for a
log of 7.4 kB (ours 0.8); with its entropy plugins 22, but then it marks 81 % of the lines of ordinary logs. It knows
source code, finds without masking, and keeps its settings in the process. Its shapes, and gitleaks', are in our table.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import accumulate
from urllib.parse import quote

from ahocorasick_rs import AhoCorasick, Implementation
from msgspec.structs import replace

from triage.model import Frame, LogLine, Raised
from triage.redact import encoded, fields
from triage.redact.clean import Clean
from triage.redact.fields import MASK
from triage.redact.rules import BLOCKS, EMAIL, LOOSE, PLACES, TOKENS, May, Rule

# Known values shorter than this are not masked wherever they stand: they would take ordinary words along (Airflow's
# own masker draws the line at 5 too, `[logging] min_length_masked_secret`).
SHORTEST_KNOWN = 5
# The shortest word a token can be.
_WORD = 16
_ROUNDS = 5
# Values learned that are held: two days of tokens that last an hour; a dress or two of each is looked for in every text.
_LEARNED = 64


def _tells(text: str, depth: int) -> bool:
    """Say whether an undressed text holds a secret, in a further dress included."""
    return any(True for _ in _spans(text, depth))


def _spans(text: str, depth: int) -> Iterator[tuple[int, int]]:
    low = text.lower()
    for rule in (*BLOCKS, *PLACES, *TOKENS, *LOOSE):
        if rule.may or _is_hinted(rule, low):
            for start, stop in rule.find(text):
                if not fields.is_masked(text[start:stop]):
                    yield start, stop
    if depth < encoded.DEPTH:
        yield from encoded.base64_of(text, _tells, depth)
        yield from encoded.quoted(text, _tells, depth)


_ENCODED = (
    Rule("base64 of a secret", (), partial(encoded.base64_of, tells=_tells, depth=0),
         "config: eyJwYXNzd29yZCI6ICJodW50ZXIyIn0=", "config: ***", is_token=True, may=encoded.may_hold),
    Rule("URL-encoded secret", ("%",), partial(encoded.quoted, tells=_tells, depth=0),
         "GET /?to=ftp%3A%2F%2Fbob%3Ahunter2%40host&n=1", "GET /?to=***&n=1"),
)  # fmt: skip
# In the order in which they are tried: places and names first, so that what stands around a secret stays readable.
RULES: tuple[Rule, ...] = (*BLOCKS, *PLACES, *TOKENS, *LOOSE, *_ENCODED)
_ALL = (1 << len(RULES)) - 1


def _by_hint() -> dict[tuple[str, re.Pattern[str] | None], int]:
    """Return which rules each hint stands for, with what must stand behind it, as bits of their places in `RULES`."""
    bits: dict[tuple[str, re.Pattern[str] | None], int] = {}
    for number, rule in enumerate(RULES):
        for hint in (*((one, None) for one in rule.hints), *((one, rule.behind) for one in rule.names)):
            bits[hint] = bits.get(hint, 0) | 1 << number
    return bits


_BY_HINT = _by_hint()
_HINTS = tuple(hint for hint, _ in _BY_HINT)
_BEHIND = tuple(behind for _, behind in _BY_HINT)
_BITS = tuple(_BY_HINT.values())
_OF_TOKENS = sum(1 << number for number, rule in enumerate(RULES) if rule.is_token)
_OF_BLOCKS = (1 << len(BLOCKS)) - 1
# All hints in one pass over a text: fifteen times as fast as looking for each.
_FIND_HINTS = AhoCorasick(_HINTS, implementation=Implementation.DFA)
_FIND_BLOCKS = AhoCorasick([hint for rule in BLOCKS for hint in rule.hints], implementation=Implementation.DFA)
# What says whether rules without hints are to be tried, with the bits of these rules.
_UNHINTED: dict[May, int] = {}
for _number, _rule in enumerate(RULES):
    if _rule.may:
        _UNHINTED[_rule.may] = _UNHINTED.get(_rule.may, 0) | 1 << _number


class Learned:
    """Values that turned out to be secret while we run, such as the tokens that were made for us; for several threads.

    Only the newest are held: a token is replaced when it is over, and each is looked for in every text.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, None] = {}
        self.forms: tuple[str, ...] = ()

    def add(self, value: str) -> None:
        """Take a value in; it is masked from now on."""
        with self._lock:
            if value in self._values:
                return
            self._values[value] = None
            for oldest in list(self._values)[:-_LEARNED]:
                del self._values[oldest]
            self.forms = _all_forms(self._values)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Masks secrets. `known` are values that are secret wherever they stand, as are those `learned`; `patterns` is what
    the settings add (a group in one narrows what is masked), `allow` what is never masked: a secret that one of these
    matches whole stays.
    """

    known: tuple[str, ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    allow: tuple[re.Pattern[str], ...] = ()
    emails: bool = False
    learned: Learned = field(default_factory=Learned, compare=False)
    _known: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _more: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    _clean: Clean = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", _all_forms(self.known))
        object.__setattr__(self, "_clean", Clean(self.learned.forms, self._known))
        more = tuple(Rule("pattern", (), partial(_found, pattern), "", "") for pattern in self.patterns)
        object.__setattr__(self, "_more", (*more, EMAIL) if self.emails else more)

    def __repr__(self) -> str:
        return f"Redactor({len(self.known)} known values, {len(self.patterns)} patterns, {len(self.allow)} allowed)"

    @property
    def edition(self) -> str:
        """What it masks by, as a digest: another one where a rule, a pattern or a known value came or went."""
        said = (
            [rule.name for rule in RULES], sorted(self.known), [it.pattern for it in self.patterns],
            [it.pattern for it in self.allow], self.emails,
        )  # fmt: skip
        return hashlib.sha256(repr(said).encode("utf-8", "replace")).hexdigest()[:16]

    def text(self, text: str) -> str:
        """Mask every secret in a text."""
        return self.texts((text,))[0] if text else text

    def texts(self, texts: Sequence[str]) -> list[str]:
        """Mask every secret in texts that follow each other; a secret over several of them is seen whole.

        They are looked at together: most hold the hints of few rules, and only those are tried, where the hint stands.
        """
        clean = self._known_clean()
        fresh = [number for number, text in enumerate(texts) if text not in clean.texts]
        if not fresh:
            return [*texts]
        some = [texts[number] for number in fresh]
        masked, may_span = self._looked_at(some)
        if may_span:
            return masked if len(fresh) == len(texts) else self._looked_at(texts)[0]
        pieces = [*texts]
        for number, text in zip(fresh, masked, strict=True):
            if pieces[number] == text:
                clean.add(text)
            pieces[number] = text
        return pieces

    def _known_clean(self) -> Clean:
        """Return the texts that are known to be clean, by what is learned so far."""
        if self._clean.forms is not self.learned.forms:
            object.__setattr__(self, "_clean", Clean(self.learned.forms, self._known))
        return self._clean

    def _looked_at(self, texts: Sequence[str]) -> tuple[list[str], bool]:
        """Mask texts, and say whether a secret may go over several of them."""
        pieces, may_span = self._pass(texts)
        changed = [number for number, (old, new) in enumerate(zip(texts, pieces, strict=True)) if old != new]
        # What stood against a secret can hide the next one until it is masked: look again where something was.
        for _ in range(_ROUNDS):
            if not changed:
                break
            again, _ = self._pass([pieces[number] for number in changed])
            changed = [number for number, text in zip(changed, again, strict=True) if not _put(pieces, number, text)]
        return pieces, may_span

    def _pass(self, texts: Sequence[str]) -> tuple[list[str], bool]:
        joined = "\n".join(texts)
        for form in (*self._known, *self.learned.forms):
            if form in joined:
                joined = joined.replace(form, _mask(form))  # a key of several lines leaves as many behind
        pieces = _cut(joined, texts)
        hits = _hits(joined, pieces)
        may_span = any(rules & _OF_BLOCKS for rules in hits.values())
        if may_span:
            for rule in BLOCKS:
                joined = self._apply(rule, joined)
            pieces = _cut(joined, texts)
            hits = _hits(joined, pieces)
        for number, rules in hits.items():
            piece = pieces[number]
            for rule in _rules(rules):
                piece = self._apply(rule, piece)
            pieces[number] = piece
        for rule in self._more:
            pieces = [self._apply(rule, piece) for piece in pieces]
        return pieces, may_span

    def _apply(self, rule: Rule, text: str) -> str:
        made: list[str] = []
        at = 0
        for start, stop in sorted(rule.find(text)):
            secret = text[start:stop]
            if start < at or not secret or fields.is_masked(secret) or any(one.fullmatch(secret) for one in self.allow):
                continue
            made += (text[at:start], _mask(secret))
            at = stop
        return "".join((*made, text[at:])) if made else text

    def lines(self, lines: Iterable[LogLine]) -> list[LogLine]:
        """Mask the secrets of consecutive lines: texts, loggers, the values, notes and places of exceptions."""
        several = list(lines)
        texts: list[str] = []
        for line in several:
            texts.append(line.text)
        for line in several:
            if line.raised:
                for one in line.raised:
                    _collect(one, texts)
        loggers = sorted({line.logger for line in several if line.logger})
        said = [*texts, *loggers]
        masked = self.texts(said)
        if masked == said:
            return several
        named = dict(zip(loggers, masked[len(texts) :], strict=True))
        rest = iter(masked[len(several) : len(texts)])
        made = []
        for line, text in zip(several, masked, strict=False):
            raised = tuple([self._raised(one, rest) for one in line.raised]) if line.raised else ()
            logger = named[line.logger] if line.logger else line.logger
            same = text == line.text and logger == line.logger and raised == line.raised
            made.append(line if same else replace(line, text=text, logger=logger, raised=raised))
        return made

    def is_clean(self, line: LogLine) -> bool:
        """Say whether a line is known to hold no secret, where none can go over several lines; else it is to be masked."""
        clean = self._known_clean().texts
        return not line.raised and line.text in clean and (not line.logger or line.logger in clean)

    def line(self, line: LogLine) -> LogLine:
        """Mask the secrets of one line."""
        return self.lines((line,))[0]

    def _raised(self, one: Raised, masked: Iterator[str]) -> Raised:
        """Rebuild an exception from its masked texts, taken in the order of `_collect`."""
        said, lead = next(masked), f"{one.type}: "
        kind, value = (one.type, said[len(lead) :]) if said.startswith(lead) else self.texts((one.type, one.value))
        notes = tuple([next(masked) for _ in one.notes])
        frames = tuple([self._frame(frame, masked) for frame in one.frames])
        parts = tuple(tuple([self._raised(inner, masked) for inner in part]) for part in one.parts)
        return replace(one, type=kind, value=value, notes=notes, frames=frames, parts=parts)

    def _frame(self, frame: Frame, masked: Iterator[str]) -> Frame:
        file = next(masked) if _may_tell(frame) else frame.file
        function = next(masked) if not frame.function.isidentifier() else frame.function
        return (
            frame if file == frame.file and function == frame.function else replace(frame, file=file, function=function)
        )

    def may_span(self, texts: Sequence[str]) -> bool:
        """Say whether a secret may go over several of these texts; else each may be masked without the others."""
        clean = self._known_clean().texts  # none of which begins or ends such a secret
        joined = "\n".join([text for text in texts if text not in clean])
        return bool(_FIND_BLOCKS.find_matches_as_indexes(joined.lower())) or any(
            "\n" in form and form in joined for form in (*self._known, *self.learned.forms)
        )

    def trimmed(self, text: str, limit: int, seen: int) -> str:
        """Cut the middle out of a long text, its ends masked first as far as `seen` characters go."""
        if len(text) <= limit:
            return text
        begin = self.text(text[:seen].rpartition(" ")[0] or text[:seen]) if len(text) > seen else self.text(text)
        end = self.text(text[-seen:].partition(" ")[2] or text[-seen:]) if len(text) > seen else begin
        half = limit // 2
        return f"{begin[:half]} … [{max(0, len(text) - 2 * half)} characters cut] … {end[-half:]}"


def _mask(secret: str) -> str:
    """Return what stands in a secret's place: as many lines as it had."""
    if "\n" not in secret:
        return MASK
    return "\n".join(MASK if line.strip() else line for line in secret.split("\n"))


def _put(pieces: list[str], number: int, text: str) -> bool:
    """Put a piece in its place; True where it stood there already."""
    same, pieces[number] = pieces[number] == text, text
    return same


def _cut(joined: str, texts: Sequence[str]) -> list[str]:
    """Cut what was joined at the same lines again."""
    lines = joined.split("\n")
    if len(lines) == len(texts):
        return lines
    pieces, at = [], 0
    for text in texts:
        size = text.count("\n") + 1
        pieces.append("\n".join(lines[at : at + size]))
        at += size
    return pieces


def _hits(joined: str, pieces: list[str]) -> dict[int, int]:
    """Return the rules to try, as bits, by the number of the piece that holds a hint of them."""
    low = joined.lower()
    if len(low) != len(joined):  # a letter that is two when small: places are not comparable
        return dict.fromkeys(range(len(pieces)), _ALL)
    starts: list[int] = []
    hits: dict[int, int] = {}
    in_word: dict[int, int] = {}  # the bits of a hint of tokens: those count only where it stands in a long word
    words: list[str] | None = None
    for hint, at, end in _FIND_HINTS.find_matches_as_indexes(low, overlapping=True):
        behind = _BEHIND[hint]
        if behind is not None and behind.match(low, end) is None:
            continue
        bits = _BITS[hint]
        if bits & _OF_TOKENS:
            if hint not in in_word:
                words = _words(low, _WORD) if words is None else words
                in_word[hint] = bits if any(_HINTS[hint] in word for word in words) else bits & ~_OF_TOKENS
            bits = in_word[hint]
        if not bits:
            continue
        starts = starts or [0, *accumulate([len(piece) + 1 for piece in pieces])]
        number = bisect_right(starts, at) - 1
        hits[number] = hits.get(number, 0) | bits
    data = joined.encode("utf-8", "surrogatepass")
    for may, bits in _UNHINTED.items():
        if may(data):
            for number, piece in enumerate(pieces):
                if may(piece.encode("utf-8", "surrogatepass")):
                    hits[number] = hits.get(number, 0) | bits
    return hits


def _words(text: str, least: int) -> list[str]:
    """Return the different words of a text that are so long."""
    return [word for word in dict.fromkeys(text.split()) if len(word) >= least]


def _is_hinted(rule: Rule, low: str) -> bool:
    """Say whether a rule may find something in a text, given in small letters."""
    return any(hint in low for hint in (*rule.hints, *rule.names))


@lru_cache(1024)
def _rules(bits: int) -> tuple[Rule, ...]:
    """Return the rules for single lines among these, in their order."""
    return tuple(rule for number, rule in enumerate(RULES) if bits >> number & 1 and not rule.is_block)


def _found(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    for match in pattern.finditer(text):
        spans = [match.span(group) for group in range(1, pattern.groups + 1) if match[group]]
        yield from sorted(spans) or [match.span()]


def _all_forms(values: Iterable[str]) -> tuple[str, ...]:
    forms = {form for value in values if len(value) >= SHORTEST_KNOWN for form in _forms(value)}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _forms(value: str) -> set[str]:
    """Return how a known value may be written: as it is, quoted for a URL, in JSON, inside base64 at each alignment."""
    found = {value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1]}
    for before in range(3):
        size = before + len(value.encode())
        coded = base64.b64encode(b"\0" * before + value.encode()).decode()[-(-before * 8 // 6) : size * 8 // 6]
        if len(coded) >= 12:
            found |= {coded, coded.replace("+", "-").replace("/", "_")}
    return found


def _collect(one: Raised, texts: list[str]) -> None:
    """Gather an exception's texts. Its message stands beside its type: in a damaged traceback a name can stand there."""
    texts.append(f"{one.type}: {one.value}")
    texts.extend(one.notes)
    for frame in one.frames:
        if _may_tell(frame):
            texts.append(frame.file)
        if not frame.function.isidentifier():
            texts.append(frame.function)
    for part in one.parts:
        for inner in part:
            _collect(inner, texts)


def _may_tell(frame: Frame) -> bool:
    """Say whether a frame's file may hold a secret: a URL, or a path that names one; most are neither."""
    return "://" in frame.file or "=" in frame.file


PLAIN = Redactor()


def redact(text: str) -> str:
    """Mask every secret in `text` by the built-in rules alone."""
    return PLAIN.text(text)


__all__ = ["MASK", "PLAIN", "RULES", "Learned", "Redactor", "redact"]
