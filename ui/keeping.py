"""The commands about the whole of what is stored: `redact`, `regroup`, `retire`, `copy`, `refused` and `aside`."""

from __future__ import annotations

import dataclasses
import json
import sys

import click

from triage.errors import InputError
from triage.query import EVERYTHING
from ui.command import Context, cli, err, json_option, limit_option, now, out, passes
from ui.tables import progress_bar


@cli.command()
@click.option("--dry-run", is_flag=True, help="Only count what would be masked.")
@json_option
@passes
def redact(context: Context, dry_run: bool, as_json: bool) -> None:
    """Mask what is stored by the rules and settings of today; may be stopped and run again."""
    from triage.scrubbing import Scrubbed, scrub

    store = context.service.store
    with progress_bar(err, as_json) as bar:
        task = bar.add_task("tries", total=store.count(EVERYTHING))

        def show(done: Scrubbed) -> None:
            bar.update(task, completed=done.tries, description="tries" if not done.records else "records, and purging")

        done = scrub(store, context.settings.redactor, show, dry=dry_run)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(done), "dry_run": dry_run}))
    else:
        would = "would be masked" if dry_run else "were masked; the old texts are gone from the store"
        out.print(
            f"{done.changed_tries} of {done.tries} failed tries and {done.changed_records} of {done.records} records {would}."
        )


@cli.command()
@click.option("--dry-run", is_flag=True, help="Only say what would move.")
@json_option
@passes
def regroup(context: Context, dry_run: bool, as_json: bool) -> None:
    """Sign what is kept by the rules of today; every problem keeps its state. May be stopped and run again."""
    from ui import regrouping

    act = regrouping.show_plan if dry_run else regrouping.regroup
    sys.exit(act(context.settings, out, err, as_json=as_json))


@cli.command()
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
@json_option
@passes
def retire(context: Context, dry_run: bool, as_json: bool) -> None:
    """Delete failed tries older than the setting retention now; may be stopped and run again."""
    from collector.tasks import Collector
    from triage import retention

    store, keep = context.service.store, context.settings.retention
    day = retention.horizon_at(store, keep, now())
    old = retention.behind(store, day)
    gone: int | None = 0
    if not dry_run:
        with progress_bar(err, as_json) as bar:
            task = bar.add_task("failed tries", total=old)
            gone = Collector(context.settings).retire(lambda tries: bar.advance(task, tries))
    if gone is None:
        raise InputError("Another process deletes them right now.", "Health says how many are kept.")
    left = store.count(EVERYTHING) - (old if dry_run else 0)
    if as_json:
        said = {"before": day, "tries": old if dry_run else gone, "kept": left, "dry_run": dry_run}
        click.echo(json.dumps(said))
    else:
        would = (
            f"{old} failed tries from before {day} would be"
            if dry_run
            else f"{gone} failed tries from before {day} were"
        )
        out.print(f"{would} deleted; {left} are kept, and so are all problems, their history and their counts.")


@cli.command()
@click.option("--from", "source", metavar="URL", help="The store to copy (the setting store).")
@click.option(
    "--to", "target", metavar="URL", required=True, help="The store to fill: an empty one, or one not there yet."
)
@click.option(
    "--from-config",
    "login",
    metavar="FILE",
    help="A settings file whose section elastic logs in to the source; without it both are logged in to alike.",
)
@click.option("--verify", is_flag=True, help="Only compare the two.")
@json_option
@passes
def copy(context: Context, source: str | None, target: str, login: str | None, verify: bool, as_json: bool) -> None:
    """Copy a store into another: to move house, as a backup, or to restore one. May be stopped and run again."""
    from triage.settings import load
    from ui import copying

    its = context.settings
    here, access = source or its.store_url, its.store_access
    if login is not None:
        other = load(login, {})  # without the environment, which says how to log in to the target
        for secret in other.elastic.secrets:
            its.redactor.learned.add(secret)
        access = other.elastic.access(its.redactor.text)
        here = source or other.store_url
    sys.exit(copying.copy((here, access), (target, its.store_access), out, err, verify=verify, as_json=as_json))


@cli.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--retry", is_flag=True, help="Offer all of them to the store again.")
@click.option("--drop", is_flag=True, help="Delete those named, or all of them.")
@json_option
@limit_option
@passes
def refused(context: Context, ids: tuple[str, ...], retry: bool, drop: bool, as_json: bool, limit: int | None) -> None:
    """List the failed tries that the store refused for good, each with the reason; try again, or drop them."""
    from ui import refusals

    if retry and (drop or ids):
        raise InputError("--retry is for all of them, and alone.", "Leave the rest out.")
    sys.exit(refusals.act(context.service, ids, out, retry=retry, drop=drop, as_json=as_json, limit=limit))


@cli.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@passes
def aside(context: Context, yes: bool, as_json: bool) -> None:
    """Rename a damaged SQLite store, and what belongs to it, so that a backup or a new one can take its place."""
    from triage.store.sqlite import damage, file_of

    url = context.settings.store_url
    file = file_of(url) if url.startswith("sqlite:") else None
    if file is None:
        raise InputError(f"store = {url!r} is no file.", "What a server keeps is put right there.")
    if not yes:
        click.confirm(f"Rename {file}? Every other airtriage process must have been stopped", abort=True, err=True)
    moved = damage.put_aside(file, now())
    if as_json:
        click.echo(json.dumps({"store": str(file), "now": [str(path) for path in moved]}))
    else:
        out.print(f"{file} is {moved[0]} now. Put a backup in its place, or start anew.")
