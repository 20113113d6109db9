"""The records of the store in SQLite: JSON in one table, saved against the revision they were read with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from triage.errors import StaleProblem
from triage.records import Record
from triage.store import FOLLOWED, Changed, record_keys
from triage.store.sqlite.connections import Connections
from triage.store.sqlite.where import micros

R = TypeVar("R", bound=Record)


class Records(Connections):
    """`get`, `save`, `delete` and `records` of the `Store` protocol."""

    def get(self, kind: type[R], id: str) -> tuple[R, int] | None:
        with self.reading() as db:
            row = db.execute(
                "SELECT body, revision FROM record WHERE kind = ? AND id = ?", (kind.__name__, id)
            ).fetchone()
        return (msgspec.json.decode(row[0], type=kind), row[1]) if row else None

    def many(self, kind: type[R], ids: Iterable[str]) -> dict[str, tuple[R, int]]:
        sql = "SELECT id, body, revision FROM record WHERE kind = ? AND id IN (SELECT value FROM json_each(?))"
        with self.reading() as db:
            rows = db.execute(sql, (kind.__name__, msgspec.json.encode(list(ids)).decode())).fetchall()
        decoder = msgspec.json.Decoder(kind)
        return {id: (decoder.decode(body), revision) for id, body, revision in rows}

    def save(self, record: Record, revision: int | None) -> int:
        id, parent, wake_at = record_keys(record)
        values = (parent, micros(wake_at), msgspec.json.encode(record), type(record).__name__, id)
        with self.writing() as db:
            if revision is None:
                sql = "INSERT INTO record (parent, wake_at, body, kind, id, revision) VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING"
                saved = db.execute(sql, values).rowcount
            else:
                sql = "UPDATE record SET parent = ?, wake_at = ?, body = ?, revision = revision + 1 WHERE kind = ? AND id = ? AND revision = ?"
                saved = db.execute(sql, (*values, revision)).rowcount
            if not saved:
                raise StaleProblem(f"{type(record).__name__} {id} was saved by somebody else meanwhile.", "Try again.")
        return (revision or 0) + 1

    def delete(self, kind: type[Record], id: str, revision: int) -> None:
        with self.writing() as db:
            gone = db.execute(
                "DELETE FROM record WHERE kind = ? AND id = ? AND revision = ?", (kind.__name__, id, revision)
            ).rowcount
            if (
                not gone
                and db.execute("SELECT 1 FROM record WHERE kind = ? AND id = ?", (kind.__name__, id)).fetchone()
            ):
                raise StaleProblem(f"{kind.__name__} {id} was saved by somebody else meanwhile.", "Try again.")

    def records(
        self, kind: type[R], parent: str | None = None, wake_before: datetime | None = None
    ) -> list[tuple[R, int]]:
        # Left to itself SQLite takes the primary key for either, and reads every record of the kind.
        by = "INDEXED BY record_parent" if parent is not None else "INDEXED BY record_wake" if wake_before else ""
        sql = f"SELECT body, revision FROM record {by} WHERE kind = ?"
        params: list[Any] = [kind.__name__]
        if parent is not None:
            sql, params = sql + " AND parent = ?", [*params, parent]
        if wake_before is not None:
            sql, params = sql + " AND wake_at <= ?", [*params, micros(wake_before)]
        with self.reading() as db:
            rows = db.execute(sql + " ORDER BY id", params).fetchall()
        decoder = msgspec.json.Decoder(kind)
        return [(decoder.decode(body), revision) for body, revision in rows]

    def changed(self, since: int) -> Changed | None:
        with self.reading() as db:
            revision = int(db.execute("SELECT value FROM counter").fetchone()[0])
            rows = db.execute("SELECT kind, id FROM changed WHERE stamp > ?", (since,)).fetchall()
        if since > revision:
            return None  # of another file: this one was put in its place
        found: dict[str, set[str]] = {}
        for kind, id in rows:
            found.setdefault(kind, set()).add(id)
        pairs = (key.split("\n") for key in found.get("Summary", ()))
        return Changed(
            revision,
            frozenset((deployment, print_) for print_, deployment in pairs),
            {kind: frozenset(found[kind.__name__]) for kind in FOLLOWED if kind.__name__ in found},
        )
