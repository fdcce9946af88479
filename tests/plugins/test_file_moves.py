"""Files moved and deleted by a model, and what no file tool may touch: never outside the working folder."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundry.plugins.api import Plan, ToolContext, ToolError
from foundry.plugins.standard_lib.read_write_code import ReadWriteCode
from tests.plugins.worlds import world, write

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
    before = world(folder.parent)

    with pytest.raises(ToolError) as raised:
        tools.move(path, to).do()

    assert said in str(raised.value)
    assert world(folder.parent) == before


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
        write(folder / f"many/{n}", "")
    with write(folder / "big/file", "").open("wb") as file:
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
    write(folder / "a.txt", "mine\n")
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
            write(folder / one, "KEY=canary\n")
        write(folder / "closed/notes.txt", "KEY=canary\n")
        os.link(folder / ".env", folder / "hard")
    elif name == "hard":
        pytest.skip("a second name of nothing")
    before = world(folder)
    tools = ReadWriteCode(ToolContext(folder, closed=(folder / "closed",)))

    if name == "to-env" and route in ("move from", "delete"):  # the link itself is no secret
        assert isinstance(plan := ROUTES[route](tools, name), Plan)
        assert plan.preview.changes == ()
        return
    with pytest.raises(ToolError) as raised:
        ROUTES[route](tools, name)

    assert "canary" not in str(raised.value)
    assert world(folder) == before


@pytest.mark.parametrize("route", ["delete", "move from"])
def test_a_folder_with_something_protected_in_it_stays(tools: ReadWriteCode, folder: Path, route: str) -> None:
    write(folder / "sub/in/.env", "KEY=canary\n")

    with pytest.raises(ToolError, match=r"sub/in/\.env is protected"):
        ROUTES[route](tools, "sub")


@pytest.mark.parametrize("name", ["agent.config.json", "AGENT.config.JSON", "sub/agent.config.json", "agent.config.json."])
@pytest.mark.parametrize("route", ["write", "edit", "move from", "move to", "delete"])
def test_no_file_tool_changes_an_agents_rules(tools: ReadWriteCode, folder: Path, route: str, name: str) -> None:
    write(folder / "a.txt", "KEY")
    if route not in ("write", "move to"):
        write(folder / name, "{}")

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
    write(folder.parent / "secret.txt", "outside")
    for link, target in (("out", ".."), ("in", "a"), ("loop", "loop")):
        if not os.path.lexists(folder / link):
            (folder / link).symlink_to(target)
    write(folder / ".ENV", "KEY")
    write(folder / "a/file", "KEY")
    outside = world(folder.parent, but=folder)
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

    assert world(folder.parent, but=folder) == outside
    assert (folder / ".ENV").read_text() == "KEY"


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
