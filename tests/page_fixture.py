"""The pages in a real Chromium: a tab that notes what must never happen. A test file says by `base` what is served."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.served import CHROMIUM, chromium

expect.set_options(timeout=20_000)  # milliseconds: a page waits its turn where the machine is busy
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
_STILL = "[data-testid=stApp][data-test-script-state=notRunning]"


class Watched:
    """A page that notes what must never happen: errors, requests to others, scripts out of foreign text."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self.base = page, base
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(f"error {error}"))
        page.on(
            "request",
            lambda request: self.wrong.append(f"request {request.url}") if self._foreign(request.url) else None,
        )

    def _foreign(self, url: str) -> bool:
        return not url.startswith((self.base, self.base.replace("http", "ws"), "data:", "blob:"))

    def click(self, what: str | Locator) -> None:
        """Click once the page is drawn whole: a button that moves between press and release is not clicked at all."""
        button = self.page.locator(what) if isinstance(what, str) else what
        button.wait_for()
        self.page.locator(_STILL).wait_for()  # no function: the page forbids to evaluate one later
        button.click()

    def check(self) -> None:
        assert self.wrong == []
        assert self.page.evaluate("window.__pwn") is None
        assert self.page.locator("[data-testid=stException], .oops").count() == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def tab(browser: Browser, base: str) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    watched = Watched(context.new_page(), base)
    yield watched
    watched.check()
    context.close()
