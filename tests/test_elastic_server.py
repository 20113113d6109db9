"""The real Elasticsearch of the tests: it is the version it should be, ends with whoever started it, and says what lacks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests import elastic_install
from tests.elastic_server import VERSIONS, ElasticServer, Missing


@pytest.mark.parametrize(("name", "number"), [("elastic", "9.4.3"), ("elastic8", "8.19.8")])
@pytest.mark.elastic
def test_fixture_when_asked_for_gives_a_real_server_of_its_version(
    name: str, number: str, request: pytest.FixtureRequest
) -> None:
    import urllib.request

    url = request.getfixturevalue(name)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as answer:
        assert f'"number" : "{number}"' in answer.read().decode()
        assert answer.headers["X-Elastic-Product"] == "Elasticsearch"


@pytest.mark.elastic
def test_server_when_its_starter_is_killed_ends_too() -> None:
    if why := elastic_install.lack("9.4.3"):
        pytest.skip(why)
    starter = subprocess.Popen([sys.executable, "-m", "tests.elastic_server", "9.4.3"], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    try:
        assert starter.stdout.readline().startswith(b"http://127.0.0.1:")
        family = psutil.Process(starter.pid).children(recursive=True)
        assert len(family) >= 2  # the launcher and the node
        if os.geteuid() == 0:
            assert all(process.uids().real != 0 for process in family)
    finally:
        starter.send_signal(signal.SIGKILL)
        starter.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


def test_server_when_no_java_is_new_enough_says_which_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(elastic_install, "_javas", lambda: [])
    with pytest.raises(Missing, match=r"Elasticsearch 9\.4\.3 needs Java 21 or newer"):
        ElasticServer("9.4.3").start()


def test_server_when_maven_is_missing_and_nothing_is_unpacked_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    (tmp_path / "release").write_text('JAVA_VERSION="25.0.2"\n')
    monkeypatch.setattr(elastic_install, "_javas", lambda: [tmp_path])
    monkeypatch.setattr(elastic_install, "home", lambda: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="mvn is not on the PATH"):
        ElasticServer("8.19.8").start()


def test_java_when_several_serve_is_the_oldest_that_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number in ("1.8.0", "17.0.2", "21.0.1", "25"):
        (tmp_path / number).mkdir()
        (tmp_path / number / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{number}"\n')
    monkeypatch.setattr(elastic_install, "_javas", lambda: sorted(tmp_path.iterdir()))
    assert elastic_install.find_java(VERSIONS["9.4.3"]).name == "21.0.1"
    assert elastic_install.find_java(VERSIONS["8.19.8"]).name == "17.0.2"


def test_start_when_a_setting_is_wrong_tells_the_end_of_its_log() -> None:
    if why := elastic_install.lack("9.4.3"):
        pytest.skip(why)
    server = ElasticServer("9.4.3", settings={"no.such.setting": 1})
    with pytest.raises(RuntimeError, match=r"unknown setting \[no\.such\.setting\]"):
        server.start()
    assert server._folder is None
