"""A failed try as rows: how a fact is written into the columns and read from them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from triage import tokens
from triage.model import LogLine, Occurrence
from triage.store.sqlite import order
from triage.store.sqlite.packing import pack, unpack
from triage.store.sqlite.where import fold_tags, micros

COLUMNS = (
    "id", "deployment", "dag", "run", "task", "map", "try", "at", "started", "day", "fingerprint", "final", "log",
    "next_fetch", "cause", "title", "exception", "owner", "operator", "queue", "pool", "host", "tags", "words", "body",
    "version", "bundle",
)  # fmt: skip
UPSERT = (
    f"INSERT INTO occurrence ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in COLUMNS[1:])} RETURNING rowid"
)
INDEX = """
    INSERT INTO words (rowid, title, body)
    SELECT o.words, cut(o.title), tokens(o.body, k.body) FROM occurrence o LEFT JOIN kept k ON k.rowid = o.rowid
    ORDER BY o.words
"""
_OCCURRENCE = msgspec.json.Decoder(Occurrence)


def load(db: sqlite3.Connection, id: str, *, kept: bool) -> Occurrence | None:
    """Return the fact of an id, with its kept log or without, or None."""
    row = db.execute("SELECT body FROM occurrence WHERE id = ?", (id,)).fetchone()
    if row is None:
        return None
    fact = decode(row[0])
    return replace(fact, kept=load_kept(db, id)) if kept else fact


def load_all(db: sqlite3.Connection, ids: Iterable[str]) -> dict[str, Occurrence]:
    """Return by id those facts that exist, with their kept logs."""
    sql = (
        "SELECT id, occurrence.body, kept.body FROM occurrence LEFT JOIN kept USING (rowid) "
        "WHERE id IN (SELECT value FROM json_each(?))"
    )
    rows = db.execute(sql, (msgspec.json.encode(list(ids)).decode(),))
    return {id: replace(decode(body), kept=_lines(kept) if kept else None) for id, body, kept in rows}


def load_kept(db: sqlite3.Connection, id: str) -> tuple[LogLine, ...] | None:
    """Return the kept log of an id, or None."""
    sql = "SELECT kept.body FROM occurrence JOIN kept USING (rowid) WHERE id = ?"
    row = db.execute(sql, (id,)).fetchone()
    return _lines(row[0]) if row else None


def _lines(kept: bytes) -> tuple[LogLine, ...]:
    return msgspec.json.decode(unpack(kept), type=tuple[LogLine, ...])


def decode(body: bytes) -> Occurrence:
    """Return the fact that a body holds, without its kept log."""
    return _OCCURRENCE.decode(unpack(body))


def row(fact: Occurrence, words: int) -> tuple[Any, ...]:
    """Return the values of `COLUMNS`; `words` is the row of its words in the index."""
    key, signed = fact.key, fact.signature
    return (
        key.id, key.deployment, key.dag_id, key.run_id, key.task_id, key.map_index, key.try_number,
        micros(fact.ended_at), micros(fact.started_at or fact.ended_at), fact.day, fact.fingerprint, fact.is_final,
        fact.log, micros(fact.next_fetch_at), signed.cause if signed else "", signed.title if signed else "",
        signed.exception or "" if signed else "", fact.owner, fact.operator, fact.queue, fact.pool, fact.host,
        "\n".join(fact.tags), words, pack(msgspec.json.encode(replace(fact, kept=None))), fact.dag_version or 0, fact.bundle_version,
    )  # fmt: skip


def insert(db: sqlite3.Connection, fact: Occurrence, kept: bytes | None) -> None:
    """Write a fact that is not there yet, with its kept log as it was packed, and its words."""
    at = micros(fact.ended_at)
    assert at is not None
    words = order.place(db, at)
    rowid = db.execute(UPSERT, row(fact, words)).fetchone()[0]
    if kept is not None:
        db.execute("INSERT INTO kept VALUES (?, ?)", (rowid, kept))
    index(db, words, fact, _lines(kept) if kept is not None else ())


def index(db: sqlite3.Connection, words: int, fact: Occurrence, lines: Sequence[LogLine]) -> None:
    """Have a fact be found by its words."""
    title = cut(fact.signature.title if fact.signature else "")
    db.execute("INSERT INTO words (rowid, title, body) VALUES (?, ?, ?)", (words, title, tokens.of(fact, lines)))


def cut(text: str) -> str:
    """Return the tokens of a text, as the index of words takes them."""
    return " ".join(tokens.cut(text))


def _tokens(body: bytes, kept: bytes | None) -> str:
    return tokens.of(decode(body), _lines(kept) if kept else ())


# What SQL may call: name, number of arguments, function.
FUNCTIONS: tuple[tuple[str, int, Callable[..., str]], ...] = (
    ("fold", 1, tokens.fold), ("bare", 1, tokens.bare), ("fold_tags", 1, fold_tags), ("cut", 1, cut), ("tokens", 2, _tokens),
)  # fmt: skip
