"""Lines that are masked when they are read, and come out as if all had been masked together: of most, few are ever read.

Owns how many are masked at once, and when that is all of them: where a secret may go over several lines. Which lines
matter is the reader's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from triage.model import LogLine
from triage.redact import Redactor

# Who reads a line mostly reads those beside it too, and masking eight takes little longer than masking one.
_AT_ONCE = 8


class Ahead(Sequence[LogLine]):
    """Consecutive lines, each masked when it is asked for; `trim` shortens one before. `masked` holds, by their number,
    those that came out otherwise so far.
    """

    def __init__(
        self, lines: Sequence[LogLine], redactor: Redactor, trim: Callable[[LogLine, Redactor], LogLine]
    ) -> None:
        self._lines, self._redactor, self._trim = list(lines), redactor, trim
        self._is_masked = [False] * len(self._lines)
        is_few = len(lines) <= _AT_ONCE or redactor.may_span([line.text for line in lines])
        self._at_once = len(lines) if is_few else _AT_ONCE
        self._is_apart = not is_few
        self.masked: dict[int, LogLine] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, at: int) -> LogLine:  # type: ignore[override]  # no slices
        if not self._is_masked[at] and not (self._is_apart and self._redactor.is_clean(self._lines[at])):
            begin = at - at % self._at_once
            part = slice(begin, begin + self._at_once)
            were = self._lines[part]
            lines = self._redactor.lines([self._trim(line, self._redactor) for line in were])
            self._lines[part] = lines
            self._is_masked[part] = [True] * len(lines)
            for old, new in zip(were, lines, strict=True):
                if new is not old:
                    self.masked[new.number] = new
        return self._lines[at]
