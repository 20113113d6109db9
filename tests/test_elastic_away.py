"""Elasticsearch away for a while: passes end with a sentence, the pages say so, and afterwards nothing is lost or doubled."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector import broker, tasks
from collector.tasks import Collector
from tests.airflow_stub import event, instance, serving
from tests.elastic_server import ElasticServer, fresh, lack
from tests.test_bad_input import Command, fill
from triage.errors import StoreError
from triage.query import EVERYTHING
from triage.settings import Settings


@pytest.mark.elastic
@pytest.mark.timeout(900)
def test_passes_when_elasticsearch_is_away_end_with_a_sentence_and_go_on_where_they_were(tmp_path: Path) -> None:
    if why := lack("9.4.3"):
        pytest.skip(why)
    with serving() as stub, ElasticServer("9.4.3") as server:
        fill(stub)
        prod = {"url": stub.url, "username": "triage", "password": "right", "lookback": "99w", "timeout": "2s"}
        url = fresh(server.url)
        settings = Settings.model_validate({"data_dir": tmp_path, "store": url, "deployments": {"prod": prod}})
        collector = Collector(settings)
        service = collector.service
        store = service.store
        patient = store._session._access  # type: ignore[attr-defined]
        object.__setattr__(patient, "patience", 2.0)
        collector.run("prod")
        assert store.count(EVERYTHING) == 1

        server.kill()
        stub.events.append(event(301, "failed", "save"))
        stub.instances.append(instance("save", "failed"))
        stub.tries["save", -1] = [instance("save", "failed")]
        stub.logs["save", -1, 1] = stub.logs["load", -1, 1]
        for _ in range(2):
            with pytest.raises(StoreError, match=r"cannot be reached.*Start it, or correct the setting store"):
                collector.run("prod")
        with pytest.raises(StoreError, match="cannot be reached"):
            service.health(datetime.now(UTC))  # what Health draws: the page says this sentence
        command = Command(tmp_path, stub, {"STORE": url, "DATA_DIR": str(tmp_path)})
        done = command("problems")
        assert done.returncode == 1
        assert "cannot be reached" in done.stderr
        assert done.stderr.strip().count("\n") == 0

        server.start()
        collector.run("prod")
        collector.settle()
        now = datetime.now(UTC)
        store._session.refresh(store._indices.all)  # type: ignore[attr-defined]
        assert [one.key.task_id for one in store.search(EVERYTHING, 9)] in (["load", "save"], ["save", "load"])
        assert sum(row.total for row in service.queue(now)) == 2
        (view,) = service.health(now)
        assert not view.is_stale(now)
        store.close()


def test_task_when_the_store_is_away_ends_with_a_sentence_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[object, ...]] = []
    monkeypatch.setattr(broker._log, "error", lambda *words: said.append(words))
    prod = {"url": "http://127.0.0.1:1"}
    store = "http://127.0.0.1:1"  # nobody listens there
    app = tasks.make_app(Settings.model_validate({"data_dir": tmp_path, "store": store, "deployments": {"prod": prod}}))
    app.tasks[tasks.SETTLE]()
    app.tasks[tasks.PASS]("prod")
    assert [words[1] for words in said] == [tasks.SETTLE, tasks.PASS]
    for words in said:
        assert "cannot be reached" in str(words[2])
