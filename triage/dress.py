"""What stands before every line of a log because another program passed it on: a container runtime, compose, a journal.

Owns the forms of such prefixes, each as the program that writes it documents it, and the choice whether a log wears one:
only where what stands behind it is the beginning of a record of Airflow (the form of a container runtime needs no such
proof). Numbers of lines stay as they are. Must not judge what a line says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

LOOK = 200
_DEEPEST = (
    3  # prefixes one behind the other: `docker compose logs -t` and `kubectl logs --prefix --timestamps` write two
)

# The Container Runtime Interface's log format (containerd, CRI-O); a "P" line goes on in the next one.
_CRI = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d) (?:stdout|stderr) (?P<part>[FP])(?:[:\w]{0,20})(?: |$)"
)
# How Airflow 1.8 to 1.10.3 repeated each line of the task in the log of its runner.
_SUBTASK = re.compile(
    r"\[\d{4}-\d\d-\d\d[T ][^\]]{8,30}\] \{base_task_runner\.py:\d+\} \w{4,8} - (?:Job \d+: Subtask \S+|Subtask:) ?"
)
_FORMS = (
    _CRI,
    _SUBTASK,
    re.compile(r"[\w.\-]{1,80}+ {0,20}+\|(?: |$)"),  # docker compose logs
    re.compile(r"\[pod/[\w.\-]{1,253}/[\w.\-]{1,63}\] "),  # kubectl logs --prefix
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d) "),  # docker logs -t, kubectl logs --timestamps
    re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [\w.\-]{1,63} [\w.\-/]{1,60}(?:\[\d{1,9}\])?: "),  # journalctl, syslog
)  # fmt: skip
# Where a line may begin with one of them; `$` is the end of a line here. But for the runner of 1.x, most lines begin as
# none of them does.
_ANY = re.compile(rf"\n(?:{'|'.join(form.pattern for form in _FORMS)})", re.M)
_ANY_BARE = re.compile(rf"\n(?![ \t\n{{*:]|\[(?!pod/))(?:{'|'.join(form.pattern for form in _FORMS)})", re.M)
_RECORD = re.compile(r'\[\d{4}-\d\d-\d\d[T ,]|\{"|\*\*\* |::group::')


def undress(blocks: Iterator[str | None]) -> Iterator[str | None]:
    """Take the prefix off every line of blocks of lines (None is a gap), if the log's first lines show that it wears one."""
    seen: list[str | None] = []
    forms: tuple[re.Pattern[str], ...] = ()
    left = LOOK
    for block in blocks:
        seen.append(block)
        if block is None or (left == LOOK and block[:1] == "{"):
            break
        size = block.count("\n") + 1
        forms = worn(block if size <= left else "\n".join(block.split("\n", left)[:left]))
        left -= size
        if forms or left <= 0:
            break
    bare: Iterator[str | None] = chain(seen, blocks)
    for form in forms:
        bare = _taken_off(bare, form)
    yield from bare


def worn(block: str) -> tuple[re.Pattern[str], ...]:
    """The forms of the prefixes that lines of this block wear, the outermost first; empty for bare ones."""
    text = "\n" + block
    for found in (_ANY if "{base_task_runner.py" in block else _ANY_BARE).finditer(text):
        begin = found.start() + 1
        end = text.find("\n", begin)
        if forms := _before_record(text[begin : end if end >= 0 else len(text)], _DEEPEST):
            return forms
    return ()


def _before_record(line: str, deepest: int, at: int = 0) -> tuple[re.Pattern[str], ...]:
    """The forms that stand one behind the other from `at` on, before a record or as a container runtime's."""
    for form in _FORMS if deepest else ():
        found = form.match(line, at)
        if found is None:
            continue
        inner = _before_record(line, deepest - 1, found.end())
        if inner or form is _CRI or _RECORD.match(line, found.end()):
            return (form, *inner)
    return ()


def _taken_off(blocks: Iterable[str | None], form: re.Pattern[str]) -> Iterator[str | None]:
    open_ = ""
    for block in blocks:
        if block is None:
            open_ = ""
            yield None
            continue
        bare: list[str] = []
        for line in block.split("\n"):
            found = form.match(line)
            text = open_ + (line[found.end() :] if found else line)
            if form is _CRI and found is not None and found["part"] == "P" and len(text) < 1 << 20:
                open_, text = text, ""
            else:
                open_ = ""
            bare.append(text)
        yield "\n".join(bare)
