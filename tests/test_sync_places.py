"""Mirroring where projects, tokens and labels change, and where two ways lead to one project: still one issue, and no other's touched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.gitlab_double import FakeGitLab
from tests.gitlab_faults import refusal
from tests.gitlab_state import DEVELOPER, MAINTAINER, Issue, Project
from tests.gitlab_trials import Doom, Killed
from tests.mirroring import Clock, World
from tests.store_contract import occurrence
from triage import linking
from triage.gitlab import Access, GitLab
from triage.mirrors import Mirror, MirrorStatus
from triage.policy import Route, Rules
from triage.records import Change, TriageState
from triage.sync import Sync

BOTH = {"bot": MAINTAINER, "newbot": MAINTAINER, "anna": DEVELOPER}


@pytest.fixture
def world() -> Iterator[World]:
    clock = Clock()
    with FakeGitLab(clock) as fake:
        for bot in ("bot", "newbot"):
            fake.user(bot, bot=True)
        fake.project("data/dags", BOTH)
        yield World(fake, clock)


def project(world: World, path: str = "data/dags") -> Project:
    found = world.fake.state.project_of(path)
    assert found is not None
    return found


def opened(world: World, n: int = 1) -> tuple[str, Issue]:
    """Return a problem, and its issue."""
    id = world.fail(n)
    world.settle()
    return id, issue(world, n)


def issue(world: World, n: int = 1) -> Issue:
    return next(one for one in world.fake.issues() if one.title == f"Error {n}" and one.moved_to is None)


def anna(world: World, on: Issue, **body: object) -> None:
    world.clock.forward(seconds=1)
    world.fake.do("anna", "PUT", f"/projects/{on.project}/issues/{on.iid}", body)


def says(world: World, on: Issue, body: str) -> None:
    world.clock.forward(seconds=5)
    world.fake.do("anna", "POST", f"/projects/{on.project}/issues/{on.iid}/notes", {"body": body})


def link(world: World, id: str, on: Issue) -> None:
    problem, at = world.service.find(id), linking.Place(world.fake.state.projects[on.project].path, on.iid)
    issues = GitLab(Access(world.fake.url, world.fake.token("bot"), timeout=2.0))
    words = world.words(world.service, world.clock)
    linking.link(world.service, issues, words, world.fake.url, problem, at, "ann", world.clock())


def rounds(
    world: World, count: int = 6, token: str = "bot", rules: dict[str, Rules] | None = None, seconds: float = 62
) -> None:
    for _ in range(count):
        world.clock.forward(seconds=seconds)
        its = world.sync(token)
        Sync(its.service, rules or its.rules, its.connect, its.words, its.clock, its.listen).run()


def posts(world: World) -> int:
    return len(world.fake.faults.requests("POST", "/issues$"))


# --- an issue that is moved


def test_an_issue_that_a_person_opened_and_moves_is_followed(world: World) -> None:
    made = world.fake.do("anna", "POST", f"/projects/{project(world).id}/issues", {"title": "hers"})
    hers = next(one for one in world.fake.issues() if one.iid == made["iid"])
    id = world.fail()
    link(world, id, hers)
    world.settle()
    moved = world.fake.move(hers, world.fake.project("crm/new", BOTH), "anna")
    world.settle()
    assert (world.mirror(id).status, world.mirror(id).issue_id) == (MirrorStatus.LINKED, moved.id)


def test_an_issue_of_a_former_token_that_is_moved_is_followed(world: World) -> None:
    id, its = opened(world)
    world.clock.forward(hours=2)
    rounds(world, token="newbot")
    moved = world.fake.move(its, world.fake.project("crm/new", BOTH), "anna")
    rounds(world, token="newbot")
    assert (world.mirror(id).status, world.mirror(id).issue_id) == (MirrorStatus.LINKED, moved.id)


def test_an_order_is_not_followed_again_when_its_issue_is_moved_and_those_since_are(world: World) -> None:
    id, its = opened(world)
    says(world, its, "/airtriage mute")
    world.settle()
    world.service.unmute(id, "ann", world.clock())
    says(world, its, "/airtriage note in time")
    target = world.fake.project("crm/new", BOTH)
    moved = world.fake.move(its, target, "anna")
    says(world, moved, "/airtriage note after")
    world.settle()
    assert world.service.find(id).state is not TriageState.MUTED
    notes = [one.why for one, _ in world.store.records(Change, parent=id) if one.what == "noted"]
    assert sorted(notes) == ["after", "in time"]


def test_an_issue_that_is_moved_on_and_back_is_followed(world: World) -> None:
    id, its = opened(world)
    moved = world.fake.move(its, world.fake.project("crm/new", BOTH), "anna")
    world.clock.forward(seconds=3)
    again = world.fake.move(moved, world.fake.project("crm/newer", BOTH), "anna")
    world.settle()
    assert world.mirror(id).issue_id == again.id
    back = world.fake.move(again, project(world), "anna")
    world.settle()
    assert world.mirror(id).issue_id == back.id
    anna(world, back, state_event="close")
    world.settle()
    assert world.service.find(id).state is TriageState.RESOLVED
    assert posts(world) == 1


# --- a project that is another, or another's name


def test_a_project_that_was_made_anew_at_the_same_path_keeps_its_own_issues(world: World) -> None:
    id, its = opened(world)
    world.fake.state.drop("issue", its.id)
    del world.fake.state.projects[its.project]
    fresh = world.fake.project("data/dags", BOTH)
    made = world.fake.do("anna", "POST", f"/projects/{fresh.id}/issues", {"title": "hers", "description": "words"})
    assert made["iid"] == its.iid
    hers = next(one for one in world.fake.issues() if one.project == fresh.id)
    world.service.resolve(id, "ann", world.clock())
    world.clock.forward(hours=26)
    world.settle()
    assert next(one for one in world.fake.issues() if one.id == hers.id) == hers
    other = world.fail(2)
    world.settle()
    assert (world.mirror(other).status, issue(world, 2).project) == (MirrorStatus.LINKED, fresh.id)
    anna(world, hers, state_event="reopen", title="hers still")
    world.settle()
    assert world.service.find(id).state_by == "ann"
    assert any(str(its.project) in trouble.what for trouble in world.round(700).troubles)


def test_a_project_that_was_renamed_is_worked_on_by_its_number(world: World) -> None:
    id, _ = opened(world)
    world.fake.rename(project(world), "data/pipelines")
    world.service.resolve(id, "ann", world.clock())
    other = world.fail(2)
    world.clock.forward(hours=2)
    world.settle()
    assert issue(world).state == "closed"
    assert world.mirror(other).status is MirrorStatus.LINKED
    world.rules = Rules(world.fake.url, "data/pipelines")
    third = world.fail(3)
    world.service.reopen(id, "ann", world.clock())
    world.settle()
    assert issue(world).state == "opened"
    assert world.mirror(third).status is MirrorStatus.LINKED
    assert posts(world) == 3


def test_a_project_whose_former_name_leads_nowhere_is_worked_on_by_its_number(world: World) -> None:
    id, _ = opened(world)
    project(world).path = "data/pipelines"
    world.service.resolve(id, "ann", world.clock())
    world.clock.forward(hours=2)
    world.settle()
    assert issue(world).state == "closed"


@pytest.mark.parametrize("name", ["number", "Data/DAGs"])
def test_two_names_of_one_project_share_its_cap_and_its_summary(world: World, name: str) -> None:
    other = str(project(world).id) if name == "number" else name
    routes = (Route("other", dag="other*", project=other),)
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=2, routes=routes)
    for n in range(1, 5):
        world.fail(n)
        world.fail(n + 10, dag="other")
    rounds(world)
    errors = [one for one in world.fake.issues() if one.title.startswith("Error")]
    assert (len(errors), len(world.fake.issues())) == (2, 3)


# --- two installations


@pytest.mark.parametrize("token", ["bot", "newbot"])
def test_two_airtriages_with_other_deployments_leave_each_others_issues_alone(world: World, token: str) -> None:
    id, its = opened(world)
    other = World(world.fake, world.clock, token=token)
    other.service.record([occurrence(deployment="staging", at=world.clock(), fingerprint="1:01", title="Error 1")])
    other.service.settle(world.clock())
    for _ in range(8):
        rounds(world, 1, seconds=15)
        rounds(other, 1, token, {"staging": Rules(world.fake.url, "data/dags")}, seconds=15)
    theirs = next(one for one in world.fake.issues() if one.id != its.id)
    says(world, its, "/airtriage note once")
    world.service.resolve(id, "ann", world.clock())
    for _ in range(8):
        rounds(world, 1, seconds=15)
        rounds(other, 1, token, {"staging": Rules(world.fake.url, "data/dags")}, seconds=15)
    assert [(one.id, one.state) for one in world.fake.issues()] == [(its.id, "closed"), (theirs.id, "opened")]
    assert other.service.queue(world.clock())[0].problem.state is TriageState.NEW
    assert len([note for note in world.fake.notes(its) if not note.system]) == 2


# --- tokens and labels that change


def test_an_issue_of_a_former_token_is_found_by_the_label_of_any_deployment(world: World) -> None:
    rules = {
        "prod": Rules(world.fake.url, "data/dags"),
        "staging": Rules(world.fake.url, "data/dags", labels=("staging",)),
    }
    staging = occurrence(deployment="staging", at=world.clock(), fingerprint="1:01", title="Error 1")
    world.service.record([staging])
    world.service.settle(world.clock())
    rounds(world, rules=rules)
    assert (posts(world), issue(world).labels) == (1, ("staging",))
    fresh = World(world.fake, world.clock)
    fresh.service.record([staging])
    fresh.service.settle(world.clock())
    rounds(fresh, token="newbot", rules=rules)
    assert posts(world) == 1
    assert [mirror.iid for mirror, _ in fresh.store.records(Mirror)] == [1]


def test_an_issue_of_a_former_token_is_found_though_it_has_no_label_any_more(world: World) -> None:
    world.fail(2)
    world.settle()
    kept = world.store
    id = world.fail(1)
    world.fake.faults.add(refusal(502, "after", method="POST", path="/issues$", times=1))
    world.round()
    assert kept is world.store
    anna(world, issue(world), remove_labels="airtriage")
    rounds(world, token="newbot")
    assert (posts(world), world.mirror(id).iid) == (2, 2)


def test_labels_that_were_changed_lead_a_restored_store_and_another_token_to_the_former_ones(world: World) -> None:
    world.rules = Rules(world.fake.url, "data/dags", labels=("old",))
    world.fail(2)
    world.settle()
    id = world.fail(1)
    world.fake.faults.add(refusal(502, "after", method="POST", path="/issues$", times=1))
    world.round()
    world.rules = Rules(world.fake.url, "data/dags", labels=("new",))
    rounds(world, token="newbot")
    assert (posts(world), world.mirror(id).iid) == (2, 2)


# --- links by people


def test_an_issue_that_a_person_gave_up_for_another_is_left_alone(world: World) -> None:
    id, first = opened(world)
    other = world.fake.do("anna", "POST", f"/projects/{first.project}/issues", {"title": "hers"})
    hers = next(one for one in world.fake.issues() if one.iid == other["iid"])
    link(world, id, hers)
    world.fail(3)
    world.settle()
    assert world.mirror(id).issue_id == hers.id
    assert issue(world).state == "opened"
    assert [note for note in world.fake.notes(first) if not note.system] == []


def test_who_parts_a_problem_and_links_the_same_issue_again_has_it_kept_as_before(world: World) -> None:
    id, its = opened(world)
    linking.unlink(world.service, world.service.find(id), "ann", world.clock())
    world.settle()
    link(world, id, its)
    world.service.resolve(id, "ann", world.clock())
    world.clock.forward(hours=2)
    world.settle()
    assert issue(world).state == "closed"
    assert (issue(world).description or "").count("<ours>") == 1
    assert posts(world) == 1


def test_a_deleted_issue_that_a_person_replaced_is_kept_true(world: World) -> None:
    id, its = opened(world)
    world.fake.state.drop("issue", its.id)
    world.clock.forward(hours=26)
    world.settle()
    assert world.mirror(id).status is MirrorStatus.LOST
    made = world.fake.do("anna", "POST", f"/projects/{its.project}/issues", {"title": "hers"})
    hers = next(one for one in world.fake.issues() if one.iid == made["iid"])
    link(world, id, hers)
    world.settle()
    anna(world, hers, state_event="close")
    world.settle()
    assert world.service.find(id).state is TriageState.RESOLVED


# --- the cap


def test_a_store_restored_in_a_storm_opens_no_more_than_the_cap(world: World) -> None:
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=5)
    for n in range(1, 21):
        world.fail(n)
    rounds(world)
    fresh = World(world.fake, world.clock, rules=world.rules)
    for n in range(20, 0, -1):  # others are the newest now, so others would be opened first
        fresh.fail(n)
    rounds(fresh)
    assert len([one for one in world.fake.issues() if one.title.startswith("Error")]) == 5


def test_an_issue_that_a_person_links_takes_no_place_under_the_cap(world: World) -> None:
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=1)
    made = world.fake.do("anna", "POST", f"/projects/{project(world).id}/issues", {"title": "hers"})
    world.clock.forward(hours=3)
    id = world.fail()
    link(world, id, next(one for one in world.fake.issues() if one.iid == made["iid"]))
    world.fail(2)
    rounds(world)
    assert posts(world) == 1
    assert timedelta(0) < world.clock() - world.mirror(id).intended_at


def test_a_storm_of_many_problems_opens_its_cap_an_hour_and_one_summary_through_kills(world: World) -> None:
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=20)
    for n in range(1, 56):
        world.fail(n)
    whole = world.store
    for step in (40, 90, 150, 230):
        world.clock.forward(seconds=62)
        doom = Doom(step)
        world.store, world.wrap = doom.over(whole), doom.over
        with contextlib.suppress(Killed):
            world.sync().run()
        world.store, world.wrap = whole, lambda issues: issues
    rounds(world)
    titles = [one.title for one in world.fake.issues()]
    assert (sum(title.startswith("Error") for title in titles), titles.count("Storm"), len(set(titles))) == (20, 1, 21)
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=25)  # five more at once, and as many in the next hour
    rounds(world)
    assert len(world.fake.issues()) == 26
    world.clock.forward(minutes=56)
    for count in (51, 56):
        rounds(world, 8)
        assert len(world.fake.issues()) == count
        world.clock.forward(hours=1)
    rounds(world)
    assert {one.title: one.state for one in world.fake.issues()}["Storm"] == "closed"
