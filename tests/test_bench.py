"""The benches still run and print figures: small, never timed. The numbers themselves are `make bench`'s."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.airflow_fixture import FinishedAirflow
from tests.bench import __main__ as bench
from tests.bench import (
    bench_burst,
    bench_comparison,
    bench_ingest,
    bench_load,
    bench_memory,
    bench_redact,
    bench_signatures,
    bench_storage,
)
from tests.bench.recorded import Replay, record
from tests.bench.table import Figure, interleaved, ratio, show
from triage.redact import RULES


def test_the_signature_bench_prints_our_figure_beside_the_floor(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_signatures.main(rounds=1) == 0
    header, columns, figures, *_ = capsys.readouterr().out.splitlines()
    assert header.startswith("Signatures a second on one core")
    assert columns.split() == ["measured", "ours", "beside", "it", "ratio", "goal"]
    assert figures.startswith("tests/corpus: ")
    assert figures.count("/s, ") == 2


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
    assert (
        "choose from burst, comparison, ingest, load, memory, near, pages, redact, signatures, storage"
        in capsys.readouterr().err
    )


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
    alone = bench_load.wait(airflow.airflow, 1)
    beside = bench_load.beside_back_fills(airflow.airflow, tmp_path / "fill", 1)
    assert len(alone) == len(beside) == 10
    assert all(seconds > 0 for seconds in alone + beside)


def test_the_calls_of_a_pass_are_counted(airflow: FinishedAirflow) -> None:
    with bench_ingest.counted() as calls:
        bench_ingest.download(airflow.airflow, [])
    assert [call.rpartition("/")[2] for call in calls] == ["token"]
