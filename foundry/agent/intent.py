"""Several renames inside one agent's folder as one step that a crash cannot halve: stage, intent, renames, done.

What shall come is put under `.foundry-staged/new/` at its later relative path; `commit` writes the intent and renames. A crash
before the intent leaves the old state, a crash after it the new one: `recover` ends what was begun. All but `recover` want the
agent's lock held alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from foundry.agent.folder import AgentFolder
from foundry.files import BadFileError, read_json, write_json


@dataclass(frozen=True, slots=True)
class Staging:
    """The places of an open change."""

    path: Path

    @property
    def intent(self) -> Path:
        return self.path / "intent.json"

    @property
    def new(self) -> Path:
        return self.path / "new"

    @property
    def old(self) -> Path:
        return self.path / "old"


def staging(folder: AgentFolder) -> Staging:
    """Return where a change of this agent is staged; touches nothing."""
    return Staging(folder.path / ".foundry-staged")


def begin(folder: AgentFolder) -> Staging:
    """Return an empty place to stage a change in; what an earlier one left is ended first."""
    roll(folder)
    place = staging(folder)
    place.new.mkdir(parents=True)
    return place


def commit(folder: AgentFolder, verb: str, put: Iterable[str] = (), drop: Iterable[str] = (), *, named: str = "") -> None:
    """Put the staged relative paths `put` in place and take `drop` away: all of it happens, now or by the next command.

    With `named`, only under a folder of that name (a rename writes the intent before, and moves the folder in between):
    under any other the intent counts as never given.
    """
    announce(folder, verb, put, drop, named=named)
    roll(folder)


def announce(folder: AgentFolder, verb: str, put: Iterable[str] = (), drop: Iterable[str] = (), *, named: str = "") -> None:
    """Write the intent only; from now on `roll` and `recover` end it."""
    write_json(staging(folder).intent, {"verb": verb, "put": list(put), "drop": list(drop), "named": named})


def pending(folder: AgentFolder) -> bool:
    """Return whether a change was begun and not ended; one look at the disk."""
    return os.path.lexists(staging(folder).path)


def recover(folder: AgentFolder) -> None:
    """End a change that a crash left open, forward or back; leave it to its process where that one still lives."""
    if not pending(folder):
        return
    handle = os.open(folder.holders, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        roll(folder)
    except BlockingIOError:
        return
    finally:
        os.close(handle)


def roll(folder: AgentFolder) -> None:
    """End an open change, forward where its intent stands, else back."""
    place = staging(folder)
    if not os.path.lexists(place.path):
        return
    if place.intent.is_file():
        _forward(folder, place)
    remove(place.path)


def give_up(folder: AgentFolder) -> Path | None:
    """Set aside a change whose intent cannot be read, and return where what it had staged is kept; None when all is well."""
    place = staging(folder)
    try:
        roll(folder)
    except BadFileError:
        kept = folder.path / f".foundry-unread-{os.urandom(3).hex()}"
        place.path.rename(kept)
        return kept
    return None


def remove(path: Path) -> None:
    """Remove a file, a link (never what it points to) or a whole folder; nothing there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _forward(folder: AgentFolder, place: Staging) -> None:
    try:
        intent = read_json(place.intent)
    except BadFileError as error:
        raise BadFileError(error.message, f"foundry sync {folder.name}") from None
    put, drop = _paths(intent, "put", place), _paths(intent, "drop", place)
    if intent.get("named") not in ("", None, folder.name):
        return
    # First away, then in place: a file may give way to a folder of its name. What was set aside once is not so again.
    for number, name in enumerate(drop):
        aside = place.old / f"drop-{number}"
        if not os.path.lexists(aside) and not any(one.startswith(f"{name}/") and _is_folder(folder.path / name) for one in put):
            _set_aside(folder.path / name, aside)
    for number, name in enumerate(put):
        staged, target = place.new / name, folder.path / name
        if os.path.lexists(staged):
            _set_aside(target, place.old / f"put-{number}", only_folders=not _is_folder(staged))
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(target)
    place.intent.unlink()


def _set_aside(target: Path, old: Path, *, only_folders: bool = False) -> None:
    """Move `target` to `old`; a file that a file replaces may stay, so that it is never missing."""
    if not os.path.lexists(target) or (only_folders and not _is_folder(target)):
        return
    old.parent.mkdir(parents=True, exist_ok=True)
    target.rename(old)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _paths(intent: dict[str, Any], key: str, place: Staging) -> list[str]:
    names, hint = intent.get(key, []), f"foundry sync {place.path.parent.name}"
    for name in names if isinstance(names, list) else [None]:
        path = PurePosixPath(name) if isinstance(name, str) else PurePosixPath("/")
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise BadFileError(f"{place.intent}: {name!r} is no path inside the agent's folder", hint)
    return list(names)
