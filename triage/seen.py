"""Have we seen this before? A log or a line of one, signed as a collector would, held against all that is known.

The shell of pages, command line and API. What is asked about is masked before anything looks at it, and never kept. Owns
the order of the answers: the problem with that very fingerprint, then those that look alike, then tries with its words.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from triage import logs
from triage.model import Occurrence, Signature, Unread
from triage.query import Both, Query, Words
from triage.records import Problem
from triage.service import Service
from triage.similar import Known, Similar
from triage.tokens import cut

LARGEST = 8 << 20  # bytes of a log that are looked at: half of them its beginning, half its end
_SHOWN = 10  # problems, and tries
_WORDS = 8  # words a try must have at once; more of them make no hit likelier
_LETTERS = re.compile(r"[^\W\d_]{3}")
# Words of nearly every log: a try that shares no other says nothing.
_DULL = frozenset(
    ["and", "args", "at", "been", "call", "error", "exception", "failed", "failure", "file", "for", "from", "has", "in", "info", "last",
     "line", "most", "not", "opt", "raise", "recent", "return", "self", "task", "the", "traceback", "usr", "was", "warning", "with"]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a log: how it is signed, the problems that are the same, those near, and tries with its words.

    `words` are those that the tries were found by; none where the log has none worth it, or a problem is the same.
    """

    signature: Signature
    same: tuple[Problem, ...]
    near: tuple[Similar, ...]
    tries: tuple[Occurrence, ...]
    words: tuple[str, ...]
    lines: int
    unread: int


def seen(known: Known, chunks: Iterable[bytes], now: datetime, task: str = "") -> Seen | None:
    """Say what is known of a log, given in pieces of any size; None where there is no word in it.

    `task` (DAG.TASK) is where it failed, which the signature of some failures needs. Memory is bounded by `LARGEST`.
    """
    service = known.service
    signer, redactor = service.signers.current, service.redactor
    kept = logs.keep(logs.read(bounded(chunks), redactor), redactor=redactor, telling=signer.rules.telling)
    if not any(_LETTERS.search(line.text) or line.raised for line in kept.lines):
        return None
    signed = signer.sign(kept.lines, absence=kept.absence, task=task, redactor=redactor)
    same = known.same(signed.fingerprint, now)
    near = tuple(one for one in known.like(signed, task, now, _SHOWN) if one.problem.id not in {p.id for p in same})
    # A log that says nothing of its own is signed by that; what it was pasted for is its first line then.
    told = [evidence.text for evidence in signed.evidence] or [line.text for line in kept.lines[:1]]
    words = tuple(_telling(told))
    tries, words = _tries(service, words) if words and not same else ((), ())
    return Seen(signed, same, near, tries, words, kept.total_lines, kept.unread)


def bounded(chunks: Iterable[bytes]) -> Iterator[bytes | Unread]:
    """Yield the first and the last half of `LARGEST` bytes, with what was left out in between; all of a smaller log."""
    half, size, behind, dropped = LARGEST // 2, 0, 0, 0
    tail: deque[bytes] = deque()
    for chunk in chunks:
        if size < half:
            yield chunk[: half - size]
            size, chunk = size + min(len(chunk), half - size), chunk[half - size :]
        tail.append(chunk)
        behind += len(chunk)
        while behind - len(tail[0]) >= half:
            behind -= len(tail[0])
            dropped += len(tail.popleft())
    if behind > half:
        tail[0] = tail[0][behind - half :]
        dropped += behind - half
    if dropped:
        yield Unread(dropped)
    yield from filter(None, tail)


def _telling(texts: Iterable[str]) -> Iterator[str]:
    """The words of some lines that tell one failure from another, the longest ones, in their order."""
    tokens = list(dict.fromkeys(token for text in texts for token in cut(text[:2_000])))
    telling = [token for token in tokens if _is_telling(token)]
    longest = set(sorted(telling, key=lambda token: (-len(token), token))[:_WORDS])
    yield from (token for token in telling if token in longest)


def _is_telling(token: str) -> bool:
    """What varies from try to try (numbers, ids, hashes) is no word, and neither is what every log says."""
    is_word = not any(char.isdigit() for char in token) and len(token) <= 40
    return is_word and (len(token) >= 3 or not token.isascii()) and token not in _DULL


def _tries(service: Service, words: tuple[str, ...]) -> tuple[tuple[Occurrence, ...], tuple[str, ...]]:
    """The newest tries with all of these words that are known at all, or with the longest half of them, and so on."""
    words = tuple(word for word in words if service.store.search(Words((word,)), 1))
    while words:
        query: Query = Both(tuple(Words((word,)) for word in words))
        if found := service.store.search(query, _SHOWN):
            return tuple(found), words
        longest = sorted(words, key=lambda word: (-len(word), word))[: len(words) // 2]
        words = tuple(word for word in words if word in longest)
    return (), ()
