"""Failed tries as corpus cases: the corpus itself goes through, names stay inside the folder, nothing is overwritten."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store_contract import NOW, occurrence
from tests.test_cli import rows, run
from triage import cases, logs
from triage.cases import Aliases, Case, LeftOut, case, rebuilt, signed
from triage.complaint import complaint, packed, write
from triage.errors import InputError
from triage.model import Circumstance, CircumstanceKind, LogLine, LogStatus, Occurrence, TaskTry
from triage.query import EVERYTHING
from triage.service import Service
from triage.signature import sign, sign_text
from triage.store import open_store

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*/*.log"))
LOST = Circumstance(CircumstanceKind.HEARTBEAT_LOST, "Task did not emit heartbeat of shop.load", by="maria")


def tried(
    data: bytes, n: int = 1, *, dag: str = "shop", task: str = "load", host: str = "worker-7.example", said: Circumstance | None = None
) -> Occurrence:  # fmt: skip
    """A failed try with this log, as the collector keeps it."""
    key = TaskTry("prod", dag, f"scheduled__2026-10-0{n}T00:00:00+00:00", task, -1, n)
    kept = logs.keep(logs.read([data]))
    status = LogStatus.WHOLE if said is None else LogStatus.PARTIAL
    made = sign(kept.lines, said, task=key.task, status=status, absence=kept.absence)
    return replace(occurrence(n), key=key, host=host, log=status, kept=kept.lines, signature=made, circumstance=said)


def stored(*tries: Occurrence) -> Service:
    service = Service(open_store("sqlite://"))
    service.record(tries)
    service.settle(NOW)
    return service


@pytest.fixture
def service() -> Iterator[Service]:
    data = (Path(__file__).parent / "corpus").joinpath(CORPUS[0].parent.name, CORPUS[0].name).read_bytes()
    made = stored(*(tried(data, n) for n in range(1, 6)))
    yield made
    made.store.close()


@pytest.mark.parametrize("log", CORPUS, ids=lambda log: f"{log.parent.name}/{log.stem}")
def test_every_case_of_the_corpus_comes_back_as_one(log: Path) -> None:
    data = log.read_bytes()
    kept = logs.keep(logs.read([data]))
    again = logs.keep(logs.read([rebuilt(kept.lines)]))
    assert [told(line) for line in again.lines] == [told(line) for line in kept.lines]
    made = case(tried(data), 1)
    assert isinstance(made, Case)
    assert made.note == ""
    files = list(made.files.values())
    assert signed(files[0], files[1] if files[1:] else None, task="other.task").fingerprint == made.stored


def told(line: LogLine) -> tuple[object, ...]:
    """What a line says; of one that was shortened its two ends, since the words in its middle count once more what was cut."""
    text = line.text if len(line.text) <= 8192 else line.text[:4000] + line.text[-4000:]
    return (text, line.level, line.logger, line.at, line.raised, line.exit_code, line.signal)


def test_what_airflow_says_stands_beside_the_log_only_where_it_counts() -> None:
    quiet = b'{"timestamp": "2026-10-03T04:10:00Z", "level": "info", "event": "row stored", "logger": "app"}\n'
    made = case(tried(quiet, said=LOST), 1)
    assert isinstance(made, Case)
    assert made.note == ""
    log, beside = made.files.values()
    assert json.loads(beside)["circumstance"] == {"kind": "heartbeat lost", "text": LOST.text}
    assert b"maria" not in beside
    assert signed(log).fingerprint != made.stored == signed(log, beside).fingerprint
    loud = b'{"level": "error", "event": "Task failed with exception", "logger": "task", "error_detail": [{"exc_type": "ValueError", "exc_value": "no price for shop"}]}\n'
    assert [path.rpartition(".")[2] for path in case(tried(loud, said=LOST), 1).files] == ["log"]  # type: ignore[union-attr]


def test_a_fingerprint_of_older_rules_is_said() -> None:
    data = CORPUS[0].read_bytes()
    one = tried(data)
    assert one.signature is not None
    made = case(replace(one, signature=replace(one.signature, version=0, fingerprint="0:abc")), 1)
    assert isinstance(made, Case)
    assert made.note.startswith("It was signed as 0:abc by rules of version 0; those of version ")
    other = case(replace(one, signature=replace(one.signature, fingerprint="1:feed")), 1)
    assert isinstance(other, Case)
    assert "a rule of the settings" in other.note


HOSTILE = (
    "../../etc/passwd",
    "a/b\\c",
    "..",
    ".",
    "\x00",
    "con",
    "é" * 300,
    "\u202egnp",
    "$(reboot)",
    "-rf",
    "a\nb",
    "日本",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_inside_the_folder(tmp_path: Path, name: str) -> None:
    one = tried(CORPUS[0].read_bytes(), dag=name, task=name)
    title = f"../{name}"
    assert one.signature is not None
    made = stored(replace(one, signature=replace(one.signature, title=title, fingerprint="1:../x")))
    found = complaint(made, one.key.id, NOW)
    for path in found.files:
        assert re.fullmatch(r"README\.md|[a-z0-9_]{1,60}/[a-z0-9_]{1,90}\.(log|json)", path)
    write(found, tmp_path / "out")
    assert {path.parts[len(tmp_path.parts)] for path in tmp_path.rglob("*")} == {"out"}


def test_nothing_is_overwritten_and_nothing_is_half_written(service: Service, tmp_path: Path) -> None:
    found = complaint(service, service.queue(NOW)[0].problem.id[:6], NOW)
    write(found, tmp_path)
    write(found, tmp_path)  # the same once more is no conflict
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(before) == len(found.files) >= 6
    last = tmp_path / list(found.files)[-2]
    last.write_bytes(b"mine")
    first = tmp_path / next(iter(found.files))
    first.unlink()
    with pytest.raises(InputError, match="is there already"):
        write(found, tmp_path)
    assert last.read_bytes() == b"mine"
    assert not first.exists()
    last.unlink()
    last.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is there already"):
        write(found, tmp_path)


def test_limit_takes_each_task_once_before_any_twice() -> None:
    data = CORPUS[0].read_bytes()
    made = stored(*(tried(data, n, task="load" if n < 5 else "store") for n in range(1, 6)))
    id = made.store.search(EVERYTHING, 9)[0].fingerprint
    problem = next(row.problem.id for row in made.queue(NOW) if row.problem.fingerprint == id)
    found = complaint(made, problem, NOW, limit=2)
    assert len(found.cases) == 2
    assert len({one.name.partition("_try")[0] for one in found.cases}) == len(
        {o.key.task for o in made.problem(problem, NOW).occurrences}
    )


def test_tries_without_a_log_are_counted_and_alone_are_refused() -> None:
    gone = replace(occurrence(3), log=LogStatus.MISSING, kept=None)
    made = stored(gone)
    with pytest.raises(InputError, match="has a log"):
        complaint(made, gone.key.id, NOW)
    with pytest.raises(InputError, match="no problem"):
        complaint(made, "nope", NOW)


def test_the_zip_holds_the_same_files(service: Service) -> None:
    found = complaint(service, service.queue(NOW)[0].problem.id, NOW)
    with zipfile.ZipFile(io.BytesIO(packed(found))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == found.files
    assert packed(found) == packed(found)


SAYING = (
    '{"level": "info", "event": "shop_daily.load_rows on worker-7.example wrote s3://logs/shop_daily/scheduled__2026-10-01T00%3A00%3A00%2B00%3A00/x"}\n'
    '{"level": "info", "event": "pod shop-daily-load-rows-x1, workshop_daily stays"}\n'
    '{"level": "error", "event": "Task failed with exception", "logger": "task", "error_detail": [{"exc_type": "ValueError",'
    ' "exc_value": "VALUE", "frames": [{"filename": "/dags/prices.py", "lineno": 3, "name": "net"}]}]}\n'
)


def test_an_anonymous_folder_names_nobody_and_keeps_its_fingerprint() -> None:
    data = SAYING.replace("VALUE", "no price for article 7").encode()
    made = stored(*(tried(data, n, dag="shop_daily", task="load_rows") for n in (1, 2)))
    found = complaint(made, made.queue(NOW)[0].problem.id, NOW, anonymous=True)
    assert found.is_whole
    whole = b"".join([*found.files.values(), *(path.encode() for path in found.files)])
    for name in (b"shop_daily.", b"shop-daily", b"load_rows", b"load-rows", b"worker-7", b"scheduled__2026-10-01"):
        assert name not in whole
    assert b"workshop_daily stays" in whole
    assert b"dag_1.task_1 on host-1 wrote s3://logs/dag_1/run_" in whole
    assert {one.fingerprint for one in found.cases} == {sign_text(data).fingerprint}


def test_a_name_that_tells_the_failure_is_not_replaced_but_left_out() -> None:
    data = SAYING.replace("VALUE", "relation shop_daily does not exist").encode()
    aliases = Aliases()
    one = tried(data, dag="shop_daily", task="load_rows")
    aliases.learn(one)
    left = case(one, 1, aliases)
    assert isinstance(left, LeftOut)
    assert "the name of its dag tells" in left.note
    found = complaint(stored(one), one.key.id, NOW, anonymous=True)
    assert (found.files, found.is_whole) == ({}, False)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            LogLine, st.integers(1, 9), st.text(max_size=40).map(logs.clean), st.sampled_from([None, "info", "error"])
        )
    )
)
def test_any_kept_lines_are_read_back_as_they_were(lines: list[LogLine]) -> None:
    again = logs.keep(logs.read([rebuilt(lines)])).lines
    assert [told(line) for line in again] == [told(line) for line in lines]


def test_only_tries_with_a_known_log_can_be_cases() -> None:
    assert [status for status in LogStatus if cases.has_log(replace(occurrence(1), log=status))] == ["partial", "whole"]


def test_the_command_writes_the_folder_and_says_what_is_in_it(tmp_path: Path) -> None:
    made = Service(open_store(f"sqlite:///{tmp_path / 'airtriage.db'}"))
    one = tried(CORPUS[0].read_bytes())
    made.record([one, replace(occurrence(9), log=LogStatus.MISSING, kept=None)])
    made.settle(NOW)
    made.store.close()
    (row,) = rows(tmp_path, "case", one.key.id)
    file = tmp_path / str(row["file"])
    assert file.parts[len(tmp_path.parts)] == f"airtriage-case-{one.key.id}"
    assert (
        sign_text(file.read_bytes(), task="x.y").fingerprint == row["fingerprint"] == row["stored"] == one.fingerprint
    )
    done = run(tmp_path, "case", one.key.id, "--out", "there")
    assert done.returncode == 0
    assert b"Names are not" in done.stdout
    assert (tmp_path / "there" / "README.md").exists()
    file.write_bytes(b"mine")
    again = run(tmp_path, "case", one.key.id)
    assert (again.returncode, file.read_bytes()) == (2, b"mine")
    assert b"is there already" in again.stderr
