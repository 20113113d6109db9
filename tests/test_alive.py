"""Whether a part is at work, as health checks ask it. Real processes are asked in test_deployment.py."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from collector import pulse
from tests import made_up
from tests.processes import free_port
from ui.alive import Part, ask

NOW = 1_800_000_000.0


@contextmanager
def _answering(status: int, body: bytes) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("part", [Part.WORKER, Part.BEAT])
def test_a_part_is_alive_while_its_pulse_is_fresh_and_names_why_when_not(part: Part, tmp_path: Path) -> None:
    settings, folder = made_up.settings(tmp_path), tmp_path / "alive"
    assert ask(part, settings, NOW) == (False, f"No {part} has been at work with this data_dir.")
    pulse.touch(folder, part)
    os.utime(folder / part, (NOW, NOW))
    assert ask(part, settings, NOW + pulse.STALE) == (True, f"The {part} is at work.")
    is_alive, said = ask(part, settings, NOW + pulse.STALE + 1)
    assert not is_alive
    assert said.startswith(f"The {part} has stood still for 61 s: ")
    pulse.forget(folder, part)
    assert ask(part, settings, NOW)[0] is False


def test_a_pulse_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    pulse.touch(tmp_path / "file" / "alive", "worker")
    assert pulse.age(tmp_path / "file" / "alive", "worker", NOW) is None


@pytest.mark.parametrize(("part", "setting"), [(Part.WEB, "port"), (Part.PAGES, "port"), (Part.API, "api_port")])
def test_the_web_side_is_asked_at_its_own_port(part: Part, setting: str, tmp_path: Path) -> None:
    with _answering(200, b'{"status": "ok"}') as port:
        settings = made_up.settings(tmp_path, host="0.0.0.0", **{setting: port})
        assert ask(part, settings, NOW) == (True, f"The {part} at 127.0.0.1:{port} is at work.")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "The store is away."}', "The store is away."),
        (b"<html>", "The api at 127.0.0.1:{port} answers 503."),
    ],
)
def test_what_a_part_says_of_its_trouble_is_passed_on(body: bytes, said: str, tmp_path: Path) -> None:
    with _answering(503, body) as port:
        assert ask(Part.API, made_up.settings(tmp_path, api_port=port), NOW) == (False, said.format(port=port))


def test_a_port_where_nobody_listens_is_named(tmp_path: Path) -> None:
    port = free_port()
    is_alive, said = ask(Part.API, made_up.settings(tmp_path, api_port=port), NOW)
    assert not is_alive
    assert said.startswith(f"Nothing answers at 127.0.0.1:{port}: ")
