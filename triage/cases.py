"""Failed tries as corpus cases: `<group>/<case>.log`, so that a complaint about a grouping becomes a test.

Owns the dress in which a kept log is written anew (the NDJSON of Airflow 3, which our reader reads to the same lines),
what must stand beside it for the same fingerprint (a small `<case>.json`), the names of the files, and aliases for the names of
DAGs, tasks, runs and hosts. Every case is signed again before it counts as one. Reads and writes nothing.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from msgspec.structs import replace

from triage.editions import base
from triage.model import Circumstance, CircumstanceKind, Frame, LogLine, LogStatus, Occurrence, Raised, Signature
from triage.signature import VERSION, sign, sign_text

_KINDS = ("dag", "task", "run", "host")
_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Case:
    """One failed try as a case: its files by path below the folder, `log` first.

    `fingerprint` is the one that the files give, `stored` the one that is known of the try; `note` says in one sentence
    what to know of it, and is empty where both are the same.
    """

    id: str
    group: str
    name: str
    title: str
    fingerprint: str
    stored: str
    files: dict[str, bytes]
    note: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A failed try that cannot be written as was wished, and why, in one sentence."""

    id: str
    note: str


@dataclass(slots=True)
class Aliases:
    """Names and what stands for them in an anonymous folder, the same for the same name throughout."""

    names: dict[str, dict[str, str]] = field(default_factory=lambda: {kind: {} for kind in _KINDS})

    def learn(self, occurrence: Occurrence) -> None:
        """Take the names of one failed try."""
        key = occurrence.key
        for kind, name in zip(_KINDS, (key.dag_id, key.task_id, key.run_id, occurrence.host), strict=True):
            if name:
                known = self.names[kind]
                known.setdefault(name, f"{kind}{'-' if kind == 'host' else '_'}{len(known) + 1}")

    def replacer(self, without: str = "") -> Callable[[str], str]:
        """Return what puts the aliases into a text, whole names only; `without` leaves one kind as it is."""
        table: dict[str, str] = {}
        for kind in _KINDS:
            for name, alias in self.names[kind].items():
                for form in _forms(name) if kind != without else ():
                    table.setdefault(form, alias)
        if not table:
            return lambda text: text
        either = "|".join(re.escape(form) for form in sorted(table, key=len, reverse=True))
        pattern = re.compile(rf"(?<![A-Za-z0-9_])(?:{either})(?![A-Za-z0-9_])")
        return lambda text: pattern.sub(lambda match: table[match[0]], text)


def _forms(name: str) -> Iterator[str]:
    """A name as it stands in logs: itself, in an address, and in a pod's name."""
    yield name
    yield quote(name, safe="")
    if len(name) > 3:
        yield re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or name


def has_log(occurrence: Occurrence) -> bool:
    """Say whether lines of the try's log are kept, so that it can be a case."""
    return occurrence.log in (LogStatus.WHOLE, LogStatus.PARTIAL)


def rebuilt(lines: Iterable[LogLine]) -> bytes:
    """Write kept lines as Airflow 3 writes a log: one JSON object a line."""
    return b"".join(json.dumps(_record(line), ensure_ascii=False).encode() + b"\n" for line in lines)


def signed(log: bytes, beside: bytes | None = None, task: str = "") -> Signature:
    """Sign a case as its test does: the log with what stands beside it; `task` where that names none."""
    known: dict[str, Any] = json.loads(beside) if beside else {}
    said = known.get("circumstance")
    return sign_text(
        log,
        Circumstance(CircumstanceKind(said["kind"]), said.get("text", "")) if said else None,
        task=known.get("task", task),
        status=LogStatus(known.get("status", LogStatus.WHOLE)),
    )


def case(occurrence: Occurrence, place: int, aliases: Aliases | None = None) -> Case | LeftOut:
    """Make a case of a failed try with its kept log; `place` counts them from 1. With `aliases` its names are replaced."""
    if aliases is None:
        return _made(occurrence, place, None)
    made = _made(occurrence, place, aliases.replacer())
    if isinstance(made, Case):
        return made
    telling = [kind for kind in _KINDS if isinstance(_made(occurrence, place, aliases.replacer(kind)), Case)]
    what = f"the name of its {telling[0]}" if telling else "more than one of its names"
    return LeftOut(occurrence.key.id, f"A failed try was left out: {what} tells its failure from others, so it cannot be replaced.")  # fmt: skip


