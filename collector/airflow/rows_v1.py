"""What only Airflow 2 writes into its event log: how people mark tasks as failed there. Pure, and it trusts nothing.

Owns the names of its events and where each keeps run, task and map index. Everything else has the same fields as in 3.x
and is read by `rows`.
"""

from __future__ import annotations

import json
from typing import Any

from collector.airflow import rows
from collector.airflow.rows import Clearing, Marking, Row, text, time

# The page's own, and the API's, which are called by who asked: the page or a program.
_BY_PAGE = {"failed": "task", "dagrun_failed": "run"}
_BY_API = {
    "patch_task_instance": "task",
    "patch_mapped_task_instance": "task",
    "post_set_task_instances_state": "task",
    "update_dag_run_state": "run",
}
_KINDS = _BY_PAGE | {f"{who}.{name}": kind for who in ("ui", "api") for name, kind in _BY_API.items()}
MARKINGS = tuple(_KINDS)
_PAGE_CLEARINGS = ("clear", "dagrun_clear")
CLEARINGS = (*_PAGE_CLEARINGS, *(f"{who}.{name}" for who in ("ui", "api") for name in rows.CLEARINGS))


def marking(event: Row) -> Marking | None:
    """Return what somebody marked as failed in this event, or None.

    Beside the event's own columns, `extra` holds the request: from the page a form, from the API a body, in which
    `dry_run` is true where it is missing (`schemas/task_instance_schema.py` of 2.11).
    """
    name, at = text(event.get("event")), time(event.get("when"))
    try:
        extra = json.loads(event.get("extra") or "")
    except (TypeError, ValueError, RecursionError):
        return None
    if name not in _KINDS or not isinstance(extra, dict) or at is None or not _is_done(name, extra):
        return None
    dag = text(event.get("dag_id"))
    run = text(event.get("run_id")) or text(extra.get("dag_run_id"))
    task = text(event.get("task_id")) or text(extra.get("task_id"))
    if not dag or not run or (_KINDS[name] == "task" and not task and not extra.get("group_id")):
        return None
    return Marking(dag, run, task, rows.map_index(extra.get("map_index")), text(event.get("owner")), at)


def clearing(event: Row) -> Clearing | None:
    """Return what somebody cleared in this event, or None; the page asks what it would do before it is confirmed."""
    if event.get("event") not in _PAGE_CLEARINGS:
        return rows.clearing(event)
    extra = str(event.get("extra"))
    is_confirmed = '"confirmed": "true"' in extra
    return rows.clearing({**event, "extra": json.dumps({"dry_run": not is_confirmed})})


def _is_done(name: str, extra: dict[str, Any]) -> bool:
    """Tell a marking as failed from a question what it would do, and from another state."""
    if name == "failed":
        return True
    if name == "dagrun_failed":
        return extra.get("confirmed") == "true"
    if name.endswith("update_dag_run_state"):
        return extra.get("state") == "failed"
    return extra.get("new_state") == "failed" and extra.get("dry_run") is False
