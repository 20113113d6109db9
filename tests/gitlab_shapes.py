"""The shapes of what GitLab answers, as JSON schemas written by hand: the keys that are read, and of which type.

An answer may hold more: GitLab adds keys with every version.
"""

from __future__ import annotations

from typing import Any

Json = Any
TEXT, INT, BOOL, NULL = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": "null"}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)$"}
DAY = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"}
SHA = {"type": "string", "pattern": "^[0-9a-f]{40}$"}
URL = {"type": "string", "pattern": "^https?://"}
WORDS = {"anyOf": [TEXT, {"type": "array", "items": {"type": "string", "pattern": "^[^,]+$"}}]}
ROLE = {"enum": [0, 5, 10, 15, 20, 30, 40, 50, 60]}


def either(*schemas: Json) -> Json:
    return {"anyOf": list(schemas)}


def maybe(schema: Json) -> Json:
    return either(schema, NULL)


def many(schema: Json) -> Json:
    return {"type": "array", "items": schema}


def has(optional: Json | None = None, /, **required: Json) -> Json:
    """Return the schema of an answer: these keys at least, of these types; GitLab adds keys with every version."""
    return {"type": "object", "required": sorted(required), "properties": required | (optional or {})}


def takes(required: Json | None = None, /, **optional: Json) -> Json:
    """Return the schema of a body: these keys and no other."""
    needed = required or {}
    return {
        "type": "object",
        "required": sorted(needed),
        "properties": needed | optional,
        "additionalProperties": False,
    }


