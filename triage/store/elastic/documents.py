"""What an index holds of an occurrence: the fact as it is, and beside it what it is found and counted by. Pure.

The fact is never taken apart again: `body` gives it back, `kept` its log. What is searched are tokens and folded values,
cut once in Python, so that every store finds the same.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from triage import tokens
from triage.model import LogLine, Occurrence
from triage.store.elastic.indices import LONGEST

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Of zlib: two thirds of the time of its default, and 6 % more bytes, measured on the logs of tests/bench/many_tries.py.
_LEVEL = 3
_LINES = msgspec.json.Decoder(tuple[LogLine, ...])


def micros(when: datetime | None) -> int | None:
    """Return microseconds since 1970, in which order is exact; the server's own dates end at milliseconds."""
    return None if when is None else (when - _EPOCH) // timedelta(microseconds=1)


def time(micros: int) -> datetime:
    """Return the time that `micros` gave."""
    return _EPOCH + timedelta(microseconds=micros)


def member(deployment: str, fingerprint: str) -> str:
    """Return the one keyword that stands for a (deployment, fingerprint) pair."""
    return f"{fingerprint}\n{deployment}"


def pair(member: str) -> tuple[str, str]:
    """Return the (deployment, fingerprint) pair that `member` gave."""
    fingerprint, _, deployment = member.partition("\n")
    return deployment, fingerprint


def document(fact: Occurrence, kept: str | None) -> bytes:
    """Return the document of a fact as JSON; `kept` is its packed log, where it has one."""
    key, signed = fact.key, fact.signature
    shown: dict[str, Any] = {
        "deployment": key.deployment, "dag": key.dag_id, "task": key.task_id, "run": key.run_id,
        "cause": signed.cause if signed else "", "title": signed.title if signed else "",
        "exception": (signed.exception or "") if signed else "", "owner": fact.owner, "operator": fact.operator,
        "queue": fact.queue, "pool": fact.pool, "host": fact.host, "log": fact.log.value, "fingerprint": fact.fingerprint,
        "tag": list(fact.tags),
    }  # fmt: skip
    found: dict[str, Any] = {
        **{name: _cut(value) for name, value in shown.items()},
        "folded": {name: _folded(value) for name, value in shown.items()}
        | {"exception": _cut(tokens.names(shown["exception"]))}
        | ({} if fact.tags else {"tag": ""}),
        "id": key.id, "member": _cut(member(key.deployment, fact.fingerprint)), "day": fact.day,
        "edition": fact.fingerprint.partition(":")[0], "map": key.map_index, "try": key.try_number, "at": micros(fact.ended_at),
        "started": micros(fact.started_at or fact.ended_at), "final": int(bool(fact.is_final)), "version": fact.dag_version or 0,
        "bundle": _cut(fact.bundle_version), "is_kept": kept is not None,
        "text": tokens.of(fact, (fact.kept if fact.kept is not None else unpacked(kept)) or ()), "heading": " ".join(tokens.cut(shown["title"])),
        "body": msgspec.Raw(msgspec.json.encode(replace(fact, kept=None))),
    }  # fmt: skip
    if kept is not None:
        found["kept"] = kept
    if fact.next_fetch_at is not None:
        found["next_fetch"] = micros(fact.next_fetch_at)
    return msgspec.json.encode(found)


def letter(fact: Occurrence, kept: str | None, reason: str) -> bytes:
    """Return the document of a dead letter as JSON; `kept` is the packed log of the fact, where it has one."""
    found = {
        "hash": fact.key.id,
        "deployment": fact.key.deployment,
        "reason": _cut(reason),
        "at": micros(fact.ended_at),
        "body": msgspec.Raw(msgspec.json.encode(replace(fact, kept=None))),
    }
    return msgspec.json.encode(found | ({"kept": kept} if kept is not None else {}))


def packed(lines: Sequence[LogLine]) -> str:
    """Return a kept log as it is stored."""
    return base64.b64encode(zlib.compress(msgspec.json.encode(lines), _LEVEL)).decode()


def unpacked(kept: str | None) -> tuple[LogLine, ...] | None:
    """Return the log that `packed` gave."""
    return None if kept is None else _LINES.decode(zlib.decompress(base64.b64decode(kept)))


def fact(source: Mapping[str, Any]) -> Occurrence:
    """Return the occurrence of a document, with its kept log where that was loaded."""
    found = msgspec.convert(source["body"], Occurrence)
    return replace(found, kept=unpacked(source["kept"])) if source.get("kept") else found


def _cut(value: str | list[str]) -> str | list[str]:
    return value[:LONGEST] if isinstance(value, str) else [one[:LONGEST] for one in value]


def _folded(value: str | list[str]) -> str | list[str]:
    return _fold(value) if isinstance(value, str) else [_fold(one) for one in value]


@lru_cache(8_192)  # the names of DAGs, tasks, owners and hosts come again and again
def _fold(value: str) -> str:
    return tokens.fold(value)
