"""Blueprints: what a new agent starts from, as data: `blueprint.json` and the texts under `files/`.

`blueprint.json` is `{"description": one line, "config": {keys of agent.config.json but the name}}`. Every file under `files/` is
copied to the same relative path; in one that ends in `.template` (dropped) `$name`, `$description`, `$tools`, `$model` and `$env`
are filled in. What a blueprint lacks of main.py and README.md comes from `plain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from foundry.agent.definition import AgentDefinition, parse_definition
from foundry.errors import NotFoundError, UsageError
from foundry.files import nearest, read_json

_ROOT = Path(__file__).parent / "blueprints"
PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A blueprint's name, its one line, and what it sets of the configuration."""

    name: str
    description: str
    config: Mapping[str, Any]

    @property
    def files(self) -> Path:
        return _ROOT / self.name / "files"

    @property
    def plugins(self) -> tuple[str, ...]:
        """The plugins that agents made from it have of their own."""
        return tuple(self.config.get("plugins", ()))


def blueprints() -> list[Blueprint]:
    """Return every blueprint there is, sorted by name."""
    return [_load(path.parent.name) for path in sorted(_ROOT.glob("*/blueprint.json"))]


def blueprint(name: str) -> Blueprint:
    """Return the blueprint called `name`. Raises NotFoundError suggesting the nearest."""
    known = [path.parent.name for path in sorted(_ROOT.glob("*/blueprint.json"))]
    if name not in known:
        close = nearest(name, known)
        hint = f'Did you mean "{close}"?' if close else f"There are: {', '.join(known)}"
        raise NotFoundError(f"no blueprint is called {name!r}", hint)
    return _load(name)


def define(plan: Blueprint, name: str, given: Mapping[str, Any]) -> AgentDefinition:
    """Return the definition of an agent made from `plan`; what was `given` wins, lists and env are joined. Raises UsageError."""
    merged = {**plan.config, "name": name}
    for key, value in given.items():
        if key == "env":
            merged["env"] = {**merged.get("env", {}), **value}
        elif isinstance(value, list | tuple):
            merged[key] = list(dict.fromkeys([*merged.get(key, ()), *value]))
        elif value:
            merged[key] = value
    try:
        return parse_definition(merged)
    except ValueError as error:
        raise UsageError(str(error)) from None


def render(name: str, definition: AgentDefinition, more_tools: Sequence[str] = ()) -> dict[str, str]:
    """Return the files of an agent made from the blueprint `name`, as texts by relative path. Raises NotFoundError.

    `more_tools` are lines of its README beside the tools that its definition names.
    """
    words = {
        "name": definition.name,
        "description": definition.description or "An agent.",
        "model": definition.model or "whichever is there: a key's provider, a running Ollama, else the embedded model",
        "tools": "\n".join([*(f"- `{tool}`" for tool in definition.tools), *(f"- {one}" for one in more_tools)]) or "None yet.",
        "env": "\n".join(f"- `{key}`: {why or 'needed by this agent'}" for key, why in definition.env.items()) or "None.",
    }
    made = dict(_files(blueprint(PLAIN).files, words))
    return made if name == PLAIN else {**made, **dict(_files(blueprint(name).files, words))}


def _load(name: str) -> Blueprint:
    data = read_json(_ROOT / name / "blueprint.json")
    return Blueprint(name, data["description"], data.get("config", {}))


def _files(folder: Path, words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            text, name = path.read_text(encoding="utf-8"), path.relative_to(folder).as_posix()
            filled = name.endswith(".template")
            yield name.removesuffix(".template"), Template(text).safe_substitute(words) if filled else text
