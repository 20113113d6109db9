"""Failed tries in great numbers, seeded and as skewed as real ones: `tries(1_000_000)`, or a whole store of them.

Each problem has its log from the corpus (2 to 9 kB, 5 on average), signed once and then written anew for each try with
other times, hosts, ids and numbers in it. Few problems make most failures (Zipf), a twentieth comes in bursts of one
cause within a minute. The same seed gives the same tries. Measures nothing. `store` keeps what it made outside the tree.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import random
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tests.bench.table import say
from triage import logs
from triage.model import LogStatus, Occurrence, TaskTry
from triage.query import EVERYTHING
from triage.service import Service
from triage.signature import sign
from triage.store import Store, open_store
from ui.demo.airflow import cache_folder

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SPAN = timedelta(days=180)
SEED = 6
MADE = 1  # what `store` keeps is made anew when this, or the version of the store's file, changes
_CORPUS = Path(__file__).parent.parent / "corpus"
_SIZES = range(2_000, 9_000)  # bytes of the corpus' logs that serve: 5 kB on average
_SKEW = 1.05  # the exponent of Zipf's law; the first hundredth of the problems makes about two thirds of the tries
_BATCH = 2_000  # tries a transaction

_SLOTS = {  # what varies from try to try in a log: a pattern, and how many different ones of it a try gets
    "stamp": re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?=[.,+Z]|\b)"),
    "uuid": re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
    "fraction": re.compile(r"(?<=:\d\d[.,])\d{3}(?=\d*[+Z\]])"),
    "hex": re.compile(r"\b0x[0-9a-f]{8,16}\b"),
    "number": re.compile(r"(?<![\w.:-])\d{4,9}(?![\w.:-])"),
}
_MARK = re.compile("\x01(\\w+)\x02")
_DEPLOYMENTS = ("prod", "prod-eu", "staging")
_TEAMS = ("data-platform", "crm", "pricing", "@ml", "geo", "exports", "ops", "billing", "growth", "risk", "", "airflow")
_OPERATORS = ("PythonOperator", "BashOperator", "SQLExecuteQueryOperator", "KubernetesPodOperator", "S3KeySensor", "_PythonDecoratedOperator")  # fmt: skip
_TAGS = (
    "nightly",
    "hourly",
    "critical",
    "gdpr",
    "tier-1",
    "tier-2",
    "experimental",
    "backfill",
    "finance",
    "reporting",
)
_THINGS = ("orders", "rates", "parcels", "invoices", "tiles", "features", "customers", "ledger", "claims", "stock", "clicks", "sensors")  # fmt: skip
_VERBS = ("load", "extract", "merge", "publish", "train", "score", "wait_for", "sync", "clean", "export", "check", "render")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """A problem to be: the pieces of its tries' JSON with the names of what goes between them."""

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    places: tuple[tuple[str, str, str, str], ...]  # deployment, dag, task, operator


def tries(count: int, seed: int = SEED, since: int = 0) -> Iterator[Occurrence]:
    """Yield `count` failed tries of `SPAN` before `NOW`, oldest first, kept logs included; from the `since`-th on."""
    problems = _problems(max(40, round(count**0.55)), seed)
    weights = list(itertools.accumulate((place + 1) ** -_SKEW for place in range(len(problems))))
    step = SPAN / count
    for number in range(since, count):
        chance = random.Random(seed * 1_000_003 + number)
        block, start = divmod(number, 4_000)  # of each 4,000 the first 200 are one burst
        who = random.Random(seed * 7 + block) if start < 200 else chance
        problem = problems[bisect.bisect_left(weights, who.random() * weights[-1])]
        when = NOW - SPAN + step * number
        if start < 200:
            when = NOW - SPAN + step * (number - start) + timedelta(seconds=start * 0.29)
        yield _try(problem, number, when, chance)


