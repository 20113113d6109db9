"""What stands where Elasticsearch should: each gets one sentence that names the setting and the fix, and nothing is half done."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.processes import free_port
from tests.store_contract import occurrence
from triage.errors import StoreError, WrongStore
from triage.settings import environment
from triage.store import open_store
from triage.store.access import Access
from triage.store.elastic import ElasticStore
from triage.store.elastic.facts import Facts, _Planned
from triage.store.elastic.indices import mapping

PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
QUICK = Access(patience=0.5, timeout=5)
PAGE = b"<html><body><h1>Welcome to nginx!</h1></body></html>"


def told(number: str, **more: str) -> bytes:
    return json.dumps({"name": "n", "version": {"number": number, **more}, "tagline": "You Know, for Search"}).encode()


def refused(status: int, kind: str, reason: str) -> tuple[int, bytes, dict[str, str]]:
    error = {"type": kind, "reason": reason, "root_cause": [{"type": kind, "reason": reason}]}
    return status, json.dumps({"error": error, "status": status}).encode(), PRODUCT


@contextmanager
def standing(status: int, body: bytes, headers: Mapping[str, str], kind: str = "application/json") -> Iterator[str]:
    """Answer every request alike, as what is not our Elasticsearch does."""

    class Handler(BaseHTTPRequestHandler):
        def _all(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = _all

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("stand_in", "says"),
    [
        ((200, told("2.19.1", distribution="opensearch"), {}), r"is not Elasticsearch\. Correct the setting store"),
        ((200, PAGE, {}, "text/html"), r"is not Elasticsearch\. Correct the setting store"),
        ((404, PAGE, {}, "text/html"), r"is not Elasticsearch\. Correct the setting store"),
        (
            (301, b"", {"Location": "https://elsewhere.example/"}),
            r"does not answer as Elasticsearch does\. Correct the setting store",
        ),
        ((200, b'{"version": {"num', PRODUCT), r"does not answer as Elasticsearch does\. Correct the setting store"),
        ((200, b"{}", PRODUCT), r"does not answer as Elasticsearch does\. Correct the setting store"),
        ((200, told("7.17.29"), PRODUCT), r"is 7\.17\.29; airtriage needs 8\.19 or newer\. Upgrade it"),
        ((200, told("8.18.8-SNAPSHOT"), PRODUCT), r"is 8\.18\.8-SNAPSHOT; airtriage needs 8\.19 or newer\. Upgrade it"),
        (
            refused(400, "media_type_header_exception", "Accept version must be either version 8 or 7, but found 9"),
            r"older than the Python package elasticsearch .* serves.*Upgrade it, or install elasticsearch 8\.19",
        ),
        (refused(401, "security_exception", "missing authentication credentials"), r"let us in\. Set elastic\.api_key"),
        (
            refused(403, "security_exception", "action [cluster:monitor/main] is unauthorized for user [u]"),
            r"forbids it: action \[cluster:monitor/main\].*Give the account of the section elastic the privileges",
        ),
    ],
    ids=["opensearch", "nginx", "nginx-404", "redirect", "cut", "empty", "7.17", "8.18", "client-9", "401", "403"],
)
def test_open_when_something_else_answers_says_what_and_how_to_mend_it(stand_in: Any, says: str) -> None:
    with standing(*stand_in) as url, pytest.raises(WrongStore, match=says) as raised:
        open_store(url, QUICK)
    assert "\n" not in str(raised.value)


def test_open_when_nobody_listens_says_so_in_the_time_it_was_given() -> None:
    with pytest.raises(StoreError, match=r"cannot be reached: .*Start it, or correct the setting store"):
        open_store(f"http://127.0.0.1:{free_port()}", QUICK)


def test_open_when_a_server_without_certificate_is_asked_for_one_names_the_url() -> None:
    with (
        standing(200, told("9.4.3"), PRODUCT) as url,
        pytest.raises(WrongStore, match=r"speaks no TLS.*http:// in the setting store"),
    ):
        open_store(url.replace("http:", "https:"), QUICK)


def run(store: str, folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `airtriage` on this store as a person would."""
    environ = environment(inherit=False) | {f"AIRTRIAGE_{name}": value for name, value in settings.items()}
    environ |= {"AIRTRIAGE_STORE": store, "AIRTRIAGE_DATA_DIR": str(folder)}
    command = [sys.executable, "-m", "ui.cli", *(words or ("problems",))]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_command_when_the_store_is_wrong_ends_with_2_and_one_sentence_without_the_secret(tmp_path: Path) -> None:
    with standing(*refused(401, "security_exception", "unable to authenticate s3cret-word")) as url:
        done = run(url, tmp_path, ELASTIC__USERNAME="svc", ELASTIC__PASSWORD="s3cret-word")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip().count("\n") == 0
    assert "elastic.api_key" in done.stderr
    assert "s3cret-word" not in done.stderr


