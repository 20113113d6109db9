"""What airtriage takes for granted of a GitLab, asked of the double and, where one is named, of a real one.

A real GitLab is named by GITLAB_URL, GITLAB_TOKEN (scope api; Reporter at least) and GITLAB_PROJECT (a path; issues are opened
in it and closed again). Without them that half is skipped: the one kind of test that may be. Every answer is held against the contract.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import gitlab
import pytest
import requests
from gitlab.exceptions import GitlabCreateError, GitlabError, GitlabGetError, GitlabUpdateError

from tests.gitlab_contract import Contract, matched
from tests.gitlab_double import FakeGitLab
from tests.gitlab_state import REPORTER
from tests.mirroring import Clock, World
from triage.gitlab import Access, GitLab
from triage.issues import Draft
from triage.policy import Rules
from triage.words import Written

NAMED = ("GITLAB_URL", "GITLAB_TOKEN", "GITLAB_PROJECT")
FENCE = "`````"


@dataclass
class Place:
    """A project in a GitLab, the double's or a real one's, and what was opened in it."""

    client: gitlab.Gitlab
    path: str
    token: str
    wrong: list[str] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)
    _contract: Contract = field(default_factory=Contract)

    def __post_init__(self) -> None:
        self.client.session.hooks["response"].append(self._checked)
        self.project = self.client.projects.get(self.path)

    def open(self, **body: Any) -> Any:
        made = self.project.issues.create({"title": f"airtriage's tests {uuid.uuid4().hex[:8]}"} | body)
        self.opened.append(made.iid)
        return made

    def found(self, **query: Any) -> list[Any]:
        return self.project.issues.list(get_all=True, query_parameters={"state": "all", **query})

    def tidy(self) -> None:
        """Delete what was opened where that is allowed, else close it."""
        for iid in self.opened:
            try:
                self.project.issues.delete(iid)
            except GitlabError:
                with suppress(GitlabError):
                    self.project.issues.update(iid, {"state_event": "close"})

    def _checked(self, answer: requests.Response, *_: object, **__: object) -> None:
        sent = answer.request
        path = urlsplit(str(sent.url)).path.partition("/api/v4")[2]
        found = matched(str(sent.method), path)
        if found is None:
            self.wrong.append(f"{sent.method} {path}: not in the contract")
            return
        body = answer.json() if answer.content else None
        words = self._contract.answer(str(sent.method), found[0], answer.status_code, body)
        self.wrong += [f"{sent.method} {path} {answer.status_code}: {each}" for each in words]


@pytest.fixture(params=["double", "real"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A project of the double, and of the real GitLab that the environment names."""
    if request.param == "double":
        with FakeGitLab() as fake:
            fake.user("bot", bot=True)
            fake.project("data/dags", {"bot": REPORTER})
            yield from _used(fake.client(), "data/dags", fake.token("bot"))
        return
    missing = [name for name in NAMED if not os.environ.get(name)]
    if missing:
        pytest.skip(f"no real GitLab is named: {', '.join(missing)} not set")
    url, token, path = (os.environ[name] for name in NAMED)
    yield from _used(gitlab.Gitlab(url, private_token=token, timeout=30), path, token)


def _used(client: gitlab.Gitlab, path: str, token: str) -> Iterator[Place]:
    place = Place(client, path, token)
    yield place
    place.tidy()
    assert place.wrong == []


def test_a_description_comes_back_as_it_was_sent_with_its_hidden_marker(place: Place) -> None:
    text = "Words of `code`.\n\n<!-- airtriage:begin -->\nblock\n<!-- airtriage:v1 problem=0123456789abcdef -->\n<!-- airtriage:end -->"
    assert place.open(description=text).description == text
    assert place.project.issues.get(place.opened[0]).description == text


def test_an_issue_is_found_at_once_by_author_label_and_time(place: Place) -> None:
    made = place.open(labels=["airtriage-tests"])
    me = place.client.http_get("/user")
    since = (datetime.fromisoformat(made.created_at) - timedelta(seconds=1)).isoformat()
    assert made.labels == ["airtriage-tests"]
    for query in ({"author_id": me["id"]}, {"labels": "airtriage-tests"}):
        found = place.found(created_after=since, order_by="created_at", sort="asc", **query)
        assert made.iid in [issue.iid for issue in found]


