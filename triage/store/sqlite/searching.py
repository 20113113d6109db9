"""Searching failed tries in SQLite: the compiled query run as a list, a count, a histogram, or problems."""

from __future__ import annotations

from datetime import datetime

from triage.model import Occurrence
from triage.query import Query
from triage.store.sqlite.connections import Connections
from triage.store.sqlite.rows import decode
from triage.store.sqlite.where import micros, where


class Searching(Connections):
    """`search`, `count`, `histogram` and `matching` of the `Store` protocol."""

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

    def histogram(self, query: Query) -> dict[str, int]:
        clause, params = where(query)
        with self.reading() as db:
            sql = f"SELECT o.day, count(*) FROM occurrence o WHERE {clause} GROUP BY o.day ORDER BY o.day"
            return dict(db.execute(sql, params).fetchall())

    def matching(self, query: Query) -> set[tuple[str, str]]:
        clause, params = where(query)
        sql = f"SELECT DISTINCT o.deployment, o.fingerprint FROM occurrence o WHERE o.fingerprint != '' AND ({clause})"
        with self.reading() as db:
            return set(db.execute(sql, params).fetchall())
