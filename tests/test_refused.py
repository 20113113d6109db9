"""What the store refused for good: counted on Health, listed, tried again and dropped by command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests import made_up
from tests.store_contract import NOW, occurrence
from triage import retention
from triage.model import LogLine
from triage.query import EVERYTHING
from triage.redact import Redactor
from triage.scrubbing import scrub
from triage.service import Service
from triage.store import DeadLetter, thing_id
from ui.cli import main
from ui.front.desk import Desk, open_desk

LETTERS = sorted((DeadLetter(occurrence(n, text=f"odd {n} hunter2"), f"[reason] {n}") for n in range(3)), key=thing_id)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service = made_up.service(tmp_path)
    service.store.overwrite(LETTERS)
    monkeypatch.setenv("AIRTRIAGE_STORE", f"sqlite:///{tmp_path / 'airtriage.db'}")
    yield service
    service.store.close()


def run(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 0


def test_they_are_listed_with_the_reason(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    run(["refused", "--json"])
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["id"], one["reason"], one["dag_id"]) for one in listed] == [
        (thing_id(letter), letter.reason, "orders") for letter in LETTERS
    ]
    run(["refused", "--limit", "1"])
    said = capsys.readouterr().out
    assert f"{thing_id(LETTERS[0])[:12]}  2026-11-24 12:00  prod orders run_" in said
    assert LETTERS[0].reason in said
    assert "and 2 more" in said
    assert LETTERS[1].reason not in said


def test_those_named_are_dropped_and_the_others_taken_when_tried_again(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["refused", "nope", "--drop"])
    assert "None of them is 'nope'." in capsys.readouterr().err
    run(["refused", thing_id(LETTERS[1])[:12], "--drop", "--json"])
    assert json.loads(capsys.readouterr().out) == {"dropped": 1, "refused": 2}
    with pytest.raises(SystemExit, match="2"):
        main(["refused", "--drop", "--retry"])
    run(["refused", "--retry", "--json"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"taken": 2, "refused": 0, "dropped": 0}
    assert service.store.count(EVERYTHING) == 2
    service.store.overwrite(LETTERS)
    run(["refused", "--drop"])
    run(["refused"])
    assert "3 were dropped; 0 are left.\nThe store refused no failed try." in capsys.readouterr().out


def test_secrets_in_them_are_masked_and_they_go_with_their_day(service: Service) -> None:
    redactor = Redactor(known=("hunter2",))
    scrub(service.store, redactor, lambda done: None, dry=True)
    assert service.store.everything(DeadLetter, 9) == LETTERS
    assert scrub(service.store, redactor, lambda done: None).changed_records == 3
    assert not any(
        "hunter2" in line.text
        for one in service.store.everything(DeadLetter, 9)
        for line in one.fact.kept or (LogLine(1, "hunter2"),)
    )
    old = occurrence(9, at=NOW - timedelta(days=300))
    service.store.overwrite([DeadLetter(occurrence(8, at=old.ended_at), "old")])
    service.store.put([old])
    retention.retire(service, timedelta(days=180), lambda: NOW, pause=lambda seconds: None)
    assert service.store.dead() == 3


def test_one_of_a_retired_day_is_dropped_and_said_to_be_when_tried_again(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.store.retire("2026-11-01", 9)
    service.store.overwrite([DeadLetter(occurrence(8, at=NOW - timedelta(days=300)), "old")])
    run(["refused", "--retry"])
    assert "3 were taken now; 0 are refused still. 1 were dropped, for their days are retired." in " ".join(
        capsys.readouterr().out.split()
    )
    assert service.store.count(EVERYTHING) == 3


def test_health_counts_them(service: Service, tmp_path: Path) -> None:
    def shown() -> str:
        app = AppTest.from_string("from ui.pages import health\nhealth.render()", default_timeout=20).run()
        assert not app.exception
        return str([element.proto for element in app.main if hasattr(getattr(element, "proto", None), "bytes")])

    open_desk(Desk(service, made_up.settings(tmp_path), lambda: made_up.NOW))
    assert "3 failed tries by the store" in shown()
    service.store.erase(DeadLetter, map(thing_id, LETTERS))
    assert "by the store" not in shown()
