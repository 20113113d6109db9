"""Texts that hold no secret, remembered: most lines of a log stand in many logs, and need not be looked at each time.

Owns the bound of what is remembered, and for how long it is true. A secret is never remembered.
"""

from __future__ import annotations

# How many texts, of so many characters at most: 4 MB.
_TEXTS, _SHORT = 8192, 500


class Clean:
    """Texts that turned out to hold no secret, alone and beside others.

    True for these `forms` of learned values beside the `known` ones; where one of them has several lines, no line can be
    said to be clean by itself, and nothing is remembered.
    """

    def __init__(self, forms: tuple[str, ...], known: tuple[str, ...]) -> None:
        self.forms = forms
        self.texts: set[str] = set()
        self._longest = 0 if any("\n" in form for form in (*known, *forms)) else _SHORT

    def add(self, text: str) -> None:
        """Remember a text, unless it is long."""
        if len(text) <= self._longest:
            if len(self.texts) >= _TEXTS:
                self.texts.clear()
            self.texts.add(text)
