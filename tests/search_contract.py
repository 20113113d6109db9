"""What every store finds: a fixed set of sixty failed tries, and for each query the tries it finds, written by hand.

Try `n` ended `n` hours before NOW, but for the last three, which ended together; so what is found comes in order of these
numbers. Inherit `SearchContract` and give it a `searched` fixture: a service on a store that `fill` was given, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.store_contract import occurrence
from triage.model import Frame, LogLine, LogStatus, Occurrence, Raised, Signature, TaskTry
from triage.query import both, parse
from triage.records import TriageState
from triage.service import Service

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIZE = 60

_ORDERS = [
    "disk full on /dev/sda1", "no space left on device", "left no space on device", "disk is not full", "full disk", "Disk FULL",
    "diskette full", "connection refused to 10.0.0.5:5432", "connection was refused", "refusal of connection",
]  # fmt: skip
_BILLING = [
    "snake_case_name failed", "snake case name failed", "snakecase name failed", "my.module.Class raised",
    "file /opt/airflow/dags/billing.py line 12", "s3://bucket/key/part-0001.parquet missing", "[2024-01-01 10:00] started",
    "Größe überschritten", "GROSSE uberschritten", "straße gesperrt",
]  # fmt: skip
_UNICODE = [
    "İstanbul şehir", "istanbul sehir", "ısparta", "データベース エラー", "データ 量", "数据库 错误", "데이터 오류", "مُحَمَّد خطأ", "محمد خطا", "ключ не найден Ёлка",
]  # fmt: skip
_EMOJI = [
    "done ✅ all good",
    "fire 🔥🔥 alarm",
    "👩\u200d💻 works",
    "thumbs 👍🏽 up",
    "cafe\u0301 cre\u0300me",
    "café crème",
]
_WEIRD = ["nul\0inside", "x" * 300, "x" * 99 + "y" + "z" * 50, "हिन्दी สวัสดี שָׁלוֹם"]
_MAPPED = [(0, 1), (1, 1), (2, 2), (3, 2), (10, 3), (-1, 12)]  # index, try
_TIES = ("tie_a", "tie_b", "tie_c")  # in order of their ids, the greatest first


def tries() -> list[Occurrence]:
    """Return the sixty, the newest first."""
    made = list(_tries())
    assert len(made) == SIZE
    return made


def _tries() -> Iterator[Occurrence]:
    count = iter(range(1, SIZE + 1))
    for text in _ORDERS:
        yield _try(next(count), text=text)
    for text in _BILLING:
        yield _try(
            next(count), text=text, dag="billing", task="send_mail", signature=_signed("1:bb", "SMTPError: 451 try later", "dependency", "smtplib.SMTPError"),
            owner="Ärzte", tags=("nightly", "Team X"), pool="mail_pool", queue="default", operator="PythonOperator",
        )  # fmt: skip
    for text in _UNICODE:
        signed = _signed("1:cc", "ValueError: größer als 5", "data", "ValueError")
        yield _try(next(count), text=text, dag="Ünïcode", task="übung.größe", signature=signed, tags=("größe",))
    for text in _EMOJI:
        signed = _signed("1:dd", "RuntimeError: bad 🔥", "code error", "RuntimeError")
        yield _try(next(count), text=text, dag="emoji", task="t", signature=signed)
    for text in _WEIRD:
        yield _try(next(count), text=text, dag="weird", signature=_signed("1:00", "OSError: [Errno 28] x", "resource", "OSError"))  # fmt: skip
    for host in ("", "", "", "worker-9.example.com"):
        pending = _try(next(count), dag="wait_for", task="sensor", log=LogStatus.PENDING, host=host)
        yield replace(pending, signature=None, owner="Bob")
    gone = _signed("1:ee", "No log", "no log", None)
    yield replace(_try(next(count), dag="gone", log=LogStatus.MISSING, signature=gone), kept=None)
    yield _try(next(count), dag="gone", log=LogStatus.PARTIAL, signature=gone, text="half of it")
    for index, number in _MAPPED:
        signed = _signed("1:ff", "TimeoutError: slow", "timeout", "TimeoutError")
        one = _try(n := next(count), dag="mapped", task="each", text="slow", signature=signed)
        yield replace(one, key=TaskTry("prod", "mapped", f"r{n:02}", "each", index, number))
    yield _try(next(count), deployment="dev", owner="data, Ops", text="ok")
    yield _try(next(count), deployment="dev", owner="airflow", tags=("nightly",), text="ok")
    yield _try(next(count), deployment="dev", host="w-7", operator="KubernetesPodOperator", queue="gpu", pool="p1", text="ok")  # fmt: skip
    yield _try(next(count), deployment="dev", text='say "hi" \\ a*b', signature=_signed("1:aa", "a:b [c] (d)", "code error", "E"))  # fmt: skip
    frames = (Frame("/opt/app/db.py", 77, "connect"),)
    inner = Raised("ConnectionResetError", "peer left", notes=("see runbook",), is_cause=True)
    lines = (LogLine(1, "start"), LogLine(2, "Task failed", raised=(Raised("sqlalchemy.exc.OperationalError", "server closed", frames), inner)))  # fmt: skip
    signed = _signed(
        "1.c0ffee00:99", "OperationalError: server closed", "dependency", "sqlalchemy.exc.OperationalError"
    )
    yield replace(_try(next(count), dag="sql-dag.v2", signature=signed), kept=lines)
    for run in _TIES:
        one = _try(SIZE, dag="tie", text="tied", signature=_signed("1:11", "Tied", "unknown", None))
        yield replace(one, key=TaskTry("prod", "tie", run, "load"))


def _try(n: int, *, dag: str = "orders", deployment: str = "prod", text: str = "boom", **more: object) -> Occurrence:
    made = occurrence(n, dag=dag, deployment=deployment, at=NOW - n * HOUR, text=text, **more)  # type: ignore[arg-type]
    return replace(made, key=replace(made.key, run_id=f"r{n:02}"))


def _signed(print_: str, title: str, cause: str, exception: str | None) -> Signature:
    return Signature(1, print_, title, cause, exception)


def fill(service: Service) -> None:
    """Record the sixty, and say a few things of their problems."""
    service.record(tries())
    service.settle(NOW)
    id = {row.problem.title: row.problem.id for row in service.queue(NOW) if row.deployments == ("prod",)}
    service.mute(id["SMTPError: 451 try later"], "ann", NOW)
    service.resolve(id["ValueError: größer als 5"], "ann", NOW)
    service.mirrored(id["RuntimeError: bad 🔥"], "https://gitlab.example.com/data/dags/-/issues/12", NOW)
    service.assign(id["No log"], "@Data", "ann", NOW)
    service.assign(id["TimeoutError: slow"], "ann", "ann", NOW)


ALL = "1-60"
# A query, and the tries it finds.
FINDS = [
    ("", ALL), ("*", ALL), ("*:*", ALL), ("text:*", ALL), ("at:*", ALL), ("try:*", ALL), ("deployment:*", ALL), ("log:*", ALL),
    # --- words
    ("disk", "1 4-6"), ("DISK", "1 4-6"), ("full", "1 4-7"), ("disk full", "1 4-6"), ("full disk", "1 4-6"), ("disk full nothere", ""),
    ('"disk full"', "1 6"), ('"full disk"', "5"), ('"Disk, full!"', "1 6"), ("“disk full”", "1 6"), ("disk.full", "1 6"), ("disk/full", "1 6"),
    ("disk-full", "1 6"), ("disk:full", None), (r"disk\:full", "1 6"), ("disk_full", "1 6"), ("disk*", "1 4-7"), ("diskett*", "7"), ("diskettes*", ""),
    ('"no space left"', "2"), ('"space no left"', ""), ('"left no space"', "3"), ("no.space.le*", "2"), ("refus*", "8-10"), ("refused", "8 9"),
    ('"connection refused"', "8"), ("connection -refused", "10"), ("10.0.0.5", "8"), ("10.0.0.5:5432", "8"), ("5432", "8"), ("543*", "8"),
    ("/dev/sda1", "1"), ("dev sda1", "1"), ("sda", ""), ("sda*", "1"), ("text:disk", "1 4-6"), ('text:"disk full"', "1 6"), ("text:(disk -full)", ""),
    # --- names are words too: DAG, task, run, host, title
    ("orders", "1-10 53-56"), ("orders disk", "1 4-6"), ("load disk", "1 4-6"), ("r05", "5"), ("r0*", "1-9"), ("keyerror", "1-10 53-55"), ("amount", "1-10 53-55"),
    ('"keyerror amount"', "1-10 53-55"), ("send_mail", "11-20"), ("send mail", "11-20"), ('"mail send"', ""), ("worker-9", "44"), ("example.com", "44"), ("wait_for", "41-44"),
    ("sensor", "41-44"), ("sql-dag.v2", "57"), ("tie_b", "59"), ("tie", "58-60"), ("tied", "58-60"),
    # --- snake_case, dotted names, paths, brackets
    ("snake_case_name", "11 12"), ('"snake case name"', "11 12"), ("snake_case*", "11 12"), ("snake*", "11-13"), ("snakecase", "13"), ("name failed", "11-13"),
    ("my.module.Class", "14"), ("module.class", "14"), ("my.class", ""), ("modul*", "14"), ("/opt/airflow/dags/billing.py", "15"), ("billing.py", "15"), ("airflow/dags", "15"),
    ("/opt/", None), ('"/opt/"', "15 57"), ('"line 12"', "15"), ("s3://bucket/key", "16"), ("s3://bucket/key/part-0001.parquet", "16"), ("part-0001", "16"), ("part-1", ""),
    ('"[2024-01-01 10:00]"', "17"), ("2024-01-01", "17"), ("10:00", "17"), ("2024*", "17"),
    # --- accents, case, width, scripts
    ("größe", "18 19 21-30"), ("GRÖSSE", "18 19 21-30"), ("grosse", "18 19 21-30"), ("große überschritten", "18 19"), ("uberschritten", "18 19"), ("ÜBERSCHRITTEN", "18 19"),
    ("u\u0308berschritten", "18 19"), ("straße", "20"), ("STRASSE", "20"), ("strass*", "20"), ("stra*", "20"), ("istanbul", "21 22"), ("ISTANBUL", "21 22"), ("İSTANBUL", "21 22"),
    ("şehir", "21 22"), ("ısparta", "23"), ("isparta", ""), ("データ", "24 25"), ("データベース", "24"), ("ベース", "24"), ("ﾃﾞｰﾀ", "24 25"), ("テータ", ""), ("エラー", "24"),
    ("データ量", "25"), ("数据", "26"), ("据库", "26"), ("数库", ""), ("数 库", "26"), ("数*", "26"), ("데이터", "27"), ("데이", "27"), ("데터", ""), ("محمد", "28 29"), ("مُحَمَّد", "28 29"), ("خطأ", "28 29"), ("ключ", "30"),
    ("КЛЮЧ", "30"), ("клю*", "30"), ("елка", "30"), ("ёлка", "30"), ("हिन्दी", "40"), ("สวัสดี", "40"), ("שלום", "40"), ("שָׁלוֹם", "40"),
    ("ｆｕｌｌ", "1 4-7"), ("✅", "31"), ("🔥", "31-36"), ('"🔥🔥"', "32"), ("🔥🔥", "32"), ("fire🔥", "32"), ("👩", "33"), ("👩\u200d💻", "33"), ("💻", "33"), ("👍", "34"), ("👍🏽", "34"), ("👍🏿", "34"),
    ("café", "35 36"), ("cafe", "35 36"), ("cafe\u0301", "35 36"), ("crème café", "35 36"), ('"café crème"', "35 36"),
    # --- what is odd
    ("nul", "37"), ("inside", "37"), ('"nul\0inside"', "37"), ("nulinside", ""), ("x" * 300, "38"), ("x" * 100, "38"), ("x" * 99, ""), ("x" * 99 + "*", "38 39"), ("x" * 99 + "yz", "39"),
    ("xx*", "38 39"), ("_", None), ("...", None), ('"say hi"', "56"), ("a\\*b", "56"), (r'"say \"hi\" \\ a*b"', "56"), ("hi -say", ""), ("half", "46"),
    # --- exceptions of a structured log: type, value, frames, notes
    ("sqlalchemy.exc.OperationalError", "57"), ('"OperationalError: server closed"', "57"), ('"/opt/app/db.py"', "57"), ('File "/opt/app/db.py", line 77, in connect', None), (r'"File \"/opt/app/db.py\", line 77, in connect"', "57"),
    ("db.py connect", "57"), ("runbook", "57"), ("ConnectionResetError", "57"), ('"peer left"', "57"),
    # --- AND, OR, NOT
    ("disk OR refused", "1 4-6 8 9"), ("disk || refused", "1 4-6 8 9"), ("disk AND full", "1 4-6"), ("disk && full", "1 4-6"), ("disk AND NOT full", ""), ("full NOT disk", "7"), ("full -disk", "7"),
    ("full !disk", "7"), ("+full -disk", "7"), ("disk OR refused -connection", "1 4-6"), ("refused disk OR connection", "8 9"), ("disk AND full OR refused", "1 4-6 8 9"),
    ("refused OR full AND disk", "1 4-6 8 9"), ("refused OR (full -disk)", "7-9"), ("(disk OR refused) (full OR was)", "1 4-6 9"), ("NOT (dag:orders OR dag:billing)", "21-52 57-60"),
    ("-dag:orders -dag:billing", "21-52 57-60"), ("NOT NOT disk", "1 4-6"), ("-(-disk)", "1 4-6"), ("disk -*", ""), ("disk *", "1 4-6"), ("disk OR *", ALL), ("-*", ""),
    ("and", ""), ("not", "4"), ("or", ""), ("-keyerror", "11-52 56-60"),
    # --- names
    ("dag:orders", "1-10 53-56"), ("dag:ORDERS", "1-10 53-56"), ("dag_id:orders", "1-10 53-56"), ("dag: orders", "1-10 53-56"), ('dag:"orders"', "1-10 53-56"), ("dag:order", ""), ("dag:order*", "1-10 53-56"),
    ("dag:o*", "1-10 53-56"), ("dag:o[rd]*", ""), ("dag:unicode", "21-30"), ("dag:Ünïcode", "21-30"), ("dag:ün*", "21-30"), ("dag:wait_for", "41-44"), ("dag:wait*", "41-44"), ('dag:"wait for"', ""), ("dag:sql-dag.v2", "57"),
    ("dag:sql-dag*", "57"), ("dag:(billing OR tie)", "11-20 58-60"), ("dag:(orders -orders)", ""), ("dag:(tie OR task:t)", "31-36 58-60"), ("task:send_mail", "11-20"), ("task_id:send*", "11-20"), ("task:übung.größe", "21-30"),
    ("task:UBUNG.GROSSE", "21-30"), ("task:t", "31-36"), ("run:r05", "5"), ("run:R05", "5"), ("run:r0*", "1-9"), ("run:tie_a", "58"), ("run:tie*", "58-60"), ("deployment:dev", "53-56"), ("-deployment:prod", "53-56"),
    ("deployment:d*", "53-56"), ('cause:"code error"', "1-10 31-36 53-56"), ("cause:code*", "1-10 31-36 53-56"), ("cause:code", ""), ("cause:timeout", "47-52"), ("exception:KeyError", "1-10 53-55"),
    ("exception:smtplib.SMTPError", "11-20"), ("exception:SMTPError", "11-20"), ("exception:smtp*", "11-20"), ("exception:operationalerr*", "57"), ("exception:exc.OperationalError", ""), ("exception:*", "1-40 47-57"), ("-exception:*", "41-46 58-60"), ('exception:""', "41-46 58-60"), ("title:keyerror", "1-10 53-55"), ('title:"KeyError: \'amount\'"', "1-10 53-55"),
    ("title:amount", "1-10 53-55"), ("title:amou*", "1-10 53-55"), ("title:boom", ""), ("title:orders", ""), ("title:größer", "21-30"), ('title:"a:b [c] (d)"', "56"), ("title:*", "1-40 45-60"), ("-title:*", "41-44"), ("title:451", "11-20"),
    ("title:🔥", "31-36"), ("owner:ärzte", "11-20"), ("owner:Arzte", "11-20"), ("owner:*", "11-20 41-44 53 54"), ("-owner:*", "1-10 21-40 45-52 55-60"), ('owner:""', "1-10 21-40 45-52 55-60"), ('owner:"data, ops"', "53"), ("owner:data*", "53"),
    ("owner:bob", "41-44"), ("owner:nobody", ""), ("operator:PythonOperator", "11-20"), ("operator:kubernetes*", "55"), ("queue:gpu", "55"), ("queue:default", "11-20"), ("pool:mail_pool", "11-20"), ("pool:mail", ""), ("pool:p*", "55"), ("host:w-7", "55"),
    ("host:worker-9.example.com", "44"), ("host:worker*", "44"), ("host:*", "44 55"), ("tag:nightly", "11-20 54"), ("tag:NIGHT*", "11-20 54"), ('tag:"team x"', "11-20"), ("tag:team", ""), ("tag:größe", "21-30"), ("tag:x", ""), ("tag:*", "11-30 54"),
    ("-tag:*", "1-10 31-53 55-60"), ("tag:nightly -tag:team*", "54"), ("log:pending", "41-44"), ("log:missing", "45"), ("log:partial", "46"), ("log:whole", "1-40 47-60"), ("-log:whole", "41-46"), ("log:p*", "41-44 46"), ("fingerprint:1:aa", "1-10 53-56"),
    ("fingerprint:1:*", "1-40 45-56 58-60"), ("fingerprint:1.c0ffee00:99", "57"), ("fingerprint:*", "1-40 45-60"), ("_exists_:owner", "11-20 41-44 53 54"), ("owner:[* TO *]", "11-20 41-44 53 54"),
    # --- numbers
    ("try:1", "1-48 53-60"), ("try:2", "49 50"), ("try:>1", "49-52"), ("try:>=3", "51 52"), ("try:[2 TO 3]", "49-51"), ("try:{1 TO 3}", "49 50"), ("try:{1 TO 3]", "49-51"), ("try:[3 TO *]", "51 52"), ("try:[* TO 0]", ""), ("try_number:12", "52"), ("try:(2 OR 3)", "49-51"),
    ("map:0", "47"), ("map:3", "50"), ("map:-1", "1-46 52-60"), ("map:*", "47-51"), ("-map:*", "1-46 52-60"), ("map:>=2", "49-51"), ("map:<1", "1-47 52-60"), ("map:[0 TO 1]", "47 48"), ("map_index:10", "51"), ("map:1*", None),
    # --- times: 1-12 on the 24th, 13-36 on the 23rd, 37-60 on the 22nd of November
    ("at:2026-11-24", "1-12"), ("at:now/d", "1-12"), ("at:now-1d/d", "13-36"), ("at:2026-11-23", "13-36"), ("at:2026-11-22", "37-60"), ("at:2026-11", ALL), ("at:2026", ALL), ("at:2025", ""), ("at:2026-11-24T10", "2"), ("at:2026-11-24T10:00", "2"),
    ('at:"2026-11-24 10:00:00"', "2"), ("at:2026-11-24T12:00+02:00", "2"), ("at:2026-11-24T10:30", ""), ("at:[now-3h TO now]", "1-3"), ("at:{now-3h TO now}", "1 2"), ("at:[now-3h TO now-1h}", "2 3"), ("at:now-3h", "1-3"), ("at:>=now-3h", "1-3"), ("at:>now-3h", "1 2"),
    ("at:<now-57h", "58-60"), ("at:<=now-57h", "57-60"), ("at:[2026-11-23 TO 2026-11-24]", "1-36"), ("at:{2026-11-23 TO *]", "1-12"), ("at:<2026-11-23", "37-60"), ("at:>2026-11-22", "1-36"), ("at:2026-11-24||-1d/d", "13-36"), ("-at:now/d", "13-60"), ("at:9999", ""),
    ("disk at:now/d", "1 4-6"), ("disk at:>=now-4h", "1 4"), ("(disk OR dag:tie) -at:[now-4h TO now]", "5 6 58-60"),
    # --- problems, as a term about the one a try belongs to
    ("state:muted", "11-20"), ("state:MUTED", "11-20"), ("state:resolved", "21-30"), ("state:new", "1-10 31-40 45-60"), ("state:(muted OR resolved)", "11-30"), ("-state:muted", "1-10 21-60"), ("NOT state:new", "11-30 41-44"), ("state:*", "1-40 45-60"), ("-state:*", "41-44"),
    ("is:muted", "11-20"), ("is:resolved", "21-30"), ("is:new", "1-10 31-40 45-60"), ("is:open", "1-10 31-40 45-60"), ("-is:open", "11-30 41-44"), ("is:growing", ""), ("is:all", "1-40 45-60"), ("has:gitlab", "31-36"), ("-has:gitlab dag:emoji", ""), ("has:team", "45 46"), ("team:data", "45 46"),
    ("team:@DATA", "45 46"), ("team:*", "45 46"), ("-team:* dag:gone", ""), ("gitlab:12", "31-36"), ('gitlab:"#12"', "31-36"), ("gitlab:data/dags#12", "31-36"), ("gitlab:data/*", "31-36"), ("gitlab:1", ""), ("gitlab:*", "31-36"), ('gitlab:""', "1-30 37-60"),
    ("occurrences:10", "1-30"), ("occurrences:>6", "1-30"), ("occurrences:[3 TO 6]", "31-40 47-56 58-60"), ("occurrences:1", "57"), ("occurrences:<3", "45 46 57"), ("occurrences:*", "1-40 45-60"), ("-occurrences:>=1", "41-44"), ("last_seen:>=now-1h", "1-10"),
    ("last_seen:now/d", "1-20"), ("first_seen:>=now/d", "1-10"), ("first_seen:<2026-11-23", "37-40 45-60"), ("first_seen:now-1d/d", "11-36"), ("state:muted snake*", "11-13"), ("state:resolved OR disk", "1 4-6 21-30"), ("-(state:new OR state:muted) -log:pending", "21-30"),
]  # fmt: skip


def numbers(text: str) -> list[int]:
    """Return the numbers that `1-3 7` names."""
    found: list[int] = []
    for part in text.split():
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


_IDS = {fact.key.id: number for number, fact in enumerate(tries(), 1)}
QUERIES = [(text, numbers(found)) for text, found in FINDS if found is not None]
REFUSED = [text for text, found in FINDS if found is None]


class SearchContract:
    """The same answers everywhere. All of them in a few tests, as a server is slow to ask in hundreds of them."""

    def test_each_query_finds_these_tries_in_this_order(self, searched: Service) -> None:
        wrong = {}
        for text, expected in QUERIES:
            found = [_IDS[fact.key.id] for fact in searched.search(parse(text, NOW), NOW, SIZE + 1)]
            if found != expected:
                wrong[text] = found
        assert wrong == {}

    def test_each_query_counts_what_it_finds(self, searched: Service) -> None:
        for text, expected in QUERIES:
            query = searched.resolve_terms(parse(text, NOW), NOW)
            assert searched.store.count(query) == len(expected), text

    def test_pages_are_parts_of_the_whole(self, searched: Service) -> None:
        for text in (
            "*",
            "full",
            "NOT disk",
            "dag:orders",
            "state:new",
            "disk OR tied",
            "tag:nightly",
            "at:2026-11-22",
        ):
            query = parse(text, NOW)
            whole = [fact.key.id for fact in searched.search(query, NOW, SIZE)]
            paged: list[str] = []
            after = None
            while page := searched.search(query, NOW, 2, after):
                paged += [fact.key.id for fact in page]
                after = (page[-1].ended_at, page[-1].key.id)
            assert paged == whole, text

    def test_histogram_and_facets_count_what_is_found(self, searched: Service) -> None:
        by_id = {fact.key.id: fact for fact in tries()}
        for text in ("*", "full", "NOT disk", "dag:orders", "tag:*", "at:now/d", "state:muted OR 🔥", "größe"):
            query = searched.resolve_terms(parse(text, NOW), NOW)
            facts = [by_id[fact.key.id] for fact in searched.store.search(query, SIZE)]
            days: dict[datetime, int] = {}
            for fact in reversed(facts):
                start = fact.ended_at.replace(hour=0)
                days[start] = days.get(start, 0) + 1
            assert list(searched.store.histogram(query).items()) == list(days.items()), text
            found = searched.store.facets(query, ["dag", "owner", "tag"], 3)
            for name, values in (
                ("dag", [(fact.key.dag_id,) for fact in facts]), ("owner", [(fact.owner,) for fact in facts]), ("tag", [fact.tags for fact in facts]),
            ):  # fmt: skip
                counts: dict[str, int] = {}
                for one in values:
                    for value in one:
                        counts[value] = counts.get(value, 0) + 1
                most = sorted(
                    ((value, count) for value, count in counts.items() if value), key=lambda it: (-it[1], it[0])
                )
                assert found[name] == most[:3], (text, name)

    def test_problems_are_those_with_one_try_that_satisfies_the_whole_query(self, searched: Service) -> None:
        def titles(text: str) -> set[str]:
            return {f"{row.deployments[0]} {row.problem.title}" for row in searched.queue(NOW, parse(text, NOW))}

        assert titles("disk") == titles("disk dag:orders") == {"prod KeyError: 'amount'"}
        assert titles("snakecase snake_case") == set()
        assert titles("-disk dag:orders") == {"prod KeyError: 'amount'", "dev a:b [c] (d)"}
        assert titles("owner:@data") == {"prod No log", "dev a:b [c] (d)"}  # a person of that name, too
        assert titles("owner:data team:data") == {"prod No log"}
        assert titles("owner:ann") == {"prod TimeoutError: slow"}
        assert titles("state:resolved -istanbul") == {"prod ValueError: größer als 5"}
        assert titles("state:muted NOT billing") == set()
        assert titles("log:pending") == set()
        assert len(titles("*")) == len(titles("is:all")) == 10
        assert len(titles("-is:muted")) == 9

    def test_the_states_are_as_they_were_made(self, searched: Service) -> None:
        states = {row.problem.title: row.problem.state for row in searched.queue(NOW)}
        assert states["SMTPError: 451 try later"] is TriageState.MUTED
        assert searched.store.count(both(parse("*", NOW))) == SIZE
