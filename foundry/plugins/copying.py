"""Built-in tools copied into a new agent as plugins of its own: `terminal` becomes plugins/my_terminal, one file to change."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.parser import Parser

from foundry.agent.definition import AgentDefinition
from foundry.agent.wheel import runtime_wheel
from foundry.errors import UsageError
from foundry.plugins.api import Effect
from foundry.plugins.built_ins import BUILT_INS, env_of
from foundry.plugins.cards import ALL_EFFECTS, read_built_in
from foundry.settings import VERSION

PREFIX = "my_"
_OF_EXTRA = re.compile(r"""\s*(?:and\s+)?extra\s*==\s*['"]([^'"]+)['"]\s*""")


@dataclass(frozen=True, slots=True)
class Copies:
    """An agent's definition with copies in place of built-in tools, the copies' files by path, what its README says of each."""

    definition: AgentDefinition
    files: Mapping[str, str] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()


def copied(definition: AgentDefinition) -> Copies:
    """Return what makes the built-in tools that a new agent is given plugins of its own.

    What they need stays needed: packages as `dependencies`, variables as `env`. Raises UsageError for what cannot be copied.
    """
    names = list(dict.fromkeys(name for name in map(_plugin, definition.tools) if name in BUILT_INS))
    if not names:
        raise UsageError("there is no built-in tool to copy", "Name some with --tools (see: foundry tools).")
    for name in names:
        _refuse(name, definition)
    requirements = {name: tuple(_requirements(name)) for name in names}
    needed = dict.fromkeys([*definition.dependencies, *(one for name in names for one in requirements[name])])
    whole = {name for name in names if name in definition.tools}
    tools = (_renamed(one) for one in definition.tools if _plugin(one) not in whole)
    changed = replace(
        definition,
        tools=tuple(dict.fromkeys(tools)),
        plugins=(*definition.plugins, *(PREFIX + name for name in names)),
        dependencies=tuple(needed),
        env=env_of(definition),
    )
    files: dict[str, str] = {}
    for name in names:
        files[f"plugins/{PREFIX}{name}/__init__.py"] = BUILT_INS[name].file.read_text("utf-8")
        files[f"plugins/{PREFIX}{name}/plugin.json"] = _manifest(name, requirements[name])
    said = (
        f"`{PREFIX}{name}`: its own copy of `{name}` of Agent Foundry {VERSION}, in `plugins/{PREFIX}{name}/`" for name in names
    )
    return Copies(changed, files, tuple(said), tuple(PREFIX + name for name in names if name in whole))


def _plugin(entry: str) -> str:
    return entry.partition(".")[0]


def _renamed(entry: str) -> str:
    return PREFIX + entry if _plugin(entry) in BUILT_INS else entry


def _refuse(name: str, definition: AgentDefinition) -> None:
    if not BUILT_INS[name].module.startswith("foundry.plugins.standard_lib."):
        raise UsageError(f"{name} cannot be copied: it is Foundry itself", "Leave it out of --tools, or leave out --copy-tools.")
    if PREFIX + name in definition.plugins:
        hint = "Choose another blueprint, or leave out --copy-tools."
        raise UsageError(f"the agent has a plugin {PREFIX}{name} already", hint)


def _manifest(name: str, requirements: tuple[str, ...]) -> str:
    declared = {one for card in read_built_in(BUILT_INS[name].file, name) for one in card.effects}
    effects: list[Effect] = [one for one in ALL_EFFECTS if one in declared]
    data = {"version": VERSION, "description": BUILT_INS[name].summary, "requires": list(requirements), "effects": effects}
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _requirements(name: str) -> Iterator[str]:
    """Yield the requirements of the extra that a built-in needs, as the Foundry that is installed in agents tells them."""
    extra = BUILT_INS[name].extra
    if not extra:
        return
    with zipfile.ZipFile(runtime_wheel().path) as wheel:
        metadata = next(one for one in wheel.namelist() if one.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(wheel.read(metadata).decode("utf-8"), headersonly=True)
    for line in told.get_all("Requires-Dist", []):
        requirement, _, marker = line.partition(";")
        found = _OF_EXTRA.search(marker)
        if found and found[1] == extra:
            rest = _OF_EXTRA.sub("", marker).strip().removeprefix("and ")
            yield requirement.strip() + (f"; {rest}" if rest else "")
