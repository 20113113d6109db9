"""What the double of GitLab holds: users, tokens, projects, issues, notes, and every version that they had.

Things are immutable and replaced as a whole, so the state as of some writes or seconds ago can be shown: what a lagging
replica answers. Knows neither HTTP nor rules; `gitlab_issues` and `gitlab_projects` hold those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Json = Any
GUEST, PLANNER, REPORTER, DEVELOPER, MAINTAINER, OWNER = 10, 15, 20, 30, 40, 50


def stamp(when: datetime | None) -> str | None:
    """Return a time as GitLab's REST API writes it: UTC, milliseconds."""
    return when and when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03}Z"


@dataclass(frozen=True)
class User:
    id: int
    username: str
    name: str
    bot: bool = False
    state: str = "active"


@dataclass
class Token:
    user: int
    scopes: tuple[str, ...] = ("api",)
    expires_at: datetime | None = None
    revoked: bool = False


@dataclass
class Label:
    id: int
    name: str
    color: str = "#428BCA"
    description: str | None = None
    subscribed: bool = False


@dataclass
class Project:
    """One project. `visibility` private hides it from all but its members, as a 404; `repository` is a real git one."""

    id: int
    path: str
    members: dict[int, int]
    visibility: str = "private"
    issues_enabled: bool = True
    archived: bool = False
    default_branch: str = "main"
    repository: Path | None = None
    labels: dict[str, Label] = field(default_factory=dict)
    last_iid: int = 0
    last_merge_request: int = 0
    former: tuple[str, ...] = ()  # paths that it had


@dataclass(frozen=True)
class Issue:
    id: int
    iid: int
    project: int
    author: int
    title: str
    created_at: datetime
    updated_at: datetime
    description: str | None = None
    state: str = "opened"
    labels: tuple[str, ...] = ()
    assignees: tuple[int, ...] = ()
    confidential: bool = False
    issue_type: str = "issue"
    closed_at: datetime | None = None
    closed_by: int | None = None
    moved_to: int | None = None
    due_date: str | None = None
    locked: bool = False
    severity: str = "UNKNOWN"
    weight: int | None = None
    milestone: int | None = None


@dataclass(frozen=True)
class Note:
    id: int
    issue: int
    author: int
    body: str
    created_at: datetime
    updated_at: datetime
    system: bool = False
    internal: bool = False
    discussion: str = ""  # the thread that it is a part of


@dataclass(frozen=True)
class Milestone:
    id: int
    iid: int
    project: int
    title: str
    created_at: datetime


@dataclass(frozen=True)
class Event:
    """A change of an issue's state, labels, weight or milestone, as the resource events tell it."""

    id: int
    issue: int
    user: int
    kind: str
    action: str
    created_at: datetime
    label: str | None = None
    number: int | None = None


@dataclass(frozen=True)
class Award:
    id: int
    on: tuple[str, int]
    user: int
    name: str
    created_at: datetime


@dataclass(frozen=True)
class Link:
    id: int
    source: int
    target: int
    link_type: str
    created_at: datetime


@dataclass(frozen=True)
class MergeRequest:
    id: int
    iid: int
    project: int
    author: int
    title: str
    source_branch: str
    target_branch: str
    created_at: datetime
    updated_at: datetime
    description: str = ""
    state: str = "opened"
    sha: str = "0" * 40
    commits: tuple[str, ...] = ()
    merge_commit: str | None = None
    merged_at: datetime | None = None
    merged_by: int | None = None
    closes: tuple[int, ...] = ()
    mentions: tuple[int, ...] = ()


@dataclass(frozen=True)
class Deployment:
    id: int
    iid: int
    project: int
    user: int
    environment: str
    sha: str
    ref: str
    status: str
    created_at: datetime
    finished_at: datetime | None = None

    @property
    def updated_at(self) -> datetime:
        return self.finished_at or self.created_at


@dataclass(frozen=True)
class Change:
    """What a write replaced: enough to take it back."""

    at: datetime
    request: int
    table: str
    id: int
    before: Any


class State:
    """Everything the double knows. Not thread-safe: the double holds its lock around every use."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.request = 0
        self.users: dict[int, User] = {}
        self.tokens: dict[str, Token] = {}
        self.projects: dict[int, Project] = {}
        self.group_labels: dict[str, dict[str, Label]] = {}
        self.tables: dict[str, dict[int, Any]] = {
            name: {} for name in ("issue", "note", "event", "award", "link", "merge_request", "deployment", "milestone")
        }
        self.history: list[Change] = []
        self._ids = 1000

    def new_id(self) -> int:
        """Return an id nothing has yet; ids of all kinds share one sequence, so that no test mixes them up by luck."""
        self._ids += 1
        return self._ids

    def put(self, table: str, thing: Any) -> Any:
        rows = self.tables[table]
        self.history.append(Change(self.clock(), self.request, table, thing.id, rows.get(thing.id)))
        rows[thing.id] = thing
        return thing

    def drop(self, table: str, id: int) -> None:
        rows = self.tables[table]
        self.history.append(Change(self.clock(), self.request, table, id, rows.pop(id)))

    def rows(self, table: str, lag: Lag | None = None) -> dict[int, Any]:
        """Return a table, as it was before the writes that a replica does not have yet."""
        rows = self.tables[table]
        missing = [] if lag is None else lag.missing(self)
        if not missing:
            return rows
        rows = dict(rows)
        for change in missing:
            if change.table == table:
                if change.before is None:
                    rows.pop(change.id, None)
                else:
                    rows[change.id] = change.before
        return rows

    def user_named(self, name: str) -> User | None:
        return next((user for user in self.users.values() if user.username.lower() == name.lower()), None)

    def project_of(self, key: str) -> Project | None:
        """Find a project by its number or its path."""
        if key.isdigit():
            return self.projects.get(int(key))
        return next((project for project in self.projects.values() if project.path.lower() == key.lower()), None)

    def issue_of(self, project: int, iid: int, lag: Lag | None = None) -> Issue | None:
        rows = self.rows("issue", lag).values()
        return next((issue for issue in rows if issue.project == project and issue.iid == iid), None)

    def notes_of(self, issue: int, lag: Lag | None = None) -> list[Note]:
        return [note for note in self.rows("note", lag).values() if note.issue == issue]


@dataclass(frozen=True)
class Lag:
    """How far a replica is behind: by writes, by requests of any kind, by seconds; the most backward one holds.

    It answers lists, and `of_one` where one issue is read, too.
    """

    writes: int = 0
    requests: int = 0
    seconds: float = 0.0
    of_one: bool = False

    def missing(self, state: State) -> list[Change]:
        """Return the writes that the replica lacks, newest first."""
        oldest, since = state.request - self.requests, state.clock() - timedelta(seconds=self.seconds)
        found = []
        for back, change in enumerate(reversed(state.history)):
            if back < self.writes or change.request >= oldest or change.at > since:
                found.append(change)
            else:
                break
        return found
