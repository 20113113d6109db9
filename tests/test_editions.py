"""The editions of signing: fingerprints that hold, and signing what was kept as the whole was signed."""

from __future__ import annotations

import importlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests import prints
from tests.freeze import freeze
from tests.second_edition import SECOND, ruled
from tests.store_contract import NOW
from tests.test_corpus import CASES, SHARED
from triage import logs, signature
from triage.editions import CURRENT, FROZEN, SIGNERS, Signer, Signers, head, tail, version
from triage.model import LogStatus, Occurrence, TaskTry
from triage.redact import Redactor
from triage.signature.rules import NONE
from triage.store import open_store


@pytest.mark.parametrize("signer", [CURRENT, *FROZEN], ids=lambda signer: signer.edition)
def test_no_fingerprint_changes_without_a_new_version(signer: Signer) -> None:
    made, noted = prints.made(signer), prints.noted(signer)
    changed = sorted(name for name in made.keys() & noted.keys() if made[name] != noted[name])
    assert not changed, "a new version is needed, see CONTRIBUTING.md (before the first release: make prints)"
    assert made.keys() == noted.keys(), "make prints notes the new cases"


def test_the_version_in_force_is_noted_and_none_is_there_twice() -> None:
    editions = [signer.edition for signer in (CURRENT, *FROZEN)]
    assert editions == sorted(set(editions), key=version, reverse=True)
    assert CURRENT.edition == str(signature.VERSION)
    assert {path.stem for path in prints.FOLDER.glob("*.txt")} == set(editions)


def kept_by_a_store(data: bytes, redactor: Redactor) -> tuple[Occurrence, str]:
    """A failed try as a store gives it back, and the fingerprint made from the whole log."""
    lines = list(logs.read([data], redactor))
    kept = logs.keep(lines, redactor=redactor)
    key = TaskTry("prod", "shop", "run", "load")
    whole = CURRENT.sign(
        logs.keep(lines, 1 << 30, redactor).lines, task=key.task, absence=kept.absence, redactor=redactor
    )
    store = open_store("sqlite://")
    store.put([Occurrence(key, NOW, NOW, log=LogStatus.WHOLE, signature=whole, kept=kept.lines, absence=kept.absence)])
    found = store.occurrence(key.id)
    store.close()
    assert found is not None
    return found, whole.fingerprint


@pytest.mark.parametrize("case", CASES[::7], ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_signing_again_what_a_store_kept_gives_what_the_whole_gave(case: Path) -> None:
    redactor = Redactor(known=("svc_load", "orders"), emails=True)
    data = case.read_bytes()
    # Secrets of three kinds before the failure, and so much output that most of it is not kept.
    secrets = b"password=hunter2hunter2 orders AKIAIOSFODNN7EXAMPLE ann@example.com\n"
    padding = (secrets + (b"row stored " * 12 + b"\n") * 19) * 120
    fact, whole = kept_by_a_store(data if data.startswith(b"{") else padding + data, redactor)
    assert CURRENT.again(fact, redactor).fingerprint == whole
    assert b"hunter2" not in json.dumps([one.text for one in fact.kept or ()]).encode()


def test_signing_again_the_shared_corpus_gives_what_the_whole_gave() -> None:
    if not SHARED.exists():
        pytest.skip("../shared/corpus is not here")
    redactor = Redactor()
    with SHARED.open(encoding="utf-8") as file:
        for line in list(file)[2::5]:
            record = json.loads(line)
            fact, whole = kept_by_a_store(record["log_text"].encode(), redactor)
            assert CURRENT.again(fact, redactor).fingerprint == whole, record["id"]


def test_what_is_behind_is_of_an_older_version_or_of_other_rules() -> None:
    rules = ruled("apart").current.rules
    second = Signers(Signer(2, CURRENT.by, rules))
    behind = ["0", "1", "1.0ddba11", "2", "2.0ddba11"]
    assert [edition for edition in [*behind, second.edition, "3", "10.c0ffee00"] if second.is_behind(edition)] == behind
    assert (head("2.c0ffee00:aa"), tail("2.c0ffee00:aa"), version("2.c0ffee00"), version("x")) == (
        "2.c0ffee00",
        "aa",
        2,
        0,
    )


def test_peoples_rules_make_editions_of_their_own_and_the_plain_ones_become_former() -> None:
    rules = ruled("apart").current.rules
    assert [one.edition for one in (ruled("apart").current, *ruled("apart").former)] == [f"1.{rules.digest}", "1"]
    both = SECOND.under(rules)
    assert [both.edition, *(one.edition for one in both.former)] == [f"2.{rules.digest}", "2", f"1.{rules.digest}", "1"]
    assert SECOND.under(NONE) is SECOND
    fact, _ = kept_by_a_store(CASES[0].read_bytes(), Redactor())
    for signer in ruled("apart").current, *SIGNERS.former, SIGNERS.current:
        assert head(signer.again(fact).fingerprint) == signer.edition


def test_the_ancestors_of_a_failure_are_its_fingerprints_in_the_editions_that_were_in_force() -> None:
    fact, print_ = kept_by_a_store(next(prints.CORPUS.glob("http_429/*.log")).read_bytes(), Redactor())
    upgraded = replace(fact, signature=SECOND.current.again(fact))
    assert SECOND.ancestors(upgraded, ["1", "2"]) == [print_]
    assert SECOND.ancestors(upgraded, ["1", "1.0ddba11"]) == [print_, f"1.0ddba11:{tail(print_)}"]
    rules = ruled("apart")
    assert rules.ancestors(replace(fact, signature=rules.current.again(fact)), ["1", rules.edition, "2"]) == [print_]


def test_a_frozen_copy_signs_as_what_it_was_copied_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    freeze(tmp_path / "frozen_copy", "frozen_copy")
    monkeypatch.syspath_prepend(tmp_path)
    frozen = importlib.import_module("frozen_copy")
    taken = {name for name in sys.modules if name.startswith("frozen_copy.")}
    assert {"frozen_copy.signature.masks", "frozen_copy.scan", "frozen_copy.causes"} <= taken
    assert frozen.sign.__module__ == "frozen_copy.signature"
    assert prints.made(Signer(CURRENT.version, frozen.sign)) == prints.made(CURRENT)
    left = {
        line
        for path in tmp_path.rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if re.match(r"(from|import) triage\b", line)
    }
    shared = (
        "triage.model",
        "triage.redact",
        "triage.redact.ahead",
        "triage.signature.rules",
        "triage.signature.ignored",
    )
    assert [line for line in left if line.split()[1] not in shared and line not in allowed()] == []


def allowed() -> set[str]:
    """Imports of modules that all versions share, as the copy writes them."""
    return {"from triage import logs", "from triage.signature import ignored", "from triage.signature import rules"}
