"""How fast a store in one real Elasticsearch node is searched and written, beside the same requests sent raw.

The tries are those of `many_tries`; the node is started by `elastic_server`, and its data are kept for the next run.
Searching: the very query that our store sends is noted and sent again by the bare client, which decodes the JSON and no
more. Writing: the documents that our store would make are made beforehand and given to the client's own
`helpers.streaming_bulk`, while ours reads, merges, notes what is touched and makes them too. Run it as
`python -m tests.bench elastic`, or with another number of tries.
"""

from __future__ import annotations

import itertools
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import elasticsearch
import msgspec
from elasticsearch import helpers

from tests.bench import many_tries
from tests.bench.bench_search import question
from tests.bench.table import Figure, say, show
from tests.elastic_install import home
from tests.elastic_server import ElasticServer, fresh, lack
from triage.model import Occurrence
from triage.query import EVERYTHING, Between, Both, Query, Words
from triage.store import Store, open_store
from triage.store.elastic.documents import document, packed
from triage.store.elastic.indices import LAYOUT
from triage.store.elastic.session import Session
from triage.store.sqlite.where import time as time_of

TRIES = 1_000_000
VERSION = "9.4.3"
QUERIES = 40
ROUNDS = 3
PAGE = 50
GOAL_SEARCH, GOAL_WRITE = 1.2, 0.8
_BATCH = 500
_WRITTEN = 5_000  # tries that writing is measured with, of which a tenth a round
_WRITES = 5


def main(count: int = TRIES) -> int:
    """Measure and print the table; 0 where every goal is reached."""
    if missing := lack(VERSION):
        say(f"  no Elasticsearch on this machine, nothing measured: {missing}")
        return 1
    kept = home() / "elasticsearch" / f"many-tries-{VERSION}-{count}-{many_tries.MADE}.{LAYOUT}"
    with ElasticServer(VERSION, heap="2g", data=kept) as server:
        store = open_store(f"{server.url}/many-tries")
        client = elasticsearch.Elasticsearch(server.url, request_timeout=120)
        many_tries.fill(store, count, since=store.count(EVERYTHING))
        figures = [_searching(store, client, count), _writing(server.url, client)]
        store.close()
        client.close()
    return show(f"{count:,} failed tries in one Elasticsearch {VERSION} node", figures)


def _searching(store: Store, client: elasticsearch.Elasticsearch, count: int) -> Figure:
    chance = random.Random(many_tries.SEED)
    queries = [_query(*question(chance, count)) for _ in range(QUERIES)]
    ours: list[float] = []
    raw: list[float] = []
    as_of = store.revision()  # which the Search page asks for anyway, for all that it shows
    for number in range(ROUNDS):
        for query in queries:
            sent = _sent(store, query)
            both: list[tuple[list[float], Callable[[], object]]] = [
                (ours, lambda query=query: store.search(query, PAGE, as_of=as_of)),  # type: ignore[misc]
                (raw, lambda sent=sent: client.search(index=sent[0], body=sent[1])),  # type: ignore[misc]
            ]
            for times, ask in both if number % 2 else reversed(both):
                times.append(_timed(ask))
    share = _p95(ours) / _p95(raw)
    return Figure(
        "first page, two words and dates, p95", f"{_p95(ours):.0f} ms", f"{_p95(raw):.0f} ms", f"{share:.2f}", f"at most {GOAL_SEARCH}",
        share <= GOAL_SEARCH,
    )  # fmt: skip


def _writing(url: str, client: elasticsearch.Elasticsearch) -> Figure:
    """Write the same tries into two fresh stores, in turns: by our store, and by the client's helper."""
    store, other = open_store(fresh(url)), fresh(url)
    open_store(other).close()
    index = f"{other.rpartition('/')[2]}-occurrence"
    facts = many_tries.tries(_WRITTEN)
    own, raw = [], []
    for number in range(_WRITES):
        some = list(itertools.islice(facts, _WRITTEN // _WRITES))
        made = list(_documents(some, index))
        both: list[tuple[list[float], Callable[[], object]]] = [
            (own, lambda some=some: store.put(some)),  # type: ignore[misc]
            (raw, lambda made=made: _helped(client, made)),  # type: ignore[misc]
        ]
        for times, write in both if number % 2 else reversed(both):
            times.append(_timed(write))
    store.close()
    share = statistics.median(under / ours for ours, under in zip(own, raw, strict=True))
    rate = _WRITTEN / _WRITES * 1000
    return Figure(
        "writing", f"{rate / statistics.median(own):,.0f} tries/s", f"{rate / statistics.median(raw):,.0f} tries/s", f"{share:.2f}",
        f"at least {GOAL_WRITE}", share >= GOAL_WRITE,
    )  # fmt: skip


def _query(words: Sequence[str], low: int, high: int) -> Query:
    return Both((*(Words((word,)) for word in words), Between("at", time_of(low), time_of(high))))


def _sent(store: Store, query: Query) -> tuple[str, dict[str, Any]]:
    """Return index and body of the request that the store sends for a page."""
    noted: list[tuple[str, dict[str, Any]]] = []
    search = Session.search

    def noting(session: Session, index: str, body: dict[str, Any]) -> dict[str, Any]:
        noted.append((index, body))
        return search(session, index, body)

    Session.search = noting  # type: ignore[method-assign]
    try:
        store.search(query, PAGE)
    finally:
        Session.search = search  # type: ignore[method-assign]
    return noted[0]


def _documents(facts: Sequence[Occurrence], index: str) -> Iterator[dict[str, Any]]:
    for fact in facts:
        body = msgspec.json.decode(document(fact, packed(fact.kept) if fact.kept is not None else None))
        yield {"_op_type": "create", "_index": index, "_id": fact.key.id, "_source": body}


def _helped(client: elasticsearch.Elasticsearch, made: Sequence[dict[str, Any]]) -> None:
    for is_done, answer in helpers.streaming_bulk(client, made, chunk_size=_BATCH):
        assert is_done, answer


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def _p95(times: Sequence[float]) -> float:
    return sorted(times)[max(0, round(len(times) * 0.95) - 1)]


if __name__ == "__main__":
    sys.exit(main(*(int(count) for count in sys.argv[1:2])))
