"""How many changed rules of the signature no test notices.

A sample of all small changes of the modules that make a fingerprint (`mutants`), the same at every run, is made one at a time in a copy of
the source, and the fast tests of the signature run on each. A change that cannot be imported is no change of a rule and
does not count. Run it as `python -m tests.bench mutations`, or with another number of changes and another seed as
`python -m tests.bench.bench_mutations 500 2`.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.mutants import Mutant, mutants
from tests.bench.table import Figure, say, show

ROOT = Path(__file__).parents[2]
# The rules that make a fingerprint. Those of users' own have tests of their own, with other doors.
MODULES = tuple(Path("triage/signature") / f"{name}.py" for name in ("__init__", "masks", "output", "root", "silence"))
SAMPLE, SEED = 300, 1
# pytest's exit codes: all passed, some failed.
PASSED, FAILED = 0, 1


def main(sample: int = SAMPLE, seed: int = SEED) -> int:
    """Measure and print the table; there is no goal but that the share falls, so always 0."""
    with tempfile.TemporaryDirectory() as name, served(tree := copied(Path(name))) as ask:
        every = [(module, mutant) for module in MODULES for mutant in mutants((tree / module).read_text())]
        chosen = random.Random(seed).sample(every, min(sample, len(every)))
        unnoticed, counted = measure(chosen, tree, ask)
    title = f"Changed rules that no test notices: {len(chosen)} of {len(every):,} changes, by seed {seed}"
    return show(title, figures(counted, unnoticed, every))


def figures(
    counted: Sequence[tuple[Path, Mutant]],
    unnoticed: Sequence[tuple[Path, Mutant]],
    every: Sequence[tuple[Path, Mutant]],
) -> list[Figure]:
    """Return a row for each module, and one for all."""

    def row(name: str, module: Path | None) -> Figure:
        of, missed, there = (
            sum(module in (None, one) for one, _ in several) for several in (counted, unnoticed, every)
        )
        return Figure(name, f"{missed} unnoticed", f"of {of} (there are {there:,})", f"{missed / of:.1%}" if of else "")

    return [*(row(module.name, module) for module in sorted({one for one, _ in every})), row("all", None)]


def measure(
    chosen: Sequence[tuple[Path, Mutant]], tree: Path, ask: Iterator[int]
) -> tuple[list[tuple[Path, Mutant]], list[tuple[Path, Mutant]]]:
    """Make each change and run the tests; return those that no test noticed, and all that count."""
    began = time.monotonic()
    assert next(ask) == PASSED, "the tests fail without any change"
    say(f"  the tests take {time.monotonic() - began:.1f} s without a change")
    unnoticed, counted = [], []
    for number, (module, mutant) in enumerate(chosen, 1):
        source = (tree / module).read_text()
        (tree / module).write_text(mutant.of(source))
        code = next(ask)
        (tree / module).write_text(source)
        if code in (PASSED, FAILED) or code < 0:
            counted.append((module, mutant))
        if code == PASSED:
            unnoticed.append((module, mutant))
            say(f"  {module}:{mutant.line}: {mutant.what}")
        if number % 50 == 0:
            assert next(ask) == PASSED, "the tests fail without any change, so what came before counts for nothing"
            say(f"  {number} of {len(chosen)}: {len(unnoticed)} unnoticed, {time.monotonic() - began:.0f} s")
    return unnoticed, counted


def copied(tree: Path) -> Path:
    """Copy what the tests need; without compiled files, so that no change is overlooked."""
    for name in ("triage", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


@contextmanager
def served(tree: Path, patience: float = 120) -> Iterator[Iterator[int]]:
    """Start the server in the copy; what is yielded runs the tests whenever it is asked for the next code."""
    command = [sys.executable, "tests/bench/mutant_server.py", str(patience)]
    with subprocess.Popen(
        command, cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def answers() -> Iterator[int]:
            while True:
                print("run", file=process.stdin, flush=True)
                yield int(process.stdout.readline())  # type: ignore[union-attr]

        yield answers()
        process.stdin.close()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
