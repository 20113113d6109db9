"""Near, not same: how much two problems look alike (0 to 1), and why, in words a person understands.

Owns what is compared (`Traits`, made from a signature and the task) and the rules that call two problems near. Each rule
looks at two problems alone, so a score depends on nothing else that is known, on no order and no machine, and is the same
from both sides. Near is shown to people; it never merges, and is no part of any fingerprint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from sys import intern

import msgspec

from triage.model import Signature, TaskTry
from triage.signature import TITLE_MAX
from triage.signature.masks import mask
from triage.signature.root import endpoint

LEAST = 0.5  # what scores less is not called near
BURST = timedelta(minutes=1)
_EVIDENCE = 600  # characters of one line of evidence that are looked at

# A service that cannot be reached or does not let in: what happened to one of its clients happens to others.
_UNREACHED = frozenset({"DNS", "connection refused", "TLS", "service time-out", "service error"})
_SERVICE = _UNREACHED | {"rate limit", "credentials", "database"}
# What a failure of these causes names is what is missing or wrong.
_THING = {
    "missing module": "module ", "missing file or table": "file or table ", "missing command": "command ", "schema": "",
    "variable or connection missing": "variable or connection ", "template": "", "missing XCom": "", "sensor time-out": "",
    "DAG import": "", "data quality": "", "database": "", "code error": "",
}  # fmt: skip
# The process or its host ended the try, so circumstances tell.
LOST = frozenset(
    ["heartbeat lost", "killed from outside", "out of memory", "state mismatch", "no usable log", "log worker gone",
     "pod not started", "disk full"]
)  # fmt: skip
ENDED = LOST | {"execution time-out"}
# The words are airtriage's own.
_WORDLESS = (ENDED - {"out of memory", "disk full", "pod not started"}) | {
    "queued too long", "stopped by fail_fast", "marked by hand", "upstream failed", "log storage away", "log server refuses",
    "log rotated away", "never started", "try not known", "DAG missing",
}  # fmt: skip
_LOOPBACK = re.compile(r"localhost|127\.[\d.]+|::1|0\.0\.0\.0")
_URL = re.compile(r"\b(https?)://(?:[^\s/@'\"]{0,200}@)?([A-Za-z0-9][\w.\-]{0,250})(?::(\d{1,5}))?[^\s'\"]{0,400}")
_WEB_PORTS = {"http": "80", "https": "443"}

_PLACE = re.compile(r" in (\S{1,120}\(\)|\S{1,120}\.\w{1,5}|<\w{1,40}>)$")
_MORE = re.compile(r" \(and \d+ more\)")
_TOOL = re.compile(r"([a-z][\w.+\-]{0,30}): ")
_QUOTED = re.compile(r"['\"`‘“]([^\s'\"`‘’“”]{2,120})['\"`’”]")
_DOTTED = re.compile(r"(?<![\w.…/\-])[\w…*~\-]+(?:[._/][\w…*\-]+)+")
_BETWEEN = re.compile(r": ([a-z…*][\w.…*/\-]{2,120})(?=: )")
_WORD = re.compile(r"[A-Za-z]{2,40}")
# What a signature says in words of its own, around or instead of those of the log.
_OWN_WORDS = re.compile(r"^Exited with code -?\d+(?:: )?|^(?:Sensor|Execution) time-out of \S+$|^.*exit code -?\d+\.?$")
_LETTERS = re.compile(r"[A-Za-z]{2}")
_VARIED = re.compile(r"[-_]*…+")
# Last parts of a dotted name that make it a file.
_FILE_TYPES = frozenset(
    ["avro", "bz2", "cfg", "conf", "csv", "gz", "h5", "html", "ini", "jar", "json", "jsonl", "log", "orc", "parquet", "pem", "pkl",
     "py", "sh", "sql", "tar", "tgz", "toml", "tsv", "txt", "xls", "xlsx", "xml", "xz", "yaml", "yml", "zip", "zst"]
)  # fmt: skip
# Quoted words that are a language's own, or a message's, rather than the name of a thing.
_NO_NAMES = frozenset(
    ["bool", "builtins", "bytes", "datetime", "decimal", "dict", "error", "failed", "false", "fatal", "float", "function", "int",
     "list", "module", "none", "nonetype", "null", "object", "set", "str", "string", "true", "tuple", "type", "warning"]
)  # fmt: skip
_STOP = frozenset(
    ["an", "and", "are", "as", "at", "be", "been", "by", "can", "could", "for", "from", "has", "have", "in", "is", "isn", "it", "its",
     "not", "of", "on", "or", "that", "the", "this", "to", "was", "were", "with"]
)  # fmt: skip


class Traits(msgspec.Struct, frozen=True, gc=False):
    """What is compared of one fingerprint in one scope.

    `client` is who tells of it: the exception's type, or the program. `names` are the things that its words name,
    `parts` what these are made of; `words` the others; each once and in order. `task` is "dag_id.task_id" of its first try.
    """

    scope: str
    fingerprint: str
    cause: str
    client: str
    place: str
    host: str
    port: str
    names: tuple[str, ...]
    parts: tuple[str, ...]
    words: tuple[str, ...]
    task: str


@dataclass(frozen=True, slots=True)
class Likeness:
    """How near a problem is, 0 to 1, and why: a sentence about it as seen from the other."""

    score: float
    why: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A try that ended for one of the causes in `LOST`: its problem, where it ran, and when it ended."""

    problem: str
    key: TaskTry
    host: str
    at: datetime


