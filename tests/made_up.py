"""Realistic made-up failures in a throwaway SQLite store, for the pages' tests, screenshots and benches."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from triage.model import (
    Absence,
    Circumstance,
    CircumstanceKind,
    Evidence,
    Frame,
    LogLine,
    LogStatus,
    Occurrence,
    Raised,
    Signature,
    TaskTry,
)
from triage.records import Comparison, ComparisonStatus, Good, Outcomes
from triage.service import Service
from triage.settings import Settings
from triage.signature import sign
from triage.store import open_store
from triage.watched import Component, Cursor, DeploymentHealth, Gap, ImportFailure, Listing, PoolLoad, Trouble

NOW = datetime.now(UTC).replace(microsecond=0)
HOSTILE = (
    '<img src=x onerror="window.__pwn=1"> ![x](https://evil.example/a.png) [click](javascript:window.__pwn=1) '
    "\x1b[31mred\x1b[0m \u202egnp.exe **bold** $x^2$ :material/bolt: <script>window.__pwn=1</script> https://evil.example"
)
# title, cause, exception, owner, (dag, task)…, tries, hours since the first, hours since the last, final
CASES = (
    ("psycopg.errors.DeadlockDetected: deadlock detected (load_orders, orders.py)", "database", "psycopg.errors.DeadlockDetected", "data-platform", (("orders", "load_orders"), ("billing", "load_invoices"), ("warehouse", "merge_facts")), 214, 260, 0.05, True),
    ("KeyError: 'customer_id' (normalise, customers.py)", "code error", "KeyError", "crm", (("crm_sync", "normalise"),), 12, 5, 0.3, True),
    ("requests.exceptions.HTTPError: 429 Too Many Requests for url /v2/rates", "rate limit", "requests.exceptions.HTTPError", "pricing", (("pricing", "fetch_rates"), ("pricing", "fetch_fees")), 63, 300, 1.2, False),
    ("Killed by SIGKILL: likely out of memory (train, host w-7)", "out of memory", None, "ml", (("ml_features", "train"),), 7, 80, 2.5, True),
    ("airflow.exceptions.AirflowTaskTimeout: Timeout after 1800 s", "time-out", "airflow.exceptions.AirflowTaskTimeout", "courier", (("courier", "wait_for_manifest"),), 31, 200, 4, True),
    ("jinja2.exceptions.UndefinedError: 'ds_nodsh' is undefined", "code error", "jinja2.exceptions.UndefinedError", "exports", (("exports", "render_report"),), 3, 9, 8.5, True),
    ("ConnectionRefusedError: [Errno 111] Connection refused to warehouse:5432", "connection refused", "ConnectionRefusedError", "data-platform", (("warehouse", "stage"), ("orders", "extract"), ("recommendations", "load")), 1841, 330, 0.8, True),
    ("bash: line 4: pg_dump: command not found (exit code 127)", "missing command", None, "ops", (("operations", "backup"),), 5, 30, 6, True),
    ("pyarrow.lib.ArrowInvalid: Could not convert '12,50' with type str: tried to convert to double", "data quality", "pyarrow.lib.ArrowInvalid", "pricing", (("pricing", "parse_prices"),), 25, 26, 3, True),
    ("Heartbeat lost", "heartbeat lost", None, "data-platform", (("recommendations", "score"),), 2, 40, 11, True),
    ("botocore.exceptions.ClientError: AccessDenied on PutObject", "permission", "botocore.exceptions.ClientError", "exports", (("exports", "upload"),), 9, 140, 20, True),
    ("ModuleNotFoundError: No module named 'shapely'", "missing module", "ModuleNotFoundError", "geo", (("geo_tiles", "simplify"),), 4, 4, 1, True),
)  # fmt: skip

# How the tasks of a case fared since: the case, then one dict per task.
FARED: tuple[tuple[int, tuple[dict[str, object], ...]], ...] = (
    (0, ({"between": 310, "broken": 20, "succeeded": 2}, {"between": 44, "broken": 3}, {"between": 9, "broken": 2, "is_paused": True})),
    (1, ({"broken": 12},)),
    (3, ({"healed": 6, "broken": 1, "healed_on": 2, "succeeded": 4, "between": 20},)),
    (4, ({"broken": 14, "is_paused": True},)),
    (5, ({"broken": 3, "succeeded": 7, "between": 2},)),
    (6, ({"broken": 20, "between": 1204, "succeeded": 11, "failed": 3}, {"broken": 18, "failed": 1}, {"broken": 20, "between": 80})),
    (7, ({"broken": 1, "next_run_at": NOW + timedelta(hours=3)},)),
    (8, ({"broken": 20, "between": 61},)),
)  # fmt: skip


def settings(folder: Path, *deployments: str, **web: object) -> Settings:
    """Return settings with a store in `folder` and these deployments."""
    return Settings.model_validate(
        {
            "data_dir": folder,
            "deployments": {name: {"url": f"https://{name}.airflow.example"} for name in deployments},
            "web": web,
        }
    )


def service(folder: Path) -> Service:
    """Return a service on a new store in `folder`."""
    return Service(open_store(f"sqlite:///{folder / 'airtriage.db'}"))


def fill(made: Service, now: datetime = NOW) -> None:
    """Keep the made-up failures, health included, and decide what follows from them."""
    rng = random.Random(7)
    for place, case in enumerate(CASES):
        made.record(_occurrences(place, case, now, rng))
    made.record([pending(now)])
    made.settle(now)
    ids = {row.problem.title: row.problem.id for row in made.queue(now)}
    made.mute(
        ids[CASES[2][0]],
        "maria",
        now,
        lasting=timedelta(days=7),
        why="the provider raises our quota on Monday",
        origin="page",
    )
    made.resolve(ids[CASES[10][0]], "jonas", now - timedelta(hours=2), why="bucket policy fixed", origin="command")
    made.store.save(health("prod", now), None)
    for place, fared in FARED:
        for answer in outcomes(ids[CASES[place][0]], place, fared, now):
            made.store.save(answer, None)
    made.store.save(compared(made, ids[CASES[0][0]], now), None)


def outcomes(id: str, place: int, fared: tuple[dict[str, object], ...], now: datetime) -> list[Outcomes]:
    """Return made-up answers about the tasks of one case."""
    tasks, first, last = CASES[place][4], CASES[place][6], CASES[place][7]
    assert isinstance(tasks, tuple)
    since, began = now - timedelta(hours=last), now - timedelta(hours=first)
    return [
        Outcomes(id, "prod", dag, task, began, since, now - timedelta(minutes=2), now + timedelta(minutes=9), **counts,  # type: ignore[arg-type]
                 last_success_at=now - timedelta(minutes=2) if counts.get("succeeded") else began + (since - began) * 0.8 if counts.get("between") else None)
        for (dag, task), counts in zip(tasks, fared, strict=False)
    ]  # fmt: skip


def compared(
    made: Service, id: str, now: datetime, status: ComparisonStatus = ComparisonStatus.SHOWN, **more: object
) -> Comparison:
    """Return a made-up comparison of a problem's newest readable try."""
    view = made.problem(id, now)
    fact = made.readable(view)
    assert fact is not None
    assert fact.kept is not None
    key = TaskTry(fact.key.deployment, fact.key.dag_id, "scheduled__2026-11-12T04:00:00+00:00", fact.key.task_id)
    place = "https://gitlab.example.com/data/dags/-/tree/"
    good = Good(key, view.row.first_seen - timedelta(hours=1), 11, "3d1f08ab77", f"{place}3d1f08ab77/dags")
    new = tuple(line.number for line in fact.kept if line.level != "INFO")
    values: dict[str, object] = {"good": good, "new": new, "lines": len(fact.kept), "done_at": now} | more
    if status is not ComparisonStatus.SHOWN:
        values |= {"new": (), "lines": 0}
    if status in (ComparisonStatus.WANTED, ComparisonStatus.NONE):
        values["good"] = None
    return Comparison(fact.key, id, view.row.first_seen, now - timedelta(seconds=9), "maria", status, **values)  # type: ignore[arg-type]


