"""A file that is not the store it should be: named in one sentence, kept aside by command only, and never written to.

Once damage was met, a note beside the file says so (`<file>-damaged`): no process opens the store or writes to it until a
person has put it aside. SQLite itself notices a broken page when it reads it, not before.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path

from triage.errors import InputError, StoreError

_MAGIC = b"SQLite format 3\0"  # https://sqlite.org/fileformat.html#the_database_header
_BESIDE = ("", "-wal", "-shm", "-damaged")  # what belongs to a store: the file, and what stands beside it
FIX = "Stop airtriage, run `airtriage aside`, which only renames it, and restore a backup or start anew."


def check(file: Path) -> None:
    """Look whether a file is an airtriage store, or yet to be made, without writing to it; StoreError where it is not."""
    if noted(file):
        raise damaged(file, _note(file).read_text("utf-8", "replace").strip())
    if not file.is_file() or not file.stat().st_size:
        return
    with file.open("rb") as opened:
        if opened.read(len(_MAGIC)) != _MAGIC:
            raise damaged(file, "it does not begin as a database does")
    db = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
    try:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as exc:
        if is_damage(exc):
            raise damaged(file, str(exc)) from exc
        return  # not readable for another reason, which whoever opens it tells better
    finally:
        db.close()
    if tables and not {"counter", "record"} <= tables:
        raise StoreError(
            f"The file {file} is the SQLite database of another program.", "Set store to a file of airtriage's own."
        )


def is_damage(exc: sqlite3.DatabaseError) -> bool:
    """Say whether an error of SQLite means that the file itself is broken."""
    return "malformed" in str(exc) or "not a database" in str(exc)


def damaged(file: Path, why: str) -> StoreError:
    """Return the sentence about a damaged store."""
    return StoreError(f"The store {file} is not a usable SQLite file: {why}; nothing is written to it.", FIX)


def note(file: Path, why: str) -> None:
    """Leave word beside a file that it is damaged; where even that cannot be written, each process finds out itself."""
    try:
        _note(file).write_text(f"{why}\n", "utf-8")
    except OSError:
        return


def noted(file: Path) -> bool:
    """Say whether there is such a note."""
    return _note(file).exists()


def put_aside(file: Path, now: datetime) -> list[Path]:
    """Rename a store and what belongs to it, contents untouched; return the new names."""
    there = [file.with_name(file.name + end) for end in _BESIDE if file.with_name(file.name + end).exists()]
    if file not in there:
        raise InputError(f"There is no store {file}.", "Look at the setting store, or data_dir.")
    stem = f"{file.name}.aside-{now:%Y%m%dT%H%M%S}"
    moved = [old.with_name(stem + old.name.removeprefix(file.name)) for old in there]
    if taken := [new for new in moved if new.exists()]:
        raise InputError(f"There is a {taken[0]} already.", "Try again in a second.")
    for old, new in zip(there, moved, strict=True):
        try:
            old.rename(new)
        except OSError as exc:
            raise StoreError(f"{old} cannot be renamed: {exc.strerror}.", "Give yourself the right to write its folder.") from exc  # fmt: skip
    return moved


def _note(file: Path) -> Path:
    return file.with_name(file.name + "-damaged")
