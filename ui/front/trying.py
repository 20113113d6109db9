"""A failed try as a row: what the `tries` component draws of it, and the lines of its log that a search hit.

Everything foreign is made printable here, and marked as it is shown, so that what stands between marks is what was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from triage.hits import parts, snippet
from triage.model import LogStatus, Occurrence
from triage.query import Words
from ui.format import one_line, printable, reason
from ui.front.desk import desk

_READ = 4_000_000  # characters of kept logs looked through for one page of hits; a typical log has five thousand


def try_row(it: Occurrence, problem_id: str, words: Sequence[Words] = ()) -> dict[str, Any]:
    """Return what the `tries` component draws of one failed try, the words of a query marked."""
    key, signed = it.key, it.signature
    mapped = f"[{it.map_label or key.map_index}]" if key.map_index >= 0 else ""
    marks = [
        {True: "final", False: "tried again", None: ""}[it.is_final],
        {LogStatus.PENDING: "log awaited", LogStatus.MISSING: "no log", LogStatus.PARTIAL: "part of the log"}.get(
            it.log, ""
        ),
        str(it.circumstance.kind) if it.circumstance else str(it.absence or ""),
    ]
    title = one_line(signed.title) if signed else "Log awaited"
    return {
        "id": key.id, "problem": problem_id, "task": parts(printable(f"{key.task}{mapped}"), words), "run": printable(key.run_id),
        "try": key.try_number, "host": one_line(it.host, 60), "deployment": key.deployment, "many": len(desk().settings.deployments) > 1,
        "title": parts(title, words), "at": it.ended_at.timestamp(),
        "took": (it.ended_at - it.started_at).total_seconds() if it.started_at else None,
        "marks": [mark for mark in marks if mark], "airflow": desk().airflow(key),
        "said": one_line(signed.evidence[0].text if signed and signed.evidence else reason(it), 300),
    }  # fmt: skip


def hit_rows(facts: Iterable[Occurrence], words: Sequence[Words]) -> list[dict[str, Any]]:
    """Return the rows of one page of hits, each with the lines of its log that hold the words.

    Logs are looked through until `_READ` characters are; rows behind show their evidence, as those without words do.
    """
    rows, left = [], _READ
    facts = list(facts)
    owners = desk().service.problems_by((fact.key.deployment, fact.fingerprint) for fact in facts)
    read = desk().service.store.occurrences(fact.key.id for fact in facts if words and fact.fingerprint)
    for fact in facts:
        row = try_row(fact, owners[fact.key.deployment, fact.fingerprint], words)
        if left > 0 and (kept := read.get(fact.key.id)) is not None:
            lines = kept.kept or ()
            left -= sum(len(line.text) for line in lines)
            if (found := snippet(lines, words, printable)) is not None:
                row |= {"line": found.number, "lines": found.lines}
        rows.append(row)
    return rows
