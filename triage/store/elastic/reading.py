"""What is found and counted among the occurrences in Elasticsearch, exactly.

Every look refreshes the index first: what was put is found, as on every store. Only who gives the revision that it shows
is spared that, once the index was refreshed since that was told. Pages go by time and id, never by a score or an offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from triage.model import Occurrence
from triage.query import EVERYTHING, Query
from triage.store import Backlog
from triage.store.elastic.compile import compile_query, facet, of_members
from triage.store.elastic.documents import fact, micros, pair, time
from triage.store.elastic.indices import Indices
from triage.store.elastic.session import Session

_PAGE = 2_000  # rows of a request; a body is some 2 kB
_LOGS = 500  # tries of a request, with their kept logs
_VALUES = 10_000  # values or steps of a request; the server stops at 65,536
_MICROSECOND = timedelta(microseconds=1)
_NEWEST = [{"at": "desc"}, {"id": "desc"}]


class Reading:
    """The verbs that read occurrences."""

    def __init__(self, session: Session, indices: Indices) -> None:
        self._session = session
        self._index = indices.occurrence
        self._shown: int | None = None  # a revision that was told before the index was refreshed

    def occurrences(self, ids: Sequence[str]) -> dict[str, Occurrence]:
        """Return by id those that exist, with their kept logs, as they are now, refreshed or not."""
        found: dict[str, Occurrence] = {}
        for start in range(0, len(ids), _LOGS):
            docs = self._session.read(self._index, ids[start : start + _LOGS], ["body", "kept"])
            found |= {id: fact(doc.source) for id, doc in docs.items()}
        return found

    def due(self, deployment: str, now: datetime, limit: int) -> list[Occurrence]:
        tests = [{"term": {"deployment": deployment}}, {"range": {"next_fetch": {"lte": micros(now)}}}]
        return self._rows({"bool": {"filter": tests}}, [{"at": "desc"}, {"id": "asc"}], limit)

    def backlog(self, deployment: str, now: datetime) -> Backlog:
        tests = [{"term": {"deployment": deployment}}, {"exists": {"field": "next_fetch"}}]
        aggs = {"due": {"filter": {"range": {"next_fetch": {"lte": micros(now)}}}}, "oldest": {"min": {"field": "at"}}}
        found = self._counts({"bool": {"filter": tests}}, aggs)
        oldest = found["aggregations"]["oldest"]["value"]
        due, waiting = found["aggregations"]["due"]["doc_count"], found["hits"]["total"]["value"]
        return Backlog(waiting, due, None if oldest is None else time(int(oldest)))

    def search(
        self, query: Query, limit: int, after: tuple[datetime, str] | None, as_of: int | None
    ) -> list[Occurrence]:
        place = [micros(after[0]), after[1]] if after else None
        return self._rows(compile_query(query), _NEWEST, limit, place, as_of=as_of)

    def _renew(self, as_of: int | None = None) -> None:
        """Let what follows find all that was written, or what was by the revision `as_of`."""
        if as_of is None:
            self._session.refresh(self._index)
        elif as_of != self._shown:
            self._session.refresh(self._index)
            self._shown = as_of

    def _rows(
        self,
        query: dict[str, Any],
        sort: Sequence[object],
        limit: int,
        after: list[Any] | None = None,
        *,
        kept: bool = False,
        as_of: int | None = None,
    ) -> list[Occurrence]:
        self._renew(as_of)
        body = {"query": {"bool": {"filter": [query]}}, "sort": sort, "_source": ["body", "kept"] if kept else ["body"]}
        body |= {"search_after": after} if after else {}
        return [fact(doc.source) for doc in self._session.rows(self._index, body, limit, _PAGE)]

    def count(self, query: Query) -> int:
        return int(self._counts(compile_query(query), {})["hits"]["total"]["value"])

    def histogram(self, query: Query, step: timedelta, as_of: int | None) -> dict[datetime, int]:
        compiled, interval = compile_query(query), step // _MICROSECOND
        lasts = {"low": {"min": {"field": "at"}}, "high": {"max": {"field": "at"}}}
        ends = self._counts(compiled, lasts, as_of)["aggregations"]
        if ends["low"]["value"] is None:
            return {}
        by = {"field": "at", "interval": interval}
        if (ends["high"]["value"] - ends["low"]["value"]) / interval < _VALUES:
            aggs = {"by": {"histogram": {**by, "min_doc_count": 1}}}
            buckets = self._counts(compiled, aggs, as_of)["aggregations"]["by"]["buckets"]
            return {time(int(bucket["key"])): bucket["doc_count"] for bucket in buckets}
        steps = self._session.composite(self._index, compiled, [{"at": {"histogram": by}}])
        return {time(int(bucket["key"]["at"])): bucket["doc_count"] for bucket in steps}

    def facets(
        self, query: Query, fields: Sequence[str], limit: int, as_of: int | None
    ) -> dict[str, list[tuple[str, int]]]:
        compiled = compile_query(query)
        order = [{"_count": "desc"}, {"_key": "asc"}]
        # One more, for the empty value is a value to the server; and so many of each shard that none is missed.
        terms = {"size": limit + 1, "shard_size": max(_VALUES, limit + 1), "order": order}
        aggs = {name: {"terms": {"field": facet(name), **terms}} for name in fields}
        found = self._counts(compiled, aggs, as_of)["aggregations"] if fields else {}
        counted: dict[str, list[tuple[str, int]]] = {}
        for name in fields:
            if found[name]["doc_count_error_upper_bound"]:
                buckets = self._session.composite(self._index, compiled, [{"by": {"terms": {"field": facet(name)}}}])
                values = sorted(
                    ((one["key"]["by"], one["doc_count"]) for one in buckets), key=lambda one: (-one[1], one[0])
                )
            else:
                values = [(bucket["key"], bucket["doc_count"]) for bucket in found[name]["buckets"]]
            counted[name] = [(value, count) for value, count in values if value][:limit]
        return counted

    def matching(self, query: Query) -> set[tuple[str, str]]:
        signed = {"bool": {"filter": [compile_query(query)], "must_not": [{"term": {"edition": ""}}]}}
        aggs = {"by": {"terms": {"field": "member", "size": _VALUES}}}
        found = self._counts(signed, aggs)["aggregations"]["by"]
        if found["sum_other_doc_count"]:
            by = [{"by": {"terms": {"field": "member"}}}]
            return {pair(one["key"]["by"]) for one in self._session.composite(self._index, signed, by)}
        return {pair(bucket["key"]) for bucket in found["buckets"]}

    def editions(self) -> list[str]:
        aggs = {"by": {"terms": {"field": "edition", "size": _VALUES}}}
        buckets = self._counts(compile_query(EVERYTHING), aggs)["aggregations"]["by"]["buckets"]
        return sorted(bucket["key"] for bucket in buckets if bucket["key"])

    def signed(self, edition: str, limit: int, after: Occurrence | None, kept_since: str) -> list[Occurrence]:
        place = [after.fingerprint, after.key.deployment, after.day, after.key.id] if after else None
        tests: list[dict[str, Any]] = [{"term": {"edition": edition}}, {"term": {"is_kept": True}}]
        if kept_since:
            tests.append({"range": {"day": {"gte": kept_since}}})
        order = ["fingerprint", "deployment", "day", "id"]
        return self._rows({"bool": {"filter": tests}}, order, limit, place, kept=True)

    def everything(self, limit: int, after: str) -> list[Occurrence]:
        """Return occurrences in order of id, with their kept logs."""
        return self._rows({"match_all": {}}, ["id"], limit, [after] if after else None, kept=True)

    def examples(self, members: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Occurrence]:
        found: dict[tuple[str, str], Occurrence] = {}
        pairs = sorted(set(members))
        if pairs:
            self._renew()
        for start in range(0, len(pairs), _PAGE):
            body = {
                "query": {"bool": {"filter": [of_members(pairs[start : start + _PAGE])]}},
                "sort": ["day", "id"], "collapse": {"field": "member"}, "size": _PAGE, "_source": ["body"],
            }  # fmt: skip
            for doc in self._session.hits(self._index, body):
                one = fact(doc.source)
                found[one.key.deployment, one.fingerprint] = one
        return found

    def _counts(self, query: dict[str, Any], aggs: dict[str, Any], as_of: int | None = None) -> dict[str, Any]:
        self._renew(as_of)
        body = {"query": {"bool": {"filter": [query]}}, "size": 0, "track_total_hits": True, "aggs": aggs}
        return self._session.search(self._index, body)
