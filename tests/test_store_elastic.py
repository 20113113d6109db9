"""The Elasticsearch store on real servers of both majors: the contract of every store, and what only a server can do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.elastic_server import fresh
from tests.store_contract import StoreContract, occurrence
from tests.whole_contract import WholeContract
from triage.query import EVERYTHING
from triage.store import Put, Store, open_store
from triage.store.access import Access
from triage.store.elastic import ElasticStore

# Three shards as in earnest: what is exact on one alone would not be noticed.
ACCESS = Access(shards=3)


def opened(url: str) -> ElasticStore:
    store = open_store(url, ACCESS)
    assert isinstance(store, ElasticStore)
    return store


def emptied(store: ElasticStore) -> ElasticStore:
    """Delete every document: a second less than new indices take."""
    indices = store._indices.all
    store._session.ask("POST", f"/{indices}/_refresh")
    everything = {"query": {"match_all": {}}}
    store._session.ask("POST", f"/{indices}/_delete_by_query", everything, refresh="true", conflicts="proceed")
    return store


def removed(store: ElasticStore) -> None:
    store._session.ask("DELETE", f"/{store._indices.prefix}-*")
    store.close()


@pytest.fixture(scope="module")
def on_9(elastic: str) -> Iterator[ElasticStore]:
    store = opened(fresh(elastic))
    yield store
    removed(store)


@pytest.fixture(scope="module")
def on_8(elastic8: str) -> Iterator[ElasticStore]:
    store = opened(fresh(elastic8))
    yield store
    removed(store)


class TestElastic9(StoreContract, WholeContract):
    @pytest.fixture
    def store(self, on_9: ElasticStore) -> Store:
        return emptied(on_9)


class TestElastic8(StoreContract, WholeContract):
    @pytest.fixture
    def store(self, on_8: ElasticStore) -> Store:
        return emptied(on_8)


def test_a_try_that_is_refused_for_good_is_kept_apart_with_the_reason_and_put_again_by_command(
    on_9: ElasticStore,
) -> None:
    store = emptied(on_9)
    fine, wrong = occurrence(1), occurrence(2, dag_version=2**70)
    assert store.put([fine, wrong]) == Put(new=1)
    assert store.dead() == 1
    assert [fact.key for fact in store.search(EVERYTHING, 9)] == [fine.key]
    letter = store._session.read(store._indices.dead, [wrong.key.id], ["reason", "body"])[wrong.key.id]
    assert "version" in letter.source["reason"]
    assert str(2**70) not in letter.source["reason"]
    assert store.revive() == 0
    assert store.dead() == 1
    # The one that is refused today is taken by a version that knows better: here, its number is put right by hand.
    mended = {"doc": {"body": {"dag_version": 7}}}
    store._session.ask("POST", f"/{store._indices.dead}/_update/{wrong.key.id}", mended)
    assert store.revive() == 1
    assert store.dead() == 0
    assert store.count(EVERYTHING) == 2
