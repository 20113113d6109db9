"""The life of a problem: pure functions from a problem and what was counted to the next problem.

Owns when each of the `ways` between the five states is gone. `observe` works on absolute counts, never on increments, so
that a repeated pass decides the same. Times are compared on the Airflow server's clock; `now` is on that clock too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta

from triage import deploys, quiet, ways
from triage.errors import InputError
from triage.issues import Fix
from triage.records import Change, Deploy, Outcomes, Problem, Stand, Tally, TriageState, problem_id
from triage.ways import MUTED, NEW, ONGOING, RESOLVED, WAYS, Event

# After this long without a decision a new or regressed problem is ongoing: Sentry's week.
SETTLES_AFTER = timedelta(days=7)
# The most further failures that a problem is muted for: what seven digits hold, as in a comment of GitLab.
MOST_FAILURES = 9_999_999
OPEN = ways.OPEN
_STOOD = tuple(it.name for it in fields(Stand) if it.name not in ("left_by", "moves", "decided_by", "decided_at"))
AIRTRIAGE = "airtriage"  # who decides by itself, and from where
_FIX = "Resolve, mute or reopen it as it is to be."


@dataclass(frozen=True, slots=True)
class Decision:
    """A problem as decided, and the entry for its history; None where only its alarm was set anew."""

    problem: Problem
    change: Change | None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who decides, when, why and from where (`origin`: page, command, GitLab, policy, airtriage)."""

    who: str
    at: datetime
    why: str = ""
    origin: str = "command"


def open_problem(scope: str, fingerprint: str, tally: Tally, now: datetime) -> Decision:
    """Open the problem that `fingerprint` is born with in `scope`."""
    id = problem_id(scope, fingerprint)
    first = Change(id, now, AIRTRIAGE, "opened", f"first seen {tally.first_seen:%Y-%m-%d %H:%M} UTC")
    problem = Problem(
        id=id,
        scope=scope,
        fingerprint=fingerprint,
        title=tally.title,
        cause=tally.cause,
        state=NEW,
        opened_at=now,
        state_at=now,
        reason="first seen",
        wake_at=now + SETTLES_AFTER,
    )
    return Decision(problem, first)


def observe(problem: Problem, tally: Tally | None, now: datetime, answers: Iterable[Outcomes] = ()) -> Decision | None:
    """Decide what time, the occurrences counted so far and the outcomes of its tasks do to a problem.

    `tally.newer` counts from `problem.muted_from`. `answers` are needed where `awaits_answers`. None when nothing changes.
    """
    if problem.merged_into:
        return None
    if problem.state is RESOLVED:
        return _observe_resolved(problem, tally, now, answers)
    if problem.state is MUTED and (found := _mute_over(problem, tally, now)):
        event, why = found
        return _move(problem, event, "unmuted", _self(now, why))
    is_due = problem.wake_at is not None and now >= problem.wake_at
    span = problem.quiet_for if is_due else None
    if span is not None and tally is not None and not quiet.waits(span, tally, answers, now):
        why = f"no failure for {quiet.days(span)}, and every task that it hit ran and succeeded since"
        return _move(problem, Event.QUIET, "resolved", _self(now, why), resolved_at=now)
    if problem.state in WAYS[Event.SETTLED].starts and now >= problem.state_at + SETTLES_AFTER:
        return _move(problem, Event.SETTLED, "ongoing", _self(now, "known for a week"))
    return _alarm_anew(problem, tally, now)


def _alarm_anew(problem: Problem, tally: Tally | None, now: datetime) -> Decision | None:
    """Set the alarm anew that rang and changed nothing; None where it did not ring."""
    if problem.wake_at is None or now < problem.wake_at:
        return None
    return Decision(replace(problem, wake_at=_alarm(problem, now, tally)), None)


def awaits_answers(problem: Problem) -> bool:
    """Say whether how its tasks fare decides about a problem: it is to be resolved when quiet, or awaits a deploy."""
    return problem.quiet_for is not None or (problem.deploy is not None and problem.deploy.seen_at is None)


def _observe_resolved(
    problem: Problem, tally: Tally | None, now: datetime, answers: Iterable[Outcomes]
) -> Decision | None:
    if tally is None or problem.resolved_at is None:
        return _alarm_anew(problem, tally, now)
    seen = deploys.seen(problem.deploy, problem.resolved_at, answers) if problem.deploy else None
    if why := deploys.regression(seen or problem.deploy, problem.resolved_at, tally):
        return _move(problem, Event.REGRESSED, "regressed", _self(now, why))
    if seen is not None:
        changed = replace(problem, deploy=seen, wake_at=_alarm(problem, now))
        return _stay(problem, changed, Event.DEPLOYED, "saw the deploy", _self(now, f"{seen.seen} succeeded"))
    return _alarm_anew(problem, tally, now)