def _made(occurrence: Occurrence, place: int, put: Callable[[str], str] | None) -> Case | LeftOut:
    """Write the try, with `put` for its names, and sign it again; LeftOut where that gives another fingerprint."""
    kept = tuple(occurrence.kept or ())
    task, said = occurrence.key.task, occurrence.circumstance
    if put is not None:
        task = ".".join(map(put, (occurrence.key.dag_id, occurrence.key.task_id)))
    today = _today(occurrence, task)
    log = rebuilt(kept if put is None else (_renamed(line, put) for line in kept))
    known: dict[str, Any] = {"task": task, "status": str(occurrence.log)}
    if said is not None:  # the account that acted is a person, and never counts
        known["circumstance"] = {"kind": str(said.kind), "text": put(said.text) if put else said.text}
    beside, again = _beside(log, known, today.fingerprint)
    note = _note(occurrence, today, again, is_anonymous=put is not None)
    if put is not None and again.fingerprint != today.fingerprint:
        return LeftOut(occurrence.key.id, note)
    group = f"{_slug(again.title, 48)}_{_slug(occurrence.fingerprint or again.fingerprint, 40).partition('_')[2][:6]}"
    name = f"{_slug(task, 60)}_try{occurrence.key.try_number}"
    name += f"_map{occurrence.key.map_index}" if occurrence.key.map_index >= 0 else ""
    name += f"_{place}" if put is not None else f"_{occurrence.key.id[:8]}"
    files = {f"{group}/{name}.log": log} | ({f"{group}/{name}.json": beside} if beside else {})
    return Case(
        occurrence.key.id, group, name, again.title, again.fingerprint, base(occurrence.fingerprint), files, note
    )


def _beside(log: bytes, known: dict[str, Any], wanted: str) -> tuple[bytes | None, Signature]:
    """Return the least that must stand beside a log for the wanted fingerprint, and the signature that it then has."""
    for names in ((), ("task",), ("task", "circumstance"), ("task", "status"), ("circumstance",)):
        beside = _json({name: known[name] for name in names if name in known}) if names else None
        if (made := signed(log, beside)).fingerprint == wanted:
            return beside, made
    beside = _json(known)
    return beside, signed(log, beside)


def _json(known: dict[str, Any]) -> bytes:
    return json.dumps(known, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _today(occurrence: Occurrence, task: str = "") -> Signature:
    return sign(
        occurrence.kept or (),
        occurrence.circumstance,
        task=task or occurrence.key.task,
        status=occurrence.log,
        absence=occurrence.absence,
    )


def _note(occurrence: Occurrence, today: Signature, again: Signature, *, is_anonymous: bool) -> str:
    stored, signature = base(occurrence.fingerprint), occurrence.signature
    if again.fingerprint != today.fingerprint:
        return f"What is kept gives {today.fingerprint}, and this file {again.fingerprint}."
    if again.fingerprint == stored:
        return ""
    if signature is not None and signature.version != VERSION:
        return f"It was signed as {stored} by rules of version {signature.version}; those of version {VERSION} give {again.fingerprint}."
    if is_anonymous and _today(occurrence).fingerprint == stored:
        return (
            f"The task is part of the fingerprint, so under its other name it is {again.fingerprint} and not {stored}."
        )
    return f"It is stored as {stored}; the rules that airtriage brings along give {again.fingerprint}, so a rule of the settings, or a line that is not kept, made the difference."


def _slug(text: str, most: int) -> str:
    """Make text a part of a path on any system: small letters of ASCII, digits and underscores; never empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return _SLUG.sub("_", plain).strip("_")[:most].rstrip("_") or "unnamed"


def _record(line: LogLine) -> dict[str, Any]:
    record: dict[str, Any] = {}
    if line.at is not None:
        record["timestamp"] = line.at.isoformat().replace("+00:00", "Z")
    if line.level is not None:
        record["level"] = line.level
    record["event"] = line.text
    if line.logger is not None:
        record["logger"] = line.logger
    if line.exit_code is not None:
        record["exit_code"] = line.exit_code
    if line.signal is not None:
        record["signal_name"] = line.signal
    if line.raised:
        record["error_detail"] = _detail(line.raised)
    return record


def _detail(chain: Sequence[Raised]) -> list[dict[str, Any]]:
    return [
        {
            "exc_type": one.type,
            "exc_value": one.value,
            "exc_notes": list(one.notes),
            "is_cause": one.is_cause,
            "frames": [{"filename": f.file, "lineno": f.line, "name": f.function} for f in one.frames],
            "exceptions": [_detail(part) for part in one.parts],
        }
        for one in chain
    ]


def _renamed(line: LogLine, put: Callable[[str], str]) -> LogLine:
    logger = put(line.logger) if line.logger is not None else None
    return replace(line, text=put(line.text), logger=logger, raised=_renamed_chain(line.raised, put))


def _renamed_chain(chain: Sequence[Raised], put: Callable[[str], str]) -> tuple[Raised, ...]:
    return tuple(
        replace(
            one,
            type=put(one.type),
            value=put(one.value),
            notes=tuple(map(put, one.notes)),
            frames=tuple(Frame(put(f.file), f.line, put(f.function)) for f in one.frames),
            parts=tuple(_renamed_chain(part, put) for part in one.parts),
        )
        for one in chain
    )
