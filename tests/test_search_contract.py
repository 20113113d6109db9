"""Search on every store: the table of the contract, and random trees against a plain evaluation of what they mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.elastic_server import fresh
from tests.naive_search import TREES, found, values_of
from tests.search_contract import NOW, QUERIES, REFUSED, SearchContract, fill, tries
from triage.errors import WrongQuery
from triage.query import FACETS, Query, parse
from triage.service import Service
from triage.store import Store, open_store
from triage.store.access import Access
from triage.store.sqlite import SqliteStore
from triage.store.sqlite.complement import left_out

FACTS = tries()


def filled(store: Store) -> Iterator[Service]:
    service = Service(store)
    fill(service)
    yield service
    store.close()


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("searched")
    yield from filled(open_store(f"sqlite:///{folder / 'airtriage.db'}"))


@pytest.fixture(scope="module")
def on_9(elastic: str) -> Iterator[Service]:
    yield from filled(open_store(fresh(elastic), Access(shards=3)))


@pytest.fixture(scope="module")
def on_8(elastic8: str) -> Iterator[Service]:
    yield from filled(open_store(fresh(elastic8), Access(shards=3)))


class TestOnSqlite(SearchContract):
    @pytest.fixture
    def searched(self, on_sqlite: Service) -> Service:
        return on_sqlite


class TestOnElastic9(SearchContract):
    @pytest.fixture
    def searched(self, on_9: Service) -> Service:
        return on_9


class TestOnElastic8(SearchContract):
    @pytest.fixture
    def searched(self, on_8: Service) -> Service:
        return on_8


def test_the_table_is_large_and_what_it_refuses_is_refused() -> None:
    assert len({text for text, _ in QUERIES}) == len(QUERIES) >= 150
    for text in REFUSED:
        with pytest.raises(WrongQuery):
            parse(text, NOW)


def agrees(store: Store, query: Query) -> None:
    """Hold what a store finds against the plain evaluation: a page, the next one, the number, problems and hours."""
    expected = found(query, FACTS)
    first = store.search(query, 7)
    assert [fact.key.id for fact in first] == expected[:7]
    if first:
        after = (first[-1].ended_at, first[-1].key.id)
        assert [fact.key.id for fact in store.search(query, 60, after)] == expected[7:]
    assert store.count(query) == len(expected)
    hits = [fact for fact in FACTS if fact.key.id in set(expected)]
    assert store.matching(query) == {(fact.key.deployment, fact.fingerprint) for fact in hits if fact.fingerprint}
    assert store.histogram(query, timedelta(minutes=20)) == {
        fact.ended_at: sum(one.ended_at == fact.ended_at for one in hits) for fact in hits
    }
    counts = {name: Counter(value for fact in hits for value in set(values_of(name, fact))) for name in FACETS}
    assert store.facets(query, FACETS, 99) == {
        name: sorted(its.items(), key=lambda one: (-one[1], one[0])) for name, its in counts.items()
    }


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=TREES)
def test_whatever_tree_finds_on_sqlite_what_it_means(on_sqlite: Service, query: Query) -> None:
    agrees(on_sqlite.store, query)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=TREES)
def test_a_tree_leaves_out_no_more_than_sqlite_says_beforehand(on_sqlite: Service, query: Query) -> None:
    store = on_sqlite.store
    assert isinstance(store, SqliteStore)
    with store.reading() as db:
        lost = left_out(db, query, len(FACTS))
        assert lost is None or lost >= len(FACTS) - len(found(query, FACTS))
        assert lost is None or left_out(db, query, lost) == lost
        assert not lost or left_out(db, query, lost - 1) is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=TREES)
def test_whatever_tree_finds_on_elasticsearch_9_what_it_means(on_9: Service, query: Query) -> None:
    agrees(on_9.store, query)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=TREES)
def test_whatever_tree_finds_on_elasticsearch_8_what_it_means(on_8: Service, query: Query) -> None:
    agrees(on_8.store, query)
