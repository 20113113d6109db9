"""What people write to airtriage in a comment of GitLab: `/airtriage mute 7d` at the beginning of a line.

Pure: a comment -> the orders in it, in order. Owns the words, and where they count: outside of code, quotes, HTML and our
own block, so that a log which somebody pastes there orders nothing. Who may order is not asked here.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

BEGIN, END = "<!-- airtriage:begin -->", "<!-- airtriage:end -->"
_MOST = 10  # orders of one comment that are followed
_LONGEST = timedelta(days=3650)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_FENCE = re.compile(r" {0,3}(`{3,}(?!.*`)|~{3,})")
# What ends an HTML block that begins so: CommonMark 4.6. Of the last two kinds, a blank line does.
_HTML = (
    (re.compile(r" {0,3}<(?:pre|script|style|textarea)(?:[\s>]|$)", re.I), re.compile(r"</(?:pre|script|style|textarea)>", re.I)),
    (re.compile(r" {0,3}<!--"), re.compile(r"-->")),
    (re.compile(r" {0,3}<\?"), re.compile(r"\?>")),
    (re.compile(r" {0,3}<![a-z]", re.I), re.compile(r">")),
    (re.compile(r" {0,3}<!\[CDATA\["), re.compile(r"\]\]>")),
    (re.compile(r" {0,3}</?[a-z]", re.I), re.compile(r"^\s*$")),
)  # fmt: skip


class Verb(StrEnum):
    """What can be ordered."""

    MUTE = "mute"
    UNMUTE = "unmute"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    ASSIGN = "assign"
    NOTE = "note"
    HELP = "help"


@dataclass(frozen=True, slots=True)
class Order:
    """One order. What is not said is None, False or empty; `to` is a GitLab user's name, `me`, or empty for nobody."""

    verb: Verb
    lasting: timedelta | None = None
    more: int | None = None
    spread: bool = False
    closed: bool = False
    next_deploy: bool = False
    quiet: timedelta | None = None
    to: str = ""
    text: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Misread:
    """Words to airtriage that are no order, and why, in one sentence."""

    words: str
    why: str


WORDS: tuple[tuple[str, str], ...] = (
    ("mute", "quiet it for good"),
    ("mute 7d", "quiet it for a time: 30m, 12h, 7d, 2w"),
    ("mute until 10 more", "quiet it until 10 more failures"),
    ("mute until spread", "quiet it until it fails in another DAG"),
    ("mute until closed", "quiet it until this issue is closed"),
    ("unmute", "take the mute back"),
    ("resolve", "it is fixed: a later try that fails brings it back"),
    ("resolve next deploy", "it is fixed in the next deploy of the DAG"),
    ("resolve when quiet 7d", "it is fixed once its tasks have run without it for so long"),
    ("reopen", "take the resolution back"),
    ("assign @name", "make somebody its owner; also `assign me` and `assign nobody`"),
    ("note TEXT", "write a note into its history"),
    ("help", "show these words"),
)
"""Every form of an order, and what it does; `because REASON` may follow each but the last two."""


def parse(comment: str, bot: str = "") -> list[Order | Misread]:
    """Return what a comment orders, at most ten; `bot` is our own name in GitLab, which may stand in place of /airtriage.

    Empty where nobody speaks to airtriage.
    """
    names = "/airtriage" + (f"|@{re.escape(bot)}" if bot else "")
    called = re.compile(rf"(?:{names})[:,]?(?:[ \t]+(.*))?", re.I)
    found = (match for line in _spoken(comment) if (match := called.fullmatch(line.rstrip())))
    orders = [_order(" ".join((match[1] or "").split())) for match in found]
    return orders[:_MOST]


def _order(words: str) -> Order | Misread:
    first, _, rest = words.partition(" ")
    read = _READERS.get(first.casefold())
    if read is None:
        return Misread(words, f"{_shown(first)} is not a word it knows." if first else "It was not said what to do.")
    try:
        return read(rest)
    except ValueError as exc:
        return Misread(words, str(exc))


def _reasoned(rest: str) -> tuple[str, str]:
    order, _, why = f" {rest}".partition(" because ")
    return order.strip().casefold(), why.strip()


def _mute(rest: str) -> Order:
    order, why = _reasoned(rest)
    order = order.removeprefix("until ").removeprefix("for ")
    if not order or order == "good":
        return Order(Verb.MUTE, why=why)
    if match := re.fullmatch(r"([1-9][0-9]{0,6}) more(?: failures?)?", order):
        return Order(Verb.MUTE, more=int(match[1]), why=why)
    if order in ("spread", "it spreads", "spreads"):
        return Order(Verb.MUTE, spread=True, why=why)
    if order in ("closed", "it is closed"):
        return Order(Verb.MUTE, closed=True, why=why)
    return Order(Verb.MUTE, lasting=_lasting(order, "mute"), why=why)


