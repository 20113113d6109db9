"""The store: the one port with two adapters. It keeps typed records and searchable occurrences, nothing else.

Records (problems, memberships, moves, splits, history, escalations, outcomes, comparisons, cursors, leases, workers, health, regroupings, mirrors, saved searches) are saved against the revision they were read with.
Occurrences only ever get better (`model.merge`). Summaries are recomputed from the facts as absolute values. The URL
chooses the adapter in `open_store`, nothing else does. Every verb may be repeated.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from triage.errors import SettingsError, StoreError
from triage.mirrors import Heard, LinkWish, Mirror, Tracker, tracker_id
from triage.model import Occurrence
from triage.query import Query
from triage.records import (
    Change,
    Codeowners,
    Comparison,
    ComparisonStatus,
    Copying,
    Dag,
    Escalation,
    Horizon,
    Membership,
    Move,
    Moving,
    Outcomes,
    Problem,
    Record,
    Regroup,
    SavedSearch,
    Split,
    Tally,
)
from triage.store.access import OPEN, Access
from triage.watched import Cursor, DeploymentHealth, Lease, Worker

R = TypeVar("R", bound=Record)
DAY = timedelta(days=1)
REGROUP = "regroup"  # the id of the one `Regroup`
HORIZON = "horizon"  # the id of the one `Horizon`
COPYING = "copying"  # the id of the one `Copying`


@dataclass(frozen=True, slots=True)
class Put:
    """What a `put` changed: tries not known before, tries whose fact got better."""

    new: int = 0
    better: int = 0


@dataclass(frozen=True, slots=True)
class Touched:
    """A fingerprint's day whose facts changed; `stamp` tells a later touch of the same from this one."""

    deployment: str
    fingerprint: str
    day: str
    stamp: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The signed failures of one fingerprint in one deployment, counted.

    `daily` maps ISO days, from the day asked for on, to counts; `tasks` maps `(dag_id, task_id)` to counts of all time,
    `spans` to the ends of the first and the newest of these tries, `owned` to the owners that Airflow names with them, in order.
    """

    deployment: str
    fingerprint: str
    total: int
    final: int
    first_seen: datetime
    last_seen: datetime
    daily: dict[str, int]
    tasks: dict[tuple[str, str], int]
    spans: dict[tuple[str, str], tuple[datetime, datetime]]
    owned: dict[tuple[str, str], tuple[str, ...]]

    @property
    def owners(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(dict.fromkeys(owner for owners in self.owned.values() for owner in owners))


@dataclass(frozen=True, slots=True)
class Part:
    """Of a fingerprint's day: the failures of one task with one owner, DAG version (0: not known) and bundle version, counted.

    Times in microseconds since 1970, UTC.
    """

    dag: str
    task: str
    owner: str
    version: int
    bundle: str
    occurrences: int
    final: int
    first_at: int
    last_at: int
    last_started: int


@dataclass(frozen=True, slots=True)
class Day:
    """All that is counted of one fingerprint's day in one deployment: parts in order, and failures by hour since 1970."""

    deployment: str
    fingerprint: str
    day: str
    parts: tuple[Part, ...]
    hours: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A failed try that the storage refused for good, with its kept log, and the reason as it gave it, masked."""

    fact: Occurrence
    reason: str


Thing = Record | Occurrence | Day | Touched | DeadLetter  # all that a store holds
T = TypeVar("T", bound=Thing)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Failed tries whose log is still awaited: how many, how many are due now, and when the oldest ended."""

    waiting: int
    due: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Changed:
    """What has changed in a store up to `revision`: whose summaries, as (deployment, fingerprint), and the ids of records.

    Deleted ones are among them. Of records only those of `FOLLOWED` kinds.
    """

    revision: int
    summaries: frozenset[tuple[str, str]]
    records: Mapping[type[Record], frozenset[str]]


# The records whose changes a store can tell of: those that the queue is made of.
FOLLOWED: tuple[type[Record], ...] = (Problem, Membership, Outcomes, Escalation, Dag, Codeowners, Mirror)


