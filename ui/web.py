"""The ASGI app: Streamlit's pages with /healthz, /metrics, /api and /webhooks beside them, behind one guard.

Wires service, settings and clock for the pages and serves until stopped. Streamlit is told everything in code, so that
nothing leaves for a third party; the guard sees every request and websocket before Streamlit does.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import streamlit
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.starlette import App

from triage import asking
from triage.elsewhere import elsewhere
from triage.errors import InputError, ProcessError, TriageError
from triage.merging import in_force
from triage.query import parse
from triage.records import TriageState
from triage.service import Service
from triage.settings import Settings
from triage.similar import Known
from triage.store import open_store
from ui import own_log
from ui.answers import comparison_json, outcomes_json
from ui.format import elsewhere_json, move_json, occurrence_json, problem_json, similar_json
from ui.front.desk import Desk, open_desk
from ui.hooks import Door, senders
from ui.mirrored import gitlab_json, mirrored

# Measured against every page, charts included: blob: is our components' inline JS, the hash Streamlit's one inline script.
_POLICY = (
    "default-src 'none'; script-src 'self' blob: 'sha256-THxz9J9+wf7rhwR2YkXJoSZ13UCmYyC+3lNDv2+8ugA='; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; manifest-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_TITLES = {"/": "Queue", "/problem": "Problem", "/search": "Search", "/health": "Health"}
_LIMIT, _MOST = 50, 10_000
_METHODS = ["GET", "POST", "PUT"]

_LOOK = {
    "primaryColor": ("#2456c9", "#3b6ae6"), "backgroundColor": ("#ffffff", "#11151c"), "secondaryBackgroundColor": ("#f5f7fa", "#191f29"),
    "textColor": ("#1a2230", "#e4e9f1"), "borderColor": ("#dde2ea", "#2b3442"), "linkColor": ("#2456c9", "#7ea4ff"),
    "redTextColor": ("#c0271d", "#ff7b72"), "orangeTextColor": ("#a84e00", "#f0a04b"), "greenTextColor": ("#1c7a3e", "#56c97f"),
    "blueTextColor": ("#2456c9", "#7ea4ff"), "grayTextColor": ("#5c6675", "#98a3b3"), "grayBackgroundColor": ("#eef1f5", "#232b37"),
}  # fmt: skip


def make_app(
    service: Service, settings: Settings, *, now: Callable[[], datetime], nudge: Callable[[], None] | None = None
) -> App:
    """Return the app on one service; the pages of this process then work with it. `nudge` tells that a webhook came."""
    desk = Desk(service, settings, now, nudge or (lambda: None))
    open_desk(desk)
    api = _Api(service, settings, now, desk.known)
    prefix = _prefix(settings)
    door = Door(service.store, senders(settings), now, nudge)
    routes: list[tuple[str, Callable[..., Any]]] = [
        ("/healthz", api.healthz), ("/metrics", api.metrics), ("/api/problems", api.problems),
        ("/api/problems/{id}", api.problem), ("/api/search", api.search), ("/api/{rest:path}", api.unknown),
    ]  # fmt: skip
    # A probe or scraper may come past the proxy, without the prefix; the pages may not.
    prefixes = dict.fromkeys((prefix, ""))
    shells = [Route(prefix + path, partial(_shell, title)) for path, title in _TITLES.items()]
    return App(
        Path(__file__).parent / "front" / "main.py",
        routes=[
            *shells,
            *(Route(start + path, endpoint) for start in prefixes for path, endpoint in routes),
            *(Route(f"{start}/webhooks/gitlab", door.answer, methods=_METHODS) for start in prefixes),
        ],
        middleware=[Middleware(Guard, hosts=_hosts(settings), open_paths={start + "/healthz" for start in prefixes})],
        on_script_error=_script_error,
    )


def serve(settings: Settings, nudge: Callable[[], None] | None = None) -> None:
    """Open the store and serve the pages and the API until stopped; TriageError for a taken port or a bad store.

    `nudge` is called after a webhook brought something new; it may raise nothing.
    """
    own_log.guard(settings.redactor)
    web = settings.web
    family = socket.AF_INET6 if ":" in web.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((web.host, web.port))
        except OSError as exc:
            raise ProcessError(
                f"The page cannot listen on {web.host}:{web.port}: {exc.strerror}.",
                "Set web.port to a free port, or stop what uses it.",
            ) from exc
    service = Service(
        open_store(settings.store_url), settings.scopes, settings.redactor, settings.signers, settings.ownership
    )
    try:
        make_app(service, settings, now=lambda: datetime.now(UTC), nudge=nudge).run(config=config(settings))
    finally:
        service.store.close()


def config(settings: Settings) -> dict[str, Any]:
    """Return what Streamlit is told: quiet, private, fast, and our look."""
    return {
        "server.address": settings.web.host, "server.port": settings.web.port, "server.baseUrlPath": _prefix(settings).strip("/"),
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


def _prefix(settings: Settings) -> str:
    path = settings.web.base_path.strip("/")
    return f"/{path}" if path else ""


def _script_error(exc: Exception) -> bool:
    from ui.front import frame  # registers the components, which needs a started Streamlit

    return frame.failed(exc)


def _shell(title: str, request: Request) -> Response:
    """Serve Streamlit's page with our title, so that a tab never says Streamlit."""
    text = (Path(streamlit.__file__).parent / "static" / "index.html").read_text("utf-8")
    head = f'<title>{title} · airtriage</title><meta name="color-scheme" content="light dark">'
    return HTMLResponse(re.sub(r"<title>[^<]*</title>", head, text, count=1), headers={"cache-control": "no-cache"})


