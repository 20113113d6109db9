"""What an adapter remembers between questions, so that it does not ask the same one again.

Owns how long and how much. Knows nothing of Airflow. Losing any of it costs a question, never a fact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

_REMEMBERED = 600.0  # seconds that DAGs and their tasks are held; they change with a deploy
_MOST = 20_000

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Remembers what `load` returned for so many seconds, the last `most` answers; what it raises is not remembered."""

    def __init__(self, load: Callable[[K], V], seconds: float = _REMEMBERED, most: int = _MOST) -> None:
        self._load = load
        self._seconds = seconds
        self._most = most
        self._held: dict[K, tuple[float, V]] = {}

    def __call__(self, key: K) -> V:
        held = self._held.get(key)
        if held is None or held[0] < time.monotonic():
            held = (time.monotonic() + self._seconds, self._load(key))
            self._held[key] = held
            for oldest in list(self._held)[: len(self._held) - self._most]:
                self._held.pop(oldest, None)
        return held[1]


class Seen:
    """The last things that were seen to, at most `most` of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[Hashable, None] = {}

    def __contains__(self, thing: Hashable) -> bool:
        return thing in self._held

    def update(self, things: Iterable[Hashable]) -> None:
        """Add these, and forget the oldest beyond the most."""
        for thing in things:
            self._held.pop(thing, None)
            self._held[thing] = None
        for oldest in list(self._held)[: len(self._held) - self._most]:
            del self._held[oldest]
