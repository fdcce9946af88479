"""Where an agent's things lie: the home that holds agents, and one agent's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foundry.errors import NotFoundError
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
        """Make agents/ and .foundry/ where they are missing; .foundry/ is 0700."""
        self.agents.mkdir(parents=True, exist_ok=True)
        self.own.mkdir(mode=0o700, exist_ok=True)

    def names(self) -> list[str]:
        """Return the names of all agents, sorted: folders of agents/ whose name does not start with a dot, links left out."""
        if not self.agents.is_dir():
            return []
        found = [
            one.name for one in self.agents.iterdir() if not one.name.startswith(".") and one.is_dir() and not one.is_symlink()
        ]
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
        hint = f'Did you mean "{real}"?' if real else "See: foundry list"
        raise NotFoundError(f"no agent is called {name!r} in {self.agents}", hint)
