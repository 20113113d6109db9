"""What GitLab sends to our webhook: whether it is genuine, and what it says has changed.

Pure. Owns both ways in which GitLab proves who it is: the secret token, and the signature of Standard Webhooks over the
raw bytes. Takes from a body no more than which thing it is about: the thing itself is asked of GitLab, as deliveries come
twice, late, in any order or not at all. Never says which part of a proof was wrong.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from triage.errors import InputError
from triage.mirrors import Heard, HeardKind

WINDOW = timedelta(minutes=5)  # how old or early a signed delivery may be: the tolerance of Standard Webhooks
LARGEST = 5 * 1024 * 1024  # bytes of a body: a description is at most 1 MiB, and an edit sends it twice
_SHORTEST = 16  # bytes of a key in base64; Standard Webhooks demands 24
_ISSUES = ("issue", "work_item")  # an incident came as `issue` in 2026, an epic or a task comes as `work_item`
_MOST = 2**63 - 1  # the largest number of a thing in GitLab's database

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a GitLab signs its deliveries with; both are demanded where both are set."""

    token: str = field(default="", repr=False)
    signing: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.token or self.signing)


def may_be_genuine(headers: Headers, secrets: Secrets, now: datetime) -> bool:
    """Judge by the headers alone, before any of the body is read; names of headers are in lower case."""
    if not secrets:
        return False
    is_known = not secrets.token or _same(headers.get("x-gitlab-token", ""), secrets.token)
    return is_known and (not secrets.signing or _is_of_now(headers, now))


def is_genuine(headers: Headers, body: bytes, secrets: Secrets, now: datetime) -> bool:
    """Say whether whoever knows `secrets` sent exactly these bytes, and with a signature within `WINDOW` of `now`."""
    if not may_be_genuine(headers, secrets, now):
        return False
    if not secrets.signing:
        return True
    signed = b".".join((_raw(headers["webhook-id"]), _raw(headers["webhook-timestamp"]), body))
    wanted = [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in _keys(secrets.signing)]
    given = [_raw(part[3:]) for part in headers["webhook-signature"].split() if part.startswith("v1,")]
    return any(hmac.compare_digest(one, another) for one in given for another in wanted)


def _is_of_now(headers: Headers, now: datetime) -> bool:
    sent = headers.get("webhook-timestamp", "")
    name = headers.get("webhook-id", "")
    # A dot in a name would let its end pass for the time, and the time for the body: what is signed is joined by dots.
    if not name or "." in name or not headers.get("webhook-signature") or not re.fullmatch("[0-9]{1,12}", sent):
        return False
    return abs(now.timestamp() - int(sent)) <= WINDOW.total_seconds()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(_raw(given), wanted.encode())


def _raw(header: str) -> bytes:
    return header.encode("latin-1", "replace")  # as it came: a server hands headers on as Latin-1


def _keys(signing: str) -> Iterator[bytes]:
    """Yield the keys that a signing token may stand for.

    Standard Webhooks writes `whsec_` and the key in base64; whether GitLab takes the token so or as it is written could
    not be tried on a real one, so either is accepted. Both are known to nobody but who knows the token.
    """
    yield signing.encode()
    if signing.startswith("whsec_"):
        try:
            key = base64.b64decode(signing.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            return
        if len(key) >= _SHORTEST:  # what is left of a token that was cut off is no secret
            yield key


def delivery_key(headers: Headers, body: bytes) -> str:
    """Return what tells one delivery from another, the same for each repetition of it: 32 hex digits."""
    name = headers.get("webhook-id") or headers.get("idempotency-key")
    return hashlib.sha256(_raw(name) if name else body).hexdigest()[:32]


def parse(body: bytes) -> dict[str, Any]:
    """Read the body of a delivery; InputError where it is no object of JSON."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise InputError("The body of this delivery is not JSON.") from exc
    if not isinstance(found, dict):
        raise InputError("The body of this delivery is not an object of JSON.")
    return found


def heard(payload: Mapping[str, Any], gitlab: str, key: str, now: datetime) -> Heard | None:
    """Return what a delivery of `gitlab` says has changed; None for what concerns no problem, or names nothing."""
    match payload.get("object_kind"):
        case kind if kind in _ISSUES:
            found = HeardKind.ISSUE, _number(_part(payload, "object_attributes"), "iid")
        case "note" if not _part(payload, "object_attributes").get("system"):
            # Of a commit, a merge request or a snippet there is no issue here.
            found = HeardKind.NOTE, _number(_part(payload, "issue") or _part(payload, "work_item"), "iid")
        case "merge_request" if _part(payload, "object_attributes").get("state") == "merged":
            found = HeardKind.MERGE, _number(_part(payload, "object_attributes"), "iid")
        case "deployment" if payload.get("status") == "success":
            found = HeardKind.DEPLOY, _number(payload, "deployment_id")
        case _:
            return None
    # Old payloads name the project only in the thing itself; a merge request's source may be another project.
    project = (
        _number(_part(payload, "project"), "id")
        or _number(payload, "project_id")
        or _number(_part(payload, "object_attributes"), "project_id")
    )
    if not project or not found[1]:
        return None  # a group's epic has no project
    return Heard(gitlab, project, *found, at=now, by=_number(_part(payload, "user"), "id"), keys=(key,))


def origin(headers: Headers, payload: Mapping[str, Any]) -> str:
    """Return the address of the GitLab that a delivery says it comes from; empty where it says none."""
    return headers.get("x-gitlab-instance") or str(_part(payload, "project").get("web_url") or "")


def _part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = values.get(name)
    return part if isinstance(part, dict) else {}


def _number(values: Mapping[str, Any], name: str) -> int:
    number = values.get(name)
    return number if type(number) is int and 0 < number <= _MOST else 0
