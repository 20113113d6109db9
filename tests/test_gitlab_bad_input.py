"""Every bad token, project and setting that GitLab can be given: one sentence, nothing half done, and the queue works on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.gitlab_double import FakeGitLab
from tests.gitlab_state import GUEST, Project
from tests.mirroring import Clock, World
from triage.mirrors import Mirror
from triage.records import TriageState
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
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_the_start_with_its_name(
    tmp_path: Path, environ: dict[str, str], says: str
) -> None:
    given = {"URL": "https://g.example", "TOKEN": "made-up-access", "PROJECT": "data/dags"} | environ
    variables = {f"AIRTRIAGE_GITLAB__{name}": value for name, value in given.items()}
    done = CliRunner().invoke(cli, ["problems"], env=variables | {"AIRTRIAGE_DATA_DIR": str(tmp_path)})
    assert done.exception is not None
    assert says in str(done.exception)
    assert "made-up-access" not in str(done.exception)
