"""A real throwaway Airflow for tests, on which every demo DAG has run to its end; shared by a whole session.

Owns the fixture `airflow` and the truth about what failed there, counted by SQL in Airflow's own database. Under
pytest-xdist every test that asks for it lands in one group, hence (with `--dist loadgroup`) on one worker: one Airflow.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ui.demo.airflow import ThrowawayAirflow, cache_folder, install
from ui.demo.scenario import run_everything

# dag_id, run_id, task_id, map_index, try_number
FailedTry = tuple[str, str, str, int, int]

# A failed try stands in up to three places. A task instance holds its newest try, the history the tries before it. A try
# that Airflow lost (it ended between two looks of the scheduler: "state mismatch") stands in neither, only in the event
# log. A failure marked by hand is in the task instance alone. A task whose upstream failed never ran: when it is cleared,
# Airflow 3.3 files its try 0 as failed in the history.
FAILED_TRIES = """
    SELECT dag_id, run_id, task_id, map_index, try_number FROM task_instance WHERE state IN ('failed', 'up_for_retry')
    UNION
    SELECT dag_id, run_id, task_id, map_index, try_number FROM task_instance_history
    WHERE state = 'failed' AND try_number > 0
    UNION
    SELECT dag_id, run_id, task_id, coalesce(map_index, -1), try_number FROM log
    WHERE event IN ('failed', 'up_for_retry') AND try_number > 0
"""
# The ways to fail that are told apart here; each must be among the failed tries.
_SAME_TASK = "log.dag_id = t.dag_id AND log.run_id = t.run_id AND log.task_id = t.task_id"
_SAME_TRY = f"{_SAME_TASK} AND log.map_index = t.map_index AND log.try_number = t.try_number"
KINDS = {
    "final": "t.state = 'failed'",
    "retried": f"EXISTS (SELECT 1 FROM log WHERE log.event = 'up_for_retry' AND {_SAME_TRY})",
    "cleared": "(t.dag_id, t.run_id) IN (SELECT dag_id, run_id FROM log WHERE event = 'post_clear_task_instances') "
    "AND t.try_number = 1",
    "mapped": "t.map_index >= 0",
    "deferred": f"EXISTS (SELECT 1 FROM log WHERE log.event = 'deferred' AND {_SAME_TRY})",
    "rescheduled": f"EXISTS (SELECT 1 FROM log WHERE log.event = 'up_for_reschedule' AND {_SAME_TRY})",
    "marked by hand": f"EXISTS (SELECT 1 FROM log WHERE log.event = 'patch_task_instance' AND {_SAME_TASK})",
    "heartbeat lost": f"EXISTS (SELECT 1 FROM log WHERE log.event = 'heartbeat timeout' AND {_SAME_TRY})",
    "in a run that succeeded": "EXISTS (SELECT 1 FROM dag_run AS run WHERE run.dag_id = t.dag_id "
    "AND run.run_id = t.run_id AND run.state = 'success') AND t.state = 'failed'",
}
_TRIES = """
    SELECT dag_id, run_id, task_id, map_index, try_number, state FROM task_instance
    UNION SELECT dag_id, run_id, task_id, map_index, try_number, state FROM task_instance_history
"""


class Database:
    """What failed, as Airflow's own database knows it now."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as database:
            return database.execute(sql).fetchall()

    def truth(self) -> set[FailedTry]:
        """Return every failed try, retried ones among them."""
        return set(self.ask(FAILED_TRIES))

    def kinds(self) -> dict[str, set[FailedTry]]:
        """Return the failed tries by the way they failed."""
        ask = f"SELECT dag_id, run_id, task_id, map_index, try_number FROM ({_TRIES}) AS t WHERE t.state = 'failed' AND t.try_number > 0 AND "
        return {kind: set(self.ask(ask + where)) for kind, where in KINDS.items()}

    def halted(self) -> dict[FailedTry, tuple[str, ...]]:
        """Return the tasks that did not run because of a failed try: behind it in its DAG, with only such between."""
        after: dict[str, dict[str, list[str]]] = {}
        for dag_id, data in self.ask("SELECT dag_id, data FROM serialized_dag ORDER BY last_updated"):
            tasks = [task["__var"] for task in json.loads(data)["dag"]["tasks"]]
            after[dag_id] = {task["task_id"]: task.get("downstream_task_ids", []) for task in tasks}
        waiting: dict[tuple[str, str], set[str]] = {}
        for dag_id, run_id, task_id in self.ask(
            "SELECT dag_id, run_id, task_id FROM task_instance WHERE state = 'upstream_failed'"
        ):
            waiting.setdefault((dag_id, run_id), set()).add(task_id)
        found = {}
        for key in self.ask(
            "SELECT dag_id, run_id, task_id, map_index, try_number FROM task_instance WHERE state = 'failed'"
        ):
            dag_id, run_id, task_id, *_ = key
            reached: set[str] = set()
            edge = [task_id]
            while edge:
                edge = [
                    t
                    for near in edge
                    for t in after[dag_id][near]
                    if t in waiting.get((dag_id, run_id), ()) and t not in reached
                ]
                reached.update(edge)
            if reached:
                found[key] = tuple(sorted(reached))
        return found  # type: ignore[return-value]


class FinishedAirflow(Database):
    """An Airflow whose demo DAGs are all over, still answering, and what failed in it."""

    def __init__(self, airflow: ThrowawayAirflow) -> None:
        super().__init__(airflow.database)
        self.airflow = airflow
        self.url = airflow.url
        self.username = airflow.username
        self.password = airflow.password

    @property
    def home(self) -> Path:
        return self.airflow.home


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedAirflow]:
    """Install Airflow where that was not done yet, run the demo's DAGs to their end, and keep it answering."""
    environment = install(cache_folder(), print)
    with ThrowawayAirflow(environment, tmp_path_factory.mktemp("airflow") / "home") as throwaway:
        run_everything(throwaway, lambda progress: None)
        yield FinishedAirflow(throwaway)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whoever asks for the fixture, so that they can be chosen and share one worker."""
    for item in items:
        if "airflow" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.airflow)
            item.add_marker(pytest.mark.xdist_group("airflow"))
