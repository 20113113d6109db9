"""Saved searches on the page: the list of what one sees, the form for the search at hand, and what an act did, with undo."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import streamlit as st

from triage import saved
from triage.errors import TriageError
from ui.format import printable
from ui.front.components import saved_list
from ui.front.desk import desk
from ui.front.frame import guarded, who

_KEY = "saved"


def block(query: str) -> None:
    """Draw the button with the list behind it; `query` is the search at hand, empty where there is none."""
    count = len(saved.visible(desk().service, who()))
    with st.popover(f"Saved searches ({count})" if count else "Saved searches", key="saved_box"):
        st.fragment(_list)(query)


def _list(query: str) -> None:
    guarded(lambda: _draw(query))


def _draw(query: str) -> None:
    me = who()
    rows = [
        {
            "id": one.id, "name": printable(one.name), "query": printable(one.query or "*"), "href": "search?" + urlencode({"q": one.query}),
            "whose": "only you" if one.is_mine else "by you" if one.who == me else f"by {printable(one.who)}",
        }
        for one in saved.visible(desk().service, me)
    ]  # fmt: skip
    answer = st.session_state.get("saved_answer", {})
    saved_list(_KEY, {"query": query, "list": rows, **answer}, _act)


def _act() -> None:
    """Do what was asked for; what came of it is shown by the run that follows."""
    act = st.session_state[_KEY]["act"]
    try:
        answer = _done(act)
    except TriageError as exc:
        answer = {"said": str(exc), "bad": True}
    st.session_state["saved_answer"] = answer | {"seq": act.get("seq")}


def _done(act: dict[str, Any]) -> dict[str, Any]:
    service, me, now = desk().service, who(), desk().now()
    match act.get("kind"):
        case "save":
            one = saved.save(service, str(act["name"]), str(act["query"]), me, now, is_mine=bool(act.get("mine")))
            return {"said": f"Saved as {printable(one.name)}."}
        case "rename":
            one = saved.rename(service, str(act["id"]), str(act["name"]), me)
            return {"said": f"It is called {printable(one.name)} now."}
        case "delete":
            one = saved.delete(service, str(act["id"]), me)
            undo = {"name": one.name, "query": one.query, "mine": one.is_mine}
            return {"said": f"Deleted {printable(one.name)}.", "undo": undo}
    return {}
