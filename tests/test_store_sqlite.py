"""The SQLite store: the contract, and what only a file can suffer."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store_contract import NOW, StoreContract, occurrence, problem
from tests.whole_contract import WholeContract
from triage.errors import InputError, SettingsError, StaleProblem, StoreError
from triage.query import EVERYTHING, parse
from triage.records import Problem
from triage.store import Store, open_store
from triage.store.sqlite import SqliteStore
from triage.store.sqlite.migrations import MIGRATIONS
from triage.store.sqlite.rows import COLUMNS, row

SEARCHED = open_store("sqlite://")
SEARCHED.put([occurrence(n, text="no space left on disk") for n in range(3)])


class TestSqlite(StoreContract, WholeContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = open_store(f"sqlite:///{tmp_path / 'deep' / 'airtriage.db'}")
        yield store
        store.close()


class TestSqliteInMemory(StoreContract, WholeContract):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = open_store("sqlite://")
        yield store
        store.close()


WORDS = st.sampled_from(
    [
        "disk",
        '"no space"',
        "dag:a*",
        "NOT",
        "AND",
        "OR",
        "(",
        ")",
        "-x",
        "try:[1 TO 3]",
        "at:now-1d",
        "tag:x",
        "*",
        "é\x00ß",
        '"',
        "?",
    ]
)


@given(st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=25).map(" ".join)))
def test_whatever_can_be_parsed_can_be_searched(text: str) -> None:
    try:
        query = parse(text, NOW)
    except InputError:
        return
    assert len(SEARCHED.search(query, 5)) <= 3
    assert SEARCHED.count(query) == sum(SEARCHED.histogram(query).values())


@pytest.mark.parametrize(
    "text",
    [
        "a " * 500,
        "a OR " * 199 + "a",
        "dag:" + "x" * 900 + "*",
        "NOT " * 11 + "a",
        "(" * 60 + "a" + ")" * 60,
        '"a\0b"',
        "\ud800",
        "at:9999-12-31",
        "\u0130",
        "try:-5",
    ],
)
def test_the_worst_queries_are_answered(text: str) -> None:
    assert SEARCHED.count(parse(text, NOW)) <= 3


def test_a_store_of_a_newer_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    open_store(f"sqlite:///{file}").close()
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="written by a newer airtriage"):
        open_store(f"sqlite:///{file}")


def test_a_store_of_the_first_version_is_brought_up_and_its_summaries_are_parted_by_what_ran(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    facts = [occurrence(1, dag_version=14, bundle_version="9ab1e0d"), occurrence(2), occurrence(3, fingerprint="")]
    with sqlite3.connect(file) as db:
        db.executescript(MIGRATIONS[0])
        for fact in facts:
            known = [name for name in COLUMNS if name not in ("version", "bundle")]
            values = dict(zip(COLUMNS, row(fact, 0), strict=True)) | {
                "body": msgspec.json.encode(replace(fact, kept=None))
            }
            sql = f"INSERT INTO occurrence ({', '.join(known)}) VALUES ({', '.join('?' * len(known))})"
            db.execute(sql, [values[name] for name in known])
        db.execute("PRAGMA user_version = 1")
    db.close()
    store = open_store(f"sqlite:///{file}")
    tally = store.tally([("prod", "1:aa")])
    assert tally is not None
    assert {(part.dag_version, part.bundle_version) for part in tally.ran} == {(14, "9ab1e0d"), (None, "")}
    assert [(one.total, one.tasks) for one in store.summaries()] == [(2, {("orders", "load"): 2})]
    assert store.count(parse("title:amount orders", NOW)) == 2
    store.close()


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    file.write_bytes(b"this is not a database, it is a letter to my aunt" * 100)
    before = file.read_bytes()
    with pytest.raises(StoreError, match="not a usable SQLite file"):
        open_store(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_a_store_without_a_file_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="names no file"):
        open_store("sqlite:/x")
    with pytest.raises(SettingsError, match="is not a store"):
        open_store("mysql://x")


def test_a_full_disk_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    store = open_store(url)
    store.put([occurrence(1)])
    with store.connection() as db:  # type: ignore[attr-defined]
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(StoreError, match="full"):
        store.put([occurrence(n, text="x" * 3000) for n in range(2, 400)])
    assert len(store.search(EVERYTHING, 500)) == 1
    store.close()
    again = open_store(url)
    again.put([occurrence(n) for n in range(2, 50)])
    assert len(again.search(EVERYTHING, 500)) == 49


def test_many_threads_write_and_read_at_once(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'a.db'}")
    store.save(problem(), None)
    wins: list[int] = []

    def write(n: int) -> None:
        for i in range(10):
            store.put([occurrence(n * 100 + i)])
            found = store.get(Problem, "p1")
            assert found is not None
            with contextlib.suppress(StaleProblem):
                wins.append(store.save(problem(title=f"{n}.{i}"), found[1]))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.search(EVERYTHING, 500)) == 120
    assert sorted(wins) == list(range(2, len(wins) + 2))


def test_a_writer_killed_in_mid_transaction_leaves_all_or_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    open_store(url).close()
    script = (
        "import os, sys\n"
        "from tests.store_contract import occurrence\n"
        "from triage.store import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "store.put([occurrence(1)])\n"
        "def facts():\n"
        "    for n in range(2, 50):\n"
        "        yield occurrence(n)\n"
        "    os.kill(os.getpid(), 9)\n"
        "store.put(facts())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, url], check=False)
    assert done.returncode == -9
    store = open_store(url)
    assert [o.key.run_id for o in store.search(EVERYTHING, 100)] == ["run_1"]
    assert len(store.touched(10)) == 1


def _steps(db: sqlite3.Connection, read: Callable[[], object]) -> int:
    """Count the steps of SQLite's machine that reading takes, in tens."""
    counted = [0]

    def count() -> int:
        counted[0] += 1
        return 0

    db.set_progress_handler(count, 10)
    read()
    db.set_progress_handler(None, 0)
    return counted[0]


def test_records_of_a_parent_or_due_to_wake_are_found_without_reading_the_others() -> None:
    store = SqliteStore.open("sqlite://")
    for number in range(500):
        wake_at = NOW if number == 3 else None
        store.save(problem(f"p{number}", scope=f"s{number}", wake_at=wake_at), None)
    with store.reading() as db:
        pass
    assert [one.id for one, _ in store.records(Problem, parent="s7")] == ["p7"]
    assert [one.id for one, _ in store.records(Problem, wake_before=NOW)] == ["p3"]
    assert _steps(db, lambda: store.records(Problem)) > 100
    assert _steps(db, lambda: store.records(Problem, parent="s7")) < 20
    assert _steps(db, lambda: store.records(Problem, wake_before=NOW)) < 20