def pending(now: datetime) -> Occurrence:
    """Return a failed try whose log is still awaited."""
    key = TaskTry("prod", "store_files", "scheduled__2026-11-24T06:00:00+00:00", "copy", -1, 1)
    return Occurrence(
        key,
        now - timedelta(seconds=40),
        now,
        now - timedelta(minutes=2),
        log=LogStatus.PENDING,
        next_fetch_at=now + timedelta(seconds=20),
    )


def health(name: str, now: datetime, **changed: object) -> DeploymentHealth:
    """Return a deployment's health: well, but for what is changed."""
    values: dict[str, object] = {
        "succeeded_at": now - timedelta(seconds=12), "version": "3.3.0", "offset": -1.4, "listed": 41, "fetched": 12,
        "components": tuple(Component(part, "healthy", now - timedelta(seconds=4)) for part in ("metadatabase", "scheduler", "triggerer", "dag_processor")),
        "pools": (PoolLoad("default_pool", 128, 128, 37, 12), PoolLoad("rates_api", 2, 2, 0, 9)),
        "imports": (ImportFailure("dags/geo_tiles.py", "main", 'Traceback (most recent call last):\n  File "dags/geo_tiles.py", line 3, in <module>\n    import shapely\nModuleNotFoundError: No module named \'shapely\'', now),),
    }  # fmt: skip
    return DeploymentHealth(name, f"https://{name}.airflow.example", now - timedelta(seconds=12), **(values | changed))  # type: ignore[arg-type]


