"""One store copied into another: everything but leases, resumed where it was stopped, verified by counts and checksums.

The shell of `airtriage copy`. Both stores are read side by side in order of id and only what differs is written, so a
second run brings the difference. How far it has come is kept in the target, which is not to be used until it is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import get_args

import msgspec

from triage.errors import InputError, StoreError
from triage.lease import LeaseLost, lease
from triage.model import Occurrence
from triage.records import Copying, Horizon, Record
from triage.store import COPYING, Day, DeadLetter, Store, Thing, Touched, thing_id
from triage.watched import Cursor, Lease, Worker

# The cursors first: they never claim to have read what is not copied. Leases and who is at work are of processes, not of the store.
_FIRST = (Horizon, Cursor)
_OTHERS = sorted(set(get_args(Record)) - {*_FIRST, Lease, Worker, Copying}, key=lambda kind: kind.__name__)
KINDS: tuple[type[Thing], ...] = (*_FIRST, *_OTHERS, Occurrence, DeadLetter, Day, Touched)
_PAGE = 1000  # things read at once
_TRIES = 100  # the same of failed tries, whose kept logs have 256 KiB at most
_SIZE = 16  # bytes of a checksum

Sum = tuple[int, str]  # how many, and the checksum of all of them in any order
Told = Callable[[str, str, int], None]  # what is done ("copying", "verifying"), the name of the kind, how many more


@dataclass(slots=True)
class Copied:
    """What a copy did: how many things were written and deleted by kind, and what both stores hold in the end.

    `in_use` names the leases that were held on the source: what their holders wrote later may not be in the target.
    """

    written: dict[str, int] = field(default_factory=dict)
    erased: dict[str, int] = field(default_factory=dict)
    source: dict[str, Sum] = field(default_factory=dict)
    target: dict[str, Sum] = field(default_factory=dict)
    in_use: list[str] = field(default_factory=list)

    @property
    def differing(self) -> list[str]:
        """Name the kinds in which the two stores differ."""
        return [name for name, known in self.source.items() if self.target[name] != known]


def copy(source: Store, target: Store, address: str, clock: Callable[[], datetime], told: Told) -> Copied:
    """Make `target` hold what `source`, which is at `address`, does; InputError where it holds something else."""
    done = Copied(in_use=in_use(source, clock()))
    with lease(target, "copy", clock) as renew:
        if renew is None:
            raise InputError("Another copy into this store is under way.", "Wait for it, or stop it.")

        def tell(what: str, kind: str, more: int) -> None:
            renew()
            told(what, kind, more)

        try:
            noted = _begun(target, address, clock(), tell)
            for _ in range(2):  # where it goes on, what was copied before may have changed: then all of it is compared
                _copy(source, target, noted, done, tell)
                verify(source, target, done, tell)
                if not done.differing:
                    _note(target, done_at=clock(), sums=done.target)
                    break
                noted = _note(target, kind="", after="")
        except LeaseLost:
            raise StoreError(
                "The right to fill the target was lost to another copy.", "Run this again later."
            ) from None
    return done


def verify(source: Store, target: Store, done: Copied, told: Told) -> Copied:
    """Count and sum up what both stores hold; writes nothing."""
    for kind in KINDS:
        done.source[kind.__name__] = sum_up(source, kind, told)
        done.target[kind.__name__] = sum_up(target, kind, told)
    return done


def in_use(store: Store, now: datetime) -> list[str]:
    """Name the leases that are held on a store: somebody works on it."""
    return [one.name for one, _ in store.records(Lease) if one.expires_at > now]


def sum_up(store: Store, kind: type[Thing], told: Told = lambda *said: None) -> Sum:
    """Count the things of a kind, and add up the hashes of their canonical JSON: the same in whatever order."""
    total = count = 0
    for page in _pages(store, kind):
        total += sum(int.from_bytes(_digest(thing)) for thing in page)
        count += len(page)
        told("verifying", kind.__name__, len(page))
    return count, f"{total % 256**_SIZE:0{2 * _SIZE}x}"


# --- the copy


def _begun(target: Store, address: str, now: datetime, told: Told) -> Copying:
    """Return how far a copy from there has come, noted before anything is written; InputError where it may not go on."""
    found = target.get(Copying, COPYING)
    noted = found[0] if found else None
    if noted is None:
        if held := next((kind.__name__ for kind in KINDS if target.everything(kind, 1)), ""):
            raise InputError(
                f"The target holds something already ({held}).", "Name a store that is empty or not there yet."
            )
    elif noted.source != address:
        raise InputError(f"The target holds a copy of {noted.source}.", "Name another target, or that source.")
    elif noted.done_at is None:
        return noted
    elif changed := [
        kind.__name__
        for kind in KINDS
        if sum_up(target, kind, told) != noted.sums.get(kind.__name__, (0, "0" * 2 * _SIZE))
    ]:
        raise InputError(
            f"The target was used since it was copied to ({', '.join(changed[:3])} changed): a copy would undo that.",
            "Name another target.",
        )  # fmt: skip
    fresh = Copying(address, now)
    target.save(fresh, found[1] if found else None)
    return fresh


def _note(target: Store, **what: object) -> Copying:
    found = target.get(Copying, COPYING)
    assert found is not None
    noted = replace(found[0], **what)  # type: ignore[arg-type]
    target.save(noted, found[1])
    return noted


def _copy(source: Store, target: Store, noted: Copying, done: Copied, told: Told) -> None:
    names = [kind.__name__ for kind in KINDS]
    for kind in KINDS[names.index(noted.kind) if noted.kind else 0 :]:
        after = noted.after if kind.__name__ == noted.kind else ""
        for page, until in _stretches(source, kind, after):
            _align(target, page, kind, (after, until), done)
            after = until or after
            _note(target, kind=kind.__name__, after=after)
            told("copying", kind.__name__, len(page))


def _stretches(source: Store, kind: type[Thing], after: str) -> Iterator[tuple[list[Thing], str | None]]:
    """Yield page after page with the id it ends at, last an empty one without an end."""
    while page := source.everything(kind, _size(kind), after):
        after = thing_id(page[-1])
        yield page, after
    yield [], None


def _align(target: Store, page: list[Thing], kind: type[Thing], stretch: tuple[str, str | None], done: Copied) -> None:
    """Make a stretch of ids in the target hold just this page."""
    wanted = {thing_id(thing): thing for thing in page}
    there = dict(_digests(target, kind, *stretch))
    missing = [thing for id, thing in wanted.items() if there.get(id) != _digest(thing)]
    if missing:
        target.overwrite(missing)
    if gone := [id for id in there if id not in wanted]:
        target.erase(kind, gone)
    done.written[kind.__name__] = done.written.get(kind.__name__, 0) + len(missing)
    done.erased[kind.__name__] = done.erased.get(kind.__name__, 0) + len(gone)


def _digests(store: Store, kind: type[Thing], after: str, until: str | None) -> Iterator[tuple[str, bytes]]:
    for page in _pages(store, kind, after):
        for thing in page:
            id = thing_id(thing)
            if until is not None and id > until:
                return
            yield id, _digest(thing)
            if id == until:
                return


def _pages(store: Store, kind: type[Thing], after: str = "") -> Iterator[list[Thing]]:
    while page := store.everything(kind, _size(kind), after):
        yield page
        after = thing_id(page[-1])


def _size(kind: type[Thing]) -> int:
    return _TRIES if kind in (Occurrence, DeadLetter) else _PAGE


def _digest(thing: Thing) -> bytes:
    plain = replace(thing, stamp=0) if isinstance(thing, Touched) else thing  # each store stamps by itself
    return hashlib.blake2b(msgspec.json.encode(plain, order="deterministic"), digest_size=_SIZE).digest()
