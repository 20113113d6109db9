"""The shell of owners: what is kept of DAGs and of CODEOWNERS, and how both are brought together with the rules.

Owns the records `Dag` and `Codeowners`. A repository's file is asked for by whoever can reach it (`Files`), at most once
an hour; one that cannot be had now stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from triage.codeowners import PLACES
from triage.errors import GitLabError, StaleProblem
from triage.model import Occurrence
from triage.owners import Ownership, place
from triage.records import Codeowners, Dag
from triage.redact import Redactor, facts
from triage.store import Store
from triage.watched import Trouble

# How old a kept CODEOWNERS may be before it is asked for again.
FRESH = timedelta(hours=1)
_LONGEST = 1_000_000  # characters kept of one


class Files(Protocol):
    """Who reads files of repositories."""

    def file(self, repository: str, path: str) -> bytes | None:
        """Return a file on the default branch of the repository with this address, None if there is none; GitLabError."""
        ...


def note(store: Store, tries: Iterable[Occurrence]) -> None:
    """Keep what tries say of their DAG: its tags, its file, its bundle. The newest try that says something counts."""
    said: dict[str, Occurrence] = {}
    for fact in sorted(tries, key=lambda fact: fact.ended_at):
        if fact.tags or fact.file or fact.bundle_url:
            said[f"{fact.key.deployment}/{fact.key.dag_id}"] = fact
    for id, fact in said.items():
        found = store.get(Dag, id)
        old, revision = found or (Dag(fact.key.deployment, fact.key.dag_id), None)
        new = replace(
            old, tags=fact.tags or old.tags, file=fact.file or old.file, bundle_url=fact.bundle_url or old.bundle_url
        )
        if new != old and (old.at is None or fact.ended_at >= old.at):
            with suppress(StaleProblem):  # somebody else keeps it at this moment; the next try says it again
                store.save(replace(new, at=fact.ended_at), revision)


def known(store: Store, settings: Ownership) -> Ownership:
    """Return what tells the owners now: the settings, and what is kept of DAGs and of CODEOWNERS."""
    dags = {(dag.deployment, dag.dag_id): dag for dag, _ in store.records(Dag)}
    files = {kept.repository: kept.text for kept, _ in store.records(Codeowners)}
    return Ownership(settings.rules, settings.repositories, dags, files)


def _text(body: bytes) -> str:
    """Return what is kept of a file: whole lines, as half a name may be another's."""
    text = body.decode("utf-8", "replace")
    return text if len(text) <= _LONGEST else text[: text.rfind("\n", 0, _LONGEST) + 1]


def refresh(store: Store, settings: Ownership, files: Files, redactor: Redactor, now: datetime) -> list[Trouble]:
    """Ask for the CODEOWNERS of every repository that DAGs are in, where what is kept is an hour old; return the troubles.

    The first of GitLab's places that has one counts. Where a repository cannot be read now, what is kept of it stays.
    """
    wanted = {place(dag, settings.repository(dag.deployment))[0] for dag, _ in store.records(Dag)}
    troubles = []
    for url in sorted(wanted - {""}):
        found = store.get(Codeowners, url)
        if found and now - found[0].read_at < FRESH:
            continue
        old = found[0] if found else Codeowners(url, "", "", now)
        try:
            path, body = next(((at, body) for at in PLACES if (body := files.file(url, at)) is not None), ("", b""))
            kept = Codeowners(url, path, _text(body), now)
        except GitLabError as exc:
            troubles.append(Trouble(exc.what, exc.fix))
            kept = replace(old, read_at=now)
        with suppress(StaleProblem):  # another worker asked too
            store.save(facts.record(redactor, kept), found[1] if found else None)
    return troubles
