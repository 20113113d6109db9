"""One problem: what is it, is it mine, what do I do? Evidence and what to try left, state and the few actions right.

The address holds the problem, the try whose log is shown (`try=`) and the line (`#L12`). Everything foreign is drawn as
text by our components; only our own words become labels of Streamlit's buttons.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import streamlit as st

from triage import asking
from triage.cases import has_log
from triage.causes import CAUSES
from triage.complaint import complaint, packed
from triage.errors import InputError, TriageError
from triage.model import LogLine, LogStatus, Occurrence, Raised, place
from triage.queue import QueueRow
from triage.records import Change, Comparison, ComparisonStatus
from triage.service import ProblemView
from triage.signature import differs, masked
from triage.timeline import DAY, timeline
from ui import mirrored
from ui.format import freshness, many, names, next_step, number, printable, reason, told, unread
from ui.front import acting, grouping, linking, mirror, owning, sheet, since
from ui.front.components import bars, columns, log_view, tries
from ui.front.components import sheet as show
from ui.front.desk import desk
from ui.front.frame import guarded, who
from ui.front.marks import Mark, marks
from ui.front.trying import try_row

_SHOWN = 100  # occurrences listed here; the rest are one click away in Search
_REFUSED = "comparison_refused"
_LOOK = 2  # seconds between looks for an answer that somebody at the page waits for


def render() -> None:
    """Draw the problem that the address names."""
    id, chosen = st.query_params.get("id", ""), st.query_params.get("try", "")
    try:
        view = desk().service.problem(id, desk().now()) if id else None
    except InputError as exc:
        show("lost", [sheet.empty("There is no such problem", [str(exc)], [sheet.link("To the queue", "./")])])
        return
    if view is None:
        _alone(chosen)
        return
    _headline(view)
    with st.container(key="columns"):
        left, right = st.columns([11, 4], gap="medium")
        with left:
            _evidence(view, _shown(view, chosen))
            _why(view)
            _wrong(view)
            with st.container(key="parts"):
                grouping.parts(view)
            similar = st.container()
        with right, st.container(key="side"):
            _side(view)
        with similar:  # last, as nothing waits for it
            _similar(view)


def _alone(chosen: str) -> None:
    """Show a try that belongs to no problem yet."""
    found = desk().service.store.occurrence(chosen) if chosen else None
    if found is None:
        show("lost", [sheet.empty("No problem is named in this address", [sheet.link("To the queue", "./")])])
        return
    show("head", [sheet.headline(f"{found.key.task}, try {found.key.try_number}", sheet.dot("quiet", "Log awaited")),
                  sheet.p("Which problem this is shows once its log has been read. ", *_open_in_airflow(found))])  # fmt: skip
    _log(found)


def _headline(view: ProblemView) -> None:
    row, problem = view.row, view.row.problem
    where = [sheet.code(row.tasks[0][0])] if row.tasks else []
    if len(row.tasks) > 1:
        where.append(f"and {many(len(row.tasks) - 1, 'more task')}")
    blocks = [
        sheet.headline(problem.title, sheet.state(problem.state), sheet.chip(problem.cause or "cause unknown"), *where),
        sheet.p(*_summary(row)),
        *since.headline(row),
        *grouping.also(view),
    ]
    show("head", blocks)
    grouping.answered(view)


def _summary(row: QueueRow) -> list[sheet.Run]:
    ends = (
        "All of them ended their task instance."
        if row.final == row.total
        else f"{number(row.final)} of them ended their task instance."
    )
    if row.total == 1:
        ends = "It ended its task instance."
    if not row.final and row.is_flaky:
        ends = "Airflow tries again after every one so far."
    counted = sheet.count(row.total, "failed try", "failed tries")
    if row.total == 1:
        return [counted, ", ", sheet.when(row.last_seen), f". {ends}"]
    where = f" in {many(len(row.dags), 'DAG')}" if len(row.dags) > 1 else ""
    return [
        counted,
        f"{where}, the first ",
        sheet.when(row.first_seen),
        ", the last ",
        sheet.when(row.last_seen),
        f". {ends}",
    ]


def _shown(view: ProblemView, chosen: str) -> Occurrence | None:
    """Return the try whose log is shown: the one chosen, else the newest whose log is known."""
    if chosen and (found := desk().service.store.occurrence(chosen)) is not None:
        return found
    return desk().service.readable(view)


def _evidence(view: ProblemView, shown: Occurrence | None) -> None:
    if shown is not None:
        runs = [
            sheet.code(shown.key.run_id),
            f" try {shown.key.try_number}, ",
            sheet.when(shown.ended_at),
            " · ",
            *_open_in_airflow(shown),
        ]
        show("evidence", [sheet.label("Evidence", *runs)])
        _log(shown, _compared(view, shown))
    else:
        show("evidence", [sheet.label("Evidence"), sheet.p(
            "Its failed tries are older than what is kept, and their logs with them; what was counted of them stays.", tone="quiet",
        )])  # fmt: skip
    cause = CAUSES.get(view.row.problem.cause)
    if cause is not None:
        show("first", [sheet.label("Try first"), sheet.p(cause.summary, tone="quiet"), sheet.steps(cause.steps)])
    show("timeline", [sheet.label("Timeline", "failed tries by day, UTC; drag to see them in Search")])
    members = [(d, print_) for d in view.row.deployments for print_ in view.fingerprints]
    query = f"search?q=problem:{view.row.problem.id}"
    events = marks(view.history)
    counted = timeline(lambda _: _by_day(members, events), finest=DAY)
    bars("days", counted, narrow=query + "&from={from}&to={to}", marks=events)
    show("fared", since.table(view))
    more = view.row.total > _SHOWN
    said = f"the newest {_SHOWN} of {number(view.row.total)}, " if more else "newest first, "
    show("occurrences", [sheet.label("Occurrences", said, sheet.link("all in Search", query))])
    rows = [try_row(o, view.row.problem.id) for o in view.occurrences[:_SHOWN]]
    tries(
        "tries",
        {"titles": False, "shown": shown.key.id if shown else ""},
        columns({"tries": rows}),
    )


def _compared(view: ProblemView, shown: Occurrence) -> Comparison | None:
    """Draw what is new since the last good run, or the way to ask for it; returns what is known of it."""
    if not shown.kept or desk().service.problem_of(shown) != view.row.problem.id:
        return None
    found = asking.comparison(desk().service, shown.key.id)
    if found is not None and found.status is ComparisonStatus.WANTED:
        st.fragment(_await, run_every=_LOOK)(shown)
        return found
    with st.container(horizontal=True, vertical_alignment="center", key="compared"):
        refused = st.session_state.pop(_REFUSED, "")
        show("changed", [sheet.p(refused, tone="bad")] if refused else since.changed(found, shown, desk(), ""))
        is_stale = found is not None and found.status is ComparisonStatus.SHOWN and found.lines != len(shown.kept)
        words = "Compare with the last good run" if found is None else "Ask again"
        if is_stale or found is None or found.status in (ComparisonStatus.GONE, ComparisonStatus.FAILED):
            st.button(words, key="compare", on_click=_want, args=(view.row.problem.id, shown.key.id))
    return found


def _await(shown: Occurrence) -> None:
    """Look again and again for the answer; the whole page is drawn anew once it is there."""
    guarded(lambda: _look(shown))


def _look(shown: Occurrence) -> None:
    found = asking.comparison(desk().service, shown.key.id)
    if found is None or found.status is not ComparisonStatus.WANTED:
        st.rerun()
    late = [
        its for its in desk().health() if its.health.deployment == shown.key.deployment and its.is_stale(desk().now())
    ]
    with st.container(horizontal=True, vertical_alignment="center", key="compared"):
        show("changed", since.changed(found, shown, desk(), freshness(late[0], desk().now()) if late else ""))


def _want(problem: str, shown: str) -> None:
    try:
        asking.want(desk().service, problem, shown, who(), desk().now())
    except TriageError as exc:
        st.session_state[_REFUSED] = str(exc)


def _open_in_airflow(shown: Occurrence) -> list[sheet.Run]:
    url = desk().airflow(shown.key)
    return [sheet.away("open in Airflow", url)] if url else []


def _log(shown: Occurrence, compared: Comparison | None = None) -> None:
    if not shown.kept:
        said = {
            LogStatus.PENDING: "The log is still awaited; airtriage asks for it again by itself.",
            LogStatus.MISSING: "Airflow has no log of this try. See what its circumstance and its host say.",
        }.get(shown.log, "The log of this try is empty.")
        show("nolog", [sheet.p(said, tone="warn"), *_circumstance(shown)])
        return
    telling = {line.number for line in shown.signature.evidence} if shown.signature else set()
    new = set(compared.new) if compared else set()
    lines = [_line(line, telling, new) for line in shown.kept]
    kept = (
        f"{len(lines):,} of {shown.log_lines:,} lines {'read are ' if shown.log_unread else ''}kept"
        if shown.log_lines > len(lines)
        else many(len(lines), "line")
    )
    if left_out := unread(shown):
        kept += f"; {left_out}"
    if shown.log is LogStatus.PARTIAL:
        kept += ", the log was not whole when it was read"
    if circumstance := _circumstance(shown):
        show("circumstance", circumstance)
    head = {
        "id": shown.key.id,
        "note": kept,
        "total": shown.log_lines,
        "unread": shown.log_unread,
        "levels": any(line[2] for line in lines),
        "new": sum(line[5] for line in lines),
    }
    log_view("log", head, columns({"lines": lines}))


def _circumstance(shown: Occurrence) -> list[sheet.Block]:
    if said := reason(shown):
        return [sheet.p(said, tone="warn")]
    found = shown.circumstance
    if found is None:
        return []
    by = f" by {found.by}" if found.by else ""
    return [
        sheet.p(sheet.strong(f"Airflow says: {found.kind}{by}"), f". {found.text}" if found.text else ".", tone="warn")
    ]


def _line(line: LogLine, telling: set[int], new: set[int]) -> list[Any]:
    level = (line.level or "").upper()
    known = level if level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL") else ""
    number = line.number
    return [number, printable(line.text), known, number in telling, _chain(line.raised), number in new]


def _chain(chain: tuple[Raised, ...]) -> list[dict[str, Any]]:
    return [
        {
            "type": printable(it.type), "value": printable(it.value), "is_cause": it.is_cause,
            "notes": [printable(note) for note in it.notes],
            "frames": [{"file": printable(f.file), "line": f.line, "function": printable(f.function)} for f in it.frames],
            "parts": [_chain(part) for part in it.parts],
        }
        for it in chain
    ]  # fmt: skip


def _why(view: ProblemView) -> None:
    signature, task = next(((o.signature, o.key.task) for o in view.occurrences if o.signature), (None, ""))
    if signature is None or not signature.decisions:
        return
    parts: list[sheet.Block] = [sheet.steps([*signature.decisions, *differs(signature, task)])]
    if hits := [(evidence, hit) for evidence, found in masked(signature) for hit in found]:
        parts.append(sheet.facts(
            (f"{place(evidence.number).capitalize()}, {hit.mask}", [sheet.code(hit.before), " → ", sheet.code(hit.after) if hit.after else "nothing"])
            for evidence, hit in hits[:20]
        ))  # fmt: skip
    parts.append(sheet.facts([("Fingerprints", [sheet.code(", ".join(view.fingerprints))])]))
    show(
        "why", [sheet.label("Why one problem"), sheet.fold(["What the signature took, and what it passed over"], parts)]
    )


def _wrong(view: ProblemView) -> None:
    """Offer the problem's logs as cases, so that a complaint about the grouping becomes a test."""
    id = view.row.problem.id
    with st.container(key="wrong"), st.expander("Wrong grouping?"):
        if not any(has_log(it) for it in view.occurrences):
            show("complaint", [sheet.p("No failed try of this problem has a log, so there is none to complain with.")])
            return
        said = (
            "Take its redacted logs, sort them into one folder a cause, and attach them to a bug report: the complaint becomes "
            "a test. Names in them are not masked, so read them first."
        )
        show("complaint", [sheet.p(said, tone="quiet")])
        st.code(f"airtriage case {id}", language=None)
        st.download_button(
            "Download the logs", lambda: packed(complaint(desk().service, id, desk().now())), f"airtriage-case-{id}.zip",
            "application/zip", key="case", on_click="ignore",
        )  # fmt: skip


