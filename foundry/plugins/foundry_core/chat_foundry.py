"""The Foundry as an agent: an ordinary one of the home, made when it is first talked to."""

from __future__ import annotations

from foundry.agent.folder import Home
from foundry.agent.record import load_record
from foundry.console import Progress, Silent
from foundry.errors import FoundryError
from foundry.plugins.foundry_core.create_agent import create_agent
from foundry.settings import Settings

NAME = "foundry"
BLUEPRINT = "foundry"


def ready_foundry(home: Home, *, settings: Settings, progress: Progress | None = None) -> None:
    """Make the agent `foundry` where there is none. Raises FoundryError where another agent has the name, or as create does."""
    progress = progress or Silent()
    if NAME not in home.names():
        progress.step("Making the agent foundry, once")
        create_agent(home, NAME, settings=settings, blueprint=BLUEPRINT, progress=progress)
        return
    if load_record(home.agent(NAME)).blueprint != BLUEPRINT:
        raise FoundryError(
            f'the agent "{NAME}" of this home is not the Foundry\'s own',
            f"Give it another name: foundry rename {NAME} NEW",
            code="exists",
        )
