"""What an agent says of itself: agent.config.json, read strictly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from foundry.errors import UsageError
from foundry.files import BadFileError, nearest, read_json

AGENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
PLUGIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10))}


class ApprovalRule(BaseModel):
    """One rule of `approvals`: what it matches (globs) and what it decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str = "*"
    arguments: dict[str, str] = {}
    effect: Literal["reads", "writes", "runs", "network"] | None = None
    decide: Literal["allow", "ask", "deny"]


class AgentDefinition(BaseModel):
    """The agent's configuration; every field but the name has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str = ""
    model: str = ""
    instructions: str = ""
    dependencies: tuple[str, ...] = ()
    entry_module: str = "main.py"
    tools: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    approvals: tuple[ApprovalRule, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    folder: str = "workspace"
    mcp_servers: dict[str, Any] = Field(default_factory=dict)

    @field_validator("env", mode="before")
    @classmethod
    def _names_alone_are_enough(cls, value: Any) -> Any:
        return dict.fromkeys(value, "") if isinstance(value, list | tuple) else value

    @field_validator("env")
    @classmethod
    def _variable_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not VARIABLE_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no environment variable's name")
        return value

    @field_validator("plugins")
    @classmethod
    def _plugin_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not PLUGIN_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no plugin's name (lower-case letters, digits, _)")
        return value

    @field_validator("entry_module")
    @classmethod
    def _entry_inside(cls, value: str) -> str:
        name = value if value.endswith(".py") else value + ".py"
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*\.py", name):
            raise ValueError(f"{value!r} is no Python file of the agent's folder")
        return name


def load_definition(path: Path) -> AgentDefinition:
    """Return the definition in `path`. Raises BadFileError naming the file, the key and, for a misspelt one, the nearest."""
    data = read_json(path)
    try:
        return AgentDefinition.model_validate(data)
    except ValidationError as error:
        raise BadFileError(f"{path}: " + "; ".join(_told(one) for one in error.errors()[:5]), "Mend the file there.") from None


def dump_definition(definition: AgentDefinition) -> dict[str, Any]:
    """Return the definition as the JSON of agent.config.json, all keys present."""
    return definition.model_dump(mode="json")


def check_agent_name(name: str) -> str:
    """Return `name` if an agent may be called that. Raises UsageError suggesting the nearest good one."""
    if AGENT_NAME.fullmatch(name) and name.lower() not in _DEVICES:
        return name
    close = re.sub(r"[^A-Za-z0-9_-]+", "-", name.encode("ascii", "ignore").decode()).strip("-_")[:40].rstrip("-_")
    close = re.sub(r"^[^A-Za-z]+", "", close)
    if close.lower() in _DEVICES:
        close += "-agent"
    rule = "An agent's name starts with a letter and has at most 40 letters, digits, - and _."
    raise UsageError(f"{name!r} cannot be an agent's name", f'{rule} For instance "{close}".' if close else rule, code="bad_name")


def _told(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        close = nearest(where, AgentDefinition.model_fields)
        return f'unknown key "{where}"' + (f', did you mean "{close}"?' if close else "")
    return f'"{where}": {error["msg"].removeprefix("Value error, ")}'
