"""Failures that left no log, provoked on a real Airflow: what its events and its answers really say, and what we make of it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from collector.airflow import Access, Airflow
from collector.collect import Pass
from triage.model import Absence, LogStatus, Occurrence
from triage.query import EVERYTHING
from triage.service import Service
from triage.store import open_store
from ui.demo.airflow import ThrowawayAirflow, cache_folder, install
from ui.demo.install import clean_environment
from ui.format import reason

# On the worker of the throwaway Airflow that other tests use, so that never two of them run at once.
pytestmark = [pytest.mark.airflow, pytest.mark.xdist_group("airflow")]

# Each DAG fails in one way that its log does not, or not alone, explain. Killed, zombie and marked ones are in the demo.
DAGS = {
    "gone": """
        @task
        def vanish():
            Path(__file__).unlink()

        @task
        def after():
            pass

        vanish() >> after()
    """,
    "broken": """
        @task
        def spoil():
            Path(__file__).write_text("import a_module_of_the_scheduler_alone")

        @task
        def after():
            pass

        spoil() >> after()
    """,
    "hasty": """
        @task
        def rests():
            Path("rests").touch()
            time.sleep(60)

        @task
        def fails():
            while not Path("rests").exists():
                time.sleep(0.1)
            time.sleep(1)
            raise ValueError("first of the run")

        rests(), fails()
    """,
    "cleared": """
        @task
        def rests(ti=None):
            time.sleep(60 if ti.try_number == 1 else 0)

        rests()
    """,
    "stuck": 'EmptyOperator(task_id="waits", executor="StuckExecutor", on_success_callback=print)',
    "refused": 'EmptyOperator(task_id="waits", executor="StuckExecutor", queue="refuse", on_success_callback=print)',
}
HEAD = """
import time
from pathlib import Path
from airflow.sdk import DAG, task
from airflow.providers.standard.operators.empty import EmptyOperator
"""
CODE = {
    # Starts nothing: Airflow gives up on what it holds, or it says itself that it cannot.
    "stuck_executor": """
        from airflow.executors.base_executor import BaseExecutor

        class StuckExecutor(BaseExecutor):
            supports_callbacks = True

            def queue_workload(self, workload, session):
                if workload.ti.queue == "refuse":
                    words = "WorkerLostError('Worker exited prematurely: signal 9 (SIGKILL) Job: 7.')"
                    self.fail(workload.ti.key, info=words)
                else:
                    self.running.add(workload.ti.key)

            def revoke_task(self, *, ti):
                self.running.discard(ti.key)
    """,
    # A storage of logs at a port where nothing listens.
    "no_storage": """
        import socket
        from airflow.config_templates.airflow_local_settings import DEFAULT_LOGGING_CONFIG as LOGGING_CONFIG

        class Remote:
            def read(self, relative_path, ti):
                socket.create_connection(("127.0.0.1", 9))

        REMOTE_TASK_LOG = Remote()
        DEFAULT_REMOTE_CONN_ID = None
    """,
    "own_host": """
        def name():
            return "localhost"
    """,
}


class Provoked(ThrowawayAirflow):
    """A throwaway Airflow with the DAGs above in place of the demo's."""

    def __init__(self, environment: Path, home: Path) -> None:
        super().__init__(environment, home)
        self.settings: dict[str, str] = {}

    def _fill_home(self) -> None:
        super()._fill_home()
        shutil.rmtree(self.home / "dags")
        (self.home / "dags").mkdir()
        (self.home / "code").mkdir()
        for name, body in CODE.items():
            (self.home / "code" / f"{name}.py").write_text(textwrap.dedent(body))
        for name, body in DAGS.items():
            option = ", fail_fast=True" if name == "hasty" else ""
            lines = textwrap.indent(textwrap.dedent(body), "    ")
            (self.home / "dags" / f"{name}.py").write_text(
                f"{HEAD}\nwith DAG({name!r}, schedule=None{option}):\n{lines}\n"
            )

    def _settings(self) -> dict[str, str]:
        self.settings = self.settings or super()._settings() | {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor,stuck_executor.StuckExecutor",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "own_host.name",
            "AIRFLOW__WORKERS__MISSING_DAG_RETRIES": "0",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "10",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "0",
            "PYTHONPATH": str(self.home / "code"),
        }
        return self.settings

    def clear(self, dag_id: str, task_id: str) -> None:
        body = {"dry_run": False, "dag_run_id": "r", "task_ids": [task_id], "only_failed": False}
        status, answer = self._call("POST", f"/api/v2/dags/{quote(dag_id)}/clearTaskInstances", body)
        assert status == 200, answer

    def restart_api(self, **settings: str) -> None:
        """End everything, and go on with an api-server of other settings alone."""
        for process in self._living():
            process.kill()
        for child in self._children:
            child.process.wait()
        words = ["api-server", "--apps", "core"]
        self._children = [self._start_child("api-server-again", words, self._settings() | settings)]
        wait_for(lambda: self._is_up())

    def _is_up(self) -> bool:
        try:
            return self._request("GET", "/api/v2/version", None)[0] == 200
        except Exception:
            return False

    @contextmanager
    def log_server(self, **settings: str) -> Iterator[None]:
        """Serve the worker's logs while the block runs, as every worker of Airflow does."""
        python = self.environment / "bin" / "python"
        code = "from airflow.utils.serve_logs import serve_logs; serve_logs()"
        environ = clean_environment() | self._settings() | settings
        with (self.home / "processes" / "log-server.log").open("ab") as out:
            server = subprocess.Popen([python, "-c", code], env=environ, stdout=out, stderr=out, start_new_session=True)
        try:
            wait_for(lambda: is_open(int(environ["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"])))
            yield
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(claim: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.3)


