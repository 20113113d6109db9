"""Today's rules on what is stored already: tries with their logs and signatures, problems, history, health, comparisons.

The shell of `airtriage redact`, beside `service`. Repeatable, and may be stopped anywhere: what was done stays done. No
fingerprint changes, so every try stays with its problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from triage.errors import StaleProblem
from triage.mirrors import Mirror, Tracker
from triage.model import Occurrence
from triage.query import EVERYTHING
from triage.records import Change, Codeowners, Comparison, Move, Problem, SavedSearch
from triage.redact import Redactor, facts
from triage.store import DeadLetter, Store, record_keys, thing_id
from triage.watched import DeploymentHealth

_BATCH = 50  # tries a transaction: half a second at most, so that a pass beside it is not kept waiting
_Masked = Problem | Change | Codeowners | Comparison | DeploymentHealth | Mirror | Tracker | Move | SavedSearch
_KINDS: tuple[type[_Masked], ...] = (
    Problem, Change, Codeowners, Comparison, DeploymentHealth, Mirror, Tracker, Move, SavedSearch,
)  # fmt: skip
_ROUNDS = 20  # lost races in a row before giving up


@dataclass(slots=True)
class Scrubbed:
    """How many tries and records there were, and how many of them held something to mask."""

    tries: int = 0
    changed_tries: int = 0
    records: int = 0
    changed_records: int = 0

    @property
    def is_changed(self) -> bool:
        return self.changed_tries + self.changed_records > 0


def scrub(store: Store, redactor: Redactor, progress: Callable[[Scrubbed], None], *, dry: bool = False) -> Scrubbed:
    """Mask what is stored by the rules of `redactor`, then purge the old texts from the storage; `dry` only counts."""
    done = Scrubbed()
    change = partial(facts.occurrence, redactor)
    for ids in _batches(store):
        done.tries += len(ids)
        done.changed_tries += _would_change(store, ids, change) if dry else store.rewrite(ids, change)
        progress(done)
    for kind in _KINDS:
        for record, _ in store.records(kind):
            done.records += 1
            if facts.record(redactor, record) is not record:
                done.changed_records += 1
                if not dry:
                    _save(store, redactor, record)
        progress(done)
    _letters(store, redactor, done, dry=dry)
    if not dry:
        store.purge()
    return done


def _letters(store: Store, redactor: Redactor, done: Scrubbed, *, dry: bool) -> None:
    """Mask the failed tries that the store refused, as those that it took."""
    after = ""
    while letters := store.everything(DeadLetter, _BATCH, after):
        after = thing_id(letters[-1])
        masked = [replace(one, fact=facts.occurrence(redactor, one.fact)) for one in letters]
        changed = [new for new, old in zip(masked, letters, strict=True) if new != old]
        done.records += len(letters)
        done.changed_records += len(changed)
        if changed and not dry:
            store.overwrite(changed)


def _batches(store: Store) -> Iterator[list[str]]:
    after = None
    while page := store.search(EVERYTHING, _BATCH, after):
        yield [fact.key.id for fact in page]
        after = (page[-1].ended_at, page[-1].key.id)


def _would_change(store: Store, ids: list[str], change: Callable[[Occurrence], Occurrence]) -> int:
    return sum(change(fact) is not fact for fact in store.occurrences(ids).values())


def _save(store: Store, redactor: Redactor, record: _Masked) -> None:
    """Save a record masked, as it is by now; one that was deleted meanwhile stays so."""
    for attempt in range(_ROUNDS):
        found = store.get(type(record), record_keys(record)[0])
        if found is None:
            return
        try:
            store.save(facts.record(redactor, found[0]), found[1])
        except StaleProblem:
            if attempt == _ROUNDS - 1:
                raise
            continue
        return
