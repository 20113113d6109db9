"""Searching failed tries in SQLite: the compiled query run as a list, a count, a histogram, facets, or problems."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from triage.model import Occurrence
from triage.query import Query
from triage.store import DAY
from triage.store.sqlite.connections import Connections
from triage.store.sqlite.rows import decode
from triage.store.sqlite.where import facet, micros, time, where


class Searching(Connections):
    """`search`, `count`, `histogram`, `facets` and `matching` of the `Store` protocol."""

    def search(self, query: Query, limit: int, after: tuple[datetime, str] | None = None) -> list[Occurrence]:
        clause, params = where(query)
        if after:
            clause, params = f"({clause}) AND (o.at, o.id) < (?, ?)", [*params, micros(after[0]), after[1]]
        sql = f"SELECT o.body FROM occurrence o WHERE {clause} ORDER BY o.at DESC, o.id DESC LIMIT ?"
        with self.reading() as db:
            return [decode(body) for (body,) in db.execute(sql, [*params, limit])]

    def count(self, query: Query) -> int:
        clause, params = where(query)
        with self.reading() as db:
            return int(db.execute(f"SELECT count(*) FROM occurrence o WHERE {clause}", params).fetchone()[0])

    def histogram(self, query: Query, step: timedelta = DAY) -> dict[datetime, int]:
        clause, params = where(query)
        long = step // timedelta(microseconds=1)
        sql = f"SELECT o.at - ((o.at % ?) + ?) % ? AS start, count(*) FROM occurrence o WHERE {clause} GROUP BY start ORDER BY start"
        with self.reading() as db:
            return {time(start): count for start, count in db.execute(sql, [long, long, long, *params])}

    def facets(self, query: Query, fields: Sequence[str], limit: int) -> dict[str, list[tuple[str, int]]]:
        clause, params = where(query)
        found = {}
        with self.reading() as db:
            for name in fields:
                value, count, source = facet(name)
                sql = f"SELECT {value}, {count} FROM {source} WHERE ({clause}) AND {value} != '' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
                found[name] = db.execute(sql, [*params, limit]).fetchall()
        return found

    def matching(self, query: Query) -> set[tuple[str, str]]:
        clause, params = where(query)
        sql = f"SELECT DISTINCT o.deployment, o.fingerprint FROM occurrence o WHERE o.fingerprint != '' AND ({clause})"
        with self.reading() as db:
            return set(db.execute(sql, params).fetchall())
