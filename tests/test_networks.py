"""Ways to an Airflow in a company: a path prefix, a forwarding proxy, a certificate authority of one's own."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from collector.airflow import Access, Airflow
from collector.airflow.proxy import Proxy
from tests.airflow_stub import HTML, LOG, Stub, event, instance, serving
from tests.networks import Passage, forward_proxy, reverse_proxy
from tests.processes import free_port
from triage.errors import LoginFailed, SourceError
from triage.model import TaskTry

SINCE = datetime(2026, 11, 22, tzinfo=UTC)
RUN = "manual__2026-11-22T08:00:00+00:00"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def served_by(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def fill(stub: Stub) -> None:
    stub.events = [event(1, "failed", "load")]
    stub.instances = [instance("load", "failed")]
    stub.logs = {("load", -1, 1): LOG}


@pytest.fixture
def plain() -> Iterator[Stub]:
    with serving() as stub:
        fill(stub)
        yield stub


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Stub]:
    with serving(served_by(authority.issue_cert("127.0.0.1", "localhost"))) as stub:
        fill(stub)
        yield stub


def airflow(url: str, **more: Any) -> Airflow:
    return Airflow("prod", Access(url, "triage", "right", timeout=5, log_timeout=5, **more))


def read_all(source: Airflow) -> None:
    """Log in, list and read a log, as a pass does."""
    assert source.version() == "3.3.2"
    (failed,) = next(source.events(SINCE, SINCE))
    assert b"".join(source.read_log(TaskTry("prod", "etl", RUN, "load", -1, 1))) == LOG
    assert failed.key.task_id == "load"


def trouble(url: str, **more: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        airflow(url, **more).version()
    assert "\n" not in str(caught.value)
    assert caught.value.what.startswith("prod: ")
    return caught.value


# --- a path prefix


def test_an_airflow_below_a_path_prefix_is_read(plain: Stub) -> None:
    with reverse_proxy(plain.url, "/team/airflow") as passage:
        read_all(airflow(f"{passage.url}/"))
        assert {path.split("?")[0] for path in passage.passed} >= {
            "POST /team/airflow/auth/token",
            "GET /team/airflow/api/v2/version",
            "GET /team/airflow/api/v2/eventLogs",
        }
        url = passage.url.removesuffix("/team/airflow")
        assert "Check url of [deployments.prod] and its path prefix" in trouble(url).fix


# --- a certificate authority of one's own


def test_a_certificate_of_an_authority_of_ones_own_is_trusted_by_its_file(secure: Stub, ca_file: str) -> None:
    read_all(airflow(secure.url, ca_file=ca_file))
    assert secure.asked


def test_without_the_authoritys_file_nothing_is_sent_and_the_setting_is_named(secure: Stub) -> None:
    said = trouble(secure.url)
    assert "its certificate is not trusted" in said.what
    assert "Set ca_file of [deployments.prod]" in said.fix
    assert not secure.asked


def test_a_certificate_of_another_authority_or_name_or_time_is_said(
    authority: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    other = trustme.CA()
    with serving(served_by(other.issue_cert("127.0.0.1"))) as stub:
        assert "its certificate is not trusted" in trouble(stub.url, ca_file=ca_file).what
    with serving(served_by(authority.issue_cert("airflow.example.com"))) as stub:
        said = trouble(stub.url, ca_file=ca_file)
        assert "its certificate is for another name" in said.what
        assert "url of [deployments.prod]" in said.fix
    old = datetime(2020, 1, 1, tzinfo=UTC)
    with serving(served_by(authority.issue_cert("127.0.0.1", not_after=old, not_before=old))) as stub:
        assert "its certificate has expired" in trouble(stub.url, ca_file=ca_file).what


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda file: None, "cannot be read: No such file or directory"),
        (lambda file: file.mkdir(), "(cannot be read: Is a directory|holds no certificate in PEM)"),
        (lambda file: file.write_text("no certificate"), "holds no certificate in PEM"),
        (lambda file: file.write_bytes(b""), "holds no certificate in PEM"),
        (
            lambda file: file.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
            "holds no certificate in PEM",
        ),
    ],
    ids=["missing", "folder", "text", "empty", "cut"],
)
def test_a_file_of_an_authority_that_is_of_no_use_is_named(
    secure: Stub, make: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    file = tmp_path / "authority.pem"
    make(file)
    said = trouble(secure.url, ca_file=str(file))
    assert re.search(f"the file {re.escape(str(file))} {says}", said.what)
    assert "Set ca_file of [deployments.prod]" in said.fix


def test_an_http_address_of_an_https_port_says_so(secure: Stub, plain: Stub) -> None:
    said = trouble(secure.url.replace("https", "http"))
    assert "broke off" in said.what
    assert said.fix.startswith("Use https:// in url of [deployments.prod] if that port speaks it.")
    plain.fault = lambda handler, path: handler.send(400, b"<html>sent to HTTPS port</html>", "text/html")
    assert trouble(plain.url).fix.startswith("Use https:// in url of [deployments.prod] if that port speaks it.")


# --- a forwarding proxy


def test_an_airflow_behind_a_proxy_of_the_environment_is_read_by_a_tunnel(
    secure: Stub, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forward_proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.host)  # without a scheme, as curl takes it too
        read_all(airflow(secure.url, ca_file=ca_file))
        assert set(proxy.passed) == {f"CONNECT {secure.url.removeprefix('https://')}"}
        assert not [name for name, _ in proxy.seen if name.lower() == "authorization"]


def test_no_proxy_is_heeded_and_a_proxy_that_is_set_goes_before_it(
    plain: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forward_proxy() as proxy, forward_proxy() as own:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")
        read_all(airflow(plain.url))
        assert not proxy.passed
        read_all(airflow(plain.url, proxy=own.url))
        assert f"POST {plain.url}/auth/token" in own.passed
        monkeypatch.setenv("NO_PROXY", "example.com")
        read_all(airflow(plain.url))
        assert f"POST {plain.url}/auth/token" in proxy.passed


@pytest.mark.parametrize("kind", ["plain", "secure"])
def test_a_proxy_gets_its_account_and_the_airflow_never_does(
    kind: str, request: pytest.FixtureRequest, ca_file: str
) -> None:
    stub: Stub = request.getfixturevalue(kind)
    seen: list[str] = []

    def note(handler: Any, path: str) -> bool:
        seen.extend(handler.headers)
        return False

    stub.fault = note
    with forward_proxy("ann:p@ss:wörd") as proxy:
        read_all(airflow(stub.url, ca_file=ca_file, proxy=proxy.url.replace("//", "//ann:p%40ss%3Aw%C3%B6rd@")))
        assert proxy.passed
    assert "Proxy-Authorization" not in seen


@pytest.mark.parametrize("kind", ["plain", "secure"])
@pytest.mark.parametrize(
    ("account", "instead", "says", "fix"),
    [
        ("", None, "asks for an account", "http://USER:PASSWORD@HOST:PORT into proxy of [deployments.prod]"),
        ("ann:sekret-wrong@", None, "does not take our account", "http://USER:PASSWORD@HOST:PORT into proxy of"),
        ("ann:sekret@", (403, HTML), "403 Forbidden", "through to"),
        ("ann:sekret@", (503, HTML), "503 Service Unavailable", ""),
        ("ann:sekret@", (200, HTML), "", ""),
    ],
    ids=["no account", "wrong account", "403", "503", "a page"],
)  # fmt: skip
def test_a_proxy_that_does_not_let_us_through_is_named_without_its_password(
    kind: str,
    account: str,
    instead: tuple[int, bytes] | None,
    says: str,
    fix: str,
    request: pytest.FixtureRequest,
    ca_file: str,
) -> None:
    stub: Stub = request.getfixturevalue(kind)
    with forward_proxy("ann:sekret") as proxy:
        proxy.instead = instead
        said = trouble(stub.url, ca_file=ca_file, proxy=proxy.url.replace("//", f"//{account}"))
        assert says in said.what
        assert fix in said.fix
        assert "sekret" not in str(said)
        assert "sekret" not in repr(said.__cause__)
        assert not stub.asked


def test_a_proxy_that_is_not_there_is_named(plain: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    said = trouble(plain.url, proxy=f"http://ann:sekret@127.0.0.1:{port}")
    assert f"the proxy http://127.0.0.1:{port} cannot be reached" in said.what
    assert "Check proxy of [deployments.prod]" in said.fix
    monkeypatch.setenv("HTTP_PROXY", f"http://ann:sekret@127.0.0.1:{port}")
    assert "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY" in trouble(plain.url).fix


@pytest.mark.parametrize("address", ["socks5://ann:sekret@127.0.0.1:1080", "http://", "http://ann:sekret@host:port"])
def test_an_address_of_a_proxy_that_is_of_no_use_is_said_without_showing_it(
    address: str, plain: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", address)
    said = trouble(plain.url)
    assert "the address of the proxy is not an http or https one" in said.what
    assert "HTTP_PROXY" in said.fix
    assert "sekret" not in str(said)


def test_a_proxy_never_shows_its_account() -> None:
    proxy = Proxy.read("http://ann:sekret@[::1]:3128", is_set=True)
    assert proxy is not None
    assert proxy.url == "http://[::1]:3128"
    assert "sekret" not in repr(proxy)
    assert "sekret" not in repr(Access("http://a", proxy="http://ann:sekret@p:3128"))


# --- what stands before Airflow


@pytest.mark.parametrize(
    ("location", "says", "fix"),
    [
        (
            "https://airflow.example.com/air/auth/token",
            "only redirects (302)",
            "Set url of [deployments.prod] to https://airflow.example.com/air.",
        ),
        (
            "https://idp.example.com/realms/x/auth?redirect=/api/v2/version",
            "we are sent on to idp.example.com (302), as a person would be to log in",
            "headers of [deployments.prod]",
        ),
        (
            "/oauth2/start?rd=%2Fapi%2Fv2%2Fversion",
            "we are sent on to another page (302)",
            "let /api/v2 and /auth/token pass",
        ),
        ("", "we are sent on to another page (302)", "headers of"),
    ],
)
def test_a_redirect_to_a_log_in_page_is_told_from_one_to_another_address(
    plain: Stub, location: str, says: str, fix: str
) -> None:
    plain.fault = lambda handler, path: handler.send(302, b"", "text/html", Location=location)
    said = trouble(plain.url)
    assert says in said.what
    assert fix in said.fix


@pytest.mark.parametrize(
    ("status", "body", "says", "fix"),
    [
        (401, HTML, "something before Airflow asks who we are (401)", "headers of [deployments.prod]"),
        (403, HTML, "403 Forbidden with something that is not Airflow's API", "url of [deployments.prod]"),
        (429, b"slow down", "429 Too Many Requests", "poll of [deployments.prod]"),
        (200, HTML, "200 OK with something that is not Airflow's API", "url of [deployments.prod]"),
    ],
)
def test_a_web_page_in_place_of_an_answer_is_said(plain: Stub, status: int, body: bytes, says: str, fix: str) -> None:
    for page in ("/version", "/auth/token", "/eventLogs"):
        plain.fault = lambda handler, path, page=page: path == page and handler.send(status, body, "text/html")
        with pytest.raises(SourceError) as caught:
            read_all(airflow(plain.url))
        assert says in caught.value.what
        assert fix in caught.value.fix


def test_an_airflow_that_gives_no_tokens_for_a_username_says_what_to_set(plain: Stub) -> None:
    plain.fault = lambda handler, path: path == "/auth/token" and handler.send(404, {"detail": "Not Found"})
    with pytest.raises(LoginFailed, match="gives no token for a username there") as caught:
        read_all(airflow(plain.url))
    assert "token or token_command" in caught.value.fix


def test_passages_are_real(plain: Stub) -> None:
    with forward_proxy() as proxy:
        assert isinstance(proxy, Passage)
        proxy.instead = (418, b"")
        assert "418" in trouble(plain.url, proxy=proxy.url).what
