"""The summaries in Elasticsearch: counted by the server from the facts, kept as absolute values in a few documents.

A fingerprint of a deployment has a *page* a month, with the parts of each day and the hours, and a *head*, folded from
its pages, which is all that the queue reads. A page's place among the writes is taken before its days are counted, and it
is written against that: of two that count at once, the one that counted earlier counts again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from triage.errors import StoreError
from triage.records import Horizon, Tally
from triage.store import HORIZON, Part, Summary
from triage.store import Day as CountedDay
from triage.store.elastic.compile import of_members
from triage.store.elastic.documents import member, micros, pair, time
from triage.store.elastic.indices import Indices
from triage.store.elastic.notes import Day
from triage.store.elastic.pages import (
    EPOCH_DAY,
    Counted,
    Pair,
    by_page,
    days_of,
    first_hour,
    fold,
    head_of,
    page_id,
    parts_of,
    ran_of,
    row_of,
    summary_of,
    united,
)
from triage.store.elastic.records import Records
from triage.store.elastic.session import Doc, Session, Write

_HOUR = 3_600_000_000  # microseconds
_PAIRS = 200  # counted at once
_HEADS = 2_000  # read at once
_CONFLICTS = 100  # each means that another writer got on; more is a bug


class Summaries:
    """The verbs about summaries."""

    def __init__(self, session: Session, indices: Indices, records: Records) -> None:
        self._session = session
        self._records = records
        self._index = indices.summary
        self._facts = indices.occurrence

    def summarise(self, days: Iterable[Day]) -> None:
        """Count these days anew and fold the heads of their fingerprints; what is behind the horizon stands."""
        pages = by_page(days)
        self._until_written(pages.keys(), lambda waiting: self._recounted({key: pages[key] for key in waiting}))
        self._fold(pages)

    def replace(self, days: dict[Day, CountedDay | None]) -> None:
        """Write what was counted of these days as it is; None forgets it."""
        pages = by_page(days)
        counted = {key: Counted(list(day.parts), dict(day.hours)) for key, day in days.items() if day is not None}

        def made(waiting: Sequence[tuple[Pair, str]]) -> dict[tuple[Pair, str], Write]:
            known = self._read([page_id(*key) for key in waiting], ["body", "hours"])
            return {key: self._page(key, pages[key], known.get(page_id(*key)), counted) for key in waiting}

        self._until_written(pages.keys(), made)
        self._fold(pages)

    def _fold(self, pages: Iterable[tuple[Pair, str]]) -> None:
        months: dict[Pair, set[str]] = defaultdict(set)
        for owner, month in pages:
            months[owner].add(month)
        self._until_written([(owner, "") for owner in months], lambda waiting: self._folded(waiting, months))

    def horizon(self) -> str:
        """Return the ISO day before which nothing is kept, empty where there is none."""
        found = self._records.get(Horizon, HORIZON)
        return found[0].day if found else ""

    def _until_written(
        self,
        keys: Iterable[tuple[Pair, str]],
        make: Callable[[Sequence[tuple[Pair, str]]], dict[tuple[Pair, str], Write]],
    ) -> None:
        """Make and write documents, those in conflict with another writer again."""
        waiting = sorted(keys)
        for _ in range(_CONFLICTS):
            again: list[tuple[Pair, str]] = []
            for start in range(0, len(waiting), _PAIRS):
                made = make(waiting[start : start + _PAIRS])
                for key, answer in zip(made, self._session.bulk(list(made.values())), strict=True):
                    if answer.is_conflict:
                        again.append(key)
                    elif not answer.is_done:
                        raise StoreError(f"Elasticsearch refuses a summary: {answer.reason}.")
            if not again:
                return
            waiting = again
        raise StoreError("A summary was written by others again and again.", "Try again.")

    def _recounted(self, pages: dict[tuple[Pair, str], set[str]]) -> dict[tuple[Pair, str], Write]:
        known = self._read([page_id(*key) for key in pages], ["body", "hours"])
        self._session.refresh(self._facts)
        counted = self._counted(pages)
        kept_since = self.horizon()  # looked at last: whatever was deleted before the counting is behind it
        found = {key: {day for day in days if day >= kept_since} for key, days in pages.items()}
        return {key: self._page(key, days, known.get(page_id(*key)), counted) for key, days in found.items() if days}

    def _page(
        self, key: tuple[Pair, str], days: Iterable[str], over: Doc | None, counted: Mapping[Day, Counted]
    ) -> Write:
        """Return a page in which these days are as they were counted."""
        owner, month = key
        parts = parts_of(over)
        hours: dict[str, int] = dict(over.source["hours"]) if over else {}
        for day in days:
            parts.pop(day, None)
            first = first_hour(day)
            hours = {hour: count for hour, count in hours.items() if not first <= int(hour) < first + 24}
            if (found := counted.get((*owner, day))) is not None:
                parts[day] = sorted(found.parts, key=row_of)
                hours |= {str(hour): count for hour, count in found.hours.items()}
        rows = {day: [row_of(part) for part in parts[day]] for day in sorted(parts)}
        return self._write(owner, month, over, body={"days": rows}, hours=hours)

    def _counted(self, pages: dict[tuple[Pair, str], set[str]]) -> dict[Day, Counted]:
        tests = [
            {"bool": {"filter": [{"term": {"member": member(*owner)}}, {"terms": {"day": sorted(days)}}]}}
            for (owner, _), days in pages.items()
        ]
        found: dict[Day, Counted] = defaultdict(Counted)
        merged: dict[tuple[Day, tuple[Any, ...]], Part] = {}
        for bucket in self._buckets({"bool": {"should": tests}}):
            key, count = bucket["key"], int(bucket["doc_count"])
            hour = int(key["hour"]) // _HOUR
            day = (*pair(key["member"]), date.fromordinal(EPOCH_DAY + hour // 24).isoformat())
            hours = found[day].hours
            hours[hour] = hours.get(hour, 0) + count
            task = key["dag"], key["task"], key["owner"], int(key["version"]), key["bundle"]
            values = (int(bucket[name]["value"]) for name in ("final", "first", "last", "started"))
            part = Part(*task, count, *values)
            other = merged.get((day, task))
            merged[day, task] = part if other is None else united(other, part)
        for (day, _), part in merged.items():
            found[day].parts.append(part)
        return found

    def _buckets(self, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        names = ("member", "dag", "task", "owner", "version", "bundle")
        sources: list[dict[str, Any]] = [{name: {"terms": {"field": name}}} for name in names]
        sources.append({"hour": {"histogram": {"field": "at", "interval": _HOUR}}})
        aggs = {
            "final": {"sum": {"field": "final"}},
            "first": {"min": {"field": "at"}},
            "last": {"max": {"field": "at"}},
            "started": {"max": {"field": "started"}},
        }
        yield from self._session.composite(self._facts, query, sources, aggs)

    def _folded(
        self, waiting: Sequence[tuple[Pair, str]], touched: dict[Pair, set[str]]
    ) -> dict[tuple[Pair, str], Write]:
        owners = [owner for owner, _ in waiting]
        heads = self._read([page_id(owner, "") for owner in owners], ["body"])
        months = {owner: {*head_of(heads.get(page_id(owner, ""))).months, *touched[owner]} for owner in owners}
        pages = self._pages(months)
        made = {}
        for owner in owners:
            days = {day: parts for page in pages[owner].values() for day, parts in parts_of(page).items() if parts}
            head = fold(days)
            doc = heads.get(page_id(owner, ""))
            made[owner, ""] = self._write(owner, "", doc, body=msgspec.to_builtins(head))
        return made

    def _write(self, owner: Pair, month: str, over: Doc | None, **content: Any) -> Write:
        id = page_id(owner, month)
        document = {"member": member(*owner), "month": month, "hash": id, **content}
        return Write(self._index, id, msgspec.json.encode(document), over)

    def summaries(self, since: str | None, members: Iterable[Pair] | None) -> list[Summary]:
        docs: Iterable[Doc]
        if members is None:
            self._session.refresh(self._index)
            body = {"query": {"term": {"month": ""}}, "sort": ["hash"], "_source": ["member", "body"]}
            docs = self._session.pages(self._index, body, _HEADS)
        else:
            docs = self._read([page_id(owner, "") for owner in set(members)], ["member", "body"]).values()
        found = [summary_of(pair(doc.source["member"]), head_of(doc), since or "") for doc in docs]
        kept = (one for one in found if one.total)
        return sorted(kept, key=lambda one: (one.fingerprint, one.deployment))

    def hourly(self, members: Iterable[Pair], since: int) -> dict[Pair, dict[int, int]]:
        first = date.fromordinal(EPOCH_DAY + max(since, 0) // 24).isoformat()[:7]
        owners = list(dict.fromkeys(members))
        heads = self._read([page_id(owner, "") for owner in owners], ["body.months"])
        months = {
            owner: {month for month in heads[id].source["body"].get("months", ()) if month >= first}
            for owner in owners
            if (id := page_id(owner, "")) in heads
        }
        found: dict[Pair, dict[int, int]] = {}
        for owner, pages in self._pages(months, ["hours"]).items():
            counts = {int(hour): count for page in pages.values() for hour, count in page.source["hours"].items()}
            if hours := {hour: counts[hour] for hour in sorted(counts) if hour >= since}:
                found[owner] = hours
        return found

    def tally(self, members: Sequence[Pair], since: datetime | None) -> Tally | None:
        heads = self._read([page_id(owner, "") for owner in members], ["member", "body.months"])
        months = {pair(doc.source["member"]): set(doc.source["body"].get("months", ())) for doc in heads.values()}
        pages = {owner: list(found.values()) for owner, found in self._pages(months, ["body", "hours"]).items()}
        parts = [
            (owner[0], part)
            for owner, found in pages.items()
            for page in found
            for day in parts_of(page).values()
            for part in day
        ]
        if not parts:
            return None
        kept_since = self.horizon()
        title, cause, newer = self._first(members, since, kept_since)
        if since is not None and kept_since:
            # Of what is behind the horizon only whole hours are counted: a mute ends a little late rather than too soon.
            hours = range((micros(since) or 0) // _HOUR + 1, first_hour(kept_since))
            counts = (item for found in pages.values() for page in found for item in page.source["hours"].items())
            newer += sum(count for hour, count in counts if int(hour) in hours)
        return Tally(
            sum(part.occurrences for _, part in parts),
            sum(part.final for _, part in parts),
            time(min(part.first_at for _, part in parts)),
            time(max(part.last_at for _, part in parts)),
            time(max(part.last_started for _, part in parts)),
            title,
            cause,
            ran_of(parts),
            newer,
        )

    def _first(self, members: Iterable[Pair], since: datetime | None, kept_since: str) -> tuple[str, str, int]:
        """Return the title and cause of the first try, and how many that are kept ended after `since`."""
        self._session.refresh(self._facts)
        body: dict[str, Any] = {
            "query": {"bool": {"filter": [of_members(members)]}},
            "sort": ["at", "id"],
            "size": 1,
            "_source": ["body.signature.title", "body.signature.cause"],
            "track_total_hits": False,
        }
        if since is not None:
            tests: list[dict[str, Any]] = [{"range": {"at": {"gt": micros(since)}}}]
            if kept_since:
                tests.append({"range": {"day": {"gte": kept_since}}})
            body["aggs"] = {"newer": {"filter": {"bool": {"filter": tests}}}}
        found = self._session.search(self._facts, body)
        newer = found["aggregations"]["newer"]["doc_count"] if since is not None else 0
        hits = found["hits"]["hits"]
        signed = hits[0]["_source"]["body"]["signature"] if hits else {"title": "", "cause": ""}
        return signed["title"], signed["cause"], newer

    def days(self, limit: int, after: Day | None) -> list[CountedDay]:
        """Return what was counted of days, in order of fingerprint, deployment and day."""
        self._session.refresh(self._index)
        body: dict[str, Any] = {
            "query": {"bool": {"must_not": [{"term": {"month": ""}}]}},
            "sort": ["member", "month"],
            "_source": ["member", "body", "hours"],
        }
        found: list[CountedDay] = []
        if after is not None:
            first = page_id(after[:2], after[2][:7])
            if doc := self._read([first], ["member", "body", "hours"]).get(first):
                found += [day for day in days_of(doc) if day.day > after[2]]
            body["search_after"] = [member(*after[:2]), after[2][:7]]
        while len(found) < limit:
            page = self._session.hits(self._index, {**body, "size": limit})
            found += [day for doc in page for day in days_of(doc)]
            if len(page) < limit:
                break
            body["search_after"] = page[-1].sort
        return found[:limit]

    def _pages(self, months: dict[Pair, set[str]], fields: Sequence[str] = ("body",)) -> dict[Pair, dict[str, Doc]]:
        ids = {page_id(owner, month): (owner, month) for owner, of in months.items() for month in sorted(of)}
        found: dict[Pair, dict[str, Doc]] = {owner: {} for owner in months}
        for id, doc in self._read(list(ids), fields).items():
            owner, month = ids[id]
            found[owner][month] = doc
        return found

    def _read(self, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Doc]:
        found: dict[str, Doc] = {}
        for start in range(0, len(ids), _HEADS):
            found |= self._session.read(self._index, ids[start : start + _HEADS], fields)
        return found
