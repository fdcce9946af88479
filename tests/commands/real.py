"""Real agents for tests: made once for a module, in a cache of wheels of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.homes import home_made
from foundry.agent.trust import made
from foundry.console import Silent
from foundry.plugins.foundry_core.create_agent import create_agent
from foundry.settings import load_settings
from tests.conftest import uv_cache

SHARED: list[Home] = []
WHERE = "import foundry, sys; from importlib.util import find_spec; assert find_spec('semantic_kernel'); print(foundry.__file__)"


class Heard(Silent):
    """Progress that remembers what was said."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []

    def step(self, text: str) -> None:
        self.steps.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


def foundry_seen_by(folder: AgentFolder) -> Path:
    """Start the agent's own Python and return where its Foundry lies."""
    told = subprocess.run([str(folder.python), "-I", "-c", WHERE], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return Path(told.stdout.strip())


def left_over(home: Home) -> list[str]:
    """What lies in agents/ that is no agent."""
    return [one.name for one in home.agents.iterdir() if one.name.startswith(".")] if home.agents.is_dir() else []


@contextmanager
def one_agent(factory: pytest.TempPathFactory) -> Iterator[tuple[Home, AgentFolder]]:
    """Make the agent `scout` in a home of its own."""
    base = factory.mktemp("module")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("UV_CACHE_DIR", uv_cache())
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        patch.setenv("XDG_STATE_HOME", str(base / "state"))
        home = Home(base / "home")
        create_agent(home, "scout", settings=load_settings(None, {}), description="Reads code", env={"TOKEN": "what it is for"})
    SHARED.append(home)
    if "XDG_STATE_HOME" in os.environ:  # a test's own world is there already
        know_shared()
    yield home, home.agent("scout")


def know_shared() -> None:
    """Let the user of this test's world be the one who made the homes and agents that are made once for a module."""
    for home in (one for one in SHARED if one.own.is_dir()):
        home_made(home.path)
        for name in home.names():
            made(home.agent(name), home.agent(name), {})
