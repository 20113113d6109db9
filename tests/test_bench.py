"""The benches still run and print figures: small, never timed. The numbers themselves are `make bench`'s."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import bench_memory, bench_signatures
from tests.bench.table import Figure, interleaved, ratio, show


def test_the_signature_bench_prints_our_figure_beside_the_floor(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_signatures.main(rounds=1) == 0
    header, columns, figures, *_ = capsys.readouterr().out.splitlines()
    assert header.startswith("Signatures a second on one core")
    assert columns.split() == ["measured", "ours", "beside", "it", "ratio", "goal"]
    assert figures.startswith("tests/corpus: ")
    assert figures.count("/s, ") == 2


def test_the_floor_decodes_every_line() -> None:
    assert bench_signatures.decode(b'{"event": "x"}\n{broken\n\xff') == 3


def test_a_worker_reads_a_served_log_and_its_error_is_found(tmp_path: Path) -> None:
    with bench_memory.serving("small") as url:
        plain = bench_memory.read_plainly(url)
        ours = bench_memory.read_as_worker(url, tmp_path)
    assert ours.is_found
    assert ours.size == plain.size > 3000
    assert ours.peak > plain.peak > 1


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
    assert "choose from ingest, memory, pages, signatures" in capsys.readouterr().err
