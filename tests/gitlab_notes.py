"""The double's notes, awards, links and labels, and the events of an issue, with the rules that GitLab keeps there.

A note of nothing but quick actions is no note: 202 and what was changed. An edit of a note runs no quick action.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.gitlab_calls import Answer, Call, Refused, issue_in, note_in, paged, route
from tests.gitlab_issues import ONE, act, milestone_shown, named, saved, shown, user_shown
from tests.gitlab_state import PLANNER, REPORTER, Award, Event, Issue, Label, Link, Note, Project, stamp
from tests.gitlab_text import Effect, quick_actions

P = "/projects/{id}"
NOTES = f"{ONE}/notes"
LONGEST_NOTE = 1_000_000


def note_shown(call: Call, note: Note) -> dict[str, Any]:
    issue = call.fake.state.rows("issue").get(note.issue)
    return {
        "id": note.id,
        "type": "DiscussionNote" if note.discussion else None,
        "body": note.body,
        "attachment": None,
        "author": user_shown(call, note.author),
        "created_at": stamp(note.created_at),
        "updated_at": stamp(note.updated_at),
        "system": note.system,
        "noteable_id": note.issue,
        "noteable_type": "Issue",
        "noteable_iid": issue and issue.iid,
        "resolvable": False,
        "confidential": note.internal,
        "internal": note.internal,
        "commands_changes": {},
    }


@route("GET", NOTES)
def notes(call: Call) -> Answer:
    project = call.project()
    issue = issue_in(call, project)
    kinds = {"only_comments": (False,), "only_activity": (True,)}.get(
        call.query.get("activity_filter", ""), (False, True)
    )
    rows = [
        note
        for note in call.fake.state.notes_of(issue.id, call.lag)
        if note.system in kinds and (not note.internal or call.role_in(project) >= PLANNER)
    ]
    order = call.query.get("order_by", "created_at")
    rows.sort(key=lambda note: (getattr(note, order), note.id), reverse=call.query.get("sort", "desc") == "desc")
    return paged(call, rows, lambda note: note_shown(call, note))


@route("POST", NOTES)
def comment(call: Call) -> Answer:
    return said(call)


def said(call: Call, discussion: str = "") -> Answer:
    """Write what the body of a call says on an issue, in a thread where one is named."""
    project = call.project()
    issue = issue_in(call, project)
    role = call.role_in(project)
    if (not role and project.visibility == "private") or (issue.locked and not role):
        raise Refused(403, "403 Forbidden")
    if call.body.get("internal") and role < REPORTER:
        raise Refused(403, "403 Forbidden")
    text, commands = quick_actions(_worded(call.body["body"]), call.fake.quick_action_rule)
    changed = act(call, project, issue, commands)
    call.fake.acted += [Effect("quick action", c.name, f"note on #{issue.iid}") for c in commands]
    if commands and not text.strip():
        saved(call, issue, changed)
        return Answer(202, {"commands_changes": {c.name: c.arg for c in commands}, "summary": ["Applied commands."]})
    state, now = call.fake.state, call.fake.now()
    made = Note(
        state.new_id(),
        issue.id,
        call.user.id,
        text,
        now,
        now,
        internal=bool(call.body.get("internal")),
        discussion=discussion,
    )
    state.put("note", made)
    saved(call, issue, changed)
    state.put("issue", replace(state.rows("issue")[issue.id], updated_at=now))
    call.fake.shown(text, f"note on #{issue.iid}")
    call.fake.hooks.note(call.user, changed, made, "create")
    return Answer(201, note_shown(call, made))


def _worded(text: str) -> str:
    if not text.strip():
        raise Refused(400, '400 Bad request - Note {:note=>["can\'t be blank"]}')
    if len(text) > LONGEST_NOTE:
        raise Refused(400, '400 Bad request - Note {:note=>["is too long (maximum is 1000000 characters)"]}')
    return text


@route("GET", f"{NOTES}/{{note}}")
def note(call: Call) -> Any:
    return note_shown(call, note_in(call, issue_in(call, call.project())))


@route("PUT", f"{NOTES}/{{note}}")
def reword(call: Call) -> Any:
    return reworded(call, *own_note(call))


def reworded(call: Call, issue: Issue, old: Note) -> Any:
    changed = replace(old, body=_worded(call.body["body"]), updated_at=call.fake.now())
    call.fake.shown(changed.body, f"note on #{issue.iid}")
    call.fake.hooks.note(call.user, issue, changed, "update")
    return note_shown(call, call.fake.state.put("note", changed))


@route("DELETE", f"{NOTES}/{{note}}")
def unsay(call: Call) -> Answer:
    return unsaid(call)


def unsaid(call: Call) -> Answer:
    _, old = own_note(call)
    call.fake.state.drop("note", old.id)
    return Answer(204)


def own_note(call: Call) -> tuple[Issue, Note]:
    """Return a note that the caller may change: their own, or any as a Maintainer; system notes are nobody's."""
    project = call.project()
    issue = issue_in(call, project)
    found = note_in(call, issue)
    if found.system or (found.author != call.user.id and call.role_in(project) < 40):
        raise Refused(403, "403 Forbidden")
    return issue, found


