"""Airflow 3.0 and 3.1 against a stand-in: every failed try by the task instances, their tries, and people's markings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from collector.airflow import Access, Airflow
from tests.airflow_stub import Stub, event, instance, serving
from triage.errors import SourceForbidden
from triage.model import CircumstanceKind, Occurrence, TaskTry

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SINCE = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
RUN = "manual__2026-11-22T08:00:00+00:00"
LIST = "/dags/~/dagRuns/~/taskInstances"


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving() as served:
        served.version, served.has_cursor = "3.0.6", False
        yield served


def airflow(stub: Stub) -> Airflow:
    return Airflow("prod", Access(stub.url, "triage", "right", timeout=5, log_timeout=5))


def key(task: str, attempt: int = 1, index: int = -1) -> TaskTry:
    return TaskTry("prod", "etl", RUN, task, index, attempt)


def listed(source: Airflow) -> dict[TaskTry, Occurrence]:
    pages = source.listed(SINCE, NOW)
    return {occurrence.key: occurrence for page in pages for occurrence in page}


def tries(task: str, *states: str, **more: object) -> list[dict[str, object]]:
    return [instance(task, state, n, max_tries=3, **more) for n, state in enumerate(states, 1)]


@pytest.mark.parametrize("version", ["3.0.0", "3.0.6", "3.1.8"])
def test_the_way_these_versions_are_read_is_said(stub: Stub, version: str) -> None:
    stub.version = version
    source = airflow(stub)
    assert source.version() == version
    assert source.how.startswith("by its task instances and their tries")


def test_tries_behind_a_later_success_a_running_one_and_a_failure_are_found(stub: Stub) -> None:
    for task, *states in (
        ("healed", "failed", "failed", "success"),
        ("rerun", "failed", "running"),
        ("gave_up", "failed", "failed"),
    ):
        stub.tries[(task, -1)] = tries(task, *states)
        stub.instances.append(stub.tries[(task, -1)][-1])
    stub.instances.append(instance("fine", "success"))
    held = listed(airflow(stub))
    assert set(held) == {key("healed"), key("healed", 2), key("rerun"), key("gave_up"), key("gave_up", 2)}
    assert {one.key.try_number: one.is_final for one in held.values() if one.key.task_id == "gave_up"} == {
        1: False,
        2: True,
    }
    assert stub.asked[f"/dags/etl/dagRuns/{RUN}/taskInstances/fine/tries"] == 0
    assert held[key("healed")].host == "vm"


@pytest.mark.parametrize("state", [None, "upstream_failed", "skipped", "removed"])
def test_a_try_behind_an_instance_that_was_cleared_and_did_not_run_again_is_found(
    stub: Stub, state: str | None
) -> None:
    cleared = instance("load", state, 1, max_tries=1, map_index=4)
    stub.instances = [cleared]
    stub.tries[("load", 4)] = [instance("load", "failed", 1, max_tries=0, map_index=4), cleared]
    held = listed(airflow(stub))
    assert [(one.key, one.is_final) for one in held.values()] == [(key("load", index=4), True)]


def test_tries_that_were_read_once_are_not_asked_for_again_until_there_is_another(stub: Stub) -> None:
    stub.tries[("load", -1)] = tries("load", "failed", "running")
    stub.instances = [stub.tries[("load", -1)][-1]]
    source, path = airflow(stub), "/dags/etl/dagRuns/manual__2026-11-22T08%3A00%3A00%2B00%3A00/taskInstances/load/tries"
    assert len(listed(source)) == 1
    assert len(listed(source)) == 0
    assert stub.asked[path] == 1
    stub.tries[("load", -1)] = tries("load", "failed", "failed", "running")
    stub.instances = [stub.tries[("load", -1)][-1]]
    assert set(listed(source)) == {key("load"), key("load", 2)}
    assert stub.asked[path] == 2


def test_tries_of_a_page_nobody_kept_are_asked_for_again(stub: Stub) -> None:
    stub.tries[("load", -1)] = tries("load", "failed", "success")
    stub.instances = [stub.tries[("load", -1)][-1]]
    source = airflow(stub)
    for page in source.listed(SINCE, NOW):
        if page:
            break
    assert set(listed(source)) == {key("load")}


def test_the_list_in_order_of_tries_is_read_no_further_than_they_go(stub: Stub) -> None:
    stub.instances = [instance(f"fine{n}", "success") for n in range(300)]
    stub.tries[("load", -1)] = tries("load", "failed", "success")
    stub.instances.append(stub.tries[("load", -1)][-1])
    assert len(listed(airflow(stub))) == 1
    asked = [query for path, query in stub.queries if path == LIST and query["order_by"] == ["-try_number"]]
    assert [query.get("offset") or query.get("cursor") for query in asked] == [[""], [""]]


def test_an_account_without_the_event_log_still_finds_what_was_retried_in_newer_versions(stub: Stub) -> None:
    stub.version, stub.has_cursor = "3.3.2", True
    stub.fault = lambda handler, path: path == "/eventLogs" and handler.send(403, {"detail": "Forbidden"})
    stub.tries[("healed", -1)] = tries("healed", "failed", "success")
    stub.instances = [stub.tries[("healed", -1)][-1]]
    source = airflow(stub)
    with pytest.raises(SourceForbidden, match=r"may not read eventLogs.*and tries that Airflow lost"):
        list(source.events(SINCE, NOW))
    assert set(listed(source)) == {key("healed")}


def test_what_the_scheduler_ended_is_told_by_the_event_log(stub: Stub) -> None:
    stub.events = [event(1, "state mismatch", "lost", extra="Executor reported")]
    (occurrence,) = [one for page in airflow(stub).events(SINCE, NOW) for one in page]
    assert (occurrence.key, occurrence.circumstance and occurrence.circumstance.kind) == (
        key("lost"),
        CircumstanceKind.STATE_MISMATCH,
    )


def test_a_marking_is_told_from_the_failures_that_came_before_it_by_their_times(stub: Stub) -> None:
    stub.events = [event(90, "patch_task_instance", "load", None, owner="ann", extra='{"new_state": "failed"}')]
    marked = instance("load", "failed", 2, start_date="2026-11-22T08:01:00Z", end_date="2026-11-22T08:00:01.500000Z")
    stub.instances = [marked]
    stub.tries[("load", -1)] = [instance("load", "failed", 1), marked]
    (occurrence,) = [one for page in airflow(stub).events(SINCE, NOW) for one in page]
    assert occurrence.key == key("load", 2)
    assert occurrence.circumstance is not None
    assert occurrence.circumstance.by == "ann"
