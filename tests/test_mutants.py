"""What no other test of the signature noticed when a rule was changed (`python -m tests.bench mutations`)."""

from __future__ import annotations

import pytest

from tests.test_signature import bash, failed, prints, raised
from tests.test_silence import MISMATCH, stated
from triage.causes import classify
from triage.model import CircumstanceKind, Frame, LogLine
from triage.signature import sign
from triage.signature.masks import MASKS, MAX_TEXT, Mask, mask
from triage.signature.output import DELEGATED, exit_code, killed, pod
from triage.signature.root import endpoint

# Written down again: a test that took the list of the rule would not notice a name missing there.
OF_CODE = [
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "BadGzipFile",
    "BaseException",
    "BufferError",
    "EOFError",
    "Exception",
    "FloatingPointError",
    "IndexError",
    "InvalidOperation",
    "JSONDecodeError",
    "KeyError",
    "LookupError",
    "NameError",
    "NotImplementedError",
    "OverflowError",
    "RecursionError",
    "ReferenceError",
    "RuntimeError",
    "StopAsyncIteration",
    "StopIteration",
    "SystemError",
    "TypeError",
    "UnboundLocalError",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "UnicodeError",
    "ValueError",
    "ZeroDivisionError",
]


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("Process exited abnormally with exit code 7", "Exited with code 7"),
        ("Process exited abnormally\nafter its second line", "Process exited abnormally"),
    ],
)
def test_a_process_that_ended_without_a_code_of_its_own_counts_by_its_first_line(words: str, title: str) -> None:
    assert sign([LogLine(1, "working", "info", "app"), LogLine(2, words, "error", "task")]).title == title


def test_a_validation_error_whose_fields_are_lost_counts_by_its_first_line() -> None:
    lost = raised("ValidationError", "1 validation error for Order\nthe rest is cut")
    assert sign([failed(lost)]).title == "ValidationError: … validation error for Order in load()"


def test_words_that_begin_and_end_alike_without_quotes_are_kept_whole() -> None:
    assert sign([failed(raised("KeyError", "axis of data"))]).title == "KeyError: axis of data in load()"


def test_the_second_line_of_a_message_counts_where_the_first_only_announces_it() -> None:
    assert (
        sign([failed(raised("OSError", "Failed:\nno rows in orders"))]).title
        == "OSError: Failed: no rows in orders in load()"
    )


@pytest.mark.parametrize(
    "what",
    ["job", "run", "step", "application", "statement", "query", "build", "command", "pipeline", "notebook", "workflow", "model"],
)  # fmt: skip
@pytest.mark.parametrize("end", ["failed", "failure", "terminated", "did not succeed", "was unsuccessful"])
def test_what_only_says_that_other_work_failed_is_known_by_the_work_and_its_end(what: str, end: str) -> None:
    assert DELEGATED.search(f"The {what} number 7 {end}.")


@pytest.mark.parametrize(
    "program",
    ["subprocess", "spark", "pod", "docker", "ssh", "bash", "dbt", "databricks", "emr", "ecs", "batch", "glue", "beam",
     "papermill", "livy"],
)  # fmt: skip
def test_a_programs_own_output_counts_before_what_others_logged_later(program: str) -> None:
    lines = [
        LogLine(1, "error: no rows in orders", "info", f"airflow.providers.hooks.{program}_hook"),
        LogLine(2, "error: the metrics are late", "info", "metrics"),
        failed(raised("AirflowException", "The job failed with exit code 3."), number=3),
    ]
    assert sign(lines).title == "error: no rows in orders"


@pytest.mark.parametrize("verb", ["Poking", "Checking", "Waiting"])
@pytest.mark.parametrize("word", ["for", "callable", "until", "on"])
def test_a_sensor_counts_by_the_line_in_which_it_says_what_it_waits_for(verb: str, word: str) -> None:
    lines = [
        LogLine(1, f"{verb} still {word} orders_ready", "info", "app"),
        LogLine(2, "nothing yet", "info", "app"),
        failed(raised("AirflowSensorTimeout", "Sensor has timed out"), number=3),
    ]
    assert sign(lines).title == f"Sensor timed out: {verb} still {word} orders_ready"


