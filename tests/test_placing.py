"""Foreign text in any template: wherever a template prints it, a block stays a block, and nothing of it comes to life."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.gitlab_reports import facts_of, spoken
from tests.gitlab_rules import commands, parser
from triage.errors import SettingsError
from triage.placing import closed
from triage.report import block, problem_of
from triage.templates import rendered

EVIL = "https://evil.example"
HOSTILE = (
    f"x\n/close\n@root <img src={EVIL}> `x` ![x]({EVIL}) [x]({EVIL})\n\n```\n/close\n\n~~~~~~~~\n\n/lock\n\n</pre>\n\n"
    f"<img src={EVIL}>\n\n-->\n\n$$\n\n>>>\n\n/close\n\n@root\n\ufdd1/close\n\ufdd0"
)
FACTS = facts_of(spoken(HOSTILE))
# What a template may be made of: what opens something in Markdown, and what prints foreign text.
PIECES = (
    *("- ", "1. ", "> ", "    ", "| ", "```\n", "````\n", "~~~\n", "```", "$$\n", ">>>\n", "<details>", "<details>\n", "</details>\n"),
    *("<pre>", "<pre>\n", "</pre>\n", "<!--", "-->\n", "<td>", "<b>", "<script>\n", "\n", "\n\n", "words ", "`", "**", "@", "#", "/", "  /"),
    *("{{ title }}", "{{ evidence|fence }}", "{{ evidence|code }}", "{{ newest.line }}", "{{ owner }}", "{{ dags|map(attribute='name')|codes }}"),
    *("{% filter indent %}{{ evidence|fence }}{% endfilter %}", "{% set x %}{{ evidence|fence }}{% endset %}{{ x }}", "{{ suspects.found[0].line }}"),
)  # fmt: skip


def alive(body: str) -> list[str]:
    """What of `HOSTILE` does something in a description."""
    found = [f"quick action: {name}" for name in commands(body)]
    for token in parser().parse(body):
        if token.type == "html_block" and re.search(r"<img|@root|</pre>.*</pre>", token.content):
            found.append(f"HTML: {token.content[:80]!r}")
        for child in token.children or []:
            if child.type == "html_inline" and "<img" in child.content:
                found.append(f"HTML: {child.content}")
            if EVIL in f"{child.attrs.get('href', '')}{child.attrs.get('src', '')}":
                found.append(f"{child.type}: {child.attrs}")
            if child.type == "text" and "@root" in child.content:
                found.append(f"mention: {child.content}")
    return found


@pytest.mark.parametrize(
    "template",
    [
        "- {{ evidence|fence }}", "1. a\n\n   {{ evidence|fence }}", "> {{ evidence|fence }}", "Words {{ evidence|fence }} words", "| {{ evidence|fence }} |",
        "<details><summary>Log</summary>{{ evidence|fence }}</details>", "<details>\n<summary>Log</summary>\n{{ evidence|fence }}\n</details>",
        "```\n{{ evidence|fence }}\n```", "~~~\n{{ evidence|fence }}\n~~~", "<pre>{{ evidence|fence }}</pre>", "<!--\n{{ evidence|fence }}\n-->",
        "<td>{{ evidence|code }}</td>", "<table>\n<tr><td>{{ newest.line }}</td></tr>\n</table>", "<pre>\n{{ title|code }}\n</pre>", "    {{ evidence|fence }}",
        "@{{ owner }}", "{% filter replace('\\\\', '') %}{{ title }}{% endfilter %}", "{% filter reverse %}{{ title }}{% endfilter %}",
        "{% filter trim %}{{ title }}{% endfilter %}", "{% filter truncate(30) %}{{ evidence|fence }}{% endfilter %}",
    ],
)  # fmt: skip
def test_what_a_template_prints_in_an_unlucky_place_does_nothing(template: str) -> None:
    body = block(FACTS, template)
    assert alive(body) == []
    assert problem_of(body) == FACTS.id


@settings(max_examples=200)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@example("`{{ title }}`{{ evidence|fence }}")
def test_no_template_of_any_pieces_lets_foreign_text_come_to_life(template: str) -> None:
    body = block(FACTS, template)
    assert alive(body) == []
    assert parser().parse(body.split("<sub>")[0] + "x")[-2].content.endswith("x")


def test_a_block_in_a_good_place_stays_as_it_is() -> None:
    for template in ("a\n\n{{ evidence|fence }}\n\nb", "{{ evidence|fence }}"):
        said = block(facts_of(spoken("words")), template)
        assert "\n ````text\n words\n" in said
    assert block(facts_of(spoken("words")), "a\n{{ evidence|fence }}\nb").count("````") == 2


def test_what_a_template_leaves_open_is_closed_so_that_a_persons_words_are_none_of_it() -> None:
    for template in (
        "{{ title }}\n```",
        "~~~~ x\n{{ title }}",
        "x\n<!-- open",
        "<pre>\n{{ title }}",
        "{{ evidence|fence }}\n" * 1_000,
    ):
        body = block(facts_of(spoken("words\n" * 30)), template)
        tokens = parser().parse(f"{body}\n\nwhat a person writes")
        assert [token.content for token in tokens[-2:-1]] == ["what a person writes"]
        assert tokens[-3].type == "paragraph_open"
    assert closed("a\n```\nb") == "a\n```\nb\n```"
    assert closed("a") == "a"


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(999) %}{% for b in range(999) %}{% for c in range(999) %}{% endfor %}{% endfor %}{% endfor %}", "{{ 10**10**8 }}", "{{ 'x' * 10000000 }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for a in range(9999) %}{{ evidence|fence }}{% endfor %}", "{% for a in range(99999) %}" + "x" * 1_000 + "{% endfor %}", "{{ [1] * 100000000 }}",
        "{{ '%2000000000d' % 1 }}", "{{ '%2000000000d'|format(1) }}", "{{ '%.*f' % (2000000000, 1) }}",
    ],
)  # fmt: skip
def test_a_template_that_would_take_for_ever_is_one_sentence(template: str) -> None:
    with pytest.raises(SettingsError, match=r"^the template of the body does not render"):
        rendered(template, {"evidence": "words\n" * 5_000})


def test_a_template_may_count_multiply_and_format() -> None:
    said = rendered(
        "{{ 2 ** 3 }} {{ 'ab' * 2 }} {{ '%+.1f' % 2 }} {{ '%s.'|format('x') }} {{ 'x'|center(5) }} {{ 7 % 4 }}", {}
    )
    assert said.replace("\\", "") == "8 abab +2.0 x. x 3"
