"""Many workers on one store and one Redis: how soon all is well again after each thing that may befall them.

Six workers, each with a beat, on SQLite; `ROUNDS` times each of kills, an end by SIGTERM, a restart, a wipe and a Redis that is full, in an order
drawn from a seed, while tasks go on failing. Nothing may be lost or doubled, and the failure after it may wait two passes at most, beside which
stands the wait of the same failure where nothing befell. Run it as `python -m tests.bench workers`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import psutil

from collector.ticks import bound
from tests.bench.table import Figure, say, show
from tests.place import wait_for
from tests.worker_trial import BEFALLS, Trial, trial
from triage.service import Service
from triage.settings import load

SEED, WORKERS, ROUNDS, FAILURES = 6, 6, 3, 20
POLL = 30.0  # seconds, the default
GOAL = 2 * POLL


def main() -> int:
    """Run the trial and print the table; 1 where something was lost, doubled or late."""
    with tempfile.TemporaryDirectory() as folder:
        more = {"DEPLOYMENTS__PROD__POLL": f"{POLL:g}s"}
        with trial(Path(folder), SEED, WORKERS, **more) as its:
            service = its.where.service()
            its.fail(FAILURES)
            wait_for(lambda: its.is_done(service), 5 * GOAL)
            quiet = [its.recover(service, 5 * GOAL) for _ in range(ROUNDS)]
            took: dict[str, list[float]] = {what: [] for what in BEFALLS}
            longest = 0
            for what in its.draw.sample(BEFALLS * ROUNDS, len(BEFALLS) * ROUNDS):
                its.fail(FAILURES)
                its.befall(what, service)
                took[what].append(its.recover(service, 10 * GOAL))
                longest = max(longest, int(its.client.llen("airtriage")), int(its.client.llen("airtriage.bulk")))  # type: ignore[arg-type]
                say(f"  {what}: read again after {took[what][-1]:.1f} s")
            wait_for(lambda: its.is_done(service), 10 * GOAL)
            return _show(its, service, quiet, took, longest)


def _show(its: Trial, service: Service, quiet: list[float], took: dict[str, list[float]], longest: int) -> int:
    kept, whole, totals = its.result(service)
    memory = max(psutil.Process(pid).memory_info().rss for pid in its.workers) / 1e6
    most = bound(load(environ=its.where.environ))
    calm, blows = f"{max(quiet):.1f}", sum(map(len, took.values()))
    figures = [
        Figure(
            "failed tries: kept, whole, counted", f"{kept}, {whole}, {sum(totals)}", f"{its.failed} failed", "",
            "the same", its.is_done(service),
        ),
        *(
            Figure(
                f"s to the next failure's log: {what}", f"{max(times):.1f}", calm, f"{max(times) / max(quiet):.1f}",
                f"{GOAL:g}", max(times) <= GOAL,
            )
            for what, times in took.items()
        ),
        Figure("most ticks in a queue", str(longest), "", "", str(most), longest <= most),
        Figure("memory of the largest worker, MB", f"{memory:.0f}"),
    ]  # fmt: skip
    return show(f"{WORKERS} workers with beats, {blows} blows, a poll of {POLL:g} s; beside it: none fell", figures)


if __name__ == "__main__":
    sys.exit(main())
