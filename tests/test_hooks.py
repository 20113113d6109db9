"""The door for GitLab's webhook: who is let in, what is kept, and each refusal in one sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests import made_up
from tests.served import page_server
from tests.test_webhooks import SIGNING, TOKEN, signed
from triage import inbox, webhooks
from triage.errors import StoreError
from triage.mirrors import HeardKind
from triage.service import Service
from triage.settings import Settings
from ui import hooks, web

NOW = made_up.NOW
GITLAB = "https://gitlab.example.com"
PAYLOAD = {"object_kind": "issue", "project": {"id": 7}, "object_attributes": {"iid": 41}, "user": {"id": 9}}
BODY = json.dumps(PAYLOAD).encode()
ISSUES = {"url": GITLAB, "token": "made-up-access", "project": "data/airflow"}
KNOWN = {"x-gitlab-token": TOKEN}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = made_up.service(tmp_path)
    yield made
    made.store.close()


def _settings(folder: Path, **gitlab: str) -> Settings:
    web = {"allowed_hosts": ["triage.example.com"], "base_path": "/triage"}
    return Settings.model_validate({"data_dir": folder, "gitlab": ISSUES | gitlab if gitlab else {}, "web": web})


def _client(service: Service, folder: Path, nudges: list[int] | None = None, **gitlab: str) -> TestClient:
    nudge = None if nudges is None else lambda: nudges.append(len(_waiting(service)))
    app = web.make_app(service, _settings(folder, **gitlab), now=lambda: NOW, nudge=nudge)
    asgi = Starlette(routes=app._user_routes, middleware=app._user_middleware)
    return TestClient(asgi, base_url="https://triage.example.com")


@pytest.fixture
def client(service: Service, tmp_path: Path) -> TestClient:
    return _client(service, tmp_path, webhook_token=TOKEN)


def _waiting(service: Service) -> list[tuple[str, int, HeardKind, int]]:
    return [(it.gitlab, it.project, it.kind, it.number) for it, _ in inbox.waiting(service.store, NOW)]


@pytest.mark.parametrize(
    "path", ["/webhooks/gitlab", "/triage/webhooks/gitlab", "/webhooks/gitlab/", "/triage/webhooks/gitlab/"]
)
def test_what_gitlab_tells_is_kept(service: Service, client: TestClient, path: str) -> None:
    answer = client.post(path, content=BODY, headers=KNOWN)
    assert (answer.status_code, answer.json()) == (200, {"kept": True})
    assert _waiting(service) == [(GITLAB, 7, HeardKind.ISSUE, 41)]


def test_a_delivery_that_comes_again_is_answered_the_same_and_kept_once(service: Service, client: TestClient) -> None:
    headers = KNOWN | {"idempotency-key": "one"}
    assert client.post("/webhooks/gitlab", content=BODY, headers=headers).json() == {"kept": True}
    again = client.post("/webhooks/gitlab", content=BODY, headers=headers)
    assert (again.status_code, again.json()) == (200, {"kept": False})
    assert len(_waiting(service)) == 1


def test_what_concerns_no_problem_is_answered_well_so_that_gitlab_keeps_the_webhook(client: TestClient) -> None:
    answer = client.post("/webhooks/gitlab", json={"object_kind": "push"}, headers=KNOWN)
    assert (answer.status_code, answer.json()) == (200, {"kept": False})


def test_a_signed_delivery_is_kept_and_an_unsigned_one_is_not(service: Service, tmp_path: Path) -> None:
    client = _client(service, tmp_path, webhook_signing_token=SIGNING)
    assert client.post("/webhooks/gitlab", content=BODY, headers=KNOWN).status_code == 401
    assert client.post("/webhooks/gitlab", content=BODY, headers=signed(BODY, at=NOW)).status_code == 200


WRONG: dict[str, dict[str, str]] = {
    "no proof": {},
    "another token": {"x-gitlab-token": "guess"},
    "another key": KNOWN | signed(BODY, b"guess", NOW),
    "another body": KNOWN | signed(BODY + b" ", at=NOW),
    "too old": KNOWN | signed(BODY, at=NOW - timedelta(minutes=6)),
    "no token beside it": signed(BODY, at=NOW),
}


def test_whatever_is_wrong_with_a_proof_the_answer_is_the_same_sentence(service: Service, tmp_path: Path) -> None:
    client = _client(service, tmp_path, webhook_token=TOKEN, webhook_signing_token=SIGNING)
    answers = [client.post("/webhooks/gitlab", content=BODY, headers=wrong) for wrong in WRONG.values()]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["error"].startswith("This delivery is not from the GitLab that is set here.")
    assert TOKEN not in answers[0].text
    assert _waiting(service) == []


@pytest.mark.parametrize("gitlab", [{}, {"project": "data/airflow"}])
def test_where_no_webhook_is_set_up_the_answer_says_what_to_set(
    service: Service, tmp_path: Path, gitlab: dict[str, str]
) -> None:
    answer = _client(service, tmp_path, **gitlab).post("/webhooks/gitlab", content=BODY, headers=KNOWN)
    assert answer.status_code == 404
    assert answer.json()["error"].endswith("Set gitlab.url, and gitlab.webhook_signing_token or gitlab.webhook_token.")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_json_is_refused_in_one_sentence(client: TestClient, body: bytes) -> None:
    answer = client.post("/webhooks/gitlab", content=body, headers=KNOWN)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("The body of this delivery is not ")


def test_a_body_of_10_mb_is_refused_by_its_length(service: Service, client: TestClient) -> None:
    answer = client.post("/webhooks/gitlab", content=b" " * 10_000_000, headers=KNOWN)
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("A delivery may have 5 MiB at most;")
    assert _waiting(service) == []


def test_another_method_is_refused(client: TestClient) -> None:
    answer = client.get("/webhooks/gitlab", headers=KNOWN)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_host_that_is_not_allowed_is_told_which_setting_lets_it_in(client: TestClient) -> None:
    answer = client.post("/webhooks/gitlab", content=BODY, headers=KNOWN | {"host": "other.example"})
    assert answer.status_code == 403
    assert "web.allowed_hosts" in answer.json()["error"]


def test_a_store_that_is_away_is_503_with_a_sentence(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: object, *args: object) -> None:
        raise StoreError("The store /x cannot be used: disk full.", "Make room.")

    monkeypatch.setattr(type(service.store), "save", away)
    answer = client.post("/webhooks/gitlab", content=BODY, headers=KNOWN)
    assert (answer.status_code, answer.json()["error"]) == (503, "The store /x cannot be used: disk full. Make room.")


def test_the_collector_is_nudged_after_something_new_is_kept_and_only_then(service: Service, tmp_path: Path) -> None:
    nudges: list[int] = []
    client = _client(service, tmp_path, nudges, webhook_token=TOKEN)
    for _ in range(2):
        client.post("/webhooks/gitlab", content=BODY, headers=KNOWN)
    client.post("/webhooks/gitlab", json={"object_kind": "push"}, headers=KNOWN)
    client.post("/webhooks/gitlab", content=BODY)
    assert nudges == [1]


def test_the_page_that_is_served_has_the_door(tmp_path: Path) -> None:
    made_up.service(tmp_path).store.close()
    its = {"URL": GITLAB, "TOKEN": "made-up-access", "PROJECT": "data/airflow", "WEBHOOK_TOKEN": TOKEN}
    with page_server(tmp_path, "prod", **{f"AIRTRIAGE_GITLAB__{name}": value for name, value in its.items()}) as base:
        answer = requests.post(f"{base}/webhooks/gitlab", data=BODY, headers=KNOWN, timeout=20)
        assert (answer.status_code, answer.json()) == (200, {"kept": True})
        large = requests.post(f"{base}/webhooks/gitlab", data=iter([b" " * 1_000_000] * 10), headers=KNOWN, timeout=20)
        assert large.status_code == 413
        assert requests.post(f"{base}/webhooks/gitlab", data=BODY, timeout=20).status_code == 401


def _door(service: Service, senders: list[tuple[str, webhooks.Secrets]]) -> hooks.Door:
    return hooks.Door(service.store, senders, lambda: NOW, None)


async def _delivered(door: hooks.Door, parts: AsyncIterator[bytes], headers: dict[str, str]) -> tuple[int, Any]:
    from starlette.requests import Request

    async def receive() -> dict[str, Any]:
        part = await anext(parts, None)
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "method": "POST", "headers": raw, "path": "/"}, receive)
    answer = await door.answer(request)
    return answer.status_code, json.loads(bytes(answer.body))


def test_an_endless_body_is_refused_when_5_mib_of_it_came(service: Service) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 65_536
            yield b"x" * 65_536

    door = _door(service, [(GITLAB, webhooks.Secrets(TOKEN))])
    status, _ = asyncio.run(_delivered(door, endless(), KNOWN))
    assert status == 413
    assert read <= webhooks.LARGEST + 2 * 65_536


def test_nothing_of_a_body_is_read_before_the_headers_are_right(service: Service) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    both = [(GITLAB, webhooks.Secrets(TOKEN, SIGNING))]
    assert asyncio.run(_delivered(_door(service, both), never(), KNOWN))[0] == 401
    large = KNOWN | signed(at=NOW) | {"content-length": "10000000"}
    assert asyncio.run(_delivered(_door(service, both), never(), large))[0] == 413
    odd = KNOWN | signed(at=NOW) | {"content-length": "-1"}
    assert asyncio.run(_delivered(_door(service, both), never(), odd))[0] == 413


def test_a_body_that_does_not_come_in_is_given_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    monkeypatch.setattr(hooks, "_PATIENCE", 0.01)
    status, said = asyncio.run(_delivered(_door(service, [(GITLAB, webhooks.Secrets(TOKEN))]), slow(), KNOWN))
    assert status == 408
    assert said["error"].startswith("The delivery did not come in whole within")


OTHER = "http://other.example:8080/gitlab"


@pytest.mark.parametrize(
    ("headers", "payload", "of"),
    [
        ({"x-gitlab-instance": GITLAB}, PAYLOAD, [GITLAB]),
        ({"x-gitlab-instance": OTHER}, PAYLOAD, [OTHER]),
        ({}, PAYLOAD | {"project": {"id": 7, "web_url": "http://other.example:8080/gitlab/a/b"}}, [OTHER]),
        ({}, PAYLOAD, [GITLAB, OTHER]),
    ],
)
def test_of_two_gitlabs_with_the_same_secret_the_one_it_names_is_heard(
    service: Service, headers: dict[str, str], payload: dict[str, Any], of: list[str]
) -> None:
    async def whole() -> AsyncIterator[bytes]:
        yield json.dumps(payload).encode()

    door = _door(service, [(GITLAB, webhooks.Secrets(TOKEN)), (OTHER, webhooks.Secrets(TOKEN))])
    assert asyncio.run(_delivered(door, whole(), KNOWN | headers))[0] == 200
    assert sorted(gitlab for gitlab, *_ in _waiting(service)) == sorted(of)


def test_of_two_gitlabs_the_one_whose_secret_it_is_is_heard_whatever_address_it_gives(service: Service) -> None:
    async def whole() -> AsyncIterator[bytes]:
        yield BODY

    door = _door(service, [(OTHER, webhooks.Secrets("another")), (GITLAB, webhooks.Secrets(TOKEN))])
    headers = KNOWN | {"x-gitlab-instance": "https://what.it.calls.itself"}
    assert asyncio.run(_delivered(door, whole(), headers))[0] == 200
    assert [gitlab for gitlab, *_ in _waiting(service)] == [GITLAB]


@pytest.mark.parametrize("instance", ["http://[", "http://[::1", "\xff\xfe", "", "//"])
def test_a_genuine_delivery_is_kept_whatever_address_it_gives(service: Service, instance: str) -> None:
    async def whole() -> AsyncIterator[bytes]:
        yield BODY

    door = _door(service, [(GITLAB, webhooks.Secrets(TOKEN))])
    assert asyncio.run(_delivered(door, whole(), KNOWN | {"x-gitlab-instance": instance}))[0] == 200
    assert [gitlab for gitlab, *_ in _waiting(service)] == [GITLAB]


def test_projects_of_one_gitlab_with_secrets_of_their_own_are_all_heard(service: Service, tmp_path: Path) -> None:
    own = {"project": "data/staging", "webhook_token": "made-up-staging"}
    deployments = {"prod": {"url": "http://prod.example"}, "dev": {"url": "http://dev.example", "gitlab": own}}
    its = Settings.model_validate({
        "data_dir": tmp_path, "gitlab": ISSUES | {"webhook_token": TOKEN}, "deployments": deployments,
    })  # fmt: skip
    assert hooks.senders(its) == [(GITLAB, webhooks.Secrets(TOKEN)), (GITLAB, webhooks.Secrets("made-up-staging"))]

    async def of(project: int) -> AsyncIterator[bytes]:
        yield json.dumps(PAYLOAD | {"project": {"id": project}}).encode()

    door = _door(service, hooks.senders(its))
    for project, token in ((7, TOKEN), (8, "made-up-staging")):
        assert asyncio.run(_delivered(door, of(project), {"x-gitlab-token": token}))[0] == 200
    assert sorted(project for _, project, *_ in _waiting(service)) == [7, 8]
    assert asyncio.run(_delivered(door, of(9), {"x-gitlab-token": "made-up"}))[0] == 401


def test_the_secrets_of_the_settings_are_those_that_are_demanded(tmp_path: Path) -> None:
    its = _settings(tmp_path, webhook_token=TOKEN, webhook_signing_token=SIGNING)
    assert hooks.senders(its) == [(GITLAB, webhooks.Secrets(TOKEN, SIGNING))]


def test_the_gitlab_of_a_deployment_is_heard_too(tmp_path: Path) -> None:
    own = {"url": OTHER, "token": "made-up-other-access", "webhook_token": "made-up-other"}
    deployments = {"dev": {"url": "http://dev.example", "gitlab": own}, "prod": {"url": "http://prod.example"}}
    its = Settings.model_validate({
        "data_dir": tmp_path, "gitlab": ISSUES | {"webhook_token": TOKEN}, "deployments": deployments,
    })  # fmt: skip
    assert hooks.senders(its) == [(GITLAB, webhooks.Secrets(TOKEN)), (OTHER, webhooks.Secrets("made-up-other"))]
    assert "made-up" not in its.redactor.text("made-up-other-access made-up-other")
