"""From the log of a failed try to its fingerprint: find the failure that ended it, mask what varies, hash the rest.

Owns the order of judgement: what Airflow itself knows, the exception that ended the last start of the task, the error in
the output of what it started, how its process ended, what else looks bad, silence. Pure and total: any lines in, a
signature out, the same on every machine, Python and hash seed. A change of rules is a new VERSION.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii

from triage import causes, logs
from triage.model import Absence, Circumstance, CircumstanceKind, Evidence, LogLine, LogStatus, Signature, place
from triage.passages import spoken
from triage.redact import PLAIN, Redactor
from triage.scan import Scan, Segment
from triage.signature import apart, output, silence
from triage.signature.apart import Hit
from triage.signature.example import FAILED, Example
from triage.signature.ignored import Ignoring
from triage.signature.masks import mask
from triage.signature.root import Finding, endpoint, judge, own_place
from triage.signature.rules import NONE, Applied, Rules

VERSION = 1
TITLE_MAX = 160

_JOB = re.compile(r"Failed to execute job \d+ for task \S+ \((.*?)(?:; \d+)?\)?\s*$", re.S)
_POKING = re.compile(r"Poking: |(?:Poking|Checking|Waiting)\b.{0,30}?\b(?:for|callable|until|on)\b", re.I)
_POD = re.compile(r"Pod \S{1,253} returned a failure")
_MASKED = re.compile(r"<(?:n|id|hex|uuid|time|addr|value|path|run)>")
_GIVEN_UP = ("AirflowSensorTimeout", "AirflowTaskTimeout", "TaskDeferralTimeout")
_BY_HAND = re.compile(r"SIGTERM|externally (?:set|terminated)", re.I)


def sign(
    lines: Sequence[LogLine],
    circumstance: Circumstance | None = None,
    *,
    task: str = "",
    status: LogStatus = LogStatus.WHOLE,
    absence: Absence | None = None,
    redactor: Redactor = PLAIN,
    rules: Rules = NONE,
) -> Signature:
    """Sign a failed try. `task` is "dag_id.task_id"; it counts only where the log itself holds no usable evidence.

    `absence` is why there is no log (`logs.Kept.absence`); it counts where neither log nor circumstance tells anything.
    The lines are redacted already; `redactor` masks once more what is composed of them. `rules` are people's own.
    """
    case = _Case(Scan(), lines, circumstance, task, status, absence)
    return _sign(case, redactor, rules)


def sign_text(
    data: bytes,
    circumstance: Circumstance | None = None,
    *,
    task: str = "",
    status: LogStatus = LogStatus.WHOLE,
    redactor: Redactor = PLAIN,
    rules: Rules = NONE,
) -> Signature:
    """Sign a log from its bytes, as it would be signed once kept; without `rules` only what counts is redacted."""
    if rules.all:  # a rule reads every line, and redacted
        kept = logs.keep(logs.read([data], redactor), redactor=redactor, telling=rules.telling)
        case = _Case(Scan(), kept.lines, circumstance, task, status, kept.absence)
        return _sign(case, redactor, rules)
    lines, absence = logs.chosen(data, redactor)
    return _sign(
        _Case(Scan(Segment(ahead=logs.ahead(redactor))), lines, circumstance, task, status, absence), redactor, rules
    )


@dataclass(slots=True)
class _Case:
    """All that is known of one failed try."""

    scan: Scan
    lines: Sequence[LogLine]
    circumstance: Circumstance | None
    task: str
    status: LogStatus
    absence: Absence | None


def _sign(case: _Case, redactor: Redactor, rules: Rules) -> Signature:
    own = rules.of(case.task)
    ignoring = Ignoring(own)
    case.lines = ignoring.without(case.lines)
    scan = case.scan
    for line in case.lines:
        scan.feed(line)
    found = _find(case)
    if own:
        found = _by_rules(own, found, case)
        found.decisions += ignoring.decisions
    return _signature(found, _told(found.numbers, case.lines, scan.masked()), redactor, rules)


def explain(signature: Signature, task: str = "") -> str:
    """Say in sentences how a signature was made: what counted, what was passed over, which mask hit where, and what
    would have to differ for another fingerprint. `task` is that of the signing.
    """
    lines = [signature.title, f"Cause: {signature.cause} ({causes.CAUSES[signature.cause].summary})"]
    lines += [f"- {decision}" for decision in signature.decisions]
    for evidence, hits in masked(signature):
        lines.append(f"  {evidence.number}: {evidence.text}")
        lines += [f"      {hit.mask}: {hit.before!r} -> {hit.after!r}" for hit in hits]
    lines += differs(signature, task)
    return "\n".join([*lines, f"Fingerprint: {signature.fingerprint}"])


def differs(signature: Signature, task: str = "") -> tuple[str, ...]:
    """Say what would make another fingerprint, and what would not; () for a signature that does not know its key."""
    return apart.differs(signature.key, signature.exception, task) if signature.key else ()


def masked(signature: Signature) -> list[tuple[Evidence, list[Hit]]]:
    """Return each line of evidence with what the masks do to it; nothing for a signature of another version."""
    is_ours = signature.version == VERSION
    return [(one, apart.hits(one.text) if is_ours else []) for one in signature.evidence]


def _find(case: _Case) -> Finding:
    """Ask the rules in their order: the first that finds anything has judged."""
    segment = case.scan.counted()
    for one in JUDGES:
        if (found := one(case, segment)) is not None:
            return found
    return silence.silent(segment, case.task, case.status)


def marked_by_hand(case: _Case, segment: Segment) -> Finding | None:
    """A person's mark counts before what it did to the process; a failure of the task's own counts before the mark."""
    marked = case.circumstance
    if marked is None or marked.kind is not CircumstanceKind.MARKED:
        return None
    failed = segment.failed
    if failed is None or any(_BY_HAND.search(one.value) for one in failed.raised):
        return silence.stated(marked, case.task, case.absence)
    return None


def without_log(case: _Case, segment: Segment) -> Finding | None:
    """Where something else stands in the log's place, it says why there is no log."""
    if case.circumstance is not None or not (case.absence or case.status is LogStatus.MISSING):
        return None
    if case.absence:
        return silence.absent(case.absence, case.lines, case.task)
    return silence.silent(Segment(), case.task, case.status)


