"""How tasks fared, asked of a real Airflow on which the demo's DAGs ran: successes, healing, pauses, the last good run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from collector import comparing, outcomes
from collector.airflow import Access, Airflow
from collector.collect import Pass
from tests.airflow_fixture import FinishedAirflow
from triage import asking
from triage.model import Comparison, ComparisonStatus, Outcomes, TaskTry
from triage.outcomes import OutcomeKind
from triage.service import Pill, QueueRow, Service
from triage.store import open_store

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
    assert source.successes(*FLAKY, every.newest) == every.__class__(1, every.newest)
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
