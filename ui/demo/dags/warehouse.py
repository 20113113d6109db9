"""The warehouse client that three pipelines share: its outage is one cause, however many of them it breaks."""

from __future__ import annotations

import os
import random
import socket
import time


class WarehouseUnavailable(Exception):
    """The warehouse does not accept connections."""


def connect(database: str) -> socket.socket:
    """Open a connection; here always refused, since the demo holds that port closed."""
    port = int(os.environ["DEMO_WAREHOUSE_PORT"])
    started = time.monotonic()
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=5)
    except OSError as exc:
        waited = (time.monotonic() - started) * 1000
        raise WarehouseUnavailable(
            f"could not connect to warehouse-1.internal:{port}/{database} after {waited:.1f} ms "
            f"(session {random.randrange(16**8):08x})"
        ) from exc


def load(table: str, rows: int) -> None:
    """Load so many rows into a table."""
    print(f"loading {rows} rows into {table}")
    with connect(table.partition(".")[0]) as connection:
        connection.sendall(f"COPY {table}\n".encode())
