"""The shell around the pure core: each verb loads, decides, saves. Pages, command line and collector call only this.

Owns how a record, its history and the summaries are brought together. Hides the store's revisions: a lost race is
decided again. Reads no settings and no clock; `now` is ours, and is moved to the Airflow server's clock where it is
compared with tries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from triage import belonging, deploys, escalation, heirs, lifecycle, moves, owners, ownership, terms
from triage.editions import SIGNERS, Signers
from triage.errors import InputError, StaleProblem
from triage.issues import Fix
from triage.lifecycle import Actor, Decision
from triage.missed import Missed, join
from triage.model import LogStatus, Occurrence
from triage.owners import NO_RULES, Ownership
from triage.picture import Picture
from triage.query import EVERYTHING, Between, Both, Field, Members, Query
from triage.queue import Beside, QueueRow, first_day, row_of
from triage.records import Change, Escalation, Membership, Outcomes, Problem, Split, Tally, problem_id
from triage.redact import PLAIN, Redactor, facts
from triage.store import Backlog, Put, Store, Touched, record_keys
from triage.tokens import fold
from triage.watched import Cursor, DeploymentHealth

NOTE, NOTED = 4000, "noted"  # the longest note, in characters; what the history says of one
LINKED, UNLINKED = "linked to a GitLab issue", "unlinked from its GitLab issue"  # what it says of these
_INSTANT, _MOMENT = timedelta(microseconds=1), timedelta(seconds=1)
_ROUNDS = 20  # lost races in a row before giving up; each is another writer's success


@dataclass(frozen=True, slots=True)
class ProblemView:
    """A problem with all that its page shows; `occurrences` newest first, `latest` with its kept log.

    `outcomes` holds the answers about its tasks, the most recently failed first; `tally.newer` counts from `muted_from`.
    """

    row: QueueRow
    latest: Occurrence | None
    occurrences: tuple[Occurrence, ...]
    history: tuple[Change, ...]
    fingerprints: tuple[str, ...]
    outcomes: tuple[Outcomes, ...] = ()
    tally: Tally | None = None


@dataclass(frozen=True, slots=True)
class HealthView:
    """What the Health page shows of one deployment; `missed` are the stretches of time that were not read as they passed."""

    health: DeploymentHealth
    backlog: Backlog
    missed: tuple[Missed, ...] = ()

    def is_stale(self, now: datetime) -> bool:
        """Say whether the last successful pass is older than three polls."""
        done = self.health.succeeded_at
        return done is None or now - done > timedelta(seconds=3 * self.health.poll + 5)


@dataclass(frozen=True, slots=True)
class Service:
    """The verbs of airtriage on one store. `scopes` maps a deployment to its scope; by default its own name.

    Texts that come in go through `redactor` before they are kept. `signers` are the editions of signing that it knows,
    `owning` what the settings say of owners; `picture` is what it keeps in memory of all problems. With `is_trial` decisions about
    problems are made and not kept: whether they are refused.
    """

    store: Store
    scopes: Mapping[str, str] = field(default_factory=dict)
    redactor: Redactor = PLAIN
    signers: Signers = SIGNERS
    owning: Ownership = NO_RULES
    is_trial: bool = False
    picture: Picture = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "picture", Picture(self.store, self.scope, self.owning))

    # --- facts in

    def record(self, occurrences: Iterable[Occurrence]) -> Put:
        """Keep facts about tries; repeating it changes nothing. Their logs and signatures are redacted already."""
        said = [facts.described(self.redactor, fact) for fact in occurrences]
        ownership.note(self.store, said)
        scopes = {self.scope(fact.key.deployment) for fact in said if fact.signature}
        known = {scope: moves.splits(self.store, scope) for scope in scopes}
        return self.store.put([belonging.placed(fact, known.get(self.scope(fact.key.deployment), {})) for fact in said])

    def settle(self, now: datetime) -> int:
        """Bring summaries and problems up to what was touched, and wake what is due; return decisions made.

        Merges and splits under way are finished first. The touches are forgotten last, so a crash anywhere before is made
        good by the next call.
        """
        made = self.finish(now)
        while touched := self.store.touched(limit=500):
            self._mend(_pairs(touched))
            self.store.summarise(touched)
            made += sum(self._observe(pair, now) for pair in _pairs(touched))
            made += escalation.look(self, _pairs(touched), now)
            self.store.clear(touched)
        for problem, _ in self.store.records(Problem, wake_before=self._latest(now)):
            if problem.wake_at and problem.wake_at <= self._server_now(self.deployments(problem.scope), now):
                made += self._decide(problem.id, partial(self._wake, now=now)) is not None
        return made + escalation.look_again(self, now)

    def finish(self, now: datetime) -> int:
        """Finish merges and splits under way, and decide what follows for their problems; return decisions made."""
        return sum(self._decide(id, partial(self._wake, now=now)) is not None for id in self.mover.finish())

    @property
    def mover(self) -> moves.Mover:
        """What carries out merges and splits on this store."""
        return moves.Mover(self.store, self.redactor, self.deployments)

    def _mend(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Divide what was recorded by somebody who did not know of a split yet, or of its undo."""
        known: dict[str, belonging.Splits] = {}
        for pair in pairs:
            scope = self.scope(pair[0])
            if scope not in known:
                known[scope] = moves.splits(self.store, scope)
            moves.mend(self.store, pair, known[scope])

    def _observe(self, pair: tuple[str, str], now: datetime) -> bool:
        deployment, fingerprint = pair
        scope = self.scope(deployment)
        found = self.store.get(Membership, f"{scope}/{fingerprint}")
        if found is None:
            return self._open(scope, pair, now)
        return self._decide(found[0].problem, partial(self._wake, now=now)) is not None

    def _open(self, scope: str, pair: tuple[str, str], now: datetime) -> bool:
        deployment, fingerprint = pair
        tally = self.store.tally([pair])
        if tally is None:
            return False
        if heir := heirs.inherited(self.store, self.signers, scope, pair):
            if moves.mend(self.store, pair, moves.splits(self.store, scope)) and self.store.tally([pair]) is None:
                return False  # all of them are of a split, under another fingerprint now, which is touched
            return self._decide(self._bind(heir).problem, partial(self._wake, now=now)) is not None
        decision = lifecycle.open_problem(
            scope, fingerprint, self._titled(tally, fingerprint), self._server_now([deployment], now)
        )
        # The problem first: a membership that names no problem would hide its failures.
        if self.store.get(Problem, decision.problem.id) is None and decision.change is not None:
            self._save_new(replace(decision.problem, told=decision.change))
            self._save_new(decision.change)
        self._bind(Membership(scope, fingerprint, decision.problem.id))
        return True

    def _titled(self, tally: Tally, fingerprint: str) -> Tally:
        """Give a tally whose failures are kept no longer the title of a problem that knows the fingerprint."""
        if tally.title:
            return tally
        known = (found for m, _ in self.store.records(Membership) if m.fingerprint == fingerprint
                 if (found := self.store.get(Problem, m.problem)))  # fmt: skip
        former = next(known, None)
        return replace(tally, title=former[0].title if former else fingerprint, cause=former[0].cause if former else "")

    def _bind(self, member: Membership) -> Membership:
        with suppress(StaleProblem):  # another pass was first with the same record
            return heirs.bind(self.store, member, None)
        return member

    def adopt(self, deployment: str, former: str, now: datetime) -> None:
        """Take a deployment's problems along from its former scope into its present one; may be repeated.

        Where another deployment stays in the former scope, so do the problems, and this one's failures open their own.
        A fingerprint that the present scope knows already keeps its problem there.
        """
        scope = self.scope(deployment)
        is_shared = former in self.scopes.values()
        for summary in self.store.summaries():
            if summary.deployment != deployment or self.store.get(Membership, f"{scope}/{summary.fingerprint}"):
                continue
            found = self.store.get(Membership, f"{former}/{summary.fingerprint}")
            if found is None or is_shared:
                self._open(scope, (deployment, summary.fingerprint), now)
                continue
            self._decide(found[0].problem, lambda problem, _: _moved(problem, scope, now))
            for split, _ in self.store.records(Split, parent=former):
                self._save_new(replace(split, scope=scope))
            self._bind(replace(found[0], scope=scope))

    def _save_new(self, record: Problem | Change | Split) -> None:
        with suppress(StaleProblem):  # another pass was first with the same record
            self.store.save(facts.record(self.redactor, record), None)

    def _wake(self, problem: Problem, tally: Tally | None, now: datetime) -> Decision | None:
        answers = self.answers(problem.id) if lifecycle.awaits_answers(problem) else ()
        return lifecycle.observe(problem, tally, self._server_now(self.deployments(problem.scope), now), answers)

    # --- people's decisions, and those of GitLab and of policies

    def resolve(
        self, id: str, who: str, now: datetime, why: str = "", origin: str = "command", *, next_deploy: bool = False,
        deploy: str = "", deployed_at: datetime | None = None, quiet_for: timedelta | None = None,
        fix: Fix | None = None,
    ) -> Problem:  # fmt: skip
        """Resolve a problem now, in the next deploy (that holds the `fix`), in a given `deploy`, or once it was quiet for so long.

        `deploy` is a commit or `DAG@NUMBER`, `deployed_at` (the Airflow server's clock) when that was deployed, if it was.
        InputError if it is resolved already, if more than one of these is asked for, or if the deploy cannot be told.
        """
        if sum((next_deploy, bool(deploy), quiet_for is not None)) > 1:
            raise InputError("A problem is resolved in one way at a time.", "Choose one of them.")

        def decide(problem: Problem, tally: Tally | None, at: datetime) -> Decision:
            by = Actor(who, at, why, origin)
            if quiet_for is not None:
                return lifecycle.resolve_when_quiet(problem, by, quiet_for, tally)
            if next_deploy or deploy:
                return lifecycle.resolve_in_deploy(
                    problem, by, tally, self.answers(problem.id), deploy, deployed_at, fix
                )
            return lifecycle.resolve(problem, who, at, why, origin)

        return self._change(id, now, decide)

    def unjudged(self, problem: Problem) -> list[str]:
        """Return the bundles of which it is to be asked whether they hold the fix that a resolution waits for."""
        if problem.deploy is None or not deploys.awaits_fix(problem.deploy):
            return []
        tally = self.store.tally(self.members(problem))
        return deploys.unjudged(problem.deploy, tally, self.answers(problem.id))

    def judge_bundles(self, id: str, now: datetime, holds: Mapping[str, bool | None]) -> None:
        """Keep which bundles hold that fix, None for what cannot be told, and decide what follows."""
        answers = self.answers(id)
        self._decide(id, lambda problem, tally: lifecycle.judge_bundles(problem, tally, answers, holds))
        self.wake(id, now)

    def disarm(self, id: str, who: str, now: datetime, why: str = "", origin: str = "command") -> Problem:
        """Take back that a problem is to be resolved when quiet."""
        return self._change(id, now, lambda problem, _, at: lifecycle.disarm(problem, Actor(who, at, why, origin)))

    def reopen(self, id: str, who: str, now: datetime, why: str = "", origin: str = "command") -> Problem:
        """Take back a resolution."""
        return self._change(id, now, lambda problem, _, at: lifecycle.reopen(problem, who, at, why, origin))

    def mute(
        self, id: str, who: str, now: datetime, *, lasting: timedelta | None = None, more: int | None = None,
        spread: bool = False, closed: bool = False, why: str = "", origin: str = "command",
    ) -> Problem:  # fmt: skip
        """Mute a problem for good, or for a time, until `more` failures, until it spreads, or until its GitLab issue closes.

        Of several ends the first counts.
        """
        return self._change(
            id, now,
            lambda problem, tally, at: lifecycle.mute(
                problem, who, at, until=at + lasting if lasting is not None else None, more=more, spread=spread,
                closed=closed, tally=tally, why=why, origin=origin,
            ),
        )  # fmt: skip

    def unmute(self, id: str, who: str, now: datetime, why: str = "", origin: str = "command") -> Problem:
        """Take back a mute."""
        return self._change(id, now, lambda problem, _, at: lifecycle.unmute(problem, who, at, why, origin))

    def assign(
        self, id: str, to: str, who: str, now: datetime, why: str = "", origin: str = "command", given: str | None = None
    ) -> Problem:  # fmt: skip
        """Make somebody a problem's owner; `nobody` takes that back, and the rules say again whose it is.

        With `given`, only where it is assigned to that name still, or to nobody where it is empty; else InputError.
        """
        return self._change(id, now, lambda problem, _, at: owners.assign(problem, to, who, at, why, origin, given))

    def mirrored(
        self, id: str, url: str, now: datetime, who: str = "airtriage", origin: str = "GitLab"
    ) -> Problem | None:
        """Keep the address of a problem's GitLab issue, none where it is empty; None where it stands so or there is no problem."""

        def decide(problem: Problem, _: Tally | None) -> Decision | None:
            if problem.gitlab_url == url:
                return None
            what = LINKED if url else UNLINKED
            change = Change(problem.id, now, who, what, url or problem.gitlab_url, origin)
            return Decision(replace(problem, gitlab_url=url), change)

        changed = self._decide(id, decide)
        return (self.wake(id, now) or changed) if changed and not url else changed  # a mute until it closes is over

    def wake(self, id: str, now: datetime) -> Problem | None:
        """Bring one problem up to what is known of it; None where nothing changes."""
        return self._decide(id, partial(self._wake, now=now))

    def closed(self, id: str, who: str, now: datetime, why: str = "", origin: str = "GitLab") -> Problem:
        """Do what the closing of its GitLab issue does to a problem; may be repeated, and may change nothing."""
        return self._change(id, now, lambda problem, _, at: lifecycle.close(problem, Actor(who, at, why, origin)))

    def undo(
        self, id: str, who: str, now: datetime, why: str = "", origin: str = "command", of: datetime | None = None
    ) -> Problem:
        """Put back what stood before a person's last decision; InputError where something was decided since.

        With `of`, the `decided_at` of a decision, that one is meant and no other. What failed meanwhile is held against it
        at once: it was decided about while something else stood.
        """
        undone = self._change(id, now, lambda problem, _, at: lifecycle.undo(problem, who, at, why, origin, of))
        return self.wake(undone.id, now) or undone

    def note(self, id: str, who: str, now: datetime, text: str, origin: str = "command") -> Change:
        """Add what a person wrote to a problem's history, redacted; InputError where it is empty or too long."""
        text = text.strip()
        if not text:
            raise InputError("The note is empty.", "Write what the next one should know.")
        if len(text) > NOTE:
            raise InputError(f"The note has {len(text)} characters; {NOTE} are the most.", "Shorten it.")
        problem = self.find(id)
        at = self._server_now(self.deployments(problem.scope), now)
        entry = facts.record(self.redactor, Change(problem.id, at, who, NOTED, text, origin))
        for _ in range(_ROUNDS):
            entry = replace(entry, at=self._free(entry, None))
            with suppress(StaleProblem):  # another note of the very same moment
                self.store.save(entry, None)
                return entry
        raise StaleProblem(f"Notes are written to {problem.id} faster than they can be kept.", "Try again.")

    def unnote(self, id: str, who: str, now: datetime, at: datetime, origin: str = "command") -> None:
        """Take a note back: its text is gone, and the history says who did it. InputError where there is no such note."""
        problem = self.find(id)
        key = record_keys(Change(problem.id, at, who, NOTED))[0]
        found = self.store.get(Change, key)
        if found is None:
            raise InputError(f"Problem {problem.id} has no note of {at:%Y-%m-%d %H:%M:%S} UTC.")
        self.store.delete(Change, key, found[1])
        later = max(self._server_now(self.deployments(problem.scope), now), at + _INSTANT)
        self._save_new(Change(problem.id, later, who, f"took back a note of {found[0].who}", "", origin))

    def _change(
        self, id: str, now: datetime, decide: Callable[[Problem, Tally | None, datetime], Decision | None]
    ) -> Problem:
        def at_server(problem: Problem, tally: Tally | None) -> Decision | None:
            return decide(problem, tally, self._server_now(self.deployments(problem.scope), now))

        found = self.find(id)
        return self._decide(found.id, at_server) or self.find(found.id)

    def _decide(self, id: str, decide: Callable[[Problem, Tally | None], Decision | None]) -> Problem | None:
        """Load, decide, save; again after a lost race. None when there is nothing to decide.

        The newest entry of the history is kept in the problem too, and again made sure of before the next one: a kill
        between the two writes loses none.
        """
        for attempt in range(_ROUNDS):
            found = self.store.get(Problem, id)
            if found is None:
                return None
            problem, revision = found
            decision = decide(problem, self.store.tally(self.members(problem), problem.muted_from))
            if decision is None:
                return None
            changed, entry = decision.problem, decision.change
            if self.is_trial:
                return changed
            if entry is not None:
                if problem.told is not None:
                    self._save_new(problem.told)
                at = self._free(entry, problem.told)
                stood = at if changed.state_at == entry.at else changed.state_at
                entry = replace(entry, at=at)
                undo = changed.undo
                if undo is not None and undo is not problem.undo:
                    undo = replace(undo, decided_at=at)
                changed = replace(changed, told=entry, state_at=stood, undo=undo)
            try:
                self.store.save(facts.record(self.redactor, changed), revision)
            except StaleProblem:
                if attempt == _ROUNDS - 1:
                    raise
                continue
            if entry is not None:
                self._save_new(entry)
            return changed
        return None

    def _free(self, entry: Change, told: Change | None) -> datetime:
        """Return when an entry is to stand in the history: behind others of the very same moment."""
        is_same = told is not None and entry.at <= told.at < entry.at + _MOMENT
        at = told.at + _INSTANT if told is not None and is_same else entry.at
        while self.store.get(Change, record_keys(replace(entry, at=at))[0]):
            at += _INSTANT
        return at

    # --- reading

    def scope(self, deployment: str) -> str:
        """Return the scope a deployment's failures share problems in."""
        return self.scopes.get(deployment, deployment)

    def find(self, id: str) -> Problem:
        """Return the problem with this id or an unambiguous beginning of it, or the one it was merged into; else InputError."""
        return self.living(self.named(id))

    def living(self, problem: Problem) -> Problem:
        """Return the problem that has the failures of this one: itself, or the one it was merged into."""
        passed = {problem.id}
        while problem.merged_into not in passed and (into := self.store.get(Problem, problem.merged_into)):
            problem = into[0]
            passed.add(problem.id)
        return problem

    def named(self, id: str) -> Problem:
        """Return the problem with this id or an unambiguous beginning of it, merged or not; else InputError."""
        found = self.store.get(Problem, id)
        if found:
            return found[0]
        matches = [problem for problem, _ in self.store.records(Problem) if id and problem.id.startswith(id)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise InputError(f"{len(matches)} problems begin with {id!r}.", "Give more of the id.")
        raise InputError(f"There is no problem {id!r}.", "airtriage problems lists them.")

    def queue(self, now: datetime, query: Query = EVERYTHING, since: datetime | None = None) -> Sequence[QueueRow]:
        """Return the problems with an occurrence that satisfies `query`, most urgent first.

        `since` bounds, in whole days, what `recent` counts, not which problems are listed. What was read stays in memory:
        the next asking reads what has changed since. The same list, and the same rows, where they have not.
        """
        rows = self.picture.rows(now, since)
        if query == EVERYTHING:
            return rows
        wanted = self.found(query, now)
        return [row for row in rows if row.problem.id in wanted]

    def found(self, query: Query, now: datetime) -> set[str]:
        """Return the ids of the problems with an occurrence that satisfies `query`, in the meaning of `matching`."""
        pairs = self.matching(query, now)
        owned = self.picture.owned(now)
        return {owned.get((self.scope(deployment), print_), "") for deployment, print_ in pairs}

    def problem(self, id: str, now: datetime, limit: int = 200) -> ProblemView:
        """Return a problem with its newest `limit` occurrences; InputError if there is none."""
        problem = self.find(id)
        members = self.members(problem)
        occurrences = tuple(self.store.search(Members(frozenset(members)), limit))
        answers = self.answers(problem.id)
        growing = self.store.get(Escalation, problem.id)
        beside = Beside(answers, growing and growing[0], ownership.known(self.store, self.owning))
        return ProblemView(
            row=row_of(problem, self.store.summaries(first_day(now), members), beside, now),
            latest=self.store.occurrence(occurrences[0].key.id) if occurrences else None,
            occurrences=occurrences,
            history=self.history(problem),
            fingerprints=tuple(sorted({fingerprint for _, fingerprint in members})),
            outcomes=tuple(sorted(answers, key=lambda answer: answer.since, reverse=True)),
            tally=self.store.tally(members, problem.muted_from),
        )

    def history(self, problem: Problem) -> tuple[Change, ...]:
        """Return what was done about a problem and written of it, the newest first."""
        found = {change for change, _ in self.store.records(Change, parent=problem.id)}
        told = {problem.told} if problem.told else set()
        return tuple(sorted(found | told, key=lambda change: (change.at, change.what), reverse=True))

    def answers(self, id: str) -> list[Outcomes]:
        """Return what is known of how a problem's tasks fared since."""
        return [answer for answer, _ in self.store.records(Outcomes, parent=id)]

    def readable(self, view: ProblemView) -> Occurrence | None:
        """Return the newest failed try of a problem whose log is known, the log included; else its newest."""
        known = (LogStatus.WHOLE, LogStatus.PARTIAL)
        readable = next((o for o in view.occurrences if o.log in known), None)
        return self.store.occurrence(readable.key.id) if readable else view.latest

    def search(
        self, query: Query, now: datetime, limit: int, after: tuple[datetime, str] | None = None
    ) -> list[Occurrence]:
        """Return the failed tries that match, newest first; `after` is the last row's (ended_at, key.id)."""
        return self.store.search(self.resolve_terms(query, now), limit, after)

    def problem_of(self, occurrence: Occurrence) -> str:
        """Return the id of the problem an occurrence belongs to, empty while its log is awaited."""
        return self.problem_by(occurrence.key.deployment, occurrence.fingerprint)

    def problem_by(self, deployment: str, fingerprint: str) -> str:
        """Return the id of the problem that has a deployment's failures of this fingerprint; empty without one."""
        return self.problems_by([(deployment, fingerprint)])[deployment, fingerprint]

    def problems_by(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the ids of the problems that have these (deployment, fingerprint) pairs, empty without a fingerprint."""
        scoped = {pair: (self.scope(pair[0]), pair[1]) for pair in pairs}
        known = self.store.many(Membership, {"/".join(at) for at in scoped.values() if at[1]})

        def owner(scope: str, fingerprint: str) -> str:
            found = known.get(f"{scope}/{fingerprint}")
            return found[0].problem if found else problem_id(scope, fingerprint)

        return {pair: owner(*at) if at[1] else "" for pair, at in scoped.items()}

    def health(self, now: datetime) -> list[HealthView]:
        """Return what the last pass over each deployment found, in order of name."""
        return [
            HealthView(health, self.store.backlog(health.deployment, now), self.missed(health.deployment))
            for health, _ in self.store.records(DeploymentHealth)
        ]

    def missed(self, deployment: str) -> tuple[Missed, ...]:
        """Return what was not read of a deployment as it passed, and how far it has been read since."""
        found = self.store.get(Cursor, deployment)

        def counted(part: Missed) -> Missed:
            of = Both((Field("deployment", fold(deployment)), Between("at", part.left, part.until)))
            return replace(part, found=self.store.count(of))

        return tuple(counted(part) for part in join(found[0].gaps if found else ()))

    def matching(self, query: Query, now: datetime) -> set[tuple[str, str]]:
        """Return the (deployment, fingerprint) pairs of the problems that a query of the queue finds.

        There `owner:` means who owns the problem, whoever says so; in a search for failed tries it is what Airflow says of each.
        """
        resolved = self.resolve_terms(query, now, of_problems=True)

        def owned() -> set[tuple[str, str]]:
            return {pair for scope, print_ in self.picture.owned(now) for pair in self.pairs(scope, [print_])}

        found = terms.chosen(resolved, owned)
        return self.store.matching(resolved) if found is None else set(found)

    def resolve_terms(self, query: Query, now: datetime, *, of_problems: bool = False) -> Query:
        """Replace terms about problems (`state:`, `is:`, `problem:`) by the occurrences those problems own.

        With `of_problems`, `owner:` is such a term too.
        """
        return terms.resolve(self, query, now, of_problems=of_problems)

    def members(self, problem: Problem) -> set[tuple[str, str]]:
        """Return the (deployment, fingerprint) pairs a problem owns."""
        owned = [m.fingerprint for m, _ in self.store.records(Membership, parent=problem.id)]
        if not owned and self.store.get(Membership, f"{problem.scope}/{problem.fingerprint}") is None:
            owned = [problem.fingerprint]  # it was just opened
        return self.pairs(problem.scope, owned)

    def pairs(self, scope: str, fingerprints: Iterable[str]) -> set[tuple[str, str]]:
        """Return the (deployment, fingerprint) pairs under which failures of a scope have these fingerprints."""
        return {(deployment, print_) for print_ in fingerprints for deployment in self.deployments(scope)}

    def deployments(self, scope: str) -> list[str]:
        """Return the deployments whose failures share the problems of a scope."""
        return [name for name, its in self.scopes.items() if its == scope] or [scope]

    def server_now(self, scope: str, now: datetime) -> datetime:
        """Move our clock to the Airflow servers' one of a scope."""
        return self._server_now(self.deployments(scope), now)

    def _server_now(self, deployments: Iterable[str], now: datetime) -> datetime:
        """Move our clock to the Airflow servers' one, the furthest ahead where a scope has several."""
        found = [self.store.get(DeploymentHealth, deployment) for deployment in deployments]
        return now + timedelta(seconds=max((f[0].offset for f in found if f), default=0.0))

    def _latest(self, now: datetime) -> datetime:
        """Return what the clock furthest ahead shows, as problems wake by their own servers' clocks."""
        offsets = (health.offset for health, _ in self.store.records(DeploymentHealth))
        return now + timedelta(seconds=max(offsets, default=0.0))


def _moved(problem: Problem, scope: str, now: datetime) -> Decision | None:
    if problem.scope == scope:
        return None
    why = f"its deployments moved from {problem.scope} to {scope}"
    return Decision(replace(problem, scope=scope), Change(problem.id, now, "airtriage", "changed scope", why))


def _pairs(touched: Iterable[Touched]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((touch.deployment, touch.fingerprint) for touch in touched))
