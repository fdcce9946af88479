"""What can be found out about changed code before anybody accepts it: read, and imported and tested where a jail holds."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foundry.agent.definition import AgentDefinition, parse_definition
from foundry.agent.folder import AgentFolder
from foundry.agent.history import Code, code_of
from foundry.agent.standing import standing_of
from foundry.agent.venv import pins
from foundry.diff import Diff
from foundry.errors import FoundryError, NotReadyError
from foundry.files import read_json
from foundry.plugins import own_tests
from foundry.plugins.built_ins import BUILT_INS, extras_of
from foundry.plugins.cards import ALL_EFFECTS, PluginProblem, ToolCard, check_name, parse, plugin_code_hash, read_manifest
from foundry.plugins.check import Verdict, check_plugin
from foundry.plugins.loader import list_tools
from foundry.sandbox import jail
from foundry.session.edit.naming import RESERVED
from foundry.session.edit.proposal import Package, PluginTests, Proposal, ToolChange
from foundry.session.edit.shadow import Shadow, State

_FOR_PERSONS = re.compile(r'Add the package of "[^"]*" to "dependencies" and run: foundry sync')
_SAID = 3000  # characters kept of a test's failure
_TEST_SECONDS = 60.0
_OURS = {"foundry", "foundry_plugins", "__future__", "typing"}


@dataclass(frozen=True, slots=True)
class Environment:
    """One that was made apart, in `path`, from `lock`, for these dependencies and extras."""

    path: Path
    lock: bytes
    dependencies: tuple[str, ...]
    extras: tuple[str, ...]

    def serves(self, definition: AgentDefinition, lock: bytes | None) -> bool:
        """Return whether it is what an agent with this definition and lock needs."""
        made_for = self.lock, self.dependencies, self.extras
        return made_for == (lock, definition.dependencies, extras_of(definition)) and self.path.is_dir()


@dataclass(frozen=True, slots=True)
class Workbench:
    """What checks are made with: the Python that the code would run in, and the jail's level where the best is not wanted."""

    python: Path
    level: jail.Level | None = None

    @property
    def venv(self) -> Path:
        return self.python.parent.parent

    def cell(self, code: Path) -> jail.Cell:
        """Return the jail for code in `code`: that and the packages to be read, nothing to be written, no network, no secrets."""
        import foundry

        beside = (self.venv, Path(sys.base_prefix), Path(foundry.__file__).parent.parent)
        return jail.Cell(None, readable=tuple(dict.fromkeys((code, *beside))))


def propose(shadow: Shadow, bench: Workbench, summary: str = "", environment: Environment | None = None) -> Proposal:
    """Return all that was changed in the shadow, checked; `environment` is what was made for its dependencies, if anything."""
    changes = shadow.changes()
    files = tuple(_diff(name, before, after) for name, (before, after) in changes.items())
    proposal = Proposal(summary, files)
    try:
        definition = _definition(shadow.folder)
    except FoundryError as error:
        return replace(proposal, problems=(error.message,), executed=False)
    lock = shadow.folder.lock.read_bytes() if shadow.folder.lock.is_file() else None
    if environment and _needs_another(shadow, definition, files) and environment.serves(definition, lock):
        proposal = replace(proposal, venv=environment.path)
    return _checked(shadow, bench, definition, proposal)


def run_tests(shadow: Shadow, bench: Workbench, plugin: str) -> PluginTests:
    """Run one plugin's tests in the jail. Raises NotReadyError where none holds."""
    folder = shadow.folder.plugins.resolve() / plugin
    if not (folder / "tests").is_dir():
        return PluginTests(plugin, "none")
    cell = bench.cell(folder.parent)
    quiet = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    cell = replace(cell, env=quiet, bounds=replace(cell.bounds, seconds=_TEST_SECONDS))
    argv = [str(bench.python), "-P", "-m", "foundry.plugins.own_tests", str(folder.parent), plugin]
    ended = jail.run(argv, cell, level=bench.level)
    said = re.sub(rf"[^\s\"'(]*/plugins/(?={plugin}/)", "plugins/", ended.out.strip())
    if ended.ended != "itself":
        return PluginTests(plugin, "failed", _tail(f"{said}\nstopped: too much {ended.ended}"), ended.seconds)
    if ended.code == own_tests.NOT_THERE:
        return PluginTests(plugin, "not run", "pytest is not in the agent's environment; foundry sync brings it")
    if ended.code == 0:
        return PluginTests(plugin, "passed", said.splitlines()[-1] if said else "", ended.seconds)
    if ended.code == 5:
        return PluginTests(plugin, "none", seconds=ended.seconds)
    return PluginTests(plugin, "failed", _tail(said or ended.err.strip() or f"ended with code {ended.code}"), ended.seconds)


