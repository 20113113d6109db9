"""Search over HTTP: pages, facets, histogram, exports that stream, what was seen before, and saved searches."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests import made_up
from triage.errors import StoreError
from triage.seen import LARGEST
from triage.service import Service
from ui.api import api_routes
from ui.front.desk import Desk

NOW = made_up.NOW


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = made_up.service(tmp_path_factory.mktemp("api"))
    made_up.fill(made)
    yield made
    made.store.close()


@pytest.fixture
def client(service: Service, tmp_path: Path) -> TestClient:
    settings = made_up.settings(tmp_path, "prod", user_header="X-User")
    return TestClient(
        Starlette(routes=api_routes(Desk(service, settings, lambda: NOW), None)), raise_server_exceptions=False
    )


def test_pages_follow_one_another_to_the_end_and_hold_every_try_once(client: TestClient) -> None:
    found: list[str] = []
    url = "/api/search?q=dag:orders&limit=200"
    while url:
        answer = client.get(url)
        found += [row["id"] for row in answer.json()]
        link = answer.headers.get("link", "")
        url = f"/api/search{link[1 : link.index('>')]}" if link else ""
    assert len(found) == len(set(found)) == int(answer.headers["x-total-count"]) > 400


def test_facets_and_histogram_count_everything(client: TestClient) -> None:
    counted = client.get("/api/search/facets?q=dag:crm_sync").json()
    assert counted["total"] == 12
    assert counted["facets"]["dag"] == [{"value": "crm_sync", "count": 12}]
    bars = client.get("/api/search/histogram?q=dag:crm_sync").json()
    assert (bars["total"], bars["step"], sum(bar["count"] for bar in bars["bars"])) == (12, 21_600, 12)
    day = client.get("/api/search/histogram", params={"from": f"{NOW:%Y-%m-%d}", "to": f"{NOW:%Y-%m-%d}"}).json()
    assert (day["step"], len(day["bars"])) == (900, 96)
    assert client.get("/api/search/histogram?q=nothinglikeit").json() == {"total": 0, "step": None, "bars": []}


@pytest.mark.parametrize("query", ["q=nope:1", "from=x", "from=2026-01-02&to=2026-01-01", "after=x", "limit=0"])
def test_bad_input_is_400_with_one_sentence(client: TestClient, query: str) -> None:
    answer = client.get(f"/api/search?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"].endswith((".", "?"))


def test_exports_stream_everything_found(client: TestClient) -> None:
    answer = client.get("/api/search.csv?q=dag:orders")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="airtriage-search.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert rows.pop()["id"] == f"# end: {len(rows)}"
    assert len(rows) == int(answer.headers["x-total-count"])
    lines = client.get("/api/search.jsonl?q=dag:orders").text.splitlines()
    assert json.loads(lines.pop()) == {"end": len(rows)}
    assert [json.loads(line)["id"] for line in lines] == [row["id"] for row in rows]
    assert client.head("/api/search.csv").text == ""
    assert client.get("/api/search.csv?q=nope:1").status_code == 400


def test_a_store_that_fails_in_the_middle_of_an_export_breaks_it_off(
    service: Service, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = type(service.store).search, []

    def failing(self: Any, *arguments: Any) -> Any:
        asked.append(arguments)
        if len(asked) > 2:
            raise StoreError("The store is away.")
        return real(self, *arguments)

    monkeypatch.setattr(type(service.store), "search", failing)
    answer = client.get("/api/search.jsonl")
    assert '"end"' not in answer.text
    assert answer.text.count("\n") < 1_001


def test_a_log_is_asked_about_and_one_too_large_refused(client: TestClient) -> None:
    found = client.post(
        "/api/seen", content=b"ConnectionRefusedError: [Errno 111] Connection refused to warehouse:5432"
    ).json()
    assert "warehouse" in found["similar"][0]["why"]
    assert client.post("/api/seen", content=b"\0\0").status_code == 400
    assert client.post("/api/seen", content=b"x" * (LARGEST + 1)).status_code == 413
    assert "There is nothing at /api/seen" in client.get("/api/seen").json()["error"]


def test_searches_are_saved_renamed_and_deleted_by_whom_the_proxy_names(client: TestClient) -> None:
    ann, bob = {"X-User": "ann"}, {"X-User": "bob"}
    made = client.post("/api/searches", json={"name": "Mine", "query": "dag:orders", "mine": True}, headers=ann).json()
    assert (made["who"], made["mine"]) == ("ann", True)
    assert client.get("/api/searches", headers=bob).json() == []
    assert client.put(f"/api/searches/{made['id']}", json={"name": "His"}, headers=bob).status_code == 400
    assert client.put(f"/api/searches/{made['id']}", json={"name": "Hers"}, headers=ann).json()["name"] == "Hers"
    assert client.request("DELETE", f"/api/searches/{made['id']}", json={}, headers=ann).json()["name"] == "Hers"
    assert client.get("/api/searches", headers=ann).json() == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"name": "x", "query": "y"}', "text/plain", 415), (b"[]", "application/json", 400), (b"{", "application/json", 400),
        (b'{"name": 1, "query": "y"}', "application/json", 400), (b'{"name": "x", "query": "nope:1"}', "application/json", 400),
        (b" " * 70_000, "application/json", 413), (b"[" * 50_000, "application/json", 400), (b"\xff", "application/json", 400),
    ],
)  # fmt: skip
def test_what_is_no_saved_search_is_refused(client: TestClient, body: bytes, kind: str, status: int) -> None:
    answer = client.post("/api/searches", content=body, headers={"content-type": kind})
    assert (answer.status_code, bool(answer.json()["error"])) == (status, True)
    assert client.get("/api/searches").json() == []
