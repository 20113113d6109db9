"""How one task fared in Airflow 2.10 and 2.11: successes by the event log, later tries by the list of its instances.

Its list knows no order, so that the newest success is found among the events, which do. Answers the same questions as
`fared`, in the same nouns.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from collector.airflow import rows
from collector.airflow.fared import Fared
from collector.airflow.rows import Row
from collector.airflow.words import EVENT_LOG, Endpoint
from triage.model import TaskTry
from triage.outcomes import Retried, Successes
from triage.records import Good

EVENTS = Endpoint("eventLogs", permission=EVENT_LOG, path="/api/v1/eventLogs")
INSTANCES = Endpoint(
    "taskInstances", permission="Task Instances", path="/api/v1/dags/~/dagRuns/~/taskInstances/list", is_posted=True
)
_MOST = 300  # instances of a task; Airflow 2 does not cap what is asked for by a body
_PAGE = 100
_INSTANT = timedelta(microseconds=1)  # Airflow's `after` and `before` leave out the moment itself


class Fared210(Fared):
    """Tells how single tasks of one deployment of Airflow 2 fared."""

    def successes(self, dag_id: str, task_id: str, since: datetime) -> Successes:
        """Count the tries of a task that succeeded from `since` on (the server's clock), by the end of the newest."""
        body = self._succeeded(dag_id, task_id, 1, after=since - _INSTANT)
        found = rows.items(body.get("event_logs"))
        count = rows.number(body.get("total_entries"))
        newest = rows.time(found[0].get("when")) if found else None
        return Successes(len(found) if count is None else count, newest)

    def retried(self, dag_id: str, task_id: str, since: datetime) -> Retried:
        """Return how a task's instances stand that started a second or later try from `since` on, of 300 instances.

        They come in no order: of more than these, what is missing cannot be told.
        """
        where = {"dag_ids": [dag_id], "task_ids": [task_id], "start_date_gte": since.isoformat()}
        body = self._session.json(INSTANCES, page_limit=_MOST, **where) or {}
        found = rows.items(body.get("task_instances"))
        is_cut = (rows.number(body.get("total_entries")) or 0) > len(found)
        standings = filter(None, map(rows.standing, found))
        return Retried(tuple(it for it in standings if it.try_number > 1), self._session.now if is_cut else None)

    def last_good(self, key: TaskTry, before: datetime) -> Good | None:
        """Return the newest success of the same task that ended by `before`, with the same map index where there is one.

        None where there is none. Airflow 2 takes the map index 0 for none, so that events are looked at again. They tell
        of no version.
        """
        end = before + _INSTANT
        if key.map_index >= 0:
            events = self._succeeded(key.dag_id, key.task_id, _PAGE, before=end, map_index=key.map_index)
            own = (row for row in rows.items(events.get("event_logs")) if row.get("map_index") == key.map_index)
            if found := next(own, None):
                return rows.succeeded(key.deployment, found)
        newest = next(iter(rows.items(self._succeeded(key.dag_id, key.task_id, 1, before=end).get("event_logs"))), None)
        return rows.succeeded(key.deployment, newest) if newest else None

    def _succeeded(self, dag_id: str, task_id: str, limit: int, **filters: Any) -> Row:
        asked = {"dag_id": dag_id, "task_id": task_id, "event": "success", "order_by": "-event_log_id", "limit": limit}
        return self._session.json(EVENTS, **asked, **filters) or {}
