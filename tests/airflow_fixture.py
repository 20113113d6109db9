"""A real throwaway Airflow for tests, on which every demo DAG has run to its end; shared by a whole session.

Owns the fixture `airflow` and the truth about what failed there, counted by SQL in Airflow's own database. Under
pytest-xdist every test that asks for it lands in one group, hence (with `--dist loadgroup`) on one worker: one Airflow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ui.demo.airflow import ThrowawayAirflow, cache_folder, install
from ui.demo.scenario import run_everything

# dag_id, run_id, task_id, map_index, try_number
FailedTry = tuple[str, str, str, int, int]

# A failed try stands in up to three places. A task instance holds its newest try, the history the tries before it. A try
# that Airflow lost (it ended between two looks of the scheduler: "state mismatch") stands in neither, only in the event
# log. A failure marked by hand is in the task instance alone; a task whose upstream failed never ran and is not counted.
FAILED_TRIES = """
    SELECT dag_id, run_id, task_id, map_index, try_number FROM task_instance WHERE state IN ('failed', 'up_for_retry')
    UNION
    SELECT dag_id, run_id, task_id, map_index, try_number FROM task_instance_history WHERE state = 'failed'
    UNION
    SELECT dag_id, run_id, task_id, coalesce(map_index, -1), try_number FROM log
    WHERE event IN ('failed', 'up_for_retry') AND try_number > 0
"""


class FinishedAirflow:
    """An Airflow whose demo DAGs are all over, still answering, and what failed in it."""

    def __init__(self, airflow: ThrowawayAirflow) -> None:
        self.airflow = airflow
        self.url = airflow.url
        self.username = airflow.username
        self.password = airflow.password

    @property
    def home(self) -> Path:
        return self.airflow.home

    def truth(self) -> set[FailedTry]:
        """Return every failed try, retried ones among them, as Airflow's own database knows them now."""
        with closing(sqlite3.connect(f"file:{self.airflow.database}?mode=ro", uri=True)) as database:
            return set(database.execute(FAILED_TRIES))


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