class Store(Protocol):
    """What the service and the collector ask of a store. Errors: StoreError, StaleProblem."""

    def get(self, kind: type[R], id: str) -> tuple[R, int] | None:
        """Return a record and its revision, or None."""

    def many(self, kind: type[R], ids: Iterable[str]) -> dict[str, tuple[R, int]]:
        """Return by id those of these records that exist, each with its revision: for a page of them, in one look."""

    def save(self, record: Record, revision: int | None) -> int:
        """Save against the revision read (None: must not exist yet) and return the new one; else StaleProblem."""

    def delete(self, kind: type[Record], id: str, revision: int) -> None:
        """Delete a record as it was read; else StaleProblem. Deleting what is gone does nothing."""

    def records(
        self, kind: type[R], parent: str | None = None, wake_before: datetime | None = None
    ) -> list[tuple[R, int]]:
        """Return records with their revisions in order of id: all, of a parent (a scope, a problem), or due to wake."""

    def put(self, occurrences: Iterable[Occurrence]) -> Put:
        """Merge facts by key; what they touch is noted before or with them. Worse or equal facts change nothing."""

    def rewrite(self, ids: Iterable[str], change: Callable[[Occurrence], Occurrence]) -> int:
        """Replace these occurrences by what `change` makes of each, kept log included; return how many it changed.

        For texts and signatures alone: key and times must stay. Between reading and replacing nobody else writes. Where a
        fingerprint changes, both days are noted as touched, and their summaries are those of the facts at once.
        """

    def purge(self) -> None:
        """Leave nothing of what was replaced or deleted in the storage, the index of words included; StoreError if in use.

        May take minutes, in which nobody else can write.
        """

    def occurrence(self, id: str) -> Occurrence | None:
        """Return one occurrence, its kept log included, or None."""

    def occurrences(self, ids: Iterable[str]) -> dict[str, Occurrence]:
        """Return by id those of these occurrences that exist, their kept logs included: for a page of them, in one look."""

    def due(self, deployment: str, now: datetime, limit: int) -> list[Occurrence]:
        """Return occurrences whose log is to be fetched by `now`, newest failure first."""

    def backlog(self, deployment: str, now: datetime) -> Backlog:
        """Count the logs still awaited."""

    def search(
        self, query: Query, limit: int, after: tuple[datetime, str] | None = None, *, as_of: int | None = None
    ) -> list[Occurrence]:
        """Return matching occurrences, newest `ended_at` first, of the same time the greatest id first; `after` is the last row's (ended_at, id).

        With `as_of`, a revision, what was stored after it may be missing: who knows the revision, as a page does, spares the
        store a look for what is new. Whoever decides from what it finds gives none.
        """

    def count(self, query: Query) -> int:
        """Count the matching occurrences."""

    def histogram(self, query: Query, step: timedelta = DAY, *, as_of: int | None = None) -> dict[datetime, int]:
        """Count the matching occurrences by steps of time, named by their starts, in order; steps without any are left out.

        The starts are multiples of the step since 1970, UTC; `as_of` is that of `search`.
        """

    def facets(
        self, query: Query, fields: Sequence[str], limit: int, *, as_of: int | None = None
    ) -> dict[str, list[tuple[str, int]]]:
        """Count the matching occurrences by the values of each of these fields, some of `query.FACETS`.

        The `limit` most frequent ones as they are stored, by count, then by value in order of its code points. Exact.
        Occurrences without a value count nowhere; one with several tags at each of them, the same tag twice counts once.
        `as_of` is that of `search`.
        """

    def matching(self, query: Query) -> set[tuple[str, str]]:
        """Return the (deployment, fingerprint) pairs with at least one occurrence that satisfies the whole query."""

    def editions(self) -> list[str]:
        """Return what the fingerprints of all occurrences say before their colon, each once, in order; fast at any size."""

    def signed(self, edition: str, limit: int, after: Occurrence | None = None) -> list[Occurrence]:
        """Return occurrences with a fingerprint of this edition and a kept log, which is included.

        In order of fingerprint, deployment, day and id; `after` is the last one of the page before.
        """

    def examples(self, members: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Occurrence]:
        """Return one failed try, without its kept log, of each (deployment, fingerprint) pair that has any.

        It is the first, by day, then by id: the same however the facts came in, and as quickly found among many.
        """

    def touched(self, limit: int) -> Sequence[Touched]:
        """Return what was touched and not cleared yet, oldest first."""

    def summarise(self, touched: Iterable[Touched]) -> None:
        """Recompute the summaries of these days from the facts, as absolute values."""

    def clear(self, touched: Iterable[Touched]) -> None:
        """Forget these touches, unless they were touched again meanwhile."""

    def tally(self, members: Iterable[tuple[str, str]], since: datetime | None = None) -> Tally | None:
        """Count the occurrences of these (deployment, fingerprint) pairs; None if there are none.

        `ran` comes in order of deployment, DAG, task and newest end. `newer` counts those that ended after `since`; 0
        where no time is given.
        """

    def summaries(self, since: str | None = None, members: Iterable[tuple[str, str]] | None = None) -> list[Summary]:
        """Return the summary of every fingerprint, or of these (deployment, fingerprint) pairs.

        `daily` begins at the ISO day `since`, by default at the first.
        """

    def hourly(self, members: Iterable[tuple[str, str]], since: int) -> dict[tuple[str, str], dict[int, int]]:
        """Count the failures of these (deployment, fingerprint) pairs by hour, from the hour `since` on.

        Hours are counted from 1970, UTC; those without a failure are left out, and so are pairs without any.
        """

    def retire(self, before: str, limit: int) -> int:
        """Move the horizon forward to the ISO day `before`, and delete at most `limit` tries of days behind it; return how many.

        What was touched there is counted first; then the horizon is kept, before anything is deleted. From then on the
        summaries of those days stand: `summarise` leaves them alone, `put` ignores tries of such days, `signed` leaves them
        out and `rewrite` changes no fingerprint there. A horizon never moves back. Done when it returns 0.
        """

    def everything(self, kind: type[T], limit: int, after: str = "") -> list[T]:
        """Return what the store holds of one kind in order of `thing_id`, behind `after`; tries with their kept logs."""

    def overwrite(self, things: Sequence[T]) -> None:
        """Write things of one kind as they are, whatever stands there or is behind the horizon; nothing else follows from it.

        A record's revision begins anew; a note of what was touched gets a stamp of this store.
        """

    def erase(self, kind: type[Thing], ids: Iterable[str]) -> None:
        """Delete things of one kind by their `thing_id`, and what belongs to them, whoever wrote them last."""

    def revision(self) -> int:
        """A number that changes whenever anything stored changes, and only then: for caches."""

    def changed(self, since: int) -> Changed | None:
        """Return what has changed since a revision; None where the store cannot tell: then everything may have."""

    def dead(self) -> int:
        """Count the tries that the storage refused for good, each kept apart with the reason; `put` goes on without them."""

    def revive(self) -> int:
        """Put each of them again and return how many were taken; one that is refused again stays where it is."""

    def close(self) -> None:
        """Release every connection."""


