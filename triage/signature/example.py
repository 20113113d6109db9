"""A rule by example: what a rule's docstring says, shown on logs and proved on them.

Owns the shape alone: the examples stand beside the rules, the docs are made from both, one test signs every log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from triage.model import Circumstance

# How a log that Airflow 2 writes as text begins to tell the exception that ended the try.
FAILED = "ERROR - Task failed with exception\nTraceback (most recent call last):\n"


@dataclass(frozen=True, slots=True)
class Example:
    """Failed tries by their `logs` (all of the task shop.load), and the titles of the problems that they become.

    `circumstance` is what Airflow says of them. For a rule of people's own, `own` is that rule as in the settings, and
    `before` holds the titles of the problems without it.
    """

    rule: Callable[..., object]
    logs: tuple[str, ...]
    after: tuple[str, ...]
    circumstance: Circumstance | None = None
    own: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()

    @property
    def says(self) -> str:
        """What the rule says: its docstring."""
        return " ".join((self.rule.__doc__ or "").split())
