"""Work done elsewhere: the error in the output of a shell, container, Spark, dbt, JVM or other program.

Owns the choice among the blocks that `scan` found. The surest kind wins (a traceback, a JVM exception, a dbt report),
then an error line of a tool, then a line that merely looks bad; of several the last one, since the program ended after
it. Must not look at Airflow's own exception, which only says that something else failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from triage import causes, traces
from triage.hinted import Hinted
from triage.model import LogLine, place
from triage.passages import Block, is_noise, is_routine, spoken
from triage.scan import Segment
from triage.signature.example import FAILED, Example
from triage.signature.masks import mask
from triage.signature.masks import place as place_of
from triage.signature.root import Finding, judge, needed, outage

DELEGATED = Hinted(
    r"exit(?:ed)? (?:with )?(?:code|status)|non-?zero|Error code is|returned a failure|return(?:ed)? code"
    r"|Trigger failure|SSH (?:command|operator)|error running cmd|remote_pod|container .{0,60}fail"
    r"|(?:job|run|step|application|statement|query|build|command|pipeline|notebook|workflow|model)s?\b.{0,120}"
    r"(?:fail(?:ed|ure)|terminated|did not succeed|unsuccessful)|see (?!server log).{0,40}(?:log|above|output)",
    re.I | re.S,
    ("exit", "zero", "fail", "error code is", "return code", "returned code", "ssh ", "error running cmd", "remote_pod",
     "terminated", "did not succeed", "unsuccessful", "see "),
)  # fmt: skip
_EXIT = re.compile(
    r"(?:exit(?:ed)? (?:with )?(?:code|status)|return(?:ed)? code|Error code is|'StatusCode':)[\s:=(]{0,4}(-?\d{1,4})",
    re.I,
)
_PROGRAMS = re.compile(
    r"subprocess|spark|pod|docker|ssh|bash|dbt|databricks|emr|ecs|batch|glue|beam|papermill|livy", re.I
)
_POD = re.compile(r"'(reason|exit_code)': '?(\w{1,60})")
_POD_DULL = frozenset({"Error", "Completed", "None", "0", "ContainersNotReady", "PodCompleted"})
_IN_FILE = re.compile(r" ?\([^)]{0,300}\)")
_STARTER = re.compile(r"^(?:\S*/)?(?:bash|sh|zsh|dash): (?:-c: )?(?:line (?:\d+|<n>): )?")
_PREFIX = re.compile(r"^(?:psql|error|fatal|ERROR|FATAL)(?:: error)?: +")
_PROGRESS = re.compile(r"^.*?(?=curl: \(\d+\))", re.S)
# How a shell says that a signal ended its child: POSIX strsignal's words behind the line and the process.
_DIED = re.compile(
    r"(?:\S{1,100}: )?line \d{1,6}: {1,6}\d{1,9} (Killed|Segmentation fault|Aborted|Bus error|Floating point exception"
    r"|Illegal instruction|Terminated)\b"
)
_DIED_OF = {"Killed": "SIGKILL", "Segmentation fault": "SIGSEGV", "Aborted": "SIGABRT", "Bus error": "SIGBUS",
            "Floating point exception": "SIGFPE", "Illegal instruction": "SIGILL", "Terminated": "SIGTERM"}  # fmt: skip
# What names a thing in a line of a program: something quoted, a file, an address, an option, a name of code, a shell's variable.
_NAMES = re.compile(r"['\"`‘“][\w*.]|//|\w[_.]\w|/\w|[a-z][A-Z]|--\w|line <n>: \w+:")
# Kinds of failure in which another service or file has its part: a line that does not name it could mean any.
_OF_ANOTHER = frozenset(
    ["permission", "credentials", "DNS", "connection refused", "TLS", "service time-out", "service error", "bad request",
     "missing file or table", "syntax"]
)  # fmt: skip
_TEST = re.compile(r"(?:FAILED|ERROR) (\S{1,300}?(?:\[.{0,300}?\])?)(?: - (.{0,1000}))?$")
_JAVA_FRAME = re.compile(r"\s*at (?:[\w.\-]{1,60}/{1,2})?([\w.$<>]{1,300})\(")
_JAVA_LIBRARY = re.compile(
    r"(?:javax?|jdk|sun|com\.sun|scala|kotlin|org\.apache|org\.springframework|com\.fasterxml|com\.google)\."
)
# Exceptions of the JVM's own library: their words repeat over unrelated programs, so the place belongs to the cause.
_JAVA_OF_CODE = frozenset(
    ["NullPointerException", "NumberFormatException", "IllegalArgumentException", "IllegalStateException", "ClassCastException",
     "IndexOutOfBoundsException", "ArrayIndexOutOfBoundsException", "StringIndexOutOfBoundsException", "NoSuchElementException",
     "UnsupportedOperationException", "ArithmeticException", "RuntimeException", "Exception", "Error"]
)  # fmt: skip
# A frame of V8, and the call that stands above its file in a trace of Go.
_SCRIPT_FRAME = re.compile(
    r"\s{1,8}at (?:async )?(?:(?:new )?(?P<name>[\w.$<>]{1,120})[^(\n]{0,120} \()?(?P<file>[^()\s]{1,400}):\d+:\d+\)?$"
)
_GO_CALL = re.compile(r"(?P<name>[\w./*()\-]{1,300})\(.{0,400}\)$")
_SIGNALS = {9: "SIGKILL", 15: "SIGTERM", 6: "SIGABRT", 11: "SIGSEGV", 4: "SIGILL", 7: "SIGBUS", 8: "SIGFPE"}


def exit_code(text: str) -> int | None:
    """The exit code that a message names."""
    found = _EXIT.search(text[:4000])
    return int(found[1]) if found else None


def killed(code: int | None) -> str:
    """The signal an exit code stands for: -9 and the shell's 137 are SIGKILL; "" if it is a plain code."""
    if code is None:
        return ""
    return _SIGNALS.get(-code if code < 0 else code - 128, "") if code < 0 or code > 128 else ""


