"""The corpora: folders of our own whose names are the expectation, and the shared labelled logs when they are here."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path

import pytest

from tests.judge import OWN, SHARED, measure
from triage import logs
from triage.cases import signed
from triage.causes import CAUSES
from triage.model import Signature
from triage.signature import sign, sign_text

LABELS = Path(__file__).parent / "cause_labels.json"
CASES = sorted(OWN.glob("*/*.log"))
# Folders that are honestly more than one fingerprint, and why; one that is no longer fails the test.
KNOWN_SPLIT = {
    "pandas_merge_types": "pandas 3 says 'str' where pandas 2 said 'object': the type is the cause in other messages",
}


def chosen(name: str, one_of: int) -> bool:
    """Whether a name belongs to a fixed part of all names, the same on every machine."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % one_of == 0


def test_measure_knows_perfect_split_and_merged() -> None:
    assert measure(["a", "a", "b", "b"], ["1", "1", "2", "2"]) == (1.0, 1.0, 1.0)
    assert measure(["a", "a", "b", "b"], ["1", "2", "3", "3"])[1:] == (0.5, 1.0)
    assert measure(["a", "a", "b", "b"], ["1", "1", "1", "1"])[1:] == (0.0, 1 / 3)


def _signed(case: Path) -> Signature:
    """Sign a case, with what Airflow says of it where a `.json` beside it tells that (`airtriage case` writes them)."""
    beside = case.with_suffix(".json")
    return signed(case.read_bytes(), beside.read_bytes() if beside.exists() else None, task="shop.load")


def test_the_own_corpus_has_many_groups_and_cases() -> None:
    assert len({case.parent for case in CASES}) >= 200
    assert len(CASES) >= 700


def test_every_folder_is_one_fingerprint_and_no_two_folders_share_one() -> None:
    made = {case: _signed(case).fingerprint for case in CASES}
    by_folder: dict[str, set[str]] = defaultdict(set)
    by_print: dict[str, set[str]] = defaultdict(set)
    for case, fingerprint in made.items():
        by_folder[case.parent.name].add(fingerprint)
        by_print[fingerprint].add(case.parent.name)
    assert {name for name, found in by_folder.items() if len(found) > 1} == set(KNOWN_SPLIT)
    assert [names for names in by_print.values() if len(names) > 1] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_every_case_has_a_known_cause_a_title_and_evidence(case: Path) -> None:
    signature = _signed(case)
    assert signature.cause in CAUSES
    assert signature.cause != "unknown"
    assert 5 < len(signature.title) <= 160
    assert signature.evidence
    assert signature.decisions


# A log of a foreign dress, or without its head, cannot be padded without telling what it is.
_PADDED = [
    case
    for case in CASES
    if not case.stem.startswith(("cri", "compose", "nested", "cut_head"))
    and chosen(f"{case.parent.name}/{case.stem}", 11)
]


def _padded(data: bytes) -> bytes:
    """The same failure after, and with, far more output than is kept."""
    head, newline, rest = data.partition(b"\n")
    if data.startswith(b"{"):
        line = json.dumps(
            {"timestamp": "2026-10-03T04:10:00Z", "event": "row stored " + "x" * 60, "level": "info", "logger": "app"}
        )
        pad = (line + "\n").encode() * 6000
    else:
        pad = (b"[2026-10-03T04:10:00.000+0000] {app.py:3} INFO - row stored " + b"x" * 60 + b"\n") * 6000
    begin = max(data.find(b"::endgroup::", data.find(b"Pre ")), 0)
    at = data.find(b"\n", begin) + 1
    return head + newline + rest[: at - len(head) - 1] + pad + rest[at - len(head) - 1 :]


@pytest.mark.parametrize("case", _PADDED, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_signing_what_was_kept_gives_what_signing_the_whole_gave(case: Path) -> None:
    data = _padded(case.read_bytes())
    kept = logs.keep(logs.read([data]))
    assert len(kept.lines) < kept.total_lines
    whole = logs.keep(logs.read([data]), limit=1 << 30)
    made = sign(kept.lines, task="a.b")
    assert made.fingerprint == sign(whole.lines, task="a.b").fingerprint
    assert made.fingerprint == sign_text(case.read_bytes(), task="a.b").fingerprint


@pytest.mark.parametrize(
    "prefix",
    [
        "2026-10-03T04:10:02.531537422Z stdout F ",
        "airflow-worker-1  | ",
        "[2026-10-03 04:10:02,000] {base_task_runner.py:115} INFO - Job 7: Subtask load ",
        "Oct  3 04:10:02 host-1 airflow[4711]: ",
    ],
)
def test_a_case_that_another_program_passed_on_signs_the_same(prefix: str) -> None:
    for case in _PADDED:
        data = case.read_bytes()
        worn = b"".join(prefix.encode() + line for line in data.splitlines(keepends=True))
        assert sign_text(worn, task="a.b").fingerprint == sign_text(data, task="a.b").fingerprint, case


@pytest.fixture(scope="module")
def shared() -> list[dict[str, str]]:
    if not SHARED.exists():
        pytest.skip("../shared/corpus is not here")
    with SHARED.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_the_shared_corpus_is_grouped_at_least_this_well(shared: list[dict[str, str]]) -> None:
    signatures = [sign_text(record["log_text"].encode()) for record in shared]
    f1, exact, precision = measure(
        [record["root_cause_id"] for record in shared], [signature.fingerprint for signature in signatures]
    )
    assert f1 >= 0.985
    assert exact >= 0.97
    assert precision >= 0.995
    nameless = sum(signature.cause in ("unknown", "no usable log") for signature in signatures)
    assert nameless <= 0.05 * len(signatures)


def test_the_classes_of_the_shared_corpus_are_those_a_person_gave_it(shared: list[dict[str, str]]) -> None:
    """The labels were given by hand, before the rules, to the root causes; some allow two classes."""
    labels = json.loads(LABELS.read_text("utf-8"))
    right = [sign_text(one["log_text"].encode()).cause in labels[one["root_cause_id"]] for one in shared]
    assert sum(right) >= 0.97 * len(right)


def test_the_shared_corpus_signs_the_same_from_a_small_kept_log(shared: list[dict[str, str]]) -> None:
    for record in shared[::5]:
        data = record["log_text"].encode()
        small = logs.keep(logs.read([data]), limit=128 * 1024)
        assert sign(small.lines).fingerprint == sign_text(data).fingerprint, record["id"]
