"""The store in one SQLite file: WAL, FTS5 for the words, migrations by `user_version`.

Hides SQL, the pool of connections (each rerun of a page is a new thread) and how a query tree becomes a WHERE clause.
Every write is one IMMEDIATE transaction, so a kill leaves all of it or nothing. The only file that speaks sqlite3.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from triage.errors import SettingsError, StaleProblem, StoreError
from triage.model import LogLine, Occurrence, merge
from triage.query import EVERYTHING, Members, Query
from triage.records import Ran, Record, Tally
from triage.store import Backlog, Put, Summary, Touched, record_keys
from triage.store.where import micros, time, where, words

R = TypeVar("R", bound=Record)

_PAST = ";"  # follows the colon, so it ends the range of an edition's fingerprints
_POOL = 8  # connections kept; more threads wait for one
_PURGES = 3  # tries to end the write-ahead log, each waiting as long as a writer would
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_BUSY_SECONDS = 30.0  # how long a writer waits for another; a put takes milliseconds

_MIGRATIONS = (
    """
    CREATE TABLE counter (value INTEGER NOT NULL);
    INSERT INTO counter VALUES (0);
    CREATE TABLE record (
        kind TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL, parent TEXT NOT NULL, wake_at INTEGER,
        body BLOB NOT NULL, PRIMARY KEY (kind, id)
    ) WITHOUT ROWID;
    CREATE INDEX record_parent ON record (kind, parent);
    CREATE INDEX record_wake ON record (kind, wake_at) WHERE wake_at IS NOT NULL;
    CREATE TABLE occurrence (
        rowid INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, deployment TEXT NOT NULL, dag TEXT NOT NULL,
        run TEXT NOT NULL, task TEXT NOT NULL, map INTEGER NOT NULL, try INTEGER NOT NULL, at INTEGER NOT NULL,
        started INTEGER NOT NULL, day TEXT NOT NULL, fingerprint TEXT NOT NULL, final INTEGER, log TEXT NOT NULL,
        next_fetch INTEGER, cause TEXT NOT NULL, title TEXT NOT NULL, exception TEXT NOT NULL, owner TEXT NOT NULL,
        operator TEXT NOT NULL, queue TEXT NOT NULL, pool TEXT NOT NULL, host TEXT NOT NULL, tags TEXT NOT NULL,
        words INTEGER, body BLOB NOT NULL
    );
    CREATE INDEX occurrence_at ON occurrence (at DESC, id);
    CREATE INDEX occurrence_fingerprint ON occurrence (fingerprint, deployment, day);
    CREATE INDEX occurrence_due ON occurrence (deployment, next_fetch) WHERE next_fetch IS NOT NULL;
    CREATE TABLE kept (rowid INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE VIRTUAL TABLE words USING fts5 (body, content='', tokenize="unicode61 remove_diacritics 2");
    CREATE TABLE summary (
        deployment TEXT NOT NULL, fingerprint TEXT NOT NULL, day TEXT NOT NULL, dag TEXT NOT NULL, task TEXT NOT NULL,
        owner TEXT NOT NULL, occurrences INTEGER NOT NULL, final INTEGER NOT NULL, first_at INTEGER NOT NULL,
        last_at INTEGER NOT NULL, last_started INTEGER NOT NULL,
        PRIMARY KEY (fingerprint, deployment, day, dag, task, owner)
    ) WITHOUT ROWID;
    CREATE TABLE touched (
        deployment TEXT NOT NULL, fingerprint TEXT NOT NULL, day TEXT NOT NULL, stamp INTEGER NOT NULL,
        PRIMARY KEY (fingerprint, deployment, day)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE hourly (
        fingerprint TEXT NOT NULL, deployment TEXT NOT NULL, hour INTEGER NOT NULL, occurrences INTEGER NOT NULL,
        PRIMARY KEY (fingerprint, deployment, hour)
    ) WITHOUT ROWID;
    INSERT INTO hourly
    SELECT fingerprint, deployment, at / 3600000000, count(*) FROM occurrence WHERE fingerprint != '' GROUP BY 1, 2, 3;
    """,
    # Which DAG version and bundle each try ran, 0 and '' where not known; summaries are made anew, parted by them.
    """
    ALTER TABLE occurrence ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE occurrence ADD COLUMN bundle TEXT NOT NULL DEFAULT '';
    UPDATE occurrence SET version = coalesce(json_extract(CAST(body AS TEXT), '$.dag_version'), 0),
        bundle = coalesce(json_extract(CAST(body AS TEXT), '$.bundle_version'), '');
    DROP TABLE summary;
    CREATE TABLE summary (
        deployment TEXT NOT NULL, fingerprint TEXT NOT NULL, day TEXT NOT NULL, dag TEXT NOT NULL, task TEXT NOT NULL,
        owner TEXT NOT NULL, version INTEGER NOT NULL, bundle TEXT NOT NULL, occurrences INTEGER NOT NULL,
        final INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, last_started INTEGER NOT NULL,
        PRIMARY KEY (fingerprint, deployment, day, dag, task, owner, version, bundle)
    ) WITHOUT ROWID;
    INSERT INTO summary
    SELECT deployment, fingerprint, day, dag, task, owner, version, bundle, count(*), sum(coalesce(final, 0)), min(at),
           max(at), max(started)
    FROM occurrence WHERE fingerprint != ''
    GROUP BY fingerprint, deployment, day, dag, task, owner, version, bundle;
    """,
)

_COLUMNS = (
    "id", "deployment", "dag", "run", "task", "map", "try", "at", "started", "day", "fingerprint", "final", "log",
    "next_fetch", "cause", "title", "exception", "owner", "operator", "queue", "pool", "host", "tags", "words", "body",
    "version", "bundle",
)  # fmt: skip
_UPSERT = (
    f"INSERT INTO occurrence ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS[1:])} RETURNING rowid"
)
_SUMMARISE = """
    INSERT INTO summary
    SELECT deployment, fingerprint, day, dag, task, owner, version, bundle, count(*), sum(coalesce(final, 0)), min(at),
           max(at), max(started)
    FROM occurrence WHERE fingerprint = ? AND deployment = ? AND day = ?
    GROUP BY dag, task, owner, version, bundle
"""
_BY_HOUR = """
    INSERT INTO hourly
    SELECT fingerprint, deployment, at / 3600000000 AS hour, count(*)
    FROM occurrence WHERE fingerprint = ? AND deployment = ? AND day = ? GROUP BY hour
"""


_RAN = """
    SELECT sum(occurrences), sum(final), min(first_at), dag, task, version, bundle, max(last_started), max(last_at)
    FROM summary WHERE fingerprint = ? AND deployment = ? GROUP BY dag, task, version, bundle
"""
_NEWER = "SELECT count(*) FROM occurrence WHERE fingerprint = ? AND deployment = ? AND day >= ? AND at > ?"


class SqliteStore:
    """The `Store` protocol on one SQLite file; safe to use from many threads and processes."""

    def __init__(self, target: str, size: int) -> None:
        self._target = target
        self._size = size
        self._pool: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._opening = threading.Lock()
        self._opened = 0

    @classmethod
    def open(cls, url: str) -> SqliteStore:
        """Open `sqlite:///path`, or `sqlite://` in memory, made or migrated first where needed."""
        path = url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else ""
        if not path and url != "sqlite://":
            raise SettingsError(f"store = {url!r} names no file.", "Write sqlite:///path/to/airtriage.db.")
        if path:
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise StoreError(
                    f"The folder of the store {path} cannot be made: {exc.strerror}.",
                    "Set data_dir to a folder you may write.",
                ) from exc
        store = cls(path or ":memory:", _POOL if path else 1)
        store._migrate()
        return store

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

    # --- records

    def get(self, kind: type[R], id: str) -> tuple[R, int] | None:
        with self._reading() as db:
            row = db.execute(
                "SELECT body, revision FROM record WHERE kind = ? AND id = ?", (kind.__name__, id)
            ).fetchone()
        return (msgspec.json.decode(row[0], type=kind), row[1]) if row else None

    def save(self, record: Record, revision: int | None) -> int:
        id, parent, wake_at = record_keys(record)
        values = (parent, micros(wake_at), msgspec.json.encode(record), type(record).__name__, id)
        with self._writing() as db:
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
        with self._writing() as db:
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
        with self._reading() as db:
            rows = db.execute(sql + " ORDER BY id", params).fetchall()
        decoder = msgspec.json.Decoder(kind)
        return [(decoder.decode(body), revision) for body, revision in rows]

    # --- occurrences

    def put(self, occurrences: Iterable[Occurrence]) -> Put:
        new = better = 0
        with self._writing() as db:
            for fact in occurrences:
                old = _load(db, fact.key.id, kept=fact.kept is not None)
                merged = merge(old, fact) if old else fact
                if merged is old:
                    continue
                new, better = new + (old is None), better + (old is not None)
                _touch(db, _days(merged) | (_days(old) if old else set()))
                self._write(db, merged, old)
        return Put(new, better)

    def _write(self, db: sqlite3.Connection, fact: Occurrence, old: Occurrence | None) -> None:
        indexed = None  # the row of the words of this reading; those of an earlier one are found by nothing any more
        if fact.signature and (old is None or _title(fact) != _title(old) or fact.kept != old.kept):
            lines = fact.kept if fact.kept is not None else _load_kept(db, fact.key.id)
            indexed = db.execute("INSERT INTO words (body) VALUES (?)", (words(fact, lines or ()),)).lastrowid
        elif old is not None:
            indexed = db.execute("SELECT words FROM occurrence WHERE id = ?", (fact.key.id,)).fetchone()[0]
        rowid = db.execute(_UPSERT, _row(fact, indexed)).fetchone()[0]
        if fact.kept is not None and (old is None or fact.kept != old.kept):
            body = zlib.compress(msgspec.json.encode(fact.kept), 6)
            db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (rowid, body))

    def rewrite(self, ids: Iterable[str], change: Callable[[Occurrence], Occurrence]) -> int:
        changed = 0
        moved: set[tuple[str, str, str]] = set()
        with self._writing() as db:
            for id in ids:
                old = _load(db, id, kept=True)
                new = change(old) if old else None
                if old is not None and new is not None and new != old:
                    self._write(db, new, old)
                    changed += 1
                    if new.fingerprint != old.fingerprint:
                        moved |= _days(new) | _days(old)
            _touch(db, moved)
            _summarise(db, moved)
        return changed

    def purge(self) -> None:
        with self._writing() as db:  # an index without content forgets a text only with all others
            db.execute("INSERT INTO words (words) VALUES ('delete-all')")
            for id, row in db.execute("SELECT id, words FROM occurrence WHERE words IS NOT NULL").fetchall():
                fact = _load(db, id, kept=True)
                assert fact is not None
                db.execute("INSERT INTO words (rowid, body) VALUES (?, ?)", (row, words(fact, fact.kept or ())))
        with self._connection() as db:
            db.execute("VACUUM")
            for _ in range(_PURGES):
                if not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    return
        raise StoreError(
            f"The store {self._target} is read by another process, so the old texts are still beside it (in its -wal file).",
            "Stop the other airtriage processes, and do this again.",
        )

    def occurrence(self, id: str) -> Occurrence | None:
        with self._reading() as db:
            return _load(db, id, kept=True)

    def due(self, deployment: str, now: datetime, limit: int) -> list[Occurrence]:
        sql = "SELECT body FROM occurrence WHERE deployment = ? AND next_fetch <= ? ORDER BY at DESC, id LIMIT ?"
        with self._reading() as db:
            return [_decode(body) for (body,) in db.execute(sql, (deployment, micros(now), limit))]

    def backlog(self, deployment: str, now: datetime) -> Backlog:
        sql = (
            "SELECT count(*), count(*) FILTER (WHERE next_fetch <= ?), min(at) FROM occurrence "
            "WHERE deployment = ? AND next_fetch IS NOT NULL"
        )
        with self._reading() as db:
            waiting, due, oldest = db.execute(sql, (micros(now), deployment)).fetchone()
        return Backlog(waiting, due, time(oldest) if oldest is not None else None)

    def search(self, query: Query, limit: int, after: tuple[datetime, str] | None = None) -> list[Occurrence]:
        clause, params = where(query)
        if after:
            clause, params = f"({clause}) AND (o.at, o.id) < (?, ?)", [*params, micros(after[0]), after[1]]
        sql = f"SELECT o.body FROM occurrence o WHERE {clause} ORDER BY o.at DESC, o.id DESC LIMIT ?"
        with self._reading() as db:
            return [_decode(body) for (body,) in db.execute(sql, [*params, limit])]

    def count(self, query: Query) -> int:
        clause, params = where(query)
        with self._reading() as db:
            return int(db.execute(f"SELECT count(*) FROM occurrence o WHERE {clause}", params).fetchone()[0])

    def histogram(self, query: Query) -> dict[str, int]:
        clause, params = where(query)
        with self._reading() as db:
            sql = f"SELECT o.day, count(*) FROM occurrence o WHERE {clause} GROUP BY o.day ORDER BY o.day"
            return dict(db.execute(sql, params).fetchall())

    def matching(self, query: Query) -> set[tuple[str, str]]:
        clause, params = where(query)
        sql = f"SELECT DISTINCT o.deployment, o.fingerprint FROM occurrence o WHERE o.fingerprint != '' AND ({clause})"
        with self._reading() as db:
            return set(db.execute(sql, params).fetchall())

    def editions(self) -> list[str]:
        found: list[str] = []
        with self._reading() as db:  # from one edition to the next in the index, however many fingerprints each has
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
            "AND EXISTS (SELECT 1 FROM kept WHERE kept.rowid = o.rowid) "
            "ORDER BY o.fingerprint, o.deployment, o.day, o.id LIMIT ?"
        )
        with self._reading() as db:
            rows = db.execute(sql, (edition + _PAST, *place, limit)).fetchall()
            found = (_load(db, id, kept=True) for (id,) in rows)
            return [fact for fact in found if fact is not None]

    def examples(self, members: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Occurrence]:
        # The first day comes from the index; within it there are seldom many.
        sql = (
            "SELECT body FROM occurrence WHERE fingerprint = ?1 AND deployment = ?2 AND day = "
            "(SELECT min(day) FROM occurrence WHERE fingerprint = ?1 AND deployment = ?2) ORDER BY id LIMIT 1"
        )
        found: dict[tuple[str, str], Occurrence] = {}
        with self._reading() as db:
            for deployment, fingerprint in members:
                if row := db.execute(sql, (fingerprint, deployment)).fetchone():
                    found[deployment, fingerprint] = _decode(row[0])
        return found

    # --- summaries

    def touched(self, limit: int) -> Sequence[Touched]:
        sql = "SELECT deployment, fingerprint, day, stamp FROM touched ORDER BY stamp, fingerprint, day LIMIT ?"
        with self._reading() as db:
            return [Touched(*row) for row in db.execute(sql, (limit,))]

    def summarise(self, touched: Iterable[Touched]) -> None:
        with self._writing() as db:
            _summarise(db, ((touch.deployment, touch.fingerprint, touch.day) for touch in touched))

    def clear(self, touched: Iterable[Touched]) -> None:
        with self._writing() as db:
            db.executemany(
                "DELETE FROM touched WHERE fingerprint = ? AND deployment = ? AND day = ? AND stamp = ?",
                [(touch.fingerprint, touch.deployment, touch.day, touch.stamp) for touch in touched],
            )

    def tally(self, members: Iterable[tuple[str, str]], since: datetime | None = None) -> Tally | None:
        members = list(members)
        total = final = newer = 0
        first: list[int] = []
        ran: list[Ran] = []
        with self._reading() as db:
            for deployment, fingerprint in members:
                for count, ended, begun, *part in db.execute(_RAN, (fingerprint, deployment)):
                    total, final = total + count, final + ended
                    first.append(begun)
                    ran.append(_ran(deployment, *part))
                newer += _newer(db, deployment, fingerprint, since)
            if not ran:
                return None
            clause, params = where(Members(frozenset(members)))
            sql = f"SELECT o.title, o.cause FROM occurrence o WHERE {clause} ORDER BY o.at, o.id LIMIT 1"
            title, cause = db.execute(sql, params).fetchone() or ("", "")
        seen, started = max(part.last_seen for part in ran), max(part.last_started for part in ran)
        return Tally(total, final, time(min(first)), seen, started, title, cause, _united(ran), newer)

    def summaries(self, since: str | None = None, members: Iterable[tuple[str, str]] | None = None) -> list[Summary]:
        clause, params = where(EVERYTHING if members is None else Members(frozenset(members)))
        source = f"FROM summary o WHERE {clause}"
        found: dict[tuple[str, str], Summary] = {}
        with self._reading() as db:
            totals = (
                "SELECT deployment, fingerprint, sum(occurrences), sum(final), min(first_at), max(last_at) "
                f"{source} GROUP BY fingerprint, deployment"
            )
            for deployment, print_, total, final, first, last in db.execute(totals, params):
                found[deployment, print_] = Summary(
                    deployment, print_, total, final, time(first), time(last), {}, {}, {}, {}
                )
            days = f"SELECT deployment, fingerprint, day, sum(occurrences) {source} AND day >= ? GROUP BY fingerprint, deployment, day"
            for deployment, print_, day, count in db.execute(days, [*params, since or ""]):
                found[deployment, print_].daily[day] = count
            tasks = (
                "SELECT deployment, fingerprint, dag, task, sum(occurrences), min(first_at), max(last_at), "
                f"json_group_array(DISTINCT owner) {source} GROUP BY fingerprint, deployment, dag, task"
            )
            for deployment, print_, dag, task, count, first, last, owners in db.execute(tasks, params):
                found[deployment, print_].owned[dag, task] = tuple(filter(None, msgspec.json.decode(owners)))
                found[deployment, print_].tasks[dag, task] = count
                found[deployment, print_].spans[dag, task] = time(first), time(last)
        return list(found.values())

    def hourly(self, members: Iterable[tuple[str, str]], since: int) -> dict[tuple[str, str], dict[int, int]]:
        sql = "SELECT hour, occurrences FROM hourly WHERE fingerprint = ? AND deployment = ? AND hour >= ?"
        with self._reading() as db:
            found = {
                (name, print_): dict(db.execute(sql, (print_, name, since)).fetchall()) for name, print_ in members
            }
        return {pair: hours for pair, hours in found.items() if hours}

    def revision(self) -> int:
        with self._reading() as db:
            return int(db.execute("SELECT value FROM counter").fetchone()[0])

    # --- connections

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._target, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        db.create_function("fold", 1, str.casefold, deterministic=True)  # SQLite's own lower() knows ASCII alone
        # NORMAL in WAL keeps every committed write over a kill of the process; only a power cut may lose the newest
        # ones, and the cursor with them (https://sqlite.org/pragma.html#pragma_synchronous).
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -16000", "temp_store = MEMORY"):
            db.execute(f"PRAGMA {pragma}")
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
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with _mapped(self._target):
            db = self._borrow()
            try:
                yield db
            finally:
                self._pool.put(db)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as db:
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

    def _migrate(self) -> None:
        with self._connection() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > len(_MIGRATIONS):
                raise StoreError(
                    f"The store {self._target} was written by a newer airtriage (its version is {version}, "
                    f"this one knows {len(_MIGRATIONS)}).",
                    "Install that version again, or set store to another file.",
                )
            if version == len(_MIGRATIONS):
                return
            db.execute("BEGIN IMMEDIATE")
            try:
                version = db.execute("PRAGMA user_version").fetchone()[0]
                for number, script in enumerate(_MIGRATIONS[version:], version + 1):
                    for statement in filter(str.strip, script.split(";")):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {number}")
                db.execute("COMMIT")
            except BaseException:
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
        if "malformed" in str(exc) or "not a database" in str(exc):
            raise StoreError(
                f"The store {target} is not a usable SQLite file: {exc}.", "Move it away, or set store to another file."
            ) from exc
        raise


def _load(db: sqlite3.Connection, id: str, *, kept: bool) -> Occurrence | None:
    row = db.execute("SELECT body FROM occurrence WHERE id = ?", (id,)).fetchone()
    if row is None:
        return None
    fact = _decode(row[0])
    return replace(fact, kept=_load_kept(db, id)) if kept else fact


def _load_kept(db: sqlite3.Connection, id: str) -> tuple[LogLine, ...] | None:
    sql = "SELECT kept.body FROM occurrence JOIN kept USING (rowid) WHERE id = ?"
    row = db.execute(sql, (id,)).fetchone()
    return msgspec.json.decode(zlib.decompress(row[0]), type=tuple[LogLine, ...]) if row else None


def _ran(deployment: str, dag: str, task: str, version: int, bundle: str, started: int, seen: int) -> Ran:
    return Ran(deployment, dag, task, version or None, bundle, time(started), time(seen))


def _united(parts: Iterable[Ran]) -> tuple[Ran, ...]:
    """Unite what several fingerprints count of the same task and version."""
    found: dict[tuple[object, ...], Ran] = {}
    for part in parts:
        key = (part.deployment, part.dag_id, part.task_id, part.dag_version, part.bundle_version)
        other = found.get(key, part)
        started, seen = max(part.last_started, other.last_started), max(part.last_seen, other.last_seen)
        found[key] = replace(part, last_started=started, last_seen=seen)
    return tuple(sorted(found.values(), key=lambda part: (part.deployment, part.dag_id, part.task_id, part.last_seen)))


def _newer(db: sqlite3.Connection, deployment: str, fingerprint: str, since: datetime | None) -> int:
    """Count the tries that ended after a time; none where no time is asked for."""
    if since is None:
        return 0
    row = db.execute(_NEWER, (fingerprint, deployment, since.date().isoformat(), micros(since))).fetchone()
    return int(row[0])


def _title(fact: Occurrence) -> str | None:
    return fact.signature.title if fact.signature else None


def _days(fact: Occurrence) -> set[tuple[str, str, str]]:
    return {(fact.key.deployment, fact.fingerprint, fact.day)} if fact.fingerprint else set()


def _touch(db: sqlite3.Connection, days: Iterable[tuple[str, str, str]]) -> None:
    db.executemany(
        "INSERT INTO touched SELECT ?, ?, ?, value + 1 FROM counter WHERE true "
        "ON CONFLICT DO UPDATE SET stamp = excluded.stamp",
        days,
    )


def _summarise(db: sqlite3.Connection, days: Iterable[tuple[str, str, str]]) -> None:
    for deployment, fingerprint, day in days:
        key = (fingerprint, deployment, day)
        db.execute("DELETE FROM summary WHERE fingerprint = ? AND deployment = ? AND day = ?", key)
        db.execute(_SUMMARISE, key)
        first = 24 * (date.fromisoformat(day).toordinal() - _EPOCH_DAY)
        hours = "DELETE FROM hourly WHERE fingerprint = ? AND deployment = ? AND hour >= ? AND hour < ?"
        db.execute(hours, (fingerprint, deployment, first, first + 24))
        db.execute(_BY_HOUR, key)


_OCCURRENCE = msgspec.json.Decoder(Occurrence)


def _decode(body: bytes) -> Occurrence:
    return _OCCURRENCE.decode(body)


def _row(fact: Occurrence, words: int | None) -> tuple[Any, ...]:
    key, signed = fact.key, fact.signature
    return (
        key.id, key.deployment, key.dag_id, key.run_id, key.task_id, key.map_index, key.try_number,
        micros(fact.ended_at), micros(fact.started_at or fact.ended_at), fact.day, fact.fingerprint, fact.is_final,
        fact.log, micros(fact.next_fetch_at), signed.cause if signed else "", signed.title if signed else "",
        signed.exception or "" if signed else "", fact.owner, fact.operator, fact.queue, fact.pool, fact.host,
        "\n".join(fact.tags), words, msgspec.json.encode(replace(fact, kept=None)), fact.dag_version or 0, fact.bundle_version,
    )  # fmt: skip