@pytest.mark.parametrize(
    ("cause", "kind", "words"),
    [
        ("disk full", "OSError", "no space left on device"),
        ("out of memory", "CacheError", "cannot allocate memory"),
        ("missing module", "LoadError", "no module named here"),
        ("missing command", "ShellError", "the command not found"),
        ("rate limit", "CallError", "too many requests today"),
        ("template", "TemplateSyntaxError", "expected token of block got integer"),
    ],
)
def test_what_strikes_a_whole_machine_counts_without_its_place(cause: str, kind: str, words: str) -> None:
    places = (Frame("/opt/airflow/dags/shop.py", 12, "load"), Frame("/opt/airflow/dags/bank.py", 7, "add"))
    signed = [sign([failed(raised(kind, words, place))]) for place in places]
    assert prints(*signed) == 1
    assert {one.cause for one in signed} == {cause}


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("out of memory", "OOMKilled"),
        ("killed from outside", "the worker got SIGKILL"),
        ("pod not started", "ImagePullBackOff of the pod"),
        ("disk full", "no space left on device"),
        ("DAG import", "failed to import the file"),
        ("missing module", "no module named shapely"),
        ("missing command", "airflow: command not found"),
        ("permission", "pods is forbidden"),
        ("credentials", "authentication failed for the registry"),
        ("DNS", "name or service not known"),
        ("connection refused", "connection refused by the broker"),
        ("TLS", "certificate of the broker is not valid"),
        ("rate limit", "too many requests to the API"),
        ("service error", "internal server error of the API"),
        ("service time-out", "the broker timed out"),
        ("bad request", "bad request to the API"),
    ],
)
def test_an_executors_own_words_name_the_cause(cause: str, words: str) -> None:
    said = f"{MISMATCH.format('failed', 'queued')} Extra info: {words}"
    signature = stated(CircumstanceKind.STATE_MISMATCH, said)
    assert classify(None, words) == cause
    assert signature.cause == cause
    assert signature.key[:2] == ("state mismatch", cause)


@pytest.mark.parametrize("kind", OF_CODE)
def test_an_exception_of_the_language_counts_with_its_place_whatever_it_says(kind: str) -> None:
    places = (Frame("/opt/airflow/dags/shop.py", 12, "load"), Frame("/opt/airflow/dags/bank.py", 7, "add"))
    words = "the call of 'orders' timed out today"
    assert prints(*(sign([failed(raised(kind, words, place))]) for place in places)) == 2


def test_a_bare_error_of_the_language_counts_before_the_words_of_what_it_became() -> None:
    chain = (raised("LoadError", "loading the orders of today failed"), raised("KeyError", "0"))
    assert sign([failed(*chain)]).title == "KeyError: … in load()"


def test_a_place_that_has_no_function_is_shown_by_its_file() -> None:
    at_module = Frame("/opt/airflow/dags/shop.py", 12, "<module>")
    assert sign([failed(raised("KeyError", "'sku'", at_module))]).title == "KeyError: 'sku' in shop.py"


def test_an_exception_of_java_without_a_place_is_shown_by_its_words() -> None:
    assert (
        sign(bash("Caused by: com.shop.OrderException: no rows in orders today")).title
        == "OrderException: no rows in orders today"
    )


def test_an_exception_of_java_is_shown_with_its_place() -> None:
    output = [
        "Caused by: com.shop.OrderException: no rows in orders today",
        "\tat com.shop.Orders.load(Orders.java:12)",
    ]
    assert sign(bash(*output)).title == "OrderException: no rows in orders today in Orders.load()"


@pytest.mark.parametrize(
    ("words", "thing"),
    [
        ("The conn_id `shop_db` isn't defined", "connection shop_db"),
        ("Variable shop_day does not exist", "variable shop_day"),
        ("VARIABLE_NOT_FOUND: {'key': 'shop_day'}", "variable shop_day"),
        ("CONNECTION_NOT_FOUND: {'conn_id': 'shop_db'}", "connection shop_db"),
    ],
)
def test_what_is_not_configured_is_named_in_each_form(words: str, thing: str) -> None:
    assert (
        sign([failed(raised("AirflowNotFoundException", words))]).title
        == f"AirflowNotFoundException: {thing} does not exist"
    )


def test_the_first_passage_counts_too_where_many_follow_it() -> None:
    trace = ["Traceback (most recent call last):", '  File "/jobs/x.py", line 3, in run', "KeyError: 'sku'"]
    later = [f"error: row {number} of orders is late" for number in range(40)]
    assert sign(bash(*trace, "next", *later)).title == "KeyError: 'sku' in run()"


