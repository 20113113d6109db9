"""Writes the tables of the docs that come from the code: settings, commands, causes, masks. `make docs` calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import click
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from triage.causes import CAUSES
from triage.query import FIELDS
from triage.redact import RULES
from triage.redact.rules import EMAIL
from triage.settings import Deployment, Redaction, Settings, Web
from ui.cli import cli

DOCS = Path(__file__).parent.parent / "docs"


def settings() -> Iterator[str]:
    yield "| setting | default | what it is |\n| --- | --- | --- |"
    for prefix, section in (("", Settings), ("deployments.NAME.", Deployment), ("redact.", Redaction), ("web.", Web)):
        for name, field in section.model_fields.items():
            if name in ("deployments", "redact", "web") and not prefix:
                continue
            yield f"| `{prefix}{name}` | {'required' if field.is_required() else default(field.get_default(call_default_factory=name != 'data_dir'))} | {field.description} |"


def default(value: object) -> str:
    if value == "" or isinstance(value, SecretStr | dict):
        return "none"
    if value is PydanticUndefined:
        return "your data folder"
    if isinstance(value, tuple):
        return ", ".join(default(part) for part in value) or "none"
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s" if value.days < 1 else f"{value.days} d"
    return f"`{value}`"


def commands() -> Iterator[str]:
    with click.Context(cli, info_name="airtriage") as context:
        for name, command in sorted(cli.commands.items()):
            if command.hidden:
                continue
            inner = click.Context(command, parent=context, info_name=name)
            yield f"## airtriage {name}\n\n```text\n{command.get_help(inner)}\n```\n"


def causes() -> Iterator[str]:
    yield "| cause | what it is | try first |\n| --- | --- | --- |"
    for cause in CAUSES.values():
        yield f"| {cause.name} | {cause.summary} | {' '.join(cause.steps)} |"


def fields() -> Iterator[str]:
    for short in dict.fromkeys(FIELDS.values()):
        full = [name for name, its in FIELDS.items() if its == short and name != short]
        yield f"- `{short}`" + "".join(f" (`{name}`)" for name in full)


def masks() -> Iterator[str]:
    yield "| rule | before | after |\n| --- | --- | --- |"
    for rule in (*RULES, EMAIL):
        yield f"| {rule.name} | {shown(rule.before, rule.is_token)} | {shown(rule.after, False)} |"


def shown(text: str, is_token: bool) -> str:
    """Return an example as a cell; a token is cut, so that no scanner takes it for a real one."""
    text = text[:20] + "…" if is_token else text
    return "`" + text.replace("\n", "⏎").replace("|", "\\|") + "`"


TABLES: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "settings": ("settings.md", settings),
    "commands": ("commands.md", commands),
    "causes": ("signatures.md", causes),
    "fields": ("search.md", fields),
    "masks": ("redaction.md", masks),
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
