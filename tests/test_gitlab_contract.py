"""The hand-written contract against GitLab's own documents, and against what a real GitLab answered.

Requests: what the contract allows, GitLab's OpenAPI document allows. Answers: every recorded real one is accepted, and what
the double answers is accepted by GitLab's own JSON schemas. The documents lie beside the repository; skipped where they do not.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from tests.gitlab_contract import ENDPOINTS, QUERY, Contract, matched
from tests.gitlab_double import FakeGitLab
from tests.gitlab_history import dag_repository
from tests.gitlab_threads import BESIDE

SHARED = Path(__file__).parent.parent.parent / "shared" / "gitlab"
here = pytest.mark.skipif(not SHARED.is_dir(), reason="GitLab's documents are not beside the repository")
# In GitLab, but in no document that we have: read in python-gitlab's source and its tests instead.
UNDOCUMENTED = {
    ("GET", "/users/{user}"),
    ("GET", "/personal_access_tokens/self"),
    ("GET", "/projects/{id}/members/all"),
    ("GET", "/projects/{id}/members/all/{user}"),
    ("GET", "/projects/{id}/issues/{iid}/resource_label_events"),
    ("GET", "/projects/{id}/issues/{iid}/resource_label_events/{event}"),
    ("PUT", "/projects/{id}/labels"),
    ("GET", "/projects/{id}/labels/{label}"),
    ("PUT", "/projects/{id}/labels/{label}"),
    ("DELETE", "/projects/{id}/labels/{label}"),
    ("POST", "/projects/{id}/labels/{label}/subscribe"),
    ("POST", "/projects/{id}/labels/{label}/unsubscribe"),
}
SAMPLES = {
    "text": ["x"],
    "int": [7],
    "bool": [True],
    "time": ["2026-11-22T08:00:00Z"],
    "page": [1],
    "per_page": [100],
}


def unnamed(template: str) -> str:
    return re.sub(r"\{[^}]+\}", "{}", template)


def documented() -> dict[tuple[str, str], Any]:
    document = json.loads((SHARED / "openapi" / "gitlab-subset.openapi.json").read_text("utf-8"))
    return {
        (method.upper(), unnamed(path.removeprefix("/api/v4"))): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in ("get", "post", "put", "delete")
    }


def samples(schema: Any) -> list[Any]:
    """Return values that a schema of ours allows, one for each way it offers."""
    if "anyOf" in schema:
        return [value for each in schema["anyOf"] for value in samples(each)]
    if "enum" in schema:
        return list(schema["enum"])
    if "const" in schema:
        return [schema["const"]]
    if schema["type"] == "array":
        return [[value] for value in samples(schema["items"])]
    pattern = schema.get("pattern", "")
    if r"T\d" in pattern:
        return SAMPLES["time"]
    return {"string": ["2026-11-22"], "integer": [7], "boolean": [True]}[schema["type"]]


@here
@pytest.mark.parametrize(("method", "template"), [key for key in ENDPOINTS if key not in UNDOCUMENTED | BESIDE.keys()])
def test_what_the_contract_allows_is_in_gitlabs_document(method: str, template: str) -> None:
    endpoint, operation = ENDPOINTS[method, template], documented()[method, unnamed(template)]
    known = {p["name"]: p["schema"] for p in operation.get("parameters", []) if p["in"] == "query"}
    for name, kind in endpoint.query.items():
        for value in SAMPLES.get(kind, kind.split("|") if kind not in QUERY else []):
            wanted = SAMPLES.get(value, [value])[0] if isinstance(value, str) else value
            validator = Draft202012Validator(known[name])
            wrapped = [wanted] if known[name].get("type") == "array" else wanted
            assert validator.is_valid(wrapped), (name, wanted, known[name])
    if endpoint.body is None:
        return
    document = operation["requestBody"]["content"]["application/json"]["schema"]
    assert set(document.get("required", [])) <= set(endpoint.body["required"])
    for name, schema in endpoint.body["properties"].items():
        for value in samples(schema):
            assert Draft202012Validator(document["properties"][name]).is_valid(value), (name, value)


@here
def test_what_no_document_has_is_not_in_it() -> None:
    known = documented()
    assert [key for key in UNDOCUMENTED | BESIDE.keys() if (key[0], unnamed(key[1])) in known] == []
    assert set(ENDPOINTS) >= UNDOCUMENTED


@here
def test_every_recorded_answer_of_a_real_gitlab_is_accepted() -> None:
    contract, judged = Contract(), Counter[str]()
    for line in (SHARED / "recorded" / "gitlab-com-rest.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        found = matched(row["method"], urlsplit(row["url"]).path.removeprefix("/api/v4"))
        if found is None:
            judged["of no endpoint that is called"] += 1
            continue
        wrong = contract.answer(row["method"], found[0], row["status"], row["body"])
        assert wrong == [], (row["url"], wrong)
        judged["refusal" if row["status"] >= 400 else "answer"] += 1
    assert judged == {"answer": 86, "refusal": 6, "of no endpoint that is called": 47}


# What the contract is stricter about than a client that sent what GitLab ignores, or that we never send.
NEVER_SENT = {"labels[]", "assignee_username", "with_labels_details", "with_merge_status_recheck"}


@here
def test_recorded_requests_use_only_what_the_contract_knows_or_never_sends() -> None:
    contract, judged = Contract(), 0
    for line in (SHARED / "recorded" / "gitlab-com-rest.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        split = urlsplit(row["url"])
        found = matched(row["method"], split.path.removeprefix("/api/v4"))
        if found is None or row["method"] != "GET":
            continue
        query = dict(parse_qsl(split.query))  # some recorded links repeat a parameter
        kept = [(k, v) for k, v in query.items() if k not in NEVER_SENT | {"id", "noteable_id", "issue_iid"}]
        assert contract.request("GET", found[0], kept, None) == [], row["url"]
        judged += 1
    assert judged >= 60


def schema_of(name: str) -> Draft7Validator:
    """Return a JSON schema of GitLab's own test suite, with its references; `job.json` was never fetched."""
    folder = SHARED / "schemas" / "public_api" / "v4"

    def fetched(address: str) -> Resource[Any]:
        tail = address.rpartition("v4/")[2]
        found = next((path for path in folder.rglob("*.json") if str(path.relative_to(folder)) == tail), None)
        content = json.loads(found.read_text("utf-8")) if found else {"type": "object"}
        return Resource.from_contents(content, default_specification=DRAFT7)

    registry = Registry(retrieve=fetched)  # type: ignore[call-arg]
    content = json.loads((folder / name).read_text("utf-8")) | {"$id": f"http://gitlab/v4/{name}"}
    return Draft7Validator(content, registry=registry)


