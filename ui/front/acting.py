"""What a person does about a problem on its page: resolve, mute, take back, write a note; each with its Undo.

Owns the buttons, the words that answer them, and how a button's wish becomes a call of the service. The queue carries its
bulk actions out by `change` too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import streamlit as st

from triage import deploys
from triage.errors import InputError, TriageError
from triage.mirrors import Mirror
from triage.records import Change, Problem, TriageState
from triage.service import LINKED, NOTE, NOTED, UNLINKED, ProblemView
from ui import mirrored
from ui.format import web_address
from ui.front import sheet
from ui.front.components import sheet as show
from ui.front.desk import desk
from ui.front.frame import who

_MUTES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("For good", {}), ("For 1 day", {"hours": 24}), ("For 7 days", {"hours": 168}), ("Until 10 more failures", {"more": 10}),
    ("Until it spreads to another DAG", {"spread": True}),
)  # fmt: skip
_CLOSED = ("Until its GitLab issue closes", {"closed": True})
SAID = {"mute": "Muted", "resolve": "Resolved", "unmute": "Unmuted", "reopen": "Reopened", "undo": "Put back"}
_ANSWER, _TEXT = "problem_answer", "note_text"
_WHY = 200  # characters of a reason, as one line of the history has room for


def actions(view: ProblemView, consequence: str) -> None:
    """Draw the buttons, what resolving would do beside, and what became of the last one."""
    problem = view.row.problem
    with st.container(horizontal=True, vertical_alignment="center", key="acts", gap="small"):
        if problem.state is TriageState.RESOLVED:
            _button("Reopen", "reopen", problem.id)
        else:
            _button("Resolve", "resolve", problem.id, type="primary")
            with st.popover("Resolve later", key="resolve-later"), st.container(key="choices-resolve"):
                _later(view)
            if problem.state is TriageState.MUTED:
                _button("Unmute", "unmute", problem.id)
            with st.popover("Mute", key="mute"), st.container(key="choices"):
                _why("mute", "warehouse is down until noon")
                for words, how in (*_MUTES, *([_CLOSED] if problem.gitlab_url else [])):
                    _button(words, "mute", problem.id, how)
    if consequence:
        show("consequence", [sheet.p(consequence, tone="quiet")])
    answer = st.session_state.get(_ANSWER)
    if answer and answer["id"] == problem.id:
        with st.container(horizontal=True, vertical_alignment="center", key="answer"):
            show("said", [sheet.p(answer["said"], tone=answer["tone"])])
            if answer["undo"]:
                kind, how = answer["undo"]
                _button("Undo", kind, problem.id, how, key="undo")


def _later(view: ProblemView) -> None:
    """Offer to resolve in the next deploy, where its tries tell one deploy from another, and when quiet."""
    problem = view.row.problem
    try:
        deploys.known(view.tally, view.outcomes)
        refused = ""
    except InputError as exc:
        refused = str(exc)
    look: dict[str, Any] = {"disabled": bool(refused), "help": refused or None}
    _why("resolve", "fixed in !12")
    _button("In the next deploy", "resolve", problem.id, {"next_deploy": True}, **look)
    _button("When quiet for 7 days", "resolve", problem.id, {"quiet": 168})
    if problem.quiet_for is not None:
        _button("Not when quiet any more", "disarm", problem.id)


def _why(kind: str, example: str) -> None:
    """Draw the line for a reason, which the history and the GitLab issue repeat."""
    st.text_input(
        "Why", key=_why_key(kind), placeholder=f"Why, if you like: {example}", label_visibility="collapsed", max_chars=_WHY
    )  # fmt: skip


def _why_key(kind: str) -> str:
    return f"why_{kind}"


def note_form(id: str) -> None:
    """Draw the form for a note."""
    with st.form("note", clear_on_submit=True, border=False):
        st.text_area(
            "Note", key=_TEXT, placeholder="What should the next one know?", label_visibility="collapsed", height=68, max_chars=NOTE
        )  # fmt: skip
        st.form_submit_button("Add note", on_click=_note, args=(id,))


def entry(change: Change, words: str, below: list[sheet.Run]) -> tuple[list[sheet.Run], list[sheet.Run]]:
    """Return an entry of the history as the sheet draws it; a note's text stands in front, as it was written."""
    if change.what == NOTED:
        return [sheet.strong(change.who), f" {change.what}: {change.why}"], [sheet.when(change.at), *below]
    why: list[sheet.Run] = [" · ", _reason(change)] if change.why else []
    return [words], [sheet.when(change.at), *why, *below]


