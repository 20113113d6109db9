"""What Airflow itself tells in a log, in one streaming pass: starts of the task, pauses, verdicts.

Owns which part of a log a signature may be made from. Both `logs.keep` (what is stored) and `signature.sign` (what is
judged) walk with the same `Scan`. What looks bad between those words is `passages`', and read when it is asked for: most
failures are told by Airflow's verdict alone. Must not judge which error is the cause.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from msgspec.structs import replace

from triage.model import LogLine
from triage.passages import Block, Passages, is_routine

Redact = Callable[[Iterable[LogLine]], list[LogLine]]


class Mark(Enum):
    """What Airflow itself says with a line."""

    SEGMENT = "a new start of the task"
    PAUSE = "the task paused (deferred or rescheduled)"
    FAILED = "the exception that ended the try"
    ENDED = "how the process ended"
    JOB = "the runner's summary of the failure"


@dataclass(slots=True)
class Segment:
    """What was found since the last start of the task; `body` says that it is more than routine.

    `redact` masks lines before they are read; those it masked stand in `masked` by their number.
    """

    start: LogLine | None = None
    failed: LogLine | None = None
    ended: LogLine | None = None
    job: LogLine | None = None
    paused: bool = False
    body: bool = False
    redact: Redact | None = None
    masked: dict[int, LogLine] = field(default_factory=dict)
    _unread: list[LogLine | None] = field(default_factory=list)  # None is where Airflow said something
    _passages: Passages = field(default_factory=Passages)

    @property
    def verdict(self) -> LogLine | None:
        return self.failed or self.ended or self.job

    @property
    def first(self) -> Block | None:
        return self.read().first

    @property
    def blocks(self) -> deque[Block]:
        return self.read().blocks

    @property
    def before(self) -> deque[LogLine]:
        return self.read().before

    def take(self, line: LogLine | None) -> None:
        """Take a line to be read when it is asked for; None ends what is open."""
        self._unread.append(line)

    def read(self) -> Passages:
        """Return what looks bad so far."""
        if not self._unread:
            return self._passages
        masked = self._masked([line for line in self._unread if line is not None])
        for line in self._unread:
            if line is None:
                self._passages.cut()
            else:
                self._passages.feed(next(masked))
        self._unread.clear()
        return self._passages

    def mask(self) -> None:
        """Redact the verdicts, where lines come in as they were written."""
        if self.redact is None:
            return
        told = [_short(line) for line in (self.failed, self.ended, self.job) if line is not None]
        masked = {line.number: line for line in self._masked(told)}
        self.failed, self.ended, self.job = (
            masked[line.number] if line is not None else None for line in (self.failed, self.ended, self.job)
        )

    def _masked(self, lines: list[LogLine]) -> Iterator[LogLine]:
        if self.redact is not None and lines:
            lines = self.redact(lines)
            self.masked |= {line.number: line for line in lines}
        return iter(lines)


def _short(line: LogLine) -> LogLine:
    """Leave the text of a traceback out: it is read as the exceptions that it tells."""
    return replace(line, text=line.text.partition("\n")[0]) if line.raised and "\n" in line.text else line


_START = ("::group::Pre Execute", "::group::Pre task execution logs", "Starting attempt ")
_PAUSED = ("Pausing task as DEFERRED", "Rescheduling task")
_AFTER = re.compile(r"callback|notif|e-?mail|on_failure|on_retry|listener", re.I)
_ENDED = (
    "Task exited", "Process timed out", "Process exited abnormally", "Process terminated by signal",
    "Received SIGTERM. Terminating", "Task received SIGTERM", "State of this instance has been externally set",
    "Detected zombie job", "Task is not able to be run", "Server indicated the task shouldn't be running anymore",
    "Dag not found during start up", "DAG not found during start up", "Task not found in Dag during start up",
    "Task not found in DAG during start up",
)  # fmt: skip
# No code at all, success, and what 2.x exits with when a task defers.
_WELL = (None, 0, 100)
_RUNNERS = frozenset({"taskinstance.py", "task", "airflow.task", "models.py", "task_runner.py"})


def mark(line: LogLine) -> Mark | None:
    """Say what Airflow itself tells with this line, or None for everything else."""
    text = line.text
    if text.startswith(_START):
        return Mark.SEGMENT
    if text.startswith(_PAUSED):
        return Mark.PAUSE
    if text.startswith("Task failed with exception"):
        return Mark.FAILED
    if text.startswith("Failed to execute job "):
        return Mark.JOB
    if line.signal is not None or line.exit_code not in _WELL or (line.exit_code is None and text.startswith(_ENDED)):
        return Mark.ENDED
    if (
        line.raised
        and line.level in ("error", "critical")
        and line.logger in _RUNNERS
        and not _AFTER.search(text[:200])
    ):
        return Mark.FAILED
    return None


class Scan:
    """Walks over the lines of one log; `segment` is the one that counts so far.

    `is_stream`: lines are read at once and let go, for logs of any length; else when what looks bad is asked for.
    `redact` masks what is read of lines that come in as they were written.
    """

    def __init__(self, *, is_stream: bool = False, redact: Redact | None = None) -> None:
        self.segment = Segment(redact=redact)
        self.previous: Segment | None = None
        self._is_stream = is_stream
        self._in_header = False

    def feed(self, line: LogLine) -> Mark | None:
        """Take the next line and return what Airflow says with it."""
        if self._in_header or line.text.startswith("::group::Log message source details"):
            self._in_header = "::endgroup::" not in line.text
            return None
        found = mark(line)
        here = self.segment
        if found is Mark.SEGMENT:
            if here.body:
                self.previous, self.segment = here, Segment(start=line, redact=here.redact)
            elif here.start is None:
                here.start = line
            here.take(None)
            return found
        if found is None:
            here.body = here.body or not is_routine(line.text)
            if here.verdict is None:
                here.take(line)
        else:
            here.take(None)
            self._note(found, line, here)
        if self._is_stream:
            here.read()
        return found

    @staticmethod
    def _note(found: Mark, line: LogLine, here: Segment) -> None:
        here.body = True
        if found is Mark.PAUSE:
            here.paused = True
        elif found is Mark.FAILED and here.failed is None:
            here.failed = line
        elif found is Mark.ENDED and (here.ended is None or (line.signal and not here.ended.signal)):
            here.ended = line
        elif found is Mark.JOB and here.job is None:
            here.job = line

    def counted(self) -> Segment:
        """The segment whose failure ended the try: the last one, unless it holds nothing but its own beginning."""
        is_earlier = self.previous is not None and not self.segment.body and self.previous.verdict is not None
        counted = self.previous if self.previous is not None and is_earlier else self.segment
        counted.mask()
        return counted

    @property
    def earlier(self) -> Segment | None:
        """The segment before the last one, where both are the same try: it paused, or nothing says that it ended."""
        before = self.previous
        return before if before is not None and (before.paused or before.verdict is None) else None
