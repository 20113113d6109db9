"""The course of `airtriage demo`: a throwaway Airflow, its scenario, airtriage beside it, and the queue they end in.

Owns the order, the progress display and the end: whatever happens, every process that was started is gone and one
folder is left, which is named. airtriage runs here as anywhere: `worker`, `beat` and `web`, told by a settings file.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from collector.tasks import now
from triage import settings as settings_
from triage.errors import ProcessError
from triage.query import EVERYTHING
from triage.queue import QueueRow
from triage.service import Service
from triage.settings import Settings
from triage.settings.sections import Web
from triage.store import open_store
from triage.watched import DeploymentHealth
from ui import format as fmt
from ui.demo.airflow import ThrowawayAirflow, cache_folder, install
from ui.demo.scenario import Scenario
from ui.tables import queue_table
from ui.up import Supervisor, check_port, interrupt_on_sigterm, start_children

_DEPLOYMENT = "demo"
_PATIENCE = 420.0  # seconds for the whole scenario; it takes about 100 on 2 cores
_SETTINGS = """\
# Written by airtriage demo; a real one needs little more.
data_dir = {data_dir}
log_waits = ["1s", "2s", "4s", "8s"]  # the demo is in a hurry

[web]
port = {port}

[deployments.demo]
url = {url}
username = {username}
password = {password}
poll = "3s"
"""


def run(folder: Path | None, port: int | None, *, once: bool, as_json: bool) -> None:
    """Run the demo; with `once`, print the queue when it is whole and return, else stay until Ctrl-C."""
    interrupt_on_sigterm()
    base = folder or cache_folder()
    with ExitStack() as stack:
        bar = stack.enter_context(_display())
        line = bar.add_task("making room", total=None)
        environment = install(base, lambda text: bar.update(line, description=text))
        home = stack.enter_context(_home(base / "demo"))
        try:
            demo = _Demo(bar, line, home, ThrowawayAirflow(environment, home / "airflow"), _port(port))
            rows = demo.run_to_the_end(stack)
            bar.stop()
            _print(rows, as_json=as_json)
            if not once:
                demo.stay()
        finally:
            bar.stop()
            Console(stderr=True).print(
                f"Everything of this demo is in {home}; the next one replaces it.", soft_wrap=True
            )


class _Demo:
    """One demo under way."""

    def __init__(self, bar: Progress, line: TaskID, home: Path, airflow: ThrowawayAirflow, port: int) -> None:
        self._bar = bar
        self._line = line
        self._home = home
        self._airflow = airflow
        self._began = time.monotonic()
        self.settings = _write_settings(home, airflow, port)
        self._supervisor = Supervisor(self._say, settings_.environment(inherit=False))
        self._service: Service | None = None

    def run_to_the_end(self, stack: ExitStack) -> Sequence[QueueRow]:
        """Start everything, let the scenario run to its end, and return the queue once it is whole."""
        self._show("starting Airflow")
        stack.callback(self._airflow.stop)
        self._airflow.start()
        self._show("starting airtriage")
        stack.callback(self._supervisor.stop)
        start_children(self._supervisor, str(self._home / settings_.FILE_NAME), self.settings)
        scenario = Scenario(self._airflow)
        ended: datetime | None = None
        found: Sequence[QueueRow] = ()
        while True:
            if ended is None and scenario.advance():
                ended = now()
            self._supervisor.watch()
            rows = self._queue()
            if rows and not found:
                self._say(
                    f"The first problem after {time.monotonic() - self._began:.0f} s: {fmt.one_line(rows[0].problem.title)}"
                )
                self._say(f"The page: {self.settings.web.url}")
            found = rows
            over, planned = scenario.progress()
            tries = sum(row.total for row in rows)
            self._show(
                f"{over} of {planned} DAG runs are over: {tries} failed tries, {len(rows)} problems", over, planned
            )
            if ended and self._is_whole(ended):
                return self._queue()
            if time.monotonic() - self._began > _PATIENCE:
                raise ProcessError(
                    f"The demo did not end within {_PATIENCE:.0f} s: {over} of {planned} runs are over.",
                    "Is the machine very busy?",
                )
            time.sleep(1)

    def stay(self) -> None:
        """Say where everything is, and keep Airflow and airtriage alive until Ctrl-C."""
        its = self.settings.deployments[_DEPLOYMENT]
        self._say(f"The page: {self.settings.web.url}")
        self._say(f"Airflow: {its.url}, user {its.username}, password {its.password.get_secret_value()}")
        self._say("Ctrl-C ends the demo.")
        while True:
            self._airflow.check()
            self._supervisor.watch()
            time.sleep(1)

    def _queue(self) -> Sequence[QueueRow]:
        if self._service is None:
            self._service = Service(open_store(self.settings.store_url, self.settings.store_access))
        return self._service.queue(now())

    def _is_whole(self, ended: datetime) -> bool:
        """Say whether a pass that began after the last run's end has found nothing left to wait for."""
        assert self._service is not None
        store = self._service.store
        health = store.get(DeploymentHealth, _DEPLOYMENT)
        if (
            health is None
            or health[0].succeeded_at is None
            or (health[0].succeeded_at - ended).total_seconds() < 2 * health[0].poll
        ):
            return False
        return store.backlog(_DEPLOYMENT, now()).waiting == 0 and not store.touched(1) and store.count(EVERYTHING) > 0

    def _show(self, text: str, done: int | None = None, total: int | None = None) -> None:
        self._bar.update(self._line, description=text, completed=done or 0, total=total)

    def _say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, soft_wrap=True)


def _print(rows: Sequence[QueueRow], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            click.echo(json.dumps(fmt.problem_json(row)))
        return
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    out.print(queue_table(rows, now(), width=out.width))
    tries = sum(row.total for row in rows)
    out.print(f"\n{tries} failed tries, {len(rows)} problems.")


def _display() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


@contextmanager
def _home(folder: Path) -> Iterator[Path]:
    """Hold the demo's own folder, emptied; ProcessError where another demo runs in it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise ProcessError(f"Another demo runs in {folder}.", "End it first, or give --folder.") from exc
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield folder
    except OSError as exc:
        raise ProcessError(
            f"The folder {folder} cannot be used: {exc.strerror}.", "Give another one with --folder."
        ) from exc


def _port(given: int | None) -> int:
    """Return the port asked for, or the usual one, or a free one where that is taken."""
    if given is not None:
        check_port("127.0.0.1", given)
        return given
    usual = Web.model_fields["port"].default
    try:
        check_port("127.0.0.1", usual)
        return int(usual)
    except ProcessError:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])


def _write_settings(home: Path, airflow: ThrowawayAirflow, port: int) -> Settings:
    file = home / settings_.FILE_NAME
    file.touch(mode=0o600)
    values = {
        "data_dir": home / "airtriage",
        "url": airflow.url,
        "username": airflow.username,
        "password": airflow.password,
    }
    file.write_text(_SETTINGS.format(port=port, **{name: json.dumps(str(value)) for name, value in values.items()}))
    return settings_.load(str(file), {})
