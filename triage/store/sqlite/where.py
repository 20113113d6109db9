"""What SQLite is told to search: a query tree as a WHERE clause. Pure.

Owns which columns a field means, and that all a person typed stays literal. Executes nothing; `fold` and `fold_tags` are
functions that the connection brings.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from triage.errors import StoreError
from triage.query import FACETS, Between, Both, Either, Field, Members, Never, Query, Words
from triage.tokens import fold

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


_INDEXED = {"text": "body", "title": "title"}
_EXACT = {"deployment", "dag", "task", "run", "cause", "title", "exception", "owner", "operator", "queue", "pool", "host", "log", "fingerprint"}  # fmt: skip


def where(query: Query) -> tuple[str, list[Any]]:
    """Turn a query tree into a WHERE clause over `occurrence o` and its parameters."""
    match query:
        case Words(tokens, prefix, field):
            phrase = f'{_INDEXED[field]} : "{" ".join(tokens)}"' + ("*" if prefix else "")
            return "o.words IN (SELECT rowid FROM words WHERE words MATCH ?)", [phrase]
        case Field("tag", value, prefix):
            if not value and not prefix:
                return "o.tags = ''", []
            return "instr(fold_tags(o.tags), ?) > 0", [f"\n{value}" if prefix else f"\n{value}\n"]
        case Field(name, value, prefix) if name in _EXACT:
            if prefix:
                return f"substr(fold(o.{name}), 1, ?) = ?", [len(value), value]
            return f"fold(o.{name}) = ?", [value]
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


def facet(name: str) -> tuple[str, str, str]:
    """Return the value that a facet is of, how its occurrences are counted, and in which tables."""
    if name == "tag":
        return "tag.value", "count(DISTINCT o.rowid)", "occurrence o, json_each(CAST(o.body AS TEXT), '$.tags') tag"
    if name not in FACETS:
        raise StoreError(f"The store cannot count by {name!r}.")
    return f"o.{name}", "count(*)", "occurrence o"


def micros(when: datetime | None) -> int | None:
    """Return microseconds since 1970, as the columns hold times."""
    return None if when is None else (when - _EPOCH) // timedelta(microseconds=1)


def time(micros: int) -> datetime:
    """Return the time that `micros` gave."""
    return _EPOCH + timedelta(microseconds=micros)


def fold_tags(tags: str) -> str:
    """Fold tags joined by line breaks: each of them stands between two of these."""
    return "".join(f"\n{fold(tag)}" for tag in tags.split("\n")) + "\n"
