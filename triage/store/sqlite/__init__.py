"""The store in one SQLite file: WAL, FTS5 for the words, migrations by `user_version`.

`connections` hides the pool and the errors, `migrations` what the tables were, `rows` a fact in its columns, `where` how a
query tree becomes SQL; `records`, `occurrences`, `searching`, `summaries` and `whole` are the verbs. Nothing else speaks sqlite3.
"""

from __future__ import annotations

from pathlib import Path

from triage.errors import InputError, SettingsError, StoreError
from triage.store.sqlite import damage
from triage.store.sqlite.migrations import check, migrate
from triage.store.sqlite.records import Records
from triage.store.sqlite.searching import Searching
from triage.store.sqlite.summaries import Summaries
from triage.store.sqlite.whole import Whole

_POOL = 8  # connections kept; more threads wait for one


def file_of(url: str) -> Path | None:
    """Return the file that `sqlite:///path` names, None for `sqlite://` in memory; SettingsError for anything else."""
    path = url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else ""
    if not path and url != "sqlite://":
        raise SettingsError(f"store = {url!r} names no file.", "Write sqlite:///path/to/airtriage.db.")
    if path and (path.endswith("/") or Path(path).is_dir()):
        raise SettingsError(f"store = {url!r} names a folder.", f"Write {url.rstrip('/')}/airtriage.db.")
    return Path(path) if path else None


class SqliteStore(Records, Whole, Searching, Summaries):
    """The `Store` protocol on one SQLite file; safe to use from many threads and processes."""

    @classmethod
    def open(cls, url: str, *, frozen: bool = False) -> SqliteStore:
        """Open `sqlite:///path`, or `sqlite://` in memory, made or migrated first where needed.

        With `frozen` only to be read, as it is at this moment whatever others write; InputError where it is not there,
        StoreError where it is not of this version.
        """
        path = str(file_of(url) or "")
        if frozen:
            return cls._as_it_is(path)
        if path:
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise StoreError(
                    f"The folder of the store {path} cannot be made: {exc.strerror}.",
                    "Set data_dir to a folder you may write.",
                ) from exc
            damage.check(Path(path))
        store = cls(path or ":memory:", _POOL if path else 1)
        with store.connection() as db:
            migrate(db, store.target)
        return store

    @classmethod
    def _as_it_is(cls, path: str) -> SqliteStore:
        if not Path(path).is_file():
            raise InputError(f"There is no store {path}.", "Check the path.")
        damage.check(Path(path))
        store = cls(path, 1, frozen=True)
        try:
            with store.reading() as db:
                check(db, store.target)
        except BaseException:
            store.close()
            raise
        return store

    def revision(self) -> int:
        with self.reading() as db:
            return int(db.execute("SELECT value FROM counter").fetchone()[0])