def collect(airflow: Provoked) -> dict[str, Occurrence]:
    """Read every failed try into a store of its own, as if two minutes after its failure; by "dag.task try"."""
    service = Service(open_store("sqlite://"))
    source = Airflow("prod", Access(airflow.url, airflow.username, airflow.password))
    day, second = timedelta(days=1), timedelta(seconds=1)
    for ahead in (timedelta(), timedelta(minutes=3)):
        Pass(service, source, "prod", airflow.url, day, second, (), lambda: datetime.now(UTC) + ahead).run()  # noqa: B023
    found = [service.store.occurrence(one.key.id) for one in service.store.search(EVERYTHING, 100)]
    return {f"{one.key.task} {one.key.try_number}": one for one in found if one is not None}


def told(one: Occurrence) -> tuple[str, str]:
    assert one.signature is not None
    return one.signature.cause, one.signature.title


@pytest.fixture(scope="module")
def provoked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provoked]:
    """An Airflow on which each DAG ran once and failed in its way."""
    with Provoked(install(cache_folder(), print), tmp_path_factory.mktemp("reasons") / "home") as airflow:
        waiting = list(DAGS)

        def trigger() -> bool:
            waiting[:] = [dag_id for dag_id in waiting if not airflow.trigger(dag_id, "r")]
            return not waiting

        wait_for(trigger)
        wait_for(lambda: airflow.states().get(("cleared", "r", "rests", -1)) == "running")
        airflow.clear("cleared", "rests")
        wait_for(lambda: set(airflow.runs().values()) <= {"success", "failed"}, 120)
        yield airflow


def test_a_real_airflow_loses_tries_in_many_ways_and_each_is_named(provoked: Provoked) -> None:
    tries = collect(provoked)
    assert {name: told(one) for name, one in tries.items() if name != "hasty.fails 1"} == {
        "gone.after 1": ("DAG missing", "DAG not found on the worker"),
        "broken.after 1": (
            "DAG import",
            "DAG does not import on the worker: ModuleNotFoundError: No module named 'a_module_of_the_scheduler_alone'",
        ),
        "hasty.rests 1": ("stopped by fail_fast", "Stopped by fail_fast"),
        "cleared.rests 1": ("killed from outside", "Stopped by Airflow: cleared or deleted while it ran"),
        "stuck.waits 1": ("queued too long", "Queued too long"),
        "refused.waits 1": (
            "killed from outside",
            "The executor gave up: WorkerLostError('Worker exited prematurely: signal 9 (SIGKILL) Job: 7.')",
        ),
    }
    assert told(tries["hasty.fails 1"])[1].startswith("ValueError: first of the run")
    assert "Task was requeued more than 0 times and will be failed." in reason(tries["stuck.waits 1"])
    assert "no worker took the try" in reason(tries["stuck.waits 1"])
    assert "it failed before or while it started" in reason(tries["refused.waits 1"])


def test_logs_that_are_away_say_why_and_whose_fault_it_is(provoked: Provoked) -> None:
    name = "hasty.fails 1"
    shutil.rmtree(provoked.home / "logs")
    dead = collect(provoked)[name]
    assert (dead.absence, told(dead)) == (Absence.WORKER, ("log worker gone", "Log worker gone"))
    with provoked.log_server():
        gone = collect(provoked)[name]
    assert (gone.absence, told(gone)) == (Absence.ROTATED, ("log rotated away", "Log rotated away"))
    assert gone.signature is not None
    assert [line.text[:27] for line in gone.signature.evidence] == ["Log file not found on worke"]
    with provoked.log_server(AIRFLOW__API__SECRET_KEY="another"):
        assert told(collect(provoked)[name])[0] == "log server refuses"
    provoked.restart_api(AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS="no_storage.LOGGING_CONFIG")
    away = collect(provoked)[name]
    assert (away.absence, away.log, told(away)[0]) == (Absence.STORAGE, LogStatus.MISSING, "log storage away")
    assert away.next_fetch_at is not None, "it may come back"
