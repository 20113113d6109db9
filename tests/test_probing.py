"""`airtriage doctor` on GitLab: each thing that can be wrong with a token, a role, a project or a webhook, in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.gitlab_double import FakeGitLab
from tests.gitlab_state import DEVELOPER, GUEST, MAINTAINER
from triage.settings import Settings
from ui.finding import Finding
from ui.probing import check

NOW = datetime.now(UTC)
PROJECT = "data/dags"


def _settings(fake: FakeGitLab, **more: object) -> Settings:
    its = {"url": fake.url, "token": fake.token("bot"), "project": PROJECT} | more
    return Settings.model_validate(
        {"data_dir": Path("/nowhere"), "gitlab": its, "deployments": {"prod": {"url": "http://a"}}}
    )


def _found(fake: FakeGitLab, **more: object) -> dict[str, Finding]:
    return {finding.name: finding for finding in check(_settings(fake, **more), NOW)}


def test_a_gitlab_that_is_well_is_said_line_by_line(gitlab: FakeGitLab) -> None:
    found = _found(gitlab)
    assert all(finding.ok for finding in found.values())
    assert {name: finding.text for name, finding in found.items()} == {
        "gitlab": f"GitLab 19.5.0-ee at {gitlab.url}",
        "gitlab token": "has the scope api and does not expire",
        "gitlab data/dags": "bot is Maintainer there, and may open issues with labels",
        "gitlab data/dags webhook": "none is set up here; what changes in GitLab is seen at the next round",
    }


def test_a_token_without_the_scope_is_told(gitlab: FakeGitLab) -> None:
    gitlab.grant("bot", scopes=("read_api",))
    token = _found(gitlab)["gitlab token"]
    assert (token.ok, token.text) == (False, "it lacks the scope api; it has read_api.")
    assert token.fix == "Make one with the scope api and set gitlab.token."


@pytest.mark.parametrize(("days", "is_ok"), [(90, True), (15, True), (13, False)])
def test_a_token_that_ends_soon_is_told_before_it_does(gitlab: FakeGitLab, days: int, is_ok: bool) -> None:
    gitlab.grant("bot", expires_at=NOW + timedelta(days=days))
    token = _found(gitlab)["gitlab token"]
    assert token.ok is is_ok
    assert f"in {days} days" in token.text


def _expired(fake: FakeGitLab) -> None:
    fake.grant("bot", expires_at=NOW - timedelta(days=2))


def _hidden(fake: FakeGitLab) -> None:
    fake.project(PROJECT.replace("dags", "other"), {"anna": DEVELOPER})
    fake.state.projects = {id: its for id, its in fake.state.projects.items() if its.path != PROJECT}


def _role(fake: FakeGitLab, role: int) -> None:
    project = next(its for its in fake.state.projects.values() if its.path == PROJECT)
    project.members[fake.user("bot").id] = role


def _switched_off(fake: FakeGitLab) -> None:
    next(its for its in fake.state.projects.values() if its.path == PROJECT).issues_enabled = False


@pytest.mark.parametrize(
    ("breaks", "name", "says", "fix"),
    [
        (_expired, "gitlab", "does not take the token", "Make a new access token with the scope api"),
        (_hidden, "gitlab data/dags", "has nothing to show for the project data/dags", "Correct gitlab.project"),
        (_switched_off, "gitlab data/dags", "The project data/dags has its issues switched off.", "Switch them on"),
        (lambda fake: _role(fake, GUEST), "gitlab data/dags", "bot is Guest there: GitLab leaves labels", "Give it the role Reporter"),
    ],
    ids=["expired", "hidden", "issues off", "guest"],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_and_its_fix(
    gitlab: FakeGitLab, breaks: Callable[[FakeGitLab], None], name: str, says: str, fix: str
) -> None:
    breaks(gitlab)
    finding = _found(gitlab)[name]
    assert not finding.ok
    assert says in finding.text
    assert fix in finding.fix
    assert "glpat-" not in finding.text + finding.fix


def test_a_gitlab_that_is_away_is_one_finding(gitlab: FakeGitLab) -> None:
    settings = _settings(gitlab)
    with gitlab.down():
        found = list(check(settings, NOW))
    assert [(finding.name, finding.ok) for finding in found] == [("gitlab", False)]


def _hook(fake: FakeGitLab, url: str = "https://triage.example/webhooks/gitlab", **more: object) -> None:
    project = next(its for its in fake.state.projects.values() if its.path == PROJECT)
    hook = fake.hooks.add(project.id, url)
    for name, value in more.items():
        setattr(hook, name, value)


def test_a_webhook_that_works_is_told(gitlab: FakeGitLab) -> None:
    _hook(gitlab)
    assert _found(gitlab, webhook_token="x" * 20)["gitlab data/dags webhook"].text == "GitLab sends what changes"


@pytest.mark.parametrize(
    ("hook", "says"),
    [
        (None, "no webhook of the project leads to /webhooks/gitlab."),
        ({"url": "https://elsewhere.example/x"}, "no webhook of the project leads to /webhooks/gitlab."),
        ({"failures": 4}, "GitLab has switched it off (temporarily_disabled), as it was answered with errors."),
        ({"signing_key": None}, "it has no signing token, so what it sends is refused here."),
        ({"confidential": False}, "it does not send confidential issues and confidential comments."),
    ],
    ids=["none", "elsewhere", "switched off", "not signed", "not the confidential ones"],
)
def test_a_webhook_that_does_not_work_is_told(gitlab: FakeGitLab, hook: dict[str, object] | None, says: str) -> None:
    if hook is not None:
        _hook(gitlab, **{"signing_key": "k"} | hook)  # type: ignore[arg-type]
    finding = _found(gitlab, webhook_signing_token="x" * 20)["gitlab data/dags webhook"]
    assert (finding.ok, finding.text) == (False, says)


def test_a_project_that_was_renamed_is_told_with_its_address(gitlab: FakeGitLab) -> None:
    gitlab.rename(next(its for its in gitlab.state.projects.values() if its.path == PROJECT), "data/pipelines")
    found = _found(gitlab)["gitlab data/dags"]
    assert (found.ok, found.text) == (
        True, f"bot is Maintainer there, and may open issues with labels; it was renamed, correct gitlab.project: {gitlab.url}/data/pipelines",
    )  # fmt: skip


def test_of_several_webhooks_the_one_that_leads_here_is_looked_at(gitlab: FakeGitLab) -> None:
    _hook(gitlab, "https://another.example/webhooks/gitlab", failures=4)
    _hook(gitlab)
    settings = _settings(gitlab, webhook_token="x" * 20)
    settings = settings.model_copy(
        update={"web": settings.web.model_copy(update={"public_url": "https://triage.example"})}
    )
    found = {finding.name: finding for finding in check(settings, NOW)}
    assert found["gitlab data/dags webhook"].text == "GitLab sends what changes"


def test_each_project_is_checked_by_the_token_that_is_set_for_it(gitlab: FakeGitLab) -> None:
    """A project's own access token, which is the best one, sees no other project."""
    gitlab.project("data/staging", {"staging_bot": DEVELOPER})
    own = {"project": "data/staging", "token": gitlab.token("staging_bot")}
    its = {"url": gitlab.url, "token": gitlab.token("bot"), "project": PROJECT}
    deployments = {"prod": {"url": "http://a"}, "staging": {"url": "http://b", "gitlab": own}}
    settings = Settings.model_validate({"data_dir": Path("/nowhere"), "gitlab": its, "deployments": deployments})
    found = list(check(settings, NOW))
    assert [finding.text for finding in found if not finding.ok] == []
    assert [finding.name for finding in found if "/" in finding.name and "webhook" not in finding.name] == [
        "gitlab data/dags", "gitlab data/staging",
    ]  # fmt: skip


def test_webhooks_that_the_role_may_not_see_are_no_failure(gitlab: FakeGitLab) -> None:
    _role(gitlab, DEVELOPER)
    finding = _found(gitlab, webhook_token="x" * 20)["gitlab data/dags webhook"]
    assert finding.ok
    assert finding.text.startswith("cannot be read with this role")
    assert DEVELOPER < MAINTAINER


def test_each_project_that_a_route_names_is_checked(gitlab: FakeGitLab) -> None:
    gitlab.project("crm/pipelines", {"bot": DEVELOPER})
    found = _found(
        gitlab, routes={"crm": {"dag": "crm_*", "project": "crm/pipelines"}, "none": {"dag": "x", "open": False}}
    )
    assert [name for name in found if name.startswith("gitlab ") and "/" in name] == [
        "gitlab crm/pipelines", "gitlab crm/pipelines webhook", "gitlab data/dags", "gitlab data/dags webhook",
    ]  # fmt: skip
