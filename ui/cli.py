"""`airtriage`: the one command, and where things are wired.

Owns the command line: options, tables, progress bars, exit codes (0 done, 1 done but something fell short, 2 bad input
or settings, 130 interrupted). Every command that prints takes `--json`: one JSON object a line and nothing else on
standard output. Errors are one sentence on standard error.
"""

from __future__ import annotations

import dataclasses
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.text import Text

from triage import asking, signature
from triage import settings as settings_
from triage.errors import InputError, SettingsError, TriageError
from triage.model import Occurrence
from triage.query import EVERYTHING, parse
from triage.queue import QueueRow, open_row
from triage.records import ComparisonStatus, Problem, TriageState
from triage.redact import PLAIN
from triage.service import Service
from triage.settings import Settings
from triage.settings.values import span
from triage.store import open_store
from ui import answers, own_log
from ui import format as fmt
from ui.tables import evidence, print_comparison, print_problem, print_similar, progress_bar, queue_table, tries_table

if TYPE_CHECKING:
    from collector.report import Report

F = TypeVar("F", bound=Callable[..., Any])
# What is not a terminal is a file or a program: no folding to a width nobody has.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False)


def now() -> datetime:
    """Return our clock, aware UTC."""
    from collector.tasks import now as clock

    return clock()


class Context:
    """What every command shares: the settings and, opened at first use, the service on their store."""

    def __init__(self, config: str | None) -> None:
        self._config = config
        self._settings: Settings | None = None
        self._service: Service | None = None

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            self._settings = settings_.load(self._config)
            own_log.guard(self._settings.redactor)
        return self._settings

    @property
    def service(self) -> Service:
        if self._service is None:
            its = self.settings
            self._service = Service(open_store(its.store_url), its.scopes, its.redactor, its.signers)
        return self._service


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, nothing else.")
limit_option = click.option("--limit", type=click.IntRange(1), help="At most this many (50; all with --json).")
why_option = click.option("--why", default="", help="The reason, for the history.")
passes = click.make_pass_decorator(Context)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="airtriage", prog_name="airtriage")
@click.option(
    "--config",
    metavar="FILE",
    help="The settings file (else AIRTRIAGE_CONFIG, ./airtriage.toml, the user's config folder).",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--until-parent-ends", is_flag=True, hidden=True)
@click.pass_context
def cli(context: click.Context, config: str | None, debug: bool, until_parent_ends: bool) -> None:
    """Every failed Airflow task ends up here: understood, owned, closed."""
    if until_parent_ends:
        from ui.up import end_with_parent

        end_with_parent()
    context.obj = Context(config)


@cli.command()
@passes
def up(context: Context) -> None:
    """Run collector, schedule and web page together; Ctrl-C ends all of it."""
    from collector.tasks import prepare
    from ui.up import Supervisor, check_port, interrupt_on_sigterm, start_children

    settings = context.settings
    _needs_deployments(settings)
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
@click.option("--concurrency", type=click.IntRange(1, 256), help="Ticks at once (one a deployment and two more).")
@passes
def worker(context: Context, beat: bool, concurrency: int | None) -> None:
    """Run a Celery worker; start as many as needed, one of them with --beat."""
    from collector.tasks import work

    _needs_deployments(context.settings)
    # One thread a deployment: one that hangs delays no other.
    work(context.settings, beat=beat, concurrency=concurrency or len(context.settings.deployments) + 2)


@cli.command(hidden=True)
@passes
def beat(context: Context) -> None:
    """Run the schedule alone, as `up` does."""
    from collector.tasks import schedule

    _needs_deployments(context.settings)
    schedule(context.settings)


@cli.command()
@passes
def web(context: Context) -> None:
    """Serve the pages and the API."""
    from ui.up import check_port
    from ui.web import serve

    check_port(context.settings.web.host, context.settings.web.port)
    serve(context.settings)


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
    from collector.tasks import Collector, prepare
    from ui.collecting import collect as passes_over
    from ui.regrouping import finish

    settings = context.settings
    _needs_deployments(settings)
    for name in names:
        if name not in settings.deployments:
            raise InputError(
                f"There is no deployment {name!r}.", f"The settings name: {', '.join(settings.deployments)}."
            )
    prepare(settings)
    finish(settings, err, as_json=as_json)
    chosen = tuple(dict.fromkeys(names or settings.deployments))
    with progress_bar(err, as_json) as bar:
        reports = list(passes_over(Collector(settings), chosen, bar, again=again))
    for report in sorted(reports, key=lambda report: chosen.index(report.deployment)):
        _print_report(report, as_json)
    if any(report.troubles for report in reports):
        sys.exit(1)


@cli.command()
@click.argument("query", nargs=-1)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([*TriageState, "OPEN", "ALL"], case_sensitive=False),
    help="Only these states (OPEN).",
)
@limit_option
@json_option
@passes
def problems(
    context: Context, query: tuple[str, ...], states: tuple[str, ...], limit: int | None, as_json: bool
) -> None:
    """Print the triage queue: the open problems, most urgent first."""
    at = now()
    wanted = {state.upper() for state in states or (["ALL"] if query or as_json else ["OPEN"])}
    rows = [row for row in context.service.queue(at, parse(" ".join(query), at)) if _wanted(row, wanted)]
    shown = rows if limit is None and as_json else rows[: limit or 50]
    if as_json:
        for row in shown:
            click.echo(json.dumps(fmt.problem_json(row)))
    else:
        out.print(queue_table(shown, at))
        if len(rows) > len(shown):
            out.print(f"{len(rows) - len(shown)} more; --limit {len(rows)} shows them all.")
        if not rows and (query or states):
            out.print("No problem matches. airtriage problems '*' lists all of them.")
        elif not rows:
            out.print("No problems. airtriage collect looks for failures; airtriage doctor checks the connections.")


