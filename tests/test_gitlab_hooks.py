"""The webhooks that the double sends: shaped like recorded ones, signed, and as badly delivered as a test wishes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.gitlab_double import FakeGitLab
from tests.gitlab_hooks import signature

SHARED = Path(__file__).parent.parent.parent / "shared" / "gitlab" / "webhooks"
here = pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded webhooks are not beside the repository")


class Receiver:
    """What takes the webhooks: each with its headers and its raw body; answers `status`."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/gitlab"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def payloads(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def happened(fake: FakeGitLab) -> None:
    """Open an issue, comment on it, close it."""
    base = "/projects/data%2Fdags/issues"
    fake.do("anna", "POST", base, {"title": "t", "labels": "airflow"})
    fake.do("anna", "POST", f"{base}/1/notes", {"body": "/airtriage mute 7d is no quick action of GitLab"})
    fake.do("anna", "PUT", f"{base}/1", {"state_event": "close"})


def test_an_issues_life_is_told_in_order_with_token_key_and_signature(gitlab: FakeGitLab, receiver: Receiver) -> None:
    key = base64.b64encode(b"a signing key").decode()
    project = next(iter(gitlab.state.projects))
    gitlab.hooks.add(project, receiver.url, token="secret", signing_key=f"whsec_{key}")
    happened(gitlab)
    assert gitlab.hooks.deliver() == [204, 204, 204]
    told = [
        (h["X-Gitlab-Event"], p["object_attributes"].get("action"))
        for (h, _), p in zip(receiver.got, receiver.payloads(), strict=True)
    ]
    assert told == [("Issue Hook", "open"), ("Note Hook", "create"), ("Issue Hook", "close")]
    assert receiver.payloads()[2]["changes"]["state_id"] == {"previous": 1, "current": 2}
    headers, body = receiver.got[0]
    assert headers["X-Gitlab-Token"] == "secret"
    assert headers["webhook-id"] == headers["Idempotency-Key"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(b"a signing key", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert len({h["Idempotency-Key"] for h, _ in receiver.got}) == 3


def test_a_key_without_its_prefix_is_taken_as_it_is() -> None:
    digest = hmac.new(b"raw", b"id.1.body", hashlib.sha256).digest()
    assert signature("raw", "id", "1", b"body") == f"v1,{base64.b64encode(digest).decode()}"


def test_webhooks_come_twice_out_of_order_late_or_never(gitlab: FakeGitLab, receiver: Receiver) -> None:
    gitlab.hooks.add(next(iter(gitlab.state.projects)), receiver.url)
    happened(gitlab)
    late = gitlab.hooks.waiting[0]
    gitlab.hooks.deliver(times=2, order="reversed", lose=[0])
    assert [p["object_kind"] for p in receiver.payloads()] == ["issue", "issue", "note", "note"]
    keys = [headers["Idempotency-Key"] for headers, _ in receiver.got]
    assert (keys[0], keys[2]) == (keys[1], keys[3])
    assert gitlab.hooks.waiting == []
    assert gitlab.hooks.send(late) == 204
    assert receiver.payloads()[-1]["object_attributes"]["action"] == "open"


def test_what_is_confidential_has_an_event_of_its_own_that_a_hook_may_not_want(
    gitlab: FakeGitLab, receiver: Receiver
) -> None:
    project = next(iter(gitlab.state.projects))
    gitlab.hooks.add(project, receiver.url)
    gitlab.hooks.add(project, receiver.url, confidential=False)
    gitlab.do("anna", "POST", "/projects/data%2Fdags/issues", {"title": "t", "confidential": True})
    gitlab.do("anna", "POST", "/projects/data%2Fdags/issues/1/notes", {"body": "said", "internal": True})
    gitlab.hooks.deliver()
    assert [h["X-Gitlab-Event"] for h, _ in receiver.got] == ["Confidential Issue Hook", "Confidential Note Hook"]
    assert [p["event_type"] for p in receiver.payloads()] == ["confidential_issue", "confidential_note"]


def test_a_hook_that_fails_four_times_is_shown_as_disabled(gitlab: FakeGitLab, receiver: Receiver) -> None:
    gitlab.hooks.add(next(iter(gitlab.state.projects)), receiver.url)
    receiver.status = 500
    happened(gitlab)
    gitlab.hooks.deliver(times=2)
    (hook,) = gitlab.client().projects.get("data/dags").hooks.list(get_all=True)
    assert hook.alert_status == "temporarily_disabled"
    assert hook.disabled_until
    happened(gitlab)
    assert gitlab.hooks.waiting == [], "nothing is kept for a webhook that is switched off"
    gitlab.now = lambda: datetime.now(UTC) + timedelta(hours=2)
    receiver.status = 200
    happened(gitlab)
    gitlab.hooks.deliver()
    (hook,) = gitlab.client().projects.get("data/dags").hooks.list(get_all=True)
    assert (hook.alert_status, hook.disabled_until) == ("executable", None)


def test_a_hook_whose_receiver_is_away_counts_as_failed(gitlab: FakeGitLab) -> None:
    gitlab.hooks.add(next(iter(gitlab.state.projects)), "http://127.0.0.1:9/webhooks/gitlab")
    happened(gitlab)
    assert gitlab.hooks.deliver() == [0, 0, 0]


@here
@pytest.mark.parametrize(
    ("recorded", "event"),
    [
        ("client-go.issue.json", "Issue Hook"),
        ("zulip.issue_hook__incident_closed.2026-05.json", "Issue Hook"),
        ("client-go.note_issue.json", "Note Hook"),
        ("client-go.deployment.json", "Deployment Hook"),
        ("client-go.merge_request.json", "Merge Request Hook"),
    ],
)
def test_a_payload_says_nothing_in_another_shape_than_a_recorded_one(
    gitlab: FakeGitLab, recorded: str, event: str
) -> None:
    project = next(iter(gitlab.state.projects.values()))
    gitlab.hooks.add(project.id, "http://127.0.0.1:9/")
    happened(gitlab)
    gitlab.merge_request(project, "anna", "Fix", "fix", merged_by="anna", sha="a" * 40, merge_commit="b" * 40)
    gitlab.deployment(project, "bot", "production", "b" * 40)
    mine = [json.loads(waiting.body) for waiting in gitlab.hooks.waiting if waiting.event == event][-1]
    real = json.loads((SHARED / recorded).read_text("utf-8"))
    assert set(mine) <= set(real) | {"changes"}
    for part in ("object_attributes", "project", "user"):
        for name, value in mine.get(part, {}).items():
            known = real[part].get(name) if real.get(part) else None
            if known is not None and value is not None:
                assert type(value) is type(known), (part, name, value, known)


def test_a_deployment_is_told_with_the_short_sha_alone(gitlab: FakeGitLab) -> None:
    project = next(iter(gitlab.state.projects.values()))
    gitlab.hooks.add(project.id, "http://127.0.0.1:9/")
    gitlab.now = lambda: datetime(2026, 11, 22, 8, tzinfo=UTC)
    gitlab.deployment(project, "bot", "production", "b" * 40)
    told = json.loads(gitlab.hooks.waiting[0].body)
    assert (told["short_sha"], told["status_changed_at"]) == ("b" * 8, "2026-11-22 08:00:00 +0000")
    assert told["commit_url"].endswith(f"/-/commit/{'b' * 40}")
