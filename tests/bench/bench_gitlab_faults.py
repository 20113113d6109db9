"""10,000 trials by fault of the mirroring to GitLab: does a problem ever get two issues, or none, is a person overruled?

Each is a seed (`tests.gitlab_trials`): a world of its own, what goes wrong in it and in which order, then all is well
again. What was injected is counted where it struck. Eight syncers at once are real threads, so that their order is the
machine's; all else is the seed's. `python -m tests.bench.bench_gitlab_faults 500 2000` runs 500 from seed 2000 on.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.bench.table import Figure, say, show
from tests.gitlab_trials import LOST, OVERWRITTEN, TWICE, UNSETTLED, trial

TRIALS, BATCH, PROCESSES = 10_000, 50, 2
KINDS = {
    TWICE: "issues or comments made twice",
    LOST: "issues lost, or not opened",
    OVERWRITTEN: "words or decisions of people overruled",
    UNSETTLED: "trials that did not settle",
}


def main(count: int = TRIALS, first: int = 0) -> int:
    """Run the trials and print the table; 1 where anything is wrong."""
    began = time.monotonic()
    injected: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    done = 0
    for seeds, struck, found in _batches(count, first):
        injected += struck
        for seed, what in found:
            wrong[what.split(":")[0]] += 1
            say(f"  seed {seed}: {what}")
        done += seeds
        if done % 500 < seeds:
            say(f"  {done} of {count}: {sum(wrong.values())} wrong, {time.monotonic() - began:.0f} s")
    figures = [Figure(says, str(wrong[kind]), goal="0", is_met=not wrong[kind]) for kind, says in KINDS.items()]
    figures += [Figure(f"injected: {name}", f"{struck:,}") for name, struck in injected.most_common()]
    return show(f"Mirroring to GitLab under faults: {count:,} trials, seeds {first} to {first + count - 1}", figures)


def _batches(count: int, first: int) -> Iterator[tuple[int, Counter[str], list[tuple[int, str]]]]:
    starts = range(first, first + count, BATCH)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=spawn) as pool:
        for future in as_completed(pool.submit(batch, start, min(BATCH, first + count - start)) for start in starts):
            yield future.result()


def batch(first: int, count: int) -> tuple[int, Counter[str], list[tuple[int, str]]]:
    """Run trials one after the other; return how many, what was injected, and what was wrong by seed."""
    injected: Counter[str] = Counter()
    found = []
    for seed in range(first, first + count):
        its = trial(seed)
        injected += its.injected
        found += [(seed, what) for what in its.wrong]
    return count, injected, found


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
