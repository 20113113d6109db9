"""The words in a log's place, as Airflow's and its providers' log handlers write them, and what they say of the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from triage import logs
from triage.header import Header
from triage.model import Absence, LogStatus
from triage.signature import sign_text

SERVED = "Could not read served logs: "
URL = "http://w-1:8793/log/dag_id=d/run_id=r/task_id=t/attempt=1.log"
TI = "<TaskInstance: d.t r [failed]>"
# The words, what they say, and the source they are taken from.
TABLE = [
    # airflow 3.2.0 and 3.3.2, utils/log/file_task_handler.py, _read_from_logs_server
    ("Log file not found on worker 'w-1'. This attempt may have run on a different worker whose logs are no longer accessible. Consider configuring remote logging (S3, GCS, etc.) for log persistence.", Absence.ROTATED),
    (SERVED + "Hostname not available for worker. Please check your `hostname_callable` configuration.", Absence.NEVER_STARTED),
    ("!!!! Please make sure that all your Airflow components (e.g. schedulers, api-servers, dag-processors, workers and triggerer) have the same 'secret_key' configured in '[api]' section and time is synchronized on all your machines (for example with ntpd)\nSee more at https://airflow.apache.org/docs/apache-airflow/stable/configurations-ref.html#secret-key", Absence.REFUSED),
    # airflow 2.10.5, 2.11.0, 3.0.6, the same place: what requests raises
    (SERVED + f"404 Client Error: NOT FOUND for url: {URL}", Absence.ROTATED),
    (SERVED + f"403 Client Error: FORBIDDEN for url: {URL}", Absence.REFUSED),
    (SERVED + "Invalid URL 'http://:8793/log/dag_id=d/run_id=r/task_id=t/attempt=1.log': No host supplied", Absence.NEVER_STARTED),
    (SERVED + f"HTTPConnectionPool(host='w-1', port=8793): Max retries exceeded with url: {URL[15:]} (Caused by NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection refused'))", Absence.WORKER),
    (SERVED + "HTTPConnectionPool(host='w-1', port=8793): Max retries exceeded with url: /log/x (Caused by NameResolutionError(\"<urllib3.connection.HTTPConnection object at 0x7f>: Failed to resolve 'w-1' ([Errno -2] Name or service not known)\"))", Absence.WORKER),
    (SERVED + "HTTPConnectionPool(host='w-1', port=8793): Read timed out. (read timeout=5)", Absence.WORKER),
    (SERVED + f"500 Server Error: INTERNAL SERVER ERROR for url: {URL}", Absence.WORKER),
    # airflow 2.4.3, utils/log/file_task_handler.py, _read
    (f"*** Log file does not exist: /logs/d/t/1.log\n*** Fetching from: {URL}\n*** Failed to fetch log file from worker. [Errno -2] Name or service not known", Absence.WORKER),
    (f"*** Log file does not exist: /logs/d/t/1.log\n*** Fetching from: {URL}\n*** Failed to fetch log file from worker. Client error '404 NOT FOUND' for url '{URL}'", Absence.ROTATED),
    (f"*** Log file does not exist: /logs/d/t/1.log\n*** Fetching from: {URL}\n*** Failed to fetch log file from worker. Client error '403 FORBIDDEN' for url '{URL}'", Absence.REFUSED),
    # amazon 9.39.0, aws/log/s3_task_handler.py: s3_read in the log's place; _read_remote_logs below 3.0
    ("Could not read logs from s3://logs/dag_id=d/attempt=1.log with error: An error occurred (AccessDenied) when calling the GetObject operation: Access Denied", Absence.STORAGE),
    (f"No logs found on s3 for ti={TI}\n{SERVED}404 Client Error: NOT FOUND for url: {URL}", Absence.ROTATED),
    (f"No logs found on s3 for ti={TI}\n{SERVED}HTTPConnectionPool(host='w-1', port=8793): Max retries exceeded", Absence.WORKER),
    # the same, cloudwatch_task_handler.py: str(e) of botocore as a source; the notice in the log's place
    ("Reading remote log from Cloudwatch log_group: g log_stream: dag_id=d/attempt=1.log\nAn error occurred (AccessDeniedException) when calling the GetLogEvents operation: not authorized", Absence.STORAGE),
    ('Reading remote log from Cloudwatch log_group: g log_stream: s\nCould not connect to the endpoint URL: "https://logs.eu-west-1.amazonaws.com/"', Absence.STORAGE),
    ("No log stream found in CloudWatch (log_group=g, log_stream=s). The task may have logged to stdout only, not produced any logs yet, or remote logging may be misconfigured.", Absence.ROTATED),
    # google 22.8.0, cloud/log/gcs_task_handler.py, stream and _read_remote_logs below 3.0
    ("Unable to read remote log 503 GET https://storage.googleapis.com/x: Service Unavailable", Absence.STORAGE),
    (f"No logs found in GCS; ti={TI}", Absence.ROTATED),
    # microsoft.azure 15.2.1, azure/log/wasb_task_handler.py, read
    ("tried listing blobs with prefix=p and container=c\ncould not list blobs This request is not authorized", Absence.STORAGE),
    ("Unable to read remote blob 'b' in container 'c'\nThe specified container is being deleted", Absence.STORAGE),
    (f"No logs found in WASB; ti={TI}", Absence.ROTATED),
    # apache.hdfs 4.14.2, log/hdfs_task_handler.py; alibaba 3.5.2, cloud/log/oss_task_handler.py
    (f"No logs found on hdfs for ti={TI}", Absence.ROTATED),
    ("Could not read logs from oss://bucket/dag_id=d/attempt=1.log", Absence.STORAGE),
    # elasticsearch 6.10.0, log/es_task_handler.py; opensearch 1.15.0, log/os_task_handler.py
    ("*** Log d-t-r-1 not found in Elasticsearch. If your task started recently, please wait a moment and reload this page. Otherwise, the logs for this task instance may have been removed.", Absence.ROTATED),
    ("*** Log d-t-r-1 not found in Opensearch. If your task started recently, please wait a moment and reload this page. Otherwise, the logs for this task instance may have been removed.", Absence.ROTATED),
    # airflow 3.3.2, utils/log/log_reader.py, get_no_log_state_message; file_task_handler.read
    ("No logs available for this task.", Absence.NEVER_STARTED),
    ("Error fetching the logs. Try number 0 is invalid.", Absence.NEVER_STARTED),
    # a log that was read: its source alone
    ("/opt/airflow/logs/dag_id=d/run_id=r/task_id=t/attempt=1.log", None),
    ("s3://logs/dag_id=d/run_id=r/task_id=t/attempt=1.log", None),
]  # fmt: skip
INSTEAD = ("Could not read logs", "No log stream", "*** Log d-", "No logs available", "Error fetching")


def ndjson(*records: dict[str, object]) -> bytes:
    return b"".join(json.dumps({"timestamp": None, **record}).encode() + b"\n" for record in records)


def new(said: str) -> bytes:
    """As 3.3 answers: a record a source; what stands in the log's place after them, or alone."""
    group = [{"event": "::group::Log message source details"}, {"event": "::endgroup::"}]
    if said.startswith(INSTEAD):
        return ndjson(*group, {"event": said})
    return ndjson(group[0], *({"event": line} for line in said.split("\n")), group[1])