USER = has(
    {"locked": BOOL, "public_email": maybe(TEXT)},
    id=INT,
    username={"type": "string", "minLength": 1},
    name=TEXT,
    state=TEXT,
    avatar_url=maybe(TEXT),
    web_url=URL,
)
ISSUE = has(
    {
        "closed_by": maybe(USER),
        "issue_type": {"enum": ["issue", "incident", "test_case", "requirement", "task", "ticket"]},
        "type": {"type": "string", "pattern": "^[A-Z_]+$"},
        "severity": {"enum": ["UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"]},
        "moved_to_id": maybe(INT),
        "discussion_locked": maybe(BOOL),
        "references": has(short=TEXT, relative=TEXT, full=TEXT),
        "issue_link_id": INT,
        "link_type": {"enum": ["relates_to", "blocks", "is_blocked_by"]},
    },
    id=INT,
    iid={"type": "integer", "minimum": 1},
    project_id=INT,
    title={"type": "string", "minLength": 1, "maxLength": 255},
    description=maybe(TEXT),
    state={"enum": ["opened", "closed"]},
    created_at=TIME,
    updated_at=TIME,
    closed_at=maybe(TIME),
    labels=many(either(TEXT, {"type": "object"})),
    milestone=maybe({"type": "object"}),
    assignees=many(USER),
    author=USER,
    user_notes_count=INT,
    upvotes=INT,
    downvotes=INT,
    due_date=maybe(DAY),
    confidential=BOOL,
    web_url=URL,
)
NOTE = has(
    {
        "internal": maybe(BOOL),
        "confidential": maybe(BOOL),
        "noteable_iid": maybe(INT),
        "resolvable": BOOL,
        "type": maybe(TEXT),
    },
    id=INT,
    body=TEXT,
    attachment=NULL,
    author=USER,
    created_at=TIME,
    updated_at=TIME,
    system=BOOL,
    noteable_id=INT,
    noteable_type=TEXT,
)
COMMANDS = has(commands_changes={"type": "object"}, summary=maybe(many(TEXT)))
LABEL = has(
    {"text_color": TEXT, "subscribed": BOOL, "priority": maybe(INT)},
    id=INT,
    name=TEXT,
    color=TEXT,
    description=maybe(TEXT),
)
PROJECT = has(
    {
        "visibility": {"enum": ["private", "internal", "public"]},
        "issues_access_level": TEXT,
        "permissions": {"type": "object"},
    },
    id=INT,
    name=TEXT,
    path=TEXT,
    path_with_namespace={"type": "string", "pattern": "^[^/]+(/[^/]+)+$"},
    default_branch=maybe(TEXT),
    web_url=URL,
    created_at=TIME,
    archived=BOOL,
    issues_enabled=BOOL,
)
MEMBER = has({"membership_state": TEXT, "expires_at": maybe(TEXT)}, **USER["properties"] | {"access_level": ROLE})
MEMBER["required"] = ["access_level", "id", "name", "state", "username", "web_url"]
TOKEN = has(
    {"last_used_at": maybe(TIME)},
    id=INT,
    name=TEXT,
    revoked=BOOL,
    active=BOOL,
    scopes=many(TEXT),
    user_id=INT,
    created_at=TIME,
    expires_at=maybe(DAY),
)
COMMIT = has(
    {"project_id": INT, "stats": maybe({"type": "object"})},
    id=SHA,
    short_id={"type": "string", "pattern": "^[0-9a-f]{8,}$"},
    title=TEXT,
    message=TEXT,
    created_at=TIME,
    parent_ids=many(SHA),
    author_name=TEXT,
    author_email=TEXT,
    authored_date=TIME,
    committer_name=TEXT,
    committer_email=TEXT,
    committed_date=TIME,
    web_url=URL,
)
DIFF = has(
    old_path=TEXT,
    new_path=TEXT,
    new_file=BOOL,
    renamed_file=BOOL,
    deleted_file=BOOL,
    diff=TEXT,
    a_mode=TEXT,
    b_mode=TEXT,
)
MERGE_REQUEST = has(
    id=INT,
    iid=INT,
    project_id=INT,
    title=TEXT,
    description=maybe(TEXT),
    state={"enum": ["opened", "closed", "locked", "merged"]},
    created_at=TIME,
    updated_at=TIME,
    merged_at=maybe(TIME),
    merge_commit_sha=maybe(SHA),
    squash_commit_sha=maybe(SHA),
    sha=maybe(SHA),
    source_branch=TEXT,
    target_branch=TEXT,
    source_project_id=maybe(INT),
    target_project_id=INT,
    author=USER,
    labels=many(TEXT),
    web_url=URL,
)
DEPLOYMENT = has(
    {"finished_at": maybe(TIME), "deployable": maybe({"type": "object"})},
    id=INT,
    iid=INT,
    ref=TEXT,
    sha=SHA,
    created_at=TIME,
    updated_at=TIME,
    status={"enum": ["created", "running", "success", "failed", "canceled", "skipped", "blocked"]},
    user=maybe(USER),
    environment=has(id=INT, name=TEXT),
)
FILE = has(
    file_name=TEXT, file_path=TEXT, size=INT, encoding={"const": "base64"}, content=TEXT, ref=TEXT, blob_id=SHA, commit_id=SHA, last_commit_id=SHA
)  # fmt: skip
AWARD = has(id=INT, name=TEXT, user=USER, created_at=TIME, updated_at=TIME, awardable_id=INT, awardable_type=TEXT)
STATE_EVENT = has(
    id=INT, user=USER, created_at=TIME, resource_type=TEXT, resource_id=INT, state={"enum": ["closed", "reopened"]}
)
LABEL_EVENT = has(
    id=INT, user=USER, created_at=TIME, resource_type=TEXT, resource_id=INT, action={"enum": ["add", "remove"]}, label=maybe(LABEL)
)  # fmt: skip
HOOK = has(id=INT, url=URL, issues_events=BOOL, note_events=BOOL, alert_status=TEXT, disabled_until=maybe(TIME))
ERROR = {
    "type": "object",
    "anyOf": [
        {"required": ["message"], "properties": {"message": either(TEXT, many(TEXT), {"type": "object"})}},
        {"required": ["error"], "properties": {"error": TEXT}},
    ],
}
EMPTY: Json = None  # no body at all
