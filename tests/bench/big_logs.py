"""A server in a process of its own that streams logs of any size in the shape of Airflow 3.3's API, made on the fly.

The stand-in of the tests with one task for each log; only the logs differ, and are sent in chunks, packed as Airflow
packs them. Ends when its standard input ends. Run as `python -m tests.bench.big_logs KIND`; prints its address.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

from tests import airflow_stub

MIB = 1 << 20
TAIL = 1000  # records behind the error
# What each kind of log holds before its error: so many blocks of ordinary records, or one record of so many bytes.
BLOCKS = {"small": 0, "few": 6, "eighth": 128, "gigabyte": 1024}
LINES = {"line50": 50_000_000, "line100": 100_000_000}
WORDS = "the partner's file has moved; the last good copy is kept"


def record(event: str, number: int = 0, **more: object) -> bytes:
    """Return one line of a log as Airflow 3.3 writes it."""
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    fields = {"timestamp": at, "level": "info", "event": event, "logger": "shop.orders", "lineno": number % 900}
    return json.dumps(fields | more).encode() + b"\n"


def log(kind: str) -> Iterator[bytes]:
    """Yield a log: Airflow's header, what its kind says, the error, and records behind it."""
    yield airflow_stub.LOG
    if kind in LINES:
        yield from _long_line(LINES[kind])
    block = _block() if BLOCKS.get(kind) else b""
    for _ in range(BLOCKS.get(kind, 0)):
        yield block
    yield record("starting the last batch")
    frames = [{"filename": "/opt/dags/orders.py", "lineno": 40 + depth, "name": f"step_{depth}"} for depth in range(6)]
    raised = {"exc_type": "FileNotFoundError", "exc_value": WORDS, "exc_notes": [], "syntax_error": None}
    detail = [raised | {"is_cause": False, "frames": frames, "is_group": False, "exceptions": []}]
    yield record("Task failed with exception", level="error", logger="task", error_detail=detail)
    for number in range(20 if kind == "small" else TAIL):
        yield record(f"closing connection {number * 7919}", number)


def _block() -> bytes:
    lines, size = [], 0
    while size < MIB:
        number = len(lines)
        lines.append(
            record(
                f"booked order {number * 7919} of customer {number * 104729 % 99991} for {number % 977}.50 EUR", number
            )
        )
        size += len(lines[-1])
    return b"".join(lines)[: MIB - 1].rpartition(b"\n")[0] + b"\n"


def _long_line(size: int) -> Iterator[bytes]:
    head, tail = record("ROWS").split(b"ROWS")
    piece = b"".join(b"(%d, 'row %d', %d.25), " % (number, number * 7919, number % 977) for number in range(40_000))
    yield head
    for start in range(0, size, len(piece)):
        yield piece[: size - start]
    yield tail


def answer(handler: airflow_stub.Handler, kind: str) -> bool:
    """Stream a log in chunks, gzip level 1."""
    handler.send_response(200)
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    packer = zlib.compressobj(1, wbits=31)
    for part in log(kind):
        _chunk(handler, packer.compress(part))
    _chunk(handler, packer.flush())
    handler.wfile.write(b"0\r\n\r\n")
    return True


def _chunk(handler: airflow_stub.Handler, data: bytes) -> None:
    if data:
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))


def main(kind: str) -> None:
    """Serve the log of this kind as that of the one failed try there is."""
    with airflow_stub.serving() as stub:
        stub.events = [airflow_stub.event(1, "failed", "load", when=datetime.now(UTC).isoformat())]
        stub.fault = lambda handler, path: path.endswith("/logs/1") and answer(handler, kind)
        print(stub.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
