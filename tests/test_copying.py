"""One store copied into another: the same answers afterwards, however often it is stopped, and nothing mixed up."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

from tests import made_up
from tests.store_contract import comparison, occurrence, problem
from triage import copying, merging, retention
from triage.copying import KINDS, Copied
from triage.errors import InputError, StoreError
from triage.lease import lease
from triage.merging import Person
from triage.mirrors import Heard, HeardKind, LinkWish, Mirror, MirrorStatus, Tracker
from triage.model import LogStatus, Occurrence
from triage.query import EVERYTHING, FACETS, parse
from triage.records import (
    Codeowners,
    Escalation,
    Horizon,
    Move,
    MoveKind,
    Moving,
    Problem,
    Record,
    Regroup,
    SavedSearch,
)
from triage.service import Service
from triage.store import DeadLetter, Store, bare, open_source, open_store, open_target
from triage.watched import Cursor, Lease
from ui.cli import main

ROOT = Path(__file__).parents[1]
NOW = made_up.NOW
OLD = NOW - timedelta(days=200)


def clock() -> Any:
    return NOW


def fill(store: Store) -> Service:
    """Fill a store with something of every kind: decisions, moves, failures new, pending, retired and of odd texts."""
    service = Service(store)
    made_up.fill(service)
    odd = "ключ 鍵 🔑 e\u0301 \u202e\x00 tab\t\\ \"quote\" 'x'"
    service.record([
        *(occurrence(n, at=OLD + timedelta(hours=n), fingerprint="1:aa", text=f"elderly {n}") for n in range(6)),
        *(occurrence(n, fingerprint="1:bb", dag=f"d{n % 3}", text=odd, title=odd, tags=("a b", "ü")) for n in range(10, 16)),
        occurrence(30, fingerprint="", log=LogStatus.PENDING, next_fetch_at=NOW), replace(occurrence(31), kept=()),
    ])  # fmt: skip
    service.settle(NOW)
    rows = {row.problem.fingerprint: row.problem.id for row in service.queue(NOW)}
    merging.merge(service, [rows["1:bb"]], Person("ann"), NOW, rows["1:aa"])
    merging.split(service, rows["1:aa"], Person("ann", "two teams"), NOW, dag="d1")
    service.note(rows["1:aa"], "bob", NOW, odd)
    retention.retire(service, timedelta(days=180), clock, pause=lambda seconds: None)
    move = Move("m", "dev", MoveKind.MERGE, "p1", "p2", NOW, "ann", other=problem())
    records: list[Record] = [
        Cursor("prod", "prod", NOW, NOW), Moving("dev", (move,)), Regroup("1", NOW), Codeowners("https://g", "C", odd, NOW),
        Mirror("p1", "https://g", "data/dags", MirrorStatus.LINKED, NOW, iid=7, next_at=NOW), Tracker("https://g", "data/dags"),
        Heard("https://g", 1, HeardKind.ISSUE, 7, NOW), LinkWish("p1", "#7", "ann", NOW), comparison("other"),
        Escalation("p1", NOW, "41 tries", 4.5, 9, 24, NOW, NOW),
        SavedSearch("s1", odd, "state:NEW", "ann", NOW), Lease("old", "host:1:1:x", NOW - timedelta(hours=1)),
    ]  # fmt: skip
    for record in records:
        store.save(record, None)
    store.overwrite([DeadLetter(occurrence(70, text=odd), "it is too large")])
    store.put([occurrence(50, fingerprint="1:ee")])  # touched, and not settled
    return service


def answers(store: Store) -> dict[str, Any]:
    """Return what the pages, the queue, the search and the collector are told by a store."""
    service = Service(store)
    queue = service.queue(NOW)
    queries = [
        "",
        "elderly",
        "boom",
        "鍵",
        "title:KeyError",
        "dag:d1",
        "-dag:d1",
        "tag:ü",
        "state:NEW",
        "at:[now-2d TO now]",
    ]
    trees = [parse(text, NOW) for text in queries]
    return {
        "queue": queue,
        "problems": [service.problem(row.problem.id, NOW) for row in queue],
        "found": [service.search(tree, NOW, 500) for tree in trees],
        "logs": [store.occurrence(fact.key.id) for fact in store.search(EVERYTHING, 500)],
        "counted": [(store.count(t), store.histogram(t), store.facets(t, FACETS, 9)) for t in map(_plain, trees)],
        "health": service.health(NOW),
        "due": store.due("prod", NOW, 99),
        "editions": store.editions(),
        "examples": store.examples([("prod", "1:aa"), ("prod", "1:bb")]),
        "hourly": store.hourly([("prod", "1:aa"), ("prod", "1:bb")], 0),
        "woken": [store.records(kind, wake_before=NOW + timedelta(days=9)) and True for kind in (Problem, Mirror)],
        "horizon": store.records(Horizon)[0][0],
        "touched": {(t.deployment, t.fingerprint, t.day) for t in store.touched(99)},
    }


def _plain(tree: Any) -> Any:
    """Leave out what the service alone understands."""
    return EVERYTHING if "state" in repr(tree) else tree


def through(source: str, target: str, **how: Any) -> Copied:
    here, there = open_source(source), open_target(target)
    try:
        return copying.copy(here, there, bare(source), clock, how.get("told", lambda *said: None))
    finally:
        here.close()
        there.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file filled once, of which each test has a copy."""
    path = tmp_path_factory.mktemp("made") / "source.db"
    with pytest.MonkeyPatch.context() as fewer:
        fewer.setattr(made_up, "CASES", tuple((*case[:5], min(case[5], 20), *case[6:]) for case in made_up.CASES))
        store = open_store(f"sqlite:///{path}")
        fill(store)
        store.close()
    return path


