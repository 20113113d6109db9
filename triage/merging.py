"""Merge and split by people: what they ask for is checked, becomes an intent, and is carried out; both can be undone.

The shell of `airtriage merge` and `split` and of the page's buttons, beside `service`. Owns which of them are possible and
says in one sentence why one is not; then nothing was changed. Each is decided while none is under way in its scope.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from triage import belonging, lifecycle
from triage.errors import InputError, StaleProblem
from triage.query import Between, Field, Members, both
from triage.records import Membership, Move, MoveKind, Moving, Problem, Tally
from triage.redact import facts
from triage.service import Service
from triage.tokens import fold

_ROUNDS = 20  # others' moves that are waited for before giving up


@dataclass(frozen=True, slots=True)
class Person:
    """Who decides, why, and from where (page, command, GitLab)."""

    who: str
    why: str = ""
    origin: str = "command"


def merge(service: Service, ids: Iterable[str], person: Person, now: datetime, into: str = "") -> list[Move]:
    """Merge problems into `into`, by default into the one of them that goes before the others; return what was done.

    InputError where they are not several problems of one scope.
    """
    named = [service.named(id) for id in dict.fromkeys(ids)]
    target = service.named(into) if into else None
    scope = (target or named[0]).scope

    def decide(at: datetime) -> list[Move]:
        living = {service.find(one.id).id: service.find(one.id) for one in [*named, *([target] if target else [])]}
        if len(living) < 2:
            whose = (
                f"{named[0].id} belongs to {next(iter(living))} already"
                if named[0].merged_into
                else "That is one problem"
            )
            raise InputError(f"{whose}, and it takes two to merge.", "Name another one.")
        strange = next((one for one in living.values() if one.scope != scope), None)
        if strange:
            raise InputError(
                f"Problem {strange.id} is of scope {strange.scope}, not {scope}.",
                "Only problems of one scope are merged.",
            )
        keeper = living[service.find(target.id).id] if target else min(living.values(), key=lifecycle.precedence)
        return list(_merges(service, keeper, [one for one in living.values() if one is not keeper], person, at))

    return _begin(service, scope, now, decide)


def split(
    service: Service, id: str, person: Person, now: datetime, *, dag: str = "", task: str = "", fingerprint: str = ""
) -> Move:
    """Split the failures in a DAG (and task), or those with a fingerprint, off from a problem; return what was done.

    InputError where there are none, or no others.
    """
    if bool(dag) == bool(fingerprint) or (task and not dag):
        raise InputError(
            "A split needs a DAG, a DAG and a task, or a fingerprint.", "Say which failures are another problem's."
        )
    scope = service.find(id).scope

    def decide(at: datetime) -> list[Move]:
        problem = service.find(id)
        print_ = _owned(service, problem, fingerprint)
        tries = _counted(service, problem, dag, task, print_)
        since = problem.muted_from
        counted = _since(service, problem, since, dag, task, print_) if since else tries
        made = belonging.split_id(problem, print_, dag, task)
        found = service.store.get(Problem, made)
        was = found[0] if found else None
        if was and was.merged_into not in ("", problem.id):
            raise InputError(
                f"These failures are those of problem {was.id}, which was merged into {was.merged_into}.",
                f"Undo that first: airtriage merge {was.id} --undo.",
            )
        return [
            replace(_move(service, MoveKind.SPLIT, problem, made, person, at), was=was, fingerprint=print_, dag=dag, task=task, tries=tries, counted=counted)
        ]  # fmt: skip

    return _begin(service, scope, now, decide)[0]


def undo(service: Service, kind: MoveKind, id: str, person: Person, now: datetime, of: str = "") -> Move:
    """Undo a merge (named by the problem that was merged away) or a split (by the one that it made); return it.

    The other problem names it too, where it has only one. With `of`, the id of a move, that one is meant and no other.
    InputError where there is none in force, or a later one rests on it.
    """
    problem = service.named(id)

    def decide(at: datetime) -> list[Move]:
        move = _named(service, kind, service.named(problem.id))
        if of not in ("", move.id):
            raise InputError(
                f"This {kind} of problem {problem.id} was undone since, and {move.by} made another one.",
                "Its history tells what was done.",
            )
        _check_last(service, move)
        return [
            replace(
                move, scope=problem.scope, undone_at=at, undone_by=person.who, undone_why=person.why, undone_origin=person.origin
            )
        ]  # fmt: skip

    return _begin(service, problem.scope, now, decide)[0]


def in_force(service: Service, problem: Problem) -> list[Move]:
    """Return the moves that brought failures to a problem or took some away, and are not undone, the newest first."""
    found = [move for move, _ in service.store.records(Move) if problem.id in (move.into, move.problem)]
    return sorted((one for one in found if one.undone_at is None), key=lambda move: move.at, reverse=True)


# --- one at a time


def _begin(service: Service, scope: str, now: datetime, decide: Callable[[datetime], list[Move]]) -> list[Move]:
    """Decide while nothing is under way, note the intent, carry it out."""
    for _ in range(_ROUNDS):
        service.finish(now)
        found = service.store.get(Moving, scope)
        if found and found[0].moves:
            continue
        moving = facts.record(service.redactor, Moving(scope, tuple(decide(service.server_now(scope, now)))))
        try:
            service.store.save(moving, found[1] if found else None)
        except StaleProblem:
            continue
        service.finish(now)
        return list(moving.moves)
    raise StaleProblem(f"Problems of {scope} are merged or split by others again and again.", "Try again.")


def _move(service: Service, kind: MoveKind, problem: Problem, into: str, person: Person, at: datetime) -> Move:
    while service.store.get(
        Move, id := hashlib.sha256(f"{problem.id} {into} {at.isoformat()}".encode()).hexdigest()[:12]
    ):
        at += timedelta(microseconds=1)  # done and undone within one tick of the clock
    return Move(
        id, problem.scope, kind, problem.id, into, at, person.who, other=problem, why=person.why, origin=person.origin
    )


def _merges(
    service: Service, keeper: Problem, others: Sequence[Problem], person: Person, at: datetime
) -> Iterable[Move]:
    was, holders = keeper, [keeper]
    for other in others:
        tally = service.store.tally(service.members(other), was.muted_from)
        tries, counted = (tally.occurrences, _counts(tally, was)) if tally else (0, 0)
        held = service.store.tally({pair for one in holders for pair in service.members(one)}, other.muted_from)
        move = replace(
            _move(service, MoveKind.MERGE, other, keeper.id, person, at), was=was, tries=tries, counted=counted,
            had=_counts(held, other) if held else 0, dags=tuple(sorted(tally.dags)) if tally else (),
            had_dags=tuple(sorted(held.dags)) if held else (),
            last_started=max((one.last_started for one in (tally, held) if one), default=None),
        )  # fmt: skip
        yield move
        was, holders = belonging.merged(was, move), [*holders, other]


def _counts(tally: Tally, muted: Problem) -> int:
    return tally.newer if muted.muted_from else tally.occurrences


# --- what can be split off


def _owned(service: Service, problem: Problem, fingerprint: str) -> str:
    """Return the fingerprint of the problem that this is, or the beginning of; "" for none."""
    if not fingerprint:
        return ""
    owned = {print_ for _, print_ in service.members(problem)}
    found = [fingerprint] if fingerprint in owned else sorted(one for one in owned if one.startswith(fingerprint))
    if len(found) != 1:
        said = (
            f"{len(found)} fingerprints of problem {problem.id} begin with"
            if found
            else f"Problem {problem.id} has no fingerprint"
        )
        raise InputError(f"{said} {fingerprint!r}.", f"It has {', '.join(sorted(owned)[:5])}.")
    return found[0]


def _counted(service: Service, problem: Problem, dag: str, task: str, fingerprint: str) -> int:
    """Count the failures that would be split off; InputError where it is none, or all of them."""
    total, tries = 0, 0
    tasks: set[str] = set()
    for part in service.store.summaries(members=service.members(problem)):
        total += part.total
        if fingerprint:
            tries += part.total if part.fingerprint == fingerprint else 0
            continue
        tries += sum(n for (in_dag, in_task), n in part.tasks.items() if in_dag == dag and task in ("", in_task))
        tasks |= {
            in_task if in_dag == dag and task else in_dag for in_dag, in_task in part.tasks if not task or in_dag == dag
        }
    which = f"with {fingerprint}" if fingerprint else f"in {dag}.{task}" if task else f"in DAG {dag}"
    if not tries:
        known = f"It has {', '.join(sorted(tasks)[:5])}." if tasks else "airtriage problem shows its DAGs and tasks."
        raise InputError(f"Problem {problem.id} has no failed try {which}.", known)
    if tries == total:
        raise InputError(f"All failed tries of problem {problem.id} are {which}.", "Name a part of them.")
    return tries


def _since(service: Service, problem: Problem, since: datetime, dag: str, task: str, fingerprint: str) -> int:
    """Count those that would be split off and ended after `since`, as a mute until a number of failures does."""
    pairs = frozenset(pair for pair in service.members(problem) if fingerprint in ("", pair[1]))
    names = [Field(name, fold(value)) for name, value in (("dag", dag), ("task", task)) if value]
    return service.store.count(both(Members(pairs), Between("at", since + timedelta(microseconds=1), None), *names))


# --- what can be undone


def _named(service: Service, kind: MoveKind, problem: Problem) -> Move:
    """Return the merge or the split that is meant by a problem; InputError where it is none, or one of several."""
    if kind is MoveKind.MERGE and problem.merged_into:
        found = service.store.get(Move, problem.merged_by)
        known = [found[0]] if found and found[0].kind is kind and not found[0].undone_at else []
    else:
        known = [move for move in in_force(service, problem) if move.kind is kind]
        made = [move for move in known if move.into == problem.id]
        known = made if kind is MoveKind.MERGE or made else known
    if len(known) == 1:
        return known[0]
    if not known:
        said = "Nothing was merged into" if kind is MoveKind.MERGE else "Nothing was split off from"
        raise InputError(f"{said} problem {problem.id}.", "Its history tells what was done.")
    others = ", ".join(move.problem if move.into == problem.id else move.into for move in known)
    raise InputError(f"Problem {problem.id} has {len(known)} of these: {others}.", "Name the one to undo.")


def _check_last(service: Service, move: Move) -> None:
    """Raise InputError where a later move rests on this one."""
    later = {
        member.moves[-1]
        for member, _ in service.store.records(Membership)
        if move.id in member.moves and member.moves[-1] != move.id
    }
    giver = service.store.get(Problem, move.problem)
    if giver and giver[0].merged_into and giver[0].merged_by != move.id:
        later.add(giver[0].merged_by)
    for one in (known[0] for id in sorted(later) if (known := service.store.get(Move, id))):
        is_merge = one.kind is MoveKind.MERGE
        raise InputError(
            f"Its failures were merged into {one.into} since."
            if is_merge
            else f"Problem {one.into} was split off since.",
            f"Undo that first: airtriage {one.kind} {one.problem if is_merge else one.into} --undo.",
        )
