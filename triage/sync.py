"""One round of mirroring: what opens, what comes back, what is told, project by project, each under its lease.

The shell around `policy`, `opening`, `hearing` and `telling`. Owns the order, the budget and what an operator is told of a
GitLab that is away or refuses; one project's trouble never holds up another. Every step may be broken off and done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from triage import deploys, inbox, lifecycle, owners, places, policy
from triage.errors import GitLabError, GitLabGone, GitLabRefused, SettingsError, StaleProblem, TriageError
from triage.greeting import FORMER, Greeting
from triage.hearing import Hearing, Listen
from triage.issues import Draft, Issues
from triage.judging import Judging, Rooms, case_of
from triage.lease import LeaseLost, lease
from triage.ledger import Ledger
from triage.mirrors import HeardKind, Mirror, MirrorStatus, Tracker
from triage.obeying import Obeying
from triage.opening import SILENCE, WAIT, Opening, due, pause
from triage.places import Place
from triage.policy import Judgement, Rules, Verdict
from triage.queue import QueueRow
from triage.records import Problem
from triage.service import Service
from triage.storms import Storm
from triage.telling import Telling, Words
from triage.watched import Trouble

_YOUNG = timedelta(hours=1)  # a link that is younger needs no look whether its issue exists
_CHECK = timedelta(days=1)  # how often every linked issue is seen to exist; a deleted one is told of by nothing
_OVERLAP = timedelta(minutes=2)  # how far behind what was heard is listened again: a replica that lags
_ASKED = 3  # owners of whom GitLab is asked whether they are its users
_BUNDLES = 50  # of which a round asks whether they hold a fix, at most
_SEVERAL = 100  # issues that one list names at most


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to become of a problem: its issue so far, and of one without an issue the judgement."""

    row: QueueRow
    mirror: Mirror | None
    judged: Judgement | None

    @property
    def says(self) -> str:
        """What comes next for the problem at GitLab, and why, in a sentence; it does not change with the time alone."""
        its = self.mirror
        if its is None:
            return self.judged.why if self.judged else "opens no issue: no GitLab is set for its deployment"
        match its.status:
            case MirrorStatus.INTENDED:
                what = "its issue was sent, and is looked for" if its.sent_at else f"opens an issue in {its.project}"
            case MirrorStatus.LINKED:
                what = f"has the issue #{its.iid} in {its.project}, {'open' if its.is_open else 'closed'}"
            case MirrorStatus.LOST:
                what = "its issue is lost, and no other is opened"
            case MirrorStatus.UNLINKED:
                what = "was parted from its issue by a person, and gets no other"
        return f"{what}: {its.said}" if its.said else what


