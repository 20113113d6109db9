"""A store of an older layout on a real Elasticsearch: migrated by whoever starts, and by the next one after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.store_contract import NOW, occurrence
from triage.errors import StoreError, WrongStore
from triage.model import Occurrence
from triage.query import EVERYTHING
from triage.records import Cursor
from triage.store import DeadLetter, Store, Touched, open_store
from triage.store.access import Access
from triage.store.elastic import ElasticStore, indices

ACCESS = Access(shards=3, patience=5)
FACTS = 1_200  # three pages
# What a newer airtriage is: one more field, filled by the builder of documents.
NEWER = """
import os, signal, sys
from datetime import timedelta
from triage.store import open_store
from triage.store.access import Access
from triage.store.elastic import documents, indices, migrating
import msgspec
indices.LAYOUT = migrating.LAYOUT = 2
migrating._LEASE = timedelta(seconds=10)  # whoever comes after a kill waits for its end
indices._MAPPINGS["occurrence"]["loud"] = {"type": "keyword"}
built = documents.document
migrating.document = lambda fact, kept: msgspec.json.encode(
    msgspec.json.decode(built(fact, kept)) | {"loud": fact.key.task_id.upper()})
renew, left = migrating._Lease.renew, int(sys.argv[2])
def counted(lease, progress):
    global left
    renew(lease, progress)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
migrating._Lease.renew = counted
store = open_store(sys.argv[1], Access(shards=3, patience=60))
loud = {"query": {"term": {"loud": "LOAD"}}}
print(store._session.ask("POST", f"/{store._indices.occurrence}/_count", loud)["count"])
"""


def newer(url: str, kill_after: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", NEWER, url, str(kill_after)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def held(store: Store) -> list[object]:
    """All there is, as the verbs of a store tell it."""
    kinds = (Occurrence, Cursor, Touched, DeadLetter)
    return [
        *(store.everything(kind, 10_000) for kind in kinds),
        store.get(Cursor, "prod"), store.summaries(), store.editions(), store.count(EVERYTHING),
        [one.key.id for one in store.search(EVERYTHING, 10)],
    ]  # fmt: skip


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


def filled(url: str) -> ElasticStore:
    store = open_store(url, ACCESS)
    assert isinstance(store, ElasticStore)
    store.put(occurrence(number, task="load", at=NOW + timedelta(seconds=number)) for number in range(FACTS))
    store.summarise(store.touched(100))
    revision = None
    for _ in range(3):
        revision = store.save(Cursor("prod", NOW), revision)
    store.overwrite([DeadLetter(occurrence(9_000), "too long")])
    return store


def test_four_that_start_at_once_after_a_kill_migrate_all_and_there_is_a_way_back(
    elastic: str, fresh_elastic: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = fresh_elastic(elastic)
    old = filled(url)
    before = held(old)
    killed = newer(url, kill_after=4)
    assert killed.wait(60) == -signal.SIGKILL
    old.put([])  # whoever has nothing to say is not disturbed
    with pytest.raises(WrongStore, match=r"takes no writes.*newer airtriage"):
        old.put([occurrence(9_001)])
    assert held(old) == before
    started = [newer(url) for _ in range(4)]
    said = [one.communicate(timeout=90) for one in started]
    assert [out.strip() for out, _ in said] == [str(FACTS)] * 4, [err[-600:] for _, err in said]
    with pytest.raises(WrongStore, match=r"takes no writes.*newer airtriage"):
        old.put([occurrence(9_001)])
    with pytest.raises(WrongStore, match="newer airtriage"):
        open_store(url, ACCESS)
    monkeypatch.setattr(indices, "LAYOUT", 2)
    monkeypatch.setitem(
        indices._MAPPINGS, "occurrence", indices._MAPPINGS["occurrence"] | {"loud": {"type": "keyword"}}
    )
    new = open_store(url, ACCESS)
    assert held(new) == before
    assert new.save(Cursor("prod", NOW), 3) == 4
    assert new.put([occurrence(9_001)]).new == 1
    new.close()
    monkeypatch.undo()
    roll_back(old)
    back = open_store(url, ACCESS)
    assert held(back) == before
    assert back.put([occurrence(9_002)]).new == 1
    assert newer(url).communicate(timeout=90)[0].strip() == str(FACTS + 1)
    back.close()
    old.close()


def test_a_store_that_is_only_read_is_not_migrated(
    elastic: str, fresh_elastic: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = fresh_elastic(elastic)
    old = filled(url)
    monkeypatch.setattr(indices, "LAYOUT", 2)
    read = ElasticStore.open(url, ACCESS, frozen=True)
    assert held(read) == held(old)
    assert set(old._session.ask("GET", f"/{old._indices.prefix}-*")) == {
        f"{name}-v1" for name in indices.Indices(old._indices.prefix).all.split(",")
    }
    read.close()
    old.close()


def test_who_waits_says_how_far_the_other_is(
    elastic: str, fresh_elastic: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = fresh_elastic(elastic)
    old = filled(url)
    assert newer(url, kill_after=4).wait(60) == -signal.SIGKILL
    monkeypatch.setattr(indices, "LAYOUT", 2)
    monkeypatch.setattr("triage.store.elastic.migrating.LAYOUT", 2)
    with pytest.raises(StoreError, match=r"Another process migrates .*: \d+ of \d+ in \S+"):
        open_store(url, Access(patience=1))
    old.close()
