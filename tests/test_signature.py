"""From kept lines to a fingerprint: which failure counts, what is masked, what is kept apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.bench import hostile
from triage import logs, passages
from triage.causes import CAUSES
from triage.hinted import Hinted
from triage.model import Circumstance, CircumstanceKind, Frame, LogLine, LogStatus, Raised, Signature
from triage.remembered import remembered
from triage.signature import VERSION, explain, sign, sign_text
from triage.signature.masks import MASKS, Mask, is_library, mask
from triage.signature.output import DELEGATED
from triage.signature.root import endpoint

USER = Frame("/opt/airflow/dags/shop.py", 12, "load")
RUNNER = Frame("/sp/site-packages/airflow/sdk/execution_time/task_runner.py", 920, "run")
LIBRARY = Frame("/sp/site-packages/psycopg2/__init__.py", 122, "connect")


def failed(*chain: Raised, number: int = 9) -> LogLine:
    return LogLine(number, "Task failed with exception", "error", "task", raised=chain)


def raised(kind: str, value: str = "", *frames: Frame, **more: object) -> Raised:
    return replace(Raised(kind, value, (RUNNER, *(frames or (USER,)))), **more)  # type: ignore[arg-type]


def bash(*output: str, code: int = 1) -> list[LogLine]:
    logger = "airflow.providers.standard.hooks.subprocess.SubprocessHook"
    texts = ["Output:", *output, f"Command exited with return code {code}"]
    end = raised("AirflowException", f"Bash command failed. The command returned a non-zero exit code {code}.", LIBRARY)
    return [*(LogLine(i + 1, text, "info", logger) for i, text in enumerate(texts)), failed(end, number=len(texts) + 1)]


def prints(*signatures: Signature) -> int:
    return len({signature.fingerprint for signature in signatures})


@pytest.mark.parametrize("one", MASKS, ids=lambda one: one.name)
def test_every_mask_does_what_its_example_says_and_leaves_its_own_work_alone(one: Mask) -> None:
    assert mask(one.before) == one.after
    assert mask(one.after) == one.after


@pytest.mark.parametrize(
    "kept",
    ["[Errno 2] gone", "exit code 3", "HTTP 503", "404 Client Error", "port 5432", "db-prod:5432", "column qty2 of s3_in",
     "No module named 'lightgbm'", 'relation "raw.orders" does not exist', "ORA-00942", "curl: (6) no"],
)  # fmt: skip
def test_what_names_the_cause_is_kept(kept: str) -> None:
    assert mask(kept) == kept


@pytest.mark.parametrize(
    ("file", "library"),
    [
        ("/home/airflow/.local/lib/python3.11/site-packages/pandas/core/frame.py", True),
        ("/usr/local/lib/python3.12/json/decoder.py", True),
        ("/opt/airflow/dags/shop.py", False),
        ("/opt/airflow/plugins/own.py", False),
        ("/files/dag_bundles/main/versions/9f2c/shop.py", False),
        ("pyarrow/_csv.pyx", True),
        ("", True),
    ],
)
def test_library_frames_are_told_from_the_users(file: str, library: bool) -> None:
    assert is_library(file) is library


def test_the_root_of_a_chain_counts_with_the_users_place() -> None:
    signature = sign(
        [failed(raised("RuntimeError", "step 7 failed"), Raised("KeyError", "'amount'", (USER,), is_cause=True))]
    )
    assert signature.title == "KeyError: 'amount' in load()"
    assert signature.exception == "KeyError"
    assert signature.fingerprint.startswith(f"{VERSION}:")
    assert signature.cause == "code error"


def test_a_bare_error_at_another_place_is_another_problem() -> None:
    other = replace(USER, function="count")
    assert prints(sign([failed(raised("KeyError", "0"))]), sign([failed(raised("KeyError", "0", other))])) == 2


def test_a_package_of_ones_own_that_is_installed_counts_as_the_users_code() -> None:
    def inside(function: str) -> Signature:
        own = Frame("/venv/lib/python3.12/site-packages/acme_jobs/load.py", 7, function)
        deeper = Frame("/venv/lib/python3.12/site-packages/pandas/x.py", 1, "get")
        return sign([failed(raised("KeyError", "'k'", own, deeper))])

    assert inside("rows").title == "KeyError: 'k' in rows()"
    assert prints(inside("rows"), inside("columns")) == 2


def test_lines_numbers_and_folders_of_a_bundle_change_nothing() -> None:
    moved = Frame("/tmp/dag_bundles/main/versions/0a1b2c/shop.py", 99, "load")
    assert prints(sign([failed(raised("KeyError", "'a'"))]), sign([failed(raised("KeyError", "'a'", moved))])) == 1


def test_one_database_refused_is_one_problem_from_any_dag_and_client() -> None:
    words = 'connection to server at "db" (10.0.0.{}), port 5432 failed: Connection refused'
    from_dag = [
        sign([failed(raised("OperationalError", words.format(i), Frame(f"/dags/d{i}.py", i, f"f{i}"), LIBRARY))])
        for i in (1, 2)
    ]
    assert prints(*from_dag, sign(bash("psql: error: " + words.format(3), code=2))) == 1
    assert prints(from_dag[0], sign([failed(raised("OperationalError", words.format(1).replace("5432", "5433")))])) == 2


def test_429_and_503_of_one_url_are_apart_and_ids_in_it_are_not() -> None:
    def answer(words: str, order: int) -> Signature:
        return sign(
            [
                failed(
                    raised("HTTPError", f"{words} for url: https://api.example/v1/orders/{order}?page={order}", LIBRARY)
                )
            ]
        )

    slow = answer("429 Client Error: Too Many Requests", 81723)
    assert prints(slow, answer("429 Client Error: Too Many Requests", 991)) == 1
    assert prints(slow, answer("503 Server Error: Service Unavailable", 81723)) == 2
    assert slow.cause == "rate limit"


def test_sql_keeps_names_and_masks_values() -> None:
    words = '(psycopg2.errors.UndefinedColumn) column "{}" does not exist\nLINE 1: ...\n[SQL: SELECT 1 WHERE id = {}]'
    first, second = (sign([failed(raised("ProgrammingError", words.format("qty", i)))]) for i in (1, 22))
    assert prints(first, second) == 1
    assert prints(first, sign([failed(raised("ProgrammingError", words.format("price", 1)))])) == 2
    assert first.exception == "UndefinedColumn"


def test_an_exception_group_counts_by_what_is_in_it() -> None:
    def group(*leaves: Raised) -> Signature:
        return sign(
            [failed(raised("ExceptionGroup", f"{len(leaves)} failed", parts=tuple((leaf,) for leaf in leaves)))]
        )

    one, two = Raised("KeyError", "'b'"), Raised("ValueError", "bad")
    assert prints(group(one, two), group(two, one), group(one, two, two)) == 1
    assert prints(group(one, two), group(one)) == 2
    assert "KeyError: 'b'" in group(one, two).title


def test_the_error_in_the_output_counts_not_the_exit_code() -> None:
    signature = sign(bash("working", "cat: /data/in/x.csv: No such file or directory", "cleaning up"))
    assert "No such file" in signature.title
    assert signature.cause == "missing file or table"
    assert signature.evidence[0].number == 3


def test_a_traceback_in_the_output_counts_before_later_words_that_look_bad() -> None:
    trace = [
        "Traceback (most recent call last):",
        '  File "/jobs/x.py", line 3, in run',
        "    int(v)",
        "ValueError: bad v",
    ]
    assert sign(bash(*trace, "error: job did not finish")).title == "ValueError: bad v in run()"


def test_an_error_line_that_names_nothing_counts_with_the_task_and_one_that_names_a_thing_does_not() -> None:
    for words, count in (
        ("curl: (22) The requested URL returned error: 403", 2),
        ("parse error: Unfinished JSON term at EOF at line 2, column 0", 2),
        ("cp: cannot stat '/in/stock.csv': No such file or directory", 1),
        ("tar: write error: No space left on device", 1),
        ("error: no rows in orders", 1),
        ('psql: error: connection to server at "db", port 5432 failed: Connection refused', 1),
    ):
        assert prints(*(sign(bash(words), task=task) for task in ("a.b", "a.c"))) == count, words


def test_last_words_that_are_no_error_count_with_the_task() -> None:
    assert prints(*(sign(bash("all rows read", code=3), task=task) for task in ("a.b", "a.c"))) == 2


def test_damaged_data_is_one_problem_whichever_byte_it_is() -> None:
    words = (
        "Error -3 while decompressing data: invalid block type",
        "Error -3 while decompressing data: incorrect data check",
    )
    crc = sign([failed(raised("BadGzipFile", "CRC check failed 0x1f != 0x2e"))])
    assert prints(crc, *(sign([failed(raised("error", one))]) for one in words)) == 1
    elsewhere = replace(USER, function="count")
    assert prints(crc, sign([failed(raised("error", words[0], elsewhere))])) == 2


def test_output_without_words_is_its_exit_code_and_the_task() -> None:
    assert sign(bash(code=3), task="a.b").title == "Exited with code 3"
    assert prints(sign(bash(code=3), task="a.b"), sign(bash(code=3), task="a.c"), sign(bash(code=4), task="a.b")) == 3


@pytest.mark.parametrize("code", [-9, 137])
def test_a_kill_in_delegated_work_goes_by_its_name(code: int) -> None:
    signature = sign(bash("step 1", code=code), task="a.b")
    assert signature.title == "Killed by SIGKILL (out of memory?)"
    assert signature.cause == "killed from outside"  # memory is a guess as long as nobody says so


def test_a_kill_of_the_task_itself_goes_by_its_signal() -> None:
    line = LogLine(3, "Process terminated by signal", "critical", "task", signal="SIGKILL")
    assert sign([line], task="a.b").title == "Killed by SIGKILL (out of memory?)"
    assert prints(sign([line], task="a.b"), sign([line], task="a.c")) == 2


def test_a_callback_that_fails_later_does_not_count() -> None:
    callback = LogLine(11, "Failed to run task callback", "error", "task", raised=(Raised("ConnectionError", "chat"),))
    assert sign([failed(raised("KeyError", "'a'")), callback]).exception == "KeyError"


def test_an_error_caught_and_logged_before_does_not_count() -> None:
    caught = LogLine(2, "cache is cold", "error", "app", raised=(Raised("OSError", "cache"),))
    assert sign([caught, failed(raised("KeyError", "'a'"))]).exception == "KeyError"


def test_an_earlier_try_in_the_same_file_does_not_count() -> None:
    start = LogLine(1, "::group::Pre Execute", "info", "task")
    lines = [
        start,
        failed(raised("OSError", "first")),
        replace(start, number=10),
        failed(raised("KeyError", "'a'"), number=12),
    ]
    assert sign(lines).exception == "KeyError"


def test_a_trigger_counts_by_what_it_raised_before_the_task_came_back() -> None:
    start = LogLine(1, "::group::Pre Execute", "info", "task")
    lines = [
        start,
        LogLine(2, "Pausing task as DEFERRED. ", "info", "task"),
        LogLine(
            3,
            "Trigger x exited with error",
            "error",
            "airflow.jobs",
            raised=(Raised("RuntimeError", "job is gone", (USER,)),),
        ),
        replace(start, number=4),
        failed(raised("TaskDeferralError", "Trigger failure", LIBRARY), number=5),
    ]
    assert sign(lines).title == "RuntimeError: job is gone in load()"


def test_time_outs_count_by_place_or_by_what_was_waited_for() -> None:
    over = sign([failed(raised("AirflowTaskTimeout", "Timeout, PID: 4711"))])
    assert over.title == "Execution time-out in load()"
    poke = LogLine(4, "Poking for file /in/a_20260102.csv", "info", "sensor")
    wait = failed(raised("AirflowSensorTimeout", "Sensor has timed out; run duration of 4.2 seconds", LIBRARY))
    late = replace(poke, text="Poking for file /in/a_20260103.csv")
    assert prints(sign([poke, wait]), sign([late, wait])) == 1
    assert prints(sign([poke, wait]), sign([replace(poke, text="Poking for file /in/b.csv"), wait])) == 2


@pytest.mark.parametrize("kind", list(CircumstanceKind))
def test_silence_is_what_airflow_knows_of_it_and_the_task(kind: CircumstanceKind) -> None:
    signature = sign([LogLine(1, "working")], Circumstance(kind), task="a.b")
    assert signature.cause == kind.value
    assert prints(signature, sign([LogLine(1, "other words")], Circumstance(kind), task="a.b")) == 1
    assert prints(signature, sign([LogLine(1, "working")], Circumstance(kind), task="a.c")) == 2


def test_no_log_is_a_class_of_its_own() -> None:
    signature = sign([], task="a.b", status=LogStatus.MISSING)
    assert (signature.title, signature.cause) == ("No usable log", "no usable log")
    assert prints(signature, sign([], task="a.c", status=LogStatus.MISSING)) == 2


def test_a_hand_marked_failure_keeps_the_real_one_when_the_log_holds_it() -> None:
    marked = Circumstance(CircumstanceKind.MARKED)
    assert sign([failed(raised("KeyError", "'a'"))], marked).exception == "KeyError"
    stopped = failed(raised("AirflowException", "Task received SIGTERM signal"))
    assert sign([stopped], marked, task="a.b").cause == "marked by hand"


def test_a_title_is_one_short_line_without_secrets() -> None:
    title = sign([failed(raised("ValueError", "postgresql://u:hunter2@db/x\x1b[31m\n" + "long " * 99))]).title
    assert len(title) <= 160
    assert title.isprintable()
    assert "hunter2" not in title


def test_explain_says_what_counted_and_why() -> None:
    text = explain(sign([failed(raised("RuntimeError", "x"), Raised("KeyError", "'a'", (USER,), is_cause=True))]))
    assert "The root of the chain counts: KeyError; passed over: RuntimeError." in text
    assert "Fingerprint: 1:" in text


@pytest.mark.parametrize(
    "prefix",
    ["[base] ", "[pod/etl-x7/job] ", "etl-1  | ", "etl-1  | [base] ", "shop_etl_1 | ", "2026-01-02T03:04:05.123456789Z stderr F ", "[2026-01-02 03:04:05] "],
)  # fmt: skip
def test_what_another_program_put_before_each_line_changes_nothing(prefix: str) -> None:
    trace = ["Traceback (most recent call last):", '  File "/jobs/x.py", line 3, in run', "    go()", "KeyError: 'sku'"]
    for output in (
        trace,
        ["jq: error (at <stdin>:0): Cannot iterate over null (null)"],
        ["Runtime Error", "  no profile x"],
    ):
        assert prints(sign(bash(*output)), sign(bash(*(prefix + text for text in output)))) == 1


def test_a_name_in_brackets_that_may_be_what_failed_stays_in_a_plain_line() -> None:
    assert prints(sign(bash("[orders] load failed")), sign(bash("[customers] load failed"))) == 2
    assert prints(sign(pod("load failed")), sign(bash("load failed"))) == 1


@pytest.mark.parametrize("level", ["[error] ", "[fatal] ", "[UNKNOWN_TABLE] "])
def test_a_level_or_an_error_class_in_brackets_is_no_prefix(level: str) -> None:
    assert sign(bash(f"{level}cannot read the table")).title.startswith(level.strip())


POD = "airflow.providers.cncf.kubernetes.utils.pod_manager.PodManager"


def pod(*output: str, name: str = "job-k3x9a1zz") -> list[LogLine]:
    texts = [f"Building pod {name} with labels: {{}}", f"Pod not yet started: {name}", *(f"[base] {text}" for text in output),
             f"Pod {name} has phase Running", f"Deleting pod: {name}"]  # fmt: skip
    end = raised("AirflowException", f"Pod {name} returned a failure.", LIBRARY)
    return [*(LogLine(i + 1, text, "info", POD) for i, text in enumerate(texts)), failed(end, number=len(texts) + 1)]


def test_a_pod_counts_by_its_output_and_not_by_what_its_manager_says() -> None:
    words = "parse error: Unfinished JSON term at EOF at line 2, column 0"
    assert prints(sign(pod(words)), sign(pod(words, name="job-0000qqqq")), sign(bash(words))) == 1
    assert sign(pod("step 1 of 3"), task="a.b").title == "A pod failed: step … of …"
    assert prints(sign(pod(), task="a.b"), sign(pod(name="job-0000qqqq"), task="a.b")) == 1


def test_a_pods_exit_code_alone_does_not_hide_its_output() -> None:
    lines = pod("parse error: Unfinished JSON term")
    end = raised(
        "AirflowException", "Pod x returned a failure.\nremote_pod: {'exit_code': 1, 'reason': 'Error'}", LIBRARY
    )
    assert sign([*lines[:-1], failed(end, number=99)]).title == "parse error: Unfinished JSON term"


def test_a_shell_that_says_how_its_child_died_is_believed_without_an_exit_code() -> None:
    words = "bash: line 2:   641 Segmentation fault      /srv/scorer 99"
    assert prints(sign(pod(words), task="a.b"), sign(bash(words, code=139), task="a.b")) == 1
    assert sign(pod(words), task="a.b").cause == "native crash"


def test_the_exit_code_that_only_the_log_names_counts() -> None:
    old = [LogLine(1, "Command exited with return code 7", "info", "bash_operator.py"), failed(raised("AirflowException", "Bash command failed"), number=2)]  # fmt: skip
    assert sign(old, task="a.b").title == "Exited with code 7"


@pytest.mark.parametrize(
    ("output", "title"),
    [
        (["Error in mean(x) : object 'x' not found", "Calls: fit -> mean", "Execution halted"], "Error in mean(x) : object 'x' not found"),
        (["Error in library(gg) :", "  there is no package called ‘gg’", "Execution halted"], "Error in library(gg) : there is no package called ‘gg’"),
        (["a.c:(.text+0xa): undefined reference to `f'", "collect2: error: ld returned 1 exit status"], "a.c:(.text+…): undefined reference to `f'"),
        (["gzip: stdin: unexpected end of file", "tar: Error is not recoverable: exiting now"], "gzip: stdin: unexpected end of file"),
        (["FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", " 1: 0xb78db3 node::OOMErrorHandler(char const*) [node]"],
         "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"),
        (["feed has no header at /srv/split.pl line 6.", "splitting 44 rows"], "feed has no header at split.pl line …."),
        (["thread 'main' panicked at src/main.rs:12:5:", "called `Option::unwrap()` on a `None` value", "note: run with 3"],
         "thread 'main' panicked at src/main.rs:…:…: called `Option::unwrap()` on a `None` value"),
        (["002003 (42S02): SQL compilation error:", "Object 'SHOP.ORDERS' does not exist or not authorized."], "… (42S02): SQL compilation error: Object 'SHOP.ORDERS' does not exist or not authorized."),
        (["ERROR at line 1:", "ORA-00942: table or view does not exist"], "ERROR at line …: ORA-00942: table or view does not exist"),
        (["terminate called after throwing an instance of 'std::out_of_range'", "  what():  map::at", "Aborted (core dumped)"],
         "terminate called after throwing an instance of 'std::out_of_range' what(): map::at"),
        (["10:00:00.123 [main] ERROR com.acme.Load - price list is empty", "10:00:00.124 [main] INFO com.acme.Load - the error is told above"],
         "ERROR com.acme.Load - price list is empty"),
        (["npm ERR! code ELIFECYCLE", "npm ERR! shop load: `node load.js`", "npm ERR! Exit status 1", "npm ERR!     /root/.npm/_logs/x.log"], "npm ERR! shop load: `node load.js`"),
        (["bash: line 3: DAY: unbound variable", "done with 3"], "bash: line …: DAY: unbound variable"),
        (["make: *** No rule to make target 'a.tex', needed by 'a.pdf'.  Stop.", "1 file left"], "make: *** No rule to make target 'a.tex', needed by 'a.pdf'. Stop."),
        (["NameError          Traceback (most recent call last)", "Cell In[4], line 1", "----> 1 sum(m)", "", "NameError: name 'm' is not defined"],
         "NameError: name 'm' is not defined"),
        (["Traceback (most recent call last):", '  File "/j/w.py", line 3, in convert', "worker 2: page 6 ok", "    float(x)", "worker 1: page 7 ok", "ValueError: no weight"],
         "ValueError: no weight in convert()"),
    ],
)  # fmt: skip
def test_the_line_that_says_what_failed_is_taken_and_not_what_follows(output: list[str], title: str) -> None:
    assert sign(bash(*output)).title == title


def test_a_trace_of_node_or_go_counts_with_the_programs_own_place() -> None:
    node = [
        "TypeError: Cannot read properties of undefined (reading 'map')",
        "    at {} (/app/load.js:3:7)",
        "    at Module._compile (node:internal/modules/cjs/loader:1105:14)",
    ]
    go = ["panic: runtime error: invalid memory address or nil pointer dereference", "[signal SIGSEGV: segmentation violation code=0x1]", "", "goroutine 1 [running]:",
          "main.{}(0x0)", "\t/app/main.go:7 +0x1d", "exit status 2"]  # fmt: skip
    for lines in (node, go):
        one, moved, other = (
            sign(bash(*(text.replace("{}", name).replace(":7", line) for text in lines)))
            for name, line in (("rows", ":7"), ("rows", ":9"), ("columns", ":7"))
        )
        assert prints(one, moved) == 1
        assert prints(one, other) == 2
        assert one.title.endswith("rows()")
        assert one.cause == "code error"


def test_a_line_that_a_program_wrote_as_json_counts_by_what_it_says() -> None:
    line = '{"level":"fatal","time":"2026-11-25T10:00:0%sZ","error":"no rows for partner %s","message":"cannot load"}'
    harmless = '{"level":30,"msg":"no error so far","time":1}'
    first, second, other = (
        sign(bash(line % pair, harmless)) for pair in (("1", "north"), ("2", "north"), ("1", "south"))
    )
    assert prints(first, second) == 1
    assert prints(first, other) == 2
    assert first.title == "FATAL: cannot load: no rows for partner north"


def test_pytest_counts_by_the_tests_that_failed_and_the_kind_of_their_errors() -> None:
    def run(*failed_tests: str, counts: str = "1 failed, 1 passed in 0.03s") -> Signature:
        return sign(bash("F.", *(f"FAILED {one}" for one in failed_tests), counts))

    total = run("checks/test_a.py::test_total - assert 88.25 == 80.0")
    assert (
        prints(total, run("checks/test_a.py::test_total - AssertionError: assert 3 == 4", counts="1 failed in 9s")) == 1
    )
    assert prints(total, run("checks/test_a.py::test_stock - assert 1 == 0")) == 2
    assert prints(total, run("checks/test_a.py::test_total - ConnectionError: no db")) == 2
    one, other = (run(f"checks/test_a.py::test_rows[{table}] - assert 0 > 0") for table in ("orders", "stock items"))
    assert prints(one, other) == 2
    assert total.title == "FAILED checks/test_a.py::test_total: AssertionError"


def test_a_comprehension_counts_as_the_function_around_it_as_since_python_3_12() -> None:
    inner = replace(USER, function="<dictcomp>", line=13)
    assert (
        prints(sign([failed(raised("KeyError", "'a'", USER, inner))]), sign([failed(raised("KeyError", "'a'", USER))]))
        == 1
    )


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("AirflowRuntimeError", "VARIABLE_NOT_FOUND: {'message': 'Variable bucket not found'}"),
        ("AirflowRuntimeError", "VARIABLE_NOT_FOUND: {'key': 'bucket'}"),
        ("KeyError", "'Variable bucket does not exist'"),
    ],
)
def test_a_missing_variable_counts_by_its_name_in_every_airflow(kind: str, words: str) -> None:
    one = sign([failed(raised(kind, words))])
    assert prints(one, sign([failed(raised("KeyError", "'Variable bucket does not exist'"))])) == 1
    assert prints(one, sign([failed(raised(kind, words.replace("bucket", "basket")))])) == 2
    assert one.cause == "variable or connection missing"


def test_pydantic_counts_by_field_and_kind_of_error() -> None:
    words = "1 validation error for Order\n{}\n  Field required [type=missing, input_value={{'id': 88}}, input_type=dict]\n    For further information visit https://errors.pydantic.dev/2.11/v/missing"
    amount = sign([failed(raised("ValidationError", words.format("amount")))])
    assert prints(amount, sign([failed(raised("ValidationError", words.format("amount").replace("88", "91")))])) == 1
    assert prints(amount, sign([failed(raised("ValidationError", words.format("currency")))])) == 2
    assert "amount (missing)" in amount.title


def test_a_certificate_counts_by_its_host_on_every_build_of_python() -> None:
    words = "HTTPSConnectionPool(host='{}', port=443): Max retries exceeded (Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:{})')))"
    first, second = (sign([failed(raised("SSLError", words.format("vault", line)))]) for line in (1000, 1006))
    assert prints(first, second) == 1
    assert prints(first, sign([failed(raised("SSLError", words.format("ledger", 1000)))])) == 2


@pytest.mark.parametrize(
    ("words", "other"),
    [
        ("curl: (22) The requested URL returned error: 403", "curl: (22) The requested URL returned error: 500"),
        ("ERROR 404: Not Found.", "ERROR 410: Gone."),
        ("ssh: connect to host a.internal port 22: Connection refused", "ssh: connect to host b.internal port 22: Connection refused"),
        ("Cannot connect to host a.internal:91 ssl:default [Connect call failed]", "Cannot connect to host b.internal:91 ssl:default [Connect call failed]"),
    ],
)  # fmt: skip
def test_the_status_and_the_host_tell_two_failures_apart(words: str, other: str) -> None:
    assert prints(sign(bash(words)), sign(bash(other))) == 2


@pytest.mark.parametrize("kind", ["sort", "cc", "tmp."])
def test_the_random_name_of_a_temporary_file_changes_nothing(kind: str) -> None:
    words = f"sort: write failed: /srv/spool/{kind}{{}}: No space left on device"
    assert prints(*(sign(bash(words.format(name))) for name in ("A2LL8G", "turyVS", "DDfCrm"))) == 1
    assert "loadreport" in mask("cannot open /srv/loadreport")


def test_a_sensor_counts_by_what_it_pokes_for() -> None:
    wait = failed(raised("AirflowSensorTimeout", "Sensor has timed out; run duration of 4.2 seconds", LIBRARY))
    report, rows = (LogLine(4, f"Poking: {what}", "info", "sensor") for what in ("v2/report", "select 1 from rows"))
    assert prints(sign([report, wait]), sign([rows, wait])) == 2
    assert prints(sign([report, wait], task="a.b"), sign([report, wait], task="a.c")) == 2  # of which service?


def test_the_rest_of_a_message_counts_in_a_log_whose_head_is_cut() -> None:
    text = b"""    return run()
  File "/dags/sessions.py", line 43, in call
    channel.get()
grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:
	status = StatusCode.UNAVAILABLE
	details = "failed to connect"
>
[2026-10-03T04:10:01.000+0000] {local_task_job_runner.py:266} INFO - Task exited with return code 1
"""
    head = b'[2026-10-03T04:10:00.000+0000] {taskinstance.py:1} ERROR - Task failed with exception\nTraceback (most recent call last):\n  File "/dags/sessions.py", line 40, in before\n'
    assert prints(sign_text(text), sign_text(head + text)) == 1


def test_the_torn_beginning_of_the_next_record_is_no_part_of_the_message() -> None:
    one = sign([failed(raised("NoBrokersAvailable", "NoBrokersAvailable"))])
    assert (
        prints(
            one,
            sign([failed(raised("NoBrokersAvailable", "NoBrokersAvailable\n[2026-10-03, 04:10:00 UTC] {taskinst"))]),
        )
        == 1
    )


def test_the_same_on_any_hash_seed() -> None:
    script = (
        "import json,sys; from triage.signature import sign_text; s=sign_text(sys.stdin.buffer.read(), task='a.b');"
        "print(json.dumps([s.fingerprint, s.title, s.decisions]))"
    )
    data = json.dumps(
        {"event": "dbt said Database Error in model a; error: b; token=1", "level": "error", "logger": "x"}
    ).encode()
    runs = {
        subprocess.run(
            [sys.executable, "-c", script],
            input=data,
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(runs) == 1


_WORDS = st.sampled_from(
    ["Traceback (most recent call last):", '  File "/dags/a.py", line 3, in f', "ValueError: bad 17", "error: it broke",
     "KeyError: 'x'", "curl: (6) Could not resolve host: a.example", "ok", "::group::Pre Execute", "Output:", "",
     "Command exited with return code 2", "Database Error in model m (m.sql)", "  column q does not exist", "Caused by: a.b.CException: z",
     "\tat a.b.C(D.java:1)", "Task exited", "Pausing task as DEFERRED. ", "Starting attempt 1 of 2", "password=hunter2 failed",
     "The above exception was the direct cause of the following exception:", "Failed to execute job 7 for task t (exit code 1; 12)"]
)  # fmt: skip
_RAISED = st.recursive(
    st.builds(Raised, st.sampled_from(["KeyError", "OSError", "AirflowException", "TaskDeferralError", ""]), st.text(max_size=20),
              st.just((USER,)) | st.just(()), is_cause=st.booleans()),
    lambda inner: st.builds(Raised, st.just("ExceptionGroup"), st.text(max_size=5), parts=st.lists(st.lists(inner, max_size=2).map(tuple), max_size=2).map(tuple)),
    max_leaves=4,
)  # fmt: skip
_LINES = st.lists(
    st.builds(
        LogLine, st.just(0), _WORDS | st.text(max_size=30), st.sampled_from(["info", "error", None]),
        st.sampled_from(["task", "app", "subprocess.py", None]), raised=st.lists(_RAISED, max_size=2).map(tuple),
        exit_code=st.sampled_from([None, None, None, 0, 3, -9]), signal=st.sampled_from([None, None, None, "SIGKILL"]),
    ),
    max_size=25,
).map(lambda lines: [replace(line, number=i + 1) for i, line in enumerate(lines)])  # fmt: skip


@given(_LINES, st.sampled_from([None, *CircumstanceKind]), st.sampled_from(list(LogStatus)))
def test_signing_never_raises_and_always_names_a_class(
    lines: list[LogLine], kind: CircumstanceKind | None, known: LogStatus
) -> None:
    signature = sign(lines, Circumstance(kind) if kind else None, task="a.b", status=known)
    assert signature.cause in CAUSES
    assert signature.title
    assert len(signature.title) <= 160
    assert explain(signature)


@given(st.binary(max_size=300) | st.lists(_WORDS, max_size=20).map(lambda words: "\n".join(words).encode()))
def test_any_bytes_are_signed(data: bytes) -> None:
    assert sign_text(data, task="a.b").fingerprint


@settings(max_examples=40, deadline=None)
@given(_LINES, st.lists(st.integers(0, 25), max_size=3))
def test_signing_what_was_kept_gives_what_signing_the_whole_gives(lines: list[LogLine], places: list[int]) -> None:
    padding = [LogLine(0, f"stored row {i} " + "x" * 100, "info", "app") for i in range(900)]
    mixed: list[LogLine] = []
    for i, line in enumerate(lines):
        mixed += [*padding * places.count(i), line]
    numbered = [replace(line, number=i + 1) for i, line in enumerate(mixed)]
    small, large = (logs.keep(iter(numbered), limit) for limit in (logs.LIMIT, 1 << 30))
    assert sign(small.lines, task="a.b").fingerprint == sign(large.lines, task="a.b").fingerprint


_SECRET = st.sampled_from(
    ["password: |", "  hunter2 failed", "-----BEGIN RSA PRIVATE KEY-----", "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfnQ", "-----END RSA PRIVATE KEY-----",
     "token=abc no such file", "make: *** No rule to make target", '{"msg": "\\u0065rror of password=abc1", "level": "error"}',
     "[2026-10-03T04:10:00.000+0000] {a.py:1} ERROR - api_key=failed1 it broke", "[2026-10-03T04:10:00.000+0000] {b.py:1} INFO - ok",
     '{"event": "error: token=abc12", "level": "error", "logger": "app"}']
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(_WORDS | _SECRET, max_size=40))
def test_any_text_is_signed_as_it_would_be_once_kept(texts: list[str]) -> None:
    data = "\n".join(texts).encode()
    kept = logs.keep(logs.read([data]))
    assert sign_text(data, task="a.b") == sign(kept.lines, task="a.b", absence=kept.absence)


def test_a_log_is_signed_as_it_would_be_once_kept() -> None:
    secret = b"\nconnecting with password=failed-hunter2 to postgresql://etl:error42@db/x\n"
    cases = sorted((Path(__file__).parent / "corpus").glob("*/*.log"))
    assert len(cases) > 40
    for data in (data for case in cases for data in (case.read_bytes(), case.read_bytes() + secret)):
        kept = logs.keep(logs.read([data]))
        assert sign_text(data, task="a.b") == sign(kept.lines, task="a.b", absence=kept.absence)


def test_what_is_remembered_of_texts_is_bounded() -> None:
    asked: list[str] = []

    @remembered(answers=3, longest=5)
    def size(text: str) -> int:
        asked.append(text)
        return len(text)

    assert [size(text) for text in ("a", "bb", "a", "too long", "too long")] == [1, 2, 1, 8, 8]
    assert asked == ["a", "bb", "too long", "too long"]
    assert [size(text) for text in ("ccc", "dddd", "a")] == [3, 4, 1]
    assert asked[4:] == ["ccc", "dddd"]
    assert size("bb") == 2
    assert asked[6:] == ["bb"]


@pytest.mark.parametrize("hinted", [passages._NOISE, DELEGATED], ids=["noise", "delegated"])
def test_a_pattern_with_hints_finds_what_it_finds_without_them(hinted: Hinted) -> None:
    texts = hostile.pieces(hinted.pattern, samples=400)
    assert [bool(hinted.search(text)) for text in texts] == [bool(hinted.pattern.search(text)) for text in texts]
    assert all(any(hint in text.lower() for text in texts) for hint in hinted.hints)
    assert hinted.search("all rows were loaded") is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[Errno 111] connect to localhost:9000 failed", "localhost:9000"),
        ("Connecting to kafka-1:9092 failed", "kafka-1:9092"),
        ("cannot connect to tcp:10.0.0.7:2375", "10.0.0.7:2375"),
        ('Could not connect to the endpoint URL: "http://minio:9000/raw"', "minio:9000"),
        ("connecting to jdbc:db-prod:5432", "db-prod:5432"),
        ("connection to ldap:directory.example failed", "directory.example"),
    ],
)
def test_a_host_before_its_port_is_no_scheme(text: str, named: str) -> None:
    assert endpoint(text) == named


def test_a_report_of_pytest_too_long_to_be_read_is_a_line_like_others() -> None:
    found = sign(bash("FAILED tests/test_a.py::test_b - " + "x" * 1100))
    assert found.title.startswith("FAILED tests/")
    assert found.evidence


def test_the_evidence_of_a_long_traceback_holds_its_error() -> None:
    frames = [
        part for at in range(12) for part in (f'  File "/dags/a.py", line {at + 1}, in f{at}', f"    f{at + 1}()")
    ]
    found = sign([LogLine(at + 1, text) for at, text in enumerate([*frames, "ValueError: no rows in sales"])])
    assert len(found.evidence) == 12
    assert (found.evidence[0].number, found.evidence[-1].text) == (1, "ValueError: no rows in sales")
