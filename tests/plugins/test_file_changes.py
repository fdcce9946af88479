"""Files written, edited, moved and deleted by a model: shown first, done exactly so, and never outside the working folder."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from foundry.plugins.api import Changed, Plan, ToolContext, ToolError
from foundry.plugins.standard_lib.read_write_code import ReadWriteCode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The working folder of the tools, beside things that are not theirs."""
    made = tmp_path / "work"
    made.mkdir()
    return made


@pytest.fixture
def tools(folder: Path) -> ReadWriteCode:
    return ReadWriteCode(ToolContext(folder))


# write_file ----------------------------------------------------------------------------------------------------------


def test_a_new_file_is_shown_first_and_there_only_when_done(tools: ReadWriteCode, folder: Path) -> None:
    plan = tools.write_file("src/app.py", "print(1)\n")

    assert plan.preview.summary == "Write the new file src/app.py"
    assert [(one.path, one.before, one.after) for one in plan.preview.changes] == [(folder / "src/app.py", None, b"print(1)\n")]
    assert plan.preview.paths == (folder / "src/app.py",)
    assert plan.preview.scope == f"files in {folder}"
    assert not (folder / "src").exists()
    assert plan.do() == "Wrote src/app.py."
    assert (folder / "src/app.py").read_bytes() == b"print(1)\n"


def test_a_new_file_gets_the_mode_of_any_new_file_and_a_replaced_one_keeps_its_own(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "run.sh").write_text("echo 1\n")
    (folder / "run.sh").chmod(0o750)
    (folder / "ordinary").write_text("")

    tools.write_file("run.sh", "echo 2\n").do()
    tools.write_file("new.txt", "x").do()

    assert stat.S_IMODE((folder / "run.sh").stat().st_mode) == 0o750
    assert (folder / "new.txt").stat().st_mode == (folder / "ordinary").stat().st_mode
    assert sorted(one.name for one in folder.iterdir()) == ["new.txt", "ordinary", "run.sh"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_replaced_file_keeps_its_owner(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "a.txt").write_text("1")
    os.chown(folder / "a.txt", 12345, 54321)

    tools.write_file("a.txt", "2").do()

    assert ((folder / "a.txt").stat().st_uid, (folder / "a.txt").stat().st_gid) == (12345, 54321)


@pytest.mark.parametrize(
    ("before", "content", "after"),
    [
        (b"a\r\nb\r\n", "x\ny\n", b"x\r\ny\r\n"),
        (b"a\r\nb\r\n", "x\r\ny\r\n", b"x\r\ny\r\n"),
        (b"a\nb\n", "x\r\ny\r\n", b"x\ny\n"),
        (b"a\rb\r", "x\ny\n", b"x\ry\r"),
        (b"a\r\nb\nc\r\n", "x\ny\n", b"x\r\ny\r\n"),
        (b"\xef\xbb\xbfa\n", "x\n", b"\xef\xbb\xbfx\n"),
        (b"\xef\xbb\xbfa\n", "\ufeffx\n", b"\xef\xbb\xbfx\n"),
        ("grün\n".encode("latin-1"), "blau für alle\n", "blau für alle\n".encode("latin-1")),
        ("a\r\n".encode("utf-16"), "ö\n", b"\xff\xfe" + "ö\r\n".encode("utf-16-le")),
        (b"\xfe\xff" + "a\n".encode("utf-16-be"), "ö\n", b"\xfe\xff" + "ö\n".encode("utf-16-be")),
        ("a\n".encode("utf-32"), "ö\n", "ö\n".encode("utf-32")),
        (b"", "x\r\n", b"x\n"),
        (b"x", "", b""),
    ],
)
def test_encoding_mark_and_line_ends_of_the_file_are_kept(
    tools: ReadWriteCode, folder: Path, before: bytes, content: str, after: bytes
) -> None:
    (folder / "t.txt").write_bytes(before)

    plan = tools.write_file("t.txt", content)
    plan.do()

    assert (plan.preview.changes[0].before, plan.preview.changes[0].after) == (before, after)
    assert (folder / "t.txt").read_bytes() == after


def test_a_new_file_has_the_line_ends_it_was_given(tools: ReadWriteCode, folder: Path) -> None:
    tools.write_file("dos.bat", "echo 1\r\n").do()

    assert (folder / "dos.bat").read_bytes() == b"echo 1\r\n"


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("", "x", "The path is empty"),
        (".", "x", "working folder itself"),
        ("sub", "x", "sub is a folder"),
        ("image.png", "x", "image.png is no text: PNG image"),
        ("latin.txt", "5 €", "latin-1, which has no '€'"),
        ("broken16.txt", "x", "not clean utf-16"),
        ("same.txt", "same\n", "says exactly that already"),
        ("fixed.txt", "x", "read-only"),
        ("link.txt", "x", "link.txt is a link"),
        ("dangling", "x", "dangling is a link"),
        ("pipe", "x", "no regular file"),
        ("new.txt", "a\0b", "NUL"),
        ("new.txt", "half \ud83d", "half a character"),
        ("new.txt", "x" * (4 * 1024 * 1024 + 1), "more than 4 MiB"),
        ("same.txt/below", "x", "same.txt"),
        ("a\nb", "x", "U+000A"),
        ("inv\u200bisible", "x", "U+200B"),
        ("gpj.\u202eexe", "x", "U+202E"),
        ("x" * 256, "x", "name too long"),
        ("../out.txt", "x", "outside"),
        ("out/new.txt", "x", "outside"),
    ],
)
def test_what_is_not_written_says_why(tools: ReadWriteCode, folder: Path, path: str, content: str, said: str) -> None:
    (folder / "sub").mkdir()
    (folder / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "latin.txt").write_bytes("grün".encode("latin-1"))
    (folder / "broken16.txt").write_bytes(b"\xff\xfea\0\0\xd8")
    (folder / "same.txt").write_text("same\n")
    (folder / "fixed.txt").write_text("x\n")
    (folder / "fixed.txt").chmod(0o444)
    (folder / "link.txt").symlink_to("same.txt")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "out").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe")
    before = _world(folder.parent)

    with pytest.raises(ToolError) as raised:
        tools.write_file(path, content).do()

    assert said.lower() in str(raised.value).lower()
    assert _world(folder.parent) == before


