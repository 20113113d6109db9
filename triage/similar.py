"""Which problems are similar to one, for the page, the command line and the API: the shell of `near`.

Owns what `near` is told of the store: the traits of every fingerprint, kept in memory and added to as new ones come, and
the tries that were lost on one host within a minute, asked for each time. Decides nothing about problems.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from triage import near
from triage.model import Occurrence, Signature
from triage.nearest import Index, nearer, ranked
from triage.picture import Member
from triage.query import Between, Both, Field
from triage.records import Problem
from triage.service import ProblemView, Service
from triage.tokens import fold

SHOWN = 5
_FRESH = timedelta(seconds=10)  # a busy store changes every second; a problem born since is missed no longer than this
_AGAIN = timedelta(hours=1)  # how long a fingerprint without failed tries is taken to have none
_TRIES = 5  # the newest lost tries of a problem whose minute on their host is looked at
_BATCH = 1_000  # failed tries read at once; only their traits stay


@dataclass(frozen=True, slots=True)
class Similar:
    """A problem similar to another: how near, 0 to 1, and why, in a sentence."""

    problem: Problem
    score: float
    why: str


class Known:
    """What is known of all problems, shared by the threads of a process. Learnt when it is first asked."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._index = Index()
        self._lock = threading.Lock()
        self._revision = -1
        self._learnt_at: datetime | None = None
        self._empty: set[tuple[str, str]] = set()
        self._emptied_at: datetime | None = None

    def similar(self, view: ProblemView, now: datetime, limit: int = SHOWN) -> tuple[Similar, ...]:
        """Return the problems similar to one, nearest first, at most `limit`; those without failed tries left out."""
        lost = _nearest(likeness for tried in self._lost(view) for likeness in tried)
        id, scope = view.row.problem.id, view.row.problem.scope
        with self._lock:
            self._learn(now)
            asked = [one for print_ in view.fingerprints if (one := self._index.get(scope, print_)) is not None]
            if not asked and view.latest is not None:
                asked = list(_traits(view.latest, scope))
            found = self._index.nearest(id, asked, limit + len(lost) + _TRIES)
        return tuple(self._alive(ranked(_nearest([*found, *lost.items()]), limit + _TRIES)))[:limit]

    def learn(self, now: datetime) -> None:
        """Take in what the store knows by now, so that the first who asks need not wait for all of it."""
        with self._lock:
            self._learn(now)

    def same(self, fingerprint: str, now: datetime) -> tuple[Problem, ...]:
        """Return the problems that own a fingerprint, of any scope, in order of id."""
        with self._lock:
            self._learn(now)
            owners = self._index.owners(fingerprint)
        found = (self.service.store.get(Problem, id) for id in owners)
        living = {one.id: one for kept in found if kept and (one := self.service.living(kept[0]))}
        return tuple(living[id] for id in sorted(living))

    def like(self, signed: Signature, task: str, now: datetime, limit: int = SHOWN) -> tuple[Similar, ...]:
        """Return the problems of any scope that look like a signature which may belong to none, nearest first.

        `task` is `DAG.TASK`, empty where that is not known. The problem with the very fingerprint is among them.
        """
        with self._lock:
            self._learn(now)
            found = self._index.nearest("", [near.traits(signed, "", task)], limit + _TRIES)
        return tuple(self._alive(found))[:limit]

    def _learn(self, now: datetime) -> None:
        """Add the fingerprints that came since, and take over who owns them."""
        revision = self.service.store.revision()
        is_fresh = self._learnt_at is not None and now - self._learnt_at < _FRESH
        if revision == self._revision or is_fresh:
            return
        if self._emptied_at is None or now - self._emptied_at > _AGAIN:
            self._empty, self._emptied_at = set(), now
        new: list[tuple[Member, str]] = []
        for key, problem in self.service.picture.owned(now).items():
            if key in self._index:
                self._index.own(problem, *key)
            elif key not in self._empty:
                new.append((key, problem))
        for start in range(0, len(new), _BATCH):
            self._add(new[start : start + _BATCH])
        self._revision, self._learnt_at = revision, now

    def _add(self, members: Iterable[tuple[Member, str]]) -> None:
        service = self.service
        owners = {
            (at, print_): ((scope, print_), problem)
            for (scope, print_), problem in members
            for at in service.deployments(scope)
        }
        examples = service.store.examples(sorted(owners))
        for pair, ((scope, _), problem) in sorted(owners.items()):
            for one in _traits(examples[pair], scope) if pair in examples else ():
                self._index.add(problem, one)
        # Its tries moved to other fingerprints, or are kept no longer; another may fail of it one day.
        self._empty.update(member for member, _ in owners.values() if member not in self._index)

    def _lost(self, view: ProblemView) -> Iterator[Iterable[tuple[str, near.Likeness]]]:
        """Yield the likenesses of problems that lost tries where and when this one did."""
        tried = [fact for fact in view.occurrences if fact.host and _is_lost(fact)][:_TRIES]
        owners: dict[tuple[str, str], str] = {}
        for fact in tried:
            ended = Between("at", fact.ended_at - near.BURST, fact.ended_at + near.BURST)
            where = Field("deployment", fold(fact.key.deployment)), Field("host", fold(fact.host))
            others = [one for one in self.service.store.search(Both((*where, ended)), _BATCH) if _is_lost(one)]
            for one in others:
                pair = one.key.deployment, one.fingerprint
                if pair not in owners:
                    owners[pair] = self.service.problem_of(one)
            lost = [
                near.Lost(owners[one.key.deployment, one.fingerprint], one.key, one.host, one.ended_at)
                for one in others
            ]
            yield near.burst(near.Lost(view.row.problem.id, fact.key, fact.host, fact.ended_at), lost).items()

    def _alive(self, found: Iterable[tuple[str, near.Likeness]]) -> Iterator[Similar]:
        for id, likeness in found:
            kept = self.service.store.get(Problem, id)
            if kept is not None and self.service.store.examples(self.service.members(kept[0])):
                yield Similar(kept[0], likeness.score, likeness.why)


def _is_lost(fact: Occurrence) -> bool:
    return fact.signature is not None and fact.signature.cause in near.LOST


def _traits(fact: Occurrence, scope: str) -> Iterator[near.Traits]:
    if fact.signature is not None:
        yield near.traits(fact.signature, scope, fact.key.task)


def _nearest(found: Iterable[tuple[str, near.Likeness]]) -> dict[str, near.Likeness]:
    best: dict[str, near.Likeness] = {}
    for id, likeness in found:
        best[id] = nearer(likeness, best.get(id))
    return best
