"""Take an agent back to an earlier version of its code and environment, and forward again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foundry.agent import trust, undo
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import diffs
from foundry.agent.lock import hold_alone
from foundry.console import Block, Diff, Progress, Silent
from foundry.errors import FoundryError
from foundry.plugins.built_ins import extras_of
from foundry.settings import Settings

Confirm = Callable[["Going"], bool]


@dataclass(frozen=True, slots=True)
class Going:
    """What an undo or a redo would change."""

    agent: str
    start: int
    target: int
    files: tuple[Diff, ...]

    def shown(self) -> Sequence[Block]:
        return [*self.files, f"From version {self.start} to version {self.target}."]


@dataclass(frozen=True, slots=True)
class Gone:
    """The version that the agent is at now, and the files that changed on the way."""

    agent: str
    version: int
    before: int
    files: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        return [f"{self.agent} is at version {self.version}, as it was byte for byte. Back again: foundry history {self.agent}"]


def undo_agent(
    home: Home,
    name: str,
    number: int | None = None,
    *,
    settings: Settings,
    confirm: Confirm | None,
    progress: Progress | None = None,
) -> Gone:
    """Take the last change back, or go back to version `number`, after `confirm` saw the diff.

    Raises NotFoundError, BusyError naming who runs the agent, FoundryError for a no, for nothing to undo and for an environment
    that cannot be made without the network; nothing has changed then.
    """
    folder = home.agent(name)
    with hold_alone(folder, "undo") as held:
        return _gone(folder, undo.way_back(folder, number), held, settings, confirm, progress)


def redo_agent(home: Home, name: str, *, settings: Settings, confirm: Confirm | None, progress: Progress | None = None) -> Gone:
    """Do again what was undone last, after `confirm` saw the diff. Raises as `undo_agent` does."""
    folder = home.agent(name)
    with hold_alone(folder, "redo") as held:
        return _gone(folder, undo.way_forward(folder), held, settings, confirm, progress)


def _gone(
    folder: AgentFolder, way: undo.Way, held: int, settings: Settings, confirm: Confirm | None, progress: Progress | None
) -> Gone:
    trust.require(folder)
    if confirm and not confirm(Going(folder.name, way.start, way.target, tuple(diffs(way.changes)))):
        raise FoundryError("nothing was changed: the answer was no", "Answer y to go there.", code="declined")
    undo.go(folder, way, extras=extras_of, settings=settings, progress=progress or Silent(), held=(held,))
    return Gone(folder.name, way.target, way.start, tuple(name for name, _, _ in way.changes))
