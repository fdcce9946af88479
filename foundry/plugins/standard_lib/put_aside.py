"""Takes a file or folder out of its place, whatever is swapped meanwhile: into a folder that no tool reads and nothing trusts."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from foundry.agent.trash import remove_tree

Identity = tuple[int, int, str, str]
_NAME = ".foundry-aside-"  # protected, as all that begins so
_ours: dict[Path, Identity] = {}  # by working folder


def identity(path: Path) -> Identity:
    """Return what tells one file from another; the number of one that is gone may be given to the next, but not all of it."""
    about = path.lstat()
    return about.st_dev, about.st_ino, path.name, str(path.readlink()) if stat.S_ISLNK(about.st_mode) else ""


def is_aside(folder: Path, found: Identity) -> bool:
    """Return whether this is the folder of ours in the working folder."""
    return found == _ours.get(folder)


def put_aside(folder: Path, path: Path) -> Path:
    """Move what lies at `path` below `folder` aside and return its new path. Raises OSError, also where a link is on the way."""
    place = Path(tempfile.mkdtemp(prefix="", dir=_aside(folder)))
    name = f"{path.name}.aside"
    try:
        with _opened(folder, path.parent) as source, _opened(folder, place) as target:
            try:
                os.rename(path.name, name, src_dir_fd=source, dst_dir_fd=target)
            except PermissionError:  # a folder that is shut does not change its place
                if path.is_symlink() or not path.is_dir():
                    raise
                path.chmod(0o700)
                os.rename(path.name, name, src_dir_fd=source, dst_dir_fd=target)
    except OSError:
        _tidy(place)
        raise
    return place / name


def take_away(folder: Path, path: Path) -> None:
    """Remove what lies at `path` for good. Raises OSError or FoundryError where that cannot be; then it is at least aside."""
    away = put_aside(folder, path)
    remove_tree(away)
    _tidy(away.parent)


def link_again(folder: Path, path: Path, target: Path) -> None:
    """Make a link that was taken away anew, unless its folder is gone or something has its name. Raises nothing."""
    with suppress(OSError), _opened(folder, path.parent) as parent:
        os.symlink(target, path.name, dir_fd=parent)


def _aside(folder: Path) -> Path:
    """Return the folder of ours, made anew where it is not there or not ours any more."""
    for one in folder.glob(f"{_NAME}*"):
        if is_aside(folder, identity(one)):
            return one
    made = Path(tempfile.mkdtemp(prefix=_NAME, dir=folder))
    _ours[folder] = identity(made)
    return made


def _tidy(place: Path) -> None:
    """Remove our folders where nothing is left in them."""
    with suppress(OSError):
        place.rmdir()
        place.parent.rmdir()


@contextmanager
def _opened(root: Path, folder: Path) -> Iterator[int]:
    """Yield a handle of a folder below `root`, which no link on the way has led elsewhere."""
    how = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    handle = os.open(root, how)
    try:
        for part in folder.relative_to(root).parts:
            inner = os.open(part, how | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)