def _definition(folder: AgentFolder) -> AgentDefinition:
    """Return the definition in `folder`. Raises FoundryError without naming where the folder is."""
    try:
        return parse_definition(read_json(folder.config))
    except ValueError as error:
        raise FoundryError(f"agent.config.json: {error}") from None
    except FoundryError as error:
        raise FoundryError(error.message.replace(f"{folder.path}/", "")) from None


def _checked(shadow: Shadow, bench: Workbench, definition: AgentDefinition, proposal: Proposal) -> Proposal:
    before = _before(shadow)
    plugins = _plugins(shadow, proposal.files)
    beside = _beside(shadow, plugins, proposal.files)
    loaded = tuple(one for one in definition.plugins if one not in (*plugins, *before.plugins))
    problems = [*_name_problems(plugins, shadow.folder, definition), *_list_problems(shadow, definition, before, bench.venv)]
    problems += _source_problems(shadow, proposal.files, definition)
    if _needs_another(shadow, definition, proposal.files) and proposal.venv is None:
        problems.append("The dependencies or tools need another environment: call set_dependencies with the whole list.")
    tools = {card.id: _of_card(card) for card in list_tools(shadow.folder, definition, bench.venv).cards if not card.problem}
    known = {card.id: _of_card(card) for card in list_tools(shadow.agent, before).cards if not card.problem}
    tests: list[PluginTests] = []
    level, executed = "", True
    for plugin in (*plugins, *loaded) if not problems else ():
        try:
            verdict = _imported(shadow.folder, bench, plugin)
            level = verdict.level or level
            if not verdict.ok:
                problems.append(_FOR_PERSONS.sub("Set it with agent_code.set_dependencies", verdict.problem().told()))
                continue
            _take(tools, plugin, verdict, shadow.folder)
            if plugin in before.plugins:
                _take(known, plugin, _imported(shadow.agent, bench, plugin), shadow.agent)
            tests.append(run_tests(shadow, bench, plugin))
        except NotReadyError:
            level, executed = "none", False
            tests.append(PluginTests(plugin, "not run"))
    return replace(
        proposal,
        tools=tuple(_tool_changes(known, tools)),
        plugins=plugins,
        beside={name: raw for name, (raw, _) in beside.items()},
        unseen=tuple(Diff(name, None, raw, (None, mode)) for name, (raw, mode) in beside.items() if _is_unseen(shadow, name)),
        loaded=loaded,
        packages=tuple(_packages(proposal.files)),
        imports=tuple(_imports(proposal.files)),
        env={name: why for name, why in definition.env.items() if before.env.get(name) != why},
        tests=tuple(tests),
        problems=tuple(dict.fromkeys(problems)),
        executed=executed,
        level=level,
    )


def _before(shadow: Shadow) -> AgentDefinition:
    """Return the agent's present definition, an empty one where it is broken: it may be what is being mended."""
    try:
        return _definition(shadow.agent)
    except FoundryError:
        return AgentDefinition(shadow.agent.name)


def _diff(name: str, before: State | None, after: State | None) -> Diff:
    was, will = before or (None, None), after or (None, None)
    return Diff(name, was[0], will[0], (was[1], will[1]))


def _plugins(shadow: Shadow, files: Iterable[Diff]) -> tuple[str, ...]:
    """Return the own plugins whose files change and that are still there."""
    parts = (one.name.split("/") for one in files)
    named = dict.fromkeys(part[1] for part in parts if part[0] == "plugins" and len(part) > 2)
    return tuple(name for name in named if (shadow.folder.plugins / name).is_dir())


def _beside(shadow: Shadow, plugins: Iterable[str], files: Iterable[Diff]) -> Code:
    """Return the files of these plugins that do not change: an accept is of the plugin as a whole."""
    changed = {one.name for one in files}
    inside = tuple(f"plugins/{one}/" for one in plugins)
    return {name: state for name, state in code_of(shadow.folder).items() if name.startswith(inside) and name not in changed}


def _is_unseen(shadow: Shadow, name: str) -> bool:
    """Return whether a file is of a plugin whose code, as the agent has it, nobody accepted yet."""
    plugin = name.split("/")[1]
    try:
        return not standing_of(shadow.agent).accepts(plugin, plugin_code_hash(shadow.agent.plugins / plugin))
    except PluginProblem:
        return True


# problems ---------------------------------------------------------------------------------------------------------------


def _source_problems(shadow: Shadow, files: Iterable[Diff], definition: AgentDefinition) -> Iterator[str]:
    """Yield what keeps the changed Python from being read where nobody else looks: beside the plugins and in their tests."""
    if not (shadow.folder.path / definition.entry_file).is_file():
        yield f"{definition.entry_file}, which starts the agent, is not there."
    for one in files:
        if one.after is None or not one.name.endswith(".py") or (one.name.startswith("plugins/") and "/tests/" not in one.name):
            continue
        try:
            parse(shadow.folder.path / one.name, shadow.folder.path)
        except PluginProblem as problem:
            yield problem.told().removeprefix("plugins/")  # it is told as if all code were in there