@dataclass(slots=True)
class Report:
    """What a round did: issues opened, found again, heard of and changed (`told`); projects others work on (`busy`)."""

    opened: int = 0
    adopted: int = 0
    heard: int = 0
    told: int = 0
    busy: int = 0
    troubles: list[Trouble] = field(default_factory=list)
    again_at: datetime | None = None

    def add(self, other: Report) -> None:
        """Add what a later round did; its troubles are those that are left."""
        for name in ("opened", "adopted", "heard", "told"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.busy, self.troubles, self.again_at = other.busy, other.troubles, other.again_at

    def soon(self, at: datetime | None) -> None:
        """Note when there is something to do next."""
        if at is not None:
            self.again_at = at if self.again_at is None else min(self.again_at, at)


@dataclass(slots=True)
class Sync:
    """Mirrors the problems of one store. `rules` maps a deployment to the policy for its problems.

    `connect` opens the way to a project by the GitLab's address and the project, None where the settings know no such.
    """

    service: Service
    rules: Mapping[str, Rules]
    connect: Callable[[str, str], Issues | None]
    words: Words
    clock: Callable[[], datetime]
    listen: Listen | None = None

    @property
    def judging(self) -> Judging:
        return Judging(self.service, self.rules)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.service)

    # --- what is to be done

    def plan(self, now: datetime) -> list[Planned]:
        """Judge every problem, the most urgent first; each that opens an issue takes its place under the storm cap."""
        mirrors = {mirror.problem: mirror for mirror, _ in self.service.store.records(Mirror)}
        rooms = Rooms(mirrors.values(), now, self.judging.names())
        planned = []
        for row in self.service.queue(now):
            mirror = mirrors.get(row.problem.id)
            judged = self.judging.judge(row, rooms, now) if mirror is None else None
            if judged is not None and judged.verdict is Verdict.OPENS:
                rooms.take(judged)
            planned.append(Planned(row, mirror, judged))
        return planned

    # --- a round

    def run(self, budget: timedelta | None = None, progress: Callable[[str], None] = lambda text: None) -> Report:
        """Make one round over every project that has or gets an issue; what does not fit into `budget` is the next one's."""
        report, now = Report(), self.clock()
        end = now + budget if budget is not None else None
        self._forget_misnamed()
        planned, names = self.plan(now), self.judging.names()
        work = _by_project(planned, self.service.store.records(Mirror), names)
        # Those that are set, and those where something was done: a restored store may have forgotten what.
        every: dict[Place, list[Planned]] = {place: [] for place in names.values()}
        for (gitlab, project), its in (every | work).items():
            issues = self.connect(gitlab, project)
            if issues is None and (gitlab, project) not in work:
                continue
            if issues is None:
                what = f"Issues of {project} at {gitlab} are left alone: the settings name no such GitLab."
                report.troubles.append(Trouble(what, "Set gitlab.url and a token for it, or unlink their problems."))
                continue
            if end is not None and self.clock() >= end:
                break
            progress(project)
            with lease(self.service.store, Tracker(gitlab, project).id, self.clock) as renew:
                if renew is None:
                    report.busy += 1
                    continue
                with closing(issues), suppress(LeaseLost, StaleProblem):  # whoever has it now goes on
                    _Round(self, issues, renew, report, end, its, names).run(gitlab, project)
        store = self.service.store
        inbox.pass_over(store, now, {(tracker.gitlab, tracker.project_id) for tracker, _ in store.records(Tracker)})
        inbox.forget(store, now)
        return report

    def _forget_misnamed(self) -> None:
        """Forget the trackers of names that were wrong and were corrected: nothing was ever done there."""
        named = {place for rules in self.rules.values() for place in places.targets(rules)}
        for tracker, revision in self.service.store.records(Tracker):
            if not tracker.project_id and (tracker.gitlab, tracker.project) not in named:
                with suppress(StaleProblem):
                    self.service.store.delete(Tracker, tracker.id, revision)


