"""The double's lists of issues: of a project and of all projects, with the filters, orders and pages that GitLab has."""

from __future__ import annotations

from tests.gitlab_calls import Answer, Call, Refused, paged, route, visible
from tests.gitlab_issues import P, shown
from tests.gitlab_state import Issue, Project, stamp

_LONG_WORD = 50  # GitLab's index of issue texts drops longer runs of [A-Za-z0-9+/@] (LONG_WORDS_REGEX)


@route("GET", f"{P}/issues")
def issues(call: Call) -> Answer:
    project = call.project()
    if not project.issues_enabled:
        raise Refused(403, "403 Forbidden")
    return _listed(call, {project.id: project}, keyset=True)


@route("GET", "/issues")
def issues_anywhere(call: Call) -> Answer:
    """All that the caller may see, of every project; by default only what the caller opened."""
    projects = call.fake.state.projects
    seen = {id: its for id, its in projects.items() if call.role_in(its) or its.visibility != "private"}
    return _listed(call, seen, scope="created_by_me")


def _listed(call: Call, projects: dict[int, Project], *, keyset: bool = False, scope: str = "all") -> Answer:
    rows = [
        issue
        for issue in call.fake.state.rows("issue", call.lag).values()
        if issue.project in projects
        and projects[issue.project].issues_enabled
        and visible(call, projects[issue.project], issue)
        and _wanted(call, issue, scope)
    ]
    order = call.query.get("order_by", "created_at")
    descends = call.query.get("sort", "desc") == "desc"

    def key(issue: Issue) -> tuple[str, int]:
        value = {"title": issue.title.lower(), "due_date": issue.due_date or "", "relative_position": ""}.get(order)
        return value if value is not None else str(stamp(getattr(issue, order))), issue.id

    details = call.query.get("with_labels_details", "").lower() in ("true", "1")
    rows.sort(key=key, reverse=descends)
    by_key = (key, descends) if keyset and call.fake.has_keyset else None
    return paged(call, rows, lambda issue: shown(call, issue, details), by_key)


def _wanted(call: Call, issue: Issue, scope: str) -> bool:
    query = call.query
    scope = query.get("scope", scope)
    labels = query["labels"].split(",") if "labels" in query else []
    if any(not _labelled(issue, name) for name in labels):
        return False
    if query.get("state", "all") not in ("all", issue.state):
        return False
    if "author_id" in query and issue.author != int(query["author_id"]):
        return False
    if "author_username" in query and call.fake.state.users[issue.author].username != query["author_username"]:
        return False
    if "assignee_id" in query and int(query["assignee_id"]) not in issue.assignees:
        return False
    if "milestone" in query and not _planned(call, issue, query["milestone"]):
        return False
    if scope == "created_by_me" and issue.author != call.user.id:
        return False
    if scope == "assigned_to_me" and call.user.id not in issue.assignees:
        return False
    if "confidential" in query and issue.confidential != (query["confidential"].lower() in ("true", "1")):
        return False
    iids = call.every("iids[]")
    if iids and str(issue.iid) not in iids:
        return False
    for field, moment in (("created", issue.created_at), ("updated", issue.updated_at)):
        after, before = call.time(f"{field}_after"), call.time(f"{field}_before")
        if (after and moment < after) or (before and moment > before):
            return False
    return "search" not in query or _found(issue, query["search"], query.get("in", "title,description"))


def _planned(call: Call, issue: Issue, title: str) -> bool:
    found = call.fake.state.rows("milestone").get(issue.milestone)
    return found is not None and found.title == title


def _labelled(issue: Issue, name: str) -> bool:
    if name in ("Any", "None"):
        return bool(issue.labels) == (name == "Any")
    return name in issue.labels


def _found(issue: Issue, search: str, fields: str) -> bool:
    """Search as GitLab's index does: by words, of which those of 50 characters and more are not in it."""
    texts = {"title": issue.title, "description": issue.description or ""}
    text = " ".join(texts[name] for name in fields.split(",")).lower()
    return all(len(word) < _LONG_WORD and word in text for word in search.lower().split())
