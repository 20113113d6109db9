"""The demo's DAG folder, its scenario and its table of causes agree with each other; no Airflow is needed to say so."""

from __future__ import annotations

import ast
import importlib.util
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import ui.demo
from ui.demo.expected import CAUSES, IMPORT_FAILURES, NO_PROBLEM, TRIES, disagreements
from ui.demo.install import CONSTRAINTS
from ui.demo.scenario import CLEARS, MARKS, RUNS
from ui.demo.service import AUDIENCES, GEOCODE, DemoServices

DAGS = Path(ui.demo.__file__).parent / "dags"
STORES = range(25)


def _is(decorator: ast.expr, name: str) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return name in ast.unparse(called).split(".")


def _task_ids(dag: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(dag):
        if isinstance(node, ast.FunctionDef) and any(_is(one, "task") for one in node.decorator_list):
            yield node.name
        elif isinstance(node, ast.keyword) and node.arg == "task_id":
            yield ast.literal_eval(node.value)


def _tasks() -> dict[str, set[str]]:
    """Return the task ids of every DAG in the files that import."""
    found = {}
    for file in DAGS.glob("*.py"):
        if file.name not in IMPORT_FAILURES:
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.FunctionDef) and any(_is(one, "dag") for one in node.decorator_list):
                    found[node.name] = set(_task_ids(node))
    return found


def _instances() -> list[tuple[str, str, int]]:
    instances = [(dag_id, task_id, -1) for dag_id, task_ids in _tasks().items() for task_id in task_ids]
    instances.remove(("store_files", "parse_file", -1))
    return instances + [("store_files", "parse_file", store) for store in STORES]


def _rows() -> list[tuple[str, str, int, str]]:
    """Return rows of a perfect queue: every cause its own problem, every try counted."""
    rows = []
    for number, cause in enumerate(CAUSES):
        own = [instance for instance in _instances() if cause.matches(*instance)]
        rows += [(*own[turn % len(own)], f"p{number}") for turn in range(cause.tries)]
    return rows


def test_every_dag_of_the_folder_is_run_and_every_run_has_its_dag():
    assert {dag_id for dag_id, _ in RUNS} == set(_tasks())


def test_what_is_marked_by_hand_exists():
    assert all(task_id in _tasks()[dag_id] for dag_id, task_id in (*MARKS, *CLEARS))


def test_every_task_has_one_cause_or_is_no_problem():
    for dag_id, task_id, map_index in _instances():
        causes = [cause.name for cause in CAUSES if cause.matches(dag_id, task_id, map_index)]
        assert len(causes) == (0 if (dag_id, task_id) in NO_PROBLEM else 1), (dag_id, task_id, causes)


def test_every_cause_has_a_task():
    for cause in CAUSES:
        assert any(cause.matches(*instance) for instance in _instances()), cause.name


def test_the_demo_is_as_large_as_promised():
    assert len(CAUSES) >= 14
    assert TRIES >= 50
    assert len({cause.name for cause in CAUSES}) == len(CAUSES)


def test_the_file_that_must_not_import_misses_a_module_nobody_has():
    for name in IMPORT_FAILURES:
        imports = [node for node in ast.parse((DAGS / name).read_text()).body if isinstance(node, ast.Import)]
        assert [alias.name for node in imports for alias in node.names if not importlib.util.find_spec(alias.name)]


def test_no_secret_of_a_real_shape_stands_in_the_dag_files():
    for file in DAGS.glob("*.py"):
        assert not any(shape in file.read_text() for shape in ("AKIA0", "glpat-0", "eyJhbGci")), file.name


def test_constraints_pin_every_package_and_name_no_index():
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    assert "apache-airflow-core==3.3.2" in lines
    assert all("==" in line and "://" not in line and "--" not in line for line in lines)


def test_a_perfect_queue_agrees():
    assert disagreements(_rows()) == []


def test_a_split_cause_is_named():
    rows = _rows()
    dag_id, task_id, map_index, _ = rows[0]
    (sentence,) = disagreements([(dag_id, task_id, map_index, "other"), *rows[1:]])
    assert sentence == f"Split: {CAUSES[0].name} stands in 2 problems: p0 (6), other (1)."


def test_merged_causes_are_named():
    rows = [(*row[:3], "p0" if row[3] == "p1" else row[3]) for row in _rows()]
    (sentence,) = disagreements(rows)
    assert sentence == f"Merged: problem p0 holds 2 causes: {CAUSES[0].name}; {CAUSES[1].name}."


def test_a_missing_cause_is_named():
    (sentence,) = disagreements(row for row in _rows() if row[3] != "p2")
    assert sentence == f"Missing: {CAUSES[2].name} (2 tries expected)."


def test_a_lost_and_a_doubled_try_are_counted():
    rows = _rows()
    assert disagreements(rows[1:]) == [f"Counted wrong: {CAUSES[0].name} has 6 tries, expected 7."]
    assert disagreements([rows[0], *rows]) == [f"Counted wrong: {CAUSES[0].name} has 8 tries, expected 7."]


@pytest.mark.parametrize(("dag_id", "task_id"), NO_PROBLEM)
def test_a_problem_of_what_did_not_fail_is_named(dag_id: str, task_id: str):
    (sentence,) = disagreements([*_rows(), (dag_id, task_id, -1, "p99")])
    assert sentence == f"{dag_id}.{task_id} is no expected failure, but stands in problem p99."


def test_a_try_without_a_problem_is_named():
    rows = _rows()
    found = disagreements([(*rows[0][:3], ""), *rows[1:]])
    assert found[0].startswith(f"A try of {rows[0][0]}.{rows[0][1]} stands in no problem")


@pytest.fixture
def services() -> Iterator[DemoServices]:
    services = DemoServices()
    services.start()
    yield services
    services.stop()


@pytest.mark.parametrize(("path", "status", "wait"), [(AUDIENCES, 429, "30"), (GEOCODE, 503, None), ("/", 404, None)])
def test_the_web_api_refuses_as_the_dags_expect(services: DemoServices, path: str, status: int, wait: str | None):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(f"{services.environment['DEMO_API_URL']}{path}17?batch=2", timeout=5)
    with refused.value as answer:
        assert answer.code == status
        assert answer.headers["Retry-After"] == wait


def test_the_warehouse_port_refuses_connections(services: DemoServices):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(services.environment["DEMO_WAREHOUSE_PORT"])), timeout=5)
