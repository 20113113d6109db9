"""What every command shares: the group, the settings and the service it opens, its options, its ways of printing.

Hides who asks and what time it is. The commands themselves stand in `running`, `reading`, `searching`, `deciding`, `moving`, `tracking` and
`keeping`; `cli` puts them together.
"""

from __future__ import annotations

import getpass
import os
import sys
from datetime import datetime, timedelta

import click
from rich.console import Console

from triage import settings as settings_
from triage.errors import InputError, SettingsError
from triage.service import NOTE, Service
from triage.settings import Settings
from triage.settings.values import span
from triage.store import open_store
from ui import own_log

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
            store = open_store(its.store_url, its.store_access)
            self._service = Service(store, its.scopes, its.redactor, its.signers, its.ownership)
        return self._service


def given(text: str | None, option: str, fix: str) -> str:
    """Return an option's text, "" where it is not given; InputError where it is given and empty: a variable of a script is unset."""
    if text is not None and not text.strip():
        raise InputError(f"{option} is empty.", fix)
    return (text or "").strip()


def _reason(_: click.Context, __: click.Parameter, why: str) -> str:
    why = " ".join(why.split())
    if len(why) > NOTE:
        raise InputError(f"The reason of --why has {len(why)} characters; {NOTE} are the most.", "Shorten it.")
    return why


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, nothing else.")
limit_option = click.option("--limit", type=click.IntRange(1), help="At most this many (50; all with --json).")
why_option = click.option("--why", default="", callback=_reason, help="The reason, for the history.")
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


def needs_deployments(settings: Settings) -> None:
    """Refuse to go on where no deployment is configured."""
    if not settings.deployments:
        raise SettingsError(
            "No deployment is configured.",
            "Set AIRTRIAGE_DEPLOYMENTS__PROD__URL (and __USERNAME, __PASSWORD), or write [deployments.prod] in airtriage.toml.",
        )


def user() -> str:
    """Return the operating system's user; its number where it has no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def span_of(text: str | None, option: str = "--for") -> timedelta | None:
    """Read the time span given to an option; InputError names the option."""
    if text is None:
        return None
    try:
        return span(text)
    except ValueError as exc:
        raise InputError(f"{option} {exc}.") from exc
