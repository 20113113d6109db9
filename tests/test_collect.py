"""One pass over a deployment: what it keeps, when it asks again, and what it survives."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector import comparing
from collector.collect import Pass
from collector.readers import IN_FLIGHT, Errand
from collector.report import Report
from collector.spans import OVERLAP
from triage import asking, logs
from triage.errors import LogGone, SourceError, SourceForbidden, StorageAway
from triage.lease import LeaseLost, lease
from triage.model import Absence, Circumstance, CircumstanceKind, LogLine, LogStatus, Occurrence, TaskTry
from triage.outcomes import OutcomeKind, Retried, Schedule, Successes
from triage.query import EVERYTHING, parse
from triage.records import ComparisonStatus, Good
from triage.service import Service
from triage.store import open_store
from triage.watched import Component, Cursor, DeploymentHealth, ImportFailure, Lease, Listing, PoolLoad

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def whole_log(error: str = "KeyError", value: str = "'amount'", at: datetime = START) -> bytes:
    """An Airflow 3.3 log as the API streams it, with its verdict."""
    stamp = at.isoformat().replace("+00:00", "Z")
    records: list[dict[str, object]] = [
        {"timestamp": None, "event": "::group::Log message source details"},
        {"timestamp": None, "event": "/logs/attempt=1.log"},
        {"timestamp": None, "event": "::endgroup::"},
        {"timestamp": stamp, "event": "::group::Pre Execute", "level": "info", "logger": "task"},
        {"timestamp": stamp, "event": "::endgroup::", "level": "info", "logger": "task"},
        {"timestamp": stamp, "event": "Task failed with exception", "level": "error", "logger": "task",
         "error_detail": [{"exc_type": error, "exc_value": value, "exc_notes": [], "syntax_error": None, "is_cause": False,
                           "frames": [{"filename": "/dags/orders.py", "lineno": 3, "name": "load"}],
                           "is_group": False, "exceptions": []}]},
    ]  # fmt: skip
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


NO_LOG = whole_log()[: whole_log().index(b'{"timestamp": "')]


@dataclass
class Script:
    """A deployment that answers what it is told to."""

    tries: list[Occurrence] = field(default_factory=list)
    logs: dict[TaskTry, bytes | Exception] = field(default_factory=dict)
    listing: list[Occurrence] = field(default_factory=list)
    fails: dict[str, Exception] = field(default_factory=dict)
    offset: float = 0.0
    in_flight: int = 0
    most: int = 0
    read: list[TaskTry] = field(default_factory=list)
    since: list[datetime] = field(default_factory=list)
    bundles: dict[str, str] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def _ask(self, what: str) -> None:
        if what in self.fails:
            raise self.fails[what]

    def version(self) -> str:
        self._ask("version")
        return "3.3.2"

    def events(self, since: datetime, seen_at: datetime, until: datetime | None = None) -> Iterator[list[Occurrence]]:
        self.since.append(since)
        for one in self.tries:
            if since < one.ended_at and (until is None or one.ended_at <= until):
                yield [one]
        self._ask("events")

    def listed(self, since: datetime, seen_at: datetime, until: datetime | None = None) -> Iterator[list[Occurrence]]:
        yield [one for one in self.listing if since <= one.ended_at and (until is None or one.ended_at <= until)]
        self._ask("listed")

    def describe(self, occurrence: Occurrence) -> Occurrence:
        self._ask("describe")
        return occurrence

    def read_log(self, key: TaskTry) -> Iterator[bytes]:
        with self.lock:
            self.read.append(key)
            self.in_flight += 1
            self.most = max(self.most, self.in_flight)
        try:
            answer = self.logs.get(key, whole_log())
            if isinstance(answer, Exception):
                raise answer
            yield answer
        finally:
            with self.lock:
                self.in_flight -= 1

    def successes(self, dag_id: str, task_id: str, since: datetime) -> Successes:
        self._ask("successes")
        self.asked.append((dag_id, task_id))
        return Successes(2, START + timedelta(hours=1))

    def retried(self, dag_id: str, task_id: str, since: datetime) -> Retried:
        return Retried()

    def schedule(self, dag_id: str) -> Schedule:
        return Schedule()

    def bundle(self, dag_id: str, run_id: str) -> str:
        self._ask("bundle")
        self.ran.append(run_id)
        return self.bundles.get(run_id, "")

    def last_good(self, key: TaskTry, before: datetime) -> Good | None:
        return Good(replace(key, run_id="good", try_number=1), before)

    def health(self) -> list[Component]:
        self._ask("health")
        return [Component("scheduler", "healthy", START)]

    def import_failures(self) -> list[ImportFailure]:
        return [ImportFailure("bad.py", "dags", "ModuleNotFoundError: x")]

    def pools(self) -> list[PoolLoad]:
        self._ask("pools")
        return []


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    store = open_store(f"sqlite:///{tmp_path / 'a.db'}")
    yield Service(store)
    store.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def failed(n: int = 1, task: str = "load", **more: object) -> Occurrence:
    return Occurrence(TaskTry("prod", "orders", f"run_{n}", task), START, START, is_final=True, **more)  # type: ignore[arg-type]


def make_pass(service: Service, source: Script, clock: Clock, serve: bool = False, **more: object) -> Report:
    waits = tuple(timedelta(seconds=s) for s in (30, 120, 600))
    one = Pass(
        service, source, "prod", "http://x", timedelta(days=7), timedelta(seconds=30), waits, clock, **more  # type: ignore[arg-type]
    )  # fmt: skip
    return one.serve() if serve else one.run()


def test_a_pass_keeps_reads_signs_and_opens_the_problem(service: Service, clock: Clock) -> None:
    source = Script([failed(n) for n in range(5)])
    report = make_pass(service, source, clock)
    assert (report.new, report.fetched, report.troubles, report.backlog.waiting) == (5, 5, [], 0)
    (row,) = service.queue(clock())
    assert row.total == 5
    assert "KeyError" in row.problem.title
    (health,) = service.health(clock())
    assert health.health.version == "3.3.2"
    assert health.health.imports[0].file == "bad.py"
    assert not health.is_stale(clock())


def test_a_try_ran_the_bundle_that_its_log_names_else_that_of_its_run_and_only_where_bundles_have_versions(
    service: Service, clock: Clock
) -> None:
    pointed, ran, of_run = "a" * 40, "b" * 40, "c" * 40
    more = {"bundle_version": pointed, "bundle_url": f"https://gitlab.example.com/dags/-/tree/{pointed}"}
    told, silent, gone = failed(1, **more), failed(2, **more), failed(3, **more)
    said = {"event": f"Filling up the DagBag from /b/versions/{ran}/etl.py", "level": "info"}
    lines = whole_log().splitlines(keepends=True)
    source = Script([told, silent, gone, failed(4)], bundles={"run_2": of_run, "run_3": of_run})
    source.logs[told.key] = b"".join([*lines[:3], json.dumps(said).encode() + b"\n", *lines[3:]])
    source.logs[gone.key] = LogGone("It is gone.")
    make_pass(service, source, clock)
    found = {one.key.run_id: one for one in service.store.search(EVERYTHING, 10)}
    assert {run: one.bundle_version for run, one in found.items()} == {
        "run_1": ran, "run_2": of_run, "run_3": of_run, "run_4": "",
    }  # fmt: skip
    assert found["run_1"].bundle_url.endswith(f"/-/tree/{ran}")
    assert sorted(source.ran) == ["run_2", "run_3"]


def test_a_run_that_the_account_may_not_read_leaves_the_bundle_that_airflow_points_to(
    service: Service, clock: Clock
) -> None:
    source = Script([failed(1, bundle_version="a" * 40)], fails={"bundle": SourceForbidden("No DAG Runs.")})
    assert make_pass(service, source, clock).troubles == []
    (found,) = service.store.search(EVERYTHING, 10)
    assert (found.bundle_version, found.log) == ("a" * 40, LogStatus.WHOLE)


def test_ten_passes_are_one_pass(service: Service, clock: Clock) -> None:
    source = Script([failed(n) for n in range(5)])
    reports = [make_pass(service, source, clock) for _ in range(10)]
    assert [report.new for report in reports] == [5] + [0] * 9
    assert len(source.read) == 5
    assert service.queue(clock())[0].total == 5


def test_at_most_four_logs_are_in_flight(service: Service, clock: Clock) -> None:
    source = Script([failed(n) for n in range(60)])
    make_pass(service, source, clock)
    assert len(source.read) == 60
    assert 1 <= source.most <= IN_FLIGHT


def test_the_cursor_moves_by_the_server_s_clock_and_overlaps(service: Service, clock: Clock) -> None:
    source = Script(offset=3600.0)
    make_pass(service, source, clock)
    clock.at += timedelta(minutes=30)
    source.since.clear()
    make_pass(service, source, clock)
    assert source.since == [START + timedelta(hours=1) - OVERLAP]


def test_a_list_that_breaks_off_keeps_what_came_and_leaves_the_cursor(service: Service, clock: Clock) -> None:
    source = Script([failed(1)], fails={"events": SourceError("prod: half an answer.", "Try later.")})
    report = make_pass(service, source, clock)
    assert report.new == 1
    assert [t.what for t in report.troubles] == ["prod: half an answer."]
    found = service.store.get(Cursor, "prod")
    assert found is not None
    assert (found[0].events_until, found[0].list_until) == (None, START)


def test_without_the_right_to_read_the_event_log_the_list_serves_alone_and_says_so(
    service: Service, clock: Clock
) -> None:
    source = Script(
        listing=[failed(1)],
        fails={"events": SourceForbidden("prod: the account may not read the event log.", "Grant Audit Logs.")},
    )
    report = make_pass(service, source, clock)
    assert report.new == 1
    (health,) = service.health(clock())
    assert "event log" in health.health.troubles[0].what
    assert not health.is_stale(clock())


def test_a_log_that_is_not_whole_is_asked_for_again_and_never_signed_as_if_it_were(
    service: Service, clock: Clock
) -> None:
    half = whole_log()[: whole_log().rindex(b"{")]
    source = Script([failed(1)], {failed(1).key: half})
    report = make_pass(service, source, clock)
    assert report.backlog.waiting == 1
    (found,) = service.search(EVERYTHING, clock(), 10)
    assert (found.log, found.fingerprint, found.next_fetch_at) == (LogStatus.PARTIAL, "", START + timedelta(seconds=30))
    assert service.queue(clock()) == []
    make_pass(service, source, clock)
    assert len(source.read) == 1, "not before its time"
    source.logs.clear()
    clock.at += timedelta(seconds=31)
    make_pass(service, source, clock)
    (found,) = service.search(EVERYTHING, clock(), 10)
    assert found.log is LogStatus.WHOLE
    assert len(service.queue(clock())) == 1


def test_a_log_that_stays_away_shows_after_two_minutes_and_is_better_when_it_comes(
    service: Service, clock: Clock
) -> None:
    source = Script([failed(1)], {failed(1).key: NO_LOG})
    make_pass(service, source, clock)
    for seconds in (31, 121):
        assert service.queue(clock()) == []
        clock.at += timedelta(seconds=seconds)
        make_pass(service, source, clock)
    (row,) = service.queue(clock())
    assert service.problem(row.problem.id, clock()).occurrences[0].log is LogStatus.MISSING
    source.logs.clear()
    clock.at += timedelta(seconds=601)
    make_pass(service, source, clock)
    (better,) = service.queue(clock())
    assert better.problem.id != row.problem.id
    assert (better.total, "KeyError" in better.problem.title) == (1, True)


def test_waits_end_and_the_failure_stands_with_what_there_is(service: Service, clock: Clock) -> None:
    source = Script([failed(1)], {failed(1).key: LogGone("prod: no such log.")})
    for _ in range(6):
        make_pass(service, source, clock)
        clock.at += timedelta(hours=1)
    assert len(source.read) == 4
    assert service.store.backlog("prod", clock()).waiting == 0
    assert len(service.queue(clock())) == 1


def test_a_circumstance_explains_a_silent_log(service: Service, clock: Clock) -> None:
    lost = Circumstance(CircumstanceKind.HEARTBEAT_LOST, "no heartbeat for 300 s")
    silent = whole_log()[: whole_log().rindex(b"{")]
    source = Script([failed(1, circumstance=lost)], {failed(1).key: silent})
    report = make_pass(service, source, clock)
    assert report.backlog.waiting == 0
    (row,) = service.queue(clock())
    assert row.problem.cause == "heartbeat lost"


def test_an_airflow_that_is_away_is_a_line_and_changes_nothing_kept(service: Service, clock: Clock) -> None:
    source = Script([failed(1)])
    make_pass(service, source, clock)
    clock.at += timedelta(minutes=10)
    source.fails = {"version": SourceError("prod: http://x refused the connection.", "Start it.")}
    report = make_pass(service, source, clock)
    assert [t.fix for t in report.troubles] == ["Start it."]
    (view,) = service.health(clock())
    assert view.is_stale(clock())
    assert view.health.version == "3.3.2"
    assert view.health.imports, "what was known last stays"
    assert len(service.queue(clock())) == 1


def test_a_server_that_fails_for_every_log_is_left_alone_after_a_few(service: Service, clock: Clock) -> None:
    trouble = SourceError("prod: HTTP 500.", "See its log.")
    source = Script([failed(n) for n in range(50)], {failed(n).key: trouble for n in range(50)})
    report = make_pass(service, source, clock)
    assert len(report.troubles) == 1
    assert len(source.read) < 20
    assert report.backlog.waiting == 50


def test_an_outage_of_hours_settles_nothing_as_missing(service: Service, clock: Clock) -> None:
    away = SourceError("prod: HTTP 500.", "See its log.")
    source = Script([failed(n) for n in range(5)], {failed(n).key: away for n in range(5)})
    for _ in range(100):
        make_pass(service, source, clock)
        clock.at += timedelta(minutes=2)
    assert service.store.backlog("prod", clock()).waiting == 5
    (row,) = service.queue(clock())
    assert row.problem.cause == "no usable log", "shown provisionally meanwhile"
    assert len(source.read) < 5 * 40, "asked less and less often"
    source.logs.clear()
    clock.at += timedelta(minutes=10)
    make_pass(service, source, clock)
    assert service.store.backlog("prod", clock()).waiting == 0
    assert len(service.search(parse("log:whole", clock()), clock(), 10)) == 5


REFUSED_BY_S3 = NO_LOG.replace(b'"/logs/attempt=1.log"', b'"Could not read logs from s3://logs/1.log with error: 503"')


AWAY = StorageAway("prod: Airflow could not read logs from their storage; they are asked for again.", "Look at it.")


@pytest.mark.parametrize("answer", [AWAY, REFUSED_BY_S3], ids=["raised", "said"])
def test_a_storage_that_is_away_uses_up_no_waits_and_its_logs_are_read_when_it_is_back(
    service: Service, clock: Clock, answer: bytes | Exception
) -> None:
    fact = failed()
    source = Script([fact], {fact.key: answer})
    for _ in range(120):
        report = make_pass(service, source, clock)
        clock.at += timedelta(minutes=10)
    assert [trouble.what for trouble in report.troubles] == [
        "prod: Airflow could not read logs from their storage; they are asked for again."
    ]
    (kept,) = service.store.search(EVERYTHING, 10)
    assert (kept.log, kept.absence, kept.fetches) == (LogStatus.MISSING, Absence.STORAGE, 0)
    assert kept.signature is not None
    assert kept.signature.cause == "log storage away"
    source.logs[fact.key] = whole_log()
    assert make_pass(service, source, clock).troubles == []
    (kept,) = service.store.search(EVERYTHING, 10)
    assert (kept.log, kept.absence) == (LogStatus.WHOLE, None)
    assert kept.signature is not None
    assert kept.signature.exception == "KeyError"


def test_a_storage_that_never_gives_a_log_out_is_asked_for_a_day_and_then_believed(
    service: Service, clock: Clock
) -> None:
    fact = failed()
    source = Script([fact], {fact.key: AWAY})
    for _ in range(200):
        make_pass(service, source, clock)
        clock.at += timedelta(minutes=10)
    asked = len(source.read)
    (kept,) = service.store.search(EVERYTHING, 10)
    assert (kept.log, kept.absence, kept.next_fetch_at) == (LogStatus.MISSING, Absence.STORAGE, None)
    assert asked < 160
    make_pass(service, source, clock)
    assert len(source.read) == asked


def test_a_storage_that_is_away_keeps_nobody_from_reading_back(service: Service, clock: Clock) -> None:
    tries = [failed(n) for n in range(60)]
    old = aged(0.1, 99)
    source = Script([*tries, old], {fact.key: AWAY for fact in tries})
    for _ in range(8):
        report = make_pass(service, source, clock, budget=timedelta(seconds=30))
        clock.at += timedelta(seconds=30)
    assert report.backlog.waiting >= 60
    assert service.store.occurrence(old.key.id)


def test_a_log_that_trips_us_up_is_said_and_holds_up_no_other(
    service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def keep(lines: Iterable[LogLine], *args: object, **more: object) -> logs.Kept:
        kept = whole(lines, *args, **more)  # type: ignore[arg-type]
        if any("trap" in raised.value for line in kept.lines for raised in line.raised):
            raise TypeError("password=hunter2secret")
        return kept

    whole = logs.keep
    monkeypatch.setattr(logs, "keep", keep)
    source = Script([failed(n) for n in range(30)], {failed(7).key: whole_log(value="'trap'")})
    report = make_pass(service, source, clock)
    assert report.backlog.waiting == 1
    (trouble,) = report.troubles
    assert trouble.what == "prod: the log of orders.load cannot be read by airtriage (TypeError)."
    assert "hunter2secret" not in trouble.what + trouble.fix
    assert "TypeError" in caplog.text
    clock.at += timedelta(minutes=3)
    make_pass(service, source, clock)
    assert sum(row.total for row in service.queue(clock())) == 30, "it stands as a failure without its log"


@pytest.mark.parametrize("answer", [LogGone("prod: no such try."), NO_LOG], ids=["unknown", "missing"])
def test_a_log_gone_before_its_circumstance_was_known_is_not_asked_for_for_ever(
    service: Service, clock: Clock, answer: bytes | Exception
) -> None:
    source = Script([failed(1)])
    make_pass(service, source, clock)
    source.tries = [failed(1, circumstance=Circumstance(CircumstanceKind.STATE_MISMATCH, "said"))]
    source.logs[failed(1).key] = answer

    def tick(report: Report) -> None:
        clock.at += timedelta(seconds=1)

    for _ in range(6):
        make_pass(service, source, clock, progress=tick, budget=timedelta(minutes=5))
        clock.at += timedelta(minutes=20)
    assert len(source.read) <= 5, "once, and after each wait"
    (kept,) = service.store.search(EVERYTHING, 10)
    assert (kept.log, kept.next_fetch_at) == (LogStatus.WHOLE, None)
    assert kept.circumstance is not None
    assert service.record([replace(source.tries[0], next_fetch_at=clock())]).better == 0, "listed again it stays so"


def test_a_try_that_airflow_does_not_know_says_so(service: Service, clock: Clock) -> None:
    fact = failed()
    source = Script([fact], {fact.key: LogGone("prod: no such try.")})
    make_pass(service, source, clock)
    clock.at += timedelta(minutes=3)
    make_pass(service, source, clock)
    (kept,) = service.store.search(EVERYTHING, 10)
    assert (kept.log, kept.absence) == (LogStatus.MISSING, Absence.UNKNOWN_TRY)
    assert kept.signature is not None
    assert kept.signature.cause == "try not known"


def test_a_pass_whose_lease_was_lost_ends_quietly(service: Service, clock: Clock) -> None:
    source = Script([failed(n) for n in range(3)])

    def stolen(report: Report) -> None:
        found = service.store.get(Lease, "pass/prod")
        assert found is not None
        if found[0].holder != "elsewhere:1:1:x":
            service.store.save(
                replace(found[0], holder="elsewhere:1:1:x", expires_at=clock() + timedelta(hours=1)), found[1]
            )
        clock.at += timedelta(minutes=1)

    assert make_pass(service, source, clock, progress=stolen).skipped
    clock.at += timedelta(hours=2)
    make_pass(service, source, clock)
    assert service.queue(clock())[0].total == 3


def test_one_log_that_cannot_be_read_holds_up_no_other(service: Service, clock: Clock) -> None:
    source = Script([failed(n) for n in range(5)], {failed(2).key: SourceError("prod: HTTP 500.")})
    make_pass(service, source, clock)
    assert len(service.search(parse("log:whole", clock()), clock(), 10)) == 4


def test_a_budget_keeps_a_backlog_from_holding_up_the_next_listing(service: Service, clock: Clock) -> None:
    source = Script([failed(n) for n in range(30)])

    def tick(report: Report) -> None:
        clock.at += timedelta(seconds=1)

    first = make_pass(service, source, clock, budget=timedelta(seconds=3), progress=tick)
    assert 0 < first.backlog.waiting < 30
    while make_pass(service, source, clock).backlog.waiting:
        clock.at += timedelta(seconds=1)
    assert service.queue(clock())[0].total == 30


def aged(days: float, n: int = 1) -> Occurrence:
    at = START - timedelta(days=days)
    return replace(failed(n), ended_at=at, started_at=at)


def test_first_contact_reads_the_news_then_back_newest_first_as_far_as_lookback(service: Service, clock: Clock) -> None:
    ages = [0.01, 6.9, 3.2, 0.5, 7.5, 400]
    source = Script([aged(days, n) for n, days in enumerate(ages)])
    report = make_pass(service, source, clock)
    assert [int(key.run_id.removeprefix("run_")) for key in source.read] == [0, 3, 2, 1]
    assert (report.new, [gap.closed_at for gap in report.gaps]) == (4, [START, START])
    source.since.clear()
    make_pass(service, source, clock)
    assert len(source.since) == 1, "what was read is not read again"


def test_a_budget_ends_the_way_back_and_the_next_pass_goes_on_from_there(service: Service, clock: Clock) -> None:
    source = Script(listing=[aged(day, day) for day in range(7)])

    def tick(report: Report) -> None:
        clock.at += timedelta(seconds=6)

    reports = [make_pass(service, source, clock, budget=timedelta(seconds=10), progress=tick) for _ in range(2)]
    lefts = [sorted(gap.left for gap in report.gaps) for report in reports]
    assert lefts[0] > lefts[1] > [START - timedelta(days=7)] * 2
    while any(gap.closed_at is None for gap in make_pass(service, source, clock, progress=tick).gaps):
        clock.at += timedelta(seconds=30)
    assert service.queue(clock())[0].total == 7


def test_every_pass_goes_back_by_a_slice_even_when_the_logs_use_up_its_budget(service: Service, clock: Clock) -> None:
    source = Script([failed(n) for n in range(60)])

    def tick(report: Report) -> None:
        clock.at += timedelta(seconds=60)

    first = make_pass(service, source, clock, budget=timedelta(seconds=30), progress=tick)
    assert first.backlog.waiting
    assert min(gap.left for gap in first.gaps) < max(gap.until for gap in first.gaps)


def test_a_backlog_of_logs_holds_the_way_back_up_for_a_few_passes_and_not_for_each_hour(
    service: Service, clock: Clock
) -> None:
    source = Script([failed(n) for n in range(200)])

    def tick(report: Report) -> None:
        clock.at += timedelta(seconds=60)

    for _ in range(18):
        report = make_pass(service, source, clock, budget=timedelta(seconds=30), progress=tick)
    assert all(gap.closed_at for gap in report.gaps)
    assert report.backlog.waiting, "the backlog took every budget"


@pytest.mark.parametrize("hours", [2, 5, 100])
def test_what_a_clock_behind_dated_before_the_time_off_is_found(service: Service, clock: Clock, hours: int) -> None:
    source = Script()
    make_pass(service, source, clock)
    clock.at += timedelta(hours=hours)
    source.tries = [aged(-minutes / 1440, minutes) for minutes in (-110, -50, 10)]  # written up to two hours later
    assert make_pass(service, source, clock).new == 3


def test_a_month_off_is_caught_up_beyond_lookback_and_said(service: Service, clock: Clock) -> None:
    source = Script()
    make_pass(service, source, clock)
    clock.at += timedelta(days=30)
    source.tries = [aged(-day, day) for day in (1, 15, 29)]
    make_pass(service, source, clock)
    assert service.queue(clock())[0].total == 3
    (view,) = service.health(clock())
    (missed,) = [one for one in view.missed if not one.is_first]
    assert (missed.since, missed.until) == (START - OVERLAP, clock() - timedelta(hours=1))
    assert (missed.is_open, missed.found) == (False, 3)


def test_a_slice_that_breaks_off_holds_up_neither_news_nor_the_other_listing(service: Service, clock: Clock) -> None:
    broken = Script([aged(3)], listing=[aged(3, 2)], fails={"events": SourceError("prod: HTTP 500.")})
    make_pass(service, broken, clock)
    found = service.store.get(Cursor, "prod")
    assert found is not None
    assert (found[0].events_until, found[0].list_until) == (None, START)
    assert [(gap.listing, gap.closed_at) for gap in found[0].gaps] == [(Listing.INSTANCES, START)]
    broken.fails = {}
    make_pass(service, broken, clock)
    assert service.queue(clock())[0].total == 2


def test_a_log_that_stands_as_missing_is_asked_for_once_more_a_day_later(service: Service, clock: Clock) -> None:
    source = Script([failed(1), failed(2)], {failed(n).key: LogGone("prod: no such log.") for n in (1, 2)})
    for _ in range(6):
        make_pass(service, source, clock)
        clock.at += timedelta(hours=1)
    assert len(source.read) == 2 * 4
    (lesser,) = service.queue(clock())
    source.logs = {failed(2).key: LogGone("prod: no such log.")}
    clock.at += timedelta(days=1)
    for _ in range(3):
        make_pass(service, source, clock)
        clock.at += timedelta(hours=2)
    assert len(source.read) == 2 * 5, "once, not again and again"
    assert [row.total for row in service.queue(clock())] == [1, 1], "the better fact left the lesser problem"
    assert service.problem(lesser.problem.id, clock()).row.total == 1
    assert sum(service.store.histogram(EVERYTHING).values()) == 2


def test_again_asks_at_once_for_every_log_that_stands_as_missing_or_partial(service: Service, clock: Clock) -> None:
    gone = LogGone("prod: no such log.")
    source = Script([failed(1), failed(2), aged(5, 3)], {failed(n).key: gone for n in (1, 3)})
    for _ in range(5):
        make_pass(service, source, clock)
        clock.at += timedelta(hours=1)
    asked = len(source.read)
    source.logs.clear()
    make_pass(service, source, clock)
    assert len(source.read) == asked, "not by itself, so soon"
    again(service, source, clock)
    assert len(source.read) == asked + 2
    assert len(service.search(parse("log:whole", clock()), clock(), 10)) == 3
    assert sum(row.total for row in service.queue(clock())) == 3


def again(service: Service, source: Script, clock: Clock) -> Report:
    waits = (timedelta(seconds=30),)
    return Pass(
        service, source, "prod", "http://x", timedelta(days=7), timedelta(seconds=30), waits, clock  # type: ignore[arg-type]
    ).run(again=True)  # fmt: skip


def test_errands_come_before_logs_within_the_same_limit_and_run_once(service: Service, clock: Clock) -> None:
    source = Script([failed(n) for n in range(60)])
    done: list[int] = []

    def compare() -> None:
        done.append(len(source.read))
        list(source.read_log(failed(99).key))

    make_pass(service, source, clock, errands=lambda: [Errand("a", compare), Errand("b", compare)])
    assert len(done) == 2
    assert max(done) <= 8
    assert source.most <= IN_FLIGHT
    assert len(source.read) == 62


def test_errands_are_served_without_a_pass_and_by_a_pass_under_way(service: Service, clock: Clock) -> None:
    done: list[str] = []
    errand = Errand("a", lambda: done.append("a"))
    with lease(service.store, "pass/prod", clock):
        assert serve(service, Script(), clock, [errand]).skipped
    report = serve(service, Script([failed(1)]), clock, [errand, Errand("b", broken_errand)])
    assert (done, report.listed, [trouble.what for trouble in report.troubles]) == (["a"], 0, ["prod: HTTP 500."])


def broken_errand() -> None:
    raise SourceError("prod: HTTP 500.")


def serve(service: Service, source: Script, clock: Clock, errands: list[Errand]) -> Report:
    return Pass(
        service, source, "prod", "http://x", timedelta(days=7), timedelta(seconds=30), (), clock, errands=lambda: errands
    ).serve()  # fmt: skip


def test_only_one_pass_at_a_time(service: Service, clock: Clock) -> None:
    with lease(service.store, "pass/prod", clock) as renew:
        assert renew is not None
        assert make_pass(service, Script([failed(1)]), clock).skipped
    assert not make_pass(service, Script([failed(1)]), clock).skipped


def test_a_lease_is_taken_over_from_a_dead_process_at_once_and_from_another_host_after_its_time(
    service: Service, clock: Clock
) -> None:
    import socket
    import subprocess
    import sys

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    service.store.save(Lease("a", f"{socket.gethostname()}:{gone.pid}:1:x", START + timedelta(hours=1)), None)
    service.store.save(Lease("b", f"elsewhere:{gone.pid}:1:x", START + timedelta(minutes=1)), None)
    with lease(service.store, "a", clock) as renew:
        assert renew is not None
    with lease(service.store, "b", clock) as renew:
        assert renew is None
    clock.at += timedelta(minutes=2)
    with lease(service.store, "b", clock) as renew:
        assert renew is not None


def test_a_lease_that_was_lost_stops_its_holder(service: Service, clock: Clock) -> None:
    with lease(service.store, "a", clock) as renew:
        assert renew is not None
        clock.at += timedelta(minutes=6)
        with lease(service.store, "a", clock) as other:
            assert other is not None
            with pytest.raises(LeaseLost):
                renew()


def test_health_is_kept_per_deployment(service: Service, clock: Clock) -> None:
    make_pass(
        service,
        Script(fails={"pools": SourceForbidden("prod: the account may not read Pools.", "Grant Pools.")}),
        clock,
    )
    found = service.store.get(DeploymentHealth, "prod")
    assert found is not None
    assert [t.fix for t in found[0].troubles] == ["Grant Pools."]
    assert found[0].components[0].name == "scheduler"


def test_a_pass_asks_how_the_tasks_of_open_problems_fared_once_they_were_quiet(service: Service, clock: Clock) -> None:
    source = Script([failed(n) for n in range(3)])
    make_pass(service, source, clock)
    assert source.asked == []
    clock.at += timedelta(hours=2)
    make_pass(service, source, clock)
    assert source.asked == [("orders", "load")]
    outcome = service.queue(clock())[0].outcome
    assert outcome is not None
    assert (outcome.kind, outcome.succeeded) == (OutcomeKind.WELL, 2)
    make_pass(service, source, clock)
    assert len(source.asked) == 1, "not before its time"


def test_outcomes_that_cannot_be_asked_are_one_trouble_and_the_pass_goes_well(service: Service, clock: Clock) -> None:
    source = Script([failed(1)])
    make_pass(service, source, clock)
    clock.at += timedelta(hours=2)
    source.fails["successes"] = SourceError("prod: no answer.", "Try later.")
    report = make_pass(service, source, clock)
    assert [trouble.what for trouble in report.troubles] == ["prod: no answer."]
    assert not service.health(clock())[0].is_stale(clock())
    assert service.queue(clock())[0].outcome is None


def wish(service: Service, clock: Clock) -> TaskTry:
    (row,) = service.queue(clock())
    return asking.want(service, row.problem.id, "", "ann", clock()).key


@pytest.mark.parametrize("alone", [True, False])
def test_a_comparison_is_made_by_the_running_pass_before_any_log_or_without_one(
    service: Service, clock: Clock, alone: bool
) -> None:
    source = Script([failed(1)])
    make_pass(service, source, clock)
    key = wish(service, clock)
    good = replace(key, run_id="good")
    source.logs[good] = NO_LOG + whole_log().removeprefix(NO_LOG).splitlines(keepends=True)[0]
    source.read.clear()
    source.tries += [failed(n) for n in range(2, 30)]
    errands = lambda: comparing.errands(service, source, "prod", clock)  # noqa: E731
    make_pass(service, source, clock, errands=errands, serve=alone)
    found = asking.comparison(service, key.id)
    assert found is not None
    assert (found.status, found.good) == (ComparisonStatus.SHOWN, Good(good, START))
    kept = service.store.occurrence(key.id)
    assert kept is not None
    assert kept.kept is not None
    assert [line.text for line in kept.kept if line.number in found.new] == ["Task failed with exception"]
    assert good in source.read[:IN_FLIGHT]
    assert source.most <= IN_FLIGHT
    assert len(source.read) == (1 if alone else 29)
    assert asking.awaited(service, clock()) == set()


def test_a_comparison_that_trips_us_up_is_answered_so_and_logs_are_read(service: Service, clock: Clock) -> None:
    source = Script([failed(1)])
    make_pass(service, source, clock)
    key = wish(service, clock)
    source.logs[replace(key, run_id="good")] = TypeError("password=hunter2secret")
    source.tries.append(failed(2))
    report = make_pass(service, source, clock, errands=lambda: comparing.errands(service, source, "prod", clock))
    found = asking.comparison(service, key.id)
    assert found is not None
    assert found.status is ComparisonStatus.FAILED
    assert found.said.startswith("That is a fault of airtriage (TypeError)")
    assert (report.backlog.waiting, service.queue(clock())[0].total) == (0, 2)
