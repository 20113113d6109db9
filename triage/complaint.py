"""A complaint about a grouping as a folder: the failed tries of a problem as cases of the corpus, with a README.

The shell around `cases`, for the command and for the page: loads the tries, writes the folder or packs it. Overwrites
nothing: a file that is there with other content stops it before anything is written.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from triage import cases
from triage.cases import Case, LeftOut
from triage.errors import InputError
from triage.model import Occurrence
from triage.service import Service

LIMIT = 10  # cases of a problem, unless told otherwise
_LISTED = 500  # newest failed tries of a problem to choose from
_HEAD = """# A wrong grouping, as cases of airtriage's corpus

Made by `airtriage case`. Each folder holds the redacted logs of failed tries that airtriage takes for one failure; a
`.json` beside a log holds what Airflow says of the try, where the log alone does not tell.

1. Say what you expect: move the logs so that those of one cause lie in one folder, and others in others. A folder's name
   is yours to choose.
2. Attach this folder to a bug report, or copy its folders into `tests/corpus` of airtriage and run
   `make test`: the test of the corpus fails until the grouping is as the folders say.

"""
_NAMES = (
    "Secrets are masked. Names are not: the DAGs, tasks, runs and hosts of these tries stand in the files, and whatever "
    "else the logs say of your systems. Read them before you pass them on.\n"
)
_ALIASED = (
    "Secrets are masked, and the DAGs, tasks, runs and hosts of these tries have other names here, wherever the names stand "
    "by themselves. Whatever else the logs say of your systems, other hosts, tables and paths, stands in the files: read "
    "them before you pass them on.\n"
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """The cases, the tries that were left out, how many tries have no log, and the files by their path in the folder."""

    cases: tuple[Case, ...]
    left_out: tuple[LeftOut, ...]
    without_log: int
    files: dict[str, bytes]
    privacy: str

    @property
    def is_whole(self) -> bool:
        """Say whether every case gives the fingerprint that is stored of it, and none was left out."""
        return not self.left_out and not any(case.note for case in self.cases)


def complaint(service: Service, id: str, now: datetime, *, limit: int = LIMIT, anonymous: bool = False) -> Complaint:
    """Make the cases of a problem (or its unambiguous beginning) or of one failed try; InputError if there is none."""
    found = service.store.occurrence(id)
    listed = [found] if found else list(service.problem(id, now, _LISTED).occurrences)
    chosen = _various(one for one in listed if cases.has_log(one))
    loaded = (service.store.occurrence(one.key.id) for one in chosen)
    tries = list(islice((one for one in loaded if one is not None and one.kept), limit))
    if not tries:
        raise InputError(f"No failed try of {id} has a log, so there is nothing to make a case of.", "What Airflow itself says of it makes its grouping.")  # fmt: skip
    aliases = cases.Aliases() if anonymous else None
    for one in tries if aliases else ():
        aliases.learn(one)  # type: ignore[union-attr]
    made = [cases.case(one, place, aliases) for place, one in enumerate(tries, 1)]
    good = tuple(one for one in made if isinstance(one, Case))
    left_out = tuple(one for one in made if isinstance(one, LeftOut))
    privacy = _ALIASED if anonymous else _NAMES
    files = {path: data for one in good for path, data in one.files.items()}
    if files:
        files["README.md"] = _readme(good, left_out, privacy).encode()
    return Complaint(good, left_out, sum(not cases.has_log(one) for one in listed), files, privacy)


def write(made: Complaint, folder: Path) -> None:
    """Write the files below `folder`; InputError, and nothing written, if one is there with other content."""
    try:
        for path, data in made.files.items():
            there = folder / path
            if there.is_symlink() or (there.exists() and there.read_bytes() != data):
                raise InputError(f"{there} is there already, with other content.", "Give another --out, or delete it.")
        for path, data in made.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    except OSError as exc:
        raise InputError(f"{folder} cannot be written: {exc.strerror}.", "Give another --out.") from exc


def packed(made: Complaint) -> bytes:
    """Return the folder as a zip file, the same for the same files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in made.files.items():
            archive.writestr(zipfile.ZipInfo(path), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _various(tries: Iterable[Occurrence]) -> list[Occurrence]:
    """Order tries so that each task of each fingerprint comes once before any comes twice, the newest first."""
    seen: Counter[tuple[str, str]] = Counter()
    ranked = []
    for one in tries:
        of = (one.fingerprint, one.key.task)
        ranked.append((seen[of], one))
        seen[of] += 1
    return [one for _, one in sorted(ranked, key=lambda pair: pair[0])]


def _readme(made: Iterable[Case], left_out: Iterable[LeftOut], privacy: str) -> str:
    lines = [_HEAD, privacy, "\n"]
    lines += [f"- `{case.group}/{case.name}.log`: `{case.fingerprint}`{'. ' if case.note else ''}{case.note}\n" for case in made]  # fmt: skip
    lines += [f"- {one.note}\n" for one in left_out]
    return "".join(lines)
