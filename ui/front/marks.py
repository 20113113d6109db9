"""What stands over a problem's timeline: its resolutions, mutes, regressions, deploys, growth, and what became of its GitLab issue.

Owns which entries of a history are marks, their shapes and words. Pure: the history in, marks out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from triage import growth
from triage.records import Change
from triage.service import LINKED, UNLINKED
from ui.format import told

_TAKEN_BACK = "took back: "
# By the first word of what the history says: the shape, that of a state or a tone, and the word beside it.
_MARKS = {
    "resolved": ("RESOLVED", "resolved"), "muted": ("MUTED", "muted"), "unmuted": ("ONGOING", "unmuted"),
    "reopened": ("ONGOING", "reopened"), "regressed": ("REGRESSED", "regressed"), "saw": ("good", "deploy"),
    growth.BEGUN: ("warn", "grows"), LINKED.partition(" ")[0]: ("quiet", "GitLab"), UNLINKED.partition(" ")[0]: ("quiet", "unlinked"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """One event: its time, its shape, a word, and the sentence behind it."""

    at: datetime
    shape: str
    word: str
    says: str


def marks(history: Iterable[Change]) -> list[Mark]:
    """Return the marks of a history, oldest first. A decision that was taken back leaves none."""
    found: list[tuple[str, Mark]] = []
    for entry in sorted(history, key=lambda one: one.at):
        if entry.what.startswith(_TAKEN_BACK):
            was = entry.what.removeprefix(_TAKEN_BACK)
            last = next((place for place in reversed(range(len(found))) if found[place][0] == was), None)
            found = [one for place, one in enumerate(found) if place != last]
        elif its := _MARKS.get(entry.what.partition(" ")[0]):
            source = f", from {entry.origin}" if entry.origin.startswith("GitLab") and entry.who != "airtriage" else ""
            found.append((entry.what, Mark(entry.at, *its, f"{told(entry)}{source}")))
    return [mark for _, mark in found]
