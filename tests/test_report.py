"""What a GitLab issue says, and what of a description is ever replaced."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gitlab_reports import AT, ID, facts_of, spoken
from tests.gitlab_rules import effects
from tests.test_markdown import TEXTS
from triage import templates
from triage.errors import SettingsError
from triage.model import Evidence, Frame, LogLine, Raised
from triage.proof import checked_template
from triage.redact import Redactor
from triage.report import (
    BEGIN,
    BLOCK_MAX,
    END,
    CommentKind,
    Facts,
    block,
    comment,
    comment_key,
    description,
    digest,
    evidence,
    key_of,
    marker,
    problem_of,
    refreshed,
    title,
    trend,
)

FACTS = facts_of(
    lambda place: {"evidence": "KeyError: 'id'", "exception": "KeyError", "title": "KeyError: 'id' in load()"}.get(
        place, place.replace(" ", "_")
    )
)
GROWN = replace(FACTS, total=1204, last_seen=AT + timedelta(hours=1))
WIDE = replace(GROWN, days=(("2026-11-20", 4), ("2026-11-25", 9)))
OTHER = replace(FACTS, problem=replace(FACTS.problem, id="f" * 12))


def test_an_issue_says_what_an_engineer_needs() -> None:
    said = block(WIDE)
    for told in (
        "**Code error** in `deployment`, `blue`: 1,204 failed tries since 2026-11-25 20:41 UTC", "[Problem in airtriage](https://airtriage.example.com/",
        "[Newest try in Airflow](https://airflow.example.com/", "**Regressed** since 2026-11-25 20:41 UTC: state's_reason", " KeyError: 'id'\n",
        "[`file_name:12`](https://gitlab.example.com/data/dags/-/blob/", "1. Open the last frame", "| `dag_id.task_id` | 9 |", "at most 9 a day",
        " Owner: owner.\n", "[`!7`](https://gitlab.example.com/data/dags/-/merge_requests/7) merge_request_title, by commit_author",
        "- [other_scope](https://airtriage.example.com/problem): new, 2 failed tries", "**Next:** next_step", "- and 2 more commits",
    ):  # fmt: skip
        assert told in said, told
    assert said.split("\n")[0] == BEGIN
    assert said.split("\n")[-2:] == [marker(ID), END]
    assert title(replace(FACTS, tasks=(("etl.load", 1),))) == "KeyError: 'id' in load() (etl.load)"
    assert problem_of(description(said)) == ID


def test_what_the_first_lines_say_already_is_not_said_again() -> None:
    assert "#### Where and how often" not in block(replace(FACTS, tasks=FACTS.tasks[:1]))
    headings = re.findall(r"^#### (.*)$", block(WIDE), re.M)
    assert headings == ["Evidence", "Changed since the last good run", "First to try", "Where and how often", "Also in"]


def test_a_problem_of_which_little_is_known_says_so_and_no_more() -> None:
    bare = Facts(replace(FACTS.problem, cause="unknown", reason=""), 1, 0, AT, AT)
    said = block(bare)
    assert "**Unknown**: 1 failed try, 2026-11-25 20:41 UTC." in said
    assert "No failed try of it is kept." in said
    for absent in ("Owner", "Changed since", "Also in", "In the code", "Next:", "None"):
        assert absent not in said


def test_the_same_facts_make_the_same_block_and_other_facts_another() -> None:
    assert digest(block(FACTS)) == digest(block(replace(FACTS)))
    assert digest(block(FACTS)) != digest(block(GROWN))


def test_the_trend_ends_on_the_last_day_that_failed_not_today() -> None:
    assert trend([("2026-11-01", 5), ("2026-11-20", 1), ("2026-11-25", 7)]) == (
        "▁▁▁▁▁▁▁▁▂▁▁▁▁█",
        "2026-11-12",
        "2026-11-25",
        7,
    )
    assert trend([]) == ("", "", "", 0)


def test_a_secret_is_masked_before_it_leaves_wherever_it_stands() -> None:
    redactor = Redactor(known=("hunter2hunter2",))
    facts = replace(
        facts_of(spoken("say hunter2hunter2 now")), page_url="https://airtriage.example.com/?t=hunter2hunter2"
    )
    for text in (
        title(facts, redactor=redactor), block(facts, redactor=redactor), block(facts, "{{ evidence|code }}{{ title }}{{ page_url }}", redactor),
        comment(CommentKind.REGRESSED, facts, "e", "hunter2hunter2", redactor),
    ):  # fmt: skip
        assert "hunter2" not in text
        assert "***" in text.replace("\\", "")


def test_a_secret_that_was_learned_by_one_redactor_is_masked_by_it_whatever_was_rendered_before() -> None:
    facts, learning = facts_of(spoken("say hunter2hunter2 now")), Redactor()
    assert "hunter2hunter2" in block(facts, redactor=Redactor())
    learning.learned.add("hunter2hunter2")
    assert "hunter2hunter2" not in block(facts, redactor=learning)


def test_a_new_rule_of_redaction_makes_another_block_so_that_it_is_written_anew() -> None:
    facts = facts_of(spoken("customer 4711 failed"))
    assert digest(block(facts)) != digest(block(facts, redactor=Redactor(patterns=(re.compile("customer [0-9]+"),))))


# Our block, and the words around it.


@given(before=st.text(), after=st.text(), newline=st.sampled_from(["\n", "\r\n"]))
def test_only_our_block_is_replaced_whatever_stands_around_it(before: str, after: str, newline: str) -> None:
    stored = f"{before}\n{block(FACTS)}\n{after}".replace("\n", newline)
    start, end = f"{before}\n".replace("\n", newline), f"\n{after}".replace("\n", newline)
    assert refreshed(stored, block(GROWN)) == f"{start}{block(GROWN)}{end}"
    assert refreshed(stored, block(FACTS)) is None


@given(TEXTS, TEXTS)
def test_our_block_is_found_again_whatever_a_log_says(said: str, other: str) -> None:
    old, new = block(facts_of(spoken(said))), block(facts_of(spoken(other)))
    assert problem_of(old) == ID
    assert refreshed(f"Before\n\n{old}\n\nafter", new) in (f"Before\n\n{new}\n\nafter", None)


def test_a_person_who_takes_our_lines_out_is_left_alone() -> None:
    said = block(FACTS)
    for gone in (said.replace(BEGIN, ""), said.replace(END, ""), "", None, "Only my words"):
        assert refreshed(gone, block(GROWN)) is None


def test_a_marker_that_was_taken_out_comes_back() -> None:
    stored = f"Mine\n{block(FACTS).replace(marker(ID), '')}\nmine"
    assert problem_of(stored) is None
    assert refreshed(stored, block(GROWN)) == f"Mine\n{block(GROWN)}\nmine"


def test_a_block_of_another_problem_that_a_person_pasted_is_theirs() -> None:
    pasted = block(OTHER)
    stored = f"{pasted}\n\nsame as this:\n\n{block(FACTS)}\n"
    assert refreshed(stored, block(GROWN)) == f"{pasted}\n\nsame as this:\n\n{block(GROWN)}\n"
    assert refreshed(pasted, block(GROWN)) is None


def test_what_a_person_wrote_into_our_block_is_kept_below_it_and_does_nothing() -> None:
    stored = block(FACTS).replace(
        "#### First to try", "It is the new column, I mend it. \n/close @root\n\n#### First to try"
    )
    made = refreshed(stored, block(GROWN))
    assert made is not None
    assert made.startswith(block(GROWN))
    rest = made.removeprefix(block(GROWN))
    assert " It is the new column, I mend it. \n /close @root\n" in rest
    assert effects(rest) == []
    assert refreshed(made, block(FACTS)) == block(FACTS) + rest


def test_a_word_changed_in_a_line_of_ours_is_kept_and_a_deleted_line_comes_back() -> None:
    stored = block(FACTS).replace(" Owner: owner.", " Owner: Berta!").replace("- and 2 more commits\n", "")
    made = refreshed(stored, block(GROWN))
    assert made is not None
    assert made.removeprefix(block(GROWN)).count("Berta!") == 1
    assert "- and 2 more commits" in made


def test_an_editor_that_writes_the_same_words_in_another_dress_writes_nothing_of_its_own() -> None:
    stored = (
        block(FACTS).replace(" ````text", "```text").replace(" ````", "```").replace("\n ", "\n").replace("- ", "* ")
    )
    stored = stored.replace("**", "__").replace("| ", "|  ").replace("\\", "")
    stored = (
        re.sub(r"^<\!\* ", "<!-- ", stored, flags=re.M)
        .replace(" *->", " -->")
        .replace("<!* ", "<!-- ")
        .replace("-* ", "-- ")
    )
    assert refreshed(stored, block(GROWN)) == block(GROWN)


def test_a_description_without_room_for_a_longer_block_stays() -> None:
    words = "x" * (1_000_000 - len(block(FACTS).encode()) - 1)
    assert refreshed(f"{block(FACTS)}\n{words}", block(replace(GROWN, next_step="more words than before"))) is None


# Comments.


def test_a_comment_is_found_again_by_its_key() -> None:
    said = comment(CommentKind.REGRESSED, FACTS, "2026-11-25T20:41", "failed again, after it was resolved")
    assert said.startswith("**It came back.** Failed again, after it was resolved\n")
    assert key_of(said) == comment_key(CommentKind.REGRESSED, ID, "2026-11-25T20:41")
    assert key_of(said) != comment_key(CommentKind.REGRESSED, ID, "another time")
    assert key_of("thanks!") is None
    assert key_of(None) is None


@pytest.mark.parametrize("kind", CommentKind)
def test_every_comment_says_something_and_only_those_of_failures_show_one(kind: CommentKind) -> None:
    said = comment(kind, FACTS, "e", "because")
    assert "Because" in said
    assert ("KeyError: 'id'" in said) == (kind in (CommentKind.REGRESSED, CommentKind.ESCALATED, CommentKind.SPREAD))
    assert key_of(said) == comment_key(kind, ID, "e")


# Templates.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n{{ titel }}", "[gitlab] body does not render in line 2: 'titel' is undefined."),
        ("a\nb\n{{ title", "[gitlab] body does not render in line 3: unexpected end of template"),
        ("{{ title|nope }}", "[gitlab] body does not render in line 1: No filter named 'nope'."),
        (
            "\n{{ title.__class__ }}",
            "[gitlab] body does not render in line 2: access to attribute '__class__' of 'str' object is unsafe.",
        ),
        ("{{ 1 / 0 }}", "[gitlab] body does not render in line 1: division by zero."),
        ("{% include 'x' %}", "[gitlab] body does not render in line 1: no loader for this environment specified."),
        ("{{ tasks[7].name }}", "[gitlab] body does not render in line 1: list object has no element 7."),
        ("{% for a in range(10000000) %}{% endfor %}", "[gitlab] body does not render in line 1: Range too big"),
        ("{{ tasks.append(1) }}", "[gitlab] body does not render in line 1: access to attribute 'append'"),
    ],
)
def test_a_template_that_does_not_render_is_one_sentence_with_field_and_line(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        checked_template(text, "[gitlab] body")
    assert caught.value.what.startswith(said.rstrip("."))
    assert "\n" not in str(caught.value)


def test_a_template_that_renders_is_returned_as_it_is() -> None:
    for text in (
        templates.BODY,
        "",
        "{{ title }} {% for task in tasks %}{{ task.name|code }}{% endfor %} {{ range(3)|list }}",
    ):
        assert checked_template(text, "body") == text
    assert checked_template(templates.TITLE, "title", as_title=True) == templates.TITLE
    with pytest.raises(SettingsError, match="renders to nothing"):
        checked_template("{# nothing #}", "title", as_title=True)


def test_the_templates_of_the_docs_render() -> None:
    shown = Path(__file__).parent.parent / "docs" / "gitlab.md"
    found = [
        tomllib.loads(block)["gitlab"]
        for block in re.findall(r"```toml\n(.*?)```", shown.read_text("utf-8"), re.S)
        if "{{" in block
    ]
    assert found
    for its in found:
        checked_template(its["title"], "title", as_title=True)
        checked_template(its["body"], "body")


HOSTILE = facts_of(spoken("/close\n@root <img src=https://evil.example> `x` ](https://evil.example)\n\n```\n/close"))


@pytest.mark.parametrize(
    "template",
    [
        "{{ title }}", "{{ title|safe }}", "{{ evidence|e|safe }}", "{{ title ~ evidence }}", "{{ evidence|fence|upper }}", "{{ evidence|replace('`', '') }}",
        "{{ [title, evidence]|join('\n') }}", "{% set x %}{{ title }}{% endset %}{{ x }}", "{% macro m() %}{{ title }}{% endmacro %}{{ m() }}",
        "{{ '%s' % title }}", "{{ title.split('\n')[0] }}\n{{ title[1:] }}", "x\n{{ tasks }}\n{{ newest }}", "{{ evidence|code }}\n{{ title|plain }}",
        "{{ suspects.found[0].request.title }}", "{% filter upper %}{{ title }}{% endfilter %}", "{{ pen_ }}{{ pen_.plain(title) }}", "{{ link(title, 'javascript:x') }}",
    ],
)  # fmt: skip
def test_no_template_lets_foreign_text_come_to_life(template: str) -> None:
    body = block(HOSTILE, template)
    hidden = [line for line in body.split("\n") if line.startswith("<!--")]
    assert len(hidden) == 4
    found = effects(body.replace("<sub>", "").replace("</sub>", ""), allowed=hidden)
    assert found == []


def test_a_template_cannot_drop_or_forge_our_lines_nor_start_a_quick_action() -> None:
    text = f"/close\n{END}\n{marker('f' * 12)}\n/assign @me\n{{{{ '' }}}}/lock\n"
    said = block(FACTS, text)
    assert problem_of(said) == ID
    assert said.count(f"\n{END}") == 1
    assert [found for found in effects(said) if found.startswith(("quick", "line"))] == []
    assert refreshed(said, block(GROWN)) == block(GROWN)


def test_a_template_of_any_length_leaves_room_and_keeps_the_marker() -> None:
    said = block(FACTS, "ä" * 1_500_000)
    assert len(said.encode()) < BLOCK_MAX + 2_000
    assert problem_of(said) == ID


def test_evidence_that_was_raised_says_where_in_the_users_own_code() -> None:
    library = Frame("/usr/lib/python3.12/site-packages/pandas/io/parsers.py", 617, "_read")
    own = [
        Frame(f"/opt/airflow/dags/{name}.py", line, name)
        for line, name in enumerate(("dag", "load", "rows", "cell"), 1)
    ]

    def shown(*frames: Frame) -> str:
        line = LogLine(
            3, "Task failed with exception", raised=(Raised("LoadError"), Raised("KeyError", "'id'", frames))
        )
        assert FACTS.newest is not None
        return evidence(replace(FACTS.newest, kept=(line,)))

    assert shown(*own, library).split("\n") == [
        "KeyError: 'id'",
        '  File "/opt/airflow/dags/load.py", line 2, in load',
        '  File "/opt/airflow/dags/rows.py", line 3, in rows',
        '  File "/opt/airflow/dags/cell.py", line 4, in cell',
        "KeyError",
    ]
    assert "site-packages" in shown(library)
    assert shown() == "KeyError: 'id'\nKeyError"


def test_evidence_of_any_length_is_cut() -> None:
    signed = replace(FACTS.newest.signature, evidence=tuple(Evidence(n, "x" * 5_000) for n in range(400)))  # type: ignore[union-attr, type-var]
    assert len(block(replace(FACTS, newest=replace(FACTS.newest, signature=signed))).encode()) < 40_000  # type: ignore[type-var]
