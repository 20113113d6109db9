"""A small real git repository of DAGs, as the projects of the double have: branches, merges, a rename, owners."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

_IDENTITY = {"NAME": "Anna", "EMAIL": "anna@example.com"}


@dataclass
class History:
    """A repository at `path` that is written commit by commit; each is an hour after the one before."""

    path: Path
    at: datetime
    shas: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *args: str) -> str:
        environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        for role in ("AUTHOR", "COMMITTER"):
            environment |= {f"GIT_{role}_{name}": value for name, value in _IDENTITY.items()}
            environment[f"GIT_{role}_DATE"] = self.at.isoformat()
        done = subprocess.run(
            ["git", *args], cwd=self.path, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, message: str, files: dict[str, str]) -> str:
        """Write files by their paths and commit; return the sha."""
        for name, text in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
        return self._committed(message)

    def rename(self, old: str, new: str, message: str) -> str:
        self.git("mv", old, new)
        return self._committed(message)

    def merge(self, branch: str, message: str) -> str:
        self.at += timedelta(hours=1)
        self.git("merge", "--quiet", "--no-ff", "-m", message, branch)
        return self._kept()

    def _committed(self, message: str) -> str:
        self.at += timedelta(hours=1)
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)
        return self._kept()

    def _kept(self) -> str:
        self.shas.append(self.git("rev-parse", "HEAD"))
        return self.shas[-1]


def dag_repository(path: Path, at: datetime) -> History:
    """Return a repository with the history of two DAGs: the fix of `load.py` came in by a merge, after a good run.

    shas: 0 first commit of both DAGs, 1 a bad change of load.py, 2 a change of another file, 3 the fix on branch `fix`, 4 its merge.
    """
    made = History(path, at)
    owners = "* @anna\n/dags/load.py @bot @anna\n"
    load, send = "def load():\n    return 1\n", "def send():\n    return 2\n"
    made.commit("Add two DAGs", {"CODEOWNERS": owners, "dags/load.py": load, "dags/send.py": send})
    made.commit("Load twice as much\n\nIt is needed.", {"dags/load.py": load.replace("1", "1 / 0")})
    made.commit("Send more", {"dags/send.py": send.replace("2", "3")})
    made.git("checkout", "--quiet", "-b", "fix")
    made.commit("Divide no more", {"dags/load.py": load})
    made.git("checkout", "--quiet", "main")
    made.merge("fix", "Merge branch 'fix' into 'main'\n\nSee merge request data/dags!1")
    return made