# edit_file -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"a = 1\nb = 2\n", "b = 2", "b = 3", b"a = 1\nb = 3\n"),
        (b"a\r\nb\r\nc\r\n", "a\nb", "x\ny\nz", b"x\r\ny\r\nz\r\nc\r\n"),
        (b"a\r\nb\r\nc\r\n", "b\n", "", b"a\r\nc\r\n"),
        (b"a\nb\r\nc\n", "b\nc", "B\nC", b"a\nB\r\nC\n"),
        (b"a\nb\r\nc\n", "a", "A\nA", b"A\nA\nb\r\nc\n"),
        (b"10%\r50%\rdone\n", "done", "over", b"10%\r50%\rover\n"),
        (b"\xef\xbb\xbfkey\n", "key", "value", b"\xef\xbb\xbfvalue\n"),
        ("grün \x85\n".encode("latin-1"), "grün", "gelb", "gelb \x85\n".encode("latin-1")),
        (b"end", "end", "end\n", b"end\n"),
    ],
)
def test_only_the_text_named_is_changed(
    tools: ReadWriteCode, folder: Path, before: bytes, old: str, new: str, after: bytes
) -> None:
    (folder / "t.txt").write_bytes(before)

    tools.edit_file("t.txt", old, new).do()

    assert (folder / "t.txt").read_bytes() == after


LINES = st.lists(
    st.tuples(st.text(st.sampled_from("abc é\t\x0c\u2028"), max_size=4), st.sampled_from(["\n", "\r\n", "\r"])), max_size=8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, ends=st.tuples(st.integers(0, 40), st.integers(0, 40)), new=st.text(st.sampled_from("xyz\n"), max_size=3))
