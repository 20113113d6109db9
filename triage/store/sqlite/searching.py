"""Searching failed tries in SQLite: the planned query run as a list, a count, a histogram, facets, or problems.

A list is read backwards in order of time, out of the index of words, of a problem or of all, and ends with the page. What is
counted of everything was counted when it was written, and of nearly everything by what is left out (`complement`).
"""

from __future__ import annotations

import heapq
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from triage.errors import StoreError
from triage.model import Occurrence
from triage.query import EVERYTHING, FACETS, Members, Query
from triage.store import DAY
from triage.store.sqlite.complement import left_out
from triage.store.sqlite.connections import Connections
from triage.store.sqlite.order import late, rows_of, second_of
from triage.store.sqlite.rows import decode
from triage.store.sqlite.where import Plan, micros, plan, time, where

_HOUR = timedelta(hours=1)
_SECOND = 1_000_000  # microseconds
_DAYS = "SELECT o.day, count(*) FROM {} GROUP BY o.day ORDER BY o.day"


class Searching(Connections):
    """`search`, `count`, `histogram`, `facets` and `matching` of the `Store` protocol."""

    def search(
        self, query: Query, limit: int, after: tuple[datetime, str] | None = None, *, as_of: int | None = None
    ) -> list[Occurrence]:
        with self.reading() as db:
            best: list[tuple[int, str, int]] = []  # a heap: the worst of what was found first
            for rows in _streams(plan(query), late(db), after):
                for at, id, row, words in db.execute(*rows):
                    if len(best) < limit:
                        heapq.heappush(best, (at, id, row))
                    elif second_of(words) < best[0][0] // _SECOND:
                        break  # neither this row nor any behind it is newer
                    else:
                        heapq.heappushpop(best, (at, id, row))
            body = "SELECT body FROM occurrence WHERE rowid = ?"
            return [decode(db.execute(body, (row,)).fetchone()[0]) for _, _, row in sorted(best, reverse=True)]

    def count(self, query: Query) -> int:
        with self.reading() as db:
            if query == EVERYTHING:
                return sum(_counted(db, "log").values())
            source, params = _source(plan(query), late(db))
            return int(db.execute(f"SELECT count(*) FROM {source}", params).fetchone()[0])

    def histogram(self, query: Query, step: timedelta = DAY, *, as_of: int | None = None) -> dict[datetime, int]:
        long = step // timedelta(microseconds=1)
        planned = plan(query)
        with self.reading() as db:
            if query == EVERYTHING and not step % _HOUR:
                of_hours = ((hour * 3_600_000_000, count) for hour, count in _counted(db, "hour").items())
                return _by_step(of_hours, long)
            source, params = _source(planned, late(db))
            if step == DAY and planned.clause == "1":  # of problems, for instance: the days stand in their index
                days = db.execute(_DAYS.format(source), params)
                return {datetime.fromisoformat(f"{day}T00:00+00:00"): count for day, count in days}
            sql = f"SELECT o.at - ((o.at % ?) + ?) % ? AS start, count(*) FROM {source} GROUP BY start ORDER BY start"
            return {time(start): count for start, count in db.execute(sql, [long, long, long, *params])}

    def facets(
        self, query: Query, fields: Sequence[str], limit: int, *, as_of: int | None = None
    ) -> dict[str, list[tuple[str, int]]]:
        if unknown := [name for name in fields if name not in FACETS]:
            raise StoreError(f"The store cannot count by {unknown[0]!r}.")
        columns = ["tags" if name == "tag" else name for name in fields]
        with self.reading() as db:
            lost = left_out(db, query, sum(_counted(db, "log").values()) // 2)
            if lost is None:
                counts = _by_column(db, columns, *_source(plan(query), late(db)))
            else:
                counts = [_counted(db, column) for column in columns]
                clause, params = where(query)
                rest = f"occurrence o WHERE NOT coalesce(({clause}), 0)"
                lacking = _by_column(db, columns, rest, params) if lost else [{} for _ in columns]
                counts = [_less(every, without) for every, without in zip(counts, lacking, strict=True)]
        return {name: _most(_tags(count) if name == "tag" else count, limit) for name, count in zip(fields, counts, strict=True)}  # fmt: skip

    def matching(self, query: Query) -> set[tuple[str, str]]:
        with self.reading() as db:
            source, params = _source(plan(query), late(db))
            sql = f"SELECT DISTINCT o.deployment, o.fingerprint FROM {source} AND o.fingerprint != ''"
            return set(db.execute(sql, params).fetchall())


def _source(planned: Plan, late: int) -> tuple[str, list[Any]]:
    """Return the FROM and WHERE, and their parameters, of all that is found, in any order."""
    first, last = rows_of(planned.low, planned.high, late)
    clause, params = f"({planned.clause})", planned.params
    if planned.pairs is not None:
        among, listed = where(Members(frozenset(planned.pairs)))
        clause, params = f"{among} AND {clause}", [*listed, *params]
    if planned.match:
        source = (
            "words w CROSS JOIN occurrence o ON o.words = w.rowid WHERE w.words MATCH ? AND w.rowid BETWEEN ? AND ?"
        )
        return f"{source} AND {clause}", [planned.match, first, last, *params]
    if planned.low is None and planned.high is None:
        return f"occurrence o WHERE {clause}", params
    return f"occurrence o WHERE o.words BETWEEN ? AND ? AND {clause}", [first, last, *params]


def _streams(planned: Plan, late: int, after: tuple[datetime, str] | None) -> Iterator[tuple[str, list[Any]]]:
    """Yield statements, with their parameters, that together give all that is found, each the newest rows first.

    Their columns: the end of the try, its id, its row, the row of its words.
    """
    clause, params, high = f"({planned.clause})", planned.params, planned.high
    if after is not None:
        end = micros(after[0])
        assert end is not None
        high = end if high is None else min(high, end)
        clause, params = f"{clause} AND (o.at, o.id) < (?, ?)", [*params, end, after[1]]
    between = rows_of(planned.low, high, late)
    columns = "SELECT o.at, o.id, o.rowid, o.words FROM"
    if planned.match:
        whole = Plan(planned.match, planned.low, high, planned.pairs, clause, params)
        source, params = _source(whole, late)
        yield f"{columns} {source} ORDER BY w.rowid DESC", params
    elif planned.pairs is None:
        yield f"{columns} occurrence o INDEXED BY occurrence_words WHERE o.words BETWEEN ? AND ? AND {clause} ORDER BY o.words DESC", [*between, *params]  # fmt: skip
    else:
        of = "occurrence o INDEXED BY occurrence_fingerprint WHERE o.fingerprint = ? AND o.deployment = ? AND o.words BETWEEN ? AND ?"
        for deployment, fingerprint in planned.pairs:
            yield f"{columns} {of} AND {clause} ORDER BY o.day DESC, o.words DESC", [fingerprint, deployment, *between, *params]  # fmt: skip


def _counted(db: sqlite3.Connection, field: str) -> dict[Any, int]:
    return dict(db.execute("SELECT value, occurrences FROM counted WHERE field = ?", (field,)).fetchall())


def _by_step(counts: Iterable[tuple[int, int]], step: int) -> dict[datetime, int]:
    found: Counter[int] = Counter()
    for at, count in counts:
        found[at - at % step] += count
    return {time(start): found[start] for start in sorted(found)}


def _by_column(db: sqlite3.Connection, columns: Sequence[str], source: str, params: list[Any]) -> list[dict[str, int]]:
    found = Counter(db.execute(f"SELECT {', '.join(f'o.{it}' for it in columns) or 1} FROM {source}", params))
    counts: list[Counter[str]] = [Counter() for _ in columns]
    for values, count in found.items():
        for column, value in zip(counts, values, strict=False):
            column[value] += count
    return list(counts)


def _less(every: dict[str, int], without: dict[str, int]) -> dict[str, int]:
    return {value: left for value, count in every.items() if (left := count - without.get(value, 0))}


def _tags(sets: dict[str, int]) -> dict[str, int]:
    """Return how many tries have each tag, of how many have the same tags."""
    found: Counter[str] = Counter()
    for tags, count in sets.items():
        for tag in set(tags.split("\n")):
            found[tag] += count
    return found


def _most(counts: dict[str, int], limit: int) -> list[tuple[str, int]]:
    return heapq.nsmallest(limit, ((value, count) for value, count in counts.items() if value), key=lambda it: (-it[1], it[0]))  # fmt: skip
