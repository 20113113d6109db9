"""The Search page, driven in a real Chromium as a person would."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests import made_up
from tests.page_fixture import Watched, needs_chromium
from tests.served import page_server
from triage import saved

HOSTILE_NAME = '<b>**x**</b> "q" [l](javascript:1) $x^2$'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    service = made_up.service(folder)
    made_up.fill(service)
    service.record([made_up.hostile(), *made_up.neighbours()])
    service.settle(made_up.NOW)
    service.store.close()
    return folder


@pytest.fixture(scope="module")
def base(folder: Path) -> Iterator[str]:
    with page_server(folder, "prod") as address:
        yield address


@needs_chromium
def test_hits_are_marked_in_their_log_and_pages_follow_one_another(tab: Watched, base: str, folder: Path) -> None:
    page = tab.page
    page.goto(f"{base}/search")
    page.get_by_text("For example").wait_for()
    page.get_by_label("Search failed tries").fill("deadlock")
    page.keyboard.press("Enter")
    rows = page.locator("[data-try]")
    expect(rows).to_have_count(50)
    expect(page.get_by_text("214 failed tries")).to_be_visible()
    expect(page.locator("mark").first).to_have_text("deadlock")
    first = rows.first.get_attribute("data-try")

    def turn(name: str) -> None:
        """Go to another page and wait until it is there."""
        shown = rows.first.get_attribute("data-try")
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.locator(f"[data-try='{shown}']")).to_have_count(0)

    turn("Next")
    assert "after=" in page.url
    service = made_up.service(folder)
    fresh = made_up._occurrences(0, made_up.CASES[0], made_up.NOW + timedelta(minutes=1), made_up.random.Random(3))[-1]
    service.record([replace(fresh, key=replace(fresh.key, dag_id="newest"), host="w-1")])
    service.store.close()
    turn("Next")
    expect(page.get_by_text("215 failed tries")).to_be_visible()
    turn("Previous")
    turn("Previous")
    expect(page.locator(f"[data-try='{first}']")).to_be_visible()
    expect(page.get_by_role("link", name="Previous")).to_have_count(0)
    line = page.locator(".line.hit").first
    number = page.locator("[data-snippet]").first.get_attribute("data-snippet")
    expect(line.locator("mark")).to_have_text("deadlock")
    line.click()
    expect(page.locator(".line.aim")).to_have_attribute("data-no", number or "")


@needs_chromium
def test_a_facet_narrows_and_its_chip_takes_it_out_whatever_its_value(tab: Watched, base: str) -> None:
    page = tab.page
    page.goto(f"{base}/search?q=onerror")
    page.locator("[data-facet=host] .value").first.wait_for()
    for field in ("dag", "owner", "host"):
        value = page.locator(f"[data-facet={field}] .value").first
        name = value.locator(".name").text_content() or ""
        value.click()
        expect(page.locator(".hints .x")).to_have_count(1)
        expect(page.get_by_text(re.compile("^1 failed try|^4 failed tries")).first).to_be_visible()
        assert "<" in name
        page.locator(".hints .x").click()
        expect(page.locator(".hints .x")).to_have_count(0)
        expect(page.get_by_label("Search failed tries")).to_have_value("onerror")
    page.goto(f"{base}/search?q=deadlock+OR+refused")
    page.locator("[data-facet=dag] .value").filter(has_text="billing").click()
    expect(page.get_by_label("Search failed tries")).to_have_value("(deadlock OR refused) dag:billing")
    expect(page.get_by_text("45 failed tries")).to_be_visible()
    page.get_by_role("button", name="3 more").first.click()
    expect(page.locator("[data-facet=host] .value")).to_have_count(9)


@needs_chromium
def test_a_span_is_zoomed_into_by_mouse_and_keys_the_address_holds_it_and_back_leaves_it(
    tab: Watched, base: str
) -> None:
    page = tab.page
    page.goto(f"{base}/search?q=refused")
    bars = page.locator(".slot")
    bars.first.wait_for()
    expect(page.get_by_text("in 6 hours").first).to_be_visible()
    whole = page.url
    plot = page.locator("svg.plot").bounding_box()
    assert plot is not None
    page.mouse.move(plot["x"] + plot["width"] * 0.4, plot["y"] + 40)
    page.mouse.down()
    page.mouse.move(plot["x"] + plot["width"] * 0.6, plot["y"] + 40, steps=4)
    page.mouse.up()
    page.wait_for_url("**from=*")
    expect(page.get_by_text("an hour")).to_be_visible()
    narrow = page.url
    page.locator("svg.plot").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url != narrow)
    expect(page.get_by_text("a minute")).to_be_visible()
    page.get_by_role("link", name="zoom out").click()
    page.go_back()
    page.go_back()
    page.wait_for_url(narrow)
    expect(page.get_by_text("an hour")).to_be_visible()
    fresh = page.context.new_page()
    fresh.goto(narrow)
    expect(fresh.get_by_text("an hour")).to_be_visible()
    fresh.locator(".hints .x").click()
    fresh.wait_for_url(whole)


@needs_chromium
def test_fields_and_values_are_completed_by_keys_and_a_wrong_query_says_where(tab: Watched, base: str) -> None:
    page = tab.page
    page.goto(f"{base}/search")
    box = page.get_by_label("Search failed tries")
    box.wait_for()
    box.press_sequentially("dag:bil")
    expect(page.get_by_role("option")).to_have_text(["dag:billing45"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(box).to_have_value("dag:billing ")
    box.press_sequentially("cause:")
    expect(page.get_by_role("option").first).to_contain_text("cause:")
    expect(page.get_by_role("option")).to_have_count(8)
    page.keyboard.press("Escape")
    expect(page.get_by_role("option")).to_have_count(0)
    box.fill("disk dga:x")
    page.keyboard.press("Enter")
    expect(page.get_by_text("There is no field 'dga'")).to_be_visible()


@needs_chromium
def test_a_pasted_log_leads_to_the_problems_it_looks_like(tab: Watched, base: str) -> None:
    page = tab.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{base}/search")
    box = page.get_by_label("Search failed tries")
    box.focus()
    page.evaluate(
        "navigator.clipboard.writeText('2026-11-24 INFO start\\nConnectionRefusedError: [Errno 111] Connection refused to warehouse:5432 <img src=x>')"
    )
    page.keyboard.press("Control+V")
    page.wait_for_url("**seen=1")
    expect(page.get_by_text("The same endpoint warehouse:5432").first).to_be_visible()
    page.get_by_role("link", name="ConnectionRefusedError: [Errno 111]").first.click()
    page.get_by_test_id("headline").wait_for()
    page.goto(f"{base}/search?seen=1")
    page.locator("textarea").fill("xylophone zugzwang")
    tab.click(page.get_by_role("button", name="Have we seen this?"))
    expect(page.get_by_text("We have not seen this")).to_be_visible()


@needs_chromium
def test_a_search_is_saved_opened_renamed_deleted_and_put_back(tab: Watched, base: str, folder: Path) -> None:
    page = tab.page
    page.goto(f"{base}/search?q=dag:billing")
    tab.click(page.get_by_role("button", name="Saved searches"))
    page.get_by_label("Name of this search").fill(HOSTILE_NAME)
    page.keyboard.press("Enter")
    said = page.get_by_test_id("saved-said")
    expect(said).to_contain_text(f"Saved as {HOSTILE_NAME}.")
    tab.click(page.locator("[data-saved]").get_by_role("button", name="Rename"))
    page.get_by_label("New name").fill("Billing")
    page.keyboard.press("Enter")
    expect(said).to_contain_text("It is called Billing now.")
    tab.click(page.locator("[data-saved]").get_by_role("button", name="Delete"))
    expect(said).to_contain_text("Deleted Billing.")
    tab.click(page.get_by_role("button", name="Undo"))
    expect(said).to_contain_text("Saved as Billing.")
    service = made_up.service(folder)
    assert [(one.name, one.query, one.who) for one in saved.visible(service, "someone")] == [
        ("Billing", "dag:billing", "someone")
    ]
    service.store.close()
    page.goto(f"{base}/search")
    tab.click(page.get_by_role("button", name="Saved searches (1)"))
    page.get_by_role("link", name="Billing", exact=True).click()
    expect(page.get_by_text("45 failed tries")).to_be_visible()


@needs_chromium
def test_everything_found_is_downloaded_and_what_finds_nothing_is_named(tab: Watched, base: str) -> None:
    page = tab.page
    page.goto(f"{base}/search?q=dag:crm_sync")
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    assert started.value.suggested_filename == "airtriage-search.csv"
    assert Path(started.value.path()).read_text().endswith("# end: 13\n")
    page.goto(f"{base}/search?q=deadlock+dag%3Anowhere")
    expect(page.get_by_text("dag:nowhere")).to_be_visible()
    page.goto(f"{base}/search?q=dag%3Anowhere&from=2026-01-01&to=2026-01-02")
    expect(page.get_by_text("Search all of time. Logs are searched by whole words")).to_be_visible()


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_fits(browser: Browser, base: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 768, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    tab = Watched(context.new_page(), base)
    for path, sign in (
        ("/search?q=onerror", "[data-try]"),
        ("/search?seen=1", "textarea"),
        ("/search?q=x+y", ".empty"),
    ):
        tab.page.goto(base + path)
        tab.page.locator(sign).first.wait_for()
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.check()
    context.close()
