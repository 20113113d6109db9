"""The throwaway Airflow's processes: how they start, fail to start, and end. Stand-ins play Airflow; all else is real."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.airflow_fixture import FinishedAirflow
from triage.errors import ProcessError
from ui.demo import install as install_
from ui.demo.airflow import COMPONENTS, MARK, ThrowawayAirflow, install
from ui.demo.expected import CAUSES, IMPORT_FAILURES, disagreements

# A component that has a child in its own session and a grandchild whose parent is gone, as Airflow's Bash tasks do.
BUSY = "setsid sleep 300 & (setsid sleep 300 &) ; exec sleep 300"


def _environment(folder: Path, script: str) -> Path:
    """Return an installed environment whose Python is a shell script."""
    (folder / "bin").mkdir(parents=True)
    (folder / "template").mkdir()
    (folder / "template" / "airflow.db").touch()
    python = folder / "bin" / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return folder


def _left_behind(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AIRFLOW_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _eventually(claim: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_start_when_a_component_dies_names_its_log_and_last_line(tmp_path: Path):
    airflow = ThrowawayAirflow(_environment(tmp_path / "env", "echo it hurts; exit 7"), tmp_path / "home")
    with pytest.raises(ProcessError, match=r"Airflow's \S+ died with exit code 7: it hurts") as died:
        airflow.start()
    assert str(tmp_path / "home" / "processes") in died.value.fix
    assert _left_behind(tmp_path / "home") == []


def test_start_when_airflow_stays_unhealthy_gives_up_and_ends_every_process(tmp_path: Path):
    airflow = ThrowawayAirflow(_environment(tmp_path / "env", BUSY), tmp_path / "home")
    with pytest.raises(ProcessError, match="did not become healthy"):
        airflow.start(timeout=1)
    assert _left_behind(tmp_path / "home") == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_stop_ends_orphans_of_killed_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    home = tmp_path / "home"
    monkeypatch.setattr(ThrowawayAirflow, "_wait_until_healthy", lambda self, deadline: None)
    airflow = ThrowawayAirflow(_environment(tmp_path / "env", BUSY), home)
    airflow.start()
    assert _eventually(lambda: len(_left_behind(home)) == 3 * len(COMPONENTS))
    for child in airflow.children():
        os.kill(child.process.pid, number)
        child.process.wait()
    assert len(_left_behind(home)) == 2 * len(COMPONENTS)
    airflow.stop()
    assert _left_behind(home) == []
    airflow.stop()


def test_stop_spares_what_it_did_not_start(tmp_path: Path):
    with subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: "of another one"}) as bystander:
        ThrowawayAirflow(tmp_path, tmp_path / "home").stop()
        assert bystander.poll() is None
        bystander.kill()


def test_start_when_the_port_is_taken_says_so(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ProcessError, match=f"Port {port} is taken"):
            ThrowawayAirflow(_environment(tmp_path / "env", "exit 0"), tmp_path / "home", port).start()


def test_start_when_the_folder_holds_an_airflow_says_so(tmp_path: Path):
    (tmp_path / "home" / "dags").mkdir(parents=True)
    with pytest.raises(ProcessError, match="already holds an Airflow"):
        ThrowawayAirflow(_environment(tmp_path / "env", "exit 0"), tmp_path / "home").start()


def test_install_when_the_folder_cannot_be_made_says_so(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ProcessError, match="Cannot write to the folder"):
        install(tmp_path / "file" / "cache", print)


def test_install_when_it_was_interrupted_begins_again_and_then_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[Path] = []

    def packages(environment: Path, constraints: Path, packages: tuple[str, ...]) -> None:
        assert (constraints, packages) == (install_.CONSTRAINTS, install_.PACKAGES)
        assert not environment.exists()
        environment.mkdir()
        made.append(environment)
        if len(made) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(install_, "_install_packages", packages)
    monkeypatch.setattr(install_, "_make_database", lambda environment: None)
    with pytest.raises(KeyboardInterrupt):
        install(tmp_path, print)
    assert install(tmp_path, print) == install(tmp_path, print) == made[1]
    assert len(made) == 2


def test_install_without_network_is_one_sentence_that_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(install_, "_pip_settings", dict)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ProcessError, match="Could not install Apache Airflow") as failed:
        install(tmp_path, print)
    assert "network" in failed.value.fix
    assert "\n" not in str(failed.value)


def test_pip_settings_are_told_to_uv_unless_uv_has_its_own(monkeypatch: pytest.MonkeyPatch):
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example.com/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://a.example.com https://b.example.com")
    assert install_._pip_settings()["UV_DEFAULT_INDEX"] == "https://mirror.example.com/simple"
    assert install_._pip_settings()["UV_INDEX"] == "https://a.example.com https://b.example.com"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://own.example.com")
    assert "UV_DEFAULT_INDEX" not in install_._pip_settings()


def test_what_failed_in_a_real_airflow_is_what_the_table_expects(airflow: FinishedAirflow):
    by_hand = []
    for dag_id, _, task_id, map_index, _ in airflow.truth():
        causes = [cause.name for cause in CAUSES if cause.matches(dag_id, task_id, map_index)]
        by_hand.append((dag_id, task_id, map_index, *(causes or ["unexpected"])))
    assert disagreements(by_hand) == []


def test_a_real_airflow_says_what_no_log_tells(airflow: FinishedAirflow):
    with closing(sqlite3.connect(f"file:{airflow.airflow.database}?mode=ro", uri=True)) as database:
        assert {Path(name).name for (name,) in database.execute("SELECT filename FROM import_error")} == {
            *IMPORT_FAILURES
        }
        events = set(database.execute("SELECT dag_id, event FROM log"))
    assert events >= {
        ("video_transcode", "heartbeat timeout"),
        ("search_index", "patch_task_instance"),
        ("payments_settlement", "patch_task_instance"),
    }
