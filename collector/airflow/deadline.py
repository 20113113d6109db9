"""A deadline for a whole answer: a server that sends a byte now and then never runs into a socket's own time-out.

Owns one thread a process that shuts the socket of an answer whose time is over; whoever reads it then sees its end, and
a TimeoutError in its place. Knows nothing of what is read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from urllib3 import HTTPResponse

_CHECK_EVERY = 0.5  # seconds; a deadline is this much late at most


@dataclass(slots=True, eq=False)
class Deadline:
    """When an answer has to be here, on the monotonic clock; it may be moved while the answer comes."""

    response: HTTPResponse
    at: float
    is_over: bool = False


_open: set[Deadline] = set()
_changed = threading.Condition()
_watch: threading.Thread | None = None


@contextmanager
def within(response: HTTPResponse, seconds: float) -> Iterator[Deadline]:
    """Bound the reading of a body in this block; TimeoutError where it took longer, whatever the reader made of it."""
    global _watch
    deadline = Deadline(response, time.monotonic() + seconds)
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
                with suppress(ValueError, RuntimeError, OSError):
                    deadline.response.shutdown()
        time.sleep(_CHECK_EVERY)
