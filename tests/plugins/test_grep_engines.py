"""Searching with ripgrep and without it: the same files and lines, and nothing that is not ours to read."""

from __future__ import annotations

import os
import random
import re
import shutil
import stat
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.grep_codebase import GrepCodebase
from foundry.plugins.standard_lib.grep_ripgrep import ripgrep
from foundry.plugins.standard_lib.grep_tree import Limits, Tree
from foundry.plugins.standard_lib.text_files import wanted

BESIDE = str(Path(sysconfig.get_path("scripts"), "rg"))
NAMES = (
    "a.py",
    "b.txt",
    ".hidden",
    "-",
    "--pre",
    "ü.md",
    "a b",
    "[x].py",
    "!n",
    "#c",
    "new\nline",
    "z",
    ".env",
    ".ENV.x",
    "d*",
    "back\\s",
)
FOLDERS = ("", "", "", "sub/", "sub/deep/", ".git/", "node_modules/", ".hide/", "-x/", "venv/", "sub/.ssh/", "build/")
RULES = ("*.txt", "/build/", "!b.txt", "a*", "sub/deep", "**/z", "[x]*", "*", "!*/", "d\\*", "{a,b}.py", "#c", "\\#c", "sub/**")
CONTENT = (
    "needle",
    "Needle",
    "a needle b",
    "other",
    "grüße needle",
    "class Shop:",
    "\tfoo(x)",
    "x" * 300 + "needle",
    "",
    "ſhop",
    "ne\redle",
)
CODINGS = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "latin-1")
PATTERNS = (
    "needle",
    "^a ",
    "needle$",
    r"class \w+",
    "(?i)NEEDLE",
    "grüße",
    r"\bneedle\b",
    r"(\w)\1",
    "(?<!a )needle",
    "zzz",
    "[",
    "x{250}",
    "SHOP",
    ".",
)


def plant(root: Path, seed: int) -> None:
    """A tree as hostile as a few files can make it."""
    draw = random.Random(seed)
    for _ in range(draw.randint(3, 14)):
        path = root / (draw.choice(FOLDERS) + draw.choice(NAMES))
        path.parent.mkdir(parents=True, exist_ok=True)
        text = draw.choice(["\n", "\r\n", "\r"]).join(draw.choices(CONTENT, k=draw.randint(1, 6)))
        coding = draw.choice(CODINGS)
        raw = (b"\xfe\xff" if coding == "utf-16-be" else b"") + text.encode(coding, "replace")
        if not path.is_dir():
            path.write_bytes(raw + draw.choice([b"", b"", b"\0bin needle\n", b"\n"]))
    for folder in draw.sample(["", "sub/", "sub/deep/"], 2):
        if draw.random() < 0.6 and (root / folder).is_dir():
            (root / folder / ".gitignore").write_text("\n".join(draw.sample(RULES, 2)) + "\n")
    if draw.random() < 0.3:
        (root / "sub").mkdir(exist_ok=True)
        (root / "sub" / draw.choice(["CACHEDIR.TAG", "pyvenv.cfg"])).touch()
    if draw.random() < 0.5 and not (root / "link").exists():
        (root / "link").symlink_to(draw.choice(["/etc", "sub", "a.py", "nowhere"]))
    if (root / ".env").exists() and not (root / "other-name").exists():
        os.link(root / ".env", root / "other-name")


def matches(text: str) -> str:
    """An answer without the number of files looked into: what is no text is only counted out where it was looked at."""
    return re.sub(r" in \d+ files(?=[;)])", "", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("near", "first"),
    [(150, 1000), pytest.param(0, 1000, marks=pytest.mark.prove), pytest.param(2, 1000, marks=pytest.mark.prove), (0, 1)],
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.sampled_from(PATTERNS), st.sampled_from(["*", "*.py", "sub/**/*", "**/a*"]), st.integers(0, 2))
def test_ripgrep_and_our_own_search_give_the_same_answer(
    tmp_path: Path, near: int, first: int, seed: int, pattern: str, glob: str, around: int
) -> None:
    root = tmp_path / f"{seed}-{random.random()}"
    root.mkdir()
    try:
        plant(root, seed)
        ours = GrepCodebase(ToolContext(root), program="").search(pattern, glob=glob, context=around)
        limits = Limits(near=near, first=first)  # as in a large tree: only some of it is looked at, and only some of the hits
        grep = GrepCodebase(ToolContext(root), program=BESIDE, limits=limits)

        assert matches(grep.search(pattern, glob=glob, context=around)) == matches(ours)
        assert matches(grep.search(pattern, glob=glob, context=around)) == matches(ours)
    finally:
        shutil.rmtree(root)


