"""What is kept, signed anew after a change of the rules of signing, so that every problem keeps its failures.

The shell of `airtriage regroup`, beside `service`. The intent is a record; each step may be repeated, killed anywhere, and
done by several at once: what is left to do is read from the failed tries themselves. The heirs are noted before a try
moves, so no problem loses its failures, its state or its mute on the way, and none opens a second time.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from triage import heirs
from triage.editions import suffix, tail, version
from triage.errors import StaleProblem
from triage.lifecycle import taking_over
from triage.model import Occurrence, Signature
from triage.query import Field
from triage.records import Change, Membership, Problem, Ran, Regroup, Tally
from triage.service import Service
from triage.store import REGROUP

logger = logging.getLogger(__name__)
_BATCH = 50  # tries a transaction: half a second at most, so that a pass beside it is not kept waiting
_ROUNDS = 20  # lost races in a row before giving up

Again = tuple[Occurrence, Signature]  # a failed try, and its signature in the edition in force
Flow = tuple[str, str, str, str]  # scope, problem ("" for none yet), fingerprint until now, new fingerprint
Flows = Counter[Flow]


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a problem: its `tries` that are signed anew, their fingerprints `before` and `after`.

    `to` counts the tries by the problem they belong to then, mostly itself. `is_split`: one fingerprint becomes several,
    all of them this problem's.
    """

    problem: Problem
    tries: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    to: dict[str, int]
    is_split: bool

    @property
    def is_merged(self) -> bool:
        """Say whether failures of it go to another problem."""
        return any(id != self.problem.id for id in self.to)


@dataclass(frozen=True, slots=True)
class Plan:
    """What signing anew would do: to how many tries, how many of them get a fingerprint that tells something else.

    `left` are the tries without a kept log, which keep their fingerprint and their problem.
    """

    edition: str
    tries: int
    changed: int
    left: int
    fates: tuple[Fate, ...]


