"""What became of a problem since, in words: on the page, on the command line, in JSON; every state of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import made_up
from triage import asking, links
from triage.model import Occurrence
from triage.outcomes import OutcomeKind
from triage.queue import QueueRow
from triage.records import ComparisonStatus, Outcomes
from triage.service import Service
from ui import answers
from ui import format as fmt
from ui.front import since
from ui.front.desk import Desk
from ui.tables import print_comparison, print_problem

NOW = made_up.NOW
FAILED = "prod: logs at https://x: answered 503 Service Unavailable."


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = made_up.service(tmp_path_factory.mktemp("since"))
    made_up.fill(made)
    yield made
    made.store.close()


@pytest.fixture
def desk(service: Service, tmp_path: Path) -> Desk:
    return Desk(service, made_up.settings(tmp_path, "prod"), lambda: NOW)


def row(service: Service, case: int) -> QueueRow:
    return next(row for row in service.queue(NOW) if row.problem.title == made_up.CASES[case][0])


def fact(service: Service, case: int) -> Occurrence:
    found = service.readable(service.problem(row(service, case).problem.id, NOW))
    assert found is not None
    return found


def words(blocks: Any) -> str:
    """Return every text that the blocks draw, times as `<time>`."""
    match blocks:
        case str():
            return blocks
        case {"t": "time"}:
            return "<time>"
        case {"t": "dot"}:
            return ""
        case {"t": _, "text": text}:
            return str(text)
        case {"c": runs} | {"rows": runs}:
            return f"{blocks.get('text', '')} {words(runs)}".strip()
        case list() | tuple():
            return "".join(map(words, blocks))
    return ""


def addresses(blocks: Any) -> list[str]:
    match blocks:
        case {"t": "away", "href": url}:
            return [url]
        case {"c": runs} | {"rows": runs}:
            return addresses(runs)
        case list() | tuple():
            return [url for one in blocks for url in addresses(one)]
    return []


# --- outcomes


@pytest.mark.parametrize(
    ("case", "said", "tone"),
    [
        (1, "Fails every time: its task has not succeeded since the problem began. As of <time>.", "bad"),
        (3, "Heals by itself 6 of 7 times, on the second try. As of <time>.", "good"),
        (4, "Has not run since: its DAG is paused. As of <time>.", "quiet"),
        (7, "Has not run since. The next run is due <time>. As of <time>.", "quiet"),
        (8, "Fails now and then: 61 successes between its failures; not run since the last one. As of <time>.", "warn"),
    ],
)
def test_the_headline_says_how_its_tasks_fared(service: Service, case: int, said: str, tone: str) -> None:
    (block,) = since.headline(row(service, case))
    assert words(block) == said
    assert block["c"][0] == {"t": "dot", "tone": tone, "text": ""}


def test_nothing_is_said_of_what_was_not_asked_or_is_not_open(service: Service) -> None:
    assert since.headline(row(service, 9)) == since.facts(row(service, 9)) == []
    assert since.headline(row(service, 10)) == []
    assert since.table(service.problem(row(service, 9).problem.id, NOW)) == []


def test_several_tasks_are_told_one_by_one_and_a_single_one_is_not(service: Service) -> None:
    label, table = since.table(service.problem(row(service, 6).problem.id, NOW))
    assert words(label) == "How its tasks fared the one that failed last first"
    cells = {words(one[0]): [words(cell) for cell in one[2:]] for one in table["rows"]}
    assert cells["warehouse.stage"] == [
        "11 succeeded, 3 failed of something else",
        "1.2 k succeeded",
        "0 of 20",
        "runs",
    ]
    assert cells["recommendations.load"] == ["not run", "80 succeeded", "0 of 20", "runs"]
    assert since.table(service.problem(row(service, 1).problem.id, NOW)) == []


def test_of_many_tasks_the_table_shows_some_and_says_so(service: Service) -> None:
    view = service.problem(row(service, 6).problem.id, NOW)
    many = tuple(replace(view.outcomes[0], task_id=f"t{n}") for n in range(50))
    label, table = since.table(replace(view, outcomes=many))
    assert words(label).endswith("the 8 that failed last, of 50")
    assert len(table["rows"]) == 8


def test_every_kind_of_outcome_has_a_tone_that_is_drawn() -> None:
    assert {since.TONES.get(kind, "quiet") for kind in OutcomeKind} == {"good", "warn", "bad", "quiet"}


# --- the last good run


@pytest.mark.parametrize(
    ("status", "more", "said"),
    [
        (ComparisonStatus.WANTED, {}, "Looking for the last good run and reading its log; asked <time>."),
        (ComparisonStatus.NONE, {}, "orders.load_orders has no success from before the problem began, <time>."),
        (ComparisonStatus.GONE, {}, "Airflow no longer has the log of the last good run, scheduled__2026-11-12T04:00:00+00:00 try 1, <time>."),
        (ComparisonStatus.FAILED, {"said": FAILED}, f"The last good run could not be read. {FAILED}"),
        (ComparisonStatus.SHOWN, {}, "3 of 21 lines are new since the last good run, scheduled__2026-11-12T04:00:00+00:00 try 1, <time>."),
        (ComparisonStatus.SHOWN, {"new": (3,)}, "1 of 21 lines is new since the last good run, scheduled__2026-11-12T04:00:00+00:00 try 1, <time>."),
        (ComparisonStatus.SHOWN, {"new": ()}, "Nothing is new: every line kept is also in the log of the last good run, scheduled__2026-11-12T04:00:00+00:00 try 1, <time>."),
        (ComparisonStatus.SHOWN, {"new": (1,), "lines": 9}, "1 of 9 lines is new since the last good run, scheduled__2026-11-12T04:00:00+00:00 try 1, <time>. This log has been read anew since; compare it again."),
    ],
)  # fmt: skip
def test_every_state_of_a_comparison_is_said(
    service: Service, desk: Desk, status: ComparisonStatus, more: dict[str, Any], said: str
) -> None:
    found = made_up.compared(service, row(service, 0).problem.id, NOW, status, **more)
    found = replace(found, key=replace(found.key, dag_id="orders", task_id="load_orders"))
    blocks = since.changed(found, fact(service, 0), desk, "")
    assert words(blocks[0]) == said
    assert len(blocks) == (2 if found.good and status is not ComparisonStatus.FAILED else 1)


def test_nobody_asked_is_a_question_and_who_waits_long_or_for_a_stale_deployment_is_told_why(
    service: Service, desk: Desk
) -> None:
    one = fact(service, 0)
    assert words(since.changed(None, one, desk, "")) == "What is new in this log since the last good run of the task?"
    wish = made_up.compared(service, row(service, 0).problem.id, NOW, ComparisonStatus.WANTED)
    late = replace(wish, wanted_at=NOW - timedelta(minutes=2))
    assert "A collector answers while airtriage up, or a worker, runs" in words(since.changed(late, one, desk, ""))
    stale = words(since.changed(wish, one, desk, "prod 3 h ago: connection refused"))
    assert stale.endswith("The answer comes once prod can be read: prod 3 h ago: connection refused.")


def test_both_versions_are_named_with_links_to_airflow_and_to_the_code(service: Service, desk: Desk) -> None:
    found = made_up.compared(service, row(service, 0).problem.id, NOW)
    one = fact(service, 0)
    good, versions = since.changed(found, one, desk, "")
    assert words(versions) == (
        "DAG version 11 then, 14 now · bundle 3d1f08ab77 then, 9ab1e0d42c now, what changed between them."
    )
    code = f"https://prod.airflow.example/dags/{found.key.dag_id}/code?version_number="
    tree = "https://gitlab.example.com/data/dags/-/tree/"
    assert addresses(versions) == [
        f"{code}11", f"{code}14", f"{tree}3d1f08ab77/dags", f"{tree}9ab1e0d42c/dags",
        "https://gitlab.example.com/data/dags/-/compare/3d1f08ab77...9ab1e0d42c",
    ]  # fmt: skip
    assert addresses(good) == [links.try_url("https://prod.airflow.example", found.good.key) if found.good else ""]
    same = replace(one, dag_version=11, bundle_version="3d1f08ab77")
    assert words(since.changed(found, same, desk, "")[1]) == "The same DAG version, 11 · the same bundle, 3d1f08ab77."
    bare = replace(one, dag_version=None, bundle_version="")
    assert len(since.changed(found, bare, desk, "")) == 1


# --- the command line and JSON


def test_json_tells_outcomes_and_the_lines_that_are_new(service: Service) -> None:
    told = json.loads(json.dumps(fmt.problem_json(row(service, 3))))["outcome"]
    assert (told["kind"], told["healed"], told["broken"], told["succeeded_since"]) == ("heals by retry", 6, 1, 4)
    assert fmt.problem_json(row(service, 9))["outcome"] is None
    answer = service.problem(row(service, 4).problem.id, NOW).outcomes[0]
    assert isinstance(answer, Outcomes)
    assert json.loads(json.dumps(answers.outcomes_json(answer)))["paused"] is True
    one = fact(service, 0)
    found = json.loads(json.dumps(answers.comparison_json(asking.comparison(service, one.key.id), one)))
    assert (found["status"], found["try_number"], found["dag_versions"]) == ("shown", 1, [11, 14])
    assert [line["line"] for line in found["new"]] == [2884, 2885, 3410]
    assert answers.comparison_json(None, one) is None


def test_the_command_line_says_the_same(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    console = Console(width=200)
    view = service.problem(row(service, 3).problem.id, NOW)
    print_problem(console, view, NOW)
    assert "Heals by itself 6 of 7 times, on the second try. As of 2 min ago." in capsys.readouterr().out
    one, id = fact(service, 0), row(service, 0).problem.id
    print_comparison(console, made_up.compared(service, id, NOW), one, NOW)
    said = capsys.readouterr().out
    assert "3 lines are new since the last good run, scheduled__2026-11-12T04:00:00+00:00 try 1, 10 d ago." in said
    assert "DAG version 11 then, 14 now; bundle 3d1f08ab77 then, 9ab1e0d42c now" in said
    assert "2884  + lock wait is longer than 30 s, trying once more" in said
    assert "2885  + Task failed with exception [airtools.LoadError, psycopg.errors.DeadlockDetected]" in said


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (ComparisonStatus.WANTED, "The last good run was asked for 9 s ago; no collector has answered yet."),
        (ComparisonStatus.NONE, "has no success from before the problem began"),
        (ComparisonStatus.GONE, "Airflow no longer has the log of the last good run, scheduled__"),
        (ComparisonStatus.FAILED, f"The last good run could not be read. {FAILED}"),
    ],
)
def test_the_command_line_says_every_state(service: Service, status: ComparisonStatus, said: str) -> None:
    more = {"said": FAILED} if status is ComparisonStatus.FAILED else {}
    assert said in answers.compared(made_up.compared(service, row(service, 0).problem.id, NOW, status, **more), NOW)
