"""Tokens: when a new one is made, and what becomes of a program that prints none."""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.airflow import tokens
from collector.airflow.tokens import Tokens
from collector.airflow.words import Words
from tests.airflow_stub import serving
from triage.errors import LoginFailed, SourceError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WORDS = Words("prod", "http://a")


def jwt(**claims: object) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.sig"


def aged(age: float, life: float) -> str:
    made = NOW.timestamp() - age
    return jwt(iat=made, exp=made + life)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


class Clock:
    """time.monotonic, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 1000.0
        monkeypatch.setattr(tokens.time, "monotonic", lambda: self.at)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def held(clock: Clock, text: str, life: float = 3600.0) -> float:
    """How long a token is held before a new one is made, in s; to the second."""
    made: list[str] = []

    def make() -> str:
        made.append(text)
        return text

    kept = Tokens("", make, lambda: NOW, life)
    kept.get()
    began = clock.at
    while len(made) == 1 and clock.at < began + 100_000:
        clock.at += 1
        kept.get()
    return clock.at - began


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (aged(0, 1000), 800),
        (aged(500, 1000), 400),  # a program that keeps its token: of what is left
        (aged(5000, 1000), 800),  # another clock: only the difference counts
        (aged(-5000, 1000), 800),
        (jwt(exp=NOW.timestamp() + 1000), 800),
        ("opaque", 2880),
        (jwt(iat=5, exp="soon"), 2880),
        (jwt(exp=float("inf")), 2880),
        (jwt(exp=5), 2880),
        ("e30.W10.sig", 2880),
        ("a.%%%.c", 2880),
    ],
)
def test_a_token_is_made_anew_at_80_percent_of_the_life_it_has_left(clock: Clock, text: str, seconds: float) -> None:
    assert held(clock, text) == pytest.approx(seconds, abs=1)


def test_a_programs_token_that_says_nothing_of_its_life_is_kept_until_it_is_refused(clock: Clock) -> None:
    made = iter(["first", "second"])
    kept = Tokens("", lambda: next(made), lambda: NOW)
    assert kept.get() == "first"
    clock.at += 10_000_000
    assert kept.get() == "first"
    assert kept.get(refused="older") == "first"  # another thread was quicker
    assert kept.get(refused="first") == "second"


def test_a_given_token_stays_whatever_becomes_of_it() -> None:
    kept = Tokens("given", None, lambda: NOW)
    assert kept.get() == kept.get(refused="given") == "given"


def test_while_the_old_token_is_taken_a_new_one_that_fails_is_not_missed(clock: Clock) -> None:
    answers: list[str | Exception] = [aged(0, 1000), SourceError("away"), LoginFailed("no"), "new"]

    def make() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kept = Tokens("", make, lambda: NOW)
    first = kept.get()
    clock.at += 801
    for left in (2, 2, 1):
        assert kept.get() == first
        assert len(answers) == left
        clock.at += 30.5
    assert kept.get(refused=first) == "new"


@pytest.mark.parametrize(("error", "calls"), [(LoginFailed, 2), (SourceError, 5)])
def test_only_what_will_not_change_soon_is_left_alone_for_a_minute(
    clock: Clock, error: type[SourceError], calls: int
) -> None:
    made = 0

    def make() -> str:
        nonlocal made
        made += 1
        raise error("wrong password", "Check it.")

    kept = Tokens("", make, lambda: NOW)
    for pause in (0, 30, 29, 2, 0):
        clock.at += pause
        with pytest.raises(error, match="wrong password Check it"):
            kept.get()
    assert made == calls


def test_never_more_than_one_token_is_made_at_a_time() -> None:
    running, most, count = threading.Semaphore(1), 1, 0

    def make() -> str:
        nonlocal most, count
        count += 1
        if not running.acquire(blocking=False):
            most = 2
        time.sleep(0.05)
        running.release()
        return f"token-{count}"

    kept = Tokens("", make, lambda: NOW)
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: kept.get(), range(8))) == {"token-1"}
        assert set(threads.map(lambda _: kept.get(refused="token-1"), range(8))) == {"token-2"}
    assert most == 1


# --- the program


def test_a_program_gets_its_words_as_they_are_and_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRTRIAGE_DEPLOYMENTS__PROD__PASSWORD", "hunter2")
    monkeypatch.setenv("FROM_OUTSIDE", "seen")
    code = "import os,sys; print(len([n for n in os.environ if n.startswith('AIRTRIAGE_')]), os.environ['FROM_OUTSIDE'], sys.stdin.read(), *sys.argv[1:], sep='|')"
    assert tokens.run((*python(code), "$HOME", "a;b"), WORDS, 30) == "0|seen||$HOME|a;b"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (lambda folder: (str(folder / "nowhere"),), "'nowhere' cannot be started: No such file or directory"),
        (lambda folder: (str(folder),), "cannot be started: Permission denied"),
        (lambda folder: ("\ud800",), "cannot be started: its words"),
        (lambda folder: python("import sys; print('sekret'); sys.exit(3)"), "ended with exit code 3"),
        (lambda folder: python("import os; print('sekret', flush=True); os.kill(os.getpid(), 9)"), "ended by signal 9"),
        (lambda folder: python(""), "printed nothing"),
        (lambda folder: python("print('  ')"), "printed nothing"),
        (lambda folder: python("print('sekret\\nsekret')"), "printed 2 lines"),
        (lambda folder: python("print('Bearer sekret')"), "printed something that is no token"),
        (lambda folder: python("print('sekret\\u00e9')"), "printed something that is no token"),
        (lambda folder: python("print('<html>sekret</html>' * 9999)"), "printed more than 64 KiB"),
        (lambda folder: ("/usr/bin/env", "yes", "sekret"), "printed more than 64 KiB"),
        (lambda folder: python("print('sekret', flush=True); import time; time.sleep(60)"), "did not end within 1 s"),
        (lambda folder: python("import os, time; print('sekret', flush=True); os.close(1); time.sleep(60)"), "did not end"),
    ],
)  # fmt: skip
def test_a_program_that_gives_no_token_is_one_sentence_without_its_output(
    command: Callable[[Path], tuple[str, ...]], says: str, tmp_path: Path
) -> None:
    with pytest.raises(LoginFailed, match=says) as caught:
        tokens.run(command(tmp_path), WORDS, 1)
    assert caught.value.what.startswith("prod: token_command: ")
    assert "token_command of [deployments.prod]" in caught.value.fix
    assert "sekret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    code = f"import os, subprocess; subprocess.Popen(['sleep', '60']); open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); os.wait()"
    with pytest.raises(LoginFailed, match="did not end within 2 s"):
        tokens.run(python(code), WORDS, 2)
    group = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("something of it still runs")


def test_a_deployment_is_read_with_the_token_of_a_program_and_a_new_one_when_it_is_refused(tmp_path: Path) -> None:
    from collector.airflow import Access, Airflow

    with serving() as stub:
        counted = tmp_path / "runs"
        code = f"""
import pathlib
with open({str(counted)!r}, 'a') as runs: runs.write('x')
print(pathlib.Path({str(tmp_path / "token")!r}).read_text())
"""
        (tmp_path / "token").write_text(stub.token())
        source = Airflow("prod", Access(stub.url, token_command=python(code)))
        assert source.pools()
        assert source.pools()
        assert counted.read_text() == "x"
        stub.issued += 1
        (tmp_path / "token").write_text(stub.token())
        assert source.pools()
        assert counted.read_text() == "xx"
        stub.issued += 1
        for _ in range(3):
            with pytest.raises(SourceError, match="does not take the token that token_command printed: Token Expired"):
                source.pools()
        assert counted.read_text() == "xxx"


def test_a_token_says_when_it_expires() -> None:
    assert tokens.expiry(jwt(exp=NOW.timestamp())) == NOW
    assert tokens.expiry("opaque") is None
    assert tokens.expiry(jwt(exp=1e300)) is None
    assert NOW + timedelta(hours=1) == tokens.expiry(aged(0, 3600))
