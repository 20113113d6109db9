"""A real Elasticsearch as a process of this machine: on free ports of loopback, gone when whoever started it is.

    python -m tests.elastic_server 9.4.3      starts one, prints its URL, ends with Ctrl-C

Owns how it is configured and started without a container, as an unprivileged user, within a bounded time. One node is the
rule; several make a cluster (`cluster`). What it takes from where is in `elastic_install`.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.elastic_install import VERSIONS, Missing, find_java, install, lack
from tests.processes import free_port

__all__ = ["VERSIONS", "ElasticServer", "Missing", "cluster", "fresh", "lack"]

_NOBODY = 65534  # the user and group `nobody`, on every Linux
_PREFIX = "airtriage-elastic-"
START_SECONDS = 300  # 20 to 25 on an idle machine, far more where others hold its cores


def fresh(url: str) -> str:
    """Return the URL of a store in this server that nobody has used yet."""
    return f"{url}/airtriage-test-{uuid.uuid4().hex[:12]}"


class ElasticServer:
    """One node that lives from `start` to `stop`, or as long as the `with` block.

    `settings` go to elasticsearch.yml (None takes a default away), `files` beside it. `login` is a (name, password) for the
    calls made here, `authority` a PEM file that signed its certificate; with one, its URL is https. What it stores goes when
    it ends, except in `data`, a folder that the unprivileged user can reach.
    """

    def __init__(
        self,
        number: str,
        *,
        heap: str = "512m",
        settings: Mapping[str, Any] | None = None,
        files: Mapping[str, str] | None = None,
        login: tuple[str, str] | None = None,
        authority: Path | None = None,
        port: int | None = None,
        data: Path | None = None,
    ) -> None:
        """Decide ports; nothing starts yet."""
        self.number = number
        self.port = port or free_port()
        self.transport_port = free_port()
        self.url = f"http{'s' if authority else ''}://127.0.0.1:{self.port}"
        self._heap = heap
        self._settings = dict(settings or {})
        self._files = dict(files or {})
        self._login = login
        self._authority = authority
        self._data = data
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it answers; `Missing` in one sentence where the machine lacks something."""
        missing = lack(self.number)
        if missing:
            raise Missing(missing)
        version = VERSIONS[self.number]
        server = install(self.number, lambda words: print(words, file=sys.stderr, flush=True))
        if self._folder is None:
            self._folder = self._fill(server)
        java = find_java(version) / "bin" / "java"
        # Its launcher ends with the thread that started it, and the node ends when its launcher's pipe closes: both are
        # gone even after a SIGKILL of the tests.
        command = ["setpriv", "--pdeathsig", "KILL"]
        if os.geteuid() == 0:
            command += [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        command += [
            "env",
            "-i",
            *self._environment(server, java),
            str(java),
            *_launcher(version.major, server, self._folder / "conf"),
        ]
        with self._console.open("ab") as out:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=server)
        if wait:
            try:
                self.wait()
            except BaseException:
                self.stop()
                raise

    def wait(self, nodes: int = 1, seconds: float = START_SECONDS) -> None:
        """Wait until it answers and `nodes` are there; an error with the end of its log if that takes too long."""
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while True:
            if self._process.poll() is not None:
                raise RuntimeError(f"Elasticsearch {self.number} ended while it started:\n{self._tail()}")
            try:
                health = self.ask("GET", f"/_cluster/health?wait_for_nodes=>={nodes}&timeout=1s")
                if health["status"] != "red" and health["number_of_nodes"] >= nodes:
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise RuntimeError(f"Elasticsearch {self.number} did not start in {seconds:.0f} s:\n{self._tail()}")
            time.sleep(0.25)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request as an administrator and return the answer's JSON; OSError for anything but success."""
        headers = {"Content-Type": "application/json"}
        if self._login:
            headers["Authorization"] = "Basic " + b64encode(":".join(self._login).encode()).decode()
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        context = ssl.create_default_context(cafile=self._authority) if self._authority else None
        handlers = [
            urllib.request.ProxyHandler({}),
            *([urllib.request.HTTPSHandler(context=context)] if context else []),
        ]
        with urllib.request.build_opener(*handlers).open(request, timeout=30) as answer:
            return json.load(answer)

    def kill(self) -> None:
        """End it as a loss of power would; `start` brings it back with what it had on disk."""
        if self._process is not None:
            for process in _family(self._process.pid):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it and leave nothing behind; may be repeated."""
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def _console(self) -> Path:
        assert self._folder is not None
        return self._folder / "console.log"

    def _tail(self) -> str:
        return "\n".join(self._console.read_text("utf-8", "replace").splitlines()[-25:])

    def _fill(self, server: Path) -> Path:
        """Make the folders of a run: settings of our own beside the distribution's."""
        _sweep()
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        shutil.copytree(server / "config", folder / "conf")
        for name in ("data", "logs", "tmp"):
            (folder / name).mkdir()
        data = self._data or folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        for name, text in self._files.items():
            (folder / "conf" / name).write_text(text, "utf-8")
        settings: dict[str, Any] = {
            "cluster.name": "airtriage-test",
            "discovery.type": "single-node",
            "network.host": "127.0.0.1",
            "http.port": self.port,
            "transport.port": self.transport_port,
            "path.data": str(data),
            "path.logs": str(folder / "logs"),
            "xpack.security.enabled": False,
            # A full disk of the machine is not what is tested, and each test has indices of its own.
            "cluster.routing.allocation.disk.threshold_enabled": False,
            "cluster.max_shards_per_node": 10_000,
            "action.destructive_requires_name": False,
        }
        settings |= self._settings
        lines = [f"{name}: {json.dumps(value)}" for name, value in settings.items() if value is not None]
        (folder / "conf" / "elasticsearch.yml").write_text("\n".join(lines) + "\n", "utf-8")
        if os.geteuid() == 0:
            for made in (folder, *folder.rglob("*"), data):
                os.chown(made, _NOBODY, _NOBODY)
        return folder

    def _environment(self, server: Path, java: Path) -> list[str]:
        assert self._folder is not None
        values = {
            "PATH": "/usr/bin:/bin",
            "HOME": self._folder,
            "ES_HOME": server,
            "ES_PATH_CONF": self._folder / "conf",
            "ES_TMPDIR": self._folder / "tmp",
            "ES_JAVA_HOME": java.parent.parent,
            "JAVA": java,
            "JAVA_TYPE": "ES_JAVA_HOME",
            "ES_DISTRIBUTION_TYPE": "tar",
            "CLI_JAVA_OPTS": "",
            "ES_JAVA_OPTS": f"-Xms{self._heap} -Xmx{self._heap}",
        }
        return [f"{name}={value}" for name, value in values.items()]


