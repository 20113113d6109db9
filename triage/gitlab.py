"""GitLab over its REST API: the adapter behind `issues.Issues` and `suspects.History`, and the only file that speaks python-gitlab.

Owns how GitLab is asked (once, with a time-out, no waiting inside) and what each of its refusals means for an operator.
Asks by path rather than through python-gitlab's objects: those drop parameters and send stray ones without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote, urljoin

import gitlab
import requests
from gitlab.exceptions import GitlabAuthenticationError, GitlabError, GitlabHttpError, GitlabParsingError, RedirectError

from triage import links
from triage.errors import GitLabError, GitLabGone, GitLabRefused, GitLabUnsure
from triage.issues import Desk, Draft, Fix, Issue, Note, Token, Turn, Webhook
from triage.suspects import Commit, MergeRequest, Span

_PAGE = 100  # GitLab's most
# GitLab's roles from which on labels and assignee are taken; Planner is 15, Reporter 20 (facts of its REST API).
PLANNER = 15
# What every GitLab answers: where it is not there, the address is another's.
_ITSELF = ("who the token belongs to", "its version")
_FIX_URL = "Correct gitlab.url: it is the address of GitLab's page, without /api."


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a GitLab: its address, a token with the scope api, and how long one answer may take, in seconds."""

    url: str
    token: str
    ca_file: str = ""
    timeout: float = 20.0


