"""The terminal between prompts: signals as calls, keys kept from the screen while an answer comes, a yes or no asked for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

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
    """Keep keys from the screen while an answer comes; Ctrl+C still works, what was typed is typed at the next prompt.

    Enter stays Enter: as the line end that a terminal makes of it, it would be a new line there and send nothing.
    """
    with _keys(lambda t: (0, t.ICRNL, t.ECHO | t.ICANON, 0)):
        yield


@contextlib.contextmanager
def _echoed_line() -> Iterator[None]:
    """Let the terminal edit and echo one line, whatever it was set to."""
    with _keys(lambda t: (t.ICRNL, 0, 0, t.ECHO | t.ICANON | t.ISIG)):
        yield


@contextlib.contextmanager
def _keys(change: Callable[[Any], tuple[int, int, int, int]]) -> Iterator[None]:
    """Change how the terminal takes keys: input flags to set and to clear, local flags to clear and
    to set; put back afterwards."""
    import termios

    def attributes() -> list[Any] | None:
        with contextlib.suppress(termios.error, OSError, ValueError):  # no terminal, or gone
            return termios.tcgetattr(sys.stdin.fileno())
        return None

    before, during = attributes(), attributes()
    if before is None or during is None:
        yield
        return
    input_set, input_cleared, local_cleared, local_set = change(termios)
    during[0] = during[0] & ~input_cleared | input_set
    during[3] = during[3] & ~local_cleared | local_set
    handle = sys.stdin.fileno()
    termios.tcsetattr(handle, termios.TCSANOW, during)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
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