class _Api:
    """The routes beside the pages; each answers JSON, errors as one sentence under `error`."""

    def __init__(self, service: Service, settings: Settings, now: Callable[[], datetime], known: Known) -> None:
        self._service = service
        self._settings = settings
        self._now = now
        self._known = known
        self._registry = CollectorRegistry()
        self._registry.register(Numbers(service, now))

    def healthz(self, request: Request) -> Response:
        try:
            self._service.store.revision()
        except TriageError as exc:
            return JSONResponse({"status": "store away", "error": str(exc)}, 503)
        return JSONResponse({"status": "ok"})

    def metrics(self, request: Request) -> Response:
        try:
            return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
        except TriageError as exc:
            return PlainTextResponse(str(exc), 503)

    def problems(self, request: Request) -> Response:
        return _answer(lambda: self._problems(request))

    def _problems(self, request: Request) -> list[dict[str, Any]]:
        now, asked = self._now(), request.query_params
        states = {state.upper() for state in asked.get("state", "").split(",") if state}
        if unknown := states - set(TriageState):
            raise InputError(f"There is no state {sorted(unknown)[0]!r}.", f"The states are {', '.join(TriageState)}.")
        limit = _limit(asked.get("limit"))
        rows = self._service.queue(now, parse(asked.get("q", ""), now))
        return [problem_json(row) for row in rows if not states or row.problem.state in states][:limit]

    def problem(self, request: Request) -> Response:
        def find() -> dict[str, Any]:
            view = self._service.problem(request.path_params["id"], self._now(), limit=_LIMIT)
            tries = [occurrence_json(occurrence, view.row.problem.id) for occurrence in view.occurrences]
            history = [
                {
                    "at": change.at.isoformat(),
                    "who": change.who,
                    "what": change.what,
                    "why": change.why,
                    "origin": change.origin,
                }
                for change in view.history
            ]
            fact = self._service.readable(view)
            found = asking.comparison(self._service, fact.key.id) if fact else None
            return {
                **problem_json(view.row), "fingerprints": view.fingerprints, "latest": tries, "history": history,
                "outcomes": [outcomes_json(answer) for answer in view.outcomes], "last_good_run": comparison_json(found, fact),
                "similar": similar_json(self._known.similar(view, self._now())),
                "gitlab": gitlab_json(mirrored(self._service, self._settings, view.row, self._now()), self._now()),
                "moves": [move_json(move) for move in in_force(self._service, view.row.problem)],
                "elsewhere": elsewhere_json(elsewhere(self._service, view.row.problem, view.fingerprints)),
            }  # fmt: skip

        return _answer(find, bad=404)

    def search(self, request: Request) -> Response:
        def find() -> list[dict[str, Any]]:
            now = self._now()
            found = self._service.search(
                parse(request.query_params.get("q", ""), now), now, _limit(request.query_params.get("limit"))
            )
            return [occurrence_json(occurrence, self._service.problem_of(occurrence)) for occurrence in found]

        return _answer(find)

    def unknown(self, request: Request) -> Response:
        return JSONResponse(
            {"error": f"There is nothing at {request.url.path}: try /api/problems, /api/problems/ID or /api/search."},
            404,
        )


