"""What is changed by others between the showing of a file's change and its doing is noticed, and never leads outside."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from foundry.plugins.api import Changed, Plan, ToolContext, ToolError
from foundry.plugins.standard_lib.read_write_code import ReadWriteCode
from tests.plugins.worlds import overwrite, world, write

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
    "the content is another": lambda work, out: overwrite(work / "d/t.txt", "theirs\n"),
    "the file is gone": lambda work, out: (work / "d/t.txt").unlink(),
    "the file is a folder": lambda work, out: _replaced(work / "d/t.txt").mkdir(),
    "the file is a pipe": lambda work, out: os.mkfifo(_replaced(work / "d/t.txt")),
    "the new name is taken": lambda work, out: overwrite(work / "d/new.txt", "theirs\n"),
    "a file more is in the folder": lambda work, out: overwrite(work / "d/more.txt", "theirs\n"),
}


@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("kind", PLANS)
def test_what_was_swapped_since_it_was_shown_is_noticed(tmp_path: Path, folder: Path, kind: str, swap: str) -> None:
    outside = tmp_path / "outside"
    for place in (folder / "d/t.txt", outside / "t.txt", folder / "other.txt"):
        write(place, "old\n")
    (outside / "d").mkdir()
    plan = PLANS[kind](ReadWriteCode(ToolContext(folder)))
    SWAPS[swap](folder, outside)
    before = world(tmp_path)

    try:
        plan.do()
    except Changed:
        assert world(tmp_path) == before
        return

    # Done: then what was shown was still so, and the swap was about something else.
    assert not swap.startswith(("the working folder", "the folder is a link"))
    assert world(outside) == {"d": None, "t.txt": b"old\n"}
    for change in plan.preview.changes:
        assert (change.path.read_bytes() if change.path.exists() else None) == change.after
    theirs = [one for one in world(folder.resolve()).values() if one == b"theirs\n"]
    assert len(theirs) == ("theirs" in str(before))


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLANS)
def test_a_target_swapped_over_and_over_while_it_is_changed_never_leads_outside(tmp_path: Path, folder: Path, kind: str) -> None:
    """About 500 swaps for each kind of change, by another thread, at whatever moment they fall."""
    outside = tmp_path / "outside"
    write(outside / "t.txt", "old\n")
    write(outside / "new.txt", "untouched\n")
    (outside / "e").mkdir()
    untouched = world(outside)
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

    assert world(outside) == untouched
    assert done + failed == tries


def test_a_rivals_write_is_not_lost(tmp_path: Path, folder: Path) -> None:
    """Two writers of one file that each replace only what they saw: every change that was said to be done is there."""
    write(folder / "t.txt", "".join(f"- {n}\n" for n in range(40)))
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
    write(folder / "d/t.txt", "old\n")
    plan = ReadWriteCode(ToolContext(folder)).write_file("d/t.txt", "new\n")
    (folder / "d").chmod(0o555)

    with pytest.raises(ToolError, match=r"cannot be changed: Permission denied"):
        plan.do()

    (folder / "d").chmod(0o755)
    assert world(folder) == {"d": None, "d/t.txt": b"old\n"}


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
    write(folder / "t.txt", "b" * 300_000)
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
