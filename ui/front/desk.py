"""What the pages work with: the service, the settings and a clock, handed over once by `ui.web` before serving.

Streamlit runs the entry script anew for every visit, in a thread of its own, so the desk lives in this module. It keeps
the last answers of the queue by the store's revision, shared by all tabs and only read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from triage import links
from triage.completion import Values
from triage.errors import TriageError
from triage.mirrors import Mirror
from triage.model import TaskTry
from triage.query import Query
from triage.queue import QueueRow
from triage.service import HealthView, Service
from triage.settings import Settings
from triage.similar import Known

T = TypeVar("T")
_KEPT = 32  # answers kept; one of 5,000 rows is about 10 MB at most, and most are small


@dataclass
class Desk:
    """The service, the settings, the clock, remembered answers, and what is known of all problems.

    `nudge` asks the collector for a round over GitLab, where something is wished for.
    """

    service: Service
    settings: Settings
    now: Callable[[], datetime]
    nudge: Callable[[], None] = lambda: None
    known: Known = field(init=False)
    values: Values = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _answers: OrderedDict[object, tuple[object, object]] = field(default_factory=OrderedDict)
    _making: dict[object, threading.Lock] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = Known(self.service)
        self.values = Values(self.service.store)

    def remembered(self, key: object, state: object, make: Callable[[], T]) -> T:
        """Return what was made for this key while `state` is the same, else make it, for all who wait for it at once.

        What is made anew and equal to what was there is the very same object again: what is made of it may stay, too.
        """
        with self._lock:
            if self._is_kept(key, state):
                return self._answers[key][1]  # type: ignore[return-value]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if self._is_kept(key, state):
                    return self._answers[key][1]  # type: ignore[return-value]
            return self._keep(key, state, make())

    def _is_kept(self, key: object, state: object) -> bool:
        if key not in self._answers or self._answers[key][0] != state:
            return False
        self._answers.move_to_end(key)
        return True

    def _keep(self, key: object, state: object, made: T) -> T:
        with self._lock:
            if key in self._answers and self._answers[key][1] == made:
                made = self._answers[key][1]  # type: ignore[assignment]
            self._answers[key] = (state, made)
            self._answers.move_to_end(key)
            while len(self._answers) > _KEPT:
                gone, _ = self._answers.popitem(last=False)
                self._making.pop(gone, None)
        return made

    def rows(self, since: datetime | None = None) -> Sequence[QueueRow]:
        """Return every problem's row; `since` bounds what `recent` counts. The same list again where none has changed."""
        return self.service.queue(self.now(), since=since)

    def warm(self) -> None:
        """Make what the first visitor would wait for; a store that is away is no matter, the page says it."""
        with suppress(TriageError):
            self.rows(self.now() - timedelta(days=7))
            self.known.learn(self.now())

    def matching(self, text: str, query: Query) -> set[str]:
        """Return the ids of the problems with an occurrence that satisfies `query`, which `text` was parsed to.

        Remembered for a minute at most: what `now` in a text means passes, though nothing is stored.
        """
        now = self.now()
        state = (self.service.store.revision(), now.replace(second=0, microsecond=0))
        return self.remembered(("matching", text), state, lambda: self.service.found(query, now))

    def mirrors(self) -> Mapping[str, Mirror]:
        """Return what is known of the GitLab issue of each problem that has one."""
        return self.service.picture.mirrors(self.now())

    def health(self) -> list[HealthView]:
        """Return the health of every deployment that is watched, at most two seconds old."""
        watched = self.settings.deployments
        return [view for view in self._every_health() if not watched or view.health.deployment in watched]

    def _every_health(self) -> list[HealthView]:
        now = self.now()
        return self.remembered("health", int(now.timestamp() / 2), lambda: self.service.health(now))

    def airflow(self, key: TaskTry) -> str:
        """Return the address of a try in Airflow's page; empty where its deployment's address is unknown."""
        known = {view.health.deployment: view.health for view in self._every_health()}.get(key.deployment)
        return links.try_url(self.address(key.deployment), key, known.version if known else "")

    def address(self, deployment: str) -> str:
        """Return a deployment's address; empty where it is unknown."""
        if its := self.settings.deployments.get(deployment):
            return its.url
        known = {view.health.deployment: view.health.url for view in self._every_health()}
        return known.get(deployment, "")


RANGES = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30), "all": None}
_desk: Desk | None = None


def open_desk(desk: Desk) -> None:
    """Hand the pages what they work with; the last call wins."""
    global _desk
    _desk = desk


def desk() -> Desk:
    """Return what the pages work with; `open_desk` comes first."""
    assert _desk is not None, "open_desk was not called"
    return _desk