def ending_exception(case: _Case, segment: Segment) -> Finding | None:
    """The exception that ended the last start of the task; where it only says that something else failed, that counts."""
    for line in (segment.failed, segment.job):
        if line is not None and line.raised:
            return _from_exception(segment, case.scan, line, case.task)
    return None


def end_of_process(case: _Case, segment: Segment) -> Finding | None:
    """How the process ended, where that says more than its output: a signal, a time-out, a stop, a DAG that is gone."""
    return silence.ended(segment, case.task, case.circumstance)


def runners_summary(case: _Case, segment: Segment) -> Finding | None:
    """The runner's one line on the failure, where its traceback was lost or cut off."""
    return _from_job(segment, segment.job, case.task) if segment.job is not None else None


def stated_by_airflow(case: _Case, segment: Segment) -> Finding | None:
    """What Airflow's event log says of a try whose log holds no end of it."""
    return None if case.circumstance is None else silence.stated(case.circumstance, case.task, case.absence)


def error_in_output(case: _Case, segment: Segment) -> Finding | None:
    """A line or a traceback that tells an error by its form; one that only says "failed" counts together with its task."""
    found = output.choose(segment, least=2)
    if found is not None:
        _with_task(found, case.task, found.exception is not None and output.DELEGATED.search(found.title) is not None)
    return found


def bare_exit(case: _Case, segment: Segment) -> Finding | None:
    """The exit code of a process that ended itself without a word; the code and the task count."""
    return _from_exit(segment, segment.ended, case.task) if segment.ended is not None else None


def looks_bad(case: _Case, segment: Segment) -> Finding | None:
    """A line that merely looks bad, where nothing says how the try ended."""
    return output.choose(segment)


# In this order; where none finds anything, the log is silent.
JUDGES: tuple[Callable[[_Case, Segment], Finding | None], ...] = (
    marked_by_hand, without_log, ending_exception, end_of_process, runners_summary, stated_by_airflow, error_in_output,
    bare_exit, looks_bad,
)  # fmt: skip


def _from_exception(segment: Segment, scan: Scan, line: LogLine, task: str) -> Finding:
    chain = line.raised
    root = chain[-1]
    found = judge(chain)
    found.numbers = (line.number,)
    found.decisions.insert(
        0, f"{place(line.number).capitalize()} holds the exception that ended the try: {chain[0].type}."
    )
    if root.type in _GIVEN_UP:
        return _timed_out(found, segment, root.type, own_place(chain), task)
    if root.type == "TaskDeferralError" or output.DELEGATED.search(root.value[:600]):
        delegated = output.pod(root.value) or output.choose(segment)
        if delegated is None and scan.earlier is not None:
            delegated = output.choose(scan.earlier)
        if delegated is not None:
            _with_task(delegated, task)
            delegated.numbers = (*delegated.numbers, line.number)
            delegated.decisions.append(f"Passed over: {root.type}, which only says that something else failed.")
            return delegated
        return _from_code(found, segment, root.value, own_place(chain), task)
    if found.is_vague or root.type == found.title:
        for above in reversed(segment.before):
            kind = causes.classify(None, above.text)
            if kind in ("DNS", "connection refused") and (host := endpoint(above.text)):
                found.key = (kind, host)
                found.title = f"{found.title} ({kind}: {host})"
                found.cause = kind
                found.numbers = (above.number, line.number)
                found.decisions.append("The exception says nothing of its own; the client's line above it does.")
                break
    if found.is_vague and not own_place(chain):
        found.key = (*found.key, task)
    return found


