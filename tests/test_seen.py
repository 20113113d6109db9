"""Have we seen this before? Whatever is pasted: the very problem, those near, tries with its words, and nothing kept."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests import made_up
from triage import seen as seen_module
from triage.model import LogLine, Unread
from triage.seen import LARGEST, Seen, bounded, seen
from triage.service import Service
from triage.similar import Known
from triage.store import open_store
from ui.cli import main

NOW = made_up.NOW
LOG = b"""[2026-11-24T10:00:00] INFO - batch 7 begins
Traceback (most recent call last):
  File "/opt/dags/lib/stage_b.py", line 13, in step_b
    raise ValueError("no b in batch 7")
ValueError: no b in batch 7
"""


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service(open_store("sqlite://"))
    made.record([*made_up.failing(200), *made_up.neighbours()])
    made.settle(NOW)
    yield made
    made.store.close()


def ask(service: Service, text: bytes | Iterable[bytes], task: str = "") -> Seen | None:
    return seen(Known(service), [text] if isinstance(text, bytes) else text, NOW, task)


def as_text(service: Service, id: str) -> tuple[bytes, str]:
    """Return the newest log of a problem as somebody would paste it, and the task it failed in."""
    fact = service.problem(id, NOW).latest
    assert fact is not None
    lines = [
        json.dumps({"event": line.text, "level": line.level, "error_detail": [_detail(line)] if line.raised else []})
        for line in fact.kept or ()
    ]
    return "\n".join(lines).encode(), fact.key.task


def _detail(line: LogLine) -> dict[str, object]:
    (one,) = line.raised
    frames = [{"filename": f.file, "lineno": f.line, "name": f.function} for f in one.frames]
    return {"exc_type": one.type, "exc_value": one.value, "frames": frames}


def test_the_problem_with_that_very_fingerprint_comes_first(service: Service) -> None:
    row = service.queue(NOW)[0]
    text, task = as_text(service, row.problem.id)
    found = ask(service, text, task)
    assert found is not None
    assert [one.id for one in found.same] == [row.problem.id]
    assert row.problem.id not in {one.problem.id for one in found.near}
    assert found.tries == ()


def test_a_line_leads_to_the_problems_that_look_like_it_with_score_and_reason(service: Service) -> None:
    found = ask(service, b"requests.exceptions.ConnectTimeout: host=warehouse port=5432 timed out")
    assert found is not None
    assert found.same == ()
    assert found.near[0].score >= 0.5
    assert "warehouse" in found.near[0].why
    assert [one.score for one in found.near] == sorted((one.score for one in found.near), reverse=True)


def test_words_that_a_kept_log_holds_lead_to_its_tries(service: Service) -> None:
    found = ask(service, b"ERROR - something peculiar: the batch begins to unravel")
    assert found is not None
    assert (found.same, found.near) == ((), ())
    assert found.words == ("batch", "begins")
    assert {"batch" in str(fact.signature) for fact in found.tries} == {True}


def test_what_nobody_has_seen_is_nothing(service: Service) -> None:
    found = ask(service, b"xylophone zugzwang")
    assert found is not None
    assert (found.same, found.near, found.tries, found.words) == ((), (), (), ())
    for nothing in (b"", b" \n\n", b"\0\0\0", b"123 456", b"\x1b[31m\x1b[0m"):
        assert ask(service, nothing) is None


def test_secrets_are_masked_before_anything_looks_at_them_and_nothing_is_kept(service: Service) -> None:
    before = service.store.revision()
    found = ask(service, LOG + b"ValueError: password=hunter2hunter2 postgres://me:s3cr3tpw@db/x is wrong\n")
    assert "hunter2" not in repr(found)
    assert "s3cr3tpw" not in repr(found)
    assert service.store.revision() == before


def hostile() -> dict[str, bytes]:
    rng = random.Random(5)
    return {
        "binary": rng.randbytes(300_000),
        "nul": LOG.replace(b" ", b"\0"),
        "ansi": b"\x1b[31m" + LOG.replace(b"\n", b"\x1b[0m\r\n\x1b[1m"),
        "one long line": b"ValueError: " + b"a" * 3_000_000,
        "no line ends, many words": b"word " * 400_000,
        "half characters": "\ud800 ValueError: x".encode("utf-8", "surrogatepass") + b"\xff\xfe",
        "query syntax": b'dag:* OR (" AND [ TO } \\ ValueError: "*" NOT',
    }


@pytest.mark.parametrize("name", sorted(hostile()))
def test_hostile_input_is_answered(service: Service, name: str) -> None:
    found = ask(service, hostile()[name])
    assert found is None or found.lines >= 1


def test_of_200_mb_the_two_ends_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = b"x" * (1 << 16)

    def chunks() -> Iterator[bytes]:
        yield b"first\n"
        for _ in range(200 * 16):
            yield chunk
        yield b"last"

    read: list[bytes | Unread] = list(bounded(chunks()))
    held = sum(len(part) for part in read if isinstance(part, bytes))
    (gap,) = [part for part in read if isinstance(part, Unread)]
    assert held + gap.size == 200 * 16 * len(chunk) + 10
    assert held == LARGEST
    assert (read[0], read[-1]) == (b"first\n", b"last")
    assert b"".join(part for part in bounded([b"ab", b"", b"c"]) if isinstance(part, bytes)) == b"abc"
    monkeypatch.setattr(seen_module, "LARGEST", 8)
    assert list(bounded([b"0123456789abcdef"])) == [b"0123", Unread(8), b"cdef"]
    assert list(bounded([b"01", b"23456", b"789"])) == [b"01", b"23", Unread(2), b"6", b"789"]
    assert list(bounded([b"01", b"23456"])) == [b"01", b"23", b"456"]


def test_the_command_says_what_is_known_and_reads_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = made_up.service(tmp_path)
    made.record(made_up.neighbours())
    made.settle(NOW)
    made.store.close()
    monkeypatch.setenv("AIRTRIAGE_DATA_DIR", str(tmp_path))

    def told(text: bytes, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
        with pytest.raises(SystemExit) as ended:
            main(["seen", *arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), " ".join((said.out + said.err).split())

    code, text = told(b"ConnectTimeout: host=warehouse port=5432 timed out", "-")
    assert (code, "The same endpoint warehouse:5432" in text) == (0, True)
    code, text = told(b"xylophone zugzwang", "-", "--json")
    assert (code, json.loads(text)["same"]) == (1, [])
    assert told(b"", "-") == (2, "There is no word in this. Give a log, or a line of one.")
    code, text = told(b"", str(tmp_path / "none.log"))
    assert (code, "cannot be read: No such file" in text) == (2, True)
