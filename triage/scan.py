"""What a reader's eye stops at in a log, in one streaming pass: segments, verdicts, and blocks that look like errors.

Owns which lines of a log a signature may be made from. Both `logs.keep` (what is stored) and `signature.sign` (what is
judged) walk with the same `Scan`, whose memory is bounded and which depends on single lines and their successors only:
that is why signing what was kept gives what signing the whole gave. Must not judge which block is the cause.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from triage import traces
from triage.model import LogLine

BLOCKS, BLOCK_LINES, TAIL_LINES, VIEW = 24, 40, 30, 1200
_CHANNELS = 16


class Mark(Enum):
    """What Airflow itself says with a line."""

    SEGMENT = "a new start of the task"
    PAUSE = "the task paused (deferred or rescheduled)"
    FAILED = "the exception that ended the try"
    ENDED = "how the process ended"
    JOB = "the runner's summary of the failure"


@dataclass(slots=True)
class Block:
    """Consecutive lines that belong to one error: a heading and what details it. `strength` 3 is surest."""

    kind: str
    strength: int
    lines: list[LogLine] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    ended: bool = False
    after: LogLine | None = None

    def add(self, line: LogLine, text: str) -> None:
        """Append one line; of a long block the middle is dropped, the same way at every length."""
        if not self.lines or self.lines[-1] is not line:
            self.lines.append(line)
        self.texts.append(text)
        if len(self.texts) > BLOCK_LINES:
            del self.texts[4]
        if len(self.lines) > BLOCK_LINES:
            del self.lines[4]


@dataclass(slots=True)
class Segment:
    """What was found since the last start of the task."""

    start: LogLine | None = None
    failed: LogLine | None = None
    ended: LogLine | None = None
    job: LogLine | None = None
    paused: bool = False
    body: int = 0
    first: Block | None = None
    blocks: deque[Block] = field(default_factory=lambda: deque(maxlen=BLOCKS))
    before: deque[LogLine] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    @property
    def verdict(self) -> LogLine | None:
        return self.failed or self.ended or self.job


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
# Lines that every try writes, by Airflow or by its page; none of them says what failed.
_ROUTINE = re.compile(
    r"\s*$|::(?:end)?group::|Dependencies (?:all|not) met|Executing <|Started process|Running: \[|Job \d+: Subtask"
    r"|Running <TaskInstance|Exporting |AIRFLOW_CTX_|-{20,}|Marking task as|\d+ downstream tasks|Tmp dir root|Output:"
    r"|Running command|Command exited with|DAG bundles loaded|Filling up the DagBag|Retrieving connection|\*\*\* "
    r"|Using connection|Connection Retrieved|Stats instance|Loaded DAG|Worker startup parse|Task finished|Pushing xcom"
)
_MAYBE = (
    "error",
    "exception",
    "fail",
    "traceback",
    "cannot",
    "can't",
    "can’t",
    "could not",
    "couldn't",
    "unable",
    "denied",
    "not found",
    "no such",
    "refused",
    "killed",
    "fatal",
    "timed out",
    "timeout",
    "invalid",
    "forbidden",
    "unauthori",
    "abort",
    "panic",
    "memory",
    "is a directory",
    "not a ",
    "exists",
    "missing",
    "undefined",
    "unexpected",
    "unresolved",
    "oom",
    "evicted",
    "unknown",
    "reject",
    "violat",
    "illegal",
    "critical",
    "severe",
    'file "',
    "curl: (",
    "halted",
    "400 -",
    "401 -",
    "403 -",
    "404 -",
    "409 -",
    "429 -",
    "500 -",
    "502 -",
    "503 -",
    "504 -",
)
_STRONG = re.compile(
    r"(?:\S{0,80}: )?(?:fatal|error|panic|critical)\b ?[:\[(]|\[(?:error|fatal)\]|\s*(?:error|fatal) in\b"
    r"|(?:curl|wget|ssh|scp|rsync|psql|mysql|git|npm|pip|dbt|java|node|gcc|make|tar|rm|mv|cp|mkdir|ls|cat|cd|python\d?"
    r"|R|Rscript|unzip|gzip|docker|kubectl|aws|gcloud|gsutil|bq|spark-submit|perl|ruby|go|sh|bash|zsh|/\S{1,60}/\w{0,9}sh)"
    r"(?:\[\d+\])?: |.{0,300}curl: \(\d+\)|npm ERR!|E: |ORA-\d|Msg \d+, Level|SQLSTATE|[45]\d\d - \w|Killed\s*$"
    r"|(?:Database|Compilation|Runtime|Parsing|Dependency|Validation) Error\b|Failure in test"
    r"|Error: |Error in |Execution halted|.{0,200}(?:command not found|No such file or directory|Permission denied)$",
    re.I,
)
_NOISE = re.compile(
    r"(?:\d\d/\d\d/\d\d [\d:]+ )?(?:DEBUG|INFO|WARN(?:ING)?)\b|\b0 (?:errors?|failed|failures?)\b|(?:no|without) errors?\b"
    r"|retry|DeprecationWarning|FutureWarning|UserWarning|log4j|errors?=0\b|\bwarning[:s]|Finished running|Done\. PASS"
    r"|Completed with|skipping|HTTP/\d(?:\.\d)?\" ?[23]\d\d|\b(?:caught|ignored|ignoring|will retry|non-fatal)\b",
    re.I,
)
_JAVA = re.compile(
    r"(?:Exception in thread \"[^\"]{0,80}\" |Caused by: )?[a-z][\w$]*(?:\.[\w$]+)+(?:Exception|Error)\b"
)
_JAVA_MORE = re.compile(r"\s*(?:at [\w.$<>/]+\(|Caused by: |\.\.\. \d+ (?:more|common))|\s+\S")
_DETAIL = re.compile(r"\s+\S|LINE \d|DETAIL|HINT|CONTEXT|Detail:|Hint:|\^")
_DBT = re.compile(r"(?:Database|Compilation|Runtime|Parsing|Dependency|Validation) Error\b|Failure in test ")
_CLOCK = re.compile(r"(?:\[?\d{2,4}[-/:]\d\d[-/:]\d\d[T\d:.,Z+-]*\]? +){1,2}")


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


def view(text: str) -> str:
    """The part of one line's text that may speak: its beginning and its end."""
    return text if len(text) <= 2 * VIEW else text[:VIEW] + "\n" + text[-VIEW:]


