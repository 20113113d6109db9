"""Trials by fault of the mirroring: a seed gives a world, what goes wrong in it, and in which order; then all is well again.

Each ends in checks that hold for every order: no problem has two issues, none that deserves one has none, nothing a person
wrote or did is gone, no comment stands twice, and both sides agree. The clock is set, so waits cost nothing.
"""

from __future__ import annotations

import random
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.gitlab_double import FakeGitLab
from tests.gitlab_faults import Fault, Plan, Request, refusal
from tests.gitlab_state import DEVELOPER, MAINTAINER, Issue, Lag, Project
from tests.mirroring import Clock, PlainWords, World
from triage import inbox
from triage.errors import InputError, TriageError
from triage.mirrors import Heard, HeardKind, Mirror, MirrorStatus
from triage.policy import Route, Rules
from triage.records import Change, Problem, TriageState
from triage.remarks import wanted
from triage.store import Store, open_store
from triage.store.sqlite import SqliteStore
from triage.words import Written

# Seconds of the real clock that an answer is waited for, and that one which is too late takes.
_PATIENCE, _LATE = 0.6, 0.8
# How far a replica lags at most: behind the wait of a minute that the protocol bets on.
FAULTS: tuple[tuple[int, Callable[[], Fault]], ...] = (
    (3, lambda: refusal(502)),
    (4, lambda: refusal(502, "after")),
    (2, lambda: refusal(500, "after")),
    (1, lambda: refusal(503)),
    (2, lambda: refusal(429)),
    (2, lambda: refusal(429, retry_after=30)),
    (2, lambda: Fault("cut", when="before")),
    (4, lambda: Fault("cut", when="after")),
    (4, lambda: Fault("stale", lag=Lag(seconds=20))),
    (4, lambda: Fault("stale", lag=Lag(seconds=50))),
    (1, lambda: refusal(403)),
    (1, lambda: refusal(401)),
    (1, lambda: Fault("slow", seconds=0.05)),
    (1, lambda: Fault("hang", when="before", seconds=_LATE)),
    (1, lambda: Fault("hang", when="after", seconds=_LATE)),
)


# What may be wrong at the end, by kind.
TWICE, LOST, OVERWRITTEN, UNSETTLED = "made twice", "lost", "overwritten", "unsettled"


class Killed(BaseException):
    """The process is gone; nothing of it runs on."""


@dataclass
class Doom:
    """Kills at a step, counted over all calls to the store and to GitLab, before or after it; the dead do nothing more."""

    at: int = -1
    after: bool = False
    steps: int = 0
    dead: bool = False

    def over(self, thing: Any) -> Any:
        return _Doomed(thing, self)


class _Doomed:
    def __init__(self, thing: Any, doom: Doom) -> None:
        self._thing, self._doom = thing, doom

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._thing, name)
        return self._through(found) if callable(found) else found

    def _through(self, call: Callable[..., Any]) -> Callable[..., Any]:
        doom = self._doom

        def called(*args: Any, **kwargs: Any) -> Any:
            if doom.dead:
                raise Killed
            doom.steps += 1
            if doom.steps == doom.at and not doom.after:
                doom.dead = True
                raise Killed
            result = call(*args, **kwargs)
            if doom.steps == doom.at:
                doom.dead = True
                raise Killed
            return result

        return called


