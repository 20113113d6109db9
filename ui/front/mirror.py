"""The GitLab card of the problem page, and what the Health page says of GitLab: blocks of text, in every state.

Owns the words of both. Draws nothing itself, and asks nobody: what is known is what sync has kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from triage.mirrors import Mirror, MirrorStatus, Tracker
from ui import mirrored
from ui.format import many
from ui.front import sheet
from ui.front.sheet import Block, Run
from ui.mirrored import Mirrored

_STALE = timedelta(minutes=5)  # ten rounds
_LINES = '[gitlab]\nurl = "https://gitlab.example.com"\ntoken_file = "/run/secrets/gitlab"\nproject = "data/airflow"'


def card(its: Mirrored, now: datetime) -> list[Block]:
    """Say where a problem's issue stands, and what happens next by itself."""
    step = mirrored.next_step(its, now)
    mirror, tracker = its.mirror, its.tracker
    if mirror is None:
        return [sheet.label("GitLab"), sheet.p(step or mirrored.OFF, tone="quiet"), *(_wished(its) if step else [])]
    blocks: list[Block] = [sheet.label("GitLab"), sheet.p(*_headline(mirror))]
    if mirror.said:
        blocks.append(sheet.p(mirror.said, tone="bad" if mirror.status is MirrorStatus.LOST else "warn"))
    for trouble in tracker.troubles if tracker else ():
        blocks.append(sheet.p(sheet.strong(trouble.what), f" {trouble.fix}", tone="warn"))
    blocks.append(sheet.facts([
        ("Project", [_project(mirror, tracker)]),
        ("Assignee", [mirror.assignee]),
        ("Labels", _labels(mirror.labels)),
        ("Synced", [sheet.when(tracker.heard_at)] if tracker and mirror.status is MirrorStatus.LINKED else []),
    ]))  # fmt: skip
    return [*blocks, sheet.p(step, tone="quiet"), *_wished(its)]


def _wished(its: Mirrored) -> list[Block]:
    """Say what became of the wish to link an issue."""
    if its.wish is None:
        return []
    name = f"Link {its.wish.issue}: "
    if its.wish.is_waiting:
        return [sheet.p(f"{name}{its.wish.said or 'done at the next round.'}", tone="quiet")]
    return [sheet.p(f"{name}{its.wish.said}", tone="bad")]


def _headline(mirror: Mirror) -> list[Run]:
    tone, word = mirrored.stands(mirror)
    name = mirrored.named(mirror)
    linked: list[Run] = [sheet.away(name, mirror.web_url), "  "] if name else []
    return [*linked, sheet.dot(tone, word)]


def _project(mirror: Mirror, tracker: Tracker | None) -> Run:
    known = tracker.web_url if tracker else ""
    return sheet.away(mirror.project, known) if known else mirror.project


def _labels(labels: Iterable[str]) -> list[Run]:
    runs: list[Run] = []
    for label in labels:
        runs += [" "] if runs else []
        runs.append(sheet.chip(label))
    return runs


def health(tracker: Tracker, linked: int, opening: int, now: datetime) -> list[Block]:
    """Say how one project of GitLab is: the last answer, what waits, and what to mend."""
    is_away = tracker.failures > 0
    is_stale = bool(linked + opening) and (tracker.heard_at is None or now - tracker.heard_at > _STALE)
    mark = (
        sheet.dot("bad", "Away")
        if is_away
        else sheet.dot("bad", "Stale")
        if is_stale
        else sheet.dot("warn", "In part")
        if tracker.troubles
        else sheet.dot("good", "In step")
    )
    host = urlsplit(tracker.gitlab).netloc or tracker.gitlab
    head = sheet.headline(f"GitLab {tracker.project}", mark, sheet.away(host, tracker.web_url or tracker.gitlab))
    troubles = [
        sheet.p(sheet.strong(one.what), f" {one.fix}", tone="bad" if is_away else "warn") for one in tracker.troubles
    ]
    if is_stale and not is_away:
        what = sheet.strong("GitLab was not asked for longer than it should be.")
        troubles.append(sheet.p(what, " Is the collector running? airtriage up starts it.", tone="bad"))
    facts = sheet.facts([
        ("Last answer", [sheet.when(tracker.heard_at)]),
        ("Asked again", [sheet.when(tracker.next_at)] if tracker.next_at and tracker.next_at > now else []),
        ("Issues", [sheet.count(linked), " linked"]),
        ("Backlog", [many(opening, "issue"), " to be opened"] if opening else ["none"]),
        ("As", [tracker.bot]),
    ])  # fmt: skip
    return [head, *troubles, facts]


def unasked() -> list[Block]:
    """Say that GitLab is set up and was not asked yet."""
    return [
        sheet.headline("GitLab", sheet.dot("quiet", "Not asked yet")),
        sheet.p(
            "It is asked once a problem deserves an issue. airtriage sync --dry-run says which do, airtriage doctor what is in the way."
        ),
    ]


def off() -> list[Block]:
    """Say how GitLab is switched on."""
    return [
        sheet.headline("GitLab", sheet.dot("quiet", "Off")),
        sheet.p("Name one in airtriage.toml, and each problem that deserves it gets exactly one issue:"),
        sheet.pre(_LINES),
    ]
