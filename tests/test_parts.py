"""The parts of a log as they lie in a storage, put together as Airflow's API would."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.logs import keep, read
from triage.model import Unread
from triage.parts import Part, is_packed, stream, tells_end


def record(second: float, event: str, **more: object) -> bytes:
    fields = {"timestamp": f"2026-11-22T08:00:{second:09.6f}Z", "event": event, "level": "info"}
    return json.dumps(fields | more).encode() + b"\n"


def events(*parts: Part) -> list[str | int]:
    """The events of the stream behind the header, and in its place the size of what was not read."""
    found: list[str | int] = []
    for chunk in stream(parts):
        if isinstance(chunk, Unread):
            found.append(chunk.size)
        else:
            found += [json.loads(line)["event"] for line in chunk.splitlines()]
    end = found.index("::endgroup::")
    assert found[:end] == ["::group::Log message source details", *(part.url for part in parts)]
    return found[end + 1 :]


def test_a_trigger_s_part_stands_between_the_lines_of_the_task_by_its_time() -> None:
    task = record(1, "deferred") + record(4, "Task failed with exception")
    trigger = record(2, "trigger starts") + record(3, "Trigger exited with error")
    told = ["deferred", "trigger starts", "Trigger exited with error", "Task failed with exception"]
    assert events(Part("s3://b/1.log", task), Part("s3://b/1.log.trigger.7.log", trigger)) == told


def test_lines_of_one_millisecond_keep_their_order_and_a_repeated_one_goes_once() -> None:
    same = record(1.0001, "b") + record(1.0000, "a") + record(1.0000, "a") + b"\n" + record(0.5, "drained late")
    assert events(Part("u", same)) == ["drained late", "b", "a"]


def test_a_record_whose_time_stands_elsewhere_or_is_none_is_sorted_all_the_same() -> None:
    later = json.dumps({"event": "two", "timestamp": "2026-11-22T08:00:02Z"}).encode() + b"\n"
    odd = json.dumps({"timestamp": "not a time at all", "event": "odd"}).encode() + b"\n"
    assert events(Part("u", later + odd + record(1, "one"))) == ["one", "two", "odd"]


def test_of_a_big_log_the_two_ends_are_cut_at_lines_and_the_rest_is_counted() -> None:
    whole = b"".join(record(second / 1000, f"row {second}") for second in range(1000))
    part = Part.cut("u", whole[:5000], whole[-5000:], len(whole) - 10_000)
    head, tail = part.head, part.tail
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert head.endswith(b"}\n")
    assert tail.startswith(b"{")
    assert part.unread == len(whole) - len(head) - len(tail)
    (unread,) = [one for one in events(part) if isinstance(one, int)]
    assert unread == part.unread
    kept = keep(read(stream([part])))
    header = sum(len(chunk) for chunk in list(stream([part]))[:1] if isinstance(chunk, bytes))
    assert kept.total_bytes == len(whole) + header
    assert kept.lines[-1].number == -1


def test_a_trigger_s_lines_stand_on_the_right_side_of_what_was_not_read() -> None:
    task = Part("u", record(1, "begun"), record(9, "Task failed with exception"), 1_000_000)
    trigger = Part("t", record(0.5, "early") + record(5, "middle"))
    assert events(task, trigger) == ["early", "begun", 1_000_000, "middle", "Task failed with exception"]


def test_a_big_part_of_a_trigger_is_counted_too() -> None:
    task = Part("u", record(1, "begun") + record(9, "Task failed with exception"))
    trigger = Part("t", record(2, "poll"), record(8, "gave up"), 5_000)
    assert events(task, trigger) == ["begun", "poll", 5_000, "gave up", "Task failed with exception"]


def test_a_text_log_is_left_in_its_order() -> None:
    text = b"[2026-11-22T08:00:02.000+0000] {a.py:1} ERROR - gone\nmore of it\n[2026-11-22T08:00:01.000+0000] {a.py:1} INFO - x\n"
    assert b"".join(chunk for chunk in stream([Part("s3://b/1.log", text)]) if isinstance(chunk, bytes)) == (
        b"*** Found remote logs:\n***   * s3://b/1.log\n" + text
    )
    kept = keep(read(stream([Part("s3://b/1.log", text)])))
    assert kept.has_body
    assert kept.lines[-2].text == "gone\nmore of it"


def test_a_traceback_in_text_stays_with_its_line_when_a_trigger_s_part_is_put_between() -> None:
    task = b"[2026-11-22T08:00:01.000+0000] {a.py:1} INFO - deferred\n[2026-11-22T08:00:03.000+0000] {a.py:1} ERROR - gone\nmore\n"
    trigger = b"[2026-11-22T08:00:02.000+0000] {t.py:1} ERROR - trigger\nTraceback\n"
    texts = [line.text for line in keep(read(stream([Part("u", task), Part("t", trigger)]))).lines]
    assert texts[-3:] == ["deferred", "trigger\nTraceback", "gone\nmore"]


@pytest.mark.parametrize(
    ("line", "tells"),
    [
        (record(1, "Task failed with exception", error_detail=[]), True),
        (record(1, "Task exited", exit_code=1), True),
        (record(1, "Process exited abnormally", exit_code=125), True),
        (record(1, "Process terminated by signal", signal=-9, signal_name="SIGKILL"), True),
        (b"[2026-11-22T08:00:01.000+0000] {taskinstance.py:1} INFO - Marking task as FAILED.\n", True),
        (record(1, "Pausing task as DEFERRED. "), False),
        (record(1, "Task finished"), False),
        (b"", False),
    ],
)
def test_the_end_of_a_failed_try_is_known_by_its_bytes(line: bytes, tells: bool) -> None:
    assert tells_end(record(0, "x") + line + record(2, "y")) is tells


def test_what_is_packed_is_known() -> None:
    assert is_packed(b"\x1f\x8b\x08")
    assert not is_packed(b"{")


@st.composite
def cut(draw: st.DrawFn) -> Iterator[Part]:
    return Part.cut("u", draw(st.binary(max_size=300)), draw(st.binary(max_size=300)), draw(st.integers(1, 10**9)))


@given(st.lists(st.one_of(cut(), st.builds(Part, st.just("u"), st.binary(max_size=300))), min_size=1, max_size=3))
def test_any_bytes_make_a_log_whose_parts_not_read_are_counted(parts: list[Part]) -> None:
    kept = keep(read(stream(parts)))
    assert kept.unread == sum(part.unread for part in parts)
    numbers = [line.number for line in kept.lines]
    assert numbers == sorted(numbers, key=lambda number: (number < 0, number))
    assert 0 not in numbers


def test_lines_of_a_byte_take_no_more_memory_than_their_log_a_few_times() -> None:
    text = b"[2026-01-01T00:00:00.000+0000] {a.py:1} INFO - said\n" + b"a\nb\n" * 400_000
    task, trigger = Part("task", text), Part("trigger", text[:52])
    tracemalloc.start()
    size = sum(len(chunk) for chunk in stream([task, trigger]) if isinstance(chunk, bytes))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > len(text)
    assert peak < 25 << 20, "a line each took 75 MB"
