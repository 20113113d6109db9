"""A conversation with one Airflow: log in, ask, and say in one sentence what went wrong.

The only module that imports `airflow_client`, and that only at the first question, so that it costs nothing at start
and nothing open crosses a fork. Hides tokens and their renewal, time-outs, retries of connections, half answers and
web pages in place of answers. Returns plain JSON: the client's typed models drop fields and break on other versions.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from urllib3 import HTTPResponse, Retry, exceptions

from collector.airflow import tokens
from collector.airflow.deadline import POOLS, within
from collector.airflow.oddities import Oddities
from collector.airflow.proxy import Proxy
from collector.airflow.tokens import Tokens
from collector.airflow.words import Endpoint, Words, is_stale_token, is_unknown, told
from triage.errors import LogGone, SourceError
from triage.links import home

LOGIN = Endpoint("auth/token")
NDJSON = "application/x-ndjson"

_LONGEST_BODY = 64 << 20  # a page of 100 task instances is about 120 kB
_CHUNK = 65536
_SLOWEST = 100_000  # bytes of log in a second below which a log is given up once its time-out is over
_our_time = time.time  # noqa: TID251 - what the server's clock is measured against
_CLOCK_SET = 5.0  # seconds; more than a busy server's header is ever behind


@dataclass(frozen=True)
class Access:
    """How to reach a deployment: address, one of account, token and token_command (or none), headers, time-outs in s.

    `learn` is told every token that is made.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    token_command: tuple[str, ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str = ""
    proxy: str = field(default="", repr=False)
    learn: Callable[[str], None] = field(default=lambda token: None, repr=False, compare=False)
    connect_timeout: float = 3.05
    timeout: float = 30.0
    log_timeout: float = 180.0


class _Answer:
    """A response whose headers are here; its body is read once, when asked for."""

    def __init__(self, response: HTTPResponse, timeout: float) -> None:
        self.response = response
        self.status = response.status
        self._timeout = timeout
        self._body: dict[str, Any] | None = None
        self._is_read = False

    def json(self) -> dict[str, Any] | None:
        """Read the whole body; None unless it is one JSON object. Raises what urllib3 raises, and TimeoutError."""
        if not self._is_read:
            try:
                with within(self.response.shutdown, self._timeout):
                    data = self.response.read(_LONGEST_BODY, decode_content=True)
                if len(data) < _LONGEST_BODY:
                    self.response.release_conn()
                else:
                    self.response.close()
            except BaseException:
                self.response.close()
                raise
            self._is_read = True
            try:
                body = json.loads(data)
            except (ValueError, RecursionError):
                body = None
            self._body = body if isinstance(body, dict) else None
        return self._body


class Session:
    """A conversation with one deployment, usable from several threads. Connects at the first question."""

    def __init__(self, deployment: str, access: Access) -> None:
        self.deployment = deployment
        self.access = access
        self.url = home(access.url)
        self.words = Words(deployment, self.url)
        self.oddities = Oddities(self.words)
        self._lock = threading.RLock()
        self._client: Any = None
        self._tokens = self._make_tokens()
        self._offset: float | None = None

    @property
    def offset(self) -> float | None:
        """The server's clock minus ours in seconds; None before the first answer. Better with each answer, to 0.1 s."""
        return self._offset

    @property
    def now(self) -> datetime:
        """The server's clock; ours before the first answer."""
        return datetime.fromtimestamp(_our_time() + (self._offset or 0.0), UTC)

    def authenticate(self) -> None:
        """Have a token for Airflow 3, if there is an account or a program to get one; raises as asking does."""
        self._connect()
        self._tokens.get()

    def answer(self, endpoint: Endpoint, **arguments: Any) -> tuple[int, Mapping[str, str], dict[str, Any] | None]:
        """Ask, and return status, headers and the JSON object of whatever is answered; None if it is no such object."""
        answer = self._ask(endpoint, self.access.timeout, "application/json", **arguments)
        with self._words(endpoint, self.access.timeout):
            return answer.status, answer.response.headers, answer.json()

    def json(self, endpoint: Endpoint, **arguments: Any) -> dict[str, Any] | None:
        """Ask, and return the JSON object answered, or None for a 404 that Airflow itself answered.

        Raises SourceForbidden for a missing permission and SourceError for anything else an operator can fix.
        """
        status, headers, body = self.answer(endpoint, **arguments)
        if is_unknown(status, body):
            return None
        if body is not None and status == 200:
            return body
        raise self.refused(endpoint, status, headers, body)

    def stream(self, endpoint: Endpoint, *, kind: str = NDJSON, **arguments: Any) -> Iterator[bytes]:
        """Ask for a content type and yield its bytes as they come, at most 64 KiB at a time.

        Raises LogGone for a 404 that Airflow itself answered, SourceError for trouble: an answer without a single byte
        (so does 3.x say that its storage is away), one broken off in the middle, a web page. Close it to stop early.
        """
        answer = self._ask(endpoint, self.access.log_timeout, kind, **arguments)
        if answer.status != 200 or kind not in answer.response.headers.get("Content-Type", ""):
            with self._words(endpoint, self.access.log_timeout):
                body = answer.json()
            if is_unknown(answer.status, body):
                raise LogGone(f"{self.deployment}: Airflow knows no such try: {told(body)}.")
            raise self.refused(endpoint, answer.status, answer.response.headers, body)
        size = 0
        try:
            timeout = self.access.log_timeout
            with self._words(endpoint, timeout), within(answer.response.shutdown, timeout) as deadline:
                for chunk in answer.response.stream(_CHUNK, decode_content=True):
                    size += len(chunk)
                    deadline.at += len(chunk) / _SLOWEST
                    yield chunk
            answer.response.release_conn()
        finally:
            # Nothing is left to close after a whole answer; after half a one the connection is of no more use.
            answer.response.close()
        if not size:
            raise self.words.empty(endpoint)

    def _ask(self, endpoint: Endpoint, timeout: float, accept: str, **arguments: Any) -> _Answer:
        """Ask with a valid token; when it is refused, get a new one and ask once more.

        An account has a token in Airflow 3 alone, and must not ask for one before that is known: `is_open` is how.
        """
        self._connect()
        if self.access.username and (endpoint.path or endpoint.is_open):
            return self._once(endpoint, timeout, accept, "" if endpoint.is_open else self._basic(), arguments)
        used = self._tokens.get()
        answer = self._once(endpoint, timeout, accept, _bearer(used), arguments)
        if self._is_refused(answer) and (fresh := self._tokens.get(refused=used)) != used:
            answer = self._once(endpoint, timeout, accept, _bearer(fresh), arguments)
            if self._is_refused(answer):
                self._tokens.useless()
        return answer

    def _is_refused(self, answer: _Answer) -> bool:
        if answer.status not in (401, 403):
            return False
        with self._words(LOGIN, self.access.timeout):
            return is_stale_token(answer.status, answer.json())

    def refused(
        self, endpoint: Endpoint, status: int, headers: Mapping[str, str], body: dict[str, Any] | None
    ) -> SourceError:
        """Say what an answer means that is no answer to our question."""
        if is_stale_token(status, body):
            end = tokens.expiry(self.access.token)
            expired_at = end if end and end <= self.now else None
            return self.words.unknown(endpoint, status, body, self._credential, expired_at)
        return self.words.refused(endpoint, status, headers, body)

    def _once(
        self, endpoint: Endpoint, timeout: float, accept: str, credential: str, arguments: dict[str, Any]
    ) -> _Answer:
        import airflow_client.client as airflow_client

        # With each question, not in the client's configuration: threads would change it for each other.
        headers = {"Accept": accept, "Accept-Encoding": "gzip"}
        if credential:
            headers["Authorization"] = credential
        patience = (self.access.connect_timeout, timeout)

        def send() -> HTTPResponse:
            if endpoint.path:
                return self._by_path(endpoint, headers, patience, arguments)
            api = getattr(airflow_client, endpoint.api)(self._client)
            ask = getattr(api, f"{endpoint.method}_without_preload_content")
            return ask(**arguments, _request_timeout=patience, _headers=headers)  # type: ignore[no-any-return]

        with self._words(endpoint, timeout):
            try:
                response = send()
            except exceptions.HTTPError as exc:
                if not _is_hung_up(exc):
                    raise
                response = send()
        self._note_clock(response)
        return _Answer(response, timeout)

    def _by_path(
        self, endpoint: Endpoint, headers: dict[str, str], patience: tuple[float, float], arguments: dict[str, Any]
    ) -> HTTPResponse:
        """Ask at a path; what it does not name is the body or the query, where a list repeats its name."""
        inside = {name: value for name, value in arguments.items() if f"{{{name}}}" in endpoint.path}
        outside = {name: value for name, value in arguments.items() if name not in inside}
        if endpoint.is_posted:
            headers = {**headers, "Content-Type": "application/json"}
            asked = self._client.param_serialize("POST", endpoint.path, inside, [], headers, outside)
        else:
            query = [
                (name, one)
                for name, value in outside.items()
                for one in (value if isinstance(value, list) else [value])
            ]
            asked = self._client.param_serialize("GET", endpoint.path, inside, query, headers)
        method, url, headers, body, _ = asked
        response: HTTPResponse = self._client.call_api(method, url, headers, body, _request_timeout=patience).response
        return response

    def _basic(self) -> str:
        account = f"{self.access.username}:{self.access.password}".encode()
        return f"Basic {base64.b64encode(account).decode()}"

    def _connect(self) -> None:
        with self._lock:
            if self._client is not None:
                return
            self.words.check(self.access.url, self.access.ca_file)
            from airflow_client.client import ApiClient, Configuration
            from airflow_client.client.rest import should_bypass_proxies

            # A connection may be tried again; a question that was sent may not: the server works on regardless.
            retries = Retry(connect=3, read=0, status=0, other=0, redirect=False, backoff_factor=0.2)
            configuration = Configuration(
                host=self.url,
                retries=retries,
                ssl_ca_cert=self.access.ca_file or None,
                connection_pool_maxsize=8,
                proxy=self.access.proxy or None,
                no_proxy="" if self.access.proxy else None,
            )
            if configuration.proxy and not should_bypass_proxies(self.url, configuration.no_proxy or ""):
                proxy = Proxy.read(configuration.proxy, is_set=bool(self.access.proxy))
                if proxy is None:
                    raise self.words.no_proxy(is_set=bool(self.access.proxy))
                self.words = replace(self.words, proxy=proxy)
                # Of an account in the address the client would make nothing.
                configuration.proxy, configuration.proxy_headers = proxy.url, proxy.headers
            client = ApiClient(configuration)
            client.rest_client.pool_manager.pool_classes_by_scheme = POOLS
            client.user_agent = "airtriage"
            client.default_headers.update(self.access.headers)
            self._client = client

    @property
    def _credential(self) -> str:
        """Name the setting that says who we are; empty where none is set."""
        names = ("token_command", "token", "username")
        return next((name for name in names if getattr(self.access, name)), "")

    def _make_tokens(self) -> Tokens:
        access = self.access
        if access.token_command:
            command = access.token_command
            return Tokens("", self._learning(lambda: tokens.run(command, self.words, access.timeout)), lambda: self.now)
        if access.username:
            return Tokens("", self._learning(self._log_in), lambda: self.now, tokens.ACCOUNT_LIFE)
        return Tokens(access.token, None, lambda: self.now)

    def _learning(self, make: Callable[[], str]) -> Callable[[], str]:
        def made() -> str:
            token = make()
            self.access.learn(token)
            return token

        return made

    def _log_in(self) -> str:
        """Log the account in, and return its token."""
        answer = self._post_login()
        with self._words(LOGIN, self.access.timeout):
            body = answer.json()
        if answer.status in (401, 403) and body is not None:
            raise self.words.wrong_password(self.access.username)
        if answer.status in (404, 405):
            raise self.words.no_login(answer.status)
        token = body.get("access_token") if body else None
        if answer.status not in (200, 201) or not isinstance(token, str):
            raise self.refused(LOGIN, answer.status, answer.response.headers, body)
        return token

    def _post_login(self) -> _Answer:
        with self._words(LOGIN, self.access.timeout):
            response = self._client.call_api(
                "POST",
                f"{self.url}/auth/token",
                {"User-Agent": "airtriage", "Content-Type": "application/json", "Accept": "application/json"}
                | dict(self.access.headers),
                {"username": self.access.username, "password": self.access.password},
                _request_timeout=(self.access.connect_timeout, self.access.timeout),
            ).response
        self._note_clock(response)
        return _Answer(response, self.access.timeout)

    @contextmanager
    def _words(self, endpoint: Endpoint, timeout: float) -> Iterator[None]:
        """Put what breaks on the way into words; bugs pass."""
        from airflow_client.client import ApiException

        try:
            yield
        except (exceptions.HTTPError, ApiException, OSError) as exc:
            raise self.words.broken(endpoint, exc, timeout) from exc

    def _note_clock(self, response: HTTPResponse) -> None:
        try:
            server = parsedate_to_datetime(response.headers["Date"]).timestamp()
        except (KeyError, TypeError, ValueError, OverflowError):
            return
        # The header is cut to whole seconds, renewed once a second (uvicorn) and some time under way, so it is only
        # ever too early: of several the latest is nearest. One that is much earlier tells of a clock that was set.
        offset = server - _our_time()
        held = self._offset
        self._offset = offset if held is None or held - offset > _CLOCK_SET else max(held, offset)


def _bearer(token: str) -> str:
    return f"Bearer {token}" if token else ""


def _is_hung_up(exc: BaseException) -> bool:
    """Tell a connection that was closed instead of answered, as Airflow does to the one it broke at a log on.

    It was kept open for the next question, which is asked once more on a fresh one: no question changes anything.
    """
    reason = exc.reason if isinstance(exc, exceptions.MaxRetryError) else exc
    return isinstance(reason, exceptions.ProtocolError)
