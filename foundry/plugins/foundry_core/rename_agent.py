"""Rename an agent: its folder and the name in its config, both or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foundry.agent import building, intent, trash, trust
from foundry.agent.definition import check_agent_name, load_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import History
from foundry.agent.lock import hold_alone, hold_home
from foundry.console import Block, Progress, Silent
from foundry.errors import FoundryError, UsageError
from foundry.files import read_json, write_json


@dataclass(frozen=True, slots=True)
class Renamed:
    """The agent's new name, its old one, and its folder."""

    name: str
    old: str
    path: Path

    def shown(self) -> Sequence[Block]:
        return [f"Renamed {self.old} to {self.name}: {self.path}"]


def rename_agent(home: Home, name: str, new: str, *, progress: Progress | None = None) -> Renamed:
    """Rename the agent `name` to `new`; only the case may differ.

    Raises NotFoundError, UsageError for a bad name, FoundryError for one that is taken, BusyError naming who runs the agent,
    BadFileError for a config that cannot be read.
    """
    progress = progress or Silent()
    building.sweep(home)
    folder = home.agent(name)
    check_agent_name(new)
    if new == name:
        raise UsageError(f"{name!r} has that name already", "Give another one.")
    target = AgentFolder(home.agents / new)
    with hold_alone(folder, "rename"), hold_home(home):
        building.refuse_taken(home, new, but=name)
        load_definition(folder.config)
        known = bool(History(folder).head())
        if known:
            History(folder).observe()  # what was changed by hand before is a version of its own
        _move(folder, target, progress)
        if known:
            History(target).observe(f"foundry rename, from {name}")
    return Renamed(new, name, target.path)


def _move(folder: AgentFolder, target: AgentFolder, progress: Progress) -> None:
    with trust.own_change(folder, target):
        progress.step("Recording the new name")
        place = intent.begin(folder)
        write_json(place.new / folder.config.name, {**read_json(folder.config), "name": target.name})
        # Counts only in a folder of the new name: whichever side of the rename a crash comes, folder and config agree.
        intent.announce(folder, "rename", put=[folder.config.name], named=target.name)
        progress.step(f"Moving {folder.name} to {target.name}")
        try:
            trash.rename(folder.path, target.path)
        except FoundryError:
            intent.roll(folder)
            raise
        progress.step("Finishing")
        intent.roll(target)