class _Session(requests.Session):
    """Follows no redirect to another host: requests would take the header with the token along."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None and self.should_strip_auth(str(resp.url), urljoin(str(resp.url), target)):
            return None
        return target


class GitLab:
    """One GitLab; for one thread at a time."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._session = _Session()
        self._session.hooks["response"].append(self._hear)
        self._wait: float | None = None
        self._numbers: dict[str, int] = {}
        self._client = gitlab.Gitlab(
            access.url,
            private_token=access.token,
            timeout=access.timeout,
            ssl_verify=access.ca_file or True,
            keep_base_url=True,  # the token goes to no other host, whatever a Link header says
            retry_transient_errors=False,
            session=self._session,
        )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def know(self, project: str, number: int) -> None:
        self._numbers[project] = number

    def _at(self, project: str) -> str:
        return f"/projects/{self._numbers.get(project) or quote(project, safe='')}"

    def desk(self, project: str) -> Desk:
        me = self._get("/user", _ITSELF[0])
        its = self._get(f"/projects/{quote(project, safe='')}", f"the project {project}")
        if its.get("issues_access_level") == "disabled" or its.get("issues_enabled") is False:
            raise GitLabRefused(
                f"The project {project} has its issues switched off.",
                "Switch them on in its settings, or correct gitlab.project.",
            )
        granted = its.get("permissions") or {}
        roles = [its["access_level"] for its in (granted.get("project_access"), granted.get("group_access")) if its]
        return Desk(its["id"], its.get("web_url") or "", me["username"], me["id"], max(roles, default=None))

    def version(self) -> str:
        """Return which GitLab it is."""
        return str(self._get("/version", _ITSELF[1])["version"])

    def token(self) -> Token:
        """Return what our token may do and how long; GitLabRefused or GitLabGone where its kind tells nothing of itself."""
        its = self._get("/personal_access_tokens/self", "the token itself")
        ends = its.get("expires_at")
        return Token(tuple(its.get("scopes") or ()), date.fromisoformat(ends[:10]) if ends else None)

    def webhooks(self, project: str) -> list[Webhook]:
        """Return the webhooks of a project; GitLabRefused below the role Maintainer."""
        return [
            _webhook(its)
            for its in self._list(f"{self._at(project)}/hooks", {"per_page": _PAGE}, f"the webhooks of {project}")
        ]

    def role(self, project: str, user: int) -> int:
        """Return the role of a user in a project, inherited ones included; 0 for whoever is no member."""
        try:
            its = self._get(f"{self._at(project)}/members/all/{user}", f"the member {user} of {project}")
        except GitLabGone:
            return 0
        with self._asking(f"the member {user} of {project}"):
            return int(its["access_level"]) if its.get("membership_state", "active") == "active" else 0

    def award(self, project: str, iid: int, note: int, name: str) -> None:
        """Put an emoji of ours on a comment; what is there already stays, and a comment that is gone gets none."""
        path = f"{self._at(project)}/issues/{iid}/notes/{note}/award_emoji"
        with suppress(GitLabGone), self._asking(f"an emoji on a comment of #{iid} of {project}", writes=True):
            # "has already been taken" is a 404 (facts of its REST API)
            self._client.http_post(path, post_data={"name": name}, obey_rate_limit=False)

    def made(self, project: str, since: datetime | None, *, by: int | None = None, label: str = "") -> list[Issue]:
        query: dict[str, Any] = {"order_by": "created_at", "sort": "asc"}
        if by is not None:
            query["author_id"] = by
        if since is not None:
            query["created_after"] = since.isoformat()
        if label:
            query["labels"] = label
        return self._issues(project, query)

    def changed(self, project: str, since: datetime) -> list[Issue]:
        return self._issues(project, {"updated_after": since.isoformat(), "order_by": "updated_at", "sort": "asc"})

    def several(self, project: str, iids: list[int]) -> list[Issue]:
        return self._issues(project, {"iids[]": iids, "order_by": "created_at", "sort": "asc"})

    def issue(self, project: str, iid: int) -> Issue:
        return _issue(self._get(f"{self._at(project)}/issues/{iid}", f"the issue #{iid} of {project}"))

    def moved(self, issue: Issue) -> Issue | None:
        around, at = timedelta(minutes=1), issue.created_at
        query: dict[str, Any] = {
            "scope": "all", "state": "all", "per_page": _PAGE,
            "created_after": (at - around).isoformat(), "created_before": (at + around).isoformat(),
        }  # fmt: skip
        if issue.author:
            query["author_username"] = issue.author
        found = self._list("/issues", query, "issues of all projects")
        return next((_issue(one) for one in found if one["id"] == issue.moved_to), None)

    def open(self, project: str, draft: Draft) -> Issue:
        body: dict[str, Any] = {"title": draft.title, "description": draft.description, "labels": list(draft.labels)}
        if draft.confidential:
            body["confidential"] = True
        if draft.assignee_id is not None:
            body["assignee_ids"] = [draft.assignee_id]
        with self._asking(f"a new issue in {project}", writes=True):
            made = self._client.http_post(f"{self._at(project)}/issues", post_data=body, obey_rate_limit=False)
            return _issue(_object(made))

    def edit(
        self, project: str, iid: int, *, is_open: bool | None = None, description: str | None = None, title: str | None = None
    ) -> Issue:  # fmt: skip
        body: dict[str, Any] = {} if is_open is None else {"state_event": "reopen" if is_open else "close"}
        if title is not None:
            body["title"] = title
        if description is not None:
            body["description"] = description
        with self._asking(f"a change of the issue #{iid} of {project}", writes=True):
            path = f"{self._at(project)}/issues/{iid}"
            return _issue(_object(self._client.http_put(path, post_data=body, obey_rate_limit=False)))

    def notes(self, project: str, iid: int, after: int = 0) -> list[Note]:
        """Newest first from GitLab, so that few of many comments are read; a comment's id only ever grows."""
        found: list[Note] = []
        query = {"order_by": "created_at", "sort": "desc", "per_page": _PAGE}
        what = f"the comments of the issue #{iid} of {project}"
        with self._asking(what):
            path = f"{self._at(project)}/issues/{iid}/notes"
            for one in self._client.http_list(path, query_data=query, iterator=True, obey_rate_limit=False):
                if one["id"] <= after:
                    break
                found.append(_note(one))
        return found[::-1]

    def comment(self, project: str, iid: int, body: str) -> Note:
        with self._asking(f"a comment on the issue #{iid} of {project}", writes=True):
            path = f"{self._at(project)}/issues/{iid}/notes"
            return _note(_object(self._client.http_post(path, post_data={"body": body}, obey_rate_limit=False)))

    def turns(self, project: str, iid: int) -> list[Turn]:
        path = f"{self._at(project)}/issues/{iid}/resource_state_events"
        found = self._list(path, {"per_page": _PAGE}, f"the history of the issue #{iid} of {project}")
        turns = [
            Turn(one["state"] == "reopened", (one.get("user") or {}).get("username") or "", _time(one["created_at"]))
            for one in found
            if one["state"] in ("closed", "reopened")
        ]
        return sorted(turns, key=lambda turn: turn.at)

    def fixes(self, project: str, iid: int) -> list[Fix]:
        what = f"the merge requests that close the issue #{iid} of {project}"
        found = self._list(f"{self._at(project)}/issues/{iid}/closed_by", {"per_page": _PAGE}, what)
        merged = [
            Fix(
                one["iid"], one["web_url"], (one.get("merged_by") or {}).get("username") or "", _time(one["merged_at"]),
                one.get("merge_commit_sha") or one.get("squash_commit_sha") or one.get("sha") or "",
            )
            for one in found if one["state"] == "merged" and one.get("merged_at")
        ]  # fmt: skip
        return sorted(merged, key=lambda fix: fix.merged_at)

    def user(self, name: str) -> int | None:
        found = self._list("/users", {"username": name}, f"the user {name}")
        return found[0]["id"] if found else None

    def commits(self, span: Span) -> list[Commit]:
        project = self._project_at(span.repository)
        if not project:
            return []
        query = {"ref_name": f"{span.good}..{span.bad}", "path": span.path, "per_page": _PAGE}
        found = self._list(f"{self._at(project)}/repository/commits", query, f"the commits of {project}")
        return [
            Commit(one["id"], one["title"], one["author_name"], _time(one["committed_date"]), one["web_url"])
            for one in found
        ]

    def merge_requests(self, repository: str, sha: str) -> list[MergeRequest]:
        project = self._project_at(repository)
        path = f"{self._at(project)}/repository/commits/{sha}/merge_requests"
        found = self._list(path, {"per_page": _PAGE}, f"the merge requests of {project}") if project else []
        return [
            MergeRequest(one["iid"], one["title"], one["web_url"], (one.get("author") or {}).get("name") or "")
            for one in found
        ]

    def file(self, repository: str, path: str) -> bytes | None:
        """Return a file on the default branch of the repository with this address; None where there is no such file.

        GitLab hides what the token may not see behind the same 404, so that is None too.
        """
        project = self._project_at(repository)
        if not project:
            return None
        try:
            with self._asking(f"the file {path} of {project}"):
                where = f"{self._at(project)}/repository/files/{quote(path, safe='')}/raw"
                query = {"ref": "HEAD"}
                answer = self._client.http_get(where, query_data=query, raw=True, obey_rate_limit=False)
        except GitLabGone:
            return None
        assert isinstance(answer, requests.Response)
        return answer.content

    def _project_at(self, address: str) -> str:
        """Return the path of the project with this address; "" where it is another host's."""
        prefix = f"{links.home(self._access.url)}/"
        home = links.home(address)
        return unquote(home.removeprefix(prefix)).removesuffix(".git") if home.startswith(prefix) else ""

    def _issues(self, project: str, query: dict[str, Any]) -> list[Issue]:
        # By keyset: what comes or goes between two pages shifts no row over their border.
        query |= {"state": "all", "per_page": _PAGE, "pagination": "keyset"}
        return [_issue(one) for one in self._list(f"{self._at(project)}/issues", query, f"the issues of {project}")]

    def _get(self, path: str, what: str) -> dict[str, Any]:
        with self._asking(what):
            return _object(self._client.http_get(path, obey_rate_limit=False))

    def _list(self, path: str, query: dict[str, Any], what: str) -> list[dict[str, Any]]:
        with self._asking(what):
            found = self._client.http_list(path, query_data=query, iterator=True, obey_rate_limit=False)
            return [dict(one) for one in found]

    def _hear(self, answer: requests.Response, *_: object, **__: object) -> None:
        said = answer.headers.get("Retry-After", "")
        self._wait = float(said) if answer.status_code == 429 and said.isdigit() else None

    @contextmanager
    def _asking(self, what: str, *, writes: bool = False) -> Iterator[None]:
        """Map whatever goes wrong to what it means; of a read that was not answered nothing is unsure."""
        url = self._access.url
        try:
            yield
        except (GitlabHttpError, GitlabAuthenticationError) as exc:
            raise self._refusal(exc, what, writes) from exc
        except (RedirectError, GitlabParsingError, KeyError, TypeError, ValueError) as exc:
            raise GitLabUnsure(
                f"{url} answered nothing that GitLab's API would ({type(exc).__name__}), asked for {what}.",
                _FIX_URL,
            ) from exc
        except requests.exceptions.SSLError as exc:
            raise GitLabRefused(
                f"The certificate of {url} is not trusted.", "Set gitlab.ca_file to the authority that signed it."
            ) from exc
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL, OSError) as exc:
            if isinstance(exc, OSError) and not isinstance(exc, requests.RequestException):
                raise GitLabRefused(f"{url} cannot be asked: {exc}.", "Check gitlab.ca_file and its rights.") from exc
            why = (
                "gave no answer in time"
                if isinstance(exc, requests.Timeout)
                else "is away, or broke the connection off"
            )
            raise GitLabUnsure(f"{url} {why}, asked for {what}.", "It is asked again.") from exc
        except GitlabError as exc:  # an error of its own kind that a later version may add
            raise GitLabUnsure(
                f"{url} could not be asked for {what}: {type(exc).__name__}.", "It is asked again."
            ) from exc

    def _refusal(self, exc: GitlabError, what: str, writes: bool) -> GitLabError:
        status, said = exc.response_code or 0, _words(exc.error_message)
        url, wait = self._access.url, self._wait
        match status:
            case 401:
                fix = "Make a new access token with the scope api, and set gitlab.token."
                return GitLabRefused(f"{url} does not take the token ({said}).", fix, status)
            case 403:
                fix = "Give the token the scope api, and its user the role Reporter in the project."
                return GitLabRefused(f"{url} refuses {what} ({said}).", fix, status)
            case 404:
                fix = "Correct gitlab.project or the route, or make the token's user a member."
                return GitLabGone(
                    f"{url} has nothing to show for {what} ({said}).", _FIX_URL if what in _ITSELF else fix
                )
            case 429:
                return GitLabRefused(f"{url} is asked too often ({said}).", "It is asked again later.", status, wait)
            case _ if 300 <= status < 400:
                fix = "Set gitlab.url to the address that GitLab itself has; the token is sent to no other."
                return GitLabRefused(f"{url} sends whoever asks for {what} to another host.", fix, status)
            case _ if 400 <= status < 500:
                return GitLabRefused(f"{url} refuses {what} ({said}).", "Correct what it says.", status)
        return GitLabUnsure(f"{url} failed with {status}, asked for {what}.", "It is asked again.")


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise TypeError("no JSON object")
    return answer


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _issue(its: dict[str, Any]) -> Issue:
    assignees = its.get("assignees") or []
    return Issue(
        id=its["id"],
        iid=its["iid"],
        project_id=its["project_id"],
        title=its["title"],
        description=its.get("description") or "",
        is_open=its["state"] != "closed",
        web_url=its["web_url"],
        author=(its.get("author") or {}).get("username") or "",
        created_at=_time(its["created_at"]),
        updated_at=_time(its["updated_at"]),
        labels=tuple(its.get("labels") or ()),
        assignee=assignees[0]["username"] if assignees else "",
        closed_at=_time(its["closed_at"]) if its.get("closed_at") else None,
        closed_by=(its.get("closed_by") or {}).get("username") or "",
        moved_to=its.get("moved_to_id"),
        confidential=bool(its.get("confidential")),
    )


