"""The attack set of 500 secrets: that it is what it claims to be, and that none comes through the rules."""

from __future__ import annotations

import pytest

from tests.bench.bench_signatures import SHARED, own
from tests.bench.bench_signatures import shared as shared_logs
from tests.secrets_seeded import COUNT, Seeded, leaks, seeded
from triage import logs
from triage.model import LogLine
from triage.redact import PLAIN


def test_the_attack_set_has_500_secrets_of_many_kinds_in_many_places_and_is_the_same_each_time() -> None:
    made = seeded()
    assert len(made) == COUNT == 500
    assert len({one.kind for one in made}) >= 25
    assert len({one.context for one in made}) >= 60
    assert made == seeded()


def test_every_secret_of_the_attack_set_stands_in_its_lines() -> None:
    for one in seeded():
        text = "\n".join(one.lines).encode()
        assert all(leaks(part, text) for part in one.parts), one


def masked(one: Seeded) -> str:
    lines = [LogLine(number, text) for number, text in enumerate(one.lines, 1)]
    return "\n".join(line.text for line in PLAIN.lines(lines))


def test_no_secret_of_the_attack_set_comes_through_line_by_line_nor_as_one_text() -> None:
    leaked = []
    for one in seeded():
        said = (masked(one).encode(), PLAIN.text("\n".join(one.lines)).encode())
        leaked += [(one.kind, one.context) for part in one.parts if leaks(part, *said)]
    assert leaked == []


def test_masking_the_attack_set_again_changes_nothing() -> None:
    for one in seeded():
        once = masked(one)
        assert PLAIN.text(once) == once, one


def needless(texts: list[bytes]) -> tuple[int, int, list[str]]:
    """Lines, characters masked in them, and the lines that were changed, of logs that hold no secret but those named."""
    count = 0
    changed = []
    for text in texts:
        lines = list(logs.read([text]))
        count += len(lines)
        for before, after in zip(lines, PLAIN.lines(lines), strict=True):
            if before != after:
                changed.append(before.text)
    return count, sum(map(len, texts)), changed


# What the corpora hold of secrets, judged by hand: all else that is masked there is masked without need.
SECRETS_IN_THE_CORPORA = ("PGPASSWORD=", 'password="wrong-one"', 'password="nope"')


@pytest.mark.parametrize("which", ["own", "shared"])
def test_next_to_nothing_is_masked_without_need_in_ordinary_logs(which: str) -> None:
    if which == "shared" and not SHARED.exists():
        pytest.skip("../shared/corpus is not here")
    count, _, changed = needless(own() if which == "own" else shared_logs())
    wrong = [text for text in changed if not any(secret in text for secret in SECRETS_IN_THE_CORPORA)]
    assert len(wrong) <= 0.001 * count, sorted(set(wrong))[:20]
