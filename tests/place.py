"""airtriage in a data folder of its own: commands run to their end, processes ended with the test, the store read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from tests.airflow_fixture import FailedTry
from triage.query import EVERYTHING
from triage.service import Service
from triage.settings import environment
from triage.store import open_store


class Served(Protocol):
    """An Airflow, or what looks like one, and the account that reads it."""

    @property
    def url(self) -> str: ...

    @property
    def username(self) -> str: ...

    @property
    def password(self) -> str: ...


@dataclass(frozen=True)
class Account:
    """A Served of which only this is known; it goes to other processes."""

    url: str
    username: str
    password: str


@dataclass
class Place:
    """A data folder of its own and the environment that points airtriage at it and at the Airflow."""

    folder: Path
    environ: dict[str, str]

    def run(self, *arguments: str, code: int = 0) -> list[dict[str, object]]:
        done = subprocess.run(
            [sys.executable, "-m", "ui.cli", *arguments],
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()] if "--json" in arguments else []

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ui.cli", *arguments],
                env=self.environ,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def service(self) -> Service:
        return Service(open_store(self.environ.get("AIRTRIAGE_STORE") or f"sqlite:///{self.folder / 'airtriage.db'}"))


def place(folder: Path, airflow: Served, **more: str) -> Place:
    """Make the folder and point airtriage at an Airflow called prod."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "DATA_DIR": str(folder), "DEPLOYMENTS__PROD__URL": airflow.url, "DEPLOYMENTS__PROD__USERNAME": airflow.username,
        "DEPLOYMENTS__PROD__PASSWORD": airflow.password, "DEPLOYMENTS__PROD__POLL": "2s", "LOG_WAITS": "1s,1s,1s", **more,
    }  # fmt: skip
    return Place(folder, environment(inherit=False) | {f"AIRTRIAGE_{name}": value for name, value in settings.items()})


def wait_for(claim: Callable[[], bool], seconds: float = 90) -> None:
    """Wait until the claim holds."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def keys(service: Service) -> list[FailedTry]:
    """Return the failed tries that a store holds, sorted."""
    found = service.store.search(EVERYTHING, 10_000)
    return sorted((o.key.dag_id, o.key.run_id, o.key.task_id, o.key.map_index, o.key.try_number) for o in found)


def snapshot(service: Service) -> object:
    """What a user can see of a store, without the times of our own clock."""
    now = datetime.now(UTC)
    rows = [
        (r.problem.id, r.problem.title, r.problem.state, r.total, r.final, r.first_seen, r.last_seen, r.daily, r.tasks)
        for r in service.queue(now)
    ]
    tries = [
        (o.key, o.log, o.fingerprint, o.is_final, o.ended_at, o.started_at, o.operator)
        for o in service.store.search(EVERYTHING, 10_000)
    ]
    return sorted(rows), sorted(tries)
