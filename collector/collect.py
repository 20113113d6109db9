"""One pass over one deployment: list what failed, keep it, fetch the logs that are due, sign, record, move the cursor.

Owns the order of these steps, so that a kill between any two loses nothing and the next pass makes it good: facts are
kept before the cursor moves, touches are forgotten last. One pass at a time per deployment, over all processes, by a
lease in the store; its four threads are the only readers of logs there.
"""

from __future__ import annotations

import socket
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import psutil

from triage import logs, signature
from triage.errors import LogGone, SourceError, StaleProblem
from triage.model import (
    Component,
    Cursor,
    DeploymentHealth,
    ImportFailure,
    Lease,
    LogStatus,
    Occurrence,
    PoolLoad,
    TaskTry,
    Trouble,
    Unread,
)
from triage.service import Service
from triage.store import Backlog

# At most this many logs in flight per api-server: more gains nothing and from 16 on its database pool deadlocks
# (measured on Airflow 3.3.2, sqlite and PostgreSQL).
IN_FLIGHT = 4
# Events become visible up to 1 s after their time; clocks of several schedulers differ by more.
OVERLAP = timedelta(minutes=5)
# A failure whose log stays away is shown after this long, provisionally.
PROVISIONAL_AFTER = timedelta(minutes=2)
# A lease outlives the longest read of a log (180 s) without being renewed.
LEASE = timedelta(minutes=5)
# Between two questions for a log that the server has trouble with.
_SHORTEST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=10)
_RENEW = timedelta(seconds=30)
_SETTLE_EVERY = timedelta(seconds=1)
_BATCH = 200
T = TypeVar("T")
_GIVE_UP = 8  # failed reads in a row, without one that worked: the server is away, the next pass tries again


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

    def health(self) -> list[Component]:
        """Return Airflow's own components."""

    def import_failures(self) -> list[ImportFailure]:
        """Return the DAG files that do not import."""

    def pools(self) -> list[PoolLoad]:
        """Return the pools and who waits for them."""


@dataclass(slots=True)
class Report:
    """What a pass did.

    `skipped`: another pass over the deployment was under way. `is_listed`: at least one of the two lists of failures
    was read to its end. `backlog` is what still waits afterwards.
    """

    deployment: str
    skipped: bool = False
    listed: int = 0
    new: int = 0
    fetched: int = 0
    is_listed: bool = False
    backlog: Backlog = field(default_factory=lambda: Backlog(0, 0, None))
    troubles: list[Trouble] = field(default_factory=list)

    def trouble(self, exc: SourceError) -> None:
        """Note an error an operator can fix, once."""
        trouble = Trouble(exc.what, exc.fix)
        if trouble not in self.troubles:
            self.troubles.append(trouble)


