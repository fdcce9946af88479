"""A change of an agent's code is killed at every step it takes on the disk: what is there after is the old code or the new."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foundry.agent.change import apply
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import Code, History, code_of
from foundry.agent.intent import recover
from foundry.agent.lock import alone_within, hold_alone, hold_shared
from foundry.agent.record import AgentRecord, load_record
from foundry.errors import BusyError, FoundryError
from tests.commands.conftest import make_agent

CHANGES = """
import os, signal, sys
from pathlib import Path
from foundry.agent.change import apply
from foundry.agent.folder import AgentFolder
from foundry.agent.lock import hold_alone
from foundry.agent.undo import go, way_back
from foundry.console import Silent
from foundry.settings import load_settings

verb, folder, last = sys.argv[1], AgentFolder(Path(sys.argv[2])), int(sys.argv[3])
steps = 0
WRITES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate")

def hook(event, args):
    global steps
    on_disk = event in WRITES or (event == "open" and isinstance(args[2], int) and args[2] & (os.O_CREAT | os.O_TRUNC))
    if on_disk:
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

import foundry.agent.trash
sys.addaudithook(hook)
print("go", flush=True)
with hold_alone(folder, verb) as held:
    if verb == "accept":
        put = {"plugins/a/__init__.py": (b"new", 0o644), "plugins/b/x.py": (b"b", 0o600), "plugins/old.py": None}
        put |= {"plugins/turned": None, "plugins/turned/deep.py": (b"d", 0o644)}  # a file becomes a folder
        put |= {"plugins/c/in/y.py": None, "plugins/c": (b"c", 0o755)}  # and a folder a file
        apply(folder, {**put, "main.py": (b"m2", 0o644)})
    else:
        go(folder, way_back(folder), extras=lambda _: (), settings=load_settings(None), progress=Silent(), held=(held,))
print(steps)
"""


@pytest.fixture
def folder(home: Path) -> AgentFolder:
    files = {"plugins/a/__init__.py": "old", "plugins/old.py": "gone soon", "main.py": "m1"}
    made = make_agent(Home(home), "scout", {**files, "plugins/turned": "file", "plugins/c/in/y.py": "y"})
    History(made).observe()
    return made


def change(verb: str, folder: AgentFolder, last: int = 0, patience: float | None = None) -> int:
    """Let a process make the change and kill itself before its step `last` on the disk, or be killed after some seconds."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", CHANGES, verb, str(folder.path), str(last)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    child.stdout.readline()
    if patience is not None:
        time.sleep(patience)
        child.kill()
    told = child.stdout.read()
    child.wait()
    child.stdout.close()
    return int(told) if child.returncode == 0 and told.strip() else -1


def agrees(folder: AgentFolder, old: Code, new: Code) -> Code:
    """After the next command: the old code or the new, and a history that says so."""
    recover(folder)
    History(folder).settle()
    there = code_of(folder)
    assert there in (old, new)
    history = History(folder)
    assert history.files(history.head()) == there
    assert history.observe() is None
    assert not [one for one in folder.path.iterdir() if one.name == ".foundry-staged"]
    return there


@pytest.mark.prove
@pytest.mark.parametrize("verb", ["accept", "undo"])
def test_killed_at_each_step(folder: AgentFolder, verb: str) -> None:
    old = code_of(folder)
    if verb == "undo":
        change("accept", folder)
    old = code_of(folder)
    steps = change(verb, folder)
    new = code_of(folder)
    assert steps > 10
    assert new != old
    seen = set()
    for last in range(1, steps + 1):
        _back_to(folder, old)
        change(verb, folder, last)  # the last few may not come: a content that is stored is not stored again
        seen.add(agrees(folder, old, new) == new)
    assert seen == {True, False}


@pytest.mark.prove
@pytest.mark.parametrize("verb", ["accept", "undo"])
def test_killed_at_random_moments(folder: AgentFolder, verb: str) -> None:
    dice = random.Random(7)
    if verb == "undo":
        change("accept", folder)
    old = code_of(folder)
    began = time.monotonic()
    change(verb, folder)
    took = time.monotonic() - began
    new = code_of(folder)
    for _ in range(50):
        _back_to(folder, old)
        change(verb, folder, patience=dice.random() * min(took, 0.15))
        agrees(folder, old, new)


def _back_to(folder: AgentFolder, code: Code) -> None:
    history = History(folder)
    there = code_of(folder)
    put = {name: code.get(name) for name in {*there, *code} if there.get(name) != code.get(name)}
    at = next(one.number for one in history.versions() if history.files(one.number) == code)
    if put:
        with hold_alone(folder, "back"):
            apply(folder, put, at=at)
    assert History(folder).head() == at


def test_a_run_takes_the_agent_alone_for_a_blink_and_gives_it_back(folder: AgentFolder) -> None:
    with hold_shared(folder, "run") as held:
        with alone_within(folder, held), pytest.raises(BusyError, match="in use"), hold_shared(folder, "run"):
            pass
        with hold_shared(folder, "run"):
            pass


