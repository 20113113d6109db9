"""What is kept for how long: failed tries for the days that `retention` says, what was counted of them for good.

The shell of `retire` on a store: due once a day, in small slices with pauses between, resumed wherever it was stopped.
Comparisons go with the tries they are about; problems and their history stay. Knows no lease and no schedule.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from triage.errors import StaleProblem
from triage.query import Between
from triage.records import Comparison, Horizon
from triage.service import Service
from triage.store import HORIZON, DeadLetter, Store, record_keys, thing_id

SLICE = 200  # tries a transaction: a fraction of a second, so that a pass beside it is not kept waiting
_MICRO = timedelta(microseconds=1)


def horizon(store: Store) -> Horizon:
    """Return the horizon of a store; its day is empty where nothing was ever retired."""
    found = store.get(Horizon, HORIZON)
    return found[0] if found else Horizon("")


def first_kept(keep: timedelta, now: datetime) -> str:
    """Return the first ISO day that is kept whole: UTC days end at midnight, and the day that `keep` cuts is kept."""
    return (now - keep).date().isoformat()


def horizon_at(store: Store, keep: timedelta, now: datetime) -> str:
    """Return the ISO day before which nothing is to be kept: it moves forward alone, so a longer `keep` brings nothing back."""
    return max(first_kept(keep, now), horizon(store).day)


def behind(store: Store, day: str) -> int:
    """Count the failed tries of days before an ISO day."""
    start = datetime.fromisoformat(day + "T00:00:00+00:00")
    return store.count(Between("at", None, start - _MICRO))


def retire(
    service: Service, keep: timedelta, clock: Callable[[], datetime], told: Callable[[int], None] = lambda tries: None,
    budget: timedelta | None = None, pause: Callable[[float], None] = time.sleep,
) -> tuple[int, str]:  # fmt: skip
    """Delete the failed tries of days before `keep` ago, or as many as `budget` allows.

    Returns how many they were, and the first day that is kept once nothing before it is left, else "".

    `told` hears after each slice how many it were, and may raise to stop the work. After a slice it waits as long as the
    slice took: half of the store's time is left to others.
    """
    store, started, total = service.store, clock(), 0
    day = first_kept(keep, started)
    if day > horizon(store).day:
        service.settle(started)  # so that the step that moves the horizon finds little left to count
    while True:
        begun = clock()
        gone = store.retire(day, SLICE)
        if not gone:
            break
        total += gone
        told(gone)
        if budget is not None and clock() - started > budget:
            return total, ""
        pause(max(0.0, (clock() - begun).total_seconds()))
    if total:
        _forget_comparisons(store)
    forget_letters(store, day)
    return total, day


def _forget_comparisons(store: Store) -> None:
    """Delete the comparisons of tries that are gone: nothing shows them any more."""
    for one, revision in store.records(Comparison):
        if store.occurrence(one.key.id) is None:
            with suppress(StaleProblem):
                store.delete(Comparison, record_keys(one)[0], revision)


def forget_letters(store: Store, day: str) -> int:
    """Delete the dead letters of days before an ISO day, which no store takes any more; return how many."""
    gone, after = 0, ""
    while letters := store.everything(DeadLetter, SLICE, after):
        after = thing_id(letters[-1])
        old = [thing_id(one) for one in letters if one.fact.day < day]
        store.erase(DeadLetter, old)
        gone += len(old)
    return gone
