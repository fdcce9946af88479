"""The trash of a home: what lies in it, and emptying it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from foundry.agent import trash
from foundry.agent.folder import Home
from foundry.console import Block, Progress, Silent, Table
from foundry.text import local_time


@dataclass(frozen=True, slots=True)
class TrashRow:
    """One deleted agent: when, and the files and bytes that are its own; packages shared with the cache are not counted."""

    entry: str
    name: str
    deleted: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Trash:
    """What lies in the trash, newest first."""

    entries: tuple[TrashRow, ...]

    def shown(self) -> Sequence[Block]:
        rows = [(one.name, local_time(one.deleted), trash.size_told(one.bytes), one.entry) for one in self.entries]
        return [Table(("NAME", "DELETED", "SIZE", "ENTRY"), rows, "The trash is empty.", last="broken")]


@dataclass(frozen=True, slots=True)
class Emptied:
    """The entries that are gone for good."""

    removed: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        return [f"Removed {len(self.removed)} from the trash for good." if self.removed else "The trash is empty."]


def list_trash(home: Home) -> Trash:
    """Return the deleted agents that can be restored; what an interrupted removal left is removed first."""
    trash.finish_purges(home)
    rows = []
    for one in trash.entries(home):
        content = trash.count(home.trash / one.entry, skip=_shared)
        rows.append(TrashRow(one.entry, one.name, one.deleted, content.files, content.bytes))
    return Trash(tuple(rows))


def _shared(one: os.DirEntry[str]) -> bool:
    return one.is_file(follow_symlinks=False) and one.stat(follow_symlinks=False).st_nlink > 1


def empty_trash(home: Home, *, progress: Progress | None = None) -> Emptied:
    """Remove everything in the trash for good. Raises FoundryError naming what stays."""
    progress = progress or Silent()
    trash.finish_purges(home)
    gone = trash.entries(home)
    for one in gone:
        progress.step(f"Removing {one.entry} for good")
        trash.purge(home, one)
    return Emptied(tuple(one.entry for one in gone))
