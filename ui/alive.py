"""`airtriage alive`: is a part of airtriage on this machine at work? For the health checks of containers and supervisors.

The web side is asked over HTTP as a probe would; worker and schedule are known by their pulse. Changes nothing.
"""

from __future__ import annotations

import http.client
import json
from enum import StrEnum

from collector import pulse
from triage.settings import Settings

_PATIENCE = 5.0  # seconds for an answer


class Part(StrEnum):
    """What can be asked for; `web` is pages and API in one process."""

    WEB = "web"
    PAGES = "pages"
    API = "api"
    WORKER = "worker"
    BEAT = "beat"


def ask(part: Part, settings: Settings, now: float) -> tuple[bool, str]:
    """Return whether it is at work, and a sentence; `now` is a POSIX time."""
    if part in (Part.WORKER, Part.BEAT):
        return _pulse(part, pulse.age(settings.data_dir / "alive", part, now))
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.web.host, settings.web.host)
    return _healthz(part, host, settings.web.api_port if part is Part.API else settings.web.port)


def _pulse(part: Part, age: float | None) -> tuple[bool, str]:
    if age is None:
        return False, f"No {part} has been at work with this data_dir."
    if age > pulse.STALE:
        return False, f"The {part} has stood still for {age:.0f} s: it hangs, waits for its broker, or has ended."
    return True, f"The {part} is at work."


def _healthz(part: Part, host: str, port: int) -> tuple[bool, str]:
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        body = answer.read(65_536)
    except (OSError, http.client.HTTPException) as exc:
        return False, f"Nothing answers at {host}:{port}: {exc or exc.__class__.__name__}."
    finally:
        connection.close()
    if answer.status == 200:
        return True, f"The {part} at {host}:{port} is at work."
    return False, _said(body) or f"The {part} at {host}:{port} answers {answer.status}."


def _said(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return ""
