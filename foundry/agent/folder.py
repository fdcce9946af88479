"""Where an agent's things lie: the home that holds agents, and one agent's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from foundry.agent import homes
from foundry.errors import FoundryError, NotFoundError
from foundry.files import nearest


@dataclass(frozen=True, slots=True)
class AgentFolder:
    """One agent's folder and the names in it; making one touches nothing."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / "agent.config.json"

    @property
    def env_file(self) -> Path:
        return self.path / ".env"

    @property
    def plugins(self) -> Path:
        return self.path / "plugins"

    @property
    def venv(self) -> Path:
        return self.path / "venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def lock(self) -> Path:
        return self.path / "requirements.lock"

    @property
    def workspace(self) -> Path:
        return self.path / "workspace"

    @property
    def made(self) -> Path:
        """How it was made: blueprint, Python, the runtime's version and wheel hash, folder format."""
        return self.path / ".foundry.json"

    @property
    def holders(self) -> Path:
        """The lock file that runs share and changes take alone."""
        return self.path / ".foundry.lock"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds agents/ and .foundry/; making one touches nothing."""

    path: Path

    @property
    def agents(self) -> Path:
        return self.path / "agents"

    @property
    def own(self) -> Path:
        return self.path / ".foundry"

    @property
    def trash(self) -> Path:
        return self.own / "trash"

    @property
    def env_file(self) -> Path:
        return self.path / ".env"

    def prepare(self) -> None:
        """Make agents/ and .foundry/ (0700) where they are missing, and remember a new home as this user's own.

        Raises FoundryError where that is refused.
        """
        try:
            fresh = not homes.is_home(self.path)
            self.agents.mkdir(parents=True, exist_ok=True)
            if fresh:  # before it can be seen to be one, so that a crash leaves no home of ours that we do not know
                homes.home_made(self.path)
            self.own.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise FoundryError(
                f"no agent can be kept in {self.path}: {error.filename}: {error.strerror}",
                "Choose another home with --home or FOUNDRY_HOME.",
                code="home",
            ) from None

    def names(self) -> list[str]:
        """Return the names of all agents, sorted: folders of agents/ whose name does not start with a dot, links left out.

        Raises FoundryError for a folder that may not be read.
        """
        try:
            found = [one.name for one in os.scandir(self.agents) if one.name[0] != "." and one.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise FoundryError(
                f"{self.agents} cannot be read: {error.strerror}", f"Look at who owns it: ls -ld {self.agents}", code="home"
            ) from None
        return sorted(found, key=str.lower)

    def same_name(self, name: str) -> str:
        """Return the agent called `name` ignoring case, or an empty string."""
        return next((one for one in self.names() if one.lower() == name.lower()), "")

    def agent(self, name: str) -> AgentFolder:
        """Return the folder of the agent called exactly `name`. Raises NotFoundError suggesting the nearest."""
        if name in self.names():
            return AgentFolder(self.agents / name)
        close = nearest(name, self.names())
        real = next((one for one in self.names() if one.lower() == close.lower()), "") if close else ""
        hint = f'Did you mean "{real}"?' if real else "foundry list"
        raise NotFoundError(f"no agent is called {name!r} in {self.agents}", hint)
