"""A proxy of ours between airtriage and an api-server: it counts logs in flight, and breaks answers as networks do.

Every fault is drawn from a seed, request by request. Each connection carries one question, so that a client that is
gone is noticed at once. Must not know what it forwards beyond the path.
"""

from __future__ import annotations

import http.client
import random
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("500", "502", "empty", "half", "short", "hang", "reset")
_HTML = b"<html><body>502 Bad Gateway</body></html>"
_NOT_FORWARDED = {"connection", "transfer-encoding", "content-length", "keep-alive"}
Answer = tuple[int, list[tuple[str, str]], bytes]


class FaultProxy:
    """Forwards to `upstream`; breaks a `share` of the answers, and holds each log for `hold` seconds."""

    def __init__(self, upstream: str, seed: int = 0) -> None:
        self.upstream = urlsplit(upstream)
        self.share = 0.0
        self.hold = 0.0
        self.hang = 3.0
        self.ahead = timedelta()  # how far the server's clock is to seem before its real one
        self.broken: Counter[str] = Counter()
        self.asked = 0
        self.most = 0
        self.url = ""
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._clients: set[socket.socket] = set()  # of the logs in flight
        self._fetchers = ThreadPoolExecutor(16)

    def draw(self) -> str:
        """Draw what happens to the next request; empty where nothing does."""
        with self._lock:
            self.asked += 1
            fault = self._random.choice(FAULTS) if self._random.random() < self.share else ""
            self.broken[fault] += 1
            return fault

    @property
    def in_flight(self) -> int:
        """How many logs are being read by clients that are still there."""
        with self._lock:
            return sum(not _is_gone(client) for client in self._clients)

    @contextmanager
    def counted(self, client: socket.socket) -> Iterator[None]:
        """Count a log in flight during the block, and not beside those of clients that are gone."""
        with self._lock:
            self._clients.add(client)
            self.most = max(self.most, sum(not _is_gone(client) for client in self._clients))
        try:
            yield
        finally:
            with self._lock:
                self._clients.discard(client)

    def fetch(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Future[Answer]:
        """Ask upstream, in a thread of its own."""
        return self._fetchers.submit(self._fetch, method, path, headers, body)

    def _fetch(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(str(self.upstream.hostname), self.upstream.port, timeout=60)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


def _is_gone(client: socket.socket) -> bool:
    readable, _, _ = select.select([client], [], [], 0)
    try:
        return bool(readable) and client.recv(1, socket.MSG_PEEK) == b""
    except OSError:  # reset
        return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: FaultProxy

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()

    def _forward(self) -> None:
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_FORWARDED}
        with suppress(OSError):
            if "/logs/" not in self.path:
                self._answer(self.proxy.fetch(self.command, self.path, headers, body))
                return
            with self.proxy.counted(self.connection):
                until = time.monotonic() + self.proxy.hold
                answer = self.proxy.fetch(self.command, self.path, headers, body)
                while time.monotonic() < until or not answer.done():
                    wait([answer], timeout=0.01)
                    if time.monotonic() < until:
                        time.sleep(0.01)
                    if _is_gone(self.connection):
                        return
            self._answer(answer)  # counted no more: who has the whole of it may ask for the next before we go on

    def _answer(self, coming: Future[Answer]) -> None:
        fault = self.proxy.draw()
        status, headers, body = coming.result()
        match fault:
            case "500":
                self._send(500, [("Content-Type", "text/plain")], b"Internal Server Error")
            case "502":
                self._send(502, [("Content-Type", "text/html")], _HTML)
            case "empty":
                self._send(200, headers, b"")
            case "short":  # cut, and said to be whole
                self._send(status, headers, body[: len(body) // 2])
            case "half":
                self._send(status, headers, body[: len(body) // 2], promised=len(body))
            case "hang":
                until = time.monotonic() + self.proxy.hang
                while time.monotonic() < until and not _is_gone(self.connection):
                    time.sleep(0.05)
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case _:
                self._send(status, headers, body)

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes, promised: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() == "date":
                value = format_datetime(parsedate_to_datetime(value) + self.proxy.ahead, usegmt=True)
            if name.lower() not in _NOT_FORWARDED:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if promised is None else promised))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def fault_proxy(upstream: str, seed: int = 0) -> Iterator[FaultProxy]:
    """Serve a FaultProxy on a free loopback port while the block runs."""
    proxy = FaultProxy(upstream, seed)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("FaultHandler", (_Handler,), {"proxy": proxy}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients hang up on purpose
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
