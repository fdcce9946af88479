"""Who may touch an agent now: runs share its lock, a change takes it alone and is told who is in the way."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from foundry.agent import intent
from foundry.agent.folder import AgentFolder, Home
from foundry.errors import BusyError, FoundryError, NotFoundError
from foundry.text import local_time

_KEPT_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Holder:
    """One line of the lock file: a process, what it does with the agent, since when (ISO 8601, UTC)."""

    pid: int
    verb: str
    at: str


@contextmanager
def hold_shared(folder: AgentFolder, verb: str) -> Iterator[int]:
    """Hold the agent as runs do, any number at once, and give the lock's handle, for `alone_within`.

    Raises BusyError while a change holds it, NotFoundError when it is gone.
    """
    with _opened(folder) as handle:
        if _try(handle, fcntl.LOCK_EX):
            intent.roll(folder)
            _shorten(handle)
        # Another start may hold it alone for the blink that the two lines above take.
        if not _try(handle, fcntl.LOCK_SH, patience=0.5) and (_alive(folder, handle) or not _try(handle, fcntl.LOCK_SH, 5.0)):
            raise _busy(folder, handle)
        _still_there(folder, handle)
        _sign(handle, verb)
        yield handle


@contextmanager
def alone_within(folder: AgentFolder, handle: int) -> Iterator[None]:
    """Let a run that holds the agent with others hold it alone for a change.

    Raises BusyError naming the other runs, NotFoundError when the agent was renamed or deleted meanwhile.
    """
    if not _try(handle, fcntl.LOCK_EX, patience=0.5):
        busy = _busy(folder, handle)
        fcntl.flock(handle, fcntl.LOCK_SH)  # what could not be made exclusive may be lost on the way: behind another's change
        _still_there(folder, handle)
        raise busy
    try:
        _still_there(folder, handle)  # a try that failed has let go for a moment
        intent.roll(folder)
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_SH)


@contextmanager
def hold_alone(folder: AgentFolder, verb: str, *, settle: bool = True) -> Iterator[int]:
    """Hold the agent alone, an open intent ended first, and give the lock's handle, for a child that must hold it on.

    Without `settle` the intent stays open. Raises BusyError naming the live holders, NotFoundError if the agent is gone.
    """
    with _opened(folder) as handle:
        # A killed change may leave its installer writing for a moment, and that holds the lock on.
        if not _try(handle, fcntl.LOCK_EX, patience=0.2) and (_alive(folder, handle) or not _try(handle, fcntl.LOCK_EX, 5.0)):
            raise _busy(folder, handle)
        _still_there(folder, handle)
        if settle:
            intent.roll(folder)
        _sign(handle, verb)
        yield handle


@contextmanager
def hold_home(home: Home) -> Iterator[None]:
    """Hold what decides over names in this home, for a blink; waits for its turn."""
    home.prepare()
    handle = _open(home.own / "names.lock")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def last_run(folder: AgentFolder) -> str:
    """Return when the agent last ran (ISO 8601, UTC), or an empty string."""
    return max((one.at for one in _holders(folder.holders) if one.verb == "run"), default="")


def is_free(path: Path) -> bool:
    """Return whether nobody holds the lock file `path`; one that is not there is free."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return _try(handle, fcntl.LOCK_EX)
    finally:
        os.close(handle)


@contextmanager
def _opened(folder: AgentFolder) -> Iterator[int]:
    try:
        handle = _open(folder.holders)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"no agent lies in {folder.path}", "foundry list") from None
    except OSError as error:
        strange = error.errno in (errno.EISDIR, errno.ELOOP)
        hint = "A plain file belongs there: remove what it is now." if strange else "The agent's folder must be writable."
        raise FoundryError(f"{folder.holders} cannot be opened: {error.strerror}", hint) from None
    try:
        yield handle
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _try(handle: int, how: int, patience: float = 0.0) -> bool:
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)


def _still_there(folder: AgentFolder, handle: int) -> None:
    """Refuse a lock whose agent was renamed or deleted while we waited for it."""
    try:
        same = os.path.samestat(folder.holders.lstat(), os.fstat(handle))
    except OSError:
        same = False
    if not same:
        raise NotFoundError(f"the agent {folder.name!r} was just renamed or deleted", "foundry list")


def _sign(handle: int, verb: str) -> None:
    line = {"pid": os.getpid(), "verb": verb, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    os.write(handle, json.dumps(line).encode() + b"\n")


def _shorten(handle: int) -> None:
    """Drop old lines of a long lock file; only called while it is held alone."""
    size = os.fstat(handle).st_size
    if size > _KEPT_BYTES:
        tail = os.pread(handle, _KEPT_BYTES // 4, size - _KEPT_BYTES // 4).partition(b"\n")[2]
        os.ftruncate(handle, 0)
        os.write(handle, tail)


def _holders(path: Path) -> list[Holder]:
    """Return the signatures in a lock file, oldest first; lines that are none are passed over."""
    try:
        lines = path.read_bytes()[-4 * _KEPT_BYTES :].decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            data = json.loads(line)
            found.append(Holder(int(data["pid"]), str(data["verb"]), str(data["at"])))
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
    return found


def _busy(folder: AgentFolder, handle: int) -> BusyError:
    alive = _alive(folder, handle)
    who = ", ".join(f"process {one.pid} ({one.verb}, since {local_time(one.at)})" for one in list(alive.values())[-5:])
    hint = f"End it first, or wait for it: kill {' '.join(map(str, alive))}" if alive else "Try again in a moment."
    return BusyError(f"the agent {folder.name!r} is in use by {who or 'another process'}", hint)


def _alive(folder: AgentFolder, handle: int) -> dict[int, Holder]:
    return {one.pid: one for one in _holders(folder.holders) if _holds(one.pid, os.fstat(handle))}


def _holds(pid: int, lock: os.stat_result) -> bool:
    """Return whether `pid` has the lock file open beside the handle we ask with; where the system is silent, whether it lives."""
    ours = pid == os.getpid()
    try:
        if Path("/proc/self/fd").exists():
            return sum(_same(one, lock) for one in Path(f"/proc/{pid}/fd").iterdir()) > ours
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _same(path: Path, lock: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), lock)
    except OSError:
        return False
