"""The questions we ask of Airflow 3.2 and newer (`/api/v2`), answered in our nouns.

Owns what a failed try is and where Airflow tells of it: the event log (each try, as it ends) and the task instance list
(what stands now: reconciliation). Hides paging, mapped tasks, tries behind later ones, markings by hand. Keeps nothing:
overlap and cursors are the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from collector.airflow import rows
from collector.airflow.fared import INSTANCES, Fared
from collector.airflow.memory import Memory, Seen
from collector.airflow.pages import pages
from collector.airflow.rows import Clearing, Marking, Row
from collector.airflow.session import Session
from collector.airflow.words import EVENT_LOG, Endpoint
from triage.errors import SourceForbidden
from triage.model import Circumstance, Occurrence, TaskTry
from triage.watched import Component, ImportFailure, PoolLoad

VERSION = Endpoint("version", "VersionApi", "get_version", is_open=True)
HEALTH = Endpoint("monitor/health", "MonitorApi", "get_health", is_open=True)
EVENTS = Endpoint("eventLogs", "EventLogApi", "get_event_logs", EVENT_LOG)
MAPPED = Endpoint("taskInstances", "TaskInstanceApi", "get_mapped_task_instance", "Task Instances")
TRIES = Endpoint("tries", "TaskInstanceApi", "get_task_instance_tries", "Task Instances")
MAPPED_TRIES = Endpoint("tries", "TaskInstanceApi", "get_mapped_task_instance_tries", "Task Instances")
TRY = Endpoint("tries", "TaskInstanceApi", "get_task_instance_try_details", "Task Instances")
MAPPED_TRY = Endpoint("tries", "TaskInstanceApi", "get_mapped_task_instance_try_details", "Task Instances")
LOG = Endpoint("logs", "TaskInstanceApi", "get_log", "Task Logs")
TASKS = Endpoint("tasks", "TaskApi", "get_tasks", "Task Instances")
DAG = Endpoint("dags", "DAGApi", "get_dag", "DAGs")
RUN = Endpoint("dagRuns", "DagRunApi", "get_dag_run", "DAG Runs")
IMPORTS = Endpoint("importErrors", "ImportErrorApi", "get_import_errors", "ImportError")
POOLS = Endpoint("pools", "PoolApi", "get_pools", "Pools")

_CLEARED_WITHIN = timedelta(minutes=1)  # more than there is between the event of a clearing and its effect
_ENDED_WELL = ("success", "skipped")
_REMEMBERED = 20_000  # what was looked behind; a hash of each is about 200 bytes
# A run keeps its bundle until somebody clears it onto the latest one. A burst of failures is of few runs.
_RUN_STANDS, _RUNS = 60.0, 1000
_HALTED_WITHIN = timedelta(minutes=10)  # the scheduler marks what is behind a failure some loops after it


class Airflow32:
    """Reads Airflow 3.2 and newer by its event log and its task instances, usable from several threads.

    Every verb may be repeated, and raises SourceError, or its child SourceForbidden for a missing permission.
    """

    how = "by its event log and task instances"
    markings: tuple[str, ...] = rows.MARKINGS
    clearings: tuple[str, ...] = rows.CLEARINGS
    failed_is_final: bool | None = True  # what an event `failed` of its own says
    _health, _imports, _pools, _tasks, _of_dag = HEALTH, IMPORTS, POOLS, TASKS, DAG

    def __init__(self, session: Session) -> None:
        self._session = session
        self._deployment = session.deployment
        self._dags = Memory(self._dag)
        self._graphs = Memory(self._graph)
        self._runs = Memory(self._run, seconds=_RUN_STANDS, most=_RUNS)
        self._looked_behind = Seen(_REMEMBERED)

    def events(self, since: datetime, seen_at: datetime, until: datetime | None = None) -> Iterator[list[Occurrence]]:
        """Yield, page by page and oldest first, the failed tries that the event log tells of after `since`, to `until`.

        Both are on the server's clock; an `until` of None is up to now. Events may commit a little late: ask again from
        some minutes before the server's time when the last complete listing began. A try may come again on a later page with equal or better
        facts. Complete but for tries that one request marked as failed together with another task.
        """
        stated: dict[TaskTry, Circumstance] = {}
        names = [*rows.ENDED, *rows.STATED, *self.markings, *self.clearings]
        # Airflow's `before` leaves out the moment itself, and it keeps microseconds.
        end = {"before": until + timedelta(microseconds=1)} if until else {}
        for events in self._events(included_events=names, after=since, **end):
            found: dict[TaskTry, Occurrence] = {}
            for event in events:
                key = rows.key(self._deployment, event)
                if key is None and event.get("event") in self.markings:
                    for occurrence in self._marked(event, seen_at):
                        found.setdefault(occurrence.key, occurrence)
                    continue
                if event.get("event") in self.clearings:
                    for occurrence in self._cleared(event, seen_at):
                        found.setdefault(occurrence.key, occurrence)
                    continue
                if key is None:
                    self._session.oddities.note(EVENTS, event)
                    continue
                if (circumstance := rows.circumstance(event)) is not None:
                    stated.setdefault(key, circumstance)
                found[key] = self._ended(key, event, stated.get(key), found.get(key), seen_at)
            yield list(found.values())
            # Only now: whoever asks on has kept them. One just written may be ahead of what it is about.
            self._looked_behind.update(self._settled(events))

    def listed(self, since: datetime, seen_at: datetime, until: datetime | None = None) -> Iterator[list[Occurrence]]:
        """Yield, page by page and in no useful order, what stands as failed or up for retry and changed in the window.

        From `since` to `until`, both inclusive and on the server's clock; an `until` of None is up to now. Lacks tries
        that were retried or cleared meanwhile, which only `events` knows. A final failure carries the tasks that
        Airflow did not run because of it.
        """
        end = {"updated_at_lte": until} if until else {}
        later = {"updated_at_lte": until + _HALTED_WITHIN} if until else {}
        halted: dict[tuple[str, str], set[str]] = {}
        for instances in self._instances("~", "~", state=["upstream_failed"], updated_at_gte=since, **later):
            for instance in instances:
                run = (rows.text(instance.get("dag_id")), rows.text(instance.get("dag_run_id")))
                halted.setdefault(run, set()).add(rows.text(instance.get("task_id")))
        for instances in self._instances("~", "~", state=["failed", "up_for_retry"], updated_at_gte=since, **end):
            found = []
            for instance in instances:
                key = rows.key(self._deployment, instance)
                if key is None:
                    self._session.oddities.note(INSTANCES, instance)
                    continue
                found.append(self._standing(key, instance, halted, seen_at))
            yield found

    def describe(self, occurrence: Occurrence) -> Occurrence:
        """Fill what is still empty of the try: start, operator, host, pool, queue, versions, owner, tags, file, is_final.

        One to three questions, fewer where the listing told it already. A try that Airflow lost stays as it is.
        `ended_at` is never touched: the event's time is the server's, a task instance's is the worker's clock.
        """
        key = occurrence.key
        where = {"dag_id": key.dag_id, "dag_run_id": key.run_id, "task_id": key.task_id}
        mapped = {"map_index": key.map_index} if key.map_index >= 0 else {}
        if occurrence.started_at is None or not occurrence.operator or occurrence.is_final is None:
            attempt = self._session.json(
                MAPPED_TRY if mapped else TRY, **where, **mapped, task_try_number=key.try_number
            )
            occurrence = rows.described(occurrence, attempt or {})
        if mapped and not occurrence.map_label:
            instance = self._session.json(MAPPED, **where, **mapped) or {}
            occurrence = replace(occurrence, map_label=rows.text(instance.get("rendered_map_index")))
        if not occurrence.owner or not occurrence.tags or not occurrence.file:
            occurrence = rows.owned(occurrence, self._dags(key.dag_id))
        return occurrence

    def read_log(self, key: TaskTry) -> Iterator[bytes]:
        """Yield the try's log as NDJSON, in chunks of at most 64 KiB; split it at line feeds only, never at other breaks.

        Raises LogGone where Airflow knows no such try, and SourceError for trouble, then or in the middle: ask again
        later. A log may be whole, still growing, or only say that the log is absent: the reader's to judge. Holds one
        of the server's few connections until read to the end or closed; no more than 4 at once for a deployment.
        """
        mapped: dict[str, Any] = {"map_index": key.map_index} if key.map_index >= 0 else {}
        return self._session.stream(
            LOG, dag_id=key.dag_id, dag_run_id=key.run_id, task_id=key.task_id, try_number=key.try_number, **mapped
        )

    def bundle(self, dag_id: str, run_id: str) -> str:
        """Return the version of the bundle that a run's tasks are loaded from, as of a minute ago at most.

        Empty for a bundle without versions. The DAG version of a task instance names another one as a rule: Airflow 3.0
        leaves it at the first bundle of that number, and 3.3 moves it along, some while after the runs.
        """
        return rows.text(self._runs((dag_id, run_id)).get("bundle_version"))

    def fared(self) -> Fared:
        """Return what tells how single tasks fared."""
        return Fared(self._session, self._dags, self.bundle)

    def health(self) -> list[Component]:
        """Return Airflow's own components. Needs no account."""
        parts = (self._session.json(self._health) or {}).items()
        return [rows.component(name, part) for name, part in parts if isinstance(part, dict)]

    def import_failures(self) -> list[ImportFailure]:
        """Return the DAG files that do not import, traces redacted."""
        return [
            rows.import_failure(row) for page in pages(self._session, self._imports, "import_errors") for row in page
        ]

    def pools(self) -> list[PoolLoad]:
        """Return the pools with their load."""
        return [rows.pool_load(row) for page in pages(self._session, self._pools, "pools") for row in page]

    def _ended(
        self, key: TaskTry, event: Row, stated: Circumstance | None, earlier: Occurrence | None, seen_at: datetime
    ) -> Occurrence:
        """Join an event to what earlier ones on this page said of the same try; its first event dates it.

        The scheduler writes `failed` also for a try that it will start again, so beside its statement that is no word
        on being final: `describe` or the list has it.
        """
        is_final = {"up_for_retry": False, "failed": None if stated else self.failed_is_final}.get(event["event"])
        if earlier is None:
            when = rows.time(event.get("when"))
            ended_at = when or self._session.now
            owner = rows.text(event.get("owner"))
            return Occurrence(
                key,
                ended_at,
                seen_at,
                is_final=is_final,
                circumstance=stated,
                owner=owner,
                is_event_time=when is not None,
            )
        if earlier.is_final is False:
            is_final = False
        elif is_final is None and not stated:
            is_final = earlier.is_final
        owner = earlier.owner or rows.text(event.get("owner"))
        return replace(earlier, is_final=is_final, circumstance=stated or earlier.circumstance, owner=owner)

    def _standing(
        self, key: TaskTry, instance: Row, halted: dict[tuple[str, str], set[str]], seen_at: datetime
    ) -> Occurrence:
        is_final = instance.get("state") == "failed"
        # A worker's clock may be ahead; one marked before it started has no time at all.
        server = self._session.now
        ended_at = min(rows.time(instance.get("end_date")) or server, server)
        occurrence = Occurrence(key, ended_at, seen_at, is_final=is_final)
        waiting = halted.get((key.dag_id, key.run_id)) if is_final else None
        if waiting:
            occurrence = replace(occurrence, upstream_failed=self._halted_by(key, waiting))
        return rows.described(occurrence, instance)

    def _halted_by(self, key: TaskTry, waiting: set[str]) -> tuple[str, ...]:
        """Return the tasks, of those waiting in the run, that lie behind this one with only such between."""
        try:
            graph = self._graphs(key.dag_id)
        except SourceForbidden:
            return ()
        reached: set[str] = set()
        edge = [key.task_id]
        while edge:
            following = {task for near in edge for task in graph.get(near, ())} & waiting
            edge = list(following - reached)
            reached |= following
        return tuple(sorted(reached))

    def _marked(self, event: Row, seen_at: datetime) -> Iterator[Occurrence]:
        """Find the tries that a marking ended: they stand as failed and have no end of their own in the event log."""
        marking = self._marking(event)
        if marking is None:
            return
        task = {"task_id": marking.task_id} if marking.task_id else {}
        run = {"dag_id": marking.dag_id, "run_id": marking.run_id, **task}
        own = {
            rows.key(self._deployment, ended)
            for page in self._events(included_events=[*rows.ENDED, *rows.STATED], **run)
            for ended in page
        }
        for instances in self._instances(marking.dag_id, marking.run_id, **task):
            meant = (row for row in instances if marking.task_id in ("", row.get("task_id")))
            for attempt in (attempt for instance in meant for attempt in self._tries(instance)):
                key = rows.key(self._deployment, attempt)
                if key is None or attempt.get("state") != "failed" or not marking.covers(attempt):
                    continue
                if not self._has_own_end(key, attempt, marking, own):
                    occurrence = Occurrence(key, marking.at, seen_at, is_final=True, circumstance=marking.circumstance)
                    yield rows.described(occurrence, attempt)

    def _cleared(self, event: Row, seen_at: datetime) -> Iterator[Occurrence]:
        """Find the tries that a clearing made failures: Airflow writes them, without an event, for what had not ended."""
        clearing = self._clearing(event)
        if clearing is None or event.get("event_log_id") in self._looked_behind:
            return
        ends: dict[str, set[TaskTry | None]] = {}
        since = clearing.at - _CLEARED_WITHIN
        for instances in self._instances(clearing.dag_id, clearing.run_id or "~", updated_at_gte=since):
            for instance in instances:
                key = rows.key(self._deployment, instance)
                # Clearing leaves a task at least one more try than it had.
                if key is None or not key.try_number or instance.get("max_tries") == 0:
                    continue
                if key.run_id not in ends:
                    run = {"dag_id": key.dag_id, "run_id": key.run_id}
                    names = [*rows.ENDED, *rows.STATED, *_ENDED_WELL]
                    ends[key.run_id] = {
                        rows.key(self._deployment, row)
                        for page in self._events(included_events=names, **run)
                        for row in page
                    }
                before = range(1, key.try_number + (not _stands(instance)))
                if all(replace(key, try_number=n) in ends[key.run_id] for n in before):
                    continue
                for past, attempt in self._failures(instance):
                    if past not in ends[key.run_id]:
                        yield self._past(past, attempt, seen_at)

    def _failures(self, instance: Row) -> Iterator[tuple[TaskTry, Row]]:
        """Yield the failed tries behind an instance; its present one stands in the list itself."""
        present = rows.key(self._deployment, instance)
        for attempt in self._tries(instance, at_least=1):
            key = rows.key(self._deployment, attempt)
            if key is None:
                self._session.oddities.note(INSTANCES, attempt)
            elif attempt.get("state") == "failed" and key.try_number and (key != present or not _stands(instance)):
                yield key, attempt

    def _past(self, key: TaskTry, attempt: Row, seen_at: datetime) -> Occurrence:
        server = self._session.now
        ended_at = min(rows.time(attempt.get("end_date")) or server, server)
        return rows.described(Occurrence(key, ended_at, seen_at), attempt)

    def _settled(self, events: list[Row]) -> Iterator[object]:
        """Yield the ids of the clearings whose effect is in the database for certain."""
        for event in events:
            clearing = self._clearing(event) if event.get("event") in self.clearings else None
            if clearing and self._session.now - clearing.at > _CLEARED_WITHIN:
                yield event.get("event_log_id")

    def _clearing(self, event: Row) -> Clearing | None:
        return rows.clearing(event)

    def _marking(self, event: Row) -> Marking | None:
        return rows.marking(event)

    def _has_own_end(self, key: TaskTry, attempt: Row, marking: Marking, own: set[TaskTry | None]) -> bool:
        """Tell whether a failed try ended by itself and not by the marking; `own` are those with an event of their own."""
        return key in own

    def _tries(self, instance: Row, at_least: int = 2) -> list[Row]:
        """Return the tries of a task instance, without a question where there are not `at_least` so many."""
        key = rows.key(self._deployment, instance)
        if key is None or key.try_number < at_least:
            return [instance]
        where: dict[str, Any] = {"dag_id": key.dag_id, "dag_run_id": key.run_id, "task_id": key.task_id}
        if key.map_index >= 0:
            body = self._session.json(MAPPED_TRIES, **where, map_index=key.map_index)
        else:
            body = self._session.json(TRIES, **where)
        return rows.items((body or {}).get("task_instances")) or [instance]

    def _events(self, **arguments: Any) -> Iterator[list[Row]]:
        return pages(self._session, EVENTS, "event_logs", order_by=["event_log_id"], **arguments)

    def _instances(self, dag_id: str, run_id: str, **arguments: Any) -> Iterator[list[Row]]:
        arguments = {"order_by": ["id"], **arguments}
        return pages(self._session, INSTANCES, "task_instances", "", dag_id=dag_id, dag_run_id=run_id, **arguments)

    def _dag(self, dag_id: str) -> Row:
        return self._session.json(self._of_dag, dag_id=dag_id) or {}

    def _run(self, key: tuple[str, str]) -> Row:
        return self._session.json(RUN, dag_id=key[0], dag_run_id=key[1]) or {}

    def _graph(self, dag_id: str) -> dict[str, tuple[str, ...]]:
        tasks = rows.items((self._session.json(self._tasks, dag_id=dag_id) or {}).get("tasks"))
        return {rows.text(task.get("task_id")): rows.texts(task.get("downstream_task_ids")) for task in tasks}


def _stands(instance: Row) -> bool:
    return instance.get("state") in ("failed", "up_for_retry")


def version_of(instance: Row) -> tuple[object, ...]:
    """Return what changes when a task instance begins another try, or stands elsewhere."""
    return tuple(instance.get(name) for name in ("dag_id", "dag_run_id", "task_id", "map_index", "try_number", "state"))
