"""The pages: every state through Streamlit's AppTest, then driven in a real Chromium as a person would."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from streamlit.testing.v1 import AppTest

from tests import made_up
from tests.page_fixture import Watched, needs_chromium
from tests.served import page_server
from triage import asking
from triage.complaint import complaint
from triage.errors import StoreError
from triage.mirrors import Mirror, MirrorStatus
from triage.records import TriageState
from triage.service import Service
from triage.watched import Lease, Worker
from ui.front.desk import Desk, open_desk

MAIN = str(Path(__file__).parents[1] / "ui" / "front" / "main.py")


# --- every page in every state, without a browser


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Service]:
    service = made_up.service(tmp_path)
    open_desk(Desk(service, made_up.settings(tmp_path), lambda: made_up.NOW))
    yield service
    service.store.close()


def _shown(**query: str) -> str:
    """Run the queue page and return every component's data as text."""
    app = AppTest.from_file(MAIN, default_timeout=20)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return " ".join(element.proto.bytes.decode("utf-8", "replace") for element in _components(app))


def _components(app: AppTest) -> list:  # type: ignore[type-arg]
    return [element for element in app.main if hasattr(getattr(element, "proto", None), "bytes")]


def test_without_a_deployment_the_queue_says_how_to_name_one(empty: Service) -> None:
    shown = _shown()
    assert '"nothing":"unconfigured"' in shown
    assert "[deployments.prod]" in shown


def test_a_bad_query_is_one_sentence_on_the_queue(empty: Service) -> None:
    assert "There is no field 'nope' to search." in _shown(q="nope:1")


def test_the_store_away_is_said_on_the_page(empty: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: object) -> int:
        raise StoreError("The store /x cannot be used: disk is full.", "Free some space.")

    monkeypatch.setattr(type(empty.store), "revision", away)
    assert "The store does not answer. The store /x cannot be used: disk is full. Free some space." in _shown()


def test_health_says_who_works_who_fell_silent_and_what_waits(empty: Service) -> None:
    def shown() -> str:
        app = AppTest.from_string("from ui.pages import health\nhealth.render()", default_timeout=20).run()
        assert not app.exception
        return " ".join(element.proto.bytes.decode("utf-8", "replace") for element in _components(app))

    store, now = empty.store, made_up.NOW
    nobody = shown()
    assert "held by nobody" in nobody
    early = now - timedelta(hours=5)
    for id, heard, waiting in (
        ("w-1:7", timedelta(), {"airtriage": 3, "airtriage.bulk": 1}),
        ("w-2:9", timedelta(minutes=6), {}),
    ):
        store.save(Worker(id, "worker", early, now - heard, ("airtriage",), 4, 2, 141_000_000, waiting), None)
    store.save(Lease("beat", "w-1:7:a:b", now + timedelta(seconds=9)), None)
    told = shown()
    assert " with 4 threads, 2 of them busy; 141 MB of memory" in told
    assert "held by w-1:7" in told
    assert "3 in airtriage, 1 in airtriage.bulk" in told
    assert "w-2:9" in told, "it fell silent"
    assert "Store answers" in told
    store.erase(Worker, ["w-1:7"])
    assert "Nobody at work" in shown()


# --- driven in a real browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    service = made_up.service(folder)
    made_up.fill(service)
    service.store.save(made_up.health("prod", datetime.now(UTC), poll=600.0), 1)  # fresh however slow the tests are
    service.record([made_up.hostile(), *made_up.neighbours()])
    service.settle(made_up.NOW)
    service.store.save(made_up.sick(), None)
    service.store.save(made_up.health("retired", made_up.NOW - timedelta(days=40)), None)
    service.store.save(made_up.catching_up(), None)
    id = next(row.problem.id for row in service.queue(made_up.NOW) if row.problem.title == made_up.CASES[11][0])
    mirror = Mirror(
        id, "https://gitlab.example", "data/airflow", MirrorStatus.LINKED, made_up.NOW, iid=41, issue_id=9,
        web_url="https://gitlab.example/data/airflow/-/issues/41",
    )  # fmt: skip
    service.store.save(mirror, None)
    service.mirrored(id, mirror.web_url, made_up.NOW)
    service.store.close()
    return folder