def test_all_that_surrounds_an_edit_stays_byte_for_byte(
    tools: ReadWriteCode, folder: Path, lines: list[tuple[str, str]], ends: tuple[int, int], new: str
) -> None:
    text = "".join(line + end for line, end in lines)
    marked = "".join(f"{line}<{n}>{end}" for n, (line, end) in enumerate(lines))  # so that every part is there once
    unified = marked.replace("\r\n", "\n").replace("\r", "\n")
    start, stop = sorted(min(one, len(unified)) for one in ends)
    assume(text and start < stop and unified.count(unified[start:stop]) == 1)
    (folder / "t.txt").write_bytes(marked.encode())

    try:
        tools.edit_file("t.txt", unified[start:stop], new).do()
    except ToolError as error:
        assert "two line ends would become one" in str(error) and "\r" in marked.replace("\r\n", "")  # noqa: PT017, PT018
        assert (folder / "t.txt").read_bytes() == marked.encode()
        return

    after = (folder / "t.txt").read_bytes().decode()
    assert after.replace("\r\n", "\n").replace("\r", "\n") == unified[:start] + new + unified[stop:]
    first, last = unified.count("\n", 0, start), unified.count("\n", 0, stop)
    kept = [f"{line}<{n}>{end}" for n, (line, end) in enumerate(lines)]
    assert after.startswith("".join(kept[:first]))
    assert after.endswith("".join(kept[last + 1 :]))


def test_several_places_are_named_and_changed_only_on_request(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "t.py").write_text("x = 1\ny = 1\nz = 1\n")

    with pytest.raises(ToolError, match=r"3 times, at lines 1, 2, 3\. Give a line before or after it too.*or all=true"):
        tools.edit_file("t.py", "= 1", "= 2")
    plan = tools.edit_file("t.py", "= 1", "= 2", all=True)

    assert plan.preview.summary == "Change t.py at lines 1, 2, 3"
    assert plan.do() == "Changed t.py at lines 1, 2, 3."
    assert (folder / "t.py").read_text() == "x = 2\ny = 2\nz = 2\n"


CODE = 'def greet(name):\n    if name:\n\t\treturn "Hello " + name\n    return "Nobody"\n\n\ndef leave():\n    pass\n'


@pytest.mark.parametrize(
    ("old", "said"),
    [
        ("if name:\n", None),
        ("  if name:\n    return", "The nearest is this"),
        ('if name:\nreturn "Hello " + name', "another indentation"),
        ('    if name:\n        return "Hello " + name', "tabs where old has blanks"),
        ("    if name:  ", "blanks at the ends of lines"),
        ("    if  name:", "other blanks in its lines"),
        ("    return \u201cNobody\u201d", "other quotes, dashes or blanks"),
        ('    Return "nobody"', "upper and lower case"),
        ("7: def leave():\n8:     pass", "without the line numbers"),
        ("def leaves(self):", "7: def leave():"),
        ("the quick brown fox", "nor anything like it"),
        ("", "old is empty"),
    ],
)
def test_a_miss_says_what_is_there_instead(tools: ReadWriteCode, folder: Path, old: str, said: str | None) -> None:
    (folder / "t.py").write_text(CODE)

    if said is None:
        tools.edit_file("t.py", old, "if True:\n").do()
        return
    with pytest.raises(ToolError) as raised:
        tools.edit_file("t.py", old, "new")

    assert said in str(raised.value)


def test_a_change_made_before_is_recognised(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "t.py").write_text(CODE)

    with pytest.raises(ToolError, match="new is there already, at line 7"):
        tools.edit_file("t.py", "def go_away():", "def leave():")
    with pytest.raises(ToolError, match="nothing would change"):
        tools.edit_file("t.py", "pass", "pass")
    with pytest.raises(ToolError, match="There is no absent"):
        tools.edit_file("absent", "a", "b")


