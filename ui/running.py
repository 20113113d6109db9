"""The commands that run airtriage: `up`, `worker`, `web`, `collect`, `demo`, `doctor`."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from triage import settings as settings_
from triage.errors import InputError
from triage.settings import Settings
from ui import own_log
from ui.command import Context, cli, err, json_option, needs_deployments, out, passes
from ui.tables import progress_bar

if TYPE_CHECKING:
    from collector.report import Report


@cli.command()
@passes
def up(context: Context) -> None:
    """Run collector, schedule and web page together; Ctrl-C ends all of it."""
    from collector.broker import prepare
    from ui.up import Supervisor, check_port, interrupt_on_sigterm, start_children

    settings = context.settings
    needs_deployments(settings)
    prepare(settings)
    check_port(settings.web.host, settings.web.port)
    context.service.store.close()
    supervisor = Supervisor(
        lambda text: err.print(text, markup=False, soft_wrap=True), settings_.environment(inherit=True)
    )
    out.print(
        f"airtriage watches {', '.join(settings.deployments)}. The page: {settings.web.url} (Ctrl-C ends it)",
        markup=False,
    )
    interrupt_on_sigterm()
    try:
        start_children(supervisor, context._config, settings)
        while True:
            supervisor.watch()
            time.sleep(1)
    finally:
        supervisor.stop()


@cli.command()
@click.option("--beat", is_flag=True, help="Run the schedule in this worker too.")
@click.option("--concurrency", type=click.IntRange(2, 256), help="Ticks at once (one a deployment and three more).")
@click.option(
    "--only", type=click.Choice(["live", "bulk"]), help="Take live work alone, or what takes long alone (both)."
)
@passes
def worker(context: Context, beat: bool, concurrency: int | None, only: str | None) -> None:
    """Run a Celery worker; start as many as needed, with --beat as many as are to stand in for each other."""
    from collector.ticks import Lane
    from collector.working import work

    needs_deployments(context.settings)
    # One thread a deployment, and one for GitLab: one that hangs delays no other.
    work(
        context.settings,
        beat=beat,
        concurrency=concurrency or min(len(context.settings.deployments) + 3, 256),
        lanes=(Lane[only.upper()],) if only else tuple(Lane),
    )


@cli.command(hidden=True)
@passes
def beat(context: Context) -> None:
    """Run the schedule alone, as `up` does."""
    from collector.working import schedule

    needs_deployments(context.settings)
    schedule(context.settings)


@cli.command()
@click.option(
    "--only", type=click.Choice(["pages", "api"]), help="Serve the pages, or the API and the webhooks, alone."
)
@passes
def web(context: Context, only: str | None) -> None:
    """Serve the pages, the API and the webhooks, together or apart from each other."""
    from ui.web import Part, serve

    settings = context.settings
    serve(settings, nudging(settings) if settings.gitlabs else None, Part(only or "all"))


def nudging(settings: Settings) -> Callable[[], None]:
    """Return what asks the collector for a round over GitLab; Celery comes with the first, so that no start waits for it."""

    @functools.cache
    def ready() -> Callable[[], None]:
        from collector.working import nudge

        return nudge(settings)

    return lambda: ready()()


@cli.command()
@click.argument("part", type=click.Choice(["web", "pages", "api", "worker", "beat"]))
@passes
def alive(context: Context, part: str) -> None:
    """Say whether this part is at work on this machine, for health checks: 0 or 1."""
    from ui.alive import Part, ask

    is_alive, sentence = ask(Part(part), context.settings, time.time())
    (out if is_alive else err).print(sentence, markup=False, soft_wrap=True)
    sys.exit(0 if is_alive else 1)


@cli.command()
@click.option("--once", is_flag=True, help="Print the queue when it is whole, and exit.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where everything goes (the user's cache folder).",
)
@click.option("--port", type=click.IntRange(1, 65535), help="The page's port (a free one).")
@json_option
def demo(once: bool, folder: Path | None, port: int | None, as_json: bool) -> None:
    """Run a throwaway Airflow with DAGs that fail, and airtriage on it."""
    from ui.demo.run import run

    run(folder, port, once=once, as_json=as_json)


@cli.command()
@click.argument("names", metavar="[DEPLOYMENT]...", nargs=-1)
@click.option("--again", is_flag=True, help="Ask again for every log that stands as missing or partial.")
@json_option
@passes
def collect(context: Context, names: tuple[str, ...], again: bool, as_json: bool) -> None:
    """Make one pass over every deployment (or those named), side by side, in this process."""
    from collector.broker import prepare
    from collector.tasks import Collector
    from collector.ticks import RETIRE_FOR
    from ui.collecting import collect as passes_over
    from ui.regrouping import finish

    settings = context.settings
    needs_deployments(settings)
    for name in names:
        if name not in settings.deployments:
            raise InputError(
                f"There is no deployment {name!r}.", f"The settings name: {', '.join(settings.deployments)}."
            )
    prepare(settings)
    finish(settings, err, as_json=as_json)
    chosen = tuple(dict.fromkeys(names or settings.deployments))
    with progress_bar(err, as_json) as bar:
        collector = Collector(settings)
        reports = list(passes_over(collector, chosen, bar, again=again))
    collector.retire(budget=RETIRE_FOR)
    for report in sorted(reports, key=lambda report: chosen.index(report.deployment)):
        _print_report(report, as_json)
    if any(report.troubles for report in reports):
        sys.exit(1)


@cli.command()
@json_option
@passes
def doctor(context: Context, as_json: bool) -> None:
    """Check the settings and every connection: one line each, and the fix."""
    from ui.doctor import check

    failed: list[int] = []
    for finding in check(context.settings):
        if not finding.ok:
            failed.append(2 if finding.is_setting else 1)
        text, fix = own_log.masked(finding.text), own_log.masked(finding.fix)
        if as_json:
            click.echo(json.dumps({"name": finding.name, "ok": finding.ok, "text": text, "fix": fix}))
        else:
            mark = Text("ok  ", "green") if finding.ok else Text("FAIL", "bold red")
            out.print(mark, Text(f"{finding.name}: {text} {fix}".rstrip()), soft_wrap=True)
    sys.exit(max(failed, default=0))


def _print_report(report: Report, as_json: bool) -> None:
    troubles = [own_log.masked(f"{trouble.what} {trouble.fix}".strip()) for trouble in report.troubles]
    if as_json:
        click.echo(json.dumps({
            "deployment": report.deployment, "new": report.new, "fetched": report.fetched,
            "waiting": report.backlog.waiting, "troubles": troubles,
        }))  # fmt: skip
    else:
        waiting = f", {report.backlog.waiting} logs awaited" if report.backlog.waiting else ""
        out.print(
            f"{report.deployment}: {report.new} new failed tries, {report.fetched} logs read{waiting}.",
            markup=False,
        )
    for trouble in troubles:
        err.print(trouble, markup=False, soft_wrap=True)