def test_numbers_that_are_no_issue_are_left_out_of_a_list(place: Place) -> None:
    made = place.open()
    query = {"iids[]": [made.iid, 999_999_999], "state": "all"}
    found = place.client.http_list(
        f"/projects/{place.project.id}/issues", query_data=query, iterator=False, get_all=True
    )
    assert [row["iid"] for row in found] == [made.iid]


@pytest.mark.parametrize("keyset", [{}, {"pagination": "keyset"}])
def test_pages_follow_on_each_other(place: Place, keyset: dict[str, str]) -> None:
    since = (datetime.fromisoformat(place.open().created_at) - timedelta(seconds=1)).isoformat()
    for _ in range(4):
        place.open()
    query = {"created_after": since, "order_by": "created_at", "sort": "asc", "per_page": 2, **keyset}
    rows = place.project.issues.list(iterator=True, query_parameters={"state": "all", **query})
    iids = [row.iid for row in rows]
    assert len(iids) == len(set(iids))
    assert set(iids) >= set(place.opened)


def test_labels_are_added_and_taken_away_beside_those_of_people(place: Place) -> None:
    made = place.open(labels=["by-a-person", "airtriage-tests"])
    changed = place.project.issues.update(made.iid, {"add_labels": "more", "remove_labels": "airtriage-tests"})
    assert sorted(changed["labels"]) == ["by-a-person", "more"]


def test_closing_what_is_closed_is_no_error_and_no_event(place: Place) -> None:
    made = place.open()
    for event in ("close", "close", "reopen", "reopen", "close"):
        place.project.issues.update(made.iid, {"state_event": event})
    events = place.project.issues.get(made.iid).resourcestateevents.list(get_all=True)
    assert [event.state for event in events] == ["closed", "reopened", "closed"]


def test_a_note_and_an_edit_move_the_time_of_change_and_notes_count_up(place: Place) -> None:
    made = place.open()
    notes = [made.notes.create({"body": f"note {number}"}) for number in range(2)]
    assert notes[0].id < notes[1].id
    after = place.project.issues.get(made.iid)
    assert after.updated_at > made.updated_at
    newest = made.notes.list(get_all=True, order_by="created_at", sort="desc", activity_filter="only_comments")
    assert [note.id for note in newest] == [notes[1].id, notes[0].id]
    notes[0].body = "reworded"
    notes[0].save()
    assert made.notes.get(notes[0].id).body == "reworded"


@pytest.mark.parametrize("write", ["create", "edit", "note"])
def test_a_quick_action_in_a_long_fence_and_shifted_runs_nowhere(place: Place, write: str) -> None:
    text = f"Log:\n\n{FENCE}text\n /close\n /label ~ran\n /confidential\n /title ran\n{FENCE}\n\nEnd."
    made = place.open(description=text if write == "create" else "words")
    if write == "edit":
        place.project.issues.update(made.iid, {"description": text})
    if write == "note":
        assert made.notes.create({"body": text}).body == text
    after = place.project.issues.get(made.iid)
    assert (after.state, after.labels, after.confidential, after.title) == ("opened", [], False, made.title)
    assert after.description == (text if write != "note" else "words")


def test_a_bare_quick_action_runs_and_leaves_the_text(place: Place) -> None:
    made = place.open(description="words")
    made.notes.create({"body": "words\n\n/close"})
    assert place.project.issues.get(made.iid).state == "closed"


def test_limits_are_refused_in_words(place: Place) -> None:
    with pytest.raises(GitlabCreateError, match="too long"):
        place.open(title="x" * 256)
    made = place.open(title="x" * 255)
    with pytest.raises(GitlabUpdateError, match="at least one parameter"):
        place.project.issues.update(made.iid, {})


