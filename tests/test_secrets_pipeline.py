"""The attack set through the whole of airtriage: two stand-in Airflows, `airtriage up`, and a look into all that leaves.

Airflow 3 serves half of the secrets in NDJSON records, Airflow 2 the other half in text; health, events and errors of the
server carry some too. Then each secret is looked for, in every form, in the bytes of the store, in what is compressed and
indexed there, in the API, in the pages of a real browser, in our logs, on the command line and in a crash report.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.airflow_stub import LOG, Handler, Stub, event, instance, serving
from tests.place import Account, Place, place, wait_for
from tests.secrets_seeded import Seeded, leaks, seeded
from tests.served import chromium, free_port
from triage.model import LogLine, Occurrence, Signature, TaskTry
from triage.query import EVERYTHING
from triage.records import Change, Problem, TriageState
from triage.redact import MASK
from triage.store import Store, open_store
from triage.store.sqlite.packing import unpack

TRIES = 20
OWN = "Own+Airflow/Account pass9"
STAMP = "2026-11-22T08:00:01.400000"
SEEDED = seeded()


def shares() -> list[list[Seeded]]:
    """Every kind and context in every dress: dealt out one by one."""
    return [SEEDED[start::TRIES] for start in range(TRIES)]


def as_records(share: list[Seeded]) -> bytes:
    """Airflow 3: one NDJSON record a line, the first secret of all in the exception that ended the try."""
    common = {"timestamp": STAMP + "Z", "level": "info", "logger": "task.stdout"}
    records = [{**common, "event": line} for one in share for line in (*one.lines, "and so on")]
    said = {
        "exc_type": "ValueError",
        "exc_value": " ".join(share[0].lines) + f" in {len(share)}",
        "exc_notes": list(share[1].lines),
    }
    failed = {**common, "level": "error", "event": "Task failed with exception", "error_detail": [said]}
    return LOG + b"".join(json.dumps(record).encode() + b"\n" for record in [*records, failed])


def as_text(share: list[Seeded]) -> bytes:
    """Airflow 2: a prefix before each record, what a record goes on with below it."""
    prefix = f"[{STAMP}+0000] {{subprocess.py:106}} "
    lines = [f"{prefix}INFO - {line}" for one in share for line in (*one.lines, "and so on")]
    lines += [
        f"{prefix}ERROR - Task failed with exception",
        "Traceback (most recent call last):",
        '  File "/dags/x.py", line 3, in load',
    ]
    lines += [
        f"ValueError: {' '.join(share[0].lines)} in {len(share)}",
        f"{prefix}INFO - Marking task as FAILED. dag_id=etl, task_id=t",
    ]
    return "\n".join(lines).encode() + b"\n"


def fill(stub: Stub, numbers: range, *, is_text: bool) -> None:
    for number in numbers:
        share = shares()[number]
        stub.events.append(event(number, "failed", f"t{number}"))
        row = instance(f"t{number}", "failed", rendered_map_index=share[2].lines[0])
        stub.instances.append(row)
        stub.logs[f"t{number}", -1, 1] = as_text(share) if is_text else as_records(share)
    first = shares()[numbers[0]][0]
    stub.imports = [
        {"import_error_id": 1, "filename": "/dags/x.py", "bundle_name": "b", "timestamp": STAMP + "Z", "stack_trace": "\n".join(one.lines)}
        for one in (first, SEEDED[40], SEEDED[200])
    ]  # fmt: skip

    def forbid(handler: Handler, path: str) -> bool:
        detail = f"not with {SEEDED[300].lines[0]} nor {OWN}"
        return path == "/pools" and handler.send(403, {"detail": detail})

    stub.fault = forbid


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, str]]:
    """`airtriage up` on both stand-ins, when it has read and folded everything; the address of its page."""
    port = free_port()
    with serving() as three, serving() as two:
        two.api, two.version = "/api/v1", "2.11.0"
        three.password = two.password = OWN
        fill(three, range(TRIES // 2), is_text=False)
        fill(two, range(TRIES // 2, TRIES), is_text=True)
        three.logs["t0", -1, 1] += (
            json.dumps({"timestamp": STAMP + "Z", "event": f"so it said {OWN} to us"}).encode() + b"\n"
        )
        old = {
            "DEPLOYMENTS__OLD__URL": two.url, "DEPLOYMENTS__OLD__USERNAME": "triage", "DEPLOYMENTS__OLD__PASSWORD": OWN,
            "DEPLOYMENTS__OLD__LOOKBACK": "3650d", "DEPLOYMENTS__PROD__LOOKBACK": "3650d", "DEPLOYMENTS__OLD__POLL": "2s",
            "WEB__PORT": str(port), "LOG_WAITS": "1s",
        }  # fmt: skip
        made = place(tmp_path_factory.mktemp("seeded"), Account(three.url, "triage", OWN), **old)
        with made.running("up"):
            wait_for(lambda: is_read(made), 120)
            yield made, f"http://127.0.0.1:{port}"


def is_read(made: Place) -> bool:
    store = made.service().store
    try:
        found = store.search(EVERYTHING, TRIES + 1)
        owned = {problem.fingerprint for problem, _ in store.records(Problem)}
        return len(found) == TRIES and all(fact.fingerprint in owned and fact.next_fetch_at is None for fact in found)
    finally:
        store.close()


def found_in(*haystacks: bytes) -> list[tuple[str, str]]:
    """Return kind and context of every secret that stands in one of these, in any form; and our own password."""
    assert all(haystacks)
    whole = b"\n\0\n".join(haystacks)
    leaked = [(one.kind, one.context) for one in SEEDED for part in one.parts if leaks(part, whole)]
    return leaked + [("our own password", "")] * leaks(OWN, whole)


def inside(file: Path) -> list[bytes]:
    """Return the bytes of a store and what beside it belongs to it, and what is compressed or indexed inside."""
    parts = [path.read_bytes() for path in file.parent.glob(file.name + "*")]
    with closing(sqlite3.connect(file)) as db:
        bodies = db.execute("SELECT body FROM kept UNION ALL SELECT body FROM occurrence")
        parts += [unpack(body) for (body,) in bodies]
        db.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab (main, words, row)")
        parts.append(" ".join(term for (term,) in db.execute("SELECT term FROM temp.terms")).encode())
    return [part for part in parts if part]


def telling_terms(one: Seeded) -> set[str]:
    """The words of a secret as an index would hold them, long enough to tell it."""
    return {
        word
        for part in one.parts
        for word in re.findall(r"[a-z0-9]{10,}", part.lower())
        if re.search(r"\d", word) and re.search("[a-z]", word)
    }


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def test_none_of_500_secrets_is_in_the_store_nor_in_its_index(watched: tuple[Place, str]) -> None:
    made, _ = watched
    parts = inside(made.folder / "airtriage.db")
    assert found_in(*parts) == []
    assert sum(part.count(MASK.encode()) for part in parts) > 500
    terms = set(parts[-1].decode().split())
    assert [one for one in SEEDED if telling_terms(one) & terms] == []


def test_none_of_500_secrets_leaves_by_the_api_or_the_command_line(watched: tuple[Place, str]) -> None:
    made, url = watched
    problems = json.loads(get(f"{url}/api/problems?limit=100"))
    assert len(problems) >= TRIES // 2
    said = [get(f"{url}/api/problems/{problem['id']}") for problem in problems]
    said += [get(f"{url}/api/search?limit=100"), get(f"{url}/api/problems?limit=100"), get(f"{url}/metrics")]
    for arguments in (
        ["problems", "*"],
        ["search", "*", "--json"],
        ["doctor"],
        *(["problem", problem["id"]] for problem in problems[:4]),
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "ui.cli", *arguments],
            env=made.environ,
            cwd=made.folder,
            capture_output=True,
            check=False,
        )
        said.append(ran.stdout + ran.stderr)
    assert found_in(*said) == []
    assert MASK.encode() in b"".join(said)


@pytest.mark.browser
def test_none_of_500_secrets_is_sent_to_a_browser(watched: tuple[Place, str]) -> None:
    _, url = watched
    ids = [problem["id"] for problem in json.loads(get(f"{url}/api/problems?limit=100"))]
    sent: list[bytes] = []
    with chromium() as browser:
        page = browser.new_page()
        keep = lambda frame: sent.append(frame if isinstance(frame, bytes) else frame.encode())  # noqa: E731
        page.on("websocket", lambda socket: socket.on("framereceived", keep))
        for path in ("", "search?q=*", "health", *(f"problem?id={id}" for id in ids)):
            page.goto(f"{url}/{path}", wait_until="networkidle")
            sent.append(page.content().encode())
    assert found_in(*filter(None, sent)) == []
    assert b"ValueError" in b"".join(sent)


def test_none_of_500_secrets_is_in_our_own_logs_or_a_crash_report(watched: tuple[Place, str], tmp_path: Path) -> None:
    made, _ = watched
    logs = [path.read_bytes() for path in [*(made.folder / "logs").glob("*"), made.folder / "log.txt"]]
    assert found_in(b"logs:", *filter(None, logs)) == []
    code = (
        "import logging, sys; from ui import own_log; from tests.secrets_seeded import seeded; from triage.settings import load\n"
        "own_log.guard(load().redactor); logging.basicConfig(filename=sys.argv[1])\n"
        "lines = [line for one in seeded() for line in (*one.lines, 'and so on')]\n"
        "for one in seeded(): logging.error('it said %s', '\\n'.join(one.lines))\n"
        f"raise ValueError('\\n'.join(lines) + {OWN!r})\n"
    )
    environ = made.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "our.log"], env=environ, capture_output=True, check=False
    )
    assert ran.stderr.startswith(b"Traceback (most recent call last):")
    assert ran.stderr.count(MASK.encode()) > 400
    assert found_in(ran.stderr, (tmp_path / "our.log").read_bytes()) == []


# --- what an older version left in a store


def test_secrets_stored_before_are_in_no_byte_of_the_file_after_redact(tmp_path: Path) -> None:
    file = tmp_path / "airtriage.db"
    plant(open_store(f"sqlite:///{file}"))
    before = inside(file)
    assert len(found_in(*before)) > 400
    environ = {**os.environ, "AIRTRIAGE_DATA_DIR": str(tmp_path), "AIRTRIAGE_DEPLOYMENTS__PROD__URL": "https://a",
               "AIRTRIAGE_DEPLOYMENTS__PROD__USERNAME": "t", "AIRTRIAGE_DEPLOYMENTS__PROD__PASSWORD": OWN}  # fmt: skip

    def redact(*options: str) -> dict[str, object]:
        argv = [sys.executable, "-m", "ui.cli", "redact", "--json", *options]
        ran = subprocess.run(argv, env=environ, cwd=tmp_path, capture_output=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return dict(json.loads(ran.stdout))

    prints = fingerprints(file)
    counted = redact("--dry-run")
    assert len(found_in(*inside(file))) > 400
    done = redact()
    assert done == {**counted, "dry_run": False}
    assert (done["tries"], done["changed_tries"], done["changed_records"]) == (TRIES, TRIES, 2)
    assert found_in(*inside(file)) == []
    assert [one for one in SEEDED if telling_terms(one) & set(inside(file)[-1].decode().split())] == []
    assert fingerprints(file) == prints
    assert redact()["changed_tries"] == 0


def plant(store: Store) -> None:
    """Write facts as a version without redaction would have."""
    at = datetime(2026, 11, 22, 8, tzinfo=UTC)
    for number, share in enumerate(shares()):
        lines = tuple(LogLine(n, line) for n, line in enumerate([line for one in share for line in one.lines], 1))
        signed = Signature(1, f"1:{number:016x}", share[0].lines[0][:160], "unknown", decisions=(share[1].lines[0],))
        key = TaskTry("prod", "etl", "run", f"t{number}")
        store.put([Occurrence(key, at, at, map_label=share[2].lines[0], signature=signed, kept=lines, log_bytes=9)])
        store.put(
            [
                Occurrence(
                    key, at, at, signature=replace(signed, title=OWN), kept=(*lines, LogLine(900, OWN)), log_bytes=99
                )
            ]
        )
    first = Problem("p", "prod", "1:0", " ".join(SEEDED[7].lines), "unknown", TriageState.NEW, at, at)
    store.save(first, None)
    store.save(Change("p", at, "bob", "muted", f"until {OWN} is gone"), None)
    store.close()


def fingerprints(file: Path) -> dict[str, str]:
    store = open_store(f"sqlite:///{file}")
    try:
        return {fact.key.id: fact.fingerprint for fact in store.search(EVERYTHING, 100)}
    finally:
        store.close()
