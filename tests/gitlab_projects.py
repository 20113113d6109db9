"""The double's users, tokens, projects, members, merge requests, deployments and environments: what is read of them."""

from __future__ import annotations

from typing import Any

from tests.gitlab_calls import Answer, Call, Refused, issue_in, paged, route
from tests.gitlab_issues import ONE, user_shown
from tests.gitlab_state import MAINTAINER, Deployment, MergeRequest, Project, stamp

P = "/projects/{id}"


@route("GET", "/version")
def version(call: Call) -> Any:
    return {"version": call.fake.version, "revision": "54ad755d436"}


@route("GET", "/user")
def user(call: Call) -> Any:
    shown = user_shown(call, call.user.id) or {}
    return shown | {
        "bot": call.user.bot,
        "created_at": stamp(call.fake.born),
        "email": f"{call.user.username}@example.com",
    }


@route("GET", "/users")
def users(call: Call) -> Answer:
    name, search = call.query.get("username"), call.query.get("search", "").lower()
    rows = [
        user
        for user in call.fake.state.users.values()
        if (name is None or user.username.lower() == name.lower()) and search in f"{user.username} {user.name}".lower()
    ]
    return paged(call, rows, lambda user: user_shown(call, user.id))


@route("GET", "/users/{user}")
def user_by_id(call: Call) -> Any:
    key = call.params["user"]
    if not key.isdigit() or int(key) not in call.fake.state.users:
        raise Refused(404, "404 User Not Found")
    return user_shown(call, int(key))


@route("GET", "/personal_access_tokens/self")
def own_token(call: Call) -> Any:
    token = call.token
    return {
        "id": 7,
        "name": "airtriage",
        "revoked": token.revoked,
        "active": not token.revoked,
        "created_at": stamp(call.fake.born),
        "last_used_at": stamp(call.fake.now()),
        "scopes": list(token.scopes),
        "user_id": token.user,
        "expires_at": token.expires_at and str(token.expires_at.date()),
    }


@route("GET", P)
def project(call: Call) -> Any:
    found = call.project()
    namespace, _, name = found.path.rpartition("/")
    address = f"{call.fake.url}/{found.path}"
    role = call.role_in(found)
    return {
        "id": found.id,
        "name": name,
        "path": name,
        "name_with_namespace": found.path.replace("/", " / "),
        "path_with_namespace": found.path,
        "namespace": {"id": 1, "name": namespace, "path": namespace, "kind": "group", "full_path": namespace},
        "description": None,
        "default_branch": found.default_branch if found.repository else None,
        "visibility": found.visibility,
        "archived": found.archived,
        "issues_enabled": found.issues_enabled,
        "issues_access_level": "enabled" if found.issues_enabled else "disabled",
        "created_at": stamp(call.fake.born),
        "web_url": address,
        "http_url_to_repo": f"{address}.git",
        "permissions": {"project_access": {"access_level": role} if role else None, "group_access": None},
    }


def _member(call: Call, project: Project, id: int) -> dict[str, Any]:
    shown = user_shown(call, id) or {}
    return shown | {
        "access_level": project.members[id],
        "created_at": stamp(call.fake.born),
        "expires_at": None,
        "membership_state": "active",
    }


@route("GET", f"{P}/members/all")
def members(call: Call) -> Answer:
    found = call.project()
    query = call.query.get("query", "").lower()
    ids = [id for id in found.members if query in call.fake.state.users[id].username.lower()]
    return paged(call, ids, lambda id: _member(call, found, id))


@route("GET", f"{P}/members/all/{{user}}")
def member(call: Call) -> Any:
    found, key = call.project(), call.params["user"]
    if not key.isdigit() or int(key) not in found.members:
        raise Refused(404, "404 Not found")
    return _member(call, found, int(key))


@route("GET", f"{P}/hooks")
def hooks(call: Call) -> Answer:
    found = call.project(least=MAINTAINER)
    return paged(call, call.fake.hooks.of(found.id), lambda hook: hook.shown())


def merge_request_shown(call: Call, found: MergeRequest) -> dict[str, Any]:
    project = call.fake.state.projects[found.project]
    merged = user_shown(call, found.merged_by)
    return {
        "id": found.id,
        "iid": found.iid,
        "project_id": found.project,
        "title": found.title,
        "description": found.description,
        "state": found.state,
        "created_at": stamp(found.created_at),
        "updated_at": stamp(found.updated_at),
        "merged_by": merged,
        "merge_user": merged,
        "merged_at": stamp(found.merged_at),
        "closed_by": None,
        "closed_at": None,
        "target_branch": found.target_branch,
        "source_branch": found.source_branch,
        "source_project_id": found.project,
        "target_project_id": found.project,
        "user_notes_count": 0,
        "upvotes": 0,
        "downvotes": 0,
        "author": user_shown(call, found.author),
        "assignees": [],
        "assignee": None,
        "reviewers": [],
        "labels": [],
        "draft": False,
        "work_in_progress": False,
        "milestone": None,
        "merge_when_pipeline_succeeds": False,
        "merge_status": "can_be_merged",
        "detailed_merge_status": "mergeable" if found.state == "opened" else "not_open",
        "sha": found.sha,
        "merge_commit_sha": found.merge_commit,
        "squash_commit_sha": None,
        "discussion_locked": None,
        "should_remove_source_branch": None,
        "force_remove_source_branch": None,
        "squash": False,
        "web_url": f"{call.fake.url}/{project.path}/-/merge_requests/{found.iid}",
        "references": {
            "short": f"!{found.iid}",
            "relative": f"!{found.iid}",
            "full": f"{project.path}!{found.iid}",
        },
        "has_conflicts": False,
    }


