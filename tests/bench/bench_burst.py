"""A very bad day: 20,000 failures within ten minutes, and whether the real worker keeps up with them.

A deployment recorded from the demo's Airflow is served by a stand-in in a process of its own, its failures spread
evenly; `airtriage worker --beat` collects it with its default settings into SQLite. Nothing may be dropped, and the
oldest failure that is not indexed yet may never be older than the goal. Beside it the stand-in's own pace, the floor:
no collector can know a failure before it happens. Run it as `python -m tests.bench burst`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.bench_memory import peak, started
from tests.bench.recorded import record
from tests.bench.table import Figure, say, show
from triage.query import EVERYTHING, parse
from triage.settings import environment
from triage.store import Store, open_store
from ui.demo.airflow import ThrowawayAirflow, cache_folder, install
from ui.demo.scenario import run_everything

COUNT, SECONDS = 20_000, 600.0
OLDEST = 60.0  # seconds
PATIENCE = 900.0  # seconds beyond the burst


@dataclass(frozen=True, slots=True)
class Burst:
    """What came of it: failures indexed, the age in s of the oldest not indexed at its worst, seconds, MiB, CPU s."""

    indexed: int
    is_exact: bool
    oldest: float
    seconds: float
    peak: float
    cpu: float


def main(count: int = COUNT, seconds: float = SECONDS) -> int:
    """Measure and print the table; 0 where the goals are reached."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tries = recorded(folder)
        say(f"  {tries} failed tries of a real Airflow recorded; {count} like them within {seconds:.0f} s")
        burst = watch(folder, count, seconds)
    return show(
        f"Burst: {count} failures within {seconds / 60:g} minutes, the default settings",
        [
            Figure("failures indexed, each once", str(burst.indexed), str(count), f"{burst.indexed / count:.3f}", "all",
                   burst.is_exact),
            Figure("the oldest that is not indexed, at its worst", f"{burst.oldest:.0f} s", "", "", f"at most {OLDEST:.0f} s",
                   burst.oldest <= OLDEST),
            Figure("until all were indexed", f"{burst.seconds:.0f} s", f"{seconds:.0f} s", f"{seconds / burst.seconds:.2f}"),
            Figure("the worker", f"{burst.peak:.0f} MiB, {burst.cpu / burst.seconds:.2f} cores"),
        ],
    )  # fmt: skip


def recorded(folder: Path) -> int:
    """Run the demo's DAGs on a real Airflow, record what it says of its failures, and end it."""
    environment = install(cache_folder(), say)
    with ThrowawayAirflow(environment, folder / "airflow") as airflow:
        say("  Airflow is up; its DAGs fail")
        run_everything(airflow, lambda progress: None)
        return record(airflow, folder / "recording.json")


def watch(folder: Path, count: int, seconds: float, poll: str = "30s") -> Burst:
    """Let the worker collect the recorded deployment while its failures come in."""
    with served(folder / "recording.json", count, seconds) as (url, began):
        settings = {
            "DATA_DIR": str(folder / "data"), "DEPLOYMENTS__BENCH__URL": url, "DEPLOYMENTS__BENCH__USERNAME": "triage",
            "DEPLOYMENTS__BENCH__PASSWORD": "right", "DEPLOYMENTS__BENCH__POLL": poll,
        }  # fmt: skip
        environ = environment(inherit=False) | {f"AIRTRIAGE_{name}": value for name, value in settings.items()}
        store = open_store(f"sqlite:///{folder / 'data' / 'airtriage.db'}")
        try:
            command = [sys.executable, "-m", "ui.cli", "worker", "--beat"]
            log = folder / "worker.log"
            with started(command, environ, log) as process:
                try:
                    return _follow(store, process, count, timedelta(seconds=seconds / count), began, seconds)
                except AssertionError as exc:
                    raise AssertionError(f"{exc}; the worker said: {log.read_text()[-2000:]}") from exc
        finally:
            store.close()


def _follow(
    store: Store, process: subprocess.Popen[bytes], count: int, step: timedelta, began: datetime, seconds: float
) -> Burst:
    whole = parse("log:whole", began)
    oldest, told, cpu = 0.0, 0, 0.0
    while True:
        assert process.poll() is None, "the worker ended"
        now = datetime.now(UTC)
        indexed, known, backlog = store.count(whole), store.count(EVERYTHING), store.backlog("bench", now)
        unlisted = began + known * step if known < count else now
        oldest = max(oldest, (now - min(backlog.oldest or now, unlisted)).total_seconds())
        cpu = _cpu(process.pid)
        if indexed >= count:
            break
        assert (now - began).total_seconds() < seconds + PATIENCE, f"only {indexed} of {count} are indexed"
        if int((now - began).total_seconds()) // 30 > told:
            told = int((now - began).total_seconds()) // 30
            say(
                f"  after {told * 30} s: {known} known, {indexed} indexed, the oldest waits {oldest:.0f} s at its worst"
            )
        time.sleep(1)
    return Burst(
        indexed, store.count(EVERYTHING) == count, oldest, (now - began).total_seconds(), peak(process.pid), cpu
    )


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def served(file: Path, count: int, seconds: float) -> Iterator[tuple[str, datetime]]:
    """Serve the recording from a process of its own; yields its address and when the first failure happens."""
    command = [sys.executable, "-m", "tests.bench.recorded", str(file), str(count), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url, began = process.stdout.readline().split()
            yield url, datetime.fromisoformat(began)
        finally:
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
