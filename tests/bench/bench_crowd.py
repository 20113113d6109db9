"""Fifty people with the queue of 5,000 problems open, a click each 10 s; /api and /webhooks meanwhile, in a process of their own.

The people speak Streamlit's websocket protocol (`visitors`), one real Chromium looks on as a check. A writer records a
new failure every two seconds, so that what is remembered of the queue is never the answer for long. Then how soon
`airtriage web` answers, and shows the queue, on a store of 1,000,000 tries. Run it as `python -m tests.bench crowd`.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests import made_up
from tests.bench import many_tries
from tests.bench.bench_memory import started
from tests.bench.bench_pages import ROUNDS, _load
from tests.bench.table import Figure, say, show
from tests.bench.visitors import Visitor, crowd
from tests.processes import free_port
from tests.served import CHROMIUM, chromium
from triage.query import EVERYTHING
from triage.settings import environment

PROBLEMS, PEOPLE, PAUSE, SECONDS, MILLION = 5_000, 50, 10.0, 60.0, 1_000_000
PAGE, BESIDE, START = 2.0, 0.1, 5.0  # the goals, in s
_SECRET = "made-up-word"
_ASK = """
import json, sys, time, urllib3
base, seconds, secret, ids = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4].split(",")
pool, waited = urllib3.PoolManager(maxsize=4), {"/api": [], "/webhooks": []}
asked = [lambda n: "/api/problems?limit=50", lambda n: "/api/problems/" + ids[n % len(ids)], lambda n: "/api/search?q=deadlock&limit=20"]
def ask(name, method, path, **more):
    began = time.perf_counter()
    assert pool.request(method, base + path, **more).status == 200, path
    waited[name].append(time.perf_counter() - began)
began = time.perf_counter()
for number in range(int(seconds * 5)):
    time.sleep(max(0, began + number / 5 - time.perf_counter()))
    ask("/api", "GET", asked[number % 3](number))
    told = {"object_kind": "issue", "project": {"id": 7}, "object_attributes": {"iid": number + 1}, "user": {"id": 9}}
    ask("/webhooks", "POST", "/webhooks/gitlab", body=json.dumps(told), headers={"X-Gitlab-Token": secret})
print(json.dumps(waited))
"""
_WRITE = """
import sys, time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tests import made_up
service, facts, number = made_up.service(Path(sys.argv[1])), made_up.failing(200), 0
while True:
    time.sleep(2)
    fact, now = facts[number % len(facts)], datetime.now(UTC)
    service.record([replace(fact, key=replace(fact.key, run_id=f"new-{number}"), ended_at=now, seen_at=now)])
    service.settle(now)
    number += 1
"""


@dataclass
class Measured:
    """Seconds by what was asked for; `peak` is the resident memory of the pages' process, in MiB, `cpu` what each process spent, in s."""

    clicks: dict[str, list[float]]
    beside: dict[str, list[float]]
    painted: list[float]
    peak: float
    written: int
    cpu: dict[str, float]


def main(problems: int = PROBLEMS, people: int = PEOPLE, seconds: float = SECONDS, million: int = MILLION) -> int:
    """Measure and print the tables; 0 where every goal is reached."""
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), problems, people, PAUSE, seconds)
    missed = show(
        f"{people} people, {problems:,} problems, a click each {PAUSE:g} s for {seconds:g} s", _figures(found)
    )
    with tempfile.TemporaryDirectory() as name:
        return missed | show(f"Start of airtriage web on {million:,} tries", start(Path(name), million))


def _figures(found: Measured) -> list[Figure]:
    every = [one for name, times in found.clicks.items() if name != "load" for one in times]
    rows = [_figure("a page, of all clicks", every, PAGE)]
    rows += [_figure(f"of these: {name}", times, None) for name, times in found.clicks.items() if name != "load"]
    rows.append(_figure("opening the queue in a new tab", found.clicks["load"], None))
    rows += [_figure(f"{name} meanwhile", times, BESIDE) for name, times in found.beside.items()]
    if found.painted:
        rows.append(_figure("a real Chromium meanwhile: queue painted", found.painted, None))
    rows += [Figure(f"CPU of {name}", f"{spent:.1f} s") for name, spent in found.cpu.items()]
    rows.append(Figure("memory of the pages' process", f"{found.peak:.0f} MiB", f"{found.written} failures written"))
    return rows


def _figure(what: str, times: list[float], goal: float | None) -> Figure:
    told = f"median {statistics.median(times) * 1000:.0f}, p95 {p95(times) * 1000:.0f}, worst {max(times) * 1000:.0f} ms of {len(times)}"
    return Figure(what, told, goal=f"p95 {goal * 1000:.0f} ms" if goal else "", is_met=goal and p95(times) <= goal)


