"""What is asked of a deployment for its problems: outcomes at the end of a pass, comparisons on demand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from collector import comparing, outcomes
from collector.airflow import Access, Airflow
from tests.airflow_stub import LOG, Handler, Stub, instance, serving
from tests.store_contract import NOW, occurrence
from triage import asking
from triage.errors import InputError, SourceError
from triage.model import LogLine, LogStatus, Occurrence, TaskTry
from triage.outcomes import FIRST, TASKS, OutcomeKind
from triage.queue import Pill
from triage.records import Comparison, ComparisonStatus, Outcomes
from triage.redact import Redactor
from triage.service import Service
from triage.store import open_store

LATER = NOW + timedelta(hours=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(open_store(f"sqlite:///{tmp_path / 'airtriage.db'}"))
    yield made
    made.store.close()


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving() as served:
        served.dags["orders"] = {"dag_id": "orders", "is_paused": False, "is_stale": False}
        yield served


def source(stub: Stub) -> Airflow:
    return Airflow("prod", Access(stub.url, "triage", "right", timeout=5, log_timeout=5))


def keep(service: Service, *facts: Occurrence) -> str:
    """Keep facts and return the id of the first one's problem."""
    service.record(facts)
    service.settle(NOW)
    return service.problem_of(facts[0])


def row(
    run: str, state: str | None, attempt: int = 1, *, start: datetime = LATER, task: str = "load", **more: object
) -> dict[str, object]:
    times = {"start_date": start.isoformat(), "end_date": (start + timedelta(seconds=5)).isoformat()}
    return instance(task, state, attempt, dag_id="orders", dag_run_id=run, **times, **more)


def ask(service: Service, stub: Stub, at: datetime = LATER) -> Outcomes:
    outcomes.ask(service, source(stub), "prod", lambda: at)
    (found,) = service.store.records(Outcomes)
    return found[0]


# --- outcomes: who is asked about


def test_a_task_of_an_open_problem_is_due_once_it_has_been_quiet_for_a_while(service: Service) -> None:
    id = keep(service, occurrence(1))
    assert asking.due(service, "prod", NOW + FIRST - timedelta(seconds=1), 9) == []
    (one,) = asking.due(service, "prod", NOW + FIRST, 9)
    assert (one.problem, one.dag_id, one.task_id, one.since, one.revision) == (id, "orders", "load", NOW, None)
    assert asking.due(service, "dev", LATER, 9) == []
    service.resolve(id, "ann", NOW)
    assert asking.due(service, "prod", LATER, 9) == []


def test_of_many_tasks_the_most_recently_failed_are_asked_about_and_the_longest_due_first(service: Service) -> None:
    keep(service, *[occurrence(n, task=f"t{n:02}", at=NOW - n * HOUR) for n in range(TASKS + 10)])
    due = asking.due(service, "prod", LATER, 99)
    assert sorted(one.task_id for one in due) == [f"t{n:02}" for n in range(TASKS)]
    assert [one.due_at for one in due] == sorted(one.due_at for one in due)
    assert len(asking.due(service, "prod", LATER, 3)) == 3


def test_only_the_last_two_weeks_before_the_newest_failure_are_counted(service: Service) -> None:
    keep(service, occurrence(1, at=NOW - timedelta(days=90)), occurrence(2))
    (one,) = asking.due(service, "prod", LATER, 9)
    assert (one.began, one.since) == (NOW - timedelta(days=14), NOW)


def test_fingerprints_of_one_problem_are_asked_about_together(service: Service) -> None:
    keep(service, occurrence(1, at=NOW - HOUR), occurrence(2, fingerprint="1:bb"))
    assert len(asking.due(service, "prod", LATER, 9)) == 2


# --- outcomes: what is asked


def test_successes_since_the_last_failure_are_told_from_those_before_it(service: Service, stub: Stub) -> None:
    keep(service, occurrence(1, at=NOW - 9 * HOUR), occurrence(2))
    stub.instances = [
        row("old", "success", start=NOW - 10 * HOUR), row("b1", "success", start=NOW - 5 * HOUR), row("a1", "success"),
        row("a2", "success", start=LATER + HOUR), row("a3", "running"), row("x", "success", task="other"),
    ]  # fmt: skip
    answer = ask(service, stub, LATER + 2 * HOUR)
    assert (answer.succeeded, answer.between, answer.last_success_at) == (2, 1, LATER + HOUR)
    assert (answer.as_of, answer.next_ask_at) == (LATER + 2 * HOUR, LATER + 2 * HOUR + (3 * HOUR) / 5)
    (shown,) = service.queue(NOW)
    assert shown.outcome is not None
    assert (shown.outcome.kind, shown.outcome.brief) == (OutcomeKind.WELL, "ran well since, twice")
    assert service.problem(shown.problem.id, NOW).outcomes == (answer,)


