"""Runs the fast tests of the signature again and again, each time in a fork that has imported nothing of ours yet.

A script, started in a copy of the source with the copy as its folder: `python tests/bench/mutant_server.py SECONDS`. Every
line on stdin is a run; the answer is pytest's exit code, or -1 where it took longer than the seconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import ahocorasick_rs  # noqa: F401  (what the tests import is imported once, for all forks)
import hypothesis.strategies  # noqa: F401
import msgspec.json  # noqa: F401
import pytest

# Left out are those that start processes, try at random, need the shared logs, or sign the same logs once more.
TESTS = (
    "tests/test_signature.py",
    "tests/test_mutants.py",
    "tests/test_silence.py",
    "tests/test_causes.py",
    "tests/test_rules.py",
    "tests/test_corpus.py",
)
LEFT_OUT = ("shared", "hash_seed", "never_raises", "kept_gives", "any_bytes", "every_case", "once_kept")


def main(patience: float) -> None:
    """Answer each line with the code of one run."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.getcwd())
    for _ in sys.stdin:
        print(run(patience), flush=True)


def run(patience: float) -> int:
    """Run the tests once in a fork."""
    child = os.fork()
    if not child:
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        chosen = " and ".join(f"not {name}" for name in LEFT_OUT)
        options = ("-x", "-q", "--noconftest", "-n0", "-p", "no:cacheprovider", "-p", "no:randomly", "-k", chosen)
        os._exit(int(pytest.main([*options, *TESTS])))
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


if __name__ == "__main__":
    main(float(sys.argv[1]))
