"""Logs straight from the storage: a plain folder, and a real server that speaks S3."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from collector.storage import Place, Skipped, Storage, Stored
from tests.processes import free_port, s3_server
from tests.test_collect import Script, failed, whole_log
from triage import parts
from triage.errors import LogGone, SourceError
from triage.logs import keep, read
from triage.model import TaskTry, Unread

KEY = TaskTry("prod", "etl", "scheduled__2026-11-22T08:00:00+00:00", "load")
PATH = "dag_id=etl/run_id=scheduled__2026-11-22T08:00:00+00:00/task_id=load/attempt=1.log"
API_LOG = whole_log("ApiError")
OBJECT = whole_log()[whole_log().index(b'{"timestamp": "') :]  # as it lies in the storage: without the header
OPTIONS = {"key": "AKIAEXAMPLE", "secret": "much-secret-1", "region": "eu-central-1"}


def rows(count: int) -> bytes:
    return b"".join(
        b'{"timestamp": "2026-11-24T12:00:00Z", "event": "row %07d of a long export", "level": "info", "logger": "task.stdout"}\n'
        % number
        for number in range(count)
    )


def big(behind: int = 200) -> bytes:
    """A log of Airflow 3 longer than is read whole, its error some records before the end."""
    return OBJECT.split(b"\n")[0] + b"\n" + rows(52_000) + OBJECT + rows(behind)


class Shelf:
    """Where a test lays its objects: a folder or a bucket, behind one storage."""

    def __init__(self, base: str, options: dict[str, Any], put: Callable[[str, bytes], None]) -> None:
        self.base, self.options, self.put = base, options, put

    def storage(self, **more: Any) -> Storage:
        return Storage("prod", Place(**({"base": self.base, "options": self.options, "timeout": 5.0} | more)))


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture(params=["file", "s3"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    if request.param == "file":
        base = tmp_path / "logs"
        base.mkdir()

        def lay(path: str, data: bytes) -> None:
            (base / path).parent.mkdir(parents=True, exist_ok=True)
            (base / path).write_bytes(data)

        return Shelf(f"file://{base}", {}, lay)
    url = request.getfixturevalue("s3")
    client, bucket = s3_client(url), f"logs-{tmp_path.name.replace('_', '-')[-30:].strip('-').lower()}"
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return Shelf(
        f"s3://{bucket}/prod", {**OPTIONS, "endpoint_url": url},
        lambda path, data: client.put_object(Bucket=bucket, Key=f"prod/{path}", Body=data),
    )  # fmt: skip


def s3_client(url: str) -> Any:
    return boto3.client(
        "s3", endpoint_url=url, region_name="eu-central-1", aws_access_key_id="k", aws_secret_access_key="s"
    )


def text(chunks: Iterator[bytes | Unread]) -> bytes:
    return b"".join(chunk if isinstance(chunk, bytes) else b"<%d>" % chunk.size for chunk in chunks)


def logged(storage: Storage, key: TaskTry = KEY) -> bytes:
    found = storage.read(key)
    assert found is not None
    return text(found.stream())


def test_a_small_log_is_read_whole_and_told_as_the_api_tells_it(shelf: Shelf) -> None:
    shelf.put(PATH, OBJECT)
    shelf.put(PATH.replace("attempt=1", "attempt=10"), b"another try's")
    told = [json.loads(line) for line in logged(shelf.storage()).splitlines()]
    assert [one["event"] for one in told[:3]] == [
        "::group::Log message source details",
        f"{shelf.base}/{PATH}",
        "::endgroup::",
    ]
    assert told[3:] == [json.loads(line) for line in OBJECT.splitlines()]
    found = shelf.storage().read(KEY)
    assert found is not None
    assert (found.size, found.unread, found.tells_end) == (len(OBJECT), 0, True)


def test_what_is_not_there_or_empty_is_none(shelf: Shelf) -> None:
    shelf.put(PATH.replace("attempt=1", "attempt=10"), OBJECT)
    assert shelf.storage().read(KEY) is None
    shelf.put(PATH, b"")
    assert shelf.storage().read(KEY) is None
    assert shelf.storage().read(replace(KEY, dag_id="never")) is None


@pytest.mark.parametrize("name", ["*", "a[b]", "a b", "ä€", "manual__x?y#z%2F", "a/b"])
def test_a_run_with_an_odd_name_is_found_under_it(shelf: Shelf, name: str) -> None:
    key = replace(KEY, run_id=name)
    shelf.put(PATH.replace(KEY.run_id, name), OBJECT)
    shelf.put(PATH.replace(KEY.run_id, "ab"), b"another run's")
    assert logged(shelf.storage(), key).endswith(OBJECT)


def test_mapped_tries_and_other_layouts_are_found(shelf: Shelf) -> None:
    shelf.put(PATH.replace("attempt=", "map_index=3/attempt="), OBJECT)
    assert logged(shelf.storage(), replace(KEY, map_index=3)).endswith(OBJECT)
    assert shelf.storage().read(replace(KEY, map_index=4)) is None
    shelf.put("etl/load/2026-11-22T08:00:00+00:00/1.log", OBJECT)
    shelf.put("etl/load/2026-11-22T08:00:00+00:00/10.log", b"another try's")
    old = shelf.storage(template="{{ ti.dag_id }}/{{ ti.task_id }}/{{ ts }}/{{ try_number }}.log")
    assert logged(old).endswith(OBJECT)
    assert old.read(replace(KEY, run_id="by hand")) is None


def test_the_trigger_s_part_is_put_between_by_its_time(shelf: Shelf) -> None:
    def at(second: int, event: str) -> bytes:
        return json.dumps({"timestamp": f"2026-11-24T11:59:{second}Z", "event": event}).encode() + b"\n"

    shelf.put(PATH, at(10, "deferred") + OBJECT)
    shelf.put(f"{PATH}.trigger.41.log", at(20, "polled") + at(30, "Trigger exited with error"))
    shelf.put(PATH.replace("attempt=1", "attempt=10") + ".trigger.7.log", at(25, "another try's"))
    shelf.put(f"{PATH}.bak", at(26, "somebody's"))
    told = [json.loads(line)["event"] for line in logged(shelf.storage()).splitlines()]
    assert told[1:3] == [f"{shelf.base}/{PATH}", f"{shelf.base}/{PATH}.trigger.41.log"]
    assert told[4:7] == ["deferred", "polled", "Trigger exited with error"]


def test_of_a_big_log_the_two_ends_are_read_and_the_middle_is_counted(shelf: Shelf) -> None:
    log = big()
    shelf.put(PATH, log)
    found = shelf.storage().read(KEY)
    assert found is not None
    kept = keep(read(found.stream()))
    header = next(iter(found.stream()))
    assert isinstance(header, bytes)
    assert kept.total_bytes == len(log) + len(header)
    assert len(log) - parts.HEAD - parts.TAIL <= kept.unread == found.unread < len(log) - parts.HEAD - parts.TAIL + 400
    assert kept.verdict == "failed"
    assert next(line for line in kept.lines if line.raised).number == -201
    assert kept.lines[3].number == 4


def test_an_error_far_from_the_end_is_read_back_to(shelf: Shelf) -> None:
    log = big(behind=40_000)  # 5 MB of records behind the error
    shelf.put(PATH, log)
    found = shelf.storage().read(KEY)
    assert found is not None
    kept = keep(read(found.stream()))
    assert (kept.verdict, bool(kept.unread)) == ("failed", True)
    assert next(line for line in kept.lines if line.raised).number == -40_001


def test_what_is_packed_is_said_once_with_how_many(shelf: Shelf) -> None:
    shelf.put(PATH, gzip.compress(OBJECT))
    with pytest.raises(Skipped, match=r"attempt=1\.log is packed by gzip"):
        shelf.storage().read(KEY)
    stored = Stored(Api(), shelf.storage())
    assert text(stored.read_log(KEY)) == text(stored.read_log(KEY)) == API_LOG
    (trouble,) = stored.troubles()
    assert trouble.what.endswith("at its two ends. So it was with 1 more.")
    assert trouble.fix == "The api-server was asked for it; let Airflow upload its logs as they are."
    assert stored.troubles() == []


@pytest.mark.parametrize(
    "template", ["{dag_id}/{task_id}/{run_id}/{try_number}.log", "{run_id}/{task_id}/{dag_id}/{try_number}"]
)
def test_a_name_never_leads_out_of_the_base(shelf: Shelf, tmp_path: Path, template: str) -> None:
    (tmp_path / "1.log").write_bytes(b"not for you")
    key = replace(KEY, dag_id="../../etc", task_id="..", run_id="..")
    with pytest.raises(
        Skipped, match=r"log of \.\./\.\./etc\.\.\. was not looked for in the storage: the path .* would lead out"
    ):
        shelf.storage(template=template).read(key)
    assert text(Stored(Api(), shelf.storage(template=template)).read_log(key)) == API_LOG


def test_a_link_never_leads_out_of_the_folder_and_only_files_are_opened(tmp_path: Path) -> None:
    base, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    for folder in (base, elsewhere):
        (folder / PATH).parent.mkdir(parents=True)
    (elsewhere / PATH).write_bytes(OBJECT)
    storage = Storage("prod", Place(f"file://{base}"))
    (base / PATH).symlink_to(elsewhere / PATH)
    assert storage.read(KEY) is None
    (base / PATH).unlink()
    os.mkfifo(base / PATH)
    assert storage.read(KEY) is None
    shutil.rmtree(base / PATH.split("/")[0])
    (base / PATH.split("/")[0]).symlink_to(elsewhere / PATH.split("/")[0])
    with pytest.raises(Skipped, match="leads out of log_base by a link"):
        storage.read(KEY)
    (tmp_path / "same").symlink_to(elsewhere)
    assert logged(Storage("prod", Place(f"file://{tmp_path / 'same'}"))).endswith(OBJECT)


def test_an_object_that_shrinks_while_it_is_read_is_read_again_and_then_left(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = big()
    storage = shelf.storage()
    shelf.put(PATH, log)
    whole = storage._ask
    shrunk = iter([log[: 5 << 20], OBJECT, OBJECT, OBJECT, OBJECT])

    def shrinking(verb: str, path: str, **more: Any) -> Any:
        if verb == "cat_file":
            shelf.put(PATH, next(shrunk))
        return whole(verb, path, **more)

    monkeypatch.setattr(storage, "_ask", shrinking)
    assert logged(storage).endswith(OBJECT), "the second look finds what is there now"
    sizes = iter(range(2, 99))

    def changing(verb: str, path: str, **more: Any) -> Any:
        if verb != "cat_file":
            return whole(verb, path, **more)
        shelf.put(PATH, b"x" * next(sizes))
        return b"?"

    monkeypatch.setattr(storage, "_ask", changing)
    with pytest.raises(Skipped, match="changed each time it was read"):
        storage.read(KEY)


def test_an_object_that_goes_while_it_is_read_is_none(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = shelf.storage()
    shelf.put(PATH, OBJECT)
    fs, _ = storage._connect()
    whole = storage._ask

    def gone(verb: str, path: str, **more: Any) -> Any:
        if verb == "cat_file":
            fs.rm(path)
        return whole(verb, path, **more)

    monkeypatch.setattr(storage, "_ask", gone)
    assert storage.read(KEY) is None


# --- the storage in trouble


@pytest.mark.parametrize(
    ("base", "options", "says"),
    [
        ("s3://nobody-s-bucket/x", {}, r"s3://nobody-s-bucket/x is not there: The specified bucket does not exist\. Correct log_base\."),
        ("s3://b/x", {"endpoint_url": "dead"}, r"does not answer as it should: Could not connect to the endpoint URL.*Check endpoint_url"),
        ("s3://b/x", {"endpoint_url": "elsewhere"}, r"cannot be used: Invalid endpoint: elsewhere\. Correct log_base and log_options"),
        ("s3://b/x", {"endpointurl": "x"}, r"log_options holds what its driver does not know.*'endpointurl'\. Correct log_options"),
        ("s3://b_!/x", {}, r"cannot be used: Parameter validation failed:.*Invalid bucket name"),
        ("gs://b/x", {}, r"log_base gs://b/x needs the driver gcsfs, which is not installed\. Install airtriage\[gcs\]\."),
        ("abfs://b/x", {}, r"needs the driver adlfs, which is not installed\. Install airtriage\[azure\]\."),
        ("file:///no/such/folder", None, r"is not there: there is no folder /no/such/folder\. Correct log_base\."),
    ],
)  # fmt: skip
def test_trouble_of_the_storage_is_one_sentence_with_the_fix(
    s3: str, base: str, options: dict[str, str] | None, says: str
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    made = {**OPTIONS, "endpoint_url": s3, **options} if options is not None else {}
    made = {name: dead if value == "dead" else value for name, value in made.items()}
    with pytest.raises(SourceError, match=says) as caught:
        Storage("prod", Place(base, options=made, timeout=5)).read(KEY)
    assert str(caught.value).endswith("Until then the api-server serves the logs.")
    assert not isinstance(caught.value, Skipped)
    assert "\n" not in str(caught.value)
    assert OPTIONS["secret"] not in str(caught.value)


def test_a_server_that_never_answers_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        options = OPTIONS | {"endpoint_url": f"http://127.0.0.1:{deaf.getsockname()[1]}"}
        with pytest.raises(SourceError, match=r"does not answer as it should: Read timeout.*Check endpoint_url"):
            Storage("prod", Place("s3://b/x", options=options, timeout=0.2)).read(KEY)


def test_an_object_that_may_not_be_read_is_skipped_and_others_are_read(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = shelf.storage()
    shelf.put(PATH, OBJECT)
    whole = storage._ask

    def refused(verb: str, path: str, **more: Any) -> Any:
        if verb == "cat_file":
            raise PermissionError("Access Denied")
        return whole(verb, path, **more)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "_ask", refused)
        with pytest.raises(
            Skipped, match=r"attempt=1\.log may be listed, but not read: Access Denied\. Let the account"
        ):
            storage.read(KEY)
    assert logged(storage).endswith(OBJECT)


def test_without_credentials_and_with_wrong_ones_the_account_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("INITIAL_NO_AUTH_ACTION_COUNT", "0")  # moto checks who asks
    with s3_server(tmp_path) as url:
        without = {"endpoint_url": url, "region": "eu-central-1"}
        with pytest.raises(SourceError, match=r"does not let us in: Unable to locate credentials\. Check the account"):
            Storage("prod", Place("s3://b/x", options=without)).read(KEY)
        with pytest.raises(SourceError, match=r"does not let us in: The AWS Access Key Id you provided does not exist"):
            Storage("prod", Place("s3://b/x", options=OPTIONS | {"endpoint_url": url})).check()


def test_a_bug_of_ours_is_no_trouble_of_the_storage(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = shelf.storage()
    shelf.put(PATH, OBJECT)
    monkeypatch.setattr(parts, "tells_end", lambda data: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        storage.read(KEY)


# --- before a deployment's API


@dataclass
class Api:
    """A deployment's API of which only the logs are asked for."""

    answer: bytes | Exception = API_LOG
    asked: list[TaskTry] = field(default_factory=list)

    def read_log(self, key: TaskTry) -> Iterator[bytes]:
        self.asked.append(key)
        if isinstance(self.answer, Exception):
            raise self.answer
        yield self.answer[:300]
        yield self.answer[300:]


