"""The proxy between us and an Airflow: an address, from a setting or the environment, taken apart. Pure.

Owns how an account in the address reaches the proxy, which the API client does not see to, and that it is never shown.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to go through; `is_set` tells one from our settings from one of the environment."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_set: bool = False

    @classmethod
    def read(cls, address: str, *, is_set: bool) -> Proxy | None:
        """Take `http://user:password@host:port` apart, as written in HTTPS_PROXY too; the scheme may be left out.

        Returns None for an address that cannot be read or has another scheme.
        """
        try:
            parts = urlsplit(address if "://" in address else f"http://{address}")
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return None
        if parts.scheme not in ("http", "https") or not host:
            return None
        host = f"[{host}]" if ":" in host else host
        headers = {}
        if parts.username is not None:
            account = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Proxy-Authorization"] = f"Basic {b64encode(account.encode()).decode()}"
        return cls(f"{parts.scheme}://{host}{f':{port}' if port else ''}", headers, is_set)
