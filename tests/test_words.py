"""What issues say, from the store through the whole way to the double of GitLab and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.gitlab_double import FakeGitLab
from tests.gitlab_history import dag_repository
from tests.gitlab_state import DEVELOPER, MAINTAINER
from tests.mirroring import START, Clock, World
from triage.gitlab import Access, GitLab
from triage.model import Evidence, Frame, LogLine, LogStatus, Raised, Signature, TaskTry
from triage.policy import Rules
from triage.records import Comparison, ComparisonStatus, Good
from triage.redact import PLAIN, Redactor
from triage.report import problem_of, retitled
from triage.service import Service
from triage.suspecting import Suspecting
from triage.sync import Sync
from triage.watched import DeploymentHealth
from triage.words import Written


@dataclass
class Spoken(World):
    """A world whose issues say what airtriage really says."""

    redactor: Redactor = PLAIN
    body: str = ""
    asks: bool = False

    @property
    def service(self) -> Service:
        return Service(self.store, {"prod": "prod", "dev": "dev"}, self.redactor)

    @property
    def written(self) -> Written:
        service, way = self.service, GitLab(Access(self.fake.url, self.fake.token("bot"), timeout=2))
        suspecting = Suspecting(
            service, self.clock, {"prod": f"{self.fake.url}/data/dags"}, lambda name: way if self.asks else None
        )
        urls = {"prod": "https://airflow.example.com"}
        return Written(
            service, self.clock, urls, "https://triage.example.com/t/", body=self.body, suspecting=suspecting
        )

    def sync(self, token: str = "bot") -> Sync:
        return replace(super().sync(token), service=self.service, words=self.written)

    def block(self, problem: str) -> str:
        row = self.written.now(problem)
        assert row is not None
        return self.written.block(row)

    def description(self, problem: str) -> str:
        project, mirror = self.fake.state.project_of("data/dags"), self.mirror(problem)
        (issue,) = [issue for issue in self.fake.issues(project) if issue.iid == mirror.iid]
        return issue.description or ""


@pytest.fixture
def world() -> Iterator[Spoken]:
    clock = Clock()
    with FakeGitLab(clock) as fake:
        fake.user("bot", bot=True)
        fake.project("data/dags", {"bot": MAINTAINER, "anna": DEVELOPER})
        world = Spoken(fake, clock, rules=Rules(fake.url, "data/dags", storm_cap=1000))
        yield world
        world.store.close()


def signed(text: str, n: int = 1) -> Signature:
    return Signature(1, f"1:{n:02x}", text[:150], "code error", "KeyError", (Evidence(1, text),))


def test_an_issue_is_made_of_what_the_store_holds(world: Spoken) -> None:
    id = world.fail(signature=signed("KeyError: 'id'"))
    world.fail(at=START + timedelta(hours=1), signature=signed("KeyError: 'id'"))
    world.service.record(
        [replace(world.service.problem(id, START).occurrences[0], key=TaskTry("dev", "orders", "r", "load"))]
    )
    world.service.settle(START)
    said = world.block(id)
    for told in (
        "2 failed tries since 2026-11-25 12:00 UTC, the last 2026-11-25 13:00 UTC.", " KeyError: 'id'\n",
        f"[Problem in airtriage](https://triage.example.com/t/problem?id={id})",
        "[Newest try in Airflow](https://airflow.example.com/dags/orders/runs/run_2/tasks/load?try_number=1)",
        "[First try in Airflow](https://airflow.example.com/dags/orders/runs/run_1/tasks/load?try_number=1)",
        "- [dev](https://triage.example.com/t/problem?id=",
    ):  # fmt: skip
        assert told in said, told
    world.store.save(DeploymentHealth("prod", "http://x", START, version="2.11.0"), None)
    assert "https://airflow.example.com/dags/orders/grid?dag_run_id=run_2" in world.block(id)


def test_nothing_is_said_anew_because_time_passes(world: Spoken) -> None:
    id = world.fail()
    before = world.block(id)
    world.clock.forward(days=40)
    assert world.block(id) == before


def test_a_try_whose_log_is_awaited_does_not_hide_one_that_is_known(world: Spoken) -> None:
    id = world.fail(signature=signed("KeyError: 'id'"))
    world.fail(at=START + timedelta(hours=1), log=LogStatus.MISSING, kept=None)
    assert " KeyError: 'id'\n" in world.block(id)


def test_what_a_new_rule_of_redaction_masks_is_out_of_the_issue_after_the_next_round(world: Spoken) -> None:
    id = world.fail(signature=signed("no customer 4711-22-8 in the list"))
    world.settle()
    assert "4711-22-8" in world.description(id)
    world.clock.forward(hours=2)
    world.redactor = Redactor(known=("4711-22-8",))
    world.settle()
    assert "4711-22-8" not in world.description(id)
    assert "no customer ***" in world.description(id)
    (issue,) = world.fake.issues()
    assert (issue.title, world.mirror(id).title) == ("no customer *** in the list (orders.load)",) * 2
    before = world.mirror(id).written_at
    world.clock.forward(hours=2)
    world.round()
    assert world.mirror(id).written_at == before


def test_a_title_that_a_person_wrote_stays_and_one_of_ours_is_known_after_it_was_masked_in_the_store() -> None:
    redactor = Redactor(known=("4711-22-8",))
    assert retitled("no customer 4711-\u206022-8", "no customer 4711-22-8", redactor) == "no customer ***"
    assert retitled("no customer 4711-22-8", "no customer ***", redactor) == "no customer ***"
    assert retitled("Anna: no customer 4711-22-8", "no customer 4711-22-8", redactor) is None
    assert retitled("no customer ***", "no customer ***", redactor) is None


def test_a_new_template_is_in_the_issue_after_the_next_round_and_a_persons_words_stay(world: Spoken) -> None:
    id = world.fail()
    world.settle()
    project, mirror = world.fake.state.project_of("data/dags"), world.mirror(id)
    assert project is not None
    edited = f"Anna was here.\n\n{world.description(id)}\nAnd here."
    world.fake.do("anna", "PUT", f"/projects/{project.id}/issues/{mirror.iid}", {"description": edited})
    world.clock.forward(hours=2)
    world.body = "Only {{ total }} now."
    world.settle()
    said = world.description(id)
    assert said.startswith("Anna was here.\n\n<!-- airtriage:begin -->\n\nOnly 1 now.\n")
    assert said.endswith("<!-- airtriage:end -->\n\nAnd here.")


def test_a_template_that_trips_over_one_problem_holds_up_no_other(world: Spoken) -> None:
    world.body = "{{ 1 / (total - 2) }}"
    bad, good = world.fail(1), world.fail(2)
    world.fail(1)
    world.settle(6)
    assert problem_of(world.description(good)) == good
    assert "does not render in line 1: division by zero" in world.mirror(bad).said
    assert len(world.fake.issues()) == 1


def test_suspects_come_into_the_issue_once_the_last_good_run_is_known(world: Spoken, tmp_path: Path) -> None:
    project = world.fake.state.project_of("data/dags")
    assert project is not None
    history = dag_repository(tmp_path / "dags", START - timedelta(days=9))
    project.repository, world.asks = history.path, True
    frame = Frame(f"/opt/airflow/dag_bundles/dags/versions/{history.shas[2]}/dags/load.py", 2, "load")
    line = LogLine(1, "ZeroDivisionError", raised=(Raised("ZeroDivisionError", "", (frame,)),))
    id = world.fail(kept=(line,), bundle_version=history.shas[2])
    world.settle()
    source = f"[`dags/load.py:2`]({world.fake.url}/data/dags/-/blob/{history.shas[2]}/dags/load.py#L2)"
    assert source in world.description(id)
    assert "Changed since" not in world.description(id)
    ((wish, revision),) = world.store.records(Comparison, parent=id)
    good = Good(TaskTry("prod", "orders", "run_0", "load"), START - timedelta(days=1), bundle_version=history.shas[0])
    world.store.save(replace(wish, status=ComparisonStatus.SHOWN, good=good), revision)
    world.clock.forward(hours=2)
    world.settle()
    assert f"from `{history.shas[0][:10]}`, the commit of the last good run before it began" in world.description(id)
    assert "Load twice as much, by Anna" in world.description(id)