def record_keys(record: Record) -> tuple[str, str, datetime | None]:
    """Return what a record is found by: its id, its parent, and when it is due to wake."""
    match record:
        case Problem():
            # One that was merged away sleeps, whatever it waited for; an undo wakes it again.
            return record.id, record.scope, None if record.merged_into else record.wake_at
        case Membership():
            return f"{record.scope}/{record.fingerprint}", record.problem, None
        case Change():
            return f"{record.problem}/{record.at.isoformat()}/{record.what}", record.problem, None
        case Cursor() | DeploymentHealth():
            return record.deployment, "", None
        case Lease():
            return record.name, "", None
        case Worker():
            return record.id, "", None
        case Regroup():
            return REGROUP, "", None
        case Horizon():
            return HORIZON, "", None
        case Copying():
            return COPYING, "", None
        case Dag():
            return f"{record.deployment}/{record.dag_id}", record.deployment, None
        case Codeowners():
            return record.repository, "", None
        case Escalation():
            return record.problem, record.problem, record.look_at
        case Move():
            return record.id, record.into, None
        case Moving():
            return record.scope, "", None
        case Split():
            return f"{record.scope}/{record.fingerprint}/{record.mark}", record.scope, None
        case Outcomes():
            task = "/".join((record.problem, record.deployment, record.dag_id, record.task_id))
            return task, record.problem, record.next_ask_at
        case LinkWish():
            return record.problem, "", record.at if record.is_waiting else None
        case Heard():
            return record.id, "", record.at if record.is_waiting else None
        case Comparison():
            is_wanted = record.status is ComparisonStatus.WANTED
            return record.key.id, record.problem, record.wanted_at if is_wanted else None
        case Mirror():
            return record.problem, tracker_id(record.gitlab, record.project), record.next_at
        case Tracker():
            return record.id, "", record.next_at
        case SavedSearch():
            return record.id, "", None


