"""The problems nearest to one, out of all that are known: an index that finds the few worth comparing in full.

Owns the choice of candidates: those that share the rarest names, and the rarest words. The choice is made in whole numbers,
and between equals by a hash of scope and fingerprint, so the answer is the same on any machine and in any order of
arrival. Postings are added up with numpy, which Streamlit brings along: at 100,000 problems a question takes about 1 ms
where comparing with all titles takes rapidfuzz 72 ms (docs/benchmarks.md), and gives no reasons. MinHash (datasketch) would
bring scipy, and sees only texts that are alike as a whole, not the one name that two of them share.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from triage.near import ENDED, Likeness, Traits, compare
from triage.records import problem_id

_COMPARED = 64  # candidates compared in full, of those that share a name, and as many that share words


class Index:
    """The traits of every known fingerprint, and which problem owns it. Not for two threads at once."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], int] = {}
        self._traits: list[Traits] = []
        self._owners: list[str] = []
        self._order = array("q")
        self._names: dict[str, array[int]] = {}
        self._words: dict[str, array[int]] = {}

    def __len__(self) -> int:
        return len(self._traits)

    def __contains__(self, member: tuple[str, str]) -> bool:
        return member in self._rows

    def add(self, problem: str, one: Traits) -> None:
        """Make a fingerprint known, or say anew which problem owns it."""
        member = (one.scope, one.fingerprint)
        if member in self._rows:
            self.own(problem, *member)
            return
        row = self._rows[member] = len(self._traits)
        self._traits.append(one)
        self._owners.append(problem)
        self._order.append(int(problem_id(*member), 16))
        for keys, kept in ((_name_keys(one), self._names), (one.words, self._words)):
            for key in keys:
                kept.setdefault(key, array("i")).append(row)

    def own(self, problem: str, scope: str, fingerprint: str) -> None:
        """Say which problem owns a fingerprint that is known."""
        self._owners[self._rows[scope, fingerprint]] = problem

    def get(self, scope: str, fingerprint: str) -> Traits | None:
        """Return the traits of a fingerprint, None while it is not known."""
        row = self._rows.get((scope, fingerprint))
        return None if row is None else self._traits[row]

    def owners(self, fingerprint: str) -> set[str]:
        """Return the problems that own a fingerprint, in whichever scope."""
        return {self._owners[row] for row in self._names.get(f"fingerprint {fingerprint}", ())}

    def nearest(self, problem: str, asked: Iterable[Traits], limit: int) -> list[tuple[str, Likeness]]:
        """Return the problems nearest to `problem`, whose traits are `asked`, nearest first, then in order of id."""
        found: dict[str, Likeness] = {}
        for here in sorted(asked, key=lambda one: (one.scope, one.fingerprint)):
            rows = {*self._best(_name_keys(here), self._names), *self._best(here.words, self._words)}
            for row in sorted(rows, key=self._order.__getitem__):
                owner = self._owners[row]
                if owner != problem and (likeness := compare(here, self._traits[row])) is not None:
                    found[owner] = nearer(likeness, found.get(owner))
        return ranked(found, limit)

    def _best(self, keys: Iterable[str], kept: dict[str, array[int]]) -> Sequence[int]:
        """The rows that share the most with these keys, what is rare counting for more; in whole numbers, so alike everywhere."""
        count = len(self._traits)
        weights = np.zeros(count, np.int64)
        for key in keys:
            if key in kept:
                weights[np.frombuffer(kept[key], np.intc)] += (count // len(kept[key])).bit_length()
        rows = np.flatnonzero(weights)
        if len(rows) > _COMPARED:
            # Of two that weigh the same the one whose hash of scope and fingerprint (48 bits) is smaller: no order of arrival.
            ranks = (weights[rows] << 48) - np.frombuffer(self._order, np.int64)[rows]
            rows = rows[np.argpartition(ranks, -_COMPARED)[-_COMPARED:]]
        return rows.tolist()


def nearer(one: Likeness, other: Likeness | None) -> Likeness:
    """Return the nearer of two, in doubt the one whose sentence comes first."""
    return one if other is None else min(one, other, key=lambda it: (-it.score, it.why))


def ranked(found: dict[str, Likeness], limit: int) -> list[tuple[str, Likeness]]:
    """Return problems by nearness, at most `limit`."""
    return sorted(found.items(), key=lambda item: (-item[1].score, item[0]))[:limit]


def _name_keys(one: Traits) -> Iterator[str]:
    yield f"fingerprint {one.fingerprint}"
    if one.host:
        yield f"host {one.host}"
    if one.cause in ENDED or one.place:
        yield f"task {one.task}"
    yield from {f"name {name}" for name in (*one.names, *one.parts)}
