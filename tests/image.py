"""The Dockerfile's build stage run as commands in a folder, as no container engine runs here.

Its paths are mapped below that folder, and it copies what the Dockerfile copies, nothing else. What needs an engine, the
base image and the stage that is shipped, is not run: the tree it would copy is what a test gets.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_PATH = re.compile(r"(?<![\w.$}])/(?=(?:opt|src|dist)\b)")
NOBODY = 65534


@dataclass(frozen=True)
class Instruction:
    """One line of the Dockerfile: its stage, counted from 0, its word, and what follows."""

    stage: int
    word: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    """Read a Dockerfile; lines that go on are joined, comments left out."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")).replace("\\\n", " ")
    found: list[Instruction] = []
    stage = -1
    for line in filter(str.strip, lines.splitlines()):
        word, _, rest = line.strip().partition(" ")
        stage += word == "FROM"
        found.append(Instruction(stage, word, " ".join(rest.split())))
    return found


def environment_of(rest: str) -> dict[str, str]:
    """Return what an ENV or ARG sets."""
    return {name: value.strip('"') for name, _, value in (pair.partition("=") for pair in rest.split())}


def build(root: Path) -> Path:
    """Run the build stage below `root` and return the tree that the second stage copies; what fails says its output."""
    _python(root)
    environ = {**python_of(root), "HOME": str(root), "LC_ALL": "C.UTF-8"}
    environ |= {name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_"))}
    there = root
    for one in instructions((ROOT / "Dockerfile").read_text("utf-8")):
        if one.stage > 0:
            break
        match one.word:
            case "ENV" | "ARG":
                environ |= {name: _below(value, root) for name, value in environment_of(one.rest).items()}
            case "WORKDIR":
                there = Path(_below(one.rest, root))
                there.mkdir(parents=True, exist_ok=True)
            case "COPY":
                _copy(one.rest, there)
            case "RUN":
                done = subprocess.run(
                    ["/bin/sh", "-c", _below(one.rest, root)], cwd=there, env=environ, capture_output=True, text=True,
                    check=False,
                )  # fmt: skip
                assert done.returncode == 0, f"{one.rest}\n{done.stdout}\n{done.stderr}"
    return root / "opt" / "airtriage"


def _python(root: Path) -> None:
    """Stand in for the base image: a copy of this Python, which an account without rights may not reach where it lies."""
    without = shutil.ignore_patterns("site-packages", "test", "__pycache__", "include", "share")
    shutil.copytree(sys.base_prefix, root / "base", symlinks=True, ignore=without)
    (root / "base" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages").mkdir()


def python_of(root: Path) -> dict[str, str]:
    """Return what a process needs to be told to run that copy, with its own library beside it."""
    return {"PATH": f"{root / 'base' / 'bin'}:{os.environ['PATH']}", "LD_LIBRARY_PATH": str(root / "base" / "lib")}


def _below(text: str, root: Path) -> str:
    return _PATH.sub(f"{root}/", text)


def _copy(rest: str, there: Path) -> None:
    *sources, target = rest.split()
    for name in sources:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, there / target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(source, there / target)


def as_nobody(command: list[str]) -> list[str]:
    """Return the command as an account without rights runs it; as it is where we are not root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", *command]