def _mute_over(problem: Problem, tally: Tally | None, now: datetime) -> tuple[Event, str] | None:
    """Say which end of a mute has come, and why."""
    if problem.muted_until is not None and now >= problem.muted_until:
        return Event.WOKEN, "the time it was muted for is over"
    if problem.muted_until_closed and not problem.gitlab_url:
        return Event.UNLINKED, "the GitLab issue it was muted until is not linked any more"
    if tally is None:
        return None
    failed = tally.newer if problem.muted_from is not None else tally.occurrences
    if problem.muted_until_count is not None and failed >= problem.muted_until_count:
        return Event.USED_UP, "the number of failures it was muted for is reached"
    since = problem.muted_from
    new = {
        part.dag_id
        for part in tally.ran
        if since is not None and part.dag_id not in problem.muted_dags and part.last_started > since
    }
    if problem.muted_dags and new:
        return Event.SPREAD, f"it spread to {', '.join(sorted(new))}"
    return None


def precedence(problem: Problem) -> tuple[bool, bool, bool, bool, float, datetime, str]:
    """Rank the problems whose failures turn out to be of one cause: the smallest keeps them.

    One that is not resolved first, so that no failure is hidden, and none comes back as a regression that is none; of
    resolved ones one that awaits failures of older deploys, then the one resolved last. Then what was decided most
    about: mirrored, by a person; then the older.
    """
    is_resolved = problem.state is RESOLVED
    resolved = -problem.resolved_at.timestamp() if is_resolved and problem.resolved_at else 0.0
    is_untouched = problem.state_by == AIRTRIAGE and not problem.owner and problem.quiet_for is None
    return (
        is_resolved, is_resolved and problem.deploy is None, not problem.gitlab_url, is_untouched, resolved,
        problem.opened_at, problem.id,
    )  # fmt: skip


def taking_over(problem: Problem, moved: Tally) -> Problem:
    """Return a problem as it is to be before it takes over failures that were counted and decided about elsewhere.

    So that taking them over changes no state: a mute until a number of failures leaves as many more as it did, one until
    it spreads knows their DAGs, a resolution their versions. `moved.newer` counts from `problem.muted_from`. What stood
    before the last decision knows nothing of these failures, and is not to be put back.
    """
    problem = replace(problem, undo=None)
    if problem.state is MUTED:
        count = problem.muted_until_count
        grown = moved.newer if problem.muted_from is not None else moved.occurrences
        dags = tuple(sorted({*problem.muted_dags, *moved.dags})) if problem.muted_dags else ()
        return replace(problem, muted_until_count=None if count is None else count + grown, muted_dags=dags)
    if problem.state is RESOLVED and problem.resolved_at is not None:
        deploy = deploys.widened(problem.deploy, moved) if problem.deploy else None
        return replace(problem, deploy=deploy, resolved_at=max(problem.resolved_at, moved.last_started))
    return problem


# --- what people, GitLab and policies decide


def resolve(problem: Problem, who: str, now: datetime, why: str = "", origin: str = "command") -> Decision:
    """Resolve now: a try that starts later is a regression. InputError if it is resolved already."""
    return _move(problem, Event.RESOLVED, "resolved", Actor(who, now, why, origin), resolved_at=now)


def resolve_in_deploy(
    problem: Problem, by: Actor, tally: Tally | None, answers: Iterable[Outcomes] = (), given: str = "",
    deployed_at: datetime | None = None, fix: Fix | None = None,
) -> Decision:  # fmt: skip
    """Resolve in the next deploy (that holds the `fix`), or in a `given` one: a commit, or `DAG@NUMBER` for a version of a DAG.

    `deployed_at` is when the given one was deployed, if it was. InputError if it is resolved already, if its tries name
    neither a DAG version nor a bundle, or if the given deploy cannot be read or failed already.
    """
    event = Event.RESOLVED_IN if given else Event.RESOLVED_NEXT
    _check(problem, event)
    deploy = deploys.known(tally, answers, given, deployed_at, fix)
    return _move(problem, event, f"resolved in {deploys.name(deploy)}", by, resolved_at=by.at, deploy=deploy)


