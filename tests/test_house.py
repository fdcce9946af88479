"""The house rules that no linter knows: sizes, plaques, secrets of this machine, a README that is true."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "foundry").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_a_head_and_an_end(path: Path) -> None:
    text = path.read_text("utf-8")
    tree = ast.parse(text)

    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(tree)
    if path.name == "__init__.py" and "blueprints" not in path.parts:
        assert len(tree.body) == 1, "a package's __init__ holds its plaque and no code"


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_of_tests_has_an_end_too(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 400


def test_readme_is_generated_from_the_code() -> None:
    told = subprocess.run([sys.executable, "-P", "tests/readme.py", "--check"], cwd=ROOT, capture_output=True, text=True)

    assert told.returncode == 0, told.stdout


def test_readme_names_every_exit_code() -> None:
    text = (ROOT / "README.md").read_text("utf-8")

    for code in ("| 0 |", "| 1 |", "| 2 |", "| 3 |", "| 4 |", "| 5 |", "| 6 |", "| 130 |"):
        assert code in text
