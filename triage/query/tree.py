"""What a query means, whoever asked and whatever answers: a tree of a few frozen nodes.

Every store compiles the same tree to what its own engine is told. A tree is only ever made here, by `parsing` or by the
program itself, so what stands in it is sound: tokens are those of `triage.tokens`, values are folded, bounds are inclusive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime


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

    Of `tag`, any one of a try's tags; of `exception`, one of `tokens.names`. The empty value, without `prefix`, is that of a try that has none.
    """

    name: str
    value: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """A field within bounds, both included; None is open. Times are datetimes, `try`, `map` and `occurrences` integers."""

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


def both(*parts: Query) -> Query:
    """Join queries so that all must hold."""
    kept = tuple(part for part in parts if part != EVERYTHING)
    return kept[0] if len(kept) == 1 else Both(kept)


def rewrite(query: Query, change: Callable[[Field | Between], Query]) -> Query:
    """Replace every `Field` and `Between` of the tree by what `change` returns for it."""
    match query:
        case Field() | Between():
            return change(query)
        case Both() | Either():
            return replace(query, parts=tuple(rewrite(part, change) for part in query.parts))
        case Never():
            return Never(rewrite(query.part, change))
        case _:
            return query


def depth(query: Query) -> int:
    """Count the levels of a tree."""
    match query:
        case Both(parts) | Either(parts):
            return 1 + max(map(depth, parts), default=0)
        case Never(part):
            return 1 + depth(part)
        case _:
            return 1
