"""How fast the pages are with 5,000 open problems, beside a bare Streamlit page in the same run.

Run it as `python -m tests.bench pages`. A *warm tab* is the third load on, as the browser then
has Streamlit's files. Painted means that the first rows, the log or the first hit can be seen, polled every frame.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from tests import made_up
from tests.bench.table import Figure, say, show
from tests.served import CHROMIUM, chromium, free_port, page_server

PROBLEMS = 5_000
ROUNDS = 7
_FOUND = "selector => { const seek = root => { if (root.querySelector(selector)) return true; for (const node of root.querySelectorAll('*')) if (node.shadowRoot && seek(node.shadowRoot)) return true; return false; }; return seek(document); }"


def main() -> int:
    """Measure and print the table; 0 where every goal is reached."""
    if CHROMIUM is None:
        say("no chromium on this machine: nothing measured")
        return 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        id = _fill(folder)
        with page_server(folder, "prod") as base, chromium() as browser:
            figures = _ours(browser.new_page(viewport={"width": 1440, "height": 900}), base, id)
            bare = _milliseconds(_bare(folder, browser.new_page(viewport={"width": 1440, "height": 900})))
    rows = []
    for what, (times, goal) in figures.items():
        met = None if goal is None else statistics.median(times) <= goal
        beside = f"bare Streamlit page {bare}" if what == "queue, warm tab" else ""
        rows.append(Figure(what, _milliseconds(times), beside, goal=f"{goal} ms" if goal else "", is_met=met))
    return show(f"Pages with {PROBLEMS:,} open problems: median (worst)", rows)


def _milliseconds(times: list[float]) -> str:
    return f"{statistics.median(times):.0f} ({max(times):.0f}) ms"


def _fill(folder: Path) -> str:
    service = made_up.service(folder)
    made_up.fill(service)
    began = time.perf_counter()
    made_up.many(service, PROBLEMS)
    say(f"{PROBLEMS:,} problems made and settled in {time.perf_counter() - began:.0f} s")
    began = time.perf_counter()
    rows = service.queue(made_up.NOW)
    say(f"Service.queue of {len(rows):,} problems: {(time.perf_counter() - began) * 1000:.0f} ms")
    service.store.close()
    return next(row.problem.id for row in rows if row.total == 214)


def _ours(page: Page, base: str, id: str) -> dict[str, tuple[list[float], int | None]]:
    rows, log, hits = "[data-id]", "[data-testid=log]", "[data-try]"
    cold = [_load(page, base, rows)]
    _load(page, base, rows)
    loads = [_load(page, base, rows) for _ in range(ROUNDS)]
    figures: dict[str, tuple[list[float], int | None]] = {
        "queue, cold tab": (cold, None),
        "queue, warm tab": (loads, 1000),
    }
    opened, back, filtered, acted = [], [], [], []
    for _ in range(ROUNDS):
        page.keyboard.press("Home")
        opened.append(_timed(page, lambda: page.keyboard.press("Enter"), log))
        back.append(_timed(page, page.go_back, rows))
        page.wait_for_timeout(300)
    box = page.get_by_label("Filter problems")
    for place in range(1, ROUNDS + 1):
        box.fill("")
        page.wait_for_function(_FOUND, arg="[data-id]")
        page.wait_for_timeout(600)
        filtered.append(_timed(page, lambda word=f"#{place}70": box.fill(word), f".title[title*='#{place}70']"))
    box.fill("")
    page.wait_for_timeout(600)
    page.keyboard.press("Escape")
    for _ in range(ROUNDS):
        page.locator(rows).first.hover()
        page.keyboard.press("x")
        acted.append(_timed(page, lambda: page.keyboard.press("r"), "[data-testid=said]"))
        page.get_by_role("button", name="Undo").click()
        page.get_by_text("Reopened 1 problem.").wait_for()
        page.evaluate(_FORGET)
    figures |= {
        "queue to problem, log painted": (opened, 500), "Back to the queue, painted": (back, 500),
        "filter typed to filtered list": (filtered, 500), "resolve to its answer": (acted, None),
    }  # fmt: skip
    figures["problem page, warm tab"] = ([_load(page, f"{base}/problem?id={id}", log) for _ in range(ROUNDS)], None)
    figures["search page, warm tab"] = ([_load(page, f"{base}/search?q=deadlock", hits) for _ in range(ROUNDS)], None)
    return figures


_FORGET = (
    "() => { for (const node of document.querySelectorAll('*')) node.shadowRoot?.querySelector('.said')?.remove(); }"
)


def _load(page: Page, url: str, selector: str) -> float:
    return _timed(page, lambda: page.goto(url, wait_until="commit"), selector)


def _timed(page: Page, act: Callable[[], object], selector: str) -> float:
    began = time.perf_counter()
    act()
    page.wait_for_function(_FOUND, arg=selector, polling="raf")
    return (time.perf_counter() - began) * 1000


def _bare(folder: Path, page: Page) -> list[float]:
    """Serve the smallest Streamlit page there is, in the same way, and load it."""
    script, port = folder / "bare.py", free_port()
    script.write_text("import streamlit as st\nst.text('bare')\n", "utf-8")
    options = [
        "--server.headless=true",
        f"--server.port={port}",
        "--server.address=127.0.0.1",
        "--server.fileWatcherType=none",
        "--browser.gatherUsageStats=false",
    ]
    with (folder / "bare.log").open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(script), *options], stdout=out, stderr=out
        )
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        for _ in range(2):
            _load(page, f"http://127.0.0.1:{port}", "[data-testid=stText]")
        return [_load(page, f"http://127.0.0.1:{port}", "[data-testid=stText]") for _ in range(ROUNDS)]
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
