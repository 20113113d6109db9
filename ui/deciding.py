"""The commands by which a person decides about problems: `resolve`, `mute`, `unmute`, `reopen`, `undo`, `assign`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import click

from triage import deploys, quiet
from triage.records import Problem, Stand
from triage.service import Service
from ui.command import Context, cli, given, json_option, now, out, passes, span_of, user, why_option

F = TypeVar("F", bound=Callable[..., Any])


def decided(service: Service, ids: Iterable[str], decide: Callable[[Service, str], Problem]) -> Iterator[Problem]:
    """Decide about each problem once, and give what became of it; InputError before anything is done where one is refused."""
    living = list(dict.fromkeys(service.find(id).id for id in ids))
    trial = replace(service, is_trial=True)
    for id in living:
        decide(trial, id)
    return (decide(service, id) for id in living)


def _decision(name: str) -> Callable[[F], F]:
    """Make a command over one or many problem ids that prints what became of them."""

    def decorate(body: F) -> F:
        def command(context: Context, /, ids: tuple[str, ...], as_json: bool, **options: Any) -> None:
            service = context.service
            for changed in decided(service, ids, lambda service, id: body(service, id, user(), now(), **options)):
                if as_json:
                    click.echo(json.dumps({"id": changed.id, "state": changed.state}))
                else:
                    out.print(f"{changed.id} is {changed.state}{_until(changed)}: {changed.title}", markup=False)

        command.__doc__ = body.__doc__
        wrapped = passes(command)
        for option in reversed(getattr(body, "options", [])):
            wrapped = option(wrapped)
        wrapped = json_option(why_option(click.argument("ids", nargs=-1, required=True)(wrapped)))
        cli.command(name)(wrapped)
        return body

    return decorate


def resolve(
    service: Service,
    id: str,
    who: str,
    at: datetime,
    why: str,
    next_deploy: bool,
    deploy: str | None,
    when_quiet: str | None,
) -> Problem:
    """Resolve problems: a try that starts later makes one REGRESSED.

    With --next-deploy or --deploy, failures of older DAG versions and bundles are expected still; with --when-quiet it
    stays as it is until then.
    """
    quiet_for = span_of(when_quiet, "--when-quiet")
    deploy = given(deploy, "--deploy", "Name a commit, or a DAG and its version as DAG@NUMBER.")
    return service.resolve(id, who, at, why, next_deploy=next_deploy, deploy=deploy, quiet_for=quiet_for)


resolve.options = [  # type: ignore[attr-defined]
    click.option("--next-deploy", is_flag=True, help="In the next deploy of its DAGs."),
    click.option(
        "--deploy",
        metavar="DEPLOY",
        help="In this deploy: a commit, or a DAG and its version as DAG@NUMBER.",
    ),
    click.option(
        "--when-quiet",
        metavar="SPAN",
        help="Once it has not failed for so long, such as 7d, and all its tasks ran well.",
    ),
]
_decision("resolve")(resolve)


def _until(problem: Problem) -> str:
    """Say what a decision waits for."""
    if problem.deploy is not None:
        return f", in {deploys.name(problem.deploy)}"
    return f", to be resolved when quiet for {quiet.days(problem.quiet_for)}" if problem.quiet_for else ""


@_decision("unmute")
def unmute(service: Service, id: str, who: str, at: datetime, why: str) -> Problem:
    """Take back a mute: the problem is what it was before."""
    return service.unmute(id, who, at, why)


@_decision("reopen")
def reopen(service: Service, id: str, who: str, at: datetime, why: str) -> Problem:
    """Take back a resolution, or the wish to resolve when quiet: the problem is what it was before."""
    if service.find(id).quiet_for is not None:
        return service.disarm(id, who, at, why)
    return service.reopen(id, who, at, why)


@cli.command()
@click.argument("ids", nargs=-1, required=True)
@why_option
@json_option
@passes
def undo(context: Context, ids: tuple[str, ...], why: str, as_json: bool) -> None:
    """Put back what stood before a person's last decision, whoever's, as long as nothing was decided since."""
    meant: dict[str, Stand | None] = {}

    def take_back(service: Service, id: str) -> Problem:
        # What is said to be taken back is what is: a decision made in between is refused.
        last = meant.setdefault(id, service.find(id).undo)
        return service.undo(id, user(), now(), why, of=last.decided_at if last else None)

    for changed in decided(context.service, ids, take_back):
        last = meant[changed.id]
        if as_json:
            taken = {"who": last.decided_by, "what": last.left_by} if last else None
            click.echo(json.dumps({"id": changed.id, "state": changed.state, "took_back": taken}))
        else:
            said = f", without what {last.decided_by or 'a person'} decided ({last.left_by})" if last else ""
            out.print(f"{changed.id} is {changed.state}{_until(changed)}{said}: {changed.title}", markup=False)


def mute(
    service: Service, id: str, who: str, at: datetime, why: str, lasting: str | None, more: int | None,
    until_spread: bool, until_closed: bool,
) -> Problem:  # fmt: skip
    """Mute problems: for good, or until an end; of several ends the first counts."""
    return service.mute(
        id, who, at, lasting=span_of(lasting), more=more, spread=until_spread, closed=until_closed, why=why
    )


mute.options = [  # type: ignore[attr-defined]
    click.option("--for", "lasting", metavar="SPAN", help="For a time, such as 8h or 3d."),
    click.option("--more", type=int, help="Until this many more failures."),
    click.option("--until-spread", is_flag=True, help="Until it fails in a DAG that is not known now."),
    click.option("--until-closed", is_flag=True, help="Until its GitLab issue closes, which resolves it."),
]
_decision("mute")(mute)


@cli.command()
@click.argument("id")
@click.argument("words", metavar="TEXT...", nargs=-1, required=True)
@json_option
@passes
def note(context: Context, id: str, words: tuple[str, ...], as_json: bool) -> None:
    """Write a note into the history of a problem."""
    entry = context.service.note(id, user(), now(), " ".join(words))
    if as_json:
        click.echo(json.dumps({"id": entry.problem, "at": entry.at.isoformat(), "text": entry.why}))
    else:
        out.print(f"{entry.problem}: noted.", markup=False)


@cli.command()
@click.argument("ids", nargs=-1, required=True)
@click.option("--to", "name", required=True, metavar="NAME", help="The owner, or nobody to let the rules say it again.")
@why_option
@json_option
@passes
def assign(context: Context, ids: tuple[str, ...], name: str, why: str, as_json: bool) -> None:
    """Make somebody the owner of problems, whatever rules, CODEOWNERS and Airflow say."""
    for changed in decided(context.service, ids, lambda service, id: service.assign(id, name, user(), now(), why)):
        if as_json:
            click.echo(json.dumps({"id": changed.id, "state": changed.state, "owner": changed.owner or None}))
        else:
            owner = f"assigned to {changed.owner}" if changed.owner else "assigned to nobody"
            out.print(f"{changed.id} is {owner}: {changed.title}", markup=False)
