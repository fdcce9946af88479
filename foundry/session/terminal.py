"""The terminal between prompts: signals as calls, keys kept from the screen while an answer comes, a person asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from foundry.console import Block, Console, forget_typed_ahead, spelled, width_of
from foundry.processes import handling, on_terminal, stop_group
from foundry.session.approvals import Answer, Question
from foundry.session.preview import blocks

_BESIDE = 4  # rows of a screen that are not the question's text: what it is, how much more there is, the answer
_SETTLED = 0.2  # seconds after which a window's new size is taken as the one it stays at
_KINDS: Mapping[str, Literal["yes", "always", "always_agent"]] = {"y": "yes", "a": "always", "A": "always_agent"}
_SAME = {"yes": "y", "Yes": "y", "YES": "y", "Y": "y", "no": "n", "No": "n", "NO": "n", "N": "n"}
_NOT_PLAIN = re.compile(
    r"[^\n -~\u00a1-\u024f\u0370-\u03ff\u0400-\u052f\u3041-\u9fff\uac00-\ud7a3]"
)  # what an editor may not show

_held: list[list[Any]] = []  # the terminal's attributes as we set them, innermost last


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
    """Keep keys from the screen between prompts; Ctrl+C still works, what was typed is typed at the next prompt.

    Enter stays Enter: as the line end that a terminal makes of it, it would be a new line there and send nothing.
    """
    with _keys(lambda t: (0, t.ICRNL, t.ECHO | t.ICANON, 0)):
        yield


def typed_ahead() -> str:
    """Return what was typed and is not read yet."""
    import select

    typed = b""
    while select.select([sys.stdin], [], [], 0)[0] and (more := os.read(sys.stdin.fileno(), 4096)):
        typed += more
    return typed.decode("utf-8", "replace")


def suspend() -> None:
    """Stop until the shell goes on with us; it finds a terminal that shows what is typed.

    Where a program that we were started by stands still before us, the terminal is the shell's already and stays as that has it.
    """
    import termios

    def put(attributes: list[Any]) -> None:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, attributes)

    ours = _held[-1] if _held else []
    if ours:
        with handling(signal.SIGTTOU, lambda *_: None):  # by default it would stop us here, and then we once more
            put(_changed(ours, _seen_line))
    stop_group()
    if ours:
        put(ours)


def _seen_line(t: Any) -> tuple[int, int, int, int]:
    return t.ICRNL, 0, 0, t.ECHO | t.ICANON | t.ISIG


def _unseen_line(t: Any) -> tuple[int, int, int, int]:
    return t.ICRNL, 0, t.ECHO, t.ICANON | t.ISIG


@contextlib.contextmanager
def _keys(change: Callable[[Any], tuple[int, int, int, int]]) -> Iterator[None]:
    """Change how the terminal takes keys: input flags to set and to clear, local flags to clear and
    to set; put back afterwards."""
    import termios

    try:
        handle = sys.stdin.fileno()
        before = termios.tcgetattr(handle)
    except (termios.error, OSError, ValueError, AttributeError):  # no terminal, gone, or closed
        yield
        return
    during = _changed(before, change)
    termios.tcsetattr(handle, termios.TCSANOW, during)
    _held.append(during)
    try:
        yield
    finally:
        _held.pop()
        with contextlib.suppress(termios.error):
            termios.tcsetattr(handle, termios.TCSANOW, before)


def _changed(attributes: list[Any], change: Callable[[Any], tuple[int, int, int, int]]) -> list[Any]:
    import termios

    input_set, input_cleared, local_cleared, local_set = change(termios)
    flags, output, control, local, *rest = attributes
    return [flags & ~input_cleared | input_set, output, control, local & ~local_cleared | local_set, *rest]


class Asker:
    """Asks a person, who sees all of what it is about; anything but an offered answer typed after it and Enter is a no.

    So are Enter alone, the end of input, Ctrl+C (the caller's handler calls `no`) and no terminal. One question at a time.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._typed: asyncio.Future[str | None] | None = None
        self._deep = 0
        self._refused = False

    @property
    def open(self) -> bool:
        return self._deep > 0

    def no(self) -> None:
        """Answer what is being asked with no."""
        self._refused = self.open
        if self._typed and not self._typed.done():
            self._typed.set_result("")

    async def __call__(self, question: Question) -> Answer:
        """Return what the person says to a call; new arguments come with the answer "edit" and are to be asked about anew."""
        answers = {"y": "yes", "n": "no", "e": "edit", "c": "comment"}
        if question.always:
            answers["a"] = "this session"
            answers |= {"A": "this agent"} if question.lasting else {}
        with self._asking():
            while True:
                said = await self.choose(question.tool, blocks(question), answers)
                if said == "e":
                    if (arguments := await self._other_arguments(question)) is not None:
                        return Answer("edit", arguments=arguments)
                    continue
                if said == "c":
                    text = await self.line("Say to the model:")
                    return Answer("comment", text) if text else Answer("no")
                return Answer(_KINDS.get(said, "no"))

    async def choose(self, title: str, shown: Sequence[Block], answers: Mapping[str, str], ask: str = "Allow it?") -> str:
        """Return the key of `answers` that the person typed, "" for a no; `shown` comes a screen at a time, anew after a resize.

        What `title` says stands above in a look of ours, as does the line that asks.
        """
        console, place, rows = self._console, 0, list[str]()
        if not console.can_ask():
            return ""
        with self._asking():
            while not self._refused:
                if place == 0:
                    rows = console.rows(shown)
                    console.banner(title)
                shows = max(console.lines() - _BESIDE, 3)
                console.put(rows[place : place + shows])
                place = min(place + shows, len(rows))
                if left := len(rows) - place:
                    console.put(console.rows([f"⋯ {left:,} more line{'s' if left > 1 else ''}: m"]))
                typed = await self._read(_label(ask, answers, console.columns(console.err), more=left > 0), echo=True)
                if typed is None:
                    place = 0
                    continue
                word = typed.strip(" \n")
                word = word if word in answers else _SAME.get(word, word)
                if word == "m" and "m" not in answers and typed.endswith("\n"):
                    continue
                if word in answers and typed.endswith("\n"):
                    return "" if word == "n" else word
                if word not in ("", "n"):
                    console.note("That is none of the answers, so it is a no.")
                break
        return ""

    async def line(self, label: str) -> str:
        """Return a line that the person types, without blanks around it; "" for none."""
        with self._asking():
            typed = await self._one_line(label, echo=True)
        return typed.strip() if typed.endswith("\n") else ""

    async def secret(self, name: str, why: str) -> str:
        """Return a value that the person types unseen; "" for none, and where nobody is there."""
        if not self._console.can_ask():
            return ""
        with self._asking():
            if why:
                self._console.put(self._console.rows([spelled(why)]))
            typed = await self._one_line(f"{spelled(name)} (not shown):", echo=False)
        return typed.removesuffix("\n") if typed.endswith("\n") else ""

    async def edited(self, text: str, suffix: str) -> str | None:
        """Return `text` as the person leaves it in their editor; None, and said why, where there is none or it failed."""
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
        try:
            argv = shlex.split(editor)
        except ValueError:
            argv = []
        if not argv:
            self._console.warn("There is no editor: set VISUAL or EDITOR to one, such as nano.")
            return None
        with self._asking(), tempfile.TemporaryDirectory(prefix="foundry-") as folder, _keys(_seen_line):
            path = Path(folder) / f"edit{suffix}"
            try:
                path.write_bytes(text.encode())
                code = await on_terminal([*argv, str(path)])
                if code == 0:
                    return path.read_bytes().decode()
                self._console.warn(f"{argv[0]} ended with {code}; nothing was changed.")
            except (OSError, UnicodeError) as error:
                self._console.warn(f"{argv[0]}: {error}")
        return None

    async def program(self, argv: Sequence[str], env: Mapping[str, str], pass_fds: Sequence[int] = ()) -> int:
        """Give the terminal to a program until it ends and return its exit code. Raises OSError when it cannot be started."""
        self._console.status("")
        with self._asking(), _keys(_seen_line):
            return await on_terminal(argv, env=env, pass_fds=pass_fds)

    async def _other_arguments(self, question: Question) -> dict[str, Any] | None:
        """Return the arguments as changed in the editor; None where they are as before or cannot be read."""
        text = json.dumps(dict(question.arguments), ensure_ascii=False, indent=2)
        text = await self.edited(_NOT_PLAIN.sub(_as_json, text) + "\n", ".json") or ""
        if not text:
            return None
        try:
            arguments = json.loads(text)
        except (ValueError, RecursionError) as error:
            self._console.warn(f"This is not JSON: {error}")
            return None
        if not isinstance(arguments, dict):
            self._console.warn("The arguments must be a JSON object.")
            return None
        return arguments if arguments != question.arguments else None

    @property
    def refused(self) -> bool:
        """Whether what is being asked was answered with `no`: Ctrl+C holds for all that is asked together."""
        return self._refused

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Let what is asked inside be one question: after a `no` the rest of it is a no as well."""
        return self._asking()

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        if not self._deep:
            self._refused = False
        self._deep += 1
        self._console.asking = True
        try:
            yield
        finally:
            self._deep -= 1
            self._console.asking = self.open

    async def _one_line(self, label: str, *, echo: bool) -> str:
        while (typed := "" if self._refused else await self._read(label, echo=echo)) is None:
            pass
        return typed

    async def _read(self, label: str, *, echo: bool) -> str | None:
        """Return the next line typed after `label` was shown, with its end; less of it at the end of input, None on a resize."""
        loop = asyncio.get_running_loop()
        handle = sys.stdin.fileno()
        future: asyncio.Future[str | None] = loop.create_future()
        self._typed = future
        resized: list[asyncio.TimerHandle] = []

        def settle(said: str | None) -> None:
            if not future.done():
                future.set_result(said)

        def narrowed(_: int) -> None:
            while resized:
                resized.pop().cancel()
            resized.append(loop.call_later(_SETTLED, settle, None))

        def heard() -> None:
            try:
                settle(os.read(handle, 4096).decode("utf-8", "replace"))
            except OSError:
                settle("")

        with _keys(_seen_line if echo else _unseen_line), signals(narrowed, signal.SIGWINCH):
            forget_typed_ahead()
            self._console.ask(label)
            loop.add_reader(handle, heard)
            said: str | None = None
            try:
                said = await future
            finally:
                loop.remove_reader(handle)
                self._typed = None
                for timer in resized:
                    timer.cancel()
                if not echo or not (said or "").endswith("\n"):
                    self._console.note("")  # the cursor stands behind what was asked
        return said


def _label(ask: str, answers: Mapping[str, str], columns: int, *, more: bool) -> str:
    """Return the line that asks, with as many words as there is room for."""
    offered = {**answers, **({"m": "more"} if more else {})}
    keys = f"[{'/'.join(offered)}]"
    said = " · ".join(f"{key} {meaning}".strip() for key, meaning in answers.items())
    return next((line for line in (f"{ask} {said}", f"{ask} {keys}") if width_of(line) < columns - 4), keys)


def _as_json(found: re.Match[str]) -> str:
    units = found.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
