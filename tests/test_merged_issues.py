"""What becomes of GitLab issues when people merge and split problems, against the double of GitLab."""

from __future__ import annotations

import pytest

from tests.gitlab_state import Issue
from tests.mid_move import ANN
from tests.mirroring import World
from tests.test_sync import issue, opened, person, posts, world  # noqa: F401 -- `world` is a fixture
from triage import merging
from triage.records import MoveKind, TriageState


def said(world: World, its: Issue) -> list[str]:  # noqa: F811
    return [note.body for note in world.fake.notes(its) if not note.system]


@pytest.fixture
def pair(world: World) -> tuple[str, str]:  # noqa: F811
    return opened(world, 1)[0], opened(world, 2)[0]


def test_a_merge_closes_one_issue_with_a_link_and_its_undo_opens_it_again(world: World, pair: tuple[str, str]) -> None:  # noqa: F811
    gone, stays = pair
    for times in (1, 2):
        merging.merge(world.service, [gone], ANN, world.clock(), stays)
        world.settle()
        assert (issue(world, 1).state, issue(world, 2).state) == ("closed", "opened")
        links = [text for text in said(world, issue(world, 1)) if world.service.find(stays).gitlab_url in text]
        assert len(links) == times
        assert world.service.find(stays).state is TriageState.NEW
        world.clock.forward(seconds=1)
        merging.undo(world.service, MoveKind.MERGE, gone, ANN, world.clock())
        world.settle()
        assert (issue(world, 1).state, issue(world, 2).state) == ("opened", "opened")
    assert posts(world) == 2


def test_a_failure_of_the_merged_problem_opens_no_other_issue(world: World, pair: tuple[str, str]) -> None:  # noqa: F811
    gone, stays = pair
    merging.merge(world.service, [gone], ANN, world.clock(), stays)
    world.settle()
    with pytest.raises(StopIteration):  # its failures are another's: it is not in the queue
        world.fail(1)
    world.round(7200)  # a block is written anew every so often
    assert (posts(world), len(world.service.problem(stays, world.clock()).occurrences)) == (2, 3)
    assert "3 tries" in (issue(world, 2).description or "")


def test_who_reopens_or_closes_the_issue_of_a_merged_problem_changes_nothing_of_the_other(
    world: World,  # noqa: F811
    pair: tuple[str, str],
) -> None:
    gone, stays = pair
    merging.merge(world.service, [gone], ANN, world.clock(), stays)
    world.settle()
    for event in ("reopen", "close"):
        person(world, issue(world, 1), state_event=event)
        world.settle()
        assert world.service.find(stays).state is TriageState.NEW
        assert issue(world, 2).state == "opened"


def test_what_was_split_off_gets_an_issue_of_its_own(world: World, pair: tuple[str, str]) -> None:  # noqa: F811
    id, _ = pair
    world.fail(1, dag="bills")
    made = merging.split(world.service, id, ANN, world.clock(), dag="bills")
    world.settle()
    assert posts(world) == 3
    assert world.service.find(made.into).gitlab_url != world.service.find(id).gitlab_url
    merging.undo(world.service, MoveKind.SPLIT, made.into, ANN, world.clock())
    world.settle()
    assert sorted(its.state for its in world.fake.issues()) == ["closed", "opened", "opened"]
    assert (world.mirror(id).is_open, world.mirror(made.into).is_open) == (True, False)