@pytest.mark.parametrize("many", [3, 20_000])
def test_a_miss_is_short_and_quick_also_in_a_large_file(tools: ReadWriteCode, folder: Path, many: int) -> None:
    (folder / "t.txt").write_text("".join(f"this is line number {n} of the file\n" for n in range(many)))

    with pytest.raises(ToolError) as raised:
        tools.edit_file("t.txt", "this is a line numbered 2 of the file\n" * 50, "x")

    assert "this is line number 2 of the file" in str(raised.value)
    assert len(str(raised.value)) < 2000


# move ----------------------------------------------------------------------------------------------------------------


def test_a_file_is_moved_with_its_mode(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "a.sh").write_text("1")
    (folder / "a.sh").chmod(0o700)

    plan = tools.move("a.sh", "deep/er/b.sh")

    assert plan.preview.summary == "Move a.sh (1 byte) to deep/er/b.sh"
    assert plan.preview.paths == (folder / "a.sh", folder / "deep/er/b.sh")
    assert not (folder / "deep").exists()
    assert plan.do() == "Moved a.sh to deep/er/b.sh."
    assert stat.S_IMODE((folder / "deep/er/b.sh").stat().st_mode) == 0o700
    assert not (folder / "a.sh").exists()


def test_a_folder_is_moved_with_all_its_paths_named(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "old/in").mkdir(parents=True)
    (folder / "old/in/a").write_text("1")
    (folder / "old/link").symlink_to("in")

    plan = tools.move("old", "new")

    assert plan.preview.summary == "Move the folder old (1 file, 1 folder, 1 link, 1 byte) to new"
    assert {one.relative_to(folder).as_posix() for one in plan.preview.paths} == {
        *("old", "old/in", "old/in/a", "old/link"),
        *("new", "new/in", "new/in/a", "new/link"),
    }
    plan.do()
    assert (folder / "new/in/a").read_text() == "1"
    assert (folder / "new/link").readlink() == Path("in")


def test_a_folder_takes_in_what_is_moved_to_it(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "a").write_text("1")

    assert tools.move("a", "sub").do() == "Moved a to sub/a."
    assert tools.move("sub/a", ".").do() == "Moved sub/a to a."


def test_a_name_may_change_in_case_only(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "readme").write_text("1")

    tools.move("readme", "README").do()

    assert [one.name for one in folder.iterdir()] == ["README"]


@pytest.mark.parametrize(
    ("path", "to", "said"),
    [
        ("none", "x", "There is no none"),
        ("a", "b", "There is a b already"),
        ("a", "a", "already there"),
        ("d", "d/e/f", "cannot be moved into itself"),
        ("a", "", "The path is empty"),
        (".", "x", "working folder itself"),
        ("a", "../x", "outside"),
        ("a", "out/x", "outside"),
        ("a", "b\x1b[2J", "U+001B"),
        ("pipe", "x", "no regular file"),
    ],
)
def test_what_is_not_moved_says_why(tools: ReadWriteCode, folder: Path, path: str, to: str, said: str) -> None:
    (folder / "a").write_text("1")
    (folder / "b").write_text("2")
    (folder / "d").mkdir()
    (folder / "out").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe")
    before = _world(folder.parent)

    with pytest.raises(ToolError) as raised:
        tools.move(path, to).do()

    assert said in str(raised.value)
    assert _world(folder.parent) == before


# delete --------------------------------------------------------------------------------------------------------------


def test_a_deleted_folder_is_shown_whole(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "old/in").mkdir(parents=True)
    (folder / "old/in/a").write_text("one")
    (folder / "old/b").write_text("two")
    (folder / "kept").write_text("kept")

    plan = tools.delete("old/")

    assert plan.preview.summary == "Delete the folder old (2 files, 1 folder, 6 bytes)"
    assert [(one.path.relative_to(folder).as_posix(), one.before, one.after) for one in plan.preview.changes] == [
        ("old/b", b"two", None),
        ("old/in/a", b"one", None),
    ]
    assert plan.do() == "Deleted the folder old (2 files, 1 folder, 6 bytes)."
    assert [one.name for one in folder.iterdir()] == ["kept"]


