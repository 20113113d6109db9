"""The double's threads of notes, milestones, weights and a group's labels: what people use and airtriage never asks for.

Here so that python-gitlab's own tests of issues, labels and notes run whole, and so that a person in a test can answer in a
thread. `BESIDE` is their contract, read in python-gitlab's source and its tests.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.gitlab_calls import Answer, Call, Refused, issue_in, note_in, paged, route
from tests.gitlab_contract import ENDPOINTS, PAGED, Endpoint, P
from tests.gitlab_issues import ONE, milestone_shown, shown
from tests.gitlab_notes import event_shown, events_of, label_shown, note_shown, own_note, reworded, said, unsaid
from tests.gitlab_shapes import BOOL, EMPTY, INT, ISSUE, LABEL, NOTE, TEXT, TIME, URL, has, many, maybe, takes
from tests.gitlab_state import PLANNER, Label, Milestone, Note

_WORDS = takes({"body": TEXT})
_THREAD = has(id=TEXT, individual_note=BOOL, notes=many(NOTE))
_MILESTONE = has(id=INT, iid=INT, project_id=INT, title=TEXT, state=TEXT, created_at=TIME, web_url=URL)
_WEIGHED = has(id=INT, issue_id=INT, weight=maybe(INT), created_at=TIME)
_PLANNED = has(id=INT, action=TEXT, milestone=_MILESTONE, resource_id=INT, resource_type=TEXT, created_at=TIME)
_NAMED = {"description": TEXT, "color": TEXT}
THREADS, THREAD = f"{ONE}/discussions", f"{ONE}/discussions/{{discussion}}"
STONES = f"{P}/milestones"
LABELS = "/groups/{id}/labels"
BESIDE: dict[tuple[str, str], Endpoint] = {
    ("GET", THREADS): Endpoint({200: many(_THREAD)}, PAGED),
    ("POST", THREADS): Endpoint({201: _THREAD}, body=_WORDS),
    ("GET", THREAD): Endpoint({200: _THREAD}),
    ("POST", f"{THREAD}/notes"): Endpoint({201: NOTE}, body=_WORDS),
    ("GET", f"{THREAD}/notes/{{note}}"): Endpoint({200: NOTE}),
    ("PUT", f"{THREAD}/notes/{{note}}"): Endpoint({200: NOTE}, body=_WORDS),
    ("DELETE", f"{THREAD}/notes/{{note}}"): Endpoint({204: EMPTY}),
    ("GET", f"{ONE}/resource_weight_events"): Endpoint({200: many(_WEIGHED)}, PAGED),
    ("GET", f"{ONE}/resource_weight_events/{{event}}"): Endpoint({200: _WEIGHED}),
    ("GET", f"{ONE}/resource_milestone_events"): Endpoint({200: many(_PLANNED)}, PAGED),
    ("GET", f"{ONE}/resource_milestone_events/{{event}}"): Endpoint({200: _PLANNED}),
    ("POST", STONES): Endpoint({201: _MILESTONE}, body=takes({"title": TEXT})),
    ("GET", f"{STONES}/{{milestone}}/issues"): Endpoint({200: many(ISSUE)}, PAGED),
    ("GET", LABELS): Endpoint({200: many(LABEL)}, PAGED),
    ("POST", LABELS): Endpoint({201: LABEL}, body=takes({"name": TEXT, "color": TEXT}, description=TEXT)),
    ("PUT", LABELS): Endpoint({200: LABEL}, body=takes({"name": TEXT}, new_name=TEXT, **_NAMED)),
    ("GET", f"{LABELS}/{{label}}"): Endpoint({200: LABEL}),
    ("DELETE", f"{LABELS}/{{label}}"): Endpoint({204: EMPTY}),
}
ENDPOINTS |= BESIDE


def _notes(call: Call) -> dict[str, list[Note]]:
    """Map each thread of an issue to its notes; a note outside of any is a thread by itself."""
    found: dict[str, list[Note]] = {}
    for note in call.fake.state.notes_of(issue_in(call, call.project()).id):
        found.setdefault(note.discussion or f"{note.id:040x}", []).append(note)
    return found


def _thread(call: Call, id: str) -> dict[str, Any]:
    notes = _notes(call).get(id)
    if notes is None:
        raise Refused(404, "404 Discussion Not Found")
    return {"id": id, "individual_note": not notes[0].discussion, "notes": [note_shown(call, note) for note in notes]}


@route("GET", THREADS)
def threads(call: Call) -> Answer:
    return paged(call, list(_notes(call)), lambda id: _thread(call, id))


@route("POST", THREADS)
def begin(call: Call) -> Answer:
    id = f"{call.fake.state.new_id():040x}"
    answer = said(call, id)
    return Answer(201, _thread(call, id)) if answer.status == 201 else answer


@route("GET", THREAD)
def thread(call: Call) -> Any:
    return _thread(call, call.params["discussion"])


@route("POST", f"{THREAD}/notes")
def reply(call: Call) -> Answer:
    _thread(call, call.params["discussion"])
    return said(call, call.params["discussion"])


@route("GET", f"{THREAD}/notes/{{note}}")
def note(call: Call) -> Any:
    return note_shown(call, note_in(call, issue_in(call, call.project())))


@route("PUT", f"{THREAD}/notes/{{note}}")
def reword(call: Call) -> Any:
    return reworded(call, *own_note(call))


@route("DELETE", f"{THREAD}/notes/{{note}}")
def unsay(call: Call) -> Answer:
    return unsaid(call)


def _event(call: Call, kind: str) -> Any:
    for event in events_of(call, kind):
        if event.id == int(call.params["event"]):
            return event_shown(call, event)
    raise Refused(404, "404 Not found")


@route("GET", f"{ONE}/resource_weight_events")
def weights(call: Call) -> Answer:
    return paged(call, events_of(call, "weight"), lambda event: event_shown(call, event))


@route("GET", f"{ONE}/resource_weight_events/{{event}}")
def weight(call: Call) -> Any:
    return _event(call, "weight")


@route("GET", f"{ONE}/resource_milestone_events")
def plans(call: Call) -> Answer:
    return paged(call, events_of(call, "milestone"), lambda event: event_shown(call, event))


@route("GET", f"{ONE}/resource_milestone_events/{{event}}")
def plan(call: Call) -> Any:
    return _event(call, "milestone")


@route("POST", STONES)
def new_milestone(call: Call) -> Answer:
    project, state = call.project(least=PLANNER), call.fake.state
    id = state.new_id()
    made = state.put("milestone", Milestone(id, id, project.id, call.body["title"], call.fake.now()))
    return Answer(201, milestone_shown(call, made.id))


@route("GET", f"{STONES}/{{milestone}}/issues")
def issues_of(call: Call) -> Answer:
    project = call.project()
    rows = [issue for issue in call.fake.state.rows("issue").values() if issue.project == project.id]
    return paged(
        call, [row for row in rows if str(row.milestone) == call.params["milestone"]], lambda row: shown(call, row)
    )


def _of_group(call: Call) -> dict[str, Label]:
    return call.fake.state.group_labels.setdefault(call.params["id"], {})


def _label(call: Call, name: str) -> Label:
    if name not in _of_group(call):
        raise Refused(404, "404 Label Not Found")
    return _of_group(call)[name]


@route("GET", LABELS)
def labels(call: Call) -> Answer:
    return paged(call, sorted(_of_group(call).values(), key=lambda label: label.name), label_shown)


@route("POST", LABELS)
def new_label(call: Call) -> Answer:
    body = call.body
    if body["name"] in _of_group(call):
        raise Refused(409, "Label already exists")
    made = Label(call.fake.state.new_id(), body["name"], body["color"], body.get("description"))
    _of_group(call)[made.name] = made
    return Answer(201, label_shown(made))


@route("PUT", LABELS)
def relabel(call: Call) -> Any:
    body, found = call.body, _label(call, call.body["name"])
    made = replace(
        found, name=body.get("new_name", found.name), color=body.get("color", found.color),
        description=body.get("description", found.description),
    )  # fmt: skip
    del _of_group(call)[found.name]
    _of_group(call)[made.name] = made
    return label_shown(made)


@route("GET", f"{LABELS}/{{label}}")
def label(call: Call) -> Any:
    return label_shown(_label(call, call.params["label"]))


@route("DELETE", f"{LABELS}/{{label}}")
def delete_label(call: Call) -> Answer:
    del _of_group(call)[_label(call, call.params["label"]).name]
    return Answer(204)
