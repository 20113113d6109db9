"""The queue: what needs me now? One list of every problem; the address holds tab, order, range, deployment and filter.

The browser has all rows and sorts, chooses and scrolls by itself; the filter, the range and the actions come here. A
filter's plain words match a row's own text as you type, and the logs of its failures once the word is whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from triage.errors import InputError, TriageError
from triage.mirrors import Mirror
from triage.query import EVERYTHING, Both, Query, Words, parse
from triage.queue import QueueRow
from triage.records import Problem
from triage.tokens import cut
from ui import mirrored
from ui.format import many, one_line, web_address
from ui.front import grouping, linking, owning
from ui.front.acting import SAID, change, consequences, moment
from ui.front.components import columns, queue_list
from ui.front.desk import RANGES, Desk, desk
from ui.front.frame import guarded, told

_WORDS = {"24h": "24 h", "7d": "7 d", "30d": "30 d", "all": "All"}
_HOW = ("hours", "more", "spread", "closed", "next_deploy", "quiet")  # what a request may say of its action
_EVERY = 10  # seconds between looks at the store while the page is open


def render() -> None:
    """Draw the queue."""
    _list()


@st.fragment(run_every=_EVERY)
def _list() -> None:
    guarded(_draw)


def _draw() -> None:
    at, now = desk(), desk().now()
    text = st.query_params.get("q", "").strip()
    span = st.query_params.get("range", "7d")
    span = span if span in RANGES else "7d"
    since = now - limit if (limit := RANGES[span]) else None
    wrong: InputError | None = None
    try:
        query = parse(text, now)
        wanted = _matching(at, text, query)
    except InputError as exc:
        wrong, wanted = exc, None
    rows = [
        row for row in at.rows(since)
        if (since is None or row.last_seen >= since) and (wanted is None or wanted(row))
    ]  # fmt: skip
    mirrors = at.mirrors()
    state = (rows, mirrors)  # compared row by row, and most rows are the very same objects as before
    cells = at.remembered(("cells", span), None, Cells)
    body = at.remembered(("bytes", text, span), state, lambda: columns(cells.columns(rows, mirrors)))
    head = {
        "q": text, **told(wrong), "range": span, "words": _WORDS[span], "ranges": list(_WORDS.items()), "note": "", "owners": owning.known(at), "gitlab": "" if at.settings.gitlabs else mirrored.OFF,
        "deployments": sorted({*at.settings.deployments, *(name for row in rows for name in row.deployments)}),
        "reply": st.session_state.get("queue_reply"), "empty": _empties(text, span), "nothing": "" if rows else _nothing(at, text, span),
    }  # fmt: skip
    queue_list("list", head, body, _act)


def _matching(at: Desk, text: str, query: Query) -> Any:
    """Return a test for rows: its own text holds every word, or an occurrence of it satisfies the query."""
    if query == EVERYTHING:
        return None
    ids = at.matching(text, query)
    words = _plain_words(query)
    return lambda row: row.problem.id in ids or (bool(words) and all(word in _own_text(row) for word in words))


def _plain_words(query: Query) -> list[str]:
    """Return the words of a query that is nothing but words, else nothing."""
    parts = query.parts if isinstance(query, Both) else (query,)
    if not all(isinstance(part, Words) and part.field == "text" for part in parts):
        return []
    return [" ".join(part.tokens) for part in parts if isinstance(part, Words)]


def _own_text(row: QueueRow) -> str:
    names = " ".join(task for task, _ in row.tasks)
    return " ".join(cut(f"{row.problem.title} {row.problem.cause} {row.owner} {names} {row.problem.id}"))


class Cells:
    """What the list shows of each row of a range, made anew only where the row or its issue is another; shared by all tabs."""

    def __init__(self) -> None:
        # By problem, of which none is ever deleted.
        self._made: dict[str, tuple[QueueRow, Mirror | None, tuple[Any, ...]]] = {}

    def columns(self, rows: list[QueueRow], mirrors: Mapping[str, Mirror]) -> dict[str, Any]:
        """Return the columns of the list."""
        cells = [self._of(row, mirrors.get(row.problem.id)) for row in rows]
        return dict(zip(_COLUMNS, zip(*cells, strict=True) if cells else [()] * len(_COLUMNS), strict=True))

    def _of(self, row: QueueRow, mirror: Mirror | None) -> tuple[Any, ...]:
        found = self._made.get(row.problem.id)
        if found is None or found[0] is not row or found[1] is not mirror:
            self._made[row.problem.id] = found = (row, mirror, _cells(row, mirror))
        return found[2]


_COLUMNS = (
    "id", "title", "state", "pill", "cause", "owner", "owned", "grows", "task", "tasks", "dags", "deployments", "why", "how", "said",
    "recent", "last", "first", "daily", "gitlab", "issue", "stands",
)  # fmt: skip


def _cells(row: QueueRow, mirror: Mirror | None) -> tuple[Any, ...]:
    """Return what the list shows of a row, in order of `_COLUMNS`."""
    problem, outcome = row.problem, row.outcome
    return (
        problem.id, one_line(problem.title), problem.state, row.pill, problem.cause, owning.names(row), owning.said(row), owning.grows(row),
        one_line(row.tasks[0][0], 200) if row.tasks else "", len(row.tasks), len(row.dags), row.deployments, one_line(row.why, 160),
        outcome.brief if outcome else "", outcome.said if outcome else "", row.recent, int(row.last_seen.timestamp()),
        int(row.first_seen.timestamp()), row.daily, mirrored.named(mirror) if mirror else "", web_address(mirror.web_url) if mirror else "",
        f"GitLab issue, {mirrored.stands(mirror)[1]}" if mirror else "",
    )  # fmt: skip


def _nothing(at: Desk, text: str, span: str) -> str:
    if text:
        return "filter"
    if not at.settings.deployments and not at.health():
        return "unconfigured"
    return "range" if at.rows() and span != "all" else "clean"


def _empties(text: str, span: str) -> dict[str, Any]:
    return {
        "unconfigured": {
            "title": "No Airflow is watched yet",
            "lines": [
                "Name one in airtriage.toml (or in AIRTRIAGE_DEPLOYMENTS__PROD__URL), then start airtriage up again."
            ],
            "pre": '[deployments.prod]\nurl = "https://airflow.example.com"\nusername = "svc_triage"\npassword_file = "/run/secrets/airflow"',
        },
        "clean": {
            "title": "No failed try so far",
            "lines": [
                "airtriage looks at every deployment again and again; Health shows when it last did, and what is in its way."
            ],
        },
        "quiet": {
            "title": "Nothing needs you",
            "lines": ["Nothing is new and nothing came back. The other tabs hold what is known, muted or resolved."],
        },
        "tab": {
            "title": "Nothing here",
            "lines": ["The other tabs hold the rest." if not text else "Other tabs may hold what matches."],
        },
        "range": {
            "title": f"Nothing failed in the last {_WORDS[span]}",
            "lines": ["Choose a longer range to see what failed before."],
        },
        "filter": {
            "title": "No problem matches",
            "lines": [f"Nothing matches {text} in this range. Use fewer words, or a longer range."],
        },
    }


def _act() -> None:
    """Do what the list asked for, each request once, and leave the answer for the next drawing."""
    done = st.session_state.get("queue_done", 0)
    for request in st.session_state["list"].get("act") or ():
        if request["seq"] > done:
            st.session_state["queue_done"] = done = request["seq"]
            st.session_state["queue_reply"] = {"seq": done, **_carry_out(request)}


def _carry_out(request: dict[str, Any]) -> dict[str, Any]:
    if request["kind"] in ("merge", "part"):
        return grouping.at_once(request["kind"], request["ids"], request.get("into", ""), request.get("moves", {}))
    kind = str(request["kind"])
    if kind == "assign":
        return owning.carry_out(request)
    if kind == "open":
        return linking.at_once(request["ids"])
    how = {name: request[name] for name in _HOW if request.get(name)}
    changed: list[Problem] = []
    errors: list[str] = []
    for id in request["ids"]:
        try:
            if (now := change(kind, id, **how, at=request.get("at", {}).get(id, ""))) is not None:
                changed.append(now)
        except TriageError as exc:
            errors.append(str(exc))
    said = f"{_did(kind, len(changed), how)}{consequences(changed)}" if changed else ""
    said += f" {many(len(errors), 'problem')} could not be changed: {errors[0]}" if errors else ""
    of = {one.id: moment(one) for one in changed}
    undo = {"kind": "undo", "ids": list(of), "how": {"at": of}} if of and kind != "undo" else None
    return {"said": said.strip(), "undo": undo, "done": bool(changed)}


def _did(kind: str, count: int, how: Mapping[str, Any]) -> str:
    """Say what was done to many problems, and until when."""
    if days := how.get("quiet"):
        whose = "It is" if count == 1 else f"{many(count, 'problem')} are"
        return f"{whose} resolved when quiet for {many(days // 24, 'day')}, if all tasks ran well."
    ends = {
        "hours": f" for {many(how.get('hours', 0), 'hour')}", "more": f" until {how.get('more')} more failures",
        "spread": " until spread to another DAG", "closed": " until the GitLab issue closes", "next_deploy": " in the next deploy",
    }  # fmt: skip
    return f"{SAID[kind]} {many(count, 'problem')}{''.join(ends[name] for name in how)}."
