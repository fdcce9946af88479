"""The only place that prints: results, tables, progress, questions, errors, as text or JSON; untrusted text is escaped here."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from foundry.errors import FoundryError

# C0 but tab and newline, DEL, C1, bidi controls, zero-width and other invisible characters, variation selectors, line
# separators, surrogates, tags.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\ud800-\udfff\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# The two of them that make an emoji what it is pass inside one.
_IN_EMOJI = "\ufe0f\u200d"
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


def visible(text: str) -> str:
    """Return `text` with every byte that could act on a terminal or hide from the eye written out, as in <U+202E> or ^[."""
    return _HIDDEN.sub(_written_out, text.replace("\r\n", "\n"))


def _written_out(found: re.Match[str]) -> str:
    one = found.group()
    if one in _IN_EMOJI and _inside_emoji(found.string, found.start()):
        return one
    point = ord(one)
    if point < 0x20:
        return "^" + chr(point + 64)
    return "^?" if point == 0x7F else f"<U+{point:04X}>"


def _inside_emoji(text: str, place: int) -> bool:
    """Return whether the selector or joiner there stands where an emoji has one: after a symbol, and a joiner before one too."""
    before, after = text[max(place - 2, 0) : place], text[place + 1 : place + 2]
    if text[place] == "\ufe0f":
        return _is_symbol(before[-1:]) or (before[-1:] in set("#*0123456789") and after == "\u20e3")
    return _is_symbol(before.removesuffix("\ufe0f")[-1:]) and _is_symbol(after)


def _is_symbol(one: str) -> bool:
    return one > "\x7f" and unicodedata.category(one) in {"So", "Sm", "Sk", "Po"} and not _HIDDEN.match(one)


def one_line(text: str, width: int = 200) -> str:
    """Return `text` escaped, on one line, cut to `width` columns with an ellipsis."""
    return fit(" ".join(visible(text).split()), width)


def width_of(text: str) -> int:
    """Return how many terminal columns `text` takes."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def _columns_of(one: str) -> int:
    if unicodedata.combining(one) or one in "\ufe0f\u200d":
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def fit(text: str, width: int) -> str:
    """Return `text` cut to `width` columns, an ellipsis where something is missing."""
    if width_of(text) <= width:
        return text
    taken, columns = [], 0
    for one in text:
        columns += width_of(one)
        if columns > width - 1:
            break
        taken.append(one)
    return "".join(taken) + "…"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; the last column takes what width is left. `styles` colours a cell by its text."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    empty: str = ""
    styles: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with values beside them, under an optional title."""

    pairs: Sequence[tuple[str, str]]
    title: str = ""


Block = str | Table | Facts


class Shown(Protocol):
    """What a verb returns: a dataclass that says how it reads; its fields are the JSON."""

    def shown(self) -> Sequence[Block]: ...


class Progress(Protocol):
    """Where a verb says what it is doing."""

    def step(self, text: str) -> None:
        """A step that may take over a second begins."""

    def amount(self, text: str, done: int, total: int) -> None:
        """`done` of `total` bytes of the step `text` are there; total 0 is not known."""

    def note(self, text: str) -> None:
        """One line the person should keep."""


class Silent:
    """Progress that nobody watches."""

    def step(self, text: str) -> None: ...
    def amount(self, text: str, done: int, total: int) -> None: ...
    def note(self, text: str) -> None: ...


class Console:
    """One per process: data to `out`, everything else to `err`, colour where the terminal has it. Is itself a Progress."""

    def __init__(self, *, as_json: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.as_json = as_json
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self._bar_until = 0.0
        self._bar_shown = False

    # data ------------------------------------------------------------------------------------------------------------

    def result(self, data: Shown) -> None:
        """Print what a verb returned: its blocks, or with --json the envelope."""
        if self.as_json:
            self.envelope({"ok": True, "data": plain(data), "error": None})
            return
        for block in data.shown():
            self._write(self.out, self._rendered(block) + "\n")

    def envelope(self, body: Mapping[str, Any]) -> None:
        """Print one JSON envelope on a line of its own."""
        self._write(self.out, json.dumps({"version": 1, **body}, ensure_ascii=False) + "\n")

    def line(self, data: Mapping[str, Any]) -> None:
        """Print one JSON line at once, as `--output events` does."""
        self._write(self.out, json.dumps(data, ensure_ascii=False) + "\n")

    def text(self, text: str, end: str = "\n") -> None:
        """Print escaped text as data: an answer."""
        self._write(self.out, visible(text) + end)

    # beside the data ---------------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Say one line on stderr."""
        self._clear_bar()
        self._write(self.err, visible(text) + "\n")

    def warn(self, text: str) -> None:
        """Say one line on stderr that deserves a look."""
        self._clear_bar()
        self._write(self.err, self._styled("! " + visible(text), "yellow", self.err) + "\n")

    def step(self, text: str) -> None:
        """Say on stderr that a step begins."""
        self._clear_bar()
        self._write(self.err, self._styled("· " + visible(text), "dim", self.err) + "\n")

    def amount(self, text: str, done: int, total: int) -> None:
        """Draw how far a step is, in place on a terminal, every ten seconds elsewhere."""
        terminal = self.err.isatty()
        now = time.monotonic()
        if now < self._bar_until and done != total:
            return
        self._bar_until = now + (0.1 if terminal else 10.0)
        of = f" of {total / 1e6:,.0f} MB ({100 * done // total} %)" if total else " MB"
        line = f"· {visible(text)} {done / 1e6:,.0f}{of}"
        if terminal:
            self._write(self.err, "\r\x1b[2K" + fit(line, self.columns() - 1))
            self._bar_shown = True
            if total and done >= total:
                self._write(self.err, "\n")
                self._bar_shown = False
        else:
            self._write(self.err, line + "\n")

    def status(self, text: str) -> None:
        """Show on a terminal, in place, what is going on; the next line or `status("")` takes it away."""
        if not self.err.isatty():
            return
        self._clear_bar()
        if text:
            self._write(self.err, self._styled(fit("· " + one_line(text), self.columns() - 1), "dim", self.err))
            self._bar_shown = True

    def drawn(self, codes: str) -> None:
        """Print text whose untrusted parts went through `visible` before it was drawn with terminal codes of ours."""
        self._clear_bar()
        self._write(self.out, codes)

    def error(self, error: FoundryError) -> None:
        """Show an error: what happened, to what, what to try; with --json as the envelope on stdout."""
        self._clear_bar()
        if self.as_json:
            told = {"code": error.code, "message": error.message, "hint": error.hint}
            self.envelope({"ok": False, "data": None, "error": told})
            return
        self._write(self.err, self._styled("error: ", "red", self.err) + visible(error.message) + "\n")
        if error.hint:
            self._write(self.err, self._styled("  try: ", "dim", self.err) + visible(error.hint) + "\n")

    # questions ----------------------------------------------------------------------------------------------------------

    def can_ask(self) -> bool:
        """Return whether a person is there: a terminal to read from and one to show the question on."""
        try:
            return not self.as_json and sys.stdin.isatty() and self.err.isatty()
        except (ValueError, AttributeError):
            return False

    def yes(self, question: str) -> bool:
        """Ask on the terminal; only y or yes is a yes, and what was typed before the question does not count."""
        if not self.can_ask():
            return False
        self._clear_bar()
        forget_typed_ahead()
        self._write(self.err, visible(question) + " [y/N] ")
        answer = sys.stdin.readline()
        return answer.strip().lower() in {"y", "yes"}

    def ask(self, question: str) -> None:
        """Show a question on stderr, the cursor after it; whoever shows it reads the answer."""
        self._clear_bar()
        self._write(self.err, visible(question))

    def hidden(self, question: str) -> str:
        """Ask for a value that is not echoed; an empty string when nobody is there or nothing was given."""
        if not self.can_ask():
            return ""
        import getpass

        self._clear_bar()
        try:
            return getpass.getpass(visible(question) + ": ", stream=self.err)
        except EOFError:
            return ""

    # drawing --------------------------------------------------------------------------------------------------------------

    def columns(self) -> int:
        """Return the terminal's width."""
        return shutil.get_terminal_size((100, 24)).columns

    def colours(self, stream: TextIO) -> bool:
        """Return whether `stream` wants colour: a terminal, no NO_COLOR, not a dumb one; FORCE_COLOR overrules."""
        if os.environ.get("FORCE_COLOR"):
            return True
        return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def _styled(self, text: str, style: str, stream: TextIO) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and self.colours(stream) else text

    def _rendered(self, block: Block) -> str:
        if isinstance(block, str):
            return visible(block)
        if isinstance(block, Table):
            return "\n".join(self._table(block)) if block.rows else visible(block.empty)
        wide = max((width_of(name) for name, _ in block.pairs), default=0)
        title = [self._styled(visible(block.title), "bold", self.out)] if block.title else []
        pad = " " * (wide + 2)
        lines = [
            self._styled(visible(name), "cyan", self.out)
            + " " * (wide - width_of(name) + 2)
            + visible(value).replace("\n", "\n" + pad)
            for name, value in block.pairs
        ]
        return "\n".join(title + lines)

    def _table(self, table: Table) -> Iterator[str]:
        rows = [tuple(" ".join(visible(cell).split()) for cell in row) for row in table.rows]
        widths = [max(width_of(row[i]) for row in [table.columns, *rows]) for i in range(len(table.columns))]
        if self.out.isatty():
            widths[-1] = max(self.columns() - sum(widths[:-1]) - 2 * (len(widths) - 1), 12)
        yield self._row(table.columns, widths, lambda _: "bold")
        for row in rows:
            yield self._row(row, widths, lambda cell: table.styles.get(cell, ""))

    def _row(self, cells: Sequence[str], widths: Sequence[int], style: Any) -> str:
        parts = []
        for cell, width in zip(cells, widths, strict=True):
            cut = fit(cell, width)
            parts.append(self._styled(cut, style(cell), self.out) + " " * (width - width_of(cut)))
        return "  ".join(parts).rstrip()

    def _clear_bar(self) -> None:
        if self._bar_shown:
            self._write(self.err, "\r\x1b[2K")
            self._bar_shown = False

    @staticmethod
    def _write(stream: TextIO, text: str) -> None:
        stream.write(text)
        stream.flush()


def plain(value: Any) -> Any:
    """Return a verb's result as JSON data: dataclasses as objects, paths as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def forget_typed_ahead() -> None:
    """Drop what was typed before a question was shown, so that it cannot answer it."""
    try:
        import termios
    except ImportError:
        return
    with suppress(termios.error, OSError, ValueError):
        termios.tcflush(sys.stdin, termios.TCIFLUSH)


@contextmanager
def utf8_streams() -> Iterator[None]:
    """Make the standard streams speak UTF-8 whatever the locale, with a replacement for what cannot be written."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    yield
