"""Owners and GitLab: CODEOWNERS read from the repository, issues assigned to owners, and assignments that come back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from collector.mirroring import ask_owners
from tests.gitlab_double import FakeGitLab
from tests.gitlab_faults import refusal
from tests.gitlab_fixture import gitlab  # noqa: F401
from tests.gitlab_history import dag_repository
from tests.gitlab_state import DEVELOPER, MAINTAINER
from tests.mirroring import START, Clock, World
from triage.mirrors import Mirror
from triage.records import Codeowners
from triage.service import Service
from triage.settings import load
from triage.store import open_store


@pytest.fixture
def world() -> Iterator[World]:
    clock = Clock()
    with FakeGitLab(clock) as fake:
        fake.user("bot", bot=True)
        fake.project("data/dags", {"bot": MAINTAINER, "anna": DEVELOPER})
        yield World(fake, clock)


def reassign(world: World, names: list[str]) -> None:
    (issue,) = world.fake.issues()
    world.clock.forward(seconds=1)
    ids = [world.fake.user(name).id for name in names]
    world.fake.do("anna", "PUT", f"/projects/{issue.project}/issues/{issue.iid}", {"assignee_ids": ids or [0]})


@pytest.mark.parametrize(
    ("owner", "assignee"), [("anna", "anna"), ("@anna", "anna"), ("stranger", ""), ("two words", "")]
)
def test_an_issue_is_assigned_to_its_owner_if_gitlab_knows_the_name(world: World, owner: str, assignee: str) -> None:
    id = world.fail(owner="anna")  # Airflow's word alone is none
    world.service.assign(id, owner, "ann", START)
    world.settle()
    assert world.mirror(id).assignee == assignee
    assert world.mirror(id).said == ""


def test_an_owner_that_airflow_names_is_no_user_of_gitlab(world: World) -> None:
    id = world.fail(owner="anna")
    world.settle()
    assert (world.mirror(id).web_url != "", world.mirror(id).assignee) == (True, "")


def test_whom_a_person_assigns_in_gitlab_owns_the_problem_until_that_is_taken_back(world: World) -> None:
    id = world.fail(owner="eve")
    world.settle()
    reassign(world, ["anna"])
    world.settle(2)
    assert world.service.find(id).owner == "@anna"
    told = world.service.problem(id, world.clock()).history
    assert [(entry.what, entry.why, entry.origin) for entry in told if "assigned" in entry.what] == [
        ("assigned it to @anna", "as #1 in GitLab is", "GitLab")
    ]
    reassign(world, [])
    world.settle(2)
    assert world.service.problem(id, world.clock()).row.owner == "eve"
    world.service.assign(id, "bob", "ann", world.clock())
    reassign(world, ["anna"])
    reassign(world, [])
    world.settle(2)
    assert world.service.find(id).owner == "bob"  # what the page said since is not GitLab's to take back


def test_codeowners_comes_from_the_repository_that_airflow_names(gitlab: FakeGitLab, tmp_path: Path) -> None:  # noqa: F811
    project = gitlab.state.project_of("data/dags")
    assert project is not None
    history = dag_repository(tmp_path / "dags", START)
    project.repository = history.path
    token = gitlab.token("bot")
    (tmp_path / "airtriage.toml").write_text(
        f'[deployments.prod]\nurl = "http://a"\n[gitlab]\nurl = "{gitlab.url}"\ntoken = "{token}"\nproject = "data/dags"\n'
    )
    settings = load(str(tmp_path / "airtriage.toml"), {})
    store = open_store("sqlite://")
    world = World(gitlab, Clock(), store)
    web = f"{gitlab.url}/data/dags"
    file = f"/opt/bundles/dags/versions/{history.shas[1]}/dags/load.py"
    world.fail(file=file, bundle_url=f"{web}/-/tree/{history.shas[1]}", owner="eve")
    world.fail(2, dag="elsewhere", file=file, bundle_url="https://github.com/a/b/tree/x", owner="eve")
    service = Service(store, owning=settings.ownership)
    assert ask_owners(settings, service, START) == []
    owned = {row.dags[0][0]: (row.owner, row.owned.why) for row in service.queue(START)}
    assert owned["orders"] == ("@bot, @anna", "by CODEOWNERS /dags/load.py")
    assert owned["elsewhere"] == ("eve", "as Airflow says of elsewhere.load")
    assert [(kept.repository, kept.path) for kept, _ in store.records(Codeowners)] == [(web, "CODEOWNERS")]
    store.close()


def test_a_repository_that_may_not_be_read_is_said_and_what_is_kept_stays(gitlab: FakeGitLab, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "airtriage.toml").write_text(
        f'[deployments.prod]\nurl = "http://a"\nrepository = "{gitlab.url}/data/dags"\n'
        f'[gitlab]\nurl = "{gitlab.url}"\ntoken = "{gitlab.token("bot")}"\nproject = "data/dags"\n'
    )
    settings = load(str(tmp_path / "airtriage.toml"), {})
    store = open_store("sqlite://")
    World(gitlab, Clock(), store).fail(tags=("x",))
    store.save(kept := Codeowners(f"{gitlab.url}/data/dags", "CODEOWNERS", "* @a\n", START - timedelta(days=1)), None)
    gitlab.faults.add(refusal(403))
    (trouble,) = ask_owners(settings, Service(store), START)
    assert "refuses the file CODEOWNERS of data/dags" in trouble.what
    ((found, _),) = store.records(Codeowners)
    assert (found.text, found.read_at) == (kept.text, START)
    assert store.records(Mirror) == []
    store.close()
