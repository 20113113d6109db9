"""What looks bad in the part of a log that belongs to one start of the task: blocks of lines, and what stood before.

Owns what a reader's eye stops at, how a block goes on, and how surely it tells an error. Memory is bounded, and what is
found depends on single lines and their successors only: that is why signing what was kept gives what signing the whole
gave. Must not judge which block is the cause.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from ahocorasick_rs import AhoCorasick, Implementation

from triage import traces
from triage.hinted import Hinted
from triage.model import LogLine
from triage.remembered import remembered

BLOCKS, BLOCK_LINES, TAIL_LINES, VIEW = 24, 40, 30, 1200
_CHANNELS = 16
_SHORT = 500  # characters of a line of which is remembered what it tells

# Lines that every try writes, by Airflow or by its page; none of them says what failed.
_ROUTINE = re.compile(
    r"\s*$|::(?:end)?group::|Dependencies (?:all|not) met|Executing <|Started process|Running: \[|Job \d+: Subtask"
    r"|Running <TaskInstance|Exporting |AIRFLOW_CTX_|-{20,}|Marking task as|\d+ downstream tasks|Tmp dir root|Temporary script location|Output:"
    r"|Running command|Command exited with|DAG bundles loaded|Filling up the DagBag|Retrieving connection|\*\*\* "
    r"|Using connection|Connection Retrieved|Stats instance|Loaded DAG|Worker startup parse|Task finished|Pushing xcom"
    # the managers of pods and containers of the providers for Kubernetes and Docker
    r"|Building pod |Creating pod |Found matching pod|Pod not yet started|Pod \S{1,253} (?:has phase|returned a failure\.?$)"
    r"|(?:Skipping d|D)eleting pod|Waiting for container |Starting docker container|Pulling docker image"
    r"|\s{0,3}\d{1,3}: 0x[0-9a-f]{4,16} "  # a frame of a native stack, as V8 prints it
)
# One pass over a text for all of these words, ten times as fast as an alternation.
_WORDS = (
    "error", "exception", "fail", "traceback", "cannot", "can't", "can’t", "could not", "couldn't", "unable",
    "denied", "not found", "no such", "refused", "killed", "fatal", "timed out", "timeout", "invalid", "forbidden",
    "unauthori", "abort", "panic", "memory", "is a directory", "not a ", "exists", "missing", "undefined",
    "unexpected", "unresolved", "oom", "evicted", "unknown", "reject", "violat", "illegal", "critical", "severe",
    'file "', "curl: (", "halted", "400 -", "401 -", "403 -", "404 -", "409 -", "429 -", "500 -", "502 -", "503 -",
    "504 -", "unbound", "terminate called", "npm err!", "not in gzip format", "*** no ", "segmentation",
)  # fmt: skip
_BAD = AhoCorasick(_WORDS, implementation=Implementation.DFA)
# What else makes a line look bad: Perl's own form, and what stands in an object of JSON. A mask may be what "*** " is.
_MAY_BE_BAD = AhoCorasick(
    [*(word.removeprefix("***") for word in _WORDS), " line ", '{"'], implementation=Implementation.DFA
)
_PERL = re.compile(r" line \d{1,9}\.$")
_STRONG = re.compile(
    r"(?:\S{0,80}: )?(?:fatal|error|panic|critical)\b ?[:\[(]|\[(?:error|fatal)\]|\s*(?:error|fatal) in\b"
    r"|(?:curl|wget|ssh|scp|rsync|psql|mysql|git|npm|pip|dbt|java|node|gcc|make|tar|rm|mv|cp|mkdir|ls|cat|cd|python\d?"
    r"|R|Rscript|unzip|gzip|docker|kubectl|aws|gcloud|gsutil|bq|spark-submit|perl|ruby|go|g?awk|mawk|sed|sort|jq|grep|find"
    r"|xargs|split|chmod|chown|touch|ln|zip|bzip2|xz|zstd|pg_dump|pg_restore|sqlite3|mysqldump|sftp|rclone|helm|terraform|az"
    r"|php|yarn|cargo|javac|mvn|cmake|ld|g\+\+|clang|sh|bash|zsh|/\S{1,60}/\w{0,9}sh)"
    r"(?:\[\d+\])?: |.{0,300}curl: \(\d+\)|npm ERR!|E: |ORA-\d|Msg \d+, Level|SQLSTATE|[45]\d\d - \w|Killed\s*$"
    r"|(?:Database|Compilation|Runtime|Parsing|Dependency|Validation) Error\b|Failure in test"
    r"|Error: |Error in |Execution halted|.{0,200}(?:command not found|No such file or directory|Permission denied)$"
    r"|terminate called after throwing|thread '.{1,80}' panicked at|Unhandled exception[.:] "
    r"|(?:\[[\w.\-]{1,60}\] )?(?:- [\w.]{1,80} - )?(?-i:ERROR|FATAL|CRITICAL|SEVERE)\b"
    r"|PHP (?:fatal|parse) error:|parse error:|[\w./\-]{1,200}\.[a-z]\w{0,5}:\d{1,6}(?::\d{1,6})?:(?: |in )"  # GNU's form: file, line, column
    r"|.{0,300}\bundefined reference to |.{1,400} at \S{1,300} line \d{1,9}\.$|.{0,200}: unbound variable$",
    re.I,
)
# What a program says after it has said what failed: it counts only where nothing else does.
_FOLLOW_UP = re.compile(
    r"tar: (?:Error is not recoverable|Child returned|Exiting with failure)|collect2: error: ld returned|Execution halted"
    r"|make(?:\[\d+\])?: \*\*\* \[.{1,300}\] Error \d|npm ERR! (?:A complete log|errno|code|path|Exit status|Failed at|This is probably|Additional log|    )|BEGIN failed--compil|Aborted \(core|error: Recipe |Calls: "
    r"|rsync error: |(?:\S{0,100}/)?(?:docker|podman): .{0,80}See '|warning: "
)
_PYTEST = re.compile(r"(?:FAILED|ERROR) \S{1,300}\.py(?:::|$| - )")
_NOISE = Hinted(
    r"(?:\d\d/\d\d/\d\d [\d:]+ )?(?:DEBUG|INFO|WARN(?:ING)?)\b|\b0 (?:errors?|failed|failures?)\b|(?:no|without) errors?\b"
    r"|retry|DeprecationWarning|FutureWarning|UserWarning|log4j|errors?=0\b|\bwarning[:s]|Finished running|Done\. PASS"
    r"|Completed with|skipping|HTTP/\d(?:\.\d)?\" ?[23]\d\d|\b(?:caught|ignored|ignoring|will retry|non-fatal)\b",
    re.I,
    ("debug", "info", "warn", "0 error", "0 fail", "no error", "without error", "retry", "log4j", "error=0", "errors=0",
     "finished running", "done. pass", "completed with", "skipping", "http/", "caught", "ignored", "ignoring", "non-fatal"),
)  # fmt: skip
_JAVA = re.compile(
    r"(?:Exception in thread \"[^\"]{0,80}\" |Caused by: )?[a-z][\w$]*(?:\.[\w$]+)+(?:Exception|Error)\b"
)
_JAVA_MORE = re.compile(r"\s*(?:at [\w.$<>/]+\(|Caused by: |\.\.\. \d+ (?:more|common))|\s+\S")
_DETAIL = re.compile(r"\s+\S|LINE \d|DETAIL|HINT|CONTEXT|Detail:|Hint:|\^")
_DBT = re.compile(r"(?:Database|Compilation|Runtime|Parsing|Dependency|Validation) Error\b|Failure in test ")
_CLOCK = re.compile(r"(?:\[?\d{2,4}[-/:]\d\d[-/:]\d\d[T\d:.,Z+-]*\]? {1,2}){1,2}")
# What another program put before a line when it passed it on: pod and container (kubectl logs --prefix), compose's service
# with its number, a container runtime's clock and stream.
_PASSED_ON = re.compile(
    r"\[pod/[\w.\-]{1,253}/[\w.\-]{1,63}\] |[\w.\-]{1,80}[-_]\d{1,4} {0,20}\|(?: |$)|\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:\d\d) (?:stdout|stderr) [FP] "
)
# The container's name, as the Kubernetes provider logs it; other programs write what they work on in the same form.
_TAG = re.compile(
    r"\[(?!(?:trace|debug|info|notice|warn(?:ing)?|err(?:or)?|fatal|critical)\])[a-z0-9](?:[a-z0-9.\-]{0,61}[a-z0-9])?\] "
)
_LAYERS = 3
_PINO = {10: "DEBUG", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL"}
_HARMLESS = frozenset({"TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING"})
# What goes on below a panic of Go: the goroutine, its calls and their files.
_GO_MORE = re.compile(
    r"\s*$|\[signal |goroutine \d|[\w./*()\-]{1,300}\(.{0,400}\)$|\s{1,8}\S{1,300}:\d|panic: |created by "
)
# How many lines of others may stand within one writer's traceback.
_FOREIGN = 20
_TOLD = re.compile(r"[A-Za-z_][\w.<>]{0,200}(?::(?: |$)|$)")


@dataclass(slots=True)
class Block:
    """Consecutive lines that belong to one error: a heading and what details it. `strength` 3 is surest."""

    kind: str
    strength: int
    lines: list[LogLine] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    between: list[LogLine] = field(default_factory=list)
    ended: bool = False
    rest: int = 0
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


def looks_bad(text: str) -> bool:
    """Whether a reader's eye would stop here."""
    return bool(_BAD.find_matches_as_indexes(text.lower())) or (text[-1:] == "." and _PERL.search(text) is not None)


