"""What people see of a problem's GitLab issue: where it stands, what happens next by itself and why; as words and as JSON.

Shared by the page, the command line and the API. Decides nothing: the judgement is the policy's own, so the words are the
ones that the next round acts on, and the rest is what sync knows. Reads the store, and asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from triage.judging import Judging
from triage.mirrors import LinkWish, Mirror, MirrorStatus, Tracker, tracker_id
from triage.policy import Judgement
from triage.queue import QueueRow
from triage.records import Problem, TriageState
from triage.service import Service
from triage.settings import Settings
from triage.telling import TURNS
from ui.format import ago, iso, names

OFF = "GitLab is not set up. With url, token and project in [gitlab] each problem that deserves it gets one issue."
_STANDS = {
    MirrorStatus.INTENDED: ("warn", "being opened"),
    MirrorStatus.LOST: ("bad", "lost"),
    MirrorStatus.UNLINKED: ("quiet", "parted"),
}


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A problem, its issue and the project of that; of a problem without an issue the judgement, None where GitLab is off.

    `wish` is for an issue that somebody wants linked, and that is not.
    """

    problem: Problem
    mirror: Mirror | None = None
    tracker: Tracker | None = None
    judged: Judgement | None = None
    wish: LinkWish | None = None


def mirrored(
    service: Service, settings: Settings, row: QueueRow, now: datetime, mirrors: Iterable[Mirror] | None = None
) -> Mirrored:
    """Return what is known of a problem's issue; `mirrors` are those of all problems, where they are at hand."""
    found = service.store.get(Mirror, row.problem.id)
    wished = service.store.get(LinkWish, row.problem.id)
    wish = wished[0] if wished else None
    if found is None:
        return Mirrored(row.problem, judged=judging(service, settings).alone(row, now, mirrors), wish=wish)
    tracker = service.store.get(Tracker, tracker_id(found[0].gitlab, found[0].project))
    return Mirrored(row.problem, found[0], tracker[0] if tracker else None, wish=wish)


def judging(service: Service, settings: Settings) -> Judging:
    """Return what judges problems by the settings."""
    return Judging(service, {name: its.rules for name, its in settings.gitlabs.items()})


def stands(mirror: Mirror) -> tuple[str, str]:
    """Return how an issue stands: a tone (`good`, `warn`, `bad`, `quiet`) and a word."""
    if mirror.status is MirrorStatus.LINKED:
        return ("good", "open") if mirror.is_open else ("quiet", "closed")
    return _STANDS[mirror.status]


def named(mirror: Mirror) -> str:
    """Return an issue's short name, such as `#41`; empty where there is none."""
    return f"#{mirror.iid}" if mirror.iid else ""


def next_step(its: Mirrored, now: datetime) -> str:
    """Say what happens by itself next between a problem and GitLab, and why; empty where GitLab is off."""
    if its.mirror is None:
        return _sentence(its.judged.why) if its.judged else ""
    match its.mirror.status:
        case MirrorStatus.INTENDED:
            return _opening(its.mirror, now)
        case MirrorStatus.LINKED:
            return _linked(its.problem.state, its.mirror, now)
        case MirrorStatus.LOST:
            return "No other issue is opened by itself: link one, or unlink this one."
    return "No other issue is opened by itself, as somebody parted them."


def _opening(mirror: Mirror, now: datetime) -> str:
    when = f", {ago(mirror.next_at, now)}" if mirror.next_at and mirror.next_at > now else ""
    if mirror.sent_at is not None:
        return f"It was sent, and GitLab's answer is not known: it is looked for before another is opened{when}."
    return f"It is tried again{when or ' at the next round'}." if mirror.said else "It is opened at the next round."


def _linked(state: TriageState, mirror: Mirror, now: datetime) -> str:
    name = named(mirror)
    when = ago(mirror.next_at, now) if mirror.next_at and mirror.next_at > now else "at the next round"
    if len(mirror.turned) == TURNS and when.startswith("in "):
        when += f", as airtriage turned it {TURNS} times within the hour"
    if state is TriageState.MUTED:
        return f"While the problem is muted, {name} stays as it is."
    if state is TriageState.RESOLVED:
        return f"{name} is closed {when}." if mirror.is_open else f"If it fails again, {name} is reopened."
    if not mirror.is_open:
        return f"{name} is reopened {when}."
    return f"{name} is kept up to date, and closed when the problem is resolved."


def follows(state: TriageState, mirror: Mirror | None) -> str:
    """Say what a problem that is in this state now does to its issue, as `closed` or `reopened`; empty where nothing."""
    if mirror is None or mirror.status is not MirrorStatus.LINKED or state is TriageState.MUTED:
        return ""
    is_over = state is TriageState.RESOLVED
    if is_over == mirror.is_open:
        return "closed" if is_over else "reopened"
    return ""


def consequence(found: Iterable[tuple[TriageState, Mirror | None]]) -> str:
    """Say what becomes of the issues of problems that were just decided about: `GitLab #41 will be closed`."""
    said = []
    done: dict[str, list[str]] = {}
    for state, mirror in found:
        if mirror is not None and (what := follows(state, mirror)):
            done.setdefault(what, []).append(named(mirror))
    for what, issues in done.items():
        said.append(f"GitLab {names(issues, 3)} will be {what}")
    return "; ".join(said)


def of_resolving(its: Mirrored) -> str:
    """Say what Resolve does in GitLab; empty where nothing."""
    mirror = its.mirror
    if mirror is None or mirror.status is not MirrorStatus.LINKED or not mirror.is_open:
        return ""
    return "" if its.problem.state is TriageState.RESOLVED else f"Resolve closes {named(mirror)} in GitLab."


def gitlab_json(its: Mirrored, now: datetime) -> dict[str, Any] | None:
    """Return an issue as the API and `--json` print it; null where GitLab is off and there is none."""
    mirror, tracker = its.mirror, its.tracker
    step = next_step(its, now) or None
    if mirror is None:
        return {"status": "none", "next": step} if its.judged else None
    return {
        "status": str(mirror.status),
        "url": mirror.web_url or None,
        "iid": mirror.iid or None,
        "gitlab": mirror.gitlab,
        "project": mirror.project,
        "open": mirror.is_open if mirror.status is MirrorStatus.LINKED else None,
        "assignee": mirror.assignee or None,
        "labels": list(mirror.labels),
        "synced_at": iso(tracker.heard_at) if tracker else None,
        "said": mirror.said or None,
        "next": step,
    }


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith('.') else '.'}"
