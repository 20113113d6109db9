"""A deployment recorded from a real Airflow and served again at full speed, its failures spread over as long as wanted.

`record` asks the throwaway Airflow of the demo for everything a pass asks of a failed try. The stand-in of the tests then
answers with it, over and over under further run ids, each failure known from its moment on. Ends when its standard input
ends. Run as `python -m tests.bench.recorded FILE COUNT SECONDS`; prints its address.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import urllib3

from tests import airflow_stub
from ui.demo.airflow import ThrowawayAirflow

Row = dict[str, Any]

_STAMP = re.compile(r'"timestamp": ?"[^"]{10,40}"')
_LONGEST = 1 << 20  # a log of the demo that is longer would measure the stand-in


def record(airflow: ThrowawayAirflow, file: Path) -> int:
    """Save what Airflow answers about each failed try whose log is at hand; returns how many there are."""
    pool = urllib3.PoolManager()
    account = json.dumps({"username": airflow.username, "password": airflow.password})
    header = {"Content-Type": "application/json"}
    token = pool.request("POST", f"{airflow.url}/auth/token", body=account, headers=header).json()["access_token"]

    def ask(path: str, accept: str = "application/json") -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {token}", "Accept": accept}
        return pool.request("GET", f"{airflow.url}/api/v2/{path}", headers=headers, redirect=False)

    events = []
    ended = "eventLogs?included_events=failed&included_events=up_for_retry&order_by=event_log_id&limit=100"
    while page := ask(f"{ended}&offset={len(events)}").json()["event_logs"]:
        events += page
    tries = []
    for event in events:
        mapped = "" if event["map_index"] < 0 else f"/{event['map_index']}"
        run = (
            f"dags/{quote(event['dag_id'])}/dagRuns/{quote(event['run_id'], safe='')}/taskInstances/{event['task_id']}"
        )
        log = ask(f"{run}/logs/{event['try_number']}?map_index={event['map_index']}", "application/x-ndjson")
        attempt = ask(f"{run}{mapped}/tries/{event['try_number']}")
        if log.status == attempt.status == 200 and b"error" in log.data and len(log.data) < _LONGEST:
            said = {"event": event, "try": attempt.json(), "log": log.data.decode("utf-8", "replace")}
            tries.append(said)
    dags = {name: ask(f"dags/{quote(name)}").json() for name in {event["dag_id"] for event in events}}
    file.write_text(json.dumps({"tries": tries, "dags": dags}))
    return len(tries)


class Replay:
    """`count` failures within `seconds` from `began` on, each like one of the recording, in turns."""

    def __init__(self, file: Path, count: int, seconds: float, began: datetime) -> None:
        recording = json.loads(file.read_text())
        self.tries: list[Row] = recording["tries"]
        self.dags: dict[str, Row] = recording["dags"]
        self.count = count
        self.step = timedelta(seconds=seconds / count)
        self.began = began

    def at(self, number: int) -> datetime:
        """Return when that failure happens."""
        return self.began + number * self.step

    def until(self, at: datetime) -> int:
        """Return how many failures have happened by then."""
        return max(0, min(self.count, int((at - self.began) / self.step) + 1))

    def events(self, query: dict[str, list[str]], now: datetime) -> Row:
        """Return a page of the event log."""
        after = query.get("after")
        first = self.until(datetime.fromisoformat(after[0])) if after else 0
        before = query.get("before")
        last = self.until(min(now, datetime.fromisoformat(before[0])) if before else now)
        start = first + int(query.get("offset", ["0"])[0])
        numbers = range(start, min(last, start + min(int(query["limit"][0]), 100)))
        return {"event_logs": [self._event(number) for number in numbers], "total_entries": max(0, last - first)}

    def attempt(self, number: int) -> Row:
        """Return the try of that failure."""
        ended = self.at(number).isoformat()
        return self._like(number)["try"] | {"dag_run_id": _run(number), "end_date": ended, "start_date": ended}

    def log(self, number: int) -> bytes:
        """Return the log of that failure, its records dated by its end."""
        stamp = f'"timestamp":"{self.at(number).isoformat()}"'
        return _STAMP.sub(stamp, self._like(number)["log"]).encode()

    def _event(self, number: int) -> Row:
        dated = {"event_log_id": number, "when": self.at(number).isoformat(), "run_id": _run(number)}
        return self._like(number)["event"] | dated

    def _like(self, number: int) -> Row:
        return self.tries[number % len(self.tries)]


def _run(number: int) -> str:
    return f"burst__{number}"


def answer(handler: airflow_stub.Handler, path: str, replay: Replay) -> bool:
    """Answer what the recording knows; False leaves the request to the stand-in."""
    if path == "/eventLogs" and handler.stub.queries:
        query = handler.stub.queries[-1][1] if handler.stub.queries[-1][0] == path else {}
        wanted = "failed" in query.get("included_events", [])
        empty = {"event_logs": [], "total_entries": 0}
        return handler.send(200, replay.events(query, datetime.now(UTC)) if wanted else empty)
    found = re.fullmatch(r"/dags/[^/]+/dagRuns/burst__(\d+)/taskInstances/.+/(logs|tries)/\d+", unquote(path))
    if found is None:
        return False
    number = int(found[1])
    if found[2] == "logs":
        return handler.send(200, replay.log(number), "application/x-ndjson")
    return handler.send(200, replay.attempt(number))


def main(file: str, count: str, seconds: str) -> None:
    """Serve the recording until the standard input ends."""
    replay = Replay(Path(file), int(count), float(seconds), datetime.now(UTC) + timedelta(seconds=2))
    with airflow_stub.serving() as stub:
        stub.dags = replay.dags
        stub.fault = lambda handler, path: answer(handler, path, replay)
        print(stub.url, replay.began.isoformat(), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