def _with_task(found: Finding, task: str, is_dull: bool = False) -> None:
    """Words that name nothing could come from any task: they count with theirs."""
    if found.is_vague or is_dull:
        found.key = (*found.key, task)
        found.decisions.append("It names nothing of its own, so the task counts too.")


def _from_code(found: Finding, segment: Segment, value: str, where: str, task: str) -> Finding:
    """Delegated work whose output holds no error: a kill, the pod's own words, its last words, or the bare exit code."""
    code = output.exit_code(value)
    if code is None:
        code = output.said_code(segment.before)
    if signal := output.killed(code):
        return silence.killed(signal, found.numbers[0], task, where)
    if pod := output.pod(value):
        pod.numbers = found.numbers
        return pod
    if dead := output.died(segment.before):
        return silence.killed(*dead, task, where)
    is_pod = _POD.match(value) is not None
    if code is None and not is_pod:
        return found
    last = output.last_words(segment.before)
    if last is None:
        title = f"Exited with code {code}" if code is not None else "A pod returned a failure"
        return Finding(("exit", str(code), where, task), title, causes.classify(None, title), numbers=found.numbers,
                       decisions=["No words in its output: the exit code and the task count."])  # fmt: skip
    words = spoken(last)
    said = output.line(words.split("\n")[-1] or words)
    said.key = ("exit", str(code), *said.key, task)
    said.title = f"{f'Exited with code {code}' if code is not None else 'A pod failed'}: {said.title}"
    said.cause = said.cause if said.cause != "unknown" else "exit code"
    said.numbers = (last.number, *found.numbers)
    said.decisions.insert(
        0, "No line of its output reads like an error: the exit code and its last words and the task count."
    )
    return said


def _timed_out(found: Finding, segment: Segment, kind: str, where: str, task: str) -> Finding:
    """A sensor that times out counts by what it waited for, every other time-out by its place."""
    cause = "sensor time-out" if kind == "AirflowSensorTimeout" else "execution time-out"
    poked = next((line for line in reversed(segment.before) if _POKING.match(line.text)), None)
    if poked is not None and kind == "AirflowSensorTimeout":
        what = mask(poked.text)
        # An endpoint or a statement names no host: the same one may be asked of another service.
        key = (kind, what, task) if what.startswith("Poking: ") and "://" not in what else (kind, what)
        return Finding(key, f"Sensor timed out: {what}", cause, kind, (poked.number, *found.numbers),
                       decisions=["A sensor that times out counts by what it waited for."])  # fmt: skip
    title = (
        f"{cause.capitalize()}{' in ' + where.rpartition(':')[2] + '()' if where else ' of ' + task if task else ''}"
    )
    return Finding((kind, where or task), title, cause, kind, found.numbers,
                   decisions=[f"A time-out counts by its place: {where or task or 'unknown'}."])  # fmt: skip


def _from_job(segment: Segment, line: LogLine, task: str) -> Finding | None:
    """The traceback is lost or cut: the runner's own summary repeats the message, a fragment above may hold the rest."""
    match = _JOB.match(line.text.partition("\n")[0])
    if match is None:
        return None
    message = match[1]
    if output.DELEGATED.search(message):
        if found := output.choose(segment):
            return found
        return _from_code(Finding((), "", "unknown", numbers=(line.number,)), segment, message, "", task)
    found = output.choose(segment, least=3)
    return found or output.line(message.split("\n")[0])


def _from_exit(segment: Segment, line: LogLine, task: str) -> Finding:
    code = line.exit_code if line.exit_code is not None else output.exit_code(line.text)
    title = f"Exited with code {code}" if code is not None else mask(line.text.split("\n")[0])
    return Finding(("exit", str(code), task), title, causes.classify(None, title), numbers=(line.number,),
                   decisions=["The process ended itself without an exception: the exit code and the task count."])  # fmt: skip


