"""The guard before pages and API: known hosts and our own origin only, and the same headers on every answer.

Pure ASGI, so that it sees websockets too. Knows nothing of what stands behind it.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.settings import Settings

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


def hosts(settings: Settings) -> frozenset[str]:
    """Return the names under which we are asked, beside any IP address."""
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
