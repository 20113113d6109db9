"""A model of the life of problems for hypothesis: failures in any order, time, persons, GitLab, merges, on a real store.

`Life` acts on the real service over SQLite in memory and keeps a plain list of what it did. After every step nothing
impossible may stand in the store. The test runs some hundred steps, the bench 100,000.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.store_contract import NOW, occurrence
from triage import merging
from triage.errors import InputError
from triage.growth import LEAST
from triage.lifecycle import OPEN, SETTLES_AFTER
from triage.merging import Person
from triage.model import Occurrence
from triage.query import EVERYTHING
from triage.records import Change, Escalation, MoveKind, Outcomes, Problem, TriageState
from triage.service import Service
from triage.store import open_store

CAUSES, DAGS, VERSIONS = ("1:aa", "1:bb", "1:cc"), ("orders", "billing", "crm"), (None, 13, 14, 15)
BUNDLES = {None: "", 13: "", 14: "aaaaaaaaaa", 15: "bbbbbbbbbb"}
MUTES: tuple[dict[str, Any], ...] = (
    {}, {"lasting": timedelta(hours=3)}, {"more": 2}, {"spread": True}, {"closed": True},
    {"more": 3, "spread": True, "lasting": timedelta(days=2)},
)  # fmt: skip
RESOLUTIONS: tuple[dict[str, Any], ...] = (
    {}, {"next_deploy": True}, {"deploy": "bbbbbbb"}, {"deploy": "orders@15"}, {"quiet_for": timedelta(hours=6)},
)  # fmt: skip
ORIGINS = ("page", "command", "GitLab", "policy")
# One of six problems, or in half of the cases the one of last time again: what bites is done to one problem in a row.
PROBLEMS = 6
PICK, HOURS = st.integers(0, 2 * PROBLEMS - 1), st.sampled_from((0, 0.01, 1, 5, 30, 24 * 8))
OWNERS = ("carl", "@data", "nobody")
reached: Counter[tuple[str, str]] = Counter()  # the states between which steps took a problem, and how often
steps, grown = [0], [0]  # grown: how often a pass ended with a problem that grows
STANCE = (
    "state", "state_by", "reason", "before", "resolved_at", "deploy", "quiet_for", "muted_until",
    "muted_until_count", "muted_from", "muted_dags", "muted_until_closed", "owner",
)  # fmt: skip


class Life(RuleBasedStateMachine):
    """Everything that may happen to problems, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.store = open_store("sqlite://")
        self.service = Service(self.store)
        self.now, self.facts = NOW, dict[str, Occurrence]()
        self.links: dict[str, str] = {}
        self.entries: set[Change] = set()
        self.states: dict[str, TriageState] = {}
        self.last = ""
        self.decided: dict[tuple[str, datetime], Problem] = {}  # by problem and moment: what stood before a decision
        self.is_settled = True

    def teardown(self) -> None:
        self.store.close()

    @initialize()
    def begin(self) -> None:
        for cause, dag in zip(CAUSES, DAGS, strict=True):
            self.fail(cause, dag, 14, 0, True)
            self.fail(cause, "orders", 14, 1, False)
        self.settle()

    # --- what happens by itself

    @rule(
        cause=st.sampled_from(CAUSES),
        dag=st.sampled_from(DAGS),
        version=st.sampled_from(VERSIONS),
        late=HOURS,
        final=st.booleans(),
    )
    def fail(self, cause: str, dag: str, version: int | None, late: float, final: bool) -> None:
        """A try fails that took some seconds, or one that ended long ago is heard of only now."""
        self.now += timedelta(seconds=11)
        fact = occurrence(
            len(self.facts), dag=dag, fingerprint=cause, at=self.now - timedelta(hours=late), is_final=final,
            dag_version=version, bundle_version=BUNDLES[version],
        )  # fmt: skip
        self.facts[fact.key.id] = fact
        self.service.record([fact])
        self.is_settled = False

    @precondition(lambda self: len(self.facts) < 10 * LEAST)
    @rule(cause=st.sampled_from(CAUSES))
    def burst(self, cause: str) -> None:
        """As many tries fail at once as growth asks for."""
        for _ in range(LEAST):
            self.fail(cause, "orders", 15, 0, True)

    @rule()
    def settle(self) -> None:
        """A pass ends; a second one at once finds nothing left to decide."""
        self.service.settle(self.now)
        before = self.store.revision()
        assert self.service.settle(self.now) == 0
        assert self.store.revision() == before, "deciding twice is the same"
        self.is_settled = True

    @rule()
    def replay(self) -> None:
        """Everything is listed once more."""
        self.service.record(reversed(self.facts.values()))

    @rule(hours=HOURS)
    def wait(self, hours: float) -> None:
        self.now += timedelta(hours=hours)
        self.is_settled = False

    @rule(hours=st.sampled_from((5, 60, 24 * 8)))
    def pass_later(self, hours: float) -> None:
        """Time goes by in which nothing happens but a pass: what ends by time alone ends here."""
        self.wait(hours)
        self.settle()

    @rule(pick=PICK, well=st.booleans(), version=st.sampled_from(VERSIONS), paused=st.booleans())
    def answer(self, pick: int, well: bool, version: int | None, paused: bool) -> None:
        """Airflow answers how the tasks of a problem fared."""
        if (problem := self.pick(pick)) is None:
            return
        for summary in self.store.summaries(members=self.service.members(problem)):
            for (dag, task), (first, last) in summary.spans.items():
                answer = Outcomes(
                    problem.id, "prod", dag, task, first, last, self.now, self.now + timedelta(hours=1), succeeded=2 * well,
                    is_paused=paused, last_success_at=self.now if well else None,
                    dag_version=version if well else None, bundle_version=BUNDLES[version] if well else "",
                )  # fmt: skip
                found = self.store.get(Outcomes, f"{problem.id}/prod/{dag}/{task}")
                self.store.save(answer, found[1] if found else None)
        self.is_settled = False

    # --- persons and GitLab

    def pick(self, pick: int) -> Problem | None:
        found = [problem for problem, _ in self.store.records(Problem)]
        if not found:
            return None
        again = next((one for one in found if one.id == self.last), None) if pick >= PROBLEMS else None
        chosen = again or found[pick % len(found)]
        self.last = chosen.id
        return chosen

    def act(self, pick: int, origin: str, verb: Callable[..., object], **how: Any) -> None:
        """Do what a person asks for, or be told in a sentence why not; what was done has to stand in the history."""
        if (problem := self.pick(pick)) is None:
            return
        id = self.service.find(problem.id).id
        before = self.state_of(id)
        try:
            verb(problem.id, who="ann", now=self.now, origin=origin, **how)
        except InputError as exc:
            assert str(exc)
            assert self.state_of(id) == before, "what was refused changed nothing"
            return
        after = self.state_of(id)
        if after != before:
            told = next(one for one in self.service.history(after) if one.who == "ann")  # behind it what that led to
            assert (told.origin, told.problem) == (origin, id)
            assert told not in self.entries
            self.entries.add(told)
            self.is_settled = False  # e.g. what was put back may be over since
            if verb == self.service.undo:
                self.put_back(before, after)
            else:
                assert after.undo is not None
                assert (after.undo.decided_by, after.undo.decided_at, after.undo.left_by) == ("ann", told.at, told.what)
                self.decided[id, told.at] = before

    def put_back(self, before: Problem, after: Problem) -> None:
        """What stood before the very decision stands again, unless what failed meanwhile ended it at once."""
        assert before.undo is not None
        assert before.undo.decided_at is not None
        stood = self.decided[before.id, before.undo.decided_at]
        assert after.owner == stood.owner
        assert after.undo is None
        if after.told is not None and after.told.who == "ann":
            put = {name: getattr(stood, name) for name in STANCE}
            assert {name: getattr(after, name) for name in STANCE} == put
            # Of several entries of one moment each has a tick of its own, and what began in that moment goes with it.
            assert abs(after.state_at - stood.state_at) < timedelta(seconds=1)

    def state_of(self, id: str) -> Problem:
        found = self.store.get(Problem, id)
        assert found is not None
        return found[0]

    @rule(pick=PICK, how=st.sampled_from(RESOLUTIONS), origin=st.sampled_from(ORIGINS))
    def resolve(self, pick: int, how: dict[str, Any], origin: str) -> None:
        self.act(pick, origin, self.service.resolve, **how)

    @rule(pick=PICK, how=st.sampled_from(MUTES), origin=st.sampled_from(ORIGINS))
    def mute(self, pick: int, how: dict[str, Any], origin: str) -> None:
        self.act(pick, origin, self.service.mute, **how)

    @rule(pick=PICK, verb=st.sampled_from(("unmute", "reopen", "undo", "disarm")), origin=st.sampled_from(ORIGINS))
    def take_back(self, pick: int, verb: str, origin: str) -> None:
        self.act(pick, origin, getattr(self.service, verb))

    @rule(pick=PICK, owner=st.sampled_from(OWNERS), origin=st.sampled_from(ORIGINS))
    def assign(self, pick: int, owner: str, origin: str) -> None:
        self.act(pick, origin, partial(self.service.assign, to=owner))

    @precondition(lambda self: self.decided)
    @rule(which=st.integers(0, 5))
    def undo_one(self, which: int) -> None:
        """Undo one of the latest decisions, as the button beside it does: that one goes, or nothing does."""
        id, moment = list(self.decided)[-1 - which % len(self.decided)]
        before = self.state_of(self.service.find(id).id)
        self.last = id
        try:
            after = self.service.undo(id, "ann", self.now, of=moment)
        except InputError as exc:
            assert "cannot be undone" in str(exc)
            assert self.state_of(before.id) == before
            return
        assert before.undo is not None
        assert (before.id, before.undo.decided_at) == (id, moment)
        self.put_back(before, after)
        self.is_settled = False

    @rule(pick=PICK)
    def close_in_gitlab(self, pick: int) -> None:
        self.act(pick, "GitLab", self.service.closed)

    @rule(pick=PICK)
    def link(self, pick: int) -> None:
        if (problem := self.pick(pick)) is not None:
            self.links[problem.id] = f"https://gitlab.example.com/data/dags/-/issues/{len(self.links)}"
            self.service.mirrored(problem.id, self.links[problem.id], self.now)

    @precondition(lambda self: len(self.links) > 1)
    @rule(pick=PICK)
    def unlink(self, pick: int) -> None:
        id = sorted(self.links)[pick % len(self.links)]
        del self.links[id]
        self.service.mirrored(id, "", self.now)

    @rule(pick=PICK)
    def note(self, pick: int) -> None:
        if (problem := self.pick(pick)) is not None:
            self.entries.add(self.service.note(problem.id, "bob", self.now, "seen before", "page"))

    @rule(pick=PICK, other=PICK)
    def merge(self, pick: int, other: int) -> None:
        one, two = self.pick(pick), self.pick(other)
        if one is not None and two is not None:
            self.moved(lambda: merging.merge(self.service, [one.id, two.id], Person("eve"), self.now))

    @rule(pick=PICK, dag=st.sampled_from(DAGS))
    def split(self, pick: int, dag: str) -> None:
        if (problem := self.pick(pick)) is not None:
            self.moved(lambda: merging.split(self.service, problem.id, Person("eve"), self.now, dag=dag))

    @rule(pick=PICK, kind=st.sampled_from(list(MoveKind)))
    def part(self, pick: int, kind: MoveKind) -> None:
        if (problem := self.pick(pick)) is not None:
            self.moved(lambda: merging.undo(self.service, kind, problem.id, Person("eve"), self.now))

    def moved(self, doing: Callable[[], object]) -> None:
        try:
            doing()
        except InputError as exc:
            assert str(exc)
        self.is_settled = False

    # --- what always holds

    @invariant()
    def no_problem_is_in_an_impossible_state(self) -> None:
        steps[0] += 1
        for problem, _ in self.store.records(Problem):
            check(problem)

    @invariant()
    def no_link_is_lost(self) -> None:
        kept = {problem.id: problem.gitlab_url for problem, _ in self.store.records(Problem) if problem.gitlab_url}
        assert kept == self.links

    @invariant()
    def the_history_is_complete(self) -> None:
        found: set[Change] = set()
        for problem, _ in self.store.records(Problem):
            history = self.service.history(problem)
            found.update(history)
            before = self.states.get(problem.id, TriageState.NEW)
            if problem.state is not before:
                assert any(entry.at == problem.state_at for entry in history) or problem.moves, problem
                reached[before, problem.state] += 1
            self.states[problem.id] = problem.state
        assert self.entries <= found

    @invariant()
    def what_is_due_is_done_and_the_counts_are_right(self) -> None:
        if not self.is_settled:
            return
        growing = [one for one, _ in self.store.records(Escalation)]
        grown[0] += len(growing)
        assert all(one.look_at > self.now and self.state_of(one.problem) for one in growing), growing
        owned: dict[str, list[Occurrence]] = {}
        for fact in self.store.search(EVERYTHING, 10_000):
            owned.setdefault(self.service.problem_of(fact), []).append(fact)
        assert sum(map(len, owned.values())) == len(self.facts)
        for id, facts in owned.items():
            problem = self.state_of(id)
            tally = self.store.tally(self.service.members(problem), problem.muted_from)
            assert tally is not None
            assert (tally.occurrences, tally.dags) == (len(facts), {fact.key.dag_id for fact in facts})
            agrees(problem, facts, self.now)