@here
@pytest.mark.parametrize(
    ("name", "path", "many"),
    [
        ("issue.json", "issues", True),
        ("issue.json", "issues/1", False),
        ("notes.json", "issues/1/notes", False),
        ("labels/project_label.json", "labels", True),
        ("commit/basic.json", "repository/commits", True),
        ("commit/basic.json", "repository/commits/main", False),
        ("deployment.json", "deployments", True),
        ("user/basic.json", "members/all", True),
    ],
)
def test_what_the_double_answers_is_what_gitlabs_own_schema_says(
    gitlab: FakeGitLab, tmp_path: Path, name: str, path: str, many: bool
) -> None:
    project = next(iter(gitlab.state.projects.values()))
    project.repository = dag_repository(tmp_path / "dags", datetime(2026, 11, 1, tzinfo=UTC)).path
    gitlab.deployment(project, "bot", "production", "a" * 40)
    anna = gitlab.user("anna").id
    body = {"title": "t", "description": "d", "labels": "airflow", "assignee_ids": [anna], "due_date": "2026-12-01"}
    gitlab.do("bot", "POST", f"/projects/{project.id}/issues", body)
    gitlab.do("anna", "POST", f"/projects/{project.id}/issues/1/notes", {"body": "said"})
    gitlab.do("anna", "PUT", f"/projects/{project.id}/issues/1", {"state_event": "close", "title": "u"})
    answer = gitlab.do("bot", "GET", f"/projects/{project.id}/{path}")
    validator = schema_of(name)
    for each in answer if many else [answer]:
        assert [error.message for error in validator.iter_errors(each)] == []
    assert answer


@here
def test_gitlabs_schema_would_catch_a_wrong_answer() -> None:
    assert list(schema_of("issue.json").iter_errors({"iid": "1"}))


def test_the_contract_accepts_the_link_that_repeats_the_paths_parameters(gitlab: FakeGitLab) -> None:
    for _ in range(3):
        gitlab.do("bot", "POST", "/projects/data%2Fdags/issues", {"title": "t"})
    headers = {"PRIVATE-TOKEN": gitlab.token("bot")}
    first = requests.get(f"{gitlab.url}/api/v4/projects/data%2Fdags/issues?per_page=2", headers=headers, timeout=5)
    assert "id=data%2Fdags" in first.links["next"]["url"]
    assert len(requests.get(first.links["next"]["url"], headers=headers, timeout=5).json()) == 1