def many(made: Service, count: int, now: datetime = NOW) -> None:
    """Keep one to three failures each of `count` causes, one title in ten hostile."""
    rng = random.Random(11)
    facts = []
    for place in range(count):
        case = CASES[place % len(CASES)]
        title = f"{HOSTILE} {place}" if place % 10 == 3 else f"{case[0]} #{place}"
        kept = _log(title, case[2], *case[4][0])
        signature = Signature(1, f"1:a{place:07x}", title, case[1], case[2])
        for number in range(rng.randint(1, 3)):
            ended = now - timedelta(minutes=rng.randint(1, 9_000))
            dag, task = case[4][number % len(case[4])]
            key = TaskTry("prod", f"{dag}_{place % 40}", f"run-{place}-{number}", task)
            facts.append(
                Occurrence(
                    key,
                    ended,
                    now,
                    ended - timedelta(minutes=3),
                    is_final=True,
                    owner=case[3],
                    log=LogStatus.WHOLE,
                    log_lines=3412,
                    signature=signature,
                    kept=kept,
                )
            )
    for start in range(0, len(facts), 2000):
        made.record(facts[start : start + 2000])
    made.settle(now)


def failing(count: int, now: datetime = NOW) -> list[Occurrence]:
    """Return failed tries of 120 causes, in 40 DAGs over 20 days, each signed from its kept log, as a collector does."""
    rng = random.Random(13)
    kinds = ("KeyError", "ValueError", "TimeoutError", "ConnectionError", "IndexError", "LookupError")
    facts = []
    for number in range(count):
        cause = min(int(rng.expovariate(0.03)), 119)
        name = "".join(chr(97 + int(digit)) for digit in str(cause))
        frame = Frame(f"/opt/dags/lib/stage_{name}.py", 12 + cause, f"step_{name}")
        raised = Raised(kinds[cause % len(kinds)], f"no {name} in batch {number}", (frame,))
        ended = now - timedelta(minutes=rng.randint(1, 20 * 24 * 60))
        key = TaskTry("prod", f"dag_{rng.randint(1, 40)}", f"run-{number}", "load" if rng.random() < 0.7 else "store")
        kept = (
            LogLine(1, f"batch {number} begins", "info"),
            LogLine(2, "Task failed with exception", "error", raised=(raised,)),
        )
        facts.append(Occurrence(
            key, ended, now, ended - timedelta(minutes=3), is_final=rng.random() < 0.5, owner="data", log=LogStatus.WHOLE, log_lines=2,
            log_bytes=200, signature=sign(kept, task=key.task), kept=kept,
        ))  # fmt: skip
    return facts


