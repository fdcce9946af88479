"""The record of the gate's decisions about an agent's calls: a JSON line each in the user's state folder, bounded in size."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from foundry.agent.folder import AgentFolder
from foundry.agent.standing import decisions_file

MOST_BYTES = 2 * 1024 * 1024
_TRIES = 20


def record(folder: AgentFolder, entry: Mapping[str, Any]) -> None:
    """Write one decision, which has reached the system on return; the oldest half goes when there is too much. Raises OSError."""
    place = decisions_file(folder)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = _held(place)
    try:
        size = os.fstat(handle).st_size
        if size > MOST_BYTES:
            _halve(handle, size)
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        line = line if _ends_whole(handle) else b"\n" + line
        if os.write(handle, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
    finally:
        os.close(handle)


def recorded(folder: AgentFolder) -> Iterator[dict[str, Any]]:
    """Yield the decisions there are, oldest first; a torn line is left out."""
    with suppress(OSError), decisions_file(folder).open("rb") as file:
        for line in file:
            with suppress(ValueError, RecursionError):
                one = json.loads(line)
                if isinstance(one, dict):
                    yield one


def _held(place: Path) -> int:
    """Open the file that is at its place now, locked until it is closed."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    for _ in range(_TRIES):
        handle = os.open(place, flags, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    raise OSError(f"{place} is removed again and again")


def _halve(handle: int, size: int) -> None:
    kept = os.pread(handle, size // 2, size - size // 2).partition(b"\n")[2]
    os.ftruncate(handle, 0)
    os.write(handle, kept)


def _ends_whole(handle: int) -> bool:
    size = os.fstat(handle).st_size
    return not size or os.pread(handle, 1, size - 1) == b"\n"
