"""The changes before a failure, asked of the double of GitLab over a real git repository."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.gitlab_double import FakeGitLab
from tests.gitlab_fixture import gitlab  # noqa: F401
from tests.gitlab_history import History, dag_repository
from tests.store_contract import NOW, occurrence
from triage.errors import GitLabGone, GitLabUnsure
from triage.gitlab import Access, GitLab
from triage.model import Frame, LogLine, Occurrence, Raised, TaskTry
from triage.records import Comparison, ComparisonStatus, Good, TriageState
from triage.service import Service
from triage.store import open_store
from triage.suspecting import Suspecting
from triage.suspects import Commit, MergeRequest, Span, Suspect


@pytest.fixture
def repository(tmp_path: Path, gitlab: FakeGitLab) -> History:  # noqa: F811
    made = dag_repository(tmp_path / "dags", datetime(2026, 11, 1, tzinfo=UTC))
    project = gitlab.state.project_of("data/dags")
    assert project is not None
    project.repository = made.path
    gitlab.merge_request(project, "anna", "Load twice @all", "twice", merged_by="anna", commits=(made.shas[1],))
    return made


def way(fake: FakeGitLab) -> GitLab:
    return GitLab(Access(fake.url, fake.token("bot"), timeout=2))


def test_commits_that_touched_a_file_come_with_their_merge_request(gitlab: FakeGitLab, repository: History) -> None:  # noqa: F811
    its, shas = way(gitlab), repository.shas
    web = f"{gitlab.url}/data/dags"
    found = its.commits(Span(web, "dags/load.py", shas[0], shas[2]))
    assert [(one.sha, one.title, one.author) for one in found] == [(shas[1], "Load twice as much", "Anna")]
    assert found[0].url == f"{web}/-/commit/{shas[1]}"
    (request,) = its.merge_requests(web, shas[1])
    assert (request.iid, request.title) == (1, "Load twice @all")
    assert its.merge_requests(web, shas[2]) == []
    assert its.commits(Span(web, "dags/send.py", shas[1], shas[2])) != []
    assert its.commits(Span(web, "dags/send.py", shas[0], shas[1])) == []


def test_a_repository_of_another_host_is_not_asked_for(gitlab: FakeGitLab, repository: History) -> None:  # noqa: F811
    its, shas = way(gitlab), repository.shas
    for web in ("https://github.com/data/dags", f"{gitlab.url}0/data/dags", "", gitlab.url):
        assert its.commits(Span(web, "dags/load.py", shas[0], shas[2])) == []
        assert its.merge_requests(web, shas[1]) == []
    with pytest.raises(GitLabGone):
        its.commits(Span(f"{gitlab.url}/data/hidden", "dags/load.py", shas[0], shas[2]))


@dataclass
class Told:
    """A history that says what it is told, or fails."""

    commits_: list[Commit] = field(default_factory=list)
    error: Exception | None = None
    asked: int = 0

    def commits(self, span: Span) -> list[Commit]:
        self.asked += 1
        if self.error:
            raise self.error
        return self.commits_

    def renamed_from(self, repository: str, sha: str, path: str) -> str:
        return ""

    def merge_requests(self, repository: str, sha: str) -> list[MergeRequest]:
        return []


@pytest.fixture
def service() -> Iterator[Service]:
    store = open_store("sqlite://")
    yield Service(store)
    store.close()


OLD, NEW, WEB = "a" * 40, "b" * 40, "https://gitlab.example.com/data/dags"
COMMIT = Commit(NEW, "Load twice", "Anna", NOW, f"{WEB}/-/commit/{NEW}")


def failed(service: Service) -> Occurrence:
    frame = Frame(f"/opt/airflow/dag_bundles/dags/versions/{NEW}/dags/load.py", 2, "load")
    fact = replace(
        occurrence(1), kept=(LogLine(1, "ZeroDivisionError", raised=(Raised("ZeroDivisionError", "", (frame,)),)),), bundle_version=NEW
    )  # fmt: skip
    service.record([fact])
    service.settle(NOW)
    kept = service.store.occurrence(fact.key.id)
    assert kept is not None
    return kept


def compared(service: Service, ended_at: datetime = NOW - timedelta(days=1)) -> None:
    ((wish, revision),) = service.store.records(Comparison)
    good = Good(TaskTry("prod", "orders", "run_0", "load"), ended_at, bundle_version=OLD)
    service.store.save(replace(wish, status=ComparisonStatus.SHOWN, good=good), revision)


def test_the_last_good_run_is_wished_for_once_and_then_what_came_after_it_is_asked_once(service: Service) -> None:
    fact, told = failed(service), Told([COMMIT])
    its = Suspecting(service, lambda: NOW, {"prod": WEB}, lambda deployment: told)
    assert its.suspects(fact) is None
    assert its.suspects(fact) is None
    ((wish, _),) = service.store.records(Comparison)
    assert (wish.key, wish.wanted_by, wish.status) == (fact.key, "airtriage", ComparisonStatus.WANTED)
    compared(service)
    found = its.suspects(fact)
    assert found is not None
    assert (found.span, found.found) == (Span(WEB, "dags/load.py", OLD, NEW), (Suspect((COMMIT,)),))
    assert its.suspects(fact) is found
    assert told.asked == 1


def test_nobody_is_asked_and_nothing_wished_for_where_nobody_tells_of_the_repository(service: Service) -> None:
    fact = failed(service)
    assert Suspecting(service, lambda: NOW, {"prod": WEB}).suspects(fact) is None
    assert Suspecting(service, lambda: NOW, history=lambda deployment: Told()).suspects(replace(fact, kept=())) is None
    assert service.store.records(Comparison) == []


def test_a_run_that_was_good_after_the_failure_is_no_beginning(service: Service) -> None:
    fact, told = failed(service), Told([COMMIT])
    its = Suspecting(service, lambda: NOW, {"prod": WEB}, lambda deployment: told)
    its.suspects(fact)
    compared(service, NOW + timedelta(hours=1))
    assert its.suspects(fact) is None
    assert told.asked == 0


def test_a_repository_that_may_not_be_read_has_no_suspects_and_one_that_is_away_is_asked_again(
    service: Service,
) -> None:
    fact, told = failed(service), Told([COMMIT], GitLabUnsure("It is away."))
    its = Suspecting(service, lambda: NOW, {"prod": WEB}, lambda deployment: told)
    its.suspects(fact)
    compared(service)
    assert its.suspects(fact) is None
    told.error = GitLabGone("It is hidden.")
    assert its.suspects(fact) is None
    assert its.suspects(fact) is None
    assert told.asked == 2


def test_of_a_problem_that_came_back_the_good_run_is_one_from_after_it_was_fixed(service: Service) -> None:
    fact, told = failed(service), Told([COMMIT])
    its = Suspecting(service, lambda: NOW, {"prod": WEB}, lambda deployment: told)
    its.suspects(fact)
    compared(service)
    id, hour = service.problem_of(fact), timedelta(hours=1)
    service.resolve(id, "ann", NOW + hour)
    again = replace(fact, key=replace(fact.key, run_id="run_2"), started_at=NOW + 2 * hour, ended_at=NOW + 3 * hour)
    service.record([again])
    service.settle(NOW + 3 * hour)
    assert service.find(id).state is TriageState.REGRESSED
    assert its.suspects(again) is None
    wishes = {wish.key.run_id: wish.began for wish, _ in service.store.records(Comparison)}
    assert wishes == {fact.key.run_id: fact.ended_at, "run_2": again.started_at}
    assert its.suspects(fact) is not None
    assert told.asked == 1


def test_what_is_told_of_the_last_good_run_shows_in_the_edition_of_an_issue(service: Service) -> None:
    fact = failed(service)
    its = Suspecting(service, lambda: NOW, {"prod": WEB}, lambda deployment: Told([COMMIT]))
    its.suspects(fact)
    assert its.answered(service.problem_of(fact)) == ""
    compared(service)
    told = Suspecting(service, lambda: NOW).answered(service.problem_of(fact))
    assert told == (NOW - timedelta(days=1)).isoformat()