def p95(times: list[float]) -> float:
    """Return the time that one in twenty is longer than, in s; the longest of a few."""
    return sorted(times)[min(len(times) - 1, int(len(times) * 0.95))]


def measure(folder: Path, problems: int, people: int, pause: float, seconds: float) -> Measured:
    """Return what the people and the API's clients waited for on a store made in `folder`."""
    service = made_up.service(folder)
    made_up.fill(service)
    made_up.many(service, problems)
    ids = [row.problem.id for row in service.queue(made_up.NOW)][:200]
    before = service.store.count(EVERYTHING)
    with ExitStack() as held:
        pages, process = held.enter_context(_web(folder, "pages", "WEB__PORT"))
        api, beside_it = held.enter_context(_web(folder, "api", "WEB__API_PORT"))
        held.enter_context(started([sys.executable, "-c", _WRITE, str(folder)], environment(inherit=False), folder / "writer.log"))  # fmt: skip
        command = [sys.executable, "-c", _ASK, f"http://127.0.0.1:{api}", str(seconds), _SECRET, ",".join(ids)]
        client = held.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        painted: list[float] = []
        look = threading.Thread(target=_chromium, args=(f"http://127.0.0.1:{pages}", painted))
        look.start()
        began = {name: _spent(one) for name, one in (("the pages' process", process), ("the API's", beside_it))}
        visitors = asyncio.run(crowd(f"ws://127.0.0.1:{pages}", people, ids, pause, seconds))
        assert client.stdout is not None
        beside = json.loads(client.stdout.read())
        look.join()
        spent = {"the pages' process": _spent(process), "the API's": _spent(beside_it)}
        peak = psutil.Process(process.pid).memory_info().rss / 1024**2
    written = service.store.count(EVERYTHING) - before
    assert written, (folder / "writer.log").read_text()
    service.store.close()
    cpu = {name: spent[name] - began[name] for name in spent}
    return Measured(_together(visitors), beside, painted, peak, written, cpu)


def _spent(process: subprocess.Popen[bytes]) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


def _together(visitors: list[Visitor]) -> dict[str, list[float]]:
    names = dict.fromkeys(name for visitor in visitors for name in visitor.clicks)
    return {name: [one for visitor in visitors for one in visitor.clicks.get(name, [])] for name in names}


def _chromium(base: str, painted: list[float]) -> None:
    if CHROMIUM is None:
        return
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        _load(page, base, "[data-id]")
        painted += [_load(page, base, "[data-id]") / 1000 for _ in range(ROUNDS)]


@contextmanager
def _web(folder: Path, part: str, port: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    number = free_port()
    settings = {
        "DATA_DIR": str(folder), port: str(number), "DEPLOYMENTS__PROD__URL": "https://prod.airflow.example",
        "GITLAB__URL": "https://gitlab.example.com", "GITLAB__TOKEN": "made-up-access", "GITLAB__PROJECT": "data/airflow",
        "GITLAB__WEBHOOK_TOKEN": _SECRET,
    }  # fmt: skip
    environ = environment(inherit=False) | {f"AIRTRIAGE_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "ui.cli", "web", "--only", part]
    with started(command, environ, folder / f"{part}.log") as process:
        _answers(number, process, folder / f"{part}.log")
        yield number, process


def _answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(log.read_text())


def start(folder: Path, tries: int, rounds: int = 3) -> list[Figure]:
    """Return how soon the pages answer, and show a first visitor the queue, on so many tries in SQLite."""
    many_tries.copy(tries, version(), folder)
    times: Mapping[str, list[float]] = {"it answers": [], "the first visitor has the queue": []}
    for number in range(rounds):
        began = time.perf_counter()
        with _web(folder, "pages", "WEB__PORT") as (port, _):
            times["it answers"].append(time.perf_counter() - began)
            asyncio.run(Visitor(f"ws://127.0.0.1:{port}").visit([], 1, 0, 0))
            times["the first visitor has the queue"].append(time.perf_counter() - began)
        say(f"  start {number + 1} of {rounds}: {times['it answers'][-1]:.1f} s")
    answers, queue = times.values()
    return [
        Figure(what, f"{statistics.median(its):.1f} s (worst {max(its):.1f})", goal=goal, is_met=met)
        for what, its, goal, met in (
            ("it answers", answers, f"{START:g} s", statistics.median(answers) <= START),
            ("the first visitor has the queue", queue, "", None),
        )
    ]


def version() -> int:
    """Return the version of a new file's tables."""
    import sqlite3

    with tempfile.TemporaryDirectory() as name:
        made_up.service(Path(name)).store.close()
        with sqlite3.connect(Path(name) / "airtriage.db") as db:
            return int(db.execute("PRAGMA user_version").fetchone()[0])


if __name__ == "__main__":
    sys.exit(main())
