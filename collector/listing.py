"""The two listings of failures read into the store: the news at every pass, what was missed slice by slice behind them.

Owns the cursor of a deployment: facts are kept before it moves, so a kill anywhere only costs reading something twice.
`spans` decides what is read, this does it. Runs under the lease of the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from collector import spans
from collector.report import Report
from collector.source import Source
from triage.errors import SourceError, StaleProblem
from triage.lease import LeaseLost
from triage.model import Occurrence
from triage.service import Service
from triage.watched import Cursor, Listing


@dataclass(slots=True)
class Listings:
    """The listings of one deployment during one pass; `told` hears of every page. `clock` is ours."""

    service: Service
    source: Source
    deployment: str
    lookback: timedelta
    poll: timedelta
    clock: Callable[[], datetime]
    report: Report
    told: Callable[[], None]
    is_sweep: bool = False
    slices: int = 0
    _cursor: Cursor = field(init=False)
    _revision: int | None = field(init=False)
    _broken: set[Listing] = field(default_factory=set)

    def __post_init__(self) -> None:
        found = self.service.store.get(Cursor, self.deployment)
        self._cursor, self._revision = found or (Cursor(self.deployment), None)
        self.is_sweep = spans.is_sweep_due(self._cursor, self.clock())

    def news(self) -> None:
        """Read what failed since the last pass; a listing that breaks off keeps its place and what came of it."""
        self._adopt()
        offset = self.source.offset
        started = self.clock() + timedelta(seconds=offset)
        for listing in Listing:
            oldest = spans.reach(self._cursor, listing, offset, started, self.lookback)
            since = spans.news(oldest, started, self.poll, sweep=self.is_sweep)
            if self._keep(self._pages(listing, since, None)):
                self.report.is_listed = True
                self._cursor = spans.moved(self._cursor, listing, oldest, since, started)
        if self.report.is_listed:
            swept_at = self.clock() if self.is_sweep else self._cursor.swept_at
            self._cursor = replace(self._cursor, offset=offset, swept_at=swept_at)
        self._cursor = spans.tidy(self._cursor, self.clock())
        self._save()

    def back(self) -> bool:
        """Read one more slice of what was missed; False when there is none that may be read now."""
        length = spans.FIRST_SLICE if self._cursor.slice is None else timedelta(seconds=self._cursor.slice)
        part = spans.pick(self._cursor, self.clock(), self._broken, length)
        if part is None:
            return False
        self.slices += 1
        since, until = part.window
        listed = self.report.listed
        if self._keep(self._pages(part.gap.listing, since, until)):
            length = spans.next_length(length, self.report.listed - listed)
            self._cursor = replace(spans.read(self._cursor, part, self.clock()), slice=length.total_seconds())
        else:
            self._broken.add(part.gap.listing)
            self._cursor = spans.broken(self._cursor, part, self.clock())
        self._save()
        return True

    def _adopt(self) -> None:
        scope = self.service.scope(self.deployment)
        if self._cursor.scope not in ("", scope):
            self.service.adopt(self.deployment, self._cursor.scope, self.clock())
        self._cursor = replace(self._cursor, scope=scope)

    def _pages(self, listing: Listing, since: datetime, until: datetime | None) -> Iterable[list[Occurrence]]:
        ask = self.source.events if listing is Listing.EVENTS else self.source.listed
        return ask(since, self.clock(), until)

    def _keep(self, pages: Iterable[list[Occurrence]]) -> bool:
        """Keep every page; False where the source broke off, so that its place stays."""
        try:
            for page in pages:
                put = self.service.record(replace(fact, next_fetch_at=self.clock()) for fact in page)
                self.report.listed += len(page)
                self.report.new += put.new
                self.told()
        except SourceError as exc:
            self.report.trouble(exc)
            return False
        return True

    def _save(self) -> None:
        self.report.gaps = self._cursor.gaps
        try:
            self._revision = self.service.store.save(self._cursor, self._revision)
        except StaleProblem as exc:
            raise LeaseLost from exc
