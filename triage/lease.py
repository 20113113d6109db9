"""The right to read a deployment, held by one pass at a time over all processes and machines: a record in the store.

Owns how it is taken, kept alive by a thread of its own, lost and taken over. Knows nothing of what is done under it.
"""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import psutil

from triage.errors import StaleProblem, StoreError
from triage.store import Store
from triage.watched import Lease

# Renewed every 10 s, whatever the holder does meanwhile. Twice the 30 s that a writer may wait for another on SQLite
# (or clocks of two machines may differ): whoever has been silent for longer is dead, and the others wait for two polls.
LEASE = timedelta(seconds=60)
_BEAT = timedelta(seconds=10)


class LeaseLost(Exception):
    """The lease ran out and is somebody else's now: stop, they go on."""


@contextmanager
def lease(store: Store, name: str, clock: Callable[[], datetime]) -> Iterator[Callable[[], None] | None]:
    """Hold a lease while the block runs; yields None where somebody else holds it, else a function to be called often.

    It raises LeaseLost once the lease was lost. A lease whose holder was a process of this host that is gone is taken
    over at once, any other after its expiry; one that expires later than any could is of a clock that was set back.
    """
    held = _take(store, name, clock)
    if held is None:
        yield None
        return
    over = threading.Event()
    heart = threading.Thread(target=held.beat, args=(over,), name=f"lease-{name}", daemon=True)
    heart.start()
    try:
        yield held.renew
    finally:
        over.set()
        heart.join()
        with suppress(StaleProblem):  # it expired and is somebody else's now
            store.delete(Lease, name, held.revision)


def release(store: Store) -> None:
    """Give back every lease of this process, which is about to end without waiting for what it does."""
    mine = f"{socket.gethostname()}:{psutil.Process().pid}:"
    for held, revision in store.records(Lease):
        if held.holder.startswith(mine):
            with suppress(StaleProblem):
                store.delete(Lease, held.name, revision)


def me() -> str:
    """Name this process among all machines, so that a later one of the same number is told from it."""
    return f"{socket.gethostname()}:{_process()}"


def _take(store: Store, name: str, clock: Callable[[], datetime]) -> _Held | None:
    now = clock()
    mine = Lease(name, f"{me()}:{uuid.uuid4().hex}", now + LEASE)
    found = store.get(Lease, name)
    if found and now < found[0].expires_at <= now + 2 * LEASE and not _is_dead(found[0].holder):
        return None
    try:
        return _Held(store, mine, store.save(mine, found[1] if found else None), clock, now)
    except StaleProblem:
        return None


@dataclass(slots=True)
class _Held:
    """A lease of ours, renewed by the pass and by its own thread."""

    store: Store
    mine: Lease
    revision: int
    clock: Callable[[], datetime]
    renewed: datetime
    is_lost: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def renew(self) -> None:
        with self._lock:
            if not self.is_lost and abs(self.clock() - self.renewed) >= _BEAT:
                self._save()
            if self.is_lost:
                raise LeaseLost

    def beat(self, over: threading.Event) -> None:
        """Renew until it is over or lost; a store that is busy is tried again."""
        while not over.wait(_BEAT.total_seconds()):
            with suppress(StoreError):
                try:
                    self.renew()
                except LeaseLost:
                    return

    def _save(self) -> None:
        now = self.clock()
        try:
            self.revision = self.store.save(replace(self.mine, expires_at=now + LEASE), self.revision)
        except StaleProblem:
            self.is_lost = True
        self.renewed = now


def _process() -> str:
    """Name this process so that a later one of the same number is told from it: number and start, in s since boot."""
    me = psutil.Process()
    return f"{me.pid}:{_started(me):.0f}"


def _is_dead(holder: str) -> bool:
    host, pid, started = holder.split(":")[:3]
    if host != socket.gethostname():
        return False
    try:
        found = psutil.Process(int(pid))
        # A zombie waits for its parent to look, which in a container without an init nobody does.
        return found.status() == psutil.STATUS_ZOMBIE or abs(_started(found) - float(started)) > 2
    except psutil.NoSuchProcess:
        return True


def _started(process: psutil.Process) -> float:
    # psutil adds the boot time, which moves when the clock is set; less it, the figure stays for the process's life.
    return float(process.create_time() - psutil.boot_time())
