"""How fast a pass takes the failures of a real Airflow in, beside a bare loop that only downloads their logs.

The floor has the same politeness (four logs in flight, NDJSON, gzip, one token) and the list of tries for nothing; our
pass finds them itself, describes, signs, redacts and stores them and folds them into problems. Run it as
`python -m tests.bench ingest`.
"""

from __future__ import annotations

import base64
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3

from collector.airflow import Access, Airflow
from collector.collect import Pass
from collector.readers import IN_FLIGHT
from tests.bench.airflow_with_many import Try, airflow2_with_many, airflow_with_many
from tests.bench.table import Figure, interleaved, ratio, show
from tests.old_airflow import OldAirflow
from triage.model import LogStatus
from triage.query import Field, both
from triage.service import Service
from triage.store import open_store
from ui.demo.airflow import ThrowawayAirflow

ROUNDS = 3
GOAL = 0.9
LOOKBACK = timedelta(days=60)  # the run of the old Airflow is kept on a machine


@dataclass(frozen=True, slots=True)
class Case:
    """So many failed tries, and so many ordinary records of about 300 bytes in each log beside its own few."""

    name: str
    tries: int
    more: int = 0
    airflow: str = "3.3"


CASES = (
    Case("small", 2000),
    Case("big", 20, 20_000),
    Case("small", 2000, airflow="2.11"),
    Case("big", 20, 60_000, airflow="2.11"),
)


def main(cases: Sequence[Case] = CASES, rounds: int = ROUNDS) -> int:
    """Measure and print the table; 0 where the goal is reached."""
    figures = [figure for case in cases for figure in measure(case, rounds)]
    return show(f"Ingest: failed tries of a real Airflow, {rounds} rounds", figures)


def measure(case: Case, rounds: int) -> list[Figure]:
    """Return our pass beside the bare download, and the calls that a failed try costs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        serve = airflow_with_many if case.airflow == "3.3" else airflow2_with_many
        with serve(folder, case.tries, case.more) as (airflow, keys):
            size = download(airflow, keys)  # also warms the server and the page cache
            with counted() as calls:
                take_in(airflow, folder / "warm.db", keys)
            stores = iter(folder / f"{number}.db" for number in range(rounds))
            times = interleaved(
                {
                    "floor": lambda: download(airflow, keys),
                    "ours": lambda: take_in(airflow, next(stores), keys),
                },
                rounds,
            )
    own, floor = times["ours"], times["floor"]
    share = ratio(own, floor)
    what = f"{case.tries} {case.name} logs of {size / case.tries / 1000:,.1f} kB, Airflow {case.airflow}"
    return [
        Figure(
            what,
            f"{case.tries / statistics.median(own):.1f} logs/s",
            f"{case.tries / statistics.median(floor):.1f} logs/s",
            f"{share:.2f}",
            f"at least {GOAL}",
            share >= GOAL,
        ),
        Figure("calls a failed try", f"{len(calls) / case.tries:.2f}", "1.00"),
    ]


@contextmanager
def counted() -> Iterator[list[str]]:
    """Note the address of every request that this process sends while the block runs."""
    calls: list[str] = []
    send = urllib3.HTTPConnectionPool.urlopen

    def urlopen(pool: urllib3.HTTPConnectionPool, method: str, url: str, *args: Any, **more: Any) -> Any:
        calls.append(url)
        return send(pool, method, url, *args, **more)

    urllib3.HTTPConnectionPool.urlopen = urlopen  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        urllib3.HTTPConnectionPool.urlopen = send  # type: ignore[method-assign]


def download(airflow: ThrowawayAirflow | OldAirflow, keys: Sequence[Try]) -> int:
    """Download these logs and drop them; returns their bytes."""
    pool = urllib3.PoolManager(maxsize=IN_FLIGHT)
    if isinstance(airflow, OldAirflow):
        api, accept = "api/v1", "text/plain"
        credential = "Basic " + base64.b64encode(f"{airflow.username}:{airflow.password}".encode()).decode()
    else:
        api, accept = "api/v2", "application/x-ndjson"
        account = json.dumps({"username": airflow.username, "password": airflow.password})
        header = {"Content-Type": "application/json"}
        answer = pool.request("POST", f"{airflow.url}/auth/token", body=account, headers=header)
        credential = f"Bearer {answer.json()['access_token']}"
    headers = {"Authorization": credential, "Accept": accept, "Accept-Encoding": "gzip"}

    def fetch(key: Try) -> int:
        dag, run, task, index, attempt = key
        path = f"dags/{quote(dag)}/dagRuns/{quote(run)}/taskInstances/{quote(task)}/logs/{attempt}?map_index={index}"
        log = pool.request("GET", f"{airflow.url}/{api}/{path}", headers=headers)
        assert log.status == 200, log.status
        return len(log.data)

    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        return sum(threads.map(fetch, keys))


def take_in(airflow: ThrowawayAirflow | OldAirflow, file: Path, keys: Sequence[Try]) -> None:
    """Make one pass into a fresh store, and check that every try is in it, whole and signed."""
    dag, _, task, *_ = keys[0]
    store = open_store(f"sqlite:///{file}")
    access = Access(airflow.url, airflow.username, airflow.password)
    try:
        Pass(
            Service(store),
            Airflow("bench", access),
            "bench",
            airflow.url,
            lookback=LOOKBACK,
            poll=timedelta(seconds=30),
            waits=(),
            clock=lambda: datetime.now(UTC),
        ).run()
        found = store.search(both(Field("dag", dag), Field("task", task)), limit=len(keys) + 1)
        assert len(found) == len(keys), f"{len(found)} of {len(keys)} tries were found"
        assert all(fact.log is LogStatus.WHOLE and fact.signature for fact in found), "a log is not whole"
    finally:
        store.close()
