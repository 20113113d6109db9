"""Numbers, dates and foreign text as people and programs read them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests import made_up
from triage.missed import Missed
from triage.model import Absence, Circumstance, CircumstanceKind, LogStatus, Occurrence, TaskTry
from triage.records import Change
from triage.signature import sign
from ui import format as fmt

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
EVIL = st.text(st.one_of(st.characters(), st.sampled_from("[]()!*_`<>$:&#@\\/\n\x1b\u202e\ud800")), max_size=60)


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0"), (999, "999"), (1000, "1 k"), (1234, "1.2 k"), (99_949, "99.9 k"), (100_000, "100 k"), (999_499, "999 k"), (999_500, "1 M"), (3_400_000, "3.4 M"), (2_000_000_000, "2 G")],
)  # fmt: skip
def test_numbers_are_short(count: int, said: str) -> None:
    assert fmt.number(count) == said


@pytest.mark.parametrize(
    ("past", "said"),
    [(0, "just now"), (12, "12 s ago"), (180, "3 min ago"), (7_300, "2 h ago"), (86_400 * 9, "9 d ago"), (86_400 * 200, "6 months ago"), (86_400 * 900, "2 years ago"), (-3_700, "in 1 h")],
)  # fmt: skip
def test_times_are_told_relative(past: int, said: str) -> None:
    assert fmt.ago(NOW - timedelta(seconds=past), NOW) == said


H = timedelta(hours=1)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Missed(NOW - 168 * H, NOW - H, NOW - 85 * H, True, found=120), "Reading back: 3.5 of 7 days, 120 failed tries so far."),
        (Missed(NOW - 6 * H, NOW - H, NOW - 2 * H, True, found=1), "Reading back: 1.0 of 5 hours, 1 failed try so far."),
        (Missed(NOW - 168 * H, NOW - H, NOW - 168 * H, True, found=7), "Read back 7 days: 7 failed tries."),
        (Missed(NOW - 48 * H, NOW - 24 * H, NOW - 36 * H, False, found=3), "Missed at first: 2026-11-22 12:00 to 2026-11-23 12:00 UTC, as airtriage was off or Airflow away. Caught up down to 2026-11-23 00:00 UTC, 3 failed tries so far."),
        (Missed(NOW - 48 * H, NOW - 24 * H, NOW - 48 * H, False), "Missed at first: 2026-11-22 12:00 to 2026-11-23 12:00 UTC, as airtriage was off or Airflow away. Caught up whole: 0 failed tries."),
        (Missed(NOW - 3 * H, NOW - 2 * H, NOW - 2 * H, False, NOW + 0.5 * H), "Airflow gives no answer for 2026-11-24 09:00 to 2026-11-24 10:00 UTC; it is asked again in 30 min."),
    ],
)  # fmt: skip
def test_what_was_missed_is_said_with_its_progress(part: Missed, said: str) -> None:
    assert fmt.missed(part, NOW) == said


def test_never_is_said_for_no_time() -> None:
    assert fmt.ago(None, NOW) == "never"


def test_a_clock_names_its_zone_and_an_unknown_zone_is_utc() -> None:
    assert fmt.clock(NOW, "Europe/Berlin") == "2026-11-24 13:00:00 CET"
    assert fmt.clock(NOW, "Mars/Olympus") == "2026-11-24 12:00:00 UTC"


@given(EVIL)
def test_printable_text_holds_nothing_invisible(text: str) -> None:
    shown = fmt.printable(text)
    assert all(c.isprintable() or c in "\n\t" or not c.isascii() for c in shown)
    assert not {"\x1b", "\u202e", "\ud800", "\u200b"} & set(shown)
    shown.encode()


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_printable_leaves_plain_text_as_it_is(text: str) -> None:
    assert fmt.printable(text) == text


def test_colour_codes_go_and_bidi_controls_are_named() -> None:
    assert (
        fmt.printable("\x1b[31;1mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07 \u202eexe\r\nnext")
        == "red link <U+202E>exe\nnext"
    )


@given(EVIL)
def test_plain_text_in_a_markdown_label_makes_no_element(text: str) -> None:
    html = MarkdownIt("commonmark", {"html": True}).render(fmt.plain(text))
    assert not any(tag in html for tag in ("<a", "<img", "<em", "<strong", "<code", "<h1", "<script", "<ul"))


@given(EVIL, st.integers(5, 50))
def test_one_line_is_one_bounded_line(text: str, limit: int) -> None:
    line = fmt.one_line(text, limit)
    assert "\n" not in line
    assert len(line) <= limit


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil", "http://[", ""])
def test_only_web_addresses_become_links(url: str) -> None:
    assert fmt.web_address(url) == ""
    assert fmt.web_address("https://airflow.example/x") == "https://airflow.example/x"


def test_the_json_of_a_problem_and_a_try_has_the_promised_keys(tmp_path: Path) -> None:
    service = made_up.service(tmp_path)
    made_up.fill(service)
    row = service.queue(made_up.NOW)[0]
    problem = json.loads(json.dumps(fmt.problem_json(row)))
    assert list(problem)[:10] == [
        "id",
        "fingerprint",
        "title",
        "state",
        "cause",
        "occurrences",
        "first_seen",
        "last_seen",
        "dags",
        "gitlab_url",
    ]
    assert datetime.fromisoformat(problem["last_seen"]) == row.last_seen
    found = json.loads(
        json.dumps(fmt.occurrence_json(service.problem(row.problem.id, made_up.NOW).occurrences[0], row.problem.id))
    )
    assert list(found)[:13] == [
        "deployment",
        "dag_id",
        "run_id",
        "task_id",
        "map_index",
        "try_number",
        "problem",
        "fingerprint",
        "title",
        "cause",
        "log",
        "started_at",
        "ended_at",
    ]
    assert (found["problem"], found["log"]) == (row.problem.id, "whole")
    waiting = fmt.occurrence_json(made_up.pending(made_up.NOW), "")
    assert (waiting["problem"], waiting["title"], waiting["log"]) == (None, None, "pending")
    assert "failed tries" in fmt.sentence(row, made_up.NOW)
    assert fmt.sentence(replace(row, total=1), made_up.NOW).startswith("One failed try")
    service.store.close()


def test_what_comes_next_is_said_for_every_state(tmp_path: Path) -> None:
    service = made_up.service(tmp_path)
    made_up.fill(service)
    row = service.queue(made_up.NOW)[0]
    id = row.problem.id

    def said() -> str:
        return fmt.next_step(service.problem(id, made_up.NOW), made_up.NOW)

    assert said().startswith("Counts as ongoing in ")
    service.mute(id, "x", made_up.NOW, more=10)
    assert said() == "Comes back after 10 further failures."
    service.mute(id, "x", made_up.NOW, lasting=timedelta(days=1))
    assert said().startswith("Comes back in ")
    service.mute(id, "x", made_up.NOW)
    assert said() == "Stays quiet until you unmute it."
    service.resolve(id, "x", made_up.NOW)
    assert "regression" in said()
    service.store.close()


def test_history_names_people_and_not_ourselves() -> None:
    assert fmt.told(Change("p", NOW, "maria", "resolved")) == "maria resolved"
    assert fmt.told(Change("p", NOW, "airtriage", "opened")) == "Opened"


def test_names_are_cut_with_how_many_are_left() -> None:
    assert fmt.names(["a", "b"]) == "a, b"
    assert fmt.names("abcdef", 2) == "a, b and 4 more"


def test_a_failure_without_a_log_has_its_reason_and_one_with_a_log_has_none() -> None:
    key = TaskTry("prod", "orders", "r", "load")
    marked = Circumstance(CircumstanceKind.MARKED, "marked failed by ada", "ada", NOW)
    fact = Occurrence(key, NOW, NOW, circumstance=marked, log=LogStatus.MISSING)
    assert fmt.reason(fact) == "", "its log is awaited"
    signed = replace(fact, signature=sign((), marked, task=key.task, status=LogStatus.MISSING))
    assert fmt.reason(signed) == "Airflow's event log: ada marked it failed on 2026-11-24 at 12:00:00 UTC."
    assert fmt.occurrence_json(signed, "")["reason"] == fmt.reason(signed)
    gone = sign((), task=key.task, status=LogStatus.MISSING, absence=Absence.ROTATED)
    away = replace(fact, circumstance=None, absence=Absence.ROTATED, signature=gone)
    assert fmt.reason(away).startswith("Where the log should be, it is no more")
    assert fmt.occurrence_json(away, "")["absence"] == "log rotated away"
    raised = replace(signed, signature=replace(signed.signature, exception="KeyError"))  # type: ignore[arg-type]
    assert fmt.reason(raised) == "", "its log tells it"
