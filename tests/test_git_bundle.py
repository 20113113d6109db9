"""DAGs from git, end to end: a real Airflow with real git bundles, and the double of GitLab on the very same repository.

One story is played once, and what stood where at each turn of it is kept; the tests look at that. A merge request breaks
tasks, another one fixes them, an old run of old code fails again, a third breaks them anew, and a fourth renames a file.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from collector import comparing, outcomes, tasks
from collector.collect import Pass
from collector.mirroring import ask_owners, syncer
from tests.gitlab_double import FakeGitLab
from tests.gitlab_history import History
from tests.gitlab_state import DEVELOPER, MAINTAINER, Issue
from triage import opening, telling
from triage.model import Occurrence
from triage.query import EVERYTHING
from triage.records import Problem, TriageState
from triage.service import Service
from triage.settings import load
from triage.store import open_store
from ui.demo.airflow import ThrowawayAirflow
from ui.demo.install import PACKAGES, cache_folder, install

pytestmark = [pytest.mark.airflow, pytest.mark.xdist_group("git_bundle")]
CONSTRAINTS = Path(__file__).parent / "constraints-git.txt"

# Four ways to fail: in the DAG's file, in a module beside it, in a library that it calls, in a bundle's subfolder.
SHOP = """import json

from airflow.sdk import dag, task
from dags.shop.prices import price


@dag(schedule=None)
def shop():
    @task
    def load():
        return share(10)

    @task
    def priced():
        return price("12")

    @task
    def parsed():
        return json.loads(FEED)

    load()
    priced()
    parsed()


FEED = "[1]"
PARTS = 2


def share(total):
    return total / PARTS


shop()
"""
PRICES = """def price(text):
    return CURRENCIES["EUR"] * float(text)


CURRENCIES = {"EUR": 1}
"""
REPORT = """from airflow.sdk import dag, task


@dag(schedule=None)
def report():
    @task
    def send():
        return RECEIVERS[0]

    send()


