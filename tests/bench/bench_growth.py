"""How signing grows with the length of hostile logs: twice the text may take twice the time.

For every regular expression that signing uses, texts that it matches and nearly matches are made from its own parse tree
(`hostile`), and mixed at random; each is repeated to a length and doubled twice, as one line, as many lines, and as an
exception's message in a record of Airflow 3. Run it as `python -m tests.bench growth`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence

from tests.bench import hostile
from tests.bench.bench_redact import GOAL, LEAST, step, timed
from tests.bench.table import Figure, say, show
from triage.signature import sign_text

SIZES = (20_000, 40_000, 80_000)
MIXED = 60


def as_line(text: str) -> str:
    return f"[2026-10-03T04:10:00.000+0000] {{a.py:1}} ERROR - {text}"


def as_message(text: str) -> str:
    detail = [{"exc_type": "ValueError", "exc_value": text, "is_cause": False, "frames": []}]
    return json.dumps(
        {
            "timestamp": "2026-10-03T04:10:00Z",
            "event": "Task failed with exception",
            "level": "error",
            "error_detail": detail,
        }
    )


# How a piece becomes a log of a size.
DRESSES: Mapping[str, Callable[[str, int], str]] = {
    "one line": lambda piece, size: as_line(filled(piece, size)),
    "many lines": lambda piece, size: as_line("failed\n") + filled(piece + "\n", size),
    "a message": lambda piece, size: as_message(filled(piece, size)),
}


def main(sizes: Sequence[int] = SIZES, most: int | None = None, mixed: int = MIXED) -> int:
    """Measure and print the table; 1 where a text grew by more than the goal. `most` patterns, for a small run."""
    found = list(hostile.patterns().items())[:most]
    pieces = {piece: name for name, pattern in found for piece in hostile.pieces(pattern)}
    pieces |= dict.fromkeys(hostile.mixed(list(pieces), mixed), "mixed")
    rows = [
        (f"{name}, {dress}", piece, measure(lambda size, piece=piece, make=make: make(piece, size), sizes))  # type: ignore[misc]
        for piece, name in pieces.items()
        for dress, make in DRESSES.items()
    ]
    say(f"  {len(rows)} hostile logs of {len(found)} patterns, each of {len(sizes)} lengths")
    return show(f"Signing hostile logs of {sizes[0]:,} to {sizes[-1]:,} characters", figures(rows))


def figures(rows: Sequence[tuple[str, str, list[float]]]) -> list[Figure]:
    """Return the five that grow fastest, of those long enough to judge, and the five slowest."""
    judged = sorted((row for row in rows if row[2][-1] >= LEAST), key=lambda row: step(row[2]), reverse=True)
    slowest = sorted(rows, key=lambda row: row[2][-1], reverse=True)
    return [
        Figure(
            f"{what}: {name}, {piece[:24]!r}",
            f"{times[-1] * 1000:.0f} ms",
            f"{times[-2] * 1000:.0f} ms at half",
            f"{step(times):.2f}",
            f"at most {GOAL}",
            step(times) <= GOAL if times[-1] >= LEAST else None,
        )
        for what, several in (("steepest", judged[:5]), ("slowest", slowest[:5]))
        for name, piece, times in several
    ]


def measure(make: Callable[[int], str], sizes: Sequence[int]) -> list[float]:
    """Return for each length the CPU seconds of signing, the best of two.

    What seems to grow too fast is measured again, four and sixteen times as long, and counts with that: where a longer log
    is read another way than a short one (what is over the 256 KiB that are kept is chosen from), the step between them is no
    growth, and what grows too fast does so at every length.
    """
    times: list[float] = []
    for longer in (1, 4, 16):
        times = [min(timed(signed, log) for _ in range(2)) for log in (make(longer * size) for size in sizes)]
        if times[-1] < LEAST or step(times) <= GOAL:
            break
    return times


def signed(log: str) -> None:
    sign_text(log.encode("utf-8", "replace"))


def filled(piece: str, size: int) -> str:
    return (piece * (size // len(piece) + 1))[:size]


if __name__ == "__main__":
    sys.exit(main())
