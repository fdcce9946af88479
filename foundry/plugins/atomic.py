"""Renames that never replace, and names swapped in one step, where the system knows how to; the nearest thing elsewhere."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from functools import cache
from typing import Any

_LINUX = ("renameat2", 1, 2)
_MAC = ("renameatx_np", 4, 2)
_UNABLE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def rename_new(name: str, to: str, folder: int, into: int) -> None:
    """Rename `name` in the folder open as `folder` to `to` in `into`. Raises FileExistsError where something stands there."""
    if _renamed(name, to, folder, into, exclusive=True):
        return
    if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode) or not _linked(name, to, folder, into):
        _refuse_existing(to, into)
        os.rename(name, to, src_dir_fd=folder, dst_dir_fd=into)
    else:
        os.unlink(name, dir_fd=folder)


def swap(name: str, other: str, folder: int) -> bool:
    """Swap two names of one folder in one step; False where the system cannot. Raises OSError when one is not there."""
    return _renamed(name, other, folder, folder, exclusive=False)


def _renamed(name: str, to: str, folder: int, into: int, exclusive: bool) -> bool:
    call, excluding, swapping = _system_call()
    if call is None:
        return False
    ctypes.set_errno(0)
    if call(folder, os.fsencode(name), into, os.fsencode(to), excluding if exclusive else swapping) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNABLE:
        return False
    raise OSError(number, os.strerror(number), to)


def _linked(name: str, to: str, folder: int, into: int) -> bool:
    """Give the file a second name, which never replaces; False on file systems without hard links."""
    try:
        os.link(name, to, src_dir_fd=folder, dst_dir_fd=into, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        return False
    return True


def _refuse_existing(name: str, folder: int) -> None:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


@cache
def _system_call() -> tuple[Any, int, int]:
    """Return the C library's function and its flags for "do not replace" and "swap"; None for a library without it."""
    name, excluding, swapping = _MAC if sys.platform == "darwin" else _LINUX
    try:
        call = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError, TypeError):
        return None, 0, 0
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    call.restype = ctypes.c_int
    return call, excluding, swapping