RECEIVERS = ["anna"]
report()
"""
GOOD = {"dags/shop/load.py": SHOP, "dags/shop/prices.py": PRICES, "jobs/report.py": REPORT}
BAD = {
    "dags/shop/load.py": SHOP.replace("PARTS = 2", "PARTS = 0").replace('FEED = "[1]"', 'FEED = "[1"'),
    "dags/shop/prices.py": PRICES.replace('{"EUR": 1}', "{}"),
    "jobs/report.py": REPORT.replace('["anna"]', "[]"),
}
OWNERS = "* @carl\n/dags/shop/ @anna\n/jobs/ @bob\n"

TASKS = ("load", "priced", "parsed", "send")


def line(text: str, of: str) -> int:
    """Return the number of the line in which a text stands."""
    return text[: text.index(of)].count("\n") + 1


@dataclass
class Turn:
    """What stood at a turn of the story, by task: the newest failed try, its problem, its issue and the comments there."""

    tries: dict[str, Occurrence] = field(default_factory=dict)
    problems: dict[str, Problem] = field(default_factory=dict)
    issues: dict[str, Issue] = field(default_factory=dict)
    comments: dict[str, list[str]] = field(default_factory=dict)
    opened: int = 0


@dataclass
class Story:
    """A repository, an Airflow that runs its DAGs, a GitLab that serves it, and airtriage between them."""

    history: History
    airflow: ThrowawayAirflow
    gitlab: FakeGitLab
    folder: Path
    turns: dict[str, Turn] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    merges: dict[str, str] = field(default_factory=dict)
    pointed: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    def __post_init__(self) -> None:
        its, url = self.airflow, self.gitlab.url
        (self.folder / "airtriage.toml").write_text(
            f'[deployments.prod]\nurl = "{its.url}"\nusername = "{its.username}"\npassword = "{its.password}"\n'
            f'[gitlab]\nurl = "{url}"\ntoken = "{self.gitlab.token("bot")}"\nproject = "data/dags"\n'
        )
        self.settings = load(str(self.folder / "airtriage.toml"), {})
        self.service = Service(open_store("sqlite://"), owning=self.settings.ownership)
        self.source = tasks.source("prod", self.settings.deployments["prod"])
        self.api = airflow_api(its)

    # --- what people do

    def merge(self, name: str, title: str, files: dict[str, str], closes: tuple[Issue, ...] = ()) -> None:
        """Bring a change in by a merge request, which closes issues, and wait until Airflow has it."""
        self.history.git("checkout", "--quiet", "-b", name)
        self.commits[name] = self.history.commit(title, files)
        self.history.git("checkout", "--quiet", "main")
        self.merges[name] = self.history.merge(name, f"Merge branch '{name}' into 'main'")
        project = self.gitlab.state.project_of("data/dags")
        assert project is not None
        self.gitlab.merge_request(
            project, "anna", title, name, merged_by="anna", closes=tuple(one.iid for one in closes), sha=self.commits[name],
            merge_commit=self.merges[name], commits=(self.commits[name],),
        )  # fmt: skip
        for one in closes:
            self.gitlab.do("anna", "PUT", f"/projects/{one.project}/issues/{one.iid}", {"state_event": "close"})

    # --- what Airflow does

    def deploy(self, sha: str, *dags: str) -> None:
        """Wait until Airflow has read these DAGs, by default all, at a commit."""
        for dag in dags or ("shop", "report"):
            wait(lambda: self.api(f"dags/{dag}/details").get("bundle_version") == sha, f"{dag} to be read")  # noqa: B023

    def run(self, name: str) -> None:
        """Run every DAG to its end."""
        for dag in ("shop", "report"):
            wait(lambda: self.airflow.trigger(dag, name), f"{dag} to be triggered")  # noqa: B023
        self.end(name)

    def end(self, name: str) -> None:
        keys = [("shop", name), ("report", name)]
        wait(lambda: {self.airflow.runs().get(key) for key in keys} <= {"success", "failed"}, f"the end of {name}")

    # --- what airtriage does

    def agree(self, name: str) -> None:
        """Collect and mirror until all is told, a wish for the last good run among it, and keep what stands then."""
        for _ in range(2):
            self.collect()
            self.sync()
            self.sync()
        turn = self.turns[name] = Turn(opened=len(self.gitlab.issues()))
        for fact in reversed(self.service.store.search(EVERYTHING, 100)):
            turn.tries[fact.key.task_id] = fact
        for task, fact in turn.tries.items():
            problem = self.service.find(self.service.problem_of(fact))
            (issue,) = (one for one in self.gitlab.issues() if f"problem={problem.id}" in one.description)
            turn.problems[task], turn.issues[task] = problem, issue
            turn.comments[task] = [note.body for note in self.gitlab.notes(issue) if not note.system]

    def collect(self) -> None:
        its, source, now, second = self.service, self.source, tasks.now, timedelta(seconds=1)
        report = Pass(
            its, source, "prod", self.airflow.url, timedelta(days=1), second, (), now,
            errands=lambda: comparing.errands(its, source, "prod", now),
        ).run()  # fmt: skip
        assert report.troubles == []
        self.asked += 1  # an hour later each time, so that how the tasks fared is asked for at once
        outcomes.ask(its, source, "prod", lambda: now() + timedelta(hours=self.asked))
        its.settle(now())

    def sync(self) -> None:
        assert ask_owners(self.settings, self.service, tasks.now()) == []
        assert syncer(self.settings, self.service, tasks.now).run().troubles == []

    def link(self, name: str, path: str, number: int) -> str:
        return f"[`{path}:{number}`]({self.gitlab.url}/data/dags/-/blob/{self.merges[name]}/{path}#L{number})"

    def suspects(self, turn: str, task: str) -> list[str]:
        """Return the changes that an issue names, as the names of their merge requests' branches."""
        listed = self.turns[turn].issues[task].description.partition("#### Changed since")[2].partition("<sub>")[0]
        branches = {commit: name for name, commit in self.commits.items()}
        return [branches[sha] for sha in re.findall(r"/-/commit/([0-9a-f]{40})\)", listed)]


def airflow_api(airflow: ThrowawayAirflow) -> Callable[[str], dict[str, Any]]:
    """Return what asks Airflow's API as the account that may only read; nothing for what is not there yet."""
    session = requests.Session()
    session.trust_env = False
    login = {"username": airflow.username, "password": airflow.password}
    token = session.post(f"{airflow.url}/auth/token", json=login, timeout=60).json()["access_token"]
    session.headers["Authorization"] = f"Bearer {token}"

    def ask(path: str) -> dict[str, Any]:
        answer = session.get(f"{airflow.url}/api/v2/{path}", timeout=60)
        return dict(answer.json()) if answer.ok else {}

    return ask


