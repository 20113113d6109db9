"""How a store that is a server is reached: its URL, and a small value beside it, so that `open_store` needs no settings.

Pure. The settings fill it in; an adapter that needs no login ignores it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PREFIX = "airtriage"


def _as_it_is(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Access:
    """An API key, or a user and a password; the PEM file of the authority that signed the server's certificate.

    `timeout` bounds one request, `patience` how long a busy or absent server is waited for, both in seconds. `shards` are
    those of an index of occurrences when it is made, `replicas` the copies of every shard (None: one as soon as there is a
    second node). `mask` is what a reason that is kept goes through.
    """

    api_key: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    timeout: float = 30.0
    patience: float = 30.0
    shards: int = 3
    replicas: int | None = None
    mask: Callable[[str], str] = _as_it_is


OPEN = Access()


def nodes(url: str) -> tuple[list[str], str]:
    """Read `http(s)://host:port[,host:port…][/prefix]`; return the nodes' addresses and the prefix of the indices.

    ValueError says what is wrong, without the URL: that may hold a password.
    """
    scheme, _, rest = url.partition("://")
    hosts, _, path = rest.partition("/")
    prefix = path.strip("/") or PREFIX
    found = []
    for host in hosts.split(","):
        try:
            parts = urlsplit(f"{scheme}://{host.strip()}")
            port = parts.port or (443 if scheme == "https" else 9200)
        except ValueError:
            raise ValueError("its host or port cannot be read, as in https://host:9200/airtriage") from None
        if parts.username is not None or parts.password is not None:
            raise ValueError("it holds an account, which belongs into elastic.username and elastic.password")
        if not parts.hostname or parts.query or parts.fragment:
            raise ValueError("it is not a URL such as https://host:9200/airtriage, with several nodes after commas")
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        found.append(f"{scheme}://{name}:{port}")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,99}", prefix):
        raise ValueError(
            "what follows the hosts begins the names of the indices; it takes lower-case letters, digits, - and _"
        )
    return found, prefix
