"""The throwaway Airflow's own environment: made once in the user's cache, by uv, as the constraints beside this file say.

Owns where it lies, whether it is whole, and the empty database that each Airflow starts from. Hides uv and Airflow's
migration. Must not start an Airflow.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from ast import literal_eval
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from triage.errors import ProcessError

CONSTRAINTS = Path(__file__).parent / "constraints-airflow.txt"
PACKAGES = ("apache-airflow-core", "apache-airflow-providers-standard")
STAMP = "complete"
Say = Callable[[str], None]


def cache_folder() -> Path:
    """Return where the throwaway environment is kept between runs: the user's cache."""
    return Path(platformdirs.user_cache_dir("airtriage"))


def install(folder: Path, say: Say, constraints: Path = CONSTRAINTS, packages: Sequence[str] = PACKAGES) -> Path:
    """Make an Airflow's own environment below `folder`, or find it there whole, and return it.

    One process installs at a time; the others wait. An install that was interrupted is done again.
    """
    make_folder(folder)
    digest = hashlib.sha256(constraints.read_bytes() + sys.version.encode()).hexdigest()[:12]
    environment = folder / f"airflow-{digest}"
    with alone(folder / "install.lock"):
        if not (environment / STAMP).exists():
            shutil.rmtree(environment, ignore_errors=True)
            say("installing Apache Airflow into an environment of its own")
            _install_packages(environment, constraints, packages)
            say("preparing Airflow's database")
            _make_database(environment)
            (environment / STAMP).touch()
    return environment


def _install_packages(environment: Path, constraints: Path, packages: Sequence[str]) -> None:
    uv = [sys.executable, "-m", "uv"]
    settings = os.environ | _pip_settings()
    _run([*uv, "venv", "--quiet", "--python", sys.executable, str(environment)], "make an environment", settings)
    python = str(environment / "bin" / "python")
    command = [*uv, "pip", "install", "--quiet", "--python", python, "--constraint", str(constraints), *packages]
    _run(command, "install Apache Airflow", settings)


def _pip_settings() -> dict[str, str]:
    """Return pip's index and certificates in uv's words: uv reads no settings of pip's, and often only those are made."""
    names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS"}
    names |= {"cert": "SSL_CERT_FILE"}
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    found = {}
    for line in listed.splitlines():
        option, _, value = line.partition("=")
        name = names.get(option.rpartition(".")[2])
        if name and name not in os.environ:
            found[name] = " ".join(str(literal_eval(value)).split())
    return found


def _make_database(environment: Path) -> None:
    home = environment / "template"
    settings = {**clean_environment(), "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    command = [str(environment / "bin" / "python"), "-m", "airflow", "db", "migrate"]
    _run(command, "make Airflow's database", settings)


def _run(command: list[str], purpose: str, environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode == 0:
        return
    said = (done.stderr or done.stdout).strip()
    fix = "Put that right and try again."
    if "No space left" in said:
        fix = "Free some space (about 400 MB are needed) and try again."
    elif any(word in said.lower() for word in ("dns error", "connect", "resolve", "timed out", "network")):
        fix = "Check the network, or the package index pip and uv are set to, and try again."
    last = said.splitlines()[-1].strip().removeprefix("Caused by: ") if said else f"exit code {done.returncode}"
    raise ProcessError(f"Could not {purpose}: {last.rstrip('.')}.", fix)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; ProcessError where nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as exc:
        raise ProcessError(f"Cannot write to the folder {folder}: {exc.strerror}.", "Choose another one.") from exc


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock file while the block runs; whoever else wants it waits."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def clean_environment() -> dict[str, str]:
    """Return our environment without what would lead Airflow astray: other settings of it, Python's, loopback proxies."""
    astray = ("AIRFLOW", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(astray)}
    return kept | {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
