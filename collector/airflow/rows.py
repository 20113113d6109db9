"""Rows of Airflow's API (3.x JSON) into our nouns. Pure, and it trusts nothing: a wrong field becomes an empty one.

Owns the names of Airflow's fields. A row without a whole key is None, for the caller to count. Times become aware UTC;
NUL and lone surrogates, which stores refuse, are dropped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from triage.model import Circumstance, CircumstanceKind, Occurrence, TaskTry
from triage.outcomes import Schedule, Standing
from triage.records import Good
from triage.redact import PLAIN, redact
from triage.watched import Component, ImportFailure, PoolLoad

Row = Mapping[str, Any]

# What the scheduler writes of a try that it ends itself, in words that are the same from 2.10 to 3.3 (scheduler_job_runner);
# since 3.0 "fail task" (models/taskinstance), for a try that ran when another one of its run failed under `fail_fast`.
STATED = {
    "heartbeat timeout": CircumstanceKind.HEARTBEAT_LOST,
    "state mismatch": CircumstanceKind.STATE_MISMATCH,
    "stuck in queued tries exceeded": CircumstanceKind.QUEUED_TOO_LONG,
    "fail task": CircumstanceKind.FAIL_FAST,
}
ENDED = ("failed", "up_for_retry")
MARKINGS = ("patch_task_instance", "patch_task_group_instances", "patch_dag_run")
CLEARINGS = ("post_clear_task_instances", "clear_dag_run")
# Characters of one field: what Airflow's database bounds is bounded there at 2,000, and by what it does not bound nobody
# is to be hurt. A DAG file's trace is longer, and its end counts.
_LONGEST, _LONGEST_TRACE = 10_000, 32_000
_LONGEST_INDEX = 10  # digits of an integer in Airflow's database


def text(value: object) -> str:
    """Return a string as stores can keep it, of a very long one its beginning; empty for what is not a string."""
    if not isinstance(value, str):
        return ""
    return value[:_LONGEST].replace("\0", "").encode("utf-8", "ignore").decode()


def number(value: object) -> int | None:
    """Return an integer as stores can keep it (of 64 bits), or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else None


def time(value: object) -> datetime | None:
    """Return an ISO time as aware UTC (one without a zone is taken as UTC), or None.

    One before 1970 or after 2999 is no time of a try, and a window around it would fall off the calendar.
    """
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if 1970 <= at.year < 3000 else None


def map_index(value: object) -> int | None:
    """Return the map index that a request held, as text or as a number; None where it named none."""
    told = str(value) if isinstance(value, str | int) else ""
    return int(told) if told.isdecimal() and len(told) <= _LONGEST_INDEX else None


def texts(value: object) -> tuple[str, ...]:
    """Return the strings of a list, or nothing."""
    return tuple(filter(None, map(text, value))) if isinstance(value, list) else ()


def items(value: object) -> list[Row]:
    """Return the objects of a list, or nothing."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def key(deployment: str, row: Row) -> TaskTry | None:
    """Return the try that an event row or a task instance row is about, or None if it does not say."""
    dag, task = text(row.get("dag_id")), text(row.get("task_id"))
    run = text(row.get("run_id") or row.get("dag_run_id"))
    attempt, index = number(row.get("try_number")), number(row.get("map_index"))
    if not dag or not task or not run or attempt is None or max(len(dag), len(task), len(run)) == _LONGEST:
        return None
    return TaskTry(deployment, dag, run, task, -1 if index is None else index, attempt)


def circumstance(event: Row) -> Circumstance | None:
    """Return what the scheduler states of a try in this event, or None."""
    kind = STATED.get(text(event.get("event")))
    return Circumstance(kind, redact(text(event.get("extra"))), at=time(event.get("when"))) if kind else None


@dataclass(frozen=True, slots=True)
class Marking:
    """Somebody marked tasks of a run as failed; an empty `task_id` or a `map_index` of None means all of them."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None
    by: str
    at: datetime

    def covers(self, instance: Row) -> bool:
        """Tell whether this may have marked that task instance, or that try of one."""
        started = time(instance.get("start_date"))
        return (
            self.task_id in ("", instance.get("task_id"))
            and self.map_index in (None, instance.get("map_index"))
            and (started is None or started <= self.at)
        )

    @property
    def circumstance(self) -> Circumstance:
        """What Airflow says of the tries that were marked."""
        said = f"marked failed by {self.by or 'someone'}"
        return Circumstance(CircumstanceKind.MARKED, said, self.by or None, self.at)


def marking(event: Row) -> Marking | None:
    """Return what somebody marked as failed in this event, or None.

    Its row carries neither map index nor try; `extra` holds the request, the map index as text among it.
    """
    try:
        extra = json.loads(event.get("extra") or "")
    except (TypeError, ValueError, RecursionError):
        return None
    name, at = event.get("event"), time(event.get("when"))
    dag, run, task = (text(event.get(part)) for part in ("dag_id", "run_id", "task_id"))
    if name not in MARKINGS or not isinstance(extra, dict) or not dag or not run or at is None:
        return None
    if extra.get("state" if name == "patch_dag_run" else "new_state") != "failed":
        return None
    if name == "patch_task_instance" and not task:
        return None
    return Marking(dag, run, task, map_index(extra.get("map_index")), text(event.get("owner")), at)


