"""The whole signature of every labelled log, by any Python, in any order: `python -m tests.stability SHUFFLE own`.

Prints one digest over names and signatures (fingerprint, title, cause, evidence, decisions) and each log's fingerprint.
Owns also where other Pythons are, the environments they run in (only what `triage.signature` imports), and the cuts of a
log after its evidence. Whoever asks compares.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tests import judge
from tests.judge import Case
from triage import logs
from triage.model import Signature
from triage.signature import sign_text

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.11", "3.12", "3.13")
# The packages that signing imports, as pinned.
IMPORTED = ("ahocorasick-rs", "msgspec")
CUTS = 20


def digest(cases: Sequence[Case], shuffle: int) -> tuple[str, dict[str, str]]:
    """Sign the cases in a shuffled order; one digest over all that was made, sorted by name, and the fingerprints."""
    order = list(cases)
    random.Random(shuffle).shuffle(order)
    signed = {case.name: sign_text(case.log, task="shop.load") for case in order}
    told = json.dumps({name: asdict(signature) for name, signature in sorted(signed.items())}, sort_keys=True)
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest(), {n: s.fingerprint for n, s in signed.items()}


def everything() -> list[Case]:
    """Return the cases of both corpora."""
    return [*judge.own(), *judge.shared()]


def told_by(python: Path, shuffle: int, hash_seed: int, which: str = "own") -> tuple[str, dict[str, str]]:
    """Ask another process for `digest` of our own cases, or of "everything", with this seed of Python's hashes."""
    done = subprocess.run(
        [python, "-m", "tests.stability", str(shuffle), which],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": str(hash_seed), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return answer["digest"], answer["fingerprints"]


def interpreter(version: str) -> Path | None:
    """Find a Python of this version that runs: on the PATH, or one that pyenv keeps; None where there is none."""
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    kept = sorted(pyenv.glob(f"{version}.*/bin/python")) if pyenv.is_dir() else []
    for one in ([Path(on_path)] if on_path else []) + kept:
        # A shim of pyenv stands on the PATH for versions that are not chosen, and then only says so.
        asked = subprocess.run(
            [one, "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode == 0 and asked.stdout.strip() == version:
            return one
    return None


def environment(python: Path, folder: Path) -> Path:
    """Make an environment with nothing but what signing imports; returns its Python."""
    pinned = re.findall(rf"^(?:{'|'.join(IMPORTED)})==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert len(pinned) == len(IMPORTED)
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--no-python-downloads", "--python", python, folder], check=True)
    made = folder / "bin" / "python"
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", made, *pinned], check=True)
    return made


def cut(log: bytes, signature: Signature, seed: str, count: int = CUTS) -> Iterator[bytes]:
    """Yield the log cut at random points after the last line of its evidence; nothing where nothing follows it."""
    last = max((evidence.number for evidence in signature.evidence), default=0)
    after = next((line.number for line in logs.read([log]) if line.number > last), None)
    if after is None:
        return
    begin = -1
    for _ in range(after - 1):
        begin = log.index(b"\n", begin + 1)
    points = random.Random(seed)
    for _ in range(count):
        yield log[: points.randint(begin + 1, len(log) - 1)]


def kept(cases: Sequence[Case], count: int = CUTS) -> tuple[int, int, dict[str, int]]:
    """Cut every log; return how many cuts there were, how many kept the fingerprint, and by name those that did not."""
    cuts = same = 0
    lost: dict[str, int] = {}
    for case in cases:
        whole = sign_text(case.log, task="shop.load")
        for part in cut(case.log, whole, case.name, count):
            cuts += 1
            if sign_text(part, task="shop.load").fingerprint == whole.fingerprint:
                same += 1
            else:
                lost[case.name] = lost.get(case.name, 0) + 1
    return cuts, same, lost


if __name__ == "__main__":
    made, fingerprints = digest({"own": judge.own, "everything": everything}[sys.argv[2]](), int(sys.argv[1]))
    print(json.dumps({"digest": made, "fingerprints": fingerprints}))
