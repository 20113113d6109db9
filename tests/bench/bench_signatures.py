"""Signatures a second on one core, raw log to fingerprint, beside the least that reading the same bytes can cost.

The floor splits the same bytes into lines and decodes each, as JSON where it is a record. Ours reads, cleans, keeps,
redacts and signs. The logs are those of `tests/corpus`, and the shared labelled ones where they are. Run it as
`python -m tests.bench signatures`.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.table import Figure, interleaved, ratio, show
from triage import logs
from triage.signature import sign

OWN = Path(__file__).parents[1] / "corpus"
SHARED = Path(__file__).parents[3] / "shared" / "corpus" / "airflow_failures_dev.jsonl"
ROUNDS = 5


def main(rounds: int = ROUNDS) -> int:
    """Measure and print the table; there is no goal, so always 0."""
    corpora = {"tests/corpus": own()} | ({"shared corpus": shared()} if SHARED.exists() else {})
    return show(
        f"Signatures a second on one core, {rounds} rounds",
        [figure(name, texts, rounds) for name, texts in corpora.items()],
    )


def figure(name: str, texts: Sequence[bytes], rounds: int) -> Figure:
    """Measure one corpus."""
    again = max(1, 400 // len(texts))

    def all_of(one: Callable[[bytes], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(again):
                for text in texts:
                    one(text)

        return run

    times = interleaved({"floor": all_of(decode), "ours": all_of(signed)}, rounds, clock=time.process_time)
    count, size = again * len(texts), again * sum(map(len, texts))
    own, floor = statistics.median(times["ours"]), statistics.median(times["floor"])
    return Figure(
        f"{name}: {len(texts)} logs of {size / count / 1000:.1f} kB",
        f"{count / own:,.0f}/s, {size / own / 1e6:.1f} MB/s",
        f"{count / floor:,.0f}/s, {size / floor / 1e6:.1f} MB/s",
        f"{ratio(times['ours'], times['floor']):.2f}",
    )


def own() -> list[bytes]:
    """Return the logs of our own corpus."""
    return [case.read_bytes() for case in sorted(OWN.glob("*/*.log"))]


def shared() -> list[bytes]:
    """Return the shared labelled logs."""
    return [json.loads(line)["log_text"].encode() for line in SHARED.read_bytes().splitlines()]


def signed(text: bytes) -> str:
    """Return the fingerprint of a raw log, as a pass makes it."""
    return sign(logs.keep(logs.read([text])).lines, task="shop.load").fingerprint


def decode(text: bytes) -> int:
    """Split and decode, no more; returns the number of lines."""
    lines = text.split(b"\n")
    for line in lines:
        try:
            json.loads(line) if line[:1] == b"{" else line.decode("utf-8", "replace")
        except ValueError:
            line.decode("utf-8", "replace")
    return len(lines)


if __name__ == "__main__":
    sys.exit(main())