def middle(said: str) -> bytes:
    """As 3.0 to 3.2 answer: the sources beside the first record."""
    if said.startswith(INSTEAD):
        return new(said)
    first = {"event": "::group::Log message source details", "sources": said.split("\n")}
    return ndjson(first, {"event": "::endgroup::"})


def old(said: str) -> bytes:
    """As 2.10 and 2.11 answer in plain text: the host, the sources behind stars, what stands in the log's place."""
    if said.startswith("***"):
        return f"w-1\n{said}\n".encode()
    stars = "".join(f"*** {line}\n" for line in said.split("\n"))
    body, stars = (f"{said}\n", "") if said.startswith(INSTEAD) else ("", stars)
    return f"w-1\n INFO - ::group::Log message source details\n{stars} INFO - ::endgroup::\n{body}\n".encode()


@pytest.mark.parametrize("answer", [new, middle, old])
@pytest.mark.parametrize(("said", "absence"), TABLE, ids=lambda value: str(value)[:60])
def test_what_stands_in_a_logs_place_says_why_it_is_away(said: str, absence: Absence | None, answer: object) -> None:
    kept = logs.keep(logs.read([answer(said)]))  # type: ignore[operator]
    assert kept.absence is absence
    assert not kept.has_body
    assert logs.status(kept, None, None) is LogStatus.MISSING


