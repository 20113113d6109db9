"""Our own log and crash reports show no secret: whoever logs, with whatever handler, and whoever crashes."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from triage.redact import Redactor
from ui import own_log

SECRET = "correct horse"


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A handler of its own on a logger of its own, as servers bring them along."""
    factory, hook, thread_hook = logging.getLogRecordFactory(), sys.excepthook, own_log.threading.excepthook
    own_log.guard(Redactor(known=(SECRET,)))
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    logger = logging.getLogger("some.server")
    logger.addHandler(handler)
    logger.propagate = False
    yield out
    logger.removeHandler(handler)
    own_log.guard(Redactor())
    logging.setLogRecordFactory(factory)
    sys.excepthook, own_log.threading.excepthook = hook, thread_hook


LOG = logging.getLogger("some.server")


def test_a_record_is_masked_in_its_message_its_arguments_and_its_traceback(guarded: io.StringIO) -> None:
    LOG.error("cannot log in with %s as %s", SECRET, "bob")
    LOG.error("password=hunter2x")
    LOG.error("both %d", 7)
    try:
        raise ValueError(f"bad {SECRET}")
    except ValueError:
        LOG.exception("it failed", stack_info=True)
    said = guarded.getvalue()
    assert SECRET not in said
    assert "hunter2x" not in said
    assert "cannot log in with *** as bob" in said
    assert "both 7" in said
    assert "ValueError: bad ***" in said


def test_a_secret_over_two_arguments_is_masked_and_wrong_arguments_do_no_harm(guarded: io.StringIO) -> None:
    LOG.error("correct %s", "horse")
    LOG.error("%s=%s", "password", "hunter2x")
    assert guarded.getvalue() == "***\npassword=***\n"
    wrong = logging.getLogRecordFactory()("n", 20, "f", 1, "one %s", ("password=hunter2x", "b"), None)
    assert wrong.args == ("password=***", "b")


def test_arguments_that_a_formatter_takes_apart_stay_apart(guarded: io.StringIO) -> None:
    made = logging.getLogRecordFactory()(
        "n", 20, "f", 1, '%s "%s %s"', ("127.0.0.1", "GET", "/x?token=abc123def"), None
    )
    assert made.args == ("127.0.0.1", "GET", "/x?token=***")


def test_a_crash_report_of_the_command_and_of_a_thread_is_masked(tmp_path: Path) -> None:
    (tmp_path / "airtriage.toml").write_text(
        f'[deployments.prod]\nurl = "https://a"\ntoken = "{SECRET.replace(" ", "")}"\n'
    )
    code = textwrap.dedent(
        """
        import sys, threading
        from ui import cli, command

        def crash(*_):
            raise ValueError("it said correcthorse and password=hunter2x")

        command.Context.service = property(crash)
        if sys.argv.pop(1) == "thread":
            command.Context.service = property(lambda self: (self.settings, threading.Thread(target=crash).start()))
        cli.main(["--debug", "--config", "airtriage.toml", *sys.argv[1:]])
        """
    )
    for where in ("main", "thread"):
        ran = subprocess.run(
            [sys.executable, "-c", code, where, "worker" if where == "x" else "problems"], cwd=tmp_path, capture_output=True, text=True,
            env={"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        )  # fmt: skip
        assert "Traceback" in ran.stderr, ran
        assert "ValueError: it said" in ran.stderr
        assert "hunter2x" not in ran.stderr + ran.stdout
