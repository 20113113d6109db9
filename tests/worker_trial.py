"""Many workers on one store and one Redis, and what befalls them, drawn from a seed: kills, restarts, a wipe, a full Redis.

Owns the processes and the faults of a trial; what it shows is judged by who runs it. Real processes, a real redis-server.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import redis

from tests.airflow_stub import Stub, fail, serving
from tests.place import Account, Place, place, wait_for
from tests.processes import free_port, redis_server
from triage import presence
from triage.query import EVERYTHING, parse
from triage.service import Service
from triage.watched import Lease

BEFALLS = (
    "a worker is killed",
    "the beat is killed",
    "Redis restarts",
    "Redis is wiped",
    "Redis is full",
    "a worker ends",
)


@dataclass
class Trial:
    """Workers at work. `befall` does one thing to them, `recover` fails a task and says how long its problem took, in s."""

    where: Place
    stub: Stub
    url: str
    draw: random.Random
    stack: ExitStack
    server: ExitStack = field(default_factory=ExitStack)
    workers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    failed: int = 0

    @property
    def client(self) -> redis.Redis:
        """A client of the Redis of the trial."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def start(self) -> None:
        """Start one more worker, which may hold the beat."""
        process = self.stack.enter_context(self.where.running("worker", "--beat", "--concurrency", "4"))
        self.workers[process.pid] = process

    def fail(self, count: int = 1) -> None:
        """Let so many more tasks fail."""
        for _ in range(count):
            self.failed += 1
            fail(self.stub, self.failed)

    def befall(self, what: str, service: Service) -> None:
        """Do one thing of `BEFALLS`."""
        match what:
            case "a worker is killed" | "the beat is killed" | "a worker ends":
                victim = self._beat(service) if what == "the beat is killed" else self.draw.choice([*self.workers])
                how = signal.SIGTERM if what == "a worker ends" else signal.SIGKILL
                os.kill(victim, how)
                code = self.workers.pop(victim).wait(15)
                assert code == -how or (code == 0 and how is signal.SIGTERM), code  # -15 before it was at work
                self.start()
            case "Redis restarts":
                self.server.close()
                time.sleep(self.draw.random() * 2)
                self.serve()
            case "Redis is wiped":
                self.client.flushall()
            case "Redis is full":
                self.client.config_set("maxmemory", "1")
                time.sleep(self.draw.random() * 4)
                self.client.config_set("maxmemory", "0")

    def serve(self) -> None:
        """Start the Redis of the trial, empty."""
        port = int(self.url.rpartition(":")[2].partition("/")[0])
        self.server.enter_context(redis_server(self.where.folder, port=port))

    def recover(self, service: Service, patience: float) -> float:
        """Let a task fail and wait until its log is read; return after how many seconds it was."""
        self.fail()
        started, query = time.monotonic(), parse(f"deployment:prod task:t{self.failed} log:whole", datetime.now(UTC))
        wait_for(lambda: service.store.count(query) == 1, patience)
        return time.monotonic() - started

    def result(self, service: Service) -> tuple[int, int, list[int]]:
        """Return how many tries are kept, how many of them wholly, and the totals of the problems."""
        whole = parse("log:whole", datetime.now(UTC))
        totals = [row.total for row in service.queue(datetime.now(UTC))]
        return service.store.count(EVERYTHING), service.store.count(whole), totals

    def is_done(self, service: Service) -> bool:
        """Say whether nothing is left to do."""
        return self.result(service) == (self.failed, self.failed, [self.failed]) and not service.store.touched(1)

    def _beat(self, service: Service) -> int:
        def holder() -> int:
            found = service.store.get(Lease, "beat")
            return int(found[0].holder.split(":")[1]) if found else 0

        wait_for(lambda: holder() in self.workers, 30)
        return holder()


@contextmanager
def trial(folder: Path, seed: int, workers: int, **more: str) -> Iterator[Trial]:
    """Start a Redis, so many workers with a beat each, and an Airflow of one deployment; ends all of it."""
    with ExitStack() as stack:
        stub = stack.enter_context(serving())
        url = f"redis://127.0.0.1:{free_port()}/0"
        where = place(folder / "data", Account(stub.url, "triage", "right"), BROKER=url, **more)
        made = Trial(where, stub, url, random.Random(seed), stack)
        stack.callback(lambda: made.server.close())
        made.serve()
        for _ in range(workers):
            made.start()
        yield made


def alive(service: Service) -> int:
    """Return how many processes say that they live."""
    now = datetime.now(UTC)
    return sum(presence.is_alive(worker, now) for worker in presence.workers(service.store))
