"""The environment variables of an agent: what it needs and why, what is set and where; a value is never shown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from foundry.agent import secrets, trust
from foundry.agent.definition import AgentDefinition, load_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.console import Block, Table
from foundry.errors import FoundryError, NotReadyError, UsageError
from foundry.files import nearest
from foundry.plugins.built_ins import env_of
from foundry.settings import Settings

SOURCES = {"agent": "agent's .env", "shell": "shell", "home": "home's .env", "": "-"}


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: what it is for, whether the agent cannot do without it, and where its value is from ("" for unset)."""

    name: str
    why: str
    required: bool
    is_set: bool
    source: Literal["agent", "shell", "home", ""]


@dataclass(frozen=True, slots=True)
class AgentEnv:
    """An agent's variables, and names in its .env that nothing asks for."""

    agent: str
    file: str
    variables: tuple[Variable, ...]
    unknown: tuple[str, ...]

    @property
    def missing(self) -> list[Variable]:
        """The variables it needs that have no value anywhere."""
        return [one for one in self.variables if one.required and not one.is_set]

    def shown(self) -> Sequence[Block]:
        rows = [(one.name, _state(one), SOURCES[one.source], one.why) for one in self.variables]
        table = Table(
            ("NAME", "STATE", "SOURCE", "WHAT FOR"),
            rows,
            f"{self.agent} needs no variables.",
            {"set": "green", "missing": "red", "not set": "yellow"},
            last="broken",
        )
        return [table, *self._warnings()]

    def _warnings(self) -> Iterator[str]:
        for name in self.unknown:
            yield _unasked(name, [one.name for one in self.variables])


@dataclass(frozen=True, slots=True)
class EnvChange:
    """What was done to a variable; `warning` says when nothing asks for it."""

    agent: str
    name: str
    change: Literal["set", "replaced", "removed", "was not set"]
    file: str
    warning: str = ""

    def shown(self) -> Sequence[Block]:
        told = f"{self.name}: {self.change} ({self.file})"
        return [told, self.warning] if self.warning else [told]


def env_show(home: Home, name: str, *, settings: Settings, environment: Mapping[str, str] | None = None) -> AgentEnv:
    """Return what the agent needs and what is set. Raises NotFoundError, BadFileError for a config or .env that is none."""
    folder = home.agent(name)
    return variables_of(folder, home, load_definition(folder.config), settings, environment)


def env_check(home: Home, name: str, *, settings: Settings, environment: Mapping[str, str] | None = None) -> AgentEnv:
    """Return as `env_show`. Raises NotReadyError listing what is missing when the agent cannot do without it."""
    found = env_show(home, name, settings=settings, environment=environment)
    if found.missing:
        listed = ", ".join(f"{one.name} ({one.why})" if one.why else one.name for one in found.missing)
        hint = f"foundry env {name} set {found.missing[0].name}"
        raise NotReadyError(f"{name} misses {listed}", hint, code="missing_env")
    return found


def env_why(home: Home, name: str, key: str) -> str:
    """Return what the agent needs this variable for; empty where nobody says. Raises NotFoundError, UsageError for no name."""
    secrets.check_name(key)
    folder = home.agent(name)
    try:
        return load_definition(folder.config).env.get(key, "")
    except FoundryError:
        return ""


def env_set(home: Home, name: str, key: str, value: str) -> EnvChange:
    """Set a variable in the agent's .env. Raises NotFoundError, UsageError for what no .env can hold, BadFileError."""
    secrets.check_name(key)
    folder = home.agent(name)
    if not value:
        raise UsageError(f"no value was given for {key}", f"To take it out: foundry env {name} unset {key}")
    before = secrets.read_env(folder.env_file)
    with trust.own_change(folder):
        secrets.set_value(folder.env_file, key, value)
    warning = "" if key in _provider_keys().values() else _unasked_by(folder, key)
    return EnvChange(folder.name, key, "replaced" if before.get(key) else "set", str(folder.env_file), warning)


def env_unset(home: Home, name: str, key: str) -> EnvChange:
    """Take a variable out of the agent's .env. Raises NotFoundError, BadFileError."""
    folder = home.agent(name)
    with trust.own_change(folder):
        gone = secrets.unset_value(folder.env_file, key)
    return EnvChange(folder.name, key, "removed" if gone else "was not set", str(folder.env_file))


def variables_of(
    folder: AgentFolder,
    home: Home,
    definition: AgentDefinition,
    settings: Settings,
    environment: Mapping[str, str] | None = None,
) -> AgentEnv:
    """Return the agent's variables as they stand. Raises BadFileError for a .env that is none."""
    needs = needs_of(definition, settings)
    own = secrets.read_env(folder.env_file)
    keys = secrets.resolve_keys(folder, home, needs, os.environ if environment is None else environment)
    variables = [
        Variable(name, why, required, name in keys, keys[name][1] if name in keys else "")
        for name, (why, required) in needs.items()
    ]
    unknown = [name for name in own if name not in needs and name not in _provider_keys().values()]
    return AgentEnv(folder.name, str(folder.env_file), tuple(variables), tuple(unknown))


def needs_of(definition: AgentDefinition, settings: Settings) -> dict[str, tuple[str, bool]]:
    """Return the variables asked for, with what for and whether required: a `why` that starts with "optional" is not."""
    needs = {name: (why, not why.strip().lower().startswith("optional")) for name, why in env_of(definition).items()}
    model = definition.model or str(settings["model"])
    provider = model.partition(":")[0]
    if key := _provider_keys().get(provider):
        why, required = needs.get(key, (f"key of the model {model}", False))
        needs[key] = (why, required or _wants_key(provider, settings))
    return needs


def _wants_key(provider: str, settings: Settings) -> bool:
    from foundry.models.catalog import check_key

    try:
        check_key(provider, {}, settings)
    except NotReadyError:
        return True
    return False


def _provider_keys() -> Mapping[str, str]:
    from foundry.models.catalog import KEY_OF

    return KEY_OF


def _state(one: Variable) -> str:
    return "set" if one.is_set else "missing" if one.required else "not set"


def _unasked_by(folder: AgentFolder, name: str) -> str:
    """Return the warning that nothing asks for `name`; none when a broken config does not let us know."""
    try:
        asked = env_of(load_definition(folder.config))
    except FoundryError:
        return ""
    return "" if name in asked else _unasked(name, list(asked))


def _unasked(name: str, asked: Sequence[str]) -> str:
    close = nearest(name, [one.lower() for one in asked])
    real = next((one for one in asked if one.lower() == close), "") if close else ""
    return f"{name}: nothing asks for it" + (f"; did you mean {real}?" if real else "")
