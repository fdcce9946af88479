"""The tools that come with Foundry, as a model meets them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.grep_codebase import GrepCodebase

from .conftest import Workshop


@pytest.fixture
def lib(workshop: Workshop) -> Workshop:
    workshop.load(tools=("read_write_code", "grep_codebase", "clock"))
    return workshop


# read_file -----------------------------------------------------------------------------------------------------------


def test_a_file_is_read_with_line_numbers(lib: Workshop) -> None:
    lib.write("src/app.py", "import os\n\nprint(os)\n")

    assert lib.call("read_write_code.read_file", path="src/app.py") == "src/app.py\n1: import os\n2: \n3: print(os)"


def test_a_range_is_read_and_said(lib: Workshop) -> None:
    lib.write("n.txt", "\n".join(f"line {n}" for n in range(1, 11)))

    text = lib.call("read_write_code.read_file", path="n.txt", start=3, end="4")

    assert text == "n.txt, lines 3-4 of 10\n3: line 3\n4: line 4"


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [(11, 0, "error: n.txt has only 10 lines."), (5, 4, "error: end (4) is before start (5)."), (0, -1, "n.txt\n1: line 1")],
)
def test_ranges_at_the_edge(lib: Workshop, start: int, end: int, said: str) -> None:
    lib.write("n.txt", "\n".join(f"line {n}" for n in range(1, 11)))

    assert lib.call("read_write_code.read_file", path="n.txt", start=start, end=end).startswith(said)


def test_what_does_not_fit_is_left_out_with_the_way_to_read_on(workshop: Workshop) -> None:
    workshop.load(tools=("read_write_code.read_file",), limit=1000)
    workshop.write("long.txt", "\n".join("x" * 50 for _ in range(100)))

    text = workshop.call("read_write_code.read_file", path="long.txt")

    assert len(text) <= 1000
    assert (found := re.search(r"… lines (\d+)-100 are not shown; read on with start=\1$", text))
    assert f"\n{int(found[1]) - 1}: xxx" in text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("grüße".encode(), "t.txt\n1: grüße"),
        ("grüße".encode("utf-8-sig"), "t.txt\n1: grüße"),
        ("grüße".encode("utf-16"), "t.txt, read as utf-16\n1: grüße"),
        ("grüße".encode("utf-32"), "t.txt, read as utf-32\n1: grüße"),
        ("grüße".encode("latin-1"), "t.txt, read as latin-1\n1: grüße"),
        (b"a\r\nb\r\n", "t.txt\n1: a\n2: b"),
        (b"a\x0cb\nc", "t.txt\n1: a\x0cb\n2: c"),
        (b"", "t.txt is empty."),
    ],
)
def test_encodings(lib: Workshop, raw: bytes, shown: str) -> None:
    lib.write("t.txt", raw)

    assert lib.call("read_write_code.read_file", path="t.txt") == shown


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG image"),
        (b"%PDF-1.7\n", "PDF document"),
        (b"\x7fELF\x02", "ELF program"),
        (b"PK\x03\x04", "zip archive"),
        (b"\x1f\x8b\x08", "gzip archive"),
        (b"SQLite format 3\x00", "SQLite database"),
        (b"text\0more", "binary file"),
    ],
)
def test_binary_files_are_named_by_kind(lib: Workshop, raw: bytes, kind: str) -> None:
    lib.write("thing", raw)

    assert lib.call("read_write_code.read_file", path="thing").startswith(f"error: thing is no text: {kind}, ")


def test_what_cannot_be_read_says_what_to_do(lib: Workshop) -> None:
    lib.write("src/settings.py", "")
    os.mkfifo(lib.folder / "pipe")
    with lib.write("huge", "").open("wb") as file:
        file.truncate(20 * 1024 * 1024)

    assert (
        lib.call("read_write_code.read_file", path="src")
        == "error: src is a folder. In it: src/settings.py 0 B. Read one of its files."
    )
    assert lib.call("read_write_code.read_file", path="src/setings.py").endswith("Did you mean src/settings.py?")
    assert lib.call("read_write_code.read_file", path="zzz").endswith("Use list_files to see what is there.")
    assert lib.call("read_write_code.read_file", path="pipe") == "error: 'pipe' is no regular file."
    assert "larger than 16 MiB" in lib.call("read_write_code.read_file", path="huge")
    assert "outside the folder" in lib.call("read_write_code.read_file", path="../x")
    assert "protected" in lib.call("read_write_code.read_file", path=".env")
    assert lib.call("read_write_code.read_file", path="x" * 300).startswith("error: There is no")


def test_protected_names_are_not_suggested(lib: Workshop) -> None:
    lib.write(".env", "KEY=1")

    assert ".env" not in lib.call("read_write_code.read_file", path="env").removeprefix("error: There is no 'env'")


# list_files ----------------------------------------------------------------------------------------------------------


def test_files_are_listed_sorted_with_sizes(lib: Workshop) -> None:
    lib.write("b/deep/two.py", "x" * 2500)
    lib.write("a.py", "abc")
    (lib.folder / "link").symlink_to("/etc")

    assert lib.call("read_write_code.list_files") == "a.py 3 B\nb/deep/two.py 2.5 kB\nlink link"


def test_what_nobody_wrote_is_left_out_and_counted(lib: Workshop) -> None:
    lib.write("app.py", "")
    lib.write(".git/config", "")
    lib.write(".env", "")
    lib.write("env/pyvenv.cfg", "")
    lib.write("a/__pycache__/x.pyc", "")
    lib.write("b/__pycache__/x.pyc", "")
    lib.write(".mypy_cache/x", "")

    text = lib.call("read_write_code.list_files")

    assert text.startswith("app.py 0 B\n(left out: 2 __pycache__")
    assert all(name in text for name in (".git", ".env", ".mypy_cache"))


def test_a_pattern_and_a_folder_narrow_the_list(lib: Workshop) -> None:
    lib.write("src/one.py", "")
    lib.write("src/in/two.py", "")
    lib.write("src/in/two.md", "")

    assert lib.call("read_write_code.list_files", path="src", pattern="*.py") == "src/in/two.py 0 B\nsrc/one.py 0 B"
    assert lib.call("read_write_code.list_files", pattern="**/*.md") == "src/in/two.md 0 B"
    assert (
        lib.call("read_write_code.list_files", pattern="*.rs")
        == "No file's name in '.' matches '*.rs'; search looks inside files."
    )
    assert lib.call("read_write_code.list_files", path="src/one.py") == "error: src/one.py is a file. Use read_file."
    found = lib.call("read_write_code.list_files", path="src", pattern="i*")
    assert found == "No file's name in 'src' matches 'i*'; these are in folders with such a name:\n" + "\n".join(
        ("src/in/two.md 0 B", "src/in/two.py 0 B")
    )


def test_what_gitignore_names_is_left_out_and_said(lib: Workshop) -> None:
    lib.write(".gitignore", "*.log\n/build/\n!kept.log\n# a comment\n\n")
    lib.write("src/.gitignore", "generated.py\n!*.log\n")
    for name in ("a.log", "kept.log", "build/x", "src/build/y", "src/generated.py", "src/in/b.log", "generated.py"):
        lib.write(name, "")

    text = lib.call("read_write_code.list_files")

    assert text.splitlines()[:-1] == [
        *(".gitignore 37 B", "generated.py 0 B", "kept.log 0 B", "src/.gitignore 20 B", "src/build/y 0 B", "src/in/b.log 0 B")
    ]
    assert text.splitlines()[-1] == "(ignored by .gitignore: a.log, build, generated.py; give a path of it to list it)"
    assert lib.call("read_write_code.list_files", path="build") == "build/x 0 B"


def test_caches_are_listed_by_their_path_and_protected_things_never(lib: Workshop) -> None:
    lib.write(".gitignore", "__pycache__\n")
    lib.write("__pycache__/x.pyc", "")
    lib.write(".env", "")
    lib.write(".git/config", "")

    assert lib.call("read_write_code.list_files", path="__pycache__") == "__pycache__/x.pyc 0 B"
    assert lib.call("read_write_code.list_files").endswith("(left out: .env, .git, __pycache__)")


@pytest.mark.parametrize(
    ("patterns", "shown"),
    [
        ("*\n!*/\n!*.py\n", ["a.py", "d/b.py", "d/e/c.py"]),
        ("d/**\n!d/b.py\n", [".gitignore", "a.py", "d/b.py"]),
        ("d/\n!d/b.py\n", [".gitignore", "a.py"]),
        ("/d/*\n!/d/e/\n", [".gitignore", "a.py", "d/e/c.py", "d/e/c.txt"]),
        ("\ufeffd\n", [".gitignore", "a.py"]),
        ("d\r\n", [".gitignore", "a.py"]),
        ("!\nd\n", [".gitignore", "a.py"]),
        ("\n  \n#\n", [".gitignore", "a.py", "d/b.py", "d/e/c.py", "d/e/c.txt"]),
    ],
)
def test_patterns_mean_what_they_mean_to_git(lib: Workshop, patterns: str, shown: list[str]) -> None:
    lib.write(".gitignore", patterns)
    for name in ("a.py", "d/b.py", "d/e/c.py", "d/e/c.txt"):
        lib.write(name, "")

    listed = lib.call("read_write_code.list_files").splitlines()

    assert [line.rsplit(" ", 2)[0] for line in listed if not line.startswith("(")] == shown


def test_a_large_tree_is_folded(lib: Workshop) -> None:
    for n in range(300):
        lib.write(f"pkg{n % 3}/part{n % 30}/f{n}.py", "")

    text = lib.call("read_write_code.list_files")

    assert text.splitlines()[0] == "pkg0/part0/ (10 files)"
    assert len(text.splitlines()) == 30


# search --------------------------------------------------------------------------------------------------------------


def test_matches_come_with_file_and_line(lib: Workshop) -> None:
    lib.write("a.py", "import os\nclass Shop:\n")
    lib.write("b/c.py", "class Basket(Shop): ...\n")
    lib.write("d.md", "class Other\n")

    text = lib.call("grep_codebase.search", pattern=r"class \w+", glob="*.py")

    assert text == "a.py:2: class Shop:\nb/c.py:1: class Basket(Shop): ..."


def test_search_in_one_file(lib: Workshop) -> None:
    lib.write("b/c.py", "one\ntwo\n")

    assert lib.call("grep_codebase.search", pattern="two", path="b/c.py") == "b/c.py:2: two"


def test_nothing_found_is_said(lib: Workshop) -> None:
    lib.write("a.py", "one")

    assert lib.call("grep_codebase.search", pattern="two") == "(no match for 'two' in 1 files)"


def test_an_invalid_pattern_is_said_and_taken_literally(lib: Workshop) -> None:
    lib.write("a.py", "call(foo[\n")

    text = lib.call("grep_codebase.search", pattern="(foo[")

    assert text.startswith("a.py:1: call(foo[\n(not a valid regular expression")


def test_without_an_exact_match_case_is_ignored_and_said(lib: Workshop) -> None:
    lib.write("a.py", "class Shop\n")

    text = lib.call("grep_codebase.search", pattern="class shop")

    assert text == "a.py:1: class Shop\n(upper and lower case ignored, as nothing matched exactly)"


def test_many_matches_are_limited_and_counted(lib: Workshop) -> None:
    for n in range(10):
        lib.write(f"{n}.txt", "hit\n" * 30)

    text = lib.call("grep_codebase.search", pattern="hit")

    assert text.count(": hit") == 60
    assert text.endswith("(60 of 300 matches in 10 files shown; narrow the search)")


def test_a_small_limit_is_kept(workshop: Workshop) -> None:
    workshop.load(tools=("grep_codebase",), limit=600)
    workshop.write("a.txt", "hit number one\n" * 50)

    text = workshop.call("grep_codebase.search", pattern="hit")

    assert len(text) <= 600
    assert "narrow the search" in text


def test_a_long_line_is_shown_around_its_match(lib: Workshop) -> None:
    lib.write("min.js", "a" * 5000 + "needle" + "b" * 5000)

    text = lib.call("grep_codebase.search", pattern="needle")

    assert "needle" in text
    assert len(text) < 300


def test_binary_protected_and_linked_files_are_not_searched(lib: Workshop, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("canary")
    lib.write("bin", b"canary\0")
    lib.write(".env", "canary")
    lib.write("a/.git/config", "canary")
    (lib.folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    os.mkfifo(lib.folder / "pipe")

    assert lib.call("grep_codebase.search", pattern="canary").startswith("(no match for 'canary' in 0 files")


def test_what_gitignore_names_is_searched_only_when_named(lib: Workshop) -> None:
    lib.write(".gitignore", "build/\n*.log\n")
    lib.write("build/out.js", "canary\n")
    lib.write("a.log", "canary\n")

    assert lib.call("grep_codebase.search", pattern="canary") == (
        "(no match for 'canary' in 1 files; what .gitignore names was not searched; give its path to search it)"
    )
    assert lib.call("grep_codebase.search", pattern="canary", path="build") == "build/out.js:1: canary"
    assert lib.call("grep_codebase.search", pattern="canary", path="a.log") == "a.log:1: canary"


def test_another_name_of_a_protected_file_is_neither_read_nor_searched(lib: Workshop) -> None:
    os.link(lib.write(".env", "KEY=canary"), lib.folder / "notes.txt")
    os.link(lib.write("a.txt", "fine"), lib.folder / "b.txt")

    assert lib.call("read_write_code.read_file", path="notes.txt") == (
        "error: notes.txt is another name of a protected file: it cannot be read or changed."
    )
    assert lib.call("grep_codebase.search", pattern="canary").startswith("(no match")
    assert lib.call("read_write_code.read_file", path="b.txt") == "b.txt\n1: fine"


def test_a_pattern_that_runs_away_is_stopped_and_what_was_found_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("aab\n")
    (tmp_path / "b.txt").write_text("a" * 40 + "c\naab\n")
    grep = GrepCodebase(ToolContext(tmp_path))

    text = grep.search(r"(a+)+b$")

    assert text == "a.txt:1: aab\n(left out, as the pattern takes too long there: b.txt)"


# clock ---------------------------------------------------------------------------------------------------------------


def test_the_clock_tells_date_time_weekday_and_offset(lib: Workshop) -> None:
    told = lib.call("clock.now", timezone="Asia/Kolkata")

    assert re.fullmatch(r"[A-Z][a-z]+day, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\+05:30 \(Asia/Kolkata\)", told)


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("", "UTC"),
        ("berlin", "(Europe/Berlin)"),
        ("New York", "(America/New_York)"),
        ("Europe/Berln", "Did you mean Europe/Berlin?"),
        ("../../etc/passwd", "error: No time zone is called"),
        ("\0", "error: No time zone is called"),
    ],
)
def test_zones_are_found_by_city_and_unknown_ones_get_the_nearest(lib: Workshop, zone: str, said: str) -> None:
    assert said in lib.call("clock.now", timezone=zone)
