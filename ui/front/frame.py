"""What stands round every page: how fresh we are, who asks, and one sentence when the store is away.

Stale is never silent. Nothing here decides; it shows what the service says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from triage.errors import InputError, StoreError, TriageError, WrongQuery
from triage.service import HealthView
from ui.format import freshness, printable
from ui.front import sheet
from ui.front.components import sheet as show
from ui.front.desk import desk
from ui.front.sheet import Run


def around(page: Callable[[], None]) -> None:
    """Draw the strip, then the page; what an operator can fix becomes a sentence."""
    _strip()
    guarded(page)


def guarded(draw: Callable[[], None]) -> None:
    """Draw; what an operator can fix becomes a sentence. A fragment needs its own, as it is drawn again by itself."""
    try:
        draw()
    except TriageError as exc:
        failed(exc)


def failed(exc: Exception) -> bool:
    """Say in one sentence what is wrong and what to do; True when that is known."""
    if not isinstance(exc, TriageError):
        show("failed", [sheet.p("This page could not be drawn; airtriage's own log says why. Reload it.", tone="bad")])
        return True
    what = "The store does not answer. " if isinstance(exc, StoreError) else ""
    tone = "warn" if isinstance(exc, InputError) else "bad"
    show("failed", [sheet.p(f"{what}{exc}", tone=tone)])
    return True


def told(wrong: InputError | None) -> dict[str, Any]:
    """Return what a box shows of a wrong query: the sentence, carets under the place, and how it may have been meant."""
    if not isinstance(wrong, WrongQuery):
        return {"error": str(wrong or ""), "caret": "", "better": None}
    better = {"q": wrong.better, "words": printable(wrong.better)} if wrong.better else None
    return {"error": str(wrong), "caret": printable(wrong.pointed), "better": better}


def who() -> str:
    """Name who acts: the trusted header a proxy sets, if one is configured, else `someone`."""
    header = desk().settings.web.user_header
    return (header and st.context.headers.get(header)) or "someone"


@st.fragment(run_every=15)
def _strip() -> None:
    try:
        views = desk().health()
    except StoreError:
        return  # the page says it
    with st.container(key="fresh"):
        show("strip", [sheet.p(*_short(views), tone="right")])
    stale = [view for view in views if view.is_stale(desk().now())]
    if stale:
        lines = [freshness(view, desk().now()).rstrip(".") for view in stale]
        show(
            "stale",
            [
                sheet.p(
                    ("What you see is old. " if len(stale) == len(views) else "Part of what you see is old. ")
                    + "; ".join(lines)
                    + ". ",
                    sheet.link("Health says more", "health"),
                    tone="warn",
                )
            ],
        )


def _short(views: list[HealthView]) -> list[Run]:
    now = desk().now()
    runs: list[Run] = []
    for view in views[:3]:
        name = view.health.deployment
        runs += [" · "] if runs else []
        runs += [
            sheet.dot("warn" if view.is_stale(now) else "good", name),
            " ",
            sheet.when(view.health.succeeded_at, "not read yet"),
        ]
    return [*runs, f" and {len(views) - 3} more"] if len(views) > 3 else runs
