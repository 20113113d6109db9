"""What a search shows beside the failed tries themselves: facets, a page from a place on, everything to its end.

The shell that pages, command line and API share. Owns that a facet's count is what a click on it finds, and how a place in
the list is written in an address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from triage.errors import InputError
from triage.model import Occurrence
from triage.narrowing import FACETED
from triage.query import Between, Query, both, parse
from triage.service import Service
from triage.store import Store
from triage.timeline import Span
from triage.tokens import fold

Place = tuple[datetime, str]  # the end and the id of a failed try, as `Store.search` takes it
Counts = dict[str, list[tuple[str, int]]]
BATCH = 500  # failed tries held at a time by whoever goes through all of them
_READ = 1_000  # values of a field read, so that spellings which differ in case alone are one
_PLACE = re.compile(r"(\d{1,17})-([0-9a-f]{32})\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OWNERS = 4_096  # fingerprints whose problem is remembered


def understood(service: Service, text: str, now: datetime, within: Span | None = None) -> Query:
    """Parse a query, put in what problems it speaks of, and keep to a span of time; InputError says what is wrong."""
    query = service.resolve_terms(parse(text, now), now)
    if within is None:
        return query
    return both(query, Between("at", within.since, within.until - timedelta(microseconds=1)))


def facets(
    store: Store, query: Query, shown: int, fields: Sequence[str] = FACETED, *, as_of: int | None = None
) -> Counts:
    """Count everything a query finds by each of these fields, the `shown` most frequent values of each.

    Values that a query does not tell apart are one, under the spelling that most have: so a term for it finds its count.
    """
    counted = store.facets(query, fields, _READ, as_of=as_of)
    return {field: merged(counted[field])[:shown] for field in fields}


def merged(values: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Make one of the values that a query does not tell apart; `values` come by count."""
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    for value, count in values:
        key = fold(value)
        names.setdefault(key, value)
        counts[key] = counts.get(key, 0) + count
    return sorted(((names[key], count) for key, count in counts.items()), key=lambda pair: (-pair[1], pair[0]))


def written(fact: Occurrence) -> str:
    """Write the place of a failed try in the list of all."""
    return f"{(fact.ended_at - _EPOCH) // timedelta(microseconds=1)}-{fact.key.id}"


def place(text: str) -> Place | None:
    """Read such a place, None for an empty text; InputError for anything else."""
    if not text:
        return None
    match = _PLACE.match(text)
    try:
        if match:
            return _EPOCH + timedelta(microseconds=int(match[1])), match[2]
    except OverflowError:
        pass
    raise InputError("This address names no place in the list.", "Leave out after=, which begins at the newest.")


def everything(store: Store, query: Query, limit: int | None = None) -> Iterator[Occurrence]:
    """Yield what a query finds, newest first, at flat memory; none twice, however many come in meanwhile."""
    after, left = None, limit
    while left is None or left > 0:
        page = store.search(query, min(BATCH, left or BATCH), after)
        yield from page
        if not page:
            return
        after = (page[-1].ended_at, page[-1].key.id)
        left = None if left is None else left - len(page)


def owning(service: Service) -> Callable[[Occurrence], str]:
    """Return a function that names the problem of a failed try, and remembers what it asked lately."""

    @lru_cache(_OWNERS)
    def known(deployment: str, fingerprint: str) -> str:
        return service.problem_by(deployment, fingerprint)

    return lambda fact: known(fact.key.deployment, fact.fingerprint)