def big(now: datetime = NOW) -> Occurrence:
    """Return a failed try whose log of 1.2 GB was read at its two ends only."""
    signature = Signature(
        1, "1:b1600001", "KeyError: 'amount'", "data", "KeyError", (Evidence(-2, "KeyError: 'amount'"),)
    )
    numbered = [*range(1, 200), *range(-900, -850), *range(-40, 0)]
    lines = tuple(
        LogLine(number, "KeyError: 'amount'" if number == -2 else f"row {number}", "info") for number in numbered
    )
    return Occurrence(
        TaskTry("prod", "big_export", "run-1", "write"), now - timedelta(minutes=1), now, now - timedelta(minutes=2), is_final=True,
        log=LogStatus.WHOLE, log_lines=3_100, log_bytes=1_200_000_000, log_unread=1_198_885_888, signature=signature, kept=lines,
    )  # fmt: skip


def neighbours(now: datetime = NOW) -> list[Occurrence]:
    """Return failed tries of problems similar to the one of `CASES[6]`, whose service refuses connections."""
    told = (
        ("DNS", None, 'psql: error: could not translate host name "warehouse" to address: Name or service not known', "reports", "refresh"),
        ("service time-out", "ConnectTimeout", "ConnectTimeout: HTTPConnectionPool(host='warehouse', port=5432): Max retries exceeded with url: <path>", "finance", "pull_ledger"),
        ("service time-out", None, '<img src=x onerror="window.__pwn=1"> \x1b[31mred\x1b[0m \u202egnp.exe: host=warehouse port=5432 timed out', "crm_sync", "write"),
    )  # fmt: skip
    return [
        Occurrence(
            TaskTry("prod", dag, "run-1", task), now - timedelta(minutes=50), now, now - timedelta(minutes=52), is_final=True,
            log=LogStatus.WHOLE, signature=Signature(1, f"1:eea{place}", title, cause, exception, (Evidence(2, title),)),
        )
        for place, (cause, exception, title, dag, task) in enumerate(told)
    ]  # fmt: skip


def hostile(now: datetime = NOW) -> Occurrence:
    """Return a failed try in which every foreign text attacks the page."""
    signature = Signature(1, "1:ffff0001", HOSTILE, "code error", HOSTILE, (Evidence(2, HOSTILE),), (HOSTILE,))
    chain = (Raised(HOSTILE, HOSTILE, (Frame(HOSTILE, 3, HOSTILE),), (HOSTILE,)),)
    lines = (
        LogLine(1, HOSTILE, "INFO"),
        LogLine(2, HOSTILE, "ERROR", raised=chain),
        LogLine(900, "</script><h1>", "INFO"),
    )
    key = TaskTry("prod", "<b>dag</b>", "run [x](https://evil.example)", "<i>task</i>", 3, 1)
    return Occurrence(
        key, now - timedelta(minutes=1), now, now - timedelta(minutes=2), is_final=True, owner=HOSTILE, host=HOSTILE, operator=HOSTILE,
        pool=HOSTILE, circumstance=Circumstance(CircumstanceKind.MARKED, HOSTILE, HOSTILE), log=LogStatus.WHOLE, log_lines=950, signature=signature, kept=lines,
    )  # fmt: skip


def sick(now: datetime = NOW) -> DeploymentHealth:
    """Return a deployment that has not been read for an hour."""
    return health(
        "staging", now, succeeded_at=now - timedelta(hours=1), pools=(), imports=(), fetched=0,
        troubles=(Trouble("Airflow at https://staging.airflow.example does not answer: connection refused.", "Check that its API server runs and that this machine may reach it."),),
        components=(Component("scheduler", "unhealthy", now - timedelta(hours=1)), Component("triggerer", "healthy", now)),
    )  # fmt: skip