def ask(url: str, method: str, path: str, body: Any = None) -> Any:
    """Ask a server without our adapter; {} where it refuses."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as exc:
        exc.close()
        return {}


def split(store: str) -> tuple[str, str]:
    """Return the server's URL and the prefix."""
    server, _, prefix = store.rpartition("/")
    return server, prefix


def _foreign_alias(server: str, prefix: str) -> None:
    ask(server, "PUT", f"/{prefix}-other", {"aliases": {f"{prefix}-summary": {}}})


def _foreign_index(server: str, prefix: str) -> None:
    ask(server, "PUT", f"/{prefix}-touched", {})


def _two_indices(server: str, prefix: str) -> None:
    open_store(f"{server}/{prefix}").close()
    ask(server, "PUT", f"/{prefix}-more", {"aliases": {f"{prefix}-record": {}}})


def _without_alias(server: str, prefix: str) -> None:
    ask(server, "PUT", f"/{prefix}-dead-v1", {"mappings": {"properties": {"x": {"type": "long"}}}})


def _changed_by_hand(server: str, prefix: str) -> None:
    open_store(f"{server}/{prefix}").close()
    ask(server, "PUT", f"/{prefix}-occurrence/_mapping", {"properties": {"mine": {"type": "keyword"}}})


def _newer(server: str, prefix: str) -> None:
    about = mapping("record")
    about["_meta"] = {"airtriage": {"layout": 99, "what": "record"}}
    ask(server, "PUT", f"/{prefix}-record-v99", {"mappings": about, "aliases": {f"{prefix}-record": {}}})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_foreign_alias, r"index \S+-other was made by something else than airtriage.*another prefix"),
        (_foreign_index, r"\S+-touched is not the alias of one index, so airtriage did not make it.*another prefix"),
        (_two_indices, r"\S+-record is not the alias of one index.*another prefix"),
        (_without_alias, r"index \S+-dead-v1 exists without its alias \S+-dead.*another prefix"),
        (_changed_by_hand, r"mapping of the index \S+-occurrence-v1 was changed by hand, at the field mine.*copy"),
        (_newer, r"written by a newer airtriage \(its layout is 99, this one knows \d+\).*Install that version again"),
    ],
)
def test_open_when_an_index_is_not_ours_refuses_and_makes_nothing(
    elastic: str, fresh_elastic: Callable[[str], str], spoil: Callable[[str, str], None], says: str
) -> None:
    store = fresh_elastic(elastic)
    server, prefix = split(store)
    spoil(server, prefix)
    before = ask(server, "GET", f"/{prefix}-*")
    assert before
    with pytest.raises(WrongStore, match=says) as raised:
        open_store(store)
    assert "the setting store" in str(raised.value) or "airtriage copy" in str(raised.value)
    assert ask(server, "GET", f"/{prefix}-*") == before


def test_command_when_the_mapping_was_changed_by_hand_ends_with_2(
    elastic: str, fresh_elastic: Callable[[str], str], tmp_path: Path
) -> None:
    store = fresh_elastic(elastic)
    _changed_by_hand(*split(store))
    done = run(store, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "changed by hand, at the field mine" in done.stderr


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (("PUT", "/{}-occurrence/_settings", {"index.blocks.write": True}), r"takes no writes.*lift the block"),
        (("POST", "/{}-occurrence/_close", None), r"has lost an index of ours.*Open or restore it"),
        (("DELETE", "/{}-occurrence-v1", None), r"has lost an index of ours.*restore it"),
    ],
    ids=["locked", "closed", "deleted"],
)
def test_put_when_the_index_went_away_beneath_says_so_and_buries_nothing(
    elastic: str, fresh_elastic: Callable[[str], str], spoil: tuple[str, str, Any], says: str
) -> None:
    url = fresh_elastic(elastic)
    server, prefix = split(url)
    store = open_store(url, QUICK)
    assert isinstance(store, ElasticStore)
    method, path, body = spoil
    ask(server, method, path.format(prefix), body)
    facts = Facts(store._session, store._indices, store._notes, store._summaries.horizon, str)
    with pytest.raises(WrongStore, match=says):
        facts.put([occurrence(1)])
    with pytest.raises(WrongStore, match=says):  # without the look at what is there, which meets the same
        list(facts._written([_Planned("one", occurrence(1), None, None, None, new=1)]))
    assert store.dead() == 0
    assert ask(server, "GET", f"/{prefix}-occurrence") == {} or method != "DELETE"  # nor is one made without mappings
    store.close()
