"""What of a problem's history stands over its timeline."""

from __future__ import annotations

from datetime import timedelta

from tests import made_up
from triage.records import Change
from triage.service import LINKED
from ui.front.marks import marks

NOW = made_up.NOW


def _entry(hours: float, what: str, who: str = "ann", origin: str = "page") -> Change:
    return Change("2f7c41d09b3e", NOW + timedelta(hours=hours), who, what, "", origin)


def test_decisions_and_what_became_of_the_issue_are_marks_and_other_entries_are_none() -> None:
    history = (
        _entry(5, "resolved", "ben", "GitLab issue 41"), _entry(4, "muted for 7 days"), _entry(3, "assigned to dora"),
        _entry(2, "escalated", "airtriage"), _entry(1, LINKED, "airtriage"), _entry(0, "opened", "airtriage"),
    )  # fmt: skip
    found = [(mark.shape, mark.word, mark.says) for mark in marks(history)]
    assert found == [
        ("quiet", "GitLab", "Linked to a GitLab issue"), ("warn", "grows", "Escalated"), ("MUTED", "muted", "ann muted for 7 days"),
        ("RESOLVED", "resolved", "ben resolved, from GitLab issue 41"),
    ]  # fmt: skip


def test_a_decision_that_was_taken_back_leaves_no_mark() -> None:
    history = (
        _entry(0, "resolved"),
        _entry(1, "regressed", "airtriage"),
        _entry(2, "resolved"),
        _entry(3, "took back: resolved"),
    )
    assert [(mark.at, mark.word) for mark in marks(history)] == [
        (NOW, "resolved"), (NOW + timedelta(hours=1), "regressed"),
    ]  # fmt: skip
