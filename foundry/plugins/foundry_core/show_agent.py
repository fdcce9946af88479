"""Everything a person wants to know of one agent, read from its folder; a broken one is shown as far as it can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from foundry.agent import lock, trash, trust
from foundry.agent.definition import AgentDefinition
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.health import State, look_at
from foundry.agent.record import AgentRecord
from foundry.agent.trust import TrustState
from foundry.agent.wheel import runtime_hash
from foundry.console import Block, Facts, one_line
from foundry.errors import FoundryError
from foundry.plugins.foundry_core.agent_env import SOURCES, Variable, variables_of
from foundry.plugins.foundry_core.mcp_servers import servers_of
from foundry.settings import Settings
from foundry.text import local_time

_TRUST = {
    "own": "your own",
    "trusted": "from elsewhere, trusted as it is",
    "changed": "from elsewhere, changed since it was trusted",
    "unknown": "from elsewhere, not trusted",
}


@dataclass(frozen=True, slots=True)
class AgentShown:
    """One agent in full; what could not be read is empty, and `why` says so. `env` tells of variables, never their values."""

    name: str
    state: State
    trust: TrustState
    trusted_since: str
    why: str
    mend: str
    description: str
    model: str
    model_from: str
    instructions: str
    tools: tuple[str, ...]
    plugins: tuple[str, ...]
    unlisted_plugins: tuple[str, ...]
    mcp_servers: tuple[str, ...]
    dependencies: tuple[str, ...]
    env: tuple[Variable, ...]
    env_problem: str
    folder: str
    working_folder: str
    workspace_files: int
    workspace_bytes: int
    python: str
    runtime_version: str
    blueprint: str
    created: str
    last_run: str

    def shown(self) -> Sequence[Block]:
        pairs = [
            ("state", self.why if self.why.startswith(self.state) else ": ".join(filter(None, (self.state, self.why)))),
            ("try", self.mend),
            ("trust", f"{_TRUST[self.trust]}{f' since {local_time(self.trusted_since)}' if self.trusted_since else ''}"),
            ("description", self.description),
            ("model", f"{self.model or 'whichever is there'} ({self.model_from})"),
            ("instructions", self.instructions),
            ("tools", ", ".join(self.tools) or "none"),
            ("plugins", ", ".join(self.plugins) or "none"),
            ("not loaded", ", ".join(self.unlisted_plugins) and f"{', '.join(self.unlisted_plugins)} (not listed in plugins)"),
            ("mcp servers", ", ".join(self.mcp_servers)),
            ("dependencies", ", ".join(self.dependencies) or "none"),
            ("variables", "\n".join(_told(one) for one in self.env) or self.env_problem or "none needed"),
            ("folder", self.folder),
            ("works in", f"{self.working_folder} ({self.workspace_files} files, {trash.size_told(self.workspace_bytes)})"),
            ("python", self.python),
            ("runtime", self.runtime_version),
            ("blueprint", self.blueprint),
            ("created", local_time(self.created) if self.created else ""),
            ("last run", local_time(self.last_run)),
        ]
        return [Facts([(name, value) for name, value in pairs if value], self.name)]


def show_agent(home: Home, name: str, *, settings: Settings, environment: Mapping[str, str] | None = None) -> AgentShown:
    """Return all there is to know of the agent called `name`. Raises NotFoundError."""
    folder = home.agent(name)
    health = look_at(folder, runtime_hash())
    # A config that cannot be read is told by the state; the rest is shown as that of an agent that says nothing.
    known = health.definition or AgentDefinition(name=folder.name)
    made = health.record or AgentRecord("", "", "", "")
    listed, unlisted = _plugins(folder, known)
    variables, env_problem = _variables(folder, home, known, settings, environment)
    working = folder.path / known.folder
    content = trash.count(working, limit=20_000)
    trusted = trust.check(folder)
    return AgentShown(
        name=folder.name,
        state=health.state,
        trust=trusted.state,
        trusted_since=trusted.at,
        why=health.why,
        mend=health.mend,
        description=known.description,
        model=known.model or str(settings["model"]),
        model_from=_model_from(known, settings),
        instructions=known.instructions,
        tools=known.tools,
        plugins=listed,
        unlisted_plugins=unlisted,
        mcp_servers=tuple(f"{one.name} ({one.state})" for one in servers_of(home, folder, known, {}).servers),
        dependencies=known.dependencies,
        env=variables,
        env_problem=env_problem,
        folder=str(folder.path),
        working_folder=str(working),
        workspace_files=content.files,
        workspace_bytes=content.bytes,
        python=made.python,
        runtime_version=made.runtime_version,
        blueprint=made.blueprint,
        created=made.created,
        last_run=lock.last_run(folder),
    )


def _model_from(known: AgentDefinition, settings: Settings) -> str:
    if known.model:
        return "agent.config.json"
    if settings["model"]:
        return {"environment": "FOUNDRY_MODEL", "home": "the home's settings"}.get(settings.source("model"), "a flag")
    return "chosen at each start"


def _plugins(folder: AgentFolder, known: AgentDefinition) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the own plugins that load, a missing one marked, and the folders nobody listed."""
    there = set()
    with suppress(OSError):
        there = {one.name for one in folder.plugins.iterdir() if one.is_dir() and not one.name.startswith((".", "__"))}
    listed = tuple(name if name in there else f"{name} (missing)" for name in known.plugins)
    return listed, tuple(sorted(there - set(known.plugins)))


def _variables(
    folder: AgentFolder, home: Home, known: AgentDefinition, settings: Settings, environment: Mapping[str, str] | None
) -> tuple[tuple[Variable, ...], str]:
    try:
        return variables_of(folder, home, known, settings, environment).variables, ""
    except FoundryError as error:
        return (), error.message


def _told(one: Variable) -> str:
    state = f"set ({SOURCES[one.source]})" if one.is_set else "missing" if one.required else "not set"
    return f"{one.name}: {state}" + (f"  {one_line(one.why)}" if one.why else "")