def judge_bundles(
    problem: Problem, tally: Tally | None, answers: Iterable[Outcomes], holds: Mapping[str, bool | None]
) -> Decision | None:
    """Keep which bundles hold the fix that a resolution waits for; None where nothing of it was asked for any more."""
    if problem.deploy is None:
        return None
    deploy = problem.deploy
    for bundle in deploys.unjudged(deploy, tally, answers):
        if bundle in holds:
            deploy = deploys.judged(deploy, bundle, holds[bundle])
    return Decision(replace(problem, deploy=deploy), None) if deploy != problem.deploy else None


def resolve_when_quiet(problem: Problem, by: Actor, span: timedelta, tally: Tally | None) -> Decision:
    """Resolve once no try failed for `span` and all tasks that it hit ran and succeeded since; its state stays till then.

    InputError if it is resolved already, or the span is shorter than an hour.
    """
    _check(problem, Event.ARMED)
    if span < quiet.SHORTEST:
        raise InputError("The time to be quiet for is shorter than an hour.", "Give a longer one, such as 7d.")
    armed = replace(problem, quiet_for=span)
    armed = replace(armed, wake_at=_alarm(armed, by.at, tally, look=timedelta()))
    return _stay(problem, armed, Event.ARMED, f"set it to resolve when quiet for {quiet.days(span)}", by)


def disarm(problem: Problem, by: Actor) -> Decision:
    """Take back that a problem is to be resolved when quiet. InputError if it is not."""
    if problem.quiet_for is None:
        raise InputError(f"Problem {problem.id} is not to be resolved when quiet.")
    bare = replace(problem, quiet_for=None)
    return _stay(
        problem, replace(bare, wake_at=_alarm(bare, by.at)), Event.DISARMED, "cancelled its resolving when quiet", by
    )


def mute(
    problem: Problem,
    who: str,
    now: datetime,
    *,
    until: datetime | None = None,
    more: int | None = None,
    spread: bool = False,
    closed: bool = False,
    tally: Tally | None = None,
    why: str = "",
    origin: str = "command",
) -> Decision:
    """Mute for good, until a time, until `more` further failures, until it spreads or its GitLab issue closes.

    Of several ends the first one counts. InputError if it is resolved, an end is past, or there is no linked issue.
    """
    _check(problem, Event.MUTED)
    if until is not None and until <= now:
        raise InputError("The time to mute for is over before it begins.", "Give a longer one, such as 8h or 3d.")
    if more is not None and not 1 <= more <= MOST_FAILURES:
        raise InputError(f"The number of further failures to mute for must be 1 to {MOST_FAILURES:,}.")
    if closed and not problem.gitlab_url:
        raise InputError(
            f"Problem {problem.id} has no GitLab issue, so it cannot be muted until that closes.",
            "Link one first, or mute it until a time.",
        )
    dags = tuple(sorted(tally.dags)) if spread and tally else ()
    if spread and not dags:
        raise InputError(f"It is not known in which DAGs problem {problem.id} was seen.", "Mute it until a time.")
    ends = (
        f"until {until:%Y-%m-%d %H:%M} UTC" if until else "",
        f"until {more} more {'failure' if more == 1 else 'failures'}" if more else "",
        "until it spreads to another DAG" if spread else "",
        "until its GitLab issue closes" if closed else "",
    )
    end = " or ".join(filter(None, ends)) or "for good"
    return _move(
        problem, Event.MUTED, f"muted {end}", Actor(who, now, why, origin), muted_until=until, muted_until_count=more,
        muted_from=now if more or spread else None, muted_dags=dags, muted_until_closed=closed,
    )  # fmt: skip


def unmute(problem: Problem, who: str, now: datetime, why: str = "", origin: str = "command") -> Decision:
    """Take back a mute: the problem is what it was before. InputError if it is not muted."""
    state = problem.before if problem.before in OPEN else ONGOING
    return _move(problem, Event.UNMUTED, "unmuted", Actor(who, now, why, origin), end=state)


def reopen(problem: Problem, who: str, now: datetime, why: str = "", origin: str = "command") -> Decision:
    """Take back a resolution: the problem is what it was before. InputError if it is not resolved."""
    state = problem.before if problem.before in OPEN else ONGOING
    return _move(problem, Event.REOPENED, "reopened", Actor(who, now, why, origin), end=state)


def close(problem: Problem, by: Actor) -> Decision | None:
    """Resolve a problem whose GitLab issue was closed; None where that changes nothing.

    One that is muted stays so, unless it was muted until then: closing the issue of an accepted failure ends no mute.
    """
    if problem.state is RESOLVED or (problem.state is MUTED and not problem.muted_until_closed):
        return None
    return _move(problem, Event.CLOSED, "resolved", by, resolved_at=by.at)


