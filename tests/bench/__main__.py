"""`python -m tests.bench [name …]`: every speed and memory claim measured, tables to stdout, progress to stderr.

Each name is a module beside this one, `bench_<name>`, whose `main` prints one table and returns 1 where a goal was
missed. Without names all of them run, one after the other, never two at once.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.table import say


def names() -> list[str]:
    """Return what can be measured."""
    return sorted(file.stem.removeprefix("bench_") for file in Path(__file__).parent.glob("bench_*.py"))


def main(chosen: Sequence[str]) -> int:
    """Run the benches of these names, or all; 0 where every goal is reached, 1 where one is missed, 2 for a bad name."""
    if unknown := [name for name in chosen if name not in names()]:
        say(f"There is no bench named {', '.join(unknown)}: choose from {', '.join(names())}.")
        return 2
    missed = 0
    for name in chosen or names():
        say(f"{name}:")
        missed |= importlib.import_module(f"tests.bench.bench_{name}").main()
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
