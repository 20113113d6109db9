"""Logging in to real Airflows: the simple auth manager with its secret changed, and the FAB one with the README's role."""

from __future__ import annotations

import json
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from collector.airflow import Access, Airflow
from tests.airflow_fixture import FinishedAirflow
from tests.api_server import ApiServer
from tests.networks import reverse_proxy
from tests.test_readme import ACCOUNT
from triage.errors import LoginFailed, SourceError, SourceForbidden
from triage.service import Service
from triage.settings import environment, load
from triage.store import open_store
from ui.demo.install import PACKAGES, cache_folder, install
from ui.front.desk import Desk, open_desk

pytestmark = pytest.mark.airflow
CONSTRAINTS = Path(__file__).parent / "constraints-fab.txt"
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
PASSWORD = "a pässword: of $ome kind"
# Asks for a token as a person would with curl, and prints it.
PRINT_TOKEN = """
import json, os, sys, urllib.request
body = json.dumps({"username": sys.argv[2], "password": sys.argv[3]}).encode()
request = urllib.request.Request(sys.argv[1] + "/auth/token", body, {"Content-Type": "application/json"})
with open(sys.argv[4], "a") as runs:
    runs.write("x")
with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
    print(json.load(answer)["access_token"])
"""


def found(source: Airflow) -> set[tuple[str, str, str, int, int]]:
    """Every failed try that the event log tells of."""
    keys = [fact.key for page in source.events(SINCE, SINCE) for fact in page]
    return {(key.dag_id, key.run_id, key.task_id, key.map_index, key.try_number) for key in keys}


# --- the simple auth manager


@pytest.fixture(scope="module")
def simple(airflow: FinishedAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    home = tmp_path_factory.mktemp("simple") / "home"
    with ApiServer(airflow, airflow.airflow.environment, home) as server:
        yield server


def test_a_secret_that_was_changed_costs_one_log_in_and_no_failure(simple: ApiServer, airflow: FinishedAirflow) -> None:
    source = Airflow("prod", Access(simple.url, airflow.username, airflow.password))
    given = Airflow("prod", Access(simple.url, token=str(simple.ask("/auth/token", login(airflow))["access_token"])))
    assert found(source) == found(given) == airflow.truth()
    simple.stop()
    simple.start(API_AUTH__JWT_SECRET="another secret " * 5)
    assert found(source) == airflow.truth()
    with pytest.raises(
        SourceError, match=r"does not take our token: Invalid JWT token \(403\)\. Set token of"
    ) as caught:
        given.pools()
    assert not isinstance(caught.value, SourceForbidden)


def login(airflow: FinishedAirflow) -> dict[str, str]:
    return {"username": airflow.username, "password": airflow.password}


def test_tokens_that_live_a_second_are_made_anew_and_a_given_one_is_said_to_be_over(
    simple: ApiServer, airflow: FinishedAirflow, tmp_path: Path
) -> None:
    simple.stop()
    simple.start(API_AUTH__JWT_EXPIRATION_TIME="1", API_AUTH__JWT_LEEWAY="0")
    runs = tmp_path / "runs"
    command = (sys.executable, "-c", PRINT_TOKEN, simple.url, airflow.username, airflow.password, str(runs))
    account = Airflow("prod", Access(simple.url, airflow.username, airflow.password))
    program = Airflow("prod", Access(simple.url, token_command=command))
    given = Airflow("prod", Access(simple.url, token=str(simple.ask("/auth/token", login(airflow))["access_token"])))
    for _ in range(2):
        assert account.pools() == program.pools()
        time.sleep(1.1)
    assert found(account) == found(program) == airflow.truth()
    assert len(runs.read_text()) > 1
    with pytest.raises(SourceError, match=r"does not take our token: Token Expired \(401\); it expired at 20\d\d-"):
        given.pools()


def test_an_airflow_with_a_path_prefix_is_read_behind_a_reverse_proxy(
    simple: ApiServer, airflow: FinishedAirflow
) -> None:
    simple.stop()
    with reverse_proxy(simple.url, "/team/airflow", strips=False) as passage:
        simple.start(API__BASE_URL=passage.url, API_AUTH__JWT_EXPIRATION_TIME="86400")
        source = Airflow("prod", Access(passage.url, airflow.username, airflow.password))
        assert found(source) == airflow.truth()
        assert passage.passed
        with pytest.raises(LoginFailed, match=r"gives no token for a username there \(405\)") as caught:
            Airflow("prod", Access(simple.url, airflow.username, airflow.password)).version()
        assert "with its path prefix" in caught.value.fix


# --- the FAB auth manager


@dataclass
class Fab:
    """An Airflow with the FAB auth manager, and airtriage that watches it under one of its accounts."""

    server: ApiServer
    truth: set[tuple[str, str, str, int, int]]

    def __call__(
        self, folder: Path, username: str, *arguments: str, password: str = PASSWORD
    ) -> subprocess.CompletedProcess[str]:
        (folder / "secret").write_text(f"{password}\n", "utf-8")
        (folder / "airtriage.toml").write_text(f"""
data_dir = "data"
log_waits = ["1h"]
[deployments.prod]
url = "{self.server.url}"
username = "{username}"
password_file = "{folder / "secret"}"
lookback = "999d"
""")
        command = [sys.executable, "-m", "ui.cli", *arguments]
        environ = environment(inherit=False)
        return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)

    def kept(self, folder: Path, username: str) -> set[tuple[str, str, str, int, int]]:
        rows = map(json.loads, self(folder, username, "search", "--json").stdout.splitlines())
        return {(r["dag_id"], r["run_id"], r["task_id"], r["map_index"], r["try_number"]) for r in rows}


