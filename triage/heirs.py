"""Whose failures are those of a fingerprint that nobody knows: what a problem owned in former editions, it owns in this one.

The shell of inheritance on a store. Owns which of several problems a fingerprint goes to, so that it is the same in
whatever order failures are seen, and that what a person moved or split stays so. Decides nothing about a problem itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile

from triage.editions import Signers, base, head, suffix
from triage.errors import StaleProblem
from triage.lifecycle import precedence
from triage.query import Members
from triage.records import Membership, Move, MoveKind, Problem, Regroup, Split
from triage.store import REGROUP, Store, record_keys

_ASKED = 20  # failed tries of an unknown fingerprint that are signed in former editions, the newest
_ROUNDS = 20  # moves one after the other that a membership is taken along


def editions(store: Store, signers: Signers) -> list[str]:
    """Return the editions that were in force before this one, or are beside it, as far as the store knows."""
    found = store.get(Regroup, REGROUP)
    noted = (*found[0].former, found[0].edition) if found else ()
    return [one for one in dict.fromkeys([*noted, *store.editions()]) if one != signers.edition]


def inherited(store: Store, signers: Signers, scope: str, pair: tuple[str, str]) -> Membership | None:
    """Return the membership of the (deployment, fingerprint) pair by what it was in former editions; it is not saved.

    None where none of them knows it, or it is of another edition itself. The splits of its ancestors are made its own.
    """
    if head(pair[1]) != signers.edition or not (known := editions(store, signers)):
        return None
    claims: dict[str, Membership] = {}
    for listed in store.search(Members(frozenset([pair])), _ASKED):
        fact = store.occurrence(listed.key.id)
        if fact is None or fact.fingerprint != pair[1] or fact.kept is None:
            continue
        for ancestor in signers.ancestors(fact, known):
            if ancestor not in claims and (found := store.get(Membership, f"{scope}/{ancestor}")):
                claims[ancestor] = replace(found[0], fingerprint=pair[1])
    for ancestor in claims:
        divide(store, scope, ancestor, pair[1])
    return foremost(store, claims.values())


def foremost(store: Store, claims: Iterable[Membership]) -> Membership | None:
    """Return the membership of a fingerprint that several problems claim, None where none of them exists.

    What a person said goes before what airtriage would find out by itself; else the problem that goes before the others.
    It remembers the moves that brought all of the problem's claims there: an undo of one takes along what came by it alone.
    """
    known = {one.problem: found[0] for one in claims if (found := store.get(Problem, one.problem))}
    valid = [one for one in claims if one.problem in known]
    if not valid:
        return None
    said = [one for one in valid if one.is_bound] or valid
    first = min((known[one.problem] for one in said), key=precedence)
    paths = [one.moves for one in valid if one.problem == first.id]
    shared = takewhile(lambda step: len(set(step)) == 1, zip(*paths, strict=False))
    return replace(said[0], problem=first.id, moves=tuple(step[0] for step in shared), is_bound=said[0].is_bound)


def divide(store: Store, scope: str, before: str, after: str) -> None:
    """Make the splits of a fingerprint's family those of its heir's too."""
    if base(before) == base(after):
        return
    for split, _ in store.records(Split, parent=scope):
        if split.is_undone or base(split.fingerprint) != base(before):
            continue
        heir = replace(split, fingerprint=base(after) + suffix(split.fingerprint))
        found = store.get(Split, record_keys(heir)[0])
        if found is None or (found[0].is_undone and found[0].move != heir.move):
            with suppress(StaleProblem):  # another heir was first
                store.save(heir, found[1] if found else None)


def bind(store: Store, member: Membership, revision: int | None) -> Membership:
    """Save a membership and return it as it stands; StaleProblem where somebody else saved it meanwhile.

    A move that was carried out between reading what it follows from and saving it has not seen it: it is taken along.
    """
    store.save(member, revision)
    for _ in range(_ROUNDS):
        right = _by_now(store, member)
        if right == member:
            break
        found = store.get(Membership, record_keys(member)[0])
        if found is None or found[0] != member:  # somebody else put it right
            return found[0] if found else member
        with suppress(StaleProblem):
            store.save(right, found[1])
            member = right
    return member


def _by_now(store: Store, member: Membership) -> Membership:
    """Return a membership after the moves that were made, or undone, since what it follows from was read."""
    for place, id in enumerate(member.moves):
        move = store.get(Move, id)
        if move and move[0].undone_at:
            return replace(member, problem=move[0].problem, moves=member.moves[:place], is_bound=bool(place))
    owner = store.get(Problem, member.problem)
    merge = store.get(Move, owner[0].merged_by) if owner and owner[0].merged_into else None
    if merge is None or merge[0].kind is not MoveKind.MERGE or merge[0].undone_at:
        return member
    return replace(member, problem=merge[0].into, moves=(*member.moves, merge[0].id), is_bound=True)
