"""Holds jailed processes still, so that nothing of a folder is swapped while it is looked through or walls are put around it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from foundry.processes import Running
from foundry.sandbox.watch import end_tree, running, tree

_WITHIN = 0.3  # seconds; one that waits for a child which was stopped before it began its program stands still in a next try
_TRIES = 8
_STILL = b"TtZX"
_one_by_one = threading.RLock()


@contextmanager
def held_still() -> Iterator[None]:
    """Let no jailed command of this process that is under way do anything until this is left; what starts inside it may.

    One that cannot be held is ended. On macOS, whose walls no swapped name moves, it is asked of the command's group and not
    made sure of.
    """
    with _one_by_one:
        held: list[int] = []
        try:
            for process in running():
                held.append(process.pid)
                _hold(process)
            yield
        finally:
            for pid in held:
                _let_go(pid)


def _hold(process: Running) -> None:
    if sys.platform == "darwin":
        _send(process.pid, signal.SIGSTOP, group=True)
        return
    for _ in range(_TRIES):
        if _stands(process.pid, time.monotonic() + _WITHIN):
            return
        _let_go(process.pid)
        time.sleep(0.005)
    end_tree(process)


def _stands(pid: int, deadline: float) -> bool:
    """Stop all that descends from `pid`, not itself: it watches over them. Return whether all stood still in time.

    Whoever was seen to stand starts no more processes, so a look that finds nobody else has seen all.
    """
    still: set[int] = set()
    while time.monotonic() < deadline:
        moving = [one for one in tree(pid) if one != pid and one not in still]
        if not moving:
            return True
        for one in moving:
            _send(one, signal.SIGSTOP)
        still.update(one for one in moving if _is_still(one))
        if any(one not in still for one in moving):
            time.sleep(0.001)
    return False


def _is_still(pid: int) -> bool:
    """Return whether every thread of a process is stopped, or it is gone."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - quick
    except OSError:
        return True
    return all(_state(pid, one) in _STILL for one in threads)


def _state(pid: int, thread: str) -> bytes:
    try:
        with open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:  # noqa: PTH123
            return file.read().rpartition(b") ")[2][:1]
    except OSError:
        return b"X"


def _let_go(pid: int) -> None:
    if sys.platform == "darwin":
        _send(pid, signal.SIGCONT, group=True)
        return
    for one in list(tree(pid)):
        if one != pid:
            _send(one, signal.SIGCONT)


def _send(pid: int, which: signal.Signals, *, group: bool = False) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        (os.killpg if group else os.kill)(pid, which)