Progress = Callable[[Report], None]


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass over one deployment; build it and call `run`. `clock` is ours, aware UTC.

    `budget` bounds the time for reading logs, so that a back-fill never keeps new failures from being listed.
    """

    service: Service
    source: Source
    deployment: str
    url: str
    lookback: timedelta
    poll: timedelta
    waits: tuple[timedelta, ...]
    clock: Callable[[], datetime]
    budget: timedelta | None = None
    progress: Progress = lambda report: None

    def run(self) -> Report:
        """Make the pass; troubles of the deployment end in the report and on the Health page, never in a crash."""
        report = Report(self.deployment)
        with lease(self.service, f"pass/{self.deployment}", self.clock) as renew:
            if renew is None:
                report.skipped = True
                return report
            version = ""
            try:
                version = self.source.version()
                self._list(report, renew)
                self._fetch(report, renew)
            except SourceError as exc:
                report.trouble(exc)
            except LeaseLost:
                report.skipped = True
                return report
            self.service.settle(self.clock())
            self._save_health(report, version)
        report.backlog = self.service.store.backlog(self.deployment, self.clock())
        return report

    # --- list

    def _list(self, report: Report, renew: Callable[[], None]) -> None:
        found = self.service.store.get(Cursor, self.deployment)
        cursor, revision = found or (Cursor(self.deployment), None)
        scope = self.service.scope(self.deployment)
        if cursor.scope not in ("", scope):
            self.service.adopt(self.deployment, cursor.scope, self.clock())
        cursor = replace(cursor, scope=scope)
        horizon = self._server_now() - self.lookback
        started = self._server_now()
        events = self.source.events(cursor.events_until - OVERLAP if cursor.events_until else horizon, self.clock())
        listed = self.source.listed(cursor.list_until - OVERLAP if cursor.list_until else horizon, self.clock())
        if self._keep(events, report, renew):
            cursor, report.is_listed = replace(cursor, events_until=started), True
        if self._keep(listed, report, renew):
            cursor, report.is_listed = replace(cursor, list_until=started), True
        self.service.store.save(cursor, revision)

    def _keep(self, pages: Iterable[list[Occurrence]], report: Report, renew: Callable[[], None]) -> bool:
        """Keep every page; False where the source broke off, so that its cursor stays."""
        try:
            for page in pages:
                put = self.service.record(replace(fact, next_fetch_at=self.clock()) for fact in page)
                report.listed += len(page)
                report.new += put.new
                renew()
                self.progress(report)
        except SourceError as exc:
            report.trouble(exc)
            return False
        return True

    # --- fetch

    def _fetch(self, report: Report, renew: Callable[[], None]) -> None:
        """Read the logs that are due, newest failure first, a few at a time; settle as the readings come in."""
        started = settled = self.clock()
        failures = 0
        asked: set[TaskTry] = set()  # never the same try twice in one pass
        due: deque[Occurrence] = deque()
        running: set[Future[tuple[Occurrence, SourceError | None]]] = set()
        read: list[Occurrence] = []
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix=f"log-{self.deployment}") as threads:
            while True:
                if not due:
                    batch = self.service.store.due(self.deployment, started, _BATCH)
                    due.extend(fact for fact in batch if fact.key not in asked)
                is_over = failures >= _GIVE_UP or (self.budget is not None and self.clock() - started > self.budget)
                while due and len(running) < IN_FLIGHT and not is_over:
                    fact = due.popleft()
                    asked.add(fact.key)
                    running.add(threads.submit(self._read, fact))
                # One writer, while the next logs are under way: four of them wait for each other's transactions.
                if read:
                    self.service.record(read)
                    read = []
                if not running:
                    break
                done, running = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                for fact, error in (future.result() for future in done):
                    failures = failures + 1 if error else 0
                    report.fetched += 1
                    read.append(fact)
                    if error:
                        report.trouble(error)
                renew()
                if self.clock() - settled >= _SETTLE_EVERY:
                    self.service.settle(self.clock())
                    settled = self.clock()
                self.progress(report)

    def _read(self, occurrence: Occurrence) -> tuple[Occurrence, SourceError | None]:
        """Read and sign one log; returns what is now known, and what went wrong on the server's side."""
        fact = occurrence
        try:
            fact = self.source.describe(fact)
            kept = logs.keep(logs.read(self.source.read_log(fact.key)))
        except LogGone:
            kept = logs.keep(())
        except SourceError as exc:
            return self._postpone(fact), exc
        return self._judge(fact, kept), None

    def _postpone(self, fact: Occurrence) -> Occurrence:
        """Ask again later, for as long as the server gives no answer: an outage never settles a try as missing."""
        now = self.clock()
        troubles = fact.troubles + 1
        pause = min(_LONGEST_PAUSE, max(self.poll, _SHORTEST_PAUSE) * 2 ** min(troubles - 1, 10))
        signed = fact.signature
        if signed is None and now - fact.seen_at >= PROVISIONAL_AFTER:
            signed = signature.sign((), fact.circumstance, task=fact.key.task, status=LogStatus.MISSING)
        log = fact.log if signed is fact.signature else max(fact.log, LogStatus.MISSING, key=lambda status: status.rank)
        return replace(
            fact, log=log, signature=signed, troubles=troubles, first_fetch_at=fact.first_fetch_at or now,
            next_fetch_at=now + pause,
        )  # fmt: skip

    def _judge(self, fact: Occurrence, kept: logs.Kept) -> Occurrence:
        """Decide whether a log is whole, is asked for again, or stands as it is; sign it unless it is asked for again."""
        now = self.clock()
        status = logs.status(kept, fact.ended_at, fact.circumstance)
        attempt = fact.fetches
        again = status is not LogStatus.WHOLE and attempt < len(self.waits)
        signed = None
        if not again or now - fact.seen_at >= PROVISIONAL_AFTER:
            signed = signature.sign(kept.lines, fact.circumstance, task=fact.key.task, status=status)
        return replace(
            fact,
            log=status,
            log_lines=kept.total_lines,
            log_bytes=kept.total_bytes,
            log_unread=kept.unread,
            fetches=attempt + 1,
            first_fetch_at=fact.first_fetch_at or now,
            next_fetch_at=now + self.waits[attempt] if again else None,
            signature=signed,
            kept=kept.lines,
        )

    # --- health

    def _save_health(self, report: Report, version: str) -> None:
        now = self.clock()
        found = self.service.store.get(DeploymentHealth, self.deployment)
        before = found[0] if found else None
        reached = bool(version)
        health = DeploymentHealth(
            deployment=self.deployment,
            url=self.url,
            passed_at=now,
            succeeded_at=now if report.is_listed else before.succeeded_at if before else None,
            poll=self.poll.total_seconds(),
            version=version or (before.version if before else ""),
            offset=self.source.offset if reached else before.offset if before else 0.0,
            components=tuple(self._ask(self.source.health, report) if reached else before.components if before else ()),
            imports=tuple(
                self._ask(self.source.import_failures, report) if reached else before.imports if before else ()
            ),
            pools=tuple(self._ask(self.source.pools, report) if reached else before.pools if before else ()),
            listed=report.listed,
            fetched=report.fetched,
        )
        health = replace(health, troubles=tuple(report.troubles))
        with suppress(StaleProblem):  # a pass of another process said so already
            self.service.store.save(health, found[1] if found else None)

    def _ask(self, verb: Callable[[], list[T]], report: Report) -> list[T]:
        try:
            return verb()
        except SourceError as exc:
            report.trouble(exc)
            return []

    def _server_now(self) -> datetime:
        return self.clock() + timedelta(seconds=self.source.offset)