@dataclass(slots=True)
class _Round:
    """One round on one project."""

    sync: Sync
    issues: Issues
    renew: Callable[[], None]
    report: Report
    end: datetime | None
    planned: list[Planned]
    names: Mapping[Place, Place]
    is_new: bool = False
    opening: Opening = field(init=False)
    hearing: Hearing = field(init=False)
    storm: Storm = field(init=False)

    def run(self, gitlab: str, project: str) -> None:
        ledger, now = self.sync.ledger, self.sync.clock()
        tracker, revision = ledger.tracker(gitlab, project)
        if tracker.next_at is not None and now < tracker.next_at:
            until = f"It is left alone until {tracker.next_at:%H:%M:%S} UTC."
            self.report.troubles += [replace(one, fix=f"{one.fix} {until}".strip()) for one in tracker.troubles]
            self.report.soon(tracker.next_at)
            return
        try:
            tracker = self._work(tracker)
            tracker = replace(tracker, heard_at=self.sync.clock(), failures=0, next_at=None)
        except GitLabError as exc:
            tracker = self.opening.tracker if hasattr(self, "opening") else tracker
            failures = tracker.failures + 1
            tracker = replace(
                tracker, failures=failures, next_at=self.sync.clock() + pause(exc, failures),
                troubles=(Trouble(exc.what, exc.fix),),
            )  # fmt: skip
        self.report.troubles += tracker.troubles
        self.report.soon(tracker.next_at)
        ledger.save_tracker(tracker, revision)

    def _work(self, tracker: Tracker) -> Tracker:
        sync, now = self.sync, self.sync.clock()
        silent = tracker.heard_at is None or now - tracker.heard_at > SILENCE
        tracker = replace(tracker, steady_at=now if silent else tracker.steady_at or now)
        self.is_new = not tracker.project_id
        rules = self._rules(tracker)
        labels = dict.fromkeys((*(label for one in rules for label in one.labels[:1]), *tracker.labels))
        greeting = Greeting(sync.ledger, self.issues, self.names, sync.clock)
        tracker = greeting.greet(tracker, anew=bool(self._to_open() or self._intended(tracker)))
        tracker = greeting.gather(replace(tracker, labels=tuple(labels)[:FORMER]))
        self.opening = Opening(
            sync.ledger, self.issues, tracker, sync.clock, self.renew, sync.words.marked, tracker.labels
        )
        obeying = Obeying(sync.service, self.issues, tracker.project, tracker.bot, tracker.bot_id, sync.clock)
        self.hearing = Hearing(sync.ledger, self.issues, tracker, sync.clock, sync.listen or obeying.listen)
        waiting = [planned.row for planned in self.planned if planned.judged is not None and planned.judged.is_storm]
        self.storm = Storm(sync.ledger, self.issues, self.hearing, sync.words, sync.clock, waiting, rules[0].labels)
        self._open()
        self._told()
        self._hear()
        self._fixes()
        self._check()
        self._tell()
        self.storm.tell()
        return self.opening.tracker

    def _rules(self, tracker: Tracker) -> list[Rules]:
        """Return the policies that lead to this project; where none does, all of its GitLab."""
        here, every = (tracker.gitlab, tracker.project), self.sync.rules.values()
        leads = [one for one in every if here in {places.of(self.names, *to) for to in places.targets(one)}]
        return leads or [one for one in every if one.gitlab == tracker.gitlab] or [Rules(tracker.gitlab)]

    # --- its parts

    def _to_open(self) -> list[Planned]:
        return [p for p in self.planned if p.judged is not None and p.judged.verdict is Verdict.OPENS]

    def _intended(self, tracker: Tracker) -> list[Mirror]:
        return [one for one in self.sync.ledger.mirrors(tracker) if one.status is MirrorStatus.INTENDED]

    def _open(self) -> None:
        sync, opening = self.sync, self.opening
        opens = self._to_open()
        if (
            not opens
            and not self._intended(opening.tracker)
            and not self._is_first_storm()
            and opening.is_steady(sync.clock())
            and not self._is_check_due()
        ):
            return
        for mirror, issue in opening.look():
            self.report.adopted += 1
            self.hearing.hear(mirror, issue)
        if not self.is_new:  # else another name of it may be known only now
            self._intend(opens)
        if self.storm.waiting and not self.is_new:
            opening.intend(self.storm.id)
        for mirror in due(sync.ledger.mirrors(opening.tracker), sync.clock()):
            if self._is_over():
                break
            with self._one_by_one(mirror):
                self.report.opened += opening.proceed(mirror.problem, partial(self._draft, mirror.problem))
        steady = opening.tracker.steady_at and opening.tracker.steady_at + WAIT
        for mirror in self._intended(opening.tracker):
            self.report.soon(mirror.next_at or steady)
        if self.is_new and opens:
            self.report.soon(steady)

    def _intend(self, opens: list[Planned]) -> None:
        """Save the intents for what is to be opened, as far as there is room yet: another process, or a look, may have taken it."""
        if not opens:
            return
        sync, now = self.sync, self.sync.clock()
        rooms = Rooms((mirror for mirror, _ in sync.service.store.records(Mirror)), now, self.names)
        for planned in opens:
            rules, judged = sync.judging.rules_for(planned.row), planned.judged
            assert judged is not None
            is_free = rules is not None and rooms.left(rules, judged.project) > 0
            if is_free and self.opening.intend(planned.row.problem.id):
                rooms.take(judged)

    def _is_first_storm(self) -> bool:
        return bool(self.storm.waiting) and self.sync.ledger.mirror(self.storm.id) is None

    def _draft(self, problem: str) -> Draft | None:
        """Return the issue of a problem as it is by now; None where it deserves none here any more."""
        if problem == self.storm.id:
            return self.storm.draft()
        sync, now = self.sync, self.sync.clock()
        row = sync.words.now(problem)
        rules = sync.judging.rules_for(row) if row is not None else None
        found = sync.ledger.mirror(problem)
        is_asked = found is not None and bool(found[0].asked_by)
        if row is None or rules is None or (row.problem.state not in lifecycle.OPEN and not is_asked):
            return None
        case = sync.judging.read(case_of(row), row)
        judged = policy.asked(case, rules) if is_asked else policy.judge(case, rules, 1, now)
        tracker = self.opening.tracker
        is_here = places.of(self.names, judged.gitlab, judged.project) == (tracker.gitlab, tracker.project)
        if judged.verdict is Verdict.NEVER or not is_here:
            return None
        names = (judged.assignee,) if judged.assignee else owners.assignees(row.owned)[:_ASKED]
        known = (self.issues.user(name) for name in names)
        return replace(sync.words.draft(row, judged), assignee_id=next(filter(None, known), None))

    def _hear(self) -> None:
        tracker = self.opening.tracker
        linked = self._linked()
        if not linked:
            return
        since = tracker.read_until or min(one.updated_at or one.linked_at or one.intended_at for one in linked.values())
        until = since
        for issue in self.issues.changed(tracker.project, since - _OVERLAP):
            mirror = linked.get(issue.id)
            if mirror is not None and (issue.updated_at != mirror.updated_at or mirror.is_fresh):
                with self._one_by_one(mirror):
                    self.hearing.hear(mirror, issue)
                    self.report.heard += 1
            until = max(until, min(issue.updated_at, self.sync.clock()))  # an owner may date an issue into the future
            self.opening.tracker = replace(tracker, read_until=until)

    def _is_check_due(self) -> bool:
        checked = self.opening.tracker.checked_at
        return checked is None or self.sync.clock() - checked >= _CHECK

    def _told(self) -> None:
        """Look at what the webhook told of issues here: read each by itself, which no replica's list holds up."""
        tracker, store = self.opening.tracker, self.sync.service.store
        linked = {mirror.iid: mirror for mirror in self._linked().values()}
        for told, revision in inbox.waiting(store, self.sync.clock()):
            if (told.gitlab, told.project) != (tracker.gitlab, tracker.project_id):
                continue
            mirror = linked.get(told.number) if told.kind in (HeardKind.ISSUE, HeardKind.NOTE) else None
            if mirror is not None and told.by != tracker.bot_id:
                with self._one_by_one(mirror):
                    self.hearing.hear(mirror, self.issues.issue(tracker.project, mirror.iid))
                    self.report.heard += 1
            inbox.looked_at(store, told, revision)

    def _check(self) -> None:
        """Once a day see that every linked issue exists, and hear what was missed."""
        tracker, now = self.opening.tracker, self.sync.clock()
        if not self._is_check_due():
            return
        old = [mirror for mirror in self._linked().values() if mirror.linked_at and now - mirror.linked_at > _YOUNG]
        known = sorted(old, key=lambda mirror: mirror.iid)
        for first in range(0, len(known), _SEVERAL):
            part = known[first : first + _SEVERAL]
            found = {one.id: one for one in self.issues.several(tracker.project, [mirror.iid for mirror in part])}
            for mirror in part:
                with self._one_by_one(mirror):
                    if mirror.issue_id not in found:
                        self.hearing.gone(mirror)
                    elif found[mirror.issue_id].updated_at != mirror.updated_at:
                        self.hearing.hear(mirror, found[mirror.issue_id])
        self.opening.tracker = replace(self.opening.tracker, checked_at=now)

    def _fixes(self) -> None:
        """Ask which bundles hold the merge request that is to have fixed a problem, each once, while that is waited for."""
        service, left = self.sync.service, _BUNDLES
        for planned in self.planned:
            problem, mirror = planned.row.problem, planned.mirror
            found = service.unjudged(problem)[:left] if mirror else []
            if mirror is None or problem.deploy is None or not found or self._is_over():
                continue
            its = problem.deploy
            with self._one_by_one(mirror):
                holds = {
                    one: self.issues.holds(its.fix_project, one, its.fix) if deploys.is_commit(one) else None
                    for one in found
                }
                service.judge_bundles(problem.id, self.sync.clock(), holds)
            left -= len(found)

    def _tell(self) -> None:
        sync = self.sync
        telling = Telling(sync.ledger, self.issues, self.hearing, sync.words, sync.clock)
        rows = {planned.row.problem.id: planned.row for planned in self.planned}
        for mirror in self._linked().values():
            row = rows.get(mirror.problem)
            if row is None:
                self._emptied(telling, mirror)
                self.report.told += mirror.problem in telling.written
                continue
            if row.problem.gitlab_url != mirror.web_url:
                sync.ledger.linked(mirror, sync.clock())
            if not telling.is_due(mirror, row, sync.clock()):
                continue
            if self._is_over():
                break
            with self._one_by_one(mirror):
                telling.tell(mirror, row)
            self.report.told += mirror.problem in telling.written

    def _emptied(self, telling: Telling, mirror: Mirror) -> None:
        """Tell the issue of a problem without failures of its own that another has them, if people merged it away."""
        found = self.sync.service.store.get(Problem, mirror.problem)
        if found is None or not found[0].merged_into:
            return
        heir = self.sync.service.living(found[0])
        with self._one_by_one(mirror):
            telling.merged(mirror, found[0], heir)

    def _linked(self) -> dict[int, Mirror]:
        found = self.sync.ledger.mirrors(self.opening.tracker)
        return {one.issue_id: one for one in found if one.status is MirrorStatus.LINKED}

    def _is_over(self) -> bool:
        self.renew()
        return self.end is not None and self.sync.clock() >= self.end

    def _one_by_one(self, mirror: Mirror) -> _OneByOne:
        return _OneByOne(self, mirror.problem)


