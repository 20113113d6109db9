"""Failures whose log does not say why: what Airflow's events state, what stands in the log's place, how the process ended.

Owns their classes, titles and sentences. The class and the task are the key: an account, a time, a host or a number of
seconds is told and never counts. Says what is known, and a guess only with a question mark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from triage import causes, header
from triage.model import Absence, Circumstance, CircumstanceKind, LogLine, LogStatus, place
from triage.scan import Segment
from triage.signature import output
from triage.signature.example import Example
from triage.signature.root import Finding

_MISMATCH = re.compile(r"finished with state (\w{1,40}), but the task instance's state attribute is (\w{1,40})")
_EXTRA = re.compile(r"Extra info: (.{1,600})", re.S)
_LEARN = re.compile(r"\s*(?:Learn more:|See) https?://\S+")
# What an executor's words may tell better than "the executor and Airflow disagree"; other words could be anything.
_TOLD = frozenset(
    ["out of memory", "killed from outside", "pod not started", "disk full", "DAG import", "missing module", "missing command",
     "permission", "credentials", "DNS", "connection refused", "TLS", "rate limit", "service error", "service time-out", "bad request"]
)  # fmt: skip
# Signals that a process brings upon itself.
_OWN_DOING = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"})
_UNLOADED = re.compile(r"(?P<what>D[Aa][Gg]|Task) not found (?:in D[Aa][Gg] )?during start up")
_STATE = re.compile(re.escape(header.STOPPED) + r".{0,40}: its state is (\w+)|externally set to (\w+)", re.S)
_WHY_STOPPED = {
    "failed": "somebody marked it failed, or fail_fast ended the run",
    "success": "somebody marked it as succeeded",
    "skipped": "the run reached its dagrun_timeout",
    "restarting": "somebody cleared it while it ran",
    "removed": "it left the DAG while it ran",
    "queued": "it was cleared, or queued a second time, while it ran",
    "scheduled": "somebody cleared it while it ran",
}


def stated(circumstance: Circumstance, task: str, absence: Absence | None = None) -> Finding:
    """What Airflow's events say of a try whose log holds no end of it."""
    kind = circumstance.kind
    found = _known(kind.value, kind.value[:1].upper() + kind.value[1:], task)
    said = " ".join(_LEARN.sub("", circumstance.text).split())
    if kind is CircumstanceKind.MARKED:
        when = f" on {circumstance.at:%Y-%m-%d at %H:%M:%S} UTC" if circumstance.at else ""
        found.title = f"Marked failed by {circumstance.by or 'hand'}"
        found.decisions = [f"Airflow's event log: {circumstance.by or 'somebody'} marked it failed{when}."]
        return found
    if kind is CircumstanceKind.STATE_MISMATCH:
        found = _mismatch(found, said, task)
    log = "There is no log of the try" if absence else "The log holds no end of the try"
    found.decisions.append(
        f"{log}; Airflow's event log says: {said}" if said else f"{log}; Airflow's event log knows it."
    )
    if absence is not None:
        found.decisions.append(f"Beside that, {_lower(causes.CAUSES[absence.value].summary)}")
    return found


def _mismatch(found: Finding, said: str, task: str) -> Finding:
    """Where executor and Airflow disagree, the executor's own words count if they name a cause."""
    states = _MISMATCH.search(said)
    if states is not None:
        executor, airflow = states.groups()
        found.title = f"State mismatch: {executor} for the executor, {airflow} for Airflow"
        if airflow in ("queued", "scheduled"):
            found.decisions.append(
                "The task's process never reported to Airflow: it failed before or while it started."
            )
    if (extra := _EXTRA.search(said)) is None:
        return found
    words = extra[1].strip()
    cause = causes.classify(None, words)
    found.title = f"The executor gave up: {words}"
    found.decisions.append("The executor says itself why it gave up.")
    if cause in _TOLD:
        found.cause, found.key = cause, (found.cause, cause, task)
    return found


def absent(absence: Absence, lines: Sequence[LogLine], task: str) -> Finding:
    """What stands in the log's place."""
    summary = causes.CAUSES[absence.value].summary
    telling = next((line for line in lines[:40] if header.absence(line.text) is absence), None)
    found = _known(absence.value, absence.value[:1].upper() + absence.value[1:], task, telling)
    found.decisions = [f"{summary} Without the log only this and the task tell the failure from others."]
    return found


