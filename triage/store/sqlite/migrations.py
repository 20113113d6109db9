"""What the file's tables were and are: one script for each version, which stands in `user_version`.

A script that was released never changes. All that are missing run in one transaction: a kill leaves the old version. What
would hold a large file for minutes in one transaction is done in batches behind it, by whoever opens the file next.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator

from triage.errors import StoreError
from triage.store.sqlite import rows
from triage.store.sqlite.packing import pack, unpack

_LOG = logging.getLogger(__name__)

_BATCH = 500  # failed tries brought over in a transaction
_TELL_SECONDS = 10.0  # how often a long change of the file is told of
# What is counted of everything, so that nothing has to be read to show it: columns, and the hour of the end.
COUNTED = {
    name: f"{{row}}.{name}"
    for name in (
        "deployment", "dag", "task", "cause", "exception", "owner", "operator", "queue", "pool", "host", "tags", "log", "title",
        "fingerprint",
    )
} | {"hour": "{row}.at / 3600000000"}  # fmt: skip
# The records of which it is kept when each last changed: what the queue is made of.
NOTED = ("Problem", "Membership", "Outcomes", "Escalation", "Dag", "Codeowners", "Mirror")


def counting() -> str:
    """Return the triggers that keep `counted` true, whoever writes to `occurrence`."""
    up = "INSERT INTO counted VALUES ('{name}', {new}, 1) ON CONFLICT DO UPDATE SET occurrences = occurrences + 1{where};"
    down = "UPDATE counted SET occurrences = occurrences - 1 WHERE field = '{name}' AND value = {old}{where};"
    moved = "INSERT INTO counted SELECT '{name}', {new}, 1 WHERE {new} != {old} ON CONFLICT DO UPDATE SET occurrences = occurrences + 1;"
    made = []
    for event, parts in (("INSERT", (up,)), ("DELETE", (down,)), ("UPDATE", (down, moved))):
        where = " AND {new} != {old}" if event == "UPDATE" else ""
        said = "".join(
            part.format(name=name, new=value.format(row="new"), old=value.format(row="old"), where=where.format(new=value.format(row="new"), old=value.format(row="old")))
            for name, value in COUNTED.items()
            for part in parts
        )  # fmt: skip
        made.append(f"CREATE TRIGGER counted_{event.lower()} AFTER {event} ON occurrence BEGIN {said} END;")
    return "\n".join(made)


def noting() -> str:
    """Return the triggers that keep `changed` true, whoever writes to `summary` and `record`: the stamp is the revision to come."""
    note = (
        "INSERT INTO changed SELECT {kind}, {id}, value + 1 FROM counter WHERE true "
        "ON CONFLICT DO UPDATE SET stamp = excluded.stamp WHERE stamp < excluded.stamp;"
    )
    kinds = ", ".join(f"'{kind}'" for kind in NOTED)
    made = []
    for event, row in (("INSERT", "new"), ("UPDATE", "new"), ("DELETE", "old")):
        summary = note.format(kind="'Summary'", id=f"{row}.fingerprint || char(10) || {row}.deployment")
        record = note.format(kind=f"{row}.kind", id=f"{row}.id")
        made += [
            f"CREATE TRIGGER changed_summary_{event.lower()} AFTER {event} ON summary BEGIN {summary} END;",
            f"CREATE TRIGGER changed_record_{event.lower()} AFTER {event} ON record WHEN {row}.kind IN ({kinds}) BEGIN {record} END;",
        ]
    return "\n".join(made)


MIGRATIONS = (
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
    # Words are cut by `triage.tokens` alone: the tokenizer only parts them at the spaces. Their rows are in order of time
    # (`order`), so is `occurrence.words`. Failed tries of a `former` table are brought over by `moved`, in batches.
    """
    DROP TABLE words;
    CREATE VIRTUAL TABLE words USING fts5 (title, body, content='', columnsize=0, tokenize='ascii');
    ALTER TABLE counter ADD COLUMN late INTEGER NOT NULL DEFAULT 0;
    DROP INDEX occurrence_at;
    DROP INDEX occurrence_fingerprint;
    DROP INDEX occurrence_due;
    ALTER TABLE occurrence RENAME TO former;
    ALTER TABLE kept RENAME TO former_kept;
    CREATE TABLE occurrence (
        rowid INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, deployment TEXT NOT NULL, dag TEXT NOT NULL,
        run TEXT NOT NULL, task TEXT NOT NULL, map INTEGER NOT NULL, try INTEGER NOT NULL, at INTEGER NOT NULL,
        started INTEGER NOT NULL, day TEXT NOT NULL, fingerprint TEXT NOT NULL, final INTEGER, log TEXT NOT NULL,
        next_fetch INTEGER, cause TEXT NOT NULL, title TEXT NOT NULL, exception TEXT NOT NULL, owner TEXT NOT NULL,
        operator TEXT NOT NULL, queue TEXT NOT NULL, pool TEXT NOT NULL, host TEXT NOT NULL, tags TEXT NOT NULL,
        words INTEGER NOT NULL, version INTEGER NOT NULL, bundle TEXT NOT NULL, body BLOB NOT NULL
    );
    CREATE UNIQUE INDEX occurrence_words ON occurrence (words);
    CREATE INDEX occurrence_fingerprint ON occurrence (fingerprint, deployment, day, words);
    CREATE INDEX occurrence_due ON occurrence (deployment, next_fetch) WHERE next_fetch IS NOT NULL;
    CREATE TABLE kept (rowid INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE counted (field TEXT NOT NULL, value NOT NULL, occurrences INTEGER NOT NULL, PRIMARY KEY (field, value)) WITHOUT ROWID;
    CREATE TRIGGER counted_none AFTER UPDATE ON counted WHEN new.occurrences = 0
    BEGIN DELETE FROM counted WHERE field = new.field AND value = new.value; END;
    """
    + counting(),
    # When which fingerprint's summaries and which record last changed, deleted ones too.
    """
    CREATE TABLE changed (kind TEXT NOT NULL, id TEXT NOT NULL, stamp INTEGER NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
    CREATE INDEX changed_stamp ON changed (stamp);
    """
    + noting(),
)


def check(db: sqlite3.Connection, target: str) -> None:
    """Raise StoreError unless the file is a store of this version."""
    version = _version(db, target)
    if not version:
        raise StoreError(f"The file {target} is no store of airtriage.", "Check the path.")
    if version < len(MIGRATIONS) or _is_moving(db):
        raise StoreError(
            f"The store {target} is of an older airtriage (its version is {version}, this one knows {len(MIGRATIONS)}).",
            "Use the airtriage that wrote it, so that it stays of use to that; or put a copy of the file in the place of "
            "the store, and start this one on it.",
        )


def migrate(db: sqlite3.Connection, target: str) -> None:
    """Bring the file up to this version; StoreError where a newer airtriage wrote it."""
    if _version(db, target) < len(MIGRATIONS):
        _run(db)
    _move(db, target)


def _run(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            for statement in _statements(script):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script; a semicolon within a trigger ends none."""
    told = ""
    for part in script.split(";"):
        told += part + ";"
        if sqlite3.complete_statement(told):
            if told.strip() != ";":
                yield told
            told = ""


def _move(db: sqlite3.Connection, target: str) -> None:
    """Bring over what an older version kept; a kill loses a batch, and two processes share the work."""
    told = time.monotonic()
    while _is_moving(db):
        db.execute("BEGIN IMMEDIATE")
        try:
            if _is_moving(db) and not _moved(db):
                db.execute("DROP TABLE former")
                db.execute("DROP TABLE former_kept")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            left, done = (db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("former", "kept"))
            _LOG.warning("The store %s is being rewritten for this version: %d failed tries done, %d left.", target, done, left)  # fmt: skip


def _is_moving(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'former'").fetchone() is not None


def _moved(db: sqlite3.Connection) -> int:
    """Bring over a batch of failed tries, as they are but for their form; return how many."""
    sql = "SELECT f.rowid, f.body, k.body FROM former f LEFT JOIN former_kept k ON k.rowid = f.rowid ORDER BY f.rowid LIMIT ?"
    batch = db.execute(sql, (_BATCH,)).fetchall()
    for _, body, kept in batch:
        rows.insert(db, rows.decode(body), pack(unpack(kept)) if kept else None)
    for table in ("former", "former_kept") if batch else ():
        db.execute(f"DELETE FROM {table} WHERE rowid <= ?", (batch[-1][0],))
    return len(batch)


def _version(db: sqlite3.Connection, target: str) -> int:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise StoreError(
            f"The store {target} was written by a newer airtriage (its version is {version}, "
            f"this one knows {len(MIGRATIONS)}).",
            "Install that version again, or set store to another file.",
        )
    return version
