"""Security switched on for real: TLS by a private authority, an account, API keys with more and with fewer rights, a lock."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from tests.elastic_server import ElasticServer, fresh, lack
from tests.store_contract import NOW, occurrence
from tests.test_elastic_hostile import run
from triage.errors import WrongStore
from triage.query import EVERYTHING
from triage.service import Service
from triage.store import open_store
from triage.store.access import Access
from triage.store.elastic import ElasticStore

pytestmark = [pytest.mark.elastic, pytest.mark.timeout(600)]

NAME, PASSWORD = "svc", "correct horse 9:@/"
HASH = "$2a$04$HomiY5N1Oa6uF3KnjFJoEOvX.Bl04pdtpcjXYKPUjfrt1OFSSFuBu"  # bcrypt of that password
# As docs/scaling.md lists them.
ENOUGH = {"cluster": ["monitor"], "indices": [{"names": ["airtriage-*"], "privileges": ["all"]}]}


@dataclass(frozen=True)
class Secured:
    """An Elasticsearch that asks who one is; `access` lets its administrator in."""

    server: ElasticServer
    access: Access

    def key(self, **rights: object) -> str:
        made = self.server.ask("POST", "/_security/api_key", {"name": "airtriage", "role_descriptors": {"r": rights}})
        return str(made["encoded"])

    def with_key(self, **rights: object) -> Access:
        return replace(self.access, user="", password="", api_key=self.key(**rights))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    if why := lack("9.4.3"):
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("authority")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    files = {
        "users": f"{NAME}:{HASH}\n",
        "users_roles": f"superuser:{NAME}\n",
        "node.key": issued.private_key_pem.bytes().decode(),
        "node.pem": "".join(part.bytes().decode() for part in issued.cert_chain_pems),
    }
    settings = {
        "xpack.security.enabled": True,
        "xpack.security.enrollment.enabled": False,
        "xpack.security.transport.ssl.enabled": False,
        "xpack.security.http.ssl.enabled": True,
        "xpack.security.http.ssl.key": "node.key",
        "xpack.security.http.ssl.certificate": "node.pem",
    }
    login = (NAME, PASSWORD)
    with ElasticServer("9.4.3", settings=settings, files=files, login=login, authority=folder / "ca.pem") as server:
        yield Secured(server, Access(user=NAME, password=PASSWORD, ca_file=str(folder / "ca.pem"), patience=2))


def used(url: str, access: Access) -> None:
    """Do with a store what airtriage does in a life: watch, count, list, clean up."""
    store = open_store(url, access)
    assert isinstance(store, ElasticStore)
    service = Service(store)
    assert service.record(occurrence(n, at=NOW + timedelta(minutes=n)) for n in range(20)).new == 20
    assert service.settle(NOW + timedelta(hours=1)) == 1
    (row,) = service.queue(NOW + timedelta(hours=1))
    assert row.total == 20
    store._session.refresh(store._indices.all)
    assert store.count(EVERYTHING) == 20
    assert len(store.search(EVERYTHING, 5)) == 5
    assert store.facets(EVERYTHING, ["dag"], 3) == {"dag": [("orders", 20)]}
    assert store.revision() > 0
    assert store.dead() == 0
    assert store.retire((NOW + timedelta(days=2)).date().isoformat(), 100) == 20
    store.close()


def test_store_when_an_account_and_a_private_authority_are_set_serves(secured: Secured) -> None:
    used(fresh(secured.server.url), secured.access)


def test_store_when_an_api_key_has_the_documented_rights_serves(secured: Secured) -> None:
    text = (Path(__file__).parent.parent / "docs" / "scaling.md").read_text("utf-8")
    assert '"cluster": ["monitor"]' in text
    assert '"privileges": ["all"]' in text
    used(fresh(secured.server.url), secured.with_key(**ENOUGH))


def test_open_when_the_login_is_wrong_names_the_settings_and_makes_nothing(secured: Secured) -> None:
    url = fresh(secured.server.url)
    nobody = base64.b64encode(b"no-such-id:no-such-key").decode()
    for access in (
        replace(secured.access, password="wrong"),
        replace(secured.access, user="", password=""),
        replace(secured.access, user="", password="", api_key=nobody),
    ):
        with pytest.raises(WrongStore, match=r"does not let us in\. Set elastic\.api_key, or elastic\.username"):
            open_store(url, access)
    assert secured.server.ask("GET", f"/{url.rpartition('/')[2]}-*") == {}


def test_open_when_the_authority_is_not_known_names_the_setting(secured: Secured) -> None:
    with pytest.raises(WrongStore, match=r"cannot be trusted.*Set elastic\.ca_file to the PEM file"):
        open_store(fresh(secured.server.url), replace(secured.access, ca_file=""))


def test_open_when_a_right_is_missing_says_which(secured: Secured) -> None:
    for rights, says in (
        ({"cluster": [], "indices": ENOUGH["indices"]}, r"forbids it: action \[cluster:monitor/main\]"),
        ({"cluster": ["monitor"], "indices": []}, r"forbids it: action \[indices:admin/get\]"),
        (
            {"cluster": ["monitor"], "indices": [{"names": ["airtriage-*"], "privileges": ["read", "view_index_metadata"]}]},
            r"forbids it: action \[indices:admin/create\]",
        ),
    ):  # fmt: skip
        with pytest.raises(WrongStore, match=says) as raised:
            open_store(fresh(secured.server.url), secured.with_key(**rights))
        assert "Give the account of the section elastic the privileges listed in docs/scaling.md" in str(raised.value)


def test_store_when_the_cluster_takes_no_writes_says_so_and_loses_nothing(secured: Secured) -> None:
    url = fresh(secured.server.url)
    store = open_store(url, secured.access)
    assert isinstance(store, ElasticStore)
    service = Service(store)
    service.record([occurrence(1)])
    locks = (
        ("/_cluster/settings", {"persistent": {"cluster.blocks.read_only": True}}, {"persistent": {"cluster.blocks.read_only": None}}),
        # What a node does to every index when its disk is full; it lifts it by itself when there is room again.
        ("/_all/_settings", {"index.blocks.read_only_allow_delete": True}, {"index.blocks.read_only_allow_delete": None}),
    )  # fmt: skip
    for number, (path, lock, free) in enumerate(locks, 2):
        secured.server.ask("PUT", path, lock)
        try:
            with pytest.raises(WrongStore, match=r"takes no writes.*Free disk space or lift the block"):
                service.record([occurrence(number)])
            assert store.occurrence(occurrence(1).key.id) is not None
            with pytest.raises(WrongStore, match="takes no writes"):
                service.settle(NOW)
        finally:
            secured.server.ask("PUT", path, free)
        assert service.record([occurrence(number)]).new == 1
    assert service.settle(NOW) == 1
    (row,) = service.queue(NOW)
    assert row.total == 3
    assert store.dead() == 0
    store.close()


def test_open_when_the_cluster_takes_no_writes_makes_nothing(secured: Secured) -> None:
    url = fresh(secured.server.url)
    settings = "/_cluster/settings"
    secured.server.ask("PUT", settings, {"persistent": {"cluster.blocks.read_only": True}})
    try:
        with pytest.raises(WrongStore, match=r"takes no writes.*lift the block"):
            open_store(url, secured.access)
    finally:
        secured.server.ask("PUT", settings, {"persistent": {"cluster.blocks.read_only": None}})
    assert secured.server.ask("GET", f"/{url.rpartition('/')[2]}-*") == {}


def test_copy_when_the_source_has_a_login_of_its_own_uses_it_for_the_source_alone(
    secured: Secured, tmp_path: Path
) -> None:
    url = fresh(secured.server.url)
    store = open_store(url, secured.access)
    store.put([occurrence(1)])
    store.close()
    (tmp_path / "other.toml").write_text(
        f'store = "{url}"\n[elastic]\nca_file = "{secured.access.ca_file}"\napi_key = "{secured.key(**ENOUGH)}"\n'
    )
    wrong = {"ELASTIC__USERNAME": NAME, "ELASTIC__PASSWORD": "s3cret-word"}
    words = ["copy", "--to", f"sqlite:///{tmp_path / 'copy.db'}", "--from-config", str(tmp_path / "other.toml")]
    done = run(fresh(secured.server.url), tmp_path, *words, **wrong)
    assert done.returncode == 0, done.stderr
    copied = open_store(f"sqlite:///{tmp_path / 'copy.db'}")
    assert copied.count(EVERYTHING) == 1
    copied.close()
    back = ["copy", "--to", fresh(secured.server.url), "--from", f"sqlite:///{tmp_path / 'copy.db'}"]
    done = run(url, tmp_path, *back, "--from-config", str(tmp_path / "other.toml"), **wrong)
    assert (done.returncode, "cannot be trusted" in done.stderr) == (2, True)


def test_command_when_its_settings_log_in_serves_and_when_they_do_not_ends_with_2(
    secured: Secured, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(secured.key(**ENOUGH) + "\n")
    url = fresh(secured.server.url)
    login = {"ELASTIC__CA_FILE": secured.access.ca_file, "ELASTIC__API_KEY_FILE": str(tmp_path / "key")}
    done = run(url, tmp_path, "problems", "--json", **login)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    wrong = {"ELASTIC__CA_FILE": secured.access.ca_file, "ELASTIC__USERNAME": NAME, "ELASTIC__PASSWORD": "s3cret-word"}
    done = run(url, tmp_path, **wrong)
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not let us in" in done.stderr
    assert "s3cret-word" not in done.stderr
