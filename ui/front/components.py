"""The few components of ours: queue list, log viewer, result rows, bars, facets, query box, saved searches, and the sheet of text blocks.

Registers each once, from the JS and CSS files beside this one. Data travels as bytes encoded here: a head of JSON, then
columns compressed where they are many, so that an unchanged answer costs a rerun almost nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import streamlit as st

from triage.timeline import DAY, Timeline
from ui.format import printable
from ui.front.marks import Mark
from ui.front.sheet import Block

_HERE = Path(__file__).parent
_SHARED_JS = (_HERE / "shared.js").read_text("utf-8")
_SHARED_CSS = (_HERE / "shared.css").read_text("utf-8")


def _register(name: str) -> Any:
    js, css = (_HERE / f"{name}.js").read_text("utf-8"), (_HERE / f"{name}.css").read_text("utf-8")
    return st.components.v2.component(f"airtriage.{name}", js=_SHARED_JS + js, css=_SHARED_CSS + css)


_queue, _log, _tries, _bars, _box, _sheet, _facets, _saved = (
    _register(name) for name in ("queue", "log", "tries", "bars", "box", "sheet", "facets", "saved")
)


def columns(data: dict[str, Any]) -> bytes:
    """Encode and compress what is long; level 1 is ten times as fast as the default for a fifth more bytes."""
    return zlib.compress(msgspec.json.encode(data), 1)


def _pack(head: dict[str, Any], body: bytes = b"") -> bytes:
    encoded = msgspec.json.encode(head)
    return len(encoded).to_bytes(4, "big") + encoded + body


def queue_list(key: str, head: dict[str, Any], body: bytes, on_act: Callable[[], None]) -> None:
    """Show the queue; actions arrive in `st.session_state[key]["act"]` as a list of `{seq, kind, ids}`."""
    _queue(key=key, data=_pack(head, body), on_act_change=on_act)


def log_view(key: str, head: dict[str, Any], body: bytes) -> None:
    """Show the kept lines of a log."""
    _log(key=key, data=_pack(head, body))


def tries(key: str, head: dict[str, Any], body: bytes) -> None:
    """Show failed tries as rows."""
    _tries(key=key, data=_pack(head, body))


def bars(
    key: str, counted: Timeline | None, *, narrow: str = "", word: str = "failed tries", marks: Sequence[Mark] = ()
) -> None:
    """Show counts by steps of time, with `marks` above; a bar, or a brush over several, goes to `narrow` with `{from}` and
    `{to}` filled in.
    """
    its = counted or Timeline(datetime.fromtimestamp(0, UTC), DAY, (), 0)
    values = {"start": int(its.start.timestamp()), "step": int(its.step.total_seconds()), "counts": its.counts}
    shown = [(int(one.at.timestamp()), one.shape, one.word, printable(one.says)) for one in marks]
    _bars(key=key, data=_pack({**values, "narrow": narrow, "word": word, "marks": shown}))


def facets(key: str, groups: Sequence[dict[str, Any]]) -> None:
    """Show fields with their values, counts and links: `{field, label, few, values: [[text, count, href]]}`."""
    _facets(key=key, data=_pack({"groups": list(groups)}))


def query_box(key: str, head: dict[str, Any], on_ask: Callable[[], None], on_paste: Callable[[], None]) -> None:
    """Show the box for a query; `st.session_state[key]` has `ask`, the word to be completed, or `pasted`, a log."""
    _box(key=key, data=_pack(head), on_ask_change=on_ask, on_pasted_change=on_paste)


def saved_list(key: str, head: dict[str, Any], on_act: Callable[[], None]) -> None:
    """Show saved searches; an act arrives in `st.session_state[key]["act"]` as `{seq, kind, id, name…}`."""
    _saved(key=key, data=_pack(head), on_act_change=on_act)


def sheet(key: str, blocks: Sequence[Block]) -> None:
    """Show blocks of `ui.front.sheet`."""
    _sheet(key=key, data=_pack({"blocks": list(blocks)}))
