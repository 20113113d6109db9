"""The pulse of a worker and of the schedule: a file each touches while it goes round, for health checks.

Holds that the loop which takes messages, or asks for ticks, still turns; a process that hangs, or waits for its broker,
leaves the file to grow old. Of several workers with one `data_dir` the last one to touch it counts.
"""

from __future__ import annotations

import os
from pathlib import Path

EVERY = 5.0  # seconds between two touches of a worker; the schedule's are as far apart as its ticks, 3 s at most
STALE = 60.0  # seconds; a busy machine delays a touch, ten times over means that the loop stands


def touch(folder: Path, name: str) -> None:
    """Say that `name` goes round; one that cannot be written is no reason to stop working."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    except OSError:
        return


def forget(folder: Path, name: str) -> None:
    """Take away what an earlier process left, so that it does not vouch for this one."""
    (folder / name).unlink(missing_ok=True)


def age(folder: Path, name: str, now: float) -> float | None:
    """Return the seconds since `name` last went round, at the POSIX time `now`; None where it never did."""
    try:
        return max(0.0, now - os.stat(folder / name).st_mtime)
    except OSError:
        return None
