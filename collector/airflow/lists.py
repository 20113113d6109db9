"""The questions we ask of Airflow 3.0 and 3.1, whose event log has no row for a try that failed.

Owns how every failed try is found by the task instances: what stands as failed, and behind it the tries of each instance
that had more than one. Shares with `v2` everything else, and what the event log does tell: what the scheduler ended and
what people marked.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from collector.airflow import rows
from collector.airflow.rows import Marking, Row
from collector.airflow.v2 import Airflow32, version_of
from triage.model import Occurrence, TaskTry

# Where an instance may stand that was cleared, or waits to be, without another try having begun.
_RESTING = ["no_status", "upstream_failed", "skipped", "removed"]
_MARKED_AT_ONCE = timedelta(seconds=5)  # more than a marking takes to end an instance, and its server's clock differs


class Airflow30(Airflow32):
    """Reads Airflow 3.0 and 3.1 by their task instances and the tries of each, usable from several threads."""

    how = "by its task instances and their tries, since its event log does not tell of each failure"
    clearings = ()  # the list finds what they leave behind
    failed_is_final = None  # only the scheduler writes it, for a try that will be retried too

    def listed(self, since: datetime, seen_at: datetime, until: datetime | None = None) -> Iterator[list[Occurrence]]:
        """Yield, page by page, every failed try of the instances that changed from `since` to `until`, both inclusive.

        Tries that were retried or cleared too, at the price of a question for each instance that had several. Lacks what
        Airflow itself has lost: the tries of deleted runs, and those of a state mismatch, which `events` has.
        """
        yield from super().listed(since, seen_at, until)
        end = {"updated_at_lte": until} if until else {}
        for instances in self._instances_with_tries(updated_at_gte=since, **end):
            behind = {version_of(instance): instance for instance in instances}
            new = {version: instance for version, instance in behind.items() if version not in self._looked_behind}
            found = [self._past(*attempt, seen_at) for instance in new.values() for attempt in self._failures(instance)]
            yield found
            # Only now: whoever asks on has kept them.
            self._looked_behind.update(new)

    def _instances_with_tries(self, **window: Any) -> Iterator[list[Row]]:
        """Yield what may have failed tries behind it: of the lists in order of tries only the beginning is read."""
        for states, fewest in (([], 2), (_RESTING, 1)):
            chosen = {"state": states} if states else {}
            for page in self._instances("~", "~", order_by=["-try_number"], **chosen, **window):
                kept = [row for row in page if (rows.number(row.get("try_number")) or 0) >= fewest]
                # One that was never cleared, of a task without retries, has no tries behind its only one.
                yield [row for row in kept if row.get("max_tries") != 0]
                if len(kept) < len(page):
                    break

    def _has_own_end(self, key: TaskTry, attempt: Row, marking: Marking, own: set[TaskTry | None]) -> bool:
        """Tell a try that failed by itself by its times, as no event does: it began and ended before the marking."""
        started, ended = rows.time(attempt.get("start_date")), rows.time(attempt.get("end_date"))
        ended_before = started and ended and started <= ended < marking.at - _MARKED_AT_ONCE
        return key in own or bool(ended_before)
