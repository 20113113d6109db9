"""Make docs/images from made-up problems: the real page in the real browser. Run as `python -m tests.screenshots`."""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests import made_up
from tests.served import CHROMIUM, chromium, page_server

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def main(images: Path = IMAGES) -> int:
    """Fill a throwaway store, serve it, and take a picture of every page."""
    if CHROMIUM is None:
        print("Screenshots need chromium: install it (apt-get install chromium).", file=sys.stderr)
        return 1
    images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder, now = Path(name), datetime.now(UTC)
        service = made_up.service(folder)
        made_up.fill(service, now)
        id = service.queue(now)[0].problem.id
        service.store.close()
        with page_server(folder, "prod") as base, chromium() as browser:
            shots = (
                ("queue", "/?tab=all", "[data-id]", "light"),
                ("queue-dark", "/?tab=all", "[data-id]", "dark"),
                ("problem", f"/problem?id={id}", "[data-testid=log]", "light"),
                ("search", "/search?q=deadlock", "[data-try]", "light"),
                ("health", "/health", "dl", "light"),
            )
            for picture, path, sign, scheme in shots:
                page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
                page.goto(base + path)
                page.locator(sign).first.wait_for()
                page.wait_for_timeout(700)  # fonts and the last component
                page.screenshot(path=images / f"{picture}.png")
                page.close()
                print(f"docs/images/{picture}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
