"""What a GitLab issue says of a problem: its title, our block of its description, our comments.

Owns the words, the hidden lines by which an issue is found again, and what of a description may be replaced: our own block, and
nothing that a person wrote. Every value passes a `Redactor` and is made harmless before a template sees it. Pure: the same
facts give the same text, whatever the time, so that nothing is written where nothing changed.

    <!-- airtriage:begin -->
    …                                         the template
    <!-- airtriage:wrote … -->                what we wrote, line by line, to know a person's words from ours
    <!-- airtriage:v1 problem=2f7c41d09b3e -->
    <!-- airtriage:end -->
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from triage import markdown, templates
from triage.causes import CAUSES
from triage.markdown import Safe, cut, fence
from triage.model import Frame, Occurrence
from triage.placing import closed
from triage.records import Problem
from triage.redact import PLAIN, Redactor
from triage.signature.masks import is_library
from triage.suspects import Source, Suspect, Suspects

BEGIN, END = "<!-- airtriage:begin -->", "<!-- airtriage:end -->"
# Our block at most, in bytes, so that most of a description is always left to people.
BLOCK_MAX = 256 * 1024
# Days of the trend, as in the queue.
_PLACES = 3  # frames shown of a traceback: who called, and where it broke
_DAYS = 14
_CAPITAL = re.compile(r"^[a-z]")  # of other alphabets one letter may become two, and a word another
_FOOT = "<sub>Kept up to date by airtriage. Write below this line: what you write stays as it is.</sub>"
_KEPT = "Written by somebody into the part above, which airtriage keeps up to date, and kept here:"
_ID = r"[0-9a-f]{12}"
_MARKER = re.compile(rf"^<!-- airtriage:v1 problem=({_ID}) -->[ \t]*\r?$", re.M)
_COMMENT = re.compile(rf"^<!-- airtriage:v1 comment=([a-z]+:{_ID}:[0-9a-f]{{12}}) -->[ \t]*\r?$", re.M)
_BLOCK = re.compile(rf"^{BEGIN}[ \t]*\r?\n(?P<body>.*?)^{END}(?=[ \t]*\r?$)", re.M | re.S)
_WROTE = re.compile(r"^<!-- airtriage:wrote ([a-z2-7 ]*)-->[ \t]*\r?$", re.M)
# What a rich text editor may write anew around the same words.
_DRESS = re.compile(r"[\s\\`*_|>~#:\u2060-]+")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The same failure in another scope: a problem of its own."""

    scope: str
    state: str
    total: int
    url: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a report says. Addresses are empty where there is none; nothing here may change because time passes.

    `dags` and `tasks` (as `dag.task`) come with their counts, most first. `days` are ISO days with their failed tries: at least
    the fourteen up to the last one. `outcome` is how its tasks fared since, in a sentence, where that is to be told. `newest`
    and `first` are failed tries.
    """

    problem: Problem
    total: int
    final: int
    first_seen: datetime
    last_seen: datetime
    deployments: tuple[str, ...] = ()
    dags: tuple[tuple[str, int], ...] = ()
    tasks: tuple[tuple[str, int], ...] = ()
    days: tuple[tuple[str, int], ...] = ()
    owner: str = ""
    outcome: str = ""
    newest: Occurrence | None = None
    first: Occurrence | None = None
    page_url: str = ""
    newest_url: str = ""
    first_url: str = ""
    source: Source | None = None
    suspects: Suspects | None = None
    also_in: tuple[Elsewhere, ...] = ()
    next_step: str = ""

    @property
    def id(self) -> str:
        return self.problem.id


class CommentKind(StrEnum):
    """Why a comment is written; few are, and never one a failure."""

    REGRESSED = "regressed"
    ESCALATED = "escalated"
    SPREAD = "spread"
    QUIET = "quiet"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    MUTED = "muted"
    MERGED = "merged"
    SPLIT = "split"
    ANSWER = "answer"


_HEADS = {
    CommentKind.REGRESSED: "It came back.", CommentKind.ESCALATED: "It grows.", CommentKind.SPREAD: "It spreads.",
    CommentKind.QUIET: "It is quiet.", CommentKind.RESOLVED: "Resolved.", CommentKind.REOPENED: "Reopened.",
    CommentKind.MUTED: "Muted.", CommentKind.MERGED: "Merged.", CommentKind.SPLIT: "Split.", CommentKind.ANSWER: "",
}  # fmt: skip
# The comments that show the newest failed try.
_OF_FAILURES = (CommentKind.REGRESSED, CommentKind.ESCALATED, CommentKind.SPREAD)


def title(facts: Facts, template: str = templates.TITLE, redactor: Redactor = PLAIN) -> str:
    """Return the issue's title: one line, 255 characters at most. SettingsError where the template does not render."""
    said = templates.rendered(template, values(facts, redactor), redactor, as_title=True)
    return str(markdown.title(said)) or f"Problem {facts.id}"


