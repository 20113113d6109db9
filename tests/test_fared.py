"""How tasks fared: successes, healing, pauses, the last good run; of a real Airflow 3.3, and in the words of older ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from collector import comparing, outcomes
from collector.airflow import Access, Airflow
from collector.collect import Pass
from tests.airflow_fixture import FinishedAirflow
from tests.airflow_stub import Stub, event, instance, serving
from triage import asking
from triage.model import TaskTry
from triage.outcomes import OutcomeKind, Standing
from triage.queue import Pill, QueueRow
from triage.records import Comparison, ComparisonStatus, Outcomes
from triage.service import Service
from triage.store import open_store

SINCE = datetime(2026, 11, 22, tzinfo=UTC)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
FLAKY, REPORT = ("fx_rates", "fetch_rates"), ("revenue_report", "sum_revenue")


@pytest.fixture(scope="module")
def source(airflow: FinishedAirflow) -> Airflow:
    return Airflow("prod", Access(airflow.url, airflow.username, airflow.password))


@pytest.fixture(scope="module")
def service(airflow: FinishedAirflow, source: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A store that one pass has filled."""
    made = Service(open_store(f"sqlite:///{tmp_path_factory.mktemp('fared') / 'airtriage.db'}"))
    week, poll = timedelta(days=7), timedelta(seconds=30)
    report = Pass(made, source, "prod", airflow.url, week, poll, (), lambda: datetime.now(UTC)).run()
    assert report.troubles == []
    yield made
    made.store.close()


def row_of(service: Service, dag_id: str, task_id: str) -> QueueRow:
    return next(row for row in service.queue(datetime.now(UTC)) if f"{dag_id}.{task_id}" in dict(row.tasks))


def answers(service: Service, source: Airflow) -> dict[tuple[str, str], Outcomes]:
    later = datetime.now(UTC) + timedelta(minutes=10)
    outcomes.ask(service, source, "prod", lambda: later, limit=100)
    return {(answer.dag_id, answer.task_id): answer for answer, _ in service.store.records(Outcomes)}


def test_successes_are_counted_from_a_time_on_and_the_newest_is_dated(source: Airflow) -> None:
    every = source.successes(*FLAKY, LONG_AGO)
    assert every.count == 2
    assert every.newest is not None
    assert source.successes(*FLAKY, every.newest) == replace(every, count=1)
    assert (every.dag_version or 0) >= 1
    assert source.successes(*FLAKY, every.newest + timedelta(microseconds=1)).count == 0
    assert source.successes("no_such_dag", "x", LONG_AGO).count == 0
    assert source.successes("orders_hourly", "publish_orders", LONG_AGO).count == 0


def test_task_instances_beyond_their_first_try_are_told(source: Airflow) -> None:
    healed = source.retried(*FLAKY, LONG_AGO)
    assert [(it.state, it.try_number) for it in healed.standings] == [("success", 2)] * 2
    assert healed.reach is None
    assert [it.state for it in source.retried(*REPORT, LONG_AGO).standings] == ["failed"]


def test_what_heals_by_retry_is_told_from_what_does_not(service: Service, source: Airflow) -> None:
    found = answers(service, source)
    flaky, report = found[FLAKY], found[REPORT]
    assert (flaky.healed, flaky.broken, flaky.waiting, flaky.healed_on) == (2, 0, 0, 2)
    assert (report.healed, report.broken, report.succeeded, report.between) == (0, 1, 0, 0)
    row = row_of(service, *FLAKY)
    assert row.outcome is not None
    assert row.outcome.said == "Heals by itself every time, 2 of 2, on the second try."
    assert row.pill is Pill.FLAKY
    assert row_of(service, *REPORT).pill is Pill.NEEDS


def test_a_paused_dag_is_told_from_a_quiet_one(airflow: FinishedAirflow) -> None:
    def source() -> Airflow:
        return Airflow("prod", Access(airflow.url, airflow.username, airflow.password))

    def pause(is_paused: bool) -> None:
        status, _ = airflow.airflow._call("PATCH", "/api/v2/dags/stock_levels", {"is_paused": is_paused})
        assert status == 200

    assert not source().schedule("stock_levels").is_paused
    pause(True)
    try:
        assert source().schedule("stock_levels").is_paused
    finally:
        pause(False)
    assert source().schedule("no_such_dag").is_gone


def test_the_last_good_run_is_the_newest_success_before_the_problem_began(service: Service, source: Airflow) -> None:
    key = TaskTry("prod", REPORT[0], "demo__2", REPORT[1])
    began = row_of(service, *REPORT).first_seen
    good = source.last_good(key, began)
    assert good is not None
    assert (good.key, good.dag_version) == (TaskTry("prod", REPORT[0], "demo__1", REPORT[1]), 1)
    assert good.ended_at <= began
    assert source.last_good(key, good.ended_at - timedelta(microseconds=1)) is None
    mapped = TaskTry("prod", "store_files", "demo__1", "parse_file", 7)
    sibling = source.last_good(mapped, datetime.now(UTC))
    assert sibling is not None
    assert sibling.key.map_index not in (-1, 7)