@pytest.mark.parametrize("name", ["link", "link/", "link/.", "./link//"])
def test_a_deleted_link_leaves_what_it_leads_to(tools: ReadWriteCode, folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "treasure").mkdir()
    (tmp_path / "treasure/gold").write_text("au")
    (folder / "link").symlink_to(tmp_path / "treasure")

    plan = tools.delete(name)

    assert plan.preview.summary == f"Delete the link link to {tmp_path / 'treasure'}"
    plan.do()
    assert not os.path.lexists(folder / "link")
    assert (tmp_path / "treasure/gold").read_text() == "au"


def test_too_much_is_not_deleted_at_once(tools: ReadWriteCode, folder: Path) -> None:
    for n in range(501):
        _write(folder / f"many/{n}", "")
    with _write(folder / "big/file", "").open("wb") as file:
        file.truncate(17 * 1024 * 1024)

    with pytest.raises(ToolError, match="more than 500 files"):
        tools.delete("many")
    with pytest.raises(ToolError, match="16 MiB"):
        tools.delete("big")


def test_a_folder_in_folders_without_end_is_refused(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "/".join("d" * 400)).mkdir(parents=True)

    plan = tools.delete("d")

    plan.do()
    assert not list(folder.iterdir())


# what is protected ---------------------------------------------------------------------------------------------------