def _note(its: dict[str, Any]) -> Note:
    author = its.get("author") or {}
    return Note(
        its["id"], its["body"], author.get("username") or "", author.get("id") or 0, _time(its["created_at"]),
        bool(its.get("system")),
    )  # fmt: skip


_NEEDED = {
    "issues_events": "issues", "confidential_issues_events": "confidential issues", "note_events": "comments",
    "confidential_note_events": "confidential comments",
}  # fmt: skip


def _webhook(its: dict[str, Any]) -> Webhook:
    until = its.get("disabled_until")
    missing = tuple(words for name, words in _NEEDED.items() if its.get(name) is False)
    return Webhook(
        its["url"],
        its.get("alert_status") or "",
        _time(until) if until else None,
        missing,
        its.get("signing_token_present"),
    )


def _words(message: object) -> str:
    """Return GitLab's own words of a refusal, which come as a text, a list or lists by field; one line, not long."""
    if isinstance(message, bytes):
        message = message.decode("utf-8", "replace")
    if isinstance(message, dict):
        message = "; ".join(f"{name} {_words(its)}" for name, its in message.items())
    if isinstance(message, str) and message.lstrip()[:1] == "<":
        return "a page in place of an answer"
    if isinstance(message, list):
        message = ", ".join(_words(one) for one in message)
    return " ".join(str(message).split())[:200]
