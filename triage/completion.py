"""What a search box offers while somebody types: fields, and the values the store has of them, with counts.

Values are read at most once a minute for all tabs of a process, and bounded; then a keystroke costs a look at two places
of a sorted list. Owns which field has values of its own, and which fixed ones.
"""

from __future__ import annotations

import heapq
import threading
from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime, timedelta

from triage.model import LogStatus
from triage.narrowing import term
from triage.query import EVERYTHING, FACETS, FIELDS
from triage.query.fields import HAS, IS
from triage.records import TriageState
from triage.search import merged
from triage.store import Store
from triage.tokens import fold

OFFERED = 8
_VALUES = 100_000  # values of a field that are looked at, the most frequent ones
_FRESH = timedelta(minutes=1)
_LONGEST = 100  # characters of what is typed that are looked at
_PAST = "\U0010ffff"
_FIXED = {
    "state": tuple(state.lower() for state in TriageState),
    "is": IS,
    "has": HAS,
    "log": tuple(LogStatus),
    "at": ("now-1h", "now-24h", "now-7d", "now-30d"),
}
_UNCOUNTED = ("title", "fingerprint")  # facets of a store, but nothing to be picked from a list


@dataclass(frozen=True, slots=True)
class Offer:
    """What may stand in a query next: its text, and how many failed tries have it; 0 where that was not counted."""

    text: str
    count: int = 0


class Values:
    """The values of the store's fields, shared by the threads of a process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, tuple[datetime, list[tuple[str, str, int]]]] = {}

    def offers(self, typed: str, now: datetime) -> list[Offer]:
        """Return what the last word of a query may become, the likeliest first."""
        field, colon, value = typed[:_LONGEST].partition(":")
        if not colon:
            names = sorted(set(FIELDS.values()))
            return [Offer(f"{name}:") for name in names if field and name.startswith(field.lower())][:OFFERED]
        name = FIELDS.get(field.lower(), "")
        start = fold(value.lstrip('"').replace('\\"', '"').replace("\\\\", "\\"))
        if name in _FIXED:
            return [Offer(_fixed(name, one)) for one in _FIXED[name] if one.startswith(start)][:OFFERED]
        if name not in FACETS or name in _UNCOUNTED:
            return []
        known = self._of(name, now)
        low, high = bisect_left(known, (start,)), bisect_left(known, (start + _PAST,))
        best = heapq.nsmallest(OFFERED, known[low:high], key=lambda one: (-one[2], one[1]))
        if len(best) < OFFERED and start:  # what holds it elsewhere comes behind
            rest = (one for one in known if start in one[0] and not one[0].startswith(start))
            best += heapq.nsmallest(OFFERED - len(best), rest, key=lambda one: (-one[2], one[1]))
        return [Offer(term(name, value), count) for _, value, count in best]

    def _of(self, name: str, now: datetime) -> list[tuple[str, str, int]]:
        """The values of a field as (folded, as stored, count), in order."""
        with self._lock:
            found = self._known.get(name)
            if found is None or not timedelta(0) <= now - found[0] < _FRESH:
                counted = self._store.facets(EVERYTHING, [name], _VALUES)[name]
                found = self._known[name] = (
                    now,
                    sorted((fold(value), value, count) for value, count in merged(counted)),
                )
            return found[1]


def _fixed(name: str, value: str) -> str:
    return f"{name}:[{value} TO now]" if name == "at" else f"{name}:{value}"
