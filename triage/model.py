"""The facts of airtriage, as frozen dataclasses and enums, and what follows from them alone.

Owns the natural key of a failed try, the facts kept of it, and how two versions of the same fact merge; what is decided
about them are `records`. Knows no storage, no clock and no outside system. Times are aware UTC datetimes on the Airflow
server's clock unless a field says otherwise. What a log is made of comes in great numbers: a msgspec struct is made in
an eighth of a frozen dataclass's time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import msgspec


class LogStatus(StrEnum):
    """How much of a try's log is known; it only ever gets better, in this order."""

    PENDING = "pending"
    MISSING = "missing"
    PARTIAL = "partial"
    WHOLE = "whole"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {status: rank for rank, status in enumerate(LogStatus)}


class CircumstanceKind(StrEnum):
    """What Airflow itself says of a failure, beside the log."""

    HEARTBEAT_LOST = "heartbeat lost"
    STATE_MISMATCH = "state mismatch"
    QUEUED_TOO_LONG = "queued too long"
    FAIL_FAST = "stopped by fail_fast"
    MARKED = "marked by hand"


class Absence(StrEnum):
    """Why an answer to "what is its log?" holds no log: what stands in its place."""

    STORAGE = "log storage away"
    WORKER = "log worker gone"
    REFUSED = "log server refuses"
    ROTATED = "log rotated away"
    NEVER_STARTED = "never started"
    UNKNOWN_TRY = "try not known"


@dataclass(frozen=True, slots=True)
class Circumstance:
    """One statement of Airflow about a failed try: its kind, its words, who made it and when."""

    kind: CircumstanceKind
    text: str = ""
    by: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, order=True)
class TaskTry:
    """The natural key of a try. `map_index` is -1 for a task that is not mapped."""

    deployment: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    try_number: int = 1

    @property
    def id(self) -> str:
        """A hash of the key, 32 hex digits, the same on every machine: the document id on every store."""
        key = [self.deployment, self.dag_id, self.run_id, self.task_id, self.map_index, self.try_number]
        return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]

    @property
    def task(self) -> str:
        return f"{self.dag_id}.{self.task_id}"

    def __str__(self) -> str:
        mapped = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.deployment}: {self.dag_id}.{self.task_id}{mapped} {self.run_id} try {self.try_number}"


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One stack frame; `line` is None where the log does not say."""

    file: str
    line: int | None
    function: str


class Raised(msgspec.Struct, frozen=True, gc=False):
    """One exception as logged. A chain is a tuple of these, the raised one first, its root cause last.

    `is_cause` on entry k: it is the direct cause (`raise … from`) of entry k-1, else its implicit context.
    `parts` holds the chains of an exception group.
    """

    type: str
    value: str = ""
    frames: tuple[Frame, ...] = ()
    notes: tuple[str, ...] = ()
    is_cause: bool = False
    parts: tuple[tuple[Raised, ...], ...] = ()


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """One line (or NDJSON record) of a log. `number` is its 1-based place in the real log, so gaps show.

    Behind a part that was not read nobody knows that place: there it counts from the log's end, -1 being its last line.
    """

    number: int
    text: str
    level: str | None = None
    logger: str | None = None
    at: datetime | None = None
    raised: tuple[Raised, ...] = ()
    exit_code: int | None = None
    signal: str | None = None


def place(number: int) -> str:
    """Name a line by its number: `line 12`, or `line 3 from the end`."""
    return f"line {number}" if number > 0 else f"line {-number} from the end"


@dataclass(frozen=True, slots=True)
class Unread:
    """Stands in the stream of a log's bytes for `size` bytes in its middle that were not read."""

    size: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """One telling line: its number as in `LogLine` and its text, redacted."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Signature:
    """The readable what-failed and its versioned key.

    `fingerprint` is `<version>:<hex>`, `<version>.<rules>:<hex>` with people's own rules; `cause` a name of `causes.CAUSES`; `exception` the root exception's type;
    `decisions` the sentences that `explain` prints; `key` what the hash was made from, redacted.
    """

    version: int
    fingerprint: str
    title: str
    cause: str
    exception: str | None = None
    evidence: tuple[Evidence, ...] = ()
    decisions: tuple[str, ...] = ()
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One failed try, kept: what Airflow says of it, and what its log said once fetched.

    `ended_at` is the event log's time where `is_event_time`, else a worker's clock, which may be wrong. `signed_knowing`:
    the signature was made with the circumstance, or its log was gone when that became known.
    `seen_at`, `first_fetch_at` and `next_fetch_at` are on our clock. `fetches` counts the answers to "what is its log?",
    `troubles` the times the server gave none: only answers use up the waits. `fingerprint` is empty until the log is settled
    (whole, or its waits are over) or given up provisionally. `log_lines` counts what was read, `log_bytes` the real log,
    `log_unread` the bytes of it that were left out in its middle. `absence` says why a log is
    missing, where that is known. `file` is the path of the DAG's file for Airflow. `kept` is the redacted, bounded log; None where it was
    not loaded (lists never load it). `is_final` is None while unknown, False for a try that was retried.
    """

    key: TaskTry
    ended_at: datetime
    seen_at: datetime
    started_at: datetime | None = None
    is_final: bool | None = None
    circumstance: Circumstance | None = None
    operator: str = ""
    owner: str = ""
    queue: str = ""
    pool: str = ""
    host: str = ""
    tags: tuple[str, ...] = ()
    map_label: str = ""
    dag_version: int | None = None
    bundle_version: str = ""
    bundle_url: str = ""
    file: str = ""
    upstream_failed: tuple[str, ...] = ()
    log: LogStatus = LogStatus.PENDING
    log_lines: int = 0
    log_bytes: int = 0
    log_unread: int = 0
    absence: Absence | None = None
    fetches: int = 0
    troubles: int = 0
    first_fetch_at: datetime | None = None
    next_fetch_at: datetime | None = None
    signature: Signature | None = None
    kept: tuple[LogLine, ...] | None = None
    is_event_time: bool = False
    signed_knowing: bool = False

    @property
    def fingerprint(self) -> str:
        return self.signature.fingerprint if self.signature else ""

    @property
    def day(self) -> str:
        return self.ended_at.date().isoformat()


