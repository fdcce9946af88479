"""The tools there are, or those of one agent, read from source: nothing of a plugin is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foundry.agent.definition import load_definition
from foundry.agent.folder import Home
from foundry.console import Block, Table
from foundry.plugins.cards import ToolCard
from foundry.plugins.foundry_core.mcp_servers import ServerSeen, servers_of
from foundry.plugins.loader import built_in_cards
from foundry.plugins.loader import list_tools as tools_of


@dataclass(frozen=True, slots=True)
class ToolsListed:
    """Tools in the model's order, what is wrong, the plugin folders that the agent's config does not name, its MCP servers."""

    agent: str
    tools: tuple[ToolCard, ...]
    problems: tuple[str, ...] = ()
    not_loaded: tuple[str, ...] = ()
    servers: tuple[ServerSeen, ...] = ()

    def shown(self) -> Sequence[Block]:
        rows = [(card.id, _origin(card), _effects(card), card.problem or card.description) for card in self.tools]
        rows += [(name, "not loaded", "", 'its folder is there, but "plugins" does not name it') for name in self.not_loaded]
        rows += [(f"{one.name}.*", "mcp", "", _offers(self.agent, one)) for one in self.servers]
        empty = f"{self.agent} has no tools."
        blocks: list[Block] = [Table(("TOOL", "ORIGIN", "EFFECTS", "DESCRIPTION"), rows, empty, last="broken")]
        return [*blocks, *(f"! {problem}" for problem in self.problems)]


def list_tools(home: Home, name: str | None = None) -> ToolsListed:
    """Return every built-in tool, or what the agent called `name` has. Raises NotFoundError, or BadFileError for its config."""
    if name is None:
        return ToolsListed("", tuple(built_in_cards()))
    folder = home.agent(name)
    definition = load_definition(folder.config)
    found, seen = tools_of(folder, definition), servers_of(home, folder, definition, {})
    return ToolsListed(name, found.cards, (*found.problems, *seen.problems), found.not_loaded, seen.servers)


def _offers(agent: str, server: ServerSeen) -> str:
    """Return which tools of a server were accepted, or that none is until the server is."""
    if server.state != "accepted":
        return f"{server.state}, not started before you accept it: foundry mcp trust {agent}"
    return f"accepted: {', '.join(server.tools) or 'none yet'}"


def _origin(card: ToolCard) -> str:
    if card.problem:
        return "missing" if card.origin == "built-in" else "broken"
    return card.origin


def _effects(card: ToolCard) -> str:
    told = ", ".join(card.effects) or "none"
    if card.problem:
        return ""
    if card.extra and card.origin == "built-in":
        told += f" (extra: {card.extra})"
    return told if card.origin == "built-in" else f"declared: {told}"
