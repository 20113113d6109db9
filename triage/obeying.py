"""Orders in comments of GitLab, followed: who may, done once, and answered.

The shell of orders, called with each new comment by a person. An order leaves its comment's number in the problem's
history, and an answer carries it too, so that whatever breaks off in between, nothing is done or said twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from triage import orders, templates
from triage.errors import GitLabRefused, InputError
from triage.issues import PLANNER, Issue, Issues, Note
from triage.orders import Misread, Order, Verb
from triage.owners import NOBODY
from triage.records import Change, Problem
from triage.service import Service

DONE = "white_check_mark"
ORIGIN = "GitLab comment"  # and its number: where a change comes from that a comment ordered
_INTRO = (
    "airtriage listens to these words at the beginning of a line, of members with the role Planner, Reporter or higher:"
)


@dataclass(frozen=True, slots=True)
class Obeying:
    """Follows the orders in the comments of one project; `bot` and `bot_id` are who we are there."""

    service: Service
    issues: Issues
    project: str
    bot: str
    bot_id: int
    clock: Callable[[], datetime]

    def listen(self, problem: Problem, issue: Issue, note: Note) -> None:
        """Follow what a comment orders, if its author may; may be repeated. Strangers get no answer, so they cannot make it talk."""
        found = orders.parse(note.body, self.bot)
        if not found or note.author_id == self.bot_id or self.issues.role(self.project, note.author_id) < PLANNER:
            return
        if self._is_answered(issue, note):
            return
        judged = max((_place(change, note) for change in self.service.history(problem)), default=0)
        said = [
            "" if place <= judged else self._follow(problem.id, one, note, place) for place, one in enumerate(found, 1)
        ]
        if any(not why for why in said):
            with _if_allowed():
                self.issues.award(self.project, issue.iid, note.id, DONE)
        is_lost = any(isinstance(one, Misread) or one.verb is Verb.HELP for one in found)
        if is_lost or any(said):
            self._answer(issue, note, [why for why in said if why], is_lost)

    def _follow(self, id: str, order: Order | Misread, note: Note, place: int) -> str:
        """Do what is ordered; return why not, empty where it is done."""
        if isinstance(order, Misread):
            return order.why
        if order.verb is Verb.HELP:
            return ""
        try:
            self._do(id, order, note.author, _origin(note, place))
        except InputError as exc:
            return templates.Pen(self.service.redactor).plain(str(exc))
        return ""

    def _do(self, id: str, order: Order, who: str, origin: str) -> None:
        service, now, why = self.service, self.clock(), order.why
        match order.verb:
            case Verb.MUTE:
                service.mute(
                    id, who, now, lasting=order.lasting, more=order.more, spread=order.spread, closed=order.closed,
                    why=why, origin=origin,
                )  # fmt: skip
            case Verb.UNMUTE:
                service.unmute(id, who, now, why, origin)
            case Verb.RESOLVE:
                service.resolve(id, who, now, why, origin, next_deploy=order.next_deploy, quiet_for=order.quiet)
            case Verb.REOPEN:
                service.reopen(id, who, now, why, origin)
            case Verb.ASSIGN:
                service.assign(id, who if order.to == "me" else order.to or NOBODY, who, now, why, origin)
            case Verb.NOTE:
                service.note(id, who, now, order.text, origin)

    def _answer(self, issue: Issue, note: Note, said: list[str], is_lost: bool) -> None:
        """Write one comment to a comment; the hidden line in it tells that it is there."""
        parts = [" ".join(said)] if said else []
        if is_lost:
            parts.append(help_text())
        with _if_allowed():
            self.issues.comment(self.project, issue.iid, "\n\n".join((*parts, _hidden(note))))

    def _is_answered(self, issue: Issue, note: Note) -> bool:
        later = self.issues.notes(self.project, issue.iid, after=note.id)
        return any(one.author_id == self.bot_id and _hidden(note) in one.body for one in later)


def _hidden(note: Note) -> str:
    return f"<!-- airtriage:v1 answer={note.id} -->"


def _origin(note: Note, place: int) -> str:
    return f"{ORIGIN} {note.id}" + (f".{place}" if place > 1 else "")


def _place(change: Change, note: Note) -> int:
    """Return which of a comment's orders a change is of, 0 for none: those up to it are judged, refused or done."""
    if change.origin == _origin(note, 1):
        return 1
    before, _, place = change.origin.partition(f"{ORIGIN} {note.id}.")
    return int(place) if not before and place.isdecimal() else 0


@contextmanager
def _if_allowed() -> Iterator[None]:
    """Leave an answer out where GitLab refuses it for good, as in a locked issue: the order itself is done."""
    try:
        yield
    except GitLabRefused as exc:
        if exc.status in (0, 401, 429):
            raise


def help_text() -> str:
    """Return the words that airtriage knows, as a table of GitLab's Markdown."""
    rows = (f"| `/airtriage {form}` | {says} |" for form, says in orders.WORDS)
    return "\n".join((_INTRO, "", "| words | what they do |", "| --- | --- |", *rows))
