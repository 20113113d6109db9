"""How long a whole pass takes over 100,000 failed tries that are known already, so that it brings nothing new.

The store is that of `many_tries`; the source answers at once, from memory, in Airflow's pages of 100, what Airflow's list
would say of each try. The floor looks each of them up by its id in the file, and no more. Run it as `python -m tests.bench pass`.
"""

from __future__ import annotations

import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from collector.collect import Pass
from tests.bench import many_tries
from tests.bench.many_tries import NOW, tries
from tests.bench.table import Figure, interleaved, ratio, say, show
from triage.model import LogStatus, Occurrence
from triage.service import Service
from triage.store import open_store
from triage.store.sqlite.migrations import MIGRATIONS

KNOWN = 100_000
ROUNDS = 3
GOAL = 5  # seconds
_PAGE = 100


@dataclass(slots=True)
class Listed:
    """A deployment whose event log says of each known try that it failed, and that has nothing else to tell."""

    known: Sequence[Occurrence]
    offset: float = 0.0

    def version(self) -> str:
        return "3.3.2"

    def events(self, since: datetime, seen_at: datetime, until: datetime | None = None) -> Iterator[list[Occurrence]]:
        for start in range(0, len(self.known), _PAGE):
            yield list(self.known[start : start + _PAGE])

    def listed(self, *_: Any) -> Iterator[list[Occurrence]]:
        return iter(())

    def nothing(self) -> list[Any]:
        return []

    health = import_failures = pools = nothing


def main(known: int = KNOWN, rounds: int = ROUNDS) -> int:
    """Measure and print the table; 0 where the goal is reached."""
    listed = [_as_listed(fact) for fact in tries(known)]
    say(f"  {known:,} tries as Airflow lists them")
    with tempfile.TemporaryDirectory() as name:
        file = many_tries.copy(known, len(MIGRATIONS), Path(name))
        times = interleaved({"ours": lambda: _passed(file, listed), "floor": lambda: _looked_up(file, listed)}, rounds)
    own, floor = times["ours"], times["floor"]
    seconds = statistics.median(own)
    what = f"a pass over {known:,} known tries"
    return show(
        "A pass that brings nothing new",
        [Figure(what, f"{seconds:.1f} s", f"{statistics.median(floor):.1f} s", f"{ratio(own, floor):.2f}", f"{GOAL} s", seconds <= GOAL)],
    )  # fmt: skip


def _as_listed(fact: Occurrence) -> Occurrence:
    return replace(fact, kept=None, signature=None, log=LogStatus.PENDING, log_lines=0, log_bytes=0, fetches=0)


def _passed(file: Path, listed: Sequence[Occurrence]) -> None:
    store = open_store(f"sqlite:///{file}")
    source = Listed(listed)
    report = Pass(
        Service(store), source, "bench", "http://airflow", lookback=timedelta(hours=1), poll=timedelta(seconds=30), waits=(), clock=lambda: NOW,  # type: ignore[arg-type]
    ).run()  # fmt: skip
    store.close()
    assert (report.listed, report.new) == (len(listed), 0), report


def _looked_up(file: Path, listed: Sequence[Occurrence]) -> None:
    with closing(sqlite3.connect(file)) as db:
        for fact in listed:
            assert db.execute("SELECT body FROM occurrence WHERE id = ?", (fact.key.id,)).fetchone()


if __name__ == "__main__":
    sys.exit(main(*(int(size) for size in sys.argv[1:2])))
