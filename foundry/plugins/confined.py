"""A folder that no path leaves: read and changed through directory handles, no link followed, and only when it is as expected."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from foundry.plugins.api import Changed, ToolContext, ToolError, is_protected
from foundry.plugins.atomic import rename_new, swap

# Protected by its first letters: left behind by a crash, no tool reads or lists it.
_TEMPORARY = ".foundry-write-"
_TURNS = 1000
_IN_THE_WAY = {errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EMLINK, errno.ENOTEMPTY}
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link, as it is written."""

    target: str


# What stands at a path: a file's bytes, a link, None for a folder; by the path below it, "" for itself.
Tree = dict[str, bytes | Link | None]


class Confined:
    """A folder whose files are read and changed by real paths inside it, and which must stay the very folder it is now."""

    def __init__(self, root: Path, most_files: int = 500, most_bytes: int = 16 * 1024 * 1024) -> None:
        self.root = root.resolve()
        self.most_files = most_files
        self.most_bytes = most_bytes
        self._identity = _identity(self.root.stat())

    def look(self, path: Path) -> os.stat_result | None:
        """Return what stands at `path`, a link as itself; None where nothing does. Raises ToolError."""
        try:
            if path == self.root:
                return os.lstat(path)
            with self._parent(path) as (folder, name):
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            raise ToolError(f"{self._name(path)} cannot be: a part of that path is a file or a link, not a folder.") from None
        except OSError as error:
            raise _failed(path, error) from None

    def tree(self, path: Path) -> Tree:
        """Return everything at and below `path`. Raises ToolError for too much of it, for pipes and devices, Changed if gone."""
        with self._expecting(path), self._parent(path) as (folder, name), _alone(folder):
            return self._tree(folder, name)

    def write(self, path: Path, before: bytes | None, after: bytes) -> None:
        """Make a file that holds `before`, None where nothing stands, hold `after`, in one step; a replaced one keeps its mode.

        Raises Changed where it holds something else, ToolError for what cannot be written.
        """
        with self._expecting(path):
            if before is None:
                with self._made(path.parent), self._parent(path) as (folder, name), _written(folder, after) as temporary:
                    _place(temporary, name, folder, folder)
            else:
                with self._parent(path) as (folder, name), _alone(folder):
                    self._replace(folder, name, before, after)

    def move(self, path: Path, to: Path, tree: Tree) -> None:
        """Rename what holds `tree` to `to`, where nothing may stand. Raises Changed, ToolError."""
        with self._expecting(path), self._parent(path) as (folder, name), _alone(folder):
            self._agree(folder, name, tree)
            with self._made(to.parent), self._parent(to) as (into, new):
                _place(name, new, folder, into)
                try:
                    self._agree(into, new, tree)
                except BaseException:
                    rename_new(new, name, into, folder)
                    raise

    def remove(self, path: Path, tree: Tree) -> None:
        """Remove what holds `tree`, and nothing else. Raises Changed, ToolError."""
        with self._expecting(path), self._parent(path) as (folder, name), _alone(folder):
            self._agree(folder, name, tree)
            aside = _temporary()
            os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
            try:
                self._agree(folder, aside, tree)
                self._take_away(folder, aside, tree)
            except BaseException:
                with suppress(FileNotFoundError):
                    rename_new(aside, name, folder, folder)
                raise

    @contextmanager
    def _expecting(self, path: Path) -> Iterator[None]:
        """Say of whatever stands in the way on the path, such as a link put there since, that things have changed."""
        try:
            yield
        except Changed:
            raise Changed(f"{self._name(path)} is not what it was when it was shown.") from None
        except OSError as error:
            if error.errno in _IN_THE_WAY:
                raise Changed(f"{self._name(path)} is not what it was when it was shown: {error.strerror}.") from None
            raise _failed(path, error) from None

    @contextmanager
    def _parent(self, path: Path) -> Iterator[tuple[int, str]]:
        """Open the folder that `path` is in, step by step from the root, and give its handle with the last name."""
        *folders, name = path.relative_to(self.root).parts
        with self._opened(folders) as handle:
            yield handle, name

    @contextmanager
    def _opened(self, folders: list[str]) -> Iterator[int]:
        handle = os.open(self.root, _FOLDER)
        try:
            if _identity(os.fstat(handle)) != self._identity:
                raise Changed(f"The folder {self.root} is not the one it was.")
            for part in folders:
                inner = os.open(part, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    @contextmanager
    def _made(self, path: Path) -> Iterator[None]:
        """Make the folders of `path` that are missing; they go again when what follows fails."""
        made: list[Path] = []
        try:
            for one in [*reversed(path.relative_to(self.root).parents), path.relative_to(self.root)]:
                if one.parts and self._made_one(self.root / one):
                    made.append(self.root / one)
            yield
        except BaseException:
            for one in reversed(made):
                with suppress(OSError, ToolError), self._parent(one) as (folder, name):
                    os.rmdir(name, dir_fd=folder)
            raise

    def _made_one(self, path: Path) -> bool:
        with self._parent(path) as (folder, name):
            try:
                os.mkdir(name, dir_fd=folder)
            except FileExistsError:
                return False
        return True

    def _replace(self, folder: int, name: str, before: bytes, after: bytes) -> None:
        self._agree(folder, name, {"": before})
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        with _written(folder, after, found) as temporary:
            if not swap(temporary, name, folder):
                self._agree(folder, name, {"": before})
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                return
            # Now the temporary name has what stood there; only if that is what was shown may it go.
            ours = _identity(os.stat(name, dir_fd=folder, follow_symlinks=False))
            try:
                self._agree(folder, temporary, {"": before})
            except BaseException:
                _swapped_back(temporary, name, folder, ours)
                raise

    def _agree(self, folder: int, name: str, tree: Tree) -> None:
        """Accept what stands at a name. Raises Changed where that is not `tree`."""
        try:
            same = self._tree(folder, name) == tree
        except Changed:
            raise
        except ToolError:  # it grew beyond what was shown, or became a pipe
            same = False
        if not same:
            raise Changed(f"{name} is another.")

    def _tree(self, folder: int, name: str) -> Tree:
        found: Tree = {}
        room = self.most_bytes
        for inside, value in self._entries(folder, name, ""):
            found[inside] = value
            room -= len(value) if isinstance(value, bytes) else 0
            if len(found) > self.most_files:
                raise ToolError(f"That is more than {self.most_files} files; take a part of it.")
            if room < 0:
                raise ToolError(f"That is more than {self.most_bytes // 1024 // 1024} MiB; take a part of it.")
        return found

    def _entries(self, folder: int, name: str, inside: str) -> Iterator[tuple[str, bytes | Link | None]]:
        kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISLNK(kind):
            yield inside, Link(os.readlink(name, dir_fd=folder))
        elif stat.S_ISDIR(kind):
            yield inside, None
            handle = os.open(name, _FOLDER, dir_fd=folder)
            try:
                for one in sorted(os.listdir(handle)):  # noqa: PTH208
                    yield from self._entries(handle, one, f"{inside}/{one}" if inside else one)
            finally:
                os.close(handle)
        else:
            yield inside, _bytes(folder, name, self.most_bytes)

    def _take_away(self, folder: int, name: str, tree: Tree, inside: str = "") -> None:
        """Remove exactly what `tree` names; what has appeared beside it makes the folder stay."""
        if tree[inside] is not None:
            os.unlink(name, dir_fd=folder)
            return
        handle = os.open(name, _FOLDER, dir_fd=folder)
        try:
            for one in [key for key in tree if key and key.rpartition("/")[0] == inside]:
                self._take_away(handle, one.rpartition("/")[2], tree, one)
        finally:
            os.close(handle)
        os.rmdir(name, dir_fd=folder)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def is_name_of_protected(context: ToolContext, found: os.stat_result) -> bool:
    """Return whether a file is a second, hard-linked name of a protected one of the working folder or of a closed one."""
    if found.st_nlink < 2 or stat.S_ISDIR(found.st_mode):
        return False
    for place in {one.resolve() for one in (context.folder, *context.closed)}:
        with suppress(OSError), os.scandir(place) as entries:
            for one in entries:
                if is_protected(one.name) and _identity(one.stat(follow_symlinks=False)) == _identity(found):
                    return True
    return False


def read_up_to(context: ToolContext, path: Path, most: int) -> bytes:
    """Return the first bytes of a file, one more than `most` where it is larger. Raises ToolError for what may not be read."""
    name = context.name(path)
    try:
        with context.open(path) as file:
            if is_name_of_protected(context, os.fstat(file.fileno())):
                raise ToolError(f"{name} is another name of a protected file: it cannot be read or changed.")
            return file.read(most + 1)
    except FileNotFoundError:
        raise ToolError(f"There is no file {name}. Use list_files to see what is there.") from None
    except OSError as error:
        raise ToolError(f"{name} cannot be read: {error.strerror}.") from None


def _bytes(folder: int, name: str, most: int) -> bytes:
    handle = os.open(name, _FILE, dir_fd=folder)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ToolError(f"{name!r} is no regular file.")
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ToolError(f"{name!r} is larger than {most // 1024 // 1024} MiB: file tools leave such files as they are.")
    return raw


@contextmanager
def _alone(folder: int) -> Iterator[None]:
    """Keep other changes of ours out of a folder, in any process: what one of them may yet take back, none may build on.

    It is between ourselves only, so whoever holds the folder for long is not waited for.
    """
    for _ in range(_TURNS):
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.002)
        except OSError:  # a file system without locks
            break
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_UN)


