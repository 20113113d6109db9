"""Signatures a second on one core, raw log to fingerprint, and whether memory stays flat over a million of them.

Ours is the command, `airtriage sign FILE.jsonl --json`, as a process of its own, in CPU seconds without its start; beside
it the same inside one process (read, keep, redact, sign), and the floor, which splits the same bytes into lines and
decodes each, as JSON where it is a record. The logs come again until there are some 8,000, each time with other ids and
fractions of seconds, as failures do that recur: what was found of a text is remembered, and the very same log never comes
again. The logs are those of `tests/corpus`, and the shared labelled ones where they are. Memory is the kernel's peak of the
command over a made stream. Run it as `python -m tests.bench signatures`, or as
`python -m tests.bench.bench_signatures 10000 100000` for streams of other lengths.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests import judge
from tests.bench.bench_memory import peak
from tests.bench.table import Figure, interleaved, ratio, say, show
from triage import logs
from triage.settings import environment
from triage.signature import sign

SHARED = judge.SHARED
ROUNDS = 5
FLOOR, GOAL = 3_000, 8_000
RECORDS = (10_000, 1_000_000)
# So much more may a hundred times as many records take, in MiB: what an allocator breathes.
FLAT = 8
_NUMBER = re.compile(rb"(?<=\d)\d{4,}")  # behind its first digit: no number of JSON begins with 0
_COMMAND = [sys.executable, "-m", "ui.cli", "sign"]


def main(rounds: int = ROUNDS, records: Sequence[int] = RECORDS) -> int:
    """Measure and print both tables; 1 where a goal is missed."""
    corpora = {"tests/corpus": own()} | ({"shared corpus": shared()} if SHARED.exists() else {})
    if not SHARED.exists():
        say(f"  {SHARED} is not here: its logs are NOT MEASURED.")
    return show(
        f"Signatures a second on one core, {rounds} rounds",
        [figure for name, texts in corpora.items() for figure in speed(name, texts, rounds)],
    ) | show("Memory of `airtriage sign FILE.jsonl --json`: its peak (resident)", memory(records))


def speed(name: str, texts: Sequence[bytes], rounds: int) -> list[Figure]:
    """Measure one corpus: inside this process and as the command, each beside the floor."""
    again = max(1, 8000 // len(texts)) if rounds > 1 else 1
    every = [numbered(text, time) for time in range(again) for text in texts]

    def all_of(one: Callable[[bytes], object]) -> Callable[[], None]:
        def run() -> None:
            for text in every:
                one(text)

        return run

    times = interleaved({"floor": all_of(decode), "ours": all_of(signed)}, rounds, clock=time.process_time)
    times["command"] = [of_command(every) for _ in range(rounds)]
    count, size = len(every), sum(map(len, every))
    rates = {who: statistics.median(count / seconds for seconds in took) for who, took in times.items()}
    told = {who: f"{rate:,.0f}/s, {rate * size / count / 1e6:.1f} MB/s" for who, rate in rates.items()}
    what = f"{name}: {len(texts)} logs of {size / count / 1000:.1f} kB"
    return [
        Figure(f"{what}, in one process", told["ours"], told["floor"], f"{ratio(times['ours'], times['floor']):.2f}"),
        Figure(
            f"{what}, the command",
            told["command"],
            told["floor"],
            f"{ratio(times['command'], times['floor']):.2f}",
            f"at least {GOAL:,}/s (floor {FLOOR:,}/s)",
            rates["command"] >= GOAL,
        ),
    ]


def numbered(text: bytes, time: int) -> bytes:
    """Return a log as it would be another time: other digits in every number of five or more, which no part of a date is."""
    other = bytes.maketrans(b"0123456789", bytes(b"0123456789"[(digit + time) % 10] for digit in range(10)))
    return _NUMBER.sub(lambda found: found[0].translate(other), text)


def of_command(texts: Sequence[bytes]) -> float:
    """Return the CPU seconds of the command over these logs, less those of its start."""
    with tempfile.TemporaryDirectory() as name:
        file, empty = Path(name) / "logs.jsonl", Path(name) / "empty.jsonl"
        empty.touch()
        with file.open("w", encoding="utf-8") as out:
            for number, text in enumerate(texts):
                out.write(json.dumps({"id": str(number), "log_text": text.decode("utf-8", "replace")}) + "\n")
        whole, start = (used_by(one, Path(name)) for one in (file, empty))
    say(f"  the command: {whole:.2f} s, of which its start {start:.2f} s")
    return max(whole - start, 0.001)


def used_by(file: Path, folder: Path) -> float:
    """Sign a file with the command; return its CPU seconds."""
    with (folder / "signed.jsonl").open("wb") as out:
        process = subprocess.Popen([*_COMMAND, str(file), "--json"], stdout=out, env=environment(inherit=False))
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


def memory(records: Sequence[int]) -> list[Figure]:
    """Return the command's peak over streams of these lengths, the shortest of which is what the others stand beside."""
    peaks: list[tuple[int, float]] = []
    for count in records:
        peaks.append((count, stream(count)))
        say(f"  {count:,} records: {peaks[-1][1]:.1f} MiB")
    least = peaks[0][1]
    return [
        Figure(
            f"{count:,} records",
            f"{most:.1f} MiB",
            f"{least:.1f} MiB over {peaks[0][0]:,}",
            f"+{most - least:.1f} MiB",
            f"at most +{FLAT} MiB",
            most - least <= FLAT,
        )
        for count, most in peaks[1:]
    ]


