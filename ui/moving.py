"""The commands by which a person puts a grouping right: `merge` and `split`, and their undo."""

from __future__ import annotations

import json
from collections.abc import Iterable

import click

from triage import merging
from triage.errors import InputError
from triage.merging import Person
from triage.records import Move, MoveKind
from triage.service import Service
from ui.command import Context, cli, given, json_option, now, out, passes, user, why_option
from ui.format import move_json, moved, one_line


@cli.command()
@click.argument("ids", metavar="ID [OTHER]...", nargs=-1, required=True)
@click.option("--into", metavar="ID", help="The problem that keeps the failures (the one most was decided about).")
@click.option("--undo", is_flag=True, help="Take the merge of this problem back.")
@why_option
@json_option
@passes
def merge(context: Context, ids: tuple[str, ...], into: str | None, undo: bool, why: str, as_json: bool) -> None:
    """Merge problems of one scope into one of them; new failures follow, and --undo parts them again."""
    service, person = context.service, Person(user(), why)
    into = given(into, "--into", "Name the problem that keeps the failures, or leave it out.")
    if undo:
        if len(ids) != 1 or into:
            raise InputError("--undo takes one problem.", "Name the one that was merged into another.")
        done = [merging.undo(service, MoveKind.MERGE, ids[0], person, now())]
    else:
        done = merging.merge(service, ids, person, now(), into)
    _print(service, done, as_json=as_json)


@cli.command()
@click.argument("id")
@click.option("--dag", default="", help="The failures in this DAG.")
@click.option("--task", default="", help="Of that DAG, those in this task.")
@click.option("--fingerprint", default="", help="The failures with this fingerprint, or one that begins so.")
@click.option("--undo", is_flag=True, help="Put what was split off back.")
@why_option
@json_option
@passes
def split(
    context: Context, id: str, dag: str, task: str, fingerprint: str, undo: bool, why: str, as_json: bool
) -> None:
    """Make a part of a problem another one: a DAG, a task or a fingerprint; new failures follow."""
    service, person = context.service, Person(user(), why)
    if undo:
        if dag or task or fingerprint:
            raise InputError("--undo takes a problem alone.", "Name the one that was split off.")
        done = merging.undo(service, MoveKind.SPLIT, id, person, now())
    else:
        done = merging.split(service, id, person, now(), dag=dag, task=task, fingerprint=fingerprint)
    _print(service, [done], as_json=as_json)


def _print(service: Service, moves: Iterable[Move], *, as_json: bool) -> None:
    for move in moves:
        if as_json:
            click.echo(json.dumps(move_json(move)))
        else:
            its = move.problem if move.undone_at else move.into
            out.print(f"{moved(move)} {one_line(service.find(its).title)}", markup=False)
