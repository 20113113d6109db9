"""What the collector asks of a deployment: the port that `collector.airflow` fills.

Owns the verbs and their errors. Must not know how Airflow answers, nor what becomes of the answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from triage.model import Occurrence, TaskTry, Unread
from triage.outcomes import Retried, Schedule, Successes
from triage.records import Good
from triage.watched import Component, ImportFailure, PoolLoad


class Source(Protocol):
    """What a pass asks of a deployment. Every verb may raise SourceError; SourceForbidden names a permission."""

    @property
    def offset(self) -> float:
        """The server's clock minus ours in seconds, as of the newest answer."""

    def version(self) -> str:
        """Return Airflow's version; also the check that it can be reached."""

    def events(self, since: datetime, seen_at: datetime, until: datetime | None = None) -> Iterator[list[Occurrence]]:
        """Yield pages of failed tries that the event log tells of after `since` and up to `until`, oldest first.

        Both are on the server's clock; None means now.
        """

    def listed(self, since: datetime, seen_at: datetime, until: datetime | None = None) -> Iterator[list[Occurrence]]:
        """Yield pages of failed tries of the task-instance list that changed in that window, in no order."""

    def describe(self, occurrence: Occurrence) -> Occurrence:
        """Fill in what Airflow knows of the try; unchanged where it knows nothing."""

    def read_log(self, key: TaskTry) -> Iterator[bytes | Unread]:
        """Yield the log in chunks, `Unread` for bytes left out; LogGone where the server is sure that there is none."""

    def bundle(self, dag_id: str, run_id: str) -> str:
        """Return the version of the bundle that a run's tasks are loaded from; empty where Airflow tells none."""

    def successes(self, dag_id: str, task_id: str, since: datetime) -> Successes:
        """Count the task instances of a task that succeeded in a try started from `since` on (the server's clock)."""

    def retried(self, dag_id: str, task_id: str, since: datetime) -> Retried:
        """Return how the task instances of a task stand that started a second or later try from `since` on."""

    def schedule(self, dag_id: str) -> Schedule:
        """Return whether a DAG runs by itself; may be some minutes old."""

    def last_good(self, key: TaskTry, before: datetime) -> Good | None:
        """Return the newest success of the same task that ended by `before`, or None."""

    def health(self) -> list[Component]:
        """Return Airflow's own components."""

    def import_failures(self) -> list[ImportFailure]:
        """Return the DAG files that do not import."""

    def pools(self) -> list[PoolLoad]:
        """Return the pools and who waits for them."""
