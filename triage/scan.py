"""What Airflow itself tells in a log, in one streaming pass: starts of the task, pauses, verdicts.

Owns which part of a log a signature may be made from. Both `logs.keep` (what is stored) and `signature.sign` (what is
judged) walk with the same `Scan`. What looks bad between those words is `passages`', and read when it is asked for: most
failures are told by Airflow's verdict alone. Must not judge which error is the cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice

from msgspec.structs import replace

from triage.model import LogLine
from triage.passages import TAIL_LINES, Block, Passages, is_output, is_routine
from triage.redact.ahead import Ahead


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

    `ahead` masks lines before they are read, where they come in as they were written. Of a stream (`is_stream`) each line
    is read at once and let go; else what looks bad is read when it is asked for, once all lines have come in.
    """

    start: LogLine | None = None
    failed: LogLine | None = None
    ended: LogLine | None = None
    job: LogLine | None = None
    paused: bool = False
    body: bool = False
    ahead: Callable[[Sequence[LogLine]], Ahead] | None = None
    is_stream: bool = False
    _taken: list[LogLine | None] = field(default_factory=list)  # None is where Airflow said something
    _lines: Sequence[LogLine] = ()
    _masked: list[Ahead] = field(default_factory=list)
    _passages: Passages = field(default_factory=Passages)

    @property
    def verdict(self) -> LogLine | None:
        return self.failed or self.ended or self.job

    @property
    def first(self) -> Block | None:
        return self._read().first

    @property
    def blocks(self) -> Sequence[Block]:
        return self._read().blocks

    @property
    def before(self) -> Sequence[LogLine]:
        """The last lines before the verdict, or the log's last, but for routine."""
        if self.is_stream:
            return self._passages.before
        self._read()
        last = (line for line in reversed(self._lines) if is_output(line.text))
        return [*islice(last, TAIL_LINES)][::-1]

    def take(self, line: LogLine | None) -> None:
        """Take a line to be read; None ends what is open."""
        if not self.is_stream:
            self._taken.append(line)
        elif line is None:
            self._passages.cut()
        else:
            self._passages.feed(line)

    def _read(self) -> Passages:
        """Find what looks bad, in lines that are masked only where it may be."""
        if not self._taken:
            return self._passages
        self._lines = self._ahead([line for line in self._taken if line is not None])
        at = 0
        for line in self._taken:
            if line is None:
                self._passages.cut()
                continue
            if self._passages.may_tell(line):
                self._passages.look(self._lines[at])
            at += 1
        self._taken.clear()
        return self._passages

    def mask(self) -> None:
        """Mask the verdicts."""
        if self.ahead is None:
            return
        told = [line for line in (self.failed, self.ended, self.job) if line is not None]
        if not told:
            return
        lines = self._ahead([_short(line) for line in told])
        masked = {id(line): lines[at] for at, line in enumerate(told)}
        self.failed, self.ended, self.job = (line and masked[id(line)] for line in (self.failed, self.ended, self.job))

    def masked(self) -> dict[int, LogLine]:
        """Return every line that was masked so far and came out otherwise, by its number."""
        return {number: line for some in self._masked for number, line in some.masked.items()}

    def _ahead(self, lines: Sequence[LogLine]) -> Sequence[LogLine]:
        if self.ahead is None:
            return lines
        self._masked.append(self.ahead(lines))
        return self._masked[-1]


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
_SAID = (*_START, *_PAUSED, "Task failed with exception", "Failed to execute job ", *_ENDED)
# No code at all, success, and what 2.x exits with when a task defers.
_WELL = (None, 0, 100)
_RUNNERS = frozenset({"taskinstance.py", "task", "airflow.task", "models.py", "task_runner.py"})


def mark(line: LogLine) -> Mark | None:
    """Say what Airflow itself tells with this line, or None for everything else."""
    text = line.text
    if text.startswith(_SAID):
        if text.startswith(_START):
            return Mark.SEGMENT
        if text.startswith(_PAUSED):
            return Mark.PAUSE
        if text.startswith("Task failed with exception"):
            return Mark.FAILED
        if text.startswith("Failed to execute job "):
            return Mark.JOB
        if line.exit_code is None:
            return Mark.ENDED
    if line.signal is not None or line.exit_code not in _WELL:
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
    """Walks over the lines of one log; `segment` is the one that counts so far, made like the one it begins with."""

    def __init__(self, segment: Segment | None = None) -> None:
        self.segment = segment or Segment()
        self.previous: Segment | None = None
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
                self.previous, self.segment = here, Segment(start=line, ahead=here.ahead, is_stream=here.is_stream)
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

    def masked(self) -> dict[int, LogLine]:
        """Return every line that was masked so far and came out otherwise, by its number."""
        return self.segment.masked() | (self.previous.masked() if self.previous else {})

    @property
    def earlier(self) -> Segment | None:
        """The segment before the last one, where both are the same try: it paused, or nothing says that it ended."""
        before = self.previous
        return before if before is not None and (before.paused or before.verdict is None) else None
