"""The four readers of a deployment at work: errands people wait for, then logs, newest failure first, then gaps.

Owns the limit in flight, the budget of a pass and when readings are recorded and settled. One of these runs at a time
per deployment, under the lease of the pass, so it is the limit over all processes and machines too. One thread writes
to the store, while the next logs are under way: four would wait for each other's transactions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from collector.reading import Reader, Unreadable
from collector.report import Report
from triage.errors import SourceError, StorageAway
from triage.lease import LeaseLost
from triage.model import Occurrence
from triage.service import Service

# At most this many logs in flight per api-server: more gains nothing and from 16 on its database pool deadlocks
# (measured on Airflow 3.3.2, sqlite and PostgreSQL).
IN_FLIGHT = 4
_QUEUED = 2 * IN_FLIGHT  # handed to the threads, so that none of them waits while its last log is recorded
_BATCH = 200
_LOW = 20  # due logs at hand when more are looked for
_GIVE_UP = 8  # failed reads in a row, without one that worked: the server is away, the next pass tries again
_EVERY = timedelta(seconds=1)  # settle, look for errands and for what fell due meanwhile
_RECORD_EVERY, _RECORD_AT = timedelta(seconds=0.25), 20  # readings in one transaction; after a kill they are read again


@dataclass(frozen=True, slots=True)
class Errand:
    """Something a person waits for that needs this deployment; `run` is called in one of the reading threads.

    It keeps what it found itself and may raise SourceError. However often it is offered, it runs once a pass per `id`.
    """

    id: str
    run: Callable[[], None]


Errands = Callable[[], Sequence[Errand]]
_Job = Future[tuple[Occurrence, SourceError | None] | None]


@dataclass(slots=True)
class Readers:
    """Reads for one deployment until nothing is due, the budget is spent or the server fails time and again.

    `more` lists a further part of what was missed and says whether there was one; `late` are logs to ask for once more
    when none is due; `told` hears of every step, and may raise to stop the work.
    """

    service: Service
    reader: Reader
    deployment: str
    clock: Callable[[], datetime]
    report: Report
    errands: Errands
    told: Callable[[], None]
    budget: timedelta | None = None
    _due: deque[Occurrence] = field(default_factory=deque)
    _jobs: dict[_Job, Occurrence | Errand] = field(default_factory=dict)
    _read: list[Occurrence] = field(default_factory=list)
    _served: set[str] = field(default_factory=set)
    _failures: int = 0
    _answers: int = 0  # of those failures: the server answered, and something behind it, or we, failed
    _empty_at: datetime | None = None
    _asked_at: datetime | None = None
    _recorded_at: datetime | None = None
    _settled_at: datetime | None = None

    @property
    def has_given_up(self) -> bool:
        """Say whether reading failed so often in a row that no more logs are asked for in this pass."""
        return self._failures >= _GIVE_UP

    @property
    def is_away(self) -> bool:
        """Say whether it is the server itself that failed so, and is to be left alone with every other question too."""
        return self.has_given_up and self._answers == 0

    def serve(self) -> None:
        """Do the errands that are waiting, and nothing else."""
        self._work(lambda: False)

    def run(self, late: Iterable[Occurrence], more: Callable[[], bool]) -> None:
        """Read what is due, newest failure first, then `late`, then what `more` lists, errands always first."""
        started = self.clock()
        leftover = iter(late)

        def refill() -> bool:
            if self.has_given_up or (self.budget is not None and self.clock() - started > self.budget):
                self._call_off()
                self._due.clear()
                return False
            if len(self._due) >= _LOW or self._look():
                return True
            if again := list(islice(leftover, _LOW)):
                self._due.extend(again)
                return True
            if more():
                self._empty_at = None
                return True
            return False

        self._work(refill)

    def _work(self, refill: Callable[[], bool]) -> None:
        threads = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix=f"log-{self.deployment}")
        is_stopped = False
        try:
            while True:
                self._run_errands(threads)
                is_more = refill()
                while self._due and len(self._jobs) < _QUEUED:
                    fact = self._due.popleft()
                    self._jobs[threads.submit(self.reader.read, fact)] = fact
                if self._jobs:
                    self._take_in()
                elif not is_more:
                    break
                self.told()
        except LeaseLost:
            is_stopped = True  # somebody else reads on, or this process ends: neither waits for a log that hangs
            raise
        finally:
            threads.shutdown(wait=not is_stopped, cancel_futures=True)

    def _run_errands(self, threads: ThreadPoolExecutor) -> None:
        """Look for errands, once a second and whenever the threads are idle, and put them before the queued logs."""
        if self._jobs and self._asked_at is not None and self.clock() - self._asked_at < _EVERY:
            return
        self._asked_at = self.clock()
        errands = [errand for errand in self.errands() if errand.id not in self._served]
        if errands:
            self._call_off()
        for errand in errands:
            self._served.add(errand.id)
            self._jobs[threads.submit(errand.run)] = errand

    def _call_off(self) -> None:
        """Take back the logs that no thread has begun yet."""
        begun = {job: what for job, what in self._jobs.items() if isinstance(what, Errand) or not job.cancel()}
        back = [what for job, what in self._jobs.items() if job not in begun and isinstance(what, Occurrence)]
        self._due.extendleft(reversed(back))
        self._jobs = begun

    def _look(self) -> bool:
        """Get what is due from the store; False when nothing new is, or was a moment ago."""
        if self._empty_at is not None and self.clock() - self._empty_at < _EVERY:
            return False
        at_hand = (*self._due, *self._jobs.values(), *self._read)
        taken = {what.key for what in at_hand if isinstance(what, Occurrence)}
        batch = self.service.store.due(self.deployment, self.clock(), _BATCH)
        found = [fact for fact in batch if fact.key not in taken]
        self._due.extend(found)
        self._empty_at = None if found else self.clock()
        return bool(found)

    def _take_in(self) -> None:
        """Wait for the next reading, record what came, and settle from time to time."""
        done, _ = wait(self._jobs, timeout=1, return_when=FIRST_COMPLETED)
        for job in done:
            what = self._jobs.pop(job)
            try:
                read = job.result()
            except SourceError as exc:  # an errand's
                self.report.trouble(exc)
                continue
            if isinstance(what, Occurrence) and read is not None:
                fact, error = read
                self._failures = self._failures + 1 if error else 0
                self._answers = self._answers + isinstance(error, StorageAway | Unreadable) if error else 0
                self.report.fetched += 1
                self._read.append(fact)
                if error:
                    self.report.trouble(error)
        now = self.clock()
        if len(self._read) >= _RECORD_AT or not self._jobs or _is_over(self._recorded_at, now, _RECORD_EVERY):
            self.service.record(self._read)
            self._read.clear()
            self._recorded_at = now
        if _is_over(self._settled_at, now, _EVERY):
            self.service.settle(now)
            self._settled_at = now


def _is_over(since: datetime | None, now: datetime, span: timedelta) -> bool:
    return since is None or not timedelta() <= now - since < span
