"""Whether a signature stays the same: in any order, with any hash seed, on any Python, and with the log's end cut off.

The figures are counts, not times. Each process must make the very signatures (fingerprint, title, cause, evidence,
decisions) that this one makes. Every labelled log is then cut at 20
random points behind its evidence. Run it as `python -m tests.bench stability`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from tests import judge, stability
from tests.bench.table import Figure, say, show
from tests.judge import Case

SHUFFLES, HASH_SEEDS = (1, 2, 3), (0, 1)
GOAL = 0.98


def main(shuffles: Sequence[int] = SHUFFLES, most: int | None = None) -> int:
    """Measure and print both tables; 1 where a goal is missed. `most` cases of each corpus are cut."""
    corpora = {"tests/corpus": judge.own(), "the dev set": judge.shared()}
    if not corpora["the dev set"]:
        say(f"  {judge.SHARED} is not here: its logs are NOT MEASURED.")
    missed = show("Signatures made again by other processes", same(shuffles))
    return missed | show(
        f"Fingerprints of logs cut at {stability.CUTS} random points behind their evidence",
        [cut(name, cases[:most]) for name, cases in corpora.items() if cases],
    )


def same(shuffles: Sequence[int]) -> list[Figure]:
    """Return a row for each Python: how many processes made the same signatures as this one."""
    wanted = stability.digest(stability.everything(), 0)
    figures = []
    for version in stability.VERSIONS:
        python = stability.interpreter(version)
        if python is None:
            say(f"  Python {version} is not here: NOT MEASURED.")
            continue
        with tempfile.TemporaryDirectory() as name:
            alone = stability.environment(python, Path(name) / "environment")
            turns = list(product(shuffles, HASH_SEEDS))
            equal = sum(stability.told_by(alone, *turn, "everything") == wanted for turn in turns)
        say(f"  Python {version}: {equal} of {len(turns)} identical")
        figures.append(
            Figure(
                f"Python {version}, {len(wanted[1]):,} logs, {len(shuffles)} shuffles, {len(HASH_SEEDS)} hash seeds",
                f"{equal} of {len(turns)} identical",
                goal="all",
                is_met=equal == len(turns),
            )
        )
    return figures


def cut(name: str, cases: Sequence[Case]) -> Figure:
    """Cut the logs of one corpus and count the fingerprints that stay."""
    cuts, kept, lost = stability.kept(cases)
    say(f"  {name}: lost most often: {sorted(lost.items(), key=lambda one: -one[1])[:10]}")
    return Figure(
        f"{name}: {len(cases)} logs, {cuts:,} cuts",
        f"{kept / cuts:.1%} keep theirs",
        goal=f"at least {GOAL:.0%}",
        is_met=kept >= GOAL * cuts,
    )


if __name__ == "__main__":
    sys.exit(main())
