"""What workers do with a tick; each task body is one call.

Owns which piece of work a tick is, how long it may take and how many long ones run at once, never what they do. A tick is
idempotent and expires, the next one is the retry, and a wiped broker loses nothing.
"""

from __future__ import annotations

import functools
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from celery import Celery, bootsteps

from collector import comparing, pulse, spans
from collector.airflow import Access, Airflow
from collector.broker import Broker, celery
from collector.collect import Pass
from collector.mirroring import ask_owners, grant, syncer
from collector.report import Progress, Report
from collector.storage import Place, Storage, Stored
from collector.ticks import (
    BACKFILL,
    ERRANDS,
    ERRANDS_EVERY,
    PASS,
    REGROUP,
    REGROUP_EVERY,
    RETIRE,
    RETIRE_FOR,
    SERVE,
    SETTLE,
    SYNC,
    SYNC_EVERY,
    Tick,
)
from triage import asking, retention
from triage.lease import LeaseLost, lease
from triage.records import Regroup
from triage.redact import Learned
from triage.regroup import Regrouping
from triage.service import Service
from triage.settings import Settings
from triage.settings.sections import Deployment
from triage.settings.values import revealed
from triage.store import open_store
from triage.sync import Report as SyncReport
from triage.sync import Sync
from triage.watched import Cursor, DeploymentHealth

_T = TypeVar("_T")

_LONGEST = timedelta(seconds=30)  # of one tick's reading, however seldom a deployment is looked at
_SHORTEST = timedelta(seconds=2)
_BULK_FOR = timedelta(seconds=30)  # one tick of the bulk lane goes from deployment to deployment for so long


def now() -> datetime:
    """Return our clock, aware UTC."""
    return datetime.now(UTC)


def access(deployment: Deployment, learned: Learned | None = None) -> Access:
    """Say how to reach a deployment, from its settings; tokens made on the way are added to `learned`."""
    return Access(
        url=deployment.url,
        username=deployment.username,
        password=deployment.password.get_secret_value(),
        token=deployment.token.get_secret_value(),
        token_command=deployment.token_command,
        headers={name: value.get_secret_value() for name, value in deployment.headers.items()},
        ca_file=deployment.ca_file,
        proxy=deployment.proxy.get_secret_value(),
        learn=learned.add if learned else lambda token: None,
        timeout=deployment.timeout.total_seconds(),
        log_timeout=6 * deployment.timeout.total_seconds(),
    )


def storage(name: str, deployment: Deployment) -> Storage | None:
    """Return where a deployment's logs lie, or None where the settings do not say; connects to nothing."""
    if not deployment.log_base:
        return None
    options = revealed(deployment.log_options)
    return Storage(
        name, Place(deployment.log_base, deployment.log_template, options, deployment.timeout.total_seconds())
    )


def source(name: str, deployment: Deployment, learned: Learned | None = None) -> Stored[Airflow]:
    """Return a deployment to read: its API, and its storage before that for logs."""
    return Stored(Airflow(name, access(deployment, learned)), storage(name, deployment))