def thing_id(thing: Thing) -> str:
    """Return what a thing is found by among those of its kind."""
    match thing:
        case Occurrence():
            return thing.key.id
        case DeadLetter():
            return thing.fact.key.id
        case Day() | Touched():
            return "\n".join((thing.fingerprint, thing.deployment, thing.day))
        case _:
            return record_keys(thing)[0]


def open_store(url: str, access: Access = OPEN) -> Store:
    """Open the store that `url` names, made or migrated first where needed; SettingsError for an unknown scheme.

    `access` is how a server is logged in to; a file needs none. StoreError where it is a copy that was not finished: half
    of the problems would be taken for all of them.
    """
    store = open_target(url, access)
    found = store.get(Copying, COPYING)
    if found and found[0].done_at is None:
        store.close()
        raise StoreError(
            f"The store {bare(url)} is a copy of {found[0].source} that is not finished.",
            f"Finish it: airtriage copy --from {found[0].source} --to {bare(url)}",
        )
    return store


def open_source(url: str, access: Access = OPEN) -> Store:
    """Open a store to read it alone: it is neither made nor migrated, and SQLite shows it as it is at this moment."""
    return _open(url, access, frozen=True)


def open_target(url: str, access: Access = OPEN) -> Store:
    """Open a store to fill it, made where it is not there; a copy that was not finished is fine."""
    return _open(url, access)


def bare(url: str) -> str:
    """Return the address of a store without the account in it, of a file with its whole path."""
    if url.startswith("sqlite:///"):
        return f"sqlite:///{Path(url.removeprefix('sqlite:///')).expanduser().resolve()}"
    parts = urlsplit(url)
    hosts = ",".join(host.rpartition("@")[2] for host in parts.netloc.split(","))
    return parts._replace(netloc=hosts).geturl().rstrip("/")


def _open(url: str, access: Access, *, frozen: bool = False) -> Store:
    if url.startswith("sqlite:"):
        from triage.store.sqlite import SqliteStore

        return SqliteStore.open(url, frozen=frozen)
    if url.startswith(("http://", "https://")):
        from triage.store.elastic import ElasticStore

        return ElasticStore.open(url, access, frozen=frozen)
    scheme, is_address, _ = url.partition("://")
    near = difflib.get_close_matches(scheme.lower(), ("sqlite", "https"), 1) if is_address else []
    fix = "Use sqlite:///path/to/airtriage.db or https://host:9200/airtriage."
    if near:
        fix = f"Do you mean {near[0]}://? {fix}"
    elif not is_address and Path(url).suffix in (".db", ".sqlite", ".sqlite3"):
        fix = f"Do you mean sqlite:///{url}?"
    # What follows the scheme may hold a password.
    raise SettingsError(f"store = '{scheme}{'://…' * bool(is_address)}' is not a store this version knows.", fix)