def merge_requests_shown(call: Call, wanted: list[MergeRequest]) -> Answer:
    return paged(call, wanted, lambda row: merge_request_shown(call, row))


def merge_requests_of(call: Call, project: Project) -> list[MergeRequest]:
    rows = call.fake.state.rows("merge_request", call.lag).values()
    return [row for row in rows if row.project == project.id]


@route("GET", f"{P}/merge_requests")
def merge_requests(call: Call) -> Answer:
    query, after, iids = call.query, call.time("updated_after"), call.every("iids[]")
    rows = [
        row
        for row in merge_requests_of(call, call.project())
        if query.get("state", "all") in ("all", row.state)
        and query.get("source_branch", row.source_branch) == row.source_branch
        and query.get("target_branch", row.target_branch) == row.target_branch
        and (after is None or row.updated_at >= after)
        and (not iids or str(row.iid) in iids)
    ]
    order = query.get("order_by", "created_at")
    rows.sort(key=lambda row: (stamp(getattr(row, order)) or "", row.id), reverse=query.get("sort", "desc") == "desc")
    return merge_requests_shown(call, rows)


@route("GET", f"{P}/merge_requests/{{merge_request}}")
def merge_request(call: Call) -> Any:
    for row in merge_requests_of(call, call.project()):
        if str(row.iid) == call.params["merge_request"]:
            return merge_request_shown(call, row)
    raise Refused(404, "404 Not found")


@route("GET", f"{ONE}/closed_by")
def closed_by(call: Call) -> Answer:
    project = call.project()
    issue = issue_in(call, project)
    return merge_requests_shown(call, [row for row in merge_requests_of(call, project) if issue.iid in row.closes])


@route("GET", f"{ONE}/related_merge_requests")
def related(call: Call) -> Answer:
    project = call.project()
    issue = issue_in(call, project)
    rows = [row for row in merge_requests_of(call, project) if issue.iid in (*row.closes, *row.mentions)]
    return merge_requests_shown(call, rows)


def _deployment_shown(call: Call, found: Deployment) -> dict[str, Any]:
    return {
        "id": found.id,
        "iid": found.iid,
        "ref": found.ref,
        "sha": found.sha,
        "created_at": stamp(found.created_at),
        "updated_at": stamp(found.updated_at),
        "finished_at": stamp(found.finished_at),
        "status": found.status,
        "user": user_shown(call, found.user),
        "environment": _environment(call, found.project, found.environment),
        "deployable": None,
    }


def _environment(call: Call, project: int, name: str) -> dict[str, Any]:
    names = list(dict.fromkeys(row.environment for row in _deployments(call, project)))
    slug = name.lower().replace("/", "-")
    return {"id": names.index(name) + 1, "name": name, "slug": slug, "external_url": None, "state": "available"}


def _deployments(call: Call, project: int) -> list[Deployment]:
    return [row for row in call.fake.state.rows("deployment", call.lag).values() if row.project == project]


@route("GET", f"{P}/deployments")
def deployments(call: Call) -> Answer:
    query = call.query
    updated, after, before = call.time("updated_after"), call.time("finished_after"), call.time("finished_before")
    order = query.get("order_by", "id")
    if updated and order != "updated_at":
        raise Refused(400, "`updated_at` filter requires `updated_at` sort.")
    if (after or before) and (order != "finished_at" or query.get("status") != "success"):
        raise Refused(400, "`finished_at` filter requires `finished_at` sort and `success` status.")
    rows = [
        row
        for row in _deployments(call, call.project().id)
        if query.get("environment", row.environment) == row.environment
        and query.get("status", row.status) == row.status
        and (updated is None or row.updated_at >= updated)
        and (after is None or (row.finished_at is not None and row.finished_at >= after))
        and (before is None or (row.finished_at is not None and row.finished_at <= before))
    ]
    moments = {"updated_at": "updated_at", "finished_at": "finished_at", "created_at": "created_at"}
    if order in moments:
        rows.sort(key=lambda row: (stamp(getattr(row, moments[order])) or "", row.id))
    else:
        rows.sort(key=lambda row: (getattr(row, order), row.id))
    if query.get("sort", "asc") == "desc":
        rows.reverse()
    return paged(call, rows, lambda row: _deployment_shown(call, row))


@route("GET", f"{P}/deployments/{{deployment}}")
def deployment(call: Call) -> Any:
    for row in _deployments(call, call.project().id):
        if str(row.id) == call.params["deployment"]:
            return _deployment_shown(call, row)
    raise Refused(404, "404 Not found")


@route("GET", f"{P}/environments")
def environments(call: Call) -> Answer:
    found = call.project()
    names = dict.fromkeys(row.environment for row in _deployments(call, found.id))
    rows = [name for name in names if call.query.get("name", name) == name]
    return paged(call, rows, lambda name: _environment(call, found.id, name))