def _by_rules(own: Applied, found: Finding, case: _Case) -> Finding:
    """Let people's own rules have the last word over what was found."""
    lines = case.lines
    start, after = case.scan.counted().start, case.scan.segment.start
    first = next((at for at, line in enumerate(lines) if line is start), 0)
    last = next((at for at, line in enumerate(lines) if line is after and at > first), len(lines))
    here = lines[first:last]
    found = own.cause(here, found) or found
    evidence = [line for line in lines if line.number in found.numbers]
    own.group(found, evidence)
    own.separate(found, evidence, here)
    return found


def _signature(found: Finding, told: list[tuple[int, str]], redactor: Redactor, rules: Rules) -> Signature:
    said = f"[{', '.join([encode_basestring_ascii(part) for part in found.key])}]"  # as json.dumps, twice as fast
    digest = hashlib.sha256(said.encode()).hexdigest()
    title, *texts = redactor.texts((_one_line(found.title), *(text for _, text in told), *found.decisions, *found.key))
    decided = len(told) + len(found.decisions)
    return Signature(
        version=VERSION,
        fingerprint=f"{VERSION}.{rules.digest}:{digest[:16]}" if rules.digest else f"{VERSION}:{digest[:16]}",
        title=title if len(title) <= TITLE_MAX else title[: TITLE_MAX - 1] + "…",
        cause=found.cause,
        exception=found.exception,
        evidence=tuple(Evidence(number, text) for (number, _), text in zip(told, texts, strict=False)),
        decisions=tuple(texts[len(told) : decided]),
        key=tuple(texts[decided:]),
    )


def _one_line(title: str) -> str:
    text = _MASKED.sub("…", " ".join(title.split()))
    if not text.isprintable():
        text = "".join(char for char in text if char.isprintable()).strip()
    return text or "An error without name or words"


def _told(numbers: Sequence[int], lines: Sequence[LogLine], masked: Mapping[int, LogLine]) -> list[tuple[int, str]]:
    """Return the number and the text of the lines that a finding was made from, as they are `masked`: of many the first 4
    and the last 8.
    """
    wanted = set(numbers)
    told: list[tuple[int, str]] = []
    for line in lines:
        if line.number in wanted:
            wanted.discard(line.number)
            line = masked.get(line.number, line)
            text = line.text
            if line.raised:
                root = line.raised[-1]
                text = f"{text.split(chr(10))[0]}: {root.type}: {root.value.split(chr(10))[0]}"
            told.append((line.number, text.strip()[:500]))
    return told if len(told) <= 12 else [*told[:4], *told[-8:]]


_LOADING = FAILED + '  File "/dags/shop.py", line 7, in load\n'

# One for each of JUDGES, in their order, and for what they call.
EXAMPLES = (
    Example(
        marked_by_hand, ("INFO - working\nERROR - Received SIGTERM. Terminating subprocesses.",), ("Marked failed by ada",),
        Circumstance(CircumstanceKind.MARKED, by="ada"),
    ),
    Example(
        without_log, ("*** Could not read served logs: Client error '404 NOT FOUND' for url 'http://worker-1:8793/log/a.log'",),
        ("Log worker gone",),
    ),
    Example(
        ending_exception,
        ("ERROR - an old file is gone, going on\n" + _LOADING + "KeyError: 'qty'\nERROR - callback failed: no route to mail",),
        ("KeyError: 'qty' in load()",),
    ),
    Example(
        _timed_out,
        ("INFO - Poking for file /in/orders.csv\n" + _LOADING + "AirflowSensorTimeout: Sensor has timed out",),
        ("Sensor timed out: Poking for file orders.csv",),
    ),
    Example(
        end_of_process, ("error: the disk is slow\nINFO - Task exited with return code -9",), ("Killed by SIGKILL (out of memory?)",)
    ),
    Example(
        runners_summary, ("ERROR - Failed to execute job 17 for task load (no rows in orders for 2026-11-22; 4711)",),
        ("no rows in orders for …",),
    ),
    Example(stated_by_airflow, ("INFO - working",), ("Heartbeat lost",), Circumstance(CircumstanceKind.HEARTBEAT_LOST)),
    Example(
        error_in_output, ('upload was denied\npsql: error: relation "orders" does not exist\ncleaning up',),
        ('psql: error: relation "orders" does not exist',),
    ),
    Example(bare_exit, ("INFO - Task exited with return code 3",), ("Exited with code 3",)),
    Example(looks_bad, ("upload was denied, sorry",), ("upload was denied, sorry",)),
)  # fmt: skip
