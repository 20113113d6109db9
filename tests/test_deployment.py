"""Dockerfile and docker-compose.yml: held against their rules, and run as processes where no container engine is."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from tests.airflow_stub import fail, serving
from tests.elastic_server import ElasticServer, lack
from tests.image import NOBODY, ROOT, as_nobody, build, environment_of, instructions, python_of
from tests.processes import free_port

COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = instructions((ROOT / "Dockerfile").read_text("utf-8"))
OURS = ("pages", "api", "worker", "beat")


def _schema() -> Any:
    folder = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
    return json.loads((folder / "compose-spec.json").read_text("utf-8"))


def test_the_compose_file_is_what_the_specification_allows() -> None:
    schema = _schema()
    specification = jsonschema.validators.validator_for(schema)(schema)
    specification.validate(COMPOSE)
    wrong = COMPOSE | {"services": {"api": SERVICES["api"] | {"restrat": "no"}}}
    assert "restrat" in jsonschema.exceptions.best_match(specification.iter_errors(wrong)).message


def test_the_dockerfile_passes_its_linter() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_bounded_watched_and_without_rights(name: str) -> None:
    its = SERVICES[name]
    assert re.search(r":\d+\.\d+\.\d+(-\w+)?$", its["image"])
    assert its["user"].split(":")[0] not in ("", "0", "root")
    assert its["cap_drop"] == ["ALL"]
    assert its["security_opt"] == ["no-new-privileges:true"]
    assert its["restart"] == "unless-stopped"
    assert its["healthcheck"]["test"]
    assert {"cpus", "memory", "pids"} == set(its["deploy"]["resources"]["limits"])
    assert its["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert its.get("read_only") is (None if name == "elasticsearch" else True)
    assert all(port.startswith("127.0.0.1:") for port in its.get("ports", []))
    assert bool(its.get("ports")) is (name in ("pages", "api"))


def test_what_services_name_is_there_and_no_secret_is_written_out() -> None:
    for name, its in SERVICES.items():
        told = json.dumps([its.get("environment"), its.get("command"), its["healthcheck"]["test"]])
        given = set(its.get("secrets", []))
        named = set(re.findall(r"/run/secrets/(\w+)", told))
        assert named <= given, name
        assert given - named <= {"airflow_password"}, name  # that one is named by the settings
        assert given <= set(COMPOSE["secrets"])
        assert set(its["networks"]) <= set(COMPOSE["networks"])
        assert {volume.split(":")[0] for volume in its.get("volumes", [])} <= set(COMPOSE["volumes"])
        assert set(its.get("depends_on", {})) <= set(SERVICES)
        for setting, value in (its.get("environment") or {}).items():
            assert not re.search("PASSWORD|TOKEN|KEY", setting) or setting.endswith("_FILE"), (setting, value)
    assert COMPOSE["networks"]["inside"]["internal"] is not False
    assert {name for name, its in SERVICES.items() if "outside" not in its["networks"]} == {
        "beat", "redis", "elasticsearch",
    }  # fmt: skip


def test_the_image_is_pinned_runs_without_rights_and_carries_our_version() -> None:
    bases = [one.rest.split()[0] for one in DOCKERFILE if one.word == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.search(r":\d+\.\d+\.\d+-", bases[0])
    last = {one.word: one.rest for one in DOCKERFILE if one.stage == 1}
    assert last["USER"] == SERVICES["api"]["user"] == "1000:1000"
    assert last["HEALTHCHECK"].endswith('CMD ["airtriage", "alive", "web"]')
    assert SERVICES["api"]["image"] == f"airtriage:{metadata.version('airtriage')}"
    exposed = set(last["EXPOSE"].split())
    assert exposed == {port.rsplit(":")[-1] for name in ("pages", "api") for port in SERVICES[name]["ports"]}


def test_a_build_is_given_what_it_copies_and_nothing_else() -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")
    }  # fmt: skip
    copied = {name for one in DOCKERFILE if (one.word, one.stage) == ("COPY", 0) for name in one.rest.split()[:-1]}
    assert allowed == copied
    assert all((ROOT / name).exists() for name in copied)


# --- what can be run of it


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A folder that an account without rights may look into, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="airtriage-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def image(root: Path) -> Path:
    """The tree that the second stage copies, made by the very steps of the first."""
    return build(root)


IMAGE = pytest.mark.xdist_group("image")
TOOLS = {"pip", "setuptools", "wheel", "uv", "hatchling", "pytest", "mypy", "ruff", "playwright", "moto", "hypothesis"}


@IMAGE
@pytest.mark.timeout(900)
def test_the_tree_holds_the_locked_versions_all_our_files_and_no_tools(image: Path) -> None:
    lines = map(Requirement, (ROOT / "constraints.txt").read_text("utf-8").splitlines())
    locked = {_plain(one.name): str(one.specifier) for one in lines if not one.marker or one.marker.evaluate()}
    site = next((image / "lib").glob("python3.*")) / "site-packages"
    found = {_plain(one.name): f"=={one.version}" for one in metadata.distributions(path=[str(site)])}
    assert found.pop("airtriage") == f"=={metadata.version('airtriage')}"
    assert found == {name: locked[name] for name in found}
    assert {"streamlit", "celery", "redis"} <= set(found)
    assert not TOOLS & set(found)
    tracked = subprocess.run(
        ["git", "ls-files", "triage", "collector", "ui"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert any(fnmatchcase(name, "ui/front/*.js") for name in tracked)
    with zipfile.ZipFile(next((image.parent.parent / "dist").glob("*.whl"))) as wheel:
        inside = set(wheel.namelist())
    assert set(tracked) <= inside
    assert {name for name in inside if ".dist-info/" not in name} <= set(tracked) | _untracked()
    assert all((site / name).is_file() for name in tracked)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _untracked() -> set[str]:
    told = ["git", "ls-files", "--others", "--exclude-standard", "triage", "collector", "ui"]
    return set(subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


@IMAGE
@pytest.mark.timeout(900)
def test_an_account_without_rights_runs_it_from_a_tree_it_cannot_change(image: Path, root: Path) -> None:
    command = as_nobody([str(image / "bin" / "airtriage"), "--version"])
    done = subprocess.run(command, cwd="/", env=python_of(root), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"airtriage, version {metadata.version('airtriage')}\n"), done.stderr
    if os.geteuid() == 0:
        told = as_nobody(["touch", str(image / "bin" / "airtriage")])
        assert subprocess.run(told, capture_output=True, check=False).returncode != 0


@dataclass
class Stack:
    """The services as processes of one account without rights: their commands, environment and secrets as written.

    Names of hosts, ports and the folders of a container are mapped, and the name of Elasticsearch's account; nothing else is.
    """

    image: Path
    folder: Path
    maps: dict[str, str]
    more: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        its = SERVICES[name]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                as_nobody([*self.first(its), *(self.mapped(word, name) for word in its["command"])]),
                cwd=self.home(name), env=self.environ(name), stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def first(self, its: dict[str, Any]) -> list[str]:
        if "entrypoint" in its:
            return [str(word) for word in its["entrypoint"]]
        return [str(self.image / "bin" / json.loads(_last("ENTRYPOINT"))[0])]

    def home(self, name: str) -> Path:
        home = self.folder / name
        if not home.exists():
            home.mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(home, NOBODY, NOBODY)
        return home

    def environ(self, name: str) -> dict[str, str]:
        its = SERVICES[name]
        python = python_of(self.image.parent.parent)
        told = {**python, "PATH": f"{self.image / 'bin'}:{python['PATH']}", "HOME": str(self.home(name))}
        if "build" in its:
            for one in (one for one in DOCKERFILE if (one.word, one.stage) == ("ENV", 1)):
                told |= {key: value for key, value in environment_of(one.rest).items() if key != "PATH"}
        told |= its.get("environment") or {}
        return {key: self.mapped(value, name) for key, value in told.items()} | self.more

    def mapped(self, text: str, name: str) -> str:
        text = text.replace("$$", "$")
        maps = {**self.maps, "/data": str(self.home(name))}
        words = "|".join(re.escape(word) for word in sorted(maps, key=len, reverse=True))
        return re.sub(rf"(?<!\w)(?:{words})(?!\w)", lambda found: maps[found[0]], text)

    def is_healthy(self, name: str) -> bool:
        kind, *words = SERVICES[name]["healthcheck"]["test"]
        command = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else list(words)
        command = [self.mapped(word, name) for word in command]
        told = as_nobody(command)
        done = subprocess.run(
            told, cwd=self.home(name), env=self.environ(name), capture_output=True, timeout=90, check=False
        )  # fmt: skip
        return done.returncode == 0

    def wait_healthy(self, name: str, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not self.is_healthy(name):
            assert self.running[name].poll() is None, self.said(name)
            assert time.monotonic() < deadline, self.said(name)
            time.sleep(0.5)

    def said(self, name: str) -> str:
        return f"{name}: " + (self.folder / f"{name}.log").read_text("utf-8", "replace")[-3000:]

    def end(self, name: str, how: signal.Signals) -> int:
        process = self.running.pop(name)
        with suppress(ProcessLookupError):  # it has ended by itself, and its code says how
            os.killpg(process.pid, how)
        return process.wait(60)


def _last(word: str) -> str:
    return next(one.rest for one in DOCKERFILE if (one.word, one.stage) == (word, 1))


PASSWORD = "elast1c-pass"
HASH = "$2a$04$abcdefghijklmnopqrstuuyLp0otqMoGiAQu9cQIddBgGSpycPG/2"  # bcrypt of it
ACCOUNT = "triage"  # `elastic` itself gets its password by the entrypoint of the image, which is not here


def _elasticsearch(held: ExitStack) -> ElasticServer:
    """Start a real one with the settings of the compose file, of which the heap alone is smaller."""
    told = SERVICES["elasticsearch"]["environment"]
    settings = {name: {"true": True, "false": False}.get(value, value) for name, value in told.items() if "." in name}
    assert settings["xpack.security.enabled"] is True
    files = {"users": f"{ACCOUNT}:{HASH}\n", "users_roles": f"superuser:{ACCOUNT}\n"}
    return held.enter_context(
        ElasticServer("9.4.3", settings=settings, files=files, login=(ACCOUNT, PASSWORD))
    )  # fmt: skip


@contextmanager
def _stack(image: Path, root: Path, url: str, elastic: int) -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(dir=root))
    folder.chmod(0o755)
    broker, pages, api = free_port(), free_port(), free_port()
    secrets = {
        "redis_password": "red1s-pass", "broker": f"redis://:red1s-pass@redis:{broker}/0",
        "elastic_password": PASSWORD, "airflow_password": "right",
    }  # fmt: skip
    maps = {
        "/run/secrets": f"{folder}/secrets", "/etc/airtriage": str(folder), "dir": f"port {broker}\ndir",
        "redis-cli": f"redis-cli -p {broker}", "elasticsearch:9200": f"127.0.0.1:{elastic}",
        "127.0.0.1:9200": f"127.0.0.1:{elastic}", "elastic": ACCOUNT,
    }  # fmt: skip
    more = {"AIRTRIAGE_WEB__PORT": str(pages), "AIRTRIAGE_WEB__API_PORT": str(api)}
    (folder / "secrets").mkdir()
    for name, text in secrets.items():
        (folder / "secrets" / name).write_text(text.replace("@redis:", "@127.0.0.1:") + "\n")
    (folder / "airtriage.toml").write_text(
        f'log_waits = "1s,1s"\n[deployments.prod]\nurl = "{url}"\nusername = "triage"\n'
        f'password_file = "{folder}/secrets/airflow_password"\npoll = "2s"\n'
    )
    if os.geteuid() == 0:
        for path in (folder / "secrets").iterdir():
            os.chown(path, NOBODY, NOBODY)
            path.chmod(0o400)
    stack = Stack(image, folder, maps, more)
    try:
        yield stack
    finally:
        for name in list(stack.running):
            stack.end(name, signal.SIGKILL)


def _problems(stack: Stack) -> list[Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.more['AIRTRIAGE_WEB__API_PORT']}/api/problems") as answer:
        return list(json.loads(answer.read()))


def _wait_for_failures(stack: Stack, count: int) -> None:
    deadline = time.monotonic() + 180
    while sum(problem["occurrences"] for problem in _problems(stack)) < count:
        assert time.monotonic() < deadline, "\n".join(map(stack.said, stack.running))
        time.sleep(0.3)


@IMAGE
@pytest.mark.elastic
@pytest.mark.redis
@pytest.mark.timeout(900)
def test_the_services_start_as_written_and_a_failure_flows_to_the_api_through_a_worker_s_death(
    image: Path, root: Path
) -> None:
    if why := lack("9.4.3"):
        pytest.skip(why)
    with ExitStack() as held:
        stub = held.enter_context(serving())
        fail(stub, 1)
        server = _elasticsearch(held)
        stack = held.enter_context(_stack(image, root, stub.url, server.port))
        assert stack.is_healthy("elasticsearch")
        assert not stack.is_healthy("redis")
        stack.start("redis")
        stack.wait_healthy("redis")
        for name in OURS:
            assert not stack.is_healthy(name)
            stack.start(name)
        for name in OURS:
            stack.wait_healthy(name)
        _wait_for_failures(stack, 1)
        pages = f"http://127.0.0.1:{stack.more['AIRTRIAGE_WEB__PORT']}"
        with urllib.request.urlopen(f"{pages}/") as answer:
            assert b"<title>Queue" in answer.read()
        stack.end("worker", signal.SIGKILL)
        fail(stub, 2)
        stack.start("worker")
        stack.wait_healthy("worker")
        _wait_for_failures(stack, 2)
        assert {stack.end(name, signal.SIGTERM) for name in OURS} <= {0, -signal.SIGTERM}
        told = "".join(map(stack.said, OURS))
        assert "Traceback" not in told, told
        assert "-pass" not in told
