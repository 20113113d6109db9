"""A hot spot: 5,000 failures of one cause within a minute, recorded and settled by 8 worker processes on one Elasticsearch.

Every worker writes facts of the same day, so all of them want the same notes, the same summary and the same problem. The
counts must be exact; a conflict is a write that came too late for another worker's and is done again. Nobody is starved
where the slowest worker ends not long after the first. Run it as `python -m tests.bench hotspot`.
"""

from __future__ import annotations

import time
from datetime import timedelta

from tests import hot_spot
from tests.bench.table import Figure, say, show
from tests.elastic_server import ElasticServer, fresh
from tests.store_contract import NOW
from triage.service import Service
from triage.store import open_store

WORKERS, TRIES = 8, 5_000
STARVED = 2.0  # the slowest worker's time by the quickest one's


def main() -> int:
    """Print the table; 1 where a count is wrong or a goal is missed."""
    with ElasticServer("9.4.3", heap="1g") as server:
        return measure(fresh(server.url), TRIES)


def measure(url: str, tries: int) -> int:
    """Measure on the store at `url`, which must be empty."""
    began = time.perf_counter()
    told = hot_spot.run(url, WORKERS, tries)
    took = time.perf_counter() - began
    store = open_store(url)
    service = Service(store)
    service.settle(NOW + timedelta(minutes=2))
    counted = [row.total for row in service.queue(NOW + timedelta(minutes=2))]
    store.close()
    say(f"  all {WORKERS} workers were done after {took:.0f} s")
    steps = sorted(step for one in told for step in one.steps)
    ends = [sum(one.steps) for one in told]
    lost = sum(one.conflicts for one in told)
    most = max(one.most for one in told)
    is_exact = counted == [tries] and sum(one.new for one in told) == tries
    return show(
        f"{tries:,} failures of one cause over {WORKERS} worker processes, {hot_spot.BATCH} a step",
        [
            Figure("counted", ", ".join(f"{count:,}" for count in counted), goal=f"{tries:,}", is_met=is_exact),
            Figure("conflicts for each failure", f"{lost / tries:.2f}", goal="1", is_met=lost <= tries),
            Figure("conflicts in the unluckiest step", str(most), goal=f"{8 * WORKERS}", is_met=most <= 8 * WORKERS),
            Figure("a step (record and settle): median, slowest", f"{steps[len(steps) // 2]:.2f} s, {steps[-1]:.2f} s"),
            Figure(
                "the slowest worker beside the quickest",
                f"{max(ends):.0f} s",
                f"{min(ends):.0f} s",
                f"{max(ends) / min(ends):.2f}",
                f"{STARVED}",
                max(ends) <= STARVED * min(ends),
            ),
        ],
    )
