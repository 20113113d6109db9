"""The commands around search: `search`, `seen` and `searches`."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import click

from triage import saved, search
from triage.errors import InputError
from triage.model import Occurrence
from triage.query import Query
from triage.records import SavedSearch
from triage.store import Store
from ui import format as fmt
from ui.command import Context, cli, err, json_option, limit_option, now, out, passes, user
from ui.exporting import exported, form_of, write
from ui.tables import facets_table, print_seen, progress_bar, searches_table, tries_table

_CHUNK = 1 << 16  # bytes of a log read at once


@cli.command("search")
@click.argument("query", nargs=-1)
@limit_option
@click.option("--saved", "name", metavar="NAME", help="What this saved search finds; a QUERY narrows it.")
@click.option(
    "--facets", "counted", is_flag=True, help="Count everything found by deployment, DAG, task, cause, owner, host."
)
@click.option(
    "--export",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write everything found into FILE.csv or FILE.jsonl.",
)
@json_option
@passes
def search_(
    context: Context, query: tuple[str, ...], limit: int | None, name: str | None, counted: bool, file: Path | None, as_json: bool
) -> None:  # fmt: skip
    """Print the failed tries that match, newest first."""
    if counted and file:
        raise InputError("--facets and --export are two answers.", "Ask for one of them.")
    at, service = now(), context.service
    text = " ".join(query)
    if name is not None:
        kept = saved.find(service, name, user()).query
        text = f"({kept}) ({text})" if kept not in ("", "*") and text.strip() else text.strip() or kept
    tree = search.understood(service, text, at)
    if counted:
        _count(service.store, tree, limit or 10, as_json)
    elif file:
        _export(context, tree, limit, file, as_json)
    elif as_json:
        owner = search.owning(service)
        for fact in search.everything(service.store, tree, limit):
            click.echo(json.dumps(fmt.occurrence_json(fact, owner(fact))))
    else:
        _list(service.store, tree, limit or 50, at)


def _list(store: Store, tree: Query, limit: int, at: datetime) -> None:
    rows = store.search(tree, limit)
    out.print(tries_table(rows, at))
    if not rows:
        out.print("No failed try matches. airtriage search '*' lists all of them.")
    elif len(rows) == limit and (total := store.count(tree)) > limit:
        out.print(f"{total - limit} more; --limit {total} shows them all, --export FILE.csv writes them.")


def _count(store: Store, tree: Query, shown: int, as_json: bool) -> None:
    total, found = store.count(tree), search.facets(store, tree, shown)
    if as_json:
        for field, values in found.items():
            for value, count in values:
                click.echo(json.dumps({"field": field, "value": value, "count": count}))
        return
    out.print(fmt.many(total, "failed try", "failed tries"))
    out.print(facets_table(found))


def _export(context: Context, tree: Query, limit: int | None, file: Path, as_json: bool) -> None:
    service, form = context.service, form_of(file)
    total = service.store.count(tree)
    with progress_bar(err, as_json) as bar:
        task = bar.add_task("failed tries", total=min(total, limit or total))
        done = 0

        def watched() -> Iterator[Occurrence]:
            nonlocal done
            for done, fact in enumerate(search.everything(service.store, tree, limit), 1):
                yield fact
                if done % search.BATCH == 0:
                    bar.update(task, completed=done)

        write(exported(watched(), search.owning(service), form), file)
        bar.update(task, completed=done, total=done)
    if as_json:
        click.echo(json.dumps({"file": str(file), "failed_tries": done}))
    else:
        out.print(f"{fmt.many(done, 'failed try', 'failed tries')} in {file}", markup=False)


@cli.command()
@click.argument("file", default="-")
@click.option("--task", default="", metavar="DAG.TASK", help="The task it failed in; some failures count by it.")
@json_option
@passes
def seen(context: Context, file: str, task: str, as_json: bool) -> None:
    """Have we seen this before? Say what is known of a log (a file, or - for standard input), or of a line of one.

    First the problem with the very same fingerprint, then those that look alike, then failed tries with its words. What is
    asked about is masked first and never kept. Of more than 8 MiB the two ends are looked at. Exit code 1: nothing is known.
    """
    from triage.seen import seen as seen_
    from triage.similar import Known

    at = now()
    with _opened(file) as source:
        found = seen_(Known(context.service), iter(lambda: source.read(_CHUNK), b""), at, task)
    if found is None:
        raise InputError("There is no word in this.", "Give a log, or a line of one.")
    if as_json:
        click.echo(json.dumps(fmt.seen_json(found, search.owning(context.service))))
    else:
        print_seen(out, found, at)
    sys.exit(0 if found.same or found.near or found.tries else 1)


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as source:
            yield source
    except OSError as exc:
        raise InputError(
            f"{file} cannot be read: {exc.strerror}.", "Give the path of a log, or - for standard input."
        ) from exc


@cli.command()
@click.argument("words", nargs=-1, metavar="[save NAME QUERY... | rename NAME NEW | delete NAME]")
@click.option("--mine", is_flag=True, help="With save: shown to you alone.")
@json_option
@passes
def searches(context: Context, words: tuple[str, ...], mine: bool, as_json: bool) -> None:
    """List the saved searches; save, rename or delete one. `airtriage search --saved NAME` runs it."""
    service, who = context.service, user()
    match words:
        case ():
            _print_searches(saved.visible(service, who), as_json)
        case ("save", name, *query):
            _print_searches([saved.save(service, name, " ".join(query), who, now(), is_mine=mine)], as_json)
        case ("rename", name, new):
            _print_searches([saved.rename(service, name, new, who)], as_json)
        case ("delete", name):
            gone = saved.delete(service, name, who)
            if as_json:
                click.echo(json.dumps({"id": gone.id, "deleted": True}))
            else:
                out.print(f"Deleted {gone.name}: {gone.query or '*'}", markup=False)
        case _:
            raise InputError(
                f"searches {' '.join(words)!r} is not understood.",
                "Write save NAME QUERY, rename NAME NEW, or delete NAME.",
            )


def _print_searches(found: Iterable[SavedSearch], as_json: bool) -> None:
    several: list[Any] = list(found)
    if as_json:
        for one in several:
            click.echo(json.dumps(fmt.saved_json(one)))
    elif several:
        out.print(searches_table(several))
    else:
        out.print("No saved searches. airtriage searches save NAME QUERY makes one.")
