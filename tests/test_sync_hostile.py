"""Mirroring where somebody, or GitLab itself, acts in the worst moment: nobody's act is undone, and no issue is made twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.gitlab_attacks import ATTACKS
from tests.gitlab_double import FakeGitLab
from tests.gitlab_faults import Fault, refusal
from tests.gitlab_state import DEVELOPER, MAINTAINER, Issue, Lag
from tests.gitlab_trials import Doom, Killed
from tests.mirroring import Clock, World
from triage import inbox
from triage.mirrors import Heard, HeardKind, MirrorStatus
from triage.model import Evidence, Signature
from triage.policy import Rules
from triage.records import TriageState
from triage.words import Written


@pytest.fixture
def world() -> Iterator[World]:
    clock = Clock()
    with FakeGitLab(clock) as fake:
        fake.user("bot", bot=True)
        fake.project("data/dags", {"bot": MAINTAINER, "anna": DEVELOPER})
        yield World(fake, clock)


def opened(world: World) -> tuple[str, Issue]:
    """Return a problem, and its issue."""
    id = world.fail()
    world.settle()
    return id, issue(world)


def issue(world: World) -> Issue:
    return next(one for one in world.fake.issues() if one.title == "Error 1")


def anna(world: World, **body: object) -> None:
    """Let anna edit the issue, a second later."""
    world.clock.forward(seconds=1)
    its = issue(world)
    world.fake.do("anna", "PUT", f"/projects/{its.project}/issues/{its.iid}", body)


def made(world: World) -> int:
    return len(world.fake.faults.requests("POST", "/issues$"))


# --- exactly one


def test_looks_that_lag_after_a_lost_answer_open_no_second_issue(world: World) -> None:
    world.fake.faults.add(refusal(502, "after", method="POST", path="/issues$", nth=1))
    world.fake.faults.add(Fault("stale", lag=Lag(seconds=55), method="GET", path="/issues$"))
    opened(world)
    assert made(world) == 1


def test_an_answer_later_than_our_patience_is_found(world: World) -> None:
    world.fake.faults.add(Fault("hang", when="after", method="POST", path="/issues$", nth=1, seconds=2.5))
    opened(world)
    assert made(world) == 1


def test_a_request_that_a_proxy_sent_twice_leaves_one_open_issue_after_a_day(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage.sync._CHECK", timedelta(minutes=10))  # a day, with a round every half minute
    world.fake.faults.add(Fault("duplicate", method="POST", path="/issues$", nth=1))
    id = world.fail()
    for _ in range(30):
        world.round()
    assert sorted(one.state for one in world.fake.issues()) == ["closed", "opened"]
    linked = next(one for one in world.fake.issues() if one.state == "opened")
    assert world.mirror(id).iid == linked.iid


def test_our_block_copied_into_the_issue_of_another_problem_closes_neither(world: World) -> None:
    _, its = opened(world)
    other = world.fail(2)
    world.settle()
    second = next(one for one in world.fake.issues() if one.title == "Error 2")
    both = f"Same as this one?\n{its.description}\n\n{second.description}"
    world.fake.do("anna", "PUT", f"/projects/{its.project}/issues/{second.iid}", {"description": both})
    world.fail(3)
    world.settle()
    assert [one.state for one in world.fake.issues()] == ["opened"] * 3
    assert world.mirror(other).iid == second.iid
    assert world.fake.faults.requests("POST", "/notes$") == world.fake.faults.requests("PUT") == []


def test_an_issue_that_is_dated_into_the_future_hides_none_and_no_closing(world: World) -> None:
    id, its = opened(world)
    late = world.clock() + timedelta(days=900)
    body = {"title": "from the future", "labels": "airtriage"}
    made_late = world.fake.do("anna", "POST", f"/projects/{its.project}/issues", body)
    found = next(one for one in world.fake.issues() if one.iid == made_late["iid"])
    world.fake.state.put("issue", replace(found, created_at=late, updated_at=late))
    world.fail(2)
    world.settle()
    world.fake.faults.add(refusal(502, "after", method="POST", path="/issues$", nth=1))
    before = made(world)
    world.fail(3)
    world.settle()
    assert made(world) == before + 1
    anna(world, state_event="close")
    world.round()
    assert world.service.find(id).state is TriageState.RESOLVED


def test_a_proxy_that_wants_us_to_wait_for_years_is_asked_again_within_the_hour(world: World) -> None:
    world.fake.faults.add(refusal(429, retry_after=10**12, times=1))
    world.fail()
    report = world.round()
    assert report.again_at is not None
    assert report.again_at - world.clock() < timedelta(hours=1, minutes=1)


def test_a_copy_that_a_person_made_with_our_marker_is_theirs(world: World) -> None:
    id, its = opened(world)
    copy = {"title": "a copy", "description": its.description, "labels": "airtriage"}
    world.fake.do("anna", "POST", f"/projects/{its.project}/issues", copy)
    world.fail(2)
    world.settle()
    assert [one.state for one in world.fake.issues()] == ["opened"] * 3
    assert world.mirror(id).iid == its.iid


def test_without_any_label_issues_are_opened_and_found_all_the_same(world: World) -> None:
    world.rules = Rules(world.fake.url, "data/dags", labels=())
    world.fake.faults.add(refusal(502, "after", method="POST", path="/issues$", nth=1))
    opened(world)
    assert made(world) == 1


def test_issues_switched_off_for_a_day_lose_nothing(world: World) -> None:
    id, its = opened(world)
    project = world.fake.state.projects[its.project]
    project.issues_enabled = False
    world.fail(2)
    world.clock.forward(hours=26)
    world.settle()
    assert world.mirror(id).status is MirrorStatus.LINKED
    project.issues_enabled = True
    world.settle()
    assert len(world.fake.issues()) == 2


# --- nobody's act is undone


def test_words_written_right_after_our_first_look_at_an_issue_stay(world: World) -> None:
    opened(world)
    before = issue(world).description
    words = Fault("meanwhile", when="after", method="GET", path="/issues/1$", times=1)
    words.act = lambda: anna(world, description=f"hers\n{before}")
    world.fake.faults.add(words)
    world.clock.forward(hours=2)
    world.fail()
    world.settle()
    assert words.struck == 1
    assert (issue(world).description or "").startswith("hers\n<ours>\n2 tries")


def test_who_reopens_what_we_closed_without_hearing_that_we_did_is_heard(world: World) -> None:
    id, _ = opened(world)
    world.fake.faults.add(refusal(502, "after", method="PUT", times=1))
    world.service.resolve(id, "ann", world.clock(), "fixed")
    world.round()
    assert issue(world).state == "closed"
    anna(world, state_event="reopen")
    world.settle()
    assert issue(world).state == "opened"
    found = world.service.find(id)
    assert (found.state is TriageState.RESOLVED, found.state_by) == (False, "anna")


def test_who_closes_and_reopens_within_seconds_of_the_opening_is_heard(world: World) -> None:
    id = world.fail()
    while not world.fake.issues():
        world.round()
    world.service.resolve(id, "ann", world.clock(), "fixed")
    for event, seconds in (("close", 1), ("reopen", 3)):
        world.clock.forward(seconds=seconds)
        anna(world, state_event=event)
    world.settle()
    found = world.service.find(id)
    assert (issue(world).state, found.state is TriageState.RESOLVED, found.state_by) == ("opened", False, "anna")


@pytest.mark.parametrize("events", [("close",), ("close", "reopen")])
def test_what_is_decided_here_after_a_turn_in_gitlab_that_was_not_heard_stands(
    world: World, events: tuple[str, ...]
) -> None:
    id, _ = opened(world)
    if events == ("close",):
        world.service.resolve(id, "ann", world.clock(), "fixed")
    for event in events:
        world.clock.forward(seconds=10)
        anna(world, state_event=event)
    world.clock.forward(seconds=10)
    verb = world.service.reopen if events == ("close",) else world.service.resolve
    verb(id, "ann", world.clock(), "as I said")
    world.settle()
    found = world.service.find(id)
    assert (found.state_by, found.reason) == ("ann", "as I said")
    assert (issue(world).state == "closed") is (found.state is TriageState.RESOLVED) is (len(events) == 2)


def test_a_turning_back_whose_history_lags_is_heard_once_it_shows(world: World) -> None:
    id, _ = opened(world)
    world.service.resolve(id, "ann", world.clock(), "fixed")
    world.clock.forward(seconds=10)
    anna(world, state_event="close")
    world.clock.forward(seconds=60)
    anna(world, state_event="reopen")
    world.fake.faults.add(Fault("stale", lag=Lag(seconds=50), path="resource_state_events", times=1))
    world.settle()
    found = world.service.find(id)
    assert (issue(world).state, found.state is TriageState.RESOLVED, found.state_by) == ("opened", False, "anna")


def test_a_reopening_whose_history_lags_is_heard_once_it_shows(world: World) -> None:
    id, _ = opened(world)
    for verb in (world.service.resolve, world.service.reopen, world.service.resolve):
        verb(id, "ann", world.clock())
        world.settle()
    anna(world, state_event="reopen")
    world.fake.faults.add(Fault("stale", lag=Lag(seconds=90), path="resource_state_events"))
    world.settle()
    found = world.service.find(id)
    assert issue(world).state == "opened"
    assert (found.state is TriageState.RESOLVED, found.state_by) == (False, "anna")


STALE_ISSUE = {"lag": Lag(seconds=55, of_one=True), "method": "GET", "path": "/issues/1$"}


def test_words_that_a_lagging_replica_does_not_show_when_our_block_is_written_stay(world: World) -> None:
    opened(world)
    world.clock.forward(hours=2)
    world.fail()
    anna(world, description=f"hers\n{issue(world).description}")
    world.fake.faults.add(Fault("stale", **STALE_ISSUE))  # type: ignore[arg-type]
    world.settle()
    assert (issue(world).description or "").startswith("hers\n<ours>\n2 tries")


@pytest.mark.parametrize("spoil", ["she writes after our first look", "a replica does not show what she wrote"])
def test_words_in_the_issue_that_sums_up_a_storm_stay(world: World, spoil: str) -> None:
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=1)
    for n in range(1, 4):
        world.fail(n)
    world.settle(6)
    (its,) = [one for one in world.fake.issues() if not one.title.startswith("Error")]
    path, number = f"/projects/{its.project}/issues/{its.iid}", len(world.fake.faults.log)

    def write() -> None:
        world.clock.forward(seconds=1)
        now = next(one for one in world.fake.issues() if one.iid == its.iid)
        world.fake.do("anna", "PUT", path, {"description": f"hers\n{now.description}"})

    world.clock.forward(minutes=11)
    world.fail(4)
    if spoil.startswith("she"):
        found = Fault("meanwhile", when="after", method="GET", path=f"/issues/{its.iid}$", times=1, act=write)
    else:
        write()
        found = Fault("stale", lag=Lag(seconds=55, of_one=True), method="GET", path=f"/issues/{its.iid}$")
    world.fake.faults.add(found)
    for _ in range(6):
        world.round()
    assert len([e for e in world.fake.faults.requests("PUT", f"/issues/{its.iid}$") if e.request.number > number])
    assert found.struck
    (now,) = [one for one in world.fake.issues() if one.iid == its.iid]
    assert (now.description or "").startswith("hers\n")


def test_where_the_issue_of_a_storm_was_moved_no_other_issue_is_touched(world: World) -> None:
    world.fake.do("anna", "POST", "/projects/data%2Fdags/issues", {"title": "hers", "description": "words"})
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=1)
    for n in range(1, 4):
        world.fail(n)
    world.settle(6)
    storm = next(one for one in world.fake.issues() if one.title == "Storm")
    world.clock.forward(minutes=11)
    world.fail(4)
    moved = world.fake.move(storm, world.fake.project("crm/new", {"bot": MAINTAINER, "anna": DEVELOPER}), "anna")
    hers = next(one for one in world.fake.issues() if one.title == "hers")
    assert (moved.iid, hers.iid) == (1, 1)  # where it is now it has the number that hers has here
    for n in range(1, 5):
        world.service.resolve(world.fail(n), "ann", world.clock())
    world.settle()
    assert next(one for one in world.fake.issues() if one.title == "hers") == hers


def test_a_move_is_followed_whenever_whoever_follows_it_is_killed(world: World) -> None:
    id, its = opened(world)
    moved = world.fake.move(its, world.fake.project("crm/new", {"bot": MAINTAINER, "anna": DEVELOPER}), "anna")
    store, step = world.store, 1
    while world.mirror(id).issue_id != moved.id:
        doom = Doom(step)
        world.store = doom.over(store)
        world.clock.forward(seconds=70)  # the lease of the one before is over
        with suppress(Killed):
            world.sync().run()
        world.store, step = store, step + 1
        assert doom.dead or world.mirror(id).issue_id == moved.id, "nothing is left to follow it"
    world.settle()
    mirror = world.mirror(id)
    assert (mirror.status, world.service.find(id).gitlab_url) == (MirrorStatus.LINKED, mirror.web_url)


def test_a_closing_that_a_lagging_replica_takes_back_stays(world: World) -> None:
    id, its = opened(world)
    anna(world, state_event="close")
    world.round()
    assert world.service.find(id).state is TriageState.RESOLVED
    world.fake.faults.add(Fault("stale", **STALE_ISSUE))  # type: ignore[arg-type]
    world.fake.faults.add(Fault("stale", lag=Lag(seconds=55), path="resource_state_events"))
    tell(world, its, HeardKind.ISSUE)
    world.settle()
    assert (issue(world).state, world.service.find(id).state) == ("closed", TriageState.RESOLVED)


def tell(world: World, its: Issue, kind: HeardKind) -> None:
    """Let the webhook tell that something changed about an issue."""
    by, now = world.fake.user("anna").id, world.clock()
    told = Heard(world.fake.url, its.project, kind, its.iid, now, by, ("a key",))
    inbox.keep(world.store, told)


def test_a_comment_that_the_webhook_told_of_before_it_was_in_a_list_is_heard(world: World) -> None:
    heard: list[str] = []
    world.listen = lambda problem, issue, note: heard.append(note.body)
    _, its = opened(world)
    world.fake.faults.add(Fault("stale", lag=Lag(seconds=5), path="/notes$"))
    world.clock.forward(seconds=30)
    world.fake.do("anna", "POST", f"/projects/{its.project}/issues/{its.iid}/notes", {"body": "/airtriage mute 7d"})
    tell(world, its, HeardKind.NOTE)
    world.round(1)
    assert heard == []
    world.settle()
    assert heard == ["/airtriage mute 7d"]


def test_who_closes_right_after_we_reopened_for_a_regression_is_heard(world: World) -> None:
    id, _ = opened(world)
    anna(world, state_event="close")
    world.settle()
    world.clock.forward(hours=1)
    world.fail()
    closing = Fault("meanwhile", when="after", method="PUT", path="/issues/1$", times=1)
    closing.act = lambda: anna(world, state_event="close")
    world.fake.faults.add(closing)
    world.settle()
    assert (closing.struck, issue(world).state, world.service.find(id).state) == (1, "closed", TriageState.RESOLVED)


def test_a_comment_whose_answer_was_lost_stands_once_even_where_lists_lag(world: World) -> None:
    _, its = opened(world)
    anna(world, state_event="close")
    world.settle()
    world.clock.forward(hours=1)
    world.fake.faults.add(refusal(502, "after", method="POST", path="/notes$", nth=1))
    world.fake.faults.add(Fault("stale", lag=Lag(seconds=55), method="GET", path="/notes$"))
    world.fail()
    world.settle()
    assert len([note for note in world.fake.notes(its) if not note.system]) == 1


# --- text of logs

# What stands in an issue by our own hand: its hidden lines and small print, headings, the table of tasks, links to our page and Airflow.
OURS = re.compile(
    r"<!-- airtriage:.* -->\n?|</?sub>|h4|table|\{'href': 'https://(?:triage|airflow)\.example\.com/[^']*'\}"
)


@pytest.mark.parametrize("rule", ["new", "old"])
def test_no_attack_by_the_text_of_a_log_takes_effect_from_opening_to_regression(world: World, rule: str) -> None:
    world.fake.quick_action_rule = rule
    pages = {"prod": "https://airflow.example.com"}
    world.words = lambda service, clock: Written(service, clock, pages, "https://triage.example.com")
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=1000)
    texts = [attack.text for attack in ATTACKS[0 if rule == "new" else 7 :: len(ATTACKS) // 12]]

    def fail_all() -> list[str]:
        found = []
        for n, text in enumerate(texts):
            evidence = (Evidence(1, text), Evidence(2, "end"))
            signed = Signature(1, f"1:{n:02x}", text, "code error", text.split("\n")[0], evidence)
            found.append(world.fail(n, signature=signed, host=text))
        return found

    problems = fail_all()
    world.settle(4)
    for problem, text in zip(problems, texts, strict=True):
        world.service.resolve(problem, text, world.clock(), text)
    world.settle(3)
    world.clock.forward(hours=2)
    fail_all()
    world.settle(4)
    issues = world.fake.issues()
    assert len(issues) == len(texts)
    assert all(len([note for note in world.fake.notes(one) if not note.system]) == 2 for one in issues)
    assert world.fake.acted == []
    assert [effect for effect in world.fake.effects if not OURS.fullmatch(effect.words)] == []
