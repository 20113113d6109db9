"""A served page and a real Chromium for tests, screenshots and benches: started here, ended here."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic",
)  # fmt: skip
_SERVE = "from triage.settings import load; from ui.web import serve; serve(load())"


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def page_server(folder: Path, *deployments: str, **more: str) -> Iterator[str]:
    """Serve the page on the store in `folder`; the address without a slash at its end."""
    port = free_port()
    names = {f"AIRTRIAGE_DEPLOYMENTS__{name.upper()}__URL": f"https://{name}.airflow.example" for name in deployments}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRTRIAGE_")}
    environ |= {"AIRTRIAGE_DATA_DIR": str(folder), "AIRTRIAGE_WEB__PORT": str(port), **names, **more}
    with (folder / "page.log").open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", _SERVE], env=environ, stdout=out, stderr=out)
    try:
        _wait(f"http://127.0.0.1:{port}/healthz", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert process.poll() is None, "the page ended at once; see page.log"
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the page did not come up in 30 s")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium, quiet and without a sandbox."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_QUIET))
        try:
            yield browser
        finally:
            browser.close()
