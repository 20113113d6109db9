"""The bytes of a log, in any dress Airflow has written since 1.10, as a bounded stream of `LogLine`.

Owns splitting, decoding, cleaning, the NDJSON records of 3.x and the prefixed text before it. Hides that a record may be
50 MB and a log gigabytes: memory stays at a few MiB and time linear. Must not judge what a line tells of the failure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from triage import traces
from triage.dress import undress
from triage.header import told
from triage.model import Frame, LogLine, Raised, Unread
from triage.redact import PLAIN, Redactor
from triage.remembered import remembered

# How much of a long text is looked at for secrets before it is cut.
SEEN = 32 * 1024
# One raw line longer than this is read by its two ends only.
_LINE_MAX = 1 << 20
# A text record with more lines than this much text goes on as a second record.
_RECORD_MAX = 64 * 1024
_SLICE = 1 << 18

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)?|[@-Z\\-_=>78])")
# The bytes of text that needs no cleaning: what can be printed, tabs and new lines.
_PRINTED = bytes([9, 10, *range(32, 127)])
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# What may be missing is an alternative to nothing, which is quicker than a group that is optional.
_PREFIX = (
    r"(?:\[(\d{4}-\d\d-\d\d[T ,][^\]\n]{8,30})\] |)(?:\{{1,2}([^}:\s]{1,120}+)(?::\d+|)\}{1,2} |) ?"
    r"(DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL) - "
)
_PREFIXED = re.compile(_PREFIX)
# Where a record begins, or may begin: an object of NDJSON is known only once it is read.
_BEGIN = re.compile(rf"\n(?:{_PREFIX}|(?=\{{))")
_LEVELS = {name: name.lower() for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")} | {
    "WARN": "warning"
}
_SOURCE = re.compile(r': source="([^"\n]{1,200})"\s*$')
_HASHED = re.compile(r"unusual_prefix_[0-9a-f]{40}_")
_EXITED = re.compile(r"Task exited with return code (-?\d+)")
# Of a text record: its stamp, logger and level.
_Head = tuple[str | None, str | None, str]


def read(chunks: Iterable[bytes | Unread], redactor: Redactor = PLAIN, *, is_timed: bool = True) -> Reading:
    """Read a log from its bytes, however they are cut into chunks; never raises for what they hold.

    `redactor` masks what is shortened at once, so that no secret is cut in two. Not `is_timed`: the lines carry no times.
    """
    return Reading(chunks, redactor, is_timed=is_timed)


class Reading(Iterator[LogLine]):
    """The lines of a log as they stream by, numbered in this order; `total_bytes` and `total_lines` count them so far.

    `unread` bytes were left out behind line `gap`, if any.
    """

    def __init__(self, chunks: Iterable[bytes | Unread], redactor: Redactor = PLAIN, *, is_timed: bool = True) -> None:
        self._redactor = redactor
        self._is_timed = is_timed
        self._is_plain = True  # nothing so far that `clean` would change
        self.total_bytes = self.unread = 0
        self.total_lines = 0
        self.gap: int | None = None
        self._clock: dict[str, datetime | None] = {}
        self._lines = self._records(undress(self._split(chunks)))

    def __iter__(self) -> Iterator[LogLine]:
        return self._lines

    def __next__(self) -> LogLine:
        return next(self._lines)

    def _split(self, chunks: Iterable[bytes | Unread]) -> Iterator[str | None]:
        """Cut into blocks of whole lines, at newline bytes only: U+2028 and U+0085 stand raw inside events.

        Of an endless line the two ends come through; None stands for what was not read.
        """
        open_: list[bytes] = []
        size = held = 0
        for chunk in chunks:
            if isinstance(chunk, Unread):
                if open_:
                    yield _decode(open_, size)
                self.unread += chunk.size
                self.total_bytes += chunk.size
                open_, size, held = [], 0, 0
                yield None
                continue
            for start in range(0, len(chunk), _SLICE):
                part = chunk[start : start + _SLICE]
                self.total_bytes += len(part)
                self._is_plain = self._is_plain and not part.translate(None, _PRINTED)
                end = part.rfind(b"\n")
                if end >= 0:
                    if open_:
                        first = part.find(b"\n")
                        yield _decode([*open_, part[:first]], size + first)
                    else:
                        first = -1
                    if first < end:
                        yield part[first + 1 : end].decode("utf-8", "replace")
                    open_, size, held = [], 0, 0
                if rest := part[end + 1 :]:
                    open_.append(rest)
                    size += len(rest)
                    held += len(rest)
                if held > 2 * _LINE_MAX:
                    whole = b"".join(open_)
                    open_, held = [whole[: _LINE_MAX // 2], whole[-_LINE_MAX // 2 :]], _LINE_MAX
        if open_:
            yield _decode(open_, size)

    def _records(self, blocks: Iterator[str | None]) -> Iterator[LogLine]:
        """Join what Airflow wrote as one record: an NDJSON line, or a prefixed line with those that follow it."""
        head: _Head | None = None
        said, is_timed = "", self._is_timed
        for block in blocks:
            if block is None:  # nothing is joined over what was not read
                if head is not None:
                    yield from self._closed(head, said)
                head, self.gap = None, self.total_lines if self.gap is None else self.gap
                continue
            is_plain = self._is_plain
            text = "\n" + (block if is_plain or "\x1b" not in block else _uncoloured(block))
            is_simple = is_plain and ': source="' not in text
            pieces = iter(_BEGIN.split(text))
            before = next(pieces)
            if head is not None:
                is_simple = is_simple and ': source="' not in said
                said += before
            elif before:
                yield from self._single(before[1:])
            for stamp, logger, level, more in zip(pieces, pieces, pieces, pieces, strict=True):
                line = None
                if level is None:
                    raw, _, rest = more.partition("\n")
                    line = self._json(raw, None if head is None else said)
                    if line is None:
                        if head is not None:
                            said += "\n" + more
                        else:
                            yield from self._single(more)
                        continue
                if head is None:
                    pass
                elif is_simple and "\n" not in said and said[:4] != "Task":
                    self.total_lines += 1
                    at = self._time(head[0]) if is_timed and head[0] else None
                    yield LogLine(self.total_lines, said, _LEVELS[head[2]], head[1], at)
                else:
                    yield from self._closed(head, said)
                if line is None:
                    head, said = (stamp, logger, level), more
                    continue
                head = None
                self.total_lines += 1
                yield line
                if len(raw) < len(more):
                    yield from self._single(rest)
            if head is not None and len(said) >= _RECORD_MAX:
                yield from self._closed(head, said)
                head = None
        if head is not None:
            yield from self._closed(head, said)

    def _closed(self, head: _Head, said: str) -> Iterator[LogLine]:
        """Finish a record; what is too much for one are lines by themselves."""
        cut = said.find("\n", _RECORD_MAX)
        whole = said if cut < 0 else said[:cut]
        self.total_lines += 1
        line = self._line(head, whole)
        self.total_lines += whole.count("\n")
        yield line
        if cut >= 0:
            yield from self._single(said[cut + 1 :])

    def _single(self, text: str) -> Iterator[LogLine]:
        """Take lines that belong to no record."""
        for raw in text.split("\n"):
            self.total_lines += 1
            yield LogLine(self.total_lines, raw if self._is_plain else clean(raw))

    def _line(self, head: _Head, said: str) -> LogLine:
        """Make a line of a text record: its head, all that it said, and what its traceback tells."""
        stamp, logger, level = head
        is_several = "\n" in said
        said = said.rstrip("\n") if is_several else said
        text = said if self._is_plain else clean(said)
        if ': source="' in text:
            text, logger = _sourced(text, logger)
        raised: tuple[Raised, ...] = ()
        if is_several:
            if "-----BEGIN" in text:  # before it is taken apart: the lines of a key stand together only here
                text = PLAIN.text(text)
            if 'File "' in text:
                raised = _raised(text)
            elif said.startswith("Task failed with exception"):
                raised = traces.parse_shown(text.split("\n")[1:])
        exited = _EXITED.match(said) if said.startswith("Task exited") else None
        code = int(exited[1][:10]) if exited else None
        at = self._time(stamp) if stamp and self._is_timed else None
        return LogLine(self.total_lines, text, _LEVELS[level], logger, at, raised, code)

    def _json(self, raw: str, said: str | None) -> LogLine | None:
        """Read an NDJSON line; `said` is the record that is open before it, counted only where this one ends it."""
        try:
            record = msgspec.json.decode(raw)
        except (ValueError, RecursionError):  # it is stricter than the standard library: no NaN, no lone surrogates
            record = _salvage(raw)
        if not isinstance(record, dict):
            return None
        event = record.get("event", record.get("message"))
        if not isinstance(event, str):
            return None
        level, logger, signal = (record.get(name) for name in ("level", "logger", "signal_name"))
        signal = signal or record.get("signal")
        code = record.get("exit_code")
        return LogLine(
            number=self.total_lines + (1 if said is None else said.count("\n") + 2),
            text=clean(event + told(event, record)),
            level=clean(level.lower())[:20] if isinstance(level, str) else None,
            logger=_HASHED.sub("", clean(logger)[:300]) if isinstance(logger, str) else None,
            at=self._time(str(record.get("timestamp") or "")) if self._is_timed else None,
            raised=_chain(record.get("error_detail"), self._redactor),
            exit_code=code if type(code) is int and abs(code) < 1 << 31 else None,
            signal=clean(str(signal))[:40] if signal else None,
        )

    def _time(self, text: str) -> datetime | None:
        """Parse a stamp that carries its zone; one without tells no time that could be compared."""
        if text not in self._clock:
            if len(self._clock) > 64:
                self._clock.clear()
            try:
                at = datetime.fromisoformat(text.replace(", ", "T").replace(" UTC", "Z"))
                self._clock[text] = at.astimezone(UTC) if at.tzinfo else None
            except (ValueError, OverflowError):
                self._clock[text] = None
        return self._clock[text]


def clean(text: str) -> str:
    """Make text safe to store and show: no escapes, no control characters, the last state of a progress bar."""
    if text.isprintable() or text.replace("\n", "").replace("\t", "").isprintable():
        return text
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\r" in text:
        text = "\n".join(_last_state(line) for line in text.split("\n"))
    return _CONTROL.sub("", text)


def _last_state(line: str) -> str:
    line = line.rstrip("\r")
    return line[line.rfind("\r") + 1 :]


def _decode(parts: list[bytes], size: int) -> str:
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if size <= _LINE_MAX:
        return data.decode("utf-8", "replace")
    half = _LINE_MAX // 4
    begin, end = data[:half].decode("utf-8", "replace"), data[-half:].decode("utf-8", "replace")
    return f"{begin} … [{size - 2 * half} bytes cut] … {end}"


def _uncoloured(block: str) -> str:
    """Take the escapes off those lines that begin a record."""
    lines = block.split("\n")
    for at, line in enumerate(lines):
        if "\x1b" in line and _PREFIXED.match(bare := _ANSI.sub("", line)):
            lines[at] = bare
    return "\n".join(lines)


def _sourced(text: str, logger: str | None) -> tuple[str, str | None]:
    """Take the logger off a record's text, behind which 3.x writes it; what it says already stays where it is none."""
    first, newline, rest = text.partition("\n")
    for whole, source in ((text, _SOURCE.search(text[-300:])), (first, _SOURCE.search(first[-300:]))):
        if source is not None:
            cut = whole[: len(whole) - len(source[0])]
            return cut if whole is text else cut + newline + rest, _HASHED.sub("", source[1])
    return text, logger


