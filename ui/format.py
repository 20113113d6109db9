"""Numbers, dates and foreign text into what people and programs read. Pure; shared by the pages, the API and the command.

Owns the words for how long ago and how many, the JSON of a problem and of an occurrence, and what is done to foreign
text before it is shown. Never changes what is stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from triage import deploys, lifecycle, quiet
from triage.elsewhere import Elsewhere
from triage.missed import Missed
from triage.model import Occurrence
from triage.outcomes import Outcome
from triage.queue import QueueRow
from triage.records import Change, Escalation, Move, MoveKind, SavedSearch, TriageState
from triage.service import HealthView, ProblemView

if TYPE_CHECKING:
    from triage.seen import Seen
    from triage.similar import Similar  # brings numpy along

# CSI and OSC sequences (ECMA-48, 5.4 and 5.6), then the two-byte escapes.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
# Characters that draw nothing or reorder their neighbours: C0, C1, bidi controls, zero width, lone surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_STEPS = ((60, "s", 1), (3600, "min", 60), (86400, "h", 3600), (86400 * 60, "d", 86400))


def number(count: int) -> str:
    """Shorten a count: 999, 1.2 k, 3.4 M."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= size * 0.9995:
            short = f"{count / size:.1f}" if count < 99.95 * size else f"{count / size:.0f}"
            return f"{short.removesuffix('.0')} {unit}"
    return str(count)


def many(count: int, noun: str, plural: str = "") -> str:
    """Join a count and its noun: `1 DAG`, `3 DAGs`."""
    return f"{number(count)} {noun if count == 1 else plural or noun + 's'}"


def size(count: int) -> str:
    """Name a number of bytes by its largest unit of a thousand: `812 bytes`, `64 kB`, `1.2 GB`."""
    return f"{number(count)}B" if count >= 1000 else many(count, "byte")


def unread(occurrence: Occurrence) -> str:
    """Say what of a big log was left out, or nothing where all of it was read."""
    if not occurrence.log_unread:
        return ""
    read = size(occurrence.log_bytes - occurrence.log_unread)
    return (
        f"a log of {size(occurrence.log_bytes)}: {read} at its two ends were read, "
        f"{occurrence.log_unread:,} bytes in between were not"
    )


