"""What a round would do about a problem that has no issue: its case read from the store, and judged.

The shell around `policy`, shared by the round, the dry run and everybody who shows a problem, so that all say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from triage import lifecycle, places, policy
from triage.mirrors import Mirror, MirrorStatus, Tracker, tracker_id
from triage.places import Place
from triage.policy import Case, Judgement, Rules, Verdict
from triage.query import Members
from triage.queue import QueueRow
from triage.records import storm_id
from triage.service import Service

_READ = 200  # failed tries of a problem that are looked at, the newest


@dataclass(frozen=True, slots=True)
class Judging:
    """Judges the problems of one store; `rules` maps a deployment to the policy for its problems."""

    service: Service
    rules: Mapping[str, Rules]

    def alone(self, row: QueueRow, now: datetime, mirrors: Iterable[Mirror] | None = None) -> Judgement | None:
        """Judge one problem as if no other opened an issue now; None where the settings give it no GitLab.

        `mirrors` are all there are, where the caller has them at hand.
        """
        rules = self.rules_for(row)
        if rules is None:
            return None
        if mirrors is None:
            mirrors = [mirror for mirror, _ in self.service.store.records(Mirror)]
        return self.judge(row, Rooms(mirrors, now, self.names()), now)

    def names(self) -> dict[Place, Place]:
        """Map every name of a project with issues to the one that stands for all, those in the settings first."""
        trackers = [tracker for tracker, _ in self.service.store.records(Tracker)]
        return places.names((place for rules in self.rules.values() for place in places.targets(rules)), trackers)

    def judge(self, row: QueueRow, rooms: Rooms, now: datetime) -> Judgement | None:
        """Judge a problem; None where the settings give it no GitLab."""
        rules = self.rules_for(row)
        if rules is None:
            return None
        case = case_of(row)
        first = policy.judge(case, rules, 1, now)
        by_tag = any(route.tag for route in rules.routes)
        if row.problem.state in lifecycle.OPEN and not row.is_flaky and (by_tag or first.verdict is not Verdict.NEVER):
            need, room = policy.threshold(case, rules), rooms.left(rules, first.project)
            if by_tag or need.within or (row.final >= need.count and room):
                case = self.read(case, row)
            else:  # the counts alone say that it waits; thousands may, at every round
                case = replace(case, settled=(row.last_seen,) * min(row.final, need.count))
            first = policy.judge(case, rules, 1, now)
        return policy.judge(case, rules, rooms.left(rules, first.project), now) if first.project else first

    def asked(self, row: QueueRow) -> Judgement | None:
        """Judge a problem for which a person asks for an issue; None where the settings give it no GitLab."""
        rules = self.rules_for(row)
        return policy.asked(self.read(case_of(row), row), rules) if rules else None

    def rules_for(self, row: QueueRow) -> Rules | None:
        """Return the policy for a problem: that of the first of its deployments that has one."""
        return next((self.rules[name] for name in row.deployments if name in self.rules), None)

    def read(self, case: Case, row: QueueRow) -> Case:
        """Read the failures of a problem: which are settled, whose logs are awaited, the tags of their DAGs."""
        if not row.final:
            return case
        facts = self.service.store.search(Members(frozenset(self.service.members(row.problem))), _READ)
        final = [fact for fact in facts if fact.is_final]
        settled = tuple(fact.ended_at for fact in final if fact.next_fetch_at is None)
        tags = tuple(sorted({tag for fact in facts for tag in fact.tags}))
        return replace(case, settled=settled, awaited=len(settled) < len(final), tags=tags)


class Rooms:
    """How many more issues each project may have under its storm cap."""

    def __init__(self, mirrors: Iterable[Mirror], now: datetime, names: Mapping[Place, Place]) -> None:
        self._now, self._names = now, names
        self._opened: dict[Place, list[datetime]] = {}
        for mirror in mirrors:
            if mirror.intended_at <= now - policy.STORM:
                continue
            is_summary = mirror.problem == storm_id(tracker_id(mirror.gitlab, mirror.project))
            if mirror.status in (MirrorStatus.INTENDED, MirrorStatus.LINKED) and not is_summary:
                self._at(mirror.gitlab, mirror.project).append(mirror.intended_at)

    def left(self, rules: Rules, project: str) -> int:
        """Return how many more issues a project may have."""
        return policy.room(self._at(rules.gitlab, project), rules.storm_cap, self._now)

    def take(self, judged: Judgement) -> None:
        """Count an issue that is to be opened now."""
        self._at(judged.gitlab, judged.project).append(self._now)

    def _at(self, gitlab: str, project: str) -> list[datetime]:
        return self._opened.setdefault(places.of(self._names, gitlab, project), [])


def case_of(row: QueueRow) -> Case:
    """Return what a policy looks at of a problem, but for what its failures say."""
    dags = tuple(dag for dag, _ in row.dags)
    its = row.problem
    return Case(its.id, its.state, its.cause, row.is_flaky, row.deployments, dags, row.owned.names)
