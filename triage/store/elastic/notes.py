"""The notes of what was touched: written before the facts, so that a kill between the two forgets nothing.

Each writer has a note of its own for a fingerprint's day, open while its facts are under way and closed behind them. An
open one is neither shown nor cleared, else it could be gone before its facts are there; one whose writer died counts as
closed after a while. A note is cleared as it was seen, by its sequence number.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec

from triage.store import Touched
from triage.store.elastic.documents import micros
from triage.store.elastic.indices import Indices
from triage.store.elastic.session import Doc, Session, Write

Day = tuple[str, str, str]  # deployment, fingerprint, ISO day

_now = datetime.now  # noqa: TID251 - until when a note is its writer's; nothing is decided by it
# Longer than a put may take (its server is waited for half a minute): whoever is silent for so long is dead, or will say
# once more what it touched.
_OPEN = timedelta(seconds=90)
_SEEN = 10_000  # notes looked at at once; the server's limit
_MARKS = 1_000
_TERM = 40  # bits below the primary term in a stamp: sequence numbers end far before 10 ** 12


class Notes:
    """The verbs about what was touched."""

    def __init__(self, session: Session, indices: Indices) -> None:
        self._session = session
        self._index = indices.touched

    @contextmanager
    def around(self, days: Iterable[Day]) -> Iterator[None]:
        """Note these days before the block's facts are written, and once more behind them."""
        mine = {uuid.uuid4().hex: day for day in sorted(days)}
        self._write(mine, _now(UTC) + _OPEN)
        yield
        self._write(mine, None)

    def touched(self, limit: int) -> Sequence[Touched]:
        self._session.refresh(self._index)
        found: dict[Day, int] = {}
        body = {"query": {"bool": {"filter": [_closed()]}}, "sort": ["_seq_no"], "size": _SEEN}
        for doc in self._session.hits(self._index, body):
            day = doc.source["deployment"], doc.source["fingerprint"], doc.source["day"]
            if day in found or len(found) < limit:
                found[day] = max(_stamp(doc), found.get(day, 0))
        return [Touched(*day, stamp) for day, stamp in found.items()]

    def clear(self, touched: Iterable[Touched]) -> None:
        stamps = {_mark((one.deployment, one.fingerprint, one.day)): one.stamp for one in touched}
        marks = sorted(stamps)
        for start in range(0, len(marks), _MARKS):
            terms = {"terms": {"mark": marks[start : start + _MARKS]}}
            body = {"query": {"bool": {"filter": [_closed(), terms]}}, "sort": ["_seq_no"]}
            docs = self._session.pages(self._index, body, _SEEN)
            gone = [doc for doc in docs if _stamp(doc) <= stamps[doc.source["mark"]]]
            self._session.bulk([Write(self._index, doc.id, None, doc) for doc in gone])

    def everything(self, limit: int, after: Day | None) -> list[Touched]:
        """Return what is touched in order of fingerprint, deployment and day."""
        self._session.refresh(self._index)
        names = ("fingerprint", "deployment", "day")
        by: dict[str, object] = {"size": limit, "sources": [{name: {"terms": {"field": name}}} for name in names]}
        if after is not None:
            by["after"] = {"deployment": after[0], "fingerprint": after[1], "day": after[2]}
        found = self._session.search(self._index, {"size": 0, "aggs": {"by": {"composite": by}}})
        keys = [bucket["key"] for bucket in found["aggregations"]["by"]["buckets"]]
        return [Touched(key["deployment"], key["fingerprint"], key["day"], 0) for key in keys]

    def overwrite(self, days: Iterable[Day]) -> None:
        self._write({_mark(day): day for day in days}, None)

    def erase(self, days: Iterable[Day]) -> None:
        """Forget these touches, whoever noted them."""
        marks = sorted({_mark(day) for day in days})
        self._session.refresh(self._index)
        for start in range(0, len(marks), _MARKS):
            body = {"query": {"terms": {"mark": marks[start : start + _MARKS]}}, "sort": ["_seq_no"]}
            docs = list(self._session.pages(self._index, body, _SEEN))
            self._session.done([Write(self._index, doc.id, None) for doc in docs])

    def _write(self, notes: dict[str, Day], until: datetime | None) -> None:
        writes = [
            Write(
                self._index,
                id,
                msgspec.json.encode(
                    {
                        "mark": _mark(day),
                        "deployment": day[0],
                        "fingerprint": day[1],
                        "day": day[2],
                        "until": micros(until) or 0,
                    }
                ),
                is_blind=True,
            )
            for id, day in notes.items()
        ]
        self._session.done(writes)


def _closed() -> dict[str, object]:
    return {"range": {"until": {"lt": micros(_now(UTC))}}}


def _stamp(doc: Doc) -> int:
    return doc.term << _TERM | doc.seq


def _mark(day: Day) -> str:
    return hashlib.sha256("\n".join(day).encode()).hexdigest()[:32]
