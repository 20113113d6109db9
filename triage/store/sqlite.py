"""The store in one SQLite file: WAL, FTS5 for the words, migrations by `user_version`.

Hides SQL, the pool of connections (each rerun of a page is a new thread) and how a query tree becomes a WHERE clause.
Every write is one IMMEDIATE transaction, so a kill leaves all of it or nothing. The only file that speaks sqlite3.
"""

from __future__ import annotations

import queue
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from triage.errors import SettingsError, StaleProblem, StoreError
from triage.model import LogLine, Occurrence, Record, Tally, merge
from triage.query import Between, Both, Either, Field, Members, Never, Query, Text
from triage.store import Backlog, Put, Summary, Touched, record_keys

R = TypeVar("R", bound=Record)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POOL = 8  # connections kept; more threads wait for one
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
)

_COLUMNS = (
    "id", "deployment", "dag", "run", "task", "map", "try", "at", "started", "day", "fingerprint", "final", "log",
    "next_fetch", "cause", "title", "exception", "owner", "operator", "queue", "pool", "host", "tags", "words", "body",
)  # fmt: skip
_UPSERT = (
    f"INSERT INTO occurrence ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS[1:])} RETURNING rowid"
)
_SUMMARISE = """
    INSERT INTO summary
    SELECT deployment, fingerprint, day, dag, task, owner, count(*), sum(coalesce(final, 0)), min(at), max(at),
           max(started)
    FROM occurrence WHERE fingerprint = ? AND deployment = ? AND day = ?
    GROUP BY dag, task, owner
"""


