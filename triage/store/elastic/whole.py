"""The Elasticsearch store as a whole: what lies behind the horizon is deleted, and all there is read and written as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

from triage.errors import StaleProblem
from triage.model import Occurrence
from triage.records import Horizon
from triage.store import HORIZON, Day, DeadLetter, Thing, Touched
from triage.store.elastic.documents import document, fact, letter, packed
from triage.store.elastic.indices import Indices
from triage.store.elastic.notes import Notes
from triage.store.elastic.reading import Reading
from triage.store.elastic.records import Records
from triage.store.elastic.session import Session, Write
from triage.store.elastic.summaries import Summaries

T = TypeVar("T", bound=Thing)
# Deletions a second: a node that indexes 6,000 documents a second meanwhile does not feel them.
_PACE = 2_000
_NOTES = 1_000  # read at once
_LETTERS = 100  # the same of dead letters, each with its kept log
_PATIENCE = 60.0  # seconds beside those that the pace takes


class Whole:
    """`retire`, `everything`, `overwrite` and `erase` of the `Store` protocol."""

    def __init__(
        self, session: Session, indices: Indices, records: Records, notes: Notes, reading: Reading, summaries: Summaries
    ) -> None:
        self._session = session
        self._facts, self._dead = indices.occurrence, indices.dead
        self._records, self._notes, self._reading, self._summaries = records, notes, reading, summaries

    def retire(self, before: str, limit: int) -> int:
        day = self._summaries.horizon()
        if before > day:
            self._summaries.summarise(self._noted(before))
            self._move(lambda old: Horizon(max(before, old.day), old.retired))
            day = max(before, day)
        if not day:
            return 0
        behind = {"query": {"range": {"day": {"lt": day}}}, "max_docs": limit}
        self._session.refresh(self._facts)
        gone = self._session.ask(
            "POST", f"/{self._facts}/_delete_by_query", behind,
            timeout=_PATIENCE + limit / _PACE, conflicts="proceed", refresh="true", requests_per_second=str(_PACE),
        )  # fmt: skip
        deleted = int(gone["deleted"])
        if deleted:
            self._move(lambda old: Horizon(old.day, old.retired + deleted))
        return deleted

    def _noted(self, before: str) -> Iterator[tuple[str, str, str]]:
        """Yield the days before `before` that were touched and not cleared yet."""
        after = None
        while page := self._notes.everything(_NOTES, after):
            days = [(one.deployment, one.fingerprint, one.day) for one in page]
            yield from (day for day in days if day[2] < before)
            after = days[-1]

    def _move(self, change: Callable[[Horizon], Horizon]) -> None:
        while True:
            found = self._records.get(Horizon, HORIZON)
            old = found[0] if found else Horizon("")
            new = change(old)
            if new == old:
                return
            try:
                self._records.save(new, found[1] if found else None)
            except StaleProblem:
                continue
            return

    def everything(self, kind: type[T], limit: int, after: str) -> list[T]:
        if kind is Occurrence:
            return cast("list[T]", self._reading.everything(limit, after))
        if kind is Day:
            return cast("list[T]", self._summaries.days(limit, _day(after) if after else None))
        if kind is Touched:
            return cast("list[T]", self._notes.everything(limit, _day(after) if after else None))
        if kind is DeadLetter:
            return cast("list[T]", self._letters(limit, after))
        return cast("list[T]", self._records.everything(cast("type[Any]", kind), limit, after))

    def _letters(self, limit: int, after: str) -> list[DeadLetter]:
        self._session.refresh(self._dead)
        body = {"query": {"match_all": {}}, "sort": ["hash"]} | ({"search_after": [after]} if after else {})
        docs = self._session.rows(self._dead, body, limit, _LETTERS)
        return [DeadLetter(fact(doc.source), doc.source["reason"]) for doc in docs]

    def overwrite(self, things: Sequence[Thing]) -> None:
        facts = [thing for thing in things if isinstance(thing, Occurrence)]
        days = [thing for thing in things if isinstance(thing, Day)]
        touched = [thing for thing in things if isinstance(thing, Touched)]
        letters = [thing for thing in things if isinstance(thing, DeadLetter)]
        others = [thing for thing in things if not isinstance(thing, Occurrence | Day | Touched | DeadLetter)]
        self._session.done([self._letter(one) for one in letters])
        self._session.done([self._fact(fact) for fact in facts])
        self._summaries.replace({(day.deployment, day.fingerprint, day.day): day for day in days})
        self._notes.overwrite((one.deployment, one.fingerprint, one.day) for one in touched)
        self._records.overwrite(others)

    def _fact(self, fact: Occurrence) -> Write:
        kept = packed(fact.kept) if fact.kept is not None else None
        return Write(self._facts, fact.key.id, document(fact, kept), is_blind=True)

    def _letter(self, one: DeadLetter) -> Write:
        kept = packed(one.fact.kept) if one.fact.kept is not None else None
        return Write(self._dead, one.fact.key.id, letter(one.fact, kept, one.reason), is_blind=True)

    def erase(self, kind: type[Thing], ids: Iterable[str]) -> None:
        if kind is DeadLetter:
            self._session.done([Write(self._dead, id, None) for id in sorted(set(ids))])
        elif kind is Occurrence:
            self._session.done([Write(self._facts, id, None) for id in sorted(set(ids))])
        elif kind is Day:
            self._summaries.replace({_day(id): None for id in ids})
        elif kind is Touched:
            self._notes.erase(_day(id) for id in ids)
        else:
            self._records.erase(kind.__name__, ids)


def _day(id: str) -> tuple[str, str, str]:
    fingerprint, deployment, day = id.split("\n")
    return deployment, fingerprint, day
