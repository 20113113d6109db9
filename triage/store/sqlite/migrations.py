"""What the file's tables were and are: one script for each version, which stands in `user_version`.

A script that was released never changes. All that are missing run in one transaction: a kill leaves the old version.
"""

from __future__ import annotations

import sqlite3

from triage.errors import StoreError

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
    # Words are cut by `triage.tokens` alone: the tokenizer only parts them at the spaces. Tries without a log are found too.
    """
    DROP TABLE words;
    CREATE VIRTUAL TABLE words USING fts5 (title, body, content='', tokenize='ascii');
    UPDATE occurrence SET words = rowid;
    INSERT INTO words (rowid, title, body)
    SELECT o.words, cut(o.title), tokens(o.body, k.body) FROM occurrence o LEFT JOIN kept k ON k.rowid = o.rowid;
    """,
)


def migrate(db: sqlite3.Connection, target: str) -> None:
    """Bring the file up to this version; StoreError where a newer airtriage wrote it."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreError(
            f"The store {target} was written by a newer airtriage (its version is {version}, "
            f"this one knows {len(MIGRATIONS)}).",
            "Install that version again, or set store to another file.",
        )
    if version == len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            for statement in filter(str.strip, script.split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
