"""From the log of a failed try to its fingerprint: find the failure that ended it, mask what varies, hash the rest.

Owns the order of judgement: what Airflow itself knows, the exception that ended the last start of the task, the error in
the output of what it started, how its process ended, what else looks bad, silence. Pure and total: any lines in, a
signature out, the same on every machine, Python and hash seed. A change of rules is a new VERSION.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from triage import causes, logs
from triage.model import Absence, Circumstance, CircumstanceKind, Evidence, LogLine, LogStatus, Signature, place
from triage.redact import PLAIN, Redactor
from triage.scan import Scan, Segment
from triage.signature import output, silence
from triage.signature.masks import mask
from triage.signature.root import Finding, endpoint, judge, own_place

VERSION = 1
TITLE_MAX = 160

_JOB = re.compile(r"Failed to execute job \d+ for task \S+ \((.*?)(?:; \d+)?\)?\s*$", re.S)
_POKING = re.compile(r"(?:Poking|Checking|Waiting)\b.{0,30}?\b(?:for|callable|until|on)\b", re.I)
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
) -> Signature:
    """Sign a failed try. `task` is "dag_id.task_id"; it counts only where the log itself holds no usable evidence.

    `absence` is why there is no log (`logs.Kept.absence`); it counts where neither log nor circumstance tells anything.
    The lines are redacted already; `redactor` masks once more what is composed of them.
    """
    return _sign(Scan(), lines, circumstance, task, status, absence, redactor)


def sign_text(
    data: bytes,
    circumstance: Circumstance | None = None,
    *,
    task: str = "",
    status: LogStatus = LogStatus.WHOLE,
    redactor: Redactor = PLAIN,
) -> Signature:
    """Sign a log from its bytes, as it would be signed once kept; only what counts is redacted."""
    if logs.is_small(data):
        lines, absence = logs.small(data, redactor)
    else:
        chosen = logs.choose(logs.read([data], redactor), redactor=redactor)
        lines, absence = chosen.lines, chosen.absence
    return _sign(Scan(redact=redactor.lines), lines, circumstance, task, status, absence, redactor)


def _sign(
    scan: Scan,
    lines: Sequence[LogLine],
    circumstance: Circumstance | None,
    task: str,
    status: LogStatus,
    absence: Absence | None,
    redactor: Redactor,
) -> Signature:
    for line in lines:
        scan.feed(line)
    found = _find(scan, lines, circumstance, task, status, absence)
    masked = scan.segment.masked | (scan.previous.masked if scan.previous else {})
    return _signature(found, [masked.get(line.number, line) for line in lines] if masked else lines, redactor)


def explain(signature: Signature) -> str:
    """Say in sentences how a signature was made: what counted, what was passed over, what was masked."""
    lines = [signature.title, f"Cause: {signature.cause} ({causes.CAUSES[signature.cause].summary})"]
    lines += [f"- {decision}" for decision in signature.decisions]
    lines += [f"  {evidence.number}: {evidence.text}" for evidence in signature.evidence]
    return "\n".join([*lines, f"Fingerprint: {signature.fingerprint}"])


def _find(
    scan: Scan,
    lines: Sequence[LogLine],
    circumstance: Circumstance | None,
    task: str,
    status: LogStatus,
    absence: Absence | None,
) -> Finding:
    segment = scan.counted()
    if circumstance is not None and circumstance.kind is CircumstanceKind.MARKED:
        failed = segment.failed
        if failed is None or any(_BY_HAND.search(one.value) for one in failed.raised):
            return silence.stated(circumstance, task, absence)
    if (absence or status is LogStatus.MISSING) and circumstance is None:
        return silence.absent(absence, lines, task) if absence else silence.silent(Segment(), task, status)
    for line in (segment.failed, segment.job):
        if line is not None and line.raised:
            return _from_exception(segment, scan, line, task)
    if found := silence.ended(segment, task, circumstance):
        return found
    if segment.job is not None and (found := _from_job(segment, segment.job, task)):
        return found
    if circumstance is not None:
        return silence.stated(circumstance, task, absence)
    if found := output.choose(segment, least=2):
        if found.is_vague or (found.exception and output.DELEGATED.search(found.title)):
            found.key = (*found.key, task)
            found.decisions.append("It only says that something failed, so the task counts too.")
        return found
    if segment.ended is not None:
        return _from_exit(segment, segment.ended, task)
    if found := output.choose(segment):
        return found
    return silence.silent(segment, task, status)


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


def _from_code(found: Finding, segment: Segment, value: str, where: str, task: str) -> Finding:
    """Delegated work whose output holds no error: a kill, the pod's own words, its last words, or the bare exit code."""
    code = output.exit_code(value)
    if signal := output.killed(code):
        return silence.killed(signal, found.numbers[0], task, where)
    if pod := output.pod(value):
        pod.numbers = found.numbers
        return pod
    if code is None:
        return found
    last = output.last_words(segment.before)
    if last is None:
        title = f"Exited with code {code}"
        return Finding(("exit", str(code), where, task), title, causes.classify(None, title), numbers=found.numbers,
                       decisions=["No words in its output: the exit code and the task count."])  # fmt: skip
    said = output.line(last.text.split("\n")[-1] or last.text)
    said.key = ("exit", str(code), *said.key)
    said.title = f"Exited with code {code}: {said.title}"
    said.cause = said.cause if said.cause != "unknown" else "exit code"
    said.numbers = (last.number, *found.numbers)
    said.decisions.insert(0, "No line of its output reads like an error: the exit code and its last words count.")
    return said


def _timed_out(found: Finding, segment: Segment, kind: str, where: str, task: str) -> Finding:
    cause = "sensor time-out" if kind == "AirflowSensorTimeout" else "execution time-out"
    poked = next((line for line in reversed(segment.before) if _POKING.match(line.text)), None)
    if poked is not None and kind == "AirflowSensorTimeout":
        what = mask(poked.text)
        return Finding((kind, what), f"Sensor timed out: {what}", cause, kind, (poked.number, *found.numbers),
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


def _signature(found: Finding, lines: Sequence[LogLine], redactor: Redactor) -> Signature:
    digest = hashlib.sha256(json.dumps(found.key).encode("utf-8", "replace")).hexdigest()
    told = _told(found, lines)
    title, *texts = redactor.texts((_one_line(found.title), *(text for _, text in told), *found.decisions))
    return Signature(
        version=VERSION,
        fingerprint=f"{VERSION}:{digest[:16]}",
        title=title if len(title) <= TITLE_MAX else title[: TITLE_MAX - 1] + "…",
        cause=found.cause,
        exception=found.exception,
        evidence=tuple(Evidence(number, text) for (number, _), text in zip(told, texts, strict=False)),
        decisions=tuple(texts[len(told) :]),
    )


def _one_line(title: str) -> str:
    text = re.sub(r"<(?:n|id|hex|uuid|time|addr|value|path|run)>", "…", " ".join(title.split()))
    return "".join(char for char in text if char.isprintable()).strip() or "An error without name or words"


def _told(found: Finding, lines: Sequence[LogLine]) -> list[tuple[int, str]]:
    """Return the number and the text of the lines that the finding was made from, at most 12."""
    wanted = set(found.numbers)
    told: list[tuple[int, str]] = []
    for line in lines:
        if line.number in wanted and len(told) < 12:
            wanted.discard(line.number)
            text = line.text
            if line.raised:
                root = line.raised[-1]
                text = f"{text.split(chr(10))[0]}: {root.type}: {root.value.split(chr(10))[0]}"
            told.append((line.number, text.strip()[:500]))
    return told
