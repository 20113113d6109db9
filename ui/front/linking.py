"""The buttons of the GitLab card: open an issue now, link one that exists, part them.

Each saves what is wanted and asks for a round; none talks to GitLab, so the page never waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from triage import lifecycle, linking
from triage.errors import StaleProblem, TriageError
from triage.mirrors import MirrorStatus
from triage.queue import QueueRow
from ui.format import many
from ui.front import sheet
from ui.front.components import sheet as show
from ui.front.desk import desk
from ui.front.frame import who
from ui.mirrored import Mirrored, judging

_ANSWER, _ISSUE = "gitlab_answer", "gitlab_issue"


def buttons(row: QueueRow, its: Mirrored) -> None:
    """Draw what a person can do about a problem's issue; nothing where GitLab is off."""
    if its.mirror is None and its.judged is None:
        return
    status = its.mirror.status if its.mirror else None
    with st.container(horizontal=True, vertical_alignment="center", key="gitlab-acts", gap="small"):
        is_live = row.problem.state in lifecycle.OPEN
        if is_live and status not in (MirrorStatus.LINKED, MirrorStatus.INTENDED):
            st.button(
                "Open an issue now",
                key="gitlab-open",
                on_click=_do,
                args=(row, _open, "An issue is opened at the next round."),
            )
        with st.popover("Link an issue", key="gitlab-link"):
            st.text_input("Its address, or group/project#12", key=_ISSUE)
            st.button("Link", key="gitlab-link-it", on_click=_do, args=(row, _link, "It is linked at the next round."))
        if status not in (None, MirrorStatus.UNLINKED):
            part = partial(_unlink, was_linked=status is MirrorStatus.LINKED)
            st.button(
                "Unlink", key="gitlab-unlink", on_click=_do, args=(row, part, "Parted; the issue stays as it is.")
            )
    answer = st.session_state.get(_ANSWER)
    if answer and answer["id"] == row.problem.id:
        with st.container(horizontal=True, vertical_alignment="center", key="gitlab-answer"):
            show("gitlab-said", [sheet.p(answer["said"], tone=answer["tone"])])
            if answer["back"] and status is MirrorStatus.UNLINKED:
                again = partial(_link, issue=answer["back"])
                st.button(
                    "Undo", key="gitlab-undo", on_click=_do, args=(row, again, "It is linked again at the next round.")
                )


def at_once(ids: list[str]) -> dict[str, Any]:
    """Ask for an issue for each of the problems that the queue's list names; return what to say."""
    at, asked, errors = desk(), 0, list[str]()
    wanted = set(ids)
    for row in at.rows():
        if row.problem.id in wanted:
            try:
                _open(row)
                asked += 1
            except StaleProblem:
                errors.append("it changed just now.")
            except TriageError as exc:
                errors.append(str(exc))
    if asked:
        at.nudge()
    words = [f"{many(asked, 'issue')} will be opened in GitLab at the next round."] if asked else []
    if errors:
        words.append(f"{many(len(errors), 'problem')} cannot get one: {errors[0]}")
    return {"said": " ".join(words), "undo": None, "done": bool(asked)}


def _do(row: QueueRow, act: Callable[[QueueRow], str], done: str) -> None:
    """Do what a button says; `act` returns the address of the issue that an undo links again, empty where none does."""
    said, tone, back = done, "good", ""
    try:
        back = act(row)
    except StaleProblem:
        said, tone = "It changed just now; look again.", "warn"
    except TriageError as exc:
        said, tone = str(exc), "bad"
    else:
        desk().nudge()
    st.session_state[_ANSWER] = {"id": row.problem.id, "said": said, "tone": tone, "back": back}


def _open(row: QueueRow) -> str:
    at = desk()
    linking.ask(at.service, judging(at.service, at.settings), row, who(), at.now())
    return ""


def _link(row: QueueRow, issue: str = "") -> str:
    at, named = desk(), issue or st.session_state.get(_ISSUE, "").strip()
    linking.wish(at.service, at.settings, row.problem, named, who(), at.now())
    return ""


def _unlink(row: QueueRow, was_linked: bool) -> str:
    at = desk()
    parted = linking.unlink(at.service, row.problem, who(), at.now(), "page")
    return parted.web_url if was_linked else ""