@pytest.fixture(scope="module")
def base(folder: Path) -> Iterator[str]:
    with page_server(folder, "prod", "staging") as address:
        yield address


def _service(folder: Path) -> Service:
    return made_up.service(folder)


def _id(folder: Path, case: int) -> str:
    service = _service(folder)
    try:
        return next(row.problem.id for row in service.queue(made_up.NOW) if row.problem.title == made_up.CASES[case][0])
    finally:
        service.store.close()


def _state(folder: Path, id: str) -> TriageState:
    service = _service(folder)
    try:
        return service.find(id).state
    finally:
        service.store.close()


@needs_chromium
def test_a_click_on_mute_mutes_and_undo_takes_it_back(tab: Watched, base: str, folder: Path) -> None:
    id = _id(folder, 3)
    page = tab.page
    page.goto(f"{base}/problem?id={id}")
    tab.click(page.get_by_role("button", name="Mute"))
    page.locator(".st-key-mute-for-1-day button").click()
    expect(page.get_by_text("Muted for 1 day.")).to_be_visible()
    assert _state(folder, id) is TriageState.MUTED
    service = _service(folder)
    entry = service.problem(id, made_up.NOW).history[0]
    service.store.close()
    assert (entry.who, entry.origin) == ("someone", "page")
    tab.click(".st-key-undo button")
    expect(page.get_by_text("Put back.")).to_be_visible()
    assert _state(folder, id) is TriageState.NEW


@needs_chromium
def test_undo_takes_back_what_it_stands_beside_and_nobody_elses(tab: Watched, base: str, folder: Path) -> None:
    id = _id(folder, 3)
    page = tab.page
    page.goto(f"{base}/problem?id={id}")
    tab.click(".st-key-resolve-resolve button")
    expect(page.get_by_text("Resolved.", exact=True)).to_be_visible()
    service = _service(folder)
    service.reopen(id, "bob", made_up.NOW)
    tab.click(".st-key-undo button")
    expect(page.get_by_text(f"Problem {id} was decided about since (bob reopened")).to_be_visible()
    assert service.undo(id, "bob", made_up.NOW).state is TriageState.RESOLVED
    service.reopen(id, "bob", made_up.NOW)
    service.store.close()


def _owner(folder: Path, id: str) -> str:
    service = _service(folder)
    try:
        return service.find(id).owner
    finally:
        service.store.close()


@needs_chromium
def test_a_problem_is_assigned_on_its_page_and_undo_takes_it_back(tab: Watched, base: str, folder: Path) -> None:
    id = _id(folder, 4)
    page = tab.page
    page.goto(f"{base}/problem?id={id}")
    page.locator(".st-key-assign button").click()
    page.get_by_placeholder("A name, or @team").fill("@night <b>")
    page.keyboard.press("Enter")
    tab.click(".st-key-assign_it button")
    expect(page.get_by_text("Assigned to @night <b>.")).to_be_visible()
    expect(page.get_by_text(", assigned by a person.")).to_be_visible()
    assert _owner(folder, id) == "@night <b>"
    tab.click(".st-key-owner_undo button")
    expect(page.get_by_text("Nobody is assigned any more.")).to_be_visible()
    assert _owner(folder, id) == ""


@needs_chromium
def test_many_are_assigned_in_the_queue_and_each_gets_back_whom_it_had(tab: Watched, base: str, folder: Path) -> None:
    first, second = _id(folder, 5), _id(folder, 6)
    service = _service(folder)
    service.assign(first, "carl", "ann", made_up.NOW)
    service.store.close()
    page = tab.page
    page.goto(f"{base}/?tab=all&range=all")
    for id in (first, second):
        page.locator(f"[data-id='{id}'] input").click()
    page.keyboard.press("a")
    page.get_by_test_id("owners").get_by_role("textbox").fill("CAR")
    page.get_by_test_id("owners").get_by_role("button", name="carl").wait_for()
    page.get_by_test_id("owners").get_by_role("textbox").fill("dora")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("said")).to_contain_text("Assigned 2 problems to dora.")
    assert (_owner(folder, first), _owner(folder, second)) == ("dora", "dora")
    tab.click(page.get_by_test_id("said").get_by_role("button", name="Undo"))
    expect(page.get_by_test_id("said")).to_contain_text("Assigned 2 problems as before.")
    assert (_owner(folder, first), _owner(folder, second)) == ("carl", "")


