"""What a failed try takes on disk in SQLite, its index included, with logs of 5 kB, and of what it is made.

The tries are those of `many_tries`. The floor keeps their logs' text compressed by zlib and indexes nothing, so that nothing
is found. Run it as `python -m tests.bench size`.
"""

from __future__ import annotations

import itertools
import sqlite3
import statistics
import sys
import zlib
from collections.abc import Sequence
from contextlib import closing

from tests.bench import many_tries
from tests.bench.table import Figure, show
from triage.store.sqlite.migrations import MIGRATIONS

SIZES = (10_000, 100_000, 1_000_000)
GOAL = 4_000  # bytes
_SAMPLE = 2_000
_PARTS = 5


def main(sizes: Sequence[int] = SIZES) -> int:
    """Measure and print the table; 0 where the goal is reached."""
    figures = []
    for size in sizes:
        file = many_tries.store(size, len(MIGRATIONS))
        some = list(itertools.islice(many_tries.tries(size, since=size // 2), _SAMPLE))
        log = statistics.mean(fact.log_bytes for fact in some)
        texts = ["\n".join(line.text for line in fact.kept or ()).encode() for fact in some]
        floor = statistics.mean(len(zlib.compress(text)) for text in texts)
        own = file.stat().st_size / size
        what = f"{size:,} tries with logs of {log:,.0f} bytes"
        figures.append(
            Figure(what, f"{own:,.0f} B", f"{floor:,.0f} B", f"{own / floor:.1f}", f"{GOAL:,} B", own <= GOAL)
        )
        with closing(sqlite3.connect(file)) as db:
            parts = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT ?"
            figures += [Figure(f"  {name}", f"{held / size:,.0f} B") for name, held in db.execute(parts, (_PARTS,))]
    return show("SQLite: bytes a failed try on disk", figures)


if __name__ == "__main__":
    sys.exit(main([int(size) for size in sys.argv[1:]] or SIZES))