AWARDS = f"{NOTES}/{{note}}/award_emoji"


def _awards(call: Call) -> tuple[Note, list[Award]]:
    found = note_in(call, issue_in(call, call.project()))
    return found, [award for award in call.fake.state.rows("award").values() if award.on == ("Note", found.id)]


def _award_shown(call: Call, award: Award) -> dict[str, Any]:
    made = stamp(award.created_at)
    return {
        "id": award.id,
        "name": award.name,
        "user": user_shown(call, award.user),
        "created_at": made,
        "updated_at": made,
        "awardable_type": award.on[0],
        "awardable_id": award.on[1],
    }


@route("GET", AWARDS)
def awards(call: Call) -> Answer:
    return paged(call, _awards(call)[1], lambda award: _award_shown(call, award))


@route("POST", AWARDS)
def award(call: Call) -> Answer:
    on, given = _awards(call)
    name = call.body["name"]
    if any(award.name == name and award.user == call.user.id for award in given):
        raise Refused(404, "404 Award Emoji Name has already been taken Not Found")
    made = Award(call.fake.state.new_id(), ("Note", on.id), call.user.id, name, call.fake.now())
    return Answer(201, _award_shown(call, call.fake.state.put("award", made)))


@route("DELETE", f"{AWARDS}/{{award}}")
def take_back(call: Call) -> Answer:
    wanted = int(call.params["award"])
    if all(award.id != wanted for award in _awards(call)[1]):
        raise Refused(404, "404 Award Emoji Not Found")
    call.fake.state.drop("award", wanted)
    return Answer(204)


@route("GET", f"{ONE}/participants")
def participants(call: Call) -> Answer:
    issue = issue_in(call, call.project())
    said = [note.author for note in call.fake.state.notes_of(issue.id) if not note.system]
    return paged(call, list(dict.fromkeys([issue.author, *issue.assignees, *said])), lambda id: user_shown(call, id))


def events_of(call: Call, kind: str) -> list[Event]:
    issue = issue_in(call, call.project())
    rows = call.fake.state.rows("event", call.lag).values()
    return [event for event in rows if event.issue == issue.id and event.kind == kind]


def event_shown(call: Call, event: Event) -> dict[str, Any]:
    common = {
        "id": event.id,
        "user": user_shown(call, event.user),
        "created_at": stamp(event.created_at),
        "resource_type": "Issue",
        "resource_id": event.issue,
    }
    if event.kind == "weight":
        return common | {"issue_id": event.issue, "weight": event.number}
    if event.kind == "milestone":
        return common | {"action": event.action, "milestone": milestone_shown(call, event.number), "state": "opened"}
    if event.kind == "state":
        return common | {"state": event.action, "source_commit": None, "source_merge_request_id": None}
    project = call.fake.state.projects[call.fake.state.rows("issue")[event.issue].project]
    label = project.labels.get(event.label or "")
    return common | {"action": event.action, "label": label and label_shown(label)}


@route("GET", f"{ONE}/resource_state_events")
def state_events(call: Call) -> Answer:
    return paged(call, events_of(call, "state"), lambda event: event_shown(call, event))


@route("GET", f"{ONE}/resource_label_events")
def label_events(call: Call) -> Answer:
    return paged(call, events_of(call, "label"), lambda event: event_shown(call, event))


@route("GET", f"{ONE}/resource_label_events/{{event}}")
def label_event(call: Call) -> Any:
    for event in events_of(call, "label"):
        if event.id == int(call.params["event"]):
            return event_shown(call, event)
    raise Refused(404, "404 Not found")


@route("GET", f"{ONE}/links")
def links(call: Call) -> Answer:
    issue = issue_in(call, call.project())
    rows = [link for link in call.fake.state.rows("link").values() if issue.id in (link.source, link.target)]

    def row(link: Link) -> dict[str, Any]:
        other = call.fake.state.rows("issue")[link.target if link.source == issue.id else link.source]
        return shown(call, other) | {"issue_link_id": link.id, "link_type": link.link_type}

    return paged(call, rows, row)


