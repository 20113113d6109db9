"""The nudge after a webhook: a message where there is a broker, and nothing at all where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.ticks import SYNC
from collector.working import nudge
from tests.served import free_port
from triage.settings import Settings
from ui.running import nudging


def _settings(folder: Path, **more: str) -> Settings:
    gitlab = {"url": "https://g.example", "token": "made-up-token", "project": "data/dags"}
    return Settings.model_validate({"data_dir": folder, "gitlab": gitlab, **more})


@pytest.mark.parametrize("make", [nudge, nudging])
def test_a_nudge_is_one_message_for_a_round_that_expires(
    make: Callable[[Settings], Callable[[], None]], tmp_path: Path
) -> None:
    make(_settings(tmp_path))()
    messages = list((tmp_path / "broker" / "messages").iterdir())
    assert len(messages) == 1
    headers = json.loads(messages[0].read_text("utf-8"))["headers"]
    assert headers["task"] == SYNC
    assert headers["expires"]


def test_a_start_of_the_web_side_loads_no_broker(tmp_path: Path) -> None:
    code = (
        "import sys; from ui import cli, running; from triage.settings import Settings; import ui.web; "
        f"running.nudging(Settings.model_validate({{'data_dir': {str(tmp_path)!r}}})); "
        "print({'celery', 'redis', 'triage.sync', 'airflow_client', 'gitlab', 'streamlit'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"


def test_a_broker_that_is_away_is_no_matter(tmp_path: Path) -> None:
    nudge(_settings(tmp_path, broker=f"redis://127.0.0.1:{free_port()}/0"))()
    assert not (tmp_path / "broker").exists(), "no message goes anywhere else"


def test_a_folder_that_cannot_be_made_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("in the way")
    nudge(_settings(tmp_path))()
    assert (tmp_path / "broker").read_text() == "in the way"
