"""What is asked of a deployment on behalf of its problems: how their tasks fared since, and how a good run's log differs.

The shell of outcomes and comparisons, beside `service`: both are records, a question due or a wish until a collector has
answered it. Owns which tasks a problem is asked about. Never asks anybody itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from triage import lifecycle, outcomes
from triage.errors import InputError, StaleProblem
from triage.model import Occurrence
from triage.query import Between, Field, Members, Never, Query, both
from triage.records import Comparison, ComparisonStatus, Membership, Outcomes, Problem
from triage.redact import facts
from triage.service import Service
from triage.store import Summary
from triage.tokens import fold

_TRIES = 100  # the newest failed tries of a problem in a task that are looked at for how their task instances ended


@dataclass(frozen=True, slots=True)
class Asking:
    """A task of an open problem that is due to be asked about.

    `began` and `since` are the ends of the problem's first and newest failed try in it; `revision` is that of the last
    answer. `pairs` are the (deployment, fingerprint) pairs through which the problem owns tries here.
    """

    problem: str
    deployment: str
    dag_id: str
    task_id: str
    began: datetime
    since: datetime
    due_at: datetime
    pairs: frozenset[tuple[str, str]]
    revision: int | None = None


def due(service: Service, deployment: str, now: datetime, limit: int) -> list[Asking]:
    """Return the tasks to ask about by `now` (the server's clock), the longest due first, at most `limit`.

    Only open problems, and those about which the answers decide; of each only the tasks in which it was seen last, of one
    that is to be resolved when quiet all of them.
    """
    known = {
        (found.problem, found.dag_id, found.task_id): (found, revision)
        for found, revision in service.store.records(Outcomes)
        if found.deployment == deployment
    }
    ready = []
    for problem, parts in _asked_about(service, deployment, now):
        for dag_id, task_id, began, since in _newest(parts, None if problem.quiet_for else outcomes.TASKS):
            answer, revision = known.get((problem.id, dag_id, task_id), (None, None))
            if (at := outcomes.due_at(answer, since)) <= now:
                pairs = frozenset((part.deployment, part.fingerprint) for part in parts)
                ready.append(Asking(problem.id, deployment, dag_id, task_id, began, since, at, pairs, revision))
    return sorted(ready, key=lambda one: (one.due_at, one.dag_id, one.task_id))[:limit]


def _asked_about(service: Service, deployment: str, now: datetime) -> list[tuple[Problem, list[Summary]]]:
    """Return the problems to ask about with their summaries of a deployment."""
    scope = service.scope(deployment)
    problems = service.store.records(Problem, parent=scope)
    wanted = {it.id: it for it, _ in problems if it.state in lifecycle.OPEN or lifecycle.awaits_answers(it)}
    memberships = service.store.records(Membership)
    owned = {it.fingerprint: it.problem for it, _ in memberships if it.scope == scope and it.problem in wanted}
    members = [(deployment, fingerprint) for fingerprint in owned]
    found: dict[str, list[Summary]] = {}
    for summary in service.store.summaries(since=now.date().isoformat(), members=members) if members else ():
        found.setdefault(owned[summary.fingerprint], []).append(summary)
    return [(wanted[id], parts) for id, parts in found.items()]


def _newest(parts: Iterable[Summary], limit: int | None) -> list[tuple[str, str, datetime, datetime]]:
    spans: dict[tuple[str, str], tuple[datetime, datetime]] = {}
    for part in parts:
        for task, (first, last) in part.spans.items():
            before = spans.get(task, (first, last))
            spans[task] = min(first, before[0]), max(last, before[1])
    newest = sorted(spans.items(), key=lambda item: (item[1][1], item[0]), reverse=True)[:limit]
    return [(dag, task, max(first, last - outcomes.WINDOW), last) for (dag, task), (first, last) in newest]


def tries(service: Service, asking: Asking) -> list[Occurrence]:
    """Return the newest failed tries of the problem in the task, newest first."""
    found = service.store.search(both(Members(asking.pairs), *_task(asking)), _TRIES)
    return [one for one in found if (one.key.dag_id, one.key.task_id) == (asking.dag_id, asking.task_id)]


def others(service: Service, asking: Asking) -> int:
    """Count the tries of the task that failed since of something else."""
    after = Between("at", asking.since + timedelta(microseconds=1), None)
    return service.store.count(both(after, *_task(asking), Never(Members(asking.pairs))))


def _task(asking: Asking) -> list[Query]:
    names = (("deployment", asking.deployment), ("dag", asking.dag_id), ("task", asking.task_id))
    return [Field(name, fold(value)) for name, value in names]


def keep(service: Service, answer: Outcomes, revision: int | None) -> None:
    """Keep an answer; one that somebody else kept meanwhile stays, as it is as good."""
    with suppress(StaleProblem):
        service.store.save(answer, revision)


def want(service: Service, id: str, occurrence: str, who: str, now: datetime) -> Comparison:
    """Wish for the comparison of a failed try of problem `id` with the last good run of its task; by default the newest.

    Returns the wish, or the one that is still open. The good run is from before the problem began, of one that came back
    from before this try. InputError where the log of the try is not known: nothing could be compared.
    """
    view = service.problem(id, now)
    fact = service.store.occurrence(occurrence) if occurrence else service.readable(view)
    if fact is None or service.problem_of(fact) != view.row.problem.id:
        raise InputError(
            f"Problem {view.row.problem.id} has no failed try {occurrence!r}.",
            "airtriage problem --json prints the ids of its tries.",
        )
    if not fact.kept:
        raise InputError(
            "The log of this try is not known, so there is nothing to compare.", "Choose a try that has a log."
        )
    found = service.store.get(Comparison, fact.key.id)
    if found and found[0].status is ComparisonStatus.WANTED:
        return found[0]
    fixed_at = over(service, view.row.problem)
    began = view.row.first_seen if fixed_at is None or fact.ended_at <= fixed_at else fact.started_at or fact.ended_at
    wish = Comparison(fact.key, view.row.problem.id, began, now, who)
    with suppress(StaleProblem):  # somebody else wished for the same just now
        service.store.save(wish, found[1] if found else None)
    return wish


def over(service: Service, problem: Problem) -> datetime | None:
    """Return when a problem was last resolved that came back since; None for one that never came back."""
    told = iter(service.history(problem))
    came_back = any(change.what == "regressed" for change in told)
    return next((change.at for change in told if change.what.startswith("resolved")), None) if came_back else None


def comparison(service: Service, occurrence: str) -> Comparison | None:
    """Return the comparison of a failed try, or the wish for it; None where nobody asked."""
    found = service.store.get(Comparison, occurrence)
    return found[0] if found else None


def wanted(service: Service, deployment: str, now: datetime) -> list[tuple[Comparison, int]]:
    """Return the open wishes of a deployment with their revisions, the oldest first."""
    found = service.store.records(Comparison, wake_before=now)
    return sorted((pair for pair in found if pair[0].key.deployment == deployment), key=lambda pair: pair[0].wanted_at)


def awaited(service: Service, now: datetime) -> set[str]:
    """Return the deployments with an open wish."""
    return {wish.key.deployment for wish, _ in service.store.records(Comparison, wake_before=now)}


def answer(service: Service, done: Comparison, revision: int) -> None:
    """Keep what became of a wish; one that was wished for anew meanwhile stays open."""
    with suppress(StaleProblem):
        service.store.save(facts.record(service.redactor, done), revision)