@dataclass(frozen=True, slots=True)
class Regrouping:
    """Signs anew what is of another edition; `since` is when the settings of this process were read, on our clock.

    Where somebody who read settings later put another edition in force, or a newer program did, this one leaves all as
    it is: two workers never sign each other's tries again and again.
    """

    service: Service
    clock: Callable[[], datetime]
    since: datetime

    def run(self, told: Callable[[int], None] = lambda tries: None, budget: timedelta | None = None) -> Regroup | None:
        """Do what is to be done, or as much as `budget` allows; None where nothing is, else the intent as it stands.

        `told` hears of the number of tries looked at in each step, and may raise to stop the work.
        """
        intent = self._intent()
        if intent is None:
            return None
        started, moved = self.clock(), 1
        while moved:
            moved = 0
            for page in self._pages():
                count = self._move(page, intent)
                moved += count
                intent = self._note(replace(intent, tries=intent.tries + count))
                told(len(page))
                if budget is not None and self.clock() - started > budget:
                    return intent
        self.service.settle(self.clock())
        if self._is_behind():  # changed by others right now, or a fault of ours: the next tick looks again
            return intent
        return self._note(replace(intent, done_at=self.clock(), left=self.waiting()))

    def waiting(self) -> int:
        """Count the failed tries of editions behind, those that cannot be signed anew included."""
        return sum(
            self.service.store.count(Field("fingerprint", f"{edition}:", prefix=True)) for edition in self._behind()
        )

    def _behind(self) -> list[str]:
        signers = self.service.signers
        return [edition for edition in self.service.store.editions() if signers.is_behind(edition)]

    def _pages(self) -> Iterator[list[Occurrence]]:
        for edition in self._behind():
            page = self.service.store.signed(edition, _BATCH)
            while page:
                yield page
                page = self.service.store.signed(edition, _BATCH, page[-1])

    def is_due(self) -> bool:
        """Say whether there is anything for `run` to do; writes nothing, and is fast where there is not."""
        found = self.service.store.get(Regroup, REGROUP)
        if found is None or found[0].edition != self.service.signers.edition:
            return found is None or self._may_follow(found[0])
        return found[0].done_at is None or self._is_behind()

    def _may_follow(self, other: Regroup) -> bool:
        """Say whether this process may put its edition in force after that other one."""
        return version(other.edition) <= version(self.service.signers.edition) and other.begun_at <= self.since

    def _intent(self) -> Regroup | None:
        """Return the open intent, written first where it is not; None where there is nothing to do, or not for us."""
        if not self.is_due():
            return None
        store, mine = self.service.store, self.service.signers.edition
        found = store.get(Regroup, REGROUP)
        if found and found[0].edition == mine and found[0].done_at is None:
            return found[0]
        former = tuple(heirs.editions(store, self.service.signers))
        return self._note(Regroup(mine, self.clock(), former))

    def _is_behind(self) -> bool:
        return next(self._pages(), None) is not None

    def _note(self, intent: Regroup) -> Regroup:
        """Save the intent, whatever another process noted of the same one meanwhile: only its count is lost."""
        store = self.service.store
        for attempt in range(_ROUNDS):
            found = store.get(Regroup, REGROUP)
            try:
                store.save(intent, found[1] if found else None)
            except StaleProblem:
                if attempt == _ROUNDS - 1:
                    raise
                continue
            break
        return intent

    # --- one step

    def _move(self, page: list[Occurrence], intent: Regroup) -> int:
        """Note the heirs of these tries, then give them their new signatures; return how many were given."""
        signed = {fact.key.id: (fact, made) for fact, made in self._signed(page)}
        for (scope, owner, before, fingerprint), moved in self._parted(signed.values()).items():
            heirs.divide(self.service.store, scope, before, fingerprint)
            known = self.service.store.get(Membership, f"{scope}/{before}") if owner else None
            if known:
                self._inherit(replace(known[0], fingerprint=fingerprint), moved, intent)

        def change(stored: Occurrence) -> Occurrence:
            fact, made = signed[stored.key.id]
            if _reading(stored) != _reading(fact):  # read anew meanwhile: it is looked at again
                return stored
            return replace(stored, signature=made, signed_knowing=stored.circumstance is not None)

        return self.service.store.rewrite(signed, change)

    def _signed(self, page: list[Occurrence]) -> Iterator[Again]:
        """Sign tries anew; a fault of ours at one is no reason to leave the others: it keeps its fingerprint."""
        for fact in page:
            try:
                made = self.service.signers.current.again(fact, self.service.redactor)
                yield fact, replace(made, fingerprint=made.fingerprint + suffix(fact.fingerprint))
            except Exception:
                logger.exception("The kept log of try %s cannot be signed", fact.key.id)

    def _flows(self, signed: Iterable[Again]) -> Flows:
        return Flows({flow: len(moved) for flow, moved in self._parted(signed).items()})

    def _parted(self, signed: Iterable[Again]) -> dict[Flow, list[Occurrence]]:
        owners: dict[tuple[str, str], str] = {}
        flows: dict[Flow, list[Occurrence]] = {}
        for fact, made in signed:
            scope = self.service.scope(fact.key.deployment)
            key = (scope, fact.fingerprint)
            if key not in owners:
                found = self.service.store.get(Membership, "/".join(key))
                owners[key] = found[0].problem if found else ""
            flows.setdefault((scope, owners[key], fact.fingerprint, made.fingerprint), []).append(fact)
        return flows

    def _inherit(self, heir: Membership, moved: Sequence[Occurrence], intent: Regroup) -> None:
        """Say which problem a new fingerprint belongs to: its tries' own, or the foremost of several."""
        store = self.service.store
        for attempt in range(_ROUNDS):
            found = store.get(Membership, f"{heir.scope}/{heir.fingerprint}")
            before = found[0] if found else heir
            first = heirs.foremost(store, (before, heir))
            if first is None:
                return
            if found and first.problem != before.problem:
                pairs = self.service.pairs(heir.scope, [heir.fingerprint])
                self._prepare(first.problem, partial(store.tally, pairs))
            elif first.problem != heir.problem:
                self._prepare(first.problem, partial(counted, moved))
            try:
                if found is None or first != before:
                    heirs.bind(store, first, found[1] if found else None)
            except StaleProblem:
                if attempt == _ROUNDS - 1:
                    raise
                continue
            for former in {before.problem, heir.problem} - {first.problem}:
                self._tell(intent, heir.fingerprint, first.problem, former)
            return

    def _prepare(self, id: str, count: Callable[[datetime | None], Tally | None]) -> None:
        """Make a problem ready for failures it takes over, so that they change no state: e.g. its mute leaves as many more.

        Before they move: after a kill in between it is muted for a few too many, rather than loud too soon.
        """
        for attempt in range(_ROUNDS):
            found = self.service.store.get(Problem, id)
            moved = count(found[0].muted_from) if found else None
            if found is None or moved is None or (ready := taking_over(found[0], moved)) == found[0]:
                return
            try:
                self.service.store.save(ready, found[1])
            except StaleProblem:
                if attempt == _ROUNDS - 1:
                    raise
                continue
            return

    def _tell(self, intent: Regroup, fingerprint: str, keeper: str, former: str) -> None:
        """Note in both histories that two problems turned out to have one cause, once."""
        why = f"signatures {intent.edition} find one cause in failures of both ({fingerprint})"
        for problem, what in ((keeper, f"took over failures of {former}"), (former, f"gave failures to {keeper}")):
            with suppress(StaleProblem):  # said already
                self.service.store.save(Change(problem, intent.begun_at, "airtriage", what, why), None)

    # --- what would be done

    def plan(self, told: Callable[[int], None] = lambda tries: None) -> Plan:
        """Find out what `run` would do; changes nothing."""
        changed, flows = 0, Flows()
        for page in self._pages():
            signed = list(self._signed(page))
            changed += sum(tail(fact.fingerprint) != tail(made.fingerprint) for fact, made in signed)
            flows += self._flows(signed)
            told(len(page))
        keepers = self._keepers(flows)
        by_owner: dict[str, Flows] = {}
        for flow, count in flows.items():
            by_owner.setdefault(flow[1], Flows())[flow] = count
        fates = [
            _fate(problem[0], its, keepers)
            for id, its in sorted(by_owner.items())
            if (problem := self.service.store.get(Problem, id))
        ]
        tries = flows.total()
        return Plan(self.service.signers.edition, tries, changed, self.waiting() - tries, tuple(fates))

    def _keepers(self, flows: Flows) -> dict[tuple[str, str], str]:
        """Return the problem that each (scope, new fingerprint) goes to, "" for one that nobody owns."""
        store = self.service.store
        claims: dict[tuple[str, str], list[Membership]] = {}
        for scope, _, before, fingerprint in flows:
            known = store.get(Membership, f"{scope}/{fingerprint}")
            mine = claims.setdefault((scope, fingerprint), [known[0]] if known else [])
            if found := store.get(Membership, f"{scope}/{before}"):
                mine.append(replace(found[0], fingerprint=fingerprint))
        first = {key: heirs.foremost(store, its) for key, its in claims.items()}
        return {key: one.problem if one else "" for key, one in first.items()}