def check(problem: Problem) -> None:
    """Assert that the fields of a problem fit its state."""
    state = problem.state
    mutes = (
        problem.muted_until,
        problem.muted_until_count,
        problem.muted_from,
        problem.muted_dags,
        problem.muted_until_closed,
    )
    assert state is TriageState.MUTED or mutes == (None, None, None, (), False), problem
    assert (problem.resolved_at is not None) == (state is TriageState.RESOLVED), problem
    assert problem.deploy is None or state is TriageState.RESOLVED, problem
    assert problem.quiet_for is None or state is not TriageState.RESOLVED, problem
    by_time = state in (TriageState.NEW, TriageState.REGRESSED) or problem.muted_until or problem.quiet_for
    assert (problem.wake_at is not None) == bool(by_time), problem
    if problem.muted_until:
        assert problem.wake_at is not None
        assert problem.wake_at <= problem.muted_until
    assert problem.muted_until_count is None or problem.muted_from is not None
    assert problem.told is None or problem.told.problem == problem.id


def agrees(problem: Problem, facts: list[Occurrence], now: Any) -> None:
    """Assert of a problem in which all that is due was decided that its failures and the time agree with its state."""
    if problem.state is TriageState.RESOLVED and problem.deploy is None:
        assert problem.resolved_at is not None
        assert all((fact.started_at or fact.ended_at) <= problem.resolved_at for fact in facts), problem
    if problem.muted_until_count is not None:
        assert problem.muted_from is not None
        assert sum(fact.ended_at > problem.muted_from for fact in facts) < problem.muted_until_count, problem
    if problem.muted_dags and problem.muted_from is not None:
        later = {it.key.dag_id for it in facts if (it.started_at or it.ended_at) > problem.muted_from}
        assert later <= set(problem.muted_dags), problem
    assert problem.muted_until is None or problem.muted_until > now, problem
    assert not problem.muted_until_closed or problem.gitlab_url, problem
    if problem.state in OPEN - {TriageState.ONGOING}:
        assert now < problem.state_at + SETTLES_AFTER, problem
