"""What this user's state folder knows of an agent: whether it is trusted, which plugin code was accepted, what is always allowed.

It lies outside every folder that a tool may touch, one file for each agent, named by the absolute path of the agent's folder, so
that nothing which travels with a folder can grant itself anything. A file that cannot be read counts as knowing nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from foundry.agent.folder import AgentFolder
from foundry.files import BadFileError, read_json, write_json
from foundry.settings import state_folder

_KEPT = 100  # hashes of one plugin's earlier code
Origin = Literal["made", "elsewhere", ""]


@dataclass(frozen=True, slots=True)
class Grant:
    """One "Always": a tool, the scope it was given for (a preview's `scope`), when (ISO 8601, UTC)."""

    tool: str
    scope: str
    at: str
    code: str = ""  # hash of the plugin's code it was given for; "" for a built-in


@dataclass(frozen=True, slots=True)
class Standing:
    """One agent's standing with this user.

    `origin` is "made" for an agent this user made here, "elsewhere" for one that was shown and trusted, "" for an unknown one;
    `code` the hash of the code that was trusted; `accepted` the hashes of each own plugin's code whose effects
    were accepted, newest first with blanks between: what was accepted once is so again after an undo.
    `id` (of its record) and `inode` tell the folder that was made from another one put in its place, `files` is what was trusted.
    `servers` are the MCP servers that were accepted, each with the hashes that agent/mcp_servers.py reads as a Pin.
    """

    path: str
    origin: Origin = ""
    code: str = ""
    at: str = ""
    accepted: Mapping[str, str] = field(default_factory=dict)
    grants: tuple[Grant, ...] = ()
    id: str = ""
    inode: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    servers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def accepts(self, plugin: str, code: str) -> bool:
        """Return whether this very code of the plugin was accepted."""
        return bool(code) and code in self.accepted.get(plugin, "").split()

    def accepting(self, codes: Mapping[str, str]) -> Standing:
        """Return this standing with the code of these plugins accepted too, by plugin and hash."""
        known = {
            plugin: " ".join(dict.fromkeys((code, *self.accepted.get(plugin, "").split()[:_KEPT])))
            for plugin, code in codes.items()
        }
        return replace(self, accepted={**self.accepted, **known})


def standing_of(folder: AgentFolder) -> Standing:
    """Return what is known of the agent in `folder`; touches nothing."""
    path = _real(folder)
    try:
        data = read_json(_file(path))
        found = _built(data)
    except (BadFileError, TypeError, ValueError, KeyError, AttributeError):
        return Standing(path)
    return found if found.path == path else Standing(path)


def change_standing(folder: AgentFolder, change: Callable[[Standing], Standing]) -> Standing:
    """Replace the agent's standing by what `change` makes of it, one process at a time, and return it."""
    path = _real(folder)
    place = _file(path)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(place.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        changed = change(standing_of(folder))
        write_json(place, asdict(replace(changed, path=path)), 0o600)
        return changed
    finally:
        os.close(lock)


def forget_standing(folder: AgentFolder) -> None:
    """Forget the agent that lay in `folder`, which may be gone."""
    place = _file(_real(folder))
    place.unlink(missing_ok=True)
    place.with_suffix(".lock").unlink(missing_ok=True)


def decisions_file(folder: AgentFolder) -> Path:
    """Return where the gate's decisions about this agent's calls are recorded, a JSON line each."""
    return _file(_real(folder)).with_suffix(".decisions.jsonl")


def logins_file(folder: AgentFolder) -> Path:
    """Return where the logins at the agent's MCP servers are kept; see agent/mcp_logins.py."""
    return _file(_real(folder)).with_suffix(".logins.json")


def _real(folder: AgentFolder) -> str:
    return str(folder.path.parent.resolve() / folder.path.name)


def _file(path: str) -> Path:
    return state_folder() / "agents" / f"{Path(path).name}-{hashlib.sha256(path.encode()).hexdigest()[:16]}.json"


def _built(data: Mapping[str, Any]) -> Standing:
    grants = tuple(Grant(**{key: str(value) for key, value in one.items()}) for one in data["grants"])
    accepted = {str(name): str(value) for name, value in data["accepted"].items()}
    origin: Origin = data["origin"] if data["origin"] in ("made", "elsewhere") else ""
    files = {str(name): str(value) for name, value in data.get("files", {}).items()}
    servers = {str(name): {str(tool): str(value) for tool, value in one.items()} for name, one in data.get("servers", {}).items()}
    known = Standing(str(data["path"]), origin, str(data["code"]), str(data["at"]), accepted, grants)
    return replace(known, id=str(data.get("id", "")), inode=int(data.get("inode", 0)), files=files, servers=servers)