def retitled(title: str, sent: str, redactor: Redactor) -> str | None:
    """Return a title without the secrets that today's rules find in it; None where there are none, or a person wrote it.

    `sent` is what we called the issue, as it was or masked since.
    """
    was, ours = (text.replace(markdown.JOINER, "") for text in (title, sent))
    masked = redactor.text(was)
    return str(markdown.title(masked)) if masked not in (was, "") and masked == redactor.text(ours) else None


def block(facts: Facts, template: str = templates.BODY, redactor: Redactor = PLAIN) -> str:
    """Return our part of the description, hidden lines included. SettingsError where the template does not render.

    Whatever a template says, no line of it starts a quick action or looks like one of ours.
    """
    whole = templates.rendered(template, values(facts, redactor), redactor).strip("\n")
    said = cut(whole, BLOCK_MAX)
    lines = [
        f"\\{line}" if line.startswith("/") else line for line in (said if said == whole else closed(said)).split("\n")
    ]
    body = markdown.unforged("\n".join(lines)).rstrip() + f"\n\n{_FOOT}"
    return "\n".join([BEGIN, "", body, "", _wrote(body), marker(facts.id), END])


def storm(id: str, waiting: Sequence[tuple[Problem, str]], more: int, redactor: Redactor = PLAIN) -> str:
    """Return our part of the issue that sums up a storm: the problems that wait, each with the address of its page, and `more`."""
    say = templates.Pen(redactor)
    told = [say.link(problem.title, url) if url else say.code(problem.title) for problem, url in waiting]
    lines = [f"- {one}" for one in told] + ([f"- and {more:,} more"] if more else [])
    head = "These problems wait for an issue of their own, as this project had as many new ones within the hour as it may have."
    body = "\n".join([head, "", *lines] if lines else ["The storm is over: no problem waits for an issue."])
    return "\n".join([BEGIN, "", f"{body}\n\n{_FOOT}", "", _wrote(body), marker(id), END])


def description(block: str) -> str:
    """Return the description that an issue is opened with."""
    return f"{block}\n"


def marker(problem: str) -> str:
    """Return the hidden line that says whose issue it is."""
    return f"<!-- airtriage:v1 problem={problem} -->"


def problem_of(description: str | None) -> str | None:
    """Return the id of the problem whose issue this is: what our first block says, else a marker that stands alone."""
    for found in _BLOCK.finditer(description or ""):
        if ids := _MARKER.findall(found["body"]):
            return str(ids[-1])
    ids = _MARKER.findall(description or "")
    return ids[-1] if ids else None


def digest(block: str) -> str:
    """Return what to remember of a block: while that of a new one is the same, there is nothing to write."""
    return hashlib.sha256(block.encode("utf-8", "replace")).hexdigest()[:16]


def refreshed(description: str | None, block: str) -> str | None:
    """Return the description with our block replaced; None where nothing changes or a person took our lines out.

    Everything before and after is the same to the byte. What a person wrote into our block is kept below it, as code.
    """
    text = description or ""
    found = _own(text, problem_of(block))
    if found is None:
        return None
    stored = found[0].replace("\r", "")
    kept = _theirs(stored, block)
    new = f"{block}\n\n{_KEPT}\n\n{fence(chr(10).join(kept), markdown.TEXT_MAX)}" if kept else block
    whole = text[: found.start()] + new + text[found.end() :]
    if stored.split() == block.split() or len(whole.encode("utf-8", "replace")) > markdown.TEXT_MAX:
        return None
    return whole


def comment(
    kind: CommentKind, facts: Facts, event: str, why: str = "", redactor: Redactor = PLAIN, heir_url: str | None = None
) -> str:
    """Return a comment with its hidden key. `event` names what happened, the same each time it is told, e.g. its time.

    `heir_url` is the issue of the problem that has the failures now: words hold no link, so it stands below them.
    """
    say = templates.Pen(redactor)
    head = f"**{_HEADS[kind]}** " if _HEADS[kind] else ""
    said = say.plain(why)
    lines = [f"{head}{_CAPITAL.sub(lambda first: first[0].upper(), said)}".strip()]
    if kind in _OF_FAILURES and facts.newest is not None:
        its = facts.source
        at = f", at {say.link(say.code(f'{its.path}:{its.line}'), its.url)}" if its and its.url else ""
        lines += [
            "",
            f"{_try_line(facts.newest, facts.newest_url, say)}{at}",
            "",
            say.fence(evidence(facts.newest)) if evidence(facts.newest) else say.plain(silence(facts.newest)),
        ]
    ways = (("That problem's issue", heir_url), ("Problem in airtriage", facts.page_url))
    links = [str(say.link(words, url)) for words, url in ways if url]
    if links:
        lines += ["", " · ".join(links)]
    hidden = f"<!-- airtriage:v1 comment={comment_key(kind, facts.id, event)} -->"
    return "\n".join([cut("\n".join(lines), BLOCK_MAX).rstrip(), "", hidden])


