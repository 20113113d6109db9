"""A stand-in for Airflow's API on a loopback port, with the faults that real ones showed.

Answers in the shapes recorded from Airflow 3.3.2: its field names, its silent page limit, its cursor, its two kinds of
404, its log as NDJSON; or as Airflow 2.11 does where it differs. Holds no logic beyond filtering rows; what a test needs, it puts into the attributes.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Row = dict[str, Any]
HTML = b"<!doctype html><title>Sign in</title>"
NOT_FOUND = {"detail": "TaskInstance not found"}
LOG = b'{"timestamp":null,"event":"::group::Log message source details"}\n{"timestamp":null,"event":"::endgroup::"}\n'


def event(id: int, name: str, task: str | None, attempt: int | None = 1, **more: Any) -> Row:
    """Return an event log row as 3.3.2 answers it."""
    return {
        "event_log_id": id,
        "when": f"2026-11-22T08:{id // 60:02}:{id % 60:02}.250000Z",
        "dag_id": "etl",
        "task_id": task,
        "run_id": "manual__2026-11-22T08:00:00+00:00",
        "map_index": -1 if attempt is not None else None,
        "try_number": attempt,
        "event": name,
        "logical_date": None,
        "owner": "data-platform",
        "extra": '{"host_name": "vm"}',
        "dag_display_name": "etl",
        "task_display_name": task,
    } | more


def instance(task: str, state: str | None, attempt: int = 1, **more: Any) -> Row:
    """Return a task instance row as 3.3.2 answers it."""
    return {
        "id": f"01a20250-{task}",
        "task_id": task,
        "dag_id": "etl",
        "dag_run_id": "manual__2026-11-22T08:00:00+00:00",
        "map_index": -1,
        "start_date": "2026-11-22T08:00:00.500000Z",
        "end_date": "2026-11-22T08:00:01.500000Z",
        "state": state,
        "try_number": attempt,
        "max_tries": 0,
        "hostname": "vm",
        "pool": "default_pool",
        "queue": "default",
        "operator": "_PythonDecoratedOperator",
        "operator_name": "@task",
        "rendered_map_index": None,
        "dag_version": {
            "version_number": 3,
            "bundle_name": "shop",
            "bundle_version": "ef44148c",
            "bundle_url": "https://gitlab.example.com/data/dags/-/tree/ef44148c/dags",
        },
    } | more


class Stub:
    """What the stand-in answers; `fault` may answer a request in its place (return True)."""

    def __init__(self) -> None:
        self.version = "3.3.2"
        self.api = (
            "/api/v2"  # or Airflow 2's "/api/v1": basic auth, logs as text, and 400 for a parameter it does not know
        )
        self.events: list[Row] = []
        self.instances: list[Row] = []
        self.tries: dict[tuple[str, int], list[Row]] = {}
        self.dags: dict[str, Row] = {
            "etl": {"dag_id": "etl", "owners": ["data-platform"], "tags": [{"name": "team:x"}]}
        }
        self.runs: dict[str, Row] = {}
        self.downstream: dict[str, list[str]] = {}
        self.logs: dict[tuple[str, int, int], bytes] = {}
        self.imports: list[Row] = []
        self.page_limit = 100
        self.has_cursor = True
        self.ignored: set[str] = set()  # filters that this version does not know, as 3.x ignores them
        self.password = "right"
        self.token_life = 86400
        self.clock_ahead = 0.0
        self.fault: Callable[[Handler, str], bool] = lambda handler, path: False
        self.asked: Counter[str] = Counter()
        self.queries: list[tuple[str, dict[str, list[str]]]] = []
        self.issued = self._last = 0
        self._given: set[str] = set()
        self.url = ""

    def token(self) -> str:
        """Return the newest token; others that were given are taken too, until `issued` is raised from outside."""
        claims = {"sub": "triage", "iat": 1000, "exp": 1000 + self.token_life, "n": self.issued}
        return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.sig"

    def give(self) -> str:
        """Give one more token, as each of several who log in gets one."""
        if self.issued != self._last:
            self._given.clear()
        self.issued = self._last = self.issued + 1
        self._given.add(self.token())
        return self.token()

    def takes(self, token: str) -> bool:
        """Say whether a token is taken."""
        return token == self.token() or (self.issued == self._last and token in self._given)


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.1 for a Stub."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # as Airflow's own server does: else each answer waits 40 ms for an acknowledgement
    stub: Stub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the stand-in's clock."""
        return formatdate((timestamp or time.time()) + self.stub.clock_ahead, usegmt=True)

    def send(self, status: int, body: bytes | object, kind: str = "application/json", **headers: str) -> bool:
        """Answer; anything but bytes goes as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if kind == "application/x-ndjson" and data:
            data = gzip.compress(data)
            headers["Content-Encoding"] = "gzip"
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)
        return True

    def half(self, kind: str = "application/json") -> bool:
        """Answer with half of what was promised."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"event_logs": [')
        self.close_connection = True
        return True

    def do_POST(self) -> None:
        """Log in, or list task instances by a body as Airflow 2 does: in no useful order, and no limit of its own."""
        stub = self.stub
        path = urlsplit(self.path).path
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        stub.asked[path] += 1
        if stub.fault(self, path):
            return
        if path == "/api/v1/dags/~/dagRuns/~/taskInstances/list":
            found = [
                row
                for row in stub.instances
                if row["dag_id"] in sent["dag_ids"]
                and row["task_id"] in sent["task_ids"]
                and _time(row["start_date"]) >= _time(sent["start_date_gte"])
            ]
            self.send(200, {"task_instances": found[: sent["page_limit"]], "total_entries": len(found)})
        elif path != "/auth/token":
            self.send(404, {"error": "API route not found"})
        elif sent != {"username": "triage", "password": stub.password}:
            self.send(401, {"detail": "Invalid credentials"})
        else:
            self.send(201, {"access_token": stub.give()})

    def do_GET(self) -> None:
        """Answer a question."""
        stub = self.stub
        parts = urlsplit(self.path)
        path = parts.path.removeprefix(stub.api)
        query = parse_qs(parts.query, keep_blank_values=True)
        stub.asked[path] += 1
        stub.queries.append((path, query))
        if stub.fault(self, path):
            return
        if stub.api == "/api/v1":
            if not self._is_taken_by_2(parts.path, query):
                return
        elif parts.path.startswith("/api/v1"):
            self.send(404, {"error": "API route not found"})
            return
        if path == "/version":
            self.send(200, {"version": stub.version, "git_version": None})
        elif path == ("/monitor/health" if stub.api == "/api/v2" else "/health"):
            beat = "2026-11-22T08:26:58.346251+00:00"
            parts_ = {"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": beat}}
            self.send(200, {"metadatabase": {"status": "healthy"}, **parts_, "triggerer": {"status": None}})
        elif stub.api == "/api/v2" and not stub.takes(self.headers.get("Authorization", "").removeprefix("Bearer ")):
            self.send(
                401, {"detail": "Not authenticated" if not self.headers.get("Authorization") else "Token Expired"}
            )
        else:
            self._answer(path, query)

    def _is_taken_by_2(self, path: str, query: dict[str, list[str]]) -> bool:
        """Answer as Airflow 2 does what it does not take: another API's paths, no account, unknown parameters."""
        account = base64.b64encode(f"triage:{self.stub.password}".encode()).decode()
        unknown = set(query) & {"cursor", "task_id"} if path.endswith("taskInstances") else set()
        if not path.startswith("/api/v1"):
            self.send(404, HTML, "text/html")
        elif path.endswith(("/version", "/health")):
            return True
        elif self.headers.get("Authorization") != f"Basic {account}":
            self.send(401, {"detail": None, "status": 401, "title": "Unauthorized"})
        elif unknown:
            self.send(400, {"detail": f"Extra query parameter(s) {unknown} not in spec", "status": 400})
        else:
            return True
        return False

    def _answer(self, path: str, query: dict[str, list[str]]) -> None:
        stub = self.stub
        if path == "/eventLogs":
            events = [row for row in stub.events if _event_matches(row, query)]
            if query.get("order_by") == ["-event_log_id"]:
                events.reverse()
            self.send(200, self._page("event_logs", events, query))
        elif path == "/importErrors":
            self.send(200, self._page("import_errors", stub.imports, query))
        elif path == "/pools":
            pool = {"name": "tiny", "slots": 2, "running_slots": 1, "queued_slots": 3, "scheduled_slots": 4}
            self.send(200, self._page("pools", [pool], query))
        elif re.fullmatch(r"/dags/[^/]+/tasks", path):
            tasks = [{"task_id": task, "downstream_task_ids": after} for task, after in stub.downstream.items()]
            self.send(200, {"tasks": tasks, "total_entries": len(tasks)})
        elif found := re.fullmatch(r"/dags/([^/]+)", path):
            self._found(stub.dags.get(unquote(found[1])))
        elif found := re.fullmatch(r"/dags/[^/]+/dagRuns/([^/]+)", path):
            self._found(stub.runs.get(unquote(found[1])))
        elif found := re.fullmatch(r"/dags/([^/]+)/dagRuns/([^/]+)/taskInstances", path):
            self._list(unquote(found[1]), unquote(found[2]), query)
        elif found := re.fullmatch(r"/dags/[^/]+/dagRuns/([^/]+)/taskInstances/([^/]+)/(.+)", path):
            self._task(unquote(found[1]), unquote(found[2]), found[3], query)
        else:
            self.send(404, {"error": "API route not found"})

    def _task(self, run: str, task: str, rest: str, query: dict[str, list[str]]) -> None:
        index, _, rest = ("-1", "", rest) if not rest[0].isdigit() else rest.partition("/")
        tries = self.stub.tries.get((task, int(index)), [])
        if "/" in run:
            self.send(404, {"error": "API route not found"})
        elif found := re.fullmatch(r"logs/(\d+)", rest):
            log = self.stub.logs.get((task, int(query.get("map_index", ["-1"])[0]), int(found[1])))
            kind = "application/x-ndjson" if self.stub.api == "/api/v2" else "text/plain; charset=utf-8"
            self.send(404, NOT_FOUND) if log is None else self.send(200, log, kind)
        elif rest == "tries":
            self.send(200, {"task_instances": tries, "total_entries": len(tries)})
        elif found := re.fullmatch(r"tries/(\d+)", rest):
            self._found(next((row for row in tries if row["try_number"] == int(found[1])), None))
        else:
            rows = self.stub.instances
            self._found(next((row for row in rows if (row["task_id"], row["map_index"]) == (task, int(index))), None))

    def _found(self, row: Row | None) -> None:
        self.send(404, NOT_FOUND) if row is None else self.send(200, row)

    def _list(self, dag: str, run: str, query: dict[str, list[str]]) -> None:
        rows = [
            {name: value for name, value in row.items() if name != "updated_at"}  # filtered by, but never returned
            for row in self.stub.instances
            if dag in ("~", row["dag_id"])
            and _is_within(row.get("updated_at"), query.get("updated_at_gte"), query.get("updated_at_lte"))
            and run in ("~", row["dag_run_id"])
            and all(
                name not in query
                or name in self.stub.ignored
                or str("no_status" if row[name] is None else row[name]) in query[name]
                for name in ("state", "task_id", "try_number", "map_index")
            )
            and ("start_date_gte" not in query or _time(row["start_date"]) >= _time(query["start_date_gte"][0]))
            and ("end_date_lte" not in query or _time(row["end_date"]) <= _time(query["end_date_lte"][0]))
        ]
        if query.get("order_by") == ["-start_date"]:
            rows.sort(key=lambda row: _time(row["start_date"]), reverse=True)
        if query.get("order_by") == ["-try_number"]:
            rows.sort(key=lambda row: -row["try_number"])
        self.send(200, self._page("task_instances", rows, query))

    def _page(self, name: str, rows: list[Row], query: dict[str, list[str]]) -> Row:
        limit = min(int(query.get("limit", ["50"])[0]), self.stub.page_limit)
        start = int(query.get("offset", ["0"])[0])
        if not self.stub.has_cursor or "cursor" not in query:
            return {name: rows[start : start + limit], "total_entries": len(rows)}
        start = int(query["cursor"][0] or "0")
        after = str(start + limit) if start + limit < len(rows) else None
        body = {name: rows[start : start + limit], "total_entries": len(rows), "total_entries_limit": 50000}
        return {**body, "next_cursor": after, "previous_cursor": None}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _event_matches(row: Row, query: dict[str, list[str]]) -> bool:
    return (
        row["event"] in ",".join(query.get("included_events", query.get("event", [row["event"]]))).split(",")
        and all(row[name] in query[name] for name in ("dag_id", "run_id", "task_id") if name in query)
        and _is_within(row["when"], query.get("after"), query.get("before"), is_strict=True)
    )


