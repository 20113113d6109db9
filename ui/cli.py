"""`airtriage`: the one command, and where things are wired.

Puts the commands together. Owns the exit codes (0 done, 1 done but something fell short, 2 bad input or settings, 130
interrupted). Every command that prints takes `--json`: one JSON object a line and nothing else on standard output. Errors are
one sentence on standard error.
"""

from __future__ import annotations

import sys

import click

from triage.errors import InputError, SettingsError, TriageError, WrongQuery, WrongStore
from triage.redact import PLAIN
from ui import deciding, keeping, moving, own_log, reading, running, searching, tracking  # noqa: F401 -- each adds its commands
from ui.command import cli, err


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
        if isinstance(exc, WrongQuery):
            err.print(own_log.masked(exc.pointed), markup=False, soft_wrap=True)
        sys.exit(2 if isinstance(exc, SettingsError | InputError | WrongStore) else 1)


if __name__ == "__main__":
    main()
