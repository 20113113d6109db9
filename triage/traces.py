"""Python tracebacks as text, in the interpreter's own form and in the form Airflow 3's page shows, into `Raised` chains.

Owns the two grammars and their damage: cut at the head, source lines without indent, several chained, groups. Hides
which form it was: a chain always comes out the raised one first, its root cause last. Must not judge which error counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from triage.model import Frame, Raised
from triage.remembered import remembered

HEADING = "Traceback (most recent call last)"
GROUP_HEADING = "Exception Group Traceback (most recent call last)"
MAX_CHAIN, MAX_FRAMES, MAX_PARTS, MAX_VALUE = 12, 50, 16, 4096

_FRAME = re.compile(r'\s*File "([^"\n]{0,1000})", line (\d{1,9})(?:,? in (.{0,200}))?$')
_TYPE = re.compile(
    r"([A-Za-z_][\w.]{0,200}?(?:Error|Exception|Exit|Interrupt|Warning|Timeout|Failure|Failed|Group|Violation))(?:: |:?$)"
)
_RAISED = re.compile(r"([A-Za-z_][\w.<>]{0,200})(?::(?: |$)|$)")
_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"
_PART = re.compile(r"(\s*)\+-([+-])-{8,}(?: (?:\d+|\.\.\.) -+)?\s*$")
_BAR = re.compile(r"\s*[|+] ?")


@dataclass(slots=True)
class _Entry:
    """One exception while its lines are read, `size` characters of its value; `link` is how the next one in the text
    follows from it.
    """

    frames: list[Frame] = field(default_factory=list)
    type: str = ""
    value: list[str] = field(default_factory=list)
    size: int = 0
    link: str = ""
    parts: tuple[tuple[Raised, ...], ...] = ()


def is_frame(text: str) -> bool:
    """Whether the line names a stack frame."""
    return 'File "' in text and _FRAME.match(text) is not None


def is_link(text: str) -> bool:
    """Whether the line joins two tracebacks of a chain."""
    return text.strip() in (_CAUSE, _CONTEXT)


def is_raised(text: str) -> bool:
    """Whether the line, by itself, reads as the last line of a traceback."""
    return _TYPE.match(text) is not None


def bounded(chain: Sequence[Raised], depth: int = 4) -> tuple[Raised, ...]:
    """Return the chain cut to what is kept: the raised one and the last causes, the outer and the inner frames."""
    cut = chain if len(chain) <= MAX_CHAIN else [*chain[:4], *chain[4 - MAX_CHAIN :]]
    return tuple(
        one
        if len(one.value) <= MAX_VALUE
        and len(one.frames) <= MAX_FRAMES
        and not (one.notes or one.parts or one.type[200:])
        else replace(
            one,
            type=one.type[:200],
            value=clip(one.value),
            notes=tuple(clip(note) for note in one.notes[:4]),
            frames=one.frames if len(one.frames) <= MAX_FRAMES else one.frames[:10] + one.frames[10 - MAX_FRAMES :],
            parts=tuple(bounded(part, depth - 1) for part in one.parts[:MAX_PARTS]) if depth else (),
        )
        for one in cut
    )


def clip(text: str, limit: int = MAX_VALUE) -> str:
    """Cut the middle out of a long text; texts within the limit come back as they are."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} … [{len(text) - 2 * half} characters cut] … {text[-half:]}"


def parse(lines: Sequence[str], depth: int = 4) -> tuple[Raised, ...]:
    """Parse the last chain in lines that hold a traceback in the interpreter's form; () if there is none."""
    entries: list[_Entry] = []
    here: _Entry | None = None
    after_frame = False  # some tools take the indent off, and then a source line looks like the exception
    for at, line in enumerate(lines):
        is_heading = HEADING in line
        if depth and ((is_heading and GROUP_HEADING in line) or "+-+----" in line):
            return _parse_group(lines[at if GROUP_HEADING in line else 0 :], depth)
        frame = _frame(line) if 'File "' in line else None
        if is_heading or (frame and (here is None or here.type)):
            here = _Entry()
            entries.append(here)
        if here is None:
            continue
        if frame:
            here.frames.append(frame)
            after_frame = not line[:1].isspace()
            continue
        if is_heading:
            continue
        if here.type:
            _after(here, line)
        elif line[:1].strip() and not (after_frame and not is_raised(line)) and (raised := _RAISED.match(line)):
            here.type = raised[1]
            here.value = [line[raised.end() :]]
            here.size = len(here.value[0])
        after_frame = False
    return _chain([one for one in entries if one.type])


def parse_shown(lines: Sequence[str]) -> tuple[Raised, ...]:
    """Parse the form of Airflow 3's page: each exception before its frames, the raised one first."""
    entries: list[_Entry] = []
    for line in lines:
        if frame := _frame(line):
            if entries:
                entries[-1].frames.append(frame)
        elif entries and not entries[-1].frames:
            entries[-1].value.append(line)
        elif line.strip() and (raised := _RAISED.match(line)):
            entries.append(_Entry(type=raised[1], value=[line[raised.end() :]]))
    return bounded([_raised(one, is_cause=i > 0) for i, one in enumerate(entries)])


# Most frames are of Airflow and of libraries, and stand in every other traceback: of 11,568 in 819 real logs 1,604 differ.
@remembered(4096, 300)
def _frame(line: str) -> Frame | None:
    match = _FRAME.match(line)
    if match is None:
        return None
    file, number, function = match.groups()
    return Frame(file, int(number), (function or "").strip())


def _after(here: _Entry, line: str) -> None:
    """Take one line that follows `Type: value`: a link to the next exception, or more of the value."""
    text = line.strip()
    if text in (_CAUSE, _CONTEXT):
        here.link = text
    elif not here.link and here.size < 2 * MAX_VALUE:
        here.value.append(line)
        here.size += len(line)


def _chain(entries: list[_Entry]) -> tuple[Raised, ...]:
    """Turn tracebacks in the order of the text (root first) into a chain; an unlinked one before starts another chain."""
    start = 0
    for i, entry in enumerate(entries[:-1]):
        if not entry.link:
            start = i + 1
    linked = entries[start:]
    return bounded([_raised(one, is_cause=one.link == _CAUSE) for one in reversed(linked)])


def _raised(entry: _Entry, is_cause: bool) -> Raised:
    return Raised(
        type=entry.type.rpartition(".")[2] or entry.type,
        value="\n".join(entry.value).strip(),
        frames=tuple(entry.frames),
        is_cause=is_cause,
        parts=entry.parts,
    )


def _parse_group(lines: Sequence[str], depth: int) -> tuple[Raised, ...]:
    """Parse an exception group: its own traceback first, then each part between the `+----` rulers."""
    own: list[str] = []
    parts: list[list[str]] = []
    column = -1
    for line in lines:
        ruler = _PART.match(line)
        if ruler and column < 0:
            column = len(ruler[1])
            parts.append([])
        elif ruler and len(ruler[1]) == column + 2 and ruler[2] == "-":
            parts.append([])
        elif column < 0:
            own.append(_BAR.sub("", line, count=1).replace("Exception Group Traceback", "Traceback"))
        elif line.strip():
            parts[-1].append(line[column + 2 :].removeprefix("| "))
    chain = parse(_headed(own), 0)
    if not chain:
        return ()
    inner = tuple(found for found in (parse(_headed(part), depth - 1) for part in parts) if found)
    return bounded([replace(chain[0], parts=inner), *chain[1:]])


def _headed(lines: list[str]) -> list[str]:
    """Exceptions that were never raised stand in a group without a heading of their own."""
    return lines if any(HEADING in line for line in lines) else [HEADING, *lines]