def _similar(view: ProblemView) -> None:
    found = desk().known.similar(view, desk().now())
    if not found:
        return
    grouping.similar(view, found)


def _by_day(members: list[tuple[str, str]], events: list[Mark]) -> dict[datetime, int]:
    """Count failed tries by day, those that are kept no longer included; the days of `events` are there, if with none."""
    found: Counter[datetime] = Counter()
    for part in desk().service.store.summaries(members=members):
        found.update({datetime.fromisoformat(f"{day}T00:00:00+00:00"): count for day, count in part.daily.items()})
    if found:
        found.update({one.at.replace(hour=0, minute=0, second=0, microsecond=0): 0 for one in events})
    return dict(sorted(found.items()))


def _side(view: ProblemView) -> None:
    row, problem, now = view.row, view.row.problem, desk().now()
    why = row.why.removeprefix(f"{problem.state.lower()}, ").removeprefix(f"{problem.state.lower()}: ")
    show("state", [sheet.p(sheet.state(problem.state), "  ", sheet.when(problem.state_at)), sheet.p(f"{why[:1].upper()}{why[1:]}."),
                   sheet.p(next_step(view, now), tone="quiet")])  # fmt: skip
    its = mirrored.mirrored(desk().service, desk().settings, row, now, desk().mirrors().values())
    acting.actions(view, mirrored.of_resolving(its))
    owning.block(row)
    show("gitlab", mirror.card(its, now))
    linking.buttons(row, its)
    latest = view.occurrences[0] if view.occurrences else None
    show("facts", [
        sheet.label("Facts"),
        sheet.facts([
            ("DAGs", [names((f"{dag} ({number(count)})" for dag, count in row.dags), 5)]),
            ("Tasks", [names((task for task, _ in row.tasks), 5)]),
            ("Deployment", [", ".join(row.deployments)]),
            ("First seen", [sheet.when(row.first_seen)]), ("Last seen", [sheet.when(row.last_seen)]),
            ("Tries", [sheet.count(row.total), f", {number(row.final)} of them final"]),
            *since.facts(row),
            ("Exception", [latest.signature.exception or ""] if latest and latest.signature else []),
            ("Operators", [_seen(view, "operator")]), ("Hosts", [_seen(view, "host")]), ("Pools", [_seen(view, "pool")]),
            ("Id", [sheet.code(problem.id)]),
        ]),
        sheet.label("History"),
    ])  # fmt: skip
    acting.note_form(problem.id)
    show("history", [sheet.entries(acting.entry(entry, told(entry), [_whence(entry)]) for entry in view.history)])


def _whence(entry: Change) -> str:
    """Say where a person decided: `from the page`, `from GitLab comment 1241`."""
    is_place = entry.origin in ("page", "command", "policy")
    return f" · from {'the ' if is_place else ''}{entry.origin}" if entry.who != "airtriage" else ""


def _seen(view: ProblemView, field: str) -> str:
    return names(dict.fromkeys(value for o in view.occurrences if (value := getattr(o, field))), 3)
