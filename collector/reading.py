"""One log: read, kept within bounds, judged and signed; and when it is asked for again.

Owns what an answer, no answer and a log that is not whole yet mean for a failed try. Stores nothing: `read` may run in
any thread and is repeated freely.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from collector.source import Source
from triage import logs, suspects
from triage.editions import CURRENT, Signer
from triage.errors import LogGone, SourceError, SourceForbidden, StorageAway, TriageError
from triage.model import Absence, LogLine, LogStatus, Occurrence, Signature
from triage.redact import PLAIN, Redactor

# A failure whose log stays away is shown after this long, provisionally.
PROVISIONAL_AFTER = timedelta(minutes=2)
# Between two questions for a log that the server has trouble with.
_SHORTEST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=10)
# A log that stands as missing or in part is asked for once more after this long: a worker or a storage that was away
# for hours is back by then.
LATE = timedelta(days=1)


logger = logging.getLogger(__name__)


class Unreadable(SourceError):
    """One log that airtriage itself stumbles over."""


def ran(fact: suspects.R, lines: Iterable[LogLine], source: Source) -> suspects.R:
    """Return a try with the bundle that it ran: its log's word, else its run's, else what its DAG version points to.

    Asks the source only where the log does not tell and the bundle has versions.
    """
    bundle = suspects.loaded(lines)
    if not bundle and fact.bundle_version:
        with suppress(SourceForbidden):
            bundle = source.bundle(fact.key.dag_id, fact.key.run_id)
    return suspects.placed(fact, bundle) if bundle else fact


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the logs of one deployment. `waits` lie between the answers to "what is its log?"; `clock` is ours."""

    source: Source
    poll: timedelta
    waits: tuple[timedelta, ...]
    clock: Callable[[], datetime]
    redactor: Redactor = PLAIN
    signer: Signer = CURRENT

    def read(self, occurrence: Occurrence) -> tuple[Occurrence, SourceError | None]:
        """Read and sign one log; returns what is now known, and what went wrong.

        A fault of ours at one log is no reason to read none: it goes to our log, and this one is asked for again.
        """
        try:
            return self._read(occurrence)
        except TriageError:
            raise
        except Exception as exc:
            logger.exception("The log of try %s cannot be read", occurrence.key.id)
            return self._postpone(occurrence), Unreadable(
                f"{occurrence.key.deployment}: the log of {occurrence.key.dag_id}.{occurrence.key.task_id} cannot be read"
                f" by airtriage ({type(exc).__name__}).",
                "That is a fault of airtriage: please report what its own log says of it. It is tried again.",
            )

    def _read(self, occurrence: Occurrence) -> tuple[Occurrence, SourceError | None]:
        fact = occurrence
        try:
            fact = self.source.describe(fact)
            kept = self._keep(fact)
            fact = ran(fact, kept.lines, self.source)
        except StorageAway as exc:
            return self._await_storage(fact, replace(logs.keep(()), absence=Absence.STORAGE), exc)
        except SourceError as exc:
            return self._postpone(fact), exc
        if kept.absence is Absence.STORAGE:
            away = StorageAway(
                f"{fact.key.deployment}: Airflow could not read logs from their storage; they are asked for again.",
                "Look at the storage and at the rights of Airflow's api-server; its own log holds the error.",
            )
            return self._await_storage(fact, kept, away)
        return self._judge(fact, kept), None

    def _keep(self, fact: Occurrence) -> logs.Kept:
        try:
            log = logs.read(self.source.read_log(fact.key), self.redactor)
            return logs.keep(log, redactor=self.redactor, telling=self.signer.rules.telling)
        except LogGone:
            return replace(logs.keep(()), absence=Absence.UNKNOWN_TRY)

    def is_late(self, fact: Occurrence) -> bool:
        """Say whether a log that was given up is due for its one last question."""
        return (
            fact.log in (LogStatus.MISSING, LogStatus.PARTIAL)
            and fact.next_fetch_at is None
            and fact.fetches <= len(self.waits) + 1
            and fact.first_fetch_at is not None
            and self.clock() - fact.first_fetch_at >= LATE
        )

    def _await_storage(
        self, fact: Occurrence, kept: logs.Kept, error: StorageAway
    ) -> tuple[Occurrence, StorageAway | None]:
        """Wait for a storage of logs as for a server that is away; not for ever: a right may never be given."""
        now = self.clock()
        if now - (fact.first_fetch_at or now) < LATE:
            return self._postpone(fact, kept), error
        return self._judge(fact, kept), None

    def _postpone(self, fact: Occurrence, kept: logs.Kept | None = None) -> Occurrence:
        """Ask again later, for as long as the server gives no answer: an outage never settles a try as missing.

        `kept` is what it answered in the log's place.
        """
        now = self.clock()
        troubles = fact.troubles + 1
        pause = min(_LONGEST_PAUSE, max(self.poll, _SHORTEST_PAUSE) * 2 ** min(troubles - 1, 10))
        signed, kept = fact.signature, kept or logs.keep(())
        if signed is None and now - fact.seen_at >= PROVISIONAL_AFTER:
            signed = self._sign(fact, kept, LogStatus.MISSING)
            knowing = fact.circumstance is not None
            fact = replace(
                fact, absence=kept.absence, kept=kept.lines, log_lines=kept.total_lines, signed_knowing=knowing
            )
        log = fact.log if signed is fact.signature else max(fact.log, LogStatus.MISSING, key=lambda status: status.rank)
        return replace(
            fact, log=log, signature=signed, troubles=troubles, first_fetch_at=fact.first_fetch_at or now,
            next_fetch_at=now + pause,
        )  # fmt: skip

    def _judge(self, fact: Occurrence, kept: logs.Kept) -> Occurrence:
        """Decide whether a log is whole, is asked for again, or stands as it is; sign it unless it is asked for again."""
        now = self.clock()
        status = logs.status(kept, fact.ended_at, fact.circumstance)
        attempt = fact.fetches
        again = status is not LogStatus.WHOLE and attempt < len(self.waits)
        signed = None
        if not again or now - fact.seen_at >= PROVISIONAL_AFTER:
            signed = self._sign(fact, kept, status)
        return replace(
            fact,
            log=status,
            log_lines=kept.total_lines,
            log_bytes=kept.total_bytes,
            log_unread=kept.unread,
            absence=kept.absence if status is LogStatus.MISSING else None,
            fetches=attempt + 1,
            first_fetch_at=fact.first_fetch_at or now,
            next_fetch_at=now + self.waits[attempt] if again else None,
            signature=signed,
            signed_knowing=signed is not None and fact.circumstance is not None,
            kept=kept.lines,
        )

    def _sign(self, fact: Occurrence, kept: logs.Kept, status: LogStatus) -> Signature:
        return self.signer.sign(
            kept.lines,
            fact.circumstance,
            task=fact.key.task,
            status=status,
            absence=kept.absence,
            redactor=self.redactor,
        )
