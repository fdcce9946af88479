"""The agent's lock: runs share it, changes take it alone, and who is in the way is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foundry.agent import lock
from foundry.agent.folder import AgentFolder, Home
from foundry.errors import BusyError, NotFoundError

HOLD = """
import sys
from pathlib import Path
from foundry.agent import lock
from foundry.agent.folder import AgentFolder
with getattr(lock, sys.argv[2])(AgentFolder(Path(sys.argv[1])), sys.argv[3]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> AgentFolder:
    (tmp_path / "scout").mkdir()
    return AgentFolder(tmp_path / "scout")


def holding(folder: AgentFolder, how: str, verb: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-P", "-c", HOLD, str(folder.path), how, verb]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_runs_share_and_a_change_is_told_who_they_are(folder: AgentFolder) -> None:
    with holding(folder, "hold_shared", "run") as one, lock.hold_shared(folder, "run"):
        with pytest.raises(BusyError, match=rf"process {one.pid} \(run, since 20") as caught, lock.hold_alone(folder, "delete"):
            pass
        one.communicate()

    assert str(one.pid) in caught.value.hint


def test_a_run_changes_no_agent_that_is_not_there_any_more(folder: AgentFolder) -> None:
    with lock.hold_shared(folder, "run") as held:
        folder.path.rename(folder.path.with_name("finder"))
        with pytest.raises(NotFoundError, match="renamed or deleted"), lock.alone_within(folder, held):
            pass

    assert not folder.path.exists()


def test_a_change_keeps_runs_out_and_ends_with_its_process(folder: AgentFolder) -> None:
    with holding(folder, "hold_alone", "sync") as other:
        with pytest.raises(BusyError, match=rf"{other.pid} \(sync"), lock.hold_shared(folder, "run"):
            pass
        other.kill()
        other.communicate()

    with lock.hold_shared(folder, "run"):
        pass


def test_only_the_living_are_named(folder: AgentFolder) -> None:
    with holding(folder, "hold_shared", "run") as gone:
        gone.communicate()
    with holding(folder, "hold_shared", "chat") as alive:
        with pytest.raises(BusyError) as caught, lock.hold_alone(folder, "sync"):
            pass
        alive.communicate()

    assert f"process {alive.pid} (chat" in caught.value.message
    assert f"process {gone.pid}" not in caught.value.message


def test_the_last_run_is_remembered_and_changes_are_no_runs(folder: AgentFolder) -> None:
    assert lock.last_run(folder) == ""
    with lock.hold_alone(folder, "sync"):
        pass
    assert lock.last_run(folder) == ""

    with lock.hold_shared(folder, "run"):
        pass

    assert lock.last_run(folder).startswith("20")


@pytest.mark.parametrize("junk", [b"\xff\xfe\n{}\n[1]\n", b'{"pid": "x", "verb": 1, "at": 2}\n', b"[" * 5000 + b"\n"])
def test_a_lock_file_with_anything_in_it_still_locks(folder: AgentFolder, junk: bytes) -> None:
    folder.holders.write_bytes(junk)

    with lock.hold_shared(folder, "run"):
        pass

    assert lock.last_run(folder)


def test_the_lock_file_does_not_grow_for_ever(folder: AgentFolder) -> None:
    folder.holders.write_bytes(b'{"pid": 1, "verb": "run", "at": "2020-01-01T00:00:00+00:00"}\n' * 2000)

    with lock.hold_shared(folder, "run"):
        pass

    assert folder.holders.stat().st_size < 20_000
    assert lock.last_run(folder) > "2021"


def test_a_link_in_place_of_the_lock_file_is_not_followed(folder: AgentFolder, tmp_path: Path) -> None:
    folder.holders.symlink_to(tmp_path / "victim")

    with pytest.raises(Exception, match="cannot be opened"), lock.hold_shared(folder, "run"):
        pass

    assert not (tmp_path / "victim").exists()


def test_an_agent_that_is_not_there_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError), lock.hold_alone(AgentFolder(tmp_path / "scout"), "sync"):
        pass

    assert os.listdir(tmp_path) == ["user"]  # noqa: PTH208


def test_the_lock_of_the_home_is_free_again_afterwards(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")

    for _ in range(2):
        with lock.hold_home(home):
            assert not lock.is_free(home.own / "names.lock")

    assert lock.is_free(home.own / "names.lock")
