"""The repository of the double is a real git repository: histories, differences, blame and files are git's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gitlab.exceptions import GitlabGetError

from tests.gitlab_double import FakeGitLab
from tests.gitlab_history import History, dag_repository


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return dag_repository(tmp_path_factory.mktemp("git") / "dags", datetime(2026, 11, 1, tzinfo=UTC))


@pytest.fixture
def project(gitlab: FakeGitLab, history: History) -> Iterator[Any]:
    """The project `data/dags` as python-gitlab shows it, over a repository with five commits."""
    gitlab.state.project_of("data/dags").repository = history.path  # type: ignore[union-attr]
    return gitlab.client().projects.get("data/dags")


def test_the_commits_of_a_path_are_those_that_touched_it(project: Any, history: History) -> None:
    def shas(**query: str) -> list[str]:
        return [commit.id for commit in project.commits.list(get_all=True, query_parameters=query)]

    first, bad, other, fix, merge = history.shas
    assert shas() == [merge, fix, other, bad, first]
    assert shas(path="dags/load.py") == [fix, bad, first]
    assert shas(path="dags/load.py", since="2026-11-01T01:30:00Z", ref_name=other) == [bad]
    assert shas(until="2026-11-01T01:30:00Z") == [first]
    assert shas(ref_name="fix", first_parent="true") == [fix, other, bad, first]


def test_a_commit_is_found_by_its_sha_or_a_part_of_it(project: Any, history: History) -> None:
    bad = project.commits.get(history.shas[1][:8])
    assert (bad.title, bad.message, bad.parent_ids) == (
        "Load twice as much",
        "Load twice as much\n\nIt is needed.\n",
        [history.shas[0]],
    )
    with pytest.raises(GitlabGetError, match="404 Commit Not Found"):
        project.commits.get("0" * 40)


def test_two_commits_are_compared(project: Any, history: History) -> None:
    found = project.repository_compare(history.shas[0], history.shas[2])
    assert [commit["id"] for commit in found["commits"]] == history.shas[1:3]
    assert [row["new_path"] for row in found["diffs"]] == ["dags/load.py", "dags/send.py"]
    assert "-    return 1\n+    return 1 / 0\n" in found["diffs"][0]["diff"]


def test_a_rename_is_told_as_one(gitlab: FakeGitLab, tmp_path: Path) -> None:
    made = dag_repository(tmp_path / "dags", datetime(2026, 11, 1, tzinfo=UTC))
    sha = made.rename("dags/load.py", "dags/loads.py", "Rename")
    gitlab.state.project_of("data/dags").repository = made.path  # type: ignore[union-attr]
    (row,) = gitlab.client().projects.get("data/dags").commits.get(sha).diff(get_all=True)
    assert (row["old_path"], row["new_path"], row["renamed_file"]) == ("dags/load.py", "dags/loads.py", True)


def test_a_file_its_blame_and_the_tree_are_as_of_a_commit(project: Any, history: History) -> None:
    first, bad = history.shas[:2]
    assert project.files.raw("dags/load.py", ref=bad) == b"def load():\n    return 1 / 0\n"
    assert project.files.get("CODEOWNERS", ref="main").decode() == b"* @anna\n/dags/load.py @bot @anna\n"
    assert [(row["commit"]["id"], row["lines"]) for row in project.files.blame("dags/load.py", ref=bad)] == [
        (first, ["def load():"]),
        (bad, ["    return 1 / 0"]),
    ]
    assert [row["path"] for row in project.repository_tree(path="dags", get_all=True)] == [
        "dags/load.py",
        "dags/send.py",
    ]
    with pytest.raises(GitlabGetError, match="404 File Not Found"):
        project.files.get("nowhere.py", ref="main")


def test_the_base_of_two_branches_is_gits(project: Any, history: History) -> None:
    assert project.repository_merge_base([history.shas[1], "fix"])["id"] == history.shas[1]


def test_the_merge_request_of_a_commit_is_found_by_it(gitlab: FakeGitLab, project: Any, history: History) -> None:
    fix, merge = history.shas[3:]
    more = {"sha": fix, "commits": (fix,), "merge_commit": merge, "closes": (1,)}
    gitlab.do("bot", "POST", f"/projects/{project.id}/issues", {"title": "t"})
    gitlab.merge_request(gitlab.state.projects[project.id], "anna", "Divide no more", "fix", merged_by="anna", **more)
    (found,) = project.commits.get(fix).merge_requests(get_all=True)
    assert (found["iid"], found["state"], found["merge_commit_sha"]) == (1, "merged", merge)
    assert [row["iid"] for row in project.issues.get(1).closed_by()] == [1]
    assert [row["iid"] for row in project.issues.get(1).related_merge_requests()] == [1]
    assert project.commits.get(history.shas[1]).merge_requests(get_all=True) == []


def test_deployments_are_found_by_environment_and_end(gitlab: FakeGitLab, project: Any, history: History) -> None:
    of = gitlab.state.projects[project.id]
    gitlab.deployment(of, "bot", "production", history.shas[1])
    gitlab.deployment(of, "bot", "staging", history.shas[4])
    gitlab.deployment(of, "bot", "production", history.shas[4], "failed")
    query = {"environment": "production", "status": "success", "order_by": "finished_at", "sort": "desc"}
    assert [row.sha for row in project.deployments.list(get_all=True, query_parameters=query)] == [history.shas[1]]
    assert [row.name for row in project.environments.list(get_all=True)] == ["production", "staging"]
