"""`airtriage copy`: two stores opened, one filled from the other or both compared, and how that reads.

Owns the progress shown, and the sentence that says what is to be done where the two differ in the end.
"""

from __future__ import annotations

import json

import click
from rich.console import Console

from collector.tasks import now
from triage import copying
from triage.copying import Copied
from triage.errors import InputError
from triage.model import Occurrence
from triage.query import EVERYTHING
from triage.store import Store, bare, open_source, open_target
from triage.store.access import Access
from ui.tables import progress_bar


def copy(
    source: tuple[str, Access], target: tuple[str, Access], out: Console, err: Console, *, verify: bool, as_json: bool
) -> int:  # fmt: skip
    """Make the target hold what the source does, or only compare them, and print what came of it; returns the exit code.

    Each is an address and how to log in there.
    """
    if bare(source[0]) == bare(target[0]):
        raise InputError("Both addresses are of one store.", "Name another one to copy to.")
    here = open_source(*source)
    try:
        there = open_source(*target) if verify else open_target(*target)
        try:
            done = _run(here, there, bare(source[0]), err, verify=verify, as_json=as_json)
        finally:
            there.close()
    finally:
        here.close()
    _print(done, out, as_json=as_json, verify=verify)
    for sentence in _advice(done, verify=verify):
        err.print(sentence, markup=False, soft_wrap=True)
    return 1 if done.differing else 0


def _run(here: Store, there: Store, address: str, err: Console, *, verify: bool, as_json: bool) -> Copied:
    tries = here.count(EVERYTHING)
    with progress_bar(err, as_json) as bar:
        tasks = {} if verify else {"copying": bar.add_task("copying", total=tries)}
        tasks["verifying"] = bar.add_task("verifying", total=2 * tries)

        def tell(what: str, kind: str, more: int) -> None:
            is_try = kind == Occurrence.__name__
            bar.update(
                tasks[what], advance=more if is_try else 0, description=f"{what}: {'failed tries' if is_try else kind}"
            )

        if verify:
            return copying.verify(here, there, Copied(in_use=copying.in_use(here, now())), tell)
        return copying.copy(here, there, address, now, tell)


def _print(done: Copied, out: Console, *, as_json: bool, verify: bool) -> None:
    if as_json:
        for name, known in done.source.items():
            click.echo(json.dumps({
                "kind": name, "written": done.written.get(name, 0), "deleted": done.erased.get(name, 0),
                "source": dict(zip(("count", "checksum"), known, strict=True)),
                "target": dict(zip(("count", "checksum"), done.target[name], strict=True)),
            }))  # fmt: skip
        click.echo(json.dumps({"same": not done.differing, "in_use": done.in_use}))
        return
    tries, total = done.source[Occurrence.__name__][0], sum(count for count, _ in done.source.values())
    if not verify:
        deleted = sum(done.erased.values())
        said = f" and {deleted} deleted that the source has no more" if deleted else ""
        out.print(f"{sum(done.written.values())} things were written{said}.")
    if done.differing:
        for name in done.differing:
            out.print(
                f"{name}: {done.source[name][0]} in the source, {done.target[name][0]} in the target.", markup=False
            )
    else:
        out.print(f"Both hold the same: {total} things, {tries} failed tries among them, with the same checksums.")


def _advice(done: Copied, *, verify: bool) -> list[str]:
    said = []
    if done.in_use:
        said.append(
            f"The source is in use ({', '.join(done.in_use[:3])}): what is written to it from now on is not in the copy. To move to "
            "the other store, stop the workers and run this again: it brings the difference."
        )
    if done.differing:
        said.append(
            "The two differ." if verify
            else "The source was written to while it was copied. Stop the workers and run this again: it brings the difference."
        )  # fmt: skip
    return said
