"""What an agent may do unasked and who says so: the rules in force, what they decided, taking back, and why a call would run."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foundry.agent.decisions import recorded
from foundry.agent.definition import AgentDefinition, load_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.policy import Mode, Ruling, grant_name, rule, rule_name, rule_text, rulings, table_rows
from foundry.agent.standing import Grant, Standing, change_standing, standing_of
from foundry.console import Block, Facts, Table
from foundry.errors import FoundryError, UsageError
from foundry.files import nearest
from foundry.plugins.action import action_of
from foundry.plugins.api import Plan, Preview, ToolContext, ToolError
from foundry.plugins.cards import TO_ACCEPT, PluginProblem, ToolCard, plugin_code_hash
from foundry.plugins.installed import offered_code_hash
from foundry.plugins.loader import closed_to_tools, list_tools, load_tools, offers_of
from foundry.text import local_time


@dataclass(frozen=True, slots=True)
class RuleInForce:
    """One rule: where it is from, what it says, how often it decided and when last; `number` is what revoke takes, 0 for none."""

    source: str
    says: str
    matched: int = 0
    last: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class ApprovalsShown:
    """The rules in force, in the order they are asked; then the mode's table decides."""

    agent: str
    rules: tuple[RuleInForce, ...]
    decided: int
    denied: int

    def shown(self) -> Sequence[Block]:
        rows = [
            (str(one.number or ""), one.source, str(one.matched or "-"), local_time(one.last) if one.last else "-", one.says)
            for one in self.rules
        ]
        empty = f"{self.agent} has no rules of its own, and nothing was always allowed."
        head, *modes = table_rows()
        counted = f"Calls decided so far: {self.decided:,}; denied: {self.denied:,}."
        table = Table(tuple(word.upper() for word in head), [tuple(row) for row in modes])
        rules = Table(("N", "FROM", "MATCHED", "LAST", "RULE"), rows, empty, last="broken")
        return [rules, "", "What no rule decides, the mode does:", table, "", counted]


@dataclass(frozen=True, slots=True)
class Revoked:
    """What the agent may not do unasked any more."""

    agent: str
    removed: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        if not self.removed:
            return [f"There is nothing to take back: nothing was always allowed to {self.agent}."]
        return [f"{self.agent} asks again from its next call on:", *(f"  {one}" for one in self.removed)]


@dataclass(frozen=True, slots=True)
class ColumnRuling:
    """What would happen with a call in one column of the table."""

    column: str
    verdict: str
    by: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Explained:
    """What would happen with a call, and each column's part in it; the strictest decides."""

    tool: str
    mode: str
    verdict: str
    by: str
    rule: str
    reason: str
    columns: tuple[ColumnRuling, ...]
    paths: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        facts = [("verdict", self.verdict), ("decided by", self.rule or self.by), ("why", self.reason)]
        rows = [(one.column, one.verdict, one.rule or one.by, one.reason) for one in self.columns]
        paths = [("paths", "\n".join(self.paths))] if self.paths else []
        title = f"{self.tool} in {self.mode} mode"
        return [Facts([*facts, *paths], title), "", Table(("COLUMN", "VERDICT", "BY", "WHY"), rows, last="broken")]


def list_approvals(home: Home, name: str) -> ApprovalsShown:
    """Return the rules in force with what each has decided. Raises NotFoundError, or BadFileError for the agent's config."""
    folder = home.agent(name)
    definition, known = load_definition(folder.config), standing_of(folder)
    counted: dict[str, tuple[int, str]] = {}
    decided = denied = 0
    for one in recorded(folder):
        decided += 1
        denied += one.get("allowed") is not True
        named = str(one.get("rule", ""))
        counted[named] = (counted.get(named, (0, ""))[0] + 1, str(one.get("at", "")))
    rules = [
        RuleInForce(rule_name(number), rule_text(one), *counted.get(rule_name(number), (0, "")))
        for number, one in enumerate(definition.approvals, 1)
    ]
    for number, (source, says, key) in enumerate(_given(known), 1):
        rules.append(RuleInForce(source, says, *counted.get(key, (0, "")), number))
    return ApprovalsShown(name, tuple(rules), decided, denied)


