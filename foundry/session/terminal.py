"""The terminal between prompts: signals as calls, keys kept from the screen while an answer comes, a yes or no asked for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator

from foundry.console import Console, forget_typed_ahead
from foundry.session.approvals import Question


@contextlib.contextmanager
def signals(heard: Callable[[int], object], *numbers: int) -> Iterator[None]:
    """Call `heard` in the running loop for each of these signals; what they did before is put back afterwards."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        loop.add_signal_handler(number, heard, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            with contextlib.suppress(TypeError, ValueError):  # a handler that was not set from Python cannot be put back
                signal.signal(number, handler)


@contextlib.contextmanager
def quiet_keys() -> Iterator[None]:
    """Keep keys from the screen while an answer comes; Ctrl+C still works, what was typed waits for the next prompt."""
    try:
        import termios

        handle = sys.stdin.fileno()
        before = termios.tcgetattr(handle)
    except (ImportError, OSError, ValueError):
        yield
        return
    during = list(before)
    during[3] = during[3] & ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(handle, termios.TCSANOW, during)
    try:
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSANOW, before)


@contextlib.contextmanager
def _echoed_line() -> Iterator[None]:
    """Let the terminal edit and echo one line, whatever it was set to."""
    try:
        import termios

        handle = sys.stdin.fileno()
        before = termios.tcgetattr(handle)
    except (ImportError, OSError, ValueError):
        yield
        return
    during = list(before)
    during[0] |= termios.ICRNL
    during[3] |= termios.ECHO | termios.ICANON | termios.ISIG
    termios.tcsetattr(handle, termios.TCSANOW, during)
    try:
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSANOW, before)


class YesOrNo:
    """Asks a person about a call; only y or yes typed after the question is a yes. `no()` answers for the person."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._answer: asyncio.Future[str] | None = None

    @property
    def open(self) -> bool:
        return self._answer is not None

    def no(self) -> None:
        """Answer the open question with no."""
        if self._answer and not self._answer.done():
            self._answer.set_result("")

    async def __call__(self, question: Question) -> bool:
        loop = asyncio.get_running_loop()
        handle = sys.stdin.fileno()
        self._answer = loop.create_future()
        forget_typed_ahead()
        with _echoed_line():
            self._console.ask(question.text() + "\nAllow it? [y/N] ")
            loop.add_reader(handle, self._read, handle)
            try:
                said = await self._answer
            finally:
                loop.remove_reader(handle)
                self._answer = None
        if not said.endswith("\n"):
            self._console.note("")
        return said.strip().lower() in {"y", "yes"}

    def _read(self, handle: int) -> None:
        try:
            said = os.read(handle, 4096).decode("utf-8", "replace")
        except OSError:
            said = ""
        if self._answer and not self._answer.done():
            self._answer.set_result(said)
