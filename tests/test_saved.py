"""Saved searches: names that are unique among those one sees, queries that can be read, whose they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.store_contract import NOW
from triage import saved
from triage.errors import InputError
from triage.redact import Redactor
from triage.service import Service
from triage.store import open_store
from ui.cli import main


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service(open_store("sqlite://"))
    yield made
    made.store.close()


def names(service: Service, who: str) -> list[str]:
    return [one.name for one in saved.visible(service, who)]


def test_everybody_sees_what_is_shared_and_only_its_owner_what_is_his(service: Service) -> None:
    saved.save(service, "Night", "dag:night*", "ann", NOW)
    saved.save(service, "my own", "owner:ann", "ann", NOW, is_mine=True)
    saved.save(service, "my own", "owner:bob", "bob", NOW, is_mine=True)
    assert names(service, "ann") == ["my own", "Night"]
    assert saved.find(service, "MY OWN", "bob").query == "owner:bob"
    assert names(service, "eve") == ["Night"]
    with pytest.raises(InputError, match="no saved search 'my own'"):
        saved.delete(service, "my own", "eve")
    saved.delete(service, "night", "eve")
    assert names(service, "ann") == ["my own"]


@pytest.mark.parametrize(
    ("name", "query", "said"),
    [
        ("", "x", "has no name"), (" \n ", "x", "has no name"), ("n" * 81, "x", "81 characters"), ("half \ud800", "x", "half a character"),
        ("ok", "nope:1", "no field"), ("ok", "(", "bracket"), ("ok", "state:odd", "odd"), ("TAKEN", "x", "already"),
    ],
)  # fmt: skip
def test_what_cannot_be_saved_is_one_sentence_and_saves_nothing(
    service: Service, name: str, query: str, said: str
) -> None:
    saved.save(service, "taken", "dag:a", "ann", NOW)
    with pytest.raises(InputError, match=said):
        saved.save(service, name, query, "bob", NOW)
    assert names(service, "bob") == ["taken"]


def test_saving_the_same_twice_saves_it_once_and_a_secret_in_it_never(service: Service) -> None:
    one = saved.save(service, "a", "dag:a", "ann", NOW)
    assert saved.save(service, "a", "dag:a", "ann", NOW + timedelta(seconds=1)) == one
    hiding = Service(service.store, redactor=Redactor(known=("hunter2hunter2",)))
    kept = saved.save(hiding, "b", 'dag:"hunter2hunter2"', "ann", NOW)
    assert "hunter2" not in repr(kept)


def test_a_search_is_renamed_but_not_to_a_name_that_is_taken(service: Service) -> None:
    saved.save(service, "a", "dag:a", "ann", NOW)
    saved.save(service, "b", "dag:b", "ann", NOW)
    with pytest.raises(InputError, match="already"):
        saved.rename(service, "a", "B", "ann")
    assert saved.rename(service, "a", "A", "ann").name == "A"
    assert saved.rename(service, "A", "<b>**x**</b>", "bob").query == "dag:a"
    assert names(service, "ann") == ["<b>**x**</b>", "b"]


def test_the_command_lists_saves_renames_deletes_and_runs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRTRIAGE_DATA_DIR", str(tmp_path))

    def told(*arguments: str) -> str:
        main(list(arguments))
        return " ".join(capsys.readouterr().out.split())

    assert told("searches") == "No saved searches. airtriage searches save NAME QUERY makes one."
    assert "night dag:night* try:2" in told("searches", "save", "night", "dag:night*", "try:2")
    assert "everybody's" in told("searches", "rename", "night", "late")
    assert json.loads(told("searches", "--json"))["name"] == "late"
    assert told("search", "--saved", "late", "x OR y").startswith("ended")
    assert told("searches", "delete", "late") == "Deleted late: dag:night* try:2"
    for wrong in (["searches", "rename", "x"], ["searches", "delete", "x"], ["search", "--saved", "x"]):
        with pytest.raises(SystemExit) as ended:
            main(wrong)
        assert ended.value.code == 2
