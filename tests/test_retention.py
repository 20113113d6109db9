"""Retention: old failed tries go, and every page and decision goes on as if they were counted still."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from streamlit.testing.v1 import AppTest

from collector import tasks
from collector.tasks import Collector
from tests import made_up
from tests.store_contract import NOW, comparison, occurrence
from triage import merging, retention
from triage.errors import SettingsError
from triage.lease import lease
from triage.merging import Person
from triage.model import Occurrence, Signature
from triage.query import EVERYTHING, parse
from triage.records import Change, Comparison, MoveKind, Problem, TriageState, problem_id
from triage.service import Service
from triage.settings import Settings, load
from triage.similar import Known
from triage.store import HORIZON, open_store
from triage.store.sqlite.packing import pack
from ui.cli import main
from ui.front.desk import Desk, open_desk

ROOT = Path(__file__).parents[1]
KEEP = timedelta(days=180)
OLD = NOW - timedelta(days=200)
A, B = problem_id("prod", "1:aa"), problem_id("prod", "1:bb")
ANN = Person("ann", "one cause")


def kept(service: Service, *facts: Occurrence) -> None:
    service.record(facts)
    service.settle(NOW)


def retire(service: Service) -> int:
    return retention.retire(service, KEEP, lambda: NOW, pause=lambda seconds: None)[0]


@pytest.fixture
def service() -> Iterator[Service]:
    """One problem of which all is old, one that failed today too."""
    service = Service(open_store("sqlite://"))
    kept(
        service,
        *(occurrence(n, at=OLD - timedelta(days=n % 2), title="elderly", dag_version=3) for n in range(4)),
        *(occurrence(n, at=OLD, fingerprint="1:bb", dag="billing") for n in range(10, 13)),
        occurrence(20, fingerprint="1:bb", dag="billing"),
    )
    yield service
    service.store.close()


def test_problems_stay_with_their_state_their_history_and_their_counts(service: Service) -> None:
    service.mute(A, "bob", NOW, why="known")
    before = [(replace(row, owned=row.owned), row.rank) for row in service.queue(NOW)]
    history = service.problem(A, NOW).history
    assert retire(service) == 7
    assert [(row, row.rank) for row in service.queue(NOW)] == before
    view = service.problem(A, NOW)
    assert (view.row.total, view.latest, view.occurrences, view.history) == (4, None, (), history)
    assert view.row.problem.state is TriageState.MUTED
    assert service.readable(view) is None
    assert (service.problem(B, NOW).row.total, len(service.problem(B, NOW).occurrences)) == (4, 1)
    assert service.settle(NOW) == 0
    assert retire(service) == 0


def test_a_resolved_problem_regresses_when_all_it_had_is_gone(service: Service) -> None:
    service.resolve(A, "bob", NOW, why="fixed")
    retire(service)
    kept(service, occurrence(30, at=NOW + timedelta(minutes=5), title="elderly again"))
    view = service.problem(A, NOW)
    assert (view.row.problem.state, view.row.total, view.row.problem.title) == (TriageState.REGRESSED, 5, "elderly")
    assert view.row.first_seen == OLD - timedelta(days=1)


def test_a_mute_until_so_many_more_counts_those_that_are_gone(service: Service) -> None:
    service.mute(A, "bob", OLD - timedelta(days=2), more=4)  # long ago, and counted then
    retire(service)
    assert service.wake(A, NOW) is not None
    assert service.find(A).state is TriageState.ONGOING


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("state:MUTED", {A}), ("-state:MUTED", {B}), ("state:MUTED OR state:NEW", {A, B}), ("state:MUTED AND state:NEW", set()),
        ("state:MUTED dag:orders", set()), ("-state:MUTED dag:billing", {B}), ("", {A, B}),
    ],
)  # fmt: skip
def test_a_problem_without_failed_tries_is_found_by_what_is_true_of_itself(
    service: Service, text: str, found: set[str]
) -> None:
    service.mute(A, "bob", NOW)
    retire(service)
    assert {row.problem.id for row in service.queue(NOW, parse(text, NOW))} == found


def test_a_back_fill_brings_back_nothing_and_opens_nothing(service: Service) -> None:
    retire(service)
    changes = len(service.store.records(Change))
    kept(service, occurrence(0, at=OLD), occurrence(99, at=OLD, fingerprint="1:cc"))
    assert service.store.count(EVERYTHING) == 1
    assert service.problem(A, NOW).row.total == 4
    assert len(service.store.records(Change)) == changes
    assert service.store.get(Problem, problem_id("prod", "1:cc")) is None


def test_problems_are_merged_and_parted_with_what_is_only_counted(service: Service) -> None:
    retire(service)
    merging.merge(service, [A], ANN, NOW, B)
    assert {row.problem.id: row.total for row in service.queue(NOW)} == {B: 8}
    merging.undo(service, MoveKind.MERGE, A, ANN, NOW)
    assert {row.problem.id: row.total for row in service.queue(NOW)} == {A: 4, B: 4}
    merging.merge(service, [A], ANN, NOW, B)
    merging.split(service, B, ANN, NOW, fingerprint="1:aa")
    assert {row.problem.id: row.total for row in service.queue(NOW)} == {A: 4, B: 4}


def test_what_was_split_off_by_dag_before_stays_so_and_has_a_title(service: Service) -> None:
    kept(service, occurrence(40, at=OLD, dag="other", title="in other"), occurrence(41, title="today"))
    (move,) = (merging.split(service, A, ANN, NOW, dag="other"),)
    retire(service)
    assert {row.problem.id: row.total for row in service.queue(NOW)} == {A: 5, B: 4, move.into: 1}
    merging.undo(service, MoveKind.SPLIT, move.into, ANN, NOW)
    assert {row.problem.id: row.total for row in service.queue(NOW)} == {A: 6, B: 4}


def test_a_scope_changed_later_names_its_problems_after_the_former_ones(service: Service) -> None:
    retire(service)
    moved = Service(service.store, {"prod": "company", "staging": "prod"})
    moved.adopt("prod", "prod", NOW)
    found = moved.store.get(Problem, problem_id("company", "1:aa"))
    assert found is not None
    assert (found[0].title, found[0].cause) == ("elderly", "code error")


def test_a_problem_whose_tries_were_gone_is_near_again_once_it_fails(service: Service) -> None:
    signed = Signature(
        1, "1:cc", "KeyError: 'amount' (load)", "code error", "KeyError", key=("KeyError", "amount", "load")
    )
    kept(service, replace(occurrence(50, at=OLD), signature=signed))
    retire(service)
    near = Known(service)
    kept(
        service,
        replace(
            occurrence(51, dag="twin"),
            signature=replace(signed, fingerprint="1:dd", title="KeyError: 'amount' (loads)"),
        ),
    )
    view = service.problem(problem_id("prod", "1:dd"), NOW)
    assert problem_id("prod", "1:cc") not in [one.problem.id for one in near.similar(view, NOW)]
    later = NOW + timedelta(hours=2)
    kept(service, replace(occurrence(52), signature=signed))
    assert problem_id("prod", "1:cc") in [one.problem.id for one in near.similar(view, later)]


def test_comparisons_go_with_the_tries_they_are_about(service: Service) -> None:
    for number in (1, 20):
        fact = occurrence(number, dag="orders" if number == 1 else "billing")
        service.store.save(comparison(fact.key.run_id, key=fact.key), None)
    retire(service)
    assert [one.key.run_id for one, _ in service.store.records(Comparison)] == ["run_20"]


def test_a_budget_ends_it_between_slices_and_the_next_tick_goes_on(service: Service) -> None:
    kept(service, *(occurrence(n, at=OLD) for n in range(100, 100 + retention.SLICE)))
    ticking = iter(NOW + timedelta(seconds=n) for n in range(1000))
    said: list[int] = []
    gone, day = retention.retire(
        service, KEEP, lambda: next(ticking), said.append, timedelta(seconds=1), pause=lambda seconds: None
    )
    assert (gone, day, said) == (retention.SLICE, "", [retention.SLICE])
    waits: list[float] = []
    assert retention.retire(service, KEEP, lambda: next(ticking), pause=waits.append) == (7, "2026-05-28")
    assert waits == [1.0]  # as long as the slice took


# --- real files and processes


def filled(folder: Path, count: int = 600) -> str:
    url = f"sqlite:///{folder / 'airtriage.db'}"
    service = Service(open_store(url))
    kept(
        service,
        *(occurrence(n, at=OLD + timedelta(minutes=n), text=f"needle{n} " * 40) for n in range(count)),
        occurrence(9999),
    )
    service.store.close()
    return url


def test_a_kill_in_its_middle_counts_nothing_twice_and_the_next_one_ends_it(tmp_path: Path) -> None:
    url = filled(tmp_path, 800)
    code = (
        "import sys; from datetime import timedelta; from tests.store_contract import NOW; from triage import retention; "
        "from triage.service import Service; from triage.store import open_store\n"
        "retention.retire(Service(open_store(sys.argv[1])), timedelta(days=180), lambda: NOW, lambda n: print(n, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", code, url], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        assert process.wait() == -signal.SIGKILL
    service = Service(open_store(url))
    left = service.store.count(EVERYTHING)
    assert 1 < left < 801
    service.settle(NOW)
    assert service.problem(A, NOW).row.total == 801
    assert retire(service) == left - 1
    assert service.problem(A, NOW).row.total == 801
    found = service.store.get(type(retention.horizon(service.store)), HORIZON)
    assert found is not None
    assert found[0].retired == 800
    service.store.close()


def test_what_is_deleted_is_in_the_file_no_more_and_its_room_is_used_again(tmp_path: Path) -> None:
    url = filled(tmp_path)
    path = tmp_path / "airtriage.db"
    body = pack(msgspec.json.encode(occurrence(7, text="needle7 " * 40).kept))
    assert body in path.read_bytes()
    service = Service(open_store(url))
    retire(service)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size, free = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        assert db.execute("INSERT INTO words (words) VALUES ('integrity-check')").rowcount >= 0
    assert body not in path.read_bytes()
    assert free > size / 2
    kept(service, *(occurrence(n, text=f"pin{n} " * 40) for n in range(600)))
    assert service.store.count(parse("needle7", NOW)) == 0
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA page_count").fetchone()[0] <= size * 1.1
    service.store.close()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(tasks, "now", lambda: NOW)
    return load(None, {"AIRTRIAGE_DATA_DIR": str(tmp_path), "AIRTRIAGE_STORE": filled(tmp_path, 5)})


def test_one_process_at_a_time_deletes_and_looks_again_when_the_day_has_changed(settings: Settings) -> None:
    collector = Collector(settings)
    with lease(collector.service.store, "retire", lambda: NOW):
        assert collector.retire() is None
    assert collector.retire() == 5
    collector.service.store.put([occurrence(3, at=NOW - KEEP)])
    assert collector.retire() == 0
    collector._retired = "2026-05-27"  # as of yesterday
    assert collector.retire() == 0
    assert collector.service.store.count(EVERYTHING) == 2


def test_the_command_says_what_it_would_delete_and_deletes_it(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRTRIAGE_STORE", settings.store_url)
    main(["retire", "--dry-run", "--json"])
    would = json.loads(capsys.readouterr().out)
    assert would == {"before": "2026-05-28", "tries": 5, "kept": 1, "dry_run": True}
    main(["retire"])
    assert capsys.readouterr().out.startswith("5 failed tries from before 2026-05-28 were deleted; 1 are kept")
    monkeypatch.setenv("AIRTRIAGE_RETENTION", "1000d")
    main(["retire", "--json"])  # what is gone stays so
    assert json.loads(capsys.readouterr().out) == {"before": "2026-05-28", "tries": 0, "kept": 1, "dry_run": False}


def _shown(name: str, id: str) -> str:
    """Run a page and return every component's data as text."""
    app = AppTest.from_string(f"from ui.pages import {name}\n{name}.render()", default_timeout=20)
    app.query_params["id"] = id
    app.run()
    assert not app.exception
    return str([element.proto for element in app.main if hasattr(getattr(element, "proto", None), "bytes")])


@pytest.mark.parametrize("value", ["0", "23h", "soon"])
def test_a_retention_of_less_than_a_day_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="The setting retention is wrong"):
        load(None, {"AIRTRIAGE_RETENTION": value})


def test_the_pages_say_what_is_kept_and_that_the_tries_of_a_problem_are_gone(tmp_path: Path) -> None:
    service = made_up.service(tmp_path)
    kept_now = made_up.NOW
    service.record([replace(occurrence(1, at=kept_now - timedelta(days=200)), seen_at=kept_now)])
    service.settle(kept_now)
    retention.retire(service, KEEP, lambda: kept_now)
    open_desk(Desk(service, made_up.settings(tmp_path), lambda: kept_now))
    shown = {name: _shown(name, A) for name in ("problem", "health")}
    assert "Its failed tries are older than what is kept" in shown["problem"]
    assert "; of those from before" in shown["health"]
    service.store.close()
