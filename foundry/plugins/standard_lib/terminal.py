"""Commands, run in the jail: the working folder may be written, there is no network, and nothing outlives the call."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from foundry.agent.trash import remove_tree
from foundry.errors import FoundryError, NotReadyError
from foundry.plugins.api import (
    Changed,
    Plan,
    Preview,
    ToolContext,
    ToolError,
    effects,
    is_protected,
    is_trusted,
    kernel_function,
    plain_name,
    planned,
)

if TYPE_CHECKING:
    from foundry.sandbox.cell import Jailed

_LONGEST_COMMAND = 20_000
_LONGEST_RUN = 3600.0
_MOST_ENTRIES = 300_000
_MOST_PROTECTED = 200
# Environments: an existing one is fixed like the rest, but a command may make one where no agent is.
_MAY_BE_MADE = frozenset(("venv", ".venv"))
# Where a second name of a closed folder's file is not looked for: much, and nothing that gives anybody a right.
_NOT_LOOKED_INTO = frozenset(("venv", "workspace", "trash", "shadow", "files", "__pycache__"))
_DEEPEST = 6
_ENDED = {
    "time": "stopped: its time was up",
    "memory": "stopped: it took too much memory",
    "output": "stopped: it wrote too much output",
    "disk": "stopped: it wrote too much to the disk",
    "processes": "stopped: it started too many processes",
    "interrupted": "interrupted",
}


class Terminal:
    """Runs commands in the working folder."""

    def __init__(self, context: ToolContext) -> None:
        self.context = context

    @kernel_function(description="Run a shell command in the working folder, such as: python script.py. No network.")
    @effects("runs")
    @planned
    def run(
        self,
        command: Annotated[str, "One line for /bin/sh"],
        timeout: Annotated[float, "Seconds it may take"] = 60.0,
    ) -> Plan:
        """Plan to run a command; doing it returns its output and how it ended. Raises ToolError for what cannot be run."""
        if not command.strip():
            raise ToolError("The command is empty.")
        if len(command) > _LONGEST_COMMAND or "\0" in command:
            raise ToolError(f"A command has at most {_LONGEST_COMMAND} characters and no NUL. Put it in a file and run that.")
        if not 0 < timeout <= _LONGEST_RUN:
            raise ToolError(f"timeout is more than 0 and at most {_LONGEST_RUN:g} seconds.")
        try:
            command.encode()
            folder = self.context.folder.resolve(strict=True)
            about = folder.stat()
        except (OSError, ValueError) as error:
            raise ToolError(f"The command cannot be run here: {error}") from None
        shown = Preview(f"run: {command}", command=command, folder=str(folder), scope=f"the command: {command}")

        def do() -> str:
            now = folder.stat()
            if (now.st_dev, now.st_ino) != (about.st_dev, about.st_ino):
                raise Changed(f"{folder} is not the folder any more that was shown.")
            return self._run(command, folder, timeout)

        return Plan(shown, do)

    def _run(self, command: str, folder: Path, seconds: float) -> str:
        from foundry.sandbox import jail

        before = _protected(folder, self.context.closed)
        there = before.identities()
        bin_folder = Path(sys.prefix, "bin")
        clean = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        cell = jail.Cell(
            folder,
            readable=(Path(sys.prefix),),
            fixed=before.fixed,
            masked=before.masked,
            pinned=_pinned(folder, self.context.closed, before.fixed),
            env={"PATH": f"{bin_folder}:{clean}"},
            bounds=jail.Bounds(seconds=seconds, cpu=int(seconds) + 1),
        )
        try:
            ended = jail.run(["/bin/sh", "-c", command], cell)
        except NotReadyError as error:
            raise ToolError(f"{error.message}. {error.hint}") from None
        except FoundryError as error:
            raise ToolError(f"{error.message}. {error.hint}".rstrip(". ") + ".") from None
        finally:
            removed = _remove_new(folder, self.context.closed, there)
            before.put_links_back()
        return _told(ended, removed, self.context.limit)


def _told(ended: Jailed, removed: list[str], limit: int) -> str:
    """Return what the command wrote, its beginning and its end, then one line on how it ended and what held it."""
    last = [f"exit {ended.code}" if ended.ended == "itself" else _ENDED[ended.ended]]
    if removed:
        last.append(f"removed again, as a command may not make them: {', '.join(removed[:5])}")
    note = f"[{' · '.join([*last, f'jail {ended.level}', f'{ended.seconds:.1f} s'])}]"
    err = f"\n[standard error]\n{ended.err.strip()}" if ended.err.strip() else ""
    text = f"{ended.out.rstrip()}{err}".strip()
    room = max(limit - len(note) - 60, 200)
    if len(text) > room:
        dropped = len(text) - room
        text = f"{text[: room // 2]}\n[… {dropped} characters left out …]\n{text[-(room // 2) :]}"
    return f"{text}\n{note}".lstrip()


@dataclass(frozen=True, slots=True)
class _Protected:
    """What of a folder a command may not change (`fixed`) and not even read (`masked`); `links` of it are links, and to where."""

    fixed: tuple[Path, ...]
    masked: tuple[Path, ...]
    links: Mapping[Path, Path]

    def identities(self) -> set[tuple[int, int, str, str]]:
        """Return what tells each of them wherever the folder around it is moved to."""
        return {_identity(one) for one in (*self.fixed, *self.masked) if os.path.lexists(one)}

    def put_links_back(self) -> None:
        """Make the links anew that a command took away: a mount can fix what they lead to, not them."""
        for path, target in self.links.items():
            if not os.path.lexists(path) and path.parent.resolve() == path.parent and path.parent.is_dir():
                path.symlink_to(target)


def _identity(path: Path) -> tuple[int, int, str, str]:
    """Return what tells one file from another; the number of one that is gone may be given to the next, but not all of it."""
    about = path.lstat()
    return about.st_dev, about.st_ino, path.name, str(path.readlink()) if stat.S_ISLNK(about.st_mode) else ""


def _protected(folder: Path, closed: tuple[Path, ...]) -> _Protected:
    """Return what is protected below `folder`. Raises ToolError where there is more than can be guarded."""
    fixed: list[Path] = []
    masked: list[Path] = []
    for path, hidden in _walked(folder, closed, _MOST_ENTRIES):
        (masked if hidden else fixed).append(path)
        if len(fixed) + len(masked) > _MOST_PROTECTED:
            raise ToolError(f"{folder} holds more than {_MOST_PROTECTED} protected files. Work in a folder inside it.")
    links = {one: one.readlink() for one in fixed if one.is_symlink()}
    return _Protected(tuple(fixed), tuple(masked), links)


def _pinned(folder: Path, closed: tuple[Path, ...], fixed: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the folders that must keep their names: those around a closed one, or one protected for where it lies."""
    kept = [one.resolve() for one in closed] + [one for one in fixed if plain_name(one.parent.name) == ".config"]
    around = {above for one in kept for above in one.parents if above != folder and above.is_relative_to(folder)}
    return tuple(sorted(one for one in around if one.is_dir()))


