"""One Elasticsearch: the connection, its errors as one sentence each, and bulk writes whose every answer is looked at.

With `errors` the only file that imports `elasticsearch`. A server that is busy or away is waited for with growing pauses, in bounds;
a write may be repeated, because ids and sequence numbers tell what was done already. Knows no document of ours.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import elastic_transport
import elasticsearch
import msgspec

from triage.errors import SettingsError, StoreError, WrongStore
from triage.store.access import Access, nodes
from triage.store.elastic.errors import BUSY, is_for_good, is_product, reason_of, refusal, sentence, stranger

_OLDEST = (8, 19)  # the oldest that the store contract runs on
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds; doubled from one to the other, each cut short at random
_OPEN_PATIENCE = 5.0  # seconds
_SENDERS = 8  # bulk requests under way at once in this process; more wait
_BUCKETS = 5_000  # of a page of counts
_PURGES, _PURGE_PAUSE = 45, 2.0  # a minute and a half, and the time that merging takes
_PURGE_SECONDS = 3_600.0  # merging a big index takes minutes
_ANSWERS = "errors,items.*.status,items.*.error,items.*._seq_no,items.*._primary_term"


@dataclass(frozen=True, slots=True)
class Doc:
    """A document as it was read: its id, its place among the writes of its shard, what it holds, what it is sorted by."""

    id: str
    seq: int
    term: int
    source: dict[str, Any]
    sort: list[Any]


@dataclass(frozen=True, slots=True)
class Write:
    """One document to write: created, or put in the place of the one read as `over`, or (body None) deleted.

    `over` is None for one that must not exist yet; `is_blind` writes whatever is there.
    """

    index: str
    id: str
    body: bytes | None
    over: Doc | None = None
    is_blind: bool = False

    @property
    def size(self) -> int:
        return len(self.body or b"") + 200

    def lines(self) -> Iterator[bytes]:
        """What bulk is told about it."""
        about: dict[str, Any] = {"_index": self.index, "_id": self.id}
        if self.over is not None:
            about |= {"if_seq_no": self.over.seq, "if_primary_term": self.over.term}
        verb = "delete" if self.body is None else "index" if self.over is not None or self.is_blind else "create"
        yield msgspec.json.encode({verb: about})
        if self.body is not None:
            yield self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a write: done, in conflict with another writer, or refused for good, with the reason."""

    write: Write
    is_done: bool
    is_conflict: bool = False
    reason: str = ""
    seq: int = 0
    term: int = 0


class _Json(elastic_transport.JsonSerializer):
    """Reads answers with msgspec, in a third of the time."""

    mimetype = "application/json"

    def loads(self, data: bytes) -> Any:
        try:
            return msgspec.json.decode(data)
        except msgspec.DecodeError as exc:
            raise elastic_transport.SerializationError(message=f"Cannot read {data[:80]!r}", errors=(exc,)) from exc


