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
from foundry.sandbox.watch import children, end_tree, running, tree

_WITHIN = 10.0  # seconds in which what is under way stands still, also where the machine is busy, or is ended
_LOOKS = 5  # at the same ones still moving, until their children are let go on
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
    """Stop all that descends from a process, not itself: it watches over them.

    Whoever was seen to stand starts no more processes, so a look that finds nobody else has seen all.
    """
    if sys.platform == "darwin":
        _send(process.pid, signal.SIGSTOP, group=True)
        return
    still: set[int] = set()
    left: list[int] = []
    looks, deadline = 0, time.monotonic() + _WITHIN
    while time.monotonic() < deadline:
        moving = [one for one in tree(process.pid) if one != process.pid and one not in still]
        if not moving:
            return
        for one in moving:
            _send(one, signal.SIGSTOP)
        still.update(one for one in moving if _is_still(one))
        before, left = left, [one for one in moving if one not in still]
        looks = looks + 1 if left and left == before else 0
        if looks == _LOOKS:  # they wait for children that were stopped before they began their programs
            early = [child for one in left for child in children(one)]
            still.difference_update(early)
            for child in early:
                _send(child, signal.SIGCONT)
            looks = 0
        if left:
            time.sleep(0.001)
    end_tree(process)


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