@pytest.fixture
def source(made: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(made, tmp_path / 'source.db')}"


@pytest.fixture
def target(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'target.db'}"


def told(url: str) -> dict[str, Any]:
    store = open_store(url)
    try:
        return answers(store)
    finally:
        store.close()


def test_a_copy_answers_like_its_source_and_has_something_of_every_kind(source: str, target: str) -> None:
    done = through(source, target)
    assert not done.differing
    assert done.source == done.target
    assert told(target) == told(source)
    assert [name for name, (count, _) in done.source.items() if not count] == []
    assert {kind.__name__ for kind in get_args(Record)} - set(done.source) == {"Lease", "Worker", "Copying"}
    store = open_store(target)
    assert store.records(Lease) == []
    Service(store).settle(NOW)
    assert Service(store).queue(NOW)
    store.close()


def test_a_second_copy_brings_the_difference_and_takes_away_what_is_gone(source: str, target: str) -> None:
    first = through(source, target)
    assert sum(through(source, target).written.values()) == 0
    store = open_store(source)
    service = Service(store)
    (row, *_) = service.queue(NOW)
    service.note(row.problem.id, "ann", NOW, "seen")
    store.put([occurrence(60, fingerprint="1:ff", text="fresh")])
    fact = store.search(parse("鍵", NOW), 1)[0]
    store.rewrite([fact.key.id], lambda old: replace(old, kept=()))
    store.erase(Occurrence, [store.search(parse("boom", NOW), 1)[0].key.id])
    store.erase(LinkWish, ["p1"])
    store.close()
    second = through(source, target)
    assert second.written["Occurrence"] == 2
    assert {kind: n for kind, n in second.erased.items() if n} == {"Occurrence": 1, "LinkWish": 1}
    assert sum(second.written.values()) < 7 < sum(first.written.values())
    assert told(target) == told(source)


