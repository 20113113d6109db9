"""The routes beside the pages: /healthz, /metrics, /api and /webhooks, and the app that serves them alone.

Each answers JSON, errors as one sentence under `error`. Knows nothing of Streamlit, so that `airtriage web --only api` is
small and its answers wait for no page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from triage import asking
from triage.elsewhere import elsewhere
from triage.errors import InputError, TriageError
from triage.merging import in_force
from triage.query import EVERYTHING, parse
from triage.records import TriageState
from triage.settings import Settings
from ui.answers import comparison_json, outcomes_json
from ui.format import elsewhere_json, move_json, occurrence_json, problem_json, similar_json
from ui.front.desk import Desk
from ui.guard import Guard, hosts
from ui.hooks import Door, senders
from ui.mirrored import gitlab_json, mirrored
from ui.search_api import SearchApi, number, told

_LATEST = 50  # failed tries that come with a problem
_METHODS = ["GET", "POST", "PUT"]


def health_routes(desk: Desk) -> list[Route]:
    """Return what probes and scrapers ask of every process, with the path prefix and without it."""
    beside = _Beside(desk)
    routes = (("/healthz", beside.healthz), ("/metrics", beside.metrics))
    return [Route(start + path, endpoint) for start in prefixes(desk.settings) for path, endpoint in routes]


def api_routes(desk: Desk, nudge: Callable[[], None] | None) -> list[Route]:
    """Return the API and the door for webhooks, with the path prefix and without it. `nudge` tells that a webhook came."""
    api, door = _Api(desk), Door(desk.service.store, senders(desk.settings), desk.now, nudge)
    routes: list[tuple[str, Callable[..., Any]]] = [
        ("/api/problems", api.problems), ("/api/problems/{id}", api.problem), ("/api/{rest:path}", api.unknown),
    ]  # fmt: skip
    return [
        *(
            Route(start + path, endpoint, methods=methods)
            for start in prefixes(desk.settings)
            for path, endpoint, methods in SearchApi(desk).paths()
        ),
        *(Route(start + path, endpoint) for start in prefixes(desk.settings) for path, endpoint in routes),
        # With a slash at the end too: GitLab follows no redirect.
        *(
            Route(f"{start}/webhooks/gitlab{end}", door.answer, methods=_METHODS)
            for start in prefixes(desk.settings)
            for end in ("", "/")
        ),
    ]


def export_routes(desk: Desk) -> list[Route]:
    """Return what the Search page offers to download, at the page's own address: it works where the API is served apart."""
    return [
        Route(prefix(desk.settings) + path, endpoint, methods=methods)
        for path, endpoint, methods in SearchApi(desk).exports()
    ]


def elsewhere_routes(desk: Desk, paths: Iterable[str], what: str, url: str) -> list[Route]:
    """Return routes that say where to find what another process serves, and at which address if that is known."""
    where = f"at {url.rstrip('/')}" if url else "by another process (airtriage web --only)"
    answer = partial(_elsewhere, f"{what} served {where}, not here.")
    return [Route(start + path, answer, methods=_METHODS) for start in prefixes(desk.settings) for path in paths]


def _elsewhere(sentence: str, request: Request) -> Response:
    return JSONResponse({"error": sentence}, 404)


def make_api(desk: Desk, nudge: Callable[[], None] | None) -> Starlette:
    """Return the app of `airtriage web --only api`: all but the pages, behind the same guard."""
    pages = elsewhere_routes(desk, ("/{rest:path}",), "The pages are", desk.settings.web.public_url)
    return Starlette(routes=[*health_routes(desk), *api_routes(desk, nudge), *pages], middleware=guarded(desk.settings))


def guarded(settings: Settings) -> list[Middleware]:
    """Return the guard as middleware; a probe may ask for /healthz under any name."""
    return [Middleware(Guard, hosts=hosts(settings), open_paths={start + "/healthz" for start in prefixes(settings)})]


def prefix(settings: Settings) -> str:
    """Return the path prefix, beginning with a slash, or nothing."""
    path = settings.web.base_path.strip("/")
    return f"/{path}" if path else ""


def prefixes(settings: Settings) -> list[str]:
    """Return the path prefix and none: a probe or scraper may come past the proxy, without it; the pages may not."""
    return list(dict.fromkeys((prefix(settings), "")))


class _Beside:
    """What says how this process and the store fare."""

    def __init__(self, desk: Desk) -> None:
        self._store = desk.service.store
        self._registry = CollectorRegistry()
        self._registry.register(Numbers(desk))

    def healthz(self, request: Request) -> Response:
        try:
            self._store.revision()
        except TriageError as exc:
            return JSONResponse({"status": "store away", "error": str(exc)}, 503)
        return JSONResponse({"status": "ok"})

    def metrics(self, request: Request) -> Response:
        try:
            return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
        except TriageError as exc:
            return PlainTextResponse(str(exc), 503)


class _Api:
    """Problems and failed tries, to be read."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._service = desk.service
        self._settings = desk.settings
        self._now = desk.now
        self._known = desk.known

    def problems(self, request: Request) -> Response:
        return told(lambda: self._problems(request))

    def _problems(self, request: Request) -> list[dict[str, Any]]:
        now, asked = self._now(), request.query_params
        states = {state.upper() for state in asked.get("state", "").split(",") if state}
        if unknown := states - set(TriageState):
            raise InputError(f"There is no state {sorted(unknown)[0]!r}.", f"The states are {', '.join(TriageState)}.")
        limit = number(request, "limit")
        rows, query = self._desk.rows(), parse(asked.get("q", ""), now)
        if query != EVERYTHING:
            found = self._desk.matching(asked["q"], query)
            rows = [row for row in rows if row.problem.id in found]
        chosen = (row for row in rows if not states or row.problem.state in states)
        return [problem_json(row) for row in islice(chosen, limit)]

    def problem(self, request: Request) -> Response:
        def find() -> dict[str, Any]:
            view = self._service.problem(request.path_params["id"], self._now(), limit=_LATEST)
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
                "gitlab": gitlab_json(mirrored(self._service, self._settings, view.row, self._now(), self._desk.mirrors().values()), self._now()),
                "moves": [move_json(move) for move in in_force(self._service, view.row.problem)],
                "elsewhere": elsewhere_json(elsewhere(self._service, view.row.problem, view.fingerprints)),
            }  # fmt: skip

        return told(find, bad=404)

    def unknown(self, request: Request) -> Response:
        return JSONResponse(
            {"error": f"There is nothing at {request.url.path}: try /api/problems, /api/problems/ID or /api/search."},
            404,
        )


class Numbers(Collector):
    """What Prometheus scrapes, read from the store at each scrape."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

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
        now = self._desk.now()
        problems, backlog, oldest, age, lag, troubles = families = self._families()
        counts: dict[tuple[str, str], int] = {}
        for row in self._desk.rows():
            for deployment in row.deployments:
                key = (deployment, str(row.problem.state))
                counts[key] = counts.get(key, 0) + 1
        for view in self._desk.service.health(now):
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
