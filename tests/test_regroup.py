"""A change of the rules of signing: what is kept is signed anew, and every problem keeps its failures and its state."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.tasks import Collector
from tests import made_up
from tests.second_edition import SECOND, clock, ruled, sign
from triage import lifecycle
from triage.editions import SIGNERS, Signer, Signers, head
from triage.model import Frame, LogLine, Occurrence, Raised, Signature, TaskTry
from triage.query import EVERYTHING
from triage.records import Change, Membership, Problem, Regroup, TriageState
from triage.regroup import Regrouping
from triage.service import Service
from triage.settings import Settings
from triage.store import REGROUP, Store, Summary, open_store
from ui.cli import main

NOW = clock()
ROOT = Path(__file__).parents[1]


@pytest.fixture
def store() -> Iterator[Store]:
    store = open_store("sqlite://")
    yield store
    store.close()


def failure(number: int, kind: str, place: str, task: str = "load", signers: Signers = SIGNERS) -> Occurrence:
    """A failed try whose kept log ends in an exception of this kind, raised in this file."""
    raised = Raised(kind, f"no {place}", (Frame(f"/opt/dags/{place}.py", 1, place),))
    (made,) = made_up.failing(1, NOW)
    fact = replace(
        made,
        key=TaskTry("prod", "orders", f"run-{number}", task),
        kept=(LogLine(2, "Task failed with exception", "error", raised=(raised,)),),
    )
    return replace(fact, signature=signers.current.again(fact))


def signed(facts: list[Occurrence], signers: Signers = SECOND) -> list[Occurrence]:
    return [replace(fact, signature=signers.current.again(fact)) for fact in facts]


def regroup(store: Store, signers: Signers = SECOND, since: datetime | None = None) -> Regroup | None:
    return Regrouping(Service(store, signers=signers), clock, since or clock()).run()


def kept(facts: list[Occurrence], store: Store, signers: Signers = SIGNERS) -> Service:
    """Record and settle failed tries."""
    service = Service(store, signers=signers)
    for start in range(0, len(facts), 2000):
        service.record(facts[start : start + 2000])
    service.settle(NOW)
    return service


def owners(service: Service) -> dict[str, str]:
    return {fact.key.id: service.problem_of(fact) for fact in service.store.search(EVERYTHING, 20_000)}


def problems(store: Store) -> dict[str, Problem]:
    """What was decided, but for when a decision of airtriage's own was made."""
    found = (problem for problem, _ in store.records(Problem))
    return {one.id: replace(one, state_at=NOW, wake_at=one.muted_until) for one in found}


def history(store: Store) -> set[Change]:
    return {change for change, _ in store.records(Change)}


def counted(store: Store) -> dict[tuple[str, str], Summary]:
    return {(one.deployment, one.fingerprint): one for one in store.summaries()}


def decide(service: Service) -> None:
    """Have people decide about every second problem."""
    for place, row in enumerate(service.queue(NOW)):
        id, who = row.problem.id, f"ann {place}"
        match place % 8:
            case 0:
                service.mute(id, who, NOW, why="known")
            case 2:
                service.mute(id, who, NOW, more=3, why="a few are fine")
            case 4:
                service.mute(id, who, NOW, lasting=timedelta(days=3))
            case 6:
                service.resolve(id, who, NOW, why="fixed")


