"""The door for GitLab's webhook: it checks who knocks, keeps what was told, and answers at once.

The work is done by a task of the collector; a nudge makes that quick where there is a broker, and its next tick makes it
sure. Holds at most a few bodies in memory at once, none larger than `LARGEST`, and none before the headers are right.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from urllib.parse import urlsplit

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from triage import inbox, webhooks
from triage.errors import InputError, TriageError
from triage.settings import Settings
from triage.store import Store
from triage.webhooks import LARGEST, Secrets

_AT_ONCE = 8  # bodies read at once, so at most 40 MiB
_PATIENCE = 8.0  # seconds for a body to come in; GitLab itself gives up after 10
_STRANGER = (
    "This delivery is not from the GitLab that is set here. Check gitlab.webhook_token and gitlab.webhook_signing_token "
    "against the webhook's own, and the clocks of both machines."
)
_UNSET = "No webhook is set up here. Set gitlab.url, and gitlab.webhook_signing_token or gitlab.webhook_token."
_TOO_LARGE = f"A delivery may have {LARGEST // 1024**2} MiB at most; what it tells is found by the next look at GitLab."


def senders(settings: Settings) -> list[tuple[str, Secrets]]:
    """Return the GitLabs whose deliveries are taken, by address, with what they sign them with.

    A GitLab may stand there more than once: each deployment's project has a webhook of its own, with secrets of its own.
    """
    found = []
    for its in (settings.gitlab, *settings.gitlabs.values()):
        secrets = Secrets(its.webhook_token.get_secret_value(), its.webhook_signing_token.get_secret_value())
        if its.url and secrets and (its.url, secrets) not in found:
            found.append((its.url, secrets))
    return found


class Door:
    """The endpoint: one delivery at a time, from a GitLab that is known, into the store."""

    def __init__(
        self,
        store: Store,
        senders: list[tuple[str, Secrets]],
        now: Callable[[], datetime],
        nudge: Callable[[], None] | None,
    ) -> None:
        self._store = store
        self._senders = senders
        self._now = now
        self._nudge = nudge
        self._nudging = threading.Lock()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def answer(self, request: Request) -> Response:
        """Answer 200 for what is genuine, kept or not; else an error in one sentence."""
        if not self._senders:
            return _refused(404, _UNSET)
        if request.method != "POST":
            return _refused(405, "A delivery of GitLab comes by POST.", allow="POST")
        now = self._now()
        if not any(webhooks.may_be_genuine(request.headers, its, now) for _, its in self._senders):
            return _refused(401, _STRANGER)
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST:
            return _refused(413, _TOO_LARGE)
        try:
            async with asyncio.timeout(_PATIENCE), self._slots:
                body = await _read(request)
                if body is None:
                    return _refused(413, _TOO_LARGE)
                return await run_in_threadpool(self._take, request, body, now)
        except TimeoutError:
            return _refused(408, f"The delivery did not come in whole within {_PATIENCE:g} s.")

    def _take(self, request: Request, body: bytes, now: datetime) -> Response:
        genuine = (url for url, its in self._senders if webhooks.is_genuine(request.headers, body, its, now))
        known = list(dict.fromkeys(genuine))
        if not known:
            return _refused(401, _STRANGER)
        try:
            payload = webhooks.parse(body)
            key = webhooks.delivery_key(request.headers, body)
            told = [
                one
                for url in _nearest(known, webhooks.origin(request.headers, payload))
                if (one := webhooks.heard(payload, url, key, now))
            ]
            kept = [inbox.keep(self._store, one) for one in told]
        except InputError as exc:
            return _refused(400, str(exc))
        except TriageError as exc:
            return _refused(503, str(exc))
        work = BackgroundTask(self._tell) if any(kept) and self._nudge else None
        return JSONResponse({"kept": any(kept)}, background=work)

    def _tell(self) -> None:
        """Nudge the collector, one thread at a time: a broker that hangs must not take all of them."""
        if self._nudge is not None and self._nudging.acquire(blocking=False):
            try:
                self._nudge()
            finally:
                self._nudging.release()


async def _read(request: Request) -> bytes | None:
    """Read a body to its end; None as soon as it is too large."""
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > LARGEST:
                return None
            parts.append(part)
    except ClientDisconnect:
        return b""
    return b"".join(parts)


def _nearest(known: list[str], origin: str) -> Iterator[str]:
    """Yield the GitLabs that a delivery may come from: where several have the same secrets, those at the host it names."""
    at_host = [url for url in known if _host(url) == _host(origin)]
    yield from at_host or known


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:  # a header may hold anything
        return ""


def _refused(status: int, why: str, **headers: str) -> JSONResponse:
    return JSONResponse({"error": why}, status, headers)
