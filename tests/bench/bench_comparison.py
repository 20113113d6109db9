"""What it takes to strike a good run's log out of a failed one: growth with the good log's length, and the memory held.

Two good logs, doubled in length: one that repeats itself, as most do, and one whose every line is another, which is the
worst. Memory is what is held beside the failed log while the good one streams by. Run it as `python -m tests.bench comparison`.
"""

from __future__ import annotations

import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence

from tests.bench.table import Figure, show
from triage.comparison import Difference
from triage.model import LogLine

SIZES = (10_000, 20_000, 40_000)
# Twice the length may take this much longer; the rest is noise of the machine.
GOAL = 2.6
KEPT = 2_000  # lines of the failed log: about as many as are kept of a long one
MOST = 16  # MiB held at most, however long the good log is
Lines = Callable[[int], Iterator[LogLine]]
WORDS = [
    "load",
    "order",
    "customer",
    "batch",
    "row",
    "table",
    "index",
    "commit",
    "fetch",
    "cache",
    "retry",
    "queue",
    "shard",
    "merge",
    "price",
    "region",
]


def main(sizes: Sequence[int] = SIZES) -> int:
    """Measure and print the table; 1 where a goal was missed."""
    figures = [
        figure
        for name, kind in (("repeating", repeating), ("all different", varied))
        for figure in _figures(name, kind, sizes)
    ]
    return show(f"A good log of {sizes[0]:,} to {sizes[-1]:,} lines beside {KEPT:,} kept ones, one core", figures)


def repeating(count: int) -> Iterator[LogLine]:
    """Yield lines of one shape."""
    for number in range(count):
        yield LogLine(number, f"batch {number} of {count} written, {number * 1000} rows in {number % 97}.5 s")


def varied(count: int, seed: int = 5) -> Iterator[LogLine]:
    """Yield lines of which no two are alike."""
    rng = random.Random(seed)
    for number in range(count):
        yield LogLine(number, " ".join(rng.choices(WORDS, k=12)) + f" {number}")


def _figures(name: str, make: Lines, sizes: Sequence[int]) -> Iterator[Figure]:
    times = [min(_timed(make, size) for _ in range(2)) for size in sizes]
    step = (times[-1] / times[-2]) if times[-2] else 1.0
    said = f"{sizes[-1] / times[-1]:,.0f} lines/s"
    yield Figure(
        f"{name}: time", said, f"{times[-2] * 1000:.0f} ms at half", f"{step:.2f}", f"at most {GOAL}", step <= GOAL
    )
    held = _held(make, sizes[-1])
    yield Figure(f"{name}: memory held", f"{held:.1f} MiB", "", "", f"at most {MOST} MiB", held <= MOST)


def _timed(make: Lines, size: int) -> float:
    lines = list(make(size))
    difference = Difference(list(varied(KEPT, seed=6)), "scheduled__b", "scheduled__a")
    began = time.process_time()
    for _ in difference.good(lines):
        pass
    return time.process_time() - began


def _held(make: Lines, size: int) -> float:
    tracemalloc.start()
    difference = Difference(list(varied(KEPT, seed=6)), "scheduled__b", "scheduled__a")
    for _ in difference.good(make(size)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


if __name__ == "__main__":
    sys.exit(main())
