"""Which problems are near one, and why: pairs from real logs, what must hold for any, and the shell over a store."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import made_up
from triage import near
from triage.causes import CAUSES
from triage.model import Absence, Circumstance, CircumstanceKind, Evidence, LogStatus, Occurrence, Signature, TaskTry
from triage.nearest import Index, ranked
from triage.service import Service
from triage.signature import sign, sign_text
from triage.similar import Known, Similar
from triage.store import open_store

CORPUS = Path(__file__).parent / "corpus"
GROUPS = sorted({path.parent.name for path in CORPUS.glob("*/*.log")})
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@cache
def group(name: str, case: int = 0) -> Signature:
    """The signature of a real log."""
    return sign_text(sorted((CORPUS / name).glob("*.log"))[case].read_bytes(), task="shop.load")


def error(text: str, task: str = "shop.load") -> Signature:
    """The signature of a log that ends with this line of the shell, or with this exception raised in its own code."""
    return sign_text(
        f"[2026-10-03T04:12:00.000+0000] {{subprocess.py:106}} INFO - {text}\n"
        "[2026-10-03T04:12:01.000+0000] {taskinstance.py:3336} ERROR - Task failed with exception\n"
        "Traceback (most recent call last):\n"
        '  File "/opt/airflow/airflow/providers/standard/operators/bash.py", line 228, in execute\n'
        "airflow.exceptions.AirflowException: Bash command failed. The command returned a non-zero exit code 1.\n".encode(),
        task=task,
    )


def raised(text: str, function: str = "work") -> Signature:
    """The signature of an exception raised in a function of the task's own code."""
    return sign_text(
        "[2026-10-03T04:12:01.000+0000] {taskinstance.py:3336} ERROR - Task failed with exception\n"
        "Traceback (most recent call last):\n"
        f'  File "/opt/dags/lib.py", line 7, in {function}\n    pass\n'
        f"{text}\n".encode(),
        task="shop.load",
    )


def traits(signature: Signature, scope: str = "prod", task: str = "shop.load") -> near.Traits:
    return near.traits(signature, scope, task)


def between(here: Signature, there: Signature, tasks: tuple[str, str] = ("a.b", "c.d")) -> near.Likeness | None:
    return near.compare(traits(here, task=tasks[0]), traits(there, task=tasks[1]))


