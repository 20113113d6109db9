"""Which line of the DAG repository a failure points to, and which changes since the last good run touched that file.

Owns how Airflow's git bundles name a file and a commit: the folder `…/versions/COMMIT/…` of a frame, the address of the
bundle in that commit. Asks nobody itself: a `History` answers what was committed. Never guesses: a file outside of a
bundle, or a commit that is not known in full, has no line and no suspects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import quote

from triage.links import home
from triage.model import Frame, LogLine, Occurrence, Raised
from triage.records import Good

# Suspects shown; commits that are asked about at most (a call each for its merge requests).
SHOWN, _ASKED = 8, 20
_SHA = re.compile(r"[0-9a-f]{40}")
# `GitDagBundle` checks each commit out below `versions`, and follows its branch in `tracking_repo`.
_IN_BUNDLE = re.compile(r"/(?:versions/(?P<sha>[0-9a-f]{40})|tracking_repo)/(?P<path>[^\0]+)$")
# What lies below a checkout without being in its repository.
_NOT_THERE = re.compile(r"(?:^|/)\.\.(?:/|$)|-packages/")
# How `GitDagBundle.view_url_template` names a commit: GitLab, Bitbucket, GitHub.
_HOSTS = (("/-/tree/", "{web}/-/blob/{sha}/{path}#L{line}"), ("/src/", "{web}/src/{sha}/{path}#lines-{line}"),
          ("/tree/", "{web}/blob/{sha}/{path}#L{line}"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """A line of the DAG repository: its path there, the full commit that ran, the repository's address and the line's own."""

    path: str
    line: int
    sha: str
    repository: str
    url: str


@dataclass(frozen=True, slots=True)
class Span:
    """What may have broken a file: the commits after `good` up to `bad` that touched `path` in `repository` (an address)."""

    repository: str
    path: str
    good: str
    bad: str


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit, as GitLab's list of them tells it."""

    sha: str
    title: str
    author: str
    at: datetime
    url: str


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """One merge request that brought a commit."""

    iid: int
    title: str
    url: str
    author: str = ""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A change that touched the file: the merge request where there is one, and its commits, the newest first."""

    commits: tuple[Commit, ...]
    request: MergeRequest | None = None


@dataclass(frozen=True, slots=True)
class Suspects:
    """The changes between the last good run and a failure, the newest first; `more` commits are not shown."""

    span: Span
    found: tuple[Suspect, ...] = ()
    more: int = 0


class History(Protocol):
    """What is asked of the repository's host. Both may raise a TriageError; both are read-only and repeatable."""

    def commits(self, span: Span) -> Sequence[Commit]:
        """Return the commits in `good..bad` that touched the path, the newest first; none for a repository it does not hold."""
        ...

    def merge_requests(self, repository: str, sha: str) -> Sequence[MergeRequest]:
        """Return the merge requests that brought a commit."""
        ...


def source(fact: Occurrence, repository: str = "") -> Source | None:
    """Return the line that a failed try points to, its kept log loaded: the innermost frame in a file of the DAG repository.

    `repository` is the address of the DAG repository where Airflow does not tell it (a self-hosted GitLab without
    `view_url_template`). None where the log has no such frame, or the commit that ran is not known.
    """
    for frame in _frames(fact):
        found = _IN_BUNDLE.search(frame.file)
        sha = (found["sha"] or fact.bundle_version) if found else ""
        if found and frame.line and _SHA.fullmatch(sha) and not _NOT_THERE.search(found["path"]):
            web, form = _host(fact.bundle_url, sha, repository)
            url = form.format(web=web, sha=sha, path=quote(found["path"]), line=frame.line) if web else ""
            return Source(found["path"], frame.line, sha, web, url)
    return None


def span(at: Source | None, good: Good | None) -> Span | None:
    """Return what to ask a `History` for; None without a good run of another known commit."""
    if at is None or not at.repository or good is None:
        return None
    if not _SHA.fullmatch(good.bundle_version) or good.bundle_version == at.sha:
        return None
    return Span(at.repository, at.path, good.bundle_version, at.sha)


def suspects(history: History, between: Span) -> Suspects:
    """Return the changes that touched the file in a span, the newest first; the commits of one merge request are one."""
    every = sorted(history.commits(between), key=lambda commit: commit.at, reverse=True)
    groups: dict[str, tuple[MergeRequest | None, list[Commit]]] = {}
    for commit in every[:_ASKED]:
        request = next(
            iter(sorted(history.merge_requests(between.repository, commit.sha), key=lambda it: it.iid)), None
        )
        groups.setdefault(request.url if request else commit.sha, (request, []))[1].append(commit)
    found = [Suspect(tuple(commits), request) for request, commits in groups.values()]
    told = sum(len(one.commits) for one in found[:SHOWN])
    return Suspects(between, tuple(found[:SHOWN]), len(every) - told)


def _host(bundle_url: str, sha: str, repository: str) -> tuple[str, str]:
    """Return the repository's address and the form of a line's address there; both empty where it is not known."""
    for mark, form in _HOSTS:
        place, found, _ = bundle_url.partition(f"{mark}{sha}")
        if found and (web := home(place)):
            return web, form
    web = home(repository)
    return (web, _HOSTS[0][1]) if web else ("", "")


def _frames(fact: Occurrence) -> Iterator[Frame]:
    """Yield the frames of what was raised, those of the root exception first, the innermost first."""
    for line in _telling(fact):
        yield from _of_chain(line.raised)


def _telling(fact: Occurrence) -> list[LogLine]:
    """Return the kept lines with exceptions: those of the evidence first, then the others from the end."""
    numbers = {one.number for one in fact.signature.evidence} if fact.signature else set()
    raised = [line for line in fact.kept or () if line.raised][::-1]
    return sorted(raised, key=lambda line: line.number not in numbers)


def _of_chain(chain: Sequence[Raised]) -> Iterator[Frame]:
    for one in reversed(chain):
        for part in one.parts:
            yield from _of_chain(part)
        yield from reversed(one.frames)
