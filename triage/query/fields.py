"""What can be searched: every field with its names, what it speaks of and how its value is written.

docs/search.md and the completion on the page are made from it. A field about a problem speaks, in a search for failed
tries, of the problem that a try belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from triage.model import LogStatus
from triage.records import TriageState


class Kind(StrEnum):
    """How a field's value is written."""

    WORDS = "words"
    NAME = "name"
    NUMBER = "number"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Known:
    """A field: its short name, what it says, its full names, the only values it takes where they are few."""

    name: str
    kind: Kind
    says: str
    full: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    of_problem: bool = False


# `is:` a tab of the queue, a state, or that it grows; tests hold it against the tabs.
IS = ("all", "flaky", "growing", "muted", "needs", "new", "ongoing", "open", "regressed", "resolved")
HAS = ("gitlab", "owner", "team")

_KNOWN = (
    Known("text", Kind.WORDS, "the title, the ids, the host and the kept log; what words without a field look at"),
    Known("title", Kind.WORDS, "the title of the failure"),
    Known("deployment", Kind.NAME, "the deployment of Airflow"),
    Known("dag", Kind.NAME, "the DAG", ("dag_id",)),
    Known("task", Kind.NAME, "the task", ("task_id",)),
    Known("run", Kind.NAME, "the run of the DAG", ("run_id",)),
    Known("try", Kind.NUMBER, "which try it was, from 1", ("try_number",)),
    Known("map", Kind.NUMBER, "which mapped instance, from 0; -1 for a task that is not mapped", ("map_index",)),
    Known("cause", Kind.NAME, "the cause, as the failure was judged"),
    Known("exception", Kind.NAME, "the type of the exception, with its module as in the log, or without"),
    Known("owner", Kind.NAME, "the owner that Airflow names; in the queue and in `problems`, who owns the problem"),
    Known("operator", Kind.NAME, "the operator of the task"),
    Known("queue", Kind.NAME, "the queue it ran in"),
    Known("pool", Kind.NAME, "the pool it took its slot from"),
    Known("host", Kind.NAME, "the worker it ran on"),
    Known("tag", Kind.NAME, "a tag of the DAG"),
    Known("log", Kind.NAME, "how much of the log is known", choices=tuple(str(status) for status in LogStatus)),
    Known("at", Kind.TIME, "when the try ended"),
    Known("fingerprint", Kind.NAME, "the fingerprint of the failure"),
    Known("problem", Kind.NAME, "the problem's id, or its beginning", of_problem=True),
    Known("state", Kind.NAME, "its state in triage", choices=tuple(s.lower() for s in TriageState), of_problem=True),
    Known("is", Kind.NAME, "a tab of the queue, a state, `open`, or `growing` against its own past", choices=IS, of_problem=True),
    Known("has", Kind.NAME, "whether there is a GitLab issue, an owner, a team that owns it", choices=HAS, of_problem=True),
    Known("gitlab", Kind.NAME, "its GitLab issue: `12`, `group/project#12`, the project or the address", of_problem=True),
    Known("team", Kind.NAME, "the team that owns it, with or without its `@`", of_problem=True),
    Known("first_seen", Kind.TIME, "when it was first seen", of_problem=True),
    Known("last_seen", Kind.TIME, "when it was last seen", of_problem=True),
    Known("occurrences", Kind.NUMBER, "how many failed tries it has", of_problem=True),
)  # fmt: skip

KNOWN = {known.name: known for known in _KNOWN}
# Short and full names of every field; the short one is what the tree holds.
FIELDS = {name: known.name for known in _KNOWN for name in (known.name, *known.full)}
PROBLEM_FIELDS = frozenset(known.name for known in _KNOWN if known.of_problem)
# What a store counts by: the names of `Store.facets`.
FACETS = (
    "deployment", "dag", "task", "cause", "exception", "owner", "operator", "queue", "pool", "host", "tag", "log", "title", "fingerprint",
)  # fmt: skip
