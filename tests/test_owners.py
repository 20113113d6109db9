"""Who owns a problem: the order of those who say so, what each matches, and the reason told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.store_contract import NOW, occurrence, problem
from triage import lifecycle
from triage.errors import InputError, SettingsError
from triage.owners import NO_OWNER, Owner, Ownership, Repository, Rule, Source, Task, assignees, place
from triage.ownership import FRESH, known, refresh
from triage.query import parse
from triage.records import Change, Codeowners, Dag, TriageState
from triage.redact import PLAIN
from triage.service import Service
from triage.settings import Settings, load
from triage.store import open_store

REPOSITORY = "https://gitlab.example.com/data/dags"
RULES = (
    Rule("memory", ("@platform",), cause="resource"),
    Rule("etl", ("team-data", "ann"), dag="ETL_*", gitlab=("anna.s",)),
    Rule("night", ("@ops",), deployment="prod", tag="night*"),
    Rule("one", ("bob",), task="reports.send"),
)
DAGS = {
    ("prod", "etl_a"): Dag("prod", "etl_a", ("nightly",)),
    ("prod", "orders"): Dag("prod", "orders", ("nightly", "owner: carl")),
    ("dev", "orders"): Dag("dev", "orders", ("nightly", "Team:@web")),
    ("prod", "sums"): Dag("prod", "sums", (), "/opt/airflow/dags/repo/dags/etl/sums.py"),
    ("dev", "sums"): Dag("dev", "sums", (), f"/tmp/bundles/x/versions/{'a' * 40}/dags/etl/sums.py", f"{REPOSITORY}/-/tree/{'a' * 40}/dags"),
    ("dev", "odd"): Dag("dev", "odd", (), "/elsewhere/odd.py", f"{REPOSITORY}/-/tree/{'a' * 40}"),
}  # fmt: skip
FILES = {REPOSITORY: "* @all\n/dags/etl/* @data/etl @dora dan@example.com\n"}
TOLD = Ownership(RULES, {"prod": Repository(REPOSITORY, "/opt/airflow/dags/repo")}, DAGS, FILES)


@pytest.mark.parametrize(
    ("task", "cause", "names", "why"),
    [
        (Task("prod", "etl_a", "load", ("eve",)), "resource", "@platform", "by the rule memory"),
        (Task("prod", "etl_a", "load", ("eve",)), "data", "team-data, ann", "by the rule etl"),
        (Task("prod", "orders", "load"), "data", "@ops", "by the rule night"),
        (Task("dev", "orders", "load", ("eve",)), "data", "@web", "by the DAG's tag Team:@web"),
        (
            Task("prod", "sums", "add", ("eve",)),
            "data",
            "@data/etl, @dora, dan@example.com",
            "by CODEOWNERS /dags/etl/*",
        ),
        (Task("dev", "sums", "add"), "data", "@data/etl, @dora, dan@example.com", "by CODEOWNERS /dags/etl/*"),
        (Task("dev", "odd", "add", ("airflow, eve", "fay")), "data", "eve, fay", "as Airflow says of odd.add"),
        (Task("dev", "reports", "send"), "data", "bob", "by the rule one"),
        (Task("dev", "reports", "sum", ("airflow",)), "data", "", ""),
    ],
)
def test_the_weightiest_who_names_an_owner_counts(task: Task, cause: str, names: str, why: str) -> None:
    owner = TOLD.of(problem(cause=cause), [task])
    assert (", ".join(owner.names), owner.why) == (names, why)


def test_a_persons_word_goes_before_all_rules() -> None:
    owner = TOLD.of(problem(owner="ann", cause="resource"), [Task("prod", "etl_a", "load")])
    assert owner == Owner(("ann",), Source.PERSON, users=("anna.s",))
    assert owner.why == "assigned by a person"


def test_a_problem_over_several_dags_has_the_owners_of_all_most_failures_first() -> None:
    tasks = [
        Task("dev", "reports", "sum"),
        Task("prod", "orders", "a"),
        Task("dev", "sums", "b"),
        Task("prod", "orders", "c"),
    ]
    owner = TOLD.of(problem(cause="data"), tasks)
    assert owner.names == ("@ops", "@data/etl", "@dora", "dan@example.com")
    assert owner.why == "by the rule night"
    assert TOLD.of(problem(), []) == NO_OWNER


def test_a_file_outside_of_the_checkout_has_no_place_in_the_repository() -> None:
    repository = Repository(REPOSITORY, "/opt/airflow/dags/repo")
    assert place(Dag("prod", "x", (), "/opt/airflow/dags/repository/x.py"), repository) == (REPOSITORY, "")
    assert place(Dag("prod", "x", (), "/opt/airflow/dags/repo/x.py"), Repository()) == ("", "")
    assert place(Dag("prod", "x", (), "/b/tracking_repo/dags/x.py"), repository) == (REPOSITORY, "dags/x.py")


@pytest.mark.parametrize(
    ("owner", "users"),
    [
        (Owner(("ann",), Source.PERSON, users=("anna.s",)), ("anna.s",)),
        (Owner(("ann", "Ann Lee"), Source.PERSON), ("ann",)),
        (Owner(("@data/etl", "@@maintainer", "@dora", "x@y.z"), Source.CODEOWNERS, "*"), ("dora",)),
        (Owner(("@ops", "night shift"), Source.RULE, "night"), ("ops",)),
        (Owner(("eve",), Source.AIRFLOW, "odd.add"), ()),
        (NO_OWNER, ()),
    ],
)
def test_gitlab_is_asked_for_users_that_somebody_meant(owner: Owner, users: tuple[str, ...]) -> None:
    assert assignees(owner) == users


@pytest.fixture
def service() -> Iterator[Service]:
    store = open_store("sqlite://")
    yield Service(store, owning=Ownership(RULES, {"prod": Repository(REPOSITORY, "/opt/airflow/dags/repo")}))
    store.close()


def test_an_assignment_is_told_kept_and_taken_back(service: Service) -> None:
    service.record([occurrence(dag="etl_a", owner="eve")])
    service.settle(NOW)
    (row,) = service.queue(NOW)
    id = row.problem.id
    assert (row.owner, row.owned.why) == ("team-data, ann", "by the rule etl")
    service.assign(id, " carl \t c", "dora", NOW, "knows it", "page")
    assert service.problem(id, NOW).row.owner == "carl c"
    with pytest.raises(InputError, match=r"is assigned to carl c already\."):
        service.assign(id, "carl c", "dora", NOW)
    service.resolve(id, "ann", NOW)
    service.reopen(id, "ann", NOW)
    assert service.find(id).owner == "carl c"
    service.assign(id, "Nobody", "dora", NOW)
    assert service.queue(NOW)[0].owner == "team-data, ann"
    told = [(c.who, c.what, c.why, c.origin) for c, _ in service.store.records(Change, parent=id) if "assign" in c.what]
    assert sorted(told) == [
        ("dora", "assigned it to carl c", "knows it", "page"), ("dora", "took back the assignment to carl c", "", "command"),
    ]  # fmt: skip


def test_an_undo_after_an_assignment_takes_that_back_and_not_what_was_decided_before(service: Service) -> None:
    service.record([occurrence()])
    service.settle(NOW)
    id = service.queue(NOW)[0].problem.id
    service.mute(id, "ann", NOW)
    service.assign(id, "carl", "dora", NOW)
    undone = service.undo(id, "dora", NOW)
    assert (undone.state, undone.owner) == (TriageState.MUTED, "")
    assert service.problem(id, NOW).history[0].what == "took back: assigned it to carl"
    service.assign(id, "carl", "dora", NOW)
    service.assign(id, "nobody", "eve", NOW)
    assert service.undo(id, "eve", NOW).owner == "carl"
    with pytest.raises(InputError, match=f"Problem {id} is assigned to carl by now, so nothing was changed"):
        service.assign(id, "nobody", "dora", NOW, given="fay")
    assert service.assign(id, "nobody", "dora", NOW, given="carl").owner == ""


def test_an_undo_kept_by_an_older_airtriage_leaves_the_owner(service: Service) -> None:
    service.record([occurrence()])
    service.settle(NOW)
    id = service.queue(NOW)[0].problem.id
    service.assign(id, "carl", "dora", NOW)
    muted = service.mute(id, "ann", NOW)
    assert muted.undo is not None
    old = replace(muted, undo=replace(muted.undo, owner=None, decided_by="", decided_at=None))
    assert lifecycle.undo(old, "ann", NOW).problem.owner == "carl"


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\x00b", "\u202eb"])
def test_no_odd_name_is_assigned(service: Service, name: str) -> None:
    service.record([occurrence()])
    service.settle(NOW)
    with pytest.raises(InputError, match="cannot be set: a name has 1 to 100 printable characters"):
        service.assign(service.queue(NOW)[0].problem.id, name, "ann", NOW)


def test_the_queue_is_filtered_by_who_owns_a_problem_and_a_search_by_what_airflow_says(service: Service) -> None:
    service.record([
        occurrence(1, dag="etl_a", owner="eve"), occurrence(2, dag="x", owner="eve", fingerprint="1:bb"),
        occurrence(3, dag="y", owner="airflow", fingerprint="1:cc"), occurrence(4, dag="z", fingerprint="1:dd", tags=("nightly",)),
    ])  # fmt: skip
    service.settle(NOW)
    for text, dags in {
        "owner:team-data": "etl_a", "owner:ANN": "etl_a", "owner:eve": "x", "owner:ops": "z", 'owner:"@ops"': "z", "owner:@op*": "z",
        "owner:nobody": "y", "-owner:nobody": "etl_a x z", "owner:team-data OR owner:eve": "etl_a x", "owner:airflow": "",
    }.items():  # fmt: skip
        found = service.queue(NOW, parse(text, NOW))
        assert " ".join(sorted(row.dags[0][0] for row in found)) == dags, text
    assert {o.key.dag_id for o in service.search(parse("owner:eve", NOW), NOW, 9)} == {"etl_a", "x"}


def test_what_tries_say_of_their_dag_is_kept_the_newest_first(service: Service) -> None:
    later, earlier = (
        occurrence(1, tags=("new",), file="/f.py"),
        occurrence(2, at=NOW - timedelta(hours=1), tags=("old",)),
    )
    service.record([occurrence(3, dag="bare")])
    for _ in range(2):
        service.record([later])
        service.record([earlier])
    assert [dag for dag, _ in service.store.records(Dag)] == [Dag("prod", "orders", ("new",), "/f.py", at=NOW)]


class OneFile:
    """A repository with one CODEOWNERS, counting what it is asked for."""

    def __init__(self, at: str, body: bytes) -> None:
        self.at, self.body, self.asked = at, body, list[tuple[str, str]]()

    def file(self, repository: str, path: str) -> bytes | None:
        self.asked.append((repository, path))
        return self.body if path == self.at else None


def test_codeowners_is_asked_for_once_an_hour_where_gitlab_looks_for_it(service: Service) -> None:
    service.record([occurrence(dag="sums", file="/opt/airflow/dags/repo/dags/etl/sums.py", owner="eve")])
    service.settle(NOW)
    files = OneFile(".gitlab/CODEOWNERS", b"dags/etl/* @data \xff\n")
    assert refresh(service.store, service.owning, files, PLAIN, NOW) == []
    assert [path for _, path in files.asked] == ["CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"]
    assert refresh(service.store, service.owning, files, PLAIN, NOW + FRESH / 2) == []
    assert len(files.asked) == 3
    (row,) = service.queue(NOW)
    assert (row.owner, row.owned.why) == ("@data", "by CODEOWNERS dags/etl/*")
    assert known(service.store, service.owning).known() == ["@data", "@ops", "@platform", "ann", "bob", "team-data"]
    assert refresh(service.store, service.owning, OneFile("", b""), PLAIN, NOW + FRESH) == []
    assert service.store.get(Codeowners, REPOSITORY) == (Codeowners(REPOSITORY, "", "", NOW + FRESH), 2)
    assert service.queue(NOW)[0].owned.why == "as Airflow says of sums.load"


@pytest.mark.parametrize("name", ["maintainer", "@maintainer", "@@maintainer"])
def test_a_role_of_codeowners_is_found_by_its_name(name: str) -> None:
    owner = Owner(("@@maintainer",), Source.CODEOWNERS)
    assert owner.is_called(name)
    assert owner.is_team(name[:-3], prefix=True)


def test_of_a_file_that_is_too_long_whole_lines_are_kept(service: Service) -> None:
    service.record([occurrence(dag="sums", file="/opt/airflow/dags/repo/dags/etl/sums.py")])
    line = b"/dags/ @team-data\n"
    refresh(service.store, service.owning, OneFile("CODEOWNERS", line * 60_000), PLAIN, NOW)
    found = service.store.get(Codeowners, REPOSITORY)
    assert found is not None
    assert found[0].text == line.decode() * (1_000_000 // len(line))


def settings(text: str, tmp_path: Path) -> Settings:
    (tmp_path / "airtriage.toml").write_text(text)
    return load(str(tmp_path / "airtriage.toml"), {})


def test_rules_come_from_the_settings_in_their_order(tmp_path: Path) -> None:
    made = settings(
        '[owners.b]\nowner = "@ops"\ndag = "etl_*"\ngitlab = "@anna.s, bo"\n[owners.a]\nowner = ["ann", "bob"]\ncause = "RATE*"\n'
        '[deployments.prod]\nurl = "http://a"\nrepository = "https://gitlab.example.com/data/dags.git"\ncheckout = "/opt/dags/"\n',
        tmp_path,
    )
    told = made.ownership
    assert told.rules == (
        Rule("b", ("@ops",), dag="etl_*", gitlab=("anna.s", "bo")),
        Rule("a", ("ann", "bob"), cause="RATE*"),
    )
    assert told.repository("prod") == Repository("https://gitlab.example.com/data/dags", "/opt/dags")
    assert told.repository("dev") == Repository()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[owners.a]\ndag = "x"', r"owners\.a\.owner is missing"),
        ('[owners.a]\nowner = ""', r"owners\.a\.owner is wrong .*: a name has 1 to 100 printable characters"),
        ("[owners.a]\nowner = []", r"owners\.a\.owner is wrong .*: a name has"),
        ('[owners.a]\nowner = "x"\ncause = "resorce"', r"owners\.a\.cause is wrong .*'resorce' matches no cause"),
        ('[owners.a]\nowner = "x"\ngitlab = "a b"', r"owners\.a\.gitlab.* 'a b' is not the name of a GitLab user"),
        ('[owners.a]\nowner = "x"\ntags = "y"', r"There is no setting owners\.a\.tags .* Did you mean 'tag'"),
        ('[owners]\nowner = "x"', r"owner is no table of settings; .* \[owners\.NAME\]"),
        ('[deployments.p]\nurl = "http://a"\ncheckout = "dags"', r"p\.checkout is wrong .* begins with /"),
        ('[deployments.p]\nurl = "http://a"\nrepository = "git@h:a/b"', r"p\.repository is wrong .* not an http"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_in_one_sentence(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=says):
        settings(text, tmp_path)
