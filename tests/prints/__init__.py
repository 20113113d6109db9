"""The fingerprints that each version gives the cases of the corpus, and failures without a log; `make prints` writes them.

One file a version, for ever: what changes a line changes a fingerprint in somebody's store.
"""

from __future__ import annotations

from pathlib import Path

from triage import logs
from triage.editions import Signer
from triage.model import Absence, Circumstance, CircumstanceKind, LogStatus

FOLDER = Path(__file__).parent
CORPUS = FOLDER.parent / "corpus"
TASK = "shop.load"


def file(signer: Signer) -> Path:
    """Return the file that holds the fingerprints of a version."""
    return FOLDER / f"{signer.edition}.txt"


def made(signer: Signer) -> dict[str, str]:
    """Sign the corpus, and what has no log; returns fingerprints by the name of the case."""
    found = {}
    for case in sorted(CORPUS.glob("*/*.log")):
        kept = logs.keep(logs.read([case.read_bytes()]))
        signed = signer.sign(kept.lines, task=TASK, absence=kept.absence)
        found[f"{case.parent.name}/{case.stem}"] = signed.fingerprint
    for absence in Absence:
        signed = signer.sign((), task=TASK, status=LogStatus.MISSING, absence=absence)
        found[f"(no log)/{absence.value}"] = signed.fingerprint
    for kind in CircumstanceKind:
        signed = signer.sign((), Circumstance(kind), task=TASK, status=LogStatus.MISSING)
        found[f"(no log)/{kind.value}"] = signed.fingerprint
    return found


def noted(signer: Signer) -> dict[str, str]:
    """Return the fingerprints that are written down."""
    pairs = (line.rpartition(" ") for line in file(signer).read_text("utf-8").splitlines())
    return {name: fingerprint for name, _, fingerprint in pairs}


def write(signer: Signer) -> None:
    """Write down what a version gives."""
    file(signer).write_text("".join(f"{name} {print_}\n" for name, print_ in made(signer).items()), "utf-8")
