"""Agents made of files, for the verbs that only look at them: whole on disk, their Python a link to this one."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.definition import AgentDefinition
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.record import AgentRecord, now, save_record
from foundry.agent.trust import made
from foundry.agent.wheel import runtime_hash
from foundry.plugins.built_ins import extras_of
from foundry.settings import Settings, load_settings
from tests.commands.real import know_shared


def make_agent(home: Home, name: str, files: Mapping[str, str] | None = None, **config: Any) -> AgentFolder:
    """Make an agent that is ready and this user's own; `files` are laid over it, `config` are keys of its agent.config.json."""
    home.prepare()
    folder = AgentFolder(home.agents / name)
    whole = {
        "agent.config.json": json.dumps({"name": name, **config}),
        "main.py": "raise SystemExit('nothing that looks may run this')\n",
        "requirements.lock": "",
        "venv/.foundry-whole": "key\n",
        **(files or {}),
    }
    for place, text in whole.items():
        path = folder.path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    folder.workspace.mkdir(exist_ok=True)
    folder.python.parent.mkdir()
    folder.python.symlink_to(sys.executable)
    if ".foundry.json" not in whole:
        dependencies = tuple(config.get("dependencies", ()))
        extras = extras_of(AgentDefinition(name, tools=tuple(config.get("tools", ()))))
        save_record(folder, AgentRecord("plain", "3.11", "0.1.0", runtime_hash(), dependencies, extras, created=now()))
    made(folder, folder, {})
    return folder


def picture(folder: Path) -> dict[str, str]:
    """Return every file below `folder` with its text, links by their target; the lock file is left out."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_text("utf-8")
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or path.is_file()) and path.name != ".foundry.lock"
    }


@pytest.fixture(autouse=True)
def shared_are_known(own_world: Path) -> None:
    """Every test is a user of its own; what was made once for a module is this one's too."""
    know_shared()


@pytest.fixture
def place(home: Path) -> Home:
    """An empty home, as verbs take it."""
    return Home(home)


@pytest.fixture
def settings(place: Home) -> Settings:
    """The settings in force in it."""
    return load_settings(place.path)
