"""Which problem deserves a GitLab issue, where, and with what; and in words, why not yet or never.

Owns the order of the questions, the match of routes and the storm cap. A judgement is made anew from what is known each
time, so the words that a dry run prints are the ones that the next round acts on. Reads nothing and sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from triage.records import TriageState

# How long new issues count against the cap.
STORM = timedelta(hours=1)
_HOMELESS = "opens no issue: no route matches it, and gitlab.project is not set"


class Verdict(StrEnum):
    """What a policy says of a problem without an issue."""

    OPENS = "opens"
    WAITS = "waits"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Threshold:
    """So many settled final failures open an issue, counted over all time or within a span."""

    count: int = 1
    within: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A rule for the problems that all of its patterns match (`*` and `?`, any case); an empty one matches everything.

    What it leaves empty (None, or no text) is as the section `gitlab` has it; its labels come on top of those.
    """

    name: str
    dag: str = ""
    owner: str = ""
    deployment: str = ""
    tag: str = ""
    cause: str = ""
    project: str = ""
    labels: tuple[str, ...] = ()
    assignee: str = ""
    confidential: bool | None = None
    open_after: Threshold | None = None
    open: bool = True


@dataclass(frozen=True, slots=True)
class Rules:
    """The policy of one GitLab: its address, the defaults, and the routes in order, of which the first that matches counts.

    `causes` and `deployments` are patterns; where there are any, a problem that none of them matches gets no issue.
    """

    gitlab: str
    project: str = ""
    open_after: Threshold = Threshold()
    storm_cap: int = 20
    labels: tuple[str, ...] = ("airtriage",)
    confidential: bool = False
    causes: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """What a policy looks at of a problem. `settled` are the ends of its final failures whose log is settled, newest first.

    `awaited` says that a final failure's log is still to come.
    """

    problem: str
    state: TriageState
    cause: str
    is_flaky: bool
    deployments: tuple[str, ...]
    dags: tuple[str, ...]
    owners: tuple[str, ...]
    tags: tuple[str, ...] = ()
    settled: tuple[datetime, ...] = ()
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to become of a problem without an issue, the sentence why, and the issue that it would get."""

    problem: str
    verdict: Verdict
    why: str
    gitlab: str = ""
    project: str = ""
    labels: tuple[str, ...] = ()
    assignee: str = ""
    confidential: bool = False
    route: str = ""
    is_storm: bool = False


def judge(case: Case, rules: Rules, room: int, now: datetime) -> Judgement:
    """Judge a problem that has no issue. `room` is how many more the storm cap lets the project have in this hour."""
    route = routed(case, rules.routes)
    project = (route.project if route else "") or rules.project
    if reason := _never(case, rules, route, project):
        return Judgement(case.problem, Verdict.NEVER, reason, route=route.name if route else "")
    need = threshold(case, rules)
    have = sum(1 for at in case.settled if need.within is None or at > now - need.within)
    verdict, why, is_storm = Verdict.OPENS, f"opens an issue in {project}: {_reached(need)}", False
    if case.is_flaky:
        verdict, why = Verdict.WAITS, "opens no issue while it heals by retry"
    elif have < need.count and case.awaited:
        verdict, why = Verdict.WAITS, "opens an issue once the log of its final failure is known"
    elif have < need.count:
        verdict, why = Verdict.WAITS, f"opens an issue after {_more(need, have)}"
    elif room <= 0:
        verdict, is_storm = Verdict.WAITS, True
        why = f"waits for a place: the storm cap lets {project} have {rules.storm_cap} new issues an hour"
    if not is_storm and not case.is_flaky:
        why += f"; the storm cap has {room} left"
    return _judged(case, rules, route, verdict, why, is_storm)


def threshold(case: Case, rules: Rules) -> Threshold:
    """Return how many settled final failures open an issue for a problem."""
    route = routed(case, rules.routes)
    return (route.open_after if route else None) or rules.open_after


def asked(case: Case, rules: Rules) -> Judgement:
    """Judge a problem for which a person asks for an issue: nothing is waited for, and no pattern leaves it out."""
    route = routed(case, rules.routes)
    if route and not route.open:
        return Judgement(case.problem, Verdict.NEVER, f"opens no issue: the route {route.name} says so")
    if not ((route.project if route else "") or rules.project):
        return Judgement(case.problem, Verdict.NEVER, _HOMELESS)
    return _judged(case, rules, route, Verdict.OPENS, "opens an issue, as a person asked for it", False)


def _judged(case: Case, rules: Rules, route: Route | None, verdict: Verdict, why: str, is_storm: bool) -> Judgement:
    return Judgement(
        case.problem, verdict, why, rules.gitlab, (route.project if route else "") or rules.project,
        labels=tuple(dict.fromkeys((*rules.labels, *(route.labels if route else ())))),
        assignee=route.assignee if route else "",
        confidential=rules.confidential if route is None or route.confidential is None else route.confidential,
        route=route.name if route else "", is_storm=is_storm,
    )  # fmt: skip


def routed(case: Case, routes: Iterable[Route]) -> Route | None:
    """Return the first route that a problem takes, None where none matches."""
    return next((route for route in routes if _takes(route, case)), None)


def room(opened: Iterable[datetime], cap: int, now: datetime) -> int:
    """Return how many more issues a project may have now; `opened` are the times at which its issues were."""
    return max(0, cap - sum(1 for at in opened if at > now - STORM))


def _takes(route: Route, case: Case) -> bool:
    asked = (
        (route.dag, case.dags), (route.owner, case.owners), (route.deployment, case.deployments),
        (route.tag, case.tags), (route.cause, (case.cause,)),
    )  # fmt: skip
    return all(not pattern or _any(pattern, values) for pattern, values in asked)


def _any(pattern: str, values: Iterable[str]) -> bool:
    return any(fnmatchcase(value.casefold(), pattern.casefold()) for value in values)


def _never(case: Case, rules: Rules, route: Route | None, project: str) -> str:
    if case.state in (TriageState.MUTED, TriageState.RESOLVED):
        return f"opens no issue while it is {case.state.lower()}"
    if rules.deployments and not any(_any(one, case.deployments) for one in rules.deployments):
        return f"opens no issue: gitlab.deployments leaves {', '.join(case.deployments)} out"
    if rules.causes and not any(_any(one, (case.cause,)) for one in rules.causes):
        return f"opens no issue: gitlab.causes leaves {case.cause!r} out"
    if route and not route.open:
        return f"opens no issue: the route {route.name} says so"
    if not project:
        return _HOMELESS
    return ""


def _reached(need: Threshold) -> str:
    if need.count == 1:
        return "a final failure is settled"
    return f"{need.count} final failures are settled" + (f" within {_span(need.within)}" if need.within else "")


def _more(need: Threshold, have: int) -> str:
    left = need.count - have
    more = "1 more final failure" if left == 1 else f"{left} more final failures"
    return more + (f" within {_span(need.within)}" if need.within else "")


def _span(of: timedelta) -> str:
    seconds = of.total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
