"""What would have to differ for another fingerprint is said, and is true; and which mask hit where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_cli import run
from triage import signature
from triage.model import Circumstance, CircumstanceKind, Evidence, LogStatus, Signature
from triage.redact import MASK, Redactor, facts
from triage.signature import differs, explain, masked, sign, sign_text
from triage.signature.apart import Hit, hits
from triage.signature.masks import MASKS, Mask
from triage.signature.rules import Rules, made

COLUMN = 'psql: error: column "qty" of relation "orders" does not exist, row 17 of 2026-11-22'
PLACED = 'ERROR - Task failed with exception\nTraceback (most recent call last):\n  File "/dags/shop.py", line 7, in load\nKeyError: {}'


def signed(text: str, task: str = "shop.load") -> Signature:
    return sign_text(text.encode(), task=task)


@pytest.mark.parametrize(
    ("log", "said", "others", "same"),
    [
        (COLUMN, "another column (qty)", [COLUMN.replace("qty", "price")], []),
        (COLUMN, "another relation (orders)", [COLUMN.replace("orders", "stock")], []),
        (COLUMN, "another number, another date or time", [], [COLUMN.replace("17", "18").replace("-22", "-23")]),
        (PLACED.format(0), "another place in the code (shop.py:load)", [PLACED.format(0).replace("shop", "bank")], []),
        (PLACED.format(0), "another error (KeyError)", [PLACED.format(0).replace("Key", "Index")], []),
        (PLACED.format(0), "another number", [], [PLACED.format(1)]),
        ("error: cannot connect to db1.example:5432: connection refused", "another name (db1.example:5432)",
         ["error: cannot connect to db2.example:5432: connection refused"], []),
        ("ERROR - Task exited with return code 3", "another exit code (3)", ["ERROR - Task exited with return code 4"], []),
    ],
)  # fmt: skip
def test_what_is_said_to_differ_does_and_what_is_said_to_stay_the_same_does(
    log: str, said: str, others: list[str], same: list[str]
) -> None:
    made = signed(log)
    told = differs(made, "shop.load")
    assert said in " ".join(told if not same else told[-1:])
    assert all(signed(other).fingerprint != made.fingerprint for other in others)
    assert all(signed(other).fingerprint == made.fingerprint for other in same)


def test_the_task_is_said_to_count_where_it_does_and_not_where_it_does_not() -> None:
    lost = sign((), Circumstance(CircumstanceKind.HEARTBEAT_LOST), task="shop.load", status=LogStatus.MISSING)
    assert "another task (shop.load)" in " ".join(differs(lost, "shop.load"))
    assert "another task, DAG" not in " ".join(differs(lost, "shop.load"))
    assert "another task, DAG" in differs(signed(COLUMN), "shop.load")[-1]
    assert signed(COLUMN, "other.task").fingerprint == signed(COLUMN).fingerprint


def test_what_a_rule_of_ones_own_added_is_said() -> None:
    own = Rules(
        (made("vendor", {"group": "error: (?:no file of) (\\w{1,20})"}), made("by", {"separate": "t=(\\w{1,9})"}))
    )
    made_ = sign_text(b"t=acme\nerror: no file of north", task="a.b", rules=own)
    told = differs(made_, "a.b")[0]
    assert "what your rule vendor does not match" in told
    assert "than north" in told
    assert "another acme by your rule" in told


@pytest.mark.parametrize("one", MASKS, ids=lambda one: one.name)
def test_every_mask_is_said_to_hit_where_it_does(one: Mask) -> None:
    found = hits(one.before)
    assert one.name in {hit.mask for hit in found}
    assert all(hit.before != hit.after for hit in found)
    assert hits(one.after) == []


def test_each_line_of_evidence_tells_which_mask_hit_where() -> None:
    made = signed(COLUMN)
    ((evidence, found),) = masked(made)
    assert evidence.number == 1
    assert found == [Hit("date and time", "2026-11-22", "<time>"), Hit("number", "17", "<n>")]
    assert "      number: '17' -> '<n>'" in explain(made)
    older = Signature(signature.VERSION + 1, "9:0", "t", "unknown", evidence=(Evidence(1, COLUMN),))
    assert masked(older) == [(older.evidence[0], [])]
    assert differs(older) == ()


def test_the_key_is_redacted_like_everything_else_that_is_kept() -> None:
    redactor = Redactor(known=("hunter2word",))
    made = sign_text(b"error: no such user hunter2word", task="a.b", redactor=redactor)
    assert MASK in " ".join(made.key)
    stale = Signature(1, "1:0", "t", "unknown", decisions=("d",), key=("hunter2word", "x"))
    cleaned = facts._signature(redactor, stale)
    assert (cleaned.decisions, cleaned.key) == (("d",), (MASK, "x"))


def test_the_command_explains_in_json_too(tmp_path: Path) -> None:
    done = run(tmp_path, "sign", "-", "--explain", "--json", "--task", "shop.load", stdin=COLUMN.encode())
    told = json.loads(done.stdout)
    assert told["masked"][1] == {"line": 1, "mask": "number", "before": "17", "after": "<n>"}
    assert told["differs"] == list(differs(signed(COLUMN), "shop.load"))
