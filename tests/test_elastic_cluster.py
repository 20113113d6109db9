"""Three nodes, one of which dies in the middle of writes: the others serve on, nothing is lost and nothing counted twice."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from tests.elastic_server import cluster, fresh, lack
from tests.store_contract import NOW, occurrence
from triage.query import EVERYTHING
from triage.service import Service
from triage.store import open_store
from triage.store.access import Access
from triage.store.elastic import ElasticStore

TRIES, BATCH = 2_000, 100


@pytest.mark.elastic
@pytest.mark.timeout(900)
def test_store_when_one_of_three_nodes_is_killed_amid_writes_loses_and_doubles_nothing() -> None:
    if why := lack("9.4.3"):
        pytest.skip(why)
    with cluster("9.4.3", 3, heap="512m") as nodes:
        hosts = ",".join(node.url.removeprefix("http://") for node in nodes)
        store = open_store(fresh(f"http://{hosts}"), Access(patience=120))
        assert isinstance(store, ElasticStore)
        service = Service(store)
        copies = store._session.ask("GET", f"/{store._indices.occurrence}/_settings", flat_settings="true")
        assert {its["settings"]["index.number_of_replicas"] for its in copies.values()} == {"1"}
        store._session.ask("GET", f"/_cluster/health/{store._indices.all}", wait_for_status="green", timeout=60)
        facts = [occurrence(n, at=NOW + timedelta(seconds=n), fingerprint=f"1:{n % 7}") for n in range(TRIES)]
        amid = threading.Event()
        killer = threading.Thread(target=lambda: (amid.wait(), nodes[0].kill()))
        killer.start()
        for start in range(0, TRIES, BATCH):
            if start == 5 * BATCH:
                amid.set()
            service.record(facts[start : start + BATCH])
            if start == 10 * BATCH:
                service.settle(NOW)
        killer.join()
        later = NOW + timedelta(hours=2)
        service.settle(later)
        nodes[1].wait(2)
        store._session.refresh(store._indices.all)
        assert store.count(EVERYTHING) == TRIES
        assert len(store.search(EVERYTHING, 2 * TRIES)) == TRIES
        rows = service.queue(later)
        assert sorted(row.total for row in rows) == sorted(len(range(n, TRIES, 7)) for n in range(7))
        assert store.dead() == 0
        assert list(store.touched(10)) == []
        # A process that starts now finds the nodes that are left.
        again = open_store(f"http://{hosts}/{store._indices.prefix}")
        assert again.count(EVERYTHING) == TRIES
        again.close()
        store.close()
