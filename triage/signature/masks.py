"""What varies between two occurrences of one cause, masked; what names the cause, kept.

Owns the ordered table of named masks, each with an example. Ids, dates, addresses, numbers, paths of a run, SQL literals
and data values go; the names of columns, tables, files, functions, modules and hosts, status and exit codes and ports
stay. Linear: every pattern is bounded. Must not look at anything but one text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

MAX_TEXT = 1600


@dataclass(frozen=True, slots=True)
class Mask:
    """One rule: what it is called, what it matches, and an example of what it does (through the whole table).

    Where none of `hints` stands in a text, the rule has nothing to do.
    """

    name: str
    pattern: re.Pattern[str]
    into: str | Callable[[re.Match[str]], str]
    before: str
    after: str
    hints: tuple[str, ...]


def _url(match: re.Match[str]) -> str:
    parts = [
        "<id>" if re.search(r"\d{3}|^\d+$|[0-9a-f]{8}", part) and not re.fullmatch(r"v\d{1,2}", part) else part
        for part in match["path"].split("/")
    ]
    return f"{match['scheme'].lower()}://{match['host']}{'/'.join(parts)}"


# What GNU sort, the C compiler and mktemp(1) name their temporary files.
_TEMPORARY = re.compile(r"^(sort|cc|tmp\.)(?=[a-z]{0,12}[A-Z0-9])[A-Za-z0-9]{6,10}(?=\.|$)")


def _path(match: re.Match[str]) -> str:
    name = re.split(r"[/\\]", match[0].rstrip("/\\."))[-1].replace("***", "")
    name = _TEMPORARY.sub(r"\1<n>", name)
    return re.sub(r"(?:[-_.]?\d)+(?=[-_.]|$)|\d{2,}|tmp\w{6,12}$", "<n>", name) or "<path>"


_KEPT_NUMBER = (
    r"(?<=://)[^\s/'\"<>]{1,200}|\butf-?\d{1,2}\b|(?:\d{1,3}\.){3}\d{1,3}(?::\d{2,5})?(?!\d|\.\d)|\[Errno -?\d+\]|\b(?:exit(?:ed)?(?: with)?(?: return)?(?: code| status)?|exit code|return code|status(?:[_ ]code)?"
    r"|errno|HTTP(?:/\d(?:\.\d)?)?(?: Error)?|Error(?: code)?|ERROR|returned error|code|port|SQLSTATE|signal|base|exitcode|state)\b[ :=(]{0,3}-?\d{1,5}\b"
    r"|\bcurl: \(\d+\)|\b[A-Z]{2,6}-\d{3,5}\b|(?<=[\w\]>]):\d{2,5}(?![\d:.]|\w)|^\s*[45]\d\d\b"
    r"|\b[45]\d\d (?=Client|Server|Too|Bad|Not|Forbidden|Unauth|Service|Gateway|Internal|-)"
)
# After these words a quoted text is data, not a name.
_VALUE_LEAD = (
    r"(?:\b(?:values?|literal|integer|numeric|real|float|double precision|date|timestamp|boolean|uuid|json|bytes?|parse"
    r"|convert|got|received|input|data|format|row|record|user input|was|is|near line)|\bbase \d{1,3}|to float|to int)"
)


_DIGITS = tuple("0123456789")
_QUOTES = ("'", '"')


def _mask(
    name: str, pattern: str, into: str | Callable[[re.Match[str]], str], before: str, after: str,
    hints: tuple[str, ...] = _DIGITS,
) -> Mask:  # fmt: skip
    return Mask(name, re.compile(pattern), into, before, after, hints)


MASKS: tuple[Mask, ...] = (
    _mask("SQL statement", r"(?s)\s*\[SQL: .*|\s*\(Background on this error at.*", "",
          "no such table: t [SQL: SELECT 1 FROM t]", "no such table: t", ("[SQL: ", "(Background")),
    _mask("Spark plan", r"(?s)(?<= in operator) !?[A-Z]\w{0,60} .*", "",
          "attribute(s) a#1 missing from b#2 in operator !Project [trim(a#1)]", "attribute(s) a#<n> missing from b#<n> in operator", (" in operator ",)),
    _mask("cut mark", r"(?s) … \[\d+ (?:characters|bytes) cut\] … .*", " …", "a … [90 characters cut] … b", "a …", (" cut] … ",)),
    _mask("object repr", r"<([A-Za-z_][\w.]{0,120})(?:\[[^\]\n]{0,40}\])?(?: object)?(?: [^<>\n]{0,160})? at 0x[0-9a-f]{4,16}>", r"<\1>",
          "<pool.Conn object at 0x7f12ab34cd56> is closed", "<pool.Conn> is closed", (" at 0x",)),
    _mask("place in C", r" ?\(_\w{1,40}\.c:\d{1,6}\)", "", "verify failed (_ssl.c:1006)", "verify failed", (".c:",)),
    _mask("address", r"\b0x[0-9a-fA-F]{1,16}\b", "<addr>", "at 0x7f12ab34cd56", "at <addr>", ("0x",)),
    _mask("mail address", r"[\w.+\-]{1,64}@[\w\-]{1,64}(?:\.[\w\-]{1,64}){1,5}", "<mail>", "no such user a.b@example.com", "no such user <mail>", ("@",)),
    _mask("run id", r"\b(?:scheduled|manual|backfill|asset_triggered|dataset_triggered)__[\dT:.+\-]{10,40}(?:_\w{8})?", "<run>",
          "run manual__2026-11-22T08:12:33.78+00:00 failed", "run <run> failed", ("__",)),
    _mask("URL", r"\b(?P<scheme>[a-zA-Z][a-zA-Z0-9+.\-]{0,20})://(?:[^\s/@'\"]{0,200}@)?(?P<host>[^\s/'\"?#<>),;]{1,200})(?P<path>[^\s'\"?#<>),;]{0,400})(?:\?[^\s'\"<>),]{0,1000})?",
          _url, "GET https://api.example.com/v1/orders/81723?page=2", "GET https://api.example.com/v1/orders/<id>", ("://",)),
    _mask("request path", r"(?<=with url: )(?!<path>)[^\s'\"?#<>),;]{0,400}(?:\?[^\s'\"<>),]{0,1000})?", "<path>",
          "exceeded with url: /v3/k?symbol=A&limit=5 (Caused", "exceeded with url: <path> (Caused", ("with url: ",)),
    _mask("path", r"(?<![\w>:/*}])(?:[A-Za-z]:\\|~?/(?!/)|\.{1,2}/)(?:[^\s'\"(),:;\[\]{}<>|=]{1,200}[/\\]?){1,1}", _path,
          "cannot open /data/in/2026/orders_20261122.csv", "cannot open orders<n>.csv", ("/", "\\")),
    _mask("UUID", r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b", "<uuid>",
          "job 1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed", "job <uuid>", ("-",)),
    _mask("date and time", r"\b\d{4}[-/]\d\d?[-/]\d\d?(?:[T ,]{1,2}\d\d?:\d\d(?::\d\d)?(?:[.,]\d{1,9})?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?\b", "<time>",
          "no data for 2026-11-22 08:12:33.1+00:00", "no data for <time>"),
    _mask("clock", r"\b\d\d?:\d\d:\d\d(?:[.,]\d{1,9})?\b", "<time>", "since 08:12:33", "since <time>", (":",)),
    _mask("resolved address", r" ?\((?:\d{1,3}\.){3}\d{1,3}\)", "", 'at "db" (172.18.0.2), port 5432 failed', 'at "db", port 5432 failed', ("(",)),
    _mask("IP address", r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]|:\d|\", port)", "<ip>", "from 10.0.0.7", "from <ip>", (".",)),
    _mask("hex", r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}\b", "<hex>", "image 9f2ca1b3d4 gone", "image <hex> gone"),
    _mask("value in quotes", rf"({_VALUE_LEAD}\W{{1,4}})(?:'[^'\n]{{0,300}}'|\"[^\"\n]{{0,300}}\")", r"\1<value>",
          "invalid input syntax for type integer: \"abc\"", "invalid input syntax for type integer: <value>", _QUOTES),
    _mask("free text in quotes", r"(?<![\w'\"])'(?=\S)(?=[^'\n]{0,300}[\d\s])(?![A-Za-z_][\w.\-]{0,60}')[^'\n]{1,300}'|(?<![\w'\"])\"(?=\S)(?=[^\"\n]{0,300}[\d\s])(?![A-Za-z_][\w.\-]{0,60}\")(?!(?:\d{1,3}\.){3}\d{1,3}\")[^\"\n]{1,300}\"",
          "<value>", "bad line 'a; 17; b'", "bad line <value>", _QUOTES),
    _mask("key values", r"(=\()[^()\n]{1,300}(\))", r"\1<value>\2", "Key (id)=(5) already exists", "Key (id)=(<value>) already exists", ("=(",)),
    _mask("number", rf"({_KEPT_NUMBER})|(?<![A-Za-z_\d])[+-]?\d+(?:[.,_]\d+)*(?:[eE][+-]?\d{{1,3}})?(?=(?:ms|s|m|h|d|[KMGT]i?B?|%)?\b|\W|$|_)|\d{{3,}}",
          lambda match: match[1] or "<n>", "12 rows in 3.2s, exit code 3, order_20261122", "<n> rows in <n>s, exit code 3, order_<n>"),
)  # fmt: skip


def mask(text: str, hits: set[str] | None = None) -> str:
    """Mask what varies in one message; the names of the masks that changed it are added to `hits`."""
    masked, names = _masked(text[:MAX_TEXT])
    if hits is not None:
        hits |= names
    return masked


@lru_cache(2048)  # failures recur, and their words with them
def _masked(text: str) -> tuple[str, frozenset[str]]:
    names = []
    for one in MASKS:
        if any(hint in text for hint in one.hints):
            changed = one.pattern.sub(one.into, text)
            if changed != text:
                names.append(one.name)
            text = changed
    return " ".join(text.split()), frozenset(names)


_LIBRARY = re.compile(
    r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib(?:64)?[/\\]python\d|[/\\]versions[/\\]3\.\d[\w.]*[/\\]lib|^<frozen|^pyarrow/"
    r"|\.pyx$|\.pxi$|[/\\](?:airflow|\*\*\*)[/\\](?:sdk|models|operators|providers|utils|task|executors|cli|sensors|hooks"
    r"|decorators|serialization|jobs|api_internal|callbacks|triggers)[/\\]|[/\\]spark[/\\]python[/\\]|py4j"
)


_PACKAGE = re.compile(r"[/\\](?:site|dist)-packages[/\\]([\w.\-]{1,80})")
_RUNNER = re.compile(r"[/\\](?:airflow|\*\*\*)[/\\](?:sdk|models|operators|providers|utils)[/\\]")


@lru_cache(4096)
def is_runner(file: str) -> bool:
    """Whether a frame's file is the part of Airflow that calls the user's code."""
    return _RUNNER.search(file) is not None


@lru_cache(4096)
def is_library(file: str) -> bool:
    """Whether a frame's file belongs to Python, Airflow or an installed package rather than to the user."""
    return not file or _LIBRARY.search(file) is not None


@lru_cache(4096)
def package(file: str) -> str:
    """Name the installed package that a frame's file belongs to, or ""."""
    return found[1] if (found := _PACKAGE.search(file)) else ""


def place(file: str, function: str) -> str:
    """Name the place of a frame without what varies: the file's own name and the function."""
    name = re.split(r"[/\\]", file)[-1]
    return f"{name}:{function.rpartition('.')[2] or function}"
