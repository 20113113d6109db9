"""What `airtriage web` serves: Streamlit's pages, the API and the webhooks, in one process or apart.

Wires service, settings and clock and serves until stopped. Streamlit is told everything in code, so that
nothing leaves for a third party; the guard sees every request and websocket before Streamlit does. Streamlit is imported
only where pages are served: the API alone is up sooner, and in half the memory.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from triage.service import Service
from triage.settings import Settings
from triage.store import open_store
from ui import own_log
from ui.api import api_routes, elsewhere_routes, export_routes, guarded, health_routes, make_api, prefix
from ui.front.desk import Desk, desk, open_desk
from ui.up import check_port

if TYPE_CHECKING:
    from streamlit.starlette import App

_PATIENCE = 3.0  # seconds
_TITLES = {"/": "Queue", "/problem": "Problem", "/search": "Search", "/health": "Health"}

_LOOK = {
    "primaryColor": ("#2456c9", "#3b6ae6"), "backgroundColor": ("#ffffff", "#11151c"), "secondaryBackgroundColor": ("#f5f7fa", "#191f29"),
    "textColor": ("#1a2230", "#e4e9f1"), "borderColor": ("#dde2ea", "#2b3442"), "linkColor": ("#2456c9", "#7ea4ff"),
    "redTextColor": ("#c0271d", "#ff7b72"), "orangeTextColor": ("#a84e00", "#f0a04b"), "greenTextColor": ("#1c7a3e", "#56c97f"),
    "blueTextColor": ("#2456c9", "#7ea4ff"), "grayTextColor": ("#5c6675", "#98a3b3"), "grayBackgroundColor": ("#eef1f5", "#232b37"),
}  # fmt: skip


class Part(StrEnum):
    """What one process serves of the web side."""

    ALL = "all"
    PAGES = "pages"
    API = "api"


def make_app(
    service: Service, settings: Settings, *, now: Callable[[], datetime], nudge: Callable[[], None] | None = None,
    part: Part = Part.ALL,
) -> App:  # fmt: skip
    """Return the app with the pages on one service; the pages of this process then work with it.

    `nudge` tells that a webhook came, or that something is wished for on GitLab.
    """
    from streamlit.starlette import App

    ours = Desk(service, settings, now, nudge or (lambda: None))
    open_desk(ours)
    away = partial(elsewhere_routes, ours, ("/api", "/api/{rest:path}", "/webhooks/gitlab"))
    beside = api_routes(ours, nudge) if part is Part.ALL else away("The API and the webhooks are", settings.web.api_url)
    shells = [Route(prefix(settings) + path, partial(_shell, title)) for path, title in _TITLES.items()]
    return App(
        Path(__file__).parent / "front" / "main.py",
        routes=[*shells, *health_routes(ours), *export_routes(ours), *beside],
        middleware=guarded(settings),
        on_script_error=_script_error,
    )


def serve(settings: Settings, nudge: Callable[[], None] | None = None, part: Part = Part.ALL) -> None:
    """Open the store and serve pages, API or both until stopped; TriageError for a taken port or a bad store.

    `nudge` is called after a webhook brought something new; it may raise nothing.
    """
    own_log.guard(settings.redactor)
    web = settings.web
    port, name = (web.api_port, "web.api_port") if part is Part.API else (web.port, "web.port")
    check_port(web.host, port, name)
    # A person waits: a server that is away is waited for in the passes, the pages soon say so.
    store = open_store(settings.store_url, replace(settings.store_access, patience=_PATIENCE))
    service = Service(store, settings.scopes, settings.redactor, settings.signers, settings.ownership)
    try:
        if part is Part.API:
            alone = Desk(service, settings, _clock, nudge or (lambda: None))
            app = make_api(alone, nudge)
            _warm(alone)
            _serve_api(app, web.host, port)
        else:
            pages = make_app(service, settings, now=_clock, nudge=nudge, part=part)
            _warm(desk())
            pages.run(config=config(settings))
    finally:
        store.close()


def _clock() -> datetime:
    return datetime.now(UTC)


def _warm(its: Desk) -> None:
    """Make what the first visitor would wait for, beside the start, which waits for nothing."""
    threading.Thread(target=its.warm, name="warm", daemon=True).start()


def _serve_api(app: Starlette, host: str, port: int) -> None:
    import uvicorn

    uvicorn.run(
        app, host=host, port=port, ws="none", access_log=False, use_colors=False, log_level="warning",
        proxy_headers=False, server_header=False,
    )  # fmt: skip


def config(settings: Settings) -> dict[str, Any]:
    """Return what Streamlit is told: quiet, private, fast, and our look."""
    return {
        "server.address": settings.web.host, "server.port": settings.web.port, "server.baseUrlPath": prefix(settings).strip("/"),
        "server.headless": True, "server.showEmailPrompt": False, "server.fileWatcherType": "none", "server.enableAgentApi": False,
        "browser.gatherUsageStats": False, "browser.serverAddress": settings.web.host,
        "client.toolbarMode": "minimal", "client.showErrorDetails": "none", "client.showErrorLinks": False,
        # A full garbage collection after every run holds the GIL: medians of 1.2 s against 50 ms at 20 users.
        "runner.magicEnabled": False, "runner.postScriptGC": False, "global.maxCachedMessageAge": 20,
        "theme.baseFontSize": 14, "theme.headingFontSizes": ["1.3rem", "1.1rem", "1rem", "1rem", "1rem", "1rem"],
        "theme.baseRadius": "6px", "theme.buttonRadius": "6px", "theme.codeFontSize": "12px", "theme.paddingTop": "0rem", "theme.paddingBottom": "1rem",
        **{f"theme.light.{name}": pair[0] for name, pair in _LOOK.items()},
        **{f"theme.dark.{name}": pair[1] for name, pair in _LOOK.items()},
    }  # fmt: skip


def _script_error(exc: Exception) -> bool:
    from ui.front import frame  # registers the components, which needs a started Streamlit

    return frame.failed(exc)


def _shell(title: str, request: Request) -> Response:
    """Serve Streamlit's page with our title, so that a tab never says Streamlit."""
    import streamlit

    text = (Path(streamlit.__file__).parent / "static" / "index.html").read_text("utf-8")
    head = f'<title>{title} · airtriage</title><meta name="color-scheme" content="light dark">'
    return HTMLResponse(re.sub(r"<title>[^<]*</title>", head, text, count=1), headers={"cache-control": "no-cache"})
