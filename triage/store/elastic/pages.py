"""The pages and heads of summaries, what is folded from them and how they are written down. Pure.

A page holds a month of a fingerprint in one deployment: rows of parts by day, and its hours. A head is folded from pages.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from operator import attrgetter
from typing import Any

import msgspec

from triage.records import Ran
from triage.store import Day, Part, Summary
from triage.store.elastic.documents import pair, time
from triage.store.elastic.notes import Day as DayKey
from triage.store.elastic.session import Doc

Pair = tuple[str, str]  # deployment, fingerprint
EPOCH_DAY = date(1970, 1, 1).toordinal()
row_of = attrgetter(*Part.__dataclass_fields__)  # a tenth of the time of `astuple`, which copies


class Task(msgspec.Struct, array_like=True):
    """One task of a head: its count, the ends of the first and the newest of its tries in microseconds, its owners."""

    dag: str
    task: str
    count: int
    first: int
    last: int
    owners: list[str]


class Head(msgspec.Struct):
    """All that the queue asks of a fingerprint in one deployment, and the months that have a page."""

    months: list[str] = []
    total: int = 0
    final: int = 0
    first: int = 0
    last: int = 0
    daily: dict[str, int] = {}
    tasks: list[Task] = []


@dataclass(slots=True)
class Counted:
    """What the server counted of one day."""

    parts: list[Part] = field(default_factory=list)
    hours: dict[int, int] = field(default_factory=dict)


def first_hour(day: str) -> int:
    """Return the first hour of an ISO day, counted from 1970."""
    return 24 * (date.fromisoformat(day).toordinal() - EPOCH_DAY)


def by_page(days: Iterable[DayKey]) -> dict[tuple[Pair, str], set[str]]:
    """Gather days by the page they stand on."""
    pages: dict[tuple[Pair, str], set[str]] = defaultdict(set)
    for deployment, fingerprint, day in days:
        pages[(deployment, fingerprint), day[:7]].add(day)
    return pages


def page_id(owner: Pair, month: str) -> str:
    """Return the id of a page, of the head where no month is given."""
    return hashlib.sha256("\n".join((*owner, month)).encode()).hexdigest()[:32]


def head_of(doc: Doc | None) -> Head:
    """Return a head as it was read; an empty one where there is none."""
    return msgspec.convert(doc.source["body"], Head) if doc else Head()


def parts_of(page: Doc | None) -> dict[str, list[Part]]:
    """Return a page's parts by day."""
    days = page.source["body"].get("days", {}) if page else {}
    return {day: [Part(*row) for row in rows] for day, rows in days.items()}


def days_of(page: Doc) -> Iterator[Day]:
    """Yield what is counted of each day of a page."""
    hours = sorted((int(hour), count) for hour, count in page.source["hours"].items())
    for day, parts in sorted(parts_of(page).items()):
        first = first_hour(day)
        within = tuple(one for one in hours if first <= one[0] < first + 24)
        yield Day(*pair(page.source["member"]), day, tuple(parts), within)


def united(one: Part, other: Part) -> Part:
    """Return the sum of two parts of the same day and task."""
    return Part(
        one.dag, one.task, one.owner, one.version, one.bundle, one.occurrences + other.occurrences, one.final + other.final,
        min(one.first_at, other.first_at), max(one.last_at, other.last_at),
        max(one.last_started, other.last_started),
    )  # fmt: skip


def fold(days: dict[str, list[Part]]) -> Head:
    """Return the head of these days."""
    every = [part for parts in days.values() for part in parts]
    if not every:
        return Head()
    tasks: dict[tuple[str, str], Task] = {}
    for part in every:
        task = tasks.setdefault((part.dag, part.task), Task(part.dag, part.task, 0, part.first_at, part.last_at, []))
        task.count += part.occurrences
        task.first, task.last = min(task.first, part.first_at), max(task.last, part.last_at)
        if part.owner and part.owner not in task.owners:
            task.owners.append(part.owner)
    for task in tasks.values():
        task.owners.sort()
    return Head(
        sorted({day[:7] for day in days}),
        sum(part.occurrences for part in every),
        sum(part.final for part in every),
        min(part.first_at for part in every),
        max(part.last_at for part in every),
        {day: sum(part.occurrences for part in days[day]) for day in sorted(days)},
        [tasks[key] for key in sorted(tasks)],
    )


def summary_of(owner: Pair, head: Head, since: str) -> Summary:
    """Return a head as pages ask for it."""
    return Summary(
        *owner, head.total, head.final, time(head.first), time(head.last),
        {day: count for day, count in head.daily.items() if day >= since},
        {(one.dag, one.task): one.count for one in head.tasks},
        {(one.dag, one.task): (time(one.first), time(one.last)) for one in head.tasks},
        {(one.dag, one.task): tuple(one.owners) for one in head.tasks},
    )  # fmt: skip


def ran_of(parts: Iterable[tuple[str, Part]]) -> tuple[Ran, ...]:
    """Return what ran, each task and version once."""
    found: dict[tuple[Any, ...], Ran] = {}
    for deployment, part in parts:
        ran = Ran(
            deployment,
            part.dag,
            part.task,
            part.version or None,
            part.bundle,
            time(part.last_started),
            time(part.last_at),
        )
        key = (deployment, part.dag, part.task, part.version, part.bundle)
        other = found.get(key, ran)
        started, seen = max(ran.last_started, other.last_started), max(ran.last_seen, other.last_seen)
        found[key] = replace(ran, last_started=started, last_seen=seen)
    return tuple(sorted(found.values(), key=lambda ran: (ran.deployment, ran.dag_id, ran.task_id, ran.last_seen)))
