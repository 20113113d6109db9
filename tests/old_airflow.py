"""Older Airflows that really ran: installed from PyPI, run once a machine with DAGs that fail, kept, and served to tests.

Owns their processes, the run and what a person does in it, and the truth in their database. Hides what differs between
Airflow 2.11 and 3.0. A change of the DAGs, the packages or this file makes a new run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ui.demo.install import alone, clean_environment, install

HERE = Path(__file__).parent / "old"
DAGS = HERE / "failing.py"
ADMIN, READER, PASSWORD = "ann", "svc_triage", "s3cret-pässword"
# The permissions that README.md asks for.
PERMISSIONS = ["DAGs", "DAG Runs", "Task Instances", "Task Logs", "ImportError", "Audit Logs", "Pools"]
LONG_RUN = "long__" + "x" * 244
SLASHED_RUN = "odd/run #1"
STRANGE_DAG = "Straßen-Ölpreise.日本_v2"
RUNS = {
    "many_ways": ["first"],
    "torn_down": ["first"],
    "waiting": ["first"],
    "cleared": ["first"],
    "cleared_and_left": ["first"],
    "cleared_midway": ["first"],
    "marked": ["first"],
    "run_marked": ["first"],
    STRANGE_DAG: [SLASHED_RUN, "manual__2026-11-22T08:00:00+00:00", LONG_RUN],
}


@dataclass(frozen=True)
class Kind:
    """One of these Airflows: what is installed, what runs, and where its API lies."""

    version: str
    constraints: str
    packages: tuple[str, ...]
    api: str
    server: list[str]
    others: tuple[list[str], ...]
    settings: dict[str, str] = field(default_factory=dict)


TWO = Kind(
    "2.11.0",
    "constraints-2.11.txt",
    ("apache-airflow", "apache-airflow-providers-standard"),
    "/api/v1",
    ["webserver"],
    (["scheduler", "--skip-serve-logs"], ["triggerer", "--skip-serve-logs"]),
    {
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "4",
        "API__AUTH_BACKENDS": "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth",
        "WEBSERVER__WORKERS": "1",
        "WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
        "SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "5",
    },
)
THREE = Kind(
    "3.0.6",
    "constraints-3.0.txt",
    ("apache-airflow-core", "apache-airflow-providers-standard"),
    "/api/v2",
    ["api-server"],
    (["scheduler", "--skip-serve-logs"], ["dag-processor"], ["triggerer", "--skip-serve-logs"]),
    {
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "4",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{READER}:viewer",
        "API__HOST": "127.0.0.1",
        "API__WORKERS": "1",
    },
)


class OldAirflow:
    """One such Airflow in a folder of its own, between `start` and `stop`."""

    username, password = READER, PASSWORD

    def __init__(self, kind: Kind, environment: Path, home: Path) -> None:
        self.kind = kind
        self.environment = environment
        self.home = home
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._token = ""

    def truth(self) -> set[tuple[str, str, str, int, int]]:
        """Count the failed tries where Airflow keeps them: (dag_id, run_id, task_id, map_index, try_number)."""
        columns = "select dag_id, run_id, task_id, map_index, try_number from"
        query = (
            f"{columns} task_instance where state in ('failed', 'up_for_retry') and try_number > 0"
            f" union {columns} task_instance_history where state = 'failed' and try_number > 0"
        )
        with sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True) as database:
            return set(database.execute(query))

    def states(self, dag_id: str) -> dict[tuple[str, str, int], str | None]:
        """Return the state of every instance of a DAG by (run_id, task_id, map_index)."""
        query = "select run_id, task_id, map_index, state from task_instance where dag_id = ?"
        with sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=20) as database:
            return {(run, task, index): state for run, task, index, state in database.execute(query, (dag_id,))}

    def start(self, *, server_only: bool) -> None:
        """Start the processes and wait for the API."""
        settings = self._settings()
        for number, words in enumerate([self.kind.server, *([] if server_only else self.kind.others)]):
            with (self.home / f"process-{number}.log").open("ab") as log:
                command = [str(self.environment / "bin" / "python"), "-m", "airflow", *words]
                self._processes.append(
                    subprocess.Popen(command, env=settings, stdout=log, stderr=log, start_new_session=True)
                )
        wait_for(lambda: self._answers(), 120, f"the API of Airflow {self.kind.version}")

    def stop(self) -> None:
        """End every process it started, and what they started."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes:
            process.wait()
        self._processes.clear()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask its API as its administrator; status and JSON."""
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        request.add_header("Authorization", self._credential())
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def run(self, *words: str) -> None:
        """Run a command of its Airflow."""
        command = [str(self.environment / "bin" / "python"), "-m", "airflow", *words]
        subprocess.run(command, env=self._settings(), check=True, capture_output=True)

    def _credential(self) -> str:
        if self.kind is TWO:
            return "Basic " + base64.b64encode(f"{ADMIN}:{PASSWORD}".encode()).decode()
        if not self._token:
            request = urllib.request.Request(f"{self.url}/auth/token", method="POST")
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps({"username": ADMIN, "password": PASSWORD}).encode()
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
                self._token = json.loads(answer.read())["access_token"]
        return f"Bearer {self._token}"

    def _answers(self) -> bool:
        for process in self._processes:
            assert process.poll() is None, f"a process of Airflow {self.kind.version} died: see {self.home}"
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{self.url}{self.kind.api}/version", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _settings(self) -> dict[str, str]:
        secret = hashlib.sha256(str(self.home).encode()).hexdigest()
        settings = {
            "CORE__DAGS_FOLDER": str(self.home / "dags"),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}?timeout=20",
            "WEBSERVER__WEB_SERVER_PORT": str(self.port),
            "WEBSERVER__SECRET_KEY": secret[:32],
            "API__PORT": str(self.port),
            "API__SECRET_KEY": secret[:32],
            "API_AUTH__JWT_SECRET": secret,
            "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
            "SCHEDULER__ALLOWED_RUN_ID_PATTERN": ".*",
            "LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(self.home / "logs" / "processor"),
            **self.kind.settings,
        }
        given = {f"AIRFLOW__{name}": value for name, value in settings.items()}
        # Subprocesses call `airflow` by its name.
        path = f"{self.environment / 'bin'}:{os.environ.get('PATH', '')}"
        # Airflow 2 wants a bigger database for more than one task at a time; a few it stands.
        more = {
            "AIRFLOW_HOME": str(self.home),
            "PATH": path,
            "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
        }
        return clean_environment() | given | more


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.3)


# --- the one run


def _prepare(kind: Kind, environment: Path, home: Path) -> None:
    """Run every DAG to its end, with what a person does in between, and leave the home as it is then."""
    home.mkdir(parents=True)
    shutil.copyfile(environment / "template" / "airflow.db", home / "airflow.db")
    (home / "dags").mkdir()
    shutil.copyfile(DAGS, home / "dags" / "failing.py")
    (home / "passwords.json").write_text(json.dumps({ADMIN: PASSWORD, READER: PASSWORD}))
    airflow = OldAirflow(kind, environment, home)
    if kind is TWO:
        person = ["-e", "a@example.com", "-f", "A", "-l", "B", "-p", PASSWORD]
        airflow.run("users", "create", "-u", ADMIN, "-r", "Admin", *person)
        airflow.run("sync-perm")
        airflow.run("roles", "create", "triage_reader")
        airflow.run("roles", "add-perms", "triage_reader", "-a", "can_read", "-r", *PERMISSIONS)
        person[1] = "b@example.com"
        airflow.run("users", "create", "-u", READER, "-r", "triage_reader", *person)
    try:
        airflow.start(server_only=False)
        _play(airflow)
    finally:
        airflow.stop()


def _play(airflow: OldAirflow) -> None:
    api = airflow.kind.api
    for dag_id, run_ids in RUNS.items():
        for number, run_id in enumerate(run_ids):
            body: dict[str, Any] = {"dag_run_id": run_id, "logical_date": None}
            if airflow.kind is TWO:
                body["logical_date"] = datetime(2026, 1, 1, number, tzinfo=UTC).isoformat()
            path = f"{api}/dags/{quote(dag_id)}/dagRuns"
            wait_for(lambda: airflow.ask("POST", path, body)[0] in (200, 409), 120, f"{dag_id} to be triggered")  # noqa: B023
    wait_for(lambda: _state(airflow, "marked", "endless") == "running", 180, "a task to mark")
    wait_for(lambda: _state(airflow, "marked", "done") == "success", 180, "a task to mark when it is over")
    _mark(airflow, "endless")
    _mark(airflow, "done")
    wait_for(lambda: _state(airflow, "run_marked", "endless") == "running", 180, "a run to mark")
    _done(airflow.ask("PATCH", f"{api}/dags/run_marked/dagRuns/first", {"state": "failed"}))
    # Cleared before the scheduler ends the run, a task would stay cleared in a run that failed.
    wait_for(lambda: _run_state(airflow, "cleared") == "failed", 180, "a run to clear")
    _clear(airflow, "cleared")
    wait_for(lambda: _run_state(airflow, "cleared_and_left") == "failed", 180, "another run to clear")
    wait_for(lambda: _state(airflow, "cleared_midway", "never") == "up_for_reschedule", 180, "a sensor to clear")
    for dag_id in ("cleared_and_left", "cleared_midway"):
        _done(airflow.ask("PATCH", f"{api}/dags/{dag_id}", {"is_paused": True}))
    time.sleep(2)  # some loops of the scheduler, or it runs what is cleared next all the same
    _clear(airflow, "cleared_and_left")
    _clear(airflow, "cleared_midway")
    wait_for(lambda: _state(airflow, "cleared", "again") == "success", 180, "the cleared task to run again")
    wait_for(lambda: _is_over(airflow), 300, "every run to end")


def _state(airflow: OldAirflow, dag_id: str, task_id: str) -> str | None:
    return airflow.states(dag_id).get(("first", task_id, -1))


def _run_state(airflow: OldAirflow, dag_id: str) -> object:
    status, run = airflow.ask("GET", f"{airflow.kind.api}/dags/{dag_id}/dagRuns/first")
    return run["state"] if status == 200 else None


def _mark(airflow: OldAirflow, task_id: str) -> None:
    path = f"{airflow.kind.api}/dags/marked/dagRuns/first/taskInstances/{task_id}"
    body: dict[str, Any] = {"new_state": "failed"} | ({"dry_run": False} if airflow.kind is TWO else {})
    _done(airflow.ask("PATCH", path, body))


def _clear(airflow: OldAirflow, dag_id: str) -> None:
    body = {"dry_run": False, "dag_run_id": "first", "only_failed": False, "reset_dag_runs": True}
    _done(airflow.ask("POST", f"{airflow.kind.api}/dags/{dag_id}/clearTaskInstances", body))


def _done(answer: tuple[int, Any]) -> None:
    assert answer[0] in (200, 204), answer


def _is_over(airflow: OldAirflow) -> bool:
    rested = {"success", "failed", "upstream_failed", "skipped", "removed"}
    also = {"waiting": {"up_for_retry"}, "cleared_and_left": {None, "scheduled"}, "cleared_midway": {None, "scheduled"}}
    return all(
        state in rested | also.get(dag_id, set()) for dag_id in RUNS for state in airflow.states(dag_id).values()
    )


@contextmanager
def served(kind: Kind, cache: Path, home: Path) -> Iterator[OldAirflow]:
    """Serve that Airflow, after its run, from a copy in `home` while the block runs; installs and runs it where missing."""
    packages = [f"{kind.packages[0]}=={kind.version}", *kind.packages[1:]]
    constraints = HERE / kind.constraints
    environment = install(cache, lambda text: print(text, file=sys.stderr), constraints, packages)
    parts = [constraints, DAGS, Path(__file__)]
    digest = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:12]
    ran = cache / f"ran-{kind.version}-{digest}"
    with alone(cache / f"ran-{kind.version}.lock"):
        if not ran.exists():
            making = cache / f"making-{kind.version}-{secrets.token_hex(4)}"
            _prepare(kind, environment, making)
            making.rename(ran)
    # Airflow writes absolute paths into the settings file that it makes.
    shutil.copytree(ran, home, ignore=shutil.ignore_patterns("airflow.cfg", "*.pid", "process-*.log"))
    airflow = OldAirflow(kind, environment, home)
    try:
        airflow.start(server_only=True)
        yield airflow
    finally:
        airflow.stop()
