"""When a problem has been quiet: it did not fail for so long, and every task that it hit ran and succeeded since.

Owns why a problem that is to be resolved when quiet still waits, in words. That a task was paused, is gone or just did not
run is no proof that it is well, and neither is that Airflow could not be asked. Pure; times are on the Airflow server's clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from triage.records import Outcomes, Tally

SHORTEST = timedelta(hours=1)
# How often a problem that waits is looked at; its tasks are asked about at most every six hours.
LOOK = timedelta(hours=1)
_NAMED = 3  # tasks that a sentence names


def due_at(span: timedelta, tally: Tally) -> datetime:
    """Say when a problem has not failed for `span`, if it does not fail again."""
    return tally.last_seen + span


def waits(span: timedelta, tally: Tally, answers: Iterable[Outcomes], now: datetime) -> str:
    """Say why a problem is not quiet yet, as the end of a sentence; "" where it is."""
    if now < due_at(span, tally):
        return f"its last failure was {tally.last_seen:%Y-%m-%d %H:%M} UTC"
    known = {(it.deployment, it.dag_id, it.task_id): it for it in answers}
    newest: dict[tuple[str, str, str], datetime] = {}
    for part in tally.ran:
        key = (part.deployment, part.dag_id, part.task_id)
        newest[key] = max(part.last_seen, newest.get(key, part.last_seen))
    left = [(key, why) for key, last in sorted(newest.items()) if (why := _lacks(known.get(key), last))]
    if not left:
        told = min(known[key].as_of for key in newest)
        # A success of the first day says nothing of a week in which Airflow could not be asked.
        return (
            "" if told >= due_at(span, tally) else f"how its tasks fare is known up to {told:%Y-%m-%d %H:%M} UTC only"
        )
    named = ", ".join(f"{dag}.{task} ({why})" for (_, dag, task), why in left[:_NAMED])
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    if len(newest) == 1:
        return f"its task has not succeeded since: {named}"
    have = "has" if len(left) == 1 else "have"
    return f"{len(left)} of its {len(newest)} tasks {have} not succeeded since: {named}{more}"


def _lacks(answer: Outcomes | None, last: datetime) -> str:
    """Say what a task lacks that failed at `last`; "" where it ran and succeeded since."""
    if answer is None or answer.since < last:
        return "not asked yet"
    if answer.succeeded:
        return ""
    if answer.failed:
        return "fails of something else"
    return "its DAG is gone" if answer.is_gone else "its DAG is paused" if answer.is_paused else "not run"


def days(span: timedelta) -> str:
    """Write a span as people say it: `7 days`, `36 hours`."""
    hours = round(span / timedelta(hours=1))
    if hours % 24:
        return f"{hours} hour{'' if hours == 1 else 's'}"
    return f"{hours // 24} day{'' if hours == 24 else 's'}"