class SqliteStore:
    """The `Store` protocol on one SQLite file; safe to use from many threads and processes."""

    def __init__(self, target: str, size: int) -> None:
        self._target = target
        self._size = size
        self._pool: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
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
        """Close the idle connections; one in use is closed by its thread's end."""
        while True:
            try:
                self._pool.get_nowait().close()
            except queue.Empty:
                return

    # --- records

    def get(self, kind: type[R], id: str) -> tuple[R, int] | None:
        with self._reading() as db:
            row = db.execute(
                "SELECT body, revision FROM record WHERE kind = ? AND id = ?", (kind.__name__, id)
            ).fetchone()
        return (msgspec.json.decode(row[0], type=kind), row[1]) if row else None

    def save(self, record: Record, revision: int | None) -> int:
        id, parent, wake_at = record_keys(record)
        values = (parent, _micros(wake_at), msgspec.json.encode(record), type(record).__name__, id)
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
        sql = "SELECT body, revision FROM record WHERE kind = ?"
        params: list[Any] = [kind.__name__]
        if parent is not None:
            sql, params = sql + " AND parent = ?", [*params, parent]
        if wake_before is not None:
            sql, params = sql + " AND wake_at <= ?", [*params, _micros(wake_before)]
        with self._reading() as db:
            rows = db.execute(sql + " ORDER BY id", params).fetchall()
        decoder = msgspec.json.Decoder(kind)
        return [(decoder.decode(body), revision) for body, revision in rows]

    # --- occurrences

    def put(self, occurrences: Iterable[Occurrence]) -> Put:
        new = better = 0
        with self._writing() as db:
            for fact in occurrences:
                old = _load(db, "id = ?", (fact.key.id,), kept=fact.kept is not None)
                merged = merge(old, fact) if old else fact
                if merged is old:
                    continue
                new, better = new + (old is None), better + (old is not None)
                for touched in {(f.key.deployment, f.fingerprint, f.day) for f in (old, merged) if f and f.fingerprint}:
                    db.execute(
                        "INSERT INTO touched SELECT ?, ?, ?, value FROM counter WHERE true "
                        "ON CONFLICT DO UPDATE SET stamp = excluded.stamp",
                        touched,
                    )
                self._write(db, merged, old)
        return Put(new, better)

    def _write(self, db: sqlite3.Connection, fact: Occurrence, old: Occurrence | None) -> None:
        words = None
        if fact.signature and (old is None or fact.signature != old.signature or fact.kept != old.kept):
            lines = fact.kept if fact.kept is not None else _load_kept(db, fact.key.id)
            words = db.execute("INSERT INTO words (body) VALUES (?)", (_words(fact, lines or ()),)).lastrowid
        elif old is not None:
            words = db.execute("SELECT words FROM occurrence WHERE id = ?", (fact.key.id,)).fetchone()[0]
        rowid = db.execute(_UPSERT, _row(fact, words)).fetchone()[0]
        if fact.kept is not None and (old is None or fact.kept != old.kept):
            body = zlib.compress(msgspec.json.encode(fact.kept), 6)
            db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (rowid, body))

    def occurrence(self, id: str) -> Occurrence | None:
        with self._reading() as db:
            return _load(db, "id = ?", (id,), kept=True)

    def due(self, deployment: str, now: datetime, limit: int) -> list[Occurrence]:
        sql = "SELECT body FROM occurrence WHERE deployment = ? AND next_fetch <= ? ORDER BY at DESC, id LIMIT ?"
        with self._reading() as db:
            return [_decode(body) for (body,) in db.execute(sql, (deployment, _micros(now), limit))]

    def backlog(self, deployment: str, now: datetime) -> Backlog:
        sql = (
            "SELECT count(*), count(*) FILTER (WHERE next_fetch <= ?), min(at) FROM occurrence "
            "WHERE deployment = ? AND next_fetch IS NOT NULL"
        )
        with self._reading() as db:
            waiting, due, oldest = db.execute(sql, (_micros(now), deployment)).fetchone()
        return Backlog(waiting, due, _time(oldest) if oldest is not None else None)

    def search(self, query: Query, limit: int, after: tuple[datetime, str] | None = None) -> list[Occurrence]:
        where, params = _compile(query)
        if after:
            where, params = f"({where}) AND (o.at, o.id) < (?, ?)", [*params, _micros(after[0]), after[1]]
        sql = f"SELECT o.body FROM occurrence o WHERE {where} ORDER BY o.at DESC, o.id DESC LIMIT ?"
        with self._reading() as db:
            return [_decode(body) for (body,) in db.execute(sql, [*params, limit])]

    def count(self, query: Query) -> int:
        where, params = _compile(query)
        with self._reading() as db:
            return int(db.execute(f"SELECT count(*) FROM occurrence o WHERE {where}", params).fetchone()[0])

    def histogram(self, query: Query) -> dict[str, int]:
        where, params = _compile(query)
        with self._reading() as db:
            sql = f"SELECT o.day, count(*) FROM occurrence o WHERE {where} GROUP BY o.day ORDER BY o.day"
            return dict(db.execute(sql, params).fetchall())

    def matching(self, query: Query) -> set[tuple[str, str]]:
        where, params = _compile(query)
        sql = f"SELECT DISTINCT o.deployment, o.fingerprint FROM occurrence o WHERE o.fingerprint != '' AND ({where})"
        with self._reading() as db:
            return set(db.execute(sql, params).fetchall())

    # --- summaries

    def touched(self, limit: int) -> Sequence[Touched]:
        sql = "SELECT deployment, fingerprint, day, stamp FROM touched ORDER BY stamp, fingerprint, day LIMIT ?"
        with self._reading() as db:
            return [Touched(*row) for row in db.execute(sql, (limit,))]

    def summarise(self, touched: Iterable[Touched]) -> None:
        with self._writing() as db:
            for touch in touched:
                key = (touch.fingerprint, touch.deployment, touch.day)
                db.execute("DELETE FROM summary WHERE fingerprint = ? AND deployment = ? AND day = ?", key)
                db.execute(_SUMMARISE, key)

    def clear(self, touched: Iterable[Touched]) -> None:
        with self._writing() as db:
            db.executemany(
                "DELETE FROM touched WHERE fingerprint = ? AND deployment = ? AND day = ? AND stamp = ?",
                [(touch.fingerprint, touch.deployment, touch.day, touch.stamp) for touch in touched],
            )

    def tally(self, members: Iterable[tuple[str, str]]) -> Tally | None:
        members = list(members)
        total = final = 0
        first, last, started = [], [], []
        with self._reading() as db:
            for deployment, fingerprint in members:
                row = db.execute(
                    "SELECT sum(occurrences), sum(final), min(first_at), max(last_at), max(last_started) FROM summary "
                    "WHERE fingerprint = ? AND deployment = ?",
                    (fingerprint, deployment),
                ).fetchone()
                if row[0]:
                    total, final = total + row[0], final + row[1]
                    first.append(row[2])
                    last.append(row[3])
                    started.append(row[4])
            if not total:
                return None
            where, params = _compile(Members(frozenset(members)))
            sql = f"SELECT o.title, o.cause FROM occurrence o WHERE {where} ORDER BY o.at, o.id LIMIT 1"
            title, cause = db.execute(sql, params).fetchone() or ("", "")
        return Tally(total, final, _time(min(first)), _time(max(last)), _time(max(started)), title, cause)

    def summaries(self, since: str | None = None, deployments: Iterable[str] | None = None) -> list[Summary]:
        names = None if deployments is None else msgspec.json.encode(sorted(deployments)).decode()
        where = "1" if names is None else "deployment IN (SELECT value FROM json_each(?))"
        params: list[Any] = [] if names is None else [names]
        found: dict[tuple[str, str], Summary] = {}
        with self._reading() as db:
            totals = (
                "SELECT deployment, fingerprint, sum(occurrences), sum(final), min(first_at), max(last_at), "
                f"group_concat(DISTINCT owner) FROM summary WHERE {where} GROUP BY fingerprint, deployment"
            )
            for deployment, print_, total, final, first, last, owners in db.execute(totals, params):
                found[deployment, print_] = Summary(
                    deployment, print_, total, final, _time(first), _time(last), {}, {},
                    tuple(owner for owner in (owners or "").split(",") if owner),
                )  # fmt: skip
            days = f"SELECT deployment, fingerprint, day, sum(occurrences) FROM summary WHERE day >= ? AND {where} GROUP BY fingerprint, deployment, day"
            for deployment, print_, day, count in db.execute(days, [since or "", *params]):
                found[deployment, print_].daily[day] = count
            tasks = f"SELECT deployment, fingerprint, dag, task, sum(occurrences) FROM summary WHERE {where} GROUP BY fingerprint, deployment, dag, task"
            for deployment, print_, dag, task, count in db.execute(tasks, params):
                found[deployment, print_].tasks[dag, task] = count
        return list(found.values())

    def revision(self) -> int:
        with self._reading() as db:
            return int(db.execute("SELECT value FROM counter").fetchone()[0])

    # --- connections

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._target, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        # NORMAL in WAL keeps every committed write over a kill of the process; only a power cut may lose the newest
        # ones, and the cursor with them (https://sqlite.org/pragma.html#pragma_synchronous).
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -16000", "temp_store = MEMORY"):
            db.execute(f"PRAGMA {pragma}")
        return db

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with _mapped(self._target):
            try:
                db = self._pool.get_nowait()
            except queue.Empty:
                if self._opened < self._size:
                    self._opened += 1
                    try:
                        db = self._connect()
                    except BaseException:
                        self._opened -= 1
                        raise
                else:
                    db = self._pool.get()
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
            try:
                db.execute("UPDATE counter SET value = value + 1")
                yield db
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


