"""Which Airflow a deployment runs, and which of our readings serves it.

Owns the detection: asked at every pass, so that an upgrade is seen, and decided by the version that Airflow answers.
Hides which reading answers a verb. Knows no endpoint beyond the two that tell the version.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime

from collector.airflow import rows, v1, v2
from collector.airflow.lists import Airflow30
from collector.airflow.session import Access, Session
from collector.airflow.v1 import Airflow210
from collector.airflow.v2 import Airflow32
from triage.errors import SourceError, SourceForbidden
from triage.model import Occurrence, TaskTry
from triage.outcomes import Retried, Schedule, Successes
from triage.records import Good
from triage.watched import Component, ImportFailure, PoolLoad, Trouble

Reading = Airflow32 | Airflow30 | Airflow210


class Airflow:
    """One deployment of any Airflow we read, usable from several threads. Connects to nothing until asked.

    Every verb may be repeated, and raises SourceError, or its child SourceForbidden for a missing permission.
    """

    def __init__(self, deployment: str, access: Access) -> None:
        self.deployment = deployment
        self._session = Session(deployment, access)
        self._lock = threading.Lock()
        self._version = ""
        self._reading: Reading | None = None

    @property
    def offset(self) -> float:
        """The Airflow server's clock minus ours in seconds, measured at its answers; 0 before the first."""
        return self._session.offset or 0.0

    def now(self) -> datetime:
        """Return the Airflow server's clock; asks for an answer if there was none yet."""
        if self._session.offset is None:
            self.version()
        return self._session.now

    def version(self) -> str:
        """Ask for the server's version, and log in where there is an account: the check that it can be read.

        Chooses the reading anew where it is not the version of the last answer.
        """
        version = self._ask_version()
        with self._lock:
            if version != self._version or self._reading is None:
                self._reading = self._choose(version)
                self._version = version
        if not isinstance(self._reading, Airflow210):
            self._session.authenticate()
        return version

    @property
    def how(self) -> str:
        """In which way this deployment is read, in words; asks for the version if there was no answer yet."""
        return self._its().how

    def events(self, since: datetime, seen_at: datetime, until: datetime | None = None) -> Iterator[list[Occurrence]]:
        """Yield pages of failed tries that the event log tells of after `since` and up to `until`, oldest first.

        Raises SourceForbidden where the account may not read it: then `listed` looks behind what stands, as in 3.0.
        """
        reading = self._its()
        try:
            yield from reading.events(since, seen_at, until)
        except SourceForbidden:
            if reading is self._reading and type(reading) is Airflow32:
                self._reading = Airflow30(self._session)
            raise

    def listed(self, since: datetime, seen_at: datetime, until: datetime | None = None) -> Iterator[list[Occurrence]]:
        """Yield pages of failed tries of the task-instance list that changed in that window, in no order."""
        return self._its().listed(since, seen_at, until)

    def describe(self, occurrence: Occurrence) -> Occurrence:
        """Fill in what Airflow knows of the try; unchanged where it knows nothing."""
        return self._its().describe(occurrence)

    def read_log(self, key: TaskTry) -> Iterator[bytes]:
        """Yield the log in chunks; LogGone where the server is sure that there is none."""
        return self._its().read_log(key)

    def bundle(self, dag_id: str, run_id: str) -> str:
        """Return the version of the bundle that a run's tasks are loaded from; empty where Airflow tells none."""
        return self._its().bundle(dag_id, run_id)

    def successes(self, dag_id: str, task_id: str, since: datetime) -> Successes:
        """Count the task instances that succeeded in a try started from `since` on (the server's clock)."""
        return self._its().fared().successes(dag_id, task_id, since)

    def retried(self, dag_id: str, task_id: str, since: datetime) -> Retried:
        """Return how the task instances stand that started a second or later try from `since` on."""
        return self._its().fared().retried(dag_id, task_id, since)

    def schedule(self, dag_id: str) -> Schedule:
        """Return whether a DAG runs by itself, as of at most ten minutes ago."""
        return self._its().fared().schedule(dag_id)

    def last_good(self, key: TaskTry, before: datetime) -> Good | None:
        """Return the newest success of the same task that ended by `before`, or None."""
        return self._its().fared().last_good(key, before)

    def health(self) -> list[Component]:
        """Return Airflow's own components. Needs no account."""
        return self._its().health()

    def import_failures(self) -> list[ImportFailure]:
        """Return the DAG files that do not import, traces redacted."""
        return self._its().import_failures()

    def pools(self) -> list[PoolLoad]:
        """Return the pools with their load."""
        return self._its().pools()

    def oddities(self) -> list[Trouble]:
        """Return what answers were not understood since this was last asked, counted and said."""
        return self._session.oddities.take()

    def _its(self) -> Reading:
        if self._reading is None:
            self.version()
        assert self._reading is not None
        return self._reading

    def _ask_version(self) -> str:
        """Ask Airflow 3's API, and Airflow 2's where there is no such page."""
        first = v1.VERSION if isinstance(self._reading, Airflow210) else v2.VERSION
        other = v2.VERSION if first is v1.VERSION else v1.VERSION
        status, headers, body = self._session.answer(first)
        if version := _version(status, body):
            return version
        if status == 404:
            with suppress(SourceError):  # what the first said is nearer to the truth
                status_of_other, _, answered = self._session.answer(other)
                if version := _version(status_of_other, answered):
                    return version
        if status == 200 and body is not None:
            raise self._session.words.no_endpoint(first)
        raise self._session.refused(first, status, headers, body)

    def _choose(self, version: str) -> Reading:
        """Return what reads this version; one that does not look like a number is taken for a new build."""
        numbers = re.match(r"(\d+)\.(\d+)", version)
        match (int(numbers[1]), int(numbers[2])) if numbers else (3, 2):
            case (2, minor) if minor >= 10:
                return Airflow210(self._session)
            case (3, minor):
                return Airflow32(self._session) if minor >= 2 else Airflow30(self._session)
            case (major, _):
                raise self._session.words.unread(v2.VERSION, version, is_newer=major > 3)


def _version(status: int, body: Mapping[str, object] | None) -> str:
    return rows.text((body or {}).get("version")) if status == 200 else ""
