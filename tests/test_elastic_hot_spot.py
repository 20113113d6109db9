"""Failures of one cause from eight workers at once: counted exactly, with bounded conflicts, and no worker is starved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests import hot_spot
from tests.store_contract import NOW, occurrence
from triage.query import EVERYTHING
from triage.records import Problem
from triage.service import Service
from triage.store import open_store
from triage.store.elastic import ElasticStore

WORKERS, TRIES = 8, 320


@pytest.mark.timeout(600)
def test_failures_of_one_cause_when_eight_workers_bring_them_are_counted_once_each(
    elastic: str, fresh_elastic: Callable[[str], str]
) -> None:
    url = fresh_elastic(elastic)
    told = hot_spot.run(url, WORKERS, TRIES)
    assert sum(one.new for one in told) == TRIES
    # A write that comes too late is another worker's success: even the least lucky step waits for a few rounds of each.
    assert max(one.most for one in told) <= 8 * WORKERS
    store = open_store(url)
    assert isinstance(store, ElasticStore)
    service = Service(store)
    later = NOW + timedelta(minutes=2)
    assert service.settle(later) == 0
    assert list(store.touched(10)) == []
    (row,) = service.queue(later)
    (summary,) = store.summaries()
    assert row.total == summary.total == sum(summary.daily.values()) == TRIES
    assert len(store.records(Problem)) == 1
    pair = ("prod", occurrence().fingerprint)
    assert sum(store.hourly([pair], 0)[pair].values()) == TRIES
    store._session.refresh(store._indices.all)
    assert store.count(EVERYTHING) == TRIES
    assert store.dead() == 0
    store.close()
