"""Answers about a text, remembered: failures recur, and most lines of a log stand in many logs.

Owns the bound: so many answers, about texts that are not long. What is asked must depend on the text alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

A = TypeVar("A")


def remembered(answers: int, longest: int) -> Callable[[Callable[[str], A]], Callable[[str], A]]:
    """Let a function of one text remember so many of its last answers about texts of at most so many characters."""

    def remembering(ask: Callable[[str], A]) -> Callable[[str], A]:
        known = lru_cache(answers)(ask)

        @wraps(ask)
        def answer(text: str) -> A:
            return known(text) if len(text) <= longest else ask(text)

        return answer

    return remembering
