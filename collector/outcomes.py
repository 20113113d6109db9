"""How the tasks of open problems fared since: the questions a pass asks for it, a few at its end.

Owns the order of the questions about one task and what is spared: one question where it has not succeeded since the
problem began, a second and a third only where the first says that there is more to know. Judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from collector.source import Source
from triage import asking, outcomes
from triage.asking import Asking
from triage.outcomes import Healing, Retried, Successes
from triage.records import Outcomes
from triage.service import Service

# Tasks asked about in one pass; with at most four questions each, a pass of 30 s adds about one a second to the server.
TASKS = 8
_INSTANT = timedelta(microseconds=1)


def ask(service: Service, source: Source, deployment: str, now: Callable[[], datetime], limit: int = TASKS) -> int:
    """Ask about the tasks that are due, keep each answer, and return how many. `now` is the server's clock.

    Stops with the SourceError of the first question that the server does not answer: what was kept stays.
    """
    due = asking.due(service, deployment, now(), limit)
    for one in due:
        asking.keep(service, _answer(service, source, one, now()), one.revision)
        service.wake(one.problem, now() - timedelta(seconds=source.offset))  # it may wait for a success in a deploy
    return len(due)


def _answer(service: Service, source: Source, one: Asking, now: datetime) -> Outcomes:
    since = one.since + _INSTANT
    began = source.successes(one.dag_id, one.task_id, one.began + _INSTANT)
    later = began
    if one.began != one.since:
        is_later = began.newest is not None and began.newest >= since
        later = source.successes(one.dag_id, one.task_id, since) if is_later else Successes()
    healing = _healing(service, source, one, now)
    schedule = source.schedule(one.dag_id)
    return Outcomes(
        problem=one.problem, deployment=one.deployment, dag_id=one.dag_id, task_id=one.task_id, began=one.began,
        since=one.since, as_of=now, next_ask_at=outcomes.next_ask(one.since, now), succeeded=later.count,
        failed=asking.others(service, one), between=max(began.count - later.count, 0), last_success_at=began.newest,
        healed=healing.healed, broken=healing.broken, waiting=healing.waiting, healed_on=healing.on,
        is_apart=healing.apart, is_paused=schedule.is_paused, is_gone=schedule.is_gone, next_run_at=schedule.next_run_at,
        dag_version=began.dag_version, bundle_version=began.bundle_version,
    )  # fmt: skip


def _healing(service: Service, source: Source, one: Asking, now: datetime) -> Healing:
    tries = asking.tries(service, one)
    retried = Retried()
    if unsettled := outcomes.unsettled(tries):
        earliest = min(failed.ended_at for failed in unsettled)
        retried = source.retried(one.dag_id, one.task_id, earliest)
    return outcomes.healing(tries, retried, now)
