"""`airtriage copy` between two SQLite files, and `airtriage retire`: failed tries a second, and memory as stores grow.

The command itself runs, a process each; the floor beside it puts the same tries into an empty store, without a check
afterwards. Seconds are those of a CPU, so that a busy machine changes little: pauses and waits for the disk are not in
them. Peak memory is the kernel's own. Run it as `python -m tests.bench copy`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import many_tries
from tests.bench.table import Figure, say, show
from triage.model import Occurrence
from triage.settings import environment
from triage.store import open_store
from triage.store.sqlite.migrations import MIGRATIONS

SIZES = (10_000, 50_000)
GROWS = 1.25  # times the memory that five times as many tries may take
_PAGE = 500


def main(sizes: Sequence[int] = SIZES) -> int:
    """Measure and print the table; 1 where the copies differ or memory grows with the store."""
    figures: list[Figure] = []
    peaks: list[float] = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            source = many_tries.copy(size, len(MIGRATIONS), Path(folder))
            target = Path(folder) / "copy.db"
            figures += copied(source, target, size)
            peaks.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
            figures.append(retired(source, size))
    grown = peaks[-1] / peaks[0]
    what = f"peak memory of the command with {sizes[-1]:,} tries, beside {sizes[0]:,}"
    figures.append(
        Figure(what, f"{peaks[-1]:.0f} MiB", f"{peaks[0]:.0f} MiB", f"{grown:.2f}", f"{GROWS}", grown <= GROWS)
    )
    return show("Copying a store into another, and deleting from one", figures)


def copied(source: Path, target: Path, size: int) -> list[Figure]:
    """Copy, compare and copy once more; the floor is to put the same tries into an empty store."""
    floor = size / put(source, target.with_name("floor.db"))
    figures = []
    for what, more in (
        ("copied and verified", ()),
        ("copied once more, nothing new", ()),
        ("verified alone", ("--verify",)),
    ):
        seconds, is_same = run("copy", "--from", f"sqlite:///{source}", "--to", f"sqlite:///{target}", *more)
        rate = size / seconds
        beside = (f"{floor:,.0f}/s put", f"{rate / floor:.2f}") if "new" not in what and not more else ("", "")
        figures.append(Figure(f"{size:,} tries {what}", f"{rate:,.0f}/s", *beside, "the same", is_same))
        say(f"  {what}: {seconds:.1f} s")
    return figures


def retired(source: Path, size: int) -> Figure:
    """Delete all but the newest day."""
    seconds, _ = run("retire", AIRTRIAGE_STORE=f"sqlite:///{source}", AIRTRIAGE_RETENTION="1d")
    return Figure(f"{size:,} tries deleted by airtriage retire", f"{size / seconds:,.0f}/s")


def run(*command: str, **settings: str) -> tuple[float, bool]:
    """Run a command with --json; return its seconds and whether it says that all is well."""
    began = spent()
    line = [sys.executable, "-m", "ui.cli", *command, "--json"]
    done = subprocess.run(
        line, stdout=subprocess.PIPE, text=True, check=False, env=environment(inherit=False) | settings
    )
    return spent() - began, json.loads(done.stdout.splitlines()[-1]).get("same", done.returncode == 0)


def spent() -> float:
    """Return the seconds of a CPU that ended children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def put(source: Path, target: Path) -> float:
    """Put the tries of a store into an empty one; return the seconds of that alone."""
    here, there = open_store(f"sqlite:///{source}"), open_store(f"sqlite:///{target}")
    seconds, after = 0.0, ""
    while page := here.everything(Occurrence, _PAGE, after):
        after = page[-1].key.id
        began = time.process_time()
        there.put(page)
        seconds += time.process_time() - began
    here.close()
    there.close()
    target.unlink()
    return seconds
