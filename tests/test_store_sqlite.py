"""The SQLite store: the contract, and what only a file can suffer."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store_contract import NOW, StoreContract, occurrence, problem
from tests.whole_contract import WholeContract
from triage.errors import InputError, SettingsError, StaleProblem, StoreError
from triage.query import EVERYTHING, FACETS, Between, Both, Either, Field, Members, Never, Words, parse
from triage.records import Problem
from triage.store import Changed, Day, Store, open_store, thing_id
from triage.store.sqlite import SqliteStore
from triage.store.sqlite.complement import left_out
from triage.store.sqlite.migrations import MIGRATIONS
from triage.store.sqlite.order import late
from triage.store.sqlite.rows import COLUMNS, row
from triage.watched import Lease

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
        "a " * 100,
        "a OR " * 99 + "a",
        "dag:" + "x" * 900 + "*",
        "NOT " * 11 + "a",
        "(" * 12 + "a" + ")" * 12,
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


def test_lists_are_in_order_of_time_where_a_second_holds_more_than_its_places() -> None:
    store = SqliteStore.open("sqlite://")
    facts = [
        occurrence(n, at=NOW + timedelta(seconds=n % 7, microseconds=n % 3), title=f"no {n}") for n in range(1_000)
    ]
    store.put(facts)
    with store.reading() as db:
        assert late(db) > 0
    expected = [fact.key.id for fact in sorted(facts, key=lambda fact: (fact.ended_at, fact.key.id), reverse=True)]
    boom, since = Words(("boom",)), Between("at", NOW, None)
    queries = (
        EVERYTHING,
        boom,
        since,
        Both((boom, since)),
        Either((boom, since)),
        Either((boom, boom)),
        Never(Words(("nothing",))),
    )
    for query in queries:
        found: list[str] = []
        after = None
        while page := store.search(query, 90, after):
            found += [fact.key.id for fact in page]
            after = (page[-1].ended_at, page[-1].key.id)
        assert found == expected, query
    assert [fact.key.id for fact in store.search(Members(frozenset([("prod", "1:aa")])), 2_000)] == expected
    third = Between("at", NOW + timedelta(seconds=3), NOW + timedelta(seconds=3, microseconds=999_999))
    assert store.count(Both((boom, third))) == store.count(third) == sum(fact.ended_at.second == 3 for fact in facts)
    store.summarise(store.touched(9))
    tally, first = store.tally([("prod", "1:aa")]), min(facts, key=lambda fact: (fact.ended_at, fact.key.id))
    assert tally is not None
    assert (tally.first_seen, tally.title) == (NOW, first.signature and first.signature.title)


def test_a_try_that_ended_at_another_time_than_was_known_moves_in_the_list() -> None:
    store = SqliteStore.open("sqlite://")
    store.put([occurrence(n, at=NOW + timedelta(minutes=n)) for n in range(3)])
    store.put([occurrence(2, at=NOW - timedelta(hours=1), is_event_time=True)])
    assert [fact.key.run_id for fact in store.search(parse("boom", NOW), 9)] == ["run_1", "run_0", "run_2"]
    before = Both((Words(("boom",)), Between("at", None, NOW - timedelta(minutes=1))))
    assert [fact.key.run_id for fact in store.search(before, 9)] == ["run_2"]


def test_what_is_counted_of_everything_is_what_counting_one_by_one_gives() -> None:
    store = SqliteStore.open("sqlite://")
    store.put([occurrence(n, dag=f"d{n % 3}", tags=("a", "b")[: n % 3], owner="", host="w\u00c4" * (n % 2)) for n in range(20)])  # fmt: skip
    store.put([occurrence(3, dag="d0", at=NOW + timedelta(hours=3), is_event_time=True)])
    store.rewrite([occurrence(1, dag="d1").key.id], lambda fact: replace(fact, signature=None))
    with store.writing() as db:
        store.remove(db, occurrence(2, dag="d2").key.id)
    fields = [name for name in FACETS if name != "title"]
    everything = Field("run", "run", prefix=True)  # finds all, and is not known to
    assert store.facets(EVERYTHING, fields, 9) == store.facets(everything, fields, 9)
    assert store.facets(EVERYTHING, ["tag", "owner"], 9) == {"tag": [("a", 12), ("b", 5)], "owner": []}
    assert store.histogram(EVERYTHING) == store.histogram(everything)
    assert store.histogram(EVERYTHING, timedelta(hours=1)) == store.histogram(everything, timedelta(hours=1))
    assert store.count(EVERYTHING) == store.count(everything) == 19
    with store.reading() as db:
        assert not db.execute("SELECT 1 FROM counted WHERE occurrences <= 0").fetchone()


def test_what_nearly_everything_has_is_counted_by_what_the_rest_has() -> None:
    store = SqliteStore.open("sqlite://")
    store.put(
        [occurrence(n, dag=f"d{n % 3}", text="boom" if n else "quiet", at=NOW - timedelta(hours=n)) for n in range(40)]
    )
    with store.reading() as db:
        for text, lost in (
            ("boom", 1),
            ("-dag:d1", 13),
            (f"at:>={NOW - timedelta(hours=30):%Y-%m-%dT%H:%M}", 9),
            ("boom -dag:d1", 14),
            ("task:*", 0),
        ):
            assert left_out(db, parse(text, NOW), 20) == lost
        for text in ("dag:d1", "quiet", "boom dag:d1", "boom run:run_1", "dag:d0 OR dag:d1"):
            assert left_out(db, parse(text, NOW), 20) is None
    assert store.facets(parse("boom -dag:d1", NOW), ["dag"], 9) == {"dag": [("d0", 13), ("d2", 13)]}


def test_what_changed_since_a_revision_is_named_deleted_records_and_summaries_too() -> None:
    store = open_store("sqlite://")
    start = store.revision()
    store.save(problem(), None)
    made = store.revision()
    store.save(problem("p2"), None)
    store.delete(Problem, "p2", 1)
    store.put([occurrence(1), occurrence(2, fingerprint="1:bb")])
    store.summarise(store.touched(10))
    store.save(Lease("beat", "me", NOW), None)
    assert store.changed(store.revision()) == Changed(store.revision(), frozenset(), {})
    pairs = frozenset({("prod", "1:aa"), ("prod", "1:bb")})
    assert store.changed(made) == Changed(store.revision(), pairs, {Problem: frozenset({"p2"})})
    assert store.changed(start) == Changed(store.revision(), pairs, {Problem: frozenset({"p1", "p2"})})
    before = store.revision()
    store.overwrite([problem(title="as it is")])
    store.erase(Day, [thing_id(day) for day in store.everything(Day, 1)])
    assert store.changed(before) == Changed(
        store.revision(), frozenset({("prod", "1:aa")}), {Problem: frozenset({"p1"})}
    )
    assert store.changed(store.revision() + 1) is None  # of another file


def _older(file: Path, version: int, count: int) -> None:
    """Make a store of an older version with so many failed tries."""
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        for script in MIGRATIONS[:version]:
            db.executescript(script)
        for fact in (occurrence(n, at=NOW - timedelta(seconds=n), text=f"boom {n}") for n in range(count)):
            body = {"body": msgspec.json.encode(replace(fact, kept=None))}
            values = dict(zip(COLUMNS, row(fact, 0), strict=True)) | body
            known = [name for name in COLUMNS if version > 2 or name not in ("version", "bundle")]
            sql = f"INSERT INTO occurrence ({', '.join(known)}) VALUES ({', '.join('?' * len(known))}) RETURNING rowid"
            rowid = db.execute(sql, [values[name] for name in known]).fetchone()[0]
            kept = zlib.compress(msgspec.json.encode(fact.kept), 6)
            db.execute("INSERT INTO kept VALUES (?, ?)", (rowid, kept))
        db.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_store_of_every_older_version_is_brought_over_whole(tmp_path: Path, version: int) -> None:
    file = tmp_path / "a.db"
    _older(file, version, 3)
    store = open_store(f"sqlite:///{file}")
    assert [fact.key.run_id for fact in store.search(parse("boom", NOW), 9)] == ["run_0", "run_1", "run_2"]
    assert store.occurrence(occurrence(2).key.id) == occurrence(2, at=NOW - timedelta(seconds=2), text="boom 2")
    assert store.count(parse('"boom 1"', NOW)) == 1
    store.close()
    with contextlib.closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
        assert not db.execute("SELECT 1 FROM sqlite_master WHERE name LIKE 'former%'").fetchone()
        db.execute("INSERT INTO words (words) VALUES ('integrity-check')")


def test_a_store_whose_bringing_over_was_killed_half_way_goes_on_with_the_next_opening(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    _older(file, 3, 2_200)
    script = (
        "import os, sys\n"
        "from triage.store import open_store\n"
        "from triage.store.sqlite import migrations\n"
        "moved, batches = migrations._moved, []\n"
        "def killed(db):\n"
        "    batches.append(moved(db))\n"
        "    if len(batches) == 3: os.kill(os.getpid(), 9)\n"
        "    return batches[-1]\n"
        "migrations._moved = killed\n"
        "open_store(sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, f"sqlite:///{file}"], check=False)
    assert done.returncode == -9
    with contextlib.closing(sqlite3.connect(file)) as db:
        tables = ("occurrence", "former")
        assert [db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables] == [1_000, 1_200]
    store = open_store(f"sqlite:///{file}")
    assert store.count(EVERYTHING) == store.count(parse("boom", NOW)) == 2_200
    assert store.count(parse('"boom 2100"', NOW)) == 1
    store.close()
