"""The benches still run and print figures: small, never timed. The numbers themselves are `make bench`'s."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests import made_up
from tests.airflow_fixture import FinishedAirflow
from tests.bench import __main__ as bench
from tests.bench import (
    bench_burst,
    bench_comparison,
    bench_copy,
    bench_crowd,
    bench_escalation,
    bench_gitlab_faults,
    bench_gitlab_sync,
    bench_grouping,
    bench_growth,
    bench_ingest,
    bench_lifecycle,
    bench_load,
    bench_memory,
    bench_mutations,
    bench_redact,
    bench_signatures,
    bench_stability,
    bench_storage,
    hostile,
    many_tries,
    peers,
)
from tests.bench.mutants import mutants
from tests.bench.recorded import Replay, record
from tests.bench.table import Figure, interleaved, ratio, show
from triage.redact import RULES
from triage.signature import sign_text


def test_the_signature_bench_prints_our_figures_beside_the_floor_and_the_peaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_signatures, "SHARED", Path("nowhere"))
    bench_signatures.main(rounds=1, records=(20, 200))
    header, columns, inside, command, _, peaks, _, memory, *_ = capsys.readouterr().out.splitlines()
    assert header.startswith("Signatures a second on one core")
    assert columns.split() == ["measured", "ours", "beside", "it", "ratio", "goal"]
    assert inside.startswith("tests/corpus: ")
    assert inside.count("/s, ") == command.count("/s, ") == 2
    assert peaks.startswith("Memory of")
    assert memory.startswith("200 records")
    assert memory.count(" MiB") == 4


def test_the_grouping_bench_prints_the_three_figures_of_each_corpus(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_grouping.judge, "SHARED", Path("nowhere"))
    bench_grouping.main(with_peers=False, most=8)
    said = capsys.readouterr()
    assert "NOTHING IS MEASURED on the dev set" in said.err
    assert [line.split("  ")[0] for line in said.out.splitlines()[2:5]] == list(bench_grouping.WORDS)


def test_a_peer_counts_with_the_best_of_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = bench_grouping.judge.own()[:6]

    def peer(texts: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        yield "all alone", [str(at) for at in range(len(texts))]
        yield "right", [case.cause for case in cases]
        yield "all one", ["1"] * len(texts)

    monkeypatch.setattr(peers, "PEERS", {"a peer": peer})
    rows = bench_grouping.beside(cases, [sign_text(case.log) for case in cases])
    assert [row.what for row in rows] == [
        f"a peer on {kind} (right)" for kind in ("the raw log", "the traceback", "our evidence")
    ]
    assert {row.beside for row in rows} == {"1.000 / 1.000 / 1.000"}


def test_a_peer_is_given_the_last_traceback_of_a_log_of_any_airflow_or_its_last_lines() -> None:
    block = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nValueError: '
    assert peers.traceback(f"begin\n{block}first\nthen\n{block}second\nend".encode()) == f"{block}second"
    record = {
        "error_detail": [{"exc_type": "KeyError", "exc_value": "'a'", "frames": [{"filename": "a.py", "name": "f"}]}]
    }
    assert peers.traceback(b"x\n" + json.dumps(record).encode() + b"\ny") == "KeyError: 'a'\na.py in f"
    assert peers.traceback(b"a\n\n" * 20) == "\n".join("a" * peers.TAIL)


def test_the_growth_bench_makes_texts_that_keep_each_pattern_busy(capsys: pytest.CaptureFixture[str]) -> None:
    patterns = hostile.patterns()
    assert len(patterns) > 60
    matched = sum(any(map(pattern.search, hostile.pieces(pattern))) for pattern in patterns.values())
    assert matched >= 0.9 * len(patterns)
    bench_growth.main(sizes=(500, 1000), most=2, mixed=2)
    said = capsys.readouterr()
    assert "Signing hostile logs of 500 to 1,000 characters" in said.out
    assert " hostile logs of 2 patterns" in said.err


def test_a_rule_is_changed_in_every_way_and_each_change_still_is_a_program() -> None:
    source = """
import re
_BAD = re.compile(r"error|(?:un(?:known|able)|[|)]x)\\|y")
def judge(n, text):
    if n > 3 and not _BAD.search(text):
        return True
    return n - 1
