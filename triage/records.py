"""The records of airtriage, as frozen dataclasses and enums: what was decided, how far was read, what was answered.

Owns the problem that folds the recurrences of one cause, its state and its history, and what a store keeps beside
occurrences. Knows no storage and no clock. Times are aware UTC datetimes on the Airflow server's clock unless a field
says otherwise.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from triage.mirrors import Heard, LinkWish, Mirror, Tracker
from triage.model import TaskTry
from triage.watched import Cursor, DeploymentHealth, Lease, Worker


class TriageState(StrEnum):
    """Where a problem stands in triage."""

    NEW = "NEW"
    ONGOING = "ONGOING"
    REGRESSED = "REGRESSED"
    MUTED = "MUTED"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True, slots=True)
class Ran:
    """What a problem's failed tries of one task ran: a DAG version and a bundle version (None, "": not known).

    `last_started` is the start of the newest of them, `last_seen` its newest end.
    """

    deployment: str
    dag_id: str
    task_id: str
    dag_version: int | None
    bundle_version: str
    last_started: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Tally:
    """The occurrences of a problem, counted from the facts as absolute values.

    `final` counts tries that ended their task instance; `last_started` decides about regressions. `ran` parts them by
    task and version; `newer` counts those that ended after the time asked for.
    """

    occurrences: int
    final: int
    first_seen: datetime
    last_seen: datetime
    last_started: datetime
    title: str
    cause: str
    ran: tuple[Ran, ...] = ()
    newer: int = 0

    @property
    def dags(self) -> frozenset[str]:
        """Return the names of the DAGs it was seen in."""
        return frozenset(part.dag_id for part in self.ran)


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a problem's history: who did what, when, why, and from where.

    `origin` is page, command, GitLab, policy, or airtriage.
    """

    problem: str
    at: datetime
    who: str
    what: str
    why: str = ""
    origin: str = "airtriage"


@dataclass(frozen=True, slots=True)
class DagVersion:
    """The newest version of a DAG that was known at some time; None where its tries name none."""

    deployment: str
    dag_id: str
    number: int | None


@dataclass(frozen=True, slots=True)
class Deploy:
    """The deploy that a resolution is bound to: the next one after what was known then, or a given one.

    `dags` and `bundles` are what was known at the resolution: failures of that are expected still. A given deploy is a
    `commit` (a beginning of it is enough) or the version `number` of the DAG `dag_id`. `seen_at` is the start of the
    first try of that deploy that was seen, `seen` says which.

    Where a merge request is to have fixed it, `fix` is its commit and `fix_project` the number of its project in GitLab,
    which says of each later bundle whether it holds that commit: then it is one of `fixed`, else of `bundles`, and where it
    cannot be told one of `untold`.
    """

    dags: tuple[DagVersion, ...] = ()
    bundles: tuple[str, ...] = ()
    commit: str = ""
    dag_id: str = ""
    number: int | None = None
    seen_at: datetime | None = None
    seen: str = ""
    fix: str = ""
    fix_project: int = 0
    fixed: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a problem stood before a person's last decision: what Undo puts back; fields as in `Problem`.

    `left_by` is that decision in the words of the history, `decided_by` and `decided_at` (unique for a problem) are its entry's;
    `moves` are the merges and splits up to then: after another one it cannot be put back. Records from before there were
    these fields lack `decided_at`, and `owner`, which stays as it is then.
    """

    left_by: str
    state: TriageState
    state_at: datetime
    state_by: str
    reason: str
    before: TriageState | None = None
    resolved_at: datetime | None = None
    deploy: Deploy | None = None
    quiet_for: timedelta | None = None
    muted_until: datetime | None = None
    muted_until_count: int | None = None
    muted_from: datetime | None = None
    muted_dags: tuple[str, ...] = ()
    muted_until_closed: bool = False
    wake_at: datetime | None = None
    moves: tuple[str, ...] = ()
    owner: str | None = None
    decided_by: str = ""
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A decision: the recurrences of one cause in one scope, with a triage state.

    `id` comes from the scope and the fingerprint it was born with and never changes. `muted_*` is set only in MUTED:
    until a time, until `muted_until_count` failures ended after `muted_from` (of a record from before there was that
    field: in all), until it is seen in a DAG beside `muted_dags`, until its GitLab issue closes, or for good.
    `resolved_at` and `deploy` are set only in RESOLVED; `quiet_for` never there: it is resolved once all its tasks ran
    well for so long. `wake_at` is when time alone may change the state; `before` the state that unmuting and reopening
    go back to; `undo` is None after a change of airtriage's own. `told` is the newest entry of its history, so that none is lost
    between two writes. Saved only when something was decided; counts live in the summaries. `merged_into` is the problem
    that its failures went to, by the move `merged_by`: it is kept so that its id still leads somewhere. `moves` are the
    moves that its own state and numbers take into account.
    """

    id: str
    scope: str
    fingerprint: str
    title: str
    cause: str
    state: TriageState
    opened_at: datetime
    state_at: datetime
    state_by: str = "airtriage"
    reason: str = ""
    before: TriageState | None = None
    resolved_at: datetime | None = None
    muted_until: datetime | None = None
    muted_until_count: int | None = None
    wake_at: datetime | None = None
    owner: str = ""
    gitlab_url: str = ""
    muted_from: datetime | None = None
    muted_dags: tuple[str, ...] = ()
    muted_until_closed: bool = False
    deploy: Deploy | None = None
    quiet_for: timedelta | None = None
    undo: Stand | None = None
    told: Change | None = None
    merged_into: str = ""
    merged_by: str = ""
    moves: tuple[str, ...] = ()


