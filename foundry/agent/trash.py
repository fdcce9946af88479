"""Deleted agents: renamed here whole, so that a crash leaves an agent in its place or in the trash; removing follows no link.

An entry is `NAME@TIME`. What shall go for good is first renamed to `.purging-...`: from then on nothing shows or restores it, and
whoever comes next removes what a crash left of it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from foundry.agent import trust
from foundry.agent.folder import AgentFolder, Home
from foundry.errors import FoundryError

_TIME = "%Y%m%dT%H%M%SZ"
_PURGING = ".purging-"


@dataclass(frozen=True, slots=True)
class TrashEntry:
    """One deleted agent: `entry` is its name in the trash, `deleted` when (ISO 8601, UTC)."""

    entry: str
    name: str
    deleted: str


@dataclass(frozen=True, slots=True)
class Content:
    """How many files lie under a folder and their size in bytes; `complete` is false where counting was cut short."""

    files: int
    bytes: int
    complete: bool = True


def entries(home: Home) -> list[TrashEntry]:
    """Return what lies in the trash, newest first; what is no entry of ours is passed over."""
    if not home.trash.is_dir():
        return []
    found = [one for path in home.trash.iterdir() if (one := _entry(path.name)) and not path.is_symlink() and path.is_dir()]
    return sorted(found, key=lambda one: (one.deleted, one.entry), reverse=True)


def put_in(home: Home, path: Path) -> TrashEntry:
    """Rename an agent's folder into the trash. Raises FoundryError when the filesystem does not let us."""
    home.trash.mkdir(mode=0o700, parents=True, exist_ok=True)
    stem = f"{path.name}@{datetime.now(UTC).strftime(_TIME)}"
    name, number = stem, 1
    while os.path.lexists(home.trash / name):
        number += 1
        name = f"{stem}-{number}"
    rename(path, home.trash / name)
    trust.moved(AgentFolder(path), AgentFolder(home.trash / name))
    entry = _entry(name)
    assert entry
    return entry


def purge(home: Home, entry: TrashEntry) -> None:
    """Remove an entry for good, with its history; a crash in between is ended by `finish_purges`.

    Raises FoundryError naming what stays.
    """
    doomed = home.trash / f"{_PURGING}{secrets.token_hex(4)}-{entry.entry}"
    rename(home.trash / entry.entry, doomed)
    trust.forget(AgentFolder(home.trash / entry.entry))
    _remove(home, doomed)


def finish_purges(home: Home) -> int:
    """Remove what an interrupted purge left; return how many. Raises FoundryError naming what stays."""
    with suppress(OSError):
        left = [Path(one.path) for one in os.scandir(home.trash) if one.name.startswith(_PURGING)]
        for path in left:
            _remove(home, path)
        return len(left)
    return 0


def _remove(home: Home, doomed: Path) -> None:
    """Remove what was an agent, its history first: without the folder nobody would know which one it was."""
    from foundry.agent.history import forget_history

    with suppress(FoundryError):
        forget_history(home, AgentFolder(doomed))
    remove_tree(doomed)


def older_than(home: Home, days: float) -> list[TrashEntry]:
    """Return the entries whose retention is over."""
    limit = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    return [one for one in entries(home) if one.deleted <= limit]


def rename(source: Path, target: Path) -> None:
    """Rename a folder within the home. Raises FoundryError saying why it cannot be."""
    try:
        source.rename(target)
    except OSError as error:
        hint = "agents/ and .foundry/ of the home must lie on one filesystem and be writable."
        raise FoundryError(f"{source} cannot be moved to {target}: {error.strerror}", hint) from None


def remove_tree(path: Path) -> None:
    """Remove a folder and all in it; of a link only the link. Raises FoundryError naming what could not be removed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        # Folders without write permission (a tool's package cache, say) stop rmtree; they are the user's own to open.
        path.chmod(0o700)
        for where, folders, _ in os.walk(path):
            for one in (Path(where, name) for name in folders):
                if not one.is_symlink():
                    with suppress(OSError):
                        one.chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        raise FoundryError(f"{path} could not be removed whole", "Look at who owns what is left, and remove it by hand.")


def count(path: Path, *, skip: Callable[[os.DirEntry[str]], bool] | None = None, limit: int = 200_000) -> Content:
    """Return what lies under `path`, links counted as links and never followed; entries for which `skip` is true left out."""
    files = size = 0
    waiting = [str(path)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as found:
            for one in found:
                if skip and skip(one):
                    continue
                if one.is_dir(follow_symlinks=False):
                    waiting.append(one.path)
                    continue
                files += 1
                size += one.stat(follow_symlinks=False).st_size
        if files > limit:
            return Content(files, size, complete=False)
    return Content(files, size)


def size_told(size: int) -> str:
    """Return a size in bytes as people say it."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _entry(name: str) -> TrashEntry | None:
    agent, _, rest = name.rpartition("@")
    try:
        at = datetime.strptime(rest.partition("-")[0], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return TrashEntry(name, agent, at.isoformat(timespec="seconds")) if agent and not name.startswith(".") else None