def _name_problems(plugins: Iterable[str], folder: AgentFolder, definition: AgentDefinition) -> Iterator[str]:
    for name in plugins:
        if name in BUILT_INS or name in RESERVED:
            yield f'"{name}" is the name of a built-in; rename the plugin.'
        elif name not in definition.plugins:
            yield f'The plugin "{name}" is not named in "plugins" of agent.config.json: configure(plugins=[…, "{name}"]).'
        else:
            try:
                check_name(name)
            except PluginProblem as problem:
                yield problem.told()


def _list_problems(shadow: Shadow, definition: AgentDefinition, before: AgentDefinition, venv: Path) -> list[str]:
    """Return what stands in the way of the tools, but for what did so before: no change is to blame for that."""
    old = set(list_tools(shadow.agent, before).problems)
    return [one for one in list_tools(shadow.folder, definition, venv).problems if one not in old]


def _needs_another(shadow: Shadow, definition: AgentDefinition, files: Iterable[Diff]) -> bool:
    """Return whether the agent would need another environment than it has; one with more than it needs serves as well."""
    before = _before(shadow)
    changed = definition.dependencies != before.dependencies or not set(extras_of(definition)) <= set(extras_of(before))
    return changed or any(one.name == shadow.folder.lock.name for one in files)


# tools ------------------------------------------------------------------------------------------------------------------


def _imported(folder: AgentFolder, bench: Workbench, plugin: str) -> Verdict:
    verdict = check_plugin(bench.python, folder, plugin, cell=bench.cell(folder.plugins.resolve()), level=bench.level)
    return replace(verdict, message=verdict.message.replace(f"{folder.path.resolve()}/", ""))


def _of_card(card: ToolCard) -> ToolChange:
    written = "\n".join(
        one.name + (f": {one.type}" if one.type else "") + (f" = {one.default}" if one.default else "") for one in card.parameters
    )
    return ToolChange(card.id, "new", card.description, card.effects, written=written)


def _take(tools: dict[str, ToolChange], plugin: str, verdict: Verdict, folder: AgentFolder) -> None:
    """Put what the import told in the place of what the source tells."""
    if not verdict.specs:
        return
    usual = read_manifest(folder.plugins / plugin).effects
    wanted = {name for name in tools if name.startswith(f"{plugin}.")}
    for name in wanted:
        del tools[name]
    for one in verdict.specs:
        tools[str(one["id"])] = ToolChange(str(one["id"]), "new", str(one["description"]), _effects(one, usual), one["schema"])


def _effects(spec: Mapping[str, Any], usual: tuple[str, ...]) -> tuple[str, ...]:
    declared = spec["effects"]
    return usual if declared is None else tuple(one for one in ALL_EFFECTS if one in declared)


def _tool_changes(before: Mapping[str, ToolChange], after: Mapping[str, ToolChange]) -> Iterator[ToolChange]:
    for name, tool in after.items():
        if name not in before:
            yield tool
        elif _differs(before[name], tool):
            yield replace(tool, change="changed")
    for name, tool in before.items():
        if name not in after:
            yield replace(tool, change="gone")


def _differs(was: ToolChange, will: ToolChange) -> bool:
    if (was.description, was.effects) != (will.description, will.effects):
        return True
    return was.schema != will.schema if was.schema and will.schema else was.written != will.written and not will.schema


# packages and imports ---------------------------------------------------------------------------------------------------


def _packages(files: Iterable[Diff]) -> Iterator[Package]:
    for one in files:
        if one.name == "requirements.lock":
            was, will = (dict(sorted(pins((lock or b"").decode("utf-8", "replace")))) for lock in (one.before, one.after))
            for name in sorted({*was, *will}):
                if was.get(name) != will.get(name):
                    yield Package(name, was.get(name, ""), will.get(name, ""))


def _imports(files: tuple[Diff, ...]) -> list[str]:
    """Return the modules that the changed code imports and did not import before, tests left out."""
    code = [one for one in files if one.name.endswith(".py") and "/tests/" not in one.name]
    was = {name for one in code for name in _imported_by(one.before)}
    return sorted({name for one in code for name in _imported_by(one.after)} - was - _OURS)


def _imported_by(source: bytes | None) -> Iterator[str]:
    try:
        tree = ast.parse(source or b"")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name.partition(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _tail(text: str) -> str:
    return text if len(text) <= _SAID else f"…{text[-_SAID:]}"
