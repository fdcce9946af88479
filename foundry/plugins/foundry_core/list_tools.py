"""The tools there are, or those of one agent, read from source: nothing of a plugin is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foundry.agent.definition import load_definition
from foundry.agent.folder import Home
from foundry.console import Block, Table
from foundry.plugins.cards import ToolCard
from foundry.plugins.loader import built_in_cards
from foundry.plugins.loader import list_tools as tools_of


@dataclass(frozen=True, slots=True)
class ToolsListed:
    """Tools in the model's order, what is wrong, and the plugin folders that the agent's config does not name."""

    agent: str
    tools: tuple[ToolCard, ...]
    problems: tuple[str, ...] = ()
    not_loaded: tuple[str, ...] = ()

    def shown(self) -> Sequence[Block]:
        rows = [(card.id, _origin(card), _effects(card), card.problem or card.description) for card in self.tools]
        rows += [(name, "not loaded", "", 'its folder is there, but "plugins" does not name it') for name in self.not_loaded]
        empty = f"{self.agent} has no tools."
        blocks: list[Block] = [Table(("TOOL", "ORIGIN", "EFFECTS", "DESCRIPTION"), rows, empty, last="broken")]
        return [*blocks, *(f"! {problem}" for problem in self.problems)]


def list_tools(home: Home, name: str | None = None) -> ToolsListed:
    """Return every built-in tool, or what the agent called `name` has. Raises NotFoundError, or BadFileError for its config."""
    if name is None:
        return ToolsListed("", tuple(built_in_cards()))
    folder = home.agent(name)
    found = tools_of(folder, load_definition(folder.config))
    return ToolsListed(name, found.cards, found.problems, found.not_loaded)


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