# --- traits


def traits(signature: Signature, scope: str, task: str) -> Traits:
    """Return what is compared of a problem, from the signature of one of its tries."""
    cause, title = signature.cause, _MORE.sub("", signature.title)
    place = ""
    if signature.exception and (inside := _PLACE.search(title)):
        place, title = inside[1], title[: inside.start()]
    client, said = _client(signature.exception, title)
    told = [one.text[:_EVIDENCE] for one in signature.evidence]
    host, port = _address(signature.title, *told) if cause in _SERVICE else ("", "")
    if told and len(signature.title) == TITLE_MAX and title.endswith("…"):
        said = f"{said} {mask(told[0])}"
    said = _OWN_WORDS.sub("", said)
    urls = {intern(_VARIED.sub("", url[0].partition("://")[2]).lower()) for url in _URL.finditer(said)}
    said = _URL.sub(" ", said)
    names, words = urls.union(_names(said)), _words(said)
    if _MORE.search(signature.title):
        names |= {name for text in told if len(its := _words(text)) >= 2 and its <= words for name in _names(text)}
    is_module = cause == "missing module"
    return Traits(
        scope, signature.fingerprint, cause, intern(client), intern(place), intern(host), intern(port), _sorted(names),
        _sorted({part for name in names for part in _parts(name, is_module)}),
        _sorted(words if cause not in _WORDLESS else ()), task,
    )  # fmt: skip


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _client(exception: str | None, title: str) -> tuple[str, str]:
    if exception:
        return exception, title.removeprefix(exception).removeprefix(": ")
    if (tool := _TOOL.match(title)) is not None:
        return tool[1], title[tool.end() :]
    return "", title


def _address(*texts: str) -> tuple[str, str]:
    """The host and port of the first text that names a host; a web address has its scheme's port."""
    for text in texts:
        if (web := _URL.search(text)) is not None:
            return web[2].lower(), web[3] or _WEB_PORTS[web[1]]
        host, _, port = endpoint(text).partition(":")
        if re.search(r"[a-z.]", host):
            return host, port
    return "", ""


def _names(text: str) -> Iterator[str]:
    """What a message names: what it quotes, else what is written like a name."""
    quoted = _QUOTED.findall(text)
    for found in quoted or [*_DOTTED.findall(text), *_BETWEEN.findall(text)]:
        name = _VARIED.sub("", found.rstrip("/").rpartition("/")[2]).strip("…*.-_,:;()[]{}<>").lower()
        if _LETTERS.search(name) and name not in _NO_NAMES:
            yield intern(name)


def _words(text: str) -> set[str]:
    for pattern in (_QUOTED, _DOTTED, _BETWEEN):
        text = pattern.sub(" ", text)
    return {intern(word) for word in map(str.lower, _WORD.findall(text)) if word not in _STOP}


def _parts(name: str, is_module: bool) -> Iterator[str]:
    """A module by its package; a file by its stem; what is dotted by each part of it, e.g. a schema and its table."""
    pieces = name.split(".") if "/" not in name else []
    if is_module and pieces:
        yield intern(pieces[0])
        return
    while len(pieces) > 1 and pieces[-1] in _FILE_TYPES:
        pieces.pop()
    yield from (intern(piece) for piece in pieces if len(piece) >= 4)


# --- rules: each is the same from both sides but for what its sentence calls here and there


def compare(here: Traits, there: Traits) -> Likeness | None:
    """Say how near the problem `there` is to the one `here`; None where nothing that can be named makes it so."""
    if here.fingerprint == there.fingerprint:
        if here.scope == there.scope:
            return None
        return Likeness(0.95, f"The same failure in {there.scope}.")
    found = [one for rule in _RULES if (one := rule(here, there)) is not None]
    best = max(found, key=lambda one: one.score, default=None)
    return best if best is not None and best.score >= LEAST else None


def _same_service(here: Traits, there: Traits) -> Likeness | None:
    """One service, seen by another client, or failing in another way."""
    if not here.host or here.host != there.host:
        return None
    is_port_same, are_ports_known = here.port == there.port, bool(here.port and there.port)
    if _LOOPBACK.fullmatch(here.host) and not (is_port_same and are_ports_known):
        return None
    score = 0.6 + (0.2 if is_port_same and are_ports_known else 0 if are_ports_known else 0.05)
    score += 0.15 if here.cause == there.cause else 0.1 if {here.cause, there.cause} <= _UNREACHED else 0
    if is_port_same and here.port:
        why = f"The same endpoint {here.host}:{here.port}"
    else:
        why = f"The same host {here.host}" + (f", on port {there.port} (here {here.port})" if are_ports_known else "")
    if here.cause != there.cause:
        why += f", with another trouble: {_other(there.cause, here.cause)}"
    if there.client and here.client and there.client != here.client:
        why += f", through another client: {_other(there.client, here.client)}"
    return _likeness(score, why)


