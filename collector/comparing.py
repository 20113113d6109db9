"""The last good run beside a failed try: what a collector does for a comparison that somebody wished for.

Owns finding the good run, reading its log as it streams by, and what is said where that cannot be. An errand of a pass,
run by one of its readers, so that the deployment's limit of logs in flight holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from collector.readers import Errand
from collector.reading import ran
from collector.source import Source
from triage import asking, logs
from triage.comparison import Difference
from triage.errors import LogGone, SourceError, TriageError
from triage.model import Absence
from triage.records import Comparison, ComparisonStatus, Good
from triage.service import Service

# Who says so may have the log later.
_AWAY = (Absence.STORAGE, Absence.WORKER, Absence.REFUSED)
_LATER = " We ask again later."  # true of everything else that is asked

logger = logging.getLogger(__name__)


def errands(service: Service, source: Source, deployment: str, now: Callable[[], datetime]) -> list[Errand]:
    """Return an errand for every open wish of a deployment, the oldest first. `now` is our clock.

    Trouble of the server ends in the answer, as a sentence; whoever wished may wish again.
    """

    def errand(wish: Comparison, revision: int) -> Errand:
        def run() -> None:
            asking.answer(service, compare(service, source, wish, now), revision)

        return Errand(f"{wish.key.id}/{wish.wanted_at.isoformat()}", run)

    return [errand(wish, revision) for wish, revision in asking.wanted(service, deployment, now())]


def compare(service: Service, source: Source, wish: Comparison, now: Callable[[], datetime]) -> Comparison:
    """Return what became of one wish."""
    good: Good | None = None
    try:
        if good := source.last_good(wish.key, wish.began):
            good = ran(good, (), source)
        done = _differ(service, source, wish, good) if good else replace(wish, status=ComparisonStatus.NONE)
    except LogGone:
        done = replace(wish, status=ComparisonStatus.GONE, good=good)
    except SourceError as exc:
        done = replace(wish, status=ComparisonStatus.FAILED, good=good, said=str(exc).removesuffix(_LATER))
    except TriageError:
        raise
    except Exception as exc:  # it comes before any log, so it must not end the pass that would read them
        logger.exception("The comparison of try %s cannot be made", wish.key.id)
        said = f"That is a fault of airtriage ({type(exc).__name__}): please report what its own log says of it."
        done = replace(wish, status=ComparisonStatus.FAILED, good=good, said=said)
    return replace(done, done_at=now())


def _differ(service: Service, source: Source, wish: Comparison, good: Good) -> Comparison:
    fact = service.store.occurrence(wish.key.id)
    kept = fact.kept if fact and fact.kept else ()
    difference = Difference(kept, wish.key.run_id, good.key.run_id, service.redactor)
    read = logs.keep(difference.good(logs.read(source.read_log(good.key), service.redactor)))
    if read.is_page or read.absence in _AWAY:
        place = "a web page came" if read.is_page else f"Airflow says: {read.absence}"
        return replace(wish, status=ComparisonStatus.FAILED, good=good, said=f"In the place of its log {place}.")
    if not read.has_body:
        return replace(wish, status=ComparisonStatus.GONE, good=good)
    is_short = difference.is_cut or read.unread
    good = ran(good, read.lines, source)
    said = "The good run's log is very long: what stands only in its rest is marked as new too." if is_short else ""
    return replace(wish, status=ComparisonStatus.SHOWN, good=good, new=difference.new, lines=len(kept), said=said)
