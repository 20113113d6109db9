"""The Celery app and its beat schedule; each task body is one call.

Owns when and where passes run, never what they do: a message is an idempotent tick that expires, the next tick is the
retry, and a wiped broker loses nothing. The only file that speaks Celery. Embedded, the broker is a folder.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps
from celery.beat import EmbeddedService, PersistentScheduler
from kombu.exceptions import OperationalError

from collector import comparing, pulse
from collector.airflow import Access, Airflow
from collector.collect import Pass
from collector.mirroring import ask_owners, grant, syncer
from collector.report import Progress, Report
from collector.storage import Place, Storage, Stored
from triage import asking, retention
from triage.errors import SettingsError, SourceError
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

PASS = "airtriage.pass"
SERVE = "airtriage.serve"
ERRANDS = "airtriage.errands"
SETTLE = "airtriage.settle"
REGROUP = "airtriage.regroup"
REGROUP_EVERY = (
    30.0  # seconds; how often is looked for tries of another edition of signing, and how long one tick signs
)
RETIRE = "airtriage.retire"
RETIRE_EVERY = 60.0  # seconds; how often is looked for failed tries that are kept no longer
RETIRE_FOR = timedelta(seconds=30)  # how long one tick deletes, half of it pauses
SYNC = "airtriage.sync"
SYNC_EVERY = 30.0  # seconds; how often GitLab is looked at, and how long one tick works on it
SETTLE_EVERY = 30.0  # seconds; wakes problems whose mute or week is over
ERRANDS_EVERY = 3.0  # seconds; how long a person at a page waits for a collector at most, where no pass runs


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
    """The collector of one process: the store, one source a deployment, and the two things Celery calls."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._since = now()
        self._syncing = threading.Lock()
        self._retired = ""  # the first day that is kept, once nothing was left to delete
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
            notes=lambda: [*source.troubles(), *source.oddities()],
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
        with lease(self.service.store, "regroup", now) as renew:
            if renew is None:
                return None

            def step(tries: int) -> None:
                renew()
                told(tries)

            try:
                return work.run(step, budget)
            except LeaseLost:
                return None

    def retire(self, told: Callable[[int], None] = lambda tries: None, budget: timedelta | None = None) -> int | None:
        """Delete failed tries that are kept no longer; return how many, None where another process does it."""
        keep = self._settings.retention
        if self._retired == retention.first_kept(keep, now()):
            return 0
        with lease(self.service.store, "retire", now) as renew:
            if renew is None:
                return None

            def step(tries: int) -> None:
                renew()
                told(tries)

            try:
                gone, day = retention.retire(self.service, keep, now, step, budget)
            except LeaseLost:
                return None
        self._retired = day
        return gone


def make_app(settings: Settings) -> Celery:
    """Build the Celery app for these settings; connects to nothing."""
    app = Celery("airtriage", broker_url=_broker(settings), set_as_current=False)
    app.conf.update(
        broker_transport_options=_transport(settings),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_default_queue="airtriage",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        timezone="UTC",
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        beat_schedule=_ticks(settings),
        beat_schedule_filename=str(settings.data_dir / "beat"),
        beat_scheduler=_scheduler(settings.data_dir / "alive"),
    )
    app.steps["worker"].add(_step(settings.data_dir / "alive"))
    lock = threading.Lock()
    made: list[Collector] = []

    def collector() -> Collector:
        with lock:  # one a process, made after the fork
            if not made:
                made.append(Collector(settings))
            return made[0]

    @app.task(name=PASS)  # type: ignore[untyped-decorator]
    def run_pass(name: str) -> None:
        if name in settings.deployments:
            collector().run(name, budget=settings.deployments[name].poll)

    @app.task(name=SERVE)  # type: ignore[untyped-decorator]
    def serve(name: str) -> None:
        if name in settings.deployments:
            collector().serve(name)

    @app.task(name=ERRANDS)  # type: ignore[untyped-decorator]
    def errands() -> None:
        for name in collector().awaited():
            app.send_task(SERVE, (name,), expires=ERRANDS_EVERY, retry=False)

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


def _scheduler(folder: Path) -> type[PersistentScheduler]:
    class Scheduler(PersistentScheduler):  # type: ignore[misc]
        def tick(self, *args: Any, **kwargs: Any) -> Any:
            pulse.touch(folder, "beat")
            return super().tick(*args, **kwargs)

    return Scheduler