class Collector:
    """The collector of one process: the store, one source a deployment, and what ticks ask for.

    `bulk` bounds how many long works run at once, so that the other threads are free for what is live. Once `over` is
    set, everything under way stops at its next step.
    """

    def __init__(self, settings: Settings, bulk: int = 1, over: threading.Event | None = None) -> None:
        self._settings = settings
        self._since = now()
        self._over = over or threading.Event()
        self._syncing = threading.Lock()
        self._retired = ""  # the first day that is kept, once nothing was left to delete
        self._bulk = threading.Semaphore(bulk)
        self._turns = deque(random.sample(list(settings.deployments), len(settings.deployments)))
        self._turn = threading.Lock()
        self._sources = {
            name: source(name, its, settings.redactor.learned) for name, its in settings.deployments.items()
        }

    @functools.cached_property
    def service(self) -> Service:
        """The service on the store of the settings, opened at first use."""
        its = self._settings
        return Service(
            open_store(its.store_url, its.store_access), its.scopes, its.redactor, its.signers, its.ownership
        )

    def run(
        self,
        name: str,
        *,
        budget: timedelta | None = None,
        progress: Progress = lambda report: None,
        again: bool = False,
    ) -> Report:
        """Make one pass over a deployment; `again` asks for every log that stands as missing or partial."""
        return self._pass(name, budget, progress).run(again=again)

    def look(self, name: str) -> Report:
        """Read the news of a deployment and what is due of it, for half a poll at most; what was missed is for `backfill`."""
        return self._pass(name, self._share(name)).run(back=False)

    def backfill(self) -> int:
        """Read what was missed, in turns of half a poll over the deployments that missed something; return how many.

        Each process goes round on its own, so none of its deployments waits for another's end, and the leases see to it
        that two processes are at different ones. Does nothing where as much long work runs already as may.
        """
        done, started = 0, now()
        with self._slot() as is_free:
            for _ in range(len(self._turns)) if is_free else ():
                if self._over.is_set() or now() - started > _BULK_FOR:
                    break
                with self._turn:
                    name = self._turns[0]
                    self._turns.rotate(-1)
                if self._is_behind(name):
                    done += not self._pass(name, self._share(name)).run().skipped
        return done

    def _is_behind(self, name: str) -> bool:
        """Say whether logs are due or a gap may be read; a server that is in trouble is left to its own ticks."""
        store, at = self.service.store, now()
        health = store.get(DeploymentHealth, name)
        if health is None or (health[0].troubles and at - health[0].passed_at < self._settings.deployments[name].poll):
            return False
        cursor = store.get(Cursor, name)
        if cursor and spans.pick(cursor[0], at, set(), spans.FIRST_SLICE):
            return True
        return store.backlog(name, at).due > 0

    def _share(self, name: str) -> timedelta:
        return max(min(self._settings.deployments[name].poll / 2, _LONGEST), _SHORTEST)

    @contextmanager
    def _slot(self) -> Iterator[bool]:
        is_free = self._bulk.acquire(blocking=False)
        try:
            yield is_free
        finally:
            if is_free:
                self._bulk.release()

    def serve(self, name: str) -> Report:
        """Do what people wait for in a deployment, where no pass does it."""
        return self._pass(name).serve()

    def awaited(self) -> list[str]:
        """Return the deployments for which somebody waits."""
        waiting = asking.awaited(self.service, now())
        return [name for name in self._sources if name in waiting]

    def _pass(self, name: str, budget: timedelta | None = None, progress: Progress = lambda report: None) -> Pass:
        its, source = self._settings.deployments[name], self._sources[name]
        return Pass(
            self.service, source, name, its.url, its.lookback, its.poll, self._settings.log_waits, now, budget, progress,
            errands=lambda: comparing.errands(self.service, source, name, now),
            notes=lambda: [*source.troubles(), *source.oddities()], is_over=self._over.is_set,
        )  # fmt: skip

    def settle(self) -> int:
        """Bring problems up to the clock."""
        return self.service.settle(now())

    @functools.cached_property
    def _mirroring(self) -> Sync:
        return syncer(self._settings, self.service, now)

    def sync(self) -> SyncReport | None:
        """Make a round over the GitLab issues; None where no GitLab is set up, or this process is at one still.

        So a GitLab that is slow keeps one thread of a worker busy, never two.
        """
        if not self._settings.gitlabs or not self._syncing.acquire(blocking=False):
            return None
        try:
            grant(self._settings, self.service, now)
            troubles = ask_owners(self._settings, self.service, now())
            report = self._mirroring.run(timedelta(seconds=SYNC_EVERY))
            report.troubles += troubles
            return report
        finally:
            self._syncing.release()

    def regroup(
        self, told: Callable[[int], None] = lambda tries: None, budget: timedelta | None = None
    ) -> Regroup | None:
        """Sign anew what is of another edition, and return the intent; None where nothing is, or another process does it."""
        work = Regrouping(self.service, now, self._since)
        if not work.is_due():
            return None
        return self._alone("regroup", told, lambda step: work.run(step, budget))

    def retire(self, told: Callable[[int], None] = lambda tries: None, budget: timedelta | None = None) -> int | None:
        """Delete failed tries that are kept no longer; return how many, None where another process does it."""
        keep = self._settings.retention
        if self._retired == retention.first_kept(keep, now()):
            return 0
        done = self._alone("retire", told, lambda step: retention.retire(self.service, keep, now, step, budget))
        if done is None:
            return None
        gone, self._retired = done
        return gone

    def _alone(
        self, what: str, told: Callable[[int], None], work: Callable[[Callable[[int], None]], _T | None]
    ) -> _T | None:
        """Work where no other process does the same and a slot is free; None elsewhere, or when the lease is lost on the way."""
        with self._slot() as is_free, lease(self.service.store, what, now) as renew:
            if renew is None or not is_free:
                return None

            def step(tries: int) -> None:
                renew()
                if self._over.is_set():
                    raise LeaseLost
                told(tries)

            try:
                return work(step)
            except LeaseLost:
                return None


def make_app(settings: Settings, bulk: int = 1, over: threading.Event | None = None) -> Celery:
    """Build the Celery app with its tasks; connects to nothing. `bulk` and `over` are the collector's."""
    app = celery(settings)
    app.steps["worker"].add(_step(settings.data_dir / "alive"))
    broker = Broker(settings, app)
    lock = threading.Lock()
    made: list[Collector] = []

    def collector() -> Collector:
        with lock:
            if not made:
                made.append(Collector(settings, bulk, over))
            return made[0]

    @app.task(name=PASS)  # type: ignore[untyped-decorator]
    def look(name: str) -> None:
        if name in settings.deployments:
            collector().look(name)

    @app.task(name=BACKFILL)  # type: ignore[untyped-decorator]
    def backfill() -> None:
        collector().backfill()

    @app.task(name=SERVE)  # type: ignore[untyped-decorator]
    def serve(name: str) -> None:
        if name in settings.deployments:
            collector().serve(name)

    @app.task(name=ERRANDS)  # type: ignore[untyped-decorator]
    def errands() -> None:
        for name in collector().awaited():
            broker.send(Tick(SERVE, ERRANDS_EVERY, (name,)))

    @app.task(name=REGROUP)  # type: ignore[untyped-decorator]
    def regroup() -> None:
        collector().regroup(budget=timedelta(seconds=REGROUP_EVERY))

    @app.task(name=RETIRE)  # type: ignore[untyped-decorator]
    def retire() -> None:
        collector().retire(budget=RETIRE_FOR)

    @app.task(name=SYNC)  # type: ignore[untyped-decorator]
    def sync() -> None:
        collector().sync()

    @app.task(name=SETTLE)  # type: ignore[untyped-decorator]
    def settle() -> None:
        collector().settle()

    return app


def _step(folder: Path) -> type[bootsteps.StartStopStep]:
    class Pulse(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.components:Timer",)

        def start(self, worker: Any) -> None:
            pulse.forget(folder, "worker")
            worker.timer.call_repeatedly(pulse.EVERY, pulse.touch, (folder, "worker"))

    return Pulse
