"""A second edition of signing, as a change of rules would make it, and a process that signs a store anew with it.

It puts all `KeyError` together, tells each `ValueError` apart by its task, and leaves the rest as it is.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from triage import signature
from triage.editions import CURRENT, SIGNERS, Signer, Signers, tail
from triage.model import LogLine, Signature
from triage.regroup import Regrouping
from triage.service import Service
from triage.signature.rules import Rules, made
from triage.store import open_store


def sign(lines: Sequence[LogLine], *args: Any, **said: Any) -> Signature:
    """Sign as version 2."""
    first = signature.sign(lines, *args, **said)
    key = tail(first.fingerprint)
    if first.exception == "KeyError":
        key = hashlib.sha256(b"KeyError").hexdigest()[:16]
    elif first.exception == "ValueError":
        key = hashlib.sha256(f"{key} {said['task'].partition('.')[2]}".encode()).hexdigest()[:16]
    return replace(first, version=2, fingerprint=f"2:{key}")


def ruled(name: str) -> Signers:
    """Sign as version 1 with a rule of a user that keeps tasks apart from each other in ValueErrors."""
    rule = made(name, {"separate": "(ValueError)", "task": r"\.(\w{1,40})$"})
    return SIGNERS.under(Rules((rule,)))


SECOND = Signers(Signer(2, sign), (CURRENT,))


def clock() -> datetime:
    """Return our clock."""
    return datetime.now(UTC)


if __name__ == "__main__":
    service = Service(open_store(sys.argv[1]), signers=SECOND)
    Regrouping(service, clock, clock()).run(lambda tries: print(tries, flush=True))
