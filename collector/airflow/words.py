"""What can go wrong between us and one Airflow, in words: one sentence that names deployment and endpoint, and the fix.

Owns every message about a deployment that cannot be read. Connects to nothing. Texts from the server are hostile: one
short line of them is quoted, redacted.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from urllib3 import exceptions

from collector.airflow.proxy import Proxy
from triage.errors import LoginFailed, SourceError, SourceForbidden, StorageAway
from triage.links import home
from triage.redact import redact
from triage.watched import Trouble

EVENT_LOG = "Audit Logs"

# What the FAB auth manager asks for beside the resource itself: found by taking each from a role that had them all
# (Airflow 3.3.2, FAB provider 3.10.2); the answer is the same 403 whichever is missing.
_BESIDE = {
    "Audit Logs": ("DAGs",),
    "Task Instances": ("DAGs", "DAG Runs"),
    "Task Logs": ("DAGs", "DAG Runs", "Task Instances"),
}
_LOST = {
    "Task Instances": "a failure stands without operator, host and retries, and none that was marked by hand is found",
    "Task Logs": "every failure stands without its log",
    "ImportError": "DAG files that do not import are not shown",
    "Pools": "full pools are not shown",
}

READ = "2.10, 2.11 and 3"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A question: its name in Airflow's API, the client's class and method, and the FAB resource it needs read on.

    `path` is set, and class and method are empty, for what the client has no method for: Airflow 2's API. `is_open`:
    Airflow answers it without an account. `is_posted`: what its path does not name goes as a body, not as a query.
    """

    name: str
    api: str = ""
    method: str = ""
    permission: str = ""
    path: str = ""
    is_open: bool = False
    is_posted: bool = False


def told(body: Mapping[str, Any] | None) -> str:
    """Return what Airflow says of an error, as one short redacted line."""
    body = body or {}
    said = body.get("detail") or body.get("error") or body.get("title") or "no reason given"
    line = " ".join(str(said)[:1000].split())
    return redact(line)[:200].rstrip(".")


def is_unknown(status: int, body: Mapping[str, Any] | None) -> bool:
    """Tell whether Airflow itself says that there is no such thing; a gateway's own 404 proves nothing.

    The second form is for run ids with a slash, which no route of the API takes.
    """
    return status == 404 and body is not None and ("detail" in body or body.get("error") == "API route not found")


