"""The indices of an older layout made anew in today's, by one process while the others wait; a kill anywhere is resumed.

The old indices are blocked for writes, copied document by document under the same ids, counted, and all aliases moved in
one step. The block is the memory of it all: an old index that is blocked was begun with, and what is copied stays true.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

from triage.errors import StoreError, WrongStore
from triage.store.access import Access
from triage.store.elastic.documents import document, fact, micros
from triage.store.elastic.indices import LAYOUT, at, layout_of, look, make
from triage.store.elastic.session import Answer, Doc, Session, Write

_log = logging.getLogger(__name__)
_now = datetime.now  # noqa: TID251 - until when the lease of a migration holds; nothing else is decided by it
_PAGE = 500  # documents, with their logs; the lease is renewed after each
_LEASE = timedelta(seconds=30)  # a page takes a second, and a busy server is waited for
# Seconds for writes under way to end, where an index was blocked already and the server does not wait for them.
_QUIET = 5.0
_PAUSE = 0.5  # seconds between two looks at who migrates
_LOCK = "lock"


def migrate(session: Session, prefix: str, older: dict[str, str], access: Access) -> None:
    """Migrate these aliases (each with what it holds), or wait until another process has; StoreError where it takes long."""
    lease = _Lease(session, prefix)
    end = time.monotonic() + access.patience
    while _sources(session, older):
        if lease.take():
            try:
                _run(session, _sources(session, older), older, access, lease)
            finally:
                lease.drop()
            return
        if time.monotonic() > end:
            raise StoreError(
                f"Another process migrates the store {prefix} in Elasticsearch: {lease.progress}.", "Try again later."
            )
        time.sleep(_PAUSE)


class _Lease:
    """Who migrates, for half a minute more, and how far: one document, always written against what was read of it."""

    def __init__(self, session: Session, prefix: str) -> None:
        self._session, self._index = session, f"{prefix}-migration"
        self._mine: Doc | None = None
        self.progress = "it begins"
        fields = {"progress": {"type": "keyword"}, "until": {"type": "long"}}
        mappings = {"dynamic": "strict", "properties": fields}
        body = {"mappings": mappings, "settings": {"auto_expand_replicas": "0-1"}, "aliases": {self._index: {}}}
        session.ask("PUT", f"/{self._index}-v1", body, is_there_fine=True)

    def take(self) -> bool:
        over = self._session.read(self._index, [_LOCK], ["until", "progress"]).get(_LOCK)
        if over is not None and over.source["until"] > (micros(_now(UTC)) or 0):
            self.progress = over.source["progress"]
            return False
        return self._write(over).is_done

    def renew(self, progress: str) -> None:
        """Say how far it is; StoreError where another process has taken over."""
        self.progress = progress
        _log.info("Migrating to layout %d: %s.", LAYOUT, progress)
        if not self._write(self._mine).is_done:
            raise _overtaken()

    def drop(self) -> None:
        self._session.bulk([Write(self._index, _LOCK, None, self._mine)])

    def _write(self, over: Doc | None) -> Answer:
        body = {"until": micros(_now(UTC) + _LEASE), "progress": self.progress}
        (answer,) = self._session.bulk([Write(self._index, _LOCK, msgspec.json.encode(body), over)])
        if answer.is_done:
            self._mine = Doc(_LOCK, answer.seq, answer.term, {}, [])
        return answer


def _sources(session: Session, older: dict[str, str]) -> dict[str, tuple[str, bool]]:
    """Return by alias the index of an older layout and whether it is blocked."""
    sources = {}
    for alias in older:
        found = look(session, alias)
        if found is not None and layout_of(found) < LAYOUT:
            ((index, about),) = found.items()
            sources[alias] = index, about["settings"].get("index.blocks.write") == "true"
    return sources


def _run(
    session: Session, sources: dict[str, tuple[str, bool]], older: dict[str, str], access: Access, lease: _Lease
) -> None:
    are_quiet = [_begin(session, alias, *source) for alias, source in sources.items()]
    if not all(are_quiet):
        time.sleep(_QUIET)
    lease.renew("it begins")  # whoever slept through its lease goes no further
    for alias in sources:
        make(session, alias, older[alias], access, {_into(alias): {}})
    for alias, (index, _) in sources.items():
        _copy(session, index, alias, older[alias], lease)
    actions: list[dict[str, Any]] = []
    for alias, (index, _) in sources.items():
        target = f"{alias}-v{LAYOUT}"
        actions += [
            {"remove": {"index": index, "alias": alias, "must_exist": True}},
            {"remove": {"index": target, "alias": _into(alias), "must_exist": True}},
            {"add": {"index": target, "alias": alias, "is_write_index": True}},
            {"add": {"index": target, "alias": at(alias)}},
        ]
    if actions:
        _move(session, actions)
        _log.info("The store is migrated to layout %d; the former indices stay, blocked for writes.", LAYOUT)


def _begin(session: Session, alias: str, index: str, is_blocked: bool) -> bool:
    """Let nobody write into the former index; return whether the server saw its last write end.

    Where it was not blocked yet, the new index is of a migration that was rolled back, and goes; but only while the alias
    leads to the former one, which one request makes sure: another process may have migrated since we looked.
    """
    target = f"{alias}-v{LAYOUT}"
    if not is_blocked and (found := look(session, target)) is not None:
        if not found.get(target, {}).get("mappings", {}).get("_meta", {}).get("airtriage"):
            raise WrongStore(
                f"{target}, which the migration is to make, is not an index of airtriage.", "Move it away."
            )
        stays = {"index": index, "alias": alias}
        actions = [{"remove": {**stays, "must_exist": True}}, {"add": {**stays, "is_write_index": True}}]
        _move(session, [*actions, {"remove_index": {"index": target}}])
    return bool(session.ask("PUT", f"/{index}/_block/write")["shards_acknowledged"])


def _move(session: Session, actions: list[dict[str, Any]]) -> None:
    """Do all or nothing; StoreError where what is to be moved is no longer there."""
    if session.ask("POST", "/_aliases", {"actions": actions}, is_missing_fine=True) is None:
        raise _overtaken()


def _overtaken() -> StoreError:
    return StoreError("Another process took the migration of the store over.", "Try again later.")


def _into(alias: str) -> str:
    """Return the alias that the copying writes through; it ends with the copying, so nobody late writes any more."""
    return f"{alias}-into-v{LAYOUT}"


def _copy(session: Session, index: str, alias: str, what: str, lease: _Lease) -> None:
    session.refresh(index)
    total, done = _count(session, index), 0
    # All but the occurrences have one shard, in which a sequence number is there once.
    body = {"query": {"match_all": {}}, "sort": ["id" if what == "occurrence" else "_seq_no"]}
    docs = session.pages(index, body, _PAGE)
    while page := list(islice(docs, _PAGE)):
        lease.renew(f"{done} of {total} in {alias}")
        for answer in session.bulk(_made(_into(alias), what, page)):
            if answer.reason:
                raise StoreError(f"Elasticsearch refuses {answer.write.id} of {index} anew: {answer.reason}.")
        done += len(page)
    session.refresh(_into(alias))
    if (made := _count(session, _into(alias))) != total:
        raise StoreError(f"Of {total} documents of {index} the migration made {made}.", "Start airtriage again.")


def _made(into: str, what: str, docs: list[Doc]) -> Iterator[Write]:
    """Yield the documents of today's layout; those that were made before a kill are refused as there already."""
    for doc in docs:
        is_fact = what == "occurrence"
        made = document(fact(doc.source), doc.source.get("kept")) if is_fact else msgspec.json.encode(doc.source)
        yield Write(into, doc.id, made)


def _count(session: Session, index: str) -> int:
    return int(session.ask("GET", f"/{index}/_count")["count"])