def _same_thing(here: Traits, there: Traits) -> Likeness | None:
    """One module, table, file, variable … that both name as missing or wrong."""
    of_code = "code error" in (here.cause, there.cause)
    if here.cause not in _THING or there.cause not in _THING or (of_code and here.words == there.words):
        return None
    is_cause_same = here.cause == there.cause
    shared = {name for name in _both(here.names, there.names) if not of_code or len(name) >= 5}
    if shared:
        score = (0.85 if is_cause_same else 0.7) - (0.1 if here.names != there.names else 0) - (0.1 if of_code else 0)
    elif not of_code and (shared := _both(here.parts, there.parts)):
        score = 0.65 if is_cause_same else 0.55
    else:
        return None
    what = f"{_THING[here.cause] if is_cause_same else ''}{_listed(shared)}"
    if is_cause_same and here.cause.startswith("missing"):
        return _likeness(score, f"The same {what} is missing or cannot be used there")
    how = "" if is_cause_same else f", with another trouble: {_other(there.cause, here.cause)}"
    return _likeness(score, f"It is about the same {what}{how}")


def _same_words(here: Traits, there: Traits) -> Likeness | None:
    """The very words, from another place or another exception's mouth; they name something, or are many in one place."""
    if not _may_share_words(here, there) or (here.words, here.names) != (there.words, there.names):
        return None
    is_placed_same = here.place == there.place
    if not here.names and not (len(here.words) >= 4 and is_placed_same):
        return None
    score = 0.8 - (0.1 if here.client != there.client else 0) - (0 if is_placed_same else 0.15)
    if not is_placed_same:
        return _likeness(score, f"The same words from another place: {_other(there.place, here.place)}")
    if here.client != there.client:
        return _likeness(score, f"The same words from another client: {_other(there.client, here.client)}")
    if here.task != there.task:
        return _likeness(score, f"The same words in another task: {_other(there.task, here.task)}")
    return _likeness(score, "The same words")


def _other(there: str, here: str) -> str:
    return f"{there or 'unknown'} (here {here or 'unknown'})"


def _may_share_words(here: Traits, there: Traits) -> bool:
    """Where a service is named it is what counts: the same words about another one say nothing."""
    return (here.host, here.port) == (there.host, there.port)


def _like_words(here: Traits, there: Traits) -> Likeness | None:
    """Nearly the same words about the same things; from one and the same place fewer may do."""
    if (
        here.cause != there.cause
        or not _may_share_words(here, there)
        or (here.names and there.names and not _both(here.names, there.names))
    ):
        return None
    is_place_same = bool(here.place) and here.place == there.place and here.client == there.client
    if (here.place or there.place) and not is_place_same:
        return None
    shared = len(_both(here.words, there.words)) + 2 * len(_both(here.names, there.names))
    every = len(here.words) + len(there.words) + 2 * (len(here.names) + len(there.names)) - shared
    if shared < 4 or 10 * shared < every * (4 if is_place_same else 6):
        return None
    where = f" in the same place, {here.place}" if is_place_same else ""
    return _likeness(0.4 + 0.4 * shared / every, f"Nearly the same words{where}")


def _same_task(here: Traits, there: Traits) -> Likeness | None:
    """One task that ended without words of its own in another way, or broke in the same place with another error."""
    if not here.task or (here.task, here.scope) != (there.task, there.scope):
        return None
    if {here.cause, there.cause} <= ENDED:
        how = "a like way" if here.cause == there.cause else f"another way: {_other(there.cause, here.cause)}"
        return _likeness(0.7, f"The same task {here.task} ended in {how}")
    if here.place and here.place == there.place:
        return _likeness(0.6, f"Another error in the same place of the same task, {here.place} in {here.task}")
    return None


_RULES: tuple[Callable[[Traits, Traits], Likeness | None], ...] = (
    _same_service, _same_thing, _same_words, _like_words, _same_task,
)  # fmt: skip


def _both(some: Iterable[str], others: Iterable[str]) -> set[str]:
    return {*some}.intersection(others)


def _likeness(score: float, why: str) -> Likeness:
    return Likeness(round(score, 2), f"{why}.")


def _listed(names: Iterable[str]) -> str:
    every = sorted(names)
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")


def burst(tried: Lost, others: Iterable[Lost]) -> dict[str, Likeness]:
    """Say which problems lost tries on the host of one that ended so, within a minute of it: by problem.

    More tasks make it surer: two score 0.5, ten 0.9. One task instance counts once, however often it was tried.
    """
    near = [one for one in others if one.host == tried.host and abs(one.at - tried.at) <= BURST]
    tasks = {(one.key.dag_id, one.key.task_id, one.key.run_id, one.key.map_index) for one in [tried, *near]}
    if not tried.host or len(tasks) < 2:
        return {}
    why = f"{len(tasks)} tasks ended on host {tried.host} within a minute, on {tried.at:%Y-%m-%d at %H:%M} UTC"
    return {one.problem: _likeness(1 - 1 / len(tasks), why) for one in near if one.problem != tried.problem}
