"""The same failures in other scopes: which problems of theirs have a fingerprint of this one.

The shell of "also in staging", beside `service`. Shows them and touches none: what fails in one scope is never another
one's problem.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from triage.editions import base
from triage.records import Membership, Problem
from triage.service import Service
from triage.watched import DeploymentHealth


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A problem of another scope with `total` failed tries of the same fingerprints, in these deployments."""

    problem: Problem
    deployments: tuple[str, ...]
    total: int


def elsewhere(service: Service, problem: Problem, fingerprints: Iterable[str]) -> list[Elsewhere]:
    """Return the problems of other scopes that have failed tries with these fingerprints, in order of scope.

    A part that was split off here is there as long as it was not: its fingerprint counts as it was signed, too.
    """
    wanted = sorted({one for print_ in fingerprints for one in (print_, base(print_))})
    watched = {*service.scopes, *(health.deployment for health, _ in service.store.records(DeploymentHealth))}
    owned: dict[str, set[tuple[str, str]]] = {}
    for scope in sorted({service.scope(name) for name in watched} - {problem.scope}):
        for print_ in wanted:
            if found := service.store.get(Membership, f"{scope}/{print_}"):
                owned.setdefault(found[0].problem, set()).update(service.pairs(scope, [print_]))
    shown = []
    for id, pairs in owned.items():
        kept, parts = service.store.get(Problem, id), service.store.summaries(members=pairs)
        if kept and parts:
            names = tuple(sorted({part.deployment for part in parts}))
            shown.append(Elsewhere(kept[0], names, sum(part.total for part in parts)))
    return shown
