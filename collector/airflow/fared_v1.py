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
from triage.model import Good, TaskTry
from triage.outcomes import Retried, Successes

EVENTS = Endpoint("eventLogs", permission=EVENT_LOG, path="/api/v1/eventLogs")
INSTANCES = Endpoint(
    "taskInstances", permission="Task Instances", path="/api/v1/dags/~/dagRuns/~/taskInstances/list", is_posted=True
)
_MOST = 1000  # instances of a task; Airflow 2 does not cap what is asked for by a body


class Fared210(Fared):
    """Tells how single tasks of one deployment of Airflow 2 fared."""

    def successes(self, dag_id: str, task_id: str, since: datetime) -> Successes:
        """Count the tries of a task that succeeded after `since` (the server's clock), by the end of the newest."""
        body = self._succeeded(dag_id, task_id, after=since)
        found = rows.items(body.get("event_logs"))
        count = rows.number(body.get("total_entries"))
        newest = rows.time(found[0].get("when")) if found else None
        return Successes(len(found) if count is None else count, newest)

    def retried(self, dag_id: str, task_id: str, since: datetime) -> Retried:
        """Return how a task's instances stand that started a second or later try from `since` on, of 1000 instances."""
        where = {"dag_ids": [dag_id], "task_ids": [task_id], "start_date_gte": since.isoformat()}
        body = self._session.json(INSTANCES, page_limit=_MOST, **where) or {}
        standings = filter(None, map(rows.standing, rows.items(body.get("task_instances"))))
        return Retried(tuple(it for it in standings if it.try_number > 1), None)

    def last_good(self, key: TaskTry, before: datetime) -> Good | None:
        """Return the newest success of the same task that ended by `before`, of any map index; None where there is none."""
        end = before + timedelta(microseconds=1)
        for event in rows.items(self._succeeded(key.dag_id, key.task_id, before=end).get("event_logs")):
            of, ended_at = rows.key(key.deployment, event), rows.time(event.get("when"))
            if of and ended_at:
                return Good(of, ended_at)
        return None

    def _succeeded(self, dag_id: str, task_id: str, **window: Any) -> Row:
        asked = {"dag_id": dag_id, "task_id": task_id, "event": "success", "order_by": "-event_log_id", "limit": 1}
        return self._session.json(EVENTS, **asked, **window) or {}