@needs_chromium
def test_a_problem_is_resolved_in_the_next_deploy_or_when_quiet_and_the_page_says_what_it_waits_for(
    tab: Watched, base: str, folder: Path
) -> None:
    id = _id(folder, 9)
    page = tab.page
    page.goto(f"{base}/problem?id={id}")
    tab.click(page.get_by_role("button", name="Resolve later"))
    page.locator(".st-key-resolve-when-quiet-for-7-days button").click()
    expect(
        page.get_by_text("To be resolved once quiet for 7 days; still waits, as its last failure was")
    ).to_be_visible()
    tab.click(".st-key-undo button")
    expect(page.get_by_text("Put back.")).to_be_visible()
    tab.click(page.get_by_role("button", name="Resolve later"))
    page.locator(".st-key-resolve-in-the-next-deploy button").click()
    expect(page.get_by_text("Resolved in the next deploy.")).to_be_visible()
    expect(page.get_by_text("Waits for the next deploy of DAG")).to_be_visible()
    service = _service(folder)
    assert service.find(id).deploy is not None
    service.undo(id, "ann", made_up.NOW)
    service.store.close()


@needs_chromium
def test_a_note_is_shown_as_it_was_written_and_can_be_taken_back(tab: Watched, base: str, folder: Path) -> None:
    page = tab.page
    page.goto(f"{base}/problem?id={_id(folder, 9)}")
    page.get_by_label("Note").fill(made_up.HOSTILE)
    tab.click(page.get_by_role("button", name="Add note"))
    expect(page.get_by_text("someone noted: <img src=x onerror=")).to_be_visible()
    expect(page.get_by_text("Noted.", exact=True)).to_be_visible()
    tab.click(".st-key-undo button")
    expect(page.get_by_text("The note is gone.")).to_be_visible()
    expect(page.get_by_text("someone noted:")).to_have_count(0)
    assert page.evaluate("window.__pwn") is None


@needs_chromium
def test_what_of_a_big_log_was_not_read_is_said_and_lines_behind_it_count_from_the_end(
    tab: Watched, base: str, folder: Path
) -> None:
    service = _service(folder)
    big = made_up.big()
    service.record([big])
    service.settle(made_up.NOW)
    id = next(row.problem.id for row in service.queue(made_up.NOW) if row.problem.fingerprint == big.fingerprint)
    service.store.close()
    page = tab.page
    page.goto(f"{base}/problem?id={id}#L-2")
    note = page.get_by_text("289 of 3,100 lines read are kept; a log of 1.2 GB: 1.1 MB at its two ends were read, ")
    expect(note).to_contain_text("1,198,885,888 bytes in between were not")
    expect(page.locator(".gap")).to_have_text([
        "… 1,198,885,888 bytes not read; from here lines are counted from the end …", "… 810 lines left out …",
    ])  # fmt: skip
    expect(page.locator(".line.told .no")).to_have_text("−2")
    expect(page.locator(".line.aim")).to_have_attribute("data-no", "-2")


@needs_chromium
def test_a_failure_without_a_log_says_why_and_what_to_try(tab: Watched, base: str, folder: Path) -> None:
    place = next(place for place, case in enumerate(made_up.CASES) if case[1] == "heartbeat lost")
    page = tab.page
    page.goto(f"{base}/problem?id={_id(folder, place)}")
    expect(page.get_by_test_id("headline")).to_have_text("Heartbeat lost")
    said = page.get_by_text(
        "Airflow's event log says: Task did not emit heartbeat within time limit (300 seconds)"
    ).first
    expect(said).to_contain_text("Beside that, the log lay on a worker that no longer answers")
    expect(page.get_by_text("Look at the host's health")).to_be_visible()
    page.goto(f"{base}/search?q=cause:%22heartbeat+lost%22")
    expect(page.get_by_text("Airflow's event log says").first).to_be_visible()