def wait(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.2)


def bundle(name: str, repository: Path, url: str, **more: str) -> dict[str, object]:
    """Return how Airflow is told of DAGs in a repository, or in a folder of it (`subdir`)."""
    template = f"{url}/data/dags/-/tree/{{version}}" + ("/{subdir}" if more else "")
    its = {"repo_url": str(repository), "tracking_ref": "main", "refresh_interval": 1, "view_url_template": template}
    return {"name": name, "classpath": "airflow.providers.git.bundles.git.GitDagBundle", "kwargs": its | more}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Play the story, and return what stood at its turns, Airflow answering still."""
    environment = install(cache_folder(), print, CONSTRAINTS, (*PACKAGES, "apache-airflow-providers-git"))
    folder = tmp_path_factory.mktemp("git")
    (folder / "none").mkdir()
    history = History(folder / "dags", datetime.now(UTC) - timedelta(days=30))
    with FakeGitLab() as gitlab, pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "WAIT", timedelta(0))  # a minute, for answers that lag
        patch.setattr(telling, "REFRESH", timedelta(0))  # an hour between two texts of an issue
        gitlab.user("bot", bot=True)
        people = {"anna": DEVELOPER, "bob": DEVELOPER, "carl": DEVELOPER}
        gitlab.project("data/dags", {"bot": MAINTAINER, **people}).repository = history.path
        history.commit("Add two DAGs", {"CODEOWNERS": OWNERS, ".airflowignore": "jobs\n", "dags/send.py": "", **GOOD})
        bundles = [bundle("whole", history.path, gitlab.url), bundle("jobs", history.path, gitlab.url, subdir="jobs")]
        settings = {
            "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            # Its DAG versions then point to the newest bundle at once, which is what is hardest on airtriage.
            "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
            # One for all its processes, or none of them can read the addresses of bundles.
            "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }
        named = {f"AIRFLOW__{name}": value for name, value in settings.items()}
        with ThrowawayAirflow(environment, folder / "home", dags=folder / "none", settings=named) as airflow:
            told = Story(history, airflow, gitlab, folder)
            play(told)
            yield told
            told.service.store.close()


def play(its: Story) -> None:
    """Play the story."""
    its.deploy(its.history.shas[0])
    its.run("good")
    its.history.commit("Send more", {"dags/send.py": "AGAIN = True\n"})
    its.merge("broken", "Split it into no parts", BAD)
    its.deploy(its.merges["broken"])
    its.run("bad")
    its.agree("broken")
    its.merge("fixed", "Split it into parts again", GOOD, tuple(its.turns["broken"].issues.values()))
    its.sync()
    its.deploy(its.merges["fixed"])
    wait(lambda: its.airflow.clear("shop", "bad", "load"), "an old run to be cleared")
    wait(lambda: its.api("dags/shop/dagRuns/bad/taskInstances/load").get("try_number") == 2, "it to run again")
    its.end("bad")
    its.agree("merged")
    for task, run in (("load", "good"), ("load", "bad")):
        its.pointed[run] = its.api(f"dags/shop/dagRuns/{run}/taskInstances/{task}")["dag_version"]["bundle_version"]
    its.run("well")
    its.agree("deployed")
    its.merge("again", "Split it into no parts again", BAD)
    its.deploy(its.merges["again"])
    its.run("worse")
    its.agree("again")
    its.history.git("checkout", "--quiet", "-b", "moving")
    its.history.git("mv", "dags/shop/prices.py", "dags/shop/prizes.py")
    its.history.git("checkout", "--quiet", "main")
    moved = {"dags/shop/load.py": BAD["dags/shop/load.py"].replace("shop.prices", "shop.prizes")}
    its.merge("renamed", "Rename the prices", moved)
    its.deploy(its.merges["renamed"], "shop")
    its.run("last")
    its.agree("renamed")


def test_airflow_itself_points_to_another_commit_than_the_one_that_ran(story: Story) -> None:
    """What all this guards against: by then its DAG version, the same for every run, was moved on to the fix."""
    assert set(story.pointed.values()) == {story.merges["fixed"]}


def test_each_try_is_known_by_the_commit_that_it_ran(story: Story) -> None:
    for task in TASKS:
        for turn, commit in (("broken", "broken"), ("merged", "broken"), ("again", "again")):
            fact = story.turns[turn].tries[task]
            assert (task, turn, fact.bundle_version) == (task, turn, story.merges[commit])
            assert f"/-/tree/{story.merges[commit]}" in fact.bundle_url
    assert story.turns["merged"].tries["load"].key.try_number == 2


@pytest.mark.parametrize(
    ("task", "path", "of"),
    [
        ("load", "dags/shop/load.py", "return total / PARTS"),
        ("priced", "dags/shop/prices.py", "return CURRENCIES"),
        ("parsed", "dags/shop/load.py", "return json.loads"),
        ("send", "jobs/report.py", "return RECEIVERS"),
    ],
)
def test_an_issue_links_to_the_line_at_the_commit_that_ran_and_names_who_changed_that_file(
    story: Story, task: str, path: str, of: str
) -> None:
    """Of the frames of a failure the innermost one in the repository counts: a module beside the DAG, and no library."""
    text = story.turns["broken"].issues[task].description
    assert f"In the code: {story.link('broken', path, line(BAD[path], of))}, at the commit that ran." in text
    assert f"from `{story.history.shas[0][:10]}`, the commit of the last good run" in text
    assert story.suspects("broken", task) == ["broken"]
    assert "Split it into no parts" in text
    assert "Send more" not in text


@pytest.mark.parametrize(("task", "owner"), [("load", "anna"), ("priced", "anna"), ("send", "bob")])
def test_codeowners_of_the_repository_name_the_owner_and_the_assignee(story: Story, task: str, owner: str) -> None:
    issue = story.turns["broken"].issues[task]
    assert issue.assignees == (story.gitlab.user(owner).id,)
    assert f"Owner: \\@\u2060{owner}." in issue.description


def test_a_merged_fix_resolves_in_its_deploy_and_old_code_that_fails_again_changes_nothing(story: Story) -> None:
    turn = story.turns["merged"]
    for task in TASKS:
        its = turn.problems[task]
        assert (its.state, its.state_by, turn.issues[task].state) == (TriageState.RESOLVED, "anna", "closed")
        assert "by merge request !2, merged by anna" in its.reason
        assert its.deploy is not None
        assert (its.deploy.bundles, its.deploy.seen_at) == ((story.merges["broken"],), None)
        assert turn.comments[task] == []


def test_a_success_at_the_commit_of_the_fix_is_the_deploy(story: Story) -> None:
    its = story.turns["deployed"].problems["load"]
    assert its.state is TriageState.RESOLVED
    assert its.deploy is not None
    assert its.deploy.seen == f"shop.load in DAG version 1 of shop (bundle {story.merges['fixed'][:10]})"


@pytest.mark.parametrize(
    ("task", "path", "of"), [("load", "dags/shop/load.py", "return total / PARTS"), ("send", "jobs/report.py", "return RECEIVERS")]
)  # fmt: skip
def test_what_breaks_again_reopens_the_same_issue_with_the_reason_the_line_and_the_new_suspects(
    story: Story, task: str, path: str, of: str
) -> None:
    before, turn = story.turns["broken"], story.turns["again"]
    assert (turn.problems[task].id, turn.issues[task].iid) == (before.problems[task].id, before.issues[task].iid)
    assert (turn.problems[task].state, turn.issues[task].state) == (TriageState.REGRESSED, "opened")
    link = story.link("again", path, line(BAD[path], of))
    (comment,) = turn.comments[task]
    assert comment.startswith("**It came back.** Failed again in DAG version 1 of ")
    assert link in comment
    assert link in turn.issues[task].description
    assert story.suspects("again", task) == ["again"]
    assert turn.opened == len(TASKS)


def test_a_file_that_was_renamed_is_suspected_by_its_former_name_too(story: Story) -> None:
    turn = story.turns["renamed"]
    number = line(BAD["dags/shop/prices.py"], "return CURRENCIES")
    assert f"In the code: {story.link('renamed', 'dags/shop/prizes.py', number)}" in turn.issues["priced"].description
    assert story.suspects("renamed", "priced") == ["renamed", "again"]