def test_asking_twice_gives_absolute_counts_and_a_newer_failure_makes_old_successes_past(
    service: Service, stub: Stub
) -> None:
    keep(service, occurrence(1))
    stub.instances = [row("a", "success")]
    first = ask(service, stub)
    again = ask(service, stub, LATER + 9 * HOUR)
    assert (first.succeeded, again.succeeded) == (1, 1)
    keep(service, occurrence(2, at=LATER + 2 * HOUR))
    (shown,) = service.queue(NOW)
    assert shown.outcome is not None
    assert (shown.outcome.succeeded, shown.outcome.kind) == (0, OutcomeKind.SOMETIMES)
    assert ask(service, stub, LATER + 3 * HOUR).between == 1


def test_what_failed_of_something_else_since_is_counted_from_our_own_facts(service: Service, stub: Stub) -> None:
    keep(
        service, occurrence(1), occurrence(2, at=LATER, fingerprint="1:bb"), occurrence(3, at=LATER, task="other", fingerprint="1:bb"),
        occurrence(4, at=NOW - HOUR, fingerprint="1:bb"), occurrence(5, at=LATER, deployment="dev", fingerprint="1:bb"),
    )  # fmt: skip
    outcomes.ask(service, source(stub), "prod", lambda: LATER, limit=1)
    ((answer, _),) = service.store.records(Outcomes)
    assert (answer.since, answer.failed) == (NOW, 1)


def test_a_problem_that_heals_by_retry_is_flaky_even_if_one_of_ten_failed_in_the_end(
    service: Service, stub: Stub
) -> None:
    facts = [occurrence(n, is_final=False, at=NOW - n * HOUR) for n in range(9)]
    id = keep(service, *facts, occurrence(9, at=NOW - 9 * HOUR))
    stub.instances = [row(f"run_{n}", "success", 2, start=NOW - n * HOUR + timedelta(minutes=5)) for n in range(9)]
    stub.instances.append(row("run_9", "failed", 2, start=NOW - 9 * HOUR))
    assert service.queue(NOW)[0].pill is Pill.NEEDS
    answer = ask(service, stub)
    assert (answer.healed, answer.broken, answer.healed_on) == (9, 1, 2)
    (shown,) = service.queue(NOW)
    assert (shown.pill, shown.problem.id) == (Pill.FLAKY, id)
    assert shown.outcome is not None
    assert shown.outcome.said == "Heals by itself 9 of 10 times, on the second try."


def test_a_problem_whose_retries_fail_of_something_else_is_not_flaky(service: Service, stub: Stub) -> None:
    keep(service, occurrence(1, is_final=False))
    assert service.queue(NOW)[0].pill is Pill.FLAKY
    stub.instances = [row("run_1", "failed", 2)]
    assert ask(service, stub).broken == 1
    (shown,) = service.queue(NOW)
    assert (shown.pill, shown.why) == (Pill.NEEDS, "its retries fail in the end, of something else")


@pytest.mark.parametrize(
    ("dag", "kind"),
    [
        ({"dag_id": "orders", "is_paused": True}, OutcomeKind.PAUSED),
        ({"dag_id": "orders", "is_stale": True}, OutcomeKind.GONE),
        (None, OutcomeKind.GONE),
        ({"dag_id": "orders", "is_paused": False, "next_dagrun_run_after": "2026-11-24T15:00:00Z"}, OutcomeKind.IDLE),
    ],
)
def test_quiet_is_told_from_paused_and_from_gone(
    service: Service, stub: Stub, dag: dict[str, object] | None, kind: OutcomeKind
) -> None:
    keep(service, occurrence(1))
    stub.dags = {"orders": dag} if dag else {}
    ask(service, stub)
    outcome = service.queue(NOW)[0].outcome
    assert outcome is not None
    assert outcome.kind is kind
    assert (outcome.next_run_at is not None) is (kind is OutcomeKind.IDLE)