REFUSED, DNS = group("db_prod_refused"), group("dns_files_partner")
NEAR = [
    pytest.param(
        REFUSED, raised('psycopg2.OperationalError: connection to server at "db-prod", port 5432 failed: timeout expired', "load"),
        0.9, "The same endpoint db-prod:5432, with another trouble: service time-out (here connection refused).", id="outage seen by another error",
    ),
    pytest.param(
        group("db_prod_refused", 1), error("psql: error: could not translate host name \"db-prod\" to address: Name or service not known"),
        0.75, "The same host db-prod, with another trouble: DNS (here connection refused), through another client: psql (here OperationalError).", id="name gone, through another client",
    ),
    pytest.param(
        DNS, raised("requests.exceptions.SSLError: HTTPSConnectionPool(host='files.partner.example', port=443): Max retries exceeded (Caused by SSLError(certificate verify failed))"),
        0.75, "The same host files.partner.example, with another trouble: TLS (here DNS), through another client: SSLError (here curl).", id="DNS and TLS of one host",
    ),
    pytest.param(
        group("http_429"), group("http_503"), 0.8,
        "The same endpoint api.partner.example:443, with another trouble: service error (here rate limit).", id="one service, 429 and 503",
    ),
    pytest.param(
        group("module_lightgbm"), raised("ImportError: cannot import name 'LGBMRanker' from 'lightgbm' (/x/lightgbm/__init__.py)"),
        0.75, "The same module lightgbm is missing or cannot be used there.", id="a module and a name in it",
    ),
    pytest.param(
        group("module_lightgbm"), raised("ModuleNotFoundError: No module named 'lightgbm.sklearn'"),
        0.65, "The same module lightgbm is missing or cannot be used there.", id="a module and one in it",
    ),
    pytest.param(
        group("dbt_two_relations_missing"), raised('psycopg2.errors.UndefinedTable: relation "raw.orders" does not exist', "read"),
        0.75, "The same file or table raw.orders is missing or cannot be used there.", id="a table that dbt names among others",
    ),
    pytest.param(
        group("file_sales"), error("bash: line 3: sales_20261122.csv: No such file or directory"),
        0.85, "The same file or table sales.csv is missing or cannot be used there.", id="a file of another day, in the shell",
    ),
    pytest.param(
        group("sensor_orders_csv"), raised("FileNotFoundError: [Errno 2] No such file or directory: '/in/orders.csv'"),
        0.7, "It is about the same orders.csv, with another trouble: missing file or table (here sensor time-out).", id="waited for here, not found there",
    ),
    pytest.param(
        group("keyerror_amount_in_count"), group("keyerror_amount_in_net_price"),
        0.65, "The same words from another place: net_price() (here count()).", id="one column missing, two places",
    ),
    pytest.param(
        raised("RuntimeError: the ledger of this branch was closed before the posting ran", "post"),
        raised("ValueError: the ledger of this branch was closed before the posting ran", "post"),
        0.7, "The same words from another client: ValueError (here RuntimeError).", id="the same words, another exception",
    ),
    pytest.param(
        raised("RuntimeError: the ledger of this branch was closed before the posting ran", "post"),
        raised("RuntimeError: the ledger of this branch was closed while the posting ran", "post"),
        0.69, "Nearly the same words in the same place, post().", id="one failure in two wordings",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("here", "there", "score", "why"), NEAR)
def test_it_is_near_and_says_why(here: Signature, there: Signature, score: float, why: str) -> None:
    found = between(here, there)
    assert found is not None, (traits(here), traits(there))
    assert found.why.startswith(why.removesuffix("."))
    assert found.score == pytest.approx(score, abs=0.001)
    back = between(there, here)
    assert back is not None
    assert back.score == found.score


NOT_NEAR = [
    ("db_eu_refused", "db_prod_refused", "another database"),
    ("keyerror_amount_in_count", "zero_division_in_ratio", "another error"),
    ("file_sales", "sensor_orders_csv", "another file"),
    ("typeerror_in_work", "zero_division_in_ratio", "another error"),
    ("exit_code_3_batch", "sigkill_crunch", "no words at all"),
    ("dns_files_partner", "dns_unnamed_in_get", "no host named"),
    ("dns_files_partner", "db_prod_refused", "another host"),
    ("http_503", "db_prod_refused", "another service"),
    ("no_column_discount_pct", "duplicate_orders_pkey", "another name"),
    ("template_cutoff", "keyerror_amount_in_count", "another name"),
    ("bash_zstd_not_found", "bash_traceback_valueerror", "another error"),
    ("java_heap", "sigkill_crunch", "memory of other tasks"),
]


@pytest.mark.parametrize(("here", "there"), [one[:2] for one in NOT_NEAR], ids=[one[2] for one in NOT_NEAR])
def test_it_is_not_near(here: str, there: str) -> None:
    assert between(group(here), group(there)) is None


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (raised("ConnectionRefusedError: [Errno 111] connect to localhost:9000 failed: Connection refused"),
         raised("ConnectionRefusedError: [Errno 111] connect to localhost:8080 failed: Connection refused")),
        (raised("TypeError: unsupported operand type(s) for +: 'int' and 'str'", "a"),
         raised("TypeError: unsupported operand type(s) for +: 'int' and 'str'", "b")),
        (raised("KeyError: 0", "a"), raised("KeyError: 0", "b")),
        (raised("FileNotFoundError: [Errno 2] No such file or directory: 'orders.csv'"),
         raised("FileNotFoundError: [Errno 2] No such file or directory: 'order_items.csv'")),
        (raised("AttributeError: 'NoneType' object has no attribute 'get'", "a"),
         raised("AttributeError: 'NoneType' object has no attribute 'id'", "b")),
        (raised("requests.exceptions.HTTPError: 404 Client Error: Not Found for url: https://api.partner.example/v2/rates"),
         raised("requests.exceptions.HTTPError: 404 Client Error: Not Found for url: https://api.partner.example/v2/tariffs")),
    ],
    ids=["two ports of this machine", "a language's own words", "a bare key", "another file", "another attribute", "another page"],
)  # fmt: skip
def test_what_only_looks_alike_is_not_near(here: Signature, there: Signature) -> None:
    assert between(here, there) is None