@pytest.fixture
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A ripgrep, and a file in which it writes down what it was called with and which files it then looks into."""
    folder = tmp_path_factory.mktemp("bin")
    told = folder / "told"
    script = folder / "rg"
    script.write_text(
        f"""#!/bin/sh
        env >> "{told}.env"; printf "%s\\n" "$@" >> "{told}.argv"; cat > "{told}.stdin"
        for one in "$@"; do shift; [ "$one" = --count ] || set -- "$@" "$one"; done
        "{BESIDE}" --files "$@" < "{told}.stdin" >> "{told}.files"
        exec "{BESIDE}" --count "$@" < "{told}.stdin"
        """
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script), told


def test_with_no_match_in_files_named_so_a_few_of_the_others_are_shown(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("nothing here\n")
    for number in range(7):
        (tmp_path / f"{number}.txt").write_text("helium\n")
    for program in ("", None):
        grep = GrepCodebase(ToolContext(tmp_path), program=program)
        assert grep.search("helium", glob="*.py").splitlines() == [
            *(f"{number}.txt:1: helium" for number in range(5)),
            "(no match in files named '*.py', these are named otherwise; 5 of 7 matches in 7 files shown; narrow the search)",
        ]
        assert grep.search("argon", glob="*.py") == "(no match for 'argon' in 1 files)"


@pytest.mark.slow
@pytest.mark.parametrize("glob", ["*", "*.py"])
def test_ripgrep_looks_into_no_other_files_than_we_would(tmp_path: Path, program: tuple[str, Path], glob: str) -> None:
    looked_into = 0
    for seed in range(40):
        root = tmp_path / str(seed)
        root.mkdir()
        plant(root, seed)
        context = ToolContext(root)
        listing = Tree(context).files(root, wanted(glob), time.monotonic() + 10)
        text = GrepCodebase(context, program=program[0]).search(".", glob=glob)
        files = program[1].with_suffix(".files")
        told = set(files.read_text().split("\0")) - {""} if files.exists() else set()
        files.unlink(missing_ok=True)
        if "no match" in text:  # then files named otherwise were searched, too
            continue

        assert told <= {f"./{folder}{name}" for folder, names in listing.chunks for name in names}
        looked_into += len(told)
    assert looked_into > 5


@pytest.mark.slow
def test_ripgrep_that_starts_before_the_tree_is_known_stays_out_of_what_is_protected_or_made_by_tools(
    tmp_path: Path, program: tuple[str, Path]
) -> None:
    for name in (
        "a/.env",
        "a/.ENV.x",
        "a/.git/config",
        "b/.Ssh/id",
        "b/node_modules/x.py",
        "b/.ruff_cache/y",
        "c/closed/z.py",
        "c/d.py",
    ):
        (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / name).write_text("canary\n")
    context = ToolContext(tmp_path / "work", closed=(tmp_path / "work/c/closed",))
    for glob in ("*", "*.py"):
        grep = GrepCodebase(context, program=program[0], limits=Limits(near=0))
        assert grep.search("canary", glob=glob) == "c/d.py:1: canary"
        told = program[1].with_suffix(".files")
        assert told.read_text().split("\0") == ["./c/d.py", ""]
        told.unlink()


def test_folders_ignored_far_down_are_passed_by_once_they_are_known(tmp_path: Path) -> None:
    for name in ("a/b/made/x.txt", "a/b/seen.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("needle\n")
    (tmp_path / "a/.gitignore").write_text("made/\n")
    tree = Tree(ToolContext(tmp_path), Limits(near=0))

    near = tree.near(tmp_path)
    assert near is not None
    assert not near.whole
    assert tree.files(tmp_path, None, time.monotonic() + 9).left_out == ["a/b/made"]
    assert tree.near(tmp_path) is None


@pytest.mark.parametrize("near", [0, 150])
@pytest.mark.parametrize("program", ["", BESIDE])
def test_nothing_protected_is_found_by_any_name(tmp_path: Path, program: str, near: int) -> None:
    root = tmp_path / "work"
    closed = root / "agents"
    for name in (
        ".env",
        ".ENV.local",
        "a/.env.prod",
        ".git/config",
        ".ssh/id",
        "a/.foundry.json",
        "agents/x/agent.config.json",
        ".ｅnv",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("canary\n")
    os.link(root / ".env", root / "notes.txt")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.txt").write_text("canary\n")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "seen.txt").write_text("canary\n")
    (root / "b.txt").write_text("other\n")

    grep = GrepCodebase(ToolContext(root, closed=(closed,)), program=program, limits=Limits(near=near))
    assert grep.search("canary") == "seen.txt:1: canary"


def test_ripgrep_gets_no_options_from_elsewhere(
    tmp_path: Path, program: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf").write_text("--follow\n--pre=cat\n")
    monkeypatch.setenv("RIPGREP_CONFIG_PATH", str(tmp_path / "conf"))
    for name in ("a.txt", "--pre=sh.txt", "b"):
        (root := tmp_path / "work").mkdir(exist_ok=True)
        (root / name).write_text("canary --pre=sh\n")

    text = GrepCodebase(ToolContext(root), program=program[0]).search("--pre=sh", glob="*.txt")

    assert text == "--pre=sh.txt:1: canary --pre=sh\na.txt:1: canary --pre=sh"
    assert "RIPGREP" not in program[1].with_suffix(".env").read_text()
    argv = program[1].with_suffix(".argv").read_text().splitlines()
    assert "--no-config" in argv
    assert argv.index("--") == len(argv) - 2


def test_ripgrep_from_path_goes_before_the_one_beside_python_but_not_one_in_the_folder(
    tmp_path: Path, program: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(program[0]).parent}:{os.environ['PATH']}")
    assert ripgrep(tmp_path) == program[0]
    assert ripgrep(Path(program[0]).parent) == BESIDE


def test_a_ripgrep_that_fails_is_done_without(tmp_path: Path) -> None:
    broken = tmp_path / "rg"
    broken.write_text("#!/bin/sh\necho broken >&2\nexit 2\n")
    broken.chmod(0o755)
    root = tmp_path / "work"
    root.mkdir()
    for name in ("a", "b"):
        (root / name).write_text("needle\n")

    assert GrepCodebase(ToolContext(root), program=str(broken)).search("needle") == "a:1: needle\nb:1: needle"


# What is known of a tree ---------------------------------------------------------------------------------------------


def test_what_changes_between_two_searches_is_seen(tmp_path: Path) -> None:
    for name in ("a/one.txt", "a/b/two.txt", "c/three.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("needle\n")
    grep = GrepCodebase(ToolContext(tmp_path), limits=Limits(coarse=0))  # as if all of it were old

    def found() -> list[str]:
        return [line.partition(":")[0] for line in grep.search("needle").splitlines()]

    assert found() == ["a/b/two.txt", "a/one.txt", "c/three.txt"]
    (tmp_path / "a/b/new.txt").write_text("needle\n")
    assert found() == ["a/b/new.txt", "a/b/two.txt", "a/one.txt", "c/three.txt"]
    (tmp_path / ".gitignore").write_text("two.txt\n")
    assert found() == ["a/b/new.txt", "a/one.txt", "c/three.txt"]
    (tmp_path / ".gitignore").write_text("new.txt # longer\nnew.txt\n")
    assert found() == ["a/b/two.txt", "a/one.txt", "c/three.txt"]
    (tmp_path / "c/CACHEDIR.TAG").touch()
    assert found() == ["a/b/two.txt", "a/one.txt"]
    (tmp_path / "c/CACHEDIR.TAG").unlink()
    shutil.rmtree(tmp_path / "a/b")
    (tmp_path / "a/b").symlink_to(tmp_path / "c")
    assert found() == ["a/one.txt", "c/three.txt"]


def test_a_tree_deeper_than_the_stack_is_searched(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    with os.fdopen(os.open("x.txt", os.O_WRONLY | os.O_CREAT, dir_fd=handle), "w") as file:
        file.write("needle\n")
    os.close(handle)
    (tmp_path / "a.txt").write_text("needle\n")

    try:
        for program in ("", BESIDE):
            lines = GrepCodebase(ToolContext(tmp_path), program=program).search("needle").splitlines()
            assert lines == ["a.txt:1: needle", f"{'d/' * 1200}x.txt:1: needle"]
    finally:  # pytest's own cleaning up does not get so deep
        subprocess.run(["rm", "-rf", "d"], cwd=tmp_path, check=True)
