"""Every bad token, project and setting that GitLab can be given: one sentence, nothing half done, and the queue works on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from collector.mirroring import Repositories
from tests.gitlab_double import FakeGitLab
from tests.gitlab_faults import Fault
from tests.gitlab_history import dag_repository
from tests.gitlab_state import DEVELOPER, GUEST, Project
from tests.mirroring import Clock, World
from triage.errors import GitLabGone
from triage.gitlab import Access, GitLab
from triage.mirrors import Mirror, Tracker
from triage.policy import Rules
from triage.records import TriageState
from triage.settings import Settings
from ui.cli import cli


@pytest.fixture
def world(gitlab: FakeGitLab) -> Iterator[World]:
    clock = Clock()
    gitlab.now = gitlab.state.clock = clock
    made = World(gitlab, clock)
    yield made
    made.store.close()


def _project(fake: FakeGitLab) -> Project:
    return next(its for its in fake.state.projects.values() if its.path == "data/dags")


def _expired(fake: FakeGitLab) -> None:
    fake.grant("bot", expires_at=fake.now() - timedelta(days=1))


def _unscoped(fake: FakeGitLab) -> None:
    fake.grant("bot", scopes=("read_api",))


def _revoked(fake: FakeGitLab) -> None:
    fake.grant("bot", revoked=True)


def _missing(fake: FakeGitLab) -> None:
    del fake.state.projects[_project(fake).id]


def _hidden(fake: FakeGitLab) -> None:
    del _project(fake).members[fake.user("bot").id]


def _off(fake: FakeGitLab) -> None:
    _project(fake).issues_enabled = False


REFUSED: dict[str, tuple[Callable[[FakeGitLab], None], str, str]] = {
    "a token without the scope": (_unscoped, "refuses a new issue in data/dags", "Give the token the scope api"),
    "an expired token": (_expired, "does not take the token", "Make a new access token with the scope api"),
    "a revoked token": (_revoked, "does not take the token", "Make a new access token with the scope api"),
    "a project that is missing": (_missing, "has nothing to show for the project data/dags", "Correct gitlab.project"),
    "a project that is hidden": (
        _hidden,
        "has nothing to show for the project data/dags",
        "make the token's user a member",
    ),
    "issues switched off": (_off, "The project data/dags has its issues switched off.", "Switch them on"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_gitlab_refuses_is_one_sentence_and_is_made_good_once_it_is_mended(world: World, name: str) -> None:
    breaks, says, fix = REFUSED[name]
    problem = world.fail()
    kept = dict(world.fake.state.projects), dict(_project(world.fake).members), dict(world.fake.state.tokens)
    breaks(world.fake)
    troubles = []
    for _ in range(6):
        report = world.round(61)
        troubles += report.troubles
    assert any(says in trouble.what and fix in trouble.fix for trouble in troubles), troubles
    assert {trouble.what for trouble in troubles if says in trouble.what} == {t.what for t in troubles}, "one sentence"
    assert not any("glpat-" in trouble.what + trouble.fix for trouble in troubles)
    assert world.fake.issues() == []
    found = world.store.get(Mirror, problem)
    assert found is None or found[0].sent_at is None
    # The queue goes on working without GitLab.
    assert world.service.queue(world.clock())[0].problem.state is TriageState.NEW
    world.service.resolve(problem, "anna", world.clock())
    world.service.reopen(problem, "anna", world.clock())

    world.fake.state.projects.clear()
    world.fake.state.projects.update(kept[0])
    _project(world.fake).members.update(kept[1])
    _project(world.fake).issues_enabled = True
    world.fake.state.tokens.update(kept[2])
    world.clock.forward(hours=2)
    world.settle()
    assert len(world.fake.issues()) == 1


def test_a_role_that_may_not_label_is_told_and_the_issue_is_there(world: World) -> None:
    _project(world.fake).members[world.fake.user("bot").id] = GUEST
    problem = world.fail()
    world.settle()
    told = [trouble for trouble in world.round().troubles if "Guest" in trouble.what]
    assert [trouble.fix for trouble in told] == ["Give the token's user the role Reporter."]
    assert world.mirror(problem).said == "GitLab left out the label airtriage."


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"PROJECT": "", "ROUTES__CRM__DAG": "crm_*"}, "the route crm names no project"),
        ({"PROJECT": ""}, "it names no project, such as group/airflow"),
        ({"TOKEN": ""}, "it names no token"),
        ({"URL": ""}, "it names no url"),
        ({"TITLE": "{{ title"}, "gitlab.title"),
        ({"BODY": "{% if x %}"}, "gitlab.body"),
        ({"BODY": "{{ nothing_of_that_name.x }}"}, "gitlab.body"),
        ({"BODY": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"}, "gitlab.body"),
        ({"BODY": "x" * 300_000}, "gitlab.body is wrong: it renders to more than 256 KiB"),
        ({"BODY": "token made-up-access"}, "body holds the token or a secret of the webhook"),
        ({"URL": "https://g.example?x=1"}, "gitlab.url is wrong: it holds a ? or #"),
        ({"URL": "https://anna:made-up-access@g.example"}, "gitlab.url is wrong: it holds an account"),
        ({"URL": "g.example"}, "gitlab.url is wrong: it is not an http:// or https:// address"),
        ({"LABELS": "Any"}, "'Any' is what GitLab's lists call all labels"),
        ({"LABELS": "a,,b"}, "'' is no label"),
        ({"LABELS": "x" * 300}, "is no label: it is empty, holds a comma or is longer than 255 characters"),
        ({"TOKEN_FILE": "/nowhere/token"}, "gitlab.token_file = '/nowhere/token' cannot be read"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_the_start_with_its_name(
    tmp_path: Path, environ: dict[str, str], says: str
) -> None:
    given: dict[str, str] = {"URL": "https://g.example", "TOKEN": "made-up-access", "PROJECT": "data/dags"} | environ
    variables = {f"AIRTRIAGE_GITLAB__{name}": value for name, value in given.items()}
    done = CliRunner().invoke(cli, ["problems"], env=variables | {"AIRTRIAGE_DATA_DIR": str(tmp_path)})
    assert done.exception is not None
    assert says in str(done.exception)
    assert "made-up-access" not in str(done.exception)


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"url": "https://g.example", "token": "made-up-access"}, "deployments.prod.gitlab names no project, and neither does gitlab"),
        ({"project": "data/dags"}, "deployments.prod.gitlab names no url, and neither does gitlab"),
        ({"url": "https://g.example", "token": "made-up-access", "project": "a/b", "labels": []}, "deployments.prod.gitlab has no labels"),
        ({"url": "https://g.example", "project": "a/b"}, "another GitLab needs a token of its own"),
    ],
)  # fmt: skip
def test_a_deployments_part_that_makes_no_whole_is_refused_with_its_name(own: dict[str, object], says: str) -> None:
    deployments = {"prod": {"url": "http://a", "gitlab": own}}
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"data_dir": Path("/nowhere"), "deployments": deployments})
    assert says in str(caught.value)
    assert "made-up-access" not in str(caught.value)


def test_a_project_whose_name_was_corrected_is_asked_for_no_more(world: World) -> None:
    world.fail()
    world.rules = Rules(world.fake.url, "data/nope")
    assert ["data/nope" in trouble.what for trouble in world.round().troubles] == [True]
    world.rules = None
    world.settle()
    assert world.round().troubles == []
    assert [tracker.project for tracker, _ in world.store.records(Tracker)] == ["data/dags"]
    assert len(world.fake.issues()) == 1


@pytest.mark.parametrize("body", ["<!DOCTYPE html>\n<html><title>Not found</title></html>", {"error": "404 Not Found"}])
def test_an_address_behind_which_is_no_gitlab_is_the_setting_to_correct(gitlab: FakeGitLab, body: object) -> None:
    gitlab.faults.add(Fault("status", status=404, body=body))
    with pytest.raises(GitLabGone) as caught:
        GitLab(Access(gitlab.url, gitlab.token("bot"))).desk("data/dags")
    assert caught.value.fix == "Correct gitlab.url: it is the address of GitLab's page, without /api."
    assert "<" not in caught.value.what


def test_the_command_refuses_in_one_sentence_and_makes_nothing(gitlab: FakeGitLab, tmp_path: Path) -> None:
    """In a process of its own, as people run it."""
    (tmp_path / "token").write_text(f"{gitlab.token('bot')}\n")
    for settings, command, status, says in (
        ('project = "data/dags"\nlabels = ["a,b"]', ["sync"], 2, "The setting gitlab.labels is wrong"),
        ('project = "data/dags"\ntitle = "{{ title"', ["up"], 2, "The setting gitlab.title is wrong"),
        ("[gitlab.routes.crm]\ndag = 'x'", ["sync", "--dry-run"], 2, "the route crm names no project"),
        ('project = "data/dags"', ["sync"], 2, "No deployment is set up whose problems could get an issue."),
        ('project = "data/nope"\n[deployments.prod]\nurl = "http://127.0.0.1:9"\nusername = "u"\npassword = "p"', ["doctor"], 1, "project data/nope (404"),
    ):  # fmt: skip
        head = (
            f'data_dir = "{tmp_path / "data"}"\n[gitlab]\nurl = "{gitlab.url}"\ntoken_file = "{tmp_path / "token"}"\n'
        )
        (tmp_path / "airtriage.toml").write_text(head + settings)
        done = subprocess.run(
            [Path(sys.executable).parent / "airtriage", *command], cwd=tmp_path, env={"HOME": str(tmp_path)}, capture_output=True, text=True
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert (done.returncode, says in said) == (status, True), said
        assert gitlab.token("bot") not in said
        assert "Traceback" not in said
        assert status != 2 or done.stderr.count("\n") == 1
    assert gitlab.issues() == []


def test_a_file_is_read_with_whichever_token_of_its_gitlab_sees_it(gitlab: FakeGitLab, tmp_path: Path) -> None:
    """A project's own access token, which is the best one, sees no other project."""
    _project(gitlab).repository = dag_repository(tmp_path / "dags", datetime(2026, 11, 1, tzinfo=UTC)).path
    gitlab.project("data/staging", {"staging_bot": DEVELOPER})
    own = {"project": "data/staging", "token": gitlab.token("staging_bot")}
    settings = Settings.model_validate({
        "data_dir": tmp_path, "gitlab": {"url": gitlab.url, "token": gitlab.token("bot"), "project": "data/dags"},
        "deployments": {"prod": {"url": "http://a"}, "staging": {"url": "http://b", "gitlab": own}},
    })  # fmt: skip
    (name, *_) = [
        its["path"]
        for its in gitlab.do("bot", "GET", "/projects/data%2Fdags/repository/tree", recursive="true")
        if its["type"] == "blob"
    ]
    assert Repositories(settings).file(f"{gitlab.url}/data/dags", name)
    assert Repositories(settings).file(f"{gitlab.url}/data/dags", "none.py") is None
    assert Repositories(settings).file("https://elsewhere.example/data/dags", name) is None
