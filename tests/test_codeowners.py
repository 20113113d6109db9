"""CODEOWNERS as GitLab reads it. The cases are GitLab's own examples (user/project/codeowners, reference and advanced)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.codeowners import Claim, claims, parse

REFERENCE = r"""
# Specify a default Code Owner for all files with a wildcard:
* @default-owner
# Specify multiple Code Owners to a specific file:
README.md @doc-team @tech-lead
*.rb @ruby-owner
# Files with a `#` are written with a backslash:
\#file_with_pound.rb @owner-file-with-pound
LICENSE @legal janedoe@gitlab.com
CHANGES @group @group/with-nested/subgroup
/docs/ @all-docs
/docs/* @root-docs
/docs/**/*.md @markdown-docs  # Match specific file types in any subdirectory
lib/ @lib-owner
/config/ @@maintainer
path\ with\ spaces/ @space-owner
/a[bc]/?.py @set
"""


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        ("anything/at/all.txt", ["@default-owner"]),
        (".gitlab-ci.yml", ["@default-owner"]),
        ("deep/README.md", ["@doc-team", "@tech-lead"]),
        ("app/models/user.rb", ["@ruby-owner"]),
        ("#file_with_pound.rb", ["@owner-file-with-pound"]),
        ("LICENSE", ["@legal", "janedoe@gitlab.com"]),
        ("CHANGES", ["@group", "@group/with-nested/subgroup"]),
        ("docs/api/x.txt", ["@all-docs"]),
        ("docs/x.txt", ["@root-docs"]),
        ("docs/x.md", ["@markdown-docs"]),
        ("docs/api/v4/x.md", ["@markdown-docs"]),
        ("app/lib/x/y.py", ["@lib-owner"]),
        ("config/a/b.yml", ["@@maintainer"]),
        ("sub/path with spaces/x.py", ["@space-owner"]),
        ("ab/x.py", ["@set"]),
        ("ad/x.py", ["@default-owner"]),
        ("ab/xy.py", ["@default-owner"]),
    ],
)
def test_the_last_entry_that_matches_a_path_counts(path: str, owners: list[str]) -> None:
    assert [claim.owners for claim in claims(parse(REFERENCE), path)] == [tuple(owners)]


SECTIONS = """
* @admin

[README Owners]
README.md @user1 @user2
internal/README.md @user4

[README other owners]
README.md @user3

[Documentation][2] @docs-team
docs/
README.txt
notes.txt not-a-name @group

^[Database] @database-team @agarcia
model/db/
config/db/database-setup.md @docs-team

[DOCUMENTATION]
guide.txt
/model/db/CHANGELOG.txt
"""


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("README.md", [("@user1 @user2", "README Owners"), ("@user3", "README other owners"), ("@admin", "")]),
        ("internal/README.md", [("@user4", "README Owners"), ("@user3", "README other owners"), ("@admin", "")]),
        ("docs/x", [("@docs-team", "Documentation"), ("@admin", "")]),
        ("notes.txt", [("@group", "Documentation"), ("@admin", "")]),
        ("model/db/x", [("@admin", ""), ("@database-team @agarcia", "Database")]),
        ("config/db/database-setup.md", [("@admin", ""), ("@docs-team", "Database")]),
        ("guide.txt", [("@admin", "")]),
    ],
)
def test_sections_are_judged_apart_and_have_owners_of_their_own(path: str, told: list[tuple[str, str]]) -> None:
    assert [(" ".join(claim.owners), claim.section) for claim in claims(parse(SECTIONS), path)] == told


def test_an_exclusion_beats_every_entry_of_its_section_and_no_other() -> None:
    parts = parse(
        "* @default-owner\n!*.rb   # Excludes all Ruby files. @nobody\n/special/*.rb @ruby-owner\n"
        "[Ruby]\n*.rb @ruby-team\n!/config/**/*.rb\n/config/routes.rb @ops\n[Config]\n/config/ @ops-team\n"
    )
    assert claims(parts, "special/a.rb") == (Claim(("@ruby-team",), "*.rb", "Ruby"),)
    assert claims(parts, "config/routes.rb") == (Claim(("@ops-team",), "/config/", "Config"),)
    assert claims(parts, "pom.xml") == (Claim(("@default-owner",), "*"),)


def test_a_heading_that_cannot_be_read_is_an_entry_of_the_section_before() -> None:
    parts = parse("* @group\n\n[Section name\ndocs/ @docs_group\n[] @x\n")
    assert [[entry.pattern for entry in part.entries] for part in parts] == [["*", "[Section", "docs/", "[]"]]
    assert claims(parts, "docs/a") == (Claim(("@docs_group",), "docs/"),)


def test_an_entry_without_any_owner_that_can_be_read_owns_nothing() -> None:
    assert claims(parse("* nobody\n"), "a.py") == ()
    assert claims(parse("folder with spaces/*.md @group\n"), "folder")[0].owners == ("@group",)


def test_a_mark_of_the_encoding_and_line_ends_of_windows_belong_to_no_pattern() -> None:
    assert claims(parse("\ufeff[Dags] @data\r\n/dags/\r\n"), "dags/a.py") == (Claim(("@data",), "/dags/", "Dags"),)


@pytest.mark.parametrize("pattern", ["*a" * 20 + "b", "**/a/" * 20 + "b", "**/*a*a*/" * 15 + "b"])
def test_many_stars_are_judged_at_once(pattern: str) -> None:
    """Judged by trying every place of every star, these would take years."""
    path = "/".join(["a" * 60] + ["aa"] * 60)
    assert claims(parse(f"/{pattern} @x\n"), path) == ()
    assert claims(parse(f"/{pattern} @x\n"), path + "/aaaaaaaa/b") == (
        (Claim(("@x",), f"/{pattern}"),) if pattern.startswith("**/*a") else ()
    )


def test_control_characters_make_no_owner() -> None:
    assert claims(parse("* a\x1b[31m@b.example a\u202eb@c.example ann@b.example\n"), "x")[0].owners == (
        "ann@b.example",
    )


def test_a_pattern_that_is_longer_than_any_path_owns_nothing() -> None:
    assert claims(parse(f"/{'a' * 1_000_000} @x\n* @y\n"), "a") == (Claim(("@y",), "*"),)
    assert claims(parse(f"/{'*' * 4096} @x\n"), "a") == ()


@given(st.text("*/[]!^\\-@ab #\n.", max_size=60), st.text("/ab.", max_size=12))
def test_no_text_is_too_odd(text: str, path: str) -> None:
    for claim in claims(parse(text), path):
        assert claim.owners
