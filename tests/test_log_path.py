"""Where logs lie: the template of their path, and the base of a storage."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.log_path import DEFAULT, base, kind, parse
from triage.model import TaskTry

RUN = "scheduled__2026-11-22T08:00:00+00:00"
KEY = TaskTry("prod", "etl", RUN, "load", -1, 3)
# As it stands in airflow.cfg of 2.11 and 3.3, percent signs doubled.
FROM_CFG = (
    "dag_id={{ ti.dag_id }}/run_id={{ ti.run_id }}/task_id={{ ti.task_id }}/{%% if ti.map_index >= 0 %%}"
    "map_index={{ ti.map_index }}/{%% endif %%}attempt={{ try_number|default(ti.try_number) }}.log"
)


@pytest.mark.parametrize(
    ("template", "key", "path"),
    [
        (DEFAULT, KEY, f"dag_id=etl/run_id={RUN}/task_id=load/attempt=3.log"),
        (DEFAULT, replace(KEY, map_index=7), f"dag_id=etl/run_id={RUN}/task_id=load/map_index=7/attempt=3.log"),
        (FROM_CFG, replace(KEY, map_index=0), f"dag_id=etl/run_id={RUN}/task_id=load/map_index=0/attempt=3.log"),
        ("{dag_id}/{task_id}/{run_id}/{try_number}.log", KEY, f"etl/load/{RUN}/3.log"),
        # The layout of 1.10 to 2.2, by the run's own date.
        ("{{ ti.dag_id }}/{{ ti.task_id }}/{{ ts }}/{{ try_number }}.log", KEY, "etl/load/2026-11-22T08:00:00+00:00/3.log"),
        ("{dag_id}/{task_id}/{execution_date}/{try_number}.log", replace(KEY, run_id="by hand"), None),
        ("{dag_id}/{task_id}/{run_id}/{try_number}.log", replace(KEY, map_index=1), None),
        (DEFAULT, replace(KEY, run_id="a/b c?#%2F"), "dag_id=etl/run_id=a/b c?#%2F/task_id=load/attempt=3.log"),
    ],
)  # fmt: skip
def test_a_path_is_made_of_the_key_alone(template: str, key: TaskTry, path: str | None) -> None:
    assert parse(template).of(key) == path


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("", "empty"),
        ("/var/{dag_id}", "no path below log_base"),
        (
            "{{ ti.dag_id }}/{{ ti.hostname }}/{try_number}.log",
            r"unknown field 'ti.hostname'; known are dag_id, run_id",
        ),
        ("{{ ti.dag_id.__class__ }}", "unknown field"),
        ("{% for x in y %}{dag_id}", "more than it can say"),
        ("{dag_id}/{task_id}/{run_id}.log", "without {try_number}"),
        ("{dag_id}/{task_id}/{try_number}.log", "without {run_id or ts}"),
        ("{dag_id", "more than it can say"),
        ("{{ dag_id }}}/x", "more than it can say"),
    ],
)
def test_a_template_that_says_more_or_less_is_refused_in_a_sentence(template: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(template)


LEADING_OUT = ["../../etc", "..", ".", "a/../../../b", "x\0y", "..\\.."]


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_name_that_would_lead_out_of_the_base_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lead out of log_base"):
        parse("{dag_id}/{task_id}/{run_id}/{try_number}.log").of(replace(KEY, dag_id=name))


@given(st.text(), st.text(), st.text())
def test_no_key_leads_out_of_the_base(dag: str, run: str, task: str) -> None:
    key = replace(KEY, dag_id=dag, run_id=run, task_id=task)
    for template in (DEFAULT, "{dag_id}/{run_id}/{task_id}/{try_number}"):
        try:
            path = parse(template).of(key)
        except ValueError:
            continue
        assert path is not None
        assert not path.startswith("/")
        assert not {".", ".."} & set(path.split("/"))


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("", ""),
        ("s3://logs/prod/", "s3://logs/prod"),
        ("s3://logs", "s3://logs"),
        ("gs://logs/a/b", "gs://logs/a/b"),
        ("abfs://logs@account.dfs.core.windows.net/a", "abfs://logs@account.dfs.core.windows.net/a"),
        ("file:///opt/airflow/logs", "file:///opt/airflow/logs"),
    ],
)
def test_a_base_is_taken_as_airflow_writes_it(value: str, meant: str) -> None:
    assert base(value) == meant
    assert kind(meant) in ("s3", "gs", "abfs", "file", "")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("ftp://logs/prod", "starts with none of s3://"),
        ("logs/prod", "starts with none of s3://"),
        ("s3:///prod", "names no bucket"),
        ("file://logs/x", "no absolute path"),
        ("file:///", "no absolute path"),
        ("s3://key:sekret@logs/x", "accounts belong into log_options"),
        ("s3://logs/x?versionId=1", "more than a bucket"),
        ("simplecache::s3://logs", "starts with none of"),
        ("file:///opt/../etc", "holds a . or .."),
    ],
)
def test_a_base_that_is_none_is_refused_in_a_sentence_without_its_secrets(value: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        base(value)
    assert "sekret" not in str(caught.value)
