"""Logs whose every line another program passed on with a prefix of its own."""

from __future__ import annotations

import pytest

from triage import logs
from triage.dress import LOOK
from triage.signature import sign_text

LOG = """[2026-10-03T04:10:00.000+0000] {taskinstance.py:12} INFO - Starting attempt 1 of 2
[2026-10-03T04:10:00.000+0000] {app.py:3} INFO - a | b
[2026-10-03T04:10:01.000+0000] {taskinstance.py:12} ERROR - Task failed with exception
Traceback (most recent call last):
  File "/dags/a.py", line 17, in load
    rows["sku"]

KeyError: 'sku'
[2026-10-03T04:10:02.000+0000] {local_task_job_runner.py:266} INFO - Task exited with return code 1
"""
PREFIXES = [
    "2026-10-03T04:10:02.531537422Z stdout F ",
    "2026-10-03T04:10:02.5+02:00 stderr F ",
    "airflow-worker-1  | ",
    "[pod/worker-0/base] ",
    "2026-10-03T04:10:02.531537422Z ",
    "Oct  3 04:10:02 host-1 airflow[4711]: ",
    "[2026-10-03 04:10:02,000] {base_task_runner.py:115} INFO - Job 7: Subtask load ",
    "[2026-10-03 04:10:02,000] {base_task_runner.py:98} INFO - Subtask: ",
    "airflow-worker-1  | 2026-10-03T04:10:02.531537422Z ",
    "[pod/worker-0/base] 2026-10-03T04:10:02.531537422Z ",
    "2026-10-03T04:10:02.531537422Z stdout F airflow-worker-1  | ",
]
JSON = """{"timestamp":"2026-10-03T04:10:00Z","level":"info","event":"::group::Pre Execute","logger":"task"}
{"timestamp":"2026-10-03T04:10:01Z","level":"error","event":"Task failed with exception","logger":"task","error_detail":[{"exc_type":"KeyError","exc_value":"'sku'","frames":[{"filename":"/dags/a.py","lineno":17,"name":"load"}]}]}
"""


def dressed(text: str, prefix: str) -> bytes:
    return "".join(f"{prefix}{line}\n" for line in text.splitlines()).encode()


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("text", [LOG, JSON], ids=["text", "json"])
def test_a_log_that_was_passed_on_reads_as_it_was_written(prefix: str, text: str) -> None:
    plain, worn = (list(logs.read([data])) for data in (text.encode(), dressed(text, prefix)))
    assert worn == plain
    assert sign_text(dressed(text, prefix)).title == "KeyError: 'sku' in load()"


@pytest.mark.parametrize("size", [1, 7, 100])
def test_it_does_not_matter_how_the_bytes_come(size: int) -> None:
    data = dressed(LOG, PREFIXES[2])
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    assert list(logs.read(pieces)) == list(logs.read([LOG.encode()]))


def test_a_line_that_a_runtime_cut_in_parts_is_one_again() -> None:
    first, second = LOG.splitlines()[0][:40], LOG.splitlines()[0][40:]
    data = f"2026-10-03T04:10:02Z stdout P {first}\n2026-10-03T04:10:02Z stdout F {second}\n".encode()
    assert [line.text for line in logs.read([data])] == ["", "Starting attempt 1 of 2"]


def test_words_that_only_look_like_a_prefix_stay() -> None:
    """Without a record of Airflow behind it, it is what the task wrote."""
    data = b"orders | 17\n2026-10-03T04:10:02Z all is well\n"
    assert [line.text for line in logs.read([data])] == ["orders | 17", "2026-10-03T04:10:02Z all is well"]


def test_a_prefix_counts_only_at_the_beginning_of_a_log() -> None:
    pad = "[2026-10-03T04:10:00.000+0000] {app.py:3} INFO - row\n" * LOOK
    text = "\n".join(line.text for line in logs.read([(pad + "etl-1  | [2026-10-03 x\n").encode()]))
    assert "etl-1  | [2026-10-03 x" in text
