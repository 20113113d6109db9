"""Make docs/images from made-up problems: the real page in the real browser. Run as `python -m tests.screenshots`.

The GitLab issues in them are those of the double, opened by real rounds; no real GitLab ran.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collector.mirroring import syncer
from tests import made_up
from tests.gitlab_double import FakeGitLab
from tests.gitlab_state import DEVELOPER, MAINTAINER
from tests.served import CHROMIUM, chromium, page_server
from triage.mirrors import Mirror, Tracker
from triage.service import Service
from triage.settings import Settings

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PROJECT = "data/airflow"


@contextmanager
def mirrored(service: Service, folder: Path, now: datetime) -> Iterator[dict[str, str]]:
    """Open issues for the problems that have five final failures, at the double; the page's settings for it."""
    with FakeGitLab() as fake:
        fake.user("project_7_bot", bot=True)
        project = fake.project(PROJECT, {"project_7_bot": MAINTAINER, "anna.schmidt": DEVELOPER})
        project.last_iid = 36
        its = {"url": fake.url, "token": fake.token("project_7_bot"), "project": PROJECT, "open_after": "5"}
        deployments = {"prod": {"url": "https://prod.airflow.example"}}
        settings = Settings.model_validate({"data_dir": folder, "gitlab": its, "deployments": deployments})
        steady = Tracker(
            fake.url, PROJECT, project.id, heard_at=now - timedelta(minutes=1), steady_at=now - timedelta(hours=1)
        )
        service.store.save(steady, None)
        rounds = syncer(settings, service, lambda: now - timedelta(seconds=40))
        rounds.run()
        first = service.queue(now)[0].problem.id
        found = service.store.get(Mirror, first)
        assert found is not None, "the first problem got no issue"
        path = f"/projects/{project.id}/issues/{found[0].iid}"
        fake.do("anna.schmidt", "PUT", path, {"assignee_ids": [fake.user("anna.schmidt").id], "add_labels": "crm"})
        syncer(settings, service, lambda: now - timedelta(seconds=9)).run()
        yield {f"AIRTRIAGE_GITLAB__{name.upper()}": value for name, value in its.items()}


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
        with mirrored(service, folder, now) as gitlab:
            service.store.close()
            with page_server(folder, "prod", **gitlab) as base, chromium() as browser:
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
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES))
