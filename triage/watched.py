"""What is kept of a deployment that is watched: how far it was read, who reads it, and how it was at the last pass.

Pure records, like those of `records`. Times are on the Airflow server's clock unless a field says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Listing(StrEnum):
    """The two places where Airflow tells of failures: the event log, and the list of task instances."""

    EVENTS = "events"
    INSTANCES = "list"


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of the server's time in which nobody read a listing; it is read afterwards, from its end to its start.

    What lies after `left`, up to `until`, has been read. `is_first`: the time before the first contact, as far as
    `lookback` reaches. `failures` counts attempts in a row that broke off; a part that keeps breaking off stands as a
    gap of its own with the time of its next attempt, `retry_at`. `retry_at` and `closed_at`, when the last of it was
    read, are on our clock.
    """

    listing: Listing
    since: datetime
    until: datetime
    left: datetime
    is_first: bool = False
    failures: int = 0
    retry_at: datetime | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a deployment has been read, on the Airflow server's clock, and the scope its problems were opened in.

    Each listing has been read up to `…_until`, but for `gaps`. `offset` is the server's clock minus ours, in seconds,
    as of then. `swept_at` (our clock): when last more than the news was read. `slice`: how many
    seconds of a gap are to be read at once next.
    """

    deployment: str
    scope: str = ""
    events_until: datetime | None = None
    list_until: datetime | None = None
    offset: float | None = None
    swept_at: datetime | None = None
    gaps: tuple[Gap, ...] = ()
    slice: float | None = None

    def until(self, listing: Listing) -> datetime | None:
        """Return how far a listing has been read; None before the first time."""
        return self.events_until if listing is Listing.EVENTS else self.list_until


@dataclass(frozen=True, slots=True)
class Lease:
    """A right held until `expires_at` (our clock), e.g. to read a deployment, or to send the ticks."""

    name: str
    holder: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Worker:
    """A process at work, as it said itself at `seen_at` (our clock, like `started_at`).

    `role` is worker or beat; `threads` how many ticks it works on at once, `busy` on how many it did; `memory` in bytes.
    `waiting` maps each lane to the messages in the broker, empty where that is away; `trouble` says so.
    """

    id: str
    role: str
    started_at: datetime
    seen_at: datetime
    lanes: tuple[str, ...] = ()
    threads: int = 0
    busy: int = 0
    memory: int = 0
    waiting: dict[str, int] = field(default_factory=dict)
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something an operator can fix: one sentence that names the thing, and the fix."""

    what: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Component:
    """One of Airflow's own parts: scheduler, triggerer, dag_processor, metadatabase."""

    name: str
    status: str
    heartbeat: datetime | None = None


@dataclass(frozen=True, slots=True)
class ImportFailure:
    """A DAG file that does not import: the file and the redacted trace, last line first to read."""

    file: str
    bundle: str
    trace: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """A pool's slots, and how many tasks wait for one."""

    name: str
    slots: int
    running: int
    queued: int
    scheduled: int


@dataclass(frozen=True, slots=True)
class DeploymentHealth:
    """What the last pass over a deployment found; `passed_at` and `succeeded_at` are on our clock.

    `offset` is the Airflow server's clock minus ours, in seconds. `troubles` is empty when all is well.
    """

    deployment: str
    url: str
    passed_at: datetime
    succeeded_at: datetime | None = None
    poll: float = 30.0
    version: str = ""
    offset: float = 0.0
    troubles: tuple[Trouble, ...] = ()
    components: tuple[Component, ...] = ()
    imports: tuple[ImportFailure, ...] = ()
    pools: tuple[PoolLoad, ...] = ()
    listed: int = 0
    fetched: int = 0
