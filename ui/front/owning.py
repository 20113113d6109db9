"""Owners on the pages: who owns a problem and who says so, the form to assign it, assignments of many at once.

Owns what is offered to choose from, and how an assignment is undone: each problem gets back whom a person had named before,
unless somebody else assigned it since.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import streamlit as st

from triage.errors import TriageError
from triage.owners import NOBODY
from triage.queue import QueueRow
from triage.records import Problem
from ui.format import many, one_line
from ui.front import sheet
from ui.front.components import sheet as show
from ui.front.desk import Desk, desk
from ui.front.frame import who

_OFFERED = 200  # names at most, those of settings and CODEOWNERS first
_ANSWER, _CHOICE = "owner_answer", "owner_choice"


class Back(NamedTuple):
    """The way back from an assignment, by problem: whom each was assigned to before, and whom it is to be given to still."""

    owners: dict[str, str]
    given: dict[str, str]


def names(row: QueueRow) -> str:
    """Return the first owner of a row, and how many more there are."""
    shown = row.owned.names
    return one_line(shown[0], 60) + (f" +{len(shown) - 1}" if len(shown) > 1 else "") if shown else ""


def said(row: QueueRow) -> str:
    """Say whose a row is, and who says so."""
    return one_line(f"{row.owner}, {row.owned.why}") if row.owner else ""


def known(at: Desk) -> list[str]:
    """Return the names that can be chosen: of rules and CODEOWNERS, then of whoever owns a problem by now."""
    rows, owning = at.rows(), at.service.picture.owning(at.now())

    def find() -> list[str]:
        theirs = sorted({name for row in rows for name in row.owned.names}, key=str.casefold)
        return list(dict.fromkeys([*owning.known(), *theirs]))[:_OFFERED]

    return at.remembered("owners", (rows, owning), find)


def assign(owners: Mapping[str, str], given: Mapping[str, str]) -> tuple[Back, list[str]]:
    """Assign problems by their ids, where they are assigned as `given` says; return the way back, and what went wrong."""
    at, back, errors = desk(), Back({}, {}), list[str]()
    for id, owner in owners.items():
        try:
            was = at.service.find(id).owner
            now = at.service.assign(id, owner, who(), at.now(), origin="page", given=given.get(id, was))
            back.owners[id], back.given[id] = was or NOBODY, now.owner
        except TriageError as exc:
            errors.append(str(exc))
    return back, errors


def carry_out(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what the queue's list asked for: `to` for all `ids`, or as `owners` says; return what to say, and the undo."""
    to = str(request.get("to", ""))
    back, errors = assign(request.get("owners") or dict.fromkeys(request["ids"], to), request.get("given", {}))
    told = f"Assigned {many(len(back.owners), 'problem')}" + (f" to {one_line(to, 60)}." if to else " as before.")
    words = [told] if back.owners else []
    if errors:
        words.append(f"{many(len(errors), 'problem')} could not be assigned: {errors[0]}")
    how = {"owners": back.owners, "given": back.given}
    undo = {"kind": "assign", "ids": list(back.owners), "how": how} if back.owners else None
    return {"said": " ".join(words), "undo": undo}


def block(row: QueueRow) -> None:
    """Draw who owns a problem, why, and the way to assign it."""
    problem = row.problem
    told = (
        [sheet.strong(row.owner), f", {row.owned.why}."] if row.owner else [sheet.quiet("Nobody is known to own it.")]
    )
    with st.container(key="owner"):
        with st.container(horizontal=True, vertical_alignment="bottom", key="owner_row"):
            show("owned", [sheet.label("Owner"), sheet.p(*told)])
            with st.popover("Assign", key="assign"):
                _form(problem)
        answer = st.session_state.get(_ANSWER)
        if answer and answer["id"] == problem.id:
            with st.container(horizontal=True, vertical_alignment="center", key="owner_answer_row"):
                show("owner_said", [sheet.p(answer["said"], tone=answer["tone"])])
                if answer["back"]:
                    st.button(
                        "Undo", key="owner_undo", on_click=_do, args=(problem.id, answer["back"], answer["given"])
                    )


def _form(problem: Problem) -> None:
    offered = [name for name in known(desk()) if name != problem.owner]
    st.selectbox(
        "Owner", [*([NOBODY] if problem.owner else []), *offered], index=None, key=_CHOICE, accept_new_options=True,
        placeholder="A name, or @team", label_visibility="collapsed",
    )  # fmt: skip
    st.button("Assign", key="assign_it", type="primary", on_click=_chosen, args=(problem.id,))


def _chosen(id: str) -> None:
    if name := st.session_state.get(_CHOICE):
        _do(id, str(name))


def _do(id: str, name: str, given: str | None = None) -> None:
    """Assign a problem; with whom it was `given` to, this is the undo of that."""
    back, errors = assign({id: name}, {} if given is None else {id: given})
    done = "Nobody is assigned any more." if name == NOBODY else f"Assigned to {one_line(name, 60)}."
    st.session_state[_ANSWER] = {
        "id": id, "said": errors[0] if errors else done, "tone": "bad" if errors else "good",
        "back": "" if errors or given is not None else back.owners[id], "given": back.given.get(id, ""),
    }  # fmt: skip


def grows(row: QueueRow) -> float:
    """Return how many times its former level a row is at, 0 where it does not grow."""
    return round(row.growth.times, 1) if row.growth else 0
