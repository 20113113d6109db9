"""The broker: what waits in it is bounded, and whatever is wrong with it is one sentence with the fix."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import redis
import trustme

from collector.broker import Broker
from collector.ticks import Lane, bound, ticks
from tests.processes import free_port, redis_server
from triage.errors import SettingsError, SourceError
from triage.settings import Settings, environment

PASSWORD = "s3kret-of-redis"


def settings(folder: Path, **more: str) -> Settings:
    prod = {"url": "http://127.0.0.1:9", "username": "svc", "password": "x"}
    return Settings.model_validate({"data_dir": folder, "deployments": {"prod": prod, "test": prod}, **more})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, redis.Redis]]:
    with redis_server(tmp_path) as url:
        yield url, redis.Redis.from_url(url)


# --- what waits


def a_day_of(its: Settings) -> int:
    """Send as a beat does while nobody works, until much more was sent than may wait; return the bound."""
    broker = Broker(its)
    for _ in range(20):
        assert all(broker.send(tick) for tick in ticks(its))
    assert 20 * len(ticks(its)) > 3 * bound(its)
    return bound(its)


def test_a_folder_nobody_works_off_holds_a_fixed_number_of_ticks(tmp_path: Path) -> None:
    its = settings(tmp_path)
    assert Broker(its).trouble() is None
    most = a_day_of(its)
    messages = list((tmp_path / "broker" / "messages").iterdir())
    for lane in Lane:
        count = sum(one.name.endswith(f".{lane}.msg") for one in messages)
        assert count == Broker(its).waiting(lane)
        assert 0 < count <= most
    assert all(json.loads(one.read_text("utf-8"))["headers"]["expires"] for one in messages)


@pytest.mark.redis
def test_a_redis_nobody_works_off_holds_a_fixed_number_of_ticks(
    tmp_path: Path, server: tuple[str, redis.Redis]
) -> None:
    url, client = server
    its = settings(tmp_path, broker=url)
    most = a_day_of(its)
    assert client.llen("airtriage") == most, "the live lane is full"
    assert 0 < int(client.llen("airtriage.bulk")) <= most  # type: ignore[arg-type]
    assert not client.exists("unacked")


@pytest.mark.redis
def test_a_redis_that_was_wiped_takes_the_next_tick(tmp_path: Path, server: tuple[str, redis.Redis]) -> None:
    url, client = server
    its = settings(tmp_path, broker=url)
    broker, (tick, *_) = Broker(its), ticks(its)
    assert broker.send(tick)
    client.flushall()
    assert broker.send(tick)
    assert client.llen("airtriage") == 1
    assert not client.exists("ae.undeliver")


@pytest.mark.redis
def test_a_redis_that_is_full_says_no_once_and_takes_ticks_again(
    tmp_path: Path, server: tuple[str, redis.Redis], caplog: pytest.LogCaptureFixture
) -> None:
    url, client = server
    its = settings(tmp_path, broker=url)
    broker, (tick, *_) = Broker(its), ticks(its)
    client.config_set("maxmemory", "1")
    assert [broker.send(tick) for _ in range(3)] == [False] * 3
    client.config_set("maxmemory", "0")
    assert broker.send(tick)
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "is full. Raise its maxmemory" in text]) == 1
    assert said[-1] == "The broker takes ticks again."


# --- what is wrong with it


def wrong(folder: Path, broker: str, **more: str) -> SettingsError | SourceError:
    found = Broker(settings(folder, broker=broker, **more)).trouble()
    assert isinstance(found, SettingsError | SourceError)
    assert PASSWORD not in f"{found} {found!r}"
    assert found.fix
    assert "\n" not in str(found)
    return found


@pytest.mark.redis
def test_each_mistake_of_a_redis_is_one_sentence_and_no_password(
    tmp_path: Path, server: tuple[str, redis.Redis]
) -> None:
    url, client = server
    netloc = url.removeprefix("redis://").removesuffix("/0")
    said = wrong(tmp_path, f"redis://{netloc}/77")
    assert isinstance(said, SettingsError)
    assert "has no database of that number" in str(said)
    said = wrong(tmp_path, f"redis://bob:{PASSWORD}@{netloc}/0")
    assert isinstance(said, SettingsError)
    assert f"redis://{netloc}/0 refuses the user or the password" in str(said)
    said = wrong(tmp_path, f"rediss://{netloc}/0")
    assert isinstance(said, SettingsError)
    assert "is a Redis without TLS" in str(said)
    client.config_set("maxmemory", "1")
    said = wrong(tmp_path, url)
    assert isinstance(said, SourceError), "it is full, which is no setting of ours"
    assert "is full" in str(said)
    client.config_set("maxmemory", "0")
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    assert "is a read-only replica. Set broker to the primary" in str(wrong(tmp_path, url))
    client.execute_command("REPLICAOF", "NO", "ONE")
    client.config_set("requirepass", "right")
    said = wrong(tmp_path, url)
    assert isinstance(said, SettingsError)
    assert "Set broker_password" in str(said)
    assert "refuses the user or the password" in str(wrong(tmp_path, url, broker_password=PASSWORD))
    assert Broker(settings(tmp_path, broker=url, broker_password="right")).trouble() is None
    tick = ticks(settings(tmp_path))[0]
    assert Broker(settings(tmp_path, broker=url, broker_password="right")).send(tick)


def test_what_is_no_redis_or_nothing_is_one_sentence(tmp_path: Path) -> None:
    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        said = wrong(tmp_path, f"redis://:{PASSWORD}@127.0.0.1:{web.server_port}/0")
        web.shutdown()
    assert isinstance(said, SettingsError)
    assert "is no Redis" in str(said)
    said = wrong(tmp_path, f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0")
    assert isinstance(said, SourceError), "it may start later"
    assert "nothing listens there" in str(said)
    said = wrong(tmp_path, f"redis://:{PASSWORD}@no-such-host.invalid/0")
    assert "no-such-host.invalid/0 cannot be found" in str(said)


@pytest.mark.redis
def test_a_private_authority_is_trusted_where_it_is_set(tmp_path: Path) -> None:
    ca, other = trustme.CA(), trustme.CA()
    one = ca.issue_cert("localhost", "127.0.0.1")
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    one.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    one.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    port = free_port()
    options = f"--tls-port {port} --tls-cert-file cert.pem --tls-key-file key.pem --tls-auth-clients no".split()
    with redis_server(tmp_path, *options):
        url = f"rediss://127.0.0.1:{port}/0"
        its = settings(tmp_path, broker=url, broker_ca_file=str(tmp_path / "ca.pem"))
        assert Broker(its).trouble() is None
        assert Broker(its).send(ticks(its)[0])
        for more in ({}, {"broker_ca_file": str(tmp_path / "other.pem")}):
            said = wrong(tmp_path, url, **more)
            assert isinstance(said, SettingsError)
            assert "Set broker_ca_file" in str(said)
        said = wrong(tmp_path, f"redis://127.0.0.1:{port}/0")
        assert isinstance(said, SettingsError)
        assert "speaks TLS. Write rediss://" in str(said)
        said = wrong(tmp_path, url, broker_ca_file=str(tmp_path / "none.pem"))
        assert isinstance(said, SettingsError)
        assert "broker_ca_file" in str(said)


@pytest.mark.parametrize("command", [("worker",), ("beat",), ("doctor",)])
def test_a_mistake_in_the_settings_ends_a_command_with_2_and_no_password(command: tuple[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_answer_as_a_web_server, args=(listening,), daemon=True).start()
        environ = environment(inherit=False) | {
            "AIRTRIAGE_DATA_DIR": str(tmp_path),
            "AIRTRIAGE_BROKER": f"redis://:{PASSWORD}@127.0.0.1:{listening.getsockname()[1]}/0",
            "AIRTRIAGE_DEPLOYMENTS__PROD__URL": f"http://127.0.0.1:{free_port()}",
            "AIRTRIAGE_DEPLOYMENTS__PROD__TOKEN": "t",
        }
        done = subprocess.run(
            [sys.executable, "-m", "ui.cli", *command], env=environ, capture_output=True, text=True, check=False, timeout=60
        )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "is no Redis: something else answers there." in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def _answer_as_a_web_server(listening: socket.socket) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
