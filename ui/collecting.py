"""`airtriage collect`: a pass over each of several deployments, side by side, and how far each is.

Owns the threads (one a deployment, so that one that hangs delays no other), the progress shown, and waiting for a pass
of another process. The passes are the collector's.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence

from rich.progress import Progress, TaskID

from collector.report import Report
from collector.tasks import Collector, now
from ui.format import many, missed

_SHOW_EVERY = 0.25  # seconds between two looks at the store for the display
Ended = Report | BaseException


def collect(collector: Collector, names: Sequence[str], bar: Progress, *, again: bool) -> Iterator[Report]:
    """Make the passes and yield each one's report as it ends; raises what a pass raised once all have ended."""
    ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
    collector.service  # noqa: B018 -- opened here, not by several threads at once
    for name in names:
        line = bar.add_task(f"{name}: listing", total=None)
        threading.Thread(target=_one, args=(collector, name, bar, line, again, ended), daemon=True).start()
    broken: list[BaseException] = []
    try:
        for _ in names:
            what = ended.get()
            if isinstance(what, BaseException):
                broken.append(what)
            else:
                yield what
    except KeyboardInterrupt:
        # Threads that wait for a server cannot be told to stop, and need not be: a pass may be killed anywhere.
        bar.stop()
        os._exit(130)
    if broken:
        raise broken[0]


def _one(
    collector: Collector, name: str, bar: Progress, line: TaskID, again: bool, ended: queue.SimpleQueue[Ended]
) -> None:
    shown = 0.0

    def show(report: Report) -> None:
        nonlocal shown
        if bar.disable or time.monotonic() - shown < _SHOW_EVERY:
            return
        shown = time.monotonic()
        parts = [part for part in collector.service.missed(name) if part.is_open]
        due = collector.service.store.backlog(name, now()).due
        said = [f"{name}: {many(report.new, 'new failed try', 'new failed tries')}"]
        bar.update(
            line,
            description=" ".join([*said, *(missed(part, now()) for part in parts)]),
            completed=report.fetched,
            total=report.fetched + due,
        )

    try:
        while (report := collector.run(name, progress=show, again=again)).skipped:
            bar.update(line, description=f"{name}: another pass is under way, waiting for it")
            time.sleep(0.5)
        bar.update(line, description=f"{name}: done", completed=report.fetched, total=report.fetched)
        ended.put(report)
    except BaseException as exc:
        ended.put(exc)
