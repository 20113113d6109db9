"""Failed tries in SQLite: put, rewritten, purged, and read by key, by what is due and by fingerprint."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from triage import tokens
from triage.errors import StoreError
from triage.model import Occurrence, merge
from triage.store import Backlog, Put
from triage.store.sqlite import order
from triage.store.sqlite.connections import Connections
from triage.store.sqlite.packing import pack
from triage.store.sqlite.rows import INDEX, UPSERT, cut, decode, index, insert, load, load_all, load_kept, row
from triage.store.sqlite.summaries import count_anew, horizon, touch
from triage.store.sqlite.where import micros, time

_PAST = ";"  # follows the colon, so it ends the range of an edition's fingerprints
_PURGES = 3  # tries to end the write-ahead log, each waiting as long as a writer would


class Occurrences(Connections):
    """What the `Store` protocol does with failed tries, but for searching them."""

    def put(self, occurrences: Iterable[Occurrence]) -> Put:
        new = better = 0
        with self.writing() as db:
            kept_since = horizon(db)
            for fact in occurrences:
                old = load(db, fact.key.id, kept=fact.kept is not None)
                if min(fact.day, old.day if old else fact.day) < kept_since:
                    continue  # it was counted, and is deleted or about to be
                merged = merge(old, fact) if old else fact
                if merged is old:
                    continue
                new, better = new + (old is None), better + (old is not None)
                touch(db, _days_of(merged) | (_days_of(old) if old else set()))
                self.write(db, merged, old)
        return Put(new, better)

    def write(self, db: sqlite3.Connection, fact: Occurrence, old: Occurrence | None) -> None:
        """Write a fact in place of the old one, whose kept log is loaded where the fact has one."""
        if old is None:
            return insert(db, fact, pack(msgspec.json.encode(fact.kept)) if fact.kept is not None else None)
        if _worded(fact) != _worded(old) or fact.kept != old.kept:
            _forget_words(db, old)
            lines = fact.kept if fact.kept is not None else load_kept(db, fact.key.id)
            words = _place(db, fact, old)
            index(db, words, fact, lines or ())
        else:
            words = db.execute("SELECT words FROM occurrence WHERE id = ?", (fact.key.id,)).fetchone()[0]
        rowid = db.execute(UPSERT, row(fact, words)).fetchone()[0]
        if fact.kept is not None and fact.kept != old.kept:
            body = pack(msgspec.json.encode(fact.kept))
            db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (rowid, body))

    def remove(self, db: sqlite3.Connection, id: str) -> None:
        """Delete a fact with its kept log and its words, if there is one."""
        old = load(db, id, kept=True)
        if old is not None:
            _forget_words(db, old)
            db.execute("DELETE FROM kept WHERE rowid = (SELECT rowid FROM occurrence WHERE id = ?)", (id,))
            db.execute("DELETE FROM occurrence WHERE id = ?", (id,))

    def rewrite(self, ids: Iterable[str], change: Callable[[Occurrence], Occurrence]) -> int:
        changed = 0
        moved: set[tuple[str, str, str]] = set()
        with self.writing() as db:
            kept_since = horizon(db)
            for id in ids:
                old = load(db, id, kept=True)
                new = change(old) if old else None
                if old is None or new is None or new == old:
                    continue
                if new.fingerprint == old.fingerprint or old.day >= kept_since:
                    self.write(db, new, old)
                    changed += 1
                    if new.fingerprint != old.fingerprint:
                        moved |= _days_of(new) | _days_of(old)
            touch(db, moved)
            count_anew(db, moved)
        return changed

    def purge(self) -> None:
        with self.writing() as db:  # an index without content forgets a text only with all others
            db.execute("INSERT INTO words (words) VALUES ('delete-all')")
            db.execute(INDEX)
        with self.connection() as db:
            db.execute("VACUUM")
            for _ in range(_PURGES):
                if not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    return
        raise StoreError(
            f"The store {self.target} is read by another process, so the old texts are still beside it (in its -wal file).",
            "Stop the other airtriage processes, and do this again.",
        )

    def occurrence(self, id: str) -> Occurrence | None:
        with self.reading() as db:
            return load(db, id, kept=True)

    def occurrences(self, ids: Iterable[str]) -> dict[str, Occurrence]:
        with self.reading() as db:
            return load_all(db, ids)

    def due(self, deployment: str, now: datetime, limit: int) -> list[Occurrence]:
        sql = "SELECT body FROM occurrence WHERE deployment = ? AND next_fetch <= ? ORDER BY at DESC, id LIMIT ?"
        with self.reading() as db:
            return [decode(body) for (body,) in db.execute(sql, (deployment, micros(now), limit))]

    def backlog(self, deployment: str, now: datetime) -> Backlog:
        sql = (
            "SELECT count(*), count(*) FILTER (WHERE next_fetch <= ?), min(at) FROM occurrence "
            "WHERE deployment = ? AND next_fetch IS NOT NULL"
        )
        with self.reading() as db:
            waiting, due, oldest = db.execute(sql, (micros(now), deployment)).fetchone()
        return Backlog(waiting, due, time(oldest) if oldest is not None else None)

    def editions(self) -> list[str]:
        found: list[str] = []
        with self.reading() as db:  # from one edition to the next in the index, however many fingerprints each has
            sql = "SELECT min(fingerprint) FROM occurrence WHERE fingerprint >= ?"
            while next_ := db.execute(sql, (found[-1] + _PAST if found else "!",)).fetchone()[0]:
                found.append(next_.partition(":")[0])
        return found

    def signed(self, edition: str, limit: int, after: Occurrence | None = None) -> list[Occurrence]:
        place = (
            (after.fingerprint, after.key.deployment, after.day, after.key.id)
            if after
            else (f"{edition}:",) + ("",) * 3
        )
        sql = (
            "SELECT o.id FROM occurrence o WHERE o.fingerprint < ? AND (o.fingerprint, o.deployment, o.day, o.id) > (?, ?, ?, ?) "
            "AND o.day >= ? AND EXISTS (SELECT 1 FROM kept WHERE kept.rowid = o.rowid) "
            "ORDER BY o.fingerprint, o.deployment, o.day, o.id LIMIT ?"
        )
        with self.reading() as db:
            rows = db.execute(sql, (edition + _PAST, *place, horizon(db), limit)).fetchall()
            found = (load(db, id, kept=True) for (id,) in rows)
            return [fact for fact in found if fact is not None]

    def examples(self, members: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Occurrence]:
        # The first day comes from the index; within it there are seldom many.
        sql = (
            "SELECT body FROM occurrence WHERE fingerprint = ?1 AND deployment = ?2 AND day = "
            "(SELECT min(day) FROM occurrence WHERE fingerprint = ?1 AND deployment = ?2) ORDER BY id LIMIT 1"
        )
        found: dict[tuple[str, str], Occurrence] = {}
        with self.reading() as db:
            for deployment, fingerprint in members:
                if row := db.execute(sql, (fingerprint, deployment)).fetchone():
                    found[deployment, fingerprint] = decode(row[0])
        return found


def _forget_words(db: sqlite3.Connection, old: Occurrence) -> None:
    """Take the words of a fact from the index, which keeps no text and so has to be told them once more."""
    lines = old.kept if old.kept is not None else load_kept(db, old.key.id)
    (row,) = db.execute("SELECT words FROM occurrence WHERE id = ?", (old.key.id,)).fetchone()
    values = (row, cut(_worded(old)[0]), tokens.of(old, lines or ()))
    db.execute("INSERT INTO words (words, rowid, title, body) VALUES ('delete', ?, ?, ?)", values)


def _place(db: sqlite3.Connection, fact: Occurrence, old: Occurrence) -> int:
    """Return the row of a fact's words: where they stood, unless the try ended at another time than was known."""
    at = micros(fact.ended_at)
    assert at is not None
    if fact.ended_at != old.ended_at:
        return order.place(db, at)
    return int(db.execute("SELECT words FROM occurrence WHERE id = ?", (fact.key.id,)).fetchone()[0])


def _worded(fact: Occurrence) -> tuple[str, str, datetime]:
    """Return what the row of the words and the words follow from, beside the key, which never changes, and the kept log."""
    return fact.signature.title if fact.signature else "", fact.host, fact.ended_at


def _days_of(fact: Occurrence) -> set[tuple[str, str, str]]:
    return {(fact.key.deployment, fact.fingerprint, fact.day)} if fact.fingerprint else set()