def choose(segment: Segment, least: int = 1) -> Finding | None:
    """Of what a program wrote the surest kind of error counts, and of several the last one: the program ended after it.

    A traceback, a JVM exception or a report is surer than an error line of a tool, and that than a line that merely looks
    bad; `least` is the strength below which nothing counts.
    """
    pool = list(segment.blocks)
    if segment.first is not None and segment.first not in pool:
        pool.insert(0, segment.first)
    pool = [block for block in pool if block.strength >= least]
    programs = [block for block in pool if _PROGRAMS.search(block.lines[0].logger or "")]
    pool = programs or pool
    if not pool:
        return None
    best = max(block.strength for block in pool)
    tied = [block for block in pool if block.strength == best]
    if dbt := [block for block in tied if block.kind == "dbt"]:
        return _dbt(dbt)
    if tests := [block for block in tied if block.kind == "pytest" and _TEST.match(block.texts[0].strip())]:
        return _tests(tests)
    block = tied[-1]
    found = _read(block)
    passed = len(pool) - 1
    found.decisions.insert(
        0, f"The program's own output counts: {place(block.lines[0].number)}, {_why(block, passed)}."
    )
    return found


def last_words(before: Sequence[LogLine]) -> LogLine | None:
    """The last thing the program said before it ended."""
    programs = [line for line in before if _PROGRAMS.search(line.logger or "")]
    for line in reversed(programs or before):
        text = spoken(line).strip()
        if text and not is_routine(text) and not is_noise(text) and re.search(r"[A-Za-z]{3}", text):
            return line
    return None


def said_code(before: Sequence[LogLine]) -> int | None:
    """The exit code that an operator logged where its exception names none (1.10)."""
    logged = [line.text for line in before if line.text.startswith("Command exited with")]
    return exit_code(logged[-1]) if logged else None


def died(before: Sequence[LogLine]) -> tuple[str, int] | None:
    """The signal that ended the program, as its shell says, and the number of that line."""
    for line in reversed(before):
        if ": line " in line.text[:400] and (found := _DIED.match(spoken(line)[:400])):
            return _DIED_OF[found[1]], line.number
    return None


def pod(text: str) -> Finding | None:
    """What Kubernetes says of a pod that failed: eviction, out of memory, an image that cannot be pulled."""
    told = sorted({f"{found[1]} {found[2]}" for found in _POD.finditer(text) if found[2] not in _POD_DULL})
    if not any(one.startswith("reason") for one in told):
        return None
    title = f"Pod failed: {', '.join(told)}"
    return Finding(("pod", *told), title, causes.classify(None, title))


