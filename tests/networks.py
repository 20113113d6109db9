"""What stands between a collector and an Airflow in a company: a forwarding proxy, and a reverse proxy with a prefix.

Both are real servers on loopback that relay bytes; what went through is noted.
"""

from __future__ import annotations

import http.client
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_OF_ONE_HOP = {"connection", "keep-alive", "proxy-authorization", "proxy-connection", "transfer-encoding", "host"}


@dataclass
class Passage:
    """A proxy: its address, the account it asks for, what it answers in place of relaying, what came through."""

    url: str = ""
    account: str = ""
    instead: tuple[int, bytes] | None = None
    passed: list[str] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)  # names and values of headers

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    passage: Passage

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        if status == 407:
            self.send_header("Proxy-Authenticate", 'Basic realm="corp"')
        self.end_headers()
        self.wfile.write(body)

    def relay(self, host: str, port: int, path: str) -> None:
        """Pass one request on, and its answer back."""
        size = int(self.headers.get("Content-Length", 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_HOP}
        with closing(http.client.HTTPConnection(host, port, timeout=30)) as upstream:
            upstream.request(self.command, path, self.rfile.read(size) if size else None, headers)
            answer = upstream.getresponse()
            data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {*_OF_ONE_HOP, "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Forward(_Relay):
    def refuses(self) -> bool:
        passage = self.passage
        passage.seen += self.headers.items()
        wanted = f"Basic {b64encode(passage.account.encode()).decode()}"
        if passage.account and self.headers.get("Proxy-Authorization") != wanted:
            self.answer(407, b"<html>Proxy Authentication Required</html>")
        elif passage.instead:
            self.answer(*passage.instead)
        else:
            passage.passed.append(f"{self.command} {self.path}")
            return False
        return True

    def do_GET(self) -> None:
        if not self.refuses():
            parts = urlsplit(self.path)
            self.relay(parts.hostname or "", parts.port or 80, parts.path + (f"?{parts.query}" if parts.query else ""))

    do_POST = do_GET

    def do_CONNECT(self) -> None:
        if self.refuses():
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as upstream:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pump, args=(upstream, self.connection), daemon=True)
            back.start()
            _pump(self.connection, upstream)
            back.join()
        self.close_connection = True


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def _serving(handler: type[_Relay], passage: Passage) -> Iterator[Passage]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Relay", (handler,), {"passage": passage}))
    server.daemon_threads = True
    server.block_on_close = False
    passage.url = f"http://127.0.0.1:{server.server_address[1]}{passage.url}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield passage
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def forward_proxy(account: str = "") -> Iterator[Passage]:
    """Run a proxy that forwards plain requests and CONNECT, for one account (`name:password`) where that is given."""
    with _serving(_Forward, Passage(account=account)) as passage:
        yield passage


@contextmanager
def reverse_proxy(upstream: str, prefix: str, *, strips: bool = True) -> Iterator[Passage]:
    """Serve an Airflow below a path prefix, which it may or may not see itself; any other path is a web page of 404."""
    parts = urlsplit(upstream)

    class Reverse(_Relay):
        def do_GET(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.answer(404, b"<html>nothing here</html>")
                return
            self.passage.passed.append(f"{self.command} {self.path}")
            path = self.path.removeprefix(prefix) if strips else self.path
            self.relay(parts.hostname or "", parts.port or 80, path)

        do_POST = do_GET

    with _serving(Reverse, Passage(url=prefix)) as passage:
        yield passage