class LeaseLost(Exception):
    """The lease ran out and is somebody else's now: stop, they go on."""


@contextmanager
def lease(service: Service, name: str, clock: Callable[[], datetime]) -> Iterator[Callable[[], None] | None]:
    """Hold a lease while the block runs; yields None where somebody else holds it, else a function that renews it.

    A lease whose holder was a process of this host that is gone is taken over at once, any other after its expiry.
    Renewing a lease that was lost raises LeaseLost.
    """
    store = service.store
    mine = Lease(name, f"{socket.gethostname()}:{_process()}:{uuid.uuid4().hex}", clock() + LEASE)
    found = store.get(Lease, name)
    if found and found[0].expires_at > clock() and not _is_dead(found[0].holder):
        yield None
        return
    try:
        revision = store.save(mine, found[1] if found else None)
    except StaleProblem:
        yield None
        return
    renewed = clock()

    def renew() -> None:
        nonlocal revision, renewed
        if clock() - renewed >= _RENEW:
            try:
                revision = store.save(replace(mine, expires_at=clock() + LEASE), revision)
            except StaleProblem as exc:
                raise LeaseLost from exc
            renewed = clock()

    try:
        yield renew
    finally:
        with suppress(StaleProblem):  # it expired and is somebody else's now
            store.delete(Lease, name, revision)


def _process() -> str:
    """Name this process so that a later one of the same number is told from it: number and start."""
    me = psutil.Process()
    return f"{me.pid}:{me.create_time():.0f}"


def _is_dead(holder: str) -> bool:
    host, pid, started = holder.split(":")[:3]
    if host != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.0f}" != started
    except psutil.NoSuchProcess:
        return True
