"""What the demo's DAGs talk to: a web API that answers 429 and 503, and a port that refuses every connection.

Both are on loopback, on free ports that the DAGs learn from their environment. Must not answer anybody else.
"""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AUDIENCES = "/v1/audiences/"
GEOCODE = "/v1/geocode/"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith(AUDIENCES):
            self._answer(429, {"Retry-After": "30"})
        elif self.path.startswith(GEOCODE):
            self._answer(503, {})
        else:
            self._answer(404, {})

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the demo's own output is a table."""


class DemoServices:
    """The web API and the refusing port, held from `start` to `stop`."""

    def __init__(self) -> None:
        """Make both without serving yet."""
        # Bound but never listening: the kernel refuses every connection, and nobody else can take the port.
        self._refusing = socket.socket()
        self._refusing.bind(("127.0.0.1", 0))
        self._api = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self._api.serve_forever, name="demo-api", daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        """Return what the DAGs read to find them."""
        return {
            "DEMO_API_URL": f"http://127.0.0.1:{self._api.server_port}",
            "DEMO_WAREHOUSE_PORT": str(self._refusing.getsockname()[1]),
        }

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free both ports; a second call does nothing."""
        if self._thread.is_alive():
            self._api.shutdown()
            self._thread.join()
        self._api.server_close()
        self._refusing.close()
