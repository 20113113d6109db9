"""Every way between the states of a problem, written down once: the code goes only these, and the docs are made from them.

Pure data. What makes a way due is `lifecycle`'s; what it means is said here in the words of docs/lifecycle.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from triage.records import TriageState

NEW, ONGOING, REGRESSED, MUTED, RESOLVED = TriageState
OPEN = frozenset({NEW, ONGOING, REGRESSED})
_LIVE = OPEN | {MUTED}


class Event(StrEnum):
    """What moves a problem, or lets it stand and changes what will."""

    OPENED = "opened"
    SETTLED = "ongoing"
    RESOLVED = "resolved"
    RESOLVED_NEXT = "resolved in the next deploy"
    RESOLVED_IN = "resolved in a deploy"
    DEPLOYED = "deploy seen"
    ARMED = "to be resolved when quiet"
    DISARMED = "no longer to be resolved when quiet"
    QUIET = "resolved, as it was quiet"
    MUTED = "muted"
    UNMUTED = "unmuted"
    WOKEN = "unmuted by time"
    USED_UP = "unmuted by count"
    SPREAD = "unmuted by spread"
    UNLINKED = "unmuted by unlinking"
    CLOSED = "closed in GitLab"
    REOPENED = "reopened"
    REGRESSED = "regressed"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Way:
    """One way between states: where it starts, by what, where it ends, in words.

    `end` is None where the state stays, or goes back to what it was. `refused` is said to a person where the way does
    not start.
    """

    starts: frozenset[TriageState]
    by: str
    end: TriageState | None
    says: str
    refused: tuple[str, str] = ("cannot be changed so.", "")


_PERSON = "a person, GitLab or a policy"
_RESOLVED_ALREADY = ("is resolved already.", "")
WAYS: dict[Event, Way] = {
    Event.OPENED: Way(frozenset(), "a failure", NEW, "A failed try has a fingerprint that no problem owns."),
    Event.SETTLED: Way(frozenset({NEW, REGRESSED}), "time", ONGOING, "Nobody decided anything for a week."),
    Event.RESOLVED: Way(_LIVE, _PERSON, RESOLVED, "It is fixed now: a try that starts later and fails is a regression.", _RESOLVED_ALREADY),
    Event.RESOLVED_NEXT: Way(
        _LIVE, _PERSON, RESOLVED,
        "It is fixed in the next deploy: failures of the DAG versions and bundles known now are expected still.", _RESOLVED_ALREADY),
    Event.RESOLVED_IN: Way(
        _LIVE, _PERSON, RESOLVED,
        "It is fixed in a given commit or DAG version: any failure of that deploy is a regression, those of older ones are expected still.", _RESOLVED_ALREADY),
    Event.DEPLOYED: Way(
        frozenset({RESOLVED}), "a success", RESOLVED, "One of its tasks succeeded in the deploy that was waited for.",
    ),
    Event.ARMED: Way(_LIVE, _PERSON, None, "It is to be resolved once it has been quiet for some days; its state stays.", _RESOLVED_ALREADY),
    Event.DISARMED: Way(_LIVE, _PERSON, None, "That wish is taken back; its state stays.", _RESOLVED_ALREADY),
    Event.QUIET: Way(
        _LIVE, "time", RESOLVED,
        "It was to be resolved when quiet, has not failed for that long, and every task that it hit ran and succeeded since.",
    ),
    Event.MUTED: Way(
        _LIVE, _PERSON, MUTED,
        "Its failures are known: for good, until a time, until so many more, until it spreads to another DAG, or until its GitLab issue closes.", ("is resolved.", "Reopen it before muting it.")),
    Event.UNMUTED: Way(frozenset({MUTED}), _PERSON, None, "The mute is taken back.", ("is not muted.", "")),
    Event.WOKEN: Way(frozenset({MUTED}), "time", ONGOING, "The time it was muted until has come."),
    Event.USED_UP: Way(frozenset({MUTED}), "a failure", ONGOING, "As many failures as it was muted for ended after the muting."),
    Event.SPREAD: Way(frozenset({MUTED}), "a failure", ONGOING, "A try that started after the muting failed in a DAG not known then."),
    Event.UNLINKED: Way(
        frozenset({MUTED}),
        "GitLab",
        ONGOING,
        "It was muted until its GitLab issue closes, and is linked to none any more.",
    ),
    Event.CLOSED: Way(_LIVE, "GitLab", RESOLVED, "Its GitLab issue was closed. One that is muted with another end stays muted."),
    Event.REOPENED: Way(frozenset({RESOLVED}), _PERSON, None, "The resolution is taken back.", ("is not resolved.", "")),
    Event.REGRESSED: Way(
        frozenset({RESOLVED}), "a failure", REGRESSED,
        "A try failed that started after the resolution, or that ran the deploy that should have fixed it.",
    ),
    Event.UNDONE: Way(
        frozenset(TriageState), "a person", None, "The last decision of a person is undone, as long as nothing was decided since.",
    ),
}  # fmt: skip
