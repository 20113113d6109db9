"""What became of a problem's tasks since it last failed in them: from counted outcomes to one sentence.

Owns which tasks are asked about and when again, how a task instance that failed at first is judged by how it stands now,
and the words: heals by itself, ran well since, paused, fails every time. Pure; works on absolute counts, so that asking
twice changes nothing. Times are on the Airflow server's clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from triage.model import Occurrence
from triage.records import Outcomes

# A task is asked about this long after a failure (a retry's usual delay is 5 min), then ever more seldom: after a fifth of
# the time since, at most every six hours. That is about 30 questions in the first day and 4 in every later one.
FIRST, LONGEST = timedelta(minutes=2), timedelta(hours=6)
_PACE = 5
# Successes are counted from at most this long before the newest failure, so that a question stays cheap for Airflow.
WINDOW = timedelta(days=14)
# The newest task instances of a problem that are judged, and its most recently failed tasks that are asked about.
INSTANCES, TASKS = 20, 20
# This share of task instances that failed at first has to succeed in the end for a problem to heal by itself.
HEALS_FROM = 0.8
# A retry that has not come after this long does not come: Airflow's longest delay is a day.
_AWAITED = timedelta(days=2)
# How a task instance stands now that is over without a success.
_OVER = frozenset({"failed", "upstream_failed", "skipped", "removed"})


class OutcomeKind(StrEnum):
    """What can be said of a problem by how its tasks fared since."""

    HEALS = "heals by retry"
    RETRYING = "retry to come"
    WELL = "ran well since"
    MIXED = "ran since, not always well"
    OTHER = "fails of something else since"
    PAUSED = "paused"
    GONE = "DAG gone"
    IDLE = "not run since"
    ALWAYS = "fails every time"
    SOMETIMES = "fails now and then"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The judgement over all tasks asked about: a sentence, a short form, and the counts it stands on.

    `next_run_at` is set only where nothing ran since; `as_of` is the oldest answer it stands on.
    """

    kind: OutcomeKind
    said: str
    brief: str
    as_of: datetime
    tasks: int
    succeeded: int
    failed: int
    healed: int
    broken: int
    last_success_at: datetime | None
    next_run_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Successes:
    """How many task instances of a task succeeded since some time, when the newest of them started, and what it ran."""

    count: int = 0
    newest: datetime | None = None
    dag_version: int | None = None
    bundle_version: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Whether a DAG runs by itself: paused, gone from the DAG files, and when its next run is due where one is."""

    is_paused: bool = False
    is_gone: bool = False
    next_run_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a task instance stands now: Airflow's word for its state (empty: none yet) and its newest try."""

    run_id: str
    map_index: int
    state: str
    try_number: int


@dataclass(frozen=True, slots=True)
class Retried:
    """Task instances of a task beyond their first try; where there were too many, only those started from `reach` on."""

    standings: tuple[Standing, ...] = ()
    reach: datetime | None = None


@dataclass(frozen=True, slots=True)
class Healing:
    """Task instances that a problem hit: succeeded on a later try, failed in the end, still to come.

    Most of those that succeeded did on try `on`; some on others where they are `apart`.
    """

    healed: int = 0
    broken: int = 0
    waiting: int = 0
    on: int = 0
    apart: bool = False


def due_at(known: Outcomes | None, since: datetime) -> datetime:
    """Say when a task whose newest failure ended at `since` is to be asked about, given the last answer."""
    return known.next_ask_at if known is not None and known.since >= since else since + FIRST


def next_ask(since: datetime, now: datetime) -> datetime:
    """Say when a task asked about at `now` is to be asked about again."""
    return now + min(max((now - since) / _PACE, FIRST), LONGEST)


def unsettled(tries: Iterable[Occurrence]) -> list[Occurrence]:
    """Return the failed tries, newest first, whose task instance had a retry left, one per task instance looked at."""
    return [newest for newest, is_broken in _instances(tries) if not is_broken]


def healing(tries: Iterable[Occurrence], retried: Retried, now: datetime) -> Healing:
    """Judge the newest task instances of these failed tries, which come newest first, by how they stand now.

    One that is not among those retried still awaits its retry, or, after two days, cannot be told. One that was over for
    good and then cleared by a person stays broken: that was no healing.
    """
    stands = {(it.run_id, it.map_index): it for it in retried.standings}
    healed: Counter[int] = Counter()
    broken = waiting = 0
    for newest, is_broken in _instances(tries):
        it = stands.get((newest.key.run_id, newest.key.map_index))
        if is_broken:
            broken += 1
        elif it is None:
            waiting += newest.ended_at >= max(retried.reach or newest.ended_at, now - _AWAITED)
        elif it.state == "success":
            if it.try_number > newest.key.try_number:  # else marked as a success by hand
                healed[it.try_number] += 1
        elif it.state in _OVER:
            broken += 1
        else:
            waiting += 1
    on = max(healed, key=lambda number: (healed[number], -number), default=0)
    return Healing(healed.total(), broken, waiting, on, len(healed) > 1)


def _instances(tries: Iterable[Occurrence]) -> list[tuple[Occurrence, bool]]:
    """Return the newest failed try of each of the newest task instances, and whether one of its tries was the last."""
    found: dict[tuple[str, int], tuple[Occurrence, bool]] = {}
    for one in tries:
        place = (one.key.run_id, one.key.map_index)
        newest, is_broken = found.get(place, (one, False))
        found[place] = (newest, is_broken or one.is_final is True)
    return list(found.values())[:INSTANCES]


