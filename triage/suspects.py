"""Which line of the DAG repository a failure points to, and which changes since the last good run touched that file.

Owns how Airflow's git bundles name a file and a commit: the folder `…/versions/COMMIT/…` of a frame, the address of the
bundle in that commit. Asks nobody itself: a `History` answers what was committed. Never guesses: a file outside of a
bundle, or a commit that is not known in full, has no line and no suspects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Protocol, TypeVar
from urllib.parse import quote

from triage.links import home
from triage.model import Frame, LogLine, Occurrence, Raised
from triage.records import Good

# Suspects shown; commits that are asked about at most (a call each for its merge requests).
SHOWN, _ASKED = 8, 20
_NAMES = 4  # of one file in a span, its former ones among them
_SHA = re.compile(r"[0-9a-f]{40}")
# `GitDagBundle` checks each commit out below `versions`, and follows its branch in `tracking_repo`.
_IN_BUNDLE = re.compile(r"/(?:versions/(?P<sha>[0-9a-f]{40})|tracking_repo)/(?P<path>[^\0]+)$")
# What a worker's log says, before the task runs, of the file that it loads the DAG from (Airflow 3.0 to 3.3).
_HEAD = 200  # lines; those before it are the worker's own, some ten of them
_LOADED = re.compile(r"Filling up the DagBag from [^\0\n]{1,2000}?/versions/([0-9a-f]{40})/")
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

    def renamed_from(self, repository: str, sha: str, path: str) -> str:
        """Return the path that a commit renamed to `path`, "" where it did not; looks at its first hundred files."""
        ...

    def merge_requests(self, repository: str, sha: str) -> Sequence[MergeRequest]:
        """Return the merge requests that brought a commit."""
        ...


R = TypeVar("R", Occurrence, Good)


def loaded(lines: Iterable[LogLine]) -> str:
    """Return the commit whose checkout a task was loaded from, as its log tells first of all; empty where it does not."""
    head = islice(lines, _HEAD)
    return next((found[1] for line in head if (found := _LOADED.match(line.text))), "")


def placed(ran: R, bundle: str) -> R:
    """Return a try as one that ran a version of its bundle, the bundle's address being that version's too."""
    old = ran.bundle_version
    return replace(
        ran, bundle_version=bundle, bundle_url=ran.bundle_url.replace(old, bundle) if old else ran.bundle_url
    )


def source(fact: Occurrence, repository: str = "") -> Source | None:
    """Return the line that a failed try points to, its kept log loaded: the innermost frame in a file of the DAG repository.

    `repository` is the address of the DAG repository where Airflow does not tell it (a self-hosted GitLab without
    `view_url_template`). None where the log has no such frame, or the commit that ran is not known.
    """
    for frame in _frames(fact):
        found = _IN_BUNDLE.search(frame.file)
        sha = (found["sha"] or fact.bundle_version) if found else ""
        if found and frame.line and _SHA.fullmatch(sha) and not _NOT_THERE.search(found["path"]):
            web, form = _host(fact.bundle_url, repository)
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
    """Return the changes that touched the file in a span, the newest first; the commits of one merge request are one.

    Under the names that it had before too, where a commit of the span renamed it.
    """
    every = sorted(_touching(history, between), key=lambda commit: commit.at, reverse=True)
    groups: dict[str, tuple[MergeRequest | None, list[Commit]]] = {}
    for commit in every[:_ASKED]:
        request = next(
            iter(sorted(history.merge_requests(between.repository, commit.sha), key=lambda it: it.iid)), None
        )
        groups.setdefault(request.url if request else commit.sha, (request, []))[1].append(commit)
    found = [Suspect(tuple(commits), request) for request, commits in groups.values()]
    told = sum(len(one.commits) for one in found[:SHOWN])
    return Suspects(between, tuple(found[:SHOWN]), len(every) - told)


def _touching(history: History, between: Span) -> Iterable[Commit]:
    """Return the commits that touched a file, under its former names too: a list by path ends where it got its name."""
    found: dict[str, Commit] = {}
    for _ in range(_NAMES):
        commits = history.commits(between)
        found |= {commit.sha: commit for commit in commits}
        first = commits[-1].sha if commits else ""
        former = history.renamed_from(between.repository, first, between.path) if first else ""
        if not former:
            break
        between = replace(between, path=former, bad=first)
    return found.values()


def _host(bundle_url: str, repository: str) -> tuple[str, str]:
    """Return the repository's address and the form of a line's address there; both empty where it is not known."""
    for mark, form in _HOSTS:
        found = re.search(f"{mark}[0-9a-f]{{40}}(?=/|$)", bundle_url)
        if found and (web := home(bundle_url[: found.start()])):
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
