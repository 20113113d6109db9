"""What SQLite is told to search: a query tree as a WHERE clause, and the words of an occurrence. Pure.

Owns which columns a field means and how a pattern is written so that everything a person typed stays literal. Executes
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from triage.errors import StoreError
from triage.model import LogLine, Occurrence
from triage.query import Between, Both, Either, Field, Members, Never, Query, Text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def words(fact: Occurrence, lines: Sequence[LogLine]) -> str:
    """What a search for words looks at: title, ids, and the kept log with its exceptions."""
    parts = [
        fact.signature.title if fact.signature else "",
        fact.key.dag_id,
        fact.key.task_id,
        fact.key.run_id,
        fact.host,
    ]
    for line in lines:
        parts.append(line.text)
        parts += [f"{raised.type}: {raised.value}" for raised in line.raised]
    return "\n".join(parts)


_EXACT = {"deployment", "dag", "task", "run", "cause", "title", "exception", "owner", "operator", "queue", "pool", "host", "log", "fingerprint"}  # fmt: skip


def where(query: Query) -> tuple[str, list[Any]]:
    """Turn a query tree into a WHERE clause over `occurrence o` and its parameters."""
    match query:
        case Text(text, prefix):
            phrase = '"' + text.replace('"', '""') + '"' + ("*" if prefix else "")
            return "o.words IN (SELECT rowid FROM words WHERE words MATCH ?)", [phrase]
        case Field("tag", value):
            return r"('\n' || fold(o.tags) || '\n') GLOB ?".replace("'\\n'", "char(10)"), [f"*\n{_glob(value)}\n*"]
        case Field(name, value) if name in _EXACT:
            return f"fold(o.{name}) GLOB ?", [_glob(value)]
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


def _glob(value: str) -> str:
    """A GLOB pattern for a value that may end with `*`; everything else in it is literal."""
    rest = value.endswith("*")
    literal = value[:-1] if rest else value
    return "".join(f"[{c}]" if c in "*?[" else c for c in literal) + ("*" if rest else "")


def micros(when: datetime | None) -> int | None:
    """Return microseconds since 1970, as the columns hold times."""
    return None if when is None else (when - _EPOCH) // timedelta(microseconds=1)


def time(micros: int) -> datetime:
    """Return the time that `micros` gave."""
    return _EPOCH + timedelta(microseconds=micros)
