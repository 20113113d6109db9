"""Merges and splits carried out: the intent of a scope, step by step, however often and by whomever, killed anywhere.

The shell of `belonging` on a store, below `service`. Every step reads what it changes, sees that the move is still under
way, and saves against the revision it read: a step that comes too late changes nothing. Decides nothing: `merging` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from triage import belonging
from triage.belonging import Splits
from triage.errors import StaleProblem
from triage.model import Occurrence
from triage.query import Field, Members, both
from triage.records import Change, Membership, Move, MoveKind, Moving, Problem, Record, Split
from triage.redact import Redactor, facts
from triage.store import Store, record_keys
from triage.tokens import fold

R = TypeVar("R", bound=Record)
_ROUNDS = 20  # lost races in a row before giving up; each is another writer's success
_BATCH = 50  # tries a transaction: half a second at most, so that a pass beside it is not kept waiting


class _Over(Exception):
    """The move was finished by somebody else."""


def splits(store: Store, scope: str) -> Splits:
    """Return the splits in force in a scope."""
    return belonging.in_force(split for split, _ in store.records(Split, parent=scope))


def mend(store: Store, pair: tuple[str, str], known: Splits) -> int:
    """Give the tries of a (deployment, fingerprint) pair the fingerprints they have by these splits; return how many changed."""

    def change(fact: Occurrence) -> Occurrence:
        return belonging.placed(fact, known)

    members = Members(frozenset([pair]))
    queries = [
        both(members, Field("dag", fold(one.dag)), *([Field("task", fold(one.task))] if one.task else ()))
        for one in known.get(pair[1], ())
    ]
    changed = 0
    for query in queries if belonging.is_in_force(pair[1], known) else [members]:
        after = None
        while page := store.search(query, _BATCH, after):
            after = (page[-1].ended_at, page[-1].key.id)
            ids = [fact.key.id for fact in page if change(fact) is not fact]
            changed += store.rewrite(ids, change) if ids else 0
    return changed


@dataclass(frozen=True, slots=True)
class Mover:
    """Carries out what is under way; `deployments` names those that share a scope."""

    store: Store
    redactor: Redactor
    deployments: Callable[[str], list[str]]

    def finish(self) -> list[str]:
        """Finish every move under way, whoever began it; return the ids of the problems whose failures changed."""
        return [id for moving, _ in self.store.records(Moving) if moving.moves for id in self.finish_in(moving.scope)]

    def finish_in(self, scope: str) -> list[str]:
        """Finish the moves under way in one scope, as `finish` does."""
        concerned: list[str] = []
        while (found := self.store.get(Moving, scope)) and found[0].moves:
            move = found[0].moves[0]
            try:
                self._carry_out(move)
                self.store.save(replace(found[0], moves=found[0].moves[1:]), found[1])
            except (_Over, StaleProblem):  # somebody else does the same: what is left is looked at again
                continue
            concerned += [move.into, move.problem]
        return list(dict.fromkeys(concerned))

    def _carry_out(self, move: Move) -> None:
        self._step(move, Move, move.id, lambda noted: None if noted == move else move)
        if move.kind is MoveKind.MERGE:
            self._merge(move) if move.undone_at is None else self._part(move, move.undone_at)
        else:
            self._split(move) if move.undone_at is None else self._join(move, move.undone_at)

    # --- the four ways

    def _merge(self, move: Move) -> None:
        def gone(problem: Problem | None) -> Problem | None:
            if problem is None or problem.merged_by == move.id:
                return None
            return replace(problem, merged_into=move.into, merged_by=move.id)

        def took(problem: Problem | None) -> Problem | None:
            if problem is None or move.id in problem.moves:
                return None
            return replace(belonging.merged(problem, move), moves=(*problem.moves, move.id))

        self._step(move, Problem, move.problem, gone)  # first: a heir bound to it from now on is taken along
        self._step(
            move, Problem, move.into, took
        )  # before the failures come: a mute ends too late rather than too soon
        self._rebind(
            move, move.problem, lambda one: belonging.moved(one, move) if one.problem == move.problem else None
        )
        self._tell(move, move.at, move.problem, f"merged into {move.into}")
        self._tell(move, move.at, move.into, f"took over {move.problem}")

    def _part(self, move: Move, at: datetime) -> None:
        def gave(problem: Problem | None) -> Problem | None:
            return (
                replace(belonging.parted(problem, move), wake_at=at) if problem and move.id in problem.moves else None
            )

        self._rebind(move, move.into, lambda one: belonging.moved_back(one, move) if move.id in one.moves else None)
        self._step(move, Problem, move.into, gave)
        self._step(move, Problem, move.problem, lambda problem: _revived(problem, move.id, at))
        self._tell(move, at, move.problem, f"merge into {move.into} undone")
        self._tell(move, at, move.into, f"gave back {move.problem}")

    def _split(self, move: Move) -> None:
        def part(problem: Problem | None) -> Problem | None:
            if problem is None:
                return belonging.born(move, *self._newest(move), move.at)
            if move.id in problem.moves:
                return None
            return replace(problem, merged_into="", merged_by="", moves=(*problem.moves, move.id), wake_at=move.at)

        def rest(problem: Problem | None) -> Problem | None:
            return belonging.lessened(problem, move) if problem and move.id not in problem.moves else None

        self._step(move, Problem, move.into, part)
        known = splits(self.store, move.scope)
        for member in self._members(move.problem):
            if belonging.is_in_force(member.fingerprint, known):
                self._divide(move, member)
        for pair in self._pairs(move.problem):
            mend(self.store, pair, splits(self.store, move.scope))
        self._step(move, Problem, move.problem, rest)  # after they left: a mute ends too late rather than too soon
        self._tell(move, move.at, move.problem, f"split off {move.into}")
        self._tell(move, move.at, move.into, f"split off from {move.problem}")

    def _divide(self, move: Move, member: Membership) -> None:
        """Bind what a split takes of one fingerprint to the new problem, and note the condition, in this order."""
        if not move.fingerprint:
            part = belonging.marked(member.fingerprint, move.dag, move.task)
        elif move.fingerprint == member.fingerprint:
            part = member.fingerprint
        else:
            return
        bound = belonging.moved(replace(member, fingerprint=part), move)
        self._step(move, Membership, record_keys(bound)[0], lambda one: None if one and move.id in one.moves else bound)
        if part == member.fingerprint:
            return
        split = Split(member.scope, member.fingerprint, move.dag, move.task, move.id, move.at)
        self._step(move, Split, record_keys(split)[0], lambda one: None if one and not one.is_undone else split)

    def _join(self, move: Move, at: datetime) -> None:
        def whole(problem: Problem | None) -> Problem | None:
            return (
                replace(belonging.restored(problem, move), wake_at=at) if problem and move.id in problem.moves else None
            )

        def empty(problem: Problem | None) -> Problem | None:
            if problem is None or problem.merged_into or self._members(move.into):
                return None
            if move.was and move.was.merged_into:
                return replace(problem, merged_into=move.was.merged_into, merged_by=move.was.merged_by)
            return replace(problem, merged_into=move.problem, merged_by=move.id)

        self._step(move, Problem, move.problem, whole)
        for member in self._members(move.into):
            if move.dag and move.id in member.moves:
                self._keep_whole(move, member)
        self._rebind(move, move.into, lambda one: belonging.moved_back(one, move) if move.id in one.moves else None)
        for split, _ in self.store.records(Split):
            if split.move == move.id:
                self._step(move, Split, record_keys(split)[0], lambda one: _undone(one, move.id))
        for pair in self._pairs(move.problem):
            mend(self.store, pair, splits(self.store, move.scope))
        self._step(move, Problem, move.into, empty)
        self._tell(move, at, move.problem, f"took back {move.into}")
        self._tell(move, at, move.into, f"split from {move.problem} undone")

    def _keep_whole(self, move: Move, member: Membership) -> None:
        """Bind the fingerprint that failures go back to where nobody knows it: in a later edition all of them were split off."""
        print_ = belonging.unmarked(member.fingerprint, move.dag, move.task)
        back = belonging.moved_back(replace(member, fingerprint=print_), move)
        self._step(move, Membership, record_keys(back)[0], lambda one: None if one else back)

    # --- steps

    def _step(self, move: Move, kind: type[R], id: str, change: Callable[[R | None], R | None]) -> None:
        """Change one record, unless `change` finds that done. The order of the three calls makes late steps harmless."""
        for _ in range(_ROUNDS):
            found = self.store.get(kind, id)
            changed = change(found[0] if found else None)
            if changed is None:
                return
            moving = self.store.get(Moving, move.scope)
            if moving is None or moving[0].moves[:1] != (move,):
                raise _Over
            try:
                self.store.save(facts.record(self.redactor, changed), found[1] if found else None)
            except StaleProblem:
                continue
            return
        raise StaleProblem(f"{kind.__name__} {id} is saved by others again and again.", "Try again.")

    def _rebind(self, move: Move, owner: str, change: Callable[[Membership], Membership | None]) -> None:
        """Change the memberships of a problem until none is left to change, those that come meanwhile included."""

        def again(member: Membership | None) -> Membership | None:
            return change(member) if member else None

        while members := [one for one in self._members(owner) if change(one) is not None]:
            for member in members:
                self._step(move, Membership, record_keys(member)[0], again)

    def _members(self, problem: str) -> list[Membership]:
        return [member for member, _ in self.store.records(Membership, parent=problem)]

    def _pairs(self, problem: str) -> Iterator[tuple[str, str]]:
        for member in self._members(problem):
            for deployment in self.deployments(member.scope):
                yield deployment, member.fingerprint

    def _newest(self, move: Move) -> tuple[str, str]:
        """Return the title and the cause of the failures that a split takes, by the newest of them."""
        members = Members(frozenset(self._pairs(move.problem)))
        dag = [Field("dag", fold(move.dag))] if move.dag else []
        found = (one for one in self.store.search(both(members, *dag), _BATCH) if is_of(one, move))
        newest = next(found, None)
        if newest is None or newest.signature is None:  # none of them is kept any more
            return move.other.title, move.other.cause
        return newest.signature.title, newest.signature.cause

    def _tell(self, move: Move, at: datetime, problem: str, what: str) -> None:
        who, why, origin = move.by, move.why, move.origin
        if move.undone_at:
            who, why, origin = move.undone_by, move.undone_why, move.undone_origin
        told = Change(problem, at, who, what, why, origin)
        self._step(move, Change, record_keys(told)[0], lambda noted: None if noted else told)


def is_of(fact: Occurrence, move: Move) -> bool:
    """Say whether a failed try is one that the split takes."""
    if move.fingerprint:
        return fact.fingerprint == move.fingerprint
    return fact.key.dag_id == move.dag and move.task in ("", fact.key.task_id)


def _revived(problem: Problem | None, move: str, at: datetime) -> Problem | None:
    """Return a problem that has its failures back; it wakes at once, for what failed while it was merged."""
    if problem is None or problem.merged_by != move:
        return None
    return replace(problem, merged_into="", merged_by="", wake_at=at)


def _undone(split: Split | None, move: str) -> Split | None:
    return replace(split, is_undone=True) if split and split.move == move and not split.is_undone else None
