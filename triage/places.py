"""Which names lead to one GitLab project: its path in any case, its number, a path that it had. Pure.

Two names of one project would be two caps, two summaries and two readers of it; so one of them stands for all, the first
that the settings have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from triage.mirrors import Tracker
from triage.policy import Rules

# A project by a name of it: the address of its GitLab, and its path or number.
Place = tuple[str, str]


def targets(rules: Rules) -> list[Place]:
    """Return where the issues of one policy go."""
    named = (rules.project, *(route.project for route in rules.routes if route.open))
    return [(rules.gitlab, project) for project in dict.fromkeys(named) if project]


def names(places: Iterable[Place], trackers: Iterable[Tracker]) -> dict[Place, Place]:
    """Map every name of a project to the one that stands for all; the trackers know the numbers of those that were asked."""
    numbers = {(tracker.gitlab, tracker.project): tracker.project_id for tracker in trackers}
    first: dict[Place, Place] = {}
    found: dict[Place, Place] = {}
    for place in (*places, *numbers):
        gitlab, project = place
        number = numbers.get(place, 0)
        known_by = [(gitlab, project.casefold())] + ([(gitlab, str(number))] if number else [])
        found[place] = next((first[one] for one in known_by if one in first), place)
        for one in known_by:
            first.setdefault(one, found[place])
    return found


def of(names: Mapping[Place, Place], gitlab: str, project: str) -> Place:
    """Return the name that stands for a project."""
    return names.get((gitlab, project), (gitlab, project))
