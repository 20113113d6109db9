"""A store of an older layout on a real Elasticsearch: migrated by whoever starts, and by the next one after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.store_contract import NOW, occurrence
from triage.errors import StoreError, WrongStore
from triage.model import Occurrence
from triage.query import EVERYTHING
from triage.records import Cursor
from triage.store import DeadLetter, Store, Touched, open_store
from triage.store.access import Access
from triage.store.elastic import ElasticStore, documents, indices, migrating
from triage.store.elastic.session import Session

ACCESS = Access(shards=3, patience=5)
FACTS, PAGE = 100, 40  # three pages
# What a kill leaves: the process ends where it has just said how far it is, in the middle of the failed tries.
KILLED = """
import sys, pytest
from tests import test_elastic_migrating as tests
tests.die_at_the_second_page(pytest.MonkeyPatch(), sys.argv[1])
"""


class Killed(BaseException):
    """Nothing catches it but who waits for it, and nothing is sent after it."""


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What is opened from now on is opened by a newer airtriage, if `.undo()` is not called."""
    return be_newer(monkeypatch)


def be_newer(patch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Have one more field, filled by the builder of documents."""
    built = documents.document

    def louder(fact: Occurrence, kept: str | None) -> bytes:
        return msgspec.json.encode(msgspec.json.decode(built(fact, kept)) | {"loud": fact.key.task_id.upper()})

    patch.setattr(indices, "LAYOUT", 2)
    patch.setattr(migrating, "LAYOUT", 2)
    fields = indices._MAPPINGS["occurrence"] | {"loud": {"type": "keyword"}}
    patch.setitem(indices._MAPPINGS, "occurrence", fields)
    patch.setattr(migrating, "document", louder)
    patch.setattr(migrating, "_PAGE", PAGE)
    patch.setattr(migrating, "_LEASE", timedelta(seconds=3))  # whoever comes after a kill waits for its end
    patch.setattr(migrating, "_QUIET", 0.01)
    return patch


def die_at_the_second_page(patch: pytest.MonkeyPatch, url: str) -> None:
    renew = migrating._Lease.renew

    def said(lease: migrating._Lease, progress: str) -> None:
        renew(lease, progress)
        if progress.startswith(f"{PAGE} of {FACTS}"):
            os.kill(os.getpid(), signal.SIGKILL)

    be_newer(patch).setattr(migrating._Lease, "renew", said)
    open_store(url, ACCESS)


def held(store: Store) -> list[object]:
    """All there is, as the verbs of a store tell it."""
    kinds = (Occurrence, Cursor, Touched, DeadLetter)
    return [
        *(store.everything(kind, 10_000) for kind in kinds),
        store.get(Cursor, "prod"), store.summaries(), store.editions(), store.count(EVERYTHING),
        [one.key.id for one in store.search(EVERYTHING, 10)],
    ]  # fmt: skip


def loud(store: ElasticStore) -> int:
    query = {"query": {"term": {"loud": "LOAD"}}}
    return int(store._session.ask("POST", f"/{store._indices.occurrence}/_count", query)["count"])


def roll_back(store: ElasticStore) -> None:
    """Do what docs/scaling.md says."""
    actions = []
    for alias in indices.Indices(store._indices.prefix).all.split(","):
        store._session.ask("PUT", f"/{alias}-v1/_settings", {"index.blocks.write": None})
        actions += [
            {"remove": {"index": f"{alias}-v2", "alias": alias}},
            {"add": {"index": f"{alias}-v1", "alias": alias, "is_write_index": True}},
        ]
    store._session.ask("POST", "/_aliases", {"actions": actions})


def opened(url: str) -> ElasticStore:
    store = open_store(url, ACCESS)
    assert isinstance(store, ElasticStore)
    return store


def filled(url: str, facts: int = FACTS) -> ElasticStore:
    store = opened(url)
    store.put(occurrence(number, task="load", at=NOW + timedelta(seconds=number)) for number in range(facts))
    store.summarise(store.touched(100))
    revision = None
    for _ in range(3):
        revision = store.save(Cursor("prod", NOW), revision)
    store.overwrite([DeadLetter(occurrence(9_000), "too long")])
    return store


def test_eight_that_start_at_once_after_a_kill_migrate_all_and_there_is_a_way_back(
    elastic: str, fresh_elastic: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = fresh_elastic(elastic)
    old = filled(url)
    before = held(old)
    killed = subprocess.run([sys.executable, "-c", KILLED, url], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    be_newer(monkeypatch)
    with pytest.raises(StoreError, match=rf"Another process migrates .*: {PAGE} of {FACTS} in \S+-occurrence\."):
        open_store(url, Access(patience=0.1))
    old.put([])  # whoever has nothing to say is not disturbed
    with pytest.raises(WrongStore, match=r"takes no writes.*newer airtriage"):
        old.put([occurrence(9_001)])
    assert held(old) == before
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(opened, [url] * 8))
    new = stores[0]
    assert [loud(store) for store in stores] == [FACTS] * 8
    assert held(new) == before
    with pytest.raises(WrongStore, match=r"takes no writes.*newer airtriage"):
        old.put([occurrence(9_001)])
    assert new.save(Cursor("prod", NOW), 3) == 4
    monkeypatch.undo()
    assert new.put([occurrence(9_001)]).new == 1
    with pytest.raises(WrongStore, match="newer airtriage"):
        open_store(url, ACCESS)
    roll_back(old)
    back = opened(url)
    assert held(back) == before
    assert back.put([occurrence(9_002)]).new == 1
    be_newer(monkeypatch)
    again = opened(url)
    assert loud(again) == FACTS + 1
    for store in (*stores, old, back, again):
        store.close()


def test_a_migration_that_is_killed_at_each_of_its_requests_ends_whole(
    elastic: str, fresh_elastic: Callable[[str], str], newer: pytest.MonkeyPatch
) -> None:
    newer.setattr(migrating, "_LEASE", timedelta(0))
    newer.setattr(migrating, "_PAGE", 2)
    with pytest.MonkeyPatch.context() as older:
        older.setattr(indices, "LAYOUT", 1)
        older.delitem(indices._MAPPINGS["occurrence"], "loud")
        url = fresh_elastic(elastic)
        old = filled(url, facts=5)
    before = held(old)
    ask, send = Session.ask, Session._send
    for kills in range(200):
        left = kills

        def count() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed

        def asking(*args: Any, **more: Any) -> Any:
            count()
            return ask(*args, **more)

        def sending(*args: Any) -> Any:
            count()
            return send(*args)

        newer.setattr(Session, "ask", asking)
        newer.setattr(Session, "_send", sending)
        try:
            new = opened(url)
        except Killed:
            continue
        break
    newer.setattr(Session, "ask", ask)
    newer.setattr(Session, "_send", send)
    assert kills > 40  # of a look at each index, five blocks, five new indices, pages, counts and the move
    assert held(new) == before
    assert loud(new) == 5
    assert new.put([occurrence(9_001)]).new == 1
    new.close()
    old.close()


@pytest.mark.parametrize("at", ["_begin", "make", "_move"])
def test_a_process_that_slept_through_its_lease_spoils_nothing_of_who_took_over(
    elastic: str, fresh_elastic: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    url = fresh_elastic(elastic)
    old = filled(url, facts=5)
    be_newer(monkeypatch).setattr(migrating, "_LEASE", timedelta(0))
    opened(url).close()
    roll_back(old)
    step = getattr(migrating, at)
    taken: list[ElasticStore] = []

    def slept(*args: Any) -> Any:
        monkeypatch.setattr(migrating, at, step)
        taken.append(opened(url))
        taken[0].overwrite([occurrence(9_001, log=occurrence().log)])
        return step(*args)

    monkeypatch.setattr(migrating, at, slept)
    with pytest.raises(StoreError, match="Another process took the migration"):
        opened(url)
    new = opened(url)
    assert new.count(EVERYTHING) == 6
    assert loud(new) == 5
    for store in (*taken, new, old):
        store.close()


def test_a_store_that_is_only_read_is_not_migrated(
    elastic: str, fresh_elastic: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = fresh_elastic(elastic)
    old = filled(url, facts=5)
    be_newer(monkeypatch)
    read = ElasticStore.open(url, ACCESS, frozen=True)
    assert held(read) == held(old)
    assert set(old._session.ask("GET", f"/{old._indices.prefix}-*")) == {
        f"{name}-v1" for name in indices.Indices(old._indices.prefix).all.split(",")
    }
    read.close()
    old.close()