@remembered(8192, _SHORT)
def _may_look_bad(text: str) -> bool:
    """Whether some part of this text, or of what it is once redacted, may look bad."""
    return bool(_MAY_BE_BAD.find_matches_as_indexes(text.lower()))


def is_output(text: str) -> bool:
    """Whether a line belongs to the last words of what ran."""
    return not is_routine(text) or text.startswith("Command exited with")


def is_noise(text: str) -> bool:
    """Whether the line says itself that it is no failure."""
    return _NOISE.search(text[:400]) is not None


def bare(text: str) -> str:
    """The text without what another program, or a clock, put before it."""
    begin = text[:1]
    if begin == "[" or begin.isdigit() or "|" in text[:104]:
        for _ in range(_LAYERS):
            passed = _PASSED_ON.match(text)
            if passed is None:
                break
            text = text[passed.end() :]
        return _CLOCK.sub("", text, count=1)
    return text


def structured(text: str) -> str:
    """What a line says that a program wrote as a JSON object (zap, zerolog, bunyan, pino, structlog): level, words, error."""
    if text[:2] != '{"' or text[-1:] != "}":
        return text
    try:
        record = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
    words = [_words(record, names) for names in (("msg", "message", "event"), ("error", "err", "exception"))]
    if not any(words):
        return text
    level = record.get("level", record.get("severity"))
    name = _PINO.get(level, "") if type(level) is int else str(level or "").upper()[:20]
    said = ": ".join(word for word in words if word)
    return f"{name} {said}" if name in _HARMLESS else f"{name}: {said}" if name else said


