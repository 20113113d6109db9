"""The webhooks that the double sends: payloads shaped like recorded ones, signed, and delivered as badly as a test wishes.

Nothing is sent by itself: what happened waits in `waiting` until a test delivers it, once, twice, out of order, late or
never. So a test decides what the network does, and repeats it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import requests

from tests.gitlab_state import Deployment, Issue, MergeRequest, Note, Project, User, stamp

if TYPE_CHECKING:
    from tests.gitlab_double import FakeGitLab


_IN_A_ROW, _FOR_GOOD = 4, 40  # failures that switch a webhook off (GitLab's MR 166329)


def old_stamp(when: datetime) -> str:
    """Return a time as half of the payloads write it."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@dataclass
class Hook:
    """One webhook of a project: where it goes, its secrets, and which events it wants (all by default)."""

    id: int
    project: int
    url: str
    token: str | None = None
    signing_key: str | None = None
    confidential: bool = True
    failures: int = 0
    disabled_until: datetime | None = None
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "url": self.url,
            "project_id": self.project,
            "issues_events": True,
            "note_events": True,
            "confidential_issues_events": self.confidential,
            "confidential_note_events": self.confidential,
            "deployment_events": True,
            "merge_requests_events": True,
            "signing_token_present": self.signing_key is not None,
            "alert_status": self.alert,
            "disabled_until": stamp(self.disabled_until),
        }

    @property
    def alert(self) -> str:
        return (
            "disabled"
            if self.failures >= _FOR_GOOD
            else "temporarily_disabled"
            if self.failures >= _IN_A_ROW
            else "executable"
        )

    def heard(self, is_well: bool, now: datetime) -> None:
        """Count an answer: four bad ones in a row switch it off for a minute, then for twice as long, forty for good."""
        self.failures = 0 if is_well else self.failures + 1
        away = min(timedelta(minutes=2 ** max(self.failures - _IN_A_ROW, 0)), timedelta(days=1))
        self.disabled_until = now + away if self.failures >= _IN_A_ROW else None

    def is_on(self, now: datetime) -> bool:
        return self.failures < _FOR_GOOD and (self.disabled_until is None or now >= self.disabled_until)


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one hook. `id` is the Idempotency-Key: the same each time that it is sent."""

    hook: Hook
    event: str
    id: str
    body: bytes
    instance: str

    def headers(self, now: datetime) -> dict[str, str]:
        """Return the headers as of a time: a signature is made anew at each sending."""
        found = {
            "Content-Type": "application/json",
            "User-Agent": "GitLab/19.5.0",
            "X-Gitlab-Event": self.event,
            "X-Gitlab-Event-UUID": str(uuid.uuid5(uuid.NAMESPACE_URL, self.id)),
            "X-Gitlab-Webhook-UUID": self.hook.uuid,
            "X-Gitlab-Instance": self.instance,
            "Idempotency-Key": self.id,
        }
        if self.hook.token is not None:
            found["X-Gitlab-Token"] = self.hook.token
        if self.hook.signing_key is not None:
            at = str(int(now.timestamp()))
            found |= {
                "webhook-id": self.id,
                "webhook-timestamp": at,
                "webhook-signature": signature(self.hook.signing_key, self.id, at, self.body),
            }
        return found


def signature(key: str, id: str, at: str, body: bytes) -> str:
    """Sign as Standard Webhooks says; a key with `whsec_` before it is base64, any other is taken as it is."""
    secret = base64.b64decode(key.removeprefix("whsec_")) if key.startswith("whsec_") else key.encode()
    digest = hmac.new(secret, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class Hooks:
    """The hooks of all projects, and the deliveries that wait."""

    def __init__(self, fake: FakeGitLab) -> None:
        self._fake = fake
        self._hooks: list[Hook] = []
        self.waiting: list[Delivery] = []
        self.sent: list[tuple[Delivery, int]] = []

    def add(
        self, project: int, url: str, token: str | None = None, signing_key: str | None = None, **more: Any
    ) -> Hook:
        hook = Hook(len(self._hooks) + 1, project, url, token, signing_key, **more)
        self._hooks.append(hook)
        return hook

    def of(self, project: int) -> list[Hook]:
        return [hook for hook in self._hooks if hook.project == project]

    def deliver(
        self, *, times: int = 1, order: str = "as sent", lose: Iterable[int] = (), seed: int = 0, timeout: float = 10
    ) -> list[int]:
        """Send what waits and return the statuses: `times` each, `as sent`, `reversed` or `shuffled`, without those lost.

        A connection that fails counts as status 0.
        """
        lost = set(lose)
        chosen = [found for number, found in enumerate(self.waiting) if number not in lost for _ in range(times)]
        self.waiting = []
        if order == "reversed":
            chosen.reverse()
        elif order == "shuffled":
            random.Random(seed).shuffle(chosen)
        return [self.send(delivery, timeout) for delivery in chosen]

    def send(self, delivery: Delivery, timeout: float = 10, headers: dict[str, str] | None = None) -> int:
        """Send one delivery now, with headers of its own if a test forges some."""
        try:
            found = requests.post(
                delivery.hook.url,
                data=delivery.body,
                headers=delivery.headers(self._fake.now()) | (headers or {}),
                timeout=timeout,
            ).status_code
        except requests.RequestException:
            found = 0
        delivery.hook.heard(200 <= found < 300, self._fake.now())
        self.sent.append((delivery, found))
        return found

    def _happened(self, project: int, event: str, payload: dict[str, Any]) -> None:
        for hook in self.of(project):
            if not hook.is_on(self._fake.now()) or (event.startswith("Confidential") and not hook.confidential):
                continue
            id = str(uuid.UUID(int=random.Random(f"{hook.id}-{len(self.waiting)}-{len(self.sent)}").getrandbits(128)))
            self.waiting.append(Delivery(hook, event, id, json.dumps(payload).encode(), self._fake.url))

    def issue(self, user: User, old: Issue | None, new: Issue, action: str) -> None:
        """An issue was opened, edited, closed or reopened."""
        changes: dict[str, Any] = {
            "updated_at": {"previous": old and old_stamp(old.updated_at), "current": old_stamp(new.updated_at)}
        }
        states = {"opened": 1, "closed": 2}
        if old is not None and old.state != new.state:
            changes["state_id"] = {"previous": states[old.state], "current": states[new.state]}
        for name in ("title", "description", "confidential"):
            before = getattr(old, name, None)
            if before != getattr(new, name):
                changes[name] = {"previous": before, "current": getattr(new, name)}
        if old is not None and old.labels != new.labels:
            changes["labels"] = {"previous": self._labels(old), "current": self._labels(new)}
        kind = "confidential_issue" if new.confidential else "issue"
        payload = self._common("issue", kind, user, new.project) | {
            "object_attributes": self._issue(new) | {"action": action},
            "assignees": [self._user(self._fake.state.users[id]) for id in new.assignees],
            "labels": self._labels(new),
            "changes": changes,
        }
        self._happened(new.project, "Confidential Issue Hook" if new.confidential else "Issue Hook", payload)

    def note(self, user: User, issue: Issue, note: Note, action: str) -> None:
        """Somebody wrote a note on an issue, or changed one."""
        hidden = issue.confidential or note.internal
        payload = self._common("note", "confidential_note" if hidden else "note", user, issue.project) | {
            "project_id": issue.project,
            "object_attributes": {
                "id": note.id,
                "note": note.body,
                "description": note.body,
                "noteable_type": "Issue",
                "noteable_id": issue.id,
                "author_id": note.author,
                "created_at": old_stamp(note.created_at),
                "updated_at": old_stamp(note.updated_at),
                "project_id": issue.project,
                "system": note.system,
                "internal": note.internal,
                "action": action,
                "url": f"{self._issue(issue)['url']}#note_{note.id}",
            },
            "issue": self._issue(issue),
        }
        self._happened(issue.project, "Confidential Note Hook" if hidden else "Note Hook", payload)

    def merge_request(self, user: User, found: MergeRequest, action: str) -> None:
        """A merge request was opened or merged."""
        project = self._fake.state.projects[found.project]
        payload = self._common("merge_request", "merge_request", user, found.project) | {
            "object_attributes": {
                "id": found.id,
                "iid": found.iid,
                "title": found.title,
                "description": found.description,
                "state": found.state,
                "action": action,
                "author_id": found.author,
                "source_branch": found.source_branch,
                "target_branch": found.target_branch,
                "source_project_id": found.project,
                "target_project_id": found.project,
                "merge_commit_sha": found.merge_commit,
                "created_at": old_stamp(found.created_at),
                "updated_at": old_stamp(found.updated_at),
                "last_commit": {"id": found.sha},
                "url": f"{self._fake.url}/{project.path}/-/merge_requests/{found.iid}",
            },
        }
        self._happened(found.project, "Merge Request Hook", payload)

    def deployment(self, user: User, found: Deployment) -> None:
        """A deployment changed its status; the payload has only the short sha, as GitLab's has."""
        project = self._fake.state.projects[found.project]
        payload = self._common("deployment", None, user, found.project) | {
            "status": found.status,
            "status_changed_at": found.updated_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S +0000"),
            "deployment_id": found.id,
            "deployable_id": None,
            "deployable_url": None,
            "environment": found.environment,
            "short_sha": found.sha[:8],
            "commit_url": f"{self._fake.url}/{project.path}/-/commit/{found.sha}",
            "ref": found.ref,
        }
        self._happened(found.project, "Deployment Hook", payload)

    def _common(self, kind: str, event: str | None, user: User, project: int) -> dict[str, Any]:
        named = {"object_kind": kind} | ({"event_type": event} if event else {})
        return named | {
            "user": self._user(user) | {"id": user.id},
            "project": self._project(self._fake.state.projects[project]),
        }

    def _user(self, user: User) -> dict[str, Any]:
        return {"name": user.name, "username": user.username, "avatar_url": None, "email": "[REDACTED]"}

    def _project(self, project: Project) -> dict[str, Any]:
        address = f"{self._fake.url}/{project.path}"
        return {
            "id": project.id,
            "name": project.path.rpartition("/")[2],
            "web_url": address,
            "path_with_namespace": project.path,
            "namespace": project.path.rpartition("/")[0],
            "visibility_level": {"private": 0, "internal": 10, "public": 20}[project.visibility],
            "default_branch": project.default_branch,
            "git_http_url": f"{address}.git",
        }

    def _labels(self, issue: Issue) -> list[dict[str, Any]]:
        known = self._fake.state.projects[issue.project].labels
        found = [known[name] for name in issue.labels if name in known]
        return [
            {"id": x.id, "title": x.name, "color": x.color, "project_id": issue.project, "type": "ProjectLabel"}
            for x in found
        ]

    def _issue(self, issue: Issue) -> dict[str, Any]:
        project = self._fake.state.projects[issue.project]
        return {
            "id": issue.id,
            "iid": issue.iid,
            "title": issue.title,
            "description": issue.description,
            "state": issue.state,
            "state_id": {"opened": 1, "closed": 2}[issue.state],
            "author_id": issue.author,
            "assignee_ids": list(issue.assignees),
            "assignee_id": issue.assignees[0] if issue.assignees else None,
            "project_id": issue.project,
            "confidential": issue.confidential,
            "discussion_locked": issue.locked or None,
            "moved_to_id": issue.moved_to,
            "due_date": issue.due_date,
            "created_at": old_stamp(issue.created_at),
            "updated_at": old_stamp(issue.updated_at),
            "severity": issue.severity.lower(),
            "type": issue.issue_type.title(),
            "labels": self._labels(issue),
            "url": f"{self._fake.url}/{project.path}/-/{self._fake.web_urls}/{issue.iid}",
        }
