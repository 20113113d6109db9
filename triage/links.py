"""Addresses of Airflow's own pages, made from a deployment's address and a try's key. Pure, and cheap to import.

Owns how Airflow's page names a try, so that pages and reports can link to it without the API client. A link cannot be
checked by asking: Airflow's page answers 200 to every path.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode, urlsplit

from triage.model import TaskTry

_DATE = re.compile(r"__(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.:+]*)$")


def home(url: str) -> str:
    """Return a deployment's address as Airflow's pages have it: no credentials, query, `/api/v…` or closing slash.

    Empty for what is not an http(s) address, so that no other scheme ever becomes a link.
    """
    try:
        parts = urlsplit(url.strip())
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = quote(parts.path, safe="/%~").rstrip("/").removesuffix("/api/v2").removesuffix("/api/v1").rstrip("/")
    return f"{parts.scheme}://{host}{port}{path}"


def try_url(url: str, key: TaskTry, version: str = "") -> str:
    """Return the address of this try in Airflow's page; empty if `url` is not an http(s) address.

    Airflow 2's page has no address for a single try, only for the logs of its task instance; it is told by `version`.
    """
    base = home(url)
    if not base:
        return ""
    if version.startswith("2."):
        return _grid_url(base, key)
    dag, run, task = (quote(part, safe="") for part in (key.dag_id, key.run_id, key.task_id))
    mapped = f"/mapped/{key.map_index}" if key.map_index >= 0 else ""
    return f"{base}/dags/{dag}/runs/{run}/tasks/{task}{mapped}?try_number={key.try_number}"


def _grid_url(base: str, key: TaskTry) -> str:
    """Link as `TaskInstance.log_url` of 2.11 does; the grid shows a run among those up to its date, which its id ends in."""
    query = {"dag_run_id": key.run_id, "task_id": key.task_id}
    if key.map_index >= 0:
        query["map_index"] = str(key.map_index)
    if dated := _DATE.search(key.run_id):
        query["base_date"] = dated[1]
    return f"{base}/dags/{quote(key.dag_id, safe='')}/grid?{urlencode(query, quote_via=quote)}&tab=logs"


def code_url(url: str, dag_id: str, version: int) -> str:
    """Return the address of a DAG's code in a version, in Airflow 3's page; empty if `url` is not an http(s) address."""
    base = home(url)
    return f"{base}/dags/{quote(dag_id, safe='')}/code?version_number={version}" if base else ""


def compare_url(bundle_url: str, old: str, new: str) -> str:
    """Return the address of the differences between two commits, made from the address that Airflow has of the old one.

    For GitLab's `/-/tree/COMMIT`, GitHub's `/tree/COMMIT` and what is built like them; empty for any other address.
    """
    place, tree, _ = bundle_url.partition(f"/tree/{old}")
    if not tree or not home(place) or not re.fullmatch(r"[0-9a-f]{7,64}", new):
        return ""
    return f"{place}/compare/{old}...{new}"
