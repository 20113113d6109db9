"""Problems, a clock that is set, and plain words, for whatever mirrors problems to the double of GitLab."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tests.gitlab_double import FakeGitLab
from tests.store_contract import occurrence
from triage.gitlab import Access, GitLab
from triage.hearing import Listen
from triage.issues import Draft, Issues
from triage.mirrors import Mirror
from triage.policy import Judgement, Rules
from triage.queue import QueueRow
from triage.remarks import Remark
from triage.service import Service
from triage.store import Store, open_store
from triage.sync import Report, Sync
from triage.telling import Words

START = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
_OURS = re.compile(r"<ours>.*?<marker=([0-9a-f]+)>", re.S)


@dataclass
class Clock:
    """A clock that only moves when it is told to."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class PlainWords:
    """Texts of the least: a block between marks, a comment for each turn."""

    service: Service
    clock: Callable[[], datetime]

    def edition(self, problem: str) -> str:
        return ""

    def retitled(self, title: str, sent: str) -> str | None:
        return None

    def now(self, problem: str) -> QueueRow | None:
        return next((row for row in self.service.queue(self.clock()) if row.problem.id == problem), None)

    def draft(self, row: QueueRow, judged: Judgement) -> Draft:
        return Draft(row.problem.title, self.block(row), judged.labels, confidential=judged.confidential)

    def storm(self, id: str, waiting: Sequence[QueueRow], labels: tuple[str, ...]) -> Draft:
        names = ", ".join(row.problem.title for row in waiting)
        return Draft("Storm", f"<ours>\n{names} wait\n<marker={id}>", labels)

    def marked(self, description: str) -> str | None:
        found = _OURS.search(description)
        return found[1] if found else None

    def block(self, row: QueueRow) -> str:
        return f"<ours>\n{row.total} tries, {row.problem.state}\n<marker={row.problem.id}>"

    def refreshed(self, description: str, block: str) -> str | None:
        return _OURS.sub(lambda found: block, description, count=1) if _OURS.search(description) else None

    def comment(self, row: QueueRow, remark: Remark) -> str:
        return f"{remark.kind}: {remark.why} {remark.heir_url} <{remark.key}>"

    def is_said(self, text: str, remark: Remark) -> bool:
        return f"<{remark.key}>" in text


@dataclass
class World:
    """A store with problems, and the double it is mirrored to."""

    fake: FakeGitLab
    clock: Clock
    store: Store = field(default_factory=lambda: open_store("sqlite://"))
    project: str = "data/dags"
    rules: Rules | None = None
    listen: Listen | None = None
    wrap: Callable[[Issues], Issues] = lambda issues: issues
    words: Callable[[Service, Clock], Words] = PlainWords
    token: str = "bot"
    timeout: float = 2.0
    runs: int = 0

    @property
    def service(self) -> Service:
        return Service(self.store)

    def fail(self, n: int = 1, *, at: datetime | None = None, dag: str = "orders", **more: object) -> str:
        """Let a task fail of cause `n`, and return the problem's id."""
        self.runs += 1
        when, fingerprint = at or self.clock(), f"1:{n:02x}"
        fact = occurrence(self.runs, at=when, fingerprint=fingerprint, title=f"Error {n}", dag=dag)
        self.service.record([replace(fact, **more)])  # type: ignore[arg-type]
        self.service.settle(self.clock())
        return next(
            row.problem.id for row in self.service.queue(self.clock()) if row.problem.fingerprint == fingerprint
        )

    def sync(self, token: str = "") -> Sync:
        rules = self.rules or Rules(self.fake.url, self.project)
        access = Access(self.fake.url, self.fake.token(token or self.token), timeout=self.timeout)
        service = self.service
        return Sync(
            service, {"prod": rules}, lambda gitlab, project: self.wrap(GitLab(access)),
            self.words(service, self.clock), self.clock, self.listen,
        )  # fmt: skip

    def round(self, seconds: float = 30) -> Report:
        """Let time pass, and make a round."""
        self.clock.forward(seconds=seconds)
        return self.sync().run()

    def settle(self, rounds: int = 12) -> None:
        """Make rounds until one did nothing and nothing is to come, each after what it waits for."""
        for _ in range(rounds):
            report = self.round()
            if report.again_at is not None and report.again_at > self.clock():
                self.clock.now = report.again_at

    def mirror(self, problem: str) -> Mirror:
        found = self.store.get(Mirror, problem)
        assert found is not None
        return found[0]
