"""The editions of signing that this program knows: the one in force, and those it was before.

An edition is what a fingerprint says before its colon: the version of the rules of signing, and behind a dot the digest of
people's own rules where there are any. A changed rule of ours is a new version, and the old code stays as a frozen one
beside it; CONTRIBUTING.md says how. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from triage import signature
from triage.model import Absence, Circumstance, LogLine, LogStatus, Occurrence, Signature
from triage.redact import PLAIN, Redactor
from triage.signature.rules import NONE, Rules


class Sign(Protocol):
    """A function as `signature.sign`: pure and total, the same on every machine."""

    def __call__(
        self,
        lines: Sequence[LogLine],
        circumstance: Circumstance | None = None,
        *,
        task: str = "",
        status: LogStatus = LogStatus.WHOLE,
        absence: Absence | None = None,
        redactor: Redactor = PLAIN,
        rules: Rules = NONE,
    ) -> Signature: ...


@dataclass(frozen=True, slots=True)
class Signer:
    """One way to sign: a version of our rules, by its function `by`, with people's own ones."""

    version: int
    by: Sign
    rules: Rules = NONE

    @property
    def edition(self) -> str:
        """What each of its fingerprints begins with, before a colon."""
        return f"{self.version}.{self.rules.digest}" if self.rules.digest else str(self.version)

    def sign(
        self,
        lines: Sequence[LogLine],
        circumstance: Circumstance | None = None,
        *,
        task: str = "",
        status: LogStatus = LogStatus.WHOLE,
        absence: Absence | None = None,
        redactor: Redactor = PLAIN,
    ) -> Signature:
        """Sign a failed try, as `signature.sign` says."""
        return self.by(
            lines, circumstance, task=task, status=status, absence=absence, redactor=redactor, rules=self.rules
        )

    def again(self, fact: Occurrence, redactor: Redactor = PLAIN) -> Signature:
        """Sign a failed try from its kept log, which must be loaded: the same as when its whole log was read."""
        return self.sign(
            fact.kept or (),
            fact.circumstance,
            task=fact.key.task,
            status=fact.log,
            absence=fact.absence,
            redactor=redactor,
        )


CURRENT = Signer(signature.VERSION, signature.sign)
# Signers of versions that were in force once, the newest first; none so far.
FROZEN: tuple[Signer, ...] = ()


@dataclass(frozen=True, slots=True)
class Signers:
    """The signer in force and the former ones, newest first."""

    current: Signer = CURRENT
    former: tuple[Signer, ...] = FROZEN

    @property
    def edition(self) -> str:
        """The edition in force."""
        return self.current.edition

    def under(self, rules: Rules) -> Signers:
        """Return the same signers under people's own rules; those without rules become former ones."""
        if not rules.digest:
            return self
        plain = (self.current, *self.former)
        first, *rest = (one for each in plain for one in (replace(each, rules=rules), each))
        return Signers(first, tuple(rest))

    def is_behind(self, edition: str) -> bool:
        """Say whether what was signed in this edition is to be signed again; what a newer program signed never is."""
        return edition != self.edition and version(edition) <= version(self.edition)

    def ancestors(self, fact: Occurrence, editions: Iterable[str]) -> list[str]:
        """Return the fingerprints that a failed try, its kept log loaded, has or would have in these former editions.

        The same version under other rules of people is told by what follows the colon: it is the hash of the same key.
        """
        made = [fact.fingerprint, *(one.again(fact).fingerprint + suffix(fact.fingerprint) for one in self.former)]
        others = [one for one in editions if one != self.edition]
        found = [f"{other}:{tail(one)}" for one in made for other in others if version(other) == version(head(one))]
        return list(dict.fromkeys([*made[1:], *found]))


SIGNERS = Signers()


def head(fingerprint: str) -> str:
    """Return the edition that a fingerprint was made in."""
    return fingerprint.partition(":")[0]


def tail(fingerprint: str) -> str:
    """Return what of a fingerprint does not tell its edition."""
    return fingerprint.partition(":")[2]


def base(fingerprint: str) -> str:
    """Return a fingerprint as it was signed, without the marks of people's splits behind a slash."""
    return fingerprint.partition("/")[0]


def suffix(fingerprint: str) -> str:
    """Return the marks of people's splits behind a fingerprint, each after a slash; empty for most."""
    return fingerprint.removeprefix(base(fingerprint))


def version(edition: str) -> int:
    """Return the version of an edition; 0 for one that no program of ours can have written."""
    number = edition.partition(".")[0]
    return int(number) if number.isdecimal() else 0
