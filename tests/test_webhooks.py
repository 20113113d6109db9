"""Deliveries of GitLab: which are genuine, and what each says has changed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from triage import webhooks
from triage.errors import InputError
from triage.mirrors import HeardKind
from triage.webhooks import Secrets, delivery_key, heard, is_genuine, may_be_genuine, origin, parse

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
GITLAB = "https://gitlab.example.com"
BODY = '{"object_kind": "issue", "word": "Grüße"}'.encode()
TOKEN, SIGNING = "made-up-token", "made-up-key"
SAMPLES = Path(__file__).parent.parent.parent / "shared" / "gitlab" / "webhooks"
# What each of the samples says has changed: project, kind, number. The others concern no problem.
SAID: dict[str, tuple[int, HeardKind, int]] = {
    "client-go.issue": (1, HeardKind.ISSUE, 23),
    "client-go.note_issue": (5, HeardKind.NOTE, 17),
    "client-go.deployment": (30, HeardKind.DEPLOY, 15),
    "gitlab4j.deployment-event": (30, HeardKind.DEPLOY, 15),
    "gitlab4j.issue-event": (14, HeardKind.ISSUE, 23),
    "gitlab4j.note-issue-event": (5, HeardKind.NOTE, 17),
    "go-playground.confidential-comment-event": (5, HeardKind.NOTE, 17),
    "go-playground.confidential-issue-event": (14, HeardKind.ISSUE, 23),
}


def signed(body: bytes = BODY, key: bytes = SIGNING.encode(), at: datetime = NOW, id: str = "evt-1") -> dict[str, str]:
    """Return the headers of a delivery that was signed with `key`, by the words of the Standard Webhooks."""
    stamp = str(int(at.timestamp()))
    digest = hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": signature}


def test_a_delivery_with_the_secret_token_is_genuine() -> None:
    assert is_genuine({"x-gitlab-token": TOKEN}, BODY, Secrets(TOKEN), NOW)


@pytest.mark.parametrize("given", ["", "made-up-tokem", "made-up-token ", "MADE-UP-TOKEN", "töken\udcff"])
def test_another_token_is_not(given: str) -> None:
    assert not is_genuine({"x-gitlab-token": given}, BODY, Secrets(TOKEN), NOW)


def test_nothing_is_genuine_where_no_secret_is_set() -> None:
    assert not is_genuine({"x-gitlab-token": ""}, BODY, Secrets(), NOW)


def test_a_signature_by_the_published_example_of_standard_webhooks_is_genuine() -> None:
    # The test vector of the reference libraries: standard-webhooks/standard-webhooks, `msg_p5jXN8AQM9LWM0D4loKWxJek`.
    key, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert is_genuine(headers, body, Secrets(signing=key), datetime.fromtimestamp(1614265330, UTC))


@pytest.mark.parametrize("key", [b"made-up-key-of-24-letters", b"\x00\x01\xfe\xff-of-sixteen-bytes"])
def test_the_key_may_be_the_token_as_it_is_written_or_what_its_base64_stands_for(key: bytes) -> None:
    written = "whsec_" + base64.b64encode(key).decode()
    assert is_genuine(signed(key=key), BODY, Secrets(signing=written), NOW)
    assert is_genuine(signed(key=written.encode()), BODY, Secrets(signing=written), NOW)


@pytest.mark.parametrize("signing", ["whsec_", "whsec_AA==", "whsec_!"])
def test_what_is_left_of_a_token_that_was_cut_off_is_no_key(signing: str) -> None:
    for key in (b"", b"\0"):
        assert not is_genuine(signed(key=key), BODY, Secrets(signing=signing), NOW)
    assert is_genuine(signed(key=signing.encode()), BODY, Secrets(signing=signing), NOW)


def test_one_right_signature_among_several_is_enough() -> None:
    headers = signed()
    headers["webhook-signature"] = f"v1a,AAAA v1,{'A' * 43}= {headers['webhook-signature']}"
    assert is_genuine(headers, BODY, Secrets(signing=SIGNING), NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "evt-2"},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-signature": "v1,"},
        {"webhook-signature": f"v1,{'A' * 43}="},
        {"webhook-signature": "v1,\udcff"},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": ""},
        {"webhook-id": ""},
    ],
)
def test_a_signature_over_anything_else_is_not_genuine(change: dict[str, str]) -> None:
    assert not is_genuine(signed() | change, BODY, Secrets(signing=SIGNING), NOW)


def test_the_parts_that_are_signed_cannot_be_parted_elsewhere() -> None:
    """What somebody wrote into an issue may look like the time of a later delivery and its body."""
    early = NOW - timedelta(days=30)
    stamp, later = int(early.timestamp()), int(NOW.timestamp())
    body = f"x.{later}.{{}}".encode()
    caught = signed(body, at=early)
    forged = caught | {"webhook-id": f"evt-1.{stamp}.x", "webhook-timestamp": str(later)}
    assert not is_genuine(forged, b"{}", Secrets(signing=SIGNING), NOW)


def test_a_signature_is_over_the_raw_bytes() -> None:
    same = json.dumps(json.loads(BODY)).encode()
    assert same != BODY
    assert not is_genuine(signed(), same, Secrets(signing=SIGNING), NOW)
    assert not is_genuine(signed(), BODY + b" ", Secrets(signing=SIGNING), NOW)


def test_a_signing_token_that_is_set_is_demanded_and_so_is_a_token_beside_it() -> None:
    both = Secrets(TOKEN, SIGNING)
    assert not is_genuine({"x-gitlab-token": TOKEN}, BODY, both, NOW)
    assert not is_genuine(signed(), BODY, both, NOW)
    assert is_genuine(signed() | {"x-gitlab-token": TOKEN}, BODY, both, NOW)


@pytest.mark.parametrize(("seconds", "is_taken"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_a_signed_delivery_is_taken_within_five_minutes(seconds: int, is_taken: bool) -> None:
    headers = signed(at=NOW + timedelta(seconds=seconds))
    assert is_genuine(headers, BODY, Secrets(signing=SIGNING), NOW) is is_taken
    assert may_be_genuine(headers, Secrets(signing=SIGNING), NOW) is is_taken


def test_a_repeated_delivery_has_the_same_key_and_another_has_another() -> None:
    assert delivery_key({"webhook-id": "a"}, BODY) == delivery_key({"webhook-id": "a"}, b"{}")
    assert delivery_key({"idempotency-key": "a"}, BODY) != delivery_key({"idempotency-key": "b"}, BODY)
    assert delivery_key({}, BODY) == delivery_key({}, BODY) != delivery_key({}, b"{}")


def test_a_signed_name_of_a_delivery_goes_before_one_that_is_not() -> None:
    one, another = ({"webhook-id": "a", "idempotency-key": name} for name in "xy")
    assert delivery_key(one, BODY) == delivery_key(another, BODY)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b"[1]", b"null"]
)
def test_a_body_that_is_no_object_of_json_is_said_in_one_sentence(body: bytes) -> None:
    with pytest.raises(InputError, match=r"^The body of this delivery is not .*\.$"):
        parse(body)


@pytest.mark.skipif(
    not SAMPLES.is_dir(), reason=f"{SAMPLES} is absent: the samples of GitLab's payloads are not checked"
)
def test_every_sample_of_a_payload_is_read_or_passed_over() -> None:
    found = {}
    for file in sorted(SAMPLES.glob("*.json")):
        told = heard(parse(file.read_bytes()), GITLAB, "key", NOW)
        if told:
            found[file.stem] = (told.project, told.kind, told.number)
            assert (told.gitlab, told.at, told.keys, told.is_waiting) == (GITLAB, NOW, ("key",), True)
    incident = found.pop("zulip.issue_hook__incident_closed.2026-05")
    assert incident == (80222147, HeardKind.ISSUE, 6)
    old = found.pop("zulip.confidential_issue_hook__issue_closed.2018")
    assert old[1] is HeardKind.ISSUE
    assert found == SAID


def _issue(**changes: Any) -> dict[str, Any]:
    whole = {"object_kind": "issue", "project": {"id": 7}, "object_attributes": {"iid": 41}, "user": {"id": 9}}
    return whole | changes


def test_who_did_it_is_kept_where_it_is_said() -> None:
    told = heard(_issue(), GITLAB, "key", NOW)
    assert told is not None
    assert told.by == 9
    nobody = heard(_issue(user=None), GITLAB, "key", NOW)
    assert nobody is not None
    assert nobody.by == 0


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"object_kind": None},
        {"object_kind": ["issue"]},
        {"object_kind": "issue"},
        _issue(project=None),
        _issue(project={"id": "7"}),
        _issue(project={"id": True}),
        _issue(project={"id": -7}),
        _issue(project={"id": 2**63}),
        _issue(object_attributes=None),
        _issue(object_attributes=[41]),
        _issue(object_attributes={"iid": 4.5}),
        _issue(object_kind="work_item", project=None),
        {"object_kind": "note", "project": {"id": 7}, "merge_request": {"iid": 3}},
        {"object_kind": "note", "project": {"id": 7}, "issue": {"iid": 3}, "object_attributes": {"system": True}},
        {"object_kind": "merge_request", "project": {"id": 7}, "object_attributes": {"iid": 3, "state": "opened"}},
        {"object_kind": "deployment", "project": {"id": 7}, "deployment_id": 3, "status": "running"},
        {"object_kind": "push", "project": {"id": 7}},
    ],
)
def test_what_names_nothing_or_concerns_no_problem_is_passed_over(payload: dict[str, Any]) -> None:
    assert heard(payload, GITLAB, "key", NOW) is None


def test_a_merged_merge_request_and_a_work_item_of_a_project_are_heard() -> None:
    merged = heard(
        _issue(object_kind="merge_request", object_attributes={"iid": 3, "state": "merged"}), GITLAB, "key", NOW
    )
    assert merged is not None
    assert (merged.kind, merged.number) == (HeardKind.MERGE, 3)
    task = heard(_issue(object_kind="work_item", project=None, project_id=7), GITLAB, "key", NOW)
    assert task is not None
    assert (task.project, task.kind, task.number) == (7, HeardKind.ISSUE, 41)


def test_where_a_delivery_comes_from_is_said_by_its_header_else_by_its_project() -> None:
    payload = {"project": {"web_url": "https://b.example/x/y"}}
    assert origin({"x-gitlab-instance": "https://a.example"}, payload) == "https://a.example"
    assert origin({}, payload) == "https://b.example/x/y"
    assert origin({}, {"project": None}) == ""


def test_secrets_do_not_show() -> None:
    assert "made-up" not in repr(Secrets(TOKEN, SIGNING))


def test_the_limit_holds_an_edit_of_the_longest_description() -> None:
    # GitLab: 1 MiB of a description; before and after the edit and as it is now, in JSON that escapes line breaks.
    assert 3 * len(json.dumps("line of text\n" * (2**20 // 13))) < webhooks.LARGEST