def test_a_quiet_task_costs_two_questions_of_one_row_and_the_dearest_one_five(service: Service, stub: Stub) -> None:
    keep(service, occurrence(1))
    ask(service, stub)
    assert [(path, query.get("limit")) for path, query in stub.queries if path != "/version"] == [
        ("/dags/orders/dagRuns/~/taskInstances", ["1"]), ("/dags/orders", None),
    ]  # fmt: skip
    stub.queries.clear()
    keep(service, occurrence(2, is_final=False, at=NOW + timedelta(minutes=1)))
    stub.instances = [row("run_2", "success", 2)]
    ask(service, stub, LATER + HOUR)
    assert sorted(query.get("limit", ["-"])[0] for path, query in stub.queries if path != "/version") == [
        "-",
        "-",  # the run of the newest success, for the bundle that it ran; kept for a minute
        "1",
        "1",
        "100",
    ]


def test_a_pass_asks_about_a_bounded_number_of_tasks_and_the_next_one_goes_on(service: Service, stub: Stub) -> None:
    keep(service, *[occurrence(n, task=f"t{n:02}") for n in range(2 * outcomes.TASKS)])
    airflow = source(stub)
    assert outcomes.ask(service, airflow, "prod", lambda: LATER) == outcomes.TASKS
    assert outcomes.ask(service, airflow, "prod", lambda: LATER) == outcomes.TASKS
    assert outcomes.ask(service, airflow, "prod", lambda: LATER) == 0
    assert len({answer.task_id for answer, _ in service.store.records(Outcomes)}) == 2 * outcomes.TASKS


def test_a_server_that_gives_no_answer_ends_the_asking_and_what_was_kept_stays(service: Service, stub: Stub) -> None:
    keep(service, occurrence(1, task="a", at=NOW - HOUR), occurrence(2, task="b"))

    def fault(handler: Handler, path: str) -> bool:
        return stub.asked[path] > 1 and handler.send(500, b"oops", "text/plain")

    stub.fault = fault
    with pytest.raises(SourceError, match="500"):
        outcomes.ask(service, source(stub), "prod", lambda: LATER)
    assert [answer.task_id for answer, _ in service.store.records(Outcomes)] == ["a"]
    assert [one.task_id for one in asking.due(service, "prod", LATER, 9)] == ["b"]


# --- comparisons

WORKER_GONE = LOG.replace(
    b"\n", b'\n{"timestamp":null,"event":"Could not read served logs: HTTPConnectionPool: Max retries exceeded"}\n', 1
)


def log(*events: str) -> bytes:
    return LOG + b"".join(
        json.dumps({"timestamp": "2026-11-24T11:00:00Z", "event": text, "level": "info"}).encode() + b"\n"
        for text in events
    )


def failed(n: int = 1, *texts: str, **more: object) -> Occurrence:
    kept = tuple(LogLine(number, text) for number, text in enumerate(texts or ("begin", "boom"), 4))
    return replace(occurrence(n, **more), kept=kept)  # type: ignore[arg-type]


def serve(service: Service, stub: Stub, at: datetime = LATER) -> Comparison:
    (errand,) = comparing.errands(service, source(stub), "prod", lambda: at)
    errand.run()
    ((found, _),) = service.store.records(Comparison)
    return found


def test_a_wish_waits_for_a_collector_and_is_wished_once(service: Service) -> None:
    fact = failed()
    id = keep(service, fact)
    assert asking.comparison(service, fact.key.id) is None
    wish = asking.want(service, id, "", "ann", LATER)
    assert (wish.status, wish.key, wish.began, wish.wanted_by) == (ComparisonStatus.WANTED, fact.key, NOW, "ann")
    assert asking.want(service, id[:6], fact.key.id, "bob", LATER + HOUR) == wish
    assert asking.comparison(service, fact.key.id) == wish
    assert asking.wanted(service, "dev", LATER) == []


def test_a_good_run_ran_the_bundle_that_its_log_names_else_that_of_its_run(service: Service, stub: Stub) -> None:
    sha = "b" * 40
    id = keep(service, failed(1, "boom"))
    stub.instances = [row("good", "success", start=NOW - HOUR)]
    stub.runs = {"good": {"dag_run_id": "good", "bundle_version": "c" * 40}}
    stub.logs["load", -1, 1] = log("begin", "done")
    asking.want(service, id, "", "ann", LATER)
    good = serve(service, stub).good
    assert good is not None
    assert (good.bundle_version, good.bundle_url) == (
        "c" * 40,
        f"https://gitlab.example.com/data/dags/-/tree/{'c' * 40}/dags",
    )
    stub.logs["load", -1, 1] = log(f"Filling up the DagBag from /b/versions/{sha}/etl.py", "done")
    asking.want(service, id, "", "ann", LATER)
    good = serve(service, stub).good
    assert good is not None
    assert good.bundle_version == sha