@dataclass(slots=True)
class _OneByOne:
    """Keeps what is wrong with one issue from holding up the others; what is wrong with all of them goes on up."""

    round: _Round
    problem: str

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> bool:
        if isinstance(exc, StaleProblem):
            return True  # somebody changed it meanwhile; the next round sees what it is then
        is_its_own = isinstance(exc, GitLabGone | SettingsError) or (
            isinstance(exc, GitLabRefused) and exc.status not in (0, 401, 429)
        )
        if not is_its_own:
            return False
        assert isinstance(exc, TriageError)
        ledger, now = self.round.sync.ledger, self.round.sync.clock()
        found = ledger.mirror(self.problem)
        if found is None:
            return True
        if isinstance(exc, GitLabGone) and found[0].status is MirrorStatus.LINKED:
            self.round.hearing.gone(found[0])
        else:
            attempts = found[0].attempts + (found[0].status is MirrorStatus.LINKED)
            mirror = replace(found[0], attempts=attempts, said=str(exc), next_at=now + pause(exc, attempts))
            ledger.save(mirror, found[1])
        self.round.report.troubles.append(Trouble(exc.what, exc.fix))
        return True


def _by_project(
    planned: Iterable[Planned], mirrors: Iterable[tuple[Mirror, int]], names: Mapping[Place, Place]
) -> dict[Place, list[Planned]]:
    """Sort what is planned by the project that it concerns; a mirror whose problem has no failures left counts too."""
    found: dict[Place, list[Planned]] = {}
    for mirror, _ in mirrors:
        if mirror.status in (MirrorStatus.INTENDED, MirrorStatus.LINKED):
            found.setdefault(places.of(names, mirror.gitlab, mirror.project), [])
    for one in planned:
        judged = one.judged if one.judged and (one.judged.verdict is Verdict.OPENS or one.judged.is_storm) else None
        if its := one.mirror or judged:
            found.setdefault(places.of(names, its.gitlab, its.project), []).append(one)
    return found
