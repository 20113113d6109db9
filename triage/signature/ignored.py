"""A log without the lines, exceptions and frames that people's rules pass over.

Owns what goes with an ignored line: the indented lines under it, and the traceback it is the last line of. Airflow's own
verdicts stay, whatever a rule says: only the exceptions in them go.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from triage import traces
from triage.model import Frame, LogLine, Raised, place
from triage.scan import mark
from triage.signature.example import Example
from triage.signature.rules import TEXT_MAX, Applied, Rule

_FRAME = re.compile(r'\s*File "([^"\n]{0,1000})", line \d{1,9}(?:,? in (.{0,200}))?$')


@dataclass(slots=True)
class _Writer:
    """Where one writer of the log is: in the traceback `open`, below an ignored "line" or below an ignored "frame"."""

    below: str = ""
    open: list[tuple[list[str | None], int]] = field(default_factory=list)


class Ignoring:
    """Takes ignored lines, exceptions and frames out of a log; `decisions` says afterwards which rule took what."""

    def __init__(self, applied: Applied) -> None:
        self._lines = [one for one, _ in applied.rules if one.verb == "ignore"]
        self._frames = [one for one, _ in applied.rules if one.verb == "ignore_frames"]
        self._writers: dict[str | None, _Writer] = {}
        self._hits: dict[str, dict[str, None]] = {}

    def without(self, lines: Sequence[LogLine]) -> Sequence[LogLine]:
        """Return the lines that count; those that nothing was taken from are the same objects."""
        if not self._lines and not self._frames:
            return lines
        read = [(line, self._parts(line), self._chain(line.raised, line)) for line in lines]
        kept = []
        for line, parts, raised in read:
            if None in parts or raised != line.raised:
                text = "\n".join(part for part in parts if part is not None)
                line = replace(line, text=text, raised=raised)
                if not text.strip() and not raised and mark(line) is None:
                    continue
            kept.append(line)
        return kept

    @property
    def decisions(self) -> list[str]:
        return [f"Your rule {name} passed over {_some(list(where))}." for name, where in self._hits.items()]

    def _parts(self, line: LogLine) -> list[str | None]:
        """The text's own lines, None for each that is ignored; a traceback that began above loses its lines too."""
        parts: list[str | None] = list(line.text.split("\n"))
        if mark(replace(line, raised=())) is not None:
            return parts
        writer = self._writers.setdefault(line.logger, _Writer())
        for at, part in enumerate(line.text.split("\n")):
            if self._is_ignored(part, line, writer):
                parts[at] = None
            elif traces.HEADING in part:
                writer.open = [(parts, at)]
            elif writer.open and part[:1].isspace():
                writer.open.append((parts, at))
            else:
                writer.open = []
        return parts

    def _is_ignored(self, part: str, line: LogLine, writer: _Writer) -> bool:
        """Pass over each line and each exception that the pattern finds something in.

        With a line go the indented ones under it, and the traceback that it ends.
        """
        is_under = part[:1].isspace()
        if writer.below == "line" and is_under:
            return True
        frame = _FRAME.match(part) if 'File "' in part else None
        if frame is not None:
            hit = self._hit(self._frames, f"{frame[1]}:{frame[2] or ''}", "a frame", line)
            writer.below = "frame" if hit else ""
            return hit
        if writer.below == "frame" and is_under:
            return True
        writer.below = ""
        if not self._hit(self._lines, part.strip(), place(line.number), line):
            return False
        writer.below = "line"
        for parts, at in () if is_under else writer.open:
            parts[at] = None
        return True

    def _chain(self, chain: tuple[Raised, ...], line: LogLine) -> tuple[Raised, ...]:
        kept = []
        for one in chain:
            if self._hit(self._lines, f"{one.type}: {one.value}", one.type, line):
                continue
            frames = self._framed(one, line)
            parts = tuple(filter(None, (self._chain(part, line) for part in one.parts)))
            kept.append(one if (frames, parts) == (one.frames, one.parts) else replace(one, frames=frames, parts=parts))
        return tuple(kept)

    def _framed(self, one: Raised, line: LogLine) -> tuple[Frame, ...]:
        """Never take a frame that the pattern finds something in for the place; it reads `file:function`."""
        return tuple(
            frame
            for frame in one.frames
            if not self._hit(self._frames, f"{frame.file}:{frame.function}", f"the frame {frame.function}", line)
        )

    def _hit(self, rules: Sequence[Rule], text: str, what: str, line: LogLine) -> bool:
        for one in rules:
            if one.pattern.search(text[:TEXT_MAX]):
                where = place(line.number)
                self._hits.setdefault(one.name, {})[what if what == where else f"{what} in {where}"] = None
                return True
        return False


def _some(where: list[str]) -> str:
    return ", ".join(where[:3]) + (f" and {len(where) - 3} more" if len(where) > 3 else "")


_WRAPPED = """ERROR - Task failed with exception
Traceback (most recent call last):
  File "/dags/{}.py", line 7, in load
  File "/dags/common/retry.py", line 30, in wrapper
KeyError: 0"""

EXAMPLES = (
    Example(
        Ignoring._is_ignored,
        ("error: the disk is full\nerror: cleanup failed", "error: no such account\nerror: cleanup failed"),
        own={"ignore": "error: cleanup failed"},
        before=("error: cleanup failed",),
        after=("error: the disk is full", "error: no such account"),
    ),
    Example(
        Ignoring._framed,
        (_WRAPPED.format("orders"), _WRAPPED.format("stock")),
        own={"ignore_frames": r"common/retry\.py:"},
        before=("KeyError: … in wrapper()",),
        after=("KeyError: … in load()", "KeyError: … in load()"),
    ),
)