def comment_key(kind: CommentKind, problem: str, event: str) -> str:
    """Return the key by which a comment is found again, so that it is never written twice."""
    return f"{kind}:{problem}:{hashlib.sha256(event.encode()).hexdigest()[:12]}"


def key_of(note: str | None) -> str | None:
    """Return the key of a comment that is ours, else None."""
    found = _COMMENT.findall(note or "")
    return found[-1] if found else None


def evidence(fact: Occurrence) -> str:
    """Return the telling lines of a try as they stand in its log, each with the places that it was raised at; "" where it
    has none.
    """
    kept = {line.number: line for line in fact.kept or ()}
    told: list[str] = []
    for one in fact.signature.evidence if fact.signature else ():
        told.append(one.text)
        if (line := kept.get(one.number)) and line.raised:
            told += _places(line.raised[-1].frames)
    return "\n".join(told)


def _places(frames: Sequence[Frame]) -> list[str]:
    """Return the innermost frames as Python writes them: of the user's own code, else where a library raised it."""
    own = [frame for frame in frames if not is_library(frame.file)]
    return [f'  File "{it.file}", line {it.line or "?"}, in {it.function}' for it in own[-_PLACES:] or frames[-1:]]


def silence(fact: Occurrence) -> str:
    """Say why a try has no telling lines."""
    return " ".join(fact.signature.decisions) if fact.signature else "Its log is awaited."