def problem_id(scope: str, fingerprint: str) -> str:
    """The id of the problem born from `fingerprint` in `scope`: 12 hex digits, the same on every machine."""
    return hashlib.sha256(json.dumps([scope, fingerprint]).encode()).hexdigest()[:12]


def storm_id(tracker: str) -> str:
    """Return the id that the summary of a project's storms has in place of a problem's."""
    return problem_id("storm", tracker)


@dataclass(frozen=True, slots=True)
class Membership:
    """Says which problem a fingerprint belongs to in a scope.

    `moves` are the moves by people that brought it there, the newest last; an undo goes back along them. `is_bound`: a
    person said so, of it or of what it is the heir of, and nothing that airtriage finds out by itself overrides it.
    """

    scope: str
    fingerprint: str
    problem: str
    moves: tuple[str, ...] = ()
    is_bound: bool = False


class MoveKind(StrEnum):
    """How a person moved failures from one problem to another."""

    MERGE = "merge"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class Move:
    """A person's decision that failures of `problem` belong to problem `into`; in force until `undone_at`.

    A merge moves all of them; a split those with `fingerprint`, or those of the DAG `dag` (and `task`, where it is named).
    `was` and `other` are the problems `into` and `problem` as they were, `tries` the number of failures that moved. `counted`
    are those of them that the mute of `was` counts, `had` those of `was` that a mute of `other` does; `dags` the DAGs of what
    moved, `had_dags` those of `was`; `last_started` the newest start of a failed try of either. Times on the Airflow server's
    clock.
    """

    id: str
    scope: str
    kind: MoveKind
    problem: str
    into: str
    at: datetime
    by: str
    other: Problem
    was: Problem | None = None
    why: str = ""
    origin: str = "command"
    fingerprint: str = ""
    dag: str = ""
    task: str = ""
    tries: int = 0
    counted: int = 0
    had: int = 0
    dags: tuple[str, ...] = ()
    had_dags: tuple[str, ...] = ()
    last_started: datetime | None = None
    undone_at: datetime | None = None
    undone_by: str = ""
    undone_why: str = ""
    undone_origin: str = ""


@dataclass(frozen=True, slots=True)
class Moving:
    """The intent of a scope: the moves under way, the first one first; empty when there is none.

    One at a time: who wants to move something finishes these before, so no two moves can contradict each other.
    """

    scope: str
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """A condition: the failures with `fingerprint` in this DAG (and task, where it is named) have one of their own.

    That one is `fingerprint` with a slash and `mark` behind it. `move` is the move that made it so, `at` when.
    """

    scope: str
    fingerprint: str
    dag: str
    task: str
    move: str
    at: datetime
    is_undone: bool = False

    @property
    def mark(self) -> str:
        """Six hex digits of the condition, the same on every machine."""
        return mark(self.dag, self.task)


def mark(dag: str, task: str) -> str:
    """Return six hex digits for the condition that a failure is of this DAG, and of this task unless that is empty."""
    return hashlib.sha256(json.dumps([dag, task]).encode()).hexdigest()[:6]


