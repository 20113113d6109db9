"""What the client of Elasticsearch raises, as one sentence that names the setting and the fix.

What the settings or the server must be changed for is a `WrongStore`; what may pass by itself is a plain `StoreError`.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import elastic_transport
import elasticsearch

from triage.errors import StoreError, WrongStore

BUSY = frozenset({429, 502, 503, 504})


def sentence(address: str, exc: Exception) -> Exception:
    """Return the error to raise for what went wrong with the server at `address`; bugs come back as they are."""
    where = f"Elasticsearch at {address}"
    match exc:
        case elasticsearch.UnsupportedProductError():
            return _other(address)
        case elastic_transport.SerializationError():
            return stranger(address)
        case elasticsearch.AuthenticationException():
            return WrongStore(f"{where} does not let us in.", "Set elastic.api_key, or elastic.username and password.")
        case elastic_transport.TlsError() if "WRONG_VERSION_NUMBER" in exc.message or "record layer" in exc.message:
            return WrongStore(f"What answers at {address} speaks no TLS.", "Write http:// in the setting store.")
        case elastic_transport.TlsError():
            return WrongStore(
                f"{where} cannot be trusted: {exc.message}.",
                "Set elastic.ca_file to the PEM file of the authority that signed its certificate.",
            )
        case elastic_transport.ConnectionTimeout():
            return StoreError(
                f"{where} does not answer in time.", "See what it is busy with; nothing kept so far is lost."
            )
        case elastic_transport.ConnectionError():
            return StoreError(f"{where} cannot be reached: {exc.message}.", "Start it, or correct the setting store.")
        case elasticsearch.ApiError() if not is_product(exc) and exc.status_code not in BUSY:
            return _other(address)
        case elasticsearch.ApiError():
            error = exc.body.get("error") if isinstance(exc.body, dict) else None
            return refusal(address, exc.status_code, error or str(exc))
        case _:
            return exc


def is_product(exc: elasticsearch.ApiError) -> bool:
    """Whether Elasticsearch itself answered, and no proxy or other server in its place.

    It says so in a header, but not of everything that it refuses (a lock, a missing right): those it words as always.
    """
    return "x-elastic-product" in exc.meta.headers or (isinstance(exc.body, dict) and "error" in exc.body)


def _other(address: str) -> WrongStore:
    return WrongStore(
        f"What answers at {address} is not Elasticsearch.",
        "Correct the setting store; OpenSearch cannot be the store.",
    )


def stranger(address: str) -> WrongStore:
    """Return the error for answers that no Elasticsearch gives."""
    return WrongStore(f"What answers at {address} does not answer as Elasticsearch does.", "Correct the setting store.")


def refusal(address: str, status: int, error: Any) -> StoreError:
    """Return the error for what Elasticsearch refused with this status, a whole request or one document of many."""
    where, reason = f"Elasticsearch at {address}", reason_of(error)
    kind = error.get("type", "") if isinstance(error, dict) else ""
    if kind == "cluster_block_exception":
        return WrongStore(
            f"{where} takes no writes: {reason}.",
            "Free disk space or lift the block, then it goes on by itself; where a newer airtriage migrates the store, install that.",
        )
    if kind == "media_type_header_exception":
        return WrongStore(
            f"{where} is older than the Python package elasticsearch {version('elasticsearch')} serves: {reason}.",
            "Upgrade it, or install elasticsearch 8.19, which serves 8.19 and 9.",
        )
    if kind in ("index_not_found_exception", "index_closed_exception"):
        return WrongStore(
            f"{where} has lost an index of ours: {reason}.",
            "Open or restore it; where it is gone for good, start airtriage anew, and it makes an empty one.",
        )
    if status == 403:
        return WrongStore(
            f"{where} forbids it: {reason}.",
            "Give the account of the section elastic the privileges listed in docs/scaling.md.",
        )
    if status in BUSY:
        return StoreError(f"{where} is too busy: {reason}.", "Give it more room; nothing kept so far is lost.")
    return StoreError(f"{where} refuses: {reason}.", "See its log.")


def is_for_good(status: int, error: Any) -> bool:
    """Whether a document was refused for what it holds, so that it will be refused again; else all of them wait."""
    return status in (400, 413) and error.get("type") != "index_closed_exception"


def reason_of(error: Any) -> str:
    """What went wrong, without the value it went wrong with: that may be a secret."""
    if not isinstance(error, dict):
        return str(error)
    causes = error.get("root_cause") or [error]
    text = str(causes[0].get("reason") or causes[0].get("type"))
    return text.partition(" Preview of field's value")[0].rstrip(".")