def revoke_approvals(home: Home, name: str, which: str) -> Revoked:
    """Take back what was always allowed, or accepted of a plugin's effects: a number of the list, or "all".

    Raises NotFoundError, UsageError for what is no number of the list.
    """
    folder = home.agent(name)
    given = _given(standing_of(folder))
    if which == "all":
        chosen = given
    elif which.isascii() and which.isdigit() and 0 < int(which) <= len(given):
        chosen = given[int(which) - 1 : int(which)]
    else:
        hint = f"Give a number of: foundry approvals {name}, or all." if given else f"Nothing was always allowed to {name}."
        raise UsageError(f"there is no {which!r} to take back", hint)
    gone = {key for _, _, key in chosen}

    def change(old: Standing) -> Standing:
        grants = tuple(one for one in old.grants if _key(one) not in gone)
        return replace(old, grants=grants, accepted={one: code for one, code in old.accepted.items() if _plugin(one) not in gone})

    if chosen:
        change_standing(folder, change)
    return Revoked(name, tuple(f"{source}: {says}" for source, says, _ in chosen))


def explain_call(home: Home, name: str, call: str, mode: Mode = "run") -> Explained:
    """Return what would happen with a call written as `plugin.function {"argument": "value"}`; nothing is done or changed.

    A built-in tool that says first what it would do is asked for that; nothing of an own plugin is run. Raises NotFoundError,
    UsageError for a call that cannot be read, a tool that the agent does not have, or what the tool itself refuses.
    """
    folder = home.agent(name)
    definition, known = load_definition(folder.config), standing_of(folder)
    tool, arguments = _read(call)
    card = _card(folder, definition, tool)
    code = _code(folder, definition, card)
    work = folder.path / definition.folder
    accepted = known.accepts(card.plugin, code)
    preview = _preview(folder, definition, card, arguments, work)
    action = action_of(tool, card.origin, card.effects, arguments, preview, work, code=code, accepted=accepted)
    found = rule(mode, action, definition.approvals, known.grants)
    columns = tuple(map(_column, rulings(mode, action, definition.approvals, known.grants)))
    return Explained(tool, mode, found.verdict, found.by, found.rule, found.reason, columns, action.paths)


def _column(one: Ruling) -> ColumnRuling:
    return ColumnRuling(str(one.column), one.verdict, one.by, one.rule, one.reason)


def _given(known: Standing) -> list[tuple[str, str, str]]:
    """Return what a person gave an agent, in order: where it stands, what it says, its key."""
    grants = [("always", grant_name(one).removeprefix("always: "), _key(one)) for one in known.grants]
    return [*grants, *(("accepted", f"the effects of plugin {one}", _plugin(one)) for one in known.accepted)]


def _key(grant: Grant) -> str:
    return grant_name(grant)


def _plugin(name: str) -> str:
    return f"accepted: {name}"


def _read(call: str) -> tuple[str, Mapping[str, Any]]:
    from foundry.plugins.schema import parse_arguments

    tool, _, rest = call.strip().partition(" ")
    try:
        return tool, parse_arguments(rest.strip() or "{}")
    except ToolError as error:
        raise UsageError(f"the arguments cannot be read: {error}", _EXAMPLE) from None


_EXAMPLE = """For instance: foundry approvals NAME explain 'read_write_code.read_file {"path": "a.txt"}'"""


def _card(folder: AgentFolder, definition: AgentDefinition, tool: str) -> ToolCard:
    cards = [card for card in list_tools(folder, definition).cards if not card.problem]
    for card in cards:
        if card.id == tool:
            return card
    close = nearest(tool, [card.id for card in cards])
    hint = f'Did you mean "{close}"?' if close else f"foundry tools {folder.name}"
    raise UsageError(f"{folder.name} has no tool {tool!r}", hint, code="unknown_tool")


def _preview(
    folder: AgentFolder, definition: AgentDefinition, card: ToolCard, arguments: Mapping[str, Any], work: Path
) -> Preview | None:
    """Return what a built-in tool says it would do; None for one that does not say."""
    if card.origin in TO_ACCEPT:
        return None
    import asyncio

    only = replace(definition, tools=(card.id,), plugins=())
    tools, problems = load_tools(folder, only, ToolContext(work, closed=closed_to_tools(folder)))
    if not tools:
        raise FoundryError(f"{card.id} cannot be loaded: {' '.join(problems)}", f"foundry sync {folder.name}")
    try:
        checked = tools[0].check(dict(arguments))
        if plan := tools[0].plan:
            return asyncio.run(_awaited(plan(checked))).preview
    except ToolError as error:
        raise UsageError(f"{card.id} itself refuses the call: {error}", _EXAMPLE, code="refused") from None
    return None


async def _awaited(plan: Awaitable[Plan]) -> Plan:
    return await plan


def _code(folder: AgentFolder, definition: AgentDefinition, card: ToolCard) -> str:
    if card.origin not in TO_ACCEPT:
        return ""
    try:
        if card.origin == "package":
            return offered_code_hash(offers_of(folder, definition)[card.plugin])
        return plugin_code_hash(folder.plugins / card.plugin)
    except (PluginProblem, FoundryError):
        return ""
