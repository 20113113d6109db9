"""The questions we ask of Airflow 2.10 and 2.11 (`/api/v1`), answered in our nouns.

Owns their addresses and in what they differ from `v2`, which it shares the rest with: one event `failed` for each failed
try, whether it was retried or not; lists without a cursor or an order; logs as plain text. `rows_v1` reads what only these
versions write.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from collector.airflow import rows, rows_v1
from collector.airflow.fared_v1 import EVENTS, Fared210
from collector.airflow.pages import pages
from collector.airflow.rows import Clearing, Marking, Row
from collector.airflow.v2 import Airflow32
from collector.airflow.words import Endpoint
from triage.model import Occurrence, TaskTry

_API = "/api/v1"
_RUN = f"{_API}/dags/{{dag_id}}/dagRuns/{{dag_run_id}}"
_TASK = f"{_RUN}/taskInstances/{{task_id}}"
_MAPPED = f"{_TASK}/{{map_index}}"

VERSION = Endpoint("version", path=f"{_API}/version", is_open=True)
HEALTH = Endpoint("health", path=f"{_API}/health", is_open=True)
INSTANCES = Endpoint("taskInstances", permission="Task Instances", path=f"{_RUN}/taskInstances")
INSTANCE = Endpoint("taskInstances", permission="Task Instances", path=_TASK)
MAPPED = Endpoint("taskInstances", permission="Task Instances", path=_MAPPED)
TRIES = Endpoint("tries", permission="Task Instances", path=f"{_TASK}/tries")
MAPPED_TRIES = Endpoint("tries", permission="Task Instances", path=f"{_MAPPED}/tries")
LOG = Endpoint("logs", permission="Task Logs", path=f"{_TASK}/logs/{{task_try_number}}")
TASKS = Endpoint("tasks", permission="Task Instances", path=f"{_API}/dags/{{dag_id}}/tasks")
DAG = Endpoint("dags", permission="DAGs", path=f"{_API}/dags/{{dag_id}}")
IMPORTS = Endpoint("importErrors", permission="ImportError", path=f"{_API}/importErrors")
POOLS = Endpoint("pools", permission="Pools", path=f"{_API}/pools")


class Airflow210(Airflow32):
    """Reads Airflow 2.10 and 2.11 by their event log and task instances, usable from several threads."""

    how = "by the event log and task instances of its API of Airflow 2"
    markings = rows_v1.MARKINGS
    clearings = rows_v1.CLEARINGS
    failed_is_final = None  # it is written for a try that will be retried too
    _health, _imports, _pools, _tasks, _of_dag = HEALTH, IMPORTS, POOLS, TASKS, DAG

    def describe(self, occurrence: Occurrence) -> Occurrence:
        """Fill what is still empty of the try: start, operator, host, pool, queue, owner, tags, file, is_final.

        The instance itself says whether its present try was the final one: of those before it, only the number of tries
        tells. One to three questions; `ended_at` is never touched.
        """
        key = occurrence.key
        if occurrence.started_at is None or not occurrence.operator or occurrence.is_final is None:
            row: Row = self._session.json(MAPPED if key.map_index >= 0 else INSTANCE, **_where(key)) or {}
            occurrence = replace(occurrence, map_label=rows.text(row.get("rendered_map_index")) or occurrence.map_label)
            stands = {"failed": True, "up_for_retry": False}.get(rows.text(row.get("state")))
            if row.get("try_number") != key.try_number or stands is None:
                row = self._history(key)
            elif occurrence.is_final is None:
                occurrence = replace(occurrence, is_final=stands)
            occurrence = rows.described(occurrence, row)
        if not occurrence.owner or not occurrence.tags or not occurrence.file:
            occurrence = rows.owned(occurrence, self._dags(key.dag_id))
        return occurrence

    def read_log(self, key: TaskTry) -> Iterator[bytes]:
        """Yield the try's log as text in chunks of at most 64 KiB, the name of the host that served it in its first line.

        Raises as `Airflow32.read_log` does, but Airflow 2 answers a log that says it is absent where it knows no such try.
        """
        mapped: dict[str, Any] = {"map_index": key.map_index} if key.map_index >= 0 else {}
        where = _where(replace(key, map_index=-1))
        return self._session.stream(
            LOG, kind="text/plain", **where, **mapped, task_try_number=key.try_number, full_content=True
        )

    def bundle(self, dag_id: str, run_id: str) -> str:
        """Return nothing: Airflow 2 has no bundles."""
        return ""

    def fared(self) -> Fared210:
        """Return who tells how single tasks fared."""
        return Fared210(self._session, self._dags, self.bundle)

    def _history(self, key: TaskTry) -> Row:
        """Return the failed try of which the instance no longer tells: it runs again, or was cleared and will."""
        body = self._session.json(MAPPED_TRIES if key.map_index >= 0 else TRIES, **_where(key)) or {}
        found = rows.items(body.get("task_instances"))
        return next(
            (row for row in found if (row.get("try_number"), row.get("state")) == (key.try_number, "failed")), {}
        )

    def _marking(self, event: Row) -> Marking | None:
        return rows_v1.marking(event)

    def _clearing(self, event: Row) -> Clearing | None:
        return rows_v1.clearing(event)

    def _tries(self, instance: Row, at_least: int = 2) -> list[Row]:
        key = rows.key(self._deployment, instance)
        if key is None or key.try_number < at_least:
            return [instance]
        body = self._session.json(MAPPED_TRIES if key.map_index >= 0 else TRIES, **_where(key))
        return rows.items((body or {}).get("task_instances")) or [instance]

    def _events(self, **arguments: Any) -> Iterator[list[Row]]:
        arguments["included_events"] = ",".join(arguments["included_events"])
        return pages(self._session, EVENTS, "event_logs", order_by="event_log_id", **arguments)

    def _instances(self, dag_id: str, run_id: str, **arguments: Any) -> Iterator[list[Row]]:
        arguments.pop("task_id", None)  # Airflow 2 refuses a filter that it does not know
        return pages(self._session, INSTANCES, "task_instances", dag_id=dag_id, dag_run_id=run_id, **arguments)


def _where(key: TaskTry) -> dict[str, Any]:
    mapped = {"map_index": key.map_index} if key.map_index >= 0 else {}
    return {"dag_id": key.dag_id, "dag_run_id": key.run_id, "task_id": key.task_id, **mapped}
