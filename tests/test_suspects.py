"""From a failed try to the line of source, and to the changes that touched it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from triage.model import Evidence, Frame, LogLine, Occurrence, Raised, Signature, TaskTry
from triage.records import Good
from triage.suspects import SHOWN, Commit, MergeRequest, Source, Span, Suspect, loaded, placed, source, span, suspects

AT = datetime(2026, 11, 25, tzinfo=UTC)
BAD, GOOD = "b" * 40, "a" * 40
BUNDLES = f"/opt/airflow/dag_bundles/dags/versions/{BAD}"
WEB = "https://gitlab.example.com/data/dags"


def failed(
    *frames: tuple[str, int | None], version: str = BAD, url: str = f"{WEB}/-/tree/{BAD}/dags", more: tuple[LogLine, ...] = ()
) -> Occurrence:  # fmt: skip
    chain = (Raised("KeyError", "'id'", tuple(Frame(file, line, "load") for file, line in frames)),)
    signed = Signature(1, "1:f", "KeyError", "code error", "KeyError", (Evidence(7, "KeyError"),))
    return Occurrence(
        TaskTry("prod", "etl", "r", "load"), AT, AT, bundle_version=version, bundle_url=url, signature=signed,
        kept=(LogLine(7, "KeyError", raised=chain), *more),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (f"{WEB}/-/tree/{BAD}/dags", f"{WEB}/-/blob/{BAD}/dags/etl.py#L12"),
        (f"{WEB}/-/tree/{BAD}", f"{WEB}/-/blob/{BAD}/dags/etl.py#L12"),
        (f"https://github.com/data/dags/tree/{BAD}", f"https://github.com/data/dags/blob/{BAD}/dags/etl.py#L12"),
        (
            f"https://bitbucket.org/data/dags/src/{BAD}/dags",
            f"https://bitbucket.org/data/dags/src/{BAD}/dags/etl.py#lines-12",
        ),
        ("", ""),
        (f"javascript:x/-/tree/{BAD}", ""),
    ],
)
def test_a_line_is_linked_at_the_commit_that_ran_as_airflow_names_it(url: str, address: str) -> None:
    found = source(failed((f"{BUNDLES}/dags/etl.py", 12), url=url))
    assert found is not None
    assert (found.path, found.line, found.sha, found.url) == ("dags/etl.py", 12, BAD, address)


def test_the_settings_name_the_repository_where_airflow_does_not() -> None:
    found = source(failed((f"{BUNDLES}/dags/etl.py", 12), url=""), f"{WEB}/")
    assert found == Source("dags/etl.py", 12, BAD, WEB, f"{WEB}/-/blob/{BAD}/dags/etl.py#L12")


def test_the_innermost_frame_in_the_repository_counts() -> None:
    frames = (
        ("/usr/lib/python3.12/site-packages/airflow/sdk/x.py", 1), (f"{BUNDLES}/dags/etl.py", 12),
        (f"{BUNDLES}/dags/lib/shop.py", 30), ("/usr/lib/python3.12/site-packages/pandas/frame.py", 9),
    )  # fmt: skip
    found = source(failed(*frames))
    assert found is not None
    assert found.url.endswith("/dags/lib/shop.py#L30")


def test_a_folder_named_like_a_part_of_airflow_is_the_repositorys_all_the_same() -> None:
    found = source(failed((f"{BUNDLES}/airflow/utils/etl.py", 12)))
    assert found is not None
    assert found.path == "airflow/utils/etl.py"


def test_the_exception_of_the_evidence_counts_before_later_ones() -> None:
    later = LogLine(9, "x", raised=(Raised("ValueError", "", (Frame(f"{BUNDLES}/dags/callback.py", 3, "told"),)),))
    found = source(failed((f"{BUNDLES}/dags/etl.py", 12), more=(later,)))
    assert found is not None
    assert found.path == "dags/etl.py"


def test_a_branch_that_is_followed_is_taken_at_the_bundles_version() -> None:
    found = source(failed(("/tmp/airflow/dag_bundles/dags/tracking_repo/dags/etl.py", 12)))
    assert found is not None
    assert found.sha == BAD


@pytest.mark.parametrize(
    "fact",
    [
        failed(("/opt/airflow/dags/etl.py", 12)),
        failed((f"{BUNDLES}/dags/etl.py", None)),
        failed((f"{BUNDLES}/../../etc/passwd", 12)),
        failed((f"{BUNDLES}/.venv/lib/python3.12/site-packages/x.py", 12)),
        failed(("/x/tracking_repo/dags/etl.py", 12), version="main"),
        Occurrence(TaskTry("prod", "etl", "r", "load"), AT, AT, bundle_version=BAD),
    ],
)
def test_no_line_is_guessed(fact: Occurrence) -> None:
    assert source(fact, WEB) is None


def test_a_task_ran_the_commit_that_its_log_says_it_was_loaded_from_first() -> None:
    """As Airflow 3.3 writes it, before the task has the word."""
    said = ["DAG bundles loaded: dags", f"Filling up the DagBag from {BUNDLES}/dags/etl.py", "Task says",
            f"Filling up the DagBag from /x/versions/{GOOD}/dags/etl.py"]  # fmt: skip
    assert loaded(LogLine(n, text) for n, text in enumerate(said, 1)) == BAD
    for text in ("Filling up the DagBag from /opt/airflow/dags/versions/2/etl.py", f"see /versions/{BAD}/etl.py", ""):
        assert loaded([LogLine(1, text)]) == ""


def test_the_address_of_a_bundle_goes_with_its_version() -> None:
    pointed = failed(version=GOOD, url=f"{WEB}/-/tree/{GOOD}/dags")
    moved = placed(pointed, BAD)
    assert (moved.bundle_version, moved.bundle_url) == (BAD, f"{WEB}/-/tree/{BAD}/dags")
    bare = placed(Good(pointed.key, AT), BAD)
    assert (bare.bundle_version, bare.bundle_url) == (BAD, "")


def test_a_line_is_linked_where_airflow_points_to_another_commit() -> None:
    found = source(failed((f"{BUNDLES}/dags/etl.py", 12), version=GOOD, url=f"{WEB}/-/tree/{GOOD}/dags"))
    assert found is not None
    assert found.url == f"{WEB}/-/blob/{BAD}/dags/etl.py#L12"


def test_a_path_is_quoted() -> None:
    found = source(failed((f"{BUNDLES}/dags/a b)](x)#1.py", 12)))
    assert found is not None
    assert found.url == f"{WEB}/-/blob/{BAD}/dags/a%20b%29%5D%28x%29%231.py#L12"


def test_a_span_goes_from_the_last_good_runs_commit_to_the_one_that_failed() -> None:
    at = source(failed((f"{BUNDLES}/dags/etl.py", 12)))
    good = Good(TaskTry("prod", "etl", "r0", "load"), AT, bundle_version=GOOD)
    assert span(at, good) == Span(WEB, "dags/etl.py", GOOD, BAD)
    assert span(None, good) is None
    assert span(at, None) is None
    assert span(at, Good(good.key, AT, bundle_version=BAD)) is None
    assert span(at, Good(good.key, AT, bundle_version="v1")) is None


@dataclass
class Told:
    """A history that says what it is told."""

    list: Sequence[Commit]
    requests: dict[str, list[MergeRequest]] = field(default_factory=dict)
    renames: dict[tuple[str, str], str] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    asked: int = 0

    def commits(self, span: Span) -> Sequence[Commit]:
        self.spans.append(span)
        return self.list

    def renamed_from(self, repository: str, sha: str, path: str) -> str:
        return self.renames.get((sha, path), "")

    def merge_requests(self, repository: str, sha: str) -> Sequence[MergeRequest]:
        self.asked += 1
        return self.requests.get(sha, [])


def commit(n: int) -> Commit:
    return Commit(f"{n:040x}", f"change {n}", "Ann", AT + timedelta(hours=n), f"{WEB}/-/commit/{n:040x}")


def test_a_file_is_followed_to_its_former_names_and_not_for_ever() -> None:
    told = Told([commit(2), commit(1)], renames={(commit(1).sha, "dags/etl.py"): "etl.py"})
    found = suspects(told, Span(WEB, "dags/etl.py", GOOD, BAD))
    assert told.spans == [Span(WEB, "dags/etl.py", GOOD, BAD), Span(WEB, "etl.py", GOOD, commit(1).sha)]
    assert [one.commits for one in found.found] == [(commit(2),), (commit(1),)]
    told = Told([commit(1)], renames={(commit(1).sha, a): b for a, b in (("a", "b"), ("b", "a"))})
    assert suspects(told, Span(WEB, "a", GOOD, BAD)).found == (Suspect((commit(1),)),)
    assert len(told.spans) == 4


def test_the_commits_of_a_merge_request_are_one_suspect_and_the_newest_comes_first() -> None:
    request = MergeRequest(7, "Read the new column", f"{WEB}/-/merge_requests/7")
    told = Told([commit(1), commit(3), commit(2)], {commit(n).sha: [request] for n in (1, 3)})
    found = suspects(told, Span(WEB, "dags/etl.py", GOOD, BAD))
    assert found.found == (Suspect((commit(3), commit(1)), request), Suspect((commit(2),)))
    assert found.more == 0


def test_of_many_commits_some_are_shown_few_are_asked_about_and_the_rest_is_counted() -> None:
    told = Told([commit(n) for n in range(300)])
    found = suspects(told, Span(WEB, "dags/etl.py", GOOD, BAD))
    assert (len(found.found), found.more, told.asked) == (SHOWN, 300 - SHOWN, 20)