@dataclass(frozen=True, slots=True)
class Clearing:
    """Somebody cleared tasks of a run, or of every run where `run_id` is empty."""

    dag_id: str
    run_id: str
    at: datetime


def clearing(event: Row) -> Clearing | None:
    """Return what somebody cleared in this event, or None; a question what it would do is none (`dry_run`)."""
    try:
        extra = json.loads(event.get("extra") or "")
    except (TypeError, ValueError, RecursionError):
        return None
    dag, at = text(event.get("dag_id")), time(event.get("when"))
    if not isinstance(extra, dict) or extra.get("dry_run") is not False or not dag or at is None:
        return None
    return Clearing(dag, text(event.get("run_id")) or text(extra.get("dag_run_id")), at)


def described(occurrence: Occurrence, instance: Row) -> Occurrence:
    """Fill what is still empty from a task instance row or one of its tries; its `ended_at` stays.

    A try that the scheduler ended is final unless a retry was left to it (Airflow's own rule, `is_eligible_to_retry`).
    """
    number_, bundle, url = ran(instance)
    facts: dict[str, Any] = {
        "started_at": time(instance.get("start_date")),
        "operator": text(instance.get("operator")) or text(instance.get("operator_name")),
        "queue": text(instance.get("queue")),
        "pool": text(instance.get("pool")),
        "host": text(instance.get("hostname")),
        "map_label": redact(text(instance.get("rendered_map_index"))),
        "dag_version": number_,
        "bundle_version": bundle,
        "bundle_url": url,
    }
    changes = {name: value for name, value in facts.items() if value and not getattr(occurrence, name)}
    retries = number(instance.get("max_tries"))
    if occurrence.is_final is None and retries is not None:
        changes["is_final"] = occurrence.key.try_number > retries
    return replace(occurrence, **changes) if changes else occurrence


def ran(instance: Row) -> tuple[int | None, str, str]:
    """Return what a task instance ran: the number of its DAG version, the bundle's version and address, where known."""
    version = instance.get("dag_version")
    version = version if isinstance(version, dict) else {}
    bundle = text(version.get("bundle_version")), redact(text(version.get("bundle_url")))
    return number(version.get("version_number")), *bundle


def owned(occurrence: Occurrence, dag: Row) -> Occurrence:
    """Fill owner, tags and file, where still empty, from a DAG's row."""
    owner = ", ".join(texts(dag.get("owners")))
    tags = texts([tag.get("name") for tag in items(dag.get("tags"))])
    file = occurrence.file or text(dag.get("fileloc"))
    return replace(occurrence, owner=occurrence.owner or owner, tags=occurrence.tags or tags, file=file)


def standing(instance: Row) -> Standing | None:
    """Return how a task instance stands now, or None for a row without a whole key."""
    of = key("", instance)
    return Standing(of.run_id, of.map_index, text(instance.get("state")), of.try_number) if of else None


def good(deployment: str, instance: Row) -> Good | None:
    """Return a task instance that succeeded, and what it ran with; None for a row without a whole key or an end."""
    of, ended_at = key(deployment, instance), time(instance.get("end_date"))
    if of is None or ended_at is None:
        return None
    return Good(of, ended_at, *ran(instance))


def succeeded(deployment: str, event: Row) -> Good | None:
    """Return a try that succeeded by its event, which tells of no version; None for a row without a whole key or a time."""
    of, at = key(deployment, event), time(event.get("when"))
    return Good(of, at) if of and at else None


def schedule(dag: Row) -> Schedule:
    """Return whether a DAG runs by itself, from its row; an empty row is a DAG that Airflow does not know."""
    is_gone = not dag or dag.get("is_stale") is True or dag.get("is_active") is False
    due = dag.get("next_dagrun_run_after") or dag.get("next_dagrun_create_after")  # the latter in Airflow 2
    return Schedule(dag.get("is_paused") is True, is_gone, time(due))


def component(name: str, part: Row) -> Component:
    """Return one of Airflow's own parts; a status of null means that it never ran."""
    beat = next((value for field, value in part.items() if field.endswith("_heartbeat")), None)
    return Component(name, text(part.get("status")) or "never ran", time(beat))


def import_failure(row: Row) -> ImportFailure:
    """Return a DAG file that does not import, its trace redacted, and of a very long one the two ends."""
    trace = row.get("stack_trace")
    ends = PLAIN.trimmed(trace, _LONGEST_TRACE // 4, _LONGEST_TRACE) if isinstance(trace, str) else ""
    return ImportFailure(
        file=text(row.get("filename")),
        bundle=text(row.get("bundle_name")),
        trace=redact(text(ends)),
        at=time(row.get("timestamp")),
    )


def pool_load(row: Row) -> PoolLoad:
    """Return a pool's slots, and how many tasks wait for one."""
    slots = {name: number(row.get(name)) or 0 for name in ("slots", "running_slots", "queued_slots", "scheduled_slots")}
    return PoolLoad(
        name=text(row.get("name")),
        slots=slots["slots"],
        running=slots["running_slots"],
        queued=slots["queued_slots"],
        scheduled=slots["scheduled_slots"],
    )