def catching_up(now: datetime = NOW) -> Cursor:
    """Return how far a deployment is read that is not long known, and that nobody watched for two days."""
    week, two_days = now - timedelta(days=14), now - timedelta(days=3)
    gaps = (
        Gap(Listing.EVENTS, week, week + timedelta(days=7), week + timedelta(days=3.5), is_first=True),
        Gap(Listing.EVENTS, two_days, now - timedelta(days=1), now - timedelta(days=2)),
    )
    return Cursor("prod", "prod", now, now, gaps=gaps)


def _occurrences(place: int, case: tuple, now: datetime, rng: random.Random) -> list[Occurrence]:  # type: ignore[type-arg]
    title, cause, exception, owner, tasks, count, first, last, final = case
    facts = []
    for number in range(count):
        hours = last + (first - last) * (number / max(count - 1, 1)) ** rng.choice((1.0, 1.6))
        ended = now - timedelta(hours=hours)
        dag, task = tasks[min(int(rng.expovariate(1.2)), len(tasks) - 1)]
        key = TaskTry("prod", dag, f"scheduled__{ended:%Y-%m-%dT%H:%M}:00+00:00-{number}", task, -1, 1 + number % 2)
        kept = _log(title, exception, dag, task) if number < 3 and cause != "heartbeat lost" else None
        telling = tuple(Evidence(line.number, line.text) for line in kept or () if line.level == "ERROR")
        decisions = (
            f"The root exception is {exception}.",
            "Numbers, quoted values and addresses in its message are passed over.",
            "The deepest frame of your own code is part of it.",
        )
        lost = (
            Circumstance(
                CircumstanceKind.HEARTBEAT_LOST, "Task did not emit heartbeat within time limit (300 seconds)."
            )
            if cause == "heartbeat lost"
            else None
        )
        if lost is not None:
            decisions = sign((), lost, absence=Absence.WORKER).decisions
        signature = Signature(1, f"1:{place:08x}", title, cause, exception, telling, decisions)
        facts.append(Occurrence(
            key, ended, now, ended - timedelta(seconds=rng.randint(4, 1900)), is_final=final, owner=owner, operator="PythonOperator", pool="default_pool",
            host=f"w-{rng.randint(1, 9)}", dag_version=14, bundle_version="9ab1e0d42c", bundle_url="https://gitlab.example.com/data/dags/-/tree/9ab1e0d42c/dags", log=LogStatus.MISSING if lost else LogStatus.WHOLE, log_lines=3412 if kept else 40, signature=signature, kept=kept,
            circumstance=lost, absence=Absence.WORKER if lost else None,
        ))  # fmt: skip
    return facts


def _log(title: str, exception: str | None, dag: str, task: str) -> tuple[LogLine, ...]:
    texts = [
        f"Dag bundles loaded: main; filling up the bag from /opt/dags/{dag}.py",
        f"Task instance is in running state: {dag}.{task}",
        "Connecting to warehouse.internal:5432 as svc_load",
    ]
    lines = [LogLine(n, text, "INFO") for n, text in enumerate(texts, 1)]
    lines += [LogLine(2870 + n, f"batch {n} of 512 written, {n * 1000} rows, 0.{n:02d} s", "INFO") for n in range(14)]
    lines.append(LogLine(2884, "lock wait is longer than 30 s, trying once more", "WARNING"))
    kind, _, value = title.partition(": ")
    frames = (
        Frame("/usr/lib/python3.12/site-packages/airflow/sdk/execution_time/task_runner.py", 1004, "run"),
        Frame(f"/opt/dags/{dag}.py", 118, task),
        Frame("/opt/dags/lib/warehouse.py", 64, "write"),
    )
    chain = (
        (
            Raised("airtools.LoadError", "batch 14 of 512 was not written", frames[:2], is_cause=False),
            Raised(kind, value, frames, ("While writing public.orders",), is_cause=True),
        )
        if exception
        else ()
    )
    lines.append(LogLine(2885, title if not exception else "Task failed with exception", "ERROR", raised=chain))
    lines += [LogLine(3410, "Task instance in failure state", "ERROR"), LogLine(3411, "Marking task as failed", "INFO")]
    return tuple(lines)
