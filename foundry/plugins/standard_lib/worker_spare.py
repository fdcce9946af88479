"""A worker that is started before it is wanted, so that nobody waits for Python to start."""

from __future__ import annotations

import threading
import weakref

from foundry.plugins.standard_lib.worker import command
from foundry.processes import Running, clean_environment, end_group, start


class Spare:
    """Keeps one worker waiting; it ends with this object, and with its pipe when this process is killed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._waiting: Running | None = None
        self._end: weakref.finalize[..., Spare] | None = None

    def take(self) -> Running:
        """Return a worker that has not been asked anything; whoever takes it ends it."""
        with self._lock:
            taken, self._waiting = self._waiting, None
            if self._end:
                self._end.detach()
                self._end = None
        if taken and taken.poll() is None:
            return taken
        if taken:
            end_group(taken)
        return start(command(self._name), env=clean_environment())

    def refill(self) -> None:
        """Let a worker wait for the next time."""
        with self._lock:
            if self._waiting is None:
                self._waiting = start(command(self._name), env=clean_environment())
                self._end = weakref.finalize(self, end_group, self._waiting)
