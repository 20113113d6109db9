"""How one task fared, by the list of its task instances in all runs (`/api/v2`): successes, retries, the last good run.

The list and not the event log: it is one indexed look for Airflow (12 ms against 8 on 3.3.2), every account that we can
use may read it, and it outlives the log's clean-up. Hides which filters a server knows: 3.0 ignores those
by try and map index, so rows are looked at again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from collector.airflow import rows
from collector.airflow.rows import Row
from collector.airflow.session import Session
from collector.airflow.words import Endpoint
from triage.model import TaskTry
from triage.outcomes import Retried, Schedule, Successes
from triage.records import Good

INSTANCES = Endpoint("taskInstances", "TaskInstanceApi", "get_task_instances", "Task Instances")
_PAGE = 100  # Airflow's own default of [api] maximum_page_limit: asking for more gives no more
_TRIES = list(range(2, 30))  # the later tries of a task instance that are asked for by number


class Fared:
    """Tells how single tasks of one deployment fared; `dags` returns a DAG's row, as of some minutes ago, `bundle` that of a run.

    Every verb may be repeated, and raises SourceError, or its child SourceForbidden for a missing permission.
    """

    def __init__(self, session: Session, dags: Callable[[str], Row], bundle: Callable[[str, str], str]) -> None:
        self._session = session
        self._dags = dags
        self._bundle = bundle

    def successes(self, dag_id: str, task_id: str, since: datetime) -> Successes:
        """Count the task instances of a task that succeeded in a try started from `since` on (the server's clock)."""
        body = self._newest(dag_id, task_id, 1, state=["success"], start_date_gte=since)
        found = rows.items(body.get("task_instances"))
        count = rows.number(body.get("total_entries"))
        if not found:
            return Successes(count or 0)
        newest = found[0]
        number, pointed, _ = rows.ran(newest)
        bundle = self._bundle(dag_id, rows.text(newest.get("dag_run_id"))) if pointed else ""
        count = len(found) if count is None else count
        return Successes(count, rows.time(newest.get("start_date")), number, bundle or pointed)

    def retried(self, dag_id: str, task_id: str, since: datetime) -> Retried:
        """Return how a task's instances stand that started a second or later try from `since` on, the newest 100."""
        body = self._newest(dag_id, task_id, _PAGE, try_number=_TRIES, start_date_gte=since)
        found = rows.items(body.get("task_instances"))
        total = rows.number(body.get("total_entries")) or 0
        reach = rows.time(found[-1].get("start_date")) if found and total > len(found) else None
        standings = filter(None, map(rows.standing, found))
        return Retried(tuple(it for it in standings if it.try_number > 1), reach)

    def schedule(self, dag_id: str) -> Schedule:
        """Return whether a DAG runs by itself."""
        return rows.schedule(self._dags(dag_id))

    def last_good(self, key: TaskTry, before: datetime) -> Good | None:
        """Return the newest success of the same task that ended by `before`, with the same map index where there is one.

        None where there is none. Where a mapped task never succeeded under that index, any other of its indexes serves.
        """
        wanted: dict[str, Any] = {"state": ["success"], "end_date_lte": before}
        if key.map_index >= 0:
            body = self._newest(key.dag_id, key.task_id, _PAGE, map_index=[key.map_index], **wanted)
            own = (row for row in rows.items(body.get("task_instances")) if row.get("map_index") == key.map_index)
            if found := next(own, None):
                return rows.good(key.deployment, found)
        body = self._newest(key.dag_id, key.task_id, 1, **wanted)
        newest = next(iter(rows.items(body.get("task_instances"))), None)
        return rows.good(key.deployment, newest) if newest else None

    def _newest(self, dag_id: str, task_id: str, limit: int, **arguments: Any) -> Row:
        """Ask for a task's newest instances over all runs; nothing where Airflow does not know the DAG."""
        where: dict[str, Any] = {"dag_id": dag_id, "dag_run_id": "~", "task_id": task_id, "order_by": ["-start_date"]}
        return self._session.json(INSTANCES, limit=limit, **where, **arguments) or {}
