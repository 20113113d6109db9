"""What changed in the DAG repository before a failure: the shell of `suspects`.

Owns whom to ask, what is remembered of the answers, and the wish for the last good run, which a collector answers: without
it nobody knows from which commit on to look. An answer about two commits never changes, so each is asked for once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from triage import asking, suspects
from triage.errors import GitLabError, GitLabGone, InputError
from triage.model import Occurrence
from triage.records import Comparison, Good
from triage.service import Service
from triage.suspects import History, Source, Span, Suspects

_REMEMBERED = 500  # spans


def _nobody(deployment: str) -> History | None:
    return None


@dataclass(slots=True)
class Suspecting:
    """Tells the source and the suspects of failed tries, their kept log loaded.

    `repositories` maps deployments to the addresses of their DAGs' repositories, for where Airflow does not tell them;
    `history` returns whom to ask about a deployment's, None where nobody tells.
    """

    service: Service
    clock: Callable[[], datetime]
    repositories: Mapping[str, str] = field(default_factory=dict)
    history: Callable[[str], History | None] = _nobody
    _known: dict[Span, Suspects | None] = field(default_factory=dict)
    _answered: dict[str, str] | None = None

    def source(self, fact: Occurrence) -> Source | None:
        """Return the line of the DAG repository that a failed try points to."""
        return suspects.source(fact, self.repositories.get(fact.key.deployment, ""))

    def suspects(self, fact: Occurrence) -> Suspects | None:
        """Return the changes since the last good run; None while that run is not known, or nobody tells of the repository.

        A repository that may not be read has no suspects, and one that gave no answer none this time: an issue is written
        all the same.
        """
        at, history = self.source(fact), self.history(fact.key.deployment)
        between = suspects.span(at, self._good(fact)) if at is not None and history is not None else None
        if between is None or history is None:
            return None
        if between not in self._known:
            try:
                self._known[between] = suspects.suspects(history, between)
            except GitLabError as exc:
                if not isinstance(exc, GitLabGone):
                    return None
                self._known[between] = None
            while len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        return self._known[between]

    def answered(self, problem: str) -> str:
        """Return the end of the last good run of a problem that a collector told, so that there may be more to say by now."""
        if self._answered is None:
            found = [(it.problem, it.good.ended_at) for it, _ in self.service.store.records(Comparison) if it.good]
            self._answered = {problem: end.isoformat() for problem, end in sorted(found)}
        return self._answered.get(problem, "")

    def _good(self, fact: Occurrence) -> Good | None:
        """Return the newest good run from before a try that was compared with one; wishes for it where nobody has.

        Of a problem that came back, one from before it was fixed is no beginning.
        """
        if not (id := self.service.problem_of(fact)):
            return None
        fixed_at = asking.over(self.service, self.service.find(id))
        asked = [it for it, _ in self.service.store.records(Comparison, parent=id)]
        if fixed_at is not None and fact.ended_at > fixed_at:
            asked = [it for it in asked if it.began > fixed_at]
        if not asked:
            with suppress(InputError):  # its log is not known by now, so there is nothing to compare
                asking.want(self.service, id, fact.key.id, "airtriage", self.clock())
        good = [it.good for it in asked if it.good and it.good.ended_at < fact.ended_at]
        return max(good, key=lambda it: it.ended_at, default=None)
