"""A process at work: a worker, a beat, or both, until it is told to stop.

Owns how such a process starts (one sentence where the broker is wrong), says that it lives, and ends within seconds. What
a tick does is `tasks`', when it comes `beat`'s.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import psutil
from celery.signals import worker_shutting_down
from celery.worker import state

from collector import pulse
from collector.beat import Beat
from collector.broker import FAILURES, Broker, broken, prepare
from collector.tasks import make_app, now
from collector.ticks import ROUND, Lane, ticks
from triage import presence
from triage.errors import SettingsError, StoreError, TriageError
from triage.lease import me, release
from triage.redact import facts
from triage.settings import Settings
from triage.store import Store, open_store
from triage.watched import Trouble, Worker

_GRACE = 5.0  # seconds that what is under way gets at the end; `up` and most supervisors wait for eight or ten
_log = logging.getLogger(__name__)


def work(settings: Settings, *, beat: bool, concurrency: int, lanes: tuple[Lane, ...] = tuple(Lane)) -> None:
    """Run a worker in this process until it is told to stop; with `beat`, a schedule in a thread of it too.

    SettingsError where the broker cannot work as it is set; one that is away is waited for. Half of the threads at most
    do what takes long.
    """
    over = threading.Event()
    broker = _ready(settings)
    store = open_store(settings.store_url, settings.store_access)
    app = make_app(settings, concurrency if lanes == (Lane.BULK,) else concurrency // 2, over)
    gave_up = threading.Timer(_GRACE, _give_up, (store,))
    gave_up.daemon = True

    def stop(**_: object) -> None:
        if not over.is_set():
            over.set()
            gave_up.start()

    worker_shutting_down.connect(stop, weak=False)
    signal.signal(signal.SIGTERM, _exit)  # until Celery's own stands, which lets what is under way end
    code = 0
    argv = ["worker", "--pool=threads", f"--concurrency={concurrency}", "--loglevel=warning"]
    argv += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--hostname=airtriage@%h"]
    argv += [f"--queues={','.join(lane.value for lane in lanes)}"]
    with _threads(settings, store, broker, over, beat=beat, is_worker=True, threads=concurrency, lanes=lanes):
        try:
            app.worker_main(argv)
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else 0
        finally:
            stop()
    release(store)
    logging.shutdown()
    os._exit(code)  # a log that hangs is read by a thread that nothing ends


def schedule(settings: Settings) -> None:
    """Run the schedule alone in this process until it is told to stop; errors as those of `work`."""
    over = threading.Event()
    broker = _ready(settings)
    store = open_store(settings.store_url, settings.store_access)

    def stop(number: int, frame: FrameType | None) -> None:
        over.set()

    signal.signal(signal.SIGTERM, stop)
    with _threads(settings, store, broker, over, beat=True, is_worker=False, threads=0, lanes=()):
        try:
            while not over.wait(3600):
                pass
        finally:
            over.set()


def nudge(settings: Settings) -> Callable[[], None]:
    """Return what asks for a round over the GitLab issues now. A broker that is away is no matter: the next tick comes."""

    @functools.cache
    def broker() -> Broker:
        prepare(settings)
        return Broker(settings)

    def ask() -> None:
        try:
            broker().send(ROUND)
        except SettingsError:  # a folder that cannot be made, which `doctor` says
            _log.debug("No round was asked for.", exc_info=True)

    return ask


def check(settings: Settings) -> Broker:
    """Try the broker once, reading and writing; raises what is wrong with it."""
    broker = Broker(settings)
    if trouble := broker.trouble():
        raise trouble
    return broker


def _ready(settings: Settings) -> Broker:
    prepare(settings)
    broker = Broker(settings)
    match broker.trouble():
        case SettingsError() as trouble:
            raise trouble
        case TriageError() as trouble:
            logging.basicConfig(format="%(message)s")
            _log.error("%s This process waits for it.", trouble)
    return broker


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _give_up(store: Store) -> None:
    """End the process with what it does: the leases go back, and whatever was half done is done again."""
    try:
        release(store)
    except StoreError:
        _log.debug("The leases run out by themselves.", exc_info=True)
    finally:
        os._exit(0)


@contextmanager
def _threads(
    settings: Settings, store: Store, broker: Broker, over: threading.Event,
    *, beat: bool, is_worker: bool, threads: int, lanes: tuple[Lane, ...],
) -> Iterator[None]:  # fmt: skip
    """Run what goes on beside the ticks: the beat, and the word that this process lives. `over` ends both."""
    living = Worker(
        me(), "worker and beat" if beat and is_worker else "worker" if is_worker else "beat", now(), now(),
        tuple(lane.value for lane in lanes), threads,
    )  # fmt: skip
    running = [threading.Thread(target=_live, args=(settings, store, broker, living, over), name="alive", daemon=True)]
    if beat:
        ticking = Beat(
            store, ticks(settings), broker.send, now, over,
            turned=lambda: pulse.touch(settings.data_dir / "alive", "beat"),
        )  # fmt: skip
        running.append(threading.Thread(target=ticking.run, name="beat", daemon=True))
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in running:
            thread.join(_GRACE)


def _live(settings: Settings, store: Store, broker: Broker, living: Worker, over: threading.Event) -> None:
    process = psutil.Process()
    while True:
        try:
            presence.say(store, facts.record(settings.redactor, _now(settings, broker, living, process)))
        except StoreError as exc:
            _log.debug("The store does not take that this process lives: %s", exc)
        if over.wait(presence.EVERY.total_seconds()):
            break
    try:
        presence.leave(store, living.id)
    except StoreError:
        _log.debug("This process is forgotten by itself.", exc_info=True)


def _now(settings: Settings, broker: Broker, living: Worker, process: psutil.Process) -> Worker:
    waiting: dict[str, int] = {}
    trouble: Trouble | None = None
    try:
        waiting = {lane.value: broker.waiting(lane) for lane in Lane}
    except FAILURES as exc:
        wrong = broken(settings, exc)
        trouble = Trouble(wrong.what, wrong.fix)
    return Worker(
        living.id, living.role, living.started_at, now(), living.lanes, living.threads, len(state.active_requests),
        process.memory_info().rss, waiting, trouble,
    )  # fmt: skip
