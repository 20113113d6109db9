"""What a deployment answered for a problem, as a person at the terminal and programs read it. Pure.

Owns the sentence about the last good run, the names of versions, and the JSON of outcomes and of comparisons. The page's
own words, with links and times that stay fresh, are in `ui.front.since`.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from triage.model import Occurrence
from triage.records import Comparison, ComparisonStatus, Good, Outcomes
from ui.format import ago, iso, many, one_line


def compared(found: Comparison, now: datetime) -> str:
    """Tell in one sentence what became of the wish to know what is new since the last good run."""
    good = ""
    if found.good:
        good = f"{found.good.key.run_id} try {found.good.key.try_number}, {ago(found.good.ended_at, now)}"
    match found.status:
        case ComparisonStatus.WANTED:
            said = f"The last good run was asked for {ago(found.wanted_at, now)}; no collector has answered yet."
        case ComparisonStatus.NONE:
            said = f"{found.key.task} has no success from before the problem began, {ago(found.began, now)}."
        case ComparisonStatus.GONE:
            said = f"Airflow no longer has the log of the last good run, {good}."
        case ComparisonStatus.FAILED:
            said = "The last good run could not be read."
        case ComparisonStatus.SHOWN:
            new = many(len(found.new), "line is", "lines are") if found.new else "No line is"
            said = f"{new} new since the last good run, {good}."
    return one_line(f"{said} {found.said}".rstrip(), 1000)


def versions(good: Good, fact: Occurrence) -> str:
    """Name the versions of the DAG and its bundle that a good and a failed run ran with; empty where neither is known."""
    parts = []
    if good.dag_version and fact.dag_version:
        same = good.dag_version == fact.dag_version
        parts.append(
            f"DAG version {fact.dag_version} in both"
            if same
            else f"DAG version {good.dag_version} then, {fact.dag_version} now"
        )
    if good.bundle_version and fact.bundle_version:
        old, new = short_version(good.bundle_version), short_version(fact.bundle_version)
        parts.append(f"bundle {new} in both" if old == new else f"bundle {old} then, {new} now")
    return "; ".join(parts)


def outcomes_json(answer: Outcomes) -> dict[str, Any]:
    """Return how one task fared since a problem last failed in it."""
    return {
        "deployment": answer.deployment,
        "dag_id": answer.dag_id,
        "task_id": answer.task_id,
        "failed_at": answer.since.isoformat(),
        "succeeded_since": answer.succeeded,
        "failed_since": answer.failed,
        "succeeded_between": answer.between,
        "last_success_at": iso(answer.last_success_at),
        "healed": answer.healed,
        "broken": answer.broken,
        "waiting": answer.waiting,
        "paused": answer.is_paused,
        "gone": answer.is_gone,
        "next_run_at": iso(answer.next_run_at),
        "as_of": answer.as_of.isoformat(),
    }


def comparison_json(found: Comparison | None, fact: Occurrence | None) -> dict[str, Any] | None:
    """Return the last good run beside a failed try, as the API and `--json` print it; null where nobody asked."""
    if found is None:
        return None
    good, numbers = found.good, set(found.new)
    return {
        "status": str(found.status),
        "failed_try": found.key.id,
        "run_id": good.key.run_id if good else None,
        "try_number": good.key.try_number if good else None,
        "map_index": good.key.map_index if good else None,
        "ended_at": iso(good.ended_at) if good else None,
        "dag_versions": [good.dag_version if good else None, fact.dag_version if fact else None],
        "bundle_versions": [good.bundle_version or None if good else None, fact.bundle_version or None if fact else None],
        "new": [{"line": line.number, "text": line.text} for line in (fact.kept or () if fact else ()) if line.number in numbers],
        "note": found.said or None,
    }  # fmt: skip


def short_version(commit: str) -> str:
    """Shorten a commit as git does, to 8 digits; any other version stays as it is, on one line."""
    return commit[:8] if re.fullmatch(r"[0-9a-f]{12,64}", commit) else one_line(commit, 60)
