"""The whole pipeline on a real throwaway Airflow: real worker, real broker, real store, real kills."""

from __future__ import annotations

import os
import re
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.airflow_fixture import FinishedAirflow
from tests.place import Place, keys, place, snapshot, wait_for
from tests.processes import free_port, redis_server
from triage import asking
from triage.model import TaskTry
from triage.query import EVERYTHING, parse
from triage.records import ComparisonStatus
from triage.service import Service
from triage.watched import Lease
from ui.demo.expected import disagreements

pytestmark = [pytest.mark.airflow]


def is_done(service: Service, airflow: FinishedAirflow) -> bool:
    now = datetime.now(UTC)
    backlog = service.store.backlog("prod", now)
    return len(keys(service)) >= len(airflow.truth()) and backlog.waiting == 0 and not service.store.touched(1)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory, airflow: FinishedAirflow) -> Place:
    """One store, filled by `airtriage collect` alone."""
    where = place(tmp_path_factory.mktemp("collected"), airflow)
    where.run("collect", "--json")
    wait_for(lambda: bool(where.run("collect", "--json")) and is_done(where.service(), airflow))
    return where


def test_every_failed_try_of_airflow_is_found_exactly_once(collected: Place, airflow: FinishedAirflow) -> None:
    rows = collected.run("search", "--json")
    found = [(r["dag_id"], r["run_id"], r["task_id"], r["map_index"], r["try_number"]) for r in rows]
    assert sorted(found) == sorted(airflow.truth())
    assert all(row["problem"] and row["title"] for row in rows)


def test_the_queue_folds_them_as_a_careful_engineer_would(collected: Place) -> None:
    rows = collected.run("search", "--json")
    assert disagreements((r["dag_id"], r["task_id"], r["map_index"], r["problem"]) for r in rows) == []  # type: ignore[misc]
    assert len(collected.run("problems", "--json")) >= 14


def test_hardly_a_failure_of_the_demo_is_without_a_reason(collected: Place) -> None:
    rows = collected.run("search", "--json")
    nameless = [row for row in rows if row["cause"] in ("unknown", "no usable log")]
    assert len(nameless) <= 0.05 * len(rows), nameless
    told = {(row["dag_id"], row["cause"]): row for row in rows if row["circumstance"]}
    zombie = told["video_transcode", "heartbeat lost"]
    assert "Task did not emit heartbeat within time limit (20 seconds)" in str(zombie["reason"])
    marked = told["search_index", "marked by hand"], told["payments_settlement", "marked by hand"]
    assert [row["title"] for row in marked] == ["Marked failed by admin"] * 2
    assert all(re.search(r"admin marked it failed on \d{4}-\d\d-\d\d at ", str(row["reason"])) for row in marked)


def report_problem(where: Place) -> str:
    (row,) = [row for row in where.run("problems", "--json", "dag:revenue_report") if row["final"]]
    return str(row["id"])


def test_the_command_line_compares_a_problem_with_its_last_good_run(collected: Place) -> None:
    (row,) = collected.run("problem", report_problem(collected), "--compare", "--json")
    good = row["last_good_run"]
    assert isinstance(good, dict)
    assert (good["status"], good["run_id"], good["dag_versions"]) == ("shown", "demo__1", [1, 1])
    texts = [line["text"] for line in good["new"]]
    assert "the VAT rates are included from this release on" in texts
    assert not [text for text in texts if text.startswith("query id")]


def test_a_worker_answers_a_wish_between_two_passes(tmp_path: Path, airflow: FinishedAirflow) -> None:
    where = place(tmp_path, airflow, DEPLOYMENTS__PROD__POLL="1h")
    where.run("collect", "--json")
    service = where.service()

    def answered(key: TaskTry) -> bool:
        found = asking.comparison(service, key.id)
        return found is not None and found.status is ComparisonStatus.SHOWN

    with where.running("worker", "--beat"):
        passed_at = service.health(datetime.now(UTC))[0].health.passed_at
        wait_for(lambda: service.health(datetime.now(UTC))[0].health.passed_at > passed_at)  # the only pass in an hour
        wait_for(lambda: service.store.get(Lease, "pass/prod") is None)
        wish = asking.want(service, report_problem(where), "", "ann", datetime.now(UTC))
        wait_for(lambda: answered(wish.key))
    service.store.close()


