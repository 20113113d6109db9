"""`airtriage case`: the failed tries of a problem written as a folder, and what is said of it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from triage.complaint import Complaint, complaint, write
from triage.service import Service


def write_case(
    service: Service, id: str, folder: Path | None, now: datetime, *, limit: int, anonymous: bool, as_json: bool
) -> int:
    """Write the folder and say what is in it; returns the exit code, 1 where a fingerprint was not kept."""
    made = complaint(service, id, now, limit=limit, anonymous=anonymous)
    folder = folder or Path(f"airtriage-case-{id}")
    write(made, folder)
    (_print_json if as_json else _print)(made, folder)
    return 0 if made.is_whole else 1


def _print_json(made: Complaint, folder: Path) -> None:
    for one in made.cases:
        click.echo(json.dumps({
            "id": one.id, "file": str(folder / one.group / f"{one.name}.log"), "files": [str(folder / path) for path in one.files],
            "fingerprint": one.fingerprint, "stored": one.stored, "title": one.title, "note": one.note or None,
        }))  # fmt: skip
    for left in made.left_out:
        click.echo(json.dumps({"id": left.id, "file": None, "note": left.note}))


def _print(made: Complaint, folder: Path) -> None:
    groups = list(dict.fromkeys(one.group for one in made.cases))
    for group in groups:
        click.echo(folder / group)
        for one in made.cases:
            if one.group == group:
                beside = " and what Airflow says of it" if len(one.files) > 1 else ""
                click.echo(f"  {one.name}.log{beside}  {one.fingerprint}{'  ' if one.note else ''}{one.note}")
    for left in made.left_out:
        click.echo(left.note, err=True)
    if made.without_log:
        tries = "failed try has" if made.without_log == 1 else "failed tries have"
        click.echo(f"{made.without_log} {tries} no log, so no case can be made of it.", err=True)
    if made.files:
        click.echo(made.privacy, nl=False)
        click.echo("README.md in the folder says what to do with it.")
