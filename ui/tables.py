"""What the command line prints for people: the queue, failed tries, one problem, and progress.

Owns columns and colours of the terminal; foreign text never becomes markup or control characters here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from triage.mirrors import Mirror, MirrorStatus
from triage.model import Evidence, Occurrence
from triage.queue import QueueRow
from triage.records import Comparison, SavedSearch
from triage.service import ProblemView
from ui import answers, mirrored
from ui import format as fmt
from ui.mirrored import Mirrored

if TYPE_CHECKING:
    from triage.seen import Seen
    from triage.similar import Similar
    from triage.sync import Planned

_SHORT = ("id", "state", "tries", "try", "log", "ended", "GitLab", "last seen")  # never folded
_WIDE = 140  # columns of a terminal from which on the queue has one for each thing it says
_STATE_STYLE = {
    "NEW": "bold red",
    "REGRESSED": "bold magenta",
    "ONGOING": "yellow",
    "MUTED": "dim",
    "RESOLVED": "green",
}


def progress_bar(console: Console, quiet: bool) -> Progress:
    """Make a progress display; none where it would disturb a program."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console, disable=quiet or not console.is_terminal)


def queue_table(
    rows: Iterable[QueueRow], at: datetime, mirrors: Mapping[str, Mirror] | None = None, width: int = _WIDE
) -> Table:
    """Draw the queue, a row a problem; `mirrors` are the GitLab issues by problem.

    On a terminal narrower than `_WIDE` columns a problem's cause, place and owner stand below its title, not beside it.
    """
    several, is_wide = list(rows), width >= _WIDE
    issues = {id: name for id, mirror in (mirrors or {}).items() if (name := mirrored.named(mirror))}
    has_issues = any(row.problem.id in issues for row in several)
    beside = ("cause", "where", "owner") if is_wide else ()
    table = _table(
        "id", "state", "problem", *beside[:1], "tries", *beside[1:], *(["GitLab"] if has_issues else []), "last seen"
    )
    names = len({row.deployments for row in several}) > 1
    for row in several:
        more = f" +{len(row.tasks) - 1} more" if len(row.tasks) > 1 else ""
        where = (f"{', '.join(row.deployments)}: " if names else "") + (row.tasks[0][0] if row.tasks else "")
        told = [row.problem.cause, fmt.one_line(where, 80) + more, fmt.one_line(fmt.first(row.owned.names), 40)]
        title = Text(fmt.one_line(row.problem.title, 160))
        title += Text(f"  growing ×{row.growth.times:.0f}" if row.growth else "", "red")
        if not is_wide:
            title += Text("\n" + " · ".join(filter(None, told)), "dim")
        cells = [Text(one) for one in told] if is_wide else []
        table.add_row(
            row.problem.id[:8],
            Text(row.problem.state, _STATE_STYLE[row.problem.state]),
            title,
            *cells[:1],
            fmt.number(row.total),
            *cells[1:],
            *([Text(issues.get(row.problem.id, ""))] if has_issues else []),
            fmt.ago(row.last_seen, at),
        )
    return table


def tries_table(rows: Iterable[Occurrence], at: datetime, *, titles: bool = True) -> Table:
    """Draw failed tries, a row each; what failed is left out where `titles` are known, as those of one problem are."""
    table = _table("ended", "deployment", "task", "run", "try", "log", *(["what failed"] if titles else []))
    for fact in rows:
        task = fact.key.task + (f"[{fact.key.map_index}]" if fact.key.map_index >= 0 else "")
        title = fact.signature.title if fact.signature else "(its log is awaited)"
        cells = (
            fact.key.deployment,
            task,
            fact.key.run_id,
            str(fact.key.try_number),
            fact.log,
            *([title] if titles else []),
        )
        table.add_row(fmt.ago(fact.ended_at, at), *(Text(fmt.one_line(cell)) for cell in cells))
    return table


def facets_table(found: Mapping[str, Iterable[tuple[str, int]]]) -> Table:
    """Draw how many failed tries have each value of some fields; a field without any is left out."""
    table = _table("field", "value", "tries")
    for field, values in found.items():
        for place, (value, count) in enumerate(values):
            table.add_row("" if place else field, Text(fmt.one_line(value, 120)), f"{count:,}")
    return table


def searches_table(rows: Iterable[SavedSearch]) -> Table:
    """Draw saved searches, a row each."""
    table = _table("id", "name", "query", "whose")
    for one in rows:
        whose = f"{one.who}'s own" if one.is_mine else f"everybody's, by {one.who}"
        table.add_row(one.id, *(Text(fmt.one_line(text, 200)) for text in (one.name, one.query or "*", whose)))
    return table


def print_seen(console: Console, found: Seen, at: datetime) -> None:
    """Print what is known of a log: how it is signed, the same problem, those near, and tries with its words."""
    signed = found.signature
    console.print(Text(fmt.one_line(signed.title), "bold"))
    console.print(Text(f"{signed.fingerprint}  {signed.cause}", "dim"))
    for one in found.same:
        console.print(Text(f"Seen before: problem {one.id}, {one.state}, in {one.scope}: {fmt.one_line(one.title)}"))
    if not found.same:
        console.print(Text("This very failure is not known."))
    print_similar(console, found.near)
    if found.tries:
        console.print(Text(f"Failed tries with {fmt.listed(found.words)} in them:"))
        console.print(tries_table(found.tries, at))
    if not (found.same or found.near or found.tries):
        console.print(
            Text("Nothing that is kept looks like it. airtriage doctor says whether every deployment is read.")
        )