ROUTES: dict[str, Callable[[ReadWriteCode, str], Plan | str]] = {
    "read": lambda tools, path: tools.read_file(path),
    "list": lambda tools, path: tools.list_files(path),
    "write": lambda tools, path: tools.write_file(path, "x\n"),
    "write below": lambda tools, path: tools.write_file(f"{path}/x", "x\n"),
    "edit": lambda tools, path: tools.edit_file(path, "KEY", "x"),
    "move from": lambda tools, path: tools.move(path, "elsewhere"),
    "move to": lambda tools, path: tools.move("a.txt", path),
    "move below": lambda tools, path: tools.move("a.txt", f"{path}/x"),
    "delete": lambda tools, path: tools.delete(path),
}
NAMES = [
    *(".env", ".ENV", ".Env.local", ".git", ".GIT", ".git/config", ".git/hooks/pre-commit", ".foundry", ".foundry.json"),
    *(
        "sub/.env",
        "sub/../.env",
        "./.env",
        "link/.env",
        "to-env",
        "sub/.git/config",
        "hard",
        "closed/notes.txt",
        "to-closed/notes.txt",
    ),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("present", [True, False])
def test_no_route_leads_to_what_is_protected(folder: Path, route: str, name: str, present: bool) -> None:
    _write(folder / "a.txt", "mine\n")
    (folder / "sub").mkdir()
    (folder / "link").symlink_to(".")
    (folder / "to-env").symlink_to(".env")
    (folder / "to-closed").symlink_to("closed")
    if present:
        for one in (
            ".env",
            ".ENV",
            ".Env.local",
            ".git/config",
            ".GIT/x",
            ".foundry/x",
            ".foundry.json",
            "sub/.env",
            "sub/.git/config",
        ):
            _write(folder / one, "KEY=canary\n")
        _write(folder / "closed/notes.txt", "KEY=canary\n")
        os.link(folder / ".env", folder / "hard")
    elif name == "hard":
        pytest.skip("a second name of nothing")
    before = _world(folder)
    tools = ReadWriteCode(ToolContext(folder, closed=(folder / "closed",)))

    if name == "to-env" and route in ("move from", "delete"):  # the link itself is no secret
        assert isinstance(plan := ROUTES[route](tools, name), Plan)
        assert plan.preview.changes == ()
        return
    with pytest.raises(ToolError) as raised:
        ROUTES[route](tools, name)

    assert "canary" not in str(raised.value)
    assert _world(folder) == before


@pytest.mark.parametrize("route", ["delete", "move from"])
def test_a_folder_with_something_protected_in_it_stays(tools: ReadWriteCode, folder: Path, route: str) -> None:
    _write(folder / "sub/in/.env", "KEY=canary\n")

    with pytest.raises(ToolError, match=r"sub/in/\.env is protected"):
        ROUTES[route](tools, "sub")


@pytest.mark.parametrize("name", ["agent.config.json", "AGENT.config.JSON", "sub/agent.config.json", "agent.config.json."])
@pytest.mark.parametrize("route", ["write", "edit", "move from", "move to", "delete"])
def test_no_file_tool_changes_an_agents_rules(tools: ReadWriteCode, folder: Path, route: str, name: str) -> None:
    _write(folder / "a.txt", "KEY")
    if route not in ("write", "move to"):
        _write(folder / name, "{}")

    with pytest.raises(ToolError, match="holds an agent's rules"):
        ROUTES[route](tools, name)


def test_another_name_of_a_file_outside_is_let_go_not_written(tools: ReadWriteCode, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.txt").write_text("theirs\n")
    os.link(tmp_path / "theirs.txt", folder / "mine.txt")

    plan = tools.edit_file("mine.txt", "theirs", "mine")
    plan.do()

    assert "hard link" in plan.preview.summary
    assert (tmp_path / "theirs.txt").read_text() == "theirs\n"
    assert (folder / "mine.txt").read_text() == "mine\n"


PARTS = st.sampled_from(["..", ".", "", "a", "out", "in", "loop", ".git", ".ENV", "~", "/", "a/b", "\0", "file", "x" * 300])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.text(max_size=6) | st.lists(PARTS | st.text(max_size=3), max_size=5).map("/".join),
    other=st.lists(PARTS | st.text(max_size=3), max_size=4).map("/".join),
    route=st.sampled_from(["write", "edit", "move", "delete"]),
)
def test_whatever_the_path_nothing_outside_changes(folder: Path, path: str, other: str, route: str) -> None:
    _write(folder.parent / "secret.txt", "outside")
    for link, target in (("out", ".."), ("in", "a"), ("loop", "loop")):
        if not os.path.lexists(folder / link):
            (folder / link).symlink_to(target)
    _write(folder / ".ENV", "KEY")
    _write(folder / "a/file", "KEY")
    outside = _world(folder.parent, but=folder)
    tools = ReadWriteCode(ToolContext(folder))

    try:
        plan = {
            "write": lambda: tools.write_file(path, "x"),
            "edit": lambda: tools.edit_file(path, "KEY", "x"),
            "move": lambda: tools.move(path, other),
            "delete": lambda: tools.delete(path),
        }[route]()
        assert all(one.is_relative_to(folder) for one in plan.preview.paths)
        plan.do()
    except ToolError:
        pass

    assert _world(folder.parent, but=folder) == outside
    assert (folder / ".ENV").read_text() == "KEY"


# what changes meanwhile ----------------------------------------------------------------------------------------------

PLANS: dict[str, Callable[[ReadWriteCode], Plan]] = {
    "write": lambda tools: tools.write_file("d/t.txt", "new\n"),
    "create": lambda tools: tools.write_file("d/new.txt", "new\n"),
    "create below": lambda tools: tools.write_file("d/e/f/new.txt", "new\n"),
    "edit": lambda tools: tools.edit_file("d/t.txt", "old", "new"),
    "move": lambda tools: tools.move("d/t.txt", "d/new.txt"),
    "move away": lambda tools: tools.move("d/t.txt", "e/f/t.txt"),
    "move folder": lambda tools: tools.move("d", "e"),
    "delete": lambda tools: tools.delete("d/t.txt"),
    "delete folder": lambda tools: tools.delete("d"),
}


def _to_link(path: Path, target: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"was-{os.urandom(4).hex()}"))
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _replaced(path: Path) -> Path:
    path.unlink()
    return path