def test_a_copy_that_was_killed_goes_on_and_is_not_used_before(source: str, target: str) -> None:
    url = source
    store = open_store(url)
    store.put(occurrence(n, text=f"word{n} " * 50, fingerprint=f"1:{n % 7}") for n in range(1000, 1600))
    Service(store).settle(NOW)
    store.close()
    code = (
        "import sys; from tests.test_copying import through\n"
        "through(sys.argv[1], sys.argv[2], told=lambda *said: print(*said, flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, url, target], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith("copying Occurrence"):
            assert line.startswith("copying")
        process.kill()
        assert process.wait() == -signal.SIGKILL
    with pytest.raises(
        StoreError, match=r"is a copy of .*source\.db that is not finished\. Finish it: airtriage copy --from"
    ):
        open_store(target)
    half = open_target(target)
    copied = half.count(EVERYTHING)
    half.close()
    assert 0 < copied < 700
    done = through(source, target)
    assert not done.differing
    assert done.written["Occurrence"] == done.source["Occurrence"][0] - copied
    assert "Problem" not in done.written  # those were there
    assert told(target) == told(source)


def test_what_changed_behind_a_copy_that_was_stopped_is_brought_too(source: str, target: str) -> None:
    def stop(what: str, kind: str, more: int) -> None:
        if kind == "Occurrence":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        through(source, target, told=stop)
    store = open_store(source)
    found = store.records(Problem)
    store.save(replace(found[0][0], owner="zoe"), found[0][1])
    store.close()
    assert not through(source, target).differing
    assert told(target) == told(source)


def test_a_source_that_changes_meanwhile_is_copied_as_it_was_when_it_is_a_file(source: str, target: str) -> None:
    def write(what: str, kind: str, more: int) -> None:
        store = open_store(source)
        store.put([occurrence(n := store.count(EVERYTHING) + 5000, fingerprint=f"1:{n}")])
        store.close()

    before = told(source)
    assert not through(source, target, told=write).differing
    assert told(target) == before
    assert told(source) != before


@pytest.mark.parametrize("change", ["other", "used", "elsewhere"])
def test_a_target_that_holds_something_else_is_refused_and_left_alone(
    source: str, target: str, change: str, tmp_path: Path
) -> None:
    if change != "other":
        through(source, target)
    store = open_store(target)
    if change == "elsewhere":
        source = f"sqlite:///{tmp_path / 'third.db'}"
        open_store(source).close()
    else:
        store.put([occurrence(1, fingerprint="1:mine")])
    revision = store.revision()
    said = {
        "other": "holds something already",
        "used": r"was used since .*Occurrence",
        "elsewhere": r"holds a copy of .*source\.db",
    }
    with pytest.raises(InputError, match=said[change]):
        through(source, target)
    assert store.records(Lease) == []
    assert store.revision() - revision == 2  # the right to fill it, taken and given back
    store.close()


def test_two_copies_into_one_store_do_not_meet(source: str, target: str) -> None:
    store = open_target(target)
    with lease(store, "copy", clock), pytest.raises(InputError, match="Another copy"):
        through(source, target)
    store.close()


def test_the_command_copies_verifies_and_says_what_to_do(
    source: str, target: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRTRIAGE_STORE", source)

    def run(*args: str, code: int = 0) -> str:
        try:
            main(["copy", "--to", target, *args])
        except SystemExit as exc:
            assert exc.code == code, capsys.readouterr()
        read = capsys.readouterr()
        return read.out + read.err

    assert "Both hold the same" in run()
    *kinds, last = map(json.loads, run("--json").splitlines())
    assert last == {"same": True, "in_use": []}
    assert {one["kind"] for one in kinds} == {kind.__name__ for kind in KINDS}
    assert all(one["written"] == one["deleted"] == 0 and one["source"] == one["target"] for one in kinds)
    assert "0 things were written" in run()
    store = open_store(source)
    store.save(Lease("pass/prod", "another:1:1:x", made_up.datetime.now(made_up.UTC) + timedelta(minutes=1)), None)
    store.save(problem("late"), None)
    store.close()
    said = run("--verify", code=1)
    assert "Problem:" in said
    assert "The source is in use (pass/prod)" in said
    assert "The two differ." in said
    assert "To move to the other store, stop the workers and run this again" in " ".join(run().split())
    assert "Both addresses are of one store" in run("--from", target, code=2)
    assert "There is no store" in run("--from", f"sqlite:///{tmp_path / 'nope.db'}", code=2)
    assert not (tmp_path / "nope.db").exists()


# --- a backup, an upgrade that goes wrong, and the way back


def test_a_backup_brings_back_the_store_of_the_version_that_made_it(
    source: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from triage.store.sqlite import migrations

    before = told(source)
    through(source, target)  # the backup
    newer = (*migrations.MIGRATIONS, "UPDATE occurrence SET title = 'broken by the upgrade'; CREATE TABLE more (x)")
    with monkeypatch.context() as upgrade:
        upgrade.setattr(migrations, "MIGRATIONS", newer)
        upgraded = open_store(source)
        assert upgraded.count(parse("title:nothing", NOW)) == 0
        upgraded.close()
        with pytest.raises(StoreError, match="is of an older airtriage"):
            open_source(target)  # a backup is of no use to the version that made it once another migrated it
    with pytest.raises(StoreError, match="written by a newer airtriage"):
        open_store(source)
    restored = f"sqlite:///{tmp_path / 'restored.db'}"
    assert not through(target, restored).differing
    assert told(restored) == before


def test_a_store_of_every_former_version_is_migrated_and_copied(tmp_path: Path) -> None:
    """The stores were written by the airtriage of then: a rollback is to put the file back."""
    for former in sorted((ROOT / "tests" / "stores").glob("*.sql")):
        path = tmp_path / f"{former.stem}.db"
        with sqlite3.connect(path) as db:
            db.executescript(former.read_text("utf-8"))
        db.close()
        file = path.read_bytes()
        with pytest.raises(StoreError, match="is of an older airtriage"):
            open_source(f"sqlite:///{path}")
        assert path.read_bytes() == file
        migrated = open_store(f"sqlite:///{path}")
        rows = Service(migrated).queue(NOW)
        migrated.close()
        assert [(row.total, row.problem.state) for row in rows if row.problem.title.startswith("KeyError")] == [
            (3, "MUTED")
        ]
        done = through(f"sqlite:///{path}", f"sqlite:///{tmp_path / f'{former.stem}-copy.db'}")
        assert not done.differing
        path.write_bytes(file)
        again = open_store(f"sqlite:///{path}")
        assert Service(again).queue(NOW) == rows
        again.close()


# --- to a server and back


def test_a_store_goes_to_elasticsearch_9_from_there_to_8_and_back_into_a_file(
    source: str, target: str, elastic: str, elastic8: str, fresh_elastic: Callable[[str], str]
) -> None:
    way = [source, fresh_elastic(elastic), fresh_elastic(elastic8), target]
    expected = told(source)
    for here, there in pairwise(way):
        done = through(here, there)
        assert done.differing == []
        answered = told(there)
        for what, answer in expected.items():
            assert answered[what] == answer, (there, what)


def test_a_copy_into_elasticsearch_that_was_stopped_goes_on_and_a_second_one_brings_the_difference(
    source: str, elastic: str, fresh_elastic: Callable[[str], str]
) -> None:
    there = fresh_elastic(elastic)

    def stop(what: str, kind: str, more: int) -> None:
        if kind == "Occurrence":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        through(source, there, told=stop)
    with pytest.raises(StoreError, match="is not finished"):
        open_store(there)
    done = through(source, there)
    assert not done.differing
    assert done.written["Occurrence"] == done.source["Occurrence"][0] - 100
    store = open_store(source)
    store.erase(Occurrence, [store.search(EVERYTHING, 1)[0].key.id])
    store.put([occurrence(77, fingerprint="1:zz")])
    store.close()
    second = through(source, there)
    assert (second.written["Occurrence"], second.erased["Occurrence"], second.differing) == (1, 1, [])
    store = open_store(there)
    store.put([occurrence(78, fingerprint="1:mine")])
    store.close()
    with pytest.raises(InputError, match="was used since"):
        through(source, there)
    with pytest.raises(InputError, match="There is no store"):
        open_source(fresh_elastic(elastic))


def test_an_elasticsearch_store_is_rolled_back_from_a_backup_in_a_file(
    source: str, target: str, elastic: str, fresh_elastic: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from triage.store.elastic import indices

    live = fresh_elastic(elastic)
    through(source, live)
    before = told(live)
    through(live, target)  # the backup
    with monkeypatch.context() as upgrade:  # a newer airtriage lays its indices out anew, and has used them
        upgrade.setattr(indices, "LAYOUT", indices.LAYOUT + 1)
        newer = fresh_elastic(elastic)
        through(target, newer)
    with pytest.raises(StoreError, match="written by a newer airtriage"):
        open_store(newer)
    restored = fresh_elastic(elastic)
    assert not through(target, restored).differing
    assert told(restored) == before
