"""What people ask for at a problem's GitLab card: an issue now, a link, a parting; saved at once, done by the next round."""

# ruff: noqa: F811 -- the fixture `bench` is another file's

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from collector.tasks import Collector
from tests import made_up
from tests.gitlab_double import FakeGitLab
from tests.gitlab_faults import refusal
from tests.mirroring import Clock, World
from tests.test_tracking import Bench, bench  # noqa: F401 -- a fixture
from triage import linking
from triage.errors import InputError
from triage.judging import Judging
from triage.mirrors import LinkWish, Mirror, MirrorStatus
from triage.policy import Route, Rules, Threshold
from triage.queue import QueueRow
from triage.service import Service
from triage.settings import Settings
from ui.front.desk import Desk, open_desk

KEYERROR = "KeyError"


@pytest.fixture
def world(gitlab: FakeGitLab) -> Iterator[World]:
    clock = Clock()
    gitlab.now = gitlab.state.clock = clock
    made = World(gitlab, clock, rules=Rules(gitlab.url, "data/dags", Threshold(100), causes=("nothing",)))
    yield made
    made.store.close()


def _row(world: World) -> QueueRow:
    return world.service.queue(world.clock())[0]


def _judging(world: World, *routes: Route) -> Judging:
    assert world.rules is not None
    return Judging(world.service, {"prod": replace(world.rules, routes=routes)})


def test_an_issue_that_a_person_asks_for_is_opened_whatever_the_policy_waits_for(world: World) -> None:
    problem = world.fail()
    world.settle()
    assert world.fake.issues() == []
    linking.ask(world.service, _judging(world), _row(world), "anna", world.clock())
    world.settle()
    assert len(world.fake.issues()) == 1
    assert world.mirror(problem).status is MirrorStatus.LINKED
    entry = next(one for one in world.service.history(_row(world).problem) if "linked" in one.what)
    assert entry.who == "anna"


def test_an_issue_is_asked_for_once(world: World) -> None:
    world.fail()
    linking.ask(world.service, _judging(world), _row(world), "anna", world.clock())
    with pytest.raises(InputError, match=r"has a GitLab issue, or is about to get one\."):
        linking.ask(world.service, _judging(world), _row(world), "anna", world.clock())
    world.settle()
    assert len(world.fake.issues()) == 1


def test_a_parted_problem_gets_another_issue_where_a_person_asks_for_it(world: World) -> None:
    problem = world.fail()
    linking.ask(world.service, _judging(world), _row(world), "anna", world.clock())
    world.settle()
    linking.unlink(world.service, world.service.find(problem), "anna", world.clock(), "page")
    world.clock.forward(hours=1)
    world.settle()
    assert world.mirror(problem).status is MirrorStatus.UNLINKED
    linking.ask(world.service, _judging(world), _row(world), "anna", world.clock())
    world.settle()
    assert world.mirror(problem).status is MirrorStatus.LINKED


@pytest.mark.parametrize(
    ("routes", "resolved", "says"),
    [
        ((Route("none", dag="*", open=False),), False, "the route none says so"),
        ((), True, "is resolved"),
    ],
)
def test_where_no_issue_can_be_it_is_said_and_nothing_is_kept(
    world: World, routes: tuple[Route, ...], resolved: bool, says: str
) -> None:
    problem = world.fail()
    if resolved:
        world.service.resolve(problem, "anna", world.clock())
    with pytest.raises(InputError, match=says):
        linking.ask(world.service, _judging(world, *routes), _row(world), "anna", world.clock())
    assert world.store.records(Mirror) == []


def test_without_a_gitlab_it_is_said_what_to_set(world: World, tmp_path: Path) -> None:
    problem = world.fail()
    with pytest.raises(InputError, match="No GitLab is set up for this problem"):
        linking.ask(world.service, Judging(world.service, {}), _row(world), "anna", world.clock())
    settings = made_up.settings(tmp_path, "prod")
    with pytest.raises(InputError, match="No GitLab is set up"):
        linking.wish(world.service, settings, world.service.find(problem), "a/b#1", "anna", world.clock())


def _wish(bench: Bench, issue: str) -> str:
    problem = bench.service.find(bench.id(KEYERROR))
    linking.wish(bench.service, bench.settings, problem, issue, "anna", datetime.now(UTC))
    return problem.id


def _round(bench: Bench) -> None:
    Collector(bench.settings).sync()


def _existing(bench: Bench) -> int:
    made = bench.fake.do("anna", "POST", "/projects/data%2Fdags/issues", {"title": "An old one"})
    return int(made["iid"])


def test_a_wish_for_a_link_is_granted_by_the_next_round_in_the_name_of_who_wished(bench: Bench) -> None:
    id = _wish(bench, f"data/dags#{_existing(bench)}")
    _round(bench)
    found = bench.service.store.get(Mirror, id)
    assert found is not None
    assert (found[0].status, found[0].iid) == (MirrorStatus.LINKED, 1)
    assert bench.service.store.records(LinkWish) == []
    entry = next(one for one in bench.service.history(bench.service.find(id)) if "linked" in one.what)
    assert (entry.who, entry.origin) == ("anna", "page")