def _words(record: dict[str, Any], names: Sequence[str]) -> str:
    for name in names:
        found = record.get(name)
        found = found.get("message") if isinstance(found, dict) else found
        if isinstance(found, str) and found.strip():
            return found.strip().split("\n")[-1]
    return ""


def untagged(text: str) -> str:
    """The text without a name in brackets before it, which may be the container's."""
    if text[:1] == "[" and (tag := _TAG.match(text)):
        return bare(text[tag.end() :])
    return text


def spoken(line: LogLine) -> str:
    """What a program itself said with a line: of a pod's, without the container's name."""
    text = bare(line.text)
    return untagged(text) if _is_pod(line) else text


def _is_pod(line: LogLine) -> bool:
    return "pod" in (line.logger or "").lower()


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
        if is_output(line.text):
            self.before.append(line)
        if self.may_tell(line):
            self.look(line)

    def may_tell(self, line: LogLine) -> bool:
        """Say whether `look` could find anything, given what is open; a line says so before it is redacted too."""
        return bool(self._open or line.raised or _may_look_bad(line.text))

    def look(self, line: LogLine) -> None:
        """Look at a line that may tell."""
        text = line.text
        for part in view(text).split("\n") if "\n" in text or len(text) > 2 * VIEW else (text,):
            whole = structured(bare(part))
            part = untagged(whole)
            block = self._open.get(line.logger) if self._open else None
            if block is not None and _continues(block, line, part):
                block.add(line, part)
                continue
            if block is not None and _is_foreign(block, part):
                block.between.append(line)
                continue
            if block is not None:
                block.after = line
                del self._open[line.logger]
            if not line.raised and (kind := _begins(part)):
                self._start(line, part, whole, *kind)
        if line.raised:
            self._keep(Block("raised", 3, [line], [text[:VIEW]]))

    def _start(self, line: LogLine, part: str, whole: str, kind: str, strength: int) -> None:
        """Begin a block; `whole` still has the name in brackets, which may be what tells two plain lines apart."""
        block = Block(kind, strength)
        block.add(line, whole if strength == 1 and part is not whole and not _is_pod(line) else part)
        self._keep(block)
        if len(self._open) >= _CHANNELS:
            self._open.clear()
        self._open[line.logger] = block

    def _keep(self, block: Block) -> None:
        if self.first is None:
            self.first = block
        self.blocks.append(block)