@cli.command()
@click.argument("id")
@click.option("--compare", is_flag=True, help="Ask Airflow for the last good run, and say which lines are new since.")
@json_option
@passes
def problem(context: Context, id: str, compare: bool, as_json: bool) -> None:
    """Show one problem: what failed, the evidence, where, how its tasks fared since, its history, and similar problems."""
    if compare:
        from ui.comparing import compare as compare_

        _needs_deployments(context.settings)
        compare_(context.settings, context.service, id, _user())
    view = context.service.problem(id, now())
    fact = context.service.readable(view)
    found = asking.comparison(context.service, fact.key.id) if fact else None
    signed = view.latest.signature if view.latest else None
    from triage.similar import Known  # brings numpy along, which the other commands need not wait for

    similar = Known(context.service).similar(view, now())
    if as_json:
        click.echo(json.dumps(fmt.problem_json(view.row) | {
            "evidence": [{"line": e.number, "text": e.text} for e in evidence(view)],
            "decisions": list(signed.decisions) if signed else [],
            "differs": list(signature.differs(signed, view.latest.key.task)) if signed and view.latest else [],
            "failed_tries": [fmt.occurrence_json(o, view.row.problem.id) for o in view.occurrences],
            "outcomes": [answers.outcomes_json(answer) for answer in view.outcomes],
            "last_good_run": answers.comparison_json(found, fact),
            "similar": fmt.similar_json(similar),
        }))  # fmt: skip
    else:
        print_problem(out, view, now())
        print_similar(out, similar)
        if found and fact:
            print_comparison(out, found, fact, now())
    if compare and found and found.status is ComparisonStatus.FAILED:
        sys.exit(1)


@cli.command()
@click.argument("query", nargs=-1)
@limit_option
@json_option
@passes
def search(context: Context, query: tuple[str, ...], limit: int | None, as_json: bool) -> None:
    """Print the failed tries that match, newest first."""
    at = now()
    tree = parse(" ".join(query), at)
    if as_json:
        for occurrence in _all(context.service, tree, at, limit):
            click.echo(json.dumps(fmt.occurrence_json(occurrence, context.service.problem_of(occurrence))))
        return
    rows = context.service.search(tree, at, limit or 50)
    out.print(tries_table(rows, at))
    if not rows:
        out.print("No failed try matches. airtriage search '*' lists all of them.")


@cli.command()
@click.argument("files", metavar="[FILE]...", nargs=-1)
@click.option("--explain", is_flag=True, help="Say what was taken, what was passed over, and why.")
@click.option("--task", default="", metavar="DAG.TASK", help="The task it failed in; some failures count by it.")
@click.option("--records", is_flag=True, help="Every file holds records, whatever its name.")
@json_option
@passes
def sign(context: Context, files: tuple[str, ...], explain: bool, task: str, records: bool, as_json: bool) -> None:
    """Sign logs (files, or - for standard input) without any store, by the rules in the settings.

    A .jsonl file holds records: one {"id": …, "log_text": …} a line. A .gz file is unpacked on the way. What cannot be
    read is named by its line, the rest goes on, and the exit code is 1.
    """
    from ui.signing import sign_files

    rules = context.settings.rules
    sys.exit(sign_files(files or ("-",), rules, task=task, explain=explain, as_json=as_json, records=records))


