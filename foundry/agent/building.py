"""A new agent grows under a dot name and is renamed into place when whole; what a crash left, the next command sweeps."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from foundry.agent import lock, trash, trust, venv
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import History
from foundry.errors import FoundryError

_GROWING = re.compile(r"\.[A-Za-z][A-Za-z0-9_-]*\.creating-[0-9]+-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Building:
    """A folder in which an agent grows; `handle` is its lock, held alone: whoever finds it free may remove the folder."""

    folder: AgentFolder
    handle: int


@contextmanager
def building(home: Home, name: str) -> Iterator[Building]:
    """Give a folder under a dot name to build the agent `name` in; left before `put_in_place`, it is removed.

    Raises FoundryError for a name that is taken, and for a full disk met inside.
    """
    sweep(home)
    path = home.agents / f".{name}.creating-{os.getpid()}-{secrets.token_hex(3)}"
    handle = -1
    try:
        try:
            with lock.hold_home(home):
                refuse_taken(home, name)
                path.mkdir()
                handle = _locked(path)
            yield Building(AgentFolder(path), handle)
        except OSError as error:
            raise venv.full_disk(error, f"{name} could not be made") from error
    finally:
        if os.path.lexists(path):
            trash.remove_tree(path)
        if handle >= 0:
            os.close(handle)


def put_in_place(home: Home, made: Building, name: str, accepted: Mapping[str, str]) -> AgentFolder:
    """Rename the whole agent to its name, recorded as this user's own; `accepted` are hashes of plugins' code he accepts.

    Raises FoundryError when another took the name meanwhile.
    """
    with lock.hold_home(home):
        refuse_taken(home, name)
        trust.made(made.folder, AgentFolder(home.agents / name), accepted)
        made.folder.path.rename(home.agents / name)
    folder = AgentFolder(home.agents / name)
    with suppress(FoundryError, OSError):  # the agent is there; where this fails, the first start does it
        History(folder).observe()
    return folder


def refuse_taken(home: Home, name: str, *, but: str = "") -> None:
    """Raise FoundryError when something in agents/ has this name, also in other case; `but` may (a rename of its case only)."""
    taken = [one.name for one in home.agents.iterdir()] if home.agents.is_dir() else []
    same = next((one for one in taken if one.lower() == name.lower() and one != but), "")
    if same:
        raise FoundryError(
            f"{same!r} is already there in {home.agents}",
            f"Choose another name, or: foundry delete {same}",
            code="exists",
        )


def sweep(home: Home) -> int:
    """Remove half-made agents whose process is gone, and return how many; end removals cut short. Cheap when there is none."""
    swept = 0
    with suppress(FoundryError):
        trash.finish_purges(home)
    with suppress(FileNotFoundError, NotADirectoryError):
        found = [Path(one.path) for one in os.scandir(home.agents) if _GROWING.fullmatch(one.name)]
        for path in found:
            # Only under this lock is a folder whose lock file is not there yet surely a dead one.
            with lock.hold_home(home):
                dead = lock.is_free(AgentFolder(path).holders)
                if dead:
                    swept += 1
                    with suppress(FoundryError):
                        trash.remove_tree(path)
    return swept


def write_files(folder: AgentFolder, files: Mapping[str, str]) -> None:
    """Write texts by their relative path into the agent's folder."""
    for name, text in files.items():
        path = folder.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")


def _locked(path: Path) -> int:
    handle = os.open(AgentFolder(path).holders, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle
