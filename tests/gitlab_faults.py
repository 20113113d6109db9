"""Faults of the double as objects: what goes wrong, at which request, before or after the write, and a log of all that did.

A fault is chosen by a predicate (method, path, the how-manieth) or drawn by a seeded plan; the same seed and the same order
of requests draw the same faults. `KINDS` is the list of what can go wrong.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.gitlab_state import Lag

# What can go wrong. `before` never commits the write, `after` always does; the client sees the same.
KINDS = {
    "status": "an answer with this status, before or after the commit",
    "cut": "the connection is closed without an answer, before or after the commit",
    "hang": "no answer until the client gives up, before or after the commit",
    "slow": "the right answer, late by `seconds`",
    "stale": "the answer of a replica that lags behind",
    "duplicate": "the write is made twice, as by a proxy that sends a request again",
    "meanwhile": "somebody does something (`act`) right before the request is carried out, or after it",
}
MESSAGES = {
    400: {"message": "400 Bad request"},
    401: {"message": "401 Unauthorized"},
    403: {"message": "403 Forbidden"},
    404: {"message": "404 Not found"},
    409: {"message": "409 Conflict"},
    422: {"message": {"base": ["could not be saved"]}},
    429: "Retry later\n",
    500: {"message": "500 Internal Server Error"},
    502: "<html><head><title>GitLab is not responding (502)</title></head></html>",
    503: "<html><head><title>503 Service Unavailable</title></head></html>",
}


@dataclass(frozen=True)
class Request:
    """One request as it came in. `path` is raw, below /api/v4; `number` counts all requests from 1."""

    number: int
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: Any = None

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD")


@dataclass
class Fault:
    """One thing that goes wrong, at the requests that its fields name.

    `nth` counts the requests that match the other fields, from 1 (None: each of them); it strikes `times` times at most.
    """

    kind: str = "status"
    status: int = 502
    when: str = "before"
    method: str | None = None
    path: str | None = None
    nth: int | Iterable[int] | None = None
    where: Callable[[Request], bool] | None = None
    times: int | None = None
    seconds: float = 0.0
    lag: Lag = field(default_factory=lambda: Lag(writes=1))
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    act: Callable[[], object] | None = None
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind
        assert self.when in ("before", "after"), self.when
        self._numbers = {self.nth} if isinstance(self.nth, int) else None if self.nth is None else set(self.nth)

    def strikes(self, request: Request) -> bool:
        """Whether this request is one of those; counts it. Called once a request."""
        if self.method not in (None, request.method) or not re.search(self.path or "", request.path):
            return False
        if self.where is not None and not self.where(request):
            return False
        self.seen += 1
        if self._numbers is not None and self.seen not in self._numbers:
            return False
        if self.times is not None and self.struck >= self.times:
            return False
        self.struck += 1
        return True

    @property
    def name(self) -> str:
        """What it is called in the log: `502 after`, `cut before`, `stale`."""
        if self.kind in ("slow", "stale", "duplicate", "meanwhile"):
            return self.kind
        return f"{self.status if self.kind == 'status' else self.kind} {self.when}"


def refusal(status: int, when: str = "before", *, retry_after: int | None = None, **more: Any) -> Fault:
    """Return a fault that answers with a status; for 429, with a Retry-After or without one."""
    if retry_after is not None:
        more["headers"] = {"Retry-After": str(retry_after)}
    return Fault("status", status, when, **more)


# Weighted by how often each was seen or reported, roughly; a plan may bring its own.
USUAL: tuple[tuple[int, Callable[[], Fault]], ...] = (
    (3, lambda: refusal(502)),
    (3, lambda: refusal(502, "after")),
    (2, lambda: refusal(503)),
    (2, lambda: refusal(500)),
    (2, lambda: refusal(500, "after")),
    (2, lambda: refusal(429)),
    (2, lambda: refusal(429, retry_after=1)),
    (3, lambda: Fault("cut", when="before")),
    (3, lambda: Fault("cut", when="after")),
    (3, lambda: Fault("stale", lag=Lag(writes=1))),
    (2, lambda: Fault("stale", lag=Lag(writes=3))),
    (1, lambda: refusal(401)),
    (1, lambda: refusal(403)),
    (1, lambda: refusal(404)),
)


class Plan:
    """Faults drawn by a seed: each request is hit with a probability, by one of a weighted list."""

    def __init__(
        self,
        seed: int,
        rate: float,
        faults: Iterable[tuple[int, Callable[[], Fault]]] = USUAL,
        only: Callable[[Request], bool] | None = None,
    ) -> None:
        self._random = random.Random(seed)
        self._rate, self._only = rate, only
        self._weights, self._makers = zip(*faults, strict=True)

    def draw(self, request: Request) -> Fault | None:
        if self._only is not None and not self._only(request):
            return None
        if self._random.random() >= self._rate:
            return None
        return self._random.choices(self._makers, self._weights)[0]()


@dataclass(frozen=True)
class Entry:
    """One request in the log: what it was, what it got, whether it was carried out, and what was done to it."""

    request: Request
    status: int | None
    committed: bool
    fault: str | None


class Faults:
    """The faults in force, and the log of requests. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.plan: Plan | None = None
        self.log: list[Entry] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """End every fault and the plan; the log stays."""
        with self._lock:
            self._faults.clear()
            self.plan = None

    def pick(self, request: Request) -> Fault | None:
        """Return what strikes this request: the first fault that matches, else what the plan draws."""
        with self._lock:
            struck = [fault for fault in self._faults if fault.strikes(request)]
            if struck:
                return struck[0]
            return self.plan.draw(request) if self.plan else None

    def note(self, entry: Entry) -> None:
        with self._lock:
            self.log.append(entry)

    def injected(self) -> dict[str, int]:
        """Return how often each fault struck."""
        with self._lock:
            names = [entry.fault for entry in self.log if entry.fault]
        return {name: names.count(name) for name in sorted(set(names))}

    def requests(self, method: str | None = None, path: str = "") -> list[Entry]:
        """Return the logged requests of a method whose path holds a pattern."""
        with self._lock:
            return [e for e in self.log if method in (None, e.request.method) and re.search(path, e.request.path)]
