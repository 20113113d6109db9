"""What we do to the api-server: how long a second, innocent client waits while we collect, beside the same without us.

The client asks for the list of DAGs ten times a second, from a process of its own, whatever we do. The real worker
collects from the same api-server (one process, as Airflow starts it by default): every day (passes at the default pace
over failures that are known) and at the worst (a back-fill into a fresh store, one after the other without a pause).
Run it as `python -m tests.bench load`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.airflow_with_many import airflow_with_many
from tests.bench.bench_memory import started
from tests.bench.table import Figure, say, show
from triage.query import parse
from triage.settings import environment
from triage.store import open_store
from ui.demo.airflow import ThrowawayAirflow

TRIES = 400
ROUNDS = 3
SECONDS = 30.0  # of one window: one poll
GOAL = 1.3
_CLIENT = """
import json, sys, threading, time, urllib3
url, account, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
pool = urllib3.PoolManager(maxsize=50)
answer = pool.request("POST", url + "/auth/token", body=account, headers={"Content-Type": "application/json"})
headers = {"Authorization": "Bearer " + answer.json()["access_token"]}
waited = []
def ask():
    began = time.perf_counter()
    assert pool.request("GET", url + "/api/v2/dags?limit=20", headers=headers).status == 200
    waited.append(time.perf_counter() - began)
ask()
waited.clear()
began, threads = time.perf_counter(), []
for number in range(int(seconds * 10)):
    time.sleep(max(0, began + number / 10 - time.perf_counter()))
    threads.append(threading.Thread(target=ask))
    threads[-1].start()
for thread in threads:
    thread.join()
print(json.dumps(waited))
"""


def main(tries: int = TRIES, rounds: int = ROUNDS, seconds: float = SECONDS) -> int:
    """Measure and print the table; 0 where the goal is reached."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with airflow_with_many(folder, tries) as (airflow, _):
            _warm(airflow, folder / "known", tries)
            waits = compare(airflow, folder, rounds, seconds)
    alone = statistics.median(waits["alone"])
    figures = []
    for way in ("every day", "a back-fill"):
        ours = statistics.median(waits[way])
        figures.append(Figure(f"a second client's p95 beside us: {way}", f"{ours * 1000:.0f} ms", f"{alone * 1000:.0f} ms",
                              f"{ours / alone:.2f}", f"at most {GOAL}", ours / alone <= GOAL))  # fmt: skip
    return show(
        f"Load on an api-server of one process, {tries} failed tries, {rounds} rounds of {seconds:.0f} s", figures
    )


def compare(airflow: ThrowawayAirflow, folder: Path, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return the client's p95 of each round, in s, alone and beside us; `folder` / "known" holds what is known already."""
    ways: dict[str, Callable[[int], list[float]]] = {
        "alone": lambda number: wait(airflow, seconds),
        "every day": lambda number: beside_worker(airflow, folder / "known", seconds),
        "a back-fill": lambda number: beside_back_fills(airflow, folder / f"fill{number}", seconds),
    }
    waits: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way, ask in ways.items():
            waits[way].append(_p95(ask(number)))
            say(f"  round {number + 1} of {rounds}: {way}: p95 {waits[way][-1] * 1000:.0f} ms")
    return waits


def _p95(waited: list[float]) -> float:
    return statistics.quantiles(waited, n=20)[-1]


@contextmanager
def _client(airflow: ThrowawayAirflow, seconds: float) -> Iterator[subprocess.Popen[str]]:
    account = json.dumps({"username": airflow.username, "password": airflow.password})
    command = [sys.executable, "-c", _CLIENT, airflow.url, account, str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process


def _answer(process: subprocess.Popen[str]) -> list[float]:
    assert process.stdout is not None
    return [float(one) for one in json.loads(process.stdout.read())]


def wait(airflow: ThrowawayAirflow, seconds: float) -> list[float]:
    """Return how long each question of the client took, in s, over these seconds."""
    with _client(airflow, seconds) as process:
        return _answer(process)


def beside_worker(airflow: ThrowawayAirflow, folder: Path, seconds: float) -> list[float]:
    """Return the same while the worker watches this Airflow."""
    with started([sys.executable, "-m", "ui.cli", "worker", "--beat"], _environ(airflow, folder), folder / "log.txt"):
        time.sleep(5)  # its start is over: what is measured is a whole poll
        return wait(airflow, seconds)


def beside_back_fills(airflow: ThrowawayAirflow, folder: Path, seconds: float) -> list[float]:
    """Return the same while everything is collected, again and again."""
    with _client(airflow, seconds) as process:
        number = 0
        while process.poll() is None:
            number += 1
            _collect(airflow, folder / str(number))
        return _answer(process)


def _collect(airflow: ThrowawayAirflow, folder: Path) -> None:
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "ui.cli", "collect", "--json"]
    subprocess.run(command, env=_environ(airflow, folder), capture_output=True, check=True)


def _warm(airflow: ThrowawayAirflow, folder: Path, tries: int) -> None:
    _collect(airflow, folder)
    store = open_store(f"sqlite:///{folder / 'airtriage.db'}")
    known = store.count(parse("log:whole", datetime.now(UTC)))
    store.close()
    assert known == tries, f"{known} of {tries} were collected"


def _environ(airflow: ThrowawayAirflow, folder: Path) -> dict[str, str]:
    settings = {
        "DATA_DIR": str(folder), "DEPLOYMENTS__BENCH__URL": airflow.url,
        "DEPLOYMENTS__BENCH__USERNAME": airflow.username, "DEPLOYMENTS__BENCH__PASSWORD": airflow.password,
    }  # fmt: skip
    return environment(inherit=False) | {f"AIRTRIAGE_{name}": value for name, value in settings.items()}


if __name__ == "__main__":
    sys.exit(main())