def _resolve(rest: str) -> Order:
    order, why = _reasoned(rest)
    if not order or order == "now":
        return Order(Verb.RESOLVE, why=why)
    if order.removeprefix("in ").removeprefix("the ").removeprefix("next ") == "deploy":
        return Order(Verb.RESOLVE, next_deploy=True, why=why)
    if match := re.fullmatch(r"(?:when )?quiet(?: for)? (.+)", order):
        return Order(Verb.RESOLVE, quiet=_lasting(match[1], "resolve when quiet"), why=why)
    raise ValueError(f"{_shown(order)} does not follow `resolve`.")


def _assign(rest: str) -> Order:
    order, why = _reasoned(rest)
    if order == "nobody":
        return Order(Verb.ASSIGN, why=why)
    if not re.fullmatch(r"@?[a-z0-9_][a-z0-9_.-]{0,254}", order):
        raise ValueError("It was not said to whom, as in `assign @name`, `assign me` or `assign nobody`.")
    return Order(Verb.ASSIGN, to="me" if order == "me" else rest.split()[0].removeprefix("@"), why=why)


def _note(rest: str) -> Order:
    if not rest:
        raise ValueError("The note has no text.")
    return Order(Verb.NOTE, text=rest)


def _alone(verb: Verb) -> Callable[[str], Order]:
    def read(rest: str) -> Order:
        order, why = _reasoned(rest)
        if order:
            raise ValueError(f"{_shown(order)} does not follow `{verb}`.")
        return Order(verb, why=why)

    return read


_READERS: dict[str, Callable[[str], Order]] = {
    Verb.MUTE: _mute, Verb.UNMUTE: _alone(Verb.UNMUTE), Verb.RESOLVE: _resolve, Verb.REOPEN: _alone(Verb.REOPEN),
    Verb.ASSIGN: _assign, Verb.NOTE: _note, Verb.HELP: lambda rest: Order(Verb.HELP),
}  # fmt: skip


def _lasting(text: str, verb: str) -> timedelta:
    match = re.fullmatch(r"([1-9][0-9]{0,5}) ?([mhdw])(?:in(?:ute)?s?|ours?|ays?|eeks?)?", text)
    if not match:
        raise ValueError(f"{_shown(text)} does not follow `{verb}`; a time is written 30m, 12h, 7d or 2w.")
    lasting = int(match[1]) * _UNITS[match[2]]
    if lasting > _LONGEST:
        raise ValueError(f"{_shown(text)} is longer than ten years.")
    return lasting


def _shown(words: str) -> str:
    """Quote what somebody wrote so that it is plain text in a comment of ours."""
    return "`" + re.sub(r"[^\w .,:@/-]", "?", words)[:40] + "`"


def _spoken(comment: str) -> Iterator[str]:
    """Yield the lines in which somebody speaks: no code, no quote, no HTML, nothing of our own block."""
    without = re.sub(rf"{re.escape(BEGIN)}.*?(?:{re.escape(END)}|\Z)", "\n\n", comment, flags=re.S)
    for paragraph in _paragraphs(re.split(r"\r\n|\r|\n", without)):
        code = _code("\n".join(paragraph))
        begins = [begin for begin, _ in code]
        at = 0
        for line in paragraph:
            before = bisect_left(begins, at) - 1
            if before < 0 or code[before][1] <= at:
                yield line
            at += len(line) + 1


def _code(text: str) -> list[tuple[int, int]]:
    """Return where the code spans of a paragraph are: from a run of backticks to the next one as long, in linear time."""
    runs = [match.span() for match in re.finditer("`+", text)]
    closer: list[int | None] = [None] * len(runs)
    seen: dict[int, int] = {}
    for number in range(len(runs) - 1, -1, -1):
        size = runs[number][1] - runs[number][0]
        closer[number] = seen.get(size)
        seen[size] = number
    spans, number = [], 0
    while number < len(runs):
        end = closer[number]
        if end is not None:
            spans.append((runs[number][0], runs[end][1]))
        number = (number if end is None else end) + 1
    return spans


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    """Yield the paragraphs outside of code blocks, quotes and HTML blocks.

    A quote goes on to the next blank line, as CommonMark's does where its `>` is left out. A fence, a quote of GitLab's
    (`>>>`) or an HTML block that nothing ends goes on to the end.
    """
    found: list[str] = []
    is_over: Callable[[str], object] | None = None
    for line in lines:
        if is_over is not None:
            is_over = None if is_over(line) else is_over
            continue
        begun = _begins(line)
        if begun is None and line.strip():
            found.append(line)
            continue
        if found:
            yield found
        found = []
        if begun is not None and not (begun[1] and begun[0](line)):
            is_over = begun[0]
    if found:
        yield found


def _begins(line: str) -> tuple[Callable[[str], object], bool] | None:
    """Return what ends the block that begins in this line, and whether that may be in the same line; None for text."""
    if match := _FENCE.match(line):
        fence = match[1]
        return re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}\s*").fullmatch, False
    if line.rstrip() == ">>>":
        return (lambda later: later.rstrip() == ">>>"), False
    if re.match(r" {0,3}>", line):
        return (lambda later: not later.strip()), False
    for start, end in _HTML:
        if start.match(line):
            return end.search, True
    return None
