"""Reading a log in every dress, keeping the part that tells, and judging whether it is whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage import traces
from triage.logs import LIMIT, keep, read, status
from triage.model import Circumstance, CircumstanceKind, Frame, LogLine, LogStatus, Unread
from triage.signature import sign

AT = datetime(2026, 10, 3, 4, 10, tzinfo=UTC)
HEADER: list[dict[str, object]] = [
    {"timestamp": None, "event": text}
    for text in ("::group::Log message source details", "s3://b/x.log", "::endgroup::")
]


def ndjson(*records: dict[str, object]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def record(event: str, seconds: float = 0, **more: object) -> dict[str, object]:
    return {
        "timestamp": (AT + timedelta(seconds=seconds)).isoformat(),
        "event": event,
        "level": "info",
        "logger": "app",
        **more,
    }


def failed(seconds: float = 0, **detail: object) -> dict[str, object]:
    entry = {"exc_type": "KeyError", "exc_value": "'amount'", "exc_notes": ["row 7"], "is_cause": False, "is_group": False,
             "frames": [{"filename": "/dags/a.py", "lineno": 3, "name": "f"}], "exceptions": [], **detail}  # fmt: skip
    return record("Task failed with exception", seconds, level="error", logger="task", error_detail=[entry])


def lines(data: bytes) -> list[LogLine]:
    return list(read([data]))


def test_an_ndjson_record_becomes_a_line_with_its_level_logger_time_and_chain() -> None:
    line = lines(ndjson(failed(1.5)))[0]
    assert (line.number, line.text, line.level, line.logger) == (1, "Task failed with exception", "error", "task")
    assert line.at == AT + timedelta(seconds=1.5)
    assert line.raised[0].type == "KeyError"
    assert line.raised[0].notes == ("row 7",)
    assert line.raised[0].frames == (Frame("/dags/a.py", 3, "f"),)


def test_exit_code_and_signal_are_read() -> None:
    killed, ended = lines(ndjson(record("x", signal=-9, signal_name="SIGKILL"), record("Task exited", exit_code=3)))
    assert killed.signal == "SIGKILL"
    assert ended.exit_code == 3


def test_the_hash_before_a_dag_files_logger_is_taken_off() -> None:
    assert lines(ndjson(record("x", logger="unusual_prefix_" + "a1" * 20 + "_shop")))[0].logger == "shop"


def test_only_a_newline_byte_ends_a_line() -> None:
    raw = json.dumps({"event": "a\u2028b\u0085c"}, ensure_ascii=False).encode()
    assert [line.text for line in lines(raw + b"\n" + raw)] == ["a\u2028b\u0085c"] * 2


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"nul\x00l", "null"),
        (b"  1%\r 50%\r100%", "100%"),
        (b"dos\r\n", "dos"),
        (b"bad \xff\xfe", "bad \ufffd\ufffd"),
        (b"bell\x07 and tab\t", "bell and tab\t"),
        (b'{"event": "lone \\ud800 x"}', "lone  x"),
        (b'{"event": "in\\u0000side"}', "inside"),
    ],
)
def test_text_comes_out_safe_to_store(raw: bytes, text: str) -> None:
    assert lines(raw)[0].text == text


@pytest.mark.parametrize(
    "prefix",
    [
        "[2026-10-03T04:10:00.000+0000] {taskinstance.py:12} ERROR - ",
        "[2026-10-03, 04:10:00 UTC] {taskinstance.py:12} ERROR - ",
        "[2026-10-03T04:10:00.000+0000] {{taskinstance.py:12}} ERROR - ",
        "[2026-10-03T04:10:00.000+0000] {taskinstance.py:12} \x1b[31mERROR\x1b[0m - ",
        "[2026-10-03T04:09:59.000+0000] {base_task_runner.py:101} INFO - Job 7: Subtask load [2026-10-03T04:10:00.000+0000] {taskinstance.py:12} ERROR - ",
    ],
)
def test_every_prefix_of_the_text_logs_is_understood(prefix: str) -> None:
    line = lines(f"{prefix}it broke\n".encode())[0]
    assert (line.text, line.level, line.logger, line.at) == ("it broke", "error", "taskinstance.py", AT)


def test_a_stamp_without_a_zone_tells_no_time() -> None:
    assert lines(b"[2019-01-01 00:00:00,000] {a.py:1} INFO - x")[0].at is None


TEXT = b"""[2026-10-03T04:10:00.000+0000] {taskinstance.py:12} ERROR - Task failed with exception
Traceback (most recent call last):
  File "/dags/a.py", line 17, in chained
    {}["order_id"]
