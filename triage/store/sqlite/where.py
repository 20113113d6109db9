"""What SQLite is told to search: a query tree as a WHERE clause. Pure.

Owns which columns a field means, and that all a person typed stays literal. Executes nothing; `fold`, `bare` and
`fold_tags` are functions that the connection brings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from triage.errors import StoreError
from triage.query import FACETS, Between, Both, Either, Field, Members, Never, Query, Words
from triage.tokens import cut, fold

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


_INDEXED = {"text": "body", "title": "title"}
_EXACT = {"deployment", "dag", "task", "run", "cause", "title", "exception", "owner", "operator", "queue", "pool", "host", "log", "fingerprint"}  # fmt: skip


def where(query: Query) -> tuple[str, list[Any]]:
    """Turn a query tree into a WHERE clause over `occurrence o`, or `summary o`, and its parameters."""
    match query:
        case Words():
            return "o.words IN (SELECT rowid FROM words WHERE words MATCH ?)", [of_words(query)]
        case Field("tag", value, prefix):
            if not value and not prefix:
                return "o.tags = ''", []
            of_sets = "SELECT value FROM counted WHERE field = 'tags' AND instr(fold_tags(value), ?) > 0"
            return f"o.tags IN ({of_sets})", [f"\n{value}" if prefix else f"\n{value}\n"]
        case Field(name, value, prefix) if name in _EXACT:
            test, params = ("substr(fold({}), 1, ?) = ?", [len(value), value]) if prefix else ("fold({}) = ?", [value])
            if name == "exception":
                test, params = f"({test} OR {test.replace('fold(', 'bare(')})", [*params, *params]
            if name not in FACETS:
                return test.format(f"o.{name}"), params
            # Few values are folded instead of each row's.
            return (
                f"o.{name} IN (SELECT value FROM counted WHERE field = '{name}' AND {test.format('value', 'value')})",
                params,
            )
        case Between(name, low, high):
            column, bounds = f"o.{name}", [(">=", low), ("<=", high)]
            tests = [
                (f"{column} {sign} ?", micros(b) if isinstance(b, datetime) else b)
                for sign, b in bounds
                if b is not None
            ]
            return " AND ".join(test for test, _ in tests) or "1", [bound for _, bound in tests]
        case Members(pairs):
            sql = (
                "(o.fingerprint, o.deployment) IN "
                "(SELECT json_extract(value, '$[1]'), json_extract(value, '$[0]') FROM json_each(?))"
            )
            return sql, [json.dumps(sorted(pairs))]
        case Both(parts) | Either(parts):
            compiled = [where(part) for part in parts]
            word = " AND " if isinstance(query, Both) else " OR "
            joined = word.join(f"({sql})" for sql, _ in compiled)
            return joined or "1", [param for _, params in compiled for param in params]
        case Never(part):
            sql, params = where(part)
            return f"NOT coalesce(({sql}), 0)", params
        case _:
            raise StoreError(f"The store cannot search by {query!r}.")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query is answered: what the index of words is asked, between which times, of which pairs, and the rest.

    `match` is empty where no word has to be there, `pairs` None where any will do. `clause` holds for whatever is found,
    the times included.
    """

    match: str
    low: int | None
    high: int | None
    pairs: tuple[tuple[str, str], ...] | None
    clause: str
    params: list[Any]


def plan(query: Query) -> Plan:
    """Part what must hold into what an index answers and the rest."""
    matches: list[str] = []
    rest: list[Query] = []
    pairs: tuple[tuple[str, str], ...] | None = None
    low: int | None = None
    high: int | None = None
    for part in parts(query):
        if match := of_words(part):
            matches.append(f"({match})")
            continue
        if isinstance(part, Members) and pairs is None:
            pairs = tuple(sorted(part.pairs))
            continue
        if isinstance(part, Between) and part.name == "at":
            lows = [bound for bound in (low, micros_of(part.low)) if bound is not None]
            highs = [bound for bound in (high, micros_of(part.high)) if bound is not None]
            low, high = max(lows, default=None), min(highs, default=None)
        elif isinstance(part, Field) and part.name == "run" and not part.prefix and (tokens := cut(part.value)):
            matches.append(f"({of_words(Words(tuple(tokens)))})")  # the run is among the words
        rest.append(part)
    clause, params = where(Both(tuple(rest)))
    return Plan(" AND ".join(matches), low, high, pairs, clause, params)


def parts(query: Query) -> Iterator[Query]:
    """Yield what must hold, all of it."""
    if isinstance(query, Both):
        for part in query.parts:
            yield from parts(part)
    else:
        yield query


def of_words(query: Query) -> str:
    """Return what the index of words is asked for a query of words alone; empty for any other."""
    match query:
        case Words(tokens, prefix, field):
            return f'{_INDEXED[field]} : "{" ".join(tokens)}"' + ("*" if prefix else "")
        case Both(parts) | Either(parts) if parts:
            found = [of_words(part) for part in parts]
            word = " AND " if isinstance(query, Both) else " OR "
            return word.join(f"({part})" for part in found) if all(found) else ""
        case _:
            return ""


def micros_of(when: datetime | int | None) -> int | None:
    """Return a bound of `at` in microseconds since 1970."""
    return micros(when) if isinstance(when, datetime) else when


def micros(when: datetime | None) -> int | None:
    """Return microseconds since 1970, as the columns hold times."""
    return None if when is None else (when - _EPOCH) // timedelta(microseconds=1)


def time(micros: int) -> datetime:
    """Return the time that `micros` gave."""
    return _EPOCH + timedelta(microseconds=micros)


def fold_tags(tags: str) -> str:
    """Fold tags joined by line breaks: each of them stands between two of these."""
    return "".join(f"\n{fold(tag)}" for tag in tags.split("\n")) + "\n"