def _looks_bad(low: str) -> bool:
    return any(word in low for word in _MAYBE)


def is_routine(text: str) -> bool:
    """Whether every try writes this line, failed or not."""
    return _ROUTINE.match(text) is not None


def is_noise(text: str) -> bool:
    """Whether the line says itself that it is no failure."""
    return _NOISE.search(text[:400]) is not None


def bare(text: str) -> str:
    """The text without a clock that the program wrote before it."""
    return _CLOCK.sub("", text, count=1) if text[:1].isdigit() or text[:1] == "[" else text


class Scan:
    """Walks over the lines of one log; `segment` is the one that counts so far.

    Lines of several writers stand between each other, so a block goes on in its own writer's lines alone.
    """

    def __init__(self) -> None:
        self.segment = Segment()
        self.previous: Segment | None = None
        self._open: dict[str | None, Block] = {}
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
                self.previous, self.segment = here, Segment(start=line)
            elif here.start is None:
                here.start = line
            self._open.clear()
            return found
        if found is None:
            self._read(line, here)
            return None
        self._open.clear()
        here.body += 1
        if found is Mark.PAUSE:
            here.paused = True
        elif found is Mark.FAILED and here.failed is None:
            here.failed = line
        elif found is Mark.ENDED and (here.ended is None or (line.signal and not here.ended.signal)):
            here.ended = line
        elif found is Mark.JOB and here.job is None:
            here.job = line
        return found

    def counted(self) -> Segment:
        """The segment whose failure ended the try: the last one, unless it holds nothing but its own beginning."""
        if self.previous and not self.segment.body and self.previous.verdict:
            return self.previous
        return self.segment

    @property
    def earlier(self) -> Segment | None:
        """The segment before the last one, where both are the same try: it paused, or nothing says that it ended."""
        before = self.previous
        return before if before is not None and (before.paused or before.verdict is None) else None

    def _read(self, line: LogLine, here: Segment) -> None:
        text = line.text
        routine = is_routine(text)
        if not routine:
            here.body += 1
        if here.verdict is not None:
            return
        if not routine:
            here.before.append(line)
        for part in view(text).split("\n") if "\n" in text or len(text) > 2 * VIEW else (text,):
            part = bare(part)
            block = self._open.get(line.logger)
            if block is not None and self._continues(block, part):
                block.add(line, part)
            else:
                if block is not None:
                    block.after = line
                    del self._open[line.logger]
                self._start(line, part, here)
        if line.raised:
            self._keep(Block("raised", 3, [line], [text[:VIEW]]), here)

    def _start(self, line: LogLine, part: str, here: Segment) -> None:
        if line.raised or not _looks_bad(part.lower()) or is_routine(part):
            return
        if traces.HEADING in part or traces.is_frame(part):
            kind, strength = "python", 3
        elif _DBT.match(part.strip()):
            kind, strength = "dbt", 3
        elif _JAVA.match(part):
            kind, strength = "java", 3
        elif is_noise(part):
            return
        elif traces.is_raised(part) or _STRONG.match(part.strip()):
            kind, strength = "line", 2
        else:
            kind, strength = "line", 1
        block = Block(kind, strength)
        block.add(line, part)
        self._keep(block, here)
        if len(self._open) >= _CHANNELS:
            self._open.clear()
        self._open[line.logger] = block

    def _keep(self, block: Block, here: Segment) -> None:
        if here.first is None:
            here.first = block
        here.blocks.append(block)

    @staticmethod
    def _continues(block: Block, part: str) -> bool:
        if block.kind == "java":
            return _JAVA_MORE.match(part) is not None
        if block.kind in ("line", "dbt"):
            return len(block.texts) < 6 and _DETAIL.match(part) is not None and not _DBT.match(part.strip())
        return _continues_python(block, part)


def _continues_python(block: Block, part: str) -> bool:
    """Frames, source lines (which some tools print without their indent), the exception, then links to the next."""
    if block.ended:
        if traces.is_link(part) or not part.strip():
            return True
        if traces.HEADING in part and any(traces.is_link(text) for text in block.texts[-3:]):
            block.ended = False
            return True
        return False
    if traces.HEADING in part or traces.is_frame(part) or part[:1].isspace() or not part:
        return True
    last = block.texts[-1]
    if traces.is_frame(last) and not last[:1].isspace() and not traces.is_raised(part):
        return True
    block.ended = True
    return True
