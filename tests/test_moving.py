"""`airtriage merge` and `split`: what they print, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.mid_move import PART, A, B, C
from tests.store_contract import occurrence
from tests.test_merging import FACTS, everything, kept, totals
from triage.records import problem_id
from triage.service import Service
from triage.store import open_store
from ui.cli import main


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv("AIRTRIAGE_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    scopes = {"prod": "prod", "staging": "staging"}
    for name in scopes:
        monkeypatch.setenv(f"AIRTRIAGE_DEPLOYMENTS__{name.upper()}__URL", f"https://{name}.airflow.example")
    there = [occurrence(1, deployment="staging"), occurrence(2, deployment="staging")]
    return kept(Service(open_store(f"sqlite:///{tmp_path / 'airtriage.db'}"), scopes), [*FACTS, *there])


def run(*argv: str) -> int:
    try:
        main(list(argv))
    except SystemExit as exc:
        return int(exc.code or 0)
    return 0


def test_problems_are_merged_split_and_parted_again(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("merge", A, C[:8], "--into", B, "--why", "one cause") == 0
    said = capsys.readouterr().out
    assert f"4 failed tries of {A} now belong to {B}. KeyError: 'amount'" in said
    assert said.count("now belong") == 2
    assert run("split", B, "--dag", "orders", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["problem"], told["into"], told["dag"], told["tries"]) == ("split", B, PART, "orders", 6)
    shown = problem(B, capsys)
    newest = shown["moves"][0]
    assert (newest["kind"], newest["problem"], newest["into"]) == ("split", B, PART)
    assert {move["why"] for move in shown["moves"][1:]} == {"one cause"}
    assert run("split", PART, "--undo") == 0
    assert f"{PART} is part of {B} again." in capsys.readouterr().out
    assert run("merge", A, "--undo") == 0
    assert f"{A} is a problem of its own again." in capsys.readouterr().out
    assert {id: n for id, n in totals(service).items() if id in (A, B, C)} == {A: 4, B: 8}


def problem(id: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run("problem", id, "--json") == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown


def test_the_same_failures_in_another_scope_are_named(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    there = problem_id("staging", "1:aa")
    wanted = {"id": there, "scope": "staging", "deployments": ["staging"], "state": "NEW", "occurrences": 2}
    assert problem(A, capsys)["elsewhere"] == [wanted]
    run("problem", A)
    assert f"Also in staging, 2 failed tries, NEW: problem {there}." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["merge", A], "it takes two to merge"), (["merge", A, problem_id("staging", "1:aa")], "is of scope"),
        (["merge", A, B, "--undo"], "--undo takes one problem"), (["merge", A, "--undo"], "Nothing was merged into"),
        (["split", A], "A split needs"), (["split", A, "--dag", "nope"], "no failed try in DAG nope"),
        (["split", A, "--undo", "--dag", "orders"], "--undo takes a problem alone"), (["split", A, "--undo"], "Nothing was split"),
        (["split", "nope", "--dag", "x"], "There is no problem 'nope'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence_and_nothing_is_done(
    service: Service, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    before = everything(service)
    assert run(*argv) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert said in told.err
    assert everything(service) == before


def test_one_of_several_merges_is_named_to_be_undone(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    run("merge", A, C, "--into", B)
    capsys.readouterr()
    assert run("merge", B, "--undo") == 2
    assert f"{A}, {C}. Name the one to undo." in capsys.readouterr().err.replace(f"{C}, {A}", f"{A}, {C}")
