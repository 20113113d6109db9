"""Whether a template renders: tried on a problem of which everything is known, and on one of which next to nothing is.

What the settings ask before they take a template; what a template says is `report`'s.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from triage import templates
from triage.errors import SettingsError
from triage.model import Circumstance, CircumstanceKind, Evidence, Occurrence, Signature, TaskTry
from triage.records import Problem, TriageState
from triage.report import BLOCK_MAX, Elsewhere, Facts, values
from triage.suspects import Commit, MergeRequest, Source, Span, Suspect, Suspects


def checked_template(text: str, field: str, *, as_title: bool = False) -> str:
    """Return a template that renders, with all that can be known of a problem and with the least; else SettingsError."""
    for facts in _samples():
        said = templates.rendered(text, values(facts), as_title=as_title, field=field)
        if as_title and not said.strip():
            raise SettingsError(f"{field} renders to nothing.", "A title needs words, for example {{ title }}.")
        if len(said.encode("utf-8", "replace")) > BLOCK_MAX:
            raise SettingsError(f"{field} renders to more than {BLOCK_MAX // 1024} KiB.", "Make it shorter.")
    return text


def _samples() -> tuple[Facts, Facts]:
    """Return a problem of which everything is known, and one of which next to nothing is."""
    at, good, bad = datetime(2026, 11, 25, 20, 41, tzinfo=UTC), "a" * 40, "b" * 40
    problem = Problem(
        "0123456789ab", "prod", "1:0123", "KeyError: 'id' in load()", "code error", TriageState.REGRESSED, at, at, reason="it came back"
    )  # fmt: skip
    signed = Signature(
        1, "1:0123", problem.title, problem.cause, "KeyError", (Evidence(12, "KeyError: 'id'"),), ("It counts.",)
    )
    fact = Occurrence(
        TaskTry("prod", "etl", "manual__2026-11-25T20:40:00+00:00", "load", 3, 2), at, at, at, True,
        Circumstance(CircumstanceKind.FAIL_FAST), "PythonOperator", "data", "default", "default_pool", "worker-7", signature=signed,
    )  # fmt: skip
    url = "https://gitlab.example.com/data/dags"
    commit = Commit(bad, "Read the new column", "Ann", at, f"{url}/-/commit/{bad}")
    request = MergeRequest(7, "Read the new column", f"{url}/-/merge_requests/7", "Ann")
    span = Span(url, "dags/etl.py", good, bad)
    full = Facts(
        problem, 1_203, 40, at - timedelta(days=3), at, ("prod", "blue"), (("etl", 1_203),), (("etl.load", 1_203),),
        (("2026-11-22", 3), ("2026-11-25", 1_200)), "data", "It heals by itself.", fact, fact, "https://airtriage.example.com/problem",
        "https://airflow.example.com/dags/etl", "https://airflow.example.com/dags/etl",
        Source("dags/etl.py", 12, bad, url, f"{url}/-/blob/{bad}/dags/etl.py#L12"),
        Suspects(span, (Suspect((commit,), request), Suspect((commit,))), 2),
        (Elsewhere("staging", "NEW", 2, "https://airtriage.example.com/problem"),), "It is closed when it is quiet for 7 days.",
    )  # fmt: skip
    bare = Facts(
        replace(problem, state=TriageState.NEW, reason="", cause="unknown"),
        1,
        0,
        at,
        at,
        ("prod",),
        (("etl", 1),),
        (("etl.load", 1),),
    )
    return full, bare
