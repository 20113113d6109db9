"""Summaries in SQLite: failed tries counted by day, task and deploy, absolute values made anew from the facts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime

import msgspec

from triage.query import EVERYTHING, Members
from triage.records import Ran, Tally
from triage.store import Summary, Touched
from triage.store.sqlite.connections import Connections
from triage.store.sqlite.order import late, rows_of, second_of
from triage.store.sqlite.where import micros, time, where

_EPOCH_DAY = date(1970, 1, 1).toordinal()
HOUR = 3_600_000_000  # microseconds

_SUMMARISE = """
    INSERT INTO summary
    SELECT deployment, fingerprint, day, dag, task, owner, version, bundle, count(*), sum(coalesce(final, 0)), min(at),
           max(at), max(started)
    FROM occurrence WHERE fingerprint = ? AND deployment = ? AND day = ?
    GROUP BY dag, task, owner, version, bundle
"""
_BY_HOUR = """
    INSERT INTO hourly
    SELECT fingerprint, deployment, at / 3600000000 AS hour, count(*)
    FROM occurrence WHERE fingerprint = ? AND deployment = ? AND day = ? GROUP BY hour
"""
_RAN = """
    SELECT sum(occurrences), sum(final), min(first_at), dag, task, version, bundle, max(last_started), max(last_at)
    FROM summary WHERE fingerprint = ? AND deployment = ? GROUP BY dag, task, version, bundle
