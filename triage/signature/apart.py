"""What would have to differ for another fingerprint, in words; and what each mask took out of a line of evidence.

Owns the reading of a key back into sentences. Nothing here decides: both are derived from the key that was hashed and from
the table of masks, so they cannot say anything else than what was done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from triage.causes import CAUSES
from triage.signature.masks import MASKS, MAX_TEXT

_SHOWN = 80
_PLACE = re.compile(r"[^\s:]{1,200}\.\w{1,6}:[\w<>.$]{1,200}$")
_TYPE = re.compile(r"[A-Za-z_][\w.]{0,200}$")
_NAMED = re.compile(
    r"(?:\b(column|table|relation|view|database|schema|role|user|host|file|module|variable|attribute|function|bucket|topic"
    r"|queue|command|field|key|type|index|dataset|package|connection|image|secret) )?(?:named )?([\"'`])([\w.\-/*:<>]{1,80})\2",
    re.I,
)
_HOLE = re.compile(r"<(n|id|hex|uuid|time|addr|value|path|run|mail|ip)>")
_HOLES = {
    "n": "number", "id": "id", "hex": "hash", "uuid": "UUID", "time": "date or time", "addr": "memory address",
    "value": "value", "path": "path", "run": "run id", "mail": "mail address", "ip": "IP address",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hit:
    """What the mask of this name did to one place of a text."""

    mask: str
    before: str
    after: str


def hits(text: str) -> list[Hit]:
    """Return what each mask does to a text, in the order of the masks; what one made, the next may shorten again."""
    text = text[:MAX_TEXT]
    found: list[Hit] = []
    for one in MASKS:
        if any(hint in text for hint in one.hints):
            for match in one.pattern.finditer(text):
                after = one.into(match) if callable(one.into) else match.expand(one.into)
                if after != match[0]:
                    found.append(Hit(one.name, match[0].strip(), after.strip()))
            text = one.pattern.sub(one.into, text)
    return list(dict.fromkeys(found))


def differs(key: tuple[str, ...], exception: str | None, task: str) -> tuple[str, ...]:
    """Say in two sentences what would make another fingerprint than that of this key, and what would not."""
    others = list(dict.fromkeys(_others(key, exception, task)))
    same = list(dict.fromkeys(_HOLES[hole] for part in key for hole in _HOLE.findall(part)))
    told = [f"It would be another problem with {_or(others)}."] if others else []
    free = [f"another {what}" for what in same]
    if not task or task not in key:
        free.append("another task, DAG or worker")
    return (*told, f"It stays the same with {_or([*free, 'another run'])}.")


def _others(key: tuple[str, ...], exception: str | None, task: str) -> Iterator[str]:
    at = key.index("apart") if "apart" in key else len(key)
    head, rest = (key[0], key[1:at]) if at else ("", ())
    if head == "rule":
        yield f"what your rule {rest[0]} does not match"
        yield from (f"another capture of that rule than {_shown(part)}" for part in rest[1:] if part)
    elif head in _HEADS:
        what, counted = _HEADS[head]
        yield from (f"another {what} ({_shown(part)})" for part in rest[:counted] if part and part != task)
        yield from (_part(part, exception, task) for part in rest[counted:] if part)
    elif head in CAUSES:
        yield f"another kind of failure ({head})"
        yield from (_part(part, exception, task, is_named=True) for part in rest if part)
    else:
        for part in key[:at]:
            if part:
                yield _part(part, exception, task)
                yield from _names(part)
    yield from (f"another {_shown(part)} by your rule" for part in key[at + 2 :] if part)


# What the first word of a key says that the parts after it are, and how many of them.
_HEADS = {
    "exit": ("exit code", 1), "killed": ("signal", 1), "group": ("exception in the group", 99), "dbt": ("error of dbt", 99),
    "pod": ("state of the pod", 99), "pytest": ("failed test", 99), "damaged data": ("place in the code", 1), "silent": ("task", 0),
}  # fmt: skip


def _part(part: str, exception: str | None, task: str, *, is_named: bool = False) -> str:
    if part == task:
        return f"another task ({part})"
    if _PLACE.match(part):
        return f"another place in the code ({part})"
    if is_named:
        return f"another name ({_shown(part)})"
    if part == exception or _TYPE.match(part):
        return f"another error ({part})"
    return f"other words ({_shown(part)})"


def _names(part: str) -> Iterator[str]:
    for match in list(_NAMED.finditer(part))[:4]:
        yield f"another {(match[1] or 'name').lower()} ({match[3]})"


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _or(told: list[str]) -> str:
    return f"{', '.join(told[:-1])} or {told[-1]}" if len(told) > 1 else told[0]
