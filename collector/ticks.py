"""The ticks of the schedule: what is asked of workers, how often, and in which lane. Pure.

Owns their names, which stand in messages and so are part of what versions agree on. A tick says where to look and nothing
more, so that it may come twice, late or never: the next one is the retry. Knows no broker and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from triage.settings import Settings

PASS = "airtriage.pass"
BACKFILL = "airtriage.backfill"
SERVE = "airtriage.serve"
ERRANDS = "airtriage.errands"
SETTLE = "airtriage.settle"
REGROUP = "airtriage.regroup"
RETIRE = "airtriage.retire"
SYNC = "airtriage.sync"
REGROUP_EVERY = (
    30.0  # seconds; how often is looked for tries of another edition of signing, and how long one tick signs
)
RETIRE_EVERY = 60.0  # seconds; how often is looked for failed tries that are kept no longer
RETIRE_FOR = timedelta(seconds=30)  # how long one tick deletes, half of it pauses
SYNC_EVERY = 30.0  # seconds; how often GitLab is looked at, and how long one tick works on it
SETTLE_EVERY = 30.0  # seconds; wakes problems whose mute or week is over
ERRANDS_EVERY = 3.0  # seconds; how long a person at a page waits for a collector at most, where no pass runs
BACKFILL_EVERY = 5.0  # seconds; how long what was missed waits for a free thread to be looked at


class Lane(StrEnum):
    """A queue in the broker. Live work never waits behind what takes long and may wait itself."""

    LIVE = "airtriage"
    BULK = "airtriage.bulk"


@dataclass(frozen=True, slots=True)
class Tick:
    """One message of the schedule, sent `every` so many seconds; it expires when the next one is due."""

    task: str
    every: float
    args: tuple[str, ...] = ()
    lane: Lane = Lane.LIVE


ROUND = Tick(SYNC, SYNC_EVERY)


def ticks(settings: Settings) -> tuple[Tick, ...]:
    """Return the schedule that these settings ask for, the passes first."""
    passes = (Tick(PASS, its.poll.total_seconds(), (name,)) for name, its in settings.deployments.items())
    rounds = (ROUND,) if settings.gitlabs else ()
    return (
        *passes, Tick(SETTLE, SETTLE_EVERY), Tick(ERRANDS, ERRANDS_EVERY), *rounds,
        Tick(BACKFILL, BACKFILL_EVERY, lane=Lane.BULK), Tick(REGROUP, REGROUP_EVERY, lane=Lane.BULK),
        Tick(RETIRE, RETIRE_EVERY, lane=Lane.BULK),
    )  # fmt: skip


def bound(settings: Settings) -> int:
    """Return how many messages may wait in a lane: twice what one turn of the schedule sends, wishes of people included."""
    return 2 * (2 * len(settings.deployments) + 6)
