"""A real Airflow, 3.3 or 2.11, in which one run failed several hundred times, made quickly.

Eight mapped task instances really run and fail (one in 2.11); what Airflow wrote of them (rows of its database, log files) is then
copied under further map indices, as to run hundreds of tasks would take longer than the whole bench. Every question of
the bench is answered by the real api-server from those rows and files. Knows nothing of airtriage's collector.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tests.bench.table import say
from tests.old_airflow import TWO, OldAirflow, served
from ui.demo.airflow import ThrowawayAirflow, cache_folder, install

REAL = 8
DAG_ID, RUN_ID, TASK_ID = "shop_orders", "bench__1", "book"
_DAG = '''
"""Eight batches of orders, each logged line by line, each broken in the end."""
import logging

from airflow.sdk import dag, task

log = logging.getLogger("shop.orders")


class BookingError(Exception):
    """An order cannot be booked."""


def price(order):
    """Look the price of an order up."""
    return {}[f"order {order}"]


@dag(schedule=None, tags=["shop"], default_args={"owner": "shop-team"})
def shop_orders():
    """Book the orders of the day."""

    @task
    def book(batch: int):
        for order in range(4):
            log.info("booking order %d of batch %d for customer %d", order * 7919, batch, order * 104729)
        try:
            price(batch)
        except KeyError as exc:
            raise BookingError(f"batch {batch} is not booked") from exc

    book.expand(batch=list(range(8)))


shop_orders()
'''

Try = tuple[str, str, str, int, int]
Key = tuple[str, str, str]  # dag_id, run_id, task_id


class _Airflow(ThrowawayAirflow):
    """The demo's throwaway Airflow with one DAG of the bench in place of the demo's."""

    def _fill_home(self) -> None:
        super()._fill_home()
        shutil.rmtree(self.home / "dags")
        (self.home / "dags").mkdir()
        (self.home / "dags" / "shop_orders.py").write_text(_DAG)


@contextmanager
def airflow_with_many(folder: Path, wanted: int, more: int = 0) -> Iterator[tuple[ThrowawayAirflow, list[Try]]]:
    """Yield an Airflow that answers, and the keys of its `wanted` failed tries.

    `more` ordinary records (about 300 bytes each) are put into each log, before what failed.
    """
    environment = install(cache_folder(), say)
    with _Airflow(environment, folder / "airflow") as airflow:
        say("  Airflow is up; running the bench's DAG")
        _run(airflow)
        for child in airflow.children():
            if child.name != "api-server":
                child.process.kill()  # nothing but the api-server takes part in what is measured
                child.process.wait()
        key = (DAG_ID, RUN_ID, TASK_ID)
        _copy(airflow.home, key, range(REAL), range(REAL, wanted))
        if more:
            _lengthen(airflow.home, key, more, b"booking order")
        yield airflow, [(DAG_ID, RUN_ID, TASK_ID, index, 1) for index in range(wanted)]


def _run(airflow: ThrowawayAirflow, patience: float = 180) -> None:
    deadline = time.monotonic() + patience
    while not airflow.trigger(DAG_ID, RUN_ID) or airflow.runs().get((DAG_ID, RUN_ID)) != "failed":
        assert time.monotonic() < deadline, "the bench's DAG did not end in time"
        airflow.check()
        time.sleep(1)


@contextmanager
def airflow2_with_many(folder: Path, wanted: int, more: int = 0) -> Iterator[tuple[OldAirflow, list[Try]]]:
    """Yield the same of Airflow 2.11: one mapped task instance that really failed, under further map indices."""
    key = ("many_ways", "first", "mapped")
    with served(TWO, cache_folder(), folder / "airflow") as airflow:
        _copy(airflow.home, key, [1], range(10, 10 + wanted - 1))
        if more:
            _lengthen(airflow.home, key, more, b"INFO - ")
        yield airflow, [(*key, index, 1) for index in (1, *range(10, 10 + wanted - 1))]


def _logs(home: Path, key: Key) -> Path:
    dag, run, task = key
    return home / "logs" / f"dag_id={dag}" / f"run_id={run}" / f"task_id={task}"


def _lengthen(home: Path, key: Key, more: int, like: bytes) -> None:
    """Repeat a line that the task wrote, with other numbers in it."""
    for file in _logs(home, key).glob("*/attempt=1.log"):
        lines = file.read_bytes().splitlines(keepends=True)
        at = max(number for number, line in enumerate(lines[: len(lines) // 2 + 1]) if like in line)
        stem = lines[at].rstrip(b"\n")
        is_json = stem.startswith(b"{")  # Airflow drops a line that is the same as the one before
        again = (
            re.sub(rb"order \d+", b"order %d" % (number * 7919), stem) if is_json else stem + b" %d" % number
            for number in range(more)
        )
        file.write_bytes(b"".join([*lines[:at], *(line + b"\n" for line in again), *lines[at:]]))


def _copy(home: Path, key: Key, real: Sequence[int], indices: Iterable[int]) -> None:
    """Copy what Airflow wrote of the real tries under these map indices."""
    logs = _logs(home, key)
    with closing(sqlite3.connect(home / "airflow.db", timeout=20)) as database, database:
        for number, index in enumerate(indices):
            like = real[number % len(real)]
            fresh = {"map_index": index, "rendered_map_index": None}
            _copy_row(database, "task_instance", key, like, fresh | {"id": uuid.uuid4().hex})
            _copy_row(database, "log", key, like, {"map_index": index, "id": None})
            shutil.copytree(logs / f"map_index={like}", logs / f"map_index={index}")
            for file in (logs / f"map_index={index}").iterdir():
                file.write_bytes(re.sub(rb"batch \d", b"batch %d" % (index % 10), file.read_bytes()))


def _copy_row(database: sqlite3.Connection, table: str, key: Key, like: int, changes: dict[str, object]) -> None:
    columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
    chosen = ", ".join(f":{name}" if name in changes else name for name in columns)
    database.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table} "
        "WHERE dag_id = :dag AND task_id = :task AND map_index = :like AND try_number = 1",
        {name: value for name, value in changes.items() if name in columns}
        | {"dag": key[0], "task": key[2], "like": like},
    )
