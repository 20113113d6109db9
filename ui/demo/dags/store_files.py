"""The files that 25 stores send every night, one mapped task instance each."""

from __future__ import annotations

import csv
import io
import random

from airflow.sdk import dag, task

STORES = range(25)
HEALTHY = {4, 11, 19}
LATIN_1 = {7, 16}


class MissingColumn(Exception):
    """A store's file lacks a column."""


def read(store: int) -> bytes:
    """Return a store's file as its till wrote it."""
    column, code = (",discount_code", ",NONE") if store in HEALTHY else ("", "")
    rows = [f"order_id,sku,price{column}"]
    rows += [f"{random.randint(1, 10**6)},SKU-{number},9.90{code}" for number in range(random.randint(5, 40))]
    if store in LATIN_1:
        rows.append(random.choice(["Caf\xe9 Central,", "Cr\xe8merie,"]))
    return "\n".join(rows).encode("latin-1")


@dag(schedule=None, tags=["stores"], default_args={"owner": "stores-team"})
def store_files():
    """Parse the files of all stores."""

    @task(map_index_template="store {{ task.op_kwargs['store'] }}")
    def parse_file(store: int):
        name = f"s3://tills/{store:04d}/{random.randint(10**9, 10**10)}.csv"
        print(f"reading {name}")
        text = read(store).decode("utf-8")
        for number, row in enumerate(csv.DictReader(io.StringIO(text)), 2):
            if "discount_code" not in row:
                raise MissingColumn(f"{name} line {number}: no column 'discount_code' among {len(row)} columns")

    parse_file.expand(store=list(STORES))


store_files()
