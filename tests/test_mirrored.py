"""What people see of a problem's GitLab issue: in every state a word, the next step by itself, and the same as JSON."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from tests import made_up
from triage.mirrors import Mirror, MirrorStatus, Tracker
from triage.policy import Judgement, Verdict
from triage.records import Problem, TriageState
from triage.service import Service
from triage.settings import Settings
from triage.watched import Trouble
from ui.front import mirror as front
from ui.mirrored import Mirrored, consequence, gitlab_json, mirrored, named, next_step, of_resolving, stands
from ui.tables import print_mirror, queue_table, tries_table

NOW = made_up.NOW
GITLAB, PROJECT = "https://gitlab.example.com", "data/airflow"
URL = f"{GITLAB}/data/airflow/-/work_items/41"
PROBLEM = Problem("2f7c41d09b3e", "prod", "1:1", "KeyError: 'amount'", "code error", TriageState.ONGOING, NOW, NOW)
LINKED = Mirror(
    PROBLEM.id, GITLAB, PROJECT, MirrorStatus.LINKED, NOW - timedelta(hours=2), iid=41, issue_id=991, project_id=7,
    web_url=URL, assignee="anna", labels=("airtriage", "crm"),
)  # fmt: skip
TRACKER = Tracker(GITLAB, PROJECT, 7, f"{GITLAB}/{PROJECT}", "project_7_bot", 5, heard_at=NOW - timedelta(seconds=20))
INTENDED = replace(LINKED, status=MirrorStatus.INTENDED, iid=0, web_url="", issue_id=0)


def _its(state: TriageState = TriageState.ONGOING, mirror: Mirror | None = LINKED, **changes: object) -> Mirrored:
    changed = replace(mirror, **changes) if mirror else None  # type: ignore[arg-type]
    return Mirrored(replace(PROBLEM, state=state), changed, TRACKER)


SOON = NOW + timedelta(minutes=3)
STEPS: tuple[tuple[str, Mirrored, str], ...] = (
    ("linked", _its(), "#41 is kept up to date, and closed when the problem is resolved."),
    ("to be closed", _its(TriageState.RESOLVED), "#41 is closed at the next round."),
    ("closed", _its(TriageState.RESOLVED, is_open=False), "If it fails again, #41 is reopened."),
    ("to be reopened", _its(TriageState.REGRESSED, is_open=False), "#41 is reopened at the next round."),
    (
        "turned often", _its(TriageState.REGRESSED, is_open=False, turned=(NOW,) * 6, next_at=SOON),
        "#41 is reopened in 3 min, as airtriage turned it 6 times within the hour.",
    ),
    ("muted", _its(TriageState.MUTED), "While the problem is muted, #41 stays as it is."),
    ("intended", _its(mirror=INTENDED), "It is opened at the next round."),
    ("refused", _its(mirror=INTENDED, said="GitLab refuses it.", next_at=SOON), "It is tried again, in 3 min."),
    ("refused, due", _its(mirror=INTENDED, said="GitLab refuses it."), "It is tried again at the next round."),
    (
        "unsure", _its(mirror=INTENDED, sent_at=NOW, next_at=SOON),
        "It was sent, and GitLab's answer is not known: it is looked for before another is opened, in 3 min.",
    ),
    ("lost", _its(status=MirrorStatus.LOST), "No other issue is opened by itself: link one, or unlink this one."),
    ("parted", _its(status=MirrorStatus.UNLINKED), "No other issue is opened by itself, as somebody parted them."),
    ("off", Mirrored(PROBLEM), ""),
    (
        "judged", Mirrored(PROBLEM, judged=Judgement(PROBLEM.id, Verdict.WAITS, "opens an issue after 2 more final failures; the storm cap has 18 left")),
        "Opens an issue after 2 more final failures; the storm cap has 18 left.",
    ),
)  # fmt: skip


@pytest.mark.parametrize(("its", "says"), [case[1:] for case in STEPS], ids=[case[0] for case in STEPS])
def test_the_next_step_is_said_with_its_reason(its: Mirrored, says: str) -> None:
    assert next_step(its, NOW) == says


@pytest.mark.parametrize(
    ("mirror", "word"),
    [
        (LINKED, ("good", "open")),
        (replace(LINKED, is_open=False), ("quiet", "closed")),
        (INTENDED, ("warn", "being opened")),
        (replace(LINKED, status=MirrorStatus.LOST), ("bad", "lost")),
        (replace(LINKED, status=MirrorStatus.UNLINKED), ("quiet", "parted")),
    ],
)
def test_how_an_issue_stands_is_one_word(mirror: Mirror, word: tuple[str, str]) -> None:
    assert stands(mirror) == word


def test_what_resolve_does_in_gitlab_is_said_beside_it_and_only_where_it_does_something() -> None:
    assert of_resolving(_its()) == "Resolve closes #41 in GitLab."
    for its in (_its(is_open=False), _its(TriageState.RESOLVED), _its(mirror=INTENDED), Mirrored(PROBLEM)):
        assert of_resolving(its) == ""


def test_what_a_decision_does_to_issues_is_said_for_those_it_changes() -> None:
    closed, other = replace(LINKED, is_open=False, iid=42), replace(LINKED, iid=43)
    resolved, ongoing, muted = TriageState.RESOLVED, TriageState.ONGOING, TriageState.MUTED
    assert consequence([(resolved, LINKED), (resolved, other)]) == "GitLab #41, #43 will be closed"
    assert (
        consequence([(ongoing, closed), (resolved, LINKED)]) == "GitLab #42 will be reopened; GitLab #41 will be closed"
    )
    assert (
        consequence([(ongoing, LINKED), (resolved, closed), (muted, closed), (resolved, INTENDED), (resolved, None)])
        == ""
    )


def test_an_issue_that_is_not_there_yet_has_no_name() -> None:
    assert (named(LINKED), named(INTENDED)) == ("#41", "")


def test_the_json_of_an_issue_has_what_the_page_shows() -> None:
    assert gitlab_json(_its(), NOW) == {
        "status": "linked", "url": URL, "iid": 41, "gitlab": GITLAB, "project": PROJECT, "open": True, "assignee": "anna",
        "labels": ["airtriage", "crm"], "synced_at": (NOW - timedelta(seconds=20)).isoformat(), "said": None,
        "next": "#41 is kept up to date, and closed when the problem is resolved.",
    }  # fmt: skip
    assert gitlab_json(Mirrored(PROBLEM), NOW) is None
    judged = Judgement(PROBLEM.id, Verdict.NEVER, "opens no issue while it is muted")
    assert gitlab_json(Mirrored(PROBLEM, judged=judged), NOW) == {
        "status": "none",
        "next": "Opens no issue while it is muted.",
    }


def _text(blocks: object) -> str:
    return repr(blocks)


def test_the_card_shows_the_link_the_project_and_what_is_wrong() -> None:
    its = replace(
        _its(said="GitLab left out the label crm."),
        tracker=replace(TRACKER, troubles=(Trouble("It is away.", "Wait."),)),
    )
    shown = _text(front.card(its, NOW))
    for part in (URL, "#41", "open", PROJECT, "anna", "crm", "GitLab left out the label crm.", "It is away.", "Wait."):
        assert part in shown
    assert "not set up" in _text(front.card(Mirrored(PROBLEM), NOW))


@pytest.mark.parametrize(
    ("tracker", "linked", "says"),
    [
        (TRACKER, 6, "In step"),
        (replace(TRACKER, heard_at=NOW - timedelta(minutes=6)), 6, "Is the collector running?"),
        (replace(TRACKER, heard_at=NOW - timedelta(days=6)), 0, "In step"),
        (replace(TRACKER, troubles=(Trouble("bot is a Guest there.", "Give it a role."),)), 6, "Give it a role."),
        (replace(TRACKER, failures=2, troubles=(Trouble("It is away.", "It is asked again."),), next_at=NOW + timedelta(minutes=2)), 6, "Asked again"),
    ],
)  # fmt: skip
def test_health_says_how_a_project_of_gitlab_is(tracker: Tracker, linked: int, says: str) -> None:
    shown = _text(front.health(tracker, linked, 1 if linked else 0, NOW))
    assert says in shown
    assert PROJECT in shown


def test_health_says_how_gitlab_is_switched_on() -> None:
    assert "[gitlab]" in _text(front.off())
    assert "Not asked yet" in _text(front.unasked())


def test_an_address_that_is_no_web_address_is_no_link() -> None:
    shown = front.card(_its(web_url="javascript:alert(1)"), NOW)
    assert "javascript" not in _text(shown)


def _printed(its: Mirrored, now: datetime = NOW) -> str:
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    print_mirror(console, its, now)
    return console.export_text()


def test_the_command_line_says_the_same() -> None:
    printed = _printed(_its())
    assert "GitLab #41 open, assigned to anna, labelled airtriage, crm, synced 20 s ago" in printed
    assert URL in printed
    assert "#41 is kept up to date" in printed
    assert _printed(Mirrored(PROBLEM)) == ""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = made_up.service(tmp_path)
    made_up.fill(made)
    yield made
    made.store.close()


def _settings(folder: Path) -> Settings:
    gitlab = {"url": GITLAB, "token": "made-up-token", "project": PROJECT}
    return Settings.model_validate({"data_dir": folder, "gitlab": gitlab, "deployments": {"prod": {"url": "http://a"}}})


def test_a_problem_without_an_issue_is_judged_by_the_settings(service: Service, tmp_path: Path) -> None:
    row = service.queue(NOW)[0]
    its = mirrored(service, _settings(tmp_path), row, NOW)
    assert its.judged is not None
    assert its.judged.verdict is Verdict.OPENS
    assert (
        next_step(its, NOW) == "Opens an issue in data/airflow: a final failure is settled; the storm cap has 20 left."
    )
    assert mirrored(service, made_up.settings(tmp_path, "prod"), row, NOW).judged is None


def test_a_problem_with_an_issue_is_shown_with_it_and_its_project(service: Service, tmp_path: Path) -> None:
    row = service.queue(NOW)[0]
    service.store.save(replace(LINKED, problem=row.problem.id), None)
    service.store.save(TRACKER, None)
    its = mirrored(service, _settings(tmp_path), row, NOW)
    assert (its.mirror and its.mirror.iid, its.tracker) == (41, TRACKER)


def test_the_queue_on_the_command_line_names_issues_where_there_are_any(service: Service) -> None:
    rows = service.queue(NOW)
    assert [column.header for column in queue_table(rows, NOW).columns][-2:] == ["owner", "last seen"]
    table = queue_table(rows, NOW, {rows[0].problem.id: LINKED})
    assert [column.header for column in table.columns][-2:] == ["GitLab", "last seen"]


def test_on_a_narrow_terminal_what_failed_and_where_stand_below_each_other(service: Service) -> None:
    console, rows = Console(width=80, record=True, file=io.StringIO()), service.queue(NOW)
    console.print(queue_table(rows, NOW, width=console.width))
    shown = console.export_text()
    assert "KeyError: 'customer_id'" in shown
    assert "code error · crm_sync.normalise · crm" in shown


def test_a_name_in_a_list_of_tries_moves_no_cursor_and_turns_no_text() -> None:
    console, fact = Console(width=200, record=True, file=io.StringIO()), made_up.pending(NOW)
    evil = replace(fact, key=replace(fact.key, dag_id="a\x1b[2Jb", run_id="manual\u202egnp\r"))
    console.print(tries_table([evil], NOW))
    assert not {"\x1b", "\u202e", "\r"} & set(console.export_text())