@contextmanager
def _written(folder: int, raw: bytes, like: os.stat_result | None = None) -> Iterator[str]:
    """Give the temporary name of a new file with these bytes, on the disk, with the mode and owner of `like`; gone afterwards."""
    name = _temporary()
    handle = os.open(name, _NEW, 0o666 if like is None else 0o600, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            if like is not None:
                _resemble(handle, like)
            os.fsync(handle)
        yield name
    finally:
        with suppress(OSError):  # a folder that somebody put there meanwhile stays
            os.unlink(name, dir_fd=folder)


def _resemble(handle: int, like: os.stat_result) -> None:
    mine = os.fstat(handle)
    if (mine.st_uid, mine.st_gid) != (like.st_uid, like.st_gid):
        with suppress(PermissionError):
            os.fchown(handle, like.st_uid, like.st_gid)
    os.fchmod(handle, like.st_mode & 0o777)


def _place(name: str, to: str, folder: int, into: int) -> None:
    """Rename to a name that nothing has, or that differs from the old one in case only, for disks that see no difference."""
    with suppress(FileNotFoundError):
        there = os.stat(to, dir_fd=into, follow_symlinks=False)
        if name.casefold() == to.casefold() and _identity(there) == _identity(
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        ):
            os.rename(name, to, src_dir_fd=folder, dst_dir_fd=into)
            return
    rename_new(name, to, folder, into)


def _swapped_back(temporary: str, name: str, folder: int, ours: tuple[int, int]) -> None:
    """Undo a swap: what was found goes back, unless somebody has put something newer there since."""
    with suppress(FileNotFoundError):
        swap(temporary, name, folder)
        if _identity(os.stat(temporary, dir_fd=folder, follow_symlinks=False)) != ours:
            swap(temporary, name, folder)
        return
    with suppress(FileExistsError, FileNotFoundError):
        rename_new(temporary, name, folder, folder)


def _temporary() -> str:
    return _TEMPORARY + os.urandom(6).hex()


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _failed(path: Path, error: OSError) -> ToolError:
    return ToolError(f"{path.name} cannot be changed: {error.strerror or error}.")