def silent(segment: Segment, task: str, status: LogStatus) -> Finding:
    """A log that neither ends nor errs, of which nothing else is known."""
    last = output.last_words(segment.before)
    numbers = (last.number,) if last is not None else ()
    why = "has no end" if status is LogStatus.PARTIAL else "holds no error"
    title = "No usable log" if status is LogStatus.MISSING or not segment.body else f"The log {why}"
    return Finding(("silent", task), title, "no usable log", numbers=numbers,
                   decisions=[f"The log {why}: only the task tells this failure from others."])  # fmt: skip


def ended(segment: Segment, task: str, circumstance: Circumstance | None = None) -> Finding | None:
    """How the process ended, where that says more than any of its output; None for a plain exit code."""
    line = segment.ended
    if line is None:
        return None
    is_stopped = line.text.startswith(header.STOPPED) or "externally set" in line.text[:200]
    if is_stopped and circumstance is not None and circumstance.kind is not CircumstanceKind.STATE_MISMATCH:
        return None  # the event tells why the state was changed
    if signal := line.signal or output.killed(line.exit_code):
        return killed(signal, line.number, task)
    if line.text.startswith("Process timed out"):
        return _known(
            "execution time-out", "Execution time-out", task, line, f"{place(line.number).capitalize()} says so."
        )
    if unloaded := _UNLOADED.match(line.text):
        return _unloaded(segment, line, unloaded["what"], task)
    if is_stopped:
        return _stopped(line, task)
    if "SIGTERM" in line.text[:200]:
        return killed("SIGTERM", line.number, task)
    return None


def killed(signal: str, number: int, task: str, where: str = "") -> Finding:
    """A process ended by a signal; what sent it is not in the log, and SIGKILL is most often for want of memory."""
    memory = signal in ("SIGKILL", "9", "-9")
    title = f"Killed by {signal}{' (out of memory?)' if memory else ''}"
    cause = "native crash" if signal in _OWN_DOING else "killed from outside"
    return Finding(("killed", signal, where, task), title, cause, numbers=(number,),
                   decisions=[f"{place(number).capitalize()}: the process was killed; the signal and the task count."])  # fmt: skip


def _stopped(line: LogLine, task: str) -> Finding:
    """Airflow itself told the worker to stop, since the try's state had been changed meanwhile."""
    found = killed("SIGTERM", line.number, task)
    state = _STATE.search(line.text[:400])
    name = (state[1] or state[2]) if state else ""
    why = _WHY_STOPPED.get(name, "its state was changed while it ran")
    found.title = f"Stopped by Airflow: set to {name} while it ran" if name else "Stopped by Airflow while it ran"
    if line.text.startswith(header.STOPPED) and line.text.endswith("Task Instance not found"):
        found.title, why = (
            "Stopped by Airflow: cleared or deleted while it ran",
            "somebody cleared it, or deleted its run, while it ran",
        )
    found.decisions.insert(0, f"Airflow told the worker to stop it: {why}.")
    return found


def _unloaded(segment: Segment, line: LogLine, what: str, task: str) -> Finding:
    """The worker did not find the DAG, or the task in it: its file does not import there, or is not the same there."""
    found = output.choose(segment, least=2) if what != "Task" else None
    if found is not None:
        found.key = ("DAG import", *found.key)
        found.title = f"DAG does not import on the worker: {found.title}"
        found.cause = "DAG import"
        found.decisions.append(
            f"{place(line.number).capitalize()}: the worker did not find the DAG, since its file does not import there."
        )
        return found
    missing = "Task" if what == "Task" else "DAG"
    return _known("DAG missing", f"{missing} not found on the worker", task, line,
                  f"{place(line.number).capitalize()}: the worker read the DAG's file and did not find the {missing.replace('Task', 'task')} in it, or found no file.")  # fmt: skip


def _known(cause: str, title: str, task: str, line: LogLine | None = None, *decisions: str) -> Finding:
    numbers = (line.number,) if line is not None else ()
    return Finding((cause, task), title, cause, numbers=numbers, decisions=list(decisions))


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


EXAMPLES = (
    Example(killed, ("INFO - Task exited with return code -9",), ("Killed by SIGKILL (out of memory?)",)),
    Example(
        _mismatch,
        ("INFO - working",),
        ("The executor gave up: OOMKilled",),
        Circumstance(CircumstanceKind.STATE_MISMATCH, "… Extra info: OOMKilled"),
    ),
    Example(
        _stopped,
        ("ERROR - Server indicated the task shouldn't be running anymore. Terminating process: its state is failed",),
        ("Stopped by Airflow: set to failed while it ran",),
    ),
    Example(_unloaded, ("ERROR - Dag not found during start up",), ("DAG not found on the worker",)),
    Example(silent, ("INFO - working",), ("The log holds no error",)),
)