def plan_table(rows: Iterable[Planned]) -> Table:
    """Draw what becomes of each problem at GitLab."""
    table = _table("id", "state", "problem", "at GitLab")
    for row in rows:
        its = row.row.problem
        state = Text(its.state, _STATE_STYLE[its.state])
        table.add_row(its.id[:8], state, Text(fmt.one_line(its.title, 160)), Text(fmt.one_line(row.says)))
    return table


def print_problem(console: Console, view: ProblemView, at: datetime, its: Mirrored | None = None) -> None:
    """Print one problem: the headline, the facts, its GitLab issue, the evidence, the history, its newest tries."""
    row = view.row
    console.print(Text(fmt.one_line(row.problem.title), "bold"))
    console.print(Text(f"{row.problem.id}  {row.problem.state}  {row.problem.cause}  {fmt.one_line(row.why)}", "dim"))
    where = ", ".join(f"{fmt.one_line(task)} ({count})" for task, count in row.tasks[:8])
    seen = f"first {fmt.ago(row.first_seen, at)}, last {fmt.ago(row.last_seen, at)}"
    console.print(Text(f"{row.total} failed tries, {row.final} final, {seen}: {where}"))
    console.print(Text(fmt.next_step(view, at), "dim"))
    if row.owner:
        console.print(Text(f"Owner: {fmt.one_line(row.owner)}, {fmt.one_line(row.owned.why)}."))
    if row.outcome:
        due = f" The next run is due {fmt.ago(row.outcome.next_run_at, at)}." if row.outcome.next_run_at else ""
        console.print(Text(f"{row.outcome.said}{due}") + Text(f" As of {fmt.ago(row.outcome.as_of, at)}.", "dim"))
    if its is not None:
        print_mirror(console, its, at)
    for told in evidence(view):
        console.print(Text(f"{told.number:>7}  ", "dim") + Text(fmt.printable(told.text)))
    if view.latest and (left_out := fmt.unread(view.latest)):
        console.print(Text(f"{left_out[0].upper()}{left_out[1:]}.", "dim"))
    if view.latest and (reason := fmt.reason(view.latest)):
        console.print(Text(fmt.printable(reason)))
    for change in view.history:
        why = f": {change.why}" if change.why else ""
        entry = f"{change.at:%Y-%m-%d %H:%M} {change.who}{fmt.whence(change)} {change.what}{why}"
        console.print(Text(fmt.one_line(entry, 5000), "dim"))
    console.print(tries_table(view.occurrences[:10], at, titles=False))


def print_mirror(console: Console, its: Mirrored, at: datetime) -> None:
    """Print where a problem's GitLab issue stands, and what happens by itself next."""
    mirror, tracker = its.mirror, its.tracker
    if mirror is not None:
        told = f", synced {fmt.ago(tracker.heard_at, at)}" if tracker and mirror.status is MirrorStatus.LINKED else ""
        people = f", assigned to {mirror.assignee}" if mirror.assignee else ""
        labels = f", labelled {', '.join(mirror.labels)}" if mirror.labels else ""
        name = f"{mirrored.named(mirror)} ".lstrip()
        console.print(
            Text(
                fmt.one_line(
                    f"GitLab {name}{mirrored.stands(mirror)[1]}{people}{labels}{told}: {mirror.web_url}".rstrip(": ")
                )
            )
        )
        if mirror.said:
            console.print(Text(fmt.one_line(mirror.said), "yellow"))
    if step := mirrored.next_step(its, at):
        console.print(Text(f"GitLab: {fmt.one_line(step)}", "dim"))


def print_similar(console: Console, found: Iterable[Similar]) -> None:
    """Print the problems similar to one, with how near each is and why; nothing where there are none."""
    table = _table("similar", "score", "problem", "why")
    for one in found:
        why = Text(fmt.one_line(one.why))
        table.add_row(one.problem.id[:8], f"{one.score:.2f}", Text(fmt.one_line(one.problem.title)), why)
    if table.row_count:
        console.print(table)


def print_comparison(console: Console, found: Comparison, fact: Occurrence, at: datetime) -> None:
    """Print what is new in a failed try's log since the last good run: a sentence, both versions, the lines."""
    console.print(Text(answers.compared(found, at), "bold"))
    if found.good and (versions := answers.versions(found.good, fact)):
        console.print(Text(versions, "dim"))
    new = set(found.new)
    for line in fact.kept or ():
        if line.number in new:
            raised = f" [{', '.join(one.type for one in line.raised)}]" if line.raised else ""
            console.print(
                Text(f"{line.number:>7}  ", "dim") + Text("+ ", "green") + Text(fmt.printable(line.text + raised))
            )


def evidence(view: ProblemView) -> tuple[Evidence, ...]:
    """Return the telling lines of a problem's latest occurrence."""
    return view.latest.signature.evidence if view.latest and view.latest.signature else ()


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, overflow="fold", justify="right" if name == "tries" else "left", no_wrap=name in _SHORT)
    return table
