"""Links to Airflow's page: exact, quoted, and never anything but http."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.links import code_url, compare_url, home, try_url
from triage.model import TaskTry

KEY = TaskTry("prod", "etl", "manual__2026-11-22T08:12:33.782373+00:00", "load", -1, 2)


def test_a_try_is_linked_as_airflow_itself_links_it() -> None:
    assert try_url("https://airflow.example.com/", KEY) == (
        "https://airflow.example.com/dags/etl/runs/manual__2026-11-22T08%3A12%3A33.782373%2B00%3A00/tasks/load?try_number=2"
    )


def test_a_mapped_try_is_linked_with_its_index() -> None:
    key = TaskTry("prod", "etl", "r", "load", 0, 1)
    assert try_url("http://a", key) == "http://a/dags/etl/runs/r/tasks/load/mapped/0?try_number=1"


def test_a_try_of_airflow_2_is_linked_to_its_logs_in_the_grid_as_of_its_run() -> None:
    key = TaskTry("prod", "etl", "scheduled__2026-11-22T08:12:33.782373+00:00", "load", 3, 2)
    assert try_url("https://airflow.example.com/", key, "2.11.0") == (
        "https://airflow.example.com/dags/etl/grid?dag_run_id=scheduled__2026-11-22T08%3A12%3A33.782373%2B00%3A00"
        "&task_id=load&map_index=3&base_date=2026-11-22T08%3A12%3A33.782373%2B00%3A00&tab=logs"
    )


def test_a_run_of_airflow_2_that_was_named_by_a_person_is_linked_without_a_date() -> None:
    key = TaskTry("prod", "etl", "odd & even__2026", "load")
    assert try_url("http://a", key, "2.10.5") == (
        "http://a/dags/etl/grid?dag_run_id=odd%20%26%20even__2026&task_id=load&tab=logs"
    )


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("https://a.example.com/team/airflow/", "https://a.example.com/team/airflow"),
        ("https://a.example.com/api/v2/", "https://a.example.com"),
        ("https://a.example.com/team/api/v1", "https://a.example.com/team"),
        ("https://me:secret@a.example.com:8443/?x=1#y", "https://a.example.com:8443"),
        (" http://[::1]:8080 ", "http://[::1]:8080"),
        ("javascript:alert(1)", ""),
        ("ftp://a.example.com", ""),
        ("http://a:port", ""),
        ("http://[", ""),
        ("airflow.example.com", ""),
        ("", ""),
    ],
)
def test_home_is_the_plain_address_or_nothing(given_url: str, expected: str) -> None:
    assert home(given_url) == expected


def test_no_link_is_made_for_an_address_that_is_not_http() -> None:
    assert try_url("javascript:alert(1)//", KEY) == ""


NAMES = st.text(min_size=1).filter(lambda name: name.isprintable())


@given(NAMES, NAMES, NAMES)
def test_whatever_a_name_holds_it_stays_in_its_own_part_of_the_path(dag: str, run: str, task: str) -> None:
    url = try_url("https://a.example.com", TaskTry("prod", dag, run, task, 4, 7))
    assert url.isascii()
    parts = urlsplit(url)
    assert [unquote(part) for part in parts.path.split("/")] == [
        "",
        "dags",
        dag,
        "runs",
        run,
        "tasks",
        task,
        "mapped",
        "4",
    ]
    assert (parts.query, parts.fragment) == ("try_number=7", "")


def test_the_code_of_a_version_is_linked_in_airflow() -> None:
    assert code_url("https://a.example/air", "etl x", 3) == "https://a.example/air/dags/etl%20x/code?version_number=3"
    assert code_url("ftp://a", "etl", 3) == ""


@pytest.mark.parametrize(
    ("bundle_url", "new", "address"),
    [
        ("https://gitlab.example.com/g/p/-/tree/abc1234/dags", "def5678", "https://gitlab.example.com/g/p/-/compare/abc1234...def5678"),
        ("https://github.com/o/r/tree/abc1234", "def5678", "https://github.com/o/r/compare/abc1234...def5678"),
        ("https://bitbucket.org/o/r/src/abc1234/", "def5678", ""),
        ("javascript:x/tree/abc1234", "def5678", ""),
        ("https://github.com/o/r/tree/abc1234", "v2?x=<img>", ""),
        ("", "def5678", ""),
    ],
)  # fmt: skip
def test_two_commits_are_compared_where_the_address_is_understood(bundle_url: str, new: str, address: str) -> None:
    assert compare_url(bundle_url, "abc1234", new) == address
