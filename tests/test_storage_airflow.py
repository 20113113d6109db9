"""A real Airflow 3.3 that uploads its logs to a real S3 server: what the storage tells is what the api-server tells."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from collector.tasks import Collector
from tests.airflow_fixture import FinishedAirflow
from tests.place import wait_for
from tests.processes import s3_server
from triage.model import LogStatus, Occurrence
from triage.query import EVERYTHING
from triage.settings import Settings
from triage.watched import DeploymentHealth
from ui.demo.airflow import ThrowawayAirflow, cache_folder, install

pytestmark = [pytest.mark.airflow, pytest.mark.xdist_group("airflow")]

HERE = Path(__file__).parent / "s3"
PACKAGES = ("apache-airflow-core", "apache-airflow-providers-standard", "apache-airflow-providers-amazon")
BUCKET, PREFIX, RUN = "airflow-logs", "prod", "manual__2026-11-25T10:00:00+00:00"
OPTIONS = {"key": "anyone", "secret": "anything", "region": "us-east-1"}


@dataclass
class Uploading:
    """An Airflow whose run is over, and the bucket that holds its logs."""

    airflow: FinishedAirflow
    endpoint: str

    @property
    def client(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
        )

    def objects(self, prefix: str = PREFIX) -> dict[str, int]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return {one["Key"]: one["Size"] for one in found}

    def lacking(self) -> list[object]:
        """Return the failed tries whose log is not in the bucket yet."""
        keys = self.objects()
        return [
            (task, index, number)
            for _, _, task, index, number in self.airflow.truth()
            if not any(
                f"task_id={task}/" in key
                and (index < 0 or f"map_index={index}/" in key)
                and key.endswith(f"attempt={number}.log")
                for key in keys
            )
        ]

    def collect(self, folder: Path, url: str = "", **storage: object) -> tuple[dict[str, Occurrence], DeploymentHealth]:
        """Pass until nothing is awaited; every failed try by its name, and what the Health page is told."""
        its = {
            "url": url or self.airflow.url, "username": self.airflow.username, "password": self.airflow.password, **storage,
        }  # fmt: skip
        settings = Settings.model_validate(
            {"data_dir": folder, "log_waits": ["1s", "1s"], "deployments": {"prod": its}}
        )
        collector = Collector(settings)
        store = collector.service.store
        deadline = time.monotonic() + 90
        while collector.run("prod").backlog.waiting:
            assert time.monotonic() < deadline, "logs are awaited for too long"
            time.sleep(0.3)
        keys = [fact.key for fact in store.search(EVERYTHING, 1000)]
        facts = {f"{key.task_id}[{key.map_index}]/{key.try_number}": store.occurrence(key.id) for key in keys}
        health = store.get(DeploymentHealth, "prod")
        store.close()
        assert health is not None
        assert {(k.dag_id, k.run_id, k.task_id, k.map_index, k.try_number) for k in keys} == self.airflow.truth()
        return {name: fact for name, fact in facts.items() if fact is not None}, health[0]

    def place(self, **more: object) -> dict[str, object]:
        """The settings of a deployment that name the storage."""
        return {"log_base": f"s3://{BUCKET}/{PREFIX}", "log_options": {**OPTIONS, "endpoint_url": self.endpoint}} | more


@pytest.fixture(scope="module")
def uploading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uploading]:
    """Run the DAG of tests/s3/dags on an Airflow that uploads every log as its task ends."""
    environment = install(cache_folder(), print, HERE / "constraints-s3.txt", PACKAGES)
    folder = tmp_path_factory.mktemp("uploading")
    with s3_server(folder) as endpoint:
        extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
        connection = {"conn_type": "aws", "login": "k", "password": "s", "extra": extra}
        settings = {
            "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
            "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{BUCKET}/{PREFIX}",
            "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "storage",
            "AIRFLOW_CONN_STORAGE": json.dumps(connection),
        }
        with ThrowawayAirflow(environment, folder / "home", dags=HERE / "dags", settings=settings) as throwaway:
            made = Uploading(FinishedAirflow(throwaway), endpoint)
            made.client.create_bucket(Bucket=BUCKET)
            deadline = time.monotonic() + 180
            while not throwaway.trigger("uploading", RUN) or throwaway.runs().get(("uploading", RUN)) != "failed":
                throwaway.check()
                assert time.monotonic() < deadline, throwaway.states()
                time.sleep(0.5)
            wait_for(lambda: made.lacking() == [], 60)  # a task's state is there before its log is uploaded
            time.sleep(2)  # and a trigger's log comes after its task's
            yield made


@pytest.fixture(scope="module")
def told(uploading: Uploading, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Occurrence]:
    """What a pass learns from the api-server alone."""
    facts, health = uploading.collect(tmp_path_factory.mktemp("api"))
    assert health.troubles == ()
    assert {name.split("[")[0] for name in facts} == {"retried", "mapped", "big", "killed", "shell", "never", "asked"}
    assert any(".log.trigger." in key for key in uploading.objects())
    return facts


@contextmanager
def without_logs(upstream: str) -> Iterator[str]:
    """Stand before an api-server and let everything pass but logs."""

    class Door(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if "/logs/" in self.path:
                self._answer(403, b'{"detail": "Forbidden"}', "application/json")
                return
            size = int(self.headers.get("Content-Length") or 0)
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in ("host", "accept-encoding")
            }
            request = urllib.request.Request(
                upstream + self.path, self.rfile.read(size) or None, headers, method=self.command
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    self._answer(answer.status, answer.read(), answer.headers["Content-Type"])
            except urllib.error.HTTPError as exc:
                self._answer(exc.code, exc.read(), exc.headers["Content-Type"])

        do_POST = do_GET

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def gist(facts: dict[str, Occurrence]) -> dict[str, object]:
    """What was learnt of each try but the numbers of its lines."""
    return {
        name: (
            fact.log, fact.fingerprint, fact.signature and fact.signature.title, fact.circumstance,
            [line.text for line in fact.signature.evidence] if fact.signature else [],
        )
        for name, fact in facts.items()
    }  # fmt: skip


def whole(facts: dict[str, Occurrence]) -> dict[str, object]:
    """The kept logs, line by line with their numbers, of the tries whose log is not big."""
    return {name: fact.kept for name, fact in facts.items() if not name.startswith("big")}


def test_a_pass_through_the_storage_learns_what_one_through_the_api_learns(
    uploading: Uploading, told: dict[str, Occurrence], tmp_path: Path
) -> None:
    with without_logs(uploading.airflow.url) as url:
        facts, health = uploading.collect(tmp_path, url, **uploading.place())
    assert health.troubles == (), "no log was asked of the api-server"
    assert gist(facts) == gist(told)
    assert whole(facts) == whole(told)
    assert {fact.log for fact in facts.values()} == {LogStatus.WHOLE}


def test_of_the_big_log_the_ends_are_read_and_what_was_not_is_counted(
    uploading: Uploading, told: dict[str, Occurrence], tmp_path: Path
) -> None:
    facts, _ = uploading.collect(tmp_path, **uploading.place())
    big, by_api = facts["big[-1]/1"], told["big[-1]/1"]
    (size,) = (size for key, size in uploading.objects().items() if "task_id=big" in key)
    assert size > 4 << 20
    assert by_api.log_unread == 0
    assert big.log_unread > size - (1 << 20) - (64 << 10)
    assert abs(big.log_bytes - by_api.log_bytes) < 0.02 * size
    assert big.signature is not None
    assert big.signature.evidence[0].number < 0
    assert by_api.signature is not None
    from_the_end = by_api.signature.evidence[0].number - by_api.log_lines - 1
    assert big.signature.evidence[0].number == from_the_end


def test_the_api_serves_what_the_storage_has_not_and_all_of_it_where_the_bucket_is_another(
    uploading: Uploading, told: dict[str, Occurrence], tmp_path: Path
) -> None:
    facts, health = uploading.collect(tmp_path / "prefix", **uploading.place(log_base=f"s3://{BUCKET}/elsewhere"))
    assert health.troubles == ()
    assert gist(facts) == gist(told)
    assert whole(facts) == whole(told)
    facts, health = uploading.collect(tmp_path / "bucket", **uploading.place(log_base="s3://gone/prod"))
    (trouble,) = health.troubles
    assert trouble.what == "prod: The storage s3://gone/prod is not there: The specified bucket does not exist."
    assert gist(facts) == gist(told)


def test_objects_that_were_deleted_leave_their_tries_without_a_log_and_no_others(
    uploading: Uploading, told: dict[str, Occurrence], tmp_path: Path
) -> None:
    gone = {key for key in uploading.objects() if "task_id=shell" in key or "map_index=1/" in key}
    bodies = {key: uploading.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in gone}
    try:
        for key in gone:
            uploading.client.delete_object(Bucket=BUCKET, Key=key)
        facts, health = uploading.collect(tmp_path, **uploading.place())
    finally:
        for key, body in bodies.items():
            uploading.client.put_object(Bucket=BUCKET, Key=key, Body=body)
    assert health.troubles == ()
    assert {name for name, fact in facts.items() if fact.log is LogStatus.MISSING} == {"shell[-1]/1", "mapped[1]/1"}
    left = {name: fact for name, fact in facts.items() if fact.log is not LogStatus.MISSING}
    assert gist(left) == {name: value for name, value in gist(told).items() if name in left}