def _reason(change: Change) -> sheet.Run:
    """Return a reason; the address of an issue that was linked or parted as a link, any other text as text."""
    if change.what not in (LINKED, UNLINKED) or not web_address(change.why):
        return change.why
    project, _, number = change.why.partition("/-/")
    return sheet.away(f"{'/'.join(project.split('/')[3:])}#{number.rpartition('/')[2]}", change.why)


def change(
    kind: str, id: str, hours: float | None = None, more: int | None = None, *, spread: bool = False,
    closed: bool = False, next_deploy: bool = False, quiet: float | None = None, at: str = "", why: str = "",
) -> Problem | None:  # fmt: skip
    """Carry out one action of a page's button on one problem, and return it as it is then; None for a note.

    `hours` and `quiet` are hours, `at` the time of a note, or of the decision that Undo stands beside.
    """
    now, name, verbs = desk().now(), who(), desk().service
    match kind:
        case "mute":
            lasting = timedelta(hours=hours) if hours else None
            return verbs.mute(
                id, name, now, lasting=lasting, more=more, spread=spread, closed=closed, why=why, origin="page"
            )
        case "resolve":
            quiet_for = timedelta(hours=quiet) if quiet else None
            return verbs.resolve(id, name, now, why, "page", next_deploy=next_deploy, quiet_for=quiet_for)
        case "undo":
            return verbs.undo(id, name, now, origin="page", of=datetime.fromisoformat(at) if at else None)
        case "unmute" | "reopen" | "disarm":
            changed: Problem = getattr(verbs, kind)(id, name, now, origin="page")
            return changed
        case "unnote":
            verbs.unnote(id, name, now, datetime.fromisoformat(at), origin="page")
            return None
    raise InputError(f"The page asked for {kind!r}, which is no action.")


def moment(changed: Problem) -> str:
    """Return which decision about a problem was the last one, as `change` takes it to undo that one and no other."""
    return changed.undo.decided_at.isoformat() if changed.undo and changed.undo.decided_at else ""


def consequences(changed: Iterable[Problem]) -> str:
    """Say what becomes of the GitLab issues of problems that were just changed, as the end of a sentence."""
    mirrors = desk().service.store
    found = [(problem.state, its[0] if (its := mirrors.get(Mirror, problem.id)) else None) for problem in changed]
    said = mirrored.consequence(found)
    return f" {said}." if said else ""


def _button(words: str, kind: str, id: str, how: dict[str, Any] | None = None, **look: Any) -> None:
    key = look.pop("key", f"{kind}-{words.lower().replace(' ', '-')}")
    st.button(words, key=key, on_click=_do, args=(words, kind, id, how or {}), **look)


def _do(words: str, kind: str, id: str, how: dict[str, Any]) -> None:
    undo: tuple[str, dict[str, Any]] | None = None
    said, tone = past(words, kind, how), "good"
    why = st.session_state.get(_why_key(kind), "").strip() if how or kind == "mute" else ""
    try:
        changed = change(kind, id, **how, why=why)
        said += consequences([changed] if changed else [])
        if changed and kind != "undo":
            undo = ("undo", {"at": moment(changed)})
        if why:
            st.session_state[_why_key(kind)] = ""
    except TriageError as exc:
        said, tone = str(exc), "bad"
    st.session_state[_ANSWER] = {"id": id, "said": said, "tone": tone, "undo": undo}


def past(words: str, kind: str, how: dict[str, Any]) -> str:
    """Say what was done to one problem."""
    rest = words[:1].lower() + words[1:]
    if how.get("quiet"):
        return f"It is resolved {rest}, if all its tasks ran well."
    if kind in ("disarm", "unnote"):
        return "It is not resolved by itself." if kind == "disarm" else "The note is gone."
    return f"{SAID[kind]} {rest}." if kind == "mute" or how.get("next_deploy") else f"{SAID[kind]}."


def _note(id: str) -> None:
    said: dict[str, Any] = {"id": id, "said": "Noted.", "tone": "good", "undo": None}
    try:
        kept = desk().service.note(id, who(), desk().now(), st.session_state.get(_TEXT, ""), "page")
        said["undo"] = ("unnote", {"at": kept.at.isoformat()})
    except TriageError as exc:
        said |= {"said": str(exc), "tone": "bad"}
    st.session_state[_ANSWER] = said
