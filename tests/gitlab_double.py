"""A GitLab for tests: stateful, over real HTTP on loopback, each request and answer checked against a contract.

    with FakeGitLab() as fake:
        project = fake.project("data/dags", {"bot": MAINTAINER})
        client = fake.client("bot")            # python-gitlab; any other client with fake.url and fake.token("bot")
        fake.faults.add(refusal(502, "after", method="POST", path="/issues$", nth=1))
        fake.do("anna", "PUT", f"/projects/{project.id}/issues/1", {"state_event": "close"})   # a person, past all faults

A violation of the contract is in `fake.errors`, whatever the client made of it; leaving the block raises on any.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import gitlab

# Each of them registers its routes.
from tests import gitlab_issues, gitlab_lists, gitlab_notes, gitlab_projects, gitlab_repository, gitlab_threads  # noqa: F401
from tests.gitlab_calls import ROUTES, Answer, Call, Refused
from tests.gitlab_contract import Contract, matched
from tests.gitlab_faults import MESSAGES, Entry, Fault, Faults, Request
from tests.gitlab_hooks import Hooks
from tests.gitlab_issues import moved, saved, turned
from tests.gitlab_state import MAINTAINER, Deployment, Issue, Lag, MergeRequest, Note, Project, State, Token, User
from tests.gitlab_text import Effect, effects

API = "/api/v4"


class FakeGitLab:
    """One GitLab. What a test may set is public; `state` holds what GitLab would keep in its database."""

    def __init__(
        self,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        root: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Make one; `root` is the path below which it lies (a relative URL root), `tls` what it proves itself with."""
        self.root, self.tls = root, tls
        self.now = clock
        self.born = clock()
        self.state = State(clock)
        self.faults = Faults()
        self.hooks = Hooks(self)
        self.errors: list[str] = []
        self.acted: list[Effect] = []  # quick actions that ran
        self.effects: list[Effect] = []  # mentions, references, images… that took effect when a text was shown
        self.quick_action_rule = "new"
        self.free_tier = True
        self.has_keyset = True  # before 18 a list of issues goes by offset, whatever was asked for
        self.version = "19.5.0-ee"
        self.web_urls = "issues"  # or `work_items`, what they may become
        self.lag: Lag | None = None  # a replica that is behind at every list
        self.lagging_reads = False  # … and when one issue is read, too (as a Lag may say for itself)
        self.url = ""
        self._contract = Contract()
        self._lock = threading.RLock()
        self._server: _Server | None = None
        self._port = 0
        self.ended = threading.Event()

    # Its life: up, down, up again on the same port.

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self.stop()
        if kind is None:
            assert self.errors == [], "the contract with GitLab was violated"

    def start(self) -> None:
        self._server = _Server(self, self._port)
        self._port = self._server.server_address[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._port}{self.root}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and cut those that are open."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut()
            self._server = None

    @contextmanager
    def down(self) -> Iterator[None]:
        """Be away meanwhile: connections are refused."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    # What there is.

    def user(self, name: str, *, bot: bool = False, **token: Any) -> User:
        """Return the user of a name, made with a token where there was none."""
        with self._lock:
            found = self.state.user_named(name)
            if found is None:
                found = User(self.state.new_id(), name, name.title(), bot)
                self.state.users[found.id] = found
                self.state.tokens[self.token(name)] = Token(found.id, **token)
            return found

    @staticmethod
    def token(name: str) -> str:
        return f"glpat-{name}"

    def grant(self, name: str, **token: Any) -> str:
        """Give a user's token other scopes or an end (`scopes`, `expires_at`, `revoked`), and return it."""
        self.state.tokens[self.token(name)] = Token(self.user(name).id, **token)
        return self.token(name)

    def project(self, path: str, members: Mapping[str, int] | None = None, **more: Any) -> Project:
        """Make a project; `members` maps names to roles (`bot` a Maintainer by default)."""
        with self._lock:
            roles = {self.user(name).id: role for name, role in (members or {"bot": MAINTAINER}).items()}
            made = Project(self.state.new_id(), path, roles, **more)
            self.state.projects[made.id] = made
            return made

    def client(self, name: str = "bot", **more: Any) -> gitlab.Gitlab:
        """Return python-gitlab as a user, with a timeout, without its own retries of transient errors."""
        settings = {"timeout": 5, "retry_transient_errors": False} | more
        return gitlab.Gitlab(self.url, private_token=self.token(name), **settings)

    def issues(self, project: Project | None = None) -> list[Issue]:
        """Return all issues, or a project's, by id, as they are stored."""
        with self._lock:
            rows = self.state.rows("issue").values()
            return [issue for issue in rows if project in (None, self.state.projects[issue.project])]

    def notes(self, issue: Issue) -> list[Note]:
        with self._lock:
            return self.state.notes_of(issue.id)

    def merge_request(
        self, project: Project, author: str, title: str, source: str, *, merged_by: str | None = None, **more: Any
    ) -> MergeRequest:
        """Make a merge request; `merged_by` says that it is merged, and by whom."""
        with self._lock:
            now, user = self.now(), self.user(author)
            project.last_merge_request += 1
            values = {"target_branch": project.default_branch} | more
            made = MergeRequest(
                self.state.new_id(), project.last_merge_request, project.id, user.id, title, source,
                created_at=now, updated_at=now, **values,
            )  # fmt: skip
            if merged_by is not None:
                made = replace(made, state="merged", merged_at=now, merged_by=self.user(merged_by).id)
            self.hooks.merge_request(user, made, "merge" if merged_by else "open")
            self.state.put("merge_request", made)
            if merged_by is not None and made.target_branch == project.default_branch:
                self._closed_by(made, project, merged_by)
            return made

    def _closed_by(self, merged: MergeRequest, project: Project, name: str) -> None:
        """Close what a merge request closes, as GitLab does at once when it is merged into the default branch."""
        call = self._call(name)
        for iid in merged.closes:
            issue = self.state.issue_of(project.id, iid)
            if issue is not None and issue.state == "opened":
                saved(call, issue, turned(call, issue, "close"))

    def deployment(
        self, project: Project, user: str, environment: str, sha: str, status: str = "success"
    ) -> Deployment:
        with self._lock:
            now, id = self.now(), self.state.new_id()
            made = Deployment(
                id, id, project.id, self.user(user).id, environment, sha, project.default_branch, status, now,
                now if status in ("success", "failed", "canceled") else None,
            )  # fmt: skip
            self.hooks.deployment(self.user(user), made)
            return self.state.put("deployment", made)

    def do(self, name: str, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Do something as a user, in this process, past all faults; return the body, or raise AssertionError if refused."""
        self.user(name)
        headers = {"PRIVATE-TOKEN": self.token(name)}
        answer = self.handle(Request(0, method, path, tuple(query.items()), headers, body))
        assert answer.status < 400, answer.body
        return answer.body

    def move(self, issue: Issue, target: Project, by: str) -> Issue:
        """Move an issue, as a user."""
        with self._lock:
            return moved(self._call(by), issue, target)

    def rename(self, project: Project, path: str) -> None:
        """Give a project another path; the former one leads readers on."""
        with self._lock:
            project.former = (*project.former, project.path.lower())
            project.path = path

    def change(self, issue: Issue, by: str, **fields: Any) -> Issue:
        """Change any stored field of an issue, as a user, even what no endpoint offers."""
        with self._lock:
            return saved(self._call(by), issue, replace(issue, **fields))

    def _call(self, name: str) -> Call:
        user = self.user(name)
        return Call(self, Request(0, "PUT", "", (), {}), user, self.state.tokens[self.token(name)], {})

    def shown(self, text: str, where: str, title: bool = False) -> None:
        """Note what a text does when it is shown."""
        self.effects += effects(text, where, title)

    def system_note(self, issue: Issue, author: int, text: str) -> None:
        now = self.now()
        self.state.put("note", Note(self.state.new_id(), issue.id, author, text, now, now, system=True))

    # A request.

    def handle(self, request: Request, lag: Lag | None = None) -> Answer:
        """Answer a request, checked on both sides of the contract."""
        found = self.checked(request)
        if isinstance(found, Answer):
            return found
        request, template, params = found
        with self._lock:
            self.state.request += 1
            try:
                answer = self._answered(request, template, params, lag)
            except Refused as refused:
                answer = refused.answer
            except Exception:
                self._violated(request, f"the double itself broke: {traceback.format_exc()}")
                answer = Answer(500, MESSAGES[500])
        body = json.loads(json.dumps(answer.body))
        for words in self._contract.answer(request.method, template, answer.status, body):
            self._violated(request, f"answer {answer.status}: {words}")
        return answer

    def checked(self, request: Request) -> tuple[Request, str, dict[str, str]] | Answer:
        """Hold a request against the contract, also one that a fault keeps from being carried out."""
        found = matched(request.method, request.path)
        if found is None:
            self._violated(request, "no such endpoint in the contract")
            return Answer(404, {"error": "404 Not Found"})
        template, params = found
        # GitLab repeats the path's parameters in the query of its Link headers; so they come back.
        repeated = set(params.values())
        query = tuple(p for p in request.query if p[0] not in ("id", "issue_iid") or p[1] not in repeated)
        wrong = self._contract.request(request.method, template, list(query), request.body)
        if wrong:
            self._violated(request, *wrong)
            return Answer(400, {"error": "; ".join(wrong)})
        return replace(request, query=query), template, params

    def _answered(self, request: Request, template: str, params: dict[str, str], lag: Lag | None) -> Answer:
        token = self.state.tokens.get(_secret(request.headers))
        if token is None or token.revoked:
            raise Refused(401, "401 Unauthorized")
        if token.expires_at is not None and token.expires_at <= self.now():
            raise Refused(401, "invalid_token", "error")
        if "api" not in token.scopes and (request.writes or "read_api" not in token.scopes):
            raise Refused(403, "insufficient_scope", "error")
        listed = not template.endswith("{iid}") or self.lagging_reads or (lag is not None and lag.of_one)
        behind = (lag or self.lag) if listed and not request.writes and request.number else None
        call = Call(self, request, self.state.users[token.user], token, params, behind)
        answer = ROUTES[request.method, template](call)
        return answer if isinstance(answer, Answer) else Answer(200, answer)

    def _violated(self, request: Request, *words: str) -> None:
        query = f"?{urlencode(request.query)}" if request.query else ""
        with self._lock:
            self.errors += [f"{request.method} {request.path}{query}: {each}" for each in words]


def _secret(headers: Mapping[str, str]) -> str:
    found = {name.lower(): value for name, value in headers.items()}
    return found.get("private-token") or found.get("authorization", "").removeprefix("Bearer ")


class _Server(ThreadingHTTPServer):
    """The socket. Knows its open connections, so that they can be cut."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, fake: FakeGitLab, port: int) -> None:
        self.fake = fake
        self._open: set[socket.socket] = set()
        self._numbers = iter(range(1, 1 << 62))
        super().__init__(("127.0.0.1", port), _Handler)

    def number(self) -> int:
        return next(self._numbers)

    def get_request(self) -> Any:
        connection, address = super().get_request()
        if self.fake.tls is not None:
            connection = self.fake.tls.wrap_socket(connection, server_side=True)
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away meanwhile; anything else is a fault of the double."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.fake.errors.append(f"the double itself broke: {error!r}")

    def cut(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads a request, lets the faults have their way, writes the answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        fake = self.server.fake
        split = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(
            self.server.number(),
            self.command,
            split.path.removeprefix(fake.root).removeprefix(API),
            tuple(parse_qsl(split.query, keep_blank_values=True)),
            dict(self.headers),
            json.loads(body) if body else None,
        )
        fault = fake.faults.pick(request)
        if fault is None:
            self._end(request, fake.handle(request), True)
        else:
            self._spoilt(fake, request, fault)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def _spoilt(self, fake: FakeGitLab, request: Request, fault: Fault) -> None:
        if fault.kind == "slow":
            fake.ended.wait(fault.seconds)
        if fault.act is not None and fault.when == "before":
            fault.act()
        committed = fault.when == "after" or fault.kind in ("slow", "stale", "duplicate", "meanwhile")
        answer = Answer(0)
        if committed:
            answer = fake.handle(request, fault.lag if fault.kind == "stale" else None)
        else:
            fake.checked(request)
        if fault.act is not None and fault.when == "after":
            fault.act()
        if fault.kind == "duplicate":
            answer = fake.handle(request)
        if fault.kind in ("cut", "hang"):
            fake.faults.note(Entry(request, None, committed, fault.name))  # now: a client gives up before a hang ends
            fake.ended.wait((fault.seconds or 30) if fault.kind == "hang" else 0)
            self._cut()
            return
        if fault.kind == "status":
            body = fault.body if fault.body is not None else MESSAGES.get(fault.status, {"message": str(fault.status)})
            answer = Answer(fault.status, body, fault.headers)
        self._end(request, answer, committed, fault.name)

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _end(self, request: Request, answer: Answer, committed: bool, fault: str | None = None) -> None:
        self.server.fake.faults.note(Entry(request, answer.status, committed, fault))
        text = isinstance(answer.body, str)
        content = answer.body.encode() if text else b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        headers = {
            "Content-Type": "text/plain" if text else "application/json",
            "RateLimit-Limit": "2000",
            "RateLimit-Observed": str(request.number % 2000),
            "RateLimit-Remaining": str(2000 - request.number % 2000),
            "RateLimit-Reset": str(int(self.server.fake.now().timestamp()) + 60),
            "RateLimit-Name": "throttle_authenticated_api",
        }
        for name, value in (headers | answer.headers).items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(content if self.command != "HEAD" else b"")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing; the log is in `faults`."""