"""
_SINCE = "SELECT coalesce(sum(occurrences), 0) FROM hourly WHERE fingerprint = ? AND deployment = ? AND hour > ? AND hour < ?"
_NEWER = "SELECT count(*) FROM occurrence WHERE fingerprint = ? AND deployment = ? AND day >= ? AND (day > ? OR at > ?)"


class Summaries(Connections):
    """What was touched, and everything that is counted ahead."""

    def touched(self, limit: int) -> Sequence[Touched]:
        sql = "SELECT deployment, fingerprint, day, stamp FROM touched ORDER BY stamp, fingerprint, day LIMIT ?"
        with self.reading() as db:
            return [Touched(*row) for row in db.execute(sql, (limit,))]

    def summarise(self, touched: Iterable[Touched]) -> None:
        with self.writing() as db:
            count_anew(db, ((touch.deployment, touch.fingerprint, touch.day) for touch in touched))

    def clear(self, touched: Iterable[Touched]) -> None:
        with self.writing() as db:
            db.executemany(
                "DELETE FROM touched WHERE fingerprint = ? AND deployment = ? AND day = ? AND stamp = ?",
                [(touch.fingerprint, touch.deployment, touch.day, touch.stamp) for touch in touched],
            )

    def tally(self, members: Iterable[tuple[str, str]], since: datetime | None = None) -> Tally | None:
        members = list(members)
        total = final = newer = 0
        first: list[int] = []
        ran: list[Ran] = []
        with self.reading() as db:
            for deployment, fingerprint in members:
                for count, ended, begun, *part in db.execute(_RAN, (fingerprint, deployment)):
                    total, final = total + count, final + ended
                    first.append(begun)
                    ran.append(_ran(deployment, *part))
                newer += _newer(db, deployment, fingerprint, since)
            if not ran:
                return None
            firsts = [it for deployment, print_ in members if (it := _first(db, deployment, print_))]
            _, _, title, cause = min(firsts, default=(0, "", "", ""))
        seen, started = max(part.last_seen for part in ran), max(part.last_started for part in ran)
        return Tally(total, final, time(min(first)), seen, started, title, cause, _united(ran), newer)

    def summaries(self, since: str | None = None, members: Iterable[tuple[str, str]] | None = None) -> list[Summary]:
        clause, params = where(EVERYTHING if members is None else Members(frozenset(members)))
        source = f"FROM summary o WHERE {clause}"
        found: dict[tuple[str, str], Summary] = {}
        with self.reading() as db:
            totals = (
                "SELECT deployment, fingerprint, sum(occurrences), sum(final), min(first_at), max(last_at) "
                f"{source} GROUP BY fingerprint, deployment"
            )
            for deployment, print_, total, final, first, last in db.execute(totals, params):
                found[deployment, print_] = Summary(
                    deployment, print_, total, final, time(first), time(last), {}, {}, {}, {}
                )
            days = f"SELECT deployment, fingerprint, day, sum(occurrences) {source} AND day >= ? GROUP BY fingerprint, deployment, day"
            for deployment, print_, day, count in db.execute(days, [*params, since or ""]):
                found[deployment, print_].daily[day] = count
            tasks = (
                "SELECT deployment, fingerprint, dag, task, sum(occurrences), min(first_at), max(last_at), "
                f"json_group_array(DISTINCT owner) {source} GROUP BY fingerprint, deployment, dag, task"
            )
            for deployment, print_, dag, task, count, first, last, owners in db.execute(tasks, params):
                found[deployment, print_].owned[dag, task] = tuple(sorted(filter(None, msgspec.json.decode(owners))))
                found[deployment, print_].tasks[dag, task] = count
                found[deployment, print_].spans[dag, task] = time(first), time(last)
        return list(found.values())

    def hourly(self, members: Iterable[tuple[str, str]], since: int) -> dict[tuple[str, str], dict[int, int]]:
        sql = "SELECT hour, occurrences FROM hourly WHERE fingerprint = ? AND deployment = ? AND hour >= ?"
        with self.reading() as db:
            found = {
                (name, print_): dict(db.execute(sql, (print_, name, since)).fetchall()) for name, print_ in members
            }
        return {pair: hours for pair, hours in found.items() if hours}


def _ran(deployment: str, dag: str, task: str, version: int, bundle: str, started: int, seen: int) -> Ran:
    return Ran(deployment, dag, task, version or None, bundle, time(started), time(seen))


def _united(parts: Iterable[Ran]) -> tuple[Ran, ...]:
    """Unite what several fingerprints count of the same task and version."""
    found: dict[tuple[object, ...], Ran] = {}
    for part in parts:
        key = (part.deployment, part.dag_id, part.task_id, part.dag_version, part.bundle_version)
        other = found.get(key, part)
        started, seen = max(part.last_started, other.last_started), max(part.last_seen, other.last_seen)
        found[key] = replace(part, last_started=started, last_seen=seen)
    return tuple(sorted(found.values(), key=lambda part: (part.deployment, part.dag_id, part.task_id, part.last_seen)))


def _first(db: sqlite3.Connection, deployment: str, fingerprint: str) -> tuple[int, str, str, str] | None:
    """Return end, id, title and cause of the first try of a fingerprint that is kept."""
    sql = "SELECT day, words FROM occurrence WHERE fingerprint = ? AND deployment = ? ORDER BY day, words LIMIT 1"
    if (row := db.execute(sql, (fingerprint, deployment)).fetchone()) is None:
        return None
    last = rows_of(None, second_of(row[1]) * 1_000_000, late(db))[1]
    sql = "SELECT at, id, title, cause FROM occurrence WHERE fingerprint = ? AND deployment = ? AND day = ? AND words <= ? ORDER BY at, id LIMIT 1"
    found: tuple[int, str, str, str] = db.execute(sql, (fingerprint, deployment, row[0], last)).fetchone()
    return found


def _newer(db: sqlite3.Connection, deployment: str, fingerprint: str, since: datetime | None) -> int:
    """Count the tries that ended after a time; none where no time is asked for."""
    if since is None:
        return 0
    day, of, at, key = horizon(db), since.date().isoformat(), micros(since), (fingerprint, deployment)
    assert at is not None
    kept = db.execute(_NEWER, (*key, max(of, day), of, at)).fetchone()[0]
    # Of what is behind the horizon only whole hours are counted: a mute ends a little late rather than too soon.
    behind = db.execute(_SINCE, (*key, at // HOUR, first_hour(day))).fetchone()[0] if day else 0
    return int(kept + behind)


def horizon(db: sqlite3.Connection) -> str:
    """Return the ISO day before which nothing is kept, empty where there is none."""
    row = db.execute("SELECT json_extract(CAST(body AS TEXT), '$.day') FROM record WHERE kind = 'Horizon'").fetchone()
    return row[0] if row else ""


def first_hour(day: str) -> int:
    """Return the first hour of an ISO day, counted from 1970."""
    return 24 * (date.fromisoformat(day).toordinal() - _EPOCH_DAY)


def touch(db: sqlite3.Connection, days: Iterable[tuple[str, str, str]]) -> None:
    """Note that facts of these (deployment, fingerprint, day) change."""
    db.executemany(
        "INSERT INTO touched SELECT ?, ?, ?, value + 1 FROM counter WHERE true "
        "ON CONFLICT DO UPDATE SET stamp = excluded.stamp",
        days,
    )


def count_anew(db: sqlite3.Connection, days: Iterable[tuple[str, str, str]]) -> None:
    """Count these (deployment, fingerprint, day) anew from the facts; what is behind the horizon stays as it was counted."""
    kept_since = horizon(db)
    for deployment, fingerprint, day in days:
        if day < kept_since:
            continue
        key = (fingerprint, deployment, day)
        db.execute("DELETE FROM summary WHERE fingerprint = ? AND deployment = ? AND day = ?", key)
        db.execute(_SUMMARISE, key)
        first = first_hour(day)
        hours = "DELETE FROM hourly WHERE fingerprint = ? AND deployment = ? AND hour >= ? AND hour < ?"
        db.execute(hours, (fingerprint, deployment, first, first + 24))
        db.execute(_BY_HOUR, key)
