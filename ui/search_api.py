"""The part of the API that is about search: what is found, counted, exported, seen before and saved.

Answers are JSON but for the exports, which are streamed: a store that fails in the middle breaks the connection off, and
the last line of the export is missing. What changes something takes JSON only, which another site's page cannot send
unasked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from triage import saved, search
from triage.errors import InputError, TriageError, WrongQuery
from triage.query import Query
from triage.seen import LARGEST, seen
from triage.timeline import Span, span, timeline
from ui.exporting import Form, exported
from ui.format import occurrence_json, saved_json, seen_json
from ui.front.desk import Desk

_LIMIT, _MOST = 50, 10_000
_VALUES = 10  # values of each facet
_BODY = 64 << 10  # bytes of a JSON body
_TOO_LARGE = f"The log is larger than {LARGEST >> 20} MiB."


class _Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class SearchApi:
    """The routes; `paths` lists them without any prefix."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._service = desk.service

    def paths(self) -> list[tuple[str, Callable[..., Any], list[str]]]:
        """Return paths, what answers there, and to which methods."""
        return [
            ("/api/search", self._answer(self._search), ["GET"]),
            ("/api/search/facets", self._answer(self._facets), ["GET"]),
            ("/api/search/histogram", self._answer(self._histogram), ["GET"]),
            ("/api/seen", self.seen, ["POST"]),
            ("/api/searches", self.searches, ["GET", "POST"]),
            ("/api/searches/{id}", self.saved, ["PUT", "DELETE"]),
            *((f"/api{path}", export, methods) for path, export, methods in self.exports()),
        ]

    def exports(self) -> list[tuple[str, Callable[..., Any], list[str]]]:
        """Return the paths of the exports; the pages offer them under their own address too."""
        return [(f"/search.{form}", partial(self.export, form), ["GET"]) for form in Form]

    def _answer(self, make: Callable[[Request], Response | Any]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            return told(lambda: make(request))

        return answer

    def _asked(self, request: Request) -> tuple[Query, Span | None]:
        asked = request.query_params
        first, last = asked.get("from", ""), asked.get("to", "")
        within = span(first, last) if first or last else None
        if (first or last) and within is None:
            raise InputError(f"from={first} to={last} is no span of time.", "Write dates or times: 2026-11-24T10:00.")
        return search.understood(self._service, asked.get("q", ""), self._desk.now(), within), within

    def _search(self, request: Request) -> Response:
        query, _ = self._asked(request)
        limit = number(request, "limit")
        found = self._service.store.search(query, limit, search.place(request.query_params.get("after", "")))
        owner = search.owning(self._service)
        headers = {"x-total-count": str(self._service.store.count(query))}
        if len(found) == limit:
            more = dict(request.query_params) | {"after": search.written(found[-1])}
            headers["link"] = f'<?{urlencode(more)}>; rel="next"'
        return JSONResponse([occurrence_json(fact, owner(fact)) for fact in found], headers=headers)

    def _facets(self, request: Request) -> dict[str, Any]:
        query, _ = self._asked(request)
        found = search.facets(self._service.store, query, number(request, "limit", _VALUES, 1_000))
        counted = {field: [{"value": v, "count": n} for v, n in values] for field, values in found.items()}
        return {"total": self._service.store.count(query), "facets": counted}

    def _histogram(self, request: Request) -> dict[str, Any]:
        query, within = self._asked(request)
        bars = timeline(partial(self._service.store.histogram, query), within)
        if bars is None:
            return {"total": 0, "step": None, "bars": []}
        counted = [
            {"at": (bars.start + place * bars.step).isoformat(), "count": count}
            for place, count in enumerate(bars.counts)
        ]
        return {"total": bars.total, "step": bars.step.total_seconds(), "bars": counted}

    def export(self, form: Form, request: Request) -> Response:
        """Stream everything a query finds."""

        def make() -> Response:
            query, _ = self._asked(request)
            facts = search.everything(self._service.store, query)
            blocks = exported(facts, search.owning(self._service), form)
            first = next(blocks)  # what is wrong from the start is an answer in words
            headers = {"content-disposition": f'attachment; filename="airtriage-search.{form}"'}
            headers["x-total-count"] = str(self._service.store.count(query))
            if request.method == "HEAD":
                return Response(media_type=form.media, headers=headers)
            return StreamingResponse(_chained(first, blocks), media_type=form.media, headers=headers)

        return told(make)

    async def seen(self, request: Request) -> Response:
        """Say what is known of the log in the body, which is never kept."""
        try:
            body = await _body(request, LARGEST, _TOO_LARGE)
        except _Refused as refused:
            return JSONResponse({"error": refused.why}, refused.status)
        task = request.query_params.get("task", "")

        def make() -> dict[str, Any]:
            found = seen(self._desk.known, [body], self._desk.now(), task[:500])
            if found is None:
                raise InputError("There is no word in this.", "Send a log, or a line of one, as the body.")
            return seen_json(found, search.owning(self._service))

        return await run_in_threadpool(told, make)

    async def searches(self, request: Request) -> Response:
        """List the saved searches, or save one."""
        if request.method == "GET":
            return await run_in_threadpool(
                told, lambda: [saved_json(one) for one in saved.visible(self._service, self._who(request))]
            )

        def save(values: dict[str, Any]) -> dict[str, Any]:
            name, query, is_mine = values.get("name"), values.get("query"), values.get("mine", False)
            if not isinstance(name, str) or not isinstance(query, str) or not isinstance(is_mine, bool):
                raise InputError("A saved search is made of name and query, both text, and mine, true or false.")
            who, now = self._who(request), self._desk.now()
            return saved_json(saved.save(self._service, name, query, who, now, is_mine=is_mine))

        return await self._change(request, save)

    async def saved(self, request: Request) -> Response:
        """Rename a saved search, or delete it."""
        id, who = request.path_params["id"], self._who(request)

        def rename(values: dict[str, Any]) -> dict[str, Any]:
            if not isinstance(values.get("name"), str):
                raise InputError("A saved search is renamed by its new name, a text.")
            return saved_json(saved.rename(self._service, id, values["name"], who))

        def delete(_: dict[str, Any]) -> dict[str, Any]:
            return saved_json(saved.delete(self._service, id, who))

        return await self._change(request, rename if request.method == "PUT" else delete)

    async def _change(self, request: Request, make: Callable[[dict[str, Any]], Any]) -> Response:
        try:
            if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                raise _Refused(415, "What changes something is sent as application/json.")
            body = await _body(request, _BODY, "The body is too large.")
            values = json.loads(body or b"{}")
            if not isinstance(values, dict):
                raise _Refused(400, "The body is no JSON object.")
        except (ValueError, RecursionError):
            return JSONResponse({"error": "The body is no JSON object."}, 400)
        except _Refused as refused:
            return JSONResponse({"error": refused.why}, refused.status)
        return await run_in_threadpool(told, lambda: make(values))

    def _who(self, request: Request) -> str:
        header = self._desk.settings.web.user_header
        return (header and request.headers.get(header)) or "someone"


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def told(make: Callable[[], Any], bad: int = 400) -> Response:
    """Answer with what is made, as JSON; with a sentence where that cannot be, `bad` being the status of wrong input."""
    try:
        made = make()
        return made if isinstance(made, Response) else JSONResponse(made)
    except WrongQuery as exc:
        return JSONResponse({"error": str(exc), "place": [exc.start, exc.end], "meant": exc.better or None}, bad)
    except InputError as exc:
        return JSONResponse({"error": str(exc)}, bad)
    except TriageError as exc:
        return JSONResponse({"error": str(exc)}, 503)


def number(request: Request, name: str, default: int = _LIMIT, most: int = _MOST) -> int:
    """Read a number from 1 to `most` out of the address; InputError for anything else."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not re.fullmatch("[0-9]{1,6}", text) or not 1 <= int(text) <= most:
        raise InputError(f"{name}={text} is not a number from 1 to {most}.")
    return int(text)


async def _body(request: Request, most: int, why: str) -> bytes:
    """Read a body to its end; refused as soon as it is too large."""
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise _Refused(413, why)
            parts.append(part)
    except ClientDisconnect as exc:
        raise _Refused(400, "The body did not come in whole.") from exc
    return b"".join(parts)
