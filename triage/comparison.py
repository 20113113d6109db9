"""A failed try's log beside that of a good run: which of its lines are new.

Owns when two lines are the same: what varies from run to run (numbers, times, ids, paths) is masked as for a signature,
and each run's own id is taken out first. Linear, and as small as the failed log that is kept: the good run's log streams
by and only strikes out what it has too. Pure; must not decide what is kept or shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from triage.model import LogLine
from triage.redact import PLAIN, Redactor
from triage.signature.masks import MAX_TEXT, mask

# How many shapes of the good run's lines are remembered, and how long ones: a log that repeats itself is masked once a
# shape. At most 6 MB.
_SHAPES, _SHAPE = 20_000, 200
# A run id shorter than this may be part of any word.
_RUN_ID = 4
# A line's beginning tells it; longer ones are compared by what masks look at, with room for what redaction shortens.
_SEEN = 2 * MAX_TEXT
# Lines masked at most: half a minute's work. What comes after them in a good log is not struck out.
_MASKED = 300_000
_DIGITS = re.compile(r"\d+")


class Difference:
    """The lines of a failed log that a good one has not shown yet; `good` strikes out as it passes lines on."""

    def __init__(self, failed: Sequence[LogLine], failed_run: str, good_run: str, redactor: Redactor = PLAIN) -> None:
        """Take the kept lines of the failed try, both run ids, and what masked those lines."""
        self._redactor = redactor
        self._open: dict[str, list[int]] = {}
        for line in failed:
            if form := _form(line, failed_run, redactor):
                self._open.setdefault(form, []).append(line.number)
        self._run = good_run
        self._shapes: set[str] = set()
        self._left = _MASKED

    @property
    def is_cut(self) -> bool:
        """Tell whether the good log was too long to be looked at whole."""
        return self._left == 0

    def good(self, lines: Iterable[LogLine]) -> Iterator[LogLine]:
        """Pass the good run's lines on, and strike out what they have in common with the failed log."""
        for line in lines:
            if self._open and self._left:
                self._strike(line)
            yield line

    def _strike(self, line: LogLine) -> None:
        shape = _DIGITS.sub("0", line.text[:_SHAPE])
        if shape in self._shapes and not line.raised:
            return
        self._left -= 1
        form = _form(line, self._run, self._redactor)
        self._open.pop(form, None)
        # Where the form holds a number (a status, an exit code), the next line of this shape may be another one.
        is_whole = len(line.text) <= _SHAPE and not line.raised and not _DIGITS.search(form)
        if is_whole and len(self._shapes) < _SHAPES:
            self._shapes.add(shape)

    @property
    def new(self) -> tuple[int, ...]:
        """The numbers of the failed log's lines that are new, in order."""
        return tuple(sorted(number for numbers in self._open.values() for number in numbers))


def _form(line: LogLine, run_id: str, redactor: Redactor) -> str:
    """Return what a line is compared by; empty for one that says nothing."""
    text, *values = redactor.texts((line.text[:_SEEN], *(one.value[:_SEEN] for one in line.raised)))
    form = mask(text.replace(run_id, "<run>") if len(run_id) >= _RUN_ID else text)
    for one, value in zip(line.raised, values, strict=True):
        form += f"\n{one.type}: {mask(value)}"
    return form