KeyError: 'order_id'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/dags/a.py", line 20, in chained
    raise ValueError("bad order") from e
ValueError: bad order
 on two lines
[2026-10-03T04:10:01.000+0000] {local_task_job_runner.py:266} INFO - Task exited with return code 1
"""


def test_a_traceback_in_a_text_record_is_parsed_the_raised_one_first() -> None:
    first, last = lines(TEXT)
    assert [(one.type, one.value, one.is_cause) for one in first.raised] == [
        ("ValueError", "bad order\n on two lines", False),
        ("KeyError", "'order_id'", True),
    ]
    assert (last.number, last.exit_code) == (14, 1)


def test_the_form_of_the_page_is_parsed_too() -> None:
    text = (
        '[2026-10-03, 04:10:00] ERROR - Task failed with exception: source="task"\nHTTPError: 500\n'
        'File "/sp/airflow/run.py", line 9 in run\n\nFile "/dags/a.py", line 3 in f\n\nKeyError: \'x\'\n'
        'File "/dags/a.py", line 2 in g\n[2026-10-03, 04:10:01] INFO - done: source="task"\n'
    )
    first, last = lines(text.encode())
    assert first.logger == last.logger == "task"
    assert last.text == "done"
    assert [(one.type, one.frames[-1].function) for one in first.raised] == [("HTTPError", "f"), ("KeyError", "g")]


def test_an_exception_group_is_parsed_with_its_parts() -> None:
    text = """  + Exception Group Traceback (most recent call last):
  |   File "/dags/a.py", line 13, in f
  |     raise ExceptionGroup("g", errors)
  | ExceptionGroup: g (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/dags/a.py", line 3, in g
    | ValueError: 1
    +---------------- 2 ----------------
    | ExceptionGroup: n (1 sub-exception)
    +-+---------------- 1 ----------------
      | KeyError: 'x'
      +------------------------------------"""
    (group,) = traces.parse(text.split("\n"))
    assert group.type == "ExceptionGroup"
    assert [part[0].type for part in group.parts] == ["ValueError", "ExceptionGroup"]
    assert group.parts[1][0].parts[0][0].type == "KeyError"


def test_source_lines_without_indent_are_not_taken_for_the_exception() -> None:
    chain = traces.parse(
        ["Traceback (most recent call last):", 'File "/a.py", line 43, in f', "x: int = y[0]", "IndexError: list"]
    )
    assert [one.type for one in chain] == ["IndexError"]


@given(st.binary(max_size=400), st.integers(1, 20))
def test_how_the_bytes_are_cut_into_chunks_changes_nothing(data: bytes, size: int) -> None:
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    assert list(read(chunks)) == lines(data)


_TOKENS = st.sampled_from(
    [b'{"event":', b'"x"', b"}", b"\n", b"[2026-10-03T04:10:00.000+0000] {a.py:1} ERROR - ", b"Traceback (most recent call last):\n",
     b'  File "/a.py", line 1, in f\n', b"KeyError: 1\n", b"  | ", b"  +-+---------------- 1 ----------------\n", b"\x1b[", b"\r",
     b'"error_detail":[{"exc_type":1,"frames":[3],"exceptions":[[{}]]}]', b",", b"\xff", b"::group::Pre Execute"]
)  # fmt: skip


@given(st.lists(_TOKENS, max_size=30).map(b"".join) | st.binary(max_size=300))
def test_any_bytes_are_read_and_kept_without_an_error(data: bytes) -> None:
    kept = keep(read([data]))
    assert kept.total_bytes in (len(data), len(data) + 1)
    assert all("\x00" not in line.text and "\x1b[" not in line.text for line in kept.lines)


def test_one_endless_line_is_read_by_its_two_ends() -> None:
    chunks: Iterator[bytes] = (b"begin " + b"x" * 99_994 if i == 0 else b"y" * 100_000 for i in range(200))
    reading = read([*chunks, b" the end"])
    (line,) = list(reading)
    assert len(line.text) < 1 << 20
    assert line.text.startswith("begin")
    assert line.text.endswith("the end")
    assert reading.total_bytes == 200 * 100_000 + 8


def test_a_record_of_many_lines_that_begin_with_a_brace_is_not_counted_through_for_each_of_them() -> None:
    data = f"{PREFIX}INFO - rows\n".encode() + b"{'a': 1}\n" * 2000
    looked_through = 0

    def note(_: object, event: str, called: object) -> None:
        nonlocal looked_through
        text = getattr(called, "__self__", None)
        if event == "c_call" and getattr(called, "__name__", "") == "count" and isinstance(text, str):
            looked_through += len(text)

    sys.setprofile(note)
    try:
        (line,) = list(read([data]))
    finally:
        sys.setprofile(None)
    assert line.text.count("\n") == 2000
    assert 0 < looked_through < 5 * len(data)


def test_a_record_before_an_ndjson_line_counts_towards_its_number() -> None:
    begun = f"{PREFIX}INFO - rows\n{{'a': 1}}\n{{'a': 2}}\n".encode()
    assert [line.number for line in lines(begun + b'{"event": "x"}\n{"event": "y"}\n' + begun)] == [1, 4, 5, 6]


def test_of_a_huge_record_the_chain_and_the_beginning_are_saved() -> None:
    (line,) = lines(ndjson({**failed(), "event": "Task failed with exception " + "x" * 5_000_000}))
    assert line.text.startswith("Task failed with exception x")
    assert line.raised[0].type == "KeyError"
    assert line.level == "error"


def test_keep_holds_head_evidence_and_tail_within_the_limit_and_counts_the_rest() -> None:
    noise = [record(f"row {i} " + "x" * 80) for i in range(9000)]
    traceback = [
        record(text) for text in ("Traceback (most recent call last):", '  File "/j.py", line 1, in f', "OSError: gone")
    ]
    data = ndjson(
        *HEADER, record("::group::Pre Execute", logger="task"), *noise[:3000], *traceback, *noise[3000:], failed()
    )
    kept = keep(read([data]), limit=64 * 1024)
    texts = [line.text for line in kept.lines]
    assert texts[0] == "::group::Log message source details"
    assert "OSError: gone" in texts
    assert texts[-1] == "Task failed with exception"
    assert sum(map(len, texts)) <= 80 * 1024
    assert kept.total_lines == 9000 + 8
    assert kept.total_bytes == len(data)
    numbers = [line.number for line in kept.lines]
    assert numbers == sorted(set(numbers))


def test_lines_behind_a_part_that_was_not_read_are_counted_from_the_end() -> None:
    head = ndjson(*HEADER, record("::group::Pre Execute", logger="task"))
    tail = ndjson(record("closing"), failed(), record("closed"))
    reading = read([head, Unread(5_000_000), tail])
    kept = keep(reading)
    assert [line.number for line in kept.lines] == [1, 2, 3, 4, -3, -2, -1]
    assert (kept.total_lines, kept.unread, kept.total_bytes) == (7, 5_000_000, 5_000_000 + len(head + tail))
    assert status(kept, AT, None) is LogStatus.WHOLE
    signed = sign(kept.lines, None, task="d.t", status=LogStatus.WHOLE)
    assert signed.evidence[0].number == -2
    assert "Line 2 from the end holds the exception that ended the try: KeyError." in signed.decisions
    assert signed.fingerprint == sign(read([head + tail]), None, task="d.t", status=LogStatus.WHOLE).fingerprint


def test_nothing_is_joined_over_a_part_that_was_not_read() -> None:
    head, tail = b"[2026-10-03T04:10:00.000+0000] {a.py:1} INFO - begun\nmore of it\nhalf a", b"stray\nERROR - gone\n"
    found = list(read([head, Unread(9), tail]))
    assert [line.text for line in found] == ["begun\nmore of it\nhalf a", "stray", "gone"]


def test_what_is_kept_is_redacted() -> None:
    kept = keep(read([ndjson(record("DB_PASSWORD=hunter2"), failed(exc_value="token=abc123"))]))
    assert kept.lines[0].text == "DB_PASSWORD=***"
    assert kept.lines[1].raised[0].value == "token=***"


def whole(*records: dict[str, object], ended: float = 0, why: CircumstanceKind | None = None) -> LogStatus:
    kept = keep(read([ndjson(*HEADER, *records)]))
    return status(kept, AT + timedelta(seconds=ended), Circumstance(why) if why else None)


def test_a_log_with_the_failure_at_the_tries_end_is_whole() -> None:
    assert whole(record("::group::Pre Execute"), failed(), ended=5.0) is LogStatus.WHOLE


def test_a_log_that_stops_long_before_the_tries_end_is_partial() -> None:
    assert whole(record("::group::Pre Execute"), failed(), ended=7.0) is LogStatus.PARTIAL


def test_a_pause_is_no_end() -> None:
    paused = (record("::group::Pre Execute"), record("Pausing task as DEFERRED. "), record("::endgroup::"))
    assert whole(*paused) is LogStatus.PARTIAL


def test_an_earlier_failure_does_not_make_the_last_start_whole() -> None:
    assert (
        whole(record("::group::Pre Execute"), failed(), record("::group::Pre Execute"), record("go"))
        is LogStatus.PARTIAL
    )


@pytest.mark.parametrize("why", list(CircumstanceKind))
def test_what_airflow_knows_explains_a_silent_log(why: CircumstanceKind) -> None:
    assert whole(record("::group::Pre Execute"), record("go"), ended=900, why=why) is LogStatus.WHOLE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        ndjson(*HEADER),
        ndjson(*HEADER[:2], {"timestamp": None, "event": "Could not read served logs"}, HEADER[2]),
        b"<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>",
        b"vm\n INFO - ::group::Log message source details\n*** Could not read served logs: 404\n INFO - ::endgroup::\n",
    ],
)
def test_what_is_no_log_is_missing(body: bytes) -> None:
    assert status(keep(read([body])), None, None) is LogStatus.MISSING


def test_a_text_log_is_whole_by_its_return_code_and_a_good_one_is_not_failed() -> None:
    assert status(keep(read([TEXT])), AT, None) is LogStatus.WHOLE
    fine = b"[2026-10-03T04:10:01.000+0000] {local_task_job_runner.py:266} INFO - Task exited with return code 0\n"
    assert status(keep(read([fine])), AT, None) is LogStatus.PARTIAL


@pytest.mark.parametrize("text", [b"\n", b"x\n", b'{"event": "", "logger": "' + b"l" * 300 + b'"}\n'])
def test_what_is_kept_of_the_shortest_lines_is_bounded_as_it_is_stored(text: bytes) -> None:
    kept = keep(read([text * 100_000]))
    assert kept.total_lines == 100_000
    assert len(msgspec.json.encode(kept.lines)) <= LIMIT


def test_of_a_long_message_no_secret_is_cut_in_two() -> None:
    value = "x " * 1010 + "password='" + "hunter22" * 400 + "' " + "y " * 2000
    (line,) = keep(read([ndjson(failed(exc_value=value, exc_notes=[value]))])).lines
    assert "hunter22" not in repr(line)
    assert len(line.raised[0].value) <= traces.MAX_VALUE


# Made-up values in the forms that their makers document; in two pieces, so that no scanner takes them for real ones.
SECRETS = {
    "AWS secret": ("AWS_SECRET_ACCESS_KEY={}", "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY"),
    "AWS pair": ("creds AKIA" + "IOSFODNN7EXAMPLE {}", "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY"),
    "AWS session": ("SessionToken: {}", "FwoGZXIvYXdzEJr//////////" + "wEaDEXAMPLEabc123"),
    "Azure account": ("AccountName=a;AccountKey={};EndpointSuffix=x", "Zm9vYmFyYmF6cXV4Zm9v" + "YmFyYmF6cXV4"),
    "Azure SAS": ("https://a.blob.example/c/f?sv=2022-11-02&sig={}&se=2026", "Xk9%2Fabc123" + "def%3D"),
    "Google key": ("maps key {}", "AIza" + "SyA1234567890abcdefghijklmnopqrstuv"),
    "service account": ('{{"private_key": "-----BEGIN PRIVATE' + ' KEY-----\\n{}\\n-----END PRIVATE KEY-----"}}', "MIIEvQIBADANBg"),
    "private key": ("-----BEGIN OPENSSH PRIVATE" + " KEY-----\n{}\nabc1\n-----END OPENSSH PRIVATE KEY-----", "b3BlbnNzaC1rZXktdjEAAAAA"),
    "Slack webhook": ("https://hooks.slack.com/services/{}", "T0000/B0000/" + "XXXXXXXXabcd1234"),
    "Slack bot": ("slack {}", "xoxb" + "-123456789012-abcdef"),
    "Discord webhook": ("https://discord.com/api/webhooks/123456789012345678/{}", "abcDEF_ghi-JKL" + "mnopqrstuvwxyz"),
    "Teams webhook": ("https://x.webhook.office.com/webhookb2/a1@22/IncomingWebhook/{}/33", "0123456789abcdef" * 2),
    "Telegram bot": ("https://api.telegram.org/bot123456789:{}/sendMessage", "AAHdqTcvCH1vGWJxfSe" + "ofSAs0K5PALDsaw8"),
    "GitLab token": ("remote {}", "glpat" + "-abcDEF123456_7890xyz"),
    "GitHub token": ("remote {}", "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789"),
    "npm login": ("//npm.example/:_auth={}", "dXNlcjpwYXNz" + "d29yZA=="),
    "registry login": ('{{"auths": {{"reg.example": {{"auth": "{}"}}}}}}', "dXNlcjpwYXNz" + "d29yZA=="),
    "Stripe key": ("stripe {}", "sk_live" + "_4eC39HqLyjWDarjtT1zdp7dc"),
    "Twilio key": ("twilio {}", "SK" + "0123456789abcdef" * 2),
    "Databricks token": ("databricks {}", "dapi" + "0123456789abcdef" * 2),
    "Vault token": ("X-Vault-Token: {}", "hvs." + "CAESIabcdefghijklmnop"),
    "bearer": ("headers={{'Authorization': 'Bearer {}'}}", "abcd1234" + "efgh5678"),
    "cookie": ("Cookie: sessionid={}; a=b", "abc123def"),
    "JWT": ("jwt {}", "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"),
    "database URL": ("postgresql+psycopg2://app:{}@db:5432/x", "hun%40ter2"),
    "Oracle URL": ("jdbc:oracle:thin:scott/{}@//db:1521/x", "tigerpw9"),
    "Snowflake": ("connect(user='u', password='{}', account='x')", "Sup3rS3cret!"),
    "environment": ("environ({{'DB_PASS': '{}'}})", "hunter22x"),
    "tuple": ("[('password', '{}'), ('user', 'x')]", "hunter22x"),
    "element": ("<password>{}</password>", "hunter22x"),
    "secret object": ("Conn(password=SecretStr('{}'))", "hunter22x"),
    "basic login": ("get(url, auth=('bob', '{}'))", "hunter22x"),
    "ampersand": ("password={} x", "ab&cdhunter22"),
    "Fernet key": ("fernet key: {}", "Zm9vYmFyYmF6cXV4Zm9vYm" + "FyYmF6cXV4Zm9vYmFyYmE="),
    "Django": ("SECRET_KEY={}", "hunter22x"),
    "option": ("mysql --user=root --password={} -h x", "hunter22x"),
}  # fmt: skip
PREFIX = "[2026-10-03T04:10:00.000+0000] {x.py:3} "


def dresses(told: str) -> Iterator[bytes]:
    """The ways in which a task's words come into a log: said, raised, failed with, in records, text and single lines."""
    raised_ = (
        'Traceback (most recent call last):\n  File "/dags/a.py", line 3, in f\n    connect({0})\nRuntimeError: {0}\n'
    )
    yield ndjson(record(told), failed(exc_type="RuntimeError", exc_value=told, exc_notes=[told]))
    yield ndjson(record(f"ERROR: {told}", level="error"), record("Task exited with return code 1", exit_code=1))
    yield ndjson(*(record(line, level="error") for line in told.split("\n")), record("Task exited", exit_code=1))
    yield f"{PREFIX}INFO - {told}\n{PREFIX}ERROR - Task failed with exception\n{raised_.format(told)}".encode()
    yield (
        f"{PREFIX}INFO - Output:\n{PREFIX}INFO - ERROR: {told}\n"
        f"{PREFIX}INFO - Task exited with return code 1\n".encode()
    )


@pytest.mark.parametrize("kind", SECRETS)
def test_no_seeded_secret_reaches_what_is_kept_the_title_the_evidence_or_the_decisions(kind: str) -> None:
    text, secret = SECRETS[kind]
    for log in dresses(text.format(secret)):
        assert secret in log.decode().replace("\\\\", "\\")
        kept = keep(read([log])).lines
        made = sign(kept, task="a.b")
        assert secret not in repr((kept, made.title, made.evidence, made.decisions, made.exception)), log
