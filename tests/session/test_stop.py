"""Ctrl+C, an end of time and a closed terminal end a jailed command with the call it runs for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry.agent.folder import AgentFolder, Home
from foundry.sandbox import jail
from tests.commands.running import foundry, make_runnable, script
from tests.conftest import FOUNDRY
from tests.naps import naps
from tests.session.screens import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.skipif(jail.probe().level == "none", reason="no jail holds here")]
NAP = f"31.{os.getpid()}"
STEPS = ({"calls": [{"name": "terminal.run", "arguments": {"command": f"sleep {NAP}"}}]}, {"text": "awake"})


@pytest.fixture
def agent(home: Path) -> AgentFolder:
    return make_runnable(Home(home), "scout", tools=["terminal"])


@pytest.fixture
def asleep(agent: AgentFolder, tmp_path: Path) -> Iterator[Terminal]:
    """A chat whose jailed command sleeps."""
    words = ["run", "scout", "--mode", "auto", "--model", script(tmp_path / "s.json", *STEPS)]
    terminal = Terminal([*FOUNDRY, *words], tmp_path)
    terminal.until("\u276f")
    terminal.line("sleep")
    wait_for(lambda: bool(naps(NAP)), "the command did not start", terminal)
    yield terminal
    terminal.stop()


def wait_for(there: object, complaint: str, terminal: Terminal | None = None) -> None:
    deadline = time.monotonic() + 15
    while not there():  # type: ignore[operator]
        assert time.monotonic() < deadline, complaint
        if terminal:
            terminal._read(0.05)
        time.sleep(0.05)


def test_ctrl_c_ends_the_command(asleep: Terminal) -> None:
    asleep.keys("\x03")
    wait_for(lambda: not naps(NAP), "it sleeps on", asleep)
    asleep.until("interrupted")


def test_a_closed_terminal_ends_the_command(asleep: Terminal) -> None:
    asleep.hang_up()
    wait_for(lambda: not naps(NAP), "it sleeps on")


def test_a_kill_ends_the_command(asleep: Terminal) -> None:
    asleep.process.kill(9)
    wait_for(lambda: not naps(NAP), "it sleeps on")


def test_the_end_of_time_ends_the_command(agent: AgentFolder, tmp_path: Path) -> None:
    done = foundry(
        *("run", "scout", "-p", "sleep", "--mode", "auto", "--timeout", "6"), "--model", script(tmp_path / "s.json", *STEPS)
    )
    assert done.returncode == 6, done.stderr
    wait_for(lambda: not naps(NAP), "it sleeps on")
