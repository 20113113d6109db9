"""The search language: Lucene syntax, parsed by luqum into a small tree that each store compiles.

Owns the field names and what a query means. A person's text never reaches a server's own query parser. Words side by
side mean AND. Terms about problems (`state:`, `is:`, `problem:`) are part of the tree; the service replaces them by
`Members` before a store sees it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from luqum.exceptions import ParseError
from luqum.thread import parse as luqum_parse
from luqum.tree import (
    AndOperation,
    FieldGroup,
    Group,
    Item,
    Not,
    OrOperation,
    Phrase,
    Plus,
    Prohibit,
    Range,
    SearchField,
    UnknownOperation,
    Word,
)

from triage.errors import InputError
from triage.tokens import cut, fold

# Short and full names of every field; the short one is what the tree holds.
FIELDS = {
    "deployment": "deployment", "dag": "dag", "dag_id": "dag", "task": "task", "task_id": "task", "run": "run",
    "run_id": "run", "try": "try", "try_number": "try", "map": "map", "map_index": "map", "cause": "cause",
    "title": "title", "exception": "exception", "text": "text", "owner": "owner", "operator": "operator",
    "queue": "queue", "pool": "pool", "host": "host", "tag": "tag", "log": "log", "at": "at",
    "fingerprint": "fingerprint", "state": "state", "is": "is", "has": "has", "problem": "problem",
}  # fmt: skip
PROBLEM_FIELDS = frozenset({"state", "is", "has", "problem"})
# What a store counts by: the names of `Store.facets`.
FACETS = (
    "deployment", "dag", "task", "cause", "exception", "owner", "operator", "queue", "pool", "host", "tag", "log", "title", "fingerprint",
)  # fmt: skip
NUMBERS = frozenset({"try", "map"})
_RELATIVE = re.compile(r"now(?:-(\d{1,6})([mhdw]))?\Z")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


# What every store can take: SQLite's parser stack of 100, its 1,000 levels and its longest pattern are the nearest limits.
LONGEST = 1_000
DEEPEST = 12
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Words:
    """These tokens of `triage.tokens` side by side, in this order; with `prefix` the last is the beginning of one.

    `field` is `text` (all that `tokens.of` looks at) or `title`.
    """

    tokens: tuple[str, ...]
    prefix: bool = False
    field: str = "text"


@dataclass(frozen=True, slots=True)
class Field:
    """A field equal to a value that `tokens.fold` gave, or with `prefix` beginning with it.

    Of `tag`, any one of a try's tags. The empty value, without `prefix`, is that of a try that has none.
    """

    name: str
    value: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """A field within bounds, both included; None is open. `at` holds datetimes, `try` and `map` integers."""

    name: str
    low: datetime | int | None
    high: datetime | int | None


@dataclass(frozen=True, slots=True)
class Members:
    """Occurrences of any of these (deployment, fingerprint) pairs."""

    pairs: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Both:
    """Every part holds; without parts, everything."""

    parts: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part holds."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Never:
    """The part does not hold."""

    part: Node


Node = Words | Field | Between | Members | Both | Either | Never
Query = Node
EVERYTHING = Both()


def parse(text: str, now: datetime) -> Query:
    """Parse a person's query; empty or `*` means everything. InputError says what is wrong, or too much for a store."""
    text = "".join(" " if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in text).strip()
    if len(text) > LONGEST:
        raise InputError(f"The query has {len(text)} characters.", f"Use at most {LONGEST}.")
    if text in ("", "*", "*:*"):
        return EVERYTHING
    try:
        tree = luqum_parse(text)
    except ParseError as exc:
        raise InputError(
            f"The query {text!r} cannot be read: {exc}.", "Put special characters in double quotes."
        ) from exc
    except RecursionError as exc:
        raise InputError("The query is nested too deeply.", "Use fewer brackets.") from exc
    query = _node(tree, "", now)
    if _depth(query) > DEEPEST:
        raise InputError("The query is nested too deeply.", f"Nest at most {DEEPEST} levels.")
    return query