def test_a_wish_that_gitlab_refuses_is_said_and_not_tried_again(bench: Bench) -> None:
    id = _wish(bench, "data/dags#999")
    _round(bench)
    wish = bench.service.store.get(LinkWish, id)
    assert wish is not None
    assert not wish[0].is_waiting
    assert "the issue #999 of data/dags" in wish[0].said


def test_a_wish_is_tried_again_while_gitlab_is_away(bench: Bench) -> None:
    id = _wish(bench, f"data/dags#{_existing(bench)}")
    bench.fake.faults.add(refusal(502, "before", times=50))
    _round(bench)
    wish = bench.service.store.get(LinkWish, id)
    assert wish is not None
    assert wish[0].is_waiting
    assert "failed with 502" in wish[0].said
    bench.fake.faults.clear()
    _round(bench)
    assert bench.service.store.records(LinkWish) == []


@pytest.mark.parametrize("issue", ["", "12", "https://elsewhere.example/a/b/-/issues/1", "javascript:alert(1)"])
def test_what_names_no_issue_is_refused_at_once(bench: Bench, issue: str) -> None:
    with pytest.raises(InputError, match="names no issue at"):
        _wish(bench, issue)
    assert bench.service.store.records(LinkWish) == []


# --- the buttons


def _page() -> None:
    from ui.pages.problem import render

    render()


def _shown(service: Service, settings: Settings, id: str, nudges: list[str]) -> AppTest:
    open_desk(Desk(service, settings, lambda: made_up.NOW, lambda: nudges.append("nudge")))
    app = AppTest.from_function(_page, default_timeout=60)
    app.query_params["id"] = id
    app.run()
    assert not app.exception
    return app


def _text(app: AppTest) -> str:
    parts: list[Any] = [element for element in app.main if hasattr(getattr(element, "proto", None), "bytes")]
    return " ".join(part.proto.bytes.decode("utf-8", "replace") for part in parts)


def _keys(app: AppTest) -> set[str]:
    return {button.key for button in app.button if button.key and button.key.startswith("gitlab-")}


def test_the_buttons_of_the_card_save_what_is_wanted_and_ask_for_a_round(bench: Bench) -> None:
    id, nudges = bench.id(KEYERROR), list[str]()
    app = _shown(bench.service, bench.settings, id, nudges)
    assert _keys(app) == {"gitlab-open", "gitlab-link-it"}
    app.button(key="gitlab-open").click().run()
    assert "An issue is opened at the next round." in _text(app)
    found = bench.service.store.get(Mirror, id)
    assert found is not None
    assert (found[0].status, found[0].asked_by) == (MirrorStatus.INTENDED, "someone")
    assert _keys(app) == {"gitlab-link-it", "gitlab-unlink"}
    app.button(key="gitlab-unlink").click().run()
    assert "Parted; the issue stays as it is." in _text(app)
    app.text_input(key="gitlab_issue").set_value("nonsense")
    app.button(key="gitlab-link-it").click().run()
    assert "names no issue at" in json.dumps(_text(app))
    app.text_input(key="gitlab_issue").set_value("data/dags#12")
    app.button(key="gitlab-link-it").click().run()
    assert "Link data/dags#12: done at the next round." in _text(app)
    assert nudges == ["nudge"] * 3


def test_without_a_gitlab_the_card_says_how_to_switch_it_on_and_has_no_buttons(bench: Bench, tmp_path: Path) -> None:
    app = _shown(bench.service, made_up.settings(tmp_path, "prod"), bench.id(KEYERROR), [])
    assert "GitLab is not set up." in _text(app)
    assert _keys(app) == set()


def test_resolve_says_beside_it_what_it_does_in_gitlab(bench: Bench) -> None:
    id = bench.id(KEYERROR)
    linked = Mirror(id, bench.fake.url, "data/dags", MirrorStatus.LINKED, made_up.NOW, iid=41, web_url="https://g/41")
    bench.service.store.save(linked, None)
    app = _shown(bench.service, bench.settings, id, [])
    assert "Resolve closes #41 in GitLab." in _text(app)


def test_an_unlinked_issue_is_linked_again_by_undo(bench: Bench) -> None:
    id, nudges = bench.id(KEYERROR), list[str]()
    url = f"{bench.fake.url}/data/dags/-/issues/7"
    its = Mirror(
        id, bench.fake.url, "data/dags", MirrorStatus.LINKED, made_up.NOW, iid=7, issue_id=70, web_url=url,
        linked_at=made_up.NOW,
    )  # fmt: skip
    bench.service.store.save(its, None)
    app = _shown(bench.service, bench.settings, id, nudges)
    app.button(key="gitlab-unlink").click().run()
    app.button(key="gitlab-undo").click().run()
    assert f"Link {url}: done at the next round." in _text(app)
    assert "gitlab-undo" not in _keys(app)
    wish = bench.service.store.get(LinkWish, id)
    assert wish is not None
    assert wish[0].issue == url
