"""The text of a query, edited: a term for a value, added to what is there or taken out of it again.

Owns how a value is written so that it finds exactly that value, and that the meaning of what a person wrote around it
stays. Knows the syntax only as far as where a part ends; what it means is `triage.query`'s. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from triage.query import FIELDS
from triage.tokens import fold

FACETED = ("deployment", "dag", "task", "cause", "owner", "host")
_PLAIN = re.compile(r"[A-Za-z0-9_]+(?:[-.][A-Za-z0-9_]+)*\Z")
_WORDS = frozenset({"AND", "OR", "NOT", "TO"})  # operators, where they stand alone
_TERM = re.compile(r'(\w+):("(?:[^"\\]|\\.)*"|[^\s"()\[\]{}*?:\\]+)\Z', re.S)
_JOINS, _BREAKS = frozenset({"AND", "&&"}), frozenset({"OR", "||", "!"})
_LONG = 400  # characters from which on a value is written folded, so that it fits into a query


@dataclass(frozen=True, slots=True)
class Chosen:
    """A value that a query asks for, and the query without it."""

    field: str
    value: str
    rest: str


def term(field: str, value: str) -> str:
    """Write the term that finds a field's very value."""
    value = value if len(value) < _LONG else fold(value)
    if _PLAIN.match(value) and value not in _WORDS:
        return f"{field}:{value}"
    return f'{field}:"{quoted(value)}"'


def quoted(value: str) -> str:
    """Write a value as it stands between double quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"')


def added(text: str, more: str) -> str:
    """Return the query with another term that must hold as well; one that is there already is not said twice."""
    parts = _parts(text)
    if parts is not None and more in parts:
        return text.strip()
    is_joined = parts is not None and not _BREAKS.intersection(parts)
    before = text.strip() if is_joined else f"({text.strip()})"
    return f"{before} {more}".strip() if text.strip() not in ("", "*") else more


def chosen(text: str) -> list[Chosen]:
    """Return the values that every failed try the query finds must have, of the fields with facets."""
    parts = _parts(text)
    if parts is None or _BREAKS.intersection(parts):
        return []
    parts = [part for part in parts if part not in _JOINS]
    found = []
    for place, part in enumerate(parts):
        match = _TERM.match(part)
        if match and FIELDS.get(match[1]) in FACETED and (not place or parts[place - 1] != "NOT"):
            value = re.sub(r"\\(.)", r"\1", match[2][1:-1], flags=re.S) if match[2].startswith('"') else match[2]
            found.append(Chosen(FIELDS[match[1]], value, " ".join(parts[:place] + parts[place + 1 :])))
    return found


def _parts(text: str) -> list[str] | None:
    """The parts of a query at its uppermost level, operators among them; None where brackets or quotes do not match."""
    parts: list[str] = []
    part, depth = "", 0
    is_inside = is_escaped = False
    for char in text:
        is_plain = not is_inside and not is_escaped and char not in '"\\'
        if is_plain:
            depth += (char in "([{") - (char in ")]}")
            if depth < 0:
                return None
        is_inside ^= char == '"' and not is_escaped
        is_escaped = char == "\\" and not is_escaped
        if is_plain and char.isspace() and not depth:
            parts, part = [*parts, part], ""
        else:
            part += char
    return None if depth or is_inside or is_escaped else [part for part in [*parts, part] if part]