def _step(folder: Path) -> type[bootsteps.StartStopStep]:
    class Pulse(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.components:Timer",)

        def start(self, worker: Any) -> None:
            pulse.forget(folder, "worker")
            worker.timer.call_repeatedly(pulse.EVERY, pulse.touch, (folder, "worker"))

    return Pulse


def work(settings: Settings, *, beat: bool, concurrency: int, loglevel: str = "warning") -> None:
    """Run a worker in this process until it is told to stop; with `beat`, the schedule in a thread of it too."""
    prepare(settings)
    app = make_app(settings)
    if beat:
        _tick_now(app, settings)
        EmbeddedService(app, thread=True, schedule_filename=str(settings.data_dir / "beat")).start()
    argv = ["worker", "--pool=threads", f"--concurrency={concurrency}", f"--loglevel={loglevel}"]
    argv += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--hostname=airtriage@%h"]
    app.worker_main(argv)


def schedule(settings: Settings, loglevel: str = "warning") -> None:
    """Run the schedule in this process until it is told to stop."""
    prepare(settings)
    app = make_app(settings)
    _tick_now(app, settings)
    app.Beat(loglevel=loglevel, quiet=True).run()


def _tick_now(app: Celery, settings: Settings) -> None:
    """Ask for a first pass at once: beat's own first tick comes a whole `poll` later."""
    for name, its in settings.deployments.items():
        with suppress(OperationalError):  # the broker is away: beat goes on asking
            app.send_task(PASS, (name,), expires=its.poll.total_seconds(), retry=False)


def nudge(settings: Settings) -> Callable[[], None]:
    """Return what asks for a round over the GitLab issues now. A broker that is away is no matter: the next tick comes."""

    @functools.cache
    def app() -> Celery:
        prepare(settings)
        made = make_app(settings)
        if not _is_embedded(settings):  # it is called after an answer, in one of few threads
            made.conf.broker_transport_options = {"socket_connect_timeout": 2, "socket_timeout": 5}
        return made

    def ask() -> None:
        with suppress(OperationalError, OSError, SettingsError):
            app().send_task(SYNC, expires=SYNC_EVERY, retry=False)

    return ask


def prepare(settings: Settings) -> None:
    """Make the folders of the embedded parts; SettingsError names the one that cannot be made."""
    folders = (
        [settings.data_dir, *map(Path, _transport(settings).values())]
        if _is_embedded(settings)
        else [settings.data_dir]
    )
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise SettingsError(
                f"The folder {folder} cannot be made: {exc.strerror}.", "Set data_dir to a folder you may write."
            ) from exc


def ping_broker(settings: Settings) -> None:
    """Connect to the broker once; SourceError names it when that fails."""
    prepare(settings)
    with make_app(settings).connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=5)
        except (OSError, OperationalError) as exc:
            raise SourceError(
                f"The broker {connection.as_uri()} does not answer: {exc}.", "Start it, or correct the setting broker."
            ) from exc


def _ticks(settings: Settings) -> dict[str, Any]:
    ticks: dict[str, Any] = {
        name: {"task": task, "schedule": every, "options": {"expires": every}}
        for name, task, every in (
            ("settle", SETTLE, SETTLE_EVERY),
            ("errands", ERRANDS, ERRANDS_EVERY),
            ("regroup", REGROUP, REGROUP_EVERY),
            ("retire", RETIRE, RETIRE_EVERY),
        )
    }
    if settings.gitlabs:
        ticks["sync"] = {"task": SYNC, "schedule": SYNC_EVERY, "options": {"expires": SYNC_EVERY}}
    for name, its in settings.deployments.items():
        poll = its.poll.total_seconds()
        ticks[f"pass {name}"] = {"task": PASS, "schedule": poll, "args": (name,), "options": {"expires": poll}}
    return ticks


def _is_embedded(settings: Settings) -> bool:
    return settings.broker_url.startswith("filesystem:")


def _broker(settings: Settings) -> str:
    return "filesystem://" if _is_embedded(settings) else settings.broker_url


def _transport(settings: Settings) -> dict[str, str]:
    if not _is_embedded(settings):
        return {}
    folder = Path(settings.broker_url.removeprefix("filesystem://"))
    return {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "control_folder": str(folder / "control"),
    }