@remembered(1024, 4096)
def _raised(text: str) -> tuple[Raised, ...]:
    """Read the chain that a traceback of several lines tells."""
    if traces.HEADING in text:
        return traces.parse(text.split("\n"))
    return traces.parse_shown(text.split("\n")[1:])


def _salvage(raw: str) -> dict[str, Any] | None:
    """Read what the quick decoder refused; of a record cut in its middle the event's beginning, the names, the chain."""
    if " bytes cut] … " not in raw:
        try:
            whole = json.loads(raw)
        except (ValueError, RecursionError):
            return None
        return whole if isinstance(whole, dict) else None
    record: dict[str, Any] = {}
    for name in ("timestamp", "level", "logger", "event", "signal_name"):
        if found := re.search(rf'"{name}": ?"((?:[^"\\]|\\.){{0,{SEEN}}})', raw[: _LINE_MAX // 4]):
            record[name] = found[1].encode("utf-8", "replace").decode("unicode_escape", "replace")
    at = raw.rfind('"error_detail":')
    if at >= 0:
        try:
            record["error_detail"] = json.JSONDecoder().raw_decode(raw[at + 15 :].lstrip())[0]
        except (ValueError, RecursionError):
            kind = re.search(r'"exc_type": ?"(\w{1,200})"', raw[at : at + 2000])
            record["error_detail"] = [{"exc_type": kind[1] if kind else "Exception", "exc_value": raw[at : at + 2000]}]
    return record if "event" in record else None


def _chain(detail: object, redactor: Redactor, depth: int = 4) -> tuple[Raised, ...]:
    """Turn an `error_detail` into a chain; its frames carry no source lines."""
    if not isinstance(detail, list):
        return ()
    chain = []
    for entry in detail:
        if not isinstance(entry, dict):
            continue
        frames, parts, notes = entry.get("frames"), entry.get("exceptions"), entry.get("exc_notes")
        chain.append(
            Raised(
                type=clean(str(entry.get("exc_type") or "")),
                value=_value(clean(str(entry.get("exc_value") or "")), redactor),
                frames=tuple(_frame(one) for one in frames if isinstance(one, dict))
                if isinstance(frames, list)
                else (),
                notes=tuple(_value(clean(str(note)), redactor) for note in notes[:4])
                if isinstance(notes, list)
                else (),
                is_cause=entry.get("is_cause") is True,
                parts=tuple(_chain(part, redactor, depth - 1) for part in parts)
                if depth and isinstance(parts, list)
                else (),
            )
        )
    return traces.bounded(chain)


def _value(text: str, redactor: Redactor) -> str:
    """Shorten a long message with its secrets masked first, before `bounded` could cut one in two."""
    return redactor.trimmed(text, traces.MAX_VALUE - 80, SEEN) if len(text) > traces.MAX_VALUE else text


def _frame(one: dict[str, Any]) -> Frame:
    line = one.get("lineno")
    number = line if type(line) is int and 0 < line < 1 << 31 else None
    return Frame(clean(str(one.get("filename") or ""))[:500], number, clean(str(one.get("name") or ""))[:200])
