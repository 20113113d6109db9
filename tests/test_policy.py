"""Which problem gets an issue, where and with what, and the sentence that says why not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from triage.policy import Case, Route, Rules, Threshold, Verdict, judge, room
from triage.records import TriageState

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
RULES = Rules("https://gitlab.example", "data/airflow")
CASE = Case(
    "p1", TriageState.NEW, "database", False, ("prod",), ("orders", "billing"), ("crm", "ops"), ("gold",), (NOW,)
)


def several(*minutes: int) -> tuple[datetime, ...]:
    return tuple(NOW - timedelta(minutes=ago) for ago in minutes)


def test_the_first_settled_final_failure_opens_an_issue_by_default() -> None:
    judged = judge(CASE, RULES, 18, NOW)
    assert judged.verdict is Verdict.OPENS
    assert (judged.project, judged.labels, judged.gitlab) == ("data/airflow", ("airtriage",), "https://gitlab.example")
    assert judged.why == "opens an issue in data/airflow: a final failure is settled; the storm cap has 18 left"


@pytest.mark.parametrize(
    ("case", "rules", "verdict", "says"),
    [
        (replace(CASE, settled=()), RULES, Verdict.WAITS, "opens an issue after 1 more final failure; the storm cap has 5 left"),
        (replace(CASE, settled=(), awaited=True), RULES, Verdict.WAITS, "once the log of its final failure is known"),
        (replace(CASE, is_flaky=True), RULES, Verdict.WAITS, "while it heals by retry"),
        (replace(CASE, state=TriageState.MUTED), RULES, Verdict.NEVER, "while it is muted"),
        (replace(CASE, state=TriageState.RESOLVED), RULES, Verdict.NEVER, "while it is resolved"),
        (CASE, replace(RULES, open_after=Threshold(3)), Verdict.WAITS, "after 2 more final failures"),
        (CASE, replace(RULES, deployments=("stag*",)), Verdict.NEVER, "gitlab.deployments leaves prod out"),
        (CASE, replace(RULES, causes=("code error",)), Verdict.NEVER, "gitlab.causes leaves 'database' out"),
        (CASE, replace(RULES, project=""), Verdict.NEVER, "no route matches it, and gitlab.project is not set"),
        (CASE, replace(RULES, routes=(Route("quiet", dag="bill*", open=False),)), Verdict.NEVER, "the route quiet says so"),
    ],
)  # fmt: skip
def test_a_problem_that_gets_no_issue_yet_is_told_why(case: Case, rules: Rules, verdict: Verdict, says: str) -> None:
    judged = judge(case, rules, 5, NOW)
    assert judged.verdict is verdict
    assert says in judged.why


def test_failures_count_within_the_span_alone() -> None:
    rules = replace(RULES, open_after=Threshold(3, timedelta(hours=1)))
    slow, fast = several(1, 30, 61, 90), several(1, 30, 59)
    assert judge(replace(CASE, settled=slow), rules, 9, NOW).why.startswith(
        "opens an issue after 1 more final failure within 1h"
    )
    assert judge(replace(CASE, settled=fast), rules, 9, NOW).verdict is Verdict.OPENS


def test_in_a_storm_a_problem_waits_for_room() -> None:
    judged = judge(CASE, RULES, 0, NOW)
    assert judged.verdict is Verdict.WAITS
    assert judged.is_storm
    assert judged.why == "waits for a place: the storm cap lets data/airflow have 20 new issues an hour"


def test_the_cap_counts_what_was_opened_within_the_hour() -> None:
    assert room(several(1, 59, 61), 3, NOW) == 1
    assert room(several(1, 2, 3, 4), 3, NOW) == 0


@pytest.mark.parametrize(
    ("route", "takes"),
    [
        (Route("r", dag="ORD*"), True), (Route("r", dag="orders", tag="silver"), False), (Route("r", tag="gold"), True),
        (Route("r", owner="ops", cause="data*"), True), (Route("r", deployment="staging"), False), (Route("r"), True),
    ],
)  # fmt: skip
def test_a_route_takes_what_all_of_its_patterns_match(route: Route, takes: bool) -> None:
    judged = judge(CASE, replace(RULES, routes=(replace(route, project="data/other"),)), 5, NOW)
    assert judged.project == ("data/other" if takes else "data/airflow")


def test_the_first_route_counts_and_adds_to_the_defaults() -> None:
    first = Route("first", owner="crm", labels=("crm",), assignee="anna", confidential=True, open_after=Threshold(2))
    judged = judge(
        replace(CASE, settled=several(1, 2)), replace(RULES, routes=(first, Route("second", project="x/y"))), 5, NOW
    )
    assert judged.verdict is Verdict.OPENS
    assert judged.labels == ("airtriage", "crm")
    assert (judged.assignee, judged.confidential, judged.route) == ("anna", True, "first")