def test_the_lines_that_are_new_since_the_last_good_run_of_a_real_log(service: Service, source: Airflow) -> None:
    row = row_of(service, *REPORT)
    wish = asking.want(service, row.problem.id, "", "ann", datetime.now(UTC))
    for errand in comparing.errands(service, source, "prod", lambda: datetime.now(UTC)):
        errand.run()
    found = asking.comparison(service, wish.key.id)
    assert isinstance(found, Comparison)
    assert found.status is ComparisonStatus.SHOWN
    fact = service.store.occurrence(wish.key.id)
    assert fact is not None
    assert fact.kept is not None
    new = [line.text for line in fact.kept if line.number in found.new]
    known = [line.text for line in fact.kept if line.number not in found.new]
    assert "the VAT rates are included from this release on" in new
    assert "Task failed with exception" in new
    assert any(text.startswith("query id ") for text in known)
    assert any("Pre Execute" in text for text in known)
    assert len(new) < len(known) + 3, new


def test_a_task_that_never_succeeded_has_no_good_run(service: Service, source: Airflow) -> None:
    row = row_of(service, "account_export", "pull_accounts")
    wish = asking.want(service, row.problem.id, "", "ann", datetime.now(UTC))
    assert comparing.compare(service, source, wish, lambda: datetime.now(UTC)).status is ComparisonStatus.NONE
    outcome = row_of(service, "account_export", "pull_accounts").outcome
    assert outcome is not None
    assert outcome.kind is OutcomeKind.IDLE


# --- older ones, by a stand-in


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving() as served:
        served.has_cursor = False
        yield served


def of(stub: Stub) -> Airflow:
    return Airflow("prod", Access(stub.url, "triage", "right", timeout=5, log_timeout=5))


def at(minute: int) -> dict[str, str]:
    return {"start_date": f"2026-11-22T08:{minute:02}:00Z", "end_date": f"2026-11-22T08:{minute:02}:30Z"}


def test_airflow_3_0_that_ignores_filters_by_try_and_map_index_tells_the_same(stub: Stub) -> None:
    stub.version, stub.ignored = "3.0.6", {"try_number", "map_index"}
    stub.instances = [
        instance("load", "success", 1, map_index=0, **at(1)), instance("load", "success", 2, map_index=1, **at(2)),
        instance("load", "success", 1, map_index=2, **at(3)), instance("load", "failed", 2, map_index=3, **at(4)),
        instance("other", "success", 2, **at(5)),
    ]  # fmt: skip
    source = of(stub)
    run = stub.instances[0]["dag_run_id"]
    assert source.successes("etl", "load", SINCE).count == 3
    retried = source.retried("etl", "load", SINCE)
    assert retried.standings == (Standing(run, 3, "failed", 2), Standing(run, 1, "success", 2))
    assert retried.reach is None
    good = source.last_good(TaskTry("prod", "etl", "x", "load", 1), NOON)
    assert good is not None
    assert (good.key.map_index, good.key.try_number) == (1, 2)
    sibling = source.last_good(TaskTry("prod", "etl", "x", "load", 9), NOON)
    assert sibling is not None
    assert sibling.key.map_index == 2


def test_too_many_task_instances_are_told_as_far_back_as_they_reach(stub: Stub) -> None:
    stub.instances = [instance("load", "success", 2, map_index=n, **at(n)) for n in range(5)]
    stub.page_limit = 3
    retried = of(stub).retried("etl", "load", SINCE)
    assert [it.map_index for it in retried.standings] == [4, 3, 2]
    assert retried.reach == datetime(2026, 11, 22, 8, 2, tzinfo=UTC)


def test_airflow_2_tells_by_its_event_log(stub: Stub) -> None:
    stub.version, stub.api = "2.11.0", "/api/v1"
    stub.events = [
        event(1, "success", "load", 1, map_index=0), event(2, "failed", "load", 1, map_index=1),
        event(3, "success", "load", 2, map_index=1), event(4, "success", "load", 1, map_index=2),
        event(5, "success", "other", 1),
    ]  # fmt: skip
    stub.dags["etl"] = {
        "dag_id": "etl",
        "is_paused": True,
        "is_active": True,
        "next_dagrun_create_after": "2026-11-23T00:00:00Z",
    }
    source = of(stub)
    run = stub.events[0]["run_id"]
    every = source.successes("etl", "load", SINCE)
    assert (every.count, every.newest) == (3, datetime(2026, 11, 22, 8, 0, 4, 250000, tzinfo=UTC))
    assert source.successes("etl", "load", every.newest or NOON).count == 1
    stub.instances = [
        instance("load", "success", 1, map_index=0, **at(1)), instance("load", "success", 2, map_index=1, **at(2)),
        instance("load", "failed", 2, map_index=2, **at(3)), instance("other", "success", 2, **at(3)),
    ]  # fmt: skip
    retried = source.retried("etl", "load", SINCE)
    assert retried.standings == (Standing(run, 1, "success", 2), Standing(run, 2, "failed", 2))
    assert retried.reach is None
    stub.instances *= 150
    assert source.retried("etl", "load", SINCE).reach is not None
    own = source.last_good(TaskTry("prod", "etl", "x", "load", 0), NOON)
    sibling = source.last_good(TaskTry("prod", "etl", "x", "load", 7), NOON)
    assert own is not None
    assert sibling is not None
    assert (own.key.map_index, sibling.key.map_index, own.dag_version) == (0, 2, None)
    assert source.last_good(TaskTry("prod", "etl", "x", "nothing"), NOON) is None
    schedule = source.schedule("etl")
    assert (schedule.is_paused, schedule.is_gone) == (True, False)
    assert schedule.next_run_at == datetime(2026, 11, 23, tzinfo=UTC)
    stub.dags["etl"] = {"dag_id": "etl", "is_active": False}
    assert of(stub).schedule("etl").is_gone
