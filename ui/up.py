"""Children supervised: each in a process group of its own, restarted when it dies, ended with all it started.

Owns how `airtriage up` and `airtriage demo` keep worker, schedule and page alive. A child notices its parent's death by
the end of its standard input, so that even a SIGKILL of the parent leaves no process behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from triage.errors import ProcessError
from triage.settings import Settings

_GRACE = 8.0  # seconds a child gets to end by itself
_BACKOFF = (0.5, 1, 2, 5, 10, 30)  # seconds before the next start of a child that keeps dying
_STEADY = 60.0  # a child that lived this long starts afresh in the back-off


@dataclass
class Child:
    """One supervised process: its name, what it runs, and its log file."""

    name: str
    argv: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    started: float = 0.0
    due: float = 0.0


@dataclass
class Supervisor:
    """Keeps children alive until `stop`. `say` is told every death and restart in one sentence."""

    say: Callable[[str], None]
    environ: Mapping[str, str]
    children: list[Child] = field(default_factory=list)

    def start(self, name: str, arguments: Sequence[str], log: Path) -> None:
        """Start `airtriage ARGUMENTS` as a child called `name`."""
        argv = [sys.executable, "-m", "ui.cli", "--until-parent-ends", *arguments]
        child = Child(name, argv, log)
        self.children.append(child)
        self._spawn(child)

    def watch(self) -> None:
        """Restart what died; call it about once a second."""
        for child in self.children:
            if child.process is None:
                if time.monotonic() >= child.due:
                    self._spawn(child)
                continue
            code = child.process.poll()
            if code is None:
                continue
            if code == 2:
                raise ProcessError(f"{child.name} cannot start: {_last_line(child.log)}")
            child.deaths = 1 if time.monotonic() - child.started > _STEADY else child.deaths + 1
            pause = _BACKOFF[min(child.deaths, len(_BACKOFF)) - 1]
            how = f"was killed by {_signal(-code)}" if code < 0 else f"ended with code {code}"
            self.say(f"{child.name} {how}; it starts again in {pause:g} s (its log: {child.log}).")
            _end_group(child.process, signal.SIGKILL)
            child.process, child.due = None, time.monotonic() + pause

    def stop(self) -> None:
        """End every child and whatever it started: politely, then for good."""
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            _end_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _end_group(process, signal.SIGKILL)
            process.wait()
        self.children.clear()

    def _spawn(self, child: Child) -> None:
        child.log.parent.mkdir(parents=True, exist_ok=True)
        with child.log.open("ab") as log:
            child.process = subprocess.Popen(
                child.argv, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=dict(self.environ),
                start_new_session=True,
            )  # fmt: skip
        child.started = time.monotonic()


def start_children(supervisor: Supervisor, config: str | None, settings: Settings) -> None:
    """Start worker, schedule and page under a supervisor; their logs go to `data_dir/logs`."""
    flags = ["--config", config] if config else []
    for name in ("worker", "beat", "web"):
        supervisor.start(name, [*flags, name], settings.data_dir / "logs" / f"{name}.log")


def interrupt_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that what it started is ended too."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def end_with_parent() -> None:
    """End this process when its standard input ends: the parent that held the other side is gone."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE)
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def check_port(host: str, port: int, setting: str = "web.port") -> None:
    """Raise ProcessError where the port, which that setting names, is taken already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise ProcessError(
                f"Port {port} on {host} cannot be used: {exc.strerror}.",
                f"Set {setting} (AIRTRIAGE_{setting.upper().replace('.', '__')}) to a free one, or stop what uses it.",
            ) from exc


def _end_group(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, how)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"see {log}"
