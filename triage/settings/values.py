"""How values are written in the settings file and in environment variables: spans, lists, commands, headers.

Each reader takes what TOML or a variable gives and returns the value, or raises a ValueError whose words end in one
sentence to the operator. Secrets are never in those words.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import SecretStr

from triage import log_path

_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(s|m|h|d|w)?\Z")
_SECRET = re.compile(r"key|secret|token|password|credential|connection_string", re.I)
_LONGEST = timedelta(days=36_500)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def span(value: object) -> timedelta:
    """Read a time span: `90s`, `5m`, `2h`, `7d`, `1w`, or a number of seconds. ValueError says what is accepted."""
    if isinstance(value, timedelta):
        return value
    match = _SPAN.match(str(value).strip())
    if not match:
        raise ValueError(f"{value!r} is not a time span such as 30s, 5m, 2h, 7d")
    seconds = float(match[1]) * _UNITS[match[2] or "s"]
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"{value!r} is longer than {_LONGEST.days // 365} years")
    return timedelta(seconds=seconds)


def split(url: str) -> SplitResult:
    """Split an address whose host and port can be read."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 -- reading it is the check
    except ValueError as exc:
        raise ValueError("its host or port cannot be read") from exc
    return parts


def address(url: str, login: str) -> str:
    """Check a web address, without the slash at its end; `login` names the settings that an account belongs into."""
    parts = split(url)  # never shown in an error: an address may hold a password
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is not an http:// or https:// address")
    if parts.username or parts.password:
        raise ValueError(f"it holds an account, which belongs into {login}")
    return url.rstrip("/")


def broker(url: str) -> str:
    """Check a broker's address: a folder, or a Redis with its port and the number of its database."""
    parts = split(url)  # never shown in an error: it may hold a password
    if parts.scheme == "filesystem" and not parts.netloc and parts.path.startswith("/"):
        return url
    close = difflib.get_close_matches(parts.scheme, ("redis", "rediss", "filesystem"), n=1)
    if parts.scheme not in ("redis", "rediss"):
        hint = f"; did you mean {close[0]}://?" if close else ""
        raise ValueError(f"it is not a URL such as redis://host:6379/0 or filesystem:///path{hint}")
    if not parts.hostname:
        raise ValueError("it is not a URL such as redis://host:6379/0: it names no host")
    if not re.fullmatch(r"/?|/\d{1,5}", parts.path):
        raise ValueError("what stands behind the host is the number of a database, as in redis://host:6379/0")
    if parts.query or parts.fragment:
        raise ValueError(
            "it holds a ? or #; TLS is rediss:// with broker_ca_file, and a password with such a sign goes into broker_password"
        )
    return url


def listed(value: object) -> object:
    """Split what is written with commas; a list is taken as it is."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def spans(value: object) -> object:
    """Read time spans written with commas."""
    return [span(part) for part in value.split(",")] if isinstance(value, str) else value


def words(value: object) -> object:
    """Split a command as a shell would; the words of a list are taken as they are."""
    if isinstance(value, str):
        try:
            return shlex.split(value)
        except ValueError as exc:
            raise ValueError(f"it cannot be split into words: {str(exc).lower()}") from None
    return value


def header_lines(value: object) -> object:
    """Read headers written as in a request: `Name: value`, one a line."""
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for number, line in enumerate(filter(None, map(str.strip, value.split("\n"))), 1):
        name, colon, text = line.partition(":")
        if not colon:
            raise ValueError(f"line {number} is not written 'Name: value'")
        if name.strip() in found:
            raise ValueError(f"line {number} names a header for the second time")
        found[name.strip()] = text.strip()
    return found


def each_line(value: object) -> object:
    """Split a text into its lines, empty ones left out; a list is taken as it is."""
    return tuple(filter(None, map(str.strip, value.split("\n")))) if isinstance(value, str) else value


def options(value: object) -> object:
    """Hide what is a secret by its name; `true` and `false` in an environment variable are meant as such."""
    if not isinstance(value, dict):
        return value
    told: dict[str, object] = {}
    for name, one in value.items():
        if isinstance(one, str):
            said = {"true": True, "false": False}.get(one.lower(), one)
            told[name] = SecretStr(one) if said is one and _SECRET.search(name) else said
        else:
            told[name] = options(one)
    return told


def template(value: str) -> str:
    """Check a template of log paths."""
    log_path.parse(value)
    return value


def revealed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a storage with their secrets in the open, for its driver."""
    return {name: _plain(one) for name, one in options.items()}


def _plain(one: object) -> object:
    if isinstance(one, SecretStr):
        return one.get_secret_value()
    return revealed(one) if isinstance(one, dict) else one


def password_in(url: str) -> set[str]:
    """Return the password in an address, as it stands there and as it is meant."""
    told = split(url).password or ""
    return {told, unquote(told)}


def hidden(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the secrets among the options of a storage."""
    for one in options.values():
        if isinstance(one, SecretStr):
            yield one.get_secret_value()
        elif isinstance(one, dict):
            yield from hidden(one)