def _answer(make: Callable[[], Any], bad: int = 400) -> Response:
    try:
        return JSONResponse(make())
    except InputError as exc:
        return JSONResponse({"error": str(exc)}, bad)
    except TriageError as exc:
        return JSONResponse({"error": str(exc)}, 503)


def _limit(text: str | None) -> int:
    if text is None:
        return _LIMIT
    if not re.fullmatch("[0-9]{1,6}", text) or not 1 <= int(text) <= _MOST:
        raise InputError(f"limit={text} is not a number from 1 to {_MOST}.")
    return int(text)


class Numbers(Collector):
    """What Prometheus scrapes, read from the store at each scrape."""

    def __init__(self, service: Service, now: Callable[[], datetime]) -> None:
        self._service = service
        self._now = now

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without asking the store."""
        return self._families()

    def _families(self) -> tuple[GaugeMetricFamily, ...]:
        one = ["deployment"]
        return (
            GaugeMetricFamily("airtriage_problems", "Problems by triage state.", labels=["deployment", "state"]),
            GaugeMetricFamily("airtriage_backlog", "Failed tries whose log is awaited.", labels=one),
            GaugeMetricFamily("airtriage_backlog_oldest_seconds", "Age of the oldest of these.", labels=one),
            GaugeMetricFamily("airtriage_last_pass_age_seconds", "Time since the last good pass.", labels=one),
            GaugeMetricFamily("airtriage_pass_lag_seconds", "The same beyond the time between two passes.", labels=one),
            GaugeMetricFamily("airtriage_troubles", "What an operator has to fix.", labels=one),
        )

    def collect(self) -> Iterable[Metric]:
        """Read the store."""
        now = self._now()
        problems, backlog, oldest, age, lag, troubles = families = self._families()
        counts: dict[tuple[str, str], int] = {}
        for row in self._service.queue(now):
            for deployment in row.deployments:
                key = (deployment, str(row.problem.state))
                counts[key] = counts.get(key, 0) + 1
        for view in self._service.health(now):
            name, health = [view.health.deployment], view.health
            for state in TriageState:
                counts.setdefault((name[0], str(state)), 0)
            backlog.add_metric(name, view.backlog.waiting)
            oldest.add_metric(name, (now - view.backlog.oldest).total_seconds() if view.backlog.oldest else 0)
            troubles.add_metric(name, len(health.troubles))
            if health.succeeded_at:
                passed = (now - health.succeeded_at).total_seconds()
                age.add_metric(name, passed)
                lag.add_metric(name, max(passed - health.poll, 0))
        for labels, count in sorted(counts.items()):
            problems.add_metric(list(labels), count)
        return families


def _hosts(settings: Settings) -> frozenset[str]:
    return frozenset(host.lower() for host in ("localhost", settings.web.host, *settings.web.allowed_hosts))


class Guard:
    """Pure ASGI, so that it sees websockets too: known hosts and our own origin only, and headers on every answer.

    A host given as an IP address is fine: DNS rebinding needs a name. The Origin is taken away once checked, as
    Streamlit's own check would ask an outside service for this machine's address.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str], open_paths: set[str]) -> None:
        self._app = app
        self._hosts = hosts
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if scope["path"] not in self._open and not self._known(host):
            return await _refuse(
                scope, receive, send, f"The host {host!r} is not known here; add it to web.allowed_hosts."
            )
        if scope["type"] == "websocket":
            origin = headers.get(b"origin")
            if origin is not None and not self._own(origin, host):
                return await _refuse(scope, receive, send, "Another site's page may not connect.")
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"origin"]}
            return await self._app(scope, receive, send)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = {name for name, _ in _HEADERS}
                message = {
                    **message,
                    "headers": [p for p in message.get("headers", ()) if p[0].lower() not in ours] + list(_HEADERS),
                }
            await send(message)

        await self._app(scope, receive, guarded)

    def _known(self, host: str) -> bool:
        name = _hostname(f"//{host}")
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _own(self, origin: str, host: str) -> bool:
        try:
            netloc = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        return netloc == host.lower() or (
            _hostname(origin) in self._hosts - {"localhost"} and _hostname(f"//{host}") in self._hosts
        )


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


async def _refuse(scope: Scope, receive: Receive, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": why[:120]})
        return
    headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"), *_HEADERS)
    await send({"type": "http.response.start", "status": 403, "headers": list(headers)})
    await send({"type": "http.response.body", "body": json.dumps({"error": why}).encode()})
