"""`airtriage sign`: logs from files to signatures, without any store.

Owns the JSON lines format (`{"id", "log_text"}` a line) and its errors: what cannot be read is named by its file and
line, the rest goes on, and the exit code says so. Memory is flat over any number of records, and a line of any length
is read in bounded pieces; all but the signing itself is a few microseconds a record.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from triage import logs, signature
from triage.model import Signature
from triage.signature.rules import NONE, Rules

# The longest record: decoded at its worst (four bytes a character, twice) it takes 200 MiB.
LIMIT = 16 << 20
_TOO_LONG, _NO_RECORD = f"is longer than {LIMIT >> 20} MiB", 'is not a JSON object with "id" and "log_text"'
_CHUNK = 1 << 16  # bytes read at once of a log
_BUFFER = 1 << 20  # and of a file of records
_LONG = 32 << 20  # bytes from which on somebody at a terminal wants to see how far it is
_STEP = 200  # records between two looks at that


class _Record(msgspec.Struct):
    id: Any
    log_text: str


_decode = msgspec.json.Decoder(_Record).decode
_encode = msgspec.json.Encoder().encode
_BAD_FILE = (OSError, EOFError, zlib.error)


def sign_files(
    files: Sequence[str], rules: Rules = NONE, *, task: str = "", explain: bool, as_json: bool, records: bool = False
) -> int:
    """Sign files, or standard input (`-`), and print the results; returns the exit code, 1 if anything was left out.

    A file whose name ends in .jsonl holds a record a line, as all do where `records` says so; .gz is unpacked.
    """
    signer = partial(signature.sign_text, task=task, rules=rules)
    printer = _Printer(task, explain=explain, as_json=as_json)
    wrong = 0
    for file in files:
        name = click.format_filename(file)
        try:
            with _opened(file) as (source, raw):
                printer.is_live = sys.stdout.isatty() or not _is_file(raw)
                if records or file.removesuffix(".gz").endswith(".jsonl"):
                    wrong += _sign_records(source, raw, name, printer, signer)
                else:
                    wrong += _sign_log(source, name, printer, rules, task)
        except BrokenPipeError:
            raise
        except _BAD_FILE as exc:
            wrong += 1
            _say(f"{name} cannot be read: {_reason(exc)}. Give the path of a log, or - for standard input.")
    printer.flush()
    return 1 if wrong else 0


@contextlib.contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file: what is read from, and what tells how far it is."""
    if file == "-":
        yield sys.stdin.buffer, sys.stdin.buffer
        return
    with Path(file).open("rb", buffering=_BUFFER) as raw:
        if file.endswith(".gz"):
            with gzip.GzipFile(fileobj=raw) as packed, io.BufferedReader(packed, _BUFFER) as source:
                yield source, raw
        else:
            yield raw, raw


def _sign_log(source: BinaryIO, name: str, printer: _Printer, rules: Rules, task: str) -> int:
    broken: list[str] = []

    def chunks() -> Iterator[bytes]:
        try:
            while chunk := source.read(_CHUNK):
                yield chunk
        except _BAD_FILE as exc:
            broken.append(_reason(exc))

    kept = logs.keep(logs.read(chunks()), telling=rules.telling)
    if broken and not kept.total_bytes:
        raise OSError(broken[0])
    signed = signature.sign(kept.lines, absence=kept.absence, task=task, rules=rules)
    printer.print("-" if name == "-" else Path(name).name, signed)
    if broken:
        _say(f"{name} could be read for {kept.total_bytes} bytes only: {broken[0]}.")
    return len(broken)


def _sign_records(
    source: BinaryIO, raw: BinaryIO, name: str, printer: _Printer, signer: Callable[[bytes], Signature]
) -> int:
    wrong = number = 0
    with _progress(raw) as bar:
        task = bar.add_task(name, total=_size(raw) or None)
        try:
            for number, line in enumerate(_lines(source), 1):
                if line is not None and line.isspace():
                    continue
                record = _read(line) if line is not None else None
                if record is not None:
                    text = record.log_text.encode("utf-8", "surrogatepass")
                    printer.print(record.id, signer(text))
                else:
                    wrong += 1
                    _say(f"Line {number} of {name} {_TOO_LONG if line is None else _NO_RECORD}; it was left out.")
                if number % _STEP == 0 and not bar.disable:
                    bar.update(task, completed=raw.tell())
        except BrokenPipeError:
            raise
        except _BAD_FILE as exc:
            wrong += 1
            _say(f"Line {number + 1} of {name} and what follows cannot be read: {_reason(exc)}.")
    return wrong


def _lines(source: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a file without a byte order mark; None for one that is too long, of which no more is held."""
    is_first = True
    while line := source.readline(LIMIT + 1):
        if is_first:
            line, is_first = line.removeprefix(b"\xef\xbb\xbf") or b"\n", False
        if len(line) <= LIMIT or line.endswith(b"\n"):
            yield line
            continue
        del line
        while (rest := source.readline(_BUFFER)) and not rest.endswith(b"\n"):
            pass
        yield None


def _read(line: bytes) -> _Record | None:
    """Read one record, None if it is none; the strict and quick way, then Python's own, which knows lone surrogates."""
    with contextlib.suppress(ValueError, RecursionError):
        return _decode(line)
    try:
        record = json.loads(line)
        found = _Record(record["id"], record["log_text"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found.log_text, str) else None


class _Printer:
    """Writes results in blocks, so that a record costs no system call; at once where somebody may be waiting for it."""

    def __init__(self, task: str, *, explain: bool, as_json: bool) -> None:
        self._task = task
        self._explain, self._as_json = explain, as_json
        self._out = sys.stdout.buffer
        self._encoding = sys.stdout.encoding or "utf-8"
        self.is_live = True

    def print(self, id: object, signed: Signature) -> None:
        self._out.write(self._json(id, signed) if self._as_json else self._words(signed))
        if self.is_live:
            self._out.flush()

    def flush(self) -> None:
        self._out.flush()

    def _json(self, id: object, signed: Signature) -> bytes:
        answer: dict[str, object] = {
            "id": id,
            "fingerprint": signed.fingerprint,
            "title": signed.title,
            "cause": signed.cause,
        }
        if self._explain:
            answer["evidence"] = [{"line": e.number, "text": e.text} for e in signed.evidence]
            answer["decisions"] = signed.decisions
            answer["differs"] = list(signature.differs(signed, self._task))
            answer["masked"] = [
                {"line": evidence.number, "mask": hit.mask, "before": hit.before, "after": hit.after}
                for evidence, hits in signature.masked(signed)
                for hit in hits
            ]
        try:
            return _encode(answer) + b"\n"
        except (ValueError, RecursionError):  # an id with a lone surrogate, which only an escape can say
            return json.dumps(answer).encode() + b"\n"

    def _words(self, signed: Signature) -> bytes:
        text = f"{signed.fingerprint}  {signed.title}\n"
        if self._explain:
            text += signature.explain(signed, self._task) + "\n"
        return text.encode(self._encoding, "replace")


def _progress(raw: BinaryIO) -> Progress:
    """How far a long file is, where somebody looks on and the results go into a file."""
    console = Console(stderr=True)
    wanted = console.is_terminal and _is_file(sys.stdout) and _size(raw) >= _LONG
    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=not wanted)


def _size(raw: BinaryIO) -> int:
    return os.fstat(raw.fileno()).st_size


def _is_file(stream: Any) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False


def _reason(exc: BaseException) -> str:
    return getattr(exc, "strerror", None) or str(exc).rstrip(".") or type(exc).__name__


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