def test_the_lines_that_the_last_good_run_lacks_are_found(service: Service, stub: Stub) -> None:
    id = keep(service, failed(1, "begin", "wrote 5 rows", "VAT is included", "wrote 5 rows", "boom"))
    stub.instances = [
        row("older", "success", start=NOW - 9 * HOUR), row("good", "success", 2, start=NOW - 3 * HOUR), row("after", "success"),
        row("bad", "failed", start=NOW - 2 * HOUR), row("other", "success", start=NOW - HOUR, task="x"),
    ]  # fmt: skip
    stub.logs["load", -1, 2] = log("begin", *[f"wrote {n} rows" for n in range(3000)], "done")
    asking.want(service, id, "", "ann", LATER)
    found = serve(service, stub)
    assert found.status is ComparisonStatus.SHOWN
    assert found.good is not None
    assert (found.good.key.run_id, found.good.key.try_number, found.good.dag_version) == ("good", 2, 3)
    assert found.good.bundle_version == "ef44148c"
    assert (found.new, found.lines, found.done_at, found.said) == ((6, 8), 5, LATER, "")
    assert asking.wanted(service, "prod", LATER) == []


@pytest.mark.parametrize(
    ("state", "body", "status"),
    [
        ("failed", None, ComparisonStatus.NONE),
        ("success", None, ComparisonStatus.GONE),
        ("success", LOG, ComparisonStatus.GONE),
        ("success", b"<!doctype html><title>Sign in</title>", ComparisonStatus.FAILED),
        ("success", WORKER_GONE, ComparisonStatus.FAILED),
    ],
)
def test_where_there_is_nothing_to_compare_with_that_is_the_answer(
    service: Service, stub: Stub, state: str, body: bytes | None, status: ComparisonStatus
) -> None:
    id = keep(service, failed())
    stub.instances = [row("good", state, start=NOW - HOUR)]
    if body is not None:
        stub.logs["load", -1, 1] = body
    asking.want(service, id, "", "ann", LATER)
    found = serve(service, stub)
    assert (found.status, found.new, found.good is not None) == (status, (), state == "success")


def test_trouble_of_the_server_is_the_answer_and_may_be_asked_again(service: Service, stub: Stub) -> None:
    id = keep(service, failed())
    asking.want(service, id, "", "ann", LATER)
    stub.fault = lambda handler, path: handler.send(503, b"away", "text/plain")
    found = serve(service, stub)
    assert found.status is ComparisonStatus.FAILED
    assert found.said.startswith("prod: ")
    assert "503 Service Unavailable" in found.said
    again = asking.want(service, id, "", "ann", LATER + HOUR)
    assert (again.status, again.said) == (ComparisonStatus.WANTED, "")
    stub.fault = lambda handler, path: False
    assert serve(service, stub, LATER + HOUR).status is ComparisonStatus.NONE


def test_a_mapped_try_is_compared_with_its_own_index_and_else_with_any_other(service: Service, stub: Stub) -> None:
    def mapped(index: int, start: datetime) -> dict[str, object]:
        return row("good", "success", start=start, map_index=index)

    fact = failed(1, "begin", "boom", map_index=7)
    asking.want(service, keep(service, fact), fact.key.id, "ann", LATER)
    stub.instances = [mapped(3, NOW - HOUR), mapped(7, NOW - 5 * HOUR)]
    stub.logs["load", 7, 1] = stub.logs["load", 3, 1] = log("begin")
    airflow = source(stub)
    good = airflow.last_good(fact.key, NOW)
    assert good is not None
    assert good.key == TaskTry("prod", "orders", "good", "load", 7, 1)
    stub.instances = [mapped(3, NOW - HOUR)]
    found = serve(service, stub)
    assert found.good is not None
    assert (found.good.key.map_index, found.new) == (3, (5,))


