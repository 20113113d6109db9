"""The token of a conversation with Airflow: who makes it, how long it lives, and when a new one is made.

Owns renewal (at 80 % of the life that is left, or when it is refused), that never more than one is made at a time for a
deployment, and the program of `token_command`. Shows no token and nothing a program printed. Speaks no HTTP: `session`
logs accounts in.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from collector.airflow.words import Words
from triage.errors import LoginFailed, SourceError
from triage.settings import environment

ACCOUNT_LIFE = 3600.0  # seconds, of an account's token that does not say when it expires; Airflow's shortest default
_SHARE = 0.8
# Between two tries after a refusal, in seconds: directories lock an account after some wrong passwords.
_PATIENCE = 60.0
_LONGEST_OUTPUT = 64 << 10  # a token travels in a header, which servers cut at 8 to 64 KiB
_ONE_WORD = re.compile(rb"[\x21-\x7e]+")


class Tokens:
    """The token of one deployment, usable from several threads.

    `given` is one that somebody set; `make` makes new ones, raising SourceError, or LoginFailed where asking again at
    once is of no use. `life` is how long one lives, in s, that does not say so itself; `now` is the server's clock.
    """

    def __init__(
        self, given: str, make: Callable[[], str] | None, now: Callable[[], datetime], life: float = math.inf
    ) -> None:
        self._text = given
        self._make = make
        self._now = now
        self._life = life
        self._lock = threading.Lock()
        self._renew_at = 0.0
        self._quiet_until = 0.0
        self._failure: LoginFailed | None = None

    def get(self, refused: str = "") -> str:
        """Return a token to ask with, never the `refused` one if another can be had; "" where none was set.

        Raises what making one raises. While the server still takes the old one, a new one that fails is not missed.
        """
        with self._lock:
            at = time.monotonic()
            holds = bool(self._text) and self._text != refused
            if self._make is None or (holds and at < self._renew_at):
                return self._text
            if at < self._quiet_until:
                if self._failure:
                    raise LoginFailed(self._failure.what, self._failure.fix)
                return self._text
            try:
                text = self._make()
            except SourceError as exc:
                if holds:
                    self._renew_at = at + _PATIENCE
                    return self._text
                if isinstance(exc, LoginFailed):
                    self._failure, self._quiet_until = exc, at + _PATIENCE
                raise
            self._failure, self._text = None, text
            if text == refused:  # a program that keeps its token
                self._quiet_until = at + _PATIENCE
            self._renew_at = time.monotonic() + _SHARE * min(_left(text, self._now()) or self._life, 1e9)
            return text

    def useless(self) -> None:
        """Note that a token just made was refused too: no other is made for a minute."""
        with self._lock:
            self._quiet_until = time.monotonic() + _PATIENCE


def expiry(token: str) -> datetime | None:
    """Return when a JWT expires by its own word, unverified; None for a token that does not say."""
    end = _claims(token).get("exp")
    try:
        return datetime.fromtimestamp(end, UTC) if end else None
    except (ValueError, OverflowError, OSError):
        return None


def _left(token: str, now: datetime) -> float | None:
    """Return how many seconds a token lives from now on; None if it does not say.

    One whose times do not fit the clock is taken as made just now: then only their difference counts.
    """
    claims = _claims(token)
    if "exp" not in claims:
        return None
    at = now.timestamp()
    life = claims["exp"] - claims.get("iat", at)
    age = at - claims.get("iat", at)
    left = life - age if 0 <= age < life else life
    return left if left > 0 else None


def _claims(token: str) -> dict[str, float]:
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        times = {name: float(claims[name]) for name in ("iat", "exp") if name in claims}
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return {}
    return {name: at for name, at in times.items() if math.isfinite(at)}


def run(command: tuple[str, ...], words: Words, timeout: float) -> str:
    """Run a program and return the token that it prints: one word on one line.

    No shell runs it; it gets no input, no terminal and none of our own settings. Raises LoginFailed, which never shows
    what it printed. It, and what it started, is killed after `timeout` s.
    """
    name = repr(Path(command[0]).name)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(inherit=False),
            start_new_session=True,
        )
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "its words cannot be passed to a program"
        raise words.command_failed(f"{name} cannot be started: {why}") from exc
    try:
        printed = _output(process, time.monotonic() + timeout)
    except BaseException as exc:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if isinstance(exc, subprocess.TimeoutExpired):
            raise words.command_failed(f"{name} did not end within {timeout:g} s") from exc
        if isinstance(exc, ValueError):
            raise words.command_failed(f"{name} {exc}") from exc
        raise
    finally:
        process.wait()
        if process.stdout:
            process.stdout.close()
    return _token(printed, process.returncode, name, words)


def _output(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Read what the program prints, to its end. ValueError where that is more than a token can be."""
    assert process.stdout is not None
    printed = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise subprocess.TimeoutExpired(process.args, 0)
            chunk = os.read(process.stdout.fileno(), _LONGEST_OUTPUT)
            if not chunk:
                process.wait(max(0.0, deadline - time.monotonic()))
                return printed
            printed += chunk
            if len(printed) > _LONGEST_OUTPUT:
                raise ValueError(f"printed more than {_LONGEST_OUTPUT >> 10} KiB, which is no token")


def _token(printed: bytes, code: int, name: str, words: Words) -> str:
    if code < 0:
        raise words.command_failed(f"{name} was ended by signal {-code}")
    if code:
        raise words.command_failed(f"{name} ended with exit code {code}")
    lines = printed.strip().splitlines()
    if not lines:
        raise words.command_failed(f"{name} printed nothing")
    if len(lines) > 1:
        raise words.command_failed(f"{name} printed {len(lines)} lines; a token is one")
    if not _ONE_WORD.fullmatch(lines[0]):
        raise words.command_failed(f"{name} printed something that is no token; a token is one word of plain ASCII")
    return lines[0].decode("ascii")
