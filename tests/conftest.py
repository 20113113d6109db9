"""What every test file shares: the throwaway Airflow, and loud skips for what a machine lacks."""

from __future__ import annotations

import shutil

import pytest

pytest_plugins = ["tests.airflow_fixture", "tests.elastic_fixture", "tests.gitlab_fixture", "tests.page_fixture"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests of one costly part on one worker, and skip by name what cannot run here."""
    missing = {
        "redis": None if shutil.which("redis-server") else "redis-server is not on the PATH",
        "browser": None
        if shutil.which("chromium") or shutil.which("chromium-browser")
        else "no chromium is on the PATH",
    }
    for item in items:
        for name, why in missing.items():
            if why and item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=why))
        if item.get_closest_marker("xdist_group"):
            continue  # more than one group would be a group of its own
        if item.get_closest_marker("airflow"):
            item.add_marker(pytest.mark.xdist_group("airflow"))
        elif item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))