def length(span: timedelta) -> str:
    """Name a length of time by its largest unit: `12 s`, `3 min`, `5 h`, `9 d`, `4 months`."""
    seconds = max(span.total_seconds(), 0)
    for end, unit, size in _STEPS:
        if seconds < end:
            return f"{int(seconds // size)} {unit}"
    months = int(seconds // (86400 * 30.44))
    return f"{months} months" if months < 24 else f"{months // 12} years"


def ago(when: datetime | None, now: datetime) -> str:
    """Say how long ago something was; `never` for None, `in 3 h` for what is to come."""
    if when is None:
        return "never"
    if when > now + timedelta(seconds=1):
        return f"in {length(when - now)}"
    return "just now" if now - when < timedelta(seconds=2) else f"{length(now - when)} ago"


def clock(when: datetime, zone: str | None = None) -> str:
    """Write a time in full in the reader's zone, the zone named; UTC where the zone is unknown."""
    try:
        local = when.astimezone(ZoneInfo(zone or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        local = when.astimezone(UTC)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"


def plain(text: str) -> str:
    """Make any text literal inside a Markdown label; not for text that people copy, as it adds invisible joiners."""
    text = _INVISIBLE.sub("\ufffd", text)
    text = re.sub(r"(?i)(https?|ftp|mailto|xmpp)(:)", "\\1\u2060\\2", text)
    text = re.sub(r"(?i)\bwww\.", "www\u2060.", text).replace("@", "\u2060@")
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text).replace("\n", " ").replace("\t", " ")


def printable(text: str) -> str:
    """Make foreign text safe to draw: no colour codes, what is invisible or reorders text named as `<U+202E>`.

    Tabs and line feeds stay; a carriage return before a line feed goes, any other becomes a line feed.
    """
    text = _ANSI.sub("", text.replace("\r\n", "\n")).replace("\r", "\n")
    return _INVISIBLE.sub(lambda match: f"<U+{ord(match[0]):04X}>", text)


def one_line(text: str, limit: int = 400) -> str:
    """Make foreign text one printable line of at most `limit` characters."""
    line = " ".join(printable(text[: limit * 4]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def web_address(url: str) -> str:
    """Return an http(s) address as it is, and nothing for any other: fit for a link."""
    try:
        return url if urlsplit(url).scheme in ("http", "https") else ""
    except ValueError:
        return ""


def sentence(row: QueueRow, now: datetime) -> str:
    """Tell a problem in one sentence: how often, where, since when, does it heal."""
    where = f" in {many(len(row.dags), 'DAG')}" if len(row.dags) > 1 else ""
    heals = ", each to be tried again" if row.is_flaky and not row.final else ""
    if row.total == 1:
        return f"One failed try{heals}, {ago(row.last_seen, now)}."
    return (
        f"{many(row.total, 'failed try', 'failed tries')}{where} since {ago(row.first_seen, now)}{heals}, "
        f"the last {ago(row.last_seen, now)}."
    )


def next_step(view: ProblemView, now: datetime) -> str:
    """Say what airtriage does to a problem by itself next, and what it waits for."""
    problem, deploy = view.row.problem, view.row.problem.deploy
    match problem.state:
        case TriageState.MUTED:
            said = _mute_ends(view, now)
        case TriageState.RESOLVED if deploy is not None and deploy.seen_at is not None:
            said = f"The deploy was seen {ago(deploy.seen_at, now)}, {deploy.seen}: a failure in it makes a regression."
        case TriageState.RESOLVED if deploy is not None:
            said = f"Waits for {deploys.name(deploy)}: what ran until then may fail still, a failure in it makes a regression."
        case TriageState.RESOLVED:
            said = "Becomes a regression if a try that starts from now on fails of it."
        case TriageState.ONGOING if problem.quiet_for is None:
            said = "Nothing by itself: resolve or mute it when you know more."
        case TriageState.ONGOING:
            said = ""
        case _:
            settles = problem.state_at + lifecycle.SETTLES_AFTER
            said = f"Counts as ongoing {ago(settles, now)}."
    if problem.quiet_for is not None and view.tally is not None:
        waits = quiet.waits(problem.quiet_for, view.tally, view.outcomes, now)
        reason = f"still waits, as {waits}" if waits else "the next look does it"
        said = f"{said} To be resolved once quiet for {quiet.days(problem.quiet_for)}; {reason}."
    return said.strip()


def _mute_ends(view: ProblemView, now: datetime) -> str:
    """Say what ends a mute, the first of several."""
    problem = view.row.problem
    ends = []
    if problem.muted_until_count is not None:
        counted = view.tally.newer if problem.muted_from is not None and view.tally else view.row.total
        ends.append(f"after {many(max(problem.muted_until_count - counted, 0), 'further failure')}")
    if problem.muted_until is not None:
        ends.append(ago(problem.muted_until, now))
    if problem.muted_dags:
        ends.append(f"when it fails in another DAG than {names(problem.muted_dags)}")
    said = f"Comes back {' or '.join(ends)}." if ends else ""
    if problem.muted_until_closed:
        return f"{said} Is resolved when its GitLab issue closes.".strip()
    return said or "Stays quiet until you unmute it."


def freshness(view: HealthView, now: datetime) -> str:
    """Say how fresh a deployment is, and why it is stale where it is."""
    health = view.health
    if health.succeeded_at is None:
        said = f"{health.deployment} never read"
    else:
        said = f"{health.deployment} {ago(health.succeeded_at, now)}"
    if view.is_stale(now):
        said += f": {health.troubles[0].what}" if health.troubles else ": no pass has ended since"
    return said


def missed(part: Missed, now: datetime) -> str:
    """Say what was not read as it passed, and how far it has been read since; `now` is ours."""
    said = f"{part.since:%Y-%m-%d %H:%M} to {part.until:%Y-%m-%d %H:%M} UTC"
    tries = many(part.found, "failed try", "failed tries")
    if part.retry_at:
        return f"Airflow gives no answer for {said}; it is asked again {ago(part.retry_at, now)}."
    if not part.is_first:
        done = f"down to {part.left:%Y-%m-%d %H:%M} UTC, {tries} so far" if part.is_open else f"whole: {tries}"
        return f"Missed at first: {said}, as airtriage was off or Airflow away. Caught up {done}."
    whole = (part.until - part.since).total_seconds()
    size, unit = (86400, "day") if whole >= 2 * 86400 else (3600, "hour")
    span = many(round(whole / size), unit)
    if not part.is_open:
        return f"Read back {span}: {tries}."
    return f"Reading back: {(part.until - part.left).total_seconds() / size:.1f} of {span}, {tries} so far."


def told(change: Change) -> str:
    """Tell one entry of a problem's history."""
    return f"{change.who} {change.what}" if change.who != "airtriage" else f"{change.what[:1].upper()}{change.what[1:]}"


def whence(change: Change) -> str:
    """Say from where a person did it, for the end of a name: ` (page)`."""
    return f" ({change.origin})" if change.who != "airtriage" else ""


def change_json(change: Change) -> dict[str, Any]:
    """Return an entry of a problem's history as `--json` prints it; a note is one whose `what` is `noted`, its text in `why`."""
    return {
        "at": change.at.isoformat(), "who": change.who, "what": change.what, "why": change.why, "origin": change.origin,
    }  # fmt: skip


def problem_json(row: QueueRow) -> dict[str, Any]:
    """Return a problem as the API and `--json` print it; times are ISO 8601."""
    problem = row.problem
    return {
        "id": problem.id,
        "fingerprint": problem.fingerprint,
        "title": problem.title,
        "state": str(problem.state),
        "cause": problem.cause,
        "occurrences": row.total,
        "first_seen": row.first_seen.isoformat(),
        "last_seen": row.last_seen.isoformat(),
        "dags": [dag for dag, _ in row.dags],
        "gitlab_url": problem.gitlab_url or None,
        "scope": problem.scope,
        "deployments": list(row.deployments),
        "tasks": [task for task, _ in row.tasks],
        "final": row.final,
        "flaky": row.is_flaky,
        "outcome": outcome_json(row.outcome),
        "owner": row.owner or None,
        "owners": list(row.owned.names),
        "owner_why": row.owned.why or None,
        "growing": growth_json(row.growth),
        "why": row.why,
        "muted_until": iso(problem.muted_until),
        "resolved_at": iso(problem.resolved_at),
        "resolved_in": deploys.name(problem.deploy) if problem.deploy else None,
        "quiet_for": problem.quiet_for.total_seconds() if problem.quiet_for else None,
    }


def moved(move: Move) -> str:
    """Say in a sentence what a merge, a split or the undo of one did."""
    count, is_one = many(move.tries, "failed try", "failed tries"), move.tries == 1
    if move.undone_at is not None:
        was = move.problem if move.kind is MoveKind.MERGE else move.into
        return (
            f"{was} is a problem of its own again."
            if was == move.problem
            else f"{was} is part of {move.problem} again."
        )
    if move.kind is MoveKind.MERGE:
        return f"{count} of {move.problem} now {'belongs' if is_one else 'belong'} to {move.into}."
    return f"{count} of {move.problem} {'is' if is_one else 'are'} now problem {move.into}."


def move_json(move: Move) -> dict[str, Any]:
    """Return a merge or a split as the API and `--json` print it; `tries` counts the failed tries that it moved then."""
    return {
        "kind": str(move.kind), "problem": move.problem, "into": move.into, "tries": move.tries, "dag": move.dag or None,
        "task": move.task or None, "fingerprint": move.fingerprint or None, "at": move.at.isoformat(), "by": move.by,
        "why": move.why, "undone": move.undone_at is not None,
    }  # fmt: skip


def also_in(one: Elsewhere) -> str:
    """Say where else failures like these are: `staging, 12 failed tries, NEW`."""
    return f"{', '.join(one.deployments)}, {many(one.total, 'failed try', 'failed tries')}, {one.problem.state}"


def elsewhere_json(found: Iterable[Elsewhere]) -> list[dict[str, Any]]:
    """Return the same failures in other scopes as the API and `--json` print them."""
    return [
        {
            "id": one.problem.id, "scope": one.problem.scope, "deployments": list(one.deployments),
            "state": str(one.problem.state), "occurrences": one.total,
        }
        for one in found
    ]  # fmt: skip


def growth_json(growth: Escalation | None) -> dict[str, Any] | None:
    """Return that a problem grows, since when, why and to how many times its former level; null where it does not."""
    if growth is None:
        return None
    return {"since": growth.since.isoformat(), "text": growth.why, "times": round(growth.times, 1)}


def outcome_json(outcome: Outcome | None) -> dict[str, Any] | None:
    """Return how a problem's tasks fared since, as the API and `--json` print it; null while that is not known."""
    if outcome is None:
        return None
    return {
        "kind": str(outcome.kind),
        "text": outcome.said,
        "tasks": outcome.tasks,
        "succeeded_since": outcome.succeeded,
        "failed_since": outcome.failed,
        "healed": outcome.healed,
        "broken": outcome.broken,
        "last_success_at": iso(outcome.last_success_at),
        "next_run_at": iso(outcome.next_run_at),
        "as_of": outcome.as_of.isoformat(),
    }


def occurrence_json(occurrence: Occurrence, problem_id: str) -> dict[str, Any]:
    """Return a failed try as the API and `--json` print it; `log` is the status word, times are ISO 8601."""
    key, signed = occurrence.key, occurrence.signature
    return {
        "deployment": key.deployment,
        "dag_id": key.dag_id,
        "run_id": key.run_id,
        "task_id": key.task_id,
        "map_index": key.map_index,
        "try_number": key.try_number,
        "problem": problem_id or None,
        "fingerprint": occurrence.fingerprint or None,
        "title": signed.title if signed else None,
        "cause": signed.cause if signed else None,
        "log": str(occurrence.log),
        "started_at": iso(occurrence.started_at),
        "ended_at": occurrence.ended_at.isoformat(),
        "id": key.id,
        "final": occurrence.is_final,
        "exception": signed.exception if signed else None,
        "circumstance": str(occurrence.circumstance.kind) if occurrence.circumstance else None,
        "absence": str(occurrence.absence) if occurrence.absence else None,
        "reason": reason(occurrence) or None,
        "owner": occurrence.owner or None,
        "operator": occurrence.operator or None,
        "pool": occurrence.pool or None,
        "host": occurrence.host or None,
        "upstream_failed": list(occurrence.upstream_failed),
        "evidence": [{"line": line.number, "text": line.text} for line in signed.evidence] if signed else [],
        "log_bytes": occurrence.log_bytes,
        "log_unread": occurrence.log_unread,
    }


def similar_json(found: Iterable[Similar]) -> list[dict[str, Any]]:
    """Return the problems similar to one as the API and `--json` print them, nearest first; `score` is 0 to 1."""
    return [{"id": one.problem.id, "title": one.problem.title, "score": one.score, "why": one.why} for one in found]


def saved_json(saved: SavedSearch) -> dict[str, Any]:
    """Return a saved search as the API and `--json` print it."""
    return {
        "id": saved.id, "name": saved.name, "query": saved.query, "who": saved.who, "at": saved.at.isoformat(), "mine": saved.is_mine,
    }  # fmt: skip


def seen_json(found: Seen, owner: Callable[[Occurrence], str]) -> dict[str, Any]:
    """Return what is known of a log as the API and `--json` print it; `owner` names the problem of a failed try."""
    signed = found.signature
    return {
        "fingerprint": signed.fingerprint, "title": signed.title, "cause": signed.cause,
        "evidence": [{"line": line.number, "text": line.text} for line in signed.evidence],
        "same": [{"id": one.id, "title": one.title, "state": str(one.state), "scope": one.scope} for one in found.same],
        "similar": similar_json(found.near), "words": list(found.words),
        "failed_tries": [occurrence_json(fact, owner(fact)) for fact in found.tries],
        "lines": found.lines, "bytes_left_out": found.unread,
    }  # fmt: skip


def reason(occurrence: Occurrence) -> str:
    """Say in sentences why a try failed whose log does not tell it; "" where the log does, or is still awaited."""
    signed = occurrence.signature
    if signed is None or signed.exception or not (occurrence.circumstance or occurrence.absence):
        return ""
    return " ".join(signed.decisions)


def names(parts: Iterable[str], shown: int = 3) -> str:
    """Join names, the first `shown` of them: `a, b, c and 4 more`."""
    every = list(parts)
    more = f" and {len(every) - shown} more" if len(every) > shown else ""
    return ", ".join(every[:shown]) + more


def listed(words: Sequence[str]) -> str:
    """Join words as a sentence names them: `a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def first(parts: Sequence[str]) -> str:
    """Return the first of several names, and how many more there are: `a`, `a +2`."""
    return parts[0] + (f" +{len(parts) - 1}" if len(parts) > 1 else "") if parts else ""


def iso(when: datetime | None) -> str | None:
    """Return a time as ISO 8601, or None."""
    return when.isoformat() if when else None
