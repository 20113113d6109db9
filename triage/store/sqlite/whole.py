"""The SQLite store as a whole: what lies behind the horizon is deleted, and all there is read and written as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from typing import Any, TypeVar, cast

import msgspec

from triage.model import Occurrence
from triage.records import Horizon, Record
from triage.store import HORIZON, Day, DeadLetter, Part, Thing, Touched, record_keys, thing_id
from triage.store.sqlite.occurrences import Occurrences
from triage.store.sqlite.order import late, rows_of
from triage.store.sqlite.rows import load
from triage.store.sqlite.summaries import HOUR, count_anew, first_hour, horizon, touch
from triage.store.sqlite.where import micros

T = TypeVar("T", bound=Thing)
_BEHIND = "SELECT id FROM occurrence WHERE words <= ? AND at < ? ORDER BY words LIMIT ?"
_LETTERS = 100  # dead letters at once, each with its kept log
_MERGED = 64  # pages of the index of words that a slice of deletions merges: so the words deleted leave it in time


class Whole(Occurrences):
    """`retire`, `everything`, `overwrite`, `erase`, `dead` and `revive` of the `Store` protocol."""

    def retire(self, before: str, limit: int) -> int:
        with self.writing() as db:
            day = horizon(db)
            if before > day:
                behind = "SELECT deployment, fingerprint, day FROM touched WHERE day < ?"
                count_anew(db, db.execute(behind, (before,)).fetchall())
                day = before
                _save_horizon(db, day, 0)
            first = first_hour(day) * HOUR if day else 0
            rows = db.execute(_BEHIND, (rows_of(None, first, late(db))[1], first, limit)).fetchall()
            if rows:
                db.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten with zeros
                for (id,) in rows:
                    self.remove(db, id)
                db.execute("PRAGMA secure_delete = OFF")
                db.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (_MERGED,))
                _save_horizon(db, day, len(rows))
        return len(rows)

    def everything(self, kind: type[T], limit: int, after: str = "") -> list[T]:
        with self.reading() as db:
            if kind is Occurrence:
                ids = db.execute(
                    "SELECT id FROM occurrence WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
                ).fetchall()
                return [cast("T", load(db, id, kept=True)) for (id,) in ids]
            if kind is Day:
                return [cast("T", _day(db, *key)) for key in _keys(db, "summary", limit, after)]
            if kind is Touched:
                return [
                    cast("T", Touched(dep, print_, day, 0)) for print_, dep, day in _keys(db, "touched", limit, after)
                ]
            sql = "SELECT body FROM record WHERE kind = ? AND id > ? ORDER BY id LIMIT ?"
            decoder = msgspec.json.Decoder(kind)
            return [decoder.decode(body) for (body,) in db.execute(sql, (kind.__name__, after, limit))]

    def overwrite(self, things: Sequence[T]) -> None:
        with self.writing() as db:
            for thing in things:
                if isinstance(thing, Occurrence):
                    self.remove(db, thing.key.id)
                    self.write(db, thing, None)
                elif isinstance(thing, Day):
                    _save_day(db, thing)
                elif isinstance(thing, Touched):
                    touch(db, [(thing.deployment, thing.fingerprint, thing.day)])
                elif isinstance(thing, DeadLetter):
                    _save(db, (DeadLetter.__name__, thing_id(thing), "", None, msgspec.json.encode(thing)))
                else:
                    _save_record(db, thing)

    def dead(self) -> int:
        """Count the dead letters: SQLite refuses nothing, so they are those of another store that was copied into this one."""
        with self.reading() as db:
            sql = "SELECT count(*) FROM record WHERE kind = ?"
            return int(db.execute(sql, (DeadLetter.__name__,)).fetchone()[0])

    def revive(self) -> int:
        taken = 0
        while letters := self.everything(DeadLetter, _LETTERS):
            self.put(letter.fact for letter in letters)
            self.erase(DeadLetter, [thing_id(letter) for letter in letters])
            taken += len(letters)
        return taken

    def erase(self, kind: type[Thing], ids: Iterable[str]) -> None:
        with self.writing() as db:
            for id in ids:
                if kind is Occurrence:
                    self.remove(db, id)
                elif kind is Day or kind is Touched:
                    forget: Callable[..., None] = _forget_day if kind is Day else _forget_touch
                    forget(db, *id.split("\n"))
                else:
                    db.execute("DELETE FROM record WHERE kind = ? AND id = ?", (kind.__name__, id))


def _keys(db: sqlite3.Connection, table: str, limit: int, after: str) -> list[tuple[str, str, str]]:
    """Return the next (fingerprint, deployment, day) of a table; `after` is the same, joined by line breaks."""
    place = after.split("\n") if after else ["", "", ""]
    sql = (
        f"SELECT DISTINCT fingerprint, deployment, day FROM {table} WHERE (fingerprint, deployment, day) > (?, ?, ?) "
        "ORDER BY fingerprint, deployment, day LIMIT ?"
    )
    return db.execute(sql, (*place, limit)).fetchall()


def _day(db: sqlite3.Connection, fingerprint: str, deployment: str, day: str) -> Day:
    parts = (
        "SELECT dag, task, owner, version, bundle, occurrences, final, first_at, last_at, last_started FROM summary "
        "WHERE fingerprint = ? AND deployment = ? AND day = ? ORDER BY dag, task, owner, version, bundle"
    )
    hours = "SELECT hour, occurrences FROM hourly WHERE fingerprint = ? AND deployment = ? AND hour >= ? AND hour < ? ORDER BY hour"
    first = first_hour(day)
    return Day(
        deployment, fingerprint, day,
        tuple(Part(*row) for row in db.execute(parts, (fingerprint, deployment, day))),
        tuple(db.execute(hours, (fingerprint, deployment, first, first + 24)).fetchall()),
    )  # fmt: skip


def _save_day(db: sqlite3.Connection, it: Day) -> None:
    _forget_day(db, it.fingerprint, it.deployment, it.day)
    columns = "deployment, fingerprint, day, dag, task, owner, version, bundle, occurrences, final, first_at, last_at, last_started"
    rows = [(it.deployment, it.fingerprint, it.day, *astuple(part)) for part in it.parts]
    db.executemany(f"INSERT INTO summary ({columns}) VALUES ({', '.join('?' * 13)})", rows)
    hourly = "INSERT INTO hourly (fingerprint, deployment, hour, occurrences) VALUES (?, ?, ?, ?)"
    db.executemany(hourly, [(it.fingerprint, it.deployment, *hour) for hour in it.hours])


def _forget_day(db: sqlite3.Connection, fingerprint: str, deployment: str, day: str) -> None:
    first, key = first_hour(day), (fingerprint, deployment)
    db.execute("DELETE FROM summary WHERE fingerprint = ? AND deployment = ? AND day = ?", (*key, day))
    hours = "DELETE FROM hourly WHERE fingerprint = ? AND deployment = ? AND hour >= ? AND hour < ?"
    db.execute(hours, (*key, first, first + 24))


def _forget_touch(db: sqlite3.Connection, *key: str) -> None:
    db.execute("DELETE FROM touched WHERE fingerprint = ? AND deployment = ? AND day = ?", key)


def _save_record(db: sqlite3.Connection, record: Record) -> None:
    id, parent, wake_at = record_keys(record)
    _save(db, (type(record).__name__, id, parent, micros(wake_at), msgspec.json.encode(record)))


def _save(db: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    sql = "INSERT OR REPLACE INTO record (kind, id, parent, wake_at, body, revision) VALUES (?, ?, ?, ?, ?, 1)"
    db.execute(sql, row)


def _save_horizon(db: sqlite3.Connection, day: str, retired: int) -> None:
    row = db.execute("SELECT body FROM record WHERE kind = 'Horizon' AND id = ?", (HORIZON,)).fetchone()
    before = msgspec.json.decode(row[0], type=Horizon).retired if row else 0
    body = msgspec.json.encode(Horizon(day, before + retired))
    sql = "INSERT INTO record (kind, id, parent, body, revision) VALUES ('Horizon', ?, '', ?, 1) ON CONFLICT DO UPDATE SET body = excluded.body, revision = revision + 1"
    db.execute(sql, (HORIZON, body))