# What describes the try itself: an empty value of the older fact is filled by the newer one.
_DESCRIPTION = (
    "started_at", "operator", "owner", "queue", "pool", "host", "tags", "map_label", "dag_version", "bundle_version",
    "bundle_url", "file", "first_fetch_at",
)  # fmt: skip
# What came from reading the log: taken together from the better fact.
_READING = ("log", "log_lines", "log_bytes", "log_unread", "absence", "signature", "kept", "signed_knowing")


def merge(old: Occurrence, new: Occurrence) -> Occurrence:
    """Merge two facts about the same try; `old` itself is returned when `new` adds nothing.

    The better reading wins (log status, then how much was read, then circumstance known, then signature version); on a tie the
    old one stays. A try once known to have been retried stays so. A signature made before the circumstance was known
    makes the log due again: it is to be the same in whatever order things are learned; where the log is gone by then, the
    signature stands. The surer time of the end wins.
    Merging twice, or a stale fact late, changes nothing.
    """
    changes: dict[str, object] = {}
    for name in _DESCRIPTION:
        if not getattr(old, name) and getattr(new, name):
            changes[name] = getattr(new, name)
    changes["upstream_failed"] = tuple(sorted({*old.upstream_failed, *new.upstream_failed}))
    if new.is_final is not None and (old.is_final is None or (old.is_final and not new.is_final)):
        changes["is_final"] = new.is_final
    read = new if _reading_rank(new) > _reading_rank(old) else old
    if read is new:
        changes |= {name: getattr(new, name) for name in _READING if name != "kept" or new.kept is not None}
        if new.bundle_version:  # what its log says it ran; lists tell what its DAG version points to by now
            changes |= {"bundle_version": new.bundle_version, "bundle_url": new.bundle_url or old.bundle_url}
    if (new.fetches, new.troubles) > (old.fetches, old.troubles):
        changes |= {"fetches": new.fetches, "troubles": new.troubles, "next_fetch_at": new.next_fetch_at}
    if old.circumstance is None and new.circumstance is not None:
        changes |= {"circumstance": new.circumstance, "next_fetch_at": new.seen_at}
    if _dating_rank(new) > _dating_rank(old):
        changes |= {"ended_at": new.ended_at, "is_event_time": new.is_event_time}
    if read.signature and not read.signed_knowing and (old.circumstance or new.circumstance):
        if new.circumstance and new.fetches > old.fetches and new.next_fetch_at is None:
            changes["signed_knowing"] = True  # asked to the end by a reader who knew it, and nothing better is left
        else:
            changes["next_fetch_at"] = changes.get("next_fetch_at", old.next_fetch_at) or new.seen_at
    elif read.log is LogStatus.WHOLE:
        changes["next_fetch_at"] = None
    changes = {name: value for name, value in changes.items() if value != getattr(old, name)}
    return replace(old, **changes) if changes else old  # type: ignore[arg-type]


def _dating_rank(fact: Occurrence) -> tuple[bool, bool, float]:
    """Rank the times of a try's end: its marking by hand, then an event's, then a worker's, of two alike the earlier."""
    is_marked = fact.circumstance is not None and fact.circumstance.kind is CircumstanceKind.MARKED
    return (is_marked, fact.is_event_time, -fact.ended_at.timestamp())


def _reading_rank(fact: Occurrence) -> tuple[int, int, int, bool, int]:
    signed = fact.signature
    return (
        fact.log.rank,
        fact.log_bytes - fact.log_unread,
        -fact.log_unread,
        fact.signed_knowing,
        signed.version if signed else -1,
    )