def test_an_answer_is_masked_as_the_settings_say(service: Service, stub: Stub) -> None:
    id = keep(service, failed())
    guarded = replace(service, redactor=Redactor(patterns=(re.compile(r"acme-\d+"),)))
    stub.instances = [row("good", "success", start=NOW - HOUR, dag_version={"bundle_url": "https://x/acme-77/tree/1"})]
    stub.logs["load", -1, 1] = log("begin", "boom acme-1")
    asking.want(guarded, id, "", "ann", LATER)
    found = serve(guarded, stub)
    assert found.good is not None
    assert found.good.bundle_url == "https://x/***/tree/1"


def test_what_cannot_be_compared_is_refused_in_one_sentence(service: Service) -> None:
    blank, fact = occurrence(1, log=LogStatus.PENDING), failed(2)
    id = keep(service, fact, blank, failed(3, fingerprint="1:bb"))
    with pytest.raises(InputError, match="has no failed try 'nope'"):
        asking.want(service, id, "nope", "ann", LATER)
    with pytest.raises(InputError, match="has no failed try"):
        asking.want(service, id, failed(3).key.id, "ann", LATER)
    silent = keep(service, replace(occurrence(4, fingerprint="1:cc", log=LogStatus.MISSING), kept=()))
    with pytest.raises(InputError, match="The log of this try is not known"):
        asking.want(service, silent, "", "ann", LATER)


def test_a_wish_renewed_while_it_is_answered_stays_open(service: Service) -> None:
    id = keep(service, failed())
    asking.want(service, id, "", "ann", LATER)
    ((wish, revision),) = asking.wanted(service, "prod", LATER)
    asking.answer(service, replace(wish, status=ComparisonStatus.NONE), revision)
    asking.want(service, id, "", "ann", LATER)
    asking.answer(service, replace(wish, status=ComparisonStatus.GONE), revision)
    assert len(asking.wanted(service, "prod", LATER)) == 1


def test_all_tasks_are_asked_about_of_a_problem_that_is_to_be_resolved_when_quiet_and_one_that_awaits_a_deploy_is(
    service: Service,
) -> None:
    tries = [occurrence(n, task=f"t{n}", at=NOW - n * HOUR, dag_version=3) for n in range(TASKS + 5)]
    id = keep(service, *tries)
    other = keep(service, occurrence(99, fingerprint="1:bb", dag="billing", dag_version=3))
    service.mute(id, "ann", NOW)
    service.resolve(other, "ann", NOW)
    assert asking.due(service, "prod", LATER, 100) == []
    service.resolve(id, "ann", NOW, quiet_for=HOUR)
    service.reopen(other, "ann", NOW)
    service.resolve(other, "ann", NOW, next_deploy=True)
    asked = asking.due(service, "prod", LATER, 100)
    assert {(one.problem, one.task_id) for one in asked} == {(id, fact.key.task_id) for fact in tries} | {
        (other, "load")
    }


def test_of_the_newest_success_its_runs_bundle_counts_and_not_the_one_that_airflow_points_to(
    service: Service, stub: Stub
) -> None:
    id = keep(service, occurrence(1, dag_version=3, bundle_version="9ab1e0d42c"))
    service.resolve(id, "ann", NOW, next_deploy=True)
    stub.instances = [row("run_9", "success", dag_version={"version_number": 3, "bundle_version": "9ab1e0d42c"})]
    stub.runs = {"run_9": {"dag_run_id": "run_9", "bundle_version": "77aa00bb11"}}
    assert ask(service, stub, LATER + HOUR).bundle_version == "77aa00bb11"
    deploy = service.find(id).deploy
    assert deploy is not None
    assert deploy.seen == "orders.load in DAG version 3 of orders (bundle 77aa00bb11)"


def test_a_deploy_is_seen_by_the_version_of_the_newest_success_without_another_failure(
    service: Service, stub: Stub
) -> None:
    id = keep(service, occurrence(1, dag_version=3))
    service.resolve(id, "ann", NOW, next_deploy=True)
    version = {"version_number": 4, "bundle_version": "9ab1e0d42c"}
    stub.instances = [row("run_9", "success", dag_version=version)]
    outcomes.ask(service, source(stub), "prod", lambda: LATER + HOUR)
    deploy = service.find(id).deploy
    assert deploy is not None
    assert (deploy.seen_at, deploy.seen) == (LATER, "orders.load in DAG version 4 of orders (bundle 9ab1e0d42c)")
    assert service.problem(id, LATER).history[0].what == "saw the deploy"
