"""The shell of a query's terms about problems: `state:`, `is:`, `has:`, `gitlab:`, `first_seen:` and the like.

Each becomes the occurrences of the problems of which it is true, so that a store needs to know nothing of problems, and a
NOT around it is right: of what belongs to no problem nothing is true.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING

from triage.mirrors import MirrorStatus
from triage.query import PROBLEM_FIELDS, Between, Both, Either, Field, Members, Never, Query, rewrite
from triage.queue import QueueRow, open_row
from triage.records import Problem, TriageState
from triage.tokens import fold

if TYPE_CHECKING:
    from triage.service import Service

Pair = tuple[str, str]  # deployment, fingerprint
_ISSUE = re.compile(r"https?://[^/]+/(.+?)/-/(?:issues|work_items)/(\d+)")


def resolve(service: Service, query: Query, now: datetime, *, of_problems: bool) -> Query:
    """Replace the terms about problems by `Members`; with `of_problems`, `owner:` is such a term too."""
    problems = _Problems(service, now)

    def change(term: Field | Between) -> Query:
        if term.name not in PROBLEM_FIELDS and not (of_problems and term.name == "owner"):
            return term
        if isinstance(term, Between):
            return problems.where(_between(term))
        if not term.value and not term.prefix and term.name != "owner":
            return Never(change(Field(term.name, "", prefix=True)))
        return problems.where(_claim(problems, term))

    return rewrite(query, change)


def chosen(query: Query, known: Callable[[], Set[Pair]]) -> Set[Pair] | None:
    """Return the `known` pairs that a resolved query chooses; None where it asks something of each failed try.

    So a problem is found by what is true of it whose failed tries are kept no longer.
    """
    match query:
        case Members(pairs):
            return pairs
        case Never(part):
            found = chosen(part, known)
            return None if found is None else known() - found
        case Both(parts) | Either(parts) if parts:
            several = [chosen(part, known) for part in parts]
            sets = [one for one in several if one is not None]
            if len(sets) < len(several):
                return None
            return reduce(and_ if isinstance(query, Both) else or_, sets)
        case _:
            return None


class _Problems:
    """The rows of all problems, what each owns and its GitLab issue."""

    def __init__(self, service: Service, now: datetime) -> None:
        self.service = service
        self._now = now

    def where(self, claim: Callable[[QueueRow], bool]) -> Query:
        found = {row.problem.id for row in self.service.queue(self._now) if claim(row)}
        owned = self.service.picture.owned(self._now).items()
        members = (member for member, problem in owned if problem in found)
        return Members(frozenset(pair for scope, print_ in members for pair in self.service.pairs(scope, [print_])))

    def issue(self, row: QueueRow) -> tuple[str, ...]:
        """Return what the GitLab issue of a problem is called, folded; nothing where it has none."""
        if not row.problem.gitlab_url:
            return ()
        mirror, url = self.service.picture.mirrors(self._now).get(row.problem.id), row.problem.gitlab_url
        if mirror and mirror.status is MirrorStatus.LINKED and mirror.iid:
            project, number = mirror.project, str(mirror.iid)
        elif match := _ISSUE.match(url):
            project, number = match.groups()
        else:
            return (fold(url),)
        return tuple(fold(name) for name in (number, f"#{number}", project, f"{project}#{number}", url))


def _between(term: Between) -> Callable[[QueueRow], bool]:
    def is_within(row: QueueRow) -> bool:
        value = {"first_seen": row.first_seen, "last_seen": row.last_seen, "occurrences": row.total}[term.name]
        return (term.low is None or value >= term.low) and (term.high is None or value <= term.high)  # type: ignore[operator]

    return is_within


def _claim(problems: _Problems, term: Field) -> Callable[[QueueRow], bool]:
    value, prefix = term.value, term.prefix
    match term.name:
        case "state":
            return lambda row: _is(row.problem.state.lower(), value, prefix)
        case "is":
            return lambda row: any(_is(name, value, prefix) for name in _judgements(row))
        case "has":
            return lambda row: any(_is(name, value, prefix) for name in _has(row))
        case "gitlab":
            return lambda row: any(_is(name, value, prefix) for name in problems.issue(row))
        case "team":
            return lambda row: row.owned.is_team(value, prefix)
        case "owner":
            return lambda row: row.owned.is_called(value, prefix)
        case _:
            known = problems.service.store.get(Problem, value)
            start = problems.service.living(known[0]).id if known else value
            return lambda row: row.problem.id.startswith(start)


def _is(name: str, value: str, prefix: bool) -> bool:
    return name.startswith(value) if prefix else name == value


def _judgements(row: QueueRow) -> set[str]:
    """Return the words of `is:` that are true of a problem: its tab and whether it is open or grows, new or regressed."""
    state = row.problem.state
    told = {
        "all": True,
        row.pill.partition(" ")[0]: True,
        "new": state is TriageState.NEW,
        "regressed": state is TriageState.REGRESSED,
        "open": open_row(row),
        "growing": row.growth is not None,
    }
    return {name for name, is_so in told.items() if is_so}


def _has(row: QueueRow) -> set[str]:
    told = {"gitlab": bool(row.problem.gitlab_url), "owner": bool(row.owned.names), "team": row.owned.is_team("", True)}
    return {name for name, is_so in told.items() if is_so}