def counted(moved: Sequence[Occurrence], since: datetime | None) -> Tally | None:
    """Count these tries as a store would, but for titles; None where there are none."""
    if not moved:
        return None
    ran = tuple(
        Ran(
            it.key.deployment, it.key.dag_id, it.key.task_id, it.dag_version, it.bundle_version,
            it.started_at or it.ended_at, it.ended_at,
        )
        for it in moved
    )  # fmt: skip
    return Tally(
        len(moved), sum(it.is_final is True for it in moved), min(it.ended_at for it in moved),
        max(it.ended_at for it in moved), max(part.last_started for part in ran), "", "", ran,
        sum(since is not None and it.ended_at > since for it in moved),
    )  # fmt: skip


def _fate(problem: Problem, flows: Flows, keepers: dict[tuple[str, str], str]) -> Fate:
    to: Counter[str] = Counter()
    became: dict[str, set[str]] = {}
    for (scope, _, before, after), tries in flows.items():
        to[keepers[scope, after]] += tries
        became.setdefault(before, set()).add(after)
    made = sorted(set().union(*became.values()))
    is_split = any(len(several) > 1 for several in became.values())
    return Fate(problem, flows.total(), tuple(sorted(became)), tuple(made), dict(to), is_split)


def _reading(fact: Occurrence) -> tuple[object, ...]:
    return fact.signature, fact.kept, fact.circumstance, fact.log, fact.absence
