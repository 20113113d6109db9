"""A copy of the finished Airflow, whose rows a test may change: what cannot be made to happen at will, other clocks.

A real api-server answers from a copy of the real database and logs. `reset` moves every time that Airflow ever wrote, in
rows and logs, as a host with a wrong clock would have written it; the `Date` of its answers is moved by a FaultProxy.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.airflow_fixture import Database, FinishedAirflow
from ui.demo.airflow import ThrowawayAirflow

_STAMP = re.compile(rb'("timestamp": ?")([^"]+)(")')
TABLES = ("task_instance", "task_instance_history", "log", "dag_run")
Taken = dict[str, list[dict[str, Any]]]


class AirflowCopy(Database):
    """Another Airflow with the same past; call `reset` before use."""

    def __init__(self, like: FinishedAirflow, server: ThrowawayAirflow) -> None:
        super().__init__(server.database)
        self._like = like
        self.url, self.username, self.password = server.url, server.username, server.password

    def reset(self, ahead: timedelta = timedelta()) -> None:
        """Begin again with the past of the original, all of its times moved by `ahead`."""
        logs = self.file.parent / "logs"
        shutil.rmtree(logs, ignore_errors=True)
        shutil.copytree(self._like.home / "logs", logs)
        with closing(sqlite3.connect(self._like.file)) as theirs, closing(sqlite3.connect(self.file)) as ours:
            theirs.backup(ours)
            with ours:
                _move(ours, ahead)
        for log in logs.rglob("*.log"):
            log.write_bytes(_STAMP.sub(lambda found: _moved(found, ahead), log.read_bytes()))

    def change(self, sql: str) -> None:
        """Change the rows."""
        with self._writing() as database:
            database.execute(sql)

    def age(self, dag_id: str, by: timedelta) -> None:
        """Let everything that happened in a DAG have happened so much earlier."""
        with self._writing() as database:
            _move(database, -by, dag_id)

    def take_out(self, dag_id: str) -> Taken:
        """Remove what happened in a DAG, as if it had not run yet, and return it."""
        with self._writing() as database:
            database.row_factory = sqlite3.Row
            taken = {}
            for table in ("task_instance", "task_instance_history", "log"):
                rows = database.execute(f"SELECT * FROM {table} WHERE dag_id = ?", (dag_id,)).fetchall()
                taken[table] = [dict(row) for row in rows]
                database.execute(f"DELETE FROM {table} WHERE dag_id = ?", (dag_id,))
            return taken

    def put_back(self, taken: Taken, at: datetime) -> None:
        """Let it be told `at` this time of the host's clock."""
        for rows in taken.values():
            for row in rows:
                row |= {name: _text(at) for name in ("dttm", "updated_at") if name in row}
        with self._writing() as database:
            for table, rows in taken.items():
                for row in rows:
                    names = ", ".join(row)
                    database.execute(
                        f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", [*row.values()]
                    )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.file, timeout=20)) as database, database:
            yield database


class ApiServer(ThrowawayAirflow):
    """An api-server alone, on a home that somebody else fills."""

    def start(self, timeout: float = 120) -> None:
        """Start it and wait for its first answer, which the imports of the first question make slow."""
        for folder in ("processes", "tmp", "dags"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        (self.home / "passwords.json").write_text(f'{{"{self.username}": "{self.password}"}}')
        try:
            self._children.append(self._start_child("api-server", ["api-server", "--apps", "core"], self._settings()))
            deadline = time.monotonic() + timeout
            while not self._answers():
                self.check()
                assert time.monotonic() < deadline, "the api-server did not come up"
                time.sleep(0.2)
        except BaseException:
            self.stop()
            raise

    def _answers(self) -> bool:
        with suppress(OSError), self._opener.open(urllib.request.Request(f"{self.url}/api/v2/version"), timeout=10):
            return True
        return False


@contextmanager
def airflow_copy(like: FinishedAirflow, home: Path) -> Iterator[AirflowCopy]:
    """Serve a copy in `home` while the block runs."""
    home.mkdir(parents=True)
    server = ApiServer(like.airflow.environment, home)
    copy = AirflowCopy(like, server)
    copy.reset()
    with server:
        yield copy


def _move(database: sqlite3.Connection, by: timedelta, dag_id: str = "") -> None:
    database.create_function("moved", 1, lambda text: text and _text(datetime.fromisoformat(text) + by))
    for table in TABLES:
        columns = [name for _, name, kind, *_ in database.execute(f"PRAGMA table_info({table})") if kind == "TIMESTAMP"]
        times = ", ".join(f"{name} = moved({name})" for name in columns)
        database.execute(f"UPDATE {table} SET {times} WHERE ? IN ('', dag_id)", (dag_id,))


def _moved(found: re.Match[bytes], ahead: timedelta) -> bytes:
    at = datetime.fromisoformat(found[2].decode()) + ahead
    return found[1] + at.isoformat().encode() + found[3]


def _text(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(" ", "microseconds")
