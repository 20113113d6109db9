"""The worker's peak memory while it reads a log of 1 GiB, beside the same worker on a small log and a plain reader.

The worker is the real one (`airtriage worker --beat`, a process of its own) with its real store; the log comes from a
second process. Each log gets a fresh worker; its peak is the kernel's own (VmHWM). That the error at the tail of the log
was found is checked in the store. Run it as `python -m tests.bench memory`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.big_logs import WORDS
from tests.bench.table import Figure, say, show
from triage.model import LogStatus, Occurrence
from triage.query import EVERYTHING
from triage.settings import environment
from triage.store import open_store

GOAL = 256
PATIENCE = 900.0  # seconds for one log
KINDS = {
    "small": "a log of a few kB (the floor)",
    "gigabyte": "a log of 1 GiB",
    "line50": "one line of 50 MB",
    "line100": "one line of 100 MB",
}
# The least a reader can do: log in, stream, drop.
_PLAIN = """
import json, sys, urllib3
url = sys.argv[1]
account = json.dumps({"username": "triage", "password": "right"})
token = urllib3.request("POST", url + "/auth/token", body=account, headers={"Content-Type": "application/json"}).json()
headers = {"Authorization": "Bearer " + token["access_token"], "Accept-Encoding": "gzip"}
path = "/api/v2/dags/etl/dagRuns/x/taskInstances/load/logs/1"
log = urllib3.PoolManager().request("GET", url + path, headers=headers, preload_content=False)
print(sum(map(len, log.stream(65536, decode_content=True))))
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one process needed for one log: MiB at its peak, seconds, bytes of log, and whether the error was found.

    `unread` are the bytes that were left out in its middle.
    """

    peak: float
    seconds: float
    size: int
    is_found: bool = True
    unread: int = 0


def main(kinds: Sequence[str] = tuple(KINDS)) -> int:
    """Measure and print the table; 0 where the goal is reached and every error was found."""
    floor: Reading | None = None
    figures = []
    for kind in kinds:
        with tempfile.TemporaryDirectory() as name, serving(kind) as url:
            plain = read_plainly(url)
            say(f"  {KINDS[kind]}: a plain reader needed {plain.peak:.0f} MiB, {plain.seconds:.0f} s")
            ours = read_as_worker(url, Path(name))
            say(f"  {KINDS[kind]}: the worker needed {ours.peak:.0f} MiB, {ours.seconds:.0f} s")
        floor = floor or ours
        rate = f"{ours.size / ours.seconds / 1e6:.0f} MB/s" if ours.size > 1e6 else ""
        figures.append(
            Figure(
                f"{KINDS[kind]}, {'its error found' if ours.is_found else 'its ERROR NOT FOUND'} {rate}".rstrip(),
                f"{ours.peak:.0f} MiB",
                f"{floor.peak:.0f} MiB small, {plain.peak:.0f} MiB plain",
                f"+{ours.peak - floor.peak:.0f} MiB",
                f"at most {GOAL} MiB",
                ours.is_found and ours.peak <= GOAL,
            )
        )
    return show("Memory: the worker's peak (resident) on one log, and what it reads a second", figures)


def read_as_worker(url: str, folder: Path, **more: str) -> Reading:
    """Let a real worker read the one log there is into a fresh store; `more` are settings of its deployment."""
    settings = {
        "DATA_DIR": str(folder),
        "DEPLOYMENTS__BENCH__URL": url,
        "DEPLOYMENTS__BENCH__USERNAME": "triage",
        "DEPLOYMENTS__BENCH__PASSWORD": "right",
        "DEPLOYMENTS__BENCH__POLL": "2s",
        **{f"DEPLOYMENTS__BENCH__{name}": value for name, value in more.items()},
    }
    environ = environment(inherit=False) | {f"AIRTRIAGE_{name}": value for name, value in settings.items()}
    store = open_store(f"sqlite:///{folder / 'airtriage.db'}")
    began = time.monotonic()
    try:
        with started([sys.executable, "-m", "ui.cli", "worker", "--beat"], environ, folder / "worker.log") as process:
            while not (found := store.search(EVERYTHING, 2)) or found[0].log is LogStatus.PENDING:
                assert process.poll() is None, (folder / "worker.log").read_text()
                assert time.monotonic() - began < PATIENCE, "the worker did not read the log in time"
                time.sleep(0.1)
            seconds = time.monotonic() - began
            return Reading(peak(process.pid), seconds, found[0].log_bytes, _is_found(found), found[0].log_unread)
    finally:
        store.close()


def _is_found(found: Sequence[Occurrence]) -> bool:
    """Say whether the one try is there, whole, and signed by the error at its log's end."""
    fact = found[0]
    title = fact.signature.title if fact.signature else ""
    return len(found) == 1 and fact.log is LogStatus.WHOLE and "FileNotFoundError" in title and WORDS[:20] in title


def read_plainly(url: str) -> Reading:
    """Let a process of a dozen lines stream the log and drop it."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", _PLAIN, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        size = int(process.stdout.readline())
        reading = Reading(peak(process.pid), time.monotonic() - began, size)
        process.communicate()
    return reading


def peak(pid: int) -> float:
    """Return the most memory a process has had resident so far, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


@contextmanager
def serving(kind: str) -> Iterator[str]:
    """Serve the log of this kind from a process of its own; yields its address."""
    command = [sys.executable, "-m", "tests.bench.big_logs", kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def started(command: Sequence[str], environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command while the block runs, and end it with whatever it started."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