# Shapes of the made-up secrets that the demo's DAGs print, by their issuers' documentation.
SECRETS = re.compile(
    rb"AKIA[A-Z0-9]{16}|glpat-[\w-]{20}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+|(?<=postgresql://etl:)[^@\s]+(?=@)"
)


def test_no_secret_of_a_log_is_kept(collected: Place, airflow: FinishedAirflow) -> None:
    logs = b"".join(file.read_bytes() for file in (airflow.home / "logs").rglob("*.log"))
    secrets = set(SECRETS.findall(logs))
    assert len(secrets) >= 4
    service = collected.service()
    facts = [service.store.occurrence(o.key.id) for o in service.store.search(EVERYTHING, 10_000)]
    kept = repr(facts).encode() + b"".join(file.read_bytes() for file in collected.folder.rglob("*") if file.is_file())
    assert [secret for secret in secrets if secret in kept] == []


def test_import_errors_and_components_are_on_the_health_page(collected: Place) -> None:
    (view,) = collected.service().health(datetime.now(UTC))
    assert [failure.file for failure in view.health.imports]
    assert {part.name for part in view.health.components} >= {"scheduler", "triggerer", "dag_processor"}
    assert view.health.troubles == ()


def test_a_worker_and_the_embedded_broker_reach_the_same(
    tmp_path: Path, collected: Place, airflow: FinishedAirflow
) -> None:
    where = place(tmp_path, airflow)
    service = where.service()
    with where.running("worker", "--beat"):
        wait_for(lambda: is_done(service, airflow))
    assert snapshot(service) == snapshot(collected.service())


@pytest.mark.redis
def test_a_worker_and_redis_reach_the_same_with_nothing_but_the_setting_changed(
    tmp_path: Path, collected: Place, airflow: FinishedAirflow
) -> None:
    with redis_server(tmp_path) as url:
        where = place(tmp_path / "data", airflow, BROKER=url)
        service = where.service()
        with where.running("beat"), where.running("worker"), where.running("worker"):
            wait_for(lambda: is_done(service, airflow))
    assert snapshot(service) == snapshot(collected.service())


def test_a_worker_killed_in_mid_pass_again_and_again_ends_as_one_that_was_not(
    tmp_path: Path, collected: Place, airflow: FinishedAirflow
) -> None:
    where = place(tmp_path, airflow)
    service = where.service()
    whole = parse("log:whole", datetime.now(UTC))
    everything = len(airflow.truth())
    for share in (0.0, 0.1, 0.3, 0.6, 0.9):
        with where.running("worker", "--beat") as worker:
            wait_for(lambda share=share: len(keys(service)) > 0 and service.store.count(whole) >= share * everything)  # type: ignore[misc]
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
    with where.running("worker", "--beat"):
        wait_for(lambda: is_done(service, airflow))
    assert snapshot(service) == snapshot(collected.service())


@pytest.mark.browser
def test_up_keeps_its_children_alive_and_takes_them_along(tmp_path: Path, airflow: FinishedAirflow) -> None:
    import psutil

    where = place(tmp_path, airflow, WEB__PORT=str(free_port()))
    with where.running("up") as up:
        me = psutil.Process(up.pid)

        def child(name: str) -> psutil.Process | None:
            living = (c for c in me.children() if c.status() != psutil.STATUS_ZOMBIE)
            return next((c for c in living if name in c.cmdline()), None)

        wait_for(lambda: all(child(name) for name in ("worker", "beat", "web")))
        victim = child("worker")
        assert victim is not None
        victim.kill()
        wait_for(lambda: (again := child("worker")) is not None and again.pid != victim.pid)
        assert "worker was killed by SIGKILL" in (tmp_path / "log.txt").read_text()
        wait_for(lambda: len(keys(where.service())) == len(airflow.truth()))
        everyone = me.children(recursive=True)
        up.send_signal(signal.SIGINT)
        assert up.wait(20) == 130
        assert not [c for c in everyone if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]


def test_children_end_when_their_supervisor_is_killed(tmp_path: Path, airflow: FinishedAirflow) -> None:
    import psutil

    where = place(tmp_path, airflow, WEB__PORT=str(free_port()))
    with where.running("up") as up:
        me = psutil.Process(up.pid)
        wait_for(lambda: len(me.children()) == 3)
        children = me.children(recursive=True)
        time.sleep(3)
        up.kill()
        wait_for(lambda: not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE], 25)
