"""The shell of growth: which problems are looked at, and what is kept of it.

Owns the records of problems that grow. A problem is looked at when failures of it come in, and every hour while it grows.
What growth is decides `growth`; a lost race is left to whoever won it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from triage import growth
from triage.errors import StaleProblem
from triage.growth import LEAST, Past, first_hour
from triage.records import Change, Escalation, Membership, Problem, TriageState
from triage.redact import facts

if TYPE_CHECKING:
    from triage.service import Service


def look(service: Service, pairs: Iterable[tuple[str, str]], now: datetime) -> int:
    """Look whether the problems of these (deployment, fingerprint) pairs grow; return the beginnings and ends."""
    ids = dict.fromkeys(
        found[0].problem
        for deployment, print_ in pairs
        if (found := service.store.get(Membership, f"{service.scope(deployment)}/{print_}"))
    )
    return sum(_look_at(service, id, now) for id in ids)


def look_again(service: Service, now: datetime) -> int:
    """Look at the problems that grew when they were last looked at, where an hour has passed."""
    due = [known.problem for known, _ in service.store.records(Escalation, wake_before=now)]
    return sum(_look_at(service, id, now) for id in due)


def _look_at(service: Service, id: str, now: datetime) -> bool:
    store = service.store
    problem, known = store.get(Problem, id), store.get(Escalation, id)
    if problem is None:
        return False
    members = service.members(problem[0])
    at = service.server_now(problem[0].scope, now)
    hours: dict[int, int] = {}
    for counts in store.hourly(members, first_hour(at)).values():
        for hour, count in counts.items():
            hours[hour] = hours.get(hour, 0) + count
    if known is None and sum(hours.values()) < LEAST:
        return False  # most problems, and they need no tally
    tally = store.tally(members)
    first_seen = tally.first_seen if tally else at
    past = Past(hours, first_seen, at)
    then = Past(hours, first_seen, known[0].since) if known else None
    # One that was merged into another has no failures of its own any more, and ends alike.
    is_over = problem[0].state is TriageState.RESOLVED or bool(problem[0].merged_into)
    found, change = growth.follow(problem[0], known[0] if known else None, past, at, is_over=is_over, then=then)
    with suppress(StaleProblem):
        if found is None and known is not None:
            # The entry first: a kill in between tells the end twice, never not at all.
            if change is not None:
                _tell(service, change)
            store.delete(Escalation, id, known[1])
        elif found is not None and (known is None or _is_news(found, known[0])):
            store.save(found, known[1] if known else None)
            _tell(service, Change(id, found.since, "airtriage", growth.BEGUN, found.why))  # made sure of each hour
    return change is not None


def _tell(service: Service, change: Change) -> None:
    with suppress(StaleProblem):  # it is there
        service.store.save(facts.record(service.redactor, change), None)


def _is_news(found: Escalation, known: Escalation) -> bool:
    """Say whether it is another hour, or worse by half, than when it was last kept: a burst is not a write a second."""
    return growth.hour_of(found.look_at) != growth.hour_of(known.look_at) or found.times >= 1.5 * known.times
