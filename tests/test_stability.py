"""One log, one signature: whatever the order, the seed of the hashes, the Python, and where its end was cut off."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import judge, stability

OWN = judge.own()
# The goal for 20 cuts of every log, which `make bench` measures; here it is asked of a sample.
LEAST = 0.98
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
SMALL = [case for at, case in enumerate(OWN) if at % 4 == 0]


@pytest.fixture(scope="module")
def here() -> tuple[str, dict[str, str]]:
    return stability.digest(OWN, 0)


@pytest.mark.parametrize(("shuffle", "hash_seed"), [(1, 0), (2, 1), (3, 0)])
def test_order_and_hash_seed_change_nothing_of_a_signature(
    shuffle: int, hash_seed: int, here: tuple[str, dict[str, str]]
) -> None:
    assert stability.told_by(Path(sys.executable), shuffle, hash_seed) == here


@pytest.mark.parametrize("version", [one for one in stability.VERSIONS if one != RUNNING])
def test_every_python_makes_the_same_signatures(version: str, here: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    python = stability.interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not here, neither on the PATH nor in pyenv")
    assert stability.told_by(stability.environment(python, tmp_path / "environment"), 4, 1) == here


def test_a_log_cut_after_its_evidence_keeps_its_fingerprint() -> None:
    cuts, same, lost = stability.kept(SMALL, 5)
    assert cuts >= 2 * len(SMALL)
    assert same >= LEAST * cuts, lost


def test_a_log_is_cut_behind_its_evidence_only_and_not_where_nothing_follows() -> None:
    log = b"[2026-10-03T04:10:00.000+0000] {a.py:1} INFO - begin\n[2026-10-03T04:10:01.000+0000] {a.py:2} ERROR - Task failed with exception\n"
    error = b'Traceback (most recent call last):\n  File "/dags/a.py", line 2, in work\n    boom()\nValueError: no\n'
    after = b"[2026-10-03T04:10:02.000+0000] {a.py:3} INFO - Marking task as FAILED.\n"
    signature = stability.sign_text(log + error + after)
    cuts = list(stability.cut(log + error + after, signature, "seed", 50))
    assert len({len(cut) for cut in cuts}) > 20
    assert all(cut.startswith(log + error) and len(cut) < len(log + error + after) for cut in cuts)
    assert list(stability.cut(log + error, stability.sign_text(log + error), "seed")) == []
