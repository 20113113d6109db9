"""What became of a problem since, as blocks of text: how its tasks fared, and what is new since the last good run.

Owns the words of both on the problem page, in every state: not asked, asked, answered, and each way an answer can fall
short. Draws nothing itself and asks nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from triage import links
from triage.model import Occurrence
from triage.outcomes import OutcomeKind
from triage.queue import QueueRow
from triage.records import Comparison, ComparisonStatus, Outcomes
from triage.service import ProblemView
from ui.answers import short_version
from ui.format import number
from ui.front import sheet
from ui.front.desk import Desk
from ui.front.sheet import Block, Run

TONES = {
    OutcomeKind.HEALS: "good", OutcomeKind.WELL: "good", OutcomeKind.ALWAYS: "bad", OutcomeKind.OTHER: "bad",
    OutcomeKind.SOMETIMES: "warn", OutcomeKind.MIXED: "warn",
}  # fmt: skip
_ROWS = 8  # tasks shown in the table
# An answer takes a few seconds; who waits longer is told why.
_PATIENCE = timedelta(seconds=20)


def headline(row: QueueRow) -> list[Block]:
    """Say in one sentence how the problem's tasks fared since, and as of when that is known."""
    outcome = row.outcome
    if outcome is None:
        return []
    runs: list[Run] = [sheet.dot(TONES.get(outcome.kind, "quiet"), ""), sheet.strong(outcome.said)]
    if outcome.next_run_at:
        runs += [" The next run is due ", sheet.when(outcome.next_run_at), "."]
    return [sheet.p(*runs, sheet.quiet(" As of "), sheet.when(outcome.as_of), sheet.quiet("."))]


def facts(row: QueueRow) -> list[tuple[str, Sequence[Run]]]:
    """Return what a problem's facts say of its outcomes."""
    outcome = row.outcome
    if outcome is None:
        return []
    ended = outcome.healed + outcome.broken
    healed = f"{outcome.healed} of {ended} task instances" if ended else ""
    return [
        ("Last success", [sheet.when(outcome.last_success_at, "none since it began")]),
        ("Healed", [healed] if outcome.healed else []),
    ]


def table(view: ProblemView) -> list[Block]:
    """Show task by task how it fared, where a problem has several."""
    answers = view.outcomes if view.row.outcome else ()
    if len(answers) < 2:
        return []
    head = ("Task", "Last failed", "Since then", "Between its failures", "Healed by retry", "Its DAG")
    rows = [_row(answer) for answer in answers[:_ROWS]]
    more = (
        f"the {_ROWS} that failed last, of {len(answers)}" if len(answers) > _ROWS else "the one that failed last first"
    )
    return [sheet.label("How its tasks fared", more), sheet.table(head, rows)]


def _row(answer: Outcomes) -> list[Run | Sequence[Run]]:
    since = f"{number(answer.succeeded)} succeeded"
    if answer.failed:
        since += f", {number(answer.failed)} failed of something else"
    ended = answer.healed + answer.broken
    dag: Run | Sequence[Run] = "paused" if answer.is_paused else "gone" if answer.is_gone else ""
    if not dag and answer.next_run_at:
        dag = ["next run ", sheet.when(answer.next_run_at)]
    return [
        [sheet.code(f"{answer.dag_id}.{answer.task_id}")], [sheet.when(answer.since)],
        since if answer.succeeded or answer.failed else "not run",
        f"{number(answer.between)} succeeded" if answer.between else "none succeeded",
        f"{answer.healed} of {ended}" if ended else "", dag or "runs",
    ]  # fmt: skip


# --- the last good run


