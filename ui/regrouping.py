"""`airtriage regroup`: what is kept, signed anew by the rules of today, and what that would do.

Owns the progress shown, waiting for another process that does it already, and how a plan reads, for people and as JSON.
"""

from __future__ import annotations

import json
import time

import click
from rich.console import Console

from collector.tasks import Collector, now
from triage.records import Regroup
from triage.regroup import Fate, Plan, Regrouping
from triage.settings import Settings
from ui import format as fmt
from ui.tables import progress_bar

_LOOK_EVERY = 0.5  # seconds between two looks at what another process does


def regroup(settings: Settings, out: Console, err: Console, *, as_json: bool) -> int:
    """Sign anew what is to be, or wait for the process that does, and print what was done; returns the exit code."""
    collector = Collector(settings)
    work = Regrouping(collector.service, now, now())
    done = None
    with progress_bar(err, as_json) as bar:
        task = bar.add_task("failed tries", total=work.waiting())
        while done is None and work.is_due():
            done = collector.regroup(lambda tries: bar.advance(task, tries))
            if done is None:
                bar.update(task, description="another process signs them")
                time.sleep(_LOOK_EVERY)
    _print_done(work, done, out, as_json=as_json)
    if done is not None and done.done_at is None:
        err.print("Some failed tries could not be signed anew; they keep their problem, and a worker tries them again.")
        return 1
    return 0


def finish(settings: Settings, err: Console, *, as_json: bool) -> None:
    """Sign anew what is to be, before a pass; where another process does it already, leave it to that."""
    collector = Collector(settings)
    work = Regrouping(collector.service, now, now())
    if work.is_due():
        with progress_bar(err, as_json) as bar:
            task = bar.add_task("signing kept logs anew", total=work.waiting())
            collector.regroup(lambda tries: bar.advance(task, tries))


def show_plan(settings: Settings, out: Console, err: Console, *, as_json: bool) -> int:
    """Print what signing anew would do, and each problem whose failures would be told apart or merged; returns 0."""
    work = Regrouping(Collector(settings).service, now, now())
    with progress_bar(err, as_json) as bar:
        task = bar.add_task("failed tries", total=work.waiting())
        plan = work.plan(lambda tries: bar.advance(task, tries))
    if as_json:
        for fate in plan.fates:
            click.echo(json.dumps(_fate_json(fate)))
        click.echo(json.dumps(_plan_json(plan)))
        return 0
    out.print(_said(plan), markup=False, soft_wrap=True)
    for fate in plan.fates:
        if fate.is_split or fate.is_merged:
            out.print(_told(fate), markup=False, soft_wrap=True)
    return 0


def _print_done(work: Regrouping, done: Regroup | None, out: Console, *, as_json: bool) -> None:
    edition, tries = work.service.signers.edition, done.tries if done else 0
    left = work.waiting()
    if as_json:
        click.echo(json.dumps({"dry_run": False, "edition": edition, "tries": tries, "left": left}))
    elif not tries:
        out.print(f"Nothing to do: what is kept is signed by the rules of today (signatures {edition}).")
    else:
        kept = f" {left} without a kept log keep their fingerprint, and their problem." if left else ""
        out.print(f"{tries} failed tries were signed anew (signatures {edition}).{kept}", markup=False)


def _said(plan: Plan) -> str:
    if not plan.tries:
        return (
            f"Nothing would be signed anew: what is kept is signed by the rules of today (signatures {plan.edition})."
        )
    split, merged = (sum(getattr(fate, name) for fate in plan.fates) for name in ("is_split", "is_merged"))
    return (
        f"{plan.tries} failed tries of {len(plan.fates)} problems would be signed anew (signatures {plan.edition}), "
        f"{plan.changed} of them with a fingerprint that says something else. {split} problems would own more fingerprints, "
        f"{merged} would give failures to another problem; {plan.left} tries without a kept log would stay as they are."
    )


def _told(fate: Fate) -> str:
    told = [f"{fate.problem.id[:8]}  {fate.problem.state}  {fmt.one_line(fate.problem.title)}:"]
    told.append(f"{len(fate.before)} -> {len(fate.after)} fingerprints")
    told += [f"{tries} tries go to {id[:8]}" for id, tries in fate.to.items() if id != fate.problem.id]
    return ", ".join(told).replace(":,", ":")


def _fate_json(fate: Fate) -> dict[str, object]:
    return {
        "id": fate.problem.id, "title": fate.problem.title, "state": fate.problem.state, "tries": fate.tries,
        "before": fate.before, "after": fate.after, "to": fate.to, "split": fate.is_split, "merged": fate.is_merged,
    }  # fmt: skip


def _plan_json(plan: Plan) -> dict[str, object]:
    return {
        "dry_run": True, "edition": plan.edition, "tries": plan.tries, "changed": plan.changed, "left": plan.left,
        "problems": len(plan.fates), "split": sum(fate.is_split for fate in plan.fates),
        "merged": sum(fate.is_merged for fate in plan.fates),
    }  # fmt: skip
