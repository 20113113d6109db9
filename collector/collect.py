"""One pass over one deployment: list what failed, read the logs that are due, sign, record, fill gaps, say how it went.

Owns the order of these steps, so that a kill between any two loses nothing and the next pass makes it good. One pass at
a time per deployment, over all processes, by a lease in the store; its four threads are the only readers of logs there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from collector import outcomes
from collector.listing import Listings
from collector.readers import Errands, Readers
from collector.reading import LATE, Reader
from collector.report import Progress, Report
from collector.source import Source
from triage.errors import SourceError, StaleProblem
from triage.lease import LeaseLost, lease
from triage.model import LogStatus, Occurrence
from triage.query import Between, Both, Either, Field
from triage.redact import facts
from triage.service import Service
from triage.tokens import fold
from triage.watched import DeploymentHealth, Trouble

_LATEST = timedelta(days=8)  # how old a failure may be whose log is asked for one last time
_PAGE = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass over one deployment; build it and call `run`, or `serve`. `clock` is ours, aware UTC.

    `budget` bounds the time for reading logs and gaps, so that neither keeps new failures from being listed. `errands`
    are served before any log. `notes` are troubles that stopped nothing and are to be said all the same, asked for at
    the end. Where `is_over`, the pass stops at its next step, as one that lost its lease.
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
    errands: Errands = tuple
    notes: Callable[[], Iterable[Trouble]] = tuple
    is_over: Callable[[], bool] = lambda: False

    def run(self, *, again: bool = False, back: bool = True) -> Report:
        """Make the pass; troubles of the deployment end in the report and on the Health page, never in a crash.

        With `again`, every log of the last `lookback` that stands as missing or in part is asked for once more. Without
        `back`, what was missed is left for another pass.
        """
        return self._alone(lambda report, told: self._run(report, told, again=again, back=back))

    def serve(self) -> Report:
        """Do the errands alone; skipped while a pass is under way, which does them itself."""
        return self._alone(lambda report, told: self._readers(report, told).serve())

    def _alone(self, act: Callable[[Report, Callable[[], None]], None]) -> Report:
        """Act under the lease; `told`, to be called at every step, keeps it and shows how far it is."""
        report = Report(self.deployment)
        with lease(self.service.store, f"pass/{self.deployment}", self.clock) as renew:
            if renew is None:
                report.skipped = True
                return report

            def told() -> None:
                renew()
                if self.is_over():
                    raise LeaseLost
                self.progress(report)

            try:
                act(report, told)
            except LeaseLost:
                report.skipped = True
                return report
        report.backlog = self.service.store.backlog(self.deployment, self.clock())
        return report

    def _run(self, report: Report, told: Callable[[], None], *, again: bool, back: bool) -> None:
        listings = Listings(
            self.service, self.source, self.deployment, self.lookback, self.poll, self.clock, report, told
        )
        version = ""
        try:
            version = self.source.version()
            listings.news()
        except SourceError as exc:
            report.trouble(exc)
        health = self._look(report, version)
        readers = self._readers(report, told)
        if version:
            late = self._lacking(again, readers.reader) if again or listings.is_sweep else ()
            readers.run(late, listings.back if back else lambda: False)
            # However much there is to read, and wherever its logs are: every such pass goes back by one slice at least.
            if back and not listings.slices and not readers.is_away:
                listings.back()
        report.troubles += (trouble for trouble in self.notes() if trouble not in report.troubles)
        self.service.settle(self.clock())
        if version and not readers.is_away:
            self._outcomes(report)
        self._say(report, health)

    def _readers(self, report: Report, told: Callable[[], None]) -> Readers:
        its = self.service
        reader = Reader(self.source, self.poll, self.waits, self.clock, its.redactor, its.signers.current)
        return Readers(self.service, reader, self.deployment, self.clock, report, self.errands, told, self.budget)

    def _outcomes(self, report: Report) -> None:
        """Ask how the tasks of open problems fared since; a server in trouble is not asked this as well."""
        try:
            outcomes.ask(self.service, self.source, self.deployment, self._server_now)
        except SourceError as exc:
            report.trouble(exc)

    def _server_now(self) -> datetime:
        return self.clock() + timedelta(seconds=self.source.offset)

    def _lacking(self, again: bool, reader: Reader) -> Iterator[Occurrence]:
        """Find the logs that stand as missing or in part: those due for their last question, or `again` all of them."""
        now = self._server_now()
        lacking = Either((Field("log", LogStatus.MISSING), Field("log", LogStatus.PARTIAL)))
        when = (now - self.lookback, None) if again else (now - _LATEST, now - LATE + timedelta(hours=2))
        query = Both((Field("deployment", fold(self.deployment)), lacking, Between("at", *when)))
        page = self.service.store.search(query, _PAGE)
        while page:
            yield from (fact for fact in page if fact.next_fetch_at is None and (again or reader.is_late(fact)))
            page = self.service.store.search(query, _PAGE, (page[-1].ended_at, page[-1].key.id))

    # --- health

    def _look(self, report: Report, version: str) -> DeploymentHealth:
        """Say on the Health page what was found so far, before the logs, which may take long."""
        found = self.service.store.get(DeploymentHealth, self.deployment)
        before = found[0] if found else DeploymentHealth(self.deployment, self.url, self.clock())
        health = replace(before, url=self.url, poll=self.poll.total_seconds())
        if version:
            health = replace(
                health,
                version=version,
                offset=self.source.offset,
                components=tuple(self._ask(self.source.health, report)),
                imports=tuple(self._ask(self.source.import_failures, report)),
                pools=tuple(self._ask(self.source.pools, report)),
            )
        if report.is_listed:
            health = replace(health, succeeded_at=self.clock())
        return self._say(report, health)

    def _say(self, report: Report, health: DeploymentHealth) -> DeploymentHealth:
        health = replace(
            health, passed_at=self.clock(), listed=report.listed, fetched=report.fetched,
            troubles=tuple(report.troubles),
        )  # fmt: skip
        found = self.service.store.get(DeploymentHealth, self.deployment)
        with suppress(StaleProblem):  # a pass of another process said so already
            self.service.store.save(facts.record(self.service.redactor, health), found[1] if found else None)
        return health

    def _ask(self, verb: Callable[[], list[T]], report: Report) -> list[T]:
        try:
            return verb()
        except SourceError as exc:
            report.trouble(exc)
            return []