def _flicker(work: Path, name: str, inside: bool, outside: Path) -> None:
    """Make a link of what has a name in `work`, or in its folder d, and then what it was; never through a link itself."""
    with suppress(OSError):
        os.mkdir(work / "d")  # noqa: PTH102
    handle = os.open(work / "d" if inside else work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with suppress(OSError):
            os.rename(name, f"was-{os.urandom(4).hex()}", src_dir_fd=handle, dst_dir_fd=handle)
        os.symlink(outside / name if "." in name else outside, name, dir_fd=handle)
        os.unlink(name, dir_fd=handle)
        if name == "t.txt":
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, dir_fd=handle)
            os.write(file, b"old\n")
            os.close(file)
    finally:
        os.close(handle)


SWAPS: dict[str, Callable[[Path, Path], None]] = {
    "the file is a link to one outside": lambda work, out: _to_link(work / "d/t.txt", out / "t.txt"),
    "the file is a link to another inside": lambda work, out: _to_link(work / "d/t.txt", work / "other.txt"),
    "the new name is a link to one outside": lambda work, out: _to_link(work / "d/new.txt", out / "t.txt"),
    "the new name leads to an absent one": lambda work, out: _to_link(work / "d/new.txt", out / "absent.txt"),
    "the folder is a link to one outside": lambda work, out: _to_link(work / "d", out),
    "a folder to be made is a link": lambda work, out: _to_link(work / "d/e", out),
    "another folder to be made is a link": lambda work, out: _to_link(work / "e", out),
    "the working folder is a link": lambda work, out: _to_link(work, out),
    "the content is another": lambda work, out: _overwrite(work / "d/t.txt", "theirs\n"),
    "the file is gone": lambda work, out: (work / "d/t.txt").unlink(),
    "the file is a folder": lambda work, out: _replaced(work / "d/t.txt").mkdir(),
    "the file is a pipe": lambda work, out: os.mkfifo(_replaced(work / "d/t.txt")),
    "the new name is taken": lambda work, out: _overwrite(work / "d/new.txt", "theirs\n"),
    "a file more is in the folder": lambda work, out: _overwrite(work / "d/more.txt", "theirs\n"),
}


@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("kind", PLANS)
def test_what_was_swapped_since_it_was_shown_is_noticed(tmp_path: Path, folder: Path, kind: str, swap: str) -> None:
    outside = tmp_path / "outside"
    for place in (folder / "d/t.txt", outside / "t.txt", folder / "other.txt"):
        _write(place, "old\n")
    (outside / "d").mkdir()
    plan = PLANS[kind](ReadWriteCode(ToolContext(folder)))
    SWAPS[swap](folder, outside)
    before = _world(tmp_path)

    try:
        plan.do()
    except Changed:
        assert _world(tmp_path) == before
        return

    # Done: then what was shown was still so, and the swap was about something else.
    assert not swap.startswith(("the working folder", "the folder is a link"))
    assert _world(outside) == {"d": None, "t.txt": b"old\n"}
    for change in plan.preview.changes:
        assert (change.path.read_bytes() if change.path.exists() else None) == change.after
    theirs = [one for one in _world(folder.resolve()).values() if one == b"theirs\n"]
    assert len(theirs) == ("theirs" in str(before))


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLANS)
def test_a_target_swapped_over_and_over_while_it_is_changed_never_leads_outside(tmp_path: Path, folder: Path, kind: str) -> None:
    """About 500 swaps for each kind of change, by another thread, at whatever moment they fall."""
    outside = tmp_path / "outside"
    _write(outside / "t.txt", "old\n")
    _write(outside / "new.txt", "untouched\n")
    (outside / "e").mkdir()
    world = _world(outside)
    over = threading.Event()
    swaps = 0

    def rival() -> None:
        nonlocal swaps
        while not over.is_set():
            for name, inside in (("t.txt", True), ("new.txt", True), ("e", True), ("d", False), ("e", False)):
                with suppress(OSError):
                    _flicker(folder, name, inside, outside)
                swaps += 1

    thread = threading.Thread(target=rival)
    thread.start()
    done = failed = tries = 0
    try:
        while swaps < 500 or tries < 100:
            tries += 1
            try:
                PLANS[kind](ReadWriteCode(ToolContext(folder))).do()
                done += 1
            except ToolError:
                failed += 1
    finally:
        over.set()
        thread.join()

    assert _world(outside) == world
    assert done + failed == tries


