"""What a person does about a problem on its page: resolve, mute, take back, write a note; each with its Undo.

Owns the buttons, the words that answer them, and how a button's wish becomes a call of the service. The queue carries its
bulk actions out by `change` too.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import streamlit as st

from triage import deploys
from triage.errors import InputError, TriageError
from triage.records import Change, TriageState
from triage.service import NOTE, NOTED, ProblemView
from ui.front import sheet
from ui.front.components import sheet as show
from ui.front.desk import desk
from ui.front.frame import who

_MUTES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("For good", {}), ("For 1 day", {"hours": 24}), ("For 7 days", {"hours": 168}), ("Until 10 more failures", {"more": 10}),
    ("Until it spreads to another DAG", {"spread": True}),
)  # fmt: skip
_CLOSED = ("Until its GitLab issue closes", {"closed": True})
_SAID = {"mute": "Muted", "resolve": "Resolved", "unmute": "Unmuted", "reopen": "Reopened", "undo": "Put back"}
_ANSWER, _TEXT = "problem_answer", "note_text"


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
    _button("In the next deploy", "resolve", problem.id, {"next_deploy": True}, **look)
    _button("When quiet for 7 days", "resolve", problem.id, {"quiet": 168})
    if problem.quiet_for is not None:
        _button("Not when quiet any more", "disarm", problem.id)


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
    return [words], [sheet.when(change.at), f" · {change.why}" if change.why else "", *below]


def change(
    kind: str, id: str, hours: float | None = None, more: int | None = None, *, spread: bool = False,
    closed: bool = False, next_deploy: bool = False, quiet: float | None = None, at: str = "",
) -> None:  # fmt: skip
    """Carry out one action of a page's button on one problem. `hours` and `quiet` are hours, `at` the time of a note."""
    now, name, verbs = desk().now(), who(), desk().service
    match kind:
        case "mute":
            lasting = timedelta(hours=hours) if hours else None
            verbs.mute(id, name, now, lasting=lasting, more=more, spread=spread, closed=closed, origin="page")
        case "resolve":
            quiet_for = timedelta(hours=quiet) if quiet else None
            verbs.resolve(id, name, now, origin="page", next_deploy=next_deploy, quiet_for=quiet_for)
        case "unmute" | "reopen" | "disarm" | "undo":
            getattr(verbs, kind)(id, name, now, origin="page")
        case "unnote":
            verbs.unnote(id, name, now, datetime.fromisoformat(at), origin="page")
        case _:
            raise InputError(f"The page asked for {kind!r}, which is no action.")


def _button(words: str, kind: str, id: str, how: dict[str, Any] | None = None, **look: Any) -> None:
    key = look.pop("key", f"{kind}-{words.lower().replace(' ', '-')}")
    st.button(words, key=key, on_click=_do, args=(words, kind, id, how or {}), **look)


def _do(words: str, kind: str, id: str, how: dict[str, Any]) -> None:
    undo: tuple[str, dict[str, Any]] | None = ("undo", {}) if words != "Undo" else None
    said, tone = _past(words, kind, how), "good"
    try:
        change(kind, id, **how)
    except TriageError as exc:
        said, tone, undo = str(exc), "bad", None
    st.session_state[_ANSWER] = {"id": id, "said": said, "tone": tone, "undo": undo}


def _past(words: str, kind: str, how: dict[str, Any]) -> str:
    """Say what was done."""
    rest = words[:1].lower() + words[1:]
    if how.get("quiet"):
        return f"It is resolved {rest}, if all its tasks ran well."
    if kind in ("disarm", "unnote"):
        return "It is not resolved by itself." if kind == "disarm" else "The note is gone."
    return f"{_SAID[kind]} {rest}." if kind == "mute" or how.get("next_deploy") else f"{_SAID[kind]}."


def _note(id: str) -> None:
    said: dict[str, Any] = {"id": id, "said": "Noted.", "tone": "good", "undo": None}
    try:
        kept = desk().service.note(id, who(), desk().now(), st.session_state.get(_TEXT, ""), "page")
        said["undo"] = ("unnote", {"at": kept.at.isoformat()})
    except TriageError as exc:
        said |= {"said": str(exc), "tone": "bad"}
    st.session_state[_ANSWER] = said
