"""People at the pages, as Streamlit's own websocket protocol has them, without a browser each.

A visitor loads a page, keeps what the server says it may keep, is drawn anew by the timers that the page sets, and clicks.
A click is timed from the request until the server says that the script is finished and all it sent is here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

PATIENCE = 60.0  # seconds for one answer; slower ones end the bench
_BROKEN = ForwardMsg.ScriptFinishedStatus.FINISHED_WITH_COMPILE_ERROR


@dataclass
class Visitor:
    """One browser tab. `clicks` holds what was timed, by what was asked for, in s; `received` is in bytes."""

    url: str  # ws://host:port
    clicks: dict[str, list[float]] = field(default_factory=dict)
    received: int = 0
    redrawn: int = 0
    _socket: ClientConnection | None = None
    _pages: dict[str, str] = field(default_factory=dict)
    _kept: set[str] = field(default_factory=set)
    _finished: asyncio.Event = field(default_factory=asyncio.Event)
    _query: str = ""
    _page: str = ""
    _timers: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def visit(self, clicks: Sequence[tuple[str, str, str]], pause: float, seconds: float, first: float) -> None:
        """Open the queue after `first` s, then do one of the clicks (name, page, query) each `pause` s for `seconds` s."""
        await asyncio.sleep(first)
        async with connect(f"{self.url}/_stcore/stream", subprotocols=["streamlit"], max_size=None) as self._socket:  # type: ignore[list-item]
            reader = asyncio.create_task(self._read())
            await self._ask("load", "queue", "")
            began = time.monotonic()
            for number in range(int(seconds / pause)):
                await asyncio.sleep(max(0.0, began + number * pause - time.monotonic()))
                await self._ask(*clicks[number % len(clicks)])
            for task in (*self._timers.values(), reader):
                task.cancel()

    async def _ask(self, name: str, page: str, query: str) -> None:
        self._query, self._page = query, self._pages.get(page, "")
        self._finished.clear()
        self._stop_timers()
        began = time.perf_counter()
        await self._rerun()
        async with asyncio.timeout(PATIENCE):
            await self._finished.wait()
        self.clicks.setdefault(name, []).append(time.perf_counter() - began)

    async def _rerun(self, fragment: str = "") -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash = self._query, self._page
        state.fragment_id, state.is_auto_rerun = fragment, bool(fragment)
        state.cached_message_hashes.extend(self._kept)
        assert self._socket is not None
        await self._socket.send(message.SerializeToString())

    async def _read(self) -> None:
        assert self._socket is not None
        async for raw in self._socket:
            self.received += len(raw)
            message = ForwardMsg.FromString(raw)  # type: ignore[arg-type]
            match message.WhichOneof("type"):
                case "navigation":
                    self._pages = {one.page_name.lower(): one.page_script_hash for one in message.navigation.app_pages}
                case "auto_rerun":
                    self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
                case "script_finished":
                    assert message.script_finished != _BROKEN
                    if message.script_finished == ForwardMsg.ScriptFinishedStatus.FINISHED_SUCCESSFULLY:
                        self._finished.set()
                    else:
                        self.redrawn += 1
            if message.metadata.cacheable:
                self._kept.add(message.hash)

    def _start_timer(self, fragment: str, interval: float) -> None:
        async def again() -> None:
            while True:
                await asyncio.sleep(interval)
                await self._rerun(fragment)

        if fragment not in self._timers:
            self._timers[fragment] = asyncio.create_task(again())

    def _stop_timers(self) -> None:
        for task in self._timers.values():
            task.cancel()
        self._timers.clear()


async def crowd(url: str, people: int, ids: Sequence[str], pause: float, seconds: float) -> list[Visitor]:
    """Let so many people look at the queue, each opening a problem or going back once each `pause` s."""
    rng = random.Random(7)
    visitors = [Visitor(url) for _ in range(people)]
    tasks = []
    for visitor in visitors:
        clicks = []
        for _ in range(int(seconds / pause / 2) + 1):
            clicks += [("problem", "problem", f"id={rng.choice(ids)}"), ("queue", "queue", "")]
        tasks.append(visitor.visit(clicks, pause, seconds, rng.uniform(0, pause)))
    await asyncio.gather(*tasks)
    return visitors
