"""The order of time among rows: where the words of a failed try stand in their index.

The index of words gives its rows by their number only, so that number follows from the time of the try's end: `PLACES` rows
a second. Where a second is full, the next free place after it serves, and `counter.late` holds by how many seconds at most:
a row never stands before its time. Hence who reads rows backwards, the newest first, may stop at the first row whose
second is before that of the worst of what was found.
"""

from __future__ import annotations

import sqlite3

PLACES = 64  # failed tries a second; more of them bytes in each entry of the index, fewer of them late rows
_SECOND = 1_000_000  # microseconds


def place(db: sqlite3.Connection, at: int) -> int:
    """Return the free row of a try that ended at these microseconds."""
    first = second = at // _SECOND
    while True:
        start = second * PLACES
        sql = "SELECT max(words) FROM occurrence WHERE words >= ? AND words < ?"
        last = db.execute(sql, (start, start + PLACES)).fetchone()[0]
        if last is None or last < start + PLACES - 1:
            break
        second += 1
    if second > first:
        db.execute("UPDATE counter SET late = ?1 WHERE late < ?1", (second - first,))
    return start if last is None else int(last) + 1


def late(db: sqlite3.Connection) -> int:
    """Return by how many seconds a row stands behind its time at most."""
    return int(db.execute("SELECT late FROM counter").fetchone()[0])


def second_of(row: int) -> int:
    """Return the second in which a row stands; its try ended in it, or before."""
    return row // PLACES


def rows_of(low: int | None, high: int | None, late: int) -> tuple[int, int]:
    """Return the first and last row that a try may have which ended between these microseconds; None is open."""
    first = -(2**62) if low is None else low // _SECOND * PLACES
    return first, 2**62 if high is None else (high // _SECOND + late + 1) * PLACES - 1
