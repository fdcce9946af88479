"""A person looks at what is new of the MCP servers, between two prompts: how one is started, then what its tools say."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from foundry.console import Block, Console, Facts, Table, spelled
from foundry.errors import FoundryError
from foundry.plugins.strict import in_thread
from foundry.session.mcp.servers import Entry, Servers
from foundry.session.mcp.tools import ServerTool

WAIT_SECONDS = 10.0  # what a person, or the answer of a one-shot run, waits for servers at most
_CAREFUL = (
    "It runs as you, with your rights, outside the jail, and can read and change what you can.",
    "What you send it, and what its tools are called with, goes to somebody else's machine.",
)


class Chooser(Protocol):
    """Asks a person; session/terminal.Asker is one."""

    @property
    def refused(self) -> bool: ...

    async def choose(self, title: str, shown: Sequence[Block], answers: dict[str, str], ask: str = ...) -> str: ...


async def settle(servers: Servers, asks: Chooser | None, console: Console) -> list[str]:
    """Ask about each server that waits for it; return what is to be said of those left out.

    Without `asks` nobody is there, which is a no to everything that was not accepted before.
    """
    if asks:
        for entry in servers.waiting():
            await _looked_at(servers, entry, asks, console)
    return servers.news(asks=False)


async def _looked_at(servers: Servers, entry: Entry, asks: Chooser, console: Console) -> None:
    try:
        if entry.standing != "accepted":
            answers = {"y": "start it" if entry.server.command else "connect", "n": "leave it out"}
            if await asks.choose(f"MCP server {entry.server.name}", entry_blocks(servers, entry), answers, "Trust it?") != "y":
                servers.refuse(entry, [])
                return
            await in_thread(partial(servers.accept_entry, entry))
            console.status(f"starting {entry.server.name} …")
            await in_thread(partial(entry.settled.wait, WAIT_SECONDS))
            console.status("")
        if unseen := entry.unseen():
            answers = {"y": "offer them to the model", "n": "leave them out"}
            title = f"tools of the MCP server {entry.server.name}"
            if await asks.choose(title, tool_blocks(entry, unseen), answers, "Accept them?") == "y":
                await in_thread(partial(servers.accept_tools, entry, unseen))
            else:
                servers.refuse(entry, unseen)
    except (OSError, FoundryError) as error:
        console.warn(f'The MCP server "{entry.server.name}" is left out: what you accept cannot be kept: {error}')


def entry_blocks(servers: Servers, entry: Entry) -> list[Block]:
    """Return all that starting or reaching the server does."""
    changed = [("careful", "this is not what you accepted before")] if entry.standing == "changed" else []
    pairs = [(spelled(name), spelled(value)) for name, value in entry.server.facts(servers.agent)]
    return [Facts([*pairs, *changed, ("means", _CAREFUL[bool(entry.server.url)])])]


def tool_blocks(entry: Entry, tools: Sequence[ServerTool]) -> list[Block]:
    """Return all that the model would be told of these tools, one after another."""
    shown: list[Block] = []
    for one in tools:
        if one.name in entry.known or one.name in entry.accepted:
            shown.append(f"! {one.id} is not what you accepted before")
        shown += one.shown()
    return shown


def listed(servers: Servers) -> Block:
    """Return how the servers stand."""
    rows = [(one.server.name, one.server.url or one.server.command, servers.state(one)) for one in servers.entries.values()]
    return Table(("SERVER", "IS", "STATE"), rows, "It has no MCP servers.", last="broken")