def test_a_rivals_write_is_not_lost(tmp_path: Path, folder: Path) -> None:
    """Two writers of one file that each replace only what they saw: every change that was said to be done is there."""
    _write(folder / "t.txt", "".join(f"- {n}\n" for n in range(40)))
    tools = ReadWriteCode(ToolContext(folder))
    lost: list[int] = []

    def writer(numbers: range) -> None:
        for n in numbers:
            while True:
                try:
                    tools.edit_file("t.txt", f"- {n}\n", f"done {n}\n").do()
                    break
                except Changed:
                    continue
                except ToolError:
                    lost.append(n)
                    break

    threads = [threading.Thread(target=writer, args=(range(start, 40, 2),)) for start in (0, 1)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert not lost
    assert (folder / "t.txt").read_text() == "".join(f"done {n}\n" for n in range(40))
    assert [one.name for one in folder.iterdir()] == ["t.txt"]


def test_a_full_or_forbidden_disk_leaves_the_old_file(tmp_path: Path, folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    _write(folder / "d/t.txt", "old\n")
    plan = ReadWriteCode(ToolContext(folder)).write_file("d/t.txt", "new\n")
    (folder / "d").chmod(0o555)

    with pytest.raises(ToolError, match=r"cannot be changed: Permission denied"):
        plan.do()

    (folder / "d").chmod(0o755)
    assert _world(folder) == {"d": None, "d/t.txt": b"old\n"}


WRITER = """
import sys
from pathlib import Path
from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.read_write_code import ReadWriteCode
tools = ReadWriteCode(ToolContext(Path(sys.argv[1])))
while True:
    for letter in "ab":
        tools.write_file("t.txt", letter * 300_000).do()
        print(letter, flush=True)
"""


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_the_old_text_or_the_new_one(folder: Path) -> None:
    _write(folder / "t.txt", "b" * 300_000)
    for n in range(20):
        writer = subprocess.Popen([sys.executable, "-P", "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(n / 1000)
        writer.kill()
        writer.communicate()

        assert (folder / "t.txt").read_text() in ("a" * 300_000, "b" * 300_000)

    # What a killed one leaves beside it has a name that no tool shows or reads.
    assert {one.name.partition("-")[0] for one in folder.iterdir()} <= {"t.txt", ".foundry"}
    assert ReadWriteCode(ToolContext(folder)).list_files().startswith("t.txt 300.0 kB")


def test_a_new_file_may_stand_in_a_folder_with_an_odd_name(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "odd\u00a0name").mkdir()

    tools.write_file("odd\u00a0name/new.txt", "x").do()

    assert (folder / "odd\u00a0name/new.txt").read_text() == "x"


@given(name=st.text(min_size=1, max_size=8))
def test_no_name_is_made_that_hides_a_character(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("names")

    try:
        ReadWriteCode(ToolContext(folder)).write_file(name, "x").do()
    except ToolError:
        return

    for one in folder.rglob("*"):
        assert not any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Co", "Cn") for char in one.name)


def _write(path: Path, text: str) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return path


def _overwrite(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _world(folder: Path, but: Path | None = None) -> dict[str, object]:
    """Everything below a folder: bytes, links, None for folders."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        if but is not None and path.is_relative_to(but):
            continue
        if path.is_symlink():
            found[path.relative_to(folder).as_posix()] = f"-> {path.readlink()}"
        else:
            found[path.relative_to(folder).as_posix()] = (
                path.read_bytes() if path.is_file() else None if path.is_dir() else "special"
            )
    return found
