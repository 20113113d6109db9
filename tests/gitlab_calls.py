"""What the handlers of the double share: one call with its rights, the routes, pages of a list, and refusals.

A handler is `(call) -> answer` under a route; what it refuses it raises as `Refused`. It neither sees the socket nor locks.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.gitlab_faults import Request
from tests.gitlab_state import Issue, Lag, Note, Project, Token, User

if TYPE_CHECKING:
    from tests.gitlab_double import FakeGitLab


@dataclass
class Answer:
    """A status, a body (JSON, or text as it is, or none) and headers beyond the usual."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """What GitLab refuses, in the shape it does: a string, a list or a dict under `message`, or `error`."""

    def __init__(self, status: int, message: Any, key: str = "message") -> None:
        super().__init__(message)
        self.answer = Answer(status, {key: message})


class Moved(Refused):
    """Sends a reader on to another address."""

    def __init__(self, to: str) -> None:
        super().__init__(301, "This resource has been moved permanently")
        self.answer.headers["Location"] = to


@dataclass
class Call:
    """One authorised request: who asks, with which token, the path's parameters, the query and the body."""

    fake: FakeGitLab
    request: Request
    user: User
    token: Token
    params: dict[str, str]
    lag: Lag | None = None

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query)

    @property
    def body(self) -> dict[str, Any]:
        return self.request.body or {}

    def every(self, name: str) -> list[str]:
        """Return all values of a repeated query parameter."""
        return [value for key, value in self.request.query if key == name]

    def time(self, name: str) -> datetime | None:
        value = self.query.get(name)
        return when(value) if value else None

    def role_in(self, project: Project, user: User | None = None) -> int:
        return project.members.get((user or self.user).id, 0)

    def project(self, key: str | None = None, least: int = 0) -> Project:
        """Return the project of the path, or refuse as GitLab does: what may not be seen is not there."""
        name = key or self.params["id"]
        project = self.fake.state.project_of(name) or self._renamed(name)
        if project is None or (project.visibility == "private" and not self.role_in(project)):
            raise Refused(404, "404 Project Not Found")
        if least and self.role_in(project) < least:
            raise Refused(403, "403 Forbidden")
        return project

    def _renamed(self, name: str) -> Project | None:
        """Refuse a path that a project had, as GitLab does: a reader is sent on, a writer is not (`find_project!`)."""
        known = (one for one in self.fake.state.projects.values() if name.lower() in one.former)
        found = next((one for one in known if one.visibility != "private" or self.role_in(one)), None)
        if found is None:
            return None
        if self.request.writes:
            raise Refused(405, "405 Non GET methods are not allowed for moved projects")
        rest = self.request.path.split("/", 3)[3:]
        query = f"?{urlencode(self.request.query)}" if self.request.query else ""
        to = "/".join((f"{self.fake.url}/api/v4/projects/{found.id}", *rest)) + query
        raise Moved(to)


def when(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.now().astimezone().tzinfo)


Handler = Callable[[Call], Any]
ROUTES: dict[tuple[str, str], Handler] = {}


def route(method: str, template: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        assert (method, template) not in ROUTES, template
        ROUTES[method, template] = handler
        return handler

    return keep


Key = Callable[[Any], tuple[str, int]]


def paged(call: Call, rows: list[Any], shown: Callable[[Any], Any], keyset: tuple[Key, bool] | None = None) -> Answer:
    """Return one page of rows with the headers that lead to the others.

    By offset: Link and X-*; X-Total and `last` only up to 10,000 rows. By keyset where the list offers it, with its sort
    key and whether it descends: the cursor holds the last row's key, so rows that come or go between two pages shift nothing.
    """
    query = call.query
    size = int(query.get("per_page", 20))
    if keyset and query.get("pagination") == "keyset":
        key, descends = keyset
        if "cursor" in query:
            last = tuple(json.loads(base64.urlsafe_b64decode(query["cursor"])))
            rows = [row for row in rows if (key(row) < last if descends else key(row) > last)]
        page, links = rows[:size], {}
        if size < len(rows):
            cursor = base64.urlsafe_b64encode(json.dumps(key(page[-1])).encode()).decode()
            links["next"] = _address(call, {"cursor": cursor})
        return Answer(200, [shown(row) for row in page], {"Link": _link(links)} if links else {})
    number = int(query.get("page", 1))
    pages = max(1, -(-len(rows) // size))
    links = {"first": _address(call, {"page": "1"})}
    if number > 1:
        links["prev"] = _address(call, {"page": str(number - 1)})
    if number < pages:
        links["next"] = _address(call, {"page": str(number + 1)})
    headers = {
        "X-Page": str(number),
        "X-Per-Page": str(size),
        "X-Next-Page": str(number + 1) if number < pages else "",
        "X-Prev-Page": str(number - 1) if number > 1 else "",
    }
    if len(rows) <= 10_000:
        links["last"] = _address(call, {"page": str(pages)})
        headers |= {"X-Total": str(len(rows)), "X-Total-Pages": str(pages)}
    page = rows[(number - 1) * size : number * size]
    return Answer(200, [shown(row) for row in page], headers | {"Link": _link(links)})


def _address(call: Call, change: dict[str, str]) -> str:
    """Return this request's address with a change; GitLab repeats the path's parameters in it, and so do we."""
    kept = [(key, value) for key, value in call.request.query if key not in change]
    repeated = [(key, value) for key, value in call.params.items() if key in ("id", "iid")]
    query = sorted({*kept, *(("issue_iid" if k == "iid" else k, v) for k, v in repeated), *change.items()})
    return f"{call.fake.url}/api/v4{call.request.path}?{urlencode(query)}"


def _link(links: dict[str, str]) -> str:
    return ", ".join(f'<{address}>; rel="{name}"' for name, address in links.items())


def issue_in(call: Call, project: Project, iid: str | None = None, lag: Lag | None = None) -> Issue:
    """Return an issue that the caller may see, or refuse."""
    if not project.issues_enabled:
        raise Refused(403, "403 Forbidden")
    text = iid or call.params["iid"]
    issue = call.fake.state.issue_of(project.id, int(text), lag) if text.isdigit() else None
    if issue is None or not visible(call, project, issue):
        raise Refused(404, "404 Not found")
    return issue


def visible(call: Call, project: Project, issue: Issue) -> bool:
    """A confidential issue is for its author, its assignees, and members from Planner up."""
    own = call.user.id in (issue.author, *issue.assignees)
    return not issue.confidential or own or call.role_in(project) > 10


def note_in(call: Call, issue: Issue) -> Note:
    found: Note | None = call.fake.state.rows("note").get(int(call.params["note"]))
    if found is None or found.issue != issue.id:
        raise Refused(404, "404 Note Not Found")
    return found
