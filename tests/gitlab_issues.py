"""The double's issues: create, read, edit, move, delete, with the rules that GitLab keeps there.

Labels, assignees and due dates of a Guest are silently dropped, `iid` of anyone but an owner too; quick actions of a
description run on create and, the new ones, on edit, and their lines are gone from what is stored.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from tests.gitlab_calls import Answer, Call, Refused, issue_in, route
from tests.gitlab_state import OWNER, PLANNER, Event, Issue, Label, Project, stamp
from tests.gitlab_text import Command, Effect, quick_actions

P = "/projects/{id}"
ONE = f"{P}/issues/{{iid}}"
LONGEST_TITLE, LONGEST_TEXT = 255, 1_048_576


def user_shown(call: Call, id: int | None) -> dict[str, Any] | None:
    if id is None:
        return None
    user = call.fake.state.users[id]
    return {
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "state": user.state,
        "avatar_url": f"{call.fake.url}/uploads/-/avatar.png",
        "web_url": f"{call.fake.url}/{user.username}",
    }


def shown(call: Call, issue: Issue, details: bool = False) -> dict[str, Any]:
    """Return an issue as the REST API shows it."""
    state = call.fake.state
    project = state.projects[issue.project]
    assignees = [user_shown(call, id) for id in issue.assignees]
    base = f"{call.fake.url}/api/v4/projects/{project.id}"
    labels = [{"id": x.id, "name": x.name, "color": x.color} for x in map(project.labels.get, issue.labels) if x]
    return {
        "id": issue.id,
        "iid": issue.iid,
        "project_id": issue.project,
        "title": issue.title,
        "description": issue.description,
        "state": issue.state,
        "created_at": stamp(issue.created_at),
        "updated_at": stamp(issue.updated_at),
        "closed_at": stamp(issue.closed_at),
        "closed_by": user_shown(call, issue.closed_by),
        "labels": labels if details else list(issue.labels),
        "milestone": milestone_shown(call, issue.milestone),
        "weight": issue.weight,
        "assignees": assignees,
        "assignee": assignees[0] if assignees else None,
        "author": user_shown(call, issue.author),
        "type": issue.issue_type.upper(),
        "issue_type": issue.issue_type,
        "user_notes_count": sum(not note.system for note in state.notes_of(issue.id)),
        "merge_requests_count": 0,
        "upvotes": 0,
        "downvotes": 0,
        "due_date": issue.due_date,
        "confidential": issue.confidential,
        "discussion_locked": issue.locked or None,
        "moved_to_id": issue.moved_to,
        "web_url": f"{call.fake.url}/{project.path}/-/{call.fake.web_urls}/{issue.iid}",
        "severity": issue.severity,
        "task_completion_status": {"count": 0, "completed_count": 0},
        "time_stats": {
            "time_estimate": 0,
            "total_time_spent": 0,
            "human_time_estimate": None,
            "human_total_time_spent": None,
        },
        "references": {
            "short": f"#{issue.iid}",
            "relative": f"#{issue.iid}",
            "full": f"{project.path}#{issue.iid}",
        },
        "_links": {"self": f"{base}/issues/{issue.iid}", "notes": f"{base}/issues/{issue.iid}/notes", "project": base},
    }


def milestone_shown(call: Call, id: int | None) -> dict[str, Any] | None:
    found = call.fake.state.rows("milestone").get(id) if id else None
    if found is None:
        return None
    project = call.fake.state.projects[found.project]
    return {
        "id": found.id, "iid": found.iid, "project_id": found.project, "title": found.title, "description": "", "state": "active",
        "created_at": stamp(found.created_at), "updated_at": stamp(found.created_at), "due_date": None, "start_date": None,
        "expired": False, "web_url": f"{call.fake.url}/{project.path}/-/milestones/{found.iid}",
    }  # fmt: skip


@route("GET", ONE)
def issue(call: Call) -> Any:
    return shown(call, issue_in(call, call.project(), lag=call.lag))


@route("POST", f"{P}/issues")
def create(call: Call) -> Answer:
    project = call.project()
    if not project.issues_enabled or project.archived or not (call.role_in(project) or project.visibility == "public"):
        raise Refused(403, "403 Forbidden")
    body, state, now = call.body, call.fake.state, call.fake.now()
    title, description = _titled(body["title"]), _described(body.get("description"))
    iid, role = body.get("iid"), call.role_in(project)
    if iid is not None and role >= OWNER:
        if state.issue_of(project.id, iid):
            raise Refused(409, "Duplicated issue")
    else:
        iid = project.last_iid + 1
    made_at = _given_time(body, role) or now
    project.last_iid = max(project.last_iid, iid)
    text, commands = quick_actions(description, call.fake.quick_action_rule) if description is not None else (None, [])
    made = Issue(
        id=state.new_id(),
        iid=iid,
        project=project.id,
        author=call.user.id,
        title=title,
        created_at=made_at,
        updated_at=now,
        description=text,
        confidential=body.get("confidential", False),
        issue_type=body.get("issue_type", "issue"),
    )
    made = _applied(call, project, made, body)
    # A state event of a description is dropped on create: `/close` only vanishes from the text there.
    made = act(call, project, made, [c for c in commands if c.name not in ("close", "reopen")])
    call.fake.acted += [Effect("quick action", c.name, f"description of #{iid}") for c in commands]
    state.put("issue", made)
    _noted(call, made, weight=None, milestone=None)
    call.fake.shown(made.title, f"title of #{iid}", title=True)
    call.fake.shown(text or "", f"description of #{iid}")
    call.fake.hooks.issue(call.user, None, made, "open")
    return Answer(201, shown(call, made))


def _titled(title: str) -> str:
    if not title.strip():
        raise Refused(400, {"title": ["can't be blank"]})
    if len(title) > LONGEST_TITLE:
        raise Refused(400, {"title": ["is too long (maximum is 255 characters)"]})
    return title.replace("\n", " ")


def _described(text: str | None) -> str | None:
    if text is not None and len(text) > LONGEST_TEXT:
        raise Refused(400, {"description": ["is too long (maximum is 1048576 characters)"]})
    return text


def _given_time(body: dict[str, Any], role: int) -> datetime | None:
    """Return the time of creation that an owner may set; anyone else's is ignored."""
    return datetime.fromisoformat(body["created_at"]) if "created_at" in body and role >= OWNER else None


