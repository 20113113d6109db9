"""Facets, places in the list, exports and completion, on a real store; values are as hostile as DAG files allow."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.store_contract import NOW, occurrence
from tests.test_narrowing import HOSTILE
from triage import search
from triage.completion import Values
from triage.errors import InputError, StoreError
from triage.model import Occurrence
from triage.narrowing import FACETED, added, chosen, term
from triage.query import EVERYTHING
from triage.service import Service
from triage.store import open_store
from triage.store.access import Access
from ui.cli import main
from ui.exporting import COLUMNS, Form, exported, write


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service(open_store("sqlite://"))
    yield made
    made.store.close()


def failed(number: int, **more: object) -> Occurrence:
    return replace(occurrence(number), ended_at=NOW - timedelta(minutes=number), **more)  # type: ignore[arg-type]


def ids(found: list[Occurrence]) -> list[str]:
    return [fact.key.id for fact in found]


def test_a_click_on_any_facet_finds_exactly_its_count_whatever_the_value(service: Service) -> None:
    facts = []
    for place, value in enumerate((*HOSTILE, *HOSTILE[: len(HOSTILE) // 2], "Orders", "Orders", "ORDERS", "orders")):
        fact = failed(place, owner=value, host=value)
        facts.append(replace(fact, key=replace(fact.key, dag_id=value, task_id=value[::-1], deployment=f"d-{value}")))
    service.record(facts)
    found = search.facets(service.store, EVERYTHING, 1_000)
    assert set(found) == set(FACETED)
    assert dict(found["dag"])["Orders"] == 4
    for field, values in found.items():
        assert values
        for value, count in values:
            for text in ("", "x OR NOT x"):
                query = added(text, term(field, value))
                assert service.store.count(search.understood(service, query, NOW)) == count, (field, value)
            (one,) = chosen(added("load", term(field, value)))
            assert one.rest == "load"


def test_on_elasticsearch_too_a_click_finds_its_count_and_pages_hold_every_try_once(
    elastic: str, fresh_elastic: Callable[[str], str]
) -> None:
    service = Service(open_store(fresh_elastic(elastic), Access(shards=3)))
    test_a_click_on_any_facet_finds_exactly_its_count_whatever_the_value(service)
    service.store.close()
    service = Service(open_store(fresh_elastic(elastic), Access(shards=3)))
    test_no_try_is_shown_twice_and_none_is_missed_while_new_ones_come_in(service)
    blocks = exported(search.everything(service.store, EVERYTHING), search.owning(service), Form.LINES)
    lines = "".join(blocks).splitlines()
    assert json.loads(lines[-1]) == {"end": len(lines) - 1}
    service.store.close()


def test_facets_count_everything_and_show_the_most_frequent(service: Service) -> None:
    service.record([failed(n, host=f"w-{n % 7}") for n in range(100)])
    found = search.facets(service.store, EVERYTHING, 3, ("host",))
    assert found == {"host": [("w-0", 15), ("w-1", 15), ("w-2", 14)]}


def test_no_try_is_shown_twice_and_none_is_missed_while_new_ones_come_in(service: Service) -> None:
    service.record([failed(n // 3 * 3, host="a") for n in range(0, 60, 3)] + [failed(n) for n in range(1, 40, 3)])
    before = ids(list(search.everything(service.store, EVERYTHING)))
    shown: list[str] = []
    place, number = None, 1_000
    while page := service.store.search(EVERYTHING, 5, place):
        shown += ids(page)
        place = search.place(search.written(page[-1]))
        service.record(
            [replace(failed(number), ended_at=NOW + timedelta(minutes=number)) for number in range(number, number + 3)]
        )
        number += 3
    assert shown == before
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("text", ["x", "1-2", "-1-" + "a" * 32, "9" * 17 + "-" + "g" * 32, "1" * 17 + "-" + "a" * 31])
def test_a_place_that_is_none_is_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match="names no place"):
        search.place(text)


def test_an_export_holds_everything_found_quoted_and_harmless(service: Service) -> None:
    texts = [
        "=cmd|' /C calc'!A0",
        "+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        ' "q",\r\nx',
        "=1\x1b[31m\u202e",
        "日本 🚀",
        "\uff1d1",
        " =1",
    ]
    facts = [
        replace(failed(n, owner=text, host=text), signature=replace(failed(n).signature, title=text))  # type: ignore[type-var]
        for n, text in enumerate(texts)
    ]
    service.record(facts)
    text = "".join(exported(search.everything(service.store, EVERYTHING), search.owning(service), Form.CSV))
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    assert tuple(read[0]) == COLUMNS
    assert read.pop()["id"] == f"# end: {len(texts)}"
    assert [row["owner"] for row in read][:5] == ["'=cmd|' /C calc'!A0", "'+1", "'-2+3", "'@SUM(A1)", "'\t=1"]
    assert read[5]["owner"] == ' "q",\nx'
    assert read[7]["owner"] == "日本 🚀"
    assert not [
        cell for row in read for cell in row.values() if cell.lstrip(" ").startswith(("=", "+", "-", "@", "\uff1d"))
    ]
    assert "\x1b" not in text
    lines = "".join(
        exported(search.everything(service.store, EVERYTHING), search.owning(service), Form.LINES)
    ).splitlines()
    assert [json.loads(line).get("owner") for line in lines] == [*texts, None]
    assert json.loads(lines[-1]) == {"end": len(texts)}


def test_an_export_that_breaks_off_has_no_last_line_and_leaves_no_file(service: Service, tmp_path: Path) -> None:
    service.record([failed(n) for n in range(40)])

    def broken() -> Iterator[Occurrence]:
        for number, fact in enumerate(search.everything(service.store, EVERYTHING)):
            if number == 30:
                raise StoreError("The store is away.")
            yield fact

    file = tmp_path / "out.csv"
    with pytest.raises(StoreError):
        write(exported(broken(), search.owning(service), Form.CSV), file)
    assert list(tmp_path.iterdir()) == []
    file.write_text("old")
    write(exported(search.everything(service.store, EVERYTHING, 3), search.owning(service), Form.CSV), file)
    assert file.read_text().endswith("# end: 3\n")
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]


def test_an_export_takes_as_much_memory_for_many_as_for_few(service: Service) -> None:
    service.record([failed(n) for n in range(6_000)])

    def peak(limit: int) -> int:
        tracemalloc.start()
        for _ in exported(search.everything(service.store, EVERYTHING, limit), search.owning(service), Form.LINES):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(600)
    assert peak(6_000) < 1.3 * peak(1_000)


def test_values_are_offered_by_their_beginning_with_counts(service: Service) -> None:
    service.record([failed(n, host=("Worker-1", "w 2", "other")[n % 3], pool="p") for n in range(10)])
    values = Values(service.store)

    def offered(typed: str) -> list[tuple[str, int]]:
        return [(one.text, one.count) for one in values.offers(typed, NOW)]

    assert offered("de") == [("deployment:", 0)]
    assert offered("host:") == [("host:Worker-1", 4), ("host:other", 3), ('host:"w 2"', 3)]
    assert offered("host:WOR") == [("host:Worker-1", 4)]
    assert offered('host:"w') == [("host:Worker-1", 4), ('host:"w 2"', 3)]
    assert offered("host:er") == [("host:Worker-1", 4), ("host:other", 3)]
    assert offered("state:m") == [("state:muted", 0)]
    assert offered("pool:") == [("pool:p", 10)]
    assert offered("at:now") == [(f"at:[now-{span} TO now]", 0) for span in ("1h", "24h", "7d", "30d")]
    for nothing in ("", "x:y", "try:", "host:zzz", "title:x", ":"):
        assert offered(nothing) == []


def test_completion_looks_at_the_store_once_a_minute(service: Service) -> None:
    values = Values(service.store)
    assert values.offers("host:", NOW) == []
    service.record([failed(1, host="w-1")])
    assert values.offers("host:", NOW + timedelta(seconds=59)) == []
    assert [one.text for one in values.offers("host:", NOW + timedelta(seconds=60))] == ["host:w-1"]


def test_the_command_counts_and_exports_what_it_finds(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Service(open_store(f"sqlite:///{tmp_path / 'airtriage.db'}"))
    kept.record([failed(n, owner="a" if n else "b") for n in range(4)])
    kept.store.close()
    monkeypatch.setenv("AIRTRIAGE_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    main(["search", "--facets", "owner:a", "--json"])
    counts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"field": "owner", "value": "a", "count": 3} in counts
    main(["search", "owner:a", "--export", "out.csv"])
    assert "3 failed tries in out.csv" in capsys.readouterr().out
    assert Path("out.csv").read_text().endswith("# end: 3\n")
    main(["search", "--export", "all.jsonl", "--json"])
    assert json.loads(capsys.readouterr().out) == {"file": "all.jsonl", "failed_tries": 4}
    for wrong, said in (
        (["--export", "out.xlsx"], "Let its name end with .csv or .jsonl."),
        (["--export", "no/out.csv"], "cannot be written"),
        (["--export", "x.csv", "--facets"], "two answers"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["search", *wrong])
        assert ended.value.code == 2
        assert said in " ".join(capsys.readouterr().err.split())