def is_stale_token(status: int, body: Mapping[str, Any] | None) -> bool:
    """Tell whether a token is refused: 401 is expired; 403 in these words is signed with another secret.

    The latter is what an api-server says that was restarted without a fixed `[api_auth] jwt_secret`.
    """
    return status == 401 or (status == 403 and "invalid jwt" in told(body).lower())


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences about one deployment at one address."""

    deployment: str
    url: str
    proxy: Proxy | None = None

    def check(self, url: str, ca_file: str) -> None:
        """Raise for an address or a certificate file that cannot be used."""
        if not home(url):
            raise SourceError(
                f"{self.deployment}: its url is not an http or https address.",
                f"Set {self._setting('url')} to the address of Airflow's page, e.g. https://airflow.example.com.",
            )
        if not ca_file:
            return
        try:
            ssl.create_default_context(cafile=ca_file)
        except OSError as exc:  # ssl's own errors are of its kind
            why = "holds no certificate in PEM" if isinstance(exc, ssl.SSLError) else f"cannot be read: {exc.strerror}"
            raise SourceError(
                f"{self.deployment}: the file {ca_file} {why}.",
                f"Set {self._setting('ca_file')} to the certificates of the authority that signed Airflow's.",
            ) from exc

    def no_proxy(self, *, is_set: bool) -> SourceError:
        """Say that the address of the proxy is of no use; it is not shown, as it may hold a password."""
        return SourceError(
            f"{self.deployment}: the address of the proxy is not an http or https one.",
            f"Correct {self._setting('proxy') if is_set else 'HTTPS_PROXY, HTTP_PROXY or ALL_PROXY'}.",
        )

    def broken(self, endpoint: Endpoint, exc: BaseException, timeout: float) -> SourceError:
        """Say what broke before a whole answer was here."""
        reason: BaseException = exc
        while isinstance(reason, exceptions.MaxRetryError) and reason.reason:
            reason = reason.reason
        check_url = f"Check {self._setting('url')}"
        match reason:
            case exceptions.ProxyError():
                said, fix = self._proxy(reason)
            case exceptions.NameResolutionError():
                said, fix = "its name is not known", f"{check_url} and this machine's DNS."
            case exceptions.NewConnectionError():
                said, fix = "connection refused", f"{check_url}, and that the api-server runs and may be reached."
            case exceptions.ConnectTimeoutError():
                said, fix = "no connection in time", f"{check_url}, and that no firewall stands between."
            case exceptions.TimeoutError() | TimeoutError():
                said = f"no answer within {timeout:g} s"
                fix = "The api-server is overloaded or hangs; look into its log. We ask again later."
            case exceptions.DecodeError():
                said, fix = "the answer cannot be unpacked", "Check what stands between us and the api-server."
            case _ if _is_tls(reason):
                said, fix = self._tls(reason)
            case exceptions.ProtocolError() | ConnectionError():
                said = "the answer broke off"
                fix = "The api-server, or a proxy before it, hung up; look into its log. We ask again later."
                if self.url.startswith("http://"):
                    fix = f"Use https:// in {self._setting('url')} if that port speaks it. Else: {fix}"
            case _:
                said, fix = f"{type(reason).__name__}: {redact(str(reason))[:200]}", f"{check_url}."
        return self._error(endpoint, said, fix)

    def refused(
        self, endpoint: Endpoint, status: int, headers: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> SourceError:
        """Say what an answer means that is no answer to our question; `body` is None unless it was a JSON object."""
        if status == 403 and body is not None:
            return self._forbidden(endpoint, body)
        if 300 <= status < 400:
            return self._redirected(endpoint, status, headers.get("Location", ""))
        if status == 407:
            return self._error(endpoint, *self._proxy_login())
        if status == 429:
            fix = f"Something limits how often we may ask; set {self._setting('poll')} to a longer time."
            return self._error(endpoint, f"answered {_status(status)}", fix)
        if status >= 500:
            fix = "Look into the log of the api-server and of the proxy before it. We ask again later."
            return self._error(endpoint, f"answered {_status(status)}", fix)
        if body is None:
            said = f"answered {_status(status)} with something that is not Airflow's API"
            prefix = " and its path prefix" if status == 404 else ""
            fix = f"Check {self._setting('url')}{prefix}: a log-in page, a proxy or another program answers there."
            if self.proxy:
                fix = f"Look whether {self._the_proxy} lets us through to it. Else: {fix}"
            if status == 400 and self.url.startswith("http://"):
                fix = f"Use https:// in {self._setting('url')} if that port speaks it. Else: {fix}"
            return self._error(endpoint, said, fix)
        if status == 404:
            return self.no_endpoint(endpoint)
        if status < 300:
            return self.shapeless(endpoint, body)
        fix = f"airtriage reads Airflow {READ}."
        return self._error(endpoint, f"answered {_status(status)}: {told(body)}", fix)

    def no_endpoint(self, endpoint: Endpoint) -> SourceError:
        """Say that Airflow answers, but does not know a question that every version we read knows."""
        fix = f"airtriage reads Airflow {READ}; check {self._setting('url')}."
        return self._error(endpoint, "has no such endpoint", fix)

    def unread(self, endpoint: Endpoint, version: str, *, is_newer: bool) -> SourceError:
        """Say that this Airflow is too old, or of a major version that nobody here has seen."""
        fix = "Look for a newer airtriage." if is_newer else f"airtriage reads Airflow {READ}: upgrade Airflow."
        return self._error(endpoint, f"runs Airflow {version}, which this airtriage cannot read", fix)

    def shapeless(self, endpoint: Endpoint, body: Mapping[str, Any]) -> SourceError:
        """Say that an answer has a shape we do not know, and how it begins."""
        raw = redact(json.dumps(body, default=str)[:2000])[:300]
        fix = f"It may be newer than this airtriage, or a proxy changes its answers. It begins: {raw}"
        return self._error(endpoint, "answered in a shape that is not known", fix)

    def endless(self, endpoint: Endpoint) -> SourceError:
        """Say that a list leads back to where it was, or goes on beyond any length that it may have."""
        fix = "Look into the api-server's log, and at what stands before it. What was read is kept; we ask again later."
        return self._error(endpoint, "gives a list that does not end", fix)

    def odd(self, name: str, count: int, first: str) -> Trouble:
        """Say that rows of a list were left out because they tell of no try in any way we know."""
        rows = "1 row tells of no try" if count == 1 else f"{count} rows tell of no try"
        fix = f"It may be newer than this airtriage. The first was: {first}"
        return Trouble(f"{self.deployment}: {name} at {self.url}: {rows} in a way that is known, and left out.", fix)

    def empty(self, endpoint: Endpoint) -> StorageAway:
        """Say that a log came without a single byte, as Airflow answers when its storage is away."""
        fix = "Airflow cannot read its log storage; look into the api-server's log. We ask again later."
        said = self._error(endpoint, "answered without a single byte", fix)
        return StorageAway(said.what, said.fix)

    def unknown(
        self,
        endpoint: Endpoint,
        status: int,
        body: Mapping[str, Any] | None,
        credential: str,
        expired_at: datetime | None = None,
    ) -> LoginFailed:
        """Say that Airflow does not know us, by the setting that says who we are: username, token, token_command or ""."""
        what = f"{told(body)} ({status})"
        match credential:
            case "username" | "" if body is None:
                said = f"something before Airflow asks who we are ({status})"
                fix = f"Let it pass /api/v2 and /auth/token, or set {self._setting('headers')} to what it asks for."
            case "username" if endpoint.path:
                said = f"Airflow does not let our account in: {what}"
                fix = (
                    f"Check {self._setting('username')} and its password, and that Airflow's [api] auth_backends names"
                    " basic_auth: without it Airflow 2 takes no password here."
                )
            case "username":
                said = f"Airflow does not take the token that it gave ({what})"
                fix = "Give all api-servers behind this address the same [api_auth] jwt_secret, and the right time."
            case "token_command":
                said = f"Airflow does not take the token that token_command printed: {what}"
                fix = f"Make {self._setting('token_command')} print a token for this Airflow."
            case "token":
                end = f"; it expired at {expired_at:%Y-%m-%d %H:%M} UTC" if expired_at else ""
                said = f"Airflow does not take our token: {what}{end}"
                fix = f"Set {self._setting('token')} to a new one, or set token_command, which makes new ones."
            case _:
                said = f"Airflow does not know us: {what}"
                fix = f"Set {self._setting('username')} and its password, or token, or token_command."
        return LoginFailed(f"{self.deployment}: {self.url}: {said}.", fix)

    def wrong_password(self, username: str) -> LoginFailed:
        """Say that the account was not let in."""
        return LoginFailed(
            f"{self.deployment}: auth/token at {self.url}: Airflow does not let {redact(username)} in.",
            f"Check {self._setting('username')} and its password.",
        )

    def no_login(self, status: int) -> LoginFailed:
        """Say that there is no place to log in."""
        return LoginFailed(
            f"{self.deployment}: auth/token at {self.url}: Airflow gives no token for a username there ({status}).",
            f"Check {self._setting('url')} with its path prefix; a managed Airflow wants token or token_command instead.",
        )

    def command_failed(self, said: str) -> LoginFailed:
        """Say why the program of `token_command` gave no token."""
        return LoginFailed(
            f"{self.deployment}: token_command: {said}.",
            f"Correct {self._setting('token_command')}, or run it by hand as this user to see what it says.",
        )

    def _forbidden(self, endpoint: Endpoint, body: Mapping[str, Any]) -> SourceForbidden:
        what = f"{self.deployment}: the account may not read {endpoint.name} at {self.url}: {told(body)}."
        if not endpoint.permission:
            return SourceForbidden(what, "Give it a role that may read it.")
        needed = [f'"{name}"' for name in (*_BESIDE.get(endpoint.permission, ()), endpoint.permission)]
        fix = (
            f'With the FAB auth manager give its role "can read" on {_and(needed)} '
            f"(airflow roles add-perms ROLE -a can_read -r {' '.join(needed)}), with the simple one make it a viewer."
        )
        lost = _LOST.get(endpoint.permission)
        if endpoint.permission == EVENT_LOG:
            rest = "and tries that were retried" if endpoint.path else "and tries that Airflow lost"
            lost = f"failures come from the task instances alone: without what the scheduler stopped, who marked one, {rest}"
        return SourceForbidden(what, f"{fix} Until then {lost}." if lost else fix)

    def _redirected(self, endpoint: Endpoint, status: int, location: str) -> SourceError:
        asked = re.search(r"/auth/token$|/api/v[12]/", location.partition("?")[0])
        if asked and (to := home(location[: asked.start()])):
            return self._error(
                endpoint, f"the address only redirects ({status})", f"Set {self._setting('url')} to {to}."
            )
        place = urlsplit(home(location)).netloc
        said = f"we are sent on to {place or 'another page'} ({status}), as a person would be to log in"
        fix = (
            "Make the proxy before Airflow let /api/v2 and /auth/token pass, "
            f"or set {self._setting('headers')} to what it takes from programs."
        )
        return self._error(endpoint, said, fix)

    @property
    def _the_proxy(self) -> str:
        return f"the proxy {redact(self.proxy.url)}" if self.proxy else "the proxy"

    @property
    def _proxy_setting(self) -> str:
        return self._setting("proxy") if self.proxy and self.proxy.is_set else "HTTPS_PROXY, HTTP_PROXY and NO_PROXY"

    def _proxy(self, reason: exceptions.ProxyError) -> tuple[str, str]:
        answered = re.search(r"Tunnel connection failed: (\d{3})", str(reason))
        if answered and answered[1] == "407":
            return self._proxy_login()
        if answered:
            said = f"{self._the_proxy} answers {_status(int(answered[1]))}"
            return (
                said,
                f"Have the proxy let us through to {urlsplit(self.url).netloc}, or check {self._proxy_setting}.",
            )
        return f"{self._the_proxy} cannot be reached", f"Check {self._proxy_setting}."

    def _proxy_login(self) -> tuple[str, str]:
        has_account = bool(self.proxy and self.proxy.headers)
        said = "does not take our account" if has_account else "asks for an account"
        return f"{self._the_proxy} {said}", f"Write it as http://USER:PASSWORD@HOST:PORT into {self._proxy_setting}."

    def _tls(self, reason: BaseException) -> tuple[str, str]:
        text = str(reason)
        if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
            return "it does not speak TLS", f"Use http:// in {self._setting('url')}, or the port that speaks https."
        if "mismatch" in text:
            return (
                "its certificate is for another name",
                f"Write the name in its certificate into {self._setting('url')}.",
            )
        if "has expired" in text or "not yet valid" in text:
            said = "has expired" if "has expired" in text else "is not valid yet"
            return f"its certificate {said}", "Renew it where Airflow is served; else set this machine's clock right."
        if "CERTIFICATE_VERIFY_FAILED" in text:
            fix = f"Set {self._setting('ca_file')} to the certificates of the authority that signed it."
            return "its certificate is not trusted", fix
        return "no secure connection", f"Check {self._setting('url')} and {self._setting('ca_file')}."

    def _error(self, endpoint: Endpoint, said: str, fix: str) -> SourceError:
        return SourceError(f"{self.deployment}: {endpoint.name} at {self.url}: {said}.", fix)

    def _setting(self, name: str) -> str:
        return f"{name} of [deployments.{self.deployment}]"


def _is_tls(reason: BaseException) -> bool:
    # The client turns urllib3's SSLError into an ApiException of its own that only its text tells apart.
    return isinstance(reason, exceptions.SSLError) or "SSLError" in str(reason)


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