def kill_after(tries: int, url: str) -> None:
    """Sign a store anew in a process of its own, and kill it after so many tries."""
    command = [sys.executable, "-m", "tests.second_edition", url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        done = 0
        while done < tries:
            done += int(process.stdout.readline())
        process.kill()
        assert process.wait() == -signal.SIGKILL


def test_an_upgrade_of_10000_tries_killed_half_way_keeps_every_decision_and_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = made_up.failing(10_000, NOW)
    url = f"sqlite:///{tmp_path / 'airtriage.db'}"
    first = kept(facts, open_store(url))
    decide(first)
    before, said, owned = problems(first.store), history(first.store), owners(first)
    assert len(before) == 120
    assert {one.state for one in before.values()} == {TriageState.NEW, TriageState.MUTED, TriageState.RESOLVED}
    first.store.close()
    shutil.copy(tmp_path / "airtriage.db", tmp_path / "untouched.db")

    kill_after(4000, url)

    monkeypatch.setattr("triage.settings.SIGNERS", SECOND)
    collector = Collector(Settings.model_validate({"data_dir": tmp_path}))
    service, store = collector.service, collector.service.store
    half = Counter(head(fact.fingerprint) for fact in store.search(EVERYTHING, 20_000))
    assert half["2"] >= 4000
    assert half["1"] > 1000
    # Meanwhile failures arrive, read by a worker of either version, most of known causes, one of a new one.
    start = NOW + timedelta(minutes=1)
    again = [
        replace(fact, key=replace(fact.key, run_id=f"again {n}"), started_at=start)
        for n, fact in enumerate(facts[::100])
    ]
    new = failure(1, "OSError", "nowhere")
    kept(again[::2], store)
    kept(signed([*again[1::2], new]), store, SECOND)

    steps: list[int] = []
    done = collector.regroup(steps.append)
    assert done is not None
    assert done.done_at is not None
    assert (done.left, done.former) == (0, ("1",))
    assert sum(steps) <= half["1"] + len(again)
    assert collector.regroup() is None

    # The counts are those of a store that knows nothing else.
    fresh = kept(signed([*facts, *again, new]), open_store("sqlite://"), SECOND)
    assert counted(store) == counted(fresh.store)
    assert store.touched(1) == []
    # What was decided is what would have been without the upgrade.
    untouched = kept([*again, new], open_store(f"sqlite:///{tmp_path / 'untouched.db'}"))
    expected, after = problems(untouched.store), problems(store)
    merged = {id for id, one in before.items() if one.title.startswith("KeyError")}
    assert len(merged) == 20
    unmerged = {id: one for id, one in after.items() if id not in merged and id in before}
    assert unmerged == {id: one for id, one in expected.items() if id not in merged and id in before}
    assert {one.state for one in unmerged.values()} > {TriageState.REGRESSED, TriageState.MUTED, TriageState.RESOLVED}
    assert [one.title[:7] for id, one in after.items() if id not in before] == ["OSError"]
    assert said <= history(store)
    # Every failure is where it was, those of twenty problems with one cause are in one of these.
    moved = {owned[id]: owner for id, owner in owners(service).items() if id in owned and owner != owned[id]}
    (keeper,) = set(moved.values())
    assert {keeper, *moved} == merged
    assert after[keeper].state is not TriageState.RESOLVED
    assert {one.problem for one in history(store) if one.what.startswith("gave failures")} >= set(moved)


def test_the_plan_changes_nothing_and_tells_what_then_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRTRIAGE_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    facts = made_up.failing(600, NOW)
    facts[0] = replace(facts[0], kept=None)
    service = kept(facts, open_store(f"sqlite:///{tmp_path / 'airtriage.db'}"), SECOND)
    decide(service)
    monkeypatch.setattr("triage.settings.SIGNERS", SECOND)
    revision, before = service.store.revision(), owners(service)

    main_(["regroup", "--dry-run", "--json"])
    *fates, total = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert service.store.revision() == revision
    main_(["regroup", "--dry-run"])
    assert f"599 failed tries of {total['problems']} problems would be signed anew" in capsys.readouterr().out

    main_(["regroup", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told == {"dry_run": False, "edition": "2", "tries": 599, "left": 1}
    assert (total["tries"], total["left"], total["dry_run"]) == (599, 1, True)
    after = owners(service)
    assert after[facts[0].key.id] == before[facts[0].key.id]
    for fate in fates:
        mine = [id for id, owner in before.items() if owner == fate["id"] and id != facts[0].key.id]
        assert Counter(after[id] for id in mine) == fate["to"]
        prints = {fact.fingerprint for fact in service.store.search(EVERYTHING, 1000) if fact.key.id in mine}
        assert sorted(prints) == fate["after"]
    assert total["merged"] == sum(fate["to"] != {fate["id"]: fate["tries"]} for fate in fates)
    assert total["merged"] == sum(fate["title"].startswith("KeyError") for fate in fates) - 1 > 10
    assert 0 < total["split"] == sum(fate["split"] for fate in fates) <= 20
    main_(["regroup"])
    assert "Nothing to do" in capsys.readouterr().out


def main_(argv: list[str]) -> None:
    try:
        main(argv)
    except SystemExit as exc:
        assert not exc.code


def test_of_two_problems_with_one_cause_the_one_decided_about_keeps_it(store: Store) -> None:
    service = kept([failure(1, "KeyError", "a")], store)
    service.record([failure(2, "KeyError", "b")])
    service.settle(NOW + timedelta(hours=1))
    older, younger = sorted(service.queue(NOW), key=lambda row: row.problem.opened_at)
    muted_at = min(row.first_seen for row in (older, younger)) - timedelta(hours=1)
    service.mute(younger.problem.id, "ann", muted_at, more=2)
    regroup(store)
    (row,) = service.queue(NOW)
    assert row.problem.id == younger.problem.id
    # The failure taken over ended after the muting, and so did its own: one more is left, as before.
    assert (row.total, row.problem.state, row.problem.muted_until_count) == (2, TriageState.MUTED, 3)
    whats = {change.what for change in service.problem(row.problem.id, NOW).history}
    assert f"took over failures of {older.problem.id}" in whats


@pytest.mark.parametrize("turned", [False, True])
def test_who_keeps_the_failures_does_not_depend_on_the_order(store: Store, *, turned: bool) -> None:
    service = kept([failure(1, "KeyError", "a")], store)
    service.record([failure(2, "KeyError", "b")])
    service.settle(NOW + timedelta(hours=1))
    rows = sorted(service.queue(NOW), key=lambda row: row.problem.fingerprint, reverse=turned)
    service.resolve(rows[0].problem.id, "ann", NOW + timedelta(hours=2))
    regroup(store)
    assert [row.problem.id for row in service.queue(NOW)] == [rows[1].problem.id]
    assert service.find(rows[0].problem.id).state is TriageState.RESOLVED


def test_the_heirs_of_one_fingerprint_are_one_problem(store: Store) -> None:
    service = kept([failure(1, "ValueError", "a", "load"), failure(2, "ValueError", "a", "store")], store)
    (row,) = service.queue(NOW)
    service.mute(row.problem.id, "ann", NOW)
    regroup(store)
    view = service.problem(row.problem.id, NOW)
    assert (view.row.total, view.row.problem.state, len(view.fingerprints)) == (2, TriageState.MUTED, 3)
    assert len(service.queue(NOW)) == 1


def test_what_people_put_together_and_told_apart_stays_so(store: Store) -> None:
    service = kept([failure(1, "OSError", "a"), failure(2, "OSError", "b"), failure(3, "OSError", "c")], store)
    ids = {row.problem.title.split()[2]: row.problem.id for row in service.queue(NOW)}
    found = store.get(Membership, f"prod/{failure(2, 'OSError', 'b').fingerprint}")
    assert found is not None
    store.save(replace(found[0], problem=ids["a"]), found[1])
    regroup(store)
    assert {row.problem.id: row.total for row in service.queue(NOW)} == {ids["a"]: 2, ids["c"]: 1}


def test_a_new_failure_inherits_before_what_is_kept_was_signed_anew(store: Store) -> None:
    service = kept([failure(1, "ValueError", "a")], store)
    (row,) = service.queue(NOW)
    upgraded = kept([failure(2, "ValueError", "a", signers=SECOND)], store, SECOND)
    assert [(one.problem.id, one.total) for one in upgraded.queue(NOW)] == [(row.problem.id, 2)]


def test_a_failure_inherits_when_nothing_of_the_old_edition_is_left(store: Store) -> None:
    service = kept([failure(1, "ValueError", "a", "load")], store)
    (row,) = service.queue(NOW)
    regroup(store)
    assert store.editions() == ["2"]
    later = kept([failure(2, "ValueError", "a", "store", SECOND)], store, SECOND)
    assert [(one.problem.id, one.total) for one in later.queue(NOW)] == [(row.problem.id, 2)]


def test_rules_of_a_user_are_an_edition_and_may_be_taken_back(store: Store) -> None:
    service = kept([failure(1, "ValueError", "a"), failure(2, "OSError", "b")], store)
    service.resolve(next(row.problem.id for row in service.queue(NOW) if row.problem.title[0] == "V"), "ann", NOW)
    before = owners(service)
    for signers in (ruled("one"), ruled("other"), SIGNERS):
        done = regroup(store, signers)
        assert done is not None
        assert done.tries >= 2
        assert store.editions() == [signers.edition]
        again = kept([failure(3, "OSError", "b", signers=signers)], store, signers)
        assert {id: owner for id, owner in owners(again).items() if id in before} == before
    assert len(service.queue(NOW)) == 2


def test_a_failure_that_no_rule_concerns_inherits_under_changed_rules(store: Store) -> None:
    old, new = ruled("one"), ruled("other")
    service = kept([failure(1, "OSError", "b", signers=old)], store, old)
    (row,) = service.queue(NOW)
    changed = kept([failure(2, "OSError", "b", signers=new)], store, new)
    assert [(one.problem.id, one.total) for one in changed.queue(NOW)] == [(row.problem.id, 2)]


def test_a_worker_with_older_settings_or_an_older_program_leaves_the_new_edition_alone(store: Store) -> None:
    started = clock()
    kept([failure(1, "OSError", "a")], store)
    assert regroup(store, ruled("one")) is not None
    assert regroup(store, since=started, signers=SIGNERS) is None
    assert regroup(store, SIGNERS) is not None
    assert regroup(store, SECOND) is not None
    assert regroup(store, SIGNERS) is None
    assert store.editions() == ["2"]


def test_what_an_older_worker_adds_afterwards_is_signed_anew_too(store: Store) -> None:
    service = kept([failure(1, "OSError", "a")], store)
    regroup(store)
    kept([failure(2, "OSError", "a")], store)
    done = regroup(store)
    assert done is not None
    assert (done.tries, store.editions(), [row.total for row in service.queue(NOW)]) == (1, ["2"], [2])


def test_nothing_to_do_writes_nothing(store: Store) -> None:
    kept([failure(1, "OSError", "a")], store, SIGNERS)
    regroup(store, SIGNERS)
    revision = store.revision()
    assert regroup(store, SIGNERS) is None
    assert store.revision() == revision
    found = store.get(Regroup, REGROUP)
    assert found is not None
    assert found[0].done_at is not None


def test_a_budget_leaves_the_intent_open_and_the_next_tick_goes_on(store: Store) -> None:
    kept(made_up.failing(120, NOW), store)
    work = Regrouping(Service(store, signers=SECOND), clock, clock())
    first = work.run(budget=timedelta())
    assert first is not None
    assert (first.done_at, first.tries) == (None, 50)
    assert (work.is_due(), work.waiting()) == (True, 70)
    last = work.run()
    assert last is not None
    assert (last.tries, work.is_due()) == (120, False)


def test_a_fault_of_ours_at_one_log_leaves_the_others_to_be_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(lines: Sequence[LogLine], *args: Any, **said: Any) -> Signature:
        if said["task"] == "orders.broken":
            raise RecursionError
        return sign(lines, *args, **said)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRTRIAGE_DATA_DIR", str(tmp_path))
    service = kept(
        [failure(1, "OSError", "a", "broken"), failure(2, "OSError", "b")],
        open_store(f"sqlite:///{tmp_path / 'airtriage.db'}"),
    )
    before = owners(service)
    monkeypatch.setattr("triage.settings.SIGNERS", Signers(Signer(2, broken), SECOND.former))
    with pytest.raises(SystemExit) as ended:
        main(["regroup"])
    assert ended.value.code == 1
    assert "could not be signed anew" in capsys.readouterr().err
    assert service.store.editions() == ["1", "2"]
    assert owners(service) == before


def test_precedence_is_the_open_one_then_the_mirrored_then_the_decided_then_the_older() -> None:
    one = Problem("m", "prod", "1:aa", "t", "c", TriageState.NEW, NOW, NOW)
    resolved = replace(one, state=TriageState.RESOLVED, state_by="ann", resolved_at=NOW, gitlab_url="https://x")
    order = [
        replace(one, id="z", gitlab_url="https://x", opened_at=NOW + timedelta(1)),
        replace(one, id="y", state=TriageState.MUTED, state_by="ann", opened_at=NOW + timedelta(1)),
        replace(one, id="x", owner="ann", opened_at=NOW + timedelta(2)),
        replace(one, id="w", opened_at=NOW - timedelta(1)),
        replace(one, id="a"),
        one,
        replace(resolved, resolved_at=NOW + timedelta(1)),
        resolved,
    ]
    assert sorted([*order[4:], *order[:4]], key=lifecycle.precedence) == order
