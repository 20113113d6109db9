"""GitLab over its REST API: the adapter behind `issues.Issues` and `suspects.History`, and the only file that speaks python-gitlab.

Owns how GitLab is asked (once, with a time-out, no waiting inside) and what each of its refusals means for an operator.
Asks by path rather than through python-gitlab's objects: those drop parameters and send stray ones without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urljoin

import gitlab
import requests
from gitlab.exceptions import GitlabAuthenticationError, GitlabError, GitlabHttpError, GitlabParsingError, RedirectError

from triage import gitlab_answers, links
from triage.errors import GitLabError, GitLabGone, GitLabRefused, GitLabUnsure
from triage.issues import Desk, Draft, Fix, Issue, Note, Token, Turn, Webhook
from triage.suspects import Commit, MergeRequest, Span

_T = TypeVar("_T")
_PAGE = 100  # GitLab's most
# Seconds in which GitLab takes a connection, or not: what is sent later than that could come in after the look for it.
_CONNECT = 10.0
# What a proxy answers that waited for GitLab, or whose client went: nobody knows whether it was done.
_TIMED_OUT = (408, 499)
# What every GitLab answers: where it is not there, the address is another's.
_ITSELF = ("who the token belongs to", "its version")
_ON_THE_WAY = (requests.exceptions.ProxyError, requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL)
_FIX_URL = "Correct gitlab.url: it is the address of GitLab's page, without /api."


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a GitLab: its address, a token with the scope api, and how long one answer may take, in seconds."""

    url: str
    token: str
    ca_file: str = ""
    timeout: float = 20.0


