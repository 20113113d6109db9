"""Whose failures are those of a fingerprint that nobody knows: what a problem owned in former editions, it owns in this one.

The shell of inheritance on a store. Owns which of several problems a fingerprint goes to, so that it is the same in
whatever order failures are seen. Decides nothing about a problem itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from triage.editions import Signers, head
from triage.lifecycle import precedence
from triage.query import Members
from triage.records import Membership, Problem, Regroup
from triage.store import REGROUP, Store

_ASKED = 20  # failed tries of an unknown fingerprint that are signed in former editions, the newest


def editions(store: Store, signers: Signers) -> list[str]:
    """Return the editions that were in force before this one, or are beside it, as far as the store knows."""
    found = store.get(Regroup, REGROUP)
    noted = (*found[0].former, found[0].edition) if found else ()
    return [one for one in dict.fromkeys([*noted, *store.editions()]) if one != signers.edition]


def inherited(store: Store, signers: Signers, scope: str, pair: tuple[str, str]) -> str | None:
    """Return the id of the problem that the (deployment, fingerprint) pair belongs to by what it was in former editions.

    None where none of them knows it, or it is of another edition itself.
    """
    if head(pair[1]) != signers.edition or not (known := editions(store, signers)):
        return None
    owners: set[str] = set()
    for listed in store.search(Members(frozenset([pair])), _ASKED):
        fact = store.occurrence(listed.key.id)
        if fact is None or fact.fingerprint != pair[1] or fact.kept is None:
            continue
        for ancestor in signers.ancestors(fact, known):
            if found := store.get(Membership, f"{scope}/{ancestor}"):
                owners.add(found[0].problem)
    first = foremost(store, owners)
    return first.id if first else None


def foremost(store: Store, ids: Iterable[str]) -> Problem | None:
    """Return the problem that goes before the others, None where none of them exists."""
    found = [problem[0] for id in ids if (problem := store.get(Problem, id))]
    return min(found, key=precedence, default=None)
