"""Who is at work: a record of every worker and beat in the store, renewed while it lives.

Owns how it is kept, read and forgotten, so that pages know of workers without asking a broker. Says nothing of what they do.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from triage.errors import StaleProblem
from triage.lease import LEASE
from triage.store import Store
from triage.watched import Lease, Worker

EVERY = timedelta(seconds=20)  # how often a worker says that it lives
ALIVE = 3 * EVERY  # who has been silent for longer is taken for dead
FORGOTTEN = timedelta(minutes=15)  # whoever has been silent for so long is no longer listed


def say(store: Store, worker: Worker) -> None:
    """Keep that a worker lives, and forget those long silent: as many records as processes of a quarter of an hour."""
    found = store.get(Worker, worker.id)
    started = replace(worker, started_at=found[0].started_at) if found else worker
    with suppress(StaleProblem):
        store.save(started, found[1] if found else None)
    for other, revision in store.records(Worker):
        if abs(worker.seen_at - other.seen_at) > FORGOTTEN:
            with suppress(StaleProblem):
                store.delete(Worker, other.id, revision)


def leave(store: Store, id: str) -> None:
    """Forget a worker that ends by itself."""
    if found := store.get(Worker, id):
        with suppress(StaleProblem):
            store.delete(Worker, id, found[1])


def workers(store: Store) -> list[Worker]:
    """Return the workers and beats that live, or did lately, in order of id."""
    return [worker for worker, _ in store.records(Worker)]


def is_alive(worker: Worker, now: datetime) -> bool:
    """Say whether a worker was heard of lately."""
    return abs(now - worker.seen_at) <= ALIVE


def ticking(store: Store, now: datetime) -> str:
    """Return who holds the beat, as `host:process`; empty where nobody does."""
    found = store.get(Lease, "beat")
    if not found or not now < found[0].expires_at <= now + 2 * LEASE:
        return ""
    return ":".join(found[0].holder.split(":")[:2])