@needs_chromium
def test_similar_problems_are_named_with_score_and_reason_and_lead_there(tab: Watched, base: str, folder: Path) -> None:
    page = tab.page
    page.goto(f"{base}/problem?id={_id(folder, 6)}")
    expect(page.get_by_text("Similar problems")).to_be_visible()
    rows = page.locator("[class*=st-key-similar-]").filter(has_text=" warehouse").filter(has_text="The same")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text("0.90")
    expect(rows.nth(2)).to_contain_text(
        "The same host warehouse, with another trouble: DNS (here connection refused), through another client: psql (here ConnectionRefusedError)."
    )
    expect(rows.filter(has_text="<img src=x").first).to_be_visible()
    rows.nth(2).get_by_role("link").click()
    expect(page.get_by_test_id("headline")).to_contain_text("psql: error: could not translate host name")
    expect(page.get_by_role("link", name="ConnectionRefusedError: [Errno 111]")).to_be_visible()
    page.goto(f"{base}/problem?id={_id(folder, 5)}")
    expect(page.get_by_text("Why one problem")).to_be_visible()
    expect(page.get_by_text("Similar problems")).to_have_count(0)


@needs_chromium
def test_a_similar_problem_is_merged_and_a_part_split_off_with_undo(tab: Watched, base: str, folder: Path) -> None:
    page, id = tab.page, _id(folder, 6)
    page.goto(f"{base}/problem?id={id}")
    row = page.locator("[class*=st-key-similar-]").filter(has_text="psql: error").first
    tab.click(row.get_by_role("button", name="Merge"))
    expect(page.get_by_text("Its 1 failed try comes here, and so do new ones.")).to_be_visible()
    tab.click(page.get_by_role("button", name="Merge it into this one"))
    expect(page.get_by_text(f"now belongs to {id}.").first).to_be_visible()
    expect(row).to_have_count(0)
    tab.click(".st-key-undo-regrouped button")
    expect(page.get_by_text("is a problem of its own again.")).to_be_visible()
    page.get_by_text("Split", exact=True).click()
    expect(page.get_by_role("combobox", name="Which failed tries")).to_have_value(re.compile(r"^DAG .*tries\)$"))
    tab.click(page.get_by_role("button", name="Split off"))
    expect(page.get_by_text(f"of {id} are now problem ").first).to_be_visible()
    page.get_by_text("Merged and split (1)").click()
    tab.click(".st-key-parts [class*=st-key-undo-] button")
    expect(page.get_by_text(f"is part of {id} again.")).to_be_visible()
    service = _service(folder)
    told = [
        (change.who, change.origin, change.what.rpartition(" ")[0])
        for change in service.problem(id, made_up.NOW).history
    ]
    service.store.close()
    assert told[:4] == [
        ("someone", "page", "took back"), ("someone", "page", "split off"), ("someone", "page", "gave back"), ("someone", "page", "took over"),
    ]  # fmt: skip


@needs_chromium
def test_many_are_merged_in_the_queue_with_undo(tab: Watched, base: str, folder: Path) -> None:
    page = tab.page
    page.goto(f"{base}/?tab=all&range=all")
    rows = page.locator("[data-id]")
    rows.first.wait_for()
    before = rows.count()
    chosen = [_id(folder, 3), _id(folder, 4)]
    for id in chosen:
        tab.click(f"[data-id='{id}'] input")
    tab.click("[data-act=merge]")
    page.locator(f"[data-into='{chosen[1]}']").click()
    expect(page.get_by_test_id("said")).to_contain_text("of 1 problem went to")
    expect(rows).to_have_count(before - 1)
    tab.click(page.get_by_role("button", name="Undo"))
    expect(page.get_by_test_id("said")).to_contain_text("1 merge taken back.")
    expect(rows).to_have_count(before)