@cli.command()
@click.argument("id")
@click.option(
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the folder is written (airtriage-case-ID here).",
)
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="At most this many failed tries.")
@click.option("--anonymous", is_flag=True, help="Put other names for DAGs, tasks, runs and hosts.")
@json_option
@passes
def case(context: Context, id: str, folder: Path | None, limit: int, anonymous: bool, as_json: bool) -> None:
    """Write the redacted logs of a problem, or of one failed try, as a folder of the corpus.

    For a wrong grouping: the folder goes into a bug report, or into tests/corpus.
    """
    from ui.casing import write_case

    sys.exit(write_case(context.service, id, folder, now(), limit=limit, anonymous=anonymous, as_json=as_json))


def _decision(name: str) -> Callable[[F], F]:
    """Make a command over one or many problem ids that prints what became of them."""

    def decorate(body: F) -> F:
        def command(context: Context, /, ids: tuple[str, ...], as_json: bool, **options: Any) -> None:
            for problem in [context.service.find(id) for id in ids]:
                changed: Problem = body(context.service, problem.id, _user(), now(), **options)
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
    return service.mute(id, who, at, lasting=_span(lasting), more=more, why=why)


mute.options = [  # type: ignore[attr-defined]
    click.option("--for", "lasting", metavar="SPAN", help="For a time, such as 8h or 3d."),
    click.option("--more", type=int, help="Until this many more failures."),
]
_decision("mute")(mute)


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
@json_option
@passes
def doctor(context: Context, as_json: bool) -> None:
    """Check the settings and every connection: one line each, and the fix."""
    from ui.doctor import check

    failed = 0
    for finding in check(context.settings):
        failed += not finding.ok
        text, fix = own_log.masked(finding.text), own_log.masked(finding.fix)
        if as_json:
            click.echo(json.dumps({"name": finding.name, "ok": finding.ok, "text": text, "fix": fix}))
        else:
            mark = Text("ok  ", "green") if finding.ok else Text("FAIL", "bold red")
            out.print(mark, Text(f"{finding.name}: {text} {fix}".rstrip()), soft_wrap=True)
    sys.exit(1 if failed else 0)


# --- what commands share


def main(argv: list[str] | None = None) -> None:
    """Run the command; map every error an operator can fix to one sentence and its exit code."""
    own_log.guard(PLAIN)
    try:
        cli.main(argv, prog_name="airtriage", standalone_mode=False)
    except click.exceptions.Exit as exc:
        sys.exit(exc.exit_code)
    except click.ClickException as exc:
        err.print(f"{exc.format_message()} airtriage --help shows how.", markup=False, soft_wrap=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except TriageError as exc:
        if "--debug" in (argv or sys.argv):
            raise
        err.print(own_log.masked(str(exc)), markup=False, soft_wrap=True)
        sys.exit(2 if isinstance(exc, SettingsError | InputError) else 1)


def _all(service: Service, tree: Any, at: datetime, limit: int | None) -> Iterator[Occurrence]:
    """Page through every match at flat memory."""
    after, left = None, limit
    while left is None or left > 0:
        page = service.search(tree, at, min(500, left or 500), after)
        yield from page
        if not page:
            return
        after = (page[-1].ended_at, page[-1].key.id)
        left = None if left is None else left - len(page)


def _wanted(row: QueueRow, states: set[str]) -> bool:
    return "ALL" in states or row.problem.state in states or ("OPEN" in states and open_row(row))


def _needs_deployments(settings: Settings) -> None:
    if not settings.deployments:
        raise SettingsError(
            "No deployment is configured.",
            "Set AIRTRIAGE_DEPLOYMENTS__PROD__URL (and __USERNAME, __PASSWORD), or write [deployments.prod] in airtriage.toml.",
        )


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


def _user() -> str:
    """Return the operating system's user; its number where it has no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _span(text: str | None) -> timedelta | None:
    if text is None:
        return None
    try:
        return span(text)
    except ValueError as exc:
        raise InputError(f"--for {exc}.") from exc


if __name__ == "__main__":
    main()
