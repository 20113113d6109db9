"""The occurrences in Elasticsearch: one document each under the hash of its key, so that twice is impossible.

A fact is read, merged and written against what was read; who was quicker is read again. What a write touches is noted
around it. One that the server refuses for good becomes a dead letter with the reason, and keeps no other from being kept.
"""

from __future__ import annotations

import random
import time as clock
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from triage.errors import StoreError
from triage.model import Occurrence, merge
from triage.store import Put
from triage.store.elastic.documents import document, fact, letter, packed
from triage.store.elastic.indices import Indices
from triage.store.elastic.notes import Day, Notes
from triage.store.elastic.session import Answer, Doc, Session, Write

_BATCH = 500  # facts read, merged and written together
_LANES = 2  # batches under way at once
_CONFLICTS = 100  # each means that another writer got on; more is a bug
_PAUSE = 0.02  # seconds before a fact is read again that another writer was quicker with


@dataclass(slots=True)
class _Planned:
    """What a fact is to become: `old` is what stood there, as `over`, with `kept` its packed log."""

    id: str
    fact: Occurrence
    old: Occurrence | None
    over: Doc | None
    kept: str | None
    new: int = 0
    better: int = 0

    @property
    def log(self) -> str | None:
        """The packed log of the fact; packing takes a third of a write's time, so it is done while others are sent."""
        kept = self.fact.kept
        return self.kept if kept is None or (self.old and kept == self.old.kept) else packed(kept)

    @property
    def days(self) -> set[Day]:
        return _days(self.fact) | (_days(self.old) if self.old else set())


