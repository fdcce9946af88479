"""The table of built-in plugins: where each stands, the extra and packages it needs, the variables it can be given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from foundry.agent.definition import AgentDefinition
from foundry.agent.mcp_servers import variables_of

_LIBRARY = "foundry.plugins.standard_lib"


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """One plugin that comes with Foundry.

    `extra` is what of the distribution it needs, "" nothing; `packages` are the modules without which a function of it cannot
    work, those under "" without which none can; `variables` are what it can be given in .env, with what for: one whose text
    starts with "optional" it can do without.
    """

    module: str
    cls: str
    summary: str
    extra: str = ""
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def missing(self, function: str, there: Callable[[str], bool]) -> str:
        """Return the first package that `function` of the plugin cannot do without and that is not `there`, or ""."""
        needed = (*self.packages.get("", ()), *self.packages.get(function, ()))
        return next((one for one in needed if not there(one)), "")


BUILT_INS: Mapping[str, BuiltIn] = {
    "read_write_code": BuiltIn(
        f"{_LIBRARY}.read_write_code", "ReadWriteCode", "Read, list and change the working folder's files."
    ),
    "grep_codebase": BuiltIn(
        f"{_LIBRARY}.grep_codebase", "GrepCodebase", "Search the working folder's files by regular expression."
    ),
    "terminal": BuiltIn(f"{_LIBRARY}.terminal", "Terminal", "Run commands in the working folder, in the jail."),
    "foundry_core": BuiltIn("foundry.plugins.foundry_core.tools", "FoundryCore", "Make agents, look after them, run them."),
    "clock": BuiltIn(f"{_LIBRARY}.clock", "Clock", "Date and time here or in another time zone."),
}


def extras_of(definition: AgentDefinition) -> tuple[str, ...]:
    """Return the extras of Foundry that the agent's built-in tools need, sorted."""
    return tuple(sorted({BUILT_INS[name].extra for name in _named(definition.tools)} - {""}))


def env_of(definition: AgentDefinition) -> dict[str, str]:
    """Return the variables the agent is given, with what for: those its built-in tools know, those its config names."""
    found = {key: why for name in _named(definition.tools) for key, why in BUILT_INS[name].variables.items()}
    found = {**variables_of(definition), **found}
    return {**found, **{key: why or found.get(key, "") for key, why in definition.env.items()}}


def needs(name: str, package: str) -> str:
    """Return what is said of a built-in's tool whose package is missing."""
    return f'needs the package {package}, which the extra "{BUILT_INS[name].extra}" brings'


def _named(tools: Iterable[str]) -> Iterator[str]:
    """Yield the built-in plugins that entries of `tools` name, each once."""
    yield from dict.fromkeys(name for name in (tool.partition(".")[0] for tool in tools) if name in BUILT_INS)
