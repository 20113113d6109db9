"""Whatever happens to problems, in whatever order: no impossible state, no lost link, no entry of the history missing."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.life import Life

TestLife = Life.TestCase
# As many steps as take some seconds; `python -m tests.bench lifecycle` makes 100,000.
TestLife.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
