"""What is kept of a log: its head, what a signature is made from, its tail; redacted, and bounded however long the log is.

Owns the choice of what is stored, the test whether a log is whole, and the door to how one is read (`reading`). Must not
judge which error is the cause.
"""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from msgspec.structs import replace

from triage.header import Header
from triage.model import Absence, Circumstance, LogLine, LogStatus, Raised
from triage.reading import SEEN, Reading, clean, read
from triage.redact import PLAIN, Redactor
from triage.redact.ahead import Ahead
from triage.scan import Scan, Segment

LIMIT = 256 * 1024
# The longest single text that is kept whole.
_TEXT_MAX = 8 * 1024
# What a line takes beside its text: the JSON of an empty one, as it is stored, is 104 characters; so for exceptions and frames.
_LINE_COST, _RAISED_COST, _FRAME_COST = 104, 74, 39
# How many lines that people's rules take for a cause are kept, at most.
_TELLING = 16
# Airflow's supervisor ends a try at most 5 s after its last record (it waits for open sockets); 1 s for rounding.
_SILENCE = timedelta(seconds=6)

_FAILING = re.compile(
    r"Marking task as (?:FAILED|UP_FOR_RETRY)|Task exited with return code (?!0\b)|Task failed with exception"
    r"|Task exited(?! with)|Process (?:timed out|exited abnormally)"
)
_PAGE = re.compile(r"\s*<(?:!doctype html|html|head|body|\?xml)\b", re.I)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is stored of a log, redacted, in its order: head, surroundings of what tells, tail.

    `total_lines` counts what was read, `total_bytes` the real log, `unread` those left out in its middle. `has_body` is
    False for a header alone, and `absence` then what the header says of the log; `is_page` is True for a web page in a
    log's place; `verdict` says how the last start of the task ended as the log tells it: "failed", "paused" or "" for
    nothing.
    """

    lines: tuple[LogLine, ...]
    total_lines: int
    total_bytes: int
    unread: int = 0
    has_body: bool = False
    is_page: bool = False
    absence: Absence | None = None
    last_at: datetime | None = None
    verdict: str = ""


def keep(
    lines: Iterable[LogLine],
    limit: int = LIMIT,
    redactor: Redactor = PLAIN,
    telling: Callable[[LogLine], bool] | None = None,
) -> Kept:
    """Keep at most about `limit` characters: a quarter head, what a signature is made from, the tail; redacted.

    `telling` finds lines that a signature is made from beside those that we know of; the last few of them are kept.
    """
    chosen = choose(lines, limit, redactor, telling)
    return dataclasses.replace(chosen, lines=tuple(redactor.lines(chosen.lines)))


def choose(
    lines: Iterable[LogLine],
    limit: int = LIMIT,
    redactor: Redactor = PLAIN,
    telling: Callable[[LogLine], bool] | None = None,
) -> Kept:
    """Choose what would be kept, not redacted yet but where a text was cut: for who masks the few lines that he reads."""
    scan = Scan(Segment(is_stream=True))
    taken: deque[LogLine] = deque(maxlen=_TELLING)
    head: list[LogLine] = []
    tail: deque[LogLine] = deque()
    head_size = tail_size = total = size = 0
    header, is_page = Header(), False
    last_at: datetime | None = None
    for line in lines:
        total += 1 + line.text.count("\n")
        size += len(line.text) + 1
        line = _trimmed(line, redactor)
        if header.is_open:
            header.feed(line, total)
            is_page = (total <= 3 and _PAGE.match(line.text) is not None) or is_page
        scan.feed(line)
        if telling is not None and telling(line):
            taken.append(line)
        if line.at is not None and (last_at is None or line.at > last_at):
            last_at = line.at
        weight = _weight(line)
        if head_size + weight <= limit // 4 and not tail:
            head.append(line)
            head_size += weight
            continue
        tail.append(line)
        tail_size += weight
        while tail_size > limit // 4 and len(tail) > 1:
            tail_size -= _weight(tail.popleft())
    chosen = {line.number: line for line in _evidence(scan, [*reversed(taken)], limit // 2)}
    chosen |= {line.number: line for line in (*head, *tail)}
    ordered = [chosen[number] for number in sorted(chosen)]
    total_lines = getattr(lines, "total_lines", total)
    if (gap := getattr(lines, "gap", None)) is not None:
        ordered = [
            line if line.number <= gap else replace(line, number=line.number - total_lines - 1) for line in ordered
        ]
    return Kept(
        lines=tuple(ordered),
        total_lines=total_lines,
        total_bytes=getattr(lines, "total_bytes", size),
        unread=getattr(lines, "unread", 0),
        has_body=not header.is_open,
        is_page=is_page,
        absence=header.absence if header.is_open else None,
        last_at=last_at,
        verdict=_verdict(scan.segment, tail or head),
    )


def chosen(data: bytes, redactor: Redactor = PLAIN) -> tuple[Sequence[LogLine], Absence | None]:
    """Read the lines of a log that `keep` would keep, for `ahead` to mask, and why there is none."""
    reading = read([data], redactor, is_timed=False)
    if len(data) <= LIMIT:
        lines = list(reading)
        # Exceptions weigh twice their text at most, so that the most logs need not be weighed.
        is_small = len(data) + _LINE_COST * reading.total_lines <= LIMIT // 6
        if is_small or sum(map(_weight, lines)) <= LIMIT // 4:
            return lines, _absence(lines)
        kept = choose(lines, redactor=redactor)
    else:
        kept = choose(reading, redactor=redactor)
    return kept.lines, kept.absence


def _absence(lines: Sequence[LogLine]) -> Absence | None:
    header = Header()
    total = 0
    for line in lines:
        total += 1 + line.text.count("\n")
        header.feed(line, total)
        if not header.is_open:
            return None
    return header.absence


def ahead(redactor: Redactor) -> Callable[[Sequence[LogLine]], Ahead]:
    """How lines are masked that were only read or chosen: as `keep` does it with all of them."""
    return partial(Ahead, redactor=redactor, trim=_trimmed)


def _verdict(segment: Segment, last: Iterable[LogLine]) -> str:
    if segment.verdict is not None:
        return "failed"
    if any(_FAILING.match(line.text) for line in last if segment.start is None or line.number > segment.start.number):
        return "failed"
    return "paused" if segment.paused else ""


def _evidence(scan: Scan, wanted: list[LogLine | None], budget: int) -> Iterator[LogLine]:
    """The lines a signature is made from, the most telling first (those that are `wanted`), within the budget."""
    for segment in (scan.counted(), scan.earlier):
        if segment is not None:
            wanted += [segment.start, segment.failed, segment.ended, segment.job, *reversed(segment.before)]
            for block in (*reversed(segment.blocks), segment.first):
                wanted += [*block.lines, *block.between, block.after] if block else []
    for line in wanted:
        if line is not None:
            budget -= _weight(line)
            if budget >= 0:
                yield line


def _weight(line: LogLine) -> int:
    return (
        _LINE_COST
        + len(line.text)
        + len(line.logger or "")
        + (sum(map(_raised_weight, line.raised)) if line.raised else 0)
    )


def _raised_weight(raised: Raised) -> int:
    own = _RAISED_COST + len(raised.type) + len(raised.value)
    own += sum(_FRAME_COST + len(frame.file) + len(frame.function) for frame in raised.frames)
    return own + sum(map(len, raised.notes)) + sum(_raised_weight(one) for part in raised.parts for one in part)


def _trimmed(line: LogLine, redactor: Redactor) -> LogLine:
    """Cut the middle out of a long text, with room left for secrets to be seen whole before `redact` shortens it."""
    return line if len(line.text) <= _TEXT_MAX else replace(line, text=redactor.trimmed(line.text, _TEXT_MAX, SEEN))


def status(kept: Kept, ended_at: datetime | None, circumstance: Circumstance | None) -> LogStatus:
    """Judge how much of a try's log this is; whole means that its end is in it, or that Airflow explains the silence.

    `ended_at` is the try's end on the Airflow server's clock.
    """
    if not kept.has_body or kept.is_page:
        return LogStatus.MISSING
    if circumstance is not None:
        return LogStatus.WHOLE
    if kept.verdict != "failed":
        return LogStatus.PARTIAL
    if ended_at is not None and kept.last_at is not None and kept.last_at < ended_at - _SILENCE:
        return LogStatus.PARTIAL
    return LogStatus.WHOLE


__all__ = ["LIMIT", "Kept", "Reading", "ahead", "choose", "chosen", "clean", "keep", "read", "status"]
