"""A real Airflow 3.3 in which one run failed several hundred times, made quickly.

Eight mapped task instances really run and fail; what Airflow wrote of them (rows of its database, log files) is then
copied under further map indices, as to run hundreds of tasks would take longer than the whole bench. Every question of
the bench is answered by the real api-server from those rows and files. Knows nothing of airtriage's collector.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.bench.table import say
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
        _copy(airflow, wanted)
        if more:
            _lengthen(airflow, more)
        yield airflow, [(DAG_ID, RUN_ID, TASK_ID, index, 1) for index in range(wanted)]


def _run(airflow: ThrowawayAirflow, patience: float = 180) -> None:
    deadline = time.monotonic() + patience
    while not airflow.trigger(DAG_ID, RUN_ID) or airflow.runs().get((DAG_ID, RUN_ID)) != "failed":
        assert time.monotonic() < deadline, "the bench's DAG did not end in time"
        airflow.check()
        time.sleep(1)


def _logs(airflow: ThrowawayAirflow) -> Path:
    return airflow.home / "logs" / f"dag_id={DAG_ID}" / f"run_id={RUN_ID}" / f"task_id={TASK_ID}"


def _lengthen(airflow: ThrowawayAirflow, more: int) -> None:
    """Repeat a line that the task wrote, with other numbers in it."""
    for file in _logs(airflow).glob("*/attempt=1.log"):
        lines = file.read_bytes().splitlines(keepends=True)
        at = next(number for number, line in enumerate(lines) if b"booking order" in line)
        again = (re.sub(rb"order \d+", b"order %d" % (number * 7919), lines[at]) for number in range(more))
        file.write_bytes(b"".join([*lines[:at], *again, *lines[at:]]))


def _copy(airflow: ThrowawayAirflow, wanted: int) -> None:
    """Copy what Airflow wrote of the real tries under further map indices, until there are `wanted`."""
    logs = _logs(airflow)
    with closing(sqlite3.connect(airflow.database, timeout=20)) as database, database:
        for index in range(REAL, wanted):
            like = index % REAL
            fresh = {"map_index": index, "rendered_map_index": None}
            _copy_row(database, "task_instance", like, fresh | {"id": uuid.uuid4().hex})
            _copy_row(database, "log", like, {"map_index": index, "id": None})
            shutil.copytree(logs / f"map_index={like}", logs / f"map_index={index}")
            for file in (logs / f"map_index={index}").iterdir():
                file.write_bytes(re.sub(rb"batch \d", b"batch %d" % (index % 10), file.read_bytes()))


def _copy_row(database: sqlite3.Connection, table: str, like: int, changes: dict[str, object]) -> None:
    columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
    chosen = ", ".join(f":{name}" if name in changes else name for name in columns)
    database.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table} "
        f"WHERE dag_id = '{DAG_ID}' AND task_id = '{TASK_ID}' AND map_index = {like} AND try_number = 1",
        {name: value for name, value in changes.items() if name in columns},
    )
