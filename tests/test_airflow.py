"""The Airflow adapter against a stand-in that shows real faults, recorded answers, and a real Airflow."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import airflow_client.client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import exceptions

from collector.airflow import Access, Airflow, pages, rows, v2
from collector.airflow.words import Endpoint, Words
from tests.airflow_fixture import FinishedAirflow
from tests.airflow_stub import HTML, LOG, Handler, Stub, event, instance, serving
from triage.errors import LogGone, LoginFailed, SourceError, SourceForbidden
from triage.model import CircumstanceKind, Occurrence, TaskTry, merge
from triage.service import Service
from triage.store import open_store

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SINCE = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
RUN = "manual__2026-11-22T08:00:00+00:00"
RECORDED = Path(__file__).parents[2] / "shared" / "airflow"


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving() as served:
        yield served


def airflow(stub: Stub, **more: Any) -> Airflow:
    access = Access(stub.url, "triage", "right", timeout=5, log_timeout=5)
    return Airflow("prod", replace(access, **more))


def key(task: str, attempt: int = 1, index: int = -1) -> TaskTry:
    return TaskTry("prod", "etl", RUN, task, index, attempt)


def found(source: Airflow, since: datetime = SINCE) -> dict[TaskTry, Occurrence]:
    """What a pass would hold after both listings."""
    held: dict[TaskTry, Occurrence] = {}
    for listing in (source.events(since, NOW), source.listed(since, NOW)):
        for page in listing:
            for occurrence in page:
                held[occurrence.key] = merge(held.get(occurrence.key, occurrence), occurrence)
    return held


def events(source: Airflow) -> list[Occurrence]:
    return [occurrence for page in source.events(SINCE, NOW) for occurrence in page]


# --- what failed


def test_a_final_failure_and_a_retried_one_are_told_apart(stub: Stub) -> None:
    stub.events = [event(1, "up_for_retry", "load"), event(9, "failed", "load", 2), event(10, "running", "other")]
    first, second = events(airflow(stub))
    assert (first.key, first.is_final) == (key("load"), False)
    assert (second.key, second.is_final) == (key("load", 2), True)
    assert second.ended_at == datetime(2026, 11, 22, 8, 0, 9, 250000, tzinfo=UTC)
    assert (second.seen_at, second.owner, second.circumstance) == (NOW, "data-platform", None)


def test_only_events_after_the_given_time_are_asked_for_with_its_zone(stub: Stub) -> None:
    stub.events = [event(1, "failed", "old"), event(9, "failed", "new")]
    since = datetime(2026, 11, 22, 8, 0, 5, tzinfo=UTC)
    assert [o.key.task_id for page in airflow(stub).events(since, NOW) for o in page] == ["new"]


def test_a_window_of_the_event_log_holds_its_end_and_not_its_beginning(stub: Stub) -> None:
    stub.events = [event(n, "failed", f"t{n}") for n in (4, 5, 9, 10)]
    since, until = (datetime(2026, 11, 22, 8, 0, second, 250000, tzinfo=UTC) for second in (4, 9))
    pages = airflow(stub).events(since, NOW, until)
    assert [o.key.task_id for page in pages for o in page] == ["t5", "t9"]


def test_a_window_of_the_list_holds_what_changed_in_it_and_the_tasks_it_halted_a_little_later(stub: Stub) -> None:
    since, until = (datetime(2026, 11, 22, hour, tzinfo=UTC) for hour in (8, 9))
    stub.downstream = {"in": ["behind"]}
    stub.instances = [
        instance("before", "failed", updated_at="2026-11-22T07:59:59.999999Z"),
        instance("in", "failed", updated_at="2026-11-22T09:00:00Z"),
        instance("behind", "upstream_failed", 0, updated_at="2026-11-22T09:00:05Z"),
        instance("after", "failed", updated_at="2026-11-22T09:00:00.000001Z"),
    ]
    (found_,) = [occurrence for page in airflow(stub).listed(since, NOW, until) for occurrence in page]
    assert (found_.key.task_id, found_.upstream_failed) == ("in", ("behind",))


def test_a_try_the_scheduler_ended_says_why_and_leaves_open_whether_it_was_final(stub: Stub) -> None:
    stub.events = [
        event(1, "heartbeat timeout", "zombie", owner=None, extra="Task did not emit heartbeat"),
        event(2, "failed", "zombie"),
        event(3, "state mismatch", "zombie", extra="Executor reported"),
    ]
    (occurrence,) = events(airflow(stub))
    assert occurrence.circumstance is not None
    assert occurrence.circumstance.kind is CircumstanceKind.HEARTBEAT_LOST
    assert occurrence.circumstance.text == "Task did not emit heartbeat"
    assert (occurrence.is_final, occurrence.owner) == (None, "data-platform")
    assert occurrence.ended_at == datetime(2026, 11, 22, 8, 0, 1, 250000, tzinfo=UTC)


def test_a_try_the_scheduler_ended_is_the_same_when_its_events_stand_on_several_pages(stub: Stub) -> None:
    stub.events = [event(1, "heartbeat timeout", "zombie"), event(2, "failed", "zombie")]
    stub.page_limit = 1
    assert [o.is_final for o in events(airflow(stub))] == [None, None]


@pytest.mark.parametrize(("retries", "is_final"), [(0, True), (1, False)])
def test_airflows_own_rule_says_whether_an_ended_try_was_final(stub: Stub, retries: int, is_final: bool) -> None:
    stub.events = [event(1, "state mismatch", "lost")]
    stub.tries[("lost", -1)] = [instance("lost", "failed", max_tries=retries)]
    source = airflow(stub)
    (occurrence,) = events(source)
    assert source.describe(occurrence).is_final is is_final


def test_a_task_marked_by_hand_is_dated_by_the_marking_and_names_who_did_it(stub: Stub) -> None:
    stub.events = [event(30, "patch_task_instance", "load", None, owner="ann", extra='{"new_state": "failed"}')]
    stub.instances = [instance("load", "failed")]
    occurrence = found(airflow(stub))[key("load")]
    assert occurrence.circumstance is not None
    assert (occurrence.circumstance.kind, occurrence.circumstance.by) == (CircumstanceKind.MARKED, "ann")
    assert occurrence.circumstance.at == occurrence.ended_at == datetime(2026, 11, 22, 8, 0, 30, 250000, tzinfo=UTC)
    assert occurrence.is_final is True


def test_marking_one_mapped_instance_leaves_the_others_their_own_failures(stub: Stub) -> None:
    extra = '{"map_index": "2", "new_state": "failed"}'
    stub.events = [
        event(5, "failed", "load", map_index=1),
        event(30, "patch_task_instance", "load", None, owner="ann", extra=extra),
    ]
    stub.instances = [instance("load", "failed", map_index=index) for index in (1, 2)]
    held = found(airflow(stub))
    assert held[key("load", index=1)].circumstance is None
    assert held[key("load", index=2)].circumstance is not None
    assert len(held) == 2


def test_a_marked_try_is_found_behind_a_later_one(stub: Stub) -> None:
    stub.events = [event(30, "patch_task_instance", "load", None, owner="ann", extra='{"new_state": "failed"}')]
    stub.instances = [instance("load", "success", 2)]
    stub.tries[("load", -1)] = [instance("load", "failed", 1), instance("load", "success", 2)]
    assert list(found(airflow(stub))) == [key("load")]


def test_marking_a_run_as_failed_covers_the_tasks_it_stopped(stub: Stub) -> None:
    stub.events = [event(30, "patch_dag_run", None, None, owner="ann", extra='{"state": "failed"}')]
    stub.instances = [instance("load", "failed"), instance("done", "success"), instance("none", "skipped", 0)]
    held = found(airflow(stub))
    assert list(held) == [key("load")]
    assert held[key("load")].circumstance is not None


@pytest.mark.parametrize(
    "extra", ['{"new_state": "success"}', '{"note": "x"}', "not json", None, "[]", '{"new_state": 1}']
)
def test_other_changes_by_hand_are_not_failures(stub: Stub, extra: str | None) -> None:
    stub.events = [event(30, "patch_task_instance", "load", None, extra=extra)]
    stub.instances = [instance("load", "success")]
    assert found(airflow(stub)) == {}


def test_the_list_adds_what_the_event_log_lost_and_what_stands_in_wait(stub: Stub) -> None:
    stub.instances = [instance("load", "failed"), instance("slow", "up_for_retry", max_tries=3)]
    held = found(airflow(stub))
    assert held[key("load")].is_final is True
    assert held[key("slow")].is_final is False
    assert (held[key("load")].host, held[key("load")].dag_version) == ("vm", 3)
    assert held[key("load")].bundle_url.startswith("https://gitlab.example.com/")


def test_tasks_that_never_ran_are_told_at_the_failure_that_kept_them(stub: Stub) -> None:
    stub.downstream = {"load": ["publish"], "publish": ["mail", "other"], "other": ["far"], "bad": []}
    stub.instances = [instance("load", "failed"), instance("bad", "failed")]
    stub.instances += [instance(task, "upstream_failed", 0) for task in ("publish", "mail", "far")]
    held = found(airflow(stub))
    assert set(held) == {key("load"), key("bad")}
    assert held[key("load")].upstream_failed == ("mail", "publish")
    assert held[key("bad")].upstream_failed == ()


def test_a_workers_clock_ahead_of_the_servers_dates_no_failure_into_the_future(stub: Stub) -> None:
    stub.instances = [
        instance("load", "failed", end_date="2099-01-01T00:00:00Z"),
        instance("b", "failed", end_date=None),
    ]
    source = airflow(stub)
    ended = [occurrence.ended_at for occurrence in found(source).values()]
    assert len(ended) == 2
    assert all(at <= source.now() for at in ended)


def test_listing_twice_says_the_same(stub: Stub) -> None:
    stub.events = [event(n, "failed", f"t{n}") for n in range(1, 30)]
    stub.instances = [instance(f"t{n}", "failed") for n in range(1, 30)]
    source = airflow(stub)
    assert found(source) == found(source)


CLEARED = '{"dry_run": false, "task_ids": ["wait"], "only_failed": false}'


def test_a_try_that_was_cleared_before_it_ended_is_found_behind_the_clearing(stub: Stub) -> None:
    stub.events = [
        event(5, "success", "fine"),
        event(6, "failed", "broken"),
        event(30, "post_clear_task_instances", None, None, owner="ann", extra=CLEARED),
        event(40, "success", "broken", 2),
    ]
    waits = instance("wait", None, max_tries=1)
    stub.instances = [waits, instance("fine", "success", max_tries=1), instance("broken", "success", 2, max_tries=1)]
    stub.tries[("wait", -1)] = [instance("wait", "failed"), waits]
    source = airflow(stub)
    assert [o.key for o in events(source)] == [key("broken"), key("wait")]
    assert [path for path in stub.asked if path.endswith("/tries")] == [
        "/dags/etl/dagRuns/manual__2026-11-22T08%3A00%3A00%2B00%3A00/taskInstances/wait/tries"
    ]
    assert [o.key for o in events(source)] == [key("broken")]  # once is enough


@pytest.mark.parametrize("extra", ['{"dry_run": true}', "{}", "[]", "x", None])
def test_a_question_what_a_clearing_would_do_costs_nothing(stub: Stub, extra: str | None) -> None:
    stub.events = [event(30, "post_clear_task_instances", None, None, extra=extra)]
    stub.instances = [instance("wait", None, max_tries=1)]
    assert events(airflow(stub)) == []
    assert stub.asked["/eventLogs"] == 1
    assert stub.asked[f"/dags/etl/dagRuns/{RUN}/taskInstances"] == 0


def test_a_clearing_just_made_is_looked_behind_again(stub: Stub) -> None:
    now = datetime.now(UTC).isoformat()
    stub.events = [event(30, "clear_dag_run", None, None, when=now, extra='{"dry_run": false}')]
    source = airflow(stub)
    assert events(source) == []
    waits = instance("wait", None, max_tries=1)
    stub.instances, stub.tries[("wait", -1)] = [waits], [instance("wait", "failed"), waits]
    assert [o.key for o in events(source)] == [key("wait")]


# --- pages


@pytest.mark.parametrize("has_cursor", [True, False])
def test_no_row_is_lost_where_the_server_caps_the_page_or_knows_no_cursor(stub: Stub, has_cursor: bool) -> None:
    stub.page_limit, stub.has_cursor = 7, has_cursor
    stub.events = [event(n, "failed", f"e{n}") for n in range(1, 24)]
    stub.instances = [instance(f"i{n}", "failed") for n in range(1, 24)]
    assert len(found(airflow(stub))) == 46


def test_a_listing_without_failures_costs_one_question(stub: Stub) -> None:
    assert events(airflow(stub)) == []
    assert stub.asked["/api/v2/eventLogs"] == 0
    assert stub.asked["/eventLogs"] == 1


def test_a_server_that_repeats_its_page_is_not_followed_for_ever(stub: Stub) -> None:
    page = {"event_logs": [event(1, "failed", "load")], "total_entries": 1000}
    stub.fault = lambda handler, path: path == "/eventLogs" and handler.send(200, page)
    with pytest.raises(SourceError, match="shape"):
        events(airflow(stub))


def test_cursors_that_lead_in_a_circle_are_not_followed_for_ever(stub: Stub) -> None:
    def circle(handler: Handler, path: str) -> bool:
        at = {"": "a", "a": "b", "b": "a"}[parse_qs(urlsplit(handler.path).query, keep_blank_values=True)["cursor"][0]]
        page = {"task_instances": [instance(f"before {at}", "failed")], "next_cursor": at, "total_entries": 9}
        return handler.send(200, page)

    stub.fault = lambda handler, path: path == "/dags/~/dagRuns/~/taskInstances" and circle(handler, path)
    with pytest.raises(SourceError, match=r"taskInstances at .*: gives a list that does not end"):
        list(airflow(stub).listed(SINCE, NOW))


def test_a_list_without_an_end_is_left_and_what_came_of_it_kept(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    def more(handler: Handler, path: str) -> bool:
        n = stub.asked[path]
        return handler.send(200, {"event_logs": [event(n, "failed", f"t{n}")], "total_entries": None})

    stub.fault = lambda handler, path: path == "/eventLogs" and more(handler, path)
    monkeypatch.setattr(pages, "_MOST", 20)
    listing = airflow(stub).events(SINCE, NOW)
    assert [occurrence.key for occurrence in next(listing)] == [key("t1")]
    with pytest.raises(SourceError, match=r"eventLogs at .*: gives a list that does not end"):
        list(listing)
    assert stub.asked["/eventLogs"] == 20


@pytest.mark.parametrize("answer", [{}, {"event_logs": None}, {"event_logs": {}}, [1], "x", None])
def test_an_answer_of_another_shape_is_a_sentence(stub: Stub, answer: object) -> None:
    stub.fault = lambda handler, path: path == "/eventLogs" and handler.send(200, answer)
    with pytest.raises(SourceError, match="prod: eventLogs at http"):
        events(airflow(stub))


def test_an_answer_of_another_shape_says_how_it_begins_without_its_secrets(stub: Stub) -> None:
    body = {"events": [{"extra": "password=hunter2secret"}] * 500}
    stub.fault = lambda handler, path: path == "/eventLogs" and handler.send(200, body)
    with pytest.raises(SourceError, match="shape that is not known") as caught:
        events(airflow(stub))
    assert 'It begins: {"events": [{"extra": ' in caught.value.fix
    assert "hunter2secret" not in caught.value.fix
    assert len(caught.value.fix) < 500


def test_rows_that_name_no_try_are_counted_said_and_kept_raw_while_the_rest_goes_on(
    stub: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    odd = event(1, "failed", None, extra="password=hunter2secret")
    stub.events = [odd, event(2, "failed", "load", None), event(3, "failed", "load", when=None)]
    stub.instances = [instance("load", "failed", try_number="1")]
    source = airflow(stub)
    assert list(found(source)) == [key("load")]
    of_events, of_instances = source.oddities()
    assert "eventLogs" in of_events.what
    assert "2 rows tell of no try" in of_events.what
    assert '"event_log_id": 1, "when": "2026-11-22T08:00:01.250000Z"' in of_events.fix
    assert "hunter2secret" not in of_events.fix + caplog.text
    assert "taskInstances" in of_instances.what
    assert "1 row tells of no try" in of_instances.what
    assert len(of_instances.fix) < 1000
    assert source.oddities() == []
    assert [record.name for record in caplog.records] == ["collector.airflow.oddities"] * 2


def test_rows_that_leave_a_list_read_by_offset_take_no_other_row_with_them(stub: Stub) -> None:
    stub.has_cursor = False
    stub.instances = [instance(f"i{n}", "failed") for n in range(1, 331)]
    gone = stub.instances[10:40]

    def leave(handler: Handler, path: str) -> bool:
        if stub.asked["/dags/~/dagRuns/~/taskInstances"] == 3:  # the second page of failures is asked for
            stub.instances = [row for row in stub.instances if row not in gone]
        return False

    stub.fault = leave
    names = {o.key.task_id for page in airflow(stub).listed(SINCE, NOW) for o in page}
    assert names == {f"i{n}" for n in range(1, 331)}


def test_a_list_that_shrinks_below_what_was_read_ends(stub: Stub) -> None:
    stub.has_cursor = False
    stub.instances = [instance(f"i{n}", "failed") for n in range(1, 151)]

    def leave(handler: Handler, path: str) -> bool:
        if stub.asked["/dags/~/dagRuns/~/taskInstances"] == 3:
            stub.instances = []
        return False

    stub.fault = leave
    assert len([o for page in airflow(stub).listed(SINCE, NOW) for o in page]) == 100


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([*instance("t", "failed"), *event(1, "failed", "t")]), ANYTHING)
def test_no_field_of_any_shape_breaks_a_parser(name: str, value: object) -> None:
    row = {**instance("t", "failed"), **event(1, "failed", "t"), name: value}
    rows.key("prod", row)
    rows.circumstance(row)
    marking = rows.marking({**row, "event": "patch_task_instance", "extra": '{"new_state": "failed"}', name: value})
    if marking:
        marking.covers(row)
    occurrence = rows.described(Occurrence(key("t"), NOW, NOW), row)
    occurrence = rows.owned(occurrence, {"owners": value, "tags": value})
    assert "\0" not in occurrence.host
    rows.component("scheduler", {"status": value, "latest_scheduler_heartbeat": value})
    rows.import_failure({"filename": value, "stack_trace": value, "timestamp": value})
    rows.pool_load({"name": value, "slots": value})


BODIES = ({"state": "failed", "new_state": "failed", "dry_run": False}, {"confirmed": "true"})


@pytest.mark.parametrize("api", ["/api/v2", "/api/v1"])
@pytest.mark.parametrize(
    "odd",
    [
        {"when": "0001-01-01T00:00:00Z"},
        {"when": "9999-12-31T23:59:59Z"},
        {"try_number": 10**30},
        {"map_index": -(10**30)},
        {"extra": "9" * 5000},
    ],
    ids=["the first day", "the last day", "a try beyond 64 bits", "an index beyond 64 bits", "an index of 5000 digits"],
)
def test_numbers_and_times_that_no_airflow_means_stop_nothing(stub: Stub, api: str, odd: dict[str, Any]) -> None:
    stub.api, stub.version = api, "3.3.2" if api == "/api/v2" else "2.11.0"
    index = odd.get("extra", "0")
    names = ("failed", "patch_task_instance", "patch_dag_run", "post_clear_task_instances", "clear_dag_run", "clear")
    stub.events = [
        event(n, name, "t", **{**odd, "extra": json.dumps({**body, "map_index": index})})
        for n, (name, body) in enumerate(itertools.product(names, BODIES), 1)
    ]
    stub.events.append(event(59, "failed", "load"))
    stub.instances = [instance("t", "failed", **{**odd, "end_date": odd.get("when")}), instance("load", "failed")]
    told = {"event_logs": stub.events, "total_entries": len(stub.events)}  # whatever time is asked for
    stub.fault = lambda handler, path: path == "/eventLogs" and handler.send(200, told)
    service = Service(open_store("sqlite://"))
    source = airflow(stub)
    for listing in (source.events, source.listed):
        for page in listing(SINCE, NOW):
            service.record(page)
            service.settle(NOW)
    assert service.store.occurrence(key("load").id)


def test_texts_of_megabytes_are_kept_by_their_ends_and_an_id_of_megabytes_is_no_id() -> None:
    long = "password=hunter2secret " * 500_000
    assert rows.key("prod", event(1, "failed", long)) is None
    stated = rows.circumstance(event(1, "state mismatch", "t", extra=long))
    described = rows.described(Occurrence(key("t"), NOW, NOW), instance("t", "failed", hostname=long))
    trace = rows.import_failure({"filename": "a.py", "stack_trace": f"Traceback\n{long}\nKeyError: 'x'"}).trace
    assert stated is not None
    for told in (stated.text, described.host, trace):
        assert 0 < len(told) <= 10_000
    assert "hunter2secret" not in stated.text + trace
    assert trace.startswith("Traceback")
    assert trace.endswith("KeyError: 'x'")


def test_the_label_of_a_mapped_task_and_the_address_of_its_bundle_are_redacted() -> None:
    row = {
        "rendered_map_index": "shop 7, password=hunter2",
        "dag_version": {"bundle_url": "https://bot:glpat" + "-abcDEF123456_7890xyz@git.example.com/a/tree/1"},
    }
    described = rows.described(Occurrence(key("t"), NOW, NOW), row)
    assert described.map_label == "shop 7, password=***"
    assert described.bundle_url == "https://bot:***@git.example.com/a/tree/1"


# --- one try


def test_describe_fills_what_the_event_log_does_not_say(stub: Stub) -> None:
    stub.events = [event(9, "failed", "load", map_index=2, owner=None)]
    stub.tries[("load", 2)] = [instance("load", "failed", map_index=2, end_date="2026-11-22T07:00:00Z")]
    stub.instances = [instance("load", "failed", map_index=2, rendered_map_index="customer-2")]
    source = airflow(stub)
    (occurrence,) = events(source)
    described = source.describe(occurrence)
    assert described.started_at == datetime(2026, 11, 22, 8, 0, 0, 500000, tzinfo=UTC)
    assert described.ended_at == occurrence.ended_at
    assert (described.operator, described.host, described.pool, described.queue) == (
        "_PythonDecoratedOperator",
        "vm",
        "default_pool",
        "default",
    )
    assert (described.map_label, described.owner, described.tags) == ("customer-2", "data-platform", ("team:x",))
    assert source.describe(described) == described


def test_describe_leaves_a_try_that_airflow_lost_as_it_is(stub: Stub) -> None:
    stub.dags = {}
    occurrence = Occurrence(key("lost"), NOW, NOW, is_final=None)
    assert airflow(stub).describe(occurrence) == occurrence


def test_a_dag_is_asked_for_once(stub: Stub) -> None:
    source = airflow(stub)
    for task in "abc":
        source.describe(Occurrence(key(task), NOW, NOW))
    assert stub.asked["/dags/etl"] == 1


# --- logs


def test_a_log_is_streamed_whole(stub: Stub) -> None:
    stub.logs[("load", -1, 2)] = LOG + b'{"event": "x\xe2\x80\xa8y"}\n' * 50_000
    chunks = list(airflow(stub).read_log(key("load", 2)))
    assert b"".join(chunks) == stub.logs[("load", -1, 2)]
    assert max(map(len, chunks)) <= 65536
    assert not any("map_index" in query for path, query in stub.queries if "/logs/" in path)


def test_a_mapped_log_is_asked_for_with_its_index(stub: Stub) -> None:
    stub.logs[("load", 3, 1)] = LOG
    assert b"".join(airflow(stub).read_log(key("load", index=3))) == LOG


@pytest.mark.parametrize("run", ["gone", "a/b", "äöü #?%20+:" + "x" * 230])
def test_a_try_that_airflow_does_not_know_is_gone(stub: Stub, run: str) -> None:
    with pytest.raises(LogGone, match="prod: Airflow knows no such try"):
        list(airflow(stub).read_log(replace(key("load"), run_id=run)))


def gateway_404(handler: Handler, path: str) -> bool:
    return handler.send(404, {"message": "no Route matched"})


def reset(handler: Handler, path: str) -> bool:
    handler.close_connection = True
    return True


TROUBLE: dict[str, tuple[Callable[[Handler, str], bool], str]] = {
    "500": (lambda handler, path: handler.send(500, b"Internal Server Error", "text/plain"), "500"),
    "502": (lambda handler, path: handler.send(502, HTML, "text/html"), "502"),
    "empty": (lambda handler, path: handler.send(200, b"", "application/x-ndjson"), "without a single byte"),
    "half": (lambda handler, path: handler.half("application/x-ndjson"), "broke off"),
    "web page": (lambda handler, path: handler.send(200, HTML, "text/html"), "not Airflow's API"),
    "web page 404": (lambda handler, path: handler.send(404, HTML, "text/html"), "not Airflow's API"),
    "gateway 404": (gateway_404, "no such endpoint"),
    "reset": (reset, "broke off"),
    "not gzip": (
        lambda handler, path: handler.send(200, b"x" * 99, "application/x-NDJSON", Content_Encoding="gzip"),
        "not Airflow's API|unpacked",
    ),
}


@pytest.mark.parametrize("kind", TROUBLE)
def test_trouble_with_a_log_is_not_a_log_that_is_gone(stub: Stub, kind: str) -> None:
    fault, said = TROUBLE[kind]
    stub.fault = lambda handler, path: "/logs/" in path and fault(handler, path)
    with pytest.raises(SourceError, match=said) as caught:
        list(airflow(stub).read_log(key("load")))
    assert not isinstance(caught.value, LogGone)
    assert str(caught.value).startswith(f"prod: logs at {stub.url}: ")
    assert caught.value.fix


def test_a_log_left_in_the_middle_harms_nothing(stub: Stub) -> None:
    stub.logs[("load", -1, 1)] = LOG * 20_000
    source = airflow(stub)
    log = source.read_log(key("load"))
    next(log)
    log.close()  # type: ignore[attr-defined]
    assert b"".join(source.read_log(key("load"))) == LOG * 20_000


def test_several_threads_read_logs_at_once_over_one_log_in(stub: Stub) -> None:
    for n in range(12):
        stub.logs[(f"t{n}", -1, 1)] = LOG + str(n).encode() * 1000
    source = airflow(stub)
    read: dict[int, bytes] = {}

    def work(n: int) -> None:
        read[n] = b"".join(source.read_log(key(f"t{n}")))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert read == {n: stub.logs[(f"t{n}", -1, 1)] for n in range(12)}
    assert stub.issued == 1


# --- the account


def test_an_expired_token_is_renewed_once_and_the_question_asked_again(stub: Stub) -> None:
    source = airflow(stub)
    assert source.pools()
    stub.issued += 1  # the server no longer takes the first one
    assert source.pools()
    assert stub.asked["/auth/token"] == 2


def test_a_token_signed_with_another_secret_is_renewed(stub: Stub) -> None:
    refusals = iter([True])
    stub.fault = lambda handler, path: (
        path == "/pools" and next(refusals, False) and handler.send(403, {"detail": "Invalid JWT token"})
    )
    assert airflow(stub).pools()
    assert stub.asked["/auth/token"] == 2


def test_a_token_that_is_never_taken_ends_in_a_sentence(stub: Stub) -> None:
    stub.fault = lambda handler, path: path == "/pools" and handler.send(401, {"detail": "Token Expired"})
    source = airflow(stub)
    for _ in range(3):
        with pytest.raises(SourceError, match=r"does not take the token that it gave \(Token Expired \(401\)\)"):
            source.pools()
    assert stub.asked["/auth/token"] == 2


def test_a_wrong_password_is_not_tried_again_at_once(stub: Stub) -> None:
    source = airflow(stub, password="wrong")
    for _ in range(3):
        with pytest.raises(LoginFailed, match="does not let triage in"):
            source.pools()
    assert stub.asked["/auth/token"] == 1


def test_a_token_that_expires_between_two_pages_loses_no_row(stub: Stub) -> None:
    stub.events = [event(n, "failed", f"e{n}") for n in range(1, 24)]
    stub.page_limit = 5

    def expire(handler: Handler, path: str) -> bool:
        if stub.asked["/eventLogs"] in (2, 4) and stub.issued < stub.asked["/eventLogs"]:
            stub.issued += 1  # what was given is not taken any more
        return False

    stub.fault = expire
    assert [o.key.task_id for o in events(airflow(stub))] == [f"e{n}" for n in range(1, 24)]
    assert stub.asked["/auth/token"] >= 2


def test_one_log_in_serves_all_threads_whose_token_was_refused(stub: Stub) -> None:
    source = airflow(stub)
    source.pools()
    stub.issued += 1
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda _: source.pools(), range(8)))
    assert stub.asked["/auth/token"] == 2


def test_more_headers_go_with_every_request_and_no_cookie_is_kept(stub: Stub) -> None:
    seen = []

    def note(handler: Handler, path: str) -> bool:
        seen.append((path, handler.headers["X-Key"], handler.headers["User-Agent"], handler.headers["Cookie"]))
        return path == "/version" and handler.send(200, {"version": "3.3.2"}, Set_Cookie="session=abc")

    stub.fault = note
    source = airflow(stub, headers={"X-Key": "k"})
    source.version()
    source.pools()
    assert sorted(set(seen)) == [(path, "k", "airtriage", None) for path in ("/auth/token", "/pools", "/version")]


def test_a_token_is_renewed_before_its_time_is_over(stub: Stub) -> None:
    stub.token_life = 1
    source = airflow(stub)
    source.pools()
    time.sleep(0.9)
    source.pools()
    assert stub.asked["/auth/token"] == 2
    assert stub.asked["/pools"] == 2


def test_a_given_token_is_used_without_a_log_in(stub: Stub) -> None:
    assert airflow(stub, username="", password="", token=stub.token()).pools()
    assert stub.asked["/auth/token"] == 0


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", r"does not know us: Not authenticated \(401\)\. Set username of \[deployments.prod\]"),
        ("stale", r"does not take our token: Token Expired \(401\)\. Set token of \[deployments.prod\] to a new one"),
        ("e30.eyJleHAiOjE3NjcyMjU2MDB9.sig", r"\(401\); it expired at 2026-01-01 00:00 UTC\. Set token of"),
    ],
)
def test_without_a_valid_token_or_account_the_sentence_says_what_to_set(stub: Stub, token: str, says: str) -> None:
    with pytest.raises(SourceError, match=says) as caught:
        airflow(stub, username="", password="", token=token).pools()
    assert "eyJ" not in str(caught.value)


def test_a_given_token_of_another_secret_is_no_missing_permission(stub: Stub) -> None:
    stub.fault = lambda handler, path: handler.send(403, {"detail": "Invalid JWT token"})
    with pytest.raises(SourceError, match=r"Invalid JWT token \(403\)") as caught:
        airflow(stub, username="", token="old").pools()
    assert not isinstance(caught.value, SourceForbidden)


def test_a_wrong_password_is_said_without_showing_it(stub: Stub) -> None:
    source = airflow(stub, password="hunter2-wrong")
    with pytest.raises(SourceError, match="does not let triage in") as caught:
        source.pools()
    assert "hunter2" not in str(caught.value)


def test_access_never_shows_its_secrets() -> None:
    shown = repr(Access("http://a", "triage", "hunter2", "eyJtoken", ("print", "sekret"), {"X-Key": "k3y"}))
    assert not [secret for secret in ("hunter2", "eyJtoken", "sekret", "k3y") if secret in shown]


@pytest.mark.parametrize(
    ("path", "ask", "permission"),
    [
        ("/eventLogs", lambda source: list(source.events(SINCE, NOW)), "Audit Logs"),
        ("/dags/~/dagRuns/~/taskInstances", lambda source: list(source.listed(SINCE, NOW)), "Task Instances"),
        ("/importErrors", lambda source: source.import_failures(), "ImportError"),
        ("/pools", lambda source: source.pools(), "Pools"),
    ],
)
def test_a_missing_permission_is_named(
    stub: Stub, path: str, ask: Callable[[Airflow], object], permission: str
) -> None:
    stub.fault = lambda handler, asked: asked == path and handler.send(403, {"detail": "Forbidden"})
    with pytest.raises(SourceForbidden) as caught:
        ask(airflow(stub))
    command = caught.value.fix.partition("(airflow roles add-perms ROLE -a can_read -r ")[2]
    assert command.partition(")")[0].endswith(f'"{permission}"')
    assert "Until then " in caught.value.fix
    assert stub.asked["/auth/token"] == 1


# --- the address


def test_version_and_health_need_no_account(stub: Stub) -> None:
    source = airflow(stub, username="", password="")
    assert source.version() == "3.3.2"
    assert [(part.name, part.status) for part in source.health()] == [
        ("metadatabase", "healthy"),
        ("scheduler", "healthy"),
        ("triggerer", "never ran"),
    ]


@pytest.mark.parametrize("version", ["1.10.15", "2.9.3"])
def test_an_airflow_too_old_is_named(stub: Stub, version: str) -> None:
    stub.version = version
    with pytest.raises(SourceError, match=f"runs Airflow {version}.*reads Airflow 2.10, 2.11 and 3"):
        airflow(stub).version()


def test_an_airflow_of_an_unknown_major_is_refused_in_words(stub: Stub) -> None:
    stub.version = "4.0.0"
    with pytest.raises(SourceError, match=r"runs Airflow 4.0.0, which .* Look for a newer airtriage"):
        airflow(stub).version()


def test_an_airflow_is_detected_once_and_again_after_an_upgrade(stub: Stub) -> None:
    source = airflow(stub)
    assert source.pools()
    assert source.health()
    assert stub.asked["/version"] == 1
    stub.version = "4.0.0"
    with pytest.raises(SourceError, match=r"runs Airflow 4.0.0"):
        source.version()


@pytest.mark.parametrize("version", ["3.2.0", "3.3.0b1", "3.99", "main"])
def test_newer_airflows_are_taken(stub: Stub, version: str) -> None:
    stub.version = version
    assert airflow(stub).version() == version


@pytest.mark.parametrize(
    ("url", "said", "fix"),
    [
        ("http://127.0.0.1:9", "connection refused", "url of"),
        ("http://no-such-host.invalid", "its name is not known", "DNS"),
        ("not an address", "not an http or https address", "Set url of"),
        ("", "not an http or https address", "Set url of"),
    ],
)
def test_an_address_that_cannot_be_reached_is_a_sentence_with_the_fix(url: str, said: str, fix: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        Airflow("prod", Access(url)).version()
    assert fix in caught.value.fix
    assert caught.value.what.startswith("prod: ")


def test_https_to_a_plain_port_says_so(stub: Stub) -> None:
    with pytest.raises(SourceError, match="does not speak TLS"):
        airflow(stub, url=stub.url.replace("http", "https")).version()


def test_a_missing_file_of_certificates_is_named(stub: Stub) -> None:
    with pytest.raises(SourceError, match=r"/no/such\.pem"):
        airflow(stub, ca_file="/no/such.pem").version()


@pytest.mark.parametrize(
    ("reason", "said", "fix"),
    [
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate",
            "its certificate is not trusted",
            "Set ca_file of",
        ),
        ("[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert", "no secure connection", "Check url of"),
    ],
)
def test_trouble_with_tls_says_what_to_set(reason: str, said: str, fix: str) -> None:
    exc = exceptions.MaxRetryError(None, "/", exceptions.SSLError(reason))  # type: ignore[arg-type]
    error = Words("prod", "https://a").broken(v2.VERSION, exc, 3)
    assert said in error.what
    assert error.fix.startswith(fix)


def trickle(handler: Handler, kind: str) -> bool:
    """Promise a body and send a byte of it now and then, for longer than any test waits."""
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    with suppress(OSError):
        for _ in range(600):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.1)
    handler.close_connection = True
    return True


def test_an_answer_that_trickles_is_left_after_the_time_out(stub: Stub) -> None:
    stub.fault = lambda handler, path: trickle(handler, "application/json")
    with pytest.raises(SourceError, match=r"no answer within 0.5 s"):
        airflow(stub, timeout=0.5).version()


def test_headers_that_trickle_are_left_after_the_time_out(stub: Stub) -> None:
    def slow(handler: Handler, path: str) -> bool:
        with suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for n in range(600):
                handler.wfile.write(f"X-Wait-{n}: still\r\n".encode())
                time.sleep(0.1)
        handler.close_connection = True
        return True

    stub.fault = slow
    with pytest.raises(SourceError, match=r"no answer within 0.5 s"):
        airflow(stub, timeout=0.5).version()


def test_a_log_that_trickles_is_left_after_the_time_out(stub: Stub) -> None:
    stub.fault = lambda handler, path: "/logs/" in path and trickle(handler, "application/x-ndjson")
    with pytest.raises(SourceError, match=r"no answer within 0.5 s"):
        list(airflow(stub, log_timeout=0.5).read_log(TaskTry("prod", "etl", "r", "load")))


def test_a_server_that_hangs_is_left_after_the_time_out(stub: Stub) -> None:
    release = threading.Event()
    stub.fault = lambda handler, path: path == "/api/v2/version" or (path == "/version" and not release.wait(10))
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"no answer within 0.3 s"):
        airflow(stub, timeout=0.3).version()
    assert time.monotonic() - began < 5
    release.set()
    assert stub.asked["/version"] == 1


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (200, HTML, "text/html", "not Airflow's API"),
        (404, HTML, "text/html", "not Airflow's API"),
        (404, {"detail": "Not Found"}, "application/json", "no such endpoint"),
        (500, b"Internal Server Error", "text/plain", "500 Internal Server Error"),
        (502, HTML, "text/html", "502 Bad Gateway"),
        (422, {"detail": [{"msg": "odd"}]}, "application/json", "422"),
        (200, {}, "application/json", "no such endpoint"),
    ],
)
def test_what_is_no_airflow_or_a_sick_one_is_said(stub: Stub, status: int, body: object, kind: str, said: str) -> None:
    stub.fault = lambda handler, path: path == "/version" and handler.send(status, body, kind)
    with pytest.raises(SourceError, match=said):
        airflow(stub).version()


def test_a_connection_that_is_closed_instead_of_answered_is_replaced_once(stub: Stub) -> None:
    closes = 1

    def close(handler: Handler, path: str) -> bool:
        handler.close_connection = path == "/version" and stub.asked[path] <= closes
        return handler.close_connection

    stub.fault = close
    assert airflow(stub).version() == "3.3.2"
    assert stub.asked["/version"] == 2
    closes = 9
    with pytest.raises(SourceError, match="broke off"):
        airflow(stub).version()
    assert stub.asked["/version"] == 4


def test_half_an_answer_is_said(stub: Stub) -> None:
    stub.fault = lambda handler, path: path == "/eventLogs" and handler.half()
    with pytest.raises(SourceError, match="broke off"):
        events(airflow(stub))


def test_a_redirect_names_the_address_to_set(stub: Stub) -> None:
    stub.fault = lambda handler, path: handler.send(308, b"", Location="https://airflow.example.com/api/v2/version?a=1")
    with pytest.raises(SourceError, match="only redirects") as caught:
        airflow(stub).version()
    assert "https://airflow.example.com" in caught.value.fix


def test_the_servers_clock_is_read_from_its_answers(stub: Stub) -> None:
    stub.clock_ahead = 3600
    source = airflow(stub)
    assert source.offset == 0
    ahead = source.now() - datetime.now(UTC)
    assert timedelta(seconds=3597) < ahead <= timedelta(seconds=3601)
    assert source.offset == pytest.approx(3600, abs=3)
    stub.clock_ahead = -3600
    source.version()
    assert source.offset == pytest.approx(-3600, abs=3)


# --- health


def test_import_failures_come_redacted_and_pools_with_their_load(stub: Stub) -> None:
    row = {"filename": "a.py", "bundle_name": "b", "timestamp": "2026-11-22T08:00:00Z"}
    stub.imports = [{**row, "stack_trace": "RuntimeError: password=hunter2secret"}]
    (failure,) = airflow(stub).import_failures()
    assert (failure.file, failure.bundle, failure.at) == ("a.py", "b", datetime(2026, 11, 22, 8, tzinfo=UTC))
    assert "hunter2secret" not in failure.trace
    (pool,) = airflow(stub).pools()
    assert (pool.name, pool.slots, pool.running, pool.queued, pool.scheduled) == ("tiny", 2, 1, 3, 4)


def test_the_client_is_not_imported_before_the_first_question() -> None:
    code = (
        "import sys; from collector.airflow import Access, Airflow; Airflow('prod', Access('http://a'));"
        "sys.exit('airflow_client' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_question_exists_in_the_client() -> None:
    asked = [value for value in vars(v2).values() if isinstance(value, Endpoint)]
    assert len(asked) >= 14
    for endpoint in asked:
        api = getattr(airflow_client.client, endpoint.api)
        assert callable(getattr(api, f"{endpoint.method}_without_preload_content"))


# --- recorded and real answers


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded answers of Airflow 3.3.2 are not beside the repository")
def test_recorded_answers_of_airflow_are_read_in_full() -> None:
    body = json.loads((RECORDED / "eventLogs_failed.json").read_text())["body"]
    assert all(rows.key("prod", row) and rows.time(row["when"]) for row in body["event_logs"])
    seen = 0
    for path in RECORDED.glob("taskInstances_*.json"):
        recorded = json.loads(path.read_text())
        for row in recorded.get("body", recorded)["task_instances"]:
            its = rows.key("prod", row)
            assert its is not None
            described = rows.described(Occurrence(its, NOW, NOW), row)
            assert described.started_at
            assert (described.operator, described.dag_version) == (
                row["operator"],
                row["dag_version"]["version_number"],
            )
            seen += 1
    assert seen > 50
    for row in json.loads((RECORDED / "importErrors.json").read_text())["body"]["import_errors"]:
        assert rows.import_failure(row).trace.endswith("\n")


@pytest.mark.airflow
def test_every_failed_try_of_a_real_airflow_is_found_and_no_other(airflow: FinishedAirflow) -> None:
    source = Airflow("prod", Access(airflow.url, airflow.username, airflow.password))
    assert source.version().startswith("3.")
    held = found(source, datetime(2020, 1, 1, tzinfo=UTC))
    truth = {TaskTry("prod", *failed) for failed in airflow.truth()}
    assert set(held) == truth
    assert len(truth) >= 50
    for occurrence in held.values():
        described = source.describe(occurrence)
        assert described.is_final is not None
        assert described.owner


@pytest.mark.airflow
def test_logs_of_a_real_airflow_are_ndjson_from_first_to_last_line(airflow: FinishedAirflow) -> None:
    source = Airflow("prod", Access(airflow.url, airflow.username, airflow.password))
    its = next(occurrence.key for page in source.listed(datetime(2020, 1, 1, tzinfo=UTC), NOW) for occurrence in page)
    lines = b"".join(source.read_log(its)).rstrip(b"\n").split(b"\n")
    assert json.loads(lines[0])["event"] == "::group::Log message source details"
    assert all("event" in json.loads(line) for line in lines)
    with pytest.raises(LogGone):
        list(source.read_log(replace(its, try_number=99)))
