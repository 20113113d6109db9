"""Every failed try of a real Airflow 2.11 and 3.0, against the truth counted by SQL in its own database.

Each is installed from PyPI into the user's cache and run once a machine; afterwards a test run only serves it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from collector import comparing
from collector.airflow import Access, Airflow
from collector.collect import Pass, Report
from tests.old_airflow import LONG_RUN, SLASHED_RUN, STRANGE_DAG, THREE, TWO, Kind, OldAirflow, served
from triage import asking
from triage.errors import LogGone
from triage.model import CircumstanceKind, LogStatus, Occurrence, TaskTry
from triage.query import Field
from triage.records import ComparisonStatus
from triage.service import Service
from triage.store import open_store
from ui.demo.install import cache_folder

EVER = datetime(2020, 1, 1, tzinfo=UTC)
pytestmark = [
    pytest.mark.airflow,
    pytest.mark.xdist_group("older airflow"),
    pytest.mark.skipif(sys.version_info >= (3, 13), reason="Airflow 2.11 and 3.0 run on Python up to 3.12"),
]


@pytest.fixture(scope="module", params=[TWO, THREE], ids=lambda kind: kind.version)
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldAirflow]:
    kind: Kind = request.param
    with served(kind, cache_folder(), tmp_path_factory.mktemp("old") / "home") as airflow:
        yield airflow


@pytest.fixture(scope="module")
def source(old: OldAirflow) -> Airflow:
    return Airflow("prod", Access(old.url, old.username, old.password))


@pytest.fixture(scope="module")
def collected(old: OldAirflow, source: Airflow) -> tuple[Service, Report, Report]:
    """The service after two passes, and what they reported."""
    service = Service(open_store("sqlite://"))
    lookback = timedelta(days=400)

    def clock() -> datetime:
        return datetime.now(UTC)

    def run() -> Report:
        waits = (timedelta(0), timedelta(0))
        return Pass(service, source, "prod", old.url, lookback, timedelta(seconds=30), waits, clock).run()

    return service, run(), run()


@pytest.fixture(scope="module")
def held(collected: tuple[Service, Report, Report]) -> dict[TaskTry, Occurrence]:
    return {fact.key: fact for fact in collected[0].store.search(Field("deployment", "prod"), 1000)}


def named(held: dict[TaskTry, Occurrence], dag_id: str, task_id: str, run_id: str = "first") -> list[Occurrence]:
    return [held[key] for key in sorted(held) if (key.dag_id, key.task_id, key.run_id) == (dag_id, task_id, run_id)]


def test_every_failed_try_of_the_database_is_found_exactly_once_and_no_other(
    old: OldAirflow, held: dict[TaskTry, Occurrence], collected: tuple[Service, Report, Report]
) -> None:
    truth = {TaskTry("prod", *failed) for failed in old.truth()}
    assert set(held) == truth
    assert len(truth) >= 20
    _, first, second = collected
    # Either server breaks at a log whose folder's name is too long for a file system, and at nothing else.
    assert {trouble.what.split(" at ")[0] for trouble in [*first.troubles, *second.troubles]} <= {"prod: logs"}
    assert (first.new, second.new) == (len(truth), 0)


def test_the_version_and_the_way_it_is_read_are_said(old: OldAirflow, source: Airflow) -> None:
    assert source.version() == old.kind.version
    assert source.how.startswith("by ")


def test_every_log_that_airflow_has_is_read_and_signed(held: dict[TaskTry, Occurrence]) -> None:
    unread = {
        (key.task_id, key.run_id, fact.log)
        for key, fact in held.items()
        if fact.log is not LogStatus.WHOLE and key.run_id not in (SLASHED_RUN, LONG_RUN) and not fact.circumstance
    }
    # A try that was cleared while it waited wrote no end.
    assert unread == {("never", "first", LogStatus.PARTIAL)}
    assert {key.run_id for key, fact in held.items() if not fact.signature} <= {LONG_RUN}
    assert {fact.signature.exception for fact in named(held, "many_ways", "final") if fact.signature} == {"ValueError"}
    (bash,) = named(held, "many_ways", "bash")
    assert bash.signature is not None
    assert "no such table: orders" in bash.signature.title
    (deferred,) = named(held, "many_ways", "deferred")
    assert deferred.signature is not None
    assert deferred.signature.exception == "TimeoutError"
    (awaited,) = named(held, "many_ways", "awaited")
    assert awaited.signature is not None
    assert awaited.signature.exception == "AirflowSensorTimeout"


def test_retried_final_cleared_and_waiting_tries_are_told_apart(held: dict[TaskTry, Occurrence]) -> None:
    assert [fact.is_final for fact in named(held, "many_ways", "healed")] == [False]
    assert [fact.is_final for fact in named(held, "many_ways", "gave_up")] == [False, True]
    assert [fact.is_final for fact in named(held, "many_ways", "hopeless")] == [True]
    assert [fact.is_final for fact in named(held, "waiting", "tomorrow")] == [False]
    assert [fact.is_final for fact in named(held, "cleared", "again")] == [True]
    assert [fact.is_final for fact in named(held, "cleared_and_left", "left")] == [True]
    assert len(named(held, "cleared_midway", "never")) == 1


def test_what_is_behind_a_failure_hangs_on_it_and_is_none_of_its_own(held: dict[TaskTry, Occurrence]) -> None:
    (final,) = named(held, "many_ways", "final")
    assert final.upstream_failed == ("behind",)
    assert named(held, "many_ways", "behind") == []


def test_mapped_instances_and_a_teardown_of_a_run_that_succeeded_are_found(
    old: OldAirflow, held: dict[TaskTry, Occurrence]
) -> None:
    assert [fact.key.map_index for fact in named(held, "many_ways", "mapped")] == [1]
    assert len(named(held, "torn_down", "clean")) == 1


def test_marked_tasks_and_runs_name_who_did_it(held: dict[TaskTry, Occurrence]) -> None:
    marked = [*named(held, "marked", "endless"), *named(held, "marked", "done"), *named(held, "run_marked", "endless")]
    assert len(marked) == 3
    said = [fact.circumstance for fact in marked]
    assert [it.kind for it in said if it] == [CircumstanceKind.MARKED] * 3
    assert {it.by for it in said if it} == {"ann"}
    assert all(not fact.circumstance for fact in named(held, "many_ways", "final"))


def test_ids_of_the_strangest_kind_are_kept_whole(held: dict[TaskTry, Occurrence], source: Airflow) -> None:
    # The folder of a log is named by the run, and 257 bytes are more than a file system takes: there is no log.
    assert len(LONG_RUN) == 250
    assert len(named(held, STRANGE_DAG, "größe.prüfen-1", LONG_RUN)) == 1
    assert len(named(held, STRANGE_DAG, "größe.prüfen-1", "manual__2026-11-22T08:00:00+00:00")) == 1
    # No route of the API takes a slash in a run id: the failure stands without its log.
    (slashed,) = named(held, STRANGE_DAG, "größe.prüfen-1", SLASHED_RUN)
    assert slashed.log is LogStatus.MISSING
    with pytest.raises(LogGone):
        list(source.read_log(slashed.key))


def test_owner_tags_operator_and_times_are_described(held: dict[TaskTry, Occurrence]) -> None:
    (final,) = named(held, "many_ways", "final")
    assert (final.owner, final.tags) == ("old-hands", ("old",))
    assert final.operator == "_PythonDecoratedOperator"
    assert final.started_at is not None
    assert timedelta(0) <= final.ended_at - final.started_at < timedelta(minutes=5)


def test_how_a_task_fared_is_told(source: Airflow) -> None:
    assert source.successes("many_ways", "healed", EVER).count == 1
    assert source.successes("many_ways", "final", EVER).count == 0
    retried = source.retried("many_ways", "healed", EVER)
    assert [(it.run_id, it.try_number, it.state) for it in retried.standings] == [("first", 2, "success")]
    good = source.last_good(TaskTry("prod", "cleared", "first", "again"), datetime.now(UTC))
    assert good is not None
    assert (good.key.run_id, good.key.try_number) == ("first", 2)
    assert source.last_good(TaskTry("prod", "many_ways", "first", "final"), datetime.now(UTC)) is None
    assert source.schedule("cleared_and_left").is_paused is True


def test_a_mapped_task_is_compared_with_its_own_index_and_else_with_any_other(
    collected: tuple[Service, Report, Report], held: dict[TaskTry, Occurrence], source: Airflow
) -> None:
    now = datetime.now(UTC)
    own = source.last_good(TaskTry("prod", "many_ways", "first", "mapped", 0), now)
    assert own is not None
    assert own.key.map_index == 0
    service = collected[0]
    (failed, *_) = named(held, "many_ways", "mapped")
    wish = replace(asking.want(service, service.problem_of(failed), failed.key.id, "ann", now), began=now)
    found = comparing.compare(service, source, wish, lambda: now)
    assert found.good is not None
    assert found.good.key.map_index in (0, 2)
    assert found.status is ComparisonStatus.SHOWN
    fact = service.store.occurrence(failed.key.id)
    assert fact is not None
    assert fact.kept is not None
    new = [line for line in fact.kept if line.number in found.new]
    assert any("has no prices" in line.text or any("has no prices" in it.value for it in line.raised) for line in new)
    assert 0 < len(new) < len(fact.kept)


def test_health_pools_and_import_failures_answer(source: Airflow) -> None:
    assert ("metadatabase", "healthy") in {(part.name, part.status) for part in source.health()}
    assert [pool.name for pool in source.pools()] == ["default_pool"]
    assert source.import_failures() == []
