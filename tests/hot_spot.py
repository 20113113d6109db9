"""Many workers, processes of their own, that record and settle failures of one cause at the same moment: a hot spot.

Counts what it cost: how often a write came too late for another worker's, and how long each step took.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context

from tests.store_contract import NOW, occurrence
from triage.model import Occurrence
from triage.service import Service
from triage.store import open_store
from triage.store.elastic.session import Answer, Session, Write

BATCH = 20  # failures that a worker brings at once, as a pass does with the logs it has read


@dataclass(frozen=True)
class Told:
    """What one worker did: tries it was the first with, conflicts in all and at most in one step, seconds of its steps."""

    new: int
    conflicts: int
    most: int
    steps: tuple[float, ...]


def share(worker: int, workers: int, tries: int) -> list[Occurrence]:
    """The failures that one worker brings, within one minute, and some that its neighbour brings too."""
    mine = [n for n in range(tries) if n % workers == worker]
    also = [n for n in range(tries) if n % workers == (worker + 1) % workers][:BATCH]
    return [occurrence(n, at=NOW + timedelta(milliseconds=n * 60_000 // tries)) for n in mine + also]


def hammer(url: str, worker: int, workers: int, tries: int) -> Told:
    """Record and settle one worker's share, batch by batch."""
    lost = [0]
    bulk = Session.bulk

    def counted(self: Session, writes: list[Write]) -> list[Answer]:
        answers = bulk(self, writes)
        lost[-1] += sum(answer.is_conflict for answer in answers)
        return answers

    Session.bulk = counted  # type: ignore[method-assign,assignment]
    store = open_store(url)
    service = Service(store)
    facts, new, steps = share(worker, workers, tries), 0, []
    for start in range(0, len(facts), BATCH):
        lost.append(0)
        began = time.perf_counter()
        new += service.record(facts[start : start + BATCH]).new
        service.settle(NOW + timedelta(minutes=2))
        steps.append(time.perf_counter() - began)
    store.close()
    return Told(new, sum(lost), max(lost), tuple(steps))


def run(url: str, workers: int, tries: int) -> list[Told]:
    """Let all workers go at once; the store is made by whoever of them is first."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(hammer, *zip(*((url, n, workers, tries) for n in range(workers)), strict=True)))