@dataclass
class Trial:
    """One trial: what was done in it, in words, and what it found wrong."""

    seed: int
    fake: FakeGitLab
    clock: Clock
    random: random.Random = field(init=False)
    world: World = field(init=False)
    project: Project = field(init=False)
    other: Project = field(init=False)
    did: list[str] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    words: dict[int, list[str]] = field(default_factory=dict)  # what people wrote, by the issue's id
    titled: dict[int, str] = field(default_factory=dict)
    closed: dict[str, tuple[datetime, bool]] = field(
        default_factory=dict
    )  # by whom people last turned a problem's issue
    decided: dict[str, tuple[datetime, str]] = field(default_factory=dict)  # what people last decided here
    deleted: set[str] = field(default_factory=set)
    unmarked: set[str] = field(default_factory=set)
    failed: dict[str, datetime] = field(default_factory=dict)  # when a problem's newest try started
    facts: list[tuple[int, datetime]] = field(default_factory=list)
    copies: list[tuple[datetime, sqlite3.Connection]] = field(default_factory=list)
    late: list[tuple[datetime, Request]] = field(default_factory=list)
    was_late: bool = False
    slowness: int = 20  # seconds after which it is carried out
    ended: dict[str, datetime] = field(default_factory=dict)  # when people last resolved a problem, here or there
    told: list[Heard] = field(default_factory=list)  # what the webhook tells, on its way
    ordered: dict[str, str] = field(
        default_factory=dict
    )  # the notes that people ordered by comment, and for which problem
    bots: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        number = len(self.fake.state.projects)
        roles = {"bot": MAINTAINER, "newbot": MAINTAINER, "anna": DEVELOPER}
        self.project = self.fake.project(f"data/dags-{number}", roles)
        self.other = self.fake.project(f"data/other-{number}", roles)
        self.bots = {self.fake.user(name).id for name in ("bot", "newbot")}
        is_real = self.seed % 4 == 0  # with the texts that are sent; with plain ones it is a little faster
        to = self.random.choice((self.other.path, self.other.path.upper(), str(self.other.id)))
        routes = (Route("other", dag="crm*", project=to),) if self.random.random() < 0.4 else ()
        self.world = World(
            self.fake, self.clock, project=self.project.path, words=Written if is_real else PlainWords, timeout=_PATIENCE,
            rules=Rules(self.fake.url, self.project.path, routes=routes),
        )  # fmt: skip
        self.is_renewed = self.random.random() < 0.3  # another token comes into force

    # --- what happens

    def run(self) -> list[str]:
        """Let things happen, then heal all and let it settle; return what is wrong."""
        self.fail()
        acts = (
            [self.round] * 6
            + [self.fail, self.kill] * 3
            + [self.eight, self.copy, self.restore]
            + [self.person] * 5
            + [self.decide] * 2
            + [self.renew] * (2 if self.is_renewed else 0)
        )
        if self.random.random() < 0.5:  # an issue is there already; else what goes wrong meets its opening
            for _ in range(3):
                self.pass_time(45)
                self.world.sync().run()
        if self.random.random() < 0.3:
            self.begin_at_worst()
        self.spoil()
        for _ in range(self.random.randint(6, 14)):
            self.random.choice(acts)()
        self.heal()
        self.check()
        return self.wrong

    def begin_at_worst(self) -> None:
        """Lose an answer where the protocol has least to go by: what was sent is carried out late, and lists lag behind it."""
        lost = self.random.choice(("issues", "issues", "notes", "turn"))
        for _ in range(2 if lost == "issues" else 4):
            self.pass_time(45)
            self.world.sync().run()
        if lost != "issues":
            row = self.world.service.queue(self.clock())[0]
            self.world.service.resolve(row.problem.id, "ann", self.clock())
            self.ended[row.problem.id] = self.clock()
        if lost == "turn":
            self.fake.faults.add(refusal(502, "after", method="PUT", times=1))
        else:
            self.slowness = 55
            self.fake.faults.add(Fault("cut", when="before", method="POST", path=f"/{lost}$", where=self._late))
        self.fake.lag = Lag(seconds=50)
        self.pass_time(20)
        self.world.sync().run()
        if self.is_renewed:
            self.renew()
        if lost == "turn":
            self.fail()
        for _ in range(4):
            self.pass_time(self.random.choice((16, 31)))
            for issue in self._ours() if not self.late and self.random.random() < 0.4 else []:
                self.random.choice((self._unmarks, self._unlabels))(issue)
            self.world.sync().run()
        self.fake.lag = None
        self.fake.faults.clear()
        self.injected[f"lost at its worst: {lost}"] += 1
        self.did.append(f"began at its worst: {lost}")

    def spoil(self) -> None:
        rate = self.random.choice((0.0, 0.05, 0.15, 0.3))
        self.fake.faults.plan = Plan(self.seed, rate, FAULTS)
        kind = self.random.random()
        if kind < 0.3:  # the answer that matters most
            lost = self.random.choice((refusal(502, "after"), refusal(500, "after"), Fault("cut", when="after")))
            where = {"method": "POST", "path": "/(issues|notes)$", "nth": self.random.choice((1, 2, (1, 2)))}
            self.fake.faults.add(replace(lost, **where))
        elif kind < 0.5:
            self.fake.faults.add(Fault("cut", when="before", method="POST", path="/issues$", where=self._late))
        if self.random.random() < 0.2:  # every list lags, all the while
            self.fake.lag = Lag(seconds=50)
            self.injected["every list lags"] += 1

    def _late(self, request: Request) -> bool:
        """Take a request whose sender is gone, to carry it out a while later."""
        if self.was_late:
            return False
        self.was_late = True
        self.late.append((self.clock() + timedelta(seconds=self.slowness), request))
        return True

    def pass_time(self, seconds: float) -> None:
        """Let time pass; what was held back on its way comes through within the minute that a server works on it."""
        end = self.clock() + timedelta(seconds=seconds)
        for at, request in [one for one in self.late if one[0] <= end]:
            self.clock.now = max(at, self.clock.now)
            self.fake.handle(request)
            self.injected["carried out after the sender gave up"] += 1
        self.late = [one for one in self.late if one[0] > end]
        self.clock.now = end

    def fail(self) -> None:
        n = self.random.randint(1, 2)
        self.pass_time(self.random.choice((1, 30, 4000)))
        self.facts.append((n, self.clock()))
        self._record(n, self.clock())
        self.did.append(f"fails of {n}")

    def _record(self, n: int, at: datetime) -> None:
        problem = self.world.fail(n, at=at, dag="crm_orders" if n == 2 else "orders")
        self.failed[problem] = max(self.failed.get(problem, at), at - timedelta(seconds=5))

    def renew(self) -> None:
        """Set a token that was made anew, which is another user's."""
        self.world.token = "newbot"
        self.injected["a token made anew"] += 1
        self.did.append("a token made anew")

    def deliver(self) -> None:
        """Let the webhook tell what it told: in any order, some of it twice, later, or never."""
        self.random.shuffle(self.told)
        late = []
        for told in self.told:
            how = self.random.choice(("told", "told twice", "told late", "not told"))
            self.injected[f"webhook {how}"] += 1
            for _ in range({"told": 1, "told twice": 2}.get(how, 0)):
                inbox.keep(self.world.store, replace(told, at=self.clock()))
            late += [told] if how == "told late" else []
        self.told = late

    def round(self) -> None:
        self.pass_time(self.random.choice((5, 30, 30, 61, 130)))
        self.deliver()
        self.world.sync().run()
        self.did.append("round")

    def kill(self) -> None:
        """Kill a round between any two steps, and begin anew with the same store."""
        self.pass_time(self.random.choice((5, 30, 61)))
        self.deliver()
        doom = Doom(self.random.randint(1, 60), self.random.random() < 0.5)
        whole, self.world.wrap = self.world.store, doom.over
        self.world.store = doom.over(whole)
        with suppress(Killed):
            self.world.sync().run()
        self.world.store, self.world.wrap = whole, lambda issues: issues
        if doom.dead:
            self.injected["killed"] += 1
            self.did.append(f"killed at step {doom.at}, {'after' if doom.after else 'before'} it")
            self.pass_time(self.random.choice((5, 61, 70)))  # its lease runs out in a minute

    def eight(self) -> None:
        """Let eight syncers work at once."""
        self.pass_time(self.random.choice((30, 61)))
        self.deliver()
        ways = [self.world.sync() for _ in range(8)]
        threads = [threading.Thread(target=self._quietly, args=(way.run,)) for way in ways]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.injected["eight at once"] += 1
        self.did.append("eight at once")

    def _quietly(self, run: Callable[[], Any]) -> None:
        try:
            run()
        except TriageError as exc:
            self.wrong.append(f"{UNSETTLED}: a syncer among eight ended with {exc!r}")

    def copy(self) -> None:
        kept = sqlite3.connect(":memory:", check_same_thread=False)
        with _sqlite(self.world.store).connection() as db:
            db.backup(kept)
        self.copies.append((self.clock(), kept))

    def restore(self) -> None:
        """Put an old copy of the store in its place; Airflow still knows what failed since.

        A young copy takes minutes: what was done seconds before nobody can find in a list that lags.
        """
        if not self.copies:
            return
        at, kept = self.random.choice(self.copies)
        fresh = open_store("sqlite://")
        with _sqlite(fresh).connection() as db:
            kept.backup(db)
        self.world.store.close()
        self.world.store = fresh
        self.decided.clear()  # some of it is not in the copy
        is_old = self.clock() - at > timedelta(seconds=130)
        self.pass_time(self.random.choice((5, 5, 121, 3600) if is_old else (121, 3600)))
        for n, when in self.facts:
            self._record(n, when)
        self.injected["store restored"] += 1
        self.did.append(f"restored to {at:%H:%M:%S}")

    def person(self) -> None:
        """Let a person do something to an issue of ours."""
        issues = [one for one in self._ours() if one.moved_to is None and one.id in self.fake.state.rows("issue")]
        if not issues:
            return
        issue = self.random.choice(issues)
        self.pass_time(1)
        act = self.random.choice(
            (self._turns, self._turns, self._writes, self._writes, self._unlabels, self._unmarks, self._comments, self._titles, self._moves, self._deletes)
        )  # fmt: skip
        act(issue)
        kind = HeardKind.NOTE if act == self._comments else HeardKind.ISSUE
        key, by = f"delivery {len(self.did)}", self.fake.user("anna").id
        self.told.append(Heard(self.fake.url, issue.project, kind, issue.iid, self.clock(), by, (key,)))
        self.injected[f"a person {act.__name__.strip('_')}"] += 1
        self.did.append(f"a person {act.__name__.strip('_')} #{issue.iid}")
        self.pass_time(1)

    def decide(self) -> None:
        """Let a person decide about a problem here; what was done in GitLab before does not count any more."""
        row = self.random.choice(self.world.service.queue(self.clock()))
        self.pass_time(1)
        verb = self.random.choice(("resolve", "reopen", "mute", "unmute"))
        with suppress(InputError):
            getattr(self.world.service, verb)(row.problem.id, "ann", self.clock())
            self.closed.pop(row.problem.id, None)
            self.decided[row.problem.id] = (self.clock(), verb)
            if verb == "resolve":
                self.ended[row.problem.id] = self.clock()
            self.injected["decided here"] += 1
            self.did.append(f"{verb} {row.problem.title}")

    def _put(self, issue: Issue, **body: Any) -> None:
        self.fake.do("anna", "PUT", f"/projects/{issue.project}/issues/{issue.iid}", body)

    def _turns(self, issue: Issue) -> None:
        self._put(issue, state_event="close" if issue.state == "opened" else "reopen")
        problem = self._problem(issue)
        self.closed[problem] = (self.clock(), issue.state == "opened")
        if issue.state == "opened":
            self.ended[problem] = self.clock()
        self.decided.pop(problem, None)

    def _writes(self, issue: Issue) -> None:
        said = f"words of anna {len(self.did)}"
        self.words.setdefault(issue.id, []).append(said)
        text = issue.description or ""
        self._put(issue, description=f"{said}\n{text}" if self.random.random() < 0.5 else f"{text}\n{said}")

    def _unlabels(self, issue: Issue) -> None:
        if self.is_renewed:
            if self.copies:
                return  # with neither the author nor the label of ours nothing leads a store to it that forgot both
            self.restore = lambda: None  # type: ignore[method-assign]
        self._put(issue, remove_labels="airtriage")

    def _unmarks(self, issue: Issue) -> None:
        """Take the marker out. Whoever has neither link nor intent from then on cannot know whose issue it is, nor can who has
        an intent alone, once the title is another too.
        """
        found = self.world.store.get(Mirror, self._problem(issue))
        if found is None or self.copies or (found[0].issue_id != issue.id and issue.id in self.titled):
            return
        self._put(
            issue, description=re.sub("<marker=.*?>|<!-- airtriage:v1 problem=.*?-->", "", issue.description or "")
        )
        self.unmarked.add(self._problem(issue))
        self.restore = lambda: None  # type: ignore[method-assign]

    def _comments(self, issue: Issue) -> None:
        path = f"/projects/{issue.project}/issues/{issue.iid}/notes"
        order = f"as anna says {len(self.did)}"
        self.ordered[order] = self._problem(issue)
        self.fake.do("anna", "POST", path, {"body": f"words of anna\n\n/airtriage note {order}"})

    def _titles(self, issue: Issue) -> None:
        found = self.world.store.get(Mirror, self._problem(issue))
        if self._problem(issue) in self.unmarked and (found is None or found[0].issue_id != issue.id):
            return
        self.titled[issue.id] = f"{issue.title.split(', as')[0]}, as anna calls it {len(self.did)}"
        self._put(issue, title=self.titled[issue.id])

    def _moves(self, issue: Issue) -> None:
        if issue.project != self.project.id or self.copies:
            return
        self.fake.move(issue, self.other, "anna")
        moved = next(one for one in self._ours() if one.project == self.other.id and one.title == issue.title)
        self.words[moved.id] = [*self.words.get(issue.id, ())]

    def _deletes(self, issue: Issue) -> None:
        if self.random.random() < 0.3 and not self.copies:
            problem = self._problem(issue)
            with self.fake._lock:
                self.fake.state.drop("issue", issue.id)
            self.closed.pop(problem, None)
            self.ordered = {order: its for order, its in self.ordered.items() if its != problem}
            found = self.world.store.get(Mirror, problem)
            if found is not None and found[0].issue_id:  # else nobody knew of it: another is right
                self.deleted.add(problem)

    # --- how it ends

    def heal(self) -> None:
        """End every fault, and make rounds until nothing is to come."""
        self.pass_time(60)
        self.injected += Counter(self.fake.faults.injected())
        self.fake.faults.clear()
        self.fake.faults.log.clear()
        self.fake.lag = None
        self.deliver()
        quiet = 0
        for _ in range(40):
            # A day, after which each issue is seen to exist; then what waits for a minute, twice.
            reports = [self.world.round(seconds) for seconds in (25 * 3600, 62, 62, 62)]
            is_busy = any(report.opened or report.told or report.heard or report.adopted for report in reports)
            quiet = 0 if is_busy else quiet + 1
            if quiet == 2:
                return
        self.wrong.append(f"{UNSETTLED}: it does not come to rest")

    def check(self) -> None:
        for row in self.world.service.queue(self.clock()):
            self._check(row.problem)
        for order, problem in self.ordered.items():
            changes = [change for change, _ in self.world.store.records(Change, parent=problem)]
            done = sum(change.what == "noted" and change.why == order for change in changes)
            if done != 1:
                self.wrong.append(f"{TWICE if done else LOST}: what anna ordered, {order!r}, was done {done} times")
        bodies = Counter(
            (note.issue, note.body)
            for issue in self._ours()
            for note in self.fake.notes(issue)
            if not note.system and note.author in self.bots
        )
        self.wrong += [
            f"{TWICE}: the comment {body!r} stands {count} times" for (_, body), count in bodies.items() if count > 1
        ]
        for issue in self._ours():
            self.wrong += [
                f"{OVERWRITTEN}: {said!r} is gone from #{issue.iid}"
                for said in self.words.get(issue.id, ())
                if said not in (issue.description or "")
            ]
            if self.titled.get(issue.id, issue.title) != issue.title:
                self.wrong.append(f"{OVERWRITTEN}: the title of #{issue.iid} was overwritten")

    def _check(self, problem: Problem) -> None:
        n = int(problem.fingerprint.rpartition(":")[2], 16)
        made = [one for one in self._ours() if re.split(r",| \(", one.title)[0] == f"Error {n}"]
        targets = {one.moved_to for one in made}
        first = [one for one in made if one.id not in targets]
        if len(first) > 1:
            self.wrong.append(f"{TWICE}: problem {n} has {len(first)} issues")
        found = self.world.store.get(Mirror, problem.id)
        failed, ended = self.failed[problem.id], self.ended.get(problem.id)
        if problem.state is TriageState.RESOLVED and (ended is None or failed > ended):
            self.wrong.append(f"{UNSETTLED}: problem {n} is resolved, though it failed after anybody said so")
        if problem.id in self.deleted:
            if found is not None and found[0].status is not MirrorStatus.LOST:
                self.wrong.append(f"{UNSETTLED}: problem {n} does not know that its issue is gone: {found[0].status}")
            return
        if found is None or found[0].status is not MirrorStatus.LINKED or not made:
            if problem.state not in (TriageState.RESOLVED, TriageState.MUTED) or made:
                self.wrong.append(f"{LOST}: problem {n} has no issue, or not its link: {found and found[0]}")
            return
        self._agree(n, problem, found[0], made)

    def _agree(self, n: int, problem: Problem, mirror: Mirror, made: list[Issue]) -> None:
        issue = next((one for one in made if one.id == mirror.issue_id), None)
        if issue is None or issue.moved_to is not None:
            self.wrong.append(f"{LOST}: problem {n} is linked to an issue that is not its own, or moved on")
            return
        if problem.gitlab_url != mirror.web_url:
            self.wrong.append(f"{LOST}: problem {n} does not know where its issue is")
        if (issue.state == "opened") is not wanted(problem, mirror) or mirror.is_open is not wanted(problem, mirror):
            self.wrong.append(f"{UNSETTLED}: problem {n} is {problem.state}, its issue {issue.state}")
        at, was_closed = self.closed.get(problem.id, (None, False))
        if (
            at is not None
            and was_closed is (issue.state == "opened")
            and (not was_closed or self.failed[problem.id] <= at)
        ):
            self.wrong.append(f"{OVERWRITTEN}: problem {n}: what anna did at {at:%H:%M:%S} is undone")
        self._stands(n, problem)

    def _stands(self, n: int, problem: Problem) -> None:
        """Check that what was decided here last stands, unless a try that started later failed."""
        at, verb = self.decided.get(problem.id, (None, ""))
        state = problem.state
        stands = {
            "resolve": state is TriageState.RESOLVED,
            "mute": state is TriageState.MUTED,
            "reopen": state is not TriageState.RESOLVED,
            "unmute": state not in (TriageState.RESOLVED, TriageState.MUTED),
        }
        is_back = verb == "resolve" and at is not None and self.failed[problem.id] > at
        if verb and not stands[verb] and not is_back:
            self.wrong.append(f"{OVERWRITTEN}: problem {n} is {state}, though it was last decided here to {verb} it")

    def _ours(self) -> list[Issue]:
        mine = (self.project.id, self.other.id)
        return [one for one in self.fake.issues() if one.author in self.bots and one.project in mine]

    def _problem(self, issue: Issue) -> str:
        n = int(issue.title.split(",")[0].split()[1])
        return next(
            row.problem.id for row in self.world.service.queue(self.clock()) if row.problem.fingerprint == f"1:{n:02x}"
        )


def _sqlite(store: Store) -> SqliteStore:
    assert isinstance(store, SqliteStore)
    return store


def trial(seed: int) -> Trial:
    """Run the trial of a seed on a double of its own."""
    clock = Clock()
    with FakeGitLab(clock) as fake:
        for name in ("bot", "newbot"):
            fake.user(name, bot=True)
        its = Trial(seed, fake, clock)
        its.run()
        its.world.store.close()
    return its
