"""The command line: what other programs rely on."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.store_contract import NOW, occurrence
from tests.test_collect import whole_log
from triage.model import Absence, Circumstance, CircumstanceKind, LogStatus, Signature
from triage.service import Service
from triage.settings import environment
from triage.signature import sign
from triage.store import open_store
from ui.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    service = Service(open_store(f"sqlite:///{tmp_path / 'airtriage.db'}"))
    service.record([occurrence(n) for n in range(60)])
    service.record(
        [occurrence(100 + n, dag="billing", fingerprint="1:bb", title="<b>429</b> \x1b[31mToo many") for n in range(3)]
    )
    service.record([occurrence(200, fingerprint="", log=LogStatus.PENDING)])
    service.settle(NOW)
    service.store.close()
    return tmp_path


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environ = environment(inherit=False) | {"AIRTRIAGE_DATA_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "ui.cli", *arguments],
        env=environ,
        input=stdin,
        capture_output=True,
        cwd=folder,
        check=False,
    )


def rows(folder: Path, *arguments: str) -> list[dict[str, object]]:
    done = run(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_problems_have_the_fields_that_programs_rely_on(folder: Path) -> None:
    first, second = rows(folder, "problems")
    wanted = {
        "id",
        "fingerprint",
        "title",
        "state",
        "cause",
        "occurrences",
        "first_seen",
        "last_seen",
        "dags",
        "gitlab_url",
    }
    assert wanted <= first.keys()
    assert {first["occurrences"], second["occurrences"]} == {60, 3}


def test_search_gives_all_with_json_and_fifty_on_a_terminal(folder: Path) -> None:
    found = rows(folder, "search")
    assert len(found) == 64
    wanted = {
        "deployment",
        "dag_id",
        "run_id",
        "task_id",
        "map_index",
        "try_number",
        "problem",
        "fingerprint",
        "title",
        "cause",
        "log",
        "started_at",
        "ended_at",
    }
    assert wanted <= found[0].keys()
    assert len(rows(folder, "search", "*", "--limit", "7")) == 7
    assert len(rows(folder, "search", "dag:billing")) == 3
    assert [row["problem"] for row in found if row["log"] == "pending"] == [None]


def test_decisions_are_made_and_remembered(folder: Path) -> None:
    id = str(rows(folder, "problems", "dag:billing")[0]["id"])
    for command, state in (
        (["mute", id, "--for", "8h", "--why", "known"], "MUTED"),
        (["unmute", id], "NEW"),
        (["resolve", id[:6]], "RESOLVED"),
        (["reopen", id], "NEW"),
    ):
        (row,) = rows(folder, *command)
        assert (row["id"], row["state"]) == (id, state)
    done = run(folder, "problem", id)
    assert b"muted until" in done.stdout
    assert b"known" in done.stdout


def test_a_deploy_a_quiet_time_a_note_and_an_undo_by_command(folder: Path) -> None:
    id = str(rows(folder, "problems", "dag:billing")[0]["id"])
    for wrong, words in (
        (["resolve", id, "--next-deploy"], b"Airflow 2 has neither"),
        (["resolve", id, "--next-deploy", "--when-quiet", "7d"], b"in one way at a time"),
        (["resolve", id, "--when-quiet", "7"], b"shorter than an hour"),
        (["mute", id, "--until-closed"], b"has no GitLab issue"),
        (["undo", id], b"cannot be undone"),
        (["note", id, " "], b"The note is empty"),
    ):
        done = run(folder, *wrong)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    done = run(folder, "resolve", id, "--when-quiet", "7d")
    assert b"is NEW, to be resolved when quiet for 7 days" in done.stdout
    (row,) = rows(folder, "mute", id, "--until-spread", "--more", "3")
    assert row["state"] == "MUTED"
    (row,) = rows(folder, "undo", id)
    assert row["state"] == "NEW"
    taken = row["took_back"]
    assert isinstance(taken, dict)
    assert (bool(taken["who"]), taken["what"]) == (
        True,
        "muted until 3 more failures or until it spreads to another DAG",
    )
    assert run(folder, "note", id, "ask", "the", "\x1b[31mDBAs").returncode == 0
    done = run(folder, "problem", id)
    assert b"noted: ask the DBAs" in done.stdout
    assert b"To be resolved once quiet for 7 days; still waits, as" in b" ".join(done.stdout.split())
    (told,) = rows(folder, "problem", id)
    history = told["history"]
    assert isinstance(history, list)
    assert [entry["what"].partition(":")[0] for entry in history][:3] == [
        "noted",
        "took back",
        "muted until 3 more failures or until it spreads to another DAG",
    ]
    assert {entry["origin"] for entry in history} == {"command", "airtriage"}


def test_an_owner_is_assigned_shown_found_and_taken_back(folder: Path) -> None:
    (folder / "airtriage.toml").write_text('[owners.shop]\ndag = "ord*"\nowner = ["@shop", "ann"]\n')
    billing = str(rows(folder, "problems", "owner:nobody")[0]["id"])
    (owned,) = rows(folder, "problems", "owner:shop")
    assert (owned["owner"], owned["owners"], owned["owner_why"]) == ("@shop, ann", ["@shop", "ann"], "by the rule shop")
    assert rows(folder, "assign", billing, "--to", "bob", "--why", "knows it") == [
        {"id": billing, "state": "NEW", "owner": "bob"}
    ]
    shown = run(folder, "problem", billing).stdout.decode()
    assert "Owner: bob, assigned by a person." in shown
    assert "assigned it to bob: knows it" in shown
    assert "@shop +1" in run(folder, "problems").stdout.decode()
    assert rows(folder, "assign", billing, "--to", "nobody")[0]["owner"] is None
    assert len(rows(folder, "problems", "owner:nobody")) == 1
    refused = run(folder, "assign", billing, "--to", "nobody")
    assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1)


def test_a_failure_without_a_log_says_why(folder: Path) -> None:
    lost = Circumstance(CircumstanceKind.HEARTBEAT_LOST, "Task did not emit heartbeat within time limit (300 seconds).")
    signed = sign((), lost, task="orders.load", absence=Absence.WORKER)
    service = Service(open_store(f"sqlite:///{folder / 'airtriage.db'}"))
    service.record([replace(occurrence(300), circumstance=lost, absence=Absence.WORKER, signature=signed)])
    service.settle(NOW)
    service.store.close()
    (problem,) = rows(folder, "problems", 'cause:"heartbeat lost"')
    said = b" ".join(run(folder, "problem", str(problem["id"])).stdout.split())
    assert b"There is no log of the try; Airflow's event log says: Task did not emit heartbeat" in said
    assert b"Beside that, the log lay on a worker that no longer answers" in said


def test_a_problem_names_similar_ones_and_why(folder: Path) -> None:
    service = Service(open_store(f"sqlite:///{folder / 'airtriage.db'}"))
    missing = "ModuleNotFoundError: No module named 'shapely{}'"
    for number, name in enumerate(("", ".ops"), 300):
        signed = Signature(1, f"1:m{number}", missing.format(name), "missing module", "ModuleNotFoundError")
        service.record([replace(occurrence(number, dag="geo"), signature=signed)])
    service.settle(NOW)
    service.store.close()
    first, second = rows(folder, "problems", "dag:geo")
    (problem,) = rows(folder, "problem", str(first["id"]))
    why = "The same module shapely is missing or cannot be used there."
    assert problem["similar"] == [{"id": second["id"], "title": second["title"], "score": 0.65, "why": why}]
    said = run(folder, "problem", str(first["id"])).stdout
    assert str(second["id"])[:8].encode() in said
    assert b"0.65" in said
    (alone,) = rows(folder, "problem", str(rows(folder, "problems", "dag:billing")[0]["id"]))
    assert alone["similar"] == []
    assert b"similar" not in run(folder, "problem", str(alone["id"])).stdout


def test_people_never_get_control_characters_of_a_log(folder: Path) -> None:
    for arguments in (
        ["problems"],
        ["search", "dag:billing"],
        ["problem", str(rows(folder, "problems", "dag:billing")[0]["id"])],
    ):
        done = run(folder, *arguments)
        assert done.returncode == 0
        assert b"Too many" in done.stdout.replace(b"\n", b" ") or b"Too" in done.stdout
        assert b"\x1b[31m" not in done.stdout


def test_sign_reads_a_file_standard_input_and_records(folder: Path) -> None:
    log = folder / "task.log"
    log.write_bytes(whole_log())
    (from_file,) = rows(folder, "sign", str(log))
    piped = json.loads(run(folder, "sign", "-", "--json", stdin=whole_log()).stdout)
    assert from_file["fingerprint"] == piped["fingerprint"]
    assert "KeyError" in str(from_file["title"])
    records = folder / "logs.jsonl"
    records.write_text(
        "\n".join(
            [
                json.dumps({"id": "a", "log_text": whole_log().decode()}),
                "{not json",
                "[" * 100_000,
                json.dumps({"id": "b"}),
                json.dumps({"id": "c", "log_text": "x"}),
            ]
        )
    )
    done = run(folder, "sign", str(records), "--json")
    assert done.returncode == 1
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["a", "c"]
    assert done.stderr.count(b"was left out") == 3
    assert b"Line 2 " in done.stderr
    assert b"Fingerprint" in run(folder, "sign", str(log), "--explain").stdout


def test_an_empty_store_says_what_to_do_next(tmp_path: Path) -> None:
    assert b"airtriage collect" in run(tmp_path, "problems").stdout
    assert b"airtriage search" in run(tmp_path, "search").stdout
    done = run(tmp_path, "up")
    assert done.returncode == 2
    assert b"AIRTRIAGE_DEPLOYMENTS__PROD__URL" in done.stderr


def test_a_reader_that_hangs_up_is_no_crash(folder: Path) -> None:
    environ = environment(inherit=False) | {"AIRTRIAGE_DATA_DIR": str(folder)}
    command = f"{sys.executable} -m ui.cli search --json | head -n 1"
    done = subprocess.run(["bash", "-c", command], env=environ, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    assert done.stdout.count(b"\n") == 1


def test_a_comparison_needs_the_deployment_in_the_settings(folder: Path) -> None:
    id = str(rows(folder, "problems", "dag:billing")[0]["id"])
    done = run(folder, "problem", id, "--compare")
    assert (done.returncode, done.stdout) == (2, b"")
    (folder / "airtriage.toml").write_text('[deployments.other]\nurl = "http://127.0.0.1:9"\n')
    done = run(folder, "problem", id, "--compare")
    assert done.returncode == 2
    assert done.stderr.startswith(b"prod is not among the deployments of the settings.")
    assert rows(folder, "problem", id)[0]["last_good_run"] is None


def test_a_comparison_that_airflow_does_not_answer_is_said_and_exits_with_1(folder: Path) -> None:
    id = str(rows(folder, "problems", "dag:billing")[0]["id"])
    (folder / "airtriage.toml").write_text('[deployments.prod]\nurl = "http://127.0.0.1:9"\n')
    done = run(folder, "problem", id, "--compare")
    assert done.returncode == 1, done.stderr
    assert b"The last good run could not be read. prod: " in done.stdout
    assert b"connection refused" in done.stdout
    (row,) = rows(folder, "problem", id)
    assert isinstance(row["last_good_run"], dict)
    assert row["last_good_run"]["status"] == "failed"
    assert run(folder, "problem", id).returncode == 0


def test_a_decision_about_several_problems_is_refused_before_any_was_changed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process: a process a command takes a second of CPU, mostly to begin."""
    for name, value in (environment(inherit=False) | {"AIRTRIAGE_DATA_DIR": str(folder)}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)

    def said(*arguments: str, code: int = 0) -> tuple[str, str]:
        try:
            main(list(arguments))
        except SystemExit as exc:
            assert exc.code == code, arguments
        else:
            assert code == 0, arguments
        return capsys.readouterr()

    def states() -> dict[str, str]:
        found = map(json.loads, said("problems", "*", "--json")[0].splitlines())
        return {row["id"]: row["state"] for row in found}

    first, second = states()
    said("resolve", second, second)
    for arguments, why in (
        (("mute", first, second), "resolved"), (("resolve", first, second), "resolved already"), (("resolve", first, "--deploy", ""), "--deploy"),
        (("merge", first, second, "--into", " "), "--into"), (("assign", first, second, "--to", "nobody"), "nobody already"),
        (("mute", first, "--why", "x" * 4001), "--why"), (("mute", first, "--more", "9" * 24), "must be 1 to 9,999,999"),
        (("mute", first, "--more", "0"), "must be 1 to 9,999,999"), (("mute", first, "--for", "0h"), "over before it begins"),
    ):  # fmt: skip
        output, error = said(*arguments, code=2)
        assert (output, error.count("\n"), why in error) == ("", 1, True), (arguments, error)
    assert states() == {first: "NEW", second: "RESOLVED"}
    said("mute", first, "--why", "one\n2026-01-01 eve resolved")
    assert " muted for good: one 2026-01-01 eve resolved" in said("problem", first)[0]
    assert "(command) muted" in said("problem", first)[0]
