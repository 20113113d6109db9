"""Nothing that failed is missed, nothing is made up: the store against Airflow's own database, after every kind of mishap.

The truth is SQL in the database of a real Airflow (tests/airflow_fixture.py). What a store has to hold in the end is also
compared with a store that one undisturbed pass filled: same readings, problems and counts.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.airflow import Access, Airflow
from collector.collect import Pass
from collector.report import Report
from tests.airflow_copy import AirflowCopy, airflow_copy
from tests.airflow_fixture import FinishedAirflow
from tests.fault_proxy import FAULTS, fault_proxy
from tests.place import Account, Served, keys, snapshot
from triage.model import CircumstanceKind
from triage.query import EVERYTHING
from triage.service import Service
from triage.store import open_store
from triage.watched import Cursor

pytestmark = [pytest.mark.airflow]
DAY = timedelta(days=1)


def open_service(file: Path) -> Service:
    return Service(open_store(f"sqlite:///{file}"))


def make_pass(
    service: Service, airflow: Served, *, timeout: float = 30, ahead: timedelta = timedelta(), again: bool = False
) -> Report:
    """Make one pass, by a clock of ours that is `ahead`."""
    access = Access(airflow.url, airflow.username, airflow.password, timeout=timeout, log_timeout=timeout)
    return Pass(
        service, Airflow("prod", access), "prod", airflow.url, lookback=7 * DAY, poll=timedelta(seconds=1),
        waits=(timedelta(seconds=1),) * 3, clock=lambda: datetime.now(UTC) + ahead,
    ).run(again=again)  # fmt: skip


def finish(service: Service, airflow: Served) -> None:
    """Make passes, an hour of waiting between them, until no log is awaited and no gap is open."""
    for hours in range(40):
        report = make_pass(service, airflow, ahead=timedelta(hours=hours))
        if not report.backlog.waiting and all(gap.closed_at for gap in report.gaps) and not report.troubles:
            return
    raise AssertionError(f"{report.backlog.waiting} logs are still awaited, gaps {report.gaps}: {report.troubles}")


def halted(service: Service) -> dict[tuple[object, ...], tuple[str, ...]]:
    found = service.store.search(EVERYTHING, 10_000)
    return {
        (o.key.dag_id, o.key.run_id, o.key.task_id, o.key.map_index, o.key.try_number): o.upstream_failed
        for o in found
        if o.upstream_failed
    }


def assert_complete(service: Service, airflow: FinishedAirflow | AirflowCopy) -> None:
    """Every failed try, none twice, none made up, each with the tasks that did not run because of it, all counted."""
    truth = airflow.truth()
    assert keys(service) == sorted(truth)
    assert halted(service) == airflow.halted()
    rows = service.queue(datetime.now(UTC))
    assert sum(row.total for row in rows) == len(truth)
    assert sum(service.store.histogram(EVERYTHING).values()) == len(truth)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, airflow: FinishedAirflow) -> object:
    """What one undisturbed pass, and the waits it asked for, leave in a store."""
    service = open_service(tmp_path_factory.mktemp("clean") / "a.db")
    finish(service, airflow)
    return snapshot(service)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = open_service(tmp_path / "a.db")
    yield made
    made.store.close()


def test_the_demo_failed_in_every_way_that_is_told_apart(airflow: FinishedAirflow) -> None:
    kinds = airflow.kinds()
    assert {kind for kind, tries in kinds.items() if tries} >= {
        "final", "retried", "cleared", "mapped", "deferred", "rescheduled", "marked by hand", "heartbeat lost",
        "in a run that succeeded",
    }  # fmt: skip
    assert set().union(*kinds.values()) <= airflow.truth()
    assert airflow.halted()


def test_one_pass_finds_everything(service: Service, airflow: FinishedAirflow) -> None:
    report = make_pass(service, airflow)
    assert report.troubles == []
    assert keys(service) == sorted(airflow.truth())
    assert halted(service) == airflow.halted()
    finish(service, airflow)
    assert_complete(service, airflow)


def test_ten_passes_find_nothing_more(service: Service, airflow: FinishedAirflow, clean: object) -> None:
    new = [make_pass(service, airflow, ahead=timedelta(hours=n)).new for n in range(10)]
    assert new == [len(airflow.truth())] + [0] * 9
    finish(service, airflow)
    assert_complete(service, airflow)
    assert snapshot(service) == clean


@pytest.mark.parametrize(
    "back", [timedelta(hours=2), 3 * DAY, 400 * DAY, -2 * DAY], ids=["hours", "days", "a year", "the future"]
)
def test_a_cursor_that_was_set_back_or_forward_doubles_nothing(
    service: Service, airflow: FinishedAirflow, clean: object, back: timedelta
) -> None:
    finish(service, airflow)
    found = service.store.get(Cursor, "prod")
    assert found is not None
    at = datetime.now(UTC) - back
    service.store.save(replace(found[0], events_until=at, list_until=at, gaps=()), found[1])
    finish(service, airflow)
    assert_complete(service, airflow)
    assert snapshot(service) == clean


def run_passes(file: Path, airflow: Served) -> None:
    """Make passes until killed."""
    service = open_service(file)
    while True:
        make_pass(service, airflow)


def kill_a_pass(file: Path, airflow: Account, after: float) -> None:
    """Make passes in a process of their own and kill it after so many seconds."""
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload([__name__, "airflow_client.client"])
    process = fork.Process(target=run_passes, args=(file, airflow))
    process.start()
    time.sleep(after)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_passes_killed_at_random_places_end_as_one_that_was_not(
    tmp_path: Path, airflow: FinishedAirflow, clean: object, seed: int
) -> None:
    place, chance = tmp_path / "a.db", random.Random(seed)
    for _ in range(8):
        kill_a_pass(place, Account(airflow.url, airflow.username, airflow.password), chance.uniform(0.05, 1.2))
    service = open_service(place)
    finish(service, airflow)
    assert_complete(service, airflow)
    assert snapshot(service) == clean


@pytest.mark.parametrize("seed", [11, 12])
def test_an_api_server_that_breaks_its_answers_hides_nothing_for_good(
    service: Service, airflow: FinishedAirflow, clean: object, seed: int
) -> None:
    with fault_proxy(airflow.url, seed) as proxy:
        proxy.hang = 2.5
        behind = Account(proxy.url, airflow.username, airflow.password)
        shares = itertools.chain((0.9, 0.6, 0.4, 0.3, 0.2, 0.1), itertools.repeat(0.3, 40))
        for passes, proxy.share in enumerate(shares):
            make_pass(service, behind, timeout=2, ahead=timedelta(minutes=proxy.asked))
            if passes > 5 and all(proxy.broken[fault] for fault in FAULTS):
                break
        assert all(proxy.broken[fault] for fault in FAULTS)
    finish(service, airflow)
    make_pass(
        service, airflow, again=True
    )  # a log cut in the middle that stands so is asked for by hand, or a day later
    assert_complete(service, airflow)
    assert snapshot(service) == clean


@pytest.fixture(scope="module")
def elsewhere(airflow: FinishedAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowCopy]:
    """The same Airflow once more, to be changed."""
    with airflow_copy(airflow, tmp_path_factory.mktemp("elsewhere") / "home") as copy:
        yield copy


@pytest.mark.parametrize("hours", [1, -1], ids=["ahead", "behind"])
def test_a_clock_that_is_an_hour_wrong_and_then_set_right_hides_nothing(
    service: Service, elsewhere: AirflowCopy, hours: int
) -> None:
    wrong = timedelta(hours=hours)
    elsewhere.reset(wrong)
    later, last = elsewhere.take_out("store_files"), elsewhere.take_out("billing_nightly")
    with fault_proxy(elsewhere.url) as proxy:
        proxy.ahead = wrong
        host = Account(proxy.url, elsewhere.username, elsewhere.password)
        make_pass(service, host)
        (view,) = service.health(datetime.now(UTC))
        assert abs(view.health.offset - wrong.total_seconds()) < 5
        assert keys(service) == sorted(elsewhere.truth())
        elsewhere.put_back(later, datetime.now(UTC) + wrong)
        assert make_pass(service, host).new == 22
        assert keys(service) == sorted(elsewhere.truth())
        proxy.ahead = timedelta()
        elsewhere.put_back(last, datetime.now(UTC))
        assert make_pass(service, host).new == 3
        finish(service, host)
    assert_complete(service, elsewhere)


def test_tries_that_airflow_lost_are_found_by_the_event_log_alone(service: Service, elsewhere: AirflowCopy) -> None:
    """A try whose end was overtaken stands in no table but the event log, which says so or only that it failed."""
    elsewhere.reset()
    elsewhere.change("DELETE FROM task_instance_history WHERE dag_id IN ('parcel_labels', 'partner_upload')")
    mismatch = "INSERT INTO log (dttm, dag_id, task_id, run_id, map_index, try_number, event, extra) SELECT dttm, dag_id, task_id, run_id, map_index, try_number, 'state mismatch', 'finished with state failed' FROM log "
    elsewhere.change(mismatch + "WHERE event = 'up_for_retry' AND dag_id = 'partner_upload'")
    lost = {("parcel_labels", "demo__1", "submit_parcels", -1, 1), ("partner_upload", "demo__1", "upload", -1, 1)}
    assert lost <= elsewhere.truth()
    finish(service, elsewhere)
    assert_complete(service, elsewhere)
    found = {o.key.dag_id: o for o in service.store.search(EVERYTHING, 10_000) if o.key.try_number == 1}
    assert found["parcel_labels"].fingerprint
    circumstance = found["partner_upload"].circumstance
    assert circumstance is not None
    assert circumstance.kind is CircumstanceKind.STATE_MISMATCH


def test_first_contact_goes_back_as_far_as_lookback_through_kills(tmp_path: Path, elsewhere: AirflowCopy) -> None:
    elsewhere.reset()
    chance = random.Random(5)
    ages = {
        dag_id: chance.choice((0.0, 0.1, 1.5, 3.0, 4.7, 6.5, 9.0, 400.0))
        for dag_id in sorted({k[0] for k in elsewhere.truth()})
    }
    for dag_id, days in ages.items():
        elsewhere.age(dag_id, timedelta(days=days))
    file, account = tmp_path / "a.db", Account(elsewhere.url, elsewhere.username, elsewhere.password)
    for _ in range(5):
        kill_a_pass(file, account, chance.uniform(0.2, 2.0))
    service = open_service(file)
    finish(service, elsewhere)
    within = {key for key in elsewhere.truth() if ages[key[0]] < 7}
    assert 0 < len(within) < len(elsewhere.truth())
    assert keys(service) == sorted(within)
    assert halted(service) == {key: tasks for key, tasks in elsewhere.halted().items() if key in within}
    assert sum(row.total for row in service.queue(datetime.now(UTC))) == len(within)
    (view,) = service.health(datetime.now(UTC))
    assert [(part.is_first, part.is_open) for part in view.missed] == [(True, False)]
