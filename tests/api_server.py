"""A real api-server of a test's own, on a copy of an Airflow that already ran: to restart, and to set up as one likes.

Owns the copy and the process. The scheduler and the rest are not started: nothing runs here, all of it can be read.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.airflow_fixture import FinishedAirflow
from tests.processes import free_port
from ui.demo.install import clean_environment


class ApiServer:
    """An Airflow that answers as long as the `with` block lasts; `settings` are `SECTION__NAME` without their prefix."""

    def __init__(self, finished: FinishedAirflow, environment: Path, home: Path, **settings: str) -> None:
        self.environment = environment
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        home.mkdir()
        with (
            closing(sqlite3.connect(f"file:{finished.airflow.database}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(home / "airflow.db")) as copy,
        ):
            source.backup(copy)
        shutil.copytree(finished.home / "logs", home / "logs")
        shutil.copytree(finished.home / "dags", home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(finished.home / "passwords.json", home / "passwords.json")
        self.settings = {
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_FOLDER": str(home / "dags"),
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{finished.username}:viewer",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=20",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__WORKERS": "1",
            "API__SECRET_KEY": secrets.token_hex(16),
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        } | settings

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which commands of this Airflow run."""
        own = {f"AIRFLOW__{name}": value for name, value in self.settings.items()}
        path = {"PATH": f"{self.environment / 'bin'}:/usr/local/bin:/usr/bin:/bin"}
        return clean_environment() | own | path | {"AIRFLOW_HOME": str(self.home)}

    def run(self, script: str) -> str:
        """Run shell commands of this Airflow, such as `airflow roles list`, and return what they print."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], env=self.variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, **settings: str) -> None:
        """Start the server, with some settings changed, and wait until it answers."""
        self.settings |= settings
        with (self.home / "api-server.log").open("ab") as out:
            self._process = subprocess.Popen(
                [self.environment / "bin" / "airflow", "api-server"],
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        deadline = time.monotonic() + 90
        while True:
            assert self._process.poll() is None, (self.home / "api-server.log").read_text()[-2000:]
            try:
                self.ask("/api/v2/version")
                return
            except OSError as exc:
                if isinstance(exc, urllib.error.HTTPError):
                    return  # it answers, below a path prefix
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def stop(self) -> None:
        """End the server."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def ask(self, path: str, body: object = None) -> Any:
        """Return the JSON answered."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            return json.loads(response.read())
