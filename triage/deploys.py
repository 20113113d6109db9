"""Which deploy a try ran, next to the one that is to fix it: older code that fails still, or the fix that does not hold.

Owns what is known of DAG versions and bundles when a problem is resolved, and which failure afterwards is a regression.
The number of a DAG version only moves when the DAG's structure changes, so that a fix inside a task is told by the bundle's
version alone. Of that, only tries that started after the resolution count, as what Airflow itself says of it is moved
along in place: where neither log nor run tells, it is a guess. Pure; times are on the Airflow server's clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from triage.errors import InputError
from triage.issues import Fix
from triage.records import DagVersion, Deploy, Outcomes, Ran, Tally

# A deploy that was waited for and has not been seen after this long did not come: what fails then fails unfixed. Two
# weeks are the longest usual time from a merged fix to its release; longer, and a failure would be hidden for good.
WITHIN = timedelta(days=14)
_BUNDLES = 200  # the bundles remembered as known, those seen last
_SHORT = 10
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}\Z")


def known(
    tally: Tally | None, answers: Iterable[Outcomes], given: str = "", deployed_at: datetime | None = None,
    fix: Fix | None = None,
) -> Deploy:  # fmt: skip
    """Return the deploy to wait for: the next one after all that is known now, or a `given` one (`known` of before).

    With a `fix` it is the first one that holds it, where bundles are commits; which ones do is still to be `judged`.
    `given` is a commit, or `DAG@NUMBER`; `deployed_at` is when it was deployed, if it was. InputError where no try names
    a version, where `given` cannot be read, or where it failed there already.
    """
    ran = tally.ran if tally else ()
    numbers: dict[tuple[str, str], int | None] = {(part.deployment, part.dag_id): None for part in ran}
    bundles: dict[str, datetime] = {}
    for part in ran:
        _newer(numbers, part.deployment, part.dag_id, part.dag_version)
        if part.bundle_version:
            bundles[part.bundle_version] = max(part.last_started, bundles.get(part.bundle_version, part.last_started))
    for answer in answers:
        _newer(numbers, answer.deployment, answer.dag_id, answer.dag_version)
        if answer.bundle_version and answer.last_success_at:
            bundles.setdefault(answer.bundle_version, answer.last_success_at)
    if not bundles and not any(numbers.values()):
        raise InputError(
            "None of its failed tries names a DAG version or a bundle (Airflow 2 has neither), so no deploy can be told from another.",
            "Resolve it now, or when it is quiet (--when-quiet 7d).",
        )
    deploy = Deploy(
        dags=tuple(DagVersion(*key, number) for key, number in sorted(numbers.items())),
        bundles=tuple(sorted(sorted(bundles, key=lambda one: bundles[one], reverse=True)[:_BUNDLES])),
    )
    if fix is not None and fix.sha and bundles:
        before = tuple(one for one in deploy.bundles if bundles[one] <= fix.merged_at)
        return replace(deploy, bundles=before, fix=fix.sha, fix_project=fix.project_id)
    return _given(deploy, given, deployed_at, ran) if given else deploy


def awaits_fix(deploy: Deploy) -> bool:
    """Say whether a deploy that holds a fix is waited for, and was not seen yet."""
    return bool(deploy.fix) and deploy.seen_at is None


def unjudged(deploy: Deploy, tally: Tally | None, answers: Iterable[Outcomes]) -> list[str]:
    """Return the bundles of which it is not known whether they hold the fix that is waited for; none once it was seen."""
    if not awaits_fix(deploy):
        return []
    ran = [part.bundle_version for part in tally.ran] if tally else []
    well = [answer.bundle_version for answer in answers if answer.last_success_at]
    told = {"", *deploy.bundles, *deploy.fixed, *deploy.untold}
    return sorted({*ran, *well} - told)


def judged(deploy: Deploy, bundle: str, holds: bool | None) -> Deploy:
    """Return a deploy that knows of one more bundle whether it holds the fix; None where that cannot be told."""
    if holds is None:
        return replace(deploy, untold=tuple(sorted({*deploy.untold, bundle})))
    if holds:
        return replace(deploy, fixed=tuple(sorted({*deploy.fixed, bundle})))
    return replace(deploy, bundles=tuple(sorted({*deploy.bundles, bundle})))


def is_commit(bundle: str) -> bool:
    """Say whether the version of a bundle looks like a commit."""
    return _COMMIT.match(bundle) is not None


def _newer(numbers: dict[tuple[str, str], int | None], deployment: str, dag: str, number: int | None) -> None:
    numbers[deployment, dag] = max(number or 0, numbers.get((deployment, dag)) or 0) or None


def _given(deploy: Deploy, given: str, deployed_at: datetime | None, ran: Iterable[Ran]) -> Deploy:
    dag, at, number = given.rpartition("@")
    if at and dag and number.isdecimal() and int(number) > 0:
        deploy = replace(deploy, dag_id=dag, number=int(number))
        if all(one.dag_id != dag for one in deploy.dags):
            raise InputError(f"It was not seen in the DAG {dag}.", "Name one of its DAGs, or the commit of the fix.")
    elif _COMMIT.match(given):
        deploy = replace(deploy, commit=given.lower(), bundles=tuple(b for b in deploy.bundles if not _same(b, given)))
    else:
        raise InputError(f"{given!r} is no deploy.", "Give a commit, or a DAG and its version as DAG@NUMBER.")
    if deployed_at is not None:
        deploy = replace(deploy, seen_at=deployed_at, seen=name(deploy))
    failed = [p.last_started for p in ran if _is_fix(deploy, p) and p.last_started > (deployed_at or _ever(p))]
    if failed:
        raise InputError(
            f"It failed in {name(deploy)} already, in a try that started {max(failed):%Y-%m-%d %H:%M} UTC.",
            "Resolve it in a later deploy.",
        )
    return deploy


def _ever(part: Ran) -> datetime:
    return part.last_started - timedelta(seconds=1)


def widened(deploy: Deploy, moved: Tally) -> Deploy:
    """Return a deploy that also knows what other failures ran, which are taken over."""
    numbers = {(one.deployment, one.dag_id): one.number for one in deploy.dags}
    for part in moved.ran:
        _newer(numbers, part.deployment, part.dag_id, part.dag_version)
    bundles = {*deploy.bundles, *(p.bundle_version for p in moved.ran if p.bundle_version and not _is_fix(deploy, p))}
    dags = tuple(DagVersion(*key, number) for key, number in sorted(numbers.items()))
    return replace(deploy, dags=dags, bundles=tuple(sorted(bundles)))


def joined(deploy: Deploy, other: Deploy) -> Deploy:
    """Return a deploy that also knows what another one did, but for what is the fix itself, or is still to be `judged`."""
    numbers = {(one.deployment, one.dag_id): one.number for one in deploy.dags}
    for one in other.dags:
        _newer(numbers, one.deployment, one.dag_id, one.number)
    known = () if deploy.fix else (b for b in other.bundles if not (deploy.commit and _same(b, deploy.commit)))
    dags = tuple(DagVersion(*key, number) for key, number in sorted(numbers.items()))
    return replace(deploy, dags=dags, bundles=tuple(sorted({*deploy.bundles, *known})))


def regression(deploy: Deploy | None, resolved_at: datetime, tally: Tally) -> str:
    """Say why what failed since makes a regression, the newest such try; "" where nothing does."""
    if deploy is None:
        return _again(tally.last_started) if tally.last_started > resolved_at else ""
    for part in sorted(tally.ran, key=lambda part: part.last_started, reverse=True):
        if why := _breach(deploy, resolved_at, part):
            return why
    return ""


def _breach(deploy: Deploy, resolved_at: datetime, part: Ran) -> str:
    is_later = part.last_started > resolved_at
    if deploy.number is not None and part.dag_id == deploy.dag_id:
        if part.dag_version and part.dag_version >= deploy.number:
            return f"failed in {version(part)}, where it should have been fixed"
    elif _is_fix(deploy, part) and part.last_started > min(deploy.seen_at or resolved_at, resolved_at):
        return f"failed in {version(part)}, where it should have been fixed"
    if not is_later:
        return ""
    is_newer = _is_newer(deploy, part)
    if is_newer is None:
        return _again(part.last_started)
    if is_newer and not (deploy.commit and deploy.seen_at is None):
        return f"failed again in {version(part)}, which is newer than what ran when it was resolved"
    if deploy.seen_at is None and part.last_started > resolved_at + WITHIN:
        return f"still fails {WITHIN.days} days after it was resolved, and the deploy it waited for was not seen"
    return ""


def seen(deploy: Deploy, resolved_at: datetime, answers: Iterable[Outcomes]) -> Deploy | None:
    """Return the deploy with the first success seen in it, None where none was, or one was seen before."""
    if deploy.seen_at is not None:
        return None
    for answer in sorted(answers, key=lambda one: (one.last_success_at or one.since, one.dag_id, one.task_id)):
        at = answer.last_success_at
        if at is None or at <= resolved_at:
            continue
        part = Ran(
            answer.deployment, answer.dag_id, answer.task_id, answer.dag_version, answer.bundle_version, at, answer.since
        )  # fmt: skip
        is_given = bool(deploy.commit) or deploy.number is not None
        if _is_fix(deploy, part) if is_given else _is_newer(deploy, part):
            return replace(deploy, seen_at=at, seen=f"{answer.dag_id}.{answer.task_id} in {version(part)}")
    return None


def _is_fix(deploy: Deploy, part: Ran) -> bool:
    """Say whether a try ran the given deploy, or one that holds the fix."""
    if deploy.fix:
        return part.bundle_version in deploy.fixed
    if deploy.commit:
        return _same(part.bundle_version, deploy.commit)
    return deploy.number is not None and part.dag_id == deploy.dag_id and (part.dag_version or 0) >= deploy.number


def _is_newer(deploy: Deploy, part: Ran) -> bool | None:
    """Say whether a try ran something newer than what was known at the resolution; None where that cannot be told.

    Where a fix is waited for, only what holds it is newer, and nothing is until that is known.
    """
    if deploy.fix and part.bundle_version:
        if part.bundle_version in (*deploy.fixed, *deploy.bundles):
            return part.bundle_version in deploy.fixed
        if deploy.seen_at is None and part.bundle_version not in deploy.untold:
            return False
    if deploy.number is not None and part.dag_id == deploy.dag_id and part.dag_version:
        return part.dag_version >= deploy.number
    numbers = {(one.deployment, one.dag_id): one.number for one in deploy.dags}
    number = numbers.get((part.deployment, part.dag_id))
    if number and part.dag_version and number != part.dag_version:
        return part.dag_version > number
    if part.bundle_version and (deploy.bundles or deploy.commit):
        return part.bundle_version not in deploy.bundles
    return False if number and part.dag_version else None


def _same(bundle: str, commit: str) -> bool:
    """Say whether two commits are one, either of them perhaps shortened."""
    size = min(len(bundle), len(commit))
    return size >= 7 and bundle[:size].lower() == commit[:size].lower()


def _again(started: datetime) -> str:
    return f"failed again in a try that started {started:%Y-%m-%d %H:%M} UTC, after it was resolved"


def version(part: Ran) -> str:
    """Name what a try ran: `DAG version 15 of orders (bundle 9ab1e0d42c)`."""
    bundle = f"bundle {part.bundle_version[:_SHORT]}" if part.bundle_version else ""
    if not part.dag_version:
        return f"{bundle} of {part.dag_id}"
    return f"DAG version {part.dag_version} of {part.dag_id}" + (f" ({bundle})" if bundle else "")


def name(deploy: Deploy) -> str:
    """Name a deploy: `the next deploy of DAG orders`, `commit 9ab1e0d42c`, `DAG version 15 of orders`."""
    if deploy.commit:
        return f"commit {deploy.commit[:_SHORT]}"
    if deploy.number is not None:
        return f"DAG version {deploy.number} of {deploy.dag_id}"
    dags = sorted({one.dag_id for one in deploy.dags})
    more = f" and {len(dags) - 2} more" if len(dags) > 2 else ""
    holding = f" with commit {deploy.fix[:_SHORT]}" if deploy.fix else ""
    return f"the next deploy of DAG{'s' if len(dags) > 1 else ''} {', '.join(dags[:2])}{more}{holding}"
