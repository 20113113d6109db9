"""Connections to one SQLite file: opened, pooled, borrowed for a transaction, and their errors in one sentence.

Hides the pool (each rerun of a page is a new thread) and what a connection is set to. Every write is one IMMEDIATE
transaction, so a kill leaves all of it or nothing.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage.errors import StoreError
from triage.store.sqlite import damage, rows

_BUSY_SECONDS = 30.0  # how long a writer waits for another; a put takes milliseconds


class Connections:
    """One file, or memory, and the connections to it: `size` of them at most, more threads wait for one.

    With `frozen` each connection reads what was there when it was opened, and writes nothing.
    """

    def __init__(self, target: str, size: int, *, frozen: bool = False) -> None:
        self.target = target
        self._frozen = frozen
        self._size = size
        self._pool: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._opening = threading.Lock()
        self._opened = 0

    def close(self) -> None:
        """Close the idle connections; the store may be used again, and opens new ones."""
        while True:
            try:
                db = self._pool.get_nowait()
            except queue.Empty:
                return
            with self._opening:
                self._opened -= 1
            db.close()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.target, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        for name, count, function in rows.FUNCTIONS:
            db.create_function(name, count, function, deterministic=True)
        # NORMAL in WAL keeps every committed write over a kill of the process; only a power cut may lose the newest
        # ones, and the cursor with them (https://sqlite.org/pragma.html#pragma_synchronous).
        writing = ("journal_mode = WAL", "synchronous = NORMAL") if not self._frozen else ()
        for pragma in (*writing, "cache_size = -16000", "temp_store = MEMORY"):
            db.execute(f"PRAGMA {pragma}")
        if self._frozen:
            for step in ("PRAGMA query_only = ON", "BEGIN", "PRAGMA user_version"):  # the first read is the moment
                db.execute(step)
        return db

    def _borrow(self) -> sqlite3.Connection:
        with self._opening:
            may_open = self._pool.empty() and self._opened < self._size
            self._opened += may_open
        if not may_open:
            return self._pool.get()
        try:
            return self._connect()
        except BaseException:
            with self._opening:
                self._opened -= 1
            raise

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        with _mapped(self.target):
            db = self._borrow()
            try:
                yield db
            finally:
                self._pool.put(db)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self.connection() as db:
            if self._frozen:
                yield db
                return
            db.execute("BEGIN")
            try:
                yield db
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        if damage.noted(Path(self.target)):
            raise damage.damaged(Path(self.target), "a broken page was met in it")
        with self.connection() as db:
            db.execute("BEGIN IMMEDIATE")
            before = db.total_changes
            try:
                yield db
                if db.total_changes != before:
                    db.execute("UPDATE counter SET value = value + 1")
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


@contextmanager
def _mapped(target: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as exc:
        text = str(exc)
        fixes = {
            "unable to open": "Check that the folder exists and that you may write to it.",
            "readonly": "Give yourself the right to write the file.",
            "disk is full": "Free some space; nothing kept so far is lost.",
            "disk I/O": "Check the disk; nothing kept so far is lost.",
            "locked": "Another process holds it for too long: see what else uses the file.",
        }
        for sign, fix in fixes.items():
            if sign in text:
                raise StoreError(f"The store {target} cannot be used: {text}.", fix) from exc
        raise
    except sqlite3.DatabaseError as exc:
        if damage.is_damage(exc):
            damage.note(Path(target), str(exc))
            raise damage.damaged(Path(target), str(exc)) from exc
        raise