def changed(found: Comparison | None, fact: Occurrence, desk: Desk, stale: str) -> list[Block]:
    """Say what is new since the last good run, or what became of the wish to know.

    `stale` says how long the deployment has not been read, where that is why no answer comes.
    """
    if found is None:
        return [sheet.p("What is new in this log since the last good run of the task?", tone="quiet")]
    good = _good(found, desk)
    match found.status:
        case ComparisonStatus.WANTED:
            return [_asked(found, desk.now(), stale)]
        case ComparisonStatus.NONE:
            task = sheet.code(found.key.task)
            return [sheet.p(task, " has no success from before the problem began, ", sheet.when(found.began), ".")]
        case ComparisonStatus.GONE:
            said = sheet.p("Airflow no longer has the log of the last good run, ", *good, ".", tone="warn")
            return [said, *_versions(found, fact, desk)]
        case ComparisonStatus.FAILED:
            return [sheet.p("The last good run could not be read. ", found.said, tone="bad")]
        case ComparisonStatus.SHOWN:
            return [*_shown(found, fact, good), *_versions(found, fact, desk)]


def _asked(found: Comparison, now: datetime, stale: str) -> Block:
    runs: list[Run] = ["Looking for the last good run and reading its log; asked ", sheet.when(found.wanted_at), "."]
    if stale:
        return sheet.p(*runs, f" The answer comes once {found.key.deployment} can be read: {stale}.", tone="warn")
    if now - found.wanted_at > _PATIENCE:
        runs.append(" A collector answers while airtriage up, or a worker, runs; a long log takes a minute.")
    return sheet.p(*runs, tone="quiet")


def _good(found: Comparison, desk: Desk) -> list[Run]:
    if found.good is None:
        return []
    key = found.good.key
    mapped = f" map index {key.map_index}" if key.map_index != found.key.map_index else ""
    name = f"try {key.try_number}{mapped}"
    url = desk.airflow(key)
    return [sheet.code(key.run_id), " ", sheet.away(name, url) if url else name, ", ", sheet.when(found.good.ended_at)]


def _shown(found: Comparison, fact: Occurrence, good: list[Run]) -> list[Block]:
    lines = len(found.new)
    is_other = fact.kept is not None and found.lines != len(fact.kept)
    if not lines:
        said: list[Run] = ["Nothing is new: every line kept is also in the log of the last good run, ", *good, "."]
    else:
        noun, verb = "line" if found.lines == 1 else "lines", "is" if lines == 1 else "are"
        said = [
            sheet.strong(f"{lines:,} of {found.lines:,} {noun} {verb} new"),
            " since the last good run, ",
            *good,
            ".",
        ]
    if is_other:
        said.append(" This log has been read anew since; compare it again.")
    if found.said:
        said.append(f" {found.said}")
    return [sheet.p(*said)]


def _versions(found: Comparison, fact: Occurrence, desk: Desk) -> list[Block]:
    """Name the versions of the DAG that both runs ran with, linked to Airflow's page and to the code."""
    good = found.good
    if good is None:
        return []
    runs: list[Run] = []
    if good.dag_version and fact.dag_version:
        before, after = (_version(found, number, desk) for number in (good.dag_version, fact.dag_version))
        same = good.dag_version == fact.dag_version
        runs += ["The same DAG version, ", after] if same else ["DAG version ", before, " then, ", after, " now"]
    if good.bundle_version and fact.bundle_version:
        runs += [" · "] if runs else []
        old, new = (short_version(one) for one in (good.bundle_version, fact.bundle_version))
        if good.bundle_version == fact.bundle_version:
            runs += ["the same bundle, ", sheet.away(new, fact.bundle_url)]
        else:
            runs += ["bundle ", sheet.away(old, good.bundle_url), " then, ", sheet.away(new, fact.bundle_url), " now"]
            if compare := links.compare_url(good.bundle_url, good.bundle_version, fact.bundle_version):
                runs += [", ", sheet.away("what changed between them", compare)]
    return [sheet.p(*runs, ".", tone="quiet")] if runs else []


def _version(found: Comparison, version: int, desk: Desk) -> Run:
    url = links.code_url(desk.address(found.key.deployment), found.key.dag_id, version)
    return sheet.away(str(version), url) if url else str(version)
