"""`airtriage doctor`: the settings and every connection, one finding each, with the fix.

Owns which checks there are and their order. Changes nothing but the store's own file, which it makes where missing.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice

from collector import working
from collector.airflow import Airflow
from collector.broker import bare
from collector.storage import Storage
from collector.tasks import access, now, storage
from collector.ticks import Lane
from triage import presence
from triage.errors import LogGone, SettingsError, SourceError, TriageError
from triage.settings import Settings
from triage.settings.sections import Deployment
from triage.store import open_store
from ui import probing
from ui.finding import Finding

_NOTHING = object()
_LOOKED_FOR = 20  # failed tries whose logs are looked for in a storage; a worker that is killed uploads none


def check(settings: Settings) -> Iterator[Finding]:
    """Check everything, one finding at a time, so that a slow connection does not hold back the others' lines."""
    yield Finding("airtriage", True, importlib.metadata.version("airtriage"))
    yield _try("store", lambda: _store(settings))
    yield _try("broker", lambda: _broker(settings))
    yield _try("workers", lambda: _workers(settings))
    if not settings.deployments:
        yield Finding(
            "deployments",
            False,
            "none is configured.",
            "Set AIRTRIAGE_DEPLOYMENTS__PROD__URL, __USERNAME and __PASSWORD.",
        )
    for name, its in settings.deployments.items():
        yield from _deployment(name, its)
    if settings.gitlab.is_on or settings.gitlabs:
        yield from probing.check(settings, now())


def _deployment(name: str, its: Deployment) -> Iterator[Finding]:
    source = Airflow(name, access(its))
    reached = _try(name, lambda: f"Airflow {source.version()} at {its.url}, read {source.how}")
    yield reached
    if not reached.ok:
        return
    at = now()
    since = at - its.lookback
    checks: dict[str, Callable[[], object]] = {
        "event log": lambda: next(iter(source.events(since, at)), None),
        "task instances": lambda: next(iter(source.listed(since, at)), None),
        "task logs": lambda: _log(source, since),
        "components": source.health,
        "import errors": source.import_failures,
        "pools": source.pools,
    }
    said: set[str] = set()
    for what, ask in checks.items():
        finding = _try(f"{name} {what}", partial(_readable, ask))
        if finding.ok or finding.text not in said:  # a token that is refused is so at every question
            yield finding
        said.add(finding.text)
    if (its_storage := storage(name, its)) is not None:
        yield _try(f"{name} log storage", lambda: _stored(source, its_storage, since))
    drift = abs(source.offset)
    text = f"its clock is {drift:.0f} s {'ahead of' if source.offset > 0 else 'behind'} ours"
    yield Finding(f"{name} clock", True, text if drift >= 1 else "agrees with ours")


def _readable(ask: Callable[[], object]) -> str:
    return "may be read" if ask() is not _NOTHING else "not tried: no task has failed lately"


def _log(source: Airflow, since: datetime) -> object:
    """Read the beginning of one failed try's log, and what belongs to its description."""
    failed = next((fact for page in source.listed(since, now()) for fact in page), None)
    if failed is None:
        return _NOTHING
    source.describe(failed)
    with contextlib.suppress(LogGone):
        next(source.read_log(failed.key), None)
    return None


def _stored(source: Airflow, storage: Storage, since: datetime) -> str:
    """List the storage and look for the log of a failed try where it should lie."""
    storage.check()
    failed = list(islice((fact.key for page in source.listed(since, now()) for fact in page), _LOOKED_FOR))
    if not failed:
        return f"{storage.base} may be listed; no task has failed lately whose log could be read"
    for key in failed:
        if storage.read(key) is not None:
            return f"{storage.base} may be read"
    raise SourceError(
        f"None of {len(failed)} failed tries has a log in the storage, the first not as {storage.where(failed[0])}.",
        "Correct log_base and log_template: Airflow's are [logging] remote_base_log_folder and log_filename_template.",
    )


def _store(settings: Settings) -> str:
    store = open_store(settings.store_url, settings.store_access)
    store.revision()
    store.close()
    return settings.store_url


def _broker(settings: Settings) -> str:
    broker = working.check(settings)
    return f"{bare(settings)}, {broker.waiting(Lane.LIVE)} live ticks and {broker.waiting(Lane.BULK)} of long work wait"


def _workers(settings: Settings) -> str:
    store = open_store(settings.store_url, settings.store_access)
    try:
        at = now()
        alive = [one for one in presence.workers(store) if presence.is_alive(one, at)]
        holder = presence.ticking(store, at)
    finally:
        store.close()
    if not alive:
        return "none runs now; airtriage up or airtriage worker --beat starts one"
    lost = next((one.trouble for one in alive if one.trouble), None)
    if lost:
        raise SourceError(f"They say: {lost.what}", lost.fix)
    count = sum(one.threads > 0 for one in alive)
    return f"{count} at work; the beat is held by {holder or 'nobody now: start airtriage worker --beat'}"


def _try(name: str, ask: Callable[[], object]) -> Finding:
    try:
        return Finding(name, True, str(ask()))
    except TriageError as exc:
        is_setting = isinstance(exc, SettingsError)
        return Finding(name, False, exc.what.removeprefix(f"{name.split()[0]}: "), exc.fix, is_setting)
