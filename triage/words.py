"""What an issue says, made of what the store knows: the shell that gathers the facts of a problem for `report`.

Owns where each fact comes from: counts of all days, the newest try whose log is known, the first one, links to Airflow, to
our page and to the line of source. Asks nobody but for suspects.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from triage import elsewhere, links, report, templates
from triage.issues import Draft
from triage.model import Occurrence
from triage.outcomes import OutcomeKind
from triage.policy import Judgement
from triage.query import Between, Members, both
from triage.queue import QueueRow
from triage.remarks import Remark
from triage.report import Facts
from triage.service import Service
from triage.suspecting import Suspecting
from triage.watched import DeploymentHealth

_SHOWN = 100  # problems that a storm's summary names


@dataclass(frozen=True, slots=True)
class Written:
    """The texts of issues, of one store. `urls` maps deployments to Airflow's address, `page` is where people find ours.

    `title` and `body` are templates; empty ones are the default. `suspecting` tells the line of source and what changed before.
    """

    service: Service
    clock: Callable[[], datetime]
    urls: Mapping[str, str] = field(default_factory=dict)
    page: str = ""
    title: str = ""
    body: str = ""
    suspecting: Suspecting | None = None

    def edition(self, problem: str) -> str:
        answered = self.suspecting.answered(problem) if self.suspecting is not None else ""
        said = (
            self.title or templates.TITLE,
            self.body or templates.BODY,
            self.page,
            self.service.redactor.edition,
            answered,
        )
        return hashlib.sha256(repr(said).encode("utf-8", "replace")).hexdigest()[:16]

    def now(self, problem: str) -> QueueRow | None:
        view = self.service.problem(problem, self.clock(), limit=1)
        return view.row if view.row.total and view.row.problem.id == problem else None

    def draft(self, row: QueueRow, judged: Judgement) -> Draft:
        facts = self._facts(row)
        title = report.title(facts, self.title or templates.TITLE, self.service.redactor)
        text = report.description(self._block(facts))
        return Draft(title, text, judged.labels, confidential=judged.confidential)

    def storm(self, id: str, waiting: Sequence[QueueRow], labels: tuple[str, ...]) -> Draft:
        shown = [(row.problem, self._page(row.problem.id)) for row in waiting[:_SHOWN]]
        block = report.storm(id, shown, len(waiting) - len(shown), self.service.redactor)
        return Draft("More new problems than this project may have issues for", report.description(block), labels)

    def marked(self, description: str) -> str | None:
        return report.problem_of(description)

    def block(self, row: QueueRow) -> str:
        return self._block(self._facts(row))

    def retitled(self, title: str, sent: str) -> str | None:
        return report.retitled(title, sent, self.service.redactor)

    def refreshed(self, description: str, block: str) -> str | None:
        return report.refreshed(description, block)

    def comment(self, row: QueueRow, remark: Remark) -> str:
        its = row.problem
        emptied = Facts(its, 0, 0, row.first_seen, row.last_seen, page_url=self._page(its.id))
        facts = self._facts(row) if row.total else emptied
        return report.comment(remark.kind, facts, remark.event, remark.why, self.service.redactor, remark.heir_url)

    def is_said(self, text: str, remark: Remark) -> bool:
        return report.key_of(text) == remark.key

    def _block(self, facts: Facts) -> str:
        return report.block(facts, self.body or templates.BODY, self.service.redactor)

    def _facts(self, row: QueueRow) -> Facts:
        """Gather what a report says; nothing here changes with the time alone."""
        service, its = self.service, row.problem
        suspecting = self.suspecting or Suspecting(service, self.clock)
        view = service.problem(its.id, self.clock())
        newest = service.readable(view)
        members = service.members(its)
        days: Counter[str] = Counter()
        for part in service.store.summaries(members=members):
            days.update(part.daily)
        until = Between("at", None, row.first_seen + timedelta(microseconds=1))
        first = next(iter(service.store.search(both(Members(frozenset(members)), until), 1)), None)
        heals = row.outcome is not None and row.outcome.kind is OutcomeKind.HEALS
        others = [
            report.Elsewhere(one.problem.scope, one.problem.state, one.total, self._page(one.problem.id))
            for one in elsewhere.elsewhere(service, its, view.fingerprints)
        ]
        return Facts(
            problem=replace(its, gitlab_url=""), total=row.total, final=row.final, first_seen=row.first_seen, last_seen=row.last_seen,
            deployments=row.deployments, dags=row.dags, tasks=row.tasks, days=tuple(sorted(days.items())), owner=row.owner,
            outcome=row.outcome.said if heals and row.outcome else "", newest=newest, first=first,
            page_url=self._page(its.id), newest_url=self._try(newest), first_url=self._try(first),
            source=suspecting.source(newest) if newest else None, suspects=suspecting.suspects(newest) if newest else None,
            also_in=tuple(others),
        )  # fmt: skip

    def _page(self, problem: str) -> str:
        return f"{self.page.rstrip('/')}/problem?id={problem}" if self.page else ""

    def _try(self, fact: Occurrence | None) -> str:
        url = self.urls.get(fact.key.deployment, "") if fact else ""
        if fact is None or not url:
            return ""
        found = self.service.store.get(DeploymentHealth, fact.key.deployment)
        return links.try_url(url, fact.key, found[0].version if found else "")
