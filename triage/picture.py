"""All that the queue is made of, in memory, and kept up with the store by what has changed: one problem costs one problem.

Owns the rows of the queue by range of days. One look at a time, shared by the threads of a process: who comes meanwhile
waits for it. Nothing here is ever older than the store was when it was asked for; where a store cannot tell what has
changed, everything is read again, and what is equal stays the very same object.
"""

from __future__ import annotations

import bisect
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypeVar

from triage.mirrors import Mirror
from triage.owners import Ownership
from triage.queue import Beside, QueueRow, first_day, row_of
from triage.records import Codeowners, Dag, Escalation, Membership, Outcomes, Problem, Record
from triage.store import FOLLOWED, Changed, Store, Summary, record_keys

R = TypeVar("R", bound=Record)
Member = tuple[str, str]  # scope, fingerprint
_BACK = timedelta(days=31)  # how many days are counted apart: the longest range that the queue offers, and one
_FEW = 200  # more than so many summaries are read sooner with all others, and more rows than that put in order anew
_RANGES = 6  # ranges whose rows are kept: those that the queue offers, and what changes at midnight


@dataclass(slots=True)
class _Ranged:
    """The rows of one range of days, as of `today`; `stale` are the problems whose rows are to be made anew."""

    today: date
    stale: set[str]
    rows: dict[str, QueueRow] = field(default_factory=dict)
    ranked: list[QueueRow] = field(default_factory=list)

    def put(self, changed: Mapping[str, QueueRow | None]) -> None:
        """Put rows in the place of former ones, None in that of one that is gone. The list is another one then."""
        ranked = [row for row in self.ranked if row.problem.id not in changed]
        for id, row in changed.items():
            if row is None:
                del self.rows[id]
                continue
            self.rows[id] = row
            if len(changed) <= _FEW:
                bisect.insort(ranked, row, key=_place)
        self.ranked = ranked if len(changed) <= _FEW else sorted(self.rows.values(), key=_place)


def _place(row: QueueRow) -> tuple[tuple[int, ...], str]:
    return row.rank, row.problem.id


