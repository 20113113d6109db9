"""The commands about GitLab issues: `sync`, `link` and `unlink`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click
from rich.text import Text

from ui import own_log
from ui.command import Context, cli, err, json_option, now, out, passes, user
from ui.format import many, one_line
from ui.tables import plan_table, progress_bar

if TYPE_CHECKING:
    from triage.sync import Planned, Report

# How far ahead what is to come is waited for: the two looks, a minute apart, before an issue is opened.
_AHEAD = timedelta(minutes=3)


@cli.command()
@click.option("--dry-run", is_flag=True, help="Only say what would become of each problem, and why.")
@click.option("--once", is_flag=True, help="One round; else what is due within three minutes is waited for.")
@json_option
@passes
def sync(context: Context, dry_run: bool, once: bool, as_json: bool) -> None:
    """Open the GitLab issues that problems deserve, and bring both sides up to each other."""
    from collector.mirroring import ask_owners, grant, syncer
    from triage.sync import Report

    mirroring = syncer(context.settings, context.service, now)
    if dry_run:
        planned = mirroring.plan(now())
        if as_json:
            for one in planned:
                click.echo(json.dumps(_planned_json(one)))
        else:
            out.print(plan_table(planned))
            out.print(_summed(planned), markup=False)
        return
    grant(context.settings, context.service, now)
    done, troubles = Report(), ask_owners(context.settings, context.service, now())
    with progress_bar(err, as_json) as bar:
        task = bar.add_task("GitLab", total=None)
        while True:
            report = mirroring.run(progress=lambda project: bar.update(task, description=project))
            done.add(report)
            ahead = report.again_at - now() if report.again_at is not None else _AHEAD
            if once or report.troubles or ahead >= _AHEAD:
                break
            bar.update(task, description=f"looks again in {max(0, ahead.total_seconds()):.0f} s before it opens more")
            time.sleep(max(1.0, ahead.total_seconds()))
    done.troubles += troubles
    _print_report(done, as_json)
    sys.exit(1 if done.troubles else 0)


@cli.command()
@click.argument("id")
@click.argument("issue", metavar="URL")
@json_option
@passes
def link(context: Context, id: str, issue: str, as_json: bool) -> None:
    """Make an issue that exists the GitLab issue of a problem: its address, or GROUP/PROJECT#12."""
    from collector.mirroring import way, words
    from triage import linking

    settings, service = context.settings, context.service
    problem = service.find(id)
    gitlab = linking.at_gitlab(settings, issue)
    place = linking.place(gitlab, issue)
    issues = way(settings, gitlab, place.project)
    assert issues is not None
    made = linking.link(service, issues, words(settings, service, now), gitlab, problem, place, user(), now())
    if as_json:
        click.echo(json.dumps({"id": problem.id, "gitlab_url": made.web_url}))
    else:
        out.print(f"{problem.id} is linked to {made.web_url}: {one_line(problem.title)}", markup=False)


@cli.command()
@click.argument("id")
@json_option
@passes
def unlink(context: Context, id: str, as_json: bool) -> None:
    """Part a problem from its GitLab issue, which stays as it is; no other is opened for it."""
    from triage import linking

    problem = context.service.find(id)
    was = linking.unlink(context.service, problem, user(), now())
    if as_json:
        click.echo(json.dumps({"id": problem.id, "gitlab_url": None}))
    else:
        out.print(
            f"{problem.id} is parted from {was.web_url or 'the issue it was to get'}: {one_line(problem.title)}",
            markup=False,
        )


def _summed(planned: Sequence[Planned]) -> str:
    """Say in a line what a round would do, so that nobody counts rows before the first one."""
    opens = sum(one.judged is not None and one.judged.verdict == "opens" for one in planned)
    waits = sum(one.judged is not None and one.judged.is_storm for one in planned)
    linked = sum(one.mirror is not None and one.mirror.status == "linked" for one in planned)
    storm = f", {waits} more wait under the storm cap and share one issue until then" if waits else ""
    return f"{many(opens, 'issue')} would be opened{storm}. {many(linked, 'problem has', 'problems have')} an issue."


def _planned_json(one: Planned) -> dict[str, object]:
    judged = one.judged
    return {
        "id": one.row.problem.id,
        "title": one.row.problem.title,
        "verdict": judged.verdict if judged else one.mirror.status if one.mirror else "off",
        "why": one.says,
        "gitlab": judged.gitlab if judged else one.mirror.gitlab if one.mirror else "",
        "project": judged.project if judged else one.mirror.project if one.mirror else "",
        "route": judged.route if judged else "",
        "labels": list(judged.labels if judged else one.mirror.labels if one.mirror else ()),
        "assignee": judged.assignee if judged else one.mirror.assignee if one.mirror else "",
        "confidential": judged.confidential if judged else None,
        "gitlab_url": one.mirror.web_url or None if one.mirror else None,
    }


def _print_report(report: Report, as_json: bool) -> None:
    troubles = [own_log.masked(f"{trouble.what} {trouble.fix}".strip()) for trouble in report.troubles]
    counts = {name: getattr(report, name) for name in ("opened", "adopted", "heard", "told", "busy")}
    if as_json:
        click.echo(json.dumps(counts | {"troubles": troubles}))
    else:
        busy = f" Another process works on {many(report.busy, 'project')}." if report.busy else ""
        found = f", {report.adopted} found again" if report.adopted else ""
        heard, told = f"{many(report.heard, 'change')} heard from GitLab", f"{report.told} brought up to date"
        out.print(Text(f"{many(report.opened, 'issue')} opened{found}, {told}, {heard}.{busy}"))
    for trouble in troubles:
        err.print(trouble, markup=False, soft_wrap=True)
