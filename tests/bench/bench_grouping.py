"""How well logs are grouped by cause, on labelled ones, beside the peers on the same logs in the same run.

Pairwise F1, the share of root causes recovered exactly and pairwise precision, on the shared labelled logs (the dev set)
and on `tests/corpus`. Each peer gets the raw log, its last traceback, and our own evidence, and counts with the best of
its settings. Beside that the share of failures whose cause class is the hand label's. Run it as
`python -m tests.bench grouping`.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tests import judge
from tests.bench import peers
from tests.bench.table import Figure, say, show
from tests.judge import Case
from triage.model import Signature
from triage.signature import sign_text

LABELS = judge.OWN.parent / "cause_labels.json"
WORDS = ("pairwise F1", "root causes recovered exactly", "pairwise precision")
FLOORS = (0.96, 0.90, 0.98)
GOALS = (0.985, 0.95, 0.99)
UNKNOWN = 0.05


@dataclass(frozen=True, slots=True)
class Best:
    """A peer at its best on one kind of text: how the setting is called, and its three figures."""

    setting: str
    figures: tuple[float, float, float]


def main(with_peers: bool = True, most: int | None = None) -> int:
    """Measure and print a table for each corpus; 1 where a goal is missed. `most` cases of each, for a small run."""
    if with_peers and not peers.are_here():
        say("  The peers are not installed, so they are not measured: run `make bench`, which installs them.")
        with_peers = False
    missed = 0
    for name, cases, is_dev in (("the dev set", judge.shared(), True), ("tests/corpus", judge.own(), False)):
        if not cases:
            say(f"  {judge.SHARED} is not here: NOTHING IS MEASURED on {name}.")
            continue
        cases = cases[:most]
        # Our own corpus names no tasks; where a log says too little, all of it would stand for one.
        signed = [sign_text(case.log, task="" if is_dev else "shop.load") for case in cases]
        figures = ours(cases, signed) + (causes(cases, signed) if is_dev else [])
        if with_peers:
            figures += beside(cases, signed)
        title = f"Grouping of {len(cases)} failures of {len({case.cause for case in cases})} root causes: {name}"
        missed |= show(title, figures)
    return missed


def ours(cases: Sequence[Case], signed: Sequence[Signature]) -> list[Figure]:
    """Return our three figures beside floor and goal."""
    made = judged(cases, [signature.fingerprint for signature in signed])
    return [
        Figure(word, f"{mine:.3f}", f"floor {floor}", "", f"at least {goal}", mine >= goal)
        for word, mine, floor, goal in zip(WORDS, made, FLOORS, GOALS, strict=True)
    ]


def judged(cases: Sequence[Case], made: Sequence[str]) -> tuple[float, float, float]:
    """Judge the groups made of these cases."""
    return judge.measure([case.cause for case in cases], made)


def causes(cases: Sequence[Case], signed: Sequence[Signature]) -> list[Figure]:
    """Return how often the cause class is one that the hand labels allow, and how often there is none."""
    unknown = sum(signature.cause in ("unknown", "no usable log") for signature in signed) / len(signed)
    nameless = Figure(
        "failures of unknown cause", f"{unknown:.1%}", goal=f"at most {UNKNOWN:.0%}", is_met=unknown <= UNKNOWN
    )
    if not LABELS.exists():
        say(f"  {LABELS} is not here: the causes are not measured.")
        return [nameless]
    labels = json.loads(LABELS.read_text())
    by_cause: dict[str, list[bool]] = defaultdict(list)
    for case, signature in zip(cases, signed, strict=True):
        if wanted := labels.get(case.cause):
            by_cause[case.cause].append(signature.cause in wanted)
    right = [is_right for several in by_cause.values() for is_right in several]
    whole = sum(all(several) for several in by_cause.values())
    return [
        nameless,
        Figure(f"class as labelled by hand, of {len(right)} failures", f"{sum(right) / len(right):.3f}"),
        Figure(f"class right in all failures, of {len(by_cause)} root causes", f"{whole / len(by_cause):.3f}"),
    ]


def beside(cases: Sequence[Case], signed: Sequence[Signature]) -> list[Figure]:
    """Return each peer's best on each kind of text; the column beside ours holds its figures."""
    told = {
        "the raw log": [case.log.decode("utf-8", "replace") for case in cases],
        "the traceback": [peers.traceback(case.log) for case in cases],
        "our evidence": ["\n".join(one.text for one in signature.evidence) for signature in signed],
    }
    mine = judged(cases, [signature.fingerprint for signature in signed])
    figures = []
    for name, peer in peers.PEERS.items():
        for kind, texts in told.items():
            best = max(
                (Best(setting, judged(cases, made)) for setting, made in peer(texts)), key=lambda best: best.figures[0]
            )
            say(f"  {name} on {kind}: {spelled(best.figures)} with {best.setting}")
            figures.append(
                Figure(
                    f"{name} on {kind} ({best.setting})",
                    spelled(mine),
                    spelled(best.figures),
                    f"{mine[0] / best.figures[0]:.2f}" if best.figures[0] else "",
                )
            )
    return figures


def spelled(figures: tuple[float, float, float]) -> str:
    return " / ".join(f"{figure:.3f}" for figure in figures)


if __name__ == "__main__":
    sys.exit(main())