class Picture:
    """What is known of all problems. `scope` names the scope of a deployment, `settings` are those about owners."""

    def __init__(self, store: Store, scope: Callable[[str], str], settings: Ownership) -> None:
        self._store, self._scope, self._settings = store, scope, settings
        self._lock = threading.Lock()
        self._revision: int | None = None
        self._since = ""  # the first day that is counted apart
        self._kept: dict[type[Record], dict[str, Record]] = {kind: {} for kind in FOLLOWED}
        self._summaries: dict[Member, dict[str, Summary]] = {}  # by deployment
        self._members: dict[str, set[Member]] = {}  # by problem
        self._answers: dict[str, set[str]] = {}  # ids of outcomes by problem
        self._owners: dict[Member, str] = {}
        self._mirrors: dict[str, Mirror] = {}
        self._owning = settings
        self._ranges: OrderedDict[str, _Ranged] = OrderedDict()

    def rows(self, now: datetime, since: datetime | None = None) -> list[QueueRow]:
        """Return the row of every problem, most urgent first; `since` bounds, in whole days, what `recent` counts.

        The same list again where no row has changed, and the same rows where they have not: to be read only.
        """
        with self._lock:
            self._look(now, first_day(now, since))
            return self._ranged(now, since)

    def owned(self, now: datetime) -> Mapping[Member, str]:
        """Return the problem of every (scope, fingerprint). The same object again where nothing has changed."""
        with self._lock:
            self._look(now)
            return self._owners

    def mirrors(self, now: datetime) -> Mapping[str, Mirror]:
        """Return what is known of the GitLab issue of each problem that has one. The same object again where nothing has changed."""
        with self._lock:
            self._look(now)
            return self._mirrors

    def owning(self, now: datetime) -> Ownership:
        """Return what tells the owners. The same object again where nothing has changed."""
        with self._lock:
            self._look(now)
            return self._owning

    # --- kept up with the store

    def _look(self, now: datetime, first: str = "") -> None:
        """Read what has changed since the last look, or everything; a store that fails in the middle leaves all as it was."""
        if self._revision is None or (first and first < self._since):
            # An empty day stands for none asked for; as a bound it would mean every day there is.
            self._read_all(min(filter(None, (first, self._since, first_day(now, now - _BACK)))))
        elif self._store.revision() != self._revision:
            changed = self._store.changed(self._revision)
            if changed is None or len(changed.summaries) > _FEW:
                self._read_all(self._since)
            else:
                self._read(changed)

    def _read_all(self, since: str) -> None:
        revision = self._store.revision()  # what changes while all is read, is read again
        records = {kind: self._every(kind) for kind in FOLLOWED}
        summaries: dict[Member, dict[str, Summary]] = {}
        for its in self._store.summaries(since):
            summaries.setdefault((self._scope(its.deployment), its.fingerprint), {})[its.deployment] = its
        for kind, every in records.items():
            kept = self._kept[kind]
            self._take(kind, {id: every.get(id) for id in kept.keys() | every.keys() if kept.get(id) != every.get(id)})
        for member in self._summaries.keys() | summaries.keys():
            if self._summaries.get(member) != summaries.get(member):
                self._count(member, summaries.get(member, {}))
        self._revision, self._since = revision, since

    def _read(self, changed: Changed) -> None:
        records = {kind: self._some(kind, ids) for kind, ids in changed.records.items()}
        found = self._store.summaries(self._since, changed.summaries) if changed.summaries else []
        for kind, some in records.items():
            self._take(kind, some)
        counted = {(its.deployment, its.fingerprint): its for its in found}
        for deployment, print_ in changed.summaries:
            member = (self._scope(deployment), print_)
            parts = {name: its for name, its in self._summaries.get(member, {}).items() if name != deployment}
            if (deployment, print_) in counted:
                parts[deployment] = counted[deployment, print_]
            self._count(member, parts)
        self._revision = changed.revision

    def _every(self, kind: type[R]) -> dict[str, R]:
        return {record_keys(record)[0]: record for record, _ in self._store.records(kind)}

    def _some(self, kind: type[R], ids: Iterable[str]) -> Mapping[str, R | None]:
        ids = list(ids)
        found = self._store.many(kind, ids)
        return {id: found[id][0] if id in found else None for id in ids}

    # --- taken in: each says whose rows are to be made anew

    def _count(self, member: Member, parts: dict[str, Summary]) -> None:
        if parts:
            self._summaries[member] = parts
        else:
            self._summaries.pop(member, None)
        self._stale(self._owners.get(member, ""))

    def _take(self, kind: type[Record], records: Mapping[str, Record | None]) -> None:
        kept = self._kept[kind]
        told = [one for id, record in records.items() for one in (kept.get(id), record) if one is not None]
        self._stale(*self._whose(told))
        if kind is Membership:
            self._own(told)
        for id, record in records.items():
            if kind is Outcomes:
                self._answer(id, kept.get(id), record)
            if record is None:
                kept.pop(id, None)
            else:
                kept[id] = record
        if kind is Membership:
            self._own([its for id in records if (its := kept.get(id))], is_so=True)
        elif kind is Mirror and records:
            self._mirrors = {its.problem: its for its in kept.values() if isinstance(its, Mirror)}
        elif kind in (Dag, Codeowners) and records:
            self._tell_owners()

    def _whose(self, records: Iterable[Record]) -> Iterator[str]:
        """Yield the problems whose rows these records of one kind are part of."""
        dags = set()
        for record in records:
            match record:
                case Problem():
                    yield record.id
                case Membership() | Outcomes() | Escalation():
                    yield record.problem
                case Codeowners():
                    yield from self._members
                    return
                case Dag():
                    dags.add((record.deployment, record.dag_id))
        for member, parts in self._summaries.items() if dags else ():
            if any((name, dag) in dags for name, its in parts.items() for dag, _ in its.tasks):
                yield self._owners.get(member, "")

    def _own(self, members: Iterable[Record], *, is_so: bool = False) -> None:
        owners = dict(self._owners)  # who was given the former one may be going through it
        for one in members:
            if isinstance(one, Membership):
                key = (one.scope, one.fingerprint)
                if is_so:
                    owners[key] = one.problem
                    self._members.setdefault(one.problem, set()).add(key)
                else:
                    owners.pop(key, None)
                    self._members.get(one.problem, set()).discard(key)
        self._owners = owners

    def _answer(self, id: str, old: Record | None, new: Record | None) -> None:
        if isinstance(old, Outcomes):
            self._answers.get(old.problem, set()).discard(id)
        if isinstance(new, Outcomes):
            self._answers.setdefault(new.problem, set()).add(id)

    def _tell_owners(self) -> None:
        dags = {(its.deployment, its.dag_id): its for its in self._kept[Dag].values() if isinstance(its, Dag)}
        files = {its.repository: its.text for its in self._kept[Codeowners].values() if isinstance(its, Codeowners)}
        self._owning = Ownership(self._settings.rules, self._settings.repositories, dags, files)

    def _stale(self, *ids: str) -> None:
        for ranged in self._ranges.values():
            ranged.stale.update(ids)

    # --- made of it

    def _ranged(self, now: datetime, since: datetime | None) -> list[QueueRow]:
        name = since.date().isoformat() if since else ""
        ranged = self._ranges.get(name)
        if ranged is None or ranged.today != now.date():
            ranged = self._ranges[name] = _Ranged(now.date(), set(self._kept[Problem]))
        self._ranges.move_to_end(name)
        while len(self._ranges) > _RANGES:
            self._ranges.popitem(last=False)
        changed = {id: row for id in ranged.stale if (row := self._row(id, now, since)) != ranged.rows.get(id)}
        ranged.stale.clear()
        if changed:
            ranged.put(changed)
        return ranged.ranked

    def _row(self, id: str, now: datetime, since: datetime | None) -> QueueRow | None:
        problem = self._kept[Problem].get(id)
        parts = [its for member in self._members.get(id, ()) for its in self._summaries.get(member, {}).values()]
        if not isinstance(problem, Problem) or not parts:
            return None
        parts.sort(key=lambda its: (its.fingerprint, its.deployment))
        answers = [self._kept[Outcomes][one] for one in sorted(self._answers.get(id, ()))]
        growing = self._kept[Escalation].get(id)
        beside = Beside(
            [one for one in answers if isinstance(one, Outcomes)],
            growing if isinstance(growing, Escalation) else None,
            self._owning,
        )
        return row_of(problem, parts, beside, now, since)
