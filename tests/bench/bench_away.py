"""Elasticsearch away for an hour, killed as by a loss of power, while tasks go on failing: what is lost, and how soon all is well again.

Three real workers, each of which may hold the beat, with the default poll on one real Redis; nothing restarts them. A task
fails every ten seconds. Run it as `python -m tests.bench away`, or with another number of seconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from collector.ticks import bound
from tests.bench.table import Figure, say, show
from tests.elastic_server import ElasticServer, fresh, lack
from tests.place import wait_for
from tests.worker_trial import trial
from triage.settings import load

SECONDS, WORKERS, EVERY = 3_600, 3, 10.0
VERSION = "9.4.3"
GOAL = 120.0  # seconds until all is read, once the node answers: two passes of 30 s each, then what they put off


def main(seconds: int = SECONDS) -> int:
    """Run the trial and print the table; 1 where something was lost, doubled or late, or a worker ended."""
    if missing := lack(VERSION):
        say(f"  no Elasticsearch on this machine, nothing measured: {missing}")
        return 1
    with (
        ElasticServer(VERSION) as server,
        tempfile.TemporaryDirectory() as folder,
        trial(Path(folder), 6, WORKERS, STORE=fresh(server.url)) as its,
    ):
        service = its.where.service()
        its.fail(20)
        wait_for(lambda: its.is_done(service), 300)
        before = _memory(its.workers)
        say(f"  {its.failed} failed tries are known; Elasticsearch is killed for {seconds} s")
        server.kill()
        longest = 0
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            its.fail()
            time.sleep(EVERY)
            longest = max(longest, int(its.client.llen("airtriage")), int(its.client.llen("airtriage.bulk")))  # type: ignore[arg-type]
        after, alive = _memory(its.workers), sum(process.poll() is None for process in its.workers.values())
        server.start()
        began = time.monotonic()
        say(f"  {its.failed} tasks have failed by now; it answers again")
        wait_for(lambda: its.is_done(service), 10 * GOAL)
        took = time.monotonic() - began
        kept, whole, totals = its.result(service)
        most = bound(load(environ=its.where.environ))
        service.store.close()
    is_exact = (kept, whole, totals) == (its.failed, its.failed, [its.failed])
    told = f"{kept}, {whole}, {sum(totals)}"
    return show(
        f"Elasticsearch away for {seconds} s, {WORKERS} workers",
        [
            Figure("failed tries: kept, whole, counted", told, f"{its.failed} failed", "", "the same", is_exact),
            Figure("workers that lived on", str(alive), "", "", str(WORKERS), alive == WORKERS),
            Figure("most ticks in a queue meanwhile", str(longest), "", "", str(most), longest <= most),
            Figure(
                "memory of the largest worker", f"{after:.0f} MB", f"{before:.0f} MB before", f"{after / before:.2f}"
            ),
            Figure("until all was read and counted", f"{took:.0f} s", "", "", f"{GOAL:g} s", took <= GOAL),
        ],
    )


def _memory(pids: Iterable[int]) -> float:
    return max(psutil.Process(pid).memory_info().rss for pid in pids) / 1e6


if __name__ == "__main__":
    sys.exit(main(*(int(seconds) for seconds in sys.argv[1:2])))
