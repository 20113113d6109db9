"""Typed records in Elasticsearch: one document each, saved against the revision it was read with.

The revision is a number in the document, as on every store; that nobody wrote between the look and the save is what the
sequence number of the look makes sure. What is listed is what was saved: a list refreshes its index first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from triage.errors import StaleProblem, StoreError
from triage.records import Record
from triage.store import record_keys
from triage.store.elastic.documents import micros
from triage.store.elastic.indices import Indices
from triage.store.elastic.session import Answer, Doc, Session, Write

R = TypeVar("R", bound=Record)
_PAGE = 5_000  # records of a request; they are small, and the server's limit is 10,000


class Records:
    """The verbs about records."""

    def __init__(self, session: Session, indices: Indices) -> None:
        self._session = session
        self._index = indices.record

    def get(self, kind: type[R], id: str) -> tuple[R, int] | None:
        return self.many(kind, [id]).get(id)

    def many(self, kind: type[R], ids: Iterable[str]) -> dict[str, tuple[R, int]]:
        keys = {_hash(kind.__name__, id): id for id in ids}
        found = self._session.read(self._index, list(keys), ["body", "revision"])
        return {keys[key]: _record(doc, kind) for key, doc in found.items()}

    def save(self, record: Record, revision: int | None) -> int:
        id, kind = record_keys(record)[0], type(record).__name__
        over = None
        if revision is not None:
            over = self._read(kind, id)
            if over is None or over.source["revision"] != revision:
                raise _stale(kind, id)
        saved = (revision or 0) + 1
        self._write(self._put(record, saved, over), kind, id)
        return saved

    def delete(self, kind: type[Record], id: str, revision: int) -> None:
        over = self._read(kind.__name__, id)
        if over is None:
            return
        if over.source["revision"] != revision:
            raise _stale(kind.__name__, id)
        self._write(Write(self._index, over.id, None, over), kind.__name__, id)

    def listed(self, kind: type[R], parent: str | None, wake_before: datetime | None) -> list[tuple[R, int]]:
        tests: list[dict[str, Any]] = [{"term": {"kind": kind.__name__}}]
        if parent is not None:
            tests.append({"term": {"parent": parent}})
        if wake_before is not None:
            tests.append({"range": {"wake_at": {"lte": micros(wake_before)}}})
        self._session.refresh(self._index)
        body = {"query": {"bool": {"filter": tests}}, "sort": ["hash"]}
        found = sorted(self._session.pages(self._index, body, _PAGE), key=lambda doc: str(doc.source["key"]))
        return [_record(doc, kind) for doc in found]

    def everything(self, kind: type[R], limit: int, after: str) -> list[R]:
        """Return the records of a kind in order of id."""
        self._session.refresh(self._index)
        body: dict[str, Any] = {"query": {"term": {"kind": kind.__name__}}, "sort": ["key"]}
        body |= {"search_after": [after]} if after else {}
        return [_record(doc, kind)[0] for doc in self._session.rows(self._index, body, limit, _PAGE)]

    def overwrite(self, records: Iterable[Record]) -> None:
        """Write records as they are, whatever stands there; their revisions begin anew."""
        self._session.done([self._put(record, 1, None, is_blind=True) for record in records])

    def erase(self, kind: str, ids: Iterable[str]) -> None:
        self._session.done([Write(self._index, _hash(kind, id), None) for id in set(ids)])

    def _put(self, record: Record, revision: int, over: Doc | None, *, is_blind: bool = False) -> Write:
        id, parent, wake_at = record_keys(record)
        kind = type(record).__name__
        document: dict[str, Any] = {
            "kind": kind, "key": id, "parent": parent, "revision": revision, "hash": _hash(kind, id),
            "body": msgspec.Raw(msgspec.json.encode(record)),
        }  # fmt: skip
        if wake_at is not None:
            document["wake_at"] = micros(wake_at)
        return Write(self._index, _hash(kind, id), msgspec.json.encode(document), over, is_blind)

    def _read(self, kind: str, id: str) -> Doc | None:
        key = _hash(kind, id)
        return self._session.read(self._index, [key], ["body", "revision"]).get(key)

    def _write(self, write: Write, kind: str, id: str) -> Answer:
        (answer,) = self._session.bulk([write])
        if answer.is_conflict:
            raise _stale(kind, id)
        if not answer.is_done:
            raise StoreError(f"Elasticsearch refuses the record {kind} {id}: {answer.reason}.")
        return answer


def _record(doc: Doc, kind: type[R]) -> tuple[R, int]:
    return msgspec.convert(doc.source["body"], kind), doc.source["revision"]


def _stale(kind: str, id: str) -> StaleProblem:
    return StaleProblem(f"{kind} {id} was saved by somebody else meanwhile.", "Try again.")


def _hash(kind: str, id: str) -> str:
    """Return a document's id, for 512 bytes are the most that one may have."""
    return hashlib.sha256(f"{kind}\n{id}".encode()).hexdigest()[:32]