def undo(
    problem: Problem, who: str, now: datetime, why: str = "", origin: str = "command", of: datetime | None = None
) -> Decision:
    """Put back what stood before a person's last decision. InputError if something was decided since, or nothing was.

    `of` is the `decided_at` of the decision that is meant, if one is: of any other nothing is taken back. It wakes at
    once: what failed since then was decided about in another state.
    """
    if of is not None and (problem.undo is None or problem.undo.decided_at != of):
        raise InputError(
            f"Problem {problem.id} was decided about since{_latest(problem)}, so this cannot be undone.", _FIX
        )
    if problem.undo is None:
        said = "is no person's decision, or an undo itself"
        raise InputError(f"The last change of problem {problem.id} {said}, so it cannot be undone.", _FIX)
    if problem.undo.moves != problem.moves:
        raise InputError(
            f"Problem {problem.id} was merged or split since its last decision, so that cannot be undone.", _FIX
        )
    _check(problem, Event.UNDONE)
    stood = {name: getattr(problem.undo, name) for name in _STOOD}
    if problem.undo.owner is None:
        del stood["owner"]
    changed = replace(problem, undo=None, **stood | {"wake_at": now})
    return _entry(changed, Actor(who, now, why, origin), f"took back: {problem.undo.left_by}")


def _latest(problem: Problem) -> str:
    """Say what was decided last about a problem, and by whom."""
    stood, told = problem.undo, problem.told
    if stood is not None and stood.decided_at is not None:
        return f" ({stood.decided_by} {stood.left_by}, {stood.decided_at:%Y-%m-%d %H:%M} UTC)"
    return f" ({told.who} {told.what}, {told.at:%Y-%m-%d %H:%M} UTC)" if told is not None else ""


# --- how a way is gone


def _move(
    problem: Problem, event: Event, what: str, by: Actor, *, end: TriageState | None = None,
    resolved_at: datetime | None = None, deploy: Deploy | None = None, muted_until: datetime | None = None,
    muted_until_count: int | None = None, muted_from: datetime | None = None, muted_dags: tuple[str, ...] = (),
    muted_until_closed: bool = False,
) -> Decision:  # fmt: skip
    """Go a way that begins a new stand: what held of the old one is gone, but for the wish to resolve it when quiet."""
    _check(problem, event)
    state = WAYS[event].end or end or problem.state
    changed = replace(
        problem, state=state, before=problem.before if problem.state is state else problem.state, state_at=by.at,
        state_by=by.who, reason=by.why or what, resolved_at=resolved_at, deploy=deploy, muted_until=muted_until,
        muted_until_count=muted_until_count, muted_from=muted_from, muted_dags=muted_dags,
        muted_until_closed=muted_until_closed, quiet_for=None if state is RESOLVED else problem.quiet_for,
        undo=stand(problem, what, by),
    )  # fmt: skip
    return _entry(replace(changed, wake_at=_alarm(changed, by.at)), by, what)


def _stay(problem: Problem, changed: Problem, event: Event, what: str, by: Actor) -> Decision:
    """Go a way that leaves the state as it stands."""
    _check(problem, event)
    return _entry(replace(changed, undo=stand(problem, what, by)), by, what)


def _check(problem: Problem, event: Event) -> None:
    way = WAYS[event]
    if problem.state not in way.starts:
        said, fix = way.refused
        raise InputError(f"Problem {problem.id} {said}", fix)


def _entry(changed: Problem, by: Actor, what: str) -> Decision:
    return Decision(changed, Change(changed.id, by.at, by.who, what, by.why, by.origin))


def stand(problem: Problem, what: str, by: Actor) -> Stand | None:
    """Return what Undo is to put back after a person's decision."""
    if by.who == AIRTRIAGE:
        return None
    stood = {name: getattr(problem, name) for name in _STOOD}
    return Stand(what, moves=problem.moves, decided_by=by.who, decided_at=by.at, **stood)


def _self(now: datetime, why: str) -> Actor:
    return Actor(AIRTRIAGE, now, why, AIRTRIAGE)


def _alarm(
    problem: Problem, now: datetime, tally: Tally | None = None, look: timedelta = quiet.LOOK
) -> datetime | None:
    """Say when time alone may change a problem; one to be resolved when quiet is looked at no sooner than after `look`."""
    times: list[datetime] = [problem.muted_until] if problem.muted_until else []
    if problem.state in WAYS[Event.SETTLED].starts:
        times.append(problem.state_at + SETTLES_AFTER)
    if problem.quiet_for is not None:
        times.append(max(quiet.due_at(problem.quiet_for, tally), now + look) if tally else now + look)
    return min(times, default=None)
