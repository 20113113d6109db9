"""What GitLab's webhook tells reaches the problem: over HTTP, past everything that networks do to deliveries."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from tests.gitlab_double import FakeGitLab
from tests.gitlab_state import Lag
from tests.mirroring import Clock, World
from triage import inbox
from triage.records import Problem, TriageState
from triage.webhooks import Secrets
from ui.hooks import Door

TOKEN, SIGNING = "made-up-token", "whsec_bWFkZS11cC1rZXktb2YtdGhlLWhvb2s="


@contextmanager
def _served(world: World) -> Iterator[str]:
    """Serve the door on loopback; the address of the webhook."""
    door = Door(world.store, [(world.fake.url, Secrets(TOKEN, SIGNING))], world.fake.now, None)
    app = Starlette(routes=[Route("/webhooks/gitlab", door.answer, methods=["POST"])])
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/webhooks/gitlab"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def world(gitlab: FakeGitLab) -> Iterator[World]:
    clock = Clock()
    gitlab.now = gitlab.state.clock = clock
    made = World(gitlab, clock)
    yield made
    made.store.close()


@pytest.fixture
def hooked(world: World) -> Iterator[World]:
    """A problem with an issue, in a project whose webhook leads here."""
    with _served(world) as url:
        world.fail()
        world.settle()
        project = world.fake.issues()[0].project
        world.fake.hooks.add(project, url, TOKEN, SIGNING)
        yield world


def _state(world: World) -> TriageState:
    return next(problem.state for problem, _ in world.store.records(Problem))


def _turn(world: World, event: str, who: str = "anna") -> None:
    issue = world.fake.issues()[0]
    world.clock.forward(seconds=1)
    world.fake.do(who, "PUT", f"/projects/{issue.project}/issues/{issue.iid}", {"state_event": event})


def test_a_close_that_is_told_is_heard_though_every_list_lags(hooked: World) -> None:
    _turn(hooked, "close")
    assert hooked.fake.hooks.deliver() == [200]
    hooked.fake.lag = Lag(writes=10)
    hooked.round()
    assert _state(hooked) is TriageState.RESOLVED
    assert inbox.waiting(hooked.store, hooked.clock()) == []


@pytest.mark.parametrize("order", ["as sent", "reversed", "shuffled"])
def test_deliveries_that_come_twice_and_in_any_order_end_where_gitlab_is(hooked: World, order: str) -> None:
    for event in ("close", "reopen", "close", "reopen"):
        _turn(hooked, event)
    assert set(hooked.fake.hooks.deliver(times=2, order=order, seed=3)) == {200}
    hooked.round()
    assert _state(hooked) is not TriageState.RESOLVED
    _turn(hooked, "close")
    assert set(hooked.fake.hooks.deliver(times=3, order=order)) == {200}
    hooked.round()
    assert _state(hooked) is TriageState.RESOLVED


def test_a_delivery_that_is_lost_is_made_good_by_the_next_round(hooked: World) -> None:
    _turn(hooked, "close")
    assert hooked.fake.hooks.deliver(lose=range(10)) == []
    hooked.round()
    assert _state(hooked) is TriageState.RESOLVED


def test_a_delivery_that_comes_late_changes_nothing_that_was_decided_since(hooked: World) -> None:
    _turn(hooked, "close")
    late = hooked.fake.hooks.waiting
    hooked.fake.hooks.waiting = []
    hooked.round()
    _turn(hooked, "reopen")
    hooked.round()
    assert _state(hooked) is not TriageState.RESOLVED
    hooked.fake.hooks.waiting = late
    assert hooked.fake.hooks.deliver() == [200]
    hooked.round()
    assert _state(hooked) is not TriageState.RESOLVED


def test_one_that_lay_around_for_longer_than_five_minutes_is_refused(hooked: World) -> None:
    _turn(hooked, "close")
    old = hooked.fake.hooks.waiting[0].headers(hooked.clock() - timedelta(minutes=6))
    assert hooked.fake.hooks.send(hooked.fake.hooks.waiting[0], headers=old) == 401
    assert inbox.waiting(hooked.store, hooked.clock()) == []


def test_what_our_own_user_did_is_not_looked_at(hooked: World) -> None:
    issue = hooked.fake.issues()[0]
    hooked.fake.do("bot", "POST", f"/projects/{issue.project}/issues/{issue.iid}/notes", {"body": "ours"})
    hooked.fake.hooks.deliver()
    hooked.fake.faults.log.clear()
    hooked.round()
    assert inbox.waiting(hooked.store, hooked.clock()) == []
    asked = [entry.request.path for entry in hooked.fake.faults.log]
    assert asked
    assert not [path for path in asked if path.endswith("/issues/1")]


def test_the_payloads_of_the_double_are_those_that_are_heard(hooked: World) -> None:
    issue = hooked.fake.issues()[0]
    hooked.fake.do("anna", "POST", f"/projects/{issue.project}/issues/{issue.iid}/notes", {"body": "seen"})
    assert hooked.fake.hooks.deliver() == [200]
    told = [(it.gitlab, it.project, str(it.kind), it.number) for it, _ in inbox.waiting(hooked.store, hooked.clock())]
    assert told == [(hooked.fake.url, issue.project, "note", issue.iid)]
