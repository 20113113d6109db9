"""The failed tries that benches are made of: the same for the same seed, skewed, realistic; and that their benches run."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

from tests.bench import bench_pass, bench_search, bench_size, many_tries
from tests.bench.many_tries import NOW, SPAN, plain, tries
from triage.query import EVERYTHING
from triage.store import open_store
from triage.store.sqlite.migrations import MIGRATIONS

MANY = 3_000


def test_few_problems_make_most_failures_and_logs_differ() -> None:
    made = list(tries(MANY))
    assert [fact.ended_at for fact in made[:2]] == sorted(fact.ended_at for fact in made[:2])
    assert all(NOW - SPAN <= fact.ended_at <= NOW for fact in made)
    assert len({fact.key.id for fact in made}) == MANY
    assert (
        len({plain(fact)["text"] for fact in made}) > 0.8 * MANY
    )  # records of Airflow 3 hold the times beside the text
    counts = [count for _, count in Counter(fact.fingerprint for fact in made).most_common()]
    assert len(counts) > 30
    assert sum(counts[: len(counts) // 10]) > MANY / 2
    sizes = [fact.log_bytes for fact in made]
    assert 4_500 < sum(sizes) / MANY < 5_500


def test_the_same_seed_gives_the_same_tries_from_any_of_them_on() -> None:
    made = list(tries(400))
    assert list(tries(400, since=390)) == made[390:]
    assert next(tries(400, seed=7)) != made[0]


def test_a_making_that_was_broken_off_goes_on_and_the_benches_measure_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(many_tries, "folder", lambda: tmp_path)
    broken = open_store(f"sqlite:///{tmp_path / f'300-{many_tries.MADE}.{len(MIGRATIONS)}.making'}")
    broken.put(itertools.islice(tries(300), 100))
    broken.close()
    store = open_store(f"sqlite:///{many_tries.store(300, len(MIGRATIONS))}")
    assert store.count(EVERYTHING) == 300
    assert not store.touched(1)
    store.close()
    monkeypatch.setattr(bench_search, "QUERIES", 3)
    bench_search.main([300])
    bench_size.main([300])
    bench_pass.main(300, 1)
    said = capsys.readouterr().out
    for what in (
        "300: first page",
        "300: facets and histogram of everything",
        "300 tries with logs",
        "300 known tries",
    ):
        assert what in said
