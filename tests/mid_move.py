"""A process that merges or splits in copies of a store, each killed before another one of its writes.

`python -m tests.mid_move STORE FOLDER DOING`: leaves `0.db`, `1.db`… in FOLDER, killed before that many writes; the last
one was not killed. It has one thread, so that it may fork.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.store_contract import NOW
from triage import merging
from triage.merging import Person
from triage.records import MoveKind, mark, problem_id
from triage.service import Service
from triage.store import open_store

ANN = Person("ann", "one cause")
LATER = NOW + timedelta(hours=1)


class Killed:
    """A store whose process is killed before the write `after` so many others."""

    def __init__(self, store: Any, after: int) -> None:
        self._store, self._left = store, after

    def __getattr__(self, name: str) -> Any:
        if name in ("save", "rewrite", "put", "summarise", "clear"):
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1
        return getattr(self._store, name)


A, B, C = (problem_id("prod", print_) for print_ in ("1:aa", "1:bb", "1:cc"))
PART = problem_id("prod", f"1:bb/{mark('orders', '')}")
DOING: dict[str, Callable[[Service], object]] = {
    "merge": lambda its: merging.merge(its, [A, C], ANN, LATER, B),
    "part": lambda its: merging.undo(its, MoveKind.MERGE, A, ANN, LATER),
    "split": lambda its: merging.split(its, B, ANN, LATER, dag="orders"),
    "take": lambda its: merging.split(its, B, ANN, LATER, fingerprint="1:aa"),
    "join": lambda its: merging.undo(its, MoveKind.SPLIT, PART, ANN, LATER),
}


if __name__ == "__main__":
    source, folder, doing = sys.argv[1:]
    writes = 0
    while True:
        copy = Path(folder) / f"{writes}.db"
        shutil.copy(source, copy)
        child = os.fork()
        if child == 0:
            DOING[doing](Service(Killed(open_store(f"sqlite:///{copy}"), writes)))  # type: ignore[arg-type]
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            sys.exit(os.WEXITSTATUS(status))
        assert os.WTERMSIG(status) == signal.SIGKILL
        writes += 1
