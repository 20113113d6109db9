"""The commands that show something: `problems`, `problem`, `sign`, `case`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from triage import asking, signature
from triage.elsewhere import elsewhere
from triage.merging import in_force
from triage.mirrors import Mirror
from triage.query import parse
from triage.queue import QueueRow, open_row
from triage.records import ComparisonStatus, TriageState
from ui import answers
from ui import format as fmt
from ui.command import Context, cli, json_option, limit_option, needs_deployments, now, out, passes, user
from ui.mirrored import gitlab_json, mirrored
from ui.tables import evidence, print_comparison, print_problem, print_similar, queue_table


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
        mirrors = {mirror.problem: mirror for mirror, _ in context.service.store.records(Mirror)}
        out.print(queue_table(shown, at, mirrors, out.width))
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

        needs_deployments(context.settings)
        compare_(context.settings, context.service, id, user())
    view = context.service.problem(id, now())
    fact = context.service.readable(view)
    found = asking.comparison(context.service, fact.key.id) if fact else None
    signed = view.latest.signature if view.latest else None
    from triage.similar import Known  # brings numpy along, which the other commands need not wait for

    similar = Known(context.service).similar(view, now())
    there = elsewhere(context.service, view.row.problem, view.fingerprints)
    its = mirrored(context.service, context.settings, view.row, now())
    if as_json:
        click.echo(json.dumps(fmt.problem_json(view.row) | {
            "evidence": [{"line": e.number, "text": e.text} for e in evidence(view)],
            "decisions": list(signed.decisions) if signed else [],
            "differs": list(signature.differs(signed, view.latest.key.task)) if signed and view.latest else [],
            "next_step": fmt.next_step(view, now()),
            "history": [fmt.change_json(change) for change in view.history],
            "failed_tries": [fmt.occurrence_json(o, view.row.problem.id) for o in view.occurrences],
            "outcomes": [answers.outcomes_json(answer) for answer in view.outcomes],
            "last_good_run": answers.comparison_json(found, fact),
            "similar": fmt.similar_json(similar),
            "fingerprints": list(view.fingerprints),
            "moves": [fmt.move_json(move) for move in in_force(context.service, view.row.problem)],
            "elsewhere": fmt.elsewhere_json(there), "gitlab": gitlab_json(its, now()),
        }))  # fmt: skip
    else:
        print_problem(out, view, now(), its)
        for one in there:
            out.print(f"Also in {fmt.also_in(one)}: problem {one.problem.id}.", markup=False)
        print_similar(out, similar)
        if found and fact:
            print_comparison(out, found, fact, now())
    if compare and found and found.status is ComparisonStatus.FAILED:
        sys.exit(1)


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


def _wanted(row: QueueRow, states: set[str]) -> bool:
    return "ALL" in states or row.problem.state in states or ("OPEN" in states and open_row(row))
