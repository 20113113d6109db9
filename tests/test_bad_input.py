"""Bad input and bad luck: one sentence that names the thing and the fix, nothing kept is lost, the rest goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.airflow_stub import HTML, Handler, Stub, event, instance, serving
from tests.processes import free_port
from tests.test_collect import whole_log
from triage.settings import environment


@dataclass
class Command:
    """`airtriage` in a folder of its own, watching two deployments: `bad`, which the test spoils, and `good`."""

    folder: Path
    bad: Stub
    settings: dict[str, str]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = environment(inherit=False) | {f"AIRTRIAGE_{name}": value for name, value in self.settings.items()}
        command = [sys.executable, "-m", "ui.cli", *arguments]
        return subprocess.run(command, env=environ, cwd=self.folder, capture_output=True, text=True, check=False)

    def tries(self) -> list[dict[str, object]]:
        done = self("search", "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


def fill(stub: Stub, log: bytes | None = None) -> None:
    stub.events = [event(300, "failed", "load")]
    stub.instances = [instance("load", "failed")]
    stub.tries = {("load", -1): [instance("load", "failed")]}
    stub.logs = {("load", -1, 1): whole_log() if log is None else log}


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    with serving() as bad, serving() as good:
        for stub in (bad, good):
            fill(stub)
        settings = {"DATA_DIR": str(tmp_path / "data"), "LOG_WAITS": "1h"}
        for name, stub in (("BAD", bad), ("GOOD", good)):
            for field, value in (
                ("URL", stub.url),
                ("USERNAME", "triage"),
                ("PASSWORD", "right"),
                ("LOOKBACK", "99w"),
                ("TIMEOUT", "2s"),
            ):
                settings[f"DEPLOYMENTS__{name}__{field}"] = value
        yield Command(tmp_path, bad, settings)


def forbid(path_: str) -> Callable[[Handler, str], bool]:
    def fault(handler: Handler, path: str) -> bool:
        return path == path_ and handler.send(403, {"detail": "Forbidden"})

    return fault


def html(handler: Handler, path: str) -> bool:
    return handler.send(200, HTML, "text/html")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda c: c.settings.update(DEPLOYMENTS__BAD__URL=f"http://127.0.0.1:{free_port()}"), "bad"),
        (lambda c: c.settings.update(DEPLOYMENTS__BAD__URL="http://no-such-host.invalid"), "no-such-host.invalid"),
        (lambda c: setattr(c.bad, "password", "other"), "password"),
        (lambda c: setattr(c.bad, "fault", html), "bad"),
        (lambda c: setattr(c.bad, "version", "2.9.3"), "2.9.3"),
    ],
    ids=["refused", "no such host", "wrong password", "HTML", "too old"],
)
def test_a_deployment_that_cannot_be_read_is_one_sentence_and_the_other_goes_on(
    command: Command, spoil: Callable[[Command], None], says: str
) -> None:
    spoil(command)
    done = command("collect")
    assert done.returncode == 1
    sentences = [line for line in done.stderr.replace("\n ", " ").splitlines() if line.strip()]
    assert any(says in line for line in sentences), done.stderr
    assert "Traceback" not in done.stderr
    assert [(row["deployment"], row["log"]) for row in command.tries()] == [("good", "whole")]
    doctor = command("doctor")
    assert doctor.returncode == 1
    assert doctor.stdout.count("FAIL") == 1


def test_a_403_on_one_endpoint_names_the_permission_and_the_rest_is_read(command: Command) -> None:
    command.bad.fault = forbid("/eventLogs")
    done = command("collect")
    assert done.returncode == 1
    assert "Audit Logs" in done.stderr
    assert {row["deployment"] for row in command.tries()} == {"bad", "good"}


LOGIN = ("USERNAME", "PASSWORD")


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"TOKEN_COMMAND": "/no/such/program sekret"}, 1, "token_command: 'program' cannot be started"),
        ({"TOKEN_COMMAND": "sh -c 'echo sekret; exit 4'"}, 1, "token_command: 'sh' ended with exit code 4."),
        ({"TOKEN_COMMAND": "sh -c 'echo sekret; sleep 60'"}, 1, "token_command: 'sh' did not end within 2 s."),
        ({"TOKEN": "sekret"}, 1, "Airflow does not take our token: Token Expired (401)"),
        ({"PROXY": "http://ann:sekret@127.0.0.1:9", "TOKEN": "sekret"}, 1, "127.0.0.1:9 cannot be reached"),
        ({"CA_FILE": "/no/such.pem"}, 1, "the file /no/such.pem cannot be read"),
        (
            {"TOKEN": "sekret", "TOKEN_COMMAND": "x"},
            2,
            "token and token_command are ways to log in that exclude each other",
        ),
        ({"HEADERS": "X-Key: a\rsekret"}, 2, "the value of X-Key holds a line break"),
    ],
    ids=["no program", "exit code", "hangs", "token", "proxy", "ca_file", "two ways", "line break"],
)
def test_doctor_says_in_one_line_why_it_cannot_log_in_and_shows_no_secret(
    command: Command, changes: dict[str, str], code: int, says: str
) -> None:
    for name in LOGIN:
        del command.settings[f"DEPLOYMENTS__BAD__{name}"]
    command.settings.update({f"DEPLOYMENTS__BAD__{name}": value for name, value in changes.items()})
    done = command("doctor")
    assert done.returncode == code
    said = [line for line in (done.stdout + done.stderr).splitlines() if says in line]
    assert len(said) == 1, done.stdout + done.stderr
    assert done.stdout.count("FAIL") == (1 if code == 1 else 0)
    assert "sekret" not in done.stdout + done.stderr


def test_doctor_reads_a_log_too(command: Command) -> None:
    done = command("doctor")
    assert (done.returncode, done.stdout.count("task logs: may be read")) == (0, 2)
    command.bad.fault = lambda handler, path: "/logs/" in path and handler.send(403, {"detail": "Forbidden"})
    done = command("doctor")
    assert done.returncode == 1
    assert "FAIL bad task logs" in done.stdout
    assert "Task Logs" in done.stdout
    assert "ok   good task logs" in done.stdout


def padded(size: int, *, newlines: bool) -> bytes:
    """A whole log with `size` bytes of output before its error: many lines, or a single one."""
    head, tail = whole_log().rsplit(b'{"timestamp"', 1)
    record = json.dumps({"timestamp": "2026-11-22T08:00:00Z", "event": "x" * 1000, "level": "info"}).encode() + b"\n"
    body = record * (size // len(record)) if newlines else record.replace(b"x" * 1000, b"x" * size)
    return head + body + b'{"timestamp"' + tail


@pytest.mark.parametrize(
    ("log", "status"),
    [
        (lambda: padded(100_000_000, newlines=True), "whole"),
        (lambda: padded(50_000_000, newlines=False), "whole"),
        (lambda: whole_log().replace(b"amount", b"am\xff\xfe\x80unt"), "whole"),
        (lambda: b"", "pending"),  # the storage is away: asked again for as long as it is
        (lambda: b"\x00\xff" * 5000, "partial"),
        (lambda: b"<!doctype html><html><body>Sign in</body></html>", None),
    ],
    ids=["100 MB", "one line of 50 MB", "invalid UTF-8", "no bytes", "binary", "HTML"],
)
def test_any_log_is_survived(command: Command, log: Callable[[], bytes], status: str | None) -> None:
    fill(command.bad, log())
    done = command("collect", "bad")
    assert "Traceback" not in done.stderr
    (row,) = command.tries()
    assert row["log"] == status if status else row["log"] != "whole"
    if status == "whole":
        assert "KeyError" in str(row["title"])


def test_a_typo_in_a_settings_file_is_named_before_anything_is_done(tmp_path: Path) -> None:
    file = tmp_path / "airtriage.toml"
    file.write_text(f'data_dir = "{tmp_path / "data"}"\n[deployments.prod]\nurl = "http://x"\npasword = "p"\n')
    for arguments in (["up"], ["collect"], ["worker"], ["web"], ["problems"], ["doctor"]):
        done = subprocess.run(
            [sys.executable, "-m", "ui.cli", "--config", str(file), *arguments],
            capture_output=True,
            text=True,
            env=environment(inherit=False),
            check=False,
        )
        assert done.returncode == 2
        assert "deployments.prod.pasword" in done.stderr
        assert "'password'" in done.stderr
        assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["problems", "dga:x"], 2, "Did you mean dag:?"),
        (["search", "at", "noon", "KeyError:", "0"], 2, "at noon KeyError: 0         ^^^^^^^^^"),
        (["problem", "nope"], 2, "no problem 'nope'"),
        (["mute", "nope"], 2, "no problem 'nope'"),
        (["mute", "nope", "--for", "soon"], 2, "nope"),
        (["collect", "dev"], 2, "no deployment 'dev'"),
        (["sign", "/no/such/file"], 1, "/no/such/file cannot be read: No such file or directory."),
        (["frobnicate"], 2, "No such command"),
        (["search", "--limit", "0"], 2, "--limit"),
    ],
)
def test_wrong_words_on_the_command_line_are_one_sentence(
    command: Command, arguments: list[str], code: int, says: str
) -> None:
    done = command(*arguments)
    assert done.returncode == code
    assert says in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_one_sentence(command: Command) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command.settings["WEB__PORT"] = str(taken.getsockname()[1])
        done = command("up")
    assert done.returncode == 1
    assert "cannot be used" in done.stderr
    assert "web.port" in done.stderr


def test_a_data_folder_that_may_not_be_written_is_one_sentence(command: Command) -> None:
    (command.folder / "file").write_text("in the way")
    command.settings["DATA_DIR"] = str(command.folder / "file" / "data")
    for arguments in (["collect"], ["up"], ["problems"]):
        done = command(*arguments)
        assert done.returncode in (1, 2)
        assert "data_dir" in done.stderr
        assert "Traceback" not in done.stderr


def test_logs_come_from_the_storage_alone_where_the_api_serves_none_and_from_the_api_where_it_has_none(
    command: Command,
) -> None:
    base = command.folder / "logs"
    path = "dag_id=etl/run_id=manual__2026-11-22T08:00:00+00:00/task_id=load/attempt=1.log"
    command.settings["DEPLOYMENTS__BAD__LOG_BASE"] = f"file://{base}"
    done = command("collect")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert f"bad: The storage file://{base} is not there: there is no folder {base}. Correct log_base." in said
    assert {row["log"] for row in command.tries()} == {"whole"}, "the api-server serves meanwhile"
    doctor = command("doctor")
    assert (doctor.returncode, doctor.stdout.count("FAIL")) == (1, 1)
    assert "FAIL bad log storage" in doctor.stdout
    base.mkdir()
    assert "None of 1 failed tries has a log in the storage, the first not as" in command("doctor").stdout
    (base / path).parent.mkdir(parents=True)
    (base / path).write_bytes(whole_log("StorageError").split(b'"::endgroup::"}\n', 1)[1])
    assert f"ok   bad log storage: file://{base} may be read" in command("doctor").stdout
    command.bad.fault = lambda handler, path: "/logs/" in path and handler.send(403, {"detail": "Forbidden"})
    command.settings["DATA_DIR"] += "-anew"
    assert command("collect").returncode == 0
    assert {(row["deployment"], row["log"], row["exception"]) for row in command.tries()} == {
        ("bad", "whole", "StorageError"), ("good", "whole", "KeyError"),
    }  # fmt: skip