def plain(fact: Occurrence) -> dict[str, object]:
    """Return a try as anybody would store it as a document: flat fields and the text of its log."""
    key, signed = fact.key, fact.signature
    return {
        "id": key.id, "deployment": key.deployment, "dag": key.dag_id, "run": key.run_id, "task": key.task_id, "try": key.try_number,
        "at": round(fact.ended_at.timestamp() * 1_000_000), "owner": fact.owner, "operator": fact.operator, "host": fact.host,
        "queue": fact.queue, "pool": fact.pool, "tags": list(fact.tags), "title": signed.title if signed else "",
        "cause": signed.cause if signed else "", "fingerprint": fact.fingerprint,
        "text": "\n".join(line.text for line in fact.kept or ()),
    }  # fmt: skip


def fill(store: Store, count: int, since: int = 0) -> None:
    """Put the tries into a store and say how far it is."""
    began, number = time.monotonic(), since
    facts = tries(count, since=since)
    while batch := list(itertools.islice(facts, _BATCH)):
        store.put(batch)
        number += len(batch)
        if number % 50_000 < _BATCH:
            say(f"  {number:,} of {count:,} tries, {(number - since) / (time.monotonic() - began):,.0f} a second")


def folder() -> Path:
    """Return where made stores are kept: outside the tree, beside the throwaway Airflow."""
    return cache_folder() / "many-tries"


def store(count: int, version: int) -> Path:
    """Return the SQLite file of so many tries, settled, made where it is not kept yet; a kill loses little of the making.

    It is shared by the benches, so copy it before you write. `version` is that of the file's tables; one that an older
    version made is brought up to it.
    """
    done = folder() / f"{count}-{MADE}.{version}.db"
    if done.exists():
        return done
    folder().mkdir(parents=True, exist_ok=True)
    making = done.with_suffix(".making")
    former = next(
        (file for older in range(version - 1, 0, -1) if (file := folder() / f"{count}-{MADE}.{older}.db").exists()),
        None,
    )
    if former and not making.exists():
        shutil.copyfile(former, making)  # brought up to this version as any store is, when it is opened
    made = open_store(f"sqlite:///{making}")
    fill(made, count, since=made.count(EVERYTHING))  # a broken-off making left the first ones
    say(f"  settling {count:,} tries")
    Service(made).settle(NOW)
    made.close()
    for beside in ("-wal", "-shm"):
        making.with_name(making.name + beside).unlink(missing_ok=True)
    making.rename(done)
    return done


def copy(count: int, version: int, into: Path) -> Path:
    """Return a copy of such a store that may be written."""
    return Path(shutil.copyfile(store(count, version), into / "airtriage.db"))


_KNOWN: dict[tuple[int, int], list[Made]] = {}


def _problems(count: int, seed: int) -> list[Made]:
    if (count, seed) not in _KNOWN:
        chance = random.Random(seed)
        cases = [_signed(file) for file in sorted(_CORPUS.glob("*/*.log")) if file.stat().st_size in _SIZES]
        chance.shuffle(cases)
        _KNOWN[count, seed] = [_problem(cases[number % len(cases)], number, chance) for number in range(count)]
    return _KNOWN[count, seed]


def _signed(file: Path) -> Occurrence:
    data = file.read_bytes()
    kept = logs.keep(logs.read([data]))
    signed = sign(kept.lines, task="shop.load")
    key = TaskTry("\x01deployment\x02", "\x01dag\x02", "\x01run\x02", "\x01task\x02", -1, 1)
    return Occurrence(
        key, NOW, NOW, NOW, is_final=True, log=LogStatus.WHOLE, log_lines=kept.total_lines, log_bytes=len(data),
        signature=signed, kept=kept.lines, fetches=1, first_fetch_at=NOW,
    )  # fmt: skip


