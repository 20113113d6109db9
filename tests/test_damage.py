"""A file that is not the store it should be: named in one sentence, put aside by command only, never written to."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.store_contract import NOW, occurrence
from triage.errors import SettingsError, StoreError
from triage.query import EVERYTHING, parse
from triage.store import open_store
from ui.cli import cli

PAGE = 4_096


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store of 400 failed tries, closed."""
    path = tmp_path / "airtriage.db"
    store = open_store(f"sqlite:///{path}")
    store.put(occurrence(n, text=f"boom {n} " * 30) for n in range(400))
    store.close()
    assert not path.with_name("airtriage.db-wal").exists()
    return path


def overwrite(file: Path, at: int, data: bytes) -> bytes:
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(data)
    return file.read_bytes()


def test_a_broken_header_is_named_and_the_file_left_as_it_was(file: Path) -> None:
    left = overwrite(file, 0, b"\0" * 100)
    with pytest.raises(
        StoreError, match=r"does not begin as a database does; nothing is written to it\. Stop airtriage"
    ):
        open_store(f"sqlite:///{file}")
    assert file.read_bytes() == left
    assert [path.name for path in file.parent.iterdir()] == ["airtriage.db"]


def test_a_truncated_file_is_named_and_left_as_it_was(file: Path) -> None:
    whole = file.read_bytes()
    for size in (len(whole) // 2 // PAGE * PAGE, len(whole) // 2 + 100, 60):
        file.write_bytes(whole[:size])
        with pytest.raises(StoreError, match="is not a usable SQLite file"):
            open_store(f"sqlite:///{file}")
        assert file.read_bytes() == whole[:size]


def test_a_page_overwritten_in_the_middle_is_named_when_it_is_read_and_nothing_is_written_from_then_on(
    file: Path,
) -> None:
    with contextlib.closing(sqlite3.connect(file)) as db:
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'occurrence'").fetchone()[0]
    store, other = open_store(f"sqlite:///{file}"), open_store(f"sqlite:///{file}")
    store.close()
    left = overwrite(file, (root - 1) * PAGE, b"\xa5" * PAGE)
    with pytest.raises(StoreError, match="malformed; nothing is written to it"):
        store.search(EVERYTHING, 10)
    for one in (store, other):
        with pytest.raises(StoreError, match="nothing is written to it"):
            one.put([occurrence(1_000)])
        one.close()
    with pytest.raises(StoreError, match="malformed"):
        open_store(f"sqlite:///{file}")
    assert file.read_bytes() == left


def test_a_store_whose_write_ahead_log_is_missing_shows_what_was_written_before(file: Path) -> None:
    store = open_store(f"sqlite:///{file}")
    store.put([occurrence(1_000)])
    copy = file.parent / "copy" / file.name
    copy.parent.mkdir()
    copy.write_bytes(file.read_bytes())
    store.close()
    again = open_store(f"sqlite:///{copy}")
    assert again.count(EVERYTHING) == again.count(parse("boom", NOW)) == 400
    assert again.put([occurrence(1_000)]).new == 1
    again.close()


def test_the_database_of_another_program_is_refused_and_gets_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "airflow.db"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE dag_run (id INTEGER)")
    left = path.read_bytes()
    with pytest.raises(StoreError, match="is the SQLite database of another program"):
        open_store(f"sqlite:///{path}")
    assert path.read_bytes() == left


def test_aside_renames_what_belongs_to_the_store_after_asking_and_a_new_one_can_be_made(file: Path) -> None:
    left = overwrite(file, 0, b"?" * 16)
    file.with_name("airtriage.db-wal").write_bytes(b"wal")
    environment = {"AIRTRIAGE_STORE": f"sqlite:///{file}", "AIRTRIAGE_DATA_DIR": str(file.parent)}
    refused = CliRunner().invoke(cli, ["aside"], input="n\n", env=environment)
    assert (refused.exit_code, file.read_bytes()) == (1, left)
    done = CliRunner().invoke(cli, ["aside"], input="y\n", env=environment)
    assert done.exit_code == 0, done.output
    moved = sorted(path for path in file.parent.iterdir() if ".aside-" in path.name)
    assert [path.read_bytes() for path in moved] == [left, b"wal"]
    assert moved[1].name == moved[0].name + "-wal"
    store = open_store(f"sqlite:///{file}")
    assert store.count(EVERYTHING) == 0
    store.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqllite:///a.db", "Do you mean sqlite://"),
        ("htps://user:hunter2@elastic:9200", "Do you mean https://"),
        ("postgres://u:hunter2@h/d", r"'postgres://…' is not a store this version knows\. Use sqlite"),
        ("/var/lib/airtriage.db", "Do you mean sqlite:////var/lib/airtriage.db"),
        ("airtriage", "'airtriage' is not a store"),
        ("sqlite://airtriage.db", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:////tmp/", "names a folder"),
        ("sqlite:////tmp", "Write sqlite:////tmp/airtriage.db"),
    ],
)
def test_a_typo_in_the_store_is_told_with_what_was_meant(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as told:
        open_store(url)
    assert "hunter2" not in str(told.value)
