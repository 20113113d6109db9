"""The few components of ours: queue list, log viewer, result rows, bars, query box, and the sheet of text blocks.

Registers each once, from the JS and CSS files beside this one. Data travels as bytes encoded here: a head of JSON, then
columns compressed where they are many, so that an unchanged answer costs a rerun almost nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import streamlit as st

from ui.front.sheet import Block

_HERE = Path(__file__).parent
_SHARED_JS = (_HERE / "shared.js").read_text("utf-8")
_SHARED_CSS = (_HERE / "shared.css").read_text("utf-8")


def _register(name: str) -> Any:
    js, css = (_HERE / f"{name}.js").read_text("utf-8"), (_HERE / f"{name}.css").read_text("utf-8")
    return st.components.v2.component(f"airtriage.{name}", js=_SHARED_JS + js, css=_SHARED_CSS + css)


_queue, _log, _tries, _bars, _box, _sheet = (
    _register(name) for name in ("queue", "log", "tries", "bars", "box", "sheet")
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


def bars(key: str, days: dict[datetime, int], *, narrow: str = "", word: str = "failed tries") -> None:
    """Show counts by day; a brush over them goes to `narrow` with `{from}` and `{to}` filled in."""
    _bars(
        key=key,
        data=_pack(
            {
                "days": [(start.date().isoformat(), count) for start, count in days.items()],
                "narrow": narrow,
                "word": word,
            }
        ),
    )


def query_box(key: str, head: dict[str, Any]) -> None:
    """Show the box for a query, completion and examples under it."""
    _box(key=key, data=_pack(head))


def sheet(key: str, blocks: Sequence[Block]) -> None:
    """Show blocks of `ui.front.sheet`."""
    _sheet(key=key, data=_pack({"blocks": list(blocks)}))
