"""The routes beside the pages, the guard, and what Streamlit is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests import made_up
from triage.errors import ProcessError, StoreError
from triage.mirrors import Mirror, MirrorStatus
from triage.service import Service
from ui import api, guard, web
from ui.front.desk import Desk

NOW = made_up.NOW


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = made_up.service(tmp_path)
    made_up.fill(made)
    yield made
    made.store.close()


@pytest.fixture
def client(service: Service, tmp_path: Path) -> TestClient:
    app = web.make_app(
        service,
        made_up.settings(tmp_path, "prod", allowed_hosts=["triage.example.com"], base_path="/triage"),
        now=lambda: NOW,
    )
    routes = app._user_routes  # our own routes; Streamlit's are driven by a browser in test_pages
    return TestClient(Starlette(routes=routes, middleware=app._user_middleware), base_url="http://127.0.0.1:8501")


def test_healthz_says_ok_while_the_store_answers(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/triage/healthz").status_code == 200


def test_healthz_is_503_with_a_sentence_when_the_store_is_away(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: object) -> int:
        raise StoreError("The store /x cannot be used: unable to open.", "Check that the folder exists.")

    monkeypatch.setattr(type(service.store), "revision", away)
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert "Check that the folder exists." in answer.json()["error"]


def test_problems_are_listed_most_urgent_first_and_limited(client: TestClient) -> None:
    every = client.get("/api/problems").json()
    assert [p["title"] for p in every][:1] == [made_up.CASES[0][0]]
    assert len(client.get("/api/problems?limit=3").json()) == 3


def test_problems_are_filtered_by_query_and_state(client: TestClient) -> None:
    assert [p["owner"] for p in client.get("/api/problems", params={"q": "dag:crm_sync"}).json()] == ["crm"]
    assert {p["state"] for p in client.get("/api/problems?state=muted,RESOLVED").json()} == {"MUTED", "RESOLVED"}


@pytest.mark.parametrize("query", ["q=nope:1", "q=(", "limit=0", "limit=x", "state=odd"])
def test_bad_input_is_400_with_one_sentence(client: TestClient, query: str) -> None:
    answer = client.get(f"/api/problems?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"].endswith((".", "?"))


def test_one_problem_comes_with_its_gitlab_issue(client: TestClient, service: Service) -> None:
    id = client.get("/api/problems").json()[0]["id"]
    assert client.get(f"/api/problems/{id}").json()["gitlab"] is None
    linked = Mirror(
        id, "https://g.example", "data/dags", MirrorStatus.LINKED, NOW, iid=41, web_url="https://g.example/41"
    )
    service.store.save(linked, None)
    found = client.get(f"/api/problems/{id}").json()["gitlab"]
    assert (found["status"], found["iid"], found["open"]) == ("linked", 41, True)


def test_one_problem_comes_with_its_newest_tries_and_history(client: TestClient) -> None:
    id = client.get("/api/problems").json()[0]["id"]
    found = client.get(f"/api/problems/{id}").json()
    assert found["occurrences"] == 214
    assert len(found["latest"]) == 50
    assert found["history"][0]["what"] == "opened"
    assert client.get("/api/problems/none").status_code == 404


def test_one_problem_comes_with_similar_ones(client: TestClient, service: Service) -> None:
    service.record(made_up.neighbours())
    service.settle(NOW)
    id = next(p["id"] for p in client.get("/api/problems").json() if p["title"] == made_up.CASES[6][0])
    found = client.get(f"/api/problems/{id}").json()["similar"]
    assert [one["score"] for one in found] == [0.9, 0.9, 0.75]
    assert found[2].keys() == {"id", "title", "score", "why"}
    assert found[2]["title"].startswith("psql: error")
    assert id in [one["id"] for one in client.get(f"/api/problems/{found[2]['id']}").json()["similar"]]


def test_search_finds_failed_tries(client: TestClient) -> None:
    found = client.get("/api/search?q=KeyError").json()
    assert {it["task_id"] for it in found} == {"normalise"}
    assert all(it["problem"] for it in found)


def test_a_wrong_query_is_400_with_its_place_and_what_may_have_been_meant(client: TestClient) -> None:
    answer = client.get("/api/problems", params={"q": "KeyError: 0"})
    assert answer.status_code == 400
    said = answer.json()
    assert (said["place"], said["meant"]) == ([0, 9], '"KeyError: 0"')
    assert said["error"].startswith("There is no field 'KeyError'")


def test_unknown_api_paths_are_404_in_json(client: TestClient) -> None:
    answer = client.get("/api/nope")
    assert answer.status_code == 404
    assert "/api/problems" in answer.json()["error"]


def test_metrics_count_problems_backlog_and_age(client: TestClient) -> None:
    lines = client.get("/metrics").text.splitlines()
    assert 'airtriage_problems{deployment="prod",state="MUTED"} 1.0' in lines
    assert 'airtriage_backlog{deployment="prod"} 1.0' in lines
    assert 'airtriage_last_pass_age_seconds{deployment="prod"} 12.0' in lines
    assert 'airtriage_pass_lag_seconds{deployment="prod"} 0.0' in lines


def test_every_answer_carries_the_policy(client: TestClient) -> None:
    for path in ("/healthz", "/api/problems", "/triage/"):
        assert "default-src 'none'" in client.get(path).headers["content-security-policy"]


def test_a_tab_never_says_streamlit(client: TestClient) -> None:
    assert "<title>Queue · airtriage</title>" in client.get("/triage/").text
    assert "<title>Problem · airtriage</title>" in client.get("/triage/problem?id=1").text


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8501", 200), ("10.0.0.7", 200), ("[::1]:8501", 200), ("triage.example.com", 200), ("evil.example", 403), ("127.0.0.1.evil.example", 403), ("", 403)],
)  # fmt: skip
def test_only_known_hosts_are_answered(client: TestClient, host: str, status: int) -> None:
    assert client.get("/api/problems", headers={"host": host}).status_code == status


def test_healthz_answers_under_any_name(client: TestClient) -> None:
    assert client.get("/healthz", headers={"host": "web"}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "enters"),
    [
        ("http://127.0.0.1:8501", True),
        (None, True),
        ("https://evil.example", False),
        ("http://127.0.0.1:9999", False),
        ("null", False),
    ],
)
def test_a_foreign_page_cannot_open_a_websocket(origin: str | None, enters: bool) -> None:
    async def echo(scope, receive, send):  # type: ignore[no-untyped-def]
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await socket.send_text(str(socket.headers.get("origin")))
        await socket.close()

    app = guard.Guard(echo, frozenset({"localhost"}), set())
    client = TestClient(app, base_url="http://127.0.0.1:8501")
    headers = {"host": "127.0.0.1:8501"} | ({"origin": origin} if origin else {})
    if enters:
        with client.websocket_connect("/_stcore/stream", headers=headers) as socket:
            assert socket.receive_text() == "None"
    else:
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/_stcore/stream", headers=headers):
            pass


def test_streamlit_knows_every_setting_it_is_told(tmp_path: Path) -> None:
    from streamlit.web.server.starlette.starlette_app import _validate_run_config

    told = web.config(made_up.settings(tmp_path, "prod", base_path="/triage/"))
    assert _validate_run_config(told) == told
    assert told["browser.gatherUsageStats"] is False
    assert told["server.baseUrlPath"] == "triage"


def _part(service: Service, folder: Path, part: web.Part, **settings: object) -> TestClient:
    its = made_up.settings(folder, "prod", base_path="/triage", **settings)
    if part is web.Part.API:
        return TestClient(api.make_api(Desk(service, its, lambda: NOW), None), base_url="http://127.0.0.1:8502")
    app = web.make_app(service, its, now=lambda: NOW, part=part)
    return TestClient(
        Starlette(routes=app._user_routes, middleware=app._user_middleware), base_url="http://127.0.0.1:8501"
    )


@pytest.mark.parametrize("part", list(web.Part))
def test_each_part_serves_its_own_health_and_numbers_and_only_what_is_its(
    service: Service, tmp_path: Path, part: web.Part
) -> None:
    client = _part(service, tmp_path, part)
    for start in ("", "/triage"):
        assert client.get(f"{start}/healthz").json() == {"status": "ok"}
        assert "airtriage_problems" in client.get(f"{start}/metrics").text
        has_api = part is not web.Part.PAGES
        assert client.get(f"{start}/api/problems").status_code == (200 if has_api else 404)
        assert client.get(f"{start}/api/none").status_code == 404
        said = client.post(f"{start}/webhooks/gitlab").json()["error"]
        assert said.startswith("No webhook is set up" if has_api else "The API and the webhooks are served by another")
    assert client.get("/triage/").status_code == (404 if part is web.Part.API else 200)


def test_a_part_says_where_the_other_is_served(service: Service, tmp_path: Path) -> None:
    urls = {"public_url": "https://triage.example.com/", "api_url": "https://api.example.com/"}
    pages = _part(service, tmp_path, web.Part.PAGES, **urls)
    assert "served at https://api.example.com, not here" in pages.get("/api/problems").json()["error"]
    alone = _part(service, tmp_path, web.Part.API, **urls)
    assert (
        "pages are served at https://triage.example.com, not here" in alone.get("/triage/problem?id=1").json()["error"]
    )
    assert alone.get("/api/problems", headers={"host": "evil.example"}).status_code == 403
    assert "default-src 'none'" in alone.get("/api/problems").headers["content-security-policy"]


def test_the_api_alone_never_loads_streamlit() -> None:
    script = "import sys, ui.web, ui.api; print([name for name in sys.modules if name.split('.')[0] in ('streamlit', 'pandas')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ProcessError, match=r"web\.port"):
            web.serve(made_up.settings(tmp_path, port=taken.getsockname()[1]))
        with pytest.raises(ProcessError, match="AIRTRIAGE_WEB__API_PORT"):
            web.serve(made_up.settings(tmp_path, api_port=taken.getsockname()[1]), part=web.Part.API)


def test_a_stale_deployment_has_lag(service: Service, tmp_path: Path) -> None:
    settings = made_up.settings(tmp_path, "prod")
    lag = next(
        m
        for m in api.Numbers(Desk(service, settings, lambda: NOW + timedelta(minutes=5))).collect()
        if m.name == "airtriage_pass_lag_seconds"
    )
    assert lag.samples[0].value == 5 * 60 + 12 - 30
