"""What GitLab's webhook told and nobody has looked at yet: kept, handed out, forgotten.

The shell of webhooks. A delivery that is repeated, late or early makes no second work. Owns how much is kept, and how
long: what is lost here is found by the next look at everything, so nothing depends on it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from triage.errors import StaleProblem
from triage.mirrors import Heard
from triage.store import Store

LASTS = timedelta(days=1)  # GitLab repeats a delivery within hours; after a day everything was looked at anyway
MOST = 2_000  # things that are remembered at once
_KEYS = 20  # deliveries about one thing that are recognised when they come again
_ROUNDS = 20  # lost races in a row before giving up; each is another delivery kept


def keep(store: Store, told: Heard) -> bool:
    """Keep what a delivery told; False where it is known, or there is no room for it. May be repeated."""
    for attempt in range(_ROUNDS):
        found = store.get(Heard, told.id)
        if found is None and not _has_room(store, told.at):
            return False
        if found and told.keys[0] in found[0].keys:
            return False
        try:
            store.save(_joined(found[0], told) if found else told, found[1] if found else None)
        except StaleProblem:
            if attempt == _ROUNDS - 1:
                raise
            continue
        return True
    return False


def _joined(known: Heard, told: Heard) -> Heard:
    is_same = not known.is_waiting or known.by == told.by
    keys = (*known.keys, *told.keys)[-_KEYS:]
    # The time of the first that waits stays, so that a thing which is told of again and again is not put off.
    return replace(told, by=told.by if is_same else 0, at=known.at if known.is_waiting else told.at, keys=keys)


def _has_room(store: Store, now: datetime) -> bool:
    """Say whether one thing more may be remembered; what was looked at makes room, the longest known half of it first."""
    known = store.records(Heard)
    if len(known) < MOST or forget(store, now) > 0:
        return True
    seen = sorted((pair for pair in known if not pair[0].is_waiting), key=lambda pair: (pair[0].at, pair[0].id))
    return _dropped(store, seen[: (len(seen) + 1) // 2]) > 0


def pass_over(store: Store, now: datetime, places: Container[tuple[str, int]]) -> None:
    """Count what was told of other projects than `places` (a GitLab and the number of a project there) as looked at."""
    for told, revision in waiting(store, now):
        if (told.gitlab, told.project) not in places:
            looked_at(store, told, revision)


def waiting(store: Store, now: datetime) -> list[tuple[Heard, int]]:
    """Return what is to be looked at with its revision, what was told first first."""
    return sorted(store.records(Heard, wake_before=now), key=lambda pair: (pair[0].at, pair[0].id))


def looked_at(store: Store, told: Heard, revision: int) -> None:
    """Note that GitLab was asked about it; what was told of it meanwhile stays to be looked at."""
    with suppress(StaleProblem):
        store.save(replace(told, is_waiting=False), revision)


def forget(store: Store, now: datetime) -> int:
    """Forget what is older than a day, looked at or not; return how much that was."""
    return _dropped(store, [pair for pair in store.records(Heard) if now - pair[0].at > LASTS])


def _dropped(store: Store, known: Iterable[tuple[Heard, int]]) -> int:
    gone = 0
    for told, revision in known:
        with suppress(StaleProblem):
            store.delete(Heard, told.id, revision)
            gone += 1
    return gone
