"""Make an agent: its folder, secrets file, plugins and environment, all of it or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from foundry.agent import blueprint as plans
from foundry.agent import building, record, secrets, venv
from foundry.agent.definition import PLUGIN_NAME, AgentDefinition, check_agent_name, dump_definition, load_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.console import Block, Facts, Progress, Silent
from foundry.errors import FoundryError, UsageError
from foundry.files import nearest, write_json, write_text
from foundry.plugins.built_ins import BUILT_INS, env_of, extras_of
from foundry.plugins.copying import Copies, copied
from foundry.plugins.foundry_core.agent_env import needs_of
from foundry.settings import Settings

AskSecret = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Created:
    """The agent that was made; `missing` are the variables it needs that have no value yet."""

    name: str
    path: Path
    blueprint: str
    python: str
    tools: tuple[str, ...]
    missing: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        facts = [("agent", self.name), ("folder", str(self.path)), ("tools", ", ".join(self.tools) or "none")]
        needed = [f"Still needed: foundry env {self.name} set {key}" for key in self.missing]
        return [Facts(facts), *needed, f"Talk to it: foundry run {self.name}"]


def create_agent(
    home: Home,
    name: str,
    *,
    settings: Settings,
    description: str = "",
    dependencies: Sequence[str] = (),
    tools: Sequence[str] | None = None,
    copy_tools: bool = False,
    blueprint: str = plans.PLAIN,
    model: str = "",
    instructions: str = "",
    python: str = "",
    env: Mapping[str, str] | Sequence[str] = (),
    env_values: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    ask_secret: AskSecret | None = None,
) -> Created:
    """Make the agent `name`, or, on any error, nothing.

    `tools` None takes the blueprint's; `copy_tools` makes the built-in ones plugins of its own; `env` names what it needs and
    why, `env_values` are values for its .env, `ask_secret` (name, why) asks a person for one. Raises UsageError for what cannot
    be meant, NotFoundError for an unknown blueprint, and FoundryError for a name that is taken, an environment that cannot be
    made, a full disk.
    """
    progress = progress or Silent()
    plan = plans.blueprint(blueprint)
    check_agent_name(name)
    given = {
        "description": description.strip(),
        "model": model.strip(),
        "instructions": instructions,
        "dependencies": venv.check_dependencies(dependencies),
        "tools": tools,
        "env": _needed(env, env_values or {}),
    }
    definition = plans.define(plan, name, given)
    python = venv.check_python(python or settings["python"])
    waiting = check_tools(definition)
    copies = copied(definition) if copy_tools else Copies(definition)
    definition = copies.definition
    home.prepare()
    building.refuse_taken(home, name)
    wanted, needed = _variables(home, definition, settings)
    values = _values({key: wanted[key] for key in needed}, env_values or {}, ask_secret)

    with building.building(home, name) as made:
        progress.step(f"Writing the folder of {name}")
        _write(made.folder, plan.name, copies, wanted, values)
        uv = venv.uv_for(made.folder, offline=settings["offline"], progress=progress, held=(made.handle,))
        needs = venv.Needs(python, definition.dependencies, extras_of(definition))
        environment = venv.make(made.folder.venv, needs, uv)
        write_text(made.folder.lock, environment.lock)
        if waiting:
            _check_offered(made.folder, definition, waiting)
        progress.step(f"Putting {name} in place")
        record.save_record(made.folder, venv.new_record(plan.name, needs, environment))
        folder = building.put_in_place(home, made, name, codes_of(made.folder))
    missing = tuple(key for key in needed if not values.get(key))
    return Created(name, folder.path, plan.name, python, (*definition.tools, *copies.whole), missing)


def check_tools(definition: AgentDefinition) -> tuple[str, ...]:
    """Return the tools that only a package of the agent's dependencies can bring, which shows once those are there.

    Raises UsageError for one that is neither that, nor built in, nor in one of the agent's own plugins, suggesting the nearest.
    """
    known = [*BUILT_INS, *definition.plugins]
    waiting = []
    for tool in definition.tools:
        plugin = tool.partition(".")[0]
        if plugin in known:
            continue
        if not definition.dependencies or not PLUGIN_NAME.fullmatch(plugin):
            raise _unknown(tool, known)
        waiting.append(tool)
    return tuple(waiting)


def _check_offered(folder: AgentFolder, definition: AgentDefinition, waiting: Sequence[str]) -> None:
    """Raise UsageError for a tool that no package of the agent's environment offers as it should."""
    from foundry.plugins.installed import offers_in
    from foundry.plugins.loader import list_tools

    there = offers_in(folder.venv)
    for tool in waiting:
        if tool.partition(".")[0] not in there:
            raise _unknown(tool, [*BUILT_INS, *definition.plugins, *there], "and no package of the dependencies offers it")
    if problems := list_tools(folder, definition).problems:
        raise UsageError(" ".join(problems), "Mend the package, or leave it out of --tools.", code="bad_plugin")


def _unknown(tool: str, known: Sequence[str], more: str = "") -> UsageError:
    close = nearest(tool.partition(".")[0], known)
    hint = f'Did you mean "{close}"?' if close else "foundry tools"
    return UsageError(f"no tool is called {tool!r} {more}".strip(), hint, code="unknown_tool")


def codes_of(folder: AgentFolder) -> dict[str, str]:
    """Return the hash of the code of each own plugin that the agent loads; of one that cannot be read, none."""
    from foundry.plugins.cards import plugin_code_hash

    codes = {}
    with suppress(FoundryError):
        for plugin in load_definition(folder.config).plugins:
            with suppress(FoundryError, OSError):
                codes[plugin] = plugin_code_hash(folder.plugins / plugin)
    return codes


def _needed(env: Mapping[str, str] | Sequence[str], values: Mapping[str, str]) -> dict[str, str]:
    named = dict(env) if isinstance(env, Mapping) else dict.fromkeys(env, "")
    for name in (*named, *values):
        secrets.check_name(name)
    return {**dict.fromkeys(values, ""), **named}


def _variables(home: Home, definition: AgentDefinition, settings: Settings) -> tuple[dict[str, str], list[str]]:
    """Return what its .env has a line for, with why, and what it needs that neither the shell nor the home's .env gives."""
    needs, asked = needs_of(definition, settings), env_of(definition)
    elsewhere = secrets.resolve_keys(None, home, needs, os.environ)
    wanted = {key: why for key, (why, _) in needs.items() if key in asked or key not in elsewhere}
    return wanted, [key for key, (_, required) in needs.items() if required and key not in elsewhere]


def _values(needed: Mapping[str, str], given: Mapping[str, str], ask: AskSecret | None) -> dict[str, str]:
    """Return the values for .env: those given, and for the rest of what is needed what a person answers."""
    found = dict(given)
    for name, why in needed.items():
        if ask and name not in found and (answer := ask(name, why)):
            found[name] = answer
    return found


def _write(folder: AgentFolder, blueprint: str, copies: Copies, wanted: Mapping[str, str], values: Mapping[str, str]) -> None:
    for path in (folder.plugins, folder.workspace):
        path.mkdir()
    told = replace(copies.definition, env=env_of(copies.definition))
    building.write_files(folder, {**plans.render(blueprint, told, copies.told), **copies.files})
    write_json(folder.config, dump_definition(copies.definition))
    write_text(folder.env_file, secrets.template(wanted), 0o600)
    for name, value in values.items():
        secrets.set_value(folder.env_file, name, value)
