"""How much a query leaves out, known without looking at what it finds: so what finds nearly everything is counted by the rest.

Owns a bound for each part of a query, from what was counted when it was written, or from an index alone. Where there is
none, the caller counts what is found, row by row: at a million failed tries that is 2 to 3 s for all of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from triage.query import FACETS, Between, Both, Field, Members, Never, Query
from triage.store.sqlite.where import micros_of, of_words, parts, where

_HOUR = timedelta(hours=1) // timedelta(microseconds=1)
_OF_VALUES = "SELECT coalesce(sum(occurrences), 0) FROM (SELECT value AS {0}, occurrences FROM counted WHERE field = '{0}') o WHERE {1}"
_OF_HOURS = "SELECT coalesce(sum(occurrences), 0) FROM counted WHERE field = 'hour' AND value >= ? AND value < ?"


def left_out(db: sqlite3.Connection, query: Query, most: int) -> int | None:
    """Return how many failed tries a query does not find, or more; None where that may be more than `most`, or is not known."""
    total = int(db.execute("SELECT coalesce(sum(occurrences), 0) FROM counted WHERE field = 'log'").fetchone()[0])
    every = list(parts(query))
    words = tuple(part for part in every if of_words(part))  # all at once: no dearer than the search itself
    rest = [part for part in every if not of_words(part)]
    asked: list[tuple[int, Callable[[], int]]] = []
    for part in [*rest, Both(words)] if words else rest:
        if (its := _left_out(db, part, total)) is None:
            return None
        asked.append(its)
    lost = 0
    for _, ask in sorted(asked, key=lambda one: one[0]):  # what is told by fewer rows first
        lost += ask()
        if lost > most:
            return None
    return lost


def _left_out(db: sqlite3.Connection, part: Query, total: int) -> tuple[int, Callable[[], int]] | None:
    """Return what tells how many tries a part leaves out, and how dear that is; None where nothing does."""
    if (found := _found(db, part)) is not None:
        return found[0], lambda: total - found[1]()
    match part:
        case Never(inner) if found := _found(db, inner):
            return found[0] + 1, found[1]
        case Between("at", low, high):
            # Of an hour that it cuts nothing is taken for found.
            since, until = micros_of(low), micros_of(high)
            first = 0 if since is None else -(-since // _HOUR)
            last = 2**62 if until is None else (until + 1) // _HOUR
            return 0, lambda: total - _one(db, _OF_HOURS, [first, last])
        case _:
            return None


def _found(db: sqlite3.Connection, part: Query) -> tuple[int, Callable[[], int]] | None:
    """Return what counts the tries that a part finds exactly, and how dear that is; None where nothing quick does."""
    if words := of_words(part):
        return 2, partial(_one, db, "SELECT count(*) FROM words WHERE words MATCH ?", [words])
    clause, params = where(part)
    match part:
        case Field(name) if name in FACETS:
            column = "tags" if name == "tag" else name
            return 0, partial(_one, db, _OF_VALUES.format(column, clause), params)
        case Members():
            return 1, partial(_one, db, f"SELECT count(*) FROM occurrence o WHERE {clause}", params)
        case _:
            return None


def _one(db: sqlite3.Connection, sql: str, params: list[object]) -> int:
    return int(db.execute(sql, params).fetchone()[0])