def _why(block: Block, passed: int) -> str:
    kinds = {
        "python": "a traceback",
        "java": "a JVM exception",
        "raised": "a logged exception",
        "dbt": "a report of dbt",
        "pytest": "a report of pytest",
        "line": "an error line",
    }
    return kinds[block.kind] + (f" ({passed} other passages that look bad were passed over)" if passed else "")


def _read(block: Block) -> Finding:
    numbers = tuple(line.number for line in block.lines)
    if block.kind == "raised" and block.lines[0].raised:
        found = judge(block.lines[0].raised)
    elif block.kind == "python" and (chain := traces.parse(block.texts)):
        found = judge(chain)
    elif block.kind == "java":
        found = _java(block.texts)
    elif block.kind == "python":
        found = line(block.texts[-1])
    else:
        first, more = block.texts[0], block.texts[1:]
        is_joined = more and (first.rstrip().endswith(":") or more[0].lstrip().startswith("what():"))
        found = line(f"{first.rstrip()} {more[0].strip()}" if is_joined else first)
        if found.cause in ("unknown", "code error") and (where := _place(first, more)):
            found.cause = "code error"
            found.key = (*found.key, where)
            found.title = f"{found.title} in {where.rpartition(':')[2]}()"
            found.decisions.append(f"The words could come from many places, so the place counts: {where}.")
    found.numbers = numbers if block.kind != "line" else numbers[:3]
    return found


def _place(first: str, more: Sequence[str]) -> str:
    """The innermost frame of the program's own in a trace of Node.js or Go; "" if there is none."""
    if first.startswith("panic: "):
        calls = [found["name"] for text in more if (found := _GO_CALL.match(text))]
        return next(
            (name.rpartition("/")[2] for name in calls if not name.startswith(("runtime.", "panic", "runtime/"))), ""
        )
    for text in more:
        frame = _SCRIPT_FRAME.match(text)
        if frame is not None and not frame["file"].startswith("node:") and "node_modules" not in frame["file"]:
            return place_of(frame["file"], frame["name"] or "<anonymous>")
    return ""


def line(text: str) -> Finding:
    """A line that names an error counts by its masked words, without the program that says it first."""
    text = _PROGRESS.sub("", text.strip())
    cause = causes.classify(None, text)
    hits: set[str] = set()
    masked = mask(_PREFIX.sub("", _STARTER.sub("", text)), hits)
    title = mask(text)
    if key := outage(cause, text):
        return Finding(key, title, cause, decisions=[f"A service that cannot be reached counts once: {key[1]}."])
    if key := needed(text):
        return Finding(key, title, key[0], decisions=[f"What is not configured counts by its name: {key[2]}."])
    name = re.match(r"([A-Za-z_]\w*(?:Error|Exception)): ", text)
    decisions = [f"Masked: {', '.join(sorted(hits))}."] if hits else []
    vague = cause in _OF_ANOTHER and not _NAMES.search(masked)
    return Finding((masked,), title, cause, name[1] if name else None, decisions=decisions, is_vague=vague)


def _java_place(texts: Sequence[str]) -> str:
    """Class and method of the innermost frame of the program's own, of the root if it shows one."""
    last = max((i for i, text in enumerate(texts) if text.lstrip().startswith("Caused by: ")), default=0)
    frames = [[found[1] for text in part if (found := _JAVA_FRAME.match(text))] for part in (texts[last:], texts)]
    own = next((frame for part in frames for frame in part if not _JAVA_LIBRARY.match(frame)), None)
    where = own or next((frame for part in frames for frame in part), "")
    return ".".join(where.split(".")[-2:])


def _java(texts: Sequence[str]) -> Finding:
    """Of a JVM exception the last "Caused by" counts, and its place where it says too little or is of Java's own library."""
    heads = [text.strip() for text in texts if not re.match(r"\s*(?:at |\.\.\. )", text)]
    said = re.sub(r'^(?:Exception in thread "[^"]*" |Caused by: )+', "", heads[-1] if heads else texts[0].strip())
    kind, _, message = said.partition(": ")
    kind = kind.rpartition(".")[2]
    masked = mask(message)
    where = _java_place(texts)
    key = (kind, masked) if len(masked.split()) >= 3 and kind not in _JAVA_OF_CODE else (kind, masked, where)
    title = f"{kind}: {masked}" if masked else kind
    return Finding(key, f"{title} in {where}()" if where else title, causes.classify(kind, message, True), kind)


