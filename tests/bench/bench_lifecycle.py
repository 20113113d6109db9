"""The life of problems by a model: 100,000 steps of failures, time, persons, GitLab and merges, in any order.

Counts, not times: a step after which something impossible stands in the store, a link is lost or the history lacks an entry
is a violation, and hypothesis prints the shortest way there. Run it as `python -m tests.bench lifecycle`.
"""

from __future__ import annotations

import time
import traceback

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests import life
from tests.bench.table import Figure, say, show
from triage.records import TriageState

STEPS, EACH = 100_000, 60


def main(steps: int = STEPS) -> int:
    """Make the steps and print the table; 1 where one led to something impossible."""
    life.steps[0] = violations = turn = 0
    life.reached.clear()
    began = time.perf_counter()
    while life.steps[0] < steps and not violations:
        try:
            batch(turn, min(50, (steps - life.steps[0]) // EACH + 1))
        except Exception:
            say(traceback.format_exc())
            violations += 1
        turn += 1
        say(f"  {life.steps[0]:,} steps")
    took = time.perf_counter() - began
    every = {(one, two) for one in TriageState for two in TriageState if one is not two and two is not TriageState.NEW}
    gone = {pair for pair in every if life.reached[pair]}
    seen = {state for pair in life.reached for state in pair} | {"NEW"}
    return show(
        "The life of problems by a model",
        [
            Figure("steps", f"{life.steps[0]:,}", goal=f"{steps:,}", is_met=life.steps[0] >= steps),
            Figure("violations", str(violations), goal="0", is_met=not violations),
            Figure("changes of state", f"{sum(life.reached.values()):,}"),
            Figure("states reached", f"{len(seen)} of {len(TriageState)}"),
            Figure("pairs of states that a step led between", f"{len(gone)}"),
            Figure("a step, its checks included", f"{1000 * took / life.steps[0]:.1f} ms"),
        ],
    )


def batch(turn: int, examples: int) -> None:
    """Run some examples; the same turn makes the same steps."""

    @seed(turn)
    class Turn(life.Life):
        pass

    run_state_machine_as_test(
        Turn,
        settings=settings(
            max_examples=examples, stateful_step_count=EACH, deadline=None, suppress_health_check=list(HealthCheck), database=None
        ),
    )  # fmt: skip