@needs_chromium
def test_a_deep_link_opens_the_problem_the_try_and_the_line(tab: Watched, base: str, folder: Path) -> None:
    page = tab.page
    page.goto(f"{base}/problem?id={_id(folder, 0)}#L2885")
    expect(page.get_by_test_id("headline")).to_have_text(made_up.CASES[0][0])
    expect(page.locator(".line.aim")).to_have_attribute("data-no", "2885")
    expect(page.locator(".gap").first).to_have_text("… 2,866 lines left out …")
    expect(page.get_by_text("root cause")).to_be_visible()
    expect(page.get_by_text("Try first")).to_be_visible()
    link = page.locator("[data-try] a.ext").first
    assert (link.get_attribute("href") or "").startswith("https://prod.airflow.example/dags/")
    assert link.get_attribute("target") == "_blank"
    page.goto(f"{base}/problem?id=nope")
    expect(page.get_by_text("There is no such problem")).to_be_visible()
    page.goto(f"{base}/problem?try={made_up.pending(made_up.NOW).key.id}")
    expect(page.get_by_text("The log is still awaited")).to_be_visible()
    page.goto(f"{base}/problem")
    expect(page.get_by_text("No problem is named in this address")).to_be_visible()


@needs_chromium
def test_a_comparison_is_asked_for_awaited_and_marked_in_the_log(tab: Watched, base: str, folder: Path) -> None:
    id, page = _id(folder, 1), tab.page
    page.goto(f"{base}/problem?id={id}")
    expect(page.get_by_text("What is new in this log since the last good run of the task?")).to_be_visible()
    assert page.get_by_role("button", name="Only new").count() == 0
    tab.click(page.get_by_role("button", name="Compare with the last good run"))
    expect(page.get_by_text("Looking for the last good run and reading its log")).to_be_visible()
    service = _service(folder)
    ((wish, revision),) = asking.wanted(service, "prod", datetime.now(UTC))
    assert (wish.problem, wish.wanted_by) == (id, "someone")
    found = made_up.compared(service, id, made_up.NOW)
    asking.answer(service, replace(found, wanted_at=wish.wanted_at), revision)
    service.store.close()
    expect(page.get_by_text("3 of 21 lines are new")).to_be_visible()
    expect(page.locator(".line.new")).to_have_count(3)
    expect(page.locator(".line.new").first).to_contain_text("lock wait is longer than 30 s")
    expect(page.locator(".line:visible")).to_have_count(21)
    tab.click(page.get_by_role("button", name="Only new"))
    expect(page.locator(".line:visible")).to_have_count(3)
    expect(page.locator(".gap.same").first).to_have_text("… 17 lines as in the last good run …")
    tab.click(page.get_by_role("button", name="New lines 3"))
    tab.click(page.get_by_role("button", name="Only new"))
    expect(page.locator(".line:visible")).to_have_count(21)
    link = page.get_by_role("link", name="what changed between them")
    assert (link.get_attribute("href") or "").endswith("/-/compare/3d1f08ab77...9ab1e0d42c")


@needs_chromium
def test_how_tasks_fared_is_told_in_the_queue_and_on_the_problem(tab: Watched, base: str, folder: Path) -> None:
    page = tab.page
    page.goto(f"{base}/?tab=flaky")
    row = page.locator("[data-id]").filter(has_text="Killed by SIGKILL")
    expect(row.locator(".how")).to_have_text("heals by retry 6 of 7")
    page.goto(f"{base}/problem?id={_id(folder, 4)}")
    expect(page.get_by_text("Has not run since: its DAG is paused.")).to_be_visible()
    page.goto(f"{base}/problem?id={_id(folder, 6)}")
    expect(page.get_by_text("How its tasks fared")).to_be_visible()
    expect(page.get_by_text("11 succeeded, 3 failed of something else")).to_be_visible()


@needs_chromium
def test_keys_move_select_and_resolve_many_with_undo(tab: Watched, base: str, folder: Path) -> None:
    page = tab.page
    page.goto(base)
    expect(page.locator("[data-id].on")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_text("2 selected")).to_be_visible()
    ids = [box.get_attribute("data-id") or "" for box in page.locator("[data-id]:has(input:checked)").all()]
    page.keyboard.press("r")
    expect(page.get_by_test_id("said")).to_contain_text("Resolved 2 problems.")
    assert {_state(folder, id) for id in ids} == {TriageState.RESOLVED}
    tab.click(page.get_by_role("button", name="Undo"))
    expect(page.get_by_test_id("said")).to_contain_text("Put back 2 problems.")
    assert {_state(folder, id) for id in ids} == {TriageState.NEW}
    page.keyboard.press("m")
    page.keyboard.press("4")
    expect(page.get_by_test_id("said")).to_contain_text("Muted 1 problem until 10 more failures.")
    tab.click(page.get_by_role("button", name="Undo"))
    expect(page.get_by_test_id("said")).to_contain_text("Put back 1 problem.")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")


