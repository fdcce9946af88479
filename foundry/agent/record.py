"""How an agent was made: `.foundry.json`, written last, so that a folder that has it is whole."""

from __future__ import annotations

import dataclasses
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from foundry.agent.folder import AgentFolder
from foundry.errors import NotReadyError
from foundry.files import BadFileError, nearest, read_json, write_json

FORMAT = 1
_VERSION = re.compile(r"[0-9][0-9A-Za-z.]{0,39}")
_LISTS = ("dependencies", "extras")


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """What made the agent, `python` as X.Y; requirements.lock is for `dependencies`, `extras` and a shipped lock of that hash.

    `id` tells this folder from any other that ever lay at its path.
    """

    blueprint: str
    python: str
    runtime_version: str
    runtime_hash: str
    dependencies: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    runtime_lock: str = ""
    format: int = FORMAT
    created: str = ""
    id: str = ""


def now() -> str:
    """Return the time as records tell it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_id() -> str:
    """Return an id for an agent's folder that nobody can guess."""
    return secrets.token_hex(16)


def load_record(folder: AgentFolder) -> AgentRecord:
    """Return the agent's record. Raises BadFileError, and NotReadyError naming the version to install for a newer format."""
    data = read_json(folder.made)
    _refuse_newer(folder, data)
    known = {field.name: field for field in dataclasses.fields(AgentRecord)}
    for key in data:
        if key not in known:
            close = nearest(key, known)
            raise _bad(folder, f'unknown key "{key}"' + (f', did you mean "{close}"?' if close else ""))
    for name, field in known.items():
        if name not in data:
            if field.default is dataclasses.MISSING:
                raise _bad(folder, f'"{name}" is missing')
        elif name in _LISTS:
            if not isinstance(data[name], list) or not all(isinstance(one, str) for one in data[name]):
                raise _bad(folder, f'"{name}" is no list of texts')
        elif name != "format" and not isinstance(data[name], str):
            raise _bad(folder, f'"{name}" is no text')
    return AgentRecord(**{**data, **{name: tuple(data.get(name, ())) for name in _LISTS}})


def save_record(folder: AgentFolder, record: AgentRecord) -> None:
    """Write the agent's record, atomically."""
    write_json(folder.made, dataclasses.asdict(record))


def _refuse_newer(folder: AgentFolder, data: dict[str, Any]) -> None:
    found = data.get("format", FORMAT)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise _bad(folder, '"format" is no whole number from 1')
    if found > FORMAT:
        version = str(data.get("runtime_version", ""))
        version = version if _VERSION.fullmatch(version) else ""  # it goes into a command that people paste
        raise NotReadyError(
            f"{folder.path} was made by a newer Agent Foundry (folder format {found}; this one knows {FORMAT})",
            f"Install it: pip install 'agent-foundry>={version}'" if version else "Install the newest agent-foundry.",
            code="newer_format",
        )


def _bad(folder: AgentFolder, what: str) -> BadFileError:
    return BadFileError(f"{folder.made}: {what}", f"Make it anew: foundry sync {folder.name}")
