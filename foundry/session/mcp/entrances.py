"""The further ways into an agent's process: `foundry mcp serve`, `foundry mcp trust` and `foundry mcp login`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from foundry.agent.definition import load_definition
from foundry.agent.mcp_servers import variables_of
from foundry.agent.secrets import Redactor, read_env
from foundry.console import Block, Console, Table
from foundry.errors import NotFoundError, NotReadyError
from foundry.files import nearest
from foundry.session.mcp.asking import WAIT_SECONDS, entry_blocks, settle, tool_blocks
from foundry.session.mcp.servers import Servers
from foundry.session.opening import Opening
from foundry.session.terminal import Asker, signals


def enter(opening: Opening) -> int:
    """Do what `--mcp` asks for and return the exit code. Raises FoundryError."""
    what, *words = opening.options.mcp.split()
    if what == "serve":
        from foundry.session.mcp.serving import serve

        return serve(opening)
    if what == "login":
        from foundry.session.mcp.browser import login

        return login(opening, words[0], opened(opening, words[0]))
    return trust(opening, yes="--yes" in words, only=next((one for one in words if one != "--yes"), ""))


def trust(opening: Opening, *, yes: bool, only: str) -> int:
    """Show a person the agent's MCP servers, or the one named, and keep what they accept; with `yes` all of it is."""
    servers = opened(opening, only)
    console = opening.console
    asks = Asker(console)
    if not yes and not console.can_ask():
        raise NotReadyError(
            "trusting an MCP server needs a yes, and nobody is there to ask",
            f"Read agent.config.json, then: foundry mcp trust {opening.folder.name} {only or '[SERVER]'} --yes",
            code="not_trusted",
        )
    servers.start()
    servers.wait(WAIT_SECONDS)
    if yes:
        _accept_all(servers, console)
        said = servers.news(asks=False)
    else:
        said = asyncio.run(_asked(servers, asks, console))
    for line in said:
        console.warn(opening.clean(line))
    console.result(Looked(opening.folder.name, tuple((name, servers.state(one)) for name, one in servers.entries.items())))
    return 0 if not servers.unsettled() else NotReadyError.exit_code


def opened(opening: Opening, only: str) -> Servers:
    """Return the agent's servers, or the one named, with their variables; none is started. Raises NotFoundError."""
    definition = load_definition(opening.folder.config)
    handed = opening.handoff.keys if opening.handoff else {}
    own = read_env(opening.folder.env_file)
    values = {name: own.get(name) or handed.get(name) or os.environ.get(name, "") for name in variables_of(definition)}
    opening.redactor = Redactor({**handed, **own, **values})
    servers = opening.servers = Servers(opening.folder, definition, values, opening.redactor.learn)
    if only:
        if only not in servers.entries:
            close = nearest(only, servers.entries)
            hint = f'Did you mean "{close}"?' if close else f"foundry mcp list {opening.folder.name}"
            raise NotFoundError(f"{opening.folder.name} has no MCP server {only!r}", hint)
        servers.entries = {only: servers.entries[only]}
    return servers


async def _asked(servers: Servers, asks: Asker, console: Console) -> list[str]:
    with signals(lambda _: asks.no(), signal.SIGINT):
        return await settle(servers, asks, console)


def _accept_all(servers: Servers, console: Console) -> None:
    for entry in servers.waiting():
        if entry.standing != "accepted":
            console.put(console.rows(entry_blocks(servers, entry)))
            servers.accept_entry(entry)
            entry.settled.wait(WAIT_SECONDS)
        if unseen := entry.unseen():
            console.put(console.rows(tool_blocks(entry, unseen)))
            servers.accept_tools(entry, unseen)


@dataclass(frozen=True, slots=True)
class Looked:
    """How the servers of an agent stand after they were looked at: each with its state in words."""

    agent: str
    servers: tuple[tuple[str, str], ...]

    def shown(self) -> Sequence[Block]:
        return [Table(("SERVER", "STATE"), list(self.servers), "It has no MCP servers.", last="broken")]
