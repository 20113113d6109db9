"""`airtriage refused`: the failed tries that the store refused for good, listed with the reason, tried again or dropped.

They are dead letters of an Elasticsearch, kept apart so that one odd try keeps no other from being kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import click
from rich.console import Console

from triage import retention
from triage.errors import InputError
from triage.service import Service
from triage.store import DeadLetter, Store, thing_id
from ui import own_log

_PAGE = 100
_SHOWN = 50  # on a terminal


def act(
    service: Service, ids: Sequence[str], out: Console, *, retry: bool, drop: bool, as_json: bool, limit: int | None
) -> int:  # fmt: skip
    """Do what was asked for and say what came of it; returns the exit code: 1 where some are refused again."""
    store = service.store
    chosen = _chosen(store, ids)
    if retry:
        old = retention.forget_letters(store, retention.horizon(store).day)
        taken, left = store.revive(), store.dead()
        said = f"{taken} were taken now; {left} are refused still."
        said += f" {old} were dropped, for their days are retired." if old else ""
        _say({"taken": taken, "refused": left, "dropped": old}, said, out, as_json=as_json)
        return 1 if left else 0
    if drop:
        doomed = chosen if ids else [thing_id(one) for one in letters(store)]
        store.erase(DeadLetter, doomed)
        said = f"{len(doomed)} were dropped; {store.dead()} are left."
        _say({"dropped": len(doomed), "refused": store.dead()}, said, out, as_json=as_json)
        return 0
    shown = 0
    for one in letters(store):
        if (ids and thing_id(one) not in chosen) or shown == (limit or (None if as_json else _SHOWN)):
            continue
        shown += 1
        _print(one, out, as_json=as_json)
    total = store.dead()
    if not as_json and not total:
        out.print("The store refused no failed try.")
    elif not as_json and not ids and shown < total:
        out.print(f"and {total - shown} more; --limit shows them.")
    return 0


def letters(store: Store) -> Iterator[DeadLetter]:
    """Yield all dead letters, in order of id."""
    after = ""
    while page := store.everything(DeadLetter, _PAGE, after):
        yield from page
        after = thing_id(page[-1])


def _chosen(store: Store, ids: Sequence[str]) -> list[str]:
    """Return the whole ids of those named by a beginning; InputError where one names none, or several."""
    known = [thing_id(one) for one in letters(store)] if ids else []
    found = []
    for id in ids:
        named = [one for one in known if one.startswith(id)]
        if len(named) != 1:
            said = f"{len(named)} of them begin with" if named else "None of them is"
            raise InputError(f"{said} {id!r}.", "airtriage refused lists them.")
        found += named
    return found


def _say(values: dict[str, int], said: str, out: Console, *, as_json: bool) -> None:
    click.echo(json.dumps(values)) if as_json else out.print(said)


def _print(one: DeadLetter, out: Console, *, as_json: bool) -> None:
    key, reason = one.fact.key, own_log.masked(one.reason)
    if as_json:
        click.echo(json.dumps({
            "id": key.id, "deployment": key.deployment, "dag_id": key.dag_id, "run_id": key.run_id, "task_id": key.task_id,
            "map_index": key.map_index, "try_number": key.try_number, "ended_at": one.fact.ended_at.isoformat(), "reason": reason,
        }))  # fmt: skip
        return
    where = f"{key.deployment} {key.dag_id} {key.run_id} {key.task} try {key.try_number}"
    out.print(f"{key.id[:12]}  {one.fact.ended_at:%Y-%m-%d %H:%M}  {where}: {reason}", markup=False, soft_wrap=True)