def _walked(folder: Path, closed: tuple[Path, ...], most: int = sys.maxsize) -> Iterator[tuple[Path, bool]]:
    """Yield each protected path below `folder`, not what lies in it, and whether it is to be hidden; links are not followed.

    What cannot be looked into counts as protected: it may hold anything. Raises ToolError for more than `most` entries.
    """
    out_of_bounds = {one.resolve() for one in closed}
    linked = _hard_linked(closed)
    known: dict[tuple[str, bool, str], bool] = {}
    waiting, seen = [folder], 0
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as found:
                entries = list(found)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            if place != folder:
                yield place, False
            continue
        seen += len(entries)
        if seen > most:
            raise ToolError(f"{folder} holds more than {most} files. Work in a folder inside it.")
        of_agent = any(one.name == "agent.config.json" for one in entries)
        for entry in entries:
            path = Path(entry.path)
            # What is_trusted() looks at beside the name; asking it of every file of a big tree takes a second.
            key = (entry.name, of_agent, place.name)
            if key not in known:
                known[key] = is_trusted(path, folder)
            if path in out_of_bounds or (is_protected(entry.name) and plain_name(entry.name) != ".git"):
                yield path, not entry.is_symlink()
            elif known[key]:
                yield path, False
            elif entry.inode() in linked and path.lstat().st_dev == linked[entry.inode()]:
                yield path, True
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)


def _hard_linked(closed: tuple[Path, ...]) -> dict[int, int]:
    """Return the files of closed folders that have a second name somewhere: the device of each by its number there."""
    found: dict[int, int] = {}
    tops = [one for one in {one.resolve() for one in closed} if not any(top.resolve() in one.parents for top in closed)]
    for top in tops:
        for folder, folders, files in os.walk(top):
            deep = len(Path(folder).relative_to(top).parts) >= _DEEPEST
            folders[:] = [] if deep else [one for one in folders if one not in _NOT_LOOKED_INTO]
            for name in files:
                with suppress(OSError):
                    about = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - there may be thousands
                    if about.st_nlink > 1:
                        found[about.st_ino] = about.st_dev
    return found


def _remove_new(folder: Path, closed: tuple[Path, ...], there: set[tuple[int, int, str, str]]) -> list[str]:
    """Remove what is protected and was nowhere below the folder before the command, and return the names."""
    removed = []
    for path, _ in list(_walked(folder, closed)):
        if _identity(path) in there or _may_be_made(path):
            continue
        with suppress(FoundryError):  # what cannot be removed is named all the same
            remove_tree(path)
        removed.append(path.relative_to(folder).as_posix())
    return removed


def _may_be_made(path: Path) -> bool:
    return plain_name(path.name) in _MAY_BE_MADE and not os.path.lexists(path.parent / "agent.config.json")