def words(value: Any) -> list[str]:
    """Return labels, given as text with commas or as a list."""
    return [name.strip() for name in (value.split(",") if isinstance(value, str) else value) if name.strip()]


def _applied(call: Call, project: Project, issue: Issue, body: dict[str, Any]) -> Issue:
    """Set what only members from Planner up may set; what a Guest sends of it is dropped without a word."""
    if call.role_in(project) < PLANNER:
        return issue
    if "labels" in body:
        issue = replace(issue, labels=tuple(dict.fromkeys(words(body["labels"]))))
    added, removed = words(body.get("add_labels", [])), words(body.get("remove_labels", []))
    labels = [name for name in dict.fromkeys([*issue.labels, *added]) if name not in removed]
    for name in labels:
        named(call, project, name)
    issue = replace(issue, labels=tuple(labels))
    if "assignee_ids" in body:
        ids = [id for id in body["assignee_ids"] if id and project.members.get(id)]
        issue = replace(issue, assignees=tuple(ids[:1] if call.fake.free_tier else ids))
    if "due_date" in body:
        issue = replace(issue, due_date=body["due_date"] or None)
    if "weight" in body:
        issue = replace(issue, weight=body["weight"])
    if "milestone_id" in body:
        known = call.fake.state.rows("milestone").get(body["milestone_id"])
        issue = replace(issue, milestone=known.id if known and known.project == project.id else None)
    return issue


def named(call: Call, project: Project, name: str) -> Label:
    """Return a project's label or one of its group's, made in the project where there was none."""
    above = call.fake.state.group_labels.get(project.path.rpartition("/")[0], {})
    if name in above and name not in project.labels:
        return above[name]
    if name not in project.labels:
        project.labels[name] = Label(call.fake.state.new_id(), name)
    return project.labels[name]


@route("PUT", ONE)
def edit(call: Call) -> Any:
    project = call.project()
    old = issue_in(call, project)
    role, body = call.role_in(project), call.body
    if role < PLANNER and call.user.id != old.author:
        raise Refused(403, "403 Forbidden")
    if not body:
        names = "assignee_ids, confidential, description, labels, add_labels, remove_labels, state_event, title"
        raise Refused(400, f"{names} are missing, at least one parameter must be provided", "error")
    new, commands = old, []
    if "title" in body:
        new = replace(new, title=_titled(body["title"]))
    if "description" in body:
        rule = call.fake.quick_action_rule
        text, commands = quick_actions(_described(body["description"]) or "", rule)
        before = quick_actions(old.description or "", rule)[1]
        commands = [command for command in commands if command not in before]
        new = replace(new, description=text)
    if role >= PLANNER:
        new = replace(new, confidential=body.get("confidential", new.confidential))
        new = replace(new, locked=body.get("discussion_locked", new.locked))
        new = replace(new, issue_type=body.get("issue_type", new.issue_type))
    new = act(call, project, _applied(call, project, new, body), commands)
    call.fake.acted += [Effect("quick action", c.name, f"description of #{old.iid}") for c in commands]
    if "state_event" in body:
        new = turned(call, new, body["state_event"])
    return shown(call, saved(call, old, new))


