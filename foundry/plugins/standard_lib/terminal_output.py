"""What a command writes: without secrets as it comes, kept within bounds for the model, shown to the person without a flood."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from foundry.plugins.api import ToolContext
from foundry.sandbox.watch import Kept

KEPT = 256 << 10  # bytes of each stream: its beginning and its end
_ENDED = {
    "time": "stopped: its time was up",
    "memory": "stopped: it took too much memory",
    "output": "stopped: it wrote too much output",
    "disk": "stopped: it wrote too much to the disk",
    "processes": "stopped: it started too many processes",
    "interrupted": "interrupted",
    "stopped": "stopped",
}
_BURST, _PAUSE, _AFTER, _MOST = 200, 2.0, 10, 1000  # lines at once, seconds until so many more, lines in all
_WIDEST = 400  # characters of a line that are shown
_LAST = 5


class Output:
    """Takes a command's two streams, from any thread; `out` and `err` are what the model is told."""

    def __init__(self, context: ToolContext, *, shown: bool = True) -> None:
        self._cleaners = {"out": context.cleaner(), "err": context.cleaner()}
        self._kept = {"out": Kept(KEPT), "err": Kept(KEPT)}
        self._new = Kept(KEPT)
        self._screen = Screen(context.show) if shown else None
        self._lock = threading.Lock()

    def write(self, kind: str, text: str) -> None:
        """Take what has come on a stream, "out" or "err"."""
        with self._lock:
            self._take(kind, self._cleaners[kind].feed(text))

    def end(self) -> None:
        """No more comes: take what was held back because a secret could have begun there."""
        with self._lock:
            for kind, cleaner in self._cleaners.items():
                self._take(kind, cleaner.end())
            if self._screen:
                self._screen.end()

    @property
    def out(self) -> str:
        return self._kept["out"].text()

    @property
    def err(self) -> str:
        return self._kept["err"].text()

    @property
    def waiting(self) -> int:
        """How many bytes have come since `news` was last asked for."""
        return self._new.total

    def news(self) -> str:
        """Return what has come on both streams since this was last asked for, its beginning and its end."""
        with self._lock:
            found, self._new = self._new, Kept(KEPT)
        return found.text()

    def _take(self, kind: str, text: str) -> None:
        if text:
            raw = text.encode("utf-8", "replace")
            self._kept[kind].add(raw)
            self._new.add(raw)
            if self._screen:
                self._screen.write(text)


class Screen:
    """Whole lines for the person, as fast as a person reads: after a burst only a few now and then, and the last ones."""

    def __init__(self, show: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._show = show
        self._clock = clock
        self._rest = ""
        self._may = _BURST
        self._left = _MOST
        self._dropped = 0
        self._last: deque[str] = deque(maxlen=_LAST)
        self._dry = 0.0

    def write(self, text: str) -> None:
        """Show the lines that are whole now."""
        *lines, self._rest = (self._rest + text).split("\n")
        if len(self._rest) > 2 * _WIDEST:  # a line that never ends, or a bar that is drawn over and over
            self._rest = self._rest[:_WIDEST] if "\r" not in self._rest else self._rest[-_WIDEST:]
        self._lines(lines)

    def end(self) -> None:
        """Show what is left: a line without an end, and the last lines of those that were left out."""
        if self._rest:
            self._lines([self._rest])
        if self._dropped:
            left_out = self._dropped - len(self._last)
            self._show("\n".join([*([f"… {left_out:,} lines not shown"] if left_out else []), *self._last]))

    def _lines(self, lines: list[str]) -> None:
        now = self._clock()
        if not self._may and now - self._dry >= _PAUSE:
            self._may = min(_AFTER, self._left)
        shown = []
        for line in lines:
            said = _one_line(line)
            if self._may <= 0:
                self._dropped += 1
                self._last.append(said)
                continue
            if self._dropped:
                shown.append(f"… {self._dropped:,} lines not shown")
                self._dropped = 0
                self._last.clear()
            shown.append(said)
            self._left -= 1
            self._may = min(self._may - 1, self._left)
            self._dry = now
        if shown:
            self._show("\n".join(shown))


def _one_line(line: str) -> str:
    """Return a line as it stands at last, where a carriage return has begun it anew, and no longer than is shown."""
    said = line.rstrip("\r").rpartition("\r")[2]
    return said if len(said) <= _WIDEST else f"{said[:_WIDEST]} …"


def told(text: str, note: str, limit: int) -> str:
    """Return text, its beginning and its end where it is too long, then the note in brackets on a line of its own."""
    note = f"[{note}]"
    text = text.strip()
    room = max(limit - len(note) - 60, 200)
    if len(text) > room:
        dropped = len(text) - room
        text = f"{text[: room // 2]}\n[… {dropped} characters left out …]\n{text[-(room // 2) :]}"
    return f"{text}\n{note}".lstrip()


def both(output: Output) -> str:
    """Return what a command wrote on both streams."""
    err = output.err.strip()
    return f"{output.out.rstrip()}\n[standard error]\n{err}" if err else output.out


def how_it_ended(code: int, ended: str, away: tuple[str, ...], level: str, seconds: float) -> str:
    """Return on one line how code in the jail ended, what of its work was not left where it put it, and what held it."""
    said = [f"exit {code}" if ended == "itself" else _ENDED[ended]]
    if away:
        said.append(f"taken away again, as a command may not make it: {', '.join(away[:5])}")
    return " · ".join([*said, f"jail {level}", f"{seconds:.1f} s"])
