"""Secrets in another dress: base64 and URL-encoding of what the rules would mask.

Owns how a text is undressed, and the bound of how often. Masks nothing; what it finds is masked whole, as it stands.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from urllib.parse import unquote

from triage.redact.fields import Spans

Tells = Callable[[str, int], bool]

# Twice: a URL within a URL, base64 of a quoted URI. Deeper has not been seen in a log.
DEPTH = 2
_RUN = re.compile(r"[A-Za-z0-9+/_\-]{20,}+={0,2}")
_SEGMENT = re.compile(r"[^\s\"'<>&?=]+")
_QUOTED = re.compile(r"%[0-9A-Fa-f]{2}")
_TO_PLAIN = str.maketrans("-_", "+/")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_PRINTABLE = re.compile(rb"[\t\r\n -~]+\Z")


def readable(run: str) -> str:
    """Return the text that a run of base64 holds, empty where it holds none."""
    run = run.rstrip("=").translate(_TO_PLAIN)
    if not _PRINTABLE.match(base64.b64decode(run[:12])):  # nine bytes tell nearly every run that is no base64
        return ""
    run = run[: len(run) - 1] if len(run) % 4 == 1 else run
    try:
        text = base64.b64decode(run + "=" * (-len(run) % 4)).decode()
    except (ValueError, UnicodeDecodeError):
        return ""
    return "" if _CONTROL.search(text) else text


def base64_of(text: str, tells: Tells, depth: int) -> Spans:
    """Find runs of base64 whose text holds a secret."""
    for run in _RUN.finditer(text):
        if (told := readable(run[0])) and tells(told, depth + 1):
            yield run.span()


def quoted(text: str, tells: Tells, depth: int) -> Spans:
    """Find URL-encoded parts whose text holds a secret."""
    for segment in _SEGMENT.finditer(text) if _QUOTED.search(text) else ():
        if _QUOTED.search(segment[0]):
            told = unquote(segment[0])
            if told != segment[0] and tells(told, depth + 1):
                yield segment.span()