def test_the_same_failure_in_another_scope_is_nearest() -> None:
    found = near.compare(traits(REFUSED, "prod"), traits(REFUSED, "staging"))
    assert found == near.Likeness(0.95, "The same failure in staging.")
    assert near.compare(traits(REFUSED), traits(REFUSED)) is None


def test_one_task_that_ends_without_words_in_two_ways_is_near() -> None:
    lost = sign((), Circumstance(CircumstanceKind.HEARTBEAT_LOST), task="ml.train", status=LogStatus.MISSING)
    killed = group("sigkill_crunch")
    found = between(killed, lost, ("ml.train", "ml.train"))
    assert found is not None
    assert found.why == "The same task ml.train ended in another way: heartbeat lost (here killed from outside)."
    assert between(killed, lost, ("ml.train", "ml.score")) is None


def lost(problem: str, task: str, seconds: float, host: str = "w-7", run: str = "r") -> near.Lost:
    return near.Lost(problem, TaskTry("prod", "etl", run, task), host, NOW + timedelta(seconds=seconds))


def test_tasks_lost_on_one_host_within_a_minute_are_near_the_more_the_nearer() -> None:
    others = [lost(f"p{n}", f"t{n}", n) for n in range(10)]
    found = near.burst(others[0], others)
    assert set(found) == {f"p{n}" for n in range(1, 10)}
    assert found["p3"] == near.Likeness(0.9, "10 tasks ended on host w-7 within a minute, on 2026-11-25 at 12:00 UTC.")
    assert near.burst(others[0], others[:2])["p1"].score == 0.5


@pytest.mark.parametrize(
    "other",
    [lost("b", "u", 61), lost("b", "u", 5, "w-8"), lost("b", "t", 5), lost("a", "u", 5)],
    ids=["a minute later", "another host", "the same task again", "the same problem"],
)
def test_other_losses_are_no_burst(other: near.Lost) -> None:
    assert near.burst(lost("a", "t", 0), [lost("a", "t", 0), other]) == {}


def test_a_try_without_a_host_has_no_burst() -> None:
    assert near.burst(lost("a", "t", 0, ""), [lost("b", "u", 0, "")]) == {}


# --- the index


@cache
def everything() -> tuple[near.Traits, ...]:
    """The traits of every second group of the corpus in two scopes, and of the pairs above."""
    signatures = [group(name) for name in GROUPS[::2]]
    pairs = [one for param in NEAR for one in param.values[:2] if isinstance(one, Signature)]
    unique = {one.fingerprint: one for one in [*signatures, *pairs]}
    return tuple(
        traits(one, scope, f"dag.{place % 7}") for scope in ("prod", "dev") for place, one in enumerate(unique.values())
    )


def index_of(known: Sequence[near.Traits]) -> Index:
    made = Index()
    for one in known:
        made.add(f"{one.scope}/{one.fingerprint}", one)
    return made


def answers(made: Index, known: Sequence[near.Traits]) -> dict[str, list[tuple[str, near.Likeness]]]:
    ids = {f"{one.scope}/{one.fingerprint}": one for one in known}
    return {id: made.nearest(id, [one], 9) for id, one in sorted(ids.items())}


@pytest.mark.parametrize("seed", range(3))
def test_the_order_in_which_problems_came_changes_nothing(seed: int) -> None:
    known = list(everything())
    expected = answers(index_of(known), known)
    random.Random(seed).shuffle(known)
    assert answers(index_of(known), known) == expected


def test_the_nearest_are_bounded_sorted_explained_and_never_the_problem_itself() -> None:
    known = everything()
    for id, found in answers(index_of(known), known).items():
        assert id not in dict(found)
        scores = [likeness.score for _, likeness in found]
        assert scores == sorted(scores, reverse=True)
        assert all(near.LEAST <= score <= 0.95 for score in scores)
        assert all(likeness.why.endswith(".") for _, likeness in found)