def test_the_storage_serves_alone_and_the_api_what_it_has_not(shelf: Shelf) -> None:
    api = Api()
    stored = Stored(api, shelf.storage())
    assert text(stored.read_log(KEY)) == API_LOG
    shelf.put(PATH, OBJECT)
    assert text(stored.read_log(KEY)).endswith(OBJECT)
    assert api.asked == [KEY]
    assert stored.troubles() == []
    assert text(Stored(api, None).read_log(KEY)) == API_LOG


def test_an_object_that_does_not_tell_the_end_is_held_against_the_api_s_log(shelf: Shelf) -> None:
    early = OBJECT.split(b"\n")[0] + b"\n"
    shelf.put(PATH, early)
    api = Api()
    stored = Stored(api, shelf.storage())
    assert text(stored.read_log(KEY)) == API_LOG, "it was uploaded before the end"
    for answer in (LogGone("no such try"), SourceError("away"), API_LOG[:50]):
        api.answer = answer
        assert text(stored.read_log(KEY)).endswith(early), "less, or nothing, comes from the API"
    assert len(api.asked) == 4


def test_a_storage_in_trouble_is_said_left_alone_and_tried_again(tmp_path: Path) -> None:
    clock = [100.0]
    base = tmp_path / "logs"
    api = Api()
    stored = Stored(api, Storage("prod", Place(f"file://{base}")), lambda: clock[0])
    assert text(stored.read_log(KEY)) == API_LOG
    (trouble,) = stored.troubles()
    assert trouble.what == f"prod: The storage file://{base} is not there: there is no folder {base}."
    (base / PATH).parent.mkdir(parents=True)
    (base / PATH).write_bytes(OBJECT)
    assert text(stored.read_log(KEY)) == API_LOG, "left alone for a minute"
    assert stored.troubles() == [trouble]
    shutil.move(base, tmp_path / "later")
    clock[0] += 61
    assert stored.troubles() == [trouble], "looked at again"
    shutil.move(tmp_path / "later", base)
    clock[0] += 61
    assert stored.troubles() == [trouble], "left alone for longer"
    clock[0] += 60
    assert stored.troubles() == [], "and looked at again, even where no log is due"
    assert text(stored.read_log(KEY)).endswith(OBJECT)


def test_all_else_is_the_source_s_own() -> None:
    script = Script(tries=[failed(1)], offset=2.5)
    stored = Stored(script, None)
    assert stored.offset == 2.5
    assert stored.version() == "3.3.2"
