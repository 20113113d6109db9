"""Writes the tables of the docs that come from the code: settings, commands, causes, masks, the life of a problem. `make docs` calls it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import click
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from tests.gitlab_reports import facts_of
from triage import report, signature
from triage.causes import CAUSES
from triage.model import Evidence
from triage.orders import WORDS
from triage.policy import Threshold
from triage.query import KNOWN, Kind
from triage.records import TriageState
from triage.redact import RULES
from triage.redact.rules import EMAIL
from triage.settings import Settings
from triage.settings.elastic import Elastic
from triage.settings.gitlab import GitLab, GitLabChanges, GitLabRoute
from triage.settings.sections import Deployment, Grouping, Owning, Redaction, Web
from triage.signature import ignored, output, root, rules, silence
from triage.signature.example import Example
from triage.signature.masks import MASKS
from triage.ways import OPEN, WAYS, Event
from ui.cli import cli

JUDGED = {
    "In this order, the first that finds anything counts": signature.EXAMPLES,
    "Where an exception speaks": root.EXAMPLES,
    "Work done elsewhere": output.EXAMPLES,
    "How it ended, where the log does not say why": silence.EXAMPLES,
}
DOCS = Path(__file__).parent.parent / "docs"


def settings() -> Iterator[str]:
    yield "| setting | default | what it is |\n| --- | --- | --- |"
    sections = (
        ("elastic.", Elastic), ("deployments.NAME.", Deployment), ("deployments.NAME.gitlab.", GitLabChanges), ("gitlab.", GitLab),
        ("gitlab.routes.NAME.", GitLabRoute), ("redact.", Redaction), ("grouping.NAME.", Grouping),
        ("owners.NAME.", Owning),
        ("web.", Web),
    )  # fmt: skip
    for prefix, section in (("", Settings), *sections):
        for name, field in section.model_fields.items():
            if f"{prefix}{name}." in {
                part for within, _ in sections for part in (within, within.removesuffix("NAME."))
            }:
                continue  # a section of its own
            yield f"| `{prefix}{name}` | {'required' if field.is_required() else default(field.get_default(call_default_factory=name != 'data_dir'))} | {field.description} |"


def default(value: object) -> str:
    if value in ("", None) or isinstance(value, SecretStr | dict):
        return "none"
    if isinstance(value, Threshold):
        return f"`{value.count}`"
    if value is PydanticUndefined:
        return "your data folder"
    if isinstance(value, tuple):
        return ", ".join(default(part) for part in value) or "none"
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s" if value.days < 1 else f"{value.days} d"
    return f"`{value}`"


def commands() -> Iterator[str]:
    with click.Context(cli, info_name="airtriage", **cli.context_settings) as context:
        for name, command in sorted(cli.commands.items()):
            if command.hidden:
                continue
            inner = click.Context(command, parent=context, info_name=name)
            yield f"## airtriage {name}\n\n```text\n{command.get_help(inner)}\n```\n"


def orders() -> Iterator[str]:
    yield "| in a comment | what it does |\n| --- | --- |"
    for form, says in WORDS:
        yield f"| `/airtriage {form}` | {says} |"


def causes() -> Iterator[str]:
    yield "| cause | what it is | try first |\n| --- | --- | --- |"
    for cause in CAUSES.values():
        yield f"| {cause.name} | {cause.summary} | {' '.join(cause.steps)} |"


_WRITTEN = {
    Kind.WORDS: "words", Kind.NAME: "the whole value, or its beginning with a `*`",
    Kind.NUMBER: "a whole number or a range", Kind.TIME: "a date or a range",
}  # fmt: skip


def fields() -> Iterator[str]:
    yield "| field | what it says | written as |\n| --- | --- | --- |"
    for known in KNOWN.values():
        names = "".join(f", `{name}`" for name in known.full)
        written = ", ".join(f"`{choice}`" for choice in known.choices) or _WRITTEN[known.kind]
        yield f"| `{known.name}`{names} | {known.says} | {written} |"


def masks() -> Iterator[str]:
    yield "| rule | before | after |\n| --- | --- | --- |"
    for rule in (*RULES, EMAIL):
        yield f"| {rule.name} | {shown(rule.before, rule.is_token)} | {shown(rule.after, False)} |"


def shown(text: str, is_token: bool) -> str:
    """Return an example as a cell; a token is cut, so that no scanner takes it for a real one."""
    text = text[:20] + "…" if is_token else text
    return "`" + text.replace("\n", "⏎").replace("|", "\\|") + "`"


def own() -> Iterator[str]:
    order = [next(iter(one.own)) for one in (*rules.EXAMPLES, *ignored.EXAMPLES)]
    for verb, example in sorted(
        zip(order, (*rules.EXAMPLES, *ignored.EXAMPLES), strict=True), key=lambda one: rules.VERBS.index(one[0])
    ):
        yield f"### {verb}\n\n{example.says}\n"
        yield "```toml\n[grouping.NAME]"
        yield from (f"{name} = '{value}'" for name, value in example.own.items())
        yield "```\n"
        yield from blocks(example)
        yield f"Without it: {titles(example.before)}. With it: {titles(example.after)}.\n"


def judged() -> Iterator[str]:
    for heading, examples in JUDGED.items():
        yield f"### {heading}\n"
        for example in examples:
            first, dot, rest = example.says.partition(". ")
            yield f"**{first}{dot.strip()}**{' ' + rest if rest else ''}\n"
            if example.circumstance is not None:
                yield f"Airflow's event log says: {' '.join(filter(None, (example.circumstance.kind, example.circumstance.text)))}.\n"
            yield from blocks(example)
            yield f"{'Becomes' if len(example.logs) == 1 else 'Become'} {titles(example.after)}.\n"


def varying() -> Iterator[str]:
    yield "| mask | before | after |\n| --- | --- | --- |"
    for one in MASKS:
        yield f"| {one.name} | {shown(one.before, False)} | {shown(one.after, False)} |"


def blocks(example: Example) -> Iterator[str]:
    for log in example.logs:
        yield f"```text\n{log}\n```\n"


def titles(told: tuple[str, ...]) -> str:
    return ("one problem, " if len(told) == 1 else f"{len(told)} problems, ") + " and ".join(f"`{one}`" for one in told)


def ways() -> Iterator[str]:
    yield "| from | by | what | to |\n| --- | --- | --- | --- |"
    for event, way in WAYS.items():
        starts = "any" if way.starts == set(TriageState) else ", ".join(s for s in TriageState if s in way.starts)
        goes_back = event in (Event.UNMUTED, Event.REOPENED, Event.UNDONE)
        yield f"| {starts or 'none'} | {way.by} | **{event}**: {way.says} | {way.end or ('what it was' if goes_back else 'stays')} |"


def picture() -> Iterator[str]:
    yield "```mermaid\nstateDiagram-v2\n    state open {\n        NEW\n        ONGOING\n        REGRESSED\n    }"
    for event, way in WAYS.items():
        goes_back = event in (Event.UNMUTED, Event.REOPENED)
        end = way.end or ("open" if goes_back else None)
        if end is None or way.starts == {end}:
            continue
        inside = [str(state) for state in TriageState if state in way.starts and not way.starts >= OPEN]
        outside = ["open", *(str(state) for state in TriageState if state in way.starts - OPEN)]
        for start in (inside or outside) if way.starts else ["[*]"]:
            if start != end:
                yield f"    {start} --> {end}: {event}"
    yield "```"


def issue() -> Iterator[str]:
    """An issue as it is sent, without the joiners that nobody sees."""
    line = Evidence(41, "KeyError: 'amount'")
    facts = facts_of(lambda place: _SAID.get(place, "data"))
    assert facts.newest is not None
    assert facts.newest.signature is not None
    signed = replace(
        facts.newest.signature,
        evidence=(
            Evidence(40, '  File "/opt/airflow/dag_bundles/dags/versions/bbbb…/dags/shop/load.py", line 12, in load'),
            line,
        ),
    )
    newest = replace(facts.newest, signature=signed, circumstance=None)
    tasks = (("orders.load", 9), ("orders_eu.load", 2))
    days = (("2026-11-19", 1), ("2026-11-23", 2), ("2026-11-24", 3), ("2026-11-25", 5))
    facts = replace(
        facts, newest=newest, total=11, final=9, first_seen=facts.first_seen - timedelta(days=6), deployments=("prod",),
        tasks=tasks, days=days,
    )  # fmt: skip
    text = re.sub(r"wrote [a-z2-7 ]+", "wrote … ", report.block(facts)).replace("\u2060", "")
    yield f"`````text\n{report.title(facts)}\n\n{text}\n`````"


_SAID = {
    "title": "KeyError: 'amount' in load()", "dag id": "orders", "task id": "load", "run id": "scheduled__2026-11-25T20:00:00+00:00",
    "host": "worker-7", "deployment": "prod", "file name": "dags/shop/load.py", "exception": "KeyError",
    "state's reason": "failed again in a try that started 2026-11-25 20:40 UTC, after it was resolved", "other scope": "staging",
    "commit title": "Read the new column", "commit author": "Anna Schmidt", "merge request title": "Read the amount from the new feed",
    "next step": "it is resolved when it has been quiet for 7 days.",
}  # fmt: skip


TABLES: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "settings": ("settings.md", settings),
    "commands": ("commands.md", commands),
    "orders": ("gitlab.md", orders),
    "issue": ("gitlab.md", issue),
    "causes": ("signatures.md", causes),
    "judged": ("signatures.md", judged),
    "varying": ("signatures.md", varying),
    "own rules": ("signatures.md", own),
    "fields": ("search.md", fields),
    "masks": ("redaction.md", masks),
    "ways": ("lifecycle.md", ways),
    "picture": ("lifecycle.md", picture),
}


def rendered(name: str) -> str:
    """Return the text of a docs file with one table made anew."""
    file, table = TABLES[name]
    begin, end = f"<!-- {name}: made by make docs -->", f"<!-- end of {name} -->"
    before, rest = (DOCS / file).read_text("utf-8").split(begin)
    return before + begin + "\n" + "\n".join(table()) + "\n" + end + rest.split(end)[1]


if __name__ == "__main__":
    for name, (file, _) in TABLES.items():
        (DOCS / file).write_text(rendered(name), "utf-8")