class Session:
    """A connection to the nodes of one cluster; safe to use from many threads."""

    def __init__(self, client: elasticsearch.Elasticsearch, address: str, access: Access) -> None:
        self._client = client
        self._address = address
        self._access = access
        self._senders = ThreadPoolExecutor(_SENDERS, thread_name_prefix="elastic")

    @classmethod
    def open(cls, url: str, access: Access) -> tuple[Session, str]:
        """Connect to `http(s)://host:port[,host:port…][/prefix]`; return the session and the indices' prefix."""
        try:
            addresses, prefix = nodes(url)
        except ValueError as exc:
            raise SettingsError(f"The setting store is wrong: {exc}.", "Correct it.") from None
        options: dict[str, Any] = {}
        if access.api_key:
            options["api_key"] = access.api_key
        elif access.user:
            options["basic_auth"] = (access.user, access.password)
        if access.ca_file:
            options["ca_certs"] = access.ca_file
        address = ", ".join(addresses)
        try:
            client = elasticsearch.Elasticsearch(
                addresses,
                request_timeout=access.timeout,
                max_retries=0 if len(addresses) == 1 else len(addresses),
                retry_on_timeout=False,
                serializers={"application/json": _Json()},
                **options,
            )
        except (ValueError, OSError) as exc:
            raise SettingsError(
                f"The setting store is wrong: {address} cannot be opened: {exc}.", "Correct it, or elastic.ca_file."
            ) from exc
        # Whoever opens a store may be a person who waits for the first answer.
        cls(client, address, replace(access, patience=min(access.patience, _OPEN_PATIENCE)))._check()
        return cls(client, address, access), prefix

    def close(self) -> None:
        self._senders.shutdown()
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        is_missing_fine: bool = False,
        is_there_fine: bool = False,
        timeout: float | None = None,
        **params: Any,
    ) -> Any:
        """Send one request and return its answer; None where it is not found, or there already, and that is fine."""

        def send() -> Any:
            headers = {"accept": "application/json"} | (
                {"content-type": "application/json"} if body is not None else {}
            )
            client = self._client.options(request_timeout=timeout) if timeout else self._client
            return client.perform_request(method, path, params=params, headers=headers, body=body).body

        return self._patiently(send, is_missing_fine=is_missing_fine, is_there_fine=is_there_fine)

    def search(self, index: str, body: dict[str, Any]) -> dict[str, Any]:
        """Search one index; partial answers are an error, never a wrong count."""
        answer: dict[str, Any] = self.ask(
            "POST", f"/{index}/_search", body, allow_partial_search_results="false", request_cache="false"
        )
        return answer

    def hits(self, index: str, body: dict[str, Any]) -> list[Doc]:
        """Search and return the documents with their places."""
        found = self.search(index, {"seq_no_primary_term": True, "track_total_hits": False, **body})
        return [_doc(hit) for hit in found["hits"]["hits"]]

    def pages(self, index: str, body: dict[str, Any], size: int) -> Iterator[Doc]:
        """Search and yield all documents, page by page, in the order of `body`'s sort, which must be total."""
        after: dict[str, Any] = {}
        while page := self.hits(index, {**body, **after, "size": size}):
            yield from page
            if len(page) < size:
                return
            after = {"search_after": page[-1].sort}

    def rows(self, index: str, body: dict[str, Any], limit: int, size: int) -> list[Doc]:
        """Search and return at most `limit` documents, `size` a request; `body` holds a total order."""
        found: list[Doc] = []
        while len(found) < limit:
            asked = min(size, limit - len(found))
            page = self.hits(index, {**body, "size": asked})
            found += page
            if len(page) < asked:
                break
            body = {**body, "search_after": page[-1].sort}
        return found

    def composite(
        self, index: str, query: dict[str, Any], sources: list[dict[str, Any]], aggs: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Count by these sources, exactly, however many buckets there are."""
        by: dict[str, Any] = {"size": _BUCKETS, "sources": sources}
        while True:
            body = {"size": 0, "query": query, "track_total_hits": False}
            body["aggs"] = {"by": {"composite": by, "aggs": aggs or {}}}
            found = self.search(index, body)["aggregations"]["by"]
            yield from found["buckets"]
            if len(found["buckets"]) < _BUCKETS:
                return
            by["after"] = found["after_key"]

    def read(self, index: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Doc]:
        """Return those of these documents that exist, as they are now, whether a search would find them or not."""
        if not ids:
            return {}
        body = {"docs": [{"_id": id, "_source": list(fields)} for id in ids]}
        found = self.ask("POST", f"/{index}/_mget", body)["docs"]
        for doc in found:
            if "error" in doc:
                raise refusal(self._address, 404, doc["error"])
        return {doc["_id"]: _doc(doc) for doc in found if doc.get("found")}

    def refresh(self, *indices: str) -> None:
        """Let searches find everything written so far."""
        self.ask("POST", f"/{','.join(indices)}/_refresh")

    def purge(self, indices: str) -> None:
        """Merge what was replaced or deleted out of the files; StoreError where others write meanwhile.

        A shard holds on to its newest deletions until its copies have told how far they are, which they do every 30 s.
        """
        for _ in range(_PURGES):
            self.ask("POST", f"/{indices}/_flush", force="true", wait_if_ongoing="true")
            self.ask("POST", f"/{indices}/_forcemerge", timeout=_PURGE_SECONDS, max_num_segments="1")
            if not self.ask("GET", f"/{indices}/_stats/docs")["_all"]["primaries"]["docs"]["deleted"]:
                return
            time.sleep(_PURGE_PAUSE)
        raise StoreError(
            f"Elasticsearch at {self._address} still holds replaced documents, because it is written meanwhile.",
            "Stop the other airtriage processes, and do this again.",
        )

    def bulk(self, writes: Iterable[Write]) -> list[Answer]:
        """Write all, in requests of bounded size; return each one's answer, in order.

        The next request is made from `writes` while the one before is under way. What a busy server turned away is sent
        again. StoreError where it stays busy: then some may be written.
        """
        answers: dict[int, Answer] = {}
        waiting: Iterable[tuple[int, Write]] = enumerate(writes)
        pauses = self._pauses()
        while True:
            refused: list[tuple[int, Write]] = []
            for part, items in self._sent(_parts(waiting)):
                for (place, write), item in zip(part, items, strict=True):
                    status, error = item["status"], item.get("error")
                    if status in BUSY:
                        refused.append((place, write))
                        busy = refusal(self._address, status, error)
                    elif error and status != 409 and not is_for_good(status, error):
                        raise refusal(self._address, status, error)
                    else:
                        answers[place] = _answer(write, status, item)
            if not refused:
                return [answers[place] for place in range(len(answers))]
            if not next(pauses, False):
                raise busy
            waiting = refused

    def _sent(
        self, parts: Iterable[list[tuple[int, Write]]]
    ) -> Iterator[tuple[list[tuple[int, Write]], list[dict[str, Any]]]]:
        """Send parts, the next one while the answer of the one before is awaited, and yield each with its items."""
        before: tuple[list[tuple[int, Write]], Future[list[dict[str, Any]]]] | None = None
        for part in parts:
            sending = self._senders.submit(self._send, [write for _, write in part])
            if before is not None:
                yield before[0], before[1].result()
            before = part, sending
        if before is not None:
            yield before[0], before[1].result()

    def done(self, writes: Iterable[Write]) -> None:
        """Write all, every one of which must be taken; StoreError else."""
        for answer in self.bulk(writes):
            if not answer.is_done:
                reason = answer.reason or "somebody else wrote it meanwhile"
                raise StoreError(f"Elasticsearch at {self._address} refuses a document: {reason}.", "Try again.")

    def _send(self, writes: Sequence[Write]) -> list[dict[str, Any]]:
        body = b"\n".join(line for write in writes for line in write.lines()) + b"\n"

        def send() -> Any:
            headers = {"accept": "application/json", "content-type": "application/x-ndjson"}
            return self._client.perform_request(
                "POST", "/_bulk", params={"filter_path": _ANSWERS, "require_alias": "true"}, headers=headers, body=body
            ).body

        return [next(iter(item.values())) for item in self._patiently(send)["items"]]

    def _pauses(self) -> Iterator[bool]:
        """Yield True after each pause, longer from one to the next, until patience is over."""
        left, pause = self._access.patience, _FIRST_PAUSE
        while left > 0:
            wait = min(left, random.uniform(pause / 2, pause))
            time.sleep(wait)
            left, pause = left - wait, min(_LONGEST_PAUSE, pause * 2)
            yield True

    def _patiently(self, send: Callable[[], Any], *, is_missing_fine: bool = False, is_there_fine: bool = False) -> Any:
        pauses = self._pauses()
        while True:
            try:
                return send()
            except elasticsearch.NotFoundError as exc:
                if is_missing_fine and is_product(exc):
                    return None
                self._raise(exc)
            except (elastic_transport.ConnectionError, elastic_transport.ConnectionTimeout) as exc:
                if isinstance(exc, elastic_transport.TlsError) or not next(pauses, False):
                    self._raise(exc)
            except elastic_transport.SerializationError as exc:  # an answer cut short, or no Elasticsearch
                if not next(pauses, False):
                    self._raise(exc)
            except elasticsearch.ApiError as exc:
                if is_there_fine and exc.error == "resource_already_exists_exception":
                    return None
                if exc.status_code not in BUSY or not next(pauses, False):
                    self._raise(exc)

    def _check(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that security is off is the operator's choice
            info = self.ask("GET", "/")
        try:
            version = str(info["version"]["number"])
            known = tuple(int(part) for part in version.split("-")[0].split(".")[:2])
        except (TypeError, KeyError, ValueError) as exc:
            raise stranger(self._address) from exc
        if known < _OLDEST:
            raise WrongStore(
                f"Elasticsearch at {self._address} is {version}; airtriage needs {'.'.join(map(str, _OLDEST))} or newer.",
                "Upgrade it, or correct the setting store.",
            )

    def _raise(self, exc: Exception) -> NoReturn:
        raise sentence(self._address, exc) from exc


def _answer(write: Write, status: int, item: dict[str, Any]) -> Answer:
    if "error" not in item:  # a deletion of what is gone says 404, and is done
        return Answer(write, True, seq=item.get("_seq_no", 0), term=item.get("_primary_term", 0))
    if status == 409:
        return Answer(write, False, is_conflict=True)
    return Answer(write, False, reason=f"{item['error'].get('type', status)}: {reason_of(item['error'])}")


def _doc(found: dict[str, Any]) -> Doc:
    return Doc(
        found["_id"], found["_seq_no"], found["_primary_term"], found.get("_source") or {}, found.get("sort") or []
    )


# Some 5 MB a request, and no more documents than the server's queue bears well
# (https://www.elastic.co/docs/deploy-manage/production-guidance/optimize-performance/indexing-speed).
_PART_BYTES, _PART_DOCS = 1_500_000, 1_000


def _parts(writes: Iterable[tuple[int, Write]]) -> Iterator[list[tuple[int, Write]]]:
    part: list[tuple[int, Write]] = []
    size = 0
    for place, write in writes:
        if part and (len(part) == _PART_DOCS or size + write.size > _PART_BYTES):
            yield part
            part, size = [], 0
        part.append((place, write))
        size += write.size
    if part:
        yield part