def _nowhere(place: Place) -> None:
    place.client.projects.get("no-such-group-at-all/no-such-project")


def _no_issue(place: Place) -> None:
    place.project.issues.get(999_999_999)


@pytest.mark.parametrize("ask", [_nowhere, _no_issue])
def test_what_is_not_there_is_a_404(place: Place, ask: Callable[[Place], None]) -> None:
    with pytest.raises(GitlabGetError) as raised:
        ask(place)
    assert raised.value.response_code == 404


def test_a_name_that_nobody_has_finds_nobody(place: Place) -> None:
    assert place.client.users.list(username=f"nobody-{uuid.uuid4().hex}", get_all=True) == []


def test_the_token_says_what_it_may_and_until_when(place: Place) -> None:
    its = place.client.personal_access_tokens.get("self")
    assert "api" in its.scopes
    assert its.expires_at is None or datetime.fromisoformat(its.expires_at)


def test_the_role_in_a_project_is_said(place: Place) -> None:
    granted = [its for its in place.project.permissions.values() if its]
    assert max(its["access_level"] for its in granted) >= REPORTER


# Our own adapter, and whole rounds with the texts that people get.


def test_the_adapter_opens_reads_and_turns_an_issue(place: Place) -> None:
    way = GitLab(Access(place.client.url, place.token, timeout=30))
    desk = way.desk(place.path)
    made = way.open(place.path, Draft("airtriage's tests", "words", ("airtriage-tests",)))
    place.opened.append(made.iid)
    note = way.comment(place.path, made.iid, "said")
    way.edit(place.path, made.iid, is_open=False, description="other words")
    now = way.issue(place.path, made.iid)
    assert (now.description, now.is_open, now.closed_by, now.author) == ("other words", False, desk.bot, desk.bot)
    assert [(turn.is_open, turn.who) for turn in way.turns(place.path, made.iid)] == [(False, desk.bot)]
    assert note.id in [its.id for its in way.notes(place.path, made.iid) if not its.is_system]
    since = made.created_at - timedelta(seconds=1)
    for found in (
        way.made(place.path, since, by=desk.bot_id),
        way.made(place.path, since, label="airtriage-tests"),
        way.changed(place.path, since),
        way.several(place.path, [made.iid]),
    ):
        assert made.id in [its.id for its in found]
    assert way.user(desk.bot) == desk.bot_id


@dataclass
class Reached:
    """A GitLab as rounds are led to one."""

    url: str
    secret: str

    def token(self, name: str) -> str:
        return self.secret


def test_a_problem_is_mirrored_from_its_first_failure_to_its_regression(place: Place) -> None:
    clock = Clock(datetime.now(UTC))
    world = World(Reached(place.client.url, place.token), clock, project=place.path, words=Written)  # type: ignore[arg-type]
    world.rules = Rules(place.client.url, place.path, labels=("airtriage-tests",))
    problem = world.fail(uuid.uuid4().int >> 80)  # a cause that no earlier run has left an issue of

    def issue() -> Any:
        return place.project.issues.get(world.mirror(problem).iid)

    world.settle(5)
    place.opened.append(world.mirror(problem).iid)
    assert f"problem={problem}" in issue().description
    assert (issue().state, issue().labels) == ("opened", ["airtriage-tests"])
    place.project.issues.update(issue().iid, {"description": f"Words above.\n\n{issue().description}"})
    world.service.resolve(problem, "ann", clock(), "fixed")
    world.settle(5)
    assert issue().state == "closed"
    clock.forward(hours=2)
    world.fail(int(world.service.find(problem).fingerprint.partition(":")[2], 16))
    world.settle(5)
    assert issue().state == "opened"
    assert issue().description.startswith("Words above.\n\n<!-- airtriage:begin -->")
    said = [note.body for note in issue().notes.list(get_all=True) if not note.system]
    assert len([body for body in said if body.startswith("**It came back.**")]) == 1
    ours = place.found(author_id=place.client.http_get("/user")["id"], labels="airtriage-tests")
    assert len([one for one in ours if f"problem={problem}" in (one.description or "")]) == 1