@needs_chromium
def test_what_is_decided_about_a_problem_with_an_issue_says_what_becomes_of_that(
    tab: Watched, base: str, folder: Path
) -> None:
    page, id = tab.page, _id(folder, 11)
    page.goto(f"{base}/?tab=all&range=all&q=shapely")
    expect(page.locator(f"[data-id='{id}'].on")).to_be_visible()
    expect(page.locator(".issue")).to_have_text("#41")
    page.keyboard.press("Shift+R")
    expect(page.locator("[data-later]")).to_have_count(2)
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    expect(page.get_by_test_id("said")).to_contain_text("Resolved 1 problem. GitLab #41 will be closed.")
    page.goto(f"{base}/problem?id={id}")
    mark = page.get_by_test_id("mark")
    expect(mark).to_have_attribute("title", re.compile("someone resolved, .* UTC$"))
    tab.click(page.get_by_role("button", name="Reopen"))
    expect(page.get_by_text("Reopened.", exact=True)).to_be_visible()
    tab.click(page.get_by_role("button", name="Mute"))
    page.get_by_label("Why").fill("the image is built anew on Monday")
    page.get_by_label("Why").press("Enter")
    page.get_by_role("button", name="Until its GitLab issue closes").click()
    expect(page.get_by_text("Muted until its GitLab issue closes.")).to_be_visible()
    expect(page.get_by_text("the image is built anew on Monday").first).to_be_visible()


@needs_chromium
def test_the_address_holds_the_filter_and_back_returns_to_it(tab: Watched, base: str) -> None:
    page = tab.page
    page.goto(base)
    page.locator("[data-id]").first.wait_for()
    page.keyboard.press("/")
    page.keyboard.type("jkxmr")
    expect(page.get_by_text("No problem matches")).to_be_visible()
    page.get_by_label("Filter problems").fill("pyarr")
    expect(page.locator("[data-id]")).to_have_count(1)
    page.wait_for_url("**/?q=pyarr")
    page.get_by_label("Filter problems").fill("dag:orders")
    expect(page.locator("[data-id]")).to_have_count(2)
    page.locator("[data-tab=all]").click()
    tab.click(page.get_by_role("button", name="Last"))
    address = page.url
    assert "tab=all" in address
    assert "sort=last" in address
    page.locator("[data-id]").nth(1).click()
    page.get_by_test_id("headline").wait_for()
    page.go_back()
    expect(page.locator("[data-id]")).to_have_count(2)
    assert page.url == address
    expect(page.get_by_label("Filter problems")).to_have_value("dag:orders")
    fresh = page.context.new_page()
    fresh.goto(address)
    expect(fresh.locator("[data-id]")).to_have_count(2)
    expect(fresh.locator("[data-tab=all]")).to_have_attribute("aria-current", "page")


@needs_chromium
def test_hostile_text_is_shown_as_text_on_every_page(tab: Watched, base: str, folder: Path) -> None:
    page = tab.page
    service = _service(folder)
    id = next(row.problem.id for row in service.queue(made_up.NOW) if "<img" in row.problem.title)
    service.store.close()
    for path, place in (("/", ".title"), (f"/problem?id={id}", "h1"), ("/search?q=onerror", ".title")):
        page.goto(base + path)
        shown = page.locator(place).filter(has_text="<img src=x").first
        expect(shown).to_be_visible()
        assert "![x](https://evil.example/a.png)" in (shown.text_content() or "")
        assert "<U+202E>" in (shown.text_content() or "")
        assert page.locator(".root img, .root script").count() == 0
        assert not [a for a in page.locator("a[href]").all() if "//evil" in (a.get_attribute("href") or "")]
    expect(page.get_by_text("javascript:window").first).to_be_visible()
    assert page.locator("a[href^='javascript']").count() == 0