def _tests(blocks: Iterable[Block]) -> Finding:
    """The summary of pytest names each test that failed, and the kind of its error: together they are the cause."""
    told: dict[str, tuple[str, Block]] = {}
    for block in blocks:
        if found := _TEST.match(block.texts[0].strip()):
            words = found[2] or ""
            kind = name[1] if (name := re.match(r"([A-Za-z_][\w.]{0,100}): ", words)) else "AssertionError"
            told.setdefault(f"{mask(found[1])}: {kind}", (mask(words), block))
    keys = sorted(told)
    words = told[keys[0]][0]
    more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
    cause = causes.classify(None, f"{keys[0]} {words}")
    return Finding(
        ("pytest", *keys[:12]),
        f"FAILED {keys[0]}{more}",
        "data quality" if cause in ("unknown", "code error") else cause,
        numbers=tuple(block.lines[0].number for _, block in told.values())[:12],
        decisions=[f"pytest reports {len(keys)} failed tests; together they are the cause."],
    )


def _dbt(blocks: Iterable[Block]) -> Finding:
    """Several models fail in one run: the set of their errors is the cause, whatever the order of the threads."""
    told: dict[str, Block] = {}
    for block in blocks:
        head, *rest = [text.strip() for text in block.texts if text.strip()]
        told.setdefault(mask(f"{_IN_FILE.sub('', head)}: {rest[0] if rest else ''}"), block)
    keys = sorted(told)
    more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
    first = told[keys[0]]
    return Finding(
        ("dbt", *keys[:12]),
        keys[0] + more,
        causes.classify(None, " ".join(first.texts)),
        numbers=tuple(line.number for block in told.values() for line in block.lines[:3])[:12],
        decisions=[f"dbt reports {len(keys)} different errors; together they are the cause."],
    )


_BASH = "{}\n" + FAILED + '  File "/dags/shop.py", line 7, in load\nAirflowException: {}'

EXAMPLES = (
    Example(
        choose,
        (
            'error: disk is slow\nTraceback (most recent call last):\n  File "/jobs/load.py", line 3, in run\n'
            "ValueError: no rows in orders\nerror: job did not finish",
        ),
        ("ValueError: no rows in orders in run()",),
    ),
    Example(
        line,
        ("psql: error: no room for 17 rows of orders", "error: no room for 4711 rows of orders"),
        ("error: no room for … rows of orders",),
    ),
    Example(
        last_words,
        (_BASH.format("INFO - loading orders", "Bash command failed. The command returned a non-zero exit code 3."),),
        ("Exited with code 3: loading orders",),
    ),
    Example(
        pod,
        (_BASH.format("INFO - loading", "Pod load-1 returned a failure. {'reason': 'OOMKilled', 'exit_code': 137}"),),
        ("Pod failed: exit_code 137, reason OOMKilled",),
    ),
    Example(
        _java,
        (
            'Exception in thread "main" java.lang.RuntimeException: job failed\n\tat com.acme.Load.run(Load.java:3)\n'
            "Caused by: java.io.IOException: quota of the bucket is used up\n\tat com.acme.Store.put(Store.java:9)",
        ),
        ("IOException: quota of the bucket is used up in Store.put()",),
    ),
    Example(
        _tests,
        ("FAILED tests/test_a.py::test_sum - assert 3 == 4\nFAILED tests/test_b.py::test_max - KeyError: 'qty'",),
        ("FAILED tests/test_a.py::test_sum: AssertionError (and 1 more)",),
    ),
    Example(
        _dbt,
        (
            'Database Error in model a (models/a.sql)\n  no column "y"\nDatabase Error in model b (models/b.sql)\n  no table "x"',
            'Database Error in model b (models/b.sql)\n  no table "x"\nDatabase Error in model a (models/a.sql)\n  no column "y"',
        ),
        ('Database Error in model a: no column "y" (and 1 more)',),
    ),
)
