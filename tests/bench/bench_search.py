"""How fast a SQLite store of 10,000, 100,000 and 1,000,000 failed tries is searched, beside the same asked by hand.

The tries are those of `many_tries`. The floor is SQL written for the one question on the same file, which returns the bodies
as they lie there: what SQLite itself takes. Forty queries of two words that stand in one try, over three ranges of dates, cold
words and warm ones alike. Run it as `python -m tests.bench search`; the first run makes the stores, which takes minutes.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from tests.bench import many_tries
from tests.bench.many_tries import NOW, SEED, tries
from tests.bench.table import Figure, say, show
from triage import tokens
from triage.query import EVERYTHING, Between, Both, Query, Words
from triage.service import Service
from triage.store import Store, open_store
from triage.store.sqlite.migrations import MIGRATIONS
from triage.store.sqlite.order import rows_of
from triage.store.sqlite.where import micros
from triage.store.sqlite.where import time as time_of

SIZES = (10_000, 100_000, 1_000_000)
QUERIES = 40
ROUNDS = 3
PAGE = 50
FOUND = 10_000  # occurrences that a facet is measured on; a tenth of a small store
FACETS = ("deployment", "dag", "task", "cause", "owner", "host")
GOAL_PAGE, GOAL_FACETS, GOAL_ALL, GOAL_START = 300, 800, 300, 5_000  # milliseconds
_FLOOR = (
    "SELECT o.body FROM words w CROSS JOIN occurrence o ON o.words = w.rowid "
    "WHERE w.words MATCH ? AND w.rowid BETWEEN ? AND ? ORDER BY w.rowid DESC LIMIT ?"
)


def main(sizes: Sequence[int] = SIZES) -> int:
    """Measure and print the table; 0 where every goal is reached."""
    figures = []
    for size in sizes:
        file = many_tries.store(size, len(MIGRATIONS))
        figures += measure(file, size)
    return show("Searching failed tries in SQLite: p50 / p95", figures)


def measure(file: Path, size: int) -> list[Figure]:
    """Return what a store of so many tries takes for a page, for facets, and to be opened."""
    began = time.perf_counter()
    store = open_store(f"sqlite:///{file}")
    revision = store.revision()
    opened = (time.perf_counter() - began) * 1000
    say(f"  {size:,}: opened in {opened:.0f} ms, revision {revision}")
    name = f"{size:,}"
    chance = random.Random(SEED)
    asked = [question(chance, size) for _ in range(QUERIES)]
    ours, floor = _pages(store, file, asked)
    wide = Both((Words(("task",)), finding(store, min(FOUND, size // 10))))
    many = store.count(wide)
    queue = Service(store)
    return [
        Figure(f"{name}: first page, two words and dates", _told(ours), _told(floor), f"{_ratio(ours, floor):.1f}", f"p95 {GOAL_PAGE} ms", _p95(ours) <= GOAL_PAGE),
        _goal(f"{name}: facets and histogram of {many:,}", GOAL_FACETS, lambda: _counts(store, wide)),
        _goal(f"{name}: facets and histogram of everything", GOAL_ALL, lambda: _counts(store, EVERYTHING)),
        _goal(f"{name}: the queue", None, lambda: queue.queue(NOW)),
        Figure(f"{name}: opened", f"{opened:.0f} ms", goal=f"{GOAL_START} ms", is_met=opened <= GOAL_START),
    ]  # fmt: skip


def question(chance: random.Random, size: int) -> tuple[tuple[str, str], int, int]:
    """Return two words of one try's text, and microseconds between which to look."""
    fact = next(tries(size, since=chance.randrange(size)))
    words = sorted({token for token in tokens.of(fact, fact.kept or ()).split() if len(token) > 3})
    days = chance.choice((7, 30, 120))
    low, high = micros(NOW - timedelta(days=days)), micros(NOW)
    assert low is not None
    assert high is not None
    one, other = chance.sample(words, 2)
    return (one, other), low, high


def finding(store: Store, many: int) -> Between:
    """Return a range of dates that ends now and holds about so many tries."""
    share = many / store.count(EVERYTHING)
    return Between("at", NOW - many_tries.SPAN * share, NOW)


def _pages(
    store: Store, file: Path, asked: Sequence[tuple[tuple[str, str], int, int]]
) -> tuple[list[float], list[float]]:
    ours, floor = [], []
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA cache_size = -16000")
        for number in range(ROUNDS):
            for words, low, high in asked:
                query = Both((*(Words((word,)) for word in words), _between(low, high)))
                match = " AND ".join(f'body : "{word}"' for word in words)
                params = (match, *rows_of(low, high, 0), PAGE)
                both = [
                    (ours, lambda query=query: store.search(query, PAGE)),
                    (floor, lambda params=params: db.execute(_FLOOR, params).fetchall()),
                ]
                for times, ask in both if number % 2 else reversed(both):
                    times.append(_timed(ask))
    return ours, floor


def _between(low: int, high: int) -> Between:
    return Between("at", time_of(low), time_of(high))


def _counts(store: Store, query: Query) -> None:
    store.facets(query, FACETS, 10)
    store.histogram(query)


def _goal(what: str, goal: int | None, ask: Callable[[], object]) -> Figure:
    times = [_timed(ask) for _ in range(7)]
    met = None if goal is None else _p95(times) <= goal
    return Figure(what, _told(times), goal=f"p95 {goal} ms" if goal else "", is_met=met)


def _timed(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1000


def _p95(times: Sequence[float]) -> float:
    return sorted(times)[max(0, round(len(times) * 0.95) - 1)]


def _told(times: Sequence[float]) -> str:
    return f"{statistics.median(times):.1f} / {_p95(times):.1f} ms"


def _ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    return statistics.median(own / under for own, under in zip(ours, floor, strict=True))


if __name__ == "__main__":
    sys.exit(main([int(size) for size in sys.argv[1:]] or SIZES))
