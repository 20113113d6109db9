"""`airtriage sign`: logs from files to signatures, without any store.

Owns the JSON lines format (`{"id", "log_text"}` a line) and its errors: a bad record is named by its line, the other
records go on, and the exit code says so. Memory is flat over any number of records.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from triage import logs, signature
from triage.errors import InputError
from triage.model import Signature
from triage.signature.rules import NONE, Rules

_CHUNK = 1 << 16  # bytes read at once


def sign_file(file: str, rules: Rules = NONE, *, task: str = "", explain: bool, as_json: bool) -> int:
    """Sign a file or standard input (`-`) and print the result; returns the exit code."""
    with _opened(file) as source:
        if file.endswith(".jsonl"):
            return _sign_records(source, rules, task, explain=explain, as_json=as_json)
        name = "-" if file == "-" else Path(file).name
        kept = logs.keep(logs.read(iter(lambda: source.read(_CHUNK), b"")), telling=rules.telling)
        signed = signature.sign(kept.lines, absence=kept.absence, task=task, rules=rules)
        _print(name, signed, task, explain=explain, as_json=as_json)
    return 0


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as source:
            yield source
    except OSError as exc:
        raise InputError(
            f"{file} cannot be read: {exc.strerror}.", "Give the path of a log, or - for standard input."
        ) from exc


def _sign_records(source: BinaryIO, rules: Rules, task: str, *, explain: bool, as_json: bool) -> int:
    wrong = 0
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            id, text = record["id"], record["log_text"]
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            wrong += 1
            click.echo(f'Line {number} is not a JSON object with "id" and "log_text"; it was left out.', err=True)
            continue
        signed = signature.sign_text(text.encode("utf-8", "surrogatepass"), task=task, rules=rules)
        _print(str(id), signed, task, explain=explain, as_json=as_json)
    return 1 if wrong else 0


def _print(id: str, signed: Signature, task: str, *, explain: bool, as_json: bool) -> None:
    if as_json:
        answer: dict[str, object] = {
            "id": id,
            "fingerprint": signed.fingerprint,
            "title": signed.title,
            "cause": signed.cause,
        }
        if explain:
            answer |= {
                "evidence": [{"line": e.number, "text": e.text} for e in signed.evidence],
                "decisions": list(signed.decisions),
                "differs": list(signature.differs(signed, task)),
                "masked": [
                    {"line": evidence.number, "mask": hit.mask, "before": hit.before, "after": hit.after}
                    for evidence, hits in signature.masked(signed)
                    for hit in hits
                ],
            }
        click.echo(json.dumps(answer))
    else:
        click.echo(f"{signed.fingerprint}  {signed.title}")
        if explain:
            click.echo(signature.explain(signed, task))