@remembered(4096, _SHORT)
def _begins(part: str) -> tuple[str, int] | None:
    """The kind of error that a line begins, and how surely; None where it begins none."""
    if not looks_bad(part) or is_routine(part):
        return None
    if traces.HEADING in part or traces.is_frame(part):
        return "python", 3
    if _DBT.match(part.strip()):
        return "dbt", 3
    if part.startswith(("FAILED ", "ERROR ")) and _PYTEST.match(part):
        return "pytest", 3
    if _JAVA.match(part):
        return "java", 3
    if is_noise(part):
        return None
    if _FOLLOW_UP.match(part):
        return "line", 1
    return "line", 2 if traces.is_raised(part) or _STRONG.match(part.strip()) else 1


def _continues(block: Block, line: LogLine, part: str) -> bool:
    if block.kind == "pytest":
        return False
    if block.kind == "java":
        return _JAVA_MORE.match(part) is not None
    if block.kind == "line" and block.texts[0].startswith("panic: "):
        return len(block.texts) < 16 and _GO_MORE.match(part) is not None
    if block.kind == "line" and len(block.texts) == 1 and _announces(block.texts[0]) and _is_said(part):
        if _STRONG.match(part.strip()):
            block.strength = 2
        return True
    if block.kind in ("line", "dbt"):
        return len(block.texts) < 6 and _DETAIL.match(part) is not None and not _DBT.match(part.strip())
    return _continues_python(block, line, part)


def _announces(text: str) -> bool:
    """Whether a line only says that an error follows: it ends with a colon."""
    return text.rstrip()[-1:] == ":" and not _FOLLOW_UP.match(text)


def _is_said(part: str) -> bool:
    """Whether a line may be the words that another one announced, rather than the beginning of a report of its own."""
    return bool(part.strip()) and not (
        _DBT.match(part.strip())
        or _JAVA.match(part)
        or traces.HEADING in part
        or traces.is_frame(part)
        or is_noise(part)
        or is_routine(part)
    )


def _is_foreign(block: Block, part: str) -> bool:
    """Whether a line tells nothing and only stands within a traceback of another writer on the same channel."""
    return (
        block.kind == "python"
        and not block.ended
        and len(block.between) < _FOREIGN
        and (is_noise(part) or not looks_bad(part))
    )


def _continues_python(block: Block, line: LogLine, part: str) -> bool:
    """Frames, source lines (which some tools print without their indent), the exception, then links to the next."""
    if block.ended:
        if traces.is_link(part) or not part.strip():
            return True
        if traces.HEADING in part and any(traces.is_link(text) for text in block.texts[-3:]):
            block.ended = False
            return True
        # Of a log whose head is cut, each line stands for itself: what follows is the rest of the message.
        block.rest += 1
        is_raw = line.logger is None and line.level is None
        return is_raw and block.rest <= 10 and traces.HEADING not in part and not traces.is_frame(part)
    if traces.HEADING in part or traces.is_frame(part) or part[:1].isspace() or not part:
        return True
    last = block.texts[-1]
    if traces.is_frame(last) and not last[:1].isspace() and not traces.is_raised(part):
        return True
    if not _TOLD.match(part):
        return False
    block.ended = True
    return True