def trend(days: Iterable[tuple[str, int]]) -> tuple[str, str, str, int]:
    """Return fourteen days as a line of bars, with the first day, the last one, and the most on one day."""
    counts = {day: count for day, count in days if count}
    if not counts:
        return "", "", "", 0
    last = date.fromisoformat(max(counts))
    span = [(last - timedelta(days=ago)).isoformat() for ago in reversed(range(_DAYS))]
    most = max(counts.get(day, 0) for day in span)
    bars = "".join("▁▂▃▄▅▆▇█"[-(-counts.get(day, 0) * 7 // most)] for day in span)
    return bars, span[0], span[-1], most


def values(facts: Facts, redactor: Redactor = PLAIN) -> dict[str, object]:
    """Return what a template can use, by name; strings are raw, and made harmless where they are printed."""
    problem, say = facts.problem, templates.Pen(redactor)
    known = CAUSES.get(problem.cause, CAUSES["unknown"])
    return {
        "id": problem.id,
        "title": problem.title,
        "state": str(problem.state),
        "since": problem.state_at,
        "reason": problem.reason,
        "scope": problem.scope,
        "owner": facts.owner,
        "cause": {"name": known.name, "summary": known.summary, "steps": known.steps},
        "total": facts.total,
        "final": facts.final,
        "first_seen": facts.first_seen,
        "last_seen": facts.last_seen,
        "deployments": facts.deployments,
        "dags": [{"name": name, "count": count} for name, count in facts.dags],
        "tasks": [{"name": name, "count": count} for name, count in facts.tasks],
        "trend": _trend(facts.days),
        "outcome": facts.outcome,
        "evidence": evidence(facts.newest) if facts.newest else "",
        "silence": silence(facts.newest) if facts.newest else "No failed try of it is kept.",
        "newest": _try_values(facts.newest, facts.newest_url, say),
        "first": _try_values(facts.first, facts.first_url, say),
        "page_url": facts.page_url,
        "links": _links(facts, say),
        "source": _source_values(facts.source, say),
        "suspects": _suspect_values(facts.suspects, say),
        "also_in": [_elsewhere_values(one, say) for one in facts.also_in],
        "next_step": facts.next_step,
    }


def _links(facts: Facts, say: templates.Pen) -> Safe:
    found = [
        ("Problem in airtriage", facts.page_url),
        ("Newest try in Airflow", facts.newest_url),
        ("First try in Airflow", facts.first_url if facts.first_url != facts.newest_url else ""),
    ]
    return Safe(" · ".join(say.link(words, url) for words, url in found if url))


def _trend(days: Iterable[tuple[str, int]]) -> Safe:
    """Write the bars of fourteen days; of a single day nothing that the other words do not say."""
    counted = [one for one in days if one[1]]
    if len(counted) < 2:
        return Safe("")
    bars, first, last, most = trend(counted)
    return Safe(f"`{bars}` {first} to {last} (UTC), at most {most:,} a day") if bars else Safe("")


def _try_values(fact: Occurrence | None, url: str, say: templates.Pen) -> dict[str, object] | None:
    if fact is None:
        return None
    key = fact.key
    return {
        "deployment": key.deployment, "dag": key.dag_id, "task": key.task_id, "run": key.run_id, "try": key.try_number,
        "map": key.map_index if key.map_index >= 0 else None, "host": fact.host, "operator": fact.operator, "pool": fact.pool,
        "queue": fact.queue, "started": fact.started_at, "ended": fact.ended_at, "url": url, "line": _try_line(fact, url, say),
    }  # fmt: skip


def _try_line(fact: Occurrence, url: str, say: templates.Pen) -> Safe:
    """Name a failed try: its task, run and number, its end, and where to look at it."""
    mapped = f"[{fact.key.map_index}]" if fact.key.map_index >= 0 else ""
    parts = [
        say.code(f"{fact.key.task}{mapped}"), f"run {say.code(fact.key.run_id)}", f"try {fact.key.try_number}",
        f"ended {templates.moment(fact.ended_at)}",
        *([f"on {say.code(fact.host)}"] if fact.host else []),
        *([f"Airflow says {say.plain(str(fact.circumstance.kind))}"] if fact.circumstance else []),
    ]  # fmt: skip
    return Safe(", ".join(parts))


def _source_values(source: Source | None, say: templates.Pen) -> dict[str, object] | None:
    if source is None:
        return None
    place = f"{source.path}:{source.line}"
    return {
        "path": source.path,
        "line": source.line,
        "sha": source.sha,
        "url": source.url,
        "link": say.link(say.code(place), source.url),
    }


def _suspect_values(suspects: Suspects | None, say: templates.Pen) -> dict[str, object] | None:
    if suspects is None:
        return None
    between = suspects.span
    what = "These touched" if suspects.found else "Nothing touched"
    said = f"{what} {say.code(between.path)} from {say.code(between.good[:10])}, the commit of the last good run before it began, to {say.code(between.bad[:10])}."
    found = [
        {"line": _suspect_line(one, say), "commits": one.commits, "request": one.request} for one in suspects.found
    ]
    return {"said": Safe(said), "found": found, "more": suspects.more}


def _suspect_line(one: Suspect, say: templates.Pen) -> Safe:
    newest = one.commits[0]
    commits = ", ".join(say.link(say.code(commit.sha[:8]), commit.url) for commit in one.commits[:5])
    if one.request is None:
        return Safe(
            f"{commits} {say.plain(newest.title)}, by {say.plain(newest.author)}, {templates.moment(newest.at)}"
        )
    request = say.link(say.code(f"!{one.request.iid}"), one.request.url)
    by = say.plain(one.request.author or newest.author)
    return Safe(f"{request} {say.plain(one.request.title)}, by {by}, {templates.moment(newest.at)} ({commits})")


def _elsewhere_values(one: Elsewhere, say: templates.Pen) -> dict[str, object]:
    said = f"{say.link(one.scope, one.url)}: {say.plain(one.state.lower())}, {templates.many(one.total, 'failed try', 'failed tries')}"
    return {"scope": one.scope, "state": one.state, "total": one.total, "url": one.url, "line": Safe(said)}


def _own(text: str, problem: str | None) -> re.Match[str] | None:
    """Return our block in a description: the one of this problem, else the only one, if its marker is gone."""
    blocks = list(_BLOCK.finditer(text))
    for found in blocks:
        if problem in _MARKER.findall(found["body"]):
            return found
    return blocks[0] if len(blocks) == 1 and not _MARKER.search(blocks[0]["body"]) else None


def _wrote(body: str) -> str:
    told = sorted({_mark(line) for line in body.split("\n") if _DRESS.sub("", line)})
    return f"<!-- airtriage:wrote {' '.join(told)} -->"


def _theirs(stored: str, block: str) -> list[str]:
    """Return the lines of a stored block that neither we wrote then nor write now: a person's."""
    found = _WROTE.search(stored)
    known = set(found[1].split()) if found else set()
    known |= {_mark(line) for line in block.split("\n")}
    lines = stored.split("\n")[1:-1]
    said = [line for line in lines if _DRESS.sub("", line) and not line.startswith("<!-- airtriage:")]
    return [line for line in said if _mark(line) not in known]


def _mark(line: str) -> str:
    """Return four letters that stand for a line's words, whatever markup an editor puts around them."""
    return (
        base64.b32encode(hashlib.sha256(_DRESS.sub("", line).encode("utf-8", "replace")).digest())[:4].decode().lower()
    )
