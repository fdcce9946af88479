"""What a plugin may be called, and which paths are an agent's code."""

from __future__ import annotations

import re
import sys

from foundry.agent.definition import PLUGIN_NAME
from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.built_ins import BUILT_INS
from foundry.plugins.cards import PluginProblem, check_name

RESERVED = ("agent_code",)
LARGEST = 1024 * 1024  # what is larger is no code: the history leaves it out, and so would the proposal
_LEFT_OUT = (".pyc", ".tmp")
_ELSEWHERE = {"agent.config.json": "configure", "requirements.lock": "set_dependencies"}


def free_name(name: str) -> str:
    """Return a plugin's name as near to `name` as may be. Raises ToolError when nothing of it can be used."""
    plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip()).lower()).strip("_")
    plain = re.sub(r"^[0-9_]+", "", plain)[:34].rstrip("_")
    if not plain:
        raise ToolError(f"{name!r} cannot be a plugin's name: lower-case letters, digits and _, such as word_count.")
    if plain in BUILT_INS or plain in RESERVED or plain in sys.stdlib_module_names:
        plain += "_tool"
    return plain


def accept_plugin_name(name: str) -> None:
    """Refuse a name that a new plugin cannot have. Raises ToolError suggesting one."""
    if name in BUILT_INS or name in RESERVED:
        raise ToolError(f'"{name}" is the name of a built-in; choose another.')
    try:
        check_name(name)
    except PluginProblem as problem:
        raise ToolError(f"{problem.message}. For instance {free_name(name)}.") from None


def accept_path(context: ToolContext, given: str) -> None:
    """Refuse what is no part of an agent's code: it would not be proposed. Raises ToolError saying where it belongs."""
    name = context.name(context.path(given))
    parts = name.split("/")
    if name in _ELSEWHERE:
        raise ToolError(f"{name} is changed with {_ELSEWHERE[name]} only.")
    if parts[0] == "plugins" and len(parts) > 1:
        if not PLUGIN_NAME.fullmatch(parts[1]):
            raise ToolError(f"{parts[1]!r} cannot be a plugin's name: lower-case letters, digits and _.")
        if "__pycache__" not in parts and not name.endswith(_LEFT_OUT):
            return
    elif len(parts) == 1 and (name == "README.md" or (name.endswith(".py") and not name.startswith("."))):
        return
    raise ToolError(f"{name} is no part of an agent's code. There are plugins/NAME/…, README.md and Python files beside it.")
