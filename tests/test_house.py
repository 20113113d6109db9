"""The house rules: what every module says of itself, and docs that are as true as the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.render_docs import DOCS, TABLES, rendered
from ui.cli import cli

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path
    for package in ("triage", "collector", "ui")
    for path in (ROOT / package).rglob("*.py")
    if "dags" not in path.parts
)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(module.read_text("utf-8")))
    assert docstring
    assert docstring.splitlines()[0].rstrip().endswith((".", ",", ":", ";")) or len(docstring.splitlines()) > 1


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_the_docs_are_those_of_the_code(name: str) -> None:
    assert (DOCS / TABLES[name][0]).read_text("utf-8") == rendered(name), "make docs brings them up to date"


def test_every_command_says_what_it_does() -> None:
    for name, command in cli.commands.items():
        assert command.help, name


def test_the_command_starts_without_the_heavy_libraries() -> None:
    code = "import sys, ui.cli; print([m for m in ('streamlit', 'pandas', 'celery', 'airflow_client') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_links_between_the_docs_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_lock_names_no_index() -> None:
    for lock in (
        ROOT / "constraints.txt",
        ROOT / "ui" / "demo" / "constraints-airflow.txt",
        ROOT / "tests" / "s3" / "constraints-s3.txt",
        *(ROOT / "tests").glob("constraints-*.txt"),
    ):
        for line in lock.read_text("utf-8").splitlines():
            assert re.fullmatch(r"(#.*)?|[A-Za-z0-9._-]+(\[[^\]]*\])?==\S+( ;.*)?", line), f"{lock.name}: {line}"


def test_everything_that_is_not_python_ships_in_the_wheel(tmp_path: Path) -> None:
    import zipfile

    command = ["uv", "build", "--wheel", "--quiet", "--out-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "triage", "collector", "ui"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(tracked.stdout.split()) <= shipped