def stream(count: int) -> float:
    """Let the command sign so many records as they are made, through a named pipe; return its peak in MiB."""
    with tempfile.TemporaryDirectory() as name:
        pipe = Path(name) / "stream.jsonl"
        os.mkfifo(pipe)
        signed: list[int] = []
        command = [*_COMMAND, str(pipe), "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(inherit=False)) as process:
            assert process.stdout is not None
            lines = process.stdout
            reader = threading.Thread(target=lambda: signed.append(sum(1 for _ in lines)))
            reader.start()
            with pipe.open("wb") as out:
                for record in made(count):
                    out.write(record)
                out.flush()  # by now all but what a pipe holds is signed
                most = peak(process.pid)
            reader.join()
        assert process.returncode == 0
        assert signed == [count], f"{signed} of {count} records were signed"
        return most


def made(count: int) -> Iterator[bytes]:
    """Yield records of small logs, no two of which tell the same: what is remembered of each would show."""
    for number in range(count):
        name = "".join(chr(97 + int(digit)) for digit in str(number))
        stamp = f"2026-10-{number % 28 + 1:02}T04:10:{number % 60:02}Z"
        lines = (
            {"timestamp": stamp, "event": f"Loading table_{name} from s3://lake/{name}/{number}.csv", "level": "info", "logger": "task.stdout"},
            {
                "timestamp": stamp, "event": "Task failed with exception", "level": "error", "logger": "task",
                "error_detail": [{
                    "exc_type": "ValueError", "exc_value": f"column {name} of table_{name} is missing", "is_cause": False,
                    "frames": [{"filename": f"/opt/airflow/dags/load_{name}.py", "lineno": 12, "name": f"load_{name}"}],
                }],
            },
        )  # fmt: skip
        text = "\n".join(json.dumps(line) for line in lines)
        yield json.dumps({"id": str(number), "log_text": text}).encode() + b"\n"


def own() -> list[bytes]:
    """Return the logs of our own corpus."""
    return [case.log for case in judge.own()]


def shared() -> list[bytes]:
    """Return the shared labelled logs."""
    return [case.log for case in judge.shared()]


def signed(text: bytes) -> str:
    """Return the fingerprint of a raw log, as a pass makes it."""
    return sign(logs.keep(logs.read([text])).lines, task="shop.load").fingerprint


def decode(text: bytes) -> int:
    """Split and decode, no more; returns the number of lines."""
    lines = text.split(b"\n")
    for line in lines:
        try:
            json.loads(line) if line[:1] == b"{" else line.decode("utf-8", "replace")
        except ValueError:
            line.decode("utf-8", "replace")
    return len(lines)


if __name__ == "__main__":
    sys.exit(main(records=[int(count) for count in sys.argv[1:]] or RECORDS))
