"""Links made and cut by people: a problem and an issue that exists, and nothing that opens another afterwards.

The shell of `airtriage link` and `unlink`, and of the buttons beside them on the page, which only save what is wished. What is linked is kept true like what was opened; what stands in the issue stays,
our block comes below it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from triage.errors import InputError
from triage.issues import Issues
from triage.judging import Judging
from triage.ledger import Ledger
from triage.mirrors import LinkWish, Mirror, MirrorStatus
from triage.opening import extra_key
from triage.policy import Verdict
from triage.queue import QueueRow
from triage.records import Problem, TriageState
from triage.service import Service
from triage.settings import Settings
from triage.telling import Words, stamp

_ADDRESS = re.compile(r"(?P<project>[^#?]+?)/-/(?:issues|work_items)/(?:incident/)?(?P<iid>\d+)/?(?:[?#].*)?\Z")
_SHORT = re.compile(r"(?P<project>[\w.-]+(?:/[\w.-]+)+)#(?P<iid>\d+)\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an issue is: its project and number there."""

    project: str
    iid: int


def place(gitlab: str, text: str) -> Place:
    """Read what a person names an issue by: its address at this GitLab, or `group/project#12`; else InputError."""
    inner = text.removeprefix(f"{gitlab}/") if text.startswith(f"{gitlab}/") else text
    found = _SHORT.match(text) or (_ADDRESS.match(inner) if inner != text else None)
    if found is None:
        raise InputError(
            f"{text!r} names no issue at {gitlab}.",
            f"Give its address, {gitlab}/GROUP/PROJECT/-/issues/12, or GROUP/PROJECT#12.",
        )
    return Place(found["project"], int(found["iid"]))


def link(
    service: Service,
    issues: Issues,
    words: Words,
    gitlab: str,
    problem: Problem,
    at: Place,
    who: str,
    now: datetime,
    origin: str = "command",
) -> Mirror:
    """Make an issue the mirror of a problem, in place of the one it had, and write our block below its description.

    The problem's state counts: an issue that is closed is reopened for an open problem by the next round. InputError where
    it is the issue of another problem.
    """
    ledger = Ledger(service)
    issue = issues.issue(at.project, at.iid)
    for other, _ in service.store.records(Mirror):
        is_same = other.gitlab == gitlab and other.issue_id == issue.id and other.status is MirrorStatus.LINKED
        if is_same and other.problem != problem.id:
            raise InputError(
                f"#{issue.iid} of {at.project} is the issue of problem {other.problem} already.",
                f"Merge the problems, or part them first with airtriage unlink {other.problem}.",
            )
    known, revision = ledger.mirror(problem.id) or (None, None)
    said = known.comments if known else ()
    if known is not None and known.issue_id not in (0, issue.id):
        said = (*said, extra_key(known.issue_id))  # the one that they gave up stays as it is, our marker in it or not
    mirror = Mirror(
        problem.id, gitlab, at.project, MirrorStatus.LINKED, known.intended_at if known else issue.created_at,
        project_id=issue.project_id, issue_id=issue.id, iid=issue.iid, web_url=issue.web_url, is_open=issue.is_open,
        assignee=issue.assignee, labels=issue.labels, linked_at=now, comments=said,
        heard=max((note.id for note in issues.notes(at.project, at.iid)), default=0),  # what was ordered before is past
    )  # fmt: skip
    revision = ledger.save(mirror, revision)
    service.mirrored(problem.id, issue.web_url, now, who, origin)
    row = words.now(problem.id)
    if row is not None and words.marked(issue.description) != problem.id:
        block = words.block(row)
        theirs = f"{issue.description}\n\n" if issue.description.strip() else ""
        issues.edit(at.project, at.iid, description=f"{theirs}{block}\n")
        ledger.save(
            replace(mirror, told=stamp(row, words.edition(problem.id)), written_at=now, dags=len(row.dags)), revision
        )
    return mirror


def ask(service: Service, judging: Judging, row: QueueRow, who: str, now: datetime) -> Mirror:
    """Ask for an issue for a problem, whatever the policy says; the next round opens it. InputError where none can be."""
    judged = judging.asked(row)
    if judged is None:
        raise InputError("No GitLab is set up for this problem.", "Set gitlab.url, gitlab.token and gitlab.project.")
    if judged.verdict is Verdict.NEVER:
        raise InputError(f"Problem {row.problem.id} {judged.why}.", "Change that in [gitlab], or link an issue.")
    if row.problem.state is TriageState.RESOLVED:
        raise InputError(f"Problem {row.problem.id} is resolved.", "Reopen it before asking for an issue.")
    ledger = Ledger(service)
    known, revision = ledger.mirror(row.problem.id) or (None, None)
    if known is not None and known.status in (MirrorStatus.INTENDED, MirrorStatus.LINKED):
        raise InputError(f"Problem {row.problem.id} has a GitLab issue, or is about to get one.")
    mirror = Mirror(row.problem.id, judged.gitlab, judged.project, MirrorStatus.INTENDED, now, asked_by=who)
    ledger.save(mirror, revision)
    return mirror


def wish(service: Service, settings: Settings, problem: Problem, issue: str, who: str, now: datetime) -> LinkWish:
    """Wish an issue that exists linked to a problem; a collector does it. InputError for what names none here."""
    place(at_gitlab(settings, issue), issue)
    wanted = LinkWish(problem.id, issue, who, now)
    found = service.store.get(LinkWish, problem.id)
    service.store.save(wanted, found[1] if found else None)
    return wanted


def at_gitlab(settings: Settings, issue: str) -> str:
    """Return the GitLab that an issue is named at; InputError where none is set up."""
    known = (its.url for its in settings.gitlabs.values() if issue.startswith(f"{its.url}/"))
    gitlab = next(known, settings.gitlab.url)
    if not gitlab:
        raise InputError("No GitLab is set up.", "Set gitlab.url, gitlab.token and gitlab.project.")
    return gitlab


def unlink(service: Service, problem: Problem, who: str, now: datetime, origin: str = "command") -> Mirror:
    """Part a problem from its issue, which stays as it is; InputError where it has none."""
    ledger = Ledger(service)
    found = ledger.mirror(problem.id)
    if found is None or found[0].status is MirrorStatus.UNLINKED:
        raise InputError(f"Problem {problem.id} has no GitLab issue.")
    parted = replace(found[0], status=MirrorStatus.UNLINKED, next_at=None, sent_at=None, said="")
    ledger.save(parted, found[1])
    service.mirrored(problem.id, "", now, who, origin)
    return parted
