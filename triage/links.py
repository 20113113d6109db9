"""Addresses of Airflow's own pages, made from a deployment's address and a try's key. Pure, and cheap to import.

Owns how Airflow's page names a try, so that pages and reports can link to it without the API client. A link cannot be
checked by asking: Airflow's page answers 200 to every path.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from triage.model import TaskTry


def home(url: str) -> str:
    """Return a deployment's address as Airflow's pages have it: no credentials, query, `/api/v2` or closing slash.

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
    path = quote(parts.path, safe="/%~").rstrip("/").removesuffix("/api/v2").rstrip("/")
    return f"{parts.scheme}://{host}{port}{path}"


def try_url(url: str, key: TaskTry) -> str:
    """Return the address of exactly this try in Airflow 3's page; empty if `url` is not an http(s) address."""
    base = home(url)
    if not base:
        return ""
    dag, run, task = (quote(part, safe="") for part in (key.dag_id, key.run_id, key.task_id))
    mapped = f"/mapped/{key.map_index}" if key.map_index >= 0 else ""
    return f"{base}/dags/{dag}/runs/{run}/tasks/{task}{mapped}?try_number={key.try_number}"