def _depth(query: Query) -> int:
    match query:
        case Both(parts) | Either(parts):
            return 1 + max(map(_depth, parts), default=0)
        case Never(part):
            return 1 + _depth(part)
        case _:
            return 1


def both(*parts: Query) -> Query:
    """Join queries so that all must hold."""
    kept = tuple(part for part in parts if part != EVERYTHING)
    return kept[0] if len(kept) == 1 else Both(kept)


def rewrite(query: Query, change: Callable[[Field], Query]) -> Query:
    """Replace every `Field` of the tree by what `change` returns for it."""
    match query:
        case Field():
            return change(query)
        case Both() | Either():
            return replace(query, parts=tuple(rewrite(part, change) for part in query.parts))
        case Never():
            return Never(rewrite(query.part, change))
        case _:
            return query


def _node(item: Item, field: str, now: datetime) -> Query:
    match item:
        case SearchField():
            return _node(item.expr, _field(item.name), now)
        case FieldGroup() | Group():
            return _node(item.expr, field, now)
        case Plus():
            return _node(item.a, field, now)
        case Not() | Prohibit():
            return Never(_node(item.a, field, now))
        case OrOperation():
            return Either(tuple(_node(part, field, now) for part in item.operands))
        case AndOperation() | UnknownOperation():
            return Both(tuple(_node(part, field, now) for part in item.operands))
        case Range():
            return _range(item, field, now)
        case Phrase():
            return _term(_unescape(item.value[1:-1]), field, now, quoted=True)
        case Word():
            return _term(item.value, field, now, quoted=False)
        case _:
            raise InputError(
                f"The query uses {str(item).strip()!r}, which airtriage does not know.",
                "Use words, field:value, AND, OR, NOT, brackets and [a TO b].",
            )


def _field(name: str) -> str:
    if name not in FIELDS:
        close = difflib.get_close_matches(name, FIELDS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"The fields are {', '.join(sorted(set(FIELDS.values())))}."
        raise InputError(f"There is no field {name!r} to search.", hint)
    return FIELDS[name]


def _term(value: str, field: str, now: datetime, *, quoted: bool) -> Query:
    prefix = not quoted and value.endswith("*") and not value.endswith("\\*")
    if not quoted:
        value = _unescape(value[:-1] if prefix else value)
    if prefix and not value:
        return EVERYTHING if field in ("", "text", "at", *NUMBERS) else Never(Field(field, ""))
    if field in ("", "text", "title"):
        return _words(value, prefix, field or "text")
    if field in NUMBERS and not prefix:
        number = _bound(field, value, now)
        return Between(field, number, number)
    if field == "at":
        start = _bound("at", value, now)
        assert isinstance(start, datetime)
        return Between("at", start, _next_day(start) if len(value) == 10 else start)
    return Field(field, fold(value), prefix)


def _words(value: str, prefix: bool, field: str) -> Query:
    tokens = tuple(cut(value))
    if not tokens:
        raise InputError(f"There is no word in {value!r}.", "Write at least one letter or digit.")
    return Words(tokens, prefix, field)


def _range(item: Range, field: str, now: datetime) -> Query:
    if field not in NUMBERS | {"at"}:
        raise InputError(f"A range needs one of the fields at, try, map, not {field or 'plain words'!r}.")
    low, high = (None if str(end) == "*" else _bound(field, str(end).strip('"'), now) for end in (item.low, item.high))
    return Between(field, low, high)


def _bound(field: str, value: str, now: datetime) -> datetime | int:
    if field in NUMBERS:
        if not re.fullmatch(r"-?\d{1,19}", value) or abs(int(value)) > _LARGEST:
            raise InputError(f"{field}:{value} is not a whole number.")
        return int(value)
    try:
        if match := _RELATIVE.match(value):
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])}) if match[1] else now
        when = datetime.fromisoformat(value)
    except (ValueError, OverflowError) as exc:
        raise InputError(f"{field}:{value} is not a date.", 'Write 2026-11-24, "2026-11-24T10:00" or now-7d.') from exc
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _next_day(start: datetime) -> datetime | None:
    try:
        return start + timedelta(days=1)
    except OverflowError:
        return None


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
