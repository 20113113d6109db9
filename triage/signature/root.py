"""Where an exception chain speaks: its root, the message that names the cause, the user's own place where it does not.

Owns the reading of one chain into a `Finding`. The root cause is the last of the chain; a root without words of its own
borrows those of what it became. The place counts where the message cannot tell causes apart (a bare KeyError), and does
not where the message names the thing (a host, a file, a table), so that one outage in three DAGs stays one problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise

from triage import causes
from triage.model import Frame, Raised
from triage.signature.example import FAILED, Example
from triage.signature.masks import is_library, is_runner, mask, package, place

# Exceptions of the language itself: their words repeat over unrelated bugs, so the place belongs to the cause.
_OF_CODE = frozenset(
    [
        "KeyError",
        "IndexError",
        "TypeError",
        "ValueError",
        "AttributeError",
        "AssertionError",
        "ZeroDivisionError",
        "NotImplementedError",
        "RuntimeError",
        "RecursionError",
        "UnboundLocalError",
        "NameError",
        "StopIteration",
        "StopAsyncIteration",
        "LookupError",
        "Exception",
        "BaseException",
        "JSONDecodeError",
        "BadGzipFile",
        "UnicodeDecodeError",
        "UnicodeEncodeError",
        "UnicodeError",
        "EOFError",
        "ArithmeticError",
        "OverflowError",
        "FloatingPointError",
        "InvalidOperation",
        "ReferenceError",
        "BufferError",
        "SystemError",
    ]
)
_PLACED = frozenset({"code error", "unknown", "failed on purpose"})
# What strikes a whole machine or account says enough without any name; other words without a name could come from
# anywhere, so their place counts.
_OF_MACHINE = frozenset({"disk full", "out of memory", "missing module", "missing command", "rate limit", "template"})
# Where the host that a message names belongs to the cause.
_OF_HOST = frozenset({"TLS", "DNS", "connection refused"})
_NAME = re.compile(r"['\"`(][\w*.]|//|\w[_.]\w|/\w|\w\*|: \w")
_ENDPOINT = re.compile(
    r"(?:host=|(?:connect|connection|connecting) to (?:host |the server |server at |the endpoint URL: )?|host name |endpoint URL: |lookup failed for |resolve host:? )"
    r"[\"']?(?:[a-z][a-z0-9+]*:(?!\d{1,5}(?![\d.])))?(?://)?(?P<host>[\w*](?:[\w.*\-]*[\w*])?|\[[0-9a-f:]+\])[\"']?"
    r"(?:(?: \([\d.]+\))?(?::|,? ?port[ =:]+)(?P<port>\d{1,5}))?",
    re.I,
)
_ADDRESS = re.compile(
    r"(?<![\w.\-/])(?P<host>[A-Za-z][\w\-]*(?:\.[\w\-]+)*|(?:\d{1,3}\.){3}\d{1,3}):(?P<port>\d{2,5})(?![\w:.])"
)
_DIALECT = re.compile(r"\(\w[\w.]*?\.(\w+)\) ")
_WORD = re.compile(r"[A-Za-z]{2,}")
# What Airflow writes when a variable or connection is not there: the task SDK, and the models of 1.10 to 2.11.
_NEEDED = re.compile(
    r"(?P<kind>VARIABLE|CONNECTION)_NOT_FOUND: \{'\w{1,20}': ['\"](?:(?:Variable|Connection) )?(?P<name>[^\s'\"]{1,250})"
    r"|(?P<was>Variable) (?P<key>\S{1,250}) does not exist['\"]?$|The (?P<conn>conn)_id `(?P<id>[^`]{1,250})` isn't defined"
)
_UNNAMED = re.compile(r"<(?:listcomp|dictcomp|setcomp|genexpr|lambda)>$")
_PYDANTIC = re.compile(r"\d{1,6} validation errors? for (\S.{0,200})")
_FIELD_ERROR = re.compile(r"\s{1,8}.{0,2000}?[\[(]type=([\w.]{1,80})")
# What zlib and gzip say of a damaged stream; which of it is chance.
_DAMAGED = re.compile(r"Error -3 while decompressing|CRC check failed|Incorrect length of data produced")
# The beginning of Airflow's next record, torn off where the log is cut.
_TORN = re.compile(r"\[\d{4}-\d\d-\d\d[T ,]")
_HINT = re.compile(r"\. (?:Did you mean: .*|Perhaps you .*)$")


@dataclass(slots=True)
class Finding:
    """What was found to be the cause: the parts of its key, its title, and where it stands."""

    key: tuple[str, ...]
    title: str
    cause: str
    exception: str | None = None
    numbers: tuple[int, ...] = ()
    decisions: list[str] = field(default_factory=list)
    is_vague: bool = False


def first_words(value: str) -> str:
    """The telling beginning of a message: its first line, or several where the first says too little."""
    if "validation error" in value[:40] and (fields := _invalid(value)):
        return fields
    lines = [line.strip() for line in value.split("\n", 12) if line.strip()][:10]
    if not lines:
        return ""
    if len(lines) > 1 and _TORN.match(lines[-1]):
        lines.pop()
    if not _has_words(lines[0], 3) or lines[0].endswith(":"):
        return " ".join(lines)
    return lines[0]


def _has_words(text: str, least: int) -> bool:
    """Whether a text has so many words."""
    return len([*islice(_WORD.finditer(text), least)]) == least


def _invalid(value: str) -> str:
    """What pydantic found wrong: each field with the type of its error, which stand on the lines below its first."""
    lines = value.split("\n", 60)
    head = _PYDANTIC.match(lines[0])
    if head is None:
        return ""
    told = {
        f"{mask(field.strip())} ({found[1]})"
        for field, text in pairwise(lines)
        if field[:1].strip() and (found := _FIELD_ERROR.match(text[:2200]))
    }
    return f"validation error for {head[1]}: {', '.join(sorted(told)[:8])}" if told else ""


def needed(text: str) -> tuple[str, ...] | None:
    """The key of a variable or connection that is not there: its class, which of both, its name."""
    found = _NEEDED.search(text[:1000])
    if found is None:
        return None
    kind = "variable" if (found["kind"] or found["was"] or "").lower() == "variable" else "connection"
    return ("variable or connection missing", kind, found["name"] or found["key"] or found["id"])


def endpoint(*texts: str) -> str:
    """The host and port that a message names, or ""; a name wins over an address."""
    for text in texts:
        for pattern in (_ENDPOINT, _ADDRESS):
            if found := pattern.search(text[:2000]):
                port = found["port"]
                return f"{found['host'].lower()}:{port}" if port else found["host"].lower()
    return ""


def outage(kind: str, *texts: str) -> tuple[str, ...] | None:
    """The key of a service that cannot be reached, the same through every client; None if no host is named."""
    host = endpoint(*texts) if kind in ("connection refused", "DNS") else ""
    return (kind, host.partition(":")[0] if kind == "DNS" else host) if host else None


def leaves(chain: Sequence[Raised]) -> Iterator[Raised]:
    """The exceptions that an exception group is made of."""
    for one in chain:
        if any(one.parts):
            for part in one.parts:
                yield from leaves(part)
            return
    if chain:
        yield chain[-1]


def own_place(chain: Sequence[Raised]) -> str:
    """The innermost frame of the user's own code: in the root, else in what it became; "" if there is none.

    A root that came up through Airflow's own frames has passed all of the user's code there was; then the installed
    package that Airflow called is taken for the user's.
    """
    for one in reversed(chain):
        for i in range(len(one.frames) - 1, -1, -1):
            frame = one.frames[i]
            if not is_library(frame.file) and frame.function:
                return place(frame.file, _named_function(one.frames[: i + 1]))
        if any(is_runner(frame.file) for frame in one.frames):
            return _called(one.frames)
    return ""


def _named_function(frames: Sequence[Frame]) -> str:
    """The function of the innermost frame; a comprehension has a frame of its own only before Python 3.12 (PEP 709)."""
    inner = frames[-1]
    for frame in reversed(frames):
        if not _UNNAMED.search(frame.function):
            return frame.function if frame.file == inner.file else inner.function
    return inner.function


def _called(frames: Sequence[Frame]) -> str:
    """The innermost frame of the package that Airflow called."""
    last = max(i for i, frame in enumerate(frames) if is_runner(frame.file))
    inner = [frame for frame in frames[last + 1 :] if package(frame.file)]
    own = [frame for frame in inner if package(frame.file) == package(inner[0].file)]
    return place(own[-1].file, own[-1].function) if own else ""


def judge(chain: Sequence[Raised]) -> Finding:
    """The root of an exception chain counts, with the words of what it became where it says too little by itself.

    The place counts too where the words could come from many places.
    """
    group = next((one for one in chain if one.parts and any(leaves((one,)))), None)
    if group is not None:
        return _judge_group(group, own_place(chain))
    decisions: list[str] = []
    root = chain[-1]
    if len(chain) > 1:
        passed = ", ".join(one.type for one in chain[:-1])
        decisions.append(f"The root of the chain counts: {root.type}; passed over: {passed}.")
    kind, words = _said(root)
    hits: set[str] = set()
    masked = mask(words, hits)
    cause = causes.classify(kind, words)
    teller = root
    if not _has_words(_without(masked, kind), 3) and kind not in _OF_CODE:
        for outer in reversed(chain[:-1]):
            _, outer_words = _said(outer)
            if _has_words(mask(outer_words), 3) and not outer.parts:
                decisions.append(f"{kind} says too little by itself; {outer.type} says more.")
                teller, masked = outer, mask(outer_words, hits)
                break
    where = own_place(chain)
    texts = [_said(one)[1] for one in (teller, root, *chain)] if cause in _OF_HOST else []
    if thing := _of_thing(kind, words, masked, cause, texts):
        thing.decisions = [*decisions, *thing.decisions]
        return thing
    vague = not _has_words(_without(masked, kind), 2)
    placed = kind in _OF_CODE or cause in _PLACED or vague or (cause not in _OF_MACHINE and not _NAME.search(masked))
    if cause == "unknown" and where:
        cause = "code error"
    key: tuple[str, ...] = (kind, masked, where) if placed else _named(kind, masked)
    if _DAMAGED.search(words):
        key, placed, vague = ("damaged data", where), True, not where
        decisions.append("Compressed data is damaged; at which byte, and so with which words, is chance.")
    if placed and where:
        decisions.append(f"The words could come from many places, so the place counts: {where}.")
    if hits:
        decisions.append(f"Masked: {', '.join(sorted(hits))}.")
    title = _title(kind, masked, where if placed else "")
    return Finding(key, title, cause, kind, decisions=decisions, is_vague=vague)


def _of_thing(kind: str, words: str, masked: str, cause: str, texts: Sequence[str]) -> Finding | None:
    """What counts by the thing that is not there, or cannot be reached, whoever asks for it."""
    if key := needed(f"{kind}: {words}"):
        title = f"{kind}: {key[1]} {key[2]} does not exist"
        return Finding(key, title, key[0], kind, decisions=[f"What is not configured counts by its name: {key[2]}."])
    shown = _title(kind, masked)
    host = endpoint(*texts) if cause == "TLS" else ""
    if host:
        decision = f"A secure connection belongs to its host: {host}."
        return Finding((cause, host, masked), _with(shown, host), cause, kind, decisions=[decision])
    if key := outage(cause, *texts):
        decision = f"A service that cannot be reached counts once, whoever calls it: {key[1]}."
        return Finding(key, _with(shown, key[1]), cause, kind, decisions=[decision])
    return None


def _with(title: str, host: str) -> str:
    return title if host.partition(":")[0] in title.lower() else f"{title} ({host})"


def _judge_group(group: Raised, where: str) -> Finding:
    """An exception group counts by the set of the different exceptions in it."""
    found = sorted({(one.type, mask(first_words(one.value))) for one in leaves((group,))})
    said = "; ".join(_title(*one) for one in found[:4])
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    cause = causes.classify(found[0][0], found[0][1], is_python=True)
    return Finding(
        ("group", *(f"{kind}: {text}" for kind, text in found), where),
        f"{group.type}: {said}{more}",
        cause,
        group.type,
        decisions=[f"An exception group counts by the {len(found)} different exceptions in it."],
    )


def _said(one: Raised) -> tuple[str, str]:
    """The type and telling words of one exception, a wrapper of another library's taken off."""
    words = one.value.partition("\n")[0].strip() if one.type in _OF_CODE else first_words(one.value)
    words = _HINT.sub("", words)
    kind = one.type
    if kind == "KeyError" and " " in words and words[:1] in "'\"" and words[-1:] == words[:1]:
        words = words[1:-1]  # a KeyError shows its words as Python would write them
    if wrapped := _DIALECT.match(words):
        kind, words = wrapped[1], words[wrapped.end() :]
    return kind, words.removeprefix(f"{kind}: ")


