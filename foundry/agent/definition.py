"""What an agent says of itself: agent.config.json, read strictly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast

from foundry.errors import UsageError
from foundry.files import BadFileError, nearest, read_json

AGENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
PLUGIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_ENTRY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.py)?")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10))}
_SAID = 5


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """One rule of `approvals`: what it matches (globs) and what it decides.

    `paths` are relative to the working folder, or absolute outside it; `*` stays within one name, `**` is any number of folders.
    `recipients` are the mailboxes that a mail goes to, openly or not.
    """

    decide: Literal["allow", "ask", "deny"]
    tool: str = "*"
    arguments: Mapping[str, str] = field(default_factory=dict)
    effect: Literal["reads", "writes", "runs", "network"] | None = None
    paths: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentDefinition:
    """The agent's configuration; every field but the name has a default."""

    name: str
    description: str = ""
    model: str = ""
    instructions: str = ""
    dependencies: tuple[str, ...] = ()
    entry_module: str = "main.py"
    tools: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    approvals: tuple[ApprovalRule, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    folder: str = "workspace"
    mcp_servers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entry_file(self) -> str:
        """The file of the agent's folder that a run starts."""
        return self.entry_module if self.entry_module.endswith(".py") else self.entry_module + ".py"


def load_definition(path: Path) -> AgentDefinition:
    """Return the definition in `path`. Raises BadFileError naming the file, the key and, for a misspelt one, the nearest."""
    data = read_json(path)
    try:
        return parse_definition(data)
    except ValueError as error:
        raise BadFileError(f"{path}: {error}", "Mend the file there.") from None


def parse_definition(data: Mapping[str, Any]) -> AgentDefinition:
    """Return the definition that JSON data says. Raises ValueError telling the first few things that are wrong with it."""
    return cast(AgentDefinition, _built(AgentDefinition, data, _FIELDS))


def dump_definition(definition: AgentDefinition) -> dict[str, Any]:
    """Return the definition as the JSON of agent.config.json, all keys present."""
    return asdict(definition)


def check_agent_name(name: str) -> str:
    """Return `name` if an agent may be called that. Raises UsageError suggesting the nearest good one."""
    if AGENT_NAME.fullmatch(name) and name.lower() not in _DEVICES:
        return name
    close = re.sub(r"[^A-Za-z0-9_-]+", "-", name.encode("ascii", "ignore").decode()).strip("-_")
    close = re.sub(r"^[^A-Za-z]+", "", close)[:40].rstrip("-_")
    if close.lower() in _DEVICES:
        close += "-agent"
    rule = "An agent's name starts with a letter and has at most 40 letters, digits, - and _."
    raise UsageError(f"{name!r} cannot be an agent's name", f'{rule} For instance "{close}".' if close else rule, code="bad_name")


# reading ----------------------------------------------------------------------------------------------------------------
# By hand and not by pydantic, whose import is half of what `foundry list` would cost.

Reader = Callable[[Any], Any]


def _built(cls: type, data: Any, readers: Mapping[str, Reader]) -> Any:
    """Return `data` as `cls`, each key read by its reader. Raises ValueError telling what is wrong."""
    if not isinstance(data, Mapping):
        raise ValueError("must be an object")
    problems = [
        *_unknown(data, readers),
        *(f'"{one.name}" is missing' for one in fields(cls) if _needed(one) and one.name not in data),
    ]
    values = {}
    for name, value in data.items():
        if name in readers:
            try:
                values[name] = readers[name](value)
            except ValueError as error:
                problems.append(f'"{name}": {error}')
    if problems:
        raise ValueError("; ".join(problems[:_SAID]))
    return cls(**values)


def _needed(one: Any) -> bool:
    from dataclasses import MISSING

    return one.default is MISSING and one.default_factory is MISSING


def _unknown(data: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    for name in data:
        if name not in known:
            close = nearest(name, known)
            yield f'unknown key "{name}"' + (f', did you mean "{close}"?' if close else "")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {_kind(value)}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError("must be a list of texts")
    return tuple(value)


def _text_by_name(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError("must be an object of texts")
    return dict(value)


def _servers(value: Any) -> dict[str, Any]:
    from foundry.agent.mcp_servers import parse_servers  # which needs what stands above

    if not isinstance(value, Mapping):
        raise ValueError(f"must be an object, not {_kind(value)}")
    parse_servers(value)
    return dict(value)


def _plugins(value: Any) -> tuple[str, ...]:
    for name in _texts(value):
        if not PLUGIN_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no plugin's name (lower-case letters, digits, _)")
    return _texts(value)


def _env(value: Any) -> dict[str, str]:
    """Names with what each is for; a list of names is enough."""
    named = dict.fromkeys(_texts(value), "") if isinstance(value, list | tuple) else _text_by_name(value)
    for name in named:
        if not VARIABLE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no environment variable's name")
    return named


def _entry(value: Any) -> str:
    if not _ENTRY.fullmatch(_text(value)):
        raise ValueError(f"{value!r} is no Python file of the agent's folder")
    return str(value)


def _one_of(*words: str) -> Reader:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return read


def _rules(value: Any) -> tuple[ApprovalRule, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of rules")
    rules = []
    for number, one in enumerate(value):
        try:
            rules.append(_built(ApprovalRule, one, _RULE))
        except ValueError as error:
            raise ValueError(f"rule {number + 1}: {error}") from None
    return tuple(rules)


def _kind(value: Any) -> str:
    return {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}.get(type(value), "null")


_EFFECT = _one_of("reads", "writes", "runs", "network")
_RULE: Mapping[str, Reader] = {
    "decide": _one_of("allow", "ask", "deny"),
    "tool": _text,
    "arguments": _text_by_name,
    "paths": _texts,
    "recipients": _texts,
    "effect": lambda value: None if value is None else _EFFECT(value),
}
_FIELDS: Mapping[str, Reader] = {
    "name": _text,
    "description": _text,
    "model": _text,
    "instructions": _text,
    "dependencies": _texts,
    "entry_module": _entry,
    "tools": _texts,
    "plugins": _plugins,
    "approvals": _rules,
    "env": _env,
    "folder": _text,
    "mcp_servers": _servers,
}
