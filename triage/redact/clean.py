"""Texts that hold no secret, remembered: most lines of a log stand in many logs, and need not be looked at each time.

Owns the bound of what is remembered, and for how long it is true. A secret is never remembered.
"""

from __future__ import annotations

# How much is remembered, in characters; each text takes so many more. One that is longer than what is kept of an
# exception's message is a log by itself, which hardly comes again.
_MOST, _EACH, _LONGEST = 4 << 20, 100, 5000


class Clean:
    """Texts that turned out to hold no secret, alone and beside others.

    True for these `forms` of learned values beside the `known` ones; where one of them has several lines, no line can be
    said to be clean by itself, an empty one neither, and nothing is remembered.
    """

    def __init__(self, forms: tuple[str, ...], known: tuple[str, ...]) -> None:
        self.forms = forms
        self.texts: set[str] = set()
        self._size = 0
        self._longest = -1 if any("\n" in form for form in (*known, *forms)) else _LONGEST

    def add(self, text: str) -> None:
        """Remember a text, unless it is long."""
        if len(text) <= self._longest:
            self._size += len(text) + _EACH
            if self._size > _MOST:
                self.texts.clear()
                self._size = len(text) + _EACH
            self.texts.add(text)
