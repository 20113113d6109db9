"""How a bench prints its figures: what was measured, ours, what it stands beside, their ratio, the goal.

Owns medians, the interleaving of rounds and the columns. Measures nothing itself.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

COLUMNS = ("measured", "ours", "beside it", "ratio", "goal", "")


@dataclass(frozen=True, slots=True)
class Figure:
    """One row; `is_met` is None where there is no goal."""

    what: str
    ours: str
    beside: str = ""
    ratio: str = ""
    goal: str = ""
    is_met: bool | None = None

    @property
    def verdict(self) -> str:
        return {None: "", True: "reached", False: "MISSED"}[self.is_met]


def say(text: str) -> None:
    """Tell how far the bench is, on stderr."""
    print(text, file=sys.stderr, flush=True)


def show(title: str, figures: Sequence[Figure]) -> int:
    """Print the table to stdout; 1 where a goal was missed, else 0."""
    rows = [COLUMNS, *((f.what, f.ours, f.beside, f.ratio, f.goal, f.verdict) for f in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    load = os.getloadavg()[0]
    print(f"{title} ({os.cpu_count()} cores, load {load:.1f})")
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(flush=True)
    return int(any(f.is_met is False for f in figures))


def interleaved(
    contenders: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Time each contender once a round, in turns that change their order; seconds by name.

    What the machine does beside us thus meets all of them alike. `clock` may be that of this process alone.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        order = list(contenders)
        for name in order if number % 2 else reversed(order):
            began = clock()
            contenders[name]()
            times[name].append(clock() - began)
        told = ", ".join(f"{name} {times[name][-1]:.2f} s" for name in order)
        say(f"  round {number + 1} of {rounds}: {told}")
    return times


def ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    """Return the median over the rounds of the floor's time divided by ours: 1 is as fast as the floor."""
    return statistics.median(under / own for own, under in zip(ours, floor, strict=True))
