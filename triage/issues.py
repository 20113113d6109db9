"""What we know of GitLab's issues, and the port through which they are read and written.

Plain facts as frozen dataclasses, in our words; `gitlab` makes them of GitLab's answers. The port has the verbs that
mirroring calls and no others; each says what its failure means, because of a write it matters whether it was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

# GitLab's role from which on labels and an assignee are taken, and others' issues may be closed (facts of its REST API);
# Reporter is 20, a Guest 10.
PLANNER = 15


@dataclass(frozen=True, slots=True)
class Desk:
    """A project as we meet it: its number, its page, who we are there, and our role (None where that is not said)."""

    project_id: int
    web_url: str
    bot: str
    bot_id: int
    role: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """What GitLab says of the token that we have; `expires_at` is None for one that does not."""

    scopes: tuple[str, ...]
    expires_at: date | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook of a project: where it leads, whether GitLab has switched it off, and what we need that it does not send.

    `is_signed` is None where GitLab is too old to tell.
    """

    url: str
    alert: str = ""
    disabled_until: datetime | None = None
    missing: tuple[str, ...] = ()
    is_signed: bool | None = None


@dataclass(frozen=True, slots=True)
class Issue:
    """A GitLab issue as it was answered. Times are GitLab's; `moved_to` is the id (not the iid) of what it became."""

    id: int
    iid: int
    project_id: int
    title: str
    description: str
    is_open: bool
    web_url: str
    author: str
    created_at: datetime
    updated_at: datetime
    labels: tuple[str, ...] = ()
    assignee: str = ""
    closed_at: datetime | None = None
    closed_by: str = ""
    closed_by_id: int = 0
    author_id: int = 0
    moved_to: int | None = None
    confidential: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A comment under an issue; `is_system` where GitLab wrote it of what somebody did."""

    id: int
    body: str
    author: str
    author_id: int
    created_at: datetime
    is_system: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody closed or reopened an issue."""

    is_open: bool
    who: str
    at: datetime
    who_id: int = 0


@dataclass(frozen=True, slots=True)
class Fix:
    """A merge request that closes an issue, once it was merged: its number and page, by whom and when, and its commit.

    `project_id` is the project whose repository has that commit.
    """

    iid: int
    web_url: str
    merged_by: str
    merged_at: datetime
    sha: str
    project_id: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An issue that is to be opened; the assignee by number."""

    title: str
    description: str
    labels: tuple[str, ...] = ()
    assignee_id: int | None = None
    confidential: bool = False


class Issues(Protocol):
    """GitLab, as mirroring asks it.

    Every verb raises GitLabGone, GitLabRefused (nothing was done) or GitLabUnsure (it may have been done); none asks twice.
    `project` is a path or a number.
    """

    def close(self) -> None:
        """Close the connections; the next question opens others."""

    def know(self, project: str, number: int) -> None:
        """Ask for a project by its number from now on, but for `desk`: a path leads elsewhere, or nowhere, once it is renamed."""

    def desk(self, project: str) -> Desk:
        """Return who we are in the project that this path (or number) leads to now, and what it is."""

    def made(self, project: str, since: datetime | None, *, by: int | None = None, label: str = "") -> list[Issue]:
        """Return the issues opened since then, oldest first, all of them: a user's, or those with a label."""

    def changed(self, project: str, since: datetime) -> list[Issue]:
        """Return the issues that changed since then, the longest unchanged first."""

    def several(self, project: str, iids: list[int]) -> list[Issue]:
        """Return those of at most 100 issues that exist."""

    def issue(self, project: str, iid: int) -> Issue:
        """Return one issue."""

    def moved(self, issue: Issue) -> Issue | None:
        """Return what an issue became in another project, where it keeps its author and its time; None where we may not see it."""

    def user(self, name: str) -> int | None:
        """Return the number of the user with this name; None where there is none."""

    def open(self, project: str, draft: Draft) -> Issue:
        """Open an issue. Not idempotent: after GitLabUnsure there may be one."""

    def edit(
        self, project: str, iid: int, *, is_open: bool | None = None, description: str | None = None, title: str | None = None
    ) -> Issue:  # fmt: skip
        """Close or reopen an issue, or replace its description or title; what is so already stays so."""

    def notes(self, project: str, iid: int, after: int = 0) -> list[Note]:
        """Return the comments of an issue with a higher id than `after`, oldest first."""

    def comment(self, project: str, iid: int, body: str) -> Note:
        """Write a comment. Not idempotent: after GitLabUnsure it may be there."""

    def role(self, project: str, user: int) -> int:
        """Return the role of a user in a project, inherited ones included; 0 for whoever is no member."""

    def award(self, project: str, iid: int, note: int, name: str) -> None:
        """Put an emoji of ours on a comment; what is there already stays."""

    def turns(self, project: str, iid: int) -> list[Turn]:
        """Return when an issue was closed and reopened, and by whom, oldest first."""

    def fixes(self, project: str, iid: int) -> list[Fix]:
        """Return the merge requests that close an issue and were merged, the one merged last at the end."""

    def holds(self, project: int, later: str, commit: str) -> bool | None:
        """Say whether a `later` commit of a project's repository has `commit` in its past; None where it cannot be told."""
