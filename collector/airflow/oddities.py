"""Rows of an answer that nobody here understands: kept raw, counted and said, while the rest goes on.

Owns what is kept of them: the first of each endpoint as text, redacted and bounded. A newer Airflow, or a proxy that changes
answers, is how they come about. Decides nothing.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter

from collector.airflow.words import Endpoint, Words
from triage.redact import redact
from triage.watched import Trouble

_KEPT, _SEEN = 500, 4000  # characters of a row, and how many are looked at for secrets: a row may hold megabytes

logger = logging.getLogger(__name__)


class Oddities:
    """The odd rows of one deployment since they were last taken, usable from several threads."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def note(self, endpoint: Endpoint, row: object) -> None:
        """Count a row, and keep it if it is the first of its endpoint; it goes to our log too."""
        with self._lock:
            self._counts[endpoint.name] += 1
            if endpoint.name not in self._first:
                raw = redact(json.dumps(row, default=str)[:_SEEN])[:_KEPT]
                self._first[endpoint.name] = raw
                logger.warning("%s: a row of %s names no try: %s", self._words.deployment, endpoint.name, raw)

    def take(self) -> list[Trouble]:
        """Return them as troubles, one an endpoint, and forget them."""
        with self._lock:
            troubles = [self._words.odd(name, count, self._first[name]) for name, count in self._counts.items()]
            self._counts.clear()
            self._first.clear()
        return troubles