def _without(text: str, kind: str) -> str:
    return text.replace(kind, "")


def _named(kind: str, masked: str) -> tuple[str, ...]:
    """Leave the type out where the words say it all: another client raises another type for the same words."""
    return (masked,) if _has_words(masked, 4) else (kind, masked)


def _title(kind: str, masked: str, where: str = "") -> str:
    file, _, function = where.rpartition(":")
    inside = f" in {function}()" if file and not function.startswith("<") else f" in {file}" if file else ""
    return f"{kind}: {masked}{inside}" if masked and masked != kind else f"{kind}{inside}"


_CALLED = FAILED + '  File "/dags/{}.py", line {}, in {}\n'

EXAMPLES = (
    Example(
        judge,
        (
            _CALLED.format("shop", 7, "load")
            + "FileNotFoundError: orders.csv is not there\n\nThe above exception was the direct"
            " cause of the following exception:\n\n"
            + _CALLED.format("shop", 9, "run").partition("\n")[2]
            + "RuntimeError: load failed",
        ),
        ("FileNotFoundError: orders.csv is not there",),
    ),
    Example(
        own_place,
        (
            _CALLED.format("shop", 7, "load")
            + '  File "/usr/lib/python3.12/json/decoder.py", line 3, in decode\nKeyError: 0',
            _CALLED.format("bank", 5, "add") + "KeyError: 0",
        ),
        ("KeyError: … in load()", "KeyError: … in add()"),
    ),
    Example(
        outage,
        (
            _CALLED.format("shop", 7, "load")
            + 'OperationalError: connection to server at "db" (10.0.0.7), port 5432 failed: Connection refused',
            'psql: error: connection to server at "db" (10.0.0.9), port 5432 failed: Connection refused',
        ),
        ('psql: error: connection to server at "db", port 5432 failed: Connection refused',),
    ),
    Example(
        needed,
        (_CALLED.format("shop", 7, "load") + "KeyError: 'Variable bucket does not exist'",),
        ("KeyError: variable bucket does not exist",),
    ),
    Example(
        _judge_group,
        (
            FAILED.partition("\n")[0]
            + '\n  + Exception Group Traceback (most recent call last):\n  |   File "/dags/shop.py", line 3, in load'
            "\n  | ExceptionGroup: many (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | ValueError: no rows"
            "\n    +---------------- 2 ----------------\n    | KeyError: 'qty'\n    +------------------------------------",
        ),
        ("ExceptionGroup: KeyError: 'qty'; ValueError: no rows",),
    ),
)