def act(call: Call, project: Project, issue: Issue, commands: list[Command]) -> Issue:
    """Carry out quick actions on an issue; those that need a role its user lacks do nothing."""
    if call.role_in(project) < PLANNER:
        return issue
    for command in commands:
        names = [name.strip('~"') for name in command.arg.split()]
        users = [u for u in map(call.fake.state.user_named, (n.lstrip("@") for n in names)) if u]
        if command.name in ("close", "reopen"):
            issue = turned(call, issue, command.name)
        elif command.name in ("label", "labels"):
            issue = _applied(call, project, issue, {"add_labels": names})
        elif command.name in ("unlabel", "remove_label"):
            issue = _applied(call, project, issue, {"remove_labels": names or list(issue.labels)})
        elif command.name in ("assign", "reassign"):
            mine = [call.user.id] if "me" in names else []
            issue = _applied(call, project, issue, {"assignee_ids": [user.id for user in users] + mine})
        elif command.name == "unassign":
            issue = replace(issue, assignees=())
        elif command.name == "confidential":
            issue = replace(issue, confidential=True)
        elif command.name == "title" and command.arg:
            issue = replace(issue, title=command.arg[:LONGEST_TITLE])
        elif command.name == "due":
            issue = replace(issue, due_date=str(call.fake.now().date()))
        elif command.name == "remove_due_date":
            issue = replace(issue, due_date=None)
        elif command.name in ("lock", "unlock"):
            issue = replace(issue, locked=command.name == "lock")
        elif command.name == "severity" and command.arg.upper() in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "UNKNOWN"):
            issue = replace(issue, severity=command.arg.upper())
    return issue


def turned(call: Call, issue: Issue, event: str) -> Issue:
    """Close or reopen; what is so already stays as it is."""
    if event == "close" and issue.state == "opened":
        return replace(issue, state="closed", closed_at=call.fake.now(), closed_by=call.user.id)
    if event == "reopen" and issue.state == "closed":
        return replace(issue, state="opened", closed_at=None, closed_by=None)
    return issue


def saved(call: Call, old: Issue, new: Issue) -> Issue:
    """Store an edited issue with the events and system notes of what changed; nothing changed moves no time."""
    if new == old:
        return old
    state, now = call.fake.state, call.fake.now()
    new = state.put("issue", replace(new, updated_at=now))

    def happened(kind: str, action: str, label: str | None = None) -> None:
        state.put("event", Event(state.new_id(), new.id, call.user.id, kind, action, now, label))

    if new.state != old.state:
        happened("state", {"closed": "closed", "opened": "reopened"}[new.state])
    for name in new.labels:
        if name not in old.labels:
            happened("label", "add", name)
    for name in old.labels:
        if name not in new.labels:
            happened("label", "remove", name)
    _noted(call, new, weight=old.weight, milestone=old.milestone)
    for changed, text in (
        (new.title != old.title, "changed title"),
        (new.description != old.description, "changed the description"),
        (new.assignees != old.assignees, "changed the assignees"),
        (new.confidential != old.confidential, "changed the confidentiality"),
    ):
        if changed:
            call.fake.system_note(new, call.user.id, text)
    if new.title != old.title:
        call.fake.shown(new.title, f"title of #{new.iid}", title=True)
    if new.description != old.description:
        call.fake.shown(new.description or "", f"description of #{new.iid}")
    action = {"closed": "close", "opened": "reopen"}[new.state] if new.state != old.state else "update"
    call.fake.hooks.issue(call.user, old, new, action)
    return new


def _noted(call: Call, issue: Issue, **was: int | None) -> None:
    """Note the events of an issue's weight and milestone, next to what they were."""
    state = call.fake.state
    for kind, old in was.items():
        if (new := getattr(issue, kind)) != old:
            action, number = ("add", new) if new is not None else ("remove", old)
            made = Event(state.new_id(), issue.id, call.user.id, kind, action, call.fake.now(), number=number)
            state.put("event", made)


@route("DELETE", ONE)
def delete(call: Call) -> Answer:
    project = call.project()
    gone = issue_in(call, project)
    if call.role_in(project) not in (PLANNER, OWNER):
        raise Refused(403, "403 Forbidden")
    call.fake.state.drop("issue", gone.id)
    return Answer(204)


@route("POST", f"{ONE}/move")
def move(call: Call) -> Answer:
    source = call.project(least=PLANNER)
    old = issue_in(call, source)
    target = call.project(str(call.body["to_project_id"]))
    if target.id == source.id or old.moved_to or call.role_in(target) < PLANNER:
        raise Refused(400, "Cannot move issue due to insufficient permissions!")
    return Answer(201, shown(call, moved(call, old, target)))


def moved(call: Call, old: Issue, target: Project) -> Issue:
    """Move an issue: a copy with a new iid in the other project, its history included as GitLab's
    `CopyResourceEventsService` does it, the old one closed and pointing at it.
    """
    state = call.fake.state
    target.last_iid += 1
    copy = replace(old, id=state.new_id(), iid=target.last_iid, project=target.id, updated_at=call.fake.now())
    state.put("issue", copy)
    for name in copy.labels:
        named(call, target, name)
    for note in state.notes_of(old.id):
        state.put("note", replace(note, id=state.new_id(), issue=copy.id))
    for event in [event for event in state.rows("event").values() if event.issue == old.id]:
        state.put("event", replace(event, id=state.new_id(), issue=copy.id))
    saved(call, old, replace(turned(call, old, "close"), moved_to=copy.id))
    return copy
