"""The README's commands, run as written: only addresses, secrets and ids are those of the test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.airflow_fixture import FinishedAirflow
from tests.airflow_stub import fail, serving
from tests.processes import free_port, redis_server
from triage.settings import environment

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
# Run by whom: `make test` is what runs this; the account is made on an Airflow with the FAB auth manager.
TRY, INSTALL, ACCOUNT, DAILY, SCALE = BLOCKS


def test_every_block_of_commands_is_known_here() -> None:
    assert len(BLOCKS) == 5
    assert "make demo" in TRY
    assert "airtriage up" in INSTALL
    assert "airflow roles create" in ACCOUNT
    assert "airtriage search" in DAILY
    assert "AIRTRIAGE_STORE" in SCALE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def shell(home: Path, airflow: FinishedAirflow) -> dict[str, str]:
    secret = home / "airflow-secret"
    secret.write_text(airflow.password)
    keep = {
        name: value
        for name, value in environment(inherit=False).items()
        if name not in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "VIRTUAL_ENV")
    }
    return keep | {"HOME": str(home), "AIRTRIAGE_WEB__PORT": str(free_port())}


def as_here(commands: str, airflow: FinishedAirflow, home: Path) -> str:
    commands = commands.replace("https://airflow.example.com", airflow.url).replace("svc_triage", airflow.username)
    return commands.replace("/run/secrets/airflow", str(home / "airflow-secret"))


def run(script: str, shell: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=shell, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.airflow
def test_pointing_it_at_an_airflow_works_as_written(
    shell: dict[str, str], home: Path, airflow: FinishedAirflow
) -> None:
    commands = as_here(INSTALL, airflow, home)
    before, up = commands.rsplit("airtriage up", 1)
    printed = run(before, shell)
    assert f"{len(airflow.truth())} new failed tries" in printed
    assert "FAIL" not in printed
    exports = "\n".join(line for line in before.splitlines() if line.startswith("export"))
    process = subprocess.Popen(
        ["bash", "-c", f"{exports}\nexec airtriage up {up}"],
        cwd=ROOT,
        env=shell,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert "airtriage watches prod" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    daily = exports + "\n" + DAILY
    ids = run(f"{exports}\nairtriage problems --json", shell)
    first = re.search(r'"id": "(\w+)"', ids)
    assert first is not None
    log = next((airflow.home / "logs").rglob("attempt=1.log"))
    daily = daily.replace("4f2a", first[1]).replace("task.log", str(log))
    assert "is MUTED" in run(daily, shell)


@pytest.mark.airflow
def test_make_demo_once_prints_the_queue_and_leaves_nothing_running(tmp_path: Path) -> None:
    assert "make demo ONCE=1" in README
    began = time.monotonic()
    done = subprocess.run(
        ["make", "demo", "ONCE=1"],
        cwd=ROOT,
        env=environment(inherit=False),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"(\d+) failed tries, (\d+) problems", done.stdout)
    assert found is not None, done.stdout
    assert int(found[1]) >= 50
    assert int(found[2]) >= 14
    assert "Everything of this demo is in" in done.stderr
    left = subprocess.run(
        ["pgrep", "-f", "demo/airflow|--until-parent-ends"], capture_output=True, text=True, check=False
    ).stdout.split()
    assert not [pid for pid in left if _started_after(pid, began)]


def _started_after(pid: str, began: float) -> bool:
    import psutil

    try:
        process = psutil.Process(int(pid))
        return "demo" in " ".join(process.cmdline()) and time.time() - process.create_time() < time.monotonic() - began
    except psutil.NoSuchProcess:
        return False


@pytest.mark.airflow
def test_interrupting_the_demo_early_ends_all_it_started(tmp_path: Path) -> None:
    import psutil

    process = subprocess.Popen(
        [str(ROOT / ".venv" / "bin" / "airtriage"), "demo", "--folder", str(tmp_path)],
        cwd=ROOT,
        env=environment(inherit=False),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    me = psutil.Process(process.pid)
    deadline = time.monotonic() + 120
    while len(me.children()) < 4 or not (tmp_path / "demo" / "airflow" / "processes").is_dir():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.2)
    everyone = me.children(recursive=True)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in printed
    assert str(tmp_path) in printed
    assert not [child for child in everyone if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.redis
def test_two_urls_are_all_that_changes_on_more_machines(
    tmp_path: Path, elastic: str, fresh_elastic: Callable[[str], str]
) -> None:
    with serving() as stub, redis_server(tmp_path) as broker:
        fail(stub, 1)
        commands = SCALE.replace("https://elastic.example.com:9200", fresh_elastic(elastic))
        commands = commands.replace("redis://redis.example.com:6379/0", broker)
        settings = {
            "DATA_DIR": str(tmp_path), "WEB__PORT": str(free_port()), "WEB__API_PORT": str(free_port()), "LOG_WAITS": "1s",
            "DEPLOYMENTS__PROD__URL": stub.url, "DEPLOYMENTS__PROD__USERNAME": "triage", "DEPLOYMENTS__PROD__PASSWORD": "right",
            "DEPLOYMENTS__PROD__POLL": "2s",
        }  # fmt: skip
        environ = environment(inherit=False) | {f"AIRTRIAGE_{name}": value for name, value in settings.items()}
        environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
        script = ["bash", "-euc", f"{commands}\nwait"]
        with (tmp_path / "log.txt").open("wb") as log:
            process = subprocess.Popen(script, env=environ, stdout=log, stderr=log, start_new_session=True)
        try:
            for port in (settings["WEB__PORT"], settings["WEB__API_PORT"]):
                _wait_for(f"http://127.0.0.1:{port}/healthz", "ok", tmp_path)
            _wait_for(f"http://127.0.0.1:{settings['WEB__API_PORT']}/api/problems", "occurrences", tmp_path)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(url: str, word: str, folder: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                if word in answer.read().decode():
                    return
        except OSError:
            pass
        assert time.monotonic() < deadline, (folder / "log.txt").read_text()
        time.sleep(0.3)