@pytest.mark.parametrize("answer", [new, middle, old])
@pytest.mark.parametrize("said", [said for said, absence in TABLE if absence and not said.startswith("***")], ids=lambda value: value[:60])  # fmt: skip
def test_a_log_that_stands_there_all_the_same_is_no_absence(said: str, answer: object) -> None:
    """A part of it may be away; a log of other sources counts."""
    data = answer(said) + b'{"timestamp": "2026-10-03T04:10:00Z", "event": "Task exited", "exit_code": 3}\n'  # type: ignore[operator]
    kept = logs.keep(logs.read([data]))
    assert kept.has_body
    assert kept.absence is None


@pytest.mark.parametrize(
    ("name", "absence"),
    [
        ("log_after_0.txt", Absence.NEVER_STARTED),  # upstream failed, try 0
        ("log_after_1.txt", Absence.NEVER_STARTED),  # upstream failed, try 1
        ("log_chained_5.txt", Absence.ROTATED),  # a try that never was
        ("log_killed_1.txt", None),
    ],
)
def test_what_a_real_2_11_answered(name: str, absence: Absence | None) -> None:
    recorded = Path(__file__).parents[2] / "shared" / "airflow" / "airflow2.11" / name
    if not recorded.exists():
        pytest.skip("../shared/airflow is not here")
    assert logs.keep(logs.read([recorded.read_bytes()])).absence is absence
    assert sign_text(recorded.read_bytes(), task="a.b").cause == (absence.value if absence else "killed from outside")


@pytest.mark.parametrize(
    "data",
    [
        b'{"timestamp": null, "event": "::group::Log message source details"}\n' + b'{"event": "row"}\n' * 5000,
        b"*** row\n" * 5000,
    ],
    ids=["a group that nobody closes", "stars all the way"],
)
def test_a_header_without_an_end_is_a_log_and_none_of_it_is_held(data: bytes) -> None:
    header = Header()
    for number, line in enumerate(logs.read([data]), 1):
        header.feed(line, number)
    assert not header.is_open
    assert len(header._texts) <= 1000
    assert logs.keep(logs.read([data])).has_body


def test_words_of_the_task_itself_are_no_header() -> None:
    spoken = {"event": f"{SERVED}404 Client Error", "level": "info", "logger": "task"}
    data = ndjson({"event": "::group::Log message source details"}, {"event": "/logs/1.log"}, {"event": "::endgroup::"}, spoken)  # fmt: skip
    kept = logs.keep(logs.read([data]))
    assert kept.has_body
    assert kept.absence is None


def test_the_sources_of_3_0_stand_in_the_kept_log_with_their_secrets_masked() -> None:
    kept = logs.keep(logs.read([middle("s3://key:hunter2secret@bucket/1.log")]))
    assert "bucket/1.log" in kept.lines[0].text
    assert "hunter2secret" not in kept.lines[0].text


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ({"reason": "not_running", "message": "TI is no longer in the running state and task should terminate", "current_state": "failed"}, ": its state is failed"),
        ({"reason": "not_found", "message": "Task Instance not found, it may have been moved to the Task Instance History table"}, ": Task Instance not found"),
        (None, ""),
    ],
)  # fmt: skip
def test_the_state_that_made_airflow_stop_a_try_is_kept(detail: object, said: str) -> None:
    event = "Server indicated the task shouldn't be running anymore. Terminating process"
    line = next(iter(logs.read([ndjson({"event": event, "level": "error", "logger": "task", "detail": detail})])))
    assert line.text == event + said
