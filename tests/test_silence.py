"""Failures whose log does not say why: one class, one title and a sentence for each, with nothing that varies in the key."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from triage import logs
from triage.causes import CAUSES
from triage.model import Absence, Circumstance, CircumstanceKind, LogLine, LogStatus, Raised, Signature
from triage.signature import explain, sign

AT = datetime(2026, 11, 3, 7, 45, 12, tzinfo=UTC)
# What schedulers write into the event log (airflow 2.10.5, 2.11.0, 3.0.6, 3.2.0, 3.3.2: jobs/scheduler_job_runner.py and
# models/taskinstance.py; `Extra info` is what the executor handed to `fail`).
LEARN = "Learn more: https://airflow.apache.org/docs/apache-airflow/stable/troubleshooting.html#task-state-changed-externally"
MISMATCH = (
    "Executor CeleryExecutor(parallelism=32) reported that the task instance <TaskInstance: a.b manual__2026-11-03T07:00:00+00:00 [{1}]> finished with state {0}, but the task instance's state attribute is {1}. "
    + LEARN
)
HEARTBEAT = "Task did not emit heartbeat within time limit (300 seconds) and will be terminated. See https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/tasks.html#task-instance-heartbeat-timeout"  # fmt: skip
STOPPED = "Server indicated the task shouldn't be running anymore. Terminating process"


def stated(kind: CircumstanceKind, text: str = "", by: str | None = None, **more: object) -> Signature:
    given = {"task": "a.b", "status": LogStatus.MISSING, **more}
    return sign((), Circumstance(kind, text, by, AT), **given)  # type: ignore[arg-type]


def prints(*signatures: Signature) -> int:
    return len({signature.fingerprint for signature in signatures})


def test_a_lost_heartbeat_says_how_long_airflow_waited() -> None:
    signature = stated(CircumstanceKind.HEARTBEAT_LOST, HEARTBEAT)
    assert (signature.title, signature.cause) == ("Heartbeat lost", "heartbeat lost")
    assert "within time limit (300 seconds)" in explain(signature)
    assert "https://" not in explain(signature)
    other = HEARTBEAT.replace("300", "600")
    assert prints(signature, stated(CircumstanceKind.HEARTBEAT_LOST, other)) == 1


def test_a_mismatch_says_who_thought_what() -> None:
    signature = stated(CircumstanceKind.STATE_MISMATCH, MISMATCH.format("failed", "queued"))
    assert signature.title == "State mismatch: failed for the executor, queued for Airflow"
    assert signature.cause == "state mismatch"
    assert "it failed before or while it started" in explain(signature)
    running = stated(CircumstanceKind.STATE_MISMATCH, MISMATCH.format("success", "running"))
    assert running.title == "State mismatch: success for the executor, running for Airflow"
    assert "before or while it started" not in explain(running)
    assert prints(signature, running) == 1


@pytest.mark.parametrize(
    ("info", "cause"),
    [
        ("WorkerLostError('Worker exited prematurely: signal 9 (SIGKILL) Job: 7.')", "killed from outside"),  # billiard
        ("(403)\nReason: Forbidden\nHTTP response body: pods is forbidden: exceeded quota: compute", "rate limit"),  # kubernetes ApiException
        ("Pod failed because of OOMKilled", "out of memory"),
        ("ModuleNotFoundError: No module named 'plugins_of_ours'", "missing module"),
        ("Invalid executor_config passed", "state mismatch"),  # cncf.kubernetes 10.25.0, kubernetes_executor.py
        ("The frobnicator is sad", "state mismatch"),
    ],
)  # fmt: skip
def test_an_executors_own_words_count_where_they_name_the_cause(info: str, cause: str) -> None:
    signature = stated(CircumstanceKind.STATE_MISMATCH, f"{MISMATCH.format('failed', 'queued')} Extra info: {info}")
    assert signature.cause == cause
    assert signature.title.startswith("The executor gave up: ")
    assert info.split("\n")[0][:12] in signature.title


def test_what_varies_in_an_executors_words_makes_no_second_problem() -> None:
    said = (
        MISMATCH.format("failed", "queued")
        + " Extra info: WorkerLostError('Worker exited prematurely: signal 9 (SIGKILL) Job: {}.')"
    )
    assert prints(*(stated(CircumstanceKind.STATE_MISMATCH, said.format(job)) for job in (7, 8812))) == 1


def test_a_person_is_named_with_the_time_and_neither_counts() -> None:
    ada = stated(CircumstanceKind.MARKED, "marked failed by ada", "ada")
    assert (ada.title, ada.cause) == ("Marked failed by ada", "marked by hand")
    assert ada.decisions == ("Airflow's event log: ada marked it failed on 2026-11-03 at 07:45:12 UTC.",)
    nobody = stated(CircumstanceKind.MARKED)
    assert nobody.title == "Marked failed by hand"
    assert prints(ada, nobody) == 1


@pytest.mark.parametrize("kind", [CircumstanceKind.QUEUED_TOO_LONG, CircumstanceKind.FAIL_FAST])
def test_other_statements_are_told_in_airflows_words(kind: CircumstanceKind) -> None:
    signature = stated(kind, "Task was requeued more than 2 times and will be failed.")
    assert signature.cause == kind.value
    assert "requeued more than 2 times" in explain(signature)
    assert prints(signature, stated(kind, task="a.c")) == 2


@pytest.mark.parametrize("absence", Absence)
def test_every_absence_is_a_class_of_its_own_by_task(absence: Absence) -> None:
    signature = sign((), task="a.b", status=LogStatus.MISSING, absence=absence)
    assert signature.cause == absence.value
    assert signature.cause in CAUSES
    assert len(CAUSES[signature.cause].steps) >= 2
    assert signature.decisions[0].startswith(CAUSES[signature.cause].summary)
    assert prints(signature, sign((), task="a.c", status=LogStatus.MISSING, absence=absence)) == 2
    assert prints(signature, sign((), task="a.b", status=LogStatus.MISSING)) == 2


def test_an_absence_shows_the_line_that_says_so() -> None:
    lines = [
        LogLine(1, "::group::Log message source details"),
        LogLine(2, "Log file not found on worker 'w-1'. This attempt may"),
    ]
    signature = sign(lines, task="a.b", status=LogStatus.MISSING, absence=Absence.ROTATED)
    assert [evidence.number for evidence in signature.evidence] == [2]


def test_a_statement_wins_over_an_absence_and_tells_it_beside() -> None:
    signature = stated(CircumstanceKind.HEARTBEAT_LOST, HEARTBEAT, absence=Absence.WORKER)
    assert signature.cause == "heartbeat lost"
    assert "Beside that, the log lay on a worker that no longer answers" in explain(signature)


def told(text: str, **more: object) -> LogLine:
    return LogLine(7, text, "error", "task", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (f"{STOPPED}: its state is failed", "Stopped by Airflow: set to failed while it ran"),
        (f"{STOPPED}: its state is skipped", "Stopped by Airflow: set to skipped while it ran"),
        (f"{STOPPED}: Task Instance not found", "Stopped by Airflow: cleared or deleted while it ran"),
        (STOPPED, "Stopped by Airflow while it ran"),
        ("State of this instance has been externally set to failed. Terminating instance.", "Stopped by Airflow: set to failed while it ran"),
    ],
)  # fmt: skip
def test_an_order_to_stop_says_what_was_done_to_the_try(text: str, title: str) -> None:
    signature = sign([told(text), LogLine(8, "Task killed!", "error", "task")], task="a.b")
    assert (signature.title, signature.cause) == (title, "killed from outside")
    assert prints(signature, sign([told(STOPPED)], task="a.b")) == 1


def test_an_order_to_stop_is_explained_by_what_the_scheduler_did() -> None:
    line = told(f"{STOPPED}: its state is failed")
    for kind in (CircumstanceKind.FAIL_FAST, CircumstanceKind.HEARTBEAT_LOST, CircumstanceKind.MARKED):
        assert sign([line], Circumstance(kind), task="a.b").cause == kind.value
    mismatch = Circumstance(CircumstanceKind.STATE_MISMATCH, MISMATCH.format("success", "restarting"))
    assert sign([line], mismatch, task="a.b").cause == "killed from outside"


@pytest.mark.parametrize("text", ["Dag not found during start up", "DAG not found during start up"])
def test_a_dag_that_is_gone_on_the_worker_is_a_class_of_its_own(text: str) -> None:
    end = LogLine(9, "Process exited abnormally", "warning", "task", exit_code=1)
    signature = sign([told(text), end], task="a.b")
    assert (signature.title, signature.cause) == ("DAG not found on the worker", "DAG missing")
    assert prints(signature, sign([told(text), end], task="a.c")) == 2
    task = sign([told("Task not found in Dag during start up"), end], task="a.b")
    assert (task.title, task.cause) == ("Task not found on the worker", "DAG missing")


def test_a_dag_that_does_not_import_on_the_worker_counts_by_its_error_for_all_its_tasks() -> None:
    failure = LogLine(5, "Failed to import: /dags/shop.py", "error", "airflow.models.dagbag.DagBag",
                      raised=(Raised("ModuleNotFoundError", "No module named 'ours'"),))  # fmt: skip
    lines = [failure, told("Dag not found during start up")]
    signature = sign(lines, task="a.b")
    assert signature.title == "DAG does not import on the worker: ModuleNotFoundError: No module named 'ours'"
    assert signature.cause == "DAG import"
    assert prints(signature, sign(lines, task="a.c")) == 1
    in_task = LogLine(5, "Task failed with exception", "error", "task", raised=failure.raised)
    assert prints(signature, sign([in_task], task="a.b")) == 2


def test_a_dag_that_2_x_does_not_find_is_an_import_failure() -> None:
    words = (
        "Dag 'shop' could not be found; either it does not exist or it failed to parse."  # airflow 2.11.0, utils/cli.py
    )
    trace = f'Traceback (most recent call last):\n  File "/a/airflow/utils/cli.py", line 256, in get_dag\n    raise AirflowException(\nairflow.exceptions.AirflowException: {words}\n'
    text = f"[2026-10-03T04:10:00.000+0000] {{standard_task_runner.py:124}} ERROR - Failed to execute job 4 for task b ({words}; 2890)\n{trace}"
    assert sign(logs.keep(logs.read([text.encode()])).lines, task="a.b").cause == "DAG import"