"""
    made = mutants(source)
    changed = [mutant.of(source) for mutant in made]
    assert {
        "Gt -> GtE", "And -> Or", "operand 1 left out", "operand 2 left out", "not left out", "condition always True",
        "condition always False", "3 -> 4", "True -> False", "Sub -> Add", "1 -> 2", "without |error|", "without |known|",
        "without |able|",
    } <= {mutant.what for mutant in made}  # fmt: skip
    assert len(set(changed)) == len(changed) == 17
    for text in changed:
        compile(text, "changed", "exec")


def test_the_escalation_bench_counts_alarms_and_delays_beside_a_peer(capsys: pytest.CaptureFixture[str]) -> None:
    bench_escalation.main(histories=1, weeks=3, problems=20)
    said = capsys.readouterr().out
    assert "steady, 300 a day" in said
    assert "from 300 a day at once to the tenfold" in said
    assert "a look at 20 problems, 0 of which grow" in said


def test_the_mutation_bench_runs_the_tests_on_changed_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_mutations.main(sample=2) == 0
    said = capsys.readouterr().out
    assert said.startswith("Changed rules that no test notices: 2 of ")
    assert "of 2 (there are " in said


def test_the_lifecycle_bench_counts_its_steps_and_names_what_it_reached(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_lifecycle.main(steps=120) == 0
    said = capsys.readouterr().out
    assert "violations" in said
    assert "states reached" in said


def test_the_stability_bench_runs_every_python_and_cuts_every_corpus(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_stability.stability, "VERSIONS", (f"{sys.version_info.major}.{sys.version_info.minor}",))
    assert bench_stability.main(shuffles=(1,), most=3) == 0
    said = capsys.readouterr().out
    assert "2 of 2 identical" in said
    assert "% keep theirs" in said


def test_the_redaction_bench_measures_every_rule_on_hostile_text_and_the_speed_on_logs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench_redact.main(rounds=1, sizes=(500, 1000))
    said = capsys.readouterr()
    assert said.out.count("Redaction of ") == 2
    assert "logs/s" in said.out
    assert int(said.err.split(" hostile texts")[0].split()[-1]) > 10 * len(RULES)


def test_the_comparison_bench_measures_time_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    bench_comparison.main(sizes=(50, 100))
    said = capsys.readouterr().out
    assert said.count("lines/s") == said.count("memory held") == 2


def test_the_floor_decodes_every_line() -> None:
    assert bench_signatures.decode(b'{"event": "x"}\n{broken\n\xff') == 3


def test_a_worker_reads_a_served_log_and_its_error_is_found(tmp_path: Path) -> None:
    with bench_memory.serving("small") as url:
        plain = bench_memory.read_plainly(url)
        ours = bench_memory.read_as_worker(url, tmp_path)
    assert ours.is_found
    assert ours.size == plain.size > 3000
    assert ours.peak > plain.peak > 1


def test_a_worker_reads_a_big_log_from_a_folder_at_its_ends(tmp_path: Path) -> None:
    with bench_memory.serving("small") as url, bench_storage.laid("folder", "few", tmp_path) as settings:
        ours = bench_memory.read_as_worker(url, tmp_path, **settings)
    assert ours.is_found
    assert ours.size > 6 << 20
    assert ours.size - ours.unread < 2 << 20


def test_a_missed_goal_is_said_and_ends_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    met, missed = Figure("a", "1", goal="at most 2", is_met=True), Figure("b", "3", goal="at most 2", is_met=False)
    assert (show("t", [met]), show("t", [met, missed])) == (0, 1)
    assert "at most 2  MISSED" in capsys.readouterr().out


def test_every_contender_takes_its_turn_in_every_round_in_changing_order() -> None:
    turns: list[str] = []
    ticks = iter(range(100))
    contenders = {"floor": lambda: turns.append("floor"), "ours": lambda: turns.append("ours")}
    times = interleaved(contenders, 2, clock=lambda: float(next(ticks)))
    assert turns == ["ours", "floor", "floor", "ours"]
    assert times == {"floor": [1.0, 1.0], "ours": [1.0, 1.0]}


def test_the_ratio_is_one_where_ours_takes_as_long_as_the_floor_and_less_where_longer() -> None:
    assert ratio([2.0, 4.0, 1.0], [1.0, 2.0, 1.0]) == 0.5
    assert ratio([1.0], [1.0]) == 1.0


def test_a_bench_that_does_not_exist_is_refused_with_the_names_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["speed"]) == 2
    assert {"grouping", "ingest", "signatures"} <= set(bench.names())
    assert f"choose from {', '.join(bench.names())}." in capsys.readouterr().err


def test_a_recorded_deployment_is_served_again_and_every_failure_of_a_burst_is_indexed_once(
    tmp_path: Path, airflow: FinishedAirflow
) -> None:
    recorded = record(airflow.airflow, tmp_path / "recording.json")
    assert recorded > 50
    burst = bench_burst.watch(tmp_path, 2 * recorded, 3, poll="1s")
    assert (burst.indexed, burst.is_exact) == (2 * recorded, True)
    assert burst.peak > 1


def test_a_replay_tells_a_failure_from_its_moment_on_and_no_other(tmp_path: Path) -> None:
    began = datetime(2026, 11, 25, 12, tzinfo=UTC)
    said = {"event": {"event": "failed"}, "try": {}, "log": '{"timestamp":"2026-11-22T08:00:00Z","event":"x"}'}
    (tmp_path / "recording.json").write_text(json.dumps({"tries": [said], "dags": {}}))
    replay = Replay(tmp_path / "recording.json", 500, 500, began)

    def told(seconds: float, offset: int = 0, **query: str) -> tuple[list[int], int]:
        asked = {"limit": ["100"], "offset": [str(offset)], **{name: [value] for name, value in query.items()}}
        page = replay.events(asked, began + timedelta(seconds=seconds))
        return [row["event_log_id"] for row in page["event_logs"]], page["total_entries"]

    assert told(-1) == ([], 0)
    assert told(2.5) == ([0, 1, 2], 3)
    assert told(2.5, after=began.isoformat()) == ([1, 2], 2)
    assert told(250, offset=200) == (list(range(200, 251)), 251)
    assert told(9999, offset=400) == (list(range(400, 500)), 500)
    assert replay.log(3) == b'{"timestamp":"2026-11-25T12:00:03+00:00","event":"x"}'


def test_a_second_client_is_timed_alone_and_beside_us(tmp_path: Path, airflow: FinishedAirflow) -> None:
    (tmp_path / "known").mkdir()
    waits = bench_load.compare(airflow.airflow, tmp_path, rounds=1, seconds=1)
    assert list(waits) == ["alone", "every day", "a back-fill"]
    assert all(seconds > 0 for each in waits.values() for seconds in each)


def test_the_calls_of_a_pass_are_counted(airflow: FinishedAirflow) -> None:
    with bench_ingest.counted() as calls:
        bench_ingest.download(airflow.airflow, [])
    assert [call.rpartition("/")[2] for call in calls] == ["token"]


def test_the_bench_of_faults_counts_what_is_wrong_and_what_was_injected(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_gitlab_faults.main(6, 40) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Mirroring to GitLab under faults: 6 trials, seeds 40 to 45")
    assert [line.split("  ")[0] for line in said[2:6]] == list(bench_gitlab_faults.KINDS.values())
    assert any(line.startswith("injected: ") for line in said)


def test_the_bench_of_a_quiet_round_counts_its_calls(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_gitlab_sync.main(linked=130, rounds=1) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[2].split() == ["calls", "to", "GitLab", "1", "1", "reached"]


def test_the_bench_of_the_crowd_speaks_the_protocol_of_the_pages_and_asks_the_api_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_crowd, "CHROMIUM", None)
    found = bench_crowd.measure(tmp_path, problems=30, people=2, pause=1.0, seconds=5.0)
    assert {name: len(times) for name, times in found.clicks.items()} == {"load": 2, "problem": 6, "queue": 4}
    assert {name: len(times) for name, times in found.beside.items()} == {"/api": 25, "/webhooks": 25}
    rows = bench_crowd._figures(found)
    assert [row.what for row in rows if row.goal] == ["a page, of all clicks", "/api meanwhile", "/webhooks meanwhile"]


def test_the_bench_of_the_start_waits_for_the_first_visitor_s_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up.fill(made_up.service(tmp_path))
    monkeypatch.setattr(many_tries, "copy", lambda count, version, into: into / "airtriage.db")
    figures = bench_crowd.start(tmp_path, tries=0, rounds=1)
    assert [row.what for row in figures] == ["it answers", "the first visitor has the queue"]


def test_the_longest_of_twenty_is_the_95th_of_a_hundred() -> None:
    assert bench_crowd.p95([float(n) for n in range(100)]) == 95.0
    assert bench_crowd.p95([3.0]) == 3.0


def test_the_copy_bench_copies_compares_and_deletes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(many_tries, "folder", lambda: tmp_path)
    monkeypatch.setattr(bench_copy, "GROWS", 10)
    assert bench_copy.main((60,)) == 0
    shown = capsys.readouterr().out
    assert "60 tries copied and verified" in shown
    assert "60 tries deleted by airtriage retire" in shown
