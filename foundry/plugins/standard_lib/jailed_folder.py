"""The working folder as jailed code has it: what it may not change is fixed or hidden, what it may not make is put away after."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foundry.errors import FoundryError
from foundry.plugins.api import Changed, ToolContext, ToolError, is_protected, is_trusted, plain_name
from foundry.plugins.standard_lib.put_aside import Identity, identity, is_aside, link_again, put_aside, take_away

if TYPE_CHECKING:
    from foundry.sandbox.cell import Bounds, Jailed

CLEAN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOST_ENTRIES = 300_000
_MOST_PROTECTED = 200
# Environments: an existing one is fixed like the rest, but a command may make one where no agent is.
_MAY_BE_MADE = frozenset(("venv", ".venv"))
# Where a second name of a closed folder's file is not looked for: much, and nothing that gives anybody a right.
_NOT_LOOKED_INTO = frozenset(("venv", "workspace", "trash", "shadow", "files", "__pycache__"))
_DEEPEST = 6
_AGENT = "agent.config.json"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run in the folder ended, and the names of what was removed again or put aside, as code may not make it."""

    jailed: Jailed
    away: tuple[str, ...]


class JailedFolder:
    """A tool's working folder, which `run` gives to code in the jail; it is the very folder that was there when this was made."""

    def __init__(self, context: ToolContext) -> None:
        try:
            self.path = context.folder.resolve(strict=True)
            about = self.path.stat()
            str(self.path).encode()
        except (OSError, ValueError) as error:
            raise ToolError(f"Nothing can be run here: {error}") from None
        self._closed = context.closed
        self._number = (about.st_dev, about.st_ino)

    def check(self) -> None:
        """Raise Changed where another folder has taken the place of this one."""
        now = self.path.stat()
        if (now.st_dev, now.st_ino) != self._number:
            raise Changed(f"{self.path} is not the folder any more that was shown.")

    def run(
        self,
        argv: list[str],
        bounds: Bounds,
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        readable: tuple[Path, ...] = (),
        on_output: Callable[[str, str], None] | None = None,
        on_started: Callable[[], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Ended:
        """Run `argv` in the jail and return how it ended. Raises ToolError where no jail holds or it cannot be started.

        Other jailed code stands still while the folder is looked through and until the walls stand: it could put a link where
        they are to be. With `stop`, the code may run for long and others work here meanwhile, so nothing of what was made is
        removed for good.
        """
        from foundry.sandbox import jail
        from foundry.sandbox.still import held_still

        bin_folder = Path(sys.prefix, "bin")
        before: _Protected | None = None
        spare = stop is not None
        away: tuple[str, ...] = ()
        try:
            with ExitStack() as still:
                still.enter_context(held_still())
                self.check()
                before = _protected(self.path, self._closed)
                if spare:
                    before.numbers.clear()  # nothing is removed then, and it may be for long
                cell = jail.Cell(
                    self.path,
                    readable=(Path(sys.prefix), *readable),
                    fixed=before.fixed,
                    masked=before.masked,
                    pinned=_pinned(self.path, self._closed, before.fixed),
                    env={"PATH": f"{bin_folder}:{CLEAN_PATH}", **(env or {})},
                    bounds=bounds,
                )

                def started() -> None:
                    still.close()
                    if on_started:
                        on_started()

                ended = jail.run(argv, cell, stdin=stdin, on_output=on_output, on_started=started, stop=stop)
        except FoundryError as error:
            raise ToolError(f"{error.message}. {error.hint}".rstrip(". ") + ".") from None
        finally:
            if before:
                away = self._put_right(before, spare=spare)
        return Ended(ended, away)

    def _put_right(self, before: _Protected, *, spare: bool) -> tuple[str, ...]:
        from foundry.sandbox.still import held_still

        with held_still():
            away = _put_away(self.path, self._closed, before, spare=spare)
            for path, target in before.links.items():  # a mount can fix what they lead to, not them
                if not os.path.lexists(path):
                    link_again(self.path, path, target)
        return away


@dataclass(frozen=True, slots=True)
class _Protected:
    """What of a folder a command may not change (`fixed`) and not even read (`masked`); `links` of it are links, and to where."""

    fixed: tuple[Path, ...]
    masked: tuple[Path, ...]
    links: Mapping[Path, Path]
    there: set[Identity]
    numbers: set[int]  # of all files and folders there were


def _protected(folder: Path, closed: tuple[Path, ...]) -> _Protected:
    """Return what is protected below `folder`. Raises ToolError where there is more than can be guarded."""
    fixed: list[Path] = []
    masked: list[Path] = []
    numbers: set[int] = set()
    for path, hidden in _walked(folder, closed, _MOST_ENTRIES, numbers):
        (masked if hidden else fixed).append(path)
        if len(fixed) + len(masked) > _MOST_PROTECTED:
            raise ToolError(f"{folder} holds more than {_MOST_PROTECTED} protected files. Work in a folder inside it.")
    links = {one: one.readlink() for one in fixed if one.is_symlink()}
    there = {identity(one) for one in (*fixed, *masked) if os.path.lexists(one)}
    return _Protected(tuple(fixed), tuple(masked), links, there, numbers)


def _pinned(folder: Path, closed: tuple[Path, ...], fixed: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the folders that must keep their names: those around a closed one, or one protected for where it lies."""
    kept = [one.resolve() for one in closed] + [one for one in fixed if plain_name(one.parent.name) == ".config"]
    around = {above for one in kept for above in one.parents if above != folder and above.is_relative_to(folder)}
    return tuple(sorted(one for one in around if one.is_dir()))


def _walked(
    folder: Path, closed: tuple[Path, ...], most: int = sys.maxsize, numbers: set[int] | None = None
) -> Iterator[tuple[Path, bool]]:
    """Yield each protected path below `folder`, not what lies in it, and whether it is to be hidden; links are not followed.

    `numbers` takes the numbers of all that is no link. What cannot be looked into counts as protected: it may hold anything.
    Raises ToolError for more than `most` entries.
    """
    out_of_bounds = {one.resolve() for one in closed}
    linked = _hard_linked(closed)
    known: dict[tuple[str, bool, bool], bool] = {}
    waiting, seen = [folder], 0
    while waiting:
        place = waiting.pop()
        entries = _entries(place)
        if entries is None:
            if place != folder:
                yield place, False
            continue
        seen += len(entries)
        if seen > most:
            raise ToolError(f"{folder} holds more than {most} files. Work in a folder inside it.")
        of_agent = any(one.name == _AGENT for one in entries)
        in_config = plain_name(place.name) == ".config"
        if numbers is not None:
            numbers.update(one.inode() for one in entries if not one.is_symlink())
        for entry in entries:
            path = Path(entry.path)
            # What is_trusted() looks at beside the name; asking it of every file of a big tree takes a second.
            key = (entry.name, of_agent, in_config)
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


def _entries(folder: Path) -> list[os.DirEntry[str]] | None:
    """Return what lies in a folder, nothing where it is gone or none, None where nobody may look."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:
        return None


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


def _put_away(folder: Path, closed: tuple[Path, ...], before: _Protected, *, spare: bool) -> tuple[str, ...]:
    """Take away what is protected and was nowhere below the folder before, and return the names.

    It is removed, or with `spare` and where it holds what was there before under a harmless name, put aside. A configuration
    goes first: without one, the folder around it is no agent's and what lies in it is nothing special.
    """
    found = _new(folder, closed, before)
    configs = [path for path in found if path.name == _AGENT]
    names = [_taken(folder, path, before, spare=spare) for path in configs]
    rest = _new(folder, closed, before) if configs else found
    return (*names, *(_taken(folder, path, before, spare=spare) for path in rest if path not in configs))


def _new(folder: Path, closed: tuple[Path, ...], before: _Protected) -> list[Path]:
    """Return what is protected below the folder and was not there before."""
    found = []
    for path, _ in _walked(folder, closed):
        with suppress(OSError):  # gone meanwhile
            one = identity(path)
            if not (one in before.there or is_aside(folder, one) or _may_be_made(path)):
                found.append(path)
    return found


def _taken(folder: Path, path: Path, before: _Protected, *, spare: bool) -> str:
    """Take `path` away and return its name, with the new one where it has one; it is named also where that fails."""
    name = path.relative_to(folder).as_posix()
    with suppress(FoundryError, OSError):
        if spare or _holds(path, before.numbers):
            return f"{name} (now {put_aside(folder, path).relative_to(folder).as_posix()})"
        take_away(folder, path)
    return name


def _holds(path: Path, numbers: set[int]) -> bool:
    """Return whether a path is one of the files and folders with these numbers, or one of them lies in it."""
    if path.is_symlink():
        return False
    if path.lstat().st_ino in numbers:
        return True
    return any(
        os.lstat(os.path.join(inner, name)).st_ino in numbers  # noqa: PTH118 - there may be thousands
        for inner, folders, files in os.walk(path)
        for name in (*folders, *files)
    )


def _may_be_made(path: Path) -> bool:
    return plain_name(path.name) in _MAY_BE_MADE and not os.path.lexists(path.parent / _AGENT)
