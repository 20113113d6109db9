"""What looks bad in the part of a log that belongs to one start of the task: blocks of lines, and what stood before.

Owns what a reader's eye stops at, how a block goes on, and how surely it tells an error. Memory is bounded, and what is
found depends on single lines and their successors only: that is why signing what was kept gives what signing the whole
gave. Must not judge which block is the cause.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from triage import traces
from triage.model import LogLine

BLOCKS, BLOCK_LINES, TAIL_LINES, VIEW = 24, 40, 30, 1200
_CHANNELS = 16

# Lines that every try writes, by Airflow or by its page; none of them says what failed.
_ROUTINE = re.compile(
    r"\s*$|::(?:end)?group::|Dependencies (?:all|not) met|Executing <|Started process|Running: \[|Job \d+: Subtask"
    r"|Running <TaskInstance|Exporting |AIRFLOW_CTX_|-{20,}|Marking task as|\d+ downstream tasks|Tmp dir root|Output:"
    r"|Running command|Command exited with|DAG bundles loaded|Filling up the DagBag|Retrieving connection|\*\*\* "
    r"|Using connection|Connection Retrieved|Stats instance|Loaded DAG|Worker startup parse|Task finished|Pushing xcom"
)
_BAD = re.compile(
    r"error|exception|fail|traceback|cannot|can't|can’t|could not|couldn't|unable|denied|not found|no such"
    r"|refused|killed|fatal|timed out|timeout|invalid|forbidden|unauthori|abort|panic|memory"
    r"|is a directory|not a |exists|missing|undefined|unexpected|unresolved|oom|evicted|unknown|reject"
    r"|violat|illegal|critical|severe|file \"|curl: \(|halted|400 -|401 -|403 -|404 -|409 -|429 -|500 -"
    r"|502 -|503 -|504 -"
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


def view(text: str) -> str:
    """The part of one line's text that may speak: its beginning and its end."""
    return text if len(text) <= 2 * VIEW else text[:VIEW] + "\n" + text[-VIEW:]


def is_routine(text: str) -> bool:
    """Whether every try writes this line, failed or not."""
    return _ROUTINE.match(text) is not None


def is_noise(text: str) -> bool:
    """Whether the line says itself that it is no failure."""
    return _NOISE.search(text[:400]) is not None


def bare(text: str) -> str:
    """The text without a clock that the program wrote before it."""
    return _CLOCK.sub("", text, count=1) if text[:1].isdigit() or text[:1] == "[" else text


@dataclass(slots=True)
class Passages:
    """The blocks of one start of the task, the `first` and the last ones, and its last lines `before` its verdict.

    Lines of several writers stand between each other, so a block goes on in its own writer's lines alone.
    """

    first: Block | None = None
    blocks: deque[Block] = field(default_factory=lambda: deque(maxlen=BLOCKS))
    before: deque[LogLine] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    _open: dict[str | None, Block] = field(default_factory=dict)

    def cut(self) -> None:
        """End every open block: Airflow itself said something."""
        self._open.clear()

    def feed(self, line: LogLine) -> None:
        """Take the next line that is not Airflow's own word."""
        text = line.text
        if not is_routine(text):
            self.before.append(line)
        for part in view(text).split("\n") if "\n" in text or len(text) > 2 * VIEW else (text,):
            part = bare(part)
            block = self._open.get(line.logger) if self._open else None
            if block is not None and _continues(block, part):
                block.add(line, part)
                continue
            if block is not None:
                block.after = line
                del self._open[line.logger]
            if not line.raised and _BAD.search(part.lower()):
                self._start(line, part)
        if line.raised:
            self._keep(Block("raised", 3, [line], [text[:VIEW]]))

    def _start(self, line: LogLine, part: str) -> None:
        if is_routine(part):
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
        self._keep(block)
        if len(self._open) >= _CHANNELS:
            self._open.clear()
        self._open[line.logger] = block

    def _keep(self, block: Block) -> None:
        if self.first is None:
            self.first = block
        self.blocks.append(block)


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
