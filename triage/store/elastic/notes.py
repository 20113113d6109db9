"""The notes of what was touched: written before the facts, so that a kill between the two forgets nothing.

Each put has a note of its own, of all the fingerprints' days that it touches, open while its facts are under way and closed
behind them. An open one is neither shown nor cleared, else it could be gone before its facts are there; one whose writer died
counts as closed after a while. Days are taken out of a note as they were seen, by its sequence number.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec

from triage.errors import StoreError
from triage.store import Touched
from triage.store.elastic.documents import micros
from triage.store.elastic.indices import Indices
from triage.store.elastic.session import Doc, Session, Write

Day = tuple[str, str, str]  # deployment, fingerprint, ISO day

_now = datetime.now  # noqa: TID251 - until when a note is its writer's; nothing is decided by it
# Longer than a put may take (its server is waited for half a minute): whoever is silent for so long is dead, or will say
# once more what it touched.
_OPEN = timedelta(seconds=90)
_DAYS = 500  # in a note: 50 kB
_SEEN = 10_000  # days looked at at once
_PAGE = 500  # notes of a request
_MARKS = 1_000
_CONFLICTS = 100  # each means that another writer got on; more is a bug
_TERM = 40  # bits below the primary term in a stamp: sequence numbers end far before 10 ** 12


class Notes:
    """The verbs about what was touched."""

    def __init__(self, session: Session, indices: Indices) -> None:
        self._session = session
        self._index = indices.touched

    @contextmanager
    def around(self, days: Iterable[Day]) -> Iterator[None]:
        """Note these days before the block's facts are written, and once more behind them."""
        ordered = sorted(days)
        mine = {uuid.uuid4().hex: ordered[start : start + _DAYS] for start in range(0, len(ordered), _DAYS)}
        self._write(mine, _now(UTC) + _OPEN)
        yield
        self._write(mine, None)

    def touched(self, limit: int) -> Sequence[Touched]:
        self._session.refresh(self._index)
        found: dict[Day, int] = {}
        seen = 0
        body = {"query": {"bool": {"filter": [_closed()]}}, "sort": ["_seq_no"]}
        for doc in self._session.pages(self._index, body, _PAGE):
            for day in _days(doc):
                if day in found or len(found) < limit:
                    found[day] = max(_stamp(doc), found.get(day, 0))
                seen += 1
            if seen >= _SEEN:
                break
        return [Touched(*day, stamp) for day, stamp in found.items()]

    def clear(self, touched: Iterable[Touched]) -> None:
        stamps = {(one.deployment, one.fingerprint, one.day): one.stamp for one in touched}
        # A day that was touched again meanwhile is in a note of its own: whoever was quicker with this one is let be.
        self._session.bulk(self._without(stamps, [_closed()]))

    def _without(self, stamps: Mapping[Day, float], tests: Sequence[dict[str, object]]) -> list[Write]:
        """Return what takes these days out of the notes of them that are not younger than this."""
        marks = sorted(map(_mark, stamps))
        docs: dict[str, Doc] = {}
        for start in range(0, len(marks), _MARKS):
            terms = {"terms": {"mark": marks[start : start + _MARKS]}}
            body = {"query": {"bool": {"filter": [*tests, terms]}}, "sort": ["_seq_no"]}
            docs |= {doc.id: doc for doc in self._session.pages(self._index, body, _PAGE)}
        writes = []
        for doc in docs.values():
            days = _days(doc)
            left = [day for day in days if day not in stamps or _stamp(doc) > stamps[day]]
            if len(left) < len(days):
                body_ = _body(left, doc.source["until"]) if left else None
                writes.append(Write(self._index, doc.id, body_, doc))
        return writes

    def everything(self, limit: int, after: Day | None) -> list[Touched]:
        """Return what is touched in order of fingerprint, deployment and day."""
        self._session.refresh(self._index)
        body = {"query": {"match_all": {}}, "sort": ["_seq_no"]}
        days = {day for doc in self._session.pages(self._index, body, _PAGE) for day in _days(doc)}
        behind = (day for day in days if after is None or _order(day) > _order(after))
        return [Touched(*day, 0) for day in heapq.nsmallest(limit, behind, _order)]

    def overwrite(self, days: Iterable[Day]) -> None:
        self._write({_mark(day): [day] for day in days}, None)

    def erase(self, days: Iterable[Day]) -> None:
        """Forget these touches, whoever noted them."""
        stamps = dict.fromkeys(days, math.inf)
        for _ in range(_CONFLICTS):
            self._session.refresh(self._index)
            if not any(answer.is_conflict for answer in self._session.bulk(self._without(stamps, []))):
                return
        raise StoreError("A note of what was touched was written by others again and again.", "Try again.")

    def _write(self, notes: Mapping[str, Sequence[Day]], until: datetime | None) -> None:
        about = micros(until) or 0
        self._session.done([Write(self._index, id, _body(days, about), is_blind=True) for id, days in notes.items()])


def _body(days: Sequence[Day], until: int) -> bytes:
    """Return a note as JSON: of the n-th day the n-th value of each field."""
    deployments, fingerprints, isos = zip(*days, strict=True)
    marks = [_mark(day) for day in days]
    return msgspec.json.encode(
        {"mark": marks, "deployment": deployments, "fingerprint": fingerprints, "day": isos, "until": until}
    )


def _days(doc: Doc) -> list[Day]:
    return list(zip(doc.source["deployment"], doc.source["fingerprint"], doc.source["day"], strict=True))


def _order(day: Day) -> Day:
    return day[1], day[0], day[2]


def _closed() -> dict[str, object]:
    return {"range": {"until": {"lt": micros(_now(UTC))}}}


def _stamp(doc: Doc) -> int:
    return doc.term << _TERM | doc.seq


def _mark(day: Day) -> str:
    return hashlib.sha256("\n".join(day).encode()).hexdigest()[:32]