class Facts:
    """The verbs that write occurrences."""

    def __init__(
        self,
        session: Session,
        indices: Indices,
        notes: Notes,
        horizon: Callable[[], str],
        mask: Callable[[str], str],
    ) -> None:
        self._session = session
        self._index, self._dead = indices.occurrence, indices.dead
        self._notes = notes
        self._horizon = horizon
        self._mask = mask

    def put(self, occurrences: Iterable[Occurrence]) -> Put:
        """Put batches side by side: one is read, merged and made into documents while the server works at another.

        What comes twice is merged in the order in which it comes.
        """
        coming = iter(occurrences)
        batch, following = list(islice(coming, _BATCH)), list(islice(coming, _BATCH))
        if not following:
            return self._put(batch) if batch else Put()
        done: list[Put] = []
        under_way: deque[tuple[set[str], Future[Put]]] = deque()
        with ThreadPoolExecutor(_LANES, thread_name_prefix="put") as lanes:
            while batch:
                ids = {one.key.id for one in batch}
                while under_way and (len(under_way) == _LANES or any(ids & others for others, _ in under_way)):
                    done.append(under_way.popleft()[1].result())
                under_way.append((ids, lanes.submit(self._put, batch)))
                batch, following = following, list(islice(coming, _BATCH))
            done += [lane.result() for _, lane in under_way]
        return Put(sum(one.new for one in done), sum(one.better for one in done))

    def _put(self, facts: Sequence[Occurrence]) -> Put:
        new = better = 0
        waiting = facts
        for _ in _attempts():
            plans = self._planned(waiting)
            stale: set[str] = set()
            for plan, answer in self._written(plans):
                if answer.is_conflict:
                    stale.add(plan.id)
                elif answer.is_done:
                    new, better = new + plan.new, better + plan.better
                else:
                    self._bury(plan, answer.reason)
            waiting = [one for one in waiting if one.key.id in stale]
            if not waiting:
                break
        return Put(new, better)

    def _planned(self, facts: Sequence[Occurrence]) -> list[_Planned]:
        """Merge facts with what is known of them; those that add nothing are left out."""
        ids = [one.key.id for one in facts]
        fields = ["body", "kept"] if any(one.kept is not None for one in facts) else ["body"]
        known = self._session.read(self._index, list(dict.fromkeys(ids)), fields)
        kept_since = self._horizon()
        plans: dict[str, _Planned] = {}
        for id, one in zip(ids, facts, strict=True):
            plan = plans.get(id)
            doc = known.get(id)
            if one.day < kept_since:
                continue  # it was counted, and is deleted or about to be
            if plan is None and doc is not None:
                old = fact(doc.source)
                plan = plans[id] = _Planned(id, old, old, doc, doc.source.get("kept"))
            if plan is not None and plan.fact.day < kept_since:
                continue
            if plan is None:
                plans[id] = _Planned(id, one, None, None, None, new=1)
                continue
            merged = merge(plan.fact, one)
            if merged is not plan.fact:
                plan.fact, plan.better = merged, plan.better + 1
        changed = [plan for plan in plans.values() if plan.new or plan.better]
        if "kept" not in fields:
            self._load_kept(changed)
        return changed

    def _load_kept(self, plans: Iterable[_Planned]) -> None:
        """Fetch the logs of what is to be written anew and was read without them."""
        ids = [plan.over.id for plan in plans if plan.over]
        found = self._session.read(self._index, ids, ["kept"])
        for plan in plans:
            if plan.over and plan.over.id in found:
                plan.kept = found[plan.over.id].source.get("kept")

    def _written(self, plans: Sequence[_Planned]) -> Iterator[tuple[_Planned, Answer]]:
        days: set[Day] = set().union(*(plan.days for plan in plans))
        with self._notes.around(days):
            answers = self._session.bulk(self._write(plan) for plan in plans)
        yield from zip(plans, answers, strict=True)

    def _write(self, plan: _Planned) -> Write:
        return Write(self._index, plan.id, document(plan.fact, plan.log), plan.over)

    def rewrite(self, ids: Iterable[str], change: Callable[[Occurrence], Occurrence]) -> tuple[int, set[Day]]:
        """Return how many were changed, and the days of those whose fingerprint was."""
        changed = 0
        moved: set[Day] = set()
        waiting = list(ids)
        for _ in _attempts():
            plans = self._rewritten(waiting, change)
            with self._notes.around(_moved(plans)):
                answers = self._session.bulk([self._write(plan) for plan in plans])
            for answer in answers:
                if not answer.is_done and not answer.is_conflict:
                    raise StoreError(f"Elasticsearch refuses an occurrence: {self._mask(answer.reason)}.")
            done = [plan for plan, answer in zip(plans, answers, strict=True) if answer.is_done]
            changed, moved = changed + len(done), moved | _moved(done)
            waiting = [answer.write.id for answer in answers if answer.is_conflict]
            if not waiting:
                break
        return changed, moved

    def _rewritten(self, ids: Sequence[str], change: Callable[[Occurrence], Occurrence]) -> list[_Planned]:
        plans = []
        kept_since = self._horizon()
        for start in range(0, len(ids), _BATCH):
            found = self._session.read(self._index, ids[start : start + _BATCH], ["body", "kept"])
            for doc in found.values():
                old = fact(doc.source)
                new = change(old)
                if new != old and (new.fingerprint == old.fingerprint or old.day >= kept_since):
                    plans.append(_Planned(doc.id, new, old, doc, doc.source.get("kept")))
        return plans

    # --- what was refused for good

    def _bury(self, plan: _Planned, reason: str) -> None:
        one = plan.fact
        said = letter(one, plan.log, self._mask(reason))
        (answer,) = self._session.bulk([Write(self._dead, one.key.id, said, is_blind=True)])
        if not answer.is_done:
            raise StoreError(f"Elasticsearch refuses an occurrence and its dead letter: {self._mask(answer.reason)}.")

    def dead(self) -> int:
        """Count the dead letters."""
        self._session.refresh(self._dead)
        return int(self._session.ask("GET", f"/{self._dead}/_count")["count"])

    def revive(self) -> int:
        """Put every dead letter again; return how many were taken. One that is refused again stays."""
        taken = 0
        self._session.refresh(self._dead)
        for doc in list(self._session.pages(self._dead, {"sort": ["hash"], "query": {"match_all": {}}}, _BATCH)):
            one = fact(doc.source)
            self.put([one])
            if self._session.read(self._index, [one.key.id], ["id"]):
                taken += self._session.bulk([Write(self._dead, doc.id, None, doc)])[0].is_done
        return taken


def _attempts() -> Iterator[int]:
    for number in range(_CONFLICTS):
        if number:
            clock.sleep(random.uniform(0, _PAUSE * min(number, 10)))
        yield number
    raise StoreError("An occurrence was written by others again and again.", "Try again.")


def _days(one: Occurrence) -> set[Day]:
    return {(one.key.deployment, one.fingerprint, one.day)} if one.fingerprint else set()


def _moved(plans: Iterable[_Planned]) -> set[Day]:
    return set().union(
        *(plan.days for plan in plans if plan.old is not None and plan.old.fingerprint != plan.fact.fingerprint)
    )