def test_another_run_is_in_the_way_and_named(folder: AgentFolder) -> None:
    with hold_shared(folder, "run") as held, hold_shared(folder, "run"):
        with pytest.raises(BusyError, match="in use"), alone_within(folder, held):
            pass
        with pytest.raises(BusyError), hold_alone(folder, "delete"):
            pass


def test_a_run_that_could_not_be_alone_still_holds_the_agent(folder: AgentFolder) -> None:
    with hold_shared(folder, "run") as held:
        with hold_shared(folder, "run"), pytest.raises(BusyError), alone_within(folder, held):
            pass
        with pytest.raises(BusyError), hold_alone(folder, "delete"):
            pass


def test_an_environment_that_cannot_be_made_changes_nothing(folder: AgentFolder) -> None:
    old = code_of(folder)

    def fails(_: Path) -> None:
        raise FoundryError("no packages here")

    with hold_alone(folder, "accept"), pytest.raises(FoundryError, match="no packages"):
        apply(folder, {"main.py": (b"m2", 0o644)}, environment=fails)  # type: ignore[arg-type]
    agrees(folder, old, old)


@pytest.mark.parametrize(
    "name", [".env", "plugins/a/.env", "venv/bin/python", "workspace/x", ".foundry.json", "../x.py", "/x.py"]
)
def test_only_code_is_put_in_place(folder: AgentFolder, name: str) -> None:
    with hold_alone(folder, "accept"):
        there = sorted(folder.path.rglob("*"))
        with pytest.raises(FoundryError, match=r"no code of|does not lie in"):
            apply(folder, {name: (b"x", 0o644)})

        assert sorted(folder.path.rglob("*")) == there


@pytest.mark.parametrize("kind", ["large", "link", "in a folder", "in the way"])
def test_what_no_version_holds_is_never_replaced(folder: AgentFolder, tmp_path: Path, kind: str) -> None:
    target = path = folder.plugins / "a" / "data.py"
    if kind == "large":
        path.write_bytes(b"x" * 2_000_000)
    elif kind == "link":
        path.symlink_to(tmp_path)
    elif kind == "in a folder":
        path.mkdir()
        path.joinpath("link").symlink_to(tmp_path)
    else:
        path.write_text("a person's file")
        target = path / "below.py"
    lies = sorted(folder.plugins.rglob("*"))
    old = code_of(folder)

    with hold_alone(folder, "accept"), pytest.raises(FoundryError, match="would be lost"):
        apply(folder, {target.relative_to(folder.path).as_posix(): (b"new", 0o644)})

    assert sorted(folder.plugins.rglob("*")) == lies
    agrees(folder, old, old)


LOOKS = """
import sys
from pathlib import Path
from foundry.agent.folder import AgentFolder
from foundry.agent.history import History
print("go", flush=True)
while True:
    History(AgentFolder(Path(sys.argv[1]))).observe()
    History(AgentFolder(Path(sys.argv[1]))).settle()
"""


def test_a_look_from_aside_never_takes_a_change_of_ours_for_a_hand_edit(folder: AgentFolder) -> None:
    with subprocess.Popen([sys.executable, "-P", "-c", LOOKS, str(folder.path)], stdout=subprocess.PIPE, text=True) as looking:
        assert looking.stdout
        looking.stdout.readline()
        try:
            for number in range(40):
                with hold_alone(folder, "accept"):
                    apply(folder, {f"plugins/a/{one}.py": (b"%d" % number, 0o644) for one in "abc"})
        finally:
            looking.kill()

    assert {one.kind for one in History(folder).versions()[1:]} == {"accepted"}
    assert History(folder).head() == 41


def test_a_file_that_a_person_changes_while_another_is_put_in_place_is_the_next_hand_edit(folder: AgentFolder) -> None:
    def edits(target: Path) -> AgentRecord:
        target.mkdir()
        (folder.path / "README.md").write_text("by hand")
        return load_record(folder)

    with hold_alone(folder, "accept"):
        version = apply(folder, {"main.py": (b"m2", 0o644)}, environment=edits)

    history = History(folder)
    assert (version.number, history.head()) == (2, 2)
    found = history.observe()
    assert found
    assert (found.kind, list(found.files)) == ("hand edit", ["README.md"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_named_and_nothing_changes(folder: AgentFolder) -> None:
    old = code_of(folder)
    (folder.plugins / "a").chmod(0o500)
    try:
        with hold_alone(folder, "accept"), pytest.raises(FoundryError, match="must not be written to"):
            apply(folder, {"main.py": (b"m2", 0o644), "plugins/a/__init__.py": (b"new", 0o644)})
    finally:
        (folder.plugins / "a").chmod(0o700)
    agrees(folder, old, old)
