"""The parts of a log as they lie in a storage -> one stream, in the order in which Airflow's API would give them.

Owns how much of a big log is read, how its ends are cut at lines, and how a trigger's part is put between the task's own
lines. Pure: is handed bytes, reads nothing. Must not judge what a log says beyond whether it tells the try's end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter

from triage.model import Unread

# Up to here a log is read whole: 11,000 records of Airflow 3, which repeat their ids (380 bytes each; printed lines 120).
WHOLE = 4 << 20
# Of a longer one: where it began, and its end. The error was seen 27 kB before the end and may stand further away: what
# is left in a task's pipes drains after it, 64 kB in each, which is 3 MB of records where the lines are two bytes long.
# So an end that tells no failure is read on backwards, fourfold, up to the last figure.
HEAD, TAIL, LONGEST_TAIL = 64 << 10, 1 << 20, 16 << 20

_TELLS = re.compile(
    rb"Task failed with exception|Task exited|Process (?:timed out|exited abnormally|terminated by signal)"
    rb'|"signal_name": ?"|Marking task as (?:FAILED|UP_FOR_RETRY)|Task received SIGTERM|Received SIGTERM'
)
_STAMP = re.compile(rb'\{"timestamp": ?"([^"]{10,40})"|\[(\d{4}-\d\d-\d\dT[^\]]{8,30})\]')
_STAMP_LATER = re.compile(rb'"timestamp": ?"([^"]{10,40})"')
_GZIP = b"\x1f\x8b"
_CHUNK = 65536
_Timed = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Part:
    """One object: its address as people know it, its beginning, and behind `unread` bytes its end."""

    url: str
    head: bytes
    tail: bytes = b""
    unread: int = 0

    @classmethod
    def cut(cls, url: str, head: bytes, tail: bytes, unread: int) -> Part:
        """Make a part of two ends, cut where lines end; what is cut off counts as not read."""
        begun = head[: head.rfind(b"\n") + 1]
        rest = tail[tail.find(b"\n") + 1 :] or tail  # one endless line is better than nothing
        return cls(url, begun, rest, unread + len(head) - len(begun) + len(tail) - len(rest))


def tells_end(data: bytes) -> bool:
    """Whether these bytes hold a line with which a failed try ends."""
    return _TELLS.search(data) is not None


def is_packed(data: bytes) -> bool:
    """Whether this is gzip's, not a log."""
    return data[:2] == _GZIP


def stream(parts: Sequence[Part]) -> Iterator[bytes | Unread]:
    """Yield the log: Airflow's header, which names the parts, then their lines by time; the first part is the task's own.

    Airflow's API sorts by milliseconds, keeps the order of lines within one, and drops a line that repeats the one before
    it. Lines of a text log without a time of their own stay behind the line they belong to.
    """
    first = parts[0]
    is_json = first.head[:1] == b"{" or first.tail[:1] == b"{"
    yield _header([part.url for part in parts], is_json=is_json)
    if not is_json and len(parts) == 1:
        yield from _ends(first)
        return
    gaps = [max((at for at, _ in _timed(part.head)), default=0) for part in parts if part.unread]
    gap = min(gaps, default=None)
    before: list[_Timed] = []
    after: list[_Timed] = []
    for part in parts:
        for timed in _timed(part.head):
            (before if gap is None or timed[0] <= gap else after).append(timed)
        after += _timed(part.tail, gap or 0)
    yield from _sorted(before)
    if gap is not None:
        yield Unread(sum(part.unread for part in parts))
    yield from _sorted(after)


def _ends(part: Part) -> Iterator[bytes | Unread]:
    yield part.head
    if part.unread:
        yield Unread(part.unread)
    yield part.tail


def _header(urls: Sequence[str], *, is_json: bool) -> bytes:
    """Say where the log was read, in the words in which Airflow 3 and Airflow 2 do."""
    if is_json:
        events = ["::group::Log message source details", *urls, "::endgroup::"]
        return b"".join(json.dumps({"timestamp": None, "event": event}).encode() + b"\n" for event in events)
    return "".join(["*** Found remote logs:\n", *(f"***   * {url}\n" for url in urls)]).encode()


def _timed(data: bytes, since: int = 0) -> Iterator[_Timed]:
    """Yield the lines with their time in ms, or that of the last line that had one; those of one time together.

    Together, up to a chunk: a line alone may be a byte, and what holds it fifty.
    """
    at, begin, place = since, 0, 0
    while place < len(data):
        end = data.find(b"\n", place) + 1 or len(data)
        its = _time(data[place:end], at)
        if place > begin and (its != at or end - begin > _CHUNK):
            yield at, data[begin:place]
            begin = place
        at, place = its, end
    if place > begin:
        yield at, data[begin:]


def _time(line: bytes, before: int) -> int:
    found = _STAMP.match(line) or (_STAMP_LATER.search(line) if line[:1] == b"{" else None)
    if found is None:
        return before
    try:
        at = datetime.fromisoformat((found[1] or found[2]).decode("ascii"))
    except ValueError:
        return before
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _sorted(timed: list[_Timed]) -> Iterator[bytes]:
    timed.sort(key=itemgetter(0))
    held: list[bytes] = []
    size = 0
    before: bytes | None = None
    for at, lines in timed:
        for line in lines.split(b"\n"):
            if not line or (line == before and at):
                continue
            held += (line, b"\n")
            size += len(line)
            before = line
            if size >= _CHUNK:
                yield b"".join(held)
                held, size = [], 0
    if held:
        yield b"".join(held)
