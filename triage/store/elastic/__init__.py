"""The store in Elasticsearch, for who outgrows one machine: the same verbs, the same answers as in SQLite.

Hides indices, mappings and the query language. Nothing of a licence or a plugin is used, no scripts, no life cycles. Each
document is written against what was read, and every note stands before what it is about, so a kill at any moment loses
and doubles nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from triage.model import Occurrence
from triage.query import Query
from triage.records import Record, Tally
from triage.store import DAY, Backlog, Changed, Put, Summary, Thing, Touched
from triage.store.access import Access
from triage.store.elastic.facts import Facts
from triage.store.elastic.indices import Indices, prepare
from triage.store.elastic.migrating import migrate
from triage.store.elastic.notes import Notes
from triage.store.elastic.reading import Reading
from triage.store.elastic.records import Records
from triage.store.elastic.session import Session
from triage.store.elastic.summaries import Summaries
from triage.store.elastic.whole import Whole

R = TypeVar("R", bound=Record)
T = TypeVar("T", bound=Thing)


class ElasticStore:
    """The `Store` protocol on Elasticsearch; safe to use from many threads and processes."""

    def __init__(self, session: Session, indices: Indices, access: Access) -> None:
        self._session = session
        self._indices = indices
        self._records = Records(session, indices)
        self._notes = Notes(session, indices)
        self._summaries = Summaries(session, indices, self._records)
        self._facts = Facts(session, indices, self._notes, self._summaries.horizon, access.mask)
        self._reading = Reading(session, indices)
        self._whole = Whole(session, indices, self._records, self._notes, self._reading, self._summaries)

    @classmethod
    def open(cls, url: str, access: Access, *, frozen: bool = False) -> ElasticStore:
        """Open `http(s)://host:9200[,host:9200…][/prefix]`, its indices made first where needed.

        With `frozen` only to be read: InputError where they are not there, and a changed mapping is none of our business.
        """
        session, prefix = Session.open(url, access)
        try:
            return cls(session, prepare(session, prefix, access, migrate, frozen=frozen), access)
        except BaseException:
            session.close()
            raise

    def close(self) -> None:
        self._session.close()

    # --- records

    def get(self, kind: type[R], id: str) -> tuple[R, int] | None:
        return self._records.get(kind, id)

    def many(self, kind: type[R], ids: Iterable[str]) -> dict[str, tuple[R, int]]:
        return self._records.many(kind, ids)

    def save(self, record: Record, revision: int | None) -> int:
        return self._records.save(record, revision)

    def delete(self, kind: type[Record], id: str, revision: int) -> None:
        self._records.delete(kind, id, revision)

    def records(
        self, kind: type[R], parent: str | None = None, wake_before: datetime | None = None
    ) -> list[tuple[R, int]]:
        return self._records.listed(kind, parent, wake_before)

    # --- occurrences

    def put(self, occurrences: Iterable[Occurrence]) -> Put:
        return self._facts.put(occurrences)

    def rewrite(self, ids: Iterable[str], change: Callable[[Occurrence], Occurrence]) -> int:
        changed, moved = self._facts.rewrite(ids, change)
        self._summaries.summarise(moved)
        return changed

    def purge(self) -> None:
        self._session.purge(self._indices.all)

    def occurrence(self, id: str) -> Occurrence | None:
        return self._reading.occurrences([id]).get(id)

    def occurrences(self, ids: Iterable[str]) -> dict[str, Occurrence]:
        return self._reading.occurrences(list(ids))

    def due(self, deployment: str, now: datetime, limit: int) -> list[Occurrence]:
        return self._reading.due(deployment, now, limit)

    def backlog(self, deployment: str, now: datetime) -> Backlog:
        return self._reading.backlog(deployment, now)

    def search(
        self, query: Query, limit: int, after: tuple[datetime, str] | None = None, *, as_of: int | None = None
    ) -> list[Occurrence]:
        return self._reading.search(query, limit, after, as_of)

    def count(self, query: Query) -> int:
        return self._reading.count(query)

    def histogram(self, query: Query, step: timedelta = DAY, *, as_of: int | None = None) -> dict[datetime, int]:
        return self._reading.histogram(query, step, as_of)

    def facets(
        self, query: Query, fields: Sequence[str], limit: int, *, as_of: int | None = None
    ) -> dict[str, list[tuple[str, int]]]:
        return self._reading.facets(query, fields, limit, as_of)

    def matching(self, query: Query) -> set[tuple[str, str]]:
        return self._reading.matching(query)

    def editions(self) -> list[str]:
        return self._reading.editions()

    def signed(self, edition: str, limit: int, after: Occurrence | None = None) -> list[Occurrence]:
        return self._reading.signed(edition, limit, after, self._summaries.horizon())

    def examples(self, members: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Occurrence]:
        return self._reading.examples(members)

    # --- summaries

    def touched(self, limit: int) -> Sequence[Touched]:
        return self._notes.touched(limit)

    def summarise(self, touched: Iterable[Touched]) -> None:
        self._summaries.summarise((one.deployment, one.fingerprint, one.day) for one in touched)

    def clear(self, touched: Iterable[Touched]) -> None:
        self._notes.clear(touched)

    def tally(self, members: Iterable[tuple[str, str]], since: datetime | None = None) -> Tally | None:
        return self._summaries.tally(list(members), since)

    def summaries(self, since: str | None = None, members: Iterable[tuple[str, str]] | None = None) -> list[Summary]:
        return self._summaries.summaries(since, members)

    def hourly(self, members: Iterable[tuple[str, str]], since: int) -> dict[tuple[str, str], dict[int, int]]:
        return self._summaries.hourly(members, since)

    # --- all there is

    def retire(self, before: str, limit: int) -> int:
        return self._whole.retire(before, limit)

    def everything(self, kind: type[T], limit: int, after: str = "") -> list[T]:
        return self._whole.everything(kind, limit, after)

    def overwrite(self, things: Sequence[T]) -> None:
        self._whole.overwrite(things)

    def erase(self, kind: type[Thing], ids: Iterable[str]) -> None:
        self._whole.erase(kind, ids)

    def revision(self) -> int:
        # Every write takes the next sequence number of its shard.
        stats = self._session.ask("GET", f"/{self._indices.all}/_stats/docs", level="shards")
        shards = (copies for index in stats["indices"].values() for copies in index["shards"].values())
        return sum(1 + max(copy["seq_no"]["max_seq_no"] for copy in copies) for copies in shards)

    def changed(self, since: int) -> Changed | None:
        return None  # the number above is of all writes, and no document says which it was

    # --- what was refused for good

    def dead(self) -> int:
        return self._facts.dead()

    def revive(self) -> int:
        return self._facts.revive()
