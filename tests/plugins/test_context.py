"""The folder a tool may touch: whatever path it is given, it stays inside and away from what is protected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundry.plugins.api import ToolContext, ToolError

PARTS = st.sampled_from(
    ["..", ".", "", "a", "out", "loop", ".git", ".ENV", ".env.local", ".foundry", "~", "/", "a/b", "\0", "x" * 300]
)


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    folder = tmp_path / "work"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "file.txt").write_text("inside")
    (tmp_path / "secret.txt").write_text("outside")
    (folder / "out").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "in").symlink_to(folder / "a")
    return ToolContext(folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text() | st.lists(PARTS | st.text(max_size=3)).map("/".join))
def test_any_path_is_inside_and_unprotected_or_refused(context: ToolContext, path: str) -> None:
    try:
        found = context.path(path)
    except ToolError as error:
        assert "outside" in str(error) or "protected" in str(error)  # noqa: PT017
        return
    inside = found.relative_to(context.folder.resolve())
    assert ".git" not in inside.parts
    assert not any(part.lower().startswith((".env", ".foundry")) for part in inside.parts)
    assert found == found.resolve()


@pytest.mark.parametrize(
    "path", ["../secret.txt", "out/secret.txt", "/etc/passwd", "a/../../secret.txt", "loop/x/../../../..", "a\0"]
)
def test_ways_out_are_refused(context: ToolContext, path: str) -> None:
    with pytest.raises(ToolError, match="outside the folder"):
        context.path(path)


@pytest.mark.parametrize("path", [".env", "a/.env.local", ".GIT/config", ".git", "in/../.Env", ".foundry.json"])
def test_protected_names_are_refused_also_when_absent(context: ToolContext, path: str) -> None:
    with pytest.raises(ToolError, match="protected"):
        context.path(path)


def test_a_link_inside_is_followed(context: ToolContext) -> None:
    assert context.name(context.path("in/file.txt")) == "a/file.txt"


def test_a_link_put_there_after_the_check_is_not_followed(context: ToolContext, tmp_path: Path) -> None:
    checked = context.path("a/file.txt")
    checked.unlink()
    checked.symlink_to(tmp_path / "secret.txt")

    with pytest.raises(OSError, match="symbolic links"):
        context.open(checked)


def test_a_folder_swapped_for_a_link_after_the_check_is_not_followed(context: ToolContext, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("outside")
    checked = context.path("a/file.txt")
    (context.folder / "a").rename(tmp_path / "moved")
    (context.folder / "a").symlink_to(tmp_path)

    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        context.open(checked)


def test_a_pipe_is_refused_at_once(context: ToolContext) -> None:
    os.mkfifo(context.folder / "pipe")

    with pytest.raises(ToolError, match="no regular file"):
        context.open(context.path("pipe"))


def test_a_closed_folder_inside_is_out_of_bounds(context: ToolContext) -> None:
    closed = ToolContext(context.folder, closed=(context.folder / "a",))

    with pytest.raises(ToolError, match="protected"):
        closed.path("in/file.txt")


def test_a_closed_folder_is_no_working_folder(context: ToolContext) -> None:
    with pytest.raises(ToolError, match="protected"):
        ToolContext(context.folder, closed=(context.folder,)).path(".")


def test_a_working_folder_inside_the_closed_one_is_open(context: ToolContext) -> None:
    workspace = ToolContext(context.folder / "a", closed=(context.folder,))

    assert workspace.path("file.txt").read_text() == "inside"
