"""How long a search may take, and the shape of what it says: patterns that run away, lines around, limits."""

from __future__ import annotations

import sysconfig
import time
from pathlib import Path

import pytest

from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.grep_codebase import GrepCodebase
from foundry.plugins.strict import bind

BESIDE = str(Path(sysconfig.get_path("scripts"), "rg"))
RUNAWAYS = ("(a+)+$", "(a|aa)+$", "(a*)*b", "(a|a)*c", "(.*a){25}", r"(\w+\s?)*$", "(a+)+\\1$", "^(([a-z])+.)+[A-Z]([a-z])+$")


@pytest.mark.slow
@pytest.mark.parametrize("program", ["", BESIDE])
@pytest.mark.parametrize("pattern", RUNAWAYS)
def test_no_pattern_holds_a_search_beyond_its_deadline(tmp_path: Path, pattern: str, program: str) -> None:
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text(f"{'a' * 5000}!\n{'a' * 30}\nb c Ab\n")
    grep = GrepCodebase(ToolContext(tmp_path), seconds=2, program=program)

    started = time.monotonic()
    grep.search(pattern)

    assert time.monotonic() - started < 3.5


def test_a_file_that_takes_too_long_is_left_out_and_the_others_are_searched(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a" * 40 + "!\n")
    (tmp_path / "b.txt").write_text("aab\n")
    grep = GrepCodebase(ToolContext(tmp_path), program="")

    assert grep.search("(a+)+b$") == "b.txt:1: aab\n(left out, as the pattern takes too long there: a.txt)"


def test_when_time_runs_out_what_was_searched_is_said(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.txt").write_text("aab\n" + "a" * 40 + "!\n")
    (tmp_path / "!first.txt").write_text("aab\n")
    grep = GrepCodebase(ToolContext(tmp_path), seconds=3, program="")

    text = grep.search("(a+)+b$")

    assert text.startswith("!first.txt:1: aab\n(stopped after 3 s: the pattern is too slow or the folder too large; ")
    assert text.endswith(" of 10 files searched)")


def test_lines_around_a_match_are_shown_as_grep_shows_them(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("".join(f"line {n}\n" for n in range(1, 10)) + "    hit\nend\n")
    grep = GrepCodebase(ToolContext(tmp_path))

    assert grep.search("line 2|line 6|hit", context=1).splitlines() == [
        *("a.py-1- line 1", "a.py:2: line 2", "a.py-3- line 3", "--", "a.py-5- line 5", "a.py:6: line 6", "a.py-7- line 7"),
        *("--", "a.py-9- line 9", "a.py:10:     hit", "a.py-11- end"),
    ]


def test_a_text_is_taken_as_it_is_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("f(x)\nfx\na.b\nacb\n")
    grep = GrepCodebase(ToolContext(tmp_path))

    assert grep.search("f(x)", literal=True) == "a.py:1: f(x)"
    assert grep.search("a.b", literal=True) == "a.py:3: a.b"
    assert grep.search("a.b") == "a.py:3: a.b\na.py:4: acb"


@pytest.mark.parametrize("program", ["", BESIDE])
def test_as_many_matches_as_asked_for_are_shown_in_order(tmp_path: Path, program: str) -> None:
    for name in ("b/x.txt", "a.txt", "b.txt", "b/a/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("hit\n" * 3)
    grep = GrepCodebase(ToolContext(tmp_path), program=program)

    assert grep.search("hit", most=6).splitlines() == [
        *("a.txt:1: hit", "a.txt:2: hit", "b/a/x.txt:1: hit", "b/a/x.txt:2: hit", "b/x.txt:1: hit", "b/x.txt:2: hit"),
        "(6 of 12 matches in 4 files shown; narrow the search)",
    ]


@pytest.mark.parametrize("program", ["", BESIDE])
def test_of_very_many_files_the_first_are_shown_and_the_rest_is_counted(tmp_path: Path, program: str) -> None:
    for number in range(700):
        (tmp_path / f"{number:03}.txt").write_text("a hit\n")
    grep = GrepCodebase(ToolContext(tmp_path), program=program)

    text = grep.search("h[ij]t")

    assert text.splitlines()[:60] == [f"{number:03}.txt:1: a hit" for number in range(60)]
    about = "about " if program else ""
    assert text.splitlines()[60:] == [f"(60 of {about}700 matches in {about}700 files shown; narrow the search)"]


def test_the_model_reads_what_it_was_tuned_on_first(tmp_path: Path) -> None:
    search, outline = bind(GrepCodebase(ToolContext(tmp_path)), "grep_codebase", "built-in", ToolContext(tmp_path))

    assert search.spec.description == (
        "Search inside all files for a text: where it is written, which file defines a function or class or raises an error."
    )
    assert list(search.spec.schema["properties"]) == ["pattern", "path", "glob", "literal", "context", "most"]
    assert search.spec.schema["required"] == ["pattern"]
    assert outline.spec.id == "grep_codebase.outline"
    assert search.effects == outline.effects == {"reads"}