def _is_within(at: str | None, start: list[str] | None, end: list[str] | None, *, is_strict: bool = False) -> bool:
    """Tell whether a row's time lies in what was asked for; one without a time always does."""
    if at is None:
        return True
    moment = datetime.fromisoformat(at)
    low, high = (datetime.fromisoformat(edge[0]) if edge else None for edge in (start, end))
    if is_strict:
        return (low is None or moment > low) and (high is None or moment < high)
    return (low is None or moment >= low) and (high is None or moment <= high)


def fail(stub: Stub, n: int) -> None:
    """Let task `t<n>` fail now, with a whole log."""
    stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    frames = [{"filename": "/d.py", "lineno": 3, "name": "load"}]
    raised = {"exc_type": "KeyError", "exc_value": "'amount'", "frames": frames}
    begin = {"timestamp": stamp, "event": "::group::Pre Execute", "level": "info", "logger": "task"}
    said = {"timestamp": stamp, "event": "Task failed with exception", "level": "error", "logger": "task"}
    records = [begin, {**begin, "event": "::endgroup::"}, {**said, "error_detail": [raised]}]
    stub.logs[f"t{n}", -1, 1] = LOG + b"".join(json.dumps(record).encode() + b"\n" for record in records)
    stub.events.append(event(n, "failed", f"t{n}", when=stamp))


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Stub]:
    """Serve a Stub on a free loopback port while the block runs, over TLS where a context is given."""
    stub = Stub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("StubHandler", (Handler,), {"stub": stub}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients hang up on purpose
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    stub.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