def test_the_index_finds_what_comparing_with_all_finds() -> None:
    known = everything()
    made = index_of(known)
    for here in known:
        id = f"{here.scope}/{here.fingerprint}"
        all_of = {
            f"{there.scope}/{there.fingerprint}": likeness
            for there in known
            if there is not here and (likeness := near.compare(here, there)) is not None
        }
        assert made.nearest(id, [here], 9) == ranked(all_of, 9)


def test_a_service_is_found_among_thousands_that_share_all_words() -> None:
    """Many refuse connections in the same words; the one seen through another client shares but the name."""
    made = Index()
    for n in range(3_000):
        said = f'OperationalError: connection to server at "db-{n}", port 5432 failed: Connection refused'
        made.add(f"p{n}", traits(Signature(1, f"1:{n}", said, "connection refused", "OperationalError")))
    asked = traits(
        Signature(1, "1:x", "curl: (7) Failed to connect to db-2717 port 5432 after … ms", "connection refused")
    )
    ((id, likeness),) = made.nearest("x", [asked], 5)
    assert (id, likeness.score) == ("p2717", 0.95)


def test_of_thousands_alike_the_same_few_are_named_in_any_order() -> None:
    known = [traits(replace(raised("KeyError: 'amount'", f"f{n}"), fingerprint=f"1:{n}")) for n in range(400)]
    first = index_of(known).nearest("x", [known[0]], 5)
    assert len(first) == 5
    assert index_of(known[::-1]).nearest("x", [known[0]], 5) == first


def test_a_problem_that_owns_many_fingerprints_is_named_once_and_merging_moves_them() -> None:
    made = Index()
    for here in (group("http_429"), group("http_503")):
        made.add("service", traits(here))
    asked = traits(raised("requests.exceptions.HTTPError: 500 Server Error for url: https://api.partner.example/v1/x"))
    assert [id for id, _ in made.nearest("x", [asked], 5)] == ["service"]
    made.own("x", "prod", group("http_503").fingerprint)
    made.own("x", "prod", group("http_429").fingerprint)
    assert made.nearest("x", [asked], 5) == []
    assert len(made) == 2


def test_it_is_the_same_under_any_hash_seed() -> None:
    code = (
        "from tests.test_near import *; known = everything(); "
        "print([(id, one, it.score, it.why) for id, found in answers(index_of(known), known).items() for one, it in found])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=True, capture_output=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "4711")
    }  # fmt: skip
    assert len(said) == 1
    assert b"The same host" in said.pop()


SIGNATURES = st.builds(
    Signature,
    version=st.just(1),
    fingerprint=st.sampled_from(["1:a", "1:b", "1:c"]),
    title=st.one_of(st.text(max_size=160), st.sampled_from([one.title for one in map(group, GROUPS[::7])])),
    cause=st.sampled_from(sorted(CAUSES)),
    exception=st.one_of(st.none(), st.sampled_from(["KeyError", "OperationalError", "error"])),
    evidence=st.lists(st.builds(Evidence, st.integers(1, 9), st.text(max_size=80)), max_size=2).map(tuple),
)  # fmt: skip


@given(SIGNATURES, SIGNATURES, st.sampled_from(["prod", "dev"]), st.sampled_from(["a.b", "c.d"]))
def test_any_two_are_as_near_from_either_side_within_bounds(
    here: Signature, there: Signature, scope: str, task: str
) -> None:
    one, other = near.traits(here, "prod", "a.b"), near.traits(there, scope, task)
    found, back = near.compare(one, other), near.compare(other, one)
    assert (found is None) == (back is None)
    if found is not None and back is not None:
        assert found.score == back.score
        assert near.LEAST <= found.score <= 1
    assert near.compare(one, one) is None


# --- over a store


