"""What edit mode may change in agent.config.json, and the environment that other dependencies need, made apart."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from foundry.agent import venv
from foundry.agent.definition import AgentDefinition, load_definition, parse_definition
from foundry.agent.folder import AgentFolder
from foundry.agent.record import load_record
from foundry.agent.secrets import check_name
from foundry.console import Silent
from foundry.errors import FoundryError
from foundry.files import read_json, write_json
from foundry.plugins.api import ToolError
from foundry.plugins.built_ins import extras_of
from foundry.plugins.loader import list_tools
from foundry.session.edit.checking import Environment
from foundry.session.edit.shadow import Shadow
from foundry.settings import Settings

CHANGEABLE = ("description", "instructions", "tools", "plugins", "env")


def configure(folder: AgentFolder, changes: Mapping[str, Any], venv: Path | None = None) -> str:
    """Change these keys of the configuration in `folder` and return what to say; `env` adds to what is there.

    `venv` is the environment whose packages may offer plugins.
    Raises ToolError for a value that cannot be, and then nothing has changed.
    """
    data = _read(folder)
    given = {name: value for name, value in changes.items() if value is not None and name in CHANGEABLE}
    if not given:
        raise ToolError(f"Nothing to change. There are {', '.join(CHANGEABLE)}.")
    if "env" in given:
        given["env"] = {**_named(data.get("env", {})), **_checked_env(given["env"])}
    changed = _written(folder, data, given)
    problems = list_tools(folder, changed, venv).problems
    return " ".join([f"agent.config.json has {' and '.join(given)} as you said.", *(f"But: {one}" for one in problems)])


def list_plugin(folder: AgentFolder, name: str) -> None:
    """Name an own plugin in the configuration if it is not. Raises ToolError."""
    data = _read(folder)
    if name not in data.get("plugins", ()):
        _written(folder, data, {"plugins": [*data.get("plugins", ()), name]})


def make_environment(shadow: Shadow, dependencies: Sequence[str], settings: Settings, target: Path) -> Environment:
    """Make the environment for these dependencies in `target`, put them and their lock into the shadow, and return it.

    Raises ToolError, and then nothing has changed.
    """
    data = _read(shadow.folder)
    try:
        definition = parse_definition({**data, "dependencies": list(dependencies)})
        needs = venv.Needs(_python(shadow.agent), definition.dependencies, extras_of(definition))
        uv = replace(venv.uv_for(shadow.agent, offline=settings["offline"], progress=Silent()), beside=shadow.root)
        made = venv.make(target, needs, uv, kept=_lock(shadow.agent))
    except FoundryError as error:
        raise ToolError(f"The environment cannot be made: {error.message}. {error.hint}".strip()) from None
    except ValueError as error:
        raise ToolError(f"agent.config.json: {error}") from None
    shadow.write(shadow.folder.lock.name, made.lock.encode())
    _written(shadow.folder, data, {"dependencies": list(dependencies)})
    return Environment(target, made.lock.encode(), needs.dependencies, needs.extras)


def _python(agent: AgentFolder) -> str:
    with suppress(FoundryError):
        return load_record(agent).python
    return "{}.{}".format(*sys.version_info)


def _lock(agent: AgentFolder) -> str:
    """Return the agent's own lock, an empty one where it is none: then it is made anew."""
    with suppress(FoundryError, OSError):
        return venv.read_lock(agent)
    return ""


def _read(folder: AgentFolder) -> dict[str, Any]:
    try:
        return read_json(folder.config)
    except FoundryError as error:
        raise ToolError(error.message.replace(f"{folder.path}/", "")) from None


def _written(folder: AgentFolder, data: Mapping[str, Any], given: Mapping[str, Any]) -> AgentDefinition:
    """Write the configuration with the keys in `given` replaced and the rest, in its order, as it is. Raises ToolError."""
    changed = {**data, **given}
    try:
        parse_definition(changed)
    except ValueError as error:
        raise ToolError(f"agent.config.json: {error}") from None
    mode = folder.config.stat().st_mode & 0o777
    write_json(folder.config, changed, mode)
    return load_definition(folder.config)


def _named(env: Any) -> dict[str, str]:
    return dict(env) if isinstance(env, Mapping) else dict.fromkeys(env, "")


def _checked_env(env: Mapping[str, str]) -> dict[str, str]:
    for name in env:
        try:
            check_name(name)
        except FoundryError as error:
            raise ToolError(f"{error.message}. {error.hint}".strip()) from None
    return dict(env)