@pytest.mark.parametrize(
    "one", [one for one in MASKS if one.name not in ("mail address", "IP address")], ids=lambda one: one.name
)
def test_a_title_shows_what_was_masked_as_an_ellipsis(one: Mask) -> None:
    assert "<" not in sign([LogLine(1, f"error: {one.before}", "info", "app")]).title.replace("<pool.Conn>", "")


@pytest.mark.parametrize("name", ["n", "id", "hex", "uuid", "time", "addr", "value", "path", "run"])
def test_a_title_shows_every_mark_as_an_ellipsis(name: str) -> None:
    assert (
        sign([LogLine(1, f"error: no rows in <{name}> of orders", "info", "app")]).title
        == "error: no rows in … of orders"
    )


def test_no_more_of_a_text_is_looked_at_than_the_bound() -> None:
    assert mask("x" * 2000) == "x" * 1600 == "x" * MAX_TEXT


@pytest.mark.parametrize(
    ("code", "signal"),
    [(-9, "SIGKILL"), (137, "SIGKILL"), (143, "SIGTERM"), (134, "SIGABRT"), (139, "SIGSEGV"), (132, "SIGILL"), (135, "SIGBUS"),
     (136, "SIGFPE"), (128, ""), (234, ""), (3, "")],
)  # fmt: skip
def test_an_exit_code_stands_for_the_signal_that_the_shell_made_it_of(code: int, signal: str) -> None:
    assert killed(code) == signal


@pytest.mark.parametrize("words", ["exit code 7", "exited with status 7", "return code: 7", "Error code is: 7"])
def test_an_exit_code_is_read_in_each_form(words: str) -> None:
    assert exit_code(f"It ended, {words}") == 7


@pytest.mark.parametrize("dull", ["Error", "Completed", "None", "ContainersNotReady", "PodCompleted"])
def test_a_reason_of_a_pod_that_says_nothing_is_none(dull: str) -> None:
    assert pod(f"{{'reason': '{dull}', 'exit_code': 137}}") is None
    assert pod(f"{{'reason': '{dull}'}} {{'reason': 'Evicted'}}").title == "Pod failed: reason Evicted"  # type: ignore[union-attr]


@pytest.mark.parametrize("library", ["com.sun.net.Http", "sun.nio.Channel", "java.net.Socket", "kotlin.io.Files"])
def test_the_place_of_an_exception_of_java_is_in_the_programs_own_code(library: str) -> None:
    output = [
        "Caused by: com.shop.OrderException: too late",
        f"\tat {library}.open(A.java:1)",
        "\tat com.shop.Orders.load(B.java:2)",
    ]
    assert sign(bash(*output)).title == "OrderException: too late in Orders.load()"


def test_a_failed_test_whose_error_nobody_knows_is_of_the_datas_quality() -> None:
    assert sign(bash("FAILED tests/test_rows.py::test_sum - assert 3 == 4")).cause == "data quality"


def test_the_host_that_an_outer_exception_names_stands_behind_a_title_without_it() -> None:
    outer = raised("OperationalError", "connect to shop-db:5432 did not work out today")
    signature = sign([failed(outer, raised("ConnectionRefusedError", "[Errno 111] Connection refused"))])
    assert signature.key == ("connection refused", "shop-db:5432")
    assert signature.title == "ConnectionRefusedError: [Errno 111] Connection refused (shop-db:5432)"


def test_a_name_that_is_not_known_counts_by_its_host() -> None:
    words = "lookup failed for shop.example.com: Name or service not known"
    assert sign([failed(raised("LookupFailed", words))]).key == ("DNS", "shop.example.com")


def test_an_address_of_ipv6_is_an_endpoint() -> None:
    assert endpoint("cannot connect to [fe80:1]:5432") == "[fe80:1]:5432"


def test_a_key_of_several_words_is_shown_without_its_quotes() -> None:
    assert sign([failed(raised("KeyError", "'axis of data'"))]).title == "KeyError: axis of data in load()"


def test_what_counts_of_a_programs_output_is_said_first_and_shown_by_three_lines() -> None:
    signature = sign(bash("psql: error: no 17 orders for 'today'", *(f"  DETAIL {word}" for word in "abcde")))
    assert signature.decisions[0].startswith("The program's own output counts: ")
    assert "Masked: number." in signature.decisions[1:]
    assert [one.text for one in signature.evidence[:3]] == [
        "psql: error: no 17 orders for 'today'",
        "DETAIL a",
        "DETAIL b",
    ]
    assert len(signature.evidence) == 4
