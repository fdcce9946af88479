"""MCP: how an agent's servers stand, what of them is trusted, and agents served to other programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foundry.agent import trust
from foundry.agent.definition import AgentDefinition, load_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.mcp_logins import forget_login, need_of
from foundry.agent.mcp_servers import McpServer, entry_hash, forget_pin, pin_of, usable
from foundry.agent.secrets import resolve_keys
from foundry.console import Block, Progress, Table
from foundry.errors import NotFoundError, NotReadyError, UsageError
from foundry.files import nearest
from foundry.plugins.built_ins import BUILT_INS
from foundry.plugins.foundry_core.run_agent import run_agent
from foundry.plugins.loader import RESERVED
from foundry.settings import Settings

if TYPE_CHECKING:
    from foundry.plugins.foundry_core.trust_agent import Confirm

MODES = ("plan", "run", "auto")


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """One server: what it is, whether it was accepted as it is ("accepted", "changed", "new"), its accepted tools.

    `login` is "needed", "there", or "" where it was never asked for.
    """

    name: str
    kind: str
    is_at: str
    state: str
    tools: tuple[str, ...]
    missing: tuple[str, ...]
    login: str = ""


@dataclass(frozen=True, slots=True)
class ServersSeen:
    """An agent's servers as its config and what was accepted tell of them; none was started."""

    agent: str
    servers: tuple[ServerSeen, ...]
    problems: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        rows = [(one.name, one.is_at, _state(one), _told(one)) for one in self.servers]
        waits = any(one.state != "accepted" for one in self.servers)
        end = [f"What is new or changed is not started before you accept it: foundry mcp trust {self.agent}"] if waits else []
        table = Table(("SERVER", "IS", "STATE", "ACCEPTED TOOLS"), rows, "It has no MCP servers.", last="broken")
        end += [f"foundry mcp login {self.agent} {one.name}" for one in self.servers if one.login == "needed"]
        return [table, *(f"! {one}" for one in self.problems), *end]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The servers that are not accepted any more."""

    agent: str
    servers: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        named = ", ".join(self.servers) or "None"
        return [f"{named} of {self.agent}: not accepted any more, and not started before you accept it anew."]


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """A server whose login was forgotten, or that had none."""

    agent: str
    server: str
    had: bool

    def shown(self) -> Sequence[Block]:
        if not self.had:
            return [f"{self.agent} has no login at {self.server}."]
        return [f"The login of {self.agent} at {self.server} is deleted here. What it allowed, its own pages take back."]


def list_servers(home: Home, name: str, environment: dict[str, str]) -> ServersSeen:
    """Return how the agent's servers stand; starts nothing. Raises NotFoundError, BadFileError."""
    agent = home.agent(name)
    return servers_of(home, agent, load_definition(agent.config), environment)


def servers_of(home: Home, agent: AgentFolder, definition: AgentDefinition, environment: dict[str, str]) -> ServersSeen:
    """Return how the servers that a definition names stand; starts nothing."""
    servers, problems = usable(definition, {*BUILT_INS, *RESERVED})
    found = []
    for one in servers.values():
        known = pin_of(agent, one.name)
        state = "accepted" if known.entry == entry_hash(one, agent) else "changed" if known.entry else "new"
        values = {key: value for key, (value, _) in resolve_keys(agent, home, one.variables(), environment).items()}
        kind, is_at = ("http", one.url) if one.url else ("stdio", _command(one))
        found.append(
            ServerSeen(one.name, kind, is_at, state, tuple(sorted(known.tools)), one.missing(values), need_of(agent, one))
        )
    return ServersSeen(agent.name, tuple(found), tuple(problems))


def trust_servers(
    home: Home,
    name: str,
    server: str = "",
    *,
    yes: bool = False,
    as_json: bool = False,
    settings: Settings,
    progress: Progress | None = None,
    confirm: Confirm | None = None,
) -> int:
    """Show a person the agent's servers and keep what they accept, in the agent's own process: see `run_agent`.

    Raises NotFoundError for no such server before anything is started, and what run_agent raises.
    """
    if server:
        _known(home, name, server)
    words = " ".join(("trust", *(["--yes"] if yes else []), *([server] if server else [])))
    output = "json" if as_json else None
    return run_agent(home, name, mcp=words, output=output, settings=settings, progress=progress, confirm=confirm)


def log_in(
    home: Home, name: str, server: str, *, settings: Settings, progress: Progress | None = None, confirm: Confirm | None = None
) -> int:
    """Log a person in at a server, in the agent's own process: see `run_agent`. Raises NotFoundError, UsageError."""
    if _known(home, name, server).kind != "http":
        raise UsageError(f"{server} is a command that is started here; there is nothing to log in to", f"foundry mcp list {name}")
    return run_agent(home, name, mcp=f"login {server}", settings=settings, progress=progress, confirm=confirm)


def log_out(home: Home, name: str, server: str) -> LoggedOut:
    """Forget the login at a server, also at one that the agent's config does not name any more. Raises NotFoundError."""
    agent = home.agent(name)
    had = forget_login(agent, server)
    if not had:
        _known(home, name, server)
    return LoggedOut(agent.name, server, had)


def _known(home: Home, name: str, server: str) -> ServerSeen:
    servers = {one.name: one for one in list_servers(home, name, {}).servers}
    if server not in servers:
        close = nearest(server, servers)
        hint = f'Did you mean "{close}"?' if close else f"foundry mcp list {name}"
        raise NotFoundError(f"{name} has no MCP server {server!r}", hint)
    return servers[server]


def forget_servers(home: Home, name: str, server: str = "") -> Forgotten:
    """Forget what was accepted of the agent's servers, or of the one named."""
    agent = home.agent(name)
    seen = list_servers(home, name, {})
    known = [one.name for one in seen.servers if one.state != "new" and server in ("", one.name)]
    for one in known:
        forget_pin(agent, one)
    return Forgotten(agent.name, tuple(known))


def serve_agents(
    home: Home,
    names: Sequence[str] = (),
    *,
    mode: str = "run",
    folder: str = "",
    settings: Settings,
    progress: Progress,
) -> int:
    """Serve agents and their tools over standard input and output until the input ends; none named is all that are ready.

    Raises UsageError, NotFoundError, NotReadyError where there is none, and for a single agent what run_agent raises.
    """
    if mode not in MODES:
        raise UsageError(f"{mode!r} is no mode that agents are served in", f"There are {', '.join(MODES)}.")
    wanted = [home.agent(name).name for name in dict.fromkeys(names)] if names else _ready(home)
    if not wanted:
        raise NotReadyError(f"no agent in {home.agents} is ready to be served", "Make one: foundry create NAME")
    if len(wanted) == 1:
        return run_agent(home, wanted[0], mode=mode, folder=folder or None, mcp="serve", settings=settings, progress=progress)
    from foundry.plugins.foundry_core.mcp_gateway import serve_together

    words = ("--mode", mode, "--home", str(home.path), *(("--folder", folder) if folder else ()))
    return serve_together(wanted, words, progress)


def _ready(home: Home) -> list[str]:
    """Return the agents that may run and have an environment."""
    return [name for name in home.names() if trust.check(home.agent(name)).holds and home.agent(name).python.exists()]


def _told(one: ServerSeen) -> str:
    needs = f"; needs {', '.join(one.missing)}" if one.missing else ""
    return (", ".join(one.tools) or "none") + needs


def _state(one: ServerSeen) -> str:
    return f"{one.state}, login needed" if one.login == "needed" else one.state


def _command(one: McpServer) -> str:
    return " ".join((one.command, *one.args))
