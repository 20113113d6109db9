"""Failed tries as CSV or JSON lines, however many, at flat memory: for a file, and for a download.

Owns the columns, that no spreadsheet takes a cell for a formula, and the last line: it says how many tries there are, so a
file without it was cut off.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from triage.errors import InputError
from triage.model import Occurrence
from ui.format import occurrence_json, printable

# Text a spreadsheet would calculate (OWASP, "CSV Injection"); a quote before it makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
COLUMNS = (
    "id", "deployment", "dag_id", "task_id", "run_id", "map_index", "try_number", "started_at", "ended_at", "problem", "title", "cause",
    "exception", "evidence", "reason", "owner", "operator", "pool", "host", "final", "log", "fingerprint",
)  # fmt: skip
_BLOCK = 1 << 16  # characters written at once


class Form(StrEnum):
    """How an export is written."""

    CSV = "csv"
    LINES = "jsonl"

    @property
    def media(self) -> str:
        """Its media type."""
        return "text/csv; charset=utf-8" if self is Form.CSV else "application/x-ndjson"


def form_of(file: Path) -> Form:
    """Tell the form by a file's name; InputError for any other."""
    try:
        return Form(file.suffix.lower().lstrip("."))
    except ValueError as exc:
        raise InputError(f"{file} names no form to export in.", "Let its name end with .csv or .jsonl.") from exc


def exported(facts: Iterable[Occurrence], owner: Callable[[Occurrence], str], form: Form) -> Iterator[str]:
    """Yield an export in blocks of text; the last line is written only after the last failed try.

    `owner` names a try's problem. Errors of the store pass through, so that who sends it can break off.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    if form is Form.CSV:
        writer.writerow(COLUMNS)
    count = 0
    for fact in facts:
        count += 1
        values = occurrence_json(fact, owner(fact))
        if form is Form.CSV:
            writer.writerow([_cell(name, values) for name in COLUMNS])
        else:
            text.write(json.dumps(values) + "\n")
        if text.tell() > _BLOCK:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    text.write(f"# end: {count}\r\n" if form is Form.CSV else json.dumps({"end": count}) + "\n")
    yield text.getvalue()


def _cell(name: str, values: dict[str, Any]) -> str | int:
    value = values[name]
    if name == "evidence":
        value = "\n".join(line["text"] for line in value)
    if name == "map_index" and value < 0:
        return ""  # not mapped
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return value
    said = printable(value or "")
    return f"'{said}" if said.lstrip(" ").startswith(_FORMULA) else said


def write(
    blocks: Iterable[str], file: Path
) -> None:  # fmt: skip
    """Write an export into a file that appears only when it is whole; InputError where it cannot be written."""
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as out:
            out.writelines(blocks)
        os.replace(part, file)
    except OSError as exc:
        raise InputError(
            f"{file} cannot be written: {exc.strerror}.", "Name a file in a folder you may write."
        ) from exc
    finally:
        part.unlink(missing_ok=True)
