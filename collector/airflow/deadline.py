"""A deadline for a whole answer: a server that sends a byte now and then never runs into a socket's own time-out.

Owns one thread a process that shuts the socket of an answer whose time is over; whoever reads it then sees its end, and
a TimeoutError in its place. `POOLS` makes connections that bound the headers so; bodies are their reader's to bound.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_UNSET = 3600.0  # seconds for the headers of an answer whose reads have no bound
_CHECK_EVERY = 0.5  # seconds; a deadline is this much late at most


@dataclass(slots=True, eq=False)
class Deadline:
    """When an answer has to be here, on the monotonic clock; it may be moved while the answer comes."""

    shut: Callable[[], None]
    at: float
    is_over: bool = False


_open: set[Deadline] = set()
_changed = threading.Condition()
_watch: threading.Thread | None = None


@contextmanager
def within(shut: Callable[[], None], seconds: float) -> Iterator[Deadline]:
    """Bound the reading in this block; where it took longer `shut` is called, and TimeoutError raised in the end."""
    global _watch
    deadline = Deadline(shut, time.monotonic() + seconds)
    with _changed:
        if _watch is None or not _watch.is_alive():  # the first time, or the first time after a fork
            _watch = threading.Thread(target=_shut_late, name="deadlines", daemon=True)
            _watch.start()
        _open.add(deadline)
        _changed.notify()
    try:
        yield deadline
    except Exception as exc:
        if deadline.is_over:
            raise TimeoutError from exc
        raise
    finally:
        with _changed:
            _open.discard(deadline)
    if deadline.is_over:
        raise TimeoutError


def _shut_late() -> None:
    while True:
        with _changed:
            _changed.wait_for(lambda: _open)
            now = time.monotonic()
            for deadline in [one for one in _open if one.at <= now]:
                _open.discard(deadline)
                deadline.is_over = True
                # Read to its end meanwhile, or its connection is already gone.
                with suppress(ValueError, RuntimeError, AttributeError, OSError):
                    deadline.shut()
        time.sleep(_CHECK_EVERY)


def _bounded(connection: HTTPConnection) -> AbstractContextManager[Deadline]:
    """Bound the headers of an answer by what one read may take."""
    return within(lambda: connection.sock.shutdown(socket.SHUT_RDWR), float(connection.timeout or _UNSET))


class _Plain(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3's own
        with _bounded(self):
            return super().getresponse()


class _Encrypted(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3's own
        with _bounded(self):
            return super().getresponse()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _Encrypted


POOLS = {"http": _PlainPool, "https": _EncryptedPool}