class _Session(requests.Session):
    """Waits for no connection for long, and follows no redirect to another host: requests would take the token along."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if isinstance(timeout := kwargs.get("timeout"), int | float):
            kwargs["timeout"] = (min(timeout, _CONNECT), timeout)
        return super().send(request, **kwargs)

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
        who, bot = self._get("/user", _ITSELF[0], lambda me: (int(me["id"]), str(me["username"])))
        return self._get(
            f"/projects/{quote(project, safe='')}",
            f"the project {project}",
            lambda its: gitlab_answers.desk(its, project, bot, who),
        )

    def version(self) -> str:
        """Return which GitLab it is."""
        return self._get("/version", _ITSELF[1], lambda its: str(its["version"]))

    def token(self) -> Token:
        """Return what our token may do and how long; GitLabRefused or GitLabGone where its kind tells nothing of itself."""
        return self._get("/personal_access_tokens/self", "the token itself", gitlab_answers.token)

    def webhooks(self, project: str) -> list[Webhook]:
        """Return the webhooks of a project; GitLabRefused below the role Maintainer."""
        path, what = f"{self._at(project)}/hooks", f"the webhooks of {project}"
        return self._list(path, {"per_page": _PAGE}, what, gitlab_answers.webhook)

    def role(self, project: str, user: int) -> int:
        """Return the role of a user in a project, inherited ones included; 0 for whoever is no member."""
        try:
            return self._get(
                f"{self._at(project)}/members/all/{user}", f"the member {user} of {project}", gitlab_answers.role
            )
        except GitLabGone:
            return 0

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
        return self._get(f"{self._at(project)}/issues/{iid}", f"the issue #{iid} of {project}", gitlab_answers.issue)

    def moved(self, issue: Issue) -> Issue | None:
        around, at = timedelta(minutes=1), issue.created_at
        query: dict[str, Any] = {
            "scope": "all", "state": "all", "per_page": _PAGE,
            "created_after": (at - around).isoformat(), "created_before": (at + around).isoformat(),
        }  # fmt: skip
        if issue.author:
            query["author_username"] = issue.author
        found = self._list("/issues", query, "issues of all projects", gitlab_answers.issue)
        return next((one for one in found if one.id == issue.moved_to), None)

    def open(self, project: str, draft: Draft) -> Issue:
        body: dict[str, Any] = {"title": draft.title, "description": draft.description, "labels": list(draft.labels)}
        if draft.confidential:
            body["confidential"] = True
        if draft.assignee_id is not None:
            body["assignee_ids"] = [draft.assignee_id]
        with self._asking(f"a new issue in {project}", writes=True):
            made = self._client.http_post(f"{self._at(project)}/issues", post_data=body, obey_rate_limit=False)
            return gitlab_answers.issue(_object(made))

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
            return gitlab_answers.issue(_object(self._client.http_put(path, post_data=body, obey_rate_limit=False)))

    def notes(self, project: str, iid: int, after: int = 0) -> list[Note]:
        """Newest first from GitLab, so that few of many comments are read; a comment's id only ever grows."""
        found: list[Note] = []
        query: dict[str, Any] = {"order_by": "created_at", "sort": "desc", "per_page": _PAGE}
        what = f"the comments of the issue #{iid} of {project}"
        with self._asking(what):
            path = f"{self._at(project)}/issues/{iid}/notes"
            for one in self._rows(path, query):
                if one["id"] <= after:
                    break
                found.append(gitlab_answers.note(one))
        return found[::-1]

    def comment(self, project: str, iid: int, body: str) -> Note:
        with self._asking(f"a comment on the issue #{iid} of {project}", writes=True):
            path = f"{self._at(project)}/issues/{iid}/notes"
            return gitlab_answers.note(
                _object(self._client.http_post(path, post_data={"body": body}, obey_rate_limit=False))
            )

    def turns(self, project: str, iid: int) -> list[Turn]:
        path = f"{self._at(project)}/issues/{iid}/resource_state_events"
        found = self._list(
            path, {"per_page": _PAGE}, f"the history of the issue #{iid} of {project}", gitlab_answers.turn
        )
        return sorted((turn for turn in found if turn), key=lambda turn: turn.at)

    def fixes(self, project: str, iid: int) -> list[Fix]:
        what = f"the merge requests that close the issue #{iid} of {project}"
        found = self._list(f"{self._at(project)}/issues/{iid}/closed_by", {"per_page": _PAGE}, what, gitlab_answers.fix)
        return sorted((fix for fix in found if fix), key=lambda fix: fix.merged_at)

    def holds(self, project: int, later: str, commit: str) -> bool | None:
        query = {"refs[]": [commit, later]}
        what = f"the common past of {commit} and {later} in the project {project}"
        try:
            with self._asking(what):
                where = f"/projects/{project}/repository/merge_base"
                base = _object(self._client.http_get(where, query_data=query, obey_rate_limit=False))
                return bool(base["id"] == commit)
        except GitLabGone:
            return None
        except GitLabRefused as exc:
            if exc.status not in (400, 403):
                raise
            return None  # no commit of that repository, or a repository that is not for us

    def user(self, name: str) -> int | None:
        found = self._list("/users", {"username": name}, f"the user {name}", lambda its: int(its["id"]))
        return found[0] if found else None

    def commits(self, span: Span) -> list[Commit]:
        project = self._project_at(span.repository)
        if not project:
            return []
        query = {"ref_name": f"{span.good}..{span.bad}", "path": span.path, "per_page": _PAGE}
        return self._list(
            f"{self._at(project)}/repository/commits", query, f"the commits of {project}", gitlab_answers.commit
        )

    def renamed_from(self, repository: str, sha: str, path: str) -> str:
        project = self._project_at(repository)
        if not project:
            return ""
        where = f"{self._at(project)}/repository/commits/{sha}/diff"
        with self._asking(f"the changes of {sha} in {project}"):
            rows = islice(self._rows(where, {"per_page": _PAGE}), _PAGE)
            former = (one["old_path"] for one in rows if one["renamed_file"] and one["new_path"] == path)
            return str(next(former, ""))

    def merge_requests(self, repository: str, sha: str) -> list[MergeRequest]:
        project = self._project_at(repository)
        path = f"{self._at(project)}/repository/commits/{sha}/merge_requests"
        if not project:
            return []
        return self._list(path, {"per_page": _PAGE}, f"the merge requests of {project}", gitlab_answers.merge_request)

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
        return self._list(f"{self._at(project)}/issues", query, f"the issues of {project}", gitlab_answers.issue)

    def _get(self, path: str, what: str, read: Callable[[dict[str, Any]], _T]) -> _T:
        with self._asking(what):
            return read(_object(self._client.http_get(path, obey_rate_limit=False)))

    def _list(self, path: str, query: dict[str, Any], what: str, read: Callable[[dict[str, Any]], _T]) -> list[_T]:
        with self._asking(what):
            return [read(_object(one)) for one in self._rows(path, query)]

    def _rows(self, path: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a list, page by page.

        What leads on stands in the header Link. A proxy that drops it would make the first page all there is, so after a
        full one the next is asked for by its number.
        """
        seen, last = 0, None
        for one in self._client.http_list(path, query_data=query, iterator=True, obey_rate_limit=False):
            seen, last = seen + 1, one
            yield one
        query = {name: value for name, value in query.items() if name != "pagination"}
        while seen and seen % _PAGE == 0 and seen != len(query.get("iids[]", ())):
            query["page"] = seen // _PAGE + 1
            page = self._client.http_list(path, query_data=query, get_all=False, obey_rate_limit=False)
            if not isinstance(page, list) or not page or page[-1] == last:
                return  # the end, or a server that knows no numbers
            seen, last = seen + len(page), page[-1]
            yield from page

    def _hear(self, answer: requests.Response, *_: object, **__: object) -> None:
        said = answer.headers.get("Retry-After", "")
        self._wait = _seconds(said, answer.headers.get("Date", "")) if answer.status_code == 429 else None

    @contextmanager
    def _asking(self, what: str, *, writes: bool = False) -> Iterator[None]:
        """Map whatever goes wrong to what it means; of a read that was not answered nothing is unsure."""
        url = self._access.url
        try:
            yield
        except (GitlabHttpError, GitlabAuthenticationError) as exc:
            raise self._refusal(exc, what, writes) from exc
        except _ON_THE_WAY as exc:  # the address itself was checked with the settings
            raise GitLabUnsure(
                f"{url} is not reached through the proxy that the environment names, asked for {what}.",
                "Correct HTTPS_PROXY or HTTP_PROXY, or name GitLab's host in NO_PROXY.",
            ) from exc
        except (RedirectError, GitlabParsingError, KeyError, TypeError, ValueError) as exc:
            raise GitLabUnsure(
                f"{url} answered nothing that GitLab's API would ({type(exc).__name__}), asked for {what}.",
                _FIX_URL,
            ) from exc
        except requests.exceptions.SSLError as exc:
            if "NO_CERTIFICATE" in str(exc):
                raise GitLabRefused(f"{self._access.ca_file} holds no certificate.", "Correct gitlab.ca_file.") from exc
            if "CERTIFICATE_VERIFY_FAILED" not in str(exc):  # it may break off after what was asked was heard
                raise GitLabUnsure(f"{url} broke TLS off, asked for {what}.", "It is asked again.") from exc
            raise GitLabRefused(
                f"The certificate of {url} is not trusted.", "Set gitlab.ca_file to the authority that signed it."
            ) from exc
        except OSError as exc:
            if not isinstance(exc, requests.RequestException | ConnectionError | TimeoutError):
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
            case _ if 400 <= status < 500 and status not in _TIMED_OUT:
                return GitLabRefused(f"{url} refuses {what} ({said}).", "Correct what it says.", status)
        return GitLabUnsure(f"{url} failed with {status}, asked for {what}.", "It is asked again.")


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise TypeError("no JSON object")
    return answer


def _seconds(said: str, at: str) -> float | None:
    """Return how long a header Retry-After asks to wait, in seconds: a number of them, or a date as that of the answer is.

    None where it says neither.
    """
    if said.isascii() and said.isdecimal():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - parsedate_to_datetime(at)).total_seconds())
    except (ValueError, TypeError):  # one of them without its zone is a TypeError
        return None


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
