"""The commands by which a person decides about problems: `resolve`, `mute`, `unmute`, `reopen`, `assign`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from triage.records import Problem
from triage.service import Service
from ui.command import Context, cli, json_option, now, out, passes, span_of, user, why_option

F = TypeVar("F", bound=Callable[..., Any])


def _decision(name: str) -> Callable[[F], F]:
    """Make a command over one or many problem ids that prints what became of them."""

    def decorate(body: F) -> F:
        def command(context: Context, /, ids: tuple[str, ...], as_json: bool, **options: Any) -> None:
            for problem in [context.service.find(id) for id in ids]:
                changed: Problem = body(context.service, problem.id, user(), now(), **options)
                if as_json:
                    click.echo(json.dumps({"id": changed.id, "state": changed.state}))
                else:
                    out.print(f"{changed.id} is {changed.state}: {changed.title}", markup=False)

        command.__doc__ = body.__doc__
        wrapped = passes(command)
        for option in reversed(getattr(body, "options", [])):
            wrapped = option(wrapped)
        wrapped = json_option(why_option(click.argument("ids", nargs=-1, required=True)(wrapped)))
        cli.command(name)(wrapped)
        return body

    return decorate


@_decision("resolve")
def resolve(service: Service, id: str, who: str, at: datetime, why: str) -> Problem:
    """Resolve problems: a try that starts later makes one REGRESSED."""
    return service.resolve(id, who, at, why)


@_decision("unmute")
def unmute(service: Service, id: str, who: str, at: datetime, why: str) -> Problem:
    """Undo a mute."""
    return service.unmute(id, who, at, why)


@_decision("reopen")
def reopen(service: Service, id: str, who: str, at: datetime, why: str) -> Problem:
    """Undo a resolution."""
    return service.reopen(id, who, at, why)


def mute(service: Service, id: str, who: str, at: datetime, why: str, lasting: str | None, more: int | None) -> Problem:
    """Mute problems: for good, --for a time, or until --more failures."""
    return service.mute(id, who, at, lasting=span_of(lasting), more=more, why=why)


mute.options = [  # type: ignore[attr-defined]
    click.option("--for", "lasting", metavar="SPAN", help="For a time, such as 8h or 3d."),
    click.option("--more", type=int, help="Until this many more failures."),
]
_decision("mute")(mute)


@cli.command()
@click.argument("ids", nargs=-1, required=True)
@click.option("--to", "name", required=True, metavar="NAME", help="The owner, or nobody to let the rules say it again.")
@why_option
@json_option
@passes
def assign(context: Context, ids: tuple[str, ...], name: str, why: str, as_json: bool) -> None:
    """Make somebody the owner of problems, whatever rules, CODEOWNERS and Airflow say."""
    for problem in [context.service.find(id) for id in ids]:
        changed = context.service.assign(problem.id, name, user(), now(), why)
        if as_json:
            click.echo(json.dumps({"id": changed.id, "state": changed.state, "owner": changed.owner or None}))
        else:
            owner = f"assigned to {changed.owner}" if changed.owner else "assigned to nobody"
            out.print(f"{changed.id} is {owner}: {changed.title}", markup=False)