@pytest.fixture(scope="module")
def fab(airflow: FinishedAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fab]:
    """Make the README's account, one like it that may not read the audit log, and one with FAB's own role Viewer."""
    packages = (*PACKAGES, "apache-airflow-providers-fab")
    env = install(cache_folder(), print, constraints=CONSTRAINTS, packages=packages)
    home = tmp_path_factory.mktemp("fab") / "home"
    manager = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    server = ApiServer(airflow, env, home, CORE__AUTH_MANAGER=manager)
    server.run("airflow db migrate")
    server.run(f"PASSWORD={shlex.quote(PASSWORD)}\n{ACCOUNT}")
    with closing(sqlite3.connect(home / "airflow.db")) as database, database:
        _add_accounts(database)
    with server:
        yield Fab(server, airflow.truth())


def _add_accounts(database: sqlite3.Connection) -> None:
    """Copy the README's account, by SQL: each of Airflow's own commands takes several seconds."""
    database.execute("INSERT INTO ab_role (name) VALUES ('no_audit')")
    database.execute("""
        INSERT INTO ab_permission_view_role (permission_view_id, role_id)
        SELECT has.permission_view_id, (SELECT id FROM ab_role WHERE name = 'no_audit')
        FROM ab_permission_view_role has JOIN ab_role role ON role.id = has.role_id AND role.name = 'triage_reader'
        JOIN ab_permission_view pair ON pair.id = has.permission_view_id
        JOIN ab_view_menu resource ON resource.id = pair.view_menu_id AND resource.name != 'Audit Logs'
    """)
    for username, role in (("no_audit", "no_audit"), ("viewer", "Viewer")):
        database.execute(f"""
            INSERT INTO ab_user (first_name, last_name, username, password, active, email)
            SELECT first_name, last_name, '{username}', password, active, '{username}@example.com'
            FROM ab_user WHERE username = 'svc_triage'
        """)
        database.execute(f"""
            INSERT INTO ab_user_role (user_id, role_id) SELECT ab_user.id, ab_role.id FROM ab_user, ab_role
            WHERE username = '{username}' AND name = '{role}'
        """)


def test_the_account_of_the_readme_reads_all_that_is_read(fab: Fab, tmp_path: Path) -> None:
    doctor = fab(tmp_path, "svc_triage", "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "FAIL" not in doctor.stdout
    done = fab(tmp_path, "svc_triage", "collect")
    assert done.returncode == 0, done.stderr
    assert fab.kept(tmp_path, "svc_triage") == fab.truth


MISSED = "without what the scheduler stopped, who marked one, and tries that Airflow lost"


def test_without_the_audit_log_the_task_instances_serve_and_what_is_missed_is_said(fab: Fab, tmp_path: Path) -> None:
    done = fab(tmp_path, "no_audit", "collect")
    assert done.returncode == 1
    assert MISSED in done.stderr
    kept = fab.kept(tmp_path, "no_audit")
    assert kept == standing(fab.server.home / "airflow.db")
    assert kept <= fab.truth
    assert MISSED in health_page(tmp_path)


def test_fabs_own_viewer_is_told_by_doctor_which_permission_it_lacks(fab: Fab, tmp_path: Path) -> None:
    doctor = fab(tmp_path, "viewer", "doctor")
    assert doctor.returncode == 1
    (failed,) = [line for line in doctor.stdout.splitlines() if "FAIL" in line]
    assert "prod event log: the account may not read eventLogs" in failed
    assert 'add-perms ROLE -a can_read -r "DAGs" "Audit Logs"' in failed
    assert MISSED in failed


def standing(database: Path) -> set[tuple[str, str, str, int, int]]:
    """Return the failed tries that Airflow did not lose; try 0 is a task that was cleared before it ever ran."""
    with closing(sqlite3.connect(database)) as rows:
        return set(
            rows.execute(
                "SELECT dag_id, run_id, task_id, map_index, try_number FROM task_instance"
                " WHERE state IN ('failed', 'up_for_retry') UNION SELECT dag_id, run_id, task_id, map_index, try_number"
                " FROM task_instance_history WHERE state = 'failed' AND try_number > 0"
            )
        )


def health_page(folder: Path) -> str:
    """Return what the Health page shows of the store in a folder."""
    settings = load(str(folder / "airtriage.toml"), {"AIRTRIAGE_DATA_DIR": str(folder / "data")})
    service = Service(open_store(settings.store_url), settings.scopes)
    open_desk(Desk(service, settings, lambda: datetime.now(UTC)))
    try:
        app = AppTest.from_function(_draw_health, default_timeout=20).run()
        assert not app.exception
        return " ".join(_texts(app.main))
    finally:
        service.store.close()


def _draw_health() -> None:
    from ui.pages import health

    health.render()


def _texts(block: Any) -> Iterator[str]:
    for element in block.children.values():
        if hasattr(element, "children"):
            yield from _texts(element)
        elif hasattr(element.proto, "bytes"):
            yield element.proto.bytes.decode("utf-8", "replace")


def test_a_wrong_password_is_one_sentence_and_is_not_shown(fab: Fab, tmp_path: Path) -> None:
    done = fab(tmp_path, "svc_triage", "doctor", password="not-the-pässword")
    assert done.returncode == 1
    (failed,) = [line for line in done.stdout.splitlines() if "FAIL" in line]
    assert "Airflow does not let svc_triage in. Check username of [deployments.prod] and its password." in failed
    assert "not-the" not in done.stdout + done.stderr
