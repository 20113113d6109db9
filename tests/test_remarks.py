"""Which comments an issue gets: few, each for one event."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from triage.mirrors import Mirror, MirrorStatus
from triage.queue import Beside, QueueRow, row_of
from triage.records import Escalation, Problem, TriageState
from triage.remarks import QUIET, due, wanted
from triage.report import CommentKind

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
PROBLEM = Problem(
    "0123456789ab", "prod", "1:aa", "KeyError", "code error", TriageState.ONGOING, NOW, NOW, reason="first seen"
)
MIRROR = Mirror(PROBLEM.id, "https://g", "data/dags", MirrorStatus.LINKED, NOW, dags=2)
ROW = replace(row_of(PROBLEM, [], Beside(), NOW), dags=(("a", 3), ("b", 1)), last_seen=NOW)


def row(state: TriageState = TriageState.ONGOING, **more: object) -> QueueRow:
    return replace(ROW, problem=replace(PROBLEM, state=state), **more)  # type: ignore[arg-type]


GROWS = Escalation(PROBLEM.id, NOW, "12 in the last hour, 3 at most before", 4.0, 3, 3, NOW, NOW)


@pytest.mark.parametrize(
    ("its", "mirror", "now", "kind"),
    [
        (row(), MIRROR, NOW, None),
        (row(TriageState.RESOLVED), MIRROR, NOW, CommentKind.RESOLVED),
        (row(TriageState.RESOLVED), replace(MIRROR, is_open=False), NOW, None),
        (row(TriageState.REGRESSED), replace(MIRROR, is_open=False), NOW, CommentKind.REGRESSED),
        (row(), replace(MIRROR, is_open=False), NOW, CommentKind.REOPENED),
        (row(TriageState.MUTED), replace(MIRROR, is_open=False), NOW, None),
        (row(growth=GROWS), MIRROR, NOW, CommentKind.ESCALATED),
        (row(TriageState.MUTED, growth=GROWS), MIRROR, NOW, None),
        (row(dags=tuple((f"d{n}", 1) for n in range(4))), MIRROR, NOW, CommentKind.SPREAD),
        (row(dags=tuple((f"d{n}", 1) for n in range(3))), MIRROR, NOW, None),
        (row(dags=tuple((f"d{n}", 1) for n in range(9))), replace(MIRROR, dags=0), NOW, None),
        (row(), MIRROR, NOW + QUIET, CommentKind.QUIET),
        (row(), MIRROR, NOW + QUIET - timedelta(seconds=1), None),
        (row(TriageState.MUTED), MIRROR, NOW + QUIET, None),
    ],
)
def test_a_comment_is_due_for_an_event(its: QueueRow, mirror: Mirror, now: datetime, kind: CommentKind | None) -> None:
    found = due(its, mirror, now)
    assert [one.kind for one in found] == ([kind] if kind else [])
    assert due(its, replace(mirror, comments=tuple(one.key for one in found)), now) == []


def test_an_event_has_the_same_key_whenever_it_is_told() -> None:
    (first,) = due(row(growth=GROWS), MIRROR, NOW)
    (later,) = due(
        row(growth=replace(GROWS, why="20 now", found_at=NOW + timedelta(hours=1))), MIRROR, NOW + timedelta(hours=2)
    )
    assert first.key == later.key


@pytest.mark.parametrize(
    ("problem", "is_open", "wants"),
    [
        (PROBLEM, False, True), (replace(PROBLEM, state=TriageState.RESOLVED), True, False),
        (replace(PROBLEM, state=TriageState.MUTED), False, False), (replace(PROBLEM, merged_into="x"), False, False),
        (replace(PROBLEM, state=TriageState.MUTED, muted_until_closed=True), False, True),
        (replace(PROBLEM, state=TriageState.MUTED, muted_until_closed=True, merged_into="x"), False, False),
    ],
)  # fmt: skip
def test_which_issues_are_to_be_open(problem: Problem, is_open: bool, wants: bool) -> None:
    assert wanted(problem, replace(MIRROR, is_open=is_open)) is wants
