"""kill -9 at any moment: either a whole agent or none, nothing of the user's lost, and the next command works."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from foundry.agent import intent, lock, venv
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.record import load_record
from foundry.console import Silent
from foundry.plugins.foundry_core.create_agent import create_agent
from foundry.plugins.foundry_core.restore_agent import restore_agent
from foundry.plugins.foundry_core.sync_agent import ensure_current
from foundry.settings import load_settings
from tests.commands.real import foundry_seen_by, left_over
from tests.conftest import FOUNDRY

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]
MINE = "workspace/mine.txt"
VERBS = {
    "create": ["create", "made", "--no-input"],
    "copy": ["copy", "scout", "made"],
    "rename": ["rename", "scout", "finder"],
    "sync": ["sync", "scout"],
    "delete": ["delete", "scout", "--yes"],
}
STEPS = {
    "create": ["Writing the folder", "Making the environment", "Installing", "Checking", "Putting"],
    "copy": ["Copying", "Making the environment", "Installing", "Checking", "Putting"],
    "rename": ["Recording", "Moving", "Finishing"],
    "sync": ["Preparing", "Making the environment", "Installing", "Checking", "Recording", "Putting"],
    "delete": ["Moving"],
}


@pytest.fixture
def with_scout(home: Path) -> Home:
    """A home with the real agent `scout`, which holds a file and a secret of the user's."""
    place = Home(home)
    create_agent(place, "scout", settings=load_settings(home), env_values={"TOKEN": "precious"})
    (home / "agents" / "scout" / MINE).write_text("mine")
    return place


def start(home: Home, verb: str) -> subprocess.Popen[str]:
    env = {**os.environ, "FOUNDRY_HOME": str(home.path)}
    return subprocess.Popen([*FOUNDRY, *VERBS[verb]], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


def assert_whole(home: Home) -> None:
    """Every agent there is is whole, and the user's own things are there exactly once."""
    for name in home.names():
        folder = home.agent(name)
        with lock.hold_alone(folder, "look"):
            pass
        assert json.loads(folder.config.read_text())["name"] == name
        assert load_record(folder).python
        assert venv.check(folder) == []
        assert not intent.pending(folder)
        ensure_current(folder, load_settings(home.path), Silent())
        foundry_seen_by(folder)
    held = [path for path in (home.agents, home.trash) if path.is_dir() for path in path.glob(f"[!.]*/{MINE}")]
    own = [path for path in held if path.parent.parent.name.partition("@")[0] != "made"]
    assert len(own) == 1
    assert own[0].read_text() == "mine"
    assert "precious" in (own[0].parent.parent / ".env").read_text()


def back_to_scout(home: Home) -> None:
    """Do the next commands, which must work, until there is `scout` and nothing else."""
    if "scout" not in home.names() and "finder" not in home.names():
        restore_agent(home, "scout")
    for words in (["rename", "finder", "scout"], ["delete", "made", "--yes", "--purge"]):
        if words[1] in home.names():
            told = subprocess.run(
                [*FOUNDRY, *words], capture_output=True, text=True, env={**os.environ, "FOUNDRY_HOME": str(home.path)}
            )
            assert told.returncode == 0, told.stderr
    assert home.names() == ["scout"]


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_kill_after_each_named_step_leaves_all_or_nothing(with_scout: Home, verb: str) -> None:
    for step in STEPS[verb]:
        with start(with_scout, verb) as process:
            assert process.stderr
            heard = any(step in line for line in process.stderr)
            kill(process)

        assert heard, step
        assert_whole(with_scout)
        back_to_scout(with_scout)


def test_a_hundred_kills_at_random_moments_lose_nothing(with_scout: Home) -> None:
    dice = random.Random(20261121)
    for number in range(100):
        verb = sorted(VERBS)[number % len(VERBS)]
        with start(with_scout, verb) as process:
            time.sleep(dice.uniform(0.1, 0.4 if verb in {"delete", "rename"} else 1.0))
            kill(process)

        assert_whole(with_scout)
        back_to_scout(with_scout)
    swept = create_agent(with_scout, "last", settings=load_settings(with_scout.path))

    assert AgentFolder(swept.path).made.exists()
    assert left_over(with_scout) == []
