"""Texts made to keep regular expressions busy: what each nearly matches, made from its own parse tree.

Owns finding every pattern that signing uses, wherever it stands in those modules, and the making of texts that match it,
match all but its end, or match it up to its middle. Whoever measures repeats them to a length.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from re import _constants as words  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]

import triage.signature
from triage.hinted import Hinted

MODULES = (
    "triage.logs", "triage.reading", "triage.header", "triage.traces", "triage.passages", "triage.scan", "triage.causes", "triage.signature",
    *(f"triage.signature.{module.name}" for module in pkgutil.iter_modules(triage.signature.__path__)),
)  # fmt: skip
SAMPLES = 2
_CATEGORIES = {words.CATEGORY_DIGIT: "0", words.CATEGORY_SPACE: " ", words.CATEGORY_WORD: "a", words.CATEGORY_NOT_SPACE: "a",
               words.CATEGORY_NOT_DIGIT: "a", words.CATEGORY_NOT_WORD: "-"}  # fmt: skip


def patterns() -> dict[str, re.Pattern[str]]:
    """Return every compiled pattern of the modules that sign, by module and name."""
    found: dict[str, re.Pattern[str]] = {}
    for module in MODULES:
        for name, value in vars(importlib.import_module(module)).items():
            for at, pattern in enumerate(_within(value)):
                if pattern not in found.values():
                    found[f"{module.removeprefix('triage.')}.{name}[{at}]"] = pattern
    return found


def _within(value: object, depth: int = 4) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        if isinstance(value.pattern, str):
            yield value
    elif isinstance(value, Hinted):
        yield value.pattern
    elif depth and isinstance(value, dict):
        for one in (*value.keys(), *value.values()):
            yield from _within(one, depth - 1)
    elif depth and isinstance(value, tuple | list | frozenset | set):
        for one in value:
            yield from _within(one, depth - 1)
    elif depth and is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from _within(getattr(value, one.name), depth - 1)


def pieces(pattern: re.Pattern[str], samples: int = SAMPLES) -> list[str]:
    """Return texts that the pattern matches or nearly does: whole, cut at its middle and before its end."""
    made: dict[str, None] = {}
    for seed in range(samples):
        whole = "".join(_sample(parser.parse(pattern.pattern, pattern.flags), random.Random(seed)))
        for text in (whole, whole[: len(whole) // 2], whole[:-1]):
            if text:
                made[text] = None
    return list(made)


def _sample(tree: Iterable[tuple[object, object]], chance: random.Random) -> Iterator[str]:
    for kind, of in tree:
        if kind is words.LITERAL:
            yield chr(of)  # type: ignore[arg-type]
        elif kind in (words.ANY, words.NOT_LITERAL):
            yield "x"
        elif kind is words.IN:
            yield _one_of(of, chance)  # type: ignore[arg-type]
        elif kind is words.BRANCH:
            yield from _sample(chance.choice(of[1]), chance)  # type: ignore[index]
        elif kind is words.SUBPATTERN:
            yield from _sample(of[-1], chance)  # type: ignore[index]
        elif kind in (words.MAX_REPEAT, words.MIN_REPEAT, words.POSSESSIVE_REPEAT):
            least, most, inner = of  # type: ignore[misc]
            for _ in range(min(int(most), int(least) + chance.randint(0, 3))):
                yield from _sample(inner, chance)
        elif kind is words.ASSERT and of[0] == -1:  # type: ignore[index]
            yield from _sample(of[1], chance)  # type: ignore[index]
        elif kind is words.ATOMIC_GROUP:
            yield from _sample(of, chance)  # type: ignore[arg-type]


def _one_of(items: list[tuple[object, object]], chance: random.Random) -> str:
    if items[0][0] is words.NEGATE:
        return "x"
    kind, of = chance.choice(items)
    if kind is words.LITERAL:
        return chr(of)  # type: ignore[arg-type]
    if kind is words.RANGE:
        return chr(of[0])  # type: ignore[index]
    return _CATEGORIES.get(of, "a")


def mixed(from_: list[str], count: int, seed: int = 5) -> list[str]:
    """Return texts of several pieces in random order: what no single pattern was meant for."""
    chance = random.Random(seed)
    return ["".join(chance.choices(from_, k=chance.randint(2, 6))) for _ in range(count)]
