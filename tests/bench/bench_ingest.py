"""How fast a pass takes the failures of a real Airflow in, beside a bare loop that only downloads their logs.

The floor has the same politeness (four logs in flight, NDJSON, gzip, one token) and the list of tries for nothing; our
pass finds them itself, describes, signs, redacts and stores them and folds them into problems. Run it as
`python -m tests.bench ingest`.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import urllib3

from collector.airflow import Access, Airflow
from collector.collect import Pass
from collector.readers import IN_FLIGHT
from tests.bench.airflow_with_many import Try, airflow_with_many
from tests.bench.table import Figure, interleaved, ratio, say, show
from triage.model import LogStatus
from triage.query import EVERYTHING
from triage.service import Service
from triage.store import open_store
from ui.demo.airflow import ThrowawayAirflow

TRIES = 400
ROUNDS = 5
GOAL = 0.9


def main(tries: int = TRIES, rounds: int = ROUNDS) -> int:
    """Measure and print the table; 0 where the goal is reached."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with airflow_with_many(folder, tries) as (airflow, keys):
            size = download(airflow, keys)  # also warms the server and the page cache
            take_in(airflow, folder / "warm.db", tries)
            say(f"  {tries} failed tries, {size / tries / 1000:.1f} kB of log each")
            stores = iter(folder / f"{number}.db" for number in range(rounds))
            times = interleaved(
                {
                    "floor": lambda: download(airflow, keys),
                    "ours": lambda: take_in(airflow, next(stores), tries),
                },
                rounds,
            )
    own, floor = times["ours"], times["floor"]
    share = ratio(own, floor)
    return show(
        f"Ingest: {tries} failed tries of a real Airflow, {size / tries / 1000:.1f} kB of log each, {rounds} rounds",
        [
            Figure(
                "a pass beside a bare download",
                f"{tries / statistics.median(own):.1f} logs/s",
                f"{tries / statistics.median(floor):.1f} logs/s",
                f"{share:.2f}",
                f"at least {GOAL}",
                share >= GOAL,
            )
        ],
    )


def download(airflow: ThrowawayAirflow, keys: Sequence[Try]) -> int:
    """Download these logs and drop them; returns their bytes."""
    pool = urllib3.PoolManager(maxsize=IN_FLIGHT)
    account = json.dumps({"username": airflow.username, "password": airflow.password})
    answer = pool.request(
        "POST", f"{airflow.url}/auth/token", body=account, headers={"Content-Type": "application/json"}
    )
    headers = {
        "Authorization": f"Bearer {answer.json()['access_token']}",
        "Accept": "application/x-ndjson",
        "Accept-Encoding": "gzip",
    }

    def fetch(key: Try) -> int:
        dag, run, task, index, attempt = key
        path = f"dags/{quote(dag)}/dagRuns/{quote(run)}/taskInstances/{quote(task)}/logs/{attempt}?map_index={index}"
        log = pool.request("GET", f"{airflow.url}/api/v2/{path}", headers=headers)
        assert log.status == 200, log.status
        return len(log.data)

    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        return sum(threads.map(fetch, keys))


def take_in(airflow: ThrowawayAirflow, file: Path, tries: int) -> None:
    """Make one pass into a fresh store, and check that every try is in it, whole and signed."""
    store = open_store(f"sqlite:///{file}")
    access = Access(airflow.url, airflow.username, airflow.password)
    try:
        Pass(
            Service(store),
            Airflow("bench", access),
            "bench",
            airflow.url,
            lookback=timedelta(days=1),
            poll=timedelta(seconds=30),
            waits=(),
            clock=lambda: datetime.now(UTC),
        ).run()
        found = store.search(EVERYTHING, limit=tries + 1)
        assert len(found) == tries, f"{len(found)} of {tries} tries were found"
        assert all(fact.log is LogStatus.WHOLE and fact.signature for fact in found), "a log is not whole"
    finally:
        store.close()