@route("POST", f"{ONE}/links")
def link(call: Call) -> Answer:
    source = issue_in(call, call.project(least=10))
    body, state = call.body, call.fake.state
    target = issue_in(call, call.project(str(body["target_project_id"])), str(body["target_issue_iid"]))
    if any({row.source, row.target} == {source.id, target.id} for row in state.rows("link").values()):
        raise Refused(409, "Issue(s) already assigned")
    kind = body.get("link_type", "relates_to")
    if kind != "relates_to" and call.fake.free_tier:
        raise Refused(403, "Blocked issues not available for current license")
    state.put("link", Link(state.new_id(), source.id, target.id, kind, call.fake.now()))
    for one, other in ((source, target), (target, source)):
        call.fake.system_note(one, call.user.id, f"marked this issue as related to #{other.iid}")
    return Answer(201, {"source_issue": shown(call, source), "target_issue": shown(call, target), "link_type": kind})


@route("DELETE", f"{ONE}/links/{{link}}")
def unlink(call: Call) -> Any:
    issue, state = issue_in(call, call.project(least=10)), call.fake.state
    found = state.rows("link").get(int(call.params["link"]))
    if found is None or issue.id not in (found.source, found.target):
        raise Refused(404, "404 Not found")
    state.drop("link", found.id)
    issues = state.rows("issue")
    return {
        "source_issue": shown(call, issues[found.source]),
        "target_issue": shown(call, issues[found.target]),
        "link_type": found.link_type,
    }


LABEL = f"{P}/labels/{{label}}"


def label_shown(label: Label) -> dict[str, Any]:
    return {
        "id": label.id,
        "name": label.name,
        "color": label.color,
        "text_color": "#FFFFFF",
        "description": label.description,
        "description_html": label.description or "",
        "subscribed": label.subscribed,
        "priority": None,
        "is_project_label": True,
        "archived": False,
    }


@route("GET", f"{P}/labels")
def labels(call: Call) -> Answer:
    search = call.query.get("search", "").lower()
    rows = [label for label in call.project().labels.values() if search in label.name.lower()]
    return paged(call, sorted(rows, key=lambda label: label.name), label_shown)


@route("POST", f"{P}/labels")
def new_label(call: Call) -> Answer:
    project, body = call.project(least=PLANNER), call.body
    if body["name"] in project.labels:
        raise Refused(409, "Label already exists")
    if "," in body["name"]:
        raise Refused(400, {"title": ["is invalid"]})
    made = named(call, project, body["name"])
    made.color, made.description = body["color"], body.get("description")
    return Answer(201, label_shown(made))


def _label(call: Call, least: int = 0) -> tuple[Project, Label]:
    project = call.project(least=least)
    key = call.params["label"] if "label" in call.params else call.body["name"]
    for label in project.labels.values():
        if label.name == key or str(label.id) == key:
            return project, label
    raise Refused(404, "404 Label Not Found")


@route("GET", LABEL)
def label(call: Call) -> Any:
    return label_shown(_label(call)[1])


@route("PUT", f"{P}/labels")
@route("PUT", LABEL)
def relabel(call: Call) -> Any:
    project, found = _label(call, PLANNER)
    name = call.body.get("new_name", found.name)
    if not call.body.keys() & {"new_name", "color", "description"}:
        raise Refused(400, "new_name, color, description are missing, at least one parameter must be provided", "error")
    _renamed(call, project, found.name, name)
    del project.labels[found.name]
    found.name, found.color = name, call.body.get("color", found.color)
    found.description = call.body.get("description", found.description)
    project.labels[name] = found
    return label_shown(found)


def _renamed(call: Call, project: Project, old: str, new: str | None) -> None:
    """Give the issues that carry a label its new name, or take it away."""
    for issue in list(call.fake.state.rows("issue").values()):
        if issue.project == project.id and old in issue.labels:
            names = [new if name == old else name for name in issue.labels]
            call.fake.state.put("issue", replace(issue, labels=tuple(name for name in names if name)))


@route("DELETE", LABEL)
def delete_label(call: Call) -> Answer:
    project, found = _label(call, PLANNER)
    _renamed(call, project, found.name, None)
    del project.labels[found.name]
    return Answer(204)


@route("POST", f"{LABEL}/subscribe")
def subscribe(call: Call) -> Answer:
    found = _label(call)[1]
    found.subscribed = True
    return Answer(201, label_shown(found))


@route("POST", f"{LABEL}/unsubscribe")
def unsubscribe(call: Call) -> Answer:
    found = _label(call)[1]
    found.subscribed = False
    return Answer(201, label_shown(found))
