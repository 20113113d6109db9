"""The adapter to GitLab: what it sends and reads, and what each way of failing means, against the double."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme

from tests.gitlab_double import FakeGitLab
from tests.gitlab_faults import Fault, refusal
from tests.gitlab_fixture import gitlab  # noqa: F401
from tests.gitlab_state import GUEST
from triage.errors import GitLabError, GitLabGone, GitLabRefused, GitLabUnsure
from triage.gitlab import Access, GitLab
from triage.issues import Draft, Token

PROJECT = "data/dags"


def way(fake: FakeGitLab, token: str = "bot", **more: object) -> GitLab:
    return GitLab(Access(fake.url, fake.token(token), **{"timeout": 1.5} | more))  # type: ignore[arg-type]


def test_who_we_are_in_a_project(gitlab: FakeGitLab) -> None:  # noqa: F811
    desk = way(gitlab).desk(PROJECT)
    assert (desk.bot, desk.bot_id, desk.role) == ("bot", gitlab.user("bot").id, 40)
    assert desk.web_url.endswith(PROJECT)


def test_an_issue_is_opened_with_all_that_is_asked(gitlab: FakeGitLab) -> None:  # noqa: F811
    its = way(gitlab)
    draft = Draft("KeyError", "text\n", ("airtriage", "crm"), its.user("anna"), True)
    made = its.open(PROJECT, draft)
    assert (made.title, made.labels, made.assignee, made.confidential, made.is_open) == (
        "KeyError",
        ("airtriage", "crm"),
        "anna",
        True,
        True,
    )
    assert its.issue(PROJECT, made.iid) == made
    assert its.user("nobody") is None


def test_every_page_of_a_list_is_read(gitlab: FakeGitLab) -> None:  # noqa: F811
    its = way(gitlab)
    for n in range(103):
        its.open(PROJECT, Draft(f"n {n}", ""))
    bot = its.desk(PROJECT).bot_id
    assert [one.title for one in its.made(PROJECT, None, by=bot)] == [f"n {n}" for n in range(103)]
    assert its.made(PROJECT, None, by=gitlab.user("anna").id) == []
    assert [one.iid for one in its.several(PROJECT, [3, 7, 999])] == [3, 7]


def test_closing_reopening_and_who_did_it(gitlab: FakeGitLab) -> None:  # noqa: F811
    its, project = way(gitlab), gitlab.state.project_of(PROJECT)
    assert project is not None
    issue = its.open(PROJECT, Draft("x", "y"))
    assert not its.edit(PROJECT, issue.iid, is_open=False).is_open
    gitlab.do("anna", "PUT", f"/projects/{project.id}/issues/{issue.iid}", {"state_event": "reopen"})
    assert [(turn.is_open, turn.who) for turn in its.turns(PROJECT, issue.iid)] == [(False, "bot"), (True, "anna")]
    since = issue.updated_at - timedelta(seconds=1)
    assert [one.is_open for one in its.changed(PROJECT, since)] == [True]


def test_comments_are_read_from_the_newest_back_to_the_last_known(gitlab: FakeGitLab) -> None:  # noqa: F811
    its = way(gitlab)
    issue = its.open(PROJECT, Draft("x", "y"))
    made = [its.comment(PROJECT, issue.iid, f"n {n}") for n in range(3)]
    assert [note.body for note in its.notes(PROJECT, issue.iid, after=made[0].id) if not note.is_system] == [
        "n 1",
        "n 2",
    ]


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        (refusal(401), GitLabRefused, "does not take the token"),
        (refusal(403), GitLabRefused, "the role Reporter"),
        (refusal(404), GitLabGone, "Correct gitlab.project"),
        (refusal(409), GitLabRefused, "409 Conflict"),
        (refusal(422), GitLabRefused, "base could not be saved"),
        (refusal(502, "after"), GitLabUnsure, "failed with 502"),
        (Fault("cut", when="after"), GitLabUnsure, "broke the connection off"),
        (Fault("hang", when="after", seconds=2), GitLabUnsure, "gave no answer in time"),
        (refusal(201, "after", body="<html>"), GitLabUnsure, "nothing that GitLab's API would"),
    ],
)
def test_each_failure_says_whether_something_may_have_been_made(
    gitlab: FakeGitLab, fault: Fault, error: type[GitLabError], says: str  # noqa: F811
) -> None:  # fmt: skip
    fault.method = "POST"
    gitlab.faults.add(fault)
    with pytest.raises(error) as found:
        way(gitlab).open(PROJECT, Draft("x", "y"))
    assert says in str(found.value)
    assert len(gitlab.faults.requests("POST")) <= 1  # one that hangs is noted when it ends
    assert len(gitlab.issues()) == (error is GitLabUnsure and fault.when == "after")


ODD = ({"ok": True}, [{"ok": True}], ["x"], {"message": None}, "<html>Please log in</html>", "", '[{"id": 1,', 7, None)


@pytest.mark.parametrize("body", ODD, ids=repr)
@pytest.mark.parametrize("ask", [
    lambda its: its.desk(PROJECT), lambda its: its.issue(PROJECT, 1), lambda its: its.made(PROJECT, None),
    lambda its: its.notes(PROJECT, 1), lambda its: its.turns(PROJECT, 1), lambda its: its.fixes(PROJECT, 1),
    lambda its: its.user("anna"), lambda its: its.role(PROJECT, 1), lambda its: its.token(), lambda its: its.webhooks(PROJECT),
    lambda its: its.edit(PROJECT, 1, is_open=False), lambda its: its.comment(PROJECT, 1, "x"),
    lambda its: its.open(PROJECT, Draft("x", "y")), lambda its: its.version(),
])  # fmt: skip
def test_what_a_proxy_answers_in_gitlabs_place_is_one_sentence(
    gitlab: FakeGitLab, ask: Callable[[GitLab], object], body: object  # noqa: F811
) -> None:  # fmt: skip
    gitlab.faults.add(refusal(200, body=body))
    with contextlib.suppress(GitLabUnsure):  # or nothing is in it, of a list
        assert ask(way(gitlab)) in ([], None, 0, Token(()))


@pytest.mark.parametrize("drop", ["the header Link", "nothing"])
def test_a_list_whose_header_was_dropped_is_read_to_its_end(
    gitlab: FakeGitLab, drop: str, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    its = way(gitlab, timeout=30.0)  # so many rows, on a busy machine
    for n in range(200):
        its.open(PROJECT, Draft(f"Error {n}", "y"))
    if drop != "nothing":
        monkeypatch.setattr("tests.gitlab_calls._link", lambda links: "")
    assert len(its.made(PROJECT, None)) == 200
    assert len(its.several(PROJECT, list(range(1, 101)))) == 100
    for n in range(150):
        its.comment(PROJECT, 1, f"n {n}")
    assert [note.body for note in its.notes(PROJECT, 1)] == [f"n {n}" for n in range(150)]


@pytest.mark.parametrize("status", [408, 499])
def test_a_proxy_that_gave_up_does_not_say_that_nothing_was_made(gitlab: FakeGitLab, status: int) -> None:  # noqa: F811
    gitlab.faults.add(refusal(status, "after", method="POST"))
    with pytest.raises(GitLabUnsure):
        way(gitlab).open(PROJECT, Draft("x", "y"))


def test_tls_that_breaks_off_after_the_request_does_not_say_that_nothing_was_made(tmp_path: Path) -> None:
    authority, certificate = trustme.CA(), tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            plain, _ = listening.accept()
            secure = context.wrap_socket(plain, server_side=True)
            while b'"description"' not in b"".join(heard):
                heard.append(secure.recv(65536))
            os.write(secure.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)  # no record that could be read
            secure.close()

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(GitLabUnsure, match="broke TLS off"):
            GitLab(Access(url, "t", str(certificate), timeout=5)).open(PROJECT, Draft("x", "y"))
        thread.join()
    assert heard[0].startswith(b"POST ")


@pytest.mark.parametrize(
    ("said", "told"),
    [("7", 7.0), ("tomorrow", 86_400.0), ("soon", None), ("²", None),
     ("Thu, 01 Jan 2026 00:00:00 GMT", 0.0), ("", None)],
)  # fmt: skip
def test_how_long_to_wait_is_said_in_seconds_or_as_a_date(gitlab: FakeGitLab, said: str, told: float | None) -> None:  # noqa: F811
    if said == "tomorrow":
        said = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    gitlab.faults.add(refusal(429, headers={"Retry-After": said}))
    with pytest.raises(GitLabRefused) as found:
        way(gitlab).issue(PROJECT, 1)
    assert found.value.retry_after == (None if told is None else pytest.approx(told, abs=300))


@pytest.mark.parametrize(("seconds", "told"), [(7, 7.0), (None, None)])
def test_a_refusal_for_being_asked_too_often_is_not_waited_for(
    gitlab: FakeGitLab, seconds: int | None, told: float | None  # noqa: F811
) -> None:  # fmt: skip
    gitlab.faults.add(refusal(429, retry_after=seconds))
    with pytest.raises(GitLabRefused) as found:
        way(gitlab).issue(PROJECT, 1)
    assert (found.value.status, found.value.retry_after) == (429, told)


def test_issues_that_are_switched_off_are_said_to_be(gitlab: FakeGitLab) -> None:  # noqa: F811
    gitlab.project("data/quiet", issues_enabled=False)
    with pytest.raises(GitLabRefused, match="issues switched off"):
        way(gitlab).desk("data/quiet")


def test_a_project_that_is_hidden_is_not_there(gitlab: FakeGitLab) -> None:  # noqa: F811
    gitlab.project("data/secret", {"anna": GUEST})
    with pytest.raises(GitLabGone, match="the project data/secret"):
        way(gitlab).desk("data/secret")


def test_a_moved_issue_is_found_by_its_new_id(gitlab: FakeGitLab) -> None:  # noqa: F811
    its, target = way(gitlab), gitlab.project("data/new")
    issue = its.open(PROJECT, Draft("x", "y"))
    moved = gitlab.move(gitlab.issues()[0], target, "bot")
    gone = its.issue(PROJECT, issue.iid)
    assert gone.moved_to == moved.id
    found = its.moved(gone)
    assert found is not None
    assert (found.project_id, found.iid) == (target.id, moved.iid)


def test_an_address_without_a_gitlab_is_said_to_be_away() -> None:
    with pytest.raises(GitLabUnsure, match="is away"):
        GitLab(Access("http://127.0.0.1:9", "t")).desk(PROJECT)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_host_is_refused_and_never_sees_the_token(gitlab: FakeGitLab, status: int) -> None:  # noqa: F811
    with FakeGitLab() as other:
        there = f"http://localhost:{other.url.rpartition(':')[2]}/api/v4/user"
        gitlab.faults.add(Fault("status", status, headers={"Location": there}))
        with pytest.raises(GitLabRefused, match=r"to another host\.") as raised:
            way(gitlab).desk(PROJECT)
        assert "gitlab.url" in raised.value.fix
        with pytest.raises(GitLabError):
            way(gitlab).open(PROJECT, Draft("t", "text"))
        assert other.faults.log == []


def test_a_redirect_on_the_same_host_is_followed(gitlab: FakeGitLab) -> None:  # noqa: F811
    project = next(iter(gitlab.state.projects.values()))
    to = f"{gitlab.url}/api/v4/projects/{project.id}"
    gitlab.faults.add(Fault("status", 301, path="dags$", headers={"Location": to}, times=1))
    assert way(gitlab).desk(PROJECT).project_id == project.id


def test_a_gitlab_below_a_path_is_used_as_any() -> None:
    with FakeGitLab(root="/gitlab") as fake:
        fake.user("bot", bot=True)
        fake.project(PROJECT)
        its = way(fake)
        made = its.open(PROJECT, Draft("x", "y", ("airtriage",)))
        assert made.web_url == f"{fake.url}/{PROJECT}/-/issues/1"
        for n in range(101):
            its.open(PROJECT, Draft(f"n {n}", ""))
        assert len(its.made(PROJECT, None)) == 102, "the next page's address has the path too"
        assert its.desk(PROJECT).web_url == f"{fake.url}/{PROJECT}"
        its.close()


def test_a_certificate_of_an_authority_of_ones_own_is_trusted_where_that_is_named(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    (tmp_path / "empty.pem").write_text("no certificate\n")
    with FakeGitLab(tls=context) as fake:
        fake.user("bot", bot=True)
        fake.project(PROJECT)
        assert way(fake, ca_file=str(tmp_path / "ca.pem")).desk(PROJECT).bot == "bot"
        for file, says in (
            ("", "is not trusted. Set gitlab.ca_file"), (str(tmp_path / "other.pem"), "is not trusted. Set gitlab.ca_file"),
            (str(tmp_path / "none.pem"), "Check gitlab.ca_file"), (str(tmp_path / "empty.pem"), "empty.pem holds no certificate."),
        ):  # fmt: skip
            with pytest.raises(GitLabRefused) as caught:
                way(fake, ca_file=file).desk(PROJECT)
            assert says in str(caught.value)
            assert fake.token("bot") not in str(caught.value)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "::::"])
def test_a_proxy_of_the_environment_that_leads_nowhere_is_named(
    gitlab: FakeGitLab,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    proxy: str,
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(GitLabUnsure, match="is not reached through the proxy that the environment names"):
        way(gitlab).desk(PROJECT)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert way(gitlab).desk(PROJECT).bot == "bot"
