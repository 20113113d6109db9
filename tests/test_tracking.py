"""`airtriage sync`, `link` and `unlink`, the tick, and the texts that are sent, against the double of GitLab."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.tasks import Collector
from collector.ticks import ROUND, ticks
from tests import made_up
from tests.gitlab_double import FakeGitLab
from tests.gitlab_faults import Fault
from tests.gitlab_state import DEVELOPER, MAINTAINER
from triage.mirrors import Mirror, MirrorStatus, Tracker
from triage.service import Service
from triage.settings import Settings, load
from ui.cli import main

NOW = made_up.NOW


@dataclass
class Bench:
    """A store of made-up failures, the double, and the command line on both."""

    fake: FakeGitLab
    service: Service
    config: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *args: str) -> tuple[int, str, str]:
        try:
            main(["--config", str(self.config), *args])
            code = 0
        except SystemExit as exc:
            code = int(exc.code or 0)
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def steady(self) -> None:
        """Let the project be one that was asked all the while, so that nothing is waited for."""
        now = datetime.now(UTC)
        project = self.fake.state.project_of("data/dags")
        assert project is not None
        known = Tracker(self.fake.url, "data/dags", project.id, heard_at=now, steady_at=now - timedelta(hours=1))
        self.service.store.save(known, None)

    @property
    def settings(self) -> Settings:
        return load(str(self.config), {})

    def id(self, title: str) -> str:
        return next(row.problem.id for row in self.service.queue(NOW) if row.problem.title.startswith(title))


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    with FakeGitLab() as fake:
        fake.user("bot", bot=True)
        fake.project("data/dags", {"bot": MAINTAINER, "anna": DEVELOPER})
        config = tmp_path / "airtriage.toml"
        config.write_text(
            f'data_dir = "{tmp_path}"\n[web]\npublic_url = "https://triage.example/"\n[deployments.prod]\nurl = "https://prod.airflow.example"\n'
            f'[gitlab]\nurl = "{fake.url}"\ntoken = "{fake.token("bot")}"\nproject = "data/dags"\n'
        )
        service = made_up.service(tmp_path)
        made_up.fill(service)
        yield Bench(fake, service, config, capsys)
        service.store.close()


def test_a_dry_run_says_of_every_problem_what_would_happen_and_asks_nobody(bench: Bench) -> None:
    code, said, _ = bench.run("sync", "--dry-run", "--json")
    rows = [json.loads(line) for line in said.splitlines()]
    assert (code, len(rows), bench.fake.faults.log) == (0, len(made_up.CASES), [])
    verdicts = {row["title"].split(":")[0]: row["verdict"] for row in rows}
    assert verdicts["KeyError"] == "opens"
    assert verdicts["requests.exceptions.HTTPError"] == "never"
    assert all(row["why"] for row in rows)
    table = bench.run("sync", "--dry-run")[1]
    assert "the storm cap has 20 left" in table
    assert table.splitlines()[-1] == "9 issues would be opened. 0 problems have an issue."


def test_without_a_gitlab_it_says_what_to_set(tmp_path: Path, bench: Bench) -> None:
    bench.config.write_text(f'data_dir = "{tmp_path}"\n')
    code, _, said = bench.run("sync")
    assert (code, said.splitlines()[0]) == (
        2,
        "No GitLab is set up. Set gitlab.url, gitlab.token and gitlab.project, as docs/gitlab.md shows.",
    )
    assert bench.run("link", bench.id("KeyError"), "data/dags#1")[0] == 2


def test_a_round_opens_what_deserves_it_and_an_issue_leads_everywhere(bench: Bench) -> None:
    bench.steady()
    code, said, _ = bench.run("sync", "--once", "--json")
    done = json.loads(said)
    assert (code, done["opened"], done["told"]) == (0, 9, 0), "what was opened just now needs no word more"
    id = bench.id("KeyError")
    (issue,) = [one for one in bench.fake.issues() if one.title.startswith("KeyError")]
    assert f"https://triage.example/problem?id={id}" in (issue.description or "")
    assert "https://prod.airflow.example/dags/crm_sync/runs/" in (issue.description or "")
    assert f"<!-- airtriage:v1 problem={id} -->" in (issue.description or "")
    assert bench.fake.acted == []
    assert f"has the issue #{issue.iid} in data/dags, open" in bench.run("sync", "--dry-run")[1]
    puts = len(bench.fake.faults.requests("PUT"))
    assert json.loads(bench.run("sync", "--once", "--json")[1])["opened"] == 0
    assert len(bench.fake.faults.requests("PUT")) == puts
    bench.run("resolve", id)
    assert json.loads(bench.run("sync", "--once", "--json")[1])["told"] == 1


def test_a_trouble_of_gitlab_is_said_and_ends_in_1(bench: Bench) -> None:
    bench.steady()
    bench.fake.grant("bot", revoked=True)
    code, said, troubles = bench.run("sync", "--once")
    assert (code, said.strip()) == (1, "0 issues opened, 0 brought up to date, 0 changes heard from GitLab.")
    assert "does not take the token" in troubles
    assert "glpat-" not in troubles
    assert "left alone" not in troubles
    assert re.search(r"It is left alone until \d\d:\d\d:\d\d UTC\.", bench.run("sync", "--once")[2])


def test_an_issue_that_exists_is_linked_keeps_its_words_and_gets_our_block(bench: Bench) -> None:
    made = bench.fake.do(
        "anna", "POST", "/projects/data%2Fdags/issues", {"title": "broken", "description": "words of anna"}
    )
    id = bench.id("KeyError")
    code, said, _ = bench.run("link", id, made["web_url"], "--json")
    assert (code, json.loads(said)["gitlab_url"]) == (0, made["web_url"])
    (issue,) = bench.fake.issues()
    assert (issue.description or "").startswith("words of anna\n\n<!-- airtriage:begin -->")
    assert bench.service.find(id).gitlab_url == made["web_url"]
    bench.steady()
    bench.run("sync", "--once")
    assert len([one for one in bench.fake.issues() if one.title.startswith("KeyError")]) == 0
    code, _, said = bench.run("link", bench.id("ModuleNotFound"), "data/dags#1")
    assert (code, "is the issue of problem" in said) == (2, True)


def test_a_problem_that_was_parted_from_its_issue_gets_no_other(bench: Bench) -> None:
    bench.steady()
    bench.run("sync", "--once")
    id, count = bench.id("KeyError"), len(bench.fake.issues())
    assert bench.run("unlink", id)[0] == 0
    assert bench.service.find(id).gitlab_url == ""
    bench.run("sync", "--once")
    assert len(bench.fake.issues()) == count
    found = bench.service.store.get(Mirror, id)
    assert found is not None
    assert found[0].status is MirrorStatus.UNLINKED
    assert bench.run("unlink", id)[0] == 2


@pytest.mark.parametrize("named", ["nonsense", "https://elsewhere.example/data/dags/-/issues/1", "data/dags", "#1"])
def test_what_names_no_issue_here_is_refused(bench: Bench, named: str) -> None:
    code, _, said = bench.run("link", bench.id("KeyError"), named)
    assert (code, "names no issue at" in said) == (2, True)


def test_the_tick_makes_a_round_and_there_is_none_without_a_gitlab(bench: Bench, tmp_path: Path) -> None:
    bench.steady()
    report = Collector(bench.settings).sync()
    assert report is not None
    assert report.opened == 9
    assert ROUND in ticks(bench.settings)
    bench.config.write_text(f'data_dir = "{tmp_path}"\n')
    assert Collector(bench.settings).sync() is None
    assert ROUND not in ticks(bench.settings)


def test_a_tick_that_lasts_keeps_no_second_one_busy(bench: Bench) -> None:
    collector = Collector(bench.settings)
    bench.fake.faults.add(Fault("slow", seconds=1.0, nth=1))
    first = threading.Thread(target=collector.sync)
    first.start()
    while first.is_alive() and not collector._syncing.locked():
        time.sleep(0.01)
    assert collector.sync() is None
    first.join()
    assert collector.sync() is not None


def test_a_project_has_the_token_that_is_set_for_it(bench: Bench) -> None:
    from collector.mirroring import way

    bench.fake.project("ops/own", {"other": MAINTAINER})
    bench.config.write_text(
        bench.config.read_text()
        + f'[deployments.staging]\nurl = "https://s"\n[deployments.staging.gitlab]\nproject = "ops/own"\ntoken = "{bench.fake.token("other")}"\n'
    )
    for project, who in (("ops/own", "other"), ("data/dags", "bot")):
        issues = way(bench.settings, bench.fake.url, project)
        assert issues is not None
        assert issues.desk(project).bot == who
    assert way(bench.settings, "https://unknown.example", "data/dags") is None


def test_an_issue_of_a_problem_that_was_merged_away_is_closed_with_a_word(bench: Bench) -> None:
    from triage import merging

    bench.steady()
    bench.run("sync", "--once")
    away, heir = bench.id("ModuleNotFound"), bench.id("KeyError")
    merging.merge(bench.service, [heir, away], merging.Person("ann", ""), NOW, heir)
    for _ in range(2):
        bench.run("sync", "--once")
    by_title = {one.title.split(":")[0]: one for one in bench.fake.issues()}
    assert (by_title["ModuleNotFoundError"].state, by_title["KeyError"].state) == ("closed", "opened")
    said = [note.body for note in bench.fake.notes(by_title["ModuleNotFoundError"]) if not note.system]
    assert len(said) == 1
    assert said[0].startswith("**Merged.** Its failures belong to another problem from now on.")
    kept = by_title["KeyError"]
    assert (
        f"[That problem's issue]({bench.fake.url}/{bench.fake.state.projects[kept.project].path}/-/issues/{kept.iid})"
        in said[0]
    )
    bench.fake.change(by_title["ModuleNotFoundError"], "anna", state="opened")
    bench.run("sync", "--once")
    assert {one.title.split(":")[0]: one.state for one in bench.fake.issues()}["ModuleNotFoundError"] == "opened"


def test_a_mirror_of_another_project_needs_settings_that_know_its_gitlab(bench: Bench) -> None:
    bench.steady()
    bench.run("sync", "--once")
    found = bench.service.store.get(Mirror, bench.id("KeyError"))
    assert found is not None
    bench.service.store.save(replace(found[0], gitlab="https://gone.example"), found[1])
    code, _, said = bench.run("sync", "--once")
    assert (code, "the settings name no such GitLab" in said) == (1, True)
