"""Errors an operator can fix, each one sentence that names the thing and the fix.

    TriageError
    ├── SettingsError      the settings file or environment          (exit code 2)
    ├── InputError         a command's or request's input             (exit code 2)
    │   └── WrongQuery     a query that cannot be read, and where
    ├── StoreError         the store cannot be read or written
    │   ├── StaleProblem   a record changed since it was read: decide again
    │   └── WrongStore     what the settings name cannot be our store as it is      (exit code 2)
    ├── SourceError        an Airflow deployment cannot be read
    │   ├── SourceForbidden  the account may not read one endpoint
    │   ├── LoginFailed      Airflow does not let us in with what is set
    │   ├── StorageAway      Airflow cannot read the storage of its logs
    │   └── LogGone          the server is sure that there is no such log
    ├── GitLabError        GitLab cannot be asked, or refuses
    │   ├── GitLabGone       there is no such thing, or we may not see it
    │   ├── GitLabRefused    it said no: nothing was done
    │   └── GitLabUnsure     it gave no answer, or one that says nothing: what was asked may have been done
    └── ProcessError       a child process or a port

An adapter maps to these in one place, `raise … from exc`; bugs pass through raw.
"""

from __future__ import annotations

import unicodedata

_AROUND = 40  # characters shown on each side of the place in a query that cannot be read


class TriageError(Exception):
    """Base of all of these; `fix` says what to do, in one sentence."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what} {self.fix}".strip()


class SettingsError(TriageError):
    """A setting is wrong or missing; the message names the field."""


class InputError(TriageError):
    """A command's or a request's input is wrong; the message names the part."""


class WrongQuery(InputError):
    """A query that cannot be read, or would cost too much: `text[start:end]` is the place.

    `better` is the whole query as it may have been meant, empty where nobody can know.
    """

    def __init__(self, what: str, fix: str, text: str, start: int, end: int, better: str = "") -> None:
        super().__init__(_printable(what), _printable(fix))
        self.text = text
        self.start = start
        self.end = end
        self.better = better

    @property
    def pointed(self) -> str:
        """The query on one line and carets under the place on the next, cut to what stands around it."""
        from_ = max(0, self.start - _AROUND)
        to = min(len(self.text), max(self.end, self.start + 1) + _AROUND)
        before, cut = "… " if from_ else "", " …" if to < len(self.text) else ""
        shown = _printable(self.text[from_:to])
        place = min(self.start - from_, len(shown))
        marked = max(1, _columns(shown[place : place + min(self.end, to) - self.start]))
        return f"{before}{shown}{cut}\n{' ' * (len(before) + _columns(shown[:place]))}{'^' * marked}"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _columns(text: str) -> int:
    """Count the columns of a terminal that a text takes."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) != 0 for char in text)


class StoreError(TriageError):
    """The store cannot be read or written."""


class StaleProblem(StoreError):
    """A record was saved by somebody else since it was read; load it and decide again."""


class WrongStore(StoreError):
    """What the settings name cannot be our store as it is: another product, too old, locked, or not ours."""


class SourceError(TriageError):
    """An Airflow deployment cannot be read now."""


class SourceForbidden(SourceError):
    """The account may not read one endpoint; the message names the permission."""


class LoginFailed(SourceError):
    """Airflow does not let us in with what is set, whatever we ask; where no token is to be had, not for a minute."""


class StorageAway(SourceError):
    """Airflow answers, but cannot read the storage of its logs; they may come back."""


class LogGone(SourceError):
    """The server is sure that there is no log for this try."""


class GitLabError(TriageError):
    """GitLab cannot be asked now, or refuses."""


class GitLabGone(GitLabError):
    """There is no such project, issue or user, or we may not see it: GitLab answers both alike."""


class GitLabRefused(GitLabError):
    """GitLab said no, and did nothing; `retry_after` is in how many seconds it may be asked again, where it says so."""

    def __init__(self, what: str, fix: str = "", status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(what, fix)
        self.status = status
        self.retry_after = retry_after


class GitLabUnsure(GitLabError):
    """GitLab gave no answer, or one that says nothing: what was asked may have been done, or may still be done."""


class ProcessError(TriageError):
    """A child process did not start or a port is taken."""