@dataclass(frozen=True, slots=True)
class Regroup:
    """The intent to sign anew what is kept, one a store: every failed try is to have a fingerprint of `edition`.

    `former` are the editions in force before, the newest last. `tries` counts those signed anew since `begun_at`, `left`
    those that keep their fingerprint for want of a kept log. `done_at` is None while it is under way. Times on our clock.
    """

    edition: str
    begun_at: datetime
    former: tuple[str, ...] = ()
    tries: int = 0
    left: int = 0
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How one task fared since a problem failed in it: absolute values, each asked anew. Times on the Airflow server's clock.

    `began` and `since` are the ends of the problem's first (at most two weeks before) and newest failed try in the task.
    `succeeded` and `failed` count what started after `since`: task instances that succeeded, tries that failed of
    something else; `between` the successes from `began` to `since`; `dag_version` and `bundle_version` are those of the
    newest success, where they are known. `healed`, `broken` and `waiting` judge the newest
    task instances that the problem hit: succeeded on a later try (mostly on try `healed_on`, some on others where `is_apart`), failed in the end, retry
    still to come. `as_of` is when it was asked, `next_ask_at` when it is due again.
    """

    problem: str
    deployment: str
    dag_id: str
    task_id: str
    began: datetime
    since: datetime
    as_of: datetime
    next_ask_at: datetime
    succeeded: int = 0
    failed: int = 0
    between: int = 0
    last_success_at: datetime | None = None
    healed: int = 0
    broken: int = 0
    waiting: int = 0
    healed_on: int = 0
    is_apart: bool = False
    is_paused: bool = False
    is_gone: bool = False
    next_run_at: datetime | None = None
    dag_version: int | None = None
    bundle_version: str = ""


@dataclass(frozen=True, slots=True)
class Good:
    """A try that succeeded, and the version of the DAG it ran with. `ended_at` is the worker's clock."""

    key: TaskTry
    ended_at: datetime
    dag_version: int | None = None
    bundle_version: str = ""
    bundle_url: str = ""


@dataclass(frozen=True, slots=True)
class Escalation:
    """That a problem grows, one a problem, kept while it does. Times on the Airflow server's clock.

    `since` is when that was first seen, `why` the reason in words as of `found_at`, when it was last found to go on,
    `times` how many times its former level it was at then. It is over once the last `hours` hold at most `level` failed
    tries. `look_at`: when it is looked at again where no failure comes in.
    """

    problem: str
    since: datetime
    why: str
    times: float
    level: int
    hours: int
    found_at: datetime
    look_at: datetime


@dataclass(frozen=True, slots=True)
class Dag:
    """What the newest failed try that says so says of its DAG: tags, file (its path for Airflow), bundle. `at`: that try's end."""

    deployment: str
    dag_id: str
    tags: tuple[str, ...] = ()
    file: str = ""
    bundle_url: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Codeowners:
    """The CODEOWNERS of the repository with this address: its path there and its text, both empty where it has none.

    `read_at` is on our clock.
    """

    repository: str
    path: str
    text: str
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Horizon:
    """The ISO day before which failed tries are not kept, one a store: it only ever moves forward.

    What was counted of the days before stays as it was when they fell behind; `retired` counts the tries deleted since ever.
    """

    day: str
    retired: int = 0


@dataclass(frozen=True, slots=True)
class Copying:
    """That this store is, or once was, filled from another: one a store; done at `done_at`, until then not to be used.

    `source` is the other's address without its account. `kind` and `after` are how far it has come; `sums` what each kind
    was in the end, its count and checksum by its name. Times on our clock.
    """

    source: str
    begun_at: datetime
    kind: str = ""
    after: str = ""
    done_at: datetime | None = None
    sums: dict[str, tuple[int, str]] = field(default_factory=dict)


class ComparisonStatus(StrEnum):
    """What became of a comparison that somebody asked for."""

    WANTED = "wanted"
    SHOWN = "shown"
    NONE = "no good run"
    GONE = "its log is gone"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The kept log of a failed try beside that of the last good run of its task, which ended before `began`.

    A wish until a collector has answered it. `new` holds the numbers of the kept lines that the good run's log lacks
    (numbers, times and ids aside), of `lines` compared; `said` is why it failed or fell short. `wanted_at` and `done_at` are on our
    clock, `began` on the Airflow server's.
    """

    key: TaskTry
    problem: str
    began: datetime
    wanted_at: datetime
    wanted_by: str
    status: ComparisonStatus = ComparisonStatus.WANTED
    good: Good | None = None
    new: tuple[int, ...] = ()
    lines: int = 0
    done_at: datetime | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """A query that somebody gave a name: everybody's, or with `is_mine` shown to who saved it alone. `at` is on our clock."""

    id: str
    name: str
    query: str
    who: str
    at: datetime
    is_mine: bool = False


Record = (
    Problem
    | Membership
    | Change
    | Cursor
    | Lease
    | Worker
    | DeploymentHealth
    | Outcomes
    | Comparison
    | Regroup
    | Escalation
    | Dag
    | Codeowners
    | Mirror
    | Tracker
    | Heard
    | LinkWish
    | Move
    | Moving
    | Split
    | Horizon
    | Copying
    | SavedSearch
)
