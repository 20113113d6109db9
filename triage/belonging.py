"""Which problem a failure belongs to, as people decided it: pure functions of merges, splits and what they leave behind.

Owns the condition of a split, the fingerprint that a failure has under it, and what a merge or a split does to the state
of the problems on both sides, and its undo. Knows no storage: `moves` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime

from triage import deploys, lifecycle
from triage.editions import base, suffix
from triage.model import Occurrence, TaskTry
from triage.records import Membership, Move, Problem, Split, TriageState, mark, problem_id

# What a problem is, apart from where it stands in triage: a merge never takes these over, but for an owner it lacks.
IDENTITY = frozenset(
    {"id", "scope", "fingerprint", "title", "cause", "opened_at", "owner", "gitlab_url", "merged_into", "merged_by", "moves", "told", "undo"}
)  # fmt: skip
_STANCE = tuple(field.name for field in fields(Problem) if field.name not in IDENTITY)

Splits = Mapping[str, Sequence[Split]]  # those in force by the fingerprint that they divide, the earliest first


# --- the fingerprints of a split


def in_force(splits: Iterable[Split]) -> Splits:
    """Return the splits that hold, by the fingerprint that they divide."""
    found: dict[str, list[Split]] = {}
    for split in sorted(splits, key=lambda one: (one.at, one.mark)):
        if not split.is_undone:
            found.setdefault(split.fingerprint, []).append(split)
    return found


def satisfies(key: TaskTry, split: Split) -> bool:
    """Say whether a failed try fulfils the condition of a split."""
    return key.dag_id == split.dag and split.task in ("", key.task_id)


def divided(fingerprint: str, key: TaskTry, splits: Splits) -> str:
    """Return the fingerprint that a failed try has by these splits, however it stands now.

    Of several conditions that it fulfils the earliest one holds: what was split off stays so. Doing it again changes
    nothing, and neither the order of failures nor that of their readings matters.
    """
    found = base(fingerprint)
    while split := next((one for one in splits.get(found, ()) if satisfies(key, one)), None):
        found = f"{found}/{split.mark}"
    return found


def placed(fact: Occurrence, splits: Splits) -> Occurrence:
    """Return a failed try with the fingerprint it has by these splits; the fact itself where that is so already."""
    if fact.signature is None:
        return fact
    wanted = divided(fact.fingerprint, fact.key, splits)
    return fact if wanted == fact.fingerprint else replace(fact, signature=replace(fact.signature, fingerprint=wanted))


def is_in_force(fingerprint: str, splits: Splits) -> bool:
    """Say whether every split that a fingerprint tells of holds."""
    found = base(fingerprint)
    for marked in suffix(fingerprint).split("/")[1:]:
        if not any(one.mark == marked for one in splits.get(found, ())):
            return False
        found = f"{found}/{marked}"
    return True


def marked(fingerprint: str, dag: str, task: str) -> str:
    """Return the fingerprint of the failures with `fingerprint` that fulfil the condition; itself where all of them do."""
    wanted = mark(dag, task)
    return fingerprint if wanted in suffix(fingerprint).split("/") else f"{fingerprint}/{wanted}"


def unmarked(fingerprint: str, dag: str, task: str) -> str:
    """Return the fingerprint that failures have again without the condition."""
    return fingerprint.partition(f"/{mark(dag, task)}")[0]


def split_id(problem: Problem, fingerprint: str, dag: str, task: str) -> str:
    """Return the id of the problem that a split makes of a part of another; its condition is hashed into it.

    A fingerprint that was born with a problem of its own goes back to that.
    """
    if not fingerprint:
        return problem_id(problem.scope, marked(problem.fingerprint, dag, task))
    own = problem_id(problem.scope, fingerprint)
    return own if own != problem.id else problem_id(problem.scope, f"{fingerprint}/")


# --- memberships


def moved(member: Membership, move: Move) -> Membership:
    """Return a membership as the move makes it."""
    return replace(member, problem=move.into, moves=(*member.moves, move.id), is_bound=True)


def moved_back(member: Membership, move: Move) -> Membership:
    """Return a membership as it was before the move."""
    before = member.moves[: member.moves.index(move.id)]
    return replace(member, problem=move.problem, moves=before, is_bound=bool(before))


# --- states


def merged(into: Problem, move: Move) -> Problem:
    """Return the problem that took the failures of another one over by this merge.

    It stays what it is, and a mute until a number of failures grows by theirs, one until it spreads by their DAGs. A
    resolved one would hide failures that are none of its own, or come back as a regression that is none, so it becomes
    what the other is, and such a mute grows by its own. Of two resolved ones the resolution that came last counts, for
    what is known of both: older code that one of them let fail since is no regression of the other.
    """
    other = move.other
    owned = replace(into, owner=into.owner or other.owner)
    if into.state is not TriageState.RESOLVED:
        return _wider(_louder(owned, move.counted), move.dags)
    if other.state is not TriageState.RESOLVED:
        return _wider(_louder(_taken(owned, other), move.had), move.had_dags)
    is_later = (other.resolved_at or other.state_at) > (into.resolved_at or into.state_at)
    first, last = (into, _taken(owned, other)) if is_later else (other, owned)
    deploy = deploys.joined(last.deploy, first.deploy) if last.deploy and first.deploy else last.deploy
    times = [at for at in (last.resolved_at, move.last_started) if at]
    return replace(last, deploy=deploy, resolved_at=max(times, default=None))


def parted(into: Problem, move: Move) -> Problem:
    """Return the problem without the failures that a merge brought: what it was, as far as nobody decided since."""
    assert move.was is not None
    then = merged(move.was, move)
    is_last = into.moves[-1:] == (move.id,)
    owner = move.was.owner if into.owner == then.owner else into.owner
    left = replace(into, owner=owner, moves=tuple(id for id in into.moves if id != move.id))
    if _stance(then) != _stance(_wider(_louder(move.was, move.counted), move.dags)):  # it took the other's state over
        is_untouched = is_last and _stance(into) == _stance(then)
        undo = move.was.undo if into.owner == then.owner else None  # somebody was assigned since
        return replace(_stands(left, move.was), undo=undo) if is_untouched else left
    if into.state_at != then.state_at:
        return left
    known = into.muted_dags if into.muted_dags != then.muted_dags else move.was.muted_dags
    return replace(_louder(left, -move.counted), muted_dags=known)


def born(move: Move, title: str, cause: str, now: datetime) -> Problem:
    """Return the problem that a split makes: it stands where the one it was part of stood, but it is never muted.

    What is muted was muted as what it was then, and failures are not to be hidden by a mute that nobody set on them.
    """
    source = move.other
    if source.state is TriageState.MUTED:
        source = lifecycle.unmute(
            source, move.by, now, f"split off from {source.id}, which is muted", move.origin
        ).problem
    print_ = move.fingerprint or marked(source.fingerprint, move.dag, move.task)
    return replace(
        source, id=move.into, fingerprint=print_, title=title or source.title, cause=cause or source.cause, opened_at=now,
        gitlab_url="", merged_into="", merged_by="", moves=(move.id,), told=None, undo=None,
    )  # fmt: skip


def lessened(problem: Problem, move: Move) -> Problem:
    """Return the problem from which a split took failures: a mute until a number of them is until as many fewer."""
    return replace(_louder(problem, -move.counted), moves=(*problem.moves, move.id))


def restored(problem: Problem, move: Move) -> Problem:
    """Return the problem to which the failures of an undone split went back."""
    return replace(_louder(problem, move.counted), moves=tuple(id for id in problem.moves if id != move.id))


def _louder(problem: Problem, tries: int) -> Problem:
    if problem.muted_until_count is None:
        return problem
    return replace(problem, muted_until_count=problem.muted_until_count + tries)


def _wider(problem: Problem, dags: Iterable[str]) -> Problem:
    """Return a problem that is muted until it spreads, with these DAGs known too."""
    return replace(problem, muted_dags=tuple(sorted({*problem.muted_dags, *dags}))) if problem.muted_dags else problem


def _stance(problem: Problem) -> tuple[object, ...]:
    """Return where a problem stands; not when it wakes, which is set anew while it waits."""
    return tuple(getattr(problem, name) for name in _STANCE if name != "wake_at")


def _taken(problem: Problem, other: Problem) -> Problem:
    """Return the problem standing where the other does; a decision about what it was before is not to be taken back now."""
    return replace(_stands(problem, other), undo=None)


def _stands(problem: Problem, other: Problem) -> Problem:
    """Return the problem standing in triage where the other does."""
    return replace(problem, **{name: getattr(other, name) for name in _STANCE})
