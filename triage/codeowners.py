"""GitLab's CODEOWNERS: its text -> sections of entries -> who owns a path, by which entry. Pure.

Follows GitLab's own documentation (user/project/codeowners/reference and advanced): sections are read apart and combined
by name, the last entry that matches counts in each, an exclusion beats all entries of its section, entries without owners
have their section's. The library `codeowners` on PyPI follows GitHub's dialect: it takes `[Name] @owner` for a path, and
knows neither exclusions nor that sections are judged apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# Where GitLab looks for the file, in this order.
PLACES = ("CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
_HEADING = re.compile(r"(\^)?\[([^\]]+)\](?:\[\d*\])?(?:\s+(.*))?$")
_BLANK = re.compile(r"(?<!\\)\s+")
# No path that Git can check out is longer (Linux's PATH_MAX); a longer pattern matches nothing, and is not translated.
_LONGEST = 4096
_NOTHING = re.compile(r"(?!)")
_OWNER = re.compile(r"@{1,2}\w[\w.-]*(?:/\w[\w.-]*)*|[^\s@#]+@[^\s@]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: a pattern as it is written, what it matches, and its owners. An exclusion has none."""

    pattern: str
    matches: re.Pattern[str]
    owners: tuple[str, ...]
    is_exclusion: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A section: its name (empty for what stands before the first), whether it is optional, its entries in order."""

    name: str
    is_optional: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """That a section's entry names the owners of a path."""

    owners: tuple[str, ...]
    pattern: str
    section: str = ""


@lru_cache(maxsize=64)
def parse(text: str) -> tuple[Part, ...]:
    """Parse a CODEOWNERS file. Nothing is an error: as in GitLab, what cannot be read owns nothing."""
    names: dict[str, str] = {"": ""}
    optional: dict[str, bool] = {"": False}
    entries: dict[str, list[Entry]] = {"": []}
    here, defaults = "", tuple[str, ...]()
    for line in map(str.strip, text.removeprefix("\ufeff").splitlines()):
        if not line or line.startswith("#"):
            continue
        if heading := _HEADING.match(line):
            here, defaults = heading[2].strip().casefold(), _owners(heading[3] or "")
            names.setdefault(here, heading[2].strip())
            entries.setdefault(here, [])
            optional[here] = optional.get(here, True) and bool(heading[1])
        else:
            entries[here].append(_entry(line, defaults))
    return tuple(Part(names[name], optional[name], tuple(its)) for name, its in entries.items())


def claims(parts: tuple[Part, ...], path: str) -> tuple[Claim, ...]:
    """Return who owns a path of the repository (`dags/etl.py`), a claim a section.

    Sections first that need an owner's word, in the order of the file, then what stands before the first section, which
    mostly is for everything; optional sections last.
    """
    path = "/" + path.lstrip("/")
    ordered = sorted(parts, key=lambda part: (part.is_optional, not part.name))
    return tuple(claim for part in ordered if (claim := _claim(part, path)))


def _claim(part: Part, path: str) -> Claim | None:
    found = [entry for entry in part.entries if entry.matches.match(path)]
    if not found or any(entry.is_exclusion for entry in found) or not found[-1].owners:
        return None
    return Claim(found[-1].owners, found[-1].pattern, part.name)


def _entry(line: str, defaults: tuple[str, ...]) -> Entry:
    pattern, *rest = _BLANK.split(line, maxsplit=1)
    said = rest[0] if rest else ""
    is_exclusion = pattern.startswith("!")
    shown = re.sub(r"\\(\s)", r"\1", pattern.removeprefix("!"))
    owners = () if is_exclusion else _owners(said) or (defaults if not said or said.startswith("#") else ())
    return Entry(re.sub(r"^\\#", "#", shown), _compiled(pattern.removeprefix("!")), owners, is_exclusion)


def _owners(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in text.split() if word.isprintable() and _OWNER.fullmatch(word)))


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return what a pattern matches of paths that begin with a slash."""
    if len(pattern) > _LONGEST:
        return _NOTHING
    if pattern == "*":
        pattern = "/**/*"
    if not pattern.startswith("/"):
        pattern = f"/**/{pattern}"
    if pattern.endswith("/"):
        pattern += "**/*"
    return re.compile(_regex(pattern) + r"\Z", re.S)


def _regex(pattern: str) -> str:
    """Translate a pattern of Ruby's `File.fnmatch` with FNM_PATHNAME and FNM_DOTMATCH, which GitLab uses.

    Of several stars in a name, or `**/` in a pattern, only the last may give back what it took: where the others match first
    is as good as anywhere later, and trying all would take forever (as `fnmatch.translate` does it).
    """
    levels: list[list[list[str]]] = [[[""]]]  # by `**/`, by name, by star
    at = 0
    while at < len(pattern):
        sign = pattern[at]
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            levels.append([[""]])
            at += 3
        elif sign == "*":
            levels[-1][-1].append("")
            at += len(pattern[at:]) - len(pattern[at:].lstrip("*"))
        else:
            made, at = _one(pattern, at)
            levels[-1][-1][-1] += made
            if made == "/":
                levels[-1].append([""])
    return _joined(["".join(_joined(name, "[^/]*") for name in names) for names in levels], "(?:[^/]+/)*")


def _joined(parts: list[str], between: str) -> str:
    first, *rest = parts
    return (
        first + "".join(f"(?>{between}?{part})" for part in rest[:-1]) + "".join(between + part for part in rest[-1:])
    )


def _one(pattern: str, at: int) -> tuple[str, int]:
    """Translate what stands for one character, and return where it ends."""
    if pattern[at] == "?":
        return "[^/]", at + 1
    if pattern[at] == "[":
        return _set(pattern, at)
    at += pattern[at] == "\\" and at + 1 < len(pattern)
    return re.escape(pattern[at]), at + 1


def _set(pattern: str, at: int) -> tuple[str, int]:
    """Translate a set of characters, and return where it ends; one that is not closed matches nothing."""
    end = pattern.find("]", at + 2)
    if end < 0:
        return r"(?!)", len(pattern)
    inner = pattern[at + 1 : end]
    no = "^" if inner[0] in "!^" else ""
    chars = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner[len(no) :])
    try:
        re.compile(f"[{chars}]")
    except re.error:  # a range the wrong way round
        return r"(?!)", end + 1
    return f"(?!/)[{no}{chars}]", end + 1