@needs_chromium
def test_health_says_what_is_wrong_and_what_to_do(tab: Watched, base: str) -> None:
    page = tab.page
    page.goto(f"{base}/health")
    expect(page.get_by_text("Check that its API server runs").first).to_be_visible()
    expect(page.get_by_text("Part of what you see is old.")).to_be_visible()
    expect(page.get_by_text("gives no sign of life")).to_be_visible()
    expect(page.get_by_text("No module named 'shapely'").first).to_be_visible()
    expect(page.get_by_text("rates_api")).to_be_visible()
    expect(page.get_by_text("Reading back: 3.5 of 7 days")).to_be_visible()
    expect(page.get_by_text("Missed at first: ")).to_be_visible()
    expect(page.get_by_text("The settings do not name it any more.")).to_be_visible()


@needs_chromium
def test_a_wrong_grouping_is_downloaded_as_the_folder_that_the_command_writes(
    tab: Watched, base: str, folder: Path
) -> None:
    page, id = tab.page, _id(folder, 0)
    page.goto(f"{base}/problem?id={id}")
    page.get_by_text("Wrong grouping?").click()
    expect(page.locator(".st-key-wrong code")).to_have_text(f"airtriage case {id}")
    with page.expect_download() as started:
        tab.click(page.get_by_role("button", name="Download the logs"))
    assert started.value.suggested_filename == f"airtriage-case-{id}.zip"
    service = _service(folder)
    made = complaint(service, id, made_up.NOW)
    service.store.close()
    with zipfile.ZipFile(started.value.path()) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == made.files
    assert len(made.files) > 1
    page.goto(f"{base}/problem?id={_id(folder, 9)}")
    page.get_by_text("Wrong grouping?").click()
    expect(page.get_by_text("No failed try of this problem has a log")).to_be_visible()


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_and_a_narrow_window_fit(browser: Browser, base: str, folder: Path, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 768, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    tab = Watched(context.new_page(), base)
    for path, sign in (
        ("/", "[data-id]"),
        (f"/problem?id={_id(folder, 0)}", "[data-testid=log]"),
        ("/search?q=deadlock", "[data-try]"),
        ("/health", "dl"),
    ):
        tab.page.goto(base + path)
        tab.page.locator(sign).first.wait_for()
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    light = tab.page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert light == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(17, 21, 28)")
    tab.check()
    context.close()


@needs_chromium
def test_behind_a_proxy_links_keep_the_prefix_and_history_names_the_person(browser: Browser, folder: Path) -> None:
    more = {"AIRTRIAGE_WEB__BASE_PATH": "/triage/", "AIRTRIAGE_WEB__USER_HEADER": "X-Forwarded-User"}
    with page_server(folder, "prod", **more) as base:
        tab = Watched(browser.new_page(extra_http_headers={"X-Forwarded-User": "maria"}), base)
        tab.page.goto(f"{base}/triage/")
        tab.page.locator("[data-id]").first.click()
        tab.page.get_by_test_id("headline").wait_for()
        assert tab.page.url.startswith(f"{base}/triage/problem?id=")
        tab.page.reload()
        tab.page.get_by_test_id("headline").wait_for()
        tab.page.locator(".st-key-resolve-resolve button").click()
        expect(tab.page.get_by_text("maria resolved")).to_be_visible()
        tab.click(".st-key-undo button")
        expect(tab.page.get_by_text("maria took back: resolved")).to_be_visible()
        assert tab.page.request.get(f"{base}/triage/api/problems").ok
        tab.check()


@needs_chromium
def test_a_wrong_filter_shows_its_place_and_a_click_puts_it_right(tab: Watched, base: str) -> None:
    page = tab.page
    page.goto(f"{base}/?q=dga:billing&range=all")
    expect(page.locator(".error .caret")).to_have_text("dga:billing\n^^^^")
    expect(page.locator(".error")).to_contain_text("There is no field 'dga' to search.")
    page.locator(".error .better").click()
    expect(page.get_by_label("Filter problems")).to_have_value("dag:billing")
    expect(page.locator(".error")).to_be_hidden()
    assert "range=all" in page.url
    page.goto(f"{base}/search?q=dga:billing")
    expect(page.locator(".error .caret")).to_have_text("dga:billing\n^^^^")
    page.locator(".error .better").click()
    expect(page.get_by_label("Search failed tries")).to_have_value("dag:billing")
    expect(page.locator(".error")).to_be_hidden()
