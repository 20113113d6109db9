"""Mirroring: exactly one issue for a problem that deserves it, kept true both ways, against the double of GitLab."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.gitlab_double import FakeGitLab
from tests.gitlab_faults import Fault, refusal
from tests.gitlab_history import History
from tests.gitlab_state import DEVELOPER, GUEST, MAINTAINER, Issue, Lag
from tests.gitlab_trials import trial
from tests.mirroring import Clock, PlainWords, World
from triage import merging
from triage.errors import SettingsError
from triage.issues import Draft
from triage.judging import Judging
from triage.mirrors import MirrorStatus, Tracker, tracker_id
from triage.policy import Judgement, Route, Rules, Threshold, Verdict
from triage.queue import QueueRow
from triage.records import Change, MoveKind, Outcomes, TriageState
from triage.store import record_keys


@pytest.fixture
def world() -> Iterator[World]:
    clock = Clock()
    with FakeGitLab(clock) as fake:
        fake.user("bot", bot=True)
        fake.project("data/dags", {"bot": MAINTAINER, "anna": DEVELOPER})
        yield World(fake, clock)


def opened(world: World, n: int = 1) -> tuple[str, Issue]:
    """Return a problem, and its issue."""
    id = world.fail(n)
    world.settle()
    return id, issue(world, n)


def issue(world: World, n: int = 1) -> Issue:
    (found,) = [one for one in world.fake.issues() if one.title == f"Error {n}"]
    return found


def person(world: World, on: Issue, **body: object) -> None:
    world.clock.forward(seconds=1)
    world.fake.do("anna", "PUT", f"/projects/{on.project}/issues/{on.iid}", body)


def posts(world: World) -> int:
    return len(world.fake.faults.requests("POST", "/issues$"))


# --- exactly one


def test_a_problem_gets_one_issue_and_knows_where(world: World) -> None:
    id, its = opened(world)
    found = world.service.find(id)
    assert found.gitlab_url == f"{world.fake.url}/data/dags/-/issues/{its.iid}"
    assert its.labels == ("airtriage",)
    assert id in (its.description or "")
    world.settle()
    assert posts(world) == 1


def test_after_a_silence_nothing_is_opened_before_a_minute_and_a_second_look(world: World) -> None:
    world.fail()
    report = world.round()
    assert (report.opened, report.again_at) == (0, world.clock() + timedelta(seconds=61))
    assert world.round(62).opened == 1


@pytest.mark.parametrize(
    "fault", [refusal(502, "after"), refusal(500, "after"), Fault("cut", when="after")], ids=lambda fault: fault.name
)
def test_an_issue_whose_answer_was_lost_is_found_and_not_opened_again(world: World, fault: Fault) -> None:
    fault.method, fault.path, fault.nth = "POST", "/issues$", 1
    world.fake.faults.add(fault)
    id, its = opened(world)
    assert posts(world) == 1
    assert world.mirror(id).iid == its.iid


def test_an_issue_that_was_not_made_is_sent_again_only_after_two_looks(world: World) -> None:
    world.fake.faults.add(Fault("cut", when="before", method="POST", nth=1))
    world.fail()
    for _ in range(4):  # steady after a minute, then sent and lost
        world.round()
    assert posts(world) == 1
    for _ in range(3):  # within two minutes
        world.round()
    assert posts(world) == 1
    world.settle()
    assert posts(world) == 2
    assert len(world.fake.issues()) == 1


def test_an_issue_that_a_lagging_replica_hides_is_not_opened_again(world: World) -> None:
    world.fake.faults.add(refusal(502, "after", method="POST", nth=1))
    world.fake.lag = Lag(seconds=55)
    opened(world)
    assert posts(world) == 1


def test_a_store_without_its_links_finds_the_issues_by_their_marker(world: World) -> None:
    id, its = opened(world)
    fresh = World(world.fake, world.clock)
    fresh.fail()
    fresh.settle()
    assert (posts(world), fresh.mirror(id).iid) == (1, its.iid)


def test_an_issue_of_a_former_token_is_found_by_its_label(world: World) -> None:
    id, its = opened(world)
    project = world.fake.state.project_of("data/dags")
    assert project is not None
    project.members[world.fake.user("newbot", bot=True).id] = MAINTAINER
    fresh = World(world.fake, world.clock)
    fresh.fail()
    for _ in range(4):
        world.clock.forward(seconds=62)
        fresh.sync("newbot").run()
    assert (posts(world), fresh.mirror(id).iid) == (1, its.iid)


def test_one_that_was_opened_twice_is_closed_once_with_a_word(world: World) -> None:
    id, first = opened(world)
    text = first.description or ""
    copy = world.fake.do("bot", "POST", f"/projects/{first.project}/issues", {"title": "copy", "description": text})
    world.fail(2)
    world.settle()
    second = next(one for one in world.fake.issues() if one.iid == copy["iid"])
    assert second.state == "closed"
    assert issue(world).state == "opened"
    assert [note.body for note in world.fake.notes(second) if not note.system] == [
        f"This problem had an issue already, {world.mirror(id).web_url}, so airtriage closes this one."
    ]
    person(world, second, state_event="reopen")
    world.settle()
    assert next(one for one in world.fake.issues() if one.iid == copy["iid"]).state == "opened"


def test_a_link_holds_where_label_and_marker_were_edited_away(world: World) -> None:
    id, its = opened(world)
    person(world, its, description="mine now", remove_labels="airtriage")
    world.fail()
    world.clock.forward(hours=3)
    world.settle()
    assert posts(world) == 1
    assert issue(world).description == "mine now"
    assert world.mirror(id).status is MirrorStatus.LINKED


# --- what a refusal does


def test_a_definite_refusal_leaves_the_project_alone_for_a_while_and_says_so(world: World) -> None:
    world.fail()
    world.fake.faults.add(refusal(429, retry_after=300, method="POST", times=1))
    for _ in range(4):
        report = world.round()
    assert report.troubles[0].what.endswith("is asked too often (Retry later).")
    assert report.again_at is not None
    assert timedelta(seconds=300) <= report.again_at - world.clock() <= timedelta(seconds=305)
    calls = len(world.fake.faults.log)
    world.round(200)
    assert len(world.fake.faults.log) == calls
    world.settle()
    assert len(world.fake.issues()) == 1


def test_an_issue_that_is_refused_does_not_hold_up_the_next(world: World) -> None:
    world.fail(1)
    world.fail(2)
    world.fake.faults.add(refusal(422, method="POST", where=lambda request: request.body["title"] == "Error 1"))
    world.settle(6)
    assert [one.title for one in world.fake.issues()] == ["Error 2"]
    found = world.mirror(world.fail(1))
    assert (found.status, found.sent_at) == (MirrorStatus.INTENDED, None)
    assert "could not be saved" in found.said


def test_a_template_that_does_not_render_for_one_problem_does_not_hold_up_the_next(world: World) -> None:
    class Picky(PlainWords):
        def draft(self, row: QueueRow, judged: Judgement) -> Draft:
            if row.problem.title == "Error 1":
                raise SettingsError("gitlab.body does not render.", "Correct it.")
            return super().draft(row, judged)

    world.words = Picky
    id = world.fail(1)
    world.fail(2)
    for _ in range(4):
        report = world.round()
    assert [one.title for one in world.fake.issues()] == ["Error 2"]
    assert world.mirror(id).said == "gitlab.body does not render. Correct it."
    assert [trouble.what for trouble in report.troubles] in ([], ["gitlab.body does not render."])


def test_a_gitlab_that_is_away_is_a_trouble_and_the_rest_goes_on(world: World) -> None:
    id = world.fail()
    with world.fake.down():
        assert "is away" in world.round().troubles[0].what
        assert world.service.resolve(id, "ann", world.clock()).state is TriageState.RESOLVED


def test_a_guest_is_told_that_labels_are_left_out(world: World) -> None:
    project = world.fake.state.project_of("data/dags")
    assert project is not None
    project.members[world.fake.user("bot").id] = GUEST
    id, its = opened(world)
    assert its.labels == ()
    assert world.mirror(id).said == "GitLab left out the label airtriage."
    (tracker, _) = world.store.get(Tracker, tracker_id(world.fake.url, "data/dags")) or (None, 0)
    assert tracker is not None
    assert "is a Guest in data/dags" in tracker.troubles[0].what


# --- both ways


def test_an_issue_that_a_person_closed_resolves_its_problem(world: World) -> None:
    id, its = opened(world)
    person(world, its, state_event="close")
    closed_at = world.clock()
    world.settle()
    found = world.service.find(id)
    assert (found.state, found.state_by, found.resolved_at) == (TriageState.RESOLVED, "anna", closed_at)
    changes = [change for change, _ in world.store.records(Change, parent=id) if change.what == "resolved"]
    assert [change.origin for change in changes] == ["GitLab"]


def merged(world: World, its: Issue) -> None:
    project = world.fake.state.projects[its.project]
    world.fake.merge_request(
        project, "anna", "Fix it", "fix", merged_by="anna", closes=(its.iid,), merge_commit="c" * 40
    )
    person(world, its, state_event="close")


def test_a_merged_fix_resolves_in_the_next_deploy_so_that_older_code_may_fail_still(world: World) -> None:
    id = world.fail(bundle_version="a" * 40, dag_version=3)
    world.settle()
    merged(world, issue(world))
    world.settle()
    found = world.service.find(id)
    assert (found.state, found.deploy is not None) == (TriageState.RESOLVED, True)
    assert found.reason.endswith("by merge request !1, merged by anna")
    world.clock.forward(hours=1)
    world.fail(bundle_version="a" * 40, dag_version=3)
    world.settle()
    assert (world.service.find(id).state, issue(world).state) == (TriageState.RESOLVED, "closed")
    world.clock.forward(hours=1)
    world.fail(bundle_version="b" * 40, dag_version=3)
    world.settle()
    assert (world.service.find(id).state, issue(world).state) == (TriageState.REGRESSED, "opened")


@pytest.fixture
def history(world: World, tmp_path: Path) -> History:
    """The repository of the project: code that fails, and a fix on a branch."""
    made = History(tmp_path / "dags", world.clock())
    made.commit("Load", {"load.py": "1 / 0\n"})
    made.git("checkout", "--quiet", "-b", "fix")
    made.commit("Divide no more", {"load.py": "1\n"})
    made.git("checkout", "--quiet", "main")
    project = world.fake.state.project_of("data/dags")
    assert project is not None
    project.repository = made.path
    return made


def test_a_merged_fix_resolves_in_the_deploy_that_holds_it_and_in_no_other(world: World, history: History) -> None:
    id = world.fail(bundle_version=history.shas[0], dag_version=3)
    world.settle()
    other = history.commit("Say hello", {"hello.py": "1\n"})
    fix = history.merge("fix", "Merge the fix")
    later = history.commit("Say goodbye", {"hello.py": "2\n"})
    project = world.fake.state.project_of("data/dags")
    assert project is not None
    world.fake.merge_request(
        project, "anna", "Fix it", "fix", merged_by="anna", closes=(issue(world).iid,), merge_commit=fix
    )
    world.settle()
    assert f"with commit {fix[:10]}" in next(entry.what for entry in world.service.problem(id, world.clock()).history)
    for bundle, number in ((other, 3), (history.shas[0], 3), (other, 4)):  # deployed without the fix
        world.clock.forward(hours=1)
        world.fail(bundle_version=bundle, dag_version=number)
        world.settle()
        assert (world.service.find(id).state, issue(world).state) == (TriageState.RESOLVED, "closed")
    asked = len(world.fake.faults.requests("GET", "merge_base"))
    world.settle()
    assert len(world.fake.faults.requests("GET", "merge_base")) == asked == 1
    world.clock.forward(hours=1)
    world.fail(bundle_version=later, dag_version=4)
    world.settle()
    assert (world.service.find(id).state, issue(world).state) == (TriageState.REGRESSED, "opened")


def test_the_deploy_that_holds_a_merged_fix_was_seen_once_a_task_succeeded_in_it(
    world: World, history: History
) -> None:
    id = world.fail(bundle_version=history.shas[0], dag_version=3)
    world.settle()
    other, fix = history.commit("Say hello", {"hello.py": "1\n"}), history.merge("fix", "Merge the fix")
    project = world.fake.state.project_of("data/dags")
    assert project is not None
    world.fake.merge_request(
        project, "anna", "Fix it", "fix", merged_by="anna", closes=(issue(world).iid,), merge_commit=fix
    )
    world.settle()
    for bundle, is_seen in ((other, False), (fix, True)):
        world.clock.forward(hours=1)
        at = world.clock()
        answer = Outcomes(
            id, "prod", "orders", "load", at, at, at, at, bundle_version=bundle, dag_version=3, last_success_at=at,
        )  # fmt: skip
        known = world.store.get(Outcomes, record_keys(answer)[0])
        world.store.save(answer, known[1] if known else None)
        world.settle()
        deploy = world.service.find(id).deploy
        assert deploy is not None
        assert (deploy.seen_at is not None) is is_seen


def test_a_fix_that_was_merged_before_it_failed_again_is_none_of_the_next_closing(world: World) -> None:
    id = world.fail(bundle_version="a" * 40, dag_version=3)
    world.settle()
    merged(world, issue(world))
    world.settle()
    world.clock.forward(hours=1)
    world.fail(bundle_version="b" * 40, dag_version=3)
    world.settle()
    person(world, issue(world), state_event="close")
    world.settle()
    found = world.service.find(id)
    assert (found.state, found.deploy) == (TriageState.RESOLVED, None)
    assert "merge request" not in found.reason


def test_a_merged_fix_resolves_at_once_where_no_try_names_a_deploy(world: World) -> None:
    id, its = opened(world)
    merged(world, its)
    world.settle()
    found = world.service.find(id)
    assert (found.state, found.deploy) == (TriageState.RESOLVED, None)


@pytest.mark.parametrize("status", [403, 404])
def test_a_closing_is_heard_where_merge_requests_may_not_be_seen(world: World, status: int) -> None:
    id, its = opened(world)
    world.fake.faults.add(refusal(status, path="closed_by"))
    person(world, its, state_event="close")
    world.settle()
    assert world.service.find(id).state is TriageState.RESOLVED


def test_an_issue_that_a_person_reopened_reopens_its_problem(world: World) -> None:
    id, its = opened(world)
    person(world, its, state_event="close")
    world.settle()
    person(world, its, state_event="reopen")
    world.settle()
    assert world.service.find(id).state in (TriageState.NEW, TriageState.ONGOING)
    assert issue(world).state == "opened"


def test_a_problem_that_was_resolved_here_closes_its_issue_and_our_own_closing_is_nobodys(world: World) -> None:
    id, _ = opened(world)
    world.service.resolve(id, "ann", world.clock(), "fixed")
    world.settle()
    assert issue(world).state == "closed"
    assert world.service.find(id).state_by == "ann"
    world.service.reopen(id, "ann", world.clock())
    world.settle()
    assert issue(world).state == "opened"


def test_a_regression_reopens_the_same_issue_and_says_why_once(world: World) -> None:
    id, its = opened(world)
    person(world, its, state_event="close")
    world.settle()
    world.clock.forward(hours=1)
    world.fake.faults.add(refusal(502, "after", method="POST", path="notes$", nth=1))
    world.fail()
    world.settle()
    assert (issue(world).state, posts(world)) == ("opened", 1)
    said = [note.body for note in world.fake.notes(its) if not note.system]
    assert len(said) == 1
    assert said[0].startswith("regressed: failed again in a try that started")
    assert world.service.find(id).state is TriageState.REGRESSED


def comments(world: World, its: Issue) -> list[str]:
    return [note.body for note in world.fake.notes(its) if not note.system]


def test_an_issue_that_something_closes_again_and_again_is_reopened_six_times_an_hour_at_most(world: World) -> None:
    id, its = opened(world)
    for _ in range(50):
        if issue(world).state == "opened":
            person(world, issue(world), state_event="close")
        world.round()
        world.fail()
        world.round(12)
    said = len(comments(world, its))
    assert 6 <= said <= 7
    assert world.service.find(id).state is TriageState.REGRESSED
    world.clock.forward(hours=1)
    world.settle()
    assert (issue(world).state, len(comments(world, its))) == ("opened", said + 1)


def test_a_problem_that_is_resolved_and_reopened_again_and_again_is_told_few_times(world: World) -> None:
    id, its = opened(world)
    for _ in range(50):
        world.service.resolve(id, "ann", world.clock())
        world.round()
        world.service.reopen(id, "ann", world.clock())
        world.round()
    world.settle()
    assert len(comments(world, its)) <= 8
    assert len(world.fake.faults.requests("PUT")) <= 14
    world.clock.forward(hours=1)
    world.settle()
    assert issue(world).state == "opened"


def test_two_airtriages_that_share_a_problem_do_not_quarrel_without_end(world: World) -> None:
    id, its = opened(world)
    other = World(world.fake, world.clock)
    other.fail()
    other.settle()
    assert other.mirror(id).iid == its.iid
    other.service.resolve(id, "ann", world.clock())
    for _ in range(120):
        world.round(15)
        other.round(15)
    assert posts(world) == 1
    assert len(comments(world, its)) <= 12
    assert len(world.fake.faults.requests("PUT")) <= 16


def test_what_is_wrong_with_an_issue_is_said_until_it_is_done(world: World) -> None:
    id, _ = opened(world)
    world.fake.faults.add(refusal(403, method="PUT", times=1))
    world.service.resolve(id, "ann", world.clock())
    world.round()
    assert "refuses a change of the issue" in world.mirror(id).said
    world.settle()
    assert (issue(world).state, world.mirror(id).said) == ("closed", "")


def test_a_comment_that_was_lost_and_is_out_of_date_is_not_waited_for(world: World) -> None:
    id, _ = opened(world)
    world.service.resolve(id, "ann", world.clock())
    world.fake.faults.add(Fault("cut", when="before", method="POST", path="notes$", nth=1))
    world.round()
    assert world.mirror(id).saying
    world.service.reopen(id, "ann", world.clock())
    world.settle()
    calls = len(world.fake.faults.log)
    world.round()
    assert (world.mirror(id).saying, len(world.fake.faults.log) - calls) == ("", 1)


def test_our_own_closing_whose_answer_was_lost_does_not_keep_a_regression_closed(world: World) -> None:
    id, _ = opened(world)
    world.service.resolve(id, "ann", world.clock())
    world.fake.faults.add(Fault("cut", when="after", method="PUT", nth=1))
    world.round()
    assert issue(world).state == "closed"
    world.clock.forward(hours=1)
    world.fail()
    world.settle()
    assert (world.service.find(id).state, issue(world).state) == (TriageState.REGRESSED, "opened")


def test_a_store_that_forgot_an_issue_finds_it_though_nothing_is_to_be_opened(world: World) -> None:
    id, its = opened(world)
    fresh = World(world.fake, world.clock)
    fresh.fail()
    fresh.service.resolve(id, "ann", world.clock())
    fresh.settle()
    assert (fresh.mirror(id).iid, issue(world).state) == (its.iid, "closed")


def test_an_issue_that_was_stripped_and_moved_before_its_answer_was_made_good_is_recognised(world: World) -> None:
    target = world.fake.project("crm/new", {"bot": MAINTAINER, "anna": DEVELOPER})
    world.fake.faults.add(refusal(502, "after", method="POST", path="issues$", nth=1))
    id = world.fail()
    for _ in range(4):
        world.round()
    person(world, issue(world), description="stripped")
    moved = world.fake.move(issue(world), target, "anna")
    world.settle()
    assert (posts(world), world.mirror(id).issue_id) == (1, moved.id)


def test_old_failures_after_a_person_closed_the_issue_fight_nobody(world: World) -> None:
    id, its = opened(world)
    person(world, its, state_event="close")
    world.settle()
    world.fail(at=its.created_at)  # it started before, and is listed late
    world.settle()
    assert (issue(world).state, world.service.find(id).state) == ("closed", TriageState.RESOLVED)


def test_the_issue_of_a_muted_problem_stays_as_it_is(world: World) -> None:
    id, _ = opened(world)
    world.service.mute(id, "ann", world.clock())
    world.settle()
    assert issue(world).state == "opened"


@pytest.mark.parametrize("until", [{"closed": True}, {}])
def test_closing_the_issue_of_a_muted_problem_resolves_the_one_that_was_muted_until_then(
    world: World, until: dict[str, bool]
) -> None:
    id, its = opened(world)
    world.service.mute(id, "ann", world.clock(), **until)
    person(world, its, state_event="close")
    world.settle()
    assert issue(world).state == "closed"
    assert world.service.find(id).state is (TriageState.RESOLVED if until else TriageState.MUTED)
    world.settle()
    assert issue(world).state == "closed"


def test_a_mute_until_the_issue_closes_has_an_open_one_again_after_a_merge(world: World) -> None:
    """The merge closed it, or the resolution of the one that took it over did: by a closed issue it would never end."""
    (fixed, _), (id, its) = opened(world, 1), opened(world, 2)
    world.service.mute(id, "ann", world.clock(), closed=True)
    world.service.resolve(fixed, "ann", world.clock())
    world.settle()
    merging.merge(world.service, [id], merging.Person("ann"), world.clock(), fixed)
    world.settle()
    assert world.service.find(id).state is TriageState.MUTED
    assert [issue(world, n).state for n in (1, 2)] == ["opened", "closed"]
    merging.undo(world.service, MoveKind.MERGE, id, merging.Person("ann"), world.clock())
    world.settle()
    assert [issue(world, n).state for n in (1, 2)] == ["closed", "opened"]
    assert world.service.find(id).state is TriageState.MUTED
    person(world, its, state_event="close")
    world.settle()
    assert world.service.find(id).state is TriageState.RESOLVED


def test_words_of_a_person_stay_and_our_block_follows_the_problem(world: World) -> None:
    _, its = opened(world)
    person(world, its, description=f"above\n{its.description}\nbelow", title="as anna calls it")
    world.clock.forward(hours=2)
    world.fail()
    world.settle()
    (found,) = world.fake.issues()
    assert (found.description or "").startswith("above\n<ours>\n2 tries")
    assert (found.description or "").endswith("\nbelow")
    assert found.title == "as anna calls it"


def test_our_block_is_written_once_an_hour_at_most(world: World) -> None:
    opened(world)
    puts = len(world.fake.faults.requests("PUT"))
    for _ in range(20):
        world.fail()
        world.round()
    assert len(world.fake.faults.requests("PUT")) == puts
    world.clock.forward(hours=1)
    world.settle()
    assert len(world.fake.faults.requests("PUT")) == puts + 1


def test_a_moved_issue_is_followed(world: World) -> None:
    id, its = opened(world)
    target = world.fake.project("crm/new", {"bot": MAINTAINER, "anna": DEVELOPER})
    moved = world.fake.move(its, target, "anna")
    world.settle()
    assert (world.mirror(id).issue_id, world.service.find(id).state) == (moved.id, TriageState.NEW)
    person(world, moved, state_event="close")
    world.settle()
    assert world.service.find(id).state is TriageState.RESOLVED


def test_a_moved_issue_that_a_replica_does_not_show_yet_is_not_given_up(world: World) -> None:
    id, its = opened(world)
    target = world.fake.project("crm/new", {"bot": MAINTAINER, "anna": DEVELOPER})
    world.fake.lag = Lag(seconds=50)
    moved = world.fake.move(its, target, "anna")
    for _ in range(6):
        world.round()
    assert (world.mirror(id).status, world.mirror(id).issue_id) == (MirrorStatus.LINKED, moved.id)


def test_an_issue_that_was_moved_out_of_sight_is_lost(world: World) -> None:
    id, its = opened(world)
    world.fake.move(its, world.fake.project("crm/new", {"bot": MAINTAINER, "anna": DEVELOPER}), "bot")
    hidden = world.fake.state.project_of("crm/new")
    assert hidden is not None
    hidden.members.clear()
    for _ in range(15):
        world.round()
    assert world.mirror(id).status is MirrorStatus.LOST
    assert "moved to a project that the token may not see" in world.mirror(id).said


def test_a_deleted_issue_is_lost_and_never_made_again(world: World) -> None:
    id, its = opened(world)
    world.fake.state.drop("issue", its.id)
    world.clock.forward(hours=25)
    world.fail()
    world.settle()
    found = world.mirror(id)
    assert found.status is MirrorStatus.LOST
    assert f"airtriage link {id} URL" in found.said
    assert (world.fake.issues(), posts(world)) == ([], 1)


def test_a_project_that_is_hidden_for_a_while_loses_nothing(world: World) -> None:
    id, its = opened(world)
    project = world.fake.state.project_of("data/dags")
    assert project is not None
    roles, project.members = project.members, {}
    world.clock.forward(hours=25)
    assert "has nothing to show" in world.round().troubles[0].what
    assert world.mirror(id).status is MirrorStatus.LINKED
    project.members = roles
    world.settle()
    assert (world.mirror(id).status, world.mirror(id).iid) == (MirrorStatus.LINKED, its.iid)


def test_a_person_is_listened_to_and_our_own_words_are_not(world: World) -> None:
    heard: list[str] = []
    world.listen = lambda problem, issue, note: heard.append(f"{note.author}: {note.body}")
    id, its = opened(world)
    path = f"/projects/{its.project}/issues/{its.iid}/notes"
    world.clock.forward(seconds=5)
    world.fake.do("anna", "POST", path, {"body": "/airtriage mute 7d"})
    world.fake.do("bot", "POST", path, {"body": "ours"})
    world.settle()
    world.service.resolve(id, "ann", world.clock())
    world.settle()
    assert heard == ["anna: /airtriage mute 7d"]


# --- which and where


def test_the_plan_says_of_every_problem_what_happens_and_why(world: World) -> None:
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=2)
    for n in range(1, 5):
        world.fail(n)
    world.fail(5, is_final=False)
    planned = {one.row.problem.title: one.judged for one in world.sync().plan(world.clock())}
    verdicts = [judged and judged.verdict for judged in planned.values()]
    assert verdicts.count(Verdict.OPENS) == 2
    flaky = planned["Error 5"]
    assert flaky is not None
    assert flaky.why == "opens no issue while it heals by retry"
    assert sum(judged.is_storm for judged in planned.values() if judged) == 2


def test_what_waits_by_its_counts_alone_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=1, open_after=Threshold(2))
    for n in (1, 1, 2, 2, 3):
        world.fail(n)
    read: list[str] = []
    whole = Judging.read
    monkeypatch.setattr(Judging, "read", lambda its, case, row: read.append(row.problem.title) or whole(its, case, row))
    said = {one.row.problem.title: one.judged.why for one in world.sync().plan(world.clock()) if one.judged}
    assert read == ["Error 1"] or read == ["Error 2"]
    assert said["Error 3"] == "opens an issue after 1 more final failure; the storm cap has 0 left"
    assert sum("waits for a place" in why for why in said.values()) == 1


def test_a_storm_opens_no_more_than_its_cap_within_the_hour(world: World) -> None:
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=2)
    for n in range(1, 6):
        world.fail(n)
    for _ in range(10):
        world.round()
    assert len([one for one in world.fake.issues() if one.title.startswith("Error")]) == 2
    world.clock.forward(hours=1)
    world.settle(4)
    assert len([one for one in world.fake.issues() if one.title.startswith("Error")]) == 4


def test_a_storm_has_one_summary_that_is_kept_closed_at_its_end_and_opened_by_the_next(world: World) -> None:
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=2)
    for n in range(1, 5):
        world.fail(n)
    for _ in range(8):
        world.round()
    (summary,) = [one for one in world.fake.issues() if one.title == "Storm"]
    assert (summary.state, summary.labels) == ("opened", ("airtriage",))
    waits = [n for n in range(1, 5) if f"Error {n}" in (summary.description or "")]
    assert len(waits) == 2
    world.fail(5)
    puts = len(world.fake.faults.requests("PUT"))
    world.round()
    assert len(world.fake.faults.requests("PUT")) == puts  # not at every failure
    world.round(700)
    assert "Error 5" in (world.fake.issues()[summary_place(world)].description or "")
    for seconds in (3700, 62, 62) * 3:
        world.round(seconds)
    assert world.fake.issues()[summary_place(world)].state == "closed"
    assert len([one for one in world.fake.issues() if one.title.startswith("Error")]) == 5
    for n in range(6, 10):
        world.fail(n)
    for _ in range(5):
        world.round()
    assert world.fake.issues()[summary_place(world)].state == "opened"
    assert len([one for one in world.fake.issues() if one.title == "Storm"]) == 1


def summary_place(world: World) -> int:
    return [one.title for one in world.fake.issues()].index("Storm")


def test_who_closes_the_summary_of_a_storm_has_peace_until_the_next(world: World) -> None:
    world.rules = Rules(world.fake.url, "data/dags", storm_cap=1)
    for n in range(1, 4):
        world.fail(n)
    for _ in range(6):
        world.round()
    person(world, world.fake.issues()[summary_place(world)], state_event="close")
    world.fail(4)
    for _ in range(3):
        world.round(700)
    assert world.fake.issues()[summary_place(world)].state == "closed"


def test_a_failure_whose_log_is_awaited_opens_nothing(world: World) -> None:
    world.fail(next_fetch_at=world.clock() + timedelta(minutes=5))
    (planned,) = world.sync().plan(world.clock())
    assert planned.judged is not None
    assert planned.judged.why.startswith("opens an issue once the log of its final failure is known")


def test_a_tag_is_known_to_a_route(world: World) -> None:
    world.fake.project("ops/gold", {"bot": MAINTAINER})
    route = Route("gold", tag="gold", project="ops/gold", open_after=Threshold(2, timedelta(hours=1)))
    world.rules = Rules(world.fake.url, "data/dags", routes=(route,))
    world.fail(tags=("gold",))
    world.settle(6)
    assert posts(world) == 0
    world.fail(tags=("gold",))
    world.settle(6)
    (found,) = world.fake.issues()
    assert found.project == world.fake.state.project_of("ops/gold").id  # type: ignore[union-attr]


def test_an_intent_whose_problem_was_resolved_meanwhile_is_forgotten(world: World) -> None:
    id = world.fail()
    world.round()
    world.service.resolve(id, "ann", world.clock())
    world.settle(6)
    assert (world.fake.issues(), world.sync().plan(world.clock())[0].mirror) == ([], None)


def test_a_lease_that_is_held_is_somebody_elses_round(world: World) -> None:
    from triage.lease import lease

    world.fail()
    with lease(world.store, tracker_id(world.fake.url, "data/dags"), world.clock) as renew:
        assert renew is not None
        assert world.round().busy == 1


def test_two_trackers_of_which_one_is_away(world: World) -> None:
    world.rules = Rules(world.fake.url, "data/dags", routes=(Route("gone", dag="lost", project="data/none"),))
    world.fail(1, dag="lost")
    world.fail(2)
    world.settle()
    assert [one.title for one in world.fake.issues()] == ["Error 2"]
    assert any("data/none" in trouble.what for trouble in world.round(700).troubles)


# --- whatever goes wrong


@pytest.mark.parametrize("first", range(0, 200, 25))
def test_whatever_goes_wrong_there_is_one_issue_and_nothing_is_lost(first: int) -> None:
    for seed in range(first, first + 25):
        done = trial(seed)
        assert not done.wrong, (seed, done.did, done.wrong)
