"""The schedule at work: one beat among several, by a lease in the store, sends the ticks that are due.

Owns who ticks and when, never what a tick is or how it gets to a worker. A beat that cannot tell whether the lease is
still its own sends nothing, so that two never tick at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from collector.ticks import Tick
from triage.errors import StoreError
from triage.lease import LeaseLost, lease
from triage.store import Store

NAME = "beat"  # of the lease
LOOK = timedelta(seconds=5)  # between two looks of a beat that waits; what its takeover takes beside the lease's time
_PAUSE = 1.0  # seconds; before a tick that did not get out, or a store that is away, is tried again
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Beat:
    """A beat: `send` hands a tick to the broker and says whether that worked. `clock` is ours, aware UTC.

    `turned` hears of every turn that went well, one of waiting for the lease too.

    Whoever takes the lease sends every tick at once, so that a takeover costs nobody a turn.
    """

    store: Store
    ticks: tuple[Tick, ...]
    send: Callable[[Tick], bool]
    clock: Callable[[], datetime]
    over: threading.Event
    look: timedelta = LOOK
    turned: Callable[[], None] = lambda: None
    _due: dict[Tick, float] = field(default_factory=dict)  # on the monotonic clock

    def run(self) -> None:
        """Tick while the lease is ours and wait for it while it is not, until `over` is set; then give it back."""
        while not self.over.is_set():
            try:
                with lease(self.store, NAME, self.clock) as renew:
                    self.turned()
                    if renew is not None:
                        _log.info("This beat ticks now.")
                        self._tick(renew)
            except LeaseLost:
                _log.warning("Another beat ticks now.")
            except StoreError as exc:
                _log.warning("No ticks while the store is away: %s", exc)
            self.over.wait(self.look.total_seconds())

    def _tick(self, renew: Callable[[], None]) -> None:
        self._due = dict.fromkeys(self.ticks, 0.0)
        while not self.over.is_set():
            try:
                is_out = self._turn(renew)
            except StoreError:  # nobody knows whose the lease is until the store answers
                is_out = False
            if is_out:
                self.turned()
            next_due = min(self._due.values()) - time.monotonic()
            self.over.wait(max(next_due, 0.05) if is_out else _PAUSE)

    def _turn(self, renew: Callable[[], None]) -> bool:
        """Send what is due; False where the broker took one not, which stays due."""
        for tick, due in self._due.items():
            if due > time.monotonic():
                continue
            renew()
            if not self.send(tick):
                return False
            self._due[tick] = time.monotonic() + tick.every
        return True