def _load(db: sqlite3.Connection, where: str, params: tuple[Any, ...], *, kept: bool) -> Occurrence | None:
    row = db.execute(f"SELECT body FROM occurrence WHERE {where}", params).fetchone()
    if row is None:
        return None
    fact = _decode(row[0])
    return replace(fact, kept=_load_kept(db, fact.key.id)) if kept else fact


def _load_kept(db: sqlite3.Connection, id: str) -> tuple[LogLine, ...] | None:
    sql = "SELECT kept.body FROM occurrence JOIN kept USING (rowid) WHERE id = ?"
    row = db.execute(sql, (id,)).fetchone()
    return msgspec.json.decode(zlib.decompress(row[0]), type=tuple[LogLine, ...]) if row else None


_OCCURRENCE = msgspec.json.Decoder(Occurrence)


def _decode(body: bytes) -> Occurrence:
    return _OCCURRENCE.decode(body)


def _row(fact: Occurrence, words: int | None) -> tuple[Any, ...]:
    key, signed = fact.key, fact.signature
    return (
        key.id, key.deployment, key.dag_id, key.run_id, key.task_id, key.map_index, key.try_number,
        _micros(fact.ended_at), _micros(fact.started_at or fact.ended_at), fact.day, fact.fingerprint, fact.is_final,
        fact.log, _micros(fact.next_fetch_at), signed.cause if signed else "", signed.title if signed else "",
        signed.exception or "" if signed else "", fact.owner, fact.operator, fact.queue, fact.pool, fact.host,
        "\n".join(fact.tags), words, msgspec.json.encode(replace(fact, kept=None)),
    )  # fmt: skip


def _words(fact: Occurrence, lines: Sequence[LogLine]) -> str:
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


def _compile(query: Query) -> tuple[str, list[Any]]:
    """Turn a query tree into a WHERE clause over `occurrence o` and its parameters."""
    match query:
        case Text(text, prefix):
            phrase = '"' + text.replace('"', '""') + '"' + ("*" if prefix else "")
            return "o.words IN (SELECT rowid FROM words WHERE words MATCH ?)", [phrase]
        case Field("tag", value):
            return r"('\n' || lower(o.tags) || '\n') GLOB ?".replace("'\\n'", "char(10)"), [f"*\n{_glob(value)}\n*"]
        case Field(name, value) if name in _EXACT:
            return f"lower(o.{name}) GLOB ?", [_glob(value)]
        case Between(name, low, high):
            column, bounds = f"o.{name}", [(">=", low), ("<=", high)]
            tests = [
                (f"{column} {sign} ?", _micros(b) if isinstance(b, datetime) else b)
                for sign, b in bounds
                if b is not None
            ]
            return " AND ".join(test for test, _ in tests) or "1", [bound for _, bound in tests]
        case Members(pairs):
            sql = (
                "(o.fingerprint, o.deployment) IN "
                "(SELECT json_extract(value, '$[1]'), json_extract(value, '$[0]') FROM json_each(?))"
            )
            return sql, [msgspec.json.encode(sorted(pairs)).decode()]
        case Both(parts) | Either(parts):
            compiled = [_compile(part) for part in parts]
            word = " AND " if isinstance(query, Both) else " OR "
            joined = word.join(f"({sql})" for sql, _ in compiled)
            return joined or "1", [param for _, params in compiled for param in params]
        case Never(part):
            sql, params = _compile(part)
            return f"NOT coalesce(({sql}), 0)", params
        case _:
            raise StoreError(f"The store cannot search by {query!r}.")


def _glob(value: str) -> str:
    """A GLOB pattern for a value that may end with `*`; everything else in it is literal."""
    rest = value.endswith("*")
    literal = value[:-1] if rest else value
    return "".join(f"[{c}]" if c in "*?[" else c for c in literal) + ("*" if rest else "")


def _micros(when: datetime | None) -> int | None:
    return None if when is None else (when - _EPOCH) // timedelta(microseconds=1)


def _time(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
