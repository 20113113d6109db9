"""How a store that is a server is reached, beside its URL: a small value, so that `open_store` needs no settings.

Pure. The settings fill it in; an adapter that needs no login ignores it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _as_it_is(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Access:
    """An API key, or a user and a password; the PEM file of the authority that signed the server's certificate.

    `timeout` bounds one request, `patience` how long a busy or absent server is waited for, both in seconds. `shards` is
    that of an index of occurrences when it is made. `mask` is what a reason that is kept goes through.
    """

    api_key: str = ""
    user: str = ""
    password: str = ""
    ca_file: str = ""
    timeout: float = 30.0
    patience: float = 30.0
    shards: int = 3
    mask: Callable[[str], str] = _as_it_is


OPEN = Access()
