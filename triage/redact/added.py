"""What settings add to the rules: patterns and exceptions that people write, checked before they are used.

Owns what is refused: what does not compile, what can match nothing, and what could take more than linear time on a
hostile log. Judges a pattern by its parsed form; runs none of them on more than a word.
"""

from __future__ import annotations

import re
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

# In how many ways a pattern may read one place of a text: as many as the longest of our own rules.
_WAYS = 4000
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)
# Shaped as no secret that somebody would want to see; an exception that matches it matches everything.
_PROBE = "Zq8#kP2$vN-one two"


def pattern(text: str, *, empty: str = "would mask between all characters") -> re.Pattern[str]:
    """Compile a pattern that somebody wrote; ValueError says in words why it is refused.

    `empty` is what one that matches an empty text would do.
    """
    try:
        compiled, parsed = re.compile(text), parser.parse(text)
    except (re.error, RecursionError, OverflowError) as exc:
        raise ValueError(f"{text!r} is no regular expression: {exc}") from None
    if compiled.search("") or parsed.getwidth()[0] == 0:
        raise ValueError(f"{text!r} can match an empty text, and {empty}")
    if _ways(parsed, is_last=True) > _WAYS:
        raise ValueError(
            f"{text!r} could take very long on a hostile log: bound its repeats, as in \\w{{1,40}}, and put none into "
            "another; an unbounded one may only be the last thing in it"
        )
    return compiled


def exception(text: str) -> re.Pattern[str]:
    """Compile a pattern of what is never masked; ValueError says in words why it is refused."""
    compiled = pattern(text)
    if compiled.fullmatch(_PROBE):
        raise ValueError(f"{text!r} matches everything, so nothing would be masked")
    return compiled


def _ways(parsed: Any, *, is_last: bool = False) -> float:
    """Return in how many ways a sequence can match from one place on, at most."""
    ways = 1.0
    for number, (code, value) in enumerate(parsed):
        ends = is_last and number == len(parsed) - 1
        ways *= _ways_of(code, value, is_last=ends)
    return ways


def _ways_of(code: Any, value: Any, *, is_last: bool) -> float:
    if code in _REPEATS:
        least, most, inner = value
        each: float = _ways(inner)
        if is_last and each == 1:
            return 1.0  # what it reads is never given back
        if least == most:
            return _power(each, most)
        if most is codes.MAXREPEAT:
            return float("inf")
        return _power(each, most) * float(most - least + 1)
    if code is codes.BRANCH:
        return sum(_ways(branch) for branch in value[1])
    if code is codes.SUBPATTERN:
        return _ways(value[-1], is_last=is_last)
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return _ways(value[1])
    if code is codes.ATOMIC_GROUP:
        return _ways(value)
    if code is codes.GROUPREF_EXISTS:
        return sum(_ways(branch) for branch in value[1:] if branch)
    return 1.0


def _power(base: float, exponent: Any) -> float:
    try:
        return float(base ** int(exponent)) if base > 1 else 1.0
    except OverflowError:
        return float("inf")