def _launcher(major: int, server: Path, conf: Path) -> list[str]:
    """What `bin/elasticsearch` would start, which the zip of 9.x does not bring."""
    small = ["-Xms4m", "-Xmx64m", "-XX:+UseSerialGC"]
    if major >= 9:
        return [
            *small,
            "-cp",
            f"{server}/lib/tools/server-launcher/*",
            "org.elasticsearch.server.launcher.ServerLauncher",
        ]
    return [
        *small,
        "-Dcli.name=server",
        f"-Dcli.script={server}/bin/elasticsearch",
        "-Dcli.libs=lib/tools/server-cli",
        f"-Des.path.home={server}",
        f"-Des.path.conf={conf}",
        "-Des.distribution.type=tar",
        "-Des.java.type=ES_JAVA_HOME",
        "-cp",
        f"{server}/lib/*:{server}/lib/cli-launcher/*",
        "org.elasticsearch.launcher.CliToolLauncher",
    ]


def _sweep() -> None:
    """Remove what servers left whose starter was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        starter = folder.name.removeprefix(_PREFIX).split("-")[0]
        if starter.isdigit() and not psutil.pid_exists(int(starter)):
            shutil.rmtree(folder, ignore_errors=True)


def _family(pid: int) -> list[psutil.Process]:
    try:
        launcher = psutil.Process(pid)
        return [*launcher.children(recursive=True), launcher]
    except psutil.NoSuchProcess:
        return []


@contextmanager
def cluster(number: str, nodes: int = 3, **options: Any) -> Iterator[list[ElasticServer]]:
    """Run several nodes that know each other, with small heaps; every one has answered, and all are there."""
    servers = [ElasticServer(number, **options) for _ in range(nodes)]
    addresses = [f"127.0.0.1:{server.transport_port}" for server in servers]
    names = [f"node-{place}" for place in range(nodes)]
    for name, server in zip(names, servers, strict=True):
        server._settings |= {
            "discovery.type": None,
            "node.name": name,
            "discovery.seed_hosts": addresses,
            "cluster.initial_master_nodes": names,
        }
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)
            server.start(wait=False)
        for server in servers:
            server.wait(nodes)
        yield servers


def main() -> None:
    number = sys.argv[1] if len(sys.argv) > 1 else "9.4.3"
    if number not in VERSIONS:
        sys.exit(f"{number} is not known; one of {', '.join(VERSIONS)} is.")
    try:
        with ElasticServer(number, heap="1g") as server:
            print(server.url, flush=True)
            while True:
                time.sleep(3600)
    except Missing as missing:
        sys.exit(str(missing))
    except KeyboardInterrupt:
        print("ended", file=sys.stderr)


if __name__ == "__main__":
    main()
