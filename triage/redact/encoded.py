"""Secrets in another dress: base64 and URL-encoding of what the rules would mask.

Owns how a text is undressed, and the bound of how often. Masks nothing; what it finds is masked whole, as it stands.
"""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Callable
from urllib.parse import unquote

from triage.redact.fields import Spans

Tells = Callable[[str, int], bool]

# Twice: a URL within a URL, base64 of a quoted URI. Deeper has not been seen in a log.
DEPTH = 2
# A run of base64, twelve letters of which may stand for nine printable bytes: those are 9, 10, 13 and 32 to 126, so that
# of each four letters the first is one of these.
_FIRST = string.ascii_uppercase[2:4] + string.ascii_uppercase[8:] + string.ascii_lowercase[:6]
_CODED = string.ascii_letters + string.digits + "+/_-"
_LEAST = 20
_RUN = re.compile(rf"(?<![{_CODED}])(?:[{_FIRST}][{_CODED}]{{3}}){{3}}[{_CODED}]{{{_LEAST - 12},}}+={{0,2}}")
_RUNS = bytes(97 if chr(byte) in _CODED else 32 for byte in range(256))
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


def may_hold(data: bytes) -> bool:
    """Say whether a text in UTF-8 may hold base64 of a text; many times as fast as looking for it."""
    runs = data.translate(_RUNS)
    at = runs.find(b"a" * _LEAST)
    while at >= 0:
        if not data[at : at + 12 : 4].translate(None, _FIRST.encode()):
            return True
        stop = runs.find(b" ", at)
        at = runs.find(b"a" * _LEAST, stop) if stop >= 0 else -1
    return False


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
