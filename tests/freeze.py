"""Copies the code of signing as it is, so that a changed version may stand beside it. `make freeze` calls it.

What judges a kept log is copied: `triage.signature` and what it imports of `triage`, but for the nouns, what reads and
redacts a log, and people's rules. The copies import each other.
"""

from __future__ import annotations

import re
from pathlib import Path

from triage.editions import CURRENT

TRIAGE = Path(__file__).parents[1] / "triage"
# Shared by all versions: they mean the same for each.
SHARED = {"model", "logs", "redact", "errors", "signature.rules", "signature.ignored"}
_FROM = re.compile(r"^from triage(?:\.([\w.]+))? import ([\w, ]+|\([^)]*\))$", re.M)


def freeze(folder: Path, package: str) -> None:
    """Write the copy into `folder`, which is to be imported as `package`."""
    waiting, done = ["signature"], set[str]()
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        done.add(name)
        path, text = _source(name)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_FROM.sub(lambda match: _moved(match, package), text), "utf-8")
        for match in _FROM.finditer(text):
            waiting += [one for one in _modules(match) if one not in SHARED]
    (folder / "__init__.py").write_text(
        f'"""Version {CURRENT.version} of signing, as it was; never changed. `make freeze` wrote it."""\n\n'
        f'from {package}.signature import sign\n\n__all__ = ["sign"]\n',
        "utf-8",
    )


def _source(name: str) -> tuple[Path, str]:
    path = Path(*name.split("."))
    path = path / "__init__.py" if (TRIAGE / path).is_dir() else path.with_suffix(".py")
    return path, (TRIAGE / path).read_text("utf-8")


def _modules(match: re.Match[str]) -> list[str]:
    """Return the modules of triage that an import line needs."""
    if match[1] and match[1] != "signature":
        return [match[1]] if match[1] not in SHARED and match[1].partition(".")[0] not in SHARED else []
    prefix = f"{match[1]}." if match[1] else ""
    return [prefix + name for name in _names(match)]


def _moved(match: re.Match[str], package: str) -> str:
    """Write an import line so that it takes the copies."""
    if match[1] and match[1] != "signature":
        is_shared = match[1] in SHARED or match[1].partition(".")[0] in SHARED
        return match[0] if is_shared else f"from {package}.{match[1]} import {match[2]}"
    prefix = f"{match[1]}." if match[1] else ""
    lines = []
    for name in _names(match):
        source = "triage" if prefix + name in SHARED else package
        lines.append(f"from {source}{'.' + match[1] if match[1] else ''} import {name}")
    return "\n".join(lines)


def _names(match: re.Match[str]) -> list[str]:
    return re.findall(r"\w+", match[2])


if __name__ == "__main__":
    version = f"v{CURRENT.version}"
    (TRIAGE / "frozen").mkdir(exist_ok=True)
    (TRIAGE / "frozen" / "__init__.py").write_text(
        '"""Versions of signing that were in force once, as they were."""\n', "utf-8"
    )
    freeze(TRIAGE / "frozen" / version, f"triage.frozen.{version}")