def judge(answers: Iterable[Outcomes], latest: Mapping[tuple[str, str, str], datetime]) -> Outcome | None:
    """Judge a problem by the answers about its tasks; None where nothing was answered yet.

    `latest` has the end of the newest failed try by (deployment, dag_id, task_id): an answer from before it counts as
    what was between failures.
    """
    given = list(answers)
    if not given:
        return None
    every = [_aged(answer, latest) for answer in given]
    # A task that failed for good and came to nothing since. What became of a newer failure is not known until it is asked.
    is_over = any(one.broken and not one.succeeded and not one.waiting for one in given)
    kind, said, brief = _words(every, is_over)
    successes = [answer.last_success_at for answer in every if answer.last_success_at]
    waits = [answer.next_run_at for answer in every if answer.next_run_at]
    return Outcome(
        kind=kind, said=said, brief=brief, as_of=min(answer.as_of for answer in every), tasks=len(every),
        succeeded=sum(answer.succeeded for answer in every), failed=sum(answer.failed for answer in every),
        healed=sum(answer.healed for answer in every), broken=sum(answer.broken for answer in every),
        last_success_at=max(successes, default=None),
        next_run_at=min(waits, default=None) if kind in (OutcomeKind.IDLE, OutcomeKind.ALWAYS) else None,
    )  # fmt: skip


def _aged(answer: Outcomes, latest: Mapping[tuple[str, str, str], datetime]) -> Outcomes:
    newest = latest.get((answer.deployment, answer.dag_id, answer.task_id), answer.since)
    if newest <= answer.since:
        return answer
    return replace(answer, since=newest, between=answer.between + answer.succeeded, succeeded=0, failed=0)


def _words(every: Sequence[Outcomes], is_over: bool) -> tuple[OutcomeKind, str, str]:
    well, ill = sum(one.succeeded for one in every), sum(one.failed for one in every)
    healed, broken = sum(one.healed for one in every), sum(one.broken for one in every)
    waiting = sum(one.waiting for one in every)
    if healed and healed / (healed + broken) >= HEALS_FROM and not is_over:
        brief = f"heals by retry {healed} of {healed + broken}"
        return OutcomeKind.HEALS, f"Heals by itself {_of(healed, healed + broken)}, {_on(every)} try.", brief
    rest = _idle(every)
    if well and not ill:
        each = "and succeeded" if well == 1 else "all succeeded"
        said = f"Ran {_times(well)} since the last failure{',' if well > 1 else ''} {each}{rest}."
        return OutcomeKind.WELL, said, f"ran well since, {_times(well)}"
    if well:
        said = (
            f"Ran {_times(well + ill)} since the last failure: {well} succeeded, {ill} failed of something else{rest}."
        )
        return OutcomeKind.MIXED, said, f"since then {well} well, {ill} not"
    if ill:
        said = f"Has not succeeded since: it failed {_times(ill)} more, of something else{rest}."
        return OutcomeKind.OTHER, said, "fails of something else since"
    if waiting:
        return OutcomeKind.RETRYING, "Its retry is still to come.", "retry to come"
    return _still(every, broken)


def _still(every: Sequence[Outcomes], broken: int) -> tuple[OutcomeKind, str, str]:
    """Say why nothing ran since the last failure, or what the failures before it were like."""
    several = len({(one.deployment, one.dag_id) for one in every}) > 1
    its = "the DAGs of all its tasks are" if several else "its DAG is"
    if all(one.is_gone for one in every):
        return OutcomeKind.GONE, f"Has not run since: {its} gone.", "not run since: DAG gone"
    if all(one.is_paused or one.is_gone for one in every):
        return OutcomeKind.PAUSED, f"Has not run since: {its} paused.", "not run since: paused"
    between = sum(max(one.between, one.healed) for one in every)
    if between:
        said = f"Fails now and then: {_successes(between)} between its failures; not run since the last one."
        return OutcomeKind.SOMETIMES, said, "fails now and then"
    if broken > 1:
        who = "its task has" if len(every) == 1 else "none of its tasks has"
        said = f"Fails every time: {who}{' not' if len(every) == 1 else ''} succeeded since the problem began."
        return OutcomeKind.ALWAYS, said, "fails every time"
    return OutcomeKind.IDLE, "Has not run since.", "not run since"


def _idle(every: Sequence[Outcomes]) -> str:
    """Name how many of several tasks have not run since, for the end of a sentence."""
    idle = [one for one in every if not one.succeeded and not one.failed]
    if not idle:
        return ""
    reason = ""
    if all(one.is_paused for one in idle):
        reason = ", as its DAG is paused" if len(idle) == 1 else ", as their DAGs are paused"
    return f"; {len(idle)} of its {len(every)} tasks {'has' if len(idle) == 1 else 'have'} not run since{reason}"


def _of(part: int, whole: int) -> str:
    if part == whole:
        return "the one time so far" if whole == 1 else f"every time, {whole} of {whole}"
    return f"{part} of {whole} times"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _successes(count: int) -> str:
    return "one success" if count == 1 else f"{count} successes"


def _on(every: Sequence[Outcomes]) -> str:
    """Name the try on which task instances healed, or most of them did."""
    most = max(every, key=lambda one: one.healed)
    is_one = all(one.healed_on == most.healed_on and not one.is_apart for one in every if one.healed)
    return f"{'' if is_one else 'mostly '}on the {_nth(most.healed_on)}"


def _nth(number: int) -> str:
    return {2: "second", 3: "third", 4: "fourth", 5: "fifth"}.get(number, f"{number}th")
