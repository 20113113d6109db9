"""`airtriage sign`: bad records, odd files, and memory that stays flat."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.test_collect import whole_log
from triage.settings import environment
from triage.signature import sign_text

LOG = whole_log().decode()
# Of /proc: what getrusage tells includes the process that this one was forked from.
_PEAK = """
import sys
from pathlib import Path
from ui.cli import main
try:
    main(sys.argv[1:])
finally:
    status = Path("/proc/self/status").read_text()
    print(status.split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


def sign(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "ui.cli", "sign", *arguments]
    return subprocess.run(command, env=environment(inherit=False), input=stdin, capture_output=True, check=False)


def peak(*arguments: str) -> tuple[subprocess.CompletedProcess[bytes], float]:
    """Run the command; its answer and its largest memory, in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, "sign", *arguments],
        env=environment(inherit=False), capture_output=True, check=False,
    )  # fmt: skip
    return done, int(done.stderr.split()[-1]) / 1024


def record(id: object, text: str = LOG) -> bytes:
    return json.dumps({"id": id, "log_text": text}).encode() + b"\n"


def results(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_bad_record_is_named_by_its_line_and_the_others_go_on(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    bad = (
        b"{not json\n", b"[1, 2]\n", b'"text"\n', b'{"id": 1}\n', b'{"log_text": "x"}\n', b'{"id": 1, "log_text": null}\n',
        b'{"id": 1, "log_text": ["x"]}\n', b"\xff\xfe\x00\n", b"[" * 100_000 + b"\n", b'{"id": ' + b"9" * 5000 + b', "log_text": 1}\n',
    )  # fmt: skip
    file.write_bytes(b"".join([record("first"), *bad, b"   \n", record("last")[:-1]]))
    done = sign(str(file), "--json")
    assert done.returncode == 1
    assert [found["id"] for found in results(done)] == ["first", "last"]
    said = done.stderr.decode().splitlines()
    assert said == [
        f'Line {n} of {file} is not a JSON object with "id" and "log_text"; it was left out.' for n in range(2, 12)
    ]


def test_ids_come_back_as_they_were_given(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    ids = ["a", "a", 7, 1.5, None, {"run": [1]}, "\ud800", "é\u2028\x00", ""]
    file.write_bytes(b"".join(map(record, ids)))
    done = sign(str(file), "--json")
    assert done.returncode == 0
    assert [found["id"] for found in results(done)] == ids
    assert {found["fingerprint"] for found in results(done)} == {sign_text(whole_log()).fingerprint}
    assert all({"id", "fingerprint", "title", "cause"} <= found.keys() for found in results(done))


def test_odd_records_are_signed(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    odd = [LOG + "\ud83d", LOG + "\x00\x1b[31m", ""]
    more = b'{"more": NaN, "id": 4, "log_text": "x"}\n'
    file.write_bytes(
        b"\xef\xbb\xbf" + b"".join(record(n, text).replace(b"\n", b"\r\n") for n, text in enumerate(odd)) + more
    )
    done = sign(str(file), "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [found["id"] for found in results(done)] == [0, 1, 2, 4]
    assert len({found["fingerprint"] for found in results(done)[:2]}) == 1


def test_an_empty_file_of_records_is_no_record(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.jsonl" for n in range(3)]
    for file, content in zip(files, (b"", b"\n\n", b"\xef\xbb\xbf"), strict=True):
        file.write_bytes(content)
    done = sign(*map(str, files), "--json")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_cannot_be_read_is_one_sentence_and_the_other_files_go_on(tmp_path: Path) -> None:
    (tmp_path / "ok.log").write_bytes(whole_log())
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "no.log.gz").write_bytes(b"no gzip")
    done = sign(*(str(tmp_path / name) for name in ("gone.jsonl", "folder.jsonl", "no.log.gz", "ok.log")), "--json")
    assert done.returncode == 1
    assert [found["id"] for found in results(done)] == ["ok.log"]
    said = done.stderr.decode().splitlines()
    assert [line.partition(" cannot be read: ")[2].partition(".")[0] for line in said] == [
        "No such file or directory", "Is a directory", "Not a gzipped file (b'no')",
    ]  # fmt: skip


def test_packed_files_are_unpacked_and_a_cut_one_gives_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(whole_log()))
    whole = gzip.compress(b"".join(record(n, LOG + os.urandom(10_000).hex()) for n in range(200)))
    (tmp_path / "b.jsonl.gz").write_bytes(whole)
    (tmp_path / "c.jsonl.gz").write_bytes(whole[: len(whole) * 3 // 4])
    done = sign(str(tmp_path / "a.log.gz"), str(tmp_path / "b.jsonl.gz"), "--json")
    assert (done.returncode, done.stderr, len(results(done))) == (0, b"", 201)
    cut = sign(str(tmp_path / "c.jsonl.gz"), "--json")
    assert cut.returncode == 1
    assert 20 <= len(results(cut)) < 200
    assert f"Line {len(results(cut)) + 1} of" in cut.stderr.decode()


def test_records_come_from_standard_input_and_from_a_pipe(tmp_path: Path) -> None:
    done = sign("-", "--records", "--json", stdin=record("a") + record("b"))
    assert [found["id"] for found in results(done)] == ["a", "b"]
    fifo = tmp_path / "x.jsonl"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(record("c")))
    writer.start()
    done = sign(str(fifo), "--json")
    writer.join()
    assert [found["id"] for found in results(done)] == ["c"]


def test_a_result_is_written_before_the_next_record_of_a_pipe_comes() -> None:
    command = [sys.executable, "-m", "ui.cli", "sign", "-", "--records", "--json"]
    with subprocess.Popen(
        command, env=environment(inherit=False), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for id in range(3):
            process.stdin.write(record(id))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == id
        process.stdin.close()
        assert process.wait(20) == 0


def write(file: Path, parts: Iterator[bytes]) -> Path:
    with file.open("wb") as out:
        for part in parts:
            out.write(part)
    return file


def huge() -> Iterator[bytes]:
    yield record("first") + b'{"id": "big", "log_text": "'
    yield from (b"x" * (1 << 20) for _ in range(200))
    yield b'"}\n' + record("last")


def widest() -> Iterator[bytes]:
    """A record just below the limit whose every character takes four bytes once decoded, and the slow way to it."""
    yield b'{"id": "big", "log_text": "\\ud83d' + "😀".encode()
    yield from (b"x" * (1 << 20) for _ in range(15))
    yield b'"}\n'


@pytest.mark.parametrize(("parts", "ids", "code"), [(huge, ["first", "last"], 1), (widest, ["big"], 0)])
def test_a_huge_record_takes_no_huge_memory(
    tmp_path: Path, parts: Callable[[], Iterator[bytes]], ids: list[str], code: int
) -> None:
    done, most = peak(str(write(tmp_path / "x.jsonl", parts())), "--json")
    assert [found["id"] for found in results(done)] == ids
    assert done.returncode == code
    assert (b"Line 2 of" in done.stderr and b"longer than 16 MiB" in done.stderr) is bool(code)
    assert most < 256


def test_memory_stays_flat_over_many_records(tmp_path: Path) -> None:
    text = "\n".join(f"line {n} of a log that is of some length" for n in range(40))
    few = write(tmp_path / "few.jsonl", (record(n, text) for n in range(100)))
    many = write(tmp_path / "many.jsonl", (record(n, f"{text} {n}") for n in range(4000)))
    (_, least), (done, most) = peak(str(few), "--json"), peak(str(many), "--json")
    assert done.stdout.count(b"\n") == 4000
    assert most - least < 8
