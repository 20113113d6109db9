"""The client of the shop's web API (the demo's small local server), used by several pipelines."""

from __future__ import annotations

import os
from typing import Any

import requests


def call(path: str) -> Any:
    """GET a path of the API and return its JSON; HTTPError for anything but success."""
    answer = requests.get(f"{os.environ['DEMO_API_URL']}{path}", timeout=10)
    if answer.headers.get("Retry-After"):
        print(f"the API asks to wait {answer.headers['Retry-After']} s")
    answer.raise_for_status()
    return answer.json()
