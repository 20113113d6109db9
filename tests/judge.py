"""How well fingerprints group labelled logs, and where the labelled logs are.

Owns the three figures that the goals are stated in, and reading the corpora: our own, whose folders are the expectation,
and the shared labelled one, which is not on every machine.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

OWN = Path(__file__).parent / "corpus"
SHARED = Path(__file__).parents[2] / "shared" / "corpus" / "airflow_failures_dev.jsonl"


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled log: its name, the root cause it belongs to, its bytes."""

    name: str
    cause: str
    log: bytes


def own() -> list[Case]:
    """Return the logs of our own corpus."""
    return [
        Case(f"{file.parent.name}/{file.stem}", file.parent.name, file.read_bytes())
        for file in sorted(OWN.glob("*/*.log"))
    ]


def shared() -> list[Case]:
    """Return the shared labelled logs; none where they are not here."""
    if not SHARED.exists():
        return []
    records = [json.loads(line) for line in SHARED.read_bytes().splitlines()]
    return [Case(record["id"], record["root_cause_id"], record["log_text"].encode()) for record in records]


def measure(truth: Sequence[str], made: Sequence[str]) -> tuple[float, float, float]:
    """Pairwise F1, share of causes recovered exactly, pairwise precision."""
    by_cause, by_print = Counter(truth), Counter(made)
    both = Counter(zip(truth, made, strict=True))
    pairs = sum(comb(count, 2) for count in both.values())
    wanted = sum(comb(count, 2) for count in by_cause.values())
    got = sum(comb(count, 2) for count in by_print.values())
    precision, recall = pairs / got if got else 1.0, pairs / wanted if wanted else 1.0
    prints: dict[str, set[str]] = defaultdict(set)
    for cause, fingerprint in zip(truth, made, strict=True):
        prints[cause].add(fingerprint)
    exact = sum(len(found) == 1 and by_print[next(iter(found))] == by_cause[cause] for cause, found in prints.items())
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return f1, exact / len(by_cause), precision
