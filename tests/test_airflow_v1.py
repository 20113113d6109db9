"""Airflow 2.10 and 2.11 against a stand-in and recorded answers: one event for each failed try, markings, logs as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collector.airflow import Access, Airflow, rows, rows_v1, v1
from collector.airflow.words import Endpoint
from tests.airflow_stub import HTML, Handler, Stub, event, instance, serving
from triage import logs
from triage.errors import LogGone, SourceError, SourceForbidden
from triage.model import CircumstanceKind, LogStatus, Occurrence, TaskTry, merge

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SINCE = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
RUN = "manual__2026-11-22T08:00:00+00:00"
RECORDED = Path(__file__).parents[2] / "shared" / "airflow" / "airflow2.11"
recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded answers of Airflow 2.11 are not there")


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving() as served:
        served.version, served.api, served.has_cursor = "2.11.0", "/api/v1", False
        yield served


def airflow(stub: Stub, **more: Any) -> Airflow:
    return Airflow("prod", replace(Access(stub.url, "triage", "right", timeout=5, log_timeout=5), **more))


def key(task: str, attempt: int = 1, index: int = -1) -> TaskTry:
    return TaskTry("prod", "etl", RUN, task, index, attempt)


def found(source: Airflow) -> dict[TaskTry, Occurrence]:
    held: dict[TaskTry, Occurrence] = {}
    for listing in (source.events(SINCE, NOW), source.listed(SINCE, NOW)):
        for page in listing:
            for occurrence in page:
                held[occurrence.key] = merge(held.get(occurrence.key, occurrence), occurrence)
    return held


@pytest.mark.parametrize("version", ["2.10.0", "2.10.5", "2.11.2"])
def test_airflow_2_is_detected_without_a_log_in(stub: Stub, version: str) -> None:
    stub.version = version
    source = airflow(stub)
    assert source.version() == version
    assert "Airflow 2" in source.how
    assert [part.status for part in source.health()] == ["healthy", "healthy", "never ran"]
    assert stub.asked["/auth/token"] == 0


def test_an_upgrade_from_2_to_3_is_seen_at_the_next_pass(stub: Stub) -> None:
    source = airflow(stub)
    assert source.version() == "2.11.0"
    stub.version, stub.api, stub.has_cursor = "3.3.2", "/api/v2", True
    stub.instances = [instance("load", "failed")]
    assert source.version() == "3.3.2"
    assert list(found(source)) == [key("load")]
    assert source.how == "by its event log and task instances"


@pytest.mark.parametrize("version", ["2.9.3", "1.10.15"])
def test_an_older_airflow_is_one_sentence_with_the_versions_that_are_read(stub: Stub, version: str) -> None:
    stub.version = version
    with pytest.raises(SourceError, match=rf"runs Airflow {version}, .*reads Airflow 2.10, 2.11 and 3: upgrade"):
        airflow(stub).version()


def test_what_is_no_airflow_at_either_address_is_said_of_the_newer_one(stub: Stub) -> None:
    stub.fault = lambda handler, path: handler.send(404, HTML, "text/html")
    with pytest.raises(SourceError, match="404 Not Found with something that is not Airflow's API"):
        airflow(stub).version()


def test_a_wrong_password_names_the_setting_on_both_sides(stub: Stub) -> None:
    source = airflow(stub, password="hunter2-wrong")
    with pytest.raises(SourceError, match=r"does not let our account in: .*\(401\)") as caught:
        list(source.events(SINCE, NOW))
    assert "[deployments.prod]" in caught.value.fix
    assert "auth_backends" in caught.value.fix
    assert "hunter2" not in str(caught.value)


def test_a_token_is_sent_to_airflow_2_where_something_before_it_takes_one(stub: Stub) -> None:
    sent: list[str | None] = []

    def note(handler: Handler, path: str) -> bool:
        sent.append(handler.headers.get("Authorization"))
        return path == "/pools" and handler.send(200, {"pools": [{"name": "tiny"}], "total_entries": 1})

    stub.fault = note
    assert [pool.name for pool in airflow(stub, username="", password="", token="abc").pools()] == ["tiny"]
    assert sent == ["Bearer abc"] * 3  # two of them find out which Airflow it is


def test_a_missing_permission_is_named(stub: Stub) -> None:
    stub.fault = lambda handler, path: path == "/eventLogs" and handler.send(403, {"detail": None, "status": 403})
    with pytest.raises(SourceForbidden, match=r"may not read eventLogs.*and tries that were retried"):
        list(airflow(stub).events(SINCE, NOW))


def test_one_event_a_failed_try_leaves_open_whether_it_was_retried_and_the_list_knows(stub: Stub) -> None:
    stub.events = [event(1, "failed", "slow"), event(2, "failed", "load"), event(9, "failed", "load", 2)]
    stub.instances = [instance("load", "failed", 2, max_tries=1), instance("slow", "up_for_retry", max_tries=3)]
    source = airflow(stub)
    told = {one.key: one.is_final for page in source.events(SINCE, NOW) for one in page}
    assert told == {key("slow"): None, key("load"): None, key("load", 2): None}
    held = found(source)
    assert (held[key("slow")].is_final, held[key("load", 2)].is_final) == (False, True)
    assert held[key("load")].ended_at == datetime(2026, 11, 22, 8, 0, 2, 250000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "attempt", "is_final"),
    [("failed", 1, True), ("up_for_retry", 1, False), ("running", 2, False), (None, 1, False)],
)
def test_the_instance_says_whether_a_try_was_final_and_after_it_the_number_of_tries(
    stub: Stub, state: str, attempt: int, is_final: bool
) -> None:
    stub.events = [event(1, "failed", "load", map_index=2)]
    present = instance("load", state, attempt, max_tries=3, map_index=2, rendered_map_index="shop 2")
    stub.instances = [present]
    stub.tries[("load", 2)] = [instance("load", "failed", 1, max_tries=3, map_index=2)]
    source = airflow(stub)
    (occurrence,) = [one for page in source.events(SINCE, NOW) for one in page]
    described = source.describe(occurrence)
    assert (described.is_final, described.map_label, described.host) == (is_final, "shop 2", "vm")
    assert (described.owner, described.tags) == ("data-platform", ("team:x",))


MARKED = [
    ("failed", "load", {}, {"map_index": "2", "confirmed": "true"}, (RUN, "load", 2)),
    ("failed", "load", {}, {}, (RUN, "load", None)),
    ("failed", None, {}, {"group_id": "section"}, (RUN, "", None)),
    ("failed", None, {}, {}, None),
    ("dagrun_failed", None, {}, {"confirmed": "true"}, (RUN, "", None)),
    ("dagrun_failed", None, {}, {"confirmed": "false"}, None),
    ("api.patch_task_instance", "load", {}, {"new_state": "failed", "dry_run": False}, (RUN, "load", None)),
    (
        "ui.patch_mapped_task_instance", "load", {}, {"new_state": "failed", "dry_run": False, "map_index": 0},
        (RUN, "load", 0),
    ),
    ("api.patch_task_instance", "load", {}, {"new_state": "failed"}, None),
    ("api.patch_task_instance", "load", {}, {"new_state": "success", "dry_run": False}, None),
    (
        "api.post_set_task_instances_state", None, {"run_id": None},
        {"new_state": "failed", "dry_run": False, "task_id": "load", "dag_run_id": "r"}, ("r", "load", None),
    ),
    ("api.update_dag_run_state", None, {}, {"state": "failed"}, (RUN, "", None)),
    ("api.update_dag_run_state", None, {}, {"state": "success"}, None),
    ("api.post_clear_task_instances", None, {}, {"new_state": "failed", "dry_run": False}, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "task", "more", "extra", "expected"), MARKED)
def test_what_people_mark_as_failed_is_read_from_the_request_that_was_logged(
    name: str, task: str | None, more: dict[str, Any], extra: dict[str, Any], expected: object
) -> None:
    marking = rows_v1.marking(event(1, name, task, None, owner="ann", extra=json.dumps(extra), **more))
    assert (marking and (marking.run_id, marking.task_id, marking.map_index)) == expected
    assert marking is None or (marking.by, marking.at) == ("ann", datetime(2026, 11, 22, 8, 0, 1, 250000, tzinfo=UTC))


@pytest.mark.parametrize("extra", [None, 1, "", "[]", "{", "[" * 100_000])
def test_a_marking_of_another_shape_is_none(extra: object) -> None:
    assert rows_v1.marking(event(1, "failed", "load", None, extra=extra)) is None


def test_a_task_marked_on_the_page_is_told_from_one_that_failed_by_itself(stub: Stub) -> None:
    stub.events = [
        event(5, "failed", "broken"),
        event(30, "dagrun_failed", None, None, owner="ann", extra='{"confirmed": "true"}'),
    ]
    stub.instances = [instance("broken", "failed"), instance("stopped", "failed"), instance("done", "success")]
    stub.instances += [instance("retried", "success", 2)]
    held = found(airflow(stub))
    assert held[key("broken")].circumstance is None
    stopped = held[key("stopped")].circumstance
    assert stopped is not None
    assert (stopped.kind, stopped.by) == (CircumstanceKind.MARKED, "ann")
    assert set(held) == {key("broken"), key("stopped")}


@pytest.mark.parametrize(
    ("name", "extra", "run"),
    [
        ("clear", '{"confirmed": "true"}', RUN),
        ("clear", '{"confirmed": "false"}', None),
        ("dagrun_clear", '{"confirmed": "true", "x": 1}', RUN),
        ("api.post_clear_task_instances", '{"dry_run": false, "dag_run_id": "r"}', RUN),
        ("ui.clear_dag_run", '{"dry_run": false}', RUN),
        ("ui.clear_dag_run", "{}", None),
        ("clear", None, None),
    ],
)
def test_what_people_clear_is_read_from_the_request_that_was_logged(
    name: str, extra: str | None, run: str | None
) -> None:
    assert name in rows_v1.CLEARINGS
    clearing = rows_v1.clearing(event(1, name, None, None, extra=extra))
    assert (clearing.run_id if clearing else None) == run


def test_tasks_that_never_ran_are_told_at_the_failure_that_kept_them(stub: Stub) -> None:
    stub.downstream = {"load": ["publish"]}
    stub.instances = [instance("load", "failed"), instance("publish", "upstream_failed", 0)]
    assert found(airflow(stub))[key("load")].upstream_failed == ("publish",)


def test_a_log_comes_as_text_for_exactly_this_instance(stub: Stub) -> None:
    stub.logs[("load", 3, 2)] = b"vm\n INFO - ::group::Log message source details\n"
    source = airflow(stub)
    assert b"".join(source.read_log(key("load", 2, 3))) == stub.logs[("load", 3, 2)]
    path, query = stub.queries[-1]
    assert path.endswith("/taskInstances/load/logs/2")
    assert query == {"map_index": ["3"], "full_content": ["true"]}
    with pytest.raises(LogGone):
        list(source.read_log(key("other")))


def test_pools_and_import_failures_are_read(stub: Stub) -> None:
    stub.imports = [
        {"filename": "a.py", "timestamp": "2026-11-22T08:00:00Z", "stack_trace": "Boom", "import_error_id": 1}
    ]
    (failure,) = airflow(stub).import_failures()
    assert (failure.file, failure.trace) == ("a.py", "Boom")
    assert [pool.name for pool in airflow(stub).pools()] == ["tiny"]


def test_a_half_answer_of_a_log_is_said(stub: Stub) -> None:
    def half(handler: Handler, path: str) -> bool:
        return "/logs/" in path and handler.half("text/plain")

    stub.fault = half
    with pytest.raises(SourceError, match="broke off"):
        list(airflow(stub).read_log(key("load")))


def test_no_question_of_airflow_2_needs_a_method_of_the_client() -> None:
    asked = [value for value in vars(v1).values() if isinstance(value, Endpoint)]
    assert len(asked) >= 12
    assert all(endpoint.path.startswith("/api/v1/") and not endpoint.method for endpoint in asked)


# --- recorded answers


@recorded
def test_recorded_events_name_each_failed_try_once() -> None:
    body = json.loads((RECORDED / "eventLogs.json").read_text())
    failed = [rows.key("prod", row) for row in body["event_logs"] if row["event"] == "failed"]
    assert len(failed) == len(set(failed)) >= 6
    assert all(
        its and its.run_id and rows.time(row["when"]) for its, row in zip(failed, body["event_logs"], strict=False)
    )
    flaky = [its for its in failed if its and its.task_id == "flaky"]
    assert [its.try_number for its in flaky] == [1]


@recorded
def test_recorded_instances_and_tries_are_read_in_full() -> None:
    instances = json.loads((RECORDED / "taskInstances.json").read_text())["task_instances"]
    for row in [
        *instances,
        json.loads((RECORDED / "ti.json").read_text()),
        json.loads((RECORDED / "tries.json").read_text()),
    ]:
        its = rows.key("prod", row)
        assert its is not None
        described = rows.described(Occurrence(its, NOW, NOW), row)
        assert described.started_at or its.try_number == 0
        assert (described.operator, described.host) == (row["operator"], row["hostname"])
    dag = rows.owned(Occurrence(key("t"), NOW, NOW), json.loads((RECORDED / "dagDetails.json").read_text()))
    assert dag.tags == ("af2",)


@recorded
def test_recorded_health_and_pools_are_read() -> None:
    parts = [rows.component(name, part) for name, part in json.loads((RECORDED / "health.json").read_text()).items()]
    assert {(part.name, part.status) for part in parts} == {
        ("dag_processor", "never ran"),
        ("metadatabase", "healthy"),
        ("scheduler", "healthy"),
        ("triggerer", "healthy"),
    }
    assert next(part for part in parts if part.name == "scheduler").heartbeat is not None
    (pool,) = [rows.pool_load(row) for row in json.loads((RECORDED / "pools.json").read_text())["pools"]]
    assert (pool.name, pool.slots) == ("default_pool", 128)


@recorded
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("log_chained.txt", LogStatus.WHOLE),
        ("log_bash_1.txt", LogStatus.WHOLE),
        ("log_flaky_1.txt", LogStatus.WHOLE),
        ("log_chained_5.txt", LogStatus.MISSING),
        ("log_after_1.txt", LogStatus.MISSING),
    ],
)
def test_a_log_that_airflow_2_says_is_absent_is_judged_missing(name: str, status: LogStatus) -> None:
    kept = logs.keep(logs.read(iter([(RECORDED / name).read_bytes()])))
    assert logs.status(kept, None, None) is status
