"""The classes of failure and the words that tell them apart."""

from __future__ import annotations

import pytest

from triage.causes import CAUSES, classify

TABLE = [
    ("KeyError", "'amount'", "code error"),
    ("ModuleNotFoundError", "No module named 'lightgbm'", "missing module"),
    ("FileNotFoundError", "[Errno 2] No such file or directory: 'a.csv'", "missing file or table"),
    ("UndefinedTable", 'relation "orders" does not exist', "missing file or table"),
    (None, "bash: line 1: zstd: command not found", "missing command"),
    ("UndefinedColumn", 'column "qty" does not exist', "schema"),
    ("OperationalError", "no such column: qty", "schema"),
    ("IntegrityError", 'duplicate key value violates unique constraint "pk"', "data quality"),
    ("PermissionError", "[Errno 13] Permission denied: 'a'", "permission"),
    ("HTTPError", "403 Client Error: Forbidden for url: https://a.example", "permission"),
    ("OperationalError", 'password authentication failed for user "etl"', "credentials"),
    ("NoCredentialsError", "Unable to locate credentials", "credentials"),
    (None, "curl: (6) Could not resolve host: a.example", "DNS"),
    ("gaierror", "[Errno -2] Name or service not known", "DNS"),
    ("ConnectionRefusedError", "[Errno 111] Connection refused", "connection refused"),
    ("SSLError", "certificate verify failed: certificate has expired", "TLS"),
    ("ReadTimeout", "HTTPSConnectionPool(host='a', port=443): Read timed out.", "service time-out"),
    ("HTTPError", "429 Client Error: Too Many Requests for url: https://a.example", "rate limit"),
    ("HTTPError", "503 Server Error: Service Unavailable for url: https://a.example", "service error"),
    ("HTTPError", "400 Client Error: Bad Request for url: https://a.example", "bad request"),
    ("DeadlockDetected", "deadlock detected", "lock"),
    ("OperationalError", "database is locked", "lock"),
    ("OSError", "[Errno 28] No space left on device", "disk full"),
    ("MemoryError", "", "out of memory"),
    ("OutOfMemoryError", "Java heap space", "out of memory"),
    (None, "Killed by SIGTERM", "killed from outside"),
    ("AirflowTaskTimeout", "Timeout, PID: 12", "execution time-out"),
    ("AirflowSensorTimeout", "Sensor has timed out", "sensor time-out"),
    ("UndefinedError", "'cutoff' is undefined", "template"),
    ("AirflowNotFoundException", "The conn_id `wh` isn't defined", "variable or connection missing"),
    ("AirflowRuntimeError", "VARIABLE_NOT_FOUND: {'key': 'bucket'}", "variable or connection missing"),
    (None, "Dag not found during start up", "DAG missing"),
    (
        "AirflowException",
        "Dag 'shop' could not be found; either it does not exist or it failed to parse.",
        "DAG import",
    ),
    (None, "Container died, exit code 137", "killed from outside"),
    (None, "Exited with code 3", "exit code"),
    (None, "Pod failed: reason Evicted", "pod not started"),
    ("SyntaxError", "invalid syntax", "syntax"),
    ("DataQualityError", "data quality check failed", "data quality"),
    (None, "Killed by SIGSEGV", "native crash"),
    ("AirflowFailException", "the feed is switched off", "failed on purpose"),
    ("FileExistsError", "[Errno 17] File exists: 'out'", "file exists already"),
    (None, "load.py: error: the following arguments are required: --day", "wrong call"),
    ("AirflowException", "Test failed.\nResults:\n(500,)", "data quality"),
    ("UndefinedColumn", 'column "qty" of relation "orders" does not exist', "schema"),
    ("KeyError", "\"['vat'] not in index\"", "schema"),
    ("error", "Error -3 while decompressing data: invalid block type", "data quality"),
    ("ParamValidationError", "Parameter validation failed: Invalid type", "bad request"),
    (None, "The connection to the server k8s:6443 was refused - did you specify the right host?", "connection refused"),
    (None, "wget: unable to resolve host address ‘a.example’", "DNS"),
    (None, "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "out of memory"),
    (None, "/bin/run.sh: line 3: DAY: unbound variable", "code error"),
    (None, "the frobnicator is sad", "unknown"),
]


@pytest.mark.parametrize(("exception", "message", "cause"), TABLE, ids=lambda value: str(value)[:40])
def test_classify_names_the_class(exception: str | None, message: str, cause: str) -> None:
    assert classify(exception, message) == cause


def test_an_exception_that_nobody_knows_is_the_codes_own_when_python_raised_it() -> None:
    assert classify("BadMoodError", "not today", is_python=True) == "code error"


def test_there_are_at_least_twenty_classes_each_with_a_summary_and_something_to_try() -> None:
    assert len(CAUSES) >= 20
    for name, cause in CAUSES.items():
        assert cause.name == name
        assert cause.summary.endswith(".")
        assert cause.steps
        assert all(step and step[-1] in ".?" for step in cause.steps)


def test_every_class_that_classify_answers_is_described() -> None:
    assert {cause for _, _, cause in TABLE} <= set(CAUSES)
