"""The double of GitLab itself: its rules, its faults, and that it catches a violation of the contract from either side."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from gitlab.exceptions import (
    GitlabAuthenticationError,
    GitlabCreateError,
    GitlabError,
    GitlabGetError,
    GitlabUpdateError,
)

from tests.gitlab_calls import ROUTES
from tests.gitlab_contract import ENDPOINTS
from tests.gitlab_double import FakeGitLab
from tests.gitlab_faults import Fault, Plan, refusal
from tests.gitlab_state import DEVELOPER, GUEST, MAINTAINER, OWNER, Lag
from triage.gitlab import Access, GitLab

T = datetime(2026, 11, 22, 8, tzinfo=UTC)


def dags(fake: FakeGitLab, name: str = "bot"):
    """Return the project of the fixture as python-gitlab shows it to a user."""
    return fake.client(name).projects.get("data/dags")


def test_the_contract_has_an_endpoint_for_every_route_and_none_beside() -> None:
    assert set(ROUTES) == set(ENDPOINTS)


def test_an_issue_is_opened_read_edited_closed_and_reopened(gitlab: FakeGitLab) -> None:
    project = dags(gitlab)
    issue = project.issues.create({"title": "Disk full", "description": "words", "labels": ["airflow", "disk"]})
    assert (issue.iid, issue.state, issue.labels, issue.author["username"]) == (1, "opened", ["airflow", "disk"], "bot")
    assert issue.web_url == f"{gitlab.url}/data/dags/-/issues/1"
    project.issues.update(1, {"add_labels": "load", "remove_labels": "disk", "state_event": "close"})
    assert (project.issues.get(1).labels, project.issues.get(1).state) == (["airflow", "load"], "closed")
    project.issues.update(1, {"state_event": "reopen"})
    assert [event.state for event in project.issues.get(1).resourcestateevents.list(get_all=True)] == [
        "closed",
        "reopened",
    ]


def test_issues_are_found_by_label_author_time_state_and_words() -> None:
    now = [T]
    with FakeGitLab(clock=lambda: now[0]) as fake:
        fake.project("data/dags", {"bot": MAINTAINER, "anna": DEVELOPER})
        project = dags(fake)
        for minute, name in enumerate(("bot", "anna", "bot")):
            now[0] = T + timedelta(minutes=minute)
            text = f"<!-- airtriage:v1 problem={minute} --> {'ab' * 30}"
            dags(fake, name).issues.create({"title": f"Issue {minute}", "description": text, "labels": "airtriage"})
        now[0] += timedelta(minutes=1)
        project.issues.update(1, {"state_event": "close"})

        def found(**query: object) -> list[int]:
            return [issue.iid for issue in project.issues.list(get_all=True, query_parameters=query)]

        bot = fake.user("bot").id
        assert found(labels="airtriage", sort="asc") == [1, 2, 3]
        assert found(author_id=bot) == [3, 1]
        assert found(author_id=bot, created_after=(T + timedelta(minutes=1)).isoformat()) == [3]
        assert found(updated_after=(T + timedelta(minutes=2)).isoformat(), order_by="updated_at") == [1, 3]
        assert found(state="closed") == [1]
        assert found(**{"iids[]": 2}) == [2]
        assert found(search="problem=1", **{"in": "description"}) == [2]
        assert found(search="ab" * 30, **{"in": "description"}) == []  # no run of 50 and more is in the index


KEYSET = {"pagination": "keyset", "order_by": "created_at", "sort": "asc"}


@pytest.mark.parametrize(("how", "has_keyset"), [({}, True), (KEYSET, True), (KEYSET, False)])
def test_every_page_is_reached_by_its_link_alone(gitlab: FakeGitLab, how: dict[str, str], has_keyset: bool) -> None:
    gitlab.has_keyset = has_keyset
    for number in range(45):
        gitlab.do("bot", "POST", "/projects/data%2Fdags/issues", {"title": str(number)})
    assert len({issue.iid for issue in dags(gitlab).issues.list(iterator=True, per_page=10, **how)}) == 45


def test_by_keyset_a_row_that_goes_between_two_pages_hides_no_other(gitlab: FakeGitLab) -> None:
    for number in range(4):
        gitlab.do("bot", "POST", "/projects/data%2Fdags/issues", {"title": str(number)})
    gitlab.project("data/other")
    rows = dags(gitlab).issues.list(iterator=True, per_page=2, **KEYSET)
    first = next(rows)
    gitlab.move(gitlab.issues()[0], gitlab.state.project_of("data/other"), "bot")
    assert [first.iid, *(row.iid for row in rows)] == [1, 2, 3, 4]


def test_issues_of_all_projects_are_those_that_may_be_seen(gitlab: FakeGitLab) -> None:
    gitlab.project("data/other", {"bot": MAINTAINER})
    gitlab.project("secret/place", {"anna": MAINTAINER})
    for name, path in (
        ("bot", "data%2Fdags"),
        ("anna", "data%2Fdags"),
        ("bot", "data%2Fother"),
        ("anna", "secret%2Fplace"),
    ):
        gitlab.do(name, "POST", f"/projects/{path}/issues", {"title": name})
    client = gitlab.client()
    assert [issue.title for issue in client.issues.list(get_all=True)] == ["bot", "bot"]
    assert [issue.title for issue in client.issues.list(get_all=True, scope="all", sort="asc")] == [
        "bot",
        "anna",
        "bot",
    ]


def test_a_guest_gets_an_issue_without_the_labels_it_asked_for(gitlab: FakeGitLab) -> None:
    gitlab.project("data/other", {"bot": GUEST})
    issue = (
        gitlab.client()
        .projects.get("data/other")
        .issues.create({"title": "t", "labels": ["airflow"], "assignee_ids": [gitlab.user("bot").id], "iid": 77})
    )
    assert (issue.labels, issue.assignees, issue.iid) == ([], [], 1)


def test_only_an_owner_chooses_the_number_and_a_taken_one_is_a_conflict(gitlab: FakeGitLab) -> None:
    gitlab.project("data/other", {"bot": OWNER})
    issues = gitlab.client().projects.get("data/other").issues
    assert issues.create({"title": "t", "iid": 77}).iid == 77
    with pytest.raises(GitlabCreateError, match="409: Duplicated issue"):
        issues.create({"title": "t", "iid": 77})


@pytest.mark.parametrize(
    ("body", "words"),
    [({"title": "x" * 256}, "is too long"), ({"title": " "}, "can't be blank"), ({"title": "t", "description": "x" * 1_048_577}, "long")],
)  # fmt: skip
def test_a_title_or_text_that_gitlab_refuses_makes_nothing(
    gitlab: FakeGitLab, body: dict[str, str], words: str
) -> None:
    with pytest.raises(GitlabCreateError, match=words) as raised:
        dags(gitlab).issues.create(body)
    assert raised.value.response_code == 400
    assert gitlab.issues() == []


def test_an_edit_of_nothing_is_refused(gitlab: FakeGitLab) -> None:
    gitlab.do("bot", "POST", "/projects/data%2Fdags/issues", {"title": "t"})
    with pytest.raises(GitlabUpdateError, match="at least one parameter"):
        dags(gitlab).issues.update(1, {})


def test_what_may_not_be_seen_is_not_there(gitlab: FakeGitLab) -> None:
    gitlab.project("secret/place", {"anna": MAINTAINER})
    with pytest.raises(GitlabGetError, match="404 Project Not Found"):
        gitlab.client().projects.get("secret/place")


def test_issues_that_are_switched_off_are_forbidden(gitlab: FakeGitLab) -> None:
    gitlab.project("data/other", issues_enabled=False)
    with pytest.raises(GitlabCreateError, match="403 Forbidden"):
        gitlab.client().projects.get("data/other").issues.create({"title": "t"})


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ({"expires_at": T}, 401),
        ({"revoked": True}, 401),
        ({"scopes": ("read_api",)}, 403),
        ({"scopes": ("read_user",)}, 403),
    ],
)
def test_a_token_without_the_right_cannot_write(gitlab: FakeGitLab, token: dict[str, object], status: int) -> None:
    gitlab.grant("bot", **token)
    project = gitlab.client().projects.get("data/dags", lazy=True)
    with pytest.raises((GitlabCreateError, GitlabAuthenticationError)) as raised:
        project.issues.create({"title": "t"})
    assert raised.value.response_code == status


def test_a_moved_issue_leads_to_its_copy(gitlab: FakeGitLab) -> None:
    other = gitlab.project("data/other")
    issue = dags(gitlab).issues.create({"title": "t", "description": "words"})
    issue.notes.create({"body": "said"})
    for event in ("close", "reopen"):
        dags(gitlab).issues.update(issue.iid, {"state_event": event})
    issue.move(other.id)
    old = dags(gitlab).issues.get(1)
    assert (old.state, old.moved_to_id) == ("closed", gitlab.issues(other)[0].id)
    assert "said" in [note.body for note in gitlab.notes(gitlab.issues(other)[0])]
    moved = gitlab.client("bot").projects.get(other.id).issues.get(1)
    assert [event.state for event in moved.resourcestateevents.list(get_all=True)] == ["closed", "reopened"]


# Quick actions: what stands in the fence runs by the old rule, which knows fences of three backticks alone.

HOSTILE = {
    "bare": "/close",
    "in a paragraph": "words\n/close\nwords",
    "tildes": "~~~\n/close\n~~~",
    "four backticks": "````\n/close\n````",
    "three backticks": "```\n/close\n```",
    "indented fence line": "````text\n /close\n````",
    "list": "- words\n  /close",
    "quote": ">>>\nwords\n/close\n>>>",
}
RUNS = {"bare": "both", "in a paragraph": "both", "tildes": "old", "four backticks": "old", "quote": "new"}


@pytest.mark.parametrize("rule", ["new", "old"])
@pytest.mark.parametrize("form", HOSTILE)
def test_a_quick_action_in_a_note_runs_by_the_rule_in_force(gitlab: FakeGitLab, rule: str, form: str) -> None:
    gitlab.quick_action_rule = rule
    issue = dags(gitlab).issues.create({"title": "t"})
    issue.notes.create({"body": f"words\n\n{HOSTILE[form]}\n"})
    ran = RUNS.get(form, "neither") in ("both", rule)
    assert (gitlab.issues()[0].state == "closed") == ran
    assert [effect.words for effect in gitlab.acted] == ["close"] * ran
    assert ("/close" in gitlab.notes(gitlab.issues()[0])[0].body) != ran


def test_a_description_runs_only_the_quick_actions_that_an_edit_brought(gitlab: FakeGitLab) -> None:
    issue = dags(gitlab).issues.create({"title": "t", "description": "words\n\n/close\n/label ~disk\n/confidential"})
    assert (issue.state, issue.labels, issue.confidential, issue.description) == ("opened", ["disk"], True, "words")
    issue.description = "words\n\n/close"
    issue.save()
    assert (issue.state, issue.description) == ("closed", "words")


def test_a_note_of_quick_actions_alone_is_no_note(gitlab: FakeGitLab) -> None:
    issue = dags(gitlab).issues.create({"title": "t"})
    issue.notes.create({"body": "/close"})
    assert [note for note in gitlab.notes(gitlab.issues()[0]) if not note.system] == []
    assert gitlab.issues()[0].state == "closed"


def test_what_a_text_does_when_it_is_shown_is_on_record(gitlab: FakeGitLab) -> None:
    text = "@anna #1 ~bug <b>x</b> ![p](http://x/y.png)\n\n- [ ] todo\n\n`@all #2`\n\n```\n@all\n```"
    dags(gitlab).issues.create({"title": "ping @anna `@bot` @\u2060all", "description": text})
    assert [effect.words for effect in gitlab.effects if effect.kind == "mention"] == ["@anna", "@bot", "@anna"]
    assert {effect.kind for effect in gitlab.effects} == {"mention", "issue", "label", "html", "image", "task"}


# Faults.


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_status_comes_before_or_after_the_commit(gitlab: FakeGitLab, status: int, when: str) -> None:
    gitlab.faults.add(refusal(status, when, method="POST", path="/issues$", nth=1))
    project = dags(gitlab)
    with pytest.raises(GitlabError) as raised:
        project.issues.create({"title": "t"}, obey_rate_limit=False)
    assert raised.value.response_code == status
    assert len(gitlab.issues()) == (when == "after")
    assert gitlab.faults.injected() == {f"{status} {when}": 1}
    project.issues.create({"title": "t"})


def test_a_rate_limit_may_say_for_how_long(gitlab: FakeGitLab) -> None:
    gitlab.faults.add(refusal(429, retry_after=7))
    answer = requests.get(f"{gitlab.url}/api/v4/user", timeout=5)
    assert (answer.status_code, answer.headers["Retry-After"], answer.headers["RateLimit-Limit"]) == (429, "7", "2000")


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_is_lost_before_or_after_the_commit(gitlab: FakeGitLab, when: str) -> None:
    project = dags(gitlab)
    gitlab.faults.add(Fault("cut", when=when, method="POST"))
    with pytest.raises(requests.ConnectionError):
        project.issues.create({"title": "t"})
    assert len(gitlab.issues()) == (when == "after")


def test_an_answer_that_never_comes_ends_by_the_clients_patience(gitlab: FakeGitLab) -> None:
    project = gitlab.client(timeout=0.2).projects.get("data/dags")
    gitlab.faults.add(Fault("hang", when="after", method="POST"))
    with pytest.raises(requests.ReadTimeout):
        project.issues.create({"title": "t"})
    assert len(gitlab.issues()) == 1


def test_a_slow_answer_is_the_right_one(gitlab: FakeGitLab) -> None:
    gitlab.faults.add(Fault("slow", seconds=0.05, method="POST"))
    assert dags(gitlab).issues.create({"title": "t"}).iid == 1
    assert gitlab.faults.injected() == {"slow": 1}


def test_while_it_is_down_connections_are_refused_and_then_all_is_as_before(gitlab: FakeGitLab) -> None:
    project = dags(gitlab)
    project.issues.create({"title": "t"})
    with gitlab.down(), pytest.raises(requests.ConnectionError):
        project.issues.list(get_all=True)
    assert len(project.issues.list(get_all=True)) == 1


@pytest.mark.parametrize("lag", [Lag(writes=1), Lag(requests=1), Lag(seconds=60)])
def test_a_lagging_replica_lists_what_was(gitlab: FakeGitLab, lag: Lag) -> None:
    project = dags(gitlab)
    project.issues.create({"title": "t"})
    gitlab.faults.add(Fault("stale", lag=lag, nth=1, path="/issues$"))
    assert project.issues.list(get_all=True) == []
    assert len(project.issues.list(get_all=True)) == 1


def test_the_same_seed_injects_the_same_faults() -> None:
    def run(seed: int) -> list[str | None]:
        with FakeGitLab() as fake:
            fake.project("data/dags")
            fake.faults.plan = Plan(seed, 0.5)
            for _ in range(40):
                with suppress(requests.ConnectionError):
                    requests.get(f"{fake.url}/api/v4/user", headers={"PRIVATE-TOKEN": "glpat-bot"}, timeout=5)
            return [entry.fault for entry in fake.faults.log]

    assert run(1) == run(1)
    assert run(1) != run(2)


# The contract.


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("GET", "/projects/data%2Fdags/issues?label=x", None, "query label is unknown"),
        ("GET", "/projects/data%2Fdags/issues?per_page=500", None, "query per_page='500'"),
        ("GET", "/projects/data%2Fdags/issues?state=open", None, "query state='open'"),
        ("GET", "/projects/data%2Fdags/issues?state=all&state=all", None, "given twice"),
        ("POST", "/projects/data%2Fdags/issues", {"title": "t", "label": "x"}, "Additional properties"),
        ("POST", "/projects/data%2Fdags/issues", {"description": "t"}, "'title' is a required property"),
        ("POST", "/projects/data%2Fdags/issues", {"title": 7}, "7 is not of type 'string'"),
        ("GET", "/projects/data%2Fdags/wikis", None, "no such endpoint"),
    ],
)
def test_a_request_beside_the_contract_is_an_error_even_if_the_client_swallows_it(
    gitlab: FakeGitLab, method: str, path: str, body: object, words: str
) -> None:
    answer = requests.request(
        method, f"{gitlab.url}/api/v4{path}", json=body, headers={"PRIVATE-TOKEN": "glpat-bot"}, timeout=5
    )
    assert answer.status_code in (400, 404)
    assert words in gitlab.errors[0]
    gitlab.errors.clear()


@pytest.mark.parametrize("fault", [Fault("cut", when="before"), refusal(503, "before"), refusal(503, "after")])
def test_a_request_that_a_fault_met_is_held_against_the_contract_too(gitlab: FakeGitLab, fault: Fault) -> None:
    gitlab.faults.add(fault)
    with suppress(requests.ConnectionError):
        requests.post(
            f"{gitlab.url}/api/v4/projects/data%2Fdags/issues",
            json={"title": "t", "label": "x"},
            headers={"PRIVATE-TOKEN": "glpat-bot"},
            timeout=5,
        )
    assert "Additional properties" in gitlab.errors[0]
    gitlab.errors.clear()


def test_a_wrong_answer_of_the_double_is_an_error_too(gitlab: FakeGitLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROUTES, ("GET", "/projects/{id}/issues"), lambda call: {"not": "a list"})
    with pytest.raises(KeyError):
        dags(gitlab).issues.list(iterator=True).next()
    assert "is not of type 'array'" in gitlab.errors[0]
    gitlab.errors.clear()


def test_leaving_a_double_whose_contract_was_violated_fails() -> None:
    fake = FakeGitLab()
    fake.start()
    requests.get(f"{fake.url}/api/v4/user?nonsense=1", headers={"PRIVATE-TOKEN": "glpat-bot"}, timeout=5)
    with pytest.raises(AssertionError, match="contract"):
        fake.__exit__(None, None, None)


def test_the_tests_for_a_real_gitlab_run_against_the_one_that_is_named(gitlab: FakeGitLab) -> None:
    named = {"GITLAB_URL": gitlab.url, "GITLAB_TOKEN": gitlab.token("bot"), "GITLAB_PROJECT": "data/dags"}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", "not double"]
    done = subprocess.run(
        [*command, "tests/test_gitlab_real.py"],
        cwd=Path(__file__).parent.parent,
        env=os.environ | named,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
    assert len(gitlab.faults.requests("POST", "/issues$")) >= 15


def test_a_write_that_a_proxy_sends_again_is_made_twice(gitlab: FakeGitLab) -> None:
    project = dags(gitlab)
    gitlab.faults.add(Fault("duplicate", method="POST"))
    assert project.issues.create({"title": "t"}).iid == 2
    assert len(gitlab.issues()) == 2


def test_one_issue_is_read_from_a_lagging_replica_only_where_that_is_wanted(gitlab: FakeGitLab) -> None:
    project = dags(gitlab)
    project.issues.create({"title": "t"})
    gitlab.lag = Lag(writes=1)
    assert project.issues.list(get_all=True) == []
    assert project.issues.get(1).iid == 1
    gitlab.faults.add(Fault("stale", lag=Lag(writes=1, of_one=True), nth=1))
    with pytest.raises(GitlabGetError, match="404"):
        project.issues.get(1)
    assert project.issues.get(1).iid == 1
    gitlab.lagging_reads = True
    with pytest.raises(GitlabGetError, match="404"):
        project.issues.get(1)


def test_many_at_once_get_a_number_each(gitlab: FakeGitLab) -> None:
    def open_some() -> None:
        issues = dags(gitlab).issues
        for _ in range(10):
            issues.create({"title": "t"})

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(open_some) for _ in range(8)]:
            done.result()
    assert sorted(issue.iid for issue in gitlab.issues()) == list(range(1, 81))


def test_a_fault_of_the_double_itself_is_an_error(gitlab: FakeGitLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROUTES, ("GET", "/user"), lambda call: 1 / 0)
    with pytest.raises(GitlabError):
        gitlab.client().auth()
    assert "ZeroDivisionError" in gitlab.errors[0]
    gitlab.errors.clear()


def test_a_person_acts_past_all_faults(gitlab: FakeGitLab) -> None:
    gitlab.faults.add(refusal(500))
    gitlab.do("anna", "POST", "/projects/data%2Fdags/issues", {"title": "by hand"})
    assert [issue.title for issue in gitlab.issues()] == ["by hand"]
    assert gitlab.faults.log == []


@pytest.mark.parametrize(("when", "stands"), [("before", "ours"), ("after", "hers")])
def test_somebody_acts_right_before_a_request_or_after_it(gitlab: FakeGitLab, when: str, stands: str) -> None:
    issue = dags(gitlab).issues.create({"title": "t"})
    path = "/projects/data%2Fdags/issues/1"
    hers = {"description": "hers"}
    gitlab.faults.add(Fault("meanwhile", when=when, method="PUT", act=lambda: gitlab.do("anna", "PUT", path, hers)))
    issue.description = "ours"
    issue.save()
    assert gitlab.issues()[0].description == stands


def test_an_answer_in_a_thread_is_among_the_notes_and_orders_as_any(gitlab: FakeGitLab) -> None:
    gitlab.do("anna", "POST", "/projects/data%2Fdags/issues", {"title": "t"})
    base = "/projects/data%2Fdags/issues/1"
    thread = gitlab.do("anna", "POST", f"{base}/discussions", {"body": "why?"})
    gitlab.do("anna", "POST", f"{base}/discussions/{thread['id']}/notes", {"body": "/airtriage mute 7d"})
    assert [note.body for note in GitLab(Access(gitlab.url, gitlab.token("bot"))).notes("data/dags", 1)] == [
        "why?",
        "/airtriage mute 7d",
    ]


def test_a_merge_request_closes_what_it_says_when_it_is_merged_into_the_default_branch(gitlab: FakeGitLab) -> None:
    project = next(iter(gitlab.state.projects.values()))
    for _ in range(2):
        gitlab.do("anna", "POST", "/projects/data%2Fdags/issues", {"title": "t"})
    gitlab.merge_request(project, "anna", "Fix", "fix", merged_by="anna", closes=(1,))
    gitlab.merge_request(project, "anna", "Fix", "fix", merged_by="anna", closes=(2,), target_branch="release")
    assert [issue.state for issue in gitlab.issues()] == ["closed", "opened"]


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("PUT", 405)])
def test_a_former_path_of_a_project_leads_on_who_reads_and_refuses_who_writes(
    gitlab: FakeGitLab, method: str, status: int
) -> None:
    gitlab.do("anna", "POST", "/projects/data%2Fdags/issues", {"title": "t"})
    gitlab.rename(next(iter(gitlab.state.projects.values())), "data/pipelines")
    address = f"{gitlab.url}/api/v4/projects/data%2Fdags/issues/1"
    headers = {"PRIVATE-TOKEN": gitlab.token("anna")}
    answer = requests.request(
        method, address, headers=headers, json={"title": "u"} if method == "PUT" else None, timeout=5
    )
    assert answer.status_code == status
    stranger = {"PRIVATE-TOKEN": gitlab.token(gitlab.user("stranger").username)}
    assert (
        requests.request(
            method, address, headers=stranger, json={"title": "u"} if method == "PUT" else None, timeout=5
        ).status_code
        == 404
    )
