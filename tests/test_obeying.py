"""Orders in comments of GitLab's issues, from the comment to the problem: who may, once, and how it is answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.gitlab_double import FakeGitLab
from tests.gitlab_faults import refusal
from tests.gitlab_state import DEVELOPER, GUEST, PLANNER, Note
from tests.mirroring import Clock, World
from triage import linking, orders
from triage.mirrors import Mirror
from triage.records import Change, Problem, TriageState

HIDDEN = re.compile(r"<!-- airtriage:v1 answer=\d+ -->")


@pytest.fixture
def world(gitlab: FakeGitLab) -> Iterator[World]:
    """A problem with an issue; `anna` is a Developer, `gast` a Guest, `plan` a Planner, `strange` no member."""
    clock = Clock()
    gitlab.now = gitlab.state.clock = clock
    for name, role in (("gast", GUEST), ("plan", PLANNER)):
        next(iter(gitlab.state.projects.values())).members[gitlab.user(name).id] = role
    made = World(gitlab, clock)
    made.fail()
    made.settle()
    yield made
    made.store.close()


def _say(world: World, body: str, who: str = "anna") -> int:
    issue = world.fake.issues()[0]
    world.clock.forward(seconds=5)
    said = world.fake.do(who, "POST", f"/projects/{issue.project}/issues/{issue.iid}/notes", {"body": body})
    return int(said["id"])


def _problem(world: World) -> Problem:
    return world.store.records(Problem)[0][0]


def _history(world: World) -> list[tuple[str, str, str]]:
    entries = world.service.history(_problem(world))[::-1]
    return [(one.who, one.what, one.origin) for one in entries if one.origin.startswith("GitLab comment")]


def _answers(world: World) -> list[Note]:
    return [note for note in world.fake.state.rows("note").values() if HIDDEN.search(note.body)]


def _awards(world: World) -> list[tuple[str, int]]:
    return [(award.name, award.on[1]) for award in world.fake.state.rows("award").values()]


def test_an_order_is_followed_and_acknowledged_by_an_emoji(world: World) -> None:
    id = _say(world, "Known, the vendor is at it.\n/airtriage mute 7d because vendor outage")
    world.round()
    problem = _problem(world)
    assert (problem.state, problem.state_by, problem.reason) == (TriageState.MUTED, "anna", "vendor outage")
    assert problem.muted_until is not None
    assert abs(problem.muted_until - world.clock() - timedelta(days=7)) < timedelta(minutes=1)
    assert _history(world)[-1][2] == f"GitLab comment {id}"
    assert _awards(world) == [("white_check_mark", id)]
    assert _answers(world) == []


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("resolve", TriageState.RESOLVED), ("mute", TriageState.MUTED), ("mute until 3 more", TriageState.MUTED),
        ("mute until closed", TriageState.MUTED), ("mute until spread", TriageState.MUTED),
        ("resolve when quiet 7d", TriageState.NEW), ("assign me", TriageState.NEW), ("assign @bert", TriageState.NEW),
        ("note Seen it", TriageState.NEW),
    ],
)  # fmt: skip
def test_every_word_reaches_the_problem(world: World, words: str, state: TriageState) -> None:
    _say(world, f"/airtriage {words}")
    world.round()
    assert _problem(world).state is state
    assert [who for who, _, _ in _history(world)] == ["anna"]
    assert len(_awards(world)) == 1
    assert _answers(world) == []


def test_what_undoes_another_does_so_and_an_owner_is_who_wrote_me(world: World) -> None:
    for words in ("mute", "unmute", "resolve", "reopen", "assign me"):
        _say(world, f"/airtriage {words}")
        world.round()
    assert _problem(world).state is TriageState.NEW
    assert world.service.queue(world.clock())[0].owner == "anna"
    _say(world, "/airtriage assign nobody")
    world.round()
    assert world.service.queue(world.clock())[0].owner != "anna"


def test_our_own_name_in_gitlab_stands_for_the_slash(world: World) -> None:
    _say(world, "@bot resolve")
    world.round()
    assert _problem(world).state is TriageState.RESOLVED


def test_several_orders_of_one_comment_are_followed_in_their_order(world: World) -> None:
    id = _say(world, "/airtriage assign me\n/airtriage note On it.\n/airtriage mute 1d")
    world.round()
    assert [origin for _, _, origin in _history(world)] == [f"GitLab comment {id}", f"GitLab comment {id}.2", f"GitLab comment {id}.3"]  # fmt: skip
    assert len(_awards(world)) == 1


@pytest.mark.parametrize(("who", "is_followed"), [("gast", False), ("strange", False), ("plan", True), ("anna", True)])
def test_only_members_from_planner_on_are_followed_and_strangers_get_no_answer(
    world: World, who: str, is_followed: bool
) -> None:
    project = next(iter(world.fake.state.projects.values()))
    project.visibility = "public"
    _say(world, "/airtriage resolve\n/airtriage frobnicate", who)
    world.round()
    assert (_problem(world).state is TriageState.RESOLVED) is is_followed
    assert len(_answers(world)) == is_followed


def test_an_unknown_word_gets_one_answer_that_names_the_known_ones(world: World) -> None:
    _say(world, "/airtriage mutee 7d")
    for _ in range(4):
        world.round()
    answers = _answers(world)
    assert len(answers) == 1
    assert "`mutee` is not a word it knows." in answers[0].body
    assert all(f"`/airtriage {form}`" in answers[0].body for form, _ in orders.WORDS)
    assert _awards(world) == []


def test_what_cannot_be_done_is_answered_with_the_reason(world: World) -> None:
    _say(world, "/airtriage unmute")
    world.round()
    assert len(_answers(world)) == 1
    assert "is not muted" in _answers(world)[0].body


def test_help_is_answered(world: World) -> None:
    _say(world, "/airtriage help")
    world.round()
    assert len(_answers(world)) == 1


def test_our_own_comments_order_nothing(world: World) -> None:
    _say(world, "/airtriage resolve", "bot")
    world.round()
    assert _problem(world).state is TriageState.NEW


def test_log_text_in_a_comment_orders_nothing(world: World) -> None:
    _say(world, "It says:\n\n```text\n/airtriage resolve\n```\n\n> /airtriage resolve\n")
    world.round()
    assert _problem(world).state is TriageState.NEW


def test_an_edited_comment_is_not_followed_again(world: World) -> None:
    id = _say(world, "/airtriage mute")
    world.round()
    issue = world.fake.issues()[0]
    path = f"/projects/{issue.project}/issues/{issue.iid}/notes/{id}"
    world.fake.do("anna", "PUT", path, {"body": "/airtriage resolve"})
    for _ in range(3):
        world.round()
    assert _problem(world).state is TriageState.MUTED
    assert len(_history(world)) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("path", ["/award_emoji$", "/notes$"])
def test_whatever_breaks_off_between_an_order_and_its_answer_nothing_is_done_or_said_twice(
    world: World, path: str, when: str
) -> None:
    _say(world, "/airtriage unmute\n/airtriage mute until 5 more\n/airtriage note Once.\n/airtriage oops")
    world.fake.faults.add(refusal(502, when, method="POST", path=path, nth=1))
    world.settle()
    assert [what for _, what, _ in _history(world)] == ["muted until 5 more failures", "noted"]
    assert _problem(world).state is TriageState.MUTED
    assert len(_answers(world)) == 1
    assert len(_awards(world)) == 1


def test_orders_that_were_judged_are_not_judged_again_though_what_refused_them_is_gone(world: World) -> None:
    """`unmute` is refused, `mute` is done, then the store is as it was before the comment counted as heard."""
    id = _say(world, "/airtriage unmute\n/airtriage mute")
    before = world.mirror(_problem(world).id)
    world.round()
    mirror, revision = world.store.get(Mirror, before.problem) or (None, 0)
    assert mirror is not None
    world.store.save(replace(mirror, heard=before.heard, updated_at=before.updated_at), revision)
    world.settle()
    assert _problem(world).state is TriageState.MUTED
    assert [origin for _, _, origin in _history(world)] == [f"GitLab comment {id}.2"]
    assert len(_answers(world)) == 1


def test_an_issue_where_nobody_may_comment_holds_nothing_up(world: World) -> None:
    _say(world, "/airtriage oops\n/airtriage mute")
    world.fake.faults.add(refusal(403, "before", method="POST", path="/(notes|award_emoji)$", times=20))
    world.settle()
    assert _problem(world).state is TriageState.MUTED
    world.fake.faults.clear()
    _say(world, "/airtriage unmute")
    world.settle()
    assert _problem(world).state is not TriageState.MUTED


def test_a_history_entry_of_an_order_is_a_persons(world: World) -> None:
    _say(world, "/airtriage resolve")
    world.round()
    changes = [change for change, _ in world.store.records(Change) if change.origin.startswith("GitLab comment")]
    assert [(change.who, change.what) for change in changes] == [("anna", "resolved")]
    assert DEVELOPER > PLANNER


def test_what_was_ordered_before_an_issue_was_linked_is_past(world: World) -> None:
    other = world.fail(2, dag="billing")
    path = f"/projects/{world.fake.issues()[0].project}/issues"
    old = world.fake.do("anna", "POST", path, {"title": "An old one"})
    world.fake.do("anna", "POST", f"{path}/{old['iid']}/notes", {"body": "/airtriage resolve"})
    its = world.sync()
    issues = its.connect(world.fake.url, world.project)
    assert issues is not None
    place = linking.place(world.fake.url, f"{world.project}#{old['iid']}")
    linking.link(
        world.service, issues, its.words, world.fake.url, world.service.find(other), place, "bert", world.clock()
    )
    world.settle()
    assert world.service.find(other).state is TriageState.NEW
    world.fake.do("anna", "POST", f"{path}/{old['iid']}/notes", {"body": "/airtriage resolve"})
    world.settle()
    assert world.service.find(other).state is TriageState.RESOLVED
