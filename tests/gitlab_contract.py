"""The contract of the GitLab endpoints that airtriage calls, written by hand: which parameters, which body, which answer.

Stricter than GitLab on purpose: Grape ignores a parameter it does not know, and here that is a violation, so that a
misspelt `labels` can never pass for a filter. `tests/test_gitlab_contract.py` holds it against GitLab's own documents and recorded answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator

from tests.gitlab_shapes import (
    AWARD,
    BOOL,
    COMMANDS,
    COMMIT,
    DAY,
    DEPLOYMENT,
    DIFF,
    EMPTY,
    ERROR,
    FILE,
    HOOK,
    INT,
    ISSUE,
    LABEL,
    LABEL_EVENT,
    MEMBER,
    MERGE_REQUEST,
    NOTE,
    PROJECT,
    SHA,
    STATE_EVENT,
    TEXT,
    TIME,
    TOKEN,
    USER,
    WORDS,
    either,
    has,
    many,
    maybe,
    takes,
)

Json = Any
# How the values of a query may look: they are text, whatever they mean.
QUERY = {
    "text": r"[\s\S]+",
    "int": r"-?\d+",
    "bool": r"true|false|True|False|0|1",
    "time": r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?)?",
    "page": r"[1-9]\d*",
    "per_page": r"[1-9]\d?|100",
}
PAGED = {"page": "page", "per_page": "per_page", "pagination": "keyset|legacy", "cursor": "text"}
SORT = "asc|desc"


_WRITTEN = {
    "description": {"type": "string"},
    "labels": WORDS,
    "assignee_ids": many(INT),
    "confidential": BOOL,
    "due_date": either(DAY, {"const": ""}),
    "issue_type": {"enum": ["issue", "incident", "task"]},
    "weight": INT,
    "milestone_id": INT,
}
_ISSUES = PAGED | {
    "labels": "text",
    "state": "opened|closed|all",
    "author_id": "int",
    "author_username": "text",
    "assignee_id": "int",
    "milestone": "text",
    "search": "text",
    "in": "title|description|title,description|description,title",
    "iids[]": "int",
    "created_after": "time",
    "created_before": "time",
    "updated_after": "time",
    "updated_before": "time",
    "confidential": "bool",
    "scope": "all|created_by_me|assigned_to_me",
    "order_by": "created_at|updated_at|title|due_date|relative_position",
    "sort": SORT,
    "with_labels_details": "bool",
}


@dataclass(frozen=True)
class Endpoint:
    """One method of one path: the query it takes (name -> kind of value), its body, and its answer by status."""

    answers: dict[int, Json]
    query: dict[str, str] = field(default_factory=dict)
    body: Json = None
    needs: tuple[str, ...] = ()


P = "/projects/{id}"
N_ = f"{P}/issues/{{iid}}/notes"
R = f"{P}/repository"
ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "/version"): Endpoint({200: has(version=TEXT, revision=TEXT)}),
    ("GET", "/user"): Endpoint({200: USER}),
    ("GET", "/users"): Endpoint({200: many(USER)}, PAGED | {"username": "text", "search": "text", "active": "bool"}),
    ("GET", "/users/{user}"): Endpoint({200: USER}),
    ("GET", "/personal_access_tokens/self"): Endpoint({200: TOKEN}),
    ("GET", P): Endpoint({200: PROJECT}),
    ("GET", f"{P}/members/all"): Endpoint({200: many(MEMBER)}, PAGED | {"query": "text"}),
    ("GET", f"{P}/members/all/{{user}}"): Endpoint({200: MEMBER}),
    ("GET", f"{P}/issues"): Endpoint({200: many(ISSUE)}, _ISSUES),
    ("GET", "/issues"): Endpoint({200: many(ISSUE)}, _ISSUES),
    ("POST", f"{P}/issues"): Endpoint({201: ISSUE}, body=takes({"title": TEXT}, iid=INT, created_at=TIME, **_WRITTEN)),
    ("GET", f"{P}/issues/{{iid}}"): Endpoint({200: ISSUE}),
    ("PUT", f"{P}/issues/{{iid}}"): Endpoint(
        {200: ISSUE},
        body=takes(
            title=TEXT,
            add_labels=WORDS,
            remove_labels=WORDS,
            state_event={"enum": ["close", "reopen"]},
            discussion_locked=BOOL,
            **_WRITTEN,
        ),
    ),
    ("DELETE", f"{P}/issues/{{iid}}"): Endpoint({204: EMPTY}),
    ("POST", f"{P}/issues/{{iid}}/move"): Endpoint({201: ISSUE}, body=takes({"to_project_id": INT})),
    ("GET", f"{P}/issues/{{iid}}/participants"): Endpoint({200: many(USER)}, PAGED),
    ("GET", f"{P}/issues/{{iid}}/closed_by"): Endpoint({200: many(MERGE_REQUEST)}, PAGED),
    ("GET", f"{P}/issues/{{iid}}/related_merge_requests"): Endpoint({200: many(MERGE_REQUEST)}, PAGED),
    ("GET", f"{P}/issues/{{iid}}/resource_state_events"): Endpoint({200: many(STATE_EVENT)}, PAGED),
    ("GET", f"{P}/issues/{{iid}}/resource_label_events"): Endpoint({200: many(LABEL_EVENT)}, PAGED),
    ("GET", f"{P}/issues/{{iid}}/resource_label_events/{{event}}"): Endpoint({200: LABEL_EVENT}),
    ("GET", f"{P}/issues/{{iid}}/links"): Endpoint({200: many(ISSUE)}, PAGED),
    ("POST", f"{P}/issues/{{iid}}/links"): Endpoint(
        {201: has(source_issue=ISSUE, target_issue=ISSUE, link_type=TEXT)},
        body=takes(
            {"target_project_id": either(INT, TEXT), "target_issue_iid": either(INT, TEXT)},
            link_type={"enum": ["relates_to", "blocks", "is_blocked_by"]},
        ),
    ),
    ("DELETE", f"{P}/issues/{{iid}}/links/{{link}}"): Endpoint(
        {200: has(source_issue=ISSUE, target_issue=ISSUE, link_type=TEXT)}
    ),
    ("GET", N_): Endpoint(
        {200: many(NOTE)},
        PAGED
        | {
            "order_by": "created_at|updated_at",
            "sort": SORT,
            "activity_filter": "all_notes|only_comments|only_activity",
        },
    ),
    ("POST", N_): Endpoint({201: NOTE, 202: COMMANDS}, body=takes({"body": TEXT}, internal=BOOL, created_at=TIME)),
    ("GET", f"{N_}/{{note}}"): Endpoint({200: NOTE}),
    ("PUT", f"{N_}/{{note}}"): Endpoint({200: NOTE}, body=takes({"body": TEXT})),
    ("DELETE", f"{N_}/{{note}}"): Endpoint({204: EMPTY}),
    ("GET", f"{N_}/{{note}}/award_emoji"): Endpoint({200: many(AWARD)}, PAGED),
    ("POST", f"{N_}/{{note}}/award_emoji"): Endpoint({201: AWARD}, body=takes({"name": TEXT})),
    ("DELETE", f"{N_}/{{note}}/award_emoji/{{award}}"): Endpoint({204: EMPTY}),
    ("GET", f"{P}/labels"): Endpoint({200: many(LABEL)}, PAGED | {"search": "text", "with_counts": "bool"}),
    ("POST", f"{P}/labels"): Endpoint({201: LABEL}, body=takes({"name": TEXT, "color": TEXT}, description=TEXT)),
    # The older way, by a name in the body: how python-gitlab still renames a label.
    ("PUT", f"{P}/labels"): Endpoint(
        {200: LABEL}, body=takes({"name": TEXT}, new_name=TEXT, color=TEXT, description=TEXT)
    ),
    ("GET", f"{P}/labels/{{label}}"): Endpoint({200: LABEL}),
    ("PUT", f"{P}/labels/{{label}}"): Endpoint({200: LABEL}, body=takes(new_name=TEXT, color=TEXT, description=TEXT)),
    ("DELETE", f"{P}/labels/{{label}}"): Endpoint({204: EMPTY}),
    ("POST", f"{P}/labels/{{label}}/subscribe"): Endpoint({201: LABEL}),
    ("POST", f"{P}/labels/{{label}}/unsubscribe"): Endpoint({201: LABEL}),
    ("GET", f"{P}/hooks"): Endpoint({200: many(HOOK)}, PAGED),
    ("GET", f"{P}/merge_requests"): Endpoint(
        {200: many(MERGE_REQUEST)},
        PAGED
        | {
            "state": "opened|closed|locked|merged|all",
            "scope": "all",
            "order_by": "created_at|updated_at|merged_at",
            "sort": SORT,
            "updated_after": "time",
            "source_branch": "text",
            "target_branch": "text",
            "iids[]": "int",
        },
    ),
    ("GET", f"{P}/merge_requests/{{merge_request}}"): Endpoint({200: MERGE_REQUEST}),
    ("GET", f"{P}/deployments"): Endpoint(
        {200: many(DEPLOYMENT)},
        PAGED
        | {
            "environment": "text",
            "status": "created|running|success|failed|canceled|blocked",
            "order_by": "id|iid|created_at|updated_at|finished_at",
            "sort": SORT,
            "updated_after": "time",
            "finished_after": "time",
            "finished_before": "time",
        },
    ),
    ("GET", f"{P}/deployments/{{deployment}}"): Endpoint({200: DEPLOYMENT}),
    ("GET", f"{P}/environments"): Endpoint(
        {200: many(has(id=INT, name=TEXT, slug=TEXT, state=TEXT))}, PAGED | {"name": "text"}
    ),
    ("GET", f"{R}/commits"): Endpoint(
        {200: many(COMMIT)},
        PAGED
        | {
            "path": "text",
            "since": "time",
            "until": "time",
            "ref_name": "text",
            "with_stats": "bool",
            "first_parent": "bool",
        },
    ),
    ("GET", f"{R}/commits/{{sha}}"): Endpoint({200: COMMIT}, {"stats": "bool"}),
    ("GET", f"{R}/commits/{{sha}}/diff"): Endpoint({200: many(DIFF)}, PAGED),
    ("GET", f"{R}/commits/{{sha}}/merge_requests"): Endpoint({200: many(MERGE_REQUEST)}, PAGED | {"state": "text"}),
    ("GET", f"{R}/compare"): Endpoint(
        {
            200: has(
                commits=many(COMMIT),
                diffs=many(DIFF),
                commit=maybe(COMMIT),
                compare_same_ref=BOOL,
                compare_timeout=BOOL,
            )
        },
        {"from": "text", "to": "text", "straight": "bool"},
        needs=("from", "to"),
    ),
    ("GET", f"{R}/merge_base"): Endpoint({200: COMMIT}, {"refs[]": "text"}, needs=("refs[]",)),
    ("GET", f"{R}/tree"): Endpoint(
        {200: many(has(id=SHA, name=TEXT, path=TEXT, mode=TEXT, type={"enum": ["tree", "blob", "commit"]}))},
        PAGED | {"path": "text", "ref": "text", "recursive": "bool"},
    ),
    ("GET", f"{R}/files/{{path}}"): Endpoint({200: FILE}, {"ref": "text"}, needs=("ref",)),
    ("GET", f"{R}/files/{{path}}/raw"): Endpoint({200: {"type": "string"}}, {"ref": "text", "lfs": "bool"}),
    ("GET", f"{R}/files/{{path}}/blame"): Endpoint(
        {200: many(has(commit=has(id=SHA, message=TEXT, author_name=TEXT, committed_date=TIME), lines=many(TEXT)))},
        {"ref": "text", "range[start]": "int", "range[end]": "int"},
        needs=("ref",),
    ),
}


def matched(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """Return the template of a raw path below /api/v4, and its parameters unquoted; None where the contract has none."""
    parts = path.split("/")
    found = None
    for verb, template in ENDPOINTS:
        if verb != method:
            continue
        names = template.split("/")
        if len(names) == len(parts) and all(
            name == part or name[:1] == "{" for name, part in zip(names, parts, strict=True)
        ):
            values = {name[1:-1]: unquote(part) for name, part in zip(names, parts, strict=True) if name[:1] == "{"}
            if found is None or len(values) < len(found[1]):
                found = template, values
    return found


class Contract:
    """The endpoints above, compiled. Every method returns what is wrong, in words; nothing is raised."""

    def __init__(self) -> None:
        self._schemas: dict[int, Draft202012Validator] = {}

    def request(self, method: str, template: str, query: list[tuple[str, str]], body: Json) -> list[str]:
        """Check a request: unknown or malformed parameters, one given twice, one missing, an unknown body field."""
        endpoint = ENDPOINTS[method, template]
        wrong = [f"query {name} is missing" for name in endpoint.needs if name not in dict(query)]
        seen = set()
        for name, value in query:
            kind = endpoint.query.get(name)
            if kind is None:
                wrong.append(f"query {name} is unknown here")
            elif not re.fullmatch(re.sub(r"[a-z_]+", lambda part: QUERY.get(part[0], part[0]), kind), value):
                wrong.append(f"query {name}={value!r} is no {kind}")
            if name in seen and not name.endswith("[]"):
                wrong.append(f"query {name} is given twice")
            seen.add(name)
        if endpoint.body is None:
            return wrong + ([f"body {body!r} where none is taken"] if body else [])
        return wrong + (["body is missing"] if body is None else self._of(endpoint.body, body))

    def answer(self, method: str, template: str, status: int, body: Json) -> list[str]:
        """Check an answer: a status that this endpoint never gives, or a body that is not shaped for it."""
        endpoint = ENDPOINTS[method, template]
        if status >= 400:
            return self._of(ERROR, body)
        if status == 301 and method == "GET":  # a project that was renamed
            return self._of(ERROR, body)
        if status not in endpoint.answers:
            return [f"status {status} is none of {sorted(endpoint.answers)}"]
        schema = endpoint.answers[status]
        if schema is EMPTY:
            return [] if body in (None, "") else [f"{status} with a body"]
        return self._of(schema, body)

    def _of(self, schema: Json, value: Json) -> list[str]:
        validator = self._schemas.get(id(schema))
        if validator is None:
            validator = self._schemas[id(schema)] = Draft202012Validator(schema)
        return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]