def fact(signature: Signature, n: int, deployment: str = "prod", task: str = "load", host: str = "w-1", seconds: float = 0) -> Occurrence:  # fmt: skip
    ended = NOW + timedelta(seconds=seconds)
    key = TaskTry(deployment, f"dag{n}", "run", task)
    return Occurrence(key, ended, ended, ended, is_final=True, host=host, log=LogStatus.WHOLE, signature=signature)


def heartbeat(n: int) -> Signature:
    status, lost_ = LogStatus.MISSING, Circumstance(CircumstanceKind.HEARTBEAT_LOST)
    return sign((), lost_, task=f"dag{n}.load", status=status, absence=Absence.WORKER)


def kept(*facts: Occurrence) -> Service:
    service = Service(open_store("sqlite://"))
    service.record(facts)
    service.settle(NOW)
    return service


def similar(service: Service, title: str, known: Known | None = None, now: datetime = NOW) -> tuple[Similar, ...]:
    id = next(row.problem.id for row in service.queue(now) if row.problem.title.startswith(title))
    return (known or Known(service)).similar(service.problem(id, now), now)


def test_similar_problems_are_found_in_the_store_with_their_reasons() -> None:
    service = kept(fact(group("http_429"), 1), fact(group("http_503"), 2), fact(group("http_503"), 3, "staging"))
    found = similar(service, "HTTPError: 503")
    assert [(one.problem.scope, one.score, one.why) for one in found] == [
        ("staging", 0.95, "The same failure in staging."),
        ("prod", 0.8, "The same endpoint api.partner.example:443, with another trouble: rate limit (here service error)."),
    ]  # fmt: skip


def test_heartbeats_lost_on_one_host_within_a_minute_are_similar() -> None:
    service = kept(
        *(fact(heartbeat(n), n, host="w-7", seconds=3 * n) for n in range(10)),
        fact(heartbeat(10), 10, host="w-7", seconds=400),
        fact(heartbeat(11), 11, host="w-8"),
    )
    view = service.problem(service.problem_of(fact(heartbeat(0), 0)), NOW)
    found = Known(service).similar(view, NOW)
    assert len(found) == 5
    assert {one.score for one in found} == {0.9}
    assert {one.why for one in found} == {
        "10 tasks ended on host w-7 within a minute, on 2026-11-25 at 12:00 UTC."
    }  # fmt: skip
    alone = service.problem(service.problem_of(fact(heartbeat(11), 11)), NOW)
    assert Known(service).similar(alone, NOW) == ()


def test_what_came_since_is_known_a_little_later() -> None:
    service = kept(fact(group("http_503"), 1))
    known = Known(service)
    assert similar(service, "HTTPError: 503", known) == ()
    service.record([fact(group("http_429"), 2)])
    service.settle(NOW)
    later = NOW + timedelta(seconds=11)
    (one,) = similar(service, "HTTPError: 503", known, later)
    assert one.problem.title.startswith("HTTPError: 429")
    # The newest problem itself need not be known to be asked about.
    service.record([fact(raised("requests.exceptions.HTTPError: 500 Server Error for url: https://api.partner.example/v1/x"), 3)])  # fmt: skip
    service.settle(NOW)
    assert len(similar(service, "HTTPError: 500", known, later)) == 2


def test_a_problem_whose_failed_tries_moved_to_another_is_not_named() -> None:
    service = kept(fact(group("http_503"), 1), replace(fact(group("http_429"), 2), log=LogStatus.PARTIAL))
    known = Known(service)
    assert len(similar(service, "HTTPError: 503", known)) == 1
    service.record([replace(fact(group("zero_division_in_ratio"), 2), log_bytes=9)])
    service.settle(NOW)
    assert similar(service, "HTTPError: 503", known, NOW + timedelta(minutes=1)) == ()


def test_the_made_up_failures_of_the_pages_have_similar_ones(tmp_path: Path) -> None:
    service = made_up.service(tmp_path)
    made_up.fill(service, NOW)
    service.record([fact(sign_text(b"curl: (7) Failed to connect to warehouse port 5432: Couldn't connect to server"), 1)])  # fmt: skip
    service.settle(NOW)
    assert similar(service, "ConnectionRefusedError")
    service.store.close()
