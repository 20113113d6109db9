"""A throwaway Airflow: five processes on SQLite, gone without a trace when stopped.

Owns the settings that make failures quick, the processes and their end, and the few calls of Airflow's API that a person
at its page would make. Hides ports, passwords and AIRFLOW_HOME's layout. Must not know how airtriage works: what watches
this Airflow reads it like any other.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import psutil

from triage.errors import ProcessError
from ui.demo.install import cache_folder, clean_environment, install, make_folder
from ui.demo.service import DemoServices

__all__ = ["Child", "ThrowawayAirflow", "cache_folder", "install"]

HERE = Path(__file__).parent
MARK = "AIRTRIAGE_THROWAWAY"
# The tasks' own API is a process apart. In one process the two stop each other on SQLite: Airflow logs a person's request
# to its database on the event loop, on which a task's request may hold the write lock: both wait until SQLite gives up,
# and whatever else wants to write fails with them (the triggerer dies of it).
COMPONENTS = {
    "api-server": ["api-server", "--apps", "core"],
    "execution-api": ["api-server", "--apps", "execution"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Child:
    """One process of the throwaway Airflow."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    def last_line(self) -> str:
        """Return the last line it wrote, cut to 200 characters."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip()[:200] if lines else "it wrote nothing"


class ThrowawayAirflow:
    """One Airflow that lives in `home` from `start` to `stop`, or as long as the `with` block.

    `username`/`password` may only read; triggering and marking is done as its administrator.
    """

    username = "airtriage"

    def __init__(
        self,
        environment: Path,
        home: Path,
        port: int | None = None,
        *,
        dags: Path = HERE / "dags",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Decide ports and passwords; nothing starts yet. `settings` are more variables of Airflow's environment."""
        self._dags = dags
        self._more = dict(settings or {})
        self.environment = environment
        self.home = home
        self.port = port or _free_port()
        self._port_was_given = port is not None
        self.url = f"http://127.0.0.1:{self.port}"
        self._execution_port = _free_port()
        self.password = secrets.token_urlsafe(12)
        self._admin_password = secrets.token_urlsafe(12)
        self._mark = secrets.token_hex(16)
        self._children: list[Child] = []
        self._services: DemoServices | None = None
        self._token = ""
        # Proxies of the machine are not for loopback.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def database(self) -> Path:
        """Airflow's own SQLite database, the truth that tests count in."""
        return self.home / "airflow.db"

    def start(self, timeout: float = 90) -> None:
        """Start every process and wait until the API answers and all of them are healthy."""
        self._check_port()
        try:
            self._fill_home()
            self._services = DemoServices()
            self._services.start()
            settings = self._settings() | self._services.environment | self._more
            apart = {"execution-api": {"AIRFLOW__API__PORT": str(self._execution_port)}}
            for name, words in COMPONENTS.items():
                self._children.append(self._start_child(name, words, settings | apart.get(name, {})))
            self._wait_until_healthy(time.monotonic() + timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process it started, tasks and orphans among them, and wait for the end; may be repeated."""
        deadline = time.monotonic() + 15
        while living := self._living():
            for process in living:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            for child in self._children:
                child.process.poll()
            if time.monotonic() > deadline:
                pids = ", ".join(str(process.pid) for process in living)
                raise ProcessError(
                    f"These processes of the throwaway Airflow did not end: {pids}.", "Kill them by hand."
                )
            psutil.wait_procs(living, timeout=0.5)
        for child in self._children:
            child.process.wait()
        if self._services:
            self._services.stop()

    def children(self) -> tuple[Child, ...]:
        """Return Airflow's own processes, to watch."""
        return tuple(self._children)

    def check(self) -> None:
        """Raise ProcessError if one of Airflow's own processes has died."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                raise ProcessError(
                    f"Airflow's {child.name} died with {ended}: {child.last_line()}", f"Its log is {child.log}."
                )

    def trigger(self, dag_id: str, run_id: str) -> bool:
        """Trigger a run, once however often it is asked for; False while Airflow cannot do it yet."""
        body = {"logical_date": None, "dag_run_id": run_id}
        status, answer = self._call("POST", f"/api/v2/dags/{quote(dag_id)}/dagRuns", body)
        if status == 409:
            return True
        return status != 404 and _done(status, answer, f"trigger {dag_id}")

    def runs(self) -> dict[tuple[str, str], str]:
        """Return the state of every run by (dag_id, run_id)."""
        rows = self._pages("/api/v2/dags/~/dagRuns", "dag_runs")
        return {(row["dag_id"], row["dag_run_id"]): row["state"] for row in rows}

    def states(self) -> dict[tuple[str, str, str, int], str | None]:
        """Return the state of every task instance by (dag_id, run_id, task_id, map_index)."""
        rows = self._pages("/api/v2/dags/~/dagRuns/~/taskInstances", "task_instances")
        return {(r["dag_id"], r["dag_run_id"], r["task_id"], r["map_index"]): r["state"] for r in rows}

    def mark_failed(self, dag_id: str, run_id: str, task_id: str) -> bool:
        """Mark a task instance as failed, as a person does on Airflow's page; False while Airflow cannot do it yet."""
        path = f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}/taskInstances/{quote(task_id)}"
        status, answer = self._call("PATCH", f"{path}?update_mask=new_state", {"new_state": "failed"})
        return _done(status, answer, f"mark {dag_id}.{task_id} as failed")

    def clear(self, dag_id: str, run_id: str, task_id: str) -> bool:
        """Clear a failed task and what is behind it, so that it runs again; False while Airflow cannot do it yet."""
        body = {
            "dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False,
            "include_downstream": True, "reset_dag_runs": True,
        }  # fmt: skip
        status, answer = self._call("POST", f"/api/v2/dags/{quote(dag_id)}/clearTaskInstances", body)
        return _done(status, answer, f"clear {dag_id}.{task_id}")

    def _check_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as exc:
                raise ProcessError(f"Port {self.port} is taken.", "Choose another one.") from exc

    def _fill_home(self) -> None:
        make_folder(self.home)
        try:
            shutil.copyfile(self.environment / "template" / "airflow.db", self.database)
            shutil.copytree(self._dags, self.home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
            (self.home / "tmp").mkdir()
            (self.home / "processes").mkdir()
            users = {self.username: self.password, "admin": self._admin_password}
            (self.home / "passwords.json").write_text(json.dumps(users))
        except FileExistsError as exc:
            raise ProcessError(f"The folder {self.home} already holds an Airflow.", "Choose an empty one.") from exc
        except OSError as exc:
            raise ProcessError(
                f"Cannot fill {self.home}: {exc.strerror}.", "Free some space or choose another."
            ) from exc

    def _settings(self) -> dict[str, str]:
        settings = {
            "CORE__DAGS_FOLDER": str(self.home / "dags"),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "6",
            "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self._execution_port}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{self.username}:viewer,admin:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            # Five processes write to one file: a busy machine needs more patience than SQLite's usual 5 s.
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}?timeout=20",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "API__SECRET_KEY": secrets.token_hex(16),
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
            # A worker sees its task's end this late at worst; at the default of 5 s slots stand idle, and a task that
            # pauses comes back before its pause was noticed: Airflow then loses that try ("state mismatch").
            "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # The first request of all imports much: 9 s on a busy machine, where tasks wait 5 s by default.
            "WORKERS__EXECUTION_API_TIMEOUT": "30",
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(_free_port()),
            "LOGGING__WORKER_LOG_SERVER_PORT": str(_free_port()),
        }
        return {f"AIRFLOW__{name}": value for name, value in settings.items()} | {
            "AIRFLOW_HOME": str(self.home),
            "PYTHONPATH": str(self.home / "dags"),
            "TMPDIR": str(self.home / "tmp"),
            MARK: self._mark,
        }

    def _start_child(self, name: str, words: list[str], settings: dict[str, str]) -> Child:
        log = self.home / "processes" / f"{name}.log"
        python = self.environment / "bin" / "python"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(python), "-m", "airflow", *words],
                env=clean_environment() | settings,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Child(name, log, process)

    def _living(self) -> list[psutil.Process]:
        """Find what belongs to this Airflow: by session, as groups change within one, or else by the mark inherited."""
        sessions = {child.process.pid for child in self._children}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                    continue
                if os.getsid(process.pid) in sessions or process.environ().get(MARK) == self._mark:
                    found.append(process)
        return found

    def _wait_until_healthy(self, deadline: float) -> None:
        while True:
            self.check()
            with suppress(ProcessError, OSError):
                socket.create_connection(("127.0.0.1", self._execution_port), timeout=5).close()
                status, body = self._call("GET", "/api/v2/monitor/health")
                parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
                if status == 200 and all(body[part]["status"] == "healthy" for part in parts):
                    return
            if time.monotonic() > deadline:
                logs = self.home / "processes"
                raise ProcessError(
                    "Airflow did not become healthy in time.", f"The logs of its processes are in {logs}."
                )
            time.sleep(0.3)

    def _call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        status, answer = self._request(method, path, body)
        if status == 401:
            login = {"username": "admin", "password": self._admin_password}
            told, token = self._request("POST", "/auth/token", login)
            self._token = str(_expect(told, token, "log in to the throwaway Airflow")["access_token"])
            status, answer = self._request(method, path, body)
        for pause in (0.5, 1, 2, 4):  # 500: its SQLite was locked for too long
            if status != 500 or method == "POST":
                break
            time.sleep(pause)
            status, answer = self._request(method, path, body)
        return status, answer

    def _request(self, method: str, path: str, body: object) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            with self._opener.open(request, timeout=60) as response:
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode(errors="replace")
        except OSError as exc:
            self.check()
            raise ProcessError(f"The throwaway Airflow at {self.url} does not answer: {exc}.", "Try again.") from exc

    def _pages(self, path: str, key: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while True:
            query = urlencode({"limit": 100, "offset": len(rows), "order_by": "id"})
            page = _expect(*self._call("GET", f"{path}?{query}"), "list what ran")
            rows += page[key]
            if not page[key] or len(rows) >= page["total_entries"]:
                return rows


def _done(status: int, body: Any, purpose: str) -> bool:
    """Say whether it was done; a 5xx says "not now": SQLite's one writer let this one wait too long."""
    return status < 500 and _expect(status, body, purpose) is not None


def _expect(status: int, body: Any, purpose: str) -> Any:
    if status >= 400:
        raise ProcessError(f"Airflow would not {purpose}: HTTP {status} {str(body)[:200]}")
    return body
