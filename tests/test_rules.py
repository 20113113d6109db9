"""People's own rules: each does what its example says, says so, and a bad one is refused by the name of its setting."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.reading import Reader
from collector.source import Source
from tests.render_docs import JUDGED
from tests.test_cli import run
from triage import logs, signature
from triage.editions import SIGNERS
from triage.errors import SettingsError
from triage.model import Circumstance, CircumstanceKind, LogLine, LogStatus, Occurrence, Raised, Signature, TaskTry
from triage.settings import Settings, load
from triage.signature import VERSION, explain, ignored, sign, sign_text
from triage.signature import rules as rules_
from triage.signature.example import Example
from triage.signature.rules import NONE, Rules, made

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ORDERS = "tenant=acme\nerror: no rows in orders"
REFUSED = {
    ("cause", "("): ("grouping.one.cause", "no regular expression"),
    ("cause", "a*"): ("grouping.one.cause", "would catch everything"),
    ("group", "."): ("grouping.one", "would catch everything"),
    ("ignore", r"\w+"): ("grouping.one", "would catch everything"),
    ("ignore_frames", "(a+)+$"): ("grouping.one.ignore_frames", "very long on a hostile log"),
    ("task", r".*\.load"): ("grouping.one.task", "very long on a hostile log"),
    ("cause", "x" * 1001): ("grouping.one.cause", "longer than 1000"),
    ("separate", "tenant"): ("grouping.one", "has no group"),
    ("title", "No verb"): ("grouping.one", "says nothing to do"),
    ("casue", "x"): ("grouping.one.casue", "Did you mean 'cause'"),
}


def rules(*own: Mapping[str, str]) -> Rules:
    return Rules(tuple(made(f"rule{number}", one) for number, one in enumerate(own)))


def signed(text: str, *own: Mapping[str, str], task: str = "shop.load") -> Signature:
    return sign_text(text.encode(), task=task, rules=rules(*own))


def settings(toml: str, folder: Path) -> Settings:
    file = folder / "airtriage.toml"
    file.write_text(toml, "utf-8")
    return load(str(file), {})


def problems(example: Example, own: Rules = NONE) -> tuple[str, ...]:
    made = [sign_text(log.encode(), example.circumstance, task="shop.load", rules=own) for log in example.logs]
    return tuple({signature.fingerprint: signature.title for signature in made}.values())


@pytest.mark.parametrize("example", [*rules_.EXAMPLES, *ignored.EXAMPLES], ids=lambda one: next(iter(one.own)))
def test_each_rule_does_what_its_example_says_and_says_so(example: Example) -> None:
    assert problems(example) == example.before
    own = rules(example.own)
    assert problems(example, own) == example.after
    assert "Your rule rule0 " in explain(sign_text(example.logs[0].encode(), task="shop.load", rules=own))


@pytest.mark.parametrize(
    "example", [one for told in JUDGED.values() for one in told], ids=lambda one: one.rule.__name__
)
def test_each_rule_of_judgement_does_what_its_example_says(example: Example) -> None:
    assert problems(example) == example.after
    assert example.says.endswith(".")


def test_every_judge_has_an_example_in_the_order_of_judgement() -> None:
    told = [one.rule for one in signature.EXAMPLES if one.rule in signature.JUDGES]
    assert told == list(signature.JUDGES)


def test_every_kind_of_rule_has_an_example() -> None:
    told = {next(iter(one.own)) for one in (*rules_.EXAMPLES, *ignored.EXAMPLES)}
    assert told == set(rules_.VERBS)


@pytest.mark.parametrize(("field", "text"), REFUSED)
def test_a_bad_rule_is_refused_in_one_sentence_that_names_its_setting(field: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(f"[grouping.one]\n{field} = {json.dumps(text)}", tmp_path)
    where, why = REFUSED[field, text]
    assert f" {where} " in str(caught.value).replace(f"setting {where}", f"setting {where} ")
    assert why in f"{caught.value} {caught.value.fix}"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"ignore": "noise"}, "cause and ignore exclude each other"),
        ({"kind": "weather"}, "none of the causes"),
    ],
)
def test_settings_of_a_rule_that_do_not_fit_are_refused(more: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        made("one", {"cause": "quota", **more})
    with pytest.raises(ValueError, match="no title"):
        made("one", {"ignore": "noise", "title": "Never"})


def test_a_bad_rule_ends_the_command_with_2_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "airtriage.toml").write_text('[grouping.one]\ncause = "("')
    done = run(tmp_path, "sign", "-", stdin=ORDERS.encode())
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b"grouping.one.cause" in done.stderr


def test_a_rule_may_catch_everything_of_a_task_and_nothing_of_another() -> None:
    own = {"group": ".", "task": r"^canary\.", "title": "The canary"}
    assert signed(ORDERS, own, task="canary.load").title == "The canary"
    assert signed(ORDERS, own, task="shop.load").title == "error: no rows in orders"
    with pytest.raises(ValueError, match="would catch everything"):
        made("one", {"group": ".", "task": "."})


def test_what_the_pattern_of_tasks_captures_tells_apart() -> None:
    own = {"separate": "no rows", "task": r"^(\w{1,40})\."}
    made = {signed(ORDERS, own, task=task).fingerprint for task in ("shop.load", "shop.other", "bank.load")}
    assert len(made) == 2


def test_a_fingerprint_names_the_rules_it_was_made_with_and_stays_as_it_was_without() -> None:
    with_rules, without = signed(ORDERS, {"ignore": "never there"}), signed(ORDERS)
    assert without.fingerprint.startswith(f"{VERSION}:")
    digest = rules({"ignore": "never there"}).digest
    assert len(digest) == 8
    assert with_rules.fingerprint == without.fingerprint.replace(f"{VERSION}:", f"{VERSION}.{digest}:")
    assert len({NONE.digest, digest, rules({"ignore": "not there"}).digest}) == 3


def test_rules_that_find_nothing_change_nothing_but_the_edition() -> None:
    own = rules(*({verb: "never (seen)"} for verb in rules_.VERBS))
    cases = sorted((Path(__file__).parent / "corpus").glob("*/*.log"))[::7]
    assert len(cases) > 50
    for case in cases:
        plain, by_rules = sign_text(case.read_bytes(), task="a.b"), sign_text(case.read_bytes(), task="a.b", rules=own)
        assert by_rules.fingerprint.partition(":")[2] == plain.fingerprint.partition(":")[2], case
        assert (by_rules.title, by_rules.evidence, by_rules.decisions) == (plain.title, plain.evidence, plain.decisions)


def test_the_rules_of_the_settings_stand_in_their_order(tmp_path: Path) -> None:
    made = settings('[grouping.b]\nignore = "x{2}"\n[grouping.a]\ncause = "quota"\nkind = "rate limit"', tmp_path)
    assert [(one.name, one.verb, one.kind) for one in made.rules.all] == [
        ("b", "ignore", ""),
        ("a", "cause", "rate limit"),
    ]
    assert made.rules.digest == made.rules.digest != ""
    from_environment = load(environ={"AIRTRIAGE_GROUPING__NOISE__IGNORE": "noise"})
    assert [one.name for one in from_environment.rules.all] == ["noise"]


def test_a_rule_without_a_name_is_told_to_have_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"grouping is wrong .* cause is no table .* \[grouping.NAME\]"):
        settings('[grouping]\ncause = "quota"', tmp_path)


def test_an_exception_inside_a_group_is_read_too() -> None:
    parts = ((Raised("ValueError", "no rows"),), (Raised("QuotaError", "quota of acme"),))
    line = LogLine(
        1, "Task failed with exception", "error", "task", raised=(Raised("ExceptionGroup", "many", parts=parts),)
    )
    assert sign([line], task="a.b", rules=rules({"cause": "quota of acme"})).title == "QuotaError: quota of acme"
    named = explain(sign([line], task="a.b", rules=rules({"ignore": "^ValueError: "})))
    assert "Your rule rule0 passed over ValueError in line 1." in named


def test_what_was_passed_over_is_counted_once_each() -> None:
    log = "\n".join(["error: noise"] * 5 + ["error: real"])
    assert "line 1, line 2, line 3 and 2 more" in explain(signed(log, {"ignore": "noise"}))


def test_a_bad_name_of_a_rule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no good name for a rule"):
        settings('[grouping."Two words"]\nignore = "x{2}"', tmp_path)


def test_a_cause_wins_over_the_exception_which_is_told_as_passed_over() -> None:
    log = 'quota of acme exceeded\nERROR - Task failed with exception\nTraceback (most recent call last):\n  File "/dags/a.py", line 1, in f\nKeyError: 0'
    made = signed(log, {"cause": "(?P<cause>quota of (?P<title>acme))"})
    assert (made.title, [one.number for one in made.evidence]) == ("acme", [1])
    assert "Passed over, since the rule wins: KeyError" in explain(made)


def test_a_cause_in_an_earlier_start_of_the_task_does_not_count() -> None:
    start = "INFO - Starting attempt 2 of 3"
    log = f"INFO - Starting attempt 1 of 3\nINFO - quota is used up\n{start}\nINFO - working\nERROR - error: other"
    assert signed(log, {"cause": "quota is used up"}).title == "error: other"


def test_a_cause_in_the_middle_of_a_huge_log_is_kept_and_found() -> None:
    filler = "\n".join(f"row {number} is fine" for number in range(40_000))
    text = f"{filler}\nquota of acme was reached\n{filler}\n{filler}\nerror: exit status 3"
    assert signed(text, {"cause": "quota of acme"}).title == "quota of acme was reached"


def test_an_ignored_exception_leaves_its_chain_and_the_rest_counts() -> None:
    log = (
        'ERROR - Task failed with exception\nTraceback (most recent call last):\n  File "/dags/a.py", line 1, in f\n'
        "KeyError: 0\n\nDuring handling of the above exception, another exception occurred:\n\n"
        'Traceback (most recent call last):\n  File "/dags/a.py", line 3, in f\nRuntimeError: load of orders failed'
    )
    assert signed(log).exception == "KeyError"
    assert signed(log, {"ignore": "^KeyError: 0$"}).exception == "RuntimeError"
    assert "KeyError in line 1" in explain(signed(log, {"ignore": "^KeyError: 0$"}))


def test_an_ignored_last_line_of_a_traceback_in_the_output_takes_the_traceback_with_it() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "/x/report.py", line 3, in send\n    post()\nReportError: no answer'
    )
    log = f"error: disk of db1 is full\n{trace}\ngoing on"
    assert signed(log).title.startswith("ReportError")
    assert signed(log, {"ignore": "^ReportError: "}).title == "error: disk of db1 is full"


def test_airflows_own_verdict_stays_whatever_a_rule_says() -> None:
    log = '{"event": "Task failed with exception", "level": "error", "logger": "task", "error_detail": [{"exc_type": "KeyError", "exc_value": "1"}]}'
    assert signed(log, {"ignore": "Task failed with exception"}).exception == "KeyError"


def test_a_group_may_go_by_the_title_where_there_is_no_log() -> None:
    lost = Circumstance(CircumstanceKind.HEARTBEAT_LOST)
    own = rules({"group": "^Heartbeat lost", "title": "Workers lose their heartbeat"})
    made = {
        sign((), lost, task=task, status=LogStatus.MISSING, rules=own).fingerprint for task in ("shop.load", "bank.sum")
    }
    assert len(made) == 1


def test_the_command_signs_by_the_rules_in_the_settings(tmp_path: Path) -> None:
    (tmp_path / "airtriage.toml").write_text(
        '[grouping.vendor]\ngroup = "no rows in"\ntask = "^shop"\ntitle = "A vendor is late"'
    )
    told = [run(tmp_path, "sign", "-", "--task", task, "--json", stdin=ORDERS.encode()) for task in ("shop.a", "b.c")]
    assert [json.loads(done.stdout)["title"] for done in told] == ["A vendor is late", "error: no rows in orders"]
    records = tmp_path / "a.jsonl"
    records.write_text(json.dumps({"id": "1", "log_text": ORDERS}))
    done = run(tmp_path, "sign", str(records), "--task", "shop.a", "--json")
    assert json.loads(done.stdout)["fingerprint"] == json.loads(told[0].stdout)["fingerprint"]


class _Told:
    """A source that answers with one log."""

    def describe(self, fact: Occurrence) -> Occurrence:
        return fact

    def read_log(self, key: TaskTry) -> Iterator[bytes]:
        yield ORDERS.encode()


def test_the_collector_signs_by_the_rules_too() -> None:
    own = rules({"separate": r"tenant=(\w{1,20})"})
    reader = Reader(cast(Source, _Told()), timedelta(seconds=30), (), lambda: NOW, signer=SIGNERS.under(own).current)
    fact = Occurrence(TaskTry("prod", "shop", "r", "load", -1, 1), NOW, NOW)
    read, error = reader.read(fact)
    assert error is None
    assert read.signature is not None
    assert read.signature.fingerprint == sign_text(ORDERS.encode(), task="shop.load", rules=own).fingerprint
    assert "keeps it apart by acme" in explain(read.signature)


TEXTS = [
    "error: a",
    "Traceback (most recent call last):",
    '  File "/a.py", line 1, in f',
    "    x",
    "KeyError: 1",
    "E: b\n  c\nd",
]


@given(st.lists(st.tuples(st.sampled_from(TEXTS), st.sampled_from([None, "x"])), max_size=12))
def test_signing_by_rules_never_raises_and_is_the_same_for_what_was_kept(told: list[tuple[str, str | None]]) -> None:
    own = rules(
        {"ignore": "^KeyError"}, {"ignore_frames": r"a\.py"}, {"cause": "(?P<cause>d)$"}, {"group": "error"}, {"separate": "(b)"}
    )  # fmt: skip
    lines = [LogLine(number, text, logger=logger) for number, (text, logger) in enumerate(told, 1)]
    assert sign(lines, task="a.b", rules=own) == sign(logs.keep(lines).lines, task="a.b", rules=own)