def _problem(case: Occurrence, number: int, chance: random.Random) -> Made:
    signed = case.signature
    assert signed is not None
    edition, _, digest = signed.fingerprint.partition(":")
    mine = hashlib.sha256(f"{number}".encode()).hexdigest()[: len(digest)]
    thing = f"{chance.choice(_THINGS)}_{number}"
    signed = replace(signed, fingerprint=f"{edition}:{mine}", title=f"{signed.title} in {thing}()"[:160])
    text = msgspec.json.encode(replace(case, signature=signed)).decode().replace("\\u0001", "\x01").replace("\\u0002", "\x02")  # fmt: skip
    for name, pattern in _SLOTS.items():
        text = pattern.sub(lambda found, name=name: _slot(name, found[0]), text)  # type: ignore[misc]
    deployments = chance.sample(_DEPLOYMENTS, chance.choice((1, 1, 1, 2)))
    dag, task = f"{chance.choice(_THINGS)}_{chance.randrange(40)}", f"{chance.choice(_VERBS)}_{thing}"
    operator = chance.choice(_OPERATORS)
    places = tuple(
        (name, dag if part == 0 else f"{dag}_{part}", task, operator)
        for name in deployments
        for part in range(chance.choice((1, 1, 2, 4)))
    )
    parts = _MARK.split(text)
    return Made(tuple(parts[::2]), tuple(parts[1::2]), places)


def _slot(name: str, found: str) -> str:
    """A mark for what varies: of ids and numbers the same stay the same within a try, three different ones at most."""
    if name in ("stamp", "fraction"):
        return f"\x01{name}{'T' if 'T' in found else ''}\x02"
    return f"\x01{name}{int(hashlib.sha256(found.encode()).hexdigest(), 16) % 3}\x02"


def _try(problem: Made, number: int, when: datetime, chance: random.Random) -> Occurrence:
    deployment, dag, task, operator = chance.choice(problem.places)
    stamp = f"{when:%Y-%m-%dT%H:%M:%S}"
    ids = f"{chance.getrandbits(384):096x}"
    values = {
        "deployment": deployment, "dag": dag, "task": task, "run": f"scheduled__{when:%Y-%m-%d}T{when.hour:02}:{number % 60:02}:00+00:00",
        "stamp": stamp.replace("T", " "), "stampT": stamp, "fraction": f"{number % 1000:03}",
    }  # fmt: skip
    for place in range(3):
        part = ids[place * 32 : place * 32 + 32]
        values[f"uuid{place}"] = f"{part[:8]}-{part[8:12]}-{part[12:16]}-{part[16:20]}-{part[20:]}"
        values[f"hex{place}"] = f"0x7f{part[:10]}"
        values[f"number{place}"] = str(int(part[:7], 16) + 1000)
    pieces, names = problem.pieces, problem.names
    text = (
        "".join(itertools.chain.from_iterable(zip(pieces, map(values.__getitem__, names), strict=False))) + pieces[-1]
    )
    fact = _DECODER.decode(text)
    team = int(hashlib.sha256(dag.encode()).hexdigest()[:8], 16)
    key = replace(fact.key, run_id=f"{fact.key.run_id}_{number:x}" if number % 5 else fact.key.run_id, map_index=number if not number % 5 else -1)  # fmt: skip
    return replace(
        fact, key=key, ended_at=when, seen_at=when + timedelta(seconds=9), started_at=when - timedelta(seconds=chance.randrange(2, 900)),
        first_fetch_at=when + timedelta(seconds=9), is_final=number % 3 > 0, operator=operator, owner=_TEAMS[team % len(_TEAMS)],
        queue=("default", "default", "heavy")[team % 3], pool=("default_pool", "default_pool", "warehouse", "api")[team % 4],
        host=f"airflow-worker-{int(chance.paretovariate(0.7)) % 120}", tags=tuple(sorted({_TAGS[team % 10], _TAGS[team // 10 % 10]})),
        dag_version=1 + number // 200_000, bundle_version=hashlib.sha256(f"{number // 50_000}".encode()).hexdigest()[:8],
        file=f"/opt/airflow/dags/{dag}.py", is_event_time=True, map_label="",
    )  # fmt: skip


_DECODER = msgspec.json.Decoder(Occurrence)


if __name__ == "__main__":
    from triage.store.sqlite.migrations import MIGRATIONS

    print(store(int(sys.argv[1]), len(MIGRATIONS)))
