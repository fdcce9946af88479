"""A terminal to play chats on: keys in, a screen with its scrollback out."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pexpect
import pyte


class Terminal:
    """A process on a terminal of its own; `text` is what a person could scroll through."""

    def __init__(
        self, argv: Sequence[str], cwd: Path, columns: int = 80, lines: int = 30, env: dict[str, str] | None = None
    ) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=5_000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self.process = pexpect.spawn(
            argv[0], list(argv[1:]), cwd=str(cwd), env={**os.environ, **(env or {}), "TERM": "xterm-256color"},
            dimensions=(lines, columns), timeout=10,
        )  # fmt: skip
        self.raw = b""

    @property
    def text(self) -> str:
        above = ["".join(row[x].data for x in range(self.screen.columns)).rstrip() for row in self.screen.history.top]
        return "\n".join([*above, *(line.rstrip() for line in self.screen.display)])

    def _read(self, patience: float) -> bool:
        try:
            piece = self.process.read_nonblocking(65536, timeout=patience)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += piece
        self._stream.feed(piece)
        return True

    def until(self, wanted: str, patience: float = 15.0, count: int = 1) -> str:
        """Read until the screen shows `wanted` that often and return all of it."""
        end = time.monotonic() + patience
        alive = True
        while self.text.count(wanted) < count:
            assert alive, f"ended without {wanted!r}:\n{self.text}"
            assert time.monotonic() < end, f"{wanted!r} did not come:\n{self.text}"
            alive = self._read(0.1)
        return self.text

    def keys(self, text: str) -> None:
        self.process.send(text)

    def line(self, text: str) -> None:
        """Type a line and send it, as Enter does."""
        self.process.send(text + "\r")

    def resize(self, columns: int, lines: int) -> None:
        self.process.setwinsize(lines, columns)
        self.screen.resize(lines, columns)

    def end(self, patience: float = 10.0) -> int:
        """Wait for the process to end by itself and return its exit code, as a shell tells it."""
        deadline = time.monotonic() + patience
        while self._read(0.1) and time.monotonic() < deadline:
            pass
        self.process.close(force=False)
        if self.process.signalstatus is not None:
            return 128 + int(self.process.signalstatus)
        return int(self.process.exitstatus if self.process.exitstatus is not None else -1)

    def hang_up(self) -> int:
        """Close the terminal under the process and return how it ended."""
        pid = int(self.process.pid)
        self.process.ptyproc.fileobj.close()
        self.process.closed, self.process.child_fd = True, -1
        self.process.ptyproc.closed, self.process.ptyproc.fd = True, -1
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self.process.terminated = True
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        return -1

    def stop(self) -> None:
        if self.process.terminated:
            return
        if self.process.isalive():
            self.process.kill(signal.SIGKILL)
        self.process.close(force=True)
